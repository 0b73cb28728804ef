"""The past and what was missed come in order; what stays missing is a gap, once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import Candle, ConnectionLost, Gap, RequestRejected, Trade
from okex_ws.base.clock import utc
from okex_ws.base.errors import BackfillFailed
from okex_ws.channels.continuity import KEPT
from okex_ws.channels.convert import iso
from okex_ws.history.backfill import CandleSeries, Series, TradeSeries
from okex_ws.history.gap_join import (
    FIRST_WAIT,
    LONGEST_HOLD,
    MOST_HELD,
    PATIENCE,
    TRIES,
    GapJoin,
)
from okex_ws.history.source import MOST
from tests.support.causes import because, gap_for
from tests.support.fake_history import NAME, Past, bar_ms, make_candle, make_trade
from tests.support.internals import most_kept

LOST = ConnectionLost("https://rest.invalid", "refused")


class Bench:
    """One series, what it asks, and what it tells; time is the test's."""

    def __init__(self, past: int, kind: str = "trades") -> None:
        self.source = Past()
        self.now = 100.0
        self.told: list[Any] = []
        self.bursts: list[bool] = []
        self.errors: list[BackfillFailed] = []
        self.questions: list[tuple[Any, object, float]] = []
        self.present_epoch = 1
        series: Series[Any] = TradeSeries(NAME, "spot")
        self.topic = "trades-all"
        if kind == "bars":
            series, self.topic = CandleSeries(NAME, "spot", "candle60s"), "candle60s"
        self.join: GapJoin[Any] = GapJoin(series, self.topic, NAME, past, self)

    # What it tells its owner.

    def hand_over(self, topic: str, item: Any, burst: bool) -> None:
        assert topic == self.topic
        self.told.append(item)
        self.bursts.append(burst)

    def ask(self, topic: str, question: Any, ticket: object, wait: float) -> None:
        assert topic == self.topic
        self.questions.append((question, ticket, wait))

    def failed(self, error: BackfillFailed) -> None:
        self.errors.append(error)

    def epoch(self, topic: str) -> int:
        return self.present_epoch

    def moment(self) -> datetime:
        return utc(self.now)

    # What happens to it.

    def acknowledge(self) -> None:
        self.join.acknowledged(self.now)

    def live(self, *items: Any) -> None:
        """Live items come: trades by their ids, or as they are."""
        for item in items:
            made = make_trade(item) if isinstance(item, int) else item
            if isinstance(made, Trade):
                self.source.all_trades.append(made)
            self.join.add(made, self.now)

    def missed(self, *numbers: int) -> None:
        """Traded, and never pushed."""
        self.source.all_trades += map(make_trade, numbers)

    def gap(self, cause: str = "a spoiled message") -> None:
        missing = gap_for(self.topic, None, None, because(cause), NAME)
        self.join.gap(missing, self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.join.work(self.now)

    def answer(self, count: int = 1) -> None:
        """The next questions are answered by the source."""
        for _ in range(count):
            question, ticket, _ = self.questions.pop(0)
            try:
                given = question(self.source)
            except Exception as error:
                given = error
            self.join.answer(ticket, given, self.now)

    def fail(self, error: Exception = LOST) -> None:
        _, ticket, _ = self.questions.pop(0)
        self.join.answer(ticket, error, self.now)

    def take(self) -> list[Any]:
        """What was told since the last time: ids, minutes, ends of gaps."""
        told, self.told = self.told, []
        self.bursts.clear()
        return [short(item) for item in told]


def short(item: Any) -> Any:
    if isinstance(item, Gap):
        return item.after, item.before
    if isinstance(item, Candle):
        minute = (round(item.start.timestamp() * 1000) - bar_ms(0)) // 60_000
        return f"{minute}{'' if item.closed else '~'}"
    return int(item.id)


@pytest.fixture
def flowing() -> Bench:
    """Trades without a past, the first of which has come."""
    bench = Bench(0)
    bench.acknowledge()
    bench.live(10)
    assert bench.take() == [10]
    return bench


# --- The start ----------------------------------------------------------------------


def test_without_a_past_items_pass_and_nothing_is_asked() -> None:
    bench = Bench(0)
    bench.acknowledge()

    bench.live(10, 11)

    assert bench.join.settled
    assert bench.bursts == [False, False]
    assert bench.take() == [10, 11]
    assert not bench.questions
    assert bench.join.due == float("inf")


def test_the_past_comes_before_the_first_live_item() -> None:
    bench = Bench(3)
    bench.missed(*range(1, 10))
    bench.acknowledge()

    bench.live(10, 11)
    assert not bench.join.settled
    assert bench.take() == []
    bench.answer()

    assert bench.join.settled
    past, (first, _) = bench.told[:3], bench.told[3:]
    assert [trade.backfilled for trade in (*past, first)] == [True] * 3 + [False]
    assert bench.bursts == [True] * 5
    assert bench.take() == [7, 8, 9, 10, 11]
    bench.live(12)
    assert bench.bursts == [False]
    assert [int(trade.id) for trade in bench.join.items] == [7, 8, 9, 10, 11, 12]


def test_what_is_filled_in_is_of_the_epoch_of_what_comes_behind_it() -> None:
    bench = Bench(2)
    bench.missed(8, 9)
    bench.acknowledge()
    bench.present_epoch = 7

    bench.live(10)
    bench.answer()

    assert [trade.epoch for trade in bench.told] == [0, 0, 0]  # that of the live one


def test_where_nothing_happens_the_past_comes_by_itself() -> None:
    bench = Bench(3)
    bench.missed(*range(1, 10))
    bench.acknowledge()
    assert bench.join.due == bench.now + PATIENCE

    bench.wait(PATIENCE)
    bench.answer()

    assert bench.join.settled
    assert bench.take() == [7, 8, 9]
    assert bench.join.due == float("inf")
    # What was traded since is not known before something comes behind it.
    bench.missed(10)
    bench.live(11)
    assert bench.take() == []
    bench.answer()
    assert bench.take() == [10, 11]


def test_what_comes_while_the_newest_are_asked_for_is_asked_about() -> None:
    bench = Bench(3)
    bench.missed(*range(1, 10))
    bench.acknowledge()
    bench.wait(PATIENCE)

    bench.missed(10)
    bench.live(12)
    bench.answer()  # to a question that is none any more
    assert bench.take() == []
    bench.answer()

    assert bench.take() == [8, 9, 10, 12]
    assert not bench.questions


def test_a_live_item_that_was_fetched_before_it_came_is_dropped() -> None:
    bench = Bench(3)
    bench.missed(*range(1, 10))
    bench.acknowledge()
    bench.wait(PATIENCE)
    bench.answer()
    assert bench.take() == [7, 8, 9]

    bench.join.add(make_trade(9), bench.now)
    bench.live(10)

    assert bench.take() == [10]
    assert bench.join.repeats == 1


def test_where_it_is_the_next_one_nothing_more_is_asked(flowing: Bench) -> None:
    flowing.acknowledge()
    flowing.wait(PATIENCE)
    assert len(flowing.questions) == 1

    flowing.live(11)

    assert flowing.take() == [11]
    flowing.answer()
    assert flowing.take() == []
    assert flowing.join.due == float("inf")


def test_a_past_that_cannot_be_had_is_a_gap_and_is_told_once() -> None:
    bench = Bench(3)
    bench.acknowledge()
    bench.live(10)

    for turn in range(TRIES):
        assert bench.questions[0][2] == (FIRST_WAIT * 2 ** (turn - 1) if turn else 0)
        bench.fail()

    assert bench.join.settled
    assert bench.told[0].cause.text == f"history: {LOST}"
    assert bench.take() == [(None, "10"), 10]
    (error,) = bench.errors
    assert (error.instrument_id, error.channel) == (NAME, "trades-all")
    assert error.__cause__ is LOST
    assert str(error).startswith("trades-all of BTC-USDT: history: ")
    bench.live(11)
    assert bench.take() == [11]


def test_where_nothing_happens_a_failure_settles_and_is_tried_again() -> None:
    bench = Bench(3)
    bench.missed(8, 9)
    bench.acknowledge()
    bench.wait(PATIENCE)

    for _ in range(TRIES):
        bench.fail()

    assert bench.join.settled
    assert bench.take() == []
    assert len(bench.errors) == 1
    bench.missed(7)
    bench.source.all_trades.sort(key=lambda trade: int(trade.id))
    bench.live(10)
    bench.answer()
    assert bench.take() == [7, 8, 9, 10]
    assert len(bench.errors) == 1


@pytest.mark.parametrize(
    "error",
    [ValueError("no such past"), RequestRejected("51001", "no instrument", "/trades")],
)
def test_what_will_not_pass_is_not_asked_again(error: Exception) -> None:
    bench = Bench(3)
    bench.acknowledge()
    bench.live(10)

    bench.fail(error)

    assert bench.take() == [(None, "10"), 10]
    assert not bench.questions


@pytest.mark.parametrize("nonsense", [None, [None], [3], ["a"]])
def test_a_source_that_answers_nonsense_is_a_source_that_failed(nonsense: Any) -> None:
    bench = Bench(3)
    bench.acknowledge()
    bench.live(10)
    _, ticket, _ = bench.questions.pop()

    bench.join.answer(ticket, nonsense, bench.now)

    assert bench.take() == [(None, "10"), 10]
    assert isinstance(bench.errors[0].__cause__, Exception)


def test_so_many_are_kept_as_were_asked_for_and_a_thousand() -> None:
    assert most_kept(Bench(MOST).join) == MOST + KEPT
    assert most_kept(Bench(0).join) == KEPT


# --- Outages ------------------------------------------------------------------------


def test_what_was_missed_comes_before_what_is_next(flowing: Bench) -> None:
    flowing.missed(11, 12)
    flowing.acknowledge()

    flowing.live(13, 14)
    assert flowing.take() == []
    flowing.answer()

    assert [item.backfilled for item in flowing.told] == [True, True, False, False]
    assert flowing.take() == [11, 12, 13, 14]
    assert not flowing.errors


def test_where_no_id_is_between_nothing_is_asked(flowing: Bench) -> None:
    flowing.acknowledge()
    flowing.gap()

    flowing.live(11)

    assert flowing.take() == [11]
    assert not flowing.questions


def test_a_gap_of_the_stream_is_filled_and_not_told(flowing: Bench) -> None:
    flowing.missed(11)
    flowing.gap()

    flowing.live(12)
    flowing.answer()

    assert flowing.take() == [11, 12]


def test_after_an_outage_nobody_waits_for_the_next_trade(flowing: Bench) -> None:
    flowing.missed(11, 12)
    flowing.acknowledge()

    flowing.wait(PATIENCE)
    flowing.answer()

    assert flowing.take() == [11, 12]
    flowing.live(13)
    assert flowing.take() == [13]
    assert not flowing.questions


def test_a_failure_meanwhile_is_no_gap_before_the_next_trade(flowing: Bench) -> None:
    flowing.missed(11, 12)
    flowing.acknowledge()
    flowing.wait(PATIENCE)
    for _ in range(TRIES):
        flowing.fail()

    flowing.live(13)
    flowing.answer()

    assert flowing.take() == [11, 12, 13]
    assert not flowing.errors


def test_a_gap_before_anything_came_stays_one() -> None:
    bench = Bench(0)
    bench.acknowledge()

    bench.gap()
    bench.live(10)

    assert bench.take() == [(None, None), 10]


def test_a_second_outage_during_a_fill_is_filled_after_it(flowing: Bench) -> None:
    flowing.missed(11)
    flowing.acknowledge()
    flowing.live(12, 13)
    flowing.missed(14)
    flowing.acknowledge()
    flowing.live(15)

    flowing.answer()
    assert flowing.take() == [11, 12, 13]
    flowing.live(16)
    flowing.answer()

    assert flowing.take() == [14, 15, 16]
    assert not flowing.questions


def test_outages_with_nothing_between_them_are_one(flowing: Bench) -> None:
    for number in (11, 12, 13):
        flowing.missed(number)
        flowing.acknowledge()
        flowing.gap()
    flowing.live(14)

    flowing.answer()

    assert flowing.take() == [11, 12, 13, 14]
    assert not flowing.questions


def test_an_outage_while_the_newest_are_asked_for_is_seen_to_later() -> None:
    bench = Bench(2)
    bench.missed(8, 9)
    bench.acknowledge()
    bench.wait(PATIENCE)
    bench.acknowledge()
    bench.answer()
    assert bench.take() == [8, 9]
    bench.missed(10)

    bench.wait(PATIENCE)
    bench.answer()

    assert bench.take() == [10]


def test_an_answer_that_comes_twice_or_late_counts_once(flowing: Bench) -> None:
    flowing.missed(11)
    flowing.acknowledge()
    flowing.live(12)
    question, ticket, _ = flowing.questions.pop()
    given = question(flowing.source)

    for _ in range(3):
        flowing.join.answer(ticket, given, flowing.now)

    assert flowing.take() == [11, 12]
    flowing.missed(13)
    flowing.acknowledge()
    flowing.live(14)
    flowing.join.answer(ticket, given, flowing.now)
    assert flowing.take() == []


def test_nothing_is_held_for_ever(flowing: Bench) -> None:
    flowing.missed(11)
    flowing.acknowledge()
    flowing.live(12)
    assert flowing.join.due == flowing.now + LONGEST_HOLD

    flowing.wait(LONGEST_HOLD)

    assert flowing.take() == [("10", "12"), 12]
    assert f"within {LONGEST_HOLD:g} s" in str(flowing.errors[0])
    flowing.answer()  # too late
    flowing.live(13)
    assert flowing.take() == [13]


def test_an_answer_that_is_half_of_it_and_too_late_is_a_gap(flowing: Bench) -> None:
    flowing.missed(11, 12)
    flowing.source.page = 2
    flowing.acknowledge()
    flowing.live(13)
    flowing.now += LONGEST_HOLD

    flowing.answer()

    assert flowing.take() == [("10", "12"), 12, 13]


def test_no_more_are_held_than_there_is_room_for(flowing: Bench) -> None:
    flowing.missed(11)
    flowing.acknowledge()

    flowing.live(*range(12, 12 + MOST_HELD - 1))
    assert flowing.take() == []
    flowing.live(12 + MOST_HELD - 1)

    assert flowing.take() == [("10", "12"), *range(12, 12 + MOST_HELD)]
    assert "more than 10000 came" in str(flowing.errors[0])


def test_what_the_servers_do_not_know_yet_is_asked_again(flowing: Bench) -> None:
    flowing.missed(11)
    flowing.acknowledge()
    flowing.source.behind = 1
    flowing.live(13)

    flowing.answer(2)
    assert flowing.take() == []
    flowing.source.behind = 0
    flowing.answer()

    assert flowing.take() == [11, 13]


def test_what_is_next_by_its_number_needs_no_other_proof(flowing: Bench) -> None:
    flowing.missed(11)
    flowing.acknowledge()
    flowing.source.behind = 1
    flowing.live(12)

    flowing.answer()

    assert flowing.take() == [11, 12]


def test_what_they_never_come_to_know_is_a_gap_where_it_is(flowing: Bench) -> None:
    flowing.missed(11, 12)
    flowing.acknowledge()
    flowing.source.behind = 2
    flowing.live(13)

    flowing.answer(TRIES)

    assert flowing.take() == [11, ("11", "13"), 13]
    assert not flowing.questions


def test_ids_that_began_anew_are_a_gap(flowing: Bench) -> None:
    flowing.acknowledge()

    flowing.live(3)

    assert flowing.take() == [("10", "3"), 3]
    assert not flowing.questions


# --- Candles ------------------------------------------------------------------------


@pytest.fixture
def bars() -> Bench:
    """Bars with a past of two, the live one being the ninth."""
    bench = Bench(2, "bars")
    bench.source.all_candles = [make_candle(minute) for minute in range(9)]
    bench.acknowledge()
    bench.live(make_candle(9, closed=False))
    bench.answer()
    assert bench.take() == ["7", "8", "9~"]
    return bench


def kept(bench: Bench) -> list[str]:
    return [short(candle) for candle in bench.join.items]


def test_the_live_bar_is_the_first_live_item(bars: Bench) -> None:
    bars.live(make_candle(9, closed=False, close="99.5"), make_candle(9))
    bars.live(make_candle(10, closed=False))

    assert bars.take() == ["9~", "9", "10~"]
    assert kept(bars) == ["7", "8", "9", "10~"]


def test_an_outage_inside_a_bar_is_none(bars: Bench) -> None:
    bars.acknowledge()
    bars.gap()

    bars.live(make_candle(9, closed=False))

    assert bars.take() == ["9~"]
    assert not bars.questions


def test_the_bar_that_was_open_is_completed(bars: Bench) -> None:
    bars.acknowledge()
    bars.source.all_candles += [make_candle(9, close="98.5"), make_candle(10)]

    bars.live(make_candle(11, closed=False))
    bars.answer()

    assert bars.take() == ["9", "10", "11~"]
    assert kept(bars) == ["7", "8", "9", "10", "11~"]
    assert [str(candle.close) for candle in bars.join.items][2] == "98.5"


def test_one_that_was_closed_needs_no_question(bars: Bench) -> None:
    bars.live(make_candle(9))
    bars.take()
    bars.acknowledge()

    bars.live(make_candle(10, closed=False))

    assert bars.take() == ["10~"]
    assert not bars.questions


def test_a_bar_that_is_missing_is_a_gap(bars: Bench) -> None:
    bars.acknowledge()
    bars.source.all_candles += [make_candle(9)]

    bars.live(make_candle(11, closed=False))
    bars.answer(TRIES)

    assert bars.take() == ["9", (iso(bar_ms(9)), iso(bar_ms(11))), "11~"]


def test_what_was_open_as_a_second_outage_came_may_be_closed_since(bars: Bench) -> None:
    bars.acknowledge()
    bars.source.all_candles += [make_candle(9)]
    bars.source.failing = 1
    bars.live(make_candle(10, closed=False))
    bars.acknowledge()
    bars.source.all_candles += [make_candle(10)]
    bars.live(make_candle(11, closed=False))

    bars.answer(3)

    # The ninth once, and the tenth as it was and as it ended.
    assert bars.take() == ["9", "10~", "10", "11~"]
    assert not bars.questions


def test_late_words_of_a_bar_that_was_completed_are_dropped(bars: Bench) -> None:
    bars.acknowledge()
    bars.source.all_candles += [make_candle(9)]
    bars.wait(PATIENCE)
    bars.answer()
    assert bars.take() == ["9"]

    bars.live(make_candle(9, closed=False), make_candle(9), make_candle(10))

    assert bars.take() == ["10"]
    assert bars.join.repeats == 2


@pytest.mark.parametrize(("code", "status"), [("50011", 429), ("50013", 503)])
def test_too_many_requests_is_no_answer(code: str, status: int) -> None:
    bench = Bench(3)
    bench.missed(7, 8, 9)
    bench.acknowledge()
    bench.live(10)

    bench.fail(RequestRejected(code, "busy", "/trades", status))
    bench.answer()

    assert bench.take() == [7, 8, 9, 10]
    assert not bench.errors


def test_nothing_waits_longer_for_several_holes_than_for_one(flowing: Bench) -> None:
    came: dict[str, float] = {}
    for turn in range(100):
        flowing.wait(5.0)
        flowing.gap()
        flowing.live(100 + 2 * turn)
        came[str(100 + 2 * turn)] = flowing.now
        told = {item.id for item in flowing.told if isinstance(item, Trade)}
        late = [at for number, at in came.items() if number not in told]
        assert all(flowing.now - at <= LONGEST_HOLD for at in late)


def test_ids_that_are_no_numbers_do_not_show_that_nothing_is_missing() -> None:
    bench = Bench(0)
    bench.live(replace(make_trade(1), id="a"))
    bench.gap("lost")
    bench.live(replace(make_trade(1), id="b"))

    assert any(isinstance(item, Gap) for item in bench.told)


def test_the_cause_is_not_a_failure_that_passed(flowing: Bench) -> None:
    flowing.missed(11, 12)
    flowing.source.kept = 1
    flowing.gap("lost")
    flowing.live(20)
    flowing.fail()

    while flowing.questions:
        flowing.answer()

    assert "refused" not in str(flowing.errors[0])


def test_it_is_settled_once_all_of_it_was_handed_over() -> None:
    bench = Bench(3)
    settled: list[bool] = []
    bench.hand_over = lambda *told: settled.append(bench.join.settled)  # type: ignore[method-assign]
    bench.missed(7, 8, 9)
    bench.acknowledge()
    bench.live(10)

    bench.answer()

    assert settled == [False] * 4
    assert bench.join.settled


def test_what_is_missing_is_told_to_who_comes_later_too(flowing: Bench) -> None:
    flowing.live(11)
    flowing.missed(12, 13)
    flowing.gap()
    flowing.live(14, 15)
    flowing.fail(ValueError("never"))
    flowing.gap()

    told = [short(item) for item in flowing.join.told()]

    assert told == [10, 11, ("11", "14"), 14, 15]


def test_what_waited_long_enough_behind_another_hole_is_not_asked_for(
    flowing: Bench,
) -> None:
    flowing.missed(11)
    flowing.acknowledge()
    flowing.live(12)
    flowing.missed(13)
    flowing.gap()
    flowing.live(14)
    asked = len(flowing.questions)

    flowing.wait(LONGEST_HOLD)

    assert flowing.take() == [("10", "12"), 12, ("12", "14"), 14]
    assert len(flowing.questions) == asked
    assert len(flowing.errors) == 2


def test_a_past_that_fails_before_and_after_the_first_item_is_told_once() -> None:
    bench = Bench(3)
    bench.acknowledge()
    bench.wait(PATIENCE)
    bench.fail(ValueError("no such past"))
    bench.live(10)
    bench.fail(ValueError("no such past"))

    assert bench.take() == [(None, "10"), 10]
    assert len(bench.errors) == 1


def test_one_that_waits_and_was_filled_in_meanwhile_comes_once(flowing: Bench) -> None:
    flowing.missed(11, 12)
    flowing.acknowledge()
    flowing.live(13)
    flowing.join.add(make_trade(12), flowing.now)  # late, and out of order

    flowing.answer()

    assert flowing.take() == [11, 12, 13]
    assert flowing.join.repeats == 1


def test_of_what_was_filled_in_only_so_much_is_remembered(
    flowing: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("okex_ws.history.gap_join._MOST_KNOWN", 1)
    flowing.missed(11, 12)
    flowing.acknowledge()
    flowing.live(13)
    flowing.answer()
    assert flowing.take() == [11, 12, 13]

    flowing.live(12, 11)

    assert flowing.take() == [11]


def test_a_gap_with_nothing_behind_it_is_told_to_who_comes_later_too() -> None:
    bench = Bench(0)
    bench.acknowledge()
    bench.gap()

    assert [short(item) for item in bench.join.told()] == [(None, None)]


def test_gaps_are_kept_as_long_as_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("okex_ws.history.gap_join.KEPT", 2)
    bench = Bench(0)
    bench.live(10)
    for number in (12, 14, 16):
        bench.missed(number - 1)
        bench.gap()
        bench.live(number)
        bench.fail(ValueError("no such past"))

    told = [short(item) for item in bench.join.told()]

    assert told == [("12", "14"), 14, ("14", "16"), 16]


# --- Ids that begin anew ------------------------------------------------------------


def other(number: int) -> Trade:
    """Another trade under that id."""
    return replace(make_trade(number), price=Decimal(7))


def test_another_trade_under_the_id_of_a_filled_in_one_is_delivered(
    flowing: Bench,
) -> None:
    flowing.missed(11)
    flowing.gap()
    flowing.live(12)
    flowing.answer()
    assert flowing.take() == [11, 12]

    flowing.live(make_trade(11), other(11))

    assert flowing.take() == [11]
    assert flowing.join.repeats == 1


def test_another_trade_under_the_newest_id_does_not_fill_a_gap(flowing: Bench) -> None:
    flowing.gap("the ids begin anew")
    flowing.live(other(10))

    assert flowing.take() == [("10", "10"), 10]


def test_ids_that_reached_the_same_numbers_again_have_a_gap(flowing: Bench) -> None:
    """The past has other trades at both ends: nothing shows what was missed."""
    flowing.source.all_trades = [other(number) for number in range(1, 13)]
    flowing.acknowledge()
    flowing.live(other(13))
    flowing.answer()

    assert flowing.take() == [("10", "10"), 10, 11, 12, 13]


def test_a_past_that_does_not_know_the_new_ids_yet_is_not_joined(
    flowing: Bench,
) -> None:
    old = [make_trade(number) for number in range(1, 14)]
    flowing.acknowledge()
    flowing.live(other(13))
    flowing.source.all_trades = old
    for _ in range(TRIES):
        flowing.answer()

    assert flowing.take() == [11, 12, ("12", "13"), 13]


def test_a_gap_is_told_where_it_was_though_ids_come_twice(flowing: Bench) -> None:
    flowing.live(11, 12)
    flowing.gap()
    flowing.live(other(11))

    told = [short(item) for item in flowing.join.told()]

    assert told == [10, 11, 12, ("12", "11"), 11]


# --- The last word on a bar ---------------------------------------------------------


def test_the_last_word_on_a_bar_replaces_it_where_it_is_kept(bars: Bench) -> None:
    bars.live(make_candle(9, closed=False), make_candle(10, closed=False))
    bars.live(make_candle(11, closed=False))
    bars.take()

    bars.live(make_candle(10))

    assert bars.take() == ["10"]
    assert [short(bar) for bar in bars.join.items][-3:] == ["9~", "10", "11~"]


def test_the_last_word_on_a_bar_fills_the_hole_after_it(bars: Bench) -> None:
    bars.live(make_candle(9), make_candle(10, closed=False))
    bars.take()
    bars.acknowledge()
    bars.live(make_candle(10, closed=False), make_candle(12, closed=False))
    bars.live(make_candle(11))

    assert bars.take() == ["10~", "12~", "11"]
    assert [short(bar) for bar in bars.join.items][-3:] == ["10~", "11", "12~"]


def test_the_last_word_on_the_bar_before_a_hole_is_told_at_once(bars: Bench) -> None:
    bars.live(make_candle(9), make_candle(10, closed=False))
    bars.take()
    bars.acknowledge()
    bars.live(make_candle(13, closed=False))

    bars.live(make_candle(10))

    assert bars.take() == ["10"]


def test_the_last_word_on_the_bar_before_a_hole_is_told_once(bars: Bench) -> None:
    """It comes while the hole behind that bar is being filled."""
    bars.live(make_candle(9), make_candle(10, closed=False))
    bars.acknowledge()
    bars.live(make_candle(13, closed=False), make_candle(10))
    bars.take()

    bars.source.all_candles += [make_candle(minute) for minute in (9, 10, 11, 12)]
    bars.answer()

    assert bars.take() == ["11", "12", "13~"]


def test_the_last_word_on_a_held_bar_takes_its_place(bars: Bench) -> None:
    bars.live(make_candle(9))
    bars.take()
    bars.acknowledge()
    bars.live(make_candle(12, closed=False), make_candle(13, closed=False))
    bars.live(make_candle(12))
    assert bars.take() == []

    bars.source.all_candles += [make_candle(minute) for minute in (9, 10, 11)]
    bars.answer()

    assert bars.take() == ["10", "11", "12", "13~"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(ValueError("never"), "history"), (ImportError("no httpx"), "package")],
)
def test_a_gap_says_whether_a_package_was_missing(
    flowing: Bench, error: Exception, code: str
) -> None:
    flowing.gap()
    flowing.live(14)
    flowing.fail(error)

    (gap,) = (item for item in flowing.told if isinstance(item, Gap))
    assert gap.cause.code == code
