"""Judges whether trades were delivered once and in order, by the exchange's own record.

A trade that was pushed between two delivered ones, and was not, must be in a `Gap`.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from okex_ws import Gap, Trade
from okex_ws.local_exchange import LocalExchange
from tests.campaign.dialect import said_at
from tests.campaign.truth import market_times

# Seconds from a trade to its push, at the most, unless it was withheld.
FRESH = 0.25
# Trades that are remembered, of one channel: of more than ten seconds.
KEPT = 400


class TradeContent(NamedTuple):
    """All that a push says of a trade. An id may begin anew, and mean another trade."""

    id: str
    price: Decimal
    size: Decimal
    side: str
    at: datetime


class Trades:
    """The trades of one channel, as they were pushed and as they are handed over."""

    def __init__(
        self,
        exchange: LocalExchange,
        channel: str,
        around: Callable[[float], list[str]],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._exchange = exchange
        self._channel = channel
        # What was done to the rig at a moment, for a violation.
        self._around = around
        self._lock = threading.Lock()
        self._read_to = 0.0
        # Its number in the order in which they were pushed, and when that was. One that
        # was withheld, and pushed to a new subscriber alone, has none.
        self._pushed: dict[TradeContent, tuple[int, float]] = {}
        self._count = 0
        self._given: dict[TradeContent, None] = {}
        self._last: int | None = None
        self._in_gap = False
        # What was pushed last, with when that was, and what was handed over last.
        self._newest: tuple[TradeContent, float] | None = None
        self._taken: TradeContent | None = None

    def refresh(self) -> None:
        """Read what came to the record since the last time; any thread."""
        with self._lock:
            for at, element in self._exchange.pushed(self._channel):
                if at > self._read_to:
                    self._read_to = at
                    self._note(element, at)
            while len(self._pushed) > KEPT:
                del self._pushed[next(iter(self._pushed))]

    def _note(self, element: dict[str, Any], at: float) -> None:
        said = _content(element)
        self._newest = said, at
        # The last one is pushed again to each new subscriber.
        if said not in self._pushed:
            ago = time.time() - time.monotonic() + at - said.at.timestamp()
            self._pushed[said] = self._count if ago < FRESH else -1, at
            self._count += ago < FRESH

    def gap(self, gap: Gap) -> None:
        """A gap was handed over: whatever is missing here is told."""
        self.counts["gaps"] += 1
        self._in_gap = True

    def take(self, trade: Trade) -> str | None:
        """A trade was handed over; what is wrong about that, if anything."""
        said = self._find(trade)
        if said is None:
            self.refresh()
            said = self._find(trade)
        if said is None:
            return f"a trade that was never pushed: {trade!r}"
        number, _ = self._pushed[said]
        is_late = trade.replayed and self._last is not None and number < self._last
        self._taken = self._taken if is_late else said
        if trade.replayed or number < 0:
            return None
        self.counts["handed over"] += 1
        before, in_gap = self._last, self._in_gap
        self._last, self._in_gap = number, False
        if said in self._given:
            self.counts["doubled"] += 1
            return f"trade {trade.id} of {self._channel} was handed over twice"
        self._remember(said)
        return None if before is None else self._follow(before, number, in_gap)

    def _find(self, trade: Trade) -> TradeContent | None:
        """What was pushed that *trade* is, whatever clock its gateway had."""
        for at in market_times(trade.timestamp):
            said = TradeContent(trade.id, trade.price, trade.size, trade.side, at)
            if said in self._pushed:
                return said
        return None

    def _follow(self, before: int, number: int, in_gap: bool) -> str | None:
        """Whether the trade of that *number* follows on the one *before*."""
        if number < before:
            return f"trades of {self._channel} are not in order: {before}, {number}"
        missing = number - before - 1
        if in_gap:
            self.counts["in gaps"] += missing
        elif missing:
            self.counts["missed"] += missing
            ats = [at for n, at in self._pushed.values() if before < n < number]
            done = self._around(ats[0]) if ats else []
            what = f"{missing} trades of {self._channel} are missing, and no gap"
            return f"{what}, {done}"
        return None

    def _remember(self, said: TradeContent) -> None:
        self._given[said] = None
        if len(self._given) > KEPT:
            del self._given[next(iter(self._given))]

    def pushed_since(self, moment: float) -> bool:
        """Whether a trade was pushed after *moment* (monotonic); of another thread."""
        self.refresh()
        return self._newest is not None and self._newest[1] > moment

    @property
    def settled(self) -> bool:
        """Whether the last that was pushed is handed over; of another thread."""
        self.refresh()
        return self._newest is not None and self._newest[0] == self._taken


def _content(element: dict[str, Any]) -> TradeContent:
    size = next(element[name] for name in ("sz", "size", "qty") if name in element)
    return TradeContent(
        element.get("tradeId") or element["trade_id"],
        Decimal(element["px"] if "px" in element else element["price"]),
        Decimal(size),
        element["side"],
        said_at(element),
    )
