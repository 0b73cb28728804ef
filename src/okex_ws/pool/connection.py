"""One connection and its thread: connect, run the loop, back off, repeat.

All socket I/O of a connection happens on its thread. Other threads submit jobs to it
and wake it. The thread retries for ever, at a bounded rate, and ends only when the
connection is closed.
"""

from __future__ import annotations

import math
import random
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import NamedTuple
from urllib.parse import urlsplit

from ..base.clock import Clock
from ..base.counts import cause_of
from ..base.errors import ConnectionLost, HandshakeFailed, LoginRejected, OkexWSError
from ..base.log import log
from ..base.rates import RateLimit, RateLimits
from ..base.retry import Endpoints, Ping, Reconnect, Timeouts, backoff
from ..base.state import Cause, CauseCode
from ..base.threads import forks, heed_fork
from ..base.throttled_log import OutageLog
from ..base.worker import LibraryThread
from ..channels.base import Channel
from ..model.credentials import Credentials
from ..model.exchange_codes import Advice, key_remedies
from ..model.redaction import make_clean
from ..model.reports import ConnectionReport
from ..model.venues import Venue
from ..net.http_head import MAX_RETRY_AFTER
from ..net.stream import Network, Staged, public_endpoint
from ..net.transport import Transport
from ..protocol.interface import WireProtocol
from ..protocol.messages import SocketPath
from ..recording.recorder import Recorder
from ..recording.tap import RecordingTap, describe, open_transport
from ..session.login import Login
from ..session.session import Session
from ..trust.lease import Era
from .connection_channels import ConnectionChannels
from .opening import Opening, Surroundings

# All feeds of the process share it: connection attempts to one host are a gap apart.
HOST_GAP = RateLimits()
HOUR = 3600.0

NO_PLAINTEXT = (
    "credentials are sent over TLS (wss://), or to this machine without a proxy;"
    " allow_plaintext=True sends them all the same"
)


class Settings(NamedTuple):
    """What a connection is made with: clock, network, random numbers, timing, recorder.

    *network* is a callable that makes the network of one connection. *era* is one that
    makes the `Era` of one opening, at a given monotonic time. *open_transport* opens
    the transport of one opening.
    """

    clock: Clock
    network: Callable[[], Network]
    rng: random.Random
    ping: Ping
    timeouts: Timeouts
    reconnect: Reconnect
    era: Callable[[float], Era] = Era
    recorder: Recorder | None = None
    allow_plaintext: bool = False
    keeps_unparsed: bool = True
    coalesce: float = 0.0
    open_transport: Callable[..., Transport] = open_transport


_BUG = Cause(CauseCode.INTERNAL, "internal error")


def fatal(
    error: OkexWSError, login: Login | None, wire: WireProtocol
) -> LoginRejected | None:
    """The refusal of the key of *login*, if the close code says so; else ``None``.

    It fails the channels that need the key, not the connection. All other reasons for
    which a connection ends (a refused handshake, a proxy, a name, a certificate) may be
    mended from outside at any time, so the connection is tried again at a bounded rate.
    """
    if login is None or not isinstance(error, ConnectionLost) or error.code is None:
        return None
    known = wire.code(error.code)
    refused = login.asked and known.advice is Advice.LOGIN_ENDED
    if not (refused or known.advice.refuses_key):
        return None
    return login.refusal(known, error.code, error.reason)


