"""Faults of a gateway that sends the truth in its own way: its clock, its words.

Messages are in the order of their sequence, else of receipt; timestamps order nothing.
Data that matches no subscription withdraws what it may belong to, and once only.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from okex_ws import State
from tests.campaign.catalogue import (
    BOOK,
    CHANGE,
    DIAL,
    PUSH,
    Noticed,
    fault,
    in_turn,
    on_a_feed,
    with_books,
)
from tests.campaign.handover_faults import Planned
from tests.campaign.rig import Rig
from tests.campaign.setups import BTC
from tests.campaign.truth import GATEWAY_CLOCKS

_DOWN = (State.RECONNECTING,)
_OFF = [clock for clock in GATEWAY_CLOCKS if clock]


def pushed_since(rig: Rig, key: str) -> Callable[[], int]:
    """How many pushes of *key* there were since now."""
    since = time.monotonic()
    return lambda: sum(at > since for at, _ in rig.exchange.pushed(key))


def delivered_since(rig: Rig) -> Callable[[], bool]:
    """Whether every depth that is read was received since now."""
    since = datetime.now(timezone.utc)
    return lambda: rig.fresh(since)


def trade_key(rig: Rig) -> str:
    """The trades of the first subscription."""
    return rig.key(rig.setup.follows[0], "trade")


# --- Its clock ----------------------------------------------------------------------


@fault("clock of a gateway that jumps", "clock", PUSH)
def jumping_clock(rig: Rig) -> Iterator[Noticed]:
    """On a connection that goes on, and back again: that makes nothing older."""
    pushes = pushed_since(rig, rig.depth_key)
    rig.exchange.gateway_clock(rig.rng.choice(_OFF))
    delivered = delivered_since(rig)
    try:
        yield lambda: pushes() > 12 and delivered() and rig.untouched()
    finally:
        rig.exchange.gateway_clock(0.0)


@fault("reconnect to a gateway whose clock is off", "clock", DIAL)
def other_clock(rig: Rig) -> Iterator[Noticed]:
    """The sequence goes on, and so does the market."""
    told = rig.told(*_DOWN)
    rig.exchange.gateway_clock(rig.rng.choice(_OFF), connected=False)
    rig.exchange.drop()
    pushes = pushed_since(rig, rig.depth_key)
    try:
        yield lambda: told() and pushes() > 12
    finally:
        rig.exchange.gateway_clock(0.0)


@fault("rotate() to a gateway whose clock is off", CHANGE, PUSH, on_a_feed)
def rotate_to_other_clock(rig: Rig) -> Iterator[Noticed]:
    """Nobody notices, and what the new connection sends is newer than the old's."""
    feed = rig.feed
    assert feed is not None
    rig.exchange.gateway_clock(rig.rng.choice(_OFF), connected=False)
    planned = Planned(rig, feed.rotate)
    later: list[Callable[[], bool]] = []

    def wait_for_pushes() -> bool:
        later.append(delivered_since(rig))
        return True

    try:
        yield in_turn(
            planned.begin,
            planned.ended,
            wait_for_pushes,
            lambda: later[0](),
            planned.unnoticed,
        )
    finally:
        rig.exchange.gateway_clock(0.0)


# --- Its words ----------------------------------------------------------------------


def _keys(rig: Rig) -> list[str]:
    return [key for key in (rig.depth_key, trade_key(rig), rig.book_key) if key]


@fault("fields in another order", "words", PUSH)
def other_order(rig: Rig) -> Iterator[Noticed]:
    """It is the same message, of a depth, of trades and of a whole book."""
    pushes, keys = pushed_since(rig, rig.depth_key), _keys(rig)
    for key in keys:
        rig.exchange.reword(key, "order", None)
    delivered = delivered_since(rig)
    try:
        yield lambda: pushes() > 12 and delivered() and rig.untouched()
    finally:
        for key in keys:
            rig.exchange.reword(key, "order", 0)


