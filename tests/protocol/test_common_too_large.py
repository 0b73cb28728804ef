"""A message that is too large names its channel by its beginning, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.net.frames import HEAD, LEAST_MAX_FRAME, MAX_FRAME, Cut
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.json_text import beginning
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v3 import deflate
from okex_ws.protocol.v5 import PROTOCOL as V5

LEVELS = [[f"{n}.5", "1", "0", "1"] for n in range(20_000)]
ARG = {"channel": "books", "instId": "BTC-USDT"}


def v3(first: dict[str, Any], *more: dict[str, Any]) -> dict[str, Any]:
    return {"table": "spot/depth", "action": "partial", "data": [first, *more]}


BTC, ETH = {"instrument_id": "BTC-USDT"}, {"instrument_id": "ETH-USDT"}
V5_PUSHES: list[tuple[Any, str | None]] = [
    ({"arg": ARG, "action": "snapshot", "data": [{"asks": LEVELS}]}, "books:BTC-USDT"),
    ({"action": "snapshot", "arg": ARG, "data": LEVELS}, "books:BTC-USDT"),
    ({"arg": {"instId": "X", "channel": "books"}, "data": LEVELS}, "books:X"),
    ({"new": {"arg": ARG}, "arg": {**ARG, "instId": "A"}, "data": LEVELS}, "books:A"),
    ({"arg": {"channel": "account", "uid": "7"}, "data": LEVELS}, "account"),
    # The channel is behind the data, or there is none.
    ({"data": LEVELS, "arg": ARG}, None),
    ({"data": [{"arg": ARG, "asks": LEVELS}]}, None),
    ({"x": '","arg":{"channel":"books","instId":"A"},"', "data": LEVELS}, None),
    ({"arg": "books", "data": LEVELS}, None),
    ({"arg": {"channel": [7]}, "data": LEVELS}, None),
    ({"event": "error", "msg": "x" * LEAST_MAX_FRAME}, None),
    ([ARG, LEVELS], None),
    ("x" * LEAST_MAX_FRAME, None),
    ({"arg": {"channel": "books", "instId": "B" * LEAST_MAX_FRAME}}, None),
]
V3_PUSHES: list[tuple[Any, str | None]] = [
    (v3({**BTC, "asks": LEVELS}), "spot/depth:BTC-USDT"),
    (v3({"timestamp": "x", **BTC, "asks": LEVELS}), "spot/depth:BTC-USDT"),
    # What follows the levels is not known, nor what follows the first element.
    (v3({"asks": LEVELS, **BTC}), None),
    (v3(BTC, {**ETH, "asks": LEVELS}), None),
    ({"data": [{**BTC, "asks": LEVELS}], "table": "spot/depth"}, None),
    ({"table": "spot/depth", "data": [LEVELS]}, None),
    ({"table": "spot/depth", "data": {**BTC, "asks": LEVELS}}, None),
    ({"table": [7], "data": [{**BTC, "asks": LEVELS}]}, None),
    ({"table": "no table", "data": [{**BTC, "asks": LEVELS}]}, None),
]


def refusal(wire: WireProtocol, payload: bytes, binary: bool) -> WireError:
    with pytest.raises(WireError) as caught:
        wire.unpack(payload, binary)
    assert caught.value.kind == "too-large"
    return caught.value


@pytest.mark.parametrize(("push", "channel"), V5_PUSHES)
def test_v5_finds_the_channel_in_the_beginning(push: Any, channel: str | None) -> None:
    text = json.dumps(push).encode()

    error = refusal(V5, Cut(text[:HEAD]), False)

    assert error.channel == channel
    assert f"more than {MAX_FRAME} bytes" in str(error)


@pytest.mark.parametrize(("push", "channel"), V3_PUSHES)
def test_v3_finds_the_channel_in_the_beginning(push: Any, channel: str | None) -> None:
    text = json.dumps(push).encode()
    packed, wire = deflate(text), V3.bounded(LEAST_MAX_FRAME)
    assert len(packed) < LEAST_MAX_FRAME < len(text)

    # A frame that is not too large, but what it inflates to is.
    assert refusal(wire, packed, True).channel == channel
    # Frames that are too large themselves.
    assert refusal(wire, Cut(packed[:HEAD]), True).channel == channel
    assert refusal(wire, Cut(text[:HEAD]), False).channel == channel


@pytest.mark.parametrize("head", [b"", b"\xff\xfe", b"{" * HEAD, b"[" * HEAD, b'{"a'])
def test_a_beginning_that_says_nothing_names_no_channel(head: bytes) -> None:
    assert refusal(V5, Cut(head), False).channel is None
    assert refusal(V3, Cut(head), False).channel is None
    assert refusal(V3, Cut(head), True).channel is None


def test_another_bound_is_another_protocol_and_leaves_the_shared_one() -> None:
    other = V3.bounded(LEAST_MAX_FRAME)

    assert other.max_frame == LEAST_MAX_FRAME
    assert V3.max_frame == MAX_FRAME
    assert V3.bounded(MAX_FRAME) is V3
    assert other.unpack(deflate(b"x" * LEAST_MAX_FRAME), True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


def is_part(begun: Any, whole: Any) -> bool:
    """Whether *begun* has nothing that *whole* has not, at the same place."""
    if isinstance(whole, dict):
        return type(begun) is dict and all(
            name in whole and is_part(value, whole[name])
            for name, value in begun.items()
        )
    if isinstance(whole, list):
        return (
            type(begun) is list
            and len(begun) <= len(whole)
            and all(map(is_part, begun, whole))
        )
    return bool(begun == (str(whole) if type(whole) is int else whole))


@pytest.mark.once
@given(
    st.dictionaries(st.text(max_size=3), JSON),
    st.booleans(),
    st.integers(0, 300),
    st.integers(1, 5),
)
def test_a_beginning_says_nothing_that_the_whole_text_does_not(
    value: dict[str, Any], ascii_only: bool, size: int, depth: int
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    try:
        begun = beginning(text[:size], depth)
    except ValueError:
        return

    assert is_part(begun, value)
