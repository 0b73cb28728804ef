"""The states of a subscription: `State`."""

from __future__ import annotations

from enum import Enum


class State(str, Enum):
    """The state of a subscription. Only in `LIVE` does a read give prices.

    - ``CONNECTING``: the connection was never open so far.
    - ``SYNCING``: the connection is open; an acknowledgement of the exchange, the first
      data or the first pong has not come.
    - ``LIVE``: the data are complete, and the connection is known to work.
    - ``STALE``: a pong or an expected push is late, the machine's clock jumped, or a
      limit of the script, such as *max_age*, is exceeded.
    - ``RESYNCING``: a message could not be used, and a new snapshot has not come.
    - ``RECONNECTING``: the connection was lost.
    - ``FAILED``: it will never be live, because the exchange refused it, for example.
    - ``CLOSED``: it was closed.
    """

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
