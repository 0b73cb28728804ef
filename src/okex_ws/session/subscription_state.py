"""One channel of a conversation: its phases, as a table. State changes here alone.

A phase says what the exchange acknowledged, never what was sent.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Generic, TypeVar

from ..base.retry import Timeouts, doubled

# A channel that broke is asked for again at once if it was whole for so long.
STEADY = 60.0


class Phase(Enum):
    """Where one channel stands on one connection."""

    IDLE = "not subscribed, as far as the exchange said"
    ASKED = "subscribe sent, not acknowledged"
    ACKED = "acknowledged, nothing pushed yet"
    FLOWING = "acknowledged and pushed"
    BROKEN = "acknowledged, and of no use until it is subscribed anew"
    LEAVING = "unsubscribe sent, not acknowledged"
    REFUSED = "refused for good"


class Step(Enum):
    """What moves a channel from one phase to another."""

    ASK = "a subscribe was sent"
    ACK = "the exchange acknowledged a subscribe"
    PUSH = "the exchange pushed data"
    LEAVE = "an unsubscribe was sent"
    LEFT = "the exchange acknowledged an unsubscribe"
    SILENT = "no answer came"
    UNHEARD = "no answer came to an unsubscribe that has to be"
    REFUSE = "the exchange refused the channel"
    INVALIDATE = "a push could not be read"
    BREAK = "a push that others build on was lost, or failed its proof"


# A missing key is a step that changes nothing, and is counted.
TRANSITIONS: dict[Phase, dict[Step, Phase]] = {
    Phase.IDLE: {Step.ASK: Phase.ASKED, Step.ACK: Phase.ACKED},
    Phase.ASKED: {
        Step.ACK: Phase.ACKED,
        Step.SILENT: Phase.IDLE,
        Step.REFUSE: Phase.REFUSED,
    },
    Phase.ACKED: {
        Step.PUSH: Phase.FLOWING,
        Step.LEAVE: Phase.LEAVING,
        Step.LEFT: Phase.IDLE,
        Step.BREAK: Phase.BROKEN,
        Step.REFUSE: Phase.REFUSED,
    },
    Phase.FLOWING: {
        Step.PUSH: Phase.FLOWING,
        Step.LEAVE: Phase.LEAVING,
        Step.LEFT: Phase.IDLE,
        Step.INVALIDATE: Phase.ACKED,
        Step.BREAK: Phase.BROKEN,
        Step.REFUSE: Phase.REFUSED,
    },
    Phase.BROKEN: {
        Step.LEAVE: Phase.LEAVING,
        Step.LEFT: Phase.IDLE,
        Step.REFUSE: Phase.REFUSED,
    },
    Phase.LEAVING: {
        Step.LEFT: Phase.IDLE,
        Step.SILENT: Phase.IDLE,
        Step.UNHEARD: Phase.BROKEN,
    },
    Phase.REFUSED: {},
}

Target = TypeVar("Target")


class SubscriptionState(Generic[Target]):
    """One channel of the conversation; *target* is whatever its data is for."""

    __slots__ = (
        "attempts",
        "breaks",
        "flows_since",
        "in_doubt",
        "incremental",
        "max_batch",
        "name",
        "needs_snapshot",
        "not_before",
        "phase",
        "silent_at",
        "suspect",
        "target",
        "wanted",
    )

    def __init__(
        self, name: str, target: Target, needs_snapshot: bool, incremental: bool = False
    ) -> None:
        self.name = name
        self.target = target
        # Whether a push is owed right after the acknowledgement (a snapshot channel).
        self.needs_snapshot = needs_snapshot
        # Whether each push builds on the one before: one that is lost breaks it.
        self.incremental = incremental
        self.phase = Phase.IDLE
        self.wanted = True
        # How many it is asked together with, at the most: fewer after each failure, and
        # alone in the end, so that an error can mean nobody else.
        self.max_batch = math.inf
        # A subscribe went unanswered, and may yet be acknowledged.
        self.in_doubt = False
        self.attempts = 0
        self.not_before = -math.inf
        self.silent_at = math.inf
        self.breaks = 0
        self.flows_since = math.inf
        # It missed what an idle channel repeats, and was asked for anew.
        self.suspect = False

    def step(self, step: Step) -> bool:
        """Take *step* if the table has it; False, and no change, if it has not."""
        after = TRANSITIONS[self.phase].get(step)
        if after is None:
            return False
        self.phase = after
        return True

    def unanswered(self) -> bool:
        """Take the step of a request that had no answer, as `step` does.

        What is chained has to be left, and is told so twice: the exchange may still
        carry it, and would answer a subscribe without a snapshot.
        """
        first = self.phase is Phase.LEAVING and self.attempts == 0
        unheard = first and self.incremental and self.wanted
        return self.step(Step.UNHEARD if unheard else Step.SILENT)

    # --- What its pushes are worth --------------------------------------------------

    def flows(self, now: float) -> None:
        """A first push came and was of use: the channel owes nothing more."""
        self.step(Step.PUSH)
        self.attempts, self.silent_at, self.flows_since = 0, math.inf, now

    def invalidate(self, now: float, timeouts: Timeouts) -> None:
        """A push was lost: the next one is owed, or the channel as it was is over."""
        if self.incremental:
            self.resubscribe(now, timeouts)
        elif self.needs_snapshot and self.step(Step.INVALIDATE):
            self.await_push(now, timeouts)

    def await_push(self, now: float, timeouts: Timeouts) -> None:
        """If a push is owed, it is owed from *now*, and not for ever."""
        if self.needs_snapshot:
            self.silent_at = now + doubled(
                timeouts.first_push, self.attempts, timeouts.retry_cap
            )

    def miss(self, received: float, now: float, timeouts: Timeouts) -> bool:
        """It was silent for too long since *received*: have it subscribed anew.

        False if that was done before, and brought a first push and no other.
        """
        if self.phase is not Phase.FLOWING:
            return True  # it is being asked for anew, or owes a first push
        if self.suspect and received <= self.flows_since:
            return False
        self.suspect = True
        self.resubscribe(now, timeouts)
        return True

    def resubscribe(self, now: float, timeouts: Timeouts) -> None:
        """Have it subscribed anew: at once, or later if it broke lately."""
        if not self.step(Step.BREAK):
            return
        if now >= self.flows_since + STEADY:
            self.breaks = 0
        wait = doubled(1.0, self.breaks - 1, timeouts.retry_cap) if self.breaks else 0.0
        self.not_before, self.flows_since = now + wait, math.inf
        self.breaks += 1

    # --- What it calls for ----------------------------------------------------------

    def is_dead(self, now: float) -> bool:
        """Whether it was asked for anew in vain, having been silent too long before."""
        return self.suspect and self.phase is Phase.ACKED and now >= self.silent_at

    def retry_later(self, now: float, timeouts: Timeouts) -> None:
        """Have it asked for again, each time later."""
        self.not_before = now + doubled(1.0, self.attempts, timeouts.retry_cap)
        self.attempts += 1

    def calls_for(self, now: float) -> Step | None:
        """The step that brings it from what is acknowledged to what is wanted.

        A channel that owes a snapshot too long is left, and so asked for again; one
        that is broken likewise.
        """
        if self.phase is Phase.IDLE and self.wanted and now >= self.not_before:
            return Step.ASK
        if self.phase is Phase.BROKEN and (now >= self.not_before or not self.wanted):
            return Step.LEAVE
        silent = self.phase is Phase.ACKED and now >= self.silent_at
        if self.acknowledged and (silent or not self.wanted):
            return Step.LEAVE
        return None

    @property
    def due(self) -> float:
        """When time alone will have it call for something."""
        if self.resubscribing or (self.phase is Phase.IDLE and self.wanted):
            return self.not_before
        return self.silent_at if self.phase is Phase.ACKED else math.inf

    @property
    def resubscribing(self) -> bool:
        """Whether it is broken, and will be left only to be asked for again."""
        return self.phase is Phase.BROKEN and self.wanted

    @property
    def forgettable(self) -> bool:
        """Whether nobody wants it, at either end, nor may yet have to undo it."""
        ended = self.phase is Phase.REFUSED
        return not self.wanted and (
            ended or (self.phase is Phase.IDLE and not self.in_doubt)
        )

    @property
    def acknowledged(self) -> bool:
        """Whether data of this channel is data that was asked for."""
        return self.phase is Phase.ACKED or self.phase is Phase.FLOWING
