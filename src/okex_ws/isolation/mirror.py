"""How a channel's current value is encoded in a slot, and the mirror that reads it.

A mirror is a channel of the script's process. Its current value, *shown*, comes from a
slot that the worker process writes. A read of a mirror is judged by the same code as a
read of any channel, on the reader's clock. A mirror never receives a push.
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

# Bytes of one level: price, size and two more numbers of at most 64 characters.
_ROW = 4 * (64 + 2) + 6
# Bytes for all else in a value, the longest cause included.
_REST = 4096 - 2 * 5 * _ROW
_CAUSE = 300

# How many links are open at once at most: one for each connection and its thread.
LINKS = 256
LINK_CAPACITY = 64

_STATES = {state.value: state for state in State}
_NAMES = {state: state.value for state in State}


def slot_capacity(name: ChannelName) -> int:
    """How many bytes the largest value of the channel *name* takes."""
    return _REST + 2 * max(5, name.levels) * _ROW


# --- Encoding and decoding ------------------------------------------------------------


class SlotContent(NamedTuple):
    """What a channel's slot holds: its value, and whether it is acknowledged."""

    shown: Published
    acknowledged: bool


def encode(
    shown: Published,
    acknowledged: bool,
    place: int = -1,
    number: int = -1,
    base: int = 0,
) -> bytes:
    """The bytes of a channel's current value.

    Its link is named by its *number*, and by the *place* of the link's slot; -1 is no
    link. *base* is added to the epoch. ``ValueError`` if the value has no encoding.
    """
    state, cause, epoch, _, data, *moments = shown
    levels: Any = None
    if isinstance(data, DepthData):
        bids, asks, time_ms, seq, change, version = data
        levels = bids, asks, time_ms, seq, change is not None, version
    head = _NAMES[state], cause[:_CAUSE], epoch + base, place, number, acknowledged
    return marshal.dumps((head, levels, moments))


def encode_link(link: Link, number: int) -> bytes:
    """The bytes of *link*'s signs of life, without *heard*, which is the pulse."""
    return marshal.dumps((number, link.lost, link.lease and tuple(link.lease)))


class _LinkSeen(NamedTuple):
    number: int
    lost: bool
    lease: Lease | None


def decode_link(payload: bytes) -> _LinkSeen:
    """Decode the bytes that `encode_link` made."""
    number, lost, lease = marshal.loads(payload)  # noqa: S302 - of our own process
    return _LinkSeen(number, lost, lease and Lease(*lease))


class RemoteLink:
    """The `SignsOfLife` of one opening of a connection of the worker process.

    Its slot is read at each access, by any thread of the script's process, so that the
    reader sees a loss at once. Once a link is lost, its slot is given to a later link,
    with a higher number. So a link is lost if its slot says so or holds another number,
    if the worker process does not run, or if the slot cannot be read.
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
        """Until when the connection may be trusted; ``None`` before its first pong."""
        return self._seen().lease

    @property
    def lost(self) -> bool:
        """Whether the connection, or the worker process, has ended."""
        number, lost, _ = self._seen()
        return lost or number != self._number or not self._process_runs()

    @property
    def heard(self) -> float:
        """When the connection's last bytes came, in monotonic seconds."""
        return self._slot.pulse


class RemoteLinks:
    """The links of the worker process's connections, as the script's process sees them.

    It finds the link that a channel's value names, so that all values of one opening
    share one object. *process_runs* is a callable that tells whether the worker process
    runs. Any thread may call; `lose` is called only while no worker process runs.
    """

    def __init__(self, slots: list[Slot], process_runs: Callable[[], bool]) -> None:
        self._slots = slots
        self._process_runs = process_runs
        self._newest: dict[int, RemoteLink] = {}

    def lose(self) -> None:
        """Mark every link as lost in its slot; only while no worker process runs."""
        for slot in self._slots:
            slot.put(marshal.dumps((-1, True, None)))

    def find(self, place: int, number: int) -> RemoteLink:
        """The link *number*, whose slot is at *place*; a later link may use it now."""
        known = self._newest.get(place)
        if known is None or known._number != number:
            known = RemoteLink(self._slots[place], number, self._process_runs)
            self._newest[place] = known
        return known

    def decode(self, payload: bytes) -> SlotContent:
        """Decode the bytes that `encode` made."""
        head, data, (received, wall, lag, overdue) = marshal.loads(payload)  # noqa: S302
        state, cause, epoch, place, number, acknowledged = head
        if data is not None:
            bids, asks, time_ms, seq, whole, version = data
            # A reader only needs to know that the value is of a whole book, so the
            # change is left empty.
            change = BookData(True, [], [], time_ms, seq, None, None) if whole else None
            data = DepthData(bids, asks, time_ms, seq, change, version)
        link = self.find(place, number) if place >= 0 else None
        shown = Published(
            _STATES[state], cause, epoch, link, data, received, wall, lag, overdue
        )
        return SlotContent(shown, acknowledged)


