"""A message that is too large costs its own channel its value, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.frames import Opcode

from okex_ws import Feed, OkexWSError, State, WireError
from tests.support.loopback_servers import frame
from tests.support.virtual_world import World, deflate

LIMIT = 65536
NAMES = ("BTC-USDT", "ETH-USDT")


class Scene:
    """Two instruments, live on one connection of a feed with a small bound."""

    def __init__(self, protocol: str) -> None:
        self.world = World(protocol)
        self.errors: list[OkexWSError] = []
        exchange, dialect = self.world.exchange, self.world.dialect
        for name in NAMES:
            key = dialect.channel("depth5", name)
            exchange.first_pushes[key] = self.depth(0, name)
        self.feed: Feed = self.world.feed(max_frame=LIMIT)
        self.subs = self.feed.subscribe(
            NAMES, "spot", ["depth5"], on_error=self.errors.append
        )
        self.states: dict[str, list[State]] = {}

    def depth(self, at: int, name: str) -> dict[str, Any]:
        made: dict[str, Any] = self.world.dialect.depth(at, name=name)
        return made

    def large(self, name: str, size: int = 2 * LIMIT) -> str:
        """A push of *name* that is too large; its beginning names the channel."""
        if self.world.protocol == "v5":
            arg = {"channel": "books5", "instId": name}
            return json.dumps({"arg": arg, "data": [{"asks": "x" * size}]})
        element = {"instrument_id": name, "asks": "x" * size}
        return json.dumps({"table": "spot/depth5", "data": [element]})

    def put(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.world.peers[-1].outbox += data

    def refresh(self, at: float) -> None:
        """Send a good push of each instrument."""
        for name in NAMES:
            push = self.depth(round(at * 1000), name)
            self.world.at(at, lambda push=push: self.world.peers[-1].send(push))

    def look(self, at: float, name: str) -> None:
        """Note the states at a time."""
        self.world.at(
            at, lambda: self.states.update({name: [sub.state for sub in self.subs]})
        )


@pytest.fixture(params=["v3", "v5"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return Scene(request.param)


def test_it_is_counted_and_withdraws_the_channel_that_its_beginning_names(
    scene: Scene,
) -> None:
    world = scene.world
    scene.look(1.0, "before")
    world.at(1.1, lambda: world.peers[-1].send(scene.large("BTC-USDT")))
    scene.look(1.12, "after")
    scene.refresh(4.0)
    scene.look(5.0, "later")
    world.run(6.0)

    assert scene.states["before"] == [State.LIVE, State.LIVE]
    assert scene.states["after"] == [State.RESYNCING, State.LIVE]
    assert scene.states["later"] == [State.LIVE, State.LIVE]
    assert scene.feed.stats().dropped == {"too-large": 1}
    assert scene.feed.stats().reconnects == {}
    assert len(world.peers) == 1
    (error,) = scene.errors
    assert isinstance(error, WireError)
    assert f"more than {LIMIT} bytes" in str(error)


def test_a_beginning_that_names_no_channel_withdraws_all_of_the_connection(
    scene: Scene,
) -> None:
    binary = scene.world.protocol == "v3"
    junk = deflate("x" * 2 * LIMIT) if binary else bytes(2 * LIMIT)
    data = frame(Opcode.BINARY if binary else Opcode.TEXT, junk)
    scene.world.at(1.1, lambda: scene.put(data))
    scene.look(1.12, "after")
    scene.refresh(4.0)
    scene.look(5.0, "later")
    scene.world.run(6.0)

    assert scene.states["after"] == [State.RESYNCING, State.RESYNCING]
    assert scene.states["later"] == [State.LIVE, State.LIVE]
    assert scene.feed.stats().dropped == {"too-large": 1}
    assert len(scene.world.peers) == 1


@pytest.mark.parametrize("pieces", [1, 40])
def test_the_connection_goes_on_behind_a_message_that_came_bit_by_bit(
    scene: Scene, pieces: int
) -> None:
    """A frame of its own, or fragments; data of the other instrument follows it."""
    world, text = scene.world, scene.large("BTC-USDT", 40 * LIMIT).encode()
    size = -(-len(text) // pieces)
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    data = b"".join(
        frame(Opcode.CONT if n else Opcode.TEXT, part, fin=n == len(parts) - 1)
        for n, part in enumerate(parts)
    )
    for n in range(100):
        some = data[n * len(data) // 100 : (n + 1) * len(data) // 100]
        world.at(1.1 + n / 100, lambda some=some: scene.put(some))
    scene.look(2.6, "after")
    scene.refresh(4.0)
    scene.look(5.0, "later")
    world.run(6.0)

    assert scene.states["after"][1] is State.LIVE
    assert scene.states["later"] == [State.LIVE, State.LIVE]
    assert scene.feed.stats().dropped == {"too-large": 1}
    assert len(world.peers) == 1


@pytest.mark.parametrize("pause", [0.01, 1.0])
def test_a_frame_without_end_keeps_no_channel_live(scene: Scene, pause: float) -> None:
    """No pong can come inside a frame, so the lease ends, then the connection."""
    world, v3 = scene.world, scene.world.protocol == "v3"
    text = scene.large("BTC-USDT")
    length = (2**63 - 1).to_bytes(8, "big")
    head = b"\x82\x7f" + length if v3 else b"\x81\x7f" + length
    world.at(1.1, lambda: scene.put(head + (deflate(text) if v3 else text.encode())))
    seen: list[tuple[float, list[State]]] = []

    def go_on() -> None:
        if len(world.peers) == 1 and world.peers[0].is_open:
            scene.put(bytes(300_000))
            seen.append((world.clock.now - world.t0, [s.state for s in scene.subs]))
            world.after(pause, go_on)

    world.at(1.2, go_on)
    world.run(100.0)

    assert seen[1][1] == [State.RESYNCING, State.LIVE]
    assert all(first is not State.LIVE for _, (first, _) in seen[1:])
    # The last pong is that of the ping at 0 s, and the lease is of 15 s.
    assert all(other is not State.LIVE for at, (_, other) in seen if at >= 15.0)
    assert seen[-1][0] <= 65.0
    assert scene.feed.stats().dropped["too-large"] == 1
    assert scene.feed.stats().reconnects == {"Stalled": 1}
    assert len(world.peers) == 2