def _misname(how: str, what: str) -> None:
    @fault(f"name of a channel {what}", "words", BOOK)
    def misname(rig: Rig) -> Iterator[Noticed]:
        """What has such a name is taken for what it is, or withdraws what it may be."""
        keys = rig.rng.sample(_keys(rig), rig.rng.randint(1, len(_keys(rig))))
        pushes = [pushed_since(rig, key) for key in keys]
        for key in keys:
            rig.exchange.reword(key, how, None)
        try:
            # Longer than a lease: what is still given then was not withdrawn.
            began = time.monotonic()
            yield (
                lambda: (
                    time.monotonic() > began + 2.0
                    and all(each() > 3 for each in pushes)
                )
            )
        finally:
            for key in keys:
                rig.exchange.reword(key, how, 0)


_misname("field", "with one more field")
_misname("case", "in another case")
_misname("event", "beside an event")


# --- Strangers ----------------------------------------------------------------------

_OTHER = ("spot", "STRANGER-USDT")


def _stranger(rig: Rig) -> dict[str, Any]:
    """Data that nobody asked for: of another instrument, or channel, or of both."""
    newest = rig.exchange.newest(rig.depth_key)
    assert newest is not None
    topic, instrument = rig.rng.choice(
        (("depth5", _OTHER), ("mystery", BTC), ("mystery", _OTHER))
    )
    element = copy.deepcopy(newest[1])
    if "instrument_id" in element:
        element["instrument_id"] = instrument[1]
    return rig.dialect.push(rig.dialect.key(topic, *instrument), element)


def _strangers(rig: Rig) -> int:
    """How many were counted; data of another instrument than its channel is "shape"."""
    return sum(rig.count(kind) for kind in ("unasked", "unknown", "shape"))


@fault("stranger that repeats", "words", BOOK)
def stranger(rig: Rig) -> Iterator[Noticed]:
    """Five times a second: it is counted each time, and withdraws nobody twice."""
    said, dropped = json.dumps(_stranger(rig)), _strangers(rig)
    due = [time.monotonic() + 0.2 * n for n in range(10)]

    def repeat() -> bool:
        if due and time.monotonic() > due[0]:
            del due[0]
            rig.exchange.send_event(said)
        return not due

    yield in_turn(
        repeat,
        lambda: _strangers(rig) >= dropped + 10,
        lambda: rig.mixed or max(rig.withdrawals()) <= 1,
    )


# --- Its order ----------------------------------------------------------------------


@fault("acknowledgement after the data", "passing", DIAL + 2.0)
def late_acknowledgement(rig: Rig) -> Iterator[Noticed]:
    """A little later, or after the library has stopped to wait for it."""
    told, came = rig.told(*_DOWN), rig.exchange.handshakes
    rig.exchange.acknowledge_late(rig.rng.choice((0.01, 0.3, 3.0)))
    rig.exchange.drop()
    try:
        delivered = delivered_since(rig)
        yield lambda: told() and delivered() and rig.exchange.handshakes > came
    finally:
        rig.exchange.acknowledge_late(0.0)


@fault("stragglers after an unsubscribe", "book", BOOK, with_books)
def stragglers(rig: Rig) -> Iterator[Noticed]:
    """A book breaks, and old messages come around the unsubscribe of it."""
    key = rig.book_key
    assert key is not None
    told = rig.told(State.RESYNCING, of=1)
    rig.exchange.straggle(key, rig.rng.choice((1, 2, 4)))
    rig.exchange.spoil(key, "negative")
    try:
        yield lambda: told() and rig.untouched(but=1) and unsubscribed(rig, key) > 0
    finally:
        rig.exchange.straggle(key, 0)
        rig.exchange.spoil(key, "negative", times=0)


def unsubscribed(rig: Rig, key: str) -> int:
    """How often *key* was unsubscribed since the mark."""
    name, _, instrument_id = key.partition(":")
    return sum(
        "unsub" in str(text) and name in str(text) and instrument_id in str(text)
        for at, text in rig.exchange.requests
        if at > rig.marked_at
    )


def with_times(element: dict[str, Any], ahead: float) -> dict[str, Any]:
    """*element* as the exchange would stamp it *ahead* seconds from now."""
    at = datetime.now(timezone.utc) + timedelta(seconds=ahead)
    if "ts" in element:
        return {**element, "ts": str(int(at.timestamp() * 1000))}
    stamp = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {**element, "timestamp": stamp}
