"""A book begun without a snapshot: fetched, and joined to its updates by number.

The exchange once announced to drop the snapshot from the stream of v5. Then the updates
are kept that come first, the book is fetched, and those of its number or an older one
are dropped: the first that is left has to begin at that number or before it, and to end
after it. What the rows of an update say is what stands there after it, so it may change
a book that has half of it already. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..base.errors import BookError, SequenceGap
from ..model.items import PastBook
from ..protocol.messages import BookData

# So many updates wait for the book: minutes of the busiest one.
MOST_WAITING = 5000
# How often it is fetched at the most, and the first wait in between.
FETCHES = 6
FIRST_WAIT = 0.25


class BookMessage(NamedTuple):
    """A change of a book, and the venue's own text that said it."""

    change: BookData
    text: str


class SnapshotJoin:
    """The updates that wait for the book that they change, and that book."""

    def __init__(self) -> None:
        self._waiting: deque[BookMessage] = deque()
        self._last: BookMessage | None = None
        self._book: PastBook | None = None
        # How often it was fetched in vain.
        self.fetches = 0

    @property
    def is_behind(self) -> bool:
        """Whether a book has to be fetched that is newer than any yet."""
        return self._book is None

    def add(self, message: BookMessage) -> None:
        """One more update; `BookError` if it is not the one after the last."""
        change, last = message.change, self._last
        if last is not None and change.prev_seq != last.change.seq:
            raise SequenceGap(last.change.seq, change.prev_seq)
        if change.seq is None or change.prev_seq is None:
            raise BookError("an update without a number, before any snapshot")
        if change.seq < change.prev_seq:
            raise BookError("the numbers began anew before the book was there")
        if len(self._waiting) >= MOST_WAITING:
            raise BookError(f"{MOST_WAITING} updates came, and no book")
        self._waiting.append(message)
        self._last = message

    def fetched(self, book: PastBook) -> None:
        """A *book* was fetched; it is of no use if it is older than the first update.

        `BookError` if it has no number.
        """
        if book.seq is None:
            raise BookError("the book that was fetched has no number")
        oldest = self._waiting[0].change.prev_seq if self._waiting else None
        is_older = oldest is not None and book.seq < oldest
        self._book = None if is_older else book
        self.fetches += is_older

    def joined(self) -> list[BookMessage]:
        """The whole book and the updates that follow it; nothing while that is open.

        The first has the text of the last update that is in it.
        """
        book, passed = self._book, None
        if book is None or book.seq is None or self._last is None:
            return []
        while self._waiting and (self._waiting[0].change.seq or 0) <= book.seq:
            passed = self._waiting.popleft()
        if not self._waiting and self._last.change.seq != book.seq:
            return []  # it is ahead of the stream
        whole = BookMessage(_whole(book), (passed or self._last).text)
        rest = list(self._waiting)
        if rest:
            change = rest[0].change._replace(prev_seq=book.seq)
            rest[0] = rest[0]._replace(change=change)
        return [whole, *rest]


def _whole(book: PastBook) -> BookData:
    time_ms = round(book.timestamp.timestamp() * 1000)
    bids, asks = list(map(list, book.bids)), list(map(list, book.asks))
    return BookData(True, bids, asks, time_ms, book.seq, -1, None)
