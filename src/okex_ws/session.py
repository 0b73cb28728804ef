"""One connection's conversation: what is wanted, against what was acknowledged.

No socket, no thread, no clock: *now* is an argument and `Session.due` names the next
moment at which `Session.tick` has something to do. One request is outstanding at a
time, because v3's errors name no request; the difference between wanted and
acknowledged is closed by the next one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple, Union

from .errors import (
    BudgetSpent,
    OkexWSError,
    Stalled,
    SubscriptionRejected,
    printable,
)
from .heartbeat import Heartbeat, Renewed
from .line import Line, Phase, Step, Target
from .messages import Message, Pong, Push, Refused, Subscribed, Unsubscribed
from .protocols import Wire
from .timing import Budget, Ping, Timeouts


class Acknowledged(NamedTuple):
    """The exchange acknowledged the channel."""

    channel: str


class Ended(NamedTuple):
    """The exchange ended the channel unasked; it will be asked for again."""

    channel: str


class Rejected(NamedTuple):
    """The channel is refused for good."""

    channel: str
    error: SubscriptionRejected


class Trouble(NamedTuple):
    """Something that passes, worth a line in the log."""

    error: OkexWSError


class Unasked(NamedTuple):
    """A message that answers nothing; counted under *kind*, and said if it says any."""

    kind: str
    sentence: str = ""


Event = Union[Acknowledged, Ended, Rejected, Trouble, Renewed, Unasked]


class _Request(NamedTuple):
    op: str
    channels: set[str]  # those not answered yet
    sent: float


class Session(Generic[Target]):
    """The table of one connection's channels, its ping and its deadlines."""

    def __init__(
        self, wire: Wire, ping: Ping, timeouts: Timeouts, budget: Budget, now: float
    ) -> None:
        self._wire = wire
        self._timeouts = timeouts
        self._heartbeat = Heartbeat(ping, timeouts.pong, now)
        self._budget = budget
        self._budget_told = False
        self.lines: dict[str, Line[Target]] = {}
        self._request: _Request | None = None
        self._lines_due = math.inf
        self._outgoing: deque[str] = deque()

    # --- What is wanted -------------------------------------------------------------

    def want(self, name: str, target: Target, owes: bool, now: float) -> Line[Target]:
        """Have channel *name* subscribed; *owes* if a push follows its ack."""
        line = self.lines.get(name)
        if line is None or line.phase is Phase.REFUSED:
            line = self.lines[name] = Line(name, target, owes)
        if line.target is not target and owes and line.step(Step.SPOIL):
            # Subscribed already, but for another: the new one knows no snapshot yet.
            self._await_push(line, now)
        line.target, line.wanted = target, True
        self._lines_due = -math.inf
        return line

    def drop(self, name: str) -> None:
        """Have channel *name* unsubscribed."""
        line = self.lines.get(name)
        if line is not None:
            line.wanted = False
            self._forget(line)
            self._lines_due = -math.inf

    def _forget(self, line: Line[Target]) -> None:
        if line.forgettable:
            del self.lines[line.name]

    # --- What the exchange says -----------------------------------------------------

    def pushed(self, name: str) -> Line[Target] | None:
        """The line that a push belongs to, or ``None`` if it was not acknowledged.

        While its phase is ``ACKED`` this is the first push after a subscribe; the
        caller says so with `Line.flows` once the push has proven readable.
        """
        line = self.lines.get(name)
        return line if line is not None and line.acknowledged else None

    def receive(self, message: Message, now: float) -> list[Event]:
        """Take in any message but a `Push`."""
        if isinstance(message, Pong):
            renewed = self._heartbeat.ponged(now)
            return [renewed or Unasked("pong")]
        if isinstance(message, Subscribed):
            return self._acknowledged(message.channel, now)
        if isinstance(message, Unsubscribed):
            return self._left(message.channel, now)
        if isinstance(message, Refused):
            return self._refused(message, now)
        assert not isinstance(message, Push)
        return [Unasked("unknown")]

    def _acknowledged(self, name: str, now: float) -> list[Event]:
        self._answered("subscribe", name)
        line = self.lines.get(name)
        if line is None or not line.step(Step.ACK):
            return [Unasked("ack")]
        line.alone = line.in_doubt = False
        self._await_push(line, now)
        return [Acknowledged(name)]

    def _left(self, name: str, now: float) -> list[Event]:
        asked = self._answered("unsubscribe", name)
        line = self.lines.get(name)
        if line is None or not line.step(Step.LEFT):
            return [Unasked("ack")]
        self._forget(line)
        if asked:
            return []
        # Not in a tight loop, should the exchange end it again and again.
        self._retry_later(line, now)
        return [Ended(name)]

    def _answered(self, op: str, name: str) -> bool:
        request = self._request
        self._lines_due = -math.inf
        if request is None or request.op != op or name not in request.channels:
            return False
        request.channels.discard(name)
        if not request.channels:
            self._request = None
        return True

    def _refused(self, message: Refused, now: float) -> list[Event]:
        """Find whom an error means: the channel it names, else the open request."""
        request = self._request
        if request is None:
            text = f"{printable(message.message)} (error {message.code})"
            return [Unasked("error", f"an error that answers no request: {text}")]
        named = self._wire.mentioned(message.message, self.lines)
        if named is not None and named not in request.channels:
            return [Trouble(self._rejection(message, named))]
        meant = [named] if named is not None else sorted(request.channels)
        if self._wire.is_passing(message.code):
            self._give_up(request, meant, now, answered=True)
        elif len(meant) > 1:
            # One of them is bad and the rest are not: ask for each by itself, now.
            self._give_up(request, meant, now, alone=True, at_once=True)
        else:
            return self._refuse(request.op, meant[0], message)
        return [Trouble(self._rejection(message, ", ".join(meant)))]

    def _refuse(self, op: str, name: str, message: Refused) -> list[Event]:
        self._answered(op, name)
        line, error = self.lines[name], self._rejection(message, name)
        if op == "unsubscribe":
            line.step(Step.SILENT)
            self._forget(line)
            return [Trouble(error)]
        line.step(Step.REFUSE)
        self._forget(line)
        return [Rejected(name, error)]

    @staticmethod
    def _rejection(message: Refused, channel: str) -> SubscriptionRejected:
        return SubscriptionRejected(message.code, message.message, channel)

    def _give_up(
        self,
        request: _Request,
        names: Iterable[str],
        now: float,
        *,
        answered: bool = False,
        alone: bool = False,
        at_once: bool = False,
    ) -> None:
        """Have *names* asked for again: unanswered, or told to come back later."""
        for name in list(names):
            self._answered(request.op, name)
            line = self.lines[name]
            line.step(Step.SILENT)
            line.alone = alone
            line.in_doubt = request.op == "subscribe" and not answered
            if not at_once:
                self._retry_later(line, now)
            self._forget(line)

    def _retry_later(self, line: Line[Target], now: float) -> None:
        line.not_before = now + self._wait(1.0, line.attempts)
        line.attempts += 1

    def spoiled(self, name: str | None, now: float) -> None:
        """A push of *name*, or of any channel, was unreadable: the next one is owed."""
        for line in self.lines.values() if name is None else [self.lines.get(name)]:
            if line is not None and line.owes and line.step(Step.SPOIL):
                self._await_push(line, now)

    def _await_push(self, line: Line[Target], now: float) -> None:
        self._lines_due = -math.inf
        if line.owes:
            line.silent_at = now + self._wait(self._timeouts.first_push, line.attempts)

    def _wait(self, first: float, attempts: int) -> float:
        # 2 ** 20 seconds are past any cap, and the power stays a small number.
        doubled = first * 2.0 ** min(attempts, 20)
        return min(self._timeouts.retry_cap, doubled)

    # --- What time asks for ---------------------------------------------------------

    @property
    def due(self) -> float:
        """When `tick` must be called next; ``-inf`` for now."""
        if self._outgoing:
            return -math.inf
        return min(self._lines_due, self._heartbeat.due)

    def tick(self, now: float, wall: float, read_at: float) -> list[Event]:
        """Do what is due. Raises `Stalled` if the pong stayed away.

        *read_at*: what had come by then has been taken in. Only then does a missing
        answer mean anything: it may wait behind a slow callback or a backlog.
        """
        if self._heartbeat.tick(now, wall, read_at):
            self._outgoing.append(self._wire.PING)
        events: list[Event] = []
        if now >= self._lines_due:
            events += self._check_request(now, read_at)
            events += self._close_difference(now)
        return events

    def outgoing(self) -> Iterable[str]:
        """The texts to be sent now, in order; each is handed out once."""
        while self._outgoing:
            yield self._outgoing.popleft()

    def _check_request(self, now: float, read_at: float) -> list[Event]:
        request = self._request
        if request is None or read_at < request.sent + self._timeouts.ack:
            return []
        names = sorted(request.channels)
        self._give_up(request, names, now, alone=True)
        what = f"no acknowledgement of {request.op} {', '.join(names)} came"
        return [Trouble(Stalled(what, self._timeouts.ack))]

    def _close_difference(self, now: float) -> list[Event]:
        """Send the next request, if one is called for, and say when to look again."""
        if self._request is not None:
            self._lines_due = self._request.sent + self._timeouts.ack
            return []
        for op, step in (("unsubscribe", Step.LEAVE), ("subscribe", Step.ASK)):
            ready = self._next_batch(step, now)
            if ready:
                return self._ask(op, step, ready, now)
        dues = map(self._line_due, self.lines.values())
        self._lines_due = min(dues, default=math.inf)
        return []

    def _next_batch(self, step: Step, now: float) -> list[str]:
        ready = [
            line for line in self.lines.values() if self._calls_for(line, now) is step
        ]
        together = [line.name for line in ready if not line.alone]
        return together or [line.name for line in ready[:1]]

    @staticmethod
    def _calls_for(line: Line[Target], now: float) -> Step | None:
        """The step that brings *line* from what is acknowledged to what is wanted.

        A channel that owes a snapshot too long is left, and so asked for again.
        """
        if line.phase is Phase.IDLE and line.wanted and now >= line.not_before:
            return Step.ASK
        silent = line.phase is Phase.ACKED and now >= line.silent_at
        if line.acknowledged and (silent or not line.wanted):
            return Step.LEAVE
        return None

    def _line_due(self, line: Line[Target]) -> float:
        if line.phase is Phase.IDLE and line.wanted:
            return line.not_before
        return line.silent_at if line.phase is Phase.ACKED else math.inf

    def _ask(self, op: str, step: Step, names: list[str], now: float) -> list[Event]:
        ready_at = self._budget.ready_at(now)
        if ready_at > now:
            self._lines_due = ready_at
            told, self._budget_told = self._budget_told, True
            spent = Trouble(BudgetSpent(op, len(names), ready_at - now))
            return [] if told else [spent]
        self._budget_told = False
        text, carried = self._wire.requests(op, names)[0]
        self._budget.spend(now)
        self._outgoing.append(text)
        self._request = _Request(op, set(carried), now)
        for name in carried:
            line = self.lines[name]
            line.step(step)
            if step is Step.LEAVE and line.wanted:
                line.attempts += 1
        self._lines_due = now + self._timeouts.ack
        return []
