"""The update queue behind ``updates()`` and ``on_item``: items in order.

The connections' threads put items in. A thread or a coroutine of the script takes them,
or the thread that runs the callbacks. The queue is bounded. For a depth it holds a note
only: the item is made, and its trust is decided, when the note is taken.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, Union

from ..base.checks import check_flag, check_seconds
from ..base.clock import Clock, Timekeeper, utc
from ..base.state import NO_CAUSE, Cause, CauseCode, State
from ..base.threads import (
    Rings,
    Waiters,
    forks,
    heed_fork,
    in_event_loop,
    on_library_thread,
    running_loop,
    share_loop,
)
from ..model.instrument import InstrumentChange
from ..model.items import Candle, Data, Gap, Item, Trade
from ..model.reports import StateChange
from ..trust.verdict import Published
from .conflating_queue import ConflatingQueue, Kind, Lost, Subscriber, Waiting

P = ParamSpec("P")

# How many items of one subscription wait, unless the script says otherwise.
MAX_QUEUE = 1000


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


_BLOCKED = (
    "next() on an iterator of updates() blocks the event loop until an item comes: use"
    " 'async for', or anext()"
)

# An item that counts by itself.
_Single = Union[Trade, Candle, Data, InstrumentChange]

# Makes an item of a value. The second argument is the value of which the script
# received the item before, if any.
Make = Callable[[Published, Union[Published, None]], Union[Item, None]]


@dataclass(slots=True, eq=False)
class _Note:
    """A value that waits, such as a depth; its item is made when it is taken."""

    shown: Published
    make: Make


class _Followed(Subscriber):
    """What an update queue knows of one source: its state, and which values it gave."""

    def __init__(self, skipped: dict[str, int]) -> None:
        super().__init__(skipped)
        # ``None`` until a state change was queued or the follower knows the state.
        self.state: State | None = None
        # The value of the last item that the script took, for each channel. The next
        # item of a book may be the change since that value.
        self.handed: dict[str, Published] = {}


def _noted(
    rule: Callable[Concatenate[UpdateQueue, P], None],
) -> Callable[Concatenate[UpdateQueue, P], None]:
    """Make a method that only notes the call of *rule*, which is applied in order."""

    @wraps(rule)
    def note(queue: UpdateQueue, /, *args: P.args, **options: P.kwargs) -> None:
        queue.put(rule, *args, **options)

    return note


class UpdateQueue(ConflatingQueue):
    """The bounded queue of one iterator or ``on_item``: connections put items in.

    It keeps a slow script from delaying a connection: any thread may put, and never
    waits for the script's thread or event loop. *latest* is whether of each channel of
    values only the newest waits. *max_queue* is the number of items that may wait,
    *timeout* the seconds that `take` waits for an item, and *endless* whether the queue
    outlives its last subscription, as that of a whole feed does. *repeated* is whether
    the script wants the last trade from before a subscription, which the exchange
    repeats.

    If the queue is full, a value replaces the one of its channel that waits, further
    items of a series (one channel of one instrument) are counted and become one `Gap`,
    and two state changes become one. When a subscription leaves ``LIVE``, its values
    that wait are discarded.
    """

    _counted = frozenset({Kind.VALUE, Kind.SINGLE})

    def __init__(
        self,
        clock: Clock,
        latest: bool,
        max_queue: int,
        timeout: float | None,
        endless: bool = False,
        repeated: bool = False,
    ) -> None:
        if isinstance(max_queue, bool) or not isinstance(max_queue, int):
            raise TypeError(f"max_queue is a whole number, got {max_queue!r}")
        if max_queue < 1:
            raise ValueError(f"max_queue is at least 1, got {max_queue!r}")
        if timeout is not None:
            check_seconds("timeout", timeout)
        check_flag("repeated", repeated)
        super().__init__(max_queue)
        self._clock = clock
        self.latest = latest
        self._timeout = timeout
        self._repeated = repeated
        self._waiters = Waiters(clock)
        self._may_warn = not isinstance(clock, Timekeeper)
        # The threads that take an item now.
        self._takers: set[int] = set()
        # How many good items were skipped for newer ones or lost, by channel.
        self.skipped: dict[str, int] = {}
        self._followed: dict[ItemSource, _Followed] = {}
        # The items that count by themselves, of all sources.
        self._series = Subscriber(self.skipped)
        # Room for past items, which come many at once and do not count as queued.
        self._spare = self._most_spare = 0
        # Items that were queued as seeds. A channel may still deliver the same one.
        self._seeds: dict[tuple[str, str], Data] = {}
        self._last_ids: dict[tuple[str, str], str] = {}
        # The earliest end of any lease, so that the queue rarely asks every source.
        self._look_at = math.inf
        # The queue of a whole feed does not end with its last source.
        self._endless = endless
        self._is_over = False
        self._error: Exception | None = None

    # --- Any thread -----------------------------------------------------------------

    def put(
        self,
        rule: Callable[Concatenate[Any, P], object],
        *args: P.args,
        **options: P.kwargs,
    ) -> None:
        """Have *rule* called with *args*, and wake who waits for an item."""
        self._notes.append((rule, args, options))
        self.sort()
        if self._waiters.bells:
            self._waiters.wake()

    def forked(self) -> None:
        """In a forked child: end, and replace the lock."""
        super().forked()
        self._is_over = True
        # Of those that waited, only a coroutine of the forking thread is in the child.
        self._waiters.wake()

    def ring(self, bell: Rings) -> None:
        """Ring *bell* whenever something was put."""
        self._waiters.bells.add(bell)

    def mute(self) -> None:
        """The subscription of a callback was closed: discard all but state changes."""
        # Nothing is rung: the final state follows.
        super().put(UpdateQueue._mute)

    def _mute(self) -> None:
        for subscriber in (self._series, *self._followed.values()):
            subscriber.silent = True
            self.discard(subscriber, Kind.VALUE, Kind.SINGLE, Kind.SPARE)
            for entry in [e for e in subscriber.entries if e.kind is Kind.LOST]:
                self._remove(entry)

    @_noted
    def follow(self, source: ItemSource) -> None:
        """Accept items of *source*, whose state is not known yet."""
        self._followed.setdefault(source, _Followed(self.skipped))

    @_noted
    def begin(self, source: ItemSource, state: State) -> None:
        """*source* was in *state* after `follow`; a change that was queued is newer."""
        followed = self._followed.get(source)
        if followed is not None and followed.state is None:
            self._set(source, followed, state)

    def _set(self, source: ItemSource, followed: _Followed, state: State) -> None:
        followed.state = state
        if state is State.LIVE:
            self._look_at = min(self._look_at, source.lease_end())

    @_noted
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
        followed = self._followed.get(source)
        if followed is None:
            return  # it has ended
        waiting = followed.slots.get((Kind.VALUE, kind))
        if waiting is None or not (seed or waiting.what.shown is shown):
            self.value(followed, kind, _Note(shown, make), not self.latest)

    @_noted
    def widen(self, room: int) -> None:
        """Make room for *room* more past items."""
        self._most_spare += room

    @_noted
    def add(
        self, topic: str, item: Item, *, spare: bool = False, repeated: bool = False
    ) -> None:
        """Queue an item that counts by itself, or a `Gap`.

        A *spare* item is one of many past items that come at once. It has room of its
        own, because no script could take them all in time. A trade that the exchange
        *repeated* is counted, unless the script wants it.
        """
        if repeated and not self._repeated:
            self._series.skip("repeat")
        elif isinstance(item, Gap):
            self._add_gap(item if item.at else replace(item, at=self._moment()))
        elif isinstance(item, (Trade, Candle, Data, InstrumentChange)):
            series = item.instrument_id, topic
            if self._seeds and self._seeds.pop(series, None) is item:
                return
            if self._series.silent:
                self._series.skip(topic)
            elif spare and self._spare < self._most_spare:
                self._spare += 1
                self._queue(series, item, Kind.SPARE)
            elif not self._is_full:
                self._queue(series, item, Kind.SINGLE)
            else:
                self._lose_item(series, self._last_ids.get(series)).count += 1
                self._series.skip(topic)

    def _add_gap(self, gap: Gap) -> None:
        # Beyond the bound one `Gap` stands for several, so that the queue is bounded.
        if self._series.silent:
            return
        if self._is_full:
            self._lose_item((gap.instrument_id, gap.channel), gap.after, gap.cause)
        else:
            self._put(Waiting(self._series, Kind.LOST, gap))

    def _lose_item(
        self, series: tuple[str, str], after: str | None, cause: Cause = NO_CAUSE
    ) -> Lost:
        lost = self._lose(self._series, series[1], series)
        if lost.at is None:
            lost.after, lost.cause, lost.at = after, cause, self._moment()
        return lost

    @_noted
    def seed(self, topic: str, item: Item | None) -> None:
        """Queue an item that is older than the iterator, unless it waits already."""
        if isinstance(item, Data) and all(
            waiting.what is not item for waiting in self._series.entries
        ):
            series = item.instrument_id, topic
            self._queue(series, item, Kind.SINGLE)
            self._seeds[series] = item

    def _queue(self, series: tuple[str, str], item: _Single, kind: Kind) -> None:
        first, last = _ids(item)
        # Losses from here on are counted in a new `Lost`.
        run = self._series.slots.pop((Kind.LOST, series), None)
        if run is not None:
            run.what.before = first
        if last is not None:
            self._last_ids[series] = last
        self._put(Waiting(self._series, kind, item, series[1]))

    @_noted
    def change(self, source: ItemSource, change: StateChange) -> None:
        """Queue a state change of *source*."""
        followed = self._followed.get(source)
        if followed is None or followed.state is change.new:
            return  # queued already: a connection's thread sees a lease end too
        if followed.state is not None:
            change = replace(change, old=followed.state)
        self._set(source, followed, change.new)
        self.state(followed, change)
        if change.new is State.CLOSED:
            del self._followed[source]
            self._is_over |= not (self._followed or self._endless)

    @_noted
    def end(self, source: ItemSource, error: Exception | None) -> None:
        """*source* has ended; the end of the last source ends the iteration."""
        self._followed.pop(source, None)
        if not self._endless:
            self._is_over, self._error = not self._followed, error

    @_noted
    def close(self) -> None:
        """Accept no further source: the iteration ends with the last one."""
        # In a forked child the queue may have ended before.
        self._endless, self._is_over = False, self._is_over or not self._followed

    # --- The thread that takes ------------------------------------------------------

    def take(self) -> Item:
        """Wait for the next item and return it.

        Raises:
            StopIteration: every source has ended.
            TimeoutError: no item came within the timeout.
            OkexWSError: the last source failed with this error.
            RuntimeError: a thread of the library called, which would wait for itself.
        """
        now = self._clock.monotonic()
        give_up = self._give_up(now)
        while (item := self._look(now, give_up, StopIteration)) is None:
            if self._may_warn and in_event_loop():
                self._may_warn = False
                warnings.warn(_BLOCKED, RuntimeWarning, stacklevel=3)
            self._waiters.wait(self._patience(now, give_up), self._has_news)
            now = self._clock.monotonic()
        return item

    async def take_in_loop(self) -> Item:
        """Wait as `take` does, in a coroutine; the end is ``StopAsyncIteration``.

        A cancellation loses no item: nothing is awaited after one was taken.
        """
        loop = running_loop("'async for' over updates()", "next(items, None)")
        await share_loop()
        now = self._clock.monotonic()
        give_up = self._give_up(now)
        while (item := self._look(now, give_up, StopAsyncIteration)) is None:
            patience = self._patience(now, give_up)
            await self._waiters.wait_in_loop(loop, patience, self._has_news)
            now = self._clock.monotonic()
        return item

    def take_now(self) -> Item | None:
        """Take the next item, without waiting; ``None`` if there is none."""
        return self._next(self._clock.monotonic())

    def _give_up(self, now: float) -> float:
        return math.inf if self._timeout is None else now + self._timeout

    def _has_news(self) -> bool:
        return self.is_waiting or self._is_over

    def _look(self, now: float, give_up: float, end: type[Exception]) -> Item | None:
        """Take the next item, without waiting; ``None`` if the caller has to wait."""
        item = self._next(now)
        if item is not None:
            return item
        if self._is_over and self._error is not None:
            # Several callers get the same error object, which must not collect their
            # tracebacks.
            raise self._error.with_traceback(None)
        if self._is_over:
            raise end
        if now >= give_up:
            raise TimeoutError(f"no item within {self._timeout:g} s")
        if on_library_thread():
            raise RuntimeError("an iterator would wait for its own thread")
        return None

    def _next(self, now: float) -> Item | None:
        if forks.number != forks.heeded:
            heed_fork()
        me = threading.get_ident()
        if me in self._takers:
            # A signal handler interrupted this thread as it took an item.
            raise RuntimeError("an iterator would wait for its own thread")
        try:
            self._takers.add(me)
            with self._lock:
                self._sort()
                if now >= self._look_at:
                    self._see_lapses()
                while (waiting := self._pop()) is not None:
                    if (item := self._item_of(waiting)) is not None:
                        return item
        finally:
            self._takers.discard(me)
        return None

    @property
    def _is_crowded(self) -> bool:
        return len(self._waiting) >= self._bound

    def _see_lapses(self) -> None:
        self._look_at = math.inf
        for source, followed in list(self._followed.items()):
            if followed.state is State.LIVE:
                change = source.lapse()
                if change is not None:
                    self.change(source, change)
                else:
                    self._set(source, followed, State.LIVE)

    def _item_of(self, waiting: Waiting) -> Item | None:
        what, followed, kind = waiting.what, waiting.subscriber, waiting.topic
        if isinstance(what, Lost):
            cause, (_, (instrument_id, topic)) = what.cause, waiting.slot
            if what.count:
                text = f"{what.count} of {topic} not taken in time (max_queue)"
                cause = Cause(CauseCode.QUEUE, text, "", instrument_id, topic)
            return Gap(topic, what.after, what.before, cause, instrument_id, what.at)
        self._spare -= waiting.kind is Kind.SPARE
        if not isinstance(what, _Note):
            item: Item = what
            return item
        assert isinstance(followed, _Followed)
        made = what.make(what.shown, followed.handed.get(kind))
        if made is None:
            followed.skip(kind)
        else:
            followed.handed[kind] = what.shown
        return made

    def _moment(self) -> datetime:
        return utc(self._clock.wall())

    def _patience(self, now: float, give_up: float) -> float:
        # A lock cannot be waited for longer than threading.TIMEOUT_MAX. The end of a
        # lease may change during the wait, so `take` looks again after a minute.
        return min(max(min(self._look_at, give_up) - now, 0.0), 60.0)


def _ids(item: _Single) -> tuple[str | None, str | None]:
    """The first and the last id of an item, in the form that a `Gap` has."""
    if isinstance(item, Trade):
        return item.first_id, item.id
    if isinstance(item, Candle):
        start = item.start.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return start, start
    return None, None


class Updates(Iterator[Item], AsyncIterator[Item]):
    """The iterator that ``updates()`` returns, for ``for`` and for ``async for``.

    Any thread may iterate, and any coroutine of asyncio; all share the items. A step
    that is cancelled, or that ends with ``TimeoutError``, takes nothing, and the next
    step goes on. ``next`` blocks its thread: in a coroutine it warns once, with a
    ``RuntimeWarning``.
    """

    def __init__(self, queue: UpdateQueue) -> None:
        self._queue = queue

    def __next__(self) -> Item:
        return self._queue.take()

    def __anext__(self) -> Coroutine[Any, Any, Item]:
        return self._queue.take_in_loop()
