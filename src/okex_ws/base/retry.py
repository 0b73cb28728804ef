"""Time-outs, ping intervals, and how long to wait before another attempt."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, repeat
from typing import ClassVar

from .checks import all_name_keywords, check_number, check_seconds


@all_name_keywords()
@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the library waits for each answer, in seconds.

    *connect* covers the name look-up, TCP, TLS and the WebSocket handshake together; a
    longer attempt fails, and is repeated. *ack* is for the acknowledgement of a
    request, which is then sent again. *pong* is for the answer to a ping; a connection
    without it is given up and opened again. *first_push* is how long an acknowledged
    channel that needs a snapshot may stay silent before it is subscribed again.
    *retry_cap* is the longest back-off between requests that are repeated on one
    connection. *goodbye* is how long `close` waits for the exchange's close frame.
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
    """When the text ``ping`` is sent, and how long its pong proves a connection good.

    *interval* is the keep-alive, from 10 to 30 s, because the exchange closes a
    connection after 30 s without data. The ping is sent `EARLY` (five) seconds before
    *interval* is over: on a quiet market a ping after exactly 30.0 s would be too late.
    *lease* is for how many seconds after its ping a pong vouches, from 2 to 60. If the
    exchange's data is *forwarded*, a pong proves only the line that it is forwarded
    over: a ping then asks for evidence of the whole chain, twice as often.
    """

    interval: float = 30.0
    lease: float = 15.0
    forwarded: bool = False

    EARLY: ClassVar[float] = 5.0

    def __post_init__(self) -> None:
        check_number("ping_interval", self.interval)
        check_number("lease", self.lease)
        if not 10.0 <= self.interval <= 30.0:
            text = f"ping_interval is 10 to 30 seconds, got {self.interval!r:.80}"
            raise ValueError(text)
        if not 2.0 <= self.lease <= 60.0:
            raise ValueError(f"lease is 2 to 60 seconds, got {self.lease!r:.80}")

    @property
    def keep_alive(self) -> float:
        """The most seconds from one ping to the next, even while pongs are missing."""
        return self.interval - self.EARLY

    @property
    def period(self) -> float:
        """Seconds from one ping to the next while pongs come."""
        return min(self.lease / (6 if self.forwarded else 3), self.keep_alive)


@all_name_keywords()
@dataclass(frozen=True, slots=True)
class Reconnect:
    """How a feed reconnects: exponential back-off with full jitter, for ever.

    All in seconds. The longest wait doubles from *first* to *cap*. After a connection
    that lasted for *healthy_after* the back-off starts again at *first*. *host_gap* is
    the least time between two connection attempts to one host by all feeds of the
    process; ``None`` takes the venue's limit.
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
    """*first* seconds, doubled *attempts* times, and *cap* at the most."""
    # 2 ** 20 seconds exceed any cap. Larger powers would overflow a float.
    return min(cap, first * 2.0 ** min(attempts, 20))


def backoff(
    first: float, cap: float, rng: random.Random | None = None
) -> Iterator[float]:
    """Waits in seconds, each drawn at random from 0 to a ceiling that doubles.

    The ceiling starts at *first* and stays at *cap*. The waits stay random there, so
    that a thousand clients do not reconnect at the same moments.
    """
    draw = (rng or random).uniform
    # Not a generator, which an exception would end for good.
    ceilings = accumulate(repeat(first), lambda ceiling, _: min(cap, ceiling * 2))
    return map(partial(draw, 0.0), ceilings)


class Endpoints:
    """The endpoints of one connection's venue, in the order in which they are tried.

    After a healthy opening is lost, its endpoint is tried again first. An endpoint that
    failed goes to the end of the order, and is tried again after the other endpoints
    have failed. The endpoint changes for no other reason: the venue's first endpoint is
    not preferred later. Only the connection's thread calls `lost`.
    """

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._order = deque(endpoints)

    @property
    def present(self) -> str:
        """The endpoint that is in use, or tried next. Any thread may ask."""
        return self._order[0]

    def lost(self, healthy: bool) -> None:
        """The connection to the present endpoint was lost.

        *healthy*: it had lasted for `Reconnect.healthy_after` seconds.
        """
        if not healthy:
            self._order.rotate(-1)
