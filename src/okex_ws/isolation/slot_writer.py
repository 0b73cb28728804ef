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
from ..base.state import CLOSED, Cause, CauseCode, State
from ..base.throttled_log import LogThrottle
from ..channels.reading import Reading
from ..delivery.callbacks import Callbacks
from ..delivery.view import View
from ..trust.lease import Era, Lease, Marked
from ..trust.verdict import NO_LIMITS, Published
from .shared_memory import Slot, SlotAddress
from .slot_reading import EraContent, encode, encode_era

Tell = Callable[..., None]


class SharedEra(Era):
    """An `Era` of the worker process that writes its signs of life into a slot.

    The slot is a place in shared memory; the script's process reads there whether the
    opening of the connection lasts, and until when its lease runs. *number* identifies
    the era, *place* its slot. What the connection's thread changes is written at once.
    *flush* is a callable that writes all channels: it is called before a lease is
    written, so that no withdrawal is still unwritten then. *give_back* takes the slot's
    place after the loss.
    """

    def __init__(
        self,
        now: float,
        slot: Slot,
        place: int,
        number: int,
        flush: Callable[[], None],
        give_back: Callable[[int], None],
    ) -> None:
        super().__init__(now)
        self.place = place
        self.number = number
        self._slot = slot
        self._flush = flush
        self._give_back = give_back
        self._write()
        slot.beat(now)

    def hear(self, heard: float) -> None:
        """The connection's last bytes came at *heard*: write that, as the pulse."""
        super().hear(heard)
        self._slot.beat(heard)

    def renew(self, lease: Lease, proven: float) -> None:
        """Write every channel, and then *lease*."""
        self._flush()
        super().renew(lease, proven)
        self._write()

    def withdraw(self, channels: Iterable[Marked], cause: Cause) -> None:
        """Hold back every value of this era, in one store, until `settle`."""
        super().withdraw(channels, cause)
        self._write(held=True)

    def settle(self) -> None:
        """Write every channel, and then give the values that are left again."""
        self._flush()
        self._write()

    def lose(self, cause: Cause = CLOSED) -> None:
        """Write that the connection has ended, once; a later era may use the slot."""
        if not self.lost:
            super().lose(cause)
            self._write()
            self._give_back(self.place)

    def _write(self, held: bool = False) -> None:
        code = "" if self.cause.code is None else self.cause.code.value
        content = EraContent(self.number, self.lost, held, self.lease, code)
        self._slot.put(encode_era(content))


class SharedEras:
    """Makes the era of each opening of a connection, and lends it a slot until lost.

    *first* is the first number: each worker process begins with a higher one, so that
    an old value never points to a new era. *flush* is a callable that writes all
    channels. The connections' threads call `make`, and calls may overlap; it raises
    `ConnectionLost` if every slot is in use, and the connection tries again.
    """

    def __init__(
        self, slots: list[Slot], first: int, flush: Callable[[], None]
    ) -> None:
        self._slots = slots
        self._free = deque(range(len(slots)))
        self._numbers = itertools.count(first)
        self._flush = flush

    def make(self, now: float) -> Era:
        """The era of a connection that was opened *now*.

        ``ConnectionLost`` if every slot is in use.
        """
        try:
            place = self._free.popleft()
        except IndexError:
            many = f"{len(self._slots)} connections of one isolated feed are open"
            raise ConnectionLost(
                "one more connection", many, cause_code=CauseCode.INTERNAL
            ) from None
        number = next(self._numbers)
        slot, free = self._slots[place], self._free.append
        return SharedEra(now, slot, place, number, self._flush, free)


