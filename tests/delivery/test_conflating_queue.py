"""What waits for callbacks: in order, bounded, and of a value only the newest."""

from __future__ import annotations

import contextlib
import itertools
import linecache
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.clock import utc
from okex_ws.base.state import NO_CAUSE, State
from okex_ws.delivery.conflating_queue import (
    BOUND,
    ERRORS,
    LOG,
    ON_ERROR,
    STATES,
    ConflatingQueue,
    Kind,
    Lost,
    Subscriber,
)
from okex_ws.model.reports import StateChange
from tests.support.internals import counted_in, lock_of, notes_in, waiting_in

S = State


def change(old: State, new: State) -> StateChange:
    return StateChange(old, new, NO_CAUSE, 1, utc(0), "BTC-USDT")


LIVE = change(S.SYNCING, S.LIVE)
LOST = change(S.LIVE, S.RECONNECTING)
SYNCING = change(S.RECONNECTING, S.SYNCING)
CLOSED = change(S.LIVE, S.CLOSED)
FAILED = change(S.SYNCING, S.FAILED)


class Bench:
    """A queue of which each rule is called by its name."""

    def __init__(self, bound: int = BOUND, at_once: bool = True) -> None:
        self.queue = ConflatingQueue(bound)
        self._at_once = at_once

    def value(self, subscriber: Subscriber, topic: str, text: str) -> None:
        self._put(ConflatingQueue.value, subscriber, topic, text)

    def single(self, subscriber: Subscriber, topic: str, text: str) -> None:
        self._put(ConflatingQueue.single, subscriber, topic, text)

    def state(self, subscriber: Subscriber, change: StateChange) -> None:
        self._put(ConflatingQueue.state, subscriber, change)

    def error(self, subscriber: Subscriber, error: Exception) -> None:
        self._put(ConflatingQueue.error, subscriber, error)

    def work(self, subscriber: Subscriber, work: Callable[[], None]) -> None:
        self._put(ConflatingQueue.work, subscriber, work)

    def record(self, subscriber: Subscriber, write: Callable[[], None]) -> None:
        self._put(ConflatingQueue.error, subscriber, write, Kind.LOG)

    def begin(self, subscriber: Subscriber) -> None:
        self.queue.open.add(subscriber)

    def mute(self, subscriber: Subscriber) -> None:
        subscriber.silent = True
        self._put(ConflatingQueue.discard, subscriber, Kind.VALUE, Kind.SINGLE)

    def _put(self, rule: Any, *what: Any) -> None:
        self.queue.put(rule, *what)
        if self._at_once:
            self.queue.sort()

    def take(self) -> tuple[Subscriber, Any] | None:
        waiting = self.queue.pop()
        return None if waiting is None else (waiting.subscriber, waiting.what)

    @property
    def is_done(self) -> bool:
        return self.queue.is_done


@pytest.fixture
def queue() -> Bench:
    return Bench()


@pytest.fixture
def small() -> Bench:
    """For which three things wait at the most."""
    return Bench(3)


def make_subscriber() -> Subscriber:
    return Subscriber()


@pytest.fixture
def subscriber() -> Subscriber:
    return make_subscriber()


def taken(queue: Bench) -> list[Any]:
    """All that waits."""
    found: list[Any] = []
    while (waiting := queue.take()) is not None:
        found.append(waiting[1])
    return found


def test_nothing_is_taken_where_nothing_waits(queue: Bench) -> None:
    assert queue.take() is None
    assert queue.is_done


def test_what_came_first_is_taken_first_whoever_it_is_for(
    queue: Bench,
) -> None:
    one, two = make_subscriber(), make_subscriber()
    error = OSError("x")
    queue.single(one, "trade", "1")
    queue.state(two, LIVE)
    queue.value(two, "depth5", "2")
    queue.error(one, error)
    queue.single(one, "trade", "3")

    first = queue.take()
    assert first == (one, "1")
    assert taken(queue) == [LIVE, "2", error, "3"]
    assert (one.skipped, two.skipped) == ({}, {})


