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

from ..base.errors import (
    LoginRejected,
    Stalled,
    SubscriptionRejected,
    listed,
    printable,
)
from ..base.rates import Budget
from ..base.retry import Ping, Timeouts
from ..protocol.interface import WireProtocol
from ..protocol.messages import (
    LoggedIn,
    Message,
    Notice,
    Pong,
    Refused,
    Subscribed,
    Terminated,
    Unsubscribed,
)
from ..trust.heartbeat import Heartbeat
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
from .login import Login
from .request_budget import RequestBudget
from .subscription_state import Phase, Step, SubscriptionState, Target

# What an error that names nobody leaves to the acknowledgements of the others.
GRACE = 1.0


class _OpenRequest(NamedTuple):
    op: str
    id: str
    channels: set[str]  # those not answered yet
    due: float  # when they are given up


class Session(Generic[Target]):
    """The table of one connection's channels, its ping and its deadlines."""

    def __init__(
        self,
        wire: WireProtocol,
        ping: Ping,
        timeouts: Timeouts,
        budget: Budget,
        now: float,
        login: Login | None = None,
    ) -> None:
        self._wire = wire
        self._timeouts = timeouts
        self._heartbeat = Heartbeat(ping, timeouts.pong, now)
        self.budget = budget
        self._request_budget = RequestBudget(budget)
        self._login = login
        self._requests = 0
        self.subscriptions: dict[str, SubscriptionState[Target]] = {}
        self._request: _OpenRequest | None = None
        self._subscriptions_due = math.inf
        self._outgoing: deque[str] = deque()

    # --- What is wanted -------------------------------------------------------------

    def want(
        self,
        name: str,
        target: Target,
        needs_snapshot: bool,
        now: float,
        incremental: bool = False,
    ) -> SubscriptionState[Target]:
        """Have channel *name* subscribed; *needs_snapshot* if a push follows its ack.

        *incremental* if each push builds on the one before, as those of a whole book.
        """
        subscription = self.subscriptions.get(name)
        if subscription is None or subscription.phase is Phase.REFUSED:
            # Whoever is new is told that requests wait, if they do.
            self._request_budget.tell_again()
            subscription = self.subscriptions[name] = SubscriptionState(
                name, target, needs_snapshot, incremental
            )
        if subscription.target is not target:
            # Subscribed already, but for another: the new one knows no snapshot yet.
            subscription.invalidate(now, self._timeouts)
        subscription.target, subscription.wanted = target, True
        self._subscriptions_due = -math.inf
        return subscription

    def drop(self, name: str) -> None:
        """Have channel *name* unsubscribed."""
        subscription = self.subscriptions.get(name)
        if subscription is not None:
            subscription.wanted = False
            self._forget(subscription)
            self._subscriptions_due = -math.inf

    def _forget(self, subscription: SubscriptionState[Target]) -> None:
        if subscription.forgettable:
            del self.subscriptions[subscription.name]

    # --- What the exchange says -----------------------------------------------------

    def pushed(self, name: str) -> SubscriptionState[Target] | None:
        """The line that a push belongs to, or ``None`` if it was not acknowledged.

        While its phase is ``ACKED`` this is the first push after a subscribe; the
        caller says so with `SubscriptionState.flows` once the push has proven readable.
        """
        subscription = self.subscriptions.get(name)
        return (
            subscription
            if subscription is not None and subscription.acknowledged
            else None
        )

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
            return [Noted(message.code, self.clean(message.message))]
        if isinstance(message, Terminated):
            return self._terminated(message)
        return [Unasked("unknown")]

    def _acknowledged(self, message: Subscribed, now: float) -> list[Event]:
        name = message.channel
        self._answered("subscribe", name, message.id)
        subscription = self.subscriptions.get(name)
        if subscription is None or not subscription.step(Step.ACK):
            return [Unasked("ack")]
        subscription.max_batch, subscription.in_doubt = math.inf, False
        subscription.await_push(now, self._timeouts)
        return [Acknowledged(name)]

    def _left(self, message: Unsubscribed, now: float) -> list[Event]:
        name = message.channel
        asked = self._answered("unsubscribe", name, message.id)
        subscription = self.subscriptions.get(name)
        if subscription is None or not subscription.step(Step.LEFT):
            return [Unasked("ack")]
        self._forget(subscription)
        if asked:
            return []
        # Not in a tight loop, should the exchange end it again and again.
        subscription.retry_later(now, self._timeouts)
        return [Ended(name)]

    def _answered(self, op: str, name: str, answer_to: str | None = None) -> bool:
        """Note that *name* is answered, if the open request asked it."""
        request = self._request
        self._subscriptions_due = -math.inf
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
        named = [
            n for n in self._wire.mentioned(message.message) if n in self.subscriptions
        ]
        message = message._replace(message=self.clean(message.message))
        if self._wire.repeats_login(message.code) and self._login is not None:
            # The answer to a login that had none in time, and was sent once more.
            return self._logged_in()
        if request is None or (message.id is not None and message.id != request.id):
            text = f"{printable(message.message)} (error {message.code})"
            return [Unasked("error", f"an error that answers no request: {text}")]
        if self._login is not None and not self._login.accepted:
            return self._login_refused(self._login, message, now)
        if len(named) == 1 and named[0] not in request.channels:
            return [Trouble(self._rejection(message, named[0]))]
        meant = named if len(named) == 1 else sorted(request.channels)
        if self._wire.is_transient(message.code):
            self._give_up(request, meant, now, answered=True)
        elif len(meant) == 1:
            return self._refuse(request.op, meant[0], message)
        elif message.id is not None:
            # Refused as a whole, or for one: what is good has its answer on the way.
            self._request = request._replace(due=min(request.due, now + GRACE))
            self._subscriptions_due = -math.inf
        # Else one of them is bad: those that are not will be acknowledged by and by.
        return [Trouble(self._rejection(message, listed(meant)))]

    def clean(self, text: str) -> str:
        """Text of the network without a secret that this connection told."""
        return text if self._login is None else self._login.clean(text)

    def _terminated(self, message: Terminated) -> list[Event]:
        """The exchange ended all channels of one kind, whatever they are about."""
        ended = []
        for name, subscription in list(self.subscriptions.items()):
            if name.partition(":")[0] == message.kind and subscription.step(
                Step.REFUSE
            ):
                ended.append(name)
                self._forget(subscription)
        refused = Refused("channel-conn-count-error", message.message)
        return [Rejected(name, self._rejection(refused, name)) for name in ended]

    def _refuse(self, op: str, name: str, message: Refused) -> list[Event]:
        self._answered(op, name)
        subscription, error = (
            self.subscriptions.get(name),
            self._rejection(message, name),
        )
        subscribe = op == "subscribe"
        if subscription is not None:
            subscription.step(Step.REFUSE if subscribe else Step.SILENT)
            self._forget(subscription)
        return [Rejected(name, error) if subscription and subscribe else Trouble(error)]

    @staticmethod
    def _rejection(message: Refused, channel: str) -> SubscriptionRejected:
        return SubscriptionRejected(message.code, message.message, channel)

    def _give_up(
        self,
        request: _OpenRequest,
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
            subscription = self.subscriptions.get(name)
            if subscription is None:
                continue  # ended and forgotten, by an answer to something else
            if subscription.unanswered() and not answered:
                subscription.max_batch = (len(names) + 1) // 2
                subscription.in_doubt = request.op == "subscribe"
            if answered or len(names) == 1:
                subscription.retry_later(now, self._timeouts)
            self._forget(subscription)

    def invalidated(self, name: str | None, now: float) -> None:
        """A push of *name*, or of any channel, is lost: unreadable, or proven wrong."""
        self._subscriptions_due = -math.inf
        for subscription in (
            self.subscriptions.values()
            if name is None
            else [self.subscriptions.get(name)]
        ):
            if subscription is not None:
                subscription.invalidate(now, self._timeouts)

    def overdue(self, name: str, received: float, now: float) -> None:
        """*name* missed what an idle channel repeats; `Stalled` if it did so before."""
        self._subscriptions_due = -math.inf
        if not self.subscriptions[name].miss(received, now, self._timeouts):
            raise Stalled(f"nothing of {name} came", now - received)

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
        return min(self._subscriptions_due, self._heartbeat.due)

    def tick(self, now: float, wall: float, read_at: float) -> list[Event]:
        """Do what is due. Raises `Stalled` if the pong stayed away.

        *read_at*: what had come by then has been taken in. Only then does a missing
        answer mean anything: it may wait behind a slow callback or a backlog.
        """
        if self._heartbeat.tick(now, wall, read_at):
            self._outgoing.append(self._wire.PING)
        events: list[Event] = []
        if now >= self._subscriptions_due:
            events += self._check_request(now, read_at)
            events += self._close_difference(now, wall)
        return events

    def outgoing(self) -> Iterable[str]:
        """The texts to be sent now, in order; each is handed out once."""
        while self._outgoing:
            yield self._outgoing.popleft()

    def _check_request(self, now: float, read_at: float) -> list[Event]:
        request = self._request
        if request is None or read_at < request.due:
            return []
        names = sorted(request.channels)
        if request.op == "login" and self._login is not None:
            self._request = None
            self._login.retry_later(now)
        self._give_up(request, names, now)
        what = f"no acknowledgement of {request.op} {listed(names)}".rstrip()
        return [Trouble(Stalled(f"{what} came", self._timeouts.ack))]

    def _close_difference(self, now: float, wall: float) -> list[Event]:
        """Send the next request, if one is called for, and say when to look again."""
        if self._request is not None:
            self._subscriptions_due = self._request.due
            return []
        if self._login is not None and not self._login.accepted:
            return self._log_in(self._login, now, wall)
        if dead := [
            subscription.name
            for subscription in self.subscriptions.values()
            if subscription.is_dead(now)
        ]:
            raise Stalled(f"nothing of {listed(dead)} came", self._timeouts.first_push)
        for op, step in (("unsubscribe", Step.LEAVE), ("subscribe", Step.ASK)):
            ready = self._next_batch(step, now)
            if ready:
                return self._ask(op, step, ready, now)
        dues = [subscription.due for subscription in self.subscriptions.values()]
        # Of those that are due, only the broken are left: they wait for their share.
        held = sum(due <= now for due in dues)
        ready_at, words = self._request_budget.wait_for_share(held, now)
        later = [due for due in dues if due > now]
        self._subscriptions_due = min(
            [*later, ready_at] if held else later, default=math.inf
        )
        return list(map(Trouble, words))

    def _next_batch(self, step: Step, now: float) -> list[str]:
        may_resubscribe = self._request_budget.may_resubscribe(now)
        ready = [
            subscription
            for subscription in self.subscriptions.values()
            if subscription.calls_for(now) is step
            and (may_resubscribe or not subscription.resubscribing)
        ]
        max_batch = max((subscription.max_batch for subscription in ready), default=0)
        together = [
            subscription.name
            for subscription in ready
            if subscription.max_batch == max_batch
        ]
        return together if max_batch == math.inf else together[: int(max_batch)]

    def _ask(self, op: str, step: Step, names: list[str], now: float) -> list[Event]:
        self._subscriptions_due, words = self._request_budget.wait(op, len(names), now)
        if self._subscriptions_due > now:
            return list(map(Trouble, words))
        text, carried = self._wire.request(op, names, self._requests + 1)
        self._send(op, text, carried, now)
        subscriptions = [self.subscriptions[name] for name in carried]
        if any(subscription.resubscribing for subscription in subscriptions):
            self._request_budget.spend_share(now)
        for subscription in subscriptions:
            # Left for its silence, in vain so far; a broken one is not silent.
            if (
                step is Step.LEAVE
                and subscription.wanted
                and not subscription.resubscribing
            ):
                subscription.attempts += 1
            subscription.step(step)
        return []

    def _send(self, op: str, text: str, carried: Iterable[str], now: float) -> None:
        self._request_budget.spend(now)
        self._requests += 1
        self._outgoing.append(text)
        due = self._subscriptions_due = now + self._timeouts.ack
        self._request = _OpenRequest(op, str(self._requests), set(carried), due)

    def _log_in(self, login: Login, now: float, wall: float) -> list[Event]:
        if now < login.due:
            self._subscriptions_due = login.due
            return []
        self._subscriptions_due, words = self._request_budget.wait("login", 1, now)
        if self._subscriptions_due <= now:
            self._send("login", login.ask(wall), (), now)
        return list(map(Trouble, words))

    def _logged_in(self) -> list[Event]:
        if self._login is None or not self._login.asked:
            return [Unasked("login")]
        self._login.accept()
        self._request, self._subscriptions_due = None, -math.inf
        return []

    def _login_refused(self, login: Login, message: Refused, now: float) -> list[Event]:
        error = LoginRejected(message.code, message.message)
        self._request, self._subscriptions_due = None, -math.inf
        if self._wire.is_transient(message.code):
            # An expired timestamp, say: the next one is made anew.
            login.retry_later(now)
            return [Trouble(error)]
        login.refuse()
        return [LockedOut(error)]
