"""The update queue behind ``updates()``: items in order, for the script's thread.

The connections' threads put items in, and the script's thread takes them. The queue is
bounded. For a depth it holds a note only: the item is made, and its trust is decided,
when the script takes the note.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol, Union

from ..base.checks import check_seconds
from ..base.clock import Clock, utc, wait_on
from ..base.state import State
from ..base.threads import on_library_thread
from ..model.items import Candle, Data, Gap, Item, Trade
from ..model.reports import StateChange
from ..trust.verdict import Published


class ItemSource(Protocol):
    """A subscription (a `View`) whose items an update queue takes.

    A lease ends without any event, so the queue asks with these methods while the
    script waits. The script's thread calls them, holding the queue's lock.
    """

    instrument_id: str

    def lapse(self) -> StateChange | None:
        """The state change that is due because the lease ended, if there is one."""
        ...

    def lease_end(self) -> float:
        """When the lease ends, in monotonic seconds; ``inf`` if nothing is live."""
        ...


# Makes an item of a value. The second argument is the value of which the script
# received the item before, if any.
Make = Callable[[Published, Union[Published, None]], Union[Item, None]]


@dataclass(slots=True, eq=False)
class _Note:
    """A value that waits, such as a depth; with *latest* the newest of its channel."""

    kind: str
    source: ItemSource
    shown: Published
    make: Make


@dataclass(slots=True, eq=False)
class _Lost:
    """Consecutive items of one series that the full queue had no room for.

    A series is one channel of one instrument. The script receives a `Gap` in their
    place.
    """

    series: tuple[str, str]  # instrument and channel
    after: str | None
    at: datetime
    cause: str = ""
    before: str | None = None
    count: int = 0

    def gap(self) -> Gap:
        instrument_id, topic = self.series
        cause = self.cause
        if self.count:
            cause = f"{self.count} of {topic} not taken in time (max_queue)"
        return Gap(topic, self.after, self.before, cause, instrument_id, self.at)


@dataclass(slots=True, eq=False)
class _Spare:
    """A past item (of ``history=``), which does not count against the queue's bound."""

    item: Trade | Candle


# Items of which each one counts, so that a newer one never replaces them.
_Single = Union[Trade, Candle, Data]
_Waiting = Union[_Note, _Lost, _Spare, Trade, Candle, Data, Gap, StateChange]


