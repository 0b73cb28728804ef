"""What a subscription publishes that asked for the past: its series, joined to it.

Everything else is as in any view; the series alone wait for what was missed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..base.clock import Clock, utc
from ..base.errors import BackfillFailed
from ..base.threads import Submit
from ..channels.base import Channel
from ..channels.series import CandleChannel, TradeChannel, copied
from ..delivery.callbacks import Callbacks
from ..delivery.updates import UpdateQueue
from ..delivery.view import View
from ..model.items import Candle, Gap, Item, Trade
from ..trust.verdict import Limits
from .backfill import MOST_MISSED, CandleSeries, T, TradeSeries
from .gap_join import MOST_HELD, GapJoin, HistoryQuery
from .source import SINGLE_TRADES, History
from .worker import HistoryWorker

log = logging.getLogger("okex_ws")


class HistoryOptions:
    """What a subscription wants of the past: so many *items*, of that *market*."""

    def __init__(self, items: int, market: str, history_worker: HistoryWorker) -> None:
        self.items = items
        self.market = market
        self.history_worker = history_worker


class JoinedView(View):
    """A view of channels of which some are joined to their past."""

    def __init__(
        self,
        subscription: Any,
        instrument_id: str,
        limits: Limits,
        clock: Clock,
        callbacks: Callbacks,
        past: HistoryOptions,
    ) -> None:
        super().__init__(subscription, instrument_id, limits, clock, callbacks)
        self._past = past
        self._joins: dict[str, GapJoin[Any]] = {}
        # By topic: how many connections it was acknowledged on, and the present one.
        self._openings: Counter[str] = Counter()
        self._submits: dict[str, Submit] = {}
        # Held while anything goes in or out: channels may be on several connections.
        # Nothing is told to a callback under it, and it is taken after `turn`, if so.
        self._joins_lock = threading.RLock()
        self._failures: deque[BackfillFailed] = deque()

    @property
    def timed(self) -> bool:
        """Always: holes are given up by the clock."""
        return True

    def carry(self, channels: Mapping[str, Channel]) -> None:
        """See `View.carry`."""
        for topic, channel in channels.items():
            join = self._make_join(topic, channel)
            if join is not None:
                self._joins[topic] = join
        super().carry(channels)

    def _make_join(self, topic: str, channel: Channel) -> GapJoin[Any] | None:
        past, name = self._past, self.instrument_id
        if isinstance(channel, CandleChannel):
            bars = CandleSeries(name, past.market, topic)
            return GapJoin(bars, topic, name, past.items, self)
        if topic == SINGLE_TRADES:
            trades = TradeSeries(name, past.market)
            return GapJoin(trades, topic, name, past.items, self)
        return None

    # --- What a script reads --------------------------------------------------------

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades, the past among them."""
        join = self._join_of(TradeChannel)
        return super().trades if join is None else copied(join.items)

    @property
    def candles(self) -> tuple[Candle, ...]:
        """The newest candles, the past among them."""
        join = self._join_of(CandleChannel)
        return super().candles if join is None else copied(join.items)

    def _join_of(self, kind: type[Channel]) -> GapJoin[Any] | None:
        """That of the first channel of a *kind*, if it has one."""
        topics = (t for t, c in self.channels.items() if isinstance(c, kind))
        return self._joins.get(next(topics, ""))

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """An iterator that comes later finds what there is of the series, too."""
        with self._joins_lock:
            queue.widen(len(self._joins) * (self._past.items + MOST_MISSED + MOST_HELD))
            super().follow(queue, own=own)
            for topic, join in self._joins.items():
                for item in join.told():
                    queue.add(topic, item, spare=True)

    def counts(self) -> Counter[str]:
        """See `View.counts`."""
        repeats = sum(join.repeats for join in self._joins.values())
        return super().counts() + Counter({"skipped repeat": repeats})

    def _is_ready(self) -> bool:
        """Live, and joined, as far as that will ever be."""
        ready = super()._is_ready()
        return ready and all(
            join.settled or self.channels[topic].error is not None
            for topic, join in self._joins.items()
        )

    # --- What the connection's thread tells -----------------------------------------

    def arrived(self, channel: Channel, submit: Submit) -> None:
        """See `View.arrived`."""
        self._submits[channel.topic] = submit

    def add(self, topic: str, item: Item) -> None:
        """See `View.add`."""
        join = self._joins.get(topic)
        if join is None:
            super().add(topic, item)
            return
        now = self._clock.monotonic()
        with self._joins_lock:
            if isinstance(item, Gap):
                join.gap(replace(item, at=self.moment()), now)
            else:
                join.add(item, now)
        self._say()

    def tell(self, now: float) -> None:
        """See `View.tell`; and what time, or an acknowledgement, brings the series."""
        with self._joins_lock:
            for topic, join in () if self.ended else self._joins.items():
                if topic not in self._submits:
                    continue  # the thread of another connection has not carried it yet
                channel = self.channels[topic]
                if channel.acknowledged and channel.openings != self._openings[topic]:
                    self._openings[topic] = channel.openings
                    join.acknowledged(now)
                join.work(now)
        self._say()
        super().tell(now)

    def due(self) -> float:
        """See `View.due`."""
        dues = [] if self.ended else [join.due for join in self._joins.values()]
        return min([super().due(), *dues], default=math.inf)

    def forked(self) -> None:
        """See `View.forked`."""
        self._joins_lock = threading.RLock()
        super().forked()

    # --- What a series asks for: `joining.Owner` ------------------------------------

    def hand_over(self, topic: str, item: Item, burst: bool) -> None:
        """Bring it to every iterator."""
        for queue in self._queues:
            queue.add(topic, item, spare=burst)

    def ask(
        self, topic: str, question: HistoryQuery[T], ticket: object, wait: float
    ) -> None:
        """Have it asked, and answered on the thread of the channel's connection."""
        submit = self._submits[topic]

        def answer(given: Sequence[T] | Exception) -> None:
            submit(lambda: self._answer(topic, ticket, given))

        def put(history: History) -> Sequence[T]:
            with self._joins_lock:
                wanted = not self.ended and self._joins[topic].awaits(ticket)
            # Others wait for their turn.
            return question(history) if wanted else ()

        self._past.history_worker.ask(put, answer, wait)

    def _answer(self, topic: str, ticket: object, given: Any) -> None:
        if self.ended:
            return
        with self._joins_lock:
            self._joins[topic].answer(ticket, given, self._clock.monotonic())
        self._say()
        self.wake()

    def failed(self, error: BackfillFailed) -> None:
        """To be told once nothing is held."""
        self._failures.append(error)

    def epoch(self, topic: str) -> int:
        """The channel's present one."""
        return self.channels[topic].shown.epoch

    def moment(self) -> datetime:
        """The time of day."""
        return utc(self._clock.wall())

    def _say(self) -> None:
        while self._failures:
            try:
                error = self._failures.popleft()
            except IndexError:  # another connection's thread was quicker
                return
            log.warning("%s", error, extra={"event": "backfill failed"})
            self.trouble(error)
