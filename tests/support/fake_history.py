"""A history source over made-up trades and candles, and a worker in virtual time."""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from okex_ws import Candle, ConnectionLost, Gap, PastBook, Trade
from okex_ws.base.clock import utc
from okex_ws.history.source import History
from okex_ws.history.worker import HistoryQuery, HistoryWorker, QueryCallback
from tests.support.virtual_world import START, World

NAME = "BTC-USDT"
MINUTE = 60.0


def make_trade(number: int, seconds: float = 0.0) -> Trade:
    """A trade, *seconds* after the beginning of the virtual world."""
    at, price = utc(START + round(seconds, 3)), Decimal(f"{100 + number % 7}.1")
    name = str(number)
    return Trade(NAME, name, name, 1, price, Decimal(3), "buy", at, at, 0)


def make_candle(minute: int, closed: bool = True, close: str = "100.1") -> Candle:
    """The one-minute candle that begins *minute* minutes into the virtual world.

    Minute 0 is the whole minute in which the world begins.
    """
    prices = (Decimal(99), Decimal(101), Decimal(98), Decimal(close))
    volumes = (Decimal(7), Decimal(700), Decimal(700))
    at = start_of(minute)
    return Candle(NAME, "candle60s", at, *prices, *volumes, closed, at, 0)


def start_of(minute: int) -> datetime:
    """When the candle of *minute* begins."""
    return utc(bar_ms(minute) / 1000)


