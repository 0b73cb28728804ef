"""Rate limits: requests in a period, a token bucket, connection attempts to a host.

Nothing here waits: each class says when its caller may act, in monotonic seconds.
"""

from __future__ import annotations

import math
import threading
from collections import deque


class Budget:
    """The requests of the last *period* seconds, of which *limit* are allowed at most.

    It keeps a sender within a limit of the exchange that counts requests in a sliding
    window. It sends nothing and never waits: the sender asks `ready_at` before a
    request, and calls `spend` when it sends one. These calls must not overlap. Any
    thread may call `outlook` meanwhile.
    """

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._spent: deque[float] = deque()

    def ready_at(self, now: float) -> float:
        """When the next request may be sent: *now* or a later time."""
        spent = self._spent
        try:
            while spent[0] <= now - self.period:
                spent.popleft()
            return now if len(spent) < self.limit else spent[0] + self.period
        except IndexError:
            # None is left. If a signal handler asks meanwhile, it forgets them, too.
            return now

    def spend(self, now: float) -> None:
        """Count a request that is sent *now*."""
        self._spent.append(now)

    def outlook(self, now: float) -> tuple[int, float]:
        """How many requests may be sent *now*, and in how many seconds one may."""
        spent = [at for at in self._copy() if at > now - self.period]
        left = self.limit - len(spent)
        return left, 0.0 if left > 0 else spent[0] + self.period - now

    def _copy(self) -> tuple[float, ...]:
        while True:
            try:
                return tuple(self._spent)
            except RuntimeError:  # the sending thread changed it: copy again
                continue


class Bucket:
    """A token bucket: *burst* actions at once, then one more each *every* seconds.

    A `Budget` lets a sender use the whole limit at once; a bucket spreads a long series
    of actions over the time. It never waits: the caller asks `ready_at` before an
    action, and calls `spend` when it acts. Calls must not overlap.
    """

    def __init__(self, burst: int, every: float) -> None:
        self._burst = burst
        self._every = every
        # When the bucket will be full again. It is full at the start.
        self._full_at = -math.inf

    def ready_at(self, now: float) -> float:
        """When the next action is allowed: *now* or a later time."""
        return max(now, self._full_at - (self._burst - 1) * self._every)

    def spend(self, now: float) -> None:
        """Count an action that is taken *now*."""
        self._full_at = max(self._full_at, now) + self._every


class HostGap:
    """When each host may be connected to again, for the connections that share it.

    The exchange limits the connection attempts from one IP address, so the connections
    of all feeds of a process take turns. `take` reserves a turn or returns when to ask
    again; no method waits for one. Any thread calls it; a lock guards overlapping
    calls.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def forked(self) -> None:
        """Replace the lock in a forked child: a parent's thread may have held it."""
        self._lock = threading.Lock()

    def take(self, host: str, gap: float, now: float) -> float | None:
        """Allow an attempt at *host* now (``None``), or return when to ask again.

        After an attempt the next one at *host* waits until *gap* seconds later.
        """
        with self._lock:
            turn = self._next.get(host, now)
            if turn > now:
                return turn
            self._next[host] = now + gap
            return None

    def wait(self, host: str, now: float) -> float:
        """Seconds until the next attempt at *host* is allowed."""
        return max(0.0, self._next.get(host, now) - now)
