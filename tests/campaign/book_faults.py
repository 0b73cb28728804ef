"""Faults of a whole book: that book alone is withdrawn and resubscribed, or none is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from okex_ws import State
from okex_ws.local_exchange import BOOK_FAULTS
from tests.campaign.catalogue import BOOK, PUSH, Noticed, fault, in_turn, with_books
from tests.campaign.judge import Judge
from tests.campaign.rig import Rig
from tests.campaign.setups import GUEST, SubscriptionSetup

_BACK = (State.RESYNCING,)
_OF_A_SEQUENCE = ("gap", "reset")
# What breaks the proof of a protocol, at once.
_BREAKS = {
    "v3": ("lose", "flip", "reorder", "negative", "retire"),
    "v5": ("lose", "repeat", "reorder", "gap", "negative"),
}
# One change may be below what a checksum sees: not all of twenty.
_TIMES = {"lose": 20, "reorder": 20}


def _breaks(rig: Rig, how: str) -> bool:
    # A checksum of 0 proves nothing, and so nothing shows that a digit is wrong.
    signed = how == "flip" and rig.setup.checksums
    return how in _BREAKS[rig.setup.protocol] or signed


def _fits(how: str) -> Callable[[Rig], bool]:
    def fits(rig: Rig) -> bool:
        has = rig.setup.protocol == "v5" or how not in _OF_A_SEQUENCE
        told = how != "flip" or _breaks(rig, how)
        return rig.book_key is not None and has and told

    return fits


def _spoil(how: str) -> None:
    @fault(f"book: {how}", "book", BOOK, _fits(how))
    def spoil(rig: Rig) -> Iterator[Noticed]:
        key = rig.book_key
        assert key is not None
        # What is held back comes with the next messages, and may break it once more.
        told, next_ones = rig.told(*_BACK, of=1), _pushed(rig, key, 4)
        later = _pushed(rig, key, 8)
        rig.exchange.spoil(key, how, times=_TIMES.get(how, 1))
        try:
            if _breaks(rig, how):
                yield lambda: told() and next_ones() and rig.untouched(but=1)
            else:
                yield lambda: later() and rig.untouched()
        finally:
            rig.exchange.spoil(key, how, times=0)


def _pushed(rig: Rig, key: str, count: int) -> Callable[[], bool]:
    """Whether so much was pushed of a book since now."""
    newest = rig.exchange.newest(key)
    since = 0.0 if newest is None else newest.at
    return lambda: sum(at > since for at, _ in rig.exchange.pushed(key)) >= count


for _how in BOOK_FAULTS:
    if _how != "no snapshot":
        _spoil(_how)


@fault("book: no snapshot", "book", BOOK, with_books)
def no_snapshot(rig: Rig) -> Iterator[Noticed]:
    """It breaks, is asked for anew, and is given no whole one the first time."""
    key = rig.book_key
    assert key is not None
    told, since = rig.told(*_BACK, of=1), time.monotonic()
    rig.exchange.spoil(key, "no snapshot")
    rig.exchange.spoil(key, "negative")
    try:
        yield lambda: told() and rig.untouched(but=1) and _left(rig, since) >= 2
    finally:
        rig.exchange.spoil(key, "no snapshot", times=0)
        rig.exchange.spoil(key, "negative", times=0)


def _left(rig: Rig, since: float) -> int:
    """How often something was unsubscribed."""
    return sum("unsub" in str(text) for at, text in rig.exchange.requests if at > since)


@fault("book closed while it resynchronises, and opened again", "guest", PUSH)
def reopened(rig: Rig) -> Iterator[Noticed]:
    """What was asked for anew is wanted no more, and then wanted again."""
    follow = SubscriptionSetup(GUEST, ("depth",))
    visits = [rig.visit(follow)]

    def spoil() -> bool:
        rig.exchange.spoil(rig.key(follow, "depth"), "negative")
        return True

    def again() -> bool:
        rig.pause(0.2)
        visits[0].subscription.close()
        visits.append(rig.visit(follow))
        return True

    try:
        yield in_turn(
            lambda: _is_whole(visits[0]),
            spoil,
            lambda: any(change.new in _BACK for change in visits[0].changes),
            again,
            lambda: _is_whole(visits[1]) and rig.untouched(),
        )
    finally:
        for visit in visits:
            visit.subscription.close()


def _is_whole(visit: Judge) -> bool:
    """Whether its book is there, as every read of it judges for itself."""
    for _ in range(7):
        visit.read()
    return visit.subscription.book is not None


@fault("channel that the exchange ends", "book", BOOK + 1.0)
def ended(rig: Rig) -> Iterator[Noticed]:
    """It says so, and is asked again: of best levels, or of a whole book."""
    which = 1 if rig.book_key is not None and rig.rng.random() < 0.5 else 0
    key = rig.book_key if which else rig.depth_key
    assert key is not None
    told = rig.told(State.SYNCING, of=which)
    rig.exchange.send_event(rig.dialect.event("unsubscribe", key))
    yield lambda: told() and rig.untouched(but=which)
