"""The stretch of a recording that a replay plays, and the files that it reads."""

from __future__ import annotations

import gc
import gzip
import tracemalloc
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from okex_ws import RecordingDamaged, Replay
from okex_ws.base.clock import utc
from okex_ws.recording.format import Entry
from okex_ws.recording.keyframes import digest_of
from okex_ws.replay.stretch import Stretch
from tests.support.recordings import (
    WALL,
    at,
    depth,
    heard,
    lines,
    opened,
    session,
    write,
)

PUSHES = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in range(1, 40)]
DAY = session(*PUSHES, end=39.0)
KEYFRAME = at(20.0, "keyframe", channel="books5:BTC-USDT", sha256=digest_of(b""))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording in two files; the first one is damaged in its middle."""
    path = tmp_path / "day.rec.gz"
    first, later = split(20.0)
    data = lines(first)
    path.write_bytes(gzip.compress(data[: len(data) * 3 // 4] + b"\n"))
    write(tmp_path / "day.1.rec.gz", opened(again=True), KEYFRAME, *later, part=1)
    return path


def split(mono: float) -> tuple[list[Entry], list[Entry]]:
    return [e for e in DAY if e.mono < mono], [e for e in DAY if e.mono >= mono]


def monos(path: Path, *when: Any) -> list[float]:
    return [each.mono for each in Stretch(str(path), *when).entries() if each.mono]


@pytest.mark.parametrize("start", [20.0, 25.0, utc(WALL + 25.0)])
def test_files_before_the_start_are_not_read(path: Path, start: Any) -> None:
    assert monos(path, start) == [20.0, *(each.mono for each in split(20.0)[1])]


@pytest.mark.parametrize("start", [None, 0.0, 19.9, utc(WALL + 19.9)])
def test_from_before_its_keyframes_the_file_before_is_read(
    path: Path, start: Any
) -> None:
    with pytest.raises(RecordingDamaged):
        monos(path, start)


def test_it_says_when_the_whole_begins(path: Path) -> None:
    with Replay(path, speed="max", start=25.0) as replay:
        assert replay.begins == utc(WALL)
        assert next(iter(replay)) == utc(WALL + 25.0)


def test_a_file_without_keyframes_does_not_stand_alone(path: Path) -> None:
    write(path.with_name("day.1.rec.gz"), opened(again=True), *split(20.0)[1], part=1)
    with pytest.raises(RecordingDamaged):
        monos(path, 25.0)


def test_a_file_of_another_recording_is_none_of_it(path: Path) -> None:
    write(path, *split(20.0)[0])
    write(path.with_name("day.1.rec.gz"), KEYFRAME, recording="bb", part=1)
    with pytest.raises(RecordingDamaged, match="no part of the recording"):
        monos(path, 25.0)


def long(folder: Path, parts: int) -> Path:
    """A recording of a minute a file, each of which begins with a keyframe."""
    folder.mkdir()
    for part in range(parts):
        begins = 60.0 * part
        first = opened(begins) if part == 0 else opened(0.0, again=True)
        kept = [KEYFRAME._replace(wall=WALL + begins, mono=begins)] if part else []
        times = [begins + n / 10 for n in range(600)]
        said = [heard(mono, depth(mono, f"{mono:.1f}1")) for mono in times]
        name = f"day.{part}.rec.gz" if part else "day.rec.gz"
        write(folder / name, first, *kept, *said, part=part)
    return folder / "day.rec.gz"


def peak(path: Path, **stretch: Any) -> int:
    """The most bytes that a replay of a stretch holds."""
    gc.collect()
    tracemalloc.start()
    try:
        with Replay(path, speed="max", **stretch) as replay:
            (btc,) = replay.feed().subscribe(["BTC-USDT"])
            assert any(btc.GetDepth() for _ in replay)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_stretch_takes_as_much_of_a_long_recording_as_of_a_short_one(
    tmp_path: Path,
) -> None:
    short, day = long(tmp_path / "short", 2), long(tmp_path / "day", 12)
    peak(short, start=60.0, end=119.0)  # what is imported and cached once
    least = peak(short, start=60.0, end=119.0)

    assert peak(day, start=60.0, end=119.0) < least * 1.2
    assert peak(day, start=600.0, end=659.0) < least * 1.2
    # The twin: all of it takes more.
    assert peak(day) > least * 3


@pytest.mark.parametrize("end", [31.0, utc(WALL + 31.0)])
def test_it_ends_at_the_end(path: Path, end: Any) -> None:
    write(path, *split(20.0)[0])
    with Replay(path, speed="max", start=25.5, end=end) as replay:
        (btc,) = replay.feed().subscribe(["BTC-USDT"])
        seen = [(round(at.timestamp() - WALL, 3), btc.GetDepth()) for at in replay]
    assert [mono for mono, _ in seen if mono == int(mono)] == [*range(26, 32)]
    assert seen[-1][1]["bids"][0][0] == "131.1"
    assert replay.ends == utc(WALL + 31.0)
    # To the end there is more.
    with Replay(path, speed="max", start=25.5) as replay:
        assert replay.ends == utc(WALL + 39.0)


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (None, 0.0, "after the start"),
        (None, -1.0, "after the start"),
        (20.0, 20.0, "after the start"),
        (utc(WALL + 20.0), 19.0, "after the start"),
        (20.0, utc(WALL + 19.0), "after the start"),
        (None, datetime(2026, 1, 1), "end is an aware"),
        (datetime(2100, 1, 1, tzinfo=timezone.utc), None, "start is within"),
        (float("nan"), None, "start is"),
    ],
)
def test_a_stretch_that_is_none_is_refused(
    path: Path, start: Any, end: Any, why: str
) -> None:
    write(path, *split(20.0)[0])
    with pytest.raises(ValueError, match=why):
        Replay(path, start=start, end=end)
