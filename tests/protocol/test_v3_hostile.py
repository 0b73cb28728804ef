"""Whatever comes, protocol v3 raises `WireError` and nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v3 import PROTOCOL
from tests.support.v3_frames import (
    CANDLE,
    DEPTH,
    DEPTH5,
    FUNDING,
    TICKER,
    TRADE,
    deflate,
)

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
        *("currency", "underlying", "candle", "funding_rate", "funding_time"),
        *("checksum", "seqId"),
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
tables = st.sampled_from(
    [
        *("spot/depth5", "swap/trade", "option/ticker", "swap/depth", "spot/new"),
        "spot/depth_l2_tbt",
        *("spot/account", "futures/account", "option/summary", "system/status"),
        *("swap/funding_rate", "spot/candle60s", "option/instruments"),
    ]
)
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
        "candle": values,
        "currency": scalars,
        "underlying": values,
        "funding_rate": scalars,
        "funding_time": scalars,
        "checksum": scalars,
    },
)
pushes = st.fixed_dictionaries(
    {"table": tables, "data": st.lists(elements, max_size=3)},
    optional={"action": st.sampled_from(["partial", "update"]) | scalars},
)

READERS: list[Callable[[Any], object]] = [
    *(PROTOCOL.depth, PROTOCOL.trade, PROTOCOL.ticker),
    *(PROTOCOL.candle, PROTOCOL.funding),
]


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
                survives_reading(element, message.action)


def survives_reading(element: object, action: Any) -> None:
    with contextlib.suppress(WireError):
        PROTOCOL.book(element, action)
    for read in READERS:
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
    st.sampled_from(
        [
            *(DEPTH5, DEPTH, TRADE, TICKER, CANDLE, FUNDING),
            *(
                '{"event":"error","errorCode":30040}',
                '{"event":"login","success":true}',
            ),
        ]
    ),
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


@given(values | elements, st.sampled_from(["partial", "update", "snapshot"]) | values)
def test_the_readers_raise_only_wire_errors(value: Any, action: Any) -> None:
    survives_reading(value, action)
