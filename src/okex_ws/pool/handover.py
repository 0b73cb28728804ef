"""A planned end without a gap: another connection is opened, proven, and takes over.

While the old one serves, the new one follows the same channels with twins of its own.
Once each twin is live, and the old one has taken in all that the exchange had sent it
by then, the old one falls silent and the channels go on as their twins: one swap, on
the thread of the new connection.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ..base.state import State
from ..channels.base import Channel
from ..delivery.view import View
from ..protocol.messages import ChannelName
from ..trust.lease import Link
from .connection import Connection

log = logging.getLogger("okex_ws")

# How often the new connection is looked at until all twins are live.
LOOK_EVERY = 0.25


class ChannelMaker(Protocol):
    """The seating of the feed."""

    def make_channel(self, name: ChannelName) -> Channel:
        """A channel of that name, which sits nowhere."""
        ...


class Party(Protocol):
    """The channels of a connection, as a handover from or to it needs them."""

    connection: Connection
    channels: dict[str, Channel]

    def release_views(self) -> tuple[View, ...]:
        """Let go of the views that follow these channels, and return them."""
        ...


P = TypeVar("P", bound=Party)


class Handover(Generic[P]):
    """*new* takes over from *old*, and *install* puts it into its place."""

    def __init__(
        self,
        old: P,
        new: P,
        maker: ChannelMaker,
        install: Callable[[Handover[P]], None],
    ) -> None:
        self.old = old
        self.new = new
        self._maker = maker
        self._install = install
        # Monotonic: when every twin was live. Set by the thread of the new one.
        self._ready_at: float | None = None
        # The thread of the old one chooses between these, once.
        self.released = False
        self._called_off = False
        self._lock = threading.RLock()
        # Whether all that was sent before the twins were ready has come to the old one;
        # and which twins those are.
        self._proven = False
        self._ready: frozenset[str] = frozenset()
        # The new one is about to end itself.
        self.again = False
        # Held by neither, between the one's silence and the other's first word.
        self.views: tuple[View, ...] = ()
        self._look_at = -math.inf

    # --- On the thread of the new connection ----------------------------------------

    def make_standbys(self, wanted: list[Channel]) -> list[Channel]:
        """Twins of the channels that are *wanted* of the old one, each made once."""
        standbys = self.new.channels
        for channel in wanted:
            if channel.name not in standbys:
                standbys[channel.name] = self._maker.make_channel(channel.described)
        return [standbys[channel.name] for channel in wanted]

    def due(self, group: P) -> float:
        """When *route* is to be looked at again."""
        waits = group is self.new and self._ready_at is None
        return self._look_at if waits else math.inf

    def look(self, wanted: list[Channel], link: Link, now: float) -> None:
        """See whether the new connection has all that is *wanted* of the old one."""
        self._look_at = now + LOOK_EVERY
        if self._ready_at is not None or link.lease is None or not wanted:
            return
        standbys = self.new.channels
        if all(_equals(channel, standbys.get(channel.name)) for channel in wanted):
            self._ready, self._ready_at = frozenset(standbys), now
            self.old.connection.submit(self._ask)

    def standby_lost(self) -> None:
        """The new connection is gone, for now: its twins have missed something."""
        with self._lock:
            if self.released:
                return
            self._ready_at = None
        self.new.channels.clear()

    def proves(self, name: str) -> bool:
        """Whether all of a channel came that was sent before its twin was there."""
        return self._proven and name in self._ready

    def _take(self) -> None:
        """The old one is silent: its channels go on as their twins."""
        self._install(self)
        log.info("a new connection took over from one that is about to end")
        self.old.connection.close()

    # --- On the thread of the old connection ----------------------------------------

    def _ask(self) -> None:
        """Wait for the proof, unless the old one is gone already."""
        if self.old.connection.conversation is None:
            self._release()

    def prove(self, link: Link) -> None:
        """The old connection has taken in all that was sent by the time of a ping."""
        self._release(link.proven)

    def lost(self) -> bool:
        """The old connection is gone; True if the new one takes over at once.

        Else it never will: the old one comes back, and what the new one has found out
        meanwhile is of no account.
        """
        with self._lock:
            self._called_off |= self._ready_at is None and not self.released
        self._release()
        return self.released

    def _release(self, proven: float | None = None) -> None:
        with self._lock:
            ready_at = self._ready_at
            if self.released or self._called_off or ready_at is None:
                return
            if proven is not None and proven < ready_at:
                return
            self.released, self._proven = True, proven is not None
        self.views = self.old.release_views()
        talk = self.old.connection.conversation
        if talk is not None:
            # What it still says is said by the other one too.
            talk.session.subscriptions.clear()
        self.new.connection.submit(self._take)
        self.old.connection.hand_over_to(self.new.connection)


def _equals(channel: Channel, standby: Channel | None) -> bool:
    """Whether *standby* has all that *channel* has."""
    if standby is None or standby.error is not None:
        # What is refused for good there is not worth waiting for.
        return standby is not None
    if not standby.acknowledged:
        return False
    return channel.shown.state is not State.LIVE or standby.shown.state is State.LIVE
