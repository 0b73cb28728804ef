"""The rows of one side of a book: levels, grouped by price and summed up. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from ... import Level
from ..text import NOTHING

_STEPS = (Decimal(1), Decimal(2), Decimal(5))


@dataclass(frozen=True, slots=True)
class BookRow:
    """One row of a book: texts, and numbers for the bars.

    *total* is the sum of the sizes from the best price to this row. *open* is whether
    the book ends inside this group of prices, so that there may be more than is told.
    """

    price: str = NOTHING
    size: str = NOTHING
    total: str = NOTHING
    volume: Decimal = Decimal(0)
    depth: Decimal = Decimal(0)
    open: bool = False

    def part(self, totals: bool) -> Decimal:
        """What a bar shows: the total or the size."""
        return self.depth if totals else self.volume


def finest_tick(levels: Iterable[Level], known: Decimal | None = None) -> Decimal:
    """The largest step of which all prices, and *known*, are multiples.

    The fewer the levels, the larger it may be; *known* is what earlier books gave.
    """
    prices = [Decimal(level[0]) for level in levels]
    prices += [] if known is None else [known]
    exponent = min((int(price.as_tuple().exponent) for price in prices), default=0)
    tick = math.gcd(*(int(price.scaleb(-exponent)) for price in prices))
    return Decimal(tick or 1).scaleb(exponent)


def group_size(tick: Decimal, grouping: int) -> Decimal | None:
    """The size of groups after *grouping* steps: 2, 5, 10, 20, 50, ... ticks.

    ``None`` without grouping.
    """
    if not grouping:
        return None
    power = Decimal(10) ** (grouping // 3)
    return (tick * _STEPS[grouping % 3] * power).normalize()


def book_rows(
    levels: Sequence[Level], group: Decimal | None, most: int, asks: bool
) -> list[BookRow]:
    """At most *most* rows of a side, best first, in groups of *group* if it is given.

    A group of asks is named by its highest price, one of bids by its lowest: an order
    that takes the whole group gets no worse price.
    """
    pairs = [(level[0], level[1], Decimal(level[1])) for level in levels]
    if group is not None:
        pairs = _grouped(levels, group, ROUND_CEILING if asks else ROUND_FLOOR)
    rows: list[BookRow] = []
    depth = Decimal(0)
    for price, size, volume in pairs[:most]:
        depth += volume
        rows.append(BookRow(price, size, f"{depth:f}", volume, depth))
    if group is not None and rows and len(rows) == len(pairs):
        rows[-1] = replace(rows[-1], open=True)
    return rows


def _grouped(
    levels: Sequence[Level], group: Decimal, rounding: str
) -> list[tuple[str, str, Decimal]]:
    """Price, size and size as a number of each group of *levels*."""
    sums: dict[Decimal, Decimal] = {}
    for level in levels:
        # "or", because a negative price may be rounded to -0.
        number = (Decimal(level[0]) / group).to_integral_value(rounding) or Decimal(0)
        sums[number] = sums.get(number, Decimal(0)) + Decimal(level[1])
    return [(f"{n * group:f}", f"{size:f}", size) for n, size in sums.items()]
