"""One hole, walked backwards: what an answer proves, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import Candle, Trade
from okex_ws.base.errors import WireError
from okex_ws.channels.convert import iso
from okex_ws.history.backfill import (
    CHUNK,
    MOST_MISSED,
    CandleSeries,
    GapFill,
    Missing,
    TradeSeries,
)
from okex_ws.rest import Answer, LeftOut
from tests.support.fake_history import NAME, Past, bar_ms, make_candle, make_trade

TRADES = TradeSeries(NAME, "spot")
BARS = CandleSeries(NAME, "spot", "candle60s")


def trades(*numbers: int) -> list[Trade]:
    return [make_trade(number) for number in numbers]


def bars(*minutes: int) -> list[Candle]:
    return [make_candle(minute) for minute in minutes]


def told(walk: GapFill[Any]) -> list[Any]:
    """What it found: ids or minutes, and the ends of what is missing."""
    found: list[Any] = []
    for item in walk.result():
        if isinstance(item, Trade):
            found.append(int(item.id))
        elif isinstance(item, Candle):
            found.append((round(item.start.timestamp() * 1000) - bar_ms(0)) // 60_000)
        else:
            found.append(tuple(item))
    return found


def outage(after: int, before: int | None) -> GapFill[Trade]:
    behind = None if before is None else make_trade(before)
    return GapFill(TRADES, make_trade(after), behind, 0)


def past(before: int | None, wanted: int) -> GapFill[Trade]:
    behind = None if before is None else make_trade(before)
    return GapFill(TRADES, None, behind, wanted)


# --- Trades -------------------------------------------------------------------------


def test_an_answer_with_both_ends_proves_that_nothing_is_missing() -> None:
    walk = outage(10, 17)

    assert walk.take(trades(10, 12, 13, 17), last=False)

    assert walk.done
    assert told(walk) == [12, 13]


def test_ids_need_not_be_consecutive_and_none_in_between_is_none_missing() -> None:
    walk = outage(10, 90)

    walk.take(trades(10, 90), last=False)

    assert walk.done
    assert told(walk) == []


def test_an_answer_without_the_trade_behind_is_asked_for_again() -> None:
    walk = outage(10, 17)

    assert not walk.take(trades(10, 12), last=False)
    assert not walk.done
    assert walk.take(trades(10, 12, 16, 17), last=False)

    assert told(walk) == [12, 16]


def test_what_is_not_joined_at_last_has_a_gap_behind_it() -> None:
    walk = outage(10, 17)

    walk.take(trades(10, 12), last=True)

    assert walk.done
    assert told(walk) == [12, ("12", "17")]


def test_only_the_trade_in_front_is_a_gap_between_the_two_ends() -> None:
    walk = outage(10, 17)

    walk.take(trades(10), last=True)

    assert walk.done
    assert told(walk) == [("10", "17")]


def test_a_page_cut_short_is_gone_on_from() -> None:
    walk = outage(10, 17)

    walk.take(trades(15, 16, 17), last=False)
    assert not walk.done
    walk.take(trades(12, 13, 15), last=False)
    walk.take(trades(10, 12), last=False)

    assert walk.done
    assert told(walk) == [12, 13, 15, 16]


def test_what_the_venue_keeps_no_more_is_a_gap_in_front() -> None:
    walk = outage(10, 17)

    walk.take(trades(15, 17), last=False)
    walk.take(trades(15), last=False)

    assert walk.done
    assert walk.why == "the venue does not give them all"
    assert told(walk) == [("10", "15"), 15]


def test_an_answer_that_comes_again_is_not_the_end() -> None:
    """As of a cache: the query is run again, and what is older is found."""
    walk = outage(10, 17)

    walk.take(trades(15, 16, 17), last=False)
    assert not walk.take(trades(15, 16, 17), last=False)
    assert not walk.done
    walk.take(trades(10, 12, 15), last=False)

    assert walk.done
    assert told(walk) == [12, 15, 16]


def test_nothing_at_all_is_asked_for_again_and_is_a_gap_at_last() -> None:
    walk = outage(10, 17)

    assert not walk.take([], last=False)
    assert walk.take([], last=True)

    assert walk.done
    assert told(walk) == [("10", "17")]


def test_a_page_that_repeats_overlaps_and_is_out_of_order_counts_once() -> None:
    walk = outage(10, 17)

    walk.take(trades(17, 15, 15, 16), last=False)
    walk.take(trades(16, 15, 12, 10, 12, 9), last=False)

    assert told(walk) == [12, 15, 16]


def test_more_than_the_bound_is_a_gap_in_front_of_the_newest() -> None:
    walk = outage(0, 20_000)
    source = Past(trades(*range(20_001)))

    while not walk.done:
        walk.take(walk.ask(source), last=False)

    numbers = told(walk)
    assert numbers[0] == ("0", str(20_000 - len(numbers) + 1))
    assert numbers[1:] == [*range(20_001 - len(numbers), 20_000)]
    assert MOST_MISSED <= len(numbers) - 1 < MOST_MISSED + 2
    assert walk.why == "more than 10000 were missed"
    assert {limit for *_, limit in source.asked} <= {*range(2, CHUNK + 3)}


def test_the_questions_include_both_ends() -> None:
    source = Past(trades(*range(8, 20)))
    walk = outage(10, 17)

    answer = walk.ask(source)

    assert source.asked == [("9", "18", CHUNK + 2)]
    assert [int(trade.id) for trade in answer] == [*range(10, 18)]


def test_exactly_so_many_of_the_past_are_given() -> None:
    source = Past(trades(*range(0, 4000, 3)))
    walk = past(3000, 700)

    while not walk.done:
        walk.take(walk.ask(source), last=False)

    assert told(walk) == [*range(3000 - 700 * 3, 3000, 3)]


def test_a_past_that_is_shorter_has_a_gap_in_front() -> None:
    source = Past(trades(*range(5, 31)))
    walk = past(30, 700)

    while not walk.done:
        walk.take(walk.ask(source), last=False)

    assert told(walk) == [(None, "5"), *range(5, 30)]
    assert walk.why == "the venue gave 25 of 700"


def test_without_anything_behind_it_the_newest_there_are_are_taken() -> None:
    source = Past(trades(*range(5, 31)))
    walk = past(None, 4)

    walk.take(walk.ask(source), last=False)

    assert walk.is_open
    assert walk.done
    assert told(walk) == [27, 28, 29, 30]


def test_an_open_end_is_no_gap() -> None:
    walk = outage(10, None)

    walk.take(trades(10, 12, 13), last=False)

    assert walk.done
    assert told(walk) == [12, 13]


@pytest.mark.parametrize(("after", "before"), [(17, 17), (17, 10)])
def test_ids_that_began_anew_cannot_be_asked_for(after: int, before: int) -> None:
    walk = outage(after, before)

    assert not walk.is_possible
    assert told(walk) == [(str(after), str(before))]


def test_ids_that_are_no_numbers_cannot_be_asked_for() -> None:
    odd = Trade(**{**_fields(make_trade(1)), "id": "a-1"})

    assert not GapFill(TRADES, None, odd, 5).is_possible
    walk = GapFill(TRADES, make_trade(1), odd, 5)
    assert not walk.is_possible
    assert told(walk) == [("1", None)]
    assert not GapFill(TRADES, odd, make_trade(1), 5).is_possible


def _fields(trade: Trade) -> dict[str, Any]:
    return {name: getattr(trade, name) for name in Trade.__slots__}


def test_trades_touch_where_no_number_is_between_them() -> None:
    assert TRADES.touch(make_trade(1), make_trade(2))
    assert not TRADES.touch(make_trade(1), make_trade(3))
    assert not TRADES.touch(make_trade(2), make_trade(1))


# --- Candles ------------------------------------------------------------------------


def test_the_newest_closed_candle_has_to_end_where_the_live_one_begins() -> None:
    live = make_candle(9, closed=False)
    walk = GapFill(BARS, None, live, 3)

    assert not walk.take(bars(5, 6, 7), last=False)
    assert walk.take(bars(5, 6, 7, 8), last=False)

    assert walk.done
    assert told(walk) == [6, 7, 8]


def test_a_bar_that_was_open_when_it_was_lost_is_completed() -> None:
    walk = GapFill(BARS, make_candle(4, closed=False), make_candle(7, closed=False), 0)

    walk.take(bars(4, 5, 6), last=False)

    assert walk.done
    assert told(walk) == [4, 5, 6]


def test_a_bar_that_is_open_is_none_of_the_past() -> None:
    class Eager(Past):
        def candles(self, *args: Any, **keywords: Any) -> Any:
            return (make_candle(4), make_candle(5, closed=False))

    walk = GapFill(BARS, make_candle(3), None, 0)

    assert walk.take(walk.ask(Eager()), last=True)
    assert [item for item in walk.result() if not isinstance(item, Missing)] == [
        make_candle(4)
    ]


def test_what_the_source_left_out_is_a_gap_in_its_place() -> None:
    class Torn(Past):
        def trades(self, *args: Any, **keywords: Any) -> Any:
            lost = LeftOut(3, WireError("trade", "'' of '1' at '1'"))
            return Answer(map(make_trade, (4, 5, 6, 8, 9)), [lost])

    walk = GapFill(TRADES, make_trade(4), make_trade(9), 0)

    assert walk.take(walk.ask(Torn()), last=False)
    assert walk.done
    assert told(walk) == [5, 6, Missing("6", "8"), 8]
    assert "'' of '1' at '1'" in walk.why


def test_one_that_was_closed_is_not_told_twice() -> None:
    walk = GapFill(BARS, make_candle(4), make_candle(7, closed=False), 0)

    walk.take(bars(4, 5, 6), last=False)

    assert told(walk) == [5, 6]


def test_a_bar_that_is_not_known_yet_is_a_gap_at_last() -> None:
    walk = GapFill(BARS, make_candle(4), make_candle(7, closed=False), 0)

    walk.take(bars(4, 5), last=True)

    assert told(walk) == [5, (iso(bar_ms(5)), iso(bar_ms(7)))]


def test_a_gap_may_be_all_there_is() -> None:
    walk = GapFill(BARS, make_candle(4), make_candle(7, closed=False), 0)

    walk.take(bars(4), last=True)

    assert told(walk) == [(iso(bar_ms(4)), iso(bar_ms(7)))]


def test_bars_touch_where_one_ends_as_the_other_begins() -> None:
    four, five = make_candle(4), make_candle(5, closed=False)

    assert BARS.touch(four, five)
    assert BARS.touch(five, make_candle(5))
    # What it was at its end is not known.
    assert not BARS.touch(make_candle(4, closed=False), five)
    assert not BARS.touch(four, make_candle(6))


@pytest.mark.parametrize(
    ("topic", "days", "follows"),
    [
        ("candle1W", 7, True),
        ("candle604800s", 7, True),
        ("candle1M", 27, False),
        ("candle1M", 28, True),
        ("mark-price-candle3Mutc", 92, True),
        ("candle1Y", 365, True),
        ("candle2D", 2, True),
        ("candle6H", 0.25, True),
        ("candle1Dutc", 2, False),
        ("candle1s", 1 / 86_400, True),
    ],
)
def test_a_bar_is_as_long_as_its_name_says(
    topic: str, days: float, follows: bool
) -> None:
    series = CandleSeries(NAME, "spot", topic)

    assert series.follows(0, round(days * 86_400_000)) is follows


@pytest.mark.parametrize("wrong", ["hello", [None], [make_candle(1)]])
def test_a_past_of_anything_else_is_refused_where_it_was_asked(wrong: Any) -> None:
    class Wrong(Past):
        def trades(self, *args: Any, **keywords: Any) -> Any:
            return wrong

    with pytest.raises(TypeError, match="a past of Trades"):
        GapFill(TradeSeries(NAME, "spot"), None, None, 3).ask(Wrong())
