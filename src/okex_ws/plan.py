"""The plan: which wire channel lives on which connection, and who shares it.

Subscriptions come and go on any thread: that is decided under a lock, which is never
held to wait or to call anybody. What was decided is carried out on the connection's
thread, in order, and so is everything that the connection has to say.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from .channel import KINDS, Channel, DepthChannel
from .connection import Connection
from .errors import OkexWSError, WireError
from .line import Line
from .protocols import Wire
from .session import Session
from .timing import Clock
from .trust import Link
from .view import View


class Plan:
    """The channels of one feed and their holders; the `connection.Handler` of its
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
        self.views: tuple[View, ...] = ()
        self.connection: Connection | None = None
        self._channels: dict[str, Channel] = {}
        self._lock = threading.Lock()

    # --- On any thread --------------------------------------------------------------

    def attach(self, view: View, market: str, topics: Sequence[str]) -> None:
        """Have *view* carry *topics* of its instrument; connect if nobody did yet.

        ``ValueError`` if the feed is closed, or *market* has no such channel.
        """
        for topic in topics:
            self.wire.channel(topic, market, view.instrument_id)
        with self._lock:
            if self.closed:
                raise ValueError("the feed is closed")
            view.carry([self._channel(topic, market, view) for topic in topics])
            self.views = (*self.views, view)
            connection, new = self.connection, self.connection is None
            if connection is None:
                connection = self.connection = self._connect(view.instrument_id)
        connection.submit(lambda: self._join(view))
        if new:
            connection.start()

    def _channel(self, topic: str, market: str, view: View) -> Channel:
        new = KINDS[topic](self.wire, topic, market, view.instrument_id)
        channel = self._channels.setdefault(new.name, new)
        channel.users += 1
        return channel

    def detach(self, view: View) -> None:
        """*view* wants nothing more; channels that nobody else wants are left."""
        with self._lock:
            if view not in self.views:
                return
            self.views = tuple(other for other in self.views if other is not view)
            for channel in view.channels.values():
                channel.users -= 1
                if not channel.users and self._channels.get(channel.name) is channel:
                    del self._channels[channel.name]
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
        self._lock = threading.Lock()
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
            if channel.error is not None:
                self._refuse(view, channel, channel.error, now)
            elif len(channel.followers) == 1 and not view.closed:
                self._want(channel, now)
        view.tell(now)
        view.wake()

    def _want(self, channel: Channel, now: float) -> None:
        talk = self.connection.conversation if self.connection else None
        if talk is None:
            return
        known = talk.session.lines.get(channel.name)
        if known is not None and known.acknowledged and known.target is not channel:
            # Closed and opened again before the exchange was told: nothing is lost.
            channel.adopt(known.target)
        else:
            channel.opened(talk.link, now)
        talk.session.want(channel.name, channel, channel.owes)

    def _leave(self, view: View) -> None:
        view.tell(self._clock.monotonic())
        talk = self.connection.conversation if self.connection else None
        for channel in view.channels.values():
            channel.followers = tuple(f for f in channel.followers if f is not view)
            if talk is not None and not channel.followers:
                self._drop(talk.session, channel)

    @staticmethod
    def _drop(session: Session[Channel], channel: Channel) -> None:
        line: Line[Channel] | None = session.lines.get(channel.name)
        if line is not None and line.target is channel:
            session.drop(channel.name)

    def opened(self, session: Session[Channel], link: Link, now: float) -> None:
        """See `connection.Handler`."""
        for channel in self._wanted():
            channel.opened(link, now)
            session.want(channel.name, channel, channel.owes)

    def _wanted(self) -> list[Channel]:
        with self._lock:
            channels = list(self._channels.values())
        return [c for c in channels if c.error is None and c.followers]

    def acknowledged(self, channel: str, link: Link, now: float) -> None:
        """See `connection.Handler`."""
        target = self._channels.get(channel)
        if target is not None:
            target.subscribed(link, now)
            for view in self._following(target):
                view.wake()

    def unsubscribed(self, channel: str, link: Link, now: float) -> None:
        """See `connection.Handler`."""
        target = self._channels.get(channel)
        if target is not None:
            target.opened(link, now)

    def _following(self, channel: Channel) -> list[View]:
        return [v for v in self.views if v.channels.get(channel.topic) is channel]

    def rejected(self, channel: str, error: OkexWSError, now: float) -> None:
        """See `connection.Handler`."""
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
            self.detach(view)
        view.tell(now)
        view.wake()

    def lapsed(self) -> None:
        """See `connection.Handler`."""
        for channel in self._wanted():
            channel.lapsed()

    def look_again(self, now: float) -> None:
        """See `connection.Handler`."""
        for view in self.views:
            view.tell(now)
            view.wake()

    def due(self) -> float:
        """See `connection.Handler`."""
        return min((view.due() for view in self.views), default=float("inf"))

    def unreadable(self, error: WireError, now: float) -> None:
        """See `connection.Handler`."""
        for channel in self._wanted():
            if error.channel is None or error.channel == channel.name:
                channel.spoiled(str(error), now)

    def troubled(self, error: OkexWSError) -> None:
        """See `connection.Handler`."""
        for view in self.views:
            view.callbacks.error(error)

    def lost(self, error: OkexWSError, now: float) -> None:
        """See `connection.Handler`."""
        for channel in self._wanted():
            channel.lost(str(error), now)

    def ended(self, now: float) -> None:
        """See `connection.Handler`."""
        for view in self.views:
            view.closed = True
            view.tell(now)
