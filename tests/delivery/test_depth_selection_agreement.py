"""Depths of one sequence number are the same depth, or it is counted and said."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws.base.state import State
from okex_ws.channels.depth import DepthChannel
from okex_ws.channels.series import KINDS
from okex_ws.delivery.depth_selection import CrossCheck, disagree
from okex_ws.protocol.messages import DepthData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.verdict import Published

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
    return Published(state, "", 1, None, data)


def channel(topic: str, value: Published) -> DepthChannel:
    name = V5.channel(topic, "spot", "BTC-USDT")
    made = KINDS[name.kind](V5, name)
    assert isinstance(made, DepthChannel)
    made.current = value
    return made


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
    pushed = channel("depth", shown())
    others = [channel("bbo-tbt", shown(OTHER)), channel("depth5", shown(OTHER))]
    cross_check = CrossCheck("BTC-USDT")

    cross_check.check(pushed, [pushed, *others], 0.0)

    assert cross_check.mismatches == 2
    cross_check.check(pushed, [pushed], 0.0)
    assert cross_check.mismatches == 2


def test_it_is_said_once_a_minute_and_counted_each_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pushed, other = channel("depth", shown()), channel("bbo-tbt", shown(OTHER))
    cross_check = CrossCheck("BTC-USDT")

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
    cross_check = CrossCheck("BTC-USDT")
    one, other = channel("depth", shown()), channel("bbo-tbt", shown())

    cross_check.check(one, [one, other], 0.0)

    assert cross_check.mismatches == 0
    assert caplog.records == []
