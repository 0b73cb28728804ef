"""The loop of one opening of a connection: each turn sends, waits, reads and handles.

All of it runs on the connection's thread. A turn sends what is due, waits unless there
are frames to handle, and handles some. A failure of the connection is raised and ends
the loop.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple, Protocol

from ..base.clock import Clock
from ..base.counts import Counts
from ..base.errors import BookError, LoginRejected, OkexWSError, WireError, printable
from ..base.throttled_log import LogThrottle, OutageLog
from ..channels.base import Channel
from ..channels.book import BookChannel
from ..model.items import PastBook
from ..net.stream import Network
from ..net.transport import Transport
from ..protocol.interface import WireProtocol
from ..protocol.messages import Push, Unknown
from ..session.events import (
    Acknowledged,
    Ended,
    Event,
    LockedOut,
    Noted,
    Rejected,
    Trouble,
    Unasked,
)
from ..session.session import Session
from ..session.subscription_state import Phase
from ..trust.heartbeat import Renewed
from ..trust.lease import Link
from .conflation import Conflation

log = logging.getLogger("okex_ws")

# A read of fewer bytes took all that had come (`Stream.fill` takes 256 KiB).
FULL_READ = 128 * 1024


class ConnectionContext(NamedTuple):
    """What all openings of one connection share: clock, network, counts, and more."""

    wire: WireProtocol
    handler: Handler
    clock: Clock
    network: Network
    counts: Counts
    outage_log: OutageLog
    throttle: LogThrottle
    is_closing: Callable[[], bool]
    link: Callable[[float], Link] = Link


class Conversation:
    """One opening of a connection: its transport, session, link and unread frames.

    It joins the parts that know nothing of each other: frames of the transport become
    messages, the session answers them, and channels publish the pushes. The
    connection's thread calls `turn` again and again until it raises the loss (an
    `OkexWSError`) or the connection is closed; a new opening has a new object. Before a
    push is handled, the pushes of its channel that came earlier are handled or skipped;
    any other message waits for all pushes before it. A message that cannot be read
    withdraws the values that it may belong to, is counted, and is logged at most once a
    minute.
    """

    def __init__(
        self,
        context: ConnectionContext,
        transport: Transport,
        session: Session[Channel],
        now: float,
        endpoint: str,
    ) -> None:
        self._context = context
        self._handler = context.handler
        self._clock = context.clock
        self._counts = context.counts
        self._endpoint = endpoint
        self.transport = transport
        self.session = session
        self.link = context.link(now)
        # Frames that were read but not handled. Everything that came before *read_at*
        # has been handled; everything before *read_to* will be, once no frame is left.
        self._conflation = Conflation(
            context.wire, session.subscriptions, context.counts
        )
        self._frames = self._conflation.frames
        self._read_at = self._read_to = now
        self._lapse_told = False

    def turn(self) -> None:
        """Do what is due, wait unless frames are left, and handle some frames."""
        session, transport = self.session, self.transport
        now, wall = self._clock.monotonic(), self._clock.wall()
        if now >= session.due:
            for event in session.tick(now, wall, self._read_at):
                self._handle(event, now, wall)
            for text in session.outgoing():
                transport.send(text)
        due = min(session.due, self._look(now, wall))
        if not self._frames:
            self._context.network.wait(max(0.0, due - now), transport.stream)
            self._read(due)
        self._take_some()

    def _read(self, due: float) -> None:
        now, transport = self._clock.monotonic(), self.transport
        if now >= due:
            # If the lease ended during the wait, report that before handling later
            # messages.
            self._look(now, self._clock.wall())
        before = transport.bytes_received
        self._frames.extend(transport.read())
        self.link.heard = transport.heard
        # A read that is not full took all that had come.
        drained = transport.bytes_received - before < FULL_READ
        self._read_to = now if drained else self._read_at

    def _take_some(self) -> None:
        """Handle frames that were read, until the session has something to do.

        So the backlog of a slow callback does not delay the keep-alive. Each turn
        handles at least one frame, even if it is late.
        """
        frames, due, now = self._frames, math.inf, self._clock.monotonic()
        while frames and now < due and not self._context.is_closing():
            try:
                self._take(self._conflation.next(), now)
            except WireError as error:
                self._release(now)
                self._unreadable(error, now)
            if self._conflation.is_full:
                self._release(now)
            if due == math.inf:
                due = self.session.due
            now = self._clock.monotonic()
        self._release(now)
        if not frames:
            self._read_at = self._read_to

    def _release(self, now: float) -> None:
        """Handle the pushes that were held back for newer ones."""
        for said in self._conflation.release():
            try:
                self._take(said, now)
            except WireError as error:
                self._unreadable(error, now)

    def _take(self, said: bytes, now: float) -> None:
        """Parse a frame's text, and handle each message in it."""
        wall = self._clock.wall()
        for message in self._context.wire.read(said):
            if type(message) is Push:
                self._conflation.supersede(message.channel)
                self._push(message, now, wall)
                continue
            self._release(now)
            if isinstance(message, Unknown):
                self._drop("unknown", f"unknown message ({message.name})", now)
                continue
            for event in self.session.receive(message, now):
                self._handle(event, now, wall)

    def _look(self, now: float, wall: float) -> float:
        """Report what time alone has changed, and return when to look again."""
        lease = self.link.lease
        lapsed = lease is not None and not lease.holds(now, wall)
        due = self._handler.due()
        if (lapsed and not self._lapse_told) or due <= now:
            self._lapse_told = lapsed
            self._handler.look_again(now)
            due = self._handler.due()
        return due if lease is None or lapsed else min(due, lease.until)

    def _push(self, push: Push, now: float, wall: float) -> None:
        subscription = self.session.pushed(push.channel)
        if subscription is None:
            asked = self.session.subscriptions.get(push.channel)
            mending = asked is not None and asked.breaks > 0
            self._counts.dropped["resynchronising" if mending else "unasked"] += 1
            return
        first, used = subscription.phase is Phase.ACKED, True
        try:
            try:
                used = subscription.target.push(push, first, self.link, now, wall)
            except WireError:
                # The channel may need a number's own characters: read the push again
                # that way.
                if (exact := self._context.wire.exactly(push)) is None:
                    raise
                used = subscription.target.push(exact, first, self.link, now, wall)
        except (WireError, BookError) as error:
            error.channel = push.channel
            self._unreadable(error, now)
            if subscription.needs_snapshot:
                return
        if not first:
            subscription.suspect = False
            self._conflation.learn(subscription.name, push.text)
        elif used:
            subscription.flows(now)

    def fetched(self, channel: BookChannel, book: PastBook | Exception) -> None:
        """Handle the book that was fetched for *channel*, or the error of the fetch.

        A book is fetched over REST when the channel's stream did not begin with a
        snapshot.
        """
        subscription = self.session.subscriptions.get(channel.name)
        if self.link.lost or subscription is None or subscription.target is not channel:
            return
        now, wall = self._clock.monotonic(), self._clock.wall()
        try:
            if (
                channel.fetched(book, self.link, now, wall)
                and subscription.acknowledged
            ):
                subscription.flows(now)
        except BookError as error:
            error.channel = channel.name
            self._unreadable(error, now)

    def _unreadable(self, error: WireError | BookError, now: float) -> None:
        """Withdraw the values that depend on a message that could not be used.

        The channel is withdrawn before the error is reported, so that a script that
        reads in its error callback finds no old value.
        """
        every, name = self.session.subscriptions, error.channel
        keys = list(every) if name is None else self._context.wire.related(name, every)
        error.redact(self.session.clean)
        self._handler.unreadable(error, keys, now)
        for key in keys:
            self.session.invalidated(key, now)
        self._drop(error.kind, str(error), now, error)

    def _handle(self, event: Event, now: float, wall: float) -> None:
        if isinstance(event, Renewed):
            self._renew(event, now, wall)
        elif isinstance(event, Acknowledged):
            self._handler.acknowledged(event.channel, self.link, now)
        elif isinstance(event, Ended):
            self._handler.unsubscribed(event.channel, self.link, now)
        elif isinstance(event, Rejected):
            self._handler.rejected(event.channel, event.error, now)
        elif isinstance(event, Trouble):
            log.warning("%s", event.error, extra={"event": "trouble"})
            self._handler.troubled(event.error)
        elif isinstance(event, LockedOut):
            self._handler.locked_out(event.error, now)
        elif isinstance(event, Noted):
            self._note(event)
        elif isinstance(event, Unasked) and event.sentence:
            self._drop(f"unasked {event.kind}", event.sentence, now)
        elif isinstance(event, Unasked):
            self._counts.dropped[f"unasked {event.kind}"] += 1

    def _note(self, event: Noted) -> None:
        level = logging.INFO if event.code == "channel-conn-count" else logging.WARNING
        code, said = printable(event.code), printable(event.message)
        log.log(level, "%s: notice %s: %s", self._endpoint, code, said)
        if self._context.wire.announces_end(event.code):
            self._handler.ending()

    def _renew(self, event: Renewed, now: float, wall: float) -> None:
        link = self.link
        lapsed = link.lease is not None and not link.lease.holds(now, wall)
        if lapsed:
            # Report the end of the old lease before the new lease begins.
            self._look(now, wall)
            # Mark the values as stale first, so that no read trusts an old value under
            # the new lease.
            self._handler.lapsed()
        link.lease, link.proven = event.lease, now - event.round_trip
        if lapsed:
            self._handler.renewed()
        self._lapse_told = False
        self._context.outage_log.over()
        self._counts.last_pong, self._counts.round_trip = wall, event.round_trip
        self._handler.look_again(now)
        for name, received in self._handler.overdue(now):
            self.session.overdue(name, received, now)

    def _drop(
        self,
        kind: str,
        sentence: str,
        now: float,
        error: WireError | BookError | None = None,
    ) -> None:
        """Count a message that could not be used, and log it at most once a minute.

        Each *kind* has a minute of its own, and so has each channel that is subscribed.
        """
        self._counts.dropped[kind] += 1
        named = error.channel if error is not None else None
        whose = named if named in self.session.subscriptions else ""
        if self._context.throttle.allows(f"{kind} {whose}", now):
            log.warning("%s", sentence, extra={"event": "dropped"})
            if error is not None:
                self._handler.troubled(error)


