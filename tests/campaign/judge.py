"""Judges whether a price was right to give, by what the exchange really sent.

The judge does not ask the library for its opinion. Its evidence is the exchange's own
record, the monotonic clock, and the state changes that came before the read began.
"""

from __future__ import annotations

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
from tests.campaign.truth import Content, Truth, content

# Receipt and limit are measured on two clocks by two threads.
CLOCKS = 0.05
MAX_AGE = 0.75
WHOLE = 400

Given = Union[dict[str, Any], Depth, BestBidAsk, OrderBook]
# What an answer is: the truth that it is of, and its place there.
Placed = tuple[Truth, int]


class LastState(NamedTuple):
    """The newest change of state that a subscription told, or the start."""

    state: State
    epoch: int
    at: float


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
    is how long a price may outlive that.
    """

    def __init__(
        self,
        subscription: WSSubscription,
        truths: Mapping[str, Truth],
        lease: float,
        dead_since: Callable[[], float | None],
    ) -> None:
        self.found = Findings()
        self.told = LastState(State.CONNECTING, -1, 0.0)
        self.changes: list[StateChange] = []
        self.subscription = subscription
        self.truths = truths
        self._lease = lease
        self._dead_since = dead_since
        # By how many levels were asked for: each is a choice among channels.
        self._newest: dict[int, tuple[int, datetime]] = {}
        self._books = [t for t in truths.values() if isinstance(t, BookTruth)]
        self._reads = READS + BOOK_READS if self._books else READS
        self._turn = 0

    def state_changed(self, change: StateChange) -> None:
        """The subscription's ``on_state``."""
        self.told = LastState(change.new, change.epoch, time.monotonic())
        self.changes.append(change)

    def read(self) -> None:
        """One read and its verdict."""
        via = self._reads[self._turn % len(self._reads)]
        self._turn += 1
        for truth in self.truths.values():
            truth.keep_up(time.monotonic())
        told, dead_since = self.told, self._dead_since()
        start, wall = time.monotonic(), datetime.now(timezone.utc)
        given = _ask(self.subscription, via)
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
        self._check_age(via, placed, start, dead_since)
        if isinstance(given, (Depth, BestBidAsk)):
            self._check_epoch(via, given, told)
        if via == "max_age" and isinstance(given, Depth):
            age = (wall - given.received).total_seconds()
            if age > MAX_AGE + CLOCKS:
                self.found.stale.append(f"{age:.3f} s old, with max_age {MAX_AGE:g}")

    def holds(self, exchange: LocalExchange) -> bool:
        """Whether a whole book is what the exchange says it is, while it is at rest."""
        return all(
            self.subscription.book == exchange.book(truth.channel).book
            for truth in self._books
        )

    # --- What it is -----------------------------------------------------------------

    def _recognise(self, given: Given, whole: bool, now: float) -> Placed | None:
        """The push that *given* is, if it was ever sent."""
        if isinstance(given, OrderBook):
            return self._version(given.bids, given.asks, None, now)
        if isinstance(given, dict):
            said = content(given)
            found = self._version(said.bids, said.asks, said.timestamp, now)
            return found if whole and found else self._sent(said, now)
        truth = self.truths[given.channel]
        if isinstance(given, BestBidAsk):
            top = truth.tops(given, now)
            return None if top is None else _at(truth, truth.place(top, now))
        if whole and isinstance(truth, BookTruth):
            key = given.timestamp if given.seq is None else given.seq
            return _at(truth, truth.version(given.bids, given.asks, now, key))
        said = Content(given.timestamp, given.bids, given.asks)
        return _at(truth, truth.place(said, now))

    def _sent(self, said: Content, now: float) -> Placed | None:
        for truth in self.truths.values():
            if (place := truth.place(said, now)) is not None:
                return truth, place
        return None

    def _version(
        self, bids: Any, asks: Any, key: datetime | None, now: float
    ) -> Placed | None:
        for truth in self._books:
            if (place := truth.version(bids, asks, now, key)) is not None:
                return truth, place
        return None

    # --- Whether it may be given ----------------------------------------------------

    def _check_age(
        self, via: str, placed: Placed, start: float, dead_since: float | None
    ) -> None:
        truth, place = placed
        if place < truth.sent_before(start - self._lease):
            self.found.stale.append(f"{via}: a newer push is {self._lease:g} s old")
        if dead_since is not None and start > dead_since + self._lease:
            late = start - dead_since
            self.found.stale.append(f"{via}: the line was dead for {late:.3f} s")
        if dead_since is not None:
            self.found.oldest = max(self.found.oldest, start - dead_since)

    def _check_epoch(
        self, via: str, given: Depth | BestBidAsk, told: LastState
    ) -> None:
        """What was withdrawn before the read began cannot come back in it."""
        if told.state is not State.LIVE and given.epoch <= told.epoch:
            self.found.stale.append(
                f"{via}: epoch {given.epoch} after {told.state} of epoch {told.epoch}"
            )
        levels = _LEVELS.get(via, 5)
        epoch, newest = self._newest.get(levels, (-1, given.timestamp))
        if epoch == given.epoch and given.timestamp < newest:
            self.found.stale.append(f"{via}: went back within epoch {epoch}")
        self._newest[levels] = given.epoch, given.timestamp


def _at(truth: Truth, place: int | None) -> Placed | None:
    return None if place is None else (truth, place)


# The dict and the value by turns; one in four with a limit of its own.
READS = ("GetDepth", "depth", "best_bid_ask", "max_age")
BOOK_READS = ("book", "GetDepth(levels=400)", "depth(levels=400)")
_LEVELS = {"best_bid_ask": 1, "depth(levels=400)": WHOLE}


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
