"""One side of an order book on a grid of ticks. No rounding, no randomness."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

# A price in ticks, the lots that rest there, and the number of their orders.
Level = tuple[int, int, int]


class BookSide:
    """One side of a book: prices in ticks, ascending, with (lots, orders) at each.

    A `watch` is told each price that changes, so that the published levels can be kept
    without comparing all of them. Only the exchange's event loop uses it.
    """

    def __init__(self, is_bid: bool) -> None:
        self.is_bid = is_bid
        self._best, self._worst = (-1, 0) if is_bid else (0, -1)
        self.prices: list[int] = []
        self.resting: dict[int, tuple[int, int]] = {}
        self._watches: list[set[int]] = []

    @property
    def best(self) -> int | None:
        """The best price; ``None`` if the side is empty."""
        return self.prices[self._best] if self.prices else None

    def add(self, price: int, lots: int) -> None:
        """Add one order of *lots* at *price*."""
        held = self.resting.get(price)
        if held is None:
            insort(self.prices, price)
        lots_before, orders = held or (0, 0)
        self.resting[price] = (lots_before + lots, orders + 1)
        self._changed(price)

    def remove(self, price: int, lots: int) -> None:
        """Remove *lots* at *price*; without lots left, the price is removed too."""
        held, orders = self.resting[price]
        self._changed(price)
        if lots < held:
            self.resting[price] = (held - lots, max(1, orders - 1))
            return
        del self.resting[price]
        del self.prices[bisect_left(self.prices, price)]

    def put(self, price: int, lots: int, orders: int) -> None:
        """Have *lots* of so many *orders* rest at *price*; 0 lots remove the price."""
        held = self.resting.pop(price, None)
        if lots:
            self.resting[price] = (lots, orders)
        if lots and held is None:
            insort(self.prices, price)
        elif held is not None and not lots:
            del self.prices[bisect_left(self.prices, price)]
        self._changed(price)

    def take(self, price: int, lots: int) -> tuple[int, int]:
        """Match *lots* at *price*, or all that rest there.

        Returns how many lots were matched, and with how many orders, in proportion.
        """
        held, orders = self.resting[price]
        lots = min(lots, held)
        self.remove(price, lots)
        return lots, max(1, min(orders, lots) * lots // held)

    def top(self, count: int) -> list[Level]:
        """The best *count* levels, best first."""
        prices = self.prices[: -count - 1 : -1] if self._best else self.prices[:count]
        resting = self.resting
        return [(price, *resting[price]) for price in prices]

    def shed(self) -> None:
        """Drop the worst price, with all that rests there."""
        worst = self.prices[self._worst]
        self.remove(worst, self.resting[worst][0])

    # --- For windows of the best levels ---------------------------------------------

    def watch(self) -> set[int]:
        """A new set, to which each price is added from now on when it changes."""
        watch: set[int] = set()
        self._watches.append(watch)
        return watch

    def _changed(self, price: int) -> None:
        for watch in self._watches:
            watch.add(price)

    def edge(self, count: int) -> int | None:
        """The worst of the best *count* prices; ``None`` if no price is worse."""
        if len(self.prices) <= count:
            return None
        return self.prices[-count if self.is_bid else count - 1]

    def is_beyond(self, price: int, edge: int | None) -> bool:
        """Whether *price* is worse than *edge*; ``False`` if *edge* is ``None``."""
        if edge is None:
            return False
        return price < edge if self.is_bid else price > edge

    def between(self, *edges: int | None) -> list[int]:
        """The prices between two edges, both included; ``None`` is the worst price."""
        if not self.prices:
            return []
        worst = self.prices[self._worst]
        low, high = sorted(worst if edge is None else edge for edge in edges)
        return self.prices[
            bisect_left(self.prices, low) : bisect_right(self.prices, high)
        ]
