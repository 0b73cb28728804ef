"""Whether a price was right to give: judged against what the exchange really sent.

Nothing here asks the library what it thinks: the exchange's own record, the monotonic
clock and the changes of state that were told before the read began are the evidence.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, NamedTuple

from okex_ws import BestBidAsk, Depth, NotLive, State, StateChange, WSSubscription
from okex_ws.local_exchange import LocalExchange

# The record is read this often, and looked up in between.
REFRESH = 0.2
# Receipt and limit are measured on two clocks by two threads.
CLOCKS = 0.05
MAX_AGE = 0.75
# Pushes of a channel that are remembered at least: of twenty seconds, at ten a second;
# no fault lasts so long. More would only be memory that the leak check has to see past.
KEPT = 200

Levels = tuple[tuple[str, ...], ...]


class Content(NamedTuple):
    """What a push says; two pushes that say the same are the same price."""

    timestamp: datetime
    bids: Levels
    asks: Levels


def content(element: dict[str, Any]) -> Content:
    """The content of a push, or of what ``GetDepth()`` gave."""
    when = datetime.fromisoformat(element["timestamp"].replace("Z", "+00:00"))
    return Content(when, _levels(element["bids"]), _levels(element["asks"]))


def _levels(side: list[list[str]]) -> Levels:
    return tuple(map(tuple, side))


class Truth:
    """What an exchange has sent on one channel of late, by content and by time."""

    def __init__(self, exchange: LocalExchange, channel: str) -> None:
        self._exchange = exchange
        self._channel = channel
        # The first place that is kept, and the times of that one and all later ones.
        self._first = 0
        self._sent: list[float] = []
        self._last: dict[Content, int] = {}
        # Two looks at the market can fall in one millisecond.
        self._by_time: dict[datetime, list[Content]] = {}
        self._read_at = 0.0

    def refresh(self, now: float) -> None:
        """Read what came to the record since the last time."""
        self._read_at = now
        newest = self._sent[-1] if self._sent else 0.0
        for at, element in self._exchange.pushed(self._channel):
            if at > newest:
                said = content(element)
                self._last[said] = self._first + len(self._sent)
                self._by_time.setdefault(said.timestamp, []).append(said)
                self._sent.append(at)
        if len(self._sent) > 2 * KEPT:
            self._forget()

    def _forget(self) -> None:
        del self._sent[:-KEPT]
        self._first = max(self._last.values()) + 1 - KEPT
        kept = {said: n for said, n in self._last.items() if n >= self._first}
        self._last, self._by_time = kept, {}
        for said in kept:
            self._by_time.setdefault(said.timestamp, []).append(said)

    def tops(self, best: BestBidAsk, now: float) -> Content | None:
        """What was sent with that timestamp and that top, if it was."""
        for fresh in (False, True):
            if fresh or now > self._read_at + REFRESH:
                self.refresh(now)
            for said in self._by_time.get(best.timestamp, ()):
                bid, ask = _top(said.bids), _top(said.asks)
                if bid == (best.bid, best.bid_size) and ask == (
                    best.ask,
                    best.ask_size,
                ):
                    return said
        return None

    def place(self, said: Content, now: float) -> int | None:
        """The place of *said* among all pushes, the last one if it was sent again."""
        if now > self._read_at + REFRESH or said not in self._last:
            self.refresh(now)
        return self._last.get(said)

    def sent_before(self, moment: float) -> int:
        """The place of the newest push that was sent by *moment*; -1 for none."""
        return self._first + bisect.bisect_right(self._sent, moment) - 1


class Told(NamedTuple):
    """The newest change of state that a subscription told, or the start."""

    state: State
    epoch: int
    at: float


@dataclass
class Findings:
    """What one judge saw. *stale* and *wrong* must stay empty."""

    reads: int = 0
    prices: int = 0
    stale: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    by_way: Counter[str] = field(default_factory=Counter)
    oldest: float = 0.0


class Judge:
    """Reads one subscription in every way there is, and judges each answer.

    *dead_since* is asked for the moment from which nothing true can have come over the
    subscription's line; *lease* is how long a price may outlive that.
    """

    def __init__(
        self,
        subscription: WSSubscription,
        truth: Truth,
        lease: float,
        dead_since: Callable[[], float | None],
    ) -> None:
        self.found = Findings()
        self.told = Told(State.CONNECTING, -1, 0.0)
        self.changes: list[StateChange] = []
        self._subscription = subscription
        self._truth = truth
        self._lease = lease
        self._dead_since = dead_since
        self._newest: tuple[int, datetime | None] = (-1, None)
        self._turn = 0

    def state_changed(self, change: StateChange) -> None:
        """The subscription's ``on_state``."""
        self.told = Told(change.new, change.epoch, time.monotonic())
        self.changes.append(change)

    def read(self) -> None:
        """One read and its verdict."""
        way = _WAYS[self._turn % len(_WAYS)]
        self._turn += 1
        told, dead_since = self.told, self._dead_since()
        start, wall = time.monotonic(), datetime.now(timezone.utc)
        given = _ask(self._subscription, way)
        self.found.reads += 1
        self.found.by_way[way] += 1
        if given is None:
            return
        self.found.prices += 1
        said = self._recognise(given, start)
        if said is None:
            self.found.wrong.append(f"{way} gave what was never sent: {given!r}")
            return
        self._check_age(way, said, start, dead_since)
        if not isinstance(given, Content):
            self._check_epoch(way, given, told)
        if way == "max_age" and isinstance(given, Depth):
            age = (wall - given.received).total_seconds()
            if age > MAX_AGE + CLOCKS:
                self.found.stale.append(f"{age:.3f} s old, with max_age {MAX_AGE:g}")

    def _recognise(
        self, given: Content | Depth | BestBidAsk, now: float
    ) -> Content | None:
        """The push that *given* is, if it was ever sent."""
        if isinstance(given, Depth):
            given = Content(given.timestamp, given.bids, given.asks)
        if isinstance(given, Content):
            return given if self._truth.place(given, now) is not None else None
        return self._truth.tops(given, now)

    def _check_age(
        self, way: str, said: Content, start: float, dead_since: float | None
    ) -> None:
        place = self._truth.place(said, start)
        assert place is not None
        if place < self._truth.sent_before(start - self._lease):
            self.found.stale.append(f"{way}: a newer push is {self._lease:g} s old")
        if dead_since is not None and start > dead_since + self._lease:
            late = start - dead_since
            self.found.stale.append(f"{way}: the line was dead for {late:.3f} s")
        if dead_since is not None:
            self.found.oldest = max(self.found.oldest, start - dead_since)

    def _check_epoch(self, way: str, given: Depth | BestBidAsk, told: Told) -> None:
        """What was withdrawn before the read began cannot come back in it."""
        if told.state is not State.LIVE and given.epoch <= told.epoch:
            self.found.stale.append(
                f"{way}: epoch {given.epoch} after {told.state} of epoch {told.epoch}"
            )
        epoch, newest = self._newest
        if epoch == given.epoch and newest is not None and given.timestamp < newest:
            self.found.stale.append(f"{way}: went back within epoch {epoch}")
        self._newest = given.epoch, given.timestamp


# The dict and the value by turns; one in four with a limit of its own.
_WAYS = ("GetDepth", "depth", "best_bid_ask", "max_age")


def _ask(subscription: WSSubscription, way: str) -> Content | Depth | BestBidAsk | None:
    if way == "GetDepth":
        answer: dict[str, Any] = subscription.GetDepth()
        return content(answer) if answer else None
    if way == "best_bid_ask":
        return subscription.best_bid_ask()
    try:
        return subscription.depth(max_age=MAX_AGE if way == "max_age" else None)
    except NotLive:
        return None


def _top(side: Levels) -> tuple[Decimal | None, Decimal | None]:
    return (Decimal(side[0][0]), Decimal(side[0][1])) if side else (None, None)


class Reader:
    """A thread that has judges read, again and again, until it is stopped."""

    # Between two rounds: a reader that never rests starves the threads it judges.
    REST = 0.001

    def __init__(self, name: str) -> None:
        self.judges: list[Judge] = []
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"reader of {name}")

    def start(self) -> None:
        """Start to read."""
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self.REST):
                for judge in self.judges:
                    judge.read()
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()
        self._thread.join()
