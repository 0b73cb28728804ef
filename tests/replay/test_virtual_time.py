"""Virtual time: who goes on, in which order, and when the clock moves."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from okex_ws.base.worker import LibraryThread
from okex_ws.replay.script import Moment
from okex_ws.replay.virtual_time import (
    ScheduledThread,
    TurnThread,
    VirtualClock,
    VirtualScheduler,
)


class Part:
    """Something comes for its player *at* that time."""

    def __init__(self, at: float = math.inf) -> None:
        self.at = at

    def due(self) -> float:
        return self.at


@pytest.fixture
def scheduler() -> VirtualScheduler:
    return VirtualScheduler(VirtualClock([Moment(0.0, 0.0)], 0.0))


def play(
    scheduler: VirtualScheduler,
    run: Callable[[ScheduledThread], object],
    part: Part | None = None,
) -> tuple[ScheduledThread, TurnThread]:
    scheduled = ScheduledThread(part or Part())

    def turn() -> bool:
        run(scheduled)
        return False

    thread = TurnThread(scheduler, scheduled, "okex_ws:test", turn)
    thread.start()
    return scheduled, thread


def test_nobody_runs_before_all_is_let_go_and_then_one_after_the_other(
    scheduler: VirtualScheduler,
) -> None:
    told: list[str] = []

    def speak(name: str) -> Callable[[ScheduledThread], None]:
        def run(scheduled: ScheduledThread) -> None:
            for n in range(3):
                told.append(f"{name}{n}")
                scheduler.pause(scheduled, 1.0)

        return run

    for name in "abc":
        play(scheduler, speak(name))
    assert told == []

    scheduler.settle()
    assert told == ["a0", "b0", "c0"]
    scheduler.move(0.5)
    assert told == ["a0", "b0", "c0"]
    assert scheduler.due() == 1.0
    scheduler.move(1.0)
    scheduler.move(2.0)
    assert told[3:] == ["a1", "b1", "c1", "a2", "b2", "c2"]
    scheduler.move(3.0)
    assert scheduler.due() == math.inf


def test_a_call_and_what_comes_end_a_wait_early(scheduler: VirtualScheduler) -> None:
    part, told = Part(), []

    def run(scheduled: ScheduledThread) -> None:
        scheduler.pause(scheduled, math.inf)
        told.append(scheduler.clock.now)
        scheduler.pause(scheduled, math.inf)
        told.append(scheduler.clock.now)

    scheduled, _ = play(scheduler, run, part)
    scheduler.settle()
    scheduled.woken = True
    scheduler.settle()
    assert told == [0.0]
    part.at = 5.0
    assert scheduler.due() == 5.0
    scheduler.move(5.0)
    assert told == [0.0, 5.0]


def test_who_spins_does_not_stop_the_clock(scheduler: VirtualScheduler) -> None:
    turns = 0

    def run(scheduled: ScheduledThread) -> None:
        nonlocal turns
        while scheduler.clock.now < 1.0:
            scheduler.pause(scheduled, 0.0)
            turns += 1

    play(scheduler, run)
    scheduler.settle()
    assert 100 <= turns < 1000
    assert scheduler.due() == 1e-6
    scheduler.move(1.0)


def test_the_smallest_wait_is_one(scheduler: VirtualScheduler) -> None:
    scheduler.clock.now = 1e9

    def run(scheduled: ScheduledThread) -> None:
        scheduler.pause(scheduled, 1e-12)

    play(scheduler, run)
    scheduler.settle()

    assert scheduler.due() == math.nextafter(1e9, math.inf)
    scheduler.end()


def test_a_thread_that_is_joined_ends_without_time_if_it_can(
    scheduler: VirtualScheduler,
) -> None:
    def run(scheduled: ScheduledThread) -> None:
        scheduler.pause(scheduled, math.inf)

    scheduled, thread = play(scheduler, run)
    scheduler.settle()
    assert not thread.join(0)
    assert thread.running
    assert not thread.join(5.0)
    assert thread.running
    scheduled.woken = True
    assert not thread.join(0)
    assert thread.running
    assert thread.join(5.0)
    assert not thread.running


def test_a_player_that_joins_another_lets_nobody_go(
    scheduler: VirtualScheduler,
) -> None:
    told: list[bool] = []
    _, other = play(scheduler, lambda scheduled: scheduler.pause(scheduled, 1.0))

    def run(scheduled: ScheduledThread) -> None:
        other.join(5.0)
        told.append(other.running)

    play(scheduler, run)
    scheduler.settle()
    assert told == [True]
    scheduler.move(1.0)


def test_a_player_that_another_one_starts_waits_for_its_turn(
    scheduler: VirtualScheduler,
) -> None:
    told: list[str] = []

    def run(scheduled: ScheduledThread) -> None:
        play(scheduler, lambda _: told.append("child"))
        told.append("parent")
        scheduler.pause(scheduled, 1.0)

    play(scheduler, run)
    scheduler.settle()

    assert told == ["parent", "child"]
    scheduler.move(1.0)


def test_at_the_end_everyone_goes_and_nobody_waits_again(
    scheduler: VirtualScheduler,
) -> None:
    rounds = [0]

    def run(scheduled: ScheduledThread) -> None:
        for _ in range(100):
            scheduler.pause(scheduled, 1000.0)
            rounds[0] += 1

    threads = [play(scheduler, run)[1] for _ in range(3)]
    scheduler.settle()
    scheduler.end()
    for thread in threads:
        assert LibraryThread.join(thread, 10.0)

    assert rounds == [300]
