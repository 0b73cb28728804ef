"""Items for a script: in order, bounded, and true at the moment they are taken."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from okex_ws import CauseCode
from okex_ws.base.clock import SystemClock, utc
from okex_ws.base.errors import Stalled
from okex_ws.base.state import NO_CAUSE, State
from okex_ws.base.threads import mark_library_thread
from okex_ws.channels.series import KINDS
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.updates import UpdateQueue, Updates
from okex_ws.delivery.view import View
from okex_ws.model.book import OrderBook
from okex_ws.model.items import BookUpdate, Candle, Data, Depth, Gap, Item, Trade
from okex_ws.model.reports import StateChange
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.trust.lease import Lease
from okex_ws.trust.verdict import NO_LIMITS, Published
from tests.support.book_channel_bench import BookChannelBench
from tests.support.causes import because, gap_for
from tests.support.clocks import FakeClock
from tests.support.internals import (
    lock_of,
    take_without_waiting,
    waiters_of,
    waiting_in,
)

NOW = utc(0)
LIMIT = 20.0
SPOT = ("spot", "BTC-USDT")


class Source:
    """A subscription of which the test decides everything."""

    def __init__(self, instrument_id: str = "BTC-USDT") -> None:
        self.instrument_id = instrument_id
        self.lapsed: StateChange | None = None
        self.end = math.inf
        # How often it was looked at.
        self.looks = 0

    def lapse(self) -> StateChange | None:
        self.looks += 1
        return self.lapsed

    def lease_end(self) -> float:
        self.looks += 1
        return self.end

    def change(self, new: State, why: str = "", old: State = State.LIVE) -> StateChange:
        return StateChange(old, new, because(why), 1, NOW, self.instrument_id)


def shown(epoch: int) -> Published:
    return Published(State.LIVE, NO_CAUSE, epoch)


def made(value: Published, before: Published | None) -> Depth:
    """An item that shows which value it was made of, by its epoch."""
    return Depth("BTC-USDT", (), (), NOW, NOW, None, None, value.epoch, "depth5")


def trade(trade_id: int, instrument_id: str = "BTC-USDT") -> Trade:
    one = Decimal(1)
    name = str(trade_id)
    return Trade(instrument_id, name, name, 1, one, one, "buy", NOW, NOW, 1)


def candle(minute: int, close: int = 1) -> Candle:
    one, start = Decimal(1), NOW + timedelta(minutes=minute)
    prices = (one, one, one, Decimal(close))
    volumes = (None, None, None)
    return Candle("BTC-USDT", "candle60s", start, *prices, *volumes, None, NOW, 1)


def data(content: str) -> Data:
    return Data("orders:BTC-USDT", (content,), None, NOW, 1, "BTC-USDT")


def short(item: Item) -> Any:
    """An item in a word: an epoch, an id, a state, or the ends of a gap."""
    if isinstance(item, Depth):
        return item.epoch
    if isinstance(item, Candle):
        return (item.start - NOW).seconds // 60, int(item.close)
    if isinstance(item, Data):
        return item.elements
    if isinstance(item, Trade):
        return item.id
    if isinstance(item, StateChange):
        return item.new
    assert isinstance(item, Gap)
    return (item.after, item.before)


def follow(queue: UpdateQueue, source: Source, state: State) -> None:
    """*queue* follows *source*, which is in *state*."""
    queue.follow(source)
    queue.begin(source, state)


class Bench:
    """An iterator in virtual time, and the threads on both of its sides."""

    def __init__(
        self,
        latest: bool = True,
        max_queue: int = 1000,
        timeout: float | None = 0.0,
        monkeypatch: pytest.MonkeyPatch | None = None,
        endless: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.updates = UpdateQueue(self.clock, latest, max_queue, timeout, endless)
        self.source = Source()
        follow(self.updates, self.source, State.LIVE)
        self.waits: list[float] = []
        # What happens while the script waits.
        self.meanwhile: Callable[[], None] = lambda: None
        if monkeypatch is not None:
            monkeypatch.setattr(waiters_of(self.updates), "wait", self._wait)

    def _wait(self, seconds: float, is_done: Callable[[], bool]) -> None:
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
            self.updates.add("trade", trade(number))

    def gap(self, after: str | None, before: str | None = None) -> None:
        self.updates.add(
            "trade", Gap("trade", after, before, because("why"), "BTC-USDT")
        )

    def lease(self, seconds: float) -> None:
        """The source is live, for so many seconds from now."""
        self.source.end = self.clock.now + seconds
        self.updates.change(self.source, self.source.change(State.SYNCING))
        self.updates.change(self.source, self.source.change(State.LIVE))
        told = [short(self.updates.take()) for _ in range(2)]
        assert told == [State.SYNCING, State.LIVE]

    def taken(self) -> list[Any]:
        """All that waits."""
        return [short(item) for item in self.items()]

    def items(self) -> list[Item]:
        """The same, as they are."""
        found = []
        while True:
            try:
                found.append(self.updates.take())
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
    bench.gap("2", "5")
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
    bench.note(1, make=lambda value, before: None)
    bench.trades(1)
    assert bench.taken() == ["1"]
    assert bench.updates.skipped == {"depth5": 1}


def test_a_depth_finds_room_in_a_queue_that_is_full_of_trades() -> None:
    bench = Bench(max_queue=2)
    bench.trades(1, 2)
    bench.note(9)
    assert bench.taken() == ["1", "2", 9]


# --- Books --------------------------------------------------------------------------


def test_each_item_is_made_beside_the_one_that_was_handed_over_before_it(
    bench: Bench,
) -> None:
    """Of its own source and kind, and not of one that was not given."""
    pairs: list[tuple[int, int | None]] = []

    def make(value: Published, before: Published | None) -> Depth | None:
        pairs.append((value.epoch, before.epoch if before else None))
        return None if value.epoch == 3 else made(value, before)

    other = Source("ETH-USDT")
    follow(bench.updates, other, State.LIVE)
    for epoch in (1, 2, 3, 4):
        bench.note(epoch, make=make)
        bench.taken()
    bench.note(5, "ticker", make=make)
    bench.note(6, source=other, make=make)
    bench.note(7, make=make)
    bench.taken()

    assert pairs == [(1, None), (2, 1), (3, 2), (4, 2), (5, None), (6, None), (7, 4)]


class Script:
    """Whoever follows a book by its items, and keeps a book of his own by them."""

    def __init__(
        self, latest: bool = True, max_queue: int = 1000, beside: bool = False
    ) -> None:
        self.bench = BookChannelBench("v5")
        self.clock = clock = self.bench.world.clock
        self.channel, self.ladder = self.bench.channel, self.bench.ladder
        callbacks = Callbacks("BTC-USDT", clock)
        self.view = View(None, "BTC-USDT", NO_LIMITS, clock, callbacks)
        self.five: Any = KINDS["depth"](PROTOCOL, PROTOCOL.channel("depth5", *SPOT))
        others = {"depth5": self.five.reading} if beside else {}
        self.view.carry({"depth": self.channel.reading, **others})
        self.channel.followers = self.five.followers = (self.view,)
        self.five.opened(self.bench.link, 0.0)
        self.renew()
        self.queue = UpdateQueue(clock, latest, max_queue, 0.0)
        self.kept = OrderBook()
        self.starts_anew = True

    def renew(self) -> None:
        """A pong, as an opening takes it in."""
        now, era = self.clock.now, self.bench.link
        lapses = era.lapses
        if era.lease is not None and not era.lease.holds(now, self.clock.wall()):
            self.view.tell(now)
            lapses += 1
        era.renew(Lease(now + 15, self.clock.offset, lapses), now)
        self.view.tell(now)

    def change(self, price: int, size: int, side: str = "bids") -> None:
        """The exchange changes a level, and says so."""
        self.bench.pass_time(0.001)
        message = self.ladder.change(side, price=f"{price}", size=f"{size}")
        self.bench.push(message, first=self.channel.current.state is not State.LIVE)

    def snapshot(self) -> None:
        self.bench.push(
            self.ladder.snapshot(), first=self.channel.current.state is not State.LIVE
        )

    def push_five(self) -> None:
        """The five levels are live: what becomes of the book changes no state."""
        clock, link = self.clock, self.bench.link
        element = {"bids": [], "asks": [], "ts": f"{round(clock.wall() * 1000)}"}
        push = Push(self.five.name, [element], "text", None)
        self.five.push(push, False, link, clock.now, clock.wall())

    def follow(self) -> None:
        self.view.follow(self.queue)

    def take(self, count: int = 1000) -> list[tuple[str, int]]:
        """Take items; of books, what they were and how many rows they had."""
        found = []
        for _ in range(count):
            try:
                item = self.queue.take()
            except TimeoutError:
                break
            if isinstance(item, BookUpdate):
                found.append((item.action, len(item.bids) + len(item.asks)))
                # Nothing of before a withdrawal is built upon.
                assert item.action == "snapshot" or not self.starts_anew
                self.kept = self.kept.apply(item.action, item.bids, item.asks)
                assert self.kept == item.book
                self.starts_anew = False
            elif isinstance(item, StateChange):
                self.starts_anew |= item.old is State.LIVE
        return found

    @property
    def is_right(self) -> bool:
        """Whether the book that was kept is the exchange's."""
        bids, asks = self.kept.bids, self.kept.asks
        mine = [row[:2] for row in bids], [row[:2] for row in asks]
        return mine == (self.ladder.bids, self.ladder.asks)


