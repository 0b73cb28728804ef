"""What was said of a book, truthfully: what a client's own book is compared with."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ... import OrderBook
from ..wire.values import EncodedPush


class Said(NamedTuple):
    """A book as it was last said on a channel, in the rows of that channel.

    *seq* is the ``seqId`` of that message, ``None`` where there is none (under v3, and
    in old recordings), and *at* its timestamp in epoch seconds.
    """

    book: OrderBook
    seq: int | None
    at: float


NOTHING = Said(OrderBook(), None, 0.0)


def read_snapshot(snapshot: EncodedPush | None) -> Said:
    """What a snapshot says; nothing, if there is none."""
    if snapshot is None:
        return NOTHING
    element = snapshot.element
    book = OrderBook(*(tuple(map(tuple, element[side])) for side in ("bids", "asks")))
    seq = int(element["seqId"]) if "seqId" in element else None
    return Said(book, seq, _seconds(element))


def _seconds(element: dict[str, str]) -> float:
    if "ts" in element:
        return int(element["ts"]) / 1000
    # Python 3.10 does not know what Z is.
    stamp = element["timestamp"].replace("Z", "+00:00")
    return datetime.fromisoformat(stamp).timestamp()
