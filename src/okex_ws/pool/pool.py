"""The pool of a feed: its connections, the channels that live on them, and the views.

Scripts subscribe and close on any thread. The pool changes the register, and wakes the
threads of the connections, which carry the change out and report what comes of it.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..base.counts import Counts
from ..base.errors import OkexWSError
from ..base.threads import register_for_fork
from ..channels.base import Channel
from ..channels.reading import Reading
from ..delivery.callbacks import CallbackRunner, Callbacks, OnState
from ..delivery.updates import UpdateQueue, UpdateQueues
from ..delivery.view import View
from ..history.source import check_history
from ..history.view import HistoryOptions
from ..history.worker import HistoryWorker
from ..model.credentials import Credentials
from ..model.reports import ConnectionReport, Stats
from ..model.venues import Venue
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName, SocketPath
from ..session.login import check_logins
from ..trust.verdict import Limits
from .connection import HOST_GAP, Connection, Settings
from .connection_channels import ConnectionChannels
from .handover import Handover, move
from .placement import Placement
from .register import Carrier, Register, Row, Table
from .statistics import collect_stats


class Pool:
    """The connections of one feed, its channels, and the views that use them.

    Subscriptions share connections here, so that a feed needs few of them. Any thread
    may subscribe, close and ask for statistics: a lock guards the tables, and is never
    held to wait or to run a callback. What follows from a change is done by jobs on the
    connections' threads, in the order of the changes. If `attach` raises, the view is
    not attached. *callback_runner* is where callbacks run, *history_worker* the thread
    for queries about the past; without them, callbacks run on the connections' threads
    and there is no past.
    """

    def __init__(
        self,
        venue: Venue,
        wire: WireProtocol,
        settings: Settings,
        credentials: Credentials | None = None,
        on_state: OnState | None = None,
        callback_runner: CallbackRunner | None = None,
        history_worker: HistoryWorker | None = None,
    ) -> None:
        self.venue = venue
        self.wire = wire
        self.clock = settings.clock
        self.on_state = on_state
        self.callback_runner = callback_runner or CallbackRunner()
        self.history_worker = history_worker or HistoryWorker("", self.clock)
        self._settings = settings
        self._credentials = credentials
        # Whether the connections are in another process.
        self.isolated = False
        # A pool that one subscription made for itself closes with that subscription.
        self.closes_with_subscription = False
        self._register = Register()
        self._placement = Placement(venue, wire, self._make_connection)
        # Update queues of the feed: they take the items of every present and later
        # view.
        self._queues = UpdateQueues()
        # Connections that are not in the register, until they have ended: retired ones,
        # and the new or old connection of a handover.
        self._draining: tuple[Connection, ...] = ()
        # The views whose counts are not in *past* yet; and the counts of views,
        # channels and connections that are gone.
        self._present: dict[View, None] = {}
        self.past: Counter[str] = Counter()
        self.past_counts = Counts()
        # Guards the counts and the list above. Re-entrant, because a signal handler or
        # the garbage collector may close a subscription while this thread holds it.
        self._lock = threading.RLock()
        _pools.add(self)

    @property
    def closed(self) -> bool:
        """Whether the feed was closed."""
        return self._register.table.closed

    @property
    def views(self) -> tuple[View, ...]:
        """The views that are not closed."""
        return self._register.table.views

    # --- On any thread --------------------------------------------------------------

    def make_view(
        self, subscription: object, label: str, limits: Limits, callbacks: Callbacks
    ) -> View:
        """The view that *subscription* reads, once it is attached."""
        return View(subscription, label, limits, self.clock, callbacks)

    def history(
        self, items: int, market: str, names: Mapping[str, ChannelName]
    ) -> HistoryOptions:
        """The options to fetch *items* past items of each channel, in *market*.

        Raises ``ValueError`` or ``TypeError`` if these channels cannot have that
        history, and ``ImportError`` if the extra for REST is not installed.
        """
        check_history(items, names)
        self.history_worker.use()
        return HistoryOptions(items, market, self.history_worker)

    def attach(self, view: View, names: Mapping[str, ChannelName]) -> None:
        """Have *view* follow the channels *names*, by topic; connect where necessary.

        Raises ``ValueError`` if the feed is closed, or if a channel needs a login and
        there are no credentials.
        """
        self._check(names.values())
        made: list[Carrier] = []
        replaced: list[Row] = []

        def change(table: Table) -> Table:
            self._discard(made)
            if table.closed:
                raise ValueError("the feed is closed")
            after = self._placement.place(table, view, names, made)
            known = [table.rows[n.key] for n in names.values() if n.key in table.rows]
            replaced[:] = [
                row
                for row in known
                if after.rows[row.reading.name].reading is not row.reading
            ]
            view.carry({t: after.rows[n.key].reading for t, n in names.items()})
            return after

        view.callbacks.begin()
        try:
            table = self._register.change(change)
            self._present[view] = None
            for row in replaced:
                self._replaced(row)
            for queue in self._queues:
                view.follow(queue, own=False)
            self._catch_up(table.of_view(view))
            for connection in made:
                assert isinstance(connection, Connection)
                self.callback_runner.start()
                connection.start()
        except BaseException as error:
            # The system gave no thread, or a signal handler raised: undo the request.
            self._discard(made, str(error))
            self.detach(view)
            raise

    @staticmethod
    def _catch_up(rows: Iterable[Row]) -> None:
        for carrier in dict.fromkeys(row.carrier for row in rows):
            assert isinstance(carrier, Connection)
            carrier.submit(carrier.channels.catch_up)

    def _discard(self, made: list[Carrier], why: str = "") -> None:
        """Give up those connections of *made* that were not started."""
        while made:
            connection = made.pop()
            assert isinstance(connection, Connection)
            if connection.join(0):
                connection.error = OkexWSError(why)
                self._remove(connection)
                connection.discard()

    def _remove(self, carrier: Carrier) -> None:
        if carrier in self.placed:
            self._register.change(lambda table: table.without_carrier(carrier))

    def _replaced(self, row: Row) -> None:
        """The reading of *row* was made anew: keep its counts."""
        with self._lock:
            self.past += row.reading.counts
        channels = row.carrier.channels if isinstance(row.carrier, Connection) else None
        if channels is not None:
            row.carrier.submit(lambda: channels.replaced(row))

    def _check(self, names: Iterable[ChannelName]) -> None:
        if self.closed:
            raise ValueError("the feed is closed")
        check_logins(self.wire, names, self._credentials)

    def _make_connection(self, path: SocketPath, key: str) -> Connection:
        channels = ConnectionChannels(self, self._register, self.clock, Counts())
        name = f"okex_ws:{self.venue.name}:{key}"
        credentials = self._credentials if path.login else None
        return Connection(
            self.venue,
            self.wire,
            path,
            channels,
            self._settings,
            name,
            credentials,
            self._divide,
        )

    def make_channel(self, reading: Reading) -> Channel:
        """A second channel of *reading*, for another connection; it is silent."""
        return self._placement.make_channel(reading.described, reading)

    def detach(self, view: View) -> None:
        """Close *view*: it is silent from now on, and its channels are released."""
        view.closed = True
        view.callbacks.mute()
        # Also those that it has left already, if this is called again.
        known = self._register.table.rows
        rows = [known[r.name] for r in view.readings.values() if r.name in known]
        if view in self.views:
            self._register.change(lambda table: table.without_view(view))
        if not self.closed:  # else each connection reports the end to its views
            self._tell_left(view, rows)
        if self.closes_with_subscription:
            for connection in self.connections:
                connection.close()
            self.callback_runner.close()
            self.history_worker.close()

    def _tell_left(self, view: View, rows: Sequence[Row]) -> None:
        carriers = dict.fromkeys(row.carrier for row in rows)
        for carrier in carriers:
            assert isinstance(carrier, Connection)
            self._submit_left(carrier.channels, view)
        if not carriers:
            self.fold(view)  # it had failed, and left its connections then

    @staticmethod
    def _submit_left(channels: ConnectionChannels, view: View) -> None:
        channels.carrier.submit(lambda: channels.left(view))

    def fold(self, view: View) -> None:
        """*view* was closed: keep its counts, once its callbacks have run."""
        view.callbacks.after(lambda: self._fold_counts(view))

    def _fold_counts(self, view: View) -> None:
        with self._lock:
            if view in self._present:
                del self._present[view]
                self.past += view.counts()

    def release(self, view: View) -> None:
        """*view* has failed: its channels are not wanted any more by it."""
        rows = self._register.table.of_view(view)
        self._register.change(lambda table: table.without_user(view))
        self._catch_up(rows)
        if self.closes_with_subscription:
            for connection in self.connections:
                connection.close()
            self.callback_runner.close()
            self.history_worker.close()

    def forget(self, reading: Reading) -> bool:
        """Remove *reading* from the register if no view wants it, and keep its counts.

        False if a view wants it.
        """
        known = self._register.table.rows.get(reading.name)
        if not self._register.forget(reading):
            return False
        if known is not None and known.reading is reading:
            with self._lock:
                self.past += reading.counts
        return True

    def follow(self, queue: UpdateQueue) -> None:
        """Deliver the items of all views, present and later, to *queue* too."""
        self._queues.add(queue)
        for view in self.views:
            view.follow(queue, own=False)
        if self.closed:
            queue.close()

    def stats(self, views: Sequence[View] | None = None) -> Stats:
        """The counts of the connections and of *views*.

        Without *views*, the counts of all views, including those that are gone.
        """
        with self._lock:
            if views is not None:
                return collect_stats(
                    self.connections, views, Counter(), self.past_counts
                )
            present = tuple(self._present)
            living = [row.reading for row in self._register.table.rows.values()]
            past = self.past + self._queues.skipped()
            return collect_stats(
                self.connections, present, past, self.past_counts, living
            )

    def close(self) -> None:
        """Close all connections, views and queues; returns at once."""
        table = self._register.change(lambda table: table.but(closed=True))
        for view in table.views:
            view.closed = True
            view.callbacks.mute()
        for connection in self.connections:
            connection.close()
        self.callback_runner.close()
        self.history_worker.close()
        for queue in self._queues:
            queue.close()

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
            names = [row.reading.name for row in table.of(connection)]
            deep = sum(map(self.wire.is_deep, names))
            reports.append(connection.report(len(names), deep))
        return tuple(reports)

    @property
    def has_ended(self) -> bool:
        """Whether no thread is left, or none was ever started."""
        return not (
            self.connections
            or self.callback_runner.running
            or self.history_worker.running
        )

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of all threads; False if *timeout* seconds are too few."""
        give_up = None if timeout is None else self.clock.monotonic() + timeout
        ended = True
        threads: list[Connection | CallbackRunner | HistoryWorker] = [
            *self.connections,
            self.callback_runner,
        ]
        for thread in (*threads, self.history_worker):
            left = None if give_up is None else give_up - self.clock.monotonic()
            ended &= thread.join(None if left is None else max(0.0, left))
        return ended

    def forked(self) -> None:
        """In a forked child: close, without sending anything or taking a lock.

        The connections belong to the parent, and its threads may have held any lock.
        """
        self._lock = threading.RLock()
        table = self._register.change(lambda table: table.but(closed=True))
        self.callback_runner.forked()
        self.history_worker.forked()
        for view in table.views:
            view.forked()
        for connection in self.connections:
            connection.discard()

    # --- On the connections' threads ------------------------------------------------

    def retire(self, carrier: Carrier, error: OkexWSError) -> None:
        """Close the connection *carrier* for good, because of *error*."""
        assert isinstance(carrier, Connection)
        carrier.error = error
        self._drain(carrier)
        self._remove(carrier)
        carrier.close()
        handover = carrier.channels.handover
        if handover is not None:
            handover.cancel()
            self._finish(handover)

    def _drain(self, *leaving: Connection) -> None:
        """Keep the connections *leaving* in the statistics until they have ended."""
        with self._lock:
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
        with self._lock:
            self._draining = tuple(c for c in self._draining if c is not staying)

    def _divide(self, connection: Connection) -> None:
        """The exchange finds the channels of *connection* too many: move half of them.

        A connection keeps one channel at least.
        """
        table = self._register.table
        count = len(table.of(connection))
        if count < 2 or connection not in table.carriers:
            return
        connection.most = (count + 1) // 2
        for carrier, names in self._placement.surplus(table, connection).items():
            assert isinstance(carrier, Connection)
            try:
                if carrier not in table.carriers and not self._add(carrier):
                    continue
            except RuntimeError as error:
                # The channels stay where they are, until the exchange says so again.
                connection.channels.troubled(OkexWSError(str(error)))
                continue
            move(self._register, connection, carrier, {}, self.make_channel, names)
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

    # --- Handovers ------------------------------------------------------------------

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
            with self._lock:
                handover = self._make_handover(carrier)
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
        with self._lock:
            for channels in (old, new):
                if channels.handover is handover:
                    channels.handover = None
        if handover.has_taken_over and handover.again:
            new.carrier.submit(new.carrier.channels.ending)


def _connections(table: Table) -> list[Connection]:
    return [each for each in table.carriers if isinstance(each, Connection)]


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


register_for_fork([HOST_GAP])
register_for_fork(_pools)