class Connection:
    """One connection of a feed and its thread, which opens it again until it is closed.

    It leads to one *path* of *venue*, and outlasts its openings: each of them, from its
    handshake to its loss, has an `Opening` and an `Era` of its own. *channels* are what
    lives on it, and are called on this thread. Other threads only start and close it,
    wait for its end, ask for a report, and submit jobs; jobs run in order on this
    thread, also while it waits to connect. After the end of this thread, `submit` runs
    the job itself.

    No failure of the network ends the thread. A loss is reported to *channels* and
    logged, and the next attempt follows after a wait that grows with each failure, at
    the next endpoint unless the opening was healthy (it lasted for
    `Reconnect.healthy_after` seconds). An internal error counts as a loss: it withdraws
    all that came over the opening. Only if the exchange refuses the key do the channels
    fail for good. *crowded* is a callable for the case that the exchange finds the
    channels of this connection too many.
    """

    def __init__(
        self,
        venue: Venue,
        wire: WireProtocol,
        path: SocketPath,
        channels: ConnectionChannels,
        settings: Settings,
        name: str,
        credentials: Credentials | None = None,
        crowded: Callable[[Connection], None] = lambda connection: None,
    ) -> None:
        self._venue = venue
        self.path = path
        # How many channels the exchange bears on this connection, and why it was given
        # up.
        self.most = math.inf
        # The most channels in one request, and how many a request of the last opening
        # had.
        self._max_batch, self._largest_batch = math.inf, 0
        self.error: OkexWSError | None = None
        self.channels = channels
        channels.carrier = self
        self._crowded = crowded
        # One below the limit, because the venue's hour may begin at another moment than
        # ours.
        self._requests_per_hour = max(1, venue.requests_per_hour - 1)
        self._credentials, self._clean = credentials, make_clean(credentials)
        self._wire = wire
        self._settings, self._clock = settings, settings.clock
        self._network = settings.network()
        self._work: deque[Callable[[], None]] = deque()
        self._closing = self._ended = False
        self._endpoints = Endpoints(venue.endpoints)
        self._waits = self._new_waits()
        self._not_before = -math.inf
        self._outage_log = OutageLog()
        self.opening: Opening | None = None
        self.counts = channels.counts
        self._tap = self._make_tap(settings.recorder)
        # A network in virtual time has threads and limits for hosts of its own.
        staged = self._network if isinstance(self._network, Staged) else None
        self._turns = HOST_GAP if staged is None else staged.turns
        make = LibraryThread if staged is None else staged.thread
        self.thread = make(name, self._turn, self._end, self._survive)

    def _make_tap(self, recorder: Recorder | None) -> RecordingTap | None:
        if recorder is None:
            return None
        facts = describe(self._venue, self.path.name)
        tell = self._tell_trouble
        ask = self._ask_for_keyframe
        return recorder.tap(self._clock, facts, self._credentials, tell, ask)

    # --- From any thread ------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def submit(self, work: Callable[[], None]) -> None:
        """Run *work* on the connection's thread, in order of submission.

        If that thread has ended, `submit` runs the job itself.
        """
        self._work.append(work)
        self._network.wake()
        if self._ended:
            self._do_work()

    def close(self) -> None:
        """Ask the thread to end; returns at once."""
        self._closing = True
        if (opening := self.opening) is not None:
            opening.closing = True
        self._network.wake()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread, as `LibraryThread.join` does."""
        return self.thread.join(timeout)

    def report(self, channels: int, depths: int) -> ConnectionReport:
        """The connection's state, and what the exchange's limits still allow it."""
        now, opening = self._clock.monotonic(), self.opening
        url = self._wire.url(self._endpoints.present, self.path)
        left, wait = (
            (self._requests_per_hour, 0.0)
            if opening is None
            else opening.session.budget.outlook(now)
        )
        return ConnectionReport(
            public_endpoint(url),
            opening is not None,
            channels,
            depths,
            left,
            wait,
            self._turns.wait(urlsplit(url).hostname or "", now),
        )

    def discard(self) -> None:
        """Close the descriptors without sending anything to the exchange.

        For a forked child, whose parent still uses the connection, and for a connection
        whose thread was not started.
        """
        self._closing = True
        if not self.thread.started:
            self._ended = True  # `submit` runs the job itself
        self.thread.forked()
        if self.opening is not None:
            self.opening.transport.stream.discard()
        self._network.discard()

    # --- The thread -----------------------------------------------------------------

    def _turn(self) -> bool:
        if not self._closing:
            self._attempt()
        return not self._closing

    def _end(self) -> None:
        self._ended = True
        for last in (self.channels.ended, self._do_work, self._network.close):
            with suppress(BaseException):
                last()

    def _survive(self, bug: BaseException) -> None:
        """End the opening, log *bug*, and have the next attempt follow after a wait.

        Something failed in handling a failure.
        """
        self._end_opening()
        self._not_before = self._clock.monotonic() + next(self._waits)
        endpoint = public_endpoint(self._wire.url(self._endpoints.present, self.path))
        self._say_bug(self._internal_error(endpoint, bug), bug)
        self.channels.drain()

    def _is_closing(self) -> bool:
        return self._closing

    def _attempt(self) -> None:
        """Make one connection, from the wait for its turn to its end."""
        url = self._wire.url(self._endpoints.present, self.path)
        if not self._await_turn(url):
            return
        started = self._clock.monotonic()
        opened_at = None
        try:
            deadline = started + self._settings.timeouts.connect
            transport = self._settings.open_transport(
                self._network,
                url,
                deadline,
                self._is_closing,
                self._tap,
                self._wire.max_frame,
                self._clean,
            )
            try:
                self._check_private(transport, url)
                opened_at = self._clock.monotonic()
                log.info(
                    "connected to %s%s",
                    public_endpoint(url),
                    self._outage_log.note(opened_at),
                )
                self._converse(transport, opened_at, url)
            finally:
                transport.close()
            self._end_tap(url, None)
        except OkexWSError as error:
            self._lost(url, error, opened_at)
        except BaseException as bug:
            lost = self._internal_error(public_endpoint(url), bug)
            self._lost(url, lost, opened_at)
            self._say_bug(lost, bug)
        self.channels.drain()

    def _check_private(self, transport: Transport, url: str) -> None:
        """Raise if another machine could read the key: before anything is sent.

        ``localhost`` may be looked up as an address of another machine, and a network
        that the script made may have a proxy.
        """
        has_key = self._credentials is not None and not self._settings.allow_plaintext
        if has_key and not transport.is_private:
            endpoint, code = public_endpoint(url), CauseCode.LOGIN
            raise ConnectionLost(endpoint, NO_PLAINTEXT, cause_code=code)

    def _internal_error(self, endpoint: str, bug: BaseException) -> ConnectionLost:
        """The loss that *bug* counts as.

        With a key *bug* is not chained: its text, or that of the exception before it,
        may repeat what the exchange sent.
        """
        reason = f"internal error: {self._clean(repr(bug))}"
        lost = ConnectionLost(endpoint, reason, cause_code=CauseCode.INTERNAL)
        if self._credentials is None:
            lost.__cause__ = bug
        return lost

    def _say_bug(self, lost: ConnectionLost, bug: BaseException) -> None:
        """Log *bug*, with a key only where it was raised, and its cleaned text."""
        sentence = "internal error on the connection to %s: %s\n%s"
        if self._credentials is None:
            where = "".join(traceback.format_exception(bug))
        else:
            where = "".join(traceback.format_tb(bug.__traceback__))
        log.error(sentence, lost.endpoint, lost.reason, where)

    def _await_turn(self, url: str) -> bool:
        """Wait for the back-off, then for the host's turn; False if closed."""
        if not self._idle_until(self._not_before):
            return False
        gap = self._settings.reconnect.host_gap
        if gap is None:
            gap = self._venue.host_gap
        host = urlsplit(url).hostname or ""
        # A turn is taken only when it has come, so that a connection that is closed
        # while it waits delays no other connection.
        turns = self._turns
        while (turn := turns.take(host, 1, gap, now := self._clock.monotonic())) > now:
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
        if forks.number != forks.heeded:
            heed_fork()
        if not self._work:
            return  # each step delivers what it queues
        # Jobs that are submitted while jobs run wait for the next pass, so that one job
        # cannot starve the socket.
        for _ in range(len(self._work)):
            try:
                work = self._work.popleft()
            except IndexError:  # after the thread's end `submit` may have run the job
                break
            work()
        self.channels.drain()

    def _new_waits(self) -> Iterator[float]:
        policy = self._settings.reconnect
        return backoff(policy.first, policy.cap, self._settings.rng)

    # --- While it is open -----------------------------------------------------------

    def _converse(self, transport: Transport, now: float, url: str) -> None:
        settings, login = self._settings, self._login(transport)
        session = self._new_session(login, now)
        around = Surroundings(
            self._wire,
            self.channels,
            self._clock,
            self._network,
            self._outage_log,
            settings.era,
            settings.keeps_unparsed,
            settings.coalesce,
        )
        opening = Opening(around, transport, session, now, public_endpoint(url))
        self.opening = opening
        try:
            self.channels.opened(session, opening.era, now)
            self.channels.drain()
            while not self._closing:
                self._do_work()
                opening.turn()
            self._say_goodbye(transport)
        except OkexWSError as error:
            error.endpoint = error.endpoint or opening.endpoint
            opening.era.lose(error.cause)
            # The exchange closed without an error message before. If the channels did
            # not fail here, the refused key would be sent again and again.
            if (refused := fatal(error, login, self._wire)) is not None:
                self.channels.locked_out(refused)
            raise
        except BaseException:
            opening.era.lose(_BUG)
            raise
        finally:
            self._end_opening()

    def _new_session(self, login: Login | None, now: float) -> Session[Channel]:
        settings, budget = self._settings, RateLimit(self._requests_per_hour, HOUR)
        times, most = (settings.ping, settings.timeouts), self._max_batch
        return Session(self._wire, *times, budget, now, login, most)

    def _end_opening(self) -> None:
        """Close the present opening; again, if a fault cut the call before short."""
        if (opening := self.opening) is not None:
            # This one store withdraws every value that came over this connection.
            opening.era.lose()
            opening.transport.close()
            self._largest_batch = opening.session.largest_batch
            self.opening = None
            self.counts.bytes += opening.transport.bytes_received

    def _login(self, transport: Transport) -> Login | None:
        credentials = self._credentials
        if credentials is None:
            return None
        # The exchange accepts a login's time within 30 s of its own clock. The Date of
        # its handshake tells how far that clock is ahead of ours.
        date = transport.server_date
        ahead = 0.0 if date is None else date - self._clock.wall()

        def text(wall: float) -> str:
            return self._wire.login(credentials, wall + ahead)

        cap = self._settings.timeouts.retry_cap
        return Login(text, cap, self._clean, key_remedies(self._venue))

    def _ask_for_keyframe(self) -> None:
        if not self._ended:
            self.submit(self._take_keyframe)

    def _take_keyframe(self) -> None:
        """Record what stands on the opening, once all that was read is handled."""
        opening, tap = self.opening, self._tap
        if opening is None or tap is None:
            return
        if opening.is_behind:
            self.submit(self._take_keyframe)
        else:
            self.channels.write_keyframe(tap, self._clock.monotonic())

    # --- The end --------------------------------------------------------------------

    def _end_tap(self, url: str, error: OkexWSError | None) -> None:
        if self._tap is not None:
            self._tap.ended(public_endpoint(url), error)

    def _tell_trouble(self, error: OkexWSError) -> None:
        if not self._ended:
            self.submit(lambda: self.channels.troubled(error))

    def _say_goodbye(self, transport: Transport) -> None:
        """Do the closing handshake of WebSocket, for `Timeouts.goodbye` at most."""
        transport.begin_close()
        deadline = self._clock.monotonic() + self._settings.timeouts.goodbye
        transport.finish_close(self._clock, deadline)

    def _lost(self, url: str, error: OkexWSError, opened_at: float | None) -> None:
        """Report the loss to the channels; choose when and where to connect again."""
        self._end_opening()
        self._end_tap(url, None if self._closing else error)
        if self._closing:
            return
        now = self._clock.monotonic()
        self.counts.reconnects[cause_of(error)] += 1
        if opened_at is None:
            fact = self._venue.advice(self._endpoints.present)
            error.advice = "; ".join(filter(None, (error.advice, fact)))
        self.channels.lost(error, now)
        code = error.code if isinstance(error, ConnectionLost) else None
        advice = self._wire.code(code).advice
        if advice is Advice.FEWER_CHANNELS:
            self._crowded(self)
        elif advice is Advice.SMALLER_REQUESTS:
            self._max_batch = max(1, self._largest_batch // 2)
        enough = self._settings.reconnect.healthy_after
        healthy = opened_at is not None and now - opened_at >= enough
        if healthy:
            self._waits = self._new_waits()
        self._endpoints.lost(healthy)
        wish = error.retry_after if isinstance(error, HandshakeFailed) else None
        wait = max(next(self._waits), min(wish or 0.0, MAX_RETRY_AFTER))
        self._not_before = now + wait
        self.channels.troubled(error)
        self._outage_log.log_loss(public_endpoint(url), error, now)
