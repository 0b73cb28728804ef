"""The connections of a feed: made, replaced without a gap, divided, given up.

Any thread may ask for that; the threads of the connections carry it out.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence

from ..base.clock import utc
from ..base.counts import Counts
from ..base.errors import OkexWSError
from ..base.state import CLOSED
from ..base.threads import locked
from ..channels.base import Channel
from ..channels.reading import Reading
from ..delivery.view import View
from ..model.credentials import Credentials
from ..model.reports import ConnectionReport, Stats
from ..model.venues import Venue
from ..protocol.interface import WireProtocol
from ..protocol.messages import SocketPath
from .connection import Connection, Settings
from .handover import Handover, move
from .placement import Placement
from .register import Carrier, Register, Row, Table


class ConnectionSet(ABC):
    """The connections of one feed, and the register of what lives on them.

    Any thread may call, a signal handler too: a change of the register is one step, and
    what follows from it is done by jobs on the connections' threads.
    """

    def __init__(
        self,
        venue: Venue,
        wire: WireProtocol,
        settings: Settings,
        credentials: Credentials | None,
    ) -> None:
        # What scripts are told, and where the connections lead: these differ if another
        # machine forwards the data.
        self.venue = self._there = venue
        self.wire = wire
        self.clock = settings.clock
        self._settings = settings
        self._credentials = credentials
        self._register = Register()
        self._placement = Placement(venue, wire, self._make_connection)
        # Connections that are not in the register, until they have ended: retired ones,
        # and the new or old connection of a handover; and the counts of those that
        # have ended.
        self._draining: tuple[Connection, ...] = ()
        self.past_counts = Counts()
        # Why the feed is closed, once it is.
        self.closed_by = CLOSED
        # Guards counts and the list above. Re-entrant, because a signal handler or the
        # garbage collector may close a subscription while this thread holds it.
        self._lock = threading.RLock()

    def _discard(self, made: list[Carrier], why: str = "") -> None:
        """Give up those connections of *made* that were not started."""
        while made:
            connection = made.pop()
            assert isinstance(connection, Connection)
            if connection.join(0):
                connection.error = OkexWSError(why)
                self._take_out(connection)
                connection.discard()

    def _take_out(self, carrier: Carrier) -> None:
        """Place no further channel on *carrier*."""
        if carrier in self._register.table.carriers:
            self._register.change(lambda table: table.without_carrier(carrier))

    @abstractmethod
    def _make_connection(self, path: SocketPath, key: str) -> Connection:
        """A connection to *path* that is not started yet; *key* is in its name."""

    def make_channel(self, reading: Reading) -> Channel:
        """A second channel of *reading*, for another connection; it is silent."""
        return self._placement.make_channel(reading.described, reading)

    @property
    def placed(self) -> tuple[Connection, ...]:
        """The connections on which channels may live."""
        return tuple(_connections(self._register.table))

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections that have not ended."""
        return (*self.placed, *self._draining)

    def reports(self) -> tuple[ConnectionReport, ...]:
        """A report on each connection that channels live on."""
        table = self._register.table
        reports = []
        for connection in _connections(table):
            rows = table.of(connection)
            names = [r.reading.name for r in rows if not _is_own(r)]
            deep = sum(map(self.wire.is_deep, names))
            reports.append(connection.report(len(names), deep))
        return tuple(reports)

    def retire(self, carrier: Carrier, error: OkexWSError) -> None:
        """Close the connection *carrier* for good, because of *error*."""
        assert isinstance(carrier, Connection)
        carrier.error = error
        self._drain(carrier)
        self._take_out(carrier)
        carrier.close()
        handover = carrier.channels.handover
        if handover is not None:
            handover.cancel()
            self._finish(handover)

    def _drain(self, *leaving: Connection) -> None:
        """Keep the connections *leaving* in the statistics until they have ended."""
        locked(self._lock, lambda: self._change_draining(leaving))

    def _change_draining(self, leaving: tuple[Connection, ...]) -> None:
        draining = list(leaving)
        for connection in self._draining:
            if connection in leaving:
                continue
            if connection.join(0):
                self.past_counts.absorb(connection.counts)
            else:
                draining.append(connection)
        self._draining = tuple(draining)

    def _undrain(self, staying: Connection) -> None:
        def change() -> None:
            self._draining = tuple(c for c in self._draining if c is not staying)

        locked(self._lock, change)

    def _divide(self, connection: Connection) -> None:
        """The exchange finds the channels of *connection* too many: move half of them.

        A connection keeps one channel at least.
        """
        table = self._register.table
        count = len(table.of(connection))
        others = sum(not _is_own(row) for row in table.of(connection))
        if others < 2 or connection not in table.carriers:
            return
        connection.most = (count + 1) // 2
        made: list[Carrier] = []
        try:
            moves = self._placement.surplus(table, connection, made)
        except OSError as error:  # the system gave no socket
            self._discard(made, str(error))
            connection.channels.troubled(OkexWSError(str(error)))
            return
        for carrier, names in moves.items():
            assert isinstance(carrier, Connection)
            try:
                if carrier not in table.carriers and not self._add(carrier):
                    continue
            except RuntimeError as error:
                # The channels stay where they are, until the exchange says so again.
                connection.channels.troubled(OkexWSError(str(error)))
                continue
            now, make = self.clock.monotonic(), self.make_channel
            move(self._register, connection, carrier, {}, make, now, names)
            carrier.submit(carrier.channels.catch_up)

    def _add(self, new: Connection) -> bool:
        """Start *new*, on which channels may be placed then; False if that failed."""

        def change(table: Table) -> Table:
            return table if table.closed else table.with_carrier(new, None)

        if not self._begin(new):
            return False
        is_known = new in self._register.change(change).carriers
        self._undrain(new)
        return is_known

    def _begin(self, new: Connection) -> bool:
        """Start *new*, which is not in the register; False if the pool was closed.

        Raises ``RuntimeError`` if the system gives no thread.
        """
        try:
            self._drain(new)
            new.start()
            if self.closed:
                new.close()
        except BaseException:
            self._end(new)
            raise
        return not self.closed

    @staticmethod
    def _end(connection: Connection) -> None:
        connection.close()
        if connection.join(0):  # its thread, which would end it, was not started
            connection.discard()

    def rotate(self) -> None:
        """Replace every connection by a new one, without a gap. Any thread."""
        for connection in self.placed:
            self.start_handover(connection)

    def start_handover(self, carrier: Carrier) -> None:
        """Open a connection that takes over the channels of *carrier* without a gap.

        Nothing happens if the pool is closed or *carrier* has no channels. Raises
        ``OSError`` or ``RuntimeError`` if the system gives no connection or thread.
        """
        assert isinstance(carrier, Connection)
        channels, before = carrier.channels, carrier.channels.handover
        try:
            handover = locked(self._lock, lambda: self._make_handover(carrier))
            if handover is not None:
                assert isinstance(handover.new.carrier, Connection)
                self._begin(handover.new.carrier)
                handover.new.carrier.submit(handover.new.catch_up)
        except BaseException:
            # The system gave no thread, or a signal handler raised: undo the request.
            made = channels.handover
            if made is not None and made is not before:
                made.cancel()
                self._finish(made)
            raise

    def _make_handover(self, carrier: Connection) -> Handover | None:
        """A handover from *carrier* to a new connection, unless there is one already.

        The caller holds the lock.
        """
        channels, table = carrier.channels, self._register.table
        if channels.handover is not None:
            # A connection that is about to take over itself is replaced after it has
            # done so: see `_finish`.
            channels.handover.again |= channels.handover.new is channels
            return None
        names = [row.reading.name for row in table.of(carrier) if row.users]
        if table.closed or carrier not in table.carriers or not names:
            return None
        new = self._make_connection(carrier.path, names[0])
        new.most = carrier.most
        handover = Handover(
            self._register, channels, new.channels, self.make_channel, self._finish
        )
        new.channels.handover = channels.handover = handover
        return handover

    def _finish(self, handover: Handover) -> None:
        """*handover* is over: the connection that is not needed any more ends."""
        old, new = handover.old, handover.new
        assert isinstance(old.carrier, Connection)
        assert isinstance(new.carrier, Connection)
        if handover.has_taken_over:
            self._drain(old.carrier)
            self._undrain(new.carrier)
            old.carrier.close()
        else:
            self._end(new.carrier)
        # At last, because this is called again if it was interrupted before.
        for channels in (old, new):
            if channels.handover is handover:
                channels.handover = None
        if handover.has_taken_over and handover.again:
            new.carrier.submit(new.carrier.channels.ending)

    @property
    def closed(self) -> bool:
        """Whether the feed was closed."""
        return self._register.table.closed


