"""The callbacks and the log handler of a rig's script: they read, and make mischief.

A mischief is what a fault has one of them do: block, or raise. It is done once.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator

from okex_ws import (
    NotLive,
    OkexWSError,
    State,
    StateChange,
    WSSubscription,
)
from tests.campaign.judge import Judge

# What can make mischief.
ACTORS = ("on_message", "on_state", "on_error", "log handler")
# One text in so many is followed by reads: a script that reads at each would be late.
EVERY = 7

# What the script raises says so: it is no internal error of the library.
OWN = "the script's own"

# Given what the actor is told, it says whether it was done.
Mischief = Callable[[object], bool]


class Mischiefs:
    """What the actors of a rig are to do, each once; any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, Mischief] = {}

    def set(self, actor: str, mischief: Mischief) -> None:
        """Have *actor* do *mischief* when it is called, until that was done."""
        with self._lock:
            self._waiting[actor] = mischief

    def clear(self) -> None:
        """Nothing more is to be done."""
        with self._lock:
            self._waiting.clear()

    def waits_for(self, actor: str) -> bool:
        """Whether *actor* is to do something."""
        return actor in self._waiting

    def do(self, actor: str, told: object) -> None:
        """What *actor*, which was *told* something, is to do."""
        with self._lock:
            mischief = self._waiting.pop(actor, None)
        if mischief is not None and not mischief(told):
            with self._lock:
                self._waiting.setdefault(actor, mischief)


class ScriptLog(logging.Handler):
    """A log handler of the script: it is told what the library logs of one rig.

    *is_ours* tells a record of the rig from those of all others in the process. A
    handler is locked while it works, so another rig's records do not get so far.
    """

    def __init__(
        self, mischiefs: Mischiefs, is_ours: Callable[[logging.LogRecord], bool]
    ) -> None:
        super().__init__()
        self._mischiefs = mischiefs
        self._is_ours = is_ours

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether there is something to do at *record*."""
        return self._mischiefs.waits_for("log handler") and self._is_ours(record)

    def emit(self, record: logging.LogRecord) -> None:
        """Do it."""
        self._mischiefs.do("log handler", record)

    @contextlib.contextmanager
    def added(self) -> Iterator[None]:
        """Inside, the library's logger has it."""
        log = logging.getLogger("okex_ws")
        log.addHandler(self)
        try:
            yield
        finally:
            log.removeHandler(self)


class ReadingScript:
    """The callbacks of one subscription: each reads before it does its mischief."""

    def __init__(self, mischiefs: Mischiefs, told_error: Callable[[Exception], None]):
        self._mischiefs = mischiefs
        self._told_error = told_error
        self._judge: Judge | None = None
        self._inside: dict[str, Judge] = {}
        self._texts = 0

    def follow(self, judge: Judge) -> None:
        """Have *judge* be told, and read; what was told before is no evidence."""
        self._inside = {actor: judge.beside(f"in {actor}") for actor in ACTORS[:3]}
        self._judge = judge

    def on_message(self, text: str) -> None:
        """A text was published."""
        self._texts += 1
        if self._texts % EVERY == 0:
            self._read("on_message")
        self._mischiefs.do("on_message", text)

    def on_state(self, change: StateChange) -> None:
        """The state changed."""
        if self._judge is not None:
            self._judge.state_changed(change)
        self._read("on_state")
        self._mischiefs.do("on_state", change)

    def on_error(self, error: Exception) -> None:
        """Something went wrong."""
        self._told_error(error)
        self._read("on_error")
        self._mischiefs.do("on_error", error)

    def _read(self, actor: str) -> None:
        judge = self._inside.get(actor)
        if judge is not None:
            judge.read()
            look_around(judge.subscription, judge)


def look_around(subscription: WSSubscription, judge: Judge) -> None:
    """Ask a subscription for its state, and for what waits in a new iterator."""
    if not isinstance(subscription.state, State):
        judge.found.wrong.append(f"{subscription!r} has the state {subscription.state}")
    updates = subscription.updates(timeout=0.0)
    with contextlib.suppress(TimeoutError, StopIteration, NotLive, OkexWSError):
        for _ in range(3):
            next(updates)
