"""The true state of a book as last published, to compare a client's own book with."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ... import OrderBook
from ..wire.values import EncodedPush


class Said(NamedTuple):
    """A book as it was last published on a channel, with the levels of that channel.

    *seq* is the ``seqId`` of the last message, ``None`` where messages have none (under
    v3, and in old recordings). *at* is its timestamp in epoch seconds.
    """

    book: OrderBook
    seq: int | None
    at: float


NOTHING = Said(OrderBook(), None, 0.0)


def read_snapshot(snapshot: EncodedPush | None) -> Said:
    """The book in a snapshot; `NOTHING` if there is no snapshot."""
    if snapshot is None:
        return NOTHING
    element = snapshot.element
    bids, asks = (tuple(map(tuple, element[side])) for side in ("bids", "asks"))
    book = OrderBook(bids, asks, snapshot.channel.startswith("books-rpi:"))
    seq = int(element["seqId"]) if "seqId" in element else None
    return Said(book, seq, _seconds(element))


def _seconds(element: dict[str, str]) -> float:
    if "ts" in element:
        return int(element["ts"]) / 1000
    # ``fromisoformat`` of Python 3.10 does not accept the Z of UTC.
    stamp = element["timestamp"].replace("Z", "+00:00")
    return datetime.fromisoformat(stamp).timestamp()
