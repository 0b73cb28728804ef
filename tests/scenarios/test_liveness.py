"""A pong proves the connection, not the data: a book that should repeat and does not.

Virtual time; where the exchange repeats an idle book about every 60 seconds.
"""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import CauseCode, Stalled, State, StateChange, WSSubscription
from tests.support.virtual_world import Ladder, World

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

IDLE = 60.0
# A minute, and what a lease takes.
OVERDUE = 75.0


@pytest.fixture
def world() -> World:
    return World("v5")


class WatchedBook:
    """One book, what is asked for it and what is told of it."""

    def __init__(self, world: World, idle: float | None = IDLE) -> None:
        self.world = world
        self.ladder = Ladder(world)
        self.changes: list[StateChange] = []
        self.errors: list[Exception] = []
        self.feed = world.feed(world.venue(idle_repeat=idle))
        self.book = WSSubscription(
            "BTC-USDT",
            "spot",
            feed=self.feed,
            channels=("depth",),
            on_state=self.changes.append,
            on_error=self.errors.append,
        )

    def repeat(self, at: float) -> None:
        """What the exchange says of a book that nothing changed."""
        self.world.at(at, lambda: self.ladder.send(self.ladder.idle()))

    def requests(self) -> list[str]:
        return [asked["op"] for asked in self.world.exchange.requests]


def deafen(world: World) -> None:
    """Whatever is asked for anew has no answer."""
    world.at(1, lambda: setattr(world.exchange, "acknowledges", False))


def test_a_book_that_repeats_itself_is_live_for_ever(world: World) -> None:
    rig = WatchedBook(world)
    for minute in range(1, 30):
        rig.repeat(minute * IDLE + 10)

    world.run(1800)

    assert [c.new for c in rig.changes][:2] == [State.SYNCING, State.LIVE]
    assert len(rig.changes) == 3  # and CLOSED
    assert rig.requests() == ["subscribe"]


def test_where_nothing_is_known_to_repeat_a_quiet_book_is_right(world: World) -> None:
    rig = WatchedBook(world, idle=None)

    world.run(3600)

    assert [c.new for c in rig.changes] == [State.SYNCING, State.LIVE, State.CLOSED]
    assert rig.requests() == ["subscribe"]


def test_a_book_that_misses_its_repeat_gives_no_price_from_that_moment(
    world: World,
) -> None:
    rig = WatchedBook(world)
    deafen(world)
    seen: list[Any] = []
    for at in (OVERDUE - 1, OVERDUE + 1):
        world.at(at, lambda: seen.append((rig.book.state, rig.book.book is None)))

    world.run(OVERDUE + 1.1)

    assert seen == [(State.LIVE, False), (State.STALE, True)]


def test_it_is_asked_for_anew_and_then_its_connection_is_replaced(
    world: World,
) -> None:
    """The new subscription brought a snapshot, and nothing after it again."""
    rig = WatchedBook(world)
    seen: list[Any] = []
    world.at(OVERDUE + 7, lambda: seen.append((rig.book.state, rig.requests())))
    world.at(2 * OVERDUE + 20, lambda: seen.append(len(world.opened)))

    world.run(2 * OVERDUE + 21)

    once = ["subscribe", "unsubscribe", "subscribe"]
    assert seen == [(State.LIVE, once), 2]
    (stalled,) = [error for error in rig.errors if isinstance(error, Stalled)]
    assert stalled.cause.text.startswith("nothing of books:BTC-USDT came within")
    assert stalled.cause.code is CauseCode.IDLE
    assert str(stalled) == f"{stalled.cause.endpoint}: {stalled.cause}"
    news = [c.new for c in rig.changes]
    assert news[2:6] == [
        State.STALE,
        State.RESYNCING if State.RESYNCING in news else State.SYNCING,
        State.LIVE,
        State.STALE,
    ]
    assert State.RECONNECTING in news


