"""What is said of an outage, and how often: at once, and then once a minute."""

from __future__ import annotations

import logging

from .errors import OkexWSError

log = logging.getLogger("okex_ws")

MINUTE = 60.0


class LogThrottle:
    """Leave to speak of a kind of thing, once a minute each."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def allows(self, kind: str, now: float) -> bool:
        """Whether *kind* was not spoken of for a minute; then it is now."""
        if now < self._said.get(kind, -MINUTE) + MINUTE:
            return False
        self._said[kind] = now
        return True


class OutageLog:
    """The time from a loss until a connection has proven itself by a pong."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = 0.0
        self._losses = 0

    def log_loss(self, endpoint: str, error: OkexWSError, now: float) -> None:
        """Log a loss or a failed attempt, as a warning if it is time for one."""
        self._losses += 1
        if self._since is None:
            self._since = self._said = now
            log.warning("%s; trying again", _sentence(endpoint, error))
        elif now >= self._said + MINUTE:
            self._said = now
            log.warning(
                "%d failures in %.0f s, the last one: %s",
                self._losses,
                now - self._since,
                _sentence(endpoint, error),
            )
        else:
            log.debug(
                "%s", _sentence(endpoint, error), extra={"event": "still failing"}
            )

    def note(self, now: float) -> str:
        """What to add to the word that a connection is open."""
        if self._since is None:
            return ""
        return f" {now - self._since:.1f} s after the loss"

    def over(self) -> None:
        """The connection has proven itself: the next loss is a new one."""
        self._since, self._losses = None, 0


def _sentence(endpoint: str, error: OkexWSError) -> str:
    text = str(error)
    return text if endpoint in text else f"{endpoint}: {text}"
