"""Judges whether a price was right to give, by what the exchange really sent.

The judge does not ask the library for its opinion. Its evidence is the exchange's own
record, the monotonic clock, and the state changes that came before the read began.
"""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple, Union

from okex_ws import (
    BestBidAsk,
    Depth,
    NotLive,
    OrderBook,
    State,
    StateChange,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from tests.campaign.book_truth import BookTruth
from tests.campaign.interruptions import StallingClock
from tests.campaign.truth import Content, Placed, Truth, content

# Receipt and limit are measured on two clocks by two threads.
CLOCKS = 0.05
MAX_AGE = 0.75
WHOLE = 400
# Of several depths, one that was received a second before the newest is not chosen; the
# rest is for two threads that take in one push.
OVERTAKEN = 1.0
THREADS = 0.5

Given = Union[dict[str, Any], Depth, BestBidAsk, OrderBook]


class LastState(NamedTuple):
    """The newest change of state that a subscription told, or the start."""

    state: State
    epoch: int
    at: float


class _Newest(NamedTuple):
    """What was read last, of so many levels."""

    epoch: int
    placed: Placed
    seq: int | None


@dataclass
class Findings:
    """What one judge saw. *stale* and *wrong* must stay empty."""

    reads: int = 0
    prices: int = 0
    books: int = 0
    stale: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    wrong_books: list[str] = field(default_factory=list)
    by_way: Counter[str] = field(default_factory=Counter)
    oldest: float = 0.0


class Judge:
    """Reads one subscription in every way there is, and judges each answer.

    *truths* are those of its depth channels, by topic. *dead_since* is asked for the
    moment from which nothing true can have come over the subscription's line; *lease*
    is how long a price may outlive that. *clock* is the one that the reads look at.
    """

    def __init__(
        self,
        subscription: Any,
        truths: Mapping[str, Truth],
        lease: float,
        dead_since: Callable[[], float | None],
        clock: StallingClock,
    ) -> None:
        self.found = Findings()
        self.changes: list[StateChange] = []
        self.subscription = subscription
        self.truths = truths
        # Who reads, for a violation.
        self.reader = ""
        # What surrounds the call of the library, and nothing else.
        self.around: Callable[[], contextlib.AbstractContextManager[None]]
        self.around = contextlib.nullcontext
        self._lease = lease
        self._dead_since = dead_since
        self.clock = clock
        self._told = [LastState(State.CONNECTING, -1, 0.0)]
        # By how many levels were asked for: each is a choice among channels.
        self.newest: dict[int, _Newest] = {}
        self._books = [t for t in truths.values() if isinstance(t, BookTruth)]
        # The ways to read, by turns.
        self.ways: tuple[str, ...]
        self.ways = READS + BOOK_READS if self._books else READS
        self._turn = 0
        self.busy = threading.Lock()

    def beside(self, reader: str) -> Judge:
        """A judge for another thread, which knows what this one is told."""
        other = copy.copy(self)
        other.reader = f"{reader}, "
        other.newest, other.busy = {}, threading.Lock()
        return other

    @property
    def told(self) -> LastState:
        """The newest change that was told."""
        return self._told[0]

    @property
    def dead(self) -> float | None:
        """From when on nothing true can have come over the line, if it is dead."""
        return self._dead_since()

    def state_changed(self, change: StateChange) -> None:
        """The subscription's ``on_state``."""
        before = self.told
        if before.at and change.old is not before.state:
            self.found.wrong.append(f"{change!r} was told after {before}")
        self._told[0] = LastState(change.new, change.epoch, time.monotonic())
        self.changes.append(change)

    def read(self) -> None:
        """One read and its verdict; none if another thread reads just now."""
        if self.busy.acquire(blocking=False):
            try:
                self._read()
            finally:
                self.busy.release()

    def _read(self) -> None:
        via = self.ways[self._turn % len(self.ways)]
        self._turn += 1
        for truth in self.truths.values():
            truth.keep_up(time.monotonic())
        start, wall = time.monotonic(), datetime.now(timezone.utc)
        told, dead_since = self.told, self.dead
        with self.around():
            given = _ask(self.subscription, via)
        # What is given while a line is mended may be from after that.
        dead_since = dead_since if self.dead == dead_since else None
        # The lease has to run when the clocks are taken, and that is after the value.
        until = max(start, self.clock.last)
        self.found.reads += 1
        self.found.by_way[via] += 1
        if given is None:
            return
        self.found.prices += 1
        self.found.books += via in BOOK_READS
        placed = self._recognise(given, via in BOOK_READS, start)
        if placed is None:
            wrong = self.found.wrong_books if via in BOOK_READS else self.found.wrong
            wrong.append(f"{via} gave what was never sent: {given!r:.2000}")
            return
        self.judge(via, given, placed, start, until, told, dead_since)
        if via == "max_age" and isinstance(given, Depth):
            age = (wall - given.received).total_seconds()
            if age > MAX_AGE + CLOCKS:
                self._stale(f"{age:.3f} s old, with max_age {MAX_AGE:g}")

    def judge(
        self,
        via: str,
        given: Given,
        placed: Placed,
        start: float,
        until: float,
        told: LastState,
        dead_since: float | None,
    ) -> None:
        """Whether *given* may be given by a read from *start* on.

        *until* is when the read looked at its clock, *told* and *dead_since* are from
        before it began.
        """
        self._check_age(via, placed, start, until, dead_since)
        self._check_choice(via, placed, until)
        if isinstance(given, (Depth, BestBidAsk)):
            self._check_epoch(via, given, placed, told)

    def judge_told(self, given: dict[str, Any], start: float, until: float) -> None:
        """Judge what a reader in another process was given, at these moments."""
        self.found.reads += 1
        self.found.prices += 1
        for truth in self.truths.values():
            truth.keep_up(time.monotonic())
        placed = self._recognise(given, False, time.monotonic())
        if placed is None:
            self.found.wrong.append(f"what was never sent: {given!r:.2000}")
        else:
            self._check_age("another process", placed, start, until, None)

    def holds(self, exchange: LocalExchange) -> bool:
        """Whether a whole book is what the exchange says it is, while it is at rest."""
        return all(
            self.subscription.book == exchange.book(truth.channel).book
            for truth in self._books
        )

    def _stale(self, what: str) -> None:
        self.found.stale.append(f"{self.reader}{self.subscription!r}: {what}")

    # --- What it is -----------------------------------------------------------------

    def top(self, given: BestBidAsk, now: float) -> Placed | None:
        """The pushes whose best levels are *given*."""
        return self.truths[given.channel].top(given, now)

    def _recognise(self, given: Given, whole: bool, now: float) -> Placed | None:
        """The push that *given* is, if it was ever sent."""
        if isinstance(given, OrderBook):
            return self._version(given.bids, given.asks, None, now)
        if isinstance(given, dict):
            said = content(given)
            found = self._version(said.bids, said.asks, said.timestamp, now)
            return found if whole and found else self._sent(said, now)
        if isinstance(given, BestBidAsk):
            return self.top(given, now)
        truth = self.truths[given.channel]
        if whole and isinstance(truth, BookTruth):
            key = given.timestamp if given.seq is None else given.seq
            return truth.version(given.bids, given.asks, now, key)
        return truth.place(Content(given.timestamp, given.bids, given.asks), now)

    def _sent(self, said: Content, now: float) -> Placed | None:
        for truth in self.truths.values():
            if (place := truth.place(said, now)) is not None:
                return place
        return None

    def _version(
        self, bids: Any, asks: Any, key: datetime | None, now: float
    ) -> Placed | None:
        for truth in self._books:
            if (place := truth.version(bids, asks, now, key)) is not None:
                return place
        return None

    # --- Whether it may be given ----------------------------------------------------

    def _check_age(
        self,
        via: str,
        placed: Placed,
        start: float,
        until: float,
        dead_since: float | None,
    ) -> None:
        truth = placed.truth
        if placed.last < truth.sent_before(until - self._lease):
            ago = until - truth.sent_at(placed.last + 1)
            self._stale(f"{via}: a newer push is {ago:.3f} s old, not {self._lease:g}")
        if dead_since is not None and start > dead_since + self._lease:
            late = start - dead_since
            self._stale(f"{via}: the line was dead for {late:.3f} s")
        if dead_since is not None:
            self.found.oldest = max(self.found.oldest, start - dead_since)

    def _check_choice(self, via: str, placed: Placed, until: float) -> None:
        """Of several depths none may win for ever, whatever number it came with."""
        levels = _LEVELS.get(via, 5)
        enough = [
            truth for topic, truth in self.truths.items() if _WIDTH[topic] >= levels
        ]
        if placed.truth not in enough or len(enough) == 1:
            return
        moment = until - self._lease
        newest = max(truth.sent_at(truth.sent_before(moment)) for truth in enough)
        behind = newest - placed.truth.sent_at(placed.last)
        if behind > OVERTAKEN + THREADS:
            channel = placed.truth.channel
            self._stale(f"{via}: {channel} was chosen, {behind:.3f} s behind another")

    def _check_epoch(
        self, via: str, given: Depth | BestBidAsk, placed: Placed, told: LastState
    ) -> None:
        """What was withdrawn before the read began cannot come back in it."""
        if told.state is not State.LIVE and given.epoch <= told.epoch:
            self._stale(
                f"{via}: epoch {given.epoch} after {told.state} of epoch {told.epoch}"
            )
        levels = _LEVELS.get(via, 5)
        newest = self.newest.get(levels)
        if newest and newest.epoch == given.epoch and _went_back(newest, given, placed):
            # A market may say again what it said before, in a push that came after the
            # record was read.
            placed.truth.refresh(time.monotonic())
            again = self._recognise(given, via in BOOK_READS, time.monotonic())
            placed = again or placed
            if _went_back(newest, given, placed):
                self._stale(f"{via}: went back within epoch {given.epoch}")
        self.newest[levels] = _Newest(given.epoch, placed, given.seq)


def _went_back(newest: _Newest, given: Depth | BestBidAsk, placed: Placed) -> bool:
    """Whether *placed* is from before what was read last, by the exchange's order."""
    before = newest.placed
    if before.truth is placed.truth:
        return placed.last < before.first
    later = placed.truth.sent_at(placed.last) - before.truth.sent_at(before.first)
    if newest.seq is not None and given.seq is not None:
        # A lower sequence is chosen only if the higher one is a second old.
        return given.seq < newest.seq and later < OVERTAKEN - THREADS
    return later < -OVERTAKEN - THREADS


# The dict and the value by turns; one in four with a limit of its own.
READS = ("GetDepth", "depth", "best_bid_ask", "max_age")
BOOK_READS = ("book", "GetDepth(levels=400)", "depth(levels=400)")
_LEVELS = dict.fromkeys(BOOK_READS, WHOLE)
_LEVELS |= {"best_bid_ask": 1, "best_bid_asks": 1}
# How many levels a channel has.
_WIDTH = {"bbo-tbt": 1, "depth5": 5, "depth": WHOLE, "depth_l2_tbt": WHOLE}


def _ask(subscription: WSSubscription, via: str) -> Given | None:
    if via == "book":
        return subscription.book
    if via == "GetDepth":
        return subscription.GetDepth() or None
    if via == "GetDepth(levels=400)":
        return subscription.GetDepth(levels=WHOLE) or None
    if via == "best_bid_ask":
        return subscription.best_bid_ask()
    levels = WHOLE if via in BOOK_READS else None
    max_age = MAX_AGE if via == "max_age" else None
    try:
        return subscription.depth(max_age=max_age, levels=levels)
    except NotLive:
        return None
