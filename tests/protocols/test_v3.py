"""Protocol v3 reads what was recorded, and refuses the rest with one exception."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import zlib
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from okex_ws.errors import WireError
from okex_ws.messages import (
    DepthData,
    Message,
    Pong,
    Push,
    Refused,
    Subscribed,
    Unknown,
    Unsubscribed,
)
from okex_ws.protocols import values as wire_values
from okex_ws.protocols.v3 import MAX_INFLATED, PROTOCOL

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
recorded = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recorded traffic beside the project"
)
RECORDINGS = {
    "v3_OKEX.ws.56_20210417": 2486,
    "v3_OKEX.ws.57_20210417": 2426,
    "v3_OKCOIN.ws.1_20210722": 1092,
}
LEVELS = '["3780.3","0.5","2"]'
DEPTH5 = (
    '{"table":"spot/depth5","data":[{"asks":[["10.2","1","2"],["10.30","0.5","1"]],'
    '"bids":[["10.1","2","1"],["9","1","4"],["8.90","7","1"]],'
    '"instrument_id":"AB-USDT","timestamp":"2022-02-25T00:00:01.032Z"}]}'
)
TRADE = (
    '{"table":"spot/trade","data":[{"side":"buy","trade_id":"3175832",'
    '"price":"0.01529","size":"100.71","instrument_id":"RNT-USDT",'
    '"timestamp":"2021-04-17T16:50:02.084Z"}]}'
)
TICKER = (
    '{"table":"spot/ticker","data":[{"last":"0.01529","open_24h":"0.01444",'
    '"best_bid":"0.01527","high_24h":"0.01666","low_24h":"0.01419",'
    '"open_utc0":"0.01585","open_utc8":"0.01493","base_volume_24h":"21074770.45",'
    '"quote_volume_24h":"332385.19","best_ask":"0.01563",'
    '"instrument_id":"RNT-USDT","timestamp":"2021-04-17T16:49:46.174Z",'
    '"best_bid_size":"4454.17","best_ask_size":"5850.57","last_qty":"115.3"}]}'
)
TIME_MS = 1645747201032


def deflate(data: str | bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = data.encode() if isinstance(data, str) else data
    return stream.compress(raw) + stream.flush()


def decode(text: str) -> tuple[Message, ...]:
    """Read *text* deflated, as the exchange sends it, and plain, to the same end."""
    messages = PROTOCOL.decode(deflate(text), True)
    assert PROTOCOL.decode(text.encode(), False) == messages
    return messages


def push(text: str) -> Push:
    (message,) = decode(text)
    assert isinstance(message, Push)
    assert message.text == text
    return message


def refusal(call: Any, *arguments: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        call(*arguments)
    assert len(caught.value.detail) <= 300
    assert caught.value.detail.isprintable()
    return caught.value


def depth_element(**changes: Any) -> Any:
    element = json.loads(DEPTH5)["data"][0]
    return {**element, **changes}


# --- What is asked ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "topic"),
    [
        ("depth5", "depth5"),
        ("books5", "depth5"),
        ("trade", "trade"),
        ("trades", "trade"),
        ("ticker", "ticker"),
        ("tickers", "ticker"),
    ],
)
def test_the_names_of_v3_and_v5_are_one_channel(name: str, topic: str) -> None:
    assert PROTOCOL.topic(name) == topic


@pytest.mark.parametrize(
    "name",
    [
        *("depth", "books", "depth_l2_tbt", "books-l2-tbt", "books50-l2-tbt"),
        *("bbo-tbt", "candle60s", "candle1m", "candle1Dutc", "funding_rate"),
        *("funding-rate", "mark_price", "mark-price", "price_range", "price-limit"),
        *("estimated_price", "trades-all", "instruments", "status", "summary"),
        *("index-tickers", "mark-price-candle1m"),
    ],
)
def test_a_channel_of_a_later_release_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=r"comes with a later release; .*'depth5'"):
        PROTOCOL.topic(name)


def test_an_unknown_channel_names_the_nearest_and_the_known() -> None:
    with pytest.raises(ValueError, match=r"did you mean 'depth5'\?; known are 'dep"):
        PROTOCOL.topic("dept5")
    with pytest.raises(ValueError, match=r"unknown channel 'zzz'; known are 'depth5'"):
        PROTOCOL.topic("zzz")


def test_a_channel_that_is_no_name_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="a channel is a name, got 5"):
        PROTOCOL.topic(5)  # type: ignore[arg-type]


def test_a_channel_is_named_as_the_wire_names_it() -> None:
    channel = PROTOCOL.channel("depth5", "futures", "BTC-USD-190517")
    assert channel == "futures/depth5:BTC-USD-190517"


def test_trades_are_live_when_acknowledged_and_replay_their_last() -> None:
    assert PROTOCOL.replays_last("trade")
    assert not PROTOCOL.needs_snapshot("trade")
    for topic in ("depth5", "ticker"):
        assert PROTOCOL.needs_snapshot(topic)
        assert not PROTOCOL.replays_last(topic)


def test_a_request_is_compact_json_with_every_channel() -> None:
    channels = ["spot/ticker:BTC-USDT", "futures/depth5:BTC-USD-190517"]
    text = (
        '{"op":"subscribe","args":'
        '["spot/ticker:BTC-USDT","futures/depth5:BTC-USD-190517"]}'
    )
    assert PROTOCOL.requests("subscribe", channels) == [(text, tuple(channels))]


def test_an_unsubscribe_is_asked_in_the_same_form() -> None:
    assert PROTOCOL.requests("unsubscribe", ("spot/trade:A-B",)) == [
        ('{"op":"unsubscribe","args":["spot/trade:A-B"]}', ("spot/trade:A-B",))
    ]


def test_nothing_asked_is_no_request() -> None:
    assert PROTOCOL.requests("subscribe", []) == []


@given(st.lists(st.text(max_size=600), max_size=40))
def test_requests_carry_every_channel_in_order_within_the_limit(
    channels: list[str],
) -> None:
    requests = PROTOCOL.requests("subscribe", channels)
    assert [c for _, carried in requests for c in carried] == channels
    for text, carried in requests:
        assert len(text.encode()) <= PROTOCOL.max_request
        assert json.loads(text) == {"op": "subscribe", "args": list(carried)}


def test_requests_are_as_full_as_they_can_be() -> None:
    room = PROTOCOL.max_request - len('{"op":"subscribe","args":[""]}')
    assert len(PROTOCOL.requests("subscribe", ["a" * room])) == 1
    half = room // 2 - len('","')
    pair = ["a" * half, "b" * (room - half - len('","'))]
    assert len(PROTOCOL.requests("subscribe", pair)) == 1
    assert len(PROTOCOL.requests("subscribe", [pair[0] + "a", pair[1]])) == 2


def test_a_channel_that_no_request_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="channel name of 5000 characters"):
        PROTOCOL.requests("subscribe", ["a" * 5000])


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(ValueError, match="'subscribe' or 'unsubscribe', got 'login'"):
        PROTOCOL.requests("login", [])


# --- Whose error it is --------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ("Channel spot/depth5:A-B doesn't exist", "spot/depth5:A-B"),
        ("Channel spot/depth5:A-BC doesn't exist", "spot/depth5:A-BC"),
        ("Channel spot/depth5:A-B-SWAP doesn't exist", None),
        ("Channel spot/depth5:A-B.5 doesn't exist", None),
        ("no spot/depth5:A-B.", "spot/depth5:A-B"),
        ("spot/depth5:A-B: no such channel", "spot/depth5:A-B"),
        ('"spot/depth5:A-B"', "spot/depth5:A-B"),
        ("xspot/depth5:A-B", None),
        ("Channel spot/tickerinvalid:NEO-USDT doesn't exist", None),
        ("Channel spot/ticker:NEO-USDT doesn't exist", None),
        ("Channel spot/ticker doesn't exist", "spot/ticker"),
        ('Unrecognized request: {"args":["spot/depth5:A-B","spot/depth5:A-BC"]}', None),
        ("", None),
    ],
)
def test_an_error_names_a_channel_as_a_whole_word(
    message: str, named: str | None
) -> None:
    channels = ["spot/ticker", "spot/depth5:A-B", "spot/depth5:A-BC"]
    assert PROTOCOL.mentioned(message, channels) == named
    assert PROTOCOL.mentioned(message, iter(reversed(channels))) == named


def test_two_codes_pass_and_all_else_stays() -> None:
    assert PROTOCOL.is_passing(30026)
    assert PROTOCOL.is_passing(30043)
    assert PROTOCOL.is_passing("30026")
    assert not PROTOCOL.is_passing(30040)
    assert not PROTOCOL.is_passing("")


# --- Frames -------------------------------------------------------------------------


def test_the_recorded_bytes_of_an_acknowledgement() -> None:
    payload = bytes.fromhex(
        "ab564a2d4bcd2b51b2522a2e4d2a4e2eca4c4a55d2514ace48cccb4bcd018916e497e897"
        "1425a6a45af9f8fbe9ba867828d50200"
    )
    assert PROTOCOL.decode(payload, True) == (Subscribed("spot/trade:LON-ETH"),)


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
    assert decode(text) == (Unknown("login"),)


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
    fits = '"' + "a" * (MAX_INFLATED - 2) + '"'
    assert refusal(PROTOCOL.decode, deflate(fits), True).kind == "shape"
    assert refusal(PROTOCOL.decode, deflate(fits + " "), True).kind == "inflate"


def test_a_bomb_is_refused_before_it_is_whole() -> None:
    bomb = deflate(b"\0" * (8 * MAX_INFLATED))
    error = refusal(PROTOCOL.decode, bomb, True)
    assert error.detail == f"more than {MAX_INFLATED} bytes"


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
        (
            b'{"table":"spot/trade","data":[{"instrument_id":"A-B"},{}]}',
            "shape",
        ),
    ],
)
def test_hostile_bytes_have_a_name(payload: bytes, kind: str) -> None:
    error = refusal(PROTOCOL.decode, payload, False)
    assert error.kind == kind
    assert error.channel is None
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
            Subscribed("spot/ticker:BTC-USDT"),
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
        ('{"event":"login","success":true}', Unknown("login")),
        ('{"event":"fireworks"}', Unknown("event")),
    ],
)
def test_each_event_is_read(text: str, message: Message) -> None:
    assert decode(text) == (message,)


# --- Tables -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("spot/candle60s", "table spot/candle60s"),
        ("swap/funding_rate", "table swap/funding_rate"),
        ("futures/instruments", "table futures/instruments"),
        ("system/status", "table system/status"),
        ("spot/order", "table spot/order"),
        ("spot/new", "table"),
        ("", "table"),
        ("x" * 1000, "table"),
    ],
)
def test_a_table_that_is_not_read_is_counted_under_a_documented_name(
    table: str, name: str
) -> None:
    text = json.dumps({"table": table, "data": [[{"instrument_id": "A-B"}]]})
    assert decode(text) == (Unknown(name),)


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


# --- depth5 -------------------------------------------------------------------------


def depth(text: str) -> DepthData:
    (element,) = push(text).elements
    return PROTOCOL.depth(element)


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


# --- Recordings ---------------------------------------------------------------------


def frames(name: str) -> list[tuple[bytes, str]]:
    folder = CAPTURES / "cryptofeed"
    payloads = (folder / f"{name}.deflate.b64").read_text().split()
    texts = (folder / f"{name}.recv.jsonl").read_text().splitlines()
    return [
        (base64.b64decode(payload), text)
        for payload, text in zip(payloads, texts, strict=True)
    ]


def typed(message: Push) -> list[Any]:
    """The typed items of a push; a book's elements stay what they are."""
    topic = message.channel.split(":")[0].split("/")[1]
    read = getattr(PROTOCOL, topic.removesuffix("5"), lambda element: element)
    if message.action is not None:
        return message.elements
    return [read(element) for element in message.elements]


