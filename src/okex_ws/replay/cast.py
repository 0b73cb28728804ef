"""Which recorded connection a replayed one is: by its path, then by what it asks for.

Shared by the threads of all connections of a replay, under its lock.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Collection

from .script import Script, Session

# A connection that was opened so much later may be the one that is meant.
SOON = 10.0
# What a stall takes to be noticed, at the most: a ping, and its pong's time-out.
STALL = 40.0


class Cast:
    """The sessions of a script, and which line of them is whose."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self._sessions = sorted(script.sessions, key=lambda each: each.opens_at)
        self._owners: dict[int, object] = {}
        # When each was taken last.
        self._used: dict[int, float] = {}
        self._lock = threading.Lock()

    def candidates(self, owner: object, path: str, now: float) -> list[Session]:
        """The sessions that *owner* may have next, the first first.

        Those of its own line; where it has none any more, those that are nobody's, and
        at last those of others, with whom it shares them.
        """
        with self._lock:
            left = [
                each
                for each in self._sessions
                if each.path == path and self._is_left(each, now)
            ]
            own = [each for each in left if self._owners.get(each.line) is owner]
            free = [each for each in left if each.line not in self._owners]
            return own or free or [each for each in left if each.failure is None]

    def _is_left(self, session: Session, now: float) -> bool:
        if id(session) in self._used:
            # Who left it before its end may come back; but not into a stall that is
            # recorded, and was noticed a little earlier this time.
            stalled = session.end.how == "silence" and session.ends_at < math.inf
            least = now + STALL if stalled else now
            return session.failure is None and session.last_at > least
        return session.ends_at > now or session.opens_at >= now

    def opens_at(self, session: Session) -> float:
        """When *session* can be had. Who comes back gets it when more is said.

        So a recording that throws its client out does it once a message, not for ever.
        """
        taken = self._used.get(id(session))
        if taken is None:
            return session.opens_at
        place = session.place(taken)
        return session.said[place].at if place < len(session.said) else math.inf

    def choose(
        self, owner: object, path: str, keys: Collection[str], now: float
    ) -> Session | None:
        """The session that carries most of *keys*; it is *owner*'s from now on."""
        near = [
            each
            for each in self.candidates(owner, path, now)
            if each.failure is None and self.opens_at(each) <= now + SOON
        ]
        if not near:
            return None
        best = max(near, key=lambda each: sum(map(each.carries, keys)))
        self.take(owner, best, now)
        return best

    def take(self, owner: object, session: Session, now: float) -> None:
        """*session* is *owner*'s, and its whole line with it, unless it is taken."""
        with self._lock:
            self._used[id(session)] = now
            if session.line not in self._owners:
                self._drop(owner)
                self._owners[session.line] = owner

    def drop(self, owner: object) -> None:
        """*owner* is gone."""
        with self._lock:
            self._drop(owner)

    def _drop(self, owner: object) -> None:
        for line in [line for line, who in self._owners.items() if who is owner]:
            del self._owners[line]

    def elsewhere(self, path: str, key: str, now: float) -> Session | None:
        """An open session of anybody on this *path* that carries channel *key*."""
        for each in self._sessions:
            is_open = each.opens_at <= now < each.ends_at and each.failure is None
            if each.path == path and is_open and each.carries(key):
                return each
        return None
