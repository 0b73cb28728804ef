"""What an exchange really sent of the best levels of a book: by content and by time.

Any thread may ask. The answer comes from the exchange's own record, and is kept for
twenty seconds.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from okex_ws import BestBidAsk
from okex_ws.local_exchange import LocalExchange
from tests.campaign.dialect import said_at

# The record is read this often, and looked up in between.
REFRESH = 0.2
# Pushes of a channel that are remembered at least: of ten seconds, at twenty a second;
# no fault lasts so long. More would only be memory that the leak check has to see past.
KEPT = 200
# A read of a whole book has so many levels a side, if it does not ask for more.
LEVELS = 5
# By how many seconds a gateway's clock may be ahead: the record has the market's time.
GATEWAY_CLOCKS = (0.0, -20.0, 25.0)

Levels = tuple[tuple[str, ...], ...]


class Content(NamedTuple):
    """What a push says; two pushes that say the same are the same price."""

    timestamp: datetime
    bids: Levels
    asks: Levels


def content(element: dict[str, Any]) -> Content:
    """The content of a push, or of what ``GetDepth()`` gave."""
    return Content(
        said_at(element), as_levels(element["bids"]), as_levels(element["asks"])
    )


def market_times(said: datetime) -> Iterator[datetime]:
    """The times of the market that a gateway may have stamped as *said*."""
    return (said - timedelta(seconds=clock) for clock in GATEWAY_CLOCKS)


def as_levels(side: list[list[str]]) -> Levels:
    """One side of a push."""
    return tuple(map(tuple, side))


class Placed(NamedTuple):
    """What a read gave: the truth that it is of, and its *first* and *last* place."""

    truth: Truth
    first: int
    last: int


class Truth:
    """What an exchange has sent on one channel of late."""

    def __init__(self, exchange: LocalExchange, channel: str) -> None:
        self.channel = channel
        self._exchange = exchange
        self._lock = threading.RLock()
        # The first place that is kept, and the times of that one and all later ones.
        self._first = 0
        self._sent: list[float] = []
        self._last: dict[Content, int] = {}
        # The place at which it was sent before all others.
        self._earliest: dict[Content, int] = {}
        # Two looks at the market can fall in one millisecond.
        self._by_time: dict[datetime, list[Content]] = defaultdict(list)
        self._read_at = 0.0

    def refresh(self, now: float) -> None:
        """Read what came to the record since the last time."""
        with self._lock:
            self._read_at = now
            newest = self._sent[-1] if self._sent else 0.0
            for at, element in self._exchange.pushed(self.channel):
                if at > newest:
                    place = self._first + len(self._sent)
                    self._sent.append(at)
                    self._take(element, place)
            if len(self._sent) > 2 * KEPT:
                self._first += len(self._sent) - KEPT
                del self._sent[:-KEPT]
                self._forget(self._first)

    def keep_up(self, now: float) -> None:
        """Read the record, if that was not done of late: it is not kept for long."""
        if now > self._read_at + REFRESH:
            self.refresh(now)

    def _take(self, element: dict[str, Any], place: int) -> None:
        """*element* was sent, as the push of that number."""
        self._note(content(element), place)

    def _note(self, said: Content, place: int) -> None:
        self._last[said] = place
        self._earliest.setdefault(said, place)
        self._by_time[said.timestamp].append(said)

    def _forget(self, first: int) -> None:
        """Only what was said from the place *first* on."""
        self._last = {said: n for said, n in self._last.items() if n >= first}
        self._earliest = {said: self._earliest[said] for said in self._last}
        self._by_time = defaultdict(list)
        for said in self._last:
            self._by_time[said.timestamp].append(said)

    # --- What is looked up ----------------------------------------------------------

    def top(self, best: BestBidAsk, now: float) -> Placed | None:
        """The places of all that was sent with that timestamp and that top.

        A market may say several versions in one millisecond, with one top and another
        one between: which of them it is cannot be told.
        """
        with self._lock:
            self.keep_up(now)
            return self._top(best) or self._top_now(best, now)

    def _top_now(self, best: BestBidAsk, now: float) -> Placed | None:
        self.refresh(now)
        return self._top(best)

    def _top(self, best: BestBidAsk) -> Placed | None:
        wanted = (best.bid, best.bid_size), (best.ask, best.ask_size)
        found = []
        for time in market_times(best.timestamp):
            said = self._by_time.get(time, ())
            same = [e for e in said if (_top(e.bids), _top(e.asks)) == wanted]
            if same:
                first = min(self._earliest[each] for each in same)
                last = max(self._last[each] for each in same)
                found.append(Placed(self, first, last))
        return max(found, key=lambda placed: placed.last, default=None)

    def place(self, said: Content, now: float) -> Placed | None:
        """The place of *said* among all pushes."""
        with self._lock:
            self.keep_up(now)
            found = self._place(said)
            if found is None:
                self.refresh(now)
                found = self._place(said)
            return found

    def _place(self, said: Content) -> Placed | None:
        for time in market_times(said.timestamp):
            true = said._replace(timestamp=time)
            if true in self._last:
                return Placed(self, self._earliest[true], self._last[true])
        return None

    def sent_before(self, moment: float) -> int:
        """The place of the newest push that was sent by *moment*; -1 for none."""
        with self._lock:
            return self._first + bisect.bisect_right(self._sent, moment) - 1

    def sent_at(self, place: int) -> float:
        """When the push at *place* was sent; endless if it was not yet."""
        with self._lock:
            at = place - self._first
            if at < 0:
                return 0.0
            return self._sent[at] if at < len(self._sent) else math.inf


def _top(side: Levels) -> tuple[Decimal | None, Decimal | None]:
    return (Decimal(side[0][0]), Decimal(side[0][1])) if side else (None, None)
