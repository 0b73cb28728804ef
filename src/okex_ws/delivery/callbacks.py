"""Runs a script's callbacks: an exception in one never ends the calling thread."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence

from ..base.clock import Clock
from ..base.state import State
from ..channels.reading import Reading
from ..model.reports import StateChange
from ..trust.verdict import LIVE, Verdict

log = logging.getLogger("okex_ws")

OnMessage = Callable[[str], object]
OnState = Callable[[StateChange], object]
OnError = Callable[[Exception], object]

# A callback that takes longer than this, in seconds, is logged and counted.
SLOW = 1.0


def check_callables(**callbacks: object) -> None:
    """Raise ``TypeError`` for a callback that cannot be called, with its name."""
    for name, callback in callbacks.items():
        if callback is not None and not callable(callback):
            raise TypeError(f"{name} is a function or None, got {callback!r}")


class Callbacks:
    """Runs the callbacks of one subscription on the calling thread.

    That is the thread of a connection: the connection reads nothing until the callback
    has returned. A caller holds the lock `View.turn`, so that two callbacks of a
    subscription never run at the same time. An exception of a callback, even
    `SystemExit`, is logged and counted, and never ends the thread; ordinary ones are
    passed to ``on_error`` too. A callback that takes a second or more is logged and
    counted. `QueuedCallbacks` runs them on another thread.
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
        """The subscription was attached to the feed; its final state will follow."""

    def message(self, text: str, reading: Reading) -> None:
        """Call ``on_message`` with the exchange's JSON text of a push of *channel*."""
        if self.on_message is not None:
            self._call("on_message", self.on_message, text)

    def state(self, change: StateChange) -> None:
        """Call each ``on_state`` with *change*."""
        for callback in self._on_state:
            self._call("on_state", callback, change)

    def error(self, error: Exception) -> None:
        """Call ``on_error``, and keep *error* as the last one."""
        self.last_error = error
        self._tell_error(error)

    def _tell_error(self, error: Exception) -> None:
        if self._on_error is not None:
            self._call("on_error", self._on_error, error)

    def mute(self) -> None:
        """The subscription was closed: deliver no more messages."""

    def drain(self) -> None:
        """Run what waits."""

    def after(self, work: Callable[[], None]) -> None:
        """Run *work* once everything before it was delivered."""
        work()

    def counts(self) -> Counter[str]:
        """How many callbacks raised or were slow, under the names of `Stats`."""
        return Counter(callback_errors=self.errors, callback_stalls=self.stalls)

    def _call(
        self, name: str, callback: Callable[..., object], argument: object
    ) -> None:
        before = self._clock.monotonic()
        try:
            callback(argument)
        # SystemExit and KeyboardInterrupt too: a callback cannot end the thread.
        except BaseException as error:
            self.errors += 1
            log.exception("%s of %s raised", name, self._label)
            if name != "on_error" and isinstance(error, Exception):
                # On this thread and at once, even where `error` would queue it.
                self.last_error = error
                self._tell_error(error)
        took = self._clock.monotonic() - before
        if took >= SLOW:
            self.stalls += 1
            log.warning("%s of %s took %.1f s", name, self._label, took)


class CallbackRunner:
    """Where the callbacks of a feed run: here, on the threads of its connections.

    It is what ``callbacks='inline'`` selects, and has no thread, so that its methods
    for one do nothing. `Dispatcher` (``'thread'``) runs the callbacks on a thread of
    its own. Subscriptions and the pool call the methods, on any thread.
    """

    def callbacks(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None,
        on_state: Sequence[OnState],
        on_error: OnError | None,
    ) -> Callbacks:
        """Make the `Callbacks` of one subscription."""
        return Callbacks(label, clock, on_message, on_state, on_error)

    @property
    def running(self) -> bool:
        """Whether a thread of the runner's own is running; this class has none."""
        return False

    def start(self) -> None:
        """Start the runner's thread, if it has one; ``RuntimeError`` if it cannot."""

    def close(self) -> None:
        """Let the thread end once everything was delivered; returns at once."""

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread; False if *timeout* seconds were too few."""
        return True

    def forked(self) -> None:
        """In a forked child: end without a callback, and replace every lock.

        A thread of the parent may have held a lock at the fork.
        """


# A state change that only a limit of the script caused is delivered at most once in
# this many seconds.
LIMIT_TOLD_EVERY = 1.0


class StateChangeFilter:
    """Decides which state changes of a subscription are delivered, and when.

    It keeps the last state that was delivered, so that each change is delivered once. A
    price near a limit of the script (*max_age*, say) would change the state many times
    a second: such a change is delivered at most once a second for each state, and
    *again* is when to ask for the one that is held back. Changes for other reasons are
    delivered at once. After a final state nothing is. The view calls it, holding
    `View.turn`.
    """

    def __init__(self) -> None:
        self.state = State.CONNECTING
        # When to ask again about a change that is held back, in monotonic seconds.
        self.again = math.inf
        self._for_limit = False
        self._told_at: dict[State, float] = {}

    def may_tell(self, verdict: Verdict, now: float) -> bool:
        """True if the change to *verdict* is to be delivered now.

        The call then counts as its delivery.
        """
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
