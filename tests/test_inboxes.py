"""Iterators live as long as a script holds them; what they skipped is kept."""

from __future__ import annotations

import gc

from okex_ws.inboxes import Inboxes
from okex_ws.timing import SystemClock
from okex_ws.updates import Inbox


def inbox(**skipped: int) -> Inbox:
    made = Inbox(SystemClock(), True, 10, None)
    made.skipped.update(skipped)
    return made


def test_those_that_are_held_are_there_in_order() -> None:
    inboxes, first, second = Inboxes(), inbox(), inbox()
    assert list(inboxes) == []

    inboxes.add(first)
    inboxes.add(second)

    assert list(inboxes) == [first, second]


def test_one_that_nobody_holds_is_gone() -> None:
    inboxes, kept, dropped = Inboxes(), inbox(), inbox()
    inboxes.add(kept)
    inboxes.add(dropped)

    del dropped
    gc.collect()

    assert list(inboxes) == [kept]


def test_what_was_skipped_is_counted_for_ever_and_once() -> None:
    inboxes, kept, dropped = Inboxes(), inbox(depth5=2), inbox(depth5=3, trade=1)
    inboxes.add(kept)
    inboxes.add(dropped)
    expected = {"skipped depth5": 5, "skipped trade": 1}
    assert inboxes.skipped() == expected

    del dropped
    gc.collect()
    assert inboxes.skipped() == expected
    later = inbox(depth5=1)
    inboxes.add(later)

    assert inboxes.skipped() == {"skipped depth5": 6, "skipped trade": 1}


def test_what_another_source_counts_is_not_counted_here() -> None:
    inboxes, shared = Inboxes(), inbox(depth5=2)

    inboxes.add(shared, counted=False)

    assert list(inboxes) == [shared]
    assert inboxes.skipped() == {}
