"""What a subscription shows and tells, in virtual time."""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from okex_ws import (
    BookUpdate,
    CauseCode,
    Depth,
    Gap,
    NotLive,
    OkexWSError,
    State,
    StateChange,
    SubscriptionRejected,
    SystemClock,
    Ticker,
    Trade,
    WireError,
)
from okex_ws.base.clock import utc
from okex_ws.channels.series import KINDS
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.view import View
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.trust.verdict import NO_LIMITS
from tests.support.causes import because, gap_for
from tests.support.internals import callbacks_of, reading_of
from tests.support.virtual_world import (
    START,
    FakeNetwork,
    Ladder,
    World,
    depth,
    listen,
    stamp,
    trade,
)

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

LIMIT = 10.0
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


def every(world: World, step: float, until: float, start: float = 1.0) -> None:
    """Push a new depth every *step* seconds, with the exchange's time in it."""
    count = int((until - start) / step)
    for number in range(count):
        at = start + number * step
        world.at(at, lambda at=at: push(world, depth(int(at * 1000))))


def stamped(sub: Any) -> float:
    """The exchange's time of the depth that is read, in seconds since the start."""
    return float((sub.depth().timestamp - utc(START)).total_seconds())


# --- Reads ---------------------------------------------------------------------------


# --- Trust ---------------------------------------------------------------------------


def test_a_jump_of_the_wall_clock_ends_the_lease_until_a_new_pong(world: World) -> None:
    sub = world.subscribe()
    seen = []

    def jump() -> None:
        world.clock.offset += 30
        seen.append((sub.GetDepth(), str(sub.health().cause)))

    world.at(7, jump)
    world.at(9, lambda: seen.append(sub.state))
    world.at(10.2, lambda: seen.append((sub.state, sub.health().epoch)))

    world.run(12)

    assert seen == [
        ({}, "the clock jumped: the lease ended"),
        State.STALE,
        (State.LIVE, 2),
    ]


def test_a_bad_message_withdraws_its_channel_until_the_next_good_one(
    world: World,
) -> None:
    errors: list[Exception] = []
    sub = world.subscribe(on_error=errors.append)
    bad = depth(2000)
    bad["data"][0]["bids"][0][0] = "NaN"
    seen = []
    world.at(2, lambda: push(world, bad))
    world.at(2.5, lambda: seen.append((sub.GetDepth(), sub.state)))
    world.at(3, lambda: push(world, depth(3000)))
    world.at(3.5, lambda: seen.append((bool(sub.GetDepth()), sub.health().epoch)))

    world.run(4)

    assert seen == [({}, State.RESYNCING), (True, 2)]
    assert isinstance(errors[0], WireError)
    assert errors[0].channel == DEPTH
    assert sub.stats().dropped == {"depth": 1}
    assert sub.stats().resyncs == 1


def test_bytes_of_no_known_channel_withdraw_every_channel(world: World) -> None:
    gaps: list[Any] = []
    sub = world.subscribe()
    updates = sub.updates()
    world.at(2, lambda: world.peer and world.peer.send_bytes(b"\xff\xff"))
    world.at(2.5, lambda: gaps.append(sub.state))

    world.run(3)

    assert gaps == [State.RESYNCING]
    assert sub.stats().dropped == {"inflate": 1}
    assert any(isinstance(item, Gap) for item in updates)
    assert sub.stats().gaps == 1


def test_data_of_a_stranger_withdraws_what_it_may_belong_to(world: World) -> None:
    """The instrument may have been renamed; until fed again no value is trusted."""
    errors: list[Exception] = []
    sub = world.subscribe(channels=("depth5",), on_error=errors.append)
    seen = []
    for second in (2, 4):
        world.at(second, lambda: push(world, depth(2000, name="ETH-USDT")))
        world.at(second + 0.5, lambda: seen.append((sub.state, sub.GetDepth() == {})))
        world.at(second + 1, lambda n=second: push(world, depth(n * 1000 + 1000)))
        world.at(second + 1.5, lambda: seen.append((sub.state, sub.GetDepth() == {})))
    world.at(70, lambda: push(world, {"event": "surprise"}))

    world.run(71)

    gone, back = (State.RESYNCING, True), (State.LIVE, False)
    # The second time the channel has been fed since: the data is of another one.
    assert seen == [gone, back, back, back]
    assert sub.stats().dropped == {"unasked": 2, "unknown": 1}
    assert [type(error) for error in errors] == [WireError]


