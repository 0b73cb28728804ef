"""The vocabulary: what a script is given. Values, no behaviour.

Shapes and units, everywhere in the library: prices and sizes are the wire's own
characters (``str``) in `Depth` and ``GetDepth()`` and ``Decimal`` elsewhere; a size is
in base currency on spot and in contracts on every other market; a time that a user
sees is an aware UTC ``datetime``; a duration is ``float`` seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from .book import Level
from .reports import StateChange

if TYPE_CHECKING:
    from .book import OrderBook


@dataclass(frozen=True, slots=True)
class Depth:
    """The levels of one side-by-side snapshot, best first; either side may be empty.

    *timestamp* is the exchange's, *received* ours. *lag* is how much later than the
    best of its connection's last ten minutes the message came, or ``None`` where that
    is unknown. *epoch* grows whenever averaging over the change would be wrong; of
    several depth channels, whenever one of them begins or ceases to be trusted.
    """

    instrument_id: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    timestamp: datetime
    received: datetime
    lag: float | None
    seq: int | None
    epoch: int
    channel: str


@dataclass(frozen=True, slots=True)
class BestBidAsk:
    """The top of a trusted book. The prices and sizes of an empty side are ``None``."""

    instrument_id: str
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    timestamp: datetime
    received: datetime
    lag: float | None
    seq: int | None
    epoch: int
    channel: str

    @property
    def mid(self) -> Decimal | None:
        """Half-way between bid and ask, or ``None`` while a side is empty."""
        if self.bid is None or self.ask is None:
            return None
        return (self.bid + self.ask) / 2

    @property
    def spread(self) -> Decimal | None:
        """Ask less bid, or ``None`` while a side is empty."""
        if self.bid is None or self.ask is None:
            return None
        return self.ask - self.bid


@dataclass(frozen=True, slots=True)
class BookUpdate:
    """What one message changed in a whole book, and the book after it.

    *action* is ``'snapshot'``, and then *bids* and *asks* are the whole book, or
    ``'update'``: rows that replace, insert or, with a size of zero, delete their price
    in the book of the item before. Whatever was missed in between is made up for by a
    snapshot. *book* is the version after it, an `OrderBook`. The rest is as in `Depth`.
    """

    instrument_id: str
    action: str
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    book: OrderBook = field(repr=False)
    timestamp: datetime
    received: datetime
    lag: float | None
    seq: int | None
    epoch: int
    channel: str


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade, or several that the exchange put together.

    *side* is the taker's, ``'buy'`` or ``'sell'``. *id* is the last id, *first_id* the
    first, *count* how many. *replayed* marks the trade that v3 sends again after every
    subscribe, however old it is; *backfilled* one that did not come over the stream but
    was fetched (``history=``): *received* is when that was.
    """

    instrument_id: str
    id: str
    first_id: str
    count: int
    price: Decimal
    size: Decimal
    side: str
    timestamp: datetime
    received: datetime
    epoch: int
    replayed: bool = False
    backfilled: bool = False


@dataclass(frozen=True, slots=True)
class Ticker:
    """The exchange's own summary of one instrument; a field it left out is ``None``.

    So is *last* before the first trade of an instrument.

    *volume_24h* is in base currency on spot and in contracts elsewhere,
    *volume_ccy_24h* in quote currency on spot and in base currency elsewhere.
    """

    instrument_id: str
    last: Decimal | None
    last_size: Decimal | None
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None
    open_24h: Decimal | None
    high_24h: Decimal | None
    low_24h: Decimal | None
    volume_24h: Decimal | None
    volume_ccy_24h: Decimal | None
    timestamp: datetime
    received: datetime
    epoch: int


@dataclass(frozen=True, slots=True)
class Candle:
    """One bar of a candle channel: prices from *start* on, for as long as it is long.

    *channel* tells how long (``'candle60s'``). *volume* is in base currency on spot and
    in contracts elsewhere; *volume_ccy* in quote currency on spot and in base currency
    elsewhere, *volume_quote* in quote currency. What a protocol does not send is
    ``None``; so is *closed* under v3, which does not say whether a bar is complete.
    *backfilled* marks one that was fetched (``history=``): it is complete, and
    *received* is when it was fetched.
    """

    instrument_id: str
    channel: str
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    volume_ccy: Decimal | None
    volume_quote: Decimal | None
    closed: bool | None
    received: datetime
    epoch: int
    backfilled: bool = False


class PastBook(NamedTuple):
    """A whole book as it was fetched, best first; rows as in `BookUpdate`.

    *seq* is the exchange's sequence number of it, if it has one.
    """

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    seq: int | None
    timestamp: datetime


@dataclass(frozen=True, slots=True)
class FundingRate:
    """What a perpetual's longs pay its shorts at *funding_time*: a fraction, signed.

    *next_rate* is the exchange's estimate for *next_funding_time*; either may be
    ``None``, and so is *timestamp* where the exchange sends none.
    """

    instrument_id: str
    rate: Decimal
    funding_time: datetime
    next_rate: Decimal | None
    next_funding_time: datetime | None
    timestamp: datetime | None
    received: datetime
    epoch: int


@dataclass(frozen=True, slots=True)
class Data:
    """A push of a channel that the library has no type for: its JSON, decoded.

    *elements* is the content of ``data``; every JSON number in it is the ``str`` of its
    own characters. *action* is the wire's (``'snapshot'``, ``'update'``), if it said
    any. *instrument_id* is ``''`` for a channel that is not about one.
    """

    channel: str
    elements: tuple[Any, ...]
    action: str | None
    received: datetime
    epoch: int
    instrument_id: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Items of *channel* between the ids *after* and *before* are missing.

    Either id is ``None`` where it is not known (yet). *at* is when it was noticed, of
    every gap that the library tells; two are equal whenever that was.
    """

    channel: str
    after: str | None
    before: str | None
    cause: str
    instrument_id: str = ""
    at: datetime | None = field(default=None, compare=False)


Item = Union[
    Depth, BookUpdate, Trade, Ticker, Candle, FundingRate, Data, StateChange, Gap
]
