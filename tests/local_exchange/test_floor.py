"""One instrument: a real book that never crosses, whose trades take its liquidity."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from okex_ws.local_exchange import INSTRUMENTS, Instrument
from okex_ws.local_exchange.floor import LEVELS, Floor
from okex_ws.local_exchange.v3 import OWN_FORM, Push

SPOT, OPTION = INSTRUMENTS[0], INSTRUMENTS[-1]


def prices(push: Push, side: str) -> list[Decimal]:
    return [Decimal(row[0]) for row in push.element[side]]


def book(floor: Floor) -> dict[str, dict[int, int]]:
    """Every price of the whole book with its size, in ticks and lots."""
    return {
        name: {price: lots for price, (lots, _) in side.resting.items()}
        for name, side in (("bids", floor._bids), ("asks", floor._asks))
    }


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda i: i.instrument_id)
def test_a_book_never_crosses_and_its_levels_are_sorted(instrument: Instrument) -> None:
    floor = Floor(instrument, 1, OWN_FORM, 0.0)
    for step in range(800):
        floor.step(float(step))
        whole = book(floor)
        if whole["bids"] and whole["asks"]:
            assert max(whole["bids"]) < min(whole["asks"])
        assert floor._bids.prices == sorted(whole["bids"])
        assert floor._asks.prices == sorted(whole["asks"])
        assert all(lots > 0 for side in whole.values() for lots in side.values())


def test_a_liquid_book_keeps_some_hundred_levels() -> None:
    floor = Floor(SPOT, 2, OWN_FORM, 0.0)
    for step in range(3000):
        floor.step(float(step))
        for side in book(floor).values():
            assert LEVELS / 3 < len(side) <= 2 * LEVELS


def test_a_thin_book_has_an_empty_side_at_times_and_recovers() -> None:
    floor = Floor(OPTION, 3, OWN_FORM, 0.0)
    empty = []
    for step in range(5000):
        floor.step(float(step))
        empty.append(not all(book(floor).values()))

    assert any(empty)
    assert not all(empty)


def test_trades_take_what_rests_best_price_first() -> None:
    floor = Floor(SPOT, 4, OWN_FORM, 0.0)
    lot, tick = Decimal(SPOT.lot), Decimal(SPOT.tick)
    seen = 0
    for step in range(2000):
        before = book(floor)
        trades = [push.element for push in floor.step(float(step))]
        if not trades:
            continue
        seen += 1
        side = "asks" if trades[0]["side"] == "buy" else "bids"
        after = book(floor)[side]
        best_first = sorted(before[side], reverse=side == "bids")
        for trade, price in zip(trades, best_first, strict=False):
            lots = Decimal(trade["size"]) / lot
            assert Decimal(trade["price"]) / tick == price
            assert after.get(price, 0) == before[side][price] - lots
    assert seen > 100


def test_the_same_seed_gives_the_same_market_and_another_one_another() -> None:
    def run(seed: int) -> list[dict[str, Any]]:
        floor = Floor(SPOT, seed, OWN_FORM, 0.0)
        return [push.element for step in range(300) for push in floor.step(float(step))]

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_what_is_said_is_the_top_of_the_book() -> None:
    floor = Floor(SPOT, 7, OWN_FORM, 0.0)
    for step in range(200):
        floor.step(float(step))
    changed = {push.channel: push for push in floor.cut(1.0, floor.channels.values())}
    depth5 = changed["spot/depth5:BTC-USDT"]
    ticker = changed["spot/ticker:BTC-USDT"].element
    tick, lot = Decimal(SPOT.tick), Decimal(SPOT.lot)
    whole = book(floor)

    assert prices(depth5, "asks") == [p * tick for p in sorted(whole["asks"])[:5]]
    assert prices(depth5, "bids") == [p * tick for p in sorted(whole["bids"])[:-6:-1]]
    best = depth5.element["bids"][0]
    assert Decimal(best[1]) == whole["bids"][max(whole["bids"])] * lot
    assert all(len(row[0].partition(".")[2]) == 1 for row in depth5.element["asks"])
    assert (ticker["best_bid"], ticker["best_bid_size"]) == tuple(best[:2])
    assert ticker["best_ask"] == depth5.element["asks"][0][0]
    assert ticker["last"] == floor.present("trade").element["price"]
    assert floor.present("depth5") == depth5


def test_nothing_is_said_twice_or_unasked() -> None:
    floor = Floor(SPOT, 7, OWN_FORM, 0.0)

    assert floor.cut(1.0, floor.channels.values()) == []
    for step in range(200):
        floor.step(float(step))
    assert floor.cut(2.0, ()) == []


def test_an_empty_side_is_left_out_of_the_ticker() -> None:
    floor = Floor(OPTION, 3, OWN_FORM, 0.0)
    while floor._asks.prices:
        floor.step(0.0)
    floor.cut(1.0, ())

    assert floor.present("depth5").element["asks"] == []
    assert "best_ask" not in floor.present("ticker").element
    assert "volume_24h" in floor.present("ticker").element


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda i: i.instrument_id)
def test_sizes_of_trades_are_named_as_their_market_names_them(
    instrument: Instrument,
) -> None:
    key = "qty" if instrument.market in ("futures", "option") else "size"

    assert key in Floor(instrument, 0, OWN_FORM, 0.0).present("trade").element


def test_the_trade_before_the_opening_is_an_old_one() -> None:
    trade = Floor(SPOT, 0, OWN_FORM, 7200.0).present("trade").element

    assert trade["timestamp"] == "1970-01-01T01:00:00.000Z"


def test_prices_stay_above_zero() -> None:
    penny = Instrument("spot", "SHIB-USDT", "3", "1")
    floor = Floor(penny, 0, OWN_FORM, 0.0)
    for step in range(2000):
        floor.step(float(step))
        assert all(price > 0 for price in floor._bids.prices)
