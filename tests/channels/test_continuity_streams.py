"""Of random streams, each trade is delivered once or lies in a gap, and no gap is idle.

The exchange makes trades with ids that jump, aggregate several, and begin anew. A
stream loses pushes, is interrupted, and goes on at a server that is behind; a second
stream takes over.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.channels.continuity import Missed, News, Receipt, TradeContinuity
from okex_ws.protocol.messages import TradeData
from tests.support.causes import because

BAD = WireError("trade", "garbled")
AT = Receipt(1.0, 1.0)
# The causes of gaps that stand in the place of what was lost.
LOST = (str(BAD), "no JSON")


def market(rng: random.Random, count: int, jumps: bool) -> list[TradeData]:
    """The exchange's trades in order; the price of each is its place."""
    found: list[TradeData] = []
    last, run = 1000, 0
    for place in range(count):
        if run > 50 and rng.random() < 0.1:
            # The ids begin anew: they are ids that are known.
            last, run = 1000, 0
        run += 1
        first = last + (rng.randint(1, 4) if jumps else 1)
        last = first + rng.choice((0, 0, 0, 1, 2))
        size = last - first + 1
        price = Decimal(place + 1)
        found.append(
            TradeData(str(last), str(first), size, price, Decimal(1), "buy", 1)
        )
    return found


def is_next(older: TradeData, newer: TradeData) -> bool:
    return int(newer.first_id) == int(older.id) + 1


class Judge:
    """Compares what was told with the exchange's trades.

    *excused* are the places before which a push was lost, so that a gap is due; *seams*
    are those at which one stream of the exchange may go on from another one.
    """

    def __init__(self, truth: list[TradeData]) -> None:
        self.truth = truth
        self.told: list[Any] = []
        self.excused: set[int] = set()
        self.seams: set[int] = set()

    def check(self, last: int) -> None:
        """Each trade up to the *last* is delivered once, or lies in a gap."""
        delivered: set[int] = set()
        missing: set[int] = set()
        begin = before = -1
        cause, anew = "", False
        for each in self.told:
            if isinstance(each, Missed):
                cause = each.cause.text
                continue
            assert isinstance(each, News)
            place = int(each.data.price) - 1
            assert place not in delivered, (before, place)
            delivered.add(place)
            if each.replayed and before != -1:
                continue  # it is no news, and nothing follows on it
            if cause:
                missing.update(range(before + 1, place))
                idle = cause not in LOST and self.is_joined(before, place, anew)
                assert not idle, (before, place)
            # Only the next id shows where the exchange goes on after that.
            newest = self.truth[max(before, 0)]
            anew = each.at.first or int(each.data.first_id) <= int(newest.id)
            begin = place if begin == -1 else begin
            before, cause = place, ""
        if cause:
            missing.update(range(before + 1, last + 1))
        lost = set(range(begin, last + 1)) - delivered - missing
        assert not lost, lost

    def is_joined(self, before: int, place: int, anew: bool) -> bool:
        """Whether it is proven that nothing is missing between these two."""
        if place != before + 1 or place in self.excused:
            return False
        older, newer = self.truth[before], self.truth[place]
        within = place not in self.seams and int(newer.first_id) > int(older.id)
        return (within and not anew) or is_next(older, newer)


class Stream:
    """What one connection pushes of the market, from place *at* on."""

    def __init__(self, judge: Judge, continuity: TradeContinuity, at: int) -> None:
        self.judge, self.continuity, self.at = judge, continuity, at
        self.first = True

    def push(self, *read: TradeData | WireError) -> list[Any]:
        at = AT._replace(first=self.first)
        self.first = False
        return self.continuity.take(read, at)

    def go_on(self, rng: random.Random, losses: bool) -> list[Any]:
        """The next push, of one trade or several; some are lost, or are repeats."""
        truth = self.judge.truth
        read: list[TradeData | WireError] = []
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            if self.at >= len(truth):
                break
            if losses and rng.random() < 0.05:
                read.append(BAD)
                self.judge.excused |= {self.at, self.at + 1}
            else:
                read.append(truth[self.at])
            self.at += 1
        if losses and rng.random() < 0.03:
            self.judge.excused.add(self.at)
            return self.continuity.lost(because("no JSON"))
        return self.push(*read) if read else []

    def interrupted(self, rng: random.Random, replays: bool) -> list[Any]:
        """The connection is lost, and the next one begins later, or is behind."""
        self.continuity.owe(because("trades while not connected"))
        lag = rng.choice((0, 0, 1, 5, 20, -1, -7))
        before = self.at
        self.at = max(1, min(len(self.judge.truth) - 1, self.at + lag))
        self.first = True
        self.judge.seams.update(range(min(self.at, before), self.at + 2))
        if replays:
            # What the exchange repeats may be older than where it goes on, unless it
            # is what would prove the contrary.
            old = self.judge.truth[max(0, self.at - 1 - rng.choice((0, 0, 0, 3)))]
            newest = self.continuity.newest
            proves = newest is not None and (old == newest or is_next(newest, old))
            return self.push(self.judge.truth[self.at - 1] if proves else old)
        return []


def histories() -> Iterator[tuple[random.Random, bool, bool]]:
    for seed in range(300):
        rng = random.Random(seed)
        yield rng, bool(seed % 2), bool(seed // 2 % 2)


@pytest.mark.once
def test_over_losses_and_reconnects_each_trade_is_delivered_once_or_in_a_gap() -> None:
    gaps = 0
    for rng, replays, jumps in histories():
        judge = Judge(market(rng, 200, jumps))
        stream = Stream(judge, TradeContinuity(Counter(), replays), rng.randint(1, 5))
        if replays:
            judge.told += stream.push(judge.truth[stream.at - 1])
        while stream.at < len(judge.truth) - 1:
            if rng.random() < 0.05:
                judge.told += stream.interrupted(rng, replays)
            judge.told += stream.go_on(rng, losses=True)
        judge.check(stream.at - 1)
        gaps += sum(isinstance(each, Missed) for each in judge.told)
    assert gaps > 1000


@pytest.mark.once
@pytest.mark.parametrize("complete", [True, False])
def test_over_a_handover_each_trade_is_delivered_once_or_in_a_gap(
    complete: bool,
) -> None:
    """Only if the old stream is not *complete* may there be a gap."""
    gaps = 0
    for rng, replays, jumps in histories():
        judge = Judge(market(rng, 120, jumps and not complete))
        old = Stream(judge, TradeContinuity(Counter(), replays), 1)
        while old.at < 50:
            judge.told += old.go_on(rng, losses=False)
        start = old.at + (-rng.randint(0, 20) if complete else rng.randint(-5, 9))
        new = Stream(judge, TradeContinuity(Counter(), replays), start)
        held = new.push(judge.truth[start - 1]) if replays else []
        for _ in range(rng.randint(0, 12)):
            held += new.go_on(rng, losses=not complete)
        proven = start <= old.at
        judge.seams.update(range(min(start, old.at), max(start, old.at) + 2))
        owed = new.continuity.owed
        judge.told += old.continuity.join(held, proven, owed)
        new.continuity = old.continuity
        while new.at < len(judge.truth):
            judge.told += new.go_on(rng, losses=False)
        judge.check(len(judge.truth) - 1)
        ends = [each for each in judge.told if isinstance(each, Missed)]
        gaps += len(ends)
        assert not complete or all("anew" in each.cause.text for each in ends)
    assert gaps > 100
