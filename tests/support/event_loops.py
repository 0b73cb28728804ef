"""Event loops for tests: asyncio's own, and uvloop where it is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from importlib import import_module
from typing import Any, TypeVar

import pytest

# The first loop of uvloop in a process opens a pipe for good: not during a test.
with suppress(ImportError):
    import_module("uvloop").new_event_loop().close()

R = TypeVar("R")

NAMES = ("asyncio", "uvloop")
# Seconds that a coroutine of a test may take.
LIMIT = 50.0


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """A new event loop; the test is skipped, visibly, where there is no uvloop."""
    if name == "asyncio":
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
    return loop


def run_in(
    loop: asyncio.AbstractEventLoop, main: Callable[[], Coroutine[Any, Any, R]]
) -> R:
    """Run *main* in *loop*, which is closed at the end, as `asyncio.run` does."""
    try:
        return loop.run_until_complete(asyncio.wait_for(main(), LIMIT))
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
