"""The script of the part ``market``, and what each contestant there offers to it.

Once it has the first depth of every instrument, it tells the server to begin. It reads
every book once a second, a share of them at each look. What counts is the CPU of the
whole process for each message that came meanwhile. Then the script tells the server to
stop, the contestant takes in all that is under way, and reports what it has of some
instruments.
"""

from __future__ import annotations

import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.contestant import LOOK, Contestant, Spec, Steps

# Seconds in which every book is read once.
ROUND = 1.0
WARM_UP = 1.0
# All books have to be there so many seconds after all are subscribed.
PATIENCE = 60.0
# Nothing has come for so long: all that was under way is taken in.
QUIET = 1.0
# What tells the server to begin, and to stop.
BEGIN, END = signal.SIGUSR1, signal.SIGUSR2
# So many instruments are compared with what was sent.
COMPARED = 20


class Follower(Contestant, ABC):
    """Follows depths and trades of the instruments ``options['names']``."""

    def __init__(self, spec: Spec) -> None:
        self.names: list[str] = spec.options["names"]
        super().__init__(spec)

    @abstractmethod
    def look(self, name: str) -> Any:
        """The present best bid and ask of an instrument; false without one."""

    @abstractmethod
    def left(self, name: str) -> dict[str, Any]:
        """The newest levels and the newest trades, as `market_stream` says them."""

    def trouble(self) -> dict[str, Any]:
        """What it counted itself, for the kept results."""
        return {}


def compared(names: Sequence[str]) -> list[str]:
    """Which of the instruments are compared: some, evenly spread."""
    return list(names[:: max(1, len(names) // COMPARED)])


def market(contestant: Follower, seconds: float, server: int) -> Steps:
    """CPU microseconds a message and the share of a core, beside what was read.

    *server* is the server's process.
    """
    names = contestant.names
    yield from _until_all_are_there(contestant)
    yield from _until_quiet(contestant)
    os.kill(server, BEGIN)
    yield WARM_UP
    reads = refused = read = 0
    seen, cpu, waited = contestant.count(), time.process_time(), _waited()
    began = now = time.monotonic_ns()
    end = began + round(seconds * 1e9)
    while now < end:
        yield LOOK
        now = time.monotonic_ns()
        # A look that comes late reads what is due by then.
        due = int((now - began) / 1e9 / ROUND * len(names))
        for number in range(max(read, due - len(names)), due):
            reads += 1
            refused += not contestant.look(names[number % len(names)])
        read = due
    used, ended = time.process_time() - cpu, time.monotonic_ns()
    starved = (_waited() - waited) / (ended - began)
    messages = contestant.count() - seen
    os.kill(server, END)
    if not messages:
        raise TimeoutError("nothing came in the time that was measured")
    yield from _until_quiet(contestant)
    return {
        "began": began,
        "ended": ended,
        "messages": messages,
        "cpu": used / messages * 1e6,
        "core": used / ((ended - began) / 1e9),
        "starved": starved,
        "reads": reads,
        "refused": refused,
        "left": {name: contestant.left(name) for name in compared(names)},
        **contestant.trouble(),
    }


def _waited() -> int:
    """Nanoseconds in which threads were ready to run and had no core, where known."""
    tasks = Path("/proc/self/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[1]) for task in tasks)


def _until_all_are_there(contestant: Follower) -> Generator[float, None, None]:
    give_up = time.monotonic() + PATIENCE
    for name in contestant.names:
        while not contestant.look(name):
            if time.monotonic() > give_up:
                raise TimeoutError(f"no depth of {name} came")
            yield LOOK


def _until_quiet(contestant: Follower) -> Generator[float, None, None]:
    seen = -1
    while seen != contestant.count():
        seen = contestant.count()
        yield QUIET
