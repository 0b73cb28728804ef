"""Callbacks on a thread of their own: whatever one does, nothing else waits for it."""

from __future__ import annotations

import copy
import itertools
import logging
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from okex_ws import Feed, NotLive, RawSubscription, State, StateChange, WSSubscription
from okex_ws.base.clock import utc
from okex_ws.base.errors import MessagesLost
from okex_ws.base.state import NO_CAUSE
from okex_ws.base.threads import on_library_thread
from okex_ws.channels.reading import Reading
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.dispatcher import Dispatcher
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.causes import because
from tests.support.clocks import FakeClock
from tests.support.internals import (
    callback_thread_of,
    callbacks_of,
    caller_of,
    lock_of,
    reading_of,
    readings_of,
    readings_with_own_counts,
)
from tests.support.virtual_world import Ladder, World

LIMIT = 10.0
LIVE = StateChange(State.SYNCING, State.LIVE, NO_CAUSE, 1, utc(0), "BTC-USDT")
CLOSED = StateChange(State.LIVE, State.CLOSED, because("closed"), 1, utc(0), "BTC-USDT")
WHOLE = ("depth", "books50-l2-tbt")
SINGLE = ("trade", "candle60s", "mark_price")
VALUES = ("depth5", "bbo-tbt", "ticker", "funding_rate")


def reading(topic: str) -> Reading:
    market = "swap" if topic == "funding_rate" else "spot"
    instrument_id = "BTC-USDT-SWAP" if topic == "funding_rate" else "BTC-USDT"
    name = PROTOCOL.channel(topic, market, instrument_id)
    return Reading(name)


TRADE, DEPTH5 = reading("trade"), reading("depth5")


