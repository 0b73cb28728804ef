"""The order book: versions that never change, merged as the exchange says, and proven.

A row is a tuple of the wire's own ``str``, price and size first. Prices are compared
as numbers and kept as written, because the checksum is over the characters.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Any, NamedTuple

from .numbers import NUMBERS, decimal, quote, to_float

# The exchange's checksum covers this many levels of each side.
CHECKSUM_LEVELS = 25
# The exchange keeps 400 a side, and gives 5,000 over REST: more is no book.
MAX_LEVELS = 5000

# Whatever a script's own context is. What the wire can say has 64 digits, and so a
# product of two less than this; an exponent of two digits, and so a sum too.
_EXACT = Context(prec=400)
_ROUNDED = Context(prec=28)

# A level of a book: price, size, then what the wire adds (liquidated orders on v3
# derivatives, "0" where the field is retired, and last the number of orders).
Level = tuple[str, ...]
# One side of a book, best first.
Side = tuple[Level, ...]


class Sweep(NamedTuple):
    """What an order of a size would meet in a book, if nothing else moved.

    *average* is the price weighted by size, to 28 digits, *worst* the last price that
    is needed; both are ``None`` where nothing can be had. *filled* and *remaining* add
    up to the size.
    """

    average: Decimal | None
    worst: Decimal | None
    filled: Decimal
    remaining: Decimal


@dataclass(frozen=True, slots=True)
class OrderBook:
    """One version of a book: *bids* and *asks*, best first; either may be empty.

    A row is ``(price, size, ..., orders)`` in the wire's own characters. Sizes are in
    base currency on spot and in contracts on every other market.
    """

    bids: Side = ()
    asks: Side = ()

    def apply(
        self,
        action: str,
        bids: Iterable[Sequence[str]],
        asks: Iterable[Sequence[str]],
    ) -> OrderBook:
        """The next version, after one message of the exchange.

        *action* is ``'partial'`` (v3) or ``'snapshot'`` (v5), which replaces the book,
        or ``'update'``, whose rows replace, insert or, with a size of zero, delete
        their price; deleting a price that is not held is normal (it left the window).

        Raises:
            ValueError: another action, or a row that is not made of numbers.
        """
        if action not in ("partial", "snapshot", "update"):
            raise ValueError(
                f"action is 'partial', 'snapshot' or 'update', got {action!r}"
            )
        held = self if action == "update" else OrderBook()
        merged = MergedSide(-1.0, held.bids), MergedSide(1.0, held.asks)
        try:
            merged[0].merge(bids)
            merged[1].merge(asks)
        except TypeError as error:
            raise ValueError(str(error)) from error
        return OrderBook(merged[0].version(), merged[1].version())

    def checksum(self) -> int:
        """Signed CRC32 of the top 25 a side, bid and ask by turns, as the wire has it.

        The longer side goes on alone. An empty book gives 0.
        """
        sides = self.bids[:CHECKSUM_LEVELS], self.asks[:CHECKSUM_LEVELS]
        return checksum_of(*(list(map(_said, side)) for side in sides))

    # --- What it says ---------------------------------------------------------------

    def top(self, levels: int) -> OrderBook:
        """The book of the best *levels* of each side."""
        if levels < 0:
            raise ValueError(f"levels cannot be negative, got {levels}")
        return OrderBook(self.bids[:levels], self.asks[:levels])

    @property
    def best(self) -> tuple[Level | None, Level | None]:
        """Best bid and best ask; ``None`` for an empty side."""
        return (
            self.bids[0] if self.bids else None,
            self.asks[0] if self.asks else None,
        )

    @property
    def mid(self) -> Decimal | None:
        """Half-way between best bid and best ask; ``None`` while a side is empty."""
        bid, ask = self._prices()
        if bid is None or ask is None:
            return None
        return _EXACT.divide(_EXACT.add(bid, ask), Decimal(2))

    @property
    def spread(self) -> Decimal | None:
        """Best ask less best bid; ``None`` while a side is empty."""
        bid, ask = self._prices()
        return None if bid is None or ask is None else _EXACT.subtract(ask, bid)

    @property
    def crossed(self) -> bool:
        """Whether the best bid is not below the best ask, as in an auction."""
        bid, ask = self._prices()
        return bid is not None and ask is not None and bid >= ask

    def _prices(self) -> tuple[Decimal | None, Decimal | None]:
        bid, ask = self.best
        return (
            None if bid is None else Decimal(bid[0]),
            None if ask is None else Decimal(ask[0]),
        )

    def sweep(self, side: str, size: Decimal | int | str) -> Sweep:
        """What a taker of *side* would pay who takes *size*, level after level.

        *side* is the taker's, as of a `Trade`: ``'buy'`` takes from the asks and
        ``'sell'`` from the bids. *size* is in the unit of the book's sizes, and a
        ``float`` is no exact one.

        Raises:
            ValueError, TypeError: another side, or a size that is no positive number.
        """
        if side not in ("buy", "sell"):
            raise ValueError(f"side is 'buy' or 'sell', got {side!r}")
        wanted = left = _size(size)
        paid, worst = Decimal(0), None
        for row in self.asks if side == "buy" else self.bids:
            if not left:
                break
            worst = Decimal(row[0])
            taken = min(left, Decimal(row[1]))
            paid = _EXACT.fma(taken, worst, paid)
            left = _EXACT.subtract(left, taken)
        filled = _EXACT.subtract(wanted, left)
        average = _ROUNDED.divide(paid, filled) if filled else None
        return Sweep(average, worst, filled, left)


def _size(size: object) -> Decimal:
    if isinstance(size, bool) or not isinstance(size, (Decimal, int, str)):
        raise TypeError(f"size is a Decimal, an int or a str, got {size!r:.80}")
    number = Decimal(size) if not isinstance(size, str) else decimal(size)
    if not (number.is_finite() and number > 0):
        raise ValueError(f"size is more than 0, got {size!r:.80}")
    if len(number.as_tuple().digits) > 64 or abs(number.adjusted()) > 99:
        raise ValueError(f"size has more digits than any book: {size!r:.80}")
    return number


class MergedSide:
    """One side while it is merged: what stands at each price, best first.

    *sign* makes a better price a lower key. The keys are floats: two prices of more
    than 15 digits may share one, and are then told apart exactly.
    """

    __slots__ = ("_keys", "_rows", "_said", "_sign", "_version")

    def __init__(self, sign: float, rows: Side = ()) -> None:
        self._sign = sign
        self._keys = [NUMBERS[row[0]] * sign for row in rows]
        self._rows = list(rows)
        # What the checksum has of each row, kept from the first one on.
        self._said: list[str] | None = None
        self._version: Side | None = rows

    def version(self) -> Side:
        """The rows as they are now, which is made once."""
        if self._version is None:
            self._version = tuple(self._rows)
        return self._version

    def top(self) -> list[str]:
        """What the checksum is over, of this side."""
        if self._said is None:
            self._said = list(map(_said, self._rows))
        return self._said[:CHECKSUM_LEVELS]

    def merge(self, changes: Iterable[Sequence[Any]]) -> None:
        """Replace, insert or delete; the hot path of every book.

        ``ValueError`` or ``TypeError``, in the middle of it, for what is no level.
        """
        self._version = None
        keys, rows, said, sign = self._keys, self._rows, self._said, self._sign
        number = NUMBERS
        for change in changes:
            if type(change) is not list and type(change) is not tuple:
                raise ValueError(f"a level is {quote(change)}")
            if len(change) == 4:
                price, size, more, orders = change
                number[more]
            else:
                price, size, orders = change
            number[orders]
            key = number[price] * sign
            at = bisect_left(keys, key)
            held = at < len(keys) and keys[at] == key
            if held and rows[at][0] != price:
                at, held = self._find_exactly(at, key, price)
            if size == "0" or not to_float(size):
                # "0", "0.0" and "0.00000000" all say that the price is gone.
                if held:
                    del keys[at], rows[at]
                    if said is not None:
                        del said[at]
            elif held:
                rows[at] = tuple(change)
                if said is not None:
                    said[at] = f"{price}:{size}"
            elif key:
                keys.insert(at, key)
                rows.insert(at, tuple(change))
                if said is not None:
                    said.insert(at, f"{price}:{size}")
            else:
                raise ValueError(f"a level at {quote(price)}")
        if len(keys) > MAX_LEVELS:
            raise ValueError(f"{len(keys)} levels, of {MAX_LEVELS} at the most")

    def _find_exactly(self, at: int, key: float, price: str) -> tuple[int, bool]:
        """Where *price* is or belongs among those of the same *key*, and if it is."""
        exact = Decimal(price)
        while at < len(self._keys) and self._keys[at] == key:
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
    """Of "price:size" texts: bid and ask by turns, then the longer side alone."""
    both = min(len(bids), len(asks))
    parts = [""] * (2 * both)
    parts[::2], parts[1::2] = bids[:both], asks[:both]
    crc = zlib.crc32(":".join(parts + bids[both:] + asks[both:]).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc
