"""Damaged binary messages: one kind of error, and no number that is none."""

from __future__ import annotations

from decimal import Decimal
from random import Random

from okex_ws.base.errors import WireError
from okex_ws.sbe.layouts import (
    BinaryBest,
    BinaryBook,
    BinaryTrade,
    UnknownTemplate,
    decode,
)
from okex_ws.sbe.reader import book_of, depth_of, trade_of
from tests.fuzz.corpus import Corpus
from tests.support.sbe_vectors import EVERY

_FRAMES = tuple(EVERY.values())


def make_binary(rng: Random, corpus: Corpus) -> bytes:
    """A binary message with some of its bytes changed, cut, doubled or swapped."""
    frame = bytearray(rng.choice(_FRAMES))
    for _ in range(rng.randint(0, 4)):
        at = rng.randrange(len(frame)) if frame else 0
        how = rng.randrange(5)
        if how == 0:
            del frame[at:]
        elif how == 1:
            frame[at:at] = rng.randbytes(rng.choice((1, 4, 20)))
        elif how == 2:
            frame[at:] = rng.choice(_FRAMES)[at:]
        elif frame:
            frame[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(frame)


def check_binary(frame: bytes) -> str:
    """Decode and read *frame*; what is read is a price or a size."""
    try:
        said = decode(frame)
        if isinstance(said, UnknownTemplate):
            return "unknown"
        if isinstance(said, BinaryBest):
            depth = depth_of(said)
            rows = [*depth.asks, *depth.bids]
            assert all(Decimal(row[0]) > 0 and Decimal(row[1]) > 0 for row in rows)
        elif isinstance(said, BinaryBook):
            book = book_of(said)
            assert all(Decimal(row[0]).is_finite() for row in (*book.asks, *book.bids))
        elif isinstance(said, BinaryTrade):
            trade = trade_of(said)
            assert trade.price > 0
            assert trade.size > 0
    except WireError:
        return "refused"
    return type(said).__name__