@pytest.mark.parametrize("latest", [True, False])
def test_a_book_is_given_whole_and_then_by_its_changes(latest: bool) -> None:
    script = Script(latest)
    script.snapshot()
    script.follow()

    assert script.take() == [("snapshot", 16)]
    for price in (90, 91, 92):
        script.change(price, 1)
        assert script.take() == [("update", 1)]
    assert script.is_right


def test_a_book_that_breaks_beside_five_levels_is_given_whole_when_it_is_back() -> None:
    """The state is theirs, and tells nothing of it."""
    script = Script(latest=False, beside=True)
    script.snapshot()
    script.follow()
    script.take()
    script.push_five()
    script.change(90, 1)
    script.channel.invalidated(because("it failed its proof"), script.clock.now)
    assert script.view.state is State.LIVE

    assert script.take() == []
    script.change(91, 1)
    script.snapshot()
    script.change(92, 1)
    assert script.take() == [("snapshot", 18), ("update", 1)]
    assert script.is_right


def test_a_book_that_comes_later_is_given_whole_first() -> None:
    script = Script()
    script.follow()
    script.snapshot()

    assert script.take() == [("snapshot", 16)]


def test_a_slow_script_is_given_the_newest_whole_in_place_of_what_it_missed() -> None:
    script = Script()
    script.snapshot()
    script.follow()
    script.take()
    for price in (90, 91, 92):
        script.change(price, 1)

    assert script.take() == [("snapshot", 19)]
    assert script.is_right
    assert script.queue.skipped == {"depth": 2}
    script.change(93, 1)
    assert script.take() == [("update", 1)]


