"""Which recorded connection a replayed one is."""

from __future__ import annotations

import math
from typing import Any

from okex_ws.recording.format import Entry
from okex_ws.replay.matching import ConnectionMatcher
from okex_ws.replay.script import RecordedConnection, Script
from tests.support.recordings import URL, at, depth, heard, opened, venue

BTC, ETH = "books5:BTC-USDT", "books5:ETH-USDT"


def matcher(*entries: Entry) -> ConnectionMatcher:
    return ConnectionMatcher(Script(entries, "day.rec.gz", None))


def numbers(connections: list[RecordedConnection]) -> list[int]:
    return [each.number for each in connections]


def ended(mono: float, number: int) -> Entry:
    return at(mono, "end", number, cause="ConnectionLost", why="reset")


# One line that is lost and comes back, and another that carries something else.
TWO = [
    opened(0.0, 1, line=1),
    opened(1.0, 2, line=2),
    heard(2.0, depth(2.0), 1),
    heard(2.5, depth(2.5, name="ETH-USDT"), 2),
    ended(10.0, 1),
    opened(15.0, 3, line=1),
    heard(16.0, depth(16.0), 3),
    heard(20.0, depth(20.0, name="ETH-USDT"), 2),
]


def test_at_the_beginning_all_of_the_path_are_candidates() -> None:
    found = matcher(*TWO)

    assert numbers(found.candidates("me", "public", 0.0)) == [1, 2, 3]
    assert found.candidates("me", "business", 0.0) == []


def test_the_one_that_carries_what_is_asked_for_is_chosen() -> None:
    found = matcher(*TWO)

    first = found.choose("me", "public", [ETH], 0.0)
    second = found.choose("other", "public", [ETH], 0.0)

    assert first is not None
    assert first.number == 2
    # It is taken, and what is left has nothing of that.
    assert second is not None
    assert second.number == 1
    # One that will be open much later is not meant.
    assert matcher(*TWO[5:]).choose("me", "public", [BTC], 0.0) is None


def test_a_line_goes_on_with_its_own_next() -> None:
    found = matcher(*TWO)
    found.choose("me", "public", [BTC], 0.0)

    assert numbers(found.candidates("me", "public", 10.0)) == [3]
    assert numbers(found.candidates("other", "public", 10.0)) == [2]


def test_who_left_before_the_end_may_come_back_until_nothing_more_is_said() -> None:
    found = matcher(*TWO)
    found.choose("me", "public", [BTC], 0.0)

    assert numbers(found.candidates("me", "public", 1.9)) == [1, 3]
    assert numbers(found.candidates("me", "public", 2.0)) == [3]


def test_where_none_is_free_those_of_others_are_shared() -> None:
    found = matcher(*TWO)
    found.choose("me", "public", [BTC], 0.0)
    found.choose("other", "public", [ETH], 0.0)

    guest = found.choose("guest", "public", [ETH], 3.0)

    assert guest is not None
    assert guest.number == 2
    # It is still the other's, and free once that is gone.
    found.drop("other")
    assert numbers(found.candidates("guest", "public", 3.0)) == [2]


def test_a_failed_attempt_is_nobody_elses_and_passes() -> None:
    about: dict[str, Any] = {"url": URL, "path": "public", "line": 1, "venue": venue()}
    failed = at(1.0, "failed", 0, **about, cause="ConnectionLost", why="refused")
    found = matcher(opened(0.0, 1), ended(0.5, 1), failed, opened(2.0, 2))
    (first, second, third) = found.candidates("me", "public", 0.0)
    assert second.failure is not None

    found.take("me", first, 0.0)

    assert found.candidates("me", "public", 1.0) == [second, third]
    assert found.candidates("other", "public", 1.0) == [third]
    assert found.candidates("me", "public", 1.5) == [third]


def test_a_channel_may_be_had_where_somebody_else_carries_it() -> None:
    found = matcher(*TWO)

    other = found.elsewhere("public", ETH, 3.0)

    assert other is not None
    assert other.number == 2
    assert found.elsewhere("public", BTC, 12.0) is None
    assert found.elsewhere("private", ETH, 3.0) is None


def test_who_left_may_come_back_once_more_is_said() -> None:
    """Else one that is thrown out at once would come back for ever, at one moment."""
    found = matcher(opened(0.0), heard(1.0, depth(1.0)), heard(9.0, depth(9.0)))
    (connection,) = found.candidates("me", "public", 0.5)
    assert found.opens_at(connection) == 0.0

    found.take("me", connection, 1.0)

    assert found.candidates("me", "public", 1.5) == [connection]
    assert found.opens_at(connection) == 9.0
    found.take("me", connection, 9.0)
    assert found.opens_at(connection) == math.inf
