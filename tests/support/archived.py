"""Archived books, made up here: three rows, and what packs rows as the archive does."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

START = 1_790_640_000_000
Levels = list[list[str]]


def row(action: str, ms: int, asks: Levels, bids: Levels) -> dict[str, Any]:
    ts = str(START + ms)
    return {
        "instId": "BTC-USDT",
        "action": action,
        "ts": ts,
        "asks": asks,
        "bids": bids,
    }


FIRST = row("snapshot", 0, [["101", "1", "1"], ["102", "2", "1"]], [["100", "1", "1"]])
CHANGE = row("update", 10, [["101", "0.0", "0"]], [["99.5", "4", "2"]])
SECOND = row(
    "snapshot", 900_000, [["102", "2", "1"]], [["100", "1.0", "1"], ["99.5", "4", "2"]]
)


def packed(folder: Path, *rows: object) -> Path:
    path = folder / "BTC-USDT-L2orderbook-400lv-2026-09-29.tar.gz"
    data = b"".join(
        (r if isinstance(r, bytes) else json.dumps(r).encode()) + b"\n" for r in rows
    )
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("BTC-USDT-L2orderbook-400lv-2026-09-29.data")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return path
