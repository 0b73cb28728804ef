"""Tables in files: a day each, in groups, and whole or absent."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from okex_ws.base.state import NO_CAUSE, State
from okex_ws.model.reports import StateChange
from okex_ws.research import table_files
from okex_ws.research.frame_rows import state_row
from okex_ws.research.table_files import PartFiles, TableFiles
from tests.support.internals import fail_to_close

NIGHT = datetime(2026, 9, 1, 23, 59, 58, tzinfo=timezone.utc)


def change(seconds: float, name: str = "BTC-USDT") -> StateChange:
    at = NIGHT + timedelta(seconds=seconds)
    return StateChange(State.SYNCING, State.LIVE, NO_CAUSE, 1, at, name)


def take(files: TableFiles, *changes: StateChange) -> None:
    for each in changes:
        files.take(each, [("states", state_row(each))])


def rows(path: Path) -> list[dict[str, Any]]:
    with parquet.ParquetFile(path) as file:
        found: list[dict[str, Any]] = file.read().to_pylist()
    return found


def test_at_midnight_another_file_begins(tmp_path: Path) -> None:
    with TableFiles(tmp_path, "parquet", 5, False) as files:
        take(files, change(0), change(1.9), change(2.0))
        first = tmp_path / "2026-09-01" / "BTC-USDT" / "states.parquet"
        assert not first.exists()  # the day is over, and the export is not
        paths = files.finish()

    second = tmp_path / "2026-09-02" / "BTC-USDT" / "states.parquet"
    assert paths == (first, second)
    assert [len(rows(each)) for each in paths] == [2, 1]


def test_rows_are_written_in_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "_WAITING", 3)
    monkeypatch.setattr(table_files, "_GROUP", 6)
    with TableFiles(tmp_path, "parquet", 5, False) as files:
        take(files, *(change(-n) for n in range(14, 0, -1)))
        (path,) = files.finish()

    with parquet.ParquetFile(path) as file:
        sizes = [
            file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)
        ]
    assert sizes == [6, 6, 2]
    assert [row["at"] for row in rows(path)] == [
        change(-n).at for n in range(14, 0, -1)
    ]


def test_without_a_finish_nothing_is_left(tmp_path: Path) -> None:
    with TableFiles(tmp_path, "csv", 5, False) as files:
        take(files, change(0), change(0, "ETH-USDT"))

    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_clock_that_was_set_back_over_midnight_loses_no_row(tmp_path: Path) -> None:
    changes = [change(seconds) for seconds in (0, 3, -1, 4)]
    with TableFiles(tmp_path, "parquet", 5, False) as files:
        take(files, *changes)
        first, second = files.finish()

    assert [row["at"] for row in rows(first)] == [changes[0].at]
    assert [row["at"] for row in rows(second)] == [each.at for each in changes[1:]]


def test_older_files_are_replaced_once_all_are_whole(tmp_path: Path) -> None:
    names = [tmp_path / "x" / name for name in ("a.csv", "b.csv")]
    names[0].parent.mkdir()
    names[0].write_text("old")

    files = PartFiles()
    parts = [files.begin(name) for name in names]
    for part in parts:
        part.write_text("new")
    assert names[0].read_text() == "old"
    assert files.finish() == (*names,)
    assert [name.read_text() for name in names] == ["new", "new"]
    files.drop()
    assert sorted(names[0].parent.iterdir()) == names


def test_two_files_of_one_name_are_two(tmp_path: Path) -> None:
    files = PartFiles()
    for text in ("a", "b", "c"):
        files.begin(tmp_path / "x_1.csv.gz").write_text(text)

    paths = files.finish()

    assert [path.name for path in paths] == [
        *("x_1.csv.gz", "x_1-2.csv.gz", "x_1-3.csv.gz")
    ]
    assert [path.read_text() for path in paths] == ["a", "b", "c"]


def test_a_writer_that_cannot_close_leaves_no_part(tmp_path: Path) -> None:
    with TableFiles(tmp_path, "csv", 5, False) as files:
        take(files, change(0), change(0, "ETH-USDT"))
        fail_to_close(files)

    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []
