"""Counts what a process holds: threads, descriptors, memory, the library's objects."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any, NamedTuple

# A closing thread or socket may take so long on a busy machine.
GRACE = 5.0
# What the heap keeps beyond the peak of a warm-up, with one arena. It does not grow
# with the number of campaigns: 129.2, 129.9, 129.9, 130.0 and 130.0 MiB after five.
MEMORY = 32 << 20
_OURS = (
    "Connection",
    "Feed",
    "View",
    "Session",
    "Transport",
    "TcpStream",
    "UpdateQueue",
)


class Resources(NamedTuple):
    """One count of them all; memory in bytes, 0 where the system does not tell."""

    threads: tuple[str, ...]
    descriptors: int
    sockets: int
    memory: int
    objects: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """For the result: threads as a number."""
        return {**self._asdict(), "threads": len(self.threads)}


def count() -> Resources:
    """Count now, after the garbage is collected."""
    gc.collect()
    _trim()
    names = sorted(t.name for t in threading.enumerate())
    targets = _descriptors()
    sockets = sum(target.startswith("socket:") for target in targets)
    return Resources(tuple(names), len(targets), sockets, _memory(), _objects())


def settled(before: Resources) -> Resources:
    """Count until nothing more than *before* is there, or the grace is over."""
    deadline = time.monotonic() + GRACE
    while True:
        now = count()
        if not leaks(before, now) or time.monotonic() > deadline:
            return now
        time.sleep(0.05)


def leaks(before: Resources, after: Resources) -> list[str]:
    """A sentence for each thing that was left."""
    found = []
    left = Counter(after.threads) - Counter(before.threads)
    if left:
        found.append(f"threads left: {', '.join(left)}")
    if after.descriptors > before.descriptors:
        found.append(f"descriptors: {before.descriptors} to {after.descriptors}")
    for name, number in after.objects.items():
        if number > before.objects[name]:
            found.append(f"{number} objects left of {name}")
    return found


def grown(before: Resources, after: Resources) -> list[str]:
    """A sentence if memory grew; only after `use_one_arena` is it one of a leak."""
    if after.memory <= before.memory + MEMORY:
        return []
    return [f"memory: {before.memory >> 20} to {after.memory >> 20} MiB"]


def _descriptors() -> list[str]:
    targets = []
    try:
        names = os.listdir("/proc/self/fd")
    except OSError:
        return []
    for name in names:
        with suppress(OSError):  # the one that listed them
            targets.append(os.readlink(f"/proc/self/fd/{name}"))
    return targets


def _memory() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


_M_ARENA_MAX = -8  # malloc.h


def use_one_arena() -> None:
    """Have memory be comparable, where the allocator is glibc's; before any thread.

    It keeps the top of each thread's arena for ever: measured, 16 arenas grew by 70 MiB
    over a minute of campaign that one arena went through without growing at all.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _trim() -> None:
    """Give back what the allocator only keeps; where it is glibc's."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _objects() -> dict[str, int]:
    counts: Counter[str] = Counter(
        type(each).__name__
        for each in gc.get_objects()
        # A class in C may have something else than a text there.
        if str(type(each).__module__).startswith("okex_ws.")
    )
    return {name: counts[name] for name in _OURS}
