"""How many requests one connection may send, and who hears that they wait.

Broken channels may take half of the hour's requests, a twelfth of these at once: a book
that fails its proof again and again leaves the other half to everybody else, and who
breaks late waits for half a minute or a minute, and not for the hour to be over.
"""

from __future__ import annotations

from ..base.errors import BudgetSpent
from ..base.rates import Bucket, Budget


class RequestBudget:
    """The budget of one connection, and the share of those that are mended."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        # To subscribe a channel anew takes two requests: half of the budget. All that
        # wait are mended together, with one of them.
        pairs = max(1, budget.limit // 4)
        burst = max(1, pairs // 12)
        self._share = Bucket(burst, budget.period / max(1, pairs - burst))
        self._told: set[Budget | Bucket] = set()

    def spend(self, now: float) -> None:
        """Count a request that is sent *now*."""
        self._budget.spend(now)

    def spend_share(self, now: float) -> None:
        """Count that channels are left *now*, to be subscribed anew."""
        self._share.spend(now)

    def may_resubscribe(self, now: float) -> bool:
        """Whether the share of the broken is not spent."""
        return self._share.ready_at(now) <= now

    def wait(self, op: str, count: int, now: float) -> tuple[float, list[BudgetSpent]]:
        """When a request *op* for *count* channels may go, and what to say of it."""
        return self._wait(self._budget, op, count, now)

    def wait_for_share(self, count: int, now: float) -> tuple[float, list[BudgetSpent]]:
        """When *count* broken channels may be mended, and what to say of it."""
        return self._wait(self._share, "resynchronising", count, now)

    def tell_again(self) -> None:
        """Somebody is new who does not know that requests wait."""
        self._told.discard(self._budget)

    def _wait(
        self, budget: Budget | Bucket, op: str, count: int, now: float
    ) -> tuple[float, list[BudgetSpent]]:
        ready_at = budget.ready_at(now)
        if ready_at <= now or count == 0:
            self._told.discard(budget)
            return now, []
        if budget in self._told:
            return ready_at, []
        self._told.add(budget)
        return ready_at, [BudgetSpent(op, count, ready_at - now)]