def test_if_nothing_comes_of_it_its_connection_is_replaced_at_once(
    world: World,
) -> None:
    rig = WatchedBook(world)
    world.at(1, lambda: world.exchange.first_pushes.clear())
    seen: list[Any] = []
    world.at(OVERDUE + 30, lambda: seen.append(len(world.opened)))

    world.run(OVERDUE + 31)

    assert seen == [2]
    assert any(isinstance(error, Stalled) for error in rig.errors)


def test_a_book_that_moves_again_after_a_miss_is_trusted_as_before(
    world: World,
) -> None:
    rig = WatchedBook(world)
    again = OVERDUE + 20
    world.at(again, lambda: rig.ladder.send(rig.ladder.size("3")))

    world.run(again + OVERDUE + 10)

    # Two misses, two times asked for anew, and one connection.
    assert rig.requests().count("unsubscribe") == 2
    assert len(world.opened) == 1


@pytest.mark.parametrize("topic", ["depth5", "bbo-tbt"])
def test_snapshots_are_held_to_it_too_and_trades_are_not(
    world: World, topic: str
) -> None:
    key = world.dialect.channel(topic)
    world.exchange.first_pushes[key] = {
        **world.dialect.depth(0),
        "arg": {"channel": key.partition(":")[0], "instId": "BTC-USDT"},
    }
    feed = world.feed(world.venue(idle_repeat=IDLE))
    depth = WSSubscription("BTC-USDT", "spot", feed=feed, channels=(topic,))
    trades = WSSubscription("BTC-USDT", "spot", feed=feed, channels=("trade",))
    deafen(world)
    seen: list[State] = []
    world.at(OVERDUE + 1, lambda: seen.extend([depth.state, trades.state]))

    world.run(OVERDUE + 1.1)

    assert seen == [State.STALE, State.LIVE]


def test_an_iterator_is_told_at_the_very_moment(world: World) -> None:
    rig = WatchedBook(world)
    items = rig.book.updates()
    told: list[StateChange] = []

    def look() -> None:
        told.extend(i for i in items if isinstance(i, StateChange))

    world.run(OVERDUE + 6)
    look()

    stale = [change for change in told if change.new is State.STALE]
    live = next(change for change in told if change.new is State.LIVE)
    assert round((stale[0].at - live.at).total_seconds(), 1) == OVERDUE


def test_a_miss_that_waits_to_be_asked_anew_is_no_second_one() -> None:
    """The acknowledgement takes longer than the next pong."""
    world = World("v5")
    feed = world.feed(world.venue(idle_repeat=60.0))
    Ladder(world)
    errors: list[Exception] = []
    WSSubscription(
        "BTC-USDT", "spot", feed=feed, channels=("depth",), on_error=errors.append
    )
    answer = world.exchange.answer_one

    def late(peer: Any, request: Any, arg: Any) -> None:
        wait = 6 if world.clock.now - world.t0 > 5 else 0
        world.after(wait, lambda: answer(peer, request, arg))

    world.exchange.answer_one = late  # type: ignore[method-assign]

    world.run(110)

    assert len(world.opened) == 1
    assert errors == []


def test_a_miss_that_was_mended_is_forgotten() -> None:
    """Long after it one unreadable push is of that channel alone."""
    world = World("v5")
    feed = world.feed(world.venue(idle_repeat=60.0))
    key = world.dialect.channel("depth5", "BTC-USDT")

    def depth() -> Any:
        return world.dialect.depth(round((world.clock.now - world.t0) * 1000))

    world.exchange.first_pushes[key] = depth
    WSSubscription("BTC-USDT", "spot", feed=feed, channels=("depth5",))
    for at in range(100, 600, 10):
        world.at(at, lambda: world.peers[0].send(depth()))
    arg = {"channel": "books5", "instId": "BTC-USDT"}
    bad = {"arg": arg, "data": [{"asks": "x"}]}
    world.at(600, lambda: world.peers[0].send(bad))

    world.run(640)

    assert len(world.opened) == 1