@recorded
@pytest.mark.parametrize(("name", "count"), RECORDINGS.items())
def test_every_recorded_frame_is_the_text_of_its_line(name: str, count: int) -> None:
    seen: Counter[str] = Counter()
    for payload, text in frames(name):
        (message,) = PROTOCOL.decode(payload, True)
        said = json.loads(text)
        seen[type(message).__name__] += 1
        if isinstance(message, Push):
            assert message.text == text
            assert message.channel == (
                f"{said['table']}:{said['data'][0]['instrument_id']}"
            )
            assert message.action == said.get("action")
            assert len(typed(message)) == len(said["data"]) == 1
        else:
            assert message == Subscribed(said["channel"])
    assert seen.total() == count
    assert set(seen) == {"Push", "Subscribed"}


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_changed_digit_of_a_recorded_item_shows(name: str) -> None:
    rng = random.Random(name)
    changed = 0
    for payload, text in frames(name):
        (message,) = PROTOCOL.decode(payload, True)
        if not isinstance(message, Push) or message.action is not None:
            continue
        field = "last" if "last" in message.elements[0] else "price"
        value = message.elements[0][field]
        digit = rng.choice([d for d in "123456789" if d != value[-1]])
        mutated = text.replace(
            f'"{field}":"{value}"', f'"{field}":"{value[:-1]}{digit}"'
        )
        assert mutated != text
        assert typed(push(mutated)) != typed(message)
        changed += 1
    assert changed > 20


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_flipped_bit_of_a_recorded_frame_shows(name: str) -> None:
    rng = random.Random(name)
    for payload, text in rng.sample(frames(name), 300):
        mutated = bytearray(payload)
        # The last byte may hold the padding behind the end of the stream.
        mutated[rng.randrange(len(payload) - 1)] ^= 1 << rng.randrange(8)
        try:
            messages = PROTOCOL.decode(bytes(mutated), True)
        except WireError:
            continue
        assert messages != PROTOCOL.decode(text.encode(), False)


