"""The plan: which wire channel lives on which connection, and who shares it.

A `Feed` is used from any thread; what it plans is carried out on the connection's
thread, in order. Its lock is held to decide, never to wait or to call anybody.
"""

from __future__ import annotations

import os
import random
import ssl
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TypedDict

from .callbacks import OnState
from .channel import KINDS, Channel, DepthChannel, TradeChannel
from .connection import Connection, Settings
from .errors import OkexWSError, WireError
from .library import on_library_thread
from .line import Line
from .messages import Health, State, Stats
from .protocols import Wire
from .protocols.v3 import PROTOCOL as V3
from .session import Session
from .stream import Network, TcpNetwork, check_ssl_context
from .timing import Clock, Ping, Reconnect, SystemClock, Timeouts, utc
from .trust import Link, how_well
from .venues import Venue, find_venue
from .view import View

_WIRES: dict[str, Wire] = {"v3": V3}


class ConnectionOptions(TypedDict, total=False):
    """The keywords of `Feed`, for those who pass them on."""

    ssl_context: ssl.SSLContext | None
    reconnect: Reconnect | None
    ping_interval: float
    probe_interval: float | None
    clock: Clock | None
    network: Callable[[], Network] | None
    rng: random.Random | None
    timeouts: Timeouts | None


class Feed:
    """The connection to one venue, shared by many subscriptions.

    ``WSSubscription(..., feed=feed)`` lives on it; one without makes its own. It
    connects with its first subscription and stays open until `close`.

    Args:
        venue: a name of `okex_ws.VENUES`, or a `Venue`.
        on_state: called with every `StateChange` of every subscription.
        ssl_context: in place of the system's trust store; it must verify.
        reconnect: the back-off after a loss.
        ping_interval: at most so many seconds between two pings, 10 to 30.
        probe_interval: the health check: the same ping, that often; ``None`` leaves
            the keep-alive alone, and makes the lease of every price as long.

    The last four are for tests and replays: a *clock*, a *network* factory, a *rng*
    and the *timeouts*.
    """

    def __init__(
        self,
        venue: str | Venue = "okex",
        *,
        # What is told
        on_state: OnState | None = None,
        # How to connect
        ssl_context: ssl.SSLContext | None = None,
        reconnect: Reconnect | None = None,
        ping_interval: float = 30.0,
        probe_interval: float | None = 5.0,
        # Injection
        clock: Clock | None = None,
        network: Callable[[], Network] | None = None,
        rng: random.Random | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.venue = find_venue(venue)
        self.wire = _WIRES[self.venue.protocol]
        self.clock = clock or SystemClock()
        self.on_state = on_state
        check_ssl_context(ssl_context)
        self._settings = Settings(
            self.clock,
            network or (lambda: TcpNetwork(self.clock, ssl_context=ssl_context)),
            rng or random.Random(),
            Ping(ping_interval, probe_interval),
            timeouts or Timeouts(),
            reconnect or Reconnect(),
        )
        # A feed that a subscription made for itself ends with it.
        self.private = False
        self._lock = threading.Lock()
        self._closed = False
        self._views: tuple[View, ...] = ()
        self._channels: dict[str, Channel] = {}
        self._connection: Connection | None = None
        _feeds.add(self)

    # --- For subscriptions ----------------------------------------------------------

    def attach(self, view: View, market: str, topics: Sequence[str]) -> None:
        """Have *view* carry *topics* of its instrument; connect if nobody did yet.

        ``ValueError`` if the feed is closed, or *market* has no such channel.
        """
        for topic in topics:
            self.wire.channel(topic, market, view.instrument_id)
        with self._lock:
            if self._closed:
                raise ValueError("the feed is closed")
            view.carry([self._channel(topic, market, view) for topic in topics])
            self._views = (*self._views, view)
            connection, new = self._connection, self._connection is None
            if connection is None:
                name = f"okex_ws:{self.venue.name}:{view.instrument_id}"
                connection = Connection(
                    self.venue, self.wire, self, self._settings, name
                )
                self._connection = connection
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
            if view not in self._views:
                return
            self._views = tuple(other for other in self._views if other is not view)
            for channel in view.channels.values():
                channel.users -= 1
                if not channel.users and self._channels.get(channel.name) is channel:
                    del self._channels[channel.name]
            connection = self._connection
        if connection is not None:
            connection.submit(lambda: self._leave(view))
            if self.private:
                connection.close()

    @property
    def views(self) -> tuple[View, ...]:
        """The subscriptions that live on this feed now."""
        return self._views

    # --- Carried out on the connection's thread -------------------------------------

    def _join(self, view: View) -> None:
        now = self.clock.monotonic()
        for channel in view.channels.values():
            channel.followers = (*channel.followers, view)
            if channel.error is not None:
                self._refuse(view, channel, channel.error, now)
            elif len(channel.followers) == 1 and not view.closed:
                self._want(channel, now)
        view.tell(now)
        view.wake()

    def _want(self, channel: Channel, now: float) -> None:
        talk = self._connection.conversation if self._connection else None
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
        view.tell(self.clock.monotonic())
        talk = self._connection.conversation if self._connection else None
        for channel in view.channels.values():
            channel.followers = tuple(f for f in channel.followers if f is not view)
            if talk is not None and not channel.followers:
                self._drop(talk.session, channel)

    @staticmethod
    def _drop(session: Session[Channel], channel: Channel) -> None:
        line: Line[Channel] | None = session.lines.get(channel.name)
        if line is not None and line.target is channel:
            session.drop(channel.name)

    # --- What the connection says; on its thread ------------------------------------

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
        return [v for v in self._views if v.channels.get(channel.topic) is channel]

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
        for view in self._views:
            view.tell(now)
            view.wake()

    def due(self) -> float:
        """See `connection.Handler`."""
        return min((view.due() for view in self._views), default=float("inf"))

    def unreadable(self, error: WireError, now: float) -> None:
        """See `connection.Handler`."""
        for channel in self._wanted():
            if error.channel is None or error.channel == channel.name:
                channel.spoiled(str(error), now)

    def troubled(self, error: OkexWSError) -> None:
        """See `connection.Handler`."""
        for view in self._views:
            view.callbacks.error(error)

    def lost(self, error: OkexWSError, now: float) -> None:
        """See `connection.Handler`."""
        for channel in self._wanted():
            channel.lost(str(error), now)

    def ended(self, now: float) -> None:
        """See `connection.Handler`."""
        for view in self._views:
            view.closed = True
            view.tell(now)

    # --- For users ------------------------------------------------------------------

    def wait_live(self, timeout: float | None = 30.0) -> None:
        """Return when every subscription is live; see ``WSSubscription.wait_live``."""
        give_up = None if timeout is None else self.clock.monotonic() + timeout
        for view in self._views:
            left = None if give_up is None else give_up - self.clock.monotonic()
            view.wait_live(left)

    @property
    def state(self) -> State:
        """The worst state of a subscription; ``CLOSED`` once closed."""
        return self.health().state

    def health(self) -> Health:
        """The health of the subscription that is worst off."""
        if self._closed or not self._views:
            state = State.CLOSED if self._closed else State.CONNECTING
            cause = "closed" if self._closed else "no subscription"
            inf = float("inf")
            return Health(state, cause, inf, inf, None, 0, {})
        return min((v.health() for v in self._views), key=lambda h: how_well(h.state))

    def stats(self) -> Stats:
        """What its connection and all of its subscriptions counted."""
        return self.count(self._views)

    def count(self, views: Sequence[View]) -> Stats:
        """The counts of the connection, and of *views* alone."""
        connection = self._connection
        if connection is None:
            return Stats()
        counts = connection.counts
        talk = connection.conversation
        channels = {c.name: c for v in views for c in v.channels.values()}.values()
        trades = [c for c in channels if isinstance(c, TradeChannel)]
        skipped: Counter[str] = Counter()
        for view in views:
            skipped.update(view.skipped)
        skipped["repeat"] += sum(c.repeats for c in trades)
        pong = counts.last_pong
        return Stats(
            messages=counts.messages,
            bytes=counts.bytes + (talk.transport.bytes_received if talk else 0),
            reconnects=dict(counts.reconnects),
            resyncs=sum(c.resyncs for c in channels),
            gaps=sum(c.gaps for c in trades),
            dropped=dict(counts.dropped),
            skipped=dict(+skipped),
            callback_errors=sum(v.callbacks.errors for v in views),
            callback_stalls=sum(v.callbacks.stalls for v in views),
            last_pong=utc(pong) if pong is not None else None,
            ping_round_trip=counts.round_trip,
        )

    def close(self, timeout: float | None = 5.0) -> bool:
        """End the connection and every subscription on it; any thread, any time.

        Returns True when the thread has ended; False if it had not within *timeout*
        seconds, or when called from a callback (it ends after that).
        """
        with self._lock:
            self._closed = True
            connection = self._connection
        for view in self._views:
            view.closed = True
        if connection is None:
            return True
        connection.close()
        return False if on_library_thread() else connection.join(timeout)

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        count = len(self._views)
        return f"<Feed {self.venue.name} {self.state}, {count} subscriptions>"

    def forked(self) -> None:
        """In a forked child: closed, without a word to the peer or a lock taken."""
        self._lock = threading.Lock()
        self._closed = True
        for view in self._views:
            view.forked()
        if self._connection is not None:
            self._connection.discard()


_feeds: weakref.WeakSet[Feed] = weakref.WeakSet()


def _after_fork() -> None:
    for feed in list(_feeds):
        feed.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