class UpdateQueue:
    """The bounded queue of one iterator: connections put items, the script takes them.

    It keeps a slow script from delaying a connection. Any thread may call; one lock
    guards the queue, and no callback runs under it. *latest* is whether of each channel
    of values only the newest waits. *max_queue* is the number of items that may wait,
    *timeout* the seconds that `take` waits for an item, and *endless* whether the queue
    outlives its last subscription, as that of a whole feed does.

    If the queue is full, a value replaces the one of its channel that waits, further
    items of a series are counted and become one `Gap`, and two state changes become
    one. When a subscription leaves ``LIVE``, its values that wait are discarded.
    """

    def __init__(
        self,
        clock: Clock,
        latest: bool,
        max_queue: int,
        timeout: float | None,
        endless: bool = False,
    ) -> None:
        if isinstance(max_queue, bool) or not isinstance(max_queue, int):
            raise TypeError(f"max_queue is a whole number, got {max_queue!r}")
        if max_queue < 1:
            raise ValueError(f"max_queue is at least 1, got {max_queue!r}")
        if timeout is not None:
            check_seconds("timeout", timeout)
        self._clock = clock
        self._latest = latest
        self._max_queue = max_queue
        self._timeout = timeout
        self._changed = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._notes: dict[object, _Note] = {}
        # The value of the last item that the script took, for each channel of a source.
        # The next item of a book may be the change since that value.
        self._handed: dict[ItemSource, dict[str, Published]] = {}
        self._queued = 0
        # Room for past items, which come many at once and do not count as queued.
        self._spare = self._most_spare = 0
        # Items that were queued as seeds. A channel may still deliver the same one.
        self._seeds: dict[tuple[str, str], Data] = {}
        self._last_ids: dict[tuple[str, str], str] = {}
        self._lost: dict[tuple[str, str], _Lost] = {}
        self._states: dict[ItemSource, State] = {}
        # The earliest end of any lease, so that `take` rarely has to ask every source.
        self._look_at = math.inf
        # The last state change of each source, which may still wait.
        self._told: dict[ItemSource, StateChange] = {}
        # The queue of a whole feed does not end with its last source.
        self._endless = endless
        self._ended = False
        self._error: Exception | None = None
        # How many good items were skipped for newer ones or lost, by channel.
        self.skipped: dict[str, int] = {}

    # --- The connection's thread ----------------------------------------------------

    def follow(self, source: ItemSource, state: State) -> None:
        """Accept items of *source*, which is in *state*."""
        with self._changed:
            self._states[source] = state
            self._watch(source, state)

    def _watch(self, source: ItemSource, state: State) -> None:
        if state is State.LIVE:
            self._look_at = min(self._look_at, source.lease_end())

    def note(
        self,
        kind: str,
        source: ItemSource,
        shown: Published,
        make: Make,
        *,
        seed: bool = False,
    ) -> None:
        """Queue a value of channel *kind*; a *seed* never replaces one that waits."""
        with self._changed:
            key = (source, kind)
            waiting = self._notes.get(key)
            if waiting is not None and (seed or waiting.shown is shown):
                return
            full = self._queued >= self._max_queue
            if waiting is not None and (self._latest or full):
                # If one of the two has to be skipped, it is the older value.
                waiting.shown = shown
                self._skip(kind)
                return
            note = self._notes[key] = _Note(kind, source, shown, make)
            self._put(note)

    def widen(self, room: int) -> None:
        """Make room for *room* more past items."""
        with self._changed:
            self._most_spare += room

    def add(self, topic: str, item: Item, *, spare: bool = False) -> None:
        """Queue an item that counts by itself, or a `Gap`.

        A *spare* item is one of many past items that come at once. It has room of its
        own, because no script could take them all in time.
        """
        with self._changed:
            if isinstance(item, Gap):
                self._queue_gap(item if item.at else replace(item, at=self._moment()))
            elif spare and self._spare < self._most_spare:
                assert isinstance(item, (Trade, Candle))
                self._spare += 1
                self._queue_single((item.instrument_id, topic), item, _Spare(item))
            elif isinstance(item, (Trade, Candle, Data)):
                series = item.instrument_id, topic
                if self._seeds and self._seeds.pop(series, None) is item:
                    return
                if self._queued < self._max_queue:
                    self._queue_single(series, item)
                else:
                    self._lose(series, self._last_ids.get(series)).count += 1
                    self._skip(topic)

    def seed(self, topic: str, item: Item | None) -> None:
        """Queue an item that is older than the iterator, unless it waits already."""
        with self._changed:
            if isinstance(item, Data) and all(
                each is not item for each in self._waiting
            ):
                series = item.instrument_id, topic
                self._queue_single(series, item)
                self._seeds[series] = item

    def change(self, source: ItemSource, change: StateChange) -> None:
        """Queue a state change of *source*."""
        with self._changed:
            self._change(source, change)

    def end(self, source: ItemSource, error: Exception | None) -> None:
        """*source* has ended; the end of the last source ends the iteration."""
        with self._changed:
            self._states.pop(source, None)
            self._told.pop(source, None)
            self._handed.pop(source, None)
            if not self._endless:
                self._ended, self._error = not self._states, error
            self._changed.notify_all()

    def close(self) -> None:
        """Accept no further source: the iteration ends with the last one."""
        with self._changed:
            # In a forked child the queue may have ended before.
            self._endless, self._ended = False, self._ended or not self._states
            self._changed.notify_all()

    def forked(self) -> None:
        """In a forked child: end, and replace the lock.

        A thread of the parent may have held it at the fork.
        """
        self._changed = threading.Condition()
        self._ended = True

    def _put(self, item: _Waiting) -> None:
        self._waiting.append(item)
        self._queued += isinstance(item, (_Note, Trade, Candle, Data))
        self._changed.notify_all()

    def _queue_single(
        self, series: tuple[str, str], item: _Single, put: _Spare | None = None
    ) -> None:
        first, last = _ids(item)
        lost = self._lost.pop(series, None)
        if lost is not None:
            lost.before = first
        if last is not None:
            self._last_ids[series] = last
        self._put(item if put is None else put)

    def _queue_gap(self, gap: Gap) -> None:
        # Beyond the bound one `Gap` stands for several, so that the queue is bounded.
        if self._queued < self._max_queue:
            self._put(gap)
        else:
            self._lose((gap.instrument_id, gap.channel), gap.after, gap.cause)

    def _lose(
        self, series: tuple[str, str], after: str | None, cause: str = ""
    ) -> _Lost:
        """The `_Lost` that counts the items of *series* which are being lost now."""
        lost = self._lost.get(series)
        if lost is None:
            lost = self._lost[series] = _Lost(series, after, self._moment(), cause)
            self._put(lost)
        return lost

    def _moment(self) -> datetime:
        return utc(self._clock.wall())

    def _change(self, source: ItemSource, change: StateChange) -> None:
        before = self._states.get(source)
        if before is None or before is change.new:
            return  # queued already: a connection's thread sees a lease end too
        if before is State.LIVE:
            self._discard(source)
        self._states[source] = change.new
        self._watch(source, change.new)
        told = self._told.pop(source, None)
        if told is not None and len(self._waiting) >= self._max_queue:
            # Beyond the bound two changes become one, from the first old state to the
            # last new state.
            self._waiting = deque(each for each in self._waiting if each is not told)
            before = told.old
        merged = self._told[source] = replace(change, old=before)
        self._put(merged)
        if change.new is State.CLOSED:
            self._states.pop(source)
            self._ended = self._ended or not (self._states or self._endless)

    def _discard(self, source: ItemSource) -> None:
        """Discard the values of *source* that wait: they are no longer true."""
        kept: deque[_Waiting] = deque()
        for item in self._waiting:
            if isinstance(item, _Note) and item.source is source:
                self._skip(item.kind)
                self._queued -= 1
            else:
                kept.append(item)
        self._waiting = kept
        self._notes = {k: n for k, n in self._notes.items() if n.source is not source}

    def _skip(self, kind: str, count: int = 1) -> None:
        self.skipped[kind] = self.skipped.get(kind, 0) + count

    # --- The script's thread --------------------------------------------------------

    def take(self) -> Item:
        """Wait for the next item and return it.

        Raises:
            StopIteration: every source has ended.
            TimeoutError: no item came within the timeout.
            OkexWSError: the last source failed with this error.
            RuntimeError: a thread of the library called, which would wait for itself.
        """
        now = self._clock.monotonic()
        give_up = None if self._timeout is None else now + self._timeout
        with self._changed:
            while True:
                if now >= self._look_at:
                    self._see_lapses()
                item = self._pop()
                if item is not None:
                    return item
                if self._ended and self._error is not None:
                    # Several callers get the same error object, which must not collect
                    # their tracebacks.
                    raise self._error.with_traceback(None)
                if self._ended:
                    raise StopIteration
                if give_up is not None and now >= give_up:
                    raise TimeoutError(f"no item within {self._timeout:g} s")
                if on_library_thread():
                    raise RuntimeError("an iterator would wait for its own thread")
                wait_on(self._clock, self._changed, self._patience(now, give_up))
                now = self._clock.monotonic()

    def _see_lapses(self) -> None:
        self._look_at = math.inf
        for source, state in list(self._states.items()):
            if state is State.LIVE:
                change = source.lapse()
                if change is not None:
                    self._change(source, change)
                else:
                    self._watch(source, state)

    def _pop(self) -> Item | None:
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, _Lost):
                # Losses from here on are counted in a new `_Lost`.
                self._lost.pop(item.series, None)
                return item.gap()
            if isinstance(item, (StateChange, Gap)):
                return item
            if isinstance(item, _Spare):
                self._spare -= 1
                return item.item
            self._queued -= 1
            if not isinstance(item, _Note):
                return item
            self._notes = {k: n for k, n in self._notes.items() if n is not item}
            # For a source that has ended, the value is not remembered.
            known = item.source in self._states
            handed = self._handed.setdefault(item.source, {}) if known else {}
            made = item.make(item.shown, handed.get(item.kind))
            if made is not None:
                handed[item.kind] = item.shown
                return made
            self._skip(item.kind)
        return None

    def _patience(self, now: float, give_up: float | None) -> float:
        soonest = self._look_at if give_up is None else min(self._look_at, give_up)
        # A condition cannot wait longer than threading.TIMEOUT_MAX. The end of a lease
        # may change during the wait, so `take` looks again after a minute at most.
        return min(max(soonest - now, 0.0), 60.0)


def _ids(item: _Single) -> tuple[str | None, str | None]:
    """The first and the last id of an item, in the form that a `Gap` has."""
    if isinstance(item, Trade):
        return item.first_id, item.id
    if isinstance(item, Candle):
        start = item.start.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return start, start
    return None, None


class Updates(Iterator[Item]):
    """The iterator that ``updates()`` returns; each step takes an item of its queue.

    Any thread may iterate. Several threads share the items.
    """

    def __init__(self, queue: UpdateQueue) -> None:
        self._queue = queue

    def __next__(self) -> Item:
        return self._queue.take()


class UpdateQueues:
    """The update queues of one subscription or one feed, one for each of its iterators.

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
