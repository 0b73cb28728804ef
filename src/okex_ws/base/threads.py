"""Closing by ``with``, repair after a fork, marks of threads, and all that waits.

A waiter is a thread (`Bell`) or a coroutine of asyncio (`LoopBell`); `Waiters` wakes
both. asyncio is imported by the first coroutine that waits, not by the library.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

from .clock import Clock, Paced, Timekeeper

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T", bound="Closing")
R = TypeVar("R")

# So many steps a coroutine takes without letting others run, if it never has to wait.
_TURN = 64


class Closing(ABC):
    """The base of what a script can close: ``with`` calls `close` at its end.

    It does so even if the block raises, and does not suppress the exception.
    """

    @abstractmethod
    def close(self) -> object:
        """Close the object. A second call does nothing."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ForkAware(Protocol):
    """An object with locks or sockets, which it must repair in a forked child process.

    `heed_fork` calls `forked` in the child, at the first use of any such object, on the
    thread that uses it.
    """

    def forked(self) -> None:
        """Repair the object in the child.

        None of the parent's threads runs in the child, so that a lock which one of them
        held at the fork is never released.
        """
        ...


_here = threading.local()


class _Life:
    """An object that one thread keeps, and the interpreter deletes with it."""


def thread_life() -> Callable[[], object]:
    """Make a callable that returns ``None`` once the calling thread has ended.

    The interpreter deletes what a thread keeps in a ``threading.local`` when the thread
    ends for any reason, and in a forked child. A read can afford the call, which costs
    a tenth of ``is_alive``.
    """
    life = vars(_here).setdefault("life", _Life())
    return weakref.ref(life)


class _Forks:
    """How often the line of this process was forked, and how often that was heeded.

    A fork hook cannot foresee whether the child runs another program at once, as a
    child of gevent's ``subprocess`` does, to which the parent hands descriptors. So the
    hook stores one number. What uses an object compares the two numbers; the first use
    in a child finds them different, and repairs all objects.
    """

    def __init__(self) -> None:
        self.number = self.heeded = 0
        self.objects: list[Iterable[ForkAware]] = []
        # For each fork the lock of those who heed it: the parent may hold its own.
        self.locks: dict[int, threading.RLock] = {}
        self.heeding = False

    def count(self) -> None:
        """Count a fork, in the child."""
        self.number += 1


forks = _Forks()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forks.count)


def register_for_fork(objects: Iterable[ForkAware]) -> None:
    """Call `ForkAware.forked` on each of *objects* in a forked child that uses one.

    *objects* is read then, so that it may grow and shrink before.
    """
    forks.objects.append(objects)


def heed_fork() -> None:
    """Repair all registered objects, if this process was forked since they were made.

    Every use of such an object calls it first, and so does what makes a new one.
    """
    if forks.number != forks.heeded:
        number = forks.number
        locked(forks.locks.setdefault(number, threading.RLock()), _repair)


def _repair() -> None:
    if forks.heeding or forks.number == forks.heeded:
        return
    forks.heeding = True
    try:
        for objects in forks.objects:
            for each in list(objects):
                each.forked()
    finally:
        forks.heeded, forks.heeding = forks.number, False


# What the parent has buffered for a file is not written by the child, too.
atexit.register(heed_fork)


# A function that queues a job for one connection's thread, which runs jobs in order.
Submit = Callable[[Callable[[], None]], None]


def mark_library_thread() -> None:
    """Mark the calling thread as one that the library started."""
    _here.ours = True


def on_library_thread() -> bool:
    """Whether the calling thread is one that the library started."""
    return getattr(_here, "ours", False)


def is_for_script(error: BaseException) -> bool:
    """Whether *error*, raised by code of the script, must reach the script.

    On a thread of the library nothing must: no such exception may end the thread. On a
    thread of the script a ``KeyboardInterrupt`` or ``SystemExit`` is an order of the
    script or of its signal handler, and passes.
    """
    return not (isinstance(error, Exception) or on_library_thread())


def locked(lock: AbstractContextManager[object], change: Callable[[], R]) -> R:
    """Call *change* while the calling thread holds *lock*, and return its result.

    For locks that threads of the script take. The ``with`` is one line on purpose: an
    exception of a trace function or signal handler cannot come between the end of
    *change* and the release. So *change* can raise anywhere, and the lock is released.
    """
    with lock: return change()  # fmt: skip  # noqa: E701


class Bell:
    """What one thread waits for again and again, and any thread rings.

    It remembers one ring until the next `wait`. A signal handler may ring it at any
    point, because nothing is locked meanwhile.
    """

    def __init__(self) -> None:
        # Open after a ring.
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """End the present or the next `wait`; returns at once."""
        # The check costs less than the exception; another thread may come between.
        if self._lock.locked():
            with contextlib.suppress(RuntimeError):
                self._lock.release()

    def wait(self, seconds: float = threading.TIMEOUT_MAX) -> bool:
        """Return True at a ring, or False after *seconds*. Only one thread waits."""
        return self._lock.acquire(timeout=seconds)


