"""An exchange, producers, Redis and readers in virtual time, for the fan-out's proof.

The `Publisher` and the `TopicReader` are the library's own. All else is a model that
may lose, delay, double and reorder what Redis publishes, empty Redis, cut every line,
freeze every process, and mute the line to the exchange. The exchange knows the truth:
when each value was replaced. So each read can be judged.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from okex_ws.base.state import Cause, CauseCode
from okex_ws.fanout.envelope import Names
from okex_ws.fanout.publisher import Evidence, Publisher, Topic, Unpublished
from okex_ws.fanout.subscriber import Text, TopicReader
from okex_ws.protocol.messages import Vouched, Withheld

NAMES = Names("{okx}:sim:okx:0")
LEASE = 15.0
# Names of topics: a depth that moves, one that is quiet, a whole book, a series.
DEPTH, QUIET, BOOK, TRADES = "d:moving", "d:quiet", "b:book", "t:trades"
RATES = {DEPTH: 3.0, QUIET: 0.02, BOOK: 3.0, TRADES: 1.0}
_NO_LINK = Cause(CauseCode.NETWORK, "the line to the exchange is down")


class Loop:
    """Virtual time: what happens when, in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (max(when, self.now), next(self._number), what))

    def after(self, wait: float, what: Callable[[], None]) -> None:
        self.at(self.now + wait, what)

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, what = heapq.heappop(self._heap)
            what()
        self.now = until


class Exchange:
    """The truth: each topic's values are 1, 2, 3, ..., and each is replaced once."""

    def __init__(self, loop: Loop, rng: random.Random) -> None:
        self.loop, self.rng = loop, rng
        self.value = dict.fromkeys(RATES, 0)
        self.replaced: dict[tuple[str, int], float] = {}
        self.lines: list[Line] = []
        for name in RATES:
            self._change(name)

    def _change(self, name: str) -> None:
        self.replaced[name, self.value[name]] = self.loop.now
        self.value[name] += 1
        for line in self.lines:
            line.carry(("push", name, self.value[name]))
        wait = self.rng.expovariate(RATES[name])
        self.loop.after(wait, lambda: self._change(name))

    def is_stale(self, name: str, value: int, lease: float) -> bool:
        """Whether *value* was replaced more than *lease* seconds ago."""
        return self.loop.now - self.replaced.get((name, value), math.inf) > lease


class Line:
    """One connection of a producer to the exchange: in order, late, and once lost."""

    def __init__(self, exchange: Exchange, hear: Callable[[Any], None]) -> None:
        self._exchange, self._hear = exchange, hear
        self.delay = 0.02
        # While the line is mute nothing comes, though nothing is lost.
        self.mute_until = -math.inf
        self._last = -math.inf
        self.cut = False
        exchange.lines.append(self)
        for name, value in exchange.value.items():
            self.carry(("first", name, value))

    def carry(self, what: Any) -> None:
        loop = self._exchange.loop
        arrival = max(loop.now + self.delay, self.mute_until, self._last)
        self._last = arrival
        loop.at(arrival, lambda: None if self.cut else self._hear(what))

    def ping(self, sent: float) -> None:
        loop = self._exchange.loop
        loop.after(self.delay, lambda: self.carry(("pong", sent)))

    def close(self) -> None:
        self.cut = True
        if self in self._exchange.lines:
            self._exchange.lines.remove(self)


