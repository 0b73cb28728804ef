"""One channel on one connection: what writes the current value that scripts read.

Only the thread of the channel's connection calls the methods that change a channel. The
current value, in the attribute *current*, is an immutable `Published` that this thread
replaces as a whole, so that any thread may read it at any time.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from ..base.errors import OkexWSError, WireError
from ..base.state import NO_CAUSE, Cause, CauseCode, State
from ..model.items import Gap, Item
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName, DepthData, Push
from ..protocol.unparsed import Unparsed
from ..trust.lease import Era
from ..trust.reading import ServingEntry
from ..trust.verdict import Published, publish
from .reading import Reading


class Drained(Protocol):
    """What delivers the events that a follower has queued."""

    def drain(self) -> None:
        """Run what waits. It runs code of the script."""
        ...


class Follower(Protocol):
    """What a channel calls for its events: the `View` of a subscription that wants it.

    The thread of the channel's connection calls. A follower of channels on several
    connections is called by several threads, and these calls may overlap. A call only
    queues what there is to deliver, and runs no code of the script. If *wants_pushes*
    is False, `pushed` is not called. If *wants_data* is False, a push may stay unparsed
    until it is read. If *wants_items* is False, trades may: only a `Gap` is added.
    """

    wants_pushes: bool
    wants_data: bool
    wants_items: bool

    @property
    def callbacks(self) -> Drained:
        """What delivers the events that were queued."""
        ...

    def pushed(self, reading: Reading, text: str, now: float) -> None:
        """A push was published; *text* is the exchange's JSON text of it."""
        ...

    def add(self, topic: str, item: Item) -> None:
        """An item of the channel *topic* came (a trade, say), or a `Gap` was found."""
        ...

    def add_repeated(self, topic: str, item: Item) -> None:
        """The exchange repeated its last item from before the first subscription."""
        ...

    def tell(self, now: float) -> None:
        """The state of the channel may have changed."""
        ...


# A global name, because every push looks it up.
_LIVE = State.LIVE


