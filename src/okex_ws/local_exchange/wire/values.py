"""What happens on a market, in no protocol's words, and what is said of it. Values.

Prices and sizes are text with the instrument's own digits, times are epoch seconds.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple, Union

# Price, size and number of orders; in recordings the retired field before the last too.
Row = Sequence[str]


class Period(NamedTuple):
    """How long a candle is, in seconds, and how long after the epoch one begins."""

    seconds: int
    offset: int = 0


# What can be said of an instrument: 'depth5', 'bbo', 'trade' (every match), 'trades'
# (a taker's matches at one price together), 'ticker', 'funding', 'mark', candles, or a
# whole book by its changes: 'book tbt' and 'book50 tbt' at once, 'book' now and then.
Topic = Union[str, Period]


class Best(NamedTuple):
    """The best levels of a book, best first, and the number of its last change."""

    asks: Sequence[Row]
    bids: Sequence[Row]
    at: float
    seq: int


class Change(NamedTuple):
    """A book as it has changed: of each price that has, what rests there now.

    A size of ``'0'`` is a price that is gone, or too far from the best one. A snapshot
    has every level, and -1 as *prev_seq*; *seq* is the number of the book's last
    change, *prev_seq* that of the `Change` before. *tops* are the best bids and the
    best asks after it, as many as a checksum is over.
    """

    asks: Sequence[Row]
    bids: Sequence[Row]
    at: float
    seq: int
    prev_seq: int
    tops: tuple[Sequence[Row], Sequence[Row]]

    @property
    def is_snapshot(self) -> bool:
        """Whether it is the whole book."""
        return self.prev_seq == -1

    @property
    def is_idle(self) -> bool:
        """Whether it says only that nothing has changed."""
        return self.prev_seq == self.seq

    def checksum(self) -> int:
        """The signed CRC32 that goes with it, over the characters that are sent.

        Computed here and not by the library's own code, which it is a test of.
        """
        by_turns = (row[:2] for pair in zip_longest(*self.tops) for row in pair if row)
        crc = zlib.crc32(":".join(chain.from_iterable(by_turns)).encode())
        return crc - (1 << 32) if crc >> 31 else crc


class Deal(NamedTuple):
    """*matches* of one taker at one price, of which *id* is the last."""

    id: int
    matches: int
    price: str
    size: str
    side: str
    at: float
    seq: int


class Summary(NamedTuple):
    """A ticker; an empty side of the book has neither price nor size (``''``).

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
    """One bar, open or closed; *volume_ccy* as the *value* of a `Summary`."""

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
    """The rate that is paid at *time*, and what the one at *next_time* may be."""

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
    """One data message: its channel by key, its text, and its frame.

    *frame* is what goes over the wire: text under v5, the recorded bytes of v3, and
    ``None`` for v3's text that is still to be deflated.
    """

    channel: str
    text: str
    frame: str | bytes | None = None

    @property
    def elements(self) -> list[Any]:
        """Its data, with every number as the ``str`` of its characters."""
        found: list[Any] = json.loads(self.text, parse_float=str, parse_int=str)["data"]
        return found

    @property
    def element(self) -> Any:
        """The first of `elements`; few messages have another."""
        return self.elements[0]


class ChannelEncoder(NamedTuple):
    """A channel about one instrument: its key, its topic, and how it is worded.

    What its protocol has no words for is said as ``None``.
    """

    channel: str
    topic: Topic
    instrument_id: str
    market: str
    to_push: Callable[[Any], EncodedPush | None]


def to_json(value: object) -> str:
    """JSON as the exchange writes it, without spaces and without escapes of UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
