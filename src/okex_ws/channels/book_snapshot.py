"""Joins a book from REST to updates that came without a snapshot, by sequence number.

The exchange once announced that v5 would drop the snapshot from the stream. In that
case the first updates are kept and the book is fetched. Updates up to the sequence
number of the book are dropped. The first update that is left has to begin at that
number or before it, and to end after it. A row of an update is the size that stands at
its price afterwards, so an update may be applied to a book that contains a part of it.
Pure.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ..base.errors import BookError, SequenceGap
from ..model.items import PastBook
from ..protocol.messages import BookData

# How many updates wait for the book at most: minutes of the busiest book.
MOST_WAITING = 5000
# How often the book is fetched at most, and the first wait in between in seconds.
FETCHES = 6
FIRST_WAIT = 0.25


class BookMessage(NamedTuple):
    """One message of a book channel: the change, and the exchange's JSON text of it."""

    change: BookData
    text: str


class SnapshotJoin:
    """Joins the first updates of a book channel to a book that is fetched over REST.

    It is needed only if the exchange sends updates without a snapshot before them: they
    change a book that is not known. `add` keeps the updates while the book is fetched,
    `fetched` takes the book, and `joined` returns the book and the updates that follow
    it once their sequence numbers meet, and nothing until then. A fetched book that is
    older than the first update is dropped, and `is_behind` says that another one has to
    be fetched; *fetches* counts the attempts without a usable book.

    `BookError` is raised if an update does not follow the one before, if more than
    5,000 would wait, or if the book has no sequence number; the channel then drops this
    object. Only the thread of the channel's connection calls it.
    """

    def __init__(self) -> None:
        self._waiting: deque[BookMessage] = deque()
        self._last: BookMessage | None = None
        self._book: PastBook | None = None
        # How many attempts gave no book, or one that was too old.
        self.fetches = 0

    @property
    def is_behind(self) -> bool:
        """Whether a newer book still has to be fetched."""
        return self._book is None

    def add(self, message: BookMessage) -> None:
        """Keep one more update; `BookError` if it does not follow the last one."""
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
        """Keep the fetched *book*, unless it is older than the first update.

        `BookError` if it has no sequence number.
        """
        if book.seq is None:
            raise BookError("the book that was fetched has no number")
        oldest = self._waiting[0].change.prev_seq if self._waiting else None
        is_older = oldest is not None and book.seq < oldest
        self._book = None if is_older else book
        self.fetches += is_older

    def joined(self) -> list[BookMessage]:
        """The whole book and the updates that follow it; empty while they do not meet.

        The book has the text of the last update that it contains.
        """
        book, passed = self._book, None
        if book is None or book.seq is None or self._last is None:
            return []
        while self._waiting and (self._waiting[0].change.seq or 0) <= book.seq:
            passed = self._waiting.popleft()
        if not self._waiting and self._last.change.seq != book.seq:
            return []  # the book is newer than the last update
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
