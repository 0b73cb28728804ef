"""Turns at the documented REST budgets of a host, for the whole process.

Budgets are by IP address: every client of a process shares them, and who was told to
wait tells the others.
"""

from __future__ import annotations

import threading

from ..base.rates import Budget
from ..base.threads import register_for_fork
from .dialect import Rule

# What counts is when requests arrive, and some take longer on the way than others.
SLACK = 0.1


class Limiter:
    """A `Budget` for each host and rule; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._held: dict[tuple[str, str], float] = {}

    def take(self, origin: str, rule: Rule, share: float, now: float) -> float:
        """Take a turn, if it has come: 0.0; else the seconds until one may."""
        key, limit = (origin, rule.name), max(1, int(rule.limit * share))
        with self._lock:
            if key not in self._budgets:
                self._budgets[key] = Budget(limit, rule.period + SLACK)
            budget = self._budgets[key]
            budget.limit = limit
            ready = max(budget.ready_at(now), self._held.get(key, now))
            if ready > now:
                return ready - now
            budget.spend(now)
            return 0.0

    def hold(self, origin: str, rule: Rule, until: float) -> None:
        """Let nobody have a turn before *until*: the exchange said so."""
        with self._lock:
            key = (origin, rule.name)
            self._held[key] = max(until, self._held.get(key, until))

    def forked(self) -> None:
        """In a forked child: no lock that another thread may have held."""
        self._lock = threading.Lock()


# Of the machine's own clock.
PROCESS = Limiter()
register_for_fork([PROCESS])
