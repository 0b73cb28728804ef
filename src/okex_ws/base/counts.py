"""What one thread counts and any thread may read; every key is one of few."""

from __future__ import annotations

from collections import Counter

from .errors import ConnectionLost, HandshakeFailed, OkexWSError


class Counts:
    """What one thread counts and any thread may read."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self.reconnects: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.last_pong: float | None = None  # epoch seconds
        self.round_trip: float | None = None

    def absorb(self, other: Counts) -> None:
        """Take over what another connection counted, which is gone."""
        self.messages += other.messages
        self.bytes += other.bytes
        # Copies: the thread of the other may count at this very moment.
        self.reconnects += Counter(dict(other.reconnects))
        self.dropped += Counter(dict(other.dropped))


def cause_of(error: OkexWSError) -> str:
    """A short stable name for a loss, as ``stats().reconnects`` counts it."""
    name = type(error).__name__
    if isinstance(error, ConnectionLost) and error.code is not None:
        return f"{name} {error.code}"
    if isinstance(error, HandshakeFailed) and error.status is not None:
        return f"{name} {error.status}"
    return name
