"""What the judges of the campaign see: each wrong answer beside one that is right."""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import FrameType
from typing import Any, cast

import pytest

from okex_ws import (
    BestBidAsk,
    Depth,
    Feed,
    Gap,
    State,
    StateChange,
    Trade,
    WSSubscription,
)
from okex_ws.base.state import NO_CAUSE
from okex_ws.local_exchange import LocalExchange, Pushed
from tests.campaign.interruptions import StallingClock, at_line
from tests.campaign.judge import Judge
from tests.campaign.pair_judge import PairJudge
from tests.campaign.readers import Listener
from tests.campaign.trade_order import Trades
from tests.campaign.truth import GATEWAY_CLOCKS, Truth
from tests.support.causes import because

LEASE = 1.5
EPOCH = datetime(2026, 1, 1, tzinfo=timezone.utc)


class Record:
    """What an exchange sent: of each channel prices, each with when it was sent."""

    def __init__(self, **prices: list[tuple[float, int]]) -> None:
        self.now = time.monotonic()
        self._prices = prices

    def say(self, price: int) -> None:
        """One more push, at this moment."""
        self._prices["depth5"].append((time.monotonic() - self.now, price))

    def pushed(self, channel: str) -> list[Pushed]:
        return [
            Pushed(
                self.now + at,
                {
                    "bids": [[str(price), "1"]],
                    "asks": [[str(price + 1), "1"]],
                    "timestamp": f"2026-01-01T00:{price // 60:02}:{price % 60:02}.000Z",
                },
            )
            for at, price in self._prices[channel]
        ]


class Script:
    """A subscription that gives what a test has it give."""

    def __init__(self, name: str) -> None:
        self.instrument_id = name
        self.best: BestBidAsk | None = None

    def best_bid_ask(self) -> BestBidAsk | None:
        return self.best

    def give(
        self, price: int, channel: str, epoch: int = 1, clock: float = 0.0
    ) -> None:
        """From now on give this price."""
        at = EPOCH + timedelta(seconds=price + clock)
        bid, ask, size = Decimal(price), Decimal(price + 1), Decimal(1)
        self.best = BestBidAsk(
            self.instrument_id, bid, size, ask, size, at, at, None, None, epoch, channel
        )


def judge_of(
    script: Script,
    record: Record,
    *topics: str,
    dead_since: Callable[[], float | None] = lambda: None,
) -> Judge:
    """A judge that reads the best bid and ask."""
    truths = {topic: Truth(cast(LocalExchange, record), topic) for topic in topics}
    subscription = cast(WSSubscription, script)
    return Judge(subscription, truths, LEASE, dead_since, StallingClock())


def read(judge: Judge) -> list[str]:
    """What is wrong about the next best bid and ask."""
    judge.found.stale.clear()
    judge.ways = ("best_bid_ask",)
    judge.read()
    return [*judge.found.stale, *judge.found.wrong]


class OneMoment(Record):
    """An exchange that says all of its prices under one timestamp."""

    def pushed(self, channel: str) -> list[Pushed]:
        every = super().pushed(channel)
        last = every[-1].element["timestamp"]
        levels = [[str(n), "1"] for n in range(5)]
        return [
            Pushed(at, {**said, "timestamp": last, "bids": [*said["bids"], levels[n]]})
            for n, (at, said) in enumerate(every)
        ]


def test_versions_of_one_moment_with_one_top_are_not_told_apart() -> None:
    """Of 1, 2, 1 the first and the last look alike: to read 1 and 2 is no way back."""
    record = OneMoment(depth5=[(-0.3, 1), (-0.2, 2), (-0.1, 1)])
    script = Script("A")
    judge = judge_of(script, record, "depth5")
    found = []
    for price in (1, 2):
        script.give(price, "depth5", clock=1.0 - price)
        found += read(judge)
    assert found == []


def test_a_price_that_was_replaced_a_lease_ago_is_stale() -> None:
    record, script = Record(depth5=[(-4.0, 1), (-2.0, 2), (-1.0, 3)]), Script("A")
    judge = judge_of(script, record, "depth5")
    for price, is_stale in ((1, True), (2, False), (3, False), (4, True)):
        script.give(price, "depth5", epoch=price)
        assert bool(read(judge)) is is_stale, price


def test_the_clock_of_a_gateway_makes_no_other_price() -> None:
    record, script = Record(depth5=[(-1.0, 100)]), Script("A")
    judge = judge_of(script, record, "depth5")
    for clock in GATEWAY_CLOCKS:
        script.give(100, "depth5", clock=clock)
        assert not read(judge)
    script.give(100, "depth5", clock=7.0)
    assert read(judge)


