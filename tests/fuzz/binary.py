"""Damaged binary messages: one kind of error, or what v5 reads in such JSON."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from okex_ws.base.errors import WireError
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.sbe.layouts import (
    BinaryBest,
    BinaryBook,
    BinaryTrade,
    UnknownTemplate,
    decode,
)
from okex_ws.sbe.reader import book_of, depth_of, trade_of
from tests.fuzz.corpus import Corpus
from tests.fuzz.promises import check_book_data, check_depth, check_trade
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
    """Decode and read *frame*: v5 reads JSON that says the same as the same value."""
    try:
        said = decode(frame)
        if isinstance(said, UnknownTemplate):
            return "unknown"
        if isinstance(said, BinaryBest):
            best, sides = depth_of(said), {"asks": [said.ask], "bids": [said.bid]}
            element = _element(said, sides)
            check_depth("v5", best, element)
            assert best == PROTOCOL.depth(element)
        elif isinstance(said, BinaryBook):
            book, levels = book_of(said), {"asks": said.asks, "bids": said.bids}
            element = _element(said, levels) | {"prevSeqId": _text(said.prev_seq)}
            check_book_data("v5", book, element)
            action = "snapshot" if said.prev_seq is None else "update"
            assert book == PROTOCOL.book(element, action)
        else:
            trade, element = trade_of(said), _trade(said)
            check_trade("v5", trade, element)
            assert trade == PROTOCOL.trade(element)
            assert trade.rpi == {0: False, 1: True}.get(said.source)
    except WireError:
        return "refused"
    return type(said).__name__


def _element(said: BinaryBest | BinaryBook, sides: dict[str, Any]) -> dict[str, Any]:
    """The element of a push of JSON that says what *said* does."""
    exponents = said.price_exponent, said.size_exponent
    rows = {
        name: [
            [*map(_number, level, exponents), "0", str(level[2])]
            for level in sides[name]
            if level is not None
        ]
        for name in sides
    }
    return rows | {"ts": str(said.time_us // 1000), "seqId": str(said.seq)}


def _trade(said: BinaryTrade) -> dict[str, Any]:
    return {
        "tradeId": str(said.trade_id),
        "px": _number(said.price, said.price_exponent),
        "sz": _number(said.size, said.size_exponent),
        "side": ("sell", "buy")[said.side],
        "ts": str(said.time_us // 1000),
        "count": str(said.trades),
    }


def _number(mantissa: int, exponent: int) -> str:
    return format(Decimal(mantissa).scaleb(exponent), "f") if mantissa else "0"


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)
