"""Virtual time: threads run one at a time, in a fixed order, and none waits for real.

The director is the program's own thread. It lets each scheduled thread that has
something to do run, one after the other, until none has; then the director alone moves
the clock. So what a program reads between two moves is the same each time.
"""

from __future__ import annotations

import bisect
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..base.threads import on_library_thread
from ..base.worker import LibraryThread
from .script import Moment

# After so many waits of 0 s in a row a wait takes a microsecond, so that a thread that
# spins does not stop the clock.
_SPINS = 100


class EventSource(Protocol):
    """What a scheduled thread waits for, beside the clock and a wake-up."""

    def due(self) -> float:
        """When the next event comes for the thread."""
        ...


class ScheduledThread:
    """What the scheduler knows of one thread, which runs only while it has the turn."""

    def __init__(self, source: EventSource) -> None:
        self.source = source
        self.turn = threading.Semaphore(0)
        # When the thread has something to do next. Its first step comes at once.
        self.until = -math.inf
        self.woken = False
        self.gone = False
        self.spins = 0

    def is_ready(self, now: float) -> bool:
        """Whether the thread has something to do at *now*."""
        return self.woken or self.until <= now or self.source.due() <= now


class VirtualScheduler:
    """Runs the threads of a replay in virtual time, one at a time, in a fixed order.

    Without it, the operating system would decide the order, and two replays could give
    different outputs. The director, the script's own thread, calls `settle` and `move`,
    and waits there while a thread has the turn. A scheduled thread calls `pause` to
    pass the turn back, and `leave` at its end. A thread that blocks elsewhere would
    stop the replay. After `end` all threads run freely.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self._threads: list[ScheduledThread] = []
        self._back = threading.Semaphore(0)
        # Set by `end`: no thread waits for a turn any more.
        self._over = False

    # --- The director ---------------------------------------------------------------

    def settle(self) -> None:
        """Let threads run, one at a time, until none has anything to do now."""
        while not self._over and (scheduled := self._ready()) is not None:
            scheduled.turn.release()
            self._back.acquire()

    def _ready(self) -> ScheduledThread | None:
        now = self.clock.now
        self._threads = [scheduled for scheduled in self._threads if not scheduled.gone]
        return next((each for each in self._threads if each.is_ready(now)), None)

    def due(self) -> float:
        """When a thread next has something to do, once `settle` has returned."""
        return min(
            (min(each.until, each.source.due()) for each in self._threads),
            default=math.inf,
        )

    def move(self, now: float) -> None:
        """Move the clock on to *now*, and let the threads run that are due."""
        self.clock.now = max(self.clock.now, now)
        self.settle()

    def end(self) -> None:
        """Let all threads run at once, without turns, for good."""
        self._over = True
        for scheduled in list(self._threads):
            scheduled.turn.release()

    # --- The scheduled threads ------------------------------------------------------

    def enter(self, scheduled: ScheduledThread) -> None:
        """Add the thread of *scheduled*, which starts and waits for its first turn."""
        if scheduled not in self._threads:
            self._threads.append(scheduled)

    def pause(self, scheduled: ScheduledThread, seconds: float) -> None:
        """Pass the turn back for *seconds*, or until an event or a wake-up comes."""
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
        """Remove the thread of *scheduled*, which is about to end."""
        scheduled.gone = True
        self._back.release()


class TurnThread(LibraryThread):
    """A thread that runs only when the scheduler gives it the turn."""

    def __init__(
        self, scheduler: VirtualScheduler, scheduled: ScheduledThread, *parts: Any
    ) -> None:
        super().__init__(*parts)
        self._scheduler = scheduler
        self._scheduled = scheduled

    def start(self) -> None:
        """Start the thread, which waits for its first turn."""
        super().start()
        self._scheduler.enter(self._scheduled)

    def _run(self) -> None:
        self._scheduled.turn.acquire()
        try:
            super()._run()
        finally:
            self._scheduler.leave(self._scheduled)

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread to end, if it can end before any time passes."""
        # The caller of a join with a time-out of 0 may hold a lock that a scheduled
        # thread needs.
        if not (self._scheduled.gone or timeout == 0 or on_library_thread()):
            self._scheduler.settle()
        return super().join(timeout if self._scheduled.gone else 0.0)


class RecordedClock:
    """A clock in the time of a recording that stands at *now* until it is moved.

    *now* is of the monotonic clock of the machine that recorded. The wall clock is
    found from the recorded *moments*. Any thread may read it.
    """

    def __init__(self, moments: Sequence[Moment], now: float) -> None:
        self._moments = moments
        self.now = now

    def monotonic(self) -> float:
        """Seconds of the monotonic clock of the machine that recorded."""
        return self.now

    def wall(self) -> float:
        """Epoch seconds of the wall clock of the machine that recorded."""
        now = self.monotonic()
        place = bisect.bisect_right(self._moments, now, key=lambda each: each.mono)
        mono, wall = self._moments[max(0, place - 1)]
        return wall + (now - mono)


class VirtualClock(RecordedClock):
    """The clock of virtual time: it moves only while the script waits.

    A thread or coroutine that waits calls *pass_time*.
    """

    # Lets at most so many seconds pass. The replay sets it.
    pass_time: Callable[[float], object]


class ScaledClock(RecordedClock):
    """A clock that runs *speed* times as fast as the machine's, from `start` on."""

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
        """Start the clock, unless it runs already."""
        if self._started is None:
            self._started = self._machine()

    def monotonic(self) -> float:
        """Seconds of the monotonic clock of the machine that recorded."""
        if self._started is None:
            return self.now
        return self.now + (self._machine() - self._started) * self.speed
