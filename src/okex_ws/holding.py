"""What the subscriptions of an isolated feed have in the shared memory.

The child alone writes there while it runs; what is written here is written without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .messages import State, Stats
from .mirror import (
    LINK_ROOM,
    LINKS,
    AnyMirror,
    RemoteLinks,
    decode_link,
    make_mirror,
    room,
)
from .protocols import Wire
from .relay import Spot
from .shared import Memory, Place
from .tally import add, own
from .trust import Published
from .view import View
from .wire import Name


class Holding:
    """One subscription: its channels, where they are shown, and what it counted."""

    def __init__(self, view: View, number: int, names: Mapping[str, Name]) -> None:
        self.view = view
        self.number = number
        self.names = names
        self.places: dict[str, Place] = {}
        self.mirrors: dict[str, AnyMirror] = {}
        # Of the children before, and of this one as far as it is known.
        self.past = Stats()
        self.last = Stats()

    def spots(self) -> dict[str, Spot]:
        """Where each channel is shown that was not refused, and from which epoch on."""
        return {
            topic: Spot(self.places[topic], mirror.shown.epoch)
            for topic, mirror in self.mirrors.items()
            if mirror.error is None
        }

    def withdraw(self, cause: str) -> None:
        """The child ended: nothing is shown until another one does."""
        self.past, self.last = own(add(self.past, self.last)), Stats()
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
    """The memory of one feed; *works* tells whether its child did not end."""

    def __init__(self, wire: Wire, works: Callable[[], bool]) -> None:
        self._wire = wire
        self._works = works
        self._memory: Memory | None = None
        self._links = RemoteLinks([], works)
        self.link_places: list[Place] = []

    @property
    def key(self) -> int | str:
        """With which a child opens it."""
        return self._open().key

    def _open(self) -> Memory:
        if self._memory is None:
            memory = Memory()
            try:
                places = [memory.take(LINK_ROOM) for _ in range(LINKS)]
            except OSError:
                memory.close()
                raise
            slots = [memory.slot(place, decode_link) for place in places]
            self._links = RemoteLinks(slots, self._works)
            self._links.lose()
            self._memory, self.link_places = memory, places
        return self._memory

    def furnish(self, holding: Holding) -> None:
        """Have a mirror for each of its channels; ``OSError`` without the memory."""
        memory = self._open()
        for topic, name in holding.names.items():
            place = holding.places[topic] = memory.take(room(name))
            slot = memory.slot(place, self._links.decode)
            holding.mirrors[topic] = make_mirror(self._wire, name, slot)

    def clear(self, holding: Holding) -> None:
        """Others may have its place: nobody reads or writes it there any more."""
        if self._memory is not None:
            for place in holding.places.values():
                self._memory.give_back(place)
        holding.places.clear()

    def lose(self) -> None:
        """The child ended, and all of its connections with it."""
        self._links.lose()

    def close(self) -> None:
        """Give back what no mirror holds any more."""
        self._links = RemoteLinks([], self._works)
        if self._memory is not None:
            self._memory.close()

    def forked(self) -> None:
        """In a forked child: the same, and no lock that another thread may have."""
        if self._memory is not None:
            self._memory.forked()
        self.close()