class Channel(ABC):
    """One stream of the exchange on one connection: it writes the current value.

    Scripts read the value through its `Reading`, which leads here. The current value,
    *current*, is an immutable `Published`, which is replaced as a whole; so any thread
    may read it at any time. Only the connection's thread changes a channel. A standby
    is a second channel of the same reading on another connection: it is *silent*, so it
    has no followers and keeps its items, until `take_over` continues the channel before
    it.

    Whenever the value cannot be trusted (a loss, a failed proof, a refusal), it is
    withdrawn: *current* then has the state and its cause, and no data. The next value
    that is live again begins a new epoch.
    """

    # Whether each push changes the value before it, as the pushes of a whole book do.
    incremental = False
    # How often the exchange repeats an idle book, in seconds, with a grace added. Set
    # by the pool from the venue's facts.
    repeats_within = math.inf

    def __init__(
        self, wire: WireProtocol, name: ChannelName, reading: Reading | None = None
    ) -> None:
        self._wire = wire.reader(name)
        self.silent = reading is not None
        self.reading = Reading(name) if reading is None else reading
        self.name = name.key
        self.topic = name.topic
        self.instrument_id = name.instrument_id
        self.needs_snapshot = wire.needs_snapshot(name.topic)
        self.acknowledged = False
        # When the exchange acknowledged the channel, in monotonic seconds.
        self.acknowledged_at = math.inf
        self._serial = 0
        cause = self._cause(CauseCode.CONNECTING, "not connected yet")
        self.current = Published(State.CONNECTING, cause, 0, channel=self)
        self.followers: tuple[Follower, ...] = ()
        # How many openings have carried the channel, and counts of its events.
        self.openings = 0
        self.counts = Counter[str]() if self.silent else self.reading.counts
        # The text of the last push, while the channel is silent.
        self._text: str | None = None
        # The channel that this one is to continue, and whether the connection before
        # has handled all that the exchange sent before this channel was ready.
        self.continues: tuple[Channel, bool] | None = None
        # Called on any thread if a reader cannot parse what was kept: see `doubt`.
        self.on_doubt: Callable[[], None] = lambda: None
        self._unread = f"unread {name.topic}"
        if reading is None:
            self.reading.entry = ServingEntry(self)

    # --- What happens to the connection ---------------------------------------------

    def opened(self, era: Era, now: float) -> None:
        """The connection opened; the channel is not acknowledged on it yet."""
        self.acknowledged = False
        self.openings += 1
        waits = self._cause(CauseCode.SUBSCRIBING, "waiting for the acknowledgement")
        self._sync(waits, era)
        self._tell(now)

    def subscribed(self, era: Era, now: float) -> None:
        """The exchange acknowledged the channel."""
        self.acknowledged, self.acknowledged_at = True, now
        self._sync(self._cause(CauseCode.SNAPSHOT, "waiting for the first push"), era)
        self._begin()
        self._tell(now)

    def _begin(self) -> None:
        """Become live, if that takes no push."""
        if self.reading.halt is not None:
            self._withdraw(State.STALE, self.reading.halt)
        elif not self.needs_snapshot:
            epoch = self.current.epoch + 1
            self._store(state=State.LIVE, cause=NO_CAUSE, epoch=epoch)

    def halted(self, halt: Cause | None, now: float) -> bool:
        """The exchange does not trade the instrument, for *halt*; or it does again.

        The value is withdrawn at the beginning, and the next one after the end is of a
        new epoch. True if the channel now waits for that.
        """
        state = self.current.state
        if halt is not None and state in (State.LIVE, State.STALE):
            self._withdraw(State.STALE, halt)
        elif halt is None and state is State.STALE:
            text = "waiting for the first push since trading goes on"
            self._withdraw(State.RESYNCING, self._cause(CauseCode.SNAPSHOT, text))
            self._begin()
        self._tell(now)
        return halt is None and self.current.state is State.RESYNCING

    def renamed(self, new_id: str) -> str:
        """The key of this channel for the *new_id* of its instrument."""
        return self._wire.renamed(self.name, new_id)

    def _cause(self, code: CauseCode, text: str) -> Cause:
        return Cause(code, text, "", self.instrument_id, self.topic)

    def _sync(self, cause: Cause, era: Era) -> None:
        self._withdraw(State.SYNCING, cause, era)

    def withheld(self, state: State, cause: Cause, now: float) -> None:
        """What forwards the exchange's data does not vouch for this channel."""
        self.acknowledged = False
        mine = self.instrument_id, self.topic
        cause = replace(cause, instrument_id=mine[0], channel=mine[1])
        self._withdraw(state, cause)
        self._tell(now)

    def lost(self, cause: Cause, now: float) -> None:
        """The connection ended: withdraw the value that came over it."""
        self.acknowledged = False
        self._withdraw(State.RECONNECTING, cause)
        self._tell(now)

    def invalidated(self, cause: Cause, now: float) -> None:
        """Withdraw the value: an unreadable message may have been this channel's."""
        if self.current.state is State.LIVE:
            self._resync(cause, now)

    def _resync(self, cause: Cause, now: float) -> None:
        self.counts["resyncs"] += 1
        self._withdraw(State.RESYNCING, cause)
        self._tell(now)

    def refused(self, error: OkexWSError) -> None:
        """The exchange refused the channel for good.

        Each subscription decides by itself whether it fails for that.
        """
        self.reading.error = error
        self._withdraw(State.FAILED, error.cause)

    def take_over(self, before: Channel, proven: bool) -> None:
        """Continue *before*, the same channel on the connection before, which is still.

        The reading leads here already. *proven* is True if the old connection has
        handled all that the exchange sent before this channel was ready.
        """
        self.silent, self.followers = False, self.followers or before.followers
        self.counts = self.reading.counts
        # Two openings at once are one: nothing was missed between them.
        both = min(1, self.openings, before.openings)
        self.openings += before.openings - both
        text, self._text = self._text, None
        if text is not None and self.current.state is _LIVE:
            self._pass_on(text, self.current.received)

    @property
    def own_epoch(self) -> int:
        """The channel's own part of the epoch: how often it became live."""
        current = self.current
        return current.epoch + _lapses(current)

    # --- What is kept unparsed ------------------------------------------------------

    @property
    def keeps_unparsed(self) -> bool:
        """Whether a push may stay as it came until it is read, or is replaced."""
        return False

    @property
    def is_unverified(self) -> bool:
        """Whether `verify` has something to parse."""
        return isinstance(self.current.data, Unparsed)

    def keep(self, said: bytes, era: Era, now: float, wall: float) -> bool:
        """Publish the push *said* unparsed; False if it has to be parsed at once.

        The caller has recognized *said* as this channel's, and has used a push since
        the channel was subscribed.
        """
        return False

    @property
    def standing(self) -> DepthData | None:
        """The present depth, if it can be trusted: what a keyframe records.

        Only the connection's thread asks, after `verify`.
        """
        return None

    def doubt(self) -> None:
        """A reader, on any thread, cannot parse what was kept: have it looked at."""
        self.on_doubt()

    def verify(self) -> WireError | None:
        """Parse the present value, if it was kept unparsed; return what is wrong.

        Called before anything on the connection's thread that needs the value, and
        before a lease is renewed.
        """
        unread = self._find_unread()
        return None if unread is None else unread.verify()

    def _find_unread(self) -> Unparsed | None:
        """The present value, if no reader of any process has parsed it."""
        current = self.current
        if not isinstance(data := current.data, Unparsed) or data.is_parsed:
            return None
        for copy in self.reading.copies:
            if copy.is_read(current):
                return None
        return data

    def parse(self, kept: Unparsed) -> object:
        """The data of the one element of *kept*, read as `push` reads it. Any thread.

        Raises `WireError` if that fails. It names the channel, unless the message is no
        push of this very channel: it may have been of any other.
        """
        messages = self._wire.read(kept.said)
        push = messages[0] if len(messages) == 1 else None
        if not isinstance(push, Push) or push.channel != self.name:
            raise WireError("shape", "no push of the channel that its bytes name")
        try:
            try:
                return self._parsed(push, kept)
            except WireError:
                if (exact := self._wire.exactly(push)) is None:
                    raise
                return self._parsed(exact, kept)
        except WireError as error:
            error.channel = self.name
            error.instrument_id, error.topic = self.instrument_id, self.topic
            raise

    def _parsed(self, push: Push, kept: Unparsed) -> object:
        """The data of *push*, which is that of *kept*; else `WireError`."""
        raise NotImplementedError

    def _missing(self, after: str | None, before: str | None, cause: Cause) -> None:
        self.counts["gaps"] += 1
        mine = self.instrument_id, self.topic
        cause = replace(cause, instrument_id=mine[0], channel=mine[1])
        gap = Gap(self.topic, after, before, cause, self.instrument_id)
        for follower in self.followers:
            follower.add(self.topic, gap)

    def _withdraw(self, state: State, cause: Cause, era: Era | None = None) -> None:
        unread = self._find_unread()
        if unread is not None and unread.result is None:
            self.counts[self._unread] += 1
        signs = self.current.era if era is None else era
        # The lapses of the old opening's lease are in every epoch after it.
        past = 0
        if era is not None and signs is not self.current.era:
            past = _lapses(self.current)
        epoch = self.current.epoch + past
        self._store(
            state=state, cause=cause, epoch=epoch, era=signs, data=None, lag=None
        )

    def _store(self, **changes: Any) -> None:
        self._serial += 1
        self.current = self.current._replace(serial=self._serial, **changes)

    def _tell(self, now: float) -> None:
        for follower in self.followers:
            follower.tell(now)

    # --- What comes over it ---------------------------------------------------------

    @abstractmethod
    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        """Publish *push*; False if the channel cannot use it yet.

        *first* is True until the channel has used a push after its subscribe. *now* is
        monotonic and *wall* is epoch seconds. A push that raises `WireError` changes
        nothing.
        """

    def _publish(
        self,
        data: object,
        lag: float | None,
        era: Era,
        now: float,
        wall: float,
        text: str,
        moved: float = -math.inf,
    ) -> None:
        before = self.current
        live = before.state is _LIVE and not before.is_withdrawn
        # After a withdrawal, for any reason, a new epoch begins.
        epoch = before.epoch if live else before.epoch + 1
        state, cause = _LIVE, NO_CAUSE
        if (halt := self.reading.halt) is not None:
            state, cause, epoch, data, lag = State.STALE, halt, before.epoch, None, None
        self._serial += 1
        overdue = now + self.repeats_within
        value = (state, cause, epoch, era, data, now, wall, lag, overdue, self)
        self.current = publish((*value, self._serial, moved))
        for copy in self.reading.copies:
            copy.flush(now)
        if self.silent:
            self._text = text or self._text
        elif self.followers:
            if not live:
                self._tell(now)
            if text:
                self._pass_on(text, now)

    def _pass_on(self, text: str, now: float) -> None:
        for follower in self.followers:
            if follower.wants_pushes:
                follower.pushed(self.reading, text, now)


def _lapses(current: Published) -> int:
    lease = None if current.era is None else current.era.lease
    return 0 if lease is None else lease.lapses
