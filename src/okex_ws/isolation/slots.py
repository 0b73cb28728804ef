"""The slots of an isolated feed in shared memory, as the script's process holds them.

While the worker process runs, it alone writes to them. This process writes to a slot
only while no worker process runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..base.state import State
from ..delivery.view import View
from ..model.reports import Stats
from ..pool.statistics import add, of_subscription
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName
from ..trust.verdict import Published
from .mirror import (
    LINK_CAPACITY,
    LINKS,
    AnyMirror,
    RemoteLinks,
    decode_link,
    make_mirror,
    slot_capacity,
)
from .shared_memory import Memory, SlotAddress
from .slot_writer import SlotAssignment


class SubscriptionSlots:
    """The slots of one subscription of an isolated feed, their mirrors, and its counts.

    A slot is a place in shared memory for the newest value of one channel; a mirror is
    a channel that reads its value there. The worker process writes to the slots;
    `withdraw`, which writes too, is called only while no worker process runs.
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
        self.mirrors: dict[str, AnyMirror] = {}
        # The counts of the worker processes that ended, and the last known counts of
        # the present one.
        self.past = Stats()
        self.last = Stats()

    def assignments(self) -> dict[str, SlotAssignment]:
        """The slot and the present epoch of each channel that was not refused."""
        return {
            topic: SlotAssignment(self.addresses[topic], mirror.shown.epoch)
            for topic, mirror in self.mirrors.items()
            if mirror.error is None
        }

    def withdraw(self, cause: str) -> None:
        """The worker process ended: withdraw all values until another one writes."""
        self.past, self.last = of_subscription(add(self.past, self.last)), Stats()
        for mirror in self.mirrors.values():
            if mirror.error is None:
                before = mirror.shown
                mirror.shown = Published(
                    State.RECONNECTING,
                    cause,
                    before.epoch,
                    received=before.received,
                    wall=before.wall,
                )

    def freeze(self) -> None:
        """Before the slots are given back, keep the last states without the prices."""
        for mirror in self.mirrors.values():
            mirror.freeze()

    def forked(self) -> None:
        """In a forked child: stop reading the slots; every channel is closed."""
        for mirror in self.mirrors.values():
            mirror.forked()


class Store:
    """The shared memory of one isolated feed, made when it is first needed.

    It gives each channel a slot, and takes the slots back when no process uses them.
    *process_runs* is a callable that tells whether the worker process runs.
    `IsolatedPool` holds its lock while it gives or takes slots. If there is no memory,
    `allocate` raises ``OSError``, and the pool gives back by `clear` what was
    allocated.
    """

    def __init__(self, wire: WireProtocol, process_runs: Callable[[], bool]) -> None:
        self._wire = wire
        self._process_runs = process_runs
        self._memory: Memory | None = None
        self._links = RemoteLinks([], process_runs)
        self.link_addresses: list[SlotAddress] = []

    @property
    def key(self) -> int | str:
        """The key with which a worker process opens the memory."""
        return self._open().key

    def _open(self) -> Memory:
        if self._memory is None:
            memory = Memory()
            try:
                addresses = [memory.allocate(LINK_CAPACITY) for _ in range(LINKS)]
            except OSError:
                memory.close()
                raise
            slots = [memory.slot(address, decode_link) for address in addresses]
            self._links = RemoteLinks(slots, self._process_runs)
            self._links.lose()
            self._memory, self.link_addresses = memory, addresses
        return self._memory

    def allocate(self, slots: SubscriptionSlots) -> None:
        """Allocate a slot and make a mirror for each channel.

        ``OSError`` if there is no memory.
        """
        memory = self._open()
        for topic, name in slots.names.items():
            address = slots.addresses[topic] = memory.allocate(slot_capacity(name))
            slot = memory.slot(address, self._links.decode)
            slots.mirrors[topic] = make_mirror(self._wire, name, slot)

    def clear(self, slots: SubscriptionSlots) -> None:
        """Give the slots back. No process may read or write them any more."""
        if self._memory is not None:
            for address in slots.addresses.values():
                self._memory.free(address)
        slots.addresses.clear()

    def lose(self) -> None:
        """The worker process ended: mark all of its connections as lost."""
        self._links.lose()

    def close(self) -> None:
        """Close the memory. It is released once no mirror uses a slot."""
        self._links = RemoteLinks([], self._process_runs)
        if self._memory is not None:
            self._memory.close()

    def forked(self) -> None:
        """In a forked child: replace the locks, and close the memory."""
        if self._memory is not None:
            self._memory.forked()
        self.close()
