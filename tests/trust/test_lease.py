"""A lease ends in time, or when a clock jumps; lag is free of the clocks' offset."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.trust.lease import MAX_CLOCK_JUMP, Era, Lease

NOW, OFFSET = 1000.0, 1_700_000_000.0
LEASE = Lease(NOW, OFFSET)


def test_a_lease_holds_until_the_very_moment_that_it_ends() -> None:
    just_before = math.nextafter(NOW, 0)

    assert LEASE.holds(just_before, just_before + OFFSET)
    assert not LEASE.holds(NOW, NOW + OFFSET)


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_lease_holds_while_its_two_clocks_do_not_jump(sign: int) -> None:
    """A set clock moves the wall one; a suspended machine holds the monotonic one."""
    now = NOW - 10.0
    drifted = now + OFFSET + sign * MAX_CLOCK_JUMP

    assert LEASE.holds(now, drifted)
    assert not LEASE.holds(now, drifted + sign * 0.001)


def test_a_new_link_was_heard_and_has_no_lease_and_no_proof() -> None:
    link = Era(NOW)

    assert (link.heard, link.lease, link.lost) == (NOW, None, False)
    assert link.proven == -math.inf


def test_lag_is_later_than_the_best_so_that_the_clocks_offset_cancels() -> None:
    over = Era(0.0)
    assert over.lag(-3000.0, 0) == 0
    assert over.lag(-2999.5, 1) == 0.5
    assert over.lag(-3000.25, 2) == 0
    assert over.lag(-3000.0, 3) == 0.25


def test_the_best_delay_is_forgotten_after_ten_minutes() -> None:
    over = Era(0.0)
    over.lag(0.125, 0)
    for minute in range(1, 10):
        assert over.lag(1.0, minute * 60) == 0.875
    assert over.lag(1.0, 599.9) == 0.875
    assert over.lag(1.0, 600) == 0


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(-5, 5)), max_size=80))
def test_no_lag_is_negative_and_the_memory_is_ten_minutes(
    steps: list[tuple[float, float]],
) -> None:
    over, now, seen = Era(0.0), 0.0, list[tuple[float, float]]()
    for step, delay in steps:
        now += step
        seen.append((now, delay))
        lag = over.lag(delay, now)
        assert lag >= 0
        # Minutes are kept whole: the window is nine minutes at least, ten at most.
        assert lag >= delay - min(d for at, d in seen if at > now - 540)
        assert lag <= delay - min(d for at, d in seen if at > now - 600)
