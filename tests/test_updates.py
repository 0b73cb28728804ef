"""Items for a script: in order, bounded, and true at the moment they are taken."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.clocks import FakeClock

from okex_ws.errors import Stalled
from okex_ws.messages import Depth, Gap, Item, State, StateChange, Trade
from okex_ws.timing import SystemClock, utc
from okex_ws.trust import Published
from okex_ws.updates import Inbox, Updates

NOW = utc(0)
LIMIT = 20.0


class Source:
    """A subscription of which the test decides everything."""

    def __init__(self, instrument_id: str = "BTC-USDT") -> None:
        self.instrument_id = instrument_id
        self.lapsed: StateChange | None = None
        self.end = math.inf

    def lapse(self, *_: float) -> StateChange | None:
        return self.lapsed

    def lease_end(self) -> float:
        return self.end

    def change(
        self, new: State, cause: str = "", old: State = State.LIVE
    ) -> StateChange:
        return StateChange(old, new, cause, 1, NOW, self.instrument_id)


def shown(epoch: int) -> Published:
    return Published(State.LIVE, "", epoch)


def made(value: Published) -> Depth:
    """An item that shows which value it was made of, by its epoch."""
    return Depth("BTC-USDT", (), (), NOW, NOW, None, None, value.epoch, "depth5")


def trade(trade_id: int, instrument_id: str = "BTC-USDT") -> Trade:
    one = Decimal(1)
    name = str(trade_id)
    return Trade(instrument_id, name, name, 1, one, one, "buy", NOW, NOW, 1)


def short(item: Item) -> Any:
    """An item in a word: an epoch, an id, a state, or the ends of a gap."""
    if isinstance(item, Depth):
        return item.epoch
    if isinstance(item, Trade):
        return item.id
    if isinstance(item, StateChange):
        return item.new
    assert isinstance(item, Gap)
    return (item.after, item.before)


class Bench:
    """An iterator in virtual time, and the threads on both of its sides."""

    def __init__(
        self,
        latest: bool = True,
        max_queue: int = 1000,
        timeout: float | None = 0.0,
        monkeypatch: pytest.MonkeyPatch | None = None,
    ) -> None:
        self.clock = FakeClock()
        self.updates = Inbox(self.clock, latest, max_queue, timeout)
        self.source = Source()
        self.updates.follow(self.source, State.LIVE)
        self.waits: list[float] = []
        # What happens while the script waits.
        self.meanwhile: Callable[[], None] = lambda: None
        if monkeypatch is not None:
            monkeypatch.setattr(self.updates._changed, "wait", self._wait)

    def _wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        assert len(self.waits) < 1000, "it spins"
        self.clock.advance(seconds)
        self.meanwhile()

    def note(self, epoch: int, key: str = "depth5", **keywords: Any) -> None:
        source = keywords.pop("source", self.source)
        make = keywords.pop("make", made)
        self.updates.note(key, source, shown(epoch), make, **keywords)

    def trades(self, *numbers: int) -> None:
        for number in numbers:
            self.updates.trade(trade(number))

    def taken(self) -> list[Any]:
        """All that waits."""
        found = []
        while True:
            try:
                found.append(short(self.updates.take()))
            except (TimeoutError, StopIteration):
                return found


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """One that waits as long as it must, on the virtual clock."""
    return Bench(timeout=None, monkeypatch=monkeypatch)


# --- Order --------------------------------------------------------------------------


def test_items_come_in_the_order_in_which_they_happened(bench: Bench) -> None:
    bench.trades(1)
    bench.note(7)
    bench.trades(2)
    bench.updates.trade(Gap("trade", "2", "5", "why"))
    bench.trades(5)
    assert bench.taken() == ["1", 7, "2", ("2", "5"), "5"]


def test_an_iterator_is_its_own(bench: Bench) -> None:
    updates = Updates(bench.updates)
    assert iter(updates) is updates


# --- Depths -------------------------------------------------------------------------


def test_only_the_newest_of_the_depths_that_wait_is_kept(bench: Bench) -> None:
    bench.note(1)
    bench.trades(1)
    bench.note(2)
    bench.note(3)
    assert bench.taken() == [3, "1"]
    assert bench.updates.skipped == {"depth5": 2}
    bench.note(4)
    assert bench.taken() == [4]


def test_each_channel_has_its_own_newest(bench: Bench) -> None:
    bench.note(1, "depth5")
    bench.note(2, "ticker")
    bench.note(3, "depth5")
    assert bench.taken() == [3, 2]


def test_every_depth_is_kept_on_request_up_to_the_bound() -> None:
    bench = Bench(latest=False, max_queue=3)
    for epoch in (1, 2, 3, 4):
        bench.note(epoch)
    # The newest is never the one that gives way: a quiet market would stay wrong.
    assert bench.taken() == [1, 2, 4]
    assert bench.updates.skipped == {"depth5": 1}
    bench.note(5)
    assert bench.taken() == [5]


@pytest.mark.parametrize("latest", [True, False])
def test_the_present_depth_gives_way_to_one_that_waits(latest: bool) -> None:
    bench = Bench(latest)
    bench.note(2)
    bench.note(1, seed=True)
    assert bench.taken() == [2]
    bench.note(3, seed=True)
    assert bench.taken() == [3]


@pytest.mark.parametrize("latest", [True, False])
def test_the_same_value_is_given_once(latest: bool) -> None:
    bench = Bench(latest)
    value = shown(1)
    for _ in range(2):
        bench.updates.note("depth5", bench.source, value, made)
    assert bench.taken() == [1]


def test_what_is_no_longer_true_when_it_is_taken_is_not_given(bench: Bench) -> None:
    bench.note(1, make=lambda value: None)
    bench.trades(1)
    assert bench.taken() == ["1"]
    assert bench.updates.skipped == {"depth5": 1}


def test_a_depth_finds_room_in_a_queue_that_is_full_of_trades() -> None:
    bench = Bench(max_queue=2)
    bench.trades(1, 2)
    bench.note(9)
    assert bench.taken() == ["1", "2", 9]


# --- Trades and gaps ----------------------------------------------------------------


def test_trades_beyond_the_bound_become_one_counted_gap() -> None:
    bench = Bench(max_queue=2)
    bench.trades(1, 2, 3, 4, 5)
    assert short(bench.updates.take()) == "1"
    bench.trades(6)
    assert short(bench.updates.take()) == "2"
    gap = bench.updates.take()
    cause = "3 trades not taken in time (max_queue)"
    assert gap == Gap("trade", "2", "6", cause, "BTC-USDT")
    assert bench.taken() == ["6"]
    assert bench.updates.skipped == {"trade": 3}


def test_a_gap_that_has_not_ended_has_no_end() -> None:
    bench = Bench(max_queue=1)
    bench.trades(1, 2)
    assert bench.taken() == ["1", ("1", None)]
    bench.trades(3, 4, 5)
    assert bench.taken() == ["3", ("3", None)]


def test_each_instrument_has_its_own_gap() -> None:
    bench = Bench(max_queue=1)
    bench.trades(1)
    for number in (7, 8):
        bench.updates.trade(trade(number, "ETH-USDT"))
    bench.trades(2)
    gaps = [bench.updates.take() for _ in range(3)][1:]
    assert [(g.instrument_id, short(g)) for g in gaps if isinstance(g, Gap)] == [
        ("ETH-USDT", (None, None)),
        ("BTC-USDT", ("1", None)),
    ]


def test_a_gap_and_a_change_of_state_are_never_dropped() -> None:
    bench = Bench(max_queue=1)
    bench.trades(1)
    for number in range(10):
        bench.updates.trade(Gap("trade", str(number), None, "why"))
    bench.updates.change(bench.source, bench.source.change(State.STALE))
    # Past the bound they are one, from the first to the last: never none.
    assert bench.taken() == ["1", ("0", None), State.STALE]


def test_changes_past_the_bound_become_one_from_the_first_to_the_last() -> None:
    bench = Bench(max_queue=2)
    for number in range(100):
        new = State.RESYNCING if number % 2 else State.LIVE
        bench.updates.change(bench.source, bench.source.change(new))
    changes = [bench.updates.take() for _ in range(2)]
    assert [(c.old, c.new) for c in changes if isinstance(c, StateChange)] == [
        (State.LIVE, State.RESYNCING),
        (State.RESYNCING, State.RESYNCING),
    ]
    assert bench.updates._waiting == deque()


def test_after_a_fork_it_has_ended_whoever_held_its_lock(bench: Bench) -> None:
    lock = bench.updates._changed
    with lock:
        bench.updates.forked()
    with pytest.raises(StopIteration):
        bench.updates.take()
    assert bench.updates._changed is not lock


# --- States -------------------------------------------------------------------------


def test_leaving_live_discards_the_depths_that_wait_and_no_trade(
    bench: Bench,
) -> None:
    other = Source("ETH-USDT")
    bench.updates.follow(other, State.LIVE)
    bench.note(1)
    bench.trades(1)
    bench.note(2, "ticker")
    bench.note(3, "other", source=other)
    bench.updates.change(bench.source, bench.source.change(State.RECONNECTING))
    assert bench.taken() == ["1", 3, State.RECONNECTING]
    assert bench.updates.skipped == {"depth5": 1, "ticker": 1}


def test_what_was_discarded_leaves_its_room() -> None:
    bench = Bench(latest=False, max_queue=2)
    bench.note(1)
    bench.note(2)
    bench.updates.change(bench.source, bench.source.change(State.STALE))
    bench.updates.change(bench.source, bench.source.change(State.LIVE))
    bench.note(3)
    bench.note(4)
    assert bench.taken() == [State.STALE, State.LIVE, 3, 4]


def test_leaving_live_with_nothing_waiting_skips_nothing(bench: Bench) -> None:
    bench.updates.change(bench.source, bench.source.change(State.STALE))
    assert bench.updates.skipped == {}


def test_only_leaving_live_discards(bench: Bench) -> None:
    source = Source()
    bench.updates.follow(source, State.SYNCING)
    bench.updates.change(source, source.change(State.LIVE))
    bench.note(1, source=source)
    assert bench.taken() == [State.LIVE, 1]


def test_a_change_is_told_once_and_from_what_was_told_before(bench: Bench) -> None:
    for new in (State.STALE, State.STALE, State.RECONNECTING):
        change = bench.source.change(new, old=State.CONNECTING)
        bench.updates.change(bench.source, change)
    changes = [bench.updates.take() for _ in range(2)]
    assert [(c.old, c.new) for c in changes if isinstance(c, StateChange)] == [
        (State.LIVE, State.STALE),
        (State.STALE, State.RECONNECTING),
    ]
    assert bench.taken() == []


def test_a_source_that_is_not_followed_is_not_told(bench: Bench) -> None:
    stranger = Source("ETH-USDT")
    bench.updates.change(stranger, stranger.change(State.STALE))
    assert bench.taken() == []


# --- The lease's end ----------------------------------------------------------------


def test_the_iterator_wakes_at_the_leases_end_on_its_own(patient: Bench) -> None:
    start = patient.clock.now
    patient.source.end = start + 15
    stale = patient.source.change(State.STALE, "the lease ran out")

    def lapse() -> None:
        if patient.clock.now >= start + 15:
            patient.source.lapsed, patient.source.end = stale, math.inf

    patient.meanwhile = lapse
    assert patient.updates.take() == stale
    assert patient.waits == [15.0]


def test_a_lapse_is_seen_before_the_depth_that_waits(patient: Bench) -> None:
    patient.note(1)
    patient.source.lapsed = patient.source.change(State.STALE)
    assert short(patient.updates.take()) is State.STALE
    assert patient.updates.skipped == {"depth5": 1}


def test_a_lapse_is_told_once_by_whoever_sees_it_first(bench: Bench) -> None:
    stale = bench.source.change(State.STALE, "seen by the iterator")
    bench.source.lapsed = stale
    assert bench.updates.take() == stale
    # The connection's thread was late, and says the same now.
    late = bench.source.change(State.STALE, "seen by the thread")
    bench.updates.change(bench.source, late)
    assert bench.taken() == []
    bench.source.lapsed = None
    bench.updates.change(bench.source, bench.source.change(State.LIVE))
    assert bench.taken() == [State.LIVE]


def test_a_lapse_that_the_thread_told_first_is_not_told_again(bench: Bench) -> None:
    bench.updates.change(bench.source, bench.source.change(State.STALE, "thread"))
    bench.source.lapsed = bench.source.change(State.STALE, "iterator")
    change = bench.updates.take()
    assert isinstance(change, StateChange)
    assert change.cause == "thread"
    assert bench.taken() == []


def test_a_lease_that_was_renewed_meanwhile_is_waited_for_again(
    patient: Bench,
) -> None:
    start = patient.clock.now
    patient.source.end = start + 15

    def renew() -> None:
        patient.source.end = patient.clock.now + 15
        if patient.clock.now >= start + 45:
            patient.trades(1)

    patient.meanwhile = renew
    assert short(patient.updates.take()) == "1"
    assert patient.waits == [15.0, 15.0, 15.0]


# --- Waiting ------------------------------------------------------------------------


def test_nothing_for_the_time_out_is_a_time_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(timeout=7.5, monkeypatch=monkeypatch)
    with pytest.raises(TimeoutError, match=r"no item within 7\.5 s"):
        bench.updates.take()
    assert bench.waits == [7.5]
    # It counts from each call, and what comes later still comes.
    bench.trades(1)
    assert bench.taken() == ["1"]


def test_the_time_out_counts_through_what_wakes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench(timeout=100.0, monkeypatch=monkeypatch)
    with pytest.raises(TimeoutError):
        bench.updates.take()
    assert bench.waits == [60.0, 40.0]


def test_a_time_out_of_nothing_takes_what_is_there(bench: Bench) -> None:
    bench.trades(1)
    assert short(bench.updates.take()) == "1"
    with pytest.raises(TimeoutError):
        bench.updates.take()


def test_a_source_that_is_not_live_has_no_lease_to_wait_for(patient: Bench) -> None:
    patient.updates.change(patient.source, patient.source.change(State.STALE))
    patient.source.end = patient.clock.now
    patient.source.lapsed = patient.source.change(State.RECONNECTING)
    assert short(patient.updates.take()) is State.STALE
    patient.meanwhile = lambda: patient.trades(1)
    assert short(patient.updates.take()) == "1"
    assert patient.waits == [60.0]


# --- The end ------------------------------------------------------------------------


def test_the_end_comes_after_all_that_waits(patient: Bench) -> None:
    patient.trades(1)
    patient.updates.change(patient.source, patient.source.change(State.CLOSED))
    patient.updates.end(patient.source, None)
    assert [short(item) for item in Updates(patient.updates)] == ["1", State.CLOSED]
    with pytest.raises(StopIteration):
        patient.updates.take()


def test_the_end_in_an_error_raises_it(patient: Bench) -> None:
    error = Stalled("nothing came", 1)
    patient.trades(1)
    patient.updates.end(patient.source, error)
    assert short(patient.updates.take()) == "1"
    for _ in range(2):
        with pytest.raises(Stalled) as caught:
            patient.updates.take()
        assert caught.value is error


def test_the_last_of_several_sources_ends_it(bench: Bench) -> None:
    other = Source("ETH-USDT")
    bench.updates.follow(other, State.CONNECTING)
    bench.updates.end(bench.source, None)
    with pytest.raises(TimeoutError):
        bench.updates.take()
    bench.updates.end(other, None)
    with pytest.raises(StopIteration):
        bench.updates.take()


# --- Arguments ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "error"),
    [
        ({"max_queue": 0}, ValueError),
        ({"max_queue": True}, TypeError),
        ({"max_queue": 2.5}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": math.nan}, ValueError),
        ({"timeout": "1"}, TypeError),
    ],
)
def test_an_argument_that_cannot_be_right_is_refused(
    keywords: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        Bench(**keywords)


# --- Two threads --------------------------------------------------------------------


def test_a_thread_that_waits_is_woken_by_the_one_that_puts() -> None:
    updates, source = Inbox(SystemClock(), True, 10, LIMIT), Source()
    updates.follow(source, State.CONNECTING)
    got: list[Item] = []
    thread = threading.Thread(target=lambda: got.extend(Updates(updates)))
    thread.start()
    updates.change(source, source.change(State.LIVE))
    updates.note("depth5", source, shown(1), made)
    updates.trade(trade(1))
    updates.end(source, None)
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert [short(item) for item in got] == [State.LIVE, 1, "1"]


def test_between_two_threads_nothing_is_lost_without_a_word() -> None:
    updates, source = Inbox(SystemClock(), True, 8, LIMIT), Source()
    updates.follow(source, State.LIVE)
    count = 20_000

    def put() -> None:
        for number in range(1, count + 1):
            updates.trade(trade(number))
            if number % 7 == 0:
                updates.note("depth5", source, shown(number), made)
        updates.end(source, None)

    thread = threading.Thread(target=put)
    thread.start()
    got = list(Updates(updates))
    thread.join(LIMIT)
    assert not thread.is_alive()
    # A gap is said just where it is: every trade follows the one before it, or a gap.
    last, gap_open, taken = 0, False, 0
    for item in got:
        if isinstance(item, Gap):
            assert item.after == str(last)
            gap_open = True
        elif isinstance(item, Trade):
            assert int(item.id) == last + 1 or (gap_open and int(item.id) > last)
            last, gap_open, taken = int(item.id), False, taken + 1
    depths = [item.epoch for item in got if isinstance(item, Depth)]
    assert depths == sorted(set(depths))
    assert depths[-1] == count - count % 7
    assert taken + updates.skipped.get("trade", 0) == count
    assert len(depths) + updates.skipped.get("depth5", 0) == count // 7
