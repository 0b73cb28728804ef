"""The items that a script receives: `Depth`, `Trade`, `Candle` and the others.

They are immutable values, whose `repr` is one line. Shapes and units are the same
everywhere in the library: prices and sizes are the exchange's own characters (``str``)
in `Depth`, `BookUpdate` and ``GetDepth()``, and ``Decimal`` elsewhere; a size is in
base currency on spot, in `Instrument.contract_currency` on spreads, and in contracts on
every other market; a price is positive, but that of a spread may be 0 or negative; a
time is an aware UTC ``datetime``; a duration is ``float`` seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any, NamedTuple, Union

from ..base.state import Cause, State
from .book import RPI, Level, OrderBook
from .display import Displayed, one_line, table
from .instrument import InstrumentChange
from .numbers import middle, spread
from .reports import StateChange


@dataclass(frozen=True, slots=True, repr=False)
class Depth(Displayed):
    """One depth of an order book: *bids* and *asks*, best first; either may be empty.

    *timestamp* is the exchange's time, *received* the time at which this machine
    received it. *lag* is how many seconds later the message came than the fastest one
    of its connection in the last ten minutes, or ``None`` if that is unknown. *seq* is
    the exchange's sequence number, if it sends one. *epoch* grows whenever the prices
    before and after must not be averaged, as after a reconnect; with several depth
    channels also whenever one of them begins or ceases to be trusted. *channel* is the
    channel that the depth came from.
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

    @property
    def book(self) -> OrderBook:
        """The same levels as an `OrderBook`, which has ``mid``, ``sweep`` and more."""
        return OrderBook(self.bids, self.asks, self.channel == RPI)


@dataclass(frozen=True, slots=True, repr=False)
class Tick(Displayed):
    """What a script read at one tick of ``every(seconds)``.

    *at* is the time of the tick, or of the read if it came more than a millisecond
    later, on this machine's clock; in a replay, on the recording machine's. *depth* is
    the `Depth` that could be trusted at that moment, and *state* is then ``LIVE``; or
    *depth* is ``None``, and *state* and *cause* say why. The depth of an earlier tick
    is never carried over.
    """

    at: datetime
    instrument_id: str
    state: State
    cause: Cause
    depth: Depth | None


@dataclass(frozen=True, slots=True, repr=False)
class BestBidAsk(Displayed):
    """Best bid and best ask of a trusted book.

    Price and size of an empty side are ``None``. Of channel ``'books-rpi'`` they are
    what every order can take, unless the read had ``rpi=True``. The rest is as in
    `Depth`.
    """

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
        """The exact mean of bid and ask, or ``None`` if a side is empty."""
        return middle(self.bid, self.ask)

    @property
    def spread(self) -> Decimal | None:
        """Exactly ask minus bid, or ``None`` if a side is empty."""
        return spread(self.bid, self.ask)


