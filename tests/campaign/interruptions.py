"""Interrupts a thread inside the library: at any line, or when it asks for the time.

A read is right at one instant inside of it, wherever the thread that reads is stopped.
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import okex_ws

# Where the library's own code lies; a checkout may stand in a folder of the same name.
LIBRARY = str(Path(okex_ws.__file__).parent)
# A read of several instruments has about so many lines.
LINES = 150
# How often a stall is a long one.
LONG = 0.1


class StallingClock:
    """The machine's clocks, which stall the threads that ask for it; see `Clock`.

    A stall comes before the clock is read, so that what was taken before has aged.
    `last` is the newest time that the present thread was given: a read has to answer
    for that moment.
    """

    def __init__(self) -> None:
        self._thread = threading.local()

    def monotonic(self) -> float:
        """The monotonic clock, maybe after a stall."""
        self._stall()
        self._thread.last = now = time.monotonic()
        return now

    def wall(self) -> float:
        """The time of day, maybe after a stall."""
        self._stall()
        return time.time()

    def _stall(self) -> None:
        stall = getattr(self._thread, "stall", None)
        if stall is not None:
            self._thread.stall = None
            stall()

    @property
    def last(self) -> float:
        """What this thread was told last by the monotonic clock."""
        return float(getattr(self._thread, "last", 0.0))

    @contextmanager
    def stalled(self, stall: Callable[[], object]) -> Iterator[None]:
        """Inside, the first look of this thread at a clock waits for *stall*."""
        self._thread.stall = stall
        try:
            yield
        finally:
            self._thread.stall = None


@contextmanager
def at_line(number: int, do: Callable[[], object]) -> Iterator[None]:
    """Inside, have this thread call *do* at that line of the library, if it gets there.

    What *do* raises is raised at that line.
    """
    left = number

    def call(frame: FrameType, event: str, arg: Any) -> Any:
        return line if frame.f_code.co_filename.startswith(LIBRARY) else None

    def line(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        left -= event == "line"
        if left == 0:
            left = -1
            sys.settrace(None)
            do()
        return line

    # What measures the coverage of this thread goes on afterwards.
    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


class Stalls:
    """Stalls the reads of one thread, each at a moment that nobody knows beforehand.

    Most stalls are short, so that many happen; a few are longer than *lease* seconds.
    """

    def __init__(self, clock: StallingClock, rng: random.Random, lease: float) -> None:
        self._clock = clock
        self._rng = rng
        self._lease = lease
        self.long = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Inside, a read is stalled once, by its clock or at one of its lines."""
        if self._rng.random() < 0.3:
            with self._clock.stalled(self._stall):
                yield
        else:
            with at_line(self._rng.randrange(1, LINES), self._stall):
                yield

    def _stall(self) -> None:
        is_long = self._rng.random() < LONG
        self.long += is_long
        shortest = self._lease + 0.3 if is_long else 0.0
        time.sleep(shortest + self._rng.uniform(0.0, 0.3 if is_long else 0.02))
