"""The book merges as the exchange does, and its checksum says when it did not."""

from __future__ import annotations

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.book import OrderBook

CAPTURES = Path(__file__).parents[2] / "shared" / "captures"
recorded = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recorded traffic beside the project"
)
FRAMES = {
    "cryptofeed/v3_OKEX.ws.56_20210417.recv.jsonl": 2398,
    "cryptofeed/v3_OKEX.ws.57_20210417.recv.jsonl": 2338,
    "cryptofeed/v3_OKCOIN.ws.1_20210722.recv.jsonl": 1031,
    "gocryptotrader/v3_spot_depth_verified.jsonl": 8,
}

Books = dict[str, OrderBook]


def book_messages(name: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Channel, action and element of each book frame of a recording."""
    found = []
    for line in (CAPTURES / name).read_text().splitlines():
        message = json.loads(line, parse_int=str, parse_float=str)
        if "action" in message:
            (element,) = message["data"]
            channel = f"{message['table']}:{element['instrument_id']}"
            found.append((channel, message["action"], element))
    return found


def follow(books: Books, channel: str, action: str, element: dict[str, Any]) -> bool:
    """Apply one message; True when the exchange's checksum agrees."""
    books[channel] = books.get(channel, OrderBook()).apply(
        action, element["bids"], element["asks"]
    )
    return books[channel].checksum() == int(element["checksum"])


def rows(*levels: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(level.split(":")) for level in levels)


# --- The wire page's vectors --------------------------------------------------------


@pytest.mark.parametrize(
    ("bids", "asks", "checksum"),
    [
        (rows("3366.1:7", "3366:6"), rows("3366.8:9", "3368:8"), -1881014294),
        (rows("3366.1:7"), rows("3366.8:9", "3368:8", "3372:8"), 831078360),
        ((), rows("0.0015:906"), -288111842),
        (
            rows("0.335:5", "0.3345:300", "0.334:301", "0.3295:305", "0.0005:10"),
            rows("0.3415:5", "0.342:300", "0.3425:301", "0.3445:305"),
            -1431042442,
        ),
        ((), (), 0),
    ],
)
def test_the_checksum_of_published_books(bids: Any, asks: Any, checksum: int) -> None:
    assert OrderBook(bids, asks).checksum() == checksum


def test_order_counts_are_not_in_the_checksum() -> None:
    book = OrderBook(rows("3366.1:7:0:4"), rows("3366.8:9:1", "3368:8:0:2", "3372:8"))
    assert book.checksum() == 831078360


def test_only_the_top_25_of_each_side_are_in_the_checksum() -> None:
    bids = rows(*(f"{100 - i}:1" for i in range(30)))
    asks = rows(*(f"{101 + i}:1" for i in range(30)))
    book = OrderBook(bids, asks)
    assert book.checksum() == book.top(25).checksum() != book.top(24).checksum()


SEQUENCES = [
    (
        {
            "asks": [["0.063", "1005", "0", "2"], ["0.0635", "451", "0", "1"]],
            "bids": [
                ["0.0565", "500", "0", "1"],
                ["0.056", "505", "0", "1"],
                ["0.055", "451", "0", "1"],
            ],
            "checksum": 1815367951,
        },
        {
            "asks": [],
            "bids": [["0.0555", "451", "0", "1"], ["0.055", "0", "0", "0"]],
            "checksum": 338594214,
        },
    ),
    (
        {
            "asks": [
                ["0.0475", "29", "0", "1"],
                ["0.0495", "110", "0", "1"],
                ["0.05", "100", "0", "1"],
            ],
            "bids": [["0.027", "110", "0", "1"], ["0.0265", "100", "0", "1"]],
            "checksum": -994620437,
        },
        {
            "asks": [],
            "bids": [["0.027", "210", "0", "2"], ["0.0265", "0", "0", "0"]],
            "checksum": 2096060715,
        },
    ),
]


@pytest.mark.parametrize(("partial", "update"), SEQUENCES)
def test_a_recorded_sequence_verifies_at_each_step(
    partial: dict[str, Any], update: dict[str, Any]
) -> None:
    books: Books = {}
    assert follow(books, "book", "partial", partial)
    assert follow(books, "book", "update", update)


@pytest.mark.parametrize(("partial", "update"), SEQUENCES)
def test_a_lost_update_fails_the_checksum(
    partial: dict[str, Any], update: dict[str, Any]
) -> None:
    books: Books = {}
    follow(books, "book", "partial", partial)
    assert books["book"].checksum() != update["checksum"]


# --- Recordings ---------------------------------------------------------------------


@recorded
@pytest.mark.parametrize(("name", "frames"), FRAMES.items())
def test_every_recorded_book_verifies(name: str, frames: int) -> None:
    books: Books = {}
    verified = [follow(books, *message) for message in book_messages(name)]
    assert len(verified) == frames
    assert all(verified)


def changed_digit(text: str, rng: random.Random) -> str:
    """*text* with its last digit another one, and still no zero."""
    digits = [d for d in "123456789" if d != text[-1]]
    return text[:-1] + rng.choice(digits)


@recorded
@pytest.mark.parametrize("name", FRAMES)
def test_one_changed_digit_in_the_top_25_fails_the_checksum(name: str) -> None:
    rng = random.Random(name)
    books: Books = {}
    mutations = 0
    for channel, action, element in book_messages(name):
        before = books.get(channel, OrderBook())
        assert follow(books, channel, action, element)
        top = books[channel].top(25)
        for side in ("bids", "asks"):
            inside = [
                i
                for i, level in enumerate(element[side])
                if tuple(level) in getattr(top, side)
            ]
            if not inside:
                continue
            levels = [list(level) for level in element[side]]
            row = levels[rng.choice(inside)]
            row[1] = changed_digit(row[1], rng)
            mutated = {**element, side: levels}
            assert not follow({channel: before}, channel, action, mutated)
            mutations += 1
    assert mutations >= 4


# --- Merging ------------------------------------------------------------------------


def test_a_partial_replaces_the_whole_book() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("partial", rows("7:2"), []) == OrderBook(rows("7:2"))
    assert book.apply("snapshot", [], rows("12:2")) == OrderBook((), rows("12:2"))


def test_prices_are_one_price_when_they_are_one_number() -> None:
    book = OrderBook(rows("9.0:1", "8:1"), rows("11:1"))
    book = book.apply("update", rows("9:5"), rows("11.00:0"))
    assert book == OrderBook(rows("9:5", "8:1"), ())


@pytest.mark.parametrize("zero", ["0", "0.0", "0.00000000"])
def test_a_zero_size_deletes_however_it_is_written(zero: str) -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("update", rows(f"9:{zero}"), []).bids == rows("8:1")


def test_deleting_a_price_that_is_not_held_changes_nothing() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("update", rows("8.5:0"), rows("12:0")) == book
    assert OrderBook().apply("update", rows("8.5:0"), ()) == OrderBook()


def test_an_empty_update_changes_nothing() -> None:
    book = OrderBook(rows("9:1"), rows("11:1"))
    assert book.apply("update", [], []) == book


def test_a_version_stays_what_it_was() -> None:
    book = OrderBook(rows("9:1"), rows("11:1"))
    book.apply("update", rows("9:0", "10:3"), rows("11:7"))
    assert book == OrderBook(rows("9:1"), rows("11:1"))


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="'partial', 'snapshot' or 'update'"):
        OrderBook().apply("delete", [], [])


