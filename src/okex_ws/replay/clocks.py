"""The two clocks of a recording: one that is set, one that is the machine's, faster.

Both show the wall clock that was recorded: at each recorded moment exactly that.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Sequence

from .script import Moment


class RecordedClock:
    """A clock that stands at *now* (of the recording's monotonic clock) until moved."""

    def __init__(self, moments: Sequence[Moment], now: float) -> None:
        self._moments = moments
        self.now = now

    def monotonic(self) -> float:
        """Seconds of the clock of the machine that recorded."""
        return self.now

    def wall(self) -> float:
        """Epoch seconds, as that machine believed."""
        now = self.monotonic()
        place = bisect.bisect_right(self._moments, now, key=lambda each: each.mono)
        mono, wall = self._moments[max(0, place - 1)]
        return wall + (now - mono)


class VirtualClock(RecordedClock):
    """One that only `pass_time` moves: time passes where somebody waits for it."""

    # Lets at most so many seconds pass; set by whoever moves the clock.
    pass_time: Callable[[float], object]

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        """See `timing.Timekeeper`."""
        changed.release()
        try:
            self.pass_time(seconds)
        finally:
            changed.acquire()


class ScaledClock(RecordedClock):
    """One that runs *speed* times as fast as the machine's, from `start` on."""

    def __init__(
        self,
        moments: Sequence[Moment],
        now: float,
        speed: float,
        machine: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(moments, now)
        self.speed = speed
        self._machine = machine
        self._started: float | None = None

    def start(self) -> None:
        """Run, from now on."""
        if self._started is None:
            self._started = self._machine()

    def monotonic(self) -> float:
        """Seconds of the clock of the machine that recorded."""
        if self._started is None:
            return self.now
        return self.now + (self._machine() - self._started) * self.speed
