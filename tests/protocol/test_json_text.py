"""JSON exactly, and fast: the same but for numbers, and in the end the same at all."""

from __future__ import annotations

import base64
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.protocol import json_text
from okex_ws.protocol.catalogue import KNOWN, ChannelSpec
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.json_text import exact
from okex_ws.protocol.messages import Push, Unreadable
from okex_ws.protocol.v3 import V3
from okex_ws.protocol.v5 import V5
from tests.fuzz import frames
from tests.fuzz.corpus import corpus
from tests.support.internals import find_fast_json

CAPTURES = Path(__file__).parents[3] / "shared" / "captures" / "cryptofeed"
needs_captures = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="the recordings are not on this machine"
)


def _refuse(name: str) -> None:
    raise ValueError(name)


def as_numbers(text: str) -> Any:
    """What any fast reader does: a number becomes one. This one is always here."""
    if "\\u" in text:
        raise ValueError("left to the exact reader")
    return json.loads(text, parse_constant=_refuse)


# The one that is installed, if one is, is tried beside it.
FAST: dict[str, Callable[[str], Any]] = {"numbers": as_numbers}
if json_text.fast is not exact:
    FAST["orjson"] = json_text.fast
each = pytest.mark.parametrize("loads", FAST.values(), ids=FAST)

SNAPSHOT_V5 = {
    "arg": {"channel": "books5", "instId": "BTC-USDT"},
    "data": [
        {
            "asks": [["60003.2", "1.5", "0", "3"]],
            "bids": [["60003.1", "0.25", "0", "1"]],
            "instId": "BTC-USDT",
            "ts": "1652400000000",
            "seqId": 5,
        }
    ],
}


# --- Exactly ------------------------------------------------------------------------


def test_a_number_is_its_own_characters() -> None:
    text = '{"a":3690.10,"b":[-0,1E5,123456789012345678901234567890],"c":"1"}'

    assert exact(text) == {
        "a": "3690.10",
        "b": ["-0", "1E5", "123456789012345678901234567890"],
        "c": "1",
    }


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "{", '{"a":1} ', ' {"a":1}', "[1][2]", "[NaN]", "[Infinity]"),
        *('"\\ud800"', '["\\udc00"]', "[1,]", "{'a':1}", "01", "\ufeff[]", '"\x01"'),
    ],
)
def test_what_is_not_one_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        exact(text)


def test_a_pit_of_brackets_has_no_bottom() -> None:
    with pytest.raises((RecursionError, ValueError)):
        exact("[" * 100_000)


# --- Fast ---------------------------------------------------------------------------


def test_the_fast_reader_is_orjson_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "orjson", None)
    assert find_fast_json() is exact
    monkeypatch.setitem(sys.modules, "orjson", SimpleNamespace(loads=as_numbers))
    assert find_fast_json() is as_numbers


def _as_text(value: Any) -> Any:
    """Numbers told apart from nothing else: what remains has to be the same."""
    if isinstance(value, dict):
        return {name: _as_text(inside) for name, inside in value.items()}
    if isinstance(value, list):
        return [_as_text(inside) for inside in value]
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return "number" if number else value


_JSON = st.recursive(
    st.none() | st.booleans() | st.text() | st.just({"number": 1}),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=20,
)


@each
@given(value=_JSON, spoil=st.none() | st.tuples(st.integers(0, 500), st.characters()))
def test_what_is_read_fast_is_read_exactly_too(
    loads: Callable[[str], Any], value: Any, spoil: tuple[int, str] | None
) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if spoil is not None:
        at = spoil[0] % (len(text) + 1)
        text = text[:at] + spoil[1] + text[at:]
    try:
        found = loads(text)
    except ValueError:
        return
    # White space around it goes the long way, which strips it.
    assert _as_text(found) == _as_text(json.loads(text))
    assert exact(text.strip(" \t\r\n")) is not ...


# --- What comes of it ---------------------------------------------------------------


def _known(push: Push) -> ChannelSpec | None:
    name = push.channel.partition(":")[0].rpartition("/")[2]
    return next((k for k in KNOWN.values() if name in (k.v3, k.v5)), None)


def _typed(wire: WireProtocol, push: Push) -> Any:
    """What the channel of a push makes of it, as a connection's thread does."""
    known = _known(push)
    readers: dict[str, Callable[[Any], Any]] = {
        "depth": lambda element: wire.depth(element, frames.NO_DEPTH),
        "book": lambda element: wire.book(element, push.action, push.exact),
        "trade": wire.trade,
        "ticker": wire.ticker,
        "candle": wire.candle,
        "funding": wire.funding,
    }
    if known is None or known.kind not in readers:
        return (wire.exactly(push) or push).elements
    try:
        return [readers[known.kind](element) for element in push.elements]
    except WireError as error:
        again = wire.exactly(push)
        return str(error) if again is None else _typed(wire, again)


