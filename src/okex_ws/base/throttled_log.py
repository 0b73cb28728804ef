"""Warnings that are logged at once, and then once a minute while the trouble lasts."""

from __future__ import annotations

import logging

from .errors import OkexWSError

log = logging.getLogger("okex_ws")

MINUTE = 60.0


class LogThrottle:
    """Allows one log record a minute for each kind of event."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def allows(self, kind: str, now: float) -> bool:
        """Whether *kind* may be logged *now*; if so, not again for a minute."""
        if now < self._said.get(kind, -MINUTE) + MINUTE:
            return False
        self._said[kind] = now
        return True


class OutageLog:
    """Logs the losses of one connection, throttled during an outage.

    An outage lasts from a loss until a later connection has received a pong.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = 0.0
        self._losses = 0

    def log_loss(self, endpoint: str, error: OkexWSError, now: float) -> None:
        """Log a loss or a failed attempt to connect.

        It is a warning for the first one of an outage and then once a minute, with the
        number of failures since; the others are logged at level DEBUG.
        """
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
        """How long the outage lasted, as an addition to the log record of a connect."""
        if self._since is None:
            return ""
        return f" {now - self._since:.1f} s after the loss"

    def over(self) -> None:
        """End the outage: the next loss is logged as a warning at once."""
        self._since, self._losses = None, 0


def _sentence(endpoint: str, error: OkexWSError) -> str:
    text = str(error)
    return text if endpoint in text else f"{endpoint}: {text}"
