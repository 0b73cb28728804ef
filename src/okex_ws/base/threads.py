"""Closing by ``with``, repair after a fork, marks of threads, a bell, a latch."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, TypeVar

T = TypeVar("T", bound="Closing")
R = TypeVar("R")


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

    `register_for_fork` has `forked` called in the child, on its only thread.
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


def register_for_fork(objects: Iterable[ForkAware]) -> None:
    """Call `ForkAware.forked` on each of *objects* in every forked child.

    *objects* is read at the fork, so that it may grow and shrink before.
    """

    def forked() -> None:
        for each in list(objects):
            each.forked()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)


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
