"""What a script holds as a frame: a book level by level, items field by field."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import OrderBook, Trade
from okex_ws.base.state import NO_CAUSE
from okex_ws.local_exchange import LocalExchange
from okex_ws.model.items import Candle, Gap
from okex_ws.research import to_frame

AT = datetime(2026, 9, 1, 12, 0, 0, 250_000, tzinfo=timezone.utc)
BOOK = OrderBook((("100.1", "2", "3"), ("100.0", "1", "1")), (("100.2", "4", "2"),))
TRADE = Trade(
    "BTC-USDT",
    "7",
    "6",
    2,
    Decimal("60000.1"),
    Decimal("0.1234567890123456789"),
    "buy",
    AT,
    AT,
    1,
    False,
    False,
    None,
)


def rows(what: Any, **keywords: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = to_frame(what, **keywords).table.to_pylist()
    return found


def test_a_book_has_a_row_for_each_level() -> None:
    assert rows(BOOK) == [
        {"side": "bid", "level": 1, "price": 100.1, "size": 2.0, "orders": 3},
        {"side": "bid", "level": 2, "price": 100.0, "size": 1.0, "orders": 1},
        {"side": "ask", "level": 1, "price": 100.2, "size": 4.0, "orders": 2},
    ]
    assert rows(OrderBook()) == []


def test_a_book_with_rpi_says_what_is_not() -> None:
    book = OrderBook((("100", "5", "2", "9"),), (), rpi=True)

    assert rows(book, exact=True) == [
        {
            "side": "bid",
            "level": 1,
            "price": Decimal(100),
            "size": Decimal(5),
            "orders": 9,
            "not_rpi": Decimal(2),
        }
    ]


def test_an_item_has_a_column_for_each_field() -> None:
    (row,) = rows([TRADE])

    assert list(row) == [field.name for field in fields(Trade)]
    assert (row["id"], row["count"], row["price"], row["side"]) == (
        "7",
        2,
        60000.1,
        "buy",
    )
    assert (row["timestamp"], row["replayed"], row["rpi"]) == (AT, False, None)


def test_numbers_are_exact_or_counted() -> None:
    assert to_frame([TRADE, replace(TRADE, size=Decimal("0.5"))]).inexact == 1
    with pytest.raises(ValueError, match="would cause data loss"):
        to_frame([TRADE], exact=True)  # 19 digits after the point
    (row,) = rows([replace(TRADE, size=Decimal("0.5"))], exact=True)
    assert row["size"] == Decimal("0.5")


def test_what_is_live_is_a_frame(okx_is_local: LocalExchange) -> None:
    from okex_ws import WSSubscription

    with WSSubscription("BTC-USDT", channels=["depth", "trade", "candle1m"]) as okx:
        okx.wait_live(timeout=10)
        items = okx.updates(latest=False, timeout=10)
        while not (okx.trades and okx.candles):
            next(items)
        book, trades, candles = okx.book, okx.trades, okx.candles
    assert book is not None

    assert len(rows(book)) == len(book.bids) + len(book.asks)
    assert [row["id"] for row in rows(trades)] == [each.id for each in trades]
    assert list(rows(candles)[0]) == [field.name for field in fields(Candle)]


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        ([], ValueError, "got none"),
        ([TRADE, BOOK], ValueError, "got OrderBook, Trade"),
        ([Gap("trades", "1", "2", NO_CAUSE)], TypeError, "not of Gap"),
        ([5], TypeError, "not of int"),
        (5, TypeError, "not iterable"),
    ],
)
def test_what_is_no_book_and_no_items_is_refused(
    what: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        to_frame(what)
