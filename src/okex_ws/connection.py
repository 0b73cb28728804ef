"""The thread of one connection: connect, converse, back off, repeat.

All socket I/O of a connection happens on its thread; others hand it work and wake it.
It never gives up, never spins, and ends for one reason only: it was closed.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from .channel import Channel
from .counters import Counts, cause_of
from .errors import ConnectionLost, HandshakeFailed, OkexWSError, WireError
from .handler import Handler
from .heartbeat import Renewed
from .http_answer import MAX_RETRY_AFTER
from .library import mark_library_thread
from .line import Phase
from .messages import Push, Unknown
from .outage import OnceAMinute, Outage
from .protocols import Wire
from .session import Acknowledged, Ended, Event, Rejected, Session, Trouble, Unasked
from .stream import Network, public_endpoint
from .timing import Budget, Clock, HostGap, Ping, Reconnect, Timeouts, backoff
from .transport import Frame, Transport
from .trust import Link
from .venues import Venue

log = logging.getLogger("okex_ws")

# Connection attempts to one host are a gap apart, over all feeds of the process.
HOST_GAP = HostGap()
# A read of less than this took all that was there (`Stream.fill` takes 256 KiB).
FULL_READ = 128 * 1024
HOUR = 3600.0


class Settings(NamedTuple):
    """How a connection behaves, and what is injected into it."""

    clock: Clock
    network: Callable[[], Network]
    rng: random.Random
    ping: Ping
    timeouts: Timeouts
    reconnect: Reconnect


class Conversation(NamedTuple):
    """An open connection."""

    session: Session[Channel]
    link: Link
    transport: Transport


class Connection:
    """One connection to *venue*, for as long as it is not closed."""

    def __init__(
        self, venue: Venue, wire: Wire, handler: Handler, settings: Settings, name: str
    ) -> None:
        self._venue = venue
        self._wire = wire
        self._handler = handler
        self._settings = settings
        self._clock = settings.clock
        self._network = settings.network()
        self._work: deque[Callable[[], None]] = deque()
        self._closing = False
        self._ended = False
        self._endpoints = 0
        self._waits = self._new_waits()
        self._not_before = -math.inf
        self._outage = Outage()
        self._quiet = OnceAMinute()
        # Read and not taken in yet; what had come by *read_at* has been taken in, and
        # what had come by *read_to* will have been once no frame is left.
        self._frames: deque[Frame] = deque()
        self._read_at = self._read_to = 0.0
        self._lapse_told = False
        self.conversation: Conversation | None = None
        self.counts = Counts()
        # A daemon: a script that ends without close() is not kept alive by its feed.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    # --- From any thread ------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Have *work* done on the connection's thread, in order; here, if it ended."""
        self._work.append(work)
        self._network.wake()
        if self._ended:
            self._do_work()

    def close(self) -> None:
        """Have the thread end; returns at once."""
        self._closing = True
        self._network.wake()

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread's end; False if it has not come in time."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def discard(self) -> None:
        """In a forked child: close the descriptors without a word to the peer."""
        self._closing = True
        if self.conversation is not None:
            self.conversation.transport.stream.discard()
        self._network.discard()

    # --- The thread -----------------------------------------------------------------

    def _run(self) -> None:
        mark_library_thread()
        try:
            while not self._closing:
                self._attempt()
        finally:
            self._ended = True
            self._handler.ended(self._clock.monotonic())
            self._do_work()
            self._network.close()

    def _is_closing(self) -> bool:
        return self._closing

    def _attempt(self) -> None:
        """One connection, from its turn to its end."""
        url = self._venue.endpoints[self._endpoints % len(self._venue.endpoints)]
        if not self._await_turn(url):
            return
        started = self._clock.monotonic()
        opened_at = None
        try:
            deadline = started + self._settings.timeouts.connect
            transport = Transport.open(self._network, url, deadline, self._is_closing)
            opened_at = self._clock.monotonic()
            log.info(
                "connected to %s%s",
                public_endpoint(url),
                self._outage.note(opened_at),
            )
            self._converse(transport, opened_at)
        except OkexWSError as error:
            self._lost(url, error, opened_at)
        except Exception as bug:
            endpoint = public_endpoint(url)
            log.exception("internal error on the connection to %s", endpoint)
            lost = ConnectionLost(endpoint, f"internal error: {bug!r}")
            lost.__cause__ = bug
            self._lost(url, lost, opened_at)

    def _await_turn(self, url: str) -> bool:
        """Wait out the back-off, then for the host's turn; False if closed."""
        if not self._idle_until(self._not_before):
            return False
        gap = self._settings.reconnect.host_gap
        if gap is None:
            gap = self._venue.host_gap
        host = urlsplit(url).hostname or ""
        # A turn is taken when it has come: one who is closed meanwhile keeps no other.
        while (turn := HOST_GAP.take(host, gap, self._clock.monotonic())) is not None:
            if not self._idle_until(turn):
                return False
        return True

    def _idle_until(self, moment: float) -> bool:
        while not self._closing:
            self._do_work()
            left = moment - self._clock.monotonic()
            if left <= 0:
                return True
            self._network.wait(left)
        return False

    def _do_work(self) -> None:
        # What the work itself submits is for the next turn: nobody holds the line up.
        for _ in range(len(self._work)):
            try:
                work = self._work.popleft()
            except IndexError:  # at the end, `submit` may have done it
                return
            work()

    def _new_waits(self) -> Iterator[float]:
        policy = self._settings.reconnect
        return backoff(policy.first, policy.cap, self._settings.rng)

    # --- The conversation -----------------------------------------------------------

    def _converse(self, transport: Transport, now: float) -> None:
        # Stay below the limit: the venue's hour need not begin where ours does.
        budget = Budget(max(1, self._venue.requests_per_hour - 1), HOUR)
        settings = self._settings
        session: Session[Channel] = Session(
            self._wire, settings.ping, settings.timeouts, budget, now
        )
        link = Link(now)
        self._frames.clear()
        self._read_at = self._read_to = now
        self._lapse_told = False
        self.conversation = Conversation(session, link, transport)
        try:
            self._handler.opened(session, link, now)
            while not self._closing:
                self._turn(self.conversation)
            self._part(transport)
        finally:
            # The one store that withdraws everything that came over this connection.
            link.lost = True
            self.counts.bytes += transport.bytes_received
            self.conversation = None
            transport.close()

    def _turn(self, conversation: Conversation) -> None:
        """Do what is due, wait unless there is more to take in, and take in some."""
        session, link, transport = conversation
        self._do_work()
        now, wall = self._clock.monotonic(), self._clock.wall()
        if now >= session.due:
            for event in session.tick(now, wall, self._read_at):
                self._handle(event, link, now, wall)
            for text in session.outgoing():
                transport.send(text)
        due = min(session.due, self._look(link, now, wall))
        if not self._frames:
            self._network.wait(max(0.0, due - now), transport.stream)
            self._read(link, transport, due)
        self._take_some(session, link)

    def _read(self, link: Link, transport: Transport, due: float) -> None:
        now = self._clock.monotonic()
        if now >= due:
            # A lease that ended while nobody looked is told before what came after it.
            self._look(link, now, self._clock.wall())
        before = transport.bytes_received
        self._frames.extend(transport.read())
        link.heard = transport.heard
        # Less than a full read took all that there was.
        drained = transport.bytes_received - before < FULL_READ
        self._read_to = now if drained else self._read_at

    def _take_some(self, session: Session[Channel], link: Link) -> None:
        """Take in what was read, but not past the moment when something is due.

        A backlog of slow callbacks must not hold the keep-alive back; one frame a turn
        is taken however late it is.
        """
        frames, clock = self._frames, self._clock
        due = math.inf
        while frames and not self._closing:
            now = clock.monotonic()
            if now >= due:
                return
            self._take(frames.popleft(), session, link, now)
            if due == math.inf:
                due = session.due
        if not frames:
            self._read_at = self._read_to

    def _look(self, link: Link, now: float, wall: float) -> float:
        """Have what time changed be told; returns when to look again."""
        lease = link.lease
        lapsed = lease is not None and not lease.holds(now, wall)
        due = self._handler.due()
        if (lapsed and not self._lapse_told) or due <= now:
            self._lapse_told = lapsed
            self._handler.look_again(now)
            due = self._handler.due()
        return due if lease is None or lapsed else min(due, lease.until)

    def _take(
        self, frame: Frame, session: Session[Channel], link: Link, now: float
    ) -> None:
        """One frame: decode it, and bring each message to where it belongs."""
        wall = self._clock.wall()
        self.counts.messages += 1
        try:
            messages = self._wire.decode(frame.payload, frame.binary)
        except WireError as error:
            self._unreadable(error, session, now)
            return
        for message in messages:
            if isinstance(message, Push):
                self._push(message, session, link, now, wall)
            elif isinstance(message, Unknown):
                self._drop("unknown", f"unknown message ({message.name})", now)
            else:
                for event in session.receive(message, now):
                    self._handle(event, link, now, wall)

    def _push(
        self,
        push: Push,
        session: Session[Channel],
        link: Link,
        now: float,
        wall: float,
    ) -> None:
        line = session.pushed(push.channel)
        if line is None:
            self.counts.dropped["unasked"] += 1
            return
        first = line.phase is Phase.ACKED
        try:
            line.target.push(push, first, link, now, wall)
        except WireError as error:
            error.channel = push.channel
            self._unreadable(error, session, now)
            if line.owes:
                return
        if first:
            line.flows()

    def _unreadable(
        self, error: WireError, session: Session[Channel], now: float
    ) -> None:
        """Withdraw what a message may have carried that could not be read."""
        self._drop(error.kind, str(error), now, error)
        session.spoiled(error.channel, now)
        self._handler.unreadable(error, now)

    def _handle(self, event: Event, link: Link, now: float, wall: float) -> None:
        if isinstance(event, Renewed):
            self._renew(event, link, now, wall)
        elif isinstance(event, Acknowledged):
            self._handler.acknowledged(event.channel, link, now)
        elif isinstance(event, Ended):
            self._handler.unsubscribed(event.channel, link, now)
        elif isinstance(event, Rejected):
            self._handler.rejected(event.channel, event.error, now)
        elif isinstance(event, Trouble):
            log.warning("%s", event.error)
            self._handler.troubled(event.error)
        elif isinstance(event, Unasked) and event.sentence:
            self._drop(f"unasked {event.kind}", event.sentence, now)
        elif isinstance(event, Unasked):
            self.counts.dropped[f"unasked {event.kind}"] += 1

    def _renew(self, event: Renewed, link: Link, now: float, wall: float) -> None:
        if link.lease is not None and not link.lease.holds(now, wall):
            # The end of the old lease is told before the new one begins.
            self._look(link, now, wall)
            # The epoch first: a reader that sees the new lease sees the new epoch.
            self._handler.lapsed()
        link.lease = event.lease
        self._lapse_told = False
        self._outage.over()
        self.counts.last_pong, self.counts.round_trip = wall, event.round_trip
        self._handler.look_again(now)

    def _drop(
        self, kind: str, sentence: str, now: float, error: WireError | None = None
    ) -> None:
        """Count a message that could not be used; say so once a kind and minute."""
        self.counts.dropped[kind] += 1
        if self._quiet.may_say(kind, now):
            log.warning("%s", sentence)
            if error is not None:
                self._handler.troubled(error)

    # --- The end --------------------------------------------------------------------

    def _part(self, transport: Transport) -> None:
        """Say goodbye as the protocol asks, in bounded time."""
        transport.begin_close()
        deadline = self._clock.monotonic() + self._settings.timeouts.goodbye
        transport.finish_close(self._clock, deadline)

    def _lost(self, url: str, error: OkexWSError, opened_at: float | None) -> None:
        """Withdraw, say so, and choose when and where to try again."""
        if self._closing:
            return
        now = self._clock.monotonic()
        self.counts.reconnects[cause_of(error)] += 1
        self._handler.lost(error, now)
        healthy = self._settings.reconnect.healthy_after
        if opened_at is not None and now - opened_at >= healthy:
            self._waits = self._new_waits()
        self._outage.say(public_endpoint(url), error, now)
        self._handler.troubled(error)
        self._endpoints += 1
        wish = error.retry_after if isinstance(error, HandshakeFailed) else None
        wait = max(next(self._waits), min(wish or 0.0, MAX_RETRY_AFTER))
        self._not_before = now + wait
