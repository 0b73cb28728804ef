"""A change of state is told at once; one of a caller's limit not in a tight loop."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import State
from okex_ws.delivery.callbacks import LIMIT_TOLD_EVERY, StateChangeFilter
from okex_ws.trust.verdict import LIVE, Verdict
from tests.support.causes import because

LATE = Verdict(State.STALE, because("no push for 1 s (max_age)"), 0.0, True)
LAPSED = Verdict(State.STALE, because("no pong in time"), 0.0)


def verdict(state: State) -> Verdict:
    return LIVE if state is State.LIVE else Verdict(state, because("why"))


def told(
    state_filter: StateChangeFilter, *verdicts: Verdict, now: float = 0.0
) -> list[bool]:
    return [state_filter.may_tell(one, now) for one in verdicts]


def test_the_beginning_is_known_and_not_told() -> None:
    state_filter = StateChangeFilter()
    assert (state_filter.state, state_filter.again) == (State.CONNECTING, math.inf)
    assert told(state_filter, verdict(State.CONNECTING)) == [False]


def test_every_change_that_no_limit_made_is_told_at_once() -> None:
    state_filter = StateChangeFilter()
    states = [State.SYNCING, State.LIVE, State.STALE, State.LIVE, State.RESYNCING]

    assert told(state_filter, *map(verdict, states * 3)) == [True] * 15
    assert (state_filter.state, state_filter.again) == (State.RESYNCING, math.inf)


def test_what_was_told_is_not_told_again() -> None:
    state_filter = StateChangeFilter()
    assert told(state_filter, LIVE, LIVE, LAPSED, LATE, LAPSED) == [
        *(True, False, True, False, False)
    ]


@pytest.mark.parametrize("end", [State.FAILED, State.CLOSED])
def test_after_the_end_nothing_is_told(end: State) -> None:
    state_filter = StateChangeFilter()
    state_filter.may_tell(verdict(end), 0.0)

    assert told(state_filter, *map(verdict, State)) == [False] * len(State)
    assert state_filter.state is end


def test_a_limit_that_is_crossed_the_first_time_is_told_at_once() -> None:
    state_filter = StateChangeFilter()
    assert told(state_filter, LIVE, LATE) == [True, True]


def test_crossing_it_again_waits_a_second_from_the_last_time_each_way() -> None:
    state_filter = StateChangeFilter()
    state_filter.may_tell(LIVE, 0.0)
    state_filter.may_tell(LATE, 0.3)

    # Back to LIVE, which was told at 0.
    assert not state_filter.may_tell(LIVE, 0.5)
    assert state_filter.again == LIMIT_TOLD_EVERY
    assert state_filter.state is State.STALE
    assert state_filter.may_tell(LIVE, 1.0)
    assert state_filter.again == math.inf
    assert not state_filter.may_tell(LATE, 1.1)
    assert state_filter.again == 0.3 + LIMIT_TOLD_EVERY
    assert state_filter.may_tell(LATE, 1.3)


def test_what_is_held_back_and_over_again_is_never_told() -> None:
    state_filter = StateChangeFilter()
    state_filter.may_tell(LIVE, 0.0)
    state_filter.may_tell(LATE, 0.1)
    state_filter.may_tell(LIVE, 0.2)

    assert not state_filter.may_tell(LATE, 0.4)
    assert state_filter.again == math.inf


def test_another_reason_does_not_wait_for_a_limit() -> None:
    state_filter = StateChangeFilter()
    state_filter.may_tell(LIVE, 0.0)
    state_filter.may_tell(LATE, 0.1)

    assert state_filter.may_tell(verdict(State.RECONNECTING), 0.2)
    # Nor is the return from it the return from a limit.
    assert state_filter.may_tell(LIVE, 0.3)


def test_a_limit_is_not_told_where_the_state_was_told_for_another_reason() -> None:
    state_filter = StateChangeFilter()
    state_filter.may_tell(LIVE, 0.0)
    state_filter.may_tell(LAPSED, 0.1)

    assert not state_filter.may_tell(LATE, 0.2)
    # The lease's end was the reason that was told: its end is told at once.
    assert state_filter.may_tell(LIVE, 0.3)


STEPS = st.tuples(st.sampled_from([LIVE, LATE]), st.sampled_from([0.01, 0.3, 0.5, 2.0]))


@given(st.lists(STEPS, max_size=60))
def test_a_limit_is_told_once_a_second_each_way_and_the_last_word_is_told(
    steps: list[tuple[Verdict, float]],
) -> None:
    state_filter, now = StateChangeFilter(), 0.0
    spoken: dict[State, list[float]] = {State.LIVE: [], State.STALE: []}
    state_filter.may_tell(LIVE, now)
    for one, passed in steps:
        now += passed
        if state_filter.may_tell(one, now):
            spoken[one.state].append(now)
    for times in spoken.values():
        waits = [b - a for a, b in pairwise(times)]
        assert all(wait >= LIMIT_TOLD_EVERY - 1e-9 for wait in waits)
    if steps and state_filter.state is not steps[-1][0].state:
        assert now < state_filter.again < math.inf
        assert state_filter.may_tell(steps[-1][0], state_filter.again)
