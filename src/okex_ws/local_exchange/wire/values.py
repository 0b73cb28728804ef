"""What a market publishes, as values of no protocol, and the pushes made of them.

A market publishes a value under a topic; an encoder makes a protocol's push of it.
Prices and sizes are text with the instrument's own digits; times are epoch seconds.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple, Union

# Price, size and number of orders. In recordings a retired field precedes the last one,
# in the book with RPI the size without RPI.
Row = Sequence[str]


class Period(NamedTuple):
    """The length of a candle in *seconds*, and its *offset*.

    A candle begins *offset* seconds after a multiple of its length, from the epoch.
    """

    seconds: int
    offset: int = 0


# What a market publishes about an instrument: 'depth5', 'bbo', 'trade' (every match),
# 'trades' (a taker's matches at one price as one), 'ticker', 'funding', 'mark', the
# candles of a `Period`, or a whole book by its changes: 'book tbt' and 'book50 tbt' at
# every change, 'book' and 'book rpi', that with RPI, at intervals.
Topic = Union[str, Period]


class Best(NamedTuple):
    """The best levels of a book, best first; *seq* numbers the book's last change."""

    asks: Sequence[Row]
    bids: Sequence[Row]
    at: float
    seq: int


class Change(NamedTuple):
    """The changes of a book: each price that changed, with what rests there now.

    A size of ``'0'`` means that the price is gone, or too far from the best one. A
    snapshot has every level, and -1 as *prev_seq*. *seq* is the number of the book's
    last change, *prev_seq* the number of the `Change` before. *tops* are the best bids
    and the best asks after the change, as many as the checksum covers.
    """

    asks: Sequence[Row]
    bids: Sequence[Row]
    at: float
    seq: int
    prev_seq: int
    tops: tuple[Sequence[Row], Sequence[Row]]

    @property
    def is_snapshot(self) -> bool:
        """Whether the rows are the whole book."""
        return self.prev_seq == -1

    @property
    def is_idle(self) -> bool:
        """Whether the message only says that nothing has changed."""
        return self.prev_seq == self.seq

    def checksum(self) -> int:
        """The signed CRC32 of the book after the change, over the characters sent.

        It is computed here and not by the library's own code, because it tests that
        code.
        """
        by_turns = (row[:2] for pair in zip_longest(*self.tops) for row in pair if row)
        crc = zlib.crc32(":".join(chain.from_iterable(by_turns)).encode())
        return crc - (1 << 32) if crc >> 31 else crc


class Deal(NamedTuple):
    """A trade: the *matches* of one taker at one price; *id* is the last match's.

    *rpi* is whether the makers' orders were of retail price improvement.
    """

    id: int
    matches: int
    price: str
    size: str
    side: str
    at: float
    seq: int
    rpi: bool = False


class Summary(NamedTuple):
    """A ticker; an empty side of the book has ``''`` as price and as size.

    *value* is the volume in quote currency on spot, in coins elsewhere.
    """

    last: str
    last_size: str
    ask: str
    ask_size: str
    bid: str
    bid_size: str
    open: str
    high: str
    low: str
    volume: str
    value: str
    at: float


class MarketCandle(NamedTuple):
    """One candle, open or closed; *volume_ccy* has the unit of *value* in `Summary`."""

    start: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    volume_ccy: str
    volume_quote: str
    closed: bool


class Funding(NamedTuple):
    """The rate that is paid at *time*, and an estimate of the rate at *next_time*."""

    rate: str
    next_rate: str
    time: int
    next_time: int
    at: float


class Mark(NamedTuple):
    """A mark price."""

    price: str
    at: float


class EncodedPush(NamedTuple):
    """One data message: the key of its channel, its text, and its frame.

    *frame* is what is sent: a text under v5, the recorded bytes under v3, or ``None``
    for a text of v3 that is deflated when it is sent.
    """

    channel: str
    text: str
    frame: str | bytes | None = None

    @property
    def elements(self) -> list[Any]:
        """The elements of ``data``; every number is a ``str`` of its characters."""
        found: list[Any] = json.loads(self.text, parse_float=str, parse_int=str)["data"]
        return found

    @property
    def element(self) -> Any:
        """The first of `elements`; few messages have more than one."""
        return self.elements[0]

    def reworded(self, text: str) -> EncodedPush:
        """This push with another *text*; v3's is deflated when it is sent."""
        if text == self.text:
            return self
        frame = text if isinstance(self.frame, str) else None
        return EncodedPush(self.channel, text, frame)


class ChannelEncoder(NamedTuple):
    """A channel about one instrument: key, topic, and how its pushes are made.

    *to_push* makes a push of a value of the topic. It gives ``None`` for a value that
    the protocol has no message for.
    """

    channel: str
    topic: Topic
    instrument_id: str
    market: str
    to_push: Callable[[Any], EncodedPush | None]


def to_json(value: object) -> str:
    """JSON as the exchange writes it: no spaces, and no escapes of UTF-8 characters."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
