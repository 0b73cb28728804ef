"""Whether a reading may be given: decided when it is read, on the reader's clock.

Pure. A connection's thread writes a `Link` and swaps `Published` values whole; any
thread may hand both to `judge`. Nothing here waits, locks or remembers a verdict.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

from ..base.clock import check_seconds
from ..model.items import State
from ..protocol.messages import DepthData

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


class Published(NamedTuple):
    """All that a channel shows at one moment; swapped whole, never changed.

    *state* is what its connection's thread knows; time may have overtaken it, which is
    for `judge` to say. *data* is ``None`` unless *state* is ``LIVE``. *received* is
    monotonic seconds of the last push (``-inf`` before the first), *wall* the same in
    epoch seconds. At *overdue* the exchange should have pushed again, whatever happened
    in the market (``inf`` where it repeats nothing).
    """

    state: State
    cause: str
    epoch: int
    link: SignsOfLife | None = None
    data: object | None = None
    received: float = -math.inf
    wall: float = 0.0
    lag: float | None = None
    overdue: float = math.inf

    @property
    def depth(self) -> DepthData:
        """The data of a depth channel that is ``LIVE``."""
        assert isinstance(self.data, DepthData)
        return self.data


# A `Published` of all its fields, in order: one is made for every push.
publish: Callable[[tuple[Any, ...]], Published] = partial(tuple.__new__, Published)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a caller asks of a reading, each in seconds and ``None`` for any.

    *max_age*: since the channel's last push (a quiet market is old and right).
    *max_silence*: since any byte on its connection. *max_lag*: how much later than
    usual the push came (an unknown lag passes). *levels*: how many levels a side.
    """

    max_age: float | None = None
    max_silence: float | None = None
    max_lag: float | None = None
    levels: int | None = None

    def __post_init__(self) -> None:
        for name in ("max_age", "max_silence", "max_lag"):
            if getattr(self, name) is not None:
                check_seconds(name, getattr(self, name))
        if self.levels is not None:
            if isinstance(self.levels, bool) or not isinstance(self.levels, int):
                raise TypeError(f"levels is a whole number, got {self.levels!r}")
            if self.levels < 1:
                raise ValueError(f"levels is at least 1, got {self.levels!r}")

    @property
    def timed(self) -> bool:
        """True if the mere passing of time can cross one of them."""
        return self.max_age is not None or self.max_silence is not None

    def over(self, other: Limits) -> Limits:
        """These limits, with those of *other* where these are ``None``."""
        if other is NO_LIMITS:
            return self
        if self is NO_LIMITS:
            return other
        return Limits(
            other.max_age if self.max_age is None else self.max_age,
            other.max_silence if self.max_silence is None else self.max_silence,
            other.max_lag if self.max_lag is None else self.max_lag,
            other.levels if self.levels is None else self.levels,
        )


NO_LIMITS = Limits()


class Verdict(NamedTuple):
    """What a channel is at one moment, why, and since when (monotonic, if time did it).

    *limit* tells that only the caller's own limit stands between him and ``LIVE``.
    """

    state: State
    cause: str
    since: float | None = None
    limit: bool = False


LIVE = Verdict(State.LIVE, "")

_WORST_FIRST = (
    State.FAILED,
    State.CLOSED,
    State.RECONNECTING,
    State.CONNECTING,
    State.SYNCING,
    State.RESYNCING,
    State.STALE,
    State.LIVE,
)
state_rank = _WORST_FIRST.index


def judge(shown: Published, limits: Limits, now: float, wall: float) -> Verdict:
    """What *shown* is worth at this moment: `LIVE` if all that trust asks holds."""
    if shown.state is not State.LIVE:
        return Verdict(shown.state, shown.cause)
    link = shown.link
    assert link is not None
    lease = link.lease
    # In this order: a link is marked lost before its channels are withdrawn one by one.
    if link.lost:
        return Verdict(State.RECONNECTING, "connection lost")
    if lease is None:
        return Verdict(State.SYNCING, "waiting for the first pong")
    if not lease.holds(now, wall):
        return _lapsed(lease, now)
    if now >= shown.overdue:
        cause = "no push, where the exchange repeats an idle book"
        return Verdict(State.STALE, cause, shown.overdue)
    return _within(shown, link, limits, now)


def _lapsed(lease: Lease, now: float) -> Verdict:
    if now >= lease.until:
        return Verdict(State.STALE, "no pong in time: the lease ran out", lease.until)
    return Verdict(State.STALE, "the clock jumped: the lease ended", now)


def _within(shown: Published, link: SignsOfLife, limits: Limits, now: float) -> Verdict:
    if limits is NO_LIMITS:
        return LIVE
    age, silence, lag = limits.max_age, limits.max_silence, limits.max_lag
    if age is not None and now >= (since := shown.received + age):
        cause = f"no push for {age:g} s (max_age)"
        # A channel that was never pushed has no moment at which it became old.
        moment = since if math.isfinite(since) else None
        return Verdict(State.STALE, cause, moment, True)
    if silence is not None and now >= (since := link.heard + silence):
        cause = f"nothing heard for {silence:g} s (max_silence)"
        return Verdict(State.STALE, cause, since, True)
    if lag is not None and shown.lag is not None and shown.lag > lag:
        cause = f"{shown.lag:.3f} s later than usual (max_lag {lag:g} s)"
        return Verdict(State.STALE, cause, shown.received, True)
    return LIVE


def live_until(shown: Published, limits: Limits) -> float:
    """When time alone will end this ``LIVE``: monotonic, ``inf`` if never."""
    if shown.state is not State.LIVE or shown.link is None:
        return math.inf
    lease = shown.link.lease
    at = min(lease.until if lease is not None else math.inf, shown.overdue)
    if limits.max_age is not None:
        at = min(at, shown.received + limits.max_age)
    if limits.max_silence is not None:
        at = min(at, shown.link.heard + limits.max_silence)
    return at
