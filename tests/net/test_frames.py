"""The bound of a message, and what is kept of one that is too large."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.net.frames import HEAD, MAX_FRAME, Cut, Fragments, Frame, check_max_frame


class Whole:
    """A whole number of another type, such as numpy's."""

    def __index__(self) -> int:
        return 1 << 20


@pytest.mark.parametrize("value", [65536, MAX_FRAME, 1 << 40, Whole()])
def test_a_bound_is_a_whole_number_of_any_type(value: Any) -> None:
    found = check_max_frame(value)

    assert type(found) is int
    assert found == value.__index__()


@pytest.mark.parametrize("value", [1e6, "1", None, True, b"1", [1]])
def test_a_bound_that_is_no_whole_number_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="max_frame is a whole number, got"):
        check_max_frame(value)


@pytest.mark.parametrize("value", [65535, 0, -1])
def test_a_bound_below_64_kib_is_a_value_error(value: int) -> None:
    with pytest.raises(ValueError, match=r"at least 65536 bytes \(64 KiB\), got"):
        check_max_frame(value)


def test_the_bound_is_8_mib_unless_another_is_given() -> None:
    assert MAX_FRAME == 8 * 1024 * 1024


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=9), st.integers(1, 30))
def test_fragments_are_one_message_or_its_head_once(
    parts: list[bytes], most: int
) -> None:
    message, given_out = Fragments(True, most), []
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if (frame := message.add(part, len(part), last)) is not None:
            given_out.append((number, frame))

    whole = b"".join(parts)
    ((when, (payload, binary)),) = given_out
    assert binary
    if len(whole) <= most:
        assert (type(payload), payload, when) == (bytes, whole, len(parts) - 1)
    else:
        assert type(payload) is Cut
        assert whole.startswith(payload)
        assert len(payload) == len(b"".join(parts[: when + 1]))
        assert len(b"".join(parts[:when])) <= most


def test_a_frame_that_alone_is_too_large_is_known_by_its_beginning() -> None:
    message = Fragments(False, 1 << 16)

    assert message.add(bytes(HEAD + 9), 1 << 62, False) == (bytes(HEAD), False)
    later: list[Frame | None] = [message.add(b"x", 1, last) for last in (False, True)]
    assert later == [None, None]
