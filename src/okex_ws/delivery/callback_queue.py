"""The queue between the connections and the callbacks of a feed, in order and bounded.

Of a value, such as a depth, only the newest waits. Messages that each count, such as
trades, are queued up to a bound; those beyond it are counted and reported as lost. A
state change is never lost: beyond the bound two of them become one, from the first old
state to the last new state. Beyond the bound a newer error replaces the error of its
subscription that was queued last, which is counted. Pure: the caller holds a lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Union

from ..base.state import State
from ..model.reports import StateChange

# How many entries wait for the callbacks of one feed; values are not counted.
BOUND = 10_000

# The name under which errors are counted that a newer one replaced.
ON_ERROR = "on_error"


@dataclass(slots=True)
class Lost:
    """How many consecutive texts of the channel *topic* the full queue had no room for.

    The dispatcher reports it to ``on_error`` as a `MessagesLost`, at the place in the
    order where the texts would have come.
    """

    topic: str
    count: int = 0


What = Union[str, StateChange, Exception, Lost, Callable[[], None]]


@dataclass(slots=True, eq=False)
class Waiting:
    """One entry of the queue: a text, state change, error, count of losses, or job.

    It is for the callbacks of one *subscriber*.
    """

    subscriber: Subscriber
    what: What
    topic: str = ""
    # A newer entry with the same key replaces this one while it waits.
    slot: tuple[str, str] | None = None
    # Whether the entry counts against the bound.
    counted: bool = True
    # A state change waits behind this entry, so a newer value has to go behind that.
    passed: bool = False


class Subscriber:
    """The entries that wait for the callbacks of one subscription, and what it missed.

    *tell* is a callable that runs the callbacks for one entry; only the dispatcher's
    thread calls it. `CallbackQueue` changes the other attributes, under its caller's
    lock.
    """

    def __init__(self, tell: Callable[[What], None]) -> None:
        self.tell = tell
        self.muted = False
        self.texts: dict[Waiting, None] = {}
        self.slots: dict[tuple[str, str], Waiting] = {}
        # How many good messages were not delivered, by the name of their channel.
        self.skipped: dict[str, int] = {}

    def skip(self, name: str) -> None:
        """Count one message of *name* that is not delivered."""
        self.skipped[name] = self.skipped.get(name, 0) + 1

    @property
    def values(self) -> list[Waiting]:
        """The entries that hold a value, each the newest of its channel."""
        return [waiting for waiting in list(self.texts) if waiting.slot is not None]


class CallbackQueue:
    """The entries that wait for the callbacks of one feed, in the order of delivery.

    An entry is a text, a state change, an error or a job of one subscription. The queue
    lets a connection's thread continue at once, however slow a callback is. Any thread
    may call through `Dispatcher`, one at a time: its lock guards the queue. *bound* is
    the number of entries that may wait. Values are not counted, because only the newest
    of each channel waits. If the queue is full, a text that counts by itself is dropped
    and counted in a `Lost`, two state changes of a subscription become one, and an
    error replaces the one before. No method raises or waits.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._counted = 0
        # The subscriptions whose final state was not queued yet.
        self._open: set[Subscriber] = set()

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, and each subscription's final state was queued."""
        return not (self._waiting or self._open)

    def begin(self, subscriber: Subscriber) -> None:
        """Register *subscriber*: `is_done` needs its final state."""
        self._open.add(subscriber)

    def value(self, subscriber: Subscriber, topic: str, text: str) -> None:
        """Queue a text of which only the newest counts; it replaces one that waits."""
        slot = ("value", topic)
        before = subscriber.slots.get(slot)
        if subscriber.muted:
            subscriber.skip(topic)
        elif before is None:
            self._put(Waiting(subscriber, text, topic, slot, counted=False))
        else:
            # The new text takes the old one's place. At the end of the queue it would
            # be replaced again and again in a busy market, and never be delivered.
            subscriber.skip(topic)
            before.what = text
            if before.passed:
                before.passed = False
                self._waiting.move_to_end(before)

    def single(self, subscriber: Subscriber, topic: str, text: str) -> None:
        """Queue a text that counts by itself; if the queue is full it is lost."""
        slot = ("lost", topic)
        if subscriber.muted:
            subscriber.skip(topic)
        elif not self._is_full:
            # Losses from here on are counted in a new `Lost`.
            subscriber.slots.pop(slot, None)
            self._put(Waiting(subscriber, text, topic))
        else:
            subscriber.skip(topic)
            run = subscriber.slots.get(slot)
            if run is None:
                run = Waiting(subscriber, Lost(topic), topic, slot, counted=False)
                self._put(run)
            assert isinstance(run.what, Lost)
            run.what.count += 1

    def state(self, subscriber: Subscriber, change: StateChange) -> None:
        """Queue a state change, and discard the values that it makes untrue."""
        if change.new is State.CLOSED:
            self.mute(subscriber)
        elif change.old is State.LIVE:
            self._discard(subscriber.values)
        for waiting in subscriber.values:
            waiting.passed = True
        if change.new.final:
            subscriber.muted = True
            self._open.discard(subscriber)
        slot = ("state", "")
        before = self._merge(subscriber, slot)
        if before is not None:
            assert isinstance(before.what, StateChange)
            change = replace(change, old=before.what.old)
        self._put(Waiting(subscriber, change, slot=slot))

    def error(self, subscriber: Subscriber, error: Exception) -> None:
        """Queue an error."""
        slot = ("error", "")
        if self._merge(subscriber, slot) is not None:
            subscriber.skip(ON_ERROR)
        self._put(Waiting(subscriber, error, slot=slot))

    def _merge(self, subscriber: Subscriber, slot: tuple[str, str]) -> Waiting | None:
        """Beyond the bound, remove and return the waiting entry of the same key.

        The new entry takes its place, so that the queue does not grow.
        """
        before = subscriber.slots.get(slot)
        if before is None or not self._is_full:
            return None
        self._remove(before)
        return before

    def work(self, subscriber: Subscriber, work: Callable[[], None]) -> None:
        """Queue *work*, which runs after everything that was queued before it."""
        self._put(Waiting(subscriber, work, counted=False))

    def mute(self, subscriber: Subscriber) -> None:
        """Deliver no more messages to *subscriber*, and discard those that wait."""
        subscriber.muted = True
        self._discard(list(subscriber.texts))

    def take(self) -> Waiting | None:
        """Remove and return the next entry; ``None`` if the queue is empty."""
        waiting = next(iter(self._waiting), None)
        if waiting is not None:
            self._remove(waiting)
        return waiting

    @property
    def _is_full(self) -> bool:
        return self._counted >= self._bound

    def _put(self, waiting: Waiting) -> None:
        subscriber = waiting.subscriber
        self._waiting[waiting] = None
        self._counted += waiting.counted
        if isinstance(waiting.what, str):
            subscriber.texts[waiting] = None
        if waiting.slot is not None:
            subscriber.slots[waiting.slot] = waiting

    def _remove(self, waiting: Waiting) -> None:
        subscriber, slot = waiting.subscriber, waiting.slot
        del self._waiting[waiting]
        self._counted -= waiting.counted
        subscriber.texts.pop(waiting, None)
        if slot is not None and subscriber.slots.get(slot) is waiting:
            del subscriber.slots[slot]

    def _discard(self, texts: Sequence[Waiting]) -> None:
        for waiting in texts:
            waiting.subscriber.skip(waiting.topic)
            self._remove(waiting)
