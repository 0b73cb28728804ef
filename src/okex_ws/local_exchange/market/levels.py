"""The best levels of a book as they were last said, and what is to be said of them.

A book is followed by the prices that change: what did not change costs nothing. No
protocol and no clock, and what happens on the book is not decided here.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable

from ..wire.values import Change, Row
from .side import BookSide

# The checksum is over this many levels of each side.
SIGNED_LEVELS = 25
# v5 says of a book that it has not changed after about so many seconds.
IDLE = 60.0

Word = Callable[[int, int, int], Row]


class _Window:
    """The best *count* levels of one side, as they were last said."""

    def __init__(self, side: BookSide, count: int, word: Word) -> None:
        self._side, self._count, self._word = side, count, word
        self._touched = side.watch()
        self._edge = side.edge(count)
        self._prices = sorted(price for price, _, _ in side.top(count))
        self._rows = {price: self._row(price) for price in self._prices}

    def changes(self) -> list[Row]:
        """What has changed since the last time, best first: said from now on."""
        side, touched = self._side, self._touched
        if not touched:
            return []
        edge = side.edge(self._count)
        if edge != self._edge:
            # What rests between the two has come into the window, or has left it.
            touched.update(side.between(edge, self._edge))
            self._edge = edge
        prices = sorted(touched, reverse=side.is_bid)
        touched.clear()
        return [row for price in prices if (row := self._renew(price))]

    def _renew(self, price: int) -> Row | None:
        """The row that *price* has now, if it was said to have another."""
        said = self._rows.get(price)
        gone = price not in self._side.resting
        if gone or self._side.is_beyond(price, self._edge):
            if said is None:
                return None
            del self._rows[price]
            del self._prices[bisect_left(self._prices, price)]
            return (said[0], "0", "0")
        row = self._row(price)
        if row == said:
            return None
        if said is None:
            insort(self._prices, price)
        self._rows[price] = row
        return row

    def _row(self, price: int) -> Row:
        return self._word(price, *self._side.resting[price])

    def top(self, count: int) -> list[Row]:
        """The best *count* rows that were said, best first."""
        prices = self._prices
        best = prices[: -count - 1 : -1] if self._side.is_bid else prices[:count]
        return [self._rows[price] for price in best]


class IncrementalBook:
    """A book of *count* levels a side, said whole and then by its changes."""

    def __init__(
        self,
        bids: BookSide,
        asks: BookSide,
        count: int,
        word: Word,
        seq: int,
        wall: float,
    ) -> None:
        self._count = count
        self._bids = _Window(bids, count, word)
        self._asks = _Window(asks, count, word)
        self._seq, self._at = seq, wall
        self._is_fresh, self._since = True, 0.0

    def whole(self) -> Change:
        """What was last said, as a snapshot."""
        bids, asks = self._top(self._count)
        return Change(asks, bids, self._at, self._seq, -1, self._top(SIGNED_LEVELS))

    def change(self, seq: int, wall: float) -> Change | None:
        """What has changed since the last time, if anything; said from now on."""
        bids, asks = self._bids.changes(), self._asks.changes()
        if not (bids or asks):
            return None
        self._is_fresh = True
        return self._said(bids, asks, seq, wall)

    def idle(self, now: float, wall: float) -> Change | None:
        """That nothing has changed for long, if so; *now* is in seconds of any clock.

        What was said between two calls counts as said at the later one.
        """
        if self._is_fresh:
            self._is_fresh, self._since = False, now
        if now - self._since < IDLE:
            return None
        self._since = now
        return self._said([], [], self._seq, wall)

    def _said(self, bids: list[Row], asks: list[Row], seq: int, wall: float) -> Change:
        before, self._seq, self._at = self._seq, seq, wall
        return Change(asks, bids, wall, seq, before, self._top(SIGNED_LEVELS))

    def _top(self, count: int) -> tuple[list[Row], list[Row]]:
        return self._bids.top(count), self._asks.top(count)
