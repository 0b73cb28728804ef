"""What waits for the callbacks of a feed: in order and within bounds. Pure.

Of a value only the newest waits; what counts by itself is queued to a bound, and known
to be lost beyond it; states and errors are never lost. Whoever calls has a lock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Union

from ..base.state import State
from ..model.reports import StateChange

# How many things wait for the callbacks of one feed, the newest of a value apart.
BOUND = 10_000

# Errors that gave way to newer ones are counted under this name.
ON_ERROR = "on_error"


@dataclass(slots=True)
class Lost:
    """Texts of *topic* that found the queue full, between two that did not."""

    topic: str
    count: int = 0


What = Union[str, StateChange, Exception, Lost, Callable[[], None]]


@dataclass(slots=True, eq=False)
class Waiting:
    """Something that is to be told to the callbacks of one subscription."""

    subscriber: Subscriber
    what: What
    topic: str = ""
    # What may be put in its place as long as it waits.
    slot: tuple[str, str] | None = None
    # Whether the bound is about it.
    counted: bool = True
    # A change of state waits behind it: what is newer than that comes after it.
    passed: bool = False


class Subscriber:
    """What waits for one subscription; *tell* calls its callbacks."""

    def __init__(self, tell: Callable[[What], None]) -> None:
        self.tell = tell
        self.muted = False
        self.texts: dict[Waiting, None] = {}
        self.slots: dict[tuple[str, str], Waiting] = {}
        # Good messages that were not told, by the name of their channel.
        self.skipped: dict[str, int] = {}

    def skip(self, name: str) -> None:
        """Count what was not told."""
        self.skipped[name] = self.skipped.get(name, 0) + 1

    @property
    def values(self) -> list[Waiting]:
        """The newest of each value that waits."""
        return [waiting for waiting in list(self.texts) if waiting.slot is not None]


class CallbackQueue:
    """All that waits for the callbacks of one feed, first come first told."""

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._counted = 0
        # The subscriptions that were not told their final state yet.
        self._open: set[Subscriber] = set()

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, and nobody is owed his final state."""
        return not (self._waiting or self._open)

    def begin(self, subscriber: Subscriber) -> None:
        """*subscriber* will be told a final state some day."""
        self._open.add(subscriber)

    def value(self, subscriber: Subscriber, topic: str, text: str) -> None:
        """A text of which only the newest counts: it takes the place of another."""
        slot = ("value", topic)
        before = subscriber.slots.get(slot)
        if subscriber.muted:
            subscriber.skip(topic)
        elif before is None:
            self._put(Waiting(subscriber, text, topic, slot, counted=False))
        else:
            # It keeps its turn: else a busy market would never be told.
            subscriber.skip(topic)
            before.what = text
            if before.passed:
                before.passed = False
                self._waiting.move_to_end(before)

    def single(self, subscriber: Subscriber, topic: str, text: str) -> None:
        """A text that counts by itself."""
        slot = ("lost", topic)
        if subscriber.muted:
            subscriber.skip(topic)
        elif not self._is_full:
            # What is lost from here on is another run.
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
        """A change of state, behind all that came before it and is still true."""
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
        """Something went wrong."""
        slot = ("error", "")
        if self._merge(subscriber, slot) is not None:
            subscriber.skip(ON_ERROR)
        self._put(Waiting(subscriber, error, slot=slot))

    def _merge(self, subscriber: Subscriber, slot: tuple[str, str]) -> Waiting | None:
        """Past the bound they become one: nothing is hidden, and nothing grows."""
        before = subscriber.slots.get(slot)
        if before is None or not self._is_full:
            return None
        self._remove(before)
        return before

    def work(self, subscriber: Subscriber, work: Callable[[], None]) -> None:
        """Something to be done after all that."""
        self._put(Waiting(subscriber, work, counted=False))

    def mute(self, subscriber: Subscriber) -> None:
        """Tell *subscriber* no message any more, whether it waits or is to come."""
        subscriber.muted = True
        self._discard(list(subscriber.texts))

    def take(self) -> Waiting | None:
        """What is to be told next."""
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
