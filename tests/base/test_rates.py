"""Rate limits in virtual time: a budget, a token bucket, turns at one host."""

from __future__ import annotations

import math
import sys
import threading
from types import FrameType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base import rates
from okex_ws.base.rates import RateLimit, RateLimits
from tests.support.internals import lock_of

HOUR = 3600.0


def test_a_budget_is_spent_by_the_number_and_comes_back_by_the_hour() -> None:
    budget = RateLimit(2, HOUR)
    assert (budget.outlook(0), budget.ready_at(0)) == ((2, 0), 0)
    budget.spend(0)
    assert (budget.outlook(5), budget.ready_at(5)) == ((1, 0), 5)
    budget.spend(10)
    assert (budget.outlook(11), budget.ready_at(11)) == ((0, HOUR - 11), HOUR)
    just_before = math.nextafter(HOUR, 0)
    assert budget.ready_at(just_before) == HOUR
    assert budget.outlook(just_before) == (0, HOUR - just_before)
    assert (budget.outlook(HOUR), budget.ready_at(HOUR)) == ((1, 0), HOUR)
    budget.spend(HOUR)
    assert budget.ready_at(HOUR) == HOUR + 10


def test_looking_at_a_budget_forgets_nothing() -> None:
    """Any thread may; only its own thread may change it."""
    budget = RateLimit(1, HOUR)
    budget.spend(0)

    assert budget.outlook(2 * HOUR) == (1, 0)
    assert budget.outlook(60) == (0, HOUR - 60)


def test_a_limit_can_be_looked_at_while_it_is_spent() -> None:
    budget, wrong = RateLimit(100_000, HOUR), list[object]()
    spender = threading.Thread(target=lambda: [budget.spend(0) for _ in range(2000)])
    spender.start()
    while spender.is_alive():
        left, wait = budget.outlook(1)
        if not (98_000 <= left <= 100_000 and wait == 0):
            wrong.append((left, wait))
    spender.join(10)

    assert not wrong
    assert budget.outlook(1) == (98_000, 0)


def test_a_limit_may_change_and_what_was_spent_counts() -> None:
    rate = RateLimit(3, 10.0)
    for now in (0, 1, 2):
        assert rate.take(now) == now
    rate.limit = 1

    assert rate.ready_at(5) == 12
    assert rate.outlook(5) == (0, 7)


def test_nothing_is_allowed_while_the_exchange_holds_it() -> None:
    rate = RateLimit(2, 10.0)
    rate.hold(15.0)
    rate.hold(12.0)

    assert rate.take(10.0) == 15.0
    assert rate.outlook(10.0) == (2, 5.0)
    assert rate.take(15.0) == 15.0


@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 1000, allow_nan=False), max_size=40),
)
def test_no_period_ever_holds_more_than_the_limit(
    limit: int, moments: list[float]
) -> None:
    budget, sent = RateLimit(limit, 100.0), list[float]()
    for moment in sorted(moments):
        if budget.ready_at(moment) <= moment:
            assert budget.outlook(moment)[0] > 0
            budget.spend(moment)
            sent.append(moment)
        else:
            wait = budget.ready_at(moment) - moment
            assert budget.outlook(moment) == (0, wait)
    for moment in sent:
        assert len([s for s in sent if moment <= s < moment + 100.0]) <= limit


def test_a_bucket_gives_a_burst_and_then_one_at_a_time() -> None:
    bucket = RateLimit(2, 60.0, in_turn=True)
    for _ in range(2):
        assert bucket.ready_at(10) == 10
        bucket.spend(10)
    assert bucket.ready_at(11) == bucket.ready_at(69) == 70
    bucket.spend(70)
    assert bucket.ready_at(70) == 130
    # It fills up, and never holds more than the burst.
    for _ in range(2):
        assert bucket.ready_at(10_000) == 10_000
        bucket.spend(10_000)
    assert bucket.ready_at(10_000) == 10_060