class Gate:
    """A callback that is inside once it was called, and returns when it is let go."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.threads: list[threading.Thread] = []
        self.inside = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, what: object) -> None:
        self.seen.append(what)
        self.threads.append(threading.current_thread())
        self.inside.set()
        assert self.go_on.wait(LIMIT)

    def is_reached(self) -> bool:
        return self.inside.wait(LIMIT)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.go_on.set()


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    dispatcher = Dispatcher("the callbacks")
    dispatcher.start()
    yield dispatcher
    dispatcher.close()
    assert dispatcher.thread.join(LIMIT)


def callbacks(
    dispatcher: Dispatcher,
    *,
    clock: Any = None,
    on_message: Callable[[str], object] | None = None,
    on_state: Callable[[StateChange], object] | None = None,
    on_error: Callable[[Exception], object] | None = None,
) -> Any:
    states = [] if on_state is None else [on_state]
    return Drained(
        dispatcher.callbacks(
            "BTC-USDT", clock or FakeClock(), on_message, states, on_error
        )
    )


class Drained:
    """The callbacks of one subscription, and a thread that drains after each call."""

    def __init__(self, callbacks: Callbacks) -> None:
        self._callbacks = callbacks

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._callbacks, name)
        if name not in ("message", "state", "error", "mute"):
            return found

        def call(*what: Any) -> None:
            found(*what)
            self._callbacks.drain()

        return call


def all_told(told: Any) -> bool:
    """Wait until all was told that was put by now."""
    event = threading.Event()
    told.after(event.set)
    return event.wait(LIMIT)


# --- One thread ----------------------------------------------------------------------


def test_all_is_told_in_order_on_one_daemon_thread_of_the_library(
    dispatcher: Dispatcher,
) -> None:
    seen: list[Any] = []

    def tell(what: object) -> None:
        thread = threading.current_thread()
        seen.append((what, thread.name, thread.daemon, on_library_thread()))

    one, two = (
        callbacks(dispatcher, on_message=tell, on_state=tell, on_error=tell)
        for _ in range(2)
    )
    error = OSError("x")
    one.message("1", TRADE)
    two.state(LIVE)
    one.error(error)
    two.message("2", DEPTH5)
    assert all_told(two)

    assert [what for what, *_ in seen] == ["1", LIVE, error, "2"]
    assert {facts for _, *facts in map(tuple, seen) for facts in [tuple(facts)]} == {
        ("the callbacks", True, True)
    }


def test_what_was_put_before_the_start_is_told_then() -> None:
    dispatcher, seen = Dispatcher("the callbacks"), list[str]()
    told = callbacks(dispatcher, on_message=seen.append)
    told.message("1", TRADE)
    dispatcher.start()
    dispatcher.close()
    assert dispatcher.thread.join(LIMIT)
    assert seen == ["1"]


def test_a_callback_that_does_not_return_holds_up_nobody(
    dispatcher: Dispatcher, gate: Gate
) -> None:
    told = callbacks(dispatcher, on_message=gate)
    told.message("0", TRADE)
    assert gate.is_reached()
    for number in range(1, 5):
        told.message(str(number), TRADE)
        told.message(str(-number), DEPTH5)
    gate.go_on.set()
    assert all_told(told)

    assert gate.seen == ["0", "1", "-4", "2", "3", "4"]
    assert told.counts()["skipped depth5"] == 3


@pytest.mark.parametrize("topic", VALUES)
def test_of_a_depth_or_value_only_the_newest_text_waits(
    dispatcher: Dispatcher, gate: Gate, topic: str
) -> None:
    told, carried = callbacks(dispatcher, on_message=gate), reading(topic)
    for text in "0123":
        told.message(text, carried)
        assert gate.is_reached()
    gate.go_on.set()
    assert all_told(told)
    assert gate.seen == ["0", "3"]
    assert told.counts() == {
        "callback_errors": 0,
        "callback_stalls": 0,
        f"skipped {topic}": 2,
    }


@pytest.mark.parametrize("topic", SINGLE + WHOLE)
def test_each_other_text_counts(dispatcher: Dispatcher, gate: Gate, topic: str) -> None:
    told, carried = callbacks(dispatcher, on_message=gate), reading(topic)
    for text in "0123":
        told.message(text, carried)
    gate.go_on.set()
    assert all_told(told)
    assert gate.seen == list("0123")


def test_what_is_lost_is_told_once_a_run_and_logged(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher, errors = Dispatcher("the callbacks", bound=2), list[Any]()
    told = callbacks(dispatcher, on_message=gate, on_error=errors.append)
    dispatcher.start()
    told.message("0", TRADE)
    assert gate.is_reached()
    for number in range(1, 6):
        told.message(str(number), TRADE)
    gate.go_on.set()
    dispatcher.close()
    assert dispatcher.thread.join(LIMIT)

    assert gate.seen == ["0", "1", "2"]
    (lost,) = errors
    assert isinstance(lost, MessagesLost)
    assert (lost.instrument_id, lost.channel, lost.count) == ("BTC-USDT", "trade", 3)
    says = "3 of trade of BTC-USDT not taken in time (callbacks='thread')"
    assert str(lost) == says
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", says)
    ]
    # It says nothing of why a price cannot be trusted.
    assert told.last_error is None
    assert told.counts()["skipped trade"] == 3


@pytest.mark.parametrize("copied", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_the_error_can_be_copied(copied: Callable[[Any], Any]) -> None:
    duplicate = copied(MessagesLost("BTC-USDT", "trade", 3))
    assert (duplicate.instrument_id, duplicate.channel, duplicate.count) == (
        "BTC-USDT",
        "trade",
        3,
    )


# --- What a callback can do ----------------------------------------------------------


def test_an_exception_is_told_at_once_and_ends_nothing(
    dispatcher: Dispatcher, gate: Gate
) -> None:
    seen: list[Any] = []
    bug = ZeroDivisionError("bug")

    def raises(_: object) -> None:
        gate(_)
        raise bug

    told = callbacks(
        dispatcher, on_message=raises, on_state=seen.append, on_error=seen.append
    )
    told.message("text", TRADE)
    assert gate.is_reached()
    told.state(LIVE)
    gate.go_on.set()
    assert all_told(told)

    assert seen == [bug, LIVE]
    assert told.last_error is bug
    assert told.counts()["callback_errors"] == 1


@pytest.mark.parametrize("end", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_nothing_that_is_raised_ends_the_thread(
    dispatcher: Dispatcher, end: type[BaseException]
) -> None:
    def ends(_: object) -> None:
        raise end

    told = callbacks(dispatcher, on_message=ends)
    told.message("text", TRADE)
    assert all_told(told)


def test_not_even_a_log_handler_that_raises_ends_the_thread(
    dispatcher: Dispatcher,
) -> None:
    def no(record: logging.LogRecord) -> bool:
        raise SystemExit

    def raises(_: object) -> None:
        raise ValueError

    log = logging.getLogger("okex_ws")
    told = callbacks(dispatcher, on_message=raises)
    log.addFilter(no)
    try:
        told.message("text", TRADE)
        assert all_told(told)
    finally:
        log.removeFilter(no)


def test_a_slow_one_is_named_in_the_log_with_its_time(
    dispatcher: Dispatcher, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    told = callbacks(dispatcher, clock=clock, on_message=lambda _: clock.advance(2))
    told.message("text", TRADE)
    assert all_told(told)
    assert [r.getMessage() for r in caplog.records] == [
        "on_message of BTC-USDT took 2.0 s"
    ]
    assert told.counts()["callback_stalls"] == 1


def test_the_newest_error_is_known_before_it_is_told(
    dispatcher: Dispatcher, gate: Gate
) -> None:
    """Whoever waits for prices is told the cause, whatever the callbacks do."""
    told = callbacks(dispatcher, on_error=gate)
    first, second = OSError("1"), OSError("2")
    told.error(first)
    assert gate.is_reached()
    told.error(second)
    assert told.last_error is second
    gate.go_on.set()
    assert all_told(told)
    assert told.last_error is second
    assert gate.seen == [first, second]


def test_callbacks_need_not_be_given(dispatcher: Dispatcher) -> None:
    told = callbacks(dispatcher)
    told.state(LIVE)
    told.error(OSError("x"))
    assert all_told(told)


# --- Its end -------------------------------------------------------------------------


def test_it_ends_when_all_was_told_and_everybody_his_final_state(gate: Gate) -> None:
    dispatcher = Dispatcher("the callbacks")
    told = callbacks(dispatcher, on_state=gate)
    told.begin()
    dispatcher.start()
    dispatcher.close()
    told.state(LIVE)
    assert gate.is_reached()
    assert not dispatcher.thread.join(0)
    told.state(CLOSED)
    gate.go_on.set()
    assert dispatcher.thread.join(LIMIT)
    assert gate.seen == [LIVE, CLOSED]
    assert len(set(gate.threads)) == 1


def test_messages_that_wait_at_the_close_are_discarded_and_counted(
    dispatcher: Dispatcher, gate: Gate
) -> None:
    seen: list[StateChange] = []
    told = callbacks(dispatcher, on_message=gate, on_state=seen.append)
    told.message("0", TRADE)
    assert gate.is_reached()
    told.message("1", TRADE)
    told.message("2", DEPTH5)
    told.mute()
    told.message("3", TRADE)
    told.state(CLOSED)
    gate.go_on.set()
    assert all_told(told)

    assert gate.seen == ["0"]
    assert seen == [CLOSED]
    assert told.counts()["skipped trade"] == 2
    assert told.counts()["skipped depth5"] == 1


def test_what_comes_after_its_end_is_counted(dispatcher: Dispatcher) -> None:
    seen: list[Any] = []
    told = callbacks(dispatcher, on_message=seen.append, on_error=seen.append)
    dispatcher.close()
    assert dispatcher.thread.join(LIMIT)
    told.message("1", TRADE)
    told.error(OSError("x"))
    told.state(CLOSED)
    assert seen == []
    assert (told.counts()["skipped trade"], told.counts()["skipped on_error"]) == (1, 1)


def test_in_a_forked_child_it_has_ended_whoever_held_its_lock(
    dispatcher: Dispatcher, gate: Gate
) -> None:
    duplicate, seen = Dispatcher("of the child"), list[str]()
    told = callbacks(duplicate, on_message=seen.append)
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            assert go_on.wait(LIMIT)

    lock = lock_of(duplicate)
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LIMIT)
    duplicate.forked()
    told.message("1", TRADE)
    told.mute()
    duplicate.close()
    assert duplicate.thread.join(0)
    go_on.set()
    holder.join(LIMIT)
    assert seen == []


def test_a_callback_that_forked_is_the_last_of_the_child() -> None:
    """As in the child, where the thread that forked is the one there is."""
    dispatcher, seen = Dispatcher("the callbacks"), list[str]()

    def fork(text: str) -> None:
        seen.append(text)
        dispatcher.forked()

    told = callbacks(dispatcher, on_message=fork)
    told.message("1", TRADE)
    told.message("2", TRADE)
    dispatcher.start()
    assert dispatcher.thread.join(LIMIT)
    assert seen == ["1"]


# --- A feed's ------------------------------------------------------------------------


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    world = World(request.param)
    world.exchange.first_pushes[world.dialect.channel("depth5")] = world.dialect.depth(
        0
    )
    return world


def threaded(world: World, **keywords: Any) -> Feed:
    return world.feed(callbacks="thread", **keywords)


def send(world: World, message: object) -> None:
    assert world.peer is not None
    world.peer.send(message)


def settle(feed: Feed) -> None:
    """All was told that happened in the world; its time waits for that."""
    for view in readings_of(feed):
        assert all_told(view.callbacks)


def test_a_callback_that_blocks_holds_up_no_reading_and_no_ping(
    world: World, gate: Gate
) -> None:
    feed, seen = threaded(world), list[Any]()
    other: list[str] = []
    sub = WSSubscription("BTC-USDT", "spot", feed=feed, on_message=gate)
    WSSubscription(
        "BTC-USDT", "spot", feed=feed, channels=("trade",), on_message=other.append
    )

    def look() -> None:
        assert gate.is_reached()
        seen.append((sub.state, sub.GetDepth()["bids"][0][0], sub.trades[-1].id))

    world.at(0.9, gate.is_reached)
    for second in range(1, 60):
        bid = f"{100 + second}"
        time_ms = second * 1000
        world.at(second, lambda b=bid, t=time_ms: send(world, depth(world, t, b)))
        world.at(second, lambda t=time_ms: send(world, trade(world, t)))
    world.at(59.5, look)
    world.at(59.6, gate.go_on.set)
    world.at(59.7, lambda: settle(feed))
    world.run(60)
    assert feed.close(LIMIT)

    assert seen == [(State.LIVE, "159", "59000")]
    assert len(world.exchange.pings) == 12
    assert feed.stats().reconnects == {}
    assert len({thread.ident for thread in gate.threads}) == 1
    trades = [text for text in gate.seen if "rade" in text]
    assert (len(trades), len(other)) == (59, 59)
    # The first, in which it was blocked, and the newest.
    assert len(gate.seen) - len(trades) == 2
    assert feed.stats().skipped == {"depth5": 58}


def depth(world: World, time_ms: int, bid: str) -> Any:
    return world.dialect.depth(time_ms, bid, f"{bid}.5")


def trade(world: World, time_ms: int) -> Any:
    return world.dialect.trade(str(time_ms), time_ms)


def test_states_of_all_are_told_on_its_one_thread_and_in_order(world: World) -> None:
    seen: list[tuple[StateChange, threading.Thread]] = []
    own: list[StateChange] = []

    def tell(change: StateChange) -> None:
        seen.append((change, threading.current_thread()))

    feed = threaded(world, on_state=tell)
    sub = WSSubscription("BTC-USDT", "spot", feed=feed, on_state=own.append)
    world.at(2, lambda: world.peer and world.peer.drop())
    world.run(20)
    assert feed.close(LIMIT)
    changes = [change for change, _ in seen]
    assert changes == own
    assert [change.new for change in own][:3] == ["SYNCING", "LIVE", "RECONNECTING"]
    assert own[-1].new is State.CLOSED
    for before, after in itertools.pairwise(own):
        assert after.old is before.new
    names = {thread.name for _, thread in seen}
    assert names == {"okex_ws:fake:callbacks"}
    assert len({thread.ident for _, thread in seen}) == 1
    assert sub.state is State.CLOSED


def test_leaving_live_discards_the_depth_that_waits(world: World, gate: Gate) -> None:
    feed = threaded(world)
    sub = WSSubscription(
        "BTC-USDT", "spot", feed=feed, on_message=gate, on_state=gate.seen.append
    )
    world.at(2, lambda: gate.is_reached() and send(world, depth(world, 2000, "101")))
    world.at(2, lambda: send(world, trade(world, 2000)))
    world.at(3, lambda: world.peer and world.peer.drop())
    skipped: list[Any] = []
    world.at(3.05, lambda: skipped.append(sub.stats().skipped))
    world.at(3.06, gate.go_on.set)
    world.at(3.07, lambda: settle(feed))
    world.run(3.08)
    assert feed.close(LIMIT)

    kinds = [
        each.new if isinstance(each, StateChange) else "trade" in each
        for each in gate.seen
    ]
    assert kinds[:5] == ["SYNCING", "LIVE", False, True, "RECONNECTING"]
    assert "101.5" not in "".join(map(str, gate.seen))
    assert skipped == [{"depth5": 1}]


def test_each_text_of_a_whole_book_is_told(world: World, gate: Gate) -> None:
    ladder, feed = Ladder(world), threaded(world)
    WSSubscription("BTC-USDT", "spot", feed=feed, channels=("depth",), on_message=gate)
    for second in range(1, 9):
        world.at(second, lambda s=second: ladder.send(ladder.size(str(s))))
    # Not even the loss of the connection discards them: they build on each other.
    world.at(9, lambda: world.peer and world.peer.drop())
    world.at(9.01, gate.go_on.set)
    world.at(9.02, lambda: settle(feed))
    world.run(9.03)
    assert feed.close(LIMIT)
    assert len(gate.seen) == 9


def test_close_in_a_callback_is_false_at_once_and_everything_ends(
    world: World,
) -> None:
    feed, seen = threaded(world), list[Any]()
    texts: list[str] = []

    def close(text: str) -> None:
        texts.append(text)
        seen.extend([sub.close(), feed.close(), feed.state])
        closed.set()

    closed = threading.Event()
    sub = WSSubscription(
        "BTC-USDT", "spot", feed=feed, on_message=close, on_state=seen.append
    )
    world.at(2, lambda: closed.wait(LIMIT))
    world.run(30)
    assert feed.close(LIMIT)
    assert [each for each in seen if not isinstance(each, StateChange)] == [
        True,  # on a feed there is nothing to wait for
        False,
        State.CLOSED,
    ]
    assert len(texts) == 1
    assert seen[-1].new is State.CLOSED
    assert not callback_thread_of(feed).running


@pytest.mark.parametrize("whose", ["the subscription's", "the feed's"])
def test_after_a_close_no_message_is_told_that_waits_already(
    world: World, gate: Gate, whose: str
) -> None:
    """Nor one that comes before the connection's thread has seen the close."""
    feed = threaded(world)
    skipped: list[Any] = []

    def close(text: str) -> None:
        gate(text)
        (sub if whose == "the subscription's" else feed).close()

    sub = WSSubscription("BTC-USDT", "spot", feed=feed, on_message=close)

    def let_go() -> None:
        gate.go_on.set()
        # The world stands still, and its connections with it.
        assert all_told(callbacks_of(sub))
        skipped.append(sub.stats().skipped)

    world.at(2, lambda: gate.is_reached() and send(world, trade(world, 2000)))
    world.at(2, lambda: send(world, trade(world, 2001)))
    world.at(3, let_go)
    world.run(4)
    assert feed.close(LIMIT)
    assert len(gate.seen) == 1
    assert skipped == [{"trade": 2}]


