"""What is kept unparsed until it is read gives what parsing at the receipt gives.

A story is a random sequence of pushes, good and bad, of reads of all kinds, and of what
happens to the connection and its followers. It is played twice in virtual time: once
with a library that keeps pushes unparsed, once with one that parses each at its
receipt. All that a script sees has to be the same, but for bad pushes. One that is
replaced before anything has read it is neither told nor withdraws anything: it is left
out of the second play. Another one is found when it is read first: in the second play
it comes at that moment. So the texts of bad pushes, which `on_message` gets at their
receipt, are compared by themselves.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest

from okex_ws import Feed, NotLive, StateChange, WSSubscription
from tests.support.internals import (
    change_settings,
    is_ready,
    pool_of,
    queue_of,
    take_without_waiting,
    watch_kept_pushes,
)
from tests.support.virtual_world import World, compact

NAME = "BTC-USDT"
SECONDS = 40.0
EVENTS = 120
# The first few run on every interpreter.
SEEDS = [
    *range(4),
    *(pytest.param(seed, marks=pytest.mark.once) for seed in range(4, 24)),
]
# How long before a bad push is found it comes in the second play.
JUST = 1e-7


class Event(NamedTuple):
    """What happens at *at* seconds: *kind*, and what it is about.

    *bad* is whether it is a push that names its channel and cannot be read.
    """

    at: float
    kind: str
    what: Any = None
    bad: bool = False


# --- The pushes of a story ------------------------------------------------------------


class Pen:
    """Writes the pushes of one story; no two of them are equal, but for repeats."""

    def __init__(self, protocol: str, rng: random.Random) -> None:
        self.world = World(protocol)
        self.protocol, self.rng = protocol, rng
        self.count = 0
        self.last = ""

    def element(self, at: float, **changes: Any) -> tuple[dict[str, Any], Any]:
        """A push of the depth at *at* seconds, and its one element."""
        self.count += 1
        # A market moves by little, and is a little late.
        bid = self.rng.choice(["100.1", "100.2", f"100.{self.count:03}"])
        late = self.rng.choice([0, 1, 5, 40, 80])
        time_ms = changes.pop("time_ms", round(at * 1000) - late)
        message = self.world.dialect.depth(time_ms, bid, "200")
        (element,) = message["data"]
        if self.protocol == "v5":
            element["seqId"] = changes.pop("seq", round(at * 1000) * 100 + self.count)
        return message, element

    def write(self, kind: str, at: float) -> str:
        """A text of *kind*, which is mostly a push."""
        if kind.endswith("ticker"):
            return self.tickers("x" if kind == "bad ticker" else f"1{self.count}")
        text: str = "{" if kind == "broken" else getattr(self, kind)(at)
        return text

    def good(self, at: float) -> str:
        message, element = self.element(at)
        form = self.rng.choice(["", "", "", "", "", "order", "field", "front", "big"])
        if form == "order":
            time = next(name for name in ("ts", "timestamp") if name in element)
            message["data"] = [{time: element.pop(time), **element}]
        elif form == "field":
            element["more"] = "1"
        elif form == "front":
            message = dict(reversed(message.items()))
        elif form == "big":
            side = element["asks"]
            size = side[0][1:]
            side += [[str(300 + n), *size] for n in range(400)]
        self.last = compact(message)
        return self.last

    def repeat(self, at: float) -> str:
        return self.last or self.good(at)

    def back(self, at: float) -> str:
        """A number that goes back, or an older time where there are no numbers."""
        message, _ = self.element(at - 5)
        return compact(message)

    def later(self, at: float) -> str:
        """The same depth again, with a later time."""
        message, element = self.element(at)
        before = json.loads(self.last)["data"][0] if self.last else element
        element["bids"], element["asks"] = before["bids"], before["asks"]
        self.last = compact(message)
        return self.last

    def bad(self, at: float, way: str = "") -> str:
        """A push that names its channel and cannot be read."""
        way = way or self.rng.choice(
            ["price", "zero", "order", "whose", "early", "absurd", "none", "key"]
        )
        # The lag of the next push is not known if a bad one had the same time.
        changes: dict[str, Any] = {"time_ms": round(at * 1000) - 3}
        changes |= {"early": {"time_ms": 5}, "absurd": {"seq": 10**15}}.get(way, {})
        message, element = self.element(at, **changes)
        side = element["bids"]
        # Different each time, so that each push is known by its bytes.
        side[0][1] = f"0.{self.count:05}1"
        if way == "zero":
            side[0][1] = f"0.{'0' * self.count}"
        elif way == "order":
            side.append([f"3{self.count:04}", *side[0][1:]])
        elif way == "whose":
            name = "instId" if self.protocol == "v5" else "more"
            element[name] = "btc-usdt"
            side[0][0] = side[0][0] if self.protocol == "v5" else "x"
        elif way == "none":
            element.pop("ts" if self.protocol == "v5" else "timestamp")
        elif way == "key":
            del element["bids"]
            element["more"] = str(self.count)
        else:
            side[0][0] = "x"
        text = compact(message)
        return text.replace('"asks":[', '"asks":', 1) if way == "cut" else text

    def cut(self, at: float) -> str:
        """A push that is no JSON: it withdraws all channels."""
        return self.bad(at, "cut")

    def tickers(self, price: str) -> str:
        self.count += 1
        at = round(self.count * 10)
        if self.protocol == "v5":
            element = {"instId": NAME, "last": price, "lastSz": str(self.count)}
            element |= {"ts": self.world.dialect.stamp(at)}
            arg = {"channel": "tickers", "instId": NAME}
            return compact({"arg": arg, "data": [element]})
        element = {"instrument_id": NAME, "last": price, "last_qty": str(self.count)}
        element |= {
            "timestamp": json.loads(self.last or self.good(1))["data"][0].get(
                "timestamp", "2020-09-13T12:26:40.000Z"
            )
        }
        return compact({"table": "spot/ticker", "data": [element]})

    def strange(self, at: float) -> str:
        message, _ = self.element(at)
        return compact(message).replace(NAME, "ETH-USDT")

    def trade(self, at: float) -> str:
        self.count += 1
        made = self.world.dialect.trade(str(1000 + self.count), round(at * 1000))
        return compact(made)


READS = ("dict", "depth", "best", "state", "health", "ticker", "together", "late")
PUSHES = {"good": 30, "bad": 12, "repeat": 4, "later": 4, "back": 2, "trade": 8}
PUSHES |= {"cut": 2, "ticker": 6, "bad ticker": 2, "strange": 1, "broken": 1}
ELSE = {"read": 24, "open": 4, "close": 3, "rotate": 1, "drop": 1, "end": 1, "take": 3}


@cache
def story(protocol: str, seed: int) -> tuple[Event, ...]:
    """A random story; several events may come at one moment."""
    rng = random.Random(f"{protocol} {seed}")
    pen, events, at = Pen(protocol, rng), list[Event](), 1.0
    kinds = PUSHES | ELSE
    pace = (SECONDS - 2.0) / EVENTS * 2
    for _ in range(EVENTS):
        if rng.random() < 0.6:
            at = round(at + rng.choice([0.05, pace, 2 * pace]), 3)
        kind = rng.choices([*kinds], [*kinds.values()])[0]
        alone = kind == "cut" or (kind in ELSE and kind != "read")
        if alone:
            # At one moment with a push it might be handled before or after.
            at = round(at + 0.05, 3)
        if kind in PUSHES:
            text = pen.write(kind, at)
            events.append(Event(at, "push", text, kind in ("bad", "cut", "bad ticker")))
            if kind == "cut":
                # It withdraws all channels when it is found, what came since included.
                events.append(Event(at + 0.01, "read", "state"))
        elif kind == "read":
            events.append(Event(at, kind, rng.choice(READS)))
            # What a read finds withdraws all channels a moment later, for the next one.
            at = round(at + 0.01, 3)
        elif kind == "open":
            ways = ["polled", "heard", "listed", "limited", "two"]
            events.append(Event(at, kind, rng.choice(ways)))
        else:
            if kind == "rotate":
                # Else a bad push may be found as the channels move, before or after.
                events.append(Event(at - 0.01, "read", "state"))
            events.append(Event(at, kind))
        at = round(at + 0.05, 3) if alone else at
    return tuple(events)


# --- How it is played -----------------------------------------------------------------


class Play:
    """One play of a story, and all that scripts saw of it, by kind and in order."""

    def __init__(self, protocol: str, keeps: bool) -> None:
        self.world = World(protocol)
        self.protocol = protocol
        self.seen: dict[str, list[Any]] = defaultdict(list)
        dialect = self.world.dialect
        for topic in ("depth5", "bbo-tbt") if protocol == "v5" else ("depth5",):
            key = dialect.channel(topic)
            self.world.exchange.first_pushes[key] = lambda key=key: self.first(key)
        self.feed: Feed = self.world.feed()
        change_settings(pool_of(self.feed), keeps_unparsed=keeps)
        self.main = self.subscribe("main", channels=("depth5", "ticker"))
        heard = self.noter("trades")

        def hear(text: str) -> None:
            heard(text)
            self.read("dict", "inside")

        self.trades = self.subscribe("trade", on_message=hear, channels=("trade",))
        self.others: list[WSSubscription] = []
        self.lists: list[Any] = []
        # The texts of bad pushes, and those of them that callbacks were given.
        self.bad: set[str] = set()
        self.bad_heard: set[str] = set()

    @property
    def now(self) -> float:
        return round(self.world.clock.now - self.world.t0, 3)

    def first(self, key: str) -> dict[str, Any]:
        """The first push of a subscription: the depth as it is."""
        made: dict[str, Any] = self.world.dialect.depth(round(self.now * 1000))
        if self.protocol == "v5":
            made["arg"]["channel"] = key.partition(":")[0]
            made["data"][0]["seqId"] = round(self.now * 1000) * 100
        return made

    def noter(self, kind: str) -> Callable[[object], None]:
        return lambda what: self.seen[kind].append((self.now, self.said(what)))

    def hearer(self, number: int) -> Callable[[str], None]:
        note = self.noter(f"texts {number}")

        def hear(text: str) -> None:
            if text in self.bad:
                self.bad_heard.add(text)
            else:
                note(text)

        return hear

    def said(self, what: object) -> str:
        """The text of *what*, without the name of this world's host."""
        return str(what).replace(self.world.host, "host")

    def subscribe(self, kind: str, **keywords: Any) -> WSSubscription:
        def change(told: StateChange) -> None:
            what = told.old, told.new, self.said(told.cause), told.epoch
            self.seen[f"{kind}: states"].append((self.now, *what))

        note = self.noter(f"{kind}: errors")
        options = {"on_state": change, "on_error": note, "feed": self.feed}
        return self.world.subscribe(**options, **keywords)

    def play(self, event: Event) -> None:
        getattr(self, event.kind)(*([] if event.what is None else [event.what]))

    # --- What happens ---------------------------------------------------------------

    def push(self, text: str) -> None:
        peers = [peer for peer in self.world.peers if peer.is_open]
        # What one of two connections keeps the other may parse.
        if len(peers) == 1 and peers[0].subscribed:
            peers[0].send(text)

    def found(self, text: str) -> None:
        """A bad push that was sent before, while there was one connection."""
        peers = [peer for peer in self.world.peers if peer.is_open]
        peers[0].send(text)

    def rotate(self) -> None:
        self.feed.rotate()

    def drop(self) -> None:
        peers = [peer for peer in self.world.peers if peer.is_open]
        if peers:
            peers[-1].drop()

    def end(self) -> None:
        key = self.world.dialect.channel("depth5")
        for peer in self.world.peers:
            if peer.is_open and key in peer.subscribed:
                peer.end(key)

    def open(self, way: str) -> None:
        number = len(self.others)
        note = self.hearer(number) if way == "heard" else None
        two = way == "two" and self.protocol == "v5"
        channels = ("depth5", "bbo-tbt") if two else ("depth5",)
        limit = {"max_age": 3.0, "max_lag": 0.03} if way == "limited" else {}
        made = self.subscribe(
            f"{number} {way}", on_message=note, channels=channels, **limit
        )
        if way == "listed":
            self.lists.append(made.updates(latest=False))
        self.others.append(made)

    def close(self) -> None:
        if self.others:
            self.others.pop(0).close()

    def take(self) -> None:
        for number, each in enumerate(self.lists):
            for item in take_without_waiting(queue_of(each)):
                at = getattr(item, "at", None)
                assert at is None or at
                told = (
                    (item.old, item.new, self.said(item.cause))
                    if isinstance(item, StateChange)
                    else self.said(item)
                )
                self.seen[f"items {number}"].append(told)

    def read(self, way: str, where: str = "") -> None:
        for sub in [self.main, *self.others]:
            self.seen["reads" + where].append((self.now, way, self.result(sub, way)))

    def result(self, sub: WSSubscription, way: str) -> Any:
        if way == "dict":
            return sub.GetDepth()
        if way == "late":
            return sub.GetDepth(max_lag=0.02)
        if way == "depth":
            try:
                return sub.depth()
            except NotLive as error:
                return error.state, self.said(error.cause)
        if way == "best":
            return sub.best_bid_ask()
        if way == "state":
            return sub.state, is_ready(sub)
        if way == "ticker":
            return self.main.latest("ticker")
        if way == "together":
            return self.feed.best_bid_asks([NAME])
        health = sub.health()
        lag = health.lag if sub.state.value == "live" else None
        return health.state, self.said(health.cause), health.epoch, lag, health.failed

    def run(self, events: tuple[Event, ...]) -> None:
        self.bad = {event.what for event in events if event.bad}
        for event in events:
            self.world.at(event.at, lambda event=event: self.play(event))
        self.world.at(SECONDS + 20.0, self.take)
        self.world.at(SECONDS + 20.0, lambda: self.read("depth"))
        self.world.run(SECONDS + 21.0)
        stats = self.feed.stats()
        # Not the gaps: a trade whose callback finds a bad push comes before the gap.
        self.seen["counts"] = [stats.dropped, stats.resyncs, stats.skipped]
        self.seen["counts"] += [stats.reconnects, stats.mismatches]
        self.unread = stats.unread


