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

from .callbacks import Callbacks, Caller, OnState
from .channel import Channel
from .connection import HOST_GAP, Connection, Settings
from .counters import Counts
from .credentials import Credentials
from .errors import OkexWSError
from .filler import Filler
from .history import check_history
from .inboxes import Inboxes
from .joined import Past
from .lifecycle import tell_forks
from .login import check_logins
from .messages import ConnectionReport, Stats
from .protocols import Wire
from .route import Route
from .seating import Seating
from .succession import Succession
from .tally import tally
from .trust import Limits
from .updates import Inbox
from .venues import Venue
from .view import View
from .wire import Name, Path


class Plan:
    """The connections of one feed, its channels and their holders."""

    def __init__(
        self,
        venue: Venue,
        wire: Wire,
        settings: Settings,
        credentials: Credentials | None = None,
        on_state: OnState | None = None,
        caller: Caller | None = None,
        filler: Filler | None = None,
    ) -> None:
        self.venue = venue
        self.wire = wire
        self.clock = settings.clock
        self.on_state = on_state
        self.caller = caller or Caller()
        self.filler = filler or Filler("", self.clock)
        self._settings = settings
        self._credentials = credentials
        # Whether what comes over its channels is in another process.
        self.isolated = False
        # A feed that a subscription made for itself ends with it.
        self.private = False
        self.closed = False
        # Those not closed, and what each of them holds that did not fail.
        self.views: tuple[View, ...] = ()
        self._holdings: dict[View, dict[Route, list[Channel]]] = {}
        self._seating = Seating(venue, wire, self._make_route)
        # Iterators over all there is, and will be.
        self._inboxes = Inboxes()
        # Connections over which nothing could be had, until they have ended.
        self._parting: tuple[Connection, ...] = ()
        # Whose counts are not folded into the past yet, and what is.
        self._present: dict[View, None] = {}
        self.past: Counter[str] = Counter()
        self.past_counts = Counts()
        self._leaving: Counter[View] = Counter()
        # Re-entrant: a signal handler, or the collector, may close in the middle.
        self._lock = threading.RLock()
        _plans.add(self)

    # --- On any thread --------------------------------------------------------------

    def make_view(
        self, owner: object, label: str, limits: Limits, callbacks: Callbacks
    ) -> View:
        """What *owner* reads, once it is attached."""
        return View(owner, label, limits, self.clock, callbacks)

    def history(self, items: int, market: str, names: Mapping[str, Name]) -> Past:
        """So much of the past of these channels; ``ValueError`` if they have none."""
        check_history(items, names)
        self.filler.use()
        return Past(items, market, self.filler)

    def attach(self, view: View, names: Mapping[str, Name]) -> None:
        """Have *view* carry these channels, by topic; connect where nobody did yet.

        ``ValueError`` if the feed is closed, or a channel cannot be had as asked.
        """
        with self._lock:
            self._check(names.values())
            before = self.routes
            seats = self._seating.take(names)
            holding: dict[Route, list[Channel]] = {}
            for channel, route in seats.values():
                channel.users += 1
                holding.setdefault(route, []).append(channel)
            view.carry({topic: seat.channel for topic, seat in seats.items()})
            view.callbacks.begin()
            self.views = (*self.views, view)
            self._holdings[view], self._present[view] = holding, None
            # A connection that is taken over from changes its name in there.
            joining, inboxes = tuple(holding.items()), tuple(self._inboxes)
        for inbox in inboxes:
            view.follow(inbox, own=False)
        for route, carried in joining:
            self._join(route, view, carried)
        self._start([route for route, _ in joining if route not in before], view)

    @staticmethod
    def _join(route: Route, view: View, channels: list[Channel]) -> None:
        route.connection.submit(lambda: route.join(view, channels))

    def _check(self, names: Iterable[Name]) -> None:
        if self.closed:
            raise ValueError("the feed is closed")
        check_logins(self.wire, names, self._credentials)

    def _make_route(self, path: Path, key: str) -> Route:
        route = Route(self, path, self.clock)
        name = f"okex_ws:{self.venue.name}:{key}"
        credentials = self._credentials if path.login else None
        route.connection = Connection(
            self.venue, self.wire, path, route, self._settings, name, credentials
        )
        return route

    @property
    def routes(self) -> tuple[Route, ...]:
        """The connections that channels live on."""
        return self._seating.routes

    def _start(self, routes: list[Route], view: View) -> None:
        for number, route in enumerate(routes):
            try:
                self.caller.start()
                route.connection.start()
            except RuntimeError as error:
                # No thread to be had: as if it had never been asked for.
                self._abandon(routes[number:], OkexWSError(str(error)))
                self.detach(view)
                raise

    def _abandon(self, routes: list[Route], error: OkexWSError) -> None:
        with self._lock:
            self._seating.close(*routes)
            for route in routes:
                route.error = error
                route.connection.discard()

    def detach(self, view: View) -> None:
        """*view* is closed."""
        view.closed = True
        view.callbacks.mute()
        with self._lock:
            self.views = tuple(other for other in self.views if other is not view)
            if view not in self._holdings and view not in self._leaving:
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
            holding = self._holdings.pop(view, {})
            for channels in holding.values():
                for channel in channels:
                    channel.users -= 1
            if holding:
                self._leaving[view] = len(holding)
        for route, channels in holding.items():
            self._leave(route, view, channels)
        if self.private:
            for connection in self.connections:
                connection.close()
            self.caller.close()
            self.filler.close()

    @staticmethod
    def _leave(route: Route, view: View, channels: list[Channel]) -> None:
        route.connection.submit(lambda: route.leave(view, channels))

    def follow(self, inbox: Inbox) -> None:
        """Bring all that is told, now and of what comes later, into *inbox* too."""
        with self._lock:
            self._inboxes.add(inbox)
            views, closed = self.views, self.closed
        for view in views:
            view.follow(inbox, own=False)
        if closed:
            inbox.close()

    def stats(self, views: Sequence[View] | None = None) -> Stats:
        """The counts of its connections, and of *views*; of all, and of the past."""
        with self._lock:
            if views is not None:
                return tally(self.connections, views, Counter(), self.past_counts)
            present, living = tuple(self._present), tuple(self._seating.living)
            past = self.past + self._inboxes.skipped()
            return tally(self.connections, present, past, self.past_counts, living)

    def close(self) -> None:
        """Have everything end; returns at once."""
        with self._lock:
            self.closed = True
            connections, inboxes = self.connections, tuple(self._inboxes)
        for view in self.views:
            view.closed = True
            view.callbacks.mute()
        for connection in connections:
            connection.close()
        self.caller.close()
        self.filler.close()
        for inbox in inboxes:
            inbox.close()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All that have not ended."""
        return (*(route.connection for route in self.routes), *self._parting)

    def reports(self) -> tuple[ConnectionReport, ...]:
        """How each connection stands."""
        return tuple(
            route.connection.report(len(route.channels), route.depths)
            for route in self.routes
        )

    @property
    def has_ended(self) -> bool:
        """Whether no thread is left, or was ever started."""
        return not (self.connections or self.caller.running or self.filler.running)

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of every thread; False if it has not come in time."""
        give_up = None if timeout is None else self.clock.monotonic() + timeout
        ended = True
        threads: list[Connection | Caller | Filler] = [*self.connections, self.caller]
        for thread in (*threads, self.filler):
            left = None if give_up is None else give_up - self.clock.monotonic()
            ended &= thread.join(None if left is None else max(0.0, left))
        return ended

    def forked(self) -> None:
        """In a forked child: closed, without a word to the peer or a lock taken."""
        self._lock = threading.RLock()
        self.closed = True
        self.caller.forked()
        self.filler.forked()
        for view in self.views:
            view.forked()
        for connection in self.connections:
            connection.discard()

    # --- On the connections' threads ------------------------------------------------

    def wanted(self, route: Route) -> list[Channel]:
        """See `route.Owner`."""
        with self._lock:
            channels = list(route.channels.values())
        return [channel for channel in channels if channel.error is None]

    def forget(self, channel: Channel, route: Route) -> bool:
        """See `route.Owner`."""
        with self._lock:
            if channel.users:
                return False
            if self._seating.leave(channel, route):
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

    def retire(self, route: Route, error: OkexWSError) -> None:
        """See `route.Owner`."""
        with self._lock:
            route.error = error
            self._seating.close(route)
            self._part(route.connection)
            succession = self._end_succession(route)
        route.connection.close()
        if succession is not None and succession.new is route:
            succession.old.troubled(error)
        elif succession is not None:
            succession.new.connection.close()

    @staticmethod
    def _end_succession(route: Route) -> Succession | None:
        succession = route.succession
        if succession is not None:
            succession.old.succession = succession.new.succession = None
        return succession

    def _part(self, *leaving: Connection) -> None:
        """Keep *leaving* in sight until they have ended."""
        parting = list(leaving)
        for connection in self._parting:
            if connection in leaving:
                continue
            if connection.join(0):
                self.past_counts.absorb(connection.counts)
            else:
                parting.append(connection)
        self._parting = tuple(parting)

    def _unpart(self, staying: Connection) -> None:
        self._parting = tuple(c for c in self._parting if c is not staying)

    # --- One connection after another -----------------------------------------------

    def rotate(self) -> None:
        """Have every connection be replaced by a new one, without a gap; any thread."""
        for route in self.routes:
            self.succeed(route)

    def succeed(self, route: Route) -> None:
        """See `route.Owner`."""
        with self._lock:
            if route.succession is not None:
                # Of one that is to take over itself: it will, and is followed then.
                route.succession.again |= route.succession.new is route
                return
            if self.closed or route not in self.routes or not route.channels:
                return
            new = self._make_route(route.path, next(iter(route.channels)))
            succession = Succession(route, new, self._seating, self._install)
            route.succession = new.succession = succession
            self._part(new.connection)
        try:
            new.connection.start()
        except RuntimeError:
            # No thread to be had: as if it had never been asked for.
            with self._lock:
                self._end_succession(route)
                self._unpart(new.connection)
            new.connection.discard()
            raise

    def _install(self, succession: Succession) -> None:
        """The new route has the place of the old one, its channels and its views."""
        old, new = succession.old, succession.new
        with self._lock:
            if old not in self.routes:  # it was retired meanwhile
                new.connection.close()
                return
            twins = self._seating.replace(old, new)
            old.heir, new.succession = new, None
            for holding in self._holdings.values():
                if old in holding:
                    holding[new] = holding.pop(old)
            self._unpart(new.connection)
            self._part(old.connection)
        new.take_over(twins, succession)
        if succession.again:
            new.ending()

    def abandon(self, route: Route) -> None:
        """See `route.Owner`."""
        with self._lock:
            succession = self._end_succession(route)
        if succession is not None:
            succession.new.connection.close()


_plans: weakref.WeakSet[Plan] = weakref.WeakSet()


tell_forks([HOST_GAP])
tell_forks(_plans)
