"""The candles of one instrument, and a made-up past of candles and trades. No clock.

Prices are whole ticks, and sizes whole lots.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import NamedTuple

from ..wire.values import Period

# Seconds between two pushes of a changing candle, at least (v5 documentation).
LEAST_GAP = 1.0
# How many closed bars are kept, and how many may end between two calls. If more end,
# the builder starts anew and drops the bars that it kept.
KEPT, MOST_UNSEEN = 5000, 1000


@dataclass(slots=True)
class Bar:
    """One bar (a candle, as whole numbers): prices in ticks, sizes in lots.

    *start* is in epoch seconds. *value* is the sum of its trades, lots times ticks.
    """

    start: int
    open: int
    high: int
    low: int
    close: int
    lots: int = 0
    value: int = 0
    closed: bool = False


class BarBuilder:
    """Builds the bars of one instrument and period, one after the other.

    A bar closes by the clock, also without a trade. *first* is the bar with which the
    builder started. *kept* has the closed bars from *first* on, oldest first, 5,000 at
    most; *is_whole* is whether none of them had to be dropped. After more than 1,000
    bars without a call it starts anew. The exchange's event loop calls it.
    """

    def __init__(self, period: Period, price: int, wall: float) -> None:
        self._period = period
        self._closed: list[Bar] = []
        self._said_at = wall
        self._changed = False
        self.open = self._new(price, wall)
        self.first = self.open
        self.kept: deque[Bar] = deque(maxlen=KEPT)
        self.is_whole = True

    def trade(self, price: int, lots: int, wall: float) -> None:
        """Add a trade of *lots* at *price* to the open bar."""
        self._roll(wall)
        bar = self.open
        bar.high, bar.low = max(bar.high, price), min(bar.low, price)
        bar.close = price
        bar.lots += lots
        bar.value += lots * price
        self._changed = True

    def said(self, wall: float) -> list[Bar]:
        """The bars to publish now: those that closed, else the open one if it changed.

        The open bar is published again after `LEAST_GAP` at the earliest. A bar closes
        by the clock, with or without a trade in it.
        """
        self._roll(wall)
        said, self._closed = self._closed, []
        # If the clock was set back, the open bar does not wait for it.
        late = not 0 <= wall - self._said_at < LEAST_GAP
        if self._changed and late and not said:
            said = [self.open]
            self._changed = False
        if said:
            self._said_at = wall
        return said

    def closed(self, wall: float) -> list[Bar]:
        """The closed bars that are kept, newest first."""
        self._roll(wall)
        return list(reversed(self.kept))

    def _roll(self, wall: float) -> None:
        seconds = self._period.seconds
        passed = int((wall - self.open.start) // seconds)
        if passed > MOST_UNSEEN:
            self._close(self._new(self.open.close, wall))
            self.kept.clear()
            self.first, self.is_whole = self.open, True
            return
        for _ in range(passed):
            start, price = self.open.start + seconds, self.open.close
            self._close(Bar(start, price, price, price, price))

    def _close(self, following: Bar) -> None:
        self.open.closed, self._changed = True, False
        self._closed.append(self.open)
        self.is_whole = self.is_whole and len(self.kept) < KEPT
        self.kept.append(self.open)
        self.open = following

    def _new(self, price: int, wall: float) -> Bar:
        seconds, offset = self._period
        start = int((wall - offset) // seconds) * seconds + offset
        return Bar(start, price, price, price, price)


# How long the made-up past is: this many trades, and this many bars of a period.
TRADES, BARS = 1000, 3000

# The lowest and the highest price that is made up, in ticks.
Bounds = tuple[int, float]
ANY: Bounds = (1, math.inf)


class Match(NamedTuple):
    """A taker's order meets a resting one: *price* in ticks, its size in *lots*.

    *side* is the taker's, and *seq* the number of the book's last change then. *rpi* is
    whether the resting order was of retail price improvement.
    """

    id: int
    price: int
    lots: int
    side: str
    at: float
    seq: int
    rpi: bool = False


def trades_before(first: Match, name: str, bounds: Bounds = ANY) -> list[Match]:
    """Make up the trades before the *first*, newest first; *name* is the seed.

    No price is outside *bounds*.
    """
    made = _trades(first, random.Random(f"{name}/past"), bounds)
    return list(islice(made, TRADES))


def _trades(later: Match, rng: random.Random, bounds: Bounds) -> Iterator[Match]:
    lowest, highest = bounds
    while later.id > 1:
        price = int(min(highest, max(lowest, later.price + rng.randint(-3, 3))))
        lots, side = 1 + int(rng.expovariate(0.05)), rng.choice(("buy", "sell"))
        at = later.at - rng.uniform(0.01, 2.0)
        seq = max(1, later.seq - rng.randint(1, 9))
        later = Match(later.id - 1, price, lots, side, at, seq)
        yield later


def bars_before(first: Bar, seconds: int, name: str, bounds: Bounds = ANY) -> list[Bar]:
    """Make up the closed bars before the *first*, newest first; *name* is the seed.

    No price is outside *bounds*.
    """
    made = _bars(first, seconds, random.Random(f"{name}/past"), bounds)
    return list(islice(made, BARS))


def _bars(
    later: Bar, seconds: int, rng: random.Random, bounds: Bounds
) -> Iterator[Bar]:
    (lowest, highest), close = bounds, later.open
    for ago in count(1):
        first = int(min(highest, max(lowest + 1, close + rng.randint(-5, 5))))
        high = int(min(highest, max(first, close) + rng.randint(0, 3)))
        low = max(lowest, min(first, close) - rng.randint(0, 3))
        lots = rng.randint(0, 500)
        start = later.start - ago * seconds
        yield Bar(start, first, high, low, close, lots, lots * close, closed=True)
        close = first
