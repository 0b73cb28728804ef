"""Rate limits in virtual time: a budget, a token bucket, turns at one host."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.rates import Bucket, Budget, HostGap
from tests.support.internals import lock_of, set_spent, spent_of

HOUR = 3600.0


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
