"""Rows of order books: published, malformed and random ones, and a reference book."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from okex_ws.model.book import Side


def rows(*levels: str) -> tuple[tuple[str, ...], ...]:
    """Rows of v5 from ``'price:size'``, or of as many fields as are given."""
    split = (level.split(":") for level in levels)
    return tuple((*row, "0", "1") if len(row) == 2 else tuple(row) for row in split)


def wide_side(first: int, step: int, count: int) -> tuple[tuple[str, ...], ...]:
    """*count* levels from the price *first*, *step* apart."""
    return rows(*(f"{first + step * i}:{i + 1}" for i in range(count)))


def book_sum(bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int:
    """The checksum as the exchange documents it: one level after the other."""
    parts: list[str] = []
    for i in range(25):
        if i < len(bids):
            parts += [bids[i][0], bids[i][1]]
        if i < len(asks):
            parts += [asks[i][0], asks[i][1]]
    crc = zlib.crc32(":".join(parts).encode("ascii"))
    return crc - 2**32 if crc >= 2**31 else crc


# Bids, asks and their checksum, as published.
VECTORS = [
    (rows("3366.1:7", "3366:6"), rows("3366.8:9", "3368:8"), -1881014294),
    (rows("3366.1:7"), rows("3366.8:9", "3368:8", "3372:8"), 831078360),
    ((), rows("0.0015:906"), -288111842),
    (
        rows("0.0565:500", "0.056:505", "0.055:451"),
        *(rows("0.063:1005", "0.0635:451"), 1815367951),
    ),
    (
        rows("0.0565:500", "0.056:505", "0.0555:451"),
        *(rows("0.063:1005", "0.0635:451"), 338594214),
    ),
    (
        rows("0.027:110", "0.0265:100"),
        *(rows("0.0475:29", "0.0495:110", "0.05:100"), -994620437),
    ),
    (rows("0.027:210"), rows("0.0475:29", "0.0495:110", "0.05:100"), 2096060715),
    (
        rows("0.335:5", "0.3345:300", "0.334:301", "0.3295:305", "0.0005:10"),
        rows("0.3415:5", "0.342:300", "0.3425:301", "0.3445:305"),
        -1431042442,
    ),
    ((), (), 0),
]
EACH_VECTOR = pytest.mark.parametrize(("bids", "asks", "checksum"), VECTORS)

# Three prices that are one as floats, and a fourth that is one of them as a number.
LOW = "0.1"
MIDDLE = "0.100000000000000003"
HIGH = "0.100000000000000005"
LOW_AGAIN = "0.10000000000000000000"

# A malformed row, and a part of the message of the error that refuses it.
BAD_ROWS: list[tuple[Any, str]] = [
    ("9:1", "a level is '9:1'"),
    ("910", "a level is '910'"),
    ({"9": "1", "0": "1", "1": "1"}, "a level is dict"),
    (None, "a level is NoneType"),
    (9, "a level is int"),
    ([], "unpack"),
    (["9"], "unpack"),
    (["9", "1"], "unpack"),
    (["9", "1", "0", "1", "0"], "unpack"),
    (["9", "-1", "0", "1"], "not a number: '-1'"),
    (["9", "-0.5", "1"], "not a number: '-0.5'"),
    (["9", "-0", "0", "1"], "not a number: '-0'"),
    ([9, "1", "0", "1"], "not a number: int"),
    (["9", 1, "0", "1"], "not a number: int"),
    (["9", 1.5, "0", "1"], "not a number: float"),
    (["9", "1", 0, "1"], "not a number: int"),
    (["9", "1", "0", 1], "not a number: int"),
    (["9", "1", 1], "not a number: int"),
    ([None, "1", "0", "1"], "not a number: NoneType"),
    (["9", None, "0", "1"], "not a number: NoneType"),
    (["9", True, "0", "1"], "not a number: bool"),
    (["9", "1", "0", None], "not a number: NoneType"),
    (["9", "1", "x", "1"], "not a number: 'x'"),
    (["9", "1", "-1", "1"], "not a number: '-1'"),
    (["9", "1", "0", "-1"], "not a number: '-1'"),
    ([["9"], "1", "0", "1"], "unhashable"),
    (["9", ["1"], "0", "1"], "unhashable"),
    (["9", "1", {}, "1"], "unhashable"),
    (["9", "1", "0", []], "unhashable"),
    ([["9", "1", "0", "1"]], "unpack"),
    (["", "1", "0", "1"], "not a number: ''"),
    (["9", "", "0", "1"], "not a number: ''"),
    ([" 9", "1", "0", "1"], "not a number: ' 9'"),
    (["NaN", "1", "0", "1"], "not a number: 'NaN'"),
    (["9", "Infinity", "0", "1"], "not a number: 'Infinity'"),
    (["1e999", "1", "0", "1"], "not a number: '1e999'"),
    (["9" * 65, "1", "0", "1"], "not a number: '999"),
    (["9", "\x1b[2J\n", "0", "1"], "not a number: '\\x1b[2J\\n'"),
]
# What no level of an instrument is, and one of a spread may be.
BAD_PRICES: list[tuple[Any, str]] = [
    (["-9", "1", "0", "1"], "not a number: '-9'"),
    (["0", "1", "0", "1"], "a level at '0'"),
    (["0.00", "1", "1"], "a level at '0.00'"),
    (["0e9", "1", "0", "1"], "a level at '0e9'"),
]
EACH_BAD_ROW = pytest.mark.parametrize(("row", "why"), BAD_ROWS)

Rows = list[tuple[str, ...]]
Change = tuple[bool, Rows, Rows]

# Prices that are hard to tell apart, and enough others for sides of more than 25.
PRICES = [
    *("1", "1.0", "1.50", "1.5", "2", "10", "9.99", "10.00", "1e1", ".5"),
    *(LOW, MIDDLE, HIGH, LOW_AGAIN, MIDDLE + "00", HIGH + "1"),
    *map(str, range(1, 70)),
]
SIZES = ["0", "0.0", "1", "2.50", "3", "0.00000001", "1000000"]
prices, sizes = st.sampled_from(PRICES), st.sampled_from(SIZES)
counts = st.integers(0, 9).map(str)
levels = st.tuples(prices, sizes, counts) | st.tuples(prices, sizes, counts, counts)


def many_levels(seed: int) -> Rows:
    """More levels than the checksum covers, some of them at one price."""
    rng = random.Random(seed)
    return [
        (rng.choice(PRICES), rng.choice(SIZES), "0", str(number))
        for number in range(rng.randint(26, 60))
    ]


changes = st.lists(levels, max_size=5) | st.integers(0, 1 << 32).map(many_levels)
messages: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.sampled_from([True, False, False, False, False]), changes, changes),
    min_size=1,
    max_size=8,
)


class ReferenceBook:
    """A dict by exact price, sorted again for each message; too simple to be wrong."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, tuple[str, ...]] = {}
        self.asks: dict[Decimal, tuple[str, ...]] = {}

    def take(self, whole: bool, bids: Rows, asks: Rows) -> tuple[Side, Side]:
        if whole:
            self.bids, self.asks = {}, {}
        for held, rows_of_it in ((self.bids, bids), (self.asks, asks)):
            for row in rows_of_it:
                held.pop(Decimal(row[0]), None)
                if Decimal(row[1]) != 0:
                    held[Decimal(row[0])] = row
        return (
            tuple(self.bids[price] for price in sorted(self.bids, reverse=True)),
            tuple(self.asks[price] for price in sorted(self.asks)),
        )
