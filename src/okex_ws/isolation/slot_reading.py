"""How a channel's current value is encoded in a slot, and what reads it there.

The reading of a slot is a reading of the script's process, whose values the worker
process writes. So it is judged by the same code as any reading, on the reader's clock.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

from ..base.state import FORKED, NO_CAUSE, Cause, CauseCode, State
from ..channels.reading import Reading
from ..channels.series import KINDS
from ..pool.recognition import MOST_BYTES
from ..protocol.interface import WireProtocol
from ..protocol.messages import BookData, ChannelName, DepthData
from ..protocol.unparsed import Keeping, Unparsed
from ..trust.lease import EVERYTHING, HELD, NOTHING, Lease
from ..trust.reading import ServingEntry
from ..trust.verdict import Published, publish
from .shared_memory import Memory, Slot, SlotAddress, TornError

# Bytes of one level: price, size and two more numbers of at most 64 characters.
_ROW = 4 * (64 + 2) + 6
# Bytes for all else in a value. That of a channel with a cause has no levels, so that
# there is room for a sentence of so many characters.
_REST = 4096 - 2 * 5 * _ROW
_LONGEST_TEXT = 700
# Bytes for all else in a value that was kept unparsed, which is live.
_BESIDE = 256

# How many eras there are at once at most: one for each open connection.
ERAS = 256
ERA_CAPACITY = 96

_NO_PROCESS = Cause(CauseCode.READER, "the reading process has ended")
_STATES = {state.value: state for state in State}
_NAMES = {state: state.value for state in State}


def slot_capacity(name: ChannelName) -> int:
    """How many bytes the largest value of the channel *name* takes."""
    return max(_REST + 2 * max(5, name.levels) * _ROW, MOST_BYTES + _BESIDE)


# --- Encoding and decoding ------------------------------------------------------------


class SlotContent(NamedTuple):
    """What a channel's slot holds: its value, and whether it is acknowledged."""

    current: Published
    acknowledged: bool


def encode(
    current: Published,
    acknowledged: bool,
    place: int = -1,
    number: int = -1,
    base: int = 0,
    version: int = 0,
) -> bytes:
    """The bytes of a channel's current value, which becomes *version* of a slot.

    Its era is named by its *number*, and by the *place* of the era's slot; -1 is no
    era. *base* is added to the epoch. With the value goes the era's lease, whose lapses
    are in the epoch even when the slot has a later era. What was kept unparsed stays
    so, unless this process has parsed it. ``ValueError`` if the value has no encoding.
    """
    data: Any = current.data
    levels: Any = None
    if isinstance(data, Unparsed) and data.is_parsed:
        data = data.result
    if isinstance(data, Unparsed):
        levels = data.said, data.seq, data.time_ms, version
    elif isinstance(data, DepthData):
        bids, asks, time_ms, seq, change, version = data
        levels = bids, asks, time_ms, seq, change is not None, version
    state, cause = _NAMES[current.state], current.cause
    lease = None if current.era is None else current.era.lease
    # Of an isolated feed only the exchange's own lease can end, and for one cause.
    sign = place, number, lease and lease[:3]
    why = None if cause is NO_CAUSE else _encode_cause(cause)
    head = state, why, current.epoch + base, sign, acknowledged
    moments = current.received, current.wall, current.lag, current.overdue
    moved = current.moved
    return marshal.dumps((head, levels, moments, moved))


def _encode_cause(cause: Cause) -> Any:
    code, text = cause.code, cause.text[:_LONGEST_TEXT]
    about = cause.endpoint, cause.instrument_id, cause.channel, cause.exchange_code
    return None if code is None else code.value, text, *about, cause.new_id


def _decode_cause(code: str | None, *rest: Any) -> Cause:
    return Cause(None if code is None else CauseCode(code), *rest)


class EraContent(NamedTuple):
    """What an era's slot holds, but for *heard*, which is the slot's pulse.

    *held* is True while a withdrawal of several channels is being written: until it is
    complete, no value of the era is given. *code* is that of the last cause of a
    withdrawal, or ``''``.
    """

    number: int
    lost: bool
    held: bool
    lease: Lease | None
    code: str = ""


_NO_ERA = EraContent(-1, True, False, None, CauseCode.READER.value)


