"""What a feed shows is written at once, in order, and never under a wrong lease."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from okex_ws import ConnectionLost, Feed, OkexWSError, State
from okex_ws.base.clock import SystemClock
from okex_ws.base.state import NO_CAUSE
from okex_ws.channels.base import Channel
from okex_ws.channels.depth import DepthChannel
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.isolation.shared_memory import Memory, SlotAddress
from okex_ws.isolation.slot_reading import (
    ERA_CAPACITY,
    RemoteEras,
    SlotReading,
    decode_era,
    slot_capacity,
)
from okex_ws.isolation.slot_writer import Relay, SharedEras, SlotWriter
from okex_ws.pool.handover import Move, move
from okex_ws.pool.register import Register, Row, Table
from okex_ws.protocol.messages import DepthData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import EVERYTHING, NOTHING, Lease
from okex_ws.trust.reading import ServingEntry, read, take
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Published
from tests.support.causes import because
from tests.support.clocks import FakeClock
from tests.support.internals import around_era_writes, pool_of
from tests.support.shared_memory import LocalMemory, SharedMemoryRig
from tests.support.virtual_world import World

NAME = V5.channel("depth5", "spot", "BTC-USDT")
LEASE = Lease(1e12, 0.0)


class WrittenChannel:
    """A channel as its connection has it, and as another process sees it."""

    def __init__(self, eras: int = 2, base: int = 0) -> None:
        self.memory = memory = LocalMemory()
        addresses = [memory.allocate(ERA_CAPACITY) for _ in range(eras)]
        self.flushed = 0
        self.eras = SharedEras(
            [memory.slot(address) for address in addresses], 1, self._flush
        )
        remote = RemoteEras(
            [memory.slot(address, decode_era) for address in addresses], lambda: True
        )
        remote.lose()
        address = self.address = memory.allocate(slot_capacity(NAME))
        self.doubts: list[int] = []
        self.reading = SlotReading(
            NAME, V5, memory, address, remote, lambda: self.doubts.append(1)
        )
        self.slot = memory.slot(address)
        self.channel: Channel = DepthChannel(V5, NAME)
        self.writer = SlotWriter(self.channel.reading, self.slot, base)

    def _flush(self) -> None:
        self.flushed += 1
        self.writer.flush()

    def show(self, bid: str, era: Any, epoch: int = 1) -> None:
        data = DepthData([[bid, "1", "0", "1"]], [], 1, None)
        self.channel.current = Published(
            State.LIVE, NO_CAUSE, epoch, era, data, 1.0, 2.0
        )
        self.writer.flush()

    def seen(self) -> Any:
        verdict, taken, _ = read(self.reading, NO_LIMITS, FakeClock(5.0, 5.0))
        return taken.current.depth.bids[0][0] if verdict is LIVE else verdict.state


# --- Eras -----------------------------------------------------------------------------


def test_the_signs_of_life_are_seen_as_they_are_set() -> None:
    rig = WrittenChannel()
    era = rig.eras.make(3.0)
    rig.show("100.1", era)
    seen = [rig.seen()]

    era.renew(LEASE, 3.0)
    seen.append(rig.seen())
    era.hear(4.5)
    remote = rig.reading.current.era
    assert remote is not None
    assert (remote.heard, remote.lease, remote.withdrawn) == (4.5, LEASE, NOTHING)
    era.lose()
    seen.append(rig.seen())

    assert seen == [State.SYNCING, "100.1", State.RECONNECTING]
    assert remote.withdrawn is EVERYTHING
    # To its own process it is an era like any other.
    assert (era.heard, era.lease, era.lost) == (4.5, LEASE, True)


def test_what_was_withdrawn_is_so_before_a_new_lease() -> None:
    rig = WrittenChannel()
    era = rig.eras.make(3.0)
    era.renew(Lease(4.0, 0.0), 3.0)
    rig.show("100.1", era)
    assert rig.seen() is State.STALE
    # The thread that withdraws has not written that yet.
    rig.channel.current = rig.channel.current._replace(state=State.RESYNCING, data=None)
    seen: list[Any] = []

    def look(write: Callable[[], None]) -> None:
        seen.append(rig.seen())
        write()
        seen.append(rig.seen())

    with pytest.MonkeyPatch.context() as patch:
        around_era_writes(patch, look)
        era.renew(LEASE, 5.0)

    assert seen == [State.RESYNCING, State.RESYNCING]


def test_a_lease_that_follows_a_lapse_begins_a_new_epoch_in_one_store() -> None:
    rig = WrittenChannel(base=41)
    era = rig.eras.make(3.0)
    era.renew(Lease(4.0, 0.0), 3.0)
    rig.show("100.1", era)
    assert (rig.seen(), rig.reading.epoch) == (State.STALE, 42)

    era.renew(LEASE._replace(lapses=1), 4.5)

    assert (rig.seen(), rig.reading.epoch) == ("100.1", 43)


def test_the_epoch_does_not_fall_when_the_connection_is_made_anew() -> None:
    rig = WrittenChannel(eras=1)
    epochs = []
    for lapses in (3, 0, 1):
        era = rig.eras.make(1.0)
        rig.channel.opened(era, 1.0)
        rig.writer.flush()
        epochs.append(rig.reading.epoch)
        era.renew(LEASE._replace(lapses=lapses), 1.0)
        rig.show("100.1", era, rig.channel.current.epoch + 1)
        epochs.append(rig.reading.epoch)
        era.lose()
        epochs.append(rig.reading.epoch)
        # Before this is written, a later opening has the slot of its era.
        later = rig.eras.make(2.0)
        epochs.append(rig.reading.epoch)
        rig.channel.lost(because("gone"), 2.0)
        rig.writer.flush()
        epochs.append(rig.reading.epoch)
        later.lose()

    assert epochs == sorted(epochs)


def test_a_kind_is_withdrawn_in_one_store() -> None:
    """No reader finds one of two channels withdrawn and the other one not."""
    rig = WrittenChannel()
    era = rig.eras.make(3.0)
    era.renew(LEASE, 3.0)
    rig.show("100.1", era)
    before = take(rig.reading)
    assert before is not None

    era.withdraw([rig.channel], because("a fault"))
    held = rig.seen(), before.judge(NO_LIMITS, 5.0, 5.0).state
    rig.channel.invalidated(because("it may be wrong"), 4.0)
    flushed = rig.flushed
    era.settle()

    assert held == (State.RESYNCING, State.RESYNCING)
    assert rig.flushed == flushed + 1
    assert rig.seen() is State.RESYNCING
    rig.show("100.2", era, 2)
    assert rig.seen() == "100.2"


def test_what_was_held_and_then_lost_is_not_given_again() -> None:
    rig = WrittenChannel()
    era = rig.eras.make(3.0)
    era.renew(LEASE, 3.0)
    rig.show("100.1", era)
    era.withdraw([rig.channel], because("a fault"))
    era.lose()
    era.settle()

    assert rig.seen() is State.RECONNECTING


def test_an_era_that_has_the_slot_of_a_lost_one_is_another_one() -> None:
    rig = WrittenChannel(eras=1)
    first = rig.eras.make(1.0)
    first.renew(LEASE, 1.0)
    rig.show("100.1", first)
    old = take(rig.reading)
    assert old is not None
    first.lose()

    second = rig.eras.make(2.0)
    second.renew(LEASE, 2.0)

    assert rig.seen() is State.RECONNECTING
    assert old.judge(NO_LIMITS, 5.0, 5.0).state is State.RECONNECTING
    rig.show("100.2", second)
    assert rig.seen() == "100.2"
    assert old.judge(NO_LIMITS, 5.0, 5.0).state is State.RECONNECTING


def test_more_eras_than_slots_are_an_error_of_their_connection() -> None:
    rig = WrittenChannel(eras=2)
    first, _ = rig.eras.make(1.0), rig.eras.make(1.0)
    with pytest.raises(ConnectionLost, match="2 connections of one isolated feed"):
        rig.eras.make(1.0)
    first.lose()
    first.lose()  # its slot is given back once
    rig.eras.make(1.0)
    with pytest.raises(ConnectionLost):
        rig.eras.make(1.0)


# --- A handover -----------------------------------------------------------------------


def test_a_reading_that_is_led_to_another_channel_is_written_with_its_era() -> None:
    """No lease of the old connection is written while the slot has its value."""
    rig = WrittenChannel()
    old, new = rig.eras.make(3.0), rig.eras.make(3.0)
    old.renew(LEASE, 3.0)
    new.renew(LEASE._replace(lapses=2), 3.0)
    rig.show("100.1", old, 5)
    standby = DepthChannel(V5, NAME, rig.channel.reading)
    data = DepthData([["100.2", "1", "0", "1"]], [], 1, None)
    standby.current = Published(State.LIVE, NO_CAUSE, 1, new, data, 1.0, 2.0)
    reading = rig.channel.reading
    seen: list[Any] = []

    def look(write: Callable[[], None]) -> None:
        seen.append((rig.seen(), rig.reading.epoch))
        write()

    reading.entry = ServingEntry(standby, reading.epoch - standby.own_epoch)
    with pytest.MonkeyPatch.context() as patch:
        around_era_writes(patch, look)
        # Its thread leaves the channel, and has not written the new value.
        old.renew(LEASE, 4.0)

    assert seen == [("100.2", 5)]
    old.lose()
    assert (rig.seen(), rig.reading.epoch) == ("100.2", 5)


class Line:
    """A carrier that carries nothing out."""

    path: Any = None
    most = 100.0
    error = None

    def submit(self, work: Callable[[], None]) -> None: ...

    def close(self) -> None: ...


def moved(rig: WrittenChannel, standby: Channel, slot: SlotAddress) -> None:
    """Have the register lead the reading of *rig* to *standby*, for a relay's slot."""
    reading, name = rig.channel.reading, rig.channel.name
    one = relay(rig.memory, {"depth5": slot}, Told())
    one.carry({"depth5": reading})
    old, new = Line(), Line()
    row = Row(reading, rig.channel, old, (one,))
    register = Register()
    register.change(lambda _: Table({name: row}, (old, new), (one,)))
    known = {name: Move(standby, True, True, standby.own_epoch)}
    move(register, old, new, known, lambda _: standby, 4.0)