def test_what_goes_back_is_seen_by_the_exchanges_order() -> None:
    record, script = Record(depth5=[(-1.2, 50), (-1.0, 10)]), Script("A")
    judge = judge_of(script, record, "depth5")
    found = []
    for price, epoch in ((50, 1), (10, 1), (50, 1), (10, 2), (50, 3)):
        script.give(price, "depth5", epoch)
        found.append(bool(read(judge)))
    assert found == [False, False, True, False, False]


def test_a_line_that_is_mended_during_a_read_is_no_dead_one() -> None:
    record, script = Record(depth5=[(-1.0, 50)]), Script("A")
    record.say(50)
    dead: list[float | None] = [time.monotonic() - LEASE - 1.0]
    judge = judge_of(script, record, "depth5", dead_since=lambda: dead[0])
    script.give(50, "depth5")

    @contextlib.contextmanager
    def mended() -> Iterator[None]:
        dead[0] = None
        yield

    assert "the line was dead" in read(judge)[0]
    judge.around = mended
    assert not read(judge)


def test_what_is_said_again_after_the_record_was_read_did_not_go_back() -> None:
    """A best level moves and comes back, within one millisecond of the market."""
    record, script = Record(depth5=[(-1.4, 5), (-1.2, 50), (-1.0, 10)]), Script("A")
    judge = judge_of(script, record, "depth5")
    for price in (50, 10):
        script.give(price, "depth5")
        assert not read(judge)
    record.say(50)
    script.give(50, "depth5")
    assert not read(judge)
    script.give(5, "depth5")
    assert read(judge)


def test_an_item_that_says_again_what_was_said_did_not_go_back() -> None:
    record = Record(depth5=[(-1.4, 5), (-1.2, 50), (-1.0, 10)])
    truth = Truth(cast(LocalExchange, record), "depth5")

    def items() -> Iterator[Depth]:
        yield item(50)
        yield item(10)
        record.say(50)
        yield item(50)
        yield item(5)

    def item(price: int) -> Depth:
        at = EPOCH + timedelta(seconds=price)
        sides = ((str(price), "1"),), ((str(price + 1), "1"),)
        return Depth("A", *sides, at, at, None, None, 1, "depth5")

    listener = Listener("A", items(), {("A", "depth5"): truth}, {})
    listener.join()

    assert listener.error is None
    assert len(listener.wrong) == 1
    assert "went back" in listener.wrong[0]
    assert "bids=5 x 1" in listener.wrong[0]


class Sold:
    """An exchange that has sold what a test has it sell."""

    def __init__(self) -> None:
        self._pushed: list[Pushed] = []

    def pushed(self, channel: str) -> list[Pushed]:
        return self._pushed

    def sell(self, number: int, ago: float = 0.0, replayed: bool = False) -> Trade:
        at = datetime.now(timezone.utc) - timedelta(seconds=ago)
        stamp = at.isoformat(timespec="milliseconds")
        sold = {"trade_id": str(number), "price": "1", "size": "1", "side": "buy"}
        self._pushed.append(Pushed(time.monotonic(), {**sold, "timestamp": stamp}))
        name, one, said = str(number), Decimal(1), datetime.fromisoformat(stamp)
        return Trade(
            "A", name, name, 1, one, one, "buy", said, said, 1, replayed=replayed
        )


@pytest.mark.parametrize("replayed", [False, True])
def test_trades_are_settled_when_the_last_that_was_pushed_is_there(
    replayed: bool,
) -> None:
    """It may be the one that is repeated to who subscribes, or one that was old."""
    sold = Sold()
    trades = Trades(cast(LocalExchange, sold), "spot/trade:A", lambda at: [])
    assert not trades.settled
    for number, ago in ((1, 0.0), (2, 0.0), (3, 9.0)):
        trade = sold.sell(number, ago, replayed)
        assert not trades.settled
        assert trades.take(trade) is None
        assert trades.settled


