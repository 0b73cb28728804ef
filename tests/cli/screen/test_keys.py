"""The key decoder: characters, sequences in pieces, and time as an argument."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.cli.screen.keys import ESCAPE_WAIT, NAMES, SEQUENCE_WAIT, KeyDecoder

SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1bOB": "down",
    b"\x1b[1;5C": "right",
    b"\x1bOD": "left",
    b"\x1b[H": "home",
    b"\x1b[4~": "end",
    b"\x1b[5~": "page up",
    b"\x1b[6;2~": "page down",
    b"\x1b[Z": "back tab",
    b"\x1bOM": "enter",
}
# Keys without a name, and what a terminal answers by itself.
SILENT = [
    b"\x1b[3~",
    b"\x1bOP",
    b"\x1b[15~",
    b"\x1b[[A",
    b"\x1b[I",
    b"\x1b[24;80R",
    b"\x1b[M",
    b"\x1b[?62;c",
    b"\x1b[<0;1;1M",
    b"\x1b]11;rgb:0/0/0\x07",
    b"\x1bP1$r0q\x1b\\",
    "qй".encode()[1:],
    b"\x00\x01\xff",
]


def decode(*pieces: bytes) -> list[str]:
    """The keys of *pieces*, which come right after each other; then time goes by."""
    decoder = KeyDecoder()
    found = [key for piece in pieces for key in decoder.decode(piece, 0.0)]
    return found + decoder.decode(b"", 10.0)


def test_characters_are_their_own_names() -> None:
    assert decode(b"q?jk+-c19") == [*"q?jk+-c19"]
    assert decode(b" \t\r\n\x7f\x08\x0c") == [
        *("space", "tab", "enter", "enter"),
        *("backspace", "backspace"),
    ]


@pytest.mark.parametrize(("sent", "key"), SEQUENCES.items())
def test_a_sequence_is_one_key_however_it_is_cut(sent: bytes, key: str) -> None:
    for cuts in itertools.product((False, True), repeat=len(sent) - 1):
        pieces = [sent[:1]]
        for cut, byte in zip(cuts, sent[1:], strict=True):
            pieces = [*pieces, b""] if cut else pieces
            pieces[-1] += bytes([byte])

        assert decode(*pieces, b"q") == [key, "q"], pieces
    assert key in NAMES


@pytest.mark.parametrize("sent", SILENT)
def test_what_is_no_key_gives_nothing_and_spoils_nothing(sent: bytes) -> None:
    assert decode(b"j" + sent + b"k") == ["j", "k"]
    assert decode(*(bytes([byte]) for byte in sent), b"k") == ["k"]


def test_an_escape_character_alone_is_the_key_esc_after_a_while() -> None:
    decoder = KeyDecoder()

    assert decoder.decode(b"\x1b", 5.0) == []
    assert decoder.due == 5.0 + ESCAPE_WAIT
    assert decoder.decode(b"", 5.0 + ESCAPE_WAIT / 2) == []
    assert decoder.decode(b"", 5.0 + ESCAPE_WAIT) == ["esc"]
    assert decoder.due is None


def test_an_escape_character_that_came_long_before_a_bracket_is_esc() -> None:
    decoder = KeyDecoder()
    decoder.decode(b"\x1b", 0.0)

    assert decoder.decode(b"[A", ESCAPE_WAIT) == ["esc", "[", "A"]


def test_esc_before_another_key_is_esc_at_once() -> None:
    assert decode(b"\x1bq") == ["esc", "q"]
    assert decode(b"\x1b\x1b[A") == ["esc", "up"]
    assert decode(b"\x1b\x1b") == ["esc", "esc"]


def test_a_sequence_that_never_ends_is_dropped_after_a_second() -> None:
    decoder = KeyDecoder()

    assert decoder.decode(b"\x1b[5", 0.0) == []
    assert decoder.decode(b"", SEQUENCE_WAIT / 2) == []
    assert decoder.decode(b"~", SEQUENCE_WAIT) == ["~"]
    assert decoder.decode(b"q", SEQUENCE_WAIT) == ["q"]


def test_a_sequence_that_is_broken_off_is_dropped() -> None:
    assert decode(b"\x1b[1;\x1b[Bj") == ["down", "j"]
    assert decode(b"\x1b[1\rj") == ["enter", "j"]


def test_what_waits_is_bounded() -> None:
    decoder = KeyDecoder()
    for _ in range(10_000):
        assert decoder.decode(b"\x1b]" + b"x" * 50, 0.0) == []
        assert decoder.decode(b"x" * 300, 0.0) == []

        assert decoder.due is None


@given(st.binary(max_size=40), st.integers(0, 40))
def test_of_any_bytes_a_cut_changes_nothing(data: bytes, at: int) -> None:
    assert decode(data[:at], data[at:]) == decode(data)
    assert set(decode(data)) <= {*NAMES, *map(chr, range(0x21, 0x7F))}
