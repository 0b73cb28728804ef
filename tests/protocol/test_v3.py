"""Protocol v3: what is asked, and what each answer says."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.model.credentials import Credentials
from okex_ws.model.exchange_codes import Advice
from okex_ws.net.frames import MAX_FRAME
from okex_ws.protocol.messages import (
    Acknowledged,
    LoggedIn,
    Message,
    Pong,
    Push,
    Refused,
    SocketPath,
    Unknown,
    Unreadable,
    Unsubscribed,
)
from okex_ws.protocol.v3 import PROTOCOL
from tests.support.v3_frames import TRADE, decode, deflate, push, refusal

# --- What things are called ---------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "market", "instrument_id", "name"),
    [
        (
            *("depth5", "futures", "BTC-USD-190517"),
            ("futures/depth5:BTC-USD-190517", "depth5", "BTC-USD-190517", "depth", 5),
        ),
        (
            *("trade", "spot", "BTC-USDT"),
            ("spot/trade:BTC-USDT", "trade", "BTC-USDT", "trade", 0),
        ),
        (
            *("ticker", "index", "BTC-USD"),
            ("index/ticker:BTC-USD", "ticker", "BTC-USD", "ticker", 0),
        ),
        (
            *("candle604800s", "option", "EOS-USD-210625-8.00-C"),
            (
                "option/candle604800s:EOS-USD-210625-8.00-C",
                *("candle604800s", "EOS-USD-210625-8.00-C", "candle", 0),
            ),
        ),
        (
            *("funding_rate", "swap", "BTC-USD-SWAP"),
            (
                *("swap/funding_rate:BTC-USD-SWAP", "funding_rate"),
                *("BTC-USD-SWAP", "funding", 0),
            ),
        ),
        (
            *("mark_price", "swap", "BTC-USD-SWAP"),
            (
                "swap/mark_price:BTC-USD-SWAP",
                *("mark_price", "BTC-USD-SWAP", "data", 0),
            ),
        ),
        (
            *("depth", "spot", "BTC-USDT"),
            ("spot/depth:BTC-USDT", "depth", "BTC-USDT", "book", 400),
        ),
        (
            *("depth_l2_tbt", "option", "EOS-USD-210625-8.00-C"),
            (
                *("option/depth_l2_tbt:EOS-USD-210625-8.00-C", "depth_l2_tbt"),
                *("EOS-USD-210625-8.00-C", "book", 400),
            ),
        ),
    ],
)
def test_a_channel_is_named_as_the_wire_names_it(
    topic: str, market: str, instrument_id: str, name: tuple[str | int, ...]
) -> None:
    assert PROTOCOL.channel(topic, market, instrument_id) == (*name, "")


def test_a_channel_of_a_renamed_instrument_has_another_key() -> None:
    assert PROTOCOL.renamed("spot/depth5:A-B", "C-B") == "spot/depth5:C-B"
    assert PROTOCOL.listing("spot") is None


def test_a_raw_channel_is_called_as_the_venue_calls_it() -> None:
    raw = PROTOCOL.raw_channel

    assert raw("new", "swap", "A-B-SWAP") == (
        *("swap/new:A-B-SWAP", "new", "A-B-SWAP", "data", 0, ""),
    )
    assert raw("order", "spot", "A-B") == (
        "spot/order:A-B",
        "order",
        "A-B",
        "data",
        0,
        "",
    )


def test_a_raw_channel_that_is_known_as_data_is_that_channel() -> None:
    for name in ("price_range", "price-limit"):
        assert PROTOCOL.raw_channel(name, "swap", "A-B-SWAP") == PROTOCOL.channel(
            "price_range", "swap", "A-B-SWAP"
        )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("depth5", "channel 'depth5' has a type of its own: name it in channels="),
        ("candle1m", "channel 'candle1m' has a type of its own"),
        *(
            (name, f"channel '{name}' has a type of its own: name it in channels=")
            for name in ("depth", "books", "depth_l2_tbt", "books-l2-tbt")
        ),
        *(
            (name, f"^v3 has no channel '{name}'$")
            for name in ("bbo-tbt", "books50-l2-tbt", "books-rpi")
        ),
        ("a b", "'a b' is no name of a channel"),
    ],
)
def test_a_raw_channel_that_cannot_be_says_why(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PROTOCOL.raw_channel(name, "spot", "A-B")


@pytest.mark.parametrize(
    ("argument", "topic", "instrument_id"),
    [
        ("spot/order:BTC-USDT", "spot/order:BTC-USDT", "BTC-USDT"),
        ("spot/account:BTC", "spot/account:BTC", ""),
        ("futures/account:BTC-USDT", "futures/account:BTC-USDT", ""),
        ("option/order:BTC-USD", "option/order:BTC-USD", ""),
        ("futures/instruments", "futures/instruments", ""),
        ("system/status", "system/status", ""),
        ("futures/mark_price:BTC-USD-190517", "mark_price", "BTC-USD-190517"),
    ],
)
def test_an_argument_of_a_request_is_its_own_key(
    argument: str, topic: str, instrument_id: str
) -> None:
    assert PROTOCOL.raw(argument) == (argument, topic, instrument_id, "data", 0, "")


@pytest.mark.parametrize(
    "argument",
    [
        *("spot/ticker:BTC-USDT", "swap/funding_rate:A-B-SWAP", "spot/depth5"),
        *("spot/depth:BTC-USDT", "option/depth_l2_tbt:A-B-210625-8.00-C"),
    ],
)
def test_an_argument_that_has_a_type_belongs_to_another_subscription(
    argument: str,
) -> None:
    with pytest.raises(ValueError, match=r"type of its own: WSSubscription\(.*chann"):
        PROTOCOL.raw(argument)


@pytest.mark.parametrize(
    "argument",
    [
        *("", "order", "spot", "spot/", "spot/order:", "margin/order:A-B"),
        *("spot/order:A B", "spot/order:A-B:C", "/order:A-B", "spot/order:" + "A" * 65),
        *("spot/Order:A-B", "spot/order:A-B\n"),
    ],
)
def test_what_is_no_argument_of_v3_is_a_value_error(argument: str) -> None:
    with pytest.raises(ValueError, match="is no channel of v3, like 'spot/order"):
        PROTOCOL.raw(argument)


@pytest.mark.parametrize("argument", [None, 5, {"channel": "orders"}, ["spot/order"]])
def test_an_argument_of_v3_is_a_name(argument: object) -> None:
    with pytest.raises(TypeError, match="a channel of v3 is a name, got"):
        PROTOCOL.raw(argument)


def test_v3_has_one_socket_and_no_path() -> None:
    with pytest.raises(ValueError, match="v3 has one socket, and no path 'business'"):
        PROTOCOL.raw_channel("order", "spot", "A-B", "business")


def test_what_is_private_logs_in_on_a_connection_of_its_own() -> None:
    for name in ("account", "margin_account", "position", "order", "order_algo"):
        assert PROTOCOL.path(f"futures/{name}:A-B-190517") == SocketPath("", login=True)
    for key in ("futures/depth5:A-B-190517", "system/status", "spot/orders:A-B"):
        assert PROTOCOL.path(key) == SocketPath("", login=False)


def test_the_endpoint_is_the_whole_url() -> None:
    url = "wss://connect.okj.com:443/ws/v3"

    assert PROTOCOL.url(url, SocketPath()) == url


def test_books_of_400_levels_are_deep() -> None:
    assert PROTOCOL.is_deep("spot/depth:A-B")
    assert PROTOCOL.is_deep("option/depth_l2_tbt:BTC-USD-210625-8.00-C")
    assert not PROTOCOL.is_deep("spot/depth5:A-B")
    assert not PROTOCOL.is_deep("futures/instruments")


def test_v3_never_asked_for_a_fee_tier() -> None:
    for key in ("spot/depth:A-B", "spot/depth_l2_tbt:A-B", "spot/depth5:A-B", "", "x"):
        assert PROTOCOL.tier(key) == ""


# --- What is asked ------------------------------------------------------------------


def test_a_request_is_compact_json_with_every_channel() -> None:
    channels = ["spot/ticker:BTC-USDT", "futures/depth5:BTC-USD-190517"]

    assert PROTOCOL.request("subscribe", channels, 7) == (
        '{"op":"subscribe","args":'
        '["spot/ticker:BTC-USDT","futures/depth5:BTC-USD-190517"]}',
        tuple(channels),
    )


def test_an_unsubscribe_is_asked_in_the_same_form() -> None:
    assert PROTOCOL.request("unsubscribe", ("spot/trade:A-B",), 1) == (
        '{"op":"unsubscribe","args":["spot/trade:A-B"]}',
        ("spot/trade:A-B",),
    )


@given(st.lists(st.text(max_size=600), min_size=1, max_size=40))
def test_a_request_carries_the_first_channels_within_the_limit(
    channels: list[str],
) -> None:
    text, carried = PROTOCOL.request("subscribe", channels, 1)

    assert len(text.encode()) <= PROTOCOL.max_request
    assert json.loads(text) == {"op": "subscribe", "args": list(carried)}
    assert list(carried) == channels[: len(carried)]
    more = json.dumps(channels[: len(carried) + 1], separators=(",", ":"))
    full = len('{"op":"subscribe","args":}') + len(more) > PROTOCOL.max_request
    assert full or list(carried) == channels


def test_a_request_is_as_full_as_it_can_be() -> None:
    room = PROTOCOL.max_request - len('{"op":"subscribe","args":[""]}')
    half = room // 2 - len('","')
    pair = ["a" * half, "b" * (room - half - len('","'))]

    assert len(PROTOCOL.request("subscribe", ["a" * room], 1).channels) == 1
    assert len(PROTOCOL.request("subscribe", pair, 1).channels) == 2
    pair[0] += "a"
    assert len(PROTOCOL.request("subscribe", pair, 1).channels) == 1


def test_a_channel_that_no_request_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="carry a channel of 5000 characters"):
        PROTOCOL.request("subscribe", ["a" * 5000], 1)


def test_a_login_signs_its_time_in_milliseconds() -> None:
    key = Credentials("key", "22582BD0CFF14C41EDBF1AB98506286D", 'pass"phrase')

    asked = json.loads(PROTOCOL.login(key, 1563541080.1214))

    assert asked == {
        "op": "login",
        "args": ["key", 'pass"phrase', "1563541080.121", key.sign("1563541080.121")],
    }


# --- Whose error it is --------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Channel spot/depth5:A-B doesn't exist", ["spot/depth5:A-B"]),
        ("Channel spot/depth5:A-BC doesn't exist", ["spot/depth5:A-BC"]),
        ("Channel spot/depth5:A-B-SWAP doesn't exist", ["spot/depth5:A-B-SWAP"]),
        ("Channel spot/depth5:A-B.5 doesn't exist", ["spot/depth5:A-B.5"]),
        (
            "option/trade:EOS-USD-210625-8.00-C is no more.",
            ["option/trade:EOS-USD-210625-8.00-C"],
        ),
        ("no spot/depth5:A-B.", ["spot/depth5:A-B"]),
        ("spot/depth5:A-B: no such channel", ["spot/depth5:A-B"]),
        ('"spot/depth5:A-B"', ["spot/depth5:A-B"]),
        ("xspot/depth5:A-B", ["xspot/depth5:A-B"]),
        ("-spot/depth5:A-B", []),
        ("spot/depth5:A-B/C", []),
        ("spot/depth5:A-B:C", []),
        (
            "Channel spot/tickerinvalid:NEO-USDT doesn't exist",
            ["spot/tickerinvalid:NEO-USDT"],
        ),
        ("Channel system/status doesn't exist", ["system/status"]),
        (
            'Unrecognized request: {"args":["spot/depth5:A-B","spot/depth5:A-BC"]}',
            ["spot/depth5:A-B", "spot/depth5:A-BC"],
        ),
        ("spot/depth5:A-B, again spot/depth5:A-B", ["spot/depth5:A-B"]),
        ("", []),
    ],
)
def test_an_error_names_channels_as_whole_words(message: str, named: list[str]) -> None:
    assert list(PROTOCOL.mentioned(message)) == named


@pytest.mark.parametrize(
    "message", ["a/" * 100_000, "a/a:" + "A." * 100_000, "a/a:A-B " * 100_000]
)
def test_only_the_front_of_a_long_error_is_read(message: str) -> None:
    assert len(PROTOCOL.mentioned(message)) <= 1


def test_a_code_is_looked_up_in_the_table_of_v3() -> None:
    assert PROTOCOL.code(30042).advice is Advice.LOGGED_IN
    assert PROTOCOL.code("30042") == PROTOCOL.code(30042)
    # 4001 is "no data received in 30s" here, and no refusal of a login as under v5.
    assert PROTOCOL.code(4001).advice is Advice.RECONNECT


# --- Frames -------------------------------------------------------------------------


def test_the_recorded_bytes_of_an_acknowledgement() -> None:
    payload = bytes.fromhex(
        "ab564a2d4bcd2b51b2522a2e4d2a4e2eca4c4a55d2514ace48cccb4bcd018916e497e897"
        "1425a6a45af9f8fbe9ba867828d50200"
    )
    assert PROTOCOL.decode(payload, True) == (Acknowledged("spot/trade:LON-ETH"),)


def test_the_recorded_bytes_of_a_book_update() -> None:
    payload = bytes.fromhex(
        "2d8bc10e82301044ff65cf545b44283d73f6a078d1105268131a2834767b22fcbb6be2692633"
        "efed807a582c288861c3b3b101a77ec97b1c1032d023ba6da53305a3d1d242a141bd77706bc4"
        "4ff276c5de1922eeb7963d1f4dfbb3e21c89e932189cf93774de46d43e109af35c305e3051b5"
        "a25457aeb8381542be481d273bce3179504c5e6429ebb2aa8feef802"
    )
    (update,) = PROTOCOL.decode(payload, True)
    assert isinstance(update, Push)
    assert update.channel == "spot/depth_l2_tbt:RNT-USDT"
    assert update.action == "update"
    (element,) = update.elements
    assert element["bids"] == element["asks"] == []
    assert int(element["checksum"]) == -838689679
    assert update.text == (
        '{"table":"spot/depth_l2_tbt","action":"update","data":[{"instrument_id":'
        '"RNT-USDT","asks":[],"bids":[],"timestamp":"2021-04-17T16:50:01.418Z",'
        '"checksum":-838689679}]}'
    )


def test_a_pong_comes_deflated_or_plain() -> None:
    assert PROTOCOL.decode(bytes.fromhex("2bc8cf4b0700"), True) == (Pong(),)
    assert PROTOCOL.decode(b"pong", False) == (Pong(),)


def test_json_may_stand_in_white_space() -> None:
    text = ' \r\n\t{"event":"login","success":true} \r\n\t'
    assert decode(text) == (LoggedIn(),)


def test_every_cut_of_a_frame_is_a_wire_error() -> None:
    payload = deflate(TRADE)
    for end in range(len(payload)):
        assert refusal(PROTOCOL.decode, payload[:end], True).kind == "inflate"


@pytest.mark.parametrize("tail", [b"\0", deflate("pong"), b"x" * 1000])
def test_bytes_after_the_stream_are_a_wire_error(tail: bytes) -> None:
    error = refusal(PROTOCOL.decode, deflate(TRADE) + tail, True)
    assert error.kind == "inflate"
    assert error.detail == f"{len(tail)} bytes after the stream"


def test_what_is_no_deflate_stream_is_a_wire_error() -> None:
    assert refusal(PROTOCOL.decode, TRADE.encode(), True).kind == "inflate"


def test_a_message_inflates_to_the_limit_and_not_a_byte_further() -> None:
    fits = '"' + "a" * (MAX_FRAME - 2) + '"'
    assert refusal(PROTOCOL.decode, deflate(fits), True).kind == "shape"
    assert refusal(PROTOCOL.decode, deflate(fits + " "), True).kind == "too-large"


def test_a_bomb_is_refused_before_it_is_whole() -> None:
    bomb = deflate(b"\0" * (8 * MAX_FRAME))
    error = refusal(PROTOCOL.decode, bomb, True)
    assert error.kind == "too-large"
    assert error.detail == f"a message of more than {MAX_FRAME} bytes"


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"\xff", "utf-8"),
        (b'{"event":"\xed\xa0\x80"}', "utf-8"),
        (b"", "json"),
        (b"   ", "json"),
        (b"ping", "json"),
        (b"pong ", "json"),
        (b"{", "json"),
        (b'{"event":"login"} {}', "json"),
        (b'{"event":"login","x":NaN}', "json"),
        (b'{"event":"login","x":-Infinity}', "json"),
        (b'{"event":"login","x":"\\ud800"}', "json"),
        (b'{"event":"login","\\uDFFF":1}', "json"),
        (b'{"x":' * 100_000, "json"),
        (b"[" * 100_000, "json"),
        (b"[]", "shape"),
        (b'"pong"', "shape"),
        (b"12", "shape"),
        (b"null", "shape"),
        (b"{}", "shape"),
        (b'{"event":null}', "shape"),
        (b'{"event":[]}', "shape"),
        (b'{"event":"subscribe"}', "shape"),
        (b'{"event":"unsubscribe","channel":{}}', "shape"),
        (b'{"event":"error","message":"x"}', "shape"),
        (b'{"event":"error","message":"x","errorCode":true}', "shape"),
        (b'{"event":"error","message":"x","errorCode":-1}', "shape"),
        (b'{"event":"error","message":"x","errorCode":"4e4"}', "shape"),
        (b'{"event":"error","message":5.5,"errorCode":{}}', "shape"),
        (b'{"event":"error","message":[],"errorCode":30040}', "shape"),
        (b'{"table":{}}', "shape"),
        (b'{"table":"spot/trade"}', "shape"),
        (b'{"table":"spot/trade","data":[]}', "shape"),
        (b'{"table":"spot/trade","data":{"0":1}}', "shape"),
        (b'{"table":"spot/trade","data":["x"]}', "shape"),
        (b'{"table":"spot/trade","data":[null]}', "shape"),
        (b'{"table":"spot/trade","data":[[]]}', "shape"),
        (b'{"table":"spot/trade","data":[{}]}', "shape"),
        (b'{"table":"spot/trade","data":[{"instrument_id":null}]}', "shape"),
        (b'{"table":"spot/trade","data":[{"instrument_id":[]}]}', "shape"),
        (b'{"table":"spot/trade","data":[{"instrument_id":""}]}', "shape"),
        (b'{"table":"spot/trade","data":[{"instrument_id":"A\\nB"}]}', "shape"),
        (b'{"table":"spot/trade","data":[{},{"instrument_id":null}]}', "shape"),
    ],
)
def test_hostile_bytes_have_a_name(payload: bytes, kind: str) -> None:
    error = refusal(PROTOCOL.decode, payload, False)
    assert error.kind == kind
    assert error.channel in (None, "spot/trade")
    assert refusal(PROTOCOL.decode, deflate(payload), True).kind == kind


def test_a_number_of_ten_thousand_digits_is_only_text() -> None:
    element = push(
        '{"table":"spot/trade","data":[{"instrument_id":"A-B","price":%s}]}'
        % ("9" * 10_000)
    ).elements[0]
    assert refusal(PROTOCOL.trade, element).kind == "trade"


def test_an_escaped_pair_of_surrogates_is_a_character() -> None:
    text = '{"event":"error","message":"\\ud83d\\ude00","errorCode":30039}'
    assert decode(text) == (Refused(30039, "\N{GRINNING FACE}"),)


def test_the_detail_of_an_error_carries_no_control_characters() -> None:
    error = refusal(PROTOCOL.decode, b'{"table":"\x1b[2J' + b"x" * 5000, False)
    assert "\x1b" not in error.detail


# --- Events -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"event":"subscribe","channel":"spot/ticker:BTC-USDT"}',
            Acknowledged("spot/ticker:BTC-USDT"),
        ),
        (
            '{"event":"unsubscribe","channel":"spot/ticker:BTC-USDT"}',
            Unsubscribed("spot/ticker:BTC-USDT"),
        ),
        (
            '{"event":"error","message":"Channel spot/tickerinvalid:NEO-USDT'
            ' doesn\'t exist","errorCode":30040}',
            Refused(30040, "Channel spot/tickerinvalid:NEO-USDT doesn't exist"),
        ),
        ('{"event":"error","errorCode":"30043"}', Refused(30043, "")),
        ('{"event":"login","success":true}', LoggedIn()),
        ('{"event":"login","success":"true"}', LoggedIn()),
        ('{"event":"login","success":false}', Refused(30027, "login failure")),
        ('{"event":"login","success":1}', Refused(30027, "login failure")),
        ('{"event":"login"}', Refused(30027, "login failure")),
        ('{"event":"fireworks"}', Unknown("event")),
    ],
)
def test_each_event_is_read(text: str, message: Message) -> None:
    assert decode(text) == (message,)


# --- Tables -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "topic",
    [
        *("depth5", "trade", "ticker", "depth", "depth_l2_tbt", "candle60s"),
        *("candle604800s", "funding_rate", "mark_price", "price_range"),
        *("estimated_price", "margin_account", "position", "order", "order_algo"),
    ],
)
def test_a_table_is_a_channel_of_each_instrument(topic: str) -> None:
    text = '{"table":"swap/%s","data":[{"instrument_id":"A-B-SWAP"}]}'

    message = push(text % topic)

    assert message.channel == f"swap/{topic}:A-B-SWAP"
    assert message.elements == [{"instrument_id": "A-B-SWAP"}]


@pytest.mark.parametrize(
    ("table", "element", "about"),
    [
        ("spot/account", {"currency": "BTC", "balance": "1"}, "BTC"),
        ("futures/account", {"BTC": {"equity": "1"}}, "BTC"),
        ("futures/account", {"BTC-USDT": {"contracts": []}}, "BTC-USDT"),
        ("futures/account", {"currency": "BTC", "equity": "1"}, "BTC"),
        (
            "futures/account",
            {"underlying": "BTC-USDT", "currency": "USDT"},
            "BTC-USDT",
        ),
        ("swap/account", {"instrument_id": "BTC-USD-SWAP"}, "BTC-USD-SWAP"),
        ("option/account", {"underlying": "BTC-USD"}, "BTC-USD"),
        ("option/summary", {"instrument_id": "BTC-USD-200327-11000-C"}, "BTC-USD"),
        (
            "option/position",
            {"underlying": "BTC-USD", "instrument_id": "BTC-USD-200327-11000-C"},
            "BTC-USD",
        ),
        ("option/order", {"instrument_id": "EOS-USD-210625-8.00-C"}, "EOS-USD"),
        ("option/instruments", [{"underlying": "BTC-USD"}], "BTC-USD"),
    ],
)
def test_some_tables_are_about_something_else(
    table: str, element: Any, about: str
) -> None:
    message = push(json.dumps({"table": table, "data": [element]}))

    assert message.channel == f"{table}:{about}"
    assert message.elements == [element]


@pytest.mark.parametrize("table", ["futures/instruments", "system/status"])
def test_two_tables_are_about_everything(table: str) -> None:
    text = json.dumps({"table": table, "data": [[{"instrument_id": "A-B"}], {}]})

    message = push(text)

    assert message.channel == table
    assert message.elements == [[{"instrument_id": "A-B"}], {}]


@pytest.mark.parametrize(
    ("table", "element"),
    [
        ("spot/account", {"instrument_id": "BTC-USDT"}),
        ("spot/account", {"currency": ["BTC"]}),
        ("futures/account", {}),
        ("futures/account", {"BTC": {}, "ETH": {}}),
        ("futures/account", ["BTC"]),
        ("futures/account", {"currency": {"BTC": 1}}),
        ("option/summary", {"instrument_id": 5.5}),
        ("option/summary", {"instrument_id": "BTC-USD-SWAP"}),
        ("option/summary", {"underlying": ["BTC-USD"]}),
        ("option/summary", {}),
        ("option/instruments", []),
        ("option/instruments", [[]]),
        ("swap/funding_rate", {"instrument_id": "A B"}),
    ],
)
def test_a_documented_table_that_does_not_say_what_it_is_about_names_itself(
    table: str, element: Any
) -> None:
    error = refusal(decode, json.dumps({"table": table, "data": [element]}))

    assert (error.kind, error.channel) == ("shape", table)


def test_a_table_that_is_not_documented_is_read_if_it_is_by_instrument() -> None:
    text = '{"table":"spot/new","action":"%s","data":[{"instrument_id":"A-B"}]}'

    assert push(text % "renew") == Push(
        "spot/new:A-B", [{"instrument_id": "A-B"}], text % "renew", "renew"
    )
    assert PROTOCOL.raw_channel("new", "spot", "A-B").key == "spot/new:A-B"


@pytest.mark.parametrize("data", [None, [], {}, ""])
@pytest.mark.parametrize("table", ["spot/new", "", "new", "x" * 1000])
def test_any_other_table_without_data_is_counted_under_one_name(
    table: str, data: object
) -> None:
    assert decode(json.dumps({"table": table, "data": data})) == (Unknown("table"),)


@pytest.mark.parametrize(
    ("table", "data", "named"),
    [
        *(("spot/new", data, "spot/new") for data in ([1], [{}], [[]], "x", {"x": 1})),
        ("spot/new", [[{"instrument_id": "A-B"}]], "spot/new"),
        ("spot/new", [{"instrument_id": "A B"}], "spot/new"),
        ("spot/new", {"instrument_id": "A-B"}, "spot/new:A-B"),
        ("Spot/depth5", [{"instrument_id": "A-B"}], "Spot/depth5:A-B"),
        ("spot/depth5 ", [{"instrument_id": "A-B"}], "spot/depth5 :A-B"),
        ("", [{"instrument_id": "A-B"}], ":A-B"),
        ("", [{}], None),
        (None, [{"instrument_id": "A-B"}], ":A-B"),
        (["spot/depth5"], [{"instrument_id": "A-B"}], ":A-B"),
        ("x" * 1000, [{"instrument_id": "y" * 1000}], f"{'x' * 64}:{'y' * 64}"),
        ("margin/new", [{"instrument_id": "A-B"}], "margin/new:A-B"),
    ],
)
def test_data_of_an_unknown_form_is_unreadable_and_names_what_it_can(
    table: object, data: object, named: str | None
) -> None:
    error = refusal(decode, json.dumps({"table": table, "data": data}))

    assert (error.kind, error.channel) == ("shape", named)


@pytest.mark.parametrize("event", ["update", "data", 5, None, []])
def test_an_event_beside_a_push_is_one_field_more(event: object) -> None:
    element = {"instrument_id": "A-B"}
    text = json.dumps({"event": event, "table": "spot/depth5", "data": [element]})

    assert push(text).channel == "spot/depth5:A-B"

    error = refusal(decode, json.dumps({"event": event, "data": [element]}))
    assert (error.kind, error.channel) == ("shape", ":A-B")


@pytest.mark.parametrize("table", ["spot/depth5", "swap/ticker", "swap/funding_rate"])
def test_a_push_that_should_be_complete_is_refused_as_an_update(table: str) -> None:
    text = '{"table":"%s","action":"%s","data":[{"instrument_id":"A-B"}]}'

    error = refusal(decode, text % (table, "update"))

    assert (error.kind, error.channel) == ("shape", f"{table}:A-B")
    assert refusal(PROTOCOL.read, (text % (table, "update")).encode()).kind == "shape"
    assert push(text % (table, "partial")).action == "partial"


def test_a_frame_of_several_instruments_is_a_push_each_in_order() -> None:
    text = (
        '{"table":"spot/trade","data":[{"instrument_id":"A-B","n":1},'
        '{"instrument_id":"C-D","n":2},{"instrument_id":"A-B","n":3}]}'
    )
    first, second = decode(text)
    assert isinstance(first, Push)
    assert isinstance(second, Push)
    assert first == Push(
        "spot/trade:A-B",
        [{"instrument_id": "A-B", "n": "1"}, {"instrument_id": "A-B", "n": "3"}],
        text,
        None,
    )
    assert second.channel == "spot/trade:C-D"
    assert second.text == text


@pytest.mark.parametrize("bad", ["{}", '"x"', "null", '{"instrument_id":"A B"}'])
@pytest.mark.parametrize("table", ["spot/trade", "swap/no_such_table"])
def test_an_element_without_an_id_costs_itself_alone(table: str, bad: str) -> None:
    text = (
        f'{{"table":"{table}","data":[{{"instrument_id":"A-B","n":1}},'
        f'{{"instrument_id":"C-D"}},{bad},{{"instrument_id":"A-B","n":2}}]}}'
    )

    first, second, lost, third = PROTOCOL.decode(text.encode(), False)

    assert isinstance(lost, Unreadable)
    assert lost.error.kind == "shape"
    assert table in str(lost.error.channel)
    pushes = [each for each in (first, second, third) if isinstance(each, Push)]
    names = [each.channel.partition(":")[2] for each in pushes]
    assert names == ["A-B", "C-D", "A-B"]
    # No listener gets one text twice.
    assert [each.text for each in pushes] == [text, text, ""]


def test_what_stands_beside_the_data_is_the_envelope() -> None:
    text = '{"table":"spot/trade","id":7,"data":[{"instrument_id":"A-B"}],"last":true}'
    assert push(text).envelope == {"id": "7", "last": True}
    assert push(text.replace('"id":7,', "").replace(',"last":true', "")).envelope == {}


@pytest.mark.parametrize("action", ["partial", "update"])
def test_a_book_frame_says_what_it_does(action: str) -> None:
    text = '{"table":"swap/depth","action":"%s","data":[{"instrument_id":"A-B-SWAP"}]}'
    assert push(text % action).action == action


@pytest.mark.parametrize("action", ['"snapshot"', "[]", "{}", "1", '"\\n"'])
def test_an_unknown_action_is_a_wire_error_of_its_channel(action: str) -> None:
    text = '{"table":"swap/depth","action":%s,"data":[{"instrument_id":"A-B-SWAP"}]}'
    error = refusal(decode, text % action)
    assert (error.kind, error.channel) == ("shape", "swap/depth:A-B-SWAP")


def test_an_unknown_action_of_two_instruments_is_nobodys() -> None:
    text = (
        '{"table":"swap/depth","action":"x","data":'
        '[{"instrument_id":"A-B"},{"instrument_id":"C-D"}]}'
    )
    assert refusal(decode, text).channel is None


def test_the_option_trades_of_2021_are_option_trade() -> None:
    message = push(
        '{"table":"option/trades","data":[{"instrument_id":"BTC-USD-210924-120000-C",'
        '"trade_id":"22","price":"0.079","qty":"1","trade_side":"sell",'
        '"timestamp":"2021-03-23T08:12:28.348Z"}]}'
    )
    assert message.channel == "option/trade:BTC-USD-210924-120000-C"
    trade = PROTOCOL.trade(message.elements[0])
    assert (trade.id, trade.side, trade.size) == ("22", "sell", Decimal(1))
