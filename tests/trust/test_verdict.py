"""Trust is decided at the reading, on the reader's clock: every rule at its edge."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import NO_CAUSE, CauseCode, State
from okex_ws.protocol.messages import DepthData
from okex_ws.trust.lease import MAX_CLOCK_JUMP, Era, Lease
from okex_ws.trust.verdict import (
    LIVE,
    NO_LIMITS,
    Limits,
    Published,
    Verdict,
    judge,
    live_until,
    state_rank,
    withdrawn,
)
from tests.support.causes import because

NOW, OFFSET = 1000.0, 1_700_000_000.0
DATA = DepthData([["1", "2", "3"]], [], 0, None)
NOT_LIVE = [state for state in State if state is not State.LIVE]


def link(until: float = NOW + 15, heard: float = NOW) -> Era:
    made = Era(heard)
    made.lease = Lease(until, OFFSET)
    return made


def live(
    over: Era | None = None, received: float = NOW, lag: float | None = None
) -> Published:
    if over is None:
        over = link()
    return Published(
        State.LIVE, NO_CAUSE, 1, over, DATA, received, received + OFFSET, lag
    )


def at(
    now: float, shown: Published, limits: Limits = NO_LIMITS, jump: float = 0.0
) -> Verdict:
    if shown.state is State.LIVE and shown.is_withdrawn:
        return withdrawn(shown)
    lease, heard = (shown.era.lease, shown.era.heard) if shown.era else (None, 0.0)
    return judge(shown, lease, heard, limits, now, now + OFFSET + jump)


# --- The connection and its lease ---------------------------------------------------


@pytest.mark.parametrize("state", NOT_LIVE)
def test_what_the_thread_knows_to_be_dead_is_dead_on_any_lease(state: State) -> None:
    shown = live()._replace(state=state, cause=because("because"))
    assert at(NOW, shown, Limits(max_age=9)) == Verdict(state, because("because"))
    assert live_until(shown, NO_LIMITS) == math.inf


def test_a_push_within_the_lease_is_live() -> None:
    assert at(NOW, live()) is LIVE


def test_a_lost_connection_withdraws_all_that_came_over_it_in_one_store() -> None:
    over = link()
    one, other = live(over), live(over)
    over.lose()
    for shown in (one, other):
        assert at(NOW, shown).state is State.RECONNECTING


def test_before_the_first_pong_nothing_is_live() -> None:
    over = link()
    over.lease = None
    assert at(NOW, live(over)).state is State.SYNCING
    assert live_until(live(over), NO_LIMITS) == math.inf


def test_the_lease_ends_at_its_very_moment() -> None:
    shown = live(link(until=NOW + 15))
    assert at(math.nextafter(NOW + 15, 0), shown) is LIVE
    verdict = at(NOW + 15, shown)
    assert (verdict.state, verdict.since) == (State.STALE, NOW + 15)
    assert "the lease ran out" in verdict.cause.text
    # Whoever is late to see it tells the true moment.
    assert at(NOW + 99, shown).since == NOW + 15
    assert not verdict.limit


def test_only_a_new_lease_makes_it_live_again() -> None:
    over = link(until=NOW + 15)
    shown = live(over)
    assert at(NOW + 16, shown).state is State.STALE
    over.lease = Lease(NOW + 30, OFFSET)
    assert at(NOW + 16, shown) is LIVE


@pytest.mark.parametrize("jump", [-3600.0, -1.001, 1.001, 3600.0])
def test_a_jump_between_the_clocks_ends_the_lease(jump: float) -> None:
    """A set clock moves the wall one; a suspended machine holds the monotonic one."""
    verdict = at(NOW, live(), jump=jump)
    assert verdict == Verdict(
        State.STALE,
        because("the clock jumped: the lease ended", CauseCode.CLOCK_JUMP),
        NOW,
        False,
    )


@pytest.mark.parametrize("drift", [-MAX_CLOCK_JUMP, -0.5, 0.5, MAX_CLOCK_JUMP])
def test_clocks_that_only_drift_are_trusted(drift: float) -> None:
    assert at(NOW, live(), jump=drift) is LIVE


# --- The caller's limits ------------------------------------------------------------


# limits, what is read at NOW, whether it is live, and since when it is not
EDGES: list[tuple[Limits, dict[str, Any], float | None]] = [
    (Limits(max_age=5), {"received": NOW - 5}, NOW),
    (Limits(max_age=5), {"received": NOW - 4.999}, None),
    (Limits(max_age=5), {"received": NOW - 8}, NOW - 3),
    (Limits(max_age=0), {"received": NOW}, NOW),
    (Limits(max_age=math.inf), {"received": -math.inf}, None),
    (Limits(max_silence=2), {"over": link(heard=NOW - 2)}, NOW),
    (Limits(max_silence=2), {"over": link(heard=NOW - 1.999)}, None),
    # A quiet channel on a busy line is silent to max_age alone.
    (Limits(max_silence=2), {"over": link(), "received": NOW - 60}, None),
    (Limits(max_age=60), {"over": link(heard=NOW - 20)}, None),
    (Limits(max_lag=0.5), {"lag": 0.5}, None),
    (Limits(max_lag=0.5), {"lag": 0.501}, NOW),
    (Limits(max_lag=0.5), {"lag": None}, None),
    (Limits(max_lag=0), {"lag": 0.0}, None),
    (Limits(levels=5), {}, None),
    (Limits(1, 1, 1), {"received": NOW - 0.9, "lag": 1.0}, None),
]


@pytest.mark.parametrize(("limits", "reading", "since"), EDGES)
def test_a_limit_is_crossed_at_its_very_moment(
    limits: Limits, reading: dict[str, Any], since: float | None
) -> None:
    verdict = at(NOW, live(**reading), limits)
    if since is None:
        assert verdict is LIVE
    else:
        assert (verdict.state, verdict.since) == (State.STALE, since)
        assert verdict.limit


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        (Limits(max_age=0.25), "max_age"),
        (Limits(max_silence=0.25), "max_silence"),
        (Limits(max_lag=0.25), "max_lag"),
    ],
)
def test_the_cause_names_the_limit(limits: Limits, name: str) -> None:
    shown = live(link(heard=NOW - 1), received=NOW - 1, lag=1.0)
    assert name in at(NOW, shown, limits).cause.text
    assert at(NOW, shown, limits).cause.code == name.replace("_", "-")
    assert "0.25 s" in at(NOW, shown, limits).cause.text


def test_a_lapsed_lease_is_no_matter_of_limits() -> None:
    verdict = at(NOW + 20, live(), Limits(max_age=1))
    assert (verdict.since, verdict.limit) == (NOW + 15, False)


def test_a_channel_that_was_never_pushed_has_no_moment_that_it_went_stale() -> None:
    """Trades are live with their acknowledgement; an age limit makes them stale.

    The moment goes into a StateChange as a time of day, so it is one or none.
    """
    shown = Published(State.LIVE, NO_CAUSE, 1, link())
    verdict = at(NOW, shown, Limits(max_age=5))
    assert verdict.since is None or math.isfinite(verdict.since)


SECONDS = st.floats(0, 1e4, allow_nan=False)
SOME = st.none() | st.floats(1e-3, 1e4)


@given(received=SECONDS, heard=SECONDS, until=SECONDS, max_age=SOME, max_silence=SOME)
def test_live_ends_exactly_when_it_was_said_to(
    received: float,
    heard: float,
    until: float,
    max_age: float | None,
    max_silence: float | None,
) -> None:
    shown = live(link(until, heard), received)
    limits = Limits(max_age, max_silence)
    end = live_until(shown, limits)
    assert at(math.nextafter(end, -math.inf), shown, limits) is LIVE
    verdict = at(end, shown, limits)
    assert verdict.state is State.STALE
    assert verdict.since == end


def test_what_has_no_connection_yet_never_turns() -> None:
    shown = Published(State.CONNECTING, because("not connected yet"), 0)
    assert live_until(shown, Limits(max_age=1)) == math.inf
    assert live_until(shown._replace(state=State.LIVE), NO_LIMITS) == math.inf


# --- Limits -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_age", "max_silence", "max_lag"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-0.001, ValueError),
        (math.nan, ValueError),
        ("1", TypeError),
        (True, TypeError),
        ([], TypeError),
    ],
)
def test_a_limit_that_is_no_number_of_seconds_is_refused(
    name: str, value: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"{name} is a number of seconds"):
        Limits(**{name: value})


@pytest.mark.parametrize(
    ("levels", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (5.0, TypeError)],
)
def test_levels_are_a_whole_number_from_one_up(
    levels: Any, error: type[Exception]
) -> None:
    with pytest.raises(error, match="levels is"):
        Limits(levels=levels)


def test_only_age_and_silence_are_crossed_by_time_alone() -> None:
    assert Limits(max_age=1).timed
    assert Limits(max_silence=1).timed
    assert not Limits(max_lag=1, levels=1).timed


def test_the_limits_of_a_read_go_over_those_of_the_constructor() -> None:
    defaults = Limits(1, 2, 3, 4)
    assert NO_LIMITS.over(defaults) is defaults
    assert defaults.over(NO_LIMITS) is defaults
    assert Limits(max_age=9).over(defaults) == Limits(9, 2, 3, 4)
    assert Limits(levels=9, max_lag=0).over(defaults) == Limits(1, 2, 0, 9)
    assert Limits(max_silence=0).over(defaults) == Limits(1, 0, 3, 4)


# --- The values ---------------------------------------------------------------------


def test_the_data_of_a_live_depth_is_its_depth() -> None:
    assert live().depth is DATA


def test_every_state_has_its_place_between_worst_and_best() -> None:
    assert sorted(State, key=state_rank)[0] is State.FAILED
    assert sorted(State, key=state_rank)[-1] is State.LIVE


def test_limits_that_many_share_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        NO_LIMITS.max_age = 1.0  # type: ignore[misc]
