"""The lease of a connection: until when its pongs vouch for the data from it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from ..base.state import CLOSED, NO_CAUSE, Cause, CauseCode, State
from ..base.threads import thread_life

# Seconds. NTP slews by at most 0.5 ms a second, so a difference of a second within one
# lease means that a clock was set or that the machine slept.
MAX_CLOCK_JUMP = 1.0

RAN_OUT = Cause(CauseCode.LEASE, "no pong in time: the lease ran out")


class Lease(NamedTuple):
    """Until when a connection may be trusted, on clocks that did not jump since.

    *offset* is wall clock less monotonic clock when the ping of this lease was sent.
    A suspended machine moves one clock and not the other, so a changed offset says
    that time passed which *until* knows nothing of. *lapses* is how often a
    lease of this opening ended before the next one that runs was granted: it is in the
    lease, so that one store renews it and begins the new epoch of every value. *ended*
    is why nothing is trusted once it has run out.
    """

    until: float
    offset: float
    lapses: int = 0
    ended: Cause = RAN_OUT

    def holds(self, now: float, wall: float) -> bool:
        """Whether the lease still runs at this reading of the two clocks."""
        return now < self.until and abs(wall - now - self.offset) <= MAX_CLOCK_JUMP


class _Everything(dict[Any, float]):
    """The mark that withdraws all values of an era, of any serial number."""

    def get(self, channel: Any, default: Any = None) -> float:
        return math.inf


# What an era has withdrawn: of each channel, the serial number up to which its values
# are withdrawn. A mark only grows, and `EVERYTHING` is final. `HELD` holds everything
# back while the withdrawal of a kind is written for another process.
NOTHING: Mapping[Any, float] = {}
EVERYTHING: Mapping[Any, float] = _Everything()
HELD: Mapping[Any, float] = _Everything()


class Marked(Protocol):
    """A channel, as an era marks it: the value that it published last."""

    @property
    def current(self) -> Any:
        """The present value, with its *serial* and *state*."""
        ...


class SignsOfLife(Protocol):
    """What a read needs to know of the opening of a connection that a value came over.

    Every published value points to one, so that a single store, such as that of its
    loss, is seen by the reads of all values that came over it. The connection's thread
    writes it; any thread may read it at any time. `Era` implements it.
    """

    @property
    def lease(self) -> Lease | None:
        """Until when the connection may be trusted; ``None`` before its first pong."""
        ...

    @property
    def withdrawn(self) -> Mapping[Any, float]:
        """Of each channel, the serial number up to which its values are withdrawn."""
        ...

    @property
    def cause(self) -> Cause:
        """Why values were withdrawn: why the last ones were, or the connection ended.

        Read after *withdrawn*.
        """
        ...

    @property
    def heard(self) -> float:
        """When the connection's last bytes came, in monotonic seconds."""
        ...

    def runs(self) -> object:
        """Something but ``None`` while the thread that keeps these signs true lives."""
        ...


class Era:
    """The `SignsOfLife` of one opening of a connection, from its handshake to its loss.

    A connection carries many channels, and when it is lost none of their values may be
    read any more. Withdrawing them one by one would leave some readable for a moment.
    So every published value points to the era that it came over, and one store of
    *withdrawn* withdraws them all, or all of a kind. The next opening has a new era,
    so no value can come back. Only the connection's thread calls the methods that
    change an era; any thread reads it, without a lock.
    """

    __slots__ = (
        "_lags",
        "cause",
        "heard",
        "lease",
        "least",
        "least_of_minute",
        "minute_ends",
        "proven",
        "runs",
        "withdrawn",
    )

    def __init__(self, now: float) -> None:
        self.lease: Lease | None = None
        self.withdrawn: Mapping[Any, float] = NOTHING
        self.cause = NO_CAUSE
        self.heard = now
        # ``None`` once the thread has ended that made this era, and keeps it true.
        self.runs = thread_life()
        # Everything that the exchange sent before this moment has been handled.
        self.proven = -math.inf
        # The least delay of each minute with the minute's number, for ten minutes. The
        # least of the present minute and of all ten are kept beside it, for what is not
        # parsed yet: its lag is *delay* less *least*, unless it is the least of its
        # minute. For it sets no mark for later pushes.
        self._lags: deque[tuple[int, float]] = deque()
        self.minute_ends = -math.inf
        self.least_of_minute = self.least = math.inf

    @property
    def lost(self) -> bool:
        """Whether the connection ended, which withdraws all that came over it."""
        return self.withdrawn is EVERYTHING

    @property
    def lease_length(self) -> float:
        """How many seconds after its ping a pong vouches for; 0 before the first."""
        return 0.0 if self.lease is None else max(0.0, self.lease.until - self.proven)

    @property
    def lapses(self) -> int:
        """How often a lease ended before the next one that runs was granted."""
        return 0 if self.lease is None else self.lease.lapses

    def hear(self, heard: float) -> None:
        """The connection's last bytes came at *heard*, in monotonic seconds."""
        self.heard = heard

    def renew(self, lease: Lease, proven: float) -> None:
        """Grant *lease*: all that the exchange sent before *proven* has been handled.

        Every value that was withdrawn before has been replaced, or is marked.
        """
        self.proven = proven
        self.lease = lease

    def withdraw(self, channels: Iterable[Marked], cause: Cause) -> None:
        """Withdraw the present values of all *channels*, in one store.

        A channel that has none needs no mark, which would last as long as the era.
        """
        if self.withdrawn is EVERYTHING:
            return
        self.cause = cause
        present = ((channel, channel.current) for channel in channels)
        marks = {each: now.serial for each, now in present if now.state is State.LIVE}
        if marks:
            self.withdrawn = {**self.withdrawn, **marks}

    def settle(self) -> None:
        """Every channel that was marked has withdrawn its own value since."""

    def lose(self, cause: Cause = CLOSED) -> None:
        """The connection has ended: withdraw every value that came over it."""
        if not self.lost:
            self.cause = cause
            self.withdrawn = EVERYTHING

    def lag(self, delay: float, now: float) -> float:
        """Seconds by which *delay* exceeds the least delay of the last ten minutes.

        *delay* is the wall clock at the receipt less the exchange's timestamp. Every
        delay contains the offset between the two clocks, so the difference does not.
        """
        if delay < self.least_of_minute or now >= self.minute_ends:
            self._keep(delay, int(now // 60))
        return delay - self.least

    def _keep(self, delay: float, minute: int) -> None:
        lags = self._lags
        if lags and lags[-1][0] == minute:
            lags[-1] = (minute, delay)
        else:
            lags.append((minute, delay))
            while lags[0][0] < minute - 9:
                lags.popleft()
        self.least_of_minute, self.minute_ends = delay, (minute + 1) * 60.0
        self.least = min(least for _, least in lags)
