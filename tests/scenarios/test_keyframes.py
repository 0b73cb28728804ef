"""A part of a recording that stands alone: its books are there at once, and proven."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from okex_ws import Feed, Recorder, RecordingDamaged, Replay, State
from okex_ws.base.clock import utc
from okex_ws.local_exchange import LocalExchange
from okex_ws.model.items import BookUpdate
from okex_ws.recording.format import Entry, read
from okex_ws.recording.keyframes import MADE

CHANNELS = ["depth", "depth5", "trade"]


def part(path: Path, number: int) -> Path:
    return path.with_name(f"day.{number}.rec.gz") if number else path


def keyframes(path: Path) -> list[Entry]:
    return [entry for entry in read(path) if entry.kind == "keyframe"]


@pytest.fixture(scope="module", params=["v5", "v3"])
def recorded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """The folder with a recording in several parts, and its instrument."""
    folder = tmp_path_factory.mktemp("recorded")
    path = folder / "day.rec.gz"
    exchange = LocalExchange(seed=7, pace=100.0, interval=0.02)
    with exchange, Recorder(path, max_seconds=2.5) as recorder:
        market, name = exchange.busiest
        venue = exchange.venue_v5 if request.param == "v5" else exchange.venue
        with Feed(venue, recorder=recorder, lease=2.0) as feed:  # pongs in each part
            feed.subscribe([name], market, CHANNELS)
            feed.wait_live(timeout=30)
            assert exchange.wait_for(part(path, 2).exists)
    assert recorder.lost == 0
    assert len(keyframes(part(path, 1))) >= len(CHANNELS)
    return folder, name


@pytest.fixture
def day(recorded: tuple[Path, str], tmp_path: Path) -> tuple[Path, str]:
    """A copy of the recording, which a test may change."""
    folder, name = recorded
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return tmp_path / "day.rec.gz", name


def versions(path: Path, name: str, **more: Any) -> dict[Any, Any]:
    """Both sides of each live state of the book, by its time and number."""
    found: dict[Any, Any] = {}
    with Replay(path, speed="max", **more) as replay:
        feed = replay.feed(lease=2.0)
        (okx,) = feed.subscribe([name], channels=["depth"])
        for _ in replay:
            if okx.state is State.LIVE:
                depth = okx.depth()
                found[depth.timestamp, depth.seq] = depth.bids, depth.asks
        assert feed.stats().resyncs == 0
    return found


def test_a_later_part_alone_has_the_books_of_the_whole(day: tuple[Path, str]) -> None:
    path, name = day
    whole, alone = versions(path, name), versions(part(path, 1), name)

    assert len(alone) > 2
    assert set(alone) < set(whole)
    assert all(whole[at] == book for at, book in alone.items())


def test_from_a_start_on_it_reads_that_file_and_has_the_books(
    day: tuple[Path, str],
) -> None:
    path, name = day
    whole = versions(path, name)
    start = utc(keyframes(part(path, 1))[-1].wall + 0.1)
    # What comes before is not read: it need not be whole.
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])

    later = versions(path, name, start=start)
    assert len(later) > 2
    assert all(whole[at] == book for at, book in later.items())
    with pytest.raises(RecordingDamaged):
        versions(path, name)
    end = utc(start.timestamp() + 1.0)
    stretch = versions(path, name, start=start, end=end)
    assert set(stretch) < set(later)


def test_without_its_keyframes_it_has_none(day: tuple[Path, str]) -> None:
    path, name = day
    later = part(path, 1)
    lines = gzip.decompress(later.read_bytes()).splitlines(keepends=True)
    kept = [line for line in lines if b'"kind":"keyframe"' not in line]
    assert len(kept) < len(lines)
    later.write_bytes(gzip.compress(b"".join(kept)))

    assert versions(later, name) == {}


def test_one_digit_of_a_keyframe_and_it_is_refused(day: tuple[Path, str]) -> None:
    path, name = day
    later = part(path, 1)
    lines = gzip.decompress(later.read_bytes()).splitlines(keepends=True)
    (place, *_) = (
        n
        for n, line in enumerate(lines)
        if b'"kind":"keyframe"' in line and b"checksum" in line
    )
    said = json.loads(lines[place])
    ((price, *_), *_) = json.loads(said["text"])["data"][0]["bids"]
    other = price[:-1] + str((int(price[-1]) + 1) % 10)
    said["text"] = said["text"].replace(f'"{price}"', f'"{other}"')
    lines[place] = json.dumps(said).encode() + b"\n"
    later.write_bytes(gzip.compress(b"".join(lines)))

    with pytest.raises(RecordingDamaged, match="not the one that was made"):
        versions(later, name)


def test_no_one_is_told_of_a_keyframe_as_the_exchanges(day: tuple[Path, str]) -> None:
    path, name = day
    texts: list[str] = []
    items: list[Any] = []
    with Replay(part(path, 1), speed="max") as replay:
        feed = replay.feed(lease=2.0)
        feed.subscribe([name], on_message=texts.append, on_item=items.append)
        replay.run()
    sent = {e.payload for e in read(part(path, 1)) if e.kind == "in"}

    assert texts
    assert not any(text.startswith(MADE) for text in texts)
    if replay.venue.protocol == "v5":
        assert {text.encode() for text in texts} <= sent
    # A script that adds up updates begins with the whole book all the same.
    first = next(each for each in items if isinstance(each, BookUpdate))
    assert first.action == "snapshot"


def test_the_whole_is_as_if_there_were_no_keyframes(day: tuple[Path, str]) -> None:
    path, name = day

    def story() -> list[str]:
        told: list[str] = []
        with Replay(path, speed="max") as replay:
            feed = replay.feed(lease=2.0)
            feed.subscribe([name], on_item=lambda item: told.append(repr(item)))
            told += [str(at) for at in replay]
        return told

    before = story()
    for number in range(10):
        if not (file := part(path, number)).exists():
            break
        lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
        kept = [line for line in lines if b'"kind":"keyframe"' not in line]
        file.write_bytes(gzip.compress(b"".join(kept)))
    assert story() == before
