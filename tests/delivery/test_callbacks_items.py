"""`on_item` is given what `updates()` gives, one by one, on a thread of the library."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from okex_ws import (
    BookUpdate,
    Candle,
    CauseCode,
    Data,
    Depth,
    Feed,
    Gap,
    InstrumentExpired,
    Item,
    RawSubscription,
    State,
    StateChange,
    Ticker,
    Trade,
    Updates,
    WireError,
    WSSubscription,
)
from okex_ws.base.clock import utc
from okex_ws.base.threads import on_library_thread
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.dispatcher import Dispatcher
from tests.support.causes import because
from tests.support.clocks import FakeClock
from tests.support.internals import callbacks_of, queue_of, take_without_waiting
from tests.support.virtual_world import Ladder, World

LIMIT = 10.0
BTC, ETH = NAMES = ("BTC-USDT", "ETH-USDT")


class Beside:
    """An `on_item`, and an iterator of the same subscription beside it.

    At each call the iterator has to have the item of the call, and no other before it.
    """

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.others: list[Item] = []
        self.threads: set[bool] = set()
        self.updates: Updates | None = None

    def __call__(self, item: Item) -> None:
        assert self.updates is not None
        self.threads.add(on_library_thread())
        self.items.append(item)
        self.others.append(next(self.updates))

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.items if isinstance(item, kind)]

    def check(self) -> None:
        assert self.items == self.others
        assert self.threads == {True}
        assert self.updates is not None
        assert list(self.updates) == []
        last = self.items[-1]
        assert isinstance(last, StateChange)
        assert last.new is State.CLOSED


class Gate:
    """A callback that is inside once it was called, and returns when it is let go."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, item: Item) -> None:
        self.items.append(item)
        self.inside.set()
        assert self.go_on.wait(LIMIT)

    def is_reached(self) -> bool:
        return self.inside.wait(LIMIT)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.go_on.set()


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    return filled(World(request.param))


@pytest.fixture
def v5() -> World:
    return filled(World("v5"))


def filled(world: World) -> World:
    for name in NAMES:
        key = world.dialect.channel("depth5", name)
        world.exchange.first_pushes[key] = world.dialect.depth(0, name=name)
    return world


def send(world: World, message: object, path: str | None = None) -> None:
    peer = world.peer if path is None else world.peer_on(path)
    assert peer is not None
    peer.send(message)


def send_at(world: World, second: float, message: object) -> None:
    world.at(second, lambda: send(world, message))


def subscribe(world: World, on_item: Any, **keywords: Any) -> WSSubscription:
    sub = world.subscribe(on_item=on_item, **keywords)
    if isinstance(on_item, Beside):
        on_item.updates = sub.updates(timeout=0.0)
    return sub


def settle(sub: WSSubscription | RawSubscription) -> None:
    """Wait until all was delivered that was queued by now."""
    callbacks = callbacks_of(sub)
    while True:
        done = threading.Event()
        callbacks.after(done.set)
        assert done.wait(LIMIT)
        if callbacks.items is None or not callbacks.items.is_waiting:
            return


# --- The same items in the same order -------------------------------------------------


def test_it_is_given_what_an_iterator_gives(world: World) -> None:
    """Through a loss with a `Gap`, an unreadable push, and a lease that ends."""
    seen = Beside()
    channels = ("depth5", "trade", "candle60s") if world.protocol == "v3" else None
    subscribe(world, seen, channels=channels or ("depth5", "trade"))
    dialect = world.dialect
    for number in range(2, 5):
        send_at(world, number, dialect.trade(str(number), 1000 * number))
        send_at(world, number + 0.5, dialect.depth(1000 * number))
    world.at(5, lambda: world.peer and world.peer.drop())
    send_at(world, 20, dialect.trade("9", 20_000))
    send_at(world, 21, '{"table": 7')
    send_at(world, 30, dialect.depth(30_000))
    world.at(31, lambda: setattr(world.exchange, "answers_pings", False))

    world.run(120)

    seen.check()
    assert [trade.id for trade in seen.of(Trade)] == ["2", "3", "4", "9"]
    assert seen.of(Gap)
    assert len(seen.of(Depth)) >= 5
    states = [change.new for change in seen.of(StateChange)]
    assert {State.LIVE, State.STALE, State.RECONNECTING} <= set(states)


