"""Tables as files: a Parquet or CSV for each day, instrument and kind of table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..base.threads import Closing
from ..model.items import Item
from .frame_columns import Columns, columns_of
from .frame_rows import Row

# Rows that wait, of one table, until they become columns; and rows of a group.
_WAITING, _GROUP = 1000, 65_536


class PartFiles:
    """The files of one export: each is ``NAME.part`` until `finish` names all of them.

    So what has a name belongs to a whole export, and no file is there without the
    others that say what is missing in it.
    """

    def __init__(self) -> None:
        self._parts: dict[Path, Path] = {}

    def begin(self, path: Path) -> Path:
        """Where to write what becomes *path*, or ``NAME-2`` if that was begun."""
        path.parent.mkdir(parents=True, exist_ok=True)
        wanted, number = path, 1
        while path in self._parts:
            number += 1
            stem, dot, end = wanted.name.partition(".csv")
            path = wanted.with_name(f"{stem}-{number}{dot}{end}")
        self._parts[path] = part = path.with_name(f"{path.name}.part")
        return part

    def finish(self) -> tuple[Path, ...]:
        """Name the files, in the order of their beginnings; return their paths.

        An older file of a name is replaced.
        """
        for path, part in self._parts.items():
            os.replace(part, path)
        paths = tuple(self._parts)
        self._parts.clear()
        return paths

    def drop(self) -> None:
        """Remove what has no name yet."""
        for part in self._parts.values():
            with suppress(OSError):
                part.unlink(missing_ok=True)
        self._parts.clear()


class TableFiles(Closing):
    """The files of one export: ``DAY/INSTRUMENT/KIND.parquet``, or ``.csv``.

    `take` gets each item with its rows; `finish` closes and names all. At the end of a
    ``with`` what has no name is removed. One day of each table is open at a time.
    """

    def __init__(
        self, folder: str | os.PathLike[str], form: str, levels: int, exact: bool
    ) -> None:
        self._folder, self._form = Path(folder), form
        self._levels, self._exact = levels, exact
        self._open: dict[tuple[str, str], _TableFile] = {}
        self._parts = PartFiles()

    def close(self) -> None:
        """Remove what is unfinished."""
        for each in self._open.values():
            with suppress(Exception):  # a full disk, say
                each.close()
        self._open.clear()
        self._parts.drop()

    def take(self, item: Item, rows: Iterable[tuple[str, Row]]) -> None:
        """Write the *rows* of an item, each to the file of its table and day."""
        for table, row in rows:
            name, day = row["instrument_id"], f"{row['at']:%Y-%m-%d}"
            file = self._open.get((name, table))
            # A clock that was set back opens no day again: its row comes late.
            if file is not None and file.day < day:
                self._end(name, table)
                file = None
            if file is None:
                path = self._folder / day / name / f"{table}.{self._form}"
                part = self._parts.begin(path)
                file = _TableFile(part, day, self._form, self._columns(table))
                self._open[name, table] = file
            file.add(row)

    def _columns(self, table: str) -> Columns:
        return columns_of(table, self._levels, self._exact)

    def _end(self, name: str, table: str) -> None:
        self._open[name, table].finish()
        del self._open[name, table]

    def finish(self) -> tuple[Path, ...]:
        """Close and name every file, and return the paths of all."""
        for name, table in list(self._open):
            self._end(name, table)
        return tuple(sorted(self._parts.finish()))


class _TableFile:
    """One file, written in groups of rows."""

    def __init__(self, part: Path, day: str, form: str, columns: Columns) -> None:
        self.day = day
        self._columns = columns
        self._writer = _writer(form, part, columns.schema)
        self._rows: list[Row] = []
        self._batches: list[Any] = []
        self._count = 0

    def add(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == _WAITING:
            self._gather()

    def _gather(self) -> None:
        """Make columns of the rows: these take less memory."""
        if self._rows:
            self._batches.append(self._columns.batch(self._rows))
            self._count += len(self._rows)
            self._rows = []
        if self._count >= _GROUP:
            self._write()

    def _write(self) -> None:
        if self._batches:
            self._writer.write_table(self._columns.table(self._batches))
            self._batches, self._count = [], 0

    def finish(self) -> None:
        self._gather()
        self._write()
        self.close()

    def close(self) -> None:
        self._writer.close()


def _writer(form: str, path: Path, schema: Any) -> Any:
    if form == "csv":
        from pyarrow.csv import CSVWriter

        return CSVWriter(path, schema)
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(path, schema)
