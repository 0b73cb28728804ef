"""The reads of one subscription, and the delivery of its events.

Any thread may read. A read computes its verdict at the call and never waits. States,
pushes and errors are delivered by the threads of the connections that carry the
subscription's channels, one thread at a time.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..base.clock import Clock, utc
from ..base.errors import LiveTimeout, OkexWSError
from ..base.log import log
from ..base.state import FORKED, NO_CAUSE, Cause, CauseCode, State
from ..base.threads import (
    Submit,
    Waiters,
    heed_fork,
    on_library_thread,
    running_loop,
    share_loop,
)
from ..channels.reading import Reading
from ..model.items import Item
from ..model.reports import StateChange
from ..protocol.messages import ChannelName
from ..trust.reading import take
from ..trust.verdict import LIVE, NO_LIMITS, Limits, Published, live_until
from .callbacks import Callbacks, StateChangeFilter
from .depth_selection import CrossCheck, Look
from .reads import Reads
from .update_queues import UpdateQueues
from .updates import UpdateQueue

T = TypeVar("T")

_ACKNOWLEDGEMENT = Cause(CauseCode.SUBSCRIBING, "waiting for the acknowledgement")


class View(Reads):
    """What the library holds of one subscription: its reads, callbacks and iterators.

    Many views share a channel; each has limits, callbacks and a verdict of its own. Any
    thread may read, at any time: a read takes no lock, and computes its verdict at the
    call. The threads of the connections that carry its channels call the methods for
    events, which only queue what there is to deliver: *callbacks* run it afterwards. A
    read that finds no trusted value returns nothing or raises `NotLive`; it never
    waits.

    A *look* is a verdict, together with the reading and the value that it judges. A
    view that is *internal* is the library's own: no script hears of it.
    """

    internal = False
    # The channel that tells of the life of the instrument, if there is one, and whether
    # the script is given an `InstrumentChange` for what it says.
    listing: ChannelName | None = None
    wants_changes = False

    def __init__(
        self,
        subscription: Any,
        instrument_id: str,
        limits: Limits,
        clock: Clock,
        callbacks: Callbacks,
    ) -> None:
        super().__init__(instrument_id, limits, clock)
        # The script's own object, which this reference keeps alive until it is closed.
        self.subscription, self.callbacks = subscription, callbacks
        # For which pushes the channels call this view: see `channels.base.Follower`.
        self.wants_pushes = self.wants_data = self.wants_items = True
        self._change_filter = StateChangeFilter()
        self._cross_check = CrossCheck(instrument_id, callbacks.log)
        self._waiters = Waiters(clock)
        # Held while an iterator is registered.
        self._following = threading.RLock()
        # Held while a state is compared with the last one that was queued. No code of
        # the script runs under it.
        self._turn = threading.RLock()
        self._queues = UpdateQueues()

    def carry(self, readings: Mapping[str, Reading]) -> None:
        """Set the readings of this subscription, by topic. The pool calls this once."""
        super().carry(readings)
        # A push that cannot be read does not end a limit.
        self.wants_items = self.limits is not NO_LIMITS
        self.wants_data = self.wants_items or len(self._depths) > 1
        self.wants_pushes = self.wants_data or self.callbacks.on_message is not None

    @property
    def timed(self) -> bool:
        """Whether passing time alone may cause a delivery."""
        return self.limits is not NO_LIMITS

    # --- Waiting --------------------------------------------------------------------

    def wait_live(
        self,
        timeout: float | None,
        give_up: float | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Return when live; `LiveTimeout` after *timeout* seconds.

        *give_up* is the monotonic moment at which a timeout that began earlier ends.
        *check* is called at least once a second, and may raise.
        """
        give_up = self._give_up(timeout) if give_up is None else give_up
        while (left := self._left(timeout, give_up, check)) > 0:
            self._waiters.wait(left, self._is_ready)

    async def await_live(
        self,
        timeout: float | None,
        give_up: float | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Wait as `wait_live` does, in a coroutine of asyncio."""
        loop = running_loop("await_live()", "wait_live()")
        await share_loop()
        give_up = self._give_up(timeout) if give_up is None else give_up
        while (left := self._left(timeout, give_up, check)) > 0:
            await self._waiters.wait_in_loop(loop, left, self._is_ready)

    def wait_for_tick(self, seconds: float) -> None:
        """Wait for *seconds* by the clock, or less; it looks again each second."""
        if on_library_thread():
            raise RuntimeError("every() would wait for its own thread")
        heed_fork()
        self._waiters.wait(min(seconds, 1.0), lambda: self.closed)

    def _give_up(self, timeout: float | None) -> float:
        return math.inf if timeout is None else self._clock.monotonic() + timeout

    def _left(
        self, timeout: float | None, give_up: float, check: Callable[[], None]
    ) -> float:
        """How many seconds to wait before looking again; 0 when live."""
        if on_library_thread():
            raise RuntimeError("wait_live() would wait for its own thread")
        heed_fork()
        if not (awaited := self._awaited()):
            return 0.0
        check()
        left = give_up - self._clock.monotonic()
        if left <= 0:
            waited = math.inf if timeout is None else timeout
            why = self.instrument_id, self.state, self._mine(awaited), waited
            raise LiveTimeout(*why) from self.callbacks.last_error
        # No thread calls `wake` when a lease runs out: look again each second.
        return min(left, 1.0)

    def _is_ready(self) -> bool:
        return not self._awaited()

    def awaited(self) -> Cause:
        """Why `wait_live` would not return at this moment; `NO_CAUSE` if it would."""
        try:
            return self._mine(self._awaited())
        except OkexWSError as error:
            return self._mine(error.cause)

    def _awaited(self) -> Cause:
        """What `wait_live` still waits for; `NO_CAUSE` if for nothing."""
        verdict = self.look(self.limits).verdict if self._depths else LIVE
        # Every depth channel has to be live, because a read may use any of them.
        depths = dict.fromkeys((*self._depths, *self._rpi))
        others = [r for r in depths if r.current.state is not State.LIVE]
        self.check()
        if self.closed:
            raise self._not_live(self._final)
        others += [r for r in self.readings.values() if not r.acknowledged]
        causes = [r.current.cause for r in others if not r.error]
        if verdict is not LIVE:
            causes.insert(0, verdict.cause)
        return causes[0] or _ACKNOWLEDGEMENT if causes else NO_CAUSE

    def check(self) -> None:
        """Raise the error with which the subscription failed, if it did."""
        if self.error is not None:
            # Several callers get the same error object, which must not collect their
            # tracebacks.
            raise self.error.with_traceback(None)

    def wake(self) -> None:
        """Let `wait_live` check again."""
        self._waiters.wake()

    # --- Iterators ------------------------------------------------------------------

    def attached(self, queues: UpdateQueues) -> None:
        """Deliver all events to ``on_item``, and to *queues*, those of a whole feed."""
        if self.callbacks.items is not None:
            self.follow(self.callbacks.items)
        for queue in queues:
            self.follow(queue, own=False)

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """Deliver all events to *queue* too, beginning with the current values.

        *own* is False for the iterator of a whole feed, which counts what it skips.
        """
        # Registered first: each change from here on reaches the queue, which prefers it
        # to the state that is looked up now.
        with self._following:
            if any(each is queue for each in self._queues):
                return
            queue.follow(self)
            self._queues.add(queue, counted=own)
        self.wants_pushes = self.wants_items = True
        # Of depths of which only the newest counts, the script's thread parses those
        # that it takes.
        self.wants_data = self.wants_data or not queue.latest
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
        if len(self._depths) > 1 and reading in self._depths:
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
            # The epoch of the subscription, which every read gives. It is looked up
            # before the value is found good, so that it is not that of a later value.
            several = len(self._depths) > 1 and reading in self._depths
            epoch = self.look(NO_LIMITS).current.epoch if several else value.epoch
            if self._value(reading, value) is None:
                return None
            # If the epoch of the last item has ended, the script may have dropped it.
            known = before if before and before.epoch == value.epoch else None
            value = value._replace(epoch=epoch) if several else value
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

    def add_repeated(self, topic: str, item: Item) -> None:
        """Deliver an item that the exchange repeated to the iterators that want it."""
        for queue in self._queues:
            queue.add(topic, item, repeated=True)

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
        cause = self._mine(cause)
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
        self._following, self._turn = threading.RLock(), threading.RLock()
        self.closed, self._closed_by = True, FORKED
        self.callbacks.forked()
        for queue in self._queues:
            queue.forked()

    def fail(self, error: OkexWSError, now: float) -> None:
        """End the subscription in ``FAILED``, unless it has ended already."""
        if self.error is None and not self.closed:
            self.error = error
            self.tell(now)

    def trouble(self, error: OkexWSError, *, told: bool = False) -> None:
        """Deliver an error of a connection, a channel or a message to ``on_error``.

        If the feed's own ``on_error`` is *told*, the error is only kept as the last.
        """
        self.callbacks.last_error = error
        if not told:
            self.callbacks.error(error)