def test_several_trades_of_one_push_are_several_calls(v5: World) -> None:
    seen = Beside()
    subscribe(v5, seen)
    push = v5.dialect.trade("1", 2000)
    push["data"] += v5.dialect.trade("2", 2001)["data"]
    send_at(v5, 2, push)

    v5.run(3)

    seen.check()
    assert [trade.id for trade in seen.of(Trade)] == ["1", "2"]


def test_of_a_whole_book_too(world: World) -> None:
    seen, ladder = Beside(), Ladder(world)
    subscribe(world, seen, channels=("depth",))
    for second in range(1, 5):
        world.at(second, lambda s=second: ladder.send(ladder.size(str(s))))
    world.at(6, lambda: ladder.change(price="99.5", size="7"))
    for second in range(7, 9):
        world.at(second, lambda s=second: ladder.send(ladder.size(str(s))))

    world.run(30)

    seen.check()
    actions = [update.action for update in seen.of(BookUpdate)]
    assert actions[:5] == ["snapshot", *["update"] * 4]
    assert "snapshot" in actions[5:]


def test_of_values_and_of_channels_that_the_library_has_no_type_for(
    v5: World,
) -> None:
    seen = Beside()
    subscribe(v5, seen, channels=("ticker", "candle60s"), raw_channels=("opt-summary",))
    ticker = {
        "instId": BTC,
        **dict.fromkeys(("last", "bidPx", "askPx", "open24h", "high24h"), "1"),
        **dict.fromkeys(("low24h", "vol24h", "volCcy24h", "lastSz"), "1"),
        **dict.fromkeys(("bidSz", "askSz", "sodUtc0", "sodUtc8"), "1"),
        "ts": v5.dialect.stamp(1000),
    }
    v5.at(1, lambda: send(v5, v5.dialect.push("tickers", ticker), "public"))
    v5.at(1, lambda: send(v5, v5.dialect.candle(0), "business"))
    v5.at(2, lambda: send(v5, v5.dialect.push("opt-summary", {"a": "b"}), "public"))

    v5.run(3)

    seen.check()
    for kind in (Ticker, Candle, Data):
        assert len(seen.of(kind)) == 1


def test_through_a_handover(v5: World) -> None:
    seen = Beside()
    feed = v5.feed()
    sub = subscribe(v5, seen, feed=feed)
    for number in range(1, 80):
        message = v5.dialect.trade(str(number), 100 * number)
        v5.at(0.1 * number, lambda m=message: [p.send(m) for p in v5.peers])
    v5.at(3, feed.rotate)

    v5.run(10)

    seen.check()
    ids = [int(trade.id) for trade in seen.of(Trade)]
    assert ids == list(range(ids[0], 80))
    assert ids[0] < 10
    assert seen.of(Gap) == []
    assert sub.stats().callback_errors == 0


def test_a_limit_that_time_alone_crosses_is_told(world: World) -> None:
    seen = Beside()
    subscribe(world, seen, channels=("depth5",), max_age=3.0)
    send_at(world, 10, world.dialect.depth(10_000))

    world.run(11)

    seen.check()
    causes = [change.cause.code for change in seen.of(StateChange)]
    assert CauseCode.MAX_AGE in causes


def test_the_subscriptions_of_a_feed_share_a_callback(world: World) -> None:
    seen: list[Any] = []
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",), on_item=seen.append)

    world.run(2)

    of_depth = [item for item in seen if isinstance(item, Depth)]
    assert sorted(item.instrument_id for item in of_depth) == list(NAMES)
    ends = [item.new for item in seen[-2:]]
    assert ends == [State.CLOSED] * 2


def test_a_raw_subscription_gives_data(v5: World) -> None:
    seen = Beside()
    raw = RawSubscription(["status"], feed=v5.feed(), on_item=seen)
    seen.updates = raw.updates(timeout=0.0)
    send_at(v5, 1, {"arg": {"channel": "status"}, "data": [{"state": "ongoing"}]})

    v5.run(2)

    seen.check()
    (data,) = seen.of(Data)
    assert data.elements == ({"state": "ongoing"},)


def test_the_first_item_on_a_live_feed_is_the_present_depth(world: World) -> None:
    """The library's thread is the one that calls, even if nothing more comes."""
    seen = Beside()
    feed = world.feed()
    WSSubscription(BTC, "spot", feed=feed, channels=("depth5",))
    world.at(2, lambda: subscribe(world, seen, feed=feed, channels=("depth5", "trade")))

    world.run(4)

    seen.check()
    assert seen.of(Depth)


