"""What a connection says of itself, and of what came over it, to whoever holds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from ..base.errors import BookError, LoginRejected, OkexWSError, WireError
from ..channels.base import Channel
from ..session.session import Session
from ..trust.verdict import Link


class Handler(Protocol):
    """Whose connection it is. All of it is called on the connection's thread."""

    def opened(self, session: Session[Channel], link: Link, now: float) -> None:
        """The connection is open: say what is wanted."""
        ...

    def acknowledged(self, channel: str, link: Link, now: float) -> None:
        """The exchange acknowledged *channel*."""
        ...

    def unsubscribed(self, channel: str, link: Link, now: float) -> None:
        """The exchange ended *channel* unasked; it will be asked for again."""
        ...

    def rejected(self, channel: str, error: OkexWSError, now: float) -> None:
        """The exchange refused *channel* for good."""
        ...

    def locked_out(self, error: LoginRejected, now: float) -> None:
        """The exchange refused the key for good: nothing can be had here."""
        ...

    def lapsed(self) -> None:
        """A lease that had ended is about to be renewed."""
        ...

    def renewed(self) -> None:
        """It is: what it vouches for is a new epoch."""
        ...

    def look_again(self, now: float) -> None:
        """Time, or a new lease, may have changed the state of anything."""
        ...

    def overdue(self, now: float) -> Iterable[tuple[str, float]]:
        """Channels that missed what an idle one repeats, and when each was pushed."""
        ...

    def due(self) -> float:
        """When `look_again` is to be called at the latest, the lease's end aside."""
        ...

    def unreadable(self, error: WireError | BookError, now: float) -> None:
        """A message could not be read, of any channel or of one, or broke a book."""
        ...

    def troubled(self, error: OkexWSError) -> None:
        """Something went wrong that passes."""
        ...

    def ending(self) -> None:
        """The exchange says that it will close the connection soon."""
        ...

    def lost(self, error: OkexWSError, now: float) -> None:
        """The connection, or the attempt at one, ended."""
        ...

    def ended(self, now: float) -> None:
        """The thread is about to end."""
        ...
