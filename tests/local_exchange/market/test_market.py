"""The synthetic market moves as its caller says, and the same way each time."""

from __future__ import annotations

import pytest

from okex_ws.local_exchange import Instrument
from okex_ws.local_exchange.market.market import SyntheticMarket
from okex_ws.local_exchange.wire.values import EncodedPush
from tests.support.internals import instrument_markets_of

DEPTH5, TRADE = "spot/depth5:BTC-USDT", "spot/trade:BTC-USDT"
BOOKS5, TRADES = "books5:BTC-USDT", "trades:BTC-USDT"
MANY = [Instrument("spot", f"T{number:04}-USDT") for number in range(1000)]


def opened(market: SyntheticMarket, *channels: str) -> SyntheticMarket:
    for channel in channels:
        market.present(channel, 1000.0)
    return market


def run(market: SyntheticMarket, steps: int, seconds: float) -> list[EncodedPush]:
    every = [
        f"{m}/{t}:{i}"
        for m, i in market.instruments
        for t in ("depth5", "trade", "ticker")
    ]
    opened(market, *every)
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


def test_both_protocols_say_the_same_of_the_same_moment() -> None:
    market = opened(SyntheticMarket(0, pace=100.0), DEPTH5, BOOKS5, TRADE, TRADES)
    wanted = {DEPTH5, BOOKS5}
    pushes = [
        push
        for step in range(50)
        for push in market.advance(0.1, 1000.0 + step, wanted)
    ]
    v3, v5 = (
        [push.element for push in pushes if push.channel == name]
        for name in (DEPTH5, BOOKS5)
    )

    assert len(v3) == len(v5) > 40
    for old, new in zip(v3, v5, strict=True):
        for side in ("asks", "bids"):
            assert [row[:2] for row in old[side]] == [row[:2] for row in new[side]]
            assert [row[-1] for row in old[side]] == [row[-1] for row in new[side]]


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
    market = opened(SyntheticMarket(0, pace=100.0), TRADE, DEPTH5)
    pushes = [p for _ in range(20) for p in market.advance(0.1, 0.0, {TRADE})]

    assert {push.channel for push in pushes} == {TRADE}


def test_an_instrument_that_nobody_asked_for_costs_nothing() -> None:
    market, name = SyntheticMarket(0, MANY, pace=100.0), "books5:T0007-USDT"
    assert instrument_markets_of(market) == []
    opened(market, name)

    assert len(instrument_markets_of(market)) == 1
    assert list(market.advance(0.2, 0.0, {name}))


@pytest.mark.once
def test_of_many_instruments_only_a_few_move_at_once() -> None:
    market = SyntheticMarket(0, MANY[:80], pace=10.0, interval=0.1)
    wanted = {f"books5:{each.instrument_id}" for each in MANY[:80]}
    opened(market, *sorted(wanted))
    counts = [len(list(market.advance(0.01, 1.0, wanted))) for _ in range(400)]

    assert max(counts) <= 8
    assert sum(counts) > 1000


def test_every_instrument_has_its_turn_once_an_interval() -> None:
    names = [f"bbo-tbt:{each.instrument_id}" for each in MANY[:20]]
    market = opened(SyntheticMarket(0, MANY[:20], pace=10.0), *names)
    instrument_markets = instrument_markets_of(market)
    before = [instrument_market.seq for instrument_market in instrument_markets]
    for _ in range(10):
        list(market.advance(0.1, 1.0, ()))

    assert len(instrument_markets) == 20
    assert all(
        instrument_market.seq > seq
        for instrument_market, seq in zip(instrument_markets, before, strict=True)
    )


def test_it_says_when_something_can_happen_next() -> None:
    market = SyntheticMarket(0, pace=4.0, interval=0.1)

    assert market.due() == pytest.approx(0.1)
    list(market.advance(0.1, 0.0, ()))
    list(market.advance(0.1, 0.0, ()))
    assert market.due() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("channel", "exists"),
    [
        (DEPTH5, True),
        ("spot/candle60s:BTC-USDT", True),
        ("swap/funding_rate:BTC-USD-SWAP", True),
        ("futures/mark_price:BTC-USD-190517", True),
        ("books5:BTC-USD-190517", True),
        ("candle1Dutc:BTC-USDT", True),
        ("funding-rate:BTC-USD-SWAP", True),
        ("mark-price:BTC-USDT", True),
        ("spot/depth5:NEO-USDT", False),
        ("swap/depth5:BTC-USDT", False),
        ("spot/candle61s:BTC-USDT", False),
        ("spot/funding_rate:BTC-USDT", False),
        ("spot/mark_price:BTC-USDT", False),
        ("funding-rate:BTC-USDT", False),
        ("books5:NEO-USDT", False),
        ("books:BTC-USDT", True),
        ("books-l2-tbt:BTC-USD-190517", True),
        ("books50-l2-tbt:BTC-USD-SWAP", True),
        ("spot/depth:BTC-USDT", True),
        ("futures/depth_l2_tbt:BTC-USD-190517", True),
        ("books50:BTC-USDT", False),
        ("spot/depth50:BTC-USDT", False),
        ("books5", False),
        ("", False),
    ],
)
def test_it_knows_its_channels(channel: str, exists: bool) -> None:
    market = SyntheticMarket(0)

    assert (channel in market.channels) is exists
    assert (channel in list(market.channels)) is exists


def test_it_knows_itself() -> None:
    market = SyntheticMarket(0)

    assert not market.ended
    assert market.busiest == ("spot", "BTC-USDT")
    assert ("futures", "BTC-USD-190517") in market.instruments
    assert len(market.channels) == len(list(market.channels))
    assert 5 not in market.channels


@pytest.mark.parametrize("channel", [DEPTH5, BOOKS5, TRADES, "tickers:BTC-USDT"])
def test_what_a_newcomer_gets_is_what_the_others_have(channel: str) -> None:
    market = opened(SyntheticMarket(0, pace=100.0), channel)
    pushes = [p for s in range(30) for p in market.advance(0.07, s, {channel})]

    assert market.present(channel, 99.0) == pushes[-1]


@pytest.mark.parametrize("pace", [-1.0, float("inf"), float("nan")])
def test_a_pace_that_cannot_be_is_a_value_error(pace: float) -> None:
    with pytest.raises(ValueError, match="pace"):
        SyntheticMarket(0, pace=pace)


def test_other_wrong_arguments_are_value_errors() -> None:
    with pytest.raises(ValueError, match="interval"):
        SyntheticMarket(0, interval=0.0)
    with pytest.raises(ValueError, match="at least one"):
        SyntheticMarket(0, [])
