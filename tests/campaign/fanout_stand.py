"""The stand of the fan-out: exchange, producers, Redis and readers, and their faults.

The exchange and the readers live in this process, so that each read is judged by what
the exchange has really sent. Redis and each producer are processes of their own. Each
of their lines leads through a proxy that can be cut, stalled or slowed.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from okex_ws import Feed, Reconnect, State, Timeouts, WSSubscription
from okex_ws.fanout.envelope import Forwarded as Message
from okex_ws.fanout.envelope import Identity, encode
from okex_ws.local_exchange import LocalExchange
from okex_ws.model.venues import Venue
from tests.campaign.book_truth import BookTruth
from tests.campaign.interruptions import StallingClock
from tests.campaign.judge import Judge
from tests.campaign.readers import Listener
from tests.campaign.results import FaultCounts, Result
from tests.campaign.trade_order import Trades
from tests.campaign.truth import Truth
from tests.support.faulty_proxy import Proxy
from tests.support.loopback_servers import untraced
from tests.support.redis_server import RedisServer

NAME = "v5 fanout"
LEASE = 3.0
# Seconds to be live again, at most: Redis and the line are found again, the producer is
# found again or another one leads, a probe and a beat; and what the machine may take.
BOUND = 12.0
QUIET = "QQQ-USDT"
IDS = ("BTC-USDT", "ETH-USDT", QUIET)
CHANNELS = ("depth5", "depth", "trade")
PREFIX = "{okx}:test:fanout:0"
_RECONNECT = Reconnect(first=0.1, cap=0.5, healthy_after=0.5, host_gap=0.0)
_TIMEOUTS = Timeouts(connect=1.0, ack=1.0, pong=2.0, goodbye=0.2)
_MEMORY = 64 << 20


class FanoutStand:
    """The stand, used as a context manager; `drive` strikes it until its time is up."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"{seed}:{NAME}")
        self.exchange = LocalExchange(
            seed, instruments=[("spot", each) for each in IDS], history=150
        )
        self._stack = contextlib.ExitStack()
        self.producers: list[subprocess.Popen[bytes]] = []
        self.judges: list[Judge] = []
        self.listeners: list[Listener] = []
        # What was done to it, and when.
        self._struck: list[tuple[float, str]] = []
        self._reading = threading.Event()
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    # --- Its life -------------------------------------------------------------------

    def __enter__(self) -> FanoutStand:
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(self.exchange)
            self.redis = RedisServer(Path(folder))
            stack.callback(self.redis.kill)
            self.near = stack.enter_context(Proxy(self.redis.port))
            self.far = stack.enter_context(Proxy(self.redis.port))
            port = self.exchange.url_v5.rpartition(":")[2].partition("/")[0]
            self.line = stack.enter_context(Proxy(int(port)))
            stack.callback(self.end_producers)
            self.produce()
            self._read(stack)
            self._read_elsewhere(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _url(self, port: int, database: int = 0) -> str:
        return f"redis://127.0.0.1:{port}/{database}?name=test"

    def produce(
        self, database: int = 0, ids: tuple[str, ...] = IDS, ahead: float = 0.0
    ) -> None:
        """Start a producer, of *ids*, in that database of Redis.

        Its clock is *ahead* seconds ahead.
        """
        endpoint = f"ws://127.0.0.1:{self.line.port}/ws/v5"
        words = [endpoint, self._url(self.far.port, database), str(LEASE)]
        self.producers.append(
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.campaign.fanout_producer"),
                    *(*words, ",".join(ids), ",".join(CHANNELS), str(ahead)),
                ],
                env=untraced(),
                stdin=subprocess.PIPE,
            )
        )

    def end_producers(self) -> None:
        """Kill every producer."""
        for each in self.producers:
            with contextlib.suppress(ProcessLookupError):
                each.send_signal(signal.SIGCONT)
                each.kill()
            each.wait(10)
            if each.stdin is not None:
                each.stdin.close()
        self.producers.clear()

    def _read(self, stack: contextlib.ExitStack) -> None:
        """Two feeds: one by way of the proxy, and one that has no fault of its own."""
        venue = Venue("fanout", "v5", ("ws://127.0.0.1:1/ws/v5",))
        clock = StallingClock()
        for port in (self.near.port, self.redis.port):
            feed = stack.enter_context(
                Feed(
                    venue,
                    via=self._url(port),
                    reconnect=_RECONNECT,
                    timeouts=_TIMEOUTS,
                    clock=clock,
                )
            )
            for name in IDS:
                self.judges.append(self._judged(feed, name, clock))
                self._listen(self.judges[-1], name)
        for judge in self.judges:
            judge.subscription.wait_live(30)
        # Called before the feeds are closed, which ends the listeners.
        stack.callback(self._stop)
        for judges in (self.judges[::2], self.judges[1::2]):
            thread = threading.Thread(target=self._keep_reading, args=(judges,))
            self._threads.append(thread)
            thread.start()

    def _read_elsewhere(self, stack: contextlib.ExitStack) -> None:
        """A reader in a process of its own, whose reads are judged here."""
        name = IDS[0]
        words = [self._url(self.redis.port), name]
        self.elsewhere = process = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.fanout_reader", *words],
            env=untraced(),
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        stack.callback(process.wait, 10)
        truths: dict[str, Truth] = {"depth5": Truth(self.exchange, f"books5:{name}")}
        self.far_judge = Judge(process, truths, LEASE, lambda: None, StallingClock())
        thread = threading.Thread(target=self._judge_lines, args=(process.stdout,))
        thread.start()
        stack.callback(thread.join, 10)
        stack.callback(process.kill)

    def _judge_lines(self, lines: IO[bytes]) -> None:
        try:
            for line in lines:
                if line.endswith(b"\n"):
                    start, until, given = json.loads(line)
                    self.far_judge.judge_told(given, start, until)
        except BaseException as error:
            self._errors.append(error)

    def _judged(self, feed: Feed, name: str, clock: StallingClock) -> Judge:
        truths: dict[str, Truth] = {
            "depth5": Truth(self.exchange, f"books5:{name}"),
            "depth": BookTruth(self.exchange, f"books:{name}"),
        }
        told: list[Judge] = []
        one = WSSubscription(
            name,
            feed=feed,
            channels=CHANNELS,
            on_state=lambda change: [each.state_changed(change) for each in told],
        )
        told.append(Judge(one, truths, LEASE, lambda: None, clock))
        return told[0]

    def _listen(self, judge: Judge, name: str) -> None:
        """Take every item, and judge it."""
        channel = f"trades:{name}"
        trades = {(name, "trade"): Trades(self.exchange, channel, self._around)}
        truths = {(name, topic): truth for topic, truth in judge.truths.items()}
        items = judge.subscription.updates(latest=False)
        self.listeners.append(Listener(NAME, items, truths, trades))

    def _around(self, moment: float) -> list[str]:
        return [
            f"{name} {moment - at:+.2f} s"
            for at, name in [*self._struck]
            if -3.0 < moment - at < 15.0
        ]

    def _keep_reading(self, judges: list[Judge]) -> None:
        try:
            while not self._reading.wait(0.002):
                for judge in judges:
                    judge.read()
        except BaseException as error:
            self._errors.append(error)

    def _stop(self) -> None:
        self._reading.set()
        for thread in self._threads:
            thread.join(10)

    # --- Faults ---------------------------------------------------------------------

    @property
    def subscriptions(self) -> list[WSSubscription]:
        """Those that are read."""
        return [judge.subscription for judge in self.judges]

    def is_live(self) -> bool:
        """Whether everything is."""
        return all(one.state is State.LIVE for one in self.subscriptions)

    def pause(self, least: float, most: float) -> None:
        """Wait for a moment that no one knows beforehand."""
        time.sleep(self.rng.uniform(least, most))

    def order(self, *words: str) -> None:
        """Have Redis do something, if it answers."""
        with contextlib.suppress(Exception):
            self.redis.call(*words)

    def drive(self, end: float, result: Result, only: str) -> None:
        """Strike with one fault after the other, each once in a round."""
        wanted = [each for each in FAULTS if re.search(only, each.kind)]
        while wanted:
            for fault in self.rng.sample(wanted, len(wanted)):
                if time.monotonic() >= end:
                    return
                if not self._strike(fault, result):
                    return

    def _strike(self, fault: FanoutFault, result: Result) -> bool:
        counts: FaultCounts = result.by_kind[f"fanout: {fault.kind}"]
        counts.bound, counts.injected = BOUND, counts.injected + 1
        changed = sum(len(judge.changes) for judge in self.judges)
        began = time.monotonic()
        self._struck = [*self._struck[-20:], (began, fault.kind)]
        with contextlib.contextmanager(fault.inject)(self):
            pass
        healed = time.monotonic()
        # What is over at once may take a moment to be noticed.
        while time.monotonic() < healed + 0.5 and self.is_live():
            time.sleep(0.01)
        while not self.is_live():
            if time.monotonic() > healed + 3 * BOUND:
                states = [(one.state, one.health().cause) for one in self.subscriptions]
                result.violate(f"{NAME}: never back from {fault.kind}: {states}")
                return False
            time.sleep(0.01)
        took = time.monotonic() - healed
        counts.recovered += 1
        counts.seconds.append(took)
        counts.noticed += sum(len(each.changes) for each in self.judges) > changed
        if took > BOUND and not result.metronome.rested(began):
            late = f"in {took:.3f} s, not {BOUND:g} s"
            result.late.append(f"{NAME}: recovered from {fault.kind} {late}")
        self.pause(0.05, 0.5)
        return True

    def gather(self, result: Result) -> None:
        """What the judges found."""
        for error in self._errors:
            result.violate(f"{NAME}: a reader ended: {error!r}")
        for judge in (*self.judges, self.far_judge):
            found = judge.found
            result.reads += found.reads
            result.prices += found.prices
            result.books += found.books
            result.stale += len(found.stale)
            result.wrong += len(found.wrong)
            result.wrong_books += len(found.wrong_books)
            result.by_way.update(found.by_way)
            for what in (found.stale + found.wrong + found.wrong_books)[:5]:
                result.violate(f"{NAME}: {what}")
        for listener in self.listeners:
            if listener.error is not None:
                result.violate(f"{NAME}: a listener ended: {listener.error!r}")
            result.items.update(listener.counts)
            result.wrong += len(listener.wrong)
            result.wrong_books += len(listener.wrong_books)
            for what in (listener.wrong + listener.wrong_books)[:5]:
                result.violate(f"{NAME}: {what}")
            for trades in listener.trades.values():
                result.trades.update(trades.counts)


