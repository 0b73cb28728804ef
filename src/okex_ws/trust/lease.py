"""The lease of a connection: until when its pongs vouch for what came over it."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple, Protocol

# NTP slews by at most 0.5 ms a second: a second within one lease is a step or a sleep.
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
        """Whether the lease stands at this reading of the two clocks."""
        return now < self.until and abs(wall - now - self.offset) <= MAX_CLOCK_JUMP


class SignsOfLife(Protocol):
    """The signs of life of a connection, as a reader needs them."""

    @property
    def lease(self) -> Lease | None:
        """Until when it may be trusted; ``None`` before its first pong."""
        ...

    @property
    def lost(self) -> bool:
        """Whether it is gone, and with it all that came over it."""
        ...

    @property
    def heard(self) -> float:
        """When the last bytes came (monotonic)."""
        ...


class Link:
    """The signs of life of one connection, from its opening to its end.

    Every published value points to the link that it came over, so that setting *lost*
    withdraws all of them in one store, and none can come back with a later connection.
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
        # What the exchange had sent by then has been taken in.
        self.proven = -math.inf
        # By the minute, and those of the present one and of all ten.
        self._lags: deque[tuple[int, float]] = deque()
        self._minute_ends = -math.inf
        self._minute_least = self._least = math.inf

    def lag(self, delay: float, now: float) -> float:
        """How much later than the best of ten minutes a push with *delay* came.

        *delay* is receipt less the exchange's timestamp: the offset of the two clocks
        is in every one of them and cancels. The minimum is kept by the minute.
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
