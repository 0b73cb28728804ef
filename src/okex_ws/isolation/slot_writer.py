"""Writes a feed's channels into the slots that the script's process reads.

The threads of the connections write, at once and in order. A renewed lease is written
after every withdrawal that preceded it, so that no reader finds a withdrawn value
together with a new lease.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from ..base.clock import Clock
from ..base.errors import ConnectionLost, OkexWSError
from ..base.log import log
from ..base.state import State
from ..base.throttled_log import LogThrottle
from ..channels.base import Channel
from ..delivery.callbacks import Callbacks
from ..delivery.view import View
from ..trust.lease import Link
from ..trust.verdict import NO_LIMITS, Published
from .mirror import encode, encode_link
from .shared_memory import Slot, SlotAddress

Tell = Callable[..., None]


class SharedLink(Link):
    """A `Link` of the worker process that writes its signs of life into a slot.

    The slot is a place in shared memory; the script's process reads there whether the
    opening of the connection lasts, and until when its lease runs. *number* identifies
    the link, *place* its slot. The lease, the loss and the time of the last bytes are
    written when they are set, which only the connection's thread does. *before_lease*
    is a callable that writes all channels, so that no withdrawal is still unwritten
    when a lease is; *give_back* one that takes the slot's place after the loss.
    """

    __slots__ = ("_before_lease", "_give_back", "_slot", "number", "place")

    number: int
    place: int
    _slot: Slot
    _before_lease: Callable[[], None]
    _give_back: Callable[[int], None]

    def __init__(
        self,
        now: float,
        slot: Slot,
        place: int,
        number: int,
        before_lease: Callable[[], None],
        give_back: Callable[[int], None],
    ) -> None:
        keep = super().__setattr__
        keep("place", place)
        keep("number", number)
        keep("_slot", slot)
        keep("_before_lease", before_lease)
        keep("_give_back", give_back)
        for name, value in (("lease", None), ("lost", False), ("heard", now)):
            keep(name, value)
        super().__init__(now)

    def __setattr__(self, name: str, value: object) -> None:
        if name == "heard":
            super().__setattr__(name, value)
            self._slot.beat(self.heard)
        elif name == "lease":
            self._before_lease()
            super().__setattr__(name, value)
            self._write()
        elif name == "lost":
            super().__setattr__(name, value)
            self._write()
            if value:
                # This link writes no more, so that a later one may use the slot.
                self._give_back(self.place)
        else:
            super().__setattr__(name, value)

    def _write(self) -> None:
        self._slot.put(encode_link(self, self.number))


class SharedLinks:
    """Makes the link of each opening of a connection, and lends it a slot until lost.

    *first* is the first number: each worker process begins with a higher one, so that
    an old value never points to a new link. *before_lease* is a callable that each link
    calls before it writes a lease. The connections' threads call `make`, and calls may
    overlap; it raises `ConnectionLost` if every slot is in use, and the connection
    tries again.
    """

    def __init__(
        self, slots: list[Slot], first: int, before_lease: Callable[[], None]
    ) -> None:
        self._slots = slots
        self._free = deque(range(len(slots)))
        self._numbers = itertools.count(first)
        self._before_lease = before_lease

    def make(self, now: float) -> Link:
        """The link of a connection that was opened *now*.

        ``ConnectionLost`` if every slot is in use.
        """
        try:
            place = self._free.popleft()
        except IndexError:
            many = f"{len(self._slots)} connections of one isolated feed are open"
            raise ConnectionLost("one more connection", many) from None
        number = next(self._numbers)
        slot, free = self._slots[place], self._free.append
        return SharedLink(now, slot, place, number, self._before_lease, free)


class SlotWriter:
    """Writes the current value of one channel into the slot of one subscription.

    The slot is a place in shared memory, from which the script's process reads the
    value. *base* is the epoch that the slot had when this worker process started; it is
    added to the channel's own epochs, so that they go on. A connection's thread calls
    `flush` after each push and change of state, and any connection's thread before it
    writes a lease: calls may overlap, and a lock lets one write at a time, the value as
    it is then. A value that does not fit into the slot is written as a withdrawal,
    counted, and logged at most once a minute. After `leave`, which waits for a write
    under way, the slot is not touched.
    """

    def __init__(self, channel: Channel, slot: Slot, base: int) -> None:
        self.channel = channel
        self._slot: Slot | None = slot
        # The channel's epoch when this process started, which is added to every epoch.
        self._base = base
        self._written: object = None
        self._throttle = LogThrottle()
        self._lock = threading.Lock()

    def flush(self, now: float = 0.0) -> None:
        """Write the channel's current value, unless it was written already."""
        if self.channel.shown is self._written:
            return
        with self._lock:
            shown = self.channel.shown
            if self._slot is None or shown is self._written:
                return
            try:
                self._slot.put(self._encode(shown))
            except ValueError as error:
                # The value does not fit the slot, or has no encoding.
                self._slot.put(self._withdraw(shown, error, now))
            self._written = shown

    def _encode(self, shown: Published) -> bytes:
        # Read in this order: a channel that changes both changes *shown* last.
        acknowledged, link = self.channel.acknowledged, shown.link
        if isinstance(link, SharedLink):
            return encode(shown, acknowledged, link.place, link.number, self._base)
        return encode(shown, acknowledged, base=self._base)

    def _withdraw(self, shown: Published, error: ValueError, now: float) -> bytes:
        """What is written if *shown* cannot be: a withdrawal.

        The next value is of a new epoch.
        """
        channel, cause = self.channel, f"it does not fit in shared memory: {error}"
        channel.counts["skipped too large"] += 1
        if self._throttle.allows("too large", now):
            log.warning("%s: %s", channel.name, cause, extra={"event": "dropped"})
        none = shown._replace(state=State.RESYNCING, cause=cause, data=None, lag=None)
        payload = self._encode(none)
        self._base += 1
        return payload

    def leave(self) -> None:
        """Write nothing more: the slot is about to be given to another channel."""
        with self._lock:
            self._slot = None