@recorded
def test_the_depth5_frames_of_2018_keep_their_characters() -> None:
    lines = (CAPTURES / "babel-trader" / "v3_data.jsonl").read_text().splitlines()
    markets = []
    for text in lines[:3]:
        data = depth(text)
        markets.append(push(text).channel.split("/")[0])
        for levels in (data.bids, data.asks):
            assert len(levels) == 5
            for price, size, *_ in levels:
                assert f'["{price}","{size}",' in text or f"[{price},{size}," in text
        rounded = text.replace("3690.06", "3690.07").replace("3779.2966", "3779.2967")
        if rounded != text:
            assert depth(rounded).asks[0] != data.asks[0]
    assert markets == ["spot", "futures", "swap"]
    for text in lines[3:]:
        assert isinstance(decode(text)[0], Unknown)


@recorded
def test_the_single_frames_of_2021_and_2022_are_read() -> None:
    name = "crypto-msg-parser/v3_okex_frames.jsonl"
    names = Counter(
        message.name if isinstance(message, Unknown) else str(bool(typed(message)))
        for text in (CAPTURES / name).read_text().splitlines()
        for message in decode(text)
        if isinstance(message, Unknown | Push)
    )
    assert names == {
        "table swap/funding_rate": 2,
        "table spot/candle60s": 1,
        "True": 15,
    }