def _connections(table: Table) -> list[Connection]:
    return [each for each in table.carriers if isinstance(each, Connection)]


def _is_own(row: Row) -> bool:
    """Whether the feed alone wants the channel of *row*, and no script."""
    return bool(row.users) and all(view.internal for view in row.users)


def _named(prefix: str, counts: Counter[str]) -> dict[str, int]:
    """The counts whose names begin with *prefix*, by the rest of the name."""
    return {
        name.removeprefix(prefix): count
        for name, count in counts.items()
        if name.startswith(prefix)
    }


def collect_stats(
    connections: Iterable[Connection],
    views: Sequence[View],
    past: Counter[str],
    before: Counts,
    readings: Iterable[Reading] | None = None,
) -> Stats:
    """The counts of *connections* and *views*, with those of objects that are gone.

    *past* has the counts of views and channels that are gone, *before* those of
    connections that have ended. *readings* are those of the *views*, unless they are
    given.
    """
    mine = Counter(past)
    if readings is None:
        readings = {id(r): r for v in views for r in v.readings.values()}.values()
    for view in views:
        mine += view.counts()
    for reading in readings:
        # A copy, because the connection's thread may count at this moment.
        mine += Counter(dict(reading.counts))
    counts, open_bytes, pongs, trips = Counts(), 0, [], []
    counts.absorb(before)
    for connection in connections:
        one, opening = connection.counts, connection.opening
        counts.absorb(one)
        open_bytes += 0 if opening is None else opening.transport.bytes_received
        if one.last_pong is not None and one.round_trip is not None:
            pongs.append(one.last_pong)
            trips.append(one.round_trip)
    return Stats(
        messages=counts.messages,
        bytes=counts.bytes + open_bytes,
        reconnects=dict(counts.reconnects),
        resyncs=mine["resyncs"],
        gaps=mine["gaps"],
        mismatches=mine["mismatches"],
        dropped=dict(counts.dropped),
        skipped=_named("skipped ", mine),
        unread=_named("unread ", mine),
        callback_errors=mine["callback_errors"],
        callback_stalls=mine["callback_stalls"],
        # Of several connections, the oldest pong and the longest round trip.
        last_pong=utc(min(pongs)) if pongs else None,
        ping_round_trip=max(trips) if trips else None,
    )
