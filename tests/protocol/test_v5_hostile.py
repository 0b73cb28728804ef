"""Whatever comes, protocol v5 raises `WireError` and nothing else."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.protocol.catalogue import argument_of, key_of
from okex_ws.protocol.messages import Push, Refused
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.v5_frames import FRAMES

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "0", "-1.5", "2", "1e5", "1e999", "buy", "A-B", "books5"])
    | st.just("1786541241006")
)
keys = st.sampled_from(
    [
        *("arg", "data", "event", "channel", "instId", "action", "code", "msg", "id"),
        *("bids", "asks", "ts", "seqId", "px", "sz", "side", "tradeId", "count"),
        *("last", "idxPx", "bidPx", "fundingRate", "fundingTime", "uid", "op"),
        *("connCount", "nextFundingRate", "checksum", "prevSeqId"),
    ]
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=9)
        | st.dictionaries(keys | st.text(max_size=4), inner, max_size=8)
    ),
    max_leaves=25,
)
elements = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("ts", "seqId", "px", "sz", "side", "count"), scalars),
        **dict.fromkeys(("tradeId", "last", "idxPx", "bidPx"), scalars),
        **dict.fromkeys(("fundingRate", "fundingTime"), scalars),
        **dict.fromkeys(("checksum", "prevSeqId"), scalars),
        **dict.fromkeys(("nextFundingRate", "nextFundingTime"), scalars),
        "bids": values,
        "asks": st.lists(st.lists(scalars, max_size=5), max_size=4),
    },
) | st.lists(scalars, min_size=5, max_size=10)
arguments = st.fixed_dictionaries(
    {
        "channel": st.sampled_from(["books5", "books", "trades", "orders", "a:b", ""])
        | scalars
    },
    optional={"instId": scalars, "instType": scalars, "uid": scalars},
)
pushes = st.fixed_dictionaries(
    {"arg": arguments, "data": st.lists(elements, max_size=3) | values},
    optional={"action": st.sampled_from(["snapshot", "update"]) | scalars},
)
events = st.fixed_dictionaries(
    {
        "event": st.sampled_from(
            [
                *("subscribe", "unsubscribe", "error", "login", "notice"),
                *("channel-conn-count", "channel-conn-count-error", "other"),
            ]
        )
        | scalars
    },
    optional={
        "arg": arguments | values,
        "code": st.sampled_from(["0", "60018"]) | values,
        "msg": values,
        "id": values,
        "channel": values,
        "connCount": values,
    },
)
READERS: list[Callable[[Any], object]] = [
    *(PROTOCOL.depth, PROTOCOL.trade, PROTOCOL.ticker),
    *(PROTOCOL.candle, PROTOCOL.funding),
]


def survives(payload: bytes) -> None:
    """`WireError` and nothing else, from the frame to its typed items."""
    try:
        messages = PROTOCOL.decode(payload, False)
    except WireError:
        return
    assert len(messages) == 1
    for message in messages:
        if isinstance(message, Refused):
            PROTOCOL.mentioned(message.message)
        if isinstance(message, Push):
            assert PROTOCOL.request("subscribe", [message.channel], 1).channels
            for element in message.elements:
                survives_reading(element, message.action)


def survives_reading(element: object, action: Any) -> None:
    with contextlib.suppress(WireError):
        PROTOCOL.book(element, action)
    for read in READERS:
        with contextlib.suppress(WireError):
            read(element)


@given(st.binary(max_size=200))
@example(b"")
def test_random_bytes_raise_only_wire_errors(payload: bytes) -> None:
    survives(payload)


@given(values | pushes | events)
def test_random_json_raises_only_wire_errors(value: Any) -> None:
    survives(json.dumps(value).encode())


@given(st.sampled_from(FRAMES), st.data())
def test_mutations_of_good_frames_raise_only_wire_errors(
    text: str, data: st.DataObject
) -> None:
    raw = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    survives(bytes(raw))


@given(values | elements, st.sampled_from(["snapshot", "update", "partial"]) | values)
def test_the_readers_raise_only_wire_errors(value: Any, action: Any) -> None:
    survives_reading(value, action)


@given(st.text(max_size=1500) | values.map(json.dumps) | events.map(json.dumps))
def test_any_error_names_only_what_can_be_a_key(message: str) -> None:
    for key in PROTOCOL.mentioned(message):
        assert key_of(argument_of(key)) == key
