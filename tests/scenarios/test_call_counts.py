"""How many calls one warm push costs, with its own wake-up, and one read of it.

The counts are those of `sys.setprofile`, which differ between versions of Python. They
are bounds that a change may lower; one that raises them makes every message dearer.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest

from okex_ws import Feed, WSSubscription
from okex_ws.local_exchange import LocalExchange
from okex_ws.pool.opening import Opening
from tests.support.internals import messages_of

pytestmark = [
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="counts of Python 3.11"),
    pytest.mark.skipif(sys.getprofile() is not None, reason="profiled already"),
]


class Calls(NamedTuple):
    """How many functions of Python, and of C, were called."""

    python: int
    c: int


def count(work: Callable[[], object]) -> Calls:
    """The calls that *work* makes, its own and those of the profile left out."""
    events = Counter[str]()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        events[event] += 1

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return Calls(events["call"] - 1, events["c_call"] - 1)


def warm_pushes(
    patch: pytest.MonkeyPatch,
    exchange: LocalExchange,
    topic: str = "depth5",
    **keywords: Any,
) -> tuple[list[Calls], WSSubscription, Feed]:
    """The calls of each turn of the connection's loop that brought one message."""
    turn, found, enough = Opening.turn, list[Calls](), threading.Event()

    def counted(opening: Opening) -> None:
        before = messages_of(opening)
        calls = count(lambda: turn(opening))
        if messages_of(opening) == before + 1:
            found.append(calls)
            if len(found) >= 50:
                enough.set()

    feed = Feed(exchange.venue_v5)
    sub = WSSubscription("BTC-USDT", "spot", channels=(topic,), feed=feed, **keywords)
    sub.wait_live(20.0)
    patch.setattr(Opening, "turn", counted)
    assert enough.wait(40.0)
    patch.undo()
    return found, sub, feed


def usual(found: list[Calls]) -> Calls:
    """The most common count: others had a ping, say, or were the least late."""
    return Counter(found).most_common(1)[0][0]


def is_within(calls: Calls, most: Calls) -> bool:
    """Whether neither count is above that of *most*."""
    return calls.python <= most.python and calls.c <= most.c


def test_a_push_that_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalExchange(interval=0.02) as exchange:
        found, sub, feed = warm_pushes(monkeypatch, exchange)
        with feed:
            sub.GetDepth()
            read = count(sub.GetDepth)

    assert is_within(usual(found), Calls(15, 27))
    assert is_within(read, Calls(13, 11))


def test_a_trade_that_nothing_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    with LocalExchange(interval=0.02) as exchange:
        found, sub, feed = warm_pushes(monkeypatch, exchange, "trade")
        # Closed, so that no more come between the two reads.
        feed.close()
        read = count(lambda: sub.trades)
        again = count(lambda: sub.trades)

    assert is_within(usual(found), Calls(18, 37))
    # All that came was parsed by the first read.
    assert read.python > 10 * len(found)
    assert is_within(again, Calls(8, 2))


def test_a_push_with_a_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    with LocalExchange(interval=0.02) as exchange:
        found, _, feed = warm_pushes(monkeypatch, exchange, on_message=texts.append)
        feed.close()

    assert texts
    assert is_within(usual(found), Calls(26, 40))
