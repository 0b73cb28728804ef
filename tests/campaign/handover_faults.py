"""Faults of a handover: a standby takes over from a connection, or is kept from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
    with_v5,
)
from tests.campaign.rig import Rig, loopback
from tests.support.internals import pool_of
from tests.support.loopback_servers import Server, wait_for_end


def _announced(rig: Rig) -> bool:
    """Whether there are notices, and a way to end only what was there before one."""
    return with_v5(rig) and on_a_feed(rig) and rig.proxy is not None


def _over(rig: Rig) -> Callable[[], bool]:
    """Whether every connection was replaced since now, and the old ones went."""
    assert rig.feed is not None
    pool, there = pool_of(rig.feed), rig.exchange.clients
    old = set(pool.placed)
    return lambda: not old & set(pool.placed) and rig.exchange.clients <= there


class Planned:
    """A change-over that nobody may notice, from *begin* on; its steps, in turn."""

    def __init__(self, rig: Rig, begin: Callable[[], object]) -> None:
        self._rig = rig
        self._begin = begin
        self._gaps = 0

    def begin(self) -> bool:
        """Begin, once everything that an earlier fault left is told."""
        if not (self._rig.traded() or self._rig.mixed):
            return False
        self._gaps = self._rig.gaps()
        self.over = _over(self._rig)
        self._begin()
        return True

    def ended(self) -> bool:
        """Whether the new connections have taken over."""
        return self.over()

    def unnoticed(self) -> bool:
        """Whether nobody was told anything, not even of a gap."""
        same = self._rig.gaps() == self._gaps
        return self._rig.mixed or (self._rig.untouched() and same)


# --- Asked for by the script --------------------------------------------------------


@fault("rotate()", CHANGE, PUSH, on_a_feed)
def rotate(rig: Rig) -> Iterator[Noticed]:
    """In the middle of traffic: prices go on, and trades are complete."""
    feed, times = rig.feed, rig.rng.choice((1, 1, 2))
    assert feed is not None
    planned = Planned(rig, lambda: [feed.rotate() for _ in range(times)])
    yield in_turn(planned.begin, planned.ended, planned.unnoticed)


@fault("rotate() cut short by a drop", CHANGE, DIAL, on_a_feed, instant=True)
def rotate_and_drop(rig: Rig) -> Iterator[Noticed]:
    """Both connections are gone, whatever was done by then."""
    assert rig.feed is not None
    rig.feed.rotate()
    rig.pause(1.2)
    rig.exchange.drop()
    yield rig.told(State.RECONNECTING)


@fault("rotate() to where nobody answers", CHANGE, PUSH, on_a_feed)
def rotate_in_vain(rig: Rig) -> Iterator[Noticed]:
    """The old connection serves on, until there is a new one."""
    assert rig.feed is not None
    answer = rig.rng.choice((wait_for_end, lambda sock: None))
    planned = Planned(rig, rig.feed.rotate)
    with Server(answer) as server, rig.answering(loopback(server.port)):
        # The second attempt says that the first one failed.
        yield in_turn(planned.begin, lambda: server.accepted >= 2, planned.unnoticed)


@fault("rotate() while a book resynchronises", CHANGE, BOOK, with_books)
def rotate_broken(rig: Rig) -> Iterator[Noticed]:
    """The book of the new connection is whole, that of the old one is not."""
    assert rig.feed is not None
    assert rig.book_key is not None
    over, told = _over(rig), rig.told(State.RESYNCING, of=1)
    if rig.rng.random() < 0.5:
        rig.feed.rotate()
    rig.exchange.spoil(rig.book_key, "negative")

    def turn() -> bool:
        assert rig.feed is not None
        rig.feed.rotate()
        return True

    try:
        yield in_turn(told, turn, over, lambda: rig.untouched(but=1))
    finally:
        rig.exchange.spoil(rig.book_key, "negative", times=0)


# --- Announced by the exchange ------------------------------------------------------


@fault("notice 64008, heeded in time", CHANGE, PUSH, _announced)
def notice(rig: Rig) -> Iterator[Noticed]:
    """The old connections end after the new ones took over: nobody notices."""
    assert rig.proxy is not None
    old, planned = rig.proxy.turn(), Planned(rig, rig.exchange.notice)

    def reset() -> bool:
        old.reset()
        rig.pause(0.1)
        return True

    yield in_turn(planned.begin, planned.ended, reset, planned.unnoticed)


@fault("notice 64008, and the end too soon", CHANGE, DIAL, _announced, instant=True)
def notice_too_late(rig: Rig) -> Iterator[Noticed]:
    """Only the old connections end, at any moment of the change-over."""
    assert rig.proxy is not None
    old, came = rig.proxy.turn(), rig.exchange.handshakes
    rig.exchange.notice()
    rig.pause(1.2)
    old.reset()
    yield lambda: rig.exchange.handshakes > came


@fault("notice 64008, and a close for all", CHANGE, DIAL, _announced, instant=True)
def notice_and_close(rig: Rig) -> Iterator[Noticed]:
    """Whoever is there is closed, new connections too."""
    rig.exchange.notice()
    rig.pause(1.2)
    rig.exchange.close_clients(1001, "service upgrade")
    # The old one may be lost first, and the new one, closed already, take over from it.
    lost, told = rig.error(r"\(close code 1001\)"), rig.told(State.RECONNECTING)
    yield lambda: lost() and told()
