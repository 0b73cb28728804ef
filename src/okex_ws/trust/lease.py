"""The lease of a connection: until when its pongs vouch for the data from it."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, Protocol

# Seconds. NTP slews by at most 0.5 ms a second, so a difference of a second within one
# lease means that a clock was set or that the machine slept.
MAX_CLOCK_JUMP = 1.0


class Lease(NamedTuple):
    """Until when a connection may be trusted, on clocks that did not jump since.

    *offset* is wall clock less monotonic clock when the ping of this lease was sent.
    A suspended machine moves one clock and not the other, so a changed offset says
    that time passed which *until* knows nothing of.
    """

    until: float
    offset: float

    def holds(self, now: float, wall: float) -> bool:
        """Whether the lease still runs at this reading of the two clocks."""
        return now < self.until and abs(wall - now - self.offset) <= MAX_CLOCK_JUMP


class SignsOfLife(Protocol):
    """What a read needs to know of the opening of a connection that a value came over.

    Every published value points to one, so that a single change, such as its loss, is
    seen by the reads of all values that came over it. The connection's thread writes
    it; any thread may read it at any time. `Link` implements it.
    """

    @property
    def lease(self) -> Lease | None:
        """Until when the connection may be trusted; ``None`` before its first pong."""
        ...

    @property
    def lost(self) -> bool:
        """Whether the connection ended, which withdraws all that came over it."""
        ...

    @property
    def heard(self) -> float:
        """When the connection's last bytes came, in monotonic seconds."""
        ...


class Link:
    """The `SignsOfLife` of one opening of a connection, from its handshake to its loss.

    A connection carries many channels, and when it is lost none of their values may be
    read any more. Withdrawing them one by one would leave some readable for a moment.
    So every published value points to the link that it came over, and one store of
    *lost* withdraws them all. The next opening has a new link, so no value can come
    back. Only the connection's thread changes a link; any thread reads it, without a
    lock.
    """

    __slots__ = (
        "_lags",
        "_least",
        "_minute_ends",
        "_minute_least",
        "heard",
        "lease",
        "lost",
        "proven",
    )

    def __init__(self, now: float) -> None:
        self.lease: Lease | None = None
        self.lost = False
        self.heard = now
        # Everything that the exchange sent before this moment has been handled.
        self.proven = -math.inf
        # The least delay of each minute with the minute's number, for ten minutes. The
        # least of the present minute and of all ten are kept beside it.
        self._lags: deque[tuple[int, float]] = deque()
        self._minute_ends = -math.inf
        self._minute_least = self._least = math.inf

    def lag(self, delay: float, now: float) -> float:
        """Seconds by which *delay* exceeds the least delay of the last ten minutes.

        *delay* is the wall clock at the receipt less the exchange's timestamp. Every
        delay contains the offset between the two clocks, so the difference does not.
        """
        if delay < self._minute_least or now >= self._minute_ends:
            self._keep(delay, int(now // 60))
        return delay - self._least

    def _keep(self, delay: float, minute: int) -> None:
        lags = self._lags
        if lags and lags[-1][0] == minute:
            lags[-1] = (minute, delay)
        else:
            lags.append((minute, delay))
            while lags[0][0] < minute - 9:
                lags.popleft()
        self._minute_least, self._minute_ends = delay, (minute + 1) * 60.0
        self._least = min(least for _, least in lags)
