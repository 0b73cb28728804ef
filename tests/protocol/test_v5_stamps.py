"""The order of a depth of v5 is sliced out of its bytes: right, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.protocol.common import TAIL
from okex_ws.protocol.messages import Stamp
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.v5_frames import BOOKS5, push
from tests.support.virtual_world import compact

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
RECORDED = CAPTURES / "crypto-msg-parser" / "v5_okx_frames.jsonl"
SAID = BOOKS5.encode()
TIME, SEQ = 1786541241006, 333794734980


def stamp(text: str) -> Stamp | None:
    return PROTOCOL.stamp(text.encode())


def test_number_and_time_are_found() -> None:
    assert stamp(BOOKS5) == (SEQ, TIME, b"")


def test_a_number_may_stand_before_other_fields() -> None:
    text = BOOKS5.replace(f'"seqId":{SEQ}', f'"seqId":{SEQ},"prevSeqId":-1,"more":"1"')

    assert stamp(text) == (SEQ, TIME, b"")


def test_without_a_number_all_bytes_but_the_time_tell_a_repeat() -> None:
    text = BOOKS5.replace(f',"seqId":{SEQ}', "")

    assert stamp(text) == (None, TIME, text.replace(str(TIME), "").encode())


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        (f'"ts":"{TIME}"', '"more":"1"'),
        (f'"ts":"{TIME}"', f'"ts":{TIME}'),
        (f'"ts":"{TIME}"', f'"ts":"{TIME}0"'),
        (f'"ts":"{TIME}"', '"ts":"178654124100"'),
        (f'"ts":"{TIME}"', '"ts":"17865412410x6"'),
        (f'"ts":"{TIME}"', f'"ts": "{TIME}"'),
        (f'"seqId":{SEQ}', f'"seqId":"{SEQ}"'),
        (f'"seqId":{SEQ}', '"seqId":-1'),
        (f'"seqId":{SEQ}', '"seqId":1.5'),
        (f'"seqId":{SEQ}', '"seqId":null'),
        (f'"seqId":{SEQ}', '"seqId":'),
        (f'"seqId":{SEQ}', f'"seqId": {SEQ}'),
        (f'"seqId":{SEQ}', f'"seqId":{10**20}'),
    ],
)
def test_what_is_written_otherwise_is_parsed_at_once(what: str, instead: str) -> None:
    assert what in BOOKS5
    assert stamp(BOOKS5.replace(what, instead)) is None


def test_only_the_element_is_looked_at() -> None:
    front = BOOKS5.replace('{"arg"', '{"ts":"1600000000000","seqId":1,"arg"')
    assert stamp(front) == (SEQ, TIME, b"")
    bare = front.replace(f',"ts":"{TIME}","seqId":{SEQ}', "")
    assert stamp(bare) is None


@given(
    seq=st.one_of(st.none(), st.integers(0, 10**20 - 1)),
    time_ms=st.integers(10**12, 10**13 - 1),
    fields=st.permutations(["asks", "bids", "instId", "ts", "seqId", "more"]),
)
def test_it_is_what_parsing_finds(
    seq: int | None, time_ms: int, fields: list[str]
) -> None:
    (element,) = json.loads(BOOKS5)["data"]
    element |= {"ts": str(time_ms), "seqId": seq, "more": "1"}
    element = {name: element[name] for name in fields}
    if seq is None:
        del element["seqId"]
    text = compact({**json.loads(BOOKS5), "data": [element]})

    found = stamp(text)
    parsed = PROTOCOL.depth(push(text).elements[0])
    assert (parsed.seq, parsed.time_ms) == (seq, time_ms)
    assert found is None or found[:2] == (seq, time_ms)
    near = len(text) - text.index('"ts"') < TAIL
    assert (found is not None) >= (near and (seq is None or '"seqId"' in text[-TAIL:]))


@pytest.mark.parametrize("name", ["ts", "seqId"])
def test_a_field_that_is_far_from_the_end_is_parsed_at_once(name: str) -> None:
    (element,) = json.loads(BOOKS5)["data"]
    element = {name: element.pop(name), **element, "more": "x" * TAIL}
    if name == "seqId":
        element["ts"] = element.pop("ts")
    text = compact({**json.loads(BOOKS5), "data": [element]})

    assert stamp(text) is None


@given(at=st.integers(0, len(SAID) - 1), byte=st.integers(0, 255))
def test_any_byte_may_be_wrong(at: int, byte: int) -> None:
    """It says nothing, or a number and a time that a parse will verify."""
    found = PROTOCOL.stamp(SAID[:at] + bytes([byte]) + SAID[at + 1 :])

    assert found is None or isinstance(found[1], int)


@pytest.mark.skipif(
    not RECORDED.is_file(), reason="no recorded traffic beside the project"
)
def test_it_is_what_parsing_finds_in_each_recorded_depth() -> None:
    count = 0
    for line in RECORDED.read_text().splitlines():
        if PROTOCOL.head(line.encode()) is None:
            continue
        message = push(line)
        if message.channel.split(":")[0] in ("books5", "bbo-tbt"):
            parsed = PROTOCOL.depth(message.elements[0])
            found: Any = stamp(line)
            assert found[:2] == (parsed.seq, parsed.time_ms)
            count += 1
    assert count >= 10
