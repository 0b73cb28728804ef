"""The layouts of the exchange's SBE messages, schema 1: from bytes to whole numbers.

Sources: six decoders and a packet dissector, which agree (as stored in October 2026;
the exchange's own XML is in no mirror), and the documentation of 2026-06-28. Numbers
are little-endian. A block, and an entry of a group, is skipped by the length that the
message gives: a newer *version* may have added fields at its end.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple, Union

from ..base.errors import WireError
from .decimals import NULL

SCHEMA = 1
_HEADER = Struct("<HHHH")
_GROUP = Struct("<HH")
_LEVEL = Struct("<qqi")
_BBO = Struct("<qqqqqqqqiibb")
_BOOK = Struct("<qqqqqbb")
_TRADE = Struct("<qqqqqqqhbbbb")
_SNAPSHOT = Struct("<qqqbb")

BBO, BOOK, EXPONENTS, TRADE, SNAPSHOT = 1000, 1001, 1002, 1005, 1006

# Mantissas of price and size, and the number of orders.
BinaryLevel = tuple[int, int, int]


class BinaryBest(NamedTuple):
    """The best levels of a book: template 1000. Times are in microseconds.

    A side without price and size is empty: ``None``. How the exchange says so is
    documented nowhere; both zeros and fields without a value count.
    """

    code: int
    time_us: int
    sent_us: int
    seq: int
    ask: BinaryLevel | None
    bid: BinaryLevel | None
    price_exponent: int
    size_exponent: int


class BinaryBook(NamedTuple):
    """A change of a book (1001), of its exponents alone (1002), or a snapshot (1006).

    *sent_us* is when the gateway sent it, and *prev_seq* the message that it follows;
    both are ``None`` of a snapshot, which comes over REST.
    """

    code: int
    time_us: int
    sent_us: int | None
    seq: int
    prev_seq: int | None
    price_exponent: int
    size_exponent: int
    asks: tuple[BinaryLevel, ...]
    bids: tuple[BinaryLevel, ...]


class BinaryTrade(NamedTuple):
    """Trades of one taker at one price (1005). *side* is 0 (sell) or 1 (buy)."""

    code: int
    time_us: int
    sent_us: int
    seq: int
    price: int
    size: int
    trade_id: int
    trades: int
    side: int
    price_exponent: int
    size_exponent: int
    source: int


class UnknownTemplate(NamedTuple):
    """A message that this library does not know: it is counted, and costs no other."""

    template: int


BinaryMessage = Union[BinaryBest, BinaryBook, BinaryTrade, UnknownTemplate]


def decode(frame: bytes) -> BinaryMessage:
    """The one message in a binary *frame*.

    Raises:
        WireError: of kind ``'sbe'``: the frame is cut short, has bytes after its
            message, or is of a known template and another schema.
    """
    if len(frame) < _HEADER.size:
        raise WireError("sbe", f"a frame of {len(frame)} bytes")
    length, template, schema, version = _HEADER.unpack_from(frame)
    read = _READERS.get(template)
    if read is None:
        return UnknownTemplate(template)
    if schema != SCHEMA:
        known = f"template {template} of schema {schema}, and only {SCHEMA} is known"
        raise WireError("sbe", known)
    layout, groups = _LAYOUTS[template]
    end = _HEADER.size + length
    if length < layout.size or end > len(frame):
        raise WireError("sbe", f"template {template} with a block of {length} bytes")
    fields = layout.unpack_from(frame, _HEADER.size)
    sides = []
    for _ in range(groups):
        side, end = _levels(frame, end)
        sides.append(side)
    if end != len(frame) and version == 0:
        raise WireError("sbe", f"{len(frame) - end} bytes after template {template}")
    return read(fields, sides)


def _levels(frame: bytes, at: int) -> tuple[tuple[BinaryLevel, ...], int]:
    """The entries of the group at *at*, and where it ends."""
    if at + _GROUP.size > len(frame):
        raise WireError("sbe", "a group that is cut short")
    length, count = _GROUP.unpack_from(frame, at)
    at += _GROUP.size
    end = at + length * count
    if not count:
        return (), at
    if end > len(frame) or length < _LEVEL.size:
        raise WireError("sbe", f"a group of {count} entries of {length} bytes")
    if length == _LEVEL.size:
        return tuple(_LEVEL.iter_unpack(frame[at:end])), end
    return tuple(_LEVEL.unpack_from(frame, n) for n in range(at, end, length)), end


Fields = tuple[int, ...]
Sides = list[tuple[BinaryLevel, ...]]


def _best(fields: Fields, sides: Sides) -> BinaryBest:
    code, at, sent, seq, ask, ask_size, bid, bid_size, asks, bids, *exponents = fields
    best = _side(ask, ask_size, asks), _side(bid, bid_size, bids)
    return BinaryBest(code, at, sent, seq, *best, *exponents)


def _side(price: int, size: int, orders: int) -> BinaryLevel | None:
    return None if price == size and price in (0, NULL) else (price, size, orders)


def _book(fields: Fields, sides: Sides) -> BinaryBook:
    code, at, sent, seq, prev_seq, price, size = fields
    asks, bids = sides or ((), ())
    return BinaryBook(code, at, sent, seq, prev_seq, price, size, asks, bids)


def _snapshot(fields: Fields, sides: Sides) -> BinaryBook:
    code, at, seq, price, size = fields
    asks, bids = sides
    return BinaryBook(code, at, None, seq, None, price, size, asks, bids)


def _trade(fields: Fields, sides: Sides) -> BinaryTrade:
    return BinaryTrade(*fields)


# The layout of each template's block, and how many groups follow it.
_LAYOUTS = {
    BBO: (_BBO, 0),
    BOOK: (_BOOK, 2),
    EXPONENTS: (_BOOK, 0),
    TRADE: (_TRADE, 0),
    SNAPSHOT: (_SNAPSHOT, 2),
}
_READERS: dict[int, Callable[[Fields, Sides], BinaryMessage]] = {
    BBO: _best,
    BOOK: _book,
    EXPONENTS: _book,
    TRADE: _trade,
    SNAPSHOT: _snapshot,
}