class FanoutFault(NamedTuple):
    """A kind of fault: done up to its ``yield``, and taken back after it."""

    kind: str
    inject: Callable[[FanoutStand], Iterator[None]]


FAULTS: list[FanoutFault] = []
_Injection = Callable[[FanoutStand], Iterator[None]]


def _fault(kind: str) -> Callable[[_Injection], _Injection]:
    def list_it(inject: _Injection) -> _Injection:
        FAULTS.append(FanoutFault(kind, inject))
        return inject

    return list_it


@_fault("Redis is killed, and begins empty")
def _killed(stand: FanoutStand) -> Iterator[None]:
    stand.redis.kill()
    stand.pause(0.0, 5.0)
    yield
    stand.redis.start()


@_fault("Redis stands still (SIGSTOP)")
def _stopped(stand: FanoutStand) -> Iterator[None]:
    stand.redis.signal(signal.SIGSTOP)
    stand.pause(0.1, 8.0)
    yield
    stand.redis.signal(signal.SIGCONT)


@_fault("Redis pauses its clients (CLIENT PAUSE)")
def _paused(stand: FanoutStand) -> Iterator[None]:
    how = stand.rng.choice(("ALL", "WRITE"))
    stand.order("CLIENT", "PAUSE", str(stand.rng.randrange(100, 6000)), how)
    stand.pause(0.1, 6.0)
    yield
    stand.order("CLIENT", "UNPAUSE")


