"""Reads on a grid: one row a tick, a refusal with its cause, no tick made up."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from okex_ws import CauseCode, Replay, State, Tick
from okex_ws.base.clock import utc
from okex_ws.client.ticks import Grid, check_step
from okex_ws.recording.format import Entry
from tests.support.recordings import WALL, depth, heard, session, write


class Hands:
    """A clock whose two hands a test sets."""

    def __init__(self, mono: float, wall: float) -> None:
        self.mono, self.at = mono, wall

    def monotonic(self) -> float:
        return self.mono

    def wall(self) -> float:
        return self.at


def test_a_tick_is_the_next_multiple_and_has_its_time() -> None:
    hands = Hands(5.0, WALL + 0.25)
    grid = Grid(hands, 0.5)
    assert grid.left == 0.25
    # The wall clock went 40 microseconds less far than the monotonic clock.
    hands.mono, hands.at = 5.25, WALL + 0.5 - 4e-5
    assert grid.left == 0.0
    assert grid.at() == utc(WALL + 0.5)
    grid.go_on()
    assert grid.left == pytest.approx(0.5 + 4e-5)


def test_a_read_that_came_late_has_its_own_time() -> None:
    hands = Hands(5.0, WALL)
    grid = Grid(hands, 0.5)
    hands.at += 0.125
    assert grid.at() == utc(WALL + 0.125)


def test_after_the_wall_clock_was_set_ticks_are_multiples_of_it() -> None:
    hands = Hands(5.0, WALL)
    grid = Grid(hands, 0.5)
    hands.at += 3600.125
    grid.go_on()
    assert grid.left == 0.375


def test_ticks_that_are_past_are_left_out() -> None:
    hands = Hands(5.0, WALL)
    grid = Grid(hands, 0.5)
    hands.mono, hands.at = 6.75, WALL + 1.75
    grid.go_on()
    assert grid.left == 0.25


@pytest.mark.parametrize("step", [0, -0.1, math.nan, math.inf])
def test_a_step_is_above_nothing(step: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        check_step(step)


@pytest.mark.parametrize("step", ["0.1", None, True])
def test_a_step_is_a_number(step: Any) -> None:
    with pytest.raises(TypeError, match="number of seconds"):
        check_step(step)


def lossy(bid: str = "120.1") -> list[Entry]:
    """Pushes to second 29, the last of them *bid*, and pongs to 15.1 alone."""
    pushes = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in range(1, 29)]
    pushes.append(heard(29.0, depth(29.0, bid)))
    entries = session(*pushes, end=60.0)
    late = [each for each in entries if each.payload == b"pong" and each.mono > 16.0]
    return [each for each in entries if each not in late] + [heard(60.0, "pong")]


def rows(path: Path, seconds: float) -> list[Tick]:
    """What ``okx.every(seconds)`` gives of a recording."""
    with Replay(path, speed="max") as replay:
        (okx,) = replay.feed().subscribe(["BTC-USDT"], channels=["depth5"])
        return list(okx.every(seconds, levels=1))


def test_each_tick_is_what_a_script_would_have_read(tmp_path: Path) -> None:
    path = write(tmp_path / "day.rec.gz", *lossy())
    found = rows(path, 0.5)

    assert [each.at for each in found] == [utc(WALL + n / 2) for n in range(121)]
    # Seconds 1.0 and 1.5 are the push of second 1, and so on: received by the tick.
    read = {each.at: each for each in found}
    for n in range(1, 25):
        for part in (0.0, 0.5):
            tick = read[utc(WALL + n + part)]
            assert tick.depth is not None
            assert (tick.state, tick.cause) == (State.LIVE, "")
            assert tick.depth.bids[0][0] == f"{100 + n}.1"


def test_an_outage_is_rows_with_a_cause_and_no_price(tmp_path: Path) -> None:
    found = rows(write(tmp_path / "day.rec.gz", *lossy()), 0.5)
    before = [each for each in found if each.at < utc(WALL + 1.0)]
    outage = [each for each in found if each.at >= utc(WALL + 31.0)]

    assert [each.state for each in before] == [State.CONNECTING, State.SYNCING]
    assert len(outage) == 59
    assert all(each.depth is None and each.cause for each in (*before, *outage))
    assert State.LIVE not in {each.state for each in outage}
    assert {each.cause.code for each in outage} <= set(CauseCode)


def test_one_digit_of_the_recording_and_that_row_is_another(tmp_path: Path) -> None:
    bare = session(heard(1.0, depth(1.0, "100.1")), end=3.0)
    changed = session(heard(1.0, depth(1.0, "100.2")), end=3.0)
    one = rows(write(tmp_path / "a.rec.gz", *bare), 1.0)
    other = rows(write(tmp_path / "b.rec.gz", *changed), 1.0)
    assert [a == b for a, b in zip(one, other, strict=True)] == [True, False]


def test_at_another_speed_the_waits_are_of_that_clock(tmp_path: Path) -> None:
    path = write(tmp_path / "day.rec.gz", *session(end=20.0))
    with Replay(path, speed=50) as replay:
        (okx,) = replay.feed().subscribe(["BTC-USDT"], channels=["depth5"])
        ticks = okx.every(2.0)
        one, two = next(ticks), next(ticks)
        assert one.at < two.at
        assert okx.close()
        assert list(ticks) == []