def test_every_change_is_kept_on_request_up_to_the_bound() -> None:
    script = Script(latest=False, max_queue=3)
    script.snapshot()
    script.follow()
    for price in (90, 91):
        script.change(price, 1)
    assert script.take() == [("snapshot", 16), ("update", 1), ("update", 1)]
    assert script.queue.skipped == {}
    for price in (92, 93, 94, 95):
        script.change(price, 1)
    # The newest never gives way, and what was missed before it is made up for.
    assert script.take() == [("update", 1), ("update", 1), ("snapshot", 22)]
    assert script.is_right
    assert script.queue.skipped == {"depth": 1}


@pytest.mark.parametrize("latest", [True, False])
def test_a_book_that_was_withdrawn_is_given_whole_when_it_is_back(latest: bool) -> None:
    script = Script(latest)
    script.snapshot()
    script.follow()
    script.take()
    script.change(90, 1)
    script.channel.invalidated(because("it failed its proof"), script.clock.now)
    # What waited is no longer true.
    assert script.take() == []
    script.change(91, 1)
    assert script.take() == []
    script.snapshot()
    assert script.take() == [("snapshot", 18)]
    script.change(92, 1)
    assert script.take() == [("update", 1)]
    assert script.is_right


@pytest.mark.parametrize("waiting", [0, 1])
def test_a_book_is_given_whole_after_the_end_of_a_lease(waiting: int) -> None:
    """A script that forgot its book when it was told so has one again."""
    script = Script()
    script.snapshot()
    script.follow()
    script.take()
    for _ in range(waiting):
        script.change(90, 1)
    script.bench.pass_time(20)
    script.renew()
    script.change(91, 1)

    assert script.take() == [("snapshot", 17 + waiting)]


