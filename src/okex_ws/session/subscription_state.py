"""The state of one channel's subscription on one opening, as a table of phases.

A channel counts as subscribed once the exchange has acknowledged it, or has pushed its
data: a request that was sent is not enough. Only `SubscriptionState.step` changes the
phase.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Generic, NamedTuple, TypeVar

from ..base.log import log
from ..base.retry import Timeouts, doubled

# A channel that breaks is resubscribed at once if it worked for this many seconds.
STEADY = 60.0


class Phase(Enum):
    """How far a channel's subscription has come on one opening of a connection."""

    IDLE = "not subscribed, as far as the exchange said"
    ASKED = "subscribe sent, not acknowledged"
    ACKNOWLEDGED = "acknowledged, nothing pushed yet"
    FLOWING = "acknowledged and pushed"
    BROKEN = "acknowledged, and of no use until it is subscribed anew"
    LEAVING = "unsubscribe sent, not acknowledged"
    DRAINING = "unsubscribed, but data sent before that may still come"
    REFUSED = "refused for good"
    WITHHELD = "subscribed where it is forwarded, and not vouched for there"


class Step(Enum):
    """What moves a subscription from one phase to another."""

    ASKED = "a subscribe was sent"
    ACKNOWLEDGED = "the exchange acknowledged a subscribe"
    PUSHED = "the exchange pushed data"
    LEAVING = "an unsubscribe was sent"
    LEFT = "the exchange unsubscribed the channel"
    SILENT = "no answer came"
    UNHEARD = "no answer came to an unsubscribe that has to be"
    DRAINED = "a pong came whose ping followed the end of the channel"
    REFUSED = "the exchange refused the channel"
    INVALIDATED = "a push could not be read"
    BROKEN = "a push that others build on was lost, or failed its proof"
    WITHHELD = "what forwards the exchange's data does not vouch for the channel"


# A step that is missing here does not change the phase: `SubscriptionState.step`
# returns False.
TRANSITIONS: dict[Phase, dict[Step, Phase]] = {
    Phase.IDLE: {Step.ASKED: Phase.ASKED, Step.ACKNOWLEDGED: Phase.ACKNOWLEDGED},
    Phase.ASKED: {
        Step.ACKNOWLEDGED: Phase.ACKNOWLEDGED,
        Step.SILENT: Phase.IDLE,
        Step.REFUSED: Phase.REFUSED,
        Step.WITHHELD: Phase.WITHHELD,
    },
    Phase.ACKNOWLEDGED: {
        Step.PUSHED: Phase.FLOWING,
        Step.LEAVING: Phase.LEAVING,
        Step.LEFT: Phase.DRAINING,
        Step.BROKEN: Phase.BROKEN,
        Step.REFUSED: Phase.REFUSED,
        Step.WITHHELD: Phase.WITHHELD,
    },
    Phase.FLOWING: {
        Step.LEAVING: Phase.LEAVING,
        Step.LEFT: Phase.DRAINING,
        Step.INVALIDATED: Phase.ACKNOWLEDGED,
        Step.BROKEN: Phase.BROKEN,
        Step.REFUSED: Phase.REFUSED,
        Step.WITHHELD: Phase.WITHHELD,
    },
    Phase.BROKEN: {
        Step.LEAVING: Phase.LEAVING,
        Step.LEFT: Phase.DRAINING,
        Step.REFUSED: Phase.REFUSED,
    },
    Phase.LEAVING: {
        Step.LEFT: Phase.DRAINING,
        Step.SILENT: Phase.DRAINING,
        Step.UNHEARD: Phase.BROKEN,
    },
    Phase.DRAINING: {Step.DRAINED: Phase.IDLE, Step.REFUSED: Phase.REFUSED},
    Phase.REFUSED: {},
    Phase.WITHHELD: {
        Step.ACKNOWLEDGED: Phase.ACKNOWLEDGED,
        Step.LEAVING: Phase.LEAVING,
        Step.LEFT: Phase.DRAINING,
        Step.REFUSED: Phase.REFUSED,
        Step.WITHHELD: Phase.WITHHELD,
    },
}

Target = TypeVar("Target")


class StepTaken(NamedTuple):
    """A step that the subscription of *channel* took, for the log: names of members."""

    channel: str
    before: str
    step: str
    after: str


