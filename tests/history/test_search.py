"""A search back in time: what joins a page to the pages before it, and what ends it."""

from __future__ import annotations

from okex_ws.history.search import Search


def page(*places: int) -> dict[int, str]:
    return {place: f"item {place}" for place in places}


def found(search: Search[str]) -> list[tuple[int, bool]]:
    """The places found, each with whether it is joined to the next one."""
    told = search.oldest_first()
    return [(int(item.removeprefix("item ")), joined) for item, joined in told]


def test_a_page_with_the_item_at_the_cursor_again_is_joined() -> None:
    search: Search[str] = Search(None, None, 10)

    assert search.take(page(7, 8, 9))
    assert not search.take(page(4, 5))
    assert search.take(page(4, 5, 7))

    assert found(search) == [(n, True) for n in (4, 5, 7, 8, 9)]
    assert (search.cursor, search.known, search.missing) == (4, "item 4", 5)


def test_a_page_that_is_not_joined_is_added_at_last_with_a_hole_after_it() -> None:
    search = Search(None, 9, 10, known="item 9")

    assert search.take(page(5, 6), anyway=True)

    assert not search.is_joined
    assert found(search) == [(5, True), (6, False)]


def test_another_item_of_the_same_place_proves_nothing() -> None:
    search = Search(None, 9, 10, known="other", same=lambda item, other: item == other)

    assert not search.take(page(8, 9))
    assert search.take({8: "item 8", 9: "other"})


def test_a_page_may_end_where_the_cursor_begins() -> None:
    search = Search(
        None, 9, 10, known="item 9", follows=lambda older, newer: newer == older + 1
    )

    assert not search.take(page(6, 7))
    assert search.take(page(7, 8))


def test_an_item_that_is_only_expected_is_required_until_the_last_page() -> None:
    search: Search[str] = Search(None, 9, 10, exact=True)

    assert not search.take(page(7, 8))
    assert search.take(page(7, 8), anyway=True)
    # The next page needs the oldest of them in any case.
    assert not search.take(page(5, 6))


def test_the_item_at_the_cursor_alone_is_the_end() -> None:
    search: Search[str] = Search(None, None, 10)
    search.take(page(8, 9))

    assert not search.take(page(8, 9))
    assert not search.is_end  # a page that came before came again
    assert not search.take(page(8))
    assert search.is_end


def test_it_is_done_at_its_bound_and_keeps_nothing_beyond() -> None:
    search: Search[str] = Search(5, None, 10)

    search.take(page(7, 8))
    assert not search.is_done
    search.take(page(4, 7))

    assert search.is_done
    assert found(search) == [(7, True), (8, True)]
