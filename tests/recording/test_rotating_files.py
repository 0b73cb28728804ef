"""The files of a recording: nothing that was written is lost, nothing overwritten."""

from __future__ import annotations

import errno
import gzip
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from okex_ws.recording.format import read, write_line
from okex_ws.recording.rotating_files import RotatingFiles
from tests.support.clocks import FakeClock
from tests.support.recordings import heard, opened, readable

LINES = [write_line(heard(float(n), f"message {n}")) for n in range(20)]


def texts(path: Path) -> list[str]:
    return [entry.payload.decode() for entry in read(path) if entry.kind == "in"]


def repeated() -> Iterator[str]:
    yield write_line(opened(again=True))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


def test_each_batch_can_be_read_before_the_file_is_whole(path: Path) -> None:
    parts = RotatingFiles(str(path), "0.1.0", repeated)
    for n in range(3):
        parts.write(LINES[n : n + 1])
        found, damage = readable(path)
        assert len(found) == n + 1
        assert damage is not None
        assert damage.why == "it is cut off here"
    parts.close()

    assert texts(path) == ["message 0", "message 1", "message 2"]
    # And so by anybody else.
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 4


@pytest.mark.parametrize("name", ["day.rec.gz", "day.1.rec.gz", "day.7.rec.gz"])
def test_what_is_there_is_not_touched(path: Path, name: str) -> None:
    there = path.with_name(name)
    there.write_text("mine")

    with pytest.raises(FileExistsError):
        RotatingFiles(str(path), "0.1.0", repeated)

    assert there.read_text() == "mine"
    assert os.listdir(path.parent) == [name]


def test_a_full_file_is_followed_by_another(path: Path) -> None:
    clock = FakeClock()
    parts = RotatingFiles(str(path), "0.1.0", repeated, None, 60.0, clock.monotonic)
    for n in range(4):
        parts.write(LINES[n : n + 1])
        clock.now += 30.0
        if parts.is_full:
            parts.rotate()
    parts.close()

    assert sorted(os.listdir(path.parent)) == [
        *("day.1.rec.gz", "day.2.rec.gz", "day.rec.gz")
    ]
    assert texts(path) == [f"message {n}" for n in range(4)]
    (again, *rest) = read(path.with_name("day.1.rec.gz"))
    assert again.facts["again"]
    assert [entry.payload for entry in rest] == [b"message 2", b"message 3"]


@pytest.mark.skipif(os.name == "nt", reason="a file of Windows has no mode")
@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_only_the_owner_may_read_a_file(path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        parts = RotatingFiles(str(path), "0.1.0", repeated)
        parts.rotate()
        parts.close()
    finally:
        os.umask(before)

    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert (modes, len(list(path.parent.iterdir()))) == ({0o600}, 2)


def test_it_is_full_by_its_bytes_on_the_disk(path: Path) -> None:
    parts = RotatingFiles(str(path), "0.1.0", repeated, max_bytes=400)
    written = 0
    while not parts.is_full:
        parts.write(LINES[written : written + 1])
        written += 1

    assert path.stat().st_size >= 400
    assert 1 < written < 20
    parts.close()


def full_disk(monkeypatch: pytest.MonkeyPatch, room: list[int]) -> None:
    """Have the disk take so many bytes more, and then no byte."""
    real = os.write

    def write(file: int, data: bytes) -> int:
        if not room:
            return real(file, data)
        taken = min(len(data), room[0])
        room[0] -= taken
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, bytes(data)[:taken])

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("left", [0, 1, 15])
def test_what_was_written_in_half_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    parts, room = RotatingFiles(str(path), "0.1.0", repeated), [10_000]
    full_disk(monkeypatch, room)
    parts.write(LINES[:1])
    room[0] = left

    with pytest.raises(OSError, match="No space"):
        parts.write(LINES[1:9])
    room.clear()
    parts.write(LINES[9:11])
    parts.close()

    assert texts(path) == ["message 0", "message 9", "message 10"]


def test_where_no_other_file_can_be_begun_it_goes_on_in_this_one(path: Path) -> None:
    clock = FakeClock()
    parts = RotatingFiles(str(path), "0.1.0", repeated, 1, None, clock.monotonic)
    parts.write(LINES[:1])
    # What came there meanwhile is somebody's.
    there = path.with_name("day.1.rec.gz")
    there.write_text("mine")

    with pytest.raises(FileExistsError):
        parts.rotate()
    assert not parts.is_full
    parts.write(LINES[1:2])
    there.unlink()
    clock.now += 1.0
    assert parts.is_full
    parts.rotate()
    parts.write(LINES[2:3])
    parts.close()

    assert texts(path) == ["message 0", "message 1", "message 2"]
    assert parts.name == str(there)


def test_a_disk_that_is_full_at_the_end_of_a_file_keeps_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, room = RotatingFiles(str(path), "0.1.0", repeated, 1), [10_000]
    full_disk(monkeypatch, room)
    parts.write(LINES[:1])
    room[0] = 3

    with pytest.raises(OSError, match="No space"):
        parts.rotate()
    room.clear()
    parts.write(LINES[1:2])
    parts.close()

    assert texts(path) == ["message 0", "message 1"]


def test_nothing_is_left_where_nothing_can_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, [5])

    with pytest.raises(OSError, match="No space"):
        RotatingFiles(str(path), "0.1.0", repeated)

    assert not path.exists()


def test_a_forked_child_writes_nothing(path: Path) -> None:
    parts = RotatingFiles(str(path), "0.1.0", repeated)
    before = path.read_bytes()

    parts.discard()

    assert path.read_bytes() == before
    assert readable(path)[0] == []
