"""A lease ends in time, or when a clock jumps; lag is free of the clocks' offset."""

from __future__ import annotations

import math
import threading
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import State
from okex_ws.trust.lease import MAX_CLOCK_JUMP, NOTHING, Era, Lease
from tests.support.causes import because

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


def test_a_new_era_was_heard_and_has_no_lease_and_no_proof() -> None:
    era = Era(NOW)

    assert (era.heard, era.lease, era.lost) == (NOW, None, False)
    assert era.proven == -math.inf


# --- What an era withdraws ------------------------------------------------------------
WHY = because("a fault")


class Published(NamedTuple):
    """The part of a value that a mark needs."""

    serial: int
    state: State = State.LIVE


class Channel:
    """A channel, as an era marks it."""

    def __init__(self, serial: int) -> None:
        self.current = Published(serial)


def test_several_channels_are_withdrawn_in_one_store() -> None:
    era, one, other, third = Era(NOW), Channel(3), Channel(7), Channel(1)
    before = era.withdrawn

    era.withdraw([one, other], WHY)

    assert era.withdrawn == {one: 3, other: 7}
    # A reader that took the marks of before has them unchanged.
    assert dict(before) == {}
    era.withdraw([third], WHY)
    assert era.withdrawn == {one: 3, other: 7, third: 1}
    assert not era.lost


def test_a_channel_without_a_value_leaves_no_mark_for_the_life_of_the_era() -> None:
    era, one, empty = Era(NOW), Channel(3), Channel(7)
    empty.current = Published(7, State.CONNECTING)

    era.withdraw([empty], WHY)
    assert era.withdrawn is NOTHING

    era.withdraw([one, empty], WHY)
    assert era.withdrawn == {one: 3}


def test_a_mark_grows_with_the_value_and_is_never_removed() -> None:
    era, one = Era(NOW), Channel(3)
    era.withdraw([one], WHY)
    era.settle()
    one.current = Published(4)
    assert era.withdrawn == {one: 3}
    era.withdraw([one], WHY)
    assert era.withdrawn == {one: 4}
    era.renew(Lease(NOW + 9, OFFSET), NOW)
    assert era.withdrawn == {one: 4}


def test_a_lost_era_has_withdrawn_every_serial_of_every_channel_for_good() -> None:
    era, one = Era(NOW), Channel(3)
    era.withdraw([one], WHY)

    era.lose(because("the line was cut"))
    era.withdraw([one], WHY)
    era.lose()

    assert era.lost
    assert str(era.cause) == "the line was cut"
    for channel in (one, Channel(0), None):
        assert era.withdrawn.get(channel, -1) == math.inf


def test_a_lease_is_granted_after_what_it_proves() -> None:
    """Whoever sees the lease sees the proof; the lapses are in the lease itself."""
    era = Era(NOW)
    era.renew(Lease(NOW + 9, OFFSET, 2), NOW - 1)

    assert (era.proven, era.lapses) == (NOW - 1, 2)
    assert (era.lease, Era(NOW).lapses) == (Lease(NOW + 9, OFFSET, 2), 0)


def test_an_era_runs_while_the_thread_that_made_it_lives() -> None:
    made: list[Era] = []
    thread = threading.Thread(target=lambda: made.append(Era(NOW)))
    thread.start()
    thread.join()

    assert Era(NOW).runs()
    assert made[0].runs() is None


# --- Lag ------------------------------------------------------------------------------


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
