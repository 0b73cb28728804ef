"""The order book: immutable versions, merged as the exchange says, with its proof.

A row is a tuple of the wire's own ``str``, price and size first. Prices are compared
as numbers and kept as written, because the checksum is over the characters.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from .messages import Level

# The exchange's checksum covers this many levels of each side.
CHECKSUM_LEVELS = 25


@dataclass(frozen=True, slots=True)
class OrderBook:
    """One version of a book: *bids* and *asks*, best first; either may be empty.

    Sizes are in base currency on spot and in contracts on every other market.
    """

    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

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
        Hand in what a protocol has read: text that is no number raises
        ``decimal.InvalidOperation``.
        """
        if action in ("partial", "snapshot"):
            held = OrderBook()
        elif action == "update":
            held = self
        else:
            raise ValueError(
                f"action is 'partial', 'snapshot' or 'update', got {action!r}"
            )
        return OrderBook(
            _merged(held.bids, bids, _falling), _merged(held.asks, asks, _rising)
        )

    def checksum(self) -> int:
        """Signed CRC32 of the top 25 a side, bid and ask by turns, as the wire has it.

        The longer side goes on alone. An empty book gives 0.
        """
        parts: list[str] = []
        for i in range(CHECKSUM_LEVELS):
            for side in (self.bids, self.asks):
                parts += side[i][:2] if i < len(side) else ()
        crc = zlib.crc32(":".join(parts).encode())
        return crc - (1 << 32) if crc >= 1 << 31 else crc

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


def _rising(row: Sequence[str]) -> Decimal:
    return Decimal(row[0])


def _falling(row: Sequence[str]) -> Decimal:
    return -Decimal(row[0])


def _merged(
    side: tuple[Level, ...],
    changes: Iterable[Sequence[str]],
    rank: Callable[[Sequence[str]], Decimal],
) -> tuple[Level, ...]:
    rows = list(side)
    for change in changes:
        at = bisect_left(rows, rank(change), key=rank)
        held = at < len(rows) and rank(rows[at]) == rank(change)
        # "0", "0.0" and "0.00000000" all say that the price is gone.
        row = (tuple(change),) if Decimal(change[1]) else ()
        rows[at : at + held] = row
    return tuple(rows)