def test_it_does_not_change_what_the_other_callbacks_get(world: World) -> None:
    texts: list[str] = []
    changes: list[StateChange] = []
    items: list[Any] = []
    subscribe(world, items.append, on_message=texts.append, on_state=changes.append)
    send_at(world, 1, world.dialect.trade("1", 1000))

    world.run(2)

    assert len(texts) == 2
    assert [item for item in items if isinstance(item, StateChange)] == changes


# --- How it ends ----------------------------------------------------------------------


def test_an_instrument_of_the_past_is_failed_for_it_too() -> None:
    seen: list[Any] = []
    ended = threading.Event()

    def on_item(item: Item) -> None:
        seen.append((item, on_library_thread()))
        ended.set()

    with WSSubscription(on_item=on_item) as sub:
        assert ended.wait(LIMIT)
        with pytest.raises(InstrumentExpired):
            sub.wait_live(0.0)
    ((change, by_library),) = seen
    assert (change.old, change.new) == (State.CONNECTING, State.FAILED)
    assert by_library


@pytest.mark.parametrize("where", ["inline", "thread"])
def test_a_refusal_is_the_last_item(world: World, where: str) -> None:
    world.exchange.unknown.add(world.dialect.channel("depth5"))
    seen: list[Any] = []
    feed = world.feed(callbacks=where)
    sub = WSSubscription(
        BTC,
        "spot",
        feed=feed,
        channels=("depth5",),
        on_item=lambda item: seen.append(("item", item.new)),
        on_state=lambda change: seen.append(("state", change.new)),
    )
    world.at(2, lambda: settle(sub))

    world.run(3)

    assert feed.close(LIMIT)
    items = [state for what, state in seen if what == "item"]
    assert items == [state for what, state in seen if what == "state"]
    assert items[-1] is State.FAILED
    assert items.count(State.FAILED) == 1


def test_after_a_close_in_the_callback_only_the_last_state_comes(
    world: World,
) -> None:
    seen: list[Any] = []

    def on_item(item: Item) -> None:
        seen.append(item)
        if isinstance(item, Trade):
            assert sub.close() is False

    sub = world.subscribe(on_item=on_item)
    for number in range(1, 5):
        send_at(world, 1, world.dialect.trade(str(number), 1000 + number))

    world.run(3)

    assert isinstance(seen[-2], Trade)
    assert seen[-1].new is State.CLOSED
    assert len([item for item in seen if isinstance(item, Trade)]) == 1


@pytest.mark.parametrize("whose", ["the subscription's", "the feed's"])
def test_a_close_discards_and_counts_the_items_that_wait(
    world: World, gate: Gate, whose: str
) -> None:
    feed = world.feed(callbacks="thread")
    sub = WSSubscription(BTC, "spot", feed=feed, on_item=gate)
    world.at(2, lambda: send(world, world.dialect.trade("1", 2000)))
    world.at(2, lambda: send(world, world.dialect.trade("2", 2001)))
    world.at(3, lambda: (sub if whose == "the subscription's" else feed).close(0))
    world.at(4, lambda: gate.go_on.set())
    world.run(5)
    assert feed.close(LIMIT)

    assert all(isinstance(item, StateChange) for item in gate.items)
    assert gate.items[-1].new is State.CLOSED
    assert sub.stats().skipped["trade"] == 2


def test_what_comes_after_the_close_is_counted_and_not_given() -> None:
    """Until the connection's thread has seen the close."""
    seen: list[Any] = []
    callbacks = Callbacks("it", FakeClock(), on_item=seen.append)
    items = callbacks.items
    assert items is not None
    data = [Data("status", (n,), None, utc(0), 1, "") for n in range(3)]
    items.add("status", data[0])
    put(callbacks, 0)
    callbacks.mute()
    items.add("status", data[1])
    put(callbacks, 1)
    items.add("status", data[2])
    callbacks.drain()

    assert seen == []
    assert items.skipped == {"status": 3}


