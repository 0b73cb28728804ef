"""Spreads under v5: their names, and what the exchange pushes of them.

The messages are of the shapes in OKX's documentation of July 2026. Prices may be 0 and
negative, and sequence numbers have 19 digits.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.protocol.json_text import exact
from okex_ws.protocol.messages import (
    Acknowledged,
    ChannelName,
    Push,
    Refused,
    SocketPath,
)
from okex_ws.protocol.v5 import PROTOCOL, V5

ID = "BTC-USDT_BTC-USDT-SWAP"
SEQ = 1724294007352168321
NAMES = {
    "depth5": "sprd-books5",
    "bbo-tbt": "sprd-bbo-tbt",
    "depth_l2_tbt": "sprd-books-l2-tbt",
    "trade": "sprd-public-trades",
    "ticker": "sprd-tickers",
    "candle86400s": "sprd-candle1D",
}


def name_of(topic: str) -> ChannelName:
    return PROTOCOL.channel(topic, "spread", ID)


def text_of(topic: str, element: Any, action: str | None = None, **arg: str) -> str:
    said: dict[str, Any] = {"arg": {"channel": NAMES[topic], "sprdId": ID, **arg}}
    if action is not None:
        said["action"] = action
    return json.dumps({**said, "data": [element]}, separators=(",", ":"))


def read(topic: str, element: Any, action: str | None = None) -> Any:
    """What the reader of a spread's channel makes of *element*, read fast."""
    (push,) = PROTOCOL.read(text_of(topic, element, action).encode())
    assert isinstance(push, Push)
    assert push.channel == name_of(topic).key
    wire, kind = PROTOCOL.reader(name_of(topic)), name_of(topic).kind
    if kind == "book":
        return wire.book(push.elements[0], push.action, push.exact)
    return getattr(wire, kind)(push.elements[0])


DEPTH = {
    "asks": [["0.1", "55.5", "2"], ["3", "1", "1"]],
    "bids": [["0", "0.5", "2"], ["-0.1", "1", "1"], ["-20", "3", "9"]],
    "ts": "1724391380926",
    "seqId": SEQ,
}
BOOK = {**DEPTH, "checksum": -1285595583, "prevSeqId": -1}
TRADE = {
    "sprdId": ID,
    "tradeId": "2499206329160695808",
    "px": "-10",
    "sz": "0.001",
    "side": "sell",
    "ts": "1726801105519",
}
TICKER = {
    "sprdId": ID,
    "last": "-4",
    "lastSz": "0.01",
    "askPx": "0",
    "askSz": "5.79",
    "bidPx": "-5.9",
    "bidSz": "5.8",
    "open24h": "-7",
    "high24h": "19.6",
    "low24h": "-7",
    "vol24h": "9.87",
    "ts": "1715247061026",
}
CANDLE = ["1597026383085", "-3", "2.5", "-7", "0", "45247", "0"]


# --- Names --------------------------------------------------------------------------


@pytest.mark.parametrize(("topic", "own"), NAMES.items())
def test_a_channel_of_a_spread_is_named_by_its_sprd_id(topic: str, own: str) -> None:
    name = name_of(topic)

    assert name.key == f"{own}:sprdId={ID}"
    assert (name.topic, name.instrument_id, name.is_spread) == (topic, ID, True)
    assert PROTOCOL.topic(own, "spread") == PROTOCOL.topic(topic, "spread") == topic
    assert PROTOCOL.path(name.key) == SocketPath("business")
    assert PROTOCOL.tier(name.key) == ""
    (request,) = json.loads(PROTOCOL.request("subscribe", [name.key], 1).text)["args"]
    assert request == {"channel": own, "sprdId": ID}


def test_the_book_of_a_spread_is_deep_and_has_400_levels() -> None:
    assert PROTOCOL.is_deep(name_of("depth_l2_tbt").key)
    assert not PROTOCOL.is_deep(name_of("depth5").key)
    levels = [name_of(topic).levels for topic in ("depth5", "bbo-tbt", "depth_l2_tbt")]
    assert levels == [5, 1, 400]


@pytest.mark.parametrize("topic", ["depth", "trades-all", "funding_rate", "candle1s"])
def test_a_spread_lacks_what_is_not_documented_of_it(topic: str) -> None:
    with pytest.raises(ValueError, match=f"'spread' has no channel '{topic}'"):
        name_of(topic)


@pytest.mark.parametrize("own", NAMES.values())
def test_a_channel_of_a_spread_with_a_type_is_no_raw_channel(own: str) -> None:
    with pytest.raises(ValueError, match="type of its own"):
        PROTOCOL.raw({"channel": own, "sprdId": ID})
    with pytest.raises(ValueError, match="type of its own"):
        PROTOCOL.raw_channel(own, "spread", ID)


