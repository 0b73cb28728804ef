"""Updates are joined to a fetched book by their numbers, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from okex_ws import (
    BookError,
    BookUpdate,
    ConnectionLost,
    Gap,
    OrderBook,
    PastBook,
    SequenceGap,
    State,
    StateChange,
    WSSubscription,
)
from okex_ws.base.clock import utc
from okex_ws.channels.book_snapshot import (
    FETCHES,
    MOST_WAITING,
    BookMessage,
    SnapshotJoin,
)
from okex_ws.protocol.messages import BookData
from tests.support.fake_history import NAME, Past, WorldHistoryWorker
from tests.support.internals import queue_of, set_history_worker, take_without_waiting
from tests.support.virtual_world import Ladder, World

TIME = 1_600_000_000.0


def said(prev_seq: int | None, seq: int | None) -> BookMessage:
    rows = [["100.0", str(seq), "0", "1"]]
    return BookMessage(BookData(False, rows, [], 0, seq, prev_seq, 0), f"to {seq}")


def book(seq: int | None) -> PastBook:
    return PastBook((("99", "1", "0", "1"),), (("101", "2", "0", "1"),), seq, utc(TIME))


def waiting(*steps: tuple[int, int]) -> SnapshotJoin:
    snapshot_join = SnapshotJoin()
    for step in steps:
        snapshot_join.add(said(*step))
    return snapshot_join


def seqs(steps: Iterable[BookMessage]) -> list[tuple[int | None, int | None, str]]:
    return [(s.change.prev_seq, s.change.seq, s.text) for s in steps]


CHAIN = ((10, 15), (15, 22), (22, 30))


@pytest.mark.parametrize(
    ("seq", "joined"),
    [
        # The book before all of them, at one of them, and in the middle of one.
        (
            10,
            [
                (-1, 10, "to 30"),
                (10, 15, "to 15"),
                (15, 22, "to 22"),
                (22, 30, "to 30"),
            ],
        ),
        (15, [(-1, 15, "to 15"), (15, 22, "to 22"), (22, 30, "to 30")]),
        (17, [(-1, 17, "to 15"), (17, 22, "to 22"), (22, 30, "to 30")]),
        (30, [(-1, 30, "to 30")]),
    ],
)
def test_the_first_update_that_is_not_in_the_book_follows_it(
    seq: int, joined: list[tuple[int, int, str]]
) -> None:
    snapshot_join = waiting(*CHAIN)

    snapshot_join.fetched(book(seq))

    steps = snapshot_join.joined()
    assert seqs(steps)[1:] == joined[1:]
    assert seqs(steps)[0][:2] == joined[0][:2]
    assert steps[0].change.whole
    assert steps[0].change.bids == [["99", "1", "0", "1"]]
    assert steps[0].change.time_ms == TIME * 1000


def test_a_book_that_is_ahead_waits_for_its_update() -> None:
    snapshot_join = waiting(*CHAIN)
    snapshot_join.fetched(book(33))

    assert snapshot_join.joined() == []
    assert not snapshot_join.is_behind
    snapshot_join.add(said(30, 31))
    assert snapshot_join.joined() == []
    snapshot_join.add(said(31, 35))

    assert seqs(snapshot_join.joined())[1:] == [(33, 35, "to 35")]


def test_one_that_the_stream_comes_to_is_the_book() -> None:
    snapshot_join = waiting(*CHAIN)
    snapshot_join.fetched(book(33))
    assert snapshot_join.joined() == []

    snapshot_join.add(said(30, 33))

    assert seqs(snapshot_join.joined()) == [(-1, 33, "to 33")]


def test_a_book_that_is_older_than_the_first_update_is_fetched_anew() -> None:
    snapshot_join = waiting(*CHAIN)

    snapshot_join.fetched(book(9))

    assert snapshot_join.is_behind
    assert snapshot_join.fetches == 1
    assert snapshot_join.joined() == []
    snapshot_join.fetched(book(10))
    assert not snapshot_join.is_behind
    assert len(snapshot_join.joined()) == 4


def test_an_idle_update_changes_nothing() -> None:
    snapshot_join = waiting((10, 10))

    snapshot_join.fetched(book(10))

    assert seqs(snapshot_join.joined()) == [(-1, 10, "to 10")]


def test_a_lost_update_is_seen() -> None:
    snapshot_join = waiting((10, 15))

    with pytest.raises(SequenceGap):
        snapshot_join.add(said(16, 22))


def test_numbers_that_begin_anew_prove_nothing() -> None:
    with pytest.raises(BookError, match="began anew"):
        waiting((10, 15), (15, 3))


def test_what_has_no_number_cannot_be_joined() -> None:
    with pytest.raises(BookError, match="without a number"):
        SnapshotJoin().add(said(None, 15))
    snapshot_join = waiting((10, 15))
    with pytest.raises(BookError, match="has no number"):
        snapshot_join.fetched(book(None))


def test_no_more_wait_than_there_is_room_for() -> None:
    snapshot_join = waiting(*((n, n + 1) for n in range(MOST_WAITING)))

    with pytest.raises(BookError, match="5000 updates came, and no book"):
        snapshot_join.add(said(MOST_WAITING, MOST_WAITING + 1))


# --- In the world: the exchange has dropped the snapshot ----------------------------


class Mirror(Past):
    """The book as it was, or will be, *late* changes ago."""

    def __init__(self, ladder: Ladder) -> None:
        super().__init__()
        self._ladder = ladder
        self.versions: list[PastBook] = []
        self.late = 0
        self.note()

    def note(self) -> None:
        sides = self._ladder.bids, self._ladder.asks
        bids, asks = (tuple((*row, "0", "1") for row in side) for side in sides)
        self.versions.append(PastBook(bids, asks, self._ladder.seq, utc(TIME)))

    def book(self, instrument_id: str, market: str, levels: int = 400) -> PastBook:
        assert levels == 400
        self.books = [self.versions[max(0, len(self.versions) - 1 - self.late)]]
        return super().book(instrument_id, market, levels)


class BookWithoutSnapshots:
    """A book that is changed ten times a second, and said without a snapshot."""

    def __init__(self, opted: bool = True) -> None:
        self.world = World("v5")
        self.ladder = Ladder(self.world, "depth", NAME)
        del self.world.exchange.first_pushes[self.ladder.key]
        self.past = Mirror(self.ladder)
        source = {"history_source": lambda: self.past} if opted else {}
        self.feed = self.world.feed(**source)
        history_worker = WorldHistoryWorker(self.world, lambda: self.past, 0.3)
        history_worker.in_use = opted
        set_history_worker(self.feed, history_worker)
        self.history_worker = history_worker
        self.changes: list[StateChange] = []
        self.errors: list[Exception] = []
        self.texts: list[str] = []
        self.sub = WSSubscription(
            NAME,
            "spot",
            feed=self.feed,
            channels=["depth"],
            on_message=self.texts.append,
            on_state=self.changes.append,
            on_error=self.errors.append,
        )
        self.updates = self.sub.updates(latest=False)
        self.items: list[Any] = []
        for turn in range(2000):
            self.world.at(turn / 100, self.take)
        # The exchange's own book by its number.
        self.truth: dict[int, OrderBook] = {}

    def move(self, is_sent: bool = True) -> None:
        message = self.ladder.size(str(1 + len(self.past.versions)))
        self.past.note()
        self.write_down()
        if is_sent:
            self.ladder.send(message)

    def take(self) -> None:
        """What waits is taken at once: leaving LIVE would discard it."""
        self.items += take_without_waiting(queue_of(self.updates))

    def write_down(self) -> None:
        book = self.past.versions[-1]
        self.truth[self.ladder.seq] = OrderBook(book.bids, book.asks)

    def market(self, start: float, until: float, every: float = 0.1) -> None:
        for turn in range(round((until - start) / every)):
            self.world.at(start + turn * every, self.move)

    def states(self) -> list[State]:
        return [change.new for change in self.changes]

    def told(self) -> list[Any]:
        """Updates and gaps; each book is the exchange's at that number."""
        items = [i for i in self.items if isinstance(i, (BookUpdate, Gap))]
        for item in items:
            if isinstance(item, BookUpdate):
                assert item.seq is not None
                assert item.book == self.truth[item.seq]
        return items


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_stream_without_a_snapshot_is_joined_to_a_fetched_book(late: int) -> None:
    rig = BookWithoutSnapshots()
    rig.past.late = late
    rig.market(0.5, 5.0)

    rig.world.run(6.0)

    assert rig.states() == [State.SYNCING, State.LIVE, State.CLOSED]
    updates = rig.told()
    assert [item.action for item in updates[:3]] == ["snapshot", "update", "update"]
    assert updates[-1].seq == rig.ladder.seq
    seqs = [item.seq for item in updates]
    assert seqs == [*range(seqs[0], rig.ladder.seq + 1, 5)]
    assert not rig.errors
    # Each push that is in a book was told once, in order.
    assert len(rig.texts) == len(set(rig.texts)) == len(updates)


