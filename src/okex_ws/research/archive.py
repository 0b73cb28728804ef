"""The exchange's archive of order books, each 15 minutes checked against the next.

The archive has neither sequence nor checksum: a hole in it cannot be seen when it
happens. But each book has a snapshot every 15 minutes (96 in a day of UTC), so the book
that the updates lead to can be compared with the snapshot that ends its window.

At the edge of the 400 (or 5,000) levels the two may differ without a hole: whether the
exchange tells a level that moves into the window because others left it is not
documented. Therefore a `Window` says how many levels agree, from the best one on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from ..base.clock import utc
from ..model.numbers import decimal
from .archive_files import ArchiveTable, ArchiveUnreadable, Path, lines

__all__ = [
    "ArchiveBook",
    "ArchiveTable",
    "ArchiveUnreadable",
    "ArchivedBest",
    "ArchivedBookRow",
    "Window",
]

Side = dict[Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class ArchivedBookRow:
    """One row of an archived book: a snapshot or an update.

    *exchange_time* is the exchange's; the archive has no time of receipt. *asks* and
    *bids* give the size at each price in it, 0 for a level that is gone; sizes are in
    base currency on spot, in contracts elsewhere.
    """

    instrument_id: str
    is_snapshot: bool
    exchange_time: datetime
    asks: Side
    bids: Side


@dataclass(frozen=True, slots=True)
class Window:
    """What lies between two snapshots of one book.

    *updates* counts the updates in it. *levels* is how many levels its last snapshot
    has on both sides together; *agreeing* how many of them, from the best on, the
    updates led to with price and size. Both are ``None`` if no snapshot ends the window
    (the last of a file): it is unverified. What the updates led to deeper than the
    snapshot's last level is not judged.
    """

    instrument_id: str
    start: datetime
    end: datetime
    updates: int
    levels: int | None
    agreeing: int | None

    @property
    def is_verified(self) -> bool:
        """Whether each level of the snapshot that ends the window agrees."""
        return self.levels is not None and self.agreeing == self.levels


class ArchivedBest(NamedTuple):
    """The best levels of a book after a row, at the exchange's time *at*.

    A side that is empty has ``None``.
    """

    at: datetime
    bid: Decimal | None
    bid_size: Decimal | None
    ask: Decimal | None
    ask_size: Decimal | None


class ArchiveBook:
    """The rows of one archived day of order books, and its windows.

    Iterating gives each `ArchivedBookRow` in the file's order. A row that cannot be
    read is left out and counted in *bad_rows*; it costs no other row, and the window
    that it was in shows the difference, if it made one. Errors: `ArchiveUnreadable`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bad_rows = 0

    def __iter__(self) -> Iterator[ArchivedBookRow]:
        self.bad_rows = 0
        for _, line in lines(self.path):
            try:
                yield _row(json.loads(line))
            except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
                self.bad_rows += bool(line.strip())

    def windows(self) -> Iterator[Window]:
        """Each window with its verdict, in the order in which they end.

        Updates before a book's first snapshot belong to no window.
        """
        for window, _ in self._ended(lambda book, notes: None):
            yield window

    def best(self) -> Iterator[tuple[Window, list[ArchivedBest]]]:
        """Each window, with the best levels after each of its rows that changed them.

        So many rows are held as a window has, since only its end tells whether it is
        verified.
        """
        return self._ended(_Open.note_best)

    def _ended(
        self, note: Callable[[_Open, list[ArchivedBest]], None]
    ) -> Iterator[tuple[Window, list[ArchivedBest]]]:
        """Each window, with what *note* noted of the book after each of its rows."""
        books: dict[str, tuple[_Open, list[ArchivedBest]]] = {}
        for row in self:
            known = books.get(row.instrument_id)
            if row.is_snapshot:
                if known is not None:
                    yield known[0].ended_by(row), known[1]
                known = books[row.instrument_id] = _Open(row), []
            elif known is not None:
                known[0].update(row)
            if known is not None:
                note(*known)
        for book, notes in books.values():
            yield book.unverified(), notes


class _Open:
    """A window whose end has not been read yet: its book so far."""

    def __init__(self, first: ArchivedBookRow) -> None:
        self.first = first
        self.end = first.exchange_time
        self.updates = 0
        self.asks = dict(first.asks)
        self.bids = dict(first.bids)
        # The best prices, or ``None`` where they have to be looked for.
        self._ask: Decimal | None = None
        self._bid: Decimal | None = None

    def update(self, row: ArchivedBookRow) -> None:
        self.updates += 1
        self.end = row.exchange_time
        _apply(self.asks, row.asks)
        _apply(self.bids, row.bids)
        if self._ask is None or any(price <= self._ask for price in row.asks):
            self._ask = None
        if self._bid is None or any(price >= self._bid for price in row.bids):
            self._bid = None

    def note_best(self, notes: list[ArchivedBest]) -> None:
        """Add the best level of each side to *notes*, unless the last has the same."""
        if self._ask is None:
            self._ask = min(self.asks, default=None)
        if self._bid is None:
            self._bid = max(self.bids, default=None)
        bid, ask = self._bid, self._ask
        bid_size = None if bid is None else self.bids[bid]
        ask_size = None if ask is None else self.asks[ask]
        now = ArchivedBest(self.end, bid, bid_size, ask, ask_size)
        if not notes or notes[-1][1:] != now[1:]:
            notes.append(now)

    def ended_by(self, last: ArchivedBookRow) -> Window:
        agreeing = _agreeing(self.asks, last.asks, reverse=False)
        agreeing += _agreeing(self.bids, last.bids, reverse=True)
        levels = len(last.asks) + len(last.bids)
        return self._window(last.exchange_time, levels, agreeing)

    def unverified(self) -> Window:
        return self._window(self.end, None, None)

    def _window(
        self, end: datetime, levels: int | None, agreeing: int | None
    ) -> Window:
        start, name = self.first.exchange_time, self.first.instrument_id
        return Window(name, start, end, self.updates, levels, agreeing)


def _row(data: Any) -> ArchivedBookRow:
    if data["action"] not in ("snapshot", "update"):
        raise ValueError("neither a snapshot nor an update")
    if not isinstance(data["instId"], str):
        raise TypeError("instId is no text")
    return ArchivedBookRow(
        data["instId"],
        data["action"] == "snapshot",
        utc(int(data["ts"]) / 1000),
        {decimal(level[0]): decimal(level[1]) for level in data["asks"]},
        {decimal(level[0]): decimal(level[1]) for level in data["bids"]},
    )


def _apply(side: Side, changes: Side) -> None:
    for price, size in changes.items():
        if size:
            side[price] = size
        else:  # "0", and "0.0" in some files
            side.pop(price, None)


def _agreeing(built: Side, snapshot: Side, reverse: bool) -> int:
    """How many levels of *snapshot* are in *built* too, from the best one on."""
    ours = sorted(built.items(), reverse=reverse)
    count = 0
    for mine, theirs in zip(
        ours, sorted(snapshot.items(), reverse=reverse), strict=False
    ):
        if mine != theirs:
            break
        count += 1
    return count
