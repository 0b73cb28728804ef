"""A feed that is recorded does what one that is not does, and all of it is recorded."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from okex_ws import ConnectionLost, Feed, Recorder, Replay
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.recording.format import Entry, read
from tests.support.virtual_world import World, depth


def played(recorder: Recorder | None) -> tuple[World, list[str]]:
    """The same ten seconds of a world, recorded or not."""
    world, texts = World(), []
    world.exchange.first_pushes["spot/depth5:BTC-USDT"] = depth(0)
    feed = world.feed(recorder=recorder)
    feed.subscribe(["BTC-USDT"], "spot", ["depth5"], on_message=texts.append)
    world.at(1.0, lambda: world.peers[-1].send(depth(1000, "100.0")))
    world.at(2.0, lambda: world.peers[-1].send_bytes(b"\xff garbage"))
    world.at(3.0, lambda: world.peers[-1].drop())
    world.at(6.0, lambda: world.peers[-1].send(depth(6000, "99.9")))
    world.at(7.0, lambda: world.peers[-1].close(1012, "restart"))
    world.run(10.0)
    return world, texts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "day.rec.gz"


def test_all_that_was_said_is_on_it(path: Path) -> None:
    with Recorder(path) as recorder:
        world, texts = played(recorder)

    entries = list(read(path))
    heard = [entry for entry in entries if entry.kind == "in"]
    said = [entry.payload.decode() for entry in entries if entry.kind == "out"]
    assert said == [each.text for each in world.exchange.log]
    pushes = [each for each in heard if b"garbage" not in each.payload]
    unpacked = [V3.unpack(each.payload, each.binary).decode() for each in pushes]
    assert [text for text in unpacked if '"table"' in text] == texts
    assert [each.payload for each in heard if b"garbage" in each.payload] == [
        b"\xff garbage"
    ]
    assert recorder.lost == 0


def test_the_ends_are_on_it_and_each_connection_with_its_own(path: Path) -> None:
    with Recorder(path) as recorder:
        played(recorder)

    entries = list(read(path))
    ends = [entry for entry in entries if entry.kind == "end"]
    openings = [entry for entry in entries if entry.kind == "open"]
    assert [(each.facts["why"], each.facts.get("code")) for each in ends] == [
        ("reset by peer", None),
        ("restart", 1012),
        ("closed", None),
    ]
    assert [each.connection for each in openings] == [1, 2, 3]
    assert {each.facts["line"] for each in openings} == {1}
    assert openings[0].facts["venue"]["name"] == "fake"
    numbers: dict[int, list[Entry]] = {}
    for entry in entries:
        numbers.setdefault(entry.connection, []).append(entry)
    assert all(each[0].kind == "open" for each in numbers.values())
    assert all(each[-1].kind == "end" for each in numbers.values())


def test_nothing_else_is_other_than_without_it(path: Path) -> None:
    with Recorder(path) as recorder:
        world, texts = played(recorder)
    bare, others = played(None)

    assert texts == others
    assert [(each.at, each.text) for each in world.exchange.log] == [
        (each.at, each.text) for each in bare.exchange.log
    ]


def test_a_failed_attempt_is_on_it(path: Path) -> None:
    world = World()
    world.failure = lambda url: (
        ConnectionLost(url, "cannot connect") if len(world.opened) < 3 else None
    )
    with Recorder(path) as recorder:
        world.feed(recorder=recorder).subscribe(["BTC-USDT"], "spot", ["depth5"])
        world.run(5.0)

    kinds = [entry.kind for entry in read(path)]
    assert kinds[:3] == ["failed", "failed", "open"]


def test_the_time_is_that_of_the_feeds_own_clock(path: Path) -> None:
    with Recorder(path) as recorder:
        world, _ = played(recorder)

    entries = list(read(path))
    times = [entry.mono for entry in entries]
    assert times == sorted(times)
    assert 1000.0 <= times[0] <= times[-1] <= world.clock.now
    assert {round(entry.wall - entry.mono, 3) for entry in entries} == {
        world.clock.offset
    }


def test_it_cannot_be_had_of_a_feed_in_another_process(path: Path) -> None:
    with (
        Recorder(path) as recorder,
        pytest.raises(ValueError, match="recorder cannot cross"),
    ):
        Feed("okx", recorder=recorder, isolate=True)


def test_it_is_a_recorder() -> None:
    with pytest.raises(TypeError, match="recorder is a Recorder"):
        Feed("okx", recorder="day.rec.gz")  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_of_a_message_that_was_too_large_the_beginning_is_on_it_and_plays(
    path: Path, protocol: str
) -> None:
    world = World(protocol)
    dialect = world.dialect
    key = dialect.channel("depth5")
    world.exchange.first_pushes[key] = dialect.depth(0)
    large = {**dialect.depth(1000), "more": "x" * 100_000}
    with Recorder(path) as recorder:
        feed = world.feed(recorder=recorder, max_frame=65536)
        feed.subscribe(["BTC-USDT"], "spot", ["depth5"])
        text = json.dumps(large).encode()
        opcode = b"\x82" if protocol == "v3" else b"\x81"
        frame = opcode + b"\x7f" + (10**6).to_bytes(8, "big") + text + bytes(900_000)
        world.at(1.0, lambda: world.peers[-1].outbox.extend(frame))
        world.run(3.0)

    (cut,) = [entry for entry in read(path) if entry.facts.get("cut")]
    assert (cut.kind, cut.payload) == ("in", text[:4096])
    assert recorder.lost == 0
    # What is played cannot be read either.
    with Replay(path, speed=math.inf) as replay:
        feed = replay.feed()
        feed.subscribe(["BTC-USDT"], "spot", ["depth5"])
        for _ in replay:
            pass
        assert sum(feed.stats().dropped.values()) == 1