def test_of_a_value_only_the_newest_waits_and_keeps_its_turn(
    queue: Bench, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    queue.value(subscriber, "depth5", "1")
    queue.value(subscriber, "ticker", "2")
    queue.value(other, "depth5", "3")
    queue.single(subscriber, "trade", "4")
    queue.value(subscriber, "depth5", "5")
    queue.value(subscriber, "depth5", "6")

    assert taken(queue) == ["6", "2", "3", "4"]
    assert subscriber.skipped == {"depth5": 2}
    assert other.skipped == {}


def test_a_value_that_was_taken_gives_way_to_nothing(
    queue: Bench, subscriber: Subscriber
) -> None:
    queue.value(subscriber, "depth5", "1")
    assert taken(queue) == ["1"]
    queue.value(subscriber, "depth5", "2")
    assert taken(queue) == ["2"]
    assert subscriber.skipped == {}


def test_a_change_is_told_after_what_came_before_it_and_before_what_came_after(
    queue: Bench, subscriber: Subscriber
) -> None:
    queue.value(subscriber, "ticker", "1")
    queue.value(subscriber, "funding_rate", "2")
    queue.state(subscriber, LIVE)
    queue.single(subscriber, "trade", "3")
    queue.value(subscriber, "ticker", "4")
    queue.single(subscriber, "trade", "5")
    queue.value(subscriber, "ticker", "6")

    # The newer ticker came after the change, and keeps the turn that it has there.
    assert taken(queue) == ["2", LIVE, "3", "6", "5"]


def test_a_change_of_one_subscription_orders_nothing_of_another(
    queue: Bench, subscriber: Subscriber
) -> None:
    queue.value(subscriber, "depth5", "1")
    queue.state(make_subscriber(), LOST)
    queue.value(subscriber, "depth5", "2")

    assert taken(queue) == ["2", LOST]


def test_leaving_live_discards_the_values_that_wait_and_nothing_else(
    queue: Bench, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    queue.value(subscriber, "depth5", "1")
    queue.single(subscriber, "trade", "2")
    queue.value(other, "depth5", "3")
    queue.value(subscriber, "ticker", "4")
    queue.state(subscriber, LOST)
    queue.value(subscriber, "depth5", "5")

    assert taken(queue) == ["2", "3", LOST, "5"]
    assert subscriber.skipped == {"depth5": 1, "ticker": 1}


def test_beyond_the_bound_texts_are_lost_and_said_to_be_once_a_run(
    small: Bench, subscriber: Subscriber
) -> None:
    for text in "12345":
        small.single(subscriber, "trade", text)
    small.single(subscriber, "candle60s", "6")
    # Only the newest of it waits anyhow.
    small.value(subscriber, "depth5", "7")
    assert subscriber.skipped == {"trade": 2, "candle60s": 1}

    assert small.take() is not None
    small.single(subscriber, "trade", "8")
    small.single(subscriber, "trade", "9")

    lost = [Lost("trade", 2), Lost("candle60s", 1)]
    assert taken(small) == ["2", "3", *lost, "7", "8", Lost("trade", 1)]
    assert subscriber.skipped == {"trade": 3, "candle60s": 1}


def test_a_loss_that_was_told_is_not_added_to(
    small: Bench, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    small.single(subscriber, "trade", "1")
    small.single(subscriber, "trade", "2")
    small.single(other, "trade", "3")
    small.single(subscriber, "trade", "4")
    small.single(other, "trade", "5")
    told = [small.take() for _ in range(4)]
    assert [each and each[1] for each in told][3] == Lost("trade", 1)
    for text in "6789":
        small.single(subscriber, "trade", text)

    assert taken(small) == [Lost("trade", 1), "6", "7", "8", Lost("trade", 1)]


def test_the_bound_is_free_again_when_what_waited_is_taken_or_discarded(
    small: Bench, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    for text in "123":
        small.single(subscriber, "trade", text)
    small.mute(subscriber)
    for text in "456":
        small.single(other, "trade", text)
    assert taken(small) == ["4", "5", "6"]
    for text in "789":
        small.single(other, "trade", text)
    assert taken(small) == ["7", "8", "9"]
    assert (subscriber.skipped, other.skipped) == ({"trade": 3}, {})


def test_changes_are_never_dropped_and_past_the_bound_become_one(
    small: Bench, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    small.state(subscriber, LIVE)
    small.state(subscriber, LOST)
    small.single(subscriber, "trade", "1")
    small.state(subscriber, SYNCING)
    small.state(subscriber, LIVE)
    small.state(other, LIVE)

    assert taken(small) == [LIVE, "1", change(S.LIVE, S.LIVE), LIVE]


def test_past_the_bound_the_oldest_error_gives_way_and_is_counted(
    small: Bench, subscriber: Subscriber
) -> None:
    errors = [OSError(str(number)) for number in range(5)]
    for error in errors:
        small.error(subscriber, error)
    last = OSError("of another")
    small.error(make_subscriber(), last)

    assert taken(small) == [errors[2], errors[3], errors[4], last]
    assert subscriber.skipped == {ON_ERROR: 2}


def test_who_was_closed_is_told_his_states_and_errors_and_no_message(
    small: Bench, subscriber: Subscriber
) -> None:
    error = OSError("x")
    small.state(subscriber, LIVE)
    small.single(subscriber, "trade", "1")
    small.value(subscriber, "depth5", "2")
    small.error(subscriber, error)
    small.single(subscriber, "trade", "lost")
    small.mute(subscriber)
    small.single(subscriber, "trade", "3")
    small.value(subscriber, "depth5", "4")
    small.state(subscriber, CLOSED)

    assert taken(small) == [LIVE, error, Lost("trade", 1), CLOSED]
    assert subscriber.skipped == {"trade": 3, "depth5": 2}


def test_closed_discards_what_waits_and_failed_what_is_to_come(
    queue: Bench,
) -> None:
    closed, failed = make_subscriber(), make_subscriber()
    for each, final in ((closed, CLOSED), (failed, FAILED)):
        queue.single(each, "trade", "1")
        queue.value(each, "ticker", "2")
        queue.state(each, final)
        queue.single(each, "trade", "3")

    assert taken(queue) == [CLOSED, "1", "2", FAILED]
    assert closed.skipped == {"trade": 2, "ticker": 1}
    assert failed.skipped == {"trade": 1}


def test_it_is_done_when_everybody_was_told_his_final_state(
    queue: Bench,
) -> None:
    one, two = make_subscriber(), make_subscriber()
    queue.begin(one)
    queue.begin(two)
    queue.state(one, CLOSED)
    assert taken(queue) == [CLOSED]
    assert not queue.is_done
    queue.state(two, FAILED)
    assert not queue.is_done
    assert taken(queue) == [FAILED]
    assert queue.is_done


def test_work_waits_its_turn_and_for_no_bound(
    small: Bench, subscriber: Subscriber
) -> None:
    def work() -> None: ...

    for text in "123":
        small.single(subscriber, "trade", text)
    small.mute(subscriber)
    small.state(subscriber, CLOSED)
    small.work(subscriber, work)
    assert taken(small) == [CLOSED, work]


def test_the_bound_is_what_is_documented() -> None:
    assert BOUND == 10_000


# --- Whatever comes, in whatever order ----------------------------------------------

SUBSCRIBERS = 2
STEPS = st.lists(
    st.tuples(
        st.integers(0, SUBSCRIBERS - 1),
        st.sampled_from(["trade", "candle", "depth5", "ticker", "state", "error", ""]),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 5), st.booleans())
def test_every_message_is_told_in_order_or_counted(
    steps: list[tuple[int, str]], bound: int, at_once: bool
) -> None:
    """An empty name takes what is next; all else is put, and told by its number.

    It is the same whether each call is applied at once or when something is taken.
    """
    queue = Bench(bound, at_once)
    subscribers = [make_subscriber() for _ in range(SUBSCRIBERS)]
    states = [S.CONNECTING] * SUBSCRIBERS
    put: list[dict[str, int]] = [{} for _ in subscribers]
    got: list[tuple[Subscriber, Any]] = []

    for number, (place, name) in enumerate(steps):
        subscriber = subscribers[place]
        put[place][name] = put[place].get(name, 0) + 1
        if name in ("trade", "candle"):
            queue.single(subscriber, name, f"{name} {number}")
        elif name in ("depth5", "ticker"):
            queue.value(subscriber, name, f"{name} {number}")
        elif name == "error":
            queue.error(subscriber, OSError(number))
        elif name == "state":
            new = S.STALE if states[place] is S.LIVE else S.LIVE
            queue.state(subscriber, change(states[place], new))
            states[place] = new
        elif (waiting := queue.take()) is not None:
            got.append(waiting)
        # What grows without a bound is nothing.
        assert (
            len(waiting_in(queue.queue))
            <= bound + SUBSCRIBERS * (2 + 2 + 2) + SUBSCRIBERS
        )
    while (waiting := queue.take()) is not None:
        got.append(waiting)

    assert counted_in(queue.queue) == 0
    for place, subscriber in enumerate(subscribers):
        mine = [what for whose, what in got if whose is subscriber]
        assert not subscriber.entries
        assert not subscriber.slots
        texts = [each for each in mine if isinstance(each, str)]
        for topic in ("trade", "candle", "depth5", "ticker"):
            told = [int(t.split()[1]) for t in texts if t.startswith(topic)]
            assert told == sorted(told)
            skipped = subscriber.skipped.get(topic, 0)
            assert len(told) + skipped == put[place].get(topic, 0)
            if topic in ("trade", "candle"):
                runs = [each for each in mine if isinstance(each, Lost)]
                assert sum(r.count for r in runs if r.topic == topic) == skipped
        errors = [each for each in mine if isinstance(each, OSError)]
        skipped = subscriber.skipped.get(ON_ERROR, 0)
        assert len(errors) + skipped == put[place].get("error", 0)
        # The states are a chain without a break, whatever was put together.
        state = S.CONNECTING
        for each in mine:
            if isinstance(each, StateChange):
                assert each.old is state
                state = each.new
        assert state is states[place]


# --- What waits for one subscription -------------------------------------------------


def test_many_states_of_one_subscription_become_one(
    queue: Bench, subscriber: Subscriber
) -> None:
    state = S.CONNECTING
    for number in range(1000):
        new = S.STALE if number % 2 else S.LIVE
        queue.state(subscriber, change(state, new))
        state = new
    changes = taken(queue)

    assert len(changes) == STATES
    for before, after in itertools.pairwise(changes):
        assert after.old is before.new
    assert changes[-1].new is state


def test_of_many_errors_and_log_records_the_newest_are_told(
    queue: Bench, subscriber: Subscriber
) -> None:
    errors = [OSError(str(number)) for number in range(ERRORS + 5)]
    for error in errors:
        queue.error(subscriber, error)
        queue.record(subscriber, lambda: None)
    told = taken(queue)

    assert [each for each in told if isinstance(each, OSError)] == errors[5:]
    assert len(told) == 2 * ERRORS
    assert subscriber.skipped == {ON_ERROR: 5, LOG: 5}


def test_closed_comes_once_and_last(queue: Bench, subscriber: Subscriber) -> None:
    early, late = OSError("before"), OSError("after")
    queue.error(subscriber, early)
    queue.state(subscriber, CLOSED)
    queue.state(subscriber, CLOSED)
    queue.state(subscriber, LIVE)
    queue.error(subscriber, late)
    queue.single(subscriber, "trade", "1")

    assert taken(queue) == [early, CLOSED]
    assert subscriber.skipped == {ON_ERROR: 1, "trade": 1}


def test_an_error_may_follow_failed(queue: Bench, subscriber: Subscriber) -> None:
    error = OSError("x")
    queue.state(subscriber, FAILED)
    queue.error(subscriber, error)
    queue.state(subscriber, CLOSED)

    assert taken(queue) == [FAILED, error]


# --- Signal handlers and forks -------------------------------------------------------


def test_many_calls_are_applied_even_if_nothing_is_taken(
    subscriber: Subscriber,
) -> None:
    lazy = Bench(10, at_once=False)
    for number in range(10_000):
        lazy.single(subscriber, "trade", str(number))
        assert notes_in(lazy.queue) <= 65

    assert len(waiting_in(lazy.queue)) == 11


def test_a_signal_handler_may_put_at_any_line() -> None:
    """What it puts is applied after what it interrupted, and nothing is lost."""
    for number in itertools.count():
        bench, mine = Bench(3), make_subscriber()
        got: list[Any] = []

        def handler(bench: Bench = bench, mine: Subscriber = mine) -> None:
            bench.single(mine, "candle60s", "the handler's")
            bench.state(mine, LOST)

        came = interrupt(lambda b=bench, m=mine, g=got: scene(b, m, g), number, handler)
        got += taken(bench)
        if not came:
            break
        trades = [each for each in got if each in ("1", "2", "3", "4")]
        assert len(trades) + mine.skipped["trade"] == 4
        skipped = mine.skipped.get("candle60s", 0)
        assert got.count("the handler's") + skipped == 1
        states = [each for each in got if isinstance(each, StateChange)]
        assert states[0].old in (S.SYNCING, S.LIVE)
        assert states[-1].new in (S.LIVE, S.RECONNECTING)
        assert counted_in(bench.queue) == 0
        assert not bench.queue.is_waiting
    assert number > 100


def test_a_signal_handler_that_raises_at_any_line_leaves_a_queue_that_works() -> None:
    def raises() -> None:
        raise KeyboardInterrupt

    for number in itertools.count():
        bench, mine, came = Bench(3), make_subscriber(), True
        with contextlib.suppress(KeyboardInterrupt):
            came = interrupt(lambda b=bench, m=mine: scene(b, m, []), number, raises)
        taken(bench)
        other = make_subscriber()
        for text in "1234":
            bench.single(other, "trade", text)

        assert taken(bench) == ["1", "2", "3", Lost("trade", 1)]
        if not came:
            break
    assert number > 100


def scene(bench: Bench, subscriber: Subscriber, got: list[Any]) -> None:
    """Some of everything, and all that was taken."""
    bench.value(subscriber, "depth5", "a depth")
    for text in "1234":
        bench.single(subscriber, "trade", text)
    first = bench.take()
    got += [] if first is None else [first[1]]
    bench.state(subscriber, LIVE)
    got += taken(bench)


def interrupt(run: Callable[[], Any], at: int, handler: Callable[[], None]) -> bool:
    """Call *run*, and *handler* before its line number *at*; False if it has fewer."""
    passed, came = 0, False

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal passed, came
        name = frame.f_code.co_filename
        if not name.endswith("/conflating_queue.py"):
            return None
        # CPython runs no signal handler between the last line of a `with` block and the
        # release of its lock.
        line = linecache.getline(name, frame.f_lineno).strip()
        if event == "line" and not line.startswith("with "):
            passed += 1
            if passed == at + 1:
                came = True
                handler()
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return came


def test_after_a_fork_nothing_is_taken_whatever_was_held(
    queue: Bench, subscriber: Subscriber
) -> None:
    queue.single(subscriber, "trade", "1")
    with lock_of(queue.queue):
        queue.queue.forked()
    queue.single(subscriber, "trade", "2")
    queue.error(subscriber, OSError("x"))

    assert queue.take() is None
    assert subscriber.skipped == {"trade": 1, ON_ERROR: 1}


def test_who_is_silent_gets_no_text_though_it_waits_already(
    queue: Bench, subscriber: Subscriber
) -> None:
    """Any thread may say so, and what waits is discarded by the thread that takes."""
    queue.single(subscriber, "trade", "1")
    queue.queue.sort()
    subscriber.silent = True

    assert taken(queue) == []
    assert subscriber.skipped == {"trade": 1}
