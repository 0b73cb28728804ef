"""The slots of an isolated feed in shared memory, as the script's process holds them.

While the worker process runs, it alone writes to them. This process writes to a slot
only while no worker process runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from ..base.state import Cause, State
from ..delivery.view import View
from ..model.reports import Stats, add, of_subscription
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName
from ..trust.verdict import Published
from .shared_memory import Memory, SlotAddress
from .slot_reading import (
    ERA_CAPACITY,
    ERAS,
    RemoteEras,
    SlotReading,
    decode_era,
    slot_capacity,
)
from .slot_writer import SlotAssignment


class SubscriptionSlots:
    """The slots of one subscription of an isolated feed, their readings, its counts.

    A slot is a place in shared memory for the newest value of one channel; its reading
    reads the value there. The worker process writes to the slots; `withdraw`, which
    writes too, is called only while no worker process runs.
    `IsolatedPool` calls the methods, holding its lock. *number* identifies the
    subscription in messages.
    """

    def __init__(
        self, view: View, number: int, names: Mapping[str, ChannelName]
    ) -> None:
        self.view = view
        self.number = number
        self.names = names
        self.addresses: dict[str, SlotAddress] = {}
        self.readings: dict[str, SlotReading] = {}
        # The counts of the worker processes that ended, and the last known counts of
        # the present one.
        self.past = Stats()
        self.last = Stats()

    def assignments(self) -> dict[str, SlotAssignment]:
        """The slot and the present epoch of each channel that was not refused."""
        return {
            topic: SlotAssignment(self.addresses[topic], reading.epoch)
            for topic, reading in self.readings.items()
            if reading.error is None
        }

    def withdraw(self, cause: Cause) -> None:
        """The worker process ended: withdraw all values until another one writes."""
        self.past, self.last = of_subscription(add(self.past, self.last)), Stats()
        for reading in self.readings.values():
            if reading.error is None:
                before = reading.current
                reading.write(
                    Published(
                        State.RECONNECTING,
                        cause,
                        reading.epoch,
                        received=before.received,
                        wall=before.wall,
                    )
                )

    def freeze(self) -> None:
        """Before the slots are given back, keep the last states without the prices."""
        for reading in self.readings.values():
            reading.freeze()

    def forked(self) -> None:
        """In a forked child: stop reading the slots; every channel is closed."""
        for reading in self.readings.values():
            reading.forked()


class Store:
    """The shared memory of one isolated feed, made when it is first needed.

    It gives each channel a slot, and takes the slots back when no process uses them.
    *process_runs* is a callable that tells whether the worker process runs, *doubt* one
    that tells it which value cannot be parsed, by subscription and topic.
    `IsolatedPool` holds its lock while it gives or takes slots. If there is no memory,
    `allocate` raises ``OSError``, and the pool gives back by `clear` what was
    allocated.
    """

    def __init__(
        self,
        wire: WireProtocol,
        process_runs: Callable[[], bool],
        doubt: Callable[[int, str], None],
    ) -> None:
        self._wire = wire
        self._process_runs = process_runs
        self._doubt = doubt
        self._memory: Memory | None = None
        self._eras = RemoteEras([], process_runs)
        self.era_addresses: list[SlotAddress] = []

    @property
    def key(self) -> int | str:
        """The key with which a worker process opens the memory."""
        return self._open().key

    def _open(self) -> Memory:
        if self._memory is None:
            memory = Memory()
            try:
                addresses = [memory.allocate(ERA_CAPACITY) for _ in range(ERAS)]
            except OSError:
                memory.close()
                raise
            slots = [memory.slot(address, decode_era) for address in addresses]
            self._eras = RemoteEras(slots, self._process_runs)
            self._eras.lose()
            self._memory, self.era_addresses = memory, addresses
        return self._memory

    def allocate(self, slots: SubscriptionSlots) -> None:
        """Allocate a slot and make a reading for each channel.

        ``OSError`` if there is no memory.
        """
        memory = self._open()
        for topic, name in slots.names.items():
            address = slots.addresses[topic] = memory.allocate(slot_capacity(name))
            slots.readings[topic] = SlotReading(
                name,
                self._wire,
                memory,
                address,
                self._eras,
                partial(self._doubt, slots.number, topic),
            )

    def clear(self, slots: SubscriptionSlots) -> None:
        """Give the slots back. No process may read or write them any more."""
        if self._memory is not None:
            for address in slots.addresses.values():
                self._memory.free(address)
        slots.addresses.clear()

    def lose(self) -> None:
        """The worker process ended: mark all of its connections as lost."""
        self._eras.lose()

    def close(self) -> None:
        """Close the memory. It is released once no reading uses a slot."""
        self._eras = RemoteEras([], self._process_runs)
        if self._memory is not None:
            self._memory.close()

    def forked(self) -> None:
        """In a forked child: replace the locks, and close the memory."""
        if self._memory is not None:
            self._memory.forked()
        self.close()