class SlotWriter:
    """Writes the current value of one channel into the slot of one subscription.

    The slot is a place in shared memory, from which the script's process reads the
    value. *base* is the epoch that the slot had when this worker process started; it is
    added to the epochs of the *reading*, so that they go on. A connection's thread
    calls `flush` after each push and change of state, and any connection's thread
    before it writes a lease: calls may overlap, and a lock lets one write at a time,
    the value as it is then; a push that was kept unparsed stays so. A value that does
    not fit into the slot is written as a withdrawal, counted, and logged at most once a
    minute. After `leave`, which waits for a write under way, the slot is not touched.
    """

    def __init__(self, reading: Reading, slot: Slot, base: int) -> None:
        self.reading = reading
        self._slot: Slot | None = slot
        # The epoch when this process started, which is added to every epoch.
        self._base = base
        self._written: object = None
        self._throttle = LogThrottle()
        self._lock = threading.Lock()

    def flush(self, now: float = 0.0) -> None:
        """Write the current value, unless it was written already."""
        if self.reading.entry.channel.current is self._written:
            return
        with self._lock:
            entry = self.reading.entry
            current: Published = entry.channel.current
            if (slot := self._slot) is None or current is self._written:
                return
            try:
                slot.put(self._encode(current, entry.base, slot.version + 1))
            except ValueError as error:
                # The value does not fit the slot, or has no encoding.
                slot.put(self._withdraw(current, entry.base, error, now))
            self._written = current

    def is_read(self, current: Published) -> bool:
        """Whether a reader of the slot has parsed *current*; if one could not, try."""
        slot = self._slot
        if slot is None or current is not self._written:
            return False
        found = slot.answer
        # To ask for the fault parses it, and has the connection's thread look at it.
        return bool(found or (found is False and current.fault is None))

    def rewrite(self) -> None:
        """A reader of the slot could not parse the value: do so here, and write it.

        If it cannot be read here either, its connection's thread looks at it.
        """
        if self.reading.current.fault is None:
            self._written = None
            self.flush()

    def _encode(self, value: Published, base: int, version: int = 0) -> bytes:
        # Read in this order: a channel that changes both changes its value last.
        acknowledged, era = self.reading.acknowledged, value.era
        place, number, base = -1, -1, base + self._base
        if isinstance(era, SharedEra):
            place, number = era.place, era.number
        return encode(value, acknowledged, place, number, base, version)

    def _withdraw(
        self, value: Published, base: int, error: ValueError, now: float
    ) -> bytes:
        """What is written if *value* cannot be: a withdrawal.

        The next value is of a new epoch.
        """
        reading, text = self.reading, f"it does not fit in shared memory: {error}"
        mine = reading.instrument_id, reading.topic
        cause = Cause(CauseCode.INTERNAL, text, "", *mine)
        reading.counts["skipped too large"] += 1
        if self._throttle.allows("too large", now):
            log.warning("%s: %s", reading.name, cause, extra={"event": "dropped"})
        none = value._replace(state=State.RESYNCING, cause=cause, data=None, lag=None)
        payload = self._encode(none, base)
        self._base += 1
        return payload

    def leave(self) -> None:
        """Write nothing more: the slot is about to be given to another channel."""
        with self._lock:
            self._slot = None
        reading = self.reading
        reading.copies = tuple(each for each in reading.copies if each is not self)


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
        self._writers: dict[Reading, SlotWriter] = {}
        self._refused: set[str] = set()

    def carry(self, readings: Mapping[str, Reading]) -> None:
        """Set the readings, and make a slot writer for each of them."""
        super().carry(readings)
        self._writers = {r: SlotWriter(r, *self._slots[t]) for t, r in readings.items()}
        for reading, writer in self._writers.items():
            reading.copies += (writer,)

    def doubt(self, topic: str) -> None:
        """The script's process could not parse the value of the channel *topic*."""
        if (reading := self.readings.get(topic)) is not None:
            self._writers[reading].rewrite()

    def entered(self, reading: Reading) -> None:
        """Write the value of the channel that serves *reading* now."""
        self._writers[reading].flush()

    def tell(self, now: float) -> None:
        """Write all channels, report refused ones, and then deliver the state."""
        self.flush(now)
        for topic, reading in self.readings.items():
            if reading.error is not None and topic not in self._refused:
                self._refused.add(topic)
                self._say("refused", self.number, topic, reading.error)
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

    def trouble(self, error: OkexWSError, *, told: bool = False) -> None:
        """Deliver an error here and to the script's process."""
        super().trouble(error, told=told)
        self._say("trouble", [self.number], error)

    def leave(self) -> None:
        """Let all slot writers write nothing more."""
        for writer in self._writers.values():
            writer.leave()
