"""`Search`: a search back in time through a list of past items, page by page. Pure.

A place is a whole number that orders the items: the id of a trade, or the start of a
candle. The list is complete, and a page is a run of it, so a page can lack items only
at its ends. Each page after the first is asked for with the last item of the page
before it, and the presence of that item proves that nothing between the two pages was
left out. Each accepted page leads further back, so the search ends.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Search(Generic[T]):
    """The items that one search has found, and how far back in time it has come.

    The search wants the newest *limit* items strictly between the places *after* and
    *before* (``None`` is no bound), and is done once it has them or has come to
    *after*. *known* is the item at the place *before* itself; with *exact* one is
    expected there. *same* tells whether two items of one place are one item, and
    *follows* whether no item can be between two places. The caller asks for pages and
    adds them with `take`, one at a time.
    """

    def __init__(
        self,
        after: int | None,
        before: int | None,
        limit: int,
        *,
        known: T | None = None,
        exact: bool = False,
        same: Callable[[T, T], bool] = lambda item, other: True,
        follows: Callable[[int, int], bool] = lambda older, newer: False,
    ) -> None:
        self.after, self.limit = after, limit
        # The search has looked at every place from the newest down to this one, where
        # this item is.
        self.cursor, self.known = before, known
        self._exact, self._same, self._follows = exact, same, follows
        # Newest first, each with whether none is missing before the next newer one.
        self._found: list[tuple[T, bool]] = []
        self._places: list[int] = []
        # Of the last page: whether it is joined to what was found before, and whether
        # it has only the item at the cursor, so that nothing older exists.
        self.is_joined = self.is_end = False

    @property
    def missing(self) -> int:
        """How many of the *limit* items are not found yet."""
        return self.limit - len(self._found)

    @property
    def is_done(self) -> bool:
        """Whether no further page is needed."""
        if self.missing <= 0 or self.after is None or self.cursor is None:
            return self.missing <= 0
        return self.cursor <= self.after + 1

    def take(
        self,
        page: Mapping[int, T],
        anyway: bool = False,
        holes: Collection[int] = (),
    ) -> bool:
        """Add the items of *page*, by place; True if it led further back.

        A page that is not joined to what was found is added only if *anyway* says so.
        Behind the items at the places *holes* newer ones are missing.
        """
        after, cursor = self.after, self.cursor
        older = [place for place in page if cursor is None or place < cursor]
        older.sort(reverse=True)
        joined = self.is_joined = self._joins(page, older)
        self.is_end = joined and page.keys() == {cursor}
        if not older or not (joined or anyway):
            return False
        for place in older:
            if after is None or place > after:
                is_joined = joined if place == older[0] else True
                self._found.append((page[place], is_joined and place not in holes))
                self._places.append(place)
        self.cursor, self.known = older[-1], page[older[-1]]
        return True

    def _joins(self, page: Mapping[int, T], older: Sequence[int]) -> bool:
        """Whether nothing is missing between *page* and what was found before."""
        if self.cursor is None:
            return True
        if self.known is None:
            return not self._exact or any(place >= self.cursor for place in page)
        if (again := page.get(self.cursor)) is not None:
            return self._same(again, self.known)
        return bool(older) and self._follows(older[0], self.cursor)

    def oldest_first(self) -> list[tuple[T, bool]]:
        """The items, and whether none is missing between each and the next one."""
        return self._found[::-1]

    def places(self) -> list[int]:
        """The places of the items, oldest first."""
        return self._places[::-1]
