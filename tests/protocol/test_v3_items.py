"""The typed items of v3: exact where they are right, and else refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.protocol import values as wire_values
from okex_ws.protocol.messages import CandleData, DepthData, FundingData
from okex_ws.protocol.v3 import PROTOCOL
from tests.support.v3_frames import (
    CANDLE,
    DEPTH5,
    FUNDING,
    TICKER,
    TRADE,
    depth,
    push,
    refusal,
)

TIME_MS = 1645747201032


def depth_element(**changes: Any) -> Any:
    element = json.loads(DEPTH5)["data"][0]
    return {**element, **changes}


# --- depth5 -------------------------------------------------------------------------


def test_a_snapshot_keeps_the_wires_characters() -> None:
    assert depth(DEPTH5) == DepthData(
        bids=[["10.1", "2", "1"], ["9", "1", "4"], ["8.90", "7", "1"]],
        asks=[["10.2", "1", "2"], ["10.30", "0.5", "1"]],
        time_ms=TIME_MS,
        seq=None,
    )


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        ('[["3779.2966","0.01006451",1]]', [["3779.2966", "0.01006451", "1"]]),
        ("[[3690.06,1,0,1],[3690.10,11,0,1]]",
         [["3690.06", "1", "0", "1"], ["3690.10", "11", "0", "1"]]),
        ('[["3810.7","3",0,2],["3811","131",0,1]]',
         [["3810.7", "3", "0", "2"], ["3811", "131", "0", "1"]]),
        ('[["3810.7","3","0","2"],[3811.10,131,0,1]]',
         [["3810.7", "3", "0", "2"], ["3811.10", "131", "0", "1"]]),
        ("[[1.0E-7,1e2,0,1]]", [["1.0E-7", "1e2", "0", "1"]]),
        ("[]", []),
    ],
)  # fmt: skip
def test_numbers_of_2018_keep_their_characters(
    asks: str, expected: list[list[str]]
) -> None:
    text = (
        '{"table":"futures/depth5","data":[{"asks":%s,"bids":[],"instrument_id":'
        '"BTC-USD-190329","timestamp":"2018-12-30T15:34:43.817Z"}]}'
    )
    data = depth(text % asks)
    assert data.asks == expected
    assert data.bids == []


BAD_LEVELS = [
    *(None, True, 1, "", "10", {}, {"0": ["1", "1", "1"]}),
    *([None], [[]], ["123"], ["1234"], [{"a": 1, "b": 2, "c": 3}]),
    *([["1"]], [["1", "1"]], [["1", "1", "0", "1", "1"]]),
    *([["1", "1", None]], [["1", "1", [], "1"]], [["1", "1", "1", {}]]),
    *([[None, "1", "1"]], [["1", True, "1"]], [[["1"], "1", "1"]]),
    *([[1, "1", "1"]], [["1", 1, "1"]], [["1", "1", 1]], [[1.5, 1, 1]]),
    *([["", "1", "1"]], [["1", "", "1"]], [["1", "1", ""]]),
    *([["-1", "1", "1"]], [["1", "-1", "1"]], [["+1", "1", "1"]]),
    *([["0", "1", "1"]], [["0.0", "1", "1"]]),
    *([["1", "0", "1"]], [["1", "0.00000000", "1"]]),
    *([["nan", "1", "1"]], [["1", "inf", "1"]], [["Infinity", "1", "1"]]),
    *([["1_0", "1", "1"]], [[" 1", "1", "1"]], [["1\n", "1", "1"]]),
    *([["1.2.3", "1", "1"]], [[".", "1", "1"]], [["e5", "1", "1"]]),
    *([["1e999", "1", "1"]], [["1e-999", "1", "1"]], [["1" * 65, "1", "1"]]),
    *([["٣", "1", "1"]], [["²", "1", "1"]]),
    [["1", "1", "1"], ["1.0", "1", "1"]],
]


@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("levels", BAD_LEVELS, ids=repr)
def test_what_is_no_level_is_a_wire_error(side: str, levels: Any) -> None:
    error = refusal(PROTOCOL.depth, depth_element(**{side: levels}))
    assert error.kind == "depth"
    assert error.channel is None


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_bad_level_is_found_at_every_place(side: str) -> None:
    good = json.loads(DEPTH5)["data"][0][side]
    for place in range(len(good) + 1):
        levels = [*good[:place], ["x", "1", "1"], *good[place:]]
        assert refusal(PROTOCOL.depth, depth_element(**{side: levels}))


def test_a_snapshot_out_of_order_is_a_wire_error() -> None:
    element = depth_element()
    for side in ("bids", "asks"):
        backwards = depth_element(**{side: element[side][::-1]})
        assert "unordered" in refusal(PROTOCOL.depth, backwards).detail


def test_nine_is_less_than_ten() -> None:
    asks = [["9.9", "1", "1"], ["10", "1", "1"], ["100", "1", "1"]]
    assert PROTOCOL.depth(depth_element(asks=asks)).asks == asks


@pytest.mark.parametrize("missing", ["bids", "asks", "timestamp"])
def test_a_snapshot_without_a_field_is_a_wire_error(missing: str) -> None:
    element = depth_element()
    del element[missing]
    assert refusal(PROTOCOL.depth, element).detail == f"no '{missing}'"


def test_numbers_are_remembered_within_a_bound() -> None:
    for start in range(1, 100_000, 1000):
        asks = [[f"{price}", "1", "1"] for price in range(start, start + 1000)]
        assert PROTOCOL.depth(depth_element(asks=asks)).asks == asks
    assert len(wire_values.NUMBERS) <= 8192


# --- Timestamps ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("2022-02-25T00:00:01.032Z", TIME_MS),
        ("2018-12-30T15:34:44.707Z", 1546184084707),
        ("2020-02-29T23:59:59.999Z", 1583020799999),
        ("2026-11-22T08:00:00.000Z", 1795334400000),
    ],
)
def test_a_timestamp_is_epoch_milliseconds(text: str, time_ms: int) -> None:
    assert PROTOCOL.depth(depth_element(timestamp=text)).time_ms == time_ms


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, 5, 5.5, [], {}, [1] * 24, "", "1645747201032"),
        *("2022-02-25T00:00:01Z", "2022-02-25T00:00:01.03Z"),
        *("2022-02-25T00:00:01.0320Z", "2022-02-25T00:00:01.032"),
        *("2022-02-25T00:00:01.032z", "2022-02-25 00:00:01.032Z"),
        *("2022-02-25T00:00:01,032Z", "2022-02-25T00:00:01.032+00:00"),
        *("2022-02-30T00:00:01.032Z", "2022-13-25T00:00:01.032Z"),
        *("2022-02-25T24:00:01.032Z", "2022-02-25T00:00:60.032Z"),
        *("1922-02-25T00:00:01.032Z", "0000-00-00T00:00:00.000Z"),
        *("2022-02-25T00:00:+1.032Z", "2022-02-25T00:00: 1.032Z"),
        *("2022-02-25T00:00:01.+32Z", "२०२२-02-25T00:00:01.032Z"),
        "2022-02-25T00:00:01.032Z\n",
    ],
)
def test_any_other_form_of_time_is_a_wire_error(value: Any) -> None:
    error = refusal(PROTOCOL.depth, depth_element(timestamp=value))
    assert error.kind == "depth"
    assert error.detail.startswith("not a timestamp: ")


# --- Trades -------------------------------------------------------------------------


def trade_element(**changes: Any) -> Any:
    return {**json.loads(TRADE)["data"][0], **changes}


def test_a_trade_is_exact() -> None:
    (element,) = push(TRADE).elements
    trade = PROTOCOL.trade(element)
    assert (trade.id, trade.first_id, trade.count) == ("3175832", "3175832", 1)
    assert str(trade.price) == "0.01529"
    assert str(trade.size) == "100.71"
    assert (trade.side, trade.time_ms) == ("buy", 1618678202084)


def test_the_trades_of_2019_were_numbers() -> None:
    (element,) = push(
        '{"table":"futures/trade","data":[{"side":"sell","trade_id":0,"price":4061.90,'
        '"qty":4,"instrument_id":"BTC-USD-190628",'
        '"timestamp":"2019-03-31T00:00:00.000Z"}]}'
    ).elements
    trade = PROTOCOL.trade(element)
    assert (trade.id, str(trade.price), trade.size) == ("0", "4061.90", Decimal(4))


BAD_TRADES: list[dict[str, Any]] = [
    *({"side": side} for side in ("", "BUY", None, 1, [], {})),
    *({"trade_id": value} for value in ("", None, 5, [], {}, "x" * 65, "\n", True)),
    *({"timestamp": value} for value in ("", None, [])),
    *(
        {field: value}
        for field in ("price", "size")
        for value in ("", "0", "-1", "nan", "1e999", "inf", "x", None, [], {}, 1, True)
    ),
]


@pytest.mark.parametrize("changes", BAD_TRADES, ids=repr)
def test_a_trade_that_cannot_be_is_a_wire_error(changes: dict[str, Any]) -> None:
    error = refusal(PROTOCOL.trade, trade_element(**changes))
    assert (error.kind, error.channel) == ("trade", None)


@pytest.mark.parametrize("missing", ["side", "trade_id", "price", "size", "timestamp"])
def test_a_trade_without_a_field_is_a_wire_error(missing: str) -> None:
    element = trade_element()
    del element[missing]
    assert refusal(PROTOCOL.trade, element).kind == "trade"


# --- Tickers ------------------------------------------------------------------------


def test_a_spot_ticker_of_2021() -> None:
    (element,) = push(TICKER).elements
    ticker = PROTOCOL.ticker(element)
    assert [str(value) for value in (ticker.last, ticker.last_size)] == [
        *("0.01529", "115.3")
    ]
    assert (ticker.bid, ticker.bid_size) == (Decimal("0.01527"), Decimal("4454.17"))
    assert (ticker.ask, ticker.ask_size) == (Decimal("0.01563"), Decimal("5850.57"))
    assert (ticker.open_24h, ticker.high_24h) == (
        *(Decimal("0.01444"), Decimal("0.01666")),
    )
    assert (ticker.low_24h, ticker.time_ms) == (Decimal("0.01419"), 1618678186174)
    assert (ticker.volume_24h, ticker.volume_ccy_24h) == (
        *(Decimal("21074770.45"), Decimal("332385.19")),
    )


def test_a_futures_ticker_of_2019_had_no_sizes() -> None:
    ticker = PROTOCOL.ticker(
        {
            "last": "10000.50",
            "best_bid": "",
            "best_ask": None,
            "volume_24h": "12",
            "volume_token_24h": "0.5",
            "timestamp": "2019-08-01T00:00:00.000Z",
        }
    )
    assert str(ticker.last) == "10000.50"
    assert ticker.bid is ticker.ask is ticker.bid_size is ticker.last_size is None
    assert (ticker.volume_24h, ticker.volume_ccy_24h) == (Decimal(12), Decimal("0.5"))


@pytest.mark.parametrize("field", ["last", "best_bid", "low_24h", "base_volume_24h"])
@pytest.mark.parametrize("value", ["x", "-1", "nan", "1e999", [], {}, 5, True])
def test_a_ticker_that_cannot_be_is_a_wire_error(field: str, value: Any) -> None:
    element = {**json.loads(TICKER)["data"][0], field: value}
    assert refusal(PROTOCOL.ticker, element).kind == "ticker"


@pytest.mark.parametrize("missing", ["last", "timestamp"])
def test_a_ticker_needs_a_last_price_and_a_time(missing: str) -> None:
    element = json.loads(TICKER)["data"][0]
    del element[missing]
    assert refusal(PROTOCOL.ticker, element).detail == f"no '{missing}'"


# --- Candles and funding rates ------------------------------------------------------


def candle_element(*items: object) -> Any:
    return {"candle": list(items), "instrument_id": "ETH-USDT"}


def test_a_candle_is_exact() -> None:
    (element,) = push(CANDLE).elements

    candle = PROTOCOL.candle(element)

    assert candle == CandleData(
        *(1555411740000, Decimal("162.03"), Decimal("162.04"), Decimal("161.96")),
        *(Decimal("161.98"), Decimal("336.452694"), None, None, None),
    )
    assert str(candle.close) == "161.98"


def test_a_candle_of_contracts_has_two_volumes() -> None:
    start = "2018-12-09T08:12:00.000Z"

    candle = PROTOCOL.candle(
        candle_element(start, "3299.8", "3299.8", "3299", "3299", "82", "2.4854")
    )

    assert (candle.volume, candle.volume_ccy) == (Decimal(82), Decimal("2.4854"))
    assert candle.volume_quote is candle.closed is None


START = "2018-12-09T08:12:00.000Z"


@pytest.mark.parametrize(
    "items",
    [
        *((), (START,), (START, "1", "1", "1", "1"), (START, *["1"] * 7)),
        *((start, *["1"] * 5) for start in ("1544343120000", None, "", [], 5)),
        *((START, *["1"] * 4, volume) for volume in ("", "-1", None, "x", [], {})),
        (START, "2", "1.9", "1", "1", "5"),
        (START, "1", "2", "1.1", "1.5", "5"),
        (START, "1.5", "2", "1", "2.1", "5"),
        (START, "1.5", "2", "1", "0.9", "5"),
        (START, "x", "2", "1", "1", "5"),
    ],
    ids=repr,
)
def test_a_candle_that_cannot_be_is_a_wire_error(items: tuple[object, ...]) -> None:
    assert refusal(PROTOCOL.candle, candle_element(*items)).kind == "candle"


@pytest.mark.parametrize(
    "element", [None, "candle", [], {}, {"candle": "abcdef"}, {"candle": {"0": 1}}]
)
def test_what_is_no_candle_is_a_wire_error(element: object) -> None:
    assert refusal(PROTOCOL.candle, element).kind == "candle"


def test_a_funding_rate_has_no_timestamp() -> None:
    (element,) = push(FUNDING).elements

    funding = PROTOCOL.funding(element)

    assert funding == FundingData(
        *(Decimal("0.00072933"), 1617321600000, Decimal("0.00065"), 1617350400000),
        None,
    )


def test_shorts_may_pay_longs() -> None:
    (element,) = push(FUNDING.replace('"0.00072933"', '"-0.00072930"')).elements

    assert str(PROTOCOL.funding(element).rate) == "-0.00072930"


@pytest.mark.parametrize("missing", ["estimated_rate", "settlement_time"])
def test_what_comes_after_a_funding_may_be_unknown(missing: str) -> None:
    element = json.loads(FUNDING)["data"][0]
    del element[missing]

    without = PROTOCOL.funding(element)

    assert None in (without.next_rate, without.next_funding_time_ms)
    assert PROTOCOL.funding({**element, missing: ""}) == without


@pytest.mark.parametrize(
    "changes",
    [
        *({"funding_rate": value} for value in ("", "--1", "-", "x", None, [], 1)),
        *({"funding_time": value} for value in ("", "1617321600000", None, [])),
        *({"estimated_rate": value} for value in ("x", "+1", {}, 5)),
        *({"settlement_time": value} for value in ("x", {}, 5)),
    ],
    ids=repr,
)
def test_a_funding_rate_that_cannot_be_is_a_wire_error(changes: Any) -> None:
    element = {**json.loads(FUNDING)["data"][0], **changes}

    assert refusal(PROTOCOL.funding, element).kind == "funding"
