"""One connection of a feed, the channels that live on it, and who follows them.

The `handler.Handler` of that connection: everything here is done on its thread, but
for what the plan counts of it under its own lock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Protocol

from .book_channel import BookChannel
from .channel import Channel, DepthChannel
from .connection import Connection
from .errors import BookError, LoginRejected, OkexWSError, WireError
from .filler import Filler, ask_book
from .line import Line, Phase
from .messages import PastBook, State
from .session import Session
from .succession import Succession
from .timing import Clock
from .trust import Link
from .view import View
from .wire import Path


class Owner(Protocol):
    """The plan, as its routes see it."""

    closed: bool
    filler: Filler

    def release(self, view: View) -> None:
        """*view* failed: it wants nothing more, on any connection."""
        ...

    def forget(self, channel: Channel, route: Route) -> bool:
        """Whether nobody wants *channel* any more; then the plan forgot it too."""
        ...

    def left(self, view: View) -> None:
        """*view* has left one of its connections."""
        ...

    def wanted(self, route: Route) -> list[Channel]:
        """The channels that live on *route*, the refused ones apart."""
        ...

    def retire(self, route: Route, error: OkexWSError) -> None:
        """Nothing can be had over *route*, for this reason."""
        ...

    def succeed(self, route: Route) -> None:
        """*route* will end soon: have another one take over, without a gap."""
        ...

    def abandon(self, route: Route) -> None:
        """*route* is gone before another one could take over."""
        ...


class Route:
    """The channels of one connection; it is what the connection reports to."""

    connection: Connection

    def __init__(self, owner: Owner, path: Path, clock: Clock) -> None:
        self.path = path
        # The plan's, under its lock: what lives here, how many deep books are among
        # it, and why nothing can be had here, if so.
        self.channels: dict[str, Channel] = {}
        self.depths = 0
        self.error: OkexWSError | None = None
        # Who takes over, or from whom; and who did.
        self.succession: Succession | None = None
        self.heir: Route | None = None
        self._owner = owner
        self._clock = clock
        self._views: tuple[View, ...] = ()
        # Of these the few that have limits, or a past: to no other does time matter.
        self._limited: tuple[View, ...] = ()

    # --- Coming and going -----------------------------------------------------------

    def join(self, view: View, channels: Sequence[Channel]) -> None:
        """*view* wants *channels*, which live here."""
        if self.heir is not None:
            self.heir.join(view, channels)
            return
        now = self._clock.monotonic()
        if view.ended:
            # Refused or closed meanwhile: it may have left before it came.
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
        """*view* wants *channels* no more; those that nobody else wants are left."""
        if self.heir is not None:
            self.heir.leave(view, channels)
            return
        view.tell(self._clock.monotonic())
        self._hold(tuple(other for other in self._views if other is not view))
        talk = self.connection.conversation
        for channel in channels:
            channel.followers = tuple(f for f in channel.followers if f is not view)
            if self._owner.forget(channel, self) and talk is not None:
                self._drop(talk.session, channel)
        self._owner.left(view)

    def _hold(self, views: tuple[View, ...]) -> None:
        self._views = views
        self._limited = tuple(view for view in views if view.timed)

    def _want(self, channel: Channel, now: float) -> None:
        talk = self.connection.conversation
        if talk is None:
            return
        line = talk.session.lines.get(channel.name)
        if line is not None and line.target is channel and line.wanted:
            return
        if line is not None and line.phase is Phase.FLOWING:
            # Nobody wanted it any more, but the exchange was not told yet.
            channel.take_over(line.target)
            line.target = channel
            self._ask(talk.session, channel, now)
            return
        channel.opened(talk.link, now)
        line = self._ask(talk.session, channel, now)
        if line.acknowledged:
            channel.subscribed(talk.link, now)

    @staticmethod
    def _drop(session: Session[Channel], channel: Channel) -> None:
        line: Line[Channel] | None = session.lines.get(channel.name)
        if line is not None and line.target is channel:
            session.drop(channel.name)

    # --- What the connection says ---------------------------------------------------

    def opened(self, session: Session[Channel], link: Link, now: float) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            channel.opened(link, now)
            self._ask(session, channel, now)

    def _ask(
        self, session: Session[Channel], channel: Channel, now: float
    ) -> Line[Channel]:
        self._serve(channel)
        owes, chained = channel.owes, channel.chained
        return session.want(channel.name, channel, owes, now, chained)

    def _serve(self, channel: Channel) -> None:
        """What *channel* has fetched comes to this connection."""
        if isinstance(channel, BookChannel):
            channel.fetch = partial(self._fetch_book, channel)

    def _fetch_book(self, channel: BookChannel, wait: float) -> bool:
        """Have the book fetched that the stream did not begin with, if it can be."""
        talk = self.connection.conversation
        if talk is None or not self._owner.filler.in_use:
            return False

        def came(book: PastBook | Exception) -> None:
            self.connection.submit(lambda: talk.fetched(channel, book))

        question = partial(ask_book, channel.instrument_id, channel.levels)
        self._owner.filler.ask(question, came, wait)
        return True

    def _wanted(self) -> list[Channel]:
        succession = self.succession
        if succession is not None and succession.new is self:
            return succession.rehearse(self._cast(succession))
        if succession is not None and succession.released:
            return []  # they are the other one's by now
        return [c for c in self._owner.wanted(self) if c.followers]

    def _cast(self, succession: Succession) -> list[Channel]:
        return [c for c in self._owner.wanted(succession.old) if c.followers]

    def acknowledged(self, channel: str, link: Link, now: float) -> None:
        """See `handler.Handler`."""
        target = self.channels.get(channel)
        if target is not None:
            target.subscribed(link, now)
            for view in self._following(target):
                view.wake()

    def unsubscribed(self, channel: str, link: Link, now: float) -> None:
        """See `handler.Handler`."""
        target = self.channels.get(channel)
        if target is not None:
            target.opened(link, now)

    def _following(self, channel: Channel) -> list[View]:
        # A view that failed, or was closed, may not have left yet.
        return [v for v in channel.followers if isinstance(v, View) and not v.ended]

    def rejected(self, channel: str, error: OkexWSError, now: float) -> None:
        """See `handler.Handler`."""
        target = self.channels.get(channel)
        succession = self.succession
        rehearsing = succession is not None and succession.new is self
        # One that nobody joined yet was not asked for: the refusal is of another.
        if target is not None and (target.followers or rehearsing):
            target.refused(error)
            for view in self._following(target):
                self._refuse(view, target, error, now)

    def _refuse(
        self, view: View, channel: Channel, error: OkexWSError, now: float
    ) -> None:
        """A channel of *view* is refused; the view with it, if its depth or last."""
        view.trouble(error)
        alive = [c for c in view.channels.values() if c.error is None]
        if isinstance(channel, DepthChannel):
            alive = [c for c in alive if isinstance(c, DepthChannel)]
        if not alive:
            view.fail(error, now)
            self._owner.release(view)
        view.tell(now)
        view.wake()

    def locked_out(self, error: LoginRejected, now: float) -> None:
        """See `handler.Handler`."""
        self._owner.retire(self, error)
        for name in list(self.channels):
            self.rejected(name, error, now)

    def lapsed(self) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            channel.lapsed()

    def renewed(self) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            channel.renewed()

    def look_again(self, now: float) -> None:
        """See `handler.Handler`."""
        for view in self._views:
            view.tell(now)
            view.wake()
        if self.succession is not None:
            self._further(self.succession, now)

    def _further(self, succession: Succession, now: float) -> None:
        """A pong came: see how far another connection is with taking over."""
        talk = self.connection.conversation
        if talk is None:
            return
        if succession.old is self:
            succession.prove(talk.link)
            return
        for twin in self._wanted():
            if twin.name not in talk.session.lines:  # it came after the opening
                twin.opened(talk.link, now)
                self._ask(talk.session, twin, now)
        cast = self._cast(succession)
        for name in self.channels.keys() - {channel.name for channel in cast}:
            talk.session.drop(name)  # it left after that
            del self.channels[name]
        succession.look(cast, talk.link, now)

    def take_over(self, twins: Mapping[str, Channel], succession: Succession) -> None:
        """Have the channels go on that came from another route, as their *twins*."""
        now, talk = self._clock.monotonic(), self.connection.conversation
        self._hold(succession.views)
        for name, channel in list(self.channels.items()):
            twin = twins.get(name)
            if twin is not None and twin.error is not None:
                self.rejected(name, twin.error, now)
                continue
            self._serve(channel)
            for view in self._following(channel):
                view.arrived(channel, self.connection.submit)
            if twin is not None and channel.error is None:
                channel.go_on_as(twin, succession.proves(name))
            if talk is not None and name in talk.session.lines:
                talk.session.lines[name].target = channel
            elif talk is not None and channel.followers and channel.error is None:
                self._want(channel, now)
        for name in twins.keys() - self.channels.keys():
            if talk is not None:
                talk.session.drop(name)
        self.look_again(now)

    def resign(self) -> tuple[View, ...]:
        """Hold nobody any more; those it held."""
        views, self._views, self._limited = self._views, (), ()
        return views

    def ending(self) -> None:
        """See `handler.Handler`."""
        try:
            self._owner.succeed(self)
        except (OSError, RuntimeError) as error:
            self.troubled(OkexWSError(f"no connection to take over: {error}"))

    def overdue(self, now: float) -> list[tuple[str, float]]:
        """See `handler.Handler`."""
        return [
            (channel.name, channel.shown.received)
            for channel in self._wanted()
            if channel.shown.state is State.LIVE and now >= channel.shown.overdue
        ]

    def due(self) -> float:
        """See `handler.Handler`."""
        due = math.inf
        if self._limited:
            due = min(view.due() for view in self._limited)
        if self.succession is not None:
            due = min(due, self.succession.due(self))
        return due

    def unreadable(self, error: WireError | BookError, now: float) -> None:
        """See `handler.Handler`."""
        for channel in self._wanted():
            if error.channel is None or error.channel == channel.name:
                channel.spoiled(str(error), now)

    def troubled(self, error: OkexWSError) -> None:
        """See `handler.Handler`."""
        channel = self.channels.get(getattr(error, "channel", None) or "")
        # What happened to one channel is told to those who follow it.
        for view in self._held() if channel is None else self._following(channel):
            view.trouble(error)

    def _held(self) -> tuple[View, ...]:
        return self._views or (() if self.succession is None else self.succession.views)

    def lost(self, error: OkexWSError, now: float) -> None:
        """See `handler.Handler`."""
        if self.succession is not None and self._is_covered(self.succession):
            return
        for channel in self._wanted():
            channel.lost(str(error), now)

    def _is_covered(self, succession: Succession) -> bool:
        """Whether another connection takes over at this very moment."""
        if succession.new is self:
            succession.fell()
            return False
        if succession.lost():
            return True
        self._owner.abandon(self)
        return False

    def ended(self, now: float) -> None:
        """See `handler.Handler`."""
        for view in self._views if self._owner.closed else ():
            view.closed = True
            view.tell(now)
