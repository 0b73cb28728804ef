"""The states of a subscription."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """Whether prices can be trusted. Only `LIVE` gives prices."""

    CONNECTING = "CONNECTING"
    SYNCING = "SYNCING"
    LIVE = "LIVE"
    STALE = "STALE"
    RESYNCING = "RESYNCING"
    RECONNECTING = "RECONNECTING"
    FAILED = "FAILED"
    CLOSED = "CLOSED"

    def __str__(self) -> str:
        return self.value

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    @property
    def final(self) -> bool:
        """True for the two states that nothing leaves: `FAILED` and `CLOSED`."""
        return self is State.FAILED or self is State.CLOSED
