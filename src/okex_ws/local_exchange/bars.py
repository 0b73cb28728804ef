"""The bars of one instrument and period, from its trades. Ticks, lots, no clock."""

from __future__ import annotations

from dataclasses import dataclass

from .values import Period

# A candle that changes is pushed so often at most (v5 documentation).
LEAST_GAP = 1.0


@dataclass(slots=True)
class Bar:
    """One bar: prices in ticks, *lots* traded, and the sum of lots times ticks."""

    start: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    value: int = 0
    closed: bool = False


class Bars:
    """A bar after the other; the first begins with the first look."""

    def __init__(self, period: Period, price: int, wall: float) -> None:
        self._period = period
        self._closed: list[Bar] = []
        self._said_at = wall
        self._changed = False
        self.open = self._new(price, wall)

    def trade(self, price: int, lots: int, wall: float) -> None:
        """*lots* were traded at *price*."""
        self._roll(wall)
        bar = self.open
        bar.high, bar.low = max(bar.high, price), min(bar.low, price)
        bar.close = price
        bar.lots += lots
        bar.value += lots * price
        self._changed = True

    def said(self, wall: float) -> list[Bar]:
        """What is to be said now: every bar that has closed, and a changed open one.

        A bar closes by the clock, whether anything was traded in it or not.
        """
        self._roll(wall)
        said, self._closed = self._closed, []
        # A clock that was set back is no reason to wait.
        late = not 0 <= wall - self._said_at < LEAST_GAP
        if self._changed and late and not said:
            said = [self.open]
            self._changed = False
        if said:
            self._said_at = wall
        return said

    def _roll(self, wall: float) -> None:
        if wall < self.open.start + self._period.seconds:
            return
        self.open.closed = True
        self._closed.append(self.open)
        self.open = self._new(self.open.close, wall)
        self._changed = False

    def _new(self, price: int, wall: float) -> Bar:
        seconds, offset = self._period
        start = int((wall - offset) // seconds) * seconds + offset
        return Bar(start, price, price, price, price)
