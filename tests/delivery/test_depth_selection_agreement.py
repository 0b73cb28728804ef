"""Depths of one sequence number are the same depth, or it is counted and said."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws.base.state import NO_CAUSE, State
from okex_ws.channels.reading import Reading
from okex_ws.channels.series import KINDS
from okex_ws.delivery.depth_selection import CrossCheck, disagree
from okex_ws.protocol.messages import DepthData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.verdict import Published

LIMIT = 10.0
TOP = [["100.1", "1", "0", "1"]]
OTHER = [["100.0", "1", "0", "1"]]


def shown(
    bids: Any = TOP,
    asks: Any = (),
    seq: int | None = 7,
    state: State = State.LIVE,
    time_ms: int = 0,
) -> Published:
    data = DepthData(bids, asks, time_ms, seq) if state is State.LIVE else None
    return Published(state, NO_CAUSE, 1, None, data)


def reading(topic: str, value: Published) -> Reading:
    name = V5.channel(topic, "spot", "BTC-USDT")
    made = KINDS[name.kind](V5, name)
    made.current = value
    return made.reading


def check_of(jobs: list[Callable[[], None]] | None = None) -> CrossCheck:
    """A check that queues to *jobs*, or that logs at once."""
    return CrossCheck("BTC-USDT", (lambda job: job()) if jobs is None else jobs.append)


@pytest.mark.parametrize(
    ("one", "other", "differ"),
    [
        (shown(), shown(), False),
        (shown(), shown(OTHER), True),
        (shown(asks=TOP), shown(asks=OTHER), True),
        # An empty side is a top too.
        (shown(), shown([]), True),
        (shown([]), shown([]), False),
        # The size counts, what the wire adds does not, nor what is below.
        (shown(), shown([["100.1", "2", "0", "1"]]), True),
        (shown(), shown([["100.1", "1", "0", "9"]]), False),
        (shown(), shown((("100.1", "1", "1"), *map(tuple, OTHER))), False),
        # They are compared at one moment alone.
        (shown(seq=7), shown(OTHER, seq=8), False),
        (shown(seq=None), shown(OTHER, seq=None), False),
        (shown(seq=7), shown(OTHER, seq=None), False),
        (shown(seq=0), shown(OTHER, seq=0), True),
        # And where both are shown.
        (shown(), shown(state=State.RESYNCING), False),
        (shown(state=State.SYNCING), shown(state=State.SYNCING), False),
    ],
)
def test_two_depths_of_one_number_have_one_top(
    one: Published, other: Published, differ: bool
) -> None:
    assert disagree(one, other) is disagree(other, one) is differ


def test_what_was_pushed_is_compared_with_each_of_the_others() -> None:
    pushed = reading("depth", shown())
    others = [reading("bbo-tbt", shown(OTHER)), reading("depth5", shown(OTHER))]
    cross_check = check_of()

    cross_check.check(pushed, [pushed, *others], 0.0)

    assert cross_check.mismatches == 2
    cross_check.check(pushed, [pushed], 0.0)
    assert cross_check.mismatches == 2


def test_it_is_said_once_a_minute_and_counted_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pushed, other = reading("depth", shown()), reading("bbo-tbt", shown(OTHER))
    cross_check = check_of()

    for now in (0.0, 1.0, 59.999, 60.0, 61.0):
        cross_check.check(pushed, [pushed, other], now)

    assert cross_check.mismatches == 5
    assert [(r.name, r.levelname, r.getMessage()) for r in caplog.records] == [
        (
            "okex_ws",
            "WARNING",
            "BTC-USDT: of one sequence number, depth and bbo-tbt have different best"
            " levels",
        )
    ] * 2


def test_what_agrees_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    cross_check = check_of()
    one, other = reading("depth", shown()), reading("bbo-tbt", shown())

    cross_check.check(one, [one, other], 0.0)

    assert cross_check.mismatches == 0
    assert caplog.records == []


def test_two_threads_count_all_and_leave_the_log_to_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each channel is pushed by a thread of its own; both find the difference."""
    jobs: list[Callable[[], None]] = []
    one, other = reading("depth", shown()), reading("bbo-tbt", shown(OTHER))
    cross_check, start = check_of(jobs), threading.Barrier(2)

    def check(pushed: Reading) -> None:
        start.wait(LIMIT)
        for _ in range(2000):
            cross_check.check(pushed, [one, other], 0.0)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=check, args=(each,)) for each in (one, other)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
    finally:
        sys.setswitchinterval(interval)

    assert cross_check.mismatches == 4000
    # No log handler of the script runs in a check, and the queue is not filled.
    assert caplog.records == []
    assert 1 <= len(jobs) <= 2
    for job in jobs:
        job()
    assert len(caplog.records) == 1
