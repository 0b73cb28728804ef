"""When a change of state is told: at once, but one of a caller's limit not in a tight
loop. Pure."""

from __future__ import annotations

import math

from ..model.items import State
from ..trust.verdict import LIVE, Verdict

# A state change that only a caller's limit made is told once in this many seconds.
LIMIT_TOLD_EVERY = 1.0


class StateChangeFilter:
    """The state that was told last, and what is held back."""

    def __init__(self) -> None:
        self.state = State.CONNECTING
        # When to ask again about a change that is held back.
        self.again = math.inf
        self._for_limit = False
        self._told_at: dict[State, float] = {}

    def may_tell(self, verdict: Verdict, now: float) -> bool:
        """Whether the change to *verdict* is to be told now; then it counts as told."""
        self.again = math.inf
        if verdict.state is self.state or self.state.final:
            return False
        if verdict.limit or (verdict is LIVE and self._for_limit):
            again = self._told_at.get(verdict.state, -math.inf) + LIMIT_TOLD_EVERY
            if now < again:
                self.again = again
                return False
        self.state, self._for_limit = verdict.state, verdict.limit
        self._told_at[verdict.state] = now
        return True
