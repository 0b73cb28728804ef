"""A book merges as the exchange does, and a book says what an order would meet."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.model.book import MAX_LEVELS, OrderBook, Side, Sweep
from tests.support.book_rows import (
    EACH_BAD_ROW,
    EACH_VECTOR,
    HIGH,
    LOW,
    LOW_AGAIN,
    MIDDLE,
    Change,
    ReferenceBook,
    book_sum,
    messages,
    rows,
    wide_side,
)
from tests.support.decimal_contexts import HOSTILE

# --- The checksum ---------------------------------------------------------------------


@EACH_VECTOR
def test_the_checksum_of_published_books(bids: Side, asks: Side, checksum: int) -> None:
    assert OrderBook(bids, asks).checksum() == checksum
    assert book_sum(bids, asks) == checksum


def test_order_counts_are_not_in_the_checksum() -> None:
    book = OrderBook(rows("3366.1:7:0:4"), rows("3366.8:9:1", "3368:8:0:2", "3372:8"))
    assert book.checksum() == 831078360


def test_only_the_top_25_of_each_side_are_in_the_checksum() -> None:
    book = OrderBook(wide_side(100, -1, 30), wide_side(101, 1, 30))
    assert book.checksum() == book.top(25).checksum() != book.top(24).checksum()


@pytest.mark.parametrize("lengths", [(30, 3), (3, 30), (25, 0), (0, 26), (25, 24)])
def test_the_longer_side_goes_on_alone(lengths: tuple[int, int]) -> None:
    bids, asks = wide_side(100, -1, lengths[0]), wide_side(101, 1, lengths[1])
    assert OrderBook(bids, asks).checksum() == book_sum(bids, asks)


def test_zeros_at_the_end_of_a_number_are_in_the_checksum() -> None:
    short, long = OrderBook(rows("124:1"), ()), OrderBook(rows("124.0:1"), ())
    assert short.checksum() != long.checksum()


# --- Merging ------------------------------------------------------------------------


def test_a_partial_replaces_the_whole_book() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("partial", rows("7:2"), []) == OrderBook(rows("7:2"))
    assert book.apply("snapshot", [], rows("12:2")) == OrderBook((), rows("12:2"))


def test_prices_are_one_price_when_they_are_one_number() -> None:
    book = OrderBook(rows("9.0:1", "8:1"), rows("11:1"))
    book = book.apply("update", rows("9:5"), rows("11.00:0"))
    assert book == OrderBook(rows("9:5", "8:1"), ())


@pytest.mark.parametrize("zero", ["0", "0.0", "0.00000000", "0e5", ".0"])
def test_a_zero_size_deletes_however_it_is_written(zero: str) -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("update", rows(f"9:{zero}"), []).bids == rows("8:1")


def test_deleting_a_price_that_is_not_held_changes_nothing() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("update", rows("8.5:0"), rows("12:0")) == book
    assert book.apply("update", rows("0:0"), rows("0:0")) == book
    assert OrderBook().apply("update", rows("8.5:0"), ()) == OrderBook()


def test_an_empty_update_changes_nothing() -> None:
    book = OrderBook(rows("9:1"), rows("11:1"))
    assert book.apply("update", [], []) == book


def test_the_last_row_of_a_price_counts() -> None:
    book = OrderBook().apply("update", rows("9:1", "9.0:2", "8:1", "8:0"), ())
    assert book == OrderBook(rows("9.0:2"))


def test_a_row_has_three_fields_or_four_and_keeps_them() -> None:
    book = OrderBook().apply("partial", rows("9:1:4"), rows("11:1:0:4"))
    assert book == OrderBook((("9", "1", "4"),), (("11", "1", "0", "4"),))
    book = book.apply("update", rows("9:2:0:7"), rows("11:2:7"))
    assert book == OrderBook((("9", "2", "0", "7"),), (("11", "2", "7"),))


def test_rows_may_come_in_any_kind_of_iterable() -> None:
    book = OrderBook().apply("partial", iter(rows("9:1")), map(list, rows("11:1")))
    assert book == OrderBook(rows("9:1"), rows("11:1"))


def test_a_version_stays_what_it_was() -> None:
    book = OrderBook(rows("9:1"), rows("11:1"))
    book.apply("update", rows("9:0", "10:3"), rows("11:7"))
    assert book == OrderBook(rows("9:1"), rows("11:1"))


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="'partial', 'snapshot' or 'update'"):
        OrderBook().apply("delete", [], [])


def test_two_prices_that_share_a_float_stay_two() -> None:
    assert float(LOW) == float(MIDDLE) == float(HIGH)
    best_first = rows(f"{LOW}:1", f"{MIDDLE}:2", f"{HIGH}:3", "0.2:1")
    for order in itertools.permutations(best_first):
        book = OrderBook().apply("partial", order, order)
        assert book.asks == best_first
        assert book.bids == best_first[::-1]


def test_a_price_with_more_zeros_is_the_same_price() -> None:
    book = OrderBook().apply("partial", [], rows(f"{LOW}:1"))
    assert book.apply("update", [], rows(f"{LOW_AGAIN}:0")) == OrderBook()
    assert book.apply("update", [], rows(f"{LOW_AGAIN}:5")).asks == rows(
        f"{LOW_AGAIN}:5"
    )


@pytest.mark.parametrize("gone", [LOW, MIDDLE, HIGH])
def test_one_of_the_prices_that_share_a_float_is_replaced_or_deleted_alone(
    gone: str,
) -> None:
    held = (LOW, MIDDLE, HIGH)
    all_three = rows(*(f"{price}:1" for price in held))
    book = OrderBook().apply("partial", all_three, all_three)
    # In other characters than those that are held.
    same = gone + "0"

    without = book.apply("update", rows(f"{same}:0"), rows(f"{same}:0"))
    left = rows(*(f"{price}:1" for price in held if price != gone))
    assert (without.bids, without.asks) == (left[::-1], left)

    larger = book.apply("update", rows(f"{same}:7"), rows(f"{same}:7"))
    now = rows(*(f"{same}:7" if price == gone else f"{price}:1" for price in held))
    assert (larger.bids, larger.asks) == (now[::-1], now)


# --- What is no level ---------------------------------------------------------------


@EACH_BAD_ROW
def test_a_level_that_is_none_is_a_value_error_of_apply(row: Any, why: str) -> None:
    both: list[Any] = [([row], []), ([], [row])]
    for sides in both:
        for action in ("partial", "update"):
            with pytest.raises(ValueError, match=re.escape(why)):
                OrderBook().apply(action, *sides)


# --- Books of spreads ---------------------------------------------------------------

SPREAD = OrderBook(
    rows("0.1:2", "0:1", "-0.1:3"), (("0.2", "1", "1"), ("0.3", "4", "2"))
)


def test_prices_below_zero_are_merged_in_their_order() -> None:
    book = SPREAD.apply("update", rows("0.1:0", "-0.05:7", "-1:1"), rows("0.1:2"))

    assert [row[0] for row in book.bids] == ["0", "-0.05", "-0.1", "-1"]
    assert [row[0] for row in book.asks] == ["0.1", "0.2", "0.3"]
    assert book.apply("update", rows("-0.0:0", "-0.050:1"), ()).bids[:2] == rows(
        *("-0.050:1", "-0.1:3")
    )


@pytest.mark.parametrize(
    ("bid", "ask", "mid", "spread", "crossed"),
    [
        ("-10", "-9.5", "-9.75", "0.5", False),
        ("-0.1", "0.1", "0", "0.2", False),
        ("0", "0.1", "0.05", "0.1", False),
        ("-1", "-2", "-1.5", "-1", True),
    ],
)
def test_mid_and_spread_are_exact_below_zero(
    bid: str, ask: str, mid: str, spread: str, crossed: bool
) -> None:
    book = OrderBook(rows(f"{bid}:1"), rows(f"{ask}:1"))
    assert (book.mid, book.spread, book.crossed) == (
        *(Decimal(mid), Decimal(spread), crossed),
    )


def test_a_sweep_goes_through_zero() -> None:
    assert SPREAD.sweep("sell", 6) == (
        *(Decimal("-0.1") / 6, Decimal("-0.1"), Decimal(6), Decimal(0)),
    )
    free = OrderBook(rows("0:2")).sweep("sell", 1)
    assert (free.average, free.worst, free.remaining) == (0, 0, 0)


# --- What a book says ---------------------------------------------------------------


def test_best_is_the_first_row_of_each_side_or_none() -> None:
    assert OrderBook(rows("9:1", "8:1"), ()).best == (rows("9:1")[0], None)
    assert OrderBook((), rows("11:1", "12:1")).best == (None, rows("11:1")[0])
    assert OrderBook().best == (None, None)


def test_top_cuts_each_side() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.top(1) == OrderBook(rows("9:1"), rows("11:1"))
    assert book.top(0) == OrderBook()
    assert book.top(400) == book
    with pytest.raises(ValueError, match="negative"):
        book.top(-1)


@pytest.mark.parametrize(
    ("bid", "ask", "mid", "spread", "crossed"),
    [
        ("60003.1", "60003.2", "60003.15", "0.1", False),
        ("0.00000001", "0.00000003", "0.00000002", "0.00000002", False),
        ("10", "10.0", "10", "0", True),
        ("11", "10", "10.5", "-1", True),
    ],
)
def test_mid_and_spread_are_exact(
    bid: str, ask: str, mid: str, spread: str, crossed: bool
) -> None:
    book = OrderBook(rows(f"{bid}:1"), rows(f"{ask}:1"))
    assert (book.mid, book.spread, book.crossed) == (
        *(Decimal(mid), Decimal(spread), crossed),
    )


@pytest.mark.parametrize(
    "book", [OrderBook(), OrderBook(rows("9:1")), OrderBook((), rows("11:1"))]
)
def test_a_book_with_an_empty_side_has_no_middle_and_is_not_crossed(
    book: OrderBook,
) -> None:
    assert (book.mid, book.spread, book.crossed) == (None, None, False)


BOOK = OrderBook(
    rows("99.5:1.5", "99:2", "90:10"), rows("100.5:0.5", "101:1.5", "110:1")
)


@pytest.mark.parametrize(
    ("side", "size", "average", "worst", "filled", "remaining"),
    [
        ("buy", "0.25", "100.5", "100.5", "0.25", "0"),
        ("buy", "0.5", "100.5", "100.5", "0.5", "0"),
        ("buy", "1", "100.75", "101", "1", "0"),
        ("buy", "2", "100.875", "101", "2", "0"),
        ("buy", "2.5", "102.7", "110", "2.5", "0"),
        ("buy", "3", str(Decimal("311.75") / 3), "110", "3", "0"),
        ("buy", "10", str(Decimal("311.75") / 3), "110", "3", "7"),
        ("sell", "1.5", "99.5", "99.5", "1.5", "0"),
        ("sell", "3.5", str(Decimal("347.25") / Decimal("3.5")), "99", "3.5", "0"),
        (
            "sell",
            "100",
            str(Decimal("1247.25") / Decimal("13.5")),
            "90",
            "13.5",
            "86.5",
        ),
    ],
)
def test_a_sweep_takes_level_after_level(
    side: str, size: str, average: str, worst: str, filled: str, remaining: str
) -> None:
    numbers = map(Decimal, (average, worst, filled, remaining))
    expected = Sweep(*numbers)
    assert BOOK.sweep(side, size) == expected
    assert BOOK.sweep(side, Decimal(size)) == expected
    if size.isdigit():
        assert BOOK.sweep(side, int(size)) == expected


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_sweep_of_an_empty_side_gets_nothing(side: str) -> None:
    assert OrderBook().sweep(side, "2.5") == Sweep(
        None, None, Decimal(0), Decimal("2.5")
    )
    other = OrderBook(rows("9:1"), ()) if side == "buy" else OrderBook((), rows("11:1"))
    assert other.sweep(side, 1) == Sweep(None, None, Decimal(0), Decimal(1))


@pytest.mark.parametrize("side", ["bid", "ask", "bids", "BUY", "", None, 1])
def test_a_sweep_is_a_buy_or_a_sell(side: Any) -> None:
    with pytest.raises(ValueError, match=f"'buy' or 'sell', got {side!r}"):
        BOOK.sweep(side, 1)


@pytest.mark.parametrize(
    "size", ["0", "0.00", "-1", "", "x", "NaN", "Infinity", " 1", 0, -1, "1e999"]
)
def test_the_size_of_a_sweep_is_a_positive_number(size: Any) -> None:
    with pytest.raises(ValueError, match=r"size is (a number|more than 0)"):
        BOOK.sweep("buy", size)


@pytest.mark.parametrize("size", [Decimal("1e100"), Decimal("1e-100"), 10**64])
def test_a_sweep_has_no_more_digits_than_a_book_can_have(size: Any) -> None:
    with pytest.raises(ValueError, match="more digits than any book"):
        BOOK.sweep("buy", size)


@pytest.mark.parametrize(
    "size", [*map(Decimal, ("0", "0E-8", "-0", "-1", "NaN", "sNaN", "Infinity"))]
)
def test_the_decimal_of_a_sweep_is_a_positive_number(size: Decimal) -> None:
    with pytest.raises(ValueError, match=r"size is (a number|more than 0)"):
        BOOK.sweep("buy", size)


@pytest.mark.parametrize("size", [None, True, False, b"1", [], (1,), 1j])
def test_the_size_of_a_sweep_is_a_number(size: Any) -> None:
    with pytest.raises(TypeError, match="size is a number, got"):
        BOOK.sweep("buy", size)


@pytest.mark.parametrize("size", [0.1, 0.5, 1.1, 1e-7, 3.0])
def test_a_float_counts_as_its_shortest_text(size: float) -> None:
    found = BOOK.sweep("buy", size)

    assert found == BOOK.sweep("buy", repr(size))
    assert found.filled + found.remaining == Decimal(repr(size))


@pytest.mark.parametrize("size", [-0.5, 0.0, float("nan"), float("inf")])
def test_a_float_is_a_positive_number_too(size: float) -> None:
    with pytest.raises(ValueError, match=r"size is (a number from 0 up|more than 0)"):
        BOOK.sweep("buy", size)


def test_any_real_number_is_a_size() -> None:
    assert BOOK.sweep("buy", Fraction(1, 2)) == BOOK.sweep("buy", "0.5")


def test_a_decimal_may_have_an_exponent() -> None:
    assert BOOK.sweep("buy", Decimal("1E+1")) == BOOK.sweep("buy", 10)
    assert BOOK.sweep("buy", Decimal("5E-1")) == BOOK.sweep("buy", "0.5")


@pytest.mark.parametrize("size", ["1" + "0" * 40, "3." + "0" * 40 + "1"])
def test_a_sweep_of_any_size_fills_what_there_is(size: str) -> None:
    found = BOOK.sweep("buy", size)

    assert found.filled == 3
    assert Fraction(found.filled) + Fraction(found.remaining) == Fraction(size)


@pytest.mark.parametrize("context", HOSTILE)
def test_what_a_book_says_is_the_same_in_any_decimal_context(context: Context) -> None:
    def said(book: OrderBook) -> list[object]:
        sweeps = [
            book.sweep(side, size)
            for side in ("buy", "sell")
            for size in ("2.25", Decimal("0.333"), 10**30)
        ]
        merged = book.apply("update", [("99.987654321", "7", "1")], [])
        return [book.mid, book.spread, book.crossed, sweeps, merged, merged.mid]

    expected = said(BOOK)
    with localcontext(context):
        found = said(BOOK)

    assert repr(found) == repr(expected)


def test_the_contexts_of_the_library_do_not_come_from_the_default_one() -> None:
    """A script may change `decimal.DefaultContext` before it imports the library."""
    program = """
