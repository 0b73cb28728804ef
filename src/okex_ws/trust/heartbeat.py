"""The text ping, its pong, and the lease that the pong renews. Pure: no clock, no I/O.

While a ping is unanswered, no other ping is sent but the keep-alive, without which the
exchange closes the connection after 30 s. The lease runs from the *sending* of the
ping: once its pong has been handled, so has everything that the exchange sent before.

A pong names no ping: one that the library did not ask for may have come before the
ping that it is taken to answer. So a ping waits until what has come is handled, and its
lease runs from the read that took that. A thread that keeps up reads just before.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from ..base.errors import Stalled
from ..base.retry import Ping
from ..base.state import CauseCode
from .lease import Lease

# A slow callback leaves messages unread, and a pong may wait behind them. After six
# times its time-out the pong counts as missing, even if unread messages remain.
_BACKLOG_PATIENCE = 6
# A ping waits for unread messages at most so many seconds, and the keep-alive that goes
# out beside an unanswered ping does not wait.
_UNREAD_PATIENCE = 2.0


class Renewed(NamedTuple):
    """A pong was handled: the connection may be trusted until *lease* ends.

    Everything that the exchange sent before *proven* (monotonic) has been handled.
    *round_trip* is the seconds from the sending of the ping to the handling of the
    pong.
    """

    lease: Lease
    proven: float
    round_trip: float


class _Sent(NamedTuple):
    at: float
    since: float  # what came before that was handled when it was sent
    offset: float  # wall clock less monotonic clock


class Heartbeat:
    """When to ping on one opening of a connection, and the lease that each pong grants.

    TCP does not tell for minutes that the peer is gone, and on a quiet market no data
    is normal. So the library pings, and a value is trusted only until the lease of the
    last pong ends. `tick` says when to send a ping, and raises `Stalled` if a pong is
    missing, which ends the connection; `ponged` returns the new lease. Only the
    connection's thread calls them. They never wait and read no clock: every time is an
    argument, in monotonic seconds unless it is called *wall*.
    """

    def __init__(self, ping: Ping, pong_timeout: float, now: float) -> None:
        self._ping = ping
        self._pong_timeout = pong_timeout
        # Pings that have no pong yet, oldest first: the exchange answers in order.
        self._in_flight: deque[_Sent] = deque()
        self._next = now
        # Since when a ping waits for unread messages; ``-inf`` once they are handled.
        self._waits = math.inf
        # When `tick` must be called next, in monotonic seconds.
        self.due = now

    def _look_ahead(self) -> None:
        due = self._waits + _UNREAD_PATIENCE if self.waits else self._next
        if self._in_flight:
            due = min(due, self._in_flight[0].at + self._pong_timeout)
        self.due = due

    @property
    def waits(self) -> bool:
        """Whether a ping waits for unread messages: `caught_up` must be called."""
        return self._waits < math.inf

    def caught_up(self, read_at: float) -> None:
        """Everything that came before *read_at* has been handled."""
        if read_at >= self._next:
            self._waits = -math.inf
            self._look_ahead()

    def tick(self, now: float, wall: float, read_at: float) -> bool:
        """True if a ping is to be sent now. Raises `Stalled` if a pong is missing.

        Everything that came before *read_at* has been handled. A pong that came later
        may still be unread, because a callback is slow or many messages wait. A ping
        that became due since then waits for them, but not for long.
        """
        if self._in_flight:
            oldest = self._in_flight[0].at
            impatient = now >= oldest + self._pong_timeout * _BACKLOG_PATIENCE
            if impatient or read_at >= oldest + self._pong_timeout:
                raise Stalled(
                    "no pong came", self._pong_timeout, cause_code=CauseCode.PONG
                )
        if now < self._next:
            return False
        if read_at < self._next and not self._in_flight:
            self._waits = min(self._waits, now)
            self._look_ahead()
            if now < self._waits + _UNREAD_PATIENCE:
                return False
        self._waits = math.inf
        self._in_flight.append(_Sent(now, read_at, wall - now))
        # Until the pong of this ping comes, the next ping is the keep-alive.
        self._next = now + self._ping.keep_alive
        self._look_ahead()
        return True

    def hurry(self, now: float) -> None:
        """Send the next ping at once: a channel waits for its pong."""
        self._next = min(self._next, now)
        self._look_ahead()

    def ponged(self, now: float) -> Renewed | None:
        """Handle a pong: the lease that it grants, or ``None`` if no ping waits."""
        if not self._in_flight:
            return None
        sent = self._in_flight.popleft()
        if not self._in_flight:
            self._next = min(self._next, sent.since + self._ping.period)
        self._look_ahead()
        until = sent.since + self._ping.lease + self._pong_timeout
        return Renewed(Lease(until, sent.offset), sent.since, now - sent.at)