def meaning(wire: WireProtocol, text: str) -> Any:
    """All that a text says, down to the last field."""
    try:
        messages = wire.read(text.encode())
    except WireError as error:
        return str(error)
    return [
        (*message[:1], message.text, message.action, _typed(wire, message))
        if isinstance(message, Push)
        else str(message.error)
        if isinstance(message, Unreadable)
        else message
        for message in messages
    ]


def judge(protocol: str, loads: Callable[[str], Any], text: str) -> bool:
    """That both readings say the same; whether the fast one was fast."""
    make: type[V3 | V5] = V3 if protocol == "v3" else V5
    fast, slow = make(loads), make(exact)
    assert meaning(fast, text) == meaning(slow, text), text
    try:
        messages = fast.read(text.encode())
    except WireError:
        return False
    return any(isinstance(m, Push) and not m.exact for m in messages)


@each
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("seqId", 0), ("seqId", -0.0), ("seqId", -5), ("seqId", 2**64)),
        *(("seqId", 10**19), ("seqId", 1.0), ("seqId", True), ("seqId", "7")),
        *(("ts", 1652400000000), ("instId", 5), ("asks", [[60003.2, "1", "0", "3"]])),
        *(("bids", [["60003.1", 1, "0", "3"]]), ("bids", [["60003.1", "1", "0", 3]])),
    ],
)
def test_a_number_where_text_is_wanted_is_read_again(
    loads: Callable[[str], Any], field: str, value: Any
) -> None:
    element = {**SNAPSHOT_V5["data"][0], field: value}  # type: ignore[dict-item]

    plain = judge("v5", loads, json.dumps({**SNAPSHOT_V5, "data": [element]}))

    # The instrument of another is no plain push, however it is read.
    assert plain is (field != "instId")


@each
def test_the_books_of_numbers_keep_the_wires_own_characters(
    loads: Callable[[str], Any],
) -> None:
    text = (
        '{"table":"spot/depth","action":"partial","data":[{"instrument_id":"BTC-USDT",'
        '"asks":[[3690.10,1.50,0,2]],"bids":[[3690.00,1E1,0,1]],"checksum":-5,'
        '"timestamp":"2019-03-01T00:00:00.000Z"}]}'
    )
    wire = V3(loads)
    (push,) = wire.read(text.encode())
    assert isinstance(push, Push)
    assert not push.exact

    assert judge("v3", loads, text)
    again = wire.exactly(push)
    assert again is not None
    data = wire.book(again.elements[0], "partial", True)
    assert data.asks == [["3690.10", "1.50", "0", "2"]]
    assert data.checksum == -5


@each
def test_events_and_errors_are_never_read_fast(loads: Callable[[str], Any]) -> None:
    for protocol, text in (
        ("v3", '{"event":"error","message":"no","errorCode":30039}'),
        ("v3", '{"event":"login","success":1}'),
        ("v5", '{"event":"error","code":60012,"msg":"no"}'),
        ("v5", '{"event":"subscribe","arg":{"channel":"books5","instId":5}}'),
    ):
        assert not judge(protocol, loads, text)


@each
def test_the_fast_path_is_taken_for_what_is_plain(loads: Callable[[str], Any]) -> None:
    assert judge("v5", loads, json.dumps(SNAPSHOT_V5))
    several = {**SNAPSHOT_V5, "data": SNAPSHOT_V5["data"] * 2}  # type: ignore[operator]
    assert not judge("v5", loads, json.dumps(several))
    assert not judge("v5", loads, json.dumps({**SNAPSHOT_V5, "action": ""}))


@each
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_spoiled_frames_mean_the_same(
    loads: Callable[[str], Any], protocol: str
) -> None:
    rng, seeds = random.Random(6), corpus()
    make = frames.make_v3 if protocol == "v3" else frames.make_v5
    wire = (V3 if protocol == "v3" else V5)(loads)
    fast = 0
    for _ in range(3000):
        try:
            text = wire.unpack(*make(rng, seeds)).decode()
        except (WireError, UnicodeDecodeError):
            continue
        fast += judge(protocol, loads, text)
    assert fast > 100


@needs_captures
@each
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_recorded_frames_mean_the_same_and_so_do_their_mutations(
    loads: Callable[[str], Any], protocol: str
) -> None:
    rng, fast, wire = random.Random(7), 0, (V3 if protocol == "v3" else V5)(loads)
    for file in sorted(CAPTURES.glob(f"{protocol}_*")):
        for line in file.read_text("utf-8").splitlines()[:150]:
            deflated = file.name.endswith(".b64")
            payload = base64.b64decode(line) if deflated else line.encode()
            try:
                text = wire.unpack(payload, deflated).decode()
            except WireError:
                continue
            fast += judge(protocol, loads, text)
            for _ in range(3):
                at = rng.randrange(len(text))
                spoiled = text[:at] + rng.choice('0123456789"-.,e[]') + text[at + 1 :]
                judge(protocol, loads, spoiled)
    assert fast > 100
