"""The ids of a trade are sliced out of a push, or the push has to be parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.support.v5_frames import TRADES
from tests.support.virtual_world import DIALECTS, compact

WIRES: dict[str, WireProtocol] = {"v3": V3, "v5": V5}


def said(protocol: str, trade_id: object = "77", **changes: Any) -> bytes:
    message = DIALECTS[protocol].trade(trade_id, 1000)
    message["data"][0].update(changes)
    return compact(message).encode()


def test_a_documented_push_tells_its_id_and_count() -> None:
    assert V5.trade_stamp(TRADES.encode()) == ("2832749635", 2832749635, 3)


@pytest.mark.parametrize("protocol", WIRES)
def test_a_push_without_a_count_is_one_trade(protocol: str) -> None:
    text = said(protocol).replace(b',"count":"1"', b"")

    assert b"count" not in text
    assert WIRES[protocol].trade_stamp(text) == ("77", 77, 1)


def test_a_count_means_nothing_under_v3() -> None:
    assert V3.trade_stamp(said("v3", count="5")) == ("77", 77, 1)


@pytest.mark.parametrize("protocol", WIRES)
@pytest.mark.parametrize("trade_id", ["a7", "", "7.5", "-7", "1" * 21, 77, None, ["7"]])
def test_an_id_that_is_no_number_has_to_be_parsed(
    protocol: str, trade_id: object
) -> None:
    assert WIRES[protocol].trade_stamp(said(protocol, trade_id)) is None


@pytest.mark.parametrize("count", ["0", "", "x", "-1", "1.5", "99999999", 3, None])
def test_a_count_of_another_form_has_to_be_parsed(count: object) -> None:
    assert V5.trade_stamp(said("v5", count=count)) is None


@pytest.mark.parametrize("between", [b'" :', b'": ', b'"\n:', b'":\t'])
def test_a_count_in_another_spelling_has_to_be_parsed(between: bytes) -> None:
    text = said("v5", count="3").replace(b'"count":', b'"count' + between)

    assert V5.trade_stamp(text) is None
    assert read("v5", text) == ("77", 3)


@pytest.mark.parametrize("protocol", WIRES)
def test_a_push_with_an_escape_has_to_be_parsed(protocol: str) -> None:
    text = said(protocol).replace(b'"side"', b'"s\\u0069de"')

    assert WIRES[protocol].trade_stamp(text) is None


@pytest.mark.parametrize("protocol", WIRES)
@pytest.mark.parametrize("text", [b"", b"{", b"pong", b'{"data":[{}]}'])
def test_what_is_no_push_of_a_trade_has_no_stamp(protocol: str, text: bytes) -> None:
    assert WIRES[protocol].trade_stamp(text) is None


@pytest.mark.parametrize("protocol", WIRES)
def test_the_last_of_two_ids_counts_as_in_json(protocol: str) -> None:
    name = {"v3": b'"trade_id"', "v5": b'"tradeId"'}[protocol]
    text = said(protocol)[:-3] + b"," + name + b':"99"}]}'

    assert WIRES[protocol].trade_stamp(text) == ("99", 99, 1)
    assert read(protocol, text) == ("99", 1)


def read(protocol: str, text: bytes) -> tuple[str, int] | None:
    """The id and count of the parsed push; ``None`` if it is no trade."""
    wire = WIRES[protocol]
    try:
        (push,) = wire.read(text)
        assert isinstance(push, Push)
        trade = wire.trade(push.elements[0])
    except WireError:
        return None
    return trade.id, trade.count


NAMES = ("tradeId", "trade_id", "count", "id", 'x"tradeId', "side", "{", "ts", "px")
VALUES = st.one_of(
    st.integers(0, 10**7).map(str), st.text(max_size=9), st.none(), st.integers()
)


@given(
    protocol=st.sampled_from(["v3", "v5"]),
    more=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=6),
    before=st.booleans(),
)
def test_what_is_sliced_is_what_is_parsed(
    protocol: str, more: list[tuple[str, Any]], before: bool
) -> None:
    text = said(protocol)
    added = [f"{json.dumps(n)}:{json.dumps(v)}".encode() for n, v in more]
    fields = b",".join(added)
    if fields and before:
        text = text.replace(b'"data":[{', b'"data":[{' + fields + b",")
    elif fields:
        text = text[:-3] + b"," + fields + b"}]}"
    wire = WIRES[protocol]

    if wire.head(text) is not None and (stamp := wire.trade_stamp(text)) is not None:
        name, number, count = stamp
        assert number == int(name)
        assert read(protocol, text) in ((name, count), None)
