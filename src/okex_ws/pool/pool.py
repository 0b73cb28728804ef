"""The pool of a feed: its connections, the channels that live on them, and the views.

Scripts subscribe and close on any thread. The pool changes the register, and wakes the
threads of the connections, which carry the change out and report what comes of it.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ..base.clock import utc
from ..base.counts import Counts
from ..base.errors import OkexWSError
from ..base.state import FORKED, Cause
from ..base.threads import heed_fork, locked, register_for_fork
from ..base.worker import LibraryThread, WorkerThread
from ..channels.reading import Reading
from ..delivery.callbacks import CallbackRunner, Callbacks, OnError, OnState
from ..delivery.listing import Listing, tell_change
from ..delivery.update_queues import UpdateQueues
from ..delivery.updates import UpdateQueue
from ..delivery.view import View
from ..history.source import check_history
from ..history.view import HistoryOptions
from ..history.worker import HistoryWorker
from ..model.credentials import Credentials
from ..model.instrument import InstrumentChange, InstrumentRenamed
from ..model.redaction import make_clean
from ..model.reports import Stats
from ..model.venues import Venue
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName, SocketPath
from ..session.login import check_logins
from ..trust.verdict import Limits
from .connection import Connection, Settings
from .connection_channels import ConnectionChannels
from .connection_set import ConnectionSet, collect_stats
from .register import Carrier, Row, Table


class Pool(ConnectionSet):
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
        on_error: OnError | None = None,
        callback_runner: CallbackRunner | None = None,
        history_worker: HistoryWorker | None = None,
    ) -> None:
        super().__init__(venue, wire, settings, credentials)
        self.on_state = on_state
        self.callback_runner = callback_runner or CallbackRunner()
        self.told: Callbacks | None = None
        if on_error is not None:
            whose = f"the feed to {venue.name}"
            make = self.callback_runner.callbacks
            self.told = make(whose, self.clock, None, (), on_error)
        self.history_worker = history_worker or HistoryWorker("", self.clock)
        # Runs the callbacks of subscriptions that fail before they have a connection.
        self._refusals = WorkerThread(f"okex_ws:{venue.name}:refusals")
        # Whether the connections are in another process.
        self.isolated = False
        # A pool that one subscription made for itself closes with that subscription.
        self.closes_with_subscription = False
        # What the exchange's lists say of instruments, by the key of their channel.
        self._listings: dict[str, Listing] = {}
        # Update queues of the feed: they take the items of every present and later
        # view.
        self._queues = UpdateQueues()
        # The views whose counts are not in *past* yet; and the counts of views,
        # channels and connections that are gone.
        self._present: dict[View, None] = {}
        self.past: Counter[str] = Counter()
        heed_fork()
        _pools.add(self)

    @property
    def views(self) -> tuple[View, ...]:
        """The views of subscriptions that are not closed."""
        views = self._register.table.views
        return tuple(view for view in views if not view.internal)

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

    def attach(
        self,
        view: View,
        names: Mapping[str, ChannelName],
        listing: ChannelName | None = None,
    ) -> None:
        """Have *view* follow the channels *names*, by topic; connect where necessary.

        *listing* is the channel that tells of the life of its instrument, if there is
        one: it is subscribed once one of *names* was, on a connection that is open.
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
            after = self._placement.place(table, view, names, made, view.internal)
            known = [table.rows[n.key] for n in names.values() if n.key in table.rows]
            replaced[:] = [
                row
                for row in known
                if after.rows[row.reading.name].reading is not row.reading
            ]
            view.carry({t: after.rows[n.key].reading for t, n in names.items()})
            return after

        view.listing = listing
        if not view.internal:  # else no final state will follow
            view.callbacks.begin()
        try:
            table = self._register.change(change)
            self._present[view] = None
            if listing is not None and (known := self._listed(listing)):
                known.enter(view)
            for row in replaced:
                self._keep(row.reading.counts)
            view.attached(self._queues)
            self._catch_up(table.of_view(view))
            for connection in made:
                assert isinstance(connection, Connection)
                self.callback_runner.start()
                connection.start()
        except BaseException as error:
            # The system gave no thread, or a signal handler raised: undo the request.
            self._discard(made, str(error))
            self.detach(view)
            view.callbacks.abandon()
            raise

    def refuse(
        self, view: View, names: Mapping[str, ChannelName], error: OkexWSError
    ) -> None:
        """Have *view* fail with *error*: the exchange is asked for nothing.

        Its callbacks run on a thread of the library, as always. ``ValueError`` if the
        feed is closed.
        """
        self._check(())
        make = self._placement.make_channel
        view.carry({topic: make(name).reading for topic, name in names.items()})
        self.callback_runner.start()
        view.callbacks.begin()
        self._present[view] = None
        self._register.change(
            lambda table: (
                table if table.closed else table.but(views=(*table.views, view))
            )
        )
        view.attached(self._queues)
        view.trouble(error)
        view.fail(error, self.clock.monotonic())
        self._refusals.submit(view.callbacks.drain)
        self.release(view)

    @staticmethod
    def _catch_up(rows: Iterable[Row]) -> None:
        for carrier in dict.fromkeys(row.carrier for row in rows):
            assert isinstance(carrier, Connection)
            carrier.submit(carrier.channels.catch_up)

    def _check(self, names: Iterable[ChannelName]) -> None:
        if self.closed:
            raise ValueError("the feed is closed")
        check_logins(self.wire, names, self._credentials)

    def _make_connection(self, path: SocketPath, key: str) -> Connection:
        channels = ConnectionChannels(self, self._register, self.clock, Counts())
        name = f"okex_ws:{self.venue.name}:{key}"
        credentials = self._credentials if path.login else None
        return Connection(
            self._there,
            self.wire,
            path,
            channels,
            self._settings,
            name,
            credentials,
            self._divide,
        )

    def detach(self, view: View) -> None:
        """Close *view*: it is silent from now on, and its channels are released."""
        view.closed = True
        view.callbacks.mute()
        # Also those that it has left already, if this is called again.
        known = self._register.table.rows
        rows = [known[r.name] for r in view.readings.values() if r.name in known]
        # Each connection of a closed feed reports its end to the views of the register.
        if not self._register.change(lambda table: table.without_view(view)).closed:
            self._tell_left(view, rows)
            self._leave_listing(view)
        if self.closes_with_subscription and not view.internal:
            self._end_threads()

    def _end_threads(self) -> None:
        for connection in self.connections:
            connection.close()
        self._refusals.close()
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
        # One step takes the view out, so that its counts are kept once.
        if self._present.pop(view, view) is None:
            self._keep(view.counts())

    def _keep(self, counts: Counter[str]) -> None:
        """Add *counts* of an object that is gone to those of the feed."""
        locked(self._lock, lambda: self.past.update(counts))

    def release(self, view: View) -> None:
        """*view* has failed: its channels are not wanted any more by it."""
        rows = self._register.table.of_view(view)
        self._register.change(lambda table: table.without_user(view))
        self._catch_up(rows)
        self._leave_listing(view)
        if self.closes_with_subscription and not view.internal:
            self._end_threads()

    # --- The life of instruments ------------------------------------------------------

    def listing(self, name: ChannelName) -> Listing:
        """What the list *name* says of instruments; it is followed from now on."""
        callbacks = self.callback_runner.callbacks(name.key, self.clock, None, (), None)
        clean = make_clean(self._credentials)
        made = Listing(name, self.clock, callbacks, self, clean)

        def take() -> Listing:
            if (known := self._listed(name)) is None:
                self._listings[name.key] = known = made
            return known

        if (present := locked(self._lock, take)) is not made:
            return present
        try:
            self.attach(made, {name.topic: name})
        except BaseException as error:
            made.closed = True
            # Else there is no thread, or the feed was closed meanwhile.
            if not isinstance(error, (OSError, RuntimeError, ValueError)):
                raise
        return made

    def _listed(self, name: ChannelName) -> Listing | None:
        """What follows the list *name* at present, if anything does."""
        known = self._listings.get(name.key)
        return None if known is None or known.closed else known

    def list_instruments(self, view: View) -> None:
        """Follow the list that has the instrument of *view*, if a connection fits."""
        name = view.listing
        if name is None or self._listed(name) is not None:
            return
        path = self.wire.path(name.key).name
        if any(each.path.name == path for each in self._register.table.carriers):
            self.listing(name)

    def _leave_listing(self, view: View) -> None:
        """Follow a list no longer if no view has an instrument in it."""
        listing = None if view.listing is None else self._listed(view.listing)
        if listing is not None and not self.followers(listing):
            self.detach(listing)

    def followers(self, listing: Listing) -> dict[str, list[View]]:
        """The views that have not ended, by the id of their instrument."""
        found: dict[str, list[View]] = {}
        for view in self.views:
            if view.listing == listing.name and not view.ended:
                found.setdefault(view.instrument_id, []).append(view)
        return found

    def halt(self, views: Sequence[View], cause: Cause | None, by: View | None) -> None:
        """Withdraw what *views* read, and give no value until *cause* is ``None``.

        *by* is the listing whose connection's thread calls, if one does.
        """
        names = {} if by is None else by.readings
        rows = [self._register.table.rows.get(each.name) for each in names.values()]
        self._halt(views, cause, next((row.carrier for row in rows if row), None))

    def _halt(
        self, views: Sequence[View], cause: Cause | None, here: Carrier | None
    ) -> None:
        """Do as `halt` says; the thread of the connection *here* calls."""
        readings = {
            reading
            for view in views
            for reading in view.readings.values()
            if reading.instrument_id == view.instrument_id
        }
        for reading in readings:
            reading.halt = cause
        for connection in self.connections if readings else ():
            work = partial(connection.channels.halted, readings, cause)
            if connection is here:
                work()
            connection.submit(_deliver if connection is here else work)

    def end(self, views: Sequence[View], error: OkexWSError, by: View | None) -> None:
        """Have *views* fail with *error*; what they read is withdrawn before."""
        self.halt(views, error.cause, by)
        self._fail(views, error)

    def _fail(self, views: Sequence[View], error: OkexWSError) -> None:
        for view in views:
            view.trouble(error)
            view.fail(error, self.clock.monotonic())
            self.release(view)

    def renamed(self, reading: Reading, new_id: str, by: Carrier) -> bool:
        """Data of *new_id* came for *reading*: end all views of its instrument.

        False if the exchange told before that these are two instruments.
        """
        row, name = self._register.table.rows.get(reading.name), reading.instrument_id
        users = () if row is None else row.users
        found = dict.fromkeys(view for view in users if not view.ended)
        for key in {view.listing.key for view in users if view.listing is not None}:
            listing = self._listings.get(key)
            if listing is not None and listing.denies(name, new_id):
                return False
            found |= dict.fromkeys(
                view
                for view in self.views
                if view.listing is not None
                and (view.listing.key, view.instrument_id) == (key, name)
                and not view.ended
            )
        received = utc(self.clock.wall())
        tell_change(
            found, InstrumentChange(name, "renamed", name, new_id, None, received)
        )
        error = InstrumentRenamed(name, new_id)
        self._halt(tuple(found), error.cause, by)
        self._fail(tuple(found), error)
        return True

    def forget(self, reading: Reading) -> bool:
        """Remove *reading* from the register if no view wants it, and keep its counts.

        False if a view wants it.
        """
        known = self._register.table.rows.get(reading.name)
        if not self._register.forget(reading):
            return False
        if known is not None and known.reading is reading:
            self._keep(reading.counts)
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
        return locked(self._lock, lambda: self._stats(views))

    def _stats(self, views: Sequence[View] | None) -> Stats:
        if views is not None:
            return collect_stats(self.connections, views, Counter(), self.past_counts)
        present = tuple(self._present)
        living = [row.reading for row in self._register.table.rows.values()]
        past = self.past + self._queues.skipped()
        if self.told is not None:
            past += self.told.counts()
        return collect_stats(self.connections, present, past, self.past_counts, living)

    def close(self) -> None:
        """Close all connections, views and queues; returns at once."""
        table = self._register.change(lambda table: table.but(closed=True))
        for view in table.views:
            view.closed = True
            view.callbacks.mute()
        self._end_threads()
        for queue in self._queues:
            queue.close()

    @property
    def threads(self) -> tuple[LibraryThread, ...]:
        """The threads that end some time after `close`; some were never started."""
        callbacks = self.callback_runner.thread
        return (
            *(connection.thread for connection in self.connections),
            *(() if callbacks is None else (callbacks,)),
            self._refusals.thread,
            self.history_worker.thread,
        )

    def forked(self) -> None:
        """In a forked child: close, without sending anything or taking a lock.

        The connections belong to the parent, and its threads may have held any lock.
        """
        self._lock, self.closed_by = threading.RLock(), FORKED
        table = self._register.change(lambda table: table.but(closed=True))
        self._refusals.forked()
        self.callback_runner.forked()
        if self.told is not None:
            self.told.forked()
        self.history_worker.forked()
        for view in table.views:
            view.forked()
        for connection in self.connections:
            connection.discard()

    # --- On the connections' threads ------------------------------------------------


def _deliver() -> None:
    """A job without a task: after it the connection delivers what is queued."""


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


register_for_fork(_pools)
