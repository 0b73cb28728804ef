"""Makes the items of a script from a channel's `Published` value, when it is read."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from ..base.clock import utc
from ..model.book import RPI, OrderBook, takeable
from ..model.items import (
    BestBidAsk,
    BookUpdate,
    Candle,
    Depth,
    FundingRate,
    Ticker,
    Trade,
)
from ..protocol.messages import CandleData, FundingData, TickerData, TradeData
from ..trust.verdict import Published


def iso(time_ms: int) -> str:
    """Epoch milliseconds as ISO-8601 text in UTC, in the exchange's own format."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{utc(seconds).isoformat()[:19]}.{ms:03}Z"


def make_dict(
    instrument_id: str, shown: Published, levels: int | None
) -> dict[str, Any]:
    """The dict of ``GetDepth()``: four keys, new lists at each call."""
    depth = shown.depth
    return {
        "instrument_id": instrument_id,
        "asks": [list(level) for level in depth.asks[:levels]],
        "bids": [list(level) for level in depth.bids[:levels]],
        "timestamp": iso(depth.time_ms),
    }


def _origin(shown: Published, topic: str) -> tuple[Any, ...]:
    """The last fields of each depth item: times, lag, sequence, epoch and channel."""
    at, received = utc(shown.depth.time_ms / 1000), utc(shown.wall)
    return at, received, shown.lag, shown.depth.seq, shown.epoch, topic


def make_depth(
    instrument_id: str, topic: str, shown: Published, levels: int | None
) -> Depth:
    """A `Depth` with the best *levels* levels of each side."""
    depth = shown.depth
    return Depth(
        instrument_id,
        tuple(tuple(level) for level in depth.bids[:levels]),
        tuple(tuple(level) for level in depth.asks[:levels]),
        *_origin(shown, topic),
    )


def make_best(
    instrument_id: str, topic: str, shown: Published, epoch: int, rpi: bool = False
) -> BestBidAsk:
    """The best bid and best ask of a depth, for a script that is in *epoch*.

    Of ``books-rpi`` they are those that every order can take, unless *rpi*.
    """
    depth = shown.depth
    bids, asks = depth.bids, depth.asks
    if topic == RPI and not rpi:
        bids, asks = (list(islice(takeable(side), 1)) for side in (bids, asks))
    bid, bid_size = map(Decimal, bids[0][:2]) if bids else (None, None)
    ask, ask_size = map(Decimal, asks[0][:2]) if asks else (None, None)
    at, received = utc(depth.time_ms / 1000), utc(shown.wall)
    best = instrument_id, bid, bid_size, ask, ask_size, at, received
    return BestBidAsk(*best, shown.lag, depth.seq, epoch, topic)


def make_book(shown: Published, topic: str) -> OrderBook:
    """The whole book of *shown*, a value of the channel *topic*."""
    # Both sides are tuples, because the `BookBuilder` made them.
    bids: Any = shown.depth.bids
    asks: Any = shown.depth.asks
    return OrderBook(bids, asks, topic == RPI)


def make_book_update(
    instrument_id: str, topic: str, shown: Published, follows: bool
) -> BookUpdate:
    """The change if the script has the version before (*follows*), else the book."""
    change = shown.depth.change
    assert change is not None
    book, whole = make_book(shown, topic), change.whole or not follows
    return BookUpdate(
        instrument_id,
        "snapshot" if whole else "update",
        book.bids if whole else tuple(map(tuple, change.bids)),
        book.asks if whole else tuple(map(tuple, change.asks)),
        book,
        *_origin(shown, topic),
    )


def make_ticker(instrument_id: str, shown: Published) -> Ticker:
    """A `Ticker`, the exchange's summary of the instrument."""
    data = shown.parsed
    assert isinstance(data, TickerData)
    return Ticker(
        instrument_id=instrument_id,
        timestamp=utc(data.time_ms / 1000),
        received=utc(shown.wall),
        epoch=shown.epoch,
        **{name: getattr(data, name) for name in _SAME},
    )


_SAME = [field.name for field in fields(TickerData) if field.name != "time_ms"]


def make_funding(instrument_id: str, shown: Published) -> FundingRate:
    """The `FundingRate` of a perpetual swap."""
    data = shown.parsed
    assert isinstance(data, FundingData)
    return FundingRate(
        instrument_id,
        data.rate,
        utc(data.funding_time_ms / 1000),
        data.next_rate,
        _maybe(data.next_funding_time_ms),
        _maybe(data.time_ms),
        utc(shown.wall),
        shown.epoch,
    )


def _maybe(time_ms: int | None) -> datetime | None:
    return None if time_ms is None else utc(time_ms / 1000)


def make_trade(
    instrument_id: str, data: TradeData, wall: float, epoch: int, replayed: bool
) -> Trade:
    """A `Trade` that was received at *wall*, in epoch seconds."""
    return Trade(
        instrument_id,
        data.id,
        data.first_id,
        data.count,
        data.price,
        data.size,
        data.side,
        utc(data.time_ms / 1000),
        utc(wall),
        epoch,
        replayed,
        rpi=data.rpi,
    )


def make_candle(
    instrument_id: str, topic: str, data: CandleData, wall: float, epoch: int
) -> Candle:
    """A `Candle` as the push received at *wall* (epoch seconds) had it."""
    return Candle(
        instrument_id,
        topic,
        utc(data.start_ms / 1000),
        data.open,
        data.high,
        data.low,
        data.close,
        data.volume,
        data.volume_ccy,
        data.volume_quote,
        data.closed,
        utc(wall),
        epoch,
    )
