"""`JoinedView`: the reads and events of a subscription with past data (``history=``).

Its trades and candles are joined to the past, and are held back while missing ones are
fetched. Everything else works as in `View`.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from ..base.clock import Clock, utc
from ..base.errors import BackfillFailed
from ..base.log import log
from ..base.state import Cause, CauseCode
from ..base.threads import Submit
from ..channels.reading import Reading
from ..delivery.callbacks import Callbacks
from ..delivery.updates import UpdateQueue
from ..delivery.view import View
from ..model.items import Candle, Gap, Item, Trade
from ..trust.verdict import Limits
from .backfill import MOST_MISSED, CandleSeries, T, TradeSeries
from .gap_join import MOST_HELD, GapJoin, HistoryQuery
from .source import SINGLE_TRADES, History
from .worker import HistoryWorker

_PAST = Cause(CauseCode.HISTORY, "the past is still being fetched")


class HistoryOptions:
    """What a subscription asked for with ``history=``, and the thread that fetches it.

    *items* is how many past items of each channel, *market* the instrument's market,
    and *history_worker* the feed's worker.
    """

    def __init__(self, items: int, market: str, history_worker: HistoryWorker) -> None:
        self.items = items
        self.market = market
        self.history_worker = history_worker


class JoinedView(View):
    """The view of a subscription that asked for past data: it joins them to live items.

    A view is one subscription's reads, callbacks and iterators. Each channel of candles
    or single trades has a `GapJoin`, through which its items pass. The threads of the
    connections call `add` and `tell`, and calls may overlap, because the channels of
    one subscription may live on several connections; a lock guards the joins. Any
    thread may read `trades` and `candles`. The history worker passes its answers to the
    thread of the channel's connection. If items cannot be fetched, the script gets a
    `Gap`, and *on_error* a `BackfillFailed`.
    """

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
        # By topic: how many openings of the channel its join knows of, and how a job
        # gets to the thread of its present connection.
        self._openings: Counter[str] = Counter()
        self._submits: dict[str, Submit] = {}
        # Guards the joins, because channels of one subscription may be on several
        # connections. No callback is called while it is held. A thread that needs
        # `turn` as well takes `turn` first.
        self._joins_lock = threading.RLock()
        self._failures: deque[BackfillFailed] = deque()

    @property
    def timed(self) -> bool:
        """True: a hole is given up when its time is over."""
        return True

    def carry(self, readings: Mapping[str, Reading]) -> None:
        """Take the readings, by topic, and make a join for each series among them."""
        for topic, reading in readings.items():
            join = self._make_join(topic, reading)
            if join is not None:
                self._joins[topic] = join
        super().carry(readings)
        self.wants_items = self.wants_items or bool(self._joins)

    def _make_join(self, topic: str, reading: Reading) -> GapJoin[Any] | None:
        past, name = self._past, self.instrument_id
        if reading.kind == "candle":
            bars = CandleSeries(name, past.market, topic)
            return GapJoin(bars, topic, name, past.items, self)
        if topic == SINGLE_TRADES:
            trades = TradeSeries(name, past.market)
            return GapJoin(trades, topic, name, past.items, self)
        return None

    # --- What a script reads --------------------------------------------------------

    @property
    def trades(self) -> tuple[Trade, ...]:
        """The newest trades, past ones included."""
        join = self._join_of("trade")
        return super().trades if join is None else join.items

    @property
    def candles(self) -> tuple[Candle, ...]:
        """The newest candles, past ones included."""
        join = self._join_of("candle")
        return super().candles if join is None else join.items

    def _join_of(self, kind: str) -> GapJoin[Any] | None:
        """The join of the first channel of a *kind*, or ``None``."""
        topics = (t for t, r in self.readings.items() if r.kind == kind)
        return self._joins.get(next(topics, ""))

    def follow(self, queue: UpdateQueue, *, own: bool = True) -> None:
        """Have *queue* get all items from now on, and those that each join keeps first.

        So an iterator that is made later gets the past, too.
        """
        with self._joins_lock:
            queue.widen(len(self._joins) * (self._past.items + MOST_MISSED + MOST_HELD))
            super().follow(queue, own=own)
            for topic, join in self._joins.items():
                for item in join.told():
                    queue.add(topic, item, spare=True)

    def counts(self) -> Counter[str]:
        """What `View` counts, and the repeated items that the joins left out."""
        repeats = sum(join.repeats for join in self._joins.values())
        return super().counts() + Counter({"skipped repeat": repeats})

    def _awaited(self) -> Cause:
        """What `wait_live` waits for: each series is joined to its past, or cannot."""
        awaited = super()._awaited()
        joined = all(
            join.settled or self.readings[topic].error is not None
            for topic, join in self._joins.items()
        )
        return awaited if awaited or joined else _PAST

    # --- What the connections' threads call -----------------------------------------

    def arrived(self, reading: Reading, submit: Submit) -> None:
        """Keep *submit*, which runs a job on the thread of *reading*'s connection."""
        self._submits[reading.topic] = submit

    def add(self, topic: str, item: Item) -> None:
        """Pass *item* to the join of its series; without a join, deliver it."""
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
        """Pass acknowledgements and the time to the joins; deliver state changes."""
        with self._joins_lock:
            for topic, join in () if self.ended else self._joins.items():
                if topic not in self._submits:
                    continue  # its connection's thread has not called `arrived` yet
                channel = self.readings[topic].entry.channel
                if channel.acknowledged and channel.openings != self._openings[topic]:
                    self._openings[topic] = channel.openings
                    join.acknowledged(now)
                join.work(now)
        self._say()
        super().tell(now)

    def due(self) -> float:
        """When `tell` must be called if nothing comes before."""
        dues = [] if self.ended else [join.due for join in self._joins.values()]
        return min([super().due(), *dues], default=math.inf)

    def forked(self) -> None:
        """Close the view in a forked child, and replace locks that may be held."""
        self._joins_lock = threading.RLock()
        super().forked()

    # --- What a join calls: `GapJoinDelegate` ---------------------------------------

    def hand_over(self, topic: str, item: Item, burst: bool) -> None:
        """Put *item* into every iterator's queue; a *burst* has room of its own."""
        for queue in self._queues:
            queue.add(topic, item, spare=burst)

    def ask(
        self, topic: str, question: HistoryQuery[T], ticket: object, wait: float
    ) -> None:
        """Run *question* on the history worker; answer on the connection's thread."""
        submit = self._submits[topic]

        def answer(given: Sequence[T] | Exception) -> None:
            submit(lambda: self._answer(topic, ticket, given))

        def put(history: History) -> Sequence[T]:
            with self._joins_lock:
                wanted = not self.ended and self._joins[topic].awaits(ticket)
            # A query that is no longer needed is not run: other queries wait.
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
        """Keep *error*, to be reported once no lock is held."""
        self._failures.append(error)

    def epoch(self, topic: str) -> int:
        """The present epoch of the channel *topic*."""
        return self.readings[topic].epoch

    def moment(self) -> datetime:
        """The wall-clock time."""
        return utc(self._clock.wall())

    def _say(self) -> None:
        while self._failures:
            try:
                error = self._failures.popleft()
            except IndexError:  # another connection's thread took it
                return
            self._say_failed(error)

    def _say_failed(self, error: BackfillFailed) -> None:
        self.callbacks.log(
            lambda: log.warning("%s", error, extra={"event": "backfill failed"})
        )
        self.trouble(error)