@pytest.mark.parametrize("where", ["inline", "thread"])
def test_what_the_last_call_counts_is_counted_by_the_feed(
    world: World, where: str
) -> None:
    def raises(item: Item) -> None:
        if isinstance(item, StateChange) and item.new is State.CLOSED:
            raise ValueError("at the end")

    feed = world.feed(callbacks=where)
    sub = WSSubscription(BTC, "spot", feed=feed, on_item=raises)
    WSSubscription(ETH, "spot", feed=feed)
    errors: list[int] = []
    world.at(2, sub.close)
    world.at(3, lambda: settle(sub))
    world.at(3, lambda: errors.append(feed.stats().callback_errors))

    world.run(4)

    assert feed.close(LIMIT)
    assert errors == [1]


# --- What a callback can do -----------------------------------------------------------


def test_one_that_raises_is_told_and_gets_the_next_item(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[Item] = []
    errors: list[Exception] = []
    bug = ZeroDivisionError("bug")

    def raises(item: Item) -> None:
        seen.append(item)
        if isinstance(item, Trade):
            raise bug if item.id == "1" else SystemExit

    sub = world.subscribe(on_item=raises, on_error=errors.append)
    for number in (1, 2, 3):
        at = number + 1
        send_at(world, at, world.dialect.trade(str(number), 1000 * at))

    world.run(5)

    trades = [item.id for item in seen if isinstance(item, Trade)]
    assert trades == ["1", "2", "3"]
    assert errors == [bug]
    assert sub.stats().callback_errors == 3
    records = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert records == ["on_item of BTC-USDT raised"] * 3


def test_a_slow_one_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    world = filled(World("v5"))

    def slow(item: Item) -> None:
        if isinstance(item, Trade):
            world.sleep(2.0)

    sub = world.subscribe(on_item=slow)
    send_at(world, 2, world.dialect.trade("1", 2000))

    world.run(5)

    says = [r.getMessage() for r in caplog.records if "took" in r.getMessage()]
    assert says == ["on_item of BTC-USDT took 2.0 s"]
    assert sub.stats().callback_stalls == 1


class Called:
    async def __call__(self, item: Item) -> None: ...


async def coroutine(item: Item) -> None: ...


@pytest.mark.parametrize(
    "wrong", [coroutine, Called(), partial(coroutine), "print", 7, [print]]
)
@pytest.mark.parametrize("make", ["subscription", "feed", "raw"])
def test_what_is_no_plain_function_is_refused(
    world: World, wrong: Any, make: str
) -> None:
    feed = world.feed()
    makers: dict[str, Callable[[], object]] = {
        "subscription": lambda: WSSubscription(BTC, "spot", feed=feed, on_item=wrong),
        "feed": lambda: feed.subscribe([BTC], "spot", on_item=wrong),
        "raw": lambda: RawSubscription(["status"], feed=feed, on_item=wrong),
    }
    with pytest.raises(TypeError, match="on_item"):
        makers[make]()
    world.run(1)


def test_an_isolated_feed_refuses_it() -> None:
    with Feed(isolate=True) as feed, pytest.raises(ValueError, match="on_item stays"):
        feed.subscribe([BTC], on_item=print)


# --- A callback that blocks -----------------------------------------------------------


def test_a_blocked_one_gets_the_newest_depth_and_what_an_iterator_would(
    v5: World, gate: Gate
) -> None:
    """A bounded number of trades, a `Gap` for the others, and one depth."""
    feed = v5.feed(callbacks="thread")
    sub = WSSubscription(BTC, "spot", feed=feed, on_item=gate)
    updates = sub.updates(timeout=0.0)
    expected: list[Item] = []
    v5.at(1, gate.is_reached)
    for number in range(1, 1301):
        send_at(v5, 2 + number / 1000, v5.dialect.trade(str(number), 2000 + number))
        if number % 100 == 0:
            depth = v5.dialect.depth(2000 + number)
            send_at(v5, 2 + number / 1000, depth)

    def let_go() -> None:
        expected.extend(take_without_waiting(queue_of(updates)))
        gate.go_on.set()
        settle(sub)

    v5.at(4, let_go)
    v5.run(5)
    assert feed.close(LIMIT)

    given = gate.items[: len(expected)]
    assert [repr(item) for item in given] == [repr(item) for item in expected]
    (gap,) = (item for item in given if isinstance(item, Gap))
    (depth,) = (item for item in given if isinstance(item, Depth))
    trades = [item for item in given if isinstance(item, Trade)]
    assert gap.cause.code is CauseCode.QUEUE
    assert str(1300 - len(trades)) in gap.cause.text
    assert 990 < len(trades) <= 1000
    assert depth.seq == 1000 + 3300


def test_a_depth_that_is_not_trusted_any_more_is_not_given(
    world: World, gate: Gate
) -> None:
    """It waited for the callback, and the connection was lost meanwhile."""
    feed = world.feed(callbacks="thread")
    sub = WSSubscription(BTC, "spot", feed=feed, channels=("depth5",), on_item=gate)
    world.at(1, gate.is_reached)
    world.at(2, lambda: world.peer and world.peer.drop())

    def let_go() -> None:
        gate.go_on.set()
        settle(sub)

    world.at(2.001, let_go)
    world.run(2.002)
    assert feed.close(LIMIT)

    assert not [item for item in gate.items if isinstance(item, Depth)]
    states = [item.new for item in gate.items]
    assert states[-3:] == [State.LIVE, State.RECONNECTING, State.CLOSED]


def test_a_depth_that_waits_is_not_parsed(v5: World, gate: Gate) -> None:
    feed = v5.feed(callbacks="thread")
    sub = WSSubscription(BTC, "spot", feed=feed, channels=("depth5",), on_item=gate)
    v5.at(1, gate.is_reached)
    for second in range(2, 7):
        send_at(v5, second, v5.dialect.depth(1000 * second))
    counts: list[Any] = []
    v5.at(6.5, lambda: counts.append((sub.stats().unread, sub.stats().skipped)))
    v5.at(7, gate.go_on.set)
    v5.run(8)
    assert feed.close(LIMIT)
    ((unread, skipped),) = counts
    assert unread["depth5"] >= 2
    assert skipped["depth5"] == 5


def test_the_subscriptions_of_a_dispatcher_take_turns() -> None:
    """A backlog of one does not hold up the items of another one."""
    dispatcher, seen = Dispatcher("the callbacks"), list[Any]()
    clock = FakeClock()

    def make(name: str) -> Callbacks:
        def on_item(item: Any) -> None:
            seen.append((name, item.after))

        return dispatcher.callbacks(name, clock, None, (), None, on_item)

    one, two = make("one"), make("two")
    for number in range(4):
        put(one, number)
    for number in range(2):
        put(two, number)
    dispatcher.start()
    dispatcher.close()
    assert dispatcher.thread.join(LIMIT)

    expected = [("one", 0), ("two", 0), ("one", 1), ("two", 1), ("one", 2), ("one", 3)]
    assert seen == [(name, str(number)) for name, number in expected]


def put(callbacks: Callbacks, number: int) -> None:
    assert callbacks.items is not None
    gap = Gap("trade", str(number), None, because("lost"), BTC)
    callbacks.items.add("trade", gap)


def test_in_a_forked_child_nothing_is_given() -> None:
    seen: list[Any] = []
    callbacks = Callbacks("it", FakeClock(), on_item=seen.append)
    put(callbacks, 1)
    assert callbacks.items is not None

    callbacks.forked()
    callbacks.items.forked()
    put(callbacks, 2)
    callbacks.drain()

    assert seen == []


@pytest.mark.parametrize("where", ["inline", "thread"])
def test_a_push_that_only_its_making_finds_unreadable_is_not_given(
    v5: World, where: str
) -> None:
    """It was kept unparsed, and is parsed when the item is made."""
    seen: list[Any] = []
    errors: list[Exception] = []
    feed = v5.feed(callbacks=where)
    sub = WSSubscription(
        BTC,
        "spot",
        feed=feed,
        channels=("depth5",),
        on_item=seen.append,
        on_error=errors.append,
    )
    for second in range(1, 9):
        message = v5.dialect.depth(1000 * second)
        if second == 5:
            message["data"][0]["bids"] = [["x"]]
        send_at(v5, second, message)
        v5.at(second + 0.1, lambda: settle(sub))
    v5.run(20)
    assert feed.close(LIMIT)

    causes = [item.cause.code for item in seen if isinstance(item, StateChange)]
    assert CauseCode.UNREADABLE in causes
    times = [item.seq - 1000 for item in seen if isinstance(item, Depth)]
    assert 5000 not in times
    assert {4000, 6000} <= set(times)
    assert [type(error) for error in errors] == [WireError]
    assert sub.stats().callback_errors == 0
