"""The synthetic market moves as its caller says, and the same way each time."""

from __future__ import annotations

import pytest

from okex_ws.local_exchange.market import SyntheticMarket
from okex_ws.local_exchange.v3 import Push

DEPTH5, TRADE = "spot/depth5:BTC-USDT", "spot/trade:BTC-USDT"


def run(market: SyntheticMarket, steps: int, seconds: float) -> list[Push]:
    every = [
        f"{m}/{t}:{i}"
        for m, i in market.instruments
        for t in ("depth5", "trade", "ticker")
    ]
    return [
        push
        for step in range(steps)
        for push in market.advance(seconds, 1000.0 + step * seconds, every)
    ]


def test_the_same_seed_and_steps_give_the_same_market() -> None:
    first, second = SyntheticMarket(1), SyntheticMarket(1)

    assert run(first, 50, 0.05) == run(second, 50, 0.05)
    assert run(SyntheticMarket(2), 50, 0.05) != run(SyntheticMarket(1), 50, 0.05)


def test_best_levels_come_every_interval_at_most() -> None:
    market = SyntheticMarket(0, ["BTC-USDT"], pace=200.0, interval=0.1)
    pushes = [p for p in run(market, 100, 0.05) if p.channel == DEPTH5]

    assert 40 <= len(pushes) <= 50
    assert all(p.element["asks"][0][0] > p.element["bids"][0][0] for p in pushes)


def test_a_quiet_market_pushes_nothing_and_can_wake_up() -> None:
    market = SyntheticMarket(0, pace=0.0)

    assert run(market, 100, 0.1) == []
    market.pace = 50.0
    assert run(market, 20, 0.1)
    market.pace = 0.0
    run(market, 1, 0.1)
    assert run(market, 20, 0.1) == []


def test_a_load_test_can_ask_for_thousands_of_messages() -> None:
    market = SyntheticMarket(0, pace=500.0, interval=0.002)

    assert len(run(market, 4, 0.25)) > 2000


def test_only_what_is_wanted_is_pushed() -> None:
    market = SyntheticMarket(0, pace=100.0)
    pushes = [p for _ in range(20) for p in market.advance(0.1, 0.0, {TRADE})]

    assert {push.channel for push in pushes} == {TRADE}


def test_it_says_when_something_can_happen_next() -> None:
    market = SyntheticMarket(0, pace=4.0, interval=0.1)

    assert market.due() == pytest.approx(0.1)
    market.advance(0.1, 0.0, ())
    market.advance(0.1, 0.0, ())
    assert market.due() == pytest.approx(0.05)


def test_it_knows_its_channels() -> None:
    market = SyntheticMarket(0)

    assert DEPTH5 in market.channels
    assert "spot/depth5:NEO-USDT" not in market.channels
    assert "spot/candle60s:BTC-USDT" not in market.channels
    assert not market.ended
    assert market.busiest == ("spot", "BTC-USDT")
    assert ("futures", "BTC-USD-190517") in market.instruments


def test_what_a_newcomer_gets_is_what_the_others_have() -> None:
    market = SyntheticMarket(0, pace=100.0)
    pushes = [p for p in run(market, 33, 0.07) if p.channel == DEPTH5]

    assert market.present(DEPTH5) == pushes[-1]


@pytest.mark.parametrize("pace", [-1.0, float("inf"), float("nan")])
def test_a_pace_that_cannot_be_is_a_value_error(pace: float) -> None:
    with pytest.raises(ValueError, match="pace"):
        SyntheticMarket(0, pace=pace)


def test_other_wrong_arguments_are_value_errors() -> None:
    with pytest.raises(ValueError, match="interval"):
        SyntheticMarket(0, interval=0.0)
    with pytest.raises(ValueError, match="at least one"):
        SyntheticMarket(0, [])
