"""One side of a book: sorted prices, and what rests at each."""

from __future__ import annotations

import pytest

from okex_ws.local_exchange.market.side import BookSide


def filled(is_bid: bool) -> BookSide:
    side = BookSide(is_bid)
    for price, lots in ((10, 4), (12, 3), (11, 1), (12, 2)):
        side.add(price, lots)
    return side


@pytest.mark.parametrize(
    ("is_bid", "prices"), [(True, [12, 11, 10]), (False, [10, 11, 12])]
)
def test_the_best_price_comes_first(is_bid: bool, prices: list[int]) -> None:
    side = filled(is_bid)

    assert [level[0] for level in side.top(9)] == prices
    assert [level[0] for level in side.top(2)] == prices[:2]
    assert side.best == prices[0]
    side.shed()
    assert [level[0] for level in side.top(9)] == prices[:2]


def test_orders_at_one_price_add_up() -> None:
    assert filled(is_bid=True).top(1) == [(12, 5, 2)]


def test_an_empty_side_has_no_best() -> None:
    assert BookSide(is_bid=True).best is None
    assert BookSide(is_bid=True).top(5) == []


@pytest.mark.parametrize(
    ("wanted", "taken", "left"),
    [
        (1, (1, 1), [(12, 4, 1)]),
        (4, (4, 1), [(12, 1, 1)]),
        (5, (5, 2), []),
        (9, (5, 2), []),
    ],
)
def test_a_taker_matches_what_is_there_order_by_order(
    wanted: int, taken: tuple[int, int], left: list[tuple[int, int, int]]
) -> None:
    side = filled(is_bid=True)

    assert side.take(12, wanted) == taken
    assert [level for level in side.top(9) if level[0] == 12] == left


def test_a_match_has_a_lot_at_least() -> None:
    side = BookSide(is_bid=False)
    for _ in range(3):
        side.add(10, 1)
    side.remove(10, 2)

    assert side.top(1) == [(10, 1, 2)]
    assert side.take(10, 1) == (1, 1)


def test_who_watches_is_told_of_every_price_that_changes() -> None:
    side = filled(is_bid=True)
    watch, late = side.watch(), side.watch()
    side.add(13, 1)
    side.remove(10, 1)
    side.take(12, 9)
    assert watch == late == {10, 12, 13}
    watch.clear()
    side.shed()
    assert (watch, late) == ({10}, {10, 12, 13})


@pytest.mark.parametrize(
    ("is_bid", "edge", "beyond"), [(True, 11, 10), (False, 11, 12)]
)
def test_an_edge_is_the_last_of_the_best(is_bid: bool, edge: int, beyond: int) -> None:
    side = filled(is_bid)

    assert (side.edge(2), side.edge(3), side.edge(4)) == (edge, None, None)
    assert side.is_beyond(beyond, edge)
    assert not side.is_beyond(edge, edge)
    assert not side.is_beyond(beyond, None)
    assert side.between(edge, None) == side.between(None, edge) == sorted((11, beyond))
    assert side.between(11, 11) == [11]
    assert BookSide(is_bid).between(11, None) == []
