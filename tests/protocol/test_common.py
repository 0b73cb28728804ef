"""What both protocols do alike; the rest of it is tried in their own tests."""

from __future__ import annotations

import contextlib
import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws import Credentials
from okex_ws.base.errors import BookError, SequenceGap, WireError
from okex_ws.model.numbers import UnreadableValue
from okex_ws.model.redaction import Redaction
from okex_ws.protocol.catalogue import KNOWN
from okex_ws.protocol.common import (
    UnreadableMessage,
    for_people,
    group,
    load,
    read_each,
    reading,
    to_json,
)
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5

WIRES: list[WireProtocol] = [V3, V5]
INSTRUMENTS = {
    "spot": "BTC-USDT",
    "futures": "BTC-USD-190517",
    "swap": "BTC-USD-SWAP",
    "option": "BTC-USD-200327-11000-C",
    "index": "BTC-USD",
}


def every_channel(wire: WireProtocol) -> list[Any]:
    """The channels of one instrument a market that *wire* has."""
    names = []
    for topic in KNOWN:
        for market, instrument_id in INSTRUMENTS.items():
            with contextlib.suppress(ValueError):
                names.append(wire.channel(topic, market, instrument_id))
    return names


@pytest.mark.parametrize(("wire", "count"), [(V3, 87), (V5, 318)])
def test_every_channel_has_a_key_of_its_own(wire: WireProtocol, count: int) -> None:
    names = every_channel(wire)

    assert len({name.key for name in names}) == len(names) == count
    assert {name.topic for name in names} <= set(KNOWN)


@pytest.mark.parametrize("wire", WIRES)
def test_a_key_has_one_name_whoever_asks(wire: WireProtocol) -> None:
    for name in every_channel(wire):
        text, _ = wire.request("subscribe", [name.key], 1)
        (argument,) = json.loads(text)["args"]
        if name.kind == "data":
            assert wire.raw(argument) == name
        else:
            with pytest.raises(ValueError, match="has a type of its own"):
                wire.raw(argument)


@pytest.mark.parametrize("wire", WIRES)
def test_an_error_that_quotes_a_channel_names_it(wire: WireProtocol) -> None:
    for name in every_channel(wire):
        text, _ = wire.request("subscribe", [name.key], 1)

        assert wire.mentioned(f"Invalid request: {text}") == (name.key,)


@pytest.mark.parametrize("wire", WIRES)
def test_depths_books_and_tickers_push_at_once(wire: WireProtocol) -> None:
    books = ("depth", "depth_l2_tbt", "books50-l2-tbt", "books-rpi")
    for topic in ("depth5", "bbo-tbt", "ticker", *books):
        assert wire.needs_snapshot(topic)
    others = ("trade", "trades-all", "candle60s", "funding_rate", "mark_price")
    for topic in (*others, "orders:instType=ANY", "books-new", ""):
        assert not wire.needs_snapshot(topic)


@pytest.mark.parametrize("wire", WIRES)
def test_the_last_trade_comes_again_and_nothing_else(wire: WireProtocol) -> None:
    assert wire.replays_last("trade")
    for topic in ("trades-all", "depth5", "ticker", "candle60s", "option-trades"):
        assert not wire.replays_last(topic)


@pytest.mark.parametrize("wire", WIRES)
def test_an_unknown_topic_is_no_channel(wire: WireProtocol) -> None:
    with pytest.raises(ValueError, match="unknown channel 'nothing'"):
        wire.channel("nothing", "spot", "A-B")
    with pytest.raises(ValueError, match="market 'index' has no channel 'depth5'"):
        wire.channel("depth5", "index", "BTC-USD")


@pytest.mark.parametrize("wire", WIRES)
def test_a_request_asks_something_of_something(wire: WireProtocol) -> None:
    with pytest.raises(ValueError, match="'subscribe' or 'unsubscribe', got 'login'"):
        wire.request("login", ["status"], 1)
    with pytest.raises(ValueError, match="no request can carry a channel of 0"):
        wire.request("subscribe", [], 1)


