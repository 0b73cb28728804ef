"""What a subscription answers when it is read, in virtual time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    Depth,
    NotLive,
    State,
    StateChange,
    Ticker,
)
from okex_ws.base.clock import utc
from okex_ws.channels.series import KINDS
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.view import View
from okex_ws.protocol.messages import DepthData
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.verdict import NO_LIMITS
from tests.support.clocks import FakeClock
from tests.support.virtual_world import (
    START,
    V5,
    World,
    depth,
    listen,
    stamp,
    trade,
)

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

DEPTH = "spot/depth5:BTC-USDT"
TRADE = "spot/trade:BTC-USDT"
TICKER = {
    "table": "spot/ticker",
    "data": [
        {"instrument_id": "BTC-USDT", "last": "100.1", "timestamp": stamp(0)},
    ],
}


@pytest.fixture
def world() -> World:
    world = World()
    world.exchange.first_pushes[DEPTH] = depth(0)
    return world


def push(world: World, message: object) -> None:
    assert world.peer is not None
    world.peer.send(message)


def test_every_read_gives_the_same_snapshot_in_its_own_form(world: World) -> None:
    sub = world.subscribe(channels=("depth5", "ticker"))
    world.exchange.first_pushes["spot/ticker:BTC-USDT"] = TICKER
    seen: list[Any] = []
    world.at(1, lambda: seen.extend([sub.depth(), sub.best_bid_ask()]))
    world.at(1, lambda: seen.extend([sub.latest("tickers"), sub.latest("books5")]))

    world.run(2)

    shown, best, ticker, newest = seen
    assert isinstance(shown, Depth)
    assert shown.bids == (("100.1", "1", "1"),)
    assert shown.timestamp == utc(START)
    assert shown.received == utc(START + 0.05)
    assert (shown.epoch, shown.channel, shown.lag) == (1, "depth5", None)
    assert (best.bid, best.ask) == (Decimal("100.1"), Decimal("100.2"))
    assert (best.mid, best.spread) == (Decimal("100.15"), Decimal("0.1"))
    assert isinstance(ticker, Ticker)
    assert ticker.last == Decimal("100.1")
    assert newest == shown


def test_before_the_first_push_there_is_nothing_and_the_reason_is_said(
    world: World,
) -> None:
    world.exchange.first_pushes.clear()
    sub = world.subscribe()
    errors = []

    def read() -> None:
        assert sub.GetDepth() == {}
        assert sub.best_bid_ask() is None
        with pytest.raises(NotLive) as caught:
            sub.depth()
        errors.append(caught.value)

    world.at(1, read)

    world.run(2)

    assert errors[0].state is State.SYNCING
    assert str(errors[0]) == "SYNCING: waiting for the first push"


def test_a_snapshot_without_a_pong_is_not_trusted(world: World) -> None:
    world.exchange.answers_pings = False
    sub = world.subscribe()
    seen = []
    world.at(1, lambda: seen.append((sub.GetDepth(), str(sub.health().cause))))

    world.run(2)

    assert seen == [({}, "waiting for the first pong")]


def test_the_limits_of_a_read_are_its_own(world: World) -> None:
    sub = world.subscribe()
    seen = []

    def read() -> None:
        seen.append(
            [
                bool(sub.GetDepth(max_age=3)),
                bool(sub.GetDepth(max_age=2)),
                bool(sub.GetDepth(max_silence=3)),
                bool(sub.GetDepth(max_silence=2)),
                bool(sub.GetDepth(max_lag=0)),
                sub.state,
            ]
        )

    world.at(2.5, read)

    world.run(3)

    assert seen == [[True, False, True, False, True, State.LIVE]]


def test_levels_cut_both_sides(world: World) -> None:
    book = depth(0)
    book["data"][0]["bids"].append(["100.0", "5", "1"])
    world.exchange.first_pushes[DEPTH] = book
    sub = world.subscribe()
    seen: list[int] = []
    world.at(1, lambda: seen.append(len(sub.depth(levels=1).bids)))
    world.at(1, lambda: seen.append(len(sub.depth().bids)))

    world.run(2)

    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("limit", "error"),
    [
        ({"max_age": "1"}, TypeError),
        ({"max_age": True}, TypeError),
        ({"max_age": float("nan")}, ValueError),
        ({"max_lag": -1}, ValueError),
        ({"levels": 0}, ValueError),
        ({"levels": 1.5}, TypeError),
    ],
)
def test_a_limit_that_is_no_number_is_refused(
    world: World, limit: dict[str, Any], error: type[Exception]
) -> None:
    sub = world.subscribe()

    with pytest.raises(error):
        sub.GetDepth(**limit)
    with pytest.raises(error):
        world.subscribe(**limit)
    world.run(1)


def test_lag_is_measured_against_the_best_of_the_connection(world: World) -> None:
    sub = world.subscribe(max_lag=1.0)
    seen: list[Any] = []
    for second in range(1, 6):
        # The exchange's clock is an hour behind ours: that cancels.
        message = depth(second * 1000 - 3_600_000)
        world.at(second, lambda message=message: push(world, message))
    world.exchange.first_pushes[DEPTH] = depth(-3_600_000)
    late = depth(5500 - 3_600_000)
    world.at(8, lambda: push(world, late))
    world.at(7, lambda: seen.append((sub.depth().lag, sub.state)))
    world.at(8.1, lambda: seen.append((sub.health().lag, sub.state)))

    world.run(9)

    assert seen[0] == (pytest.approx(0, abs=1e-6), State.LIVE)
    assert seen[1] == (pytest.approx(2.5, abs=1e-6), State.STALE)


def test_reads_behind_a_blocked_thread_say_no_by_themselves(world: World) -> None:
    seen: list[tuple[float, bool]] = []

    def block(text: str) -> None:
        if world.clock.now - world.t0 > 2:
            return
        for _ in range(20):
            world.clock.now += 1
            seen.append((world.clock.now - world.t0, bool(sub.GetDepth())))

    changes: list[StateChange] = []
    sub = world.subscribe(on_state=changes.append)
    world.at(0.5, lambda: listen(sub, block))
    world.at(1, lambda: push(world, depth(1000)))

    world.run(40)

    # The ping of second 0 vouches for 15 seconds, whatever its pong and the data say.
    assert [given for at, given in seen if at < 15] == [True] * 13
    assert [given for at, given in seen if at >= 15] == [False] * 7
    told = [(c.new, c.at - utc(START), c.epoch) for c in changes[:4]]
    assert [state for state, _, _ in told] == [
        State.SYNCING,
        State.LIVE,
        State.STALE,
        State.LIVE,
    ]
    assert told[2][1] == timedelta(seconds=15)
    assert told[3][1] > timedelta(seconds=21)
    assert [epoch for _, _, epoch in told] == [0, 1, 1, 2]
    assert sub.stats().callback_stalls == 1


def test_a_trade_of_a_lost_connection_is_not_the_latest(world: World) -> None:
    sub = world.subscribe()
    world.exchange.first_pushes[TRADE] = trade("7", 0)
    world.at(1, lambda: push(world, trade("8", 1000)))
    seen: list[Any] = []

    def drop() -> None:
        del world.exchange.first_pushes[TRADE]
        assert world.peer is not None
        world.peer.drop()

    world.at(1.5, lambda: seen.append(sub.latest("trade")))
    world.at(2, drop)
    world.at(9, lambda: seen.extend([sub.state, sub.latest("trade"), len(sub.trades)]))

    world.run(10)

    assert seen[0].id == "8"
    assert seen[1:] == [State.LIVE, None, 1]


def test_a_number_too_large_for_a_float_is_a_value_error(world: World) -> None:
    sub = world.subscribe()
    for name in ("max_age", "max_silence", "max_lag"):
        with pytest.raises(ValueError, match=name):
            sub.GetDepth(**{name: 10**400})
    world.run(1)


def test_a_subscription_of_the_top_alone_has_one_level() -> None:
    v5 = World("v5")
    top = V5.depth(1000, "100.2", "100.4", channel="bbo-tbt")
    v5.exchange.first_pushes["bbo-tbt:BTC-USDT"] = top
    sub = v5.subscribe(channels=("bbo-tbt",))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend([sub.depth(levels=5), sub.best_bid_ask()]))
    v5.at(1, lambda: seen.extend([sub.GetDepth()["bids"], sub.latest("bbo-tbt")]))

    v5.run(2)

    shown, best, bids, newest = seen
    assert (shown.channel, len(shown.bids), shown.seq) == ("bbo-tbt", 1, 2000)
    assert (best.bid, best.ask) == (Decimal("100.2"), Decimal("100.4"))
    assert bids == [["100.2", "1", "0", "1"]]
    assert newest == shown


class SlowClock(FakeClock):
    """Six seconds pass between its first and its second reading."""

    reads = 0

    def monotonic(self) -> float:
        self.reads += 1
        if self.reads == 2:
            self.advance(6)
        return super().monotonic()


def test_a_lease_that_ends_while_a_result_is_built_has_another_depth_chosen() -> None:
    """The read neither fails nor gives the depth whose lease has ended."""
    clock = SlowClock()
    view = View(None, "BTC-USDT", NO_LIMITS, clock, Callbacks("BTC-USDT", clock))
    readings = {}
    for topic, seq, until in (("depth5", 9, 5.0), ("bbo-tbt", 8, 50.0)):
        name = PROTOCOL.channel(topic, "spot", "BTC-USDT")
        made, era = KINDS[name.kind](PROTOCOL, name), Era(clock.now)
        era.renew(Lease(clock.now + until, clock.offset), clock.now)
        row = (("1", "1", "1"),)
        data = DepthData(row, row, 1_700_000_000_000, seq)
        made.current = made.current._replace(
            state=State.LIVE, era=era, data=data, received=clock.now
        )
        readings[topic] = made.reading
    view.carry(readings)
    # The clocks are read once for the choice, and again when the result is made.
    assert view.depth(NO_LIMITS).channel == "bbo-tbt"
    assert clock.reads == 4
