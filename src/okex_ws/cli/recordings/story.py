"""What a picture of a recording shows, collected item by item. No drawing.

Of the book so many samples are kept as a picture can show: the first of each of
`SAMPLES` equal spans of time, and none while it could not be trusted.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from ... import BookUpdate, Depth, Gap, Item, Level, State, StateChange, Trade

SAMPLES = 2000
# Levels a side that make the depth, and trades that are drawn: the largest.
_LEVELS = 100
_TRADES = 4000
# Of a recording's time so small a part without a price is how it begins.
_BEGINNING = 50

# Prices and, at each, the size up to it, best first.
CumulativeSide = tuple[tuple[float, float], ...]


class Sample(NamedTuple):
    """The book at one moment."""

    at: datetime
    bids: CumulativeSide
    asks: CumulativeSide


@dataclass(slots=True)
class OutageSpan:
    """From *begins* to *ends* there was no price; *state* and *cause* are the first."""

    begins: datetime
    ends: datetime
    state: State
    cause: str


class Dot(NamedTuple):
    """A trade; the largest are kept, so its size comes first."""

    size: float
    at: datetime
    price: float
    side: str


@dataclass(slots=True)
class ChartData:
    """An instrument between two moments."""

    instrument_id: str
    begins: datetime
    ends: datetime
    samples: list[Sample] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    outages: list[OutageSpan] = field(default_factory=list)
    # When each was noticed.
    gaps: list[datetime] = field(default_factory=list)

    def add(self, items: Iterable[Item]) -> None:
        """Take in every item, in order."""
        step = (self.ends - self.begins) / SAMPLES or timedelta(microseconds=1)
        due = self.begins
        # Until the first price there is none.
        outage: OutageSpan | None = OutageSpan(due, due, State.CONNECTING, "")
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
            # Of the first one it is not known before.
            outage.state, outage.cause = change.new, change.cause
        # What an outage turns into is still the same one.
        return outage or OutageSpan(change.at, change.at, change.new, change.cause)

    def _end(self, outage: OutageSpan, at: datetime) -> None:
        outage.ends = at
        first = outage.begins == self.begins
        if first and at - self.begins < (self.ends - self.begins) / _BEGINNING:
            outage.cause = ""  # how each recording begins needs no word
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
        """The outages that have a cause to be told."""
        return [each for each in self.outages if each.cause]

    def prices(self) -> tuple[float, float] | None:
        """The lowest and the highest of the best prices and trades, if they differ."""
        sides = (side for each in self.samples for side in (each.bids, each.asks))
        found = [side[0][0] for side in sides if side]
        found += [dot.price for dot in self.dots]
        if not found or min(found) == max(found):
            return None
        return min(found), max(found)

    # --- Depth ----------------------------------------------------------------------

    def bands(self) -> list[float]:
        """A sixteenth, an eighth and a quarter of what is usually on a side."""
        sides = (side for each in self.samples for side in (each.bids, each.asks))
        totals = sorted(side[-1][1] for side in sides if side)
        if not totals:
            return []
        usual = totals[len(totals) // 2]
        return [_rounded(usual * part) for part in (0.0625, 0.125, 0.25)]


def price_of(side: CumulativeSide, size: float) -> float:
    """The worst price that so much costs; that of the last level if there is less."""
    for price, total in side:
        if total >= size:
            return price
    return side[-1][0] if side else math.nan


def _sample(item: Depth | BookUpdate) -> Sample:
    held = item.book if isinstance(item, BookUpdate) else item
    return Sample(item.received, _side(held.bids), _side(held.asks))


def _side(levels: tuple[Level, ...]) -> CumulativeSide:
    rows, total = [], 0.0
    for level in levels[:_LEVELS]:
        total += float(level[1])
        rows.append((float(level[0]), total))
    return tuple(rows)


def _rounded(size: float) -> float:
    """*size* with two digits: it is named in the picture."""
    return float(f"{size:.2g}")
