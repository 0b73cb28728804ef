"""Trades that are kept unparsed until they are read are those of parsing at once.

A story is a random sequence of pushes of trades, good and bad, of reads, and of what
happens to the connection and its followers. It is played twice in virtual time: once
with a library that keeps trades unparsed, once with one that parses each at its
receipt. All that a script sees has to be the same: the trades, the items of iterators,
gaps, states and errors. A bad push that nothing has read is neither told nor counted:
it is left out of the second play. Another one comes there when it is found in the
first. What callbacks get of bad pushes, at the receipt, is not compared.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import pytest

from okex_ws import Feed, Gap, StateChange, WSSubscription
from tests.support.internals import (
    change_settings,
    keep_few_trades,
    pool_of,
    queue_of,
    take_without_waiting,
    watch_kept_trades,
)
from tests.support.virtual_world import World, compact

SECONDS = 100.0
EVENTS = 160
# The first few run on every interpreter.
SEEDS = [
    *range(4),
    *(pytest.param(seed, marks=pytest.mark.once) for seed in range(4, 24)),
]
# How long before a bad push is found it comes in the second play.
JUST = 1e-6


class Event(NamedTuple):
    """What happens at *at* seconds; *bad* is whether it is a push of no trade."""

    at: float
    kind: str
    what: Any = None
    bad: bool = False


# How a good push may be written besides the usual way.
FORMS = ["escape", "front", "big", "no", "quoted", "zero", "spaced", "nested", "twice"]


class Pen:
    """Writes the pushes of one story; each bad one is different from all others."""

    def __init__(self, protocol: str, rng: random.Random) -> None:
        self.dialect = World(protocol).dialect
        self.protocol, self.rng = protocol, rng
        self.id, self.count = 1000, 0
        self.sent: list[str] = []
        # The ids of good trades: a bad one has an id of its own.
        self.ids = [900]

    def push(self, trade_id: object, at: float, **changes: str) -> str:
        self.count += 1
        message = self.dialect.trade(str(trade_id), round(at * 1000))
        (element,) = message["data"]
        element.update(changes)
        return compact(message)

    def price(self) -> dict[str, str]:
        name = "px" if self.protocol == "v5" else "price"
        return {name: f"100.{self.count:04}1"}

    def good(self, at: float) -> str:
        step = self.rng.choice([1, 1, 1, 1, 2, 3])
        self.id += step
        changes = self.price()
        if self.protocol == "v5" and self.rng.random() < 0.7:
            changes["count"] = str(self.rng.choice([1, 1, step, step, step + 1]))
        form = self.rng.choice([""] * 8 + FORMS)
        if form == "big":
            changes["source"] = "0" * 5000
        elif form == "escape":
            changes["source"] = "\u00e9"
        elif form == "quoted":
            changes["source"] = '"tradeId":"9","trade_id":"9","count":"4"'
        written = f"0{self.id}" if form == "zero" else self.id
        text = self.push(written, at, **changes)
        if form == "spaced":
            # As a gateway in another language may write it.
            name = self.rng.choice(['"trade_?[iI]d"', '"count"', '"[a-z]+"'])
            text = re.sub(f"({name}):", r"\1 : ", text)
        if form == "nested":
            more = '"more":{"tradeId":"9","trade_id":"9","count":"4"}'
            text = text.replace("}]}", f",{more}}}]}}")
        if form == "twice":
            name = "tradeId" if self.protocol == "v5" else "trade_id"
            text = text.replace("}]}", f',"{name}":"{self.id}"}}]}}')
        if form == "front":
            text = text.replace('"data":[{', '"data":[{"more":"1",')
        if form == "no" and self.protocol == "v5":
            text = text.replace(f',"count":"{changes.get("count", "1")}"', "")
        self.sent.append(text)
        self.ids.append(self.id)
        return text

    def repeat(self, at: float) -> str:
        return self.rng.choice(self.sent[-9:]) if self.sent else self.good(at)

    def other(self, at: float) -> str:
        """Another trade under the id of one that was sent."""
        return self.push(self.rng.choice(self.ids[-4:]), at, **self.price())

    def back(self, at: float) -> str:
        """The ids begin anew, lower; or a lower one comes late."""
        if self.rng.random() < 0.5:
            self.id = 500 + self.count
            self.ids = [self.id]
            return self.push(self.id, at, **self.price())
        return self.push(self.rng.choice(self.ids), at, **self.price())

    def word(self, at: float) -> str:
        return self.push(f"a{self.count}", at)

    def bad(self, at: float) -> str:
        way = self.rng.choice(["price", "side", "absurd", "whose", "cut", "count"])
        self.id += 1
        price = self.price()
        if way == "absurd":
            return self.push(10**15 + self.count, at, **dict.fromkeys(price, "x"))
        if way == "side":
            return self.push(self.id, at, **price, side="hold")
        if way == "whose" and self.protocol == "v5":
            return self.push(self.id, at, **price, instId="btc-usdt")
        if way == "cut":
            text = self.push(self.id, at, **price)
            return text.replace('"side":', '"side"', 1)
        if way == "count" and self.protocol == "v5":
            return self.push(self.id, at, **price, count="9999999")
        (name,) = price
        return self.push(self.id, at, **{name: f"x{self.count}"})


PUSHES = {"good": 60, "bad": 6, "repeat": 4, "other": 1, "back": 1, "word": 1}
READS = ("trades", "latest", "state", "health")
ELSE = {"read": 24, "open": 2, "close": 2, "rotate": 1, "drop": 1, "end": 1, "take": 4}


@cache
def story(protocol: str, seed: int) -> tuple[Event, ...]:
    """A random story; several pushes and reads may come at one moment."""
    rng = random.Random(f"trades {protocol} {seed}")
    pen, events, at = Pen(protocol, rng), list[Event](), 1.0
    kinds, pace = PUSHES | ELSE, (SECONDS - 40.0) / EVENTS
    for _ in range(EVENTS):
        kind = rng.choices([*kinds], [*kinds.values()])[0]
        alone = kind in ELSE and kind != "read"
        apart = alone or (events and (events[-1].kind == "push") != (kind in PUSHES))
        if apart or rng.random() < 0.6:
            # What is found at a read is apart from what comes at the same moment.
            at = round(at + rng.choice([0.05, pace, 2 * pace]) + 0.003 * alone, 3)
        if kind in PUSHES:
            text = getattr(pen, kind)(at)
            events.append(Event(at, "push", text, kind == "bad"))
        elif kind == "read":
            events.append(Event(at, kind, rng.choice(READS)))
        elif kind == "open":
            ways = ["polled", "polled", "heard", "listed", "limited"]
            events.append(Event(at, kind, rng.choice(ways)))
        else:
            events.append(Event(at, kind))
        if alone:
            # What is found without a connection is told with the next one.
            at = round(at + {"drop": 3.0, "end": 9.0}.get(kind, 0.05), 3)
    return tuple(events)


class Play:
    """One play of a story, and all that scripts saw of it, by kind and in order."""

    def __init__(self, protocol: str, keeps: bool) -> None:
        self.world = World(protocol)
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.key = self.world.dialect.channel("trade")
        self.feed: Feed = self.world.feed()
        change_settings(pool_of(self.feed), keeps_unparsed=keeps)
        self.main = self.subscribe("main")
        self.others: list[WSSubscription] = []
        # How many trades a read compares.
        self.newest = 1000
        # How many others were opened, and closed since.
        self.began = self.ended = 0
        self.lists: list[Any] = []

    @property
    def now(self) -> float:
        return round(self.world.clock.now - self.world.t0, 3)

    def said(self, what: object) -> str:
        """The text of *what*, without the name of this world's host."""
        return str(what).replace(self.world.host, "host")

    def noter(self, kind: str, number: float = math.inf) -> Callable[[object], None]:
        """Notes what subscription *number* is told, until it is closed.

        What is found at that moment may still be told to it, or not.
        """

        def note(what: object) -> None:
            if number >= self.ended:
                self.seen[kind].append((self.now, self.said(what)))

        return note

    def hearer(self, number: int) -> Callable[[str], None]:
        note = self.noter(f"texts {number}")
        return lambda text: None if text in self.bad else note(text)

    def subscribe(
        self, kind: str, number: float = math.inf, **keywords: Any
    ) -> WSSubscription:
        def change(told: StateChange) -> None:
            what = told.old, told.new, self.said(told.cause), told.epoch
            self.seen[f"{kind}: states"].append((self.now, *what))

        note = self.noter(f"{kind}: errors", number)
        options = {"on_state": change, "on_error": note, "feed": self.feed}
        return self.world.subscribe(channels=("trade",), **options, **keywords)

    def play(self, event: Event) -> None:
        if event.bad:
            self.push(event.what, most=2)
            return
        getattr(self, event.kind)(*([] if event.what is None else [event.what]))
        if event.kind == "push" and not event.bad:
            # It comes again with the next subscribe.
            self.world.exchange.first_pushes[self.key] = event.what

    def push(self, text: str, most: int = 1) -> None:
        peers = [peer for peer in self.world.peers if peer.is_open]
        if 1 <= len(peers) <= most and peers[0].subscribed:
            peers[0].send(text)

    def rotate(self) -> None:
        self.feed.rotate()

    def drop(self) -> None:
        peers = [peer for peer in self.world.peers if peer.is_open]
        if peers:
            peers[-1].drop()

    def end(self) -> None:
        for peer in self.world.peers:
            if peer.is_open and self.key in peer.subscribed:
                peer.end(self.key)

    def open(self, way: str) -> None:
        number, self.began = self.began, self.began + 1
        note = self.hearer(number) if way == "heard" else None
        limit = {"max_age": 3.0} if way == "limited" else {}
        made = self.subscribe(f"{number} {way}", number, on_message=note, **limit)
        if way == "listed":
            self.lists.append(made.updates())
        self.others.append(made)

    def close(self) -> None:
        if self.others:
            self.ended += 1
            self.others.pop(0).close()

    def take(self) -> None:
        for number, each in enumerate(self.lists):
            for item in take_without_waiting(queue_of(each)):
                told: Any = item
                if isinstance(item, StateChange):
                    told = item.old, item.new, self.said(item.cause)
                elif isinstance(item, Gap):
                    told = item.after, item.before, self.said(item.cause)
                self.seen[f"items {number}"].append(told)

    def read(self, way: str) -> None:
        for sub in [self.main, *self.others]:
            self.seen["reads"].append((self.now, way, self.result(sub, way)))

    def result(self, sub: WSSubscription, way: str) -> Any:
        if way == "trades":
            return sub.trades[-self.newest :]
        if way == "latest":
            return sub.latest("trade")
        if way == "state":
            return sub.state
        health = sub.health()
        return health.state, self.said(health.cause), health.epoch, health.failed

    def run(self, events: tuple[Event, ...]) -> None:
        self.bad = {event.what for event in events if event.bad}
        for event in events:
            self.world.at(event.at, lambda event=event: self.play(event))
        self.world.at(SECONDS + 20.0, lambda: self.read("trades"))
        # Then, because the last read may find what is told.
        self.world.at(SECONDS + 20.5, self.take)
        self.world.run(SECONDS + 21.0)
        stats = self.feed.stats()
        counts = [stats.dropped, stats.resyncs, stats.gaps, stats.skipped]
        self.seen["counts"] = [*counts, stats.reconnects]
        self.unread = stats.unread


