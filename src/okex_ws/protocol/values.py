"""Numbers, times and levels in messages of the exchange, read exactly from any JSON.

A reader raises ``ValueError`` for what it cannot read. An `UnreadableValue` says so in
a sentence with a bounded part of it, so that a log can bear the text. The readers of
several values (a snapshot, a trade, ...) are those that v3 and v5 share. They also
raise ``TypeError`` if an element is not an object, and ``KeyError`` if a field is
missing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, TypeVar

from ..model.numbers import (
    NUMBERS,
    SIGNED,
    Floats,
    UnreadableValue,
    decimal,
    signed,
)
from .messages import (
    BookData,
    CandleData,
    DepthData,
    TickerData,
    TradeData,
    book_data,
    depth_data,
)

T = TypeVar("T")

_TRADE_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# How many trades of one taker at one price one element may stand for. The exchange
# documents no number.
_MOST_TRADES = 1_000_000
_MILLISECONDS = {f".{ms:03}Z": ms for ms in range(1000)}


def check_side(levels: Any, sign: float, prices: Floats = NUMBERS) -> None:
    """Raise unless *levels* strictly ascend by price times *sign*, without a zero.

    With `SIGNED` as *prices* a price may be 0 or negative, and a level has three items.
    The hot path: every push has some twenty numbers, and `NUMBERS` remembers most.
    """
    if type(levels) is not list:
        raise UnreadableValue("a side is {}", levels)
    number, is_signed = NUMBERS, prices is SIGNED
    before = -math.inf
    for level in levels:
        if type(level) is not list:
            raise UnreadableValue("a level is {}", level)
        if len(level) == 4 and not is_signed:
            price, size, more, orders = level
            number[more]
        else:
            price, size, orders = level
        number[orders]
        rank = prices[price] * sign
        if not ((rank or is_signed) and number[size] and before < rank):
            raise UnreadableValue("{} at {} is zero or unordered", size, price)
        before = rank


def whole(value: Any) -> int | None:
    """A whole number without a sign, of at most 20 digits; ``None`` if it is missing.

    Missing is what the exchange left out or sent as an empty text.
    """
    if type(value) is str and value.isdecimal() and value.isascii() and len(value) < 21:
        return int(value)
    if value is None or value == "":
        return None
    raise UnreadableValue("not a whole number: {}", value)


def integer(value: Any) -> int | None:
    """A whole number of either sign, of at most 20 digits; ``None`` if it is missing.

    It is a text, or an ``int`` of a fast reading.
    """
    if type(value) is str and value.isdecimal() and value.isascii() and len(value) < 21:
        return int(value)
    if type(value) is int:
        return value
    if type(value) is str and value[:1] == "-" and value != "-":
        return -(whole(value[1:]) or 0)
    return whole(value)


def optional(value: Any) -> Decimal | None:
    """A number, or ``None`` if the exchange left it out or sent an empty text."""
    return given(decimal, value)


def given(read: Callable[[Any], T], value: Any) -> T | None:
    """What *read* makes of *value*, or ``None`` if *value* is ``None`` or empty."""
    return None if value is None or value == "" else read(value)


def iso_ms(value: Any) -> int:
    """Epoch milliseconds of ``YYYY-MM-DDTHH:MM:SS.mmmZ`` and of no other form."""
    try:
        return _second_ms(value[:19]) + _MILLISECONDS[value[19:]]
    except (TypeError, KeyError, ValueError) as error:
        raise UnreadableValue("not a timestamp: {}", value) from error


def epoch_ms(value: Any) -> int:
    """Epoch milliseconds from a text of 13 digits, as v5 sends them.

    13 digits reach from September 2001 to the year 2286.
    """
    if (
        type(value) is str
        and len(value) == 13
        and value.isdecimal()
        and value.isascii()
        and value[0] != "0"
    ):
        return int(value)
    raise UnreadableValue("not a timestamp: {}", value)


# Many pushes come in the same second.
@lru_cache(maxsize=256)
def _second_ms(second: str) -> int:
    text = f"{second}+00:00"
    moment = datetime.fromisoformat(text)
    if moment.isoformat() != text or moment.year < 2000:  # Python 3.11 reads more forms
        raise ValueError(text)
    return int(moment.timestamp()) * 1000


# --- Readers of several values ------------------------------------------------------


def snapshot(
    element: Any,
    before: DepthData,
    time_ms: int,
    seq: int | None,
    prices: Floats = NUMBERS,
) -> DepthData:
    """A snapshot: positive prices and sizes, best first, strictly ordered.

    *prices* is as in `check_side`. A level of size zero raises ``ValueError``: a
    snapshot lists what can be traded, and a best price without a size would be a lie. A
    side that equals that of *before* is not checked again; in the recordings three of
    four sides do.
    """
    bids, asks = element["bids"], element["asks"]
    if bids != before.bids:
        check_side(bids, -1.0, prices)
    if asks != before.asks:
        check_side(asks, 1.0, prices)
    return depth_data((bids, asks, time_ms, seq, None, 0))


def book(
    element: Any,
    whole: bool,
    time_ms: int,
    seq: int | None = None,
    prev_seq: int | None = None,
    exact: bool = True,
) -> BookData:
    """A message of a whole book. Its rows are checked later, when they are merged.

    Unless it was read exactly (*exact*), a value in a row that is not a ``str`` is a
    ``TypeError``, so that the caller reads the message again, exactly.
    """
    bids, asks = element["bids"], element["asks"]
    if type(bids) is not list or type(asks) is not list:
        raise UnreadableValue("sides are {} and {}", bids, asks)
    if not exact:
        "".join(map("".join, bids))
        "".join(map("".join, asks))
    checksum = element.get("checksum")
    checksum = 0 if checksum == "0" else integer(checksum)
    return book_data((whole, bids, asks, time_ms, seq, prev_seq, checksum))


def trade(
    trade_id: Any,
    count: int,
    price: Any,
    size: Any,
    side: Any,
    time_ms: int,
    read: Callable[[Any], Decimal] = decimal,
    rpi: bool | None = None,
) -> TradeData:
    """*count* trades of one taker at one price; *trade_id* is the id of the last.

    *read* reads the price; with `signed` it may be 0 or negative.
    """
    exact_price, exact_size = read(price), decimal(size)
    is_priced = exact_price or read is signed
    if side not in ("buy", "sell") or not (is_priced and exact_size):
        raise UnreadableValue("{} of {} at {}", side, size, price)
    first = _first_id(trade_id, count)
    prices = exact_price, exact_size
    return TradeData(trade_id, first, count, *prices, side, time_ms, rpi)


def _first_id(trade_id: Any, count: int) -> str:
    if not isinstance(trade_id, str) or not _TRADE_ID.fullmatch(trade_id):
        raise UnreadableValue("trade id {}", trade_id)
    if not 1 <= count <= _MOST_TRADES:
        raise ValueError(f"{count} trades in one")
    if count == 1 or not trade_id.isdecimal() or len(trade_id) > 20:
        return trade_id
    first = int(trade_id) - count + 1
    if first < 0:
        raise UnreadableValue(f"{count} trades up to {{}}", trade_id)
    return str(first)


def ticker(
    last: Any,
    fields: Iterable[Any],
    time_ms: int,
    read: Callable[[Any], Decimal] = decimal,
) -> TickerData:
    """A ticker of the price *last* and ten more *fields*, in the order of `TickerData`.

    *read* reads the prices. The exchange sends ``""`` as the last price of an
    instrument that was never traded.
    """
    readers = [read if is_price else decimal for is_price in _IS_PRICE]
    values: Any = [*map(given, readers, (last, *fields)), time_ms]
    return TickerData(*values)


# Which fields of a ticker are prices.
_IS_PRICE = (*(1, 0, 1, 0, 1, 0), *(1, 1, 1, 0, 0))


def candle(
    start_ms: int,
    prices: Any,
    volumes: Any,
    closed: bool | None,
    read: Callable[[Any], Decimal] = decimal,
) -> CandleData:
    """A candle of four prices (open, high, low, close) and up to three volumes.

    *read* reads the prices.
    """
    first, high, low, last = map(read, prices)
    if not low <= min(first, last) <= max(first, last) <= high:
        raise UnreadableValue("prices {}, {}, {}, {}", *prices)
    volume, ccy, quoted = [*map(decimal, volumes), None, None, None][:3]
    return CandleData(start_ms, first, high, low, last, volume, ccy, quoted, closed)
