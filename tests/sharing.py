"""A feed whose reads go through shared memory, in one process and any time.

What is shown is written and read by the library's own code, as between two processes,
so that every test of a read is one of `isolate=True` too, in virtual time.
"""

from __future__ import annotations

import mmap
import weakref
from typing import Any

from tests.support.internals import change_settings

from okex_ws.mirror import LINK_ROOM, LINKS, RemoteLinks, decode_link, make_mirror, room
from okex_ws.plan import Plan
from okex_ws.relay import Relay, SharedLinks
from okex_ws.shared import FIRST_CHUNK, Chunk, Memory, Slot
from okex_ws.view import View


class HereMemory(Memory):
    """Memory of this process alone, which needs no descriptor."""

    def __init__(self) -> None:
        super().__init__("here")

    def _map(self) -> None:
        self._chunks.append(Chunk(mmap.mmap(-1, FIRST_CHUNK << len(self._chunks))))


class Desk:
    """The memory of one plan, seen from both sides, and who writes there."""

    def __init__(self, plan: Plan) -> None:
        self.wire = plan.wire
        self.memory = HereMemory()
        self.views: weakref.WeakSet[SharedView] = weakref.WeakSet()
        places = [self.memory.take(LINK_ROOM) for _ in range(LINKS)]
        theirs = [self.memory.slot(place, decode_link) for place in places]
        self.remote = RemoteLinks(theirs, lambda: True)
        self.remote.lose()
        ours = [self.memory.slot(place) for place in places]
        self.links = SharedLinks(ours, 1, self.flush)
        change_settings(plan, link=self.links.make)

    def flush(self) -> None:
        for view in self.views:
            view.flush()


class SharedView(Relay):
    """Tells as any view, and reads what it told through the memory."""

    def __init__(
        self, desk: Desk, owner: Any, label: str, limits: Any, clock: Any, calls: Any
    ) -> None:
        super().__init__(0, label, clock, calls, {}, self._told)
        self.owner, self.limits = owner, limits
        self.desk = desk
        self.reads = View(owner, label, limits, clock, calls)

    def carry(self, channels: Any) -> None:
        mirrors, slots = {}, {}
        for topic, channel in channels.items():
            place = self.desk.memory.take(room(channel.described))
            slot = self.desk.memory.slot(place, self.desk.remote.decode)
            mirrors[topic] = make_mirror(self.desk.wire, channel.described, slot)
            ours: Slot = self.desk.memory.slot(place)
            slots[topic] = (ours, 0)
        self._slots = slots
        self.reads.carry(mirrors)
        super().carry(channels)
        self.desk.views.add(self)

    def _told(self, kind: str, *rest: Any) -> None:
        if kind == "woken":
            View.wake(self)
        elif kind == "refused":
            _, topic, error = rest
            self.reads.channels[topic].error = error

    def _read(self) -> View:
        self.reads.error, self.reads.closed = self.error, self.closed
        return self.reads

    # --- Reads of a script ----------------------------------------------------------

    def depth_dict(self, limits: Any) -> Any:
        return self._read().depth_dict(limits)

    def depth(self, limits: Any) -> Any:
        return self._read().depth(limits)

    def best_bid_ask(self, limits: Any) -> Any:
        return self._read().best_bid_ask(limits)

    @property
    def book(self) -> Any:
        return self._read().book

    @property
    def state(self) -> Any:
        return self._read().state

    def health(self) -> Any:
        return self._read().health()


def make_shared_view(
    plan: Plan, owner: Any, label: str, limits: Any, callbacks: Any
) -> View:
    """In place of `Plan.make_view`."""
    desk = vars(plan).setdefault("desk", None) or Desk(plan)
    plan.desk = desk  # type: ignore[attr-defined]
    return SharedView(desk, owner, label, limits, plan.clock, callbacks)
