"""Clock, back-off and budgets. Nothing here sleeps or waits.

Every duration is ``float`` seconds; ``now`` is the monotonic clock's reading.
"""

from __future__ import annotations

import threading
import time
from datetime import datetime, timezone
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """Two clocks: one that only runs forward, one that people and exchanges use."""

    def monotonic(self) -> float:
        """Seconds that only grow; comparable with each other alone."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 in UTC, as the machine believes."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # Bound once: these two are called for every message and every read.
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


@runtime_checkable
class Timekeeper(Protocol):
    """What a `Clock` may be beside: one that stands while nobody waits."""

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        """Let so much time pass, or less; *changed* is held, but not meanwhile."""
        ...


def wait_on(clock: Clock, changed: threading.Condition, seconds: float) -> None:
    """Wait on a condition that is held, for *seconds* of *clock* at the most."""
    if isinstance(clock, Timekeeper):
        clock.wait(changed, seconds)
    else:
        changed.wait(seconds)


def utc(seconds: float) -> datetime:
    """Epoch seconds as an aware UTC ``datetime``."""
    return datetime.fromtimestamp(seconds, timezone.utc)