@dataclass(slots=True, eq=False, repr=False)
class SubscriptionState(Generic[Target]):
    """How far a channel is subscribed on one opening of a connection, and what is next.

    Requests may stay without an answer, and acknowledgements, pushes and errors come in
    any order. `step` therefore changes the phase only as `TRANSITIONS` allows; it
    returns False for an event that does not fit, which the session then ignores.
    `calls_for` names the request that the channel needs now, `due` when it will need
    one. A channel that breaks again and again is resubscribed with a growing back-off.

    The object is the identity of the subscription: a channel that is dropped and wanted
    again has another one. *name* is the channel's key. *target* is the object that
    receives the channel's pushes. *taken* collects the steps that are to be logged.
    Only the connection's thread calls it.
    """

    name: str
    target: Target
    # Whether the exchange sends a push right after the acknowledgement.
    needs_snapshot: bool
    # Whether each push builds on the one before, so that a lost one breaks the channel.
    incremental: bool = False
    taken: deque[StepTaken] = field(default_factory=lambda: deque(maxlen=0))
    phase: Phase = Phase.IDLE
    wanted: bool = True
    # The most channels in one request with this channel. Each unanswered request halves
    # it, down to 1, so that in the end an error can only mean this channel.
    max_batch: float = math.inf
    # A request had no answer: the exchange may carry the channel all the same.
    in_doubt: bool = False
    attempts: int = 0
    not_before: float = -math.inf
    silent_at: float = math.inf
    breaks: int = 0
    # How often the exchange refused it, one time after another, by an unknown code.
    tries: int = 0
    flows_since: float = math.inf
    # How many pings had been sent when the channel was unsubscribed.
    ended_after: int = 0
    # The channel missed the push that the exchange repeats for an idle channel, and is
    # resubscribed for that reason.
    suspect: bool = False
    # The library's own: a request for it that has no answer is told to no script.
    internal: bool = False

    # --- What the exchange answers --------------------------------------------------

    def step(self, step: Step) -> bool:
        """Take *step*; False, and no change, if `TRANSITIONS` does not have it."""
        before, after = self.phase, TRANSITIONS[self.phase].get(step)
        if after is None:
            return False
        self.phase = after
        self.taken.append(StepTaken(self.name, before.name, step.name, after.name))
        return True

    def acknowledge(self, now: float, timeouts: Timeouts) -> bool:
        """The exchange carries the channel; False if that is known, or cannot be.

        It cannot be if no subscribe was sent that may be unanswered.
        """
        unasked = self.phase is Phase.IDLE and not self.in_doubt
        if unasked or not self.step(Step.ACKNOWLEDGED):
            return False
        self.max_batch, self.in_doubt, self.tries = math.inf, False, 0
        self.await_push(now, timeouts)
        return True

    def end(self, pings: int, step: Step = Step.LEFT) -> bool:
        """The channel is unsubscribed, after *pings* pings; False if it was before.

        What the exchange sent before may still come, until the pong of a later ping.
        """
        if not self.step(step):
            return False
        self.ended_after, self.in_doubt = pings, step is not Step.LEFT
        return True

    def unanswered(self, pings: int) -> bool:
        """A request had no answer: take that step, with the result of `step`.

        An incremental channel that is wanted is unsubscribed once more if no attempt
        failed before: the exchange may still carry it, and would then answer a
        subscribe without a snapshot.
        """
        first = self.phase is Phase.LEAVING and self.attempts == 0
        unheard = first and self.incremental and self.wanted
        return self.end(pings, Step.UNHEARD if unheard else Step.SILENT)

    # --- What its pushes are worth --------------------------------------------------

    def flows(self, now: float) -> None:
        """The first push after a subscribe was used: the channel works."""
        self.step(Step.PUSHED)
        self.attempts, self.silent_at, self.flows_since = 0, math.inf, now

    def invalidate(self, now: float, timeouts: Timeouts) -> None:
        """A push was lost.

        An incremental channel is resubscribed. A channel that needs a snapshot waits
        for its next push, and is resubscribed if none comes.
        """
        if self.incremental:
            self.resubscribe(now, timeouts)
        elif self.needs_snapshot and self.step(Step.INVALIDATED):
            self.await_push(now, timeouts)

    def await_push(self, now: float, timeouts: Timeouts) -> None:
        """If the channel needs a snapshot, set the deadline for its next push."""
        if self.needs_snapshot:
            self.silent_at = now + doubled(
                timeouts.first_push, self.attempts, timeouts.retry_cap
            )

    def miss(self, received: float, now: float, timeouts: Timeouts) -> bool:
        """No push came for too long since *received*: resubscribe the channel.

        False if it was resubscribed for this reason before, and has had only one push
        since.
        """
        if self.phase is not Phase.FLOWING:
            return True  # it is being resubscribed, or waits for its first push
        if self.suspect and received <= self.flows_since:
            return False
        self.suspect = True
        self.resubscribe(now, timeouts)
        return True

    def resubscribe(self, now: float, timeouts: Timeouts) -> None:
        """Mark the channel as broken, so that it is resubscribed.

        The first time at once, then each time later, until it has worked for `STEADY`
        seconds.
        """
        if not self.step(Step.BROKEN):
            return
        if now >= self.flows_since + STEADY:
            self.breaks = 0
        wait = doubled(1.0, self.breaks - 1, timeouts.retry_cap) if self.breaks else 0.0
        self.not_before, self.flows_since = now + wait, math.inf
        self.breaks += 1

    # --- What it calls for ----------------------------------------------------------

    def is_dead(self, now: float) -> bool:
        """Whether a resubscription for missing pushes brought no push at all.

        The session then gives the connection up.
        """
        return self.suspect and self._is_late(now)

    def _is_late(self, now: float) -> bool:
        return self.phase is Phase.ACKNOWLEDGED and now >= self.silent_at

    def retry_later(self, now: float, timeouts: Timeouts) -> None:
        """Subscribe the channel again after a back-off that doubles each time."""
        self.not_before = now + doubled(1.0, self.attempts, timeouts.retry_cap)
        self.attempts += 1

    def calls_for(self, now: float) -> Step | None:
        """The step that brings the channel nearer to what is wanted, if one is due.

        A channel whose first push is late, or that is broken, is unsubscribed first.
        Once it is drained, the next step subscribes it again.
        """
        if self.phase is Phase.IDLE and self.wanted and now >= self.not_before:
            return Step.ASKED
        if self.phase is Phase.BROKEN and (now >= self.not_before or not self.wanted):
            return Step.LEAVING
        carried = self.acknowledged or self.phase is Phase.WITHHELD
        if self._is_late(now) or (carried and not self.wanted):
            return Step.LEAVING
        return None

    @property
    def due(self) -> float:
        """When `calls_for` will name a step because of time alone."""
        if self.resubscribing or (self.phase is Phase.IDLE and self.wanted):
            return self.not_before
        return self.silent_at if self.phase is Phase.ACKNOWLEDGED else math.inf

    @property
    def resubscribing(self) -> bool:
        """Whether the channel is broken and wanted, and so is subscribed again."""
        return self.phase is Phase.BROKEN and self.wanted

    @property
    def forgettable(self) -> bool:
        """Whether this state may be deleted.

        The channel is not wanted and not subscribed, and neither data nor an answer of
        the exchange may still be about it.
        """
        idle = self.phase is Phase.IDLE and not self.in_doubt
        return not self.wanted and (idle or self.phase is Phase.REFUSED)

    @property
    def acknowledged(self) -> bool:
        """Whether a push of this channel may be used."""
        return self.phase is Phase.ACKNOWLEDGED or self.phase is Phase.FLOWING

    @property
    def may_be_acknowledged_by_data(self) -> bool:
        """Whether data proves that the exchange carries the channel.

        It does if a request has no answer yet, or none came. Data of an earlier
        subscription cannot come any more: the channel was drained before the request.
        """
        doubt = self.phase is Phase.IDLE and self.in_doubt
        return self.wanted and (doubt or self.phase is Phase.ASKED)

    def awaits_ping(self, pings: int) -> bool:
        """Whether it waits for the pong of the next ping, after *pings* pings."""
        draining = self.phase is Phase.DRAINING and self.wanted
        return draining and self.ended_after == pings


def next_batch(
    subscriptions: Iterable[SubscriptionState[Target]],
    step: Step,
    now: float,
    may_resubscribe: bool,
) -> list[str]:
    """The channels that call for *step* now, and may be in one request together."""
    ready = [
        one
        for one in subscriptions
        if one.calls_for(now) is step and (may_resubscribe or not one.resubscribing)
    ]
    most = max((one.max_batch for one in ready), default=0)
    together = [one.name for one in ready if one.max_batch == most]
    return together[: int(min(most, len(together)))]


def log_steps(taken: deque[StepTaken]) -> None:
    """Take all steps out of *taken*, and log each at level DEBUG.

    The connection's loop calls it while it handles no message: a handler of the log may
    block or raise, and must find every subscription in a state that is finished.
    """
    while taken:
        channel, before, step, after = taken.popleft()
        with suppress(Exception):
            log.debug(
                "%s: from %s by %s to %s",
                channel,
                before,
                step,
                after,
                extra={
                    "event": "subscription",
                    "channel": channel,
                    "before": before,
                    "step": step,
                    "after": after,
                },
            )
