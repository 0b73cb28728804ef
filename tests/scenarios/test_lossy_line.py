"""A short lease on a line that loses packets: reads say no, and nothing reconnects.

An hour of virtual time. The line is one of TCP: what was lost is sent again after a
while that doubles, and everything behind it waits.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from okex_ws import Depth, NotLive
from tests.support import virtual_world
from tests.support.virtual_world import V5, Peer, World

HOUR = 3600.0
LOSS = 0.005
# Linux's least wait, beyond the round trip, before it sends again.
LEAST_WAIT = 0.2


class Way:
    """One direction of the line."""

    def __init__(self, rng: random.Random, delay: float) -> None:
        self.rng, self.delay = rng, delay
        self.last = 0.0

    def arrival(self, now: float) -> float:
        """When what is sent *now* comes."""
        wait = 2 * self.delay + LEAST_WAIT
        while self.rng.random() < LOSS:
            now, wait = now + wait, 2 * wait
        self.last = max(self.last, now + self.delay)
        return self.last


class LossyWorld(World):
    """A world with such a line, on which a depth is pushed twice a second."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, delay: float) -> None:
        super().__init__("v5")
        monkeypatch.setattr(virtual_world, "LATENCY", 0.0)
        rng = random.Random(11)
        self.there, self.back = Way(rng, delay), Way(rng, delay)
        self.open_pings = self.most_pings = 0
        asked, send = self.exchange.asked, Peer.send

        def ask(peer: Peer, text: str) -> None:
            if text == "ping":
                self.open_pings += 1
                self.most_pings = max(self.most_pings, self.open_pings)
            self._at(self.there, lambda: asked(peer, text))

        def answer(peer: Peer, message: object) -> None:
            def come() -> None:
                self.open_pings -= message == "pong"
                send(peer, message)

            self._at(self.back, come)

        monkeypatch.setattr(self.exchange, "asked", ask)
        monkeypatch.setattr(Peer, "send", answer)
        # When the depth of each number was pushed.
        self.pushed: list[float] = []
        self.push()

    def _at(self, way: Way, action: Any) -> None:
        self.after(way.arrival(self.clock.now) - self.clock.now, action)

    def push(self) -> None:
        time_ms = round((self.clock.now - self.t0) * 1000)
        key = V5.channel("books5")
        for peer in self.peers[-1:]:
            if key in peer.subscribed:
                peer.send(V5.depth(time_ms, seq=len(self.pushed)))
        self.pushed.append(self.clock.now)
        self.after(0.5, self.push)


@pytest.mark.parametrize("delay", [0.15, 0.3])
def test_two_seconds_of_lease_refuse_now_and_then_and_never_reconnect(
    monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    world = LossyWorld(monkeypatch, delay)
    lease = 2.0
    okx = world.subscribe(channels=("depth5",), lease=lease)
    oldest, reads, refusals, stats = 0.0, 0, 0, []

    def read() -> None:
        nonlocal oldest, reads, refusals
        reads += 1
        world.after(0.1, read)
        try:
            depth: Depth = okx.depth()
        except NotLive:
            refusals += 1
            return
        assert depth.seq is not None
        replaced = world.pushed[depth.seq + 1 : depth.seq + 2]
        oldest = max([oldest, *(world.clock.now - at for at in replaced)])

    world.at(5.0, read)
    world.at(HOUR, lambda: stats.append(okx.stats()))
    world.run(HOUR + 1)

    assert stats[0].reconnects == {}
    assert stats[0].dropped == {}
    assert oldest <= lease
    assert refusals < 0.005 * reads
    assert world.most_pings <= 3
    # One every third of the lease.
    assert len(world.exchange.pings) > 0.98 * HOUR / (lease / 3)
