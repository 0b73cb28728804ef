"""The past joined to the stream end to end: the local exchange, and its REST interface.

While it trades, drops its clients and fails its callers; what a script was told is
compared to the list that the exchange itself keeps.
"""

from __future__ import annotations

import importlib
import itertools
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    BackfillFailed,
    BookUpdate,
    Candle,
    Feed,
    Gap,
    Reconnect,
    Trade,
    Updates,
    Venue,
    WSSubscription,
)
from okex_ws.base.clock import utc
from okex_ws.local_exchange import LocalExchange
from okex_ws.local_exchange.wire.v5_data import milliseconds
from tests.support.fake_history import check_trades
from tests.support.imports import forget_import
from tests.support.internals import market_of, on_loop_of

NAME, MARKET = "BTC-USDT", "spot"
WAIT = 30.0
SOON = Reconnect(first=0.05, cap=0.1, host_gap=0.0)


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(seed=5, pace=200.0) as running:
        yield running


def truth(exchange: LocalExchange) -> list[Trade]:
    """Every trade that the exchange knows of, oldest first: its own list."""
    market: Any = market_of(exchange)
    instrument_market = market.instrument_market(MARKET, NAME, time.time())
    found = []
    for deal in reversed(
        on_loop_of(exchange, lambda: instrument_market.trades_before(None, 10**6))
    ):
        at = utc(int(milliseconds(deal.at)) / 1000)
        exact, own = (Decimal(deal.price), Decimal(deal.size)), str(deal.id)
        found.append(Trade(NAME, own, own, 1, *exact, deal.side, at, at, 0))
    return found


def drop(exchange: LocalExchange, sub: WSSubscription) -> None:
    """Drop the connection of *sub*, once there is one, and wait until it has noticed.

    On a busy machine the feed may be late in coming back: a drop would drop nothing.
    """

    def losses() -> int:
        return sum(sub.stats().reconnects.values())

    assert exchange.wait_for(lambda: exchange.clients == 1, WAIT)
    sub.wait_live(WAIT)
    before = losses()
    exchange.drop()
    assert exchange.wait_for(lambda: losses() > before, WAIT)


def until(updates: Updates, trades: int) -> list[Any]:
    """What comes until so many trades have."""
    told: list[Any] = []
    left = trades
    for item in updates:
        if isinstance(item, (Trade, Gap)):
            told.append(item)
            left -= isinstance(item, Trade)
        if left <= 0:
            break
    return told


@pytest.mark.parametrize("protocol", ["v5", "v3"])
def test_five_hundred_closed_candles_precede_the_live_one(
    exchange: LocalExchange, protocol: str
) -> None:
    venue = exchange.venue if protocol == "v3" else exchange.venue_v5
    with WSSubscription(
        NAME, MARKET, venue=venue, channels=["candle60s"], history=500
    ) as sub:
        sub.wait_live(WAIT)
        updates = sub.updates(timeout=WAIT)
        told = list(itertools.islice(updates, 501))

    assert all(isinstance(item, Candle) for item in told)
    assert [c.backfilled for c in told] == [True] * 500 + [False]
    assert all(candle.closed for candle in told[:500])
    starts = [candle.start.timestamp() for candle in told]
    assert starts == [starts[0] + 60 * turn for turn in range(501)]
    assert sub.candles[:500] == tuple(told[:500])
    # One opens where the one before it closed: it is one series.
    pairs = itertools.pairwise(told)
    assert all(older.close == newer.open for older, newer in pairs)


@pytest.mark.once
def test_through_outages_and_failures_nothing_is_missing() -> None:
    faults = ["busy", "cut", "repeat", "overlap", "empty", "reorder", "drop"]
    with (
        LocalExchange(seed=7, pace=1500.0, tls=True) as exchange,
        Feed(
            exchange.venue_v5, ssl_context=exchange.ssl_context, reconnect=SOON
        ) as feed,
    ):
        (sub,) = feed.subscribe([NAME], MARKET, ["trades-all"], history=100)
        updates = sub.updates(timeout=WAIT)
        told = until(updates, 150)
        for fault in faults:
            exchange.spoil_rest(fault, path="trades")
            drop(exchange, sub)
            told += until(updates, 60)
        everything = truth(exchange)

    assert check_trades(told, everything) == []
    assert [trade.backfilled for trade in told[:101]] == [True] * 100 + [False]
    assert sum(trade.backfilled for trade in told) > 100


