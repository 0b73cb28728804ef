"""The reads of one subscription, and the delivery of its events.

Any thread may read. A read computes its verdict at the call and never waits. States,
pushes and errors are delivered by the threads of the connections that carry the
subscription's channels, one thread at a time.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..base.clock import Clock, utc, wait_on
from ..base.errors import NotLive, OkexWSError
from ..base.state import State
from ..base.threads import Submit, on_library_thread
from ..channels.base import Channel
from ..channels.book import BookChannel
from ..channels.convert import make_best, make_book, make_depth, make_dict
from ..channels.depth import DepthChannel
from ..channels.series import CandleChannel, DataChannel, SeriesChannel, T, TradeChannel
from ..model.book import OrderBook
from ..model.items import BestBidAsk, Candle, Depth, Item, Trade
from ..model.reports import Health, StateChange
from ..trust.verdict import (
    LIVE,
    NO_LIMITS,
    Limits,
    Published,
    Verdict,
    judge,
    live_until,
)
from .callbacks import Callbacks, StateChangeFilter
from .depth_selection import LEVELS, CrossCheck, Look, choose, worst
from .updates import UpdateQueue, UpdateQueues

log = logging.getLogger("okex_ws")


class View:
    """What the library holds of one subscription: its reads, callbacks and iterators.

    Many views share a channel; each has limits, callbacks and a verdict of its own. Any
    thread may read, at any time: a read takes no lock, and computes its verdict at the
    call. The threads of the connections that carry its channels call the methods for
    events, which queue what there is to deliver and then drain the queue. A read that
    finds no trusted value returns nothing or raises `NotLive`; it never waits.

    A *look* is a verdict, together with the channel and the value that it judges.
    *shown* is a channel's current value.
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
        # All channels by topic, and the depth channels among them.
        self.channels: Mapping[str, Channel] = {}
        self._depths: tuple[DepthChannel, ...] = ()
        # For which pushes the channels call this view: see `channels.base.Follower`.
        self.wants_pushes = self.wants_every_push = True
        self.error: OkexWSError | None = None  # set once, as *closed* is
        self.closed = False
        self._change_filter, self._cross_check = (
            StateChangeFilter(),
            CrossCheck(instrument_id),
        )
        self._changed = threading.Condition()
        # Held while a state change is compared and queued; no callback runs meanwhile.
        self.turn = threading.RLock()
        self._queues = UpdateQueues()

    def carry(self, channels: Mapping[str, Channel]) -> None:
        """Set the channels of this subscription, by topic. The pool calls this once."""
        self.channels = channels
        depths = (c for c in channels.values() if isinstance(c, DepthChannel))
        self._depths = tuple(depths)
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
        return self._look_at(self._depths, limits, levels or limits.levels or LEVELS)

    def _look_at(
        self, depths: Sequence[DepthChannel], limits: Limits, levels: int
    ) -> Look:
        carriers: Sequence[Channel] = depths or self._others()
        # The values are read before the clocks. If the thread is interrupted between,
        # a value looks older than it is, and never younger.
        shown = [(channel, channel.shown) for channel in carriers]
        now, wall = self._clock.monotonic(), self._clock.wall()
        looks = [Look(judge(s, NO_LIMITS, now, wall), c, s) for c, s in shown]
        best = choose(looks, levels) if depths else worst(looks)
        if limits is not NO_LIMITS and best.verdict is LIVE:
            best = best._replace(verdict=judge(best.shown, limits, now, wall))
        if self.error is not None:
            return best._replace(verdict=Verdict(State.FAILED, str(self.error)))
        if self.closed:
            return best._replace(verdict=Verdict(State.CLOSED, "closed"))
        if any(channel.shown.epoch != value.epoch for channel, value in shown):
            # A new epoch began after the value was read, so the lease that was judged
            # may be newer than the value: read again.
            return self._look_at(depths, limits, levels)
        return best

    def _others(self) -> list[Channel]:
        channels = self.channels.values()
        return [c for c in channels if c.error is None] or list(channels)

    # --- Reads ----------------------------------------------------------------------

    def depth_dict(self, limits: Limits) -> dict[str, Any]:
        """``GetDepth()``: the newest trusted depth as a dict, or ``{}``."""
        limits = limits.over(self.limits)
        look = self.look(limits)
        if look.verdict is not LIVE or not self._depths:
            return {}
        return make_dict(self.instrument_id, look.shown, limits.levels or LEVELS)

    def depth(self, limits: Limits) -> Depth:
        """The newest trusted depth; raises `NotLive` if there is none."""
        limits = limits.over(self.limits)
        verdict, channel, shown = self.look(limits)
        if not self._depths:
            raise NotLive(verdict.state, "no depth channel is subscribed")
        if verdict is not LIVE:
            raise NotLive(verdict.state, verdict.cause)
        levels = limits.levels or LEVELS
        return make_depth(self.instrument_id, channel.topic, shown, levels)

    def best_bid_ask(self, limits: Limits) -> BestBidAsk | None:
        """Best bid and ask of the newest trusted depth, or ``None``."""
        # Every depth has the best level, so one level is asked for.
        look = self.look(limits.over(self.limits), limits.levels or 1)
        if look.verdict is not LIVE or not self._depths:
            return None
        return make_best(self.instrument_id, look.channel.topic, look.shown)

    @property
    def book(self) -> OrderBook | None:
        """The current version of the whole book, or ``None`` if it is not trusted."""
        books = [c for c in self._depths if isinstance(c, BookChannel)]
        if not books:
            return None
        most = max(channel.levels for channel in books)
        look = self._look_at(books, self.limits, most)
        return make_book(look.shown) if look.verdict is LIVE else None

    @property
    def has_depth(self) -> bool:
        """Whether the subscription has a depth channel."""
        return bool(self._depths)

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades of the first trade channel, newest last."""
        return self._items(TradeChannel)

    @property
    def candles(self) -> tuple[Candle, ...]:
        """The newest candles of the first candle channel, newest last."""
        return self._items(CandleChannel)

    def _items(self, kind: type[SeriesChannel[T]]) -> tuple[T, ...]:
        found = (c.items for c in self.channels.values() if isinstance(c, kind))
        return next(found, ())

    def latest(self, topic: str) -> Item | None:
        """The newest item of the channel *topic*, or ``None`` if it is not trusted.

        ``ValueError`` if the channel is not subscribed.
        """
        channel = self.channels.get(topic)
        if channel is None:
            known = ", ".join(map(repr, self.channels))
            raise ValueError(f"channel {topic!r} is not subscribed, only {known}")
        shown = channel.shown
        if self.closed or self.error is not None or not self._usable(channel, shown):
            return None
        return channel.item(shown, self.limits.levels)

    @property
    def state(self) -> State:
        """The state at this moment."""
        return self.look(self.limits).verdict.state

    def health(self) -> Health:
        """State, cause, ages and lag, all taken from one look."""
        (verdict, _, shown), now = self.look(self.limits), self._clock.monotonic()
        failed = {t: c.error for t, c in self.channels.items() if c.error is not None}
        return Health(
            verdict.state,
            verdict.cause,
            now - shown.received,
            now - shown.link.heard if shown.link is not None else math.inf,
            shown.lag,
            shown.epoch,
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
        live &= all(c.shown.state is State.LIVE or c.error for c in self._depths)
        self.check()
        if self.closed:
            raise NotLive(State.CLOSED, "closed")
        return live and all(
            channel.acknowledged or channel.error is not None
            for channel in self.channels.values()
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
        queue.follow(self)
        with self._changed:
            self._queues.add(queue, counted=own)
        self.wants_pushes = self.wants_every_push = True
        look = self.look(self.limits)
        queue.begin(self, look.verdict.state)
        if look.verdict.state.final:
            queue.end(self, self.error)
            return
        # The first item is the depth that a read would use, if there is one.
        others = (c for c in self.channels.values() if c is not look.channel)
        for channel in (look.channel, *others):
            shown = channel.shown
            usable = self._usable(channel, shown)
            if usable and isinstance(channel, DataChannel):
                queue.seed(channel.topic, channel.item(shown, None))
            elif usable and shown.data is not None:
                self._note(queue, channel, seed=True)

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
            return live_until(self._depths[0].shown, limits)
        if self._depths:
            return live_until(self.look(limits).shown, limits)
        return min(live_until(channel.shown, limits) for channel in self._others())

    def _usable(self, channel: Channel, shown: Published) -> bool:
        """Whether *shown*, a value of *channel* that was kept for a while, is trusted.

        It has to be of the channel's present epoch, and within the limits.
        """
        now, wall = self._clock.monotonic(), self._clock.wall()
        if judge(shown, self.limits, now, wall) is not LIVE:
            return False
        newest = channel.shown
        return newest.state is State.LIVE and newest.epoch == shown.epoch

    # --- Called by the connection's thread ------------------------------------------

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        """A push of *channel* was published: deliver it to iterators and callback."""
        if len(self._depths) > 1 and isinstance(channel, DepthChannel):
            self._cross_check.check(channel, self._depths, now)
        if self.limits is not NO_LIMITS:
            self.tell(now)
        for queue in self._queues:
            self._note(queue, channel)
        if self.callbacks.on_message is not None and not self.closed:
            self.callbacks.deliver(text, channel)

    def _note(self, queue: UpdateQueue, channel: Channel, seed: bool = False) -> None:
        if isinstance(channel, SeriesChannel):
            return

        def make(shown: Published, before: Published | None) -> Item | None:
            if not self._usable(channel, shown):
                return None
            # If the epoch of the last item has ended, the script may have dropped it.
            known = before if before and before.epoch == shown.epoch else None
            if len(self._depths) > 1 and isinstance(channel, DepthChannel):
                # The epoch of the subscription, which every read gives.
                shown = shown._replace(epoch=self.look(NO_LIMITS).shown.epoch)
            return channel.item(shown, self.limits.levels, known)

        queue.note(channel.topic, self, channel.shown, make, seed=seed)

    def arrived(self, channel: Channel, submit: Submit) -> None:
        """A connection carries *channel*; *submit* queues a job for its thread.

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
        with self.turn:
            self._tell(now)
        self.callbacks.drain()

    def _tell(self, now: float) -> None:
        old, look = self._change_filter.state, self.look(self.limits)
        if self._change_filter.may_tell(look.verdict, now):
            self._announce(self._change(old, look))

    def _change(self, old: State, look: Look) -> StateChange:
        now, at = self._clock.monotonic(), self._clock.wall()
        if look.verdict.since is not None:
            at -= max(0.0, now - look.verdict.since)
        state, cause, *_ = look.verdict
        epoch = look.shown.epoch
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
        self._changed, self.turn = threading.Condition(), threading.RLock()
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
        self.callbacks.drain()
