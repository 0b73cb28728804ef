"""The exchange's side of v5: requests, keys and events."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.local_exchange.wire import v5

BOOKS5 = {"channel": "books5", "instId": "BTC-USDT"}
ORDERS = {"channel": "orders", "instType": "SWAP", "instFamily": "BTC-USD"}
KEYS = [
    (BOOKS5, "books5:BTC-USDT"),
    ({"channel": "account"}, "account"),
    ({"channel": "account", "ccy": "BTC"}, "account:ccy=BTC"),
    (ORDERS, "orders:instFamily=BTC-USD,instType=SWAP"),
    (
        {"channel": "orders", "instType": "SWAP", "instId": "BTC-USD-SWAP"},
        "orders:instId=BTC-USD-SWAP,instType=SWAP",
    ),
]


@pytest.mark.parametrize(("arg", "key"), KEYS)
def test_a_channel_has_a_key_and_the_key_its_channel(
    arg: dict[str, str], key: str
) -> None:
    assert v5.key(arg) == key
    assert v5.arg_of(key) == arg


@pytest.mark.parametrize("value", ["a,b", "a=b", "a:b", "a b"])
def test_what_would_make_another_channel_of_a_key_makes_none(value: str) -> None:
    assert v5.key({"channel": "books5", "instId": value}) == ""
    assert v5.key({"channel": value}) == ""
    assert v5.key({"channel": "account", value: "BTC"}) == ""


@pytest.mark.parametrize(
    ("channel", "home"),
    [
        ("books5:BTC-USDT", "public"),
        ("status", "public"),
        ("trades-all:BTC-USDT", "business"),
        ("candle1m:BTC-USDT", "business"),
        ("mark-price-candle1m:BTC-USDT", "business"),
        ("orders-algo:instType=ANY", "business"),
        ("mark-price:BTC-USDT", "public"),
        ("account", "private"),
        ("orders:instType=ANY", "private"),
    ],
)
def test_a_channel_lives_on_one_path(channel: str, home: str) -> None:
    assert v5.home(channel) == home


def test_an_algo_order_is_private_though_it_lives_on_business() -> None:
    assert v5.is_private("orders-algo:instType=ANY")
    assert v5.is_private("account")
    assert not v5.is_private("trades-all:BTC-USDT")
    assert not v5.is_private("books5:BTC-USDT")


def test_books_tick_by_tick_are_gated_and_public() -> None:
    for name in ("books-l2-tbt:BTC-USDT", "books50-l2-tbt:BTC-USDT"):
        assert v5.is_gated(name)
        assert not v5.is_private(name)
        assert v5.home(name) == v5.PUBLIC
    assert not v5.is_gated("books:BTC-USDT")
    assert not v5.is_gated("bbo-tbt:BTC-USDT")


def test_requests_are_read() -> None:
    request = {"id": "1512", "op": "subscribe", "args": [BOOKS5]}

    assert v5.read_request("ping").op == "ping"
    assert v5.read_request(json.dumps(request)) == v5.V5Request(
        "subscribe", (v5.Arg("books5:BTC-USDT", BOOKS5),), "1512"
    )
    assert v5.read_request('{"op":"login","args":[{"apiKey":""}]}') == v5.V5Request(
        "login", ({"apiKey": ""},)
    )


@pytest.mark.parametrize(
    ("message", "named", "wrong"),
    [
        ("pong", None, "60012"),
        ("[]", None, "60012"),
        ('{"op":"order","args":[{}]}', None, "60012"),
        ('{"id":"7","op":"order","args":[{}]}', "7", "60012"),
        ('{"id":7,"op":"subscribe","args":[{"channel":"account"}]}', None, "60012"),
        ('{"id":"a b","op":"subscribe","args":[{"channel":"a"}]}', None, "60012"),
        ('{"op":"subscribe"}', None, "60012"),
        ('{"op":"subscribe","args":"books5"}', None, "60012"),
        ('{"op":"subscribe","args":[]}', None, "60013"),
        ('{"op":"subscribe","args":["books5"]}', None, "60013"),
        ('{"id":"7","op":"subscribe","args":[{"instId":"a"}]}', "7", "60013"),
        ('{"op":"subscribe","args":[{"channel":"a","instId":1}]}', None, "60013"),
        ("[" * 100_000, None, "60012"),
        (b'{"op":"subscribe","args":[{"channel":"account"}]}', None, "60012"),
    ],
)
def test_a_wrong_request_is_not_understood(
    message: str | bytes, named: str | None, wrong: str
) -> None:
    assert v5.read_request(message) == v5.V5Request("", (), named, wrong)


@given(st.one_of(st.text(st.characters()), st.binary()))
def test_whatever_a_client_sends_is_read(message: str | bytes) -> None:
    request = v5.read_request(message)

    assert request.op in ("", "ping", "subscribe", "unsubscribe", "login")
    assert v5.unrecognised(message).startswith("Invalid request: ")


def test_an_event_carries_the_id_of_its_request() -> None:
    named = v5.event("subscribe", "a4d3ae55", "1512", arg=BOOKS5)

    assert named == (
        '{"id":"1512","event":"subscribe","arg":{"channel":"books5","instId":'
        '"BTC-USDT"},"connId":"a4d3ae55"}'
    )
    assert "id" not in json.loads(v5.event("subscribe", "a4d3ae55", None, arg=BOOKS5))


def test_an_unknown_channel_is_refused_in_the_words_of_the_exchange() -> None:
    assert v5.no_such_channel({"channel": "books5", "instId": "XXX"}) == (
        "Wrong URL or channel:books5,instId:XXX doesn't exist. Please use the correct"
        " URL, channel and parameters referring to API document."
    )
