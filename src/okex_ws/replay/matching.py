"""Which recorded connection a replayed one is: by its path, then by what it asks for.

Shared by the threads of all connections of a replay, under its lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection

from .script import RecordedConnection, Script

# A connection that was opened so much later may be the one that is meant.
SOON = 10.0
# What a stall takes to be noticed, at the most: a ping, and its pong's time-out.
STALL = 40.0


class ConnectionMatcher:
    """The sessions of a script, and which line of them is whose."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._connections = sorted(script.connections, key=lambda each: each.opens_at)
        self._claimants: dict[int, object] = {}
        # When each was taken last.
        self._used: dict[int, float] = {}
        self._lock = threading.Lock()

    def candidates(
        self, claimant: object, path: str, now: float
    ) -> list[RecordedConnection]:
        """The sessions that *claimant* may have next, the first first.

        Those of its own line; where it has none any more, those that are nobody's, and
        at last those of others, with whom it shares them.
        """
        with self._lock:
            left = [
                each
                for each in self._connections
                if each.path == path and self._is_left(each, now)
            ]
            own = [each for each in left if self._claimants.get(each.line) is claimant]
            free = [each for each in left if each.line not in self._claimants]
            return own or free or [each for each in left if each.failure is None]

    def _is_left(self, connection: RecordedConnection, now: float) -> bool:
        if id(connection) in self._used:
            # Who left it before its end may come back; but not into a stall that is
            # recorded, and was noticed a little earlier this time.
            stalled = connection.end.how == "silence" and connection.ends_at < math.inf
            least = now + STALL if stalled else now
            return connection.failure is None and connection.last_at > least
        return connection.ends_at > now or connection.opens_at >= now

    def opens_at(self, connection: RecordedConnection) -> float:
        """When *connection* can be had. Who comes back gets it when more is said.

        So a recording that throws its client out does it once a message, not for ever.
        """
        taken = self._used.get(id(connection))
        if taken is None:
            return connection.opens_at
        place = connection.place(taken)
        return (
            connection.recorded[place].at
            if place < len(connection.recorded)
            else math.inf
        )

    def choose(
        self, claimant: object, path: str, keys: Collection[str], now: float
    ) -> RecordedConnection | None:
        """The session that carries most of *keys*; it is *claimant*'s from now on."""
        near = [
            each
            for each in self.candidates(claimant, path, now)
            if each.failure is None and self.opens_at(each) <= now + SOON
        ]
        if not near:
            return None
        best = max(near, key=lambda each: sum(map(each.carries, keys)))
        self.take(claimant, best, now)
        return best

    def take(
        self, claimant: object, connection: RecordedConnection, now: float
    ) -> None:
        """Give *claimant* *connection* with its whole line, unless it is taken."""
        with self._lock:
            self._used[id(connection)] = now
            if connection.line not in self._claimants:
                self._drop(claimant)
                self._claimants[connection.line] = claimant

    def drop(self, claimant: object) -> None:
        """*claimant* is gone."""
        with self._lock:
            self._drop(claimant)

    def _drop(self, claimant: object) -> None:
        for line in [line for line, who in self._claimants.items() if who is claimant]:
            del self._claimants[line]

    def elsewhere(self, path: str, key: str, now: float) -> RecordedConnection | None:
        """An open session of anybody on this *path* that carries channel *key*."""
        for each in self._connections:
            is_open = each.opens_at <= now < each.ends_at and each.failure is None
            if each.path == path and is_open and each.carries(key):
                return each
        return None
