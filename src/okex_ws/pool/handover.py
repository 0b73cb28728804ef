"""Make-before-break: a new connection takes over before the old connection ends.

While the old connection serves, the new connection subscribes a standby of each
channel. Once every standby is live, and the old connection has handled everything that
the exchange had sent it by then, the old connection goes silent. The channels then
continue from their standbys, in one job on the new connection's thread.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ..base.log import log
from ..base.state import State
from ..channels.base import Channel
from ..delivery.view import View
from ..protocol.messages import ChannelName
from ..trust.lease import Link
from .connection import Connection

# Seconds between two looks at the standbys, until all of them are live.
LOOK_EVERY = 0.25


class ChannelMaker(Protocol):
    """What makes the standbys of a handover: the placement of the feed. Any thread."""

    def make_channel(self, name: ChannelName) -> Channel:
        """A channel of that name that lives on no connection."""
        ...


class Party(Protocol):
    """One side of a handover: the channels of a connection, and its views."""

    connection: Connection
    channels: dict[str, Channel]

    def release_views(self) -> tuple[View, ...]:
        """Let go of the views that follow these channels, and return them."""
        ...


P = TypeVar("P", bound=Party)


class Handover(Generic[P]):
    """Moves the channels of one `Connection` to another one, make-before-break.

    The exchange announces when it will close a connection, and a script may ask for a
    new one (``rotate``). To lose the old connection first and then reconnect would cost
    seconds of prices and trades. *old* has the channels of the connection that is to
    end, *new* belongs to the connection that replaces it. While *old* serves, *new*
    subscribes a standby of each channel: a second `Channel`, made by *maker*, that no
    view follows. Once the standbys are ready (live wherever the channel of *old* is),
    and a pong proves that *old* has handled all that the exchange sent before, *old*
    releases its views. Then *install*, a callable that takes this object, runs on the
    thread of *new*: it moves the channels there, and they continue from their standbys.

    If *new* is lost before that, its standbys are made again at its next opening. If
    *old* is lost once the standbys are ready, *new* takes over at once, and reports a
    `Gap` where items may be missing; otherwise the handover is called off, and *old*
    reconnects. The threads of both connections call it, each the methods of its own
    section below; a lock guards what they share.
    """

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
        # Monotonic time at which every standby was live. The new connection's thread
        # sets it.
        self._ready_at: float | None = None
        # The old connection's thread sets one of these, once: it released its channels
        # to the new connection, or called the handover off.
        self.released = False
        self._called_off = False
        self._lock = threading.RLock()
        # Whether the old connection has handled everything that was sent before the
        # standbys were ready, and the names of these standbys.
        self._proven = False
        self._ready: frozenset[str] = frozenset()
        # Whether the new connection is about to end too, and needs a handover next.
        self.again = False
        # The views that the old connection has released and the new does not hold yet.
        self.views: tuple[View, ...] = ()
        self._look_at = -math.inf

    # --- On the thread of the new connection ----------------------------------------

    def make_standbys(self, wanted: list[Channel]) -> list[Channel]:
        """The standbys of the old connection's *wanted* channels, each made once."""
        standbys = self.new.channels
        for channel in wanted:
            if channel.name not in standbys:
                standbys[channel.name] = self._maker.make_channel(channel.described)
        return [standbys[channel.name] for channel in wanted]

    def due(self, group: P) -> float:
        """When *group* is to look at the standbys again."""
        waits = group is self.new and self._ready_at is None
        return self._look_at if waits else math.inf

    def look(self, wanted: list[Channel], link: Link, now: float) -> None:
        """Check whether the standbys have all that is *wanted* of the old connection.

        If so, the old connection's thread is asked to release its channels.
        """
        self._look_at = now + LOOK_EVERY
        if self._ready_at is not None or link.lease is None or not wanted:
            return
        standbys = self.new.channels
        if all(_equals(channel, standbys.get(channel.name)) for channel in wanted):
            self._ready, self._ready_at = frozenset(standbys), now
            self.old.connection.submit(self._ask)

    def standby_lost(self) -> None:
        """The new connection was lost: drop its standbys, because they missed pushes.

        They are made again when it is open again.
        """
        with self._lock:
            if self.released:
                return
            self._ready_at = None
        self.new.channels.clear()

    def proves(self, name: str) -> bool:
        """Whether no push of channel *name* is missing before its standby's pushes.

        The old connection has handled everything that was sent before the standby was
        live.
        """
        return self._proven and name in self._ready

    def _take(self) -> None:
        """The old connection is silent: continue its channels on the new connection."""
        self._install(self)
        log.info("a new connection took over from one that is about to end")
        self.old.connection.close()

    # --- On the thread of the old connection ----------------------------------------

    def _ask(self) -> None:
        """Release the channels now if the old connection is gone.

        Otherwise `prove` releases them, after the next pong that proves enough.
        """
        if self.old.connection.conversation is None:
            self._release()

    def prove(self, link: Link) -> None:
        """Release the channels if the last pong of the old connection proves enough.

        Everything that the exchange sent before the pong's ping has been handled: it is
        enough if the standbys were ready by then.
        """
        self._release(link.proven)

    def lost(self) -> bool:
        """The old connection was lost: True if the new connection takes over now.

        If the standbys are not ready, the handover is called off. The old connection
        then reconnects, and the standbys are not used.
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
            # The new connection receives the same pushes: ignore what still comes here.
            talk.session.subscriptions.clear()
        self.new.connection.submit(self._take)
        self.old.connection.hand_over_to(self.new.connection)


def _equals(channel: Channel, standby: Channel | None) -> bool:
    """Whether *standby* has all that *channel* has."""
    if standby is None or standby.error is not None:
        # A standby that was refused for good is ready: it is not worth waiting for.
        return standby is not None
    if not standby.acknowledged:
        return False
    return channel.shown.state is not State.LIVE or standby.shown.state is State.LIVE
