"""The exchange's lists of past items, read in pages, one after another. No I/O."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Generic, NamedTuple, TypeVar, Union

from ..base.errors import WireError
from ..history.search import Search, T

PageRequest = TypeVar("PageRequest")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


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


class LeftOut(NamedTuple):
    """A row of the exchange's list that could not be read: *error* says why.

    *place* is how many items of the answer come before it.
    """

    place: int
    error: WireError


class Answer(tuple[T, ...]):
    """The items of an answer of the exchange: a ``tuple`` that also has `left_out`.

    One row that cannot be read costs only itself: the others are the items.
    """

    left_out: tuple[LeftOut, ...]

    def __new__(
        cls, items: Iterable[T] = (), left_out: Iterable[LeftOut] = ()
    ) -> Answer[T]:
        """The *items*, and what was left out between them, in the same order."""
        made = super().__new__(cls, items)
        made.left_out = tuple(left_out)
        return made


def answer_of(rows: Iterable[T | WireError | None]) -> Answer[T]:
    """The items of *rows*, without ``None``; errors stand for rows left out.

    If there is nothing but errors, the first one is raised.
    """
    items, left_out, readable = list[T](), list[LeftOut](), False
    for row in rows:
        if isinstance(row, WireError):
            left_out.append(LeftOut(len(items), row))
            continue
        readable = True
        if row is not None:
            items.append(row)
    if left_out and not readable:
        raise left_out[0].error
    return Answer(items, left_out)


# A page as it was read: each item with its place, and errors in the place of others.
Page = Sequence[Union[tuple[int, T], WireError]]


class _Holes:
    """The rows of all pages that could not be read, by their neighbours in the list.

    A page that is asked for again has a row again: it counts once, by the next newer
    item.
    """

    def __init__(self) -> None:
        self._found: dict[float, tuple[float, list[WireError]]] = {}

    def add(self, page: Page[T], newer: int | None) -> None:
        """Note the bad rows of *page*, which is newest first; *newer* is before it."""
        above, errors = _top(newer), list[WireError]()
        for row in page:
            if isinstance(row, WireError):
                errors.append(row)
                continue
            if row[0] < above:  # else it is newer than what was asked for
                self._found[above] = row[0], errors
            above, errors = row[0], []
        if errors:
            self._found.setdefault(above, (-math.inf, errors))

    def between(
        self, places: Sequence[int], search: Search[T], before: int | None
    ) -> Iterator[LeftOut]:
        """What is left out beside the items at *places*, which are oldest first.

        A row that is older than all of them is not told if there are as many items as
        were asked for.
        """
        after = -math.inf if search.after is None else search.after
        complete = len(places) >= search.limit
        for newer, (older, errors) in sorted(self._found.items()):
            if newer <= after or older >= _top(before):
                continue
            at = bisect_left(places, newer)
            if at or not complete:
                # The exchange's list is newest first.
                yield from (LeftOut(at, error) for error in reversed(errors))


def _top(place: int | None) -> float:
    return math.inf if place is None else place


def collect(
    sources: Sequence[PageSource[PageRequest]],
    fetch: Callable[[PageRequest], Page[T]],
    search: Search[T],
    keep: Callable[[T], bool] = lambda thing: True,
) -> Answer[T]:
    """Search *sources* in their order for items that *keep* accepts, oldest first.

    A page that is no run of the list, is not joined to the pages before it, or leads no
    further back, is requested once more. If the second one is no better, the search of
    that source ends. An item that was only expected is not required of the second one.
    If not one row of any page can be read, the error of the first one is raised.
    """
    holes, before, errors = _Holes(), search.cursor, list[WireError]()
    readable = False
    for source in sources:
        led = True
        while not search.is_done:
            older_than = None if search.cursor is None else search.cursor + 1
            # Two more than are missing: the item at the cursor comes again, and the
            # newest candle may still be open.
            count = min(source.size, search.missing + 2)
            rows = fetch(source.request(older_than, count))
            page = [row for row in rows if not isinstance(row, WireError)]
            holes.add(rows, search.cursor)
            readable = readable or bool(page)
            errors += [row for row in rows if isinstance(row, WireError)]
            kept = {place: thing for place, thing in page if keep(thing)}
            run = is_run(page)
            again, anyway = not led, not led and search.known is None
            led = run and search.take(kept, anyway)
            if source.pages:
                ends = len(rows) < count and source is not sources[-1]
            else:
                ends = led or (run and search.is_joined)
            if ends or search.is_end or (again and not led):
                break
    if errors and not readable:
        raise errors[0]
    items = [item for item, _ in search.oldest_first()[-search.limit :]]
    places = search.places()[-search.limit :]
    return Answer(items, holes.between(places, search, before))


def is_run(page: Sequence[tuple[int, object]]) -> bool:
    """Whether *page* is in order, so that nothing is missing inside it.

    Rows of another page in front, as of a cache, take the place of its older rows.
    """
    places = [place for place, _ in page]
    return places in (sorted(places), sorted(places, reverse=True))


# --- Places, as scripts name them ----------------------------------------------------


def number(name: str, trade_id: str | None) -> int | None:
    """The place of a trade by its id; *name* is the parameter's."""
    if trade_id is None:
        return None
    if not isinstance(trade_id, str):
        raise TypeError(f"{name} is the id of a trade, got {trade_id!r}")
    if not (trade_id.isascii() and trade_id.isdecimal() and len(trade_id) <= 20):
        raise ValueError(
            f"{name} is the id of a trade, in digits, got {trade_id!r:.80}"
        )
    return int(trade_id)


def after_ms(moment: datetime | None) -> int | None:
    """The last millisecond that is not after *moment*."""
    return None if moment is None else _since_epoch("after", moment) // _MILLISECOND


def before_ms(moment: datetime | None) -> int | None:
    """The first millisecond that is not before *moment*."""
    if moment is None:
        return None
    return -(-_since_epoch("before", moment) // _MILLISECOND)


def _since_epoch(name: str, moment: datetime) -> timedelta:
    if not isinstance(moment, datetime):
        raise TypeError(f"{name} is a datetime, got {moment!r}")
    if moment.tzinfo is None:
        raise ValueError(f"{name} is a datetime with its time zone, got {moment!r}")
    return moment - _EPOCH