@pytest.mark.slow
def test_ten_thousand_trades_and_five_outages() -> None:
    with (
        LocalExchange(seed=5, pace=4000.0) as exchange,
        Feed(exchange.venue_v5, reconnect=SOON) as feed,
    ):
        (sub,) = feed.subscribe([NAME], MARKET, ["trades-all"], history=300)
        updates = sub.updates(timeout=WAIT, max_queue=100_000)
        told = until(updates, 1500)
        for _ in range(5):
            exchange.spoil_rest("overlap", path="trades")
            drop(exchange, sub)
            told += until(updates, 2000)
        everything = truth(exchange)
        assert sub.stats().reconnects["ConnectionLost"] >= 5

    assert check_trades(told, everything) == []
    assert len(told) >= 10_000
    assert sum(trade.backfilled for trade in told) > 300


def test_a_book_without_its_snapshot_is_fetched(exchange: LocalExchange) -> None:
    exchange.spoil("books:BTC-USDT", "no snapshot")
    with WSSubscription(
        NAME,
        MARKET,
        venue=exchange.venue_v5,
        channels=["books", "candle1m"],
        history=0,
    ) as sub:
        sub.wait_live(WAIT)
        assert any("/books" in str(asked.text) for asked in exchange.rest_requests)
        exchange.pace = 0.0
        said = exchange.book("books:BTC-USDT")
        for item in sub.updates(timeout=WAIT):
            if isinstance(item, BookUpdate) and item.seq == said.seq:
                break
        assert sub.book == said.book


def test_closing_does_not_wait_for_an_answer(exchange: LocalExchange) -> None:
    exchange.spoil_rest("slow", None, path="trades", seconds=600.0)
    errors: list[Exception] = []
    sub = WSSubscription(
        NAME,
        MARKET,
        venue=exchange.venue_v5,
        channels=["trades-all"],
        history=100,
        on_error=errors.append,
    )
    asked = lambda: any("trades" in str(a.text) for a in exchange.rest_requests)  # noqa: E731
    assert exchange.wait_for(asked, WAIT)

    assert sub.close(WAIT)

    assert not [error for error in errors if isinstance(error, BackfillFailed)]
    assert sub.trades == ()


def test_a_past_that_is_refused_is_a_gap(exchange: LocalExchange) -> None:
    refusal = '{"code":"51001","msg":"no such instrument","data":[]}'
    exchange.respond_rest(200, times=None, path="trades", body=refusal)
    errors: list[Exception] = []
    with WSSubscription(
        NAME,
        MARKET,
        venue=exchange.venue_v5,
        channels=["trades-all"],
        history=100,
        on_error=errors.append,
    ) as sub:
        sub.wait_live(WAIT)
        told = until(sub.updates(timeout=WAIT), 20)

    assert "51001" in str(next(e for e in errors if isinstance(e, BackfillFailed)))
    assert all(not trade.backfilled for trade in told if isinstance(trade, Trade))


def test_without_the_extra_the_constructor_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    venue = Venue("here", "v5", ("ws://127.0.0.1:9/ws/v5",), rest="http://127.0.0.1:9")
    forget_import(monkeypatch, "okex_ws.rest")
    monkeypatch.setitem(sys.modules, "httpx", None)

    with pytest.raises(ImportError, match=r"okex-ws\[history\]"):
        WSSubscription(NAME, MARKET, venue=venue, channels=["candle1m"], history=1)

    monkeypatch.undo()
    importlib.import_module("okex_ws.rest")
