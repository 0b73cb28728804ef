"""How a value looks: one line as its `repr`, and a small table in a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

# Characters of one field, and levels of one side of a table, at the most.
_WIDTH, _ROWS = 80, 10
_SIDES = ("bids", "asks")


class Displayed:
    """A value whose `repr` is one line, and which a notebook shows as a small table.

    Both leave out the fields that are ``None``, empty, or as they are by default. Of
    the levels of a side the line has the best one and their number.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return one_line(self)

    def _repr_html_(self) -> str:
        return table(self)


def one_line(value: Any) -> str:
    """The fields of *value*, a dataclass or a named tuple, as one line of text."""
    said = [
        text if name == "instrument_id" else f"{name}={text}"
        for name, text in _fields(value)
    ]
    return f"<{' '.join([type(value).__name__, *said])}>"


def table(value: Any) -> str:
    """The fields of *value* as an HTML table; of a book its best levels."""
    from html import escape

    sides: list[tuple[Any, ...]] = [getattr(value, side, ()) for side in _SIDES]
    fields = [each for each in _fields(value) if each[0] not in _SIDES]
    if not hasattr(value, _SIDES[0]):
        rows = [f"<tr><th>{escape(n)}</th><td>{escape(t)}</td></tr>" for n, t in fields]
        caption = type(value).__name__
    else:
        rows = [_row("th", "size", "bid", "ask", "size")]
        for place in range(min(_ROWS, max(map(len, sides)))):
            bid, ask = (
                side[place][:2] if place < len(side) else ("", "") for side in sides
            )
            rows.append(_row("td", *map(escape, (bid[1], bid[0], ask[0], ask[1]))))
        caption = " ".join([type(value).__name__, *(text for _, text in fields)])
    return f"<table><caption>{escape(caption)}</caption>{''.join(rows)}</table>"


def _row(tag: str, *cells: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    """The name and the text of each field that says something."""
    if dataclasses.is_dataclass(value):
        usual = {each.name: each.default for each in dataclasses.fields(value)}
        hidden = {each.name for each in dataclasses.fields(value) if not each.repr}
    else:
        usual, hidden = dict.fromkeys(value._fields), set()
    for name, default in usual.items():
        field = getattr(value, name)
        is_empty = field is None or (isinstance(field, (Mapping, str)) and not field)
        if name not in hidden and not is_empty and field != default:
            said = _levels(field) if name in _SIDES else _text(field)
            # A text of the exchange may have line breaks.
            text = "".join(c if c.isprintable() else " " for c in said)
            yield name, text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"


def _text(field: Any) -> str:
    if isinstance(field, datetime):
        return field.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(field, Decimal):
        return f"{field:f}"
    if isinstance(field, float):
        return f"{field:.6g}"
    if isinstance(field, str):
        return str(field) if field.split() == [field] else repr(field)
    if isinstance(field, Mapping):
        return f"{{{', '.join(f'{key}: {field[key]!s}' for key in field)}}}"
    return _elements(field) if isinstance(field, tuple) else str(field)


def _levels(side: tuple[Any, ...]) -> str:
    if not side:
        return "none"
    price, size = map(str, side[0][:2])
    return f"{price} x {size} ({len(side)} levels)"


def _elements(field: tuple[Any, ...]) -> str:
    """The pairs of *field* (legs of a spread, bands of ticks), else their number."""
    if field and all(isinstance(each, tuple) and len(each) == 2 for each in field):
        return ", ".join(f"{first} {second}" for first, second in field)
    return f"{len(field)} elements" if field else "none"
