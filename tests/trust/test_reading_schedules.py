"""A read keeps its promises in every schedule, and each of its rules is needed for it.

`tests.support.read_schedules` is the model, and says which promises these are. It
corresponds step by step to `okex_ws.trust.reading`: `test_reading` compares the order
of the loads, and its docstring says in which three places the form differs.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.support.read_schedules import (
    Era,
    Found,
    Kept,
    Lease,
    Left,
    Place,
    Rules,
    Scenario,
    World,
    read_many,
    read_one,
    search,
)


def world(
    owners: str, channels: int, left: Left, until: int = 2, other: int = 2
) -> World:
    """A world at time 0, in which the connections' leases run *until* and *other*.

    *owners* has the connection of each entry; the first entries serve *channels*.
    """
    marks = (0,) * len(owners)
    names = sorted(set(owners))
    leases = dict(zip("AB", (Lease(until, 1), Lease(other, 0)), strict=True))
    return World(
        now=0,
        eras=tuple(Era(i, leases[name], marks) for i, name in enumerate(names)),
        entries=tuple(
            Kept(at, names.index(name), 0, 1) for at, name in enumerate(owners)
        ),
        places=tuple(map(Place, range(channels))),
        left=left,
        gone=marks,
    )


QUOTES = Scenario(
    world("A", 1, Left(publish=2, renew=1, tick=2, withdraw=1, mark=1)), read_one
)
SCENARIOS = {
    "quotes": QUOTES,
    "quotes before the first pong": Scenario(
        world("A", 1, Left(publish=1, renew=1, tick=2, withdraw=1, mark=1), 0), read_one
    ),
    "a reconnect": Scenario(
        world("A", 1, Left(publish=2, renew=1, tick=2, withdraw=1, close=1)), read_one
    ),
    "a handover": Scenario(
        world("AB", 1, Left(publish=1, renew=1, tick=2, mark=1, hand_over=1), 2, 1),
        read_one,
    ),
    "a handover while the old connection is lost": Scenario(
        world("AB", 1, Left(publish=1, tick=1, close=1, hand_over=1), 1), read_one
    ),
    "two channels of one connection": Scenario(
        world("AA", 2, Left(publish=2, tick=1, mark=1), 1), read_many
    ),
    "two channels of two connections": Scenario(
        world("AB", 2, Left(publish=1, renew=1, tick=1, close=1), 1), read_many
    ),
    "two channels, one handed over": Scenario(
        world("AAB", 2, Left(publish=1, renew=1, tick=1, hand_over=1), 1), read_many
    ),
    "two reads around a handover": Scenario(
        world("AB", 1, Left(publish=1, renew=1, tick=1, hand_over=1), 1),
        read_one,
        reads=2,
    ),
    "two reads around a handover and a withdrawal": Scenario(
        world("AB", 1, Left(publish=1, withdraw=1, hand_over=1)), read_one, reads=2
    ),
    "two reads around a reconnect": Scenario(
        world("A", 1, Left(publish=1, renew=2, tick=1, mark=1, close=1), 1),
        read_one,
        reads=2,
    ),
}

# Each rule, left out; and a scenario in which it is missed.
MISSED = {
    "the lease is taken before the value": (Rules(lease_first=False), "quotes"),
    "the value is of the era of the lease": (Rules(era_checked=False), "a handover"),
    "the marks are checked": (Rules(marks_checked=False), "quotes"),
    "the marks only grow": (Rules(marks_grow=False), "quotes"),
    "the clocks are taken after the value": (
        Rules(clocks="before the value"),
        "quotes",
    ),
    "the clocks are taken after building": (Rules(clocks="before building"), "quotes"),
    "the present value is looked at again": (
        Rules(present_checked=False),
        "a handover",
    ),
    "two passes find the same values": (
        Rules(two_passes=False),
        "two channels of one connection",
    ),
    "a last pass checks the marks": (
        Rules(last_pass=False),
        "two channels of one connection",
    ),
    "a lease that ran out is asked for once more": (
        Rules(renewals_seen=False),
        "two channels of two connections",
    ),
    "the old connection's thread hands over": (
        Rules(old_thread_hands_over=False),
        "two reads around a handover",
    ),
    "a new era goes on with the lapses": (
        Rules(lapses_go_on=False),
        "two reads around a reconnect",
    ),
}


@cache
def searched(name: str) -> Found:
    """What the search of a scenario found, with all rules kept."""
    return search(SCENARIOS[name])


@pytest.mark.once
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_read_keeps_its_promises_in_every_schedule(name: str) -> None:
    assert searched(name).schedule == ()


@pytest.mark.once
def test_the_search_is_no_small_one() -> None:
    states = [searched(name).states for name in SCENARIOS]

    assert sum(states) > 300_000
    assert min(states) > 4_000


@pytest.mark.once
@pytest.mark.parametrize("rule", MISSED)
def test_a_read_breaks_a_promise_without(rule: str) -> None:
    rules, name = MISSED[rule]

    found = search(SCENARIOS[name], rules)

    print(rule, *found.schedule, sep="\n  ")
    assert found.schedule


def test_the_shortest_schedule_tells_each_move_and_what_it_breaks() -> None:
    found = search(QUOTES, Rules(marks_checked=False))

    assert found.schedule[:2] == ("A withdraws by a mark", "reader: begin")
    assert found.schedule[-1].startswith("never good at one instant")


def test_an_epoch_falls_if_another_thread_works_out_the_base_of_a_handover() -> None:
    """In between, the old connection withdraws its value and publishes the next one."""
    scenario = SCENARIOS["two reads around a handover and a withdrawal"]

    found = search(scenario, Rules(old_thread_hands_over=False))

    moves = [line for line in found.schedule if not line.startswith("reader")]
    assert moves[0] == "a base is worked out"
    assert moves[-1].startswith("epoch")
