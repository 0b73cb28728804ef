"""The rows of a book: groups of prices, totals, and what is not known to be whole."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws import Level
from okex_ws.cli.screen.rows import BookRow, book_rows, finest_tick, group_size

ASKS: list[Level] = [("60003.2", "2"), ("60003.5", "1.5"), ("60004.1", "0.001")]
BIDS: list[Level] = [("60003.1", "0.5"), ("60003", "1.25"), ("60001.9", "3")]


def told(rows: list[BookRow]) -> list[tuple[str, str, str]]:
    return [(row.price, row.size, row.total) for row in rows]


def test_ungrouped_levels_keep_their_characters() -> None:
    rows = book_rows([("60003.10", "0.50"), ("60003.00", "1")], None, 9, asks=False)

    assert told(rows) == [("60003.10", "0.50", "0.50"), ("60003.00", "1", "1.50")]
    assert not any(row.open for row in rows)


def test_a_group_of_asks_is_rounded_up_and_of_bids_down() -> None:
    one = Decimal(1)

    assert told(book_rows(ASKS, one, 9, asks=True)) == [
        ("60004", "3.5", "3.5"),
        ("60005", "0.001", "3.501"),
    ]
    assert told(book_rows(BIDS, one, 9, asks=False)) == [
        ("60003", "1.75", "1.75"),
        ("60001", "3", "4.75"),
    ]


def test_the_group_in_which_the_book_ends_is_marked() -> None:
    assert [row.open for row in book_rows(ASKS, Decimal(1), 9, asks=True)] == [
        False,
        True,
    ]
    assert [row.open for row in book_rows(ASKS, Decimal(1), 1, asks=True)] == [False]


def test_an_empty_side_has_no_rows() -> None:
    assert book_rows([], Decimal(1), 9, asks=True) == []
    assert book_rows([], None, 9, asks=False) == []


def test_the_tick_is_the_step_of_all_prices_so_far() -> None:
    assert finest_tick(ASKS + BIDS) == Decimal("0.1")
    assert finest_tick([("10.5", "1"), ("12.0", "1")]) == Decimal("1.5")
    assert finest_tick([("10.5", "1"), ("12.0", "1")], Decimal("0.25")) == Decimal(
        "0.25"
    )
    assert finest_tick([("20", "1"), ("30", "1")]) == 10
    assert finest_tick([]) == finest_tick([("0", "1")]) == 1


@pytest.mark.parametrize(
    ("grouping", "size"),
    [(1, "0.2"), (2, "0.5"), (3, "1"), (4, "2"), (5, "5"), (6, "10"), (8, "50")],
)
def test_groups_grow_by_two_five_and_ten(grouping: int, size: str) -> None:
    assert f"{group_size(Decimal('0.1'), grouping):f}" == size
    assert group_size(Decimal("0.1"), 0) is None


PRICES = st.decimals("0.001", "99999", places=3)
SIZES = st.decimals("0.01", "999", places=2)


@given(st.dictionaries(PRICES, SIZES, min_size=1), st.integers(0, 18), st.booleans())
def test_no_size_is_lost_and_no_price_is_better_than_it_was(
    side: dict[Decimal, Decimal], grouping: int, asks: bool
) -> None:
    ordered = sorted(side, reverse=not asks)
    levels: list[Level] = [(f"{price:f}", f"{side[price]:f}") for price in ordered]
    rows = book_rows(levels, group_size(finest_tick(levels), grouping), 999, asks)

    assert rows[-1].depth == sum(side.values())
    first = Decimal(rows[0].price)
    assert first >= ordered[0] if asks else first <= ordered[0]
    prices = [Decimal(row.price) for row in rows]
    assert prices == sorted(set(prices), reverse=not asks)
