"""Each public channel, asked for as a user asks and pushed in its documented shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import BookData, ChannelName, Push, SocketPath
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5

AT = "1786541241006"
AT_V3 = "2021-04-17T16:49:46.174Z"
SIDES = {
    "asks": [["63921.5", "790.41", "0", "42"]],
    "bids": [["63921.4", "1", "0", "2"]],
}
TRADE = {
    "tradeId": "2832749635",
    "px": "63913.5",
    "sz": "1",
    "side": "buy",
    "ts": AT,
    "source": "0",
}
TICKER = {
    "last": "5.123",
    "lastSz": "100",
    "askPx": "5.142",
    "askSz": "25",
    "bidPx": "5.134",
    "bidSz": "96",
    "open24h": "4.799",
    "high24h": "5.458",
    "low24h": "4.537",
    "sodUtc0": "4.654",
    "sodUtc8": "5.204",
    "volCcy24h": "577730.7823",
    "vol24h": "289425",
    "ts": AT,
}
INDEX = {
    "idxPx": "0.1",
    "high24h": "0.5",
    "low24h": "0.1",
    "open24h": "0.1",
    "sodUtc0": "0.1",
    "sodUtc8": "0.1",
    "ts": AT,
}
FUNDING = {
    "method": "current_period",
    "fundingRate": "-0.00018",
    "nextFundingRate": "",
    "fundingTime": "1786550400000",
    "nextFundingTime": "1786579200000",
    "minFundingRate": "-0.00375",
    "maxFundingRate": "0.00375",
    "premium": "-0.001",
    "settState": "settled",
    "settFundingRate": "0.0001",
    "ts": AT,
}
BAR = [AT, "8533.02", "8553.74", "8527.17", "8548.26"]
GREEKS = {"delta": "0.5", "gamma": "0.1", "vega": "0.2", "theta": "-0.3", "ts": AT}

# What a user names, market and instrument, the wire's name, and one element of a push.
ABOUT_ONE: list[tuple[str, str, str, str, Any]] = [
    ("depth5", "swap", "BTC-USDT-SWAP", "books5", {**SIDES, "ts": AT, "seqId": 3}),
    ("bbo-tbt", "swap", "BTC-USDT-SWAP", "bbo-tbt", {**SIDES, "ts": AT, "seqId": 3}),
    ("trade", "spot", "BTC-USDT", "trades", {**TRADE, "count": "3", "seqId": 7}),
    ("trades-all", "spot", "BTC-USDT", "trades-all", TRADE),
    ("ticker", "swap", "UNI-USD-SWAP", "tickers", {"instType": "SWAP", **TICKER}),
    ("ticker", "index", "BTC-USD", "index-tickers", INDEX),
    ("candle86400s", "spot", "BTC-USDT", "candle1D", [*BAR, "4", "5", "6", "0"]),
    ("candle1s", "spot", "BTC-USDT", "candle1s", [*BAR, "4", "5", "6", "1"]),
    ("candle60s", "index", "BTC-USD", "index-candle1m", [*BAR, "1"]),
    ("mark-price-candle1m", "spot", "BTC-USDT", "mark-price-candle1m", [*BAR, "0"]),
    ("funding_rate", "swap", "BTC-USD-SWAP", "funding-rate", FUNDING),
    ("mark_price", "spot", "BTC-USDT", "mark-price", {"markPx": "5", "ts": AT}),
    (
        *("price_range", "spot", "BTC-USDT", "price-limit"),
        {"buyLmt": "200", "sellLmt": "300", "ts": AT, "enabled": True},
    ),
    (
        *("open-interest", "swap", "BTC-USD-SWAP", "open-interest"),
        {"instType": "SWAP", "oi": "5000", "oiCcy": "555.55", "ts": AT},
    ),
]
# Whole books: what a user names, the wire's name, and one element of a snapshot.
BOOKS: list[tuple[str, str, Any]] = [
    (name, own, {**SIDES, "ts": AT, "prevSeqId": -1, "seqId": 5, **checksum})
    for names, own, checksum in (
        (("depth", "books"), "books", {"checksum": 0}),
        (("depth_l2_tbt", "books-l2-tbt"), "books-l2-tbt", {"checksum": 0}),
        (("books50-l2-tbt",), "books50-l2-tbt", {"checksum": 0}),
        (("books-rpi",), "books-rpi", {}),
    )
    for name in names
]
# Their objects have the type of the instrument too.
ABOUT_ONE_OF_A_TYPE: list[tuple[str, str, str, str, str, Any]] = [
    (
        *("estimated_price", "futures", "BTC-USD-270326", "estimated-price"),
        *("FUTURES", {"instType": "FUTURES", "settlePx": "200", "ts": AT}),
    ),
    (
        *("option-trades", "option", "BTC-USD-270326-90000-C", "option-trades"),
        *("OPTION", {**TRADE, "fillVol": "0.5", "fwdPx": "1", "markPx": "2"}),
    ),
]
# The object of a RawSubscription, its path, and one element of a push.
WHOLESALE: list[tuple[dict[str, str], SocketPath, Any]] = [
    (
        {"channel": "instruments", "instType": "SPOT"},
        SocketPath("public"),
        {"instId": "BTC-USDT", "instType": "SPOT", "tickSz": "0.1", "state": "live"},
    ),
    (
        {"channel": "liquidation-orders", "instType": "SWAP"},
        SocketPath("public"),
        {"instType": "SWAP", "details": [{"side": "buy", "bkPx": "1", "ts": AT}]},
    ),
    (
        {"channel": "opt-summary", "instFamily": "BTC-USD"},
        SocketPath("public"),
        {"instId": "BTC-USD-270326-90000-C", "uly": "BTC-USD", **GREEKS},
    ),
    (
        {"channel": "adl-warning", "instType": "FUTURES", "instFamily": "BTC-USD"},
        SocketPath("public"),
        {"instType": "FUTURES", "state": "normal", "ts": AT},
    ),
    (
        {"channel": "status"},
        SocketPath("public"),
        {"title": "Maintenance", "state": "scheduled", "begin": AT, "ts": AT},
    ),
    (
        {"channel": "sprd-new", "sprdId": "BTC-USDT_BTC-USDT-SWAP"},
        SocketPath("business"),
        {**SIDES, "ts": AT, "seqId": 3},
    ),
    (
        {"channel": "public-block-trades", "instId": "BTC-USDT-SWAP"},
        SocketPath("business"),
        {"instId": "BTC-USDT-SWAP", "tradeId": "9", "px": "1", "ts": AT},
    ),
    (
        {"channel": "block-tickers", "instId": "BTC-USDT"},
        SocketPath("business"),
        {"instType": "SPOT", "instId": "BTC-USDT", "vol24h": "3", "ts": AT},
    ),
]
# What a user names, market and instrument, the wire's topic, and the element's fields.
V3_TABLES: list[tuple[str, str, str, str, Any]] = [
    ("books5", "swap", "A-B-SWAP", "depth5", {**SIDES, "timestamp": AT_V3}),
    (
        *("trades", "futures", "A-B-190329", "trade"),
        {
            "trade_id": "5430565",
            "price": "60059.7",
            "qty": "20",
            "side": "buy",
            "timestamp": AT_V3,
        },
    ),
    ("tickers", "index", "A-B", "ticker", {"last": "5.1", "timestamp": AT_V3}),
    (
        *("candle1m", "spot", "A-B", "candle60s"),
        {"candle": [AT_V3, "162.03", "162.04", "161.96", "161.98", "336.45"]},
    ),
    (
        *("funding-rate", "swap", "A-B-SWAP", "funding_rate"),
        {"funding_rate": "0.0007", "funding_time": AT_V3, "estimated_rate": "0.0006"},
    ),
    (
        *("price-limit", "swap", "A-B-SWAP", "price_range"),
        {"highest": "22391.96", "lowest": "20583.40", "timestamp": AT_V3},
    ),
    (
        *("mark-price", "futures", "A-B-190329", "mark_price"),
        {"mark_price": "5.1", "timestamp": AT_V3},
    ),
    (
        *("estimated-price", "futures", "A-B-190329", "estimated_price"),
        {"settlement_price": "5.1", "timestamp": AT_V3},
    ),
]


def pushed(wire: WireProtocol, name: ChannelName, text: str) -> list[Any]:
    """The items of a push that must be the one of *name*."""
    (message,) = wire.decode(text.encode(), False)
    assert isinstance(message, Push)
    assert (message.channel, message.text) == (name.key, text)
    read: Callable[..., Any] = getattr(wire, name.kind, lambda element: element)
    action = (message.action,) if name.kind == "book" else ()
    return [read(element, *action) for element in message.elements]


def v5_text(argument: object, element: Any) -> str:
    return json.dumps({"arg": argument, "data": [element]})


@pytest.mark.parametrize(
    ("name", "market", "instrument_id", "own", "element"), ABOUT_ONE
)
def test_a_channel_of_v5_is_answered_as_it_was_asked(
    name: str, market: str, instrument_id: str, own: str, element: Any
) -> None:
    channel = V5.channel(V5.topic(name), market, instrument_id)
    (asked,) = json.loads(V5.request("subscribe", [channel.key], 1).text)["args"]

    (item,) = pushed(V5, channel, v5_text(asked, element))

    assert asked == {"channel": own, "instId": instrument_id}
    assert (type(item) in (dict, list)) is (channel.kind == "data")


@pytest.mark.parametrize(("name", "own", "element"), BOOKS)
@pytest.mark.parametrize(("action", "whole"), [("snapshot", True), ("update", False)])
def test_a_book_of_v5_is_answered_as_it_was_asked(
    name: str, own: str, element: Any, action: str, whole: bool
) -> None:
    channel = V5.channel(V5.topic(name), "swap", "BTC-USDT-SWAP")
    (asked,) = json.loads(V5.request("subscribe", [channel.key], 1).text)["args"]
    text = json.dumps({"arg": asked, "action": action, "data": [element]})

    (book,) = pushed(V5, channel, text)

    assert asked == {"channel": own, "instId": "BTC-USDT-SWAP"}
    checksum = 0 if "checksum" in element else None
    assert book == BookData(
        *(whole, SIDES["bids"], SIDES["asks"], int(AT), 5, -1, checksum)
    )


@pytest.mark.parametrize("market", ["spot", "futures", "swap", "option"])
@pytest.mark.parametrize(
    ("name", "own"),
    [
        *(("depth", "depth"), ("books", "depth")),
        *(("depth_l2_tbt", "depth_l2_tbt"), ("books-l2-tbt", "depth_l2_tbt")),
    ],
)
def test_a_book_of_v3_is_answered_as_it_was_asked(
    market: str, name: str, own: str
) -> None:
    channel = V3.channel(V3.topic(name), market, "A-B")
    element = {**SIDES, "instrument_id": "A-B", "timestamp": AT_V3, "checksum": -5}
    text = json.dumps(
        {"table": f"{market}/{own}", "action": "partial", "data": [element]}
    )

    (book,) = pushed(V3, channel, text)

    assert (book.whole, book.seq, book.prev_seq, book.checksum) == (
        *(True, None, None, -5),
    )


@pytest.mark.parametrize(
    ("name", "market", "instrument_id", "own", "inst_type", "element"),
    ABOUT_ONE_OF_A_TYPE,
)
def test_a_channel_of_v5_may_be_asked_for_with_its_type(
    name: str, market: str, instrument_id: str, own: str, inst_type: str, element: Any
) -> None:
    channel = V5.channel(V5.topic(name), market, instrument_id)
    (asked,) = json.loads(V5.request("subscribe", [channel.key], 1).text)["args"]

    (item,) = pushed(V5, channel, v5_text(asked, element))

    assert asked == {"channel": own, "instId": instrument_id, "instType": inst_type}
    assert item["ts"] == AT


@pytest.mark.parametrize(("argument", "path", "element"), WHOLESALE)
def test_what_is_about_many_is_answered_as_it_was_asked(
    argument: dict[str, str], path: SocketPath, element: Any
) -> None:
    channel = V5.raw(argument)

    (item,) = pushed(V5, channel, v5_text(argument, element))

    assert V5.path(channel.key) == path
    assert item.keys() == element.keys()


@pytest.mark.parametrize(
    ("name", "market", "instrument_id", "own", "element"), V3_TABLES
)
def test_a_channel_of_v3_is_answered_as_it_was_asked(
    name: str, market: str, instrument_id: str, own: str, element: Any
) -> None:
    channel = V3.channel(V3.topic(name), market, instrument_id)
    data = [{**element, "instrument_id": instrument_id}]
    text = json.dumps({"table": f"{market}/{own}", "data": data})

    (item,) = pushed(V3, channel, text)

    assert channel.topic == own
    assert isinstance(item, dict) is (channel.kind == "data")


@pytest.mark.parametrize("wire", [V3, V5])
def test_a_name_of_no_topic_is_refused(wire: WireProtocol) -> None:
    with pytest.raises(ValueError, match=r"did you mean 'depth5'\?"):
        wire.topic("dept5")


@pytest.mark.parametrize("length", [100, 10_000])
def test_however_long_a_value_is_the_error_of_it_is_short(length: int) -> None:
    text = "x" * length
    asked = [
        (V5.candle, [*BAR, text]),
        (V5.trade, {**TRADE, "side": text}),
        (V5.ticker, {**TICKER, "ts": text}),
        (V5.funding, {**FUNDING, "fundingRate": text}),
        (V3.candle, {"candle": [text, *BAR]}),
    ]
    for name in ("bids", "asks", "ts", "checksum", "seqId", "prevSeqId"):
        element = {**SIDES, "ts": AT, name: text}
        asked.append((lambda book: V5.book(book, "update"), element))

    for read, element in asked:
        with pytest.raises(WireError) as caught:
            read(element)
        assert len(caught.value.detail) <= 200


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (
            "channel:trades,instId:A-B,channel:books,instId:C-D doesn't exist",
            ("trades:A-B", "books:C-D"),
        ),
        ("channel:status,channel:trades,instId:A-B", ("status", "trades:A-B")),
    ],
)
def test_a_sentence_of_two_channels_mixes_none_of_them(
    message: str, named: tuple[str, ...]
) -> None:
    assert V5.mentioned(message) == named