def encode_era(content: EraContent) -> bytes:
    """The bytes of an era's signs of life."""
    number, lost, held, lease, code = content
    return marshal.dumps((number, lost, held, lease and lease[:3], code))


def decode_era(payload: bytes) -> EraContent:
    """Decode the bytes that `encode_era` made."""
    found: Any = marshal.loads(payload)  # noqa: S302 - of our own process
    number, lost, held, lease, code = found
    return EraContent(number, lost, held, lease and Lease(*lease), code)


class RemoteEra:
    """The `SignsOfLife` of one opening of a connection of the worker process.

    Its slot is read at each access, by any thread of the script's process, so that the
    reader sees a loss at once. Once an era is lost, its slot is given to a later era,
    with a higher number. So an era is lost if its slot says so or holds another number,
    if the worker process does not run, or if the slot cannot be read.
    """

    __slots__ = ("_last", "_number", "_process_runs", "_slot")

    def __init__(
        self, slot: Slot, number: int, process_runs: Callable[[], bool]
    ) -> None:
        self._slot = slot
        self._number = number
        self._process_runs = process_runs
        # The last lease that is known, with the most lapses.
        self._last: Lease | None = None

    def learn(self, lease: Lease | None) -> None:
        """The era had *lease*, which is read when the slot has a later era."""
        last = self._last
        if lease is not None and (last is None or lease.lapses >= last.lapses):
            self._last = lease

    def _seen(self) -> EraContent:
        try:
            seen: EraContent = self._slot.get()
        except TornError:
            return _NO_ERA
        return seen

    @property
    def lease(self) -> Lease | None:
        """Until when the connection may be trusted; ``None`` before its first pong."""
        number, _, _, lease, _ = self._seen()
        if number != self._number:
            return self._last
        self.learn(lease)
        return lease

    @property
    def withdrawn(self) -> Mapping[Any, float]:
        """Everything, once the connection or the process was lost, or a kind held."""
        number, lost, held, *_ = self._seen()
        if lost or number != self._number or not self._process_runs():
            return EVERYTHING
        return HELD if held else NOTHING

    @property
    def cause(self) -> Cause:
        """Why values were withdrawn, in short: their own slots have the sentence."""
        if not self._process_runs():
            return _NO_PROCESS
        number, lost, _, _, code = self._seen()
        text = "connection lost" if lost else "withdrawn, and not replaced yet"
        if number != self._number or not code:
            return Cause(CauseCode.NETWORK, "connection lost")
        return Cause(CauseCode(code), text)

    @property
    def heard(self) -> float:
        """When the connection's last bytes came, in monotonic seconds."""
        return self._slot.pulse

    def runs(self) -> object:
        """Something but ``None`` while the worker process runs."""
        return self._process_runs() or None


class RemoteEras:
    """The eras of the worker process's connections, as the script's process sees them.

    It finds the era that a channel's value names, so that all values of one opening
    share one object. *process_runs* is a callable that tells whether the worker process
    runs. Any thread may call; `lose` is called only while no worker process runs.
    """

    def __init__(self, slots: list[Slot], process_runs: Callable[[], bool]) -> None:
        self._slots = slots
        self._process_runs = process_runs
        self._newest: dict[int, RemoteEra] = {}

    def lose(self) -> None:
        """Mark every era as lost in its slot; only while no worker process runs."""
        for slot in self._slots:
            slot.put(encode_era(_NO_ERA))

    def find(self, place: int, number: int) -> RemoteEra:
        """The era *number*, whose slot is at *place*; a later era may use it now."""
        known = self._newest.get(place)
        if known is None or known._number != number:
            known = RemoteEra(self._slots[place], number, self._process_runs)
            self._newest[place] = known
        return known

    def decode(self, keeping: Keeping, payload: bytes) -> SlotContent:
        """Decode the bytes that `encode` made; *keeping* parses what is unparsed."""
        found: Any = marshal.loads(payload)  # noqa: S302 - of our own process
        head, data, moments, moved = found
        state, why, epoch, (place, number, lease), acknowledged = head
        if data is not None and isinstance(data[0], bytes):
            data = SharedPush(keeping, *data)
        elif data is not None:
            bids, asks, time_ms, seq, whole, version = data
            # A reader only needs to know that the value is of a whole book, so the
            # change is left empty.
            change = BookData(True, [], [], time_ms, seq, None, None) if whole else None
            data = DepthData(bids, asks, time_ms, seq, change, version)
        era = self.find(place, number) if place >= 0 else None
        if era is not None and lease is not None:
            era.learn(Lease(*lease))
        cause = NO_CAUSE if why is None else _decode_cause(*why)
        value = (_STATES[state], cause, epoch, era, data, *moments, None, 0, moved)
        current = publish(value)
        return SlotContent(current, acknowledged)


