"""Retail price improvement: orders that only retail users' orders can take. No clock.

They rest beside a book, near its best prices and at times between them. The books and
the best levels of the exchange leave them out; ``books-rpi`` has both.
"""

from __future__ import annotations

import random

from ..wire.values import Row
from .levels import IncrementalBook, Word
from .side import BookSide

# The most prices of these orders on one side, and how far behind the best price of the
# book they are placed, in ticks.
MOST, BEHIND = 8, 3
# Levels on one side of ``books-rpi``.
LEVELS = 400


class _WholeSide:
    """One side of ``books-rpi``: what rests in the book, and what rests beside it.

    It is told which prices change, and looks at those alone.
    """

    def __init__(self, ordinary: BookSide, improved: BookSide) -> None:
        self._parts = ordinary, improved
        self._touched = ordinary.watch(), improved.watch()
        self.side = BookSide(ordinary.is_bid)
        for price in {*ordinary.prices, *improved.prices}:
            self._renew(price)

    def renew(self) -> None:
        for touched in self._touched:
            for price in touched:
                self._renew(price)
            touched.clear()

    def _renew(self, price: int) -> None:
        (lots, orders), (more, others) = (
            part.resting.get(price, (0, 0)) for part in self._parts
        )
        self.side.put(price, lots + more, orders + others)


class PriceImprovement:
    """The retail price improvement of one instrument, beside its *bids* and *asks*.

    On the exchange an order that would meet the opposite side is hidden: here it is
    cancelled. *name* decides what happens. Only the exchange's event loop calls it.
    """

    def __init__(self, bids: BookSide, asks: BookSide, name: str) -> None:
        self._random = random.Random(f"{name}/rpi")
        self._book = {True: bids, False: asks}
        self.sides = {True: BookSide(is_bid=True), False: BookSide(is_bid=False)}
        self._whole: tuple[_WholeSide, _WholeSide] | None = None

    def step(self) -> tuple[int, BookSide | None]:
        """Cancel and place orders: how many changes that were, and a side to take from.

        The side is that whose best order a retail user's order takes now, which is left
        to the caller; mostly it is ``None``.
        """
        changes = sum(map(self._cancel_crossing, (True, False)))
        chance, is_bid = self._random.random(), self._random.random() < 0.5
        side = self.sides[is_bid]
        if chance < 0.3:
            return changes + self._place(is_bid), None
        if chance < 0.4 and side.prices:
            self._cancel(side, self._random.choice(side.prices))
            return changes + 1, None
        return changes, side if chance > 0.95 and self._leads(is_bid) else None

    def _cancel_crossing(self, is_bid: bool) -> int:
        side, cancelled = self.sides[is_bid], 0
        while side.best is not None and self._crosses(is_bid, side.best):
            self._cancel(side, side.best)
            cancelled += 1
        return cancelled

    def _crosses(self, is_bid: bool, price: int) -> bool:
        """Whether an order at *price* would meet the opposite side, or improve it."""
        sign = 1 if is_bid else -1
        opposite = self._book[not is_bid].best, self.sides[not is_bid].best
        return any(
            other is not None and price * sign >= other * sign for other in opposite
        )

    def _place(self, is_bid: bool) -> int:
        best, side = self._book[is_bid].best, self.sides[is_bid]
        away = self._random.randint(-BEHIND, 1)
        if best is None or len(side.prices) >= MOST:
            return 0
        price = best + (away if is_bid else -away)
        if price <= 0 or self._crosses(is_bid, price):
            return 0
        side.add(price, 1 + int(self._random.expovariate(0.05)))
        return 1

    @staticmethod
    def _cancel(side: BookSide, price: int) -> None:
        side.remove(price, side.resting[price][0])

    def _leads(self, is_bid: bool) -> bool:
        """Whether the best of these orders is no worse than the best of the book."""
        mine, best = self.sides[is_bid].best, self._book[is_bid].best
        if mine is None or best is None:
            return False
        return mine >= best if is_bid else mine <= best

    # --- The book of both -----------------------------------------------------------

    def book(self, word: Word, seq: int, wall: float) -> IncrementalBook:
        """The book of ``books-rpi``, with rows of four; `renew` brings it up to date.

        *word* makes a row of three.
        """
        bids, asks = (
            _WholeSide(self._book[is_bid], self.sides[is_bid])
            for is_bid in (True, False)
        )
        self._whole = bids, asks

        def row(price: int, lots: int, orders: int) -> Row:
            more = sum(
                side.resting.get(price, (0, 0))[0] for side in self.sides.values()
            )
            said, size, many = word(price, lots, orders)
            rest = word(price, lots - more, orders)[1] if lots > more else "0"
            return said, size, rest, many

        return IncrementalBook(bids.side, asks.side, LEVELS, row, seq, wall)

    def renew(self) -> None:
        """Take what has changed since into the book, if there is one."""
        for side in self._whole or ():
            side.renew()
