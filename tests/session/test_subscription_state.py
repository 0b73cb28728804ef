"""A channel's phases are a table, and nothing but the table moves them."""

from __future__ import annotations

import math
from collections import deque

import pytest

from okex_ws.base.retry import Timeouts
from okex_ws.session.subscription_state import (
    STEADY,
    TRANSITIONS,
    Phase,
    Step,
    StepTaken,
    SubscriptionState,
    next_batch,
)

TIMEOUTS = Timeouts()
EVERY_PAIR = [(phase, step) for phase in Phase for step in Step]

# The conversation as the exchange defines it, written down a second time.
LEGAL = {
    (Phase.IDLE, Step.ASKED): Phase.ASKED,
    # An acknowledgement that came after we gave up on it.
    (Phase.IDLE, Step.ACKNOWLEDGED): Phase.ACKNOWLEDGED,
    (Phase.ASKED, Step.ACKNOWLEDGED): Phase.ACKNOWLEDGED,
    (Phase.ASKED, Step.SILENT): Phase.IDLE,
    (Phase.ASKED, Step.REFUSED): Phase.REFUSED,
    (Phase.ACKNOWLEDGED, Step.PUSHED): Phase.FLOWING,
    (Phase.ACKNOWLEDGED, Step.LEAVING): Phase.LEAVING,
    (Phase.ACKNOWLEDGED, Step.LEFT): Phase.DRAINING,
    # All of a kind were ended at once.
    (Phase.ACKNOWLEDGED, Step.REFUSED): Phase.REFUSED,
    # What builds on a message that was lost is of no use, the first one included.
    (Phase.ACKNOWLEDGED, Step.BROKEN): Phase.BROKEN,
    (Phase.FLOWING, Step.LEAVING): Phase.LEAVING,
    (Phase.FLOWING, Step.LEFT): Phase.DRAINING,
    # What cannot be read is owed again.
    (Phase.FLOWING, Step.INVALIDATED): Phase.ACKNOWLEDGED,
    (Phase.FLOWING, Step.REFUSED): Phase.REFUSED,
    (Phase.FLOWING, Step.BROKEN): Phase.BROKEN,
    # No push and no second acknowledgement mends it: it is left, or it was ended.
    (Phase.BROKEN, Step.LEAVING): Phase.LEAVING,
    (Phase.BROKEN, Step.LEFT): Phase.DRAINING,
    (Phase.BROKEN, Step.REFUSED): Phase.REFUSED,
    (Phase.LEAVING, Step.LEFT): Phase.DRAINING,
    (Phase.LEAVING, Step.SILENT): Phase.DRAINING,
    # It may not have been left, and must be: it is told so once more.
    (Phase.LEAVING, Step.UNHEARD): Phase.BROKEN,
    # What was sent before its end has been handled.
    (Phase.DRAINING, Step.DRAINED): Phase.IDLE,
    # Data came before the answer, then the end, then a refusal as the answer.
    (Phase.DRAINING, Step.REFUSED): Phase.REFUSED,
    # What forwards the data vouches for a channel, or does not, without a request.
    (Phase.ASKED, Step.WITHHELD): Phase.WITHHELD,
    (Phase.ACKNOWLEDGED, Step.WITHHELD): Phase.WITHHELD,
    (Phase.FLOWING, Step.WITHHELD): Phase.WITHHELD,
    (Phase.WITHHELD, Step.WITHHELD): Phase.WITHHELD,
    (Phase.WITHHELD, Step.ACKNOWLEDGED): Phase.ACKNOWLEDGED,
    (Phase.WITHHELD, Step.LEAVING): Phase.LEAVING,
    (Phase.WITHHELD, Step.LEFT): Phase.DRAINING,
    (Phase.WITHHELD, Step.REFUSED): Phase.REFUSED,
}


def subscription(phase: Phase = Phase.IDLE) -> SubscriptionState[str]:
    made = SubscriptionState("spot/depth5:BTC-USDT", "target", needs_snapshot=True)
    made.phase = phase
    return made


@pytest.mark.parametrize(("phase", "step"), EVERY_PAIR)
def test_a_step_does_what_the_table_says_and_nothing_else(
    phase: Phase, step: Step
) -> None:
    one = subscription(phase)
    before = {name: getattr(one, name) for name in SubscriptionState.__slots__}
    taken = one.step(step)
    after = {name: getattr(one, name) for name in SubscriptionState.__slots__}
    assert taken is ((phase, step) in LEGAL)
    assert after == before | {"phase": LEGAL.get((phase, step), phase)}


def test_the_table_has_a_row_for_every_phase() -> None:
    assert set(TRANSITIONS) == set(Phase)


