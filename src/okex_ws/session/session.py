"""The session: what is said on one opening of a connection, to subscribe its channels.

It compares the wanted channels with those that the exchange has acknowledged. It has no
socket, thread or clock: *now* is an argument, and `Session.due` names the next moment
at which `Session.tick` has something to do. One request is outstanding at a time,
because v3's errors name no request. Each next request reduces the difference between
the wanted and the acknowledged channels. If a login is needed, it is the first request.
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
from ..base.rates import RateLimit
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

# Seconds in which the good channels of a request may still be acknowledged, after an
# error that names no channel.
GRACE = 1.0


class _OpenRequest(NamedTuple):
    op: str
    id: str
    channels: set[str]  # the channels without an answer yet
    due: float  # when the request counts as unanswered


class Session(Generic[Target]):
    """Requests, pings and login on one opening of a connection, and their deadlines.

    It keeps the `SubscriptionState` of each channel, and repeats what the exchange did
    not answer, or refused for a reason that may pass. Each opening of a connection has
    a new session, which begins with nothing subscribed.

    Only the connection's thread calls it, and no method waits. The thread calls `want`
    and `drop` for the channels, gives each received message to `receive` or `pushed`,
    calls `tick` when it is `due`, and sends what `outgoing` yields. Events that it
    returns say what a message or the time means for a channel. `tick` and `overdue`
    raise `Stalled` if the connection does not work any more; the thread then closes it
    and connects again.
    """

    def __init__(
        self,
        wire: WireProtocol,
        ping: Ping,
        timeouts: Timeouts,
        budget: RateLimit,
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
        """Subscribe channel *name*, whose pushes are for *target*.

        *name* is the channel's key. *needs_snapshot*: the exchange sends a push right
        after the acknowledgement. *incremental*: each push builds on the push before,
        as those of a whole book do. One of the next calls of `tick` makes the request.
        """
        subscription = self.subscriptions.get(name)
        if subscription is None or subscription.phase is Phase.REFUSED:
            # The script that subscribes now must hear if requests wait.
            self._request_budget.tell_again()
            subscription = self.subscriptions[name] = SubscriptionState(
                name, target, needs_snapshot, incremental
            )
        if subscription.target is not target:
            # The channel is subscribed, but for another target: the new target has no
            # snapshot yet.
            subscription.invalidate(now, self._timeouts)
        subscription.target, subscription.wanted = target, True
        self._subscriptions_due = -math.inf
        return subscription

    def drop(self, name: str) -> None:
        """Unsubscribe channel *name*."""
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
        """The state of the channel that was pushed; ``None`` if it is not acknowledged.

        In phase ``ACKED`` the push is the first one after a subscribe. The caller calls
        `SubscriptionState.flows` once the push has been read without error.
        """
        subscription = self.subscriptions.get(name)
        return (
            subscription
            if subscription is not None and subscription.acknowledged
            else None
        )

    def receive(self, message: Message, now: float) -> list[Event]:
        """Handle a message that is not a `Push`, and return what it means."""
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
        # The back-off prevents a tight loop if the exchange unsubscribes the channel
        # each time.
        subscription.retry_later(now, self._timeouts)
        return [Ended(name)]

    def _answered(self, op: str, name: str, answer_to: str | None = None) -> bool:
        """Mark channel *name* as answered; False if the open request did not name it.

        *answer_to* is the number of the request that the exchange's answer repeats
        (v5).
        """
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
        """Handle an error, about the channel that it names or the open request."""
        request = self._request
        named = [
            n for n in self._wire.mentioned(message.message) if n in self.subscriptions
        ]
        message = message._replace(message=self.clean(message.message))
        if self._wire.repeats_login(message.code) and self._login is not None:
            # A login without an answer in time was sent again, but the exchange had
            # accepted the first.
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
            # The error is for the whole request or for one channel of it: the
            # acknowledgements of the good channels, if any, are on their way.
            self._request = request._replace(due=min(request.due, now + GRACE))
            self._subscriptions_due = -math.inf
        # Otherwise one of the channels is bad: the exchange will acknowledge the good
        # ones.
        return [Trouble(self._rejection(message, listed(meant)))]

    def clean(self, text: str) -> str:
        """*text* of the exchange without the secrets of this connection's login."""
        return text if self._login is None else self._login.clean(text)

    def _terminated(self, message: Terminated) -> list[Event]:
        """The exchange ended all channels of one kind, for every instrument."""
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
        """Ask for *names* again, after a transient error or without an answer.

        *answered*: the exchange said that the request may succeed later. Channels
        without an answer are asked for in halves, in the end one by one: that finds one
        bad channel among a thousand, and sends few requests to an exchange that is
        slow.
        """
        names = list(names)
        for name in names:
            self._answered(request.op, name)
            subscription = self.subscriptions.get(name)
            if subscription is None:
                continue  # an earlier message ended the channel
            if subscription.unanswered() and not answered:
                subscription.max_batch = (len(names) + 1) // 2
                subscription.in_doubt = request.op == "subscribe"
            if answered or len(names) == 1:
                subscription.retry_later(now, self._timeouts)
            self._forget(subscription)

    def invalidated(self, name: str | None, now: float) -> None:
        """A push of channel *name* could not be read, or failed its proof.

        ``None`` means that it may have been a push of any channel.
        """
        self._subscriptions_due = -math.inf
        for subscription in (
            self.subscriptions.values()
            if name is None
            else [self.subscriptions.get(name)]
        ):
            if subscription is not None:
                subscription.invalidate(now, self._timeouts)

    def overdue(self, name: str, received: float, now: float) -> None:
        """Channel *name* missed the push that the exchange repeats for an idle channel.

        *received* is when its last push came. The channel is resubscribed. Raises
        `Stalled` if a resubscription for this reason brought only one push.
        """
        self._subscriptions_due = -math.inf
        if not self.subscriptions[name].miss(received, now, self._timeouts):
            raise Stalled(f"nothing of {name} came", now - received)

    @property
    def awaits_login(self) -> bool:
        """Whether a login was sent that has no answer yet."""
        return self._login is not None and self._login.asked

    # --- What time asks for ---------------------------------------------------------

    @property
    def due(self) -> float:
        """When `tick` must be called next; ``-inf`` for now."""
        if self._outgoing:
            return -math.inf
        return min(self._subscriptions_due, self._heartbeat.due)

    def tick(self, now: float, wall: float, read_at: float) -> list[Event]:
        """Do what is due. Raises `Stalled` if the connection does not work.

        That is so if a pong is missing, or if a channel was resubscribed because it
        missed pushes and got none.

        Everything that came before *read_at* has been handled. An answer that came
        later may still be unread, because a callback is slow or many messages wait; so
        an answer counts as missing only if *read_at* is past its deadline.
        """
        if self._heartbeat.tick(now, wall, read_at):
            self._outgoing.append(self._wire.PING)
        events: list[Event] = []
        if now >= self._subscriptions_due:
            events += self._check_request(now, read_at)
            events += self._close_difference(now, wall)
        return events

    def outgoing(self) -> Iterable[str]:
        """The texts that are to be sent now, in order. Each is yielded once."""
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
        """Send the next request, if one is needed, and set when to look again."""
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
        # The channels that are due here are the broken ones: they wait for their share
        # of the request budget.
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
            # A wanted channel that is unsubscribed because its first push did not come
            # counts a failed attempt. A channel that is resubscribed because it broke
            # counts none.
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
            # For example an expired timestamp: the next login has a new one.
            login.retry_later(now)
            return [Trouble(error)]
        login.refuse()
        return [LockedOut(error)]