class Found(NamedTuple):
    """What was kept in a play: how often, and when it was first found to be bad."""

    kept: Counter[bytes]
    refused: dict[bytes, float]


def played(
    protocol: str, events: tuple[Event, ...], patch: pytest.MonkeyPatch
) -> tuple[Play, Found]:
    """Play *events* with a library that keeps pushes unparsed."""
    play, found = Play(protocol, keeps=True), Found(Counter(), {})
    watch_kept_pushes(
        patch,
        lambda said: found.kept.update([said]),
        lambda said: found.refused.setdefault(said, play.world.clock.now),
    )
    play.run(events)
    return play, found


def as_found(
    events: tuple[Event, ...], found: Found, began: float
) -> tuple[Event, ...]:
    """*events*, with each bad push at the moment when it was found, or left out."""
    told = list[Event]()
    for event in events:
        said = event.what.encode() if event.kind == "push" else b""
        if said not in found.kept or not event.bad:
            told.append(event)
        elif said in found.refused:
            at = found.refused[said] - began
            late = at > event.at + 10 * JUST
            # What a close finds is told to those who are left.
            closes = any(e.kind == "close" and abs(e.at - at) < JUST for e in events)
            at += JUST if closes else -JUST
            told.append(event._replace(at=at, kind="found") if late else event)
    return tuple(told)


STEPS: Counter[str] = Counter()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_kept_unparsed_or_not_a_script_sees_the_same(
    protocol: str, seed: int, thread_or_shared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = story(protocol, seed)

    lazy, found = played(protocol, events, monkeypatch)
    eager = Play(protocol, keeps=False)
    eager.run(as_found(events, found, lazy.world.t0))

    assert lazy.seen.keys() == eager.seen.keys()
    for kind, told in lazy.seen.items():
        # What is found at the moment of another error may be told behind it.
        order = sorted if kind.endswith("errors") else list
        assert order(told) == order(eager.seen[kind]), kind
    assert not eager.unread
    # Only what was kept, and so may never be parsed, is told although it is bad.
    assert {text.encode() for text in lazy.bad_heard} <= found.kept.keys()
    assert not eager.bad_heard
    STEPS.update(event.kind for event in events)
    STEPS["kept"] += found.kept.total()
    STEPS["found bad"] += len(found.refused)
    STEPS["unread"] += sum(lazy.unread.values())