def bar_ms(minute: int) -> int:
    """When the candle of *minute* begins, in epoch milliseconds."""
    return int(START // MINUTE * MINUTE + minute * MINUTE) * 1000


@dataclass
class Past:
    """A `History` that answers truthfully, unless a test sets it to do otherwise.

    *all_trades* and *all_candles* are the exchange's full lists. An answer lacks the
    newest *behind* items, and comes from the *kept* newest of the others.
    """

    all_trades: list[Trade] = field(default_factory=list)
    all_candles: list[Candle] = field(default_factory=list)
    behind: int = 0
    kept: int = 10**9
    page: int = 10**9
    failing: int = 0
    error: Exception = field(
        default_factory=lambda: ConnectionLost("https://rest.invalid", "refused")
    )
    books: list[PastBook] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    closed: int = 0

    def _give(self, known: Sequence[Any], limit: int, *asked: Any) -> tuple[Any, ...]:
        self.asked.append((*asked, limit))
        if self.failing > 0:
            self.failing -= 1
            raise self.error
        return tuple(known[-min(limit, self.page) :])

    def _known(self, items: Sequence[Any]) -> Sequence[Any]:
        upto = items[: len(items) - self.behind]
        return upto[-self.kept :]

    def trades(
        self,
        instrument_id: str,
        market: str,
        *,
        after_id: str | None = None,
        before_id: str | None = None,
        limit: int = 100,
    ) -> tuple[Trade, ...]:
        assert (instrument_id, market) == (NAME, "spot")
        low = -1 if after_id is None else int(after_id)
        high = math.inf if before_id is None else int(before_id)
        found = [t for t in self._known(self.all_trades) if low < int(t.id) < high]
        return self._give(found, limit, after_id, before_id)

    def candles(
        self,
        instrument_id: str,
        market: str,
        channel: str,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int = 100,
    ) -> tuple[Candle, ...]:
        assert (instrument_id, market, channel) == (NAME, "spot", "candle60s")
        low = utc(0.0) if after is None else after
        high = utc(1e10) if before is None else before
        found = [c for c in self._known(self.all_candles) if low < c.start < high]
        return self._give(found, limit, after, before)

    def book(self, instrument_id: str, market: str, levels: int = 400) -> PastBook:
        self.asked.append((instrument_id, market, levels))
        if self.failing > 0:
            self.failing -= 1
            raise self.error
        return self.books.pop(0) if len(self.books) > 1 else self.books[0]

    def close(self) -> None:
        self.closed += 1


class WorldHistoryWorker(HistoryWorker):
    """A history worker in virtual time.

    Half of *latency* after the query it reads the list; after the other half it
    answers.
    """

    def __init__(
        self, world: World, source: Callable[[], History], latency: float = 0.2
    ) -> None:
        super().__init__("", world.clock, source)
        self._world = world
        self.latency = latency
        # If true, queries get no answer.
        self.is_deaf = False
        # How often each answer is given.
        self.times = 1
        self.jitter: random.Random | None = None

    def ask(
        self, question: HistoryQuery, answer: QueryCallback, wait: float = 0.0
    ) -> None:
        half = self.latency / 2
        if self.jitter is not None:
            half *= self.jitter.uniform(0.1, 3.0)

        def put() -> None:
            given = self._put(question)
            for _ in range(self.times):
                self._world.after(half, lambda: self._closing or answer(given))

        if not (self._closing or self.is_deaf):
            self._world.after(wait + half, put)

    def forked(self) -> None:
        """Do nothing: it has no thread."""


class RandomPast(Past):
    """A `Past` that fails, lags, repeats items and mixes their order, by a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def _give(self, known: Sequence[Any], limit: int, *asked: Any) -> tuple[Any, ...]:
        if self._random.random() < 0.2:
            self.failing = 1
        self.page = self._random.choice((1, 3, 10, 10**9))
        given = list(super()._give(known, limit, *asked))
        if self._random.random() < 0.3:
            given += given[-2:]
            self._random.shuffle(given)
        return tuple(given)

    def _known(self, items: Sequence[Any]) -> Sequence[Any]:
        self.behind = self._random.choice((0, 0, 1, 3))
        return super()._known(items)


def check_trades(told: Sequence[Any], truth: Sequence[Trade]) -> list[Gap]:
    """Check that each trade of *truth* was delivered once and in order.

    The first trade that was delivered begins the check. Where trades are missing there
    must be exactly one `Gap`, which names the trades on both sides. Returns all gaps.
    """
    by_id = {trade.id: trade for trade in truth}
    numbers = sorted(map(int, by_id))
    for before, gap, item in _pairs(told):
        real, number = by_id[item.id], int(item.id)
        same = (item.price, item.size, item.side, item.timestamp)
        assert same == (real.price, real.size, real.side, real.timestamp)
        last = None if before is None else int(before.id)
        assert last is None or number > last, f"{number} after {last}"
        if gap is not None:
            assert (gap.after, gap.before) == (before and before.id, item.id)
        elif last is not None:
            between = numbers[
                bisect_right(numbers, last) : bisect_left(numbers, number)
            ]
            assert not between, f"without a gap, {between} are missing"
    return [item for item in told if isinstance(item, Gap)]


def check_candles(told: Sequence[Any], truth: Sequence[Candle]) -> list[Gap]:
    """Check that each closed bar was delivered once, closed and in order.

    The first bar that was delivered begins the check. Returns all gaps.
    """
    starts = [candle.start for candle in truth]
    for before, gap, item in _pairs(told):
        if before is not None:
            again = item.start == before.start
            assert again or item.start > before.start
            assert not (again and before.closed), f"{item} was told before"
            if gap is None and not again:
                assert before.closed, f"{before} was never closed"
                closed = [s for s in starts if before.start < s < item.start]
                assert not closed, f"without a gap, {closed} are missing"
        if gap is not None:
            assert gap.before == iso_of(item.start)
            assert gap.after == (None if before is None else iso_of(before.start))
    return [item for item in told if isinstance(item, Gap)]


def _pairs(told: Sequence[Any]) -> Iterator[tuple[Any, Gap | None, Any]]:
    """Yield each item, with the one before it and the gap between them.

    Two gaps between the same items are an error.
    """
    before, gap = None, None
    for item in told:
        if isinstance(item, Gap):
            assert gap is None, f"two gaps in one place: {gap}, {item}"
            gap = item
        else:
            yield before, gap, item
            before, gap = item, None


def iso_of(start: datetime) -> str:
    return start.strftime("%Y-%m-%dT%H:%M:%S.000Z")
