"""Clock, back-off and budgets, in virtual time."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.clock import SystemClock, utc
from okex_ws.base.rates import Bucket, Budget, HostGap
from okex_ws.base.retry import Ping, Reconnect, Timeouts, backoff, doubled
from tests.support.internals import lock_of, set_spent, spent_of

HOUR = 3600.0


def test_the_system_clock_is_the_machines_own() -> None:
    clock = SystemClock()
    before = time.monotonic(), time.time()
    read = clock.monotonic(), clock.wall()
    after = time.monotonic(), time.time()
    assert before[0] <= read[0] <= after[0]
    # The wall clock may be set meanwhile; it is still the same clock.
    assert abs(read[1] - before[1]) < 3600


def test_a_time_that_a_user_sees_is_aware_and_in_utc() -> None:
    moment = utc(1645747201.032)
    assert moment == datetime(2022, 2, 25, 0, 0, 1, 32000, timezone.utc)
    assert moment.utcoffset() == timedelta(0)


def test_the_time_outs_are_those_of_the_design() -> None:
    assert Timeouts() == Timeouts(connect=10, ack=10, pong=10, first_push=10)


@pytest.mark.parametrize(
    ("interval", "probe", "period", "lease"),
    [
        (30.0, 5.0, 5.0, 5.0),
        (30.0, None, 25.0, 30.0),
        (10.0, None, 5.0, 10.0),
        (30.0, 0.5, 0.5, 0.5),
        # A probe never delays the keep-alive, which goes out five seconds early.
        (30.0, 25.0, 25.0, 25.0),
        (30.0, 30.0, 25.0, 30.0),
        (10.0, 7.0, 5.0, 7.0),
    ],
)
def test_a_ping_goes_out_every_probe_or_early_for_the_keep_alive(
    interval: float, probe: float | None, period: float, lease: float
) -> None:
    ping = Ping(interval, probe)
    assert (ping.period, ping.lease) == (period, lease)


@pytest.mark.parametrize("interval", [9.99, 30.01, math.nan, math.inf, -1])
def test_a_keep_alive_outside_the_exchanges_rule_is_a_value_error(
    interval: float,
) -> None:
    with pytest.raises(ValueError, match="ping_interval is 10 to 30 seconds"):
        Ping(interval)


@pytest.mark.parametrize("probe", [0, -1, 30.01, math.nan])
def test_a_probe_that_never_or_too_late_comes_is_a_value_error(probe: float) -> None:
    with pytest.raises(ValueError, match="probe_interval is None or more than 0"):
        Ping(30.0, probe)


@pytest.mark.parametrize(
    "keywords",
    [
        {"first": 0},
        {"first": -1},
        {"first": 2, "cap": 1},
        {"first": math.nan},
        {"cap": math.nan},
        {"healthy_after": -1},
        {"host_gap": -0.1},
    ],
)
def test_a_reconnect_that_cannot_be_is_a_value_error(
    keywords: dict[str, float],
) -> None:
    with pytest.raises(ValueError, match=r"reconnect needs|number of seconds"):
        Reconnect(**keywords)


def test_a_reconnect_may_have_no_gap_and_any_patience() -> None:
    assert Reconnect(host_gap=0.0).host_gap == 0.0
    assert Reconnect(first=1, cap=1, healthy_after=0).cap == 1


class _Ceiling(random.Random):
    """Draws the highest, so that the ceiling shows."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0.0
        return b


def test_the_ceiling_of_the_back_off_doubles_up_to_the_cap() -> None:
    waits = backoff(0.5, 3.0, _Ceiling())
    assert list(itertools.islice(waits, 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_jitter_is_full_and_stays_at_the_cap() -> None:
    waits = list(itertools.islice(backoff(1.0, 2.0, random.Random(7)), 1000))
    later = waits[1:]
    assert 0 <= waits[0] <= 1
    assert min(later) < 0.1
    assert max(later) > 1.9
    assert all(0 <= wait <= 2 for wait in later)


def test_the_back_off_draws_for_itself_unless_told() -> None:
    assert 0 <= next(backoff(1.0, 2.0)) <= 1


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(0, 1.5), (1, 3.0), (2, 6.0), (5, 48.0), (6, 60.0), (99, 60.0)],
)
def test_a_wait_is_doubled_by_each_attempt_up_to_the_cap(
    attempts: int, wait: float
) -> None:
    assert doubled(1.5, attempts, 60.0) == wait