# --- Readers ------------------------------------------------------------------------


@reading("thing")
def read(element: Any) -> Any:
    """A reader as the protocols have them."""
    if isinstance(element, Exception):
        raise element
    return element["field"]


@pytest.mark.parametrize(
    ("element", "detail"),
    [
        ({}, "no 'field'"),
        (ValueError("bad"), "bad"),
        (AttributeError("no such"), "no such"),
        (IndexError("short"), "short"),
        (None, "'NoneType' object is not subscriptable"),
    ],
)
def test_a_reader_has_one_error(element: Any, detail: str) -> None:
    with pytest.raises(WireError) as caught:
        read(element)

    assert (caught.value.kind, caught.value.detail) == ("thing", detail)
    assert caught.value.__cause__ is not None
    assert read({"field": 5}) == 5


def test_the_error_for_people_is_a_new_one_that_is_cleaned_before_it_is_cut() -> None:
    secret = "Passw0rd-of-mine"
    clean = Redaction(Credentials("the-key", "the-secret", secret)).sentence
    with pytest.raises(UnreadableMessage) as caught:
        read(UnreadableValue("{} of {}", "x" * 75 + secret, secret))
    assert secret in caught.value.detail

    told = for_people(caught.value, f"books:{secret}", clean)

    assert type(told) is WireError
    assert told.args == ("thing", f"{'x' * 75 + '...'!a} of '...'", "books:...")
    assert told.__cause__ is told.__context__ is None
    book = BookError(UnreadableValue("a level at {}", secret))
    assert for_people(book, None, clean).args == ("a level at '...'",)
    gap = for_people(SequenceGap(7, 9), "books:X", clean)
    assert (gap.args, gap.channel) == ((7, 9), "books:X")


def test_a_fault_of_our_own_is_no_fault_of_the_wire() -> None:
    with pytest.raises(ZeroDivisionError):
        read(ZeroDivisionError())


# --- Text ---------------------------------------------------------------------------


def test_numbers_are_read_as_their_characters() -> None:
    message = load(' {"a":3690.10,"b":[1e5,-0,"c",true,null]}\n')

    assert message == {"a": "3690.10", "b": ["1e5", "-0", "c", True, None]}


@pytest.mark.parametrize(
    "text", ["", "{", "{} {}", '{"a":NaN}', '"\\ud800"', "[" * 9999]
)
def test_what_is_no_json_is_a_wire_error(text: str) -> None:
    with pytest.raises(WireError) as caught:
        load(text)

    assert caught.value.kind == "json"


@pytest.mark.parametrize("wire", WIRES)
def test_bytes_are_text_or_a_wire_error(wire: WireProtocol) -> None:
    assert wire.unpack("é".encode(), False) == "é".encode()
    with pytest.raises(WireError) as caught:
        wire.read(b"\xff")
    assert caught.value.kind == "utf-8"


@given(st.text())
def test_any_text_is_one_object_or_a_wire_error(text: str) -> None:
    with contextlib.suppress(WireError):
        assert type(load(text)) is dict


def test_what_is_sent_is_compact_ascii() -> None:
    assert to_json({"a": ["é", 1]}) == '{"a":["\\u00e9",1]}'


def test_elements_are_grouped_by_channel_in_order() -> None:
    data = [1, 2, 3]

    assert group(["a"] * 3, data, "text", None) == (Push("a", data, "text", None),)
    assert group(["a", "b", "a"], data, "text", "update") == (
        Push("a", [1, 3], "text", "update"),
        Push("b", [2], "text", "update"),
    )


# --- To which channels data may belong ----------------------------------------------

KEYS = {
    "v3": [
        *("spot/depth5:BTC-USDT", "spot/trade:BTC-USDT", "spot/depth5:ETH-USDT"),
        *("swap/trade:BTC-USD-SWAP", "system/status"),
    ],
    "v5": [
        *("books5:BTC-USDT", "trades:BTC-USDT", "books5:ETH-USDT"),
        *("estimated-price:instId=BTC-USD-SWAP,instType=SWAP", "status"),
    ],
}
BY_NAME: dict[str, WireProtocol] = {"v3": V3, "v5": V5}


