"""The channels of one connection, and the views that follow them.

`ConnectionChannels` is the `Handler` of its connection. It runs on the connection's
thread, except for the attributes that the pool changes under its own lock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

from ..base.clock import Clock
from ..base.errors import BookError, LoginRejected, OkexWSError, WireError
from ..base.state import State
from ..channels.base import Channel
from ..channels.book import BookChannel
from ..channels.depth import DepthChannel
from ..delivery.view import View
from ..history.worker import HistoryWorker, ask_book
from ..model.items import PastBook
from ..protocol.messages import SocketPath
from ..session.session import Session
from ..session.subscription_state import Phase, SubscriptionState
from ..trust.lease import Link
from .connection import Connection
from .handover import Handover


class PoolControl(Protocol):
    """What the channels of a connection ask of the pool, which knows all connections.

    The connections' threads call, and their calls may overlap: the pool has a lock. A
    method that needs *group* gets the `ConnectionChannels` that it is about.
    """

    closed: bool
    history_worker: HistoryWorker

    def release(self, view: View) -> None:
        """*view* has ended: unsubscribe its channels, unless other views use them."""
        ...

    def forget(self, channel: Channel, group: ConnectionChannels) -> bool:
        """Take *channel* off *group* if no view uses it; False if one does."""
        ...

    def left(self, view: View) -> None:
        """*view* has left one of its connections."""
        ...

    def wanted(self, group: ConnectionChannels) -> list[Channel]:
        """The channels that live on *group*, without those that were refused."""
        ...

    def retire(self, group: ConnectionChannels, error: OkexWSError) -> None:
        """Close the connection of *group* for good, because of *error*."""
        ...

    def start_handover(self, group: ConnectionChannels) -> None:
        """Open a connection that takes over the channels of *group* without a gap."""
        ...

    def cancel_handover(self, group: ConnectionChannels) -> None:
        """End the handover of *group*, whose connection was lost too early."""
        ...


class ConnectionChannels:
    """The channels that live on one `Connection`, and the views that follow them.

    It is the `Handler` of its connection: it passes each event to the channels and
    views concerned, and tells the session what to subscribe at each opening. The
    connection's thread calls all methods; the pool calls `join` and `leave` by jobs
    that it submits to that thread. The pool changes *channels*, *depths*, *error* and
    *handover* under its lock; only the standbys of a handover are added and removed by
    their own connection's thread. After a handover, *successor* is the object that has
    taken over, and gets the jobs that are still submitted here. A channel that is
    refused fails only those views that are left without a channel that they need.
    """

    connection: Connection

    def __init__(self, pool: PoolControl, path: SocketPath, clock: Clock) -> None:
        self.path = path
        # The pool changes these under its lock: the channels that live here, how many
        # of them are deep books, and the error for which the connection was given up.
        self.channels: dict[str, Channel] = {}
        self.depths = 0
        self.error: OkexWSError | None = None
        # The handover that is under way, to or from here; and what took over from here.
        self.handover: Handover[ConnectionChannels] | None = None
        self.successor: ConnectionChannels | None = None
        self._pool = pool
        self._clock = clock
        self._views: tuple[View, ...] = ()
        # The views that have limits or a history: only their state can change by time.
        self._limited: tuple[View, ...] = ()

    # --- Coming and going -----------------------------------------------------------

    def join(self, view: View, channels: Sequence[Channel]) -> None:
        """*view* begins to follow *channels*, which live here."""
        if self.successor is not None:
            self.successor.join(view, channels)
            return
        now = self._clock.monotonic()
        if view.ended:
            # The view was refused or closed meanwhile, and `leave` may have run
            # already.
            view.tell(now)
            return
        self._hold((*self._views, view))
        for channel in channels:
            channel.followers = (*channel.followers, view)
            view.arrived(channel, self.connection.submit)
            if self.error is not None:
                self.rejected(channel.name, self.error, now)
            elif channel.error is not None:
                self._refuse(view, channel, channel.error, now)
            else:
                self._want(channel, now)
        view.tell(now)
        view.wake()

    def leave(self, view: View, channels: Sequence[Channel]) -> None:
        """*view* stops following *channels*; the session drops those without a view."""
        if self.successor is not None:
            self.successor.leave(view, channels)
            return
        view.tell(self._clock.monotonic())
        self._hold(tuple(other for other in self._views if other is not view))
        talk = self.connection.conversation
        for channel in channels:
            channel.followers = tuple(f for f in channel.followers if f is not view)
            if self._pool.forget(channel, self) and talk is not None:
                self._drop(talk.session, channel)
        self._pool.left(view)

    def _hold(self, views: tuple[View, ...]) -> None:
        self._views = views
        self._limited = tuple(view for view in views if view.timed)

    def _want(self, channel: Channel, now: float) -> None:
        talk = self.connection.conversation
        if talk is None:
            return
        subscription = talk.session.subscriptions.get(channel.name)
        if (
            subscription is not None
            and subscription.target is channel
            and subscription.wanted
        ):
            return
        if subscription is not None and subscription.phase is Phase.FLOWING:
            # An older object of the channel was given up, but is still subscribed: the
            # new one goes on with its state.
            channel.copy_state(subscription.target)
            subscription.target = channel
            self._ask(talk.session, channel, now)
            return
        channel.opened(talk.link, now)
        subscription = self._ask(talk.session, channel, now)
        if subscription.acknowledged:
            channel.subscribed(talk.link, now)

    @staticmethod
    def _drop(session: Session[Channel], channel: Channel) -> None:
        subscription: SubscriptionState[Channel] | None = session.subscriptions.get(
            channel.name
        )
        if subscription is not None and subscription.target is channel:
            session.drop(channel.name)

    # --- What the connection reports ------------------------------------------------

    def opened(self, session: Session[Channel], link: Link, now: float) -> None:
        """The connection is open: subscribe the channels that are wanted on it."""
        for channel in self._wanted():
            channel.opened(link, now)
            self._ask(session, channel, now)

    def _ask(
        self, session: Session[Channel], channel: Channel, now: float
    ) -> SubscriptionState[Channel]:
        self._serve(channel)
        needs_snapshot, incremental = channel.needs_snapshot, channel.incremental
        return session.want(channel.name, channel, needs_snapshot, now, incremental)

    def _serve(self, channel: Channel) -> None:
        """Deliver the books that are fetched for *channel* to this connection."""
        if isinstance(channel, BookChannel):
            channel.fetch = partial(self._fetch_book, channel)

    def _fetch_book(self, channel: BookChannel, wait: float) -> bool:
        """Fetch a book for *channel*, in *wait* seconds; False if that is not possible.

        The channel's stream did not begin with a snapshot.
        """
        talk = self.connection.conversation
        if talk is None or not self._pool.history_worker.in_use:
            return False

        def came(book: PastBook | Exception) -> None:
            self.connection.submit(lambda: talk.fetched(channel, book))

        question = partial(ask_book, channel.instrument_id, channel.levels)
        self._pool.history_worker.ask(question, came, wait)
        return True

    def _wanted(self) -> list[Channel]:
        handover = self.handover
        if handover is not None and handover.new is self:
            return handover.make_standbys(self._wanted_of_old(handover))
        if handover is not None and handover.released:
            return []  # the new connection carries them by now
        return [c for c in self._pool.wanted(self) if c.followers]

    def _wanted_of_old(self, handover: Handover[ConnectionChannels]) -> list[Channel]:
        return [c for c in self._pool.wanted(handover.old) if c.followers]

    def acknowledged(self, channel: str, link: Link, now: float) -> None:
        """The exchange acknowledged *channel*."""
        target = self.channels.get(channel)
        if target is not None:
            target.subscribed(link, now)
            for view in self._following(target):
                view.wake()

    def unsubscribed(self, channel: str, link: Link, now: float) -> None:
        """The exchange unsubscribed *channel* without a request.

        The session will subscribe it again.
        """
        target = self.channels.get(channel)
        if target is not None:
            target.opened(link, now)

    def _following(self, channel: Channel) -> list[View]:
        # A view that failed or was closed may still be among the followers.
        return [v for v in channel.followers if isinstance(v, View) and not v.ended]

    def rejected(self, channel: str, error: OkexWSError, now: float) -> None:
        """The exchange refused *channel* for good."""
        target = self.channels.get(channel)
        handover = self.handover
        is_standby = handover is not None and handover.new is self
        # A channel that no view has joined is not subscribed yet: the refusal is for an
        # older object of the same name.
        if target is not None and (target.followers or is_standby):
            target.refused(error)
            for view in self._following(target):
                self._refuse(view, target, error, now)

    def _refuse(
        self, view: View, channel: Channel, error: OkexWSError, now: float
    ) -> None:
        """Report to *view* that *channel* was refused.

        The view fails if that was its last channel, or its last depth channel.
        """
        view.trouble(error)
        alive = [c for c in view.channels.values() if c.error is None]
        if isinstance(channel, DepthChannel):
            alive = [c for c in alive if isinstance(c, DepthChannel)]
        if not alive:
            view.fail(error, now)
            self._pool.release(view)
        view.tell(now)
        view.wake()

    def locked_out(self, error: LoginRejected, now: float) -> None:
        """The exchange refused the key for good: fail the connection's channels."""
        self._pool.retire(self, error)
        for name in list(self.channels):
            self.rejected(name, error, now)

    def lapsed(self) -> None:
        """The lease had ended, and is about to be renewed: mark values as stale."""
        for channel in self._wanted():
            channel.lapsed()

    def renewed(self) -> None:
        """The lease has been renewed after its end: the values begin a new epoch."""
        for channel in self._wanted():
            channel.renewed()

    def look_again(self, now: float) -> None:
        """Report the states that time or a renewed lease has changed."""
        for view in self._views:
            view.tell(now)
            view.wake()
        if self.handover is not None:
            self._further(self.handover, now)

    def _further(self, handover: Handover[ConnectionChannels], now: float) -> None:
        """Advance the handover, after a pong or when its time has come."""
        talk = self.connection.conversation
        if talk is None:
            return
        if handover.old is self:
            handover.prove(talk.link)
            return
        for standby in self._wanted():
            if (
                standby.name not in talk.session.subscriptions
            ):  # a view joined after this connection opened
                standby.opened(talk.link, now)
                self._ask(talk.session, standby, now)
        wanted = self._wanted_of_old(handover)
        for name in self.channels.keys() - {channel.name for channel in wanted}:
            talk.session.drop(name)  # its last view left after that
            del self.channels[name]
        handover.look(wanted, talk.link, now)

    def take_over(
        self, standbys: Mapping[str, Channel], handover: Handover[ConnectionChannels]
    ) -> None:
        """Continue the old connection's channels from their *standbys*."""
        now, talk = self._clock.monotonic(), self.connection.conversation
        self._hold(handover.views)
        for name, channel in list(self.channels.items()):
            standby = standbys.get(name)
            if standby is not None and standby.error is not None:
                self.rejected(name, standby.error, now)
                continue
            self._serve(channel)
            for view in self._following(channel):
                view.arrived(channel, self.connection.submit)
            if standby is not None and channel.error is None:
                channel.switch_to(standby, handover.proves(name))
            if talk is not None and name in talk.session.subscriptions:
                talk.session.subscriptions[name].target = channel
            elif talk is not None and channel.followers and channel.error is None:
                self._want(channel, now)
        for name in standbys.keys() - self.channels.keys():
            if talk is not None:
                talk.session.drop(name)
        self.look_again(now)

    def release_views(self) -> tuple[View, ...]:
        """Hold no view any more; returns those that were held."""
        views, self._views, self._limited = self._views, (), ()
        return views

    def ending(self) -> None:
        """The exchange announced that it will close the connection soon."""
        try:
            self._pool.start_handover(self)
        except (OSError, RuntimeError) as error:
            self.troubled(OkexWSError(f"no connection to take over: {error}"))

    def overdue(self, now: float) -> list[tuple[str, float]]:
        """The channels that missed the push that the exchange repeats when idle.

        Each with the time of its last push.
        """
        return [
            (channel.name, channel.shown.received)
            for channel in self._wanted()
            if channel.shown.state is State.LIVE and now >= channel.shown.overdue
        ]

    def due(self) -> float:
        """When `look_again` must be called next, apart from the end of the lease."""
        due = math.inf
        if self._limited:
            due = min(view.due() for view in self._limited)
        if self.handover is not None:
            due = min(due, self.handover.due(self))
        return due

    def unreadable(
        self, error: WireError | BookError, keys: Collection[str], now: float
    ) -> None:
        """A message could not be read, or broke a book: withdraw values.

        They are those of the channels *keys*, to which the message may belong.
        """
        for channel in self._wanted():
            if channel.name in keys:
                channel.invalidated(str(error), now)

    def troubled(self, error: OkexWSError) -> None:
        """Something failed that passes: report *error* to the views."""
        channel = self.channels.get(getattr(error, "channel", None) or "")
        # An error of one channel is reported to its followers only.
        for view in self._held() if channel is None else self._following(channel):
            view.trouble(error)

    def _held(self) -> tuple[View, ...]:
        return self._views or (() if self.handover is None else self.handover.views)

    def lost(self, error: OkexWSError, now: float) -> None:
        """The connection, or the attempt to make it, has ended with *error*."""
        if self.handover is not None and self._is_covered(self.handover):
            return
        for channel in self._wanted():
            channel.lost(str(error), now)

    def _is_covered(self, handover: Handover[ConnectionChannels]) -> bool:
        """Whether another connection takes over now, so that no value is withdrawn."""
        if handover.new is self:
            handover.standby_lost()
            return False
        if handover.lost():
            return True
        self._pool.cancel_handover(self)
        return False

    def ended(self, now: float) -> None:
        """The connection was closed, and its thread is about to end."""
        for view in self._views if self._pool.closed else ():
            view.closed = True
            view.tell(now)
