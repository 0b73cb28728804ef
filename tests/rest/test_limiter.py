"""Budgets are kept by all clients together, and by host and kind of request."""

from __future__ import annotations

from okex_ws.rest.dialect import Rule
from okex_ws.rest.limiter import SLACK, Limiter
from tests.support.internals import lock_of

HOST, OTHER = "https://one.invalid", "https://two.invalid"
RULE = Rule("trades", 3, 2.0)


def test_a_budget_is_spent_and_comes_back() -> None:
    limiter = Limiter()

    assert [limiter.take(HOST, RULE, 1.0, 10.0 + n / 10) for n in range(3)] == [0.0] * 3
    assert limiter.take(HOST, RULE, 1.0, 10.5) == 10.0 + RULE.period + SLACK - 10.5
    assert limiter.take(HOST, RULE, 1.0, 10.0 + RULE.period + SLACK) == 0.0


def test_each_host_and_each_kind_of_request_has_its_own() -> None:
    limiter = Limiter()
    for _ in range(3):
        limiter.take(HOST, RULE, 1.0, 10.0)

    assert limiter.take(HOST, RULE, 1.0, 10.0) > 0
    assert limiter.take(OTHER, RULE, 1.0, 10.0) == 0.0
    assert limiter.take(HOST, RULE._replace(name="books"), 1.0, 10.0) == 0.0


def test_a_share_is_a_part_of_it_and_never_nothing() -> None:
    many, few = Limiter(), Limiter()

    assert [many.take(HOST, RULE, 2.0, 1.0) > 0 for _ in range(7)] == [
        *[False] * 6,
        True,
    ]
    assert [few.take(HOST, RULE, 0.1, 1.0) > 0 for _ in range(2)] == [False, True]


def test_whoever_was_told_to_wait_tells_the_others() -> None:
    limiter = Limiter()
    limiter.hold(HOST, RULE, 15.0)
    limiter.hold(HOST, RULE, 12.0)

    assert limiter.take(HOST, RULE, 1.0, 10.0) == 5.0
    assert limiter.take(OTHER, RULE, 1.0, 10.0) == 0.0
    assert limiter.take(HOST, RULE, 1.0, 15.0) == 0.0


def test_in_a_forked_child_nobody_holds_its_lock() -> None:
    limiter = Limiter()
    lock_of(limiter).acquire()
    limiter.forked()

    assert limiter.take(HOST, RULE, 1.0, 10.0) == 0.0
