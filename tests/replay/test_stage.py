"""Virtual time: who goes on, in which order, and when the clock moves."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import pytest

from okex_ws.library import mark_library_thread
from okex_ws.replay.clocks import VirtualClock
from okex_ws.replay.script import Moment
from okex_ws.replay.stage import Player, Stage


class Part:
    """Something comes for its player *at* that time."""

    def __init__(self, at: float = math.inf) -> None:
        self.at = at

    def due(self) -> float:
        return self.at


@pytest.fixture
def stage() -> Stage:
    return Stage(VirtualClock([Moment(0.0, 0.0)], 0.0))


def play(
    stage: Stage, run: Callable[[Player], object], part: Part | None = None
) -> tuple[Player, threading.Thread]:
    player = Player(part or Part())
    thread = stage.thread(player, lambda: run(player), "okex_ws:test")
    thread.start()
    return player, thread


def test_nobody_runs_before_all_is_let_go_and_then_one_after_the_other(
    stage: Stage,
) -> None:
    told: list[str] = []

    def speak(name: str) -> Callable[[Player], None]:
        def run(player: Player) -> None:
            for n in range(3):
                told.append(f"{name}{n}")
                stage.pause(player, 1.0)

        return run

    for name in "abc":
        play(stage, speak(name))
    assert told == []

    stage.settle()
    assert told == ["a0", "b0", "c0"]
    stage.move(0.5)
    assert told == ["a0", "b0", "c0"]
    assert stage.due() == 1.0
    stage.move(1.0)
    stage.move(2.0)
    assert told[3:] == ["a1", "b1", "c1", "a2", "b2", "c2"]
    stage.move(3.0)
    assert stage.due() == math.inf


def test_a_call_and_what_comes_end_a_wait_early(stage: Stage) -> None:
    part, told = Part(), []

    def run(player: Player) -> None:
        stage.pause(player, math.inf)
        told.append(stage.clock.now)
        stage.pause(player, math.inf)
        told.append(stage.clock.now)

    player, _ = play(stage, run, part)
    stage.settle()
    player.woken = True
    stage.settle()
    assert told == [0.0]
    part.at = 5.0
    assert stage.due() == 5.0
    stage.move(5.0)
    assert told == [0.0, 5.0]


def test_who_spins_does_not_stop_the_clock(stage: Stage) -> None:
    turns = 0

    def run(player: Player) -> None:
        nonlocal turns
        while stage.clock.now < 1.0:
            stage.pause(player, 0.0)
            turns += 1

    play(stage, run)
    stage.settle()
    assert 100 <= turns < 1000
    assert stage.due() == 1e-6
    stage.move(1.0)


def test_the_smallest_wait_is_one(stage: Stage) -> None:
    stage.clock.now = 1e9

    def run(player: Player) -> None:
        stage.pause(player, 1e-12)

    play(stage, run)
    stage.settle()

    assert stage.due() == math.nextafter(1e9, math.inf)
    stage.end()


def test_a_thread_that_is_joined_ends_without_time_if_it_can(stage: Stage) -> None:
    def run(player: Player) -> None:
        stage.pause(player, math.inf)

    player, thread = play(stage, run)
    stage.settle()
    thread.join(0)
    assert thread.is_alive()
    thread.join(5.0)
    assert thread.is_alive()
    player.woken = True
    thread.join(0)
    assert thread.is_alive()
    thread.join(5.0)
    assert not thread.is_alive()


def test_a_player_that_joins_another_lets_nobody_go(stage: Stage) -> None:
    told: list[bool] = []
    _, other = play(stage, lambda player: stage.pause(player, 1.0))

    def run(player: Player) -> None:
        mark_library_thread()
        other.join(5.0)
        told.append(other.is_alive())

    play(stage, run)
    stage.settle()
    assert told == [True]
    stage.move(1.0)


def test_a_player_that_another_one_starts_waits_for_its_turn(stage: Stage) -> None:
    told: list[str] = []

    def run(player: Player) -> None:
        play(stage, lambda _: told.append("child"))
        told.append("parent")
        stage.pause(player, 1.0)

    play(stage, run)
    stage.settle()

    assert told == ["parent", "child"]
    stage.move(1.0)


def test_at_the_end_everyone_goes_and_nobody_waits_again(stage: Stage) -> None:
    rounds = [0]

    def run(player: Player) -> None:
        for _ in range(100):
            stage.pause(player, 1000.0)
            rounds[0] += 1

    threads = [play(stage, run)[1] for _ in range(3)]
    stage.settle()
    stage.end()
    for thread in threads:
        threading.Thread.join(thread, 10.0)

    assert rounds == [300]
