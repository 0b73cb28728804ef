"""The one queue between the connections and what a script is given, bounded.

Callbacks and iterators use it. Of a value, such as a depth, only the newest waits.
Messages that each count, such as trades, are queued up to a bound; those beyond it are
counted and become one `Lost`. A state change is never lost: beyond a bound two of them
become one, from the first old state to the last new state. Of errors and log records
the newest are kept, and the others are counted.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, auto
from typing import Any, Concatenate, ParamSpec

from ..base.state import NO_CAUSE, Cause, State
from ..model.reports import StateChange

P = ParamSpec("P")

# How many entries wait for the callbacks of one feed; values are not counted.
BOUND = 10_000

# For one subscription: state changes beyond this number become one, and of errors and
# of log records this many wait, the newest.
STATES = 64
ERRORS = 100

# The names under which errors and log records are counted that newer ones replaced.
ON_ERROR = "on_error"
LOG = "log"

# After so many calls that were not applied, the calling thread applies them.
_UNSORTED = 64


class Kind(Enum):
    """What an entry of the queue is, which decides what happens when many wait."""

    # Each entry looks up several keys with a kind in it, and that of `Enum` is a
    # function of Python. The members are unique.
    __hash__ = object.__hash__

    VALUE = auto()
    SINGLE = auto()
    SPARE = auto()
    LOST = auto()
    STATE = auto()
    ERROR = auto()
    LOG = auto()
    ITEMS = auto()
    JOB = auto()


_NAMES = {Kind.ERROR: ON_ERROR, Kind.LOG: LOG}
_MESSAGES = (Kind.VALUE, Kind.SINGLE)


@dataclass(slots=True)
class Lost:
    """How many consecutive messages of *topic* the full queue had no room for.

    It waits at the place in the order where the messages would have come. Of items with
    ids, *after* and *before* are the ids beside them.
    """

    topic: str
    count: int = 0
    after: str | None = None
    before: str | None = None
    cause: Cause = NO_CAUSE
    at: datetime | None = None


@dataclass(slots=True, eq=False)
class Waiting:
    """One thing that waits to be delivered to *subscriber*."""

    subscriber: Subscriber
    kind: Kind
    what: Any
    topic: str = ""
    # A newer entry may change this one as long as it is found under the key.
    slot: Any = None
    # A state change waits behind this entry, so a newer value has to go behind that.
    passed: bool = False


class Subscriber:
    """What waits for one subscription, and the counts of what it missed.

    Any thread may set *silent*: then no message is delivered any more, even if it waits
    already. `ConflatingQueue` changes the other attributes.
    """

    def __init__(self, skipped: dict[str, int] | None = None) -> None:
        self.silent = False
        # The final state, once it was queued.
        self.final: State | None = None
        self.entries: dict[Waiting, None] = {}
        self.slots: dict[Hashable, Waiting] = {}
        # How many good messages were not delivered, by the name of their channel.
        self.skipped: dict[str, int] = {} if skipped is None else skipped

    def skip(self, name: str) -> None:
        """Count one message of *name* that is not delivered."""
        self.skipped[name] = self.skipped.get(name, 0) + 1

    def run(self, what: Any) -> None:
        """Deliver *what*; called by the thread that drains a `CallbackQueue`.

        This class delivers nothing: an iterator takes its items itself.
        """


class ConflatingQueue:
    """What waits for one or many subscriptions, in the order of delivery, bounded.

    Any thread calls `put`, and any may call `pop`. `put` never waits for another
    thread, and a signal handler may call it at any point: it only notes the call. The
    rules (`value`, `single`, `state` and so on) are applied in the order of the calls
    before an entry is taken, by one thread at a time and without running a script's
    code. Many notes are applied by the thread that puts, so that memory is bounded.
    *bound* is the number of entries that may wait; values of callbacks are not counted.
    """

    # Which entries count against the bound.
    _counted = frozenset({Kind.SINGLE, Kind.STATE, Kind.ERROR})

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._notes: deque[tuple[Callable[..., object], Any, Any]] = deque()
        self._waiting: OrderedDict[Waiting, None] = OrderedDict()
        self._room: set[Waiting] = set()
        # Guards all but the notes. No code of a script runs while it is held.
        self._lock = threading.Lock()
        # The subscriptions whose final state was not queued yet.
        self.open: set[Subscriber] = set()
        # Nothing will be delivered any more: messages and errors are only counted.
        self.ended = False

    @property
    def is_waiting(self) -> bool:
        """Whether anything waits to be taken."""
        return bool(self._notes or self._waiting)

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, and each subscription's final state was queued."""
        return not (self.is_waiting or self.open)

    def put(
        self,
        rule: Callable[Concatenate[Any, P], object],
        *args: P.args,
        **options: P.kwargs,
    ) -> None:
        """Have *rule*, a method of the class, called with *args* in the order of puts.

        Never waits and raises nothing.
        """
        self._notes.append((rule, args, options))
        if len(self._notes) > _UNSORTED:
            self.sort()

    def sort(self) -> None:
        """Apply all notes, unless another thread does or the caller interrupted it."""
        # A thread that finds the lock taken leaves, so the holder looks once more after
        # it has released the lock. `with` releases it even if a signal handler raises.
        while self._notes and not self._lock.locked():
            with self._lock:
                self._sort()

    def _sort(self) -> None:
        while self._notes:
            rule, args, options = self._notes.popleft()
            rule(self, *args, **options)

    def pop(self, only: Kind | None = None) -> Waiting | None:
        """Remove and return the next entry; ``None`` if there is none.

        With *only* it is taken only if it is of that kind.
        """
        with self._lock:
            return self._pop(only)

    def _pop(self, only: Kind | None = None) -> Waiting | None:
        self._sort()
        while self._waiting and not self.ended:
            entry = next(iter(self._waiting))
            if only is not None and entry.kind is not only:
                break
            self._remove(entry)
            if not (entry.kind in _MESSAGES and entry.subscriber.silent):
                return entry
            entry.subscriber.skip(entry.topic)
        return None

    def forked(self) -> None:
        """In a forked child: deliver nothing more, and replace the lock.

        A thread of the parent may have held it at the fork.
        """
        self._lock = threading.Lock()
        self.ended = True

    # --- The rules ------------------------------------------------------------------

    def value(
        self, subscriber: Subscriber, topic: str, what: Any, keep: bool = False
    ) -> None:
        """Queue a message of which only the newest counts; it replaces one that waits.

        With *keep* it does so only if the queue is full.
        """
        slot = Kind.VALUE, topic
        before = subscriber.slots.get(slot)
        if not self._accepts(subscriber):
            subscriber.skip(topic)
        elif before is None or (keep and not self._is_full):
            self._put(Waiting(subscriber, Kind.VALUE, what, topic, slot))
        else:
            # The new value takes the old one's place. At the end of the queue it would
            # be replaced again and again in a busy market, and never be delivered.
            subscriber.skip(topic)
            before.what = what
            if before.passed:
                before.passed = False
                self._waiting.move_to_end(before)

    def single(self, subscriber: Subscriber, topic: str, what: Any) -> None:
        """Queue a message that counts by itself; if the queue is full it is lost."""
        if not self._accepts(subscriber):
            subscriber.skip(topic)
        elif self._is_full:
            self._lose(subscriber, topic, topic).count += 1
            subscriber.skip(topic)
        else:
            # Losses from here on are counted in a new `Lost`.
            subscriber.slots.pop((Kind.LOST, topic), None)
            self._put(Waiting(subscriber, Kind.SINGLE, what, topic))

    def _lose(self, subscriber: Subscriber, topic: str, series: Hashable) -> Lost:
        """The `Lost` that counts the messages of *series* which are being lost now."""
        slot = Kind.LOST, series
        run = subscriber.slots.get(slot)
        if run is None:
            run = Waiting(subscriber, Kind.LOST, Lost(topic), topic, slot)
            self._put(run)
        assert isinstance(run.what, Lost)
        return run.what

    def state(self, subscriber: Subscriber, change: StateChange) -> None:
        """Queue a state change, and discard the values that it makes untrue.

        Nothing is queued after a final state.
        """
        if subscriber.final is not None:
            return
        if change.new is State.CLOSED:
            self.discard(subscriber, *_MESSAGES)
        elif change.old is State.LIVE:
            self.discard(subscriber, Kind.VALUE)
        for entry in subscriber.entries:
            entry.passed = True
        if change.new.final:
            subscriber.final = change.new
            self.open.discard(subscriber)
        before = subscriber.slots.get(Kind.STATE)
        if before is not None and self._are_many(subscriber, Kind.STATE, STATES):
            self._remove(before)
            change = replace(change, old=before.what.old)
        self._put(Waiting(subscriber, Kind.STATE, change, slot=Kind.STATE))

    def error(
        self, subscriber: Subscriber, error: Any, kind: Kind = Kind.ERROR
    ) -> None:
        """Queue an error, or a log record; if many wait, the oldest is only counted.

        After ``CLOSED``, the last that callbacks get, an error is only counted.
        """
        name = _NAMES[kind]
        if self.ended or (name is ON_ERROR and subscriber.final is State.CLOSED):
            subscriber.skip(name)
            return
        if self._are_many(subscriber, kind, ERRORS):
            for oldest in [e for e in subscriber.entries if e.kind is kind][:1]:
                self._remove(oldest)
                subscriber.skip(name)
        self._put(Waiting(subscriber, kind, error))

    def work(self, subscriber: Subscriber, work: Callable[[], None]) -> None:
        """Queue *work* of the library: it runs after all that was queued before it."""
        self._put(Waiting(subscriber, Kind.JOB, work))

    def items(self, subscriber: Subscriber, queue: Any) -> None:
        """Queue once that items wait in *queue*, of which one is taken at a time."""
        if Kind.ITEMS not in subscriber.slots:
            self._put(Waiting(subscriber, Kind.ITEMS, queue, slot=Kind.ITEMS))

    def discard(self, subscriber: Subscriber, *kinds: Kind) -> None:
        """Discard the messages of *kinds* that wait, and count them."""
        for entry in [e for e in subscriber.entries if e.kind in kinds]:
            subscriber.skip(entry.topic)
            self._remove(entry)

    # --- The entries ----------------------------------------------------------------

    def _accepts(self, subscriber: Subscriber) -> bool:
        """Whether a message to *subscriber* would be delivered."""
        return not (subscriber.silent or subscriber.final or self.ended)

    @property
    def _is_full(self) -> bool:
        return len(self._room) >= self._bound

    @property
    def _is_crowded(self) -> bool:
        """Whether states and errors have to be merged, as the queue grew too long."""
        return self._is_full

    def _are_many(self, subscriber: Subscriber, kind: Kind, most: int) -> bool:
        return self._is_crowded or most <= sum(
            entry.kind is kind for entry in subscriber.entries
        )

    # A signal handler that raises may end these two at any point. Then an entry may
    # wait that is not counted or not found, which does no harm; nothing is counted for
    # ever.

    def _put(self, entry: Waiting) -> None:
        if self.ended:
            return
        self._waiting[entry] = None
        entry.subscriber.entries[entry] = None
        if entry.kind in self._counted:
            self._room.add(entry)
        if entry.slot is not None:
            entry.subscriber.slots[entry.slot] = entry

    def _remove(self, entry: Waiting) -> None:
        slots = entry.subscriber.slots
        self._room.discard(entry)
        if slots.get(entry.slot) is entry:
            del slots[entry.slot]
        entry.subscriber.entries.pop(entry, None)
        self._waiting.pop(entry, None)