@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 1000, allow_nan=False), max_size=60),
)
def test_no_stretch_of_time_takes_more_than_a_bucket_and_what_flows_in(
    burst: int, moments: list[float]
) -> None:
    bucket, gone = RateLimit(burst, 50.0, in_turn=True), list[float]()
    for moment in sorted(moments):
        if bucket.ready_at(moment) <= moment:
            bucket.spend(moment)
            gone.append(moment)
    for n, first in enumerate(gone):
        for m, last in enumerate(gone[n:], 1):
            assert m <= burst + (last - first) / 50.0 + 1e-6


def test_turns_at_one_host_are_a_gap_apart() -> None:
    gaps = RateLimits()
    assert gaps.take("a", 1, 1.0, 5.0) == 5.0
    # Who comes too early is told when to come again, and takes nothing by asking.
    assert [gaps.take("a", 1, 1.0, 5.0 + n / 10) for n in range(10)] == [6.0] * 10
    assert gaps.take("b", 1, 1.0, 5.0) == 5.0
    assert gaps.take("a", 1, 1.0, 6.0) == 6.0
    assert gaps.take("a", 1, 1.0, 100.0) == 100.0


def test_the_gap_is_that_of_the_attempt_before() -> None:
    gaps = RateLimits()
    gaps.take("a", 1, 3.0, 5.0)

    assert gaps.take("a", 1, 0.0, 6.0) == 8.0
    assert gaps.take("a", 1, 0.0, 8.0) == 8.0
    assert gaps.take("a", 1, 3.0, 8.0) == 8.0


def test_the_wait_for_a_turn_is_known_and_asking_for_it_takes_none() -> None:
    gaps = RateLimits()
    assert gaps.wait("a", 5.0) == 0.0
    assert gaps.take("a", 1, 1.0, 5.0) == 5.0

    assert [gaps.wait("a", now) for now in (5.0, 5.75, 6.0, 100.0)] == [1, 0.25, 0, 0]
    assert gaps.wait("b", 5.0) == 0.0
    assert gaps.take("a", 1, 1.0, 6.0) == 6.0


def test_each_key_has_a_limit_and_a_hold_of_its_own() -> None:
    limits = RateLimits()
    assert [limits.take("a", 3, 2.0, 10.0 + n / 10) for n in range(3)] == [
        *(10.0, 10.1, 10.2)
    ]
    limits.hold("b", 15.0)

    assert limits.take("a", 3, 2.0, 10.5) == 12.0
    assert limits.take("b", 3, 2.0, 10.5) == 15.0
    assert limits.take("c", 3, 2.0, 10.5) == 10.5
    assert limits.take("a", 4, 2.0, 10.5) == 10.5


def test_turns_are_given_out_once_to_many_threads() -> None:
    gaps, turns = RateLimits(), list[float]()

    def take() -> None:
        now = 0.0
        for _ in range(50):
            while (turn := gaps.take("a", 1, 1.0, now)) > now:
                now = turn
            turns.append(now)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    # Each thread has a clock of its own, so a turn may be late, but never doubled.
    assert len(turns) == len(set(turns)) == 200


def test_a_signal_handler_may_ask_at_any_point() -> None:
    """It runs on the thread that it interrupts, which may hold the lock."""
    gaps, answers = RateLimits(), list[float]()

    def interrupted(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line" and frame.f_code.co_filename == rates.__file__:
            sys.settrace(None)
            answers.append(gaps.take("a", 1, 1.0, 5.0))
            sys.settrace(interrupted)
        return interrupted

    before = sys.gettrace()
    sys.settrace(interrupted)
    try:
        gaps.take("a", 1, 1.0, 5.0)
    finally:
        sys.settrace(before)

    assert len(answers) > 5
    assert gaps.wait("a", 5.0) == 1.0


def test_after_a_fork_turns_are_given_out_whoever_held_the_lock() -> None:
    gaps = RateLimits()
    holder = threading.Thread(target=lock_of(gaps).acquire)
    holder.start()
    holder.join(10)
    gaps.forked()

    assert gaps.take("a", 1, 1.0, 0.0) == 0.0
