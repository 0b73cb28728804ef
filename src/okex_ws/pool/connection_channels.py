"""The channels of one connection, kept as the register of the feed wants them.

The connection's thread compares the register with what it has carried out, subscribes
and unsubscribes accordingly, and passes what the exchange says to the channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from operator import is_not
from typing import Protocol

from ..base.clock import Clock
from ..base.counts import Counts
from ..base.errors import BookError, LoginRejected, OkexWSError, WireError
from ..base.log import log
from ..base.state import State
from ..base.throttled_log import LogThrottle
from ..channels.base import Channel
from ..channels.book import BookChannel
from ..channels.reading import Reading
from ..channels.series import TradeChannel
from ..delivery.view import View
from ..history.worker import HistoryWorker, ask_book
from ..model.items import PastBook
from ..model.numbers import Clean
from ..protocol.common import for_people
from ..session.session import Session
from ..session.subscription_state import SubscriptionState
from ..trust.lease import Era
from .handover import Handover
from .register import Carrier, Register, Row, Table

# A stranger is data that matches no subscription. How many are remembered, by name.
MOST_STRANGERS = 100
# For how many seconds a channel that was unsubscribed may still send.
STRAGGLING = 60.0
# A channel of trades that is silent for so long while a depth of its instrument moves
# is subscribed anew: its exchange may have ended the stream without a word.
SILENT_TRADES = 600.0


class PoolControl(Protocol):
    """What the channels of a connection ask of the pool. Any thread may call."""

    history_worker: HistoryWorker

    @property
    def closed(self) -> bool:
        """Whether the feed was closed."""
        ...

    def release(self, view: View) -> None:
        """*view* has ended: its channels are not wanted any more."""
        ...

    def forget(self, reading: Reading) -> bool:
        """Remove *reading* from the register if no view wants it."""
        ...

    def fold(self, view: View) -> None:
        """*view* was closed, and its last state is queued: keep its counts."""
        ...

    def retire(self, carrier: Carrier, error: OkexWSError) -> None:
        """Close the connection *carrier* for good, because of *error*."""
        ...

    def start_handover(self, carrier: Carrier) -> None:
        """Open a connection that takes over the channels of *carrier*."""
        ...

    def make_channel(self, reading: Reading) -> Channel:
        """A second channel of *reading*, for another connection; it is silent."""
        ...


class ConnectionChannels:
    """The channels that live on one `Connection`, and the views that follow them.

    *register* says which channels are wanted here, and by which views; `catch_up` makes
    the session and the channels agree with it. Only the connection's thread calls the
    methods. No method runs code of the script: what there is to tell is queued with
    each view, and `drain` delivers it, between two steps of the connection's loop.

    A channel that is refused fails only those views that are left without a channel
    that they need. *session* and *era* are those of the present opening, or ``None``;
    *carrier* is the connection itself.
    """

    carrier: Carrier

    def __init__(
        self, pool: PoolControl, register: Register, clock: Clock, counts: Counts
    ) -> None:
        # The handover that is under way, to or from here.
        self.handover: Handover | None = None
        self.session: Session[Channel] | None = None
        self.era: Era | None = None
        # The channels that live here, as far as this was carried out.
        self.channels: dict[str, Channel] = {}
        self._pool = pool
        self._register = register
        self._clock = clock
        self.counts = counts
        self._throttle = LogThrottle()
        self._seen: Table | None = None
        self._views: tuple[View, ...] = ()
        # The views that have limits or a history: only their state can change by time.
        self._limited: tuple[View, ...] = ()
        # When data first came under a name that matches no subscription, and when a
        # channel was let go.
        self._strangers: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._silence_due = -math.inf

    # --- As the register wants it ---------------------------------------------------

    def catch_up(self) -> None:
        """Carry out what has changed in the register."""
        table = self._register.table
        if table is self._seen:
            return
        self._seen = table
        try:
            self._carry_out(table, self._clock.monotonic())
        except BaseException:
            self._seen = None
            raise

    def _carry_out(self, table: Table, now: float) -> None:
        wanted, users = self._wanted(table)
        for name, channel in list(self.channels.items()):
            if wanted.get(name) is not channel:
                self._let_go(channel, now)
        before, self._views = self._views, tuple(users)
        self._limited = tuple(view for view in users if view.timed)
        for name, channel in wanted.items():
            self._carry(channel, table.rows.get(name), now)
        for view in self._views:
            if view not in before:
                view.tell(now)
                view.wake()
        if self.handover is not None and self.handover.old is self:
            self.handover.new.carrier.submit(self.handover.new.catch_up)

    def _wanted(self, table: Table) -> tuple[dict[str, Channel], dict[View, None]]:
        """The channels that are wanted here, by name, and the views that use them."""
        wanted, users = dict[str, Channel](), dict[View, None]()
        handover = self.handover
        old = None if handover is None else handover.standby_for(self)
        if old is not None:
            for row in table.of(old):
                if row.users and row.reading.error is None:
                    wanted[row.reading.name] = self._standby(row)
            return wanted, users
        for row in table.of(self.carrier):
            if row.users or not self._pool.forget(row.reading):
                wanted[row.reading.name] = row.channel
                users.update(dict.fromkeys(row.users))
        return wanted, users

    def _standby(self, row: Row) -> Channel:
        mine = self.channels.get(row.reading.name)
        if mine is not None and mine.reading is row.reading:
            return mine
        return self._pool.make_channel(row.reading)

    def _carry(self, channel: Channel, row: Row | None, now: float) -> None:
        """Have *channel* live here, and let the users of *row* follow it."""
        is_new = self.channels.get(channel.name) is not channel
        self.channels[channel.name] = channel
        continues, channel.continues = channel.continues, None
        if continues is not None:
            channel.take_over(*continues)
            for view in self._following(channel):
                view.arrived(channel.reading, self.carrier.submit)
        if row is not None and row.channel is channel:
            self._follow(channel, row.users, now)
        if is_new and self.carrier.error is not None:
            self.refuse(channel, self.carrier.error, now)
        elif is_new:
            self._want(channel, now)

    def _follow(self, channel: Channel, users: tuple[View, ...], now: float) -> None:
        before = channel.followers
        channel.followers = users
        if len(before) == len(users) and not any(map(is_not, before, users)):
            return
        error = channel.reading.error
        for view in users:
            if all(view is not each for each in before):
                view.arrived(channel.reading, self.carrier.submit)
                if error is not None and not view.ended:
                    self._refuse(view, channel.reading, error, now)

    def _let_go(self, channel: Channel, now: float) -> None:
        del self.channels[channel.name]
        channel.followers = ()
        subscription = self._subscription(channel)
        if self.session is not None and subscription is not None:
            self._left[channel.name] = now
            self.session.drop(subscription)

    @property
    def _clean(self) -> Clean:
        """Takes the secrets of this connection out of a text of the exchange."""
        return str if self.session is None else self.session.clean

    def _subscription(self, channel: Channel) -> SubscriptionState[Channel] | None:
        """The session's state of *channel*, the very object."""
        if self.session is None:
            return None
        known = self.session.subscriptions.get(channel.name)
        return known if known is not None and known.target is channel else None

    def _want(self, channel: Channel, now: float) -> None:
        session, era = self.session, self.era
        if session is None or era is None or channel.reading.error is not None:
            return
        if isinstance(channel, BookChannel):
            channel.fetch = partial(self._fetch_book, channel)
        channel.opened(era, now)
        needs_snapshot, incremental = channel.needs_snapshot, channel.incremental
        subscription = session.want(
            channel.name, channel, needs_snapshot, now, incremental
        )
        if subscription.acknowledged:
            channel.subscribed(era, now)

    def left(self, view: View) -> None:
        """*view* has left the feed: queue its last state, and keep its counts."""
        self.catch_up()
        view.tell(self._clock.monotonic())
        view.wake()
        self._pool.fold(view)
        view.callbacks.drain()

    # --- What the connection reports ------------------------------------------------

    def opened(self, session: Session[Channel], era: Era, now: float) -> None:
        """The connection is open: subscribe the channels that are wanted on it."""
        self.session, self.era = session, era
        self._strangers.clear()
        self._left.clear()
        self.catch_up()
        for channel in self.channels.values():
            self._want(channel, now)

    def acknowledged(self, channel: Channel, now: float) -> None:
        """The exchange acknowledged *channel*."""
        if self.era is not None and self._lives_here(channel):
            channel.subscribed(self.era, now)
            for view in self._following(channel):
                view.wake()

    def unsubscribed(self, channel: Channel, now: float) -> None:
        """The exchange unsubscribed *channel* without a request.

        The session will subscribe it again.
        """
        if self.era is not None and self._lives_here(channel):
            channel.opened(self.era, now)

    def _lives_here(self, channel: Channel) -> bool:
        return self.channels.get(channel.name) is channel

    @staticmethod
    def _following(channel: Channel) -> list[View]:
        # A view that failed or was closed may still be among the followers.
        return [v for v in channel.followers if isinstance(v, View) and not v.ended]

    def refuse(self, channel: Channel, error: OkexWSError, now: float) -> None:
        """The exchange refused *channel* for good."""
        if not self._lives_here(channel):
            return
        if channel.silent and self.handover is not None:
            if self.handover.refused(error):
                return
            # The new connection has taken over meanwhile.
            self.catch_up()
        try:
            channel.refused(error)
            for view in self._following(channel):
                self._refuse(view, channel.reading, error, now)
        except BaseException:
            # On the next opening the exchange refuses it again.
            channel.reading.error = None
            raise

    def _refuse(
        self, view: View, reading: Reading, error: OkexWSError, now: float
    ) -> None:
        """Report to *view* that *reading* was refused.

        The view fails if that was its last channel, or its last depth channel.
        """
        view.trouble(error)
        alive = [each for each in view.readings.values() if each.error is None]
        if reading.is_depth:
            alive = [each for each in alive if each.is_depth]
        if not alive:
            view.fail(error, now)
            self._pool.release(view)
        view.tell(now)
        view.wake()

    def refuse_all(self, refusals: Sequence[tuple[Channel, OkexWSError]]) -> None:
        """The exchange refused several channels at once: withdraw them in one store."""
        now = self._clock.monotonic()
        if len(refusals) > 1 and self.era is not None:
            self.era.withdraw(channel for channel, _ in refusals)
        for channel, error in refusals:
            self.refuse(channel, error, now)
        if len(refusals) > 1 and self.era is not None:
            self.era.settle()

    def locked_out(self, error: LoginRejected) -> None:
        """The exchange refused the key for good: fail the connection's channels."""
        channels = list(self.channels.values())
        silent = any(channel.silent for channel in channels)
        self.refuse_all([(channel, error) for channel in channels])
        if not silent:
            self._pool.retire(self.carrier, error)

    def look_again(self, now: float) -> None:
        """Report the states that time or a renewed lease has changed."""
        self.catch_up()
        for view in self._views:
            view.tell(now)
            view.wake()
        handover = self.handover
        if handover is not None and handover.old is self:
            handover.advance(now)

    def ending(self) -> None:
        """The exchange announced that it will close the connection soon."""
        try:
            self._pool.start_handover(self.carrier)
        except (OSError, RuntimeError) as error:
            self.troubled(OkexWSError(f"no connection to take over: {error}"))

    def overdue(self, now: float) -> list[SubscriptionState[Channel]]:
        """The subscriptions that missed the push that repeats an idle book."""
        overdue = (
            self._subscription(channel)
            for channel in self.channels.values()
            if channel.current.state is State.LIVE and now >= channel.current.overdue
        )
        return [subscription for subscription in overdue if subscription is not None]

    def silent_trades(self, now: float) -> list[SubscriptionState[Channel]]:
        """The channels of trades that are silent while a depth of theirs moves.

        Each is named once in `SILENT_TRADES` seconds at most, to be subscribed anew.
        Its trades so far are good, but the next one must prove that none is missing.
        """
        if now < self._silence_due:
            return []
        self._silence_due = now + SILENT_TRADES / 10
        since = now - SILENT_TRADES
        moving = {
            channel.instrument_id
            for channel in self.channels.values()
            if channel.reading.is_depth and channel.current.received > since
        }
        found = []
        for channel in self.channels.values():
            last = max(channel.current.received, channel.acknowledged_at)
            silent = channel.acknowledged and last <= since
            if silent and isinstance(channel, TradeChannel):
                subscription = self._subscription(channel)
                if subscription is not None and channel.instrument_id in moving:
                    channel.resubscribing()
                    found.append(subscription)
        return found

    def due(self) -> float:
        """When `look_again` must be called next, apart from the end of the lease."""
        due = math.inf
        if self._limited:
            due = min(view.due() for view in self._limited)
        if self.handover is not None and self.handover.old is self:
            due = min(due, self.handover.due)
        return due

    # --- What goes wrong ------------------------------------------------------------

    def unreadable(
        self,
        fault: WireError | BookError,
        subscription: SubscriptionState[Channel] | None,
        now: float,
    ) -> None:
        """Withdraw the values that depend on a message that could not be used.

        Without a *subscription* the message may have been of any channel. The values
        are withdrawn before the error is queued, so that a script that reads in its
        error callback finds no old value.
        """
        name = None if subscription is None else subscription.name
        error = for_people(fault, name, self._clean)
        partial = isinstance(fault, WireError) and fault.partial
        if self.session is not None and not partial:
            every = list(self.channels.values())
            meant = every if subscription is None else [subscription.target]
            self._withdraw(meant, str(error), now)
            if subscription is not None and isinstance(error, BookError):
                self.session.resubscribe(subscription, now)
            else:
                self.session.invalidated(subscription, now)
        channel = None if subscription is None else subscription.target
        self.drop(error.kind, str(error), now, error, channel)

    def _withdraw(self, channels: Iterable[Channel], cause: str, now: float) -> None:
        channels = list(channels)
        values = [each for each in channels if not each.reading.is_series]
        if len(values) > 1 and self.era is not None:
            self.era.withdraw(values)
        for channel in channels:
            channel.invalidated(cause, now)
        if len(values) > 1 and self.era is not None:
            self.era.settle()

    def stranger(self, name: str, related: Sequence[str], now: float) -> None:
        """Data came under *name*, which matches no subscription.

        It may be data of one of the *related* channels, whose names are given, or of
        any channel if there is none; they are withdrawn. A channel that was fed since
        such data first came is another one.
        """
        subscriptions = {} if self.session is None else self.session.subscriptions
        left = now < self._left.get(name, -math.inf) + STRAGGLING
        if left or name in subscriptions:
            self.counts.dropped["unasked"] += 1
            return
        if name not in self._strangers and len(self._strangers) >= MOST_STRANGERS:
            name = ""
        since = self._strangers.setdefault(name, now)
        close = [self.channels[each] for each in related if each in self.channels]
        if len(close) == 1:
            # Its own data would come under its own name at least once a minute.
            since = max(since, now - STRAGGLING)
        meant = [
            channel
            for channel in close or self.channels.values()
            if channel.current.state is State.LIVE and channel.current.received <= since
        ]
        shown = self._clean(name)[:80]
        cause = f"data came for {shown!r}, which is not subscribed"
        self._withdraw(meant, cause, now)
        for channel in meant:
            subscription = self._subscription(channel)
            if self.session is not None and subscription is not None:
                self.session.invalidated(subscription, now)
        error = WireError("stranger", cause)
        self.drop("stranger", cause, now, error if meant else None)

    def drop(
        self,
        kind: str,
        sentence: str,
        now: float,
        error: WireError | BookError | None = None,
        channel: Channel | None = None,
    ) -> None:
        """Count a message that could not be used, and log it at most once a minute.

        Each *kind* has a minute of its own, and so has each channel.
        """
        self.counts.dropped[kind] += 1
        whose = "" if channel is None else channel.name
        if self._throttle.allows(f"{kind} {whose}", now):
            log.warning("%s", sentence, extra={"event": "dropped"})
            if error is not None:
                self.troubled(error, channel)

    def troubled(self, error: OkexWSError, channel: Channel | None = None) -> None:
        """Something failed that passes: report *error* to the views.

        An error of one channel is reported to its followers only.
        """
        views = self._views if channel is None else self._following(channel)
        for view in views:
            view.trouble(error)

    def lost(self, error: OkexWSError, now: float) -> None:
        """The connection, or the attempt to make it, has ended with *error*."""
        self.session = self.era = None
        self.catch_up()
        handover = self.handover
        if handover is not None and handover.standby_for(self) is not None:
            # The standbys missed pushes: they are made again at the next opening.
            self.channels.clear()
            self._seen = None
            return
        channels = list(self.channels.values())
        for channel in channels:
            channel.lost(str(error), now)
        if handover is not None and handover.old is self:
            handover.lost()

    def ended(self) -> None:
        """The connection was closed, and its thread is about to end."""
        self.catch_up()
        now = self._clock.monotonic()
        for view in self._views if self._pool.closed else ():
            view.closed = True
            view.tell(now)
        self.drain()

    def drain(self) -> None:
        """Deliver what is queued with the views. It runs code of the script."""
        for view in self._views:
            view.callbacks.drain()

    # --- Books over REST ------------------------------------------------------------

    def _fetch_book(self, channel: BookChannel, wait: float) -> bool:
        """Fetch a book for *channel*, in *wait* seconds; False if that is not possible.

        The channel's stream did not begin with a snapshot.
        """
        era = self.era
        if era is None or not self._pool.history_worker.in_use:
            return False

        def came(book: PastBook | Exception) -> None:
            self.carrier.submit(lambda: self._fetched(channel, book, era))

        question = partial(ask_book, channel.instrument_id, channel.reading.levels)
        self._pool.history_worker.ask(question, came, wait)
        return True

    def _fetched(
        self, channel: BookChannel, book: PastBook | Exception, era: Era
    ) -> None:
        """Handle the book that was fetched for *channel*, or the error of the fetch."""
        subscription = self._subscription(channel)
        if era is not self.era or subscription is None:
            return
        now, wall, fault = self._clock.monotonic(), self._clock.wall(), None
        try:
            if channel.fetched(book, era, now, wall) and subscription.acknowledged:
                subscription.flows(now)
        except BookError as error:
            fault = error
        if fault is not None:
            self.unreadable(fault, subscription, now)
