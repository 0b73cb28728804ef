"""Tables as files: a Parquet or CSV for each day, instrument and kind of table."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..base.threads import Closing
from ..model.items import Item
from .frame_columns import Columns, columns_of
from .frame_rows import Row

# Rows that wait, of one table, until they become columns; and rows of a group.
_WAITING, _GROUP = 1000, 65_536


class PartFile:
    """A path that has its name once `done` is called: until then it is ``NAME.part``.

    *path* is the name; *part* is where to write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        path.parent.mkdir(parents=True, exist_ok=True)

    def done(self) -> None:
        """Give the file its name; an older one of that name is replaced."""
        os.replace(self.part, self.path)

    def drop(self) -> None:
        """Remove what was written."""
        self.part.unlink(missing_ok=True)


class TableFiles(Closing):
    """The files of one export: ``DAY/INSTRUMENT/KIND.parquet``, or ``.csv``.

    `take` gets each item with its rows; `finish` closes all and returns their paths. At
    the end of a ``with`` what is unfinished is removed. One day of each table is open
    at a time.
    """

    def __init__(
        self, folder: str | os.PathLike[str], form: str, levels: int, exact: bool
    ) -> None:
        self._folder, self._form = Path(folder), form
        self._levels, self._exact = levels, exact
        self._open: dict[tuple[str, str], _TableFile] = {}
        self._done: list[Path] = []

    def close(self) -> None:
        """Remove what is unfinished."""
        for each in self._open.values():
            each.drop()

    def take(self, item: Item, rows: Iterable[tuple[str, Row]]) -> None:
        """Write the *rows* of an item, each to the file of its table and day."""
        for table, row in rows:
            name, day = row["instrument_id"], f"{row['at']:%Y-%m-%d}"
            file = self._open.get((name, table))
            if file is not None and file.day != day:
                self._end(name, table)
                file = None
            if file is None:
                folder = self._folder / day / name
                file = _TableFile(folder, table, day, self._form, self._columns(table))
                self._open[name, table] = file
            file.add(row)

    def _columns(self, table: str) -> Columns:
        return columns_of(table, self._levels, self._exact)

    def _end(self, name: str, table: str) -> None:
        self._done.append(self._open[name, table].finish())
        del self._open[name, table]

    def finish(self) -> tuple[Path, ...]:
        """Close every file, and return the paths of all."""
        for name, table in list(self._open):
            self._end(name, table)
        return tuple(sorted(self._done))


class _TableFile:
    """One file, written in groups of rows."""

    def __init__(
        self, folder: Path, table: str, day: str, form: str, columns: Columns
    ) -> None:
        self.day = day
        self._columns = columns
        self._file = PartFile(folder / f"{table}.{form}")
        self._writer = _writer(form, self._file.part, columns.schema)
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

    def finish(self) -> Path:
        self._gather()
        self._write()
        self._writer.close()
        self._file.done()
        return self._file.path

    def drop(self) -> None:
        self._writer.close()
        self._file.drop()


def _writer(form: str, path: Path, schema: Any) -> Any:
    if form == "csv":
        from pyarrow.csv import CSVWriter

        return CSVWriter(path, schema)
    from pyarrow.parquet import ParquetWriter

    return ParquetWriter(path, schema)