EVENTS = st.one_of(
    st.tuples(st.just("change"), st.integers(95, 105), st.integers(0, 2)),
    st.tuples(st.just("take"), st.integers(1, 4), st.just(0)),
    st.tuples(
        st.sampled_from(["snapshot", "spoil", "resync", "lapse"]),
        st.just(0),
        st.just(0),
    ),
)


@example([("take", 1, 0), *[("lapse", 0, 0), ("change", 95, 1)]], False, 9, False)
@given(
    st.lists(EVENTS, max_size=60),
    st.booleans(),
    st.sampled_from([1, 2, 5, 1000]),
    st.booleans(),
)
def test_the_items_of_a_book_always_make_it(
    events: list[tuple[str, int, int]], latest: bool, max_queue: int, beside: bool
) -> None:
    script = Script(latest, max_queue, beside)
    script.snapshot()
    script.push_five()
    script.follow()
    for event, number, size in events:
        if event == "change":
            script.change(number, size, "bids" if number < 100 else "asks")
        elif event == "take":
            script.take(number)
        elif event == "snapshot":
            script.snapshot()
        elif event == "spoil":
            script.channel.invalidated(because("it failed its proof"), script.clock.now)
        elif event == "resync":
            script.channel.subscribed(script.bench.link, script.clock.now)
            script.snapshot()
        elif event == "lapse":
            script.bench.pass_time(20)
            script.renew()
    script.snapshot()
    script.change(99, 9)
    script.take()
    assert script.is_right


# --- Trades and gaps ----------------------------------------------------------------


def test_trades_beyond_the_bound_become_one_counted_gap() -> None:
    bench = Bench(max_queue=2)
    bench.trades(1, 2, 3, 4, 5)
    assert short(bench.updates.take()) == "1"
    bench.trades(6)
    assert short(bench.updates.take()) == "2"
    gap = bench.updates.take()
    cause = because("3 of trade not taken in time (max_queue)", CauseCode.QUEUE)
    assert gap == gap_for("trade", "2", "6", cause, "BTC-USDT")
    assert isinstance(gap, Gap)
    assert gap.at == utc(bench.clock.wall())
    assert bench.taken() == ["6"]
    assert bench.updates.skipped == {"trade": 3}


def test_a_gap_has_the_moment_at_which_it_was_noticed_and_not_that_of_its_reading() -> (
    None
):
    bench = Bench(max_queue=1)
    at = utc(bench.clock.wall())
    bench.updates.add("trade", Gap("trade", "1", None, because("lost"), "BTC-USDT"))
    bench.trades(1, 2)
    bench.clock.advance(60.0)

    gaps = [item for item in bench.items() if isinstance(item, Gap)]

    assert [gap.at for gap in gaps] == [at, at]


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
        bench.updates.add("trade", trade(number, "ETH-USDT"))
    bench.trades(2)
    gaps = [bench.updates.take() for _ in range(3)][1:]
    assert [(g.instrument_id, short(g)) for g in gaps if isinstance(g, Gap)] == [
        ("ETH-USDT", (None, None)),
        ("BTC-USDT", ("1", None)),
    ]


