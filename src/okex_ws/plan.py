"""The plan: which wire channel lives on which connection, and who shares it.

Subscriptions come and go on any thread: that is decided under a lock, which is never
held to wait or to call anybody. What was decided is carried out on the threads of the
connections, in order, and so is everything that they have to say.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from .callbacks import OnState
from .channel import Channel
from .connection import HOST_GAP, Connection, Settings
from .counters import Counts
from .credentials import Credentials
from .errors import OkexWSError
from .inboxes import Inboxes
from .messages import Stats
from .protocols import Wire
from .route import Route
from .series import KINDS
from .tally import tally
from .updates import Inbox
from .venues import Venue
from .view import View
from .wire import Name, Path


def find_plan(feed: object) -> Plan:
    """The plan behind a ``Feed``."""
    plan = getattr(feed, "_plan", None)
    if not isinstance(plan, Plan):
        raise TypeError(f"feed is a Feed, got {feed!r}")
    return plan


class _Seat(NamedTuple):
    channel: Channel
    route: Route


class Plan:
    """The connections of one feed, its channels and their holders.

    A channel lives on one connection. One more is opened when a channel has another
    path, or when those of its path carry as many as the venue advises.
    """

    def __init__(
        self,
        venue: Venue,
        wire: Wire,
        settings: Settings,
        credentials: Credentials | None = None,
        on_state: OnState | None = None,
    ) -> None:
        self.venue = venue
        self.wire = wire
        self.clock = settings.clock
        self.on_state = on_state
        self._settings = settings
        self._credentials = credentials
        # A feed that a subscription made for itself ends with it.
        self.private = False
        self.closed = False
        # Those not closed, and what each of them holds that did not fail.
        self.views: tuple[View, ...] = ()
        self._holdings: dict[View, dict[Route, list[Channel]]] = {}
        self._seats: dict[str, _Seat] = {}
        self.routes: tuple[Route, ...] = ()
        # Iterators over all there is, and will be.
        self._inboxes = Inboxes()
        # Connections over which nothing could be had, until they have ended.
        self._parting: tuple[Connection, ...] = ()
        # Whose counts are not folded into the past yet, and what is.
        self._present: dict[View, None] = {}
        self._living: dict[Channel, None] = {}
        self.past: Counter[str] = Counter()
        self.past_counts = Counts()
        self._leaving: Counter[View] = Counter()
        # Re-entrant: a signal handler, or the collector, may close in the middle.
        self._lock = threading.RLock()
        _plans.add(self)

    # --- On any thread --------------------------------------------------------------

    def attach(self, view: View, names: Mapping[str, Name]) -> None:
        """Have *view* carry these channels, by topic; connect where nobody did yet.

        ``ValueError`` if the feed is closed, or a channel cannot be had as asked.
        """
        with self._lock:
            self._check(names.values())
            before = self.routes
            seats = self._take_seats(names)
            holding: dict[Route, list[Channel]] = {}
            for channel, route in seats.values():
                channel.users += 1
                holding.setdefault(route, []).append(channel)
            view.carry({topic: seat.channel for topic, seat in seats.items()})
            self.views = (*self.views, view)
            self._holdings[view], self._present[view] = holding, None
            inboxes = tuple(self._inboxes)
        for inbox in inboxes:
            view.follow(inbox, own=False)
        for route, carried in holding.items():
            self._join(route, view, carried)
        self._start([route for route in holding if route not in before], view)

    def _take_seats(self, names: Mapping[str, Name]) -> dict[str, _Seat]:
        """A seat for each, or nothing has changed."""
        routes, seats, living = self.routes, dict(self._seats), dict(self._living)
        there = [(route, dict(route.channels), route.depths) for route in routes]
        try:
            return {topic: self._seat(name) for topic, name in names.items()}
        except BaseException:
            for route in self.routes:
                if route not in routes:
                    route.connection.discard()
            self.routes, self._seats, self._living = routes, seats, living
            for route, channels, depths in there:
                route.channels, route.depths = channels, depths
            raise

    @staticmethod
    def _join(route: Route, view: View, channels: list[Channel]) -> None:
        route.connection.submit(lambda: route.join(view, channels))

    def _check(self, names: Iterable[Name]) -> None:
        if self.closed:
            raise ValueError("the feed is closed")
        for name in names:
            if self.wire.path(name.key).login and self._credentials is None:
                tier = self.wire.tier(name.key)
                fee = f" of the fee tier {tier}" if tier else ""
                raise ValueError(
                    f"channel {name.key!r} needs a login{fee}:"
                    " Feed(..., credentials=Credentials(...))"
                )

    def _seat(self, name: Name) -> _Seat:
        """The channel of that name that is known, unless it cannot be had there."""
        seat = self._seats.get(name.key)
        if seat is None or seat.channel.error or seat.route.error:
            route = self._place(name.key)
            seat = _Seat(KINDS[name.kind](self.wire, name), route)
            self._seats[name.key], self._living[seat.channel] = seat, None
            if name.key not in route.channels:
                route.depths += self.wire.is_deep(name.key)
            route.channels[name.key] = seat.channel
        return seat

    def _place(self, key: str) -> Route:
        """A connection that has room for one more channel."""
        path, deep = self.wire.path(key), self.wire.is_deep(key)
        for route in self.routes:
            if route.path == path and self._has_room(route, deep):
                return route
        return self._open(path, key)

    def _has_room(self, route: Route, deep: bool) -> bool:
        most = self.venue.channels_per_connection
        if most is not None and len(route.channels) >= most:
            return False
        return not deep or route.depths < self.venue.depths_per_connection

    def _open(self, path: Path, key: str) -> Route:
        route = Route(self, path, self.clock)
        name = f"okex_ws:{self.venue.name}:{key}"
        credentials = self._credentials if path.login else None
        route.connection = Connection(
            self.venue, self.wire, path, route, self._settings, name, credentials
        )
        self.routes = (*self.routes, route)
        return route

    def _start(self, routes: list[Route], view: View) -> None:
        for number, route in enumerate(routes):
            try:
                route.connection.start()
            except RuntimeError as error:
                # No thread to be had: as if it had never been asked for.
                self._abandon(routes[number:], OkexWSError(str(error)))
                self.detach(view)
                raise

    def _abandon(self, routes: list[Route], error: OkexWSError) -> None:
        with self._lock:
            self.routes = tuple(r for r in self.routes if r not in routes)
            for route in routes:
                route.error = error
                route.connection.discard()

    def detach(self, view: View) -> None:
        """*view* is closed."""
        with self._lock:
            self.views = tuple(other for other in self.views if other is not view)
            if view not in self._holdings and view not in self._leaving:
                self._fold(view)  # it failed, and left then
        self.release(view)

    def _fold(self, view: View) -> None:
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
                route.connection.close()

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
            present, living = tuple(self._present), tuple(self._living)
            past = self.past + self._inboxes.skipped()
            return tally(self.connections, present, past, self.past_counts, living)

    def close(self) -> None:
        """Have everything end; returns at once."""
        with self._lock:
            self.closed = True
            connections, inboxes = self.connections, tuple(self._inboxes)
        for view in self.views:
            view.closed = True
        for connection in connections:
            connection.close()
        for inbox in inboxes:
            inbox.close()

    @property
    def connections(self) -> tuple[Connection, ...]:
        """All that have not ended."""
        return (*(route.connection for route in self.routes), *self._parting)

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of every connection; False if it has not come in time."""
        give_up = None if timeout is None else self.clock.monotonic() + timeout
        ended = True
        for connection in self.connections:
            left = None if give_up is None else give_up - self.clock.monotonic()
            ended &= connection.join(None if left is None else max(0.0, left))
        return ended

    def forked(self) -> None:
        """In a forked child: closed, without a word to the peer or a lock taken."""
        self._lock = threading.RLock()
        self.closed = True
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
            name = channel.name
            if name in self._seats and self._seats[name].channel is channel:
                del self._seats[name]
            if route.channels.get(name) is channel:
                del route.channels[name]
                route.depths -= self.wire.is_deep(name)
            if channel in self._living:
                del self._living[channel]
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
            self.routes = tuple(other for other in self.routes if other is not route)
            parting = [route.connection]
            for connection in self._parting:
                if connection.join(0):
                    self.past_counts.absorb(connection.counts)
                else:
                    parting.append(connection)
            self._parting = tuple(parting)
        route.connection.close()


_plans: weakref.WeakSet[Plan] = weakref.WeakSet()


def _after_fork() -> None:
    HOST_GAP.forked()
    for plan in list(_plans):
        plan.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
