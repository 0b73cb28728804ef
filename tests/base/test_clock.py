"""The clocks of the machine, and the times that a user sees."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

from okex_ws.base.clock import SystemClock, utc


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