def test_bad_messages_are_said_once_a_kind_and_minute(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []
    sub = world.subscribe(on_error=errors.append)
    for second in range(1, 100):
        world.at(second, lambda: push(world, "not json"))

    world.run(100)

    said = [r for r in caplog.records if "unreadable" in r.getMessage()]
    assert len(said) == len(errors) == 2
    assert sub.stats().dropped == {"json": 99}


def test_a_pong_behind_a_slow_callback_is_no_missing_pong(world: World) -> None:
    """The connection is sound and is kept; its old lease is told to have ended."""
    changes: list[StateChange] = []
    sub = world.subscribe(channels=("depth5",), on_state=changes.append)

    def block(text: str) -> None:
        callbacks_of(sub).on_message = None
        # The exchange goes on meanwhile: the pong and one more push are there in time.
        world.sleep(11)

    world.at(5.0, lambda: listen(sub, block))
    world.at(5.02, lambda: push(world, depth(5020)))
    world.at(6, lambda: push(world, depth(6000)))

    world.run(60)

    assert len(world.opened) == 1
    told = [(c.new, round((c.at - utc(START)).total_seconds())) for c in changes]
    assert told[1:4] == [(State.LIVE, 0), (State.STALE, 15), (State.LIVE, told[3][1])]
    assert [change.epoch for change in changes[1:4]] == [1, 1, 2]


def test_a_storm_of_garbage_is_one_gap_until_a_trade_comes(world: World) -> None:
    sub = world.subscribe()
    updates = sub.updates()
    world.exchange.first_pushes[TRADE] = trade("7", 0)
    for tenth in range(10, 60):
        world.at(tenth / 10, lambda: push(world, "garbage"))
    world.at(7, lambda: push(world, trade("9", 7000)))
    world.at(8, lambda: push(world, "garbage"))

    world.run(9)

    gaps = [(i.after, i.before) for i in updates if isinstance(i, Gap)]
    assert gaps == [("7", None), ("9", None)]


# --- States that are told ------------------------------------------------------------


def test_a_limit_of_the_constructor_is_pushed_when_it_is_crossed(world: World) -> None:
    changes: list[StateChange] = []
    sub = world.subscribe(channels=("depth5",), max_age=2.0, on_state=changes.append)
    seen = []
    world.at(2.5, lambda: seen.append(sub.GetDepth()))
    world.at(4, lambda: push(world, depth(4000)))

    world.run(5)

    told = [(c.new, round((c.at - utc(START)).total_seconds(), 2)) for c in changes]
    assert told == [
        (State.SYNCING, 0.0),
        (State.LIVE, 0.05),
        (State.STALE, 2.05),
        (State.LIVE, 4.0),
        (State.CLOSED, 5.0),
    ]
    assert "max_age" in changes[2].cause.text
    assert seen == [{}]
    # A caller's limit ends no epoch.
    assert [change.epoch for change in changes] == [0, 1, 1, 1, 1]


def test_a_limit_that_is_crossed_all_the_time_is_told_once_a_second_each_way(
    world: World,
) -> None:
    changes: list[StateChange] = []
    world.subscribe(channels=("depth5",), max_age=0.05, on_state=changes.append)
    every(world, 0.1, until=11)

    world.run(11)

    stale = [c for c in changes if c.new is State.STALE]
    live = [c for c in changes if c.new is State.LIVE]
    assert 8 <= len(stale) <= 12
    assert 8 <= len(live) <= 12


def test_silence_is_ended_by_any_byte(world: World) -> None:
    changes: list[StateChange] = []
    world.subscribe(channels=("depth5",), max_silence=3.0, on_state=changes.append)

    world.run(9)

    told = [(c.new, round((c.at - utc(START)).total_seconds(), 2)) for c in changes]
    assert told[1:6] == [
        (State.LIVE, 0.05),
        (State.STALE, 3.05),
        (State.LIVE, 5.05),
        (State.STALE, 8.05),
        (State.CLOSED, 9.0),
    ]


def test_without_a_depth_channel_the_worst_channel_is_the_state(world: World) -> None:
    sub = world.subscribe(channels=("trade", "ticker"))
    seen = []
    world.at(1, lambda: seen.append((sub.state, sub.GetDepth(), sub.best_bid_ask())))
    world.at(2, lambda: push(world, TICKER))
    world.at(3, lambda: seen.append((sub.state, sub.health().failed, {})))

    def refuse() -> None:
        with pytest.raises(NotLive, match="no depth channel"):
            sub.depth()

    world.at(3, refuse)

    world.run(4)

    assert seen == [(State.SYNCING, {}, None), (State.LIVE, {}, {})]


# --- Trades --------------------------------------------------------------------------


def test_the_repeated_trade_is_given_to_those_alone_who_ask_for_it(
    world: World,
) -> None:
    world.exchange.first_pushes[TRADE] = trade("7", -9_000_000)
    sub = world.subscribe()
    updates, repeated = sub.updates(), sub.updates(repeated=True)
    world.at(1, lambda: push(world, trade("8", 1000)))
    world.at(1, lambda: push(world, trade("8", 1000)))
    seen: list[Any] = []
    world.at(2, lambda: seen.extend([sub.trades, sub.latest("trade")]))

    world.run(3)

    assert [t.id for t in seen[0]] == ["8"]
    assert seen[1] == seen[0][-1]
    both = [
        [(t.id, t.replayed) for t in items if isinstance(t, Trade)]
        for items in (updates, repeated)
    ]
    assert both == [[("8", False)], [("7", True), ("8", False)]]
    # One that came twice, and one that an iterator did not want.
    assert sub.stats().skipped["repeat"] == 2


def test_the_iterator_of_a_feed_gives_a_repeated_trade_if_asked(world: World) -> None:
    world.exchange.first_pushes[TRADE] = trade("7", -9_000_000)
    feed = world.feed()
    updates, repeated = feed.updates(), feed.updates(repeated=True)
    feed.subscribe(["BTC-USDT"])
    world.at(1, lambda: push(world, trade("8", 1000)))

    world.run(3)

    assert [t.id for t in updates if isinstance(t, Trade)] == ["8"]
    assert [t.id for t in repeated if isinstance(t, Trade)] == ["7", "8"]


def test_whether_repeats_are_wanted_is_yes_or_no(world: World) -> None:
    sub = world.subscribe()
    with pytest.raises(TypeError, match="repeated is True or False"):
        sub.updates(repeated=1)  # type: ignore[arg-type]
    world.run(1)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("8", ["8"]),  # known: nothing was missed
        (
            "11",
            [
                "8",
                gap_for(
                    "trade",
                    "8",
                    "11",
                    because("trades while not connected", CauseCode.OUTAGE),
                    "BTC-USDT",
                ),
                "11",
            ],
        ),
    ],
)
def test_after_a_reconnect_the_replayed_trade_tells_whether_some_are_missing(
    world: World, last: str, expected: list[Any]
) -> None:
    world.exchange.first_pushes[TRADE] = trade("7", -1)
    sub = world.subscribe()
    updates = sub.updates()
    world.at(1, lambda: push(world, trade("8", 1000)))

    def drop() -> None:
        traded = 1000 if last == "8" else 1500
        world.exchange.first_pushes[TRADE] = trade(last, traded)
        assert world.peer is not None
        world.peer.drop()

    world.at(2, drop)

    world.run(6)

    given = [item for item in updates if isinstance(item, (Trade, Gap))]
    assert [i.id if isinstance(i, Trade) else i for i in given] == expected
    assert [t.id for t in sub.trades] == [i for i in expected if isinstance(i, str)]


