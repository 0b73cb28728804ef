"""What is exported is what a script would have been given, and an outage is a row."""

from __future__ import annotations

import csv
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from okex_ws import BookUpdate, Gap, StateChange, Trade
from okex_ws.research import export, frame
from okex_ws.research.recording_export import FORMS, TABLES
from tests.support.export_recording import IDS, lossy, played, record_an_outage
from tests.support.recordings import write

BTC = IDS[0]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recording for all tests of this module."""
    return record_an_outage(tmp_path_factory.mktemp("recording") / "day.rec.gz")


def rows(path: Path) -> list[dict[str, Any]]:
    with parquet.ParquetFile(path) as file:
        found: list[dict[str, Any]] = file.read().to_pylist()
    return found


def test_each_day_instrument_and_table_is_a_file(path: Path, tmp_path: Path) -> None:
    paths = export(path, tmp_path, tables=TABLES)

    days = {each.relative_to(tmp_path).parts[0] for each in paths}
    assert [each.relative_to(tmp_path).parts[1:] for each in paths] == [
        (name, f"{table}.parquet")
        for _ in days
        for name in IDS
        for table in sorted(TABLES)
    ]
    assert sorted(each for each in tmp_path.rglob("*") if each.is_file()) == [*paths]


@pytest.mark.parametrize("table", ["trades", "states"])
def test_trades_and_states_are_those_of_the_frame(
    path: Path, tmp_path: Path, table: str
) -> None:
    paths = export(path, tmp_path, tables=[table], instruments=[BTC])

    found = [row for each in paths for row in rows(each)]
    assert found == frame(path, BTC, kind=table).table.to_pylist()
    assert {row["row"] for row in found} >= {"state"}


def test_a_trades_table_is_the_items_to_the_digit(path: Path, tmp_path: Path) -> None:
    paths = export(path, tmp_path, tables=["trades"], exact=True)

    for name in IDS:
        items = played(path, name, "trade")
        mine = [row for each in paths if name in each.parts for row in rows(each)]
        trades = [each for each in items if isinstance(each, Trade)]
        assert [
            (row["id"], row["at"], row["timestamp"], row["side"])
            for row in mine
            if row["row"] == "item"
        ] == [(t.id, t.received, t.timestamp, t.side) for t in trades]
        assert [row["price"] for row in mine if row["row"] == "item"] == [
            Decimal(t.price) for t in trades
        ]
        gaps = [each for each in items if isinstance(each, Gap)]
        assert gaps
        assert [row["at"] for row in mine if row["row"] == "gap"] == [
            each.at for each in gaps
        ]


def test_a_depth_has_a_row_where_its_levels_change(path: Path, tmp_path: Path) -> None:
    paths = export(path, tmp_path, tables=["bbo", "depth"], levels=3, instruments=[BTC])

    bbo = [row for each in paths if each.stem == "bbo" for row in rows(each)]
    deep = [row for each in paths if each.stem == "depth" for row in rows(each)]
    wanted, last = [], None
    for item in played(path, BTC, "depth"):
        if isinstance(item, StateChange):
            wanted.append((item.at, None, None))
            last = None
        elif isinstance(item, BookUpdate):
            top = item.book.top(1)
            if top != last:
                best = float(top.bids[0][0]), float(top.asks[0][0])
                wanted.append((item.received, *best))
            last = top
    assert [(row["at"], row["bid"], row["ask"]) for row in bbo] == wanted
    assert len(deep) >= len(bbo)
    items = [row for row in deep if row["row"] == "item"]
    assert all(row["bid_price_1"] > row["bid_price_3"] for row in items)


def test_csv_has_the_rows_of_parquet(path: Path, tmp_path: Path) -> None:
    (one,) = export(path, tmp_path, form="csv", tables=["bbo"], instruments=[BTC])
    (other,) = export(path, tmp_path, tables=["bbo"], instruments=[BTC])

    with one.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    wanted = rows(other)
    assert [each["row"] for each in found] == [each["row"] for each in wanted]
    assert [float(each["bid"]) if each["bid"] else None for each in found] == [
        each["bid"] for each in wanted
    ]


def test_progress_is_told_up_to_the_end(path: Path, tmp_path: Path) -> None:
    parts: list[float] = []

    export(path, tmp_path, progress=lambda at, part: parts.append(part))

    assert parts == sorted(parts)
    assert 0.9 < parts[-1] <= 1.0


@pytest.mark.parametrize("form", FORMS)
def test_a_failure_leaves_no_part_of_a_file(
    path: Path, tmp_path: Path, form: str
) -> None:
    def fail(at: object, part: float) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        export(path, tmp_path / "out", form=form, progress=fail)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


@pytest.mark.parametrize(
    ("keywords", "error", "says"),
    [
        ({"form": "xlsx"}, ValueError, "form is one of parquet, csv, tardis"),
        ({"tables": ["bbos"]}, ValueError, "tables are some of bbo, depth"),
        ({"tables": "bbo"}, ValueError, "tables are some of"),
        ({"tables": []}, ValueError, "tables are some of"),
        ({"levels": 0}, ValueError, "levels"),
        ({"exact": 1}, TypeError, "exact is True or False"),
        ({"instruments": "BTC-USDT"}, TypeError, "instruments is a sequence"),
        ({"instruments": ["XRP-USDT"]}, ValueError, "XRP-USDT.*recorded are BTC-USDT"),
    ],
)
def test_what_cannot_be_right_is_refused(
    path: Path, tmp_path: Path, keywords: dict[str, Any], error: Any, says: str
) -> None:
    with pytest.raises(error, match=says):
        export(path, tmp_path / "out", **keywords)
    assert not (tmp_path / "out").exists()


def test_one_digit_of_the_recording_and_one_row_is_another(tmp_path: Path) -> None:
    found = []
    for name, digits in (("a", ()), ("b", ("128.2",))):
        source = write(tmp_path / f"{name}.rec.gz", *lossy(*digits))
        (file,) = export(source, tmp_path / name, tables=["bbo"])
        found.append(rows(file))
    differ = [(a["bid"], b["bid"]) for a, b in zip(*found, strict=True) if a != b]
    assert differ == [(128.1, 128.2)]
