"""The contestant's half of `lateness`: what a script reads of a paced stream, and when.

*Noted*: on the thread that reads the socket, right after the publication, where a
callback runs: the moment, and the number of the message that a read gives there.

*Read*: on the main thread. The script reads between two pieces of work of some 200 us
each (a loop of Python, or calls of numpy), or between two sleeps of 100 us. The moment
is taken after the read, when the script has the price. So the time between its reads
counts too, and it is the same for every contestant.

Only a number that was not seen before is kept. The script ends when it has seen the
last message, or a while after the server has stopped.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from importlib import import_module
from typing import Any

from tests.benchmarks.contestant import Contestant, Steps, until_it_reads

IDLE, READING, LOOP, NUMPY = "idle", "reading", "Python loop", "numpy calls"
# Seconds of a piece of the script's work, and of its sleep between two reads.
PIECE = 200e-6
NAP = 100e-6
# Seconds that a script that is behind may take to catch up.
PATIENCE = 5.0
PAUSE = 0.02


class Sightings:
    """Moments in nanoseconds of the monotonic clock, and the numbers seen then."""

    def __init__(self) -> None:
        self.moments = array("q")
        self.numbers = array("q")
        self.last = 0

    def note(self, moment: int, number: int) -> None:
        """Number *number* could be seen at *moment*."""
        if number != self.last:
            self.last = number
            self.moments.append(moment)
            self.numbers.append(number)

    def told(self) -> list[list[int]]:
        """Both columns."""
        return [list(self.moments), list(self.numbers)]


def lateness(
    contestant: Contestant, main: str, count: int, seconds: float, noted: bool
) -> Steps:
    """Follow *count* messages of a server that takes *seconds* for them.

    *main* is what the main thread does; *noted* is whether there is a callback.
    """
    found = Sightings()
    best, clock = contestant.best, time.monotonic_ns

    def note() -> None:
        moment = clock()
        found.note(moment, int(best(contestant.read())[1]))

    # Before it starts, which is after this and before the first of the steps.
    if noted:
        contestant.note = note
    return _follow(contestant, main, count, seconds, found)


def _follow(
    contestant: Contestant, main: str, count: int, seconds: float, noted: Sightings
) -> Steps:
    work = _work(main)
    yield from until_it_reads(contestant)
    give_up = time.monotonic() + seconds + PATIENCE
    read = Sightings()
    used = time.process_time()
    if main == IDLE:
        refused, reads = yield from _look(contestant, count, give_up, noted)
    else:
        refused, reads = _poll(contestant, count, give_up, read, work)
        # The callback of the last one may be behind the read of it.
        yield PAUSE
    return {
        "noted": noted.told(),
        "read": read.told(),
        "end": time.monotonic_ns(),
        "refused": refused,
        "reads": reads,
        "cpu": time.process_time() - used,
    }


def _look(contestant: Contestant, count: int, give_up: float, noted: Sightings) -> Any:
    """Now and then: the main thread has nothing to do."""
    refused = reads = 0
    while noted.last < count and time.monotonic() < give_up:
        yield PAUSE
        reads += 1
        refused += not contestant.read()
    return refused, reads


def _poll(
    contestant: Contestant,
    count: int,
    give_up: float,
    seen: Sightings,
    work: Callable[[], None],
) -> tuple[int, int]:
    """Work, read, and so on; how many of how many reads gave nothing."""
    read, best, clock = contestant.read, contestant.best, time.monotonic_ns
    refused = reads = 0
    end = give_up * 1e9
    while seen.last < count:
        work()
        reads += 1
        depth = read()
        now = clock()
        try:
            seen.note(now, int(best(depth)[1]))
        except (IndexError, KeyError, TypeError):
            # None, or a book that is changed by another thread while it is read.
            refused += 1
        if now > end:
            break
    return refused, reads


def _work(main: str) -> Callable[[], None]:
    """A piece of what the main thread does."""
    if main == READING:
        return lambda: time.sleep(NAP)
    if main == NUMPY:
        return _calibrated(_numpy())
    return _calibrated(_loop)


def _loop(count: int) -> None:
    total = 0
    for number in range(count * 100):
        total += number * number % 7


def _numpy() -> Callable[[int], None]:
    """Calls that are long enough for numpy to give its lock away."""
    numpy = import_module("numpy")
    values = numpy.random.default_rng(1).random(2000)
    room = numpy.empty_like(values)

    def calls(count: int) -> None:
        for _ in range(count):
            numpy.multiply(values, 1.0001, out=room)
            numpy.cumsum(room, out=room)

    return calls


def _calibrated(work: Callable[[int], None]) -> Callable[[], None]:
    """As much of *work* as takes a `PIECE`, when nobody else is there."""
    work(1)
    took = min(_timed(work, 4) for _ in range(20)) / 4
    count = max(1, round(PIECE / took))
    return lambda: work(count)


def _timed(work: Callable[[int], None], count: int) -> float:
    began = time.perf_counter()
    work(count)
    return time.perf_counter() - began
