"""Checks what a reader's value promises against the element that it was read from."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from okex_ws.base.clock import utc
from okex_ws.channels.convert import iso
from okex_ws.protocol.messages import (
    BookData,
    CandleData,
    DepthData,
    FundingData,
    TickerData,
    TradeData,
)
from tests.fuzz.books import is_number

Check = Callable[[str, Any, Any], None]

_TICKERS = {
    "v3": {
        "last_size": "last_qty",
        "bid": "best_bid",
        "bid_size": "best_bid_size",
        "ask": "best_ask",
        "ask_size": "best_ask_size",
        "open_24h": "open_24h",
        "high_24h": "high_24h",
        "low_24h": "low_24h",
    },
    "v5": {
        "last_size": "lastSz",
        "bid": "bidPx",
        "bid_size": "bidSz",
        "ask": "askPx",
        "ask_size": "askSz",
        "open_24h": "open24h",
        "high_24h": "high24h",
        "low_24h": "low24h",
        "volume_24h": "vol24h",
        "volume_ccy_24h": "volCcy24h",
    },
}


def _is_exact(number: Decimal | None, text: Any) -> None:
    """*number* has every digit of *text*, and no other."""
    if number is None:
        assert text is None or text == "", text
        return
    assert is_number(text[1:] if text[:1] == "-" else text), text
    assert number.as_tuple() == Decimal(text).as_tuple(), (number, text)
    assert number.is_finite()


def _is_time(protocol: str, time_ms: int | None, text: Any) -> None:
    """*time_ms* is what *text* says, and a time that a calendar has."""
    if time_ms is None:
        assert text is None or text == "", text
        return
    assert type(time_ms) is int
    assert isinstance(utc(time_ms / 1000), datetime)
    assert text == (iso(time_ms) if protocol == "v3" else str(time_ms)), text


def _is_whole(number: int | None, text: Any) -> None:
    if number is None:
        assert text is None or text == "", text
        return
    assert type(number) is int
    assert abs(number) < 10**20
    assert text.isascii()
    assert int(text) == number


def _time_of(protocol: str, element: Any) -> Any:
    return element["timestamp" if protocol == "v3" else "ts"]


def check_depth(protocol: str, data: DepthData, element: Any) -> None:
    """Levels of numbers, the best first, each of a price and a size above zero."""
    _is_time(protocol, data.time_ms, _time_of(protocol, element))
    _is_whole(data.seq, element.get("seqId") if protocol == "v5" else None)
    for side, name in ((data.bids, "bids"), (data.asks, "asks")):
        assert side == element[name]
        before = None
        for row in side:
            assert len(row) in (3, 4)
            assert all(map(is_number, row)), row
            price = Decimal(row[0])
            assert price > 0
            assert Decimal(row[1]) > 0
            if before is not None:
                assert price < before if name == "bids" else before < price, side
            before = price


def check_book_data(protocol: str, data: BookData, element: Any) -> None:
    """Sides as they came, and what proves them."""
    assert type(data.whole) is bool
    assert type(data.bids) is list
    assert type(data.asks) is list
    assert data.bids == element["bids"]
    assert data.asks == element["asks"]
    _is_time(protocol, data.time_ms, _time_of(protocol, element))
    _is_whole(data.checksum, element.get("checksum"))
    sequenced = protocol == "v5"
    _is_whole(data.seq, element.get("seqId") if sequenced else None)
    _is_whole(data.prev_seq, element.get("prevSeqId") if sequenced else None)


def check_trade(protocol: str, data: TradeData, element: Any) -> None:
    """A price, a size, a side and as many ids as it counts."""
    v3 = protocol == "v3"
    size = "size" if "size" in element else "qty"
    side = "side" if "side" in element else "trade_side"
    _is_exact(data.price, element["price" if v3 else "px"])
    _is_exact(data.size, element[size if v3 else "sz"])
    assert data.price > 0
    assert data.size > 0
    assert data.side == element[side if v3 else "side"]
    assert data.side in ("buy", "sell")
    assert data.id == element["trade_id" if v3 else "tradeId"]
    assert 1 <= len(data.id) <= 64
    assert data.id.isascii()
    assert 1 <= data.count <= 1_000_000
    if v3 or element.get("count") in (None, ""):
        assert data.count == 1
    else:
        _is_whole(data.count, element["count"])
    if data.count > 1 and data.id.isdecimal() and len(data.id) <= 20:
        assert int(data.id) - int(data.first_id) + 1 == data.count
        assert int(data.first_id) >= 0
    else:
        assert data.first_id == data.id
    _is_time(protocol, data.time_ms, _time_of(protocol, element))


def check_ticker(protocol: str, data: TickerData, element: Any) -> None:
    """Each field is the wire's, or was not there."""
    for field, name in _TICKERS[protocol].items():
        _is_exact(getattr(data, field), element.get(name))
    if protocol == "v3":
        spot = "base_volume_24h" in element
        volume, ccy = (
            ("base_volume_24h", "quote_volume_24h")
            if spot
            else ("volume_24h", "volume_token_24h")
        )
        _is_exact(data.volume_24h, element.get(volume))
        _is_exact(data.volume_ccy_24h, element.get(ccy))
    last = "idxPx" if protocol == "v5" and "idxPx" in element else "last"
    _is_exact(data.last, element[last])
    _is_time(protocol, data.time_ms, _time_of(protocol, element))


def check_candle(protocol: str, data: CandleData, element: Any) -> None:
    """The low is the lowest and the high the highest, and all is the wire's."""
    items = element["candle"] if protocol == "v3" else element
    _is_time(protocol, data.start_ms, items[0])
    read = (data.open, data.high, data.low, data.close)
    for price, text in zip(read, items[1:5], strict=True):
        _is_exact(price, text)
    assert data.low <= min(read)
    assert max(read) <= data.high
    confirmed = protocol == "v5" and len(items) in (6, 9)
    shown = items[5:-1] if confirmed else items[5:]
    assert data.closed is ((items[-1] == "1") if confirmed else None)
    volumes = (data.volume, data.volume_ccy, data.volume_quote)
    for number, text in zip(volumes, [*shown, None, None, None], strict=False):
        assert (number is None) is (text is None)
        _is_exact(number, text)


def check_funding(protocol: str, data: FundingData, element: Any) -> None:
    """Rates of either sign, and times."""
    v3 = protocol == "v3"
    _is_exact(data.rate, element["funding_rate" if v3 else "fundingRate"])
    _is_exact(
        data.next_rate, element.get("estimated_rate" if v3 else "nextFundingRate")
    )
    at = element["funding_time" if v3 else "fundingTime"]
    _is_time(protocol, data.funding_time_ms, at)
    then = element.get("settlement_time" if v3 else "nextFundingTime")
    _is_time(protocol, data.next_funding_time_ms, then)
    _is_time(protocol, data.time_ms, None if v3 else element.get("ts"))
