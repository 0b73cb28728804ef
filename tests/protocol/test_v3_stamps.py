"""The time of a depth of v3 is sliced out of its bytes: right, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.protocol.messages import Push, Stamp
from okex_ws.protocol.v3 import PROTOCOL
from tests.support.virtual_world import compact, depth
from tests.support.virtual_world import stamp as written

TEXT = compact(depth(1234))
SAID = TEXT.encode()
TIME = written(1234)


def stamp(text: str) -> Stamp | None:
    return PROTOCOL.stamp(text.encode())


def test_the_time_is_found_and_there_is_no_number() -> None:
    (message,) = PROTOCOL.read(SAID)
    assert isinstance(message, Push)
    parsed = PROTOCOL.depth(message.elements[0])

    assert stamp(TEXT) == (None, parsed.time_ms, TEXT.replace(TIME, "").encode())


def test_pushes_that_differ_in_their_time_alone_have_the_same_rest() -> None:
    one, later = stamp(TEXT), stamp(compact(depth(5678)))
    other = stamp(compact(depth(5678, "99")))
    assert one is not None
    assert later is not None
    assert other is not None
    assert one[2] == later[2] != other[2]


@pytest.mark.parametrize(
    "instead",
    [TIME[:-1], TIME + "0", TIME.replace("T", " "), "2020-99-13T12:26:41.234Z", ""],
)
def test_a_time_of_another_form_is_parsed_at_once(instead: str) -> None:
    assert stamp(TEXT.replace(TIME, instead)) is None


def test_only_the_element_is_looked_at() -> None:
    text = TEXT.replace(f',"timestamp":"{TIME}"', "")
    assert stamp(text.replace('{"table"', f'{{"timestamp":"{TIME}","table"')) is None


@given(at=st.integers(0, len(SAID) - 1), byte=st.integers(0, 255))
def test_any_byte_may_be_wrong(at: int, byte: int) -> None:
    found = PROTOCOL.stamp(SAID[:at] + bytes([byte]) + SAID[at + 1 :])

    assert found is None or isinstance(found[1], int)
