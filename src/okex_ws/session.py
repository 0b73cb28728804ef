"""One connection's conversation: what is wanted, against what was acknowledged.

No socket, no thread, no clock: *now* is an argument and `Session.due` names the next
moment at which `Session.tick` has something to do. One request is outstanding at a
time, because v3's errors name no request; the difference between wanted and
acknowledged is closed by the next one. Where a login is needed it is the first.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Generic, NamedTuple

from .errors import (
    BudgetSpent,
    LoginRejected,
    Stalled,
    SubscriptionRejected,
    listed,
    printable,
)
from .events import (
    Acknowledged,
    Ended,
    Event,
    LockedOut,
    Noted,
    Rejected,
    Trouble,
    Unasked,
)
from .heartbeat import Heartbeat
from .line import Line, Phase, Step, Target
from .login import Login
from .protocols import Wire
from .timing import Budget, Ping, Timeouts, doubled
from .wire import (
    LoggedIn,
    Message,
    Notice,
    Pong,
    Refused,
    Subscribed,
    Terminated,
    Unsubscribed,
)


class _Request(NamedTuple):
    op: str
    id: str
    channels: set[str]  # those not answered yet
    sent: float


class Session(Generic[Target]):
    """The table of one connection's channels, its ping and its deadlines."""

    def __init__(
        self,
        wire: Wire,
        ping: Ping,
        timeouts: Timeouts,
        budget: Budget,
        now: float,
        login: Login | None = None,
    ) -> None:
        self._wire = wire
        self._timeouts = timeouts
        self._heartbeat = Heartbeat(ping, timeouts.pong, now)
        self.budget, self._budget_told = budget, False
        self._login = login  # None once it was accepted
        self._requests = 0
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
            return [self._heartbeat.ponged(now) or Unasked("pong")]
        if isinstance(message, Subscribed):
            return self._acknowledged(message, now)
        if isinstance(message, Unsubscribed):
            return self._left(message, now)
        if isinstance(message, Refused):
            return self._refused(message, now)
        if isinstance(message, LoggedIn):
            return self._logged_in()
        if isinstance(message, Notice):
            return [Noted(message.code, message.message)]
        if isinstance(message, Terminated):
            return self._terminated(message)
        return [Unasked("unknown")]

    def _acknowledged(self, message: Subscribed, now: float) -> list[Event]:
        name = message.channel
        self._answered("subscribe", name, message.id)
        line = self.lines.get(name)
        if line is None or not line.step(Step.ACK):
            return [Unasked("ack")]
        line.crowd, line.in_doubt = math.inf, False
        self._await_push(line, now)
        return [Acknowledged(name)]

    def _left(self, message: Unsubscribed, now: float) -> list[Event]:
        name = message.channel
        asked = self._answered("unsubscribe", name, message.id)
        line = self.lines.get(name)
        if line is None or not line.step(Step.LEFT):
            return [Unasked("ack")]
        self._forget(line)
        if asked:
            return []
        # Not in a tight loop, should the exchange end it again and again.
        self._retry_later(line, now)
        return [Ended(name)]

    def _answered(self, op: str, name: str, answer_to: str | None = None) -> bool:
        """Note that *name* is answered, if the open request asked it."""
        request = self._request
        self._lines_due = -math.inf
        if request is None or request.op != op or name not in request.channels:
            return False
        if answer_to is not None and answer_to != request.id:
            return False
        request.channels.discard(name)
        if not request.channels:
            self._request = None
        return True

    def _refused(self, message: Refused, now: float) -> list[Event]:
        """Find whom an error means: the channel it names, else the open request."""
        request = self._request
        if self._login is not None:
            message = message._replace(message=self._login.clean(message.message))
        if request is None or (message.id is not None and message.id != request.id):
            text = f"{printable(message.message)} (error {message.code})"
            return [Unasked("error", f"an error that answers no request: {text}")]
        if self._login is not None:
            return self._login_refused(self._login, message, now)
        named = [n for n in self._wire.mentioned(message.message) if n in self.lines]
        if len(named) == 1 and named[0] not in request.channels:
            return [Trouble(self._rejection(message, named[0]))]
        meant = named if len(named) == 1 else sorted(request.channels)
        if self._wire.is_passing(message.code):
            self._give_up(request, meant, now, answered=True)
        elif len(meant) == 1:
            return self._refuse(request.op, meant[0], message)
        # Else one of them is bad: those that are not will be acknowledged by and by.
        return [Trouble(self._rejection(message, listed(meant)))]

    def _terminated(self, message: Terminated) -> list[Event]:
        """The exchange ended all channels of one kind, whatever they are about."""
        ended = []
        for name, line in list(self.lines.items()):
            if name.partition(":")[0] == message.kind and line.step(Step.REFUSE):
                ended.append(name)
                self._forget(line)
        refused = Refused("channel-conn-count-error", message.message)
        return [Rejected(name, self._rejection(refused, name)) for name in ended]

    def _refuse(self, op: str, name: str, message: Refused) -> list[Event]:
        self._answered(op, name)
        line, error = self.lines.get(name), self._rejection(message, name)
        subscribe = op == "subscribe"
        if line is not None:
            line.step(Step.REFUSE if subscribe else Step.SILENT)
            self._forget(line)
        return [Rejected(name, error) if line and subscribe else Trouble(error)]

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
    ) -> None:
        """Have *names* asked for again: told to come back later, or unanswered.

        The unanswered in halves, and at last one by one: that finds one bad channel
        among a thousand, and spends few requests on an exchange that is slow.
        """
        names = list(names)
        for name in names:
            self._answered(request.op, name)
            line = self.lines.get(name)
            if line is None:
                continue  # ended and forgotten, by an answer to something else
            line.step(Step.SILENT)
            if not answered:
                line.crowd = (len(names) + 1) // 2
                line.in_doubt = request.op == "subscribe"
            self._retry_later(line, now)
            self._forget(line)

    def _retry_later(self, line: Line[Target], now: float) -> None:
        line.not_before = now + doubled(1.0, line.attempts, self._timeouts.retry_cap)
        line.attempts += 1

    def spoiled(self, name: str | None, now: float) -> None:
        """A push of *name*, or of any channel, was unreadable: the next one is owed."""
        for line in self.lines.values() if name is None else [self.lines.get(name)]:
            if line is not None and line.owes and line.step(Step.SPOIL):
                self._await_push(line, now)

    def _await_push(self, line: Line[Target], now: float) -> None:
        self._lines_due = -math.inf
        if line.owes:
            line.silent_at = now + doubled(
                self._timeouts.first_push, line.attempts, self._timeouts.retry_cap
            )

    @property
    def awaits_login(self) -> bool:
        """Whether a login was asked for and not answered."""
        return self._login is not None and self._login.asked

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
            events += self._close_difference(now, wall)
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
        if self._login is not None:
            self._request = None
            self._login.again(now)
        self._give_up(request, names, now)
        what = f"no acknowledgement of {request.op} {listed(names)}".rstrip()
        return [Trouble(Stalled(f"{what} came", self._timeouts.ack))]

    def _close_difference(self, now: float, wall: float) -> list[Event]:
        """Send the next request, if one is called for, and say when to look again."""
        if self._request is not None:
            self._lines_due = self._request.sent + self._timeouts.ack
            return []
        if self._login is not None:
            return self._log_in(self._login, now, wall)
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
        crowd = max((line.crowd for line in ready), default=0)
        together = [line.name for line in ready if line.crowd == crowd]
        return together if crowd == math.inf else together[: int(crowd)]

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
        waits = self._budget_spent(op, len(names), now)
        if waits is not None:
            return waits
        text, carried = self._wire.request(op, names, self._requests + 1)
        self._send(op, text, carried, now)
        for name in carried:
            line = self.lines[name]
            line.step(step)
            if step is Step.LEAVE and line.wanted:
                line.attempts += 1
        return []

    def _budget_spent(self, op: str, count: int, now: float) -> list[Event] | None:
        """What to say if no request may be sent now; ``None`` if one may."""
        ready_at = self.budget.ready_at(now)
        if ready_at <= now:
            self._budget_told = False
            return None
        self._lines_due = ready_at
        told, self._budget_told = self._budget_told, True
        spent = Trouble(BudgetSpent(op, count, ready_at - now))
        return [] if told else [spent]

    def _send(self, op: str, text: str, carried: Iterable[str], now: float) -> None:
        self.budget.spend(now)
        self._requests += 1
        self._outgoing.append(text)
        self._request = _Request(op, str(self._requests), set(carried), now)
        self._lines_due = now + self._timeouts.ack

    def _log_in(self, login: Login, now: float, wall: float) -> list[Event]:
        if now < login.due:
            self._lines_due = login.due
            return []
        waits = self._budget_spent("login", 1, now)
        if waits is None:
            self._send("login", login.ask(wall), (), now)
        return waits or []

    def _logged_in(self) -> list[Event]:
        if self._login is None or not self._login.asked:
            return [Unasked("login")]
        self._request = self._login = None
        self._lines_due = -math.inf
        return []

    def _login_refused(self, login: Login, message: Refused, now: float) -> list[Event]:
        error = LoginRejected(message.code, message.message)
        self._request, self._lines_due = None, -math.inf
        if self._wire.is_passing(message.code):
            # An expired timestamp, say: the next one is made anew.
            login.again(now)
            return [Trouble(error)]
        login.never()
        return [LockedOut(error)]
