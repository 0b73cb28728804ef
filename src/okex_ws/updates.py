"""What waits for a script: items in order, bounded, on the script's own thread.

The connection's thread puts, the script's takes. A depth is only a note that there is
one: what is handed over is made, and its trust decided, when the script asks for it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Union

from .library import on_library_thread
from .messages import Gap, Item, State, StateChange, Trade
from .timing import Clock, check_seconds
from .trust import Published


class Source(Protocol):
    """A subscription, as seen by those who wait for its items."""

    instrument_id: str

    def lapse(self) -> StateChange | None:
        """The change that is due because the lease ended, told by nobody yet."""
        ...

    def lease_end(self) -> float:
        """When that will be; ``inf`` if nothing is live."""
        ...


@dataclass(slots=True, eq=False)
class _Note:
    """A depth or ticker that waits: the newest of its channel, or one of them all."""

    kind: str
    source: Source
    shown: Published
    make: Callable[[Published], Item | None]


@dataclass(slots=True, eq=False)
class _Lost:
    """Trades that found the queue full, between the two that did not."""

    instrument_id: str
    after: str | None
    cause: str = ""
    before: str | None = None
    count: int = 0

    def gap(self) -> Gap:
        cause = self.cause
        if self.count:
            cause = f"{self.count} trades not taken in time (max_queue)"
        return Gap("trade", self.after, self.before, cause, self.instrument_id)


_Waiting = Union[_Note, _Lost, Trade, Gap, StateChange]


class Inbox:
    """The queue of one iterator, between two threads."""

    def __init__(
        self, clock: Clock, latest: bool, max_queue: int, timeout: float | None
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
        self._queued = 0
        self._last_ids: dict[str, str] = {}
        self._lost: dict[str, _Lost] = {}
        self._states: dict[Source, State] = {}
        self._last_changed: Source | None = None
        self._ended = False
        self._error: Exception | None = None
        # Good items that gave way to newer ones, by name.
        self.skipped: dict[str, int] = {}

    # --- The connection's thread ----------------------------------------------------

    def follow(self, source: Source, state: State) -> None:
        """Items of *source* will come; it is in *state*."""
        with self._changed:
            self._states[source] = state

    def note(
        self,
        kind: str,
        source: Source,
        shown: Published,
        make: Callable[[Published], Item | None],
        *,
        seed: bool = False,
    ) -> None:
        """There is a newer value of a *kind*; a *seed* gives way to one that waits."""
        with self._changed:
            key = (source, kind)
            waiting = self._notes.get(key)
            if waiting is not None and (seed or waiting.shown is shown):
                return
            full = self._queued >= self._max_queue
            if waiting is not None and (self._latest or full):
                # The newest is never the one that gives way.
                waiting.shown = shown
                self._skip(kind)
                return
            note = self._notes[key] = _Note(kind, source, shown, make)
            self._put(note)

    def trade(self, item: Trade | Gap) -> None:
        """A trade came, or is known to be missing."""
        with self._changed:
            if isinstance(item, Gap):
                self._queue_gap(item)
            elif self._queued < self._max_queue:
                self._queue_trade(item)
            else:
                self._lose_trade(item)

    def change(self, source: Source, change: StateChange) -> None:
        """The state of *source* changed."""
        with self._changed:
            self._change(source, change)

    def end(self, source: Source, error: Exception | None) -> None:
        """*source* will bring nothing more; the last one ends the iteration."""
        with self._changed:
            self._states.pop(source, None)
            self._ended = not self._states
            self._error = error
            self._changed.notify_all()

    def forked(self) -> None:
        """In a forked child: ended, and no lock that another thread may have held."""
        self._changed = threading.Condition()
        self._ended = True

    def _put(self, item: _Waiting) -> None:
        self._waiting.append(item)
        self._queued += isinstance(item, (_Note, Trade))
        self._changed.notify_all()

    def _queue_trade(self, trade: Trade) -> None:
        lost = self._lost.pop(trade.instrument_id, None)
        if lost is not None:
            lost.before = trade.first_id
        self._last_ids[trade.instrument_id] = trade.id
        self._put(trade)

    def _queue_gap(self, gap: Gap) -> None:
        # Past the bound gaps become one: nothing is hidden, and nothing grows.
        if self._queued < self._max_queue:
            self._put(gap)
        else:
            self._lose(gap.instrument_id, gap.after, gap.cause)

    def _lose_trade(self, trade: Trade) -> None:
        name = trade.instrument_id
        self._lose(name, self._last_ids.get(name)).count += 1
        self._skip("trade")

    def _lose(self, name: str, after: str | None, cause: str = "") -> _Lost:
        """The gap that is open at the end of the queue."""
        lost = self._lost.get(name)
        if lost is None:
            lost = self._lost[name] = _Lost(name, after, cause)
            self._put(lost)
        return lost

    def _change(self, source: Source, change: StateChange) -> None:
        before = self._states.get(source)
        if before is None or before is change.new:
            return  # told already: the lease's end is seen from both sides
        if before is State.LIVE:
            self._discard(source)
        self._states[source] = change.new
        last = self._waiting[-1] if len(self._waiting) >= self._max_queue else None
        if isinstance(last, StateChange) and self._last_changed is source:
            # Past the bound changes become one, from the first old to the last new.
            self._waiting.pop()
            before = last.old
        self._last_changed = source
        self._put(replace(change, old=before))
        if change.new is State.CLOSED:
            self._states.pop(source)
            self._ended = not self._states

    def _discard(self, source: Source) -> None:
        """Depths that wait are no longer true."""
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
        """The next item, waited for; raises as ``WSSubscription.updates`` says."""
        now = self._clock.monotonic()
        give_up = None if self._timeout is None else now + self._timeout
        with self._changed:
            while True:
                self._see_lapses()
                item = self._pop()
                if item is not None:
                    return item
                if self._ended and self._error is not None:
                    # One error for all who ask: it must not collect their traces.
                    raise self._error.with_traceback(None)
                if self._ended:
                    raise StopIteration
                if give_up is not None and now >= give_up:
                    raise TimeoutError(f"no item within {self._timeout:g} s")
                if on_library_thread():
                    raise RuntimeError("an iterator would wait for its own thread")
                self._changed.wait(self._patience(now, give_up))
                now = self._clock.monotonic()

    def _see_lapses(self) -> None:
        for source, state in list(self._states.items()):
            if state is State.LIVE:
                change = source.lapse()
                if change is not None:
                    self._change(source, change)

    def _pop(self) -> Item | None:
        while self._waiting:
            item = self._waiting.popleft()
            if isinstance(item, _Lost):
                # What is lost from here on is another gap.
                self._lost.pop(item.instrument_id, None)
                return item.gap()
            if isinstance(item, (StateChange, Gap)):
                return item
            self._queued -= 1
            if isinstance(item, Trade):
                return item
            self._notes = {k: n for k, n in self._notes.items() if n is not item}
            made = item.make(item.shown)
            if made is not None:
                return made
            self._skip(item.kind)
        return None

    def _patience(self, now: float, give_up: float | None) -> float:
        ends = [
            source.lease_end()
            for source, state in self._states.items()
            if state is State.LIVE
        ]
        if give_up is not None:
            ends.append(give_up)
        soonest = min(ends, default=float("inf"))
        # A condition cannot wait longer than threading.TIMEOUT_MAX, or for ever late:
        # the end of a lease may be moved while it waits, so look again each minute.
        return min(max(soonest - now, 0.0), 60.0)


class Updates(Iterator[Item]):
    """An iterator of items; see ``WSSubscription.updates``."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    def __next__(self) -> Item:
        return self._inbox.take()