def test_every_series_has_its_own_gap() -> None:
    """Trades, bars and data of one instrument, in a queue with room for one of each."""
    bench = Bench(max_queue=3)
    put = bench.updates.add
    put("trade", trade(1))
    put("candle60s", candle(1))
    put("orders:BTC-USDT", data("a"))
    for _ in range(2):
        put("orders:BTC-USDT", data("b"))
        put("candle60s", candle(2))
    put("trade", trade(2))
    put("trades-all", trade(7))
    first = [short(bench.updates.take()) for _ in range(3)]
    put("candle60s", candle(3))
    put("orders:BTC-USDT", data("c"))

    rest = [bench.updates.take() for _ in range(6)]

    assert first == ["1", (1, 1), ("a",)]
    told = [(g.channel, short(g), str(g.cause)[:2]) for g in rest if isinstance(g, Gap)]
    assert told == [
        ("orders:BTC-USDT", (None, None), "2 "),
        (
            "candle60s",
            ("1970-01-01T00:01:00.000Z", "1970-01-01T00:03:00.000Z"),
            "2 ",
        ),
        ("trade", ("1", None), "1 "),
        ("trades-all", (None, None), "1 "),
    ]
    assert [short(item) for item in rest[4:]] == [(3, 1), ("c",)]
    assert bench.updates.skipped == {
        "orders:BTC-USDT": 2,
        "candle60s": 2,
        "trade": 1,
        "trades-all": 1,
    }


def test_each_state_of_a_bar_is_an_item(bench: Bench) -> None:
    """Only a depth or a ticker gives way to its successor."""
    for close in (1, 2, 3):
        bench.updates.add("candle60s", candle(1, close))

    assert bench.taken() == [(1, 1), (1, 2), (1, 3)]


@pytest.mark.parametrize("item", [trade(9), candle(9), data("z")])
def test_whatever_counts_by_itself_takes_room(item: Item) -> None:
    bench = Bench(max_queue=2)
    for _ in range(2):
        bench.updates.add("x", item)
    bench.trades(1)

    assert len(bench.taken()) == 3
    assert bench.updates.skipped == {"trade": 1}
    bench.trades(1, 2)
    assert bench.taken() == ["1", "2"]


def test_a_gap_and_a_change_of_state_are_never_dropped() -> None:
    bench = Bench(max_queue=1)
    bench.trades(1)
    for number in range(10):
        bench.gap(str(number))
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
    assert waiting_in(bench.updates) == []


def test_changes_of_several_sources_past_the_bound_are_bounded_too() -> None:
    bench = Bench(max_queue=2)
    sources = [Source(f"COIN{n}-USDT") for n in range(3)]
    for source in sources:
        follow(bench.updates, source, State.LIVE)
    for number in range(300):
        new = State.RESYNCING if number % 2 else State.STALE
        for source in sources:
            bench.updates.change(source, source.change(new))

    waiting = waiting_in(bench.updates)

    assert len(waiting) <= 2 + len(sources)
    last = {c.instrument_id: c.new for c in waiting if isinstance(c, StateChange)}
    assert last == {source.instrument_id: State.RESYNCING for source in sources}


def test_after_a_fork_it_has_ended_whoever_held_its_lock(bench: Bench) -> None:
    lock = lock_of(bench.updates)
    with lock:
        bench.updates.forked()
    with pytest.raises(StopIteration):
        bench.updates.take()
    assert lock_of(bench.updates) is not lock


# --- States -------------------------------------------------------------------------


def test_leaving_live_discards_the_depths_that_wait_and_no_trade(
    bench: Bench,
) -> None:
    other = Source("ETH-USDT")
    follow(bench.updates, other, State.LIVE)
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
    follow(bench.updates, source, State.SYNCING)
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


