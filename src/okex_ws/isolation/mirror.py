"""What a channel shows, as one process writes it into a slot and another reads it.

A mirror is a channel to whoever reads it, so that trust is judged by the same code, at
the read, on the reader's clock. Nothing is ever pushed to one.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable
from typing import Any, NamedTuple

from ..base.state import State
from ..channels.base import Channel
from ..channels.book import BookChannel
from ..channels.depth import DepthChannel
from ..model.items import Item
from ..protocol.interface import WireProtocol
from ..protocol.messages import BookData, ChannelName, DepthData, Push
from ..trust.lease import Lease, Link
from ..trust.verdict import Published
from .shared_memory import Slot, TornError

# Of a row: price, size, and two more numbers of at most 64 characters.
_ROW = 4 * (64 + 2) + 6
# What is there besides rows, a cause of the longest kind included.
_REST = 4096 - 2 * 5 * _ROW
_CAUSE = 300

# Links that are open at the same time: each is a connection, with a thread of its own.
LINKS = 256
LINK_CAPACITY = 64

_STATES = {state.value: state for state in State}
_NAMES = {state: state.value for state in State}


def slot_capacity(name: ChannelName) -> int:
    """How many bytes the largest value of a channel takes."""
    return _REST + 2 * max(5, name.levels) * _ROW


# --- The two ways of a value ----------------------------------------------------------


class SlotContent(NamedTuple):
    """What is in the slot of a channel."""

    shown: Published
    acknowledged: bool


def encode(
    shown: Published,
    acknowledged: bool,
    place: int = -1,
    number: int = -1,
    base: int = 0,
) -> bytes:
    """What a channel shows; its link is the one of *number*, whose slot is at *place*.

    *base* is what the epoch had come to before. ``ValueError`` for what has no form.
    """
    state, cause, epoch, _, data, *moments = shown
    levels: Any = None
    if isinstance(data, DepthData):
        bids, asks, time_ms, seq, change, version = data
        levels = bids, asks, time_ms, seq, change is not None, version
    head = _NAMES[state], cause[:_CAUSE], epoch + base, place, number, acknowledged
    return marshal.dumps((head, levels, moments))


def encode_link(link: Link, number: int) -> bytes:
    """The signs of life of the link of that *number*, its last byte apart."""
    return marshal.dumps((number, link.lost, link.lease and tuple(link.lease)))


class _LinkSeen(NamedTuple):
    number: int
    lost: bool
    lease: Lease | None


def decode_link(payload: bytes) -> _LinkSeen:
    """The other way round."""
    number, lost, lease = marshal.loads(payload)  # noqa: S302 - of our own process
    return _LinkSeen(number, lost, lease and Lease(*lease))


class RemoteLink:
    """The signs of life of a connection of another process, asked for at each access.

    A slot is given to a later link once its own is lost, and numbers only grow: whose
    number is there no more is lost. So is all that came from a process that ended.
    """

    __slots__ = ("_number", "_process_runs", "_slot")

    def __init__(
        self, slot: Slot, number: int, process_runs: Callable[[], bool]
    ) -> None:
        self._slot = slot
        self._number = number
        self._process_runs = process_runs

    def _seen(self) -> _LinkSeen:
        try:
            seen: _LinkSeen = self._slot.get()
        except TornError:
            return _LinkSeen(self._number, True, None)
        return seen

    @property
    def lease(self) -> Lease | None:
        """See `trust.SignsOfLife`."""
        return self._seen().lease

    @property
    def lost(self) -> bool:
        """See `trust.SignsOfLife`."""
        number, lost, _ = self._seen()
        return lost or number != self._number or not self._process_runs()

    @property
    def heard(self) -> float:
        """See `trust.SignsOfLife`."""
        return self._slot.pulse


class RemoteLinks:
    """All links of another process; *process_runs* tells whether it has not ended."""

    def __init__(self, slots: list[Slot], process_runs: Callable[[], bool]) -> None:
        self._slots = slots
        self._process_runs = process_runs
        self._newest: dict[int, RemoteLink] = {}

    def lose(self) -> None:
        """Write, as nobody else does, that each of them is lost."""
        for slot in self._slots:
            slot.put(marshal.dumps((-1, True, None)))

    def find(self, place: int, number: int) -> RemoteLink:
        """The link of that *number*, if it is (still) at *place*."""
        known = self._newest.get(place)
        if known is None or known._number != number:
            known = RemoteLink(self._slots[place], number, self._process_runs)
            self._newest[place] = known
        return known

    def decode(self, payload: bytes) -> SlotContent:
        """What a channel shows."""
        head, data, (received, wall, lag, overdue) = marshal.loads(payload)  # noqa: S302
        state, cause, epoch, place, number, acknowledged = head
        if data is not None:
            bids, asks, time_ms, seq, whole, version = data
            # Of the change that it comes of, only that there is one counts here.
            change = BookData(True, [], [], time_ms, seq, None, None) if whole else None
            data = DepthData(bids, asks, time_ms, seq, change, version)
        link = self.find(place, number) if place >= 0 else None
        shown = Published(
            _STATES[state], cause, epoch, link, data, received, wall, lag, overdue
        )
        return SlotContent(shown, acknowledged)


# --- Channels that are read alone -----------------------------------------------------


class _FrozenSlot(NamedTuple):
    """In place of a slot that is not this channel's any more."""

    value: SlotContent

    def get(self) -> SlotContent:
        return self.value


