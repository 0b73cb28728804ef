"""The newest of what lies between two places, out of pages that lead back. No I/O.

A place is a whole number by which things are ordered: the id of a trade, the start of a
candle. What is known by its place is never there twice, and every page but the first
must begin with the last thing of the page before it: that is asked for once more, and
proves that nothing was left out in between. Every page that is believed leads further
back, so that there is an end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

PageRequest = TypeVar("PageRequest")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PageSource(Generic[PageRequest]):
    """A way to ask for what is older than a place, newest first, at most *size*.

    *request* is given that place (``None`` for the newest) and how many. One without
    *pages* knows the newest alone, whatever the place.
    """

    size: int
    request: Callable[[int | None, int], PageRequest]
    pages: bool = True


class Found(Generic[T]):
    """What was found so far of *limit* things strictly between *after* and *before*.

    With *exact* there should be a thing at *before* itself.
    """

    def __init__(
        self, after: int | None, before: int | None, limit: int, exact: bool = False
    ) -> None:
        self._after, self._before, self._limit = after, before, limit
        self._found: dict[int, T] = {}
        # Everything newer has been looked at.
        self.cursor = before
        # Whether a thing is known to be there, or is likely to.
        self._is_known, self._is_likely = False, exact and before is not None

    @property
    def missing(self) -> int:
        """How many of the *limit* are not there yet."""
        return self._limit - len(self._found)

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to ask for."""
        if self.missing <= 0:
            return True
        if self._after is None or self.cursor is None:
            return False
        return self.cursor <= self._after + 1

    def reaches(self, page: Iterable[tuple[int, T]]) -> bool:
        """Whether a *page* of the newest reaches up to where there is to look."""
        before = self._before
        return before is None or any(place >= before for place, _ in page)

    def follows(self, page: Sequence[tuple[int, T]], again: bool) -> bool:
        """Whether nothing is left out before a *page*, asked for *again* or not."""
        if not (self._is_known or (self._is_likely and not again)):
            return bool(page)
        return any(place == self.cursor for place, _ in page)

    def take(self, page: Iterable[tuple[int, T]], keep: Callable[[T], bool]) -> bool:
        """Add what a *page* has to add; whether it led further back."""
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
        """Whether *page* is as one behind which there is nothing."""
        return len(page) == 1 and page[0][0] == self.cursor

    def oldest_first(self) -> list[T]:
        """The newest *limit*, as far as they were found."""
        places = sorted(self._found)[-self._limit :]
        return [self._found[place] for place in places]


def collect(
    sources: Sequence[PageSource[PageRequest]],
    fetch: Callable[[PageRequest], Sequence[tuple[int, T]]],
    found: Found[T],
    keep: Callable[[T], bool] = lambda thing: True,
) -> list[T]:
    """Page back through *sources*, one after the other: what there is, oldest first.

    A page that does not follow, or leads nowhere, is asked for once more: then it is
    the end.
    """
    for source in sources:
        is_last, doubts = source is sources[-1], 0
        while not found.is_done and doubts < 2:
            older_than = None if found.cursor is None else found.cursor + 1
            # Two more than are missing: the last one again, and the newest candle may
            # still be open.
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
