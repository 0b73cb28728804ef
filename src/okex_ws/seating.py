"""Which wire channel lives on which connection. Under the lock of its plan, always."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .channel import Channel, DepthChannel
from .protocols import Wire
from .route import Route
from .series import KINDS
from .venues import Venue
from .wire import Name, Path

# How much later than documented ("about every 60 s") an idle book may be repeated: as
# long as a lease lasts.
REPEAT_GRACE = 15.0


class Seat(NamedTuple):
    """A channel, and where it lives."""

    channel: Channel
    route: Route


class Seating:
    """The routes of a feed, and the channels that sit there.

    A channel lives on one connection. One more is opened, by *make_route*, when a
    channel has another path, or when those of its path carry as many as the venue
    advises.
    """

    def __init__(
        self, venue: Venue, wire: Wire, make_route: Callable[[Path, str], Route]
    ) -> None:
        self._venue = venue
        self._wire = wire
        self._make_route = make_route
        self._seats: dict[str, Seat] = {}
        self.routes: tuple[Route, ...] = ()
        # Those that are followed, or were and are not forgotten yet.
        self.living: dict[Channel, None] = {}

    def take(self, names: Mapping[str, Name]) -> dict[str, Seat]:
        """A seat for each, or nothing has changed."""
        routes, seats, living = self.routes, dict(self._seats), dict(self.living)
        there = [(route, dict(route.channels), route.depths) for route in routes]
        try:
            return {topic: self._seat(name) for topic, name in names.items()}
        except BaseException:
            for route in self.routes:
                if route not in routes:
                    route.connection.discard()
            self.routes, self._seats, self.living = routes, seats, living
            for route, channels, depths in there:
                route.channels, route.depths = channels, depths
            raise

    def _seat(self, name: Name) -> Seat:
        """The channel of that name that is known, unless it cannot be had there."""
        seat = self._seats.get(name.key)
        if seat is None or seat.channel.error or seat.route.error:
            route = self._place(name.key)
            seat = Seat(self.make_channel(name), route)
            self._seats[name.key], self.living[seat.channel] = seat, None
            if name.key not in route.channels:
                route.depths += self._wire.is_deep(name.key)
            route.channels[name.key] = seat.channel
        return seat

    def make_channel(self, name: Name) -> Channel:
        """A channel of that name, which sits nowhere."""
        channel = KINDS[name.kind](self._wire, name)
        if isinstance(channel, DepthChannel) and self._venue.idle_repeat is not None:
            channel.repeats_within = self._venue.idle_repeat + REPEAT_GRACE
        return channel

    def _place(self, key: str) -> Route:
        """A connection that has room for one more channel."""
        path, deep = self._wire.path(key), self._wire.is_deep(key)
        for route in self.routes:
            if route.path == path and self._has_room(route, deep):
                return route
        route = self._make_route(path, key)
        self.routes = (*self.routes, route)
        return route

    def _has_room(self, route: Route, deep: bool) -> bool:
        most = self._venue.channels_per_connection
        if most is not None and len(route.channels) >= most:
            return False
        return not deep or route.depths < self._venue.depths_per_connection

    def leave(self, channel: Channel, route: Route) -> bool:
        """*channel* sits nowhere any more; False if it did not before."""
        name = channel.name
        if name in self._seats and self._seats[name].channel is channel:
            del self._seats[name]
        if route.channels.get(name) is channel:
            del route.channels[name]
            route.depths -= self._wire.is_deep(name)
        return self.living.pop(channel, self) is None

    def close(self, *gone: Route) -> None:
        """Nobody is to be seated on these any more."""
        self.routes = tuple(route for route in self.routes if route not in gone)

    def replace(self, old: Route, new: Route) -> Mapping[str, Channel]:
        """Have all of *old* sit on *new*; the channels that *new* had by itself."""
        own, new.channels, new.depths = new.channels, old.channels, old.depths
        old.channels, old.depths = {}, 0
        self.routes = tuple(new if each is old else each for each in self.routes)
        for key, seat in self._seats.items():
            if seat.route is old:
                self._seats[key] = seat._replace(route=new)
        return own
