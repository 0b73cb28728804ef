"""When to try again: time-outs, pings, reconnects, and exponential back-off."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from .checks import check_number, check_seconds


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
