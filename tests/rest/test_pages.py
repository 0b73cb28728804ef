"""Paging back: whatever pages do, nothing is doubled or asked for without an end."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import hypothesis.strategies as st
import pytest
from hypothesis import given

from okex_ws.history.search import Search
from okex_ws.rest.pages import PageSource, collect

Page = list[tuple[int, int]]
# What a request is here: the cursor, and how many.
PageRequest = tuple[int | None, int]


class Peer:
    """Has things by their places; *spoil* makes of each page what it likes."""

    def __init__(
        self,
        places: Iterable[int],
        spoil: Callable[[int, Page], Page] = lambda number, page: page,
    ) -> None:
        self.places = sorted(places, reverse=True)
        self.spoil = spoil
        self.asked: list[PageRequest] = []

    def __call__(self, ask: PageRequest) -> Page:
        cursor, count = ask
        self.asked.append(ask)
        assert len(self.asked) < 10_000
        older = [place for place in self.places if cursor is None or place < cursor]
        page = [(place, place * 7) for place in older[:count]]
        return self.spoil(len(self.asked), page)


def paged(size: int = 10) -> PageSource[PageRequest]:
    return PageSource(size, lambda cursor, count: (cursor, count))


def all_of(
    peer: Peer,
    limit: int,
    after: int | None = None,
    before: int | None = None,
    sources: list[PageSource[PageRequest]] | None = None,
) -> list[int]:
    search: Search[int] = Search(after, before, limit)
    got = collect(sources or [paged()], peer, search)
    assert [thing % 7 for thing in got] == [0] * len(got)
    return [thing // 7 for thing in got]


def test_pages_are_put_together_oldest_first() -> None:
    peer = Peer(range(1, 101))

    assert all_of(peer, 35) == list(range(66, 101))
    assert [count for _, count in peer.asked] == [10, 10, 10, 9]


@pytest.mark.parametrize("limit", [1, 10, 34, 500])
def test_bounds_are_strict(limit: int) -> None:
    got = all_of(Peer(range(1, 101)), limit, after=20, before=55)

    assert got == list(range(21, 55))[-limit:]


def test_it_ends_at_the_bound_without_a_request_more() -> None:
    peer = Peer(range(1, 1000))

    assert all_of(peer, 500, after=989) == list(range(990, 1000))
    assert len(peer.asked) == 1


def test_nothing_between_neighbours_is_not_even_asked_for() -> None:
    peer = Peer(range(1, 10))

    assert all_of(peer, 5, after=4, before=5) == []
    assert peer.asked == []


def test_the_end_is_a_page_of_the_last_thing_alone() -> None:
    peer = Peer(range(1, 26))

    assert all_of(peer, 100) == list(range(1, 26))
    assert [cursor for cursor, _ in peer.asked] == [None, 17, 8, 2]


@pytest.mark.parametrize("how", ["empty", "repeat", "overlap", "reorder"])
@pytest.mark.parametrize("which", [1, 2, 3])
def test_one_page_that_goes_wrong_costs_nothing(how: str, which: int) -> None:
    pages: list[Page] = [[]]

    def spoil(number: int, page: Page) -> Page:
        pages.append(page)
        if number != which:
            return page
        before = pages[-2]
        return {
            "empty": [],
            "repeat": before,
            "overlap": [*before[-3:], *page[:7]],
            "reorder": page[::-1],
        }[how]

    assert all_of(Peer(range(1, 101), spoil), 45) == list(range(56, 101))


def test_a_peer_that_repeats_itself_for_ever_is_left() -> None:
    first: Page = [(50 - n, (50 - n) * 7) for n in range(10)]
    peer = Peer(range(1, 51), lambda number, page: first)

    assert all_of(peer, 100) == list(range(41, 51))
    assert len(peer.asked) == 3


def test_the_newest_are_of_one_source_and_older_ones_of_the_next() -> None:
    newest: PageSource[PageRequest] = PageSource(
        20, lambda _, count: (None, count), pages=False
    )
    peer = Peer(range(1, 101))

    assert all_of(peer, 40, sources=[newest, paged()]) == list(range(61, 101))
    assert peer.asked == [(None, 20), (82, 10), (73, 10), (64, 4)]
    assert all_of(Peer(range(1, 101)), 5, before=50, sources=[newest, paged()]) == list(
        range(45, 50)
    )


def test_a_short_page_of_one_source_leads_to_the_next() -> None:
    recent = Peer(range(81, 101))
    old = Peer(range(1, 101))

    def fetch(ask: tuple[str, PageRequest]) -> Page:
        return (recent if ask[0] == "recent" else old)(ask[1])

    sources: list[PageSource[tuple[str, PageRequest]]] = [
        PageSource(15, lambda cursor, count: ("recent", (cursor, count))),
        PageSource(15, lambda cursor, count: ("old", (cursor, count))),
    ]
    search: Search[int] = Search(None, None, 40)

    got = collect(sources, fetch, search)
    assert [*got] == [place * 7 for place in range(61, 101)]
    assert len(recent.asked) == 2


def test_what_is_not_kept_is_not_counted() -> None:
    """The candle that is still open is the newest of the first page."""
    peer = Peer(range(1, 101))
    search: Search[int] = Search(None, None, 10)

    got = collect([paged(100)], peer, search, lambda thing: thing != 700)

    assert [*got] == [place * 7 for place in range(90, 100)]
    assert peer.asked == [(None, 12)]


Junk = st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 3)), max_size=12)


@given(
    pages=st.lists(Junk, max_size=30),
    limit=st.integers(1, 40),
    after=st.none() | st.integers(-5, 60),
    before=st.none() | st.integers(-5, 60),
)
def test_no_pages_hold_it_for_ever_or_make_it_break_its_bounds(
    pages: list[Page], limit: int, after: int | None, before: int | None
) -> None:
    left = iter(pages)
    said = {place: set[int]() for place in range(-5, 61)}
    search: Search[int] = Search(after, before, limit)
    count = 0

    def fetch(ask: PageRequest) -> Page:
        nonlocal count
        count += 1
        assert count <= 200
        page = [(place, place * 10 + thing) for place, thing in next(left, [])]
        for place, thing in page:
            said[place].add(thing)
        return page

    got = collect([paged()], fetch, search)

    assert len(got) <= limit
    found = [thing for thing, _ in search.oldest_first()]
    assert [*got] == found[-limit:]
    assert got.left_out == ()
    places = [thing // 10 for thing in found]
    assert places == sorted(set(places))
    for place, thing in zip(places, found, strict=True):
        assert thing in said[place]
        assert after is None or place > after
        assert before is None or place < before


@given(
    places=st.sets(st.integers(1, 300), max_size=120),
    limit=st.integers(1, 150),
    after=st.none() | st.integers(0, 300),
    before=st.none() | st.integers(1, 301),
    faults=st.dictionaries(
        st.integers(1, 20), st.sampled_from(["empty", "repeat", "overlap", "reorder"])
    ),
)
def test_single_faults_lose_nothing(
    places: set[int],
    limit: int,
    after: int | None,
    before: int | None,
    faults: dict[int, str],
) -> None:
    pages: list[Page] = [[]]
    # Two in a row are the end, as far as can be known from here.
    alone = {number: how for number, how in faults.items() if number - 1 not in faults}

    def spoil(number: int, page: Page) -> Page:
        pages.append(page)
        before_it = pages[-2]
        how = alone.get(number)
        if how == "overlap":
            return [*before_it[-3:], *page[:7]]
        return {"empty": [], "repeat": before_it, "reorder": page[::-1]}.get(
            how or "", page
        )

    wanted = [
        place
        for place in sorted(places)
        if (after is None or place > after) and (before is None or place < before)
    ]

    assert all_of(Peer(places, spoil), limit, after, before) == wanted[-limit:]


def test_a_page_that_does_not_follow_is_asked_for_again() -> None:
    """One of long ago, as of a cache, would be a hole that nobody sees."""
    old: Page = [(place, place * 7) for place in range(20, 10, -1)]
    once = Peer(range(1, 101), lambda number, page: old if number == 3 else page)
    ever = Peer(range(1, 101), lambda number, page: old if number >= 3 else page)

    assert all_of(once, 40) == list(range(61, 101))
    # What is whole is given, and what may not be is not.
    assert all_of(ever, 40) == list(range(82, 101))


@pytest.mark.parametrize("size", [10, 60])
def test_rows_of_an_older_list_in_front_of_a_page_hide_nothing(size: int) -> None:
    """A page is so long: what they took the place of is at its older end."""
    older: Page = [(place, place * 7) for place in range(13, 10, -1)]

    def spoil(number: int, page: Page) -> Page:
        return [*older, *page][: len(page)] if number == 1 else page

    def always(number: int, page: Page) -> Page:
        return [*older, *page][: len(page)]

    once, ever = Peer(range(1, 101), spoil), Peer(range(1, 101), always)

    sources = [paged(size)]
    assert all_of(once, 60, after=20, sources=sources) == list(range(41, 101))
    assert all_of(ever, 60, after=20, sources=sources) == []


def test_what_should_be_at_the_bound_is_looked_for_once_more() -> None:
    """The list of the exchange may be behind what its channel has said already."""

    def behind(number: int, page: Page) -> Page:
        return [each for each in page if number > 1 or each[0] < 48]

    peer = Peer(range(1, 101), behind)
    search: Search[int] = Search(None, 50, 5, exact=True)

    got = collect([paged()], peer, search)
    assert [*got] == [place * 7 for place in range(45, 50)]
    assert peer.asked == [(51, 7), (51, 7)]


def test_a_bound_where_nothing_is_is_no_bar() -> None:
    search: Search[int] = Search(None, 500, 5, exact=True)

    got = collect([paged()], Peer(range(1, 101)), search)
    assert [*got] == [place * 7 for place in range(96, 101)]
