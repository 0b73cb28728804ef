"""Recordings for frames: one with an outage, and what reads them another way."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from okex_ws import Replay
from tests.support.export_recording import lossy

# The extra "test" has it; the further interpreters of CI do without.
polars = pytest.importorskip("polars")

BTC = "BTC-USDT"
__all__ = ["items_of", "lossy", "read_back"]

# The first read of polars opens descriptors that it keeps: here, not within a test.
_first = io.BytesIO()
pq.write_table(pa.table({"a": [1]}), _first)
polars.read_parquet(io.BytesIO(_first.getvalue()))


def read_back(table: pa.Table, folder: Path) -> list[dict[str, Any]]:
    """The rows of *table* after Parquet, as polars reads them."""
    pq.write_table(table, folder / "out.parquet")
    rows: list[dict[str, Any]] = polars.read_parquet(folder / "out.parquet").to_dicts()
    return rows


def items_of(path: Path, channel: str) -> list[Any]:
    with Replay(path, speed="max") as replay:
        (okx,) = replay.feed().subscribe([BTC], "spot", [channel])
        return list(okx.updates(latest=False))