def test_it_is_not_live_before_it_is_joined() -> None:
    rig = BookWithoutSnapshots()
    seen: list[tuple[bool, int]] = []
    for turn in range(12):
        look = lambda: seen.append((rig.sub.book is not None, len(rig.texts)))  # noqa: E731
        rig.world.at(0.45 + turn / 10, look)
    rig.market(0.5, 2.0)

    rig.world.run(2.0)

    joined = [is_there for is_there, _ in seen]
    assert joined == [False] * 4 + [True] * 8
    assert [count for is_there, count in seen if not is_there] == [0] * 4


def test_a_quiet_book_is_live_once_it_was_fetched() -> None:
    rig = BookWithoutSnapshots()
    rig.world.at(0.5, rig.write_down)
    rig.world.at(0.5, lambda: rig.ladder.send(rig.ladder.idle()))

    rig.world.run(30.0)

    # Nothing more came, and nobody asked for it anew.
    assert rig.states() == [State.SYNCING, State.LIVE, State.CLOSED]
    assert len(rig.told()) == 1
    assert len(rig.world.exchange.requests) == 1


def test_a_book_that_is_too_old_is_fetched_again() -> None:
    rig = BookWithoutSnapshots()
    rig.past.late = 10**6
    rig.market(0.0, 5.0)
    rig.world.at(1.5, lambda: setattr(rig.past, "late", 0))

    rig.world.run(6.0)

    assert rig.states() == [State.SYNCING, State.LIVE, State.CLOSED]
    assert len(rig.past.asked) > 1
    assert rig.told()