@dataclass(frozen=True, slots=True, repr=False)
class BookUpdate(Displayed):
    """What one message changed in a whole order book, and the book after the change.

    With *action* ``'snapshot'``, *bids* and *asks* are the whole book. With
    ``'update'`` they are levels that replace or insert the level at their price in the
    book of the item before, or delete it if their size is zero. After an update was
    missed, the next item is a snapshot. *book* is the version after the change, an
    `OrderBook`. The rest is as in `Depth`.
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


@dataclass(frozen=True, slots=True, repr=False)
class Trade(Displayed):
    """One trade, or several consecutive ones that the exchange put together.

    *side* is the taker's, ``'buy'`` or ``'sell'``. *id* is the last trade's id,
    *first_id* the first one's, *count* the number of trades. *replayed* marks the last
    trade from before the subscription, of any age, which v3 and v5's ``trades`` send
    once the channel is subscribed: only ``updates(repeated=True)`` gives it. Nothing in
    the message says so: a first trade of the first second counts as replayed, and a
    later one unless it is shown to be news. *replayed* also marks a trade that comes
    after a newer one, because it was lost at first; every iterator gives that.
    *backfilled* marks a trade that was fetched over REST (``history=``); *received* is
    then when it was fetched. *rpi* is whether the maker's order was one of retail price
    improvement, by v5's field ``source``; ``None`` if the exchange does not say.
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
    rpi: bool | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Ticker(Displayed):
    """The exchange's own summary of one instrument.

    A field that the exchange left out is ``None``, and so is *last* before the first
    trade of the instrument. *last* and *last_size* are those of the last trade.
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


@dataclass(frozen=True, slots=True, repr=False)
class Candle(Displayed):
    """One bar of a candle channel: the prices from *start* to the end of the bar.

    *channel* tells how long a bar is (``'candle60s'``). *volume* is in base currency on
    spot and in contracts elsewhere, *volume_ccy* in quote currency on spot and in base
    currency elsewhere, *volume_quote* in quote currency. A field that the protocol does
    not send is ``None``. *closed* tells whether the bar is complete; it is ``None``
    under v3, which does not say. *backfilled* marks a bar that was fetched over REST
    (``history=``): it is complete, and *received* is when it was fetched.
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
    """A whole book as it was fetched over REST, best first; levels as in `BookUpdate`.

    *seq* is the exchange's sequence number of the book, if it sent one. *timestamp* is
    the exchange's time. *rpi* is as in `OrderBook`.
    """

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    seq: int | None
    timestamp: datetime
    rpi: bool = False

    @property
    def book(self) -> OrderBook:
        """The same levels as an `OrderBook`, which has ``mid``, ``sweep`` and more."""
        return OrderBook(self.bids, self.asks, self.rpi)

    def __repr__(self) -> str:
        return one_line(self)

    def _repr_html_(self) -> str:
        return table(self)


@dataclass(frozen=True, slots=True, repr=False)
class FundingRate(Displayed):
    """The funding rate of a perpetual swap, or of an X-Perp.

    *rate* is the signed fraction of their position that longs pay to shorts at
    *funding_time*. *next_rate* is the exchange's estimate for *next_funding_time*; both
    and *timestamp* are ``None`` if the exchange does not send them.
    """

    instrument_id: str
    rate: Decimal
    funding_time: datetime
    next_rate: Decimal | None
    next_funding_time: datetime | None
    timestamp: datetime | None
    received: datetime
    epoch: int


class ReadOnly(Mapping[str, Any]):
    """A mapping that cannot be changed; it is equal to a ``dict`` of the same content.

    It can be copied and pickled, which `types.MappingProxyType` cannot.
    """

    __slots__ = ("_content",)

    def __init__(self, content: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._content = dict(content)

    def __getitem__(self, name: str) -> Any:
        return self._content[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)

    def __repr__(self) -> str:
        return repr(self._content)


NO_ENVELOPE = ReadOnly()


@dataclass(frozen=True, slots=True, repr=False)
class Data(Displayed):
    """A push of a channel for which the library has no type of its own: decoded JSON.

    *elements* is the list under the key ``data``. Every JSON number in it is a ``str``
    of the exchange's own characters. *action* is the exchange's (``'snapshot'``,
    ``'update'``), or ``None`` if the message has none. *instrument_id* is ``''`` for a
    channel that is not about one instrument. *envelope* is a read-only mapping of what
    the message says beside its data, its action and the name of its channel, decoded as
    *elements* is: ``eventType``, ``curPage`` and ``lastPage`` of v5's ``positions``,
    for example.
    """

    channel: str
    elements: tuple[Any, ...]
    action: str | None
    received: datetime
    epoch: int
    instrument_id: str = ""
    envelope: Mapping[str, Any] = field(default_factory=ReadOnly, hash=False)


@dataclass(frozen=True, slots=True, repr=False)
class Gap(Displayed):
    """Items of *channel* are missing after the id *after* and before the id *before*.

    It comes among the items, at the place where they are missing. An id is that of a
    trade, or the start of a candle; it is ``None`` if it is not known, or not yet.
    *cause*, a `Cause`, says why the items are missing. *at* is when the library noticed
    the gap, and is set in every gap that it delivers; two gaps are equal even if their
    *at* differs.
    """

    channel: str
    after: str | None
    before: str | None
    cause: Cause
    instrument_id: str = ""
    at: datetime | None = field(default=None, compare=False)


Item = Union[
    Depth,
    BookUpdate,
    Trade,
    Ticker,
    Candle,
    FundingRate,
    Data,
    InstrumentChange,
    StateChange,
    Gap,
]
