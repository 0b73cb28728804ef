"""What the subscriptions of an isolated feed have in the shared memory.

The child alone writes there while it runs; what is written here is written without one.
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
    """One subscription: its channels, where they are shown, and what it counted."""

    def __init__(
        self, view: View, number: int, names: Mapping[str, ChannelName]
    ) -> None:
        self.view = view
        self.number = number
        self.names = names
        self.addresses: dict[str, SlotAddress] = {}
        self.mirrors: dict[str, AnyMirror] = {}
        # Of the children before, and of this one as far as it is known.
        self.past = Stats()
        self.last = Stats()

    def assignments(self) -> dict[str, SlotAssignment]:
        """Where each channel is shown that was not refused, and from which epoch on."""
        return {
            topic: SlotAssignment(self.addresses[topic], mirror.shown.epoch)
            for topic, mirror in self.mirrors.items()
            if mirror.error is None
        }

    def withdraw(self, cause: str) -> None:
        """The child ended: nothing is shown until another one does."""
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
        """The memory is given back: what is shown stays, without a price."""
        for mirror in self.mirrors.values():
            mirror.freeze()

    def forked(self) -> None:
        """In a forked child: the same, and nothing is read."""
        for mirror in self.mirrors.values():
            mirror.forked()


class Store:
    """The memory of one feed; *process_runs* tells whether its child did not end."""

    def __init__(self, wire: WireProtocol, process_runs: Callable[[], bool]) -> None:
        self._wire = wire
        self._process_runs = process_runs
        self._memory: Memory | None = None
        self._links = RemoteLinks([], process_runs)
        self.link_addresses: list[SlotAddress] = []

    @property
    def key(self) -> int | str:
        """With which a child opens it."""
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
        """Have a mirror for each of its channels; ``OSError`` without the memory."""
        memory = self._open()
        for topic, name in slots.names.items():
            address = slots.addresses[topic] = memory.allocate(slot_capacity(name))
            slot = memory.slot(address, self._links.decode)
            slots.mirrors[topic] = make_mirror(self._wire, name, slot)

    def clear(self, slots: SubscriptionSlots) -> None:
        """Others may have its place: nobody reads or writes it there any more."""
        if self._memory is not None:
            for address in slots.addresses.values():
                self._memory.free(address)
        slots.addresses.clear()

    def lose(self) -> None:
        """The child ended, and all of its connections with it."""
        self._links.lose()

    def close(self) -> None:
        """Give back what no mirror holds any more."""
        self._links = RemoteLinks([], self._process_runs)
        if self._memory is not None:
            self._memory.close()

    def forked(self) -> None:
        """In a forked child: the same, and no lock that another thread may have."""
        if self._memory is not None:
            self._memory.forked()
        self.close()
