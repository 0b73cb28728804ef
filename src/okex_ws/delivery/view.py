"""The reads of one subscription, and the delivery of its events.

Any thread may read. A read computes its verdict at the call and never waits. States,
pushes and errors are delivered by the threads of the connections that carry the
subscription's channels, one thread at a time.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from ..base.clock import Clock, utc, wait_on
from ..base.errors import NotLive, OkexWSError
from ..base.log import log
from ..base.state import State
from ..base.threads import Submit, on_library_thread
from ..channels.convert import make_best, make_book, make_depth, make_dict
from ..channels.reading import Reading
from ..model.book import OrderBook
from ..model.items import BestBidAsk, Candle, Depth, Item, Trade
from ..model.reports import Health, StateChange
from ..trust.reading import CHANGING, Taken, read, read_together, take
from ..trust.verdict import LIVE, NO_LIMITS, Limits, Published, Verdict, live_until
from .callbacks import Callbacks, StateChangeFilter
from .depth_selection import LEVELS, CrossCheck, Look, choose, worst
from .updates import UpdateQueue, UpdateQueues

T = TypeVar("T")


class View:
    """What the library holds of one subscription: its reads, callbacks and iterators.

    Many views share a channel; each has limits, callbacks and a verdict of its own. Any
    thread may read, at any time: a read takes no lock, and computes its verdict at the
    call. The threads of the connections that carry its channels call the methods for
    events, which only queue what there is to deliver: *callbacks* run it afterwards. A
    read that finds no trusted value returns nothing or raises `NotLive`; it never
    waits.

    A *look* is a verdict, together with the reading and the value that it judges.
    """

    def __init__(
        self,
        subscription: Any,
        instrument_id: str,
        limits: Limits,
        clock: Clock,
        callbacks: Callbacks,
    ) -> None:
        # The script's own object, which this reference keeps alive until it is closed.
        self.subscription, self.instrument_id = subscription, instrument_id
        self.limits, self.callbacks = limits, callbacks
        self._clock = clock
        # All readings by topic, and those of depths among them.
        self.readings: Mapping[str, Reading] = {}
        self._depths: tuple[Reading, ...] = ()
        # For which pushes the channels call this view: see `channels.base.Follower`.
        self.wants_pushes = self.wants_every_push = True
        self.error: OkexWSError | None = None  # set once, as *closed* is
        self.closed = False
        self._change_filter = StateChangeFilter()
        self._cross_check = CrossCheck(instrument_id, callbacks.log)
        self._changed = threading.Condition()
        # Held while a state is compared with the last one that was queued. No code of
        # the script runs under it.
        self._turn = threading.RLock()
        self._queues = UpdateQueues()

    def carry(self, readings: Mapping[str, Reading]) -> None:
        """Set the readings of this subscription, by topic. The pool calls this once."""
        self.readings = readings
        self._depths = tuple(each for each in readings.values() if each.is_depth)
        heard = self.callbacks.on_message is not None or self.limits is not NO_LIMITS
        self.wants_pushes = self.wants_every_push = heard or len(self._depths) > 1

    @property
    def timed(self) -> bool:
        """Whether passing time alone may cause a delivery."""
        return self.limits is not NO_LIMITS

    @property
    def ended(self) -> bool:
        """Whether the subscription failed or was closed, even if not delivered yet."""
        return self.closed or self.error is not None

    # --- Trust ----------------------------------------------------------------------

    def look(self, limits: Limits, levels: int | None = None) -> Look:
        """The verdict at this moment on the depth that a read of *levels* levels uses.

        Without a depth channel it is the verdict on the channel with the worst state.
        """
        levels = levels or limits.levels or LEVELS
        return self._read(self._depths, limits, levels, None)[0]

    def _read(
        self,
        depths: Sequence[Reading],
        limits: Limits,
        levels: int,
        build: Callable[[Reading, Taken], T] | None,
    ) -> tuple[Look, T | None]:
        """Read *depths*, and have *build* make the result of the one that is used.

        *build* gets a value that seemed trusted. Its result is given only if the
        verdict, which is taken after it, is `LIVE`.
        """
        carriers = depths or self._others()
        if len(carriers) > 1:
            return self._read_several(carriers, limits, levels, build)
        (reading,) = carriers
        verdict, taken, result = read(reading, limits, self._clock, build)
        if self.closed or self.error is not None:
            verdict, result = self._final, None
        return Look(verdict, reading, taken.value), result

    @property
    def _final(self) -> Verdict:
        """The verdict on a subscription that has ended."""
        if self.error is not None:
            return Verdict(State.FAILED, str(self.error))
        return Verdict(State.CLOSED, "closed")

    def _read_several(
        self,
        readings: Sequence[Reading],
        limits: Limits,
        levels: int,
        build: Callable[[Reading, Taken], T] | None,
    ) -> tuple[Look, T | None]:
        choice: list[Reading] = []

        def make(taken: Sequence[Taken]) -> T | None:
            now, wall = self._clock.monotonic(), self._clock.wall()
            look = self.choose(readings, taken, levels, now, wall)
            choice[:] = [look.reading]
            if build is None or look.verdict is not LIVE:
                return None
            each = taken[readings.index(look.reading)]
            epoch = look.current.epoch - each.epoch
            # The epoch of the subscription, which every read gives.
            entry = each.entry._replace(base=each.entry.base + epoch)
            return build(look.reading, each._replace(entry=entry))

        found = read_together(readings, self._clock, make)
        if found is None:
            return Look(CHANGING, readings[0], readings[0].current), None
        result, taken, now, wall = found
        chosen = self.choose(readings, taken, levels, now, wall)
        if self.closed or self.error is not None:
            return chosen._replace(verdict=self._final), None
        if chosen.verdict is LIVE and chosen.reading is not choice[0]:
            # The lease of the first choice ended as the result was built.
            return self._read_several(readings, limits, levels, build)
        if chosen.verdict is LIVE and limits is not NO_LIMITS:
            each = taken[readings.index(chosen.reading)]
            chosen = chosen._replace(verdict=each.judge(limits, now, wall))
        return chosen, result if chosen.verdict is LIVE else None

    @staticmethod
    def choose(
        readings: Sequence[Reading],
        taken: Sequence[Taken],
        levels: int,
        now: float,
        wall: float,
    ) -> Look:
        """The look at one of *readings*, by their values and the two clocks.

        It is at the depth that a read of *levels* levels uses; without a depth it is at
        the reading in the worst state.
        """
        looks = [
            Look(each.judge(NO_LIMITS, now, wall), reading, each.value)
            for reading, each in zip(readings, taken, strict=True)
        ]
        return choose(looks, levels) if readings[0].is_depth else worst(looks)

    def _others(self) -> list[Reading]:
        readings = self.readings.values()
        return [each for each in readings if each.error is None] or list(readings)

    # --- Reads ----------------------------------------------------------------------

    def depth_dict(self, limits: Limits) -> dict[str, Any]:
        """``GetDepth()``: the newest trusted depth as a dict, or ``{}``."""
        if not self._depths:
            return {}
        limits = limits.over(self.limits)
        levels, name = limits.levels or LEVELS, self.instrument_id

        def build(reading: Reading, taken: Taken) -> dict[str, Any]:
            return make_dict(name, taken.current, levels)

        return self._read(self._depths, limits, levels, build)[1] or {}

    def depth(self, limits: Limits) -> Depth:
        """The newest trusted depth; raises `NotLive` if there is none."""
        limits = limits.over(self.limits)
        levels, name = limits.levels or LEVELS, self.instrument_id

        def build(reading: Reading, taken: Taken) -> Depth:
            return make_depth(name, reading.topic, taken.value, levels)

        (verdict, *_), made = self._read(
            self._depths, limits, levels, build if self._depths else None
        )
        if not self._depths:
            raise NotLive(verdict.state, "no depth channel is subscribed")
        if made is None:
            raise NotLive(verdict.state, verdict.cause)
        return made

    def best_bid_ask(self, limits: Limits) -> BestBidAsk | None:
        """Best bid and ask of the newest trusted depth, or ``None``."""
        if not self._depths:
            return None
        limits = limits.over(self.limits)
        # Every depth has the best level, so one level is asked for.
        return self._read(self._depths, limits, limits.levels or 1, self._best)[1]

    def _best(self, reading: Reading, taken: Taken) -> BestBidAsk:
        return make_best(self.instrument_id, reading.topic, taken.value)

    def best(self, look: Look) -> BestBidAsk:
        """Best bid and ask of the depth of *look*."""
        return make_best(self.instrument_id, look.reading.topic, look.current)

    @property
    def depths(self) -> tuple[Reading, ...]:
        """The readings of the depth channels."""
        return self._depths

    @property
    def book(self) -> OrderBook | None:
        """The current version of the whole book, or ``None`` if it is not trusted."""
        books = [each for each in self._depths if each.kind == "book"]
        if not books:
            return None
        most = max(each.levels for each in books)

        def build(reading: Reading, taken: Taken) -> OrderBook:
            return make_book(taken.current)

        return self._read(books, self.limits, most, build)[1]

    @property
    def has_depth(self) -> bool:
        """Whether the subscription has a depth channel."""
        return bool(self._depths)

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades of the first trade channel, newest last."""
        return self._items("trade")

    @property
    def candles(self) -> tuple[Candle, ...]:
        """The newest candles of the first candle channel, newest last."""
        return self._items("candle")

    def _items(self, kind: str) -> tuple[Any, ...]:
        found = (each.items for each in self.readings.values() if each.kind == kind)
        return next(found, ())

    def latest(self, topic: str) -> Item | None:
        """The newest item of the channel *topic*, or ``None`` if it is not trusted.

        ``ValueError`` if the channel is not subscribed.
        """
        reading = self.readings.get(topic)
        if reading is None:
            known = ", ".join(map(repr, self.readings))
            raise ValueError(f"channel {topic!r} is not subscribed, only {known}")

        def build(reading: Reading, taken: Taken) -> Item | None:
            return reading.item(taken.value, self.limits.levels)

        if self.ended:
            return None
        return read(reading, self.limits, self._clock, build)[2]

    @property
    def state(self) -> State:
        """The state at this moment."""
        return self.look(self.limits).verdict.state

    def health(self) -> Health:
        """State, cause, ages and lag, all taken from one look."""
        (verdict, _, current), now = self.look(self.limits), self._clock.monotonic()
        failed = {t: r.error for t, r in self.readings.items() if r.error is not None}
        return Health(
            verdict.state,
            verdict.cause,
            now - current.received,
            now - current.era.heard if current.era is not None else math.inf,
            current.lag,
            current.epoch,
            failed,
        )

    # --- Waiting --------------------------------------------------------------------

    def wait_live(
        self,
        timeout: float | None,
        give_up: float | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Return when live; ``TimeoutError`` after *timeout* seconds.

        *give_up* is the monotonic moment at which a timeout that began earlier ends.
        *check* is called at least once a second, and may raise.
        """
        if on_library_thread():
            raise RuntimeError("wait_live() would wait for its own thread")
        if give_up is None:
            now = self._clock.monotonic()
            give_up = math.inf if timeout is None else now + timeout
        with self._changed:
            while not self._is_ready():
                check()
                left = give_up - self._clock.monotonic()
                if left <= 0:
                    why = f"{self.instrument_id} is {self.state} after {timeout:g} s"
                    raise TimeoutError(why) from self.callbacks.last_error
                # No thread calls `wake` when a lease runs out: look again each second.
                wait_on(self._clock, self._changed, min(left, 1.0))

    def _is_ready(self) -> bool:
        live = not self._depths or self.look(self.limits).verdict is LIVE
        # Every depth channel has to be live, because a read may use any of them.
        live &= all(r.current.state is State.LIVE or r.error for r in self._depths)
        self.check()
        if self.closed:
            raise NotLive(State.CLOSED, "closed")
        return live and all(
            reading.acknowledged or reading.error is not None
            for reading in self.readings.values()
        )

    def check(self) -> None:
        """Raise the error with which the subscription failed, if it did."""
        if self.error is not None:
            # Several callers get the same error object, which must not collect their
            # tracebacks.
            raise self.error.with_traceback(None)

    def wake(self) -> None:
        """Let `wait_live` check again."""
        with self._changed:
            self._changed.notify_all()

    # --- Iterators ------------------------------------------------------------------

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """Deliver all events to *queue* too, beginning with the current values.

        *own* is False for the iterator of a whole feed, which counts what it skips.
        """
        # Registered first: each change from here on reaches the queue, which prefers it
        # to the state that is looked up now.
        with self._changed:
            if any(each is queue for each in self._queues):
                return
            queue.follow(self)
            self._queues.add(queue, counted=own)
        self.wants_pushes = self.wants_every_push = True
        look = self.look(self.limits)
        queue.begin(self, look.verdict.state)
        if look.verdict.state.final:
            queue.end(self, self.error)
            return
        # The first item is the depth that a read would use, if there is one.
        others = (each for each in self.readings.values() if each is not look.reading)
        for reading in (look.reading, *others):
            value = self._value(reading)
            if value is None:
                continue
            if reading.kind == "data":
                queue.seed(reading.topic, reading.item(value, None))
            elif value.data is not None:
                self._note(queue, reading, seed=True)

    def counts(self) -> Counter[str]:
        """The counts of the subscription itself; those of its channels are apart."""
        counts = self._queues.skipped()
        counts["mismatches"] = self._cross_check.mismatches
        return counts + self.callbacks.counts()

    def lapse(self) -> StateChange | None:
        """The state change that is due because the lease ended, or ``None``."""
        look = self.look(NO_LIMITS)
        return None if look.verdict is LIVE else self._change(State.LIVE, look)

    def lease_end(self) -> float:
        """When time alone ends ``LIVE``, in monotonic seconds; ``inf`` if not live."""
        return self._live_until(NO_LIMITS)

    def _live_until(self, limits: Limits) -> float:
        if len(self._depths) == 1:
            return live_until(self._depths[0].current, limits)
        if self._depths:
            return live_until(self.look(limits).current, limits)
        return min(live_until(each.current, limits) for each in self._others())

    def _value(
        self, reading: Reading, kept: Published | None = None
    ) -> Published | None:
        """The present value of *reading*, or *kept*, a value of it, if it is trusted.

        A value that was kept for a while has to be of the present epoch.
        """
        taken = take(reading)
        if taken is None:
            return None
        if kept is not None and kept.epoch == taken.epoch:
            present = taken.current
            if present.state is not State.LIVE or present.era is not kept.era:
                return None
        elif kept is not None:
            return None
        value = taken.value if kept is None else kept
        judged = taken._replace(current=value)
        now, wall = self._clock.monotonic(), self._clock.wall()
        return value if judged.judge(self.limits, now, wall) is LIVE else None

    # --- Called by the connection's thread ------------------------------------------

    def pushed(self, reading: Reading, text: str, now: float) -> None:
        """A push was published: queue it for iterators and callback."""
        if len(self._depths) > 1 and reading.is_depth:
            self._cross_check.check(reading, self._depths, now)
        if self.limits is not NO_LIMITS:
            self.tell(now)
        for queue in self._queues:
            self._note(queue, reading)
        if self.callbacks.on_message is not None and not self.closed:
            self.callbacks.message(text, reading)

    def _note(self, queue: UpdateQueue, reading: Reading, seed: bool = False) -> None:
        if reading.is_series:
            return

        def make(value: Published, before: Published | None) -> Item | None:
            if self._value(reading, value) is None:
                return None
            # If the epoch of the last item has ended, the script may have dropped it.
            known = before if before and before.epoch == value.epoch else None
            if len(self._depths) > 1 and reading.is_depth:
                # The epoch of the subscription, which every read gives.
                value = value._replace(epoch=self.look(NO_LIMITS).current.epoch)
            return reading.item(value, self.limits.levels, known)

        taken = take(reading)
        if taken is not None:
            queue.note(reading.topic, self, taken.value, make, seed=seed)

    def entered(self, reading: Reading) -> None:
        """Another channel serves *reading* from now on."""

    def arrived(self, reading: Reading, submit: Submit) -> None:
        """A connection carries *reading*; *submit* queues a job for its thread.

        This class does not need the thread.
        """

    def add(self, topic: str, item: Item) -> None:
        """Deliver an item that counts by itself, or a `Gap`, to the iterators."""
        for queue in self._queues:
            queue.add(topic, item)

    def tell(self, now: float) -> None:
        """Deliver a `StateChange` to callbacks and iterators if the state differs.

        It is compared with the last state that was delivered.
        """
        with self._turn:
            self._tell(now)

    def _tell(self, now: float) -> None:
        old, look = self._change_filter.state, self.look(self.limits)
        if self._change_filter.may_tell(look.verdict, now):
            self._announce(self._change(old, look))

    def _change(self, old: State, look: Look) -> StateChange:
        now, at = self._clock.monotonic(), self._clock.wall()
        if look.verdict.since is not None:
            at -= max(0.0, now - look.verdict.since)
        state, cause, *_ = look.verdict
        epoch = look.current.epoch
        return StateChange(old, state, cause, epoch, utc(at), self.instrument_id)

    def _announce(self, change: StateChange) -> None:
        if change.new is State.FAILED:
            name, cause = self.instrument_id, change.cause
            self.callbacks.log(lambda: log.error("%s failed: %s", name, cause))
        self.wake()
        for queue in self._queues:
            queue.change(self, change)
            if change.new.final:
                queue.end(self, self.error)
        self.callbacks.state(change)

    def due(self) -> float:
        """When passing time will next require a delivery, in monotonic seconds."""
        again = self._change_filter.again
        live = self._change_filter.state is State.LIVE
        if again < math.inf or not (live and self.limits.timed):
            return again
        return self._live_until(self.limits)

    def forked(self) -> None:
        """In a forked child: close, and replace every lock.

        A thread of the parent may have held it at the fork.
        """
        self._changed, self._turn = threading.Condition(), threading.RLock()
        self.closed = True
        self.callbacks.forked()
        for queue in self._queues:
            queue.forked()

    def fail(self, error: OkexWSError, now: float) -> None:
        """End the subscription in ``FAILED``, unless it has ended already."""
        if self.error is None and not self.closed:
            self.error = error
            self.tell(now)

    def trouble(self, error: OkexWSError) -> None:
        """Deliver an error of a connection, a channel or a message to ``on_error``."""
        self.callbacks.error(error)
