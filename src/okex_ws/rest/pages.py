"""The exchange's lists of past items, read in pages, one after another. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..history.search import Search, T

PageRequest = TypeVar("PageRequest")


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


def collect(
    sources: Sequence[PageSource[PageRequest]],
    fetch: Callable[[PageRequest], Sequence[tuple[int, T]]],
    search: Search[T],
    keep: Callable[[T], bool] = lambda thing: True,
) -> list[T]:
    """Search *sources* in their order for items that *keep* accepts, oldest first.

    A page that is not joined to the pages before it, or leads no further back, is
    requested once more. If the second one is no better, the search of that source ends.
    An item that was only expected is not required of the second one.
    """
    for source in sources:
        led = True
        while not search.is_done:
            older_than = None if search.cursor is None else search.cursor + 1
            # Two more than are missing: the item at the cursor comes again, and the
            # newest candle may still be open.
            count = min(source.size, search.missing + 2)
            page = fetch(source.request(older_than, count))
            kept = {place: thing for place, thing in page if keep(thing)}
            again, led = not led, search.take(kept, not led and search.known is None)
            if source.pages:
                ends = len(page) < count and source is not sources[-1]
            else:
                ends = led or search.is_joined
            if ends or search.is_end or (again and not led):
                break
    return [item for item, _ in search.oldest_first()[-search.limit :]]
