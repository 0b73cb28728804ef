"""The session: what is said on one opening of a connection, to subscribe its channels.

It compares the wanted channels with those that the exchange has acknowledged. It has no
socket, thread or clock: *now* is an argument, and `Session.due` names the next moment
at which `Session.tick` has something to do. One request for scripts is outstanding at a
time, because v3's errors name no request; one of the library's own may be beside it.
Each next request reduces the difference between the wanted and the acknowledged
channels. If a login is needed, it is the first request.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterable

from ..base.errors import Stalled, listed
from ..base.rates import RateLimit
from ..base.retry import Ping, Timeouts
from ..base.state import CauseCode
from ..protocol.interface import WireProtocol
from .answers import Answers
from .events import Event, Trouble
from .login import Login
from .request_budget import OpenRequest, RequestBudget
from .subscription_state import (
    Phase,
    Step,
    StepTaken,
    SubscriptionState,
    Target,
    next_batch,
)


class Session(Answers[Target]):
    """Requests, pings and login on one opening of a connection, and their deadlines.

    It keeps the `SubscriptionState` of each channel, and repeats what the exchange did
    not answer, or refused for a reason that may pass. Each opening has a new session.
    *max_batch* is the most channels in one request.
    Only the connection's thread calls it, and no method waits. The thread calls `want`
    and `drop` for the channels, gives each message but pushes and notices to `receive`,
    finds the subscription of a push in *subscriptions*, calls `tick` when it is `due`,
    and sends what `outgoing` yields. `tick` and `overdue` raise `Stalled` if the
    connection does not work any more; the thread then closes it and connects again.
    """

    def __init__(
        self,
        wire: WireProtocol,
        ping: Ping,
        timeouts: Timeouts,
        budget: RateLimit,
        now: float,
        login: Login | None = None,
        max_batch: float = math.inf,
    ) -> None:
        super().__init__(wire, ping, timeouts, now, login)
        self.budget = budget
        self._request_budget = RequestBudget(budget)
        self._requests = 0
        self._max_batch = max_batch
        # The most channels that one request had.
        self.largest_batch = 0
        self._outgoing: deque[str] = deque()
        # The steps of subscriptions that are to be logged: see `log_steps`.
        self.taken: deque[StepTaken] = deque(maxlen=10_000)

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

        *name* is the channel's key; for the rest see `SubscriptionState`. One of the
        next calls of `tick` makes the request. A subscription that was dropped, or that
        had another target, is replaced by another object, which continues what the
        exchange was asked.
        """
        self.subscriptions_due = -math.inf
        present = self.subscriptions.get(name)
        if present is None or present.phase is Phase.REFUSED:
            # The script that subscribes now must hear if requests wait.
            self._request_budget.tell_again()
            taken = self.taken
            made = SubscriptionState(name, target, needs_snapshot, incremental, taken)
        elif present.wanted and present.target is target:
            return present
        else:
            made = copy.copy(present)
            made.target, made.wanted = target, True
            if present.target is not target:
                made.invalidate(now, self._timeouts)  # *target* has no snapshot yet
        self.subscriptions[name] = made
        return made

    def drop(self, subscription: SubscriptionState[Target]) -> None:
        """Unsubscribe *subscription*, unless it was replaced."""
        if self._has(subscription):
            subscription.wanted = False
            self._forget(subscription)
            self.subscriptions_due = -math.inf

    def resubscribe(self, subscription: SubscriptionState[Target], now: float) -> None:
        """Subscribe *subscription* anew: its stream is broken, or has ended."""
        self.subscriptions_due = -math.inf
        if self._has(subscription):
            subscription.resubscribe(now, self._timeouts)

    def invalidated(
        self, subscription: SubscriptionState[Target] | None, now: float
    ) -> None:
        """A push of *subscription* could not be read.

        ``None`` means that it may have been a push of any channel.
        """
        self.subscriptions_due = -math.inf
        every = self.subscriptions.values()
        for one in every if subscription is None else [subscription]:
            one.invalidate(now, self._timeouts)

    def overdue(
        self, subscription: SubscriptionState[Target], received: float, now: float
    ) -> None:
        """*subscription* missed the push that the exchange repeats for an idle channel.

        *received* is when its last push came. The channel is resubscribed. Raises
        `Stalled` if a resubscription for this reason brought only one push.
        """
        self.subscriptions_due = -math.inf
        known = self._has(subscription)
        if known and not subscription.miss(received, now, self._timeouts):
            what, code = f"nothing of {subscription.name} came", CauseCode.IDLE
            raise Stalled(what, now - received, cause_code=code)

    # --- What time asks for ---------------------------------------------------------

    @property
    def due(self) -> float:
        """When `tick` must be called next; ``-inf`` for now."""
        if self._outgoing:
            return -math.inf
        return min(self.subscriptions_due, self.heartbeat.due)

    def tick(self, now: float, wall: float, read_at: float) -> list[Event]:
        """Do what is due. Raises `Stalled` if the connection does not work.

        That is so if a pong is missing, or if a channel was resubscribed because it
        missed pushes and got none. Everything that came before *read_at* has been
        handled. An answer that came later may still be unread; so an answer counts as
        missing only if *read_at* is past its deadline.
        """
        self._ping(now, wall, read_at)
        if now < self.subscriptions_due:
            return []
        events = list[Event]()
        for request in (self._request, self._own_request):
            if request is not None and read_at >= request.due:
                events += self._unanswered(request, now)
        own = math.inf if self._own_request is None else self._own_request.due
        if self._request is not None:
            self.subscriptions_due = min(self._request.due, own)
            return events
        if any(
            one.awaits_ping(self.heartbeat.pings) for one in self.subscriptions.values()
        ):
            # The sooner its pong comes, the sooner they are subscribed again.
            self.heartbeat.hurry(now)
            self._ping(now, wall, read_at)
        events += self._close_difference(now, wall)
        self.subscriptions_due = min(self.subscriptions_due, own)
        return events

    def outgoing(self) -> Iterable[str]:
        """The texts that are to be sent now, in order. Each is yielded once."""
        while self._outgoing:
            yield self._outgoing.popleft()

    def _ping(self, now: float, wall: float, read_at: float) -> None:
        if self.heartbeat.tick(now, wall, read_at):
            self._outgoing.append(self._wire.PING)

    def _unanswered(self, request: OpenRequest, now: float) -> list[Event]:
        names = sorted(request.channels)
        if request.error is not None and request.alone:
            return self._refuse(request, names[0], request.error, now)
        if request.op == "login" and self._login is not None:
            self._request = None
            self._login.retry_later(now)
        events = self._give_up(request, names, now)
        meant = [self.subscriptions.get(name) for name in names]
        if any(one is not None and one.internal for one in meant):
            return events  # it is alone in its request
        what = f"no acknowledgement of {request.op} {listed(names)}".rstrip()
        after, code = self._timeouts.ack, CauseCode.SUBSCRIBING
        return [*events, Trouble(Stalled(f"{what} came", after, cause_code=code))]

    def _close_difference(self, now: float, wall: float) -> list[Event]:
        """Send the next request, if one is needed, and set when to look again."""
        if self._login is not None and not self._login.accepted:
            return self._log_in(self._login, now, wall)
        subscriptions = list(self.subscriptions.values())
        if self._own_request is not None:
            # The library's own requests are sent one after the other, too.
            subscriptions = [one for one in subscriptions if not one.internal]
        if dead := [one.name for one in subscriptions if one.is_dead(now)]:
            what, after = f"nothing of {listed(dead)} came", self._timeouts.first_push
            raise Stalled(what, after, cause_code=CauseCode.IDLE)
        share = self._request_budget.may_resubscribe(now)
        for op, step in (("unsubscribe", Step.LEAVING), ("subscribe", Step.ASKED)):
            if batch := next_batch(subscriptions, step, now, share):
                return self._ask(op, step, batch, now)
        # Those that are due here are broken: they wait for their share of the budget.
        held = sum(one.due <= now for one in subscriptions)
        ready_at, words = self._request_budget.wait_for_share(held, now)
        later = [one.due for one in subscriptions if one.due > now]
        self.subscriptions_due = min(
            [*later, ready_at] if held else later, default=math.inf
        )
        return list(map(Trouble, words))

    def _ask(self, op: str, step: Step, names: list[str], now: float) -> list[Event]:
        self.subscriptions_due, words = self._request_budget.wait(op, len(names), now)
        if self.subscriptions_due > now:
            return list(map(Trouble, words))
        batch = names[: int(min(self._max_batch, len(names)))]
        text, carried = self._wire.request(op, batch, self._requests + 1)
        self.largest_batch = max(self.largest_batch, len(carried))
        asked = [self.subscriptions[name] for name in carried]
        self._send(op, text, carried, now, all(one.internal for one in asked))
        if any(one.resubscribing for one in asked):
            self._request_budget.spend_share(now)
        for one in asked:
            # An unsubscribe because the first push did not come counts as a failed
            # attempt; one because the channel broke does not.
            late = step is Step.LEAVING and one.wanted and not one.resubscribing
            one.attempts += late
            one.step(step)
        return []

    def _send(
        self,
        op: str,
        text: str,
        carried: Iterable[str],
        now: float,
        own: bool = False,
    ) -> None:
        self._request_budget.spend(now)
        self._requests += 1
        self._outgoing.append(text)
        due = now + self._timeouts.ack
        request = OpenRequest(op, str(self._requests), set(carried), due)
        if own:
            # A request for a script need not wait: look at once whether there is one.
            self._own_request, self.subscriptions_due = request, -math.inf
        else:
            self._request, self.subscriptions_due = request, due

    # --- The login ------------------------------------------------------------------

    def _log_in(self, login: Login, now: float, wall: float) -> list[Event]:
        if now < login.due:
            self.subscriptions_due = login.due
            return []
        self.subscriptions_due, words = self._request_budget.wait("login", 1, now)
        if self.subscriptions_due <= now:
            self._send("login", login.ask(wall), (), now)
        return list(map(Trouble, words))
