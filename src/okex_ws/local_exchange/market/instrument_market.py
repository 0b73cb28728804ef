"""One instrument of the synthetic market: its order book and what happens there.

Inside, prices are whole ticks and sizes whole lots, so that nothing is rounded; they
become text when they are published. The module knows no other instrument, no protocol,
and no clock.
"""

from __future__ import annotations

import math
import random
from collections import deque
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..wire.values import (
    Best,
    Deal,
    Funding,
    Mark,
    MarketCandle,
    Period,
    Row,
    Summary,
    Topic,
)
from . import rpi
from .bars import Bar, BarBuilder, Match, bars_before, trades_before
from .instruments import SyntheticInstrument
from .levels import IncrementalBook
from .side import BookSide, Level

# About how many prices a side has, on a liquid instrument and on a thin one.
LEVELS = 200
THIN_LEVELS = 4
# The same of an event contract, whose prices are between 0 and 1.
EVENT_LEVELS = 20
# The age of the opening trade, in seconds. When v3 sent an option's last trade on
# subscribing, that recorded trade was ten hours old.
OPENING_TRADE_AGE = 3600.0
# Seconds between two pushes of a funding rate (v3's documentation), and between two
# payments.
FUNDING_GAP = 60.0
FUNDING_INTERVAL = 8 * 3600

# The number of levels a side of each whole book: of those published at every change,
# and of the one published with the best levels. In v5's order of pushes.
TICK_BY_TICK: dict[Topic, int] = {"book tbt": 400, "book50 tbt": 50}
BOOKS: dict[Topic, int] = {**TICK_BY_TICK, "book": 400, "book rpi": rpi.LEVELS}
# The books that are repeated when idle: of the one with RPI that is not documented.
_REPEATED = [topic for topic in BOOKS if topic != "book rpi"]

# What the numbers of a spread's changes and trades begin at. They have 19 digits, those
# of trades once they are multiplied (`SPREAD_ID_STEP`).
_SPREAD_SEQ, _SPREAD_TRADE = 1_724_294_007_000_000_000, 610_157_000_000_000
# No price is lower, in ticks: that of a spread may be negative.
_LOWEST, _LOWEST_SPREAD = 1, -(10**9)

# How many trades are kept for requests for past trades.
KEPT_TRADES = 30_000

# What is published: a topic, and the value of that topic.
TopicValue = tuple[Topic, Any]


@dataclass(slots=True)
class _Top:
    """The best *count* levels as last published, and the time of their last change."""

    count: int
    asks: Sequence[Level] = ()
    bids: Sequence[Level] = ()
    at: float = 0.0
    seq: int = 0


