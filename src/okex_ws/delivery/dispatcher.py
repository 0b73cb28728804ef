"""Runs all callbacks of one feed on one thread, so that none delays a connection.

The connections' threads put entries into a queue and continue. The dispatcher's thread
takes the entries and runs the callbacks.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Concatenate, ParamSpec

from ..base.clock import Clock
from ..base.errors import MessagesLost
from ..base.threads import mark_library_thread
from ..channels.reading import Reading
from ..model.reports import StateChange
from .callback_queue import (
    BOUND,
    ON_ERROR,
    CallbackQueue,
    Lost,
    Subscriber,
    Waiting,
    What,
)
from .callbacks import CallbackRunner, Callbacks, OnError, OnMessage, OnState

log = logging.getLogger("okex_ws")

P = ParamSpec("P")


class Dispatcher(CallbackRunner):
    """Runs the callbacks of one feed on one thread, from a bounded `CallbackQueue`.

    So a slow callback delays other callbacks, but no connection. Any thread may call
    the methods; a lock guards the queue. Callbacks run one at a time, without the lock.
    What a callback raises never ends the thread. After `close` the thread runs what is
    queued, and ends once every subscription has received its final state; `put` then
    returns False.
    """

    def __init__(self, name: str, bound: int = BOUND) -> None:
        self._name = name
        # Re-entrant, because a signal handler or the garbage collector may call `close`
        # on a thread that holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._queue = CallbackQueue(bound)
        self._thread: threading.Thread | None = None
        self._closing = False
        self._ended = False

    def callbacks(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None,
        on_state: Sequence[OnState],
        on_error: OnError | None,
    ) -> Callbacks:
        """Make the `Callbacks` of one subscription, which run on this thread."""
        return QueuedCallbacks(self, label, clock, on_message, on_state, on_error)

    # --- From any thread ------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread once; ``RuntimeError`` if the system gives none."""
        with self._changed:
            if self._thread is not None:
                return
            # A daemon thread: a callback that does not return must not keep the script
            # from ending.
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()
            self._thread = thread

    def put(
        self,
        rule: Callable[Concatenate[CallbackQueue, Subscriber, P], None],
        subscriber: Subscriber,
        *what: P.args,
        **none: P.kwargs,
    ) -> bool:
        """Call *rule*, a method of `CallbackQueue`, with *what*.

        False if the thread has ended, so that nothing was queued.
        """
        with self._changed:
            if not self._ended:
                rule(self._queue, subscriber, *what, **none)
                self._changed.notify()
            return not self._ended

    def close(self) -> None:
        """Let the thread end once everything was delivered; returns at once."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout: float | None) -> bool:
        """Wait for the end of the thread; False if *timeout* seconds were too few."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    def forked(self) -> None:
        """In a forked child: end without a callback, and replace the lock.

        A thread of the parent may have held it at the fork.
        """
        self._changed = threading.Condition(threading.RLock())
        self._ended = True

    # --- The thread -----------------------------------------------------------------

    def _run(self) -> None:
        mark_library_thread()
        while self._tell_one():
            pass

    def _tell_one(self) -> bool:
        waiting = self._next()
        if waiting is None:
            return False
        # `Callbacks` has logged what a callback raised. An exception here comes from
        # the script's own log handler.
        with suppress(BaseException):
            waiting.subscriber.tell(waiting.what)
        return True

    def _next(self) -> Waiting | None:
        with self._changed:
            while not self._ended:
                waiting = self._queue.take()
                if waiting is not None:
                    return waiting
                if self._closing and self._queue.is_done:
                    self._ended = True
                else:
                    self._changed.wait()
        return None


class QueuedCallbacks(Callbacks):
    """The callbacks of one subscription, run by the thread of a `Dispatcher`.

    The threads of the connections call the methods, which put an entry into the
    dispatcher's queue and return at once. Messages and errors that the full queue
    drops, or that come after the dispatcher's end, are counted for ``stats().skipped``.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        label: str,
        clock: Clock,
        on_message: OnMessage | None = None,
        on_state: Sequence[OnState] = (),
        on_error: OnError | None = None,
    ) -> None:
        super().__init__(label, clock, on_message, on_state, on_error)
        self._dispatcher = dispatcher
        self._subscriber = Subscriber(self._tell)

    def begin(self) -> None:
        """Keep the thread running until the final state was delivered."""
        self._dispatcher.put(CallbackQueue.begin, self._subscriber)

    def message(self, text: str, reading: Reading) -> None:
        """Queue the exchange's text; of a value it replaces an older one that waits."""
        rule = CallbackQueue.value if _is_value(reading) else CallbackQueue.single
        if not self._dispatcher.put(rule, self._subscriber, reading.topic, text):
            self._subscriber.skip(reading.topic)

    def state(self, change: StateChange) -> None:
        """Queue a state change."""
        self._dispatcher.put(CallbackQueue.state, self._subscriber, change)

    def error(self, error: Exception) -> None:
        """Queue an error, and keep it as the last one."""
        self.last_error = error
        if not self._dispatcher.put(CallbackQueue.error, self._subscriber, error):
            self._subscriber.skip(ON_ERROR)

    def mute(self) -> None:
        """The subscription was closed: discard messages that wait or come later."""
        self._dispatcher.put(CallbackQueue.mute, self._subscriber)

    def after(self, work: Callable[[], None]) -> None:
        """Run *work* on the thread, once everything before it was delivered."""
        self._dispatcher.put(CallbackQueue.work, self._subscriber, work)

    def counts(self) -> Counter[str]:
        """Counts of errors and slow callbacks, and of messages that were skipped."""
        counts = super().counts()
        # A copy, because another thread may count meanwhile.
        for name, count in dict(self._subscriber.skipped).items():
            counts[f"skipped {name}"] = count
        return counts

    def _tell(self, what: What) -> None:
        if isinstance(what, str):
            assert self.on_message is not None  # else no text would have been queued
            self._call("on_message", self.on_message, what)
        elif isinstance(what, StateChange):
            super().state(what)
        elif isinstance(what, Lost):
            lost = MessagesLost(self._label, what.topic, what.count)
            log.warning("%s", lost, extra={"event": "messages lost"})
            self._tell_error(lost)
        elif isinstance(what, Exception):
            self._tell_error(what)
        else:
            what()


def _is_value(reading: Reading) -> bool:
    """Whether only the newest push of *reading* counts."""
    return reading.kind in ("depth", "ticker", "funding")