# --- Iterators -----------------------------------------------------------------------


def test_an_iterator_begins_with_the_present_depth_and_ends_at_close(
    world: World,
) -> None:
    sub = world.subscribe(channels=("depth5",))
    items: list[Any] = []
    world.at(1, lambda: items.append(sub.updates()))
    world.at(2, lambda: items.append(next(items[0])))
    world.at(3, lambda: push(world, depth(3000)))
    world.at(4, lambda: push(world, depth(4000)))
    world.at(5, lambda: items.extend([next(items[0])]))

    world.run(6)

    updates, first, second = items
    assert first.timestamp == utc(START)
    assert second.timestamp == utc(START + 4)
    assert [item.new for item in updates] == [State.CLOSED]
    assert sub.stats().skipped == {"depth5": 1}
    with pytest.raises(StopIteration):
        next(updates)
    with pytest.raises(StopIteration):
        next(sub.updates())


def test_leaving_live_discards_the_depths_that_wait(world: World) -> None:
    sub = world.subscribe(channels=("depth5",))
    updates = sub.updates(latest=False)
    world.at(1, lambda: push(world, depth(1000)))
    world.at(2, lambda: world.peer and world.peer.drop())

    world.run(3)

    kinds = [getattr(item, "new", item) for item in updates]
    assert kinds[:3] == [State.SYNCING, State.LIVE, State.RECONNECTING]