def test_a_channel_that_has_just_taken_over_withdraws_for_other_processes_too() -> None:
    """Its thread has not looked at the register since, and its followers know."""
    rig = WrittenChannel()
    old, new = rig.eras.make(3.0), rig.eras.make(3.0)
    old.renew(LEASE, 3.0)
    new.renew(LEASE, 3.0)
    rig.show("100.1", old)
    standby = DepthChannel(V5, NAME, rig.channel.reading)
    data = DepthData([["100.2", "1", "0", "1"]], [], 1, None)
    standby.current = Published(State.LIVE, NO_CAUSE, 1, new, data, 1.0, 2.0)
    moved(rig, standby, rig.address)
    taken = rig.seen()

    standby.invalidated(because("it may be wrong"), 4.0)

    assert (taken, rig.seen()) == ("100.2", State.RESYNCING)


# --- Slots ----------------------------------------------------------------------------


def test_epochs_go_on_from_those_of_the_process_before() -> None:
    rig = WrittenChannel(base=41)
    rig.show("100.1", rig.eras.make(1.0))

    assert rig.reading.current.epoch == 42


def too_long(rig: WrittenChannel) -> DepthData:
    return DepthData([["9" * 5000, "1"]], [], 1, None)


def of_no_form(rig: WrittenChannel) -> DepthData:
    return DepthData([[object(), "1"]], [], 1, None)


