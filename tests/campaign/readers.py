"""The threads that use a rig as a script would: one that reads, others that iterate.

What an iterator gives is judged too: trades once and in order, books that add up.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from okex_ws import (
    BookUpdate,
    Depth,
    Gap,
    Item,
    NotLive,
    OkexWSError,
    OrderBook,
    State,
    StateChange,
    Trade,
)
from tests.campaign.book_truth import BookTruth
from tests.campaign.interruptions import Stalls
from tests.campaign.judge import Judge
from tests.campaign.pair_judge import PairJudge
from tests.campaign.trade_order import Trades
from tests.campaign.truth import Content, Placed, Truth


class Reader:
    """A thread that has judges read, again and again, until it is stopped.

    With *stalls* each of its reads is stalled somewhere inside.
    """

    # Between two rounds: a reader that never rests starves the threads it judges. So
    # does one that reads a hundred subscriptions without a rest.
    REST = 0.008
    AT_ONCE = 3

    def __init__(self, name: str, stalls: Stalls | None = None) -> None:
        self.judges: list[Judge | PairJudge] = []
        self.stalls = stalls
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reader of {name}")

    def start(self, judges: Sequence[Judge | PairJudge]) -> None:
        """Start to have *judges* read."""
        self.judges = [*judges]
        if self.stalls is not None:
            for judge in self.judges:
                judge.around = self.stalls.one
        self._thread.start()

    def _run(self) -> None:
        turn = 0
        try:
            while not self._stop.wait(self.REST):
                judges = self.judges
                for _ in range(min(self.AT_ONCE, len(judges))):
                    judges[turn % len(judges)].read()
                    turn += 1
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()


# An instrument and a topic: what one channel is to an iterator.
Series = tuple[str, str]


class Listener:
    """A thread that takes the items of an iterator, and judges each of them."""

    def __init__(
        self,
        name: str,
        items: Iterator[Item],
        truths: dict[Series, Truth],
        trades: dict[Series, Trades],
    ) -> None:
        self.error: BaseException | None = None
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.wrong_books: list[str] = []
        self.trades = trades
        self._items = items
        self._truths = truths
        self._held: dict[Series, OrderBook] = {}
        self._newest: dict[Series, tuple[int, Placed]] = {}
        # What a subscription's own iterator was told; that of a feed has several.
        self._state: State | None = None
        self._of_one = len({instrument for instrument, _ in truths}) == 1
        self._thread = threading.Thread(target=self._run, name=f"listener of {name}")
        self._thread.start()

    def _run(self) -> None:
        try:
            for item in self._items:
                self._judge(item)
        except (NotLive, OkexWSError) as error:
            self.wrong.append(f"updates() ended with {error!r}")
        except BaseException as error:
            self.error = error

    def _judge(self, item: Item) -> None:
        self.counts[type(item).__name__] += 1
        if isinstance(item, Depth):
            self._depth(item)
        elif isinstance(item, BookUpdate):
            self._book(item)
        elif isinstance(item, Trade):
            # A trade does not tell its channel: no two of one iterator are of one.
            self._trade(item)
        elif isinstance(item, Gap):
            trades = self.trades.get((item.instrument_id, item.channel))
            if trades is not None:
                trades.gap(item)
        elif isinstance(item, StateChange) and self._of_one:
            if self._state not in (None, item.old):
                self.wrong.append(f"{item!r} came after {self._state}")
            self._state = item.new

    def _depth(self, item: Depth) -> None:
        series = item.instrument_id, item.channel
        truth = self._truths.get(series)
        if truth is None:
            return
        said = Content(item.timestamp, item.bids, item.asks)
        placed = truth.place(said, time.monotonic())
        if placed is None:
            self.wrong.append(f"an item that was never sent: {item!r}")
            return
        epoch, before = self._newest.get(series, (-1, placed))
        if epoch == item.epoch and placed.last < before.first:
            # A market may say again what it said before, in a push that came after the
            # record was read.
            truth.refresh(time.monotonic())
            placed = truth.place(said, time.monotonic()) or placed
        if epoch == item.epoch and placed.last < before.first:
            back = before.first - placed.last
            where = f"{series} within epoch {item.epoch}, by {back} pushes: {item!r}"
            self.wrong.append(f"items went back: {where:.500}")
        self._newest[series] = item.epoch, placed

    def _book(self, item: BookUpdate) -> None:
        series = item.instrument_id, item.channel
        held = self._held.get(series, OrderBook())
        held = held.apply(item.action, item.bids, item.asks)
        if held != item.book:
            said = f"{item.action} of seq {item.seq} of {series}"
            self.wrong_books.append(f"{said} does not add up to its book")
        self._held[series] = item.book
        truth = self._truths.get(series)
        if isinstance(truth, BookTruth):
            key = item.timestamp if item.seq is None else item.seq
            book, now = item.book, time.monotonic()
            if truth.version(book.bids, book.asks, now, key) is None:
                self.wrong_books.append(f"{series} of {key} was never sent")

    def _trade(self, item: Trade) -> None:
        for (instrument_id, _), trades in self.trades.items():
            if instrument_id == item.instrument_id:
                if said := trades.take(item):
                    self.wrong.append(said)
                return

    def join(self) -> None:
        """Wait for its end, which is that of what it follows."""
        self._thread.join(10)
        if self._thread.is_alive():
            self.wrong.append("updates() did not end with what it follows")