class LoopBell:
    """What one coroutine waits for, on *loop*; any thread rings, once.

    The future that the coroutine waits for carries nothing: a cancellation of the
    coroutine cannot lose anything with it. A loop that blocks gets one call, however
    often the bell is rung. A closed loop runs no coroutine that could be woken.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()
        self._rung = False

    def ring(self) -> None:
        """End the wait; returns at once. A signal handler may call it at any point."""
        if self._rung:
            return
        try:
            self._loop.call_soon_threadsafe(self._end)
        except RuntimeError:
            if not self._loop.is_closed():
                raise
        # Last, in case a signal handler raises. Two calls do no harm.
        self._rung = True

    async def wait(self, seconds: float) -> None:
        """Return at a ring or after *seconds*, once the loop had its turn."""
        timer = self._loop.call_later(seconds, self._end)
        try:
            await self._future
        finally:
            timer.cancel()

    def _end(self) -> None:
        if not self._future.done():
            self._future.set_result(None)


class Rings(Protocol):
    """What is told that it has to look again; any thread may call it, at any point."""

    def ring(self) -> None:
        """Look again, later and on a thread of its own; returns at once."""
        ...


class Waiters:
    """The threads and coroutines that wait for one thing, by *clock*.

    A waiter is registered before it asks a last time whether the thing *is_done*, so
    that it misses no change. No lock is held: any thread may call `wake`, a signal
    handler too, at any point. In virtual time a waiter lets time pass instead.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.bells: set[Rings] = set()

    def wake(self) -> None:
        """Have all that wait look again; returns at once."""
        # The copy is one step, because waiters come and go meanwhile.
        for bell in list(self.bells):
            bell.ring()

    def wait(self, seconds: float, is_done: Callable[[], bool]) -> None:
        """Block the thread until `wake` is called, or for *seconds* at the most."""
        if isinstance(self._clock, Timekeeper):
            if not is_done():
                self._clock.pass_time(seconds)
            return
        bell = Bell()
        try:
            self.bells.add(bell)
            if not is_done():
                bell.wait(self._real(seconds))
        finally:
            self.bells.discard(bell)

    async def wait_in_loop(
        self,
        loop: asyncio.AbstractEventLoop,
        seconds: float,
        is_done: Callable[[], bool],
    ) -> None:
        """Wait as `wait` does, in a coroutine of *loop*, which runs others meanwhile.

        Others have their turn even if the thing is done.
        """
        bell = LoopBell(loop)
        try:
            self.bells.add(bell)
            if is_done():
                seconds = 0.0
            elif isinstance(self._clock, Timekeeper):
                self._clock.pass_time(seconds)
                seconds = 0.0
            await bell.wait(self._real(seconds))
        finally:
            self.bells.discard(bell)

    def _real(self, seconds: float) -> float:
        """Seconds of the machine's clock, which a replay's clock may run ahead of."""
        clock = self._clock
        return seconds / clock.speed if isinstance(clock, Paced) else seconds


def running_loop(what: str, instead: str) -> asyncio.AbstractEventLoop:
    """The event loop, asyncio's or uvloop's, that runs the calling coroutine.

    ``RuntimeError`` says that *what* needs one, and that *instead* blocks a thread.
    """
    import asyncio

    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            f"{what} needs a running event loop of asyncio or uvloop: without one, as"
            f" under trio, call {instead} on a thread (trio.to_thread.run_sync)"
        ) from None


def in_event_loop() -> bool:
    """Whether an event loop of asyncio runs on the calling thread."""
    asyncio = sys.modules.get("asyncio")
    with contextlib.suppress(RuntimeError):
        return asyncio is not None and asyncio.get_running_loop() is not None
    return False


async def share_loop() -> None:
    """Let the other coroutines of this thread run, at every 64th call.

    A coroutine that never has to wait would not let them.
    """
    _here.steps = steps = (getattr(_here, "steps", 0) + 1) % _TURN
    if not steps:
        import asyncio

        await asyncio.sleep(0)


class Latch:
    """A flag that is set once, and that any thread can wait for.

    Unlike a `threading.Event`, it can be set by a signal handler that interrupts its
    own thread anywhere in `set` or `wait`: an event would wait for its own lock then.
    """

    def __init__(self) -> None:
        self.is_set = False
        # Held until the latch is set. Each waiting thread takes it, and passes it on.
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Set the flag, and let all waiting threads go on."""
        self.is_set = True
        self._open()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the flag is set, for *timeout* seconds at most; is it set?"""
        longest = threading.TIMEOUT_MAX
        try:
            if not self.is_set:
                left = longest if timeout is None else min(max(timeout, 0.0), longest)
                self._lock.acquire(timeout=left)
        finally:
            if self.is_set:
                self._open()
        return self.is_set

    def _open(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is open
            self._lock.release()
