"""Queues what there is to tell to a script's callbacks, and runs the callbacks."""

from __future__ import annotations

import inspect
import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from ..base.clock import Clock
from ..base.errors import MessagesLost
from ..base.log import log
from ..base.state import State
from ..base.worker import LibraryThread
from ..channels.reading import Reading
from ..model.items import Item
from ..model.reports import StateChange
from ..recording.keyframes import MADE, MADE_LENGTH
from ..trust.verdict import LIVE, Verdict
from .conflating_queue import BOUND, ConflatingQueue, Kind, Lost, Subscriber
from .updates import MAX_QUEUE, UpdateQueue

OnMessage = Callable[[str], object]
OnItem = Callable[[Item], object]
OnState = Callable[[StateChange], object]
OnError = Callable[[Exception], object]

_ASYNC = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)

# A callback that takes longer than this, in seconds, is logged and counted.
SLOW = 1.0


def check_callables(**callbacks: object) -> None:
    """Raise ``TypeError`` for what is no plain function, with the callback's name.

    The library's threads, which run no event loop, call the callbacks.
    """
    for name, callback in callbacks.items():
        if callback is None:
            continue
        if not callable(callback):
            raise TypeError(f"{name} is a function or None, got {callback!r}")
        # Of an object, the method that a call of it runs.
        called = callback, type(callback).__call__
        if any(is_async(each) for is_async in _ASYNC for each in called):
            raise TypeError(
                f"{name} is a plain function, and {callback!r} is 'async def', which"
                " no thread of the library awaits: use 'async for item in"
                " okx.updates()'"
            )


class CallbackQueue(ConflatingQueue):
    """What waits for callbacks, and which thread runs them: one at a time.

    A library thread that puts news into the queue calls `drain` afterwards. If another
    thread drains already, or a callback of this thread caused the news, `drain` returns
    at once, and the drainer takes the new entries too. So no thread waits for a
    callback of another one, and no lock is held while a callback runs. No callback and
    no log handler can end a drainer, nor take an entry from the ones behind it.
    """

    def __init__(self, bound: int = BOUND) -> None:
        super().__init__(bound)
        # Held by the drainer. No thread ever waits for it.
        self._drainer = threading.Lock()

    def drain(self) -> None:
        """Deliver all that waits, unless a drainer is at work: it then does so."""
        drainer = self._drainer
        # A thread that finds a drainer leaves, so the drainer looks once more after it
        # has passed the role on.
        while (self._notes or self._waiting) and not self.ended:
            if not drainer.acquire(False):
                return
            try:
                if (lone := self._take_lone()) is not None:
                    lone[0].run(lone[1])
                elif (waiting := self.pop()) is not None:
                    waiting.subscriber.run(waiting.what)
            finally:
                drainer.release()

    def _take_lone(self) -> tuple[Subscriber, str] | None:
        """Take a text that waits alone, which no rule can change: nearly always so."""
        with self._lock:
            if self._waiting or len(self._notes) != 1 or self._notes[0][0] not in _TEXT:
                return None
            _, (subscriber, topic, text), _ = self._notes.popleft()
            if self._accepts(subscriber):
                return subscriber, text
            subscriber.skip(topic)
            return None

    def finish(self) -> None:
        """Run the jobs of the library that nothing waits before; on any thread.

        A drainer at work runs them itself.
        """
        while self.is_waiting and not self._drainer.locked():
            if (waiting := self.pop(Kind.JOB)) is None:
                return
            waiting.subscriber.run(waiting.what)

    def forked(self) -> None:
        """In a forked child: deliver nothing more, and replace the locks."""
        super().forked()
        self._drainer = threading.Lock()


# The rules for the text of a push.
_TEXT = (ConflatingQueue.value, ConflatingQueue.single)