@pytest.mark.parametrize("phase", Phase)
def test_data_was_asked_for_only_between_ack_and_leaving(phase: Phase) -> None:
    assert subscription(phase).acknowledged is (
        phase in (Phase.ACKNOWLEDGED, Phase.FLOWING)
    )


def test_a_new_subscription_is_wanted_and_may_be_asked_for_at_once() -> None:
    one = subscription()
    assert (one.phase, one.wanted) == (Phase.IDLE, True)
    # With any number of others.
    assert (one.max_batch, one.in_doubt) == (math.inf, False)
    assert (one.attempts, one.not_before, one.silent_at) == (0, -math.inf, math.inf)
    assert (one.incremental, one.breaks, one.flows_since) == (False, 0, math.inf)
    assert not one.suspect
    assert one.calls_for(-1e9) is Step.ASKED


def test_a_first_push_settles_every_snapshot_that_was_needed() -> None:
    one = subscription(Phase.ACKNOWLEDGED)
    one.attempts, one.silent_at = 3, 99.0
    one.flows(5.0)
    assert (one.phase, one.attempts, one.silent_at) == (Phase.FLOWING, 0, math.inf)


@pytest.mark.parametrize("in_doubt", [False, True])
@pytest.mark.parametrize("phase", Phase)
def test_a_subscription_is_forgotten_when_neither_end_may_yet_speak_of_it(
    phase: Phase, in_doubt: bool
) -> None:
    one = subscription(phase)
    one.in_doubt = in_doubt
    assert not one.forgettable
    one.wanted = False
    ended = phase is Phase.REFUSED or (phase is Phase.IDLE and not in_doubt)
    assert one.forgettable is ended


# --- What its pushes are worth ------------------------------------------------------


def book(phase: Phase = Phase.FLOWING) -> SubscriptionState[str]:
    """A line whose pushes build on each other, flowing since the second 0."""
    made = SubscriptionState(
        "spot/depth:BTC-USDT", "target", needs_snapshot=True, incremental=True
    )
    made.phase, made.flows_since = phase, 0.0
    return made


def test_a_snapshot_that_was_invalidated_is_needed_from_then_on() -> None:
    one = subscription(Phase.FLOWING)

    one.invalidate(7.0, TIMEOUTS)

    assert (one.phase, one.silent_at) == (Phase.ACKNOWLEDGED, 7.0 + TIMEOUTS.first_push)
    assert (one.due, one.calls_for(one.due)) == (one.silent_at, Step.LEAVING)
    # A second one puts nothing off.
    one.invalidate(9.0, TIMEOUTS)
    assert one.silent_at == 7.0 + TIMEOUTS.first_push


@pytest.mark.parametrize("phase", Phase)
def test_what_needs_no_snapshot_is_not_moved_by_a_push_that_was_lost(
    phase: Phase,
) -> None:
    one = SubscriptionState("spot/trade:BTC-USDT", "target", needs_snapshot=False)
    one.phase = phase

    one.invalidate(7.0, TIMEOUTS)
    one.await_push(7.0, TIMEOUTS)

    assert (one.phase, one.silent_at) == (phase, math.inf)


@pytest.mark.parametrize("phase", [Phase.ACKNOWLEDGED, Phase.FLOWING])
def test_a_book_that_lost_a_push_is_broken_and_left_at_once_the_first_time(
    phase: Phase,
) -> None:
    one = book(phase)

    one.invalidate(7.0, TIMEOUTS)

    assert one.phase is Phase.BROKEN
    assert (one.due, one.calls_for(7.0)) == (7.0, Step.LEAVING)
    assert one.resubscribing
    assert not one.acknowledged


@pytest.mark.parametrize(
    "phase", [Phase.IDLE, Phase.ASKED, Phase.BROKEN, Phase.LEAVING, Phase.REFUSED]
)
def test_what_is_not_subscribed_cannot_break(phase: Phase) -> None:
    one = book(phase)
    before = {name: getattr(one, name) for name in SubscriptionState.__slots__}

    one.invalidate(7.0, TIMEOUTS)

    assert {name: getattr(one, name) for name in SubscriptionState.__slots__} == before


def resubscribed(one: SubscriptionState[str], now: float, flows: bool = True) -> None:
    for step in (
        *(Step.LEAVING, Step.LEFT, Step.DRAINED),
        *(Step.ASKED, Step.ACKNOWLEDGED),
    ):
        assert one.step(step)
    if flows:
        one.flows(now)


@pytest.mark.parametrize("flows", [True, False])
def test_a_book_that_breaks_again_and_again_waits_twice_as_long_each_time(
    flows: bool,
) -> None:
    """Whether it had a snapshot in between, or broke with it."""
    one, now, waits = book(), 0.0, []
    for _ in range(13):
        one.invalidate(now, TIMEOUTS)
        waits.append(one.not_before - now)
        now = one.not_before
        resubscribed(one, now, flows)
        now = math.nextafter(now + STEADY, 0)

    assert waits == [0, *(min(2.0**n, TIMEOUTS.retry_cap) for n in range(12))]
    assert TIMEOUTS.retry_cap in waits


