"""`GapJoin`: joins the live items of a channel to past and missed ones. Pure.

Its queue has live items with holes in it. A hole is a place where items may be missing.
There is one before the first item if past items were asked for, and one at each place
where items may have been missed. Items that come after a hole are held until the hole
is filled, or is given up and becomes a `Gap`; then they follow in order. Without a hole
an item passes at once. The number of held items and the time that they are held are
bounded. *now* is an argument.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Generic, Protocol

from ..base.errors import BackfillFailed, OkexWSError, RequestRejected
from ..base.state import Cause, CauseCode
from ..channels.continuity import KEPT
from ..channels.reading import copied
from ..model.items import Candle, Gap, Item
from .backfill import MOST_MISSED, GapFill, Missing, Series, T
from .source import MOST, History

# How many live items are held after a hole, and for how many seconds: fewer than the 30
# that a script waits in `wait_live`, which returns after the past was joined.
MOST_HELD = 10_000
LONGEST_HOLD = 20.0
# Seconds to wait for the next live item before a hole is filled without it.
PATIENCE = 2.0
# How often a query without a full answer is run, and the first wait in between. The
# items were traded a moment ago, and the servers for the past may be behind.
TRIES = 5
FIRST_WAIT = 0.5
# How many keys of filled-in items are kept, to recognise a live item that repeats one.
_MOST_KNOWN = MOST + MOST_MISSED

HistoryQuery = Callable[[History], Sequence[T]]


class GapJoinDelegate(Protocol):
    """What a `GapJoin` calls for delivery, queries and clocks: the `JoinedView`.

    The thread that called the `GapJoin` makes these calls, while it holds the view's
    lock, so none of them may block or run a callback of the script.
    """

    def hand_over(self, topic: str, item: Item, burst: bool) -> None:
        """Deliver the next item or `Gap`.

        *burst* says that the item was fetched or held, and is not news of this moment.
        """
        ...

    def ask(
        self, topic: str, question: HistoryQuery[T], ticket: object, wait: float
    ) -> None:
        """Run *question* in *wait* seconds; give `GapJoin.answer` its *ticket*."""
        ...

    def failed(self, error: BackfillFailed) -> None:
        """Report that items are missing; a `Gap` says where."""
        ...

    def epoch(self, topic: str) -> int:
        """The present epoch of the channel *topic*."""
        ...

    def moment(self) -> datetime:
        """The wall-clock time."""
        ...


def _may_pass(error: Exception) -> bool:
    """Whether a query that failed with *error* may succeed later."""
    if isinstance(error, RequestRejected):
        # Too many requests and a fault of the server say nothing about the query.
        return error.status == 429 or error.status >= 500
    return isinstance(error, OkexWSError)


class _Hole(Generic[T]):
    """A place where items may be missing, before the live item *before*.

    *before* is ``None`` until that item comes.
    """

    def __init__(self, ask_at: float, cause: Cause) -> None:
        self.before: T | None = None
        self.cause = cause
        # When to fill the hole if no live item comes after it.
        self.ask_at = ask_at
        # Since when a live item is held after it.
        self.held_since = math.inf
        # While it is being filled: what was found, the ticket of the open query, the
        # attempts since the last progress, and when to give up.
        self.gap_fill: GapFill[T] | None = None
        self.ticket: object = None
        self.tries = 0
        self.give_up_at = math.inf
        self.error: Exception | None = None
        self.is_told = False


class GapJoin(Generic[T]):
    """Delivers the items of one channel in order, with past and missed items put in.

    The exchange pushes trades and candles only while the channel is subscribed, so a
    script would miss those from before, and those of each outage. `GapJoin` fetches
    them over REST and holds back the live items that come meanwhile, so that the script
    gets them all in order. It holds at most 10,000 items, for about 20 s. Then, or if
    the fetch fails, it delivers what it has, with a `Gap` where items are missing, and
    reports a `BackfillFailed`.

    Its view calls it, mostly on the threads of the connections, and one at a time,
    under a lock. It never blocks. `add` takes a live item, `acknowledged` and `gap` say
    where items may be missing, `work` does what time asks for, and `answer` takes
    fetched items.

    *series* tells the order of the items and fetches them. *past* is how many items
    from before the first live one are wanted. *delegate* is the view, which delivers
    the items and has the queries run on the history worker.
    """

    def __init__(
        self,
        series: Series[T],
        topic: str,
        instrument_id: str,
        past: int,
        delegate: GapJoinDelegate,
    ) -> None:
        self._series: Series[T] = series
        self._topic = topic
        self._instrument_id = instrument_id
        self._past = past
        self._delegate = delegate
        # Delivered items, newest last, each with the gap before it; and a gap that has
        # no item after it yet.
        self._delivered: deque[tuple[Gap | None, T]] = deque(maxlen=KEPT + past)
        self._gap: Gap | None = None
        # Whether the past was joined, or was given up.
        self.settled = not past
        self.repeats = 0
        # Holes and held items: it begins with a hole, or is empty.
        self._queue: deque[_Hole[T] | T] = deque()
        self._newest: T | None = None
        # The newest live item, delivered or held.
        self._live: T | None = None
        self._filled: dict[int, T] = {}
        if past:
            cause = Cause(CauseCode.HISTORY, "history", "", instrument_id, topic)
            self._queue.append(_Hole(math.inf, cause))

    @property
    def items(self) -> tuple[T, ...]:
        """The delivered items that are kept, newest last. Any thread may read them."""
        return tuple(item for _, item in copied(self._delivered))

    # --- Live items -----------------------------------------------------------------

    def acknowledged(self, now: float) -> None:
        """The exchange acknowledged the channel.

        Items may be missing since an earlier connection, so a hole is put after the
        last item. It is filled, as is that of the past, once a live item comes, or
        after `PATIENCE` s.
        """
        mine = "", self._instrument_id, self._topic
        self._open(Cause(CauseCode.OUTAGE, "while not connected", *mine), now)
        self.work(now)

    def gap(self, gap: Gap, now: float) -> None:
        """Items may be missing between the last item and the next, says *gap*.

        If there was no item and there is no hole, *gap* is delivered as it is.
        """
        if not self._open(gap.cause, now):
            self._gap = gap
            self._delegate.hand_over(self._topic, gap, False)

    def _open(self, cause: Cause, now: float) -> bool:
        """Put a hole at the end of the queue; False if no item or hole is before it."""
        tail = self._queue[-1] if self._queue else self._newest
        if tail is None:
            return False
        if not isinstance(tail, _Hole):
            tail = _Hole(math.inf, cause)
            self._queue.append(tail)
        tail.ask_at = min(tail.ask_at, now + PATIENCE)
        return True

    def add(self, item: T, now: float) -> None:
        """Hold a live item if a hole is open, else deliver it.

        An item that was filled in before is only counted.
        """
        if self._is_filled(item):
            self.repeats += 1
            return
        if isinstance(item, Candle) and self._is_late(item):
            self._correct(item)
            self.work(now)
            return
        self._live = item
        if not self._queue:
            self._give(item)
            return
        tail = self._queue[-1]
        if isinstance(tail, _Hole):
            tail.before, tail.held_since = item, now
            # The open query is dropped: the newer end of the hole is known now.
            tail.gap_fill = tail.ticket = None
        self._queue.append(item)
        if len(self._queue) > MOST_HELD:
            hole = self._front
            assert hole is not None
            self._close(hole, f"more than {MOST_HELD} came before they were had")
        self.work(now)

    def _is_filled(self, item: T) -> bool:
        found = self._filled.get(self._series.key(item))
        return found is not None and bool(self._series.same(found, item))

    def _is_late(self, item: T) -> bool:
        """Whether *item* is the last word on a bar, which came after the next bar."""
        live, key = self._live, self._series.key
        return live is not None and key(item) < key(live)

    def _correct(self, item: T) -> None:
        """Deliver the last word on a bar, or put it in the place of the held bar."""
        key = self._series.key
        for at, held in enumerate(self._queue):
            if not isinstance(held, _Hole) and key(held) == key(item):
                self._queue[at] = item
                return
        told: list[tuple[Gap | None, T]] = list(self._delivered)
        at = len(told)
        while at and key(told[at - 1][1]) > key(item):
            at -= 1
        if at and key(told[at - 1][1]) == key(item):
            told[at - 1] = (told[at - 1][0], item)
        else:
            told.insert(at, (None, item))
        self._delivered = deque(told, self._delivered.maxlen)
        if self._newest is not None and key(self._newest) == key(item):
            self._newest = item
        self._delegate.hand_over(self._topic, item, False)

    # --- Filling --------------------------------------------------------------------

    @property
    def _front(self) -> _Hole[T] | None:
        front = self._queue[0] if self._queue else None
        return front if isinstance(front, _Hole) else None

    @property
    def due(self) -> float:
        """When `work` must be called if nothing comes before."""
        hole = self._front
        if hole is None:
            return math.inf
        return hole.ask_at if hole.gap_fill is None else hole.give_up_at

    def work(self, now: float) -> None:
        """Fill the first hole, as far as that is possible now."""
        while (hole := self._front) is not None:
            if hole.gap_fill is not None and now < hole.give_up_at:
                return
            if hole.gap_fill is not None:
                self._close(hole, f"they were not had within {LONGEST_HOLD:g} s")
            elif hole.before is None and now < hole.ask_at:
                return
            elif self._is_none(hole):
                self._release()
            else:
                self._begin(hole, now)

    def _is_none(self, hole: _Hole[T]) -> bool:
        """Whether the items at both ends of *hole* prove that nothing is missing."""
        after, before = self._newest, hole.before
        if after is None or before is None:
            return False
        touches: bool = self._series.touch(after, before)
        return touches

    def _begin(self, hole: _Hole[T], now: float) -> None:
        hole.gap_fill = GapFill(self._series, self._newest, hole.before, self._past)
        hole.tries, hole.ask_at = 0, math.inf
        # Items after this hole may have been held for earlier holes already.
        hole.give_up_at = min(now, hole.held_since) + LONGEST_HOLD
        if not hole.gap_fill.is_possible:
            self._close(hole, "their ids do not tell their order")
        elif now < hole.give_up_at:
            self._ask(hole)

    def _ask(self, hole: _Hole[T]) -> None:
        assert hole.gap_fill is not None
        hole.ticket = object()
        wait = FIRST_WAIT * 2.0 ** (hole.tries - 1) if hole.tries else 0.0
        self._delegate.ask(self._topic, hole.gap_fill.ask, hole.ticket, wait)

    def awaits(self, ticket: object) -> bool:
        """Whether the answer to the query of *ticket* is still needed."""
        hole = self._front
        return hole is not None and hole.gap_fill is not None and hole.ticket is ticket

    def answer(
        self, ticket: object, answer: Sequence[T] | Exception, now: float
    ) -> None:
        """Use the answer to a query, or its error, if it is still awaited."""
        hole = self._front
        if hole is None or not self.awaits(ticket):
            return
        hole.ticket, last = None, hole.tries + 1 >= TRIES
        if isinstance(answer, Exception):
            hole.error = answer
            given_up, progress = last or not _may_pass(answer), False
        else:
            hole.error = None
            progress, given_up = self._take(hole, answer, last)
        if given_up:
            self._close(hole)
        elif now < hole.give_up_at:
            hole.tries = 0 if progress else hole.tries + 1
            self._ask(hole)
        self.work(now)

    @staticmethod
    def _take(hole: _Hole[T], answer: Sequence[T], last: bool) -> tuple[bool, bool]:
        """Add *answer* to what fills *hole*.

        Returns whether the answer was of use, and whether no further one is needed.
        """
        gap_fill = hole.gap_fill
        assert gap_fill is not None
        try:
            return gap_fill.take(answer, last), gap_fill.done
        except Exception as error:
            # A user's source may answer anything: the thread must survive it.
            hole.error = error
            return False, True

    # --- Delivery -------------------------------------------------------------------

    def _close(self, hole: _Hole[T], why: str = "") -> None:
        """Deliver what was found for *hole*, and what was held after it."""
        gap_fill, hole.gap_fill = hole.gap_fill, None
        assert gap_fill is not None
        # Its last word may have come since.
        gap_fill.after = self._newest
        found = list(gap_fill.result())
        some = any(not isinstance(item, Missing) for item in found)
        missing = any(isinstance(item, Missing) for item in found)
        why = why or (gap_fill.why if hole.error is None else str(hole.error))
        code = CauseCode.HISTORY
        if isinstance(hole.error, ImportError):
            code = CauseCode.PACKAGE
        cause = replace(hole.cause, code=code, text=f"{hole.cause}: {why}")
        tries_again = gap_fill.is_open and not some
        if missing and not (tries_again and self._newest is not None):
            self._tell(hole, cause)
        if tries_again:
            # The hole is filled again once a live item has come after it.
            self.settled = True
            return
        epoch = self._delegate.epoch(self._topic)
        if hole.before is not None:
            epoch = hole.before.epoch
        for item in found:
            if isinstance(item, Missing):
                self._give_gap(item, cause)
            else:
                self._remember(item)
                self._give(replace(item, epoch=epoch, backfilled=True), burst=True)
        if gap_fill.is_open:
            # These items are all there were. Whether the next live item follows them
            # directly is not known, so another hole takes the place of this one.
            self._queue[0] = _Hole(hole.ask_at, hole.cause)
            self.settled = True
        else:
            self._release()

    def _tell(self, hole: _Hole[T], cause: Cause) -> None:
        if not hole.is_told:
            hole.is_told = True
            whose = self._instrument_id, self._topic
            error = BackfillFailed(*whose, cause.text, cause_code=cause.code)
            error.__cause__ = hole.error
            self._delegate.failed(error)

    def _release(self) -> None:
        """Remove the first hole; deliver what it held back, up to the next hole."""
        self._queue.popleft()
        for item in self._held():
            if self._is_filled(item):
                self.repeats += 1
            else:
                self._give(item, burst=True)
        # Set last, so that a thread that waits for it finds all of the past.
        self.settled = True

    def _held(self) -> Iterator[T]:
        while self._queue and not isinstance(self._queue[0], _Hole):
            item = self._queue.popleft()
            assert not isinstance(item, _Hole)
            yield item

    def _remember(self, item: T) -> None:
        self._filled[self._series.key(item)] = item
        if len(self._filled) > _MOST_KNOWN:
            del self._filled[next(iter(self._filled))]

    def _give(self, item: T, burst: bool = False) -> None:
        """Deliver the next item; in `items` a candle replaces one of the same start."""
        before, self._newest = self._newest, item
        gap, self._gap = self._gap, None
        key, told = self._series.key, self._delivered
        is_bar = isinstance(item, Candle)
        if is_bar and before is not None and key(before) == key(item):
            told[-1] = (gap or told[-1][0], item)
        else:
            told.append((gap, item))
        self._delegate.hand_over(self._topic, item, burst)

    def told(self) -> Iterator[T | Gap]:
        """The delivered items that are kept, in order, and the gaps between them."""
        for gap, item in self._delivered:
            if gap is not None:
                yield gap
            yield item
        if self._gap is not None:
            yield self._gap

    def _give_gap(self, missing: Missing, cause: Cause) -> None:
        name, at = self._instrument_id, self._delegate.moment()
        gap = self._gap = Gap(self._topic, *missing, cause, name, at)
        self._delegate.hand_over(self._topic, gap, True)
