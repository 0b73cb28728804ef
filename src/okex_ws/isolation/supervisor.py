"""The supervisor: a thread that starts a worker process, and another at its end.

It knows nothing of subscriptions. It moves messages in both directions, and calls a
`ProcessObserver` for what happens to the process.
"""

from __future__ import annotations

import contextlib
import math
import random
import selectors
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from ..base.log import log
from ..base.retry import Reconnect, backoff
from ..base.threads import heed_fork, locked
from ..base.worker import LibraryThread
from ..net.stream import Selector
from .process import GarbageError, Unpacker, WorkerProcess, pack

# How often, in seconds, a silent process is checked.
CHECK_INTERVAL = 1.0


class ProcessObserver(Protocol):
    """What the supervisor calls, always on its own thread: an isolated feed's pool."""

    def process_started(self) -> None:
        """A new process runs, which needs everything by `Supervisor.send`."""
        ...

    def message_received(self, message: Any) -> None:
        """The process sent *message*."""
        ...

    def process_ended(self, why: str) -> None:
        """The process ended, or could not be started; another attempt will follow."""
        ...

    def supervisor_stopped(self) -> None:
        """The supervisor is closed, and will start no other process."""
        ...


class Supervisor:
    """A thread that keeps one worker process running until `close`, for *observer*.

    It moves messages in both directions, and starts another process when one ends,
    sends bytes that are not a message, or cannot be started; *observer* is told each
    time. *policy* says how long it waits before that, longer after each failure.
    *patience* is how many seconds a process has to end after `close`; then it is
    killed. *spawn* is a callable that starts a process. Any thread may call `send` and
    `close`, which return at once; what is sent while no process runs is dropped, as
    `process_started` sends everything anew.
    """

    def __init__(
        self,
        observer: ProcessObserver,
        name: str,
        policy: Reconnect,
        patience: float,
        spawn: Callable[[], WorkerProcess],
    ) -> None:
        self._observer = observer
        self._policy = policy
        self._patience = patience
        self._spawn = spawn
        self._process: WorkerProcess | None = None
        self._outgoing: deque[object] = deque()
        self._closing = False
        # Re-entrant, because a signal handler may call `send` or `close` on a thread
        # that holds the lock.
        self._lock = threading.RLock()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._waits: Iterator[float]
        self.thread = LibraryThread(name, self._turn, self._end)

    # --- From any thread ------------------------------------------------------------

    def start(self) -> None:
        """Start the thread; ``RuntimeError`` if the system gives none."""
        self._waits = self._new_waits()
        try:
            self.thread.start()
        except RuntimeError:
            self._close_wakers()
            raise

    @property
    def process_runs(self) -> bool:
        """Whether a process runs; each access asks the system."""
        process = self._process
        return process is not None and process.runs

    def send(self, *message: object) -> None:
        """Queue *message* for the process, in order; drop it if none runs."""
        if self._process is not None:
            self._outgoing.append(message)
        self._wake()

    def discard_unsent(self) -> None:
        """Drop the messages that wait to be sent."""
        self._outgoing.clear()

    def close(self) -> None:
        """Let the process and the thread end; returns at once."""
        self._closing = True
        self._wake()

    def forked(self) -> None:
        """In a forked child: close the sockets; the process stays the parent's."""
        self._lock = threading.RLock()
        self._closing = True
        self.thread.forked()
        if self._process is not None:
            self._process.forked()
            self._process = None
        self._close_wakers()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            locked(self._lock, lambda: self._sender.send(b"\0"))

    def _close_wakers(self) -> None:
        locked(self._lock, self._close_sockets)

    def _close_sockets(self) -> None:
        self._receiver.close()
        self._sender.close()

    # --- The thread -----------------------------------------------------------------

    def _turn(self) -> bool:
        """Serve one process until it ends, then wait; False once closed."""
        if self._closing:
            return False
        if hasattr(signal, "pthread_sigmask"):
            # Ctrl-C is to reach the script only. A process inherits this mask, so it is
            # protected from its start.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        began = time.monotonic()
        why = self._serve()
        if not self._closing:
            if time.monotonic() - began >= self._policy.healthy_after:
                self._waits = self._new_waits()
            self._observer.process_ended(why)
            self._idle(next(self._waits))
        return True

    def _end(self) -> None:
        self._observer.supervisor_stopped()
        self._close_wakers()

    def _new_waits(self) -> Iterator[float]:
        return backoff(self._policy.first, self._policy.cap, random.Random())

    def _idle(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with Selector() as selector:
            selector.register(self._receiver, selectors.EVENT_READ)
            while not self._closing and (left := until - time.monotonic()) > 0:
                selector.select(left)
                self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._receiver.recv(4096):
                pass

    def _serve(self) -> str:
        """Start one process and serve it until it ends; returns why it ended."""
        try:
            process = self._spawn()
        except BaseException as error:
            # The system refused, or another step of starting a process failed.
            return f"the reading process cannot be started: {error}"
        self._process = process
        why = ""
        try:
            self._observer.process_started()
            with Selector() as selector:
                selector.register(self._receiver, selectors.EVENT_READ)
                self._converse(process, selector)
        except GarbageError as error:
            why = f", as it said what makes no sense: {error}"
        except BaseException as bug:
            log.exception("internal error beside the reading process")
            why = f", after an internal error: {bug!r}"
        finally:
            # From here on `process_runs` is False, even while the process still ends.
            self._process = None
            how = process.end()
        return f"the reading process ended ({how}){why}"

    def _converse(self, process: WorkerProcess, selector: Any) -> None:
        """Exchange messages with *process* until it ends, or does not close in time."""
        unpacker, unsent = Unpacker(), bytearray()
        give_up, events = math.inf, 0
        while True:
            if self._closing and give_up == math.inf:
                self.send("close")
                give_up = time.monotonic() + self._patience
            unsent += self._packed()
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if unsent else 0)
            if wanted != events:
                if events:
                    selector.unregister(process.sock)
                selector.register(process.sock, events := wanted)
            left = min(give_up - time.monotonic(), CHECK_INTERVAL)
            if left <= 0:
                return
            selector.select(left)
            heed_fork()
            self._drain()
            runs = process.runs
            if unsent:
                del unsent[: process.send(unsent)]
            data = process.receive()
            for message in unpacker.feed(data or b""):
                self._observer.message_received(message)
            # The exit of the process is checked too, because a fork of it may keep its
            # end of the socket open.
            if data == b"" or (data is None and not runs):
                return

    def _packed(self) -> bytes:
        outgoing = self._outgoing
        return b"".join(pack(outgoing.popleft()) for _ in range(len(outgoing)))