class Mirror:
    """What makes a channel show what is in its slot; beside the class of the channel.

    To set what it shows is to write there: only while no other process does.
    """

    _slot: Slot | _FrozenSlot

    def _get(self) -> SlotContent:
        try:
            shown: SlotContent = self._slot.get()
        except TornError as error:
            return SlotContent(Published(State.RESYNCING, str(error), 0), False)
        return shown

    @property
    def shown(self) -> Published:
        """What it shows at this moment."""
        return self._get().shown

    @shown.setter
    def shown(self, shown: Published) -> None:
        assert isinstance(self._slot, Slot)
        self._slot.put(encode(shown, False))

    @property
    def acknowledged(self) -> bool:
        """Whether the exchange acknowledged it."""
        return self._get().acknowledged

    @acknowledged.setter
    def acknowledged(self, acknowledged: bool) -> None:
        """It is written together with what is shown."""

    def freeze(self) -> None:
        """Show for ever what is shown now, without a price: the slot is given back."""
        shown, _ = self._get()
        signs = shown.link
        link = None if signs is None else Link(signs.heard)
        if link is not None:
            link.lost = True
        self._slot = _FrozenSlot(
            SlotContent(shown._replace(link=link, data=None), False)
        )

    def forked(self) -> None:
        """In a forked child: the same, and nothing is read."""
        shown = Published(State.CLOSED, "closed in a forked process", 0)
        self._slot = _FrozenSlot(SlotContent(shown, False))


class DepthMirror(Mirror, DepthChannel):
    """Snapshots of the best levels."""

    def __init__(self, wire: WireProtocol, name: ChannelName, slot: Slot) -> None:
        self._slot = slot
        super().__init__(wire, name)


class BookMirror(Mirror, BookChannel):
    """A whole book."""

    def __init__(self, wire: WireProtocol, name: ChannelName, slot: Slot) -> None:
        self._slot = slot
        super().__init__(wire, name)


class StateMirror(Mirror, Channel):
    """Any other channel: its state is shared, and what comes over it is not."""

    def __init__(self, wire: WireProtocol, name: ChannelName, slot: Slot) -> None:
        self._slot = slot
        super().__init__(wire, name)

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Nothing is pushed to a mirror."""
        raise AssertionError("a push of a mirror")

    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """None, ever."""
        return None


AnyMirror = DepthMirror | BookMirror | StateMirror
_KINDS: dict[str, Callable[[WireProtocol, ChannelName, Slot], AnyMirror]] = {
    "depth": DepthMirror,
    "book": BookMirror,
}


def make_mirror(wire: WireProtocol, name: ChannelName, slot: Slot) -> AnyMirror:
    """The mirror of a channel; it writes its first word into *slot*."""
    return _KINDS.get(name.kind, StateMirror)(wire, name, slot)
