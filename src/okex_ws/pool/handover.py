"""Make-before-break: a new connection takes over before the old connection ends.

While the old connection serves, the new connection subscribes a standby of each
channel. Once the standbys have all that the old connection has given, each reading is
led to its standby, by one store, on the thread of the old connection. The thread of the
new connection then delivers what the standbys kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol

from ..base.errors import OkexWSError
from ..base.log import log
from ..base.state import State
from ..channels.base import Channel
from ..channels.reading import Reading
from ..protocol.messages import DepthData
from ..trust.lease import Era, SignsOfLife
from ..trust.reading import ServingEntry
from .register import Carrier, Register, Row, Table

# Seconds between two looks at the standbys, until they can take over.
LOOK_EVERY = 0.25
# How many seconds the old connection waits for the proof that the values of the new one
# are not older than its own: at least so many, and at least from one ping of the new
# one to the next. After that a new epoch begins.
PATIENCE = 5.0


class Party(Protocol):
    """One side of a handover: the channels of a connection."""

    carrier: Carrier
    era: Era | None
    channels: dict[str, Channel]
    handover: Any

    def catch_up(self) -> None:
        """Carry out what has changed in the register."""
        ...

    def verify_all(self, now: float) -> None:
        """Parse what was kept unparsed."""
        ...

    def troubled(self, error: OkexWSError) -> None:
        """Report *error*, which passes, to the views."""
        ...


class Move(NamedTuple):
    """Where a channel goes: *channel* on the new connection continues the one before.

    *follows* is True if the value of *channel* is known to be not older than the
    present one, so that the epoch goes on. *own_epoch* is the channel's own at that
    moment: if it is withdrawn and live again since, the epoch rises.
    """

    channel: Channel
    follows: bool
    proven: bool
    own_epoch: int


def move(
    register: Register,
    old: Carrier,
    new: Carrier,
    moves: Mapping[str, Move],
    make: Callable[[Reading], Channel],
    now: float,
    names: Collection[str] | None = None,
) -> None:
    """Lead the rows of *old* to *new*: those of *names*, or all of them.

    It runs on the thread of *old*, whose channels are still afterwards. *make* is a
    callable that makes a channel for a row without a move of its own. Without *names*
    *new* also takes the place of *old* among the carriers. Each reading is led to its
    new channel before the register changes, which it does in one step: if this is
    interrupted before, *old* still has the channels, and it may be done again.
    """
    made = {name: each.channel for name, each in moves.items()}

    def change(table: Table) -> Table:
        rows = []
        for row in table.of(old):
            name, reading = row.reading.name, row.reading
            if names is not None and name not in names:
                continue
            channel = made.get(name)
            if channel is None or channel.reading is not reading:
                channel = row.channel if reading.error else make(reading)
                made[name] = channel
            if channel is not row.channel:
                _lead(row, channel, moves.get(name), now)
            rows.append(row._replace(carrier=new, channel=channel))
        table = table.with_rows(rows)
        return table.with_carrier(new, old) if names is None else table

    table = register.change(change)
    for row in table.of(new):
        for view in row.users:
            view.entered(row.reading)


def _lead(row: Row, channel: Channel, known: Move | None, now: float) -> None:
    """Lead the reading of *row* to *channel*, which continues the channel of *row*."""
    known = known if known is not None and known.channel is channel else None
    channel.continues = row.channel, known is not None and known.proven
    # From here on a withdrawal is told, though the new thread has not caught up.
    channel.followers = row.users
    reading = row.reading
    if reading.entry.channel is not channel:
        reading.entry = ServingEntry(channel, _base(reading, channel, known, now))


def lead_back(reading: Reading, channel: Channel, now: float) -> None:
    """Lead *reading* to *channel*, its row's: a move to another one was interrupted."""
    if reading.entry.channel is not channel:
        reading.entry = ServingEntry(channel, _base(reading, channel, None, now))


def _base(reading: Reading, channel: Channel, known: Move | None, now: float) -> int:
    """The base of the new entry: the epoch that scripts are given goes on, or rises.

    The thread of the old connection works it out, because only that thread can raise
    the epoch of the old value.
    """
    # Before its value: what the new thread publishes meanwhile is in a later epoch.
    own = channel.own_epoch if known is None else known.own_epoch
    present, after = reading.current, channel.current
    live = after.state is State.LIVE
    good = present.state is State.LIVE and not present.is_withdrawn
    good = good and _runs(present.era, now)
    goes_on = known is not None and (known.follows if good else not live)
    return reading.epoch - own + (not goes_on and live)


def _has_same_levels(after: object, before: object) -> bool:
    """Whether both are depths of the same levels."""
    if not (isinstance(after, DepthData) and isinstance(before, DepthData)):
        return False
    return after.bids == before.bids and after.asks == before.asks


def _runs(era: SignsOfLife | None, now: float) -> bool:
    """Whether the lease of *era* runs."""
    lease = None if era is None else era.lease
    return lease is not None and now < lease.until


