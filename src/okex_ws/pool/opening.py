"""The loop of one opening of a connection: each turn sends, waits, reads and handles.

All of it runs on the connection's thread. A turn sends what is due, waits unless there
are frames to handle, and handles some. A failure of the connection is raised and ends
the loop. Code of the script runs only between two steps, in `ConnectionChannels.drain`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ..base.clock import Clock
from ..base.errors import BookError, OkexWSError, WireError, printable
from ..base.log import log
from ..base.state import Cause, CauseCode
from ..base.throttled_log import OutageLog
from ..channels.base import Channel
from ..model.exchange_codes import Advice
from ..net.stream import Network, Staged
from ..net.transport import Transport
from ..protocol.interface import WireProtocol
from ..protocol.messages import Message, Notice, Push, Unknown, Unreadable
from ..session.events import Changed, Event, Held, LockedOut, Trouble, Unasked
from ..session.session import Session
from ..session.subscription_state import Phase, Step, SubscriptionState, log_steps
from ..trust.heartbeat import Renewed
from ..trust.lease import Era
from .connection_channels import ConnectionChannels
from .recognition import Recognition

_LEFT = Cause(CauseCode.SUBSCRIBING, "the exchange ended several channels")
# A read of fewer bytes took all that had come (`Stream.fill` takes 256 KiB).
FULL_READ = 128 * 1024


class Surroundings(NamedTuple):
    """What all openings of one connection share: channels, clock, network, and more.

    *era* is a callable that makes the `Era` of one opening, at a given monotonic time.
    If *keeps_unparsed* is False, each push is parsed at its receipt. *coalesce* is how
    many seconds a connection waits between a read and the next one.
    """

    wire: WireProtocol
    channels: ConnectionChannels
    clock: Clock
    network: Network
    outage_log: OutageLog
    era: Callable[[float], Era] = Era
    keeps_unparsed: bool = True
    coalesce: float = 0.0


class Opening:
    """One opening of a connection: its transport, session, era and unread frames.

    It joins the parts that know nothing of each other: frames of the transport become
    messages, the session answers them, and channels publish the pushes. The
    connection's thread calls `turn` again and again until it raises the loss (an
    `OkexWSError`) or the connection is closed; a new opening has a new object. Messages
    are handled in order; a push that its channel keeps unparsed is handled by that. A
    message that cannot be read withdraws the values that it may belong to, is counted,
    and is logged at most once a minute.
    """

    def __init__(
        self,
        around: Surroundings,
        transport: Transport,
        session: Session[Channel],
        now: float,
        endpoint: str,
    ) -> None:
        self._around = around
        self._channels = around.channels
        self._monotonic, self._wall = around.clock.monotonic, around.clock.wall
        self._counts = around.channels.counts
        self.endpoint = endpoint
        self.transport = transport
        self.session = session
        self._heartbeat = session.heartbeat
        self.era = around.era(now)
        # Frames that were read but not handled. Everything that came before *read_at*
        # has been handled; everything before *read_to* will be, once no frame is left.
        # A replay in virtual time parses at once, and so does a connection that has
        # secrets, which only its own thread can take out of a text.
        keeps = around.keeps_unparsed and not isinstance(around.network, Staged)
        self._recognition = Recognition(
            around.wire,
            session.subscriptions,
            self._counts,
            keeps and session.clean is str,
        )
        self._frames, self._next = self._recognition.frames, self._recognition.next
        self._read_at = self._read_to = now
        self._wait = around.network.wait
        # Whether the connection is to be closed: any thread may say so.
        self.closing = False
        # When reads are full: what had come by the time *first* has been read once so
        # many bytes were received as *second*.
        self._behind: tuple[float, int] | None = None
        # Whether the session waits for what is unread.
        self._late = False
        # Whether the next turn waits, so that more can come before the next read.
        self._rests = False
        self._lapse_told = False
        # When `_look` has something to report, unless a message or a job changes that.
        self._look_at = -math.inf

    @property
    def is_behind(self) -> bool:
        """Whether messages were read, and recorded, that are not handled yet."""
        return bool(self._frames)

    def turn(self) -> None:
        """Do what is due, wait unless frames are left, and handle some frames."""
        # The hot path of a connection: a turn for nearly every push.
        session, channels, frames = self.session, self._channels, self._frames
        now, due = self._monotonic(), self._heartbeat.due
        due = min(due, session.subscriptions_due)
        if now >= due:
            due = self._tick(now)
        if now >= self._look_at or channels.limited or channels.handover is not None:
            self._look_at = self._look(now, self._wall())
        due = self._look_at if self._look_at < due else due
        if not frames:
            if self._rests:
                # A turn of its own: a job may cut it short, and is done before the
                # next.
                self._rests = False
                self._wait(min(self._around.coalesce, max(0.0, due - now)))
                return
            timeout = 0.0 if self._late or due < now else due - now
            self._wait(timeout, self.transport.stream)
            now = self._read(due)
        else:
            now = self._monotonic()
        if self.closing:
            return
        said = self._next(self.era, now, self._wall())
        if said is not None or channels.doubted:
            self._take(said, now)
        if frames:
            self._take_some()
        if not frames:
            self._read_at = self._read_to
            if self._late:
                self._heartbeat.caught_up(self._read_at)

    def _tick(self, now: float) -> float:
        """Do what the session has to do by now; return when it has to do more."""
        session, wall, self._look_at = self.session, self._wall(), -math.inf
        events = session.tick(now, wall, self._read_at)
        self._handle(events, now, wall)
        for text in session.outgoing():
            self.transport.send(text)
        if events or session.taken:
            self._deliver()
        self._late = self._heartbeat.waits
        return session.due

    def _deliver(self, concerned: Sequence[Channel] | None = None) -> None:
        """Run the script's callbacks and log handlers: no step is half done.

        It is called after each step that may have queued something. It looks at every
        subscription of the connection, unless only some channels are *concerned*.
        """
        log_steps(self.session.taken)
        self._channels.drain(concerned)

    def _read(self, due: float) -> float:
        """Read what has come; return when the last of it came, in monotonic seconds."""
        now, transport = self._monotonic(), self.transport
        if now >= due:
            # If the lease ended during the wait, report that before handling later
            # messages.
            self._look(now, self._wall())
        before = transport.bytes_received
        self._frames.extend(transport.read())
        heard = transport.heard
        self.era.hear(heard)
        # A read that is not full took all that had come.
        if transport.bytes_received - before < FULL_READ:
            self._read_to, self._behind = now, None
            self._rests = self._around.coalesce > 0.0 and bool(self._frames)
        else:
            self._read_to, self._rests = self._proven(now, before), False
        return now if heard < now else heard

    def _proven(self, now: float, before: int) -> float:
        """What came before that was read, though more may have come than was read.

        *before* is how many bytes had been received by *now*, before the read.
        """
        transport = self.transport
        since, enough = self._behind or (now, before + transport.most_unread)
        if transport.bytes_received < enough:
            self._behind = since, enough
            return self._read_to
        self._behind = None
        return since

    def _take_some(self) -> None:
        """Handle more of the frames that were read, until the session has work.

        So the backlog of a slow callback does not delay the keep-alive. Each turn
        handles at least one frame, even if it is late.
        """
        frames, due = self._frames, self.session.due
        while frames and not self.closing and (now := self._monotonic()) < due:
            said = self._next(self.era, now, self._wall())
            if said is not None or self._channels.doubted:
                self._take(said, now)
                due = self.session.due

    def _take(self, said: bytes | WireError | None, now: float) -> None:
        """Handle the message *said*, which no channel kept, and what readers doubt."""
        wall, fault, self._look_at = self._wall(), None, -math.inf
        messages: tuple[Message, ...] = ()
        try:
            if isinstance(said, bytes):
                messages = self._around.wire.read(said)
            else:
                fault = said
        except WireError as error:
            fault = error
        if self._channels.doubted:
            # A reader found that an earlier message was bad: that is told first.
            self._channels.settle()
            self._deliver()
        # Not in the clause above: what is told there has *error* as its context.
        if fault is not None:
            self._unreadable(fault, now)
        for message in messages:
            if type(message) is Push and isinstance(said, bytes):
                self._push(message, said, now, wall)
                continue
            if isinstance(message, Unreadable):
                self._unreadable(message.error, now)
            elif isinstance(message, Unknown):
                self._channels.drop("unknown", f"unknown message ({message.name})", now)
            elif isinstance(message, Notice):
                self._note(message)
            else:
                events = self.session.receive(message, now)
                self._handle(events, now, wall)
                self._deliver(_acknowledged(events))
                continue
            self._deliver()

    def _look(self, now: float, wall: float) -> float:
        """Report what time alone has changed, and return when to look again."""
        lease = self.era.lease
        lapsed = lease is not None and not lease.holds(now, wall)
        due = self._channels.due()
        if (lapsed and not self._lapse_told) or due <= now:
            self._lapse_told = lapsed
            self._channels.look_again(now)
            self._deliver()
            due = self._channels.due()
        return due if lease is None or lapsed else min(due, lease.until)

    # --- Pushes ---------------------------------------------------------------------

    def _push(self, push: Push, said: bytes, now: float, wall: float) -> None:
        subscription = self.session.subscriptions.get(push.channel)
        if (
            subscription is not None
            and subscription.target.is_unverified
            and not self._channels.verify(subscription.target, now)
        ):
            # As if the push before had been parsed at its receipt.
            self._deliver()
        if subscription is None or not self._may_use(push, subscription, now):
            self._stray(push, subscription, now)
            return
        channel, first = subscription.target, subscription.phase is Phase.ACKNOWLEDGED
        used, fault = True, None
        try:
            used = self._publish(push, channel, first, now, wall)
        except (WireError, BookError) as error:
            fault = error
        if fault is not None:
            self._channels.unreadable(fault, subscription, now)
            in_part = isinstance(fault, WireError) and fault.partial
            if subscription.needs_snapshot and not in_part:
                self._deliver()
                return
        if not first:
            subscription.suspect = False
            if channel.keeps_unparsed:
                self._recognition.learn(subscription.name, said)
        elif used:
            subscription.flows(now)
        if fault is not None:
            self._deliver()
            return
        if first:
            self._deliver((channel,))
            return
        for follower in channel.followers:
            follower.callbacks.drain()

    def _publish(
        self, push: Push, channel: Channel, first: bool, now: float, wall: float
    ) -> bool:
        try:
            return channel.push(push, first, self.era, now, wall)
        except WireError:
            # The channel may need a number's own characters: read the push again that
            # way.
            if (exact := self._around.wire.exactly(push)) is None:
                raise
            return channel.push(exact, first, self.era, now, wall)

    def _may_use(
        self, push: Push, subscription: SubscriptionState[Channel], now: float
    ) -> bool:
        """Whether *push* is used; data may come before its acknowledgement."""
        if subscription.acknowledged:
            return True
        if subscription.incremental and push.action not in ("snapshot", "partial"):
            return False  # an update: it may be of the stream before
        if not self.session.acknowledged_by_data(subscription, now):
            return False
        self._channels.acknowledged(subscription.target, now)
        return True

    def _stray(
        self, push: Push, subscription: SubscriptionState[Channel] | None, now: float
    ) -> None:
        """Count a push that is not used."""
        if subscription is None:
            self._channels.verify_trades(now)
            related = self._around.wire.related(
                push.channel, self.session.subscriptions
            )
            self._channels.stranger(push.channel, related, now)
            self._deliver()
            return
        mending = subscription.breaks > 0
        self._counts.dropped["resynchronising" if mending else "unasked"] += 1

    def _unreadable(self, error: WireError, now: float) -> None:
        """Withdraw the values that a message which could not be read may belong to."""
        self._channels.verify_trades(now)
        meant = self.session.subscriptions.get(error.channel or "")
        if meant is None and error.channel is not None:
            # It names a channel that is not subscribed: see `stranger`.
            related = self._around.wire.related(
                error.channel, self.session.subscriptions
            )
            self._channels.stranger(error.channel, related, now, error)
        else:
            self._channels.unreadable(error, meant, now)
        self._deliver()

    # --- What the session says ------------------------------------------------------

    def _handle(self, events: list[Event], now: float, wall: float) -> None:
        channels = self._channels
        refusals = []
        # What ends several channels at once ends them in one store.
        ended = [
            event.subscription.target
            for event in events
            if isinstance(event, Changed) and event.step is not Step.ACKNOWLEDGED
        ]
        if len(ended) > 1:
            self.era.withdraw(ended, _LEFT)
        for event in events:
            if isinstance(event, Renewed):
                self._renew(event, now, wall)
            elif isinstance(event, Changed):
                channel = event.subscription.target
                if event.error is not None:
                    channels.name_channel(event.error, channel)
                    refusals.append((channel, event.error))
                elif event.step is Step.ACKNOWLEDGED:
                    channels.acknowledged(channel, now)
                else:
                    channels.unsubscribed(channel, now)
            elif isinstance(event, Trouble):
                channels.log(partial(_log_trouble, event.error))
                one = event.subscription
                channels.troubled(event.error, None if one is None else one.target)
            elif isinstance(event, LockedOut):
                channels.locked_out(event.error)
            elif isinstance(event, Held):
                held = [one.target for one in event.subscriptions]
                channels.withheld(held, event.state, event.cause, now)
            elif isinstance(event, Unasked) and event.sentence:
                channels.drop(f"unasked {event.kind}", event.sentence, now)
            elif isinstance(event, Unasked):
                self._counts.dropped[f"unasked {event.kind}"] += 1
        channels.refuse_all(refusals)
        if len(ended) > 1:
            self.era.settle()

    def _note(self, notice: Notice) -> None:
        level = logging.INFO if notice.code == "channel-conn-count" else logging.WARNING
        code, said = map(printable, map(str, self.session.told(notice)))
        text, endpoint = "%s: notice %s: %s", self.endpoint
        self._channels.log(lambda: log.log(level, text, endpoint, code, said))
        if self._around.wire.code(notice.code).advice is Advice.RECONNECT:
            self._channels.ending()

    def _renew(self, event: Renewed, now: float, wall: float) -> None:
        era = self.era
        self._channels.verify_all(now)
        first = era.lease is None
        lapsed = era.lease is not None and not era.lease.holds(now, wall)
        if lapsed and not self._lapse_told:
            # Report the end of the old lease before the new lease begins.
            self._channels.look_again(now)
        # The lapse is in the lease itself: one store renews it for every channel, and
        # begins their new epochs; not if it was over when its pong came.
        runs = event.lease.holds(now, wall)
        lease = event.lease._replace(lapses=era.lapses + (lapsed and runs))
        era.renew(lease, event.proven)
        self._lapse_told = False
        self._around.outage_log.over()
        self._counts.last_pong, self._counts.round_trip = wall, event.round_trip
        overdue = self._channels.overdue(now)
        if first or lapsed or overdue:
            self._channels.look_again(now)
        else:
            # To go on with a lease changes no state, but a pong ends a silence.
            self._channels.ponged(now)
        for subscription in overdue:
            received = subscription.target.current.received
            self.session.overdue(subscription, received, now)
        for subscription in self._channels.silent_trades(now):
            self.session.resubscribe(subscription, now)


def _acknowledged(events: Sequence[Event]) -> list[Channel] | None:
    """The channels of *events*, if nothing but acknowledgements is among them."""
    channels = [
        event.subscription.target
        for event in events
        if isinstance(event, Changed) and event.step is Step.ACKNOWLEDGED
    ]
    return channels if len(channels) == len(events) else None


def _log_trouble(error: OkexWSError) -> None:
    log.warning("%s", error, extra={"event": "trouble"})
