"""The best levels of a book as last published, and the changes to publish next.

A window is told which prices change, so a level that does not change costs nothing. No
protocol and no clock; orders and trades are made elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable

from ..wire.values import Change, Row
from .side import BookSide

# The checksum is over this many levels of each side.
SIGNED_LEVELS = 25
# After about this many seconds without a change, v5 sends a message that says so.
IDLE = 60.0

Word = Callable[[int, int, int], Row]


class _Window:
    """The best *count* levels of one side, as last published.

    It compares only the prices that have changed since, so that a deep book costs
    little.
    """

    def __init__(self, side: BookSide, count: int, word: Word) -> None:
        self._side, self._count, self._word = side, count, word
        self._touched = side.watch()
        self._edge = side.edge(count)
        self._prices = sorted(price for price, _, _ in side.top(count))
        self._rows = {price: self._row(price) for price in self._prices}

    def changes(self) -> list[Row]:
        """The rows that have changed since the last call; they now count as published.

        The best price comes first.
        """
        side, touched = self._side, self._touched
        if not touched:
            return []
        edge = side.edge(self._count)
        if edge != self._edge:
            # Each price between the old and the new edge entered or left the window.
            touched.update(side.between(edge, self._edge))
            self._edge = edge
        prices = sorted(touched, reverse=side.is_bid)
        touched.clear()
        return [row for price in prices if (row := self._renew(price))]

    def _renew(self, price: int) -> Row | None:
        """The row of *price*, which is now published; ``None`` if it is unchanged."""
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
        """The best *count* published rows, best first."""
        prices = self._prices
        best = prices[: -count - 1 : -1] if self._side.is_bid else prices[:count]
        return [self._rows[price] for price in best]


class IncrementalBook:
    """A book of *count* levels a side, published once whole and then by its changes.

    `whole` is the book as last published, and so fits the changes that follow. *word*
    is a callable that makes the row of a level from its price, lots and orders. Only
    the exchange's event loop calls it.
    """

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
        """The book as last published, as a snapshot."""
        bids, asks = self._top(self._count)
        return Change(asks, bids, self._at, self._seq, -1, self._top(SIGNED_LEVELS))

    def change(self, seq: int, wall: float) -> Change | None:
        """What has changed since the last call; ``None`` if nothing has.

        The changes count as published from then on.
        """
        bids, asks = self._bids.changes(), self._asks.changes()
        if not (bids or asks):
            return None
        self._is_fresh = True
        return self._said(bids, asks, seq, wall)

    def idle(self, now: float, wall: float) -> Change | None:
        """The message that nothing has changed for `IDLE` seconds, if it is due.

        *now* is in seconds of any clock. A change between two calls counts as made at
        the later call.
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
