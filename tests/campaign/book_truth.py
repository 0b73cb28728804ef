"""What a whole book really was, merged from what the exchange sent by code of its own.

A branch is the book of a client that got a snapshot and everything since. It ends with
the first message that does not follow on it, as a client's own book must.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from datetime import datetime
from itertools import chain, zip_longest
from typing import Any

from okex_ws.local_exchange import LocalExchange
from tests.campaign.dialect import said_at
from tests.campaign.truth import LEVELS, Content, Levels, Placed, Truth, market_times

_SIGNED = 25
# A client that was there before a snapshot may have another book below the best 25.
_BRANCHES = 4


class _Branch:
    """A book by price, and the number of its last message under v5."""

    def __init__(self) -> None:
        self.seq: str | None = None
        self._sides: tuple[dict[float, tuple[str, ...]], ...] = ({}, {})
        self.bids: Levels = ()
        self.asks: Levels = ()

    def take(self, element: dict[str, Any]) -> bool:
        """Merge a message; whether it proved itself."""
        follows = element.get("prevSeqId") in (None, "-1", self.seq)
        for side, rows in zip(
            self._sides, (element["bids"], element["asks"]), strict=True
        ):
            for row in rows:
                follows &= not row[1].startswith("-")
                if float(row[1]):
                    side[float(row[0])] = tuple(row)
                else:
                    side.pop(float(row[0]), None)
        self.seq = element.get("seqId")
        bids, asks = self._sides
        self.bids = tuple(row for _, row in sorted(bids.items(), reverse=True))
        self.asks = tuple(row for _, row in sorted(asks.items()))
        return follows and self._is_signed(element)

    def _is_signed(self, element: dict[str, Any]) -> bool:
        # Under v5 it is 0 where it says nothing; under v3 there is no other proof.
        if self.seq is not None and element["checksum"] == "0":
            return True
        pairs = zip_longest(self.bids[:_SIGNED], self.asks[:_SIGNED])
        rows = (row[:2] for pair in pairs for row in pair if row)
        crc = zlib.crc32(":".join(chain.from_iterable(rows)).encode())
        return int(element["checksum"]) in (crc, crc - (1 << 32))


class BookTruth(Truth):
    """Every version of a whole book that somebody could have from what was sent."""

    def __init__(self, exchange: LocalExchange, channel: str) -> None:
        super().__init__(exchange, channel)
        self._branches: list[_Branch] = []
        # Hashes of versions: their last place, and by ``seqId`` or by time.
        self._versions: dict[int, int] = {}
        self._keyed: dict[object, dict[int, int]] = defaultdict(dict)

    def _take(self, element: dict[str, Any], place: int) -> None:
        self._branches = [each for each in self._branches if each.take(element)]
        whole = _Branch()
        # A change alone never has the checksum of the whole book.
        is_whole = element.get("prevSeqId", "-1") == "-1" and whole.take(element)
        if is_whole and all(
            _version(each) != _version(whole) for each in self._branches
        ):
            self._branches = [*self._branches[1 - _BRANCHES :], whole]
        at = said_at(element)
        for branch in self._branches:
            version = hash(_version(branch))
            self._versions[version] = place
            for key in (at, branch.seq):
                self._keyed[key][version] = place
            bids, asks = branch.bids[:LEVELS], branch.asks[:LEVELS]
            self._note(Content(at, bids, asks), place)

    def _forget(self, first: int) -> None:
        super()._forget(first)
        self._versions = _since(self._versions, first)
        for key, versions in list(self._keyed.items()):
            self._keyed[key] = _since(versions, first)
            if not self._keyed[key]:
                del self._keyed[key]

    def version(
        self,
        bids: Levels,
        asks: Levels,
        now: float,
        key: datetime | int | None = None,
    ) -> Placed | None:
        """The place of a whole book among all pushes, if it was one of *key*.

        *key* is a ``seqId``, a timestamp, or ``None`` for any.
        """
        version = hash((bids, asks))
        with self._lock:
            self.keep_up(now)
            found = self._known(version, key)
            if found is None:
                self.refresh(now)
                found = self._known(version, key)
            return None if found is None else Placed(self, found, found)

    def _known(self, version: int, key: datetime | int | None) -> int | None:
        if key is None:
            return self._versions.get(version)
        names = market_times(key) if isinstance(key, datetime) else (str(key),)
        places = (self._keyed.get(name, {}).get(version) for name in names)
        return next((place for place in places if place is not None), None)


def _version(branch: _Branch) -> tuple[Levels, Levels]:
    return branch.bids, branch.asks


def _since(versions: dict[int, int], first: int) -> dict[int, int]:
    return {version: place for version, place in versions.items() if place >= first}