@pytest.mark.parametrize(
    ("protocol", "name", "found"),
    [
        # The channel itself.
        *(("v3", key, [n]) for n, key in enumerate(KEYS["v3"])),
        *(("v5", key, [n]) for n, key in enumerate(KEYS["v5"])),
        # The same two names in another case, or with one field more.
        ("v3", "Spot/Depth5:btc-usdt", [0]),
        ("v5", "BOOKS5:btc-usdt", [0]),
        ("v5", "books5:instId=BTC-USDT,instType=SPOT", [0]),
        ("v5", "estimated-price:BTC-USD-SWAP", [3]),
        # One of the two.
        ("v3", "spot/depth5", [0, 2]),
        ("v3", "spot/depth5:LTC-USDT", [0, 2]),
        ("v3", ":btc-usdt", [0, 1]),
        ("v3", "spot/depth50:BTC-USDT", [0, 1]),
        ("v5", "books5", [0, 2]),
        ("v5", "books5:instFamily=BTC-USDT", [0, 2]),
        ("v5", "books50:BTC-USDT", [0, 1]),
        ("v5", ":instId=BTC-USDT,uid=7", [0, 1]),
        # None of the two.
        ("v3", "swap/depth5:LTC-USD-SWAP", [0, 1, 2, 3, 4]),
        ("v3", "", [0, 1, 2, 3, 4]),
        ("v5", "news:LTC-USDT", [0, 1, 2, 3, 4]),
        ("v5", "news", [0, 1, 2, 3, 4]),
        ("v5", ":", [0, 1, 2, 3, 4]),
    ],
)
def test_data_may_belong_to_the_channels_that_its_names_fit(
    protocol: str, name: str, found: list[int]
) -> None:
    keys = KEYS[protocol]

    related = BY_NAME[protocol].related(name, keys)

    assert related.keys == [keys[n] for n in found]
    assert related.alike is (len(found) == 1)


@pytest.mark.parametrize("protocol", BY_NAME)
@given(name=st.text() | st.text(":/=,%abc-", max_size=9))
def test_any_name_may_belong_to_some_channel(protocol: str, name: str) -> None:
    assert BY_NAME[protocol].related(name, KEYS[protocol]).keys
    assert BY_NAME[protocol].related(name, []) == ([], False)


# --- The order of fields --------------------------------------------------------------

PUSHES: dict[str, list[dict[str, Any]]] = {
    "v3": [
        {
            "table": "spot/depth5",
            "data": [
                {
                    "asks": [["2", "1", "1"]],
                    "bids": [["1", "1", "1"]],
                    "instrument_id": "BTC-USDT",
                    "timestamp": "2021-04-17T16:50:01.418Z",
                }
            ],
        },
        {
            "table": "spot/trade",
            "data": [
                {
                    "instrument_id": "BTC-USDT",
                    "price": "1",
                    "side": "buy",
                    "size": "1",
                    "timestamp": "2021-04-17T16:50:01.418Z",
                    "trade_id": "7",
                }
            ],
        },
    ],
    "v5": [
        {
            "arg": {"channel": "books5", "instId": "BTC-USDT"},
            "data": [
                {
                    "asks": [["2", "1", "0", "1"]],
                    "bids": [["1", "1", "0", "1"]],
                    "instId": "BTC-USDT",
                    "ts": "1652459227954",
                    "seqId": "7",
                }
            ],
        },
        {
            "arg": {"channel": "trades", "instId": "BTC-USDT"},
            "data": [
                {
                    "instId": "BTC-USDT",
                    "tradeId": "7",
                    "px": "1",
                    "sz": "1",
                    "side": "buy",
                    "ts": "1652459227954",
                }
            ],
        },
    ],
}
orders = st.randoms(use_true_random=False)


