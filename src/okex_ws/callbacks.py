"""A script's callbacks: whatever one does, the connection that called it goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from .messages import StateChange
from .timing import Clock

log = logging.getLogger("okex_ws")

OnMessage = Callable[[str], object]
OnState = Callable[[StateChange], object]
OnError = Callable[[Exception], object]

# A callback that keeps the connection's thread longer than this is named in the log.
SLOW = 1.0


def check_callables(**callbacks: object) -> None:
    """``TypeError`` for a callback, given by its name, that cannot be called."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} is a function or None, got {callback!r}")


class Callbacks:
    """The callbacks of one subscription, and how they behaved."""

    def __init__(
        self,
        owner: str,
        clock: Clock,
        on_message: OnMessage | None = None,
        on_state: Sequence[OnState] = (),
        on_error: OnError | None = None,
    ) -> None:
        self._owner = owner
        self._clock = clock
        self.on_message = on_message
        self._on_state = tuple(on_state)
        self._on_error = on_error
        self.last_error: Exception | None = None
        self.errors = 0
        self.stalls = 0

    def message(self, text: str) -> None:
        """Hand over the venue's own text of a push."""
        if self.on_message is not None:
            self._call("on_message", self.on_message, text)

    def state(self, change: StateChange) -> None:
        """Tell a change of state."""
        for callback in self._on_state:
            self._call("on_state", callback, change)

    def error(self, error: Exception) -> None:
        """Tell an error, and keep it as the newest."""
        self.last_error = error
        if self._on_error is not None:
            self._call("on_error", self._on_error, error)

    def _call(
        self, name: str, callback: Callable[..., object], argument: object
    ) -> None:
        before = self._clock.monotonic()
        try:
            callback(argument)
        # SystemExit and the like too: a callback cannot end the connection.
        except BaseException as error:
            self.errors += 1
            log.exception("%s of %s raised", name, self._owner)
            if name != "on_error" and isinstance(error, Exception):
                self.error(error)
        took = self._clock.monotonic() - before
        if took >= SLOW:
            self.stalls += 1
            log.warning("%s of %s took %.1f s", name, self._owner, took)
