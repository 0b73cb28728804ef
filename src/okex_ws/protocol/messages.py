"""What the wire says, in one vocabulary for every protocol. Values, no behaviour.

Tuples, because one is made for every message. A channel is named by its key: the wire's
own name of it under v3, ``'futures/depth5:BTC-USD-190517'``, and under v5, where it is
an object, ``'books5:BTC-USDT'``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, Union


class ChannelName(NamedTuple):
    """One channel: its key, and what the library calls what comes over it.

    *kind* is what its items are: ``'depth'``, ``'book'``, ``'trade'``, ``'ticker'``,
    ``'candle'``, ``'funding'`` or ``'data'``. *instrument_id* is ``''`` for what is not
    about one. *levels* is how many a side a depth or a book has, at the most.
    """

    key: str
    topic: str
    instrument_id: str
    kind: str
    levels: int = 0


class SocketPath(NamedTuple):
    """Which of a venue's sockets carries a channel, and whether one logs in there."""

    name: str = ""  # v5's 'public', 'business' or 'private'; v3 has one socket for all
    login: bool = False


class Request(NamedTuple):
    """The text of a request, and the channels that it carries."""

    text: str
    channels: tuple[str, ...]


class Push(NamedTuple):
    """Data of one channel: its elements as decoded JSON, and the wire's own text.

    *exact* is whether each JSON number in it is the ``str`` of its own characters.
    """

    channel: str
    elements: list[Any]
    text: str
    action: str | None
    exact: bool = True


# A `Push` of all its fields, in order: one is made for every message.
push: Callable[[tuple[Any, ...]], Push] = partial(tuple.__new__, Push)


class Subscribed(NamedTuple):
    """The exchange acknowledged a subscribe; *id* is the request's, under v5."""

    channel: str
    id: str | None = None


class Unsubscribed(NamedTuple):
    """The exchange acknowledged an unsubscribe; *id* is the request's, under v5."""

    channel: str
    id: str | None = None


class Refused(NamedTuple):
    """An error event. It has no field for the channel; *message* may name one.

    *id* is that of the request that it answers, under v5.
    """

    code: int | str
    message: str
    id: str | None = None


class LoggedIn(NamedTuple):
    """The exchange accepted a login."""


class Notice(NamedTuple):
    """The exchange says something about the connection; v5's 64008: it will close."""

    code: str
    message: str


class Terminated(NamedTuple):
    """The exchange ended every subscription of this kind of channel, for good."""

    kind: str
    message: str


class Pong(NamedTuple):
    """The answer to the text ``ping``."""


class Unknown(NamedTuple):
    """A well-formed event or table that this protocol module does not know."""

    name: str


Message = Union[
    Push,
    Subscribed,
    Unsubscribed,
    Refused,
    LoggedIn,
    Notice,
    Terminated,
    Pong,
    Unknown,
]


class BookData(NamedTuple):
    """One message of a whole book: its rows, not checked yet, and what proves them.

    *whole* is whether it replaces the book, or changes it. *checksum* is the wire's,
    ``None`` where it sent none; *seq* and *prev_seq* are so under v3.
    """

    whole: bool
    bids: list[list[Any]]
    asks: list[list[Any]]
    time_ms: int
    seq: int | None
    prev_seq: int | None
    checksum: int | None


# A `BookData` of all its fields, in order: one is made for every change.
book_data: Callable[[tuple[Any, ...]], BookData] = partial(tuple.__new__, BookData)


class DepthData(NamedTuple):
    """Levels that are checked and best first, price and size ``str``.

    Those of a whole book are tuples, and have the *change* that they come of and its
    number: *version* counts up by one with each.
    """

    bids: Sequence[Sequence[Any]]
    asks: Sequence[Sequence[Any]]
    time_ms: int
    seq: int | None
    change: BookData | None = None
    version: int = 0


# A `DepthData` of all its fields, in order: one is made for every snapshot.
depth_data: Callable[[tuple[Any, ...]], DepthData] = partial(tuple.__new__, DepthData)

# What came before the first snapshot: two sides that are checked already.
NO_DEPTH = DepthData([], [], 0, None)


@dataclass(frozen=True, slots=True)
class TradeData:
    """A checked trade element."""

    id: str
    first_id: str
    count: int
    price: Decimal
    size: Decimal
    side: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class TickerData:
    """A checked ticker element; field for field as in `Ticker`."""

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
    time_ms: int


@dataclass(frozen=True, slots=True)
class CandleData:
    """A checked candle; field for field as in `Candle`, *start_ms* in epoch ms."""

    start_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    volume_ccy: Decimal | None
    volume_quote: Decimal | None
    closed: bool | None


@dataclass(frozen=True, slots=True)
class FundingData:
    """A checked funding rate; as in `FundingRate`, times in epoch milliseconds."""

    rate: Decimal
    funding_time_ms: int
    next_rate: Decimal | None
    next_funding_time_ms: int | None
    time_ms: int | None