def test_one_that_stays_too_old_is_resynchronised() -> None:
    rig = BookWithoutSnapshots()
    rig.past.late = 10**6
    rig.market(0.0, 20.0)

    rig.world.run(20.0)

    assert State.LIVE not in rig.states()
    assert State.RESYNCING in rig.states()
    assert "each was too old" in str(rig.errors[0])
    assert len(rig.past.asked) >= FETCHES
    ops = [request["op"] for request in rig.world.exchange.requests]
    assert ops[:3] == ["subscribe", "unsubscribe", "subscribe"]


def test_a_past_that_fails_is_asked_again_and_given_up() -> None:
    rig = BookWithoutSnapshots()
    rig.past.failing = 2
    rig.market(0.5, 8.0)

    rig.world.run(8.0)

    assert rig.states() == [State.SYNCING, State.LIVE, State.CLOSED]
    rig = BookWithoutSnapshots()
    rig.past.failing = 10**6
    rig.market(0.5, 20.0)

    rig.world.run(20.0)

    assert State.LIVE not in rig.states()
    assert str(ConnectionLost("https://rest.invalid", "refused")) in str(rig.errors[0])


def test_an_update_that_is_lost_meanwhile_leaves_no_book() -> None:
    rig = BookWithoutSnapshots()
    rig.market(0.5, 5.0)
    # The mutation of the first test: one update less, while the book is fetched.
    rig.world.at(0.55, lambda: rig.move(is_sent=False))

    rig.world.run(6.0)

    assert rig.states()[:2] == [State.SYNCING, State.RESYNCING]
    assert isinstance(rig.errors[0], SequenceGap)
    # It is joined anew, and right.
    assert rig.states()[2:] == [State.LIVE, State.CLOSED]
    assert rig.told()


def test_one_that_is_lost_between_the_two_leaves_no_book() -> None:
    rig = BookWithoutSnapshots()
    rig.world.at(0.5, rig.move)
    # The book is fetched before it is changed, and the change is never told.
    rig.world.at(0.75, lambda: rig.move(is_sent=False))
    rig.world.at(1.5, rig.move)

    rig.world.run(6.0)

    (snapshot, gap, *_) = rig.told()
    assert snapshot.seq == 1005
    assert isinstance(gap, Gap)
    assert State.RESYNCING in rig.states()


def test_a_snapshot_that_comes_after_all_is_taken() -> None:
    rig = BookWithoutSnapshots()
    rig.history_worker.is_deaf = True
    rig.world.at(0.5, rig.move)
    rig.world.at(0.9, lambda: rig.ladder.send(rig.ladder.snapshot()))
    rig.world.at(1.2, rig.move)

    rig.world.run(2.0)

    assert rig.states() == [State.SYNCING, State.LIVE, State.CLOSED]
    assert [item.action for item in rig.told()] == ["snapshot", "update"]


def test_a_connection_that_ends_meanwhile_begins_anew() -> None:
    rig = BookWithoutSnapshots()
    rig.history_worker.latency = 1.0
    rig.market(0.5, 6.0)
    for peer_at in (1.0, 2.2):
        rig.world.at(peer_at, lambda: rig.world.peers[-1].drop())

    rig.world.run(8.0)

    assert rig.states()[-2:] == [State.LIVE, State.CLOSED]
    assert rig.told()[-1].seq == rig.ladder.seq


def test_one_connection_takes_over_from_another_without_a_snapshot() -> None:
    rig = BookWithoutSnapshots()
    rig.market(0.5, 12.0)
    rig.world.at(3.0, rig.feed.rotate)

    rig.world.run(13.0)

    assert rig.states() == [State.SYNCING, State.LIVE, State.CLOSED]
    assert len(rig.world.peers) == 2
    assert rig.told()[-1].seq == rig.ladder.seq


def test_without_a_past_it_is_as_it_was() -> None:
    rig = BookWithoutSnapshots(opted=False)
    rig.market(0.5, 5.0)

    rig.world.run(6.0)

    assert rig.states() == [State.SYNCING, State.CLOSED]
    assert not rig.past.asked
    assert rig.sub.stats().skipped["before the snapshot"] > 10
