"""What a connection counts, and the names under which losses are counted."""

from __future__ import annotations

from collections import Counter

from .errors import ConnectionLost, HandshakeFailed, OkexWSError


class Counts:
    """What one connection has counted since its start, its reconnects included.

    `Stats`, the report for scripts, is made of it. The connection's thread writes the
    counts without a lock; any thread may read them meanwhile. *reconnects* has losses
    by their `cause_of`, *dropped* has unusable messages by kind. The keys of both come
    from bounded sets, so the counters do not grow with the traffic. *last_pong* is
    epoch seconds, *round_trip* the seconds from the last ping to its pong; both are
    ``None`` before the first pong.
    """

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.reconnects: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.last_pong: float | None = None  # epoch seconds
        self.round_trip: float | None = None

    def absorb(self, other: Counts) -> None:
        """Add the counts of *other* to these."""
        self.messages += other.messages
        self.bytes += other.bytes
        # Copies, because the thread that writes *other* may count at this moment.
        self.reconnects += Counter(dict(other.reconnects))
        self.dropped += Counter(dict(other.dropped))


def cause_of(error: OkexWSError) -> str:
    """The stable name under which ``stats().reconnects`` counts a loss by *error*."""
    name = type(error).__name__
    if isinstance(error, ConnectionLost) and error.code is not None:
        return f"{name} {error.code}"
    if isinstance(error, HandshakeFailed) and error.status is not None:
        return f"{name} {error.status}"
    return name
