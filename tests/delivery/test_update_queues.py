"""Iterators live as long as a script holds them; what they skipped is kept."""

from __future__ import annotations

import gc

from okex_ws.base.clock import SystemClock
from okex_ws.delivery.update_queues import UpdateQueues
from okex_ws.delivery.updates import UpdateQueue


def queue(**skipped: int) -> UpdateQueue:
    made = UpdateQueue(SystemClock(), True, 10, None)
    made.skipped.update(skipped)
    return made


def test_those_that_are_held_are_there_in_order() -> None:
    queues, first, second = UpdateQueues(), queue(), queue()
    assert list(queues) == []

    queues.add(first)
    queues.add(second)

    assert list(queues) == [first, second]


def test_one_that_nobody_holds_is_gone() -> None:
    queues, kept, dropped = UpdateQueues(), queue(), queue()
    queues.add(kept)
    queues.add(dropped)

    del dropped
    gc.collect()

    assert list(queues) == [kept]


def test_what_was_skipped_is_counted_for_ever_and_once() -> None:
    queues, kept, dropped = UpdateQueues(), queue(depth5=2), queue(depth5=3, trade=1)
    queues.add(kept)
    queues.add(dropped)
    expected = {"skipped depth5": 5, "skipped trade": 1}
    assert queues.skipped() == expected

    del dropped
    gc.collect()
    assert queues.skipped() == expected
    later = queue(depth5=1)
    queues.add(later)

    assert queues.skipped() == {"skipped depth5": 6, "skipped trade": 1}


def test_what_another_source_counts_is_not_counted_here() -> None:
    queues, shared = UpdateQueues(), queue(depth5=2)

    queues.add(shared, counted=False)

    assert list(queues) == [shared]
    assert queues.skipped() == {}