def test_a_subscriptions_own_connection_has_a_thread_of_its_own(
    world: World,
) -> None:
    seen: list[Any] = []

    def tell(change: StateChange) -> None:
        if change.new is State.LIVE:
            seen.append(threading.current_thread().name)
            seen.append(sub.close())

    sub = world.subscribe(callbacks="thread", on_state=tell)
    world.run(5)
    assert sub.close(LIMIT)
    assert seen == ["okex_ws:fake:callbacks", False]


def test_close_waits_for_a_callback_no_longer_than_it_is_told_to(
    world: World, gate: Gate
) -> None:
    changes: list[StateChange] = []
    sub = world.subscribe(callbacks="thread", on_message=gate, on_state=changes.append)
    world.at(2, lambda: gate.is_reached() and send(world, trade(world, 2000)))
    world.run(3)
    # In a world the clock stands still: what is left of the time is all of it.
    assert sub.close(0) is False
    assert changes[-1].new is not State.CLOSED
    gate.go_on.set()
    assert sub.close(LIMIT) is True
    assert changes[-1].new is State.CLOSED
    assert len(gate.seen) == 1
    assert sub.stats().skipped == {"trade": 1}


def test_a_subscription_that_failed_leaves_no_thread(world: World) -> None:
    world.exchange.unknown.add(world.dialect.channel("depth5"))
    changes: list[StateChange] = []
    sub = world.subscribe(
        callbacks="thread", channels=("depth5",), on_state=changes.append
    )
    joined: list[bool] = []
    # Nobody closed it by then.
    world.at(4, lambda: joined.append(callback_thread_of(sub).join(LIMIT)))
    world.run(5)
    assert joined == [True]
    assert changes[-1].new is State.FAILED


