"""A search in the exchange's lists of past items, page by page, back in time. No I/O.

A place is a whole number that orders the items: the id of a trade, or the start of a
candle. `Found` keeps one item for each place, so no item is there twice. Each page
after the first must begin with the last item of the page before it: `collect` asks for
that item again, and its presence proves that nothing between the two pages was left
out. Each accepted page leads further back, so the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PageRequest = TypeVar("PageRequest")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageSource(Generic[PageRequest]):
    """One list of the exchange that can be read in pages, newest items first.

    *request* is a callable that takes a place and a count: it makes the request for at
    most so many items older than that place, or for the newest items if the place is
    ``None``. *size* is the most items of one page. A source without *pages* gives only
    the newest items, for every place.
    """

    size: int
    request: Callable[[int | None, int], PageRequest]
    pages: bool = True


class Found(Generic[T]):
    """The items that one search has found, and how far back in time it has come.

    The search wants the newest *limit* items strictly between the places *after* and
    *before* (``None`` is no bound), and is done once it has them or has come to
    *after*. With *exact* an item is expected at the place *before* itself. `follows`
    tells whether a page continues the pages before it with no item left out. Only the
    thread that searches uses it.
    """

    def __init__(
        self, after: int | None, before: int | None, limit: int, exact: bool = False
    ) -> None:
        self._after, self._before, self._limit = after, before, limit
        self._found: dict[int, T] = {}
        # The search has looked at every place from the newest down to this one.
        self.cursor = before
        # Whether an item at the cursor is known to exist, or is only expected.
        self._is_known, self._is_likely = False, exact and before is not None

    @property
    def missing(self) -> int:
        """How many of the *limit* items are not found yet."""
        return self._limit - len(self._found)

    @property
    def is_done(self) -> bool:
        """Whether no further page is needed."""
        if self.missing <= 0:
            return True
        if self._after is None or self.cursor is None:
            return False
        return self.cursor <= self._after + 1

    def reaches(self, page: Iterable[tuple[int, T]]) -> bool:
        """Whether a *page* of the newest items includes items as new as *before*."""
        before = self._before
        return before is None or any(place >= before for place, _ in page)

    def follows(self, page: Sequence[tuple[int, T]], again: bool) -> bool:
        """Whether nothing is left out between the pages so far and *page*.

        That is so if *page* includes the item at the cursor. If no item is known to be
        there, a page that is not empty is enough. *again* says that the page was asked
        for a second time; then an item that was only expected there is not required.
        """
        if not (self._is_known or (self._is_likely and not again)):
            return bool(page)
        return any(place == self.cursor for place, _ in page)

    def take(self, page: Iterable[tuple[int, T]], keep: Callable[[T], bool]) -> bool:
        """Add the items of *page* that *keep* accepts; True if it led further back."""
        led = False
        for place, thing in sorted(page, key=lambda each: -each[0]):
            if self.cursor is None or place < self.cursor:
                self.cursor, self._is_known, led = place, True, True
            newer = self._after is None or place > self._after
            older = self._before is None or place < self._before
            if newer and older and keep(thing):
                self._found.setdefault(place, thing)
        return led

    def is_end(self, page: Sequence[tuple[int, T]]) -> bool:
        """Whether *page* has only the item at the cursor: nothing older exists."""
        return len(page) == 1 and page[0][0] == self.cursor

    def oldest_first(self) -> list[T]:
        """The *limit* newest of the found items, oldest first."""
        places = sorted(self._found)[-self._limit :]
        return [self._found[place] for place in places]


def collect(
    sources: Sequence[PageSource[PageRequest]],
    fetch: Callable[[PageRequest], Sequence[tuple[int, T]]],
    found: Found[T],
    keep: Callable[[T], bool] = lambda thing: True,
) -> list[T]:
    """Search *sources* in their order; returns the items that were found, oldest first.

    A page that does not follow the pages before it, or leads no further back, is
    requested once more. If the second one is no better, the search of that source ends.
    """
    for source in sources:
        is_last, doubts = source is sources[-1], 0
        while not found.is_done and doubts < 2:
            older_than = None if found.cursor is None else found.cursor + 1
            # Two more than are missing: the item at the cursor comes again, and the
            # newest candle may still be open.
            count = min(source.size, found.missing + 2)
            page = fetch(source.request(older_than, count))
            if not source.pages:
                doubts += 1
                if found.reaches(page) or doubts == 2:
                    found.take(page, keep)
                    break
                continue
            is_end = found.is_end(page)
            led = found.follows(page, doubts > 0) and found.take(page, keep)
            doubts = 2 if is_end else 0 if led else doubts + 1
            if not is_last and len(page) < count:
                break
    return found.oldest_first()
