"""One side of an order book on a grid of ticks. No rounding, no randomness."""

from __future__ import annotations

from bisect import bisect_left, insort

# A price in ticks, the lots that rest there, in how many orders.
Level = tuple[int, int, int]


class Side:
    """Prices in ticks, ascending, and what rests at each: (lots, orders)."""

    def __init__(self, is_bid: bool) -> None:
        self._best, self._worst = (-1, 0) if is_bid else (0, -1)
        self.prices: list[int] = []
        self.resting: dict[int, tuple[int, int]] = {}

    @property
    def best(self) -> int | None:
        """The best price, if there is any."""
        return self.prices[self._best] if self.prices else None

    def add(self, price: int, lots: int) -> None:
        """One order more."""
        held = self.resting.get(price)
        if held is None:
            insort(self.prices, price)
        lots_before, orders = held or (0, 0)
        self.resting[price] = (lots_before + lots, orders + 1)

    def remove(self, price: int, lots: int) -> None:
        """Take *lots* away, and with the last of them the price."""
        held, orders = self.resting[price]
        if lots < held:
            self.resting[price] = (held - lots, max(1, orders - 1))
            return
        del self.resting[price]
        del self.prices[bisect_left(self.prices, price)]

    def take(self, price: int, lots: int) -> tuple[int, int]:
        """Match *lots* at *price*, or what is there: how many, with how many orders."""
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
        """Drop the price that is furthest from the market."""
        worst = self.prices[self._worst]
        self.remove(worst, self.resting[worst][0])