def test_waiting_in_a_callback_is_refused(world: World) -> None:
    seen: list[str] = []

    def wait(_: str) -> None:
        try:
            feed.wait_live()
        except RuntimeError as error:
            seen.append(str(error))

    feed = threaded(world)
    WSSubscription("BTC-USDT", "spot", feed=feed, channels=("trade",), on_message=wait)
    world.at(2, lambda: send(world, trade(world, 2000)))
    world.at(3, lambda: settle(feed))
    world.run(4)
    assert feed.close(LIMIT)
    assert seen == ["wait_live() would wait for its own thread"]


def test_what_the_last_callbacks_count_is_counted_by_the_feed(
    world: World, gate: Gate
) -> None:
    """The subscription is gone, and its callbacks are told the end of it yet."""

    def raises(change: StateChange) -> None:
        if change.new is State.CLOSED:
            gate(change)
            raise ValueError("at the end")

    feed = threaded(world)
    sub = WSSubscription("BTC-USDT", "spot", feed=feed, on_state=raises)
    WSSubscription("ETH-USDT", "spot", feed=feed)
    errors: list[int] = []
    done = threading.Event()
    world.at(2, sub.close)
    world.at(4, lambda: gate.is_reached() and errors.append(count(feed)))
    world.at(5, lambda: callbacks_of(sub).after(done.set))
    world.at(6, lambda: (gate.go_on.set(), done.wait(LIMIT)))
    world.at(7, lambda: errors.append(count(feed)))
    world.run(8)
    assert feed.close(LIMIT)
    assert errors == [0, 1]
    assert reading_of(sub) not in readings_with_own_counts(feed)


