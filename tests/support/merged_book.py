"""A client's book by brute force, without the library's code, that notes every flaw."""

from __future__ import annotations

import json
import zlib
from decimal import Decimal
from typing import Any

Row = tuple[str, ...]


class Merged:
    """One channel's book, merged from its messages; *flaws* is what these get wrong."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, Row]] = {"bids": {}, "asks": {}}
        self.seq: int | None = None
        self.flaws: list[str] = []
        self.actions: list[str] = []

    def take(self, text: str) -> dict[str, Any]:
        """Merge one message; return its element, with its numbers as they came."""
        message = json.loads(text, parse_float=str, parse_int=str)
        (element,) = message["data"]
        action = message["action"]
        whole = action in ("partial", "snapshot")
        if whole:
            self.sides = {"bids": {}, "asks": {}}
        elif not self.actions:
            self.flaws.append("no snapshot")
        self.actions.append(action)
        for side, held in self.sides.items():
            for row in element[side]:
                self._change(held, tuple(row))
        self._check(element, whole)
        return dict(element)

    def _change(self, held: dict[Decimal, Row], row: Row) -> None:
        if Decimal(row[1]) < 0:
            self.flaws.append("size")
        if Decimal(row[1]):
            held[Decimal(row[0])] = row
        else:
            held.pop(Decimal(row[0]), None)

    def _check(self, element: dict[str, Any], whole: bool) -> None:
        if "seqId" in element:
            prev = int(element["prevSeqId"])
            if (prev != -1) if whole else (self.seq is not None and prev != self.seq):
                self.flaws.append("sequence")
            self.seq = int(element["seqId"])
        # v5 has retired the checksum: it sends 0.
        provided = "seqId" not in element or element["checksum"] != "0"
        if provided and int(element["checksum"]) != self.checksum():
            self.flaws.append("checksum")

    def side(self, name: str) -> tuple[Row, ...]:
        """One side of the book, best level first."""
        held = self.sides[name]
        return tuple(held[price] for price in sorted(held, reverse=name == "bids"))

    @property
    def book(self) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
        """The bids and the asks, best level first."""
        return self.side("bids"), self.side("asks")

    def checksum(self) -> int:
        """The signed CRC32 of the best 25 levels a side, as the exchange defines it."""
        bids, asks = self.book
        parts: list[str] = []
        for i in range(25):
            for rows in (bids, asks):
                if i < len(rows):
                    parts += [rows[i][0], rows[i][1]]
        unsigned = zlib.crc32(":".join(parts).encode())
        return unsigned - 2**32 if unsigned >= 2**31 else unsigned
