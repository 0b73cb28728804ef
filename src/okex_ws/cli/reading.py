"""One look at a subscription: prices and health that agree. No I/O, no text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from .. import Depth, Health, NotLive, State, Ticker, Trade, WSSubscription


@dataclass(frozen=True, slots=True)
class Reading:
    """What there is to show of one instrument at one moment.

    *depth* is there if and only if it can be trusted. *last* is the newest that could,
    for those who show it greyed out: `best` and the like are of it.
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
        """Whether what it shows can be trusted."""
        return self.health.state is State.LIVE

    @property
    def shown(self) -> Depth | None:
        """The depth to show: the present one, else the last one that was trusted."""
        return self.depth or self.last

    @property
    def since(self) -> datetime | None:
        """When the exchange said what is shown."""
        shown = self.depth or self.ticker
        return None if shown is None else shown.timestamp


@dataclass(frozen=True, slots=True)
class Top:
    """Best bid and ask of a depth or a ticker; what is not there is ``None``."""

    bid: Decimal | None = None
    bid_size: Decimal | None = None
    ask: Decimal | None = None
    ask_size: Decimal | None = None

    @property
    def spread(self) -> Decimal | None:
        """Ask less bid."""
        if self.bid is None or self.ask is None:
            return None
        return self.ask - self.bid

    @property
    def mid(self) -> Decimal | None:
        """Half-way between bid and ask."""
        if self.bid is None or self.ask is None:
            return None
        return (self.bid + self.ask) / 2


def top(depth: Depth | Ticker | None) -> Top:
    """The best levels of *depth*."""
    if depth is None:
        return Top()
    if isinstance(depth, Ticker):
        return Top(depth.bid, depth.bid_size, depth.ask, depth.ask_size)
    numbers: list[Decimal | None] = []
    for side in (depth.bids, depth.asks):
        numbers += map(Decimal, side[0][:2]) if side else (None, None)
    return Top(*numbers)


class SubscriptionReader:
    """Looks at one subscription again and again, and remembers what it saw last."""

    def __init__(
        self, subscription: WSSubscription, channels: Iterable[str] = ()
    ) -> None:
        self.subscription = subscription
        self._ticker = "ticker" in channels or "tickers" in channels
        self._last: Depth | None = None

    def read(self, levels: int = 1) -> Reading:
        """What there is now, with at most so many *levels* a side."""
        one = self.subscription
        found = Reading(one.instrument_id, one.market, one.health())
        for _ in range(3):
            depth, health = self._depth(levels), one.health()
            found = replace(found, depth=depth, health=health)
            if depth is None or health.state is State.LIVE:
                break
        else:
            # It changes faster than it can be looked at. No prices is always true.
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
