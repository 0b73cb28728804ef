"""The network of a replay: connections are made to the script, and to no host."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, Protocol

from ..base.clock import Clock
from ..base.errors import ConnectionLost, Stalled
from ..base.rates import HostGap
from ..net.stream import public_endpoint
from .matching import ConnectionMatcher
from .peer import Peer
from .script import RecordedConnection
from .virtual_time import ScaledClock, ScheduledThread, VirtualScheduler

# What a busy machine may be late, in seconds of its own.
LATE = 0.1


class ReplayTime(Protocol):
    """Whose time it is, and how one waits in it."""

    @property
    def clock(self) -> Clock:
        """Both of its clocks."""
        ...

    @property
    def lateness(self) -> float:
        """Seconds of that time by which a thread may be late through no fault."""
        ...

    def waiter(self, source: ReplayNetwork) -> Waiter:
        """How the thread that owns *source* waits."""
        ...


class Waiter(Protocol):
    """How one connection's thread waits."""

    def thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        """See `stream.Staged.thread`."""
        ...

    def wait(self, seconds: float) -> None:
        """Return when woken, when something is due, or after so long."""
        ...

    def wake(self) -> None:
        """Cut the present or the next wait short; any thread."""
        ...


class ReplayStream:
    """The client's end of a replayed connection: a `stream.Stream`."""

    def __init__(self, clock: Clock, peer: Peer, endpoint: str) -> None:
        self.received = bytearray()
        self.heard = clock.monotonic()
        self.ready = True
        self.peer = peer
        self._clock = clock
        self._endpoint = endpoint
        self._closed = False

    def due(self) -> float:
        """When a `fill` brings something."""
        if self._closed:
            return math.inf
        if self.ready or self.peer.outbox or self.peer.end is not None:
            return -math.inf
        return self.peer.due()

    def fill(self) -> int:
        """See `Stream.fill`."""
        now = self._clock.monotonic()
        self.peer.advance(now)
        count = len(self.peer.outbox)
        self.received += self.peer.outbox
        self.peer.outbox.clear()
        self.ready = bool(count) and self.peer.end is not None
        if count:
            self.heard = now
        elif self._closed:
            raise ConnectionLost(self._endpoint, "the connection is closed")
        elif self.peer.end is not None:
            raise self.peer.end
        return count

    def recv(self, size: int) -> bytes:
        """See `Stream.recv`; what is asked for here is there at once."""
        data = bytes(self.peer.outbox[:size])
        del self.peer.outbox[:size]
        return data

    def send(self, data: bytes) -> int:
        """See `Stream.send`."""
        self.peer.receive(data, self._clock.monotonic(), self._clock.wall())
        return len(data)

    def flush(self) -> None:
        """Nothing is ever queued."""

    def close(self) -> None:
        """See `Stream.close`."""
        self._closed = True

    discard = close

    def fileno(self) -> int:
        """There is no descriptor."""
        return -1


class ReplayNetwork:
    """A `stream.Network`, and a `stream.Staged` one, of one connection's thread."""

    def __init__(
        self, replay_time: ReplayTime, matcher: ConnectionMatcher, turns: HostGap
    ) -> None:
        self.turns = turns
        self._matcher = matcher
        self._clock = replay_time.clock
        self._lateness = replay_time.lateness
        self._waiter = replay_time.waiter(self)
        self._stream: ReplayStream | None = None
        # When the connection will be open that it waits for.
        self._opens_at = math.inf

    def thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        """See `stream.Staged.thread`."""
        return self._waiter.thread(run, name)

    def due(self) -> float:
        """When something comes for its thread."""
        return self._opens_at if self._stream is None else self._stream.due()

    def open(
        self, url: str, deadline: float, cancelled: Callable[[], bool]
    ) -> ReplayStream:
        """See `Network.open`: wait for the next recorded connection of its path."""
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
            # Else what it asks for will tell which one it is.
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
        """The next session of *path*, once it has begun."""
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
                    what = f"{endpoint}: no connection in the recording"
                    raise Stalled(what, round(now - began, 3))
                self._opens_at = opens_at
                self._waiter.wait(deadline - now)
        finally:
            self._opens_at = math.inf
        raise ConnectionLost(endpoint, "closed while connecting")

    def wait(self, timeout: float | None, stream: Any = None) -> None:
        """See `Network.wait`."""
        self._stream = stream
        try:
            self._waiter.wait(math.inf if timeout is None else timeout)
        finally:
            self._stream = None

    def wake(self) -> None:
        """See `Network.wake`."""
        self._waiter.wake()

    def close(self) -> None:
        """See `Network.close`."""
        self._matcher.drop(self)

    discard = close


class VirtualTime:
    """Virtual time."""

    lateness = 0.0

    def __init__(self, scheduler: VirtualScheduler) -> None:
        self.scheduler = scheduler
        self.clock: Clock = scheduler.clock

    def waiter(self, source: ReplayNetwork) -> Waiter:
        """See `ReplayTime.waiter`."""
        return _VirtualWaiter(self.scheduler, source)


class _VirtualWaiter:
    def __init__(self, scheduler: VirtualScheduler, source: ReplayNetwork) -> None:
        self._scheduler = scheduler
        self._scheduled = ScheduledThread(source)

    def thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        return self._scheduler.thread(self._scheduled, run, name)

    def wait(self, seconds: float) -> None:
        self._scheduler.pause(self._scheduled, seconds)

    def wake(self) -> None:
        self._scheduled.woken = True


class ScaledTime:
    """The machine's time, *speed* times as fast."""

    def __init__(self, clock: ScaledClock) -> None:
        self._scaled = clock
        self.clock: Clock = clock
        self.lateness = LATE * clock.speed

    def waiter(self, source: ReplayNetwork) -> Waiter:
        """See `ReplayTime.waiter`."""
        return _ScaledWaiter(self._scaled, source)


class _ScaledWaiter:
    def __init__(self, clock: ScaledClock, source: ReplayNetwork) -> None:
        self._clock = clock
        self._source = source
        self._woken = threading.Event()

    def thread(self, run: Callable[[], None], name: str) -> threading.Thread:
        self._clock.start()
        return threading.Thread(target=run, name=name, daemon=True)

    def wait(self, seconds: float) -> None:
        left = min(seconds, self._source.due() - self._clock.monotonic())
        # Looked at again each minute, as a condition cannot be waited for without end.
        self._woken.wait(min(max(left, 0.0) / self._clock.speed, 60.0))
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()
