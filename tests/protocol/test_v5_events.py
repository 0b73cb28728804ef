"""What v5 says beside data: events, and the channels that an error names."""

from __future__ import annotations

import json

import pytest

from okex_ws.protocol.messages import (
    Acknowledged,
    LoggedIn,
    Message,
    Notice,
    Refused,
    Terminated,
    Unknown,
    Unsubscribed,
)
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.v5_frames import decode

# --- Whose error it is --------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("channel:ticker,instId:BTC-USDT doesn't exist", ["ticker:BTC-USDT"]),
        (
            "Wrong URL or channel:books,instId:IRYS-USDT-SWAP doesn't exist. Please use"
            " the correct URL, channel and parameters referring to API document.",
            ["books:IRYS-USDT-SWAP"],
        ),
        (
            "Subscribe failed, wrong URL or channel:candle1m,instId:BTC-USDT doesn't",
            ["candle1m:BTC-USDT"],
        ),
        (
            "Wrong URL or channel:orders-algo,instType:SWAP doesn't exist.",
            ["orders-algo:instType=SWAP"],
        ),
        (
            "channel:estimated-price,instType:FUTURES,instId:A-B-1 doesn't exist",
            ["estimated-price:instId=A-B-1,instType=FUTURES"],
        ),
        (
            "channel:orders,instType:SWAP,instFamily:BTC-USD doesn't exist",
            ["orders:instFamily=BTC-USD,instType=SWAP"],
        ),
        ("channel:account,ccy:BTC doesn't exist", ["account:ccy=BTC"]),
        ("channel:status doesn't exist", ["status"]),
        ("no channel:trades,instId:EOS-8.00-C.", ["trades:EOS-8.00-C"]),
        ("no channel:trades,instId:A-B, and no more", ["trades:A-B"]),
        ("channel:status; channel:status", ["status"]),
        ("channel:a,instId:A channel:b,instId:B", ["a:A", "b:B"]),
        ("channel:a.b doesn't exist", []),
        ("xchannel:a doesn't exist", []),
        ("channel : a, channel:", []),
        ("Please log in", []),
        ("", []),
    ],
)
def test_an_error_names_its_channel_in_a_sentence(
    message: str, named: list[str]
) -> None:
    assert list(PROTOCOL.mentioned(message)) == named


@pytest.mark.parametrize(
    ("message", "named"),
    [
        (
            'Invalid request: {"op": "subscribe", "argss":[{ "channel" : "trades",'
            ' "instId" : "BTC-USD-191227"}]}',
            ["trades:BTC-USD-191227"],
        ),
        (
            'Invalid request: {"id":"1","op":"subscribe","args":[{"channel":"a",'
            '"instId":"A"},{"instType":"ANY","channel":"orders"},{"channel":"a",'
            '"instId":"A"}]}, sorry',
            ["a:A", "orders:instType=ANY"],
        ),
        ('{"args":[{"channel":"a:b"},{"channel":5},{},[],5,null,"x"]}', ["5"]),
        ('{"args":{"channel":"a"}}', []),
        ('{"op":"subscribe","args":[{"channel":"a"},{"channel":"b"', []),
        ('{{{"args":[{"channel":"a"}]}', []),
        ("[" * 1000, []),
        ('{"a":' * 1000, []),
    ],
)
def test_an_error_names_the_channels_of_the_request_that_it_repeats(
    message: str, named: list[str]
) -> None:
    assert list(PROTOCOL.mentioned(message)) == named


@pytest.mark.parametrize(
    "text",
    [
        *(
            "channel:a,",
            "channel:" * 3,
            "channel:a,b:c",
            ",a:b",
            "a.",
            "channel:a,b:c.",
        ),
        *('{"', '{"a":[', '{"a":[{"channel":"b"},'),
    ],
)
def test_only_the_front_of_a_long_error_is_read(text: str) -> None:
    assert len(PROTOCOL.mentioned(text * 50_000)) <= 100


# --- Events -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"id":"1512","event":"subscribe","arg":{"channel":"books5","instId":'
            '"BTC-USDT"},"connId":"a4d3ae55"}',
            Acknowledged("books5:BTC-USDT", "1512"),
        ),
        (
            '{"event":"subscribe","arg":{"channel":"books5","instId":"BTC-USDT"}}',
            Acknowledged("books5:BTC-USDT"),
        ),
        (
            '{"event":"unsubscribe","arg":{"instType":"ANY","channel":"orders","uid":'
            '"7"},"id":"2"}',
            Unsubscribed("orders:instType=ANY", "2"),
        ),
        (
            '{"id":"3","event":"error","code":"60012","msg":"Invalid request: {}",'
            '"connId":"a4d3ae55"}',
            Refused("60012", "Invalid request: {}", "3"),
        ),
        (
            '{"event":"error","msg":"channel:ticker,instId:BTC-USDT doesn\'t exist",'
            '"code":"60018"}',
            Refused("60018", "channel:ticker,instId:BTC-USDT doesn't exist"),
        ),
        ('{"event":"error","code":60018}', Refused("60018", "")),
        ('{"event":"login","code":"0","msg":"","connId":"a4d3ae55"}', LoggedIn()),
        (
            '{"event":"login","code":"60009","msg":"Login failed."}',
            Refused("60009", "Login failed."),
        ),
        (
            '{"event":"notice","code":"64008","msg":"The connection will soon be closed'
            ' for a service upgrade. Please reconnect.","connId":"a4d3ae55"}',
            Notice(
                "64008",
                "The connection will soon be closed for a service upgrade. Please"
                " reconnect.",
            ),
        ),
        (
            '{"event":"channel-conn-count","channel":"orders","connCount":"2",'
            '"connId":"abcd1234"}',
            Notice("channel-conn-count", "2 connections have 'orders'"),
        ),
        (
            '{"event":"channel-conn-count-error","channel":"orders","connCount":"20",'
            '"connId":"a4d3ae55"}',
            Terminated("orders", "20 connections have 'orders'"),
        ),
        ('{"event":"fireworks","arg":5}', Unknown("event")),
        (
            '{"id":"1","op":"order","code":"0","msg":"","data":[{"ordId":"5"}],'
            '"inTime":"1","outTime":"2"}',
            Unknown("op"),
        ),
    ],
)
def test_each_event_is_read(text: str, message: Message) -> None:
    assert decode(text) == (message,)


def test_the_text_of_an_error_is_whole_so_that_it_is_cleaned_before_it_is_cut() -> None:
    (refused,) = decode(json.dumps({"event": "error", "code": "1", "msg": "x" * 9999}))

    assert refused == Refused("1", "x" * 9999)