def test_best_is_the_first_row_of_each_side_or_none() -> None:
    assert OrderBook(rows("9:1", "8:1"), ()).best == (("9", "1"), None)
    assert OrderBook((), rows("11:1", "12:1")).best == (None, ("11", "1"))


def test_top_cuts_each_side() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.top(1) == OrderBook(rows("9:1"), rows("11:1"))
    assert book.top(0) == OrderBook()
    with pytest.raises(ValueError, match="negative"):
        book.top(-1)


# --- Against a book that cannot be wrong --------------------------------------------

prices = st.sampled_from(["1", "1.0", "1.5", "2", "10", "9.99", "10.00", "0.5"])
sizes = st.sampled_from(["0", "0.0", "1", "2.50", "3"])
changes = st.lists(st.tuples(prices, sizes, st.just("0"), st.just("1")), max_size=6)
actions = st.sampled_from(["partial", "update", "update", "update"])


def brute(
    held: dict[Decimal, tuple[str, ...]], action: str, levels: Any
) -> dict[Decimal, tuple[str, ...]]:
    held = {} if action == "partial" else dict(held)
    for level in levels:
        held.pop(Decimal(level[0]), None)
        if Decimal(level[1]) != 0:
            held[Decimal(level[0])] = level
    return held


@given(st.lists(st.tuples(actions, changes, changes), max_size=8))
def test_it_agrees_with_a_dict_sorted_each_time(messages: Any) -> None:
    book = OrderBook()
    bids: dict[Decimal, tuple[str, ...]] = {}
    asks: dict[Decimal, tuple[str, ...]] = {}
    for action, bid_changes, ask_changes in messages:
        book = book.apply(action, bid_changes, ask_changes)
        bids = brute(bids, action, bid_changes)
        asks = brute(asks, action, ask_changes)
        assert book.bids == tuple(bids[p] for p in sorted(bids, reverse=True))
        assert book.asks == tuple(asks[p] for p in sorted(asks))
