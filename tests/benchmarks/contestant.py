"""One contestant in a process of its own: `… -m tests.benchmarks.contestant SPEC OUT`.

SPEC is a `Spec` in JSON; the measurements are written to OUT as JSON. The process
imports no code of another contestant. A contestant follows one channel of the server
and keeps the newest depth for a script that reads it on the main thread. A contestant
on asyncio has its loop on the main thread, as its own examples do, and the script is a
task there. Only if the script computes, or reads by itself, does the loop run on a
thread beside it.

*Throughput*: after a warm-up the script reads 20 times a second for some seconds. What
counts is the messages in that time, and the CPU of the whole process. Then the server
stops, the contestant takes in all that is under way, and reports the depth that is
left, so that it can be compared with the last that was sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

# How often the script looks at the price, in seconds.
LOOK = 0.05
WARM_UP = 0.3
# Nothing has come for so long: all that was under way is taken in.
QUIET = 0.3
LIMIT = 10.0

# What it may be told to measure, and what does so: a module and a function.
MEASUREMENTS = {
    "throughput": ("tests.benchmarks.contestant", "throughput"),
    "limit": ("tests.benchmarks.limit", "limit"),
    "lateness": ("tests.benchmarks.reading", "lateness"),
    "market": ("tests.benchmarks.market_reading", "market"),
}


class Spec(NamedTuple):
    """Who follows what, and how it is measured.

    *maker* is module and class; *parser* is ``'json'``, ``'orjson'`` or, where it is
    the contestant's own affair, ``''``. *url* is the whole address under v3, and under
    v5 up to ``/ws/v5``. *options* are the contestant's, *measurement*
    and *how* the measure's.
    """

    maker: tuple[str, str]
    parser: str
    protocol: str
    market: str
    instrument_id: str
    channel: str
    url: str
    options: dict[str, Any]
    measurement: str
    how: dict[str, Any]


class Contestant(ABC):
    """Follows the channel of *spec*. *note*, if given, is called after each push.

    A depth is what `read` gives: whatever the contestant's user has, ``None`` or empty
    before the first. Here it is a dict of levels, best first.
    """

    # The newest depth, as the script gets it: a method, or its peer's own.
    read: Callable[[], Any]

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.note: Callable[[], None] | None = None
        self.messages = 0

    def best(self, depth: Any) -> tuple[Any, Any]:
        """The sizes of the best bid and of the best ask."""
        return depth["bids"][0][1], depth["asks"][0][1]

    def levels(self, depth: Any) -> tuple[Any, Any]:
        """Price and size of the five best bids and asks."""
        return (
            [row[:2] for row in depth["bids"][:5]],
            [row[:2] for row in depth["asks"][:5]],
        )

    def count(self) -> int:
        """How many messages have come."""
        return self.messages


class Threaded(Contestant):
    """One that has a thread, or a process, of its own."""

    @abstractmethod
    def start(self) -> None:
        """Begin to follow."""

    @abstractmethod
    def close(self) -> None:
        """Leave."""


class Looped(Contestant):
    """One that lives on asyncio."""

    @abstractmethod
    async def follow(self) -> None:
        """Follow, until cancelled."""


Steps = Generator[float, None, dict[str, Any]]


def throughput(contestant: Contestant, seconds: float) -> Steps:
    """Messages a second, and CPU microseconds a message."""
    yield from until_it_reads(contestant)
    yield WARM_UP
    refused = reads = 0
    began, cpu, before = time.perf_counter(), time.process_time(), contestant.count()
    while time.perf_counter() < began + seconds:
        yield LOOK
        reads += 1
        refused += not contestant.read()
    took, used = time.perf_counter() - began, time.process_time() - cpu
    seen = contestant.count() - before
    if not seen:
        raise TimeoutError("nothing came in the time that was measured")
    left = yield from drain(contestant)
    return {
        "rate": seen / took,
        "cpu": used / seen * 1e6,
        "messages": seen,
        # Of those that the script meant to do: a receiver that leaves it no turn has
        # the whole processor for itself.
        "looks": reads * LOOK / seconds,
        "refused": refused,
        "left": left,
    }


def until_it_reads(contestant: Contestant) -> Generator[float, None, None]:
    """Pauses until there is a depth."""
    give_up = time.monotonic() + LIMIT
    while not contestant.read():
        if time.monotonic() > give_up:
            raise TimeoutError("nothing came")
        yield 0.005


def drain(contestant: Contestant) -> Generator[float, None, Any]:
    """Pauses until nothing comes any more; the levels that are left."""
    seen = -1
    while seen != contestant.count():
        seen = contestant.count()
        yield QUIET
    depth = contestant.read()
    if not depth:
        return None
    return [[list(map(float, row)) for row in s] for s in contestant.levels(depth)]


def run(contestant: Contestant, steps: Steps, beside: bool) -> dict[str, Any]:
    """Take the *steps* of a script. *beside*: not on a loop's own thread."""
    if isinstance(contestant, Looped):
        if not beside:
            return asyncio.run(_with_loop(contestant, steps))
        with _Beside(contestant.follow()):
            return _walk(steps)
    assert isinstance(contestant, Threaded)
    contestant.start()
    try:
        return _walk(steps)
    finally:
        contestant.close()


def _walk(steps: Steps) -> dict[str, Any]:
    while True:
        try:
            time.sleep(next(steps))
        except StopIteration as end:
            found: dict[str, Any] = end.value
            return found


async def _with_loop(contestant: Looped, steps: Steps) -> dict[str, Any]:
    following = asyncio.ensure_future(contestant.follow())
    try:
        while True:
            if following.done():
                following.result()
            await asyncio.sleep(next(steps))
    except StopIteration as end:
        found: dict[str, Any] = end.value
        return found
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


class _Beside:
    """A loop on a thread of its own, as who computes meanwhile would have it."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._work)
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)

    def __enter__(self) -> _Beside:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(LIMIT)


def main() -> None:
    """Do as the command line says, once."""
    spec = Spec(**json.loads(sys.argv[1]))
    if spec.parser == "json":
        # As if it were not installed: who would take it by itself cannot.
        sys.modules["orjson"] = None  # type: ignore[assignment]
    if (core := spec.how.pop("core", None)) is not None:
        os.sched_setaffinity(0, {core})
    if (interval := spec.how.pop("interval", None)) is not None:
        sys.setswitchinterval(interval)
    beside = spec.how.pop("beside", False)
    module, function = MEASUREMENTS[spec.measurement]
    measure = getattr(import_module(module), function)
    module, name = spec.maker
    contestant = getattr(import_module(module), name)(spec)
    found = run(contestant, measure(contestant, **spec.how), beside)
    found["orjson"] = sys.modules.get("orjson") is not None
    # Not sys.exit: a library's thread that does not end is not what is measured.
    Path(sys.argv[2]).write_text(json.dumps(found))
    os._exit(0)


if __name__ == "__main__":
    # As its own module: contestants are of the classes there.
    import_module("tests.benchmarks.contestant").main()
