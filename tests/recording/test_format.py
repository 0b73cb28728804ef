"""The form of a recording: what is written is read again, and damage is told."""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.recording.format import (
    MAX_LINE,
    Entry,
    last_part,
    part_name,
    read,
    read_line,
    write_line,
)
from okex_ws.recording.recorded_frames import RecordingDamaged
from okex_ws.recording.recorder import MOST_WAITING
from tests.support.recordings import (
    ACK,
    SUBSCRIBE,
    asked,
    at,
    heard,
    lines,
    opened,
    readable,
    write,
)

ENTRIES = [opened(), asked(0.5, SUBSCRIBE), heard(1.0, ACK), at(2.0, "end", cause="")]


def upto_damage(path: Path) -> tuple[list[Entry], RecordingDamaged]:
    """What can be read of a file, and how it says where that ends."""
    found, damage = readable(path)
    assert damage is not None
    return found, damage


@given(
    st.floats(0, 2e11, allow_nan=False),
    st.binary(max_size=200),
    st.sampled_from(["in", "out", "control"]),
    st.booleans(),
)
def test_a_line_is_read_as_it_was_written(
    time: float, payload: bytes, kind: str, binary: bool
) -> None:
    facts = {"opcode": 9} if kind == "control" else {}
    entry = Entry(time, 1.5, 7, kind, payload, binary and kind == "in", facts)

    line = write_line(entry)

    assert line.count("\n") == 1
    assert read_line(line.encode()) == entry


def test_a_text_stands_in_it_as_a_text() -> None:
    said = json.loads(write_line(heard(1.0, 'pö"ng')))

    assert said["text"] == 'pö"ng'
    assert (said["mono"], said["connection"], said["kind"]) == (1.0, 1, "in")


def test_a_file_is_read_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "day.rec.gz", *ENTRIES)

    assert list(read(path)) == ENTRIES


def test_members_one_after_the_other_are_one_file(tmp_path: Path) -> None:
    path, data = tmp_path / "day.rec.gz", lines(ENTRIES)
    path.write_bytes(gzip.compress(data[:300]) + gzip.compress(data[300:]))

    assert list(read(path)) == ENTRIES


@pytest.mark.parametrize("left", [1, 40, 200])
def test_of_one_that_is_cut_off_the_whole_lines_are_read(
    tmp_path: Path, left: int
) -> None:
    path = tmp_path / "day.rec.gz"
    packer = zlib.compressobj(wbits=31)
    data = packer.compress(lines(ENTRIES)) + packer.flush(zlib.Z_SYNC_FLUSH)
    more = packer.compress(write_line(heard(9.0, ACK * 20)).encode()) + packer.flush()
    path.write_bytes(data + more[: len(more) - left])

    found, damage = upto_damage(path)

    assert found[: len(ENTRIES)] == ENTRIES
    assert (damage.path, damage.why) == (str(path), "it is cut off here")
    assert damage.line == len(found) + 2
    assert f"damaged in line {damage.line}" in str(damage)


@pytest.mark.parametrize("number", range(2, 6))
def test_a_line_that_is_damaged_is_named(tmp_path: Path, number: int) -> None:
    whole = lines(ENTRIES).split(b"\n")
    whole[number - 1] = whole[number - 1][:-3]
    path = tmp_path / "day.rec.gz"
    path.write_bytes(gzip.compress(b"\n".join(whole)))

    found, damage = upto_damage(path)

    assert found == ENTRIES[: number - 2]
    assert damage.line == number


def test_a_byte_that_is_damaged_is_found(tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=31)
    data = packer.compress(lines(ENTRIES)) + packer.flush(zlib.Z_FULL_FLUSH)
    path = tmp_path / "day.rec.gz"
    # A block of a type that there is not.
    path.write_bytes(data + b"\x07" * 50)

    found, damage = upto_damage(path)

    assert found == ENTRIES
    assert damage.line == len(ENTRIES) + 2
    assert "invalid block type" in damage.why


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"no gzip at all", "it is no recording of okex_ws"),
        (gzip.compress(b"", mtime=0), "it is empty"),
        (gzip.compress(b"[1]\n", mtime=0), "it is no JSON object"),
        (gzip.compress(b"{}\n", mtime=0), "it is no recording of okex_ws"),
        (gzip.compress(b"[" * 100_000 + b"\n", mtime=0), ""),
        (
            gzip.compress(b'{"format":"okex_ws recording","version":3}\n', mtime=0),
            "its form has version 3, this library reads 1 and 2",
        ),
    ],
)
def test_what_is_no_recording_is_told_in_its_first_line(
    tmp_path: Path, data: bytes, why: str
) -> None:
    path = tmp_path / "foreign.rec.gz"
    path.write_bytes(data)

    found, damage = upto_damage(path)

    assert (found, damage.line) == ([], 1)
    assert why in damage.why


@pytest.mark.parametrize("name", ["book-400lv.tar.gz", "trades.zip"])
def test_a_file_of_the_archive_is_told_as_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"book.data", mtime=0))

    found, damage = upto_damage(path)

    assert (found, damage.line) == ([], 1)
    assert "okex_ws.research.archive reads" in damage.why


