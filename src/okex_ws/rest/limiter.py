"""`Limiter`: the documented request budgets of each REST host, for the whole process.

The exchange counts requests by IP address, so all clients of a process share one
budget. A client that the exchange told to wait makes the other clients wait, too.
"""

from __future__ import annotations

import threading

from ..base.rates import Budget
from ..base.threads import locked, register_for_fork
from .dialect import Rule

# Seconds added to each period. The exchange counts requests when they arrive, and some
# take longer on the way than others.
SLACK = 0.1


class Limiter:
    """The requests of all REST clients that share it, counted by host and `Rule`.

    Clients that counted apart would together exceed the exchange's limit, which is for
    an IP address. `take` counts a request or returns how many seconds to wait; it never
    waits itself. `hold` makes all clients wait, after the exchange refused one of them.
    Any thread may call it; a lock guards overlapping calls.
    """

    def __init__(self) -> None:
        # Re-entrant: a signal handler may send a request of another client.
        self._lock = threading.RLock()
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._held: dict[tuple[str, str], float] = {}

    def take(self, origin: str, rule: Rule, share: float, now: float) -> float:
        """Count a request that may go now: 0.0; else return the seconds to wait.

        *share* is the part of the documented budget that this process uses.
        """
        return locked(self._lock, lambda: self._take(origin, rule, share, now))

    def _take(self, origin: str, rule: Rule, share: float, now: float) -> float:
        key, limit = (origin, rule.name), max(1, int(rule.limit * share))
        budget = self._budgets.setdefault(key, Budget(limit, rule.period + SLACK))
        budget.limit = limit
        ready = max(budget.ready_at(now), self._held.get(key, now))
        if ready > now:
            return ready - now
        budget.spend(now)
        return 0.0

    def hold(self, origin: str, rule: Rule, until: float) -> None:
        """Let no request of *rule* go before *until*, because the exchange said so."""
        key, held = (origin, rule.name), self._held
        locked(self._lock, lambda: held.update({key: max(until, held.get(key, until))}))

    def forked(self) -> None:
        """Replace the lock in a forked child: another thread may have held it."""
        self._lock = threading.RLock()


# The budgets of this process, on the system's clock.
PROCESS = Limiter()
register_for_fork([PROCESS])