class Callbacks(Subscriber):
    """The callbacks of one subscription, and the news that wait for them.

    Any thread calls `message`, `state`, `error`, `log`, `mute` and `after`: they only
    queue, and never run a callback. A thread of the library then calls `drain`. With
    *queue*, that of a `Dispatcher`, the callbacks run on the dispatcher's thread, and
    `drain` is *wake*, which wakes that thread. Without it they run on the connection's
    thread that called `drain`, and the connection reads nothing meanwhile.

    The items for ``on_item`` wait in *items*, an `UpdateQueue` as each iterator has
    one. One item is taken, and a depth is made, when ``on_item`` is about to be called.

    Callbacks of a subscription never run at the same time. An exception of a callback,
    even `SystemExit`, is logged and counted, and never ends the thread; ordinary ones
    are passed to ``on_error`` too. A callback that takes a second or more is logged and
    counted. Messages and errors that the full queue drops, or that come too late, are
    counted for ``stats().skipped``.
    """

    def __init__(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None = None,
        on_state: Sequence[OnState] = (),
        on_error: OnError | None = None,
        queue: CallbackQueue | None = None,
        wake: Callable[[], None] | None = None,
        on_item: OnItem | None = None,
    ) -> None:
        super().__init__()
        self._label = label
        self._clock = clock
        self.on_message = on_message
        self._on_state = tuple(on_state)
        self._on_error = on_error
        self._on_item = on_item
        self.items: UpdateQueue | None = None
        if on_item is not None:
            self.items = UpdateQueue(clock, True, MAX_QUEUE, None)
            self.items.ring(self)
        self._queue = CallbackQueue() if queue is None else queue
        self._wake = wake
        # Has all that waits delivered, here or by the thread that does so already. A
        # thread of the library calls it, holding no lock.
        self.drain = self._queue.drain if wake is None else wake
        self.last_error: Exception | None = None
        self.errors = 0
        self.stalls = 0

    # --- On any thread --------------------------------------------------------------

    def begin(self) -> None:
        """The subscription was attached to the feed; its final state will follow."""
        self._queue.open.add(self)

    def abandon(self) -> None:
        """The subscription was not attached after all: no final state will follow."""
        self._queue.open.discard(self)

    def message(self, text: str, reading: Reading) -> None:
        """Queue the exchange's JSON text of a push of *reading* for ``on_message``.

        A text that the library made, for a keyframe, is none of the exchange's.
        """
        # A slice is no call, and every push comes here.
        if self.on_message is not None and text[:MADE_LENGTH] != MADE:
            rule = CallbackQueue.value if _is_value(reading) else CallbackQueue.single
            self._queue.put(rule, self, reading.topic, text)

    def ring(self) -> None:
        """Queue that items wait for ``on_item``."""
        self._queue.put(CallbackQueue.items, self, self.items)

    def state(self, change: StateChange) -> None:
        """Queue *change* for each ``on_state``; after a final state none follows."""
        self._queue.put(CallbackQueue.state, self, change)

    def error(self, error: Exception) -> None:
        """Queue *error* for ``on_error``, and keep it as the last one."""
        self.last_error = error
        self._queue.put(CallbackQueue.error, self, error)

    def log(self, write: Callable[[], None]) -> None:
        """Queue *write*, which writes a log record in its place among the news."""
        self._queue.put(CallbackQueue.error, self, log.dated(write), Kind.LOG)

    def mute(self) -> None:
        """The subscription was closed: discard messages that wait or come later.

        Items are discarded too, but no `StateChange`.
        """
        self.silent = True
        self._queue.put(CallbackQueue.discard, self, Kind.VALUE, Kind.SINGLE)
        if self.items is not None:
            self.items.mute()

    def after(self, work: Callable[[], None]) -> None:
        """Run *work* of the library once everything before it was delivered.

        If nothing waits, that is now, on the calling thread. With a `Dispatcher` it
        always runs on the dispatcher's thread.
        """
        self._queue.put(CallbackQueue.work, self, work)
        if self._wake is None:
            self._queue.finish()
        else:
            self._wake()

    def counts(self) -> Counter[str]:
        """Counts of errors and slow callbacks, and of messages that were skipped."""
        self._queue.sort()
        counts = Counter(callback_errors=self.errors, callback_stalls=self.stalls)
        # A copy, because another thread may count meanwhile.
        for name, count in dict(self.skipped).items():
            counts[f"skipped {name}"] = count
        return counts

    def forked(self) -> None:
        """In a forked child: deliver nothing more, and replace the locks."""
        self._queue.forked()

    # --- On the thread that drains --------------------------------------------------

    def run(self, what: Any) -> None:
        """Run the callbacks for *what*, one entry of the queue. It raises nothing."""
        if isinstance(what, str):
            self._call("on_message", self.on_message, what)
        elif isinstance(what, UpdateQueue):
            self._run_items(what)
        elif isinstance(what, StateChange):
            for callback in self._on_state:
                self._call("on_state", callback, what)
        elif isinstance(what, Lost):
            lost = MessagesLost(self._label, what.topic, what.count)
            _write(lambda: log.warning("%s", lost, extra={"event": "messages lost"}))
            self._call("on_error", self._on_error, lost)
        elif isinstance(what, Exception):
            self._call("on_error", self._on_error, what)
        else:
            _write(what)

    def _run_items(self, queue: UpdateQueue) -> None:
        while (item := queue.take_now()) is not None:
            # After the final state all that is left comes now, so that nothing comes
            # after what was queued behind it.
            last = self.final is not None
            if queue.is_waiting and not last:
                # Other subscriptions have their turn between two items.
                self.ring()
            self._call("on_item", self._on_item, item)
            if not last:
                return

    def _call(
        self, name: str, callback: Callable[..., object] | None, argument: object
    ) -> None:
        if callback is None:
            return
        before = self._clock.monotonic()
        try:
            callback(argument)
        # SystemExit and KeyboardInterrupt too: a callback cannot end the thread.
        except BaseException as error:
            self.errors += 1
            _write(lambda: log.exception("%s of %s raised", name, self._label))
            if name != "on_error" and isinstance(error, Exception):
                # At once, before what waits.
                self.last_error = error
                self._call("on_error", self._on_error, error)
        took = self._clock.monotonic() - before
        if took >= SLOW:
            self.stalls += 1
            text = "%s of %s took %.1f s"
            _write(lambda: log.warning(text, name, self._label, took))


