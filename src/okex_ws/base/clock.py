"""The clocks that the library reads: real, injected, or in virtual time.

Everywhere in the library a duration is ``float`` seconds, and an argument ``now`` is a
reading of the monotonic clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """The clocks of a feed: a monotonic clock for durations, a wall clock for dates.

    The wall clock may be set at any time, so durations and deadlines are taken from the
    monotonic clock. The wall clock is compared with the exchange's timestamps, and with
    the monotonic clock, to notice that the machine was suspended. A feed takes its
    clock as an argument, so that tests and replays can set the time. Any thread calls
    it, and calls may overlap.
    """

    def monotonic(self) -> float:
        """Seconds that never decrease, from an arbitrary start."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 in UTC, as the machine's clock is set."""
        ...


class SystemClock:
    """The machine's own clocks, `time.monotonic` and `time.time`: a feed's default."""

    # Not methods, which would cost one more call for every message and every read.
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


@runtime_checkable
class Timekeeper(Protocol):
    """A `Clock` in virtual time, which advances only while the script waits.

    A replay in virtual time uses one, so that a recorded hour is played in seconds: a
    thread or coroutine that has to wait calls `pass_time` instead of blocking.
    """

    def pass_time(self, seconds: float, /) -> object:
        """Advance the clock by *seconds* at the most."""
        ...


@runtime_checkable
class Paced(Protocol):
    """A `Clock` that runs *speed* times as fast as the machine's: that of a replay."""

    speed: float


# Epoch seconds as an aware UTC ``datetime``. No function, since each read calls it.
utc: Callable[[float], datetime] = partial(datetime.fromtimestamp, tz=timezone.utc)
