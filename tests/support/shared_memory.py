"""Feeds whose reads go through shared memory, within one process and in any time.

The library's own code writes and reads that memory, as it does between two processes.
So every test of a read tests ``isolate=True`` too, in virtual time.
"""

from __future__ import annotations

import mmap
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

from okex_ws.base.threads import heed_fork
from okex_ws.delivery.view import View
from okex_ws.isolation.shared_memory import (
    FIRST_CHUNK,
    Chunk,
    Memory,
    Slot,
    SlotAddress,
)
from okex_ws.isolation.slot_reading import (
    ERA_CAPACITY,
    ERAS,
    RemoteEras,
    SlotReading,
    decode_era,
    slot_capacity,
)
from okex_ws.isolation.slot_writer import Relay, SharedEras
from okex_ws.pool.pool import Pool
from okex_ws.protocol.messages import ChannelName
from tests.support.internals import change_settings


class LocalMemory(Memory):
    """Shared memory of this process alone, which needs no descriptor."""

    def __init__(self) -> None:
        super().__init__("here")

    def _map(self) -> None:
        self._chunks.append(Chunk(mmap.mmap(-1, FIRST_CHUNK << len(self._chunks))))


class SharedMemoryRig:
    """The memory of one pool, with the side that writes and the side that reads."""

    def __init__(self, pool: Pool) -> None:
        self.wire = pool.wire
        self.memory = LocalMemory()
        self.views: weakref.WeakSet[SharedView] = weakref.WeakSet()
        addresses = [self.memory.allocate(ERA_CAPACITY) for _ in range(ERAS)]
        theirs = [self.memory.slot(address, decode_era) for address in addresses]
        self.remote = RemoteEras(theirs, lambda: True)
        self.remote.lose()
        ours = [self.memory.slot(address) for address in addresses]
        self.eras = SharedEras(ours, 1, self.flush)
        change_settings(pool, era=self.eras.make)

    def reading(
        self,
        name: ChannelName,
        address: SlotAddress,
        doubt: Callable[[], None] = lambda: None,
    ) -> SlotReading:
        """Reads the slot at *address*, as the script's process does."""
        return SlotReading(name, self.wire, self.memory, address, self.remote, doubt)

    def flush(self) -> None:
        for view in self.views:
            view.flush()


class SharedView(Relay):
    """Delivers as a `View` does, but reads what it wrote to the shared memory."""

    def __init__(
        self,
        memory_rig: SharedMemoryRig,
        subscription: Any,
        label: str,
        limits: Any,
        clock: Any,
        calls: Any,
    ) -> None:
        super().__init__(0, label, clock, calls, {}, self._told)
        self.subscription, self.limits = subscription, limits
        self.memory_rig = memory_rig
        self.reads = View(subscription, label, limits, clock, calls)

    def carry(self, readings: Any) -> None:
        remote, slots = {}, {}
        for topic, reading in readings.items():
            address = self.memory_rig.memory.allocate(slot_capacity(reading.described))
            remote[topic] = self.memory_rig.reading(
                reading.described, address, partial(self.doubt, topic)
            )
            ours: Slot = self.memory_rig.memory.slot(address)
            slots[topic] = (ours, 0)
        self._slots = slots
        self.reads.carry(remote)
        super().carry(readings)
        self.memory_rig.views.add(self)

    def _told(self, kind: str, *rest: Any) -> None:
        if kind == "woken":
            View.wake(self)
        elif kind == "refused":
            _, topic, error = rest
            self.reads.readings[topic].error = error

    def _reader(self) -> View:
        heed_fork()
        self.reads.error, self.reads.closed = self.error, self.closed
        return self.reads

    # --- Reads of a script ----------------------------------------------------------

    def depth_dict(self, limits: Any, rpi: bool = False) -> Any:
        return self._reader().depth_dict(limits, rpi)

    def depth(self, limits: Any, rpi: bool = False) -> Any:
        return self._reader().depth(limits, rpi)

    def best_bid_ask(self, limits: Any, rpi: bool = False) -> Any:
        return self._reader().best_bid_ask(limits, rpi)

    @property
    def book(self) -> Any:
        return self._reader().book

    @property
    def state(self) -> Any:
        return self._reader().state

    def health(self) -> Any:
        return self._reader().health()


def make_shared_view(
    pool: Pool, subscription: Any, label: str, limits: Any, callbacks: Any
) -> View:
    """Replaces `Pool.make_view`: the new view reads through shared memory."""
    memory_rig = vars(pool).setdefault("memory_rig", None) or SharedMemoryRig(pool)
    pool.memory_rig = memory_rig  # type: ignore[attr-defined]
    return SharedView(memory_rig, subscription, label, limits, pool.clock, callbacks)