class InstrumentMarket:
    """One instrument of the synthetic market: its book, its trades and its candles.

    `step` makes one event of the market, and returns what is published at every change;
    `sample` returns what is published at intervals; `present` is what was last
    published, so that all clients get the same. *seed* decides everything that happens.
    *seq* numbers the changes of the book, as v5's ``seqId`` does. Only the exchange's
    event loop calls it.
    """

    def __init__(self, instrument: SyntheticInstrument, seed: int, wall: float) -> None:
        self.market = instrument.market
        self.instrument_id = instrument.instrument_id
        self._thin, is_event = instrument.thin, instrument.market == "events"
        usual = EVENT_LEVELS if is_event else LEVELS
        self._levels = THIN_LEVELS if instrument.thin else usual
        self._has_rpi = not (instrument.thin or is_event)
        self._tick = Decimal(instrument.tick)
        self._highest = 1 / float(self._tick) - 1 if is_event else math.inf
        self._lot = Decimal(instrument.lot)
        self._name = f"{seed}/{self.market}/{self.instrument_id}"
        self._random = random.Random(self._name)
        # Another generator for what is not the book, such as funding rates.
        self._others = random.Random(f"{self._name}/others")
        self._middle = int(Decimal(instrument.price) / self._tick)
        self._bids, self._asks = BookSide(is_bid=True), BookSide(is_bid=False)
        self._rpi = rpi.PriceImprovement(self._bids, self._asks, self._name)
        self._trade_id = self._random.randrange(1_000_000, 9_000_000)
        self.seq = self._seen = self._others.randrange(1_000_000, 9_000_000)
        self._lowest = _LOWEST
        if self.market == "spread":
            self._lowest = _LOWEST_SPREAD
            self._trade_id += _SPREAD_TRADE
            self.seq = self._seen = self.seq + _SPREAD_SEQ
        self._traded_lots = self._traded_value = 0
        self._high = self._low = self._last = self._middle
        self._bars: dict[Period, BarBuilder] = {}
        self._matches: deque[Match] = deque(maxlen=KEPT_TRADES)
        self._before: list[Match] | None = None
        self._bars_before: dict[tuple[Period, int], list[Bar]] = {}
        self._incremental_books: dict[Topic, IncrementalBook] = {}
        self._open()
        self._match(self._middle, 1, 1, "buy", wall - OPENING_TRADE_AGE)
        self._five, self._touch = _Top(5), _Top(1)
        self._summed_up: tuple[Any, ...] = ()
        self._marked = 0.0
        self._funding = self._fund(wall)
        self._changed_topics(wall)

    # --- The order book -------------------------------------------------------------

    def _open(self) -> None:
        """Fill both sides around the opening price, which is the first middle."""
        for side, sign in ((self._bids, -1), (self._asks, 1)):
            self._add(side, self._middle + sign)
            for _ in range(2 * self._levels):
                away = 1 + int(self._random.expovariate(1.0) * self._levels / 2)
                self._add(side, self._middle + sign * away)

    def _add(self, side: BookSide, price: int) -> None:
        if self._lowest <= price <= self._highest:
            side.add(price, 1 + int(self._random.expovariate(0.05)))
            self.seq += 1

    def step(self, wall: float, topics: Container[Topic]) -> list[TopicValue]:
        """Make one update of the book; return what is published at every change.

        That is each trade and, of *topics*, ``bbo`` and the tick-by-tick books.
        """
        said = self._act(wall)
        if self._has_rpi:
            said += self._improve(wall)
        if "bbo" in topics and self._renew(self._touch, wall):
            said.append(("bbo", self.present("bbo", wall)))
        said += self._changes(TICK_BY_TICK, wall, topics)
        return said

    def _changes(
        self, books: Iterable[Topic], wall: float, topics: Container[Topic]
    ) -> Iterator[TopicValue]:
        for topic in books:
            depth = self._incremental_books.get(topic) if topic in topics else None
            if depth and (change := depth.change(self.seq, wall)):
                yield topic, change

    def _act(self, wall: float) -> list[TopicValue]:
        chance = self._random.random()
        side = self._random.choice((self._bids, self._asks))
        if self._thin and chance < 0.8:
            return []
        if self._thin and chance < 0.82:
            while side.prices:
                side.shed()
                self.seq += 1
            return []
        kind = self._random.random() * 2 * self._levels
        if kind > len(side.prices) + self._levels // 4:
            # Half of the orders are placed near the market, the rest fill the book.
            self._place(side, self._random.choice((2, self._levels / 2)))
        elif self._random.random() < 0.5:
            self._cancel(side)
        else:
            return list(self._take(side, wall))
        return []

    def _improve(self, wall: float) -> Iterator[TopicValue]:
        """Orders of retail price improvement are placed, cancelled and taken."""
        changes, side = self._rpi.step()
        self.seq += changes
        if side is None or (price := side.best) is None:
            return
        lots, orders = side.take(price, side.resting[price][0])
        self.seq += 1
        taker = "sell" if side.is_bid else "buy"
        for deal in self._match(price, lots, orders, taker, wall, rpi=True):
            yield "trade", deal
        yield "trades", self._last_trades

    def _place(self, side: BookSide, depth: float) -> None:
        other = self._asks if side is self._bids else self._bids
        away = 1 + int(self._random.expovariate(1.0) * depth)
        from_price = self._last if other.best is None else other.best
        self._add(side, from_price - away if side is self._bids else from_price + away)
        if len(side.prices) > 2 * self._levels:
            side.shed()

    def _cancel(self, side: BookSide) -> None:
        if side.prices:
            price = self._random.choice(side.prices)
            side.remove(price, self._random.randint(1, side.resting[price][0]))
            self.seq += 1

    def _take(self, side: BookSide, wall: float) -> Iterator[TopicValue]:
        """A taker's order matches what rests on *side*, the best price first."""
        wanted = 1 + int(self._random.expovariate(0.05))
        taker = "sell" if side is self._bids else "buy"
        while wanted and (price := side.best) is not None:
            lots, orders = side.take(price, wanted)
            wanted -= lots
            self.seq += 1
            for deal in self._match(price, lots, orders, taker, wall):
                yield "trade", deal
            yield "trades", self._last_trades

    def _match(
        self,
        price: int,
        lots: int,
        count: int,
        taker: str,
        wall: float,
        rpi: bool = False,
    ) -> list[Deal]:
        """*lots* change hands at *price*, in *count* matches of about one size."""
        self._last = price
        self._high, self._low = max(self._high, price), min(self._low, price)
        self._traded_lots += lots
        self._traded_value += lots * price
        for bars in self._bars.values():
            bars.trade(price, lots, wall)
        each, rest = divmod(lots, count)
        matches = [
            Match(
                self._trade_id + count - left,
                price,
                each if left else each + rest,
                taker,
                wall,
                self.seq,
                rpi,
            )
            for left in range(count - 1, -1, -1)
        ]
        self._matches.extend(matches)
        self._trade_id += count
        deals = [self._deal(match) for match in matches]
        self._last_trade = deals[-1]
        self._last_trades = deals[-1]._replace(matches=count, size=self._size(lots))
        return deals

    def _deal(self, match: Match) -> Deal:
        price, size = self._price(match.price), self._size(match.lots)
        deal = Deal(match.id, 1, price, size, match.side, match.at, match.seq)
        return deal._replace(rpi=match.rpi) if match.rpi else deal

    # --- The past -------------------------------------------------------------------

    def trades_before(self, trade_id: int | None, count: int) -> list[Deal]:
        """The newest *count* trades older than *trade_id* (or all), newest first."""
        if self._before is None:
            bounds = self._lowest, self._highest
            self._before = trades_before(self._matches[0], self._name, bounds)
        # Ids are consecutive, so the place of a trade follows from its id.
        newest, oldest = self._matches[-1].id, self._matches[0].id
        begin = newest if trade_id is None else min(newest, trade_id - 1)
        found = [
            self._matches[place - oldest]
            for place in range(begin, max(begin - count, oldest - 1), -1)
        ]
        if len(self._matches) < KEPT_TRADES:
            skipped = max(0, oldest - 1 - begin)
            found += self._before[skipped : skipped + count - len(found)]
        return [self._deal(match) for match in found]

    def candles(self, period: Period, wall: float) -> list[MarketCandle]:
        """The open candle and all closed ones, newest first; the oldest are made up."""
        self.present(period, wall)
        bars = self._bars[period]
        closed, since = bars.closed(wall), (period, bars.first.start)
        if since not in self._bars_before:
            name = f"{self._name}/{period.seconds}{period.offset:+}"
            bounds = self._lowest, self._highest
            made = bars_before(bars.first, period.seconds, name, bounds)
            self._bars_before[since] = made
        before = self._bars_before[since] if bars.is_whole else []
        return [self._candle(bar) for bar in (bars.open, *closed, *before)]

    # --- What is published ----------------------------------------------------------

    def sample(self, wall: float, topics: Container[Topic]) -> list[TopicValue]:
        """What is published at intervals: the values of *topics* that have changed."""
        changed = self._changed_topics(wall) if self.seq != self._seen else []
        if "funding" in topics and not 0 <= wall - self._funding.at < FUNDING_GAP:
            self._funding = self._fund(wall)
            changed.append("funding")
        self._rpi.renew()
        said: list[TopicValue] = list(self._changes(("book", "book rpi"), wall, topics))
        said += [
            (topic, self.present(topic, wall)) for topic in changed if topic in topics
        ]
        for period, bars in self._bars.items():
            said += [(period, self._candle(bar)) for bar in bars.said(wall)]
        return said

    def idle(self, now: float, wall: float) -> Iterator[TopicValue]:
        """The messages that are due now that a book has not changed for long.

        *now* is the market's own time in seconds.
        """
        for topic in _REPEATED:
            depth = self._incremental_books.get(topic)
            if depth and (change := depth.idle(now, wall)):
                yield topic, change

    def _changed_topics(self, wall: float) -> list[Topic]:
        """The topics, of depth5, ticker and mark, that changed since the last call."""
        self._seen = self.seq
        changed: list[Topic] = []
        five = self._five
        if self._renew(five, wall):
            changed.append("depth5")
        tops = (five.asks[:1], five.bids[:1])
        if (*tops, self._trade_id) != self._summed_up:
            self._summed_up, self._summed_up_at = (*tops, self._trade_id), wall
            changed.append("ticker")
        marked = float(self._last)
        if five.asks and five.bids:
            marked = (five.asks[0][0] + five.bids[0][0]) / 2
        if marked != self._marked:
            self._marked, self._marked_at = marked, wall
            changed.append("mark")
        return changed

    def _renew(self, top: _Top, wall: float) -> bool:
        asks, bids = self._asks.top(top.count), self._bids.top(top.count)
        if asks == top.asks and bids == top.bids:
            return False
        top.asks, top.bids, top.at, top.seq = asks, bids, wall, self.seq
        return True

    def present(self, topic: Topic, wall: float) -> Any:
        """What was last published on *topic*, so that every client gets the same."""
        if topic in BOOKS:
            return self._incremental_book(topic, wall).whole()
        if topic == "depth5":
            return self._best(self._five)
        if topic == "bbo":
            self._renew(self._touch, wall)
            return self._best(self._touch)
        if topic == "ticker":
            return self._summary()
        if topic == "mark":
            return Mark(str(self._tick * Decimal(self._marked)), self._marked_at)
        if isinstance(topic, Period):
            if topic not in self._bars:
                self._bars[topic] = BarBuilder(topic, self._last, wall)
            return self._candle(self._bars[topic].open)
        return {
            "trade": self._last_trade,
            "trades": self._last_trades,
            "funding": self._funding,
        }[topic]

    def _best(self, top: _Top) -> Best:
        return Best(self._rows(top.asks), self._rows(top.bids), top.at, top.seq)

    def _incremental_book(self, topic: Topic, wall: float) -> IncrementalBook:
        """The book of *topic*, which is kept from the first request for it on."""
        books = self._incremental_books
        if topic not in books and topic == "book rpi":
            books[topic] = self._rpi.book(self._row, self.seq, wall)
        elif topic not in books:
            books[topic] = IncrementalBook(
                self._bids, self._asks, BOOKS[topic], self._row, self.seq, wall
            )
        return books[topic]

    def _rows(self, levels: Sequence[Level]) -> list[Row]:
        return [self._row(*level) for level in levels]

    def _row(self, price: int, lots: int, orders: int) -> Row:
        return self._price(price), self._size(lots), str(orders)

    def _summary(self) -> Summary:
        (ask, ask_size, _), (bid, bid_size, _) = (
            self._rows(side)[0] if side else ("", "", "")
            for side in self._summed_up[:2]
        )
        return Summary(
            self._price(self._last),
            self._last_trade.size,
            ask,
            ask_size,
            bid,
            bid_size,
            self._price(self._middle),
            self._price(self._high),
            self._price(self._low),
            self._size(self._traded_lots),
            self._value(self._traded_lots, self._traded_value),
            self._summed_up_at,
        )

    def _candle(self, bar: Bar) -> MarketCandle:
        return MarketCandle(
            bar.start,
            self._price(bar.open),
            self._price(bar.high),
            self._price(bar.low),
            self._price(bar.close),
            self._size(bar.lots),
            self._value(bar.lots, bar.value),
            self._quote(bar.value),
            bar.closed,
        )

    def _fund(self, wall: float) -> Funding:
        rates = [f"{self._others.randint(-300, 300) / 1_000_000:.6f}" for _ in "ab"]
        paid = (int(wall) // FUNDING_INTERVAL + 1) * FUNDING_INTERVAL
        return Funding(rates[0], rates[1], paid, paid + FUNDING_INTERVAL, wall)

    def _value(self, lots: int, value: int) -> str:
        # This market has no face values: each contract counts as one coin.
        return self._quote(value) if self.market == "spot" else self._size(lots)

    def _quote(self, value: int) -> str:
        return str(value * self._tick * self._lot)

    def _price(self, ticks: int) -> str:
        return f"{ticks * self._tick:f}"

    def _size(self, lots: int) -> str:
        return f"{lots * self._lot:f}"