class Found(NamedTuple):
    """What was kept in a play: how often, and when it was first found to be bad."""

    kept: Counter[bytes]
    refused: dict[bytes, float]


def played(
    protocol: str,
    events: tuple[Event, ...],
    patch: pytest.MonkeyPatch,
    newest: int = 1000,
) -> tuple[Play, Found]:
    """Play *events* with a library that keeps trades unparsed."""
    play, found = Play(protocol, keeps=True), Found(Counter(), {})
    play.newest = newest
    watch_kept_trades(
        patch,
        lambda said: found.kept.update([said]),
        lambda said: found.refused.setdefault(said, play.world.clock.now),
    )
    play.run(events)
    return play, found


def as_found(
    events: tuple[Event, ...], found: Found, began: float
) -> tuple[Event, ...]:
    """*events*, with each bad push at the moment when it was found, or left out.

    One that is found because a subscription is closed comes just after that.
    """
    told = list[Event]()
    closes = [event.at for event in events if event.kind == "close"]
    for event in events:
        said = event.what.encode() if event.kind == "push" else b""
        if said not in found.kept or not event.bad:
            told.append(event)
        elif said in found.refused:
            at = found.refused[said] - began
            late = at > event.at + 10 * JUST
            after = any(abs(at - close) < JUST for close in closes)
            moment = at + JUST if after else at - JUST
            told.append(event._replace(at=moment) if late else event)
    return tuple(told)


