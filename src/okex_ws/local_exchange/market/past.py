"""What was before the market began: made up backwards, from where it began.

The same name and the same beginning give the same past. Ticks and lots, no clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, islice
from typing import NamedTuple

from .bars import Bar

# So much there is of each, and no more.
TRADES, BARS = 1000, 3000


class Match(NamedTuple):
    """One trade: *price* in ticks, its size in *lots*, and the book's number then."""

    id: int
    price: int
    lots: int
    side: str
    at: float
    seq: int


def trades_before(first: Match, name: str) -> list[Match]:
    """The trades that led up to the *first*, newest first."""
    return list(islice(_trades(first, random.Random(f"{name}/past")), TRADES))


def _trades(later: Match, rng: random.Random) -> Iterator[Match]:
    while later.id > 1:
        price = max(1, later.price + rng.randint(-3, 3))
        lots, side = 1 + int(rng.expovariate(0.05)), rng.choice(("buy", "sell"))
        at = later.at - rng.uniform(0.01, 2.0)
        seq = max(1, later.seq - rng.randint(1, 9))
        later = Match(later.id - 1, price, lots, side, at, seq)
        yield later


def bars_before(first: Bar, seconds: int, name: str) -> list[Bar]:
    """The closed bars that led up to the *first*, newest first."""
    return list(islice(_bars(first, seconds, random.Random(f"{name}/past")), BARS))


def _bars(later: Bar, seconds: int, rng: random.Random) -> Iterator[Bar]:
    close = later.open
    for ago in count(1):
        first = max(2, close + rng.randint(-5, 5))
        high = max(first, close) + rng.randint(0, 3)
        low = max(1, min(first, close) - rng.randint(0, 3))
        lots = rng.randint(0, 500)
        start = later.start - ago * seconds
        yield Bar(start, first, high, low, close, lots, lots * close, closed=True)
        close = first
