"""One channel of a conversation: its phases, as a table. State changes here alone.

A phase says what the exchange acknowledged, never what was sent.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import Generic, TypeVar


class Phase(Enum):
    """Where one channel stands on one connection."""

    IDLE = "not subscribed, as far as the exchange said"
    ASKED = "subscribe sent, not acknowledged"
    ACKED = "acknowledged, nothing pushed yet"
    FLOWING = "acknowledged and pushed"
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
    REFUSE = "the exchange refused the channel"
    SPOIL = "a push could not be read"


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
        Step.REFUSE: Phase.REFUSED,
    },
    Phase.FLOWING: {
        Step.PUSH: Phase.FLOWING,
        Step.LEAVE: Phase.LEAVING,
        Step.LEFT: Phase.IDLE,
        Step.SPOIL: Phase.ACKED,
        Step.REFUSE: Phase.REFUSED,
    },
    Phase.LEAVING: {Step.LEFT: Phase.IDLE, Step.SILENT: Phase.IDLE},
    Phase.REFUSED: {},
}

Target = TypeVar("Target")


class Line(Generic[Target]):
    """One channel of the conversation; *target* is whatever its data is for."""

    __slots__ = (
        "attempts",
        "crowd",
        "in_doubt",
        "name",
        "not_before",
        "owes",
        "phase",
        "silent_at",
        "target",
        "wanted",
    )

    def __init__(self, name: str, target: Target, owes: bool) -> None:
        self.name = name
        self.target = target
        # Whether a push is owed right after the acknowledgement (a snapshot channel).
        self.owes = owes
        self.phase = Phase.IDLE
        self.wanted = True
        # How many it is asked together with, at the most: fewer after each failure, and
        # alone in the end, so that an error can mean nobody else.
        self.crowd = math.inf
        # A subscribe went unanswered, and may yet be acknowledged.
        self.in_doubt = False
        self.attempts = 0
        self.not_before = -math.inf
        self.silent_at = math.inf

    def step(self, step: Step) -> bool:
        """Take *step* if the table has it; False, and no change, if it has not."""
        after = TRANSITIONS[self.phase].get(step)
        if after is None:
            return False
        self.phase = after
        return True

    def flows(self) -> None:
        """A first push came and was readable: the channel owes nothing more."""
        self.step(Step.PUSH)
        self.attempts, self.silent_at = 0, math.inf

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
