"""The columns of a frame: names, Arrow types, and numbers from the exchange's text.

This module needs the extra ``frames``: ``pip install 'okex-ws[frames]'``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

try:
    import pyarrow as pa
except ImportError as _missing:
    raise ImportError(
        "okex_ws.research needs the extra 'frames':"
        f" pip install 'okex-ws[frames]' ({_missing})",
        name=_missing.name,
    ) from _missing

from .frame_rows import Row

_TYPES = {
    "time": pa.timestamp("us", tz="UTC"),
    "text": pa.string(),
    "whole": pa.int64(),
    "flag": pa.bool_(),
}
# What a column can be.
COLUMN_TYPES = (*_TYPES, "number")
_EXACT = pa.decimal128(38, 18)
_BBO = ("bid", "bid_size", "ask", "ask_size")


def number_names(kind: str, levels: int) -> tuple[str, ...]:
    """The columns of prices and sizes of a frame of *kind*."""
    if kind == "bbo":
        return _BBO
    if kind == "trades":
        return ("price", "size")
    if kind == "states":
        return ()
    return tuple(
        f"{side}_{what}_{level}"
        for level in range(1, levels + 1)
        for side in ("bid", "ask")
        for what in ("price", "size")
    )


def columns_of(kind: str, levels: int, exact: bool) -> Columns:
    """The columns of a frame of a recording, of this *kind*."""
    types = {"at": "time", "row": "text", "instrument_id": "text"}
    types |= {"old": "text"} if kind == "states" else {"timestamp": "time"}
    if kind == "trades":
        types |= {"id": "text", "first_id": "text", "count": "whole", "side": "text"}
    types |= dict.fromkeys(number_names(kind, levels), "number")
    types |= {"epoch": "whole", "state": "text", "cause": "text", "cause_code": "text"}
    return Columns(types, exact)


class Columns:
    """Turns rows into Arrow record batches of one schema, and counts what is inexact.

    *types* has the kind of each column: a time, a text, a whole number, a flag or a
    number, by the names of `COLUMN_TYPES`.
    A number is a ``float64``, or with *exact* a ``decimal128(38, 18)``. *inexact* is
    how many numbers a ``float64`` could not give back digit by digit.
    """

    def __init__(self, types: Mapping[str, str], exact: bool) -> None:
        self.inexact = 0
        self._exact = exact
        self._numbers = {name for name, kind in types.items() if kind == "number"}
        known = {**_TYPES, "number": _EXACT if exact else pa.float64()}
        self.schema = pa.schema([(name, known[kind]) for name, kind in types.items()])

    def batch(self, rows: Sequence[Row]) -> Any:
        """The `pyarrow.RecordBatch` of *rows*; a column that a row lacks is null.

        Raises:
            ValueError: with *exact*, a number has more than 20 digits before the point
                or more than 18 after it.
        """
        arrays = [
            pa.array([self._value(field.name, row) for row in rows], field.type)
            for field in self.schema
        ]
        return pa.record_batch(arrays, schema=self.schema)

    def table(self, batches: list[Any]) -> Any:
        """The `pyarrow.Table` of *batches*, with all columns if there are none."""
        return pa.Table.from_batches(batches, self.schema)

    def _value(self, name: str, row: Row) -> Any:
        value = row.get(name)
        if value is None or name not in self._numbers:
            return value
        exact = Decimal(value)
        if self._exact:
            return exact
        nearest = float(exact)
        self.inexact += Decimal(repr(nearest)) != exact
        return nearest
