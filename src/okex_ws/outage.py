"""What is said of an outage, and how often: at once, and then once a minute."""

from __future__ import annotations

import logging

from .errors import OkexWSError

log = logging.getLogger("okex_ws")

MINUTE = 60.0


class OnceAMinute:
    """Leave to speak of a kind of thing, once a minute each."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def may_say(self, kind: str, now: float) -> bool:
        """Whether *kind* was not spoken of for a minute; then it is now."""
        if now < self._said.get(kind, -MINUTE) + MINUTE:
            return False
        self._said[kind] = now
        return True


class Outage:
    """The time from a loss to the next open connection."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = 0.0
        self._attempts = 0

    def say(self, endpoint: str, error: OkexWSError, now: float) -> None:
        """Log a loss or a failed attempt, as a warning if it is time for one."""
        self._attempts += 1
        if self._since is None:
            self._since = self._said = now
            log.warning("%s; trying again", _sentence(endpoint, error))
        elif now >= self._said + MINUTE:
            self._said = now
            log.warning(
                "not connected for %.0f s, after %d attempts: %s",
                now - self._since,
                self._attempts,
                _sentence(endpoint, error),
            )
        else:
            log.debug("%s", _sentence(endpoint, error))

    def over(self, now: float) -> str:
        """What to add to the word that a connection is open; the outage is over."""
        if self._since is None:
            return ""
        note = f" after {now - self._since:.1f} s and {self._attempts} attempts"
        self._since, self._attempts = None, 0
        return note


def _sentence(endpoint: str, error: OkexWSError) -> str:
    text = str(error)
    return text if endpoint in text else f"{endpoint}: {text}"
