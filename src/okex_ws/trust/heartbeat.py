"""The text ping, its pong, and the lease that the pong renews. Pure: no clock, no I/O.

The lease runs from the *sending* of the ping: once its pong has been handled, so has
everything that the exchange sent before. A ping goes out every third of the lease, even
while others are unanswered, so that one lost packet does not end a short lease; but at
most three are. Beside those only the keep-alive is sent, without which the exchange
closes the connection after 30 s.

A pong names no ping. They come in the order of their pings, so each is taken for the
oldest ping that has none, and one that comes while every ping has one renews nothing.

- One that the library did not ask for may have come before the ping that it is taken to
  answer. So a ping waits until what has come is handled, and its lease runs from the
  read that took that. A thread that keeps up reads just before.
- One that came later would have each pong after it taken for a younger ping than its
  own. The first pong that finds no ping open ends that. On a line so slow that a ping
  is always open, such pongs come sooner after "their" pings than the line ever is. So
  the first of them is dropped, and no ping goes out beside an open one, until every
  ping has its pong. If one never gets it, the line has become quicker.
- One that never comes would have each pong after it taken for an older ping, and the
  last ping without. So once pings have been open without a break for as long as a pong
  may take, none goes out beside an open one, until all have their pongs.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from typing import NamedTuple

from ..base.errors import Stalled
from ..base.retry import Ping
from ..base.state import CauseCode
from .lease import Lease

# A slow callback leaves messages unread, and a pong may wait behind them. After six
# times its time-out the pong counts as missing, even if unread messages remain.
_BACKLOG_PATIENCE = 6
# A ping waits for unread messages at most so many seconds, and the keep-alive that goes
# out beside unanswered pings does not wait.
_UNREAD_PATIENCE = 2.0
_MOST_UNANSWERED = 3
# A pong comes too soon if it is quicker, by a third of the time between two pings, than
# each of the last eight that had come when its ping was sent, or of three at least.
_LEAST_TRIPS, _MOST_TRIPS = 3, 8
_TOO_SOON = 1 / 3


class Renewed(NamedTuple):
    """A pong was handled: the connection may be trusted until *lease* ends.

    Everything that the exchange sent before *proven* (monotonic) has been handled.
    *round_trip* is the seconds from the sending of the ping to the handling of the
    pong. *ping* is the number of that ping; the first has 1.
    """

    lease: Lease
    proven: float
    round_trip: float
    ping: int


class _Sent(NamedTuple):
    number: int
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
        # How many pings have been sent.
        self.pings = 0
        # Pings that have no pong yet, oldest first: the exchange answers in order.
        self._in_flight: deque[_Sent] = deque()
        # When the next ping is due, and when one is due that something waits for.
        self._next, self._hurried = math.inf, now
        # When the last ping was sent, and the first since which one was always open.
        self._last = self._open_since = now
        # Since when a ping waits for unread messages; ``-inf`` once they are handled.
        self._waits = math.inf
        # When the last pongs were handled, and their round trips.
        self._trips: deque[tuple[float, float]] = deque(maxlen=_MOST_TRIPS)
        # When a pong that came too soon must have been the answer of an open ping;
        # ``inf`` if there was none.
        self._doubt_ends = math.inf
        # When `tick` must be called next, in monotonic seconds.
        self.due = now

    @property
    def _is_full(self) -> bool:
        """Whether only the keep-alive is sent beside the pings that have no pong."""
        many = len(self._in_flight) >= _MOST_UNANSWERED
        long = self._last - self._open_since >= self._pong_timeout
        doubted = self._doubt_ends < math.inf
        return bool(self._in_flight) and (many or long or doubted)

    @property
    def _ping_due(self) -> float:
        if self._is_full:
            return self._last + self._ping.keep_alive
        return min(self._next, self._hurried)

    def _look_ahead(self) -> None:
        due = self._waits + _UNREAD_PATIENCE if self.waits else self._ping_due
        if self._in_flight:
            due = min(due, self._in_flight[0].at + self._pong_timeout)
        self.due = min(due, self._doubt_ends)

    @property
    def round_trip(self) -> float:
        """Seconds from the last ping that has a pong to the handling of that."""
        return self._trips[-1][1] if self._trips else 0.0

    @property
    def waits(self) -> bool:
        """Whether a ping waits for unread messages: `caught_up` must be called."""
        return self._waits < math.inf

    def caught_up(self, read_at: float) -> None:
        """Everything that came before *read_at* has been handled."""
        if read_at >= self._ping_due:
            self._waits = -math.inf
            self._look_ahead()

    def tick(self, now: float, wall: float, read_at: float) -> bool:
        """True if a ping is to be sent now. Raises `Stalled` if a pong is missing.

        Everything that came before *read_at* has been handled. A pong that came later
        may still be unread, because a callback is slow or many messages wait. A ping
        that became due since then waits for them, but not for long.
        """
        if read_at >= self._doubt_ends:
            # The line has become quicker. It takes some pongs to know how quick it is.
            self._in_flight.clear()
            self._trips.clear()
            self._doubt_ends = math.inf
        if self._in_flight:
            oldest = self._in_flight[0].at
            impatient = now >= oldest + self._pong_timeout * _BACKLOG_PATIENCE
            if impatient or read_at >= oldest + self._pong_timeout:
                raise Stalled(
                    "no pong came", self._pong_timeout, cause_code=CauseCode.PONG
                )
        due = self._ping_due
        if now < due:
            self._look_ahead()
            return False
        if read_at < due and not self._is_full:
            self._waits = min(self._waits, now)
            self._look_ahead()
            if now < self._waits + _UNREAD_PATIENCE:
                return False
        self._send(now, wall, read_at)
        return True

    def _send(self, now: float, wall: float, read_at: float) -> None:
        if not self._in_flight:
            self._open_since = now
        self.pings += 1
        self._in_flight.append(_Sent(self.pings, now, read_at, wall - now))
        self._waits = self._hurried = math.inf
        self._last, self._next = now, read_at + self._ping.period
        self._look_ahead()

    def adopt(self, lease: float) -> None:
        """Ping so often as *lease* asks for, which is not known before."""
        if lease != self._ping.lease:
            self._ping = replace(self._ping, lease=lease)
            self._next = min(self._next, self._last + self._ping.period)
            self._look_ahead()

    def hurry(self, now: float) -> None:
        """Send the next ping at once: a channel waits for its pong."""
        self._hurried = min(self._hurried, now)
        self._look_ahead()

    def ponged(self, now: float) -> Renewed | None:
        """Handle a pong: the lease that it grants; ``None`` if it answers no ping."""
        if not self._in_flight:
            return None
        sent = self._in_flight[0]
        trip = now - sent.at
        if self._is_too_soon(trip, sent.at):
            return None
        self._trips.append((now, trip))
        self._in_flight.popleft()
        if not self._in_flight:
            self._doubt_ends = math.inf
        self._look_ahead()
        lease = Lease(sent.since + self._ping.lease, sent.offset)
        return Renewed(lease, sent.since, trip, sent.number)

    def _is_too_soon(self, trip: float, sent_at: float) -> bool:
        """Whether a pong that comes after *trip* seconds is not that of the open ping.

        If it is all the same, no other pong comes for that ping.
        """
        # Pongs that a slow callback kept waiting come at once, each after a shorter
        # trip than the one before: so only those that had come before the ping count.
        trips = [known for at, known in self._trips if at <= sent_at]
        period = self._ping.period
        if len(trips) < _LEAST_TRIPS or trip >= min(trips) - period * _TOO_SOON:
            return False
        if self._doubt_ends == math.inf:
            patience = min(max(trips) + period, self._pong_timeout)
            self._doubt_ends = sent_at + patience
            self._waits, self.due = math.inf, -math.inf
        return True
