"""The plan: which wire channel lives on which connection, and who shares it.

Subscriptions come and go on any thread: that is decided under a lock, which is never
held to wait or to call anybody. What was decided is carried out on the threads of the
connections, in order, and so is everything that they have to say.
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
from .connection import HOST_GAP, Connection, Settings
from .connection_channels import ConnectionChannels
from .handover import Handover
from .placement import Placement
from .statistics import collect_stats


class Pool:
    """The connections of one feed, its channels and their holders."""

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
        # Whether what comes over its channels is in another process.
        self.isolated = False
        # A feed that a subscription made for itself ends with it.
        self.closes_with_subscription = False
        self.closed = False
        # Those not closed, and what each of them holds that did not fail.
        self.views: tuple[View, ...] = ()
        self._held: dict[View, dict[ConnectionChannels, list[Channel]]] = {}
        self._placement = Placement(venue, wire, self._make_group)
        # Iterators over all there is, and will be.
        self._queues = UpdateQueues()
        # Connections over which nothing could be had, until they have ended.
        self._draining: tuple[Connection, ...] = ()
        # Whose counts are not folded into the past yet, and what is.
        self._present: dict[View, None] = {}
        self.past: Counter[str] = Counter()
        self.past_counts = Counts()
        self._leaving: Counter[View] = Counter()
        # Re-entrant: a signal handler, or the collector, may close in the middle.
        self._lock = threading.RLock()
        _pools.add(self)

    # --- On any thread --------------------------------------------------------------

    def make_view(
        self, subscription: object, label: str, limits: Limits, callbacks: Callbacks
    ) -> View:
        """What *subscription* reads, once it is attached."""
        return View(subscription, label, limits, self.clock, callbacks)

    def history(
        self, items: int, market: str, names: Mapping[str, ChannelName]
    ) -> HistoryOptions:
        """So much of the past of these channels; ``ValueError`` if they have none."""
        check_history(items, names)
        self.history_worker.use()
        return HistoryOptions(items, market, self.history_worker)

    def attach(self, view: View, names: Mapping[str, ChannelName]) -> None:
        """Have *view* carry these channels, by topic; connect where nobody did yet.

        ``ValueError`` if the feed is closed, or a channel cannot be had as asked.
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
            # A connection that is taken over from changes its name in there.
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
        """The connections that channels live on."""
        return self._placement.groups

    def _start(self, groups: list[ConnectionChannels], view: View) -> None:
        for number, group in enumerate(groups):
            try:
                self.callback_runner.start()
                group.connection.start()
            except RuntimeError as error:
                # No thread to be had: as if it had never been asked for.
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
        """*view* is closed."""
        view.closed = True
        view.callbacks.mute()
        with self._lock:
            self.views = tuple(other for other in self.views if other is not view)
            if view not in self._held and view not in self._leaving:
                self._fold(view)  # it failed, and left then
        self.release(view)

    def _fold(self, view: View) -> None:
        # Its callbacks may be told things yet, and count.
        view.callbacks.after(lambda: self._fold_counts(view))

    def _fold_counts(self, view: View) -> None:
        with self._lock:
            if view in self._present:
                del self._present[view]
                self.past += view.counts()

    def release(self, view: View) -> None:
        """*view* wants nothing more; channels that nobody else wants are left."""
        with self._lock:
            if self.closed:
                return  # every route tells its own end
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
        """Bring all that is told, now and of what comes later, into *queue* too."""
        with self._lock:
            self._queues.add(queue)
            views, closed = self.views, self.closed
        for view in views:
            view.follow(queue, own=False)
        if closed:
            queue.close()

    def stats(self, views: Sequence[View] | None = None) -> Stats:
        """The counts of its connections, and of *views*; of all, and of the past."""
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
        """Have everything end; returns at once."""
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
        """All that have not ended."""
        return (*(group.connection for group in self.groups), *self._draining)

    def reports(self) -> tuple[ConnectionReport, ...]:
        """How each connection stands."""
        return tuple(
            group.connection.report(len(group.channels), group.depths)
            for group in self.groups
        )

    @property
    def has_ended(self) -> bool:
        """Whether no thread is left, or was ever started."""
        return not (
            self.connections
            or self.callback_runner.running
            or self.history_worker.running
        )

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of every thread; False if it has not come in time."""
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
        """In a forked child: closed, without a word to the peer or a lock taken."""
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
        """See `route.Owner`."""
        with self._lock:
            channels = list(group.channels.values())
        return [channel for channel in channels if channel.error is None]

    def forget(self, channel: Channel, group: ConnectionChannels) -> bool:
        """See `route.Owner`."""
        with self._lock:
            if channel.users:
                return False
            if self._placement.leave(channel, group):
                self.past += channel.counts
        return True

    def left(self, view: View) -> None:
        """See `route.Owner`."""
        with self._lock:
            self._leaving[view] -= 1
            if self._leaving[view] <= 0:
                del self._leaving[view]
                if view not in self.views:
                    self._fold(view)

    def retire(self, group: ConnectionChannels, error: OkexWSError) -> None:
        """See `route.Owner`."""
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
        """Keep *leaving* in sight until they have ended."""
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

    # --- One connection after another -----------------------------------------------

    def rotate(self) -> None:
        """Have every connection be replaced by a new one, without a gap; any thread."""
        for group in self.groups:
            self.start_handover(group)

    def start_handover(self, group: ConnectionChannels) -> None:
        """See `route.Owner`."""
        with self._lock:
            if group.handover is not None:
                # Of one that is to take over itself: it will, and is followed then.
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
            # No thread to be had: as if it had never been asked for.
            with self._lock:
                self._end_handover(group)
                self._undrain(new.connection)
            new.connection.discard()
            raise

    def _install(self, handover: Handover[ConnectionChannels]) -> None:
        """The new route has the place of the old one, its channels and its views."""
        old, new = handover.old, handover.new
        with self._lock:
            if old not in self.groups:  # it was retired meanwhile
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
        """See `route.Owner`."""
        with self._lock:
            handover = self._end_handover(group)
        if handover is not None:
            handover.new.connection.close()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


register_for_fork([HOST_GAP])
register_for_fork(_pools)
