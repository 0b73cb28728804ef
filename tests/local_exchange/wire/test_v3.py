"""The exchange's side of the wire, in the words that were recorded."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.local_exchange.wire import v3
from okex_ws.local_exchange.wire.values import (
    Change,
    Deal,
    Funding,
    Mark,
    MarketCandle,
    Summary,
)

ACK = bytes.fromhex(
    "ab564a2d4bcd2b51b2522a2e4d2a4e2eca4c4a55d2514ace48cccb4bcd018916e497e8971425"
    "a6a45af9f8fbe9ba867828d50200"
)
FOUR = [("3690.10", "11", "0", "2"), ("3690.33", "1", "0", "1")]


def inflated(frame: bytes) -> str:
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    text = unpacker.decompress(frame)
    assert unpacker.eof
    assert not unpacker.unused_data
    return text.decode()


def test_an_acknowledgement_is_the_recorded_one() -> None:
    text = v3.acknowledgement("subscribe", "spot/trade:LON-ETH")

    assert text == inflated(ACK) == inflated(v3.deflate(text))


def test_a_pong_is_deflated() -> None:
    assert v3.deflate("pong") == bytes.fromhex("2bc8cf4b0700")


def test_an_unknown_channel_is_refused_in_the_recorded_words() -> None:
    said = v3.no_such_channel("spot/tickerinvalid:NEO-USDT")

    assert v3.error(v3.NO_SUCH_CHANNEL, said) == (
        '{"event":"error","message":"Channel spot/tickerinvalid:NEO-USDT doesn\'t'
        ' exist","errorCode":30040}'
    )


def test_a_request_that_makes_no_sense_is_repeated_in_the_error() -> None:
    assert v3.unrecognised('{"op":1}') == 'Unrecognized request: {"op":1}'
    assert "\ufffd" in v3.unrecognised(b"\xff")


@pytest.mark.parametrize(
    "message",
    [
        "pong",
        "[]",
        "{}",
        '{"op":"login","args":["key"]}',
        '{"op":"subscribe"}',
        '{"op":"subscribe","args":[]}',
        '{"op":"subscribe","args":"spot/trade:BTC-USDT"}',
        '{"op":"subscribe","args":["spot/trade:BTC-USDT",1]}',
        '{"op":["subscribe"],"args":["spot/trade:BTC-USDT"]}',
        "[" * 100_000,
        b'{"op":"subscribe","args":["spot/trade:BTC-USDT"]}',
    ],
)
def test_a_wrong_request_is_not_recognised(message: str | bytes) -> None:
    assert v3.read_request(message) == v3.V3Request("")


def test_requests_are_read() -> None:
    assert v3.read_request("ping").op == "ping"
    assert v3.read_request('{"op":"unsubscribe","args":["a","b"]}') == v3.V3Request(
        "unsubscribe", ("a", "b")
    )
    assert v3.read_request('{"op":"login","args":["k","p","t","s"]}') == v3.V3Request(
        "login", ("k", "p", "t", "s")
    )


@given(st.one_of(st.text(st.characters()), st.binary()))
def test_whatever_a_client_sends_gets_an_answer(message: str | bytes) -> None:
    request = v3.read_request(message)

    assert request.op in ("", "ping", "subscribe", "unsubscribe", "login")
    assert inflated(v3.deflate(v3.unrecognised(message)))


def test_a_lone_surrogate_is_answered_too() -> None:
    assert "?" in inflated(v3.deflate(v3.no_such_channel("\ud800")))


KNOWN = {
    ("spot", "X-Y"),
    ("futures", "X-Y-301227"),
    ("swap", "X-Y-SWAP"),
    ("option", "X-Y-301227-1-C"),
}
AT = 1546184084.707
ISO = "2018-12-30T15:34:44.707Z"


def said(channel: str, value: Any) -> dict[str, Any]:
    encoder = v3.DEFAULT_FORMAT.encoder(channel, KNOWN)
    assert encoder
    push = encoder.to_push(value)
    assert push
    assert (push.channel, push.frame) == (channel, None)
    message: dict[str, Any] = json.loads(push.text)
    return message


ASKS = [("0.063", "1005", "2"), ("0.0635", "451", "1")]
BIDS = [("0.0565", "500", "1"), ("0.056", "505", "1"), ("0.055", "451", "1")]
WHOLE = Change(ASKS, BIDS, 1618678199.279, 9, -1, (BIDS, ASKS))
OPTION = "X-Y-301227-1-C"


def worded(v3_format: v3.V3Format, channel: str, value: Any) -> str:
    encoder = v3_format.encoder(channel, KNOWN)
    assert encoder
    push = encoder.to_push(value)
    assert push
    return push.text


def test_a_book_is_the_recorded_one() -> None:
    assert worded(v3.DEFAULT_FORMAT, f"option/depth_l2_tbt:{OPTION}", WHOLE) == (
        '{"table":"option/depth_l2_tbt","action":"partial","data":[{"instrument_id":'
        f'"{OPTION}","asks":[["0.063","1005","0","2"],["0.0635","451","0","1"]],"bids":'
        '[["0.0565","500","0","1"],["0.056","505","0","1"],["0.055","451","0","1"]],'
        '"timestamp":"2021-04-17T16:49:59.279Z","checksum":1815367951}]}'
    )
    after = ([*BIDS[:2], ("0.0555", "451", "1")], ASKS)
    changes = [("0.0555", "451", "1"), ("0.055", "0", "0")]
    update = Change([], changes, 1618678202.482, 10, 9, after)
    assert worded(v3.DEFAULT_FORMAT, f"option/depth_l2_tbt:{OPTION}", update) == (
        '{"table":"option/depth_l2_tbt","action":"update","data":[{"instrument_id":'
        f'"{OPTION}","asks":[],"bids":[["0.0555","451","0","1"],["0.055","0","0","0"]],'
        '"timestamp":"2021-04-17T16:50:02.482Z","checksum":338594214}]}'
    )


def test_a_book_has_the_levels_and_the_numbers_of_its_dialect() -> None:
    gone = Change([], [("0.055", "0", "0")], 0.0, 10, 9, (BIDS, ASKS))
    old = v3.V3Format(numbers_2018=True)

    assert '"bids":[["0.055","0","0"]]' in worded(
        v3.DEFAULT_FORMAT, "spot/depth:X-Y", gone
    )
    assert '"bids":[["0.055","0",0]]' in worded(old, "spot/depth:X-Y", gone)
    bare = worded(old, "futures/depth:X-Y-301227", gone)
    assert '"asks":[],"bids":[[0.055,0,0,0]]' in bare
    # Over the very characters, quoted or not.
    assert '"checksum":1815367951' in bare


def test_that_a_book_is_idle_is_not_said() -> None:
    encoder = v3.DEFAULT_FORMAT.encoder("spot/depth:X-Y", KNOWN)
    assert encoder
    assert encoder.to_push(Change([], [], 0.0, 9, 9, ([], []))) is None


@pytest.mark.parametrize(
    ("channel", "items"),
    [
        ("spot/candle60s:X-Y", 6),
        ("futures/candle60s:X-Y-301227", 7),
        ("swap/candle86400s:X-Y-SWAP", 7),
        ("option/candle604800s:X-Y-301227-1-C", 7),
    ],
)
def test_a_candle_has_its_volume_in_coins_elsewhere_than_on_spot(
    channel: str, items: int
) -> None:
    candle = MarketCandle(1546184040, "1", "4", "0.5", "2", "10", "20", "30", False)
    message = said(channel, candle)

    assert message["table"] == channel.partition(":")[0]
    assert message["data"] == [
        {
            "candle": ["2018-12-30T15:34:00.000Z", "1", "4", "0.5", "2", "10", "20"][
                :items
            ],
            "instrument_id": channel.partition(":")[2],
        }
    ]


def test_a_funding_rate_has_no_time_of_its_own() -> None:
    funding = Funding("0.0001", "0.0002", 1546184040, 1546184100, AT)

    assert said("swap/funding_rate:X-Y-SWAP", funding)["data"] == [
        {
            "estimated_rate": "0.0002",
            "funding_rate": "0.0001",
            "funding_time": "2018-12-30T15:34:00.000Z",
            "instrument_id": "X-Y-SWAP",
            "interest_rate": "0",
            "settlement_time": "2018-12-30T15:35:00.000Z",
        }
    ]


def test_a_mark_price_is_one_of_futures_and_swaps() -> None:
    assert said("futures/mark_price:X-Y-301227", Mark("1.5", AT))["data"] == [
        {"instrument_id": "X-Y-301227", "mark_price": "1.5", "timestamp": ISO}
    ]
    assert v3.DEFAULT_FORMAT.encoder("spot/mark_price:X-Y", KNOWN) is None


@pytest.mark.parametrize(
    ("channel", "key"),
    [
        ("spot/trade:X-Y", "size"),
        ("swap/trade:X-Y-SWAP", "size"),
        ("futures/trade:X-Y-301227", "qty"),
        ("option/trade:X-Y-301227-1-C", "qty"),
    ],
)
def test_sizes_of_trades_are_named_as_their_market_names_them(
    channel: str, key: str
) -> None:
    (trade,) = said(channel, Deal(7, 1, "4", "2", "sell", AT, 1))["data"]

    assert trade == {
        "side": "sell",
        "trade_id": "7",
        "price": "4",
        key: "2",
        "instrument_id": channel.partition(":")[2],
        "timestamp": ISO,
    }


def test_an_empty_side_is_left_out_of_a_ticker() -> None:
    summary = Summary("5", "1", "", "", "4", "2", "4.5", "6", "3", "100", "500", AT)
    (spot,) = said("spot/ticker:X-Y", summary)["data"]
    (swap,) = said("swap/ticker:X-Y-SWAP", summary)["data"]

    assert "best_ask" not in spot
    assert (spot["best_bid"], spot["best_bid_size"]) == ("4", "2")
    assert (spot["base_volume_24h"], spot["quote_volume_24h"]) == ("100", "500")
    assert (swap["volume_24h"], swap["volume_token_24h"]) == ("100", "500")


def test_every_name_is_a_line() -> None:
    for market, instrument_id in KNOWN:
        names = list(v3.names(market, instrument_id))
        assert all(v3.DEFAULT_FORMAT.encoder(name, KNOWN) for name in names)


def test_times_are_written_as_v3_writes_them() -> None:
    assert v3.iso(1546184084.707) == "2018-12-30T15:34:44.707Z"


@pytest.mark.parametrize(
    ("fields", "market", "level"),
    [
        (None, "spot", ["3690.10", "11", "2"]),
        (None, "futures", ["3690.10", "11", "0", "2"]),
        (3, "futures", ["3690.10", "11", "2"]),
        (4, "spot", ["3690.10", "11", "0", "2"]),
    ],
)
def test_levels_have_three_or_four_elements(
    fields: int | None, market: str, level: list[str]
) -> None:
    push = v3.V3Format(fields).depth5(market, "X-Y", FOUR, (), "now")

    assert json.loads(push.text)["data"][0]["asks"][0] == level
    assert json.loads(push.text)["data"][0] == push.element


def test_levels_of_three_become_four_with_the_zero_of_the_wire() -> None:
    assert v3.V3Format(4).levels("spot", [("1", "2", "3")]) == [["1", "2", "0", "3"]]


def test_futures_of_2018_are_bare_numbers_that_keep_their_zeros() -> None:
    v3_format = v3.V3Format(numbers_2018=True)
    push = v3_format.depth5("futures", "BTC-USD-190329", FOUR, FOUR[1:], "now")
    trade = v3_format.trade(
        "futures", {"price": "4.10", "qty": "2", "instrument_id": "X"}
    )

    assert '"asks":[[3690.10,11,0,2],[3690.33,1,0,1]],"bids":[[3690.33,' in push.text
    assert push.element["asks"][0] == ["3690.10", "11", "0", "2"]
    assert json.loads(push.text, parse_int=str, parse_float=str)["data"] == [
        push.element
    ]
    assert trade.text == (
        '{"table":"futures/trade","data":[{"price":4.10,"qty":2,"instrument_id":"X"}]}'
    )
    assert trade.channel == "futures/trade:X"


def test_spot_and_swap_of_2018_have_integers_for_orders_only() -> None:
    v3_format = v3.V3Format(numbers_2018=True)

    assert '[["3690.10","11",2]' in v3_format.depth5("spot", "X-Y", FOUR, (), "t").text
    assert '[["3690.10","11",0,2]' in v3_format.depth5("swap", "X", FOUR, (), "t").text
    assert (
        '"price":"1"'
        in v3_format.trade("spot", {"price": "1", "instrument_id": "X"}).text
    )
