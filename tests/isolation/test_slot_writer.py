"""What a feed shows is written at once, in order, and never under a wrong lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws import ConnectionLost, Feed, OkexWSError, State
from okex_ws.base.clock import SystemClock
from okex_ws.channels.base import Channel
from okex_ws.channels.depth import DepthChannel
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.isolation.shared_memory import Memory, SlotAddress
from okex_ws.isolation.slot_reading import (
    ERA_CAPACITY,
    AnyMirror,
    RemoteEras,
    decode_era,
    make_mirror,
    slot_capacity,
)
from okex_ws.isolation.slot_writer import Relay, SharedEras, SlotWriter
from okex_ws.protocol.messages import DepthData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Lease
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Published, judge
from tests.support.internals import around_link_writes, pool_of
from tests.support.shared_memory import LocalMemory, SharedMemoryRig
from tests.support.virtual_world import World

NAME = V5.channel("depth5", "spot", "BTC-USDT")
LEASE = Lease(1e12, 0.0)


class WrittenChannel:
    """A channel as its connection has it, and as another process sees it."""

    def __init__(self, links: int = 2, base: int = 0) -> None:
        memory = LocalMemory()
        addresses = [memory.allocate(ERA_CAPACITY) for _ in range(links)]
        self.flushed = 0
        self.links = SharedEras(
            [memory.slot(address) for address in addresses], 1, self._flush
        )
        remote = RemoteEras(
            [memory.slot(address, decode_era) for address in addresses], lambda: True
        )
        remote.lose()
        address = memory.allocate(slot_capacity(NAME))
        self.mirror: AnyMirror = make_mirror(
            V5, NAME, memory.slot(address, remote.decode)
        )
        self.slot = memory.slot(address)
        self.channel: Channel = DepthChannel(V5, NAME)
        self.writer = SlotWriter(self.channel, self.slot, base)

    def _flush(self) -> None:
        self.flushed += 1
        self.writer.flush()

    def show(self, bid: str, link: Any, epoch: int = 1) -> None:
        data = DepthData([[bid, "1", "0", "1"]], [], 1, None)
        self.channel.current = Published(State.LIVE, "", epoch, link, data, 1.0, 2.0)
        self.writer.flush()

    def seen(self) -> Any:
        shown = self.mirror.current
        verdict = judge(shown, NO_LIMITS, 5.0, 5.0)
        return shown.depth.bids[0][0] if verdict is LIVE else verdict.state


# --- Links ----------------------------------------------------------------------------


def test_the_signs_of_life_are_seen_as_they_are_set() -> None:
    rig = WrittenChannel()
    link = rig.links.make(3.0)
    rig.show("100.1", link)
    seen = [rig.seen()]

    link.lease = LEASE
    seen.append(rig.seen())
    link.heard = 4.5
    remote = rig.mirror.current.link
    assert remote is not None
    assert (remote.heard, remote.lease, remote.lost) == (4.5, LEASE, False)
    link.lost = True
    seen.append(rig.seen())

    assert seen == [State.SYNCING, "100.1", State.RECONNECTING]
    # To its own process it is a link like any other.
    assert (link.heard, link.lease, link.lost) == (4.5, LEASE, True)


def test_what_was_withdrawn_is_so_before_a_new_lease() -> None:
    rig = WrittenChannel()
    link = rig.links.make(3.0)
    link.lease = Lease(4.0, 0.0)
    rig.show("100.1", link)
    assert rig.seen() is State.STALE
    rig.channel.lapsed()
    seen: list[Any] = []

    def look(write: Callable[[], None]) -> None:
        write()
        seen.append(rig.seen())

    with pytest.MonkeyPatch.context() as patch:
        around_link_writes(patch, look)
        link.lease = LEASE

    assert seen == [State.STALE]
    rig.channel.renewed()
    rig.writer.flush()
    assert (rig.seen(), rig.mirror.current.epoch) == ("100.1", 2)


def test_a_link_that_has_the_place_of_a_lost_one_is_another_one() -> None:
    rig = WrittenChannel(links=1)
    first = rig.links.make(1.0)
    first.lease = LEASE
    rig.show("100.1", first)
    old = rig.mirror.current
    first.lost = True

    second = rig.links.make(2.0)
    second.lease = LEASE

    assert rig.seen() is State.RECONNECTING
    assert judge(old, NO_LIMITS, 5.0, 5.0).state is State.RECONNECTING
    rig.show("100.2", second)
    assert rig.seen() == "100.2"
    assert judge(old, NO_LIMITS, 5.0, 5.0).state is State.RECONNECTING


def test_more_links_than_places_are_an_error_of_their_connection() -> None:
    rig = WrittenChannel(links=2)
    first, _ = rig.links.make(1.0), rig.links.make(1.0)
    with pytest.raises(ConnectionLost, match="2 connections of one isolated feed"):
        rig.links.make(1.0)
    first.lost = True
    rig.links.make(1.0)


# --- Berths ---------------------------------------------------------------------------


def test_epochs_go_on_from_those_of_the_process_before() -> None:
    rig = WrittenChannel(base=41)
    rig.show("100.1", rig.links.make(1.0))

    assert rig.mirror.current.epoch == 42


def too_long(rig: WrittenChannel) -> DepthData:
    return DepthData([["9" * 5000, "1"]], [], 1, None)


def of_no_form(rig: WrittenChannel) -> DepthData:
    return DepthData([[object(), "1"]], [], 1, None)


@pytest.mark.parametrize("data", [too_long, of_no_form])
def test_what_cannot_be_written_is_withdrawn_counted_and_said(
    data: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = WrittenChannel()
    link = rig.links.make(1.0)
    link.lease = LEASE
    rig.show("100.1", link)

    for _ in range(3):
        rig.channel.current = rig.channel.current._replace(data=data(rig))
        rig.writer.flush()

    assert rig.seen() is State.RESYNCING
    assert "does not fit in shared memory" in rig.mirror.current.cause
    assert rig.channel.counts == {"skipped too large": 3}
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    # What comes after it is another epoch: there was none in between.
    before = rig.mirror.current.epoch
    rig.show("100.3", link)
    assert rig.seen() == "100.3"
    assert rig.mirror.current.epoch > before


def test_who_has_left_writes_nothing_more() -> None:
    rig = WrittenChannel()
    link = rig.links.make(1.0)
    link.lease = LEASE
    rig.show("100.1", link)
    rig.writer.leave()
    rig.show("100.2", link)

    assert rig.seen() == "100.1"


def test_two_threads_write_one_channel_in_its_own_order() -> None:
    """Of two connections of one subscription, each writes what the other shows too."""
    rig = WrittenChannel()
    link = rig.links.make(1.0)
    link.lease = LEASE
    stop = threading.Event()

    def other() -> None:
        while not stop.is_set():
            rig.writer.flush()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for number in range(3000):
            rig.show(f"{number}", link)
            assert rig.seen() == f"{number}"
    finally:
        stop.set()
        thread.join()


# --- A subscription -------------------------------------------------------------------


class Told(list[Any]):
    def say(self, kind: str, *rest: Any) -> None:
        self.append((kind, *rest))


def relay(memory: Memory, addresses: dict[str, SlotAddress], told: Told) -> Relay:
    clock = SystemClock()
    callbacks = Callbacks("BTC-USDT", clock)
    slots = {topic: (memory.slot(address), 0) for topic, address in addresses.items()}
    return Relay(7, "BTC-USDT", clock, callbacks, slots, told.say)


@pytest.fixture
def told() -> Told:
    return Told()


def attached(world: World, told: Told) -> tuple[Feed, Relay, dict[str, AnyMirror]]:
    """A relay of two channels in *world*, and what is read of them."""
    feed = world.feed()
    pool: Any = pool_of(feed)
    memory_rig = SharedMemoryRig(pool)
    names = {
        topic: pool.wire.channel(topic, "spot", "BTC-USDT")
        for topic in ("depth5", "trade")
    }
    addresses = {
        topic: memory_rig.memory.allocate(slot_capacity(name))
        for topic, name in names.items()
    }
    mirrors = {
        topic: make_mirror(
            pool.wire,
            name,
            memory_rig.memory.slot(addresses[topic], memory_rig.remote.decode),
        )
        for topic, name in names.items()
    }
    one = relay(memory_rig.memory, addresses, told)
    pool.attach(one, names)
    return feed, one, mirrors


def test_a_subscription_is_written_as_it_goes_on(told: Told) -> None:
    world = World("v5")
    key = world.dialect.channel("depth5")
    world.exchange.first_pushes[key] = world.dialect.depth(0)
    _, _, mirrors = attached(world, told)
    seen: list[Any] = []

    def look() -> None:
        seen.append([str(mirrors[topic].current.state) for topic in mirrors])
        seen.append([mirrors[topic].acknowledged for topic in mirrors])

    world.at(1, look)
    world.at(2, lambda: world.peer and world.peer.drop())
    world.at(2.001, look)

    world.run(3)

    assert seen == [
        ["LIVE", "LIVE"],
        [True, True],
        ["RECONNECTING", "RECONNECTING"],
        [False, False],
    ]
    kinds = {kind for kind, *_ in told}
    assert kinds == {"woken", "trouble"}
    ((_, numbers, error),) = [word for word in told if word[0] == "trouble"]
    assert numbers == [7]
    assert isinstance(error, ConnectionLost)


def test_a_refusal_is_told_once_and_a_failure_with_its_error(told: Told) -> None:
    world = World("v5")
    for topic in ("depth5", "trade"):
        world.exchange.unknown.add(world.dialect.channel(topic))
    _, one, _ = attached(world, told)

    world.run(2)

    refused = [word[1:3] for word in told if word[0] == "refused"]
    assert sorted(refused) == [(7, "depth5"), (7, "trade")]
    failed = [word for word in told if word[0] == "failed"]
    assert {type(word[2]) for word in failed} <= {OkexWSError, type(one.error)}
    assert failed[0][1:] == (7, one.error)


def test_who_left_is_not_written_though_the_feed_goes_on(told: Told) -> None:
    world = World("v5")
    key = world.dialect.channel("depth5")
    world.exchange.first_pushes[key] = world.dialect.depth(0)
    _, one, mirrors = attached(world, told)
    world.at(1, one.leave)
    world.at(2, lambda: world.peer and world.peer.drop())

    world.run(3)

    assert mirrors["depth5"].current.state is State.LIVE
