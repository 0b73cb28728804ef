"""Whether a reading may be given: decided when it is read, on the reader's clock.

Pure. A connection's thread writes a `Link` and swaps `Published` values whole; any
thread may hand both to `judge`. Nothing here waits, locks or remembers a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ..base.checks import check_seconds
from ..base.state import State
from ..protocol.messages import DepthData
from .lease import Lease, SignsOfLife


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
