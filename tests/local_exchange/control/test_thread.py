"""One loop on one thread, which starts once and always ends."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest

from okex_ws.local_exchange.control.thread import LoopThread


async def serve(ready: Callable[[], None], stop: asyncio.Event) -> None:
    ready()
    await stop.wait()


def test_it_runs_what_other_threads_ask() -> None:
    thread = LoopThread(serve, "served")
    assert thread.state == "not started"
    thread.start()
    try:
        assert thread.call(lambda: threading.current_thread().name) == "served"
        assert thread.state == "running"
        with pytest.raises(RuntimeError, match="starts once"):
            thread.start()
    finally:
        assert thread.close(10.0)
    assert thread.close(10.0)
    assert thread.state == "closed"


def test_what_it_is_asked_can_fail() -> None:
    thread = LoopThread(serve, "served")
    thread.start()
    try:
        with pytest.raises(ZeroDivisionError):
            thread.call(lambda: 1 // 0)
    finally:
        thread.close(10.0)


def test_nothing_runs_before_the_start_or_after_the_end() -> None:
    thread = LoopThread(serve, "served")
    with pytest.raises(RuntimeError, match="not started"):
        thread.call(int)
    assert thread.close(1.0)
    with pytest.raises(RuntimeError, match="closed"):
        thread.call(int)
    with pytest.raises(RuntimeError, match="starts once"):
        thread.start()


def test_a_failure_before_the_start_is_raised_by_it() -> None:
    async def fail(ready: Callable[[], None], stop: asyncio.Event) -> None:
        raise OSError("no port")

    thread = LoopThread(fail, "served")
    with pytest.raises(OSError, match="no port"):
        thread.start()
    assert thread.state == "closed"


def test_a_failure_afterwards_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(ready: Callable[[], None], stop: asyncio.Event) -> None:
        ready()
        await stop.wait()
        raise ZeroDivisionError

    thread = LoopThread(fail, "served")
    thread.start()
    with caplog.at_level(logging.ERROR, "okex_ws"):
        assert thread.close(10.0)
    assert "broke down" in caplog.text


def test_what_is_pending_at_the_end_is_given_up() -> None:
    thread = LoopThread(serve, "served")
    thread.start()
    entered = threading.Event()
    failures: list[BaseException] = []

    async def never() -> None:
        entered.set()
        await asyncio.Event().wait()

    def ask() -> None:
        try:
            thread.run(never())
        except RuntimeError as error:
            failures.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    assert entered.wait(10.0)
    assert thread.close(10.0)
    asker.join(10.0)
    assert [str(failure) for failure in failures] == ["the local exchange is closed"]
