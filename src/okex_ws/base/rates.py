"""Rate limits: a budget over a period, a token bucket, turns at one host."""

from __future__ import annotations

import math
import threading
from collections import deque


class Budget:
    """At most *limit* requests in any *period* seconds, counted from the start."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._spent: deque[float] = deque()

    def ready_at(self, now: float) -> float:
        """When the next request may be sent: *now*, or later."""
        self._forget(now)
        if len(self._spent) < self.limit:
            return now
        return self._spent[0] + self.period

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
            except RuntimeError:  # spent meanwhile; that takes no time
                continue

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0] <= now - self.period:
            self._spent.popleft()


class Bucket:
    """At most *burst* at once, and one more each *every* seconds."""

    def __init__(self, burst: int, every: float) -> None:
        self._burst = burst
        self._every = every
        # When it will be full again.
        self._full_at = -math.inf

    def ready_at(self, now: float) -> float:
        """When the next one may go: *now*, or later."""
        return max(now, self._full_at - (self._burst - 1) * self._every)

    def spend(self, now: float) -> None:
        """Count one that goes *now*."""
        self._full_at = max(self._full_at, now) + self._every


class HostGap:
    """Turns at connecting to one host, at least a gap apart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: dict[str, float] = {}

    def forked(self) -> None:
        """In a forked child: no lock that another thread may have held."""
        self._lock = threading.Lock()

    def take(self, host: str, gap: float, now: float) -> float | None:
        """Take the turn at *host*, if it has come; else returns when to ask again."""
        with self._lock:
            turn = self._next.get(host, now)
            if turn > now:
                return turn
            self._next[host] = now + gap
            return None

    def wait(self, host: str, now: float) -> float:
        """Seconds until the next turn at *host*."""
        return max(0.0, self._next.get(host, now) - now)
