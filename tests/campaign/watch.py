"""What a rig's subscriptions reported since a mark, and so whether a fault showed."""

from __future__ import annotations

import math
import re
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from okex_ws import State, WSSubscription
from tests.campaign.judge import Judge


class Watch:
    """Changes, errors and counts since `mark`; a part of `Rig`."""

    def __init__(self) -> None:
        self.mixed = False
        self.errors: list[str] = []
        # When an error was last told, by its type.
        self._errors_at: dict[str, float] = {}
        self.judges: list[Judge] = []
        self.traders: list[WSSubscription] = []
        # What was done to it of late, for a violation.
        self._changes_over = False
        self.marked_at = 0.0
        # When a handover last began or ended, as far as the rig knows.
        self.changed_over = 0.0
        self._struck: deque[tuple[float, str]] = deque(maxlen=100)

    @property
    def subscriptions(self) -> list[WSSubscription]:
        """Those that are read."""
        return [judge.subscription for judge in self.judges]

    def told_error(self, error: Exception) -> None:
        """The subscriptions' ``on_error``."""
        name = type(error).__name__
        self.errors.append(f"{name}: {error}")
        self._errors_at[name] = time.monotonic()

    def has_told(self, error: type[Exception], seconds: float) -> bool:
        """Whether an *error* of that very type was told in the last *seconds*."""
        at = self._errors_at.get(error.__name__, -math.inf)
        return time.monotonic() < at + seconds

    def mark(self, fault: str, *, changes_over: bool = False) -> None:
        """What was told up to now is of an earlier one than *fault*."""
        now = time.monotonic()
        self._struck.append((now, fault))
        self.marked_at = now
        self._changes_over = changes_over
        self.changed_over = now if changes_over else self.changed_over
        self.errors.clear()
        for judge in self.judges:
            judge.changes.clear()

    def note(self, what: str) -> None:
        """Something was done, for a violation to tell."""
        self._struck.append((time.monotonic(), what))

    def ended(self) -> None:
        """The fault of the mark is over, and its recovery too."""
        if self._changes_over:
            self.changed_over = time.monotonic()

    def _since(self, n: int) -> list[State]:
        return [change.new for change in self.judges[n].changes]

    def told(self, *states: State, of: int | None = None) -> Callable[[], bool]:
        """Whether each subscription, or the one *of*, told one of *states*."""
        which = range(len(self.judges)) if of is None else (of,)
        return lambda: all(any(s in states for s in self._since(n)) for n in which)

    def untouched(self, but: int = -1) -> bool:
        """Whether all but the one at *but* told nothing since the mark.

        While faults are mixed, that is nobody's to claim. And a pong that came too late
        is no fault of the exchange: the machine stood still.
        """
        each = [n for n in range(len(self.judges)) if n != but]
        told = [change for n in each for change in self.judges[n].changes]
        worse = [c for c in told if c.new not in (State.SYNCING, State.LIVE)]
        return self.mixed or all(str(c.cause).startswith("no pong") for c in worse)

    def withdrawals(self) -> list[int]:
        """How often each subscription was live, and then was not, since the mark."""
        return [
            sum(change.old is State.LIVE for change in [*judge.changes])
            for judge in self.judges
        ]

    def error(self, pattern: str) -> Callable[[], bool]:
        """Whether an error that *pattern* describes was told since the mark."""
        return lambda: any(re.search(pattern, text) for text in [*self.errors])

    def dropped(self, kind: str) -> Callable[[], bool]:
        """Whether one more message was counted under *kind*."""
        before = self.count(kind)
        return lambda: self.count(kind) > before

    def count(self, kind: str) -> int:
        """How many messages were dropped for *kind*."""
        return self.subscriptions[0].stats().dropped.get(kind, 0)

    def traded(self) -> bool:
        """Whether trades came since the last loss, and with them the gap of it."""
        return all(trader.latest("trade") is not None for trader in self.traders)

    def gaps(self) -> int:
        """How many gaps there were in what counts one by one."""
        return sum(subscription.stats().gaps for subscription in self.subscriptions)

    def happened(self) -> str:
        """All that was told since the mark, for a violation."""
        now = [(str(s.state), str(s.health().cause)) for s in self.subscriptions]
        told = [
            [f"{change.old}->{change.new} ({change.cause})" for change in judge.changes]
            for judge in self.judges
        ]
        before = [name for _, name in [*self._struck][-4:-1]]
        return f"now {now}, told {told}, errors {self.errors[-5:]}, before it {before}"

    def around(self, moment: float) -> list[str]:
        """What was done to it at about that moment, and how long before it."""
        return [
            f"{name} {moment - at:+.2f} s"
            for at, name in [*self._struck]
            if -3.0 < moment - at < 6.0
        ]

    def fresh(self, since: datetime) -> bool:
        """Whether every subscription is live with a push received after *since*."""
        for subscription in self.subscriptions:
            best = subscription.best_bid_ask()
            if best is None or best.received <= since:
                return False
        return True

    def caught_up(self, timeout: float) -> bool:
        """Whether each was told that it is live; a callback may come later than that.

        Else what is told of this fault would seem to be of the next one.
        """
        give_up = time.monotonic() + timeout
        while any(judge.told.state is not State.LIVE for judge in self.judges):
            if time.monotonic() > give_up:
                return False
            time.sleep(0.002)
        return True

    def recover(self, since: float, timeout: float) -> float | None:
        """Seconds from *since* (monotonic) until all are live with a push of later.

        ``None`` if that does not come within *timeout* seconds from now.
        """
        give_up = time.monotonic() + timeout
        ago = timedelta(seconds=time.monotonic() - since)
        moment = datetime.now(timezone.utc) - ago
        while not self.fresh(moment):
            if time.monotonic() > give_up:
                return None
            time.sleep(0.004)
        return time.monotonic() - since
