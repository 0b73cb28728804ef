"""The plan: which wire channel lives on which connection, and who shares it.

Subscriptions come and go on any thread: that is decided under a lock, which is never
held to wait or to call anybody. What was decided is carried out on the connection's
thread, in order, and so is everything that the connection has to say.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from .channel import KINDS, Channel, DepthChannel
from .connection import Connection
from .errors import OkexWSError, WireError
from .line import Line
from .protocols import Wire
from .session import Session
from .timing import Clock
from .trust import NO_LIMITS, Link
from .view import View


class Plan:
    """The channels of one feed and their holders; the `handler.Handler` of its
    connection, which it opens with the first subscription.
    """

    def __init__(
        self, wire: Wire, clock: Clock, connect: Callable[[str], Connection]
    ) -> None:
        self.wire = wire
        self._clock = clock
        self._connect = connect
        # A feed that a subscription made for itself ends with it.
        self.private = False
        self.closed = False
        # Those not closed, and of them those that did not fail: they hold channels.
        self.views: tuple[View, ...] = ()
        self._holders: tuple[View, ...] = ()
        # Of these the few that have limits: nothing else is told by the clock alone.
        self._limited: tuple[View, ...] = ()
        self.connection: Connection | None = None
        self._channels: dict[str, Channel] = {}
        # What those counted who are closed, and channels that nobody uses any more.
        self.past: Counter[str] = Counter()
        # Re-entrant: a signal handler, or the collector, may close in the middle.
        self._lock = threading.RLock()

    # --- On any thread --------------------------------------------------------------

    def attach(self, view: View, market: str, topics: Sequence[str]) -> None:
        """Have *view* carry *topics* of its instrument; connect if nobody did yet.

        ``ValueError`` if the feed is closed, or *market* has no such channel.
        """
        wire, name = self.wire, view.instrument_id
        new = [KINDS[topic](wire, topic, market, name) for topic in topics]
        with self._lock:
            if self.closed:
                raise ValueError("the feed is closed")
            view.carry([self._shared(channel) for channel in new])
            self.views = (*self.views, view)
            self._hold((*self._holders, view))
            first = self.connection is None
            connection = self.connection or self._connect(name)
            self.connection = connection
        connection.submit(lambda: self._join(view))
        if first:
            self._start(connection, view)

    def _hold(self, holders: tuple[View, ...]) -> None:
        self._holders = holders
        self._limited = tuple(v for v in holders if v.limits is not NO_LIMITS)

    def _shared(self, new: Channel) -> Channel:
        """The channel of that name that is known, unless the exchange refused it."""
        known = self._channels.get(new.name)
        if known is None or known.error is not None:
            known = self._channels[new.name] = new
        known.users += 1
        return known

    def _start(self, connection: Connection, view: View) -> None:
        try:
            connection.start()
        except RuntimeError:
            # No thread to be had: as if it had never been asked for.
            with self._lock:
                self.connection = None
            self.detach(view)
            connection.discard()
            raise

    def detach(self, view: View) -> None:
        """*view* is closed."""
        with self._lock:
            self.views = tuple(other for other in self.views if other is not view)
        self._release(view)

    def _release(self, view: View) -> None:
        """*view* wants nothing more; channels that nobody else wants are left."""
        with self._lock:
            if view not in self._holders:
                return
            self._hold(tuple(v for v in self._holders if v is not view))
            for channel in view.channels.values():
                channel.users -= 1
            connection = self.connection
        if connection is not None:
            connection.submit(lambda: self._leave(view))
            if self.private:
                connection.close()

    def close(self) -> None:
        """Have everything end; returns at once."""
        with self._lock:
            self.closed = True
            connection = self.connection
        for view in self.views:
            view.closed = True
        if connection is not None:
            connection.close()

    def forked(self) -> None:
        """In a forked child: closed, without a word to the peer or a lock taken."""
        self._lock = threading.RLock()
        self.closed = True
        for view in self.views:
            view.forked()
        if self.connection is not None:
            self.connection.discard()

    # --- On the connection's thread --------------------------------------------------

    def _join(self, view: View) -> None:
        now = self._clock.monotonic()
        for channel in view.channels.values():
            channel.followers = (*channel.followers, view)
            if not view.closed:
                self._want(channel, now)
        view.tell(now)
        view.wake()

    def _want(self, channel: Channel, now: float) -> None:
        talk = self.connection.conversation if self.connection else None
        if talk is None:
            return
        line = talk.session.lines.get(channel.name)
        if line is not None and line.target is channel and line.wanted:
            return
        channel.opened(talk.link, now)
        line = talk.session.want(channel.name, channel, channel.owes, now)
        if line.acknowledged:
            channel.subscribed(talk.link, now)

    def _leave(self, view: View) -> None:
        view.tell(self._clock.monotonic())
        self.past += view.counts()
        talk = self.connection.conversation if self.connection else None
        for channel in view.channels.values():
            channel.followers = tuple(f for f in channel.followers if f is not view)
            if self._forget(channel) and talk is not None:
                self._drop(talk.session, channel)

    def _forget(self, channel: Channel) -> bool:
        """Let go of a channel that nobody uses any more."""
        with self._lock:
            if channel.users:
                return False
            if self._channels.get(channel.name) is channel:
                del self._channels[channel.name]
        self.past += channel.counts
        return True

    @staticmethod
    def _drop(session: Session[Channel], channel: Channel) -> None:
        line: Line[Channel] | None = session.lines.get(channel.name)
        if line is not None and line.target is channel:
            session.drop(channel.name)

    def opened(self, session: Session[Channel], link: Link, now: float) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            channel.opened(link, now)
            session.want(channel.name, channel, channel.owes, now)

    def _wanted(self) -> list[Channel]:
        with self._lock:
            channels = list(self._channels.values())
        return [c for c in channels if c.error is None and c.followers]

    def acknowledged(self, channel: str, link: Link, now: float) -> None:
        """See `handler.Handler`."""
        target = self._channels.get(channel)
        if target is not None:
            target.subscribed(link, now)
            for view in self._following(target):
                view.wake()

    def unsubscribed(self, channel: str, link: Link, now: float) -> None:
        """See `handler.Handler`."""
        target = self._channels.get(channel)
        if target is not None:
            target.opened(link, now)

    def _following(self, channel: Channel) -> list[View]:
        return [v for v in self._holders if v.channels.get(channel.topic) is channel]

    def rejected(self, channel: str, error: OkexWSError, now: float) -> None:
        """See `handler.Handler`."""
        target = self._channels.get(channel)
        if target is not None:
            target.refused(error)
            for view in self._following(target):
                self._refuse(view, target, error, now)

    def _refuse(
        self, view: View, channel: Channel, error: OkexWSError, now: float
    ) -> None:
        """A channel of *view* is refused; the view with it, if its depth or last."""
        view.callbacks.error(error)
        alive = any(c.error is None for c in view.channels.values())
        if isinstance(channel, DepthChannel) or not alive:
            view.fail(error, now)
            self._release(view)
        view.tell(now)
        view.wake()

    def lapsed(self) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            channel.lapsed()

    def look_again(self, now: float) -> None:
        """See `handler.Handler`."""
        for view in self.views:
            view.tell(now)
            view.wake()

    def due(self) -> float:
        """See `handler.Handler`."""
        if not self._limited:
            return math.inf
        return min(view.due() for view in self._limited)

    def unreadable(self, error: WireError, now: float) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            if error.channel is None or error.channel == channel.name:
                channel.spoiled(str(error), now)

    def troubled(self, error: OkexWSError) -> None:
        """See `handler.Handler`."""
        for view in self._holders:
            view.callbacks.error(error)

    def lost(self, error: OkexWSError, now: float) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            channel.lost(str(error), now)

    def ended(self, now: float) -> None:
        """See `handler.Handler`."""
        for view in self.views:
            view.closed = True
            view.tell(now)
