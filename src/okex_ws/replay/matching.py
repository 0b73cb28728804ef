"""Which recorded opening of a connection a client gets: by its path, then its channels.

The threads of all connections of a replay share one `ConnectionMatcher`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection

from .script import RecordedConnection, Script

# Seconds: a recorded connection that opens so much later may still be chosen.
SOON = 10.0
# The most seconds until a client notices a stall: a ping, and the time-out of its pong.
STALL = 40.0


class ConnectionMatcher:
    """Decides which recorded opening of a connection a client's connection gets.

    A client need not connect in the recorded order, or subscribe the same channels on
    each connection. A line is what was recorded of one connection: its openings, one
    after the other. A claimant is the network of one client's connection; it keeps a
    line while that lasts, and is given openings of it first. An opening has to be of
    the client's path and not be over; with several left, the one with most of the
    channels of the client's first request is chosen. If no line is free, claimants
    share one. If nothing matches, `choose` returns ``None``: the client then gets
    answers, the data of channels that `elsewhere` finds on another opening, and no
    recorded pong.

    The threads of all connections of a replay call; a lock guards the claims.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self._connections = sorted(script.connections, key=lambda each: each.opens_at)
        self._claimants: dict[int, object] = {}
        # When each recorded connection was taken last.
        self._used: dict[int, float] = {}
        self._lock = threading.Lock()

    def candidates(
        self, claimant: object, path: str, now: float
    ) -> list[RecordedConnection]:
        """The recorded connections that *claimant* may play next, the first one first.

        They are those left of the line that *claimant* has. If none is left, they are
        those of lines without a claimant; if there is none of those either, those of
        all lines, which *claimant* then shares.
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
            # A client that left it before its end may come back, but not into a
            # recorded stall that it noticed a little earlier this time.
            stalled = connection.end.how == "silence" and connection.ends_at < math.inf
            least = now + STALL if stalled else now
            return connection.failure is None and connection.last_at > least
        return connection.ends_at > now or connection.opens_at >= now

    def opens_at(self, connection: RecordedConnection) -> float:
        """When a client can have *connection*.

        One that was played before opens again with its next recorded frame. So a
        recording that ends its client's connection does so once a frame, and not
        endlessly.
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
        """Take the recorded connection with most of the channels *keys* for *claimant*.

        Returns ``None`` if there is none that opens within `SOON` seconds.
        """
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
        """Give *claimant* the *connection* and, unless another has it, its line."""
        with self._lock:
            self._used[id(connection)] = now
            if connection.line not in self._claimants:
                self._drop(claimant)
                self._claimants[connection.line] = claimant

    def drop(self, claimant: object) -> None:
        """Release the line of *claimant*, whose connection is gone."""
        with self._lock:
            self._drop(claimant)

    def _drop(self, claimant: object) -> None:
        for line in [line for line, who in self._claimants.items() if who is claimant]:
            del self._claimants[line]

    def elsewhere(self, path: str, key: str, now: float) -> RecordedConnection | None:
        """An open recorded connection on *path*, of any line, with channel *key*."""
        for each in self._connections:
            is_open = each.opens_at <= now < each.ends_at and each.failure is None
            if each.path == path and is_open and each.carries(key):
                return each
        return None
