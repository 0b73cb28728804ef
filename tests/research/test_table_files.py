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
from okex_ws.research.table_files import PartFile, TableFiles

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
        assert first.exists()  # the day is over
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


def test_an_older_file_is_replaced_once_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x" / "a.csv"
    path.parent.mkdir()
    path.write_text("old")

    file = PartFile(path)
    file.part.write_text("new")
    assert path.read_text() == "old"
    file.done()
    assert path.read_text() == "new"
    file.drop()
    assert [each.name for each in path.parent.iterdir()] == ["a.csv"]
