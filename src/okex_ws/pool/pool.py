"""The pool of a feed: its connections, the channels that live on them, and the views.

Scripts subscribe and close on any thread. The pool decides under a lock where the
channels live; it never holds that lock to wait or to run a callback. The connections'
threads carry out these decisions in order, and report everything that comes of them.
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
from .connection import Connection, Settings
from .connection_channels import ConnectionChannels
from .handover import Handover
from .placement import Placement
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
        self.closed = False
        # The views that are not closed; and of each that has not failed, its channels.
        self.views: tuple[View, ...] = ()
        self._held: dict[View, dict[ConnectionChannels, list[Channel]]] = {}
        self._placement = Placement(venue, wire, self._make_group)
        # Update queues of the feed: they take the items of every present and later
        # view.
        self._queues = UpdateQueues()
        # Connections without a place of their own, until they have ended: retired ones,
        # and the new or old connection of a handover.
        self._draining: tuple[Connection, ...] = ()
        # The views whose counts are not in *past* yet; and the counts of views,
        # channels and connections that are gone.
        self._present: dict[View, None] = {}
        self.past: Counter[str] = Counter()
        self.past_counts = Counts()
        self._leaving: Counter[View] = Counter()
        # Re-entrant, because a signal handler or the garbage collector may close a
        # subscription while this thread holds the lock.
        self._lock = threading.RLock()
        _pools.add(self)

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
        with self._lock:
            self._check(names.values())
            before = self.groups
            placed_channels = self._placement.take(names)
            held: dict[ConnectionChannels, list[Channel]] = {}
            for channel, group in placed_channels.values():
                channel.users += 1
                held.setdefault(group, []).append(channel)
            view.carry(
                {topic: placed.channel for topic, placed in placed_channels.items()}
            )
            view.callbacks.begin()
            self.views = (*self.views, view)
            self._held[view], self._present[view] = held, None
            # Copied under the lock: a handover replaces the connection in *held*.
            joining, queues = tuple(held.items()), tuple(self._queues)
        for queue in queues:
            view.follow(queue, own=False)
        for group, carried in joining:
            self._join(group, view, carried)
        self._start([group for group, _ in joining if group not in before], view)

    @staticmethod
    def _join(group: ConnectionChannels, view: View, channels: list[Channel]) -> None:
        group.connection.submit(lambda: group.join(view, channels))

    def _check(self, names: Iterable[ChannelName]) -> None:
        if self.closed:
            raise ValueError("the feed is closed")
        check_logins(self.wire, names, self._credentials)

    def _make_group(self, path: SocketPath, key: str) -> ConnectionChannels:
        group = ConnectionChannels(self, path, self.clock)
        name = f"okex_ws:{self.venue.name}:{key}"
        credentials = self._credentials if path.login else None
        group.connection = Connection(
            self.venue, self.wire, path, group, self._settings, name, credentials
        )
        return group

    @property
    def groups(self) -> tuple[ConnectionChannels, ...]:
        """The channels of each connection, one `ConnectionChannels` per connection."""
        return self._placement.groups

    def _start(self, groups: list[ConnectionChannels], view: View) -> None:
        for number, group in enumerate(groups):
            try:
                self.callback_runner.start()
                group.connection.start()
            except RuntimeError as error:
                # The system gave no thread: undo the request.
                self._abandon(groups[number:], OkexWSError(str(error)))
                self.detach(view)
                raise

    def _abandon(self, groups: list[ConnectionChannels], error: OkexWSError) -> None:
        with self._lock:
            self._placement.close(*groups)
            for group in groups:
                group.error = error
                group.connection.discard()

    def detach(self, view: View) -> None:
        """Close *view*: it is silent from now on, and its channels are released."""
        view.closed = True
        view.callbacks.mute()
        with self._lock:
            self.views = tuple(other for other in self.views if other is not view)
            if view not in self._held and view not in self._leaving:
                self._fold(view)  # it had failed, and left its connections then
        self.release(view)

    def _fold(self, view: View) -> None:
        # Callbacks that still run may add to the counts: fold them in afterwards.
        view.callbacks.after(lambda: self._fold_counts(view))

    def _fold_counts(self, view: View) -> None:
        with self._lock:
            if view in self._present:
                del self._present[view]
                self.past += view.counts()

    def release(self, view: View) -> None:
        """*view* has ended: unsubscribe its channels, unless other views use them."""
        with self._lock:
            if self.closed:
                return  # each connection's `ended` reports the end to its views
            held = self._held.pop(view, {})
            for channels in held.values():
                for channel in channels:
                    channel.users -= 1
            if held:
                self._leaving[view] = len(held)
        for group, channels in held.items():
            self._leave(group, view, channels)
        if self.closes_with_subscription:
            for connection in self.connections:
                connection.close()
            self.callback_runner.close()
            self.history_worker.close()

    @staticmethod
    def _leave(group: ConnectionChannels, view: View, channels: list[Channel]) -> None:
        group.connection.submit(lambda: group.leave(view, channels))

    def follow(self, queue: UpdateQueue) -> None:
        """Deliver the items of all views, present and later, to *queue* too."""
        with self._lock:
            self._queues.add(queue)
            views, closed = self.views, self.closed
        for view in views:
            view.follow(queue, own=False)
        if closed:
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
            present, living = tuple(self._present), tuple(self._placement.living)
            past = self.past + self._queues.skipped()
            return collect_stats(
                self.connections, present, past, self.past_counts, living
            )

    def close(self) -> None:
        """Close all connections, views and queues; returns at once."""
        with self._lock:
            self.closed = True
            connections, queues = self.connections, tuple(self._queues)
        for view in self.views:
            view.closed = True
            view.callbacks.mute()
        for connection in connections:
            connection.close()
        self.callback_runner.close()
        self.history_worker.close()
        for queue in queues:
            queue.close()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All connections that have not ended."""
        return (*(group.connection for group in self.groups), *self._draining)

    def reports(self) -> tuple[ConnectionReport, ...]:
        """A report on each connection that channels live on."""
        return tuple(
            group.connection.report(len(group.channels), group.depths)
            for group in self.groups
        )

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
        self.closed = True
        self.callback_runner.forked()
        self.history_worker.forked()
        for view in self.views:
            view.forked()
        for connection in self.connections:
            connection.discard()

    # --- On the connections' threads ------------------------------------------------

    def wanted(self, group: ConnectionChannels) -> list[Channel]:
        """The channels that live on *group*, without those that were refused."""
        with self._lock:
            channels = list(group.channels.values())
        return [channel for channel in channels if channel.error is None]

    def forget(self, channel: Channel, group: ConnectionChannels) -> bool:
        """Take *channel* off *group* if no view uses it; False if one does."""
        with self._lock:
            if channel.users:
                return False
            if self._placement.leave(channel, group):
                self.past += channel.counts
        return True

    def left(self, view: View) -> None:
        """*view* has left one of its connections; after the last, keep its counts."""
        with self._lock:
            self._leaving[view] -= 1
            if self._leaving[view] <= 0:
                del self._leaving[view]
                if view not in self.views:
                    self._fold(view)

    def retire(self, group: ConnectionChannels, error: OkexWSError) -> None:
        """Close the connection of *group* for good, because of *error*."""
        with self._lock:
            group.error = error
            self._placement.close(group)
            self._drain(group.connection)
            handover = self._end_handover(group)
        group.connection.close()
        if handover is not None and handover.new is group:
            handover.old.troubled(error)
        elif handover is not None:
            handover.new.connection.close()

    @staticmethod
    def _end_handover(group: ConnectionChannels) -> Handover[ConnectionChannels] | None:
        handover = group.handover
        if handover is not None:
            handover.old.handover = handover.new.handover = None
        return handover

    def _drain(self, *leaving: Connection) -> None:
        """Keep the connections *leaving* in the statistics until they have ended."""
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
        self._draining = tuple(c for c in self._draining if c is not staying)

    # --- Handovers ------------------------------------------------------------------

    def rotate(self) -> None:
        """Replace every connection by a new one, without a gap. Any thread."""
        for group in self.groups:
            self.start_handover(group)

    def start_handover(self, group: ConnectionChannels) -> None:
        """Open a connection that takes over the channels of *group* without a gap.

        Nothing happens if the pool is closed or *group* carries no channels. Raises
        ``OSError`` or ``RuntimeError`` if the system gives no connection or thread.
        """
        with self._lock:
            if group.handover is not None:
                # A connection that is about to take over itself is replaced after it
                # has done so: see `_install`.
                group.handover.again |= group.handover.new is group
                return
            if self.closed or group not in self.groups or not group.channels:
                return
            new = self._make_group(group.path, next(iter(group.channels)))
            handover = Handover(group, new, self._placement, self._install)
            group.handover = new.handover = handover
            self._drain(new.connection)
        try:
            new.connection.start()
        except RuntimeError:
            # The system gave no thread: undo the request.
            with self._lock:
                self._end_handover(group)
                self._undrain(new.connection)
            new.connection.discard()
            raise

    def _install(self, handover: Handover[ConnectionChannels]) -> None:
        """Put the new connection, with channels and views, into the old one's place."""
        old, new = handover.old, handover.new
        with self._lock:
            if old not in self.groups:  # the old connection was retired meanwhile
                new.connection.close()
                return
            standbys = self._placement.replace(old, new)
            old.successor, new.handover = new, None
            for held in self._held.values():
                if old in held:
                    held[new] = held.pop(old)
            self._undrain(new.connection)
            self._drain(old.connection)
        new.take_over(standbys, handover)
        if handover.again:
            new.ending()

    def cancel_handover(self, group: ConnectionChannels) -> None:
        """End the handover of *group*, whose connection was lost too early."""
        with self._lock:
            handover = self._end_handover(group)
        if handover is not None:
            handover.new.connection.close()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


register_for_fork(_pools)
