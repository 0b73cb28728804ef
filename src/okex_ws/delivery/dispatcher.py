"""Runs all callbacks of one feed on one thread, so that none delays a connection.

The connections' threads put entries into a queue and continue. The dispatcher's thread
takes the entries and runs the callbacks.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..base.clock import Clock
from ..base.threads import Bell
from ..base.worker import LibraryThread
from .callbacks import (
    CallbackQueue,
    CallbackRunner,
    Callbacks,
    OnError,
    OnItem,
    OnMessage,
    OnState,
)
from .conflating_queue import BOUND


class Dispatcher(CallbackRunner):
    """Runs the callbacks of one feed on one thread, from a bounded `CallbackQueue`.

    So a slow callback delays other callbacks, but no connection. Any thread may call
    the methods, which never wait for a callback. Callbacks run one at a time, and what
    a callback raises never ends the thread. After `close` the thread runs what is
    queued, and ends once every subscription has received its final state.
    """

    thread: LibraryThread

    def __init__(self, name: str, bound: int = BOUND) -> None:
        self._queue = CallbackQueue(bound)
        self.thread = LibraryThread(name, self._turn)
        self._bell = Bell()
        self._closing = False

    def callbacks(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None,
        on_state: Sequence[OnState],
        on_error: OnError | None,
        on_item: OnItem | None = None,
    ) -> Callbacks:
        """Make the `Callbacks` of one subscription, which run on this thread."""
        queue, wake = self._queue, self.wake
        on = (on_message, on_state, on_error)
        return Callbacks(label, clock, *on, queue, wake, on_item)

    # --- From any thread ------------------------------------------------------------

    def start(self) -> None:
        """Start the thread once; ``RuntimeError`` if the system gives none."""
        self.thread.start()

    def wake(self) -> None:
        """Have the thread look into the queue; returns at once."""
        self._bell.ring()

    def close(self) -> None:
        """Let the thread end once everything was delivered; returns at once."""
        self._closing = True
        self.wake()

    def forked(self) -> None:
        """In a forked child: end without a callback, and replace the queue's locks.

        A thread of the parent may have held them at the fork.
        """
        self._queue.forked()
        self.thread.forked()

    # --- The thread -----------------------------------------------------------------

    def _turn(self) -> bool:
        self._queue.drain()
        if self._closing and self._queue.is_done:
            self._queue.ended = True
        elif not self._queue.ended:
            self._bell.wait()
        return not self._queue.ended
