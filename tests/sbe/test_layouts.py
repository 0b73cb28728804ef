"""Binary messages to whole numbers: each byte counts, and there is one error."""

from __future__ import annotations

from contextlib import suppress
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.sbe.layouts import (
    BinaryBest,
    BinaryBook,
    BinaryTrade,
    UnknownTemplate,
    decode,
)
from tests.support.sbe_vectors import (
    ASKS,
    BIDS,
    CODE,
    EVERY,
    SENT_US,
    TIME_US,
    WRITTEN,
    best,
    book,
    group,
    header,
)

EACH = pytest.mark.parametrize("frame", EVERY.values(), ids=list(EVERY))
HEAD = CODE, TIME_US, SENT_US


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "best",
            BinaryBest(
                *HEAD, 317_862_000_001, (776236, 789, 3), (776235, 512, 2), -1, -2
            ),
        ),
        (
            "trade",
            BinaryTrade(
                *HEAD, 317_862_000_123, 776235, 512, 9_876_543_210, 1, 1, -1, -2, 0
            ),
        ),
        ("book", BinaryBook(*HEAD, 200, 150, -1, -2, ASKS, BIDS)),
        ("exponents", BinaryBook(*HEAD, 200, 150, -1, -2, (), ())),
        ("snapshot", BinaryBook(CODE, TIME_US, None, 200, None, -1, -2, ASKS, BIDS)),
    ],
)
def test_each_template_has_its_fields(name: str, message: Any) -> None:
    assert decode(EVERY[name]) == message


@pytest.mark.parametrize("name", WRITTEN)
def test_the_frames_are_those_that_are_written_down(name: str) -> None:
    assert EVERY[name].hex() == WRITTEN[name]


@EACH
def test_every_byte_counts(frame: bytes) -> None:
    whole = decode(frame)

    for at in range(len(frame)):
        changed = bytearray(frame)
        changed[at] ^= 1
        with suppress(WireError):
            # A newer version alone means the same.
            assert decode(bytes(changed)) != whole or at in (6, 7), at


@EACH
def test_a_cut_is_an_error_wherever_it_is(frame: bytes) -> None:
    for end in range(len(frame)):
        with pytest.raises(WireError) as caught:
            decode(frame[:end])
        assert caught.value.kind == "sbe"


@EACH
def test_bytes_after_the_message_are_an_error(frame: bytes) -> None:
    with pytest.raises(WireError, match="1 bytes after"):
        decode(frame + b"\0")


def test_what_a_newer_version_adds_is_skipped() -> None:
    newer = best(more=b"new fields", version=1)
    wider = book(
        more=b"new",
        version=1,
        groups=group(*ASKS, more=b"x") + group(*BIDS, more=b"y") + b"\x04\0\0\0",
    )

    assert decode(newer) == decode(EVERY["best"])
    assert decode(wider) == decode(EVERY["book"])


def test_a_template_that_is_not_known_is_told_as_such() -> None:
    assert decode(header(0, 1003)) == UnknownTemplate(1003)
    assert decode(header(0, 1003, schema=2)) == UnknownTemplate(1003)


def test_a_known_template_of_another_schema_is_refused() -> None:
    frame = header(74, 1000, schema=2) + EVERY["best"][8:]

    with pytest.raises(WireError, match="template 1000 of schema 2"):
        decode(frame)


@pytest.mark.parametrize(
    "groups",
    [
        pack("<HH", 20, 1),
        pack("<HH", 19, 1) + bytes(19) + pack("<HH", 20, 0),
        pack("<HH", 0, 65535) + pack("<HH", 20, 0),
        pack("<HH", 65535, 65535) + bytes(100),
    ],
)
def test_a_group_that_is_not_there_is_an_error(groups: bytes) -> None:
    with pytest.raises(WireError):
        decode(book(groups=groups))


@pytest.mark.parametrize("length", [0, 19, 20, 65535])
def test_a_repeat_of_an_idle_book_has_no_levels(length: int) -> None:
    found = decode(book(seq=200, prev_seq=200, groups=2 * pack("<HH", length, 0)))

    assert isinstance(found, BinaryBook)
    assert (found.seq, found.prev_seq, found.asks, found.bids) == (200, 200, (), ())


@given(st.binary(max_size=200) | st.sampled_from(list(EVERY.values())), st.data())
def test_no_bytes_are_another_error(frame: bytes, data: Any) -> None:
    mixed = bytearray(frame)
    for _ in range(data.draw(st.integers(0, 3)) if mixed else 0):
        mixed[data.draw(st.integers(0, len(mixed) - 1))] = data.draw(
            st.integers(0, 255)
        )
    with suppress(WireError):
        decode(bytes(mixed))