class Redis:
    """Keys, counters, and lines to clients, each in order unless a fault says not."""

    def __init__(self, loop: Loop, rng: random.Random) -> None:
        self.loop, self.rng = loop, rng
        self.keys: dict[str, tuple[Any, float]] = {}
        self.clients: list[Client] = []
        self.refuses_values = False

    def get(self, key: str) -> Any:
        value, until = self.keys.get(key, (None, 0.0))
        return value if self.loop.now < until else None

    def flush(self) -> None:
        self.keys.clear()

    def call(self, words: tuple[Any, ...]) -> Any:
        """Do one command; what a `Refused` value stands for is ``False``."""
        word, key, *rest = words
        if word == "GET":
            return self.get(key)
        if word == "INCR":
            number = int(self.get(key) or 0) + 1
            self.keys[key] = str(number).encode(), math.inf
            return number
        if word == "DEL":
            self.keys.pop(key, None)
        elif word == "PEXPIRE" and key in self.keys:
            self.keys[key] = self.keys[key][0], self.loop.now + int(rest[0]) / 1000
        elif word == "PUBLISH":
            for client in self.clients:
                client.published(key, rest[0])
        elif word == "SET":
            return self._set(key, *rest)
        return 0

    def _set(self, key: str, value: Any, *options: Any) -> bytes | bool | None:
        if self.refuses_values and NAMES.topic_of(key):
            return False
        if "NX" in options and self.get(key) is not None:
            return None
        until = math.inf
        if "PX" in options:
            until = self.loop.now + int(options[options.index("PX") + 1]) / 1000
        payload = value if isinstance(value, bytes) else str(value).encode()
        self.keys[key] = payload, until
        return b"OK"


@dataclass(eq=False)
class Client:
    """One connection to Redis. What it asks and what it hears is late, and in order."""

    redis: Redis
    hear: Callable[[str, Any, Any], None]
    channels: set[str] = field(default_factory=set)
    delay: float = 0.001
    # The faults of its line: how often what is published is lost, doubled, overtaken.
    lossy: float = 0.0
    cut: bool = False
    _there: float = -math.inf
    _back: float = -math.inf

    def __post_init__(self) -> None:
        self.redis.clients.append(self)

    def ask(self, words: tuple[Any, ...]) -> None:
        loop = self.redis.loop
        self._there = max(self._there, loop.now + self._wait())
        loop.at(self._there, lambda: self._do(words))

    def _wait(self) -> float:
        return self.delay * self.redis.rng.uniform(0.5, 2.0)

    def _do(self, words: tuple[Any, ...]) -> None:
        if self.cut:
            return
        if words[0] == "SUBSCRIBE":
            self.channels.add(words[1])
            self._answer("begun", words, None)
        elif words[0] == "UNSUBSCRIBE":
            self.channels.discard(words[1])
        else:
            self._answer("reply", words, self.redis.call(words))

    def published(self, channel: str, payload: bytes) -> None:
        if channel not in self.channels or self.cut:
            return
        draw = self.redis.rng.random()
        if draw < self.lossy / 3:
            return
        self._answer("message", channel, payload, late=draw < self.lossy * 2 / 3)
        if draw < self.lossy:
            self._answer("message", channel, payload)

    def _answer(self, kind: str, what: Any, value: Any, late: bool = False) -> None:
        loop = self.redis.loop
        arrival = max(self._back, loop.now + self._wait())
        if late:
            arrival += self.redis.rng.expovariate(1.0)  # others overtake it
        else:
            self._back = arrival
        loop.at(arrival, lambda: None if self.cut else self.hear(kind, what, value))

    def close(self) -> None:
        self.cut = True
        if self in self.redis.clients:
            self.redis.clients.remove(self)


class Feed:
    """A producer's connection to the exchange, as far as the fan-out looks at it."""

    def __init__(self, world: World) -> None:
        self._world, self._loop = world, world.loop
        self.opening = 0
        self.since = -math.inf
        self.has: dict[str, int] = {}
        self.sources: dict[str, FedTopic] = {}
        self.versions = itertools.count(1)
        self.line: Line | None = None
        self.ended = False
        self.put: Callable[[Unpublished], None] = lambda said: None
        self._ping()

    def open(self) -> None:
        if self.line is not None or self.ended:
            return
        self.opening += 1
        self.line = Line(self._world.exchange, self._hear)
        self._send_ping()

    def lose(self) -> None:
        """The connection is lost: every value is withdrawn, and told so."""
        if self.line is not None:
            self.line.close()
        self.line, self.since = None, -math.inf
        self.has.clear()
        for each in self.sources.values():
            if each.live:
                each.live = False
                self.put(each.topic.withdraw())
        self._loop.after(self._world.rng.uniform(0.2, 8.0), self.open)

    def _ping(self) -> None:
        self._send_ping()
        self._loop.after(LEASE / 3, self._ping)

    def _send_ping(self) -> None:
        if self.line is not None and not self._world.is_frozen(self):
            self.line.ping(self._loop.now)

    def _hear(self, what: Any) -> None:
        def do() -> None:
            kind, *rest = what
            if kind == "pong":
                self.since = max(self.since, rest[0])
            else:
                self.sources[rest[0]].take(kind, rest[1])

        self._world.when_thawed(self, do)


