"""What a connection reports to the channels that live on it, and what follows of it.

The connection's thread passes what the exchange says to the channels concerned, and
withdraws the values that a fault may concern.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from ..base.errors import BookError, LoginRejected, OkexWSError, WireError
from ..base.log import log
from ..base.state import Cause, State
from ..channels.base import Channel
from ..channels.series import TradeChannel
from ..delivery.view import View
from ..protocol.common import OtherInstrument, for_people
from ..protocol.messages import Related
from ..recording.tap import RecordingTap
from ..session.session import Session
from ..session.subscription_state import SubscriptionState
from ..trust.lease import Era
from .carried_channels import CarriedChannels

# A stranger is data that matches no subscription. How many are remembered, by name.
MOST_STRANGERS = 100
# For how many seconds a channel that was unsubscribed may still send.
STRAGGLING = 60.0
# A channel of trades that is silent for so long while a depth of its instrument moves
# is subscribed anew: its exchange may have ended the stream without a word.
SILENT_TRADES = 600.0


class ConnectionChannels(CarriedChannels):
    """The channels of one `Connection`, to which it reports all that happens.

    Only the connection's thread calls the methods. They withdraw first, in one store
    where several channels are concerned, and queue what there is to tell.
    """

    # --- What the connection reports ------------------------------------------------

    def opened(self, session: Session[Channel], era: Era, now: float) -> None:
        """The connection is open: subscribe the channels that are wanted on it."""
        self._strangers.clear()
        self._left.clear()
        self._unfed.clear()
        # What was interrupted is carried out once more; as yet without a session, so
        # that what came during the handshake is not opened twice.
        self.session = self.era = self._seen = None
        self.catch_up()
        self.session, self.era = session, era
        for channel in self.channels.values():
            self._want(channel, now)

    def acknowledged(self, channel: Channel, now: float) -> None:
        """The exchange acknowledged *channel*."""
        if self.era is not None and self._lives_here(channel):
            channel.subscribed(self.era, now)
            for view in self._following(channel):
                view.wake()
                if view.listing is not None:
                    self._pool.list_instruments(view)

    def unsubscribed(self, channel: Channel, now: float) -> None:
        """The exchange unsubscribed *channel* without a request.

        The session will subscribe it again.
        """
        if self.era is not None and self._lives_here(channel):
            self.verify_trades(now)
            channel.opened(self.era, now)

    def withheld(
        self, channels: Sequence[Channel], state: State, cause: Cause, now: float
    ) -> None:
        """What forwards the exchange's data does not vouch for *channels*."""
        self.verify_trades(now)
        here = [channel for channel in channels if self._lives_here(channel)]
        if len(here) > 1 and self.era is not None:
            self.era.withdraw(here, cause)
        for channel in here:
            channel.withheld(state, cause, now)
        if len(here) > 1 and self.era is not None:
            self.era.settle()

    def refuse_all(self, refusals: Sequence[tuple[Channel, OkexWSError]]) -> None:
        """The exchange refused several channels at once: withdraw them in one store."""
        now = self._clock.monotonic()
        if len(refusals) > 1 and self.era is not None:
            withdrawn = (channel for channel, _ in refusals)
            self.era.withdraw(withdrawn, refusals[0][1].cause)
        for channel, error in refusals:
            self.refuse(channel, error, now)
        if len(refusals) > 1 and self.era is not None:
            self.era.settle()

    def locked_out(self, error: LoginRejected) -> None:
        """The exchange refused the key for good: fail the connection's channels."""
        channels = list(self.channels.values())
        silent = any(channel.silent for channel in channels)
        if not silent and (feed := self._pool.told) is not None:
            feed.error(error)
        self.refuse_all([(channel, error) for channel in channels])
        if not silent:
            self._pool.retire(self.carrier, error)

    def look_again(self, now: float) -> None:
        """Report the states that time or a renewed lease has changed."""
        self.catch_up()
        self._look_at_unfed(now)
        self._tell(self._views, now)

    def ponged(self, now: float) -> None:
        """A pong came: report it to those with limits, and go on with a handover."""
        self.catch_up()
        self._tell(self.limited, now)
        for view in self._views:
            if view.internal:
                view.tell(now)

    def _tell(self, views: Iterable[View], now: float) -> None:
        for view in views:
            view.tell(now)
            view.wake()
        handover = self.handover
        if handover is not None and handover.old is self:
            handover.advance(now)

    def write_keyframe(self, tap: RecordingTap, now: float) -> None:
        """Record the channels that stand, and the present value of each depth."""
        for channel in list(self.channels.values()):
            if channel.acknowledged and self.verify(channel, now):
                tap.keyframe(channel.name, channel.standing, channel.incremental)

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
        if self.limited:
            due = min(view.due() for view in self.limited)
        if self.handover is not None and self.handover.old is self:
            due = min(due, self.handover.due)
        if self._unfed:
            first = min(since for since, _ in self._unfed.values())
            due = min(due, first + self._lease_length / 2)
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
        if isinstance(fault, OtherInstrument) and subscription is not None:
            reading, new_id = subscription.target.reading, self._clean(fault.new_id)
            if self._pool.renamed(reading, new_id, self.carrier):
                self.counts.dropped[fault.kind] += 1
                return
        name = None if subscription is None else subscription.name
        error = for_people(fault, name, self._clean)
        channel = None if subscription is None else subscription.target
        if channel is not None:
            self.name_channel(error, channel)
        partial = isinstance(fault, WireError) and fault.partial
        if self.session is not None and not partial:
            every = list(self.channels.values())
            meant = every if subscription is None else [subscription.target]
            self._withdraw(meant, error.cause, now)
            if subscription is not None and isinstance(error, BookError):
                self.session.resubscribe(subscription, now)
            else:
                self.session.invalidated(subscription, now)
        self.drop(error.kind, str(error), now, error, channel)

    def _withdraw(self, channels: Iterable[Channel], cause: Cause, now: float) -> None:
        channels = list(channels)
        values = [each for each in channels if not each.reading.is_series]
        if len(values) > 1 and self.era is not None:
            self.era.withdraw(values, cause)
        for channel in channels:
            channel.invalidated(cause, now)
        if len(values) > 1 and self.era is not None:
            self.era.settle()

    def stranger(
        self,
        name: str,
        related: Related,
        now: float,
        fault: WireError | None = None,
    ) -> None:
        """Data came under *name*, which matches no subscription.

        It may be data of one of the *related* channels, so they are withdrawn. A
        channel that was fed since such data first came is another one; the only one
        that it may be of has to be fed again and again.
        *fault* is why the data cannot be read, if it cannot.
        """
        subscriptions = {} if self.session is None else self.session.subscriptions
        left = now < self._left.get(name, -math.inf) + STRAGGLING
        kind = "unasked" if fault is None else fault.kind
        if left or name in subscriptions:
            self.counts.dropped[kind] += 1
            return
        cause = f"data came for {self._clean(name)[:80]!r}, which is not subscribed"
        error: WireError | BookError = WireError(kind, cause)
        if fault is not None:
            error = for_people(fault, name, self._clean)
        if name not in self._strangers:
            self._await_food(name, related, now, error)
        # Of several channels of trades, say, each may have lost an element without a
        # name: what they were fed before and after it is no sign of the contrary.
        lost = fault is not None and fault.partial
        meant, unfed = self._meant(name, related, now, lost)
        self._suspect(meant, error, now)
        if unfed is not None:
            before = self._unfed.get(unfed)
            if before is None or before[0] < unfed.current.received:
                self._unfed[unfed] = now, error
        self.drop(kind, str(error), now, error if meant else None)

    def _await_food(
        self,
        name: str,
        related: Related,
        now: float,
        error: WireError | BookError,
    ) -> None:
        """If an instrument may have been renamed, look at its channels in half a lease.

        It may be if strange data has the name of one channel alone, but for the id.
        Under v3 nothing else tells.
        """
        close = [self.channels[each] for each in related.keys if each in self.channels]
        heads = {each.partition(":")[0] for each in (name, *related.keys)}
        if len(close) != 1 or len(heads) != 1 or related.alike:
            return
        for channel in self.channels.values():
            if channel.instrument_id == close[0].instrument_id:
                self._unfed.setdefault(channel, (now, error))

    def _suspect(
        self, channels: list[Channel], error: WireError | BookError, now: float
    ) -> None:
        """Withdraw the values of *channels*, of which strange data may have been."""
        self._withdraw(channels, error.cause, now)
        for channel in channels:
            subscription = self._subscription(channel)
            if self.session is not None and subscription is not None:
                self.session.invalidated(subscription, now)

    def _look_at_unfed(self, now: float) -> None:
        """Withdraw what strange data was alike to, and was not fed since."""
        within = self._lease_length / 2
        for channel, (since, error) in list(self._unfed.items()):
            if now < since + within:
                continue
            del self._unfed[channel]
            if self._lives_here(channel) and channel.current.received <= since:
                self._suspect([channel], error, now)
                self.troubled(error, channel)

    def _meant(
        self, name: str, related: Related, now: float, lost: bool
    ) -> tuple[list[Channel], Channel | None]:
        """The channels of which data under the strange *name* may be.

        And the one that must be fed again within half a lease, because its name is
        alike. *lost* is whether each series among them may have lost an item.
        """
        if name not in self._strangers and len(self._strangers) >= MOST_STRANGERS:
            name = ""
        since = self._strangers.setdefault(name, now)
        close = [self.channels[each] for each in related.keys if each in self.channels]
        unfed = None
        if len(close) == 1:
            if close[0].reading.is_series:
                # Each push has items of its own: a later one does not make it good.
                return close, None
            # Its own data would come under its own name at least once a minute. A name
            # that is alike may change to and fro, as one gateway follows on another: no
            # value may outlive a lease beside such data.
            within = self._lease_length / 2 if related.alike else STRAGGLING
            since = max(since, now - within)
            unfed = close[0] if related.alike else None
        meant = [
            channel
            for channel in close or self.channels.values()
            if channel.current.state is State.LIVE
            and (
                channel.current.received <= since
                or (lost and channel.reading.is_series)
            )
        ]
        return meant, None if meant else unfed

    @property
    def _lease_length(self) -> float:
        return 0.0 if self.era is None else self.era.lease_length

    def drop(
        self,
        kind: str,
        sentence: str,
        now: float,
        error: WireError | BookError | None = None,
        channel: Channel | None = None,
    ) -> None:
        """Count a message that could not be used; tell it at most once a minute.

        Each *kind* has a minute of its own, and so has each channel. A `BookError` is
        told each time, because a script may add up the updates of a book.
        """
        self.counts.dropped[kind] += 1
        whose = "" if channel is None else channel.name
        is_new = self._throttle.allows(f"{kind} {whose}", now)
        if is_new:
            self.log(lambda: log.warning("%s", sentence, extra={"event": "dropped"}))
        if error is not None and (is_new or isinstance(error, BookError)):
            self.troubled(error, channel)

    def lost(self, error: OkexWSError, now: float) -> None:
        """The connection, or the attempt to make it, has ended with *error*."""
        self.verify_trades(now)
        self.session = self.era = None
        self._unfed.clear()
        self.catch_up()
        handover = self.handover
        table = self._register.table
        if handover is not None and handover.standby_for(self, table) is not None:
            # The standbys missed pushes: they are made again at the next opening.
            self.channels.clear()
            self._seen = None
            return
        channels = list(self.channels.values())
        for channel in channels:
            channel.lost(error.cause, now)
        if handover is not None and handover.old is self:
            handover.lost(now)

    def ended(self) -> None:
        """The connection was closed, and its thread is about to end."""
        self.catch_up()
        now = self._clock.monotonic()
        for view in self._views if self._pool.closed else ():
            view.closed = True
            view.tell(now)
        self.drain()
