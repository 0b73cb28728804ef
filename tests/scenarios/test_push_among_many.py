"""A message costs as much among many subscriptions as alone, in Python calls."""

from __future__ import annotations

import sys
from functools import partial
from types import FrameType
from typing import Any

from okex_ws.pool.opening import Opening
from tests.support.virtual_world import World

# Any module of the library is named so.
OURS = "/okex_ws/"


class Calls:
    """The Python calls of the library from each turn of a connection to the next."""

    def __init__(self, monkeypatch: Any) -> None:
        self.turns: list[int] = []
        self._count = 0
        turn = Opening.turn

        def counted(opening: Opening) -> None:
            self.turns.append(self._count)
            self._count = 0
            sys.setprofile(self._note)
            turn(opening)

        monkeypatch.setattr(Opening, "turn", counted)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and OURS in frame.f_code.co_filename:
            self._count += 1


def subscribed(subscriptions: int) -> tuple[World, list[str]]:
    """A world with so many subscriptions of one connection, and their names."""
    world = World("v5")
    feed = world.feed()
    names = [f"A{number}-USDT" for number in range(subscriptions)]
    for name in names:
        world.exchange.first_pushes[f"books5:{name}"] = world.dialect.depth(
            0, name=name
        )
    feed.subscribe(names, "spot", ["depth5"])
    return world, names


def start(monkeypatch: Any, subscriptions: int) -> float:
    """The calls from the opening to the last first push, for each subscription."""
    world, _ = subscribed(subscriptions)
    calls = Calls(monkeypatch)
    world.run(0.9)
    monkeypatch.undo()
    return sum(calls.turns) / subscriptions


def pushes(monkeypatch: Any, subscriptions: int) -> int:
    """The calls of one warm push, one of many, of which each has a turn of its own."""
    world, names = subscribed(subscriptions)
    calls = Calls(monkeypatch)

    def push(number: int) -> None:
        assert world.peer is not None
        world.peer.send(
            world.dialect.depth(1000 + number, str(100 + number), name=names[0])
        )

    for number in range(20):
        world.at(1.0 + number / 100, partial(push, number))
    world.run(1.3)
    # A turn without a push takes fewer.
    return min(count for count in calls.turns[-15:] if count > 9)


def test_a_push_costs_as_much_among_many_subscriptions_as_alone(
    monkeypatch: Any,
) -> None:
    alone = pushes(monkeypatch, 1)
    monkeypatch.undo()

    assert pushes(monkeypatch, 30) <= alone


def test_an_acknowledgement_and_a_first_push_cost_as_much_among_many(
    monkeypatch: Any,
) -> None:
    assert start(monkeypatch, 60) <= 1.01 * start(monkeypatch, 20)
