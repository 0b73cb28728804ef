"""Virtual time: a clock that stands still until a test moves it."""

from __future__ import annotations

from collections.abc import Callable

# The wall clock begins in 2023; the monotonic clock is independent of it.
WALL = 1_700_000_000.0


class FakeClock:
    """A monotonic and a wall clock that stand still until a test moves them.

    A test may replace *look*, which each look at the monotonic clock calls.
    """

    def __init__(self, now: float = 1000.0, wall: float = WALL) -> None:
        self.now = now
        self.offset = wall - now
        self.look: Callable[[], float] = lambda: self.now

    def monotonic(self) -> float:
        return self.look()

    def wall(self) -> float:
        return self.now + self.offset

    def advance(self, seconds: float) -> None:
        """Let *seconds* pass on both clocks."""
        self.now += seconds

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock by *seconds*, as NTP or an operator does."""
        self.offset += seconds
