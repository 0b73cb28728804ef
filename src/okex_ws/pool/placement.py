"""Placement: which channel of the exchange lives on which connection.

The pool holds its lock while it calls these methods, except `Placement.make_channel`,
which changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ..channels.base import Channel
from ..channels.depth import DepthChannel
from ..channels.series import KINDS
from ..model.venues import Venue
from ..protocol.interface import WireProtocol
from ..protocol.messages import ChannelName, SocketPath
from .connection_channels import ConnectionChannels

# Seconds by which the repetition of an idle book may be later than documented ("about
# every 60 s"): as long as a lease lasts.
REPEAT_GRACE = 15.0


class PlacedChannel(NamedTuple):
    """A channel, and *group*: the channels of the connection that it lives on."""

    channel: Channel
    group: ConnectionChannels


class Placement:
    """Decides on which connection each channel lives, and keeps the table of it.

    The exchange limits the channels of a connection, and has several paths.
    *make_group* is a callable that makes a connection for a path, not started yet, and
    returns its `ConnectionChannels`, here called a group. It is called when no
    connection on a channel's path has room for one more, by the limits of the venue. A
    channel stays on its connection until it is left; only a handover moves channels,
    all of a connection at once. A connection stays open if its last channel leaves. Any
    thread calls, holding the pool's lock (not for `make_channel`, which changes
    nothing). If `take` raises, nothing has changed.
    """

    def __init__(
        self,
        venue: Venue,
        wire: WireProtocol,
        make_group: Callable[[SocketPath, str], ConnectionChannels],
    ) -> None:
        self._venue = venue
        self._wire = wire
        self._make_group = make_group
        self._placed: dict[str, PlacedChannel] = {}
        self.groups: tuple[ConnectionChannels, ...] = ()
        # The channels that views use, and those that `leave` has not removed yet.
        self.living: dict[Channel, None] = {}

    def take(self, names: Mapping[str, ChannelName]) -> dict[str, PlacedChannel]:
        """Place the channels *names*, by topic. After an error nothing has changed."""
        groups, placed_channels, living = (
            self.groups,
            dict(self._placed),
            dict(self.living),
        )
        there = [(group, dict(group.channels), group.depths) for group in groups]
        try:
            return {topic: self._placed_channel(name) for topic, name in names.items()}
        except BaseException:
            for group in self.groups:
                if group not in groups:
                    group.connection.discard()
            self.groups, self._placed, self.living = groups, placed_channels, living
            for group, channels, depths in there:
                group.channels, group.depths = channels, depths
            raise

    def _placed_channel(self, name: ChannelName) -> PlacedChannel:
        """The channel of that name, placed now if it is new.

        A channel that was refused, or whose connection was given up, is made again.
        """
        placed = self._placed.get(name.key)
        if placed is None or placed.channel.error or placed.group.error:
            group = self._place(name.key)
            placed = PlacedChannel(self.make_channel(name), group)
            self._placed[name.key], self.living[placed.channel] = placed, None
            if name.key not in group.channels:
                group.depths += self._wire.is_deep(name.key)
            group.channels[name.key] = placed.channel
        return placed

    def make_channel(self, name: ChannelName) -> Channel:
        """A channel of that name that lives on no connection."""
        channel = KINDS[name.kind](self._wire, name)
        if isinstance(channel, DepthChannel) and self._venue.idle_repeat is not None:
            channel.repeats_within = self._venue.idle_repeat + REPEAT_GRACE
        return channel

    def _place(self, key: str) -> ConnectionChannels:
        """A connection that has room for one more channel, opened if there is none."""
        path, deep = self._wire.path(key), self._wire.is_deep(key)
        for group in self.groups:
            if group.path == path and self._has_room(group, deep):
                return group
        group = self._make_group(path, key)
        self.groups = (*self.groups, group)
        return group

    def _has_room(self, group: ConnectionChannels, deep: bool) -> bool:
        most = self._venue.channels_per_connection
        if most is not None and len(group.channels) >= most:
            return False
        return not deep or group.depths < self._venue.depths_per_connection

    def leave(self, channel: Channel, group: ConnectionChannels) -> bool:
        """Take *channel* off its connection; False if it was removed before."""
        name = channel.name
        if name in self._placed and self._placed[name].channel is channel:
            del self._placed[name]
        if group.channels.get(name) is channel:
            del group.channels[name]
            group.depths -= self._wire.is_deep(name)
        return self.living.pop(channel, self) is None

    def close(self, *gone: ConnectionChannels) -> None:
        """Place no more channels on the connections *gone*."""
        self.groups = tuple(group for group in self.groups if group not in gone)

    def replace(
        self, old: ConnectionChannels, new: ConnectionChannels
    ) -> Mapping[str, Channel]:
        """Move all channels of *old* to *new*, which takes its place.

        Returns the channels that *new* had itself: the standbys.
        """
        own, new.channels, new.depths = new.channels, old.channels, old.depths
        old.channels, old.depths = {}, 0
        self.groups = tuple(new if each is old else each for each in self.groups)
        for key, placed in self._placed.items():
            if placed.group is old:
                self._placed[key] = placed._replace(group=new)
        return own
