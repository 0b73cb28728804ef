"""The order book: immutable versions, the merging of updates, and the checksum.

A level is a tuple of ``str``, the exchange's own characters, price and size first.
Prices are compared as numbers and kept as they were sent, because the checksum is
computed over the characters.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from .display import Displayed
from .numbers import (
    EXACT,
    NUMBERS,
    ROUNDED,
    SIGNED,
    Floats,
    Number,
    UnreadableValue,
    given_number,
    middle,
    spread,
)

# The exchange's checksum covers this many levels of each side.
CHECKSUM_LEVELS = 25
# A channel of the exchange has 400 levels a side, its REST interface gives 5,000. A
# message that leads to more is refused, so that memory stays bounded.
MAX_LEVELS = 5000

# A level of a book: price, size, and what the exchange adds. v3 derivatives have the
# number of liquidated orders next, v5 a retired field that is "0"; v3 spot has neither.
# Last comes the number of orders at the price. In channel `RPI` the size includes
# retail price improvement, and the size without it comes next.
Level = tuple[str, ...]
# One side of a book, best first.
Side = tuple[Level, ...]
# The channel of the book with retail price improvement: quantities that only orders of
# retail users can take, beside those that every order can take.
RPI = "books-rpi"


def takeable(side: Iterable[Sequence[str]]) -> Iterator[Level]:
    """What every order can take of a *side* of `RPI`: price, that size, orders.

    A level that only orders of retail users can take is left out.
    """
    for price, _, size, orders in side:
        if NUMBERS[size]:
            yield price, size, orders


def check_rpi(side: Iterable[Sequence[str]]) -> None:
    """Raise ``ValueError`` unless each row of *side* can be a row of `RPI`."""
    for price, total, size, _ in side:
        if NUMBERS[size] > NUMBERS[total]:
            raise UnreadableValue("{} of {} at {} without RPI", size, total, price)


class Sweep(NamedTuple):
    """The fill that a market order of a given size would get from a book as it is.

    *average* is the mean price weighted by size, to 28 digits. *worst* is the last
    price that is needed. Both are ``None`` if that side of the book is empty.
    *filled* and *remaining* add up to the size of the order.
    """

    average: Decimal | None
    worst: Decimal | None
    filled: Decimal
    remaining: Decimal


@dataclass(frozen=True, slots=True, repr=False)
class OrderBook(Displayed):
    """One version of an order book: *bids* and *asks*, best first; either may be empty.

    A level is ``(price, size, ..., orders)`` in the exchange's own characters. Sizes
    are in base currency on spot, in the currency ``szCcy`` on spreads, and in contracts
    on every other market. Prices of spreads may be 0 or negative. A version never
    changes, so that any thread may keep and read it; `apply` makes the next one.

    With *rpi* the levels are those of channel ``'books-rpi'``: ``(price, total, not
    RPI, orders)``. RPI, retail price improvement, is what only orders of retail users
    can take. `best`, `mid`, `spread`, `crossed` and `sweep` are then of what every
    order can take: of the sizes that are not RPI, without levels where that is zero.
    ``takeable(rpi=True)`` is the book with RPI.
    """

    bids: Side = ()
    asks: Side = ()
    rpi: bool = False

    def apply(
        self,
        action: str,
        bids: Iterable[Sequence[str]],
        asks: Iterable[Sequence[str]],
    ) -> OrderBook:
        """The next version of the book, after one message of the exchange.

        With *action* ``'partial'`` (v3) or ``'snapshot'`` (v5) the levels replace the
        whole book. With ``'update'`` each level replaces or inserts the level at its
        price, or deletes it if the size is zero. The exchange also deletes prices that
        this book does not hold, because they have left its window; that is no error.

        Raises:
            ValueError: another action, or a level that is not made of numbers.
        """
        if action not in ("partial", "snapshot", "update"):
            raise ValueError(
                f"action is 'partial', 'snapshot' or 'update', got {action!r}"
            )
        held = self if action == "update" else OrderBook()
        merged = (
            MergedSide(-1.0, held.bids, SIGNED),
            MergedSide(1.0, held.asks, SIGNED),
        )
        try:
            merged[0].merge(bids)
            merged[1].merge(asks)
        except TypeError as error:
            raise ValueError(str(error)) from error
        return OrderBook(merged[0].version, merged[1].version, self.rpi)

    def checksum(self) -> int:
        """The exchange's checksum: a signed CRC32 of the best 25 levels of each side.

        It covers the texts ``price:size``, bid and ask in turn, then the rest of the
        longer side. An empty book gives 0.
        """
        sides = self.bids[:CHECKSUM_LEVELS], self.asks[:CHECKSUM_LEVELS]
        return checksum_of(*(list(map(_said, side)) for side in sides))

    # --- Reading it ------------------------------------------------------------------

    def top(self, levels: int) -> OrderBook:
        """A book of the best *levels* of each side."""
        if levels < 0:
            raise ValueError(f"levels cannot be negative, got {levels}")
        return OrderBook(self.bids[:levels], self.asks[:levels], self.rpi)

    def takeable(self, *, rpi: bool = False) -> OrderBook:
        """The book of what an order can take, whose sizes are what it can take.

        Of a book of ``'books-rpi'`` it has what every order can take, as ``(price,
        size, orders)``, or with *rpi* all that an order of a retail user can take; the
        number of orders is always that of both. Any other book is what it has.

        Raises:
            ValueError: *rpi* is true, and the book is not one of ``'books-rpi'``.
        """
        if rpi and not self.rpi:
            raise ValueError("rpi=True: only a book of channel 'books-rpi' has RPI")
        if not self.rpi:
            return self
        if rpi:
            return OrderBook(self.bids, self.asks)
        return OrderBook(tuple(takeable(self.bids)), tuple(takeable(self.asks)))

    @property
    def best(self) -> tuple[Level | None, Level | None]:
        """Best bid and best ask; ``None`` for an empty side."""
        if self.rpi:
            bids, asks = takeable(self.bids), takeable(self.asks)
            return next(bids, None), next(asks, None)
        return (
            self.bids[0] if self.bids else None,
            self.asks[0] if self.asks else None,
        )

    @property
    def mid(self) -> Decimal | None:
        """The mean of best bid and best ask; ``None`` if a side is empty."""
        return middle(*self._prices())

    @property
    def spread(self) -> Decimal | None:
        """Best ask minus best bid; ``None`` if a side is empty."""
        return spread(*self._prices())

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask, as in an auction."""
        bid, ask = self._prices()
        return bid is not None and ask is not None and bid >= ask

    def _prices(self) -> tuple[Decimal | None, Decimal | None]:
        bid, ask = self.best
        return (
            None if bid is None else Decimal(bid[0]),
            None if ask is None else Decimal(ask[0]),
        )

    def sweep(self, side: str, size: Number, *, rpi: bool = False) -> Sweep:
        """The fill that a market order would get, level after level, as a `Sweep`.

        *side* is the taker's side as in a `Trade`: ``'buy'`` takes from the asks,
        ``'sell'`` from the bids. *size* is in the unit of the book's sizes: a
        ``Decimal``, a ``str`` or a real number. A ``float`` counts as its shortest
        text, so that 0.1 is one tenth. With *rpi* it is the fill that an order of a
        retail user would get from a book of ``'books-rpi'``.

        Raises:
            ValueError, TypeError: another side, or a size that is no positive number,
                or *rpi* for a book without RPI.
        """
        if side not in ("buy", "sell"):
            raise ValueError(f"side is 'buy' or 'sell', got {side!r}")
        wanted = left = given_number("size", size)
        if not wanted:
            raise ValueError(f"size is more than 0, got {size!r:.80}")
        paid, worst = Decimal(0), None
        book = self.takeable(rpi=rpi)
        for row in book.asks if side == "buy" else book.bids:
            if not left:
                break
            worst = Decimal(row[0])
            taken = min(left, Decimal(row[1]))
            paid = EXACT.fma(taken, worst, paid)
            left = EXACT.subtract(left, taken)
        filled = EXACT.subtract(wanted, left)
        average = ROUNDED.divide(paid, filled) if filled else None
        return Sweep(average, worst, filled, left)


