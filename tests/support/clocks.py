"""Virtual time: a clock that stands still until a test moves it."""

from __future__ import annotations

# A moment of 2023 on the wall; the two clocks have nothing to do with each other.
WALL = 1_700_000_000.0


class FakeClock:
    """Both clocks at the test's command; *wall* may be stepped by itself."""

    def __init__(self, now: float = 1000.0, wall: float = WALL) -> None:
        self.now = now
        self.offset = wall - now

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.now += seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock, as NTP or an operator does."""
        self.offset += seconds
