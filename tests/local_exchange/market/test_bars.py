"""A bar opens and closes by the clock, and says what was traded in it."""

from __future__ import annotations

import pytest

from okex_ws.local_exchange.market.bars import KEPT, MOST_UNSEEN, Bar, BarBuilder
from okex_ws.local_exchange.wire.values import Period

MINUTE = Period(60)


def test_a_bar_is_what_was_traded_in_it() -> None:
    bars = BarBuilder(MINUTE, 100, 60.0)
    for price, lots in ((101, 2), (98, 1), (99, 3)):
        bars.trade(price, lots, 61.0)

    assert bars.said(62.0) == [Bar(60, 100, 101, 98, 99, 6, 101 * 2 + 98 + 99 * 3)]


def test_a_bar_that_has_not_changed_is_not_said() -> None:
    bars = BarBuilder(MINUTE, 100, 60.0)

    assert bars.said(70.0) == []


def test_a_bar_is_said_once_a_second_at_most() -> None:
    bars, said = BarBuilder(MINUTE, 100, 60.0), []
    for tenth in range(1, 41):
        bars.trade(100, 1, 60.0 + tenth / 10)
        said += bars.said(60.0 + tenth / 10)

    assert len(said) == 4


def test_a_bar_closes_by_the_clock_and_the_next_opens_where_it_closed() -> None:
    bars = BarBuilder(MINUTE, 100, 60.0)
    bars.trade(101, 2, 119.9)
    bars.said(119.95)
    (closed,) = bars.said(120.0)

    assert closed == Bar(60, 100, 101, 100, 101, 2, 202, closed=True)
    assert bars.open == Bar(120, 101, 101, 101, 101)
    assert [bar.closed for bar in bars.said(180.0)] == [True]


def test_a_trade_of_the_next_minute_is_not_in_the_last_bar() -> None:
    bars = BarBuilder(MINUTE, 100, 60.0)
    bars.trade(101, 2, 120.0)

    assert [(bar.start, bar.lots, bar.closed) for bar in bars.said(120.0)] == [
        (60, 0, True)
    ]
    assert bars.said(120.5) == []
    assert [(bar.start, bar.lots) for bar in bars.said(121.0)] == [(120, 2)]


def test_a_clock_that_is_set_back_keeps_no_bar_back() -> None:
    bars = BarBuilder(MINUTE, 100, 70.0)
    bars.trade(101, 2, 10.0)

    assert [bar.lots for bar in bars.said(10.0)] == [2]


@pytest.mark.parametrize(
    ("period", "wall", "start"),
    [
        (Period(60), 1_800_000_059.9, 1_800_000_000),
        (Period(86_400), 86_400 * 3 + 5.0, 86_400 * 3),
        (Period(86_400, -8 * 3600), 86_400 * 3 + 5.0, 86_400 * 3 - 8 * 3600),
        (Period(604_800, 4 * 86_400), 86_400 * 12.0, 86_400 * 11),
    ],
)
def test_a_bar_begins_where_its_period_does(
    period: Period, wall: float, start: int
) -> None:
    assert BarBuilder(period, 1, wall).open.start == start


def test_bars_that_nobody_looked_at_are_there_without_a_gap() -> None:
    bars = BarBuilder(MINUTE, 100, 60.0)
    bars.trade(105, 2, 61.0)

    assert [(bar.start, bar.close, bar.lots) for bar in bars.said(250.0)] == [
        (60, 105, 2),
        (120, 105, 0),
        (180, 105, 0),
    ]
    assert bars.open.start == 240
    assert [bar.start for bar in bars.closed(300.0)] == [240, 180, 120, 60]
    assert bars.is_whole


def test_after_a_very_long_time_the_bars_begin_anew() -> None:
    bars = BarBuilder(MINUTE, 100, 60.0)
    bars.trade(105, 2, 61.0)
    then = 60.0 * (MOST_UNSEEN + 10)

    assert [bar.start for bar in bars.said(then)] == [60]
    assert bars.closed(then) == []
    assert (bars.open.start, bars.open.open) == (then, 105)
    assert bars.first is bars.open


def test_so_many_are_kept_and_the_oldest_are_forgotten() -> None:
    bars = BarBuilder(MINUTE, 100, 0.0)
    for minute in range(1, KEPT + 2):
        bars.said(60.0 * minute)

    closed = bars.closed(60.0 * (KEPT + 1))
    assert (len(closed), closed[-1].start) == (KEPT, 60)
    assert not bars.is_whole