def _write(write: Callable[[], None]) -> None:
    """Call *write*, which writes a log record; drop what a script's log handler raises.

    A job of the library is called alike: it cannot end the thread that drains.
    """
    with suppress(BaseException):
        write()


def _is_value(reading: Reading) -> bool:
    """Whether only the newest push of *reading* counts."""
    return reading.kind in ("depth", "ticker", "funding")


class CallbackRunner:
    """Where the callbacks of a feed run: here, on the threads of its connections.

    It is what ``callbacks='inline'`` selects, and has no thread, so that its methods
    for one do nothing. `Dispatcher` (``'thread'``) runs the callbacks on a thread of
    its own. Subscriptions and the pool call the methods, on any thread.
    """

    # The thread of the runner's own, if it has one.
    thread: LibraryThread | None = None

    def callbacks(
        self,
        label: str,
        clock: Clock,
        on_message: OnMessage | None,
        on_state: Sequence[OnState],
        on_error: OnError | None,
        on_item: OnItem | None = None,
    ) -> Callbacks:
        """Make the `Callbacks` of one subscription."""
        return Callbacks(label, clock, on_message, on_state, on_error, on_item=on_item)

    def start(self) -> None:
        """Start the runner's thread, if it has one; ``RuntimeError`` if it cannot."""

    def close(self) -> None:
        """Let the thread end once everything was delivered; returns at once."""

    def forked(self) -> None:
        """In a forked child: end without a callback, and replace every lock.

        A thread of the parent may have held a lock at the fork.
        """


# A state change that only a limit of the script caused is delivered at most once in
# this many seconds.
LIMIT_TOLD_EVERY = 1.0


class StateChangeFilter:
    """Decides which state changes of a subscription are delivered, and when.

    It keeps the last state that was delivered, so that each change is delivered once. A
    price near a limit of the script (*max_age*, say) would change the state many times
    a second: such a change is delivered at most once a second for each state, and
    *again* is when to ask for the one that is held back. Changes for other reasons are
    delivered at once. After a final state nothing is. The view calls it, holding
    `View.turn`.
    """

    def __init__(self) -> None:
        self.state = State.CONNECTING
        # When to ask again about a change that is held back, in monotonic seconds.
        self.again = math.inf
        self._for_limit = False
        self._told_at: dict[State, float] = {}

    def may_tell(self, verdict: Verdict, now: float) -> bool:
        """True if the change to *verdict* is to be delivered now.

        The call then counts as its delivery.
        """
        self.again = math.inf
        if verdict.state is self.state or self.state.final:
            return False
        if verdict.limit or (verdict is LIVE and self._for_limit):
            again = self._told_at.get(verdict.state, -math.inf) + LIMIT_TOLD_EVERY
            if now < again:
                self.again = again
                return False
        self.state, self._for_limit = verdict.state, verdict.limit
        self._told_at[verdict.state] = now
        return True