class Handover:
    """Moves the channels of one `Connection` to another one, make-before-break.

    The exchange announces when it will close a connection, and a script may ask for a
    new one (``rotate``). To lose the old connection first and then reconnect would cost
    seconds of prices and trades. *old* has the channels of the connection that is to
    end, *new* those of the connection that replaces it. While *old* serves, *new*
    subscribes a standby of each channel, which is silent.

    A standby is ready when the exchange has acknowledged it, when it is live if the old
    channel is, and when a pong proves that *old* has handled all that the exchange sent
    before that acknowledgement. Its value follows the old one if its sequence number is
    not below (of a book without numbers: if its levels are the same), or if a pong of
    *new* proves that it has handled all that the exchange sent before the old value
    came. Then the readings are led to the standbys. One for which that proof does not
    come within five seconds, or a third of a longer lease, begins a new epoch.

    If *old* is lost before, *new* takes over as it is. If *new* is lost, its standbys
    are made again. If the exchange refuses *new* anything, the handover is called off,
    because *old* still serves. *finish* is a callable that ends one of the two
    connections. The thread of *old* calls `advance` and `lost`, that of *new* calls
    `refused`.
    """

    def __init__(
        self,
        register: Register,
        old: Party,
        new: Party,
        make: Callable[[Reading], Channel],
        finish: Callable[[Handover], None],
    ) -> None:
        self.old = old
        self.new = new
        # Whether the new connection is about to end too, and needs a handover next.
        self.again = False
        # When `advance` is to be called, in monotonic seconds.
        self.due = -math.inf
        self._register = register
        self._make = make
        self._finish = finish
        # Since when the standbys are ready, but for the order of their values. Each has
        # a wait of its own, which a channel that is subscribed meanwhile does not begin
        # anew for the others.
        self._ready_since: dict[Channel, float] = {}
        # What was decided first: that the new connection takes over, or not; and
        # whether it has.
        self._decided: dict[int, bool] = {}
        self.has_taken_over = False

    @property
    def is_called_off(self) -> bool:
        """Whether the new connection never takes over."""
        return not self._decided.get(0, True)

    def cancel(self) -> None:
        """Neither connection takes over: the old one was given up."""
        self._decided.setdefault(0, False)

    def standby_for(self, party: Party, table: Table) -> Carrier | None:
        """The old carrier, if by *table* *party* has yet to take over from it."""
        old, new = self.old.carrier, self.new.carrier
        waits = party is self.new and not self.is_called_off
        return old if waits and new not in table.carriers else None

    # --- On the thread of the old connection ----------------------------------------

    def advance(self, now: float) -> None:
        """Have the new connection take over, if every standby is ready."""
        if self.is_called_off:
            self._finish(self)
            return
        self.due = now + LOOK_EVERY
        self.old.verify_all(now)
        rows = self._register.table.of(self.old.carrier)
        rows = [row for row in rows if row.users and row.reading.error is None]
        # A copy, because the thread of the new connection may add standbys.
        standbys = dict(self.new.channels)
        ready = {
            standbys[row.reading.name]: row
            for row in rows
            if self._is_ready(row, standbys, now)
        }
        since = self._ready_since
        self._ready_since = {each: since.get(each, now) for each in ready}
        if not rows or len(ready) < len(rows):
            return
        moves = {row.reading.name: self._move(row, each) for each, row in ready.items()}
        new = self.new.era
        patience = max(PATIENCE, 0.0 if new is None else new.lease_length / 3)
        if all(
            each.follows or now >= self._ready_since[each.channel] + patience
            for each in moves.values()
        ):
            self._take_over(moves, now)
            # From now on nothing that comes over the old connection is taken in.
            self.old.catch_up()

    def _is_ready(self, row: Row, standbys: Mapping[str, Channel], now: float) -> bool:
        old, new = self.old.era, self.new.era
        standby = standbys.get(row.reading.name)
        if standby is None or standby.reading is not row.reading:
            return False
        if old is None or new is None or not _runs(new, now):
            return False
        if not standby.acknowledged or old.proven < standby.acknowledged_at:
            return False
        present = standby.current
        live = present.state is State.LIVE and not present.is_withdrawn
        follows = live and present.era is new
        return follows or row.channel.current.state is not State.LIVE

    def _move(self, row: Row, standby: Channel) -> Move:
        own, new = standby.own_epoch, self.new.era
        before, after = row.channel.current, standby.current
        if row.reading.is_series or before.state is not State.LIVE:
            return Move(standby, True, True, own)
        seq, later = getattr(before.data, "seq", None), getattr(after.data, "seq", None)
        if seq is not None and later is not None:
            follows = bool(later >= seq)
        else:
            follows = new is not None and new.proven >= before.received
            # A book has no other number than its levels.
            if row.channel.incremental:
                follows = follows or _has_same_levels(after.data, before.data)
        return Move(standby, follows, True, own)

    def lost(self, now: float) -> bool:
        """The old connection was lost: the new one takes over as it is.

        False if the handover has been called off.
        """
        moves, standbys = dict[str, Move](), dict(self.new.channels)
        for row in self._register.table.of(self.old.carrier):
            standby = standbys.get(row.reading.name)
            if standby is not None and standby.reading is row.reading:
                own = standby.own_epoch
                moves[row.reading.name] = Move(standby, False, False, own)
        return self._take_over(moves, now)

    def _take_over(self, moves: Mapping[str, Move], now: float) -> bool:
        # It may be called again, after an exception: each step may be done twice.
        if not self._decided.setdefault(0, True):
            return False
        old, new = self.old.carrier, self.new.carrier
        move(self._register, old, new, moves, self._make, now)
        self.has_taken_over = True
        new.submit(self.new.catch_up)
        self._finish(self)
        # A log handler is code of the script: it runs between two steps.
        old.submit(_tell)
        return True

    # --- On the thread of the new connection ----------------------------------------

    def refused(self, error: OkexWSError) -> bool:
        """The exchange refused the new connection something: call the handover off.

        False if the new connection takes over.
        """
        if self.is_called_off or self._decided.setdefault(0, False):
            return self.is_called_off
        self._finish(self)
        old = self.old
        old.carrier.submit(lambda: old.troubled(error))
        sentence = "no connection takes over: %s"
        self.new.carrier.submit(lambda: log.warning(sentence, error))
        return True


def _tell() -> None:
    log.info(
        "a new connection took over from one that is about to end",
        extra={"event": "took over"},
    )