def test_what_is_new_of_a_spread_is_a_raw_channel() -> None:
    name = PROTOCOL.raw_channel("sprd-new", "spread", ID)
    assert (name.key, name.kind) == (f"sprd-new:sprdId={ID}", "data")
    own = PROTOCOL.raw({"channel": "sprd-new", "sprdId": ID})
    assert (own.key, own.instrument_id) == (name.key, ID)


def test_answers_name_the_channel_of_a_spread() -> None:
    argument = {"channel": "sprd-books5", "sprdId": ID}
    said = json.dumps({"event": "subscribe", "arg": argument, "connId": "a"})
    assert PROTOCOL.read(said.encode()) == (Acknowledged(name_of("depth5").key),)
    words = f"channel:sprd-books5,sprdId:{ID} doesn't exist."
    assert PROTOCOL.mentioned(words) == (name_of("depth5").key,)
    error = json.dumps({"event": "error", "code": "60018", "msg": words})
    assert PROTOCOL.read(error.encode()) == (Refused("60018", words),)


def test_data_in_another_case_belongs_to_the_spread() -> None:
    keys = [name_of("depth5").key, name_of("trade").key, "books5:BTC-USDT"]
    found = PROTOCOL.related(f"sprd-books5:sprdId={ID.lower()}", keys)
    assert (found.keys, found.alike) == ([keys[0]], True)
    assert PROTOCOL.related(f"sprd-new:sprdId={ID}", keys).keys == keys[:2]


def test_only_the_last_trade_of_an_instrument_is_repeated() -> None:
    assert PROTOCOL.replays_last("trade")
    assert not PROTOCOL.replays_last("trade", spread=True)


# --- What is pushed -----------------------------------------------------------------


def test_a_depth_of_a_spread_goes_through_zero() -> None:
    data = read("depth5", DEPTH)

    assert (data.bids, data.asks) == (DEPTH["bids"], DEPTH["asks"])
    assert (data.seq, data.time_ms) == (SEQ, 1724391380926)


@pytest.mark.parametrize("action", ["snapshot", "update"])
def test_a_book_of_a_spread_has_numbers_of_19_digits(action: str) -> None:
    element = {**BOOK, "prevSeqId": -1 if action == "snapshot" else SEQ - 1}
    data = read("depth_l2_tbt", element, action)

    assert (data.whole, data.seq) == (action == "snapshot", SEQ)
    assert (data.prev_seq, data.checksum) == (element["prevSeqId"], -1285595583)


@pytest.mark.parametrize("digits", [19, 20])
def test_a_parser_that_makes_floats_loses_no_digit_of_a_number(digits: int) -> None:
    def as_floats(text: str) -> Any:
        return json.loads(text, parse_int=float)

    wire, seq = V5(as_floats), SEQ if digits == 19 else SEQ * 10 + 7
    for topic, action in (("depth5", None), ("depth_l2_tbt", "snapshot")):
        name = name_of(topic)
        text = text_of(topic, {**BOOK, "seqId": seq}, action)
        (push,) = wire.read(text.encode())
        assert isinstance(push, Push)
        reader: Any = wire.reader(name)

        def parse(push: Push, kind: str = name.kind, reader: Any = reader) -> Any:
            if kind == "depth":
                return reader.depth(push.elements[0])
            return reader.book(push.elements[0], push.action, push.exact)

        with pytest.raises(WireError):
            parse(push)
        again = wire.exactly(push)
        assert again is not None
        assert parse(again).seq == seq


def test_the_bytes_of_a_push_tell_its_order_and_its_channel() -> None:
    for topic in ("depth5", "bbo-tbt"):
        said = text_of(topic, DEPTH).encode()
        assert PROTOCOL.stamp(said) == (SEQ, 1724391380926, b"")
        head = PROTOCOL.head(said)
        assert head is not None
        assert [p.channel for p in PROTOCOL.read(head) if isinstance(p, Push)] == [
            name_of(topic).key
        ]
    said = text_of("trade", TRADE).encode()
    assert PROTOCOL.trade_stamp(said) == (TRADE["tradeId"], int(TRADE["tradeId"]), 1)


def test_a_trade_of_a_spread_is_one_trade_at_any_price() -> None:
    data = read("trade", TRADE)

    assert (data.id, data.first_id, data.count) == (*[TRADE["tradeId"]] * 2, 1)
    assert (data.price, data.size, data.side) == (-10, Decimal("0.001"), "sell")
    assert read("trade", {**TRADE, "px": "0"}).price == 0


def test_a_ticker_of_a_spread_has_prices_of_either_sign() -> None:
    data = read("ticker", TICKER)

    assert (data.last, data.bid, data.ask) == (-4, Decimal("-5.9"), 0)
    assert (data.open_24h, data.high_24h, data.low_24h) == (-7, Decimal("19.6"), -7)
    assert (data.last_size, data.volume_24h) == (Decimal("0.01"), Decimal("9.87"))
    assert data.volume_ccy_24h is None
    never = read("ticker", {**TICKER, "last": "", "bidPx": "", "bidSz": ""})
    assert (never.last, never.bid, never.bid_size) == (None, None, None)


