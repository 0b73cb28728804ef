"""The thread that keeps a process alive: started, listened to, and started again.

Its owner's subscriptions are nobody's but its owner's; here is what happens to a child.
"""

from __future__ import annotations

import contextlib
import logging
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

from ..base.retry import Reconnect, backoff
from ..base.threads import mark_library_thread
from ..net.stream import Selector
from .process import GarbageError, Unpacker, WorkerProcess, pack

log = logging.getLogger("okex_ws")

# How often a child is looked at that says nothing.
CHECK_INTERVAL = 1.0


class ProcessObserver(Protocol):
    """Whose child it is. All of it is called on the keeper's thread."""

    def process_started(self) -> None:
        """A child runs: `Supervisor.send` it everything."""
        ...

    def message_received(self, message: Any) -> None:
        """It said something."""
        ...

    def process_ended(self, why: str) -> None:
        """It ended, or could not be started; it is started again in a while."""
        ...

    def supervisor_stopped(self) -> None:
        """No child will be started any more."""
        ...


class Supervisor:
    """A child that *observer* wants, until it is closed.

    *patience* is how many seconds a child has for its goodbye. *spawn* makes one.
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
        # Re-entrant: a signal handler may wake in the middle of a wake-up.
        self._lock = threading.RLock()
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    # --- From any thread ------------------------------------------------------------

    def start(self) -> None:
        """Start the thread; ``RuntimeError`` if there is none to be had."""
        try:
            self._thread.start()
        except RuntimeError:
            self._close_wakers()
            raise

    @property
    def process_runs(self) -> bool:
        """Whether there is a child that did not end: asked of the system, each time."""
        process = self._process
        return process is not None and process.runs

    @property
    def running(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def send(self, *message: object) -> None:
        """Have the child told, in order; nothing if there is none."""
        with self._lock:
            if self._process is not None:
                self._outgoing.append(message)
        self._wake()

    def discard_unsent(self) -> None:
        """Forget what was to be told."""
        with self._lock:
            self._outgoing.clear()

    def close(self) -> None:
        """Have the child and the thread end; returns at once."""
        self._closing = True
        self._wake()

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread's end; False if it has not come in time."""
        if self._thread is threading.current_thread():
            return False
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def forked(self) -> None:
        """In a forked child: nothing is said to anybody, nothing is left open."""
        self._lock = threading.RLock()
        self._closing = True
        if self._process is not None:
            self._process.forked()
            self._process = None
        self._close_wakers()

    def _wake(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._sender.send(b"\0")

    def _close_wakers(self) -> None:
        with self._lock:
            self._receiver.close()
            self._sender.close()

    # --- The thread -----------------------------------------------------------------

    def _run(self) -> None:
        mark_library_thread()
        if hasattr(signal, "pthread_sigmask"):
            # Ctrl-C is for the program: a child has this mask from its first moment.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        waits = self._new_waits()
        try:
            while not self._closing:
                began = time.monotonic()
                why = self._serve()
                if self._closing:
                    return
                self._observer.process_ended(why)
                if time.monotonic() - began >= self._policy.healthy_after:
                    waits = self._new_waits()
                self._idle(next(waits))
        finally:
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
        """The life of one child, from its start to its end; why it ended."""
        try:
            process = self._spawn()
        except Exception as error:
            # The system's refusal, or what else there is between us and a process.
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
        except Exception as bug:
            log.exception("internal error beside the reading process")
            why = f", after an internal error: {bug!r}"
        finally:
            # From here on it works no more, whatever it does until it is gone.
            self._process = None
            how = process.end()
        return f"the reading process ended ({how}){why}"

    def _converse(self, process: WorkerProcess, selector: Any) -> None:
        """Until either side has no more to say."""
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
            self._drain()
            runs = process.runs
            if unsent:
                del unsent[: process.send(unsent)]
            data = process.receive()
            for message in unpacker.feed(data or b""):
                self._observer.message_received(message)
            # Whoever was forked off may hold its end of the socket open.
            if data == b"" or (data is None and not runs):
                return

    def _packed(self) -> bytes:
        with self._lock:
            messages, self._outgoing = self._outgoing, deque()
        return b"".join(map(pack, messages))