def test_an_iterator_sees_the_leases_end_though_nobody_tells_it(world: World) -> None:
    sub = world.subscribe(channels=("depth5",))
    got: list[Any] = []

    def block(text: str) -> None:
        got.append(sub.updates())
        world.clock.now += 20
        got.append(next(got[0]))

    world.at(0.5, lambda: listen(sub, block))
    world.at(1, lambda: push(world, depth(1000)))
    world.at(1.5, lambda: listen(sub, None))

    world.run(30)

    assert got[1].new is State.STALE
    assert got[1].at == utc(START + 15)
    told = [i.new for i in got[0] if isinstance(i, StateChange)]
    assert told == [State.LIVE, State.CLOSED]


# --- Refusals ------------------------------------------------------------------------


def test_a_refused_extra_channel_is_told_and_the_rest_goes_on(world: World) -> None:
    world.exchange.refusals[TRADE] = (30040, f"Channel {TRADE} doesn't exist")
    errors: list[Exception] = []
    sub = world.subscribe(on_error=errors.append)
    seen: list[Any] = []
    world.at(1, lambda: seen.append((sub.state, sub.health().failed)))

    world.run(2)

    state, failed = seen[0]
    assert state is State.LIVE
    assert list(failed) == ["trade"]
    assert errors == [failed["trade"]]
    assert isinstance(failed["trade"], SubscriptionRejected)
    assert failed["trade"].code == 30040


