"""`ReplayNetwork`: connects to recorded connections, and to no host."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

from ..base.clock import Clock
from ..base.errors import ConnectionLost, Stalled
from ..base.log import log
from ..base.rates import RateLimits
from ..base.state import CauseCode
from ..base.threads import Bell
from ..base.worker import LibraryThread
from ..net.stream import public_endpoint
from .matching import ConnectionMatcher
from .peer import Peer
from .script import RecordedConnection
from .virtual_time import ScaledClock, ScheduledThread, TurnThread, VirtualScheduler

# Seconds of the machine's time by which a thread may be late on a busy machine.
LATE = 0.1


class ReplayTime(Protocol):
    """The time that a replay runs in, virtual or scaled, and how threads wait in it."""

    @property
    def clock(self) -> Clock:
        """The monotonic and the wall clock of that time."""
        ...

    @property
    def lateness(self) -> float:
        """Seconds of that time by which a busy machine may delay a thread."""
        ...

    def waiter(self, source: ReplayNetwork) -> Waiter:
        """The `Waiter` for the thread that owns *source*."""
        ...


class Waiter(Protocol):
    """How one connection's thread waits in the time of the replay, and is woken."""

    def thread(self, *parts: Any) -> LibraryThread:
        """The thread of the waiter, from what `LibraryThread` is made of."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when woken, when an event is due, or after *seconds*."""
        ...

    def wake(self) -> None:
        """Cut the present or the next wait short; any thread may call it."""
        ...


class ReplayStream:
    """The client's end of one opening of a replayed connection: a `Stream` by itself.

    There is no socket: it moves bytes between the library's transport and the `Peer`.
    The connection's thread calls it; the scheduler of virtual time also calls `due`,
    while that thread waits. `fill` never waits; it raises the recorded end of the
    opening once all bytes before it were moved.
    """

    def __init__(self, clock: Clock, peer: Peer, endpoint: str) -> None:
        self.received = bytearray()
        self.heard = clock.monotonic()
        self.ready = True
        self.peer = peer
        self._clock = clock
        self._endpoint = endpoint
        self._closed = False

    def due(self) -> float:
        """When `fill` has something to do."""
        if self._closed:
            return math.inf
        if self.ready or self.peer.outbox or self.peer.end is not None:
            return -math.inf
        return self.peer.due()

    def fill(self) -> int:
        """Move the bytes that are due by now into `received`; returns how many.

        Raises the recorded end of the connection once all bytes before it were moved.
        """
        now = self._clock.monotonic()
        self.peer.advance(now)
        count = len(self.peer.outbox)
        self.received += self.peer.outbox
        self.peer.outbox.clear()
        self.ready = bool(count) and self.peer.end is not None
        if count:
            self.heard = now
        elif self._closed:
            why, code = "the connection is closed", CauseCode.CLOSED
            raise ConnectionLost(self._endpoint, why, cause_code=code)
        elif self.peer.end is not None:
            raise self.peer.end
        return count

    def recv(self, size: int) -> bytes:
        """Take up to *size* bytes of the handshake's answer, which is there at once."""
        data = bytes(self.peer.outbox[:size])
        del self.peer.outbox[:size]
        return data

    def send(self, data: bytes) -> int:
        """Pass *data* to the peer at once; returns its size."""
        self.peer.receive(data, self._clock.monotonic(), self._clock.wall())
        return len(data)

    def flush(self) -> None:
        """Do nothing: no data is ever queued."""

    def close(self) -> None:
        """Close the stream: `fill` then raises `ConnectionLost`."""
        self._closed = True

    discard = close

    def fileno(self) -> int:
        """-1: there is no descriptor."""
        return -1


