"""What one subscription publishes: the newest of everything, and whether to trust it.

Reads come from any thread, compute their verdict at the call and never wait. All that
is told (states, pushes, errors) is told by the thread of a connection that carries one
of its channels; where these are several, by one at a time.
"""

from __future__ import annotations

import logging
import math
import threading
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .callbacks import Callbacks
from .channel import Channel, DepthChannel
from .errors import NotLive, OkexWSError
from .items import make_best, make_depth, make_dict
from .library import on_library_thread
from .messages import BestBidAsk, Candle, Depth, Health, Item, State, StateChange, Trade
from .series import CandleChannel, SeriesChannel, TradeChannel
from .timing import Clock, utc
from .trust import (
    LIVE,
    NO_LIMITS,
    Limits,
    Published,
    Verdict,
    how_well,
    judge,
    turns_at,
)
from .updates import Inbox

log = logging.getLogger("okex_ws")

# A state change that only a caller's limit made is told once in this many seconds.
LIMIT_TOLD_EVERY = 1.0


class _Look(NamedTuple):
    """A verdict, and the one channel and value that it was passed on."""

    verdict: Verdict
    channel: Channel
    shown: Published


class View:
    """The read surface of one subscription, over the channels that it shares."""

    def __init__(
        self,
        owner: Any,
        instrument_id: str,
        limits: Limits,
        clock: Clock,
        callbacks: Callbacks,
    ) -> None:
        # The script's own object: it lives as long as it is subscribed.
        self.owner = owner
        self.instrument_id = instrument_id
        self.limits = limits
        self.callbacks = callbacks
        self._clock = clock
        # By topic, and those of a depth apart.
        self.channels: Mapping[str, Channel] = {}
        self._depths: tuple[DepthChannel, ...] = ()
        # Both are set once and for ever.
        self.error: OkexWSError | None = None
        self.closed = False
        self._told = State.CONNECTING
        self._told_for_limit = False
        self._told_at: dict[State, float] = {}
        self._retell = math.inf
        self._changed = threading.Condition()
        # Held by a thread that tells something; a callback may tell more.
        self.turn = threading.RLock()
        self._updates: tuple[tuple[weakref.ref[Inbox], dict[str, int]], ...] = ()
        self._skipped: Counter[str] = Counter()

    def carry(self, channels: Mapping[str, Channel]) -> None:
        """The channels of this subscription, by topic; called once, by the plan."""
        self.channels = channels
        depths = (c for c in channels.values() if isinstance(c, DepthChannel))
        self._depths = tuple(depths)

    @property
    def ended(self) -> bool:
        """Whether it has come to its end, be it told or not."""
        return self.closed or self.error is not None

    # --- Trust ----------------------------------------------------------------------

    def look(self, limits: Limits) -> _Look:
        """The state at this moment: of the best depth channel, or of the worst one."""
        # What is shown is read before the clock: every doubt falls on "too old".
        carriers: Sequence[Channel] = self._depths or self._others()
        shown = [(c, c.shown) for c in carriers]
        now, wall = self._clock.monotonic(), self._clock.wall()
        looks = [_Look(judge(s, limits, now, wall), c, s) for c, s in shown]
        live = [look for look in looks if look.verdict is LIVE]
        if self.error is not None:
            return looks[0]._replace(verdict=Verdict(State.FAILED, str(self.error)))
        if self.closed:
            return looks[0]._replace(verdict=Verdict(State.CLOSED, "closed"))
        if any(look.channel.shown.epoch != look.shown.epoch for look in live):
            # The lease is newer than the value: a new epoch began in between.
            return self.look(limits)
        if not self._depths:
            return min(looks, key=lambda look: how_well(look.verdict.state))
        return looks[0]

    def _others(self) -> list[Channel]:
        channels = self.channels.values()
        return [c for c in channels if c.error is None] or list(channels)

    # --- Reads ----------------------------------------------------------------------

    def depth_dict(self, limits: Limits) -> dict[str, Any]:
        """``GetDepth()``: the newest depth that can be trusted, else ``{}``."""
        limits = limits.over(self.limits)
        look = self.look(limits)
        if look.verdict is not LIVE or not self._depths:
            return {}
        return make_dict(self.instrument_id, look.shown, limits.levels)

    def depth(self, limits: Limits) -> Depth:
        """The same as a value; raises `NotLive` where that is ``{}``."""
        limits = limits.over(self.limits)
        verdict, channel, shown = self.look(limits)
        if not self._depths:
            raise NotLive(verdict.state, "no depth channel is subscribed")
        if verdict is not LIVE:
            raise NotLive(verdict.state, verdict.cause)
        return make_depth(self.instrument_id, channel.topic, shown, limits.levels)

    def best_bid_ask(self, limits: Limits) -> BestBidAsk | None:
        """The top of that depth, or ``None``."""
        verdict, channel, shown = self.look(limits.over(self.limits))
        if verdict is not LIVE or not self._depths:
            return None
        return make_best(self.instrument_id, channel.topic, shown)

    @property
    def has_depth(self) -> bool:
        """Whether a depth channel is among its channels."""
        return bool(self._depths)

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades of the first channel of trades, newest last."""
        for channel in self.channels.values():
            if isinstance(channel, TradeChannel):
                return channel.items
        return ()

    @property
    def candles(self) -> tuple[Candle, ...]:
        """The newest candles of the first channel of candles, newest last."""
        for channel in self.channels.values():
            if isinstance(channel, CandleChannel):
                return channel.items
        return ()

    def latest(self, topic: str) -> Item | None:
        """The newest item of a subscribed channel, if it can be trusted."""
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
        """One consistent look."""
        verdict, _, shown = self.look(self.limits)
        now = self._clock.monotonic()
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

    def wait_live(self, timeout: float | None, give_up: float | None = None) -> None:
        """Return when live; see ``WSSubscription.wait_live``.

        *give_up* is the moment at which *timeout* is over, if it began before.
        """
        if on_library_thread():
            raise RuntimeError("wait_live() would wait for its own thread")
        if give_up is None:
            now = self._clock.monotonic()
            give_up = math.inf if timeout is None else now + timeout
        with self._changed:
            while not self._is_ready():
                left = give_up - self._clock.monotonic()
                if left <= 0:
                    why = f"{self.instrument_id} is {self.state} after {timeout:g} s"
                    raise TimeoutError(why) from self.callbacks.last_error
                # A lease may run out with nobody to tell: look again each second.
                self._changed.wait(min(left, 1.0))

    def _is_ready(self) -> bool:
        live = not self._depths or self.look(self.limits).verdict is LIVE
        if self.error is not None:
            # One error for all who wait: it must not collect their traces.
            raise self.error.with_traceback(None)
        if self.closed:
            raise NotLive(State.CLOSED, "closed")
        return live and all(
            channel.acknowledged or channel.error is not None
            for channel in self.channels.values()
        )

    def wake(self) -> None:
        """Something that `wait_live` waits for may have come."""
        with self._changed:
            self._changed.notify_all()

    # --- Iterators ------------------------------------------------------------------

    def follow(self, inbox: Inbox) -> None:
        """Bring all that is told into *inbox* too, the present depth first."""
        with self._changed:
            self._fold_skipped()
            self._updates = (*self._updates, (weakref.ref(inbox), inbox.skipped))
        look = self.look(self.limits)
        inbox.follow(self, look.verdict.state)
        if look.verdict.state.final:
            inbox.end(self, self.error)
        if look.verdict is LIVE and self._depths:
            self._note(inbox, look.channel, seed=True)

    def _fold_skipped(self) -> None:
        """Keep the counts of iterators that nobody holds any more, and only those."""
        for ref, skipped in self._updates:
            if ref() is None:
                self._skipped.update(skipped)
        self._updates = tuple(pair for pair in self._updates if pair[0]() is not None)

    @property
    def inboxes(self) -> list[Inbox]:
        """Of the iterators that somebody still holds."""
        return [u for ref, _ in self._updates if (u := ref()) is not None]

    def counts(self) -> Counter[str]:
        """What it counted by itself, apart from its channels."""
        counts = Counter(self._skipped)
        for _, skipped in self._updates:
            counts.update(dict(skipped))
        counts = Counter({f"skipped {kind}": n for kind, n in counts.items()})
        counts["callback_errors"] = self.callbacks.errors
        counts["callback_stalls"] = self.callbacks.stalls
        return counts

    def lapse(self) -> StateChange | None:
        """The change that is due because the lease ended; see `updates.Source`."""
        look = self.look(NO_LIMITS)
        return None if look.verdict is LIVE else self._change(State.LIVE, look)

    def lease_end(self) -> float:
        """When the present ``LIVE`` ends by itself; ``inf`` if it is not live."""
        return self._turns(NO_LIMITS)

    def _turns(self, limits: Limits) -> float:
        # The best depth channel is the state, and the worst one of the others.
        if self._depths:
            return max(turns_at(channel.shown, limits) for channel in self._depths)
        return min(turns_at(channel.shown, limits) for channel in self._others())

    def _usable(self, channel: Channel, shown: Published) -> bool:
        """Whether a value may be given that was the newest when it was put aside."""
        now, wall = self._clock.monotonic(), self._clock.wall()
        if judge(shown, self.limits, now, wall) is not LIVE:
            return False
        newest = channel.shown
        return newest.state is State.LIVE and newest.epoch == shown.epoch

    # --- What the connection's thread tells -----------------------------------------

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        """A push of *channel* was published."""
        if self.limits is not NO_LIMITS:
            self.tell(now)
        for inbox in self.inboxes if self._updates else ():
            self._note(inbox, channel)
        if self.callbacks.on_message is not None and not self.closed:
            with self.turn:
                self.callbacks.message(text)

    def _note(self, inbox: Inbox, channel: Channel, seed: bool = False) -> None:
        if isinstance(channel, SeriesChannel):
            return

        def make(shown: Published) -> Item | None:
            usable = self._usable(channel, shown)
            return channel.item(shown, self.limits.levels) if usable else None

        inbox.note(channel.topic, self, channel.shown, make, seed=seed)

    def add(self, topic: str, item: Item) -> None:
        """An item came that counts by itself, or is known to be missing."""
        for inbox in self.inboxes if self._updates else ():
            inbox.add(topic, item)

    def tell(self, now: float) -> None:
        """Tell the state to all who asked for it, if it is another one."""
        with self.turn:
            self._tell(now)

    def _tell(self, now: float) -> None:
        old = self._told
        look = self.look(self.limits)
        verdict = look.verdict
        self._retell = math.inf
        if verdict.state is old or old.final:
            return
        if verdict.limit or (verdict is LIVE and self._told_for_limit):
            again = self._told_at.get(verdict.state, -math.inf) + LIMIT_TOLD_EVERY
            if now < again:
                self._retell = again
                return
        self._told, self._told_for_limit = verdict.state, verdict.limit
        self._told_at[verdict.state] = now
        self._announce(self._change(old, look))

    def _change(self, old: State, look: _Look) -> StateChange:
        now, at = self._clock.monotonic(), self._clock.wall()
        if look.verdict.since is not None:
            at -= max(0.0, now - look.verdict.since)
        state, cause, *_ = look.verdict
        epoch = look.shown.epoch
        return StateChange(old, state, cause, epoch, utc(at), self.instrument_id)

    def _announce(self, change: StateChange) -> None:
        if change.new is State.FAILED:
            log.error("%s failed: %s", self.instrument_id, change.cause)
        self.wake()
        for inbox in self.inboxes:
            inbox.change(self, change)
            if change.new.final:
                inbox.end(self, self.error)
        self.callbacks.state(change)

    def due(self) -> float:
        """When time alone crosses a limit that is to be told."""
        withheld = self._retell < math.inf
        if withheld or not self.limits.timed or self._told is not State.LIVE:
            return self._retell
        return self._turns(self.limits)

    def forked(self) -> None:
        """In a forked child: closed, and no lock that another thread may have held."""
        self._changed, self.turn = threading.Condition(), threading.RLock()
        self.closed = True
        for inbox in self.inboxes:
            inbox.forked()

    def fail(self, error: OkexWSError, now: float) -> None:
        """End in ``FAILED``."""
        if self.error is None and not self.closed:
            self.error = error
            self.tell(now)

    def trouble(self, error: OkexWSError) -> None:
        """Something went wrong: a connection, a channel, a message."""
        with self.turn:
            self.callbacks.error(error)
