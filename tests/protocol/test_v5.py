"""Protocol v5: what is asked, and what each answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from okex_ws.model.credentials import Credentials
from okex_ws.model.exchange_codes import Advice
from okex_ws.protocol.catalogue import argument_of
from okex_ws.protocol.messages import (
    Pong,
    Push,
    SocketPath,
)
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.v5_frames import BOOKS, BOOKS5, decode, push, refusal

# How many a side; everything else has none.
LEVELS = {
    "bbo-tbt": 1,
    "depth5": 5,
    "books50-l2-tbt": 50,
    **dict.fromkeys(("depth", "depth_l2_tbt", "books-rpi"), 400),
}

# --- What things are called ---------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "market", "instrument_id", "key", "kind"),
    [
        ("depth5", "spot", "BTC-USDT", "books5:BTC-USDT", "depth"),
        ("depth", "spot", "BTC-USDT", "books:BTC-USDT", "book"),
        ("depth_l2_tbt", "spot", "BTC-USDT", "books-l2-tbt:BTC-USDT", "book"),
        ("books50-l2-tbt", "spot", "BTC-USDT", "books50-l2-tbt:BTC-USDT", "book"),
        ("books-rpi", "spot", "BTC-USDT", "books-rpi:BTC-USDT", "book"),
        ("bbo-tbt", "swap", "BTC-USD-SWAP", "bbo-tbt:BTC-USD-SWAP", "depth"),
        ("trade", "spot", "BTC-USDT", "trades:BTC-USDT", "trade"),
        ("trades-all", "spot", "BTC-USDT", "trades-all:BTC-USDT", "trade"),
        ("ticker", "spot", "BTC-USDT", "tickers:BTC-USDT", "ticker"),
        ("ticker", "index", "BTC-USD", "index-tickers:BTC-USD", "ticker"),
        ("candle3600s", "spot", "BTC-USDT", "candle1H:BTC-USDT", "candle"),
        ("candle3600s", "index", "BTC-USD", "index-candle1H:BTC-USD", "candle"),
        ("candle1Dutc", "index", "BTC-USD", "index-candle1Dutc:BTC-USD", "candle"),
        (
            *("mark-price-candle1m", "swap", "BTC-USD-SWAP"),
            *("mark-price-candle1m:BTC-USD-SWAP", "candle"),
        ),
        (
            "funding_rate",
            "swap",
            "BTC-USD-SWAP",
            "funding-rate:BTC-USD-SWAP",
            "funding",
        ),
        ("mark_price", "spot", "BTC-USDT", "mark-price:BTC-USDT", "data"),
        ("price_range", "spot", "BTC-USDT", "price-limit:BTC-USDT", "data"),
        ("open-interest", "swap", "BTC-USD-SWAP", "open-interest:BTC-USD-SWAP", "data"),
        *(
            (
                *("estimated_price", market, name),
                *(f"estimated-price:instId={name},instType={kind}", "data"),
            )
            for market, name, kind in (
                ("futures", "BTC-USD-270326", "FUTURES"),
                ("swap", "BTC-USD-SWAP", "SWAP"),
                ("option", "BTC-USD-270326-90000-C", "OPTION"),
            )
        ),
        (
            *("option-trades", "option", "BTC-USD-270326-90000-C"),
            *("option-trades:instId=BTC-USD-270326-90000-C,instType=OPTION", "data"),
        ),
    ],
)
def test_a_channel_is_the_key_of_its_object(
    topic: str, market: str, instrument_id: str, key: str, kind: str
) -> None:
    name = PROTOCOL.channel(topic, market, instrument_id)

    assert name == (key, topic, instrument_id, kind, LEVELS.get(topic, 0), "")


@pytest.mark.parametrize(
    ("name", "key", "topic"),
    [
        ("books-new", "books-new:BTC-USDT", None),
        ("call-auction-details", "call-auction-details:BTC-USDT", None),
        ("mark-price", "mark-price:BTC-USDT", "mark_price"),
        ("mark_price", "mark-price:BTC-USDT", "mark_price"),
    ],
)
def test_a_raw_channel_is_called_as_the_venue_calls_it(
    name: str, key: str, topic: str | None
) -> None:
    assert PROTOCOL.raw_channel(name, "spot", "BTC-USDT") == (
        *(key, topic or name, "BTC-USDT", "data", 0, ""),
    )


def test_a_raw_channel_of_an_index_has_the_name_that_was_given() -> None:
    assert PROTOCOL.raw_channel("new", "index", "BTC-USD").key == "new:BTC-USD"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "type of its own: name it in channels=") for name in ("books5",)),
        *((name, "has a type of its own") for name in ("depth5", "candle1m", "trades")),
        *(
            (name, f"^channel '{name}' has a type of its own: name it in channels=$")
            for name in (
                *("depth", "books", "depth_l2_tbt", "books-l2-tbt"),
                *("books50-l2-tbt", "books-rpi"),
            )
        ),
        *(
            (name, "has a type of its own")
            for name in ("index-tickers", "funding-rate")
        ),
        ("open-interest", "market 'spot' has no channel 'open-interest' under v5"),
        ("a:b", "'a:b' is no name of a channel"),
    ],
)
def test_a_raw_channel_that_cannot_be_says_why(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        PROTOCOL.raw_channel(name, "spot", "BTC-USDT")


@pytest.mark.parametrize(
    ("argument", "key", "topic", "instrument_id"),
    [
        ("status", "status", None, ""),
        ({"channel": "status"}, "status", None, ""),
        (
            *({"channel": "orders", "instType": "ANY"}, "orders:instType=ANY"),
            *(None, ""),
        ),
        (
            {"channel": "orders", "instType": "SWAP", "instId": "A-B-SWAP"},
            *("orders:instId=A-B-SWAP,instType=SWAP", None, "A-B-SWAP"),
        ),
        ({"channel": "books-new", "instId": "A-B"}, "books-new:A-B", None, "A-B"),
        (
            *({"channel": "mark-price", "instId": "A-B"}, "mark-price:A-B"),
            *("mark_price", "A-B"),
        ),
        (
            {"channel": "option-trades", "instType": "OPTION", "instFamily": "A-B"},
            *("option-trades:instFamily=A-B,instType=OPTION", None, ""),
        ),
        (
            {"channel": "option-trades", "instType": "OPTION", "instId": "A-B-C"},
            *("option-trades:instId=A-B-C,instType=OPTION", "option-trades", "A-B-C"),
        ),
        (
            {"channel": "mark-price", "instId": "A-B", "instType": "SWAP"},
            *("mark-price:instId=A-B,instType=SWAP", None, "A-B"),
        ),
    ],
)
def test_an_argument_of_a_request_is_a_channel(
    argument: Any, key: str, topic: str | None, instrument_id: str
) -> None:
    assert PROTOCOL.raw(argument) == (key, topic or key, instrument_id, "data", 0, "")


@pytest.mark.parametrize(
    "argument",
    [
        *("books5", "index-tickers", {"channel": "tickers", "instId": "BTC-USDT"}),
        {"channel": "index-candle1m", "instId": "BTC-USD"},
        {"channel": "candle1m", "instId": "BTC-USDT", "more": "x"},
        {"channel": "mark-price-candle1m", "instId": "BTC-USDT"},
        *(
            {"channel": name, "instId": "BTC-USDT"}
            for name in ("books", "books-l2-tbt", "books50-l2-tbt", "books-rpi")
        ),
    ],
)
def test_an_argument_that_has_a_type_belongs_to_another_subscription(
    argument: Any,
) -> None:
    with pytest.raises(ValueError, match=r"type of its own: WSSubscription\(.*chann"):
        PROTOCOL.raw(argument)


def test_an_argument_that_no_request_can_carry_is_a_value_error() -> None:
    long = {f"p{number}": "x" * 256 for number in range(130)}

    with pytest.raises(ValueError, match="no request can carry a channel of"):
        PROTOCOL.raw({"channel": "new", **long})


@pytest.mark.parametrize("name", ["uid", "extraParams"])
def test_what_the_exchange_adds_or_leaves_out_is_no_argument(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name!r} is not in both request and answer"):
        PROTOCOL.raw({"channel": "positions", "instType": "ANY", name: "1"})


@pytest.mark.parametrize(
    "argument",
    [
        *(None, 5, ["status"], {}, {"channel": None}, {"instId": "A-B"}),
        *({"channel": "x", "instId": 5}, {"channel": "x", 5: "y"}),
    ],
)
def test_an_argument_of_v5_is_made_of_text(argument: object) -> None:
    with pytest.raises(TypeError):
        PROTOCOL.raw(argument)


@pytest.mark.parametrize(
    "argument",
    [
        *("", "orders:instType=ANY", "a b", {"channel": "a b"}),
        *({"channel": "x", "a b": "y"}, {"channel": "x", "instId": "A" * 257}),
    ],
)
def test_what_is_no_argument_of_v5_is_a_value_error(argument: object) -> None:
    with pytest.raises(ValueError, match=r"is no name of a channel|cannot have"):
        PROTOCOL.raw(argument)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        (
            SocketPath("public"),
            [
                *("books5", "bbo-tbt", "books", "books-rpi", "trades", "tickers"),
                *("funding-rate", "mark-price", "price-limit", "index-tickers"),
                *("open-interest", "estimated-price", "opt-summary", "option-trades"),
                *("liquidation-orders", "adl-warning", "instruments", "status", "new"),
            ],
        ),
        (
            SocketPath("business"),
            [
                *("candle1m", "candle1Dutc", "mark-price-candle1m", "index-candle1m"),
                *("trades-all", "sprd-tickers", "sprd-candle1D", "public-block-trades"),
                *("public-struc-block-trades", "block-tickers"),
            ],
        ),
        (
            SocketPath("private", login=True),
            [
                *("account", "positions", "balance_and_position", "orders", "fills"),
                *("account-greeks", "liquidation-warning"),
            ],
        ),
        (
            SocketPath("business", login=True),
            [
                *("orders-algo", "algo-advance", "grid-orders-spot", "grid-positions"),
                *("deposit-info", "withdrawal-info", "sprd-orders", "sprd-trades"),
                *("rfqs", "quotes", "algo-recurring-buy", "economic-calendar"),
            ],
        ),
        (SocketPath("public", login=True), ["books-l2-tbt", "books50-l2-tbt"]),
    ],
)
def test_a_channel_has_its_path(path: SocketPath, names: list[str]) -> None:
    for name in names:
        for key in (name, f"{name}:BTC-USDT", f"{name}:instType=ANY"):
            assert PROTOCOL.path(key) == path
        base = "wss://ws.okx.com:443/ws/v5"
        assert PROTOCOL.url(base, path) == f"{base}/{path.name}"


def test_books_of_50_levels_and_more_are_deep() -> None:
    for name in ("books", "books-l2-tbt", "books50-l2-tbt", "books-rpi"):
        assert PROTOCOL.is_deep(f"{name}:BTC-USDT")
    for key in ("books5:BTC-USDT", "bbo-tbt:BTC-USDT", "books5", "orders:instType=ANY"):
        assert not PROTOCOL.is_deep(key)


@pytest.mark.parametrize(
    ("name", "tier"),
    [
        *(("books-l2-tbt", "VIP4"), ("books50-l2-tbt", "VIP4")),
        *((name, "") for name in ("books", "books-rpi", "books5", "bbo-tbt", "trades")),
    ],
)
def test_the_fast_books_ask_for_a_fee_tier_and_a_login(name: str, tier: str) -> None:
    for key in (name, f"{name}:BTC-USDT", f"{name}:instType=ANY"):
        assert PROTOCOL.tier(key) == tier
        assert PROTOCOL.path(key) == SocketPath("public", login=bool(tier))


@pytest.mark.parametrize(
    ("channel", "chosen", "login"),
    [
        ("books5:BTC-USDT", "", False),
        ("books5:BTC-USDT", "public", False),
        ("books5:BTC-USDT", "business", False),
        ("books-new:BTC-USDT", "private", True),
        ("orders:BTC-USDT", "business", True),
        ("orders:BTC-USDT", "public", False),
    ],
)
def test_a_login_goes_only_where_it_is_known_to_be_needed(
    channel: str, chosen: str, login: bool
) -> None:
    path = PROTOCOL.path(channel, chosen)

    assert path == SocketPath(chosen or "public", login)


@pytest.mark.parametrize(
    ("path", "error"),
    [(5, TypeError), ("", ValueError), ("a/b", ValueError), ("Business", ValueError)],
)
def test_a_path_is_one_segment_of_a_url(path: object, error: type[Exception]) -> None:
    argument = {"channel": "books-new", "instId": "BTC-USDT"}

    assert PROTOCOL.raw(argument, "business-2").path == "business-2"
    assert PROTOCOL.raw({**argument, "path": "business"}).path == "business"
    with pytest.raises(error, match="path is"):
        PROTOCOL.raw(argument, path)


def test_fills_ask_for_a_fee_tier_on_the_private_path() -> None:
    assert PROTOCOL.tier("fills:BTC-USDT") == "VIP4"
    assert PROTOCOL.path("fills:BTC-USDT") == SocketPath("private", login=True)


# --- What is asked ------------------------------------------------------------------


def test_a_request_has_an_id_and_objects() -> None:
    channels = ["books5:BTC-USDT", "orders:instType=ANY", "status"]

    assert PROTOCOL.request("subscribe", channels, 17) == (
        '{"id":"17","op":"subscribe","args":[{"channel":"books5","instId":"BTC-USDT"},'
        '{"channel":"orders","instType":"ANY"},{"channel":"status"}]}',
        tuple(channels),
    )
    assert PROTOCOL.request("unsubscribe", ["status"], 1).text == (
        '{"id":"1","op":"unsubscribe","args":[{"channel":"status"}]}'
    )


def test_a_request_stays_within_half_of_the_documented_limit() -> None:
    channels = [f"books5:{number:04}-USDT" for number in range(1000)]

    text, carried = PROTOCOL.request("subscribe", channels, 123456)

    assert carried == tuple(channels[: len(carried)])
    assert json.loads(text)["args"] == [argument_of(key) for key in carried]
    one_more = len(',{"channel":"books5","instId":"0000-USDT"}')
    assert 32_768 - one_more < len(text) <= 32_768 == PROTOCOL.max_request


def test_a_channel_that_no_request_can_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="carry a channel of 40007 characters"):
        PROTOCOL.request("subscribe", ["books5:" + "A" * 40_000], 1)


def test_a_login_signs_whole_seconds() -> None:
    key = Credentials("key", "22582BD0CFF14C41EDBF1AB98506286D", "pass phrase")

    asked = json.loads(PROTOCOL.login(key, 1538054050.987))

    assert asked == {
        "op": "login",
        "args": [
            {
                "apiKey": "key",
                "passphrase": "pass phrase",
                "timestamp": "1538054050",
                "sign": "+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M=",
            }
        ],
    }


def test_another_second_is_another_signature() -> None:
    key = Credentials("key", "22582BD0CFF14C41EDBF1AB98506286D", "pass phrase")

    signs = {
        json.loads(PROTOCOL.login(key, now))["args"][0]["sign"]
        for now in (1538054050, 1538054051)
    }

    assert len(signs) == 2


# --- What a code means ----------------------------------------------------------------


def test_a_code_is_looked_up_in_the_table_of_v5() -> None:
    assert PROTOCOL.code("60031").advice is Advice.LOGGED_IN
    assert PROTOCOL.code(60031) == PROTOCOL.code("60031")
    assert PROTOCOL.code(4001).advice is Advice.LOGIN_ENDED


# --- Frames -------------------------------------------------------------------------


def test_a_pong_is_text() -> None:
    assert decode("pong") == (Pong(),)


@pytest.mark.parametrize("payload", [b"", b"pong", BOOKS5.encode()])
def test_a_binary_frame_is_none_of_v5(payload: bytes) -> None:
    error = refusal(PROTOCOL.decode, payload, True)

    assert (error.kind, error.channel) == ("frame", None)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"\xff", "utf-8"),
        *((text, "json") for text in (b"", b"ping", b"pong ", b"{", b'{"a":NaN}')),
        *((text, "json") for text in (b"[" * 100_000, b'{"arg":' * 100_000)),
        (b'{"event":"error","msg":"\\ud800"}', "json"),
        *((text, "shape") for text in (b"[]", b'"pong"', b"12", b"null", b"{}")),
        *((b'{"event":%s}' % event, "shape") for event in (b"null", b"[]", b"{}")),
        (b'{"event":"subscribe"}', "shape"),
        (b'{"event":"subscribe","arg":"books5:BTC-USDT"}', "shape"),
        (b'{"event":"unsubscribe","arg":{"instId":"A-B"}}', "shape"),
        (b'{"event":"subscribe","arg":{"channel":"status"},"id":[]}', "shape"),
        (b'{"event":"error","msg":"x"}', "shape"),
        (b'{"event":"error","msg":"x","code":true}', "shape"),
        (b'{"event":"error","msg":"x","code":"6e4"}', "shape"),
        (b'{"event":"error","msg":[],"code":"60012"}', "shape"),
        (b'{"event":"login","msg":""}', "shape"),
        (b'{"event":"notice","msg":"x"}', "shape"),
        (b'{"event":"channel-conn-count","channel":"orders"}', "shape"),
        (b'{"event":"channel-conn-count-error","connCount":"2"}', "shape"),
        (b'{"data":[]}', "shape"),
        *(
            (b'{"arg":%s,"data":[{}]}' % arg, "shape")
            for arg in (
                *(b"null", b"[]", b"5", b'"ab"', b'["channel","instId"]', b"{}"),
                *(b'{"instId":"A-B"}', b'{"channel":null,"instId":"A-B"}'),
                *(b'{"channel":"books5","instId":null}',),
                *(b'{"channel":"books5","instId":["A-B"]}',),
                *(b'{"channel":["books5"],"instId":"A-B"}',),
                *(b'{"channel":"books5:BTC-USDT"}', b'{"channel":"","instId":"A-B"}'),
                *(b'{"channel":"a","b":{}}', b'{"channel":"a","a b":"c"}'),
                *(b'{"channel":"a","instId":"%s"}' % (b"A" * 257),),
            )
        ),
    ],
)
def test_hostile_bytes_have_a_name(payload: bytes, kind: str) -> None:
    error = refusal(PROTOCOL.decode, payload, False)
    others = ["tickers:X-Y", "trades:Z-W"]

    assert error.kind == kind
    # It is not known to belong to one of the channels.
    assert error.channel is None or PROTOCOL.related(error.channel, others) == (
        others,
        False,
    )


# --- Pushes -------------------------------------------------------------------------


def test_a_push_is_of_the_channel_in_its_argument() -> None:
    assert push(BOOKS) == Push(
        "books:AB-USDT",
        [
            {
                "asks": [["8476.98", "0", "0", "0"]],
                "bids": [],
                "ts": "1597026383085",
                "checksum": "0",
                "prevSeqId": "123456",
                "seqId": "123457",
            }
        ],
        BOOKS,
        "update",
    )
    assert push(BOOKS.replace("update", "snapshot")).action == "snapshot"
    assert push(BOOKS5).action is None


@pytest.mark.parametrize(
    ("argument", "key"),
    [
        ({"channel": "status"}, "status"),
        ({"channel": "orders", "instType": "ANY", "uid": "77"}, "orders:instType=ANY"),
        ({"channel": "account", "uid": "77"}, "account"),
        ({"channel": "x", "uid": "77", "instId": "A-B"}, "x:A-B"),
        ({"instId": "A-B", "channel": "x"}, "x:A-B"),
        (
            {"channel": "y", "instType": "SWAP", "instFamily": "A-B"},
            "y:instFamily=A-B,instType=SWAP",
        ),
    ],
)
def test_a_users_id_is_no_part_of_a_key(argument: dict[str, str], key: str) -> None:
    assert push(json.dumps({"arg": argument, "data": [{}]})).channel == key


@pytest.mark.parametrize("data", [None, {}, "x", []])
def test_data_that_is_no_list_is_a_wire_error_of_its_channel(data: object) -> None:
    text = json.dumps({"arg": {"channel": "books5", "instId": "A-B"}, "data": data})

    error = refusal(decode, text)

    assert (error.kind, error.channel) == ("shape", "books5:A-B")


@pytest.mark.parametrize("other", ["A-C", "", "a-b", None, 5, [], {}, True])
def test_data_of_another_instrument_is_a_wire_error_of_its_channel(
    other: object,
) -> None:
    argument = {"channel": "books", "instId": "A-B"}
    text = json.dumps({"arg": argument, "data": [{"instId": other}]})

    error = refusal(decode, text)

    assert (error.kind, error.channel) == ("shape", "books:A-B")


@pytest.mark.parametrize(
    ("argument", "element"),
    [
        ({"channel": "books5", "instId": "A-B"}, {"instId": "A-B"}),
        ({"channel": "books5", "instId": "A-B"}, {}),
        ({"channel": "candle1m", "instId": "A-B"}, ["1", "2"]),
        ({"channel": "orders", "instType": "ANY"}, {"instId": "A-B"}),
        ({"channel": "status"}, {"instId": "A-B"}),
    ],
)
def test_data_of_the_own_instrument_or_of_none_is_read(
    argument: dict[str, str], element: object
) -> None:
    assert len(push(json.dumps({"arg": argument, "data": [element]})).elements) == 1


def test_a_private_channel_may_have_nothing_to_say() -> None:
    argument = {"channel": "positions", "instType": "ANY", "uid": "77"}

    message = push(json.dumps({"arg": argument, "data": []}))

    assert (message.channel, message.elements) == ("positions:instType=ANY", [])


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ({"channel": "books5", "instId": "A-B", "n": []}, "books5:A-B"),
        ({"channel": "books5", "instId": ["A-B"]}, "books5"),
        ({"channel": ["books5"], "instId": "A-B"}, ":A-B"),
        ({"instId": "A-B"}, ":A-B"),
        ({"channel": "books 5", "instId": "A:B"}, "books%205:A%3AB"),
        ({"channel": "x" * 999, "instId": "y" * 999}, f"{'x' * 64}:{'y' * 64}"),
        ({}, None),
        ("books5", None),
        (None, None),
    ],
)
def test_data_of_an_unknown_form_names_what_it_can(
    argument: object, named: str | None
) -> None:
    error = refusal(decode, json.dumps({"arg": argument, "data": [{}]}))

    assert (error.kind, error.channel) == ("shape", named)


@pytest.mark.parametrize("event", ["update", "data", "", 5, None, [], {}])
def test_an_event_beside_a_push_is_one_field_more(event: object) -> None:
    message = {**json.loads(BOOKS5), "event": event}

    assert push(json.dumps(message)).channel == push(BOOKS5).channel

    del message["arg"]
    error = refusal(decode, json.dumps(message))
    assert (error.kind, error.channel) == ("shape", None)


@pytest.mark.parametrize(
    "event",
    [
        *("subscribe", "unsubscribe", "login", "error", "notice"),
        *("channel-conn-count", "channel-conn-count-error"),
    ],
)
def test_a_push_beside_an_answer_is_a_wire_error_of_its_channel(event: str) -> None:
    message = {**json.loads(BOOKS5), "event": event}

    error = refusal(decode, json.dumps(message))

    assert (error.kind, error.channel) == ("shape", push(BOOKS5).channel)


@pytest.mark.parametrize("channel", ["books5", "bbo-tbt", "tickers", "index-tickers"])
def test_a_push_that_should_be_complete_is_refused_as_an_update(channel: str) -> None:
    message = {"arg": {"channel": channel, "instId": "A-B"}, "data": [{}]}

    update = json.dumps({**message, "action": "update"})

    error = refusal(decode, update)
    assert (error.kind, error.channel) == ("shape", f"{channel}:A-B")
    assert refusal(PROTOCOL.read, update.encode()).channel == f"{channel}:A-B"
    assert push(json.dumps({**message, "action": "snapshot"})).action == "snapshot"


@pytest.mark.parametrize("action", ["partial", "", 5, [], {}, True])
def test_an_unknown_action_is_a_wire_error_of_its_channel(action: object) -> None:
    text = json.dumps({**json.loads(BOOKS), "action": action})

    error = refusal(decode, text)

    assert (error.kind, error.channel) == ("shape", "books:AB-USDT")
