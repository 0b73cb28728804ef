"""Warnings that are logged at once, and then once a minute while the trouble lasts."""

from __future__ import annotations

from .errors import OkexWSError
from .log import log

MINUTE = 60.0


class LogThrottle:
    """Decides whether an event may be logged: at most once a minute for each kind.

    A fault that comes with every message would otherwise fill the log. The caller logs
    the event only if `allows` returns True. It has no lock: calls must not overlap. It
    remembers each kind for ever, so the kinds must come from a bounded set.
    """

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def allows(self, kind: str, now: float) -> bool:
        """Whether *kind* may be logged *now*; if so, not again for a minute."""
        if now < self._said.get(kind, -MINUTE) + MINUTE:
            return False
        self._said[kind] = now
        return True


class OutageLog:
    """Logs the failures of a connection: a warning at once, then at most one a minute.

    A host that is down makes many attempts to connect fail, and a warning for each
    would fill the log. An outage begins with the first loss or failed attempt, and
    lasts until `over` is called, at the next pong (for a feed in a process of its own,
    when that process reports again). The first failure of an outage is a warning; after
    that one failure a minute is a warning with the number of failures so far, and the
    other failures are logged at level DEBUG. Only one thread calls it: the
    connection's, or for a feed in a process of its own the one that supervises that
    process.
    """

    def __init__(self) -> None:
        self._since: float | None = None
        self._said = 0.0
        self._losses = 0

    def log_loss(self, endpoint: str, error: OkexWSError, now: float) -> None:
        """Log a loss or a failed attempt to connect.

        It is a warning for the first one of an outage and then once a minute, with the
        number of failures since the outage began; the others are logged at level DEBUG.
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