@pytest.mark.parametrize("seen", [State.LIVE, State.SYNCING])
def test_a_change_that_is_told_before_the_first_state_is_known_is_not_undone(
    seen: State,
) -> None:
    """The state is looked up by one thread, and changes on another one meanwhile."""
    bench, source = Bench(), Source("ETH-USDT")
    bench.updates.follow(source)
    bench.updates.change(source, source.change(State.STALE))
    bench.updates.begin(source, seen)
    bench.updates.change(source, source.change(State.LIVE, old=State.STALE))

    changes = bench.items()
    assert [(c.old, c.new) for c in changes if isinstance(c, StateChange)] == [
        (State.LIVE, State.STALE),
        (State.STALE, State.LIVE),
    ]


def test_a_source_that_ends_before_its_first_state_is_known_has_ended() -> None:
    bench, source = Bench(), Source("ETH-USDT")
    bench.updates.end(bench.source, None)
    bench.updates.follow(source)
    bench.updates.change(source, source.change(State.CLOSED))
    bench.updates.begin(source, State.LIVE)

    assert bench.taken() == [State.CLOSED]
    with pytest.raises(StopIteration):
        bench.updates.take()


@pytest.mark.parametrize("back", [False, True])
def test_a_book_that_is_withdrawn_while_an_iterator_is_made_is_told_of(
    back: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script()
    script.snapshot()
    look = script.view.look

    def interrupted(limits: Any) -> Any:
        found = look(limits)
        monkeypatch.undo()
        script.channel.invalidated(because("it failed its proof"), script.clock.now)
        if back:
            script.snapshot()
        return found

    monkeypatch.setattr(script.view, "look", interrupted)
    script.follow()

    told = take_without_waiting(script.queue)
    states = [each.new for each in told if isinstance(each, StateChange)]
    assert states == [State.RESYNCING, State.LIVE][: 1 + back]
    assert isinstance(told[-1], BookUpdate) is back


def test_an_iterator_in_a_signal_handler_refuses_what_it_interrupted() -> None:
    bench = Bench()

    def make(value: Published, before: Published | None) -> Item:
        with pytest.raises(RuntimeError, match="wait for its own thread"):
            bench.updates.take()
        bench.trades(1)
        return made(value, before)

    bench.note(7, make=make)
    assert bench.taken() == [7, "1"]


def test_no_connection_waits_for_a_thread_that_takes_an_item() -> None:
    """A signal handler that blocks may have interrupted it."""
    updates, source = UpdateQueue(SystemClock(), True, 10, LIMIT), Source()
    follow(updates, source, State.LIVE)
    inside, go_on = threading.Event(), threading.Event()

    def make(value: Published, before: Published | None) -> Item:
        inside.set()
        assert go_on.wait(LIMIT)
        return made(value, before)

    updates.note("depth5", source, shown(1), make)
    got: list[Item] = []
    thread = threading.Thread(target=lambda: got.extend(Updates(updates)))
    thread.start()
    assert inside.wait(LIMIT)
    updates.add("trade", trade(1))
    updates.change(source, source.change(State.STALE))
    updates.end(source, None)
    assert got == []
    go_on.set()
    thread.join(LIMIT)

    assert [short(item) for item in got] == [1, "1", State.STALE]


def test_a_source_that_is_not_followed_is_not_told(bench: Bench) -> None:
    stranger = Source("ETH-USDT")
    bench.updates.change(stranger, stranger.change(State.STALE))
    assert bench.taken() == []


# --- The lease's end ----------------------------------------------------------------


def test_the_iterator_wakes_at_the_leases_end_on_its_own(patient: Bench) -> None:
    start = patient.clock.now
    patient.lease(15)
    stale = patient.source.change(State.STALE, "the lease ran out")

    def lapse() -> None:
        if patient.clock.now >= start + 15:
            patient.source.lapsed, patient.source.end = stale, math.inf

    patient.meanwhile = lapse
    assert patient.updates.take() == stale
    assert patient.waits == [15.0]


def test_a_lapse_is_seen_before_the_depth_that_waits(patient: Bench) -> None:
    patient.lease(15)
    patient.note(1)
    patient.clock.advance(15)
    patient.source.lapsed = patient.source.change(State.STALE)
    assert short(patient.updates.take()) is State.STALE
    assert patient.updates.skipped == {"depth5": 1}


def test_a_lapse_is_told_once_by_whoever_sees_it_first(bench: Bench) -> None:
    bench.lease(0)
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
    bench.lease(0)
    bench.updates.change(bench.source, bench.source.change(State.STALE, "thread"))
    bench.source.lapsed = bench.source.change(State.STALE, "iterator")
    change = bench.updates.take()
    assert isinstance(change, StateChange)
    assert change.cause.text == "thread"
    assert bench.taken() == []


def test_a_lease_that_was_renewed_meanwhile_is_waited_for_again(
    patient: Bench,
) -> None:
    start = patient.clock.now
    patient.lease(15)

    def renew() -> None:
        patient.source.end = patient.clock.now + 15
        if patient.clock.now >= start + 45:
            patient.trades(1)

    patient.meanwhile = renew
    assert short(patient.updates.take()) == "1"
    assert patient.waits == [15.0, 15.0, 15.0]


class ManySources:
    """An iterator over many sources that are live."""

    def __init__(self, count: int = 200) -> None:
        self.bench = Bench(max_queue=10_000, endless=True)
        self.sources = [Source(f"COIN{number}-USDT") for number in range(count)]
        for source in self.sources:
            self.renew(source)
            follow(self.bench.updates, source, State.LIVE)
        self.looks()

    def renew(self, source: Source) -> None:
        source.end = self.bench.clock.now + 15

    def looks(self) -> int:
        """How often one of them was looked at since the last time."""
        count = sum(source.looks for source in self.sources)
        for source in self.sources:
            source.looks = 0
        return count


def test_many_sources_are_not_looked_at_for_each_item() -> None:
    many = ManySources()
    many.bench.trades(*range(1000))

    assert len(many.bench.taken()) == 1000
    assert many.looks() == 0


def test_many_sources_are_looked_at_once_a_lease() -> None:
    many = ManySources()
    for source in many.sources:
        source.end += 1
    many.bench.clock.advance(15)
    many.bench.trades(*range(1000))

    assert len(many.bench.taken()) == 1000
    # Whether it ended, and when it will.
    assert many.looks() == 2 * len(many.sources)


def test_the_one_lease_that_ends_is_seen_among_many() -> None:
    many = ManySources()
    late, many.bench.source = many.sources[7], many.sources[7]
    many.bench.note(1)
    many.bench.clock.advance(15)
    for source in many.sources:
        many.renew(source)
    late.lapsed = late.change(State.STALE)
    many.bench.trades(1)

    assert many.bench.taken() == ["1", State.STALE]


def test_a_lease_that_ends_before_all_others_is_seen_in_time() -> None:
    many = ManySources()
    soon = Source("SOON-USDT")
    follow(many.bench.updates, soon, State.CONNECTING)
    soon.end = many.bench.clock.now + 3
    many.bench.updates.change(soon, soon.change(State.LIVE))
    assert many.bench.taken() == [State.LIVE]
    soon.lapsed = soon.change(State.STALE)
    many.bench.clock.advance(2.9)
    many.bench.trades(1)
    assert many.bench.taken() == ["1"]
    many.bench.clock.advance(0.1)
    many.bench.trades(2)

    assert many.bench.taken() == ["2", State.STALE]


def test_a_lease_that_ends_after_others_puts_off_no_look(bench: Bench) -> None:
    bench.lease(3)
    late = Source("LATE-USDT")
    late.end = bench.clock.now + 100
    follow(bench.updates, late, State.LIVE)
    bench.clock.advance(3)
    bench.source.lapsed = bench.source.change(State.STALE)

    assert bench.taken() == [State.STALE]


def test_a_close_that_only_the_iterator_sees_is_an_end(bench: Bench) -> None:
    bench.lease(0)
    bench.source.lapsed = bench.source.change(State.CLOSED)

    assert short(bench.updates.take()) is State.CLOSED
    with pytest.raises(StopIteration):
        bench.updates.take()


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
    follow(bench.updates, other, State.CONNECTING)
    bench.updates.end(bench.source, None)
    with pytest.raises(TimeoutError):
        bench.updates.take()
    bench.updates.end(other, None)
    with pytest.raises(StopIteration):
        bench.updates.take()


def test_an_endless_one_goes_on_when_its_sources_have_ended() -> None:
    bench = Bench(endless=True)
    bench.updates.change(bench.source, bench.source.change(State.FAILED))
    bench.updates.end(bench.source, Stalled("nothing came", 1))
    assert short(bench.updates.take()) is State.FAILED
    with pytest.raises(TimeoutError):
        bench.updates.take()

    other = Source("ETH-USDT")
    follow(bench.updates, other, State.LIVE)
    bench.updates.add("trade", trade(1, "ETH-USDT"))
    bench.updates.change(other, other.change(State.CLOSED))
    bench.updates.end(other, None)

    assert bench.taken() == ["1", State.CLOSED]
    with pytest.raises(TimeoutError):
        bench.updates.take()


def test_an_endless_one_that_was_closed_ends_with_its_last_source() -> None:
    bench = Bench(endless=True)
    bench.trades(1)

    bench.updates.close()
    bench.updates.end(bench.source, None)

    assert [short(item) for item in Updates(bench.updates)] == ["1"]


def test_what_is_told_after_the_end_opens_nothing_again() -> None:
    """A feed is closed on one thread, and its connections say so on theirs."""
    bench = Bench(endless=True)
    bench.updates.close()

    bench.updates.change(bench.source, bench.source.change(State.CLOSED))
    bench.updates.end(bench.source, None)

    assert [short(item) for item in Updates(bench.updates)] == [State.CLOSED]


def test_a_close_wakes_the_thread_that_waits() -> None:
    updates = UpdateQueue(SystemClock(), True, 10, LIMIT, endless=True)
    got: list[Item] = []
    thread = threading.Thread(target=lambda: got.extend(Updates(updates)))
    thread.start()

    updates.close()

    thread.join(LIMIT)
    assert not thread.is_alive()
    assert got == []


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


def test_the_librarys_own_thread_takes_what_is_there_and_waits_for_nothing() -> None:
    bench = Bench(timeout=None)
    bench.trades(1)
    got: list[Any] = []

    def take() -> None:
        mark_library_thread()
        got.append(short(bench.updates.take()))
        with pytest.raises(RuntimeError, match="wait for its own thread"):
            bench.updates.take()
        got.append("raised")

    thread = threading.Thread(target=take)
    thread.start()
    thread.join(LIMIT)

    assert got == ["1", "raised"]


# --- Two threads --------------------------------------------------------------------


def test_a_thread_that_waits_is_woken_by_the_one_that_puts() -> None:
    updates, source = UpdateQueue(SystemClock(), True, 10, LIMIT), Source()
    follow(updates, source, State.CONNECTING)
    got: list[Item] = []
    thread = threading.Thread(target=lambda: got.extend(Updates(updates)))
    thread.start()
    updates.change(source, source.change(State.LIVE))
    updates.note("depth5", source, shown(1), made)
    updates.add("trade", trade(1))
    updates.end(source, None)
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert [short(item) for item in got] == [State.LIVE, 1, "1"]


def test_between_two_threads_nothing_is_lost_without_a_word() -> None:
    updates, source = UpdateQueue(SystemClock(), True, 8, LIMIT), Source()
    follow(updates, source, State.LIVE)
    count = 20_000

    def put() -> None:
        for number in range(1, count + 1):
            updates.add("trade", trade(number))
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


def test_after_a_fork_the_end_of_a_feed_does_not_begin_it_anew() -> None:
    queue = UpdateQueue(SystemClock(), True, 10, 1.0, endless=True)
    follow(queue, Source(), State.SYNCING)
    queue.forked()

    queue.close()

    assert list(Updates(queue)) == []
