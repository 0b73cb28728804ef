"""The clocks of a replay show what the recording machine's showed."""

from __future__ import annotations

import pytest

from okex_ws.base.threads import Waiters
from okex_ws.replay.script import Moment
from okex_ws.replay.virtual_time import RecordedClock, ScaledClock, VirtualClock
from tests.support.clocks import FakeClock

# The wall clock was set back between the second and the third.
MOMENTS = [Moment(10.0, 1000.1), Moment(12.0, 1002.1), Moment(14.0, 954.0)]


def test_the_wall_is_at_each_moment_exactly_what_it_was() -> None:
    clock = RecordedClock(MOMENTS, 10.0)
    for moment in MOMENTS:
        clock.now = moment.mono
        assert clock.monotonic() == moment.mono
        assert clock.wall() == moment.wall


@pytest.mark.parametrize(
    ("now", "wall"), [(9.0, 999.1), (11.5, 1001.6), (13.5, 1003.6), (20.0, 960.0)]
)
def test_between_two_it_goes_on_from_the_one_before(now: float, wall: float) -> None:
    assert RecordedClock(MOMENTS, now).wall() == pytest.approx(wall)


def test_a_scaled_one_stands_until_it_is_started_and_then_runs_faster() -> None:
    machine = FakeClock()
    clock = ScaledClock(MOMENTS, 10.0, 4.0, machine.monotonic)
    machine.advance(5.0)
    assert clock.monotonic() == 10.0

    clock.start()
    machine.advance(0.5)
    clock.start()

    assert clock.monotonic() == 12.0
    assert clock.wall() == 1002.1


def test_who_waits_by_a_virtual_one_lets_time_pass_unless_it_is_done() -> None:
    clock, passed = VirtualClock(MOMENTS, 10.0), list[float]()
    clock.pass_time = passed.append
    waiters = Waiters(clock)

    waiters.wait(2.0, lambda: False)
    waiters.wait(3.0, lambda: True)

    assert passed == [2.0]
