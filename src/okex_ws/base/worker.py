"""The threads of the library: how one is started, kept alive, waited for and ended.

`LibraryThread` is the one place for what every thread of the library owes the script.
`WorkerThread` adds a queue of jobs.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

from .clock import Clock, SystemClock
from .log import log
from .threads import Latch, mark_library_thread

Job = Callable[[], object]

# Seconds of the longest pause after a turn that raised.
_LONGEST_PAUSE = 0.5
# Seconds after which a thread looks at its clock again, which may be an injected one.
_LONGEST_WAIT = 60.0


def _nothing() -> None:
    pass


class LibraryThread:
    """A daemon thread of the library, which calls *turn* until that returns False.

    Whatever *turn* raises, ``SystemExit`` too, is logged and ends nothing: after a
    short pause *turn* is called again. *end* is a callable that the thread calls at its
    end, once. Any thread may call the methods, a signal handler too, at any point; only
    `join` waits. A daemon, so that a script can end without closing what it opened.
    """

    def __init__(
        self, name: str, turn: Callable[[], bool], end: Job = _nothing
    ) -> None:
        self._name, self._turn, self._end = name, turn, end
        # Re-entrant: a signal handler may interrupt a thread that holds it.
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        # Whether a thread has taken the work. If a signal handler interrupts `start`, a
        # second one may be started, and ends at once.
        self._taken = False
        self._ended = Latch()

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and not self._ended.is_set

    def start(self) -> None:
        """Start the thread, once; ``RuntimeError`` if the system gives none."""
        with self._lock:
            if self._thread is None and not self._ended.is_set:
                thread = threading.Thread(
                    target=self._run, name=self._name, daemon=True
                )
                thread.start()
                self._thread = thread

    def end_unstarted(self) -> None:
        """End a thread that was never started: the caller does what is due at the end.

        If the thread was started, nothing happens.
        """
        with self._lock:
            if self._thread is not None or self._taken:
                return
            self._taken = True
        try:
            self._end()
        finally:
            self._ended.set()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread.

        Returns False if it does not come within *timeout* seconds, and at once on the
        thread itself, which cannot wait for itself.
        """
        if self._thread is threading.current_thread():
            return False
        return self._thread is None or self._ended.wait(timeout)

    def forked(self) -> None:
        """In a forked child, where the thread does not exist: count as ended."""
        self._lock = threading.RLock()
        self._ended = Latch()
        self._ended.set()

    # --- The thread -----------------------------------------------------------------

    def _run(self) -> None:
        mark_library_thread()
        with self._lock:
            if self._taken:
                return
            self._taken, self._thread = True, threading.current_thread()
        try:
            going = True
            while going:
                # The second guard is for what is raised inside the first.
                try:
                    self._keep_on()
                    going = False
                except BaseException:
                    log.exception("internal error on the thread %s", self._name)
        finally:
            try:
                self._end()
            except BaseException:
                log.exception("internal error at the end of the thread %s", self._name)
            finally:
                self._ended.set()

    def _keep_on(self) -> None:
        failures, going = 0, True
        while going:
            try:
                going = self._turn()
                failures = 0
            except BaseException:
                failures += 1
                log.exception("internal error on the thread %s", self._name)
                # A turn that raises at once, each time, must not spin.
                time.sleep(min(0.001 * 2 ** min(failures, 10), _LONGEST_PAUSE))


class WorkerThread:
    """A thread that runs jobs, one at a time, in the order in which they are due.

    The first job starts it. Whatever a job raises is logged, and ends nothing. Any
    thread may call the methods, a signal handler too, at any point; only `join` waits.
    *bound* is how many jobs may wait at most. *end* is a callable that is called once
    after the last job: on the thread, or by `close` if no thread was started.
    """

    def __init__(
        self,
        name: str,
        clock: Clock | None = None,
        *,
        bound: int | None = None,
        end: Job = _nothing,
    ) -> None:
        self._name = name
        self._clock = clock or SystemClock()
        self._bound = bound
        self._thread = LibraryThread(name, self._turn, end)
        # Not entered by `with self._changed`, whose methods are Python: a signal
        # handler that raises inside them would leave the lock held for ever.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, Job]] = []
        self._closing = False

    def start(self) -> None:
        """Start the thread before its first job; ``RuntimeError`` if there is none."""
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread.running

    def submit(self, job: Job, wait: float = 0.0) -> bool:
        """Queue *job*, to be run in *wait* seconds.

        Returns False if it is not queued, because the queue is full or closed.

        Raises:
            RuntimeError: the system gave no thread.
        """
        due = self._clock.monotonic() + wait
        with self._lock:
            if self._closing or len(self._waiting) == self._bound:
                return False
            self._thread.start()
            heapq.heappush(self._waiting, (due, next(self._numbers), job))
            self._changed.notify()
            return True

    def close(self, *, drop: bool = False) -> None:
        """Take no more jobs, and let the thread end; returns at once.

        The jobs that wait are run at once, whenever they are due, or with *drop* never.
        """
        with self._lock:
            self._closing = True
            if drop:
                self._waiting.clear()
            self._changed.notify()
        self._thread.end_unstarted()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread, as `LibraryThread.join` does."""
        return self._thread.join(timeout)

    def forked(self) -> None:
        """In a forked child, where the thread does not exist: become closed.

        The lock is replaced, because another thread may have held it.
        """
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closing = True
        self._waiting = []
        self._thread.forked()

    # --- The thread -----------------------------------------------------------------

    def _turn(self) -> bool:
        job = self._next()
        if job is None:
            return False
        try:
            job()
        except BaseException:
            log.exception("internal error in a job of the thread %s", self._name)
        return True

    def _next(self) -> Job | None:
        with self._lock:
            while self._waiting or not self._closing:
                left = _LONGEST_WAIT
                if self._waiting:
                    left = self._waiting[0][0] - self._clock.monotonic()
                    if left <= 0 or self._closing:
                        return heapq.heappop(self._waiting)[2]
                # An injected clock may reach the due time without a notification.
                self._changed.wait(min(left, _LONGEST_WAIT))
        return None
