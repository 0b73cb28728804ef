"""The exchange's side of the wire, in the words that were recorded."""

from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.local_exchange import v3

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
    assert v3.no_such_channel("spot/tickerinvalid:NEO-USDT") == (
        '{"event":"error","message":"Channel spot/tickerinvalid:NEO-USDT doesn\'t'
        ' exist","errorCode":30040}'
    )


def test_a_request_that_makes_no_sense_is_repeated_in_the_error() -> None:
    assert json.loads(v3.unrecognised('{"op":1}')) == {
        "event": "error",
        "message": 'Unrecognized request: {"op":1}',
        "errorCode": 30039,
    }
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
    assert v3.read_request(message) == v3.Request("")


def test_requests_are_read() -> None:
    assert v3.read_request("ping").op == "ping"
    assert v3.read_request('{"op":"unsubscribe","args":["a","b"]}') == v3.Request(
        "unsubscribe", ("a", "b")
    )


@given(st.one_of(st.text(st.characters()), st.binary()))
def test_whatever_a_client_sends_gets_an_answer(message: str | bytes) -> None:
    request = v3.read_request(message)

    assert request.op in ("", "ping", "subscribe", "unsubscribe")
    assert inflated(v3.deflate(v3.unrecognised(message)))


def test_a_lone_surrogate_is_answered_too() -> None:
    assert "?" in inflated(v3.deflate(v3.no_such_channel("\ud800")))


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
    push = v3.Dialect(fields).depth5(market, "X-Y", FOUR, (), "now")

    assert json.loads(push.text)["data"][0]["asks"][0] == level
    assert json.loads(push.text)["data"][0] == push.element


def test_levels_of_three_become_four_with_the_zero_of_the_wire() -> None:
    assert v3.Dialect(4).levels("spot", [("1", "2", "3")]) == [["1", "2", "0", "3"]]


def test_futures_of_2018_are_bare_numbers_that_keep_their_zeros() -> None:
    dialect = v3.Dialect(numbers_2018=True)
    push = dialect.depth5("futures", "BTC-USD-190329", FOUR, FOUR[1:], "now")
    trade = dialect.trade(
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
    dialect = v3.Dialect(numbers_2018=True)

    assert '[["3690.10","11",2]' in dialect.depth5("spot", "X-Y", FOUR, (), "t").text
    assert '[["3690.10","11",0,2]' in dialect.depth5("swap", "X", FOUR, (), "t").text
    assert (
        '"price":"1"'
        in dialect.trade("spot", {"price": "1", "instrument_id": "X"}).text
    )