def test_a_wait_is_a_number_after_any_number_of_attempts() -> None:
    assert doubled(1.0, 10**9, math.inf) == 2.0**20
    assert doubled(10.0, 0, 5.0) == 5.0
    assert doubled(0.0, 10**9, 600.0) == 0.0


def test_a_budget_is_spent_by_the_number_and_comes_back_by_the_hour() -> None:
    budget = Budget(2, HOUR)
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
    budget = Budget(1, HOUR)
    budget.spend(0)

    assert budget.outlook(2 * HOUR) == (1, 0)
    assert budget.outlook(60) == (0, HOUR - 60)


def test_a_budget_can_be_looked_at_while_it_is_spent() -> None:
    budget = Budget(2, HOUR)
    budget.spend(0)
    spent = _Moving(spent_of(budget))
    set_spent(budget, spent)

    assert budget.outlook(1) == (1, 0)
    assert spent.reads == 2


class _Moving(deque[float]):
    """Is appended to while it is read, the first time."""

    reads = 0

    def __iter__(self) -> Iterator[float]:
        self.reads += 1
        if self.reads == 1:
            raise RuntimeError("deque mutated during iteration")
        return super().__iter__()


@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 1000, allow_nan=False), max_size=40),
)
def test_no_period_ever_holds_more_than_the_limit(
    limit: int, moments: list[float]
) -> None:
    budget, sent = Budget(limit, 100.0), list[float]()
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
    bucket = Bucket(2, 60.0)
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
    bucket, gone = Bucket(burst, 50.0), list[float]()
    for moment in sorted(moments):
        if bucket.ready_at(moment) <= moment:
            bucket.spend(moment)
            gone.append(moment)
    for n, first in enumerate(gone):
        for m, last in enumerate(gone[n:], 1):
            assert m <= burst + (last - first) / 50.0 + 1e-6


def test_turns_at_one_host_are_a_gap_apart() -> None:
    gaps = HostGap()
    assert gaps.take("a", 1.0, 5.0) is None
    # Who comes too early is told when to come again, and takes nothing by asking.
    assert [gaps.take("a", 1.0, 5.0 + n / 10) for n in range(10)] == [6.0] * 10
    assert gaps.take("b", 1.0, 5.0) is None
    assert gaps.take("a", 1.0, 6.0) is None
    assert gaps.take("a", 1.0, 100.0) is None


def test_the_wait_for_a_turn_is_known_and_asking_for_it_takes_none() -> None:
    gaps = HostGap()
    assert gaps.wait("a", 5.0) == 0.0
    assert gaps.take("a", 1.0, 5.0) is None

    assert [gaps.wait("a", now) for now in (5.0, 5.75, 6.0, 100.0)] == [1, 0.25, 0, 0]
    assert gaps.wait("b", 5.0) == 0.0
    assert gaps.take("a", 1.0, 6.0) is None


def test_turns_are_given_out_once_to_many_threads() -> None:
    gaps, turns = HostGap(), list[float]()

    def take() -> None:
        now = 0.0
        for _ in range(50):
            while (turn := gaps.take("a", 1.0, now)) is not None:
                now = turn
            turns.append(now)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    # Each thread has a clock of its own, so a turn may be late, but never doubled.
    assert len(turns) == len(set(turns)) == 200


def test_after_a_fork_turns_are_given_out_whoever_held_the_lock() -> None:
    gaps = HostGap()
    lock_of(gaps).acquire()
    gaps.forked()
    assert gaps.take("a", 1.0, 0.0) is None
