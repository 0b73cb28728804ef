"""A channel's phases are a table, and nothing but the table moves them."""

from __future__ import annotations

import math

import pytest

from okex_ws.line import TRANSITIONS, Line, Phase, Step

EVERY_PAIR = [(phase, step) for phase in Phase for step in Step]

# The conversation as the exchange defines it, written down a second time.
LEGAL = {
    (Phase.IDLE, Step.ASK): Phase.ASKED,
    # An acknowledgement that came after we gave up on it.
    (Phase.IDLE, Step.ACK): Phase.ACKED,
    (Phase.ASKED, Step.ACK): Phase.ACKED,
    (Phase.ASKED, Step.SILENT): Phase.IDLE,
    (Phase.ASKED, Step.REFUSE): Phase.REFUSED,
    (Phase.ACKED, Step.PUSH): Phase.FLOWING,
    (Phase.ACKED, Step.LEAVE): Phase.LEAVING,
    (Phase.ACKED, Step.LEFT): Phase.IDLE,
    # All of a kind were ended at once.
    (Phase.ACKED, Step.REFUSE): Phase.REFUSED,
    (Phase.FLOWING, Step.PUSH): Phase.FLOWING,
    (Phase.FLOWING, Step.LEAVE): Phase.LEAVING,
    (Phase.FLOWING, Step.LEFT): Phase.IDLE,
    # What cannot be read is owed again.
    (Phase.FLOWING, Step.SPOIL): Phase.ACKED,
    (Phase.FLOWING, Step.REFUSE): Phase.REFUSED,
    (Phase.LEAVING, Step.LEFT): Phase.IDLE,
    (Phase.LEAVING, Step.SILENT): Phase.IDLE,
}


def line(phase: Phase = Phase.IDLE) -> Line[str]:
    made = Line("spot/depth5:BTC-USDT", "target", owes=True)
    made.phase = phase
    return made


@pytest.mark.parametrize(("phase", "step"), EVERY_PAIR)
def test_a_step_does_what_the_table_says_and_nothing_else(
    phase: Phase, step: Step
) -> None:
    one = line(phase)
    before = {name: getattr(one, name) for name in Line.__slots__}
    taken = one.step(step)
    after = {name: getattr(one, name) for name in Line.__slots__}
    assert taken is ((phase, step) in LEGAL)
    assert after == before | {"phase": LEGAL.get((phase, step), phase)}


def test_the_table_has_a_row_for_every_phase() -> None:
    assert set(TRANSITIONS) == set(Phase)


@pytest.mark.parametrize("phase", Phase)
def test_data_was_asked_for_only_between_ack_and_leaving(phase: Phase) -> None:
    assert line(phase).acknowledged is (phase in (Phase.ACKED, Phase.FLOWING))


def test_a_new_line_is_wanted_and_may_be_asked_for_at_once() -> None:
    one = line()
    assert (one.phase, one.wanted) == (Phase.IDLE, True)
    # With any number of others.
    assert (one.crowd, one.in_doubt) == (math.inf, False)
    assert (one.attempts, one.not_before, one.silent_at) == (0, -math.inf, math.inf)


def test_a_first_push_settles_all_that_was_owed() -> None:
    one = line(Phase.ACKED)
    one.attempts, one.silent_at = 3, 99.0
    one.flows()
    assert (one.phase, one.attempts, one.silent_at) == (Phase.FLOWING, 0, math.inf)


@pytest.mark.parametrize("in_doubt", [False, True])
@pytest.mark.parametrize("phase", Phase)
def test_a_line_is_forgotten_when_neither_end_may_yet_speak_of_it(
    phase: Phase, in_doubt: bool
) -> None:
    one = line(phase)
    one.in_doubt = in_doubt
    assert not one.forgettable
    one.wanted = False
    ended = phase is Phase.REFUSED or (phase is Phase.IDLE and not in_doubt)
    assert one.forgettable is ended
