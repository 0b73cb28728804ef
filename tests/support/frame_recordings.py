"""Recordings for frames: one with an outage, and what reads them another way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from okex_ws import Replay
from okex_ws.recording.format import Entry
from tests.support.recordings import depth, heard, session

# The extra "test" has it; the further interpreters of CI do without.
polars = pytest.importorskip("polars")

BTC = "BTC-USDT"

# The first read of polars opens descriptors that it keeps: here, not within a test.
_first = io.BytesIO()
pq.write_table(pa.table({"a": [1]}), _first)
polars.read_parquet(io.BytesIO(_first.getvalue()))


def lossy(bid: str = "128.1") -> list[Entry]:
    """Pushes to second 28, the last of them *bid*, and pongs to 15.1 and at 60."""
    pushes = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in range(1, 28)]
    pushes.append(heard(28.0, depth(28.0, bid)))
    entries = [
        each
        for each in session(*pushes, end=60.0)
        if each.payload != b"pong" or each.mono < 16.0
    ]
    return [*entries, heard(60.0, "pong")]


def read_back(table: pa.Table, folder: Path) -> list[dict[str, Any]]:
    """The rows of *table* after Parquet, as polars reads them."""
    pq.write_table(table, folder / "out.parquet")
    rows: list[dict[str, Any]] = polars.read_parquet(folder / "out.parquet").to_dicts()
    return rows


def items_of(path: Path, channel: str) -> list[Any]:
    with Replay(path, speed="max") as replay:
        (okx,) = replay.feed().subscribe([BTC], "spot", [channel])
        return list(okx.updates(latest=False))
