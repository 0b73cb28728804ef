"""The channels that live on one connection, as the register of the feed wants them.

The connection's thread compares the register with what it has carried out, and
subscribes and unsubscribes accordingly.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from operator import attrgetter, is_not
from typing import Protocol

from ..base.clock import Clock
from ..base.counts import Counts
from ..base.errors import BookError, OkexWSError, WireError
from ..base.state import NO_CAUSE, Cause, CauseCode
from ..base.throttled_log import LogThrottle
from ..channels.base import Channel
from ..channels.book import BookChannel
from ..channels.reading import Reading
from ..delivery.callbacks import Callbacks
from ..delivery.view import View
from ..history.worker import HistoryWorker, ask_book
from ..model.items import PastBook
from ..model.numbers import Clean
from ..session.session import Session
from ..session.subscription_state import SubscriptionState
from ..trust.lease import Era
from .handover import Handover, lead_back
from .register import Carrier, Register, Row, Table

_is_internal = attrgetter("internal")
_NOT_SUBSCRIBED = Cause(CauseCode.NO_SUBSCRIPTION, "not subscribed")
# How many log records wait at most; they are throttled before.
MOST_RECORDS = 1000


class PoolControl(Protocol):
    """What the channels of a connection ask of the pool. Any thread may call."""

    history_worker: HistoryWorker
    # The callback of the feed for what happens to connections, if it has one.
    told: Callbacks | None

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

    def list_instruments(self, view: View) -> None:
        """Follow the list that the instrument of *view* is in: it is subscribed now."""
        ...

    def renamed(self, reading: Reading, new_id: str, by: Carrier) -> bool:
        """Data of *new_id* came for *reading*: end all views of its instrument.

        False if the exchange told before that these are two instruments.
        """
        ...


class CarriedChannels(ABC):
    """The channels that live on one connection, and the views that follow them.

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
        # Those that have gone, until what is queued with them has been delivered.
        self._parting: tuple[View, ...] = ()
        # The views that have limits or a history: only their state can change by time.
        self.limited: tuple[View, ...] = ()
        # When data first came under a name that matches no subscription, and when a
        # channel was let go.
        self._strangers: dict[str, float] = {}
        self._left: dict[str, float] = {}
        # Channels under whose name, but for case or further fields, strange data came:
        # since when they were not fed, and what is wrong if they are not soon.
        self._unfed: dict[Channel, tuple[float, WireError | BookError]] = {}
        self._silence_due = -math.inf
        # The channels whose value a reader could not parse.
        self.doubted: deque[Channel] = deque()
        # What is to be logged between two steps of the connection's loop.
        self._records: deque[Callable[[], None]] = deque(maxlen=MOST_RECORDS)

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
        # What was bad before the change is told to those who followed then.
        self.verify_all(now)
        wanted, users = self._wanted(table)
        for name, channel in list(self.channels.items()):
            if wanted.get(name) is not channel:
                self._let_go(channel, now)
        before, self._views = self._views, tuple(users)
        self._parting += tuple(view for view in before if view not in users)
        self.limited = tuple(view for view in users if view.timed)
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
        old = None if handover is None else handover.standby_for(self, table)
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
        channel.on_doubt = partial(self._doubt, channel)
        if row is not None and row.channel is channel:
            lead_back(row.reading, channel, now)
            self._follow(channel, row.users, now)
            if channel.continues is not None:
                channel.take_over(*channel.continues)
                channel.continues = None
        if self.carrier.error is not None:
            if channel.reading.error is None:
                self.refuse(channel, self.carrier.error, now)
        elif is_new:
            self._want(channel, now)

    def _follow(self, channel: Channel, users: tuple[View, ...], now: float) -> None:
        # Those of a channel that takes over have not been told of this connection yet.
        before = () if channel.silent else channel.followers
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
        if channel.reading.error is None:  # else they have been told: see `replaced`
            channel.followers = ()
        if channel.silent:
            channel.lost(_NOT_SUBSCRIBED, now)
        subscription = self._subscription(channel)
        if self.session is not None and subscription is not None:
            self._left[channel.name] = now
            self.session.drop(self._renamed(channel, subscription))

    def _renamed(
        self, channel: Channel, subscription: SubscriptionState[Channel]
    ) -> SubscriptionState[Channel]:
        """*subscription* under the present name of its channel.

        After a rename the exchange takes an unsubscribe by the new id alone (OKX's
        changelog, January and June 2026).
        """
        halt, session = channel.reading.halt, self.session
        if session is None or halt is None or not halt.new_id:
            return subscription
        # What still comes by the old name is nothing strange.
        self._left[channel.name] = math.inf
        name = channel.renamed(halt.new_id)
        del session.subscriptions[subscription.name]
        if name not in session.subscriptions:
            subscription = copy.copy(subscription)
            subscription.name = name
            session.subscriptions[name] = subscription
        return subscription

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
        if channel.followers and all(map(_is_internal, channel.followers)):
            # A request of its own: no channel of a script waits for its answer.
            subscription.max_batch, subscription.internal = 1, True
        if subscription.acknowledged:
            channel.subscribed(era, now)

    def replaced(self, row: Row) -> None:
        """The refused channel of *row* was made anew: tell the users that came late."""
        error, told = row.reading.error or self.carrier.error, row.channel.followers
        if error is not None and row.reading.error is None:
            told = ()
            row.channel.refused(error)
        for view in row.users:
            if error is not None and not view.ended and view not in told:
                self._refuse(view, row.reading, error, self._clock.monotonic())

    def halted(self, readings: Collection[Reading], halt: Cause | None) -> None:
        """The exchange does not trade the instrument of *readings*, or does again."""
        now = self._clock.monotonic()
        channels = [c for c in self.channels.values() if c.reading in readings]
        several = len(channels) > 1 and halt is not None
        if several and self.era is not None:
            self.era.withdraw(channels, halt or NO_CAUSE)
        for channel in channels:
            subscription = self._subscription(channel)
            waits = channel.halted(halt, now)
            if waits and subscription is not None and self.session is not None:
                self.session.invalidated(subscription, now)
        if several and self.era is not None:
            self.era.settle()

    def left(self, view: View) -> None:
        """*view* has left the feed: queue its last state, and keep its counts."""
        self.catch_up()
        view.tell(self._clock.monotonic())
        view.wake()
        self._pool.fold(view)
        view.callbacks.drain()

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
        if reading in (depths := view.depths()):
            alive = [each for each in alive if each in depths]
        if not alive:
            view.fail(error, now)
            self._pool.release(view)
        view.tell(now)
        view.wake()

    def name_channel(self, error: OkexWSError, channel: Channel) -> None:
        """Have *error* name the *channel* that it is about, without a secret."""
        error.instrument_id = self._clean(channel.instrument_id)
        error.topic = self._clean(channel.topic)

    def troubled(self, error: OkexWSError, channel: Channel | None = None) -> None:
        """Something failed that passes: report *error*.

        An error of one channel is reported to its followers. One of the connection is
        reported once to the feed, if that has a callback for it, else to all views.
        """
        if channel is not None:
            self.name_channel(error, channel)
            for view in self._following(channel):
                view.trouble(error)
            return
        feed = self._pool.told
        if feed is not None:
            feed.error(error)
        for view in self._views:
            view.trouble(error, told=feed is not None)

    def log(self, write: Callable[[], None]) -> None:
        """Have *write* log a record, between two steps of the connection's loop."""
        self._records.append(write)

    def drain(self, concerned: Sequence[Channel] | None = None) -> None:
        """Deliver what is queued, here and with the views. It runs code of the script.

        That is the script's callbacks, and the handlers of its log. If only some
        channels are *concerned*, it looks at those who follow them.
        """
        while self._records:
            self._records.popleft()()
        if concerned is not None:
            for channel in concerned:
                for follower in channel.followers:
                    follower.callbacks.drain()
            return
        views, self._parting = (*self._views, *self._parting), ()
        for view in views:
            view.callbacks.drain()
        if self._pool.told is not None:
            self._pool.told.drain()

    def _doubt(self, channel: Channel) -> None:
        """A reader could not parse the value of *channel*. Any thread may call."""
        self.doubted.append(channel)
        self.carrier.submit(self.settle)

    def settle(self) -> None:
        """Parse what readers could not: before anything that comes after it."""
        while self.doubted:
            channel = self.doubted.popleft()
            if self.era is not None and not self.era.lost and self._lives_here(channel):
                self.verify(channel, self._clock.monotonic())

    def verify(self, channel: Channel, now: float) -> bool:
        """Parse the value of *channel* if it was kept unparsed; withdraw a bad one.

        False if it was bad: that counts and is told like a push that could not be read
        at its receipt.
        """
        subscription, good = self._subscription(channel), True
        while subscription is not None and (fault := channel.verify()) is not None:
            good = False
            self.unreadable(fault, subscription if fault.channel else None, now)
        return good

    def verify_all(self, now: float) -> None:
        """Parse the value of each channel, if it was kept unparsed: see `verify`."""
        for channel in list(self.channels.values()):
            if channel.is_unverified:
                self.verify(channel, now)

    def verify_trades(self, now: float) -> None:
        """Parse the newest trade of each channel: what comes next may end its stream.

        So what cannot be read is told in its place.
        """
        for channel in list(self.channels.values()):
            if channel.reading.is_series and channel.is_unverified:
                self.verify(channel, now)

    @abstractmethod
    def unreadable(
        self,
        fault: WireError | BookError,
        subscription: SubscriptionState[Channel] | None,
        now: float,
    ) -> None:
        """Withdraw the values that depend on a message that could not be used."""

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
