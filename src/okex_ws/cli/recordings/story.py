"""The data for a picture of a recording, collected item by item. It draws nothing.

Of the book only as many samples are kept as a picture can show: the first of each of
`SAMPLES` equal spans of time, and none while the book could not be trusted.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from ... import BookUpdate, Cause, Depth, Gap, Item, Level, State, StateChange, Trade

SAMPLES = 2000
# Levels of a side whose sizes are added up, and trades that are drawn: the largest.
_LEVELS = 100
_TRADES = 4000
# Each recording begins without a price. If that takes less than 1/50 of its time, the
# picture tells no cause.
_BEGINNING = 50

# Levels of a side, best first: the price, and the total size up to it.
CumulativeSide = tuple[tuple[float, float], ...]


class Sample(NamedTuple):
    """The book at one moment."""

    at: datetime
    bids: CumulativeSide
    asks: CumulativeSide


@dataclass(slots=True)
class OutageSpan:
    """A span of time without a price, from *begins* to *ends*.

    *state* and *cause* are those of its beginning.
    """

    begins: datetime
    ends: datetime
    state: State
    cause: Cause


class Dot(NamedTuple):
    """A trade to draw. Its size comes first, so that a heap drops the smallest."""

    size: float
    at: datetime
    price: float
    side: str


@dataclass(slots=True)
class ChartData:
    """What a picture shows of one instrument between two moments.

    It keeps only what fits: samples of the book at equal spans, the largest trades, the
    spans without a price, and when each `Gap` was noticed. One thread calls it.
    """

    instrument_id: str
    begins: datetime
    ends: datetime
    samples: list[Sample] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    outages: list[OutageSpan] = field(default_factory=list)
    # When each `Gap` was noticed.
    gaps: list[datetime] = field(default_factory=list)

    def add(self, items: Iterable[Item]) -> None:
        """Collect *items*, which come in order."""
        step = (self.ends - self.begins) / SAMPLES or timedelta(microseconds=1)
        due = self.begins
        # A recording begins with an outage, which the first price ends.
        outage: OutageSpan | None = OutageSpan(due, due, State.CONNECTING, Cause())
        for item in items:
            if isinstance(item, StateChange):
                outage = self._change(outage, item)
            elif isinstance(item, Gap):
                assert item.at is not None
                self.gaps.append(item.at)
            elif isinstance(item, Trade):
                self._trade(item)
            elif isinstance(item, (Depth, BookUpdate)) and (
                item.received >= due and outage is None
            ):
                self.samples.append(_sample(item))
                due = max(due + step, item.received)
        if outage is not None:
            self._end(outage, self.ends)

    def _change(
        self, outage: OutageSpan | None, change: StateChange
    ) -> OutageSpan | None:
        if change.new is State.LIVE:
            if outage is not None:
                self._end(outage, change.at)
            return None
        if outage is not None and not outage.cause:
            # The cause of the first outage is known only once its state changes.
            outage.state, outage.cause = change.new, change.cause
        # An outage whose state changes is still the same outage.
        return outage or OutageSpan(change.at, change.at, change.new, change.cause)

    def _end(self, outage: OutageSpan, at: datetime) -> None:
        outage.ends = at
        first = outage.begins == self.begins
        if first and at - self.begins < (self.ends - self.begins) / _BEGINNING:
            outage.cause = Cause()  # a normal beginning needs no cause
        self.outages.append(outage)

    def _trade(self, item: Trade) -> None:
        if item.replayed:
            return
        dot = Dot(float(item.size), item.received, float(item.price), item.side)
        if len(self.dots) < _TRADES:
            heapq.heappush(self.dots, dot)
        else:
            heapq.heappushpop(self.dots, dot)

    @property
    def named(self) -> list[OutageSpan]:
        """The outages that have a cause to show."""
        return [each for each in self.outages if each.cause]

    def prices(self) -> tuple[float, float] | None:
        """The lowest and the highest of all best prices and trades.

        It is ``None`` if there is none, or only one price.
        """
        sides = (side for each in self.samples for side in (each.bids, each.asks))
        found = [side[0][0] for side in sides if side]
        found += [dot.price for dot in self.dots]
        if not found or min(found) == max(found):
            return None
        return min(found), max(found)

    # --- Depth ----------------------------------------------------------------------

    def bands(self) -> list[float]:
        """Sizes for three bands: 1/16, 1/8 and 1/4 of the median size of a side."""
        sides = (side for each in self.samples for side in (each.bids, each.asks))
        totals = sorted(side[-1][1] for side in sides if side)
        if not totals:
            return []
        usual = totals[len(totals) // 2]
        return [_rounded(usual * part) for part in (0.0625, 0.125, 0.25)]


def price_of(side: CumulativeSide, size: float) -> float:
    """The worst price at which *size* can be had: the last level's if there is less.

    It is ``nan`` for an empty side.
    """
    for price, total in side:
        if total >= size:
            return price
    return side[-1][0] if side else math.nan


def _sample(item: Depth | BookUpdate) -> Sample:
    held = item.book.takeable()
    return Sample(item.received, _side(held.bids), _side(held.asks))


def _side(levels: tuple[Level, ...]) -> CumulativeSide:
    rows, total = [], 0.0
    for level in levels[:_LEVELS]:
        total += float(level[1])
        rows.append((float(level[0]), total))
    return tuple(rows)


def _rounded(size: float) -> float:
    """*size* rounded to two digits, for the legend of the picture."""
    return float(f"{size:.2g}")
