"""The messages of the exchange and the data in them: the same types for v3 and v5.

They are values without behaviour, and tuples because one is made for every message. A
channel is named by its key (see `catalogue`): ``'futures/depth5:BTC-USD-190517'`` under
v3, ``'books5:BTC-USDT'`` under v5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple, Union

from ..base.errors import WireError
from ..base.state import Cause, State
from ..model.items import NO_ENVELOPE


class ChannelName(NamedTuple):
    """One channel: its key, its topic, its instrument, and what its items are.

    *key* names the channel in the protocol's messages (see `catalogue`). *topic* is the
    library's name of the kind of channel, ``'depth5'``. *kind* is the type of its
    items: ``'depth'``, ``'book'``, ``'trade'``, ``'ticker'``, ``'candle'``,
    ``'funding'`` or ``'data'``. *instrument_id* is ``''`` for a channel that is not
    about one instrument. *levels* is the greatest number of levels on one side of a
    depth or a book. *path* is the path that a script chose, else ``''``.
    """

    key: str
    topic: str
    instrument_id: str
    kind: str
    levels: int = 0
    path: str = ""

    @property
    def is_spread(self) -> bool:
        """Whether the instrument is a spread, whose prices may be 0 or negative."""
        return ":sprdId=" in self.key


class Related(NamedTuple):
    """The keys of the channels to which data under a strange name may belong.

    *alike* is True if their channel name and instrument are those of the strange name,
    but for the case of letters and for further fields.
    """

    keys: list[str]
    alike: bool


class SocketPath(NamedTuple):
    """To which URL of a venue a connection for a channel goes, and if it has to log in.

    A connection carries only channels of one path.
    """

    name: str = ""  # v5's 'public', 'business' or 'private'; v3 has one socket: ''
    login: bool = False


class Request(NamedTuple):
    """The text of a request, and the keys of the *channels* that it carries.

    One request may not carry all channels that were asked for; the caller sends another
    one for the rest.
    """

    text: str
    channels: tuple[str, ...]


class Push(NamedTuple):
    """Data of one channel: its *elements* as decoded JSON, and the *text* of its frame.

    *channel* is the channel's key. *action* is the exchange's (``'snapshot'``,
    ``'update'`` and the like), or ``None`` if the message has none. *exact* is whether
    each JSON number in *elements* is the ``str`` of its characters. *envelope* has what
    else the message says beside its data. If one frame gives several pushes of a
    channel, only the first has the *text*, and the others have ``''``.
    """

    channel: str
    elements: list[Any]
    text: str
    action: str | None
    exact: bool = True
    envelope: Mapping[str, Any] = NO_ENVELOPE


# Makes a `Push` of all its fields, in order. Fast, because every message needs one.
push: Callable[[tuple[Any, ...]], Push] = partial(tuple.__new__, Push)


class Unreadable(NamedTuple):
    """An element of a data message that names no channel: *error* says why.

    The other elements of the message are pushes, in their order. The channel of *error*
    is what is known of its name.
    """

    error: WireError


# What the bytes of a depth's push tell of its order: the sequence number, the time in
# epoch milliseconds and, if there is no number, all the bytes but those of the time.
Stamp = tuple[Union[int, None], int, bytes]


# What the bytes of a trade's push tell: its id, the number that this is, and how many
# trades it stands for.
TradeStamp = tuple[str, int, int]


class Acknowledged(NamedTuple):
    """The exchange acknowledged a subscribe; under v5 *id* is the request's."""

    channel: str
    id: str | None = None


class Unsubscribed(NamedTuple):
    """The exchange acknowledged an unsubscribe; under v5 *id* is the request's."""

    channel: str
    id: str | None = None


class Refused(NamedTuple):
    """The exchange's error message, which refuses a request or a channel.

    It has no field for the channel, but *message* may name one. Under v5 *id* is that
    of the request that it answers.
    """

    code: int | str
    message: str
    id: str | None = None


class LoggedIn(NamedTuple):
    """The exchange accepted a login."""


class Notice(NamedTuple):
    """A notice about the connection: v5's code 64008 says that it will be closed."""

    code: str
    message: str


class Terminated(NamedTuple):
    """The exchange ended every subscription to channels named *kind*, for good.

    *kind* is the protocol's name of a channel, without an instrument.
    """

    kind: str
    message: str


class Pong(NamedTuple):
    """The answer to the text ``ping``."""


class Vouched(NamedTuple):
    """A producer in between vouches for what it forwarded before.

    Everything that it names as present was so *age* seconds before *asked*, or later:
    this is when its evidence was asked for, in monotonic seconds of this machine, and
    *offset* what the wall clock was ahead of that. *lease* is for how many seconds a
    reader may trust it, counted from the evidence, and *ended* the cause once it ran
    out.
    """

    asked: float
    offset: float
    age: float
    lease: float
    ended: Cause


class Withheld(NamedTuple):
    """Nothing in between vouches for *channels* any more, or yet, because of *cause*.

    They are in *state* until they are `Acknowledged`, with or without another request.
    """

    channels: tuple[str, ...]
    state: State
    cause: Cause


class Unknown(NamedTuple):
    """A well-formed message that the protocol module does not know.

    *name* says what is unknown in it: ``'event'``, ``'table'`` or ``'op'``.
    """

    name: str


Message = Union[
    Push,
    Unreadable,
    Acknowledged,
    Unsubscribed,
    Refused,
    LoggedIn,
    Notice,
    Terminated,
    Pong,
    Vouched,
    Withheld,
    Unknown,
]


class BookData(NamedTuple):
    """One message of a whole book: its rows, not checked yet, and what proves them.

    *whole* is True if the rows replace the book, and False if they change it.
    *checksum* is ``None`` where the exchange sent none; *seq* and *prev_seq* are always
    ``None`` under v3.
    """

    whole: bool
    bids: list[list[Any]]
    asks: list[list[Any]]
    time_ms: int
    seq: int | None
    prev_seq: int | None
    checksum: int | None


# Makes a `BookData` of all its fields, in order. Fast, because every change needs one.
book_data: Callable[[tuple[Any, ...]], BookData] = partial(tuple.__new__, BookData)


class DepthData(NamedTuple):
    """The checked levels of a depth or a book, best first; price and size are ``str``.

    The levels of a whole book are tuples. *time_ms* is the exchange's time in epoch
    milliseconds, *seq* its sequence number. *change* is the message that made this
    state of a whole book, and *version* counts these states: each one has the next
    number.
    """

    bids: Sequence[Sequence[Any]]
    asks: Sequence[Sequence[Any]]
    time_ms: int
    seq: int | None
    change: BookData | None = None
    version: int = 0


# Makes a `DepthData` of all its fields, in order. Fast: every snapshot needs one.
depth_data: Callable[[tuple[Any, ...]], DepthData] = partial(tuple.__new__, DepthData)

# Stands for the depth before the first snapshot: two empty sides.
NO_DEPTH = DepthData([], [], 0, None)


@dataclass(frozen=True, slots=True)
class TradeData:
    """A checked trade element.

    It stands for *count* trades, from *first_id* to *id*. *time_ms* is in epoch
    milliseconds. *rpi* is as in `Trade`; it makes no difference whether two trades are
    the same, because one source of a trade may say it and another one not.
    """

    id: str
    first_id: str
    count: int
    price: Decimal
    size: Decimal
    side: str
    time_ms: int
    rpi: bool | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TickerData:
    """A checked ticker element; field for field as in `Ticker`, times in epoch ms."""

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