@pytest.mark.once
@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b'{"wall":"1","mono":2,"connection":1,"kind":"lost"}',
        b'{"wall":1e999,"mono":2,"connection":1,"kind":"lost"}',
        b'{"wall":1,"mono":2,"connection":1,"kind":"other"}',
        b'{"wall":1,"mono":2,"connection":1,"kind":"in"}',
        b'{"wall":1,"mono":2,"connection":1,"kind":"in","text":5}',
        b'{"wall":1,"mono":2,"connection":1,"kind":"in","binary":"%"}',
        b'{"wall":1,"mono":2,"connection":1,"kind":"open","url":"x"}',
        write_line(opened(venue={"name": "x", "protocol": "v4"})).encode(),
        write_line(opened(venue={"name": 5, "protocol": "v5"})).encode(),
        write_line(opened(line="1")).encode(),
        write_line(at(1.0, "end", code="1000")).encode(),
        write_line(at(1.0, "end", code=65536)).encode(),
        b'{"wall":-1,"mono":2,"connection":1,"kind":"lost"}',
        b'{"wall":1e15,"mono":2,"connection":1,"kind":"lost"}',
        b'{"wall":%s,"mono":2,"connection":1,"kind":"lost"}' % (b"9" * 400),
    ],
)
def test_what_is_no_entry_is_damage(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "day.rec.gz"
    path.write_bytes(gzip.compress(lines(ENTRIES) + line + b"\n"))

    found, damage = upto_damage(path)

    assert found == ENTRIES
    assert damage.line == len(ENTRIES) + 2


def test_a_directory_and_nothing_at_all_are_the_systems_errors(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        list(read(tmp_path))
    with pytest.raises(FileNotFoundError):
        list(read(tmp_path / "none.rec.gz"))


# --- Parts --------------------------------------------------------------------------


def test_parts_have_their_number_before_the_suffix() -> None:
    assert part_name("a/day.rec.gz", 0) == "a/day.rec.gz"
    assert part_name("a/day.rec.gz", 2) == "a/day.2.rec.gz"
    assert part_name("a/day.gz", 2) == "a/day.2.gz"
    assert part_name("a.b/day", 2) == "a.b/day.2"


def test_the_parts_follow_the_first_and_each_is_read_alone(tmp_path: Path) -> None:
    first, second = ENTRIES[:2], ENTRIES[2:]
    again = opened(again=True)
    write(tmp_path / "day.rec.gz", *first)
    write(tmp_path / "day.1.rec.gz", again, *second, part=1)

    assert list(read(tmp_path / "day.rec.gz")) == ENTRIES
    assert list(read(tmp_path / "day.1.rec.gz")) == [again, *second]
    assert last_part(str(tmp_path / "day.rec.gz")) == 1


@pytest.mark.parametrize(
    ("part", "recording", "number", "why"),
    [
        (2, "aa", 2, "this part is missing"),
        (1, "bb", 1, "it is no part of the recording before it"),
        (1, "aa", 2, "it is no part of the recording before it"),
    ],
)
def test_a_part_that_is_missing_or_anothers_ends_it(
    tmp_path: Path, part: int, recording: str, number: int, why: str
) -> None:
    write(tmp_path / "day.rec.gz", *ENTRIES)
    name = tmp_path / f"day.{part}.rec.gz"
    write(name, ENTRIES[0], recording=recording, part=number)

    found, damage = upto_damage(tmp_path / "day.rec.gz")

    assert found == ENTRIES
    assert damage.why == why
    assert damage.path == str(tmp_path / "day.1.rec.gz")


AGAIN = at(1.0, "open", **{**opened().facts, "again": True})
PARTS = (ENTRIES[:2], [AGAIN, ENTRIES[2]])


def test_parts_that_cat_put_together_are_one_recording(tmp_path: Path) -> None:
    path = tmp_path / "both.rec.gz"
    first, second = (gzip.compress(lines(PARTS[n], part=n)) for n in (0, 1))
    path.write_bytes(first + second)
    assert readable(path) == (ENTRIES[:3], None)
    # In the wrong order, or of another recording, they are not.
    path.write_bytes(second + first)
    assert upto_damage(path)[1].line == 4
    path.write_bytes(first + gzip.compress(lines(PARTS[1], "bb", 1)))
    found, damage = upto_damage(path)
    assert (found, damage.line) == (ENTRIES[:2], 4)


def test_what_zcat_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "day.rec"
    path.write_bytes(lines(ENTRIES))
    assert readable(path) == (ENTRIES, None)
    path.write_bytes(lines(ENTRIES)[:-5])
    found, damage = upto_damage(path)
    assert (found, damage.line) == (ENTRIES[:-1], 5)


def test_the_last_line_may_be_blank_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "day.rec"
    path.write_bytes(lines(ENTRIES) + b"\n")
    assert readable(path) == (ENTRIES, None)
    head, *rest = lines(ENTRIES).splitlines(keepends=True)
    path.write_bytes(b"".join([head, b"\n", *rest]))
    found, damage = upto_damage(path)
    assert (found, damage.line) == ([], 2)


@pytest.mark.once
def test_a_large_text_is_written_in_base64_so_that_any_message_can_be_read_again(
    tmp_path: Path,
) -> None:
    """In JSON each of its bytes would be six, more than a reader takes in one line."""
    entry = heard(1.0, "\x01" * (16 << 20))
    path = write(tmp_path / "large.rec.gz", entry)

    assert list(read(path)) == [entry]
    assert len(write_line(entry)) * MOST_WAITING < MAX_LINE * len(entry.payload)