@pytest.mark.parametrize(
    ("order", "wrong"),
    [
        ((0, 1, 2, 3), [None, None, None, None]),
        ((0, 2), [None, "missing"]),
        ((0, Gap, 2), [None, None]),
        ((0, Gap, 2, 1), [None, None, "not in order"]),
        ((0, Gap, 2, Gap, 1, 3), [None, None, "not in order", "missing"]),
        ((0, Gap, 2, Gap, 2), [None, None, "twice"]),
    ],
)
def test_trades_are_in_order_and_complete_but_for_gaps(
    order: tuple[Any, ...], wrong: list[str | None]
) -> None:
    sold = Sold()
    trades = Trades(cast(LocalExchange, sold), "spot/trade:A", lambda at: [])
    made = [sold.sell(number) for number in range(5)]
    found = []
    for each in order:
        if each is Gap:
            trades.gap(Gap("trade", None, None, because("a loss"), "A"))
        else:
            found.append(trades.take(made[each]))
    assert len(found) == len(wrong)
    for said, part in zip(found, wrong, strict=True):
        assert said is None if part is None else part in str(said)


def test_of_several_depths_none_wins_for_ever() -> None:
    record = Record(**{"bbo-tbt": [(-5.0, 900)], "depth5": [(-5.0, 1), (-2.0, 2)]})
    script = Script("A")
    judge = judge_of(script, record, "bbo-tbt", "depth5")
    script.give(900, "bbo-tbt")
    assert "was chosen" in read(judge)[0]
    script.give(2, "depth5", epoch=2)
    assert not read(judge)


def test_a_read_answers_for_the_moment_at_which_it_took_its_clock() -> None:
    record, script = Record(depth5=[(-4.0, 1), (-1.45, 2)]), Script("A")
    judge = judge_of(script, record, "depth5")
    script.give(1, "depth5")
    assert not read(judge)
    clock = StallingClock()
    judge = judge_of(script, record, "depth5")
    judge.clock = clock
    ask = script.best_bid_ask

    def slow() -> BestBidAsk | None:
        clock.monotonic()
        return ask()

    script.best_bid_ask = slow  # type: ignore[method-assign]
    judge.around = lambda: clock.stalled(lambda: time.sleep(0.2))
    assert "newer push" in read(judge)[0]


def test_a_change_that_does_not_follow_on_the_one_before_is_seen() -> None:
    judge = judge_of(Script("A"), Record(depth5=[]), "depth5")

    def tell(old: State, new: State) -> None:
        judge.state_changed(StateChange(old, new, NO_CAUSE, 1, EPOCH))

    tell(State.SYNCING, State.LIVE)
    tell(State.LIVE, State.STALE)
    assert not judge.found.wrong
    tell(State.LIVE, State.RECONNECTING)
    assert judge.found.wrong


@pytest.mark.parametrize(
    ("a", "b", "together"), [(1, 1, True), (2, 1, True), (2, 2, True), (1, 2, False)]
)
def test_values_that_never_stood_together_are_seen(
    a: int, b: int, together: bool
) -> None:
    # A is replaced a second before B is.
    record = Record(a=[(-4.0, 1), (-1.4, 2)], b=[(-4.0, 1), (-0.4, 2)])
    scripts = [Script("A"), Script("B")]
    judges = [judge_of(each, record) for each in scripts]
    for judge, script, topic, price in zip(judges, scripts, "ab", (a, b), strict=True):
        judge.truths = {"depth5": Truth(cast(LocalExchange, record), topic)}
        script.give(price, "depth5")

    class AllOfThem:
        def best_bid_asks(self, names: list[str]) -> dict[str, Any]:
            best = {script.instrument_id: script.best for script in scripts}
            return {name: best[name] for name in names}

    pairs = PairJudge(
        cast(Feed, AllOfThem()),
        judges,
        random.Random(1),
        LEASE,
        lambda channels: 0.5,
        StallingClock(),
    )
    pairs.read()
    assert pairs.found.reads == pairs.found.prices == 1
    assert bool(pairs.found.stale) is not together


def test_a_thread_is_interrupted_at_a_line_of_the_library_alone() -> None:
    lines: list[str] = []

    def many() -> Iterator[int]:
        yield from range(3)

    with at_line(1, lambda: lines.append("here")):
        list(many())
    assert not lines
    with at_line(3, lambda: lines.append("here")):
        LocalExchange()
    assert lines == ["here"]
    with pytest.raises(ZeroDivisionError), at_line(2, lambda: 1 / 0):
        LocalExchange()


def test_a_thread_is_traced_on_by_whoever_traced_it() -> None:
    before, lines = sys.gettrace(), list[str]()

    def mine(frame: FrameType, event: str, argument: object) -> None:
        lines.append(frame.f_code.co_name)

    sys.settrace(mine)
    try:
        with at_line(3, lambda: None):
            LocalExchange()
        during = len(lines)
        sorted([1], key=lambda number: number)
        assert lines[during:] == ["<lambda>"]
    finally:
        sys.settrace(before)
