"""What both protocols do alike; the rest of it is tried in their own tests."""

from __future__ import annotations

import contextlib
import json
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

    assert group(["a"], data, "text", None) == (Push("a", data, "text", None),)
    assert group(["a", "b", "a"], data, "text", "update") == (
        Push("a", [1, 3], "text", "update"),
        Push("b", [2], "text", "update"),
    )