def count(feed: Feed) -> int:
    return feed.stats().callback_errors


def test_a_raw_subscription_has_it_too(world: World) -> None:
    names: set[str] = set()
    feed = threaded(world)
    topic = {"v3": "system/status", "v5": "status"}[world.protocol]
    RawSubscription(
        [topic],
        feed=feed,
        on_state=lambda _: names.add(threading.current_thread().name),
    )
    world.run(3)
    assert feed.close(LIMIT)
    assert names == {"okex_ws:fake:callbacks"}


def test_a_feed_without_a_subscription_has_no_thread(world: World) -> None:
    feed = threaded(world)
    assert not callback_thread_of(feed).running
    assert feed.close() is True
    with pytest.raises(NotLive):
        feed.wait_live()


def test_inline_is_the_default(world: World) -> None:
    names: set[str] = set()
    feed = world.feed(on_state=lambda _: names.add(threading.current_thread().name))
    WSSubscription("BTC-USDT", "spot", feed=feed)
    world.run(3)
    assert len(names) == 1
    assert "callbacks" not in names.pop()
    assert caller_of(feed).thread is None


# --- Where a thread cannot be had ----------------------------------------------------


@pytest.mark.parametrize("which", ["callbacks", "BTC"])
def test_without_a_thread_nothing_was_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    start = threading.Thread.start

    def no(thread: threading.Thread) -> None:
        if which in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    feed = threaded(world)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no)
        with pytest.raises(RuntimeError, match="can't start"):
            WSSubscription("BTC-USDT", "spot", feed=feed)
    assert feed.subscriptions == ()
    seen: list[StateChange] = []
    WSSubscription("BTC-USDT", "spot", feed=feed, on_state=seen.append)
    world.run(3)
    assert feed.close(LIMIT)
    assert [change.new for change in seen] == ["SYNCING", "LIVE", "CLOSED"]


