"""A frame of a recording is the items of its replay, and an outage is rows."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from okex_ws import Depth, StateChange
from okex_ws.base.clock import utc
from okex_ws.research import batches, frame
from okex_ws.research import frame as public_frame
from tests.support.frame_recordings import items_of, lossy, read_back
from tests.support.recordings import WALL, write

BTC = "BTC-USDT"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "day.rec.gz", *lossy())


def test_parquet_read_with_polars_is_the_items(path: Path, tmp_path: Path) -> None:
    rows = read_back(frame(path, BTC, exact=True).table, tmp_path)
    items = items_of(path, "depth5")

    depths = [each for each in items if isinstance(each, Depth)]
    found = [row for row in rows if row["row"] == "item"]
    assert [(row["at"], row["timestamp"], row["epoch"]) for row in found] == [
        (each.received, each.timestamp, each.epoch) for each in depths
    ]
    assert [(row["bid"], row["ask_size"]) for row in found] == [
        (Decimal(each.bids[0][0]), Decimal(each.asks[0][1])) for each in depths
    ]
    changes = [each for each in items if isinstance(each, StateChange)]
    told = [row for row in rows if row["row"] == "state"]
    assert [(row["at"], row["state"], row["cause"]) for row in told][-3:] == [
        (each.at, str(each.new), str(each.cause) or None) for each in changes
    ][-3:]


def test_one_digit_of_the_recording_and_one_row_is_another(tmp_path: Path) -> None:
    one = frame(write(tmp_path / "a.rec.gz", *lossy()), BTC).table.to_pylist()
    other = frame(write(tmp_path / "b.rec.gz", *lossy("128.2")), BTC).table.to_pylist()
    differ = [(a["bid"], b["bid"]) for a, b in zip(one, other, strict=True) if a != b]
    assert differ == [(128.1, 128.2)]


def test_on_a_grid_an_outage_is_rows_without_a_price(path: Path) -> None:
    table = frame(path, BTC, every=0.1).table
    rows = table.to_pylist()

    assert [row["at"] for row in rows] == [utc(WALL + n / 10) for n in range(601)]
    priced = [row for row in rows if row["bid"] is not None]
    assert {row["state"] for row in priced} == {"LIVE"}
    outage = [row for row in rows if row["at"] > utc(WALL + 31.0)]
    assert all(row["bid"] is row["timestamp"] is None for row in outage)
    assert all(row["cause"] and row["cause_code"] for row in outage)
    assert len(outage) == 290


def test_a_stretch_is_that_part_of_the_whole(path: Path) -> None:
    whole = frame(path, BTC, every=0.1).table.to_pylist()
    rows = frame(path, BTC, every=0.1, start=10.0, end=20.0).table.to_pylist()

    assert [row["at"] for row in rows] == [utc(WALL + n / 10) for n in range(100, 201)]
    priced = [row for row in rows if row["bid"] is not None]
    assert len(priced) > 40
    of_whole = {row["at"]: row["bid"] for row in whole}
    assert all(of_whole[row["at"]] == row["bid"] for row in priced)


def test_a_depth_has_a_column_for_each_price_and_size(path: Path) -> None:
    made = frame(path, BTC, kind="depth", levels=2)
    names = made.table.column_names
    assert [each for each in names if each.endswith("_2")] == [
        *("bid_price_2", "bid_size_2", "ask_price_2", "ask_size_2")
    ]
    row = next(row for row in made.table.to_pylist() if row["row"] == "item")
    assert (row["bid_price_1"], row["ask_price_1"]) == (101.1, 100.9)
    assert row["bid_price_2"] is None  # the exchange sent one level


@pytest.mark.parametrize(
    ("keywords", "says"),
    [
        ({"kind": "bbos"}, "kind is one of bbo, depth, trades, states"),
        ({"levels": 0}, "levels"),
        ({"every": 0.0}, "more than 0"),
        ({"every": 1.0, "kind": "trades"}, "every= is for"),
    ],
)
def test_what_cannot_be_right_is_refused_at_the_call(
    path: Path, keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        batches(path, BTC, **keywords)


def test_batches_are_the_frame(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = frame(path, BTC, every=0.5).table
    module = sys.modules[public_frame.__module__]
    monkeypatch.setattr(module, "BATCH", 40)
    parts = list(batches(path, BTC, every=0.5))
    assert [each.num_rows for each in parts] == [40, 40, 40, 1]
    assert pa.Table.from_batches(parts) == whole


def test_polars_and_pandas_get_the_same(path: Path) -> None:
    made = frame(path, BTC)
    assert made.to_polars().to_dicts() == made.table.to_pylist()
    assert list(made.to_pandas()["row"]) == made.table["row"].to_pylist()
