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

    A page that is no run of the list, is not joined to the pages before it, or leads no
    further back, is requested once more. If the second one is no better, the search of
    that source ends. An item that was only expected is not required of the second one.
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
            run = is_run(page)
            again, anyway = not led, not led and search.known is None
            led = run and search.take(kept, anyway)
            if source.pages:
                ends = len(page) < count and source is not sources[-1]
            else:
                ends = led or (run and search.is_joined)
            if ends or search.is_end or (again and not led):
                break
    return [item for item, _ in search.oldest_first()[-search.limit :]]


def is_run(page: Sequence[tuple[int, object]]) -> bool:
    """Whether *page* is in order, so that nothing is missing inside it.

    Rows of another page in front, as of a cache, take the place of its older rows.
    """
    places = [place for place, _ in page]
    return places in (sorted(places), sorted(places, reverse=True))
