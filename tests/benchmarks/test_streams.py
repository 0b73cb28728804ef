"""What is sent goes round: the end of a stream meets its beginning, exactly."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from okex_ws.channels.book_builder import BookBuilder
from okex_ws.protocol.v5 import PROTOCOL
from tests.benchmarks import streams
from tests.benchmarks.streams import (
    NAMES,
    NUMBER,
    STAMP,
    V3_DEPTH5,
    V5_BOOKS,
    V5_BOOKS5,
    Stream,
    joined,
    levels,
    pack,
    raised,
    stamped,
    stream,
)

every = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(params=["recorded", "generated"], autouse=True)
def source(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Both where they come from; the first only where recordings lie."""
    stream.cache_clear()
    if request.param == "generated":
        monkeypatch.setattr(streams, "CAPTURES", Path("/nowhere"))
    elif not streams.CAPTURES.is_dir():
        pytest.skip("no recordings lie beside the project")
    yield request.param
    stream.cache_clear()


@pytest.mark.once
@every
def test_each_text_leaves_the_levels_that_are_said_of_it(name: str) -> None:
    found = stream(name)
    assert len(found.texts) == len(found.ends) > 90
    if name != V5_BOOKS:
        for text, end in zip(found.texts, found.ends, strict=True):
            (element,) = json.loads(text)["data"]
            assert (levels(element["bids"]), levels(element["asks"])) == end


def test_a_book_proves_itself_on_every_turn() -> None:
    found = stream(V5_BOOKS)
    builder = BookBuilder()
    texts, ends = found.texts, found.ends
    (snapshot,) = found.opening
    _take(builder, snapshot)
    for _ in range(3):
        for text, end in zip(texts, ends, strict=True):
            bids, asks = _take(builder, text)
            assert (levels(bids[:5]), levels(asks[:5])) == end


def _take(builder: BookBuilder, text: str) -> tuple[list[list[str]], list[list[str]]]:
    (message,) = PROTOCOL.decode(text.encode(), False)
    (element,) = message.elements  # type: ignore[union-attr]
    bids, asks = builder.take(PROTOCOL.book(element, message.action))  # type: ignore[union-attr]
    return bids, asks  # type: ignore[return-value]


def test_the_other_channel_has_the_same_depths_as_snapshots() -> None:
    found = stream(V5_BOOKS5)
    for text, wrapped in zip(found.texts, found.wraps["books"], strict=True):
        message = json.loads(wrapped)
        assert message["action"] == "snapshot"
        for side in ("bids", "asks"):
            assert message["data"][0][side] == json.loads(text)["data"][0][side]


@pytest.mark.once
@pytest.mark.parametrize("name", [V3_DEPTH5, V5_BOOKS5])
def test_a_stamped_text_has_the_places_and_nothing_else_is_changed(name: str) -> None:
    found = stream(name)
    channels = dict(stamped(found))
    assert channels.keys() == {found.channel, *found.wraps}
    for text, marked in zip(found.texts, channels[found.channel], strict=True):
        assert marked.count(STAMP) == marked.count(NUMBER) == 1
        before = json.loads(text)
        (element,) = before["data"]
        sizes = element["bids"][0][1], element["asks"][0][1]
        assert (
            json.loads(marked.replace(STAMP, sizes[0]).replace(NUMBER, sizes[1]))
            == before
        )


def test_the_ids_of_depths_go_on_from_turn_to_turn() -> None:
    found = stream(V5_BOOKS5)
    size = len(found.texts)
    ids = [
        json.loads(raised(text.encode(), turn * size))["data"][0]["seqId"]
        for turn in range(3)
        for text in found.texts
    ]
    assert ids == sorted(set(ids))
    assert len(str(ids[0])) == len(str(ids[-1]))


@pytest.mark.once
@every
def test_a_frame_holds_its_text(name: str) -> None:
    found: Stream = stream(name)
    for text in (*found.opening, *found.texts[:20]):
        frame = pack(text, found.protocol)
        size, start = frame[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(frame[2:start], "big")
        payload = frame[start:]
        assert len(payload) == size
        if found.protocol == "v3":
            assert frame[0] == 0x82
            payload = zlib.decompress(payload, -zlib.MAX_WBITS)
        assert payload.decode() == text


@pytest.mark.once
def test_writes_have_every_frame_once_and_are_no_smaller_than_they_have_to_be() -> None:
    frames = [bytes([n]) * (n + 1) for n in range(100)]
    for size in (1, 300, 10**6):
        writes = joined(frames, size)
        assert b"".join(write for write, _ in writes) == b"".join(frames)
        assert sum(count for _, count in writes) == 100
        assert len(writes) == 1 or all(len(write) >= size for write, _ in writes)
