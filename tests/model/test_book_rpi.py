"""A book of `books-rpi`: what every order can take, and what retail users can."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from okex_ws import Depth, OrderBook, PastBook
from okex_ws.base.clock import utc
from okex_ws.model.book import RPI, check_rpi

ASKS = (
    ("67855.2", "0.5", "0", "1"),
    ("67856.0", "1.3", "1.0", "4"),
    ("67860.5", "0.3", "0.0", "1"),
    ("67861.0", "2", "2", "3"),
)
BIDS = (("67854.8", "1.7", "0", "3"), ("67853.0", "0.8", "0.8", "1"))
BOOK = OrderBook(BIDS, ASKS, rpi=True)
PLAIN = OrderBook(BIDS, ASKS)
AT = utc(0)
DEPTH = Depth("BTC-USDT", BIDS, ASKS, AT, AT, None, 5, 1, RPI)


def test_the_best_is_what_every_order_can_take() -> None:
    assert BOOK.best == (("67853.0", "0.8", "1"), ("67856.0", "1.0", "4"))
    assert (BOOK.mid, BOOK.spread) == (Decimal("67854.5"), Decimal("3.0"))
    assert not BOOK.crossed


def test_with_rpi_the_best_is_what_a_retail_order_can_take() -> None:
    all_of_it = BOOK.takeable(rpi=True)

    assert all_of_it == PLAIN
    assert all_of_it.best == (BIDS[0], ASKS[0])
    assert (all_of_it.mid, all_of_it.spread) == (Decimal("67855.0"), Decimal("0.4"))


def test_what_is_takeable_is_a_book_like_any_other() -> None:
    mine = BOOK.takeable()

    assert mine.asks == (("67856.0", "1.0", "4"), ("67861.0", "2", "3"))
    assert mine.takeable() is mine
    assert (mine.mid, mine.best) == (BOOK.mid, BOOK.best)


def test_a_sweep_takes_rpi_only_if_it_is_asked_to() -> None:
    every, retail = BOOK.sweep("buy", 2), BOOK.sweep("buy", 2, rpi=True)

    assert (every.average, every.worst) == (Decimal("67858.5"), Decimal("67861.0"))
    assert retail.worst == Decimal("67860.5")
    assert (
        retail.average
        == (
            Decimal("67855.2") * Decimal("0.5")
            + Decimal("67856.0") * Decimal("1.3")
            + Decimal("67860.5") * Decimal("0.2")
        )
        / 2
    )
    assert BOOK.sweep("sell", 5).filled == Decimal("0.8")
    assert BOOK.sweep("sell", 5, rpi=True).filled == Decimal("2.5")


def test_a_side_of_rpi_alone_has_nothing_for_every_order() -> None:
    book = OrderBook(BIDS[:1], ASKS[:1], rpi=True)

    assert book.best == (None, None)
    assert book.mid is book.spread is None
    assert not book.crossed
    assert book.sweep("buy", 1).average is None


@pytest.mark.parametrize("ask", [lambda: PLAIN.sweep("buy", 1, rpi=True)])
def test_rpi_of_a_book_that_has_none_is_a_value_error(ask: Any) -> None:
    with pytest.raises(ValueError, match="channel 'books-rpi'"):
        ask()
    with pytest.raises(ValueError, match="channel 'books-rpi'"):
        PLAIN.takeable(rpi=True)


def test_a_plain_book_takes_its_sizes_as_ever() -> None:
    assert PLAIN.takeable() is PLAIN
    assert PLAIN.mid == Decimal("67855.0")
    assert PLAIN.sweep("buy", "0.5").worst == Decimal("67855.2")


def test_an_update_keeps_and_deletes_by_the_whole_size() -> None:
    changed = BOOK.apply(
        "update",
        [("67854.8", "0", "0", "0")],
        [("67855.2", "0.6", "0", "2"), ("67856.0", "1.3", "1.3", "4")],
    )

    assert changed.rpi
    assert changed.bids == BIDS[1:]
    assert changed.asks[:2] == (
        ("67855.2", "0.6", "0", "2"),
        ("67856.0", "1.3", "1.3", "4"),
    )
    assert changed.top(1).rpi
    assert BOOK.apply("snapshot", BIDS, ASKS) == BOOK


def test_a_depth_and_a_book_of_rest_know_whether_they_have_rpi() -> None:
    ordinary = Depth("BTC-USDT", BIDS, ASKS, AT, AT, None, 5, 1, "depth")

    assert DEPTH.book == BOOK
    assert ordinary.book == PLAIN
    assert PastBook(BIDS, ASKS, 5, AT, True).book == BOOK
    assert PastBook(BIDS, ASKS, 5, AT).book == PLAIN


@pytest.mark.parametrize(
    "row",
    [
        ("1", "0.5", "0.6", "1"),
        ("1", "0", "0.1", "1"),
        ("1", "0.5", "-0.1", "1"),
        ("1", "0.5", "x", "1"),
        ("1", "0.5", "1"),
    ],
)
def test_a_row_has_no_more_without_rpi_than_with_it(row: Any) -> None:
    check_rpi([("1", "0.5", "0.5", "1"), ("2", "0", "0", "0")])

    with pytest.raises(ValueError, match=r"at|number|unpack"):
        check_rpi([row])
