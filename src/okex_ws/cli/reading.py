"""One reading of a subscription: prices and health that agree. No I/O, no text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from .. import (
    Depth,
    Health,
    NotLive,
    State,
    Ticker,
    Trade,
    WSSubscription,
    market_of,
)


@dataclass(frozen=True, slots=True)
class Quote:
    """What there is to show of one instrument at one moment.

    *depth* is ``None`` unless it can be trusted. *last* is the newest depth that could
    be trusted when it was read; a screen may show it greyed out.
    """

    instrument_id: str
    market: str
    health: Health
    depth: Depth | None = None
    ticker: Ticker | None = None
    trades: tuple[Trade, ...] = ()
    last: Depth | None = None

    @property
    def live(self) -> bool:
        """Whether the prices can be trusted: the state is LIVE."""
        return self.health.state is State.LIVE

    @property
    def shown(self) -> Depth | None:
        """The depth to show: the present one, else the last one that was trusted."""
        return self.depth or self.last

    @property
    def since(self) -> datetime | None:
        """The exchange's time of the present depth, else of the ticker."""
        shown = self.depth or self.ticker
        return None if shown is None else shown.timestamp


@dataclass(frozen=True, slots=True)
class Top:
    """Best bid and ask of a depth or a ticker; a missing price or size is ``None``."""

    bid: Decimal | None = None
    bid_size: Decimal | None = None
    ask: Decimal | None = None
    ask_size: Decimal | None = None

    @property
    def spread(self) -> Decimal | None:
        """Ask minus bid; ``None`` if a side is empty."""
        if self.bid is None or self.ask is None:
            return None
        return self.ask - self.bid

    @property
    def mid(self) -> Decimal | None:
        """The middle between bid and ask; ``None`` if a side is empty."""
        if self.bid is None or self.ask is None:
            return None
        return (self.bid + self.ask) / 2


def whole_book(instrument_id: str, market: str | None) -> str:
    """The channel with the whole book of an instrument; a spread has one alone."""
    is_spread = (market or market_of(instrument_id)) == "spread"
    return "depth_l2_tbt" if is_spread else "depth"


def top(depth: Depth | Ticker | None) -> Top:
    """The best levels of a depth or a ticker; of ``None`` an empty `Top`."""
    if depth is None:
        return Top()
    if isinstance(depth, Ticker):
        return Top(depth.bid, depth.bid_size, depth.ask, depth.ask_size)
    numbers: list[Decimal | None] = []
    for level in depth.book.best:
        numbers += map(Decimal, level[:2]) if level is not None else (None, None)
    return Top(*numbers)


class SubscriptionReader:
    """Reads one subscription again and again, and remembers the last trusted depth.

    It makes prices and health agree: if they contradict each other three times in a
    row, the reading has no prices. One thread calls it.
    """

    def __init__(
        self, subscription: WSSubscription, channels: Iterable[str] = ()
    ) -> None:
        self.subscription = subscription
        self._ticker = "ticker" in channels or "tickers" in channels
        self._last: Depth | None = None

    def read(self, levels: int = 1) -> Quote:
        """Read prices and health now, with at most *levels* levels a side."""
        one = self.subscription
        found = Quote(one.instrument_id, one.market, one.health())
        for _ in range(3):
            depth, health = self._depth(levels), one.health()
            found = replace(found, depth=depth, health=health)
            if depth is None or health.state is State.LIVE:
                break
        else:
            # Depth and health disagreed three times. To show no prices is always right.
            found = replace(found, depth=None)
        self._last = found.depth or self._last
        ticker = one.latest("ticker") if self._ticker else None
        return replace(
            found,
            last=self._last,
            trades=one.trades,
            ticker=ticker if isinstance(ticker, Ticker) else None,
        )

    def _depth(self, levels: int) -> Depth | None:
        try:
            return self.subscription.depth(levels=levels)
        except NotLive:
            return None