class Handler(Protocol):
    """What a connection reports to: its `ConnectionChannels`.

    So the connection's loop needs no knowledge of channels and views. All methods are
    called on the connection's thread, one at a time.
    """

    def opened(self, session: Session[Channel], link: Link, now: float) -> None:
        """The connection is open: subscribe the channels that are wanted on it."""
        ...

    def acknowledged(self, channel: str, link: Link, now: float) -> None:
        """The exchange acknowledged *channel*."""
        ...

    def unsubscribed(self, channel: str, link: Link, now: float) -> None:
        """The exchange unsubscribed *channel* without a request.

        The session will subscribe it again.
        """
        ...

    def rejected(self, channel: str, error: OkexWSError, now: float) -> None:
        """The exchange refused *channel* for good."""
        ...

    def locked_out(self, error: LoginRejected, now: float) -> None:
        """The exchange refused the key for good: fail the connection's channels."""
        ...

    def lapsed(self) -> None:
        """The lease had ended, and is about to be renewed: mark values as stale."""
        ...

    def renewed(self) -> None:
        """The lease has been renewed after its end: the values begin a new epoch."""
        ...

    def look_again(self, now: float) -> None:
        """Report the states that time or a renewed lease has changed."""
        ...

    def overdue(self, now: float) -> Iterable[tuple[str, float]]:
        """The channels that missed the push that the exchange repeats when idle.

        Each with the time of its last push.
        """
        ...

    def due(self) -> float:
        """When `look_again` must be called next, apart from the end of the lease."""
        ...

    def unreadable(
        self, error: WireError | BookError, keys: Collection[str], now: float
    ) -> None:
        """A message could not be read, or broke a book: withdraw values.

        They are those of the channels *keys*, to which the message may belong.
        """
        ...

    def troubled(self, error: OkexWSError) -> None:
        """Something failed that passes: report *error* to the views."""
        ...

    def ending(self) -> None:
        """The exchange announced that it will close the connection soon."""
        ...

    def lost(self, error: OkexWSError, now: float) -> None:
        """The connection, or the attempt to make it, has ended with *error*."""
        ...

    def ended(self, now: float) -> None:
        """The connection was closed, and its thread is about to end."""
        ...