def reordered(value: Any, random: Random) -> Any:
    """*value* with the fields of each object in another order."""
    if isinstance(value, list):
        return [reordered(each, random) for each in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    random.shuffle(names)
    return {name: reordered(value[name], random) for name in names}


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("protocol", PUSHES)
@given(random=orders)
def test_the_order_of_fields_changes_nothing(
    protocol: str, number: int, random: Random
) -> None:
    message, wire = PUSHES[protocol][number], BY_NAME[protocol]
    text = json.dumps(reordered(message, random))

    (push,) = wire.read(text.encode())
    (expected,) = wire.read(json.dumps(message).encode())

    assert isinstance(push, Push)
    assert isinstance(expected, Push)
    assert push._replace(text="") == expected._replace(text="")


@pytest.mark.parametrize("protocol", PUSHES)
@given(random=orders, compact=st.booleans())
def test_a_head_stands_for_its_own_channel_or_for_none(
    protocol: str, random: Random, compact: bool
) -> None:
    wire, separators = BY_NAME[protocol], (",", ":") if compact else None
    heads = {}
    for message in PUSHES[protocol]:
        (push,) = wire.read(json.dumps(message).encode())
        assert isinstance(push, Push)
        text = json.dumps(reordered(message, random), separators=separators)
        if (head := wire.head(text.encode())) is not None:
            try:
                (again,) = wire.read(head)
            except WireError:
                continue
            assert isinstance(again, Push)
            heads[again.channel] = push.channel

    assert all(found == own for found, own in heads.items())


@pytest.mark.parametrize("protocol", PUSHES)
def test_the_head_of_a_push_as_the_exchange_sends_it_stands_for_its_channel(
    protocol: str,
) -> None:
    wire = BY_NAME[protocol]
    for message in PUSHES[protocol]:
        said = json.dumps(message, separators=(",", ":")).encode()
        (push,) = wire.read(said)
        head = wire.head(said)
        assert head is not None
        (again,) = wire.read(head)
        assert isinstance(push, Push)
        assert isinstance(again, Push)
        assert again.channel == push.channel


@pytest.mark.parametrize(
    ("protocol", "rest"),
    [
        ("v3", ',"table":"spot/trade"}'),
        ("v3", ',"t\\u0061ble":"spot/trade"}'),
        ("v3", ',"table":"spot/trade","x":[]}'),
        ("v5", ',"arg":{"channel":"trades","instId":"BTC-USDT"}}'),
        ("v5", ',"arg":{"channel":"trades","instId":"BTC-USDT"},"x":[]}'),
        ("v5", ',"\\u0061rg":{"channel":"trades","instId":"BTC-USDT"},"x":[]}'),
        ("v5", ',"action":"update"}'),
    ],
)
def test_what_stands_behind_the_data_leaves_no_head(protocol: str, rest: str) -> None:
    text = json.dumps(PUSHES[protocol][0], separators=(",", ":"))

    assert BY_NAME[protocol].head(f"{text[:-1]}{rest}".encode()) is None


@pytest.mark.parametrize(
    "element",
    [
        '{"asks":[],"bids":[]}',
        '{"instrument_id":"A-B","asks":[],"instrument_id":"C-D"}',
        '{"asks":[],"instrument_id":"A\\u002dB"}',
    ],
    ids=["none", "two", "escaped"],
)
def test_a_v3_element_that_does_not_name_one_instrument_leaves_no_head(
    element: str,
) -> None:
    said = f'{{"table":"spot/depth5","data":[{element}]}}'.encode()

    assert BY_NAME["v3"].head(said) is None


@pytest.mark.parametrize("wire", WIRES)
def test_an_entry_of_raw_channels_has_a_channel_and_a_path(wire: WireProtocol) -> None:
    given = {"channel": "status", "instType": "SPOT"}

    with pytest.raises(ValueError, match="RawSubscription takes further parameters"):
        wire.raw_channel(given, "spot", "BTC-USDT")


def test_an_element_that_cannot_be_read_costs_itself_alone() -> None:
    first, fault, second, last = read_each(["1", None, "x", "4"], int, "number")

    assert (first, last) == (1, 4)
    assert isinstance(fault, WireError)
    assert isinstance(second, WireError)
    assert (fault.kind, second.kind) == ("number", "number")