class FedTopic:
    """One channel of a `Feed`: its newest value, and what the publisher asks of it."""

    def __init__(self, feed: Feed, name: str) -> None:
        self._feed, self._name, self.live = feed, name, False
        keyed = name not in (TRADES,)
        self.topic = Topic(name, self, keyed, name == BOOK, feed.versions)

    def take(self, kind: str, value: int) -> None:
        alone = self.topic.keyed and (self._name != BOOK or kind == "first")
        mark = "S" if alone else "U"
        self.live = True
        self._feed.put(
            self.topic.take(f"{mark} {value}", self._feed.opening, alone, value)
        )

    def evidence(self, now: float, wall: float) -> Evidence | Cause:
        feed = self._feed
        age = now - feed.since
        if not self.live or age >= LEASE:
            return _NO_LINK
        return Evidence(feed.opening, age, "wss://exchange")

    def whole(self, said: Unpublished) -> str:
        return f"S {said.state}"


class Producer:
    """A process that publishes: a `Publisher`, and its connection to Redis."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._loop = world, world.loop
        self.feed = Feed(world)
        self.publisher = Publisher(NAMES, name, LEASE, world.rng)
        self._sessions = itertools.count(1)
        self.client: Client | None = None
        self.feed.put = self.put
        for each in RATES:
            self.publish(each)
        self.ended = False
        self.feed.open()
        self.connect()

    def publish(self, name: str) -> None:
        """Publish *name*, or end that and publish it anew, as its script did."""
        if (known := self.feed.sources.get(name)) is not None:
            self.publisher.remove(known.topic)
        fed = FedTopic(self.feed, name)
        self.feed.sources[name] = fed
        self.publisher.add(fed.topic)

    def put(self, said: Unpublished) -> None:
        self.publisher.waiting.append(said)
        self._loop.after(0.0, self._flush)

    def connect(self) -> None:
        if self.ended:
            return
        self.client = Client(self._world.redis, self._hear)
        session = f"{id(self)}-{next(self._sessions)}"
        self.publisher.opened(session, self._loop.now)
        self._tick(self.client)

    def lose_redis(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None
            self.publisher.closed()
            self._loop.after(self._world.rng.uniform(0.1, 3.0), self.connect)

    def end(self) -> None:
        """The process is killed."""
        self.ended = True
        self.feed.put, self.feed.ended = lambda said: None, True
        if self.feed.line is not None:
            self.feed.line.close()
        if self.client is not None:
            self.client.close()

    def _send(self, client: Client, commands: list[Any]) -> None:
        for words in commands:
            client.ask(words)

    def _flush(self) -> None:
        def do() -> None:
            if self.client is not None:
                self._send(self.client, self.publisher.flush(self._loop.now))

        self._world.when_thawed(self, do)

    def _tick(self, client: Client) -> None:
        def do() -> None:
            if client is self.client and not self.ended:
                self._send(client, self.publisher.tick(self._loop.now))
                self._loop.at(self.publisher.due, lambda: self._tick(client))

        self._world.when_thawed(self, do)

    def _hear(self, kind: str, what: Any, value: Any) -> None:
        client = self.client

        def do() -> None:
            if client is None or client is not self.client:
                return
            self._send(client, self._answered(what, value))

        self._world.when_thawed(self, do)

    def _answered(self, words: tuple[Any, ...], value: Any) -> list[Any]:
        publisher, now = self.publisher, self._loop.now
        word, key = words[0], words[1]
        if word == "GET" and key == NAMES.leader:
            return list(publisher.leader(value, now))
        if word == "GET":
            return list(publisher.probed(value, now, now))
        if word == "SET" and key == NAMES.leader:
            return list(publisher.elected(value is not None))
        if word == "INCR":
            return list(publisher.termed(value, now))
        if word == "SET" and value is False:
            publisher.topics[NAMES.topic_of(key) or ""].written = 0
        return []


class Reader:
    """A reading process: a `TopicReader`, what it was given, and its lease."""

    def __init__(self, world: World, lease: float | None = None) -> None:
        self._world, self._loop = world, world.loop
        self.own = lease
        self.lease, self.until = lease or LEASE, -math.inf
        self.values: dict[str, int] = {}
        self.client: Client | None = None
        self.causes: Counter[str] = Counter()
        self.wrong = 0
        self.connect()

    def connect(self) -> None:
        self.values.clear()
        self.until = -math.inf
        self.client = client = Client(self._world.redis, self._hear)
        self.reader = TopicReader(NAMES, "sim", "redis://sim", self.own)
        client.ask(("SUBSCRIBE", NAMES.beat))
        self._take(self.reader.wanted(list(RATES)))
        self._probe(client)

    def lose_redis(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None
            self.values.clear()
            self.until = -math.inf
            self._loop.after(self._world.rng.uniform(0.1, 3.0), self.connect)

    def _probe(self, client: Client) -> None:
        def do() -> None:
            if client is self.client:
                self.reader.asked(self._loop.now, self._loop.now)
                self._send()
                self._loop.after(self.lease / 6, lambda: self._probe(client))

        self._world.when_thawed(self, do)

    def _send(self) -> None:
        assert self.client is not None
        while self.reader.commands:
            self.client.ask(self.reader.commands.popleft())

    def _hear(self, kind: str, what: Any, value: Any) -> None:
        client = self.client

        def do() -> None:
            if client is None or client is not self.client:
                return
            if kind == "message":
                self._take(self.reader.came(what, value, self._loop.now))
            elif kind == "begun":
                self.reader.begun(what[1])
            elif what[0] == "INCR":
                self.reader.probed(value)
            elif what[0] == "GET":
                topic = NAMES.topic_of(what[1])
                self._take(self.reader.keyed(topic or "", value))
            self._send()
            if self.reader.fault:
                self.lose_redis()

        self._world.when_thawed(self, do)

    def _take(self, said: list[Any]) -> None:
        for each in said:
            if isinstance(each, Text):
                self._text(each)
            elif isinstance(each, Vouched):
                self.lease = each.lease
                self.until = each.asked - each.age + each.lease
            elif isinstance(each, Withheld):
                self.causes[str(each.cause.code)] += 1
                for name in each.channels:
                    self.values.pop(name, None)

    def _text(self, said: Text) -> None:
        mark, number = said.text.decode().split()
        before = self.values.get(said.topic)
        if said.topic == BOOK and mark == "U" and before != int(number) - 1:
            self.wrong += 1  # an update of a book that is not held
        self.values[said.topic] = int(number)

    def read(self, name: str) -> int | None:
        """What a script would be given."""
        value = self.values.get(name)
        return value if self._loop.now < self.until else None


class World:
    """All of it, and the faults; `run` plays a story and judges each read."""

    def __init__(self, seed: int, readers: int = 2, producers: int = 1) -> None:
        self.rng = random.Random(seed)
        self.loop = Loop()
        self.exchange = Exchange(self.loop, self.rng)
        self.redis = Redis(self.loop, self.rng)
        self._frozen: dict[object, float] = {}
        self._thawing: dict[object, deque[Callable[[], None]]] = {}
        self._names = itertools.count(1)
        self.producers = [self._producer() for _ in range(producers)]
        self.readers = [Reader(self, None) for _ in range(readers)]
        self.counts: Counter[str] = Counter()

    def _producer(self) -> Producer:
        return Producer(self, f"p{next(self._names)}")

    # --- Processes that stand still -------------------------------------------------

    def is_frozen(self, who: object) -> bool:
        return self.loop.now < self._frozen.get(self._process(who), -math.inf)

    def _process(self, who: object) -> object:
        for producer in getattr(self, "producers", ()):
            if who is producer.feed:
                return producer
        return who

    def when_thawed(self, who: object, what: Callable[[], None]) -> None:
        """Do *what* now, or in order once the process goes on."""
        process = self._process(who)
        waiting = self._thawing.setdefault(process, deque())
        if not self.is_frozen(process) and not waiting:
            what()
            return
        waiting.append(what)
        until = max(self._frozen.get(process, 0.0), self.loop.now)
        self.loop.at(until, lambda: self._thaw(process))

    def _thaw(self, process: object) -> None:
        waiting = self._thawing[process]
        while waiting and not self.is_frozen(process):
            waiting.popleft()()

    def freeze(self, who: object, seconds: float) -> None:
        self._frozen[who] = self.loop.now + seconds

    # --- The story ------------------------------------------------------------------

    def fault(self) -> None:
        """One fault, at random."""
        rng = self.rng
        producer, reader = rng.choice(self.producers), rng.choice(self.readers)
        lines = [each.feed.line for each in self.producers if each.feed.line]
        faults: dict[str, Callable[[], None]] = {
            "redis restarted": self._restart_redis,
            "redis emptied": self.redis.flush,
            "redis full": self._fill_redis,
            "producer's line to redis": producer.lose_redis,
            "reader's line to redis": reader.lose_redis,
            "producer frozen": lambda: self.freeze(producer, rng.uniform(0.5, 40.0)),
            "reader frozen": lambda: self.freeze(reader, rng.uniform(0.5, 40.0)),
            "exchange's line lost": producer.feed.lose,
            "exchange's line mute": lambda: self._mute(lines),
            "messages lost": lambda: self._spoil(reader),
            "redis slow": lambda: self._slow(self.redis.clients),
            "reader's line slow": lambda: self._slow([reader.client]),
            "exchange's line slow": lambda: self._slow(lines),
            "producer restarted": lambda: self._replace(producer),
            "a second producer": self._second,
            "published anew": lambda: producer.publish(rng.choice(list(RATES))),
        }
        name = rng.choice(list(faults))
        self.counts[f"fault {name}"] += 1
        faults[name]()

    def _restart_redis(self) -> None:
        self.redis.flush()
        for each in [*self.producers, *self.readers]:
            each.lose_redis()

    def _fill_redis(self) -> None:
        self.redis.refuses_values = True

        def empty() -> None:
            self.redis.refuses_values = False

        self.loop.after(self.rng.uniform(1.0, 30.0), empty)

    def _mute(self, lines: list[Line]) -> None:
        if lines:
            line = self.rng.choice(lines)
            line.mute_until = self.loop.now + self.rng.uniform(1.0, 40.0)

    def _spoil(self, reader: Reader) -> None:
        if (client := reader.client) is not None:
            client.lossy = self.rng.uniform(0.05, 0.5)

            def mend() -> None:
                client.lossy = 0.0

            self.loop.after(self.rng.uniform(1.0, 30.0), mend)

    def _slow(self, lines: Sequence[Client | Line | None]) -> None:
        line = self.rng.choice(lines) if lines else None
        if line is None:
            return
        usual, line.delay = line.delay, self.rng.choice((0.5, 5.0, 20.0, 40.0))

        def mend() -> None:
            line.delay = min(usual, 0.02)

        self.loop.after(self.rng.uniform(1.0, 30.0), mend)

    def _replace(self, producer: Producer) -> None:
        producer.end()
        self.producers[self.producers.index(producer)] = self._producer()

    def _second(self) -> None:
        if len(self.producers) < 2:
            self.producers.append(self._producer())

    def read_all(self) -> None:
        """Read everything once, and judge it by the truth."""
        for reader in self.readers:
            if self.is_frozen(reader):
                continue
            for name in (DEPTH, QUIET, BOOK):
                value = reader.read(name)
                self.counts["reads"] += 1
                if value is not None:
                    self.counts["live"] += 1
                    self.counts["stale"] += self.exchange.is_stale(
                        name, value, reader.lease
                    )

    def run(self, seconds: float, every: float = 0.25, faults: float = 0.08) -> None:
        """Play the story: reads all *every* seconds, and *faults* a second."""
        end = self.loop.now + seconds

        def read() -> None:
            if self.loop.now >= end:
                return
            self.read_all()
            self.loop.after(every, read)

        def strike() -> None:
            if self.loop.now >= end:
                return
            self.fault()
            self.loop.after(self.rng.expovariate(faults), strike)

        read()
        self.loop.after(self.rng.expovariate(faults), strike)
        self.loop.run(end)
        self.counts["wrong"] = sum(each.wrong for each in self.readers)
