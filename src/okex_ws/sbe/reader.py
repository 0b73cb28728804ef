"""What a binary message says, as the readers of JSON say it: depths, books, trades.

Levels are lists of text as in the JSON of v5: price, size, ``'0'``, number of orders.
So the same checks and proofs hold. *sent_us* less *time_us* of a message is the
gateway's own delay, which JSON does not tell.
"""

from __future__ import annotations

from ..protocol.common import UNREADABLE, UnreadableMessage
from ..protocol.messages import NO_DEPTH, BookData, DepthData, TradeData, book_data
from ..protocol.values import epoch_ms, snapshot, trade
from .decimals import NULL, text_of
from .layouts import BinaryBest, BinaryBook, BinaryLevel, BinaryTrade

_SIDES = {0: "sell", 1: "buy"}
_RPI = {0: False, 1: True}


def depth_of(said: BinaryBest) -> DepthData:
    """The best level of each side, which may be empty.

    Raises:
        WireError: a level is no level, or the sequence number or the time is none.
    """
    try:
        sides = {
            "asks": _best_side(said.ask, said),
            "bids": _best_side(said.bid, said),
        }
        at, seq = _numbers(said)
        return snapshot(sides, NO_DEPTH, at, seq)
    except UNREADABLE as error:
        raise UnreadableMessage("depth", "{}", error) from error


def book_of(said: BinaryBook) -> BookData:
    """A change of a book, whose rows are not checked yet; or a snapshot of it.

    A change of the exponents alone has no rows: it is a link of the chain all the same.

    Raises:
        WireError: a number has no value, or the sequence number or the time is none.
    """
    try:
        at, seq = _numbers(said)
        if said.prev_seq == NULL:
            raise ValueError("a change that follows no sequence number")
        prices = said.price_exponent, said.size_exponent
        asks, bids = (
            [_row(level, *prices) for level in side] for side in (said.asks, said.bids)
        )
        whole = said.prev_seq is None
        return book_data((whole, bids, asks, at, seq, said.prev_seq, None))
    except UNREADABLE as error:
        raise UnreadableMessage("book", "{}", error) from error


def trade_of(said: BinaryTrade) -> TradeData:
    """Trades of one taker at one price, by the id of the last.

    Raises:
        WireError: side, count, price, size or id is none.
    """
    try:
        at, _ = _numbers(said)
        if said.trade_id < 0:
            raise ValueError(f"trade id {said.trade_id}")
        price = text_of(said.price, said.price_exponent)
        size = text_of(said.size, said.size_exponent)
        side = _SIDES.get(said.side, "")
        rpi = _RPI.get(said.source)
        return trade(str(said.trade_id), said.trades, price, size, side, at, rpi=rpi)
    except UNREADABLE as error:
        raise UnreadableMessage("trade", "{}", error) from error


def _best_side(level: BinaryLevel | None, said: BinaryBest) -> list[list[str]]:
    if level is None:
        return []
    return [_row(level, said.price_exponent, said.size_exponent)]


def _row(level: BinaryLevel, price_exponent: int, size_exponent: int) -> list[str]:
    price, size, orders = level
    if orders < 0:
        raise ValueError(f"{orders} orders")
    return [
        text_of(price, price_exponent),
        text_of(size, size_exponent),
        "0",
        str(orders),
    ]


def _numbers(said: BinaryBest | BinaryBook | BinaryTrade) -> tuple[int, int]:
    """The time in milliseconds, of 13 digits as in JSON, and the sequence number.

    The microseconds of 64 bits reach beyond the last year of a ``datetime``.
    """
    if said.seq <= 0:
        raise ValueError(f"sequence number {said.seq}")
    return epoch_ms(str(said.time_us // 1000)), said.seq
