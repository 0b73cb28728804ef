"""The threads of the library: how one is started, kept alive, waited for and ended.

`LibraryThread` is the one place for what every thread of the library owes the script.
`WorkerThread` adds a queue of jobs, `AsyncClosing` how a coroutine waits for the end.
No thread has a lock that a thread of the script holds: a signal handler that interrupts
it may wait for the thread, or raise anywhere.
"""

from __future__ import annotations

import heapq
import itertools
import math
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .clock import Clock, SystemClock
from .log import log
from .threads import (
    Bell,
    Closing,
    Waiters,
    heed_fork,
    mark_library_thread,
    on_library_thread,
    running_loop,
)

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T", bound="AsyncClosing")
Job = Callable[[], object]

# Seconds of the longest pause after a turn that raised.
_LONGEST_PAUSE = 1.0
# Seconds after which a wait for the end of a thread looks again, because a fault in the
# thread's last lines may tell nothing.
_SLICE = 1.0
# Seconds after which a thread looks at its clock again, which may be an injected one.
_LONGEST_WAIT = 60.0


def _nothing() -> None:
    pass


def _say(fault: BaseException) -> None:
    name = threading.current_thread().name
    log.exception("internal error on the thread %s", name)


class LibraryThread:
    """A daemon thread of the library, which calls *turn* until that returns False.

    No exception of *turn* ends it, not even ``SystemExit``: *survive* is called with
    the exception (by default it is logged), and after a short pause *turn* is called
    again. *end* is a callable that the thread calls at its end, once. Any thread may
    call the methods, a signal handler too, at any point; only `join` and
    `join_in_loop` wait. A daemon, so that a script can end without closing what it
    opened.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], bool],
        end: Job = _nothing,
        survive: Callable[[BaseException], object] = _say,
    ) -> None:
        self._name, self._turn, self._end, self._survive = name, turn, end, survive
        self.started = False
        # The thread takes the only token when it begins. If a second thread is started,
        # because `start` was interrupted, it finds none and ends at once.
        self._token = [True]
        self._threads: list[threading.Thread] = []
        self._ended = False
        self._waiters = Waiters(SystemClock())

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        if self._ended:
            return False
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the thread, once; ``RuntimeError`` if the system gives none."""
        if not self.started and self._token:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._threads.append(thread)
            thread.start()
            self.started = True

    def end_unstarted(self) -> None:
        """End a thread that was never started: the caller does what is due at the end.

        If the thread was started, nothing happens.
        """
        if not self.started and self._take():
            try:
                self._end()
            finally:
                self._tell_end()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread.

        Returns False if it does not come within *timeout* seconds, and at once on the
        thread itself, which cannot wait for itself.
        """
        if threading.current_thread() in self._threads:
            return False
        give_up = math.inf if timeout is None else time.monotonic() + timeout
        while self.running:
            left = give_up - time.monotonic()
            if left <= 0:
                return False
            self._waiters.wait(min(left, _SLICE), self._has_ended)
        return True

    async def join_in_loop(
        self, loop: asyncio.AbstractEventLoop, seconds: float
    ) -> bool:
        """Wait as `join` does, in a coroutine; *loop* runs others meanwhile."""
        give_up = time.monotonic() + seconds
        while self.running:
            left = give_up - time.monotonic()
            if left <= 0:
                return False
            await self._waiters.wait_in_loop(loop, min(left, _SLICE), self._has_ended)
        return True

    def forked(self) -> None:
        """In a forked child: count as ended, unless the thread itself forked.

        It then goes on in the child, to its end. A thread that was never started is not
        started any more.
        """
        if threading.current_thread() not in self._threads:
            self._token.clear()
            self._ended = True

    def _has_ended(self) -> bool:
        return self._ended

    def _tell_end(self) -> None:
        self._ended = True
        self._waiters.wake()

    def _take(self) -> bool:
        with suppress(IndexError):
            return self._token.pop()
        return False

    # --- The thread -----------------------------------------------------------------

    def _run(self) -> None:
        if not self._take():
            return
        try:
            self._keep_on()
        except BaseException:
            # It was raised while another exception was handled there.
            self._keep_on()
        finally:
            try:
                self._end()
            except BaseException as fault:
                with suppress(BaseException):
                    self._survive(fault)
            finally:
                self._tell_end()

    def _keep_on(self) -> None:
        mark_library_thread()
        failures, going = 0, True
        while going:
            try:
                # If the turn before forked, this is the child.
                heed_fork()
                going = self._turn()
                failures = 0
            except BaseException as fault:
                failures += 1
                with suppress(BaseException):
                    self._survive(fault)
                # A turn that raises at once, each time, must not spin.
                time.sleep(min(0.001 * 2 ** min(failures, 10), _LONGEST_PAUSE))


def join_all(threads: Iterable[LibraryThread], timeout: float | None) -> bool:
    """Wait for the end of *threads*; False if *timeout* seconds are too few."""
    give_up = None if timeout is None else time.monotonic() + timeout
    ended = True
    for thread in threads:
        left = None if give_up is None else max(0.0, give_up - time.monotonic())
        ended &= thread.join(left)
    return ended


class AsyncClosing(Closing):
    """What a coroutine closes, too, while its event loop goes on.

    ``async with`` is as ``with``: it calls `aclose` at its end, even if the block
    raises, and does not suppress the exception.
    """

    @abstractmethod
    def close(self, timeout: float | None = 5.0) -> bool:
        """Close the object, and wait for its threads; have they ended?"""

    @abstractmethod
    def _ending(self) -> Iterable[LibraryThread]:
        """The threads that end some time after `close`."""

    def _in_virtual_time(self) -> bool:
        """Whether a close takes no time."""
        return False

    def aclose(self, timeout: float | None = 5.0) -> Coroutine[Any, Any, bool]:
        """Close as `close` does; awaited, it waits while the event loop goes on.

        It begins to close at the call: if the waiting is cancelled, the threads end all
        the same.
        """
        virtual = self._in_virtual_time()
        return self._aclose(self.close(timeout if virtual else 0.0), timeout)

    async def _aclose(self, ended: bool, timeout: float | None) -> bool:
        loop = running_loop("aclose()", "close()")
        if ended or on_library_thread():
            return ended
        # No thread of an executor waits, because the script's calls may block them all.
        give_up = math.inf if timeout is None else loop.time() + timeout
        for thread in self._ending():
            if not await thread.join_in_loop(loop, give_up - loop.time()):
                return False
        return True

    async def __aenter__(self: T) -> T:
        try:
            running_loop("async with", "close()")
        except RuntimeError:
            self.close(0.0)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()


class WorkerThread:
    """A thread that runs jobs, one at a time, in the order in which they are due.

    The first job starts it. An exception of a job is logged, and ends nothing. Any
    thread may call the methods, a signal handler too, at any point; only `join` waits.
    *bound* is how many jobs may wait at most. *end* is a callable that is called once
    after the last job: on the thread, or by `close` if no thread was started.
    """

    def __init__(
        self,
        name: str,
        clock: Clock | None = None,
        *,
        bound: float = math.inf,
        end: Job = _nothing,
    ) -> None:
        self._name = name
        self._clock = clock or SystemClock()
        self._bound = bound
        self.thread = LibraryThread(name, self._turn, end)
        self._numbers = itertools.count()
        # The jobs as they were submitted. The thread sorts them into *waiting*.
        self._submitted: deque[tuple[float, int, Job]] = deque()
        self._waiting: list[tuple[float, int, Job]] = []
        # Rung if there is news for the thread.
        self._news = Bell()
        self._closing = self._dropping = False

    def start(self) -> None:
        """Start the thread before its first job; ``RuntimeError`` if there is none."""
        self.thread.start()

    def submit(self, job: Job, wait: float = 0.0) -> bool:
        """Queue *job*, to be run in *wait* seconds.

        Returns False if it is not queued, because the queue is full or closed.

        Raises:
            RuntimeError: the system gave no thread.
        """
        if self._closing or len(self._submitted) + len(self._waiting) >= self._bound:
            return False
        self.thread.start()
        due = self._clock.monotonic() + wait
        self._submitted.append((due, next(self._numbers), job))
        self._news.ring()
        return True

    def close(self, *, drop: bool = False) -> None:
        """Take no more jobs, and let the thread end; returns at once.

        The jobs that wait are run at once, whenever they are due, or with *drop* never.
        """
        self._dropping = self._dropping or drop
        self._closing = True
        self._news.ring()
        self.thread.end_unstarted()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread, as `LibraryThread.join` does."""
        return self.thread.join(timeout)

    def forked(self) -> None:
        """In a forked child, where the thread does not exist: become closed."""
        self._closing = True
        self.thread.forked()

    # --- The thread -----------------------------------------------------------------

    def _turn(self) -> bool:
        """Run the next job, or wait for one; False when none is left and none comes."""
        closing = self._closing
        while self._submitted:
            heapq.heappush(self._waiting, self._submitted.popleft())
        if self._dropping:
            self._waiting.clear()
        left = _LONGEST_WAIT
        if self._waiting:
            left = self._waiting[0][0] - self._clock.monotonic()
        if self._waiting and (left <= 0 or closing):
            self._do(heapq.heappop(self._waiting)[2])
        elif closing:
            return False
        else:
            # An injected clock may reach the due time without any news.
            self._news.wait(min(left, _LONGEST_WAIT))
        return True

    def _do(self, job: Job) -> None:
        try:
            job()
        except BaseException:
            log.exception("internal error in a job of the thread %s", self._name)