class MergedSide:
    """One side of a book, mutable, into which updates are merged; best level first.

    *version* is its levels as an immutable tuple, which `merge` makes once for all the
    changes of a message. Sorted float keys beside the levels find a price by bisection.
    A key is the price times *sign*, which is -1.0 for bids and 1.0 for asks, so that a
    better price has a lower key. Two prices of more than 15 digits may share a key;
    they are then compared as exact decimals. With `SIGNED` as *prices* a price may be 0
    or negative. A level has three items, or *widest*. One thread at a time uses it.
    """

    __slots__ = ("_keys", "_prices", "_rows", "_said", "_sign", "_widest", "version")

    def __init__(
        self, sign: float, rows: Side = (), prices: Floats = NUMBERS, widest: int = 4
    ) -> None:
        self._sign, self._prices, self._widest = sign, prices, widest
        # Last comes a key that no price has, so that every search finds one.
        self._keys = [*(prices[row[0]] * sign for row in rows), math.inf]
        self._rows = list(rows)
        # The checksum's text of each level, made at the first checksum and then kept.
        self._said: list[str] | None = None
        self.version = rows

    def top(self) -> list[str]:
        """The texts ``price:size`` of this side's levels that the checksum covers."""
        if self._said is None:
            self._said = list(map(_said, self._rows))
        return self._said[:CHECKSUM_LEVELS]

    def merge(self, changes: Iterable[Sequence[Any]]) -> None:
        """Replace, insert or delete the level of each change; a book's hot path.

        Raises:
            ValueError, TypeError: for a change that is no level. The changes before it
                are merged then, so that the caller has to give the book up.
        """
        keys, rows, said, sign = self._keys, self._rows, self._said, self._sign
        number, prices, widest = NUMBERS, self._prices, self._widest
        for change in changes:
            if type(change) is not list and type(change) is not tuple:
                raise UnreadableValue("a level is {}", change)
            if len(change) == widest == 4:
                price, size, more, orders = change
                number[more]
            else:
                price, size, orders = change
            number[orders]
            key = prices[price] * sign
            at = bisect_left(keys, key)
            held = keys[at] == key
            if held and rows[at][0] != price:
                at, held = self._find_exactly(at, key, price)
            if not number[size]:
                # A size of "0", "0.0" or "0.00000000" deletes the level.
                if held:
                    del keys[at], rows[at]
                    if said is not None:
                        del said[at]
            elif held:
                rows[at] = tuple(change)
                if said is not None:
                    said[at] = f"{price}:{size}"
            elif key or prices is SIGNED:
                keys.insert(at, key)
                rows.insert(at, tuple(change))
                if said is not None:
                    said.insert(at, f"{price}:{size}")
            else:
                raise UnreadableValue("a level at {}", price)
        if len(rows) > MAX_LEVELS:
            raise ValueError(f"{len(rows)} levels, of {MAX_LEVELS} at the most")
        self.version = tuple(rows)

    def _find_exactly(self, at: int, key: float, price: str) -> tuple[int, bool]:
        """The index of *price* among the levels of the same *key*, from *at* on.

        Also whether a level of exactly that price is there; if not, the index is the
        one at which to insert it.
        """
        exact = Decimal(price)
        while self._keys[at] == key:
            held = Decimal(self._rows[at][0])
            if held == exact:
                return at, True
            if (held > exact) is (self._sign > 0):
                break
            at += 1
        return at, False


def _said(row: Sequence[str]) -> str:
    return f"{row[0]}:{row[1]}"


def checksum_of(bids: list[str], asks: list[str]) -> int:
    """The exchange's checksum over the ``price:size`` texts of both sides.

    A signed CRC32, bid and ask in turn, then the rest of the longer side.
    """
    both = min(len(bids), len(asks))
    parts = [""] * (2 * both)
    parts[::2], parts[1::2] = bids[:both], asks[:both]
    crc = zlib.crc32(":".join(parts + bids[both:] + asks[both:]).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc
