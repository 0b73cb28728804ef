"""A short lease on a line that loses packets: reads say no, and nothing reconnects.

An hour of virtual time. The line is one of TCP: what was lost is sent again after a
while that doubles, and everything behind it waits.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from okex_ws import NotLive, State, StateChange, Stats, WSSubscription
from tests.support import virtual_world
from tests.support.virtual_world import V5, Peer, World

HOUR = 3600.0
LOSS = 0.005
# Linux's least wait, beyond the round trip, before it sends again.
LEAST_WAIT = 0.2


class Way:
    """One direction of the line."""

    def __init__(self, rng: random.Random, delay: float, loss: float) -> None:
        self.rng, self.delay, self.loss = rng, delay, loss
        self.last = 0.0

    def arrival(self, now: float) -> float:
        """When what is sent *now* comes."""
        wait = 2 * self.delay + LEAST_WAIT
        while self.rng.random() < self.loss:
            now, wait = now + wait, 2 * wait
        self.last = max(self.last, now + self.delay)
        return self.last


class LossyWorld(World):
    """A world with such a line, on which a depth is pushed *every* so many seconds."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        delay: float,
        loss: float = LOSS,
        every: float = 0.5,
    ) -> None:
        super().__init__("v5")
        monkeypatch.setattr(virtual_world, "LATENCY", 0.0)
        rng = random.Random(11)
        self.there, self.back = Way(rng, delay, loss), Way(rng, delay, loss)
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
        self.every = every
        self.push()

    def _at(self, way: Way, action: Callable[[], object]) -> None:
        self.after(way.arrival(self.clock.now) - self.clock.now, action)

    def push(self) -> None:
        time_ms = round((self.clock.now - self.t0) * 1000)
        key = V5.channel("books5")
        for peer in self.peers[-1:]:
            if key in peer.subscribed:
                peer.send(V5.depth(time_ms, seq=len(self.pushed)))
        self.pushed.append(self.clock.now)
        self.after(self.every, self.push)


class Reads:
    """What a script's reads of *okx* give, ten times a second from *since* on."""

    def __init__(self, world: LossyWorld, okx: WSSubscription, since: float) -> None:
        self.world, self.okx = world, okx
        self.count = self.refused = 0
        # For how many seconds a depth had been replaced when it was given, at most.
        self.oldest = 0.0
        world.at(since, self.read)

    def read(self) -> None:
        self.count += 1
        self.world.after(0.1, self.read)
        try:
            seq = self.okx.depth().seq
        except NotLive:
            self.refused += 1
            return
        assert seq is not None
        now = self.world.clock.now
        replaced = [now - at for at in self.world.pushed[seq + 1 : seq + 2]]
        self.oldest = max(self.oldest, *replaced, 0.0)


@pytest.mark.once
@pytest.mark.parametrize("delay", [0.15, 0.3])
def test_two_seconds_of_lease_refuse_now_and_then_and_never_reconnect(
    monkeypatch: pytest.MonkeyPatch, delay: float
) -> None:
    world = LossyWorld(monkeypatch, delay)
    okx = world.subscribe(channels=("depth5",), lease=2.0)
    reads = Reads(world, okx, 5.0)
    stats = []
    world.at(HOUR, lambda: stats.append(okx.stats()))

    world.run(HOUR + 1)

    assert stats[0].reconnects == {}
    assert stats[0].dropped == {}
    assert reads.oldest <= 2.0
    assert reads.refused < 0.005 * reads.count
    assert world.most_pings <= 3
    # One every third of the lease.
    assert len(world.exchange.pings) > 0.98 * HOUR / (2.0 / 3)


@pytest.mark.parametrize("came", [20.0 + number / 10 for number in range(10)])
@pytest.mark.parametrize("dies", [30.0, 30.2, 30.4, 30.6])
def test_after_a_pong_that_was_not_asked_for_no_read_is_older_than_the_lease(
    monkeypatch: pytest.MonkeyPatch, came: float, dies: float
) -> None:
    """The line is so slow that a ping is always open, and dies a while later."""
    world = LossyWorld(monkeypatch, 0.5, loss=0.0, every=0.1)
    world.there.delay, world.back.delay = 0.05, 0.9
    okx = world.subscribe(channels=("depth5",), lease=2.0)
    reads = Reads(world, okx, 5.0)
    world.at(came, lambda: world.peers[0].send("pong"))
    before: list[int] = []

    def die() -> None:
        before.append(reads.refused)
        world.back.delay = HOUR

    world.at(dies, die)
    world.run(38)

    assert before == [0]
    assert 1.0 < reads.oldest <= 2.0
    assert reads.refused > 50


def test_a_line_slower_than_the_lease_is_stale_and_not_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pongs come, each after the end of its lease: that begins no epoch."""
    world = LossyWorld(monkeypatch, 0.1, loss=0.0)
    changes: list[StateChange] = []
    stats: list[Stats] = []
    okx = world.subscribe(channels=("depth5",), lease=2.0, on_state=changes.append)

    def become(delay: float) -> None:
        world.there.delay = world.back.delay = delay

    world.at(10.0, lambda: become(1.25))
    world.at(30.0, lambda: become(0.1))
    world.at(39.0, lambda: stats.append(okx.stats()))

    world.run(40)

    # Once more for a pong that was just in time, when the line had become slow.
    told = [(change.new, change.epoch) for change in changes[1:-1]]
    assert told == [
        *((State.LIVE, 1), (State.STALE, 1)),
        *((State.LIVE, 2), (State.STALE, 2)),
        (State.LIVE, 3),
    ]
    assert stats[0].reconnects == {}