# What all stories had in sum.
STEPS: Counter[str] = Counter()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_kept_unparsed_or_not_a_script_sees_the_same_trades(
    protocol: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(protocol, story(protocol, seed), monkeypatch)


@pytest.mark.parametrize("seed", range(100, 112))
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_trades_leave_alike_whether_they_were_parsed_or_not(
    protocol: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 20 trades for reads, of which a bad one takes the place of an older one."""
    keep_few_trades(monkeypatch, 20)

    compare(protocol, story(protocol, seed), monkeypatch, newest=10)


def compare(
    protocol: str,
    events: tuple[Event, ...],
    patch: pytest.MonkeyPatch,
    newest: int = 1000,
) -> None:
    """Play *events* twice; a script has to see the same, of the *newest* trades."""
    lazy, found = played(protocol, events, patch, newest)
    eager = Play(protocol, keeps=False)
    eager.newest = newest
    eager.run(as_found(events, found, lazy.world.t0))

    assert lazy.seen.keys() == eager.seen.keys()
    for kind, told in lazy.seen.items():
        assert told == eager.seen[kind], kind
    assert not eager.unread
    assert any(read for _, way, read in lazy.seen["reads"] if way == "trades")
    STEPS.update(event.kind for event in events)
    STEPS["kept"] += found.kept.total()
    STEPS["found bad"] += len(found.refused)