class ReplayNetwork:
    """The `Network` of one connection in a replay: it leads to recorded openings.

    It is also `Staged`: it makes the connection's thread, so that virtual time can run
    the threads in turn, and has the replay's own limit on attempts. That thread calls
    the methods; any thread may call `wake`, and the scheduler of virtual time calls
    `due` while that thread waits. `open` waits until a recorded opening begins, and
    raises what was recorded if that attempt failed, or `Stalled` at its deadline.
    """

    def __init__(
        self, replay_time: ReplayTime, matcher: ConnectionMatcher, turns: RateLimits
    ) -> None:
        self.turns = turns
        self._matcher = matcher
        self._clock = replay_time.clock
        self._lateness = replay_time.lateness
        self._waiter = replay_time.waiter(self)
        self._stream: ReplayStream | None = None
        # When the recorded connection can be had that `open` waits for.
        self._opens_at = math.inf

    def thread(self, name: str, turn: Callable[[], bool], *rest: Any) -> LibraryThread:
        """The thread of the network's owner: what it logs was recorded, and is past."""

        def dated() -> bool:
            log.date_back(self._clock.wall)
            return turn()

        return self._waiter.thread(name, dated, *rest)

    def due(self) -> float:
        """When the next event comes for the network's thread."""
        return self._opens_at if self._stream is None else self._stream.due()

    def open(
        self, url: str, deadline: float, cancelled: Callable[[], bool]
    ) -> ReplayStream:
        """Wait for the next recorded connection of the URL's path, and connect to it.

        If that attempt failed in the recording, this one raises the same error.
        """
        endpoint = public_endpoint(url)
        is_v5 = self._matcher.script.dialect.is_v5
        path = endpoint.rpartition("/")[2] if is_v5 else ""
        connection = self._await(path, endpoint, deadline, cancelled)
        now = self._clock.monotonic()
        if connection.failure is not None:
            self._matcher.take(self, connection, now)
            raise connection.failure.with_traceback(None)
        peer = Peer(self._matcher, self, path, endpoint, self._lateness)
        if len({each.line for each in self._matcher.candidates(self, path, now)}) <= 1:
            # Only one line is left. With several, `Peer` chooses by the channels of the
            # client's first request.
            self._matcher.take(self, connection, now)
            peer.bind(connection, now)
        return ReplayStream(self._clock, peer, endpoint)

    def _await(
        self,
        path: str,
        endpoint: str,
        deadline: float,
        cancelled: Callable[[], bool],
    ) -> RecordedConnection:
        """The next recorded connection of *path*, once it can be had."""
        began, connection, opens_at = self._clock.monotonic(), None, math.inf
        try:
            while not cancelled():
                now = self._clock.monotonic()
                if opens_at > now:
                    found = self._matcher.candidates(self, path, now)
                    opens_at = math.inf
                    if found:
                        connection = min(found, key=self._matcher.opens_at)
                        opens_at = self._matcher.opens_at(connection)
                if connection is not None and opens_at <= now:
                    return connection
                if now >= deadline:
                    what, after = "no connection in the recording", now - began
                    raise Stalled(what, round(after, 3), endpoint=endpoint)
                self._opens_at = opens_at
                self._waiter.wait(deadline - now)
        finally:
            self._opens_at = math.inf
        why, code = "closed while connecting", CauseCode.CLOSED
        raise ConnectionLost(endpoint, why, cause_code=code)

    def wait(self, timeout: float | None, stream: Any = None) -> None:
        """Return when *stream* is due, when woken, or after *timeout* seconds."""
        self._stream = stream
        try:
            self._waiter.wait(math.inf if timeout is None else timeout)
        finally:
            self._stream = None

    def wake(self) -> None:
        """Cut the present or the next wait short; any thread may call it."""
        self._waiter.wake()

    def close(self) -> None:
        """Release the recorded connections that this network has claimed."""
        self._matcher.drop(self)

    discard = close


class VirtualTime:
    """The time of a replay at ``speed='max'``: a scheduler moves its clock."""

    lateness = 0.0

    def __init__(self, scheduler: VirtualScheduler) -> None:
        self.scheduler = scheduler
        self.clock: Clock = scheduler.clock

    def waiter(self, source: ReplayNetwork) -> Waiter:
        """A `Waiter` that passes the turn back to the scheduler."""
        return _VirtualWaiter(self.scheduler, source)


class _VirtualWaiter:
    def __init__(self, scheduler: VirtualScheduler, source: ReplayNetwork) -> None:
        self._scheduler = scheduler
        self._scheduled = ScheduledThread(source)

    def thread(self, *parts: Any) -> LibraryThread:
        return TurnThread(self._scheduler, self._scheduled, *parts)

    def wait(self, seconds: float) -> None:
        self._scheduler.pause(self._scheduled, seconds)

    def wake(self) -> None:
        self._scheduled.woken = True


class ScaledTime:
    """The time of a replay at any other speed: *speed* times as fast as the machine's.

    *lateness* is how late, in that time, a thread may be on a busy machine.
    """

    def __init__(self, clock: ScaledClock) -> None:
        self._scaled = clock
        self.clock: Clock = clock
        self.lateness = LATE * clock.speed

    def waiter(self, source: ReplayNetwork) -> Waiter:
        """A `Waiter` on the machine's clock; it waits *speed* times less."""
        return _ScaledWaiter(self._scaled, source)


class _ScaledWaiter:
    def __init__(self, clock: ScaledClock, source: ReplayNetwork) -> None:
        self._clock = clock
        self._source = source
        self._bell = Bell()

    def thread(self, *parts: Any) -> LibraryThread:
        self._clock.start()
        return LibraryThread(*parts)

    def wait(self, seconds: float) -> None:
        left = min(seconds, self._source.due() - self._clock.monotonic())
        # A minute at most, because a wait cannot be infinite; the caller waits again.
        self._bell.wait(min(max(left, 0.0) / self._clock.speed, 60.0))

    def wake(self) -> None:
        self._bell.ring()
