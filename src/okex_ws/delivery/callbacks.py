"""A script's callbacks: whatever one does, the thread that called it goes on."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence

from ..base.clock import Clock
from ..base.state import State
from ..channels.base import Channel
from ..model.reports import StateChange
from ..trust.verdict import LIVE, Verdict

log = logging.getLogger("okex_ws")

OnMessage = Callable[[str], object]
OnState = Callable[[StateChange], object]
OnError = Callable[[Exception], object]

# A callback that keeps its thread longer than this is named in the log.
SLOW = 1.0


def check_callables(**callbacks: object) -> None:
    """``TypeError`` for a callback, given by its name, that cannot be called."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} is a function or None, got {callback!r}")


class Callbacks:
    """The callbacks of one subscription, called at once, and how they behaved.

    Never two at once: whoever tells anything holds the view's turn.
    """

    def __init__(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None = None,
        on_state: Sequence[OnState] = (),
        on_error: OnError | None = None,
    ) -> None:
        self._label = label
        self._clock = clock
        self.on_message = on_message
        self._on_state = tuple(on_state)
        self._on_error = on_error
        self.last_error: Exception | None = None
        self.errors = 0
        self.stalls = 0

    def begin(self) -> None:
        """It is attached: it will be told things, and at last a final state."""

    def message(self, text: str, channel: Channel) -> None:
        """Hand over the venue's own text of a push of *channel*."""
        if self.on_message is not None:
            self._call("on_message", self.on_message, text)

    def state(self, change: StateChange) -> None:
        """Tell a change of state."""
        for callback in self._on_state:
            self._call("on_state", callback, change)

    def error(self, error: Exception) -> None:
        """Tell an error, and keep it as the newest."""
        self.last_error = error
        self._tell_error(error)

    def _tell_error(self, error: Exception) -> None:
        if self._on_error is not None:
            self._call("on_error", self._on_error, error)

    def mute(self) -> None:
        """It was closed: no message is told from here on."""

    def after(self, work: Callable[[], None]) -> None:
        """Do *work* once all was told that came before it."""
        work()

    def counts(self) -> Counter[str]:
        """How they behaved, as ``tally`` names it."""
        return Counter(callback_errors=self.errors, callback_stalls=self.stalls)

    def _call(
        self, name: str, callback: Callable[..., object], argument: object
    ) -> None:
        before = self._clock.monotonic()
        try:
            callback(argument)
        # SystemExit and the like too: a callback cannot end its thread.
        except BaseException as error:
            self.errors += 1
            log.exception("%s of %s raised", name, self._label)
            if name != "on_error" and isinstance(error, Exception):
                # Here and now, wherever errors of the world are told.
                self.last_error = error
                self._tell_error(error)
        took = self._clock.monotonic() - before
        if took >= SLOW:
            self.stalls += 1
            log.warning("%s of %s took %.1f s", name, self._label, took)


class CallbackRunner:
    """Where the callbacks of one feed run: here, on its connections' own threads."""

    def callbacks(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None,
        on_state: Sequence[OnState],
        on_error: OnError | None,
    ) -> Callbacks:
        """Those of one more subscription."""
        return Callbacks(label, clock, on_message, on_state, on_error)

    @property
    def running(self) -> bool:
        """Whether there is a thread that does nothing else."""
        return False

    def start(self) -> None:
        """Something may be told from now on; ``RuntimeError`` without a thread."""

    def close(self) -> None:
        """Have it end once all was told; returns at once."""

    def join(self, timeout: float | None) -> bool:
        """Wait for that end; False if it has not come in time."""
        return True

    def forked(self) -> None:
        """In a forked child: ended, and no lock that another thread may have held."""


# A state change that only a caller's limit made is told once in this many seconds.
LIMIT_TOLD_EVERY = 1.0


class StateChangeFilter:
    """The state that was told last, and what is held back."""

    def __init__(self) -> None:
        self.state = State.CONNECTING
        # When to ask again about a change that is held back.
        self.again = math.inf
        self._for_limit = False
        self._told_at: dict[State, float] = {}

    def may_tell(self, verdict: Verdict, now: float) -> bool:
        """Whether the change to *verdict* is to be told now; then it counts as told."""
        self.again = math.inf
        if verdict.state is self.state or self.state.final:
            return False
        if verdict.limit or (verdict is LIVE and self._for_limit):
            again = self._told_at.get(verdict.state, -math.inf) + LIMIT_TOLD_EVERY
            if now < again:
                self.again = again
                return False
        self.state, self._for_limit = verdict.state, verdict.limit
        self._told_at[verdict.state] = now
        return True