# --- Whatever comes -----------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "0", "1.5", "2", "1e5", "1e999", "buy", "A-B"])
    | st.just("2022-02-25T00:00:01.032Z")
)
keys = st.sampled_from(
    [
        *("table", "data", "event", "channel", "action", "errorCode", "message"),
        *("instrument_id", "bids", "asks", "timestamp", "price", "size", "qty"),
        *("side", "trade_side", "trade_id", "last", "best_bid"),
    ]
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(keys | st.text(max_size=4), inner, max_size=8)
    ),
    max_leaves=25,
)
tables = st.sampled_from(["spot/depth5", "swap/trade", "option/ticker", "swap/depth"])
elements = st.fixed_dictionaries(
    {},
    optional={
        "instrument_id": scalars,
        "timestamp": scalars,
        "bids": values,
        "asks": st.lists(st.lists(scalars, max_size=5), max_size=4),
        "price": scalars,
        "size": scalars,
        "side": scalars,
        "trade_id": scalars,
        "last": scalars,
        "best_bid": scalars,
    },
)
pushes = st.fixed_dictionaries(
    {"table": tables, "data": st.lists(elements, max_size=3)},
    optional={"action": scalars},
)


def survives(payload: bytes, binary: bool) -> None:
    """`WireError` and nothing else, from the frame to its typed items."""
    try:
        messages = PROTOCOL.decode(payload, binary)
    except WireError:
        return
    assert messages
    for message in messages:
        if isinstance(message, Push):
            for element in message.elements:
                survives_reading(element)


def survives_reading(element: object) -> None:
    for read in (PROTOCOL.depth, PROTOCOL.trade, PROTOCOL.ticker):
        with contextlib.suppress(WireError):
            read(element)


@given(st.binary(max_size=200), st.booleans())
@example(b"", True)
def test_random_bytes_raise_only_wire_errors(payload: bytes, binary: bool) -> None:
    survives(payload, binary)
    survives(deflate(payload), True)


@given(values | pushes)
def test_random_json_raises_only_wire_errors(value: Any) -> None:
    survives(deflate(json.dumps(value)), True)


@given(
    st.sampled_from([DEPTH5, TRADE, TICKER, '{"event":"error","errorCode":30040}']),
    st.data(),
)
def test_mutations_of_good_frames_raise_only_wire_errors(
    text: str, data: st.DataObject
) -> None:
    raw = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    survives(bytes(raw), False)
    survives(deflate(bytes(raw)), True)
    packed = bytearray(deflate(text))
    packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    survives(bytes(packed), True)


@given(values | elements)
def test_the_readers_raise_only_wire_errors(value: Any) -> None:
    survives_reading(value)