# --- Channels that are only read ------------------------------------------------------


class _FrozenSlot(NamedTuple):
    """A value that stays, in place of a slot that was given back."""

    value: SlotContent

    def get(self) -> SlotContent:
        return self.value


class Mirror:
    """Makes a channel read its current value from a slot; mixed into a channel class.

    A slot is a place in shared memory for the newest value of one channel. So the view
    of an isolated feed judges a mirror by the same code as any channel. Any thread may
    read. A slot that cannot be read gives ``RESYNCING``, without a value. Setting
    *shown* writes to the slot, which is allowed only while no worker process runs.
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
        """The current value, read from the slot at each access."""
        return self._get().shown

    @shown.setter
    def shown(self, shown: Published) -> None:
        assert isinstance(self._slot, Slot)
        self._slot.put(encode(shown, False))

    @property
    def acknowledged(self) -> bool:
        """Whether the exchange acknowledged the channel."""
        return self._get().acknowledged

    @acknowledged.setter
    def acknowledged(self, acknowledged: bool) -> None:
        """Do nothing: the slot holds this together with the current value."""

    def freeze(self) -> None:
        """Keep the present state without its data, because the slot is given back."""
        shown, _ = self._get()
        signs = shown.link
        link = None if signs is None else Link(signs.heard)
        if link is not None:
            link.lost = True
        self._slot = _FrozenSlot(
            SlotContent(shown._replace(link=link, data=None), False)
        )

    def forked(self) -> None:
        """In a forked child: be closed, and read the slot no more."""
        shown = Published(State.CLOSED, "closed in a forked process", 0)
        self._slot = _FrozenSlot(SlotContent(shown, False))


class DepthMirror(Mirror, DepthChannel):
    """The mirror of a depth channel: a book's best levels."""

    def __init__(self, wire: WireProtocol, name: ChannelName, slot: Slot) -> None:
        self._slot = slot
        super().__init__(wire, name)


class BookMirror(Mirror, BookChannel):
    """The mirror of a whole book."""

    def __init__(self, wire: WireProtocol, name: ChannelName, slot: Slot) -> None:
        self._slot = slot
        super().__init__(wire, name)


class StateMirror(Mirror, Channel):
    """The mirror of any other channel: it shares the state, but no items.

    A read of its items raises ``ValueError`` in `IsolatedView`.
    """

    def __init__(self, wire: WireProtocol, name: ChannelName, slot: Slot) -> None:
        self._slot = slot
        super().__init__(wire, name)

    def push(
        self, push: Push, first: bool, link: Link, now: float, wall: float
    ) -> bool:
        """Never called: a mirror receives no push."""
        raise AssertionError("a push of a mirror")

    def item(
        self, shown: Published, levels: int | None, before: Published | None = None
    ) -> Item | None:
        """Always ``None``: items of this channel are not shared."""
        return None


AnyMirror = DepthMirror | BookMirror | StateMirror
_KINDS: dict[str, Callable[[WireProtocol, ChannelName, Slot], AnyMirror]] = {
    "depth": DepthMirror,
    "book": BookMirror,
}


def make_mirror(wire: WireProtocol, name: ChannelName, slot: Slot) -> AnyMirror:
    """Make the mirror of a channel, and write its first state into *slot*."""
    return _KINDS.get(name.kind, StateMirror)(wire, name, slot)
