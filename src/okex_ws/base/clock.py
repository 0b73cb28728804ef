"""Clock, back-off and budgets. Nothing here sleeps or waits.

Every duration is ``float`` seconds; ``now`` is the monotonic clock's reading.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import ClassVar, Protocol, runtime_checkable


def check_number(name: str, value: object) -> None:
    """``TypeError`` unless *value* is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, got {value!r}")


def check_seconds(name: str, value: float) -> None:
    """``TypeError`` or ``ValueError`` unless *value* is seconds from 0 up."""
    check_number(name, value)
    # A whole number can be larger than any float.
    if not value >= 0 or (value > 1e300 and value != math.inf):
        raise ValueError(f"{name} is a number of seconds from 0 up, got {value!r:.80}")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """``TypeError`` or ``ValueError`` unless *value* is a whole number from *least*."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} is a whole number from {least} up, got {value!r:.80}")


class Clock(Protocol):
    """Two clocks: one that only runs forward, one that people and exchanges use."""

    def monotonic(self) -> float:
        """Seconds that only grow; comparable with each other alone."""
        ...

    def wall(self) -> float:
        """Seconds since 1970 in UTC, as the machine believes."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # Bound once: these two are called for every message and every read.
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


@runtime_checkable
class Timekeeper(Protocol):
    """What a `Clock` may be beside: one that stands while nobody waits."""

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        """Let so much time pass, or less; *changed* is held, but not meanwhile."""
        ...


def wait_on(clock: Clock, changed: threading.Condition, seconds: float) -> None:
    """Wait on a condition that is held, for *seconds* of *clock* at the most."""
    if isinstance(clock, Timekeeper):
        clock.wait(changed, seconds)
    else:
        changed.wait(seconds)


def utc(seconds: float) -> datetime:
    """Epoch seconds as an aware UTC ``datetime``."""
    return datetime.fromtimestamp(seconds, timezone.utc)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each answer may take, in seconds.

    *connect* covers TCP, TLS and the handshake together; *first_push* is how long an
    acknowledged channel that owes a snapshot may stay silent before it is asked again;
    *retry_cap* bounds the back-off of whatever is asked again on one connection.
    """

    connect: float = 10.0
    ack: float = 10.0
    pong: float = 10.0
    first_push: float = 10.0
    retry_cap: float = 600.0
    goodbye: float = 1.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            check_seconds(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Ping:
    """When the text ``ping`` goes out, and how long its pong vouches for a connection.

    *interval* is the keep-alive: the exchange closes a connection on which nothing came
    for 30 s, so it is from 10 to 30 s, and sent `EARLY` (five seconds), since exactly
    30.0 s loses the race on a quiet market. *probe* is the health check: the same ping,
    that often; ``None`` leaves the keep-alive alone.
    """

    interval: float = 30.0
    probe: float | None = 5.0

    EARLY: ClassVar[float] = 5.0

    def __post_init__(self) -> None:
        check_number("ping_interval", self.interval)
        if self.probe is not None:
            check_number("probe_interval", self.probe)
        if not 10.0 <= self.interval <= 30.0:
            raise ValueError(
                f"ping_interval is 10 to 30 seconds, got {self.interval!r}"
            )
        if self.probe is not None and not 0 < self.probe <= self.interval:
            raise ValueError(
                "probe_interval is None or more than 0 and at most ping_interval"
                f" seconds, got {self.probe!r}"
            )

    @property
    def keep_alive(self) -> float:
        """Seconds from one ping to the next, at the most, whatever else goes on."""
        return self.interval - self.EARLY

    @property
    def period(self) -> float:
        """Seconds from one ping to the next while pongs come."""
        return (
            self.keep_alive if self.probe is None else min(self.probe, self.keep_alive)
        )

    @property
    def lease(self) -> float:
        """Seconds that a pong vouches for beyond the pong's own time-out."""
        return self.interval if self.probe is None else self.probe


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How to come back: exponential back-off with full jitter, and never give up.

    *first* and *cap* bound the wait; the back-off starts again after a connection that
    was healthy for *healthy_after*. *host_gap* is the least time between two connection
    attempts to one host, over all feeds of the process; ``None`` takes the venue's.
    """

    first: float = 0.5
    cap: float = 30.0
    healthy_after: float = 60.0
    host_gap: float | None = None

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) is not None or name != "host_gap":
                check_seconds(name, getattr(self, name))
        if not 0 < self.first <= self.cap:
            raise ValueError(
                f"reconnect needs 0 < first <= cap, got {self.first!r} and {self.cap!r}"
            )


def doubled(first: float, attempts: int, cap: float) -> float:
    """*first* seconds, doubled by each of *attempts*, and *cap* at the most."""
    # 2 ** 20 seconds are past any cap, and the power stays a small number.
    return min(cap, first * 2.0 ** min(attempts, 20))


def backoff(
    first: float, cap: float, rng: random.Random | None = None
) -> Iterator[float]:
    """Waits whose ceiling doubles from *first* to *cap*, each drawn evenly below it.

    Full jitter stays at the cap, so that a thousand clients do not come back in step.
    """
    draw = (rng or random).uniform
    ceiling = first
    while True:
        yield draw(0.0, ceiling)
        ceiling = min(cap, ceiling * 2)


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
