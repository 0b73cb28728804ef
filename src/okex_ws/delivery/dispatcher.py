"""Callbacks on a thread of their own, one a feed, which nothing else waits for.

The connections' threads put and go on; the dispatcher's takes, and calls.
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
from ..channels.base import Channel
from ..channels.depth import DepthChannel, ValueChannel
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
    """The thread that runs the callbacks of one feed, and what waits for it.

    It ends once it was closed and every subscription was told its final state.
    """

    def __init__(self, name: str, bound: int = BOUND) -> None:
        self._name = name
        # Re-entrant: a signal handler, or the collector, may close in the middle.
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
        """Those of one more subscription, all on this thread."""
        return QueuedCallbacks(self, label, clock, on_message, on_state, on_error)

    # --- From any thread ------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether its thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Have a thread; ``RuntimeError`` if there is none to be had."""
        with self._changed:
            if self._thread is not None:
                return
            # A daemon: no script is kept alive by a callback that does not return.
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
        """Put *what* by a *rule* of the backlog; False if the thread has ended."""
        with self._changed:
            if not self._ended:
                rule(self._queue, subscriber, *what, **none)
                self._changed.notify()
            return not self._ended

    def close(self) -> None:
        """Have the thread end once all was told; returns at once."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread's end; False if it has not come in time."""
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    def forked(self) -> None:
        """In a forked child: ended, and no lock that another thread may have held."""
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
        # What a callback raised is logged already: this is of the script's own log.
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
    """The callbacks of one subscription, called by the thread of a dispatcher."""

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
        """It will be told a final state, before which the thread does not end."""
        self._dispatcher.put(CallbackQueue.begin, self._subscriber)

    def message(self, text: str, channel: Channel) -> None:
        """Queue the venue's own text, or put it in the place of an older one."""
        rule = CallbackQueue.value if _is_value(channel) else CallbackQueue.single
        if not self._dispatcher.put(rule, self._subscriber, channel.topic, text):
            self._subscriber.skip(channel.topic)

    def state(self, change: StateChange) -> None:
        """Queue a change of state."""
        self._dispatcher.put(CallbackQueue.state, self._subscriber, change)

    def error(self, error: Exception) -> None:
        """Queue an error; it is the newest from now on."""
        self.last_error = error
        if not self._dispatcher.put(CallbackQueue.error, self._subscriber, error):
            self._subscriber.skip(ON_ERROR)

    def mute(self) -> None:
        """It was closed: no message is told, nor one that waits."""
        self._dispatcher.put(CallbackQueue.mute, self._subscriber)

    def after(self, work: Callable[[], None]) -> None:
        """Do *work* on the thread, once all was told that came before it."""
        self._dispatcher.put(CallbackQueue.work, self._subscriber, work)

    def counts(self) -> Counter[str]:
        """How they behaved, and what gave way to newer things."""
        counts = super().counts()
        # A copy: another thread may count at this very moment.
        for name, count in dict(self._subscriber.skipped).items():
            counts[f"skipped {name}"] = count
        return counts

    def _tell(self, what: What) -> None:
        if isinstance(what, str):
            assert self.on_message is not None  # else nothing would have come
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


def _is_value(channel: Channel) -> bool:
    """Whether only the newest push of *channel* counts."""
    if isinstance(channel, DepthChannel):
        return not channel.incremental
    return isinstance(channel, ValueChannel)
