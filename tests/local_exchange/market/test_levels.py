"""A book is followed by its changes, and what was said is what it was."""

from __future__ import annotations

import random

import pytest

from okex_ws.local_exchange.market.levels import IDLE, IncrementalBook
from okex_ws.local_exchange.market.side import BookSide
from okex_ws.local_exchange.wire.values import Change, Row


def word(price: int, lots: int, orders: int) -> Row:
    return (str(price), str(lots), str(orders))


def filled(is_bid: bool, *prices: int) -> BookSide:
    side = BookSide(is_bid)
    for price in prices:
        side.add(price, 5)
    return side


def rows(side: BookSide, count: int) -> list[Row]:
    return [word(*level) for level in side.top(count)]


def stir(side: BookSide, chance: random.Random) -> None:
    """Any of what can happen on a side."""
    price = chance.choice(side.prices) if side.prices else 1
    kind = chance.choice(["add", "add", "add new", "remove", "take", "shed", "all"])
    if kind == "add" or not side.prices:
        side.add(price, 1)
    elif kind == "add new":
        side.add(chance.randrange(1, 30), chance.randrange(1, 9))
    elif kind == "remove":
        side.remove(price, chance.randint(1, side.resting[price][0]))
    elif kind == "take":
        best = side.best
        assert best is not None
        side.take(best, 3)
    elif kind == "shed":
        side.shed()
    elif chance.random() < 0.2:
        while side.prices:
            side.shed()


@pytest.mark.parametrize("count", [1, 2, 5, 50])
@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_what_was_said_merged_is_the_best_of_the_book(
    count: int, at_once: int, seed: int
) -> None:
    chance = random.Random(seed)
    bids, asks = filled(True, 4, 5, 6), filled(False, 10, 11)
    depth = IncrementalBook(bids, asks, count, word, 0, 0.0)
    merged = {
        name: {row[0]: row for row in said}
        for name, said in (("bids", depth.whole().bids), ("asks", depth.whole().asks))
    }
    for step in range(1, 400):
        for _ in range(at_once):
            stir(chance.choice((bids, asks)), chance)
        change = depth.change(step, float(step))
        said = () if change is None else (("bids", change.bids), ("asks", change.asks))
        for name, changes in said:
            for row in changes:
                assert row != merged[name].get(row[0])
                if row[1] == "0":
                    del merged[name][row[0]]
                else:
                    merged[name][row[0]] = row
        now = {"bids": rows(bids, count), "asks": rows(asks, count)}
        assert merged == {n: {row[0]: row for row in now[n]} for n in now}
        assert (depth.whole().bids, depth.whole().asks) == (now["bids"], now["asks"])


def test_a_change_lists_what_came_in_and_what_is_gone_best_first() -> None:
    bids, asks = filled(True, 1, 2, 3, 4), filled(False, 11, 12, 13)
    depth = IncrementalBook(bids, asks, 2, word, 7, 1.0)
    bids.remove(4, 5)
    bids.add(3, 1)
    asks.add(10, 2)
    change = depth.change(9, 2.0)

    assert change == Change(
        asks=[("10", "2", "1"), ("12", "0", "0")],
        bids=[("4", "0", "0"), ("3", "6", "2"), ("2", "5", "1")],
        at=2.0,
        seq=9,
        prev_seq=7,
        tops=([("3", "6", "2"), ("2", "5", "1")], [("10", "2", "1"), ("11", "5", "1")]),
    )


def test_nothing_is_said_of_what_is_beyond_the_window_or_as_it_was() -> None:
    bids, asks = filled(True, 1, 2, 3), filled(False, 11)
    depth = IncrementalBook(bids, asks, 2, word, 7, 1.0)
    assert depth.change(7, 1.5) is None
    bids.add(1, 9)
    bids.add(3, 1)
    bids.remove(3, 1)
    # A cancelled order is one order less.
    assert bids.resting[3] == (5, 1)

    assert depth.change(10, 2.0) is None
    assert depth.whole().seq == 7


def test_the_whole_book_is_that_of_the_last_change() -> None:
    bids, asks = filled(True, 1), filled(False, 11)
    depth = IncrementalBook(bids, asks, 400, word, 7, 1.0)
    before = depth.whole()
    bids.add(2, 5)

    assert depth.whole() == before
    assert (before.seq, before.prev_seq, before.at) == (7, -1, 1.0)
    assert before.is_snapshot
    assert not before.is_idle
    depth.change(8, 2.0)
    assert depth.whole().bids == [("2", "5", "1"), ("1", "5", "1")]
    assert (depth.whole().seq, depth.whole().at) == (8, 2.0)


def test_a_checksum_is_over_the_best_25() -> None:
    bids, asks = filled(True, *range(1, 31)), filled(False, *range(40, 43))
    tops = IncrementalBook(bids, asks, 400, word, 7, 1.0).whole().tops

    assert tops == (rows(bids, 25), rows(asks, 25))


def test_a_book_that_does_not_change_says_so_once_a_minute() -> None:
    bids, asks = filled(True, 1), filled(False, 11)
    depth = IncrementalBook(bids, asks, 400, word, 7, 1.0)
    said = [depth.idle(now, 100.0 + now) for now in (5.0, 5.0 + IDLE / 2, 5.0 + IDLE)]
    assert said[:2] == [None, None]
    assert said[2]
    assert (said[2].asks, said[2].bids) == ([], [])
    assert (said[2].seq, said[2].prev_seq, said[2].at) == (7, 7, 105.0 + IDLE)
    assert said[2].is_idle
    assert not said[2].is_snapshot

    assert depth.idle(6.0 + IDLE, 0.0) is None
    bids.add(1, 1)
    assert depth.change(8, 3.0)
    # From the change on.
    assert depth.idle(4.0 + 2 * IDLE, 0.0) is None
    assert depth.idle(5.0 + 2 * IDLE, 0.0) is None
    assert depth.idle(4.0 + 3 * IDLE, 0.0)
