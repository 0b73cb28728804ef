"""The states of a subscription: `State`."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """The state of a subscription. Only in `LIVE` does a read give prices."""

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
        """True for `FAILED` and `CLOSED`, after which no other state comes."""
        return self is State.FAILED or self is State.CLOSED
