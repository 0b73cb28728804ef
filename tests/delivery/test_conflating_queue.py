"""What waits for callbacks: in order, bounded, and of a value only the newest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.clock import utc
from okex_ws.base.state import State
from okex_ws.delivery.callback_queue import (
    BOUND,
    ON_ERROR,
    CallbackQueue,
    Lost,
    Subscriber,
    Waiting,
)
from okex_ws.model.reports import StateChange
from tests.support.internals import counted_in, waiting_in

S = State


def change(old: State, new: State) -> StateChange:
    return StateChange(old, new, "", 1, utc(0), "BTC-USDT")


LIVE = change(S.SYNCING, S.LIVE)
LOST = change(S.LIVE, S.RECONNECTING)
SYNCING = change(S.RECONNECTING, S.SYNCING)
CLOSED = change(S.LIVE, S.CLOSED)
FAILED = change(S.SYNCING, S.FAILED)


@pytest.fixture
def callback_queue() -> CallbackQueue:
    return CallbackQueue()


@pytest.fixture
def small() -> CallbackQueue:
    """For which three things wait at the most."""
    return CallbackQueue(3)


def make_subscriber() -> Subscriber:
    return Subscriber(lambda what: None)


@pytest.fixture
def subscriber() -> Subscriber:
    return make_subscriber()


def taken(callback_queue: CallbackQueue) -> list[Any]:
    """All that waits, by whom it is told to."""
    found: list[Waiting] = []
    while (waiting := callback_queue.take()) is not None:
        found.append(waiting)
    return [waiting.what for waiting in found]


def test_nothing_is_taken_where_nothing_waits(callback_queue: CallbackQueue) -> None:
    assert callback_queue.take() is None
    assert callback_queue.is_done


def test_what_came_first_is_taken_first_whoever_it_is_for(
    callback_queue: CallbackQueue,
) -> None:
    one, two = make_subscriber(), make_subscriber()
    error = OSError("x")
    callback_queue.single(one, "trade", "1")
    callback_queue.state(two, LIVE)
    callback_queue.value(two, "depth5", "2")
    callback_queue.error(one, error)
    callback_queue.single(one, "trade", "3")

    first = callback_queue.take()
    assert first is not None
    assert (first.subscriber, first.what) == (one, "1")
    assert taken(callback_queue) == [LIVE, "2", error, "3"]
    assert (one.skipped, two.skipped) == ({}, {})


def test_of_a_value_only_the_newest_waits_and_keeps_its_turn(
    callback_queue: CallbackQueue, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    callback_queue.value(subscriber, "depth5", "1")
    callback_queue.value(subscriber, "ticker", "2")
    callback_queue.value(other, "depth5", "3")
    callback_queue.single(subscriber, "trade", "4")
    callback_queue.value(subscriber, "depth5", "5")
    callback_queue.value(subscriber, "depth5", "6")

    assert taken(callback_queue) == ["6", "2", "3", "4"]
    assert subscriber.skipped == {"depth5": 2}
    assert other.skipped == {}


def test_a_value_that_was_taken_gives_way_to_nothing(
    callback_queue: CallbackQueue, subscriber: Subscriber
) -> None:
    callback_queue.value(subscriber, "depth5", "1")
    assert taken(callback_queue) == ["1"]
    callback_queue.value(subscriber, "depth5", "2")
    assert taken(callback_queue) == ["2"]
    assert subscriber.skipped == {}


def test_a_change_is_told_after_what_came_before_it_and_before_what_came_after(
    callback_queue: CallbackQueue, subscriber: Subscriber
) -> None:
    callback_queue.value(subscriber, "ticker", "1")
    callback_queue.value(subscriber, "funding_rate", "2")
    callback_queue.state(subscriber, LIVE)
    callback_queue.single(subscriber, "trade", "3")
    callback_queue.value(subscriber, "ticker", "4")
    callback_queue.single(subscriber, "trade", "5")
    callback_queue.value(subscriber, "ticker", "6")

    # The newer ticker came after the change, and keeps the turn that it has there.
    assert taken(callback_queue) == ["2", LIVE, "3", "6", "5"]


def test_a_change_of_one_subscription_orders_nothing_of_another(
    callback_queue: CallbackQueue, subscriber: Subscriber
) -> None:
    callback_queue.value(subscriber, "depth5", "1")
    callback_queue.state(make_subscriber(), LOST)
    callback_queue.value(subscriber, "depth5", "2")

    assert taken(callback_queue) == ["2", LOST]


def test_leaving_live_discards_the_values_that_wait_and_nothing_else(
    callback_queue: CallbackQueue, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    callback_queue.value(subscriber, "depth5", "1")
    callback_queue.single(subscriber, "trade", "2")
    callback_queue.value(other, "depth5", "3")
    callback_queue.value(subscriber, "ticker", "4")
    callback_queue.state(subscriber, LOST)
    callback_queue.value(subscriber, "depth5", "5")

    assert taken(callback_queue) == ["2", "3", LOST, "5"]
    assert subscriber.skipped == {"depth5": 1, "ticker": 1}


def test_beyond_the_bound_texts_are_lost_and_said_to_be_once_a_run(
    small: CallbackQueue, subscriber: Subscriber
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
    small: CallbackQueue, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    small.single(subscriber, "trade", "1")
    small.single(subscriber, "trade", "2")
    small.single(other, "trade", "3")
    small.single(subscriber, "trade", "4")
    small.single(other, "trade", "5")
    told = [small.take() for _ in range(4)]
    assert [each and each.what for each in told][3] == Lost("trade", 1)
    for text in "6789":
        small.single(subscriber, "trade", text)

    assert taken(small) == [Lost("trade", 1), "6", "7", "8", Lost("trade", 1)]


def test_the_bound_is_free_again_when_what_waited_is_taken_or_discarded(
    small: CallbackQueue, subscriber: Subscriber
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
    small: CallbackQueue, subscriber: Subscriber
) -> None:
    other = make_subscriber()
    small.state(subscriber, LIVE)
    small.state(subscriber, LOST)
    small.single(subscriber, "trade", "1")
    small.state(subscriber, SYNCING)
    small.state(subscriber, LIVE)
    small.state(other, LIVE)

    assert taken(small) == [LIVE, "1", change(S.LIVE, S.LIVE), LIVE]


def test_errors_are_never_dropped_and_past_the_bound_the_newest_is_told(
    small: CallbackQueue, subscriber: Subscriber
) -> None:
    errors = [OSError(str(number)) for number in range(5)]
    for error in errors:
        small.error(subscriber, error)
    last = OSError("of another")
    small.error(make_subscriber(), last)

    assert taken(small) == [errors[0], errors[1], errors[4], last]
    assert subscriber.skipped == {ON_ERROR: 2}


def test_who_was_closed_is_told_his_states_and_errors_and_no_message(
    small: CallbackQueue, subscriber: Subscriber
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
    callback_queue: CallbackQueue,
) -> None:
    closed, failed = make_subscriber(), make_subscriber()
    for each, final in ((closed, CLOSED), (failed, FAILED)):
        callback_queue.single(each, "trade", "1")
        callback_queue.value(each, "ticker", "2")
        callback_queue.state(each, final)
        callback_queue.single(each, "trade", "3")

    assert taken(callback_queue) == [CLOSED, "1", "2", FAILED]
    assert closed.skipped == {"trade": 2, "ticker": 1}
    assert failed.skipped == {"trade": 1}


def test_it_is_done_when_everybody_was_told_his_final_state(
    callback_queue: CallbackQueue,
) -> None:
    one, two = make_subscriber(), make_subscriber()
    callback_queue.begin(one)
    callback_queue.begin(two)
    callback_queue.state(one, CLOSED)
    assert taken(callback_queue) == [CLOSED]
    assert not callback_queue.is_done
    callback_queue.state(two, FAILED)
    assert not callback_queue.is_done
    assert taken(callback_queue) == [FAILED]
    assert callback_queue.is_done


def test_work_waits_its_turn_and_for_no_bound(
    small: CallbackQueue, subscriber: Subscriber
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


@given(STEPS, st.integers(1, 5))
def test_every_message_is_told_in_order_or_counted(
    steps: list[tuple[int, str]], bound: int
) -> None:
    """An empty name takes what is next; all else is put, and told by its number."""
    callback_queue, subscribers = (
        CallbackQueue(bound),
        [make_subscriber() for _ in range(SUBSCRIBERS)],
    )
    states = [S.CONNECTING] * SUBSCRIBERS
    put: list[dict[str, int]] = [{} for _ in subscribers]
    got: list[Waiting] = []

    for number, (place, name) in enumerate(steps):
        subscriber = subscribers[place]
        put[place][name] = put[place].get(name, 0) + 1
        if name in ("trade", "candle"):
            callback_queue.single(subscriber, name, str(number))
        elif name in ("depth5", "ticker"):
            callback_queue.value(subscriber, name, str(number))
        elif name == "error":
            callback_queue.error(subscriber, OSError(number))
        elif name == "state":
            new = S.STALE if states[place] is S.LIVE else S.LIVE
            callback_queue.state(subscriber, change(states[place], new))
            states[place] = new
        elif (waiting := callback_queue.take()) is not None:
            got.append(waiting)
        # What grows without a bound is nothing.
        assert (
            len(waiting_in(callback_queue))
            <= bound + SUBSCRIBERS * (2 + 2 + 2) + SUBSCRIBERS
        )
    while (waiting := callback_queue.take()) is not None:
        got.append(waiting)

    assert counted_in(callback_queue) == 0
    for place, subscriber in enumerate(subscribers):
        mine = [waiting for waiting in got if waiting.subscriber is subscriber]
        assert not subscriber.texts
        assert not subscriber.slots
        lost = {"trade": 0, "candle": 0}
        for topic in ("trade", "candle", "depth5", "ticker"):
            texts = [each.what for each in mine if each.topic == topic]
            told = [int(text) for text in texts if isinstance(text, str)]
            assert told == sorted(told)
            skipped = subscriber.skipped.get(topic, 0)
            assert len(told) + skipped == put[place].get(topic, 0)
            if topic in lost:
                runs = [each for each in texts if isinstance(each, Lost)]
                assert sum(run.count for run in runs) == skipped
        errors = [each for each in mine if isinstance(each.what, OSError)]
        skipped = subscriber.skipped.get(ON_ERROR, 0)
        assert len(errors) + skipped == put[place].get("error", 0)
        # The states are a chain without a break, whatever was put together.
        changes = [w.what for w in mine if isinstance(w.what, StateChange)]
        state = S.CONNECTING
        for each in changes:
            assert each.old is state
            state = each.new
        assert state is states[place]