# --- Readings of slots ----------------------------------------------------------------


class SharedPush(Unparsed):
    """A push that the worker process wrote unparsed, as *version* of a slot."""

    __slots__ = ("version",)

    def __init__(
        self,
        keeping: Keeping,
        said: bytes,
        seq: int | None,
        time_ms: int,
        version: int,
    ) -> None:
        super().__init__(keeping, said, seq, time_ms)
        self.version = version


class SlotParser:
    """Parses what the worker process wrote unparsed into one slot. Any thread may call.

    *make* is a callable that makes a channel of the same name, whose code parses; it
    publishes nothing. The slot tells the worker process what came of it, and *doubt* is
    called for a push that cannot be read.
    """

    # Weak, because the slot has what this object parses.
    slot: ReferenceType[Slot]

    def __init__(self, make: Callable[[], Any], doubt: Callable[[], None]) -> None:
        self._make = make
        self._channel: Any = None
        self.doubt = doubt

    def parse(self, kept: Any) -> object:
        """The data in *kept*, a `SharedPush`; `WireError` if there is none."""
        if self._channel is None:
            self._channel = self._make()
        is_good = False
        try:
            data: object = self._channel.parse(kept)
            is_good = True
        finally:
            if (slot := self.slot()) is not None:
                slot.say(kept.version, is_good)
        return data


class _Slotted:
    """What serves the reading of a slot: each access reads the slot.

    A slot that cannot be read gives ``RESYNCING``, without a value.
    """

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    @property
    def content(self) -> SlotContent:
        try:
            content: SlotContent = self.slot.get()
        except TornError as error:
            cause = Cause(CauseCode.READER, str(error))
            torn = Published(State.RESYNCING, cause, 0)
            return SlotContent(torn, False)
        return content

    @property
    def current(self) -> Published:
        """The present value."""
        return self.content.current

    @property
    def acknowledged(self) -> bool:
        """Whether the exchange acknowledged the channel."""
        return self.content.acknowledged


class SlotReading(Reading):
    """The reading of one channel of an isolated feed: its values are in a slot.

    A slot is a place in shared memory for the newest value of one channel. Any thread
    may read. The methods that write are called only while no worker process runs.
    *doubt* has the worker process look at a value that cannot be parsed here.
    """

    def __init__(
        self,
        name: ChannelName,
        wire: WireProtocol,
        memory: Memory,
        address: SlotAddress,
        eras: RemoteEras,
        doubt: Callable[[], None],
    ) -> None:
        super().__init__(name)
        parser = SlotParser(partial(KINDS[name.kind], wire, name, self), doubt)
        slot = memory.slot(address, partial(eras.decode, parser))
        parser.slot = ref(slot)
        # ``None`` once the slot is given back: it would keep the memory in use.
        self._slot: Slot | None = slot
        mine = "", name.instrument_id, name.topic
        cause = Cause(CauseCode.CONNECTING, "not connected yet", *mine)
        self.write(Published(State.CONNECTING, cause, 0))
        self.entry = ServingEntry(_Slotted(slot))

    def write(self, current: Published) -> None:
        """Write *current* into the slot; only while no worker process runs."""
        if self._slot is not None:
            self._slot.put(encode(current, False))

    def freeze(self) -> None:
        """Keep the present state without its data, because the slot is given back."""
        current = self.current
        if current.state is State.LIVE:
            cause = Cause(CauseCode.CLOSED, "the subscription has ended")
            current = current._replace(state=State.RECONNECTING, cause=cause)
        kept = current._replace(era=None, data=None, lag=None, epoch=self.epoch)
        self.entry, self._slot = ServingEntry(SlotContent(kept, False)), None

    def forked(self) -> None:
        """In a forked child: be closed, and read the slot no more."""
        current = Published(State.CLOSED, FORKED, 0)
        self.entry, self._slot = ServingEntry(SlotContent(current, False)), None