@pytest.mark.parametrize("data", [too_long, of_no_form])
def test_what_cannot_be_written_is_withdrawn_counted_and_said(
    data: Any, caplog: pytest.LogCaptureFixture
) -> None:
    rig = WrittenChannel()
    era = rig.eras.make(1.0)
    era.renew(LEASE, 1.0)
    rig.show("100.1", era)

    for _ in range(3):
        rig.channel.current = rig.channel.current._replace(data=data(rig))
        rig.writer.flush()

    assert rig.seen() is State.RESYNCING
    assert "does not fit in shared memory" in rig.reading.current.cause.text
    assert rig.channel.counts == {"skipped too large": 3}
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    # What comes after it is another epoch: there was none in between.
    before = rig.reading.current.epoch
    rig.show("100.3", era)
    assert rig.seen() == "100.3"
    assert rig.reading.current.epoch > before


def test_who_has_left_writes_nothing_more() -> None:
    rig = WrittenChannel()
    era = rig.eras.make(1.0)
    era.renew(LEASE, 1.0)
    rig.show("100.1", era)
    rig.writer.leave()
    rig.show("100.2", era)

    assert rig.seen() == "100.1"


def test_two_threads_write_one_channel_in_its_own_order() -> None:
    """Of two connections of one subscription, each writes what the other shows too."""
    rig = WrittenChannel()
    era = rig.eras.make(1.0)
    era.renew(LEASE, 1.0)
    stop = threading.Event()

    def other() -> None:
        while not stop.is_set():
            rig.writer.flush()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for number in range(3000):
            rig.show(f"{number}", era)
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


def attached(world: World, told: Told) -> tuple[Feed, Relay, dict[str, SlotReading]]:
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
    one = relay(memory_rig.memory, addresses, told)
    readings = {
        topic: memory_rig.reading(name, addresses[topic], partial(one.doubt, topic))
        for topic, name in names.items()
    }
    pool.attach(one, names)
    return feed, one, readings


def test_a_subscription_is_written_as_it_goes_on(told: Told) -> None:
    world = World("v5")
    key = world.dialect.channel("depth5")
    world.exchange.first_pushes[key] = world.dialect.depth(0)
    _, _, readings = attached(world, told)
    seen: list[Any] = []

    def look() -> None:
        seen.append([str(readings[topic].current.state) for topic in readings])
        seen.append([readings[topic].acknowledged for topic in readings])

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

    # With its only depth the subscription has failed, and is told no more.
    refused = [word[1:3] for word in told if word[0] == "refused"]
    assert refused == [(7, "depth5")]
    failed = [word for word in told if word[0] == "failed"]
    assert {type(word[2]) for word in failed} <= {OkexWSError, type(one.error)}
    assert failed[0][1:] == (7, one.error)


def test_a_refusal_of_one_channel_is_told_once_and_is_no_failure(told: Told) -> None:
    world = World("v5")
    world.exchange.unknown.add(world.dialect.channel("trade"))
    attached(world, told)
    world.at(1, lambda: world.peer and world.peer.drop())

    world.run(3)

    refused = [word[1:3] for word in told if word[0] == "refused"]
    assert refused == [(7, "trade")]
    assert "failed" not in {word[0] for word in told}


def test_who_left_is_not_written_though_the_feed_goes_on(told: Told) -> None:
    world = World("v5")
    key = world.dialect.channel("depth5")
    world.exchange.first_pushes[key] = world.dialect.depth(0)
    _, one, readings = attached(world, told)
    world.at(1, one.leave)
    world.at(2, lambda: world.peer and world.peer.drop())

    world.run(3)

    assert readings["depth5"].current.state is State.LIVE
