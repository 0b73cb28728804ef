"""One event loop on one daemon thread. It knows nothing of exchanges."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, TypeVar

T = TypeVar("T")
Main = Callable[[Callable[[], None], asyncio.Event], Coroutine[Any, Any, None]]

# Seconds that another thread waits for a job that it gave to the loop.
CALL_TIMEOUT = 10.0

_log = logging.getLogger("okex_ws.local_exchange")


class LoopThread:
    """An event loop in a daemon thread, which runs ``main(ready, stop)`` once.

    A script has no event loop, and calls the exchange from any thread: `run` and `call`
    execute work on the loop and return its result, or raise its error, or
    ``RuntimeError`` if the loop does not run. *main* is a coroutine function that calls
    *ready* when it can be used, and ends after *stop* is set. An error before *ready*
    is raised by `start`; a later one is logged, and ends the thread.
    """

    def __init__(self, main: Main, name: str) -> None:
        self._main = main
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event
        # A daemon thread, so that a script that forgets to close can still end.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started = self._closed = False
        self._ended: Future[None] = Future()
        # No coroutine that waits for it can cancel it.
        self._ended.set_running_or_notify_cancel()

    @property
    def state(self) -> str:
        """``'not started'``, ``'running'`` or ``'closed'``."""
        if self._closed:
            return "closed"
        return "running" if self._started else "not started"

    def start(self) -> None:
        """Start the thread; return when *main* is ready, or raise its error."""
        if self._started or self._closed:
            raise RuntimeError("a local exchange starts once")
        self._started = True
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._closed = True
            self._thread.join()
            raise self._failure

    def close(self, timeout: float) -> bool:
        """Stop *main* and wait for the thread; returns whether the thread has ended."""
        self._closed = True
        if not self._started:
            return True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop ended in between
                loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    async def wait_ended(self, timeout: float) -> bool:
        """Wait for the end in a coroutine, whose own loop goes on; has it come?"""
        if self._started and not self._ended.done():
            end = asyncio.wrap_future(self._ended)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(end, timeout)
        return not self._started or self._ended.done()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the loop, and return its result."""
        loop = self._loop
        if self._closed or loop is None:
            work.close()
            closed = "not started" if self.state == "not started" else "closed"
            raise RuntimeError(f"the local exchange is {closed}")
        try:
            future = asyncio.run_coroutine_threadsafe(work, loop)
            return future.result(CALL_TIMEOUT)
        except CancelledError as ended:
            raise RuntimeError("the local exchange is closed") from ended

    def call(self, do: Callable[[], T]) -> T:
        """Call *do* on the loop, and return its result."""

        async def work() -> T:
            return do()

        return self.run(work())

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._failure = error
            if self._ready.is_set():
                _log.exception("the local exchange broke down")
        finally:
            self._loop = None
            self._ready.set()
            self._ended.set_result(None)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        await self._main(self._ready.set, self._stop)
