"""Keyframes: what stands on a connection between two of its messages, made by us.

A recording is a chain of changes. Where a part of it is read alone, or from its middle,
the books that were whole before are missing. A keyframe gives the present book of a
channel in the form of a whole push, which the exchange never sent: its text begins with
`MADE`, so that it is never taken for the exchange's own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timezone
from hashlib import sha256
from typing import Any

from ..model.book import CHECKSUM_LEVELS, checksum_of
from ..protocol.catalogue import argument_of
from ..protocol.messages import DepthData

# How the text of a push begins that the library made.
MADE = '{"made":"okex_ws",'
MADE_LENGTH = len(MADE)


def made_push(protocol: str, key: str, depth: DepthData, whole: bool) -> str:
    """A push of channel *key* that gives *depth*, in the form of *protocol*.

    *whole* is True for a book that later pushes change: it then has the checksum of its
    best levels, too, so that the book that is read from it is proven once more.
    """
    sides: dict[str, Any] = {"asks": depth.asks, "bids": depth.bids}
    if whole:
        sides["checksum"] = checksum_of(_top(depth.bids), _top(depth.asks))
    if protocol == "v5":
        said: dict[str, Any] = {"arg": argument_of(key)}
        numbers = {} if depth.seq is None else {"seqId": depth.seq, "prevSeqId": -1}
        element = {**sides, "ts": str(depth.time_ms), **numbers}
        action = "snapshot"
    else:
        table, _, name = key.partition(":")
        said, action = {"table": table}, "partial"
        element = {"instrument_id": name, **sides, "timestamp": _iso(depth.time_ms)}
    message = {**said, **({"action": action} if whole else {}), "data": [element]}
    return MADE + json.dumps(message, separators=(",", ":"))[1:]


def _top(side: Sequence[Sequence[Any]]) -> list[str]:
    return [f"{level[0]}:{level[1]}" for level in side[:CHECKSUM_LEVELS]]


def _iso(time_ms: int) -> str:
    at = datetime.fromtimestamp(time_ms // 1000, timezone.utc)
    return f"{at.isoformat()[:19]}.{time_ms % 1000:03}Z"


def digest_of(payload: bytes) -> str:
    """What a keyframe is checked by when it is read: no digit of it may differ."""
    return sha256(payload).hexdigest()
