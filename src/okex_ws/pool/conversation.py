"""One open connection, a turn at a time: what is due, what came, and what it means.

On the connection's thread alone. A turn sends what is due, waits unless there is more
to take in, and takes in some; what breaks is raised, and ends the conversation.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
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

# A read of less than this took all that was there (`Stream.fill` takes 256 KiB).
FULL_READ = 128 * 1024


class ConnectionContext(NamedTuple):
    """What outlives a conversation: it belongs to the connection that has it."""

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
    """What is said on one open connection, from its first word to its end."""

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
        # Read and not taken in yet; what had come by *read_at* has been taken in, and
        # what had come by *read_to* will have been once no frame is left.
        self._conflation = Conflation(
            context.wire, session.subscriptions, context.counts
        )
        self._frames = self._conflation.frames
        self._read_at = self._read_to = now
        self._lapse_told = False

    def turn(self) -> None:
        """Do what is due, wait unless there is more to take in, and take in some."""
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
            # A lease that ended while nobody looked is told before what came after it.
            self._look(now, self._clock.wall())
        before = transport.bytes_received
        self._frames.extend(transport.read())
        self.link.heard = transport.heard
        # Less than a full read took all that there was.
        drained = transport.bytes_received - before < FULL_READ
        self._read_to = now if drained else self._read_at

    def _take_some(self) -> None:
        """Take in what was read, but not past the moment when something is due.

        A backlog of slow callbacks must not hold the keep-alive back; one frame a turn
        is taken however late it is.
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
        """Take in what was held back for something newer."""
        for said in self._conflation.release():
            try:
                self._take(said, now)
            except WireError as error:
                self._unreadable(error, now)

    def _take(self, said: bytes, now: float) -> None:
        """Bring each message in what a frame says to where it belongs."""
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
        """Have what time changed be told; returns when to look again."""
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
                # Perhaps for a number where the wire's own characters are wanted.
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
        """A book came of *channel*, whose stream did not begin with one, or did not."""
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
        """Withdraw what a message may have carried that could not be read, or built on.

        The channel first of all: whoever is told finds it withdrawn.
        """
        error.redact(self.session.clean)
        self._handler.unreadable(error, now)
        self.session.invalidated(error.channel, now)
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
            # The end of the old lease is told before the new one begins.
            self._look(now, wall)
            # Withdrawn first: no reader finds what is old under the new lease.
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
        """Count a message that could not be used; say so once a kind and minute.

        Each channel that is followed has a minute of its own.
        """
        self._counts.dropped[kind] += 1
        named = error.channel if error is not None else None
        whose = named if named in self.session.subscriptions else ""
        if self._context.throttle.allows(f"{kind} {whose}", now):
            log.warning("%s", sentence, extra={"event": "dropped"})
            if error is not None:
                self._handler.troubled(error)


class Handler(Protocol):
    """Whose connection it is. All of it is called on the connection's thread."""

    def opened(self, session: Session[Channel], link: Link, now: float) -> None:
        """The connection is open: say what is wanted."""
        ...

    def acknowledged(self, channel: str, link: Link, now: float) -> None:
        """The exchange acknowledged *channel*."""
        ...

    def unsubscribed(self, channel: str, link: Link, now: float) -> None:
        """The exchange ended *channel* unasked; it will be asked for again."""
        ...

    def rejected(self, channel: str, error: OkexWSError, now: float) -> None:
        """The exchange refused *channel* for good."""
        ...

    def locked_out(self, error: LoginRejected, now: float) -> None:
        """The exchange refused the key for good: nothing can be had here."""
        ...

    def lapsed(self) -> None:
        """A lease that had ended is about to be renewed."""
        ...

    def renewed(self) -> None:
        """It is: what it vouches for is a new epoch."""
        ...

    def look_again(self, now: float) -> None:
        """Time, or a new lease, may have changed the state of anything."""
        ...

    def overdue(self, now: float) -> Iterable[tuple[str, float]]:
        """Channels that missed what an idle one repeats, and when each was pushed."""
        ...

    def due(self) -> float:
        """When `look_again` is to be called at the latest, the lease's end aside."""
        ...

    def unreadable(self, error: WireError | BookError, now: float) -> None:
        """A message could not be read, of any channel or of one, or broke a book."""
        ...

    def troubled(self, error: OkexWSError) -> None:
        """Something went wrong that passes."""
        ...

    def ending(self) -> None:
        """The exchange says that it will close the connection soon."""
        ...

    def lost(self, error: OkexWSError, now: float) -> None:
        """The connection, or the attempt at one, ended."""
        ...

    def ended(self, now: float) -> None:
        """The thread is about to end."""
        ...