import decimal
decimal.DefaultContext.prec = 1
decimal.DefaultContext.Emax = 3
decimal.DefaultContext.traps[decimal.Inexact] = True
decimal.setcontext(decimal.Context())
from okex_ws.model.book import OrderBook
book = OrderBook((("67123.1", "0.123"),), (("67123.2", "0.456"),))
print(book.mid, book.spread, book.sweep("buy", "0.4").average)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == ["67123.15", "0.1", "67123.2"]


swept = st.lists(
    st.tuples(
        st.decimals("0.01", "1000", places=2), st.decimals("0.001", "50", places=3)
    ),
    max_size=12,
    unique_by=lambda level: level[0],
)


@given(swept, st.decimals("0.001", "500", places=3), st.sampled_from(["buy", "sell"]))
def test_a_sweep_agrees_with_fractions(
    levels: list[tuple[Decimal, Decimal]],
    size: Decimal,
    side: Literal["buy", "sell"],
) -> None:
    side_rows = [(str(price), str(amount), "1") for price, amount in levels]
    sides = ([], side_rows) if side == "buy" else (side_rows, [])
    book = OrderBook().apply("partial", *sides)
    left, paid, worst = Fraction(size), Fraction(0), None
    for price, amount in sorted(levels, reverse=side == "sell"):
        taken = min(left, Fraction(amount))
        if taken:
            paid, left, worst = paid + taken * Fraction(price), left - taken, price

    found = book.sweep(side, size)

    assert (found.remaining, found.worst) == (left, worst)
    assert found.filled == Fraction(size) - left
    if worst is None:
        assert found.average is None
    else:
        assert found.average is not None
        error = Fraction(found.average) - paid / Fraction(found.filled)
        assert abs(error) < Fraction(1, 10**20)


# --- Against a book that cannot be wrong --------------------------------------------


@given(messages)
def test_apply_agrees_with_a_dict_sorted_each_time(changes: list[Change]) -> None:
    book, reference = OrderBook(), ReferenceBook()
    for whole, bids, asks in changes:
        book = book.apply("partial" if whole else "update", bids, asks)
        sides = reference.take(whole, bids, asks)
        assert (book.bids, book.asks) == sides
        assert book.checksum() == book_sum(*sides)


def test_a_side_has_no_more_levels_than_any_book() -> None:
    most = [(str(price), "1", "1") for price in range(1, MAX_LEVELS + 1)]

    assert len(OrderBook().apply("snapshot", most, []).bids) == MAX_LEVELS
    with pytest.raises(ValueError, match="5001 levels, of 5000 at the most"):
        OrderBook().apply("snapshot", [*most, ("5001", "1", "1")], [])
