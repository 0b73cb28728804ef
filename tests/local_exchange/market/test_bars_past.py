"""The past that is made up: it leads up to the beginning, and is always the same."""

from __future__ import annotations

from okex_ws.local_exchange.market.bars import (
    BARS,
    TRADES,
    Bar,
    Match,
    bars_before,
    trades_before,
)

FIRST = Match(5_000, 600, 3, "buy", 1_700_000_000.0, 90_000)
BAR = Bar(1_700_000_040, 600, 640, 590, 610, 5)


def test_trades_lead_up_to_the_first_by_their_ids() -> None:
    before = trades_before(FIRST, "a name")

    assert len(before) == TRADES
    assert [each.id for each in before] == list(range(4_999, 4_999 - TRADES, -1))
    line = [FIRST, *before]
    assert all(older.at < newer.at for newer, older in zip(line, before, strict=False))
    assert all(each.price > 0 and each.lots > 0 for each in before)
    assert {each.side for each in before} == {"buy", "sell"}


def test_there_is_no_trade_before_the_first_of_all() -> None:
    assert [each.id for each in trades_before(FIRST._replace(id=3), "a")] == [2, 1]


def test_bars_lead_up_to_the_first_without_a_step() -> None:
    before = bars_before(BAR, 60, "a name")

    assert len(before) == BARS
    assert [each.start for each in before] == [
        BAR.start - 60 * ago for ago in range(1, BARS + 1)
    ]
    line = [BAR, *before]
    assert all(
        older.close == newer.open for newer, older in zip(line, before, strict=False)
    )
    for each in before:
        assert 0 < each.low <= min(each.open, each.close)
        assert each.high >= max(each.open, each.close)
        assert each.closed


def test_the_same_name_has_the_same_past_and_another_one_another() -> None:
    assert trades_before(FIRST, "one") == trades_before(FIRST, "one")
    assert bars_before(BAR, 60, "one") == bars_before(BAR, 60, "one")
    assert trades_before(FIRST, "one") != trades_before(FIRST, "two")
    assert bars_before(BAR, 60, "one") != bars_before(BAR, 60, "two")
