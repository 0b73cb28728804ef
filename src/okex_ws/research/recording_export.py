"""`export`: a recording as files of other tools, outages included."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from ..base.checks import check_flag, check_whole
from ..model.items import BookUpdate, Depth, Gap, Item, Trade
from ..model.reports import StateChange
from ..protocol.catalogue import KNOWN
from ..replay import Replay
from .frame_rows import Row, depth_row, gap_row, state_row, trade_row
from .table_files import TableFiles
from .tardis_files import TardisFiles

#: What `export` writes.
FORMS = ("parquet", "csv", "tardis")
#: The kinds of tables.
TABLES = ("bbo", "depth", "trades", "states")
# Called with the moment of the recording that was written, and how much of the whole
# that is, from 0 to 1.
Progress = Callable[[datetime, float], object]
Recorded = tuple[str, str, tuple[str, ...]]

# Of several channels of depths of one instrument, the one that is written: a whole book
# (it proves itself), else the one with the most levels.
_DEPTHS, _TRADES = ("book", "depth"), ("trade",)


def export(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    form: str = "parquet",
    tables: Sequence[str] = ("bbo", "trades", "states"),
    instruments: Sequence[str] | None = None,
    levels: int = 5,
    exact: bool = False,
    start: datetime | float | None = None,
    end: datetime | float | None = None,
    venue: str | None = None,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Write a recording into *folder*; return the paths of the files, in their order.

    ``'parquet'`` and ``'csv'`` write a file for each day of receipt (UTC), instrument
    and kind of table: ``2026-12-01/BTC-USDT/bbo.parquet``. The columns, and the rows
    that stand for outages, are those of `frame`. ``'tardis'`` writes the CSV of that
    vendor: the changes of whole books and the trades, a file for each unbroken stretch,
    with ``outages.csv`` beside them; numbers are the exchange's own text, sizes in
    contracts but for spot.

    The files have their names once all of the export is there: if this raises, none is
    left. An older file of the same name is replaced then.
    The recording is played once, and some thousand rows of each table are in memory.

    Args:
        path, start, end, venue: as for `Replay`.
        form: one of `FORMS`.
        tables: which of `TABLES` (``'depth'`` has *levels* a side).
        instruments: the ids (default: all that were recorded).
        exact: numbers as ``decimal128(38, 18)``, not ``float64``.
        progress: called now and then with the moment and the part that is written.

    Raises:
        ValueError: an argument cannot be right, an instrument was not recorded (the
            message lists those that were), or nothing of it can be written.
        OSError, RecordingDamaged: as for `Replay`, or *folder* cannot be written.
    """
    _check(form, tables)
    check_whole("levels", levels)
    check_flag("exact", exact)
    with Replay(path, speed="max", start=start, end=end, venue=venue) as replay:
        wanted = _chosen(replay, instruments)
        if form == "tardis":
            files: TableFiles | TardisFiles = TardisFiles(folder, wanted)
        else:
            files = TableFiles(folder, form, levels, exact)
        with files:
            every = set(TABLES if form == "tardis" else tables)
            _write(replay, wanted, files, every, levels, progress)
            return files.finish()


def _check(form: str, tables: Sequence[str]) -> None:
    if form not in FORMS:
        raise ValueError(f"form is one of {', '.join(FORMS)}, got {form!r:.80}")
    if isinstance(tables, str) or not tables or set(tables) - {*TABLES}:
        raise ValueError(f"tables are some of {', '.join(TABLES)}, got {tables!r:.80}")


def _chosen(replay: Replay, wanted: Sequence[str] | None) -> list[Recorded]:
    # An index may have the id of an instrument that is traded.
    recorded: dict[str, list[Recorded]] = {}
    for each in replay.instruments:
        recorded.setdefault(each[1], []).append(each)
    if isinstance(wanted, str):
        raise TypeError(f"instruments is a sequence, like [{wanted!r}]")
    missing = [each for each in wanted or () if each not in recorded]
    if missing or not recorded:
        has = ", ".join(recorded) or "none"
        raise ValueError(f"{missing or 'nothing'} is recorded; recorded are {has}")
    names = dict.fromkeys(wanted or recorded)
    found = [each for name in names for each in recorded[name]]
    return [each for each in found if _channel(each[2], (*_DEPTHS, *_TRADES))]


