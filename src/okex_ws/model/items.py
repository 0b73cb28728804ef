"""The vocabulary: what a script is given. Values, no behaviour.

Shapes and units, everywhere in the library: prices and sizes are the wire's own
characters (``str``) in `Depth` and ``GetDepth()`` and ``Decimal`` elsewhere; a size is
in base currency on spot and in contracts on every other market; a time that a user
sees is an aware UTC ``datetime``; a duration is ``float`` seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Union

if TYPE_CHECKING:
    from .book import OrderBook

# A level of a book: price, size, then what the wire adds (liquidated orders on v3
# derivatives, "0" where the field is retired, and last the number of orders).
Level = tuple[str, ...]


class State(str, Enum):
    """Whether prices can be trusted. Only `LIVE` gives prices."""

    CONNECTING = "CONNECTING"
    SYNCING = "SYNCING"
    LIVE = "LIVE"
    STALE = "STALE"
    RESYNCING = "RESYNCING"
    RECONNECTING = "RECONNECTING"
    FAILED = "FAILED"
    CLOSED = "CLOSED"

    def __str__(self) -> str:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    @property
    def final(self) -> bool:
        """True for the two states that nothing leaves: `FAILED` and `CLOSED`."""
        return self is State.FAILED or self is State.CLOSED


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
class StateChange:
    """The subscription of *instrument_id* went from *old* to *new* at *at*."""

    old: State
    new: State
    cause: str
    epoch: int
    at: datetime
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


@dataclass(frozen=True, slots=True)
class Health:
    """One consistent look at a subscription or a feed.

    *age* is seconds since the depth channel's last push (``inf`` before the first),
    *silence* seconds since any byte on its connection, *lag* as in `Depth`, *failed*
    the channels that the exchange refused, each with its error.
    """

    state: State
    cause: str
    age: float
    silence: float
    lag: float | None
    epoch: int
    failed: Mapping[str, Exception]


@dataclass(frozen=True, slots=True)
class ConnectionReport:
    """One connection of a feed, and what the exchange's limits leave it.

    *endpoint* is where it is, or tries to be; *channels* how many it carries, *depths*
    how many of those are books of 50 or more levels, which the exchange advises to keep
    below 30. *requests_left* is how many requests may be sent now, out of the venue's
    hour; *requests_wait* seconds until the next one may, *connect_wait* seconds until
    the next attempt at this host may be made, by any feed of the process.
    """

    endpoint: str
    open: bool
    channels: int
    depths: int
    requests_left: int
    requests_wait: float
    connect_wait: float


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts since the start, over every reconnect; the names in it are stable.

    A count is there once it is not 0. What `updates` and a slow callback passed over is
    counted for each of them.

    Attributes:
        messages: that were received whole, of any kind, pongs too.
        bytes: that were received after the handshakes, frame headers included; under
            TLS what was in it.
        reconnects: losses and failed attempts, by cause: ``'ConnectionLost'`` (TCP or
            TLS ended, or never came up), ``'ConnectionLost 1001'`` (with that close
            code), ``'HandshakeFailed'`` (a certificate that is refused, an answer that
            is no HTTP), ``'HandshakeFailed 503'`` (with that status), ``'Stalled'`` (no
            pong, or nothing in the time there is to connect), ``'reader'`` (the process
            of an isolated feed ended, or could not be started; what it had counted in
            its last seconds is lost).
        resyncs: withdrawals of one channel, for a message that could not be read or a
            book that failed its proof.
        gaps: places where trades, candles or data were missed with the connection, be
            it that they were fetched since (``history=``).
        mismatches: depths of one sequence number whose best levels were not the same.
        dropped: messages that could not be used, by kind, which is that of the error if
            there is one. Broken as such: ``'frame'`` (a binary one under v5),
            ``'utf-8'``, ``'inflate'`` (the deflated stream of v3), ``'json'``,
            ``'shape'`` (no message of the protocol). An element that could not be read:
            ``'depth'``, ``'book'``, ``'trade'``, ``'ticker'``, ``'candle'``,
            ``'funding'``. A book that failed its proof: ``'checksum'``, ``'sequence'``,
            and ``'book'`` for what neither is; ``'resynchronising'``: its pushes until
            it is subscribed anew. Not asked for: ``'unasked'`` (a push of a channel
            that is not subscribed), ``'unasked pong'``, and answers to no request:
            ``'unasked ack'``, ``'unasked error'``, ``'unasked login'``. Not known:
            ``'unknown'`` (an event, or an answer to an order), ``'unasked unknown'``.
        skipped: items that were good and not handed over. By the topic of their channel
            (``depth5``, ``trade``; v3's name where there is one): those that gave way
            to newer ones, or found too many waiting (a `Gap` tells that). And
            ``'repeat'``: trades that are known; ``'old'``: candles before the newest;
            ``'before the snapshot'``: changes of a whole book that is not there yet;
            ``'too large'``: depths that an isolated feed has no room to share;
            ``'on_error'``: errors that gave way to newer ones.
        callback_errors: exceptions out of callbacks.
        callback_stalls: callbacks that took a second or more.
        last_pong: when the last pong came; of several connections the oldest.
        ping_round_trip: seconds that it took; of several connections the longest.
    """

    messages: int = 0
    bytes: int = 0
    reconnects: Mapping[str, int] = field(default_factory=dict)
    resyncs: int = 0
    gaps: int = 0
    mismatches: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    skipped: Mapping[str, int] = field(default_factory=dict)
    callback_errors: int = 0
    callback_stalls: int = 0
    last_pong: datetime | None = None
    ping_round_trip: float | None = None
