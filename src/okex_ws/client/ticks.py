"""Reads on a grid of time: what a script would have read at each tick, or why not.

A row is one read and nothing else: no value of an earlier tick is in it, so that an
outage is rows with a cause and without a depth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

from ..base.checks import check_seconds
from ..base.clock import Clock, utc
from ..base.errors import NotLive
from ..base.state import NO_CAUSE, State
from ..delivery.view import View
from ..model.items import Depth, Tick


class ReadsDepth(Protocol):
    """What a tick reads: a `WSSubscription`."""

    @property
    def instrument_id(self) -> str:
        """The exchange's id."""
        ...

    def depth(self, *, levels: int | None = None) -> Depth:
        """The newest depth that can be trusted, or `NotLive`."""
        ...


def check_step(seconds: object) -> float:
    """*seconds* between two ticks: a finite number above 0, else an error says so."""
    check_seconds("seconds", seconds)  # type: ignore[arg-type]  # it says what it got
    assert isinstance(seconds, (int, float))
    if not 0 < seconds < math.inf:
        raise ValueError(f"seconds between two ticks are more than 0, got {seconds!r}")
    return float(seconds)


class Grid:
    """The ticks of a clock: whole multiples of *seconds* since 1970 in UTC.

    The wait for a tick is measured on the monotonic clock. Each next tick is found from
    the wall clock, because the two drift apart by seconds a day.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        # How far from its tick a read still has the tick's time.
        self._near = min(1e-3, seconds / 10)
        wall = clock.wall()
        self._wait_for(math.ceil((wall - self._near) / seconds), wall)

    def _wait_for(self, number: int, wall: float) -> None:
        self._due = self._clock.monotonic() + number * self._seconds - wall

    @property
    def left(self) -> float:
        """Seconds until the present tick: 0 or less once it has come."""
        return self._due - self._clock.monotonic()

    def at(self) -> datetime:
        """The time of this moment: that of the tick if it is less than 1 ms away."""
        wall = self._clock.wall()
        tick = round(wall / self._seconds) * self._seconds
        return utc(tick if abs(tick - wall) < self._near else wall)

    def go_on(self) -> None:
        """Take the next tick. Ticks that are past are left out, never made up."""
        wall = self._clock.wall()
        self._wait_for(math.floor((wall + self._near) / self._seconds) + 1, wall)


def read_tick(okx: ReadsDepth, at: datetime, levels: int | None) -> Tick:
    """One read of *okx* at this moment, which is *at*, a refusal included."""
    try:
        depth = okx.depth(levels=levels)
    except NotLive as refusal:
        return Tick(at, okx.instrument_id, refusal.state, refusal.cause, None)
    return Tick(at, okx.instrument_id, State.LIVE, NO_CAUSE, depth)


def ticks(
    okx: ReadsDepth, view: View, clock: Clock, seconds: float, levels: int | None
) -> Iterator[Tick]:
    """One read of *okx* at each tick, until *view*, which is its own, is closed."""
    grid = Grid(clock, seconds)
    while True:
        while (left := grid.left) > 0 and not view.closed:
            view.wait_for_tick(left)
        if view.closed:
            return
        yield read_tick(okx, grid.at(), levels)
        grid.go_on()
