"""Time-outs, pings and reconnects that cannot be are refused; waits double."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest

from okex_ws.base.retry import Ping, Reconnect, Timeouts, backoff, doubled


def test_the_time_outs_are_those_of_the_design() -> None:
    assert Timeouts() == Timeouts(connect=10, ack=10, pong=10, first_push=10)


@pytest.mark.parametrize(
    ("interval", "lease", "period"),
    [
        (30.0, 15.0, 5.0),
        (30.0, 60.0, 20.0),
        (30.0, 3, 1.0),
        # A lease never delays the keep-alive, which goes out five seconds early.
        (20.0, 60.0, 15.0),
        (10.0, 60.0, 5.0),
    ],
)
def test_a_ping_goes_out_every_third_of_the_lease_or_early_for_the_keep_alive(
    interval: float, lease: float, period: float
) -> None:
    assert Ping(interval, lease).period == period


@pytest.mark.parametrize("interval", [9.99, 30.01, math.nan, math.inf, -1])
def test_a_keep_alive_outside_the_exchanges_rule_is_a_value_error(
    interval: float,
) -> None:
    with pytest.raises(ValueError, match="ping_interval is 10 to 30 seconds"):
        Ping(interval)


@pytest.mark.parametrize("lease", [0, -1, 1.99, 60.01, math.nan, math.inf, 10**400])
def test_a_lease_that_is_too_short_or_too_long_is_a_value_error(lease: float) -> None:
    with pytest.raises(ValueError, match="lease is 2 to 60 seconds"):
        Ping(30.0, lease)


@pytest.mark.parametrize("lease", [None, True, "15"])
def test_a_lease_that_is_no_number_is_a_type_error(lease: Any) -> None:
    with pytest.raises(TypeError, match="lease is a number of seconds"):
        Ping(30.0, lease)


@pytest.mark.parametrize(
    "keywords",
    [
        {"first": 0},
        {"first": -1},
        {"first": 2, "cap": 1},
        {"first": math.nan},
        {"cap": math.nan},
        {"healthy_after": -1},
        {"host_gap": -0.1},
    ],
)
def test_a_reconnect_that_cannot_be_is_a_value_error(
    keywords: dict[str, float],
) -> None:
    with pytest.raises(ValueError, match=r"reconnect needs|number of seconds"):
        Reconnect(**keywords)


def test_a_reconnect_may_have_no_gap_and_any_patience() -> None:
    assert Reconnect(host_gap=0.0).host_gap == 0.0
    assert Reconnect(first=1, cap=1, healthy_after=0).cap == 1


class _Ceiling(random.Random):
    """Draws the highest, so that the ceiling shows."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0.0
        return b


def test_the_ceiling_of_the_back_off_doubles_up_to_the_cap() -> None:
    waits = backoff(0.5, 3.0, _Ceiling())
    assert list(itertools.islice(waits, 5)) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_the_jitter_is_full_and_stays_at_the_cap() -> None:
    waits = list(itertools.islice(backoff(1.0, 2.0, random.Random(7)), 1000))
    later = waits[1:]
    assert 0 <= waits[0] <= 1
    assert min(later) < 0.1
    assert max(later) > 1.9
    assert all(0 <= wait <= 2 for wait in later)


def test_the_back_off_draws_for_itself_unless_told() -> None:
    assert 0 <= next(backoff(1.0, 2.0)) <= 1


@pytest.mark.parametrize(
    ("attempts", "wait"),
    [(0, 1.5), (1, 3.0), (2, 6.0), (5, 48.0), (6, 60.0), (99, 60.0)],
)
def test_a_wait_is_doubled_by_each_attempt_up_to_the_cap(
    attempts: int, wait: float
) -> None:
    assert doubled(1.5, attempts, 60.0) == wait


def test_a_wait_is_a_number_after_any_number_of_attempts() -> None:
    assert doubled(1.0, 10**9, math.inf) == 2.0**20
    assert doubled(10.0, 0, 5.0) == 5.0
    assert doubled(0.0, 10**9, 600.0) == 0.0
