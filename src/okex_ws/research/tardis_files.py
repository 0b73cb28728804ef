"""The CSV files of the vendor Tardis: changes of whole books, and trades.

Columns (documentation of that vendor, 2026): times in microseconds, ``true``/``false``,
``bid``/``ask``, the taker's ``buy``/``sell``/``unknown``. A file of a book begins with
a snapshot, and is one unbroken stretch: readers apply each row to the one before, and
know no outage. A file of trades is unbroken, too. Each end is a row of ``outages.csv``.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from ..base.state import State
from ..base.threads import Closing
from ..model.items import BookUpdate, Gap, Item, Trade
from ..model.reports import StateChange
from .frame_rows import Row
from .table_files import PartFiles

_BOOK = (
    *("exchange", "symbol", "timestamp", "local_timestamp"),
    *("is_snapshot", "side", "price", "amount"),
)
_TRADES = (
    *("exchange", "symbol", "timestamp", "local_timestamp"),
    *("id", "side", "price", "amount"),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_OUTAGES = ("at", "symbol", "of", "state", "cause_code", "cause")
_EXCHANGES = {
    "spot": "okex",
    "swap": "okex-swap",
    "futures": "okex-futures",
    "option": "okex-options",
}


class TardisFiles(Closing):
    """The files of one export for readers of Tardis's CSV.

    *wanted* has market, id and channels of each instrument. Raises ``ValueError`` if
    one is of a market that the vendor has no name for, or if *folder* has the word
    ``trades`` in its path: hftbacktest 2.4.4 takes every file below it for trades.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        wanted: Sequence[tuple[str, str, tuple[str, ...]]],
    ) -> None:
        self._folder = Path(folder)
        if "trades" in str(self._folder.absolute()):
            raise ValueError(
                "readers guess what a file is by the word 'trades' in its path: name"
                f" another folder than {str(self._folder)!r:.80}"
            )
        other = [name for market, name, _ in wanted if market not in _EXCHANGES]
        if other:
            raise ValueError(f"form 'tardis' has no name for the market of {other}")
        self._exchange = {name: _EXCHANGES[market] for market, name, _ in wanted}
        self._open: dict[tuple[str, str], _CsvFile] = {}
        # The outages have their name first: no stretch is there without them.
        self._parts = PartFiles()
        self._outages = self._made(self._folder / "outages.csv", _OUTAGES)

    def close(self) -> None:
        """Remove what is unfinished."""
        for each in (*self._open.values(), self._outages):
            with suppress(Exception):  # a full disk, say
                each.close()
        self._open.clear()
        self._parts.drop()

    def _made(self, path: Path, columns: Sequence[str]) -> _CsvFile:
        return _CsvFile(self._parts.begin(path), path.suffix == ".gz", columns)

    def take(self, item: Item, rows: Iterable[tuple[str, Row]]) -> None:
        """Write *item*; where a stretch ends, write why."""
        if isinstance(item, (StateChange, Gap)):
            for table, row in rows:
                if table in ("depth", "trades"):
                    self._outage("book" if table == "depth" else "trades", row)
        elif isinstance(item, BookUpdate):
            self._book(item)
        elif isinstance(item, Trade):
            self._trade(item)

    def _outage(self, of: str, row: Row) -> None:
        name, state = row["instrument_id"], row["state"]
        if state == State.LIVE:
            return
        if (name, of) in self._open:
            self._end(name, of)
        if state == State.CLOSED:
            return  # the recording ends, which is no outage
        at = row["at"].isoformat()
        self._outages.write((at, name, of, state, row["cause_code"], row["cause"]))

    def _book(self, item: BookUpdate) -> None:
        name, is_snapshot = item.instrument_id, item.action == "snapshot"
        if is_snapshot and (name, "book") in self._open:
            self._end(name, "book")
            why = "another snapshot came, which begins a file of its own"
            at = item.received.isoformat()
            self._outages.write((at, name, "book", str(State.LIVE), "", why))
        file = self._open.get((name, "book"))
        if file is None:
            file = self._begin(name, "book", item.received, _BOOK)
        facts = self._exchange[name], name, _us(item.timestamp), _us(item.received)
        for side, levels in (("bid", item.bids), ("ask", item.asks)):
            for level in levels:
                snapshot = str(is_snapshot).lower()
                file.write((*facts, snapshot, side, level[0], level[1]))

    def _trade(self, item: Trade) -> None:
        name = item.instrument_id
        file = self._open.get((name, "trades"))
        if file is None:
            file = self._begin(name, "trades", item.received, _TRADES)
        facts = self._exchange[name], name, _us(item.timestamp), _us(item.received)
        side = item.side if item.side in ("buy", "sell") else "unknown"
        file.write((*facts, item.id, side, item.price, item.size))

    def _begin(
        self, name: str, of: str, at: datetime, columns: Sequence[str]
    ) -> _CsvFile:
        what = "incremental_book_L2" if of == "book" else "trades"
        stem = f"{self._exchange[name]}_{what}_{at:%Y-%m-%dT%H%M%S.%f}_{name}"
        path = self._folder / f"{stem}.csv.gz"
        self._open[name, of] = file = self._made(path, columns)
        return file

    def _end(self, name: str, of: str) -> None:
        self._open.pop((name, of)).close()

    def finish(self) -> tuple[Path, ...]:
        """Close and name every file; return the paths of all, the outages last."""
        for name, of in list(self._open):
            self._end(name, of)
        self._outages.close()
        outages, *others = self._parts.finish()
        return (*sorted(others), outages)


class _CsvFile:
    """A CSV with a header, packed or not."""

    def __init__(self, part: Path, is_packed: bool, columns: Sequence[str]) -> None:
        raw = open(part, "wb")  # noqa: SIM115
        packed = raw
        if is_packed:
            packed = gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="")  # type: ignore[assignment]
        self._raw = raw
        self._text = io.TextIOWrapper(packed, "utf-8", newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow(columns)

    def write(self, row: Sequence[object]) -> None:
        self._writer.writerow("" if each is None else each for each in row)

    def close(self) -> None:
        try:
            self._text.close()
        finally:
            self._raw.close()


def _us(at: datetime) -> int:
    """Microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)
