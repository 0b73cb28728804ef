"""The past before the present, and every outage made good; in virtual time.

The exchange trades, breaks and comes back; what the script was told is compared to the
exchange's own list of everything.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from okex_ws import (
    BackfillFailed,
    Candle,
    Feed,
    Gap,
    State,
    StateChange,
    Trade,
    WSSubscription,
)
from okex_ws.base.state import NO_CAUSE
from okex_ws.channels.series import KINDS
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.history.gap_join import LONGEST_HOLD, PATIENCE
from okex_ws.history.source import MOST
from okex_ws.history.view import HistoryOptions, JoinedView
from okex_ws.history.worker import HistoryWorker
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.trust.verdict import NO_LIMITS
from tests.support.clocks import FakeClock
from tests.support.fake_history import (
    NAME,
    Past,
    RandomPast,
    WorldHistoryWorker,
    bar_ms,
    check_candles,
    check_trades,
    make_candle,
    make_trade,
)
from tests.support.internals import (
    answering_connection_of,
    is_ready,
    pool_of,
    register_of,
    set_history_worker,
)
from tests.support.virtual_world import START, Ladder, World

ALL = "trades-all"


class MarketWithPast:
    """An exchange with a memory, and what a feed makes of it."""

    def __init__(
        self, past: Past | None = None, latency: float = 0.2, traded: int = 1000
    ) -> None:
        self.world = World("v5")
        self.past = past or Past()
        self.feed = self.world.feed(history_source=lambda: self.past)
        self.history_worker = WorldHistoryWorker(self.world, lambda: self.past, latency)
        set_history_worker(self.feed, self.history_worker)
        self.errors: list[Exception] = []
        self.changes: list[StateChange] = []
        self.texts: list[str] = []
        self.number = traded
        self.past.all_trades += [make_trade(n) for n in range(1, traded + 1)]
        self.past.all_candles += [make_candle(m) for m in range(-700, 0)]

    @property
    def now(self) -> float:
        return self.world.clock.now - self.world.t0

    def subscribe(
        self, history: int | None, channels: Iterable[str] = (ALL,), **keywords: Any
    ) -> WSSubscription:
        return WSSubscription(
            NAME,
            "spot",
            feed=self.feed,
            channels=channels,
            history=history,
            on_error=self.errors.append,
            on_state=self.changes.append,
            **keywords,
        )

    # What the market does.

    def trade(self, step: int = 1) -> None:
        """Somebody trades, and all who asked for it are told."""
        self.number += step
        self.past.all_trades.append(make_trade(self.number, self.now))
        self.say(self.number)

    def say(self, number: int) -> None:
        real = next(t for t in reversed(self.past.all_trades) if t.id == str(number))
        element = {
            "instId": NAME,
            "tradeId": real.id,
            "px": str(real.price),
            "sz": str(real.size),
            "side": real.side,
            "ts": str(round(real.timestamp.timestamp() * 1000)),
            "source": "0",
        }
        self.send(ALL, element)

    def miss(self, step: int = 1) -> None:
        """A trade of which nobody is told."""
        self.number += step
        self.past.all_trades.append(make_trade(self.number, self.now))

    def spoil(self) -> None:
        """A trade whose message cannot be read."""
        self.miss()
        self.send(ALL, {"instId": NAME, "tradeId": str(self.number)})

    def send(self, channel: str, element: Any) -> None:
        key = self.world.dialect.channel(channel, NAME)
        for peer in self.world.peers:
            if key in peer.subscribed and peer.is_open:
                peer.send(self.world.dialect.push(channel, element))

    @property
    def minute(self) -> int:
        """That of the bar that is open now."""
        return int((self.now + START % 60) // 60)

    def bar(self, minute: int | None = None, closed: bool = False) -> None:
        """All are told of a bar: of the present one, if no other."""
        at = self.minute if minute is None else minute
        start_ms = bar_ms(at) - int(START * 1000)
        push = self.world.dialect.candle(start_ms)
        push["data"][0][-1] = "1" if closed else "0"
        key = self.world.dialect.channel("candle60s", NAME)
        for peer in self.world.peers:
            if key in peer.subscribed and peer.is_open:
                peer.send(push)

    def bars(self, until: float) -> None:
        """A bar a minute from now on, of which is told each few seconds."""
        for minute in range(int(until // 60) + 2):
            self.world.at(60 * minute + 20, lambda m=minute: self.close_bar(m))
        for second in range(3, int(until), 5):
            self.world.at(second + 0.5, self.bar)

    def close_bar(self, minute: int) -> None:
        self.past.all_candles.append(make_candle(minute))
        self.bar(minute, closed=True)

    def drop(self) -> None:
        """The connections end without a word."""
        for peer in self.world.peers:
            if peer.is_open:
                peer.drop()

    def drop_at(self, *seconds: float) -> None:
        for second in seconds:
            self.world.at(second, self.drop)

    def at(self, seconds: float, act: Callable[..., object], *given: Any) -> None:
        self.world.at(seconds, lambda: act(*given))

    def steadily(self, start: float, until: float, every: float = 0.5) -> None:
        """Somebody trades now and then."""
        for turn in range(int((until - start) / every)):
            self.world.at(start + turn * every, self.trade)


def all_of(updates: Any, *kinds: type) -> list[Any]:
    """What an iterator has of these *kinds*, once all has ended."""
    return [item for item in updates if isinstance(item, kinds)]


def series(updates: Any, kind: type) -> list[Any]:
    return all_of(updates, kind, Gap)


def ids(items: Iterable[Any]) -> list[Any]:
    return [
        (item.after, item.before) if isinstance(item, Gap) else int(item.id)
        for item in items
    ]


# --- The start ----------------------------------------------------------------------


@pytest.mark.parametrize("past", [0, 1, 5, 700])
def test_exactly_so_many_trades_come_before_the_first_live_one(past: int) -> None:
    rig = MarketWithPast()
    sub = rig.subscribe(past)
    updates = sub.updates()
    rig.steadily(0.3, 5.0)

    rig.world.run(6.0)

    told = series(updates, Trade)
    assert check_trades(told, rig.past.all_trades) == []
    backfilled = [trade.backfilled for trade in told]
    assert backfilled == [True] * past + [False] * (len(told) - past)
    assert sub.trades == tuple(told)
    assert not rig.errors


@pytest.mark.parametrize("past", [1, 500])
def test_exactly_so_many_closed_candles_come_before_the_live_one(past: int) -> None:
    rig = MarketWithPast()
    sub = rig.subscribe(past, ["candle60s"])
    updates = sub.updates()
    rig.bars(100)

    rig.world.run(100)

    told = series(updates, Candle)
    assert check_candles(told, rig.past.all_candles) == []
    assert [c.backfilled for c in told[: past + 1]] == [True] * past + [False]
    assert all(candle.closed for candle in told[:past])
    assert told[past].closed is False
    starts = [candle.start for candle in sub.candles]
    assert starts == sorted({candle.start for candle in told})
    assert sub.candles[past].start == told[past].start


def test_an_iterator_that_comes_later_begins_with_the_past_too() -> None:
    rig = MarketWithPast(traded=3000)
    sub = rig.subscribe(2500)
    rig.steadily(0.3, 8.0)
    later: list[Any] = []
    rig.at(4.0, lambda: later.append(sub.updates()))

    rig.world.run(8.0)

    told = series(later[0], Trade)
    assert check_trades(told, rig.past.all_trades) == []
    assert tuple(told) == sub.trades
    assert [t.backfilled for t in told][:2501] == [True] * 2500 + [False]


@pytest.mark.parametrize("live", [True, False])
def test_a_callback_is_given_the_past_and_what_an_outage_took(live: bool) -> None:
    """With its next live item, or once the wait for that is over."""
    rig = MarketWithPast(traded=3000)
    items: list[Any] = []
    others: list[Any] = []

    def on_item(item: Any) -> None:
        items.append(item)
        others.append(next(updates))

    sub = rig.subscribe(2500, on_item=on_item)
    updates = sub.updates()
    if live:
        rig.steadily(0.3, 5.0)
        rig.drop_at(2.0)

    rig.world.run(8.0)

    assert items == others
    told = [item for item in items if isinstance(item, (Trade, Gap))]
    assert check_trades(told, rig.past.all_trades) == []
    assert tuple(told) == sub.trades
    assert len(told) > 2500 if live else len(told) == 2500


def test_an_iterator_over_the_whole_feed_has_the_past_of_all() -> None:
    rig = MarketWithPast()
    early = rig.feed.updates(max_queue=5)
    rig.subscribe(300)
    late: list[Any] = []
    rig.at(3.0, lambda: late.append(rig.feed.updates(max_queue=5)))
    rig.at(0.5, rig.trade)

    rig.world.run(4.0)

    for updates in (early, late[0]):
        assert ids(series(updates, Trade)) == [*range(701, 1002)]


def test_the_queue_is_as_long_as_it_was_for_what_the_market_makes() -> None:
    rig = MarketWithPast()
    updates = rig.subscribe(10).updates(max_queue=5)
    for turn in range(8):
        rig.at(3.0 + turn / 10, rig.trade)

    rig.world.run(5.0)

    told = series(updates, Trade)
    assert ids(told) == [*range(991, 1007), ("1006", None)]
    assert "not taken in time" in told[-1].cause.text


def test_without_history_everything_is_as_it_was() -> None:
    rig = MarketWithPast()
    sub = rig.subscribe(None)
    updates = sub.updates()
    rig.at(0.5, rig.trade)
    rig.drop_at(1.0)
    rig.at(1.1, rig.miss)
    rig.at(5.0, rig.trade)

    rig.world.run(6.0)

    assert ids(series(updates, Trade)) == [1001, ("1001", "1003"), 1003]
    assert not rig.past.asked


def test_a_quiet_market_is_given_its_past_without_a_live_item() -> None:
    rig = MarketWithPast()
    sub = rig.subscribe(5, [ALL, "candle60s"])
    updates = sub.updates()

    rig.world.run(PATIENCE + 1.0)

    assert ids(all_of(updates, Trade)) == [*range(996, 1001)]
    assert [candle.closed for candle in sub.candles] == [True] * 5


# --- Waiting ------------------------------------------------------------------------


def ready(rig: MarketWithPast, sub: WSSubscription, *seconds: float) -> list[bool]:
    """Whether `wait_live` would return at these moments."""
    seen: list[bool] = []
    for second in seconds:
        rig.at(second, lambda: seen.append(is_ready(sub)))
    return seen


def test_waiting_ends_once_the_past_is_joined() -> None:
    rig = MarketWithPast(latency=1.0)
    seen = ready(rig, rig.subscribe(5), 0.2, 0.6, 2.0)
    rig.at(0.5, rig.trade)

    rig.world.run(3.0)

    assert seen == [False, False, True]


def test_waiting_ends_once_the_past_cannot_be_had() -> None:
    rig = MarketWithPast(Past(failing=10**9))
    sub = rig.subscribe(5)
    updates = sub.updates()
    seen = ready(rig, sub, 5.0, 15.0)
    rig.at(0.5, rig.trade)

    rig.world.run(16.0)

    assert seen == [False, True]
    assert ids(series(updates, Trade)) == [(None, "1001"), 1001]
    (error,) = rig.errors
    assert isinstance(error, BackfillFailed)
    assert error.__cause__ is rig.past.error
    assert sub.health().failed == {}


def test_waiting_does_not_wait_where_no_past_is_asked_for() -> None:
    rig = MarketWithPast()
    seen = ready(rig, rig.subscribe(0), 0.2)

    rig.world.run(1.0)

    assert seen == [True]


def test_waiting_does_not_wait_for_a_channel_that_is_refused() -> None:
    rig = MarketWithPast()
    rig.world.exchange.unknown.add(rig.world.dialect.channel("candle60s", NAME))
    sub = rig.subscribe(5, [ALL, "candle60s"])
    seen = ready(rig, sub, 5.0)
    rig.at(0.5, rig.trade)

    rig.world.run(6.0)

    assert seen == [True]
    assert list(sub.health().failed) == ["candle60s"]


# --- Outages ------------------------------------------------------------------------


@pytest.mark.parametrize("past", [0, 50])
def test_what_an_outage_took_comes_before_what_is_next(past: int) -> None:
    rig = MarketWithPast()
    updates = rig.subscribe(past).updates()
    rig.steadily(0.3, 60.0, 0.1)
    rig.drop_at(5.0, 15.0, 15.3, 30.0, 45.0)

    rig.world.run(62.0)

    told = series(updates, Trade)
    assert check_trades(told, rig.past.all_trades) == []
    assert int(told[0].id) == 1001 - past
    assert int(told[-1].id) == rig.number
    assert sum(trade.backfilled for trade in told) > past
    assert not [e for e in rig.errors if isinstance(e, BackfillFailed)]
    epochs = [trade.epoch for trade in told]
    assert epochs == sorted(epochs)


def test_bars_that_an_outage_took_come_before_what_is_next() -> None:
    rig = MarketWithPast()
    sub = rig.subscribe(20, ["candle60s"])
    updates = sub.updates()
    rig.bars(600)
    rig.world.failure = lambda url: rig.past.error if 100 < rig.now < 300 else None
    rig.drop_at(100, 380, 450)

    rig.world.run(600)

    told = series(updates, Candle)
    assert check_candles(told, rig.past.all_candles) == []
    assert [candle.start for candle in told if candle.closed] == [
        candle.start for candle in rig.past.all_candles[-30:]
    ]
    assert len({candle.start for candle in sub.candles}) == len(sub.candles)


def test_after_an_outage_of_a_quiet_market_nobody_waits() -> None:
    rig = MarketWithPast()
    updates = rig.subscribe(0).updates()
    rig.at(0.5, rig.trade)
    rig.drop_at(1.0)
    rig.at(1.01, rig.miss)

    rig.world.run(8.0)

    assert ids(series(updates, Trade)) == [1001, 1002]


def test_a_message_that_could_not_be_read_is_made_good() -> None:
    rig = MarketWithPast()
    updates = rig.subscribe(0).updates()
    rig.steadily(0.3, 3.0)
    rig.at(1.0, rig.spoil)

    rig.world.run(5.0)

    told = series(updates, Trade)
    assert check_trades(told, rig.past.all_trades) == []
    assert [trade.backfilled for trade in told].count(True) == 1


def test_everything_else_goes_on_meanwhile() -> None:
    rig = MarketWithPast(latency=4.0)
    ladder = Ladder(rig.world, "depth", NAME)
    texts: list[str] = []
    sub = rig.subscribe(10, [ALL, "depth"], on_message=texts.append)
    updates = sub.updates()
    seen: list[tuple[int, int, bool]] = []
    rig.steadily(0.5, 4.0)
    for turn in range(7):
        rig.at(0.5 + turn / 2, lambda: ladder.send(ladder.size(str(rig.now))))
        look = lambda: seen.append(  # noqa: E731
            (len(texts), len(sub.trades), bool(sub.GetDepth()))
        )
        rig.at(0.7 + turn / 2, look)

    rig.world.run(8.0)

    counts = [count for count, _, _ in seen]
    assert counts == sorted(set(counts))
    assert [(trades, live) for _, trades, live in seen] == [(0, True)] * 7
    assert len(sub.trades) == 17
    assert check_trades(series(updates, Trade), rig.past.all_trades) == []


def test_a_second_outage_during_a_fill() -> None:
    rig = MarketWithPast(latency=3.0)
    updates = rig.subscribe(5).updates()
    rig.steadily(0.3, 30.0, 0.2)
    rig.drop_at(8.0, 9.5, 11.0)

    rig.world.run(40.0)

    told = series(updates, Trade)
    assert check_trades(told, rig.past.all_trades) == []
    assert int(told[-1].id) == rig.number


def test_a_past_that_fails_is_a_gap_where_it_is_missing() -> None:
    rig = MarketWithPast()
    updates = rig.subscribe(0).updates()
    rig.steadily(0.3, 40.0)
    rig.drop_at(5.0)
    rig.at(5.01, rig.miss)
    rig.at(4.0, lambda: setattr(rig.past, "failing", 10**9))
    rig.at(20.0, lambda: setattr(rig.past, "failing", 0))
    rig.drop_at(25.0)
    rig.at(25.01, rig.miss)

    rig.world.run(42.0)

    told = series(updates, Trade)
    (gap,) = check_trades(told, rig.past.all_trades)
    assert str(rig.past.error) in gap.cause.text
    assert len([e for e in rig.errors if isinstance(e, BackfillFailed)]) == 1


def test_what_the_venue_keeps_no_more_is_a_gap() -> None:
    rig = MarketWithPast()
    updates = rig.subscribe(0).updates()
    rig.at(0.5, rig.trade)
    rig.drop_at(1.0)
    for turn in range(50):
        rig.at(1.01 + turn / 1000, rig.miss)
    rig.at(1.2, lambda: setattr(rig.past, "kept", 10))
    rig.at(4.0, rig.trade)

    rig.world.run(8.0)

    told = series(updates, Trade)
    (gap,) = check_trades(told, rig.past.all_trades)
    assert (gap.after, gap.before) == ("1001", told[2].id)
    assert len(told) > 9


def test_an_answer_that_never_comes_holds_nothing_up_for_long() -> None:
    rig = MarketWithPast()
    rig.history_worker.is_deaf = True
    updates = rig.subscribe(5).updates()
    rig.steadily(0.3, 40.0)
    shown: list[int] = []
    sub = rig.feed.subscriptions[0]
    assert isinstance(sub, WSSubscription)
    for second in (LONGEST_HOLD - 1, LONGEST_HOLD + 2):
        rig.at(second, lambda: shown.append(len(sub.trades)))

    rig.world.run(41.0)

    assert shown[0] == 0
    assert shown[1] > 40
    (gap,) = check_trades(series(updates, Trade), rig.past.all_trades)
    assert (gap.after, gap.before) == (None, "1001")


def test_an_answer_that_comes_twice_counts_once() -> None:
    rig = MarketWithPast()
    rig.history_worker.times = 3
    updates = rig.subscribe(50).updates()
    rig.steadily(0.3, 20.0)
    rig.drop_at(5.0, 10.0)

    rig.world.run(22.0)

    assert check_trades(series(updates, Trade), rig.past.all_trades) == []


# --- Comings and goings -------------------------------------------------------------


def test_closing_during_a_fill_leaves_nothing() -> None:
    rig = MarketWithPast(latency=3.0)
    sub = rig.subscribe(5)
    updates = sub.updates()
    rig.at(0.5, rig.trade)
    rig.at(1.0, sub.close)

    rig.world.run(10.0)

    assert all_of(updates, Trade, Gap) == []
    assert sub.trades == ()
    assert not rig.errors


def test_a_channel_that_is_refused_during_a_fill_gives_what_it_held() -> None:
    rig = MarketWithPast(latency=3.0)
    rig.past.kept = 500
    updates = rig.subscribe(5, [ALL, "candle60s"]).updates()
    key = rig.world.dialect.channel(ALL, NAME)
    rig.at(0.5, rig.trade)
    rig.at(1.0, lambda: rig.world.exchange.unknown.add(key))
    rig.at(1.1, lambda: rig.world.peer_on("business").end(key))

    rig.world.run(10.0)

    assert ids(all_of(updates, Trade)) == [*range(996, 1002)]


def test_a_subscription_that_leaves_takes_nothing_from_another() -> None:
    rig = MarketWithPast(latency=3.0)
    one, other = rig.subscribe(5), rig.subscribe(7)
    updates = other.updates()
    rig.at(0.5, rig.trade)
    rig.at(1.0, one.close)

    rig.world.run(6.0)

    assert ids(series(updates, Trade)) == [*range(994, 1002)]


def test_each_of_several_on_one_channel_has_the_past_it_asked_for() -> None:
    rig = MarketWithPast()
    plain, small = rig.subscribe(None), rig.subscribe(5)
    first = [plain.updates(), small.updates()]
    later: list[Any] = []
    rig.steadily(0.3, 12.0)
    rig.at(5.0, lambda: later.append(rig.subscribe(100)))
    rig.at(5.01, lambda: later.append(later[0].updates()))
    rig.drop_at(8.0)
    rig.at(8.01, rig.trade)  # while there is no connection

    rig.world.run(14.0)

    told = [series(updates, Trade) for updates in (*first, later[1])]
    assert len(check_trades(told[0], rig.past.all_trades)) == 1
    for found, past in zip(told[1:], (5, 100), strict=True):
        assert check_trades(found, rig.past.all_trades) == []
        assert [t.backfilled for t in found[: past + 1]] == [True] * past + [False]
    assert later[0].trades == tuple(told[2])
    assert len(rig.world.peers) == 2  # the one channel on the one connection


def test_one_connection_takes_over_from_another_during_a_fill() -> None:
    rig = MarketWithPast(latency=2.0)
    updates = rig.subscribe(5).updates()
    rig.steadily(0.3, 60.0, 0.2)
    rig.drop_at(5.0)
    rig.at(6.2, rig.feed.rotate)
    rig.at(30.0, rig.feed.rotate)
    rig.at(30.1, rig.spoil)

    rig.world.run(70.0)

    told = series(updates, Trade)
    assert check_trades(told, rig.past.all_trades) == []
    assert int(told[-1].id) == rig.number


def test_callbacks_on_a_thread_of_their_own_are_told_as_well() -> None:
    rig = MarketWithPast(Past(failing=10**9))
    feed = rig.world.feed(history_source=Past, callbacks="thread")
    set_history_worker(feed, rig.history_worker)
    errors: list[Exception] = []
    sub = WSSubscription(
        NAME, "spot", feed=feed, channels=[ALL], history=5, on_error=errors.append
    )
    updates = sub.updates()
    rig.at(0.5, rig.trade)

    rig.world.run(16.0)
    feed.close()

    assert ids(series(updates, Trade)) == [(None, "1001"), 1001]
    assert [type(error) for error in errors] == [BackfillFailed]


def test_a_callback_may_read_and_follow_meanwhile() -> None:
    rig = MarketWithPast()
    found: list[Any] = []
    sub = rig.subscribe(5, on_message=lambda text: found.append(sub.updates()))
    rig.steadily(0.3, 2.0)

    rig.world.run(4.0)

    assert ids(series(found[0], Trade)) == [*range(996, 1004)]


# --- What cannot be had -------------------------------------------------------------


def test_an_isolated_feed_shares_no_past() -> None:
    with Feed("okx", isolate=True) as feed, pytest.raises(ValueError, match="history"):
        WSSubscription(NAME, "spot", feed=feed, channels=["candle60s"], history=5)


def test_a_source_cannot_cross_into_another_process() -> None:
    with pytest.raises(ValueError, match="history_source"):
        Feed("okx", isolate=True, history_source=Past)


def test_a_source_is_made_by_a_function() -> None:
    with pytest.raises(TypeError, match="history_source"):
        Feed("okx", history_source=Past())  # type: ignore[arg-type]


def test_a_venue_without_rest_has_no_past() -> None:
    world = World("v5")

    with pytest.raises(ValueError, match="no REST interface"):
        world.subscribe(channels=["candle60s"], history=5)


def test_what_is_wrong_is_said_where_it_is_asked() -> None:
    rig = MarketWithPast()

    with pytest.raises(ValueError, match="history is 0 to 10000"):
        rig.subscribe(MOST + 1)
    with pytest.raises(ValueError, match="cannot be joined exactly"):
        rig.subscribe(5, ["trade", "candle60s"])
    (sub,) = rig.feed.subscribe([NAME], "spot", [ALL], history=5)
    assert sub.trades == ()
    rig.world.run(0.1)


# --- Campaigns ----------------------------------------------------------------------


class Campaign(MarketWithPast):
    """Everything goes wrong at random, by one seed."""

    def __init__(self, seed: int, past: Past) -> None:
        super().__init__(past)
        self.random = random.Random(seed)
        self.history_worker.jitter = random.Random(seed + 1)

    def begin(self, seconds: float) -> None:
        uniform = self.random.uniform
        self.bars(seconds)
        for _ in range(int(seconds * 4)):
            act = self.random.choices((self.trade, self.spoil), (40, 1))[0]
            step = () if act == self.spoil else (self.random.choice((1, 1, 2, 5)),)
            self.at(uniform(0.2, seconds), act, *step)
        for _ in range(int(seconds / 12)):
            self.at(uniform(1.0, seconds), self.drop)
        # At last there is quiet, and one more trade.
        self.at(seconds + 40.0, self.trade)
        for _ in range(int(seconds / 40)):
            self.at(uniform(1.0, seconds), self.feed.rotate)
            self.at(uniform(1.0, seconds), self.end_channel)

    def end_channel(self) -> None:
        """The exchange ends a channel unasked."""
        key = self.world.dialect.channel(ALL, NAME)
        for peer in self.world.peers:
            if peer.is_open and key in peer.subscribed:
                peer.end(key)


@pytest.mark.once
@pytest.mark.parametrize("seed", [0, 1, 2, 1005, 1019, 1023])
def test_whatever_happens_nothing_is_missing_and_nothing_comes_twice(seed: int) -> None:
    rig, past = Campaign(seed, Past()), seed % 40
    sub = rig.subscribe(past, [ALL, "candle60s"])
    updates = sub.updates(max_queue=10**6)
    rig.begin(200.0)

    rig.world.run(250.0)

    items = list(updates)
    trades = [i for i in items if isinstance(i, Trade) or _is_gap(i, ALL)]
    candles = [i for i in items if isinstance(i, Candle) or _is_gap(i, "candle60s")]
    assert check_trades(trades, rig.past.all_trades) == []
    assert check_candles(candles, rig.past.all_candles) == []
    assert int(trades[-1].id) == rig.number
    assert [t.backfilled for t in trades[:past]] == [True] * past
    # It would have been another matter without.
    assert sum(trade.backfilled for trade in trades) > past + 5
    assert sub.state is State.CLOSED


@pytest.mark.once
@pytest.mark.parametrize("seed", [0, 1, 2, 1005, 1019, 1023])
def test_whatever_the_past_does_each_miss_is_one_gap(seed: int) -> None:
    rig = Campaign(seed, RandomPast(seed))
    sub = rig.subscribe(30, [ALL, "candle60s"])
    updates = sub.updates(max_queue=10**6)
    rig.begin(200.0)

    rig.world.run(280.0)

    items = list(updates)
    trades = [i for i in items if isinstance(i, Trade) or _is_gap(i, ALL)]
    candles = [i for i in items if isinstance(i, Candle) or _is_gap(i, "candle60s")]
    check_trades(trades, rig.past.all_trades)
    check_candles(candles, rig.past.all_candles)
    assert int(trades[-1].id) == rig.number


def test_what_these_campaigns_compare_would_be_seen() -> None:
    rig = Campaign(0, Past())
    updates = rig.subscribe(20).updates(max_queue=10**6)
    rig.begin(60.0)
    rig.world.run(105.0)
    told, truth = series(updates, Trade), rig.past.all_trades
    gap = Gap(ALL, told[49].id, told[50].id, NO_CAUSE, NAME)
    other = replace(told[50], price=told[50].price + 1)
    spoilt = [
        [*told[:50], *told[51:]],  # one less
        [*told[:51], *told[50:]],  # one twice
        [*told[:50], told[51], told[50], *told[52:]],  # out of order
        [*told[:50], gap, gap, *told[50:]],  # a gap twice
        [*told[:51], gap, *told[51:]],  # a gap in another place
        [*told[:50], other, *told[51:]],  # another trade
    ]

    assert check_trades(told, truth) == []
    for items in spoilt:
        with pytest.raises(AssertionError):
            check_trades(items, truth)


def _is_gap(item: Any, topic: str) -> bool:
    return isinstance(item, Gap) and item.channel == topic


def test_a_channel_that_another_connection_has_yet_to_carry_is_not_asked_about() -> (
    None
):
    # Its thread is busy with a callback; another subscription has the channel live.
    clock, history_worker = FakeClock(), HistoryWorker("", FakeClock(), Past)
    callbacks = Callbacks(NAME, clock)
    view = JoinedView(
        None,
        NAME,
        NO_LIMITS,
        clock,
        callbacks,
        HistoryOptions(5, "spot", history_worker),
    )
    channel = KINDS["trade"](PROTOCOL, PROTOCOL.channel(ALL, "spot", NAME))
    channel.acknowledged, channel.openings = True, 1
    view.carry({ALL: channel.reading})
    view.tell(clock.monotonic())
    clock.now += 2 * PATIENCE

    view.tell(clock.monotonic())

    assert view.due() == math.inf


def test_after_a_rotation_the_present_connection_is_the_one_that_answers() -> None:
    rig = MarketWithPast()
    sub = rig.subscribe(0)
    rig.steadily(0.3, 20.0)
    rig.at(2.0, rig.feed.rotate)

    rig.world.run(20.0)

    (connection,) = register_of(pool_of(rig.feed)).table.carriers
    assert answering_connection_of(sub, ALL) is connection


def test_what_a_closed_subscription_wanted_is_not_asked_any_more() -> None:
    rig = MarketWithPast()
    rig.history_worker.latency = 2.0
    sub = rig.subscribe(5)
    rig.trade()
    rig.at(0.5, rig.trade)
    rig.at(1.0, sub.close)

    rig.world.run(5.0)

    assert not rig.past.asked


def test_an_iterator_that_comes_later_is_told_what_is_missing_before_it() -> None:
    rig = MarketWithPast()
    sub = rig.subscribe(0)
    rig.steadily(0.3, 20.0)
    rig.at(2.0, lambda: setattr(rig.history_worker, "is_deaf", True))
    rig.drop_at(2.1)
    later: list[Any] = []
    rig.at(60.0, lambda: later.append(sub.updates()))
    rig.at(61.0, rig.trade)

    rig.world.run(62.0)

    assert len(check_trades(series(later[0], Trade), rig.past.all_trades)) == 1