def test_a_refused_depth_fails_the_subscription_for_good(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.exchange.refusals[DEPTH] = (30040, f"Channel {DEPTH} doesn't exist")
    changes: list[StateChange] = []
    sub = world.subscribe(on_state=changes.append)
    updates = sub.updates()

    world.run(60)

    assert sub.state is State.FAILED
    assert changes[-1].new is State.FAILED
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    with pytest.raises(SubscriptionRejected):
        sub.wait_live()
    with pytest.raises(SubscriptionRejected):
        list(updates)
    assert len(world.opened) == 1
    assert world.clock.now < world.t0 + 10  # its thread has ended long ago


# --- Callbacks -----------------------------------------------------------------------


def test_on_message_gets_the_venues_own_text_of_every_push(world: World) -> None:
    texts: list[str] = []
    sub = world.subscribe(on_message=texts.append)
    seen: list[Any] = []
    world.at(1, lambda: push(world, trade("8", 1000)))
    world.at(2, lambda: seen.append(sub.stats().messages))

    world.run(3)

    assert ["depth5" in text or "trade" in text for text in texts] == [True, True]
    assert seen[0] == 5  # two acknowledgements, a pong and the two pushes


def test_the_snapshot_is_published_before_the_callback(world: World) -> None:
    seen = []
    sub = world.subscribe()

    def look(text: str) -> None:
        if world.clock.now > world.t0 + 0.5:
            seen.append(sub.depth().timestamp)

    world.at(0.5, lambda: listen(sub, look))
    world.at(1, lambda: push(world, depth(1000)))

    world.run(2)

    assert seen == [utc(START + 1)]


def test_a_callback_that_raises_stops_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []

    def broken(text: str) -> None:
        raise RuntimeError("mine")

    sub = world.subscribe(on_message=broken, on_error=errors.append)
    seen: list[Any] = []
    world.at(1, lambda: push(world, depth(1000)))
    world.at(2, lambda: seen.append((sub.state, sub.stats().callback_errors)))

    world.run(3)

    assert seen == [(State.LIVE, 2)]
    assert [str(error) for error in errors] == ["mine", "mine"]
    assert "Traceback" in caplog.text


def test_a_callback_may_close_the_subscription(world: World) -> None:
    results: list[Any] = []
    sub = world.subscribe(channels=("depth5",))

    def close(text: str) -> None:
        results.extend([sub.close(), sub.GetDepth(), sub.state])

    world.at(0.5, lambda: listen(sub, close))
    world.at(1, lambda: push(world, depth(1000)))
    world.at(1, lambda: push(world, depth(1001)))

    world.run(60)

    assert results == [False, {}, State.CLOSED]
    assert sub.close() is True
    assert world.clock.now < world.t0 + 5


def test_waiting_on_a_thread_of_the_library_is_refused(world: World) -> None:
    errors: list[Exception] = []
    sub = world.subscribe(on_error=errors.append)
    world.at(0.5, lambda: listen(sub, wait))
    world.at(1, lambda: push(world, depth(1000)))

    def wait(text: str) -> None:
        sub.wait_live()

    world.run(2)

    assert isinstance(errors[0], RuntimeError)


# --- What a hostile review found -----------------------------------------------------


def test_a_bad_element_takes_none_of_those_beside_it_along(world: World) -> None:
    names = ["BTC-USDT", "ETH-USDT", "LTC-USDT"]
    feed = world.feed()
    subs = []
    for name in names:
        world.exchange.first_pushes[f"spot/depth5:{name}"] = depth(0, name=name)
        subs.append(world.subscribe(name, feed=feed, channels=("depth5",)))
    elements = [depth(1000, "200", "201", name)["data"][0] for name in names]
    elements[1]["bids"] = [["x", "1", "1"]]
    seen: list[Any] = []
    world.at(1, lambda: push(world, {"table": "spot/depth5", "data": elements}))
    world.at(2, lambda: seen.extend(sub.GetDepth().get("bids") for sub in subs))

    world.run(3)

    assert seen == [[["200", "1", "1"]], None, [["200", "1", "1"]]]


def test_an_iterator_gives_nothing_that_a_read_would_not(world: World) -> None:
    """A spoiled ticker is no change of state where the state is the depth's."""
    world.exchange.first_pushes["spot/ticker:BTC-USDT"] = TICKER
    sub = world.subscribe(channels=("depth5", "ticker"))
    updates: list[Any] = []
    bad = {"table": "spot/ticker", "data": [{"instrument_id": "BTC-USDT"}]}
    world.at(1, lambda: updates.append(sub.updates()))
    world.at(2, lambda: push(world, TICKER))
    world.at(3, lambda: push(world, bad))
    world.at(4, lambda: updates.append(sub.latest("ticker")))
    world.at(4, lambda: updates.append(next(updates[0])))
    world.at(5, sub.close)

    world.run(6)

    assert updates[1] is None
    assert isinstance(updates[2], Depth)
    assert not [item for item in updates[0] if isinstance(item, Ticker)]


def test_a_step_back_in_time_changes_nothing(world: World) -> None:
    """Timestamps order nothing: the order is that of the receipt."""
    sub = world.subscribe(channels=("depth5",))
    seen: list[tuple[int, float]] = []
    for at, time_ms in ((1, 1000), (2, 900), (3, 3000)):
        world.at(at, lambda time_ms=time_ms: push(world, depth(time_ms)))
        world.at(at + 0.5, lambda: seen.append((sub.depth().epoch, stamped(sub))))

    world.run(4)

    assert seen == [(1, 1.0), (1, 0.9), (1, 3.0)]


def test_one_bogus_time_does_not_end_the_measuring_of_lag(world: World) -> None:
    sub = world.subscribe(channels=("depth5",))
    world.at(1, lambda: push(world, depth(9_000_000)))
    every(world, 1.0, until=5, start=2)
    seen: list[Any] = []
    world.at(4.5, lambda: seen.append(sub.depth().lag))

    world.run(5)

    assert seen[0] is not None


def test_the_first_push_that_was_unreadable_is_no_reason_to_hide_the_next(
    world: World,
) -> None:
    sub = world.subscribe()
    bad = trade("7", 0)
    bad["data"][0]["price"] = "x"
    world.exchange.first_pushes[TRADE] = bad
    world.at(1, lambda: push(world, trade("8", 1000)))

    world.run(2)

    assert [t.id for t in sub.trades] == ["8"]


def test_a_first_trade_of_after_the_subscribe_is_no_repeat(world: World) -> None:
    """Here the exchange repeats nothing: what came late was made late."""
    sub = world.subscribe()
    updates = sub.updates()
    world.at(2.5, lambda: push(world, trade("7", 2500)))

    world.run(4)

    assert [t.id for t in sub.trades] == ["7"]
    assert [t.replayed for t in updates if isinstance(t, Trade)] == [False]


def test_one_bad_trade_of_a_push_is_a_gap_and_its_neighbours_are_delivered(
    world: World,
) -> None:
    world.exchange.first_pushes[TRADE] = trade("6", 0)
    errors: list[Exception] = []
    sub = world.subscribe(on_error=errors.append)
    updates = sub.updates(repeated=True)
    bad = trade("7", 1000)
    bad["data"] += [*trade("8", 1000)["data"], *trade("9", 1000)["data"]]
    bad["data"][1]["price"] = "x"
    world.at(1, lambda: push(world, bad))

    world.run(3)

    given = [item for item in updates if isinstance(item, (Trade, Gap))]
    words = [(i.after, i.before) if isinstance(i, Gap) else i.id for i in given]
    assert words == ["6", "7", ("7", "9"), "9"]
    assert [t.id for t in sub.trades] == ["7", "9"]
    (error,) = errors
    assert isinstance(error, WireError)
    assert error.partial
    stats = sub.stats()
    assert (stats.dropped["trade"], stats.skipped["unreadable"]) == (1, 1)


def test_only_the_first_connection_hides_the_replayed_trade(world: World) -> None:
    sub = world.subscribe()
    updates = sub.updates()
    world.at(1, lambda: world.peer and world.peer.drop())
    world.at(5, lambda: push(world, trade("8", 5000)))

    world.run(6)

    assert [t.id for t in sub.trades] == ["8"]
    assert [(i.after, i.before) for i in updates if isinstance(i, Gap)] == [(None, "8")]


def test_a_limit_that_is_withheld_does_not_keep_the_thread_busy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.subscribe(channels=("depth5",), max_age=0.3)
    every(world, 0.45, until=30)
    turns = []
    wait = FakeNetwork.wait

    def counted(network: FakeNetwork, timeout: float, stream: Any = None) -> None:
        turns.append(timeout)
        wait(network, timeout, stream)

    monkeypatch.setattr(FakeNetwork, "wait", counted)

    world.run(30)

    assert len(turns) < 600


def test_slow_callbacks_do_not_hold_the_keep_alive_back(world: World) -> None:
    def slow(text: str) -> None:
        world.clock.now += 0.025

    world.subscribe(channels=("depth5",), on_message=slow)
    for number in range(1600):
        world.at(2, lambda number=number: push(world, depth(2000 + number)))

    world.run(60)

    pings = world.exchange.pings
    assert max(b - a for a, b in pairwise(pings)) <= 25.1
    assert len(world.opened) == 1


def test_one_error_does_not_collect_the_traces_of_all_who_wait(world: World) -> None:
    world.exchange.refusals[DEPTH] = (30040, f"Channel {DEPTH} doesn't exist")
    sub = world.subscribe()
    world.run(2)
    for _ in range(50):
        with pytest.raises(SubscriptionRejected):
            sub.wait_live()
    error = reading_of(sub).error
    assert error is not None
    assert len(traceback.extract_tb(error.__traceback__)) < 10


def test_an_iterator_does_not_wait_on_a_thread_of_the_library(world: World) -> None:
    errors: list[Exception] = []
    sub = world.subscribe(channels=("depth5",), on_error=errors.append)

    def wait(text: str) -> None:
        list(sub.updates(timeout=1))

    world.at(0.5, lambda: listen(sub, wait))
    world.at(1, lambda: push(world, depth(1000)))

    world.run(2)

    assert [type(error) for error in errors] == [RuntimeError]


def test_in_a_forked_child_it_is_closed_and_its_iterators_have_ended(
    world: World,
) -> None:
    sub = world.subscribe(channels=("depth5",))
    updates = sub.updates()
    seen: list[Any] = []
    world.at(
        1, lambda: (reading_of(sub).forked(), seen.extend([sub.state, sub.GetDepth()]))
    )

    world.run(2)

    assert seen == [State.CLOSED, {}]
    assert all(isinstance(item, StateChange) for item in updates)


def test_a_channel_that_the_exchange_ends_is_withdrawn_and_asked_for_again(
    world: World,
) -> None:
    sub = world.subscribe(channels=("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: world.peer and world.peer.end(DEPTH))
    world.at(1.5, lambda: seen.extend([sub.state, sub.GetDepth()]))
    world.at(4, lambda: seen.append(sub.state))

    world.run(5)

    assert seen == [State.SYNCING, {}, State.LIVE]


def test_an_error_that_answers_nothing_is_counted_and_said(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    sub = world.subscribe()
    error = {"event": "error", "errorCode": 30043, "message": "why\nme"}
    for second in (1, 2, 3):
        world.at(second, lambda: push(world, error))
    world.at(4, lambda: push(world, "pong"))

    world.run(5)

    assert sub.stats().dropped == {"unasked error": 3, "unasked pong": 1}
    said = [r.getMessage() for r in caplog.records]
    assert said == ["an error that answers no request: why\ufffdme (error 30043)"]


# --- The top of the book alone -------------------------------------------------------


# --- Several threads -----------------------------------------------------------------


@pytest.mark.parametrize("second", ["pushed", "told", "troubled"])
def test_two_threads_never_call_one_subscription_back_at_once(second: str) -> None:
    """Two connections may carry its channels; here their threads are the test's."""
    one_inside, two_inside, go_on = (threading.Event() for _ in range(3))

    def callback(_: object) -> None:
        (two_inside if one_inside.is_set() else one_inside).set()
        assert go_on.wait(10)

    clock = SystemClock()
    told = Callbacks("BTC-USDT", clock, callback, (callback,), callback)
    view = View(None, "BTC-USDT", NO_LIMITS, clock, told)
    book, candles = (
        KINDS[name.kind](PROTOCOL, name).reading
        for topic in ("depth5", "candle60s")
        for name in [PROTOCOL.channel(topic, "spot", "BTC-USDT")]
    )
    view.carry({"depth5": book, "candle60s": candles})
    actions = {
        "pushed": lambda: view.pushed(candles, "{}", 0.0),
        "told": lambda: view.fail(OkexWSError("x"), 0.0),
        "troubled": lambda: view.trouble(OkexWSError("x")),
    }

    def step(act: Callable[[], None]) -> None:
        """A step of a connection's loop queues, and then it drains."""
        act()
        told.drain()

    one = threading.Thread(target=step, args=(lambda: view.pushed(book, "{}", 0.0),))
    two = threading.Thread(target=step, args=(actions[second],))

    one.start()
    assert one_inside.wait(10)
    two.start()
    # The second thread leaves what it queued to the first, and does not wait.
    two.join(LIMIT)
    assert not two.is_alive()
    at_once = two_inside.is_set()
    go_on.set()
    one.join(LIMIT)

    assert not at_once
    assert two_inside.is_set()
    assert not one.is_alive()
    assert told.errors == 0


# --- Several depths ------------------------------------------------------------------


def several(**keywords: Any) -> tuple[World, Ladder, Any]:
    """A subscription of five levels and of the whole book."""
    world = World()
    ladder = Ladder(world)
    world.exchange.first_pushes[DEPTH] = depth(0, "100.0", "100.1")
    return world, ladder, world.subscribe(channels=("depth5", "depth"), **keywords)


def test_an_iterator_begins_with_the_depth_that_a_read_would_give() -> None:
    world, ladder, sub = several()
    iterators: list[Any] = []
    world.at(1, lambda: ladder.send(ladder.size("3")))
    world.at(2, lambda: iterators.append(sub.updates(timeout=0.0)))
    seen: list[Any] = []
    world.at(2, lambda: seen.append((next(iterators[0]), sub.depth())))

    world.run(3)

    ((first, read),) = seen
    assert isinstance(first, BookUpdate)
    assert (first.channel, first.bids[:5]) == (read.channel, read.bids)


def test_a_limit_that_time_crosses_is_that_of_the_depth_that_is_read() -> None:
    changes: list[StateChange] = []
    world, ladder, _ = several(max_age=2.0, on_state=changes.append)
    # The book comes later, is read, and is the one that grows old.
    world.at(1, lambda: ladder.send(ladder.size("3")))

    world.run(5)

    told = [(c.new, round((c.at - utc(START)).total_seconds(), 2)) for c in changes]
    assert told[1:3] == [(State.LIVE, 0.05), (State.STALE, 3.0)]


def test_an_iterator_over_several_depths_sees_the_leases_end() -> None:
    world, _, sub = several()
    updates = sub.updates(timeout=0.0)
    world.at(1, lambda: setattr(world.exchange, "answers_pings", False))
    seen: list[Any] = []

    def block(text: str) -> None:
        world.clock.now += 20
        seen.extend(item.new for item in given(updates) if hasattr(item, "new"))

    world.at(2, lambda: listen(sub, block))
    world.at(2, lambda: push(world, depth(2000, "100.0", "100.1")))

    world.run(30)

    assert seen == [State.SYNCING, State.LIVE, State.STALE]


def given(updates: Any) -> list[Any]:
    """All that waits."""
    found = []
    with contextlib.suppress(TimeoutError):
        found.extend(iter(updates))
    return found


def test_the_state_of_several_is_that_of_the_best() -> None:
    world, _, sub = several()
    bad = depth(2000)
    bad["data"][0]["bids"] = "none"
    seen: list[Any] = []
    world.at(2, lambda: push(world, bad))
    world.at(2.5, lambda: seen.append((sub.state, sub.depth().channel)))
    world.at(3, lambda: push(world, {**bad, "table": "spot/depth", "action": "update"}))
    world.at(3.001, lambda: seen.append((sub.state, str(sub.health().cause))))

    world.run(4)

    cause = "unreadable message on spot/depth5:BTC-USDT (depth): "
    (live, resyncing) = seen
    assert live == (State.LIVE, "depth")
    assert resyncing[0] is State.RESYNCING
    assert resyncing[1].startswith(cause)


def test_every_item_of_several_depths_has_the_epoch_that_a_read_has() -> None:
    world, ladder, sub = several()
    iterators: list[Any] = []
    world.at(0.01, lambda: iterators.append(sub.updates(timeout=0.0)))
    seen: list[tuple[list[int], int]] = []

    def look() -> None:
        # The book alone, or the five levels alone, since the last time.
        items = [item for item in given(iterators[0]) if not isinstance(item, Gap)]
        epochs = [item.epoch for item in items]
        seen.append((epochs[-1:], sub.depth().epoch))

    def breaks() -> None:
        message = ladder.size("5")
        message["data"][0]["bids"] = "none"
        ladder.send(message)

    world.at(1, lambda: ladder.send(ladder.size("3")))
    world.at(1.5, look)
    world.at(2, breaks)
    world.at(2.01, lambda: push(world, depth(2010, "100.0", "100.1")))
    world.at(2.02, look)
    world.at(3, look)

    world.run(4)

    assert [epochs for epochs, _ in seen] == [[epoch] for _, epoch in seen]
    now = [epoch for _, epoch in seen]
    assert now[0] < now[1] < now[2]


def test_the_epoch_of_several_does_not_go_back_at_the_end() -> None:
    changes: list[StateChange] = []
    world, ladder, sub = several(on_state=changes.append)
    world.at(1, lambda: world.peer and world.peer.drop())
    seen: list[int] = []
    for second in (5, 8):
        world.at(second, lambda: seen.append(sub.health().epoch))
    world.at(6, lambda: ladder.send(ladder.size("3")))
    world.at(7, sub.close)

    world.run(10)

    epochs = [change.epoch for change in changes]
    assert changes[-1].new is State.CLOSED
    assert epochs == sorted(epochs)
    assert seen[0] <= seen[1] == epochs[-1]
