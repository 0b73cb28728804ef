"""One instrument of the synthetic market: its order book and what is said of it.

Prices are whole ticks and sizes whole lots inside, so that nothing is rounded; they
become text at the edge. Nothing here knows of other instruments, or of the time.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Container
from decimal import Decimal

from .instruments import Instrument
from .v3 import SIZE_KEYS, Dialect, Push, iso, push

TOPICS = ("depth5", "trade", "ticker")
LEVELS = 200  # a side of a liquid instrument, about; a thin one has a handful
THIN_LEVELS = 4
# A recorded option trade was ten hours old when v3 sent it on subscribing.
OPENING_TRADE_AGE = 3600.0

# A price in ticks, the lots that rest there, in how many orders.
_Level = tuple[int, int, int]


class _Side:
    """One side of a book: prices in ticks, ascending, and what rests at each."""

    def __init__(self, is_bid: bool) -> None:
        self._best, self._worst = (-1, 0) if is_bid else (0, -1)
        self.prices: list[int] = []
        self.resting: dict[int, tuple[int, int]] = {}  # price: (lots, orders)

    @property
    def best(self) -> int | None:
        return self.prices[self._best] if self.prices else None

    def add(self, price: int, lots: int) -> None:
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

    def top(self, count: int) -> list[int]:
        """The best *count* prices, best first."""
        return self.prices[: -count - 1 : -1] if self._best else self.prices[:count]

    def shed(self) -> None:
        """Drop the price that is furthest from the market."""
        worst = self.prices[self._worst]
        self.remove(worst, self.resting[worst][0])


class Floor:
    """One instrument: its book, its last trade, and what was last said of both."""

    def __init__(
        self, instrument: Instrument, seed: int, dialect: Dialect, wall: float
    ) -> None:
        self.market = instrument.market
        self.instrument_id = instrument.instrument_id
        self.channels = {
            topic: f"{self.market}/{topic}:{self.instrument_id}" for topic in TOPICS
        }
        self._thin = instrument.thin
        self._levels = THIN_LEVELS if instrument.thin else LEVELS
        self._tick = Decimal(instrument.tick)
        self._lot = Decimal(instrument.lot)
        self._dialect = dialect
        self._random = random.Random(f"{seed}/{self.market}/{self.instrument_id}")
        self._middle = int(Decimal(instrument.price) / self._tick)
        self._bids, self._asks = _Side(is_bid=True), _Side(is_bid=False)
        self._trade_id = self._random.randrange(1_000_000, 9_000_000)
        self._traded_lots = self._traded_value = 0
        self._high = self._low = self._last = self._middle
        for _ in range(2 * self._levels):
            self._place(self._bids, self._levels / 2)
            self._place(self._asks, self._levels / 2)
        self._record_trade(self._middle, 1, "buy", wall - OPENING_TRADE_AGE)
        self._best: list[list[_Level]] = []
        self._summed_up: tuple[list[list[_Level]], int] = ([], 0)
        self.cut(wall, ())

    # --- The order book -------------------------------------------------------------

    def step(self, wall: float) -> list[Push]:
        """One update of the book; the trades that it made."""
        chance = self._random.random()
        side = self._random.choice((self._bids, self._asks))
        if self._thin and chance < 0.8:
            return []
        if self._thin and chance < 0.82:
            while side.prices:
                side.shed()
            return []
        kind = self._random.random() * 2 * self._levels
        if kind > len(side.prices) + self._levels // 4:
            # Most orders are placed near the market, the rest fill the book behind it.
            self._place(side, self._random.choice((2, self._levels / 2)))
        elif self._random.random() < 0.5:
            self._cancel(side)
        else:
            return self._take(side, wall)
        return []

    def _place(self, side: _Side, depth: float) -> None:
        other = self._asks if side is self._bids else self._bids
        away = 1 + int(self._random.expovariate(1.0) * depth)
        from_price = self._last if other.best is None else other.best
        price = from_price - away if side is self._bids else from_price + away
        if price > 0:
            side.add(price, 1 + int(self._random.expovariate(0.05)))
        if len(side.prices) > 2 * self._levels:
            side.shed()

    def _cancel(self, side: _Side) -> None:
        if side.prices:
            price = self._random.choice(side.prices)
            side.remove(price, self._random.randint(1, side.resting[price][0]))

    def _take(self, side: _Side, wall: float) -> list[Push]:
        """A taker takes from *side*: one trade for each price that it reaches."""
        wanted = 1 + int(self._random.expovariate(0.05))
        taker = "sell" if side is self._bids else "buy"
        trades = []
        while wanted and (price := side.best) is not None:
            lots = min(wanted, side.resting[price][0])
            side.remove(price, lots)
            wanted -= lots
            trades.append(self._record_trade(price, lots, taker, wall))
        return trades

    # --- What is said of it ---------------------------------------------------------

    def _record_trade(self, price: int, lots: int, side: str, wall: float) -> Push:
        self._last, self._last_lots = price, lots
        self._high, self._low = max(self._high, price), min(self._low, price)
        self._traded_lots += lots
        self._traded_value += lots * price
        self._trade_id += 1
        element = {
            "side": side,
            "trade_id": str(self._trade_id),
            "price": self._price(price),
            SIZE_KEYS[self.market]: self._size(lots),
            "instrument_id": self.instrument_id,
            "timestamp": iso(wall),
        }
        self._last_trade = self._dialect.trade(self.market, element)
        return self._last_trade

    def cut(self, wall: float, wanted: Container[str]) -> list[Push]:
        """The best five levels and the ticker: what is wanted of what has changed."""
        best = [
            [(price, *side.resting[price]) for price in side.top(5)]
            for side in (self._asks, self._bids)
        ]
        tops = [side[:1] for side in best]
        changed = []
        if best != self._best:
            self._best, self._best_at = best, iso(wall)
            changed.append("depth5")
        if (tops, self._trade_id) != self._summed_up:
            self._summed_up, self._summed_up_at = (tops, self._trade_id), iso(wall)
            changed.append("ticker")
        return [
            self.present(topic) for topic in changed if self.channels[topic] in wanted
        ]

    def present(self, topic: str) -> Push:
        """What was last said on *topic*, so that everyone has the same."""
        if topic == "trade":
            return self._last_trade
        if topic == "ticker":
            return push(f"{self.market}/ticker", self._ticker())
        asks, bids = (
            [
                (self._price(price), self._size(lots), str(orders))
                for price, lots, orders in side
            ]
            for side in self._best
        )
        return self._dialect.depth5(
            self.market, self.instrument_id, asks, bids, self._best_at
        )

    def _ticker(self) -> dict[str, str]:
        ticker = {
            "last": self._price(self._last),
            "open_24h": self._price(self._middle),
            "high_24h": self._price(self._high),
            "low_24h": self._price(self._low),
            **self._volumes(),
            "instrument_id": self.instrument_id,
            "timestamp": self._summed_up_at,
            "last_qty": self._size(self._last_lots),
        }
        # What the exchange says of an empty side is not recorded; it is left out.
        for name, side in zip(("ask", "bid"), self._summed_up[0], strict=False):
            for price, lots, _ in side:
                ticker[f"best_{name}"] = self._price(price)
                ticker[f"best_{name}_size"] = self._size(lots)
        return ticker

    def _volumes(self) -> dict[str, str]:
        lots = self._size(self._traded_lots)
        if self.market == "spot":
            value = self._traded_value * self._tick * self._lot
            return {"base_volume_24h": lots, "quote_volume_24h": str(value)}
        # The face value of a contract is not part of this market: one coin each.
        return {"volume_24h": lots, "volume_token_24h": lots}

    def _price(self, ticks: int) -> str:
        return str(ticks * self._tick)

    def _size(self, lots: int) -> str:
        return str(lots * self._lot)