def test_a_book_that_was_whole_for_long_enough_is_left_at_once_again() -> None:
    one, now = book(), 0.0
    for _ in range(3):
        one.invalidate(now, TIMEOUTS)
        now = one.not_before
        resubscribed(one, now)
    now += STEADY

    one.invalidate(now, TIMEOUTS)

    assert one.not_before == now
    resubscribed(one, now)
    one.invalidate(now + 1, TIMEOUTS)
    assert one.not_before == now + 2


def test_only_time_in_which_it_flows_makes_a_book_steady() -> None:
    one = book()
    one.invalidate(0.0, TIMEOUTS)
    # The snapshot never comes, and what comes in its place is spoiled.
    resubscribed(one, 0.0, flows=False)

    one.invalidate(1000.0, TIMEOUTS)

    assert one.not_before == 1001.0


# --- What it calls for --------------------------------------------------------------


def test_a_broken_book_waits_for_its_moment() -> None:
    one = book()
    one.breaks = 3
    one.invalidate(7.0, TIMEOUTS)

    assert one.due == 11.0
    assert one.calls_for(math.nextafter(11.0, 0)) is None
    assert one.calls_for(11.0) is Step.LEAVING


def test_a_broken_book_that_nobody_wants_is_left_at_once() -> None:
    one = book()
    one.breaks = 3
    one.invalidate(7.0, TIMEOUTS)
    one.wanted = False

    assert one.calls_for(7.0) is Step.LEAVING
    assert not one.resubscribing
    assert not one.forgettable


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("phase", Phase)
def test_only_what_is_broken_and_wanted_is_resubscribed(
    phase: Phase, wanted: bool
) -> None:
    one = book(phase)
    one.wanted = wanted

    assert one.resubscribing is (wanted and phase is Phase.BROKEN)


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("phase", Phase)
def test_a_subscription_calls_for_what_it_is_not_yet(
    phase: Phase, wanted: bool
) -> None:
    one = book(phase)
    one.wanted = wanted
    there = phase in (Phase.ACKNOWLEDGED, Phase.FLOWING, Phase.WITHHELD)

    called = one.calls_for(0.0)

    expected = None
    if wanted and phase is Phase.IDLE:
        expected = Step.ASKED
    elif phase is Phase.BROKEN or (there and not wanted):
        expected = Step.LEAVING
    assert called is expected


def test_asking_again_waits_twice_as_long_each_time_up_to_a_cap() -> None:
    one, waits = subscription(), []
    for _ in range(12):
        one.retry_later(100.0, TIMEOUTS)
        waits.append(one.not_before - 100.0)
        assert (one.due, one.calls_for(100.0)) == (one.not_before, None)

    assert waits == [min(2.0**n, TIMEOUTS.retry_cap) for n in range(12)]


# --- What had no answer -------------------------------------------------------------


@pytest.mark.parametrize("phase", [Phase.ASKED, Phase.LEAVING])
def test_what_had_no_answer_is_taken_as_not_subscribed(phase: Phase) -> None:
    one = subscription(phase)

    assert one.unanswered(0)

    after = Phase.IDLE if phase is Phase.ASKED else Phase.DRAINING
    assert (one.phase, one.wanted) == (after, True)


@pytest.mark.parametrize(
    "phase", [one for one in Phase if one not in (Phase.ASKED, Phase.LEAVING)]
)
def test_what_was_not_asked_for_goes_unanswered_without_a_change(phase: Phase) -> None:
    for one in (subscription(phase), book(phase)):
        assert not one.unanswered(0)
        assert one.phase is phase


def test_a_book_is_told_to_end_a_second_time_and_not_a_third() -> None:
    """The exchange may carry it yet, and would answer a subscribe with no snapshot."""
    one = book(Phase.LEAVING)

    assert one.unanswered(0)
    assert (one.phase, one.resubscribing) == (Phase.BROKEN, True)

    one.attempts += 1
    assert one.step(Step.LEAVING)
    assert one.unanswered(0)
    assert one.phase is Phase.DRAINING


def test_a_book_that_nobody_wants_any_more_is_told_to_end_once() -> None:
    one = book(Phase.LEAVING)
    one.wanted = False

    assert one.unanswered(0)

    assert one.step(Step.DRAINED)
    assert one.calls_for(math.inf) is None
    # The exchange may carry it yet, so its data is known.
    assert (one.in_doubt, one.forgettable) == (True, False)


def test_a_book_whose_subscribe_had_no_answer_has_nothing_to_be_left() -> None:
    one = book(Phase.ASKED)

    assert one.unanswered(0)

    assert one.phase is Phase.IDLE


