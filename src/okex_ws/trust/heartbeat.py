"""The text ping, its pong, and the lease that the pong renews: pure, time an argument.

One probe is in flight at a time; beside it only the keep-alive is sent, which nothing
may hold back. The lease runs from the *sending* of the ping: when its pong has been
handled, so has everything that the exchange had sent before it.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..base.errors import Stalled
from ..base.retry import Ping
from .lease import Lease

# A pong may wait behind a backlog that a slow callback built; behind six times its
# time-out of data that never ends it is not waiting, it is missing.
_BACKLOG_PATIENCE = 6


class Renewed(NamedTuple):
    """A pong was handled: the connection may be trusted until the lease's end."""

    lease: Lease
    round_trip: float


class _Sent(NamedTuple):
    at: float
    offset: float  # wall clock less monotonic clock


class Heartbeat:
    """When to ping one connection, and what its pongs are worth."""

    def __init__(self, ping: Ping, pong_timeout: float, now: float) -> None:
        self._ping = ping
        self._pong_timeout = pong_timeout
        # Sent and not answered, oldest first: the exchange answers in order.
        self._in_flight: deque[_Sent] = deque()
        self._next = now

    @property
    def due(self) -> float:
        """When `tick` has something to do."""
        if not self._in_flight:
            return self._next
        return min(self._next, self._in_flight[0].at + self._pong_timeout)

    def tick(self, now: float, wall: float, read_at: float) -> bool:
        """True if a ping is to be sent now. Raises `Stalled` if a pong stayed away.

        *read_at*: what had come by then has been taken in. A pong that came later may
        still wait to be read, behind a slow callback or a backlog.
        """
        if self._in_flight:
            oldest = self._in_flight[0].at
            impatient = now >= oldest + self._pong_timeout * _BACKLOG_PATIENCE
            if impatient or read_at >= oldest + self._pong_timeout:
                raise Stalled("no pong came", self._pong_timeout)
        if now < self._next:
            return False
        self._in_flight.append(_Sent(now, wall - now))
        # Until its pong comes the next one is only the keep-alive.
        self._next = now + self._ping.keep_alive
        return True

    def ponged(self, now: float) -> Renewed | None:
        """Take in a pong; ``None`` if no ping is in flight."""
        if not self._in_flight:
            return None
        sent = self._in_flight.popleft()
        if not self._in_flight:
            self._next = min(self._next, sent.at + self._ping.period)
        until = sent.at + self._ping.lease + self._pong_timeout
        return Renewed(Lease(until, sent.offset), now - sent.at)