def test_its_thread_ends_with_a_feed_whose_connection_had_none(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def no(thread: threading.Thread) -> None:
        if "callbacks" not in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    feed = threaded(world)
    monkeypatch.setattr(threading.Thread, "start", no)
    with pytest.raises(RuntimeError, match="can't start"):
        WSSubscription("BTC-USDT", "spot", feed=feed)
    with pytest.raises(RuntimeError, match="can't start"):
        world.subscribe(callbacks="thread")
    assert callback_thread_of(feed).running
    assert feed.close(LIMIT) is True
    assert not callback_thread_of(feed).running


# --- The process ---------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_has_no_dispatcher_and_the_parents_goes_on(gate: Gate) -> None:
    network = SimpleNamespace(
        open=lambda *_: (_ for _ in ()).throw(OSError("refused")),
        wait=lambda timeout, stream=None: woken.wait(timeout) and woken.clear(),
        wake=lambda: woken.set(),
        close=lambda: None,
        discard=lambda: None,
    )
    woken = threading.Event()
    feed = Feed("okj-v3", network=lambda: network, callbacks="thread")
    sub = WSSubscription(
        "BTC-JPY", "spot", feed=feed, on_error=gate, channels=("depth5",)
    )
    assert gate.is_reached()
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with lock_of(caller_of(feed)):
            held.set()
            assert go_on.wait(LIMIT)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(LIMIT)
    child = os.fork()
    if not child:
        # A lock that nobody can give back would hold it up for ever.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(LIMIT))
        callbacks_of(sub).error(OSError("of the child"))
        good = (
            sub.state is State.CLOSED
            and not callback_thread_of(feed).running
            and sub.close()
            and feed.close()
        )
        os._exit(0 if good and len(gate.seen) == 1 else 1)
    go_on.set()
    holder.join(LIMIT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    gate.go_on.set()
    assert all_told(callbacks_of(sub))
    assert feed.close(LIMIT)


SCRIPT = """
import sys, threading
from okex_ws import Feed, WSSubscription
from okex_ws.local_exchange import LocalExchange

how = sys.argv[1]
inside = threading.Event()

def blocks(_):
    inside.set()
    if how == "busy":
        while True:
            pass
    threading.Event().wait()

exchange = LocalExchange().__enter__()
market, name = exchange.busiest
feed = Feed(exchange.venue_v5, callbacks="thread")
sub = WSSubscription(name, market, feed=feed, on_message=blocks)
assert inside.wait(20)
if how == "closed":
    assert feed.close(0.1) is False
if how == "exit":
    sys.exit(3)
print("the end")
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["blocked", "busy", "closed", "exit"])
def test_the_interpreter_ends_silently_in_the_middle_of_a_callback(how: str) -> None:
    done = subprocess.run(
        # That a subscription was not closed is told, and is no error here.
        [
            *(sys.executable, "-W", "error", "-W", "ignore:unclosed:ResourceWarning"),
            *("-c", SCRIPT, how),
        ],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == (3 if how == "exit" else 0)
    assert done.stdout == ("" if how == "exit" else "the end\n")
