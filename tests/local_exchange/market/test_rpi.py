"""Retail price improvement beside the book of one instrument of the local exchange."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import OrderBook
from okex_ws.local_exchange import Instrument
from okex_ws.local_exchange.market.instrument_market import InstrumentMarket, TopicValue
from okex_ws.local_exchange.market.rpi import MOST
from okex_ws.local_exchange.wire.values import Change, Deal, Period

SPOT = Instrument("spot", "BTC-USDT", "60000.0", "0.1", "0.0001")
EVENT = Instrument("events", "BTC-ABOVE-DAILY-310224-1600-65000", "0.50")
THIN = Instrument("option", "BTC-USD-301227-60000-C", "0.0500", "0.0005", thin=True)
STEPS = 3000


class Market:
    """The market of an instrument, and what it has published so far."""

    def __init__(self, instrument: Instrument = SPOT, seed: int = 4) -> None:
        self.instrument_market = InstrumentMarket(instrument, seed, 0.0)
        self.said: list[TopicValue] = []
        for topic in ("book", "book rpi"):
            self.instrument_market.present(topic, 0.0)

    def step(self, at: float) -> None:
        topics = ("book", "book rpi")
        self.said += self.instrument_market.step(at, topics)
        self.said += self.instrument_market.sample(at, topics)

    def book(self, topic: str) -> OrderBook:
        whole: Change = self.instrument_market.present(topic, 0.0)
        return OrderBook(*map(_side, (whole.bids, whole.asks)), topic == "book rpi")

    def of(self, topic: str) -> list[Any]:
        return [value for each, value in self.said if each == topic]


def _side(rows: Iterable[Any]) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, rows))


def test_the_book_without_rpi_is_the_book_of_every_other_channel() -> None:
    market = Market()
    for step in range(STEPS):
        market.step(float(step))
        if step % 50 == 0:
            ours, theirs = market.book("book rpi").takeable(), market.book("book")
            for mine, other in ((ours.bids, theirs.bids), (ours.asks, theirs.asks)):
                assert [row[:2] for row in mine] == [row[:2] for row in other]


def test_it_is_at_times_between_the_best_prices_and_never_crosses() -> None:
    market, better = Market(), 0
    for step in range(STEPS):
        market.step(float(step))
        book = market.book("book rpi")
        assert not book.takeable(rpi=True).crossed
        bid, ask = book.best
        retail = book.takeable(rpi=True).best
        assert bid
        assert ask
        better += retail != (book.bids[0], book.asks[0]) or retail[0][0] != bid[0]
        bought = [row for row in book.bids if row[1] != row[2]]
        assert len(bought) <= MOST
    assert better > 100


def test_the_changes_add_up_to_the_book() -> None:
    market = Market()
    book = market.book("book rpi")
    for step in range(STEPS):
        market.step(float(step))
    seq = None
    for change in market.of("book rpi"):
        assert seq in (None, change.prev_seq)
        book, seq = book.apply("update", *_full(change)), change.seq
    whole = market.book("book rpi")
    assert book == whole


def _full(change: Change) -> tuple[Any, Any]:
    # What is gone has three fields until it is written in v5's form.
    return tuple(
        [(*row[:2], "0", row[-1]) if len(row) == 3 else row for row in side]
        for side in (change.bids, change.asks)
    )


def test_trades_of_it_say_so_and_have_ids_among_the_others() -> None:
    market = Market()
    for step in range(STEPS):
        market.step(float(step))
    single: list[Deal] = market.of("trade")
    assert [each.id for each in single] == list(
        range(single[0].id, single[0].id + len(single))
    )
    for topic in ("trade", "trades"):
        kinds = [each.rpi for each in market.of(topic)]
        assert 0 < sum(kinds) < len(kinds) / 2
    past = market.instrument_market.trades_before(None, len(single))
    assert past == single[::-1]


def test_a_retail_order_takes_the_best_price_there_is() -> None:
    market = Market()
    for step in range(STEPS):
        before, count = market.book("book rpi"), len(market.said)
        market.step(float(step))
        for topic, value in market.said[count:]:
            if topic == "trades" and value.rpi:
                bid, ask = before.best
                assert bid
                assert ask
                price = Decimal(value.price)
                inside = Decimal(bid[0]) - 1 <= price <= Decimal(ask[0]) + 1
                assert inside


@pytest.mark.parametrize("instrument", [EVENT, THIN], ids=["event", "thin"])
def test_event_contracts_and_thin_instruments_have_none(instrument: Instrument) -> None:
    market = Market(instrument)
    for step in range(STEPS):
        market.step(float(step))

    assert not any(each.rpi for each in market.of("trades"))
    rows = (*market.book("book rpi").bids, *market.book("book rpi").asks)
    assert all(row[1] == row[2] for row in rows)


def test_an_idle_book_with_rpi_is_not_repeated() -> None:
    market = Market()
    found = [
        topic
        for at in (0.0, 70.0, 140.0)
        for topic, _ in market.instrument_market.idle(at, at)
    ]

    assert "book" in found
    assert "book rpi" not in found


def test_an_event_contract_has_prices_between_0_and_1() -> None:
    market = Market(EVENT)
    for step in range(STEPS):
        market.step(float(step))
    candles = market.instrument_market.candles(Period(60), float(STEPS))
    book = market.book("book")
    prices = [row[0] for row in (*book.bids, *book.asks)]
    prices += [each.price for each in market.of("trade")]
    prices += [
        each.price for each in market.instrument_market.trades_before(None, 5000)
    ]
    prices += [text for each in candles for text in (each.high, each.low)]

    assert {len(price) for price in prices} == {4}
    assert all(0 < Decimal(price) < 1 for price in prices)
