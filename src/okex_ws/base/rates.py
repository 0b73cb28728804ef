"""The rate limits of requests to the exchange, and of attempts to connect to a host.

Nothing here waits: each class says when its caller may act, in monotonic seconds.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Hashable

from .threads import locked, register_for_fork


class RateLimit:
    """At most *limit* actions within any *period* seconds.

    Each action takes one of *limit* places, and frees it *period* seconds later. With
    *in_turn* a place becomes free *period* seconds after the place before it at the
    earliest: after *limit* actions at once, one more is allowed each *period*, which
    spreads a long series of actions over the time.

    It never waits: the caller asks `ready_at` before an action, and calls `spend` when
    it acts; or it calls `take`, which does both. These calls must not overlap. Any
    thread may call `outlook` and `hold` meanwhile.
    """

    def __init__(self, limit: int, period: float, in_turn: bool = False) -> None:
        self.limit = limit
        self.period = period
        self._in_turn = in_turn
        # When each taken place becomes free, in order. It is replaced, never changed.
        self._taken: tuple[float, ...] = ()
        self._held = -math.inf

    def ready_at(self, now: float) -> float:
        """When the next action is allowed: *now* or a later time."""
        taken = self._still_taken(now)
        over = len(taken) - self.limit
        return max(now if over < 0 else taken[over], self._held)

    def spend(self, now: float) -> None:
        """Count an action that is taken *now*."""
        free = now + self.period
        if self._in_turn and self._taken:
            free = max(free, self._taken[-1] + self.period)
        self._taken = (*self._still_taken(now), free)

    def take(self, now: float) -> float:
        """Count an action if it is allowed *now*; returns `ready_at` in any case."""
        ready_at = self.ready_at(now)
        if ready_at <= now:
            self.spend(now)
        return ready_at

    def hold(self, until: float) -> None:
        """Allow no action before *until*, because the exchange said so."""
        self._held = max(self._held, until)

    def outlook(self, now: float) -> tuple[int, float]:
        """How many actions are allowed *now*, and in how many seconds one is."""
        left = max(0, self.limit - len(self._still_taken(now)))
        return left, self.ready_at(now) - now

    def _still_taken(self, now: float) -> tuple[float, ...]:
        return tuple(free for free in self._taken if free > now)


class RateLimits:
    """A `RateLimit` for each key, for connections or clients that share them.

    The exchange counts by IP address, so all feeds and clients of a process count
    together. A client that the exchange told to wait makes the others wait, too. Any
    thread calls it; a lock guards overlapping calls. It is re-entrant, because a signal
    handler may call on the thread that holds it.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._limits: dict[Hashable, RateLimit] = {}
        _shared.add(self)

    def take(self, key: Hashable, limit: int, period: float, now: float) -> float:
        """Count an action on *key* if *limit* and *period* allow it *now*.

        Returns when it is allowed: *now*, and then it is counted, or a later time.
        """
        return locked(self._lock, lambda: self._take(key, limit, period, now))

    def _take(self, key: Hashable, limit: int, period: float, now: float) -> float:
        found = self._limit(key)
        found.limit, found.period = limit, period
        return found.take(now)

    def hold(self, key: Hashable, until: float) -> None:
        """Allow no action on *key* before *until*, because the exchange said so."""
        locked(self._lock, lambda: self._limit(key).hold(until))

    def wait(self, key: Hashable, now: float) -> float:
        """Seconds until the next action on *key* is allowed."""
        return locked(self._lock, lambda: self._limit(key).ready_at(now) - now)

    def _limit(self, key: Hashable) -> RateLimit:
        return self._limits.setdefault(key, RateLimit(1, 0.0))

    def forked(self) -> None:
        """Replace the lock in a forked child: a parent's thread may have held it."""
        self._lock = threading.RLock()


_shared: weakref.WeakSet[RateLimits] = weakref.WeakSet()
register_for_fork(_shared)