# --- What an idle channel repeats ---------------------------------------------------


@pytest.mark.parametrize("incremental", [False, True])
def test_a_subscription_that_misses_its_repeat_is_subscribed_anew(
    incremental: bool,
) -> None:
    one = book() if incremental else subscription(Phase.FLOWING)

    assert one.miss(0.0, 75.0, TIMEOUTS)

    assert (one.phase, one.suspect) == (Phase.BROKEN, True)
    assert one.calls_for(75.0) is Step.LEAVING


def test_a_subscription_that_brought_a_first_push_and_no_other_missed_it_for_good() -> (
    None
):
    one = book()
    one.miss(0.0, 75.0, TIMEOUTS)
    resubscribed(one, 76.0)

    assert not one.miss(76.0, 151.0, TIMEOUTS)

    assert one.phase is Phase.FLOWING


def test_a_subscription_that_moved_again_may_miss_again() -> None:
    one = book()
    one.miss(0.0, 75.0, TIMEOUTS)
    resubscribed(one, 76.0)

    assert one.miss(80.0, 155.0, TIMEOUTS)

    assert one.phase is Phase.BROKEN


def test_a_subscription_without_its_snapshot_is_dead_too_long_after_it_was_silent() -> (
    None
):
    one = book()
    one.miss(0.0, 75.0, TIMEOUTS)
    resubscribed(one, 76.0, flows=False)
    one.await_push(76.0, TIMEOUTS)

    assert one.silent_at == 76.0 + TIMEOUTS.first_push
    assert [one.is_dead(now) for now in (76.0, 85.9, 86.0, 99.0)] == [
        False,
        False,
        True,
        True,
    ]
    one.flows(87.0)
    assert not one.is_dead(99.0)


def test_a_subscription_that_was_never_silent_before_is_not_dead() -> None:
    one = book(Phase.ACKNOWLEDGED)
    one.await_push(0.0, TIMEOUTS)

    assert not one.is_dead(99.0)


@pytest.mark.parametrize("phase", [Phase.ASKED, Phase.FLOWING, Phase.LEAVING])
def test_time_alone_moves_nothing_that_waits_for_the_exchange(phase: Phase) -> None:
    assert subscription(phase).due == math.inf


# --- Data before an answer, and after the end ---------------------------------------


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("in_doubt", [True, False])
@pytest.mark.parametrize("phase", Phase)
def test_data_proves_a_subscription_only_while_a_request_may_be_unanswered(
    phase: Phase, in_doubt: bool, wanted: bool
) -> None:
    one = subscription(phase)
    one.in_doubt, one.wanted = in_doubt, wanted

    open_request = phase is Phase.ASKED or (phase is Phase.IDLE and in_doubt)
    assert one.may_be_acknowledged_by_data is (open_request and wanted)


def test_an_acknowledgement_of_what_was_never_asked_changes_nothing() -> None:
    one = subscription()

    assert not one.acknowledge(5.0, TIMEOUTS)

    assert one.phase is Phase.IDLE
    one.in_doubt = True
    assert one.acknowledge(5.0, TIMEOUTS)
    assert (one.phase, one.in_doubt) == (Phase.ACKNOWLEDGED, False)


def test_an_end_is_drained_by_a_ping_that_follows_it() -> None:
    one = subscription(Phase.FLOWING)

    assert one.end(3)

    assert (one.phase, one.in_doubt) == (Phase.DRAINING, False)
    assert [one.awaits_ping(pings) for pings in (3, 4)] == [True, False]
    assert one.calls_for(99.0) is None
    one.wanted = False
    assert not one.awaits_ping(3)
    assert not one.end(4)
    assert one.ended_after == 3


def test_channels_that_may_be_asked_together_are_one_batch() -> None:
    ones = [subscription() for _ in range(5)]
    ones[1].max_batch, ones[2].max_batch = 2, 2
    ones[3].wanted = False
    ones[4].phase = Phase.BROKEN
    for number, one in enumerate(ones):
        one.name = str(number)

    assert next_batch(ones, Step.ASKED, 0.0, True) == ["0"]
    assert next_batch(ones[1:], Step.ASKED, 0.0, True) == ["1", "2"]
    assert next_batch(ones, Step.LEAVING, 0.0, True) == ["4"]
    assert next_batch(ones, Step.LEAVING, 0.0, False) == []


def test_a_step_is_noted_and_one_that_is_not_taken_is_not() -> None:
    taken: deque[StepTaken] = deque()
    one = SubscriptionState("a", "target", needs_snapshot=True, taken=taken)

    assert one.step(Step.ASKED)
    assert not one.step(Step.PUSHED)

    assert list(taken) == [StepTaken("a", "IDLE", "ASKED", "ASKED")]
