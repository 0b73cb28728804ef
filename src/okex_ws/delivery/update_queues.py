"""The update queues that one subscription or one feed fills.

There is one for each iterator of the script, and one for ``on_item``.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator

from .updates import UpdateQueue


class UpdateQueues:
    """The update queues of one subscription or one feed, in the order of their making.

    The references are weak: when the script drops an iterator, its queue is no longer
    filled. The counts of what it skipped are kept for ``stats()``. Any thread may
    iterate; `add` is called under the owner's lock.
    """

    def __init__(self) -> None:
        self._held: tuple[tuple[weakref.ref[UpdateQueue], dict[str, int]], ...] = ()
        self._past: Counter[str] = Counter()

    def add(self, queue: UpdateQueue, *, counted: bool = True) -> None:
        """Add *queue*; *counted* is False if another object counts what it skips."""
        for ref, skipped in self._held:
            if ref() is None:
                self._past.update(skipped)
        alive = tuple(pair for pair in self._held if pair[0]() is not None)
        self._held = (*alive, (weakref.ref(queue), queue.skipped if counted else {}))

    def __iter__(self) -> Iterator[UpdateQueue]:
        # A shortcut: most sources have no iterator, and every push calls this.
        if not self._held:
            return iter(())
        return iter([queue for ref, _ in self._held if (queue := ref()) is not None])

    def skipped(self) -> Counter[str]:
        """The counts of all queues, as ``skipped`` and the name of the channel."""
        counts = Counter(self._past)
        for _, skipped in self._held:
            counts.update(dict(skipped))
        return Counter({f"skipped {kind}": n for kind, n in counts.items()})
