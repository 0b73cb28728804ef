"""`archive_frame`: a file of the exchange's archive as Arrow tables, checked.

The times are the exchange's own: the archive has none of receipt.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from typing import Any

from ..base.checks import check_flag
from ..base.clock import utc
from ..model.numbers import signed
from .archive import ArchiveBook
from .archive_files import ArchiveTable
from .frame_columns import Columns
from .frame_rows import Row
from .recording_frame import BATCH, MarketFrame

_BEST = {
    "timestamp": "time",
    "instrument_id": "text",
    **dict.fromkeys(("bid", "bid_size", "ask", "ask_size"), "number"),
    "verified": "flag",
}
# Of each kind of table the column of its time, its numbers and its texts, by the names
# of the exchange's headers.
_TABLES = {
    "created_time": (("price", "size"), ("trade_id", "side", "source")),
    "open_time": (
        ("open", "high", "low", "close", "vol", "vol_ccy", "vol_quote"),
        ("confirm",),
    ),
    "funding_time": (("funding_rate", "real_funding_rate"), ()),
}


def archive_frame(path: str | os.PathLike[str], *, exact: bool = False) -> MarketFrame:
    """A file of the archive as a `MarketFrame`; times are the exchange's, in UTC.

    Of a book the rows are its best levels, where they changed: *timestamp*,
    *instrument_id*, *bid*, *bid_size*, *ask*, *ask_size* and *verified*: whether the
    updates of these 15 minutes led to the snapshot that ends them (null if no snapshot
    does). Of a table they are its own, with *timestamp* in the place of its time in
    milliseconds, and *instrument_id*. Sizes are in base currency on spot, in contracts
    elsewhere; *exact* is as for `frame`.

    Raises:
        ArchiveUnreadable: the file is damaged, or none of the archive's.
        ValueError: with *exact*, a number does not fit; or no row is one of a table of
            trades, candles or funding rates.
    """
    check_flag("exact", exact)
    if os.fspath(path).endswith((".tar.gz", ".tgz")):
        book = ArchiveBook(path)
        made = _made(Columns(_BEST, exact), _best_rows(book))
        return replace(made, left_out=book.bad_rows)
    table = ArchiveTable(path)
    rows, bad = iter(table), list[Row]()
    first = next(rows, {})
    time = next((name for name in _TABLES if name in first), "")
    if not time:
        raise ValueError(f"{os.fspath(path)!r:.200} has no row of the archive's tables")
    numbers, texts = ([n for n in names if n in first] for names in _TABLES[time])
    types = {"timestamp": "time", "instrument_id": "text"}
    types |= dict.fromkeys(numbers, "number") | dict.fromkeys(texts, "text")
    every = _table_rows(chain([first], rows), time, numbers, texts, bad)
    made = _made(Columns(types, exact), every)
    return replace(made, left_out=table.bad_rows + len(bad))


def _made(columns: Columns, rows: Iterable[Row]) -> MarketFrame:
    found: list[Any] = []
    every = iter(rows)
    while batch := list(islice(every, BATCH)):
        found.append(columns.batch(batch))
    return MarketFrame(columns.table(found), columns.inexact)


def _best_rows(book: ArchiveBook) -> Iterator[Row]:
    for window, every in book.best():
        verified = None if window.levels is None else window.is_verified
        for best in every:
            yield {
                "timestamp": best.at,
                "instrument_id": window.instrument_id,
                "bid": best.bid,
                "bid_size": best.bid_size,
                "ask": best.ask,
                "ask_size": best.ask_size,
                "verified": verified,
            }


def _table_rows(
    rows: Iterable[Row],
    time: str,
    numbers: Iterable[str],
    texts: Iterable[str],
    bad: list[Row],
) -> Iterator[Row]:
    """Each of *rows* that can be read; the others go to *bad*."""
    for row in rows:
        try:
            made = {
                "timestamp": utc(int(row[time]) / 1000),
                "instrument_id": row["instrument_name"],
                **{name: signed(row[name]) if row[name] else None for name in numbers},
                **{name: row[name] for name in texts},
            }
        except (ValueError, LookupError, OverflowError, OSError):
            bad.append(row)
        else:
            yield made
