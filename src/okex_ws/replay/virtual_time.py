"""Virtual time: one thread at a time, in a fixed order, and nothing that waits.

The director's thread lets each of the others go that has something to do, one after
the other, until none has; then it alone moves the clock. What a program reads between
two moves is therefore the same every time.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ..base.threads import on_library_thread
from .script import Moment

# A wait of nothing, so often in a row, lets a microsecond pass: who spins does not stop
# the clock.
_SPINS = 100


class EventSource(Protocol):
    """What a player waits for, beside time and a call."""

    def due(self) -> float:
        """When something comes for it."""
        ...


class ScheduledThread:
    """A thread of the stage: it runs while it has the baton."""

    def __init__(self, source: EventSource) -> None:
        self.source = source
        self.turn = threading.Semaphore(0)
        # Has nothing to do before; its first step comes at once.
        self.until = -math.inf
        self.woken = False
        self.gone = False
        self.spins = 0

    def is_ready(self, now: float) -> bool:
        """Whether it has anything to do."""
        return self.woken or self.until <= now or self.source.due() <= now


class VirtualScheduler:
    """The players, in the order in which their threads were made, and their clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._threads: list[ScheduledThread] = []
        self._back = threading.Semaphore(0)
        # Nobody waits for anything any more.
        self._over = False

    # --- The director ---------------------------------------------------------------

    def settle(self) -> None:
        """Let everyone go on until none has anything to do at this moment."""
        while not self._over and (scheduled := self._ready()) is not None:
            scheduled.turn.release()
            self._back.acquire()

    def _ready(self) -> ScheduledThread | None:
        now = self.clock.now
        self._threads = [scheduled for scheduled in self._threads if not scheduled.gone]
        return next((each for each in self._threads if each.is_ready(now)), None)

    def due(self) -> float:
        """When somebody has something to do, once all is settled."""
        return min(
            (min(each.until, each.source.due()) for each in self._threads),
            default=math.inf,
        )

    def move(self, now: float) -> None:
        """Set the clock on to *now*, and let happen what is due."""
        self.clock.now = max(self.clock.now, now)
        self.settle()

    def end(self) -> None:
        """Let everyone go at once, and for good."""
        self._over = True
        for scheduled in list(self._threads):
            scheduled.turn.release()

    # --- The players ----------------------------------------------------------------

    def thread(
        self, scheduled: ScheduledThread, run: Callable[[], None], name: str
    ) -> threading.Thread:
        """The thread of *scheduled*, not started yet."""
        return _TurnThread(self, scheduled, run, name)

    def enter(self, scheduled: ScheduledThread) -> None:
        """Its thread was started, and waits for its first turn."""
        self._threads.append(scheduled)

    def pause(self, scheduled: ScheduledThread, seconds: float) -> None:
        """*scheduled* has nothing to do for so long, unless something comes for it."""
        now = self.clock.now
        scheduled.spins = 0 if seconds > 0 else scheduled.spins + 1
        least = math.nextafter(now, math.inf) if seconds > 0 else now
        if scheduled.spins > _SPINS:
            least = now + 1e-6
        scheduled.until = max(now + seconds, least)
        self._back.release()
        if not self._over:
            scheduled.turn.acquire()
        scheduled.woken = False

    def leave(self, scheduled: ScheduledThread) -> None:
        """Its thread is about to end."""
        scheduled.gone = True
        self._back.release()


class _TurnThread(threading.Thread):
    """A thread that runs when it is its turn."""

    def __init__(
        self,
        scheduler: VirtualScheduler,
        scheduled: ScheduledThread,
        run: Callable[[], None],
        name: str,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._scheduler = scheduler
        self._scheduled = scheduled
        self._work = run

    def start(self) -> None:
        super().start()
        self._scheduler.enter(self._scheduled)

    def run(self) -> None:
        self._scheduled.turn.acquire()
        try:
            self._work()
        finally:
            self._scheduler.leave(self._scheduled)

    def join(self, timeout: float | None = None) -> None:
        """Let it end, if it can without that time passes."""
        # A look without waiting may be under a lock that a player needs.
        if not (self._scheduled.gone or timeout == 0 or on_library_thread()):
            self._scheduler.settle()
        if self._scheduled.gone:
            super().join(timeout)


class RecordedClock:
    """A clock that stands at *now* (of the recording's monotonic clock) until moved."""

    def __init__(self, moments: Sequence[Moment], now: float) -> None:
        self._moments = moments
        self.now = now

    def monotonic(self) -> float:
        """Seconds of the clock of the machine that recorded."""
        return self.now

    def wall(self) -> float:
        """Epoch seconds, as that machine believed."""
        now = self.monotonic()
        place = bisect.bisect_right(self._moments, now, key=lambda each: each.mono)
        mono, wall = self._moments[max(0, place - 1)]
        return wall + (now - mono)


class VirtualClock(RecordedClock):
    """One that only `pass_time` moves: time passes where somebody waits for it."""

    # Lets at most so many seconds pass; set by whoever moves the clock.
    pass_time: Callable[[float], object]

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        """See `timing.Timekeeper`."""
        changed.release()
        try:
            self.pass_time(seconds)
        finally:
            changed.acquire()


class ScaledClock(RecordedClock):
    """One that runs *speed* times as fast as the machine's, from `start` on."""

    def __init__(
        self,
        moments: Sequence[Moment],
        now: float,
        speed: float,
        machine: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(moments, now)
        self.speed = speed
        self._machine = machine
        self._started: float | None = None

    def start(self) -> None:
        """Run, from now on."""
        if self._started is None:
            self._started = self._machine()

    def monotonic(self) -> float:
        """Seconds of the clock of the machine that recorded."""
        if self._started is None:
            return self.now
        return self.now + (self._machine() - self._started) * self.speed