@_fault("Redis is emptied (FLUSHALL)")
def _emptied(stand: FanoutStand) -> Iterator[None]:
    for _ in range(stand.rng.randrange(1, 4)):
        stand.order("FLUSHALL")
        stand.pause(0.0, 1.0)
    yield


@_fault("Redis has no memory left")
def _full(stand: FanoutStand) -> Iterator[None]:
    stand.order("CONFIG", "SET", "maxmemory-policy", "noeviction")
    stand.order("CONFIG", "SET", "maxmemory", "1")
    stand.pause(0.1, 5.0)
    yield
    stand.order("CONFIG", "SET", "maxmemory", "0")


@_fault("Redis evicts")
def _evicting(stand: FanoutStand) -> Iterator[None]:
    stand.order("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    stand.order("CONFIG", "SET", "maxmemory", "1")
    stand.pause(0.1, 5.0)
    yield
    stand.order("CONFIG", "SET", "maxmemory", "0")
    stand.order("CONFIG", "SET", "maxmemory-policy", "noeviction")


@_fault("Redis takes no more clients")
def _at_limit(stand: FanoutStand) -> Iterator[None]:
    # The last one is this order's own.
    stand.order("CONFIG", "SET", "maxclients", "1")
    stand.near.reset()
    stand.pause(0.1, 3.0)
    yield
    stand.redis.kill()
    stand.redis.start()


@_fault("every client is killed")
def _clients_killed(stand: FanoutStand) -> Iterator[None]:
    stand.order("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    stand.order("CLIENT", "KILL", "TYPE", "pubsub")
    yield


@_fault("subscribers are killed for their buffer")
def _buffer(stand: FanoutStand) -> Iterator[None]:
    limit = "client-output-buffer-limit"
    stand.order("CONFIG", "SET", limit, "pubsub 1 1 1")
    stand.near.stall()
    stand.pause(0.5, 3.0)
    yield
    stand.near.heal()
    stand.order("CONFIG", "SET", limit, "pubsub 33554432 8388608 60")


@_fault("the rights change under way")
def _rights(stand: FanoutStand) -> Iterator[None]:
    taken = stand.rng.choice(("-incr", "-publish", "-get", "resetchannels"))
    stand.order("ACL", "SETUSER", "default", taken)
    stand.pause(0.1, 4.0)
    yield
    stand.order("ACL", "SETUSER", "default", "on", "nopass", "~*", "&*", "+@all")


@_fault("the readers' line is cut")
def _near_reset(stand: FanoutStand) -> Iterator[None]:
    stand.near.reset()
    yield


@_fault("the readers' line stands still")
def _near_stalled(stand: FanoutStand) -> Iterator[None]:
    stand.near.stall()
    stand.pause(0.1, 8.0)
    yield
    stand.near.heal()


@_fault("the readers' line is slow")
def _near_slow(stand: FanoutStand) -> Iterator[None]:
    stand.near.throttle(stand.rng.choice((2_000, 20_000)))
    stand.pause(0.5, 6.0)
    yield
    stand.near.heal()


@_fault("the readers' line says garbage")
def _near_garbage(stand: FanoutStand) -> Iterator[None]:
    stand.near.inject(
        stand.rng.choice((b"\0garbage\r\n", b"$5\r\nhello\r\n", b":1\r\n"))
    )
    yield


@_fault("the producer's line to Redis is cut")
def _far_reset(stand: FanoutStand) -> Iterator[None]:
    stand.far.reset()
    yield


@_fault("the producer's line to Redis stands still")
def _far_stalled(stand: FanoutStand) -> Iterator[None]:
    stand.far.stall()
    stand.pause(0.1, 8.0)
    yield
    stand.far.heal()


@_fault("the exchange drops the producer")
def _dropped(stand: FanoutStand) -> Iterator[None]:
    stand.exchange.drop()
    yield


@_fault("the exchange's line stands still")
def _line_stalled(stand: FanoutStand) -> Iterator[None]:
    stand.line.stall()
    stand.pause(0.1, 8.0)
    yield
    stand.line.heal()


@_fault("the exchange's line is slow")
def _line_slow(stand: FanoutStand) -> Iterator[None]:
    stand.line.throttle(3_000)
    stand.pause(0.5, 6.0)
    yield
    stand.line.heal()


@_fault("a book of the producer breaks")
def _book(stand: FanoutStand) -> Iterator[None]:
    stand.exchange.spoil("books:BTC-USDT", "lose")
    stand.pause(0.1, 1.0)
    yield


@_fault("the producer is killed, and starts again")
def _producer_killed(stand: FanoutStand) -> Iterator[None]:
    stand.end_producers()
    stand.pause(0.0, 4.0)
    yield
    stand.produce()


@_fault("the producer stands still (SIGSTOP)")
def _producer_stopped(stand: FanoutStand) -> Iterator[None]:
    for each in stand.producers:
        each.send_signal(signal.SIGSTOP)
    stand.pause(0.1, 8.0)
    yield
    for each in stand.producers:
        each.send_signal(signal.SIGCONT)


@_fault("the producer replaces its connections")
def _rotated(stand: FanoutStand) -> Iterator[None]:
    for each in stand.producers:
        each.send_signal(signal.SIGUSR1)
    stand.pause(0.5, 3.0)
    yield


@_fault("the exchange announces that it will close the connection")
def _announced(stand: FanoutStand) -> Iterator[None]:
    stand.exchange.notice()
    stand.pause(1.0, 3.0)
    stand.exchange.drop()
    yield


@_fault("a standby takes over from a producer that is killed")
def _standby(stand: FanoutStand) -> Iterator[None]:
    stand.produce()
    stand.pause(1.0, 3.0)
    first = stand.producers.pop(0)
    first.kill()
    first.wait(10)
    if first.stdin is not None:
        first.stdin.close()
    yield


@_fault("a producer that stood still finds another one in its place")
def _zombie(stand: FanoutStand) -> Iterator[None]:
    stand.producers[0].send_signal(signal.SIGSTOP)
    stand.produce()
    stand.pause(2.0, 8.0)
    yield
    stand.producers[0].send_signal(signal.SIGCONT)
    stand.pause(0.0, 1.0)
    first = stand.producers.pop(0)
    first.kill()
    first.wait(10)
    if first.stdin is not None:
        first.stdin.close()


@_fault("a topic's messages are garbage, doubled, or another release's")
def _spoilt(stand: FanoutStand) -> Iterator[None]:
    channel = f"{PREFIX}:t:{stand.rng.choice(('books5', 'books'))}:BTC-USDT"
    old = b""
    with contextlib.suppress(Exception):
        old = stand.redis.call("GET", channel) or b""
    stand.pause(0.0, 0.5)
    for text in ("garbage", "okx9 data 1\n{}", old.decode()):
        stand.order("PUBLISH", channel, text)
    yield


@_fault("an impostor with an older term speaks")
def _impostor(stand: FanoutStand) -> Iterator[None]:
    channel = f"{PREFIX}:t:books5:BTC-USDT"
    said = Message(Identity(0, "old", "impostor"), "books5:BTC-USDT", 9, 0, 1, b"{}")
    stand.order("PUBLISH", channel, encode(said).decode())
    yield


@_fault("messages come again late, doubled and out of order")
def _late(stand: FanoutStand) -> Iterator[None]:
    channel = f"{PREFIX}:t:books5:BTC-USDT"
    kept: list[str] = []
    for _ in range(6):
        with contextlib.suppress(Exception):
            kept.append(stand.redis.call("GET", channel).decode())
        stand.pause(0.05, 0.3)
    stand.pause(0.0, 5.0)
    for text in stand.rng.sample(kept + kept, 2 * len(kept)):
        stand.order("PUBLISH", channel, text)
        # A reader that begins now gets this, too.
        stand.order("SET", channel, text)
    yield


@_fault("another producer publishes in another database")
def _other_database(stand: FanoutStand) -> Iterator[None]:
    stand.produce(database=1)
    stand.pause(1.0, 4.0)
    other = stand.producers.pop()
    other.kill()
    other.wait(10)
    if other.stdin is not None:
        other.stdin.close()
    yield


@_fault("a producer of fewer topics takes over")
def _fewer(stand: FanoutStand) -> Iterator[None]:
    stand.end_producers()
    stand.produce(ids=IDS[:1])
    stand.pause(2.0, 6.0)
    yield
    stand.end_producers()
    stand.produce()


@_fault("a producer whose clock is a day off takes over")
def _day_off(stand: FanoutStand) -> Iterator[None]:
    stand.end_producers()
    stand.produce(ahead=stand.rng.choice((-86_400.0, 86_400.0)))
    stand.pause(2.0, 6.0)
    yield
    stand.end_producers()
    stand.produce()


@_fault("the last message of an instrument that became quiet is lost")
def _quiet(stand: FanoutStand) -> Iterator[None]:
    channel = f"{PREFIX}:t:books5:{QUIET}".encode()
    stand.near.replace(channel, channel[:-4] + b"LOST")
    stand.pause(0.2, 1.0)
    stand.exchange.silence(f"books5:{QUIET}")
    stand.pause(0.0, 2.0 * LEASE)
    yield
    stand.near.heal()
    stand.exchange.resume()


@_fault("a reader stands still (SIGSTOP)")
def _reader_stopped(stand: FanoutStand) -> Iterator[None]:
    stand.elsewhere.send_signal(signal.SIGSTOP)
    stand.pause(0.1, 8.0)
    yield
    stand.elsewhere.send_signal(signal.SIGCONT)
    # Its first reads after that are the ones that could be stale.
    stand.pause(0.5, 1.0)


@_fault("the readers' Python is busy")
def _busy(stand: FanoutStand) -> Iterator[None]:
    end = time.monotonic() + stand.rng.uniform(0.1, 1.5 * LEASE)
    before = sys.getswitchinterval()
    # One thread that computes, and lets no other one in.
    sys.setswitchinterval(60.0)
    try:
        while time.monotonic() < end:
            pass
    finally:
        sys.setswitchinterval(before)
    yield