class SlotAssignment(NamedTuple):
    """Where a channel is written: its slot's address, and the epoch there so far."""

    address: SlotAddress
    epoch: int


class Relay(View):
    """The view of one subscription in the worker process, which writes to its slots.

    It writes the values of its channels into slots, at once and before anything is
    delivered, and sends failures, errors and wake-ups to the script's process. *slots*
    has, by topic, the slot and the base epoch of each channel. *tell* is a callable
    that queues a message for the script's process: its kind, and its arguments. The
    threads of the connections call the methods, and calls may overlap.
    """

    def __init__(
        self,
        number: int,
        instrument_id: str,
        clock: Clock,
        callbacks: Callbacks,
        slots: Mapping[str, tuple[Slot, int]],
        tell: Tell,
    ) -> None:
        super().__init__(self, instrument_id, NO_LIMITS, clock, callbacks)
        self.number = number
        self._slots = slots
        self._say = tell
        self._writers: dict[Channel, SlotWriter] = {}
        self._refused: set[str] = set()

    def carry(self, channels: Mapping[str, Channel]) -> None:
        """Set the channels, and make a slot writer for each of them."""
        super().carry(channels)
        # Every push is written. If several wait, only the newest has to be.
        self.wants_pushes = True
        self._writers = {c: SlotWriter(c, *self._slots[t]) for t, c in channels.items()}

    @property
    def writers(self) -> Iterable[SlotWriter]:
        """The slot writers of the channels."""
        return self._writers.values()

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        """Write the value of a push, and then deliver it."""
        self._writers[channel].flush(now)
        super().pushed(channel, text, now)

    def tell(self, now: float) -> None:
        """Write all channels, report refused ones, and then deliver the state."""
        self.flush(now)
        for topic, channel in self.channels.items():
            if channel.error is not None and topic not in self._refused:
                self._refused.add(topic)
                self._say("refused", self.number, topic, channel.error)
        super().tell(now)

    def flush(self, now: float = 0.0) -> None:
        """Write the current value of each channel that was not written yet."""
        for writer in self._writers.values():
            writer.flush(now)

    def wake(self) -> None:
        """Let ``wait_live`` in the script's process check again."""
        self._say("woken")

    def fail(self, error: OkexWSError, now: float) -> None:
        """End in ``FAILED``, and report that to the script's process."""
        super().fail(error, now)
        self._say("failed", self.number, error)

    def trouble(self, error: OkexWSError) -> None:
        """Deliver an error here and to the script's process."""
        super().trouble(error)
        self._say("trouble", [self.number], error)

    def leave(self) -> None:
        """Let all slot writers write nothing more."""
        for writer in self._writers.values():
            writer.leave()
