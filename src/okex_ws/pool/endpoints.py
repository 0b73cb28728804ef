"""Which endpoint of a venue is next: the one that was good again, a bad one last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable


class Endpoints:
    """The endpoints of one connection's venue, in the order in which they are tried.

    One that was healthy is tried again first when it is lost. One that failed is put
    behind the others, and has its next turn when they have failed too: nothing else
    leaves an endpoint, the venue's first one included.
    """

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._order = deque(endpoints)

    @property
    def present(self) -> str:
        """The one that is in use, or tried next; any thread may ask."""
        return self._order[0]

    def lost(self, healthy: bool) -> None:
        """The present one was lost: *healthy* until then, or it never became so."""
        if not healthy:
            self._order.rotate(-1)
