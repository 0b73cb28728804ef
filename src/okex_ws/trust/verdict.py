"""Whether a value may be given to a script: decided at the read, on the reader's clock.

Pure. The connection's thread writes an `Era`, and replaces a channel's `Published` as a
whole. Any thread may pass a `Published` to `judge`. Nothing here waits, takes a lock or
remembers a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from ..base.checks import check_seconds
from ..base.errors import WireError
from ..base.state import NO_CAUSE, Cause, CauseCode, State
from ..protocol.messages import DepthData
from ..protocol.unparsed import Unparsed
from .lease import EVERYTHING, Lease, SignsOfLife


class Published(NamedTuple):
    """The current value of a channel, and what `judge` needs to know of it.

    The connection's thread never changes it, but replaces it as a whole, so that a
    reader on any thread sees fields that belong together. *state* is what that thread
    knew; time may have made it false since, which `judge` decides. *cause* says why it
    is not ``LIVE``. *epoch* counts how often the channel became live on its connection;
    the epoch that a script is given also has the lapses of the lease. *era* has the
    signs of life of the opening that the value came over. *data* is ``None`` unless
    *state* is ``LIVE``, and may be `Unparsed`: a read asks for *fault*. *received* is
    the receipt of the last push in monotonic seconds (``-inf`` before the first),
    *wall* the same in epoch seconds. At *overdue* (monotonic) the exchange should have
    pushed again, even in a quiet market (``inf`` where it does not repeat an idle
    book). *lag* is how many seconds later than usual the last push came (`Era.lag`),
    ``None`` if that is not known. *channel* is what published the value, and *serial*
    grows with each value that it publishes, so that an era can withdraw all values up
    to one. *moved* is when a push last went on from the one before it: neither the
    first push after a subscribe nor a repetition does.
    """

    state: State
    cause: Cause
    epoch: int
    era: SignsOfLife | None = None
    data: object | None = None
    received: float = -math.inf
    wall: float = 0.0
    lag: float | None = None
    overdue: float = math.inf
    channel: object = None
    serial: int = 0
    moved: float = -math.inf

    @property
    def fault(self) -> WireError | None:
        """Why *data* cannot be read, which was kept unparsed: this parses it."""
        data = self.data
        return data.fault if isinstance(data, Unparsed) else None

    @property
    def parsed(self) -> Any:
        """The data, parsed. A caller asks for `fault` before."""
        data = self.data
        return data.data if isinstance(data, Unparsed) else data

    @property
    def depth(self) -> DepthData:
        """The data of a depth channel whose *state* is ``LIVE``."""
        data = self.data
        if isinstance(data, Unparsed):
            data = data.result if data.is_parsed else data.data
        assert isinstance(data, DepthData)
        return data

    @property
    def is_withdrawn(self) -> bool:
        """Whether the era of this value has withdrawn it since."""
        era = self.era
        return era is not None and self.serial <= era.withdrawn.get(self.channel, -1)


# Makes a `Published` of all its fields, in order. Fast, because every push needs one.
publish: Callable[[tuple[Any, ...]], Published] = partial(tuple.__new__, Published)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that a caller sets to a read; ``None`` is no limit.

    *max_age* is seconds since the channel's last push (in a quiet market an old value
    is right). *max_silence* is seconds since the last byte on its connection. *max_lag*
    is how many seconds later than usual the last push came (an unknown lag passes).
    *levels* is how many levels a side are read.
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
        """True if a limit can be exceeded by the mere passing of time."""
        return self.max_age is not None or self.max_silence is not None

    def over(self, other: Limits) -> Limits:
        """These limits; a limit that is ``None`` here is taken from *other*."""
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
    """The state of a channel at one moment, and the *cause* of it.

    *since* is when the state began, in monotonic seconds, if the passing of time or a
    limit ended ``LIVE``; otherwise ``None``. *limit* is True if the value is good and
    only a limit that the caller set refuses it.
    """

    state: State
    cause: Cause
    since: float | None = None
    limit: bool = False


# A global name, because every read looks it up.
_LIVE = State.LIVE
LIVE = Verdict(State.LIVE, NO_CAUSE)
_FIRST_PONG = Cause(CauseCode.FIRST_PONG, "waiting for the first pong")
_CLOCK_JUMP = Cause(CauseCode.CLOCK_JUMP, "the clock jumped: the lease ended")
_IDLE = Cause(CauseCode.IDLE, "no push, where the exchange repeats an idle book")
_NO_THREAD = Cause(CauseCode.INTERNAL, "the connection's thread has ended")

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


def judge(
    current: Published,
    lease: Lease | None,
    heard: float,
    limits: Limits,
    now: float,
    wall: float,
) -> Verdict:
    """The verdict on *current* at this reading of the two clocks.

    *lease* and *heard* are those of the value's era, taken before the value was. It is
    `LIVE` if the value is live on its connection and can be read, the lease runs, the
    thread of the connection is alive, no repeat of an idle book is overdue, and
    *limits* allow the value. Whether the era has withdrawn the value since is for the
    caller to ask.
    """
    if current.state is not _LIVE:
        return Verdict(current.state, current.cause)
    data = current.data
    unparsed = isinstance(data, Unparsed) and not data.is_parsed
    if unparsed and (fault := current.fault) is not None:
        return Verdict(State.RESYNCING, fault.cause)
    if lease is None:
        return Verdict(State.SYNCING, _FIRST_PONG)
    if not lease.holds(now, wall):
        return _lapsed(lease, now)
    if now >= current.overdue:
        return Verdict(State.STALE, _IDLE, current.overdue)
    era = current.era
    assert era is not None
    if era.runs() is None:
        return Verdict(State.RECONNECTING, _NO_THREAD)
    return LIVE if limits is NO_LIMITS else _within(current, heard, limits, now)


def withdrawn(current: Published) -> Verdict:
    """The verdict on a value that its era has withdrawn."""
    era = current.era
    assert era is not None  # it has withdrawn the value
    lost = era.withdrawn is EVERYTHING
    return Verdict(State.RECONNECTING if lost else State.RESYNCING, era.cause)


def _lapsed(lease: Lease, now: float) -> Verdict:
    if now >= lease.until:
        return Verdict(State.STALE, lease.ended, lease.until)
    return Verdict(State.STALE, _CLOCK_JUMP, now)


def _within(current: Published, heard: float, limits: Limits, now: float) -> Verdict:
    age, silence, lag = limits.max_age, limits.max_silence, limits.max_lag
    if age is not None and now >= (since := current.received + age):
        cause = Cause(CauseCode.MAX_AGE, f"no push for {age:g} s (max_age)")
        # A channel on which no push came has no moment at which it became old.
        moment = since if math.isfinite(since) else None
        return Verdict(State.STALE, cause, moment, True)
    if silence is not None and now >= (since := heard + silence):
        text = f"nothing heard for {silence:g} s (max_silence)"
        cause = Cause(CauseCode.MAX_SILENCE, text)
        return Verdict(State.STALE, cause, since, True)
    if lag is not None and current.lag is not None and current.lag > lag:
        text = f"{current.lag:.3f} s later than usual (max_lag {lag:g} s)"
        cause = Cause(CauseCode.MAX_LAG, text)
        return Verdict(State.STALE, cause, current.received, True)
    return LIVE


def live_until(current: Published, limits: Limits) -> float:
    """When time alone will end the ``LIVE`` of *current*: monotonic, else ``inf``."""
    era = current.era
    if current.state is not _LIVE or era is None:
        return math.inf
    lease = era.lease
    at = min(lease.until if lease is not None else math.inf, current.overdue)
    if limits.max_age is not None:
        at = min(at, current.received + limits.max_age)
    if limits.max_silence is not None:
        at = min(at, era.heard + limits.max_silence)
    return at
