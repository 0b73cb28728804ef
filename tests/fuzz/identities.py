"""Targets for what a message is of: its fields in another order, its name another one.

The order of fields means nothing. Data whose name matches no subscription withdraws
what it may belong to, at once, and nothing twice; good data brings all of it back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from okex_ws import Feed, State, StateChange, WSSubscription
from okex_ws.base.errors import WireError
from okex_ws.protocol.messages import Push
from tests.fuzz.corpus import Corpus
from tests.fuzz.frames import WIRES, check_error
from tests.fuzz.mutators import reordered
from tests.support.virtual_world import World

NAMES = ("BTC-USDT", "ETH-USDT")
STRANGER = "STRANGER-USDT"
# An instrument and a topic.
Source = tuple[str, str]
SOURCES = tuple((name, topic) for name in NAMES for topic in ("depth5", "trade"))
# How a name is changed; the first one is no change of it.
HOWS = ("order", "field", "case", "event", "instrument", "channel", "both")
# When the odd message comes, and how far apart its repeats and the good ones are.
_ODD, _REPEAT, _GOOD = 3.05, 0.2, 0.25
_END = 12.0


class OddName(NamedTuple):
    """A true message, of *source* (an instrument, and a depth or a trade), said oddly.

    *how* is one of `HOWS`, *seed* the order of its fields, and it is said *times*.
    """

    protocol: str
    source: Source
    how: str
    seed: int
    times: int


# --- The order of fields ------------------------------------------------------------


def make_order(rng: Random, corpus: Corpus) -> tuple[str, bytes, bytes]:
    """A good frame of a protocol, and the same with its fields in another order."""
    protocol = ("v3", "v5")[rng.randrange(2)]
    seed = corpus.pick(rng, protocol)
    again = json.loads(seed.text) if isinstance(seed.tree, dict) else seed.tree
    if not isinstance(again, dict):
        return protocol, seed.text, seed.text
    return protocol, seed.text, _written(reordered(rng, _exact(seed.text)))


class _Number(str):
    """A number, with the characters that it came in."""

    __slots__ = ()


def _exact(text: bytes) -> Any:
    return json.loads(text, parse_float=_Number, parse_int=_Number)


def _written(value: Any) -> bytes:
    return _text_of(value).encode()


def _text_of(value: Any) -> str:
    if isinstance(value, dict):
        items = (f"{json.dumps(key)}:{_text_of(each)}" for key, each in value.items())
        return f"{{{','.join(items)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_text_of, value))}]"
    if isinstance(value, _Number):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def check_order(given: tuple[str, bytes, bytes]) -> str:
    """Both are the same messages, apart from the text of a push."""
    protocol, text, other = given
    first, second = _decoded(protocol, text), _decoded(protocol, other)
    assert first == second, (first, second)
    return type(first[0]).__name__


def _decoded(protocol: str, text: bytes) -> tuple[Any, ...]:
    try:
        messages = WIRES[protocol].decode(text, False)
    except WireError as error:
        return (check_error(error),)
    return tuple(
        each._replace(text="") if isinstance(each, Push) else each for each in messages
    )


# --- Names --------------------------------------------------------------------------


def make_name(rng: Random, corpus: Corpus) -> OddName:
    """Any message that is said, any change of its name, and any order of its fields."""
    return OddName(
        ("v3", "v5")[rng.randrange(2)],
        SOURCES[rng.randrange(len(SOURCES))],
        HOWS[rng.randrange(len(HOWS))],
        rng.randrange(1000),
        rng.randrange(1, 9),
    )


def check_name(given: OddName) -> str:
    """The odd message is taken for what it is, or withdraws what it may be."""
    return _Run(given).outcome()


class _Run:
    """A feed in virtual time, with a depth and the trades of two instruments."""

    def __init__(self, odd: OddName) -> None:
        self._odd = odd
        self._world = World(odd.protocol)
        self._count = 0
        self._withdrawn: Counter[Source] = Counter()
        # What each good push and the odd one say, so that a read tells which it is of.
        self._good: dict[Source, str] = {}
        self._said = ""
        # Just after the odd message: the state, the newest value, and the gaps so far.
        self._looks: dict[Source, tuple[State, str, int]] = {}

    def outcome(self) -> str:
        """Let it happen; the name of the outcome."""
        world, odd = self._world, self._odd
        with world.feed() as feed:
            subscriptions = {each: self._subscribe(feed, *each) for each in SOURCES}
            for moment in _moments(1.0, _ODD - 0.05, _GOOD):
                world.at(moment, self._say_all)
            for n in range(odd.times):
                world.at(_ODD + _REPEAT * n, self._say_oddly)
            world.at(_ODD + 0.12, lambda: self._look(subscriptions))
            # Good pushes again, between those that repeat.
            for moment in _moments(_ODD + 0.15, _END - 0.5, _GOOD):
                world.at(moment, self._say_all)
            world.at(_END, lambda: self._check_end(subscriptions))
            world.run(_END + 1.0)
        return self._judge()

    def _subscribe(self, feed: Feed, name: str, topic: str) -> WSSubscription:
        def changed(change: StateChange) -> None:
            if change.new is not State.CLOSED:
                self._withdrawn[name, topic] += change.old is State.LIVE

        return WSSubscription(
            name, "spot", channels=(topic,), feed=feed, on_state=changed
        )

    # --- What is said ---------------------------------------------------------------

    def _message(self, name: str, topic: str) -> dict[str, Any]:
        self._count += 1
        at = self._count
        if topic == "trade":
            return self._world.dialect.trade(str(at), at, name)
        return self._world.dialect.depth(at, f"{100 + at}.1", f"{100 + at}.2", name)

    def _value(self, topic: str) -> str:
        """What tells the message that was made last from all others."""
        return str(self._count) if topic == "trade" else f"{100 + self._count}.1"

    def _say_all(self) -> None:
        peer = self._world.peer
        assert peer is not None
        for name, topic in SOURCES:
            peer.send(self._message(name, topic))
            self._good[name, topic] = self._value(topic)

    def _say_oddly(self) -> None:
        peer, (name, topic) = self._world.peer, self._odd.source
        assert peer is not None
        message = self._message(name, topic)
        self._said = self._said or self._value(topic)
        message = misnamed(self._odd.how, message)
        peer.send(json.dumps(reordered(Random(self._odd.seed), message)))

    # --- What becomes of it ---------------------------------------------------------

    def _look(self, subscriptions: dict[Source, WSSubscription]) -> None:
        """What is read just after the odd message came for the first time."""
        for source, each in subscriptions.items():
            gaps = each.stats().gaps
            self._looks[source] = each.state, _newest(each, source[1]), gaps

    def _judge(self) -> str:
        how, source = self._odd.how, self._odd.source
        taken = self._looks[source][1] == self._said
        if taken or how == "order":
            assert taken, f"what is in another order was not taken: {self._looks}"
            assert how in ("order", "field", "case", "event"), "taken for another one"
            assert not self._withdrawn.total(), self._withdrawn
            return "taken"
        # Nothing that is fed meanwhile is withdrawn again and again.
        assert max(self._withdrawn.values(), default=0) <= 1, self._withdrawn
        for other in SOURCES:
            if self._may_be(*other):
                state, value, gaps = self._looks[other]
                # The trades so far are good, and one may be missing after them.
                doubted = gaps == 1 if other[1] == "trade" else state is not State.LIVE
                assert doubted, f"{other} is {state} at {value}, with {gaps} gaps"
        return "withdrawn"

    def _may_be(self, name: str, topic: str) -> bool:
        """Whether what came may be of that one: by its channel or its instrument.

        If both are those of one subscription, but for their case, it is of that one.
        """
        how = self._odd.how
        if how in ("field", "case"):
            return (name, topic) == self._odd.source
        same_name = name == self._odd.source[0] and how not in ("instrument", "both")
        same_topic = topic == self._odd.source[1] and how not in ("channel", "both")
        return same_name or same_topic or how == "both"

    def _check_end(self, subscriptions: dict[Source, WSSubscription]) -> None:
        """Good data has brought back all of them."""
        for source, each in subscriptions.items():
            assert each.state is State.LIVE, (source, each.health())
            assert _newest(each, source[1]) == self._good[source]


def _newest(subscription: WSSubscription, topic: str) -> str:
    if topic == "trade":
        return str(getattr(subscription.latest("trade"), "id", ""))
    best = subscription.best_bid_ask()
    return "" if best is None else str(best.bid)


def _moments(first: float, last: float, apart: float) -> Iterator[float]:
    moment = first
    while moment < last:
        yield moment
        moment += apart


def misnamed(how: str, message: dict[str, Any]) -> dict[str, Any]:
    """*message* by another name; under v3 its table and its instrument are the name."""
    if how in _BESIDE:
        return _BESIDE[how](message)
    is_v5 = "arg" in message
    named = message["arg"] if is_v5 else message["data"][0]
    field = "instId" if is_v5 else "instrument_id"
    if how == "field":
        more = {"instType": "SPOT"}
        return {**message, "arg": {**named, **more}} if is_v5 else {**more, **message}
    changes: dict[str, Any] = {}
    if how == "case":
        changes[field] = named[field].lower()
    if how in ("instrument", "both"):
        changes[field] = STRANGER
    if how in ("channel", "both") and is_v5:
        changes["channel"] = "mystery"
    elif how in ("channel", "both"):
        message = {**message, "table": "spot/mystery"}
    changed = {**named, **changes}
    if not is_v5:
        return {**message, "data": [changed]}
    if how == "case":
        return {**message, "arg": changed}
    # A stranger is one in its data, too.
    data = [{**each, "instId": changed["instId"]} for each in message["data"]]
    return {**message, "arg": changed, "data": data}


_BESIDE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "order": lambda message: message,
    "event": lambda message: {**message, "event": "update"},
}
