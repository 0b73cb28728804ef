"""The iterators that follow one source, as long as somebody holds them.

Whoever adds one holds a lock of its own; all else may be called from any thread.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator

from .updates import UpdateQueue


class UpdateQueues:
    """Iterators that are held by scripts alone; what they skipped is kept for ever."""

    def __init__(self) -> None:
        self._held: tuple[tuple[weakref.ref[UpdateQueue], dict[str, int]], ...] = ()
        self._past: Counter[str] = Counter()

    def add(self, queue: UpdateQueue, *, counted: bool = True) -> None:
        """Follow with *queue* too; *counted* unless another source counts it."""
        for ref, skipped in self._held:
            if ref() is None:
                self._past.update(skipped)
        alive = tuple(pair for pair in self._held if pair[0]() is not None)
        self._held = (*alive, (weakref.ref(queue), queue.skipped if counted else {}))

    def __iter__(self) -> Iterator[UpdateQueue]:
        # Most sources have none, and every push asks.
        if not self._held:
            return iter(())
        return iter([queue for ref, _ in self._held if (queue := ref()) is not None])

    def skipped(self) -> Counter[str]:
        """Good items that gave way to newer ones, as ``tally`` names them."""
        counts = Counter(self._past)
        for _, skipped in self._held:
            counts.update(dict(skipped))
        return Counter({f"skipped {kind}": n for kind, n in counts.items()})
