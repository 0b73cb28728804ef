"""The hour's requests, the share of the broken, and who hears that they wait."""

from __future__ import annotations

import pytest

from okex_ws.base.rates import RateLimit
from okex_ws.session.request_budget import RequestBudget


def spent(requests: int, limit: int = 8) -> RequestBudget:
    """A request budget of 8 an hour, of which some were spent at 0, 1, 2, ..."""
    budget = RequestBudget(RateLimit(limit, 3600.0))
    for now in range(requests):
        budget.spend(float(now))
    return budget


def test_what_is_left_may_be_sent_now() -> None:
    assert spent(7).wait("subscribe", 3, 10.0) == (10.0, [])


def test_beyond_the_budget_it_waits_for_the_oldest_to_be_an_hour_old() -> None:
    ready_at, (words,) = spent(8).wait("subscribe", 3, 10.0)

    assert ready_at == 3600.0
    assert (words.op, words.channels, words.wait) == ("subscribe", 3, 3590.0)


def test_it_is_said_once_a_wait() -> None:
    budget = spent(8)

    told = [budget.wait("subscribe", 3, now)[1] for now in (10.0, 11.0)]
    assert [len(words) for words in told] == [1, 0]
    assert budget.wait("subscribe", 3, 3600.0) == (3600.0, [])
    budget.spend(3600.0)
    assert len(budget.wait("subscribe", 3, 3600.5)[1]) == 1


def test_whoever_is_new_hears_it_again() -> None:
    budget = spent(8)
    budget.wait("subscribe", 3, 10.0)

    budget.tell_again()

    assert len(budget.wait("subscribe", 4, 11.0)[1]) == 1


def test_the_broken_have_half_of_the_hour_in_pairs() -> None:
    # 96 an hour: 24 pairs, of which 2 at once, and 22 more over the hour.
    budget, gap = spent(0, limit=96), 3600.0 / 22

    for now in (1.0, 2.0):
        assert budget.may_resubscribe(now)
        budget.spend_share(now)

    assert not budget.may_resubscribe(3.0)
    ready_at, (words,) = budget.wait_for_share(5, 3.0)
    assert ready_at == pytest.approx(1.0 + gap)
    assert (words.op, words.channels) == ("resynchronising", 5)
    assert budget.wait_for_share(5, 4.0) == (ready_at, [])
    # Everybody else goes on.
    assert budget.wait("subscribe", 1, 4.0) == (4.0, [])
    assert budget.may_resubscribe(ready_at)
    budget.spend_share(ready_at)
    assert not budget.may_resubscribe(ready_at + gap / 2)


def test_in_no_hour_the_broken_have_more_than_half() -> None:
    budget = spent(0, limit=240)
    times = []
    now = 0.0
    while now < 7200.0:
        if budget.may_resubscribe(now):
            budget.spend_share(now)
            times.append(now)
        now += 0.5

    most = max(sum(at <= other < at + 3600.0 for other in times) for at in times)
    assert 55 <= most <= 60


def test_nobody_who_waits_hears_nothing() -> None:
    budget = spent(0, limit=4)
    budget.spend_share(1.0)

    assert budget.wait_for_share(0, 2.0) == (2.0, [])


def test_the_smallest_budget_resubscribes_one_at_a_time() -> None:
    budget = spent(0, limit=1)

    assert budget.may_resubscribe(1.0)
    budget.spend_share(1.0)
    assert not budget.may_resubscribe(2.0)