@pytest.mark.parametrize(("last", "closed"), [("0", False), ("1", True)])
def test_a_candle_of_a_spread_has_one_volume_and_says_if_it_is_closed(
    last: str, closed: bool
) -> None:
    data = read("candle86400s", [*CANDLE[:-1], last])

    assert (data.open, data.high, data.low, data.close) == (-3, Decimal("2.5"), -7, 0)
    assert (data.volume, data.volume_ccy, data.volume_quote) == (45247, None, None)
    assert data.closed is closed


# --- What is none -------------------------------------------------------------------


BAD_SIDES = [
    {"bids": [["-0.1", "1", "1"], ["0", "1", "1"]]},
    {"asks": [["3", "1", "1"], ["-3", "1", "1"]]},
    {"asks": [["0", "1", "1"], ["-0", "1", "1"]]},
    {"bids": [["-1", "0", "1"]]},
    {"bids": [["-1", "-1", "1"]]},
    {"bids": [["-1", "1", "-1"]]},
    {"bids": [["-1", "1", "0", "1"]]},
    {"bids": [["-1", "1"]]},
    {"bids": [["--1", "1", "1"]]},
    {"bids": [["-", "1", "1"]]},
    {"bids": [["+1", "1", "1"]]},
    {"bids": [["-NaN", "1", "1"]]},
    {"bids": [[None, "1", "1"]]},
    {"bids": [["-" + "9" * 65, "1", "1"]]},
    {"bids": None},
]


@pytest.mark.parametrize(
    "change",
    [*BAD_SIDES, {"ts": "1724391380"}, {"ts": None}, {"seqId": -1}, {"seqId": 1.5}],
)
def test_a_depth_that_is_none_of_a_spread_is_refused(change: Any) -> None:
    with pytest.raises(WireError):
        read("depth5", {**DEPTH, **change})


@pytest.mark.parametrize("topic", ["depth5", "bbo-tbt", "ticker"])
def test_a_channel_of_complete_pushes_has_no_updates(topic: str) -> None:
    with pytest.raises(WireError):
        PROTOCOL.read(text_of(topic, DEPTH, "update").encode())


@pytest.mark.parametrize(
    "change",
    [
        {"px": "--10"},
        {"px": ""},
        {"px": None},
        {"sz": "0"},
        {"sz": "-1"},
        {"side": "SELL"},
        {"tradeId": ["2499206329160695808"]},
        {"ts": "0"},
        {"count": "0"},
    ],
)
def test_a_trade_that_is_none_of_a_spread_is_refused(change: Any) -> None:
    with pytest.raises(WireError):
        read("trade", {**TRADE, **change})


@pytest.mark.parametrize(
    "change",
    [{"askSz": "-1"}, {"vol24h": "-1"}, {"lastSz": "-1"}, {"last": "x"}, {"ts": ""}],
)
def test_a_ticker_that_is_none_of_a_spread_is_refused(change: Any) -> None:
    with pytest.raises(WireError):
        read("ticker", {**TICKER, **change})


@pytest.mark.parametrize(
    "candle",
    [
        CANDLE[:-1],
        [*CANDLE[:-1], "1", "1", "0"],
        [*CANDLE[:-1], "2"],
        [*CANDLE[:5], "-1", "0"],
        [CANDLE[0], "-8", *CANDLE[2:]],
    ],
)
def test_a_candle_that_is_none_of_a_spread_is_refused(candle: list[str]) -> None:
    with pytest.raises(WireError):
        read("candle86400s", candle)


@pytest.mark.parametrize(("topic", "element"), [("trade", TRADE), ("ticker", TICKER)])
def test_data_of_another_spread_is_refused(topic: str, element: Any) -> None:
    other = {**element, "sprdId": "ETH-USDT_ETH-USDT-SWAP"}
    with pytest.raises(WireError, match="data of 'ETH-USDT_ETH-USDT-SWAP'"):
        PROTOCOL.read(text_of(topic, other).encode())


def test_a_push_under_another_name_of_the_id_is_of_no_known_channel() -> None:
    said = text_of("depth5", DEPTH).replace('"sprdId"', '"instId"')
    (push,) = PROTOCOL.read(said.encode())
    assert isinstance(push, Push)
    assert push.channel != name_of("depth5").key
    more = text_of("depth5", DEPTH, instId="BTC-USDT")
    (push,) = PROTOCOL.read(more.encode())
    assert isinstance(push, Push)
    assert push.channel != name_of("depth5").key


@pytest.mark.parametrize(("topic", "element"), [("depth5", DEPTH), ("trade", TRADE)])
def test_an_instrument_has_no_price_of_zero_or_below(topic: str, element: Any) -> None:
    name = PROTOCOL.channel(topic, "spot", "BTC-USDT")
    assert PROTOCOL.reader(name) is PROTOCOL
    with pytest.raises(WireError):
        getattr(PROTOCOL, name.kind)(exact(json.dumps(element)))
