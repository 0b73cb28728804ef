"""`to_frame`: what a script holds, a book or a tuple of items, as an Arrow table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from ..base.checks import check_flag
from ..model.book import OrderBook
from ..model.items import BookUpdate, Candle, Depth, FundingRate, Ticker, Trade
from .frame_columns import Columns
from .recording_frame import MarketFrame

# How the types of an item's fields are written in its class, and what they are here.
_TYPES = {
    "str": "text",
    "int": "whole",
    "bool": "flag",
    "datetime": "time",
    "Decimal": "number",
}
_ITEMS = (Trade, Candle, Ticker, FundingRate)
_BOOK = {
    "side": "text",
    "level": "whole",
    "price": "number",
    "size": "number",
    "orders": "whole",
}


def to_frame(
    what: OrderBook | Depth | BookUpdate | Iterable[Any], *, exact: bool = False
) -> MarketFrame:
    """A book, or items of one kind, as a `MarketFrame`.

    ``to_frame(okx.book)`` has a row for each level: *side* (``'bid'`` or ``'ask'``),
    *level* (1 is the best), *price*, *size* and *orders*; of a book of ``'books-rpi'``
    *not_rpi*, too. ``to_frame(okx.trades)``, or of candles, tickers or funding rates,
    has a row for each item and a column for each of its fields. Times are UTC; *exact*
    gives numbers as ``decimal128(38, 18)``, not ``float64``.

    Raises:
        TypeError: *what* is neither.
        ValueError: the items are of several kinds, or there is none, so that nothing
            tells the columns; with *exact*, a number does not fit.
    """
    check_flag("exact", exact)
    if isinstance(what, (Depth, BookUpdate)):
        what = what.book
    if isinstance(what, OrderBook):
        types = {**_BOOK, "not_rpi": "number"} if what.rpi else _BOOK
        return _made(types, list(_levels(what)), exact)
    items = list(what)
    kinds = {type(each) for each in items}
    if len(kinds) != 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "none"
        raise ValueError(f"a frame is of items of one kind, got {names}")
    (kind,) = kinds
    if kind not in _ITEMS:
        raise TypeError(
            f"a frame is of a book, or of {', '.join(k.__name__ for k in _ITEMS)}, not"
            f" of {kind.__name__}"
        )
    types = {
        field.name: _TYPES[str(field.type).partition(" ")[0]] for field in fields(kind)
    }
    return _made(
        types, [{name: getattr(each, name) for name in types} for each in items], exact
    )


def _levels(book: OrderBook) -> Iterable[dict[str, Any]]:
    for side, levels in (("bid", book.bids), ("ask", book.asks)):
        for number, level in enumerate(levels, 1):
            yield {
                "side": side,
                "level": number,
                "price": level[0],
                "size": level[1],
                "not_rpi": level[2] if book.rpi else None,
                "orders": int(level[-1]) if len(level) > 2 else None,
            }


def _made(
    types: dict[str, str], rows: list[dict[str, Any]], exact: bool
) -> MarketFrame:
    columns = Columns(types, exact)
    return MarketFrame(columns.table([columns.batch(rows)]), columns.inexact)
