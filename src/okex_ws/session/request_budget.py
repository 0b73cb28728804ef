"""How many requests one opening of a connection may send, and when a wait is reported.

Channels whose data could not be used (broken ones) may take half of the hour's
requests, and a twelfth of that half at once. So a book that fails its proof again and
again leaves the other half to the other channels, and a channel that breaks later waits
for half a minute or a minute, not for the end of the hour.
"""

from __future__ import annotations

from typing import NamedTuple

from ..base.errors import BudgetSpent
from ..base.rates import RateLimit
from ..protocol.messages import Refused


class OpenRequest(NamedTuple):
    """A request that the exchange has not answered for all of its *channels* yet.

    *op* is its operation, and *id* the number that v5's answers repeat. From *due* on,
    in monotonic seconds, it counts as unanswered. *error* is one that came meanwhile
    and names no request, so that it may answer this one or none. *alone* is whether
    there was one channel that it could mean.
    """

    op: str
    id: str
    channels: set[str]
    due: float
    error: Refused | None = None
    alone: bool = False

    def answered(self, op: str, name: str, answer_to: str | None) -> bool:
        """Mark channel *name* as answered; False if this request did not name it."""
        if (self.op, answer_to or self.id) != (op, self.id):
            return False
        if name not in self.channels:
            return False
        self.channels.discard(name)
        return True


class RequestBudget:
    """Decides when one opening of a connection may send its next request.

    The exchange limits the requests on one opening in an hour; *budget* counts them. A
    broken channel is one whose data could not be used, such as a book that failed its
    checksum. It is unsubscribed and subscribed again, which takes two requests. A book
    that breaks again and again would use up the hour, and no other channel could be
    subscribed. So the share of the broken channels is a cap, not a reserve: they may
    use at most half of the limit, while other requests may use all of it.

    It never waits or sends. `wait` and `wait_for_share` return the time from which a
    request is allowed, and a `BudgetSpent` to report, once for each wait. Only the
    connection's thread calls it.
    """

    def __init__(self, budget: RateLimit) -> None:
        self._budget = budget
        # Resubscribing takes an unsubscribe and a subscribe, so half of the budget is a
        # quarter of *limit* such pairs. One pair resubscribes all the channels that
        # wait.
        pairs = max(1, budget.limit // 4)
        burst = max(1, pairs // 12)
        every = budget.period / max(1, pairs - burst)
        self._share = RateLimit(burst, every, in_turn=True)
        self._told: set[RateLimit] = set()

    def spend(self, now: float) -> None:
        """Count a request that is sent *now*."""
        self._budget.spend(now)

    def spend_share(self, now: float) -> None:
        """Count an unsubscribe of broken channels, sent *now* to resubscribe them."""
        self._share.spend(now)

    def may_resubscribe(self, now: float) -> bool:
        """Whether the share of the broken channels allows a request *now*."""
        return self._share.ready_at(now) <= now

    def wait(self, op: str, count: int, now: float) -> tuple[float, list[BudgetSpent]]:
        """When a request *op* for *count* channels may be sent, and what to report.

        A wait is reported once, by a `BudgetSpent`, until a request may be sent again.
        """
        return self._wait(self._budget, op, count, now)

    def wait_for_share(self, count: int, now: float) -> tuple[float, list[BudgetSpent]]:
        """When *count* broken channels may be resubscribed, and what to report."""
        return self._wait(self._share, "resynchronising", count, now)

    def tell_again(self) -> None:
        """Report the wait for requests again, to a subscription that is new."""
        self._told.discard(self._budget)

    def _wait(
        self, budget: RateLimit, op: str, count: int, now: float
    ) -> tuple[float, list[BudgetSpent]]:
        ready_at = budget.ready_at(now)
        if ready_at <= now or count == 0:
            self._told.discard(budget)
            return now, []
        if budget in self._told:
            return ready_at, []
        self._told.add(budget)
        return ready_at, [BudgetSpent(op, count, ready_at - now)]