def _write(
    replay: Replay,
    wanted: Sequence[Recorded],
    files: TableFiles | TardisFiles,
    tables: set[str],
    levels: int,
    progress: Progress | None,
) -> None:
    """Play the recording once, and give each item to *files* as it comes."""
    begins, ends = replay.begins.timestamp(), replay.ends.timestamp()
    length = max(ends - begins, 1e-9)
    depths, trades = _chosen_of(wanted, _DEPTHS), _chosen_of(wanted, _TRADES)
    if not (depths or trades):
        raise ValueError("no depth, book or trade was recorded of what is wanted")
    feed, told = replay.feed(), list[tuple[_Rows, Item]]()
    for chosen, of in ((depths, {"bbo", "depth", "states"}), (trades, {"trades"})):
        for name, (market, channel) in chosen.items():
            # A subscription of its own, so that a state is that of this channel alone.
            own = of if name in depths else of | {"states"}
            rows = _Rows(tables & own, levels)
            tell = partial(_tell, told, rows)
            feed.subscribe([name], market, [channel], on_item=tell)
    written = 0.0
    for at in replay:
        _give(told, files)
        part = (at.timestamp() - begins) / length
        if progress is not None and part - written >= 0.01:
            written = part
            progress(at, part)
    _give(told, files)


def _tell(told: list[tuple[_Rows, Item]], rows: _Rows, item: Item) -> None:
    told.append((rows, item))


def _give(told: list[tuple[_Rows, Item]], files: TableFiles | TardisFiles) -> None:
    """Write what was *told*."""
    for rows, item in told:
        files.take(item, rows.of(item))
    told.clear()


def _chosen_of(
    wanted: Sequence[Recorded], kinds: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """Market and channel of each instrument that has one of these *kinds*."""
    return {
        name: (market, channel)
        for market, name, topics in wanted
        if (channel := _channel(topics, kinds)) is not None
    }


def _channel(topics: Sequence[str], kinds: Sequence[str]) -> str | None:
    """The channel of *topics* that is written, if one is of these *kinds*."""
    for kind in kinds:
        found = [each for each in topics if KNOWN[each].kind == kind]
        if "trades-all" in found:
            return "trades-all"  # each trade by itself
        if found:
            return max(found, key=lambda each: KNOWN[each].levels)
    return None


class _Rows:
    """The rows of the tables that an item makes, of one stream of items."""

    def __init__(self, tables: set[str], levels: int) -> None:
        self._levels = levels
        self._tables = sorted(tables)
        self._depths = sorted(tables & {"bbo", "depth"})
        self._trades = sorted(tables & {"trades"})
        # What each table has last of each instrument, so that only changes are rows.
        self._last: dict[tuple[str, str], Any] = {}

    def of(self, item: Item) -> Iterator[tuple[str, Row]]:
        """The name of a table and a row of it, for each that *item* makes."""
        if isinstance(item, StateChange):
            row = state_row(item)
            for table in self._tables:
                self._last.pop((table, item.instrument_id), None)
                yield table, row
        elif isinstance(item, (Depth, BookUpdate)):
            book = item.book.top(self._levels)
            for table in self._depths:
                shown = book.top(1) if table == "bbo" else book
                if self._last.get((table, item.instrument_id)) != shown:
                    self._last[table, item.instrument_id] = shown
                    yield table, depth_row(item, 1 if table == "bbo" else self._levels)
        elif isinstance(item, Trade):
            for table in self._trades:
                yield table, trade_row(item)
        elif isinstance(item, Gap):
            for table in self._trades:
                yield table, gap_row(item)
