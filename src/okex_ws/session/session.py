"""The session: what is said on one opening of a connection, to subscribe its channels.

It compares the wanted channels with those that the exchange has acknowledged. It has no
socket, thread or clock: *now* is an argument, and `Session.due` names the next moment
at which `Session.tick` has something to do. One request is outstanding at a time,
because v3's errors name no request. Each next request reduces the difference between
the wanted and the acknowledged channels. If a login is needed, it is the first request.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Iterable
from typing import Generic

from ..base.errors import (
    LoginRejected,
    Stalled,
    SubscriptionRejected,
    listed,
    printable,
)
from ..base.rates import RateLimit
from ..base.retry import Ping, Timeouts
from ..base.state import CauseCode
from ..model.numbers import Clean
from ..protocol.common import MAX_MESSAGE
from ..protocol.interface import WireProtocol
from ..protocol.messages import (
    Acknowledged,
    LoggedIn,
    Message,
    Notice,
    Pong,
    Refused,
    Terminated,
    Unsubscribed,
)
from ..trust.heartbeat import Heartbeat
from .events import Changed, Event, LockedOut, Trouble, Unasked
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

# Seconds for the acknowledgements of good channels, after an error that names none.
GRACE = 1.0


class Session(Generic[Target]):
    """Requests, pings and login on one opening of a connection, and their deadlines.

    It keeps the `SubscriptionState` of each channel, and repeats what the exchange did
    not answer, or refused for a reason that may pass. Each opening has a new session.
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
    ) -> None:
        self._wire = wire
        self._timeouts = timeouts
        self.heartbeat = Heartbeat(ping, timeouts.pong, now)
        self.budget = budget
        self._request_budget = RequestBudget(budget)
        self._login = login
        self._requests = 0
        self.subscriptions: dict[str, SubscriptionState[Target]] = {}
        self._request: OpenRequest | None = None
        self.subscriptions_due = math.inf
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

    def _has(self, subscription: SubscriptionState[Target]) -> bool:
        return self.subscriptions.get(subscription.name) is subscription

    def _forget(self, subscription: SubscriptionState[Target]) -> None:
        if subscription.forgettable:
            del self.subscriptions[subscription.name]

    # --- What the exchange says -----------------------------------------------------

    def acknowledged_by_data(
        self, subscription: SubscriptionState[Target], now: float
    ) -> bool:
        """Take data that came before its acknowledgement for the acknowledgement.

        The caller has data of *subscription*, which is not `acknowledged`; of a whole
        book it must be a snapshot. True: the data may be used, and the channel is to be
        told, as of a `Changed` event. False: the data is to be counted and dropped.
        """
        if not (self._has(subscription) and subscription.may_be_acknowledged_by_data):
            return False
        subscription.acknowledge(now, self._timeouts)
        subscription.in_doubt, self.subscriptions_due = True, -math.inf
        return True

    def receive(self, message: Message, now: float) -> list[Event]:
        """Handle a message, and return what it means."""
        if isinstance(message, Pong):
            return self._ponged(now)
        if isinstance(message, Acknowledged):
            return self._acknowledged(message, now)
        if isinstance(message, Unsubscribed):
            return self._left(message, now)
        if isinstance(message, Refused):
            return self._refused(message, now)
        if isinstance(message, LoggedIn):
            return self._logged_in(now)
        if isinstance(message, Terminated):
            return self._terminated(message)
        return [Unasked("unknown")]

    def _ponged(self, now: float) -> list[Event]:
        renewed = self.heartbeat.ponged(now)
        if renewed is None:
            return [Unasked("pong")]
        for one in list(self.subscriptions.values()):
            if one.ended_after < renewed.ping and one.step(Step.DRAINED):
                self._forget(one)
                self.subscriptions_due = -math.inf
        return [renewed]

    def _acknowledged(self, message: Acknowledged, now: float) -> list[Event]:
        asked = self._answered("subscribe", message.channel, message.id)
        one = self.subscriptions.get(message.channel)
        if one is not None and one.acknowledge(now, self._timeouts):
            return [Changed(one, Step.ACKNOWLEDGED)]
        if one is not None and one.acknowledged:
            one.in_doubt = False  # its data came before
        return [] if asked else [Unasked("ack")]

    def _left(self, message: Unsubscribed, now: float) -> list[Event]:
        asked = self._answered("unsubscribe", message.channel, message.id)
        subscription = self.subscriptions.get(message.channel)
        if subscription is None or not subscription.end(self.heartbeat.pings):
            return [Unasked("ack")]
        if asked or not subscription.wanted:
            return []
        # The back-off prevents a tight loop if that happens each time.
        subscription.retry_later(now, self._timeouts)
        return [Changed(subscription, Step.LEFT)]

    def _answered(self, op: str, name: str, answer_to: str | None = None) -> bool:
        """Mark channel *name* as answered; False if the open request did not name it.

        *answer_to* is the number of a request, which v5's answers repeat.
        """
        request = self._request
        self.subscriptions_due = -math.inf
        if request is None or not request.answered(op, name, answer_to):
            return False
        self._request = request if request.channels else None
        return True

    def _refused(self, message: Refused, now: float) -> list[Event]:
        """Handle an error, about the channel that it names or the open request."""
        request, login, code = self._request, self._login, message.code
        mentioned = self._wire.mentioned(message.message)
        named = [name for name in mentioned if name in self.subscriptions]
        if login is not None and self._wire.repeats_login(code):
            # A login without an answer in time was sent again, but the exchange had
            # accepted the first.
            return self._logged_in(now)
        lost = login if self._wire.needs_login(code) else None
        if lost is not None and not lost.accepted:
            return [Unasked("error")]  # told already
        if request is None or message.id not in (None, request.id):
            code, said = self.told(message)
            text = f"{printable(said)} (error {code})"
            stray = Unasked("error", f"an error that answers no request: {text}")
            return self._reject_late(message, named) or [stray]
        if lost is not None:
            return self._login_lost(lost, message, sorted(request.channels), now)
        if login is not None and not login.accepted:
            return self._login_refused(login, message, now)
        if len(named) == 1 and named[0] not in request.channels:
            return self._reject_late(message, named) or [self._trouble(message, named)]
        meant = named if len(named) == 1 else sorted(request.channels)
        if self._wire.is_transient(code):
            events = self._give_up(request, meant, now, busy=True)
            return [*events, self._trouble(message, meant)]
        if len(meant) == 1:
            return self._refuse(request.op, meant[0], message)
        if message.id is not None:
            # The error is for the whole request or for one channel of it: the
            # acknowledgements of the good channels, if any, are on their way.
            self._request = request._replace(due=min(request.due, now + GRACE))
            self.subscriptions_due = -math.inf
        # Otherwise one of the channels is bad; the good ones will be acknowledged.
        return [self._trouble(message, meant)]

    def _trouble(self, message: Refused, names: list[str]) -> Trouble:
        one = self.subscriptions.get(names[0]) if len(names) == 1 else None
        return Trouble(self._rejection(message, listed(names)), one)

    def _rejection(self, message: Refused, channel: str) -> SubscriptionRejected:
        return SubscriptionRejected(*self.told(message), self.clean(channel))

    def _reject_late(self, message: Refused, named: list[str]) -> list[Event]:
        """Refuse a channel whose data came, and whose request was given up before."""
        one = self.subscriptions[named[0]] if len(named) == 1 else None
        final = not self._wire.is_transient(message.code)
        came_first = one is not None and one.acknowledged and one.in_doubt
        return self._reject(one, message) if one and came_first and final else []

    @property
    def clean(self) -> Clean:
        """Takes the login's secrets out of a text, whose meaning was found before."""
        return str if self._login is None else self._login.clean

    def told(self, message: Refused | Notice) -> tuple[int | str, str]:
        """Code and text of *message* for people: cleaned, then cut."""
        code = self.clean(str(message.code))
        same = code == str(message.code)
        return message.code if same else code, self.clean(message.message)[:MAX_MESSAGE]

    def _terminated(self, message: Terminated) -> list[Event]:
        """The exchange ended all channels of one kind, for every instrument."""
        refused = Refused("channel-conn-count-error", message.message)
        every, kind = list(self.subscriptions.values()), message.kind
        ended = [one for one in every if one.name.partition(":")[0] == kind]
        return [event for one in ended for event in self._reject(one, refused)]

    def _refuse(self, op: str, name: str, message: Refused) -> list[Event]:
        self._answered(op, name)
        if (one := self.subscriptions.get(name)) is None:
            return [self._trouble(message, [name])]
        events = self._reject(one, message) if op == "subscribe" else []
        one.end(self.heartbeat.pings)
        return events or [self._trouble(message, [name])]

    def _reject(self, one: SubscriptionState[Target], message: Refused) -> list[Event]:
        if not one.step(Step.REFUSED):
            return []
        self._forget(one)
        return [Changed(one, Step.REFUSED, self._rejection(message, one.name))]

    def _give_up(
        self, request: OpenRequest, names: list[str], now: float, busy: bool = False
    ) -> list[Event]:
        """Ask for *names* again: no answer came, or the exchange was *busy*.

        Channels without an answer are asked for in halves, in the end one by one: that
        finds one bad channel among a thousand, and sends few requests to an exchange
        that is slow.
        """
        events: list[Event] = []
        for name in names:
            self._answered(request.op, name)
            one = self.subscriptions.get(name)
            if one is None:
                continue  # an earlier message ended the channel
            if one.unanswered(self.heartbeat.pings):
                if not busy:
                    one.max_batch = (len(names) + 1) // 2
            elif busy and one.end(self.heartbeat.pings):
                events.append(Changed(one, Step.LEFT))  # its data came before
            else:
                continue
            if busy or len(names) == 1:
                one.retry_later(now, self._timeouts)
            self._forget(one)
        return events

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
        request, events = self._request, list[Event]()
        if request is not None and read_at >= request.due:
            events = self._unanswered(request, now)
        if self._request is not None:
            self.subscriptions_due = self._request.due
            return events
        if any(
            one.awaits_ping(self.heartbeat.pings) for one in self.subscriptions.values()
        ):
            # The sooner its pong comes, the sooner they are subscribed again.
            self.heartbeat.hurry(now)
            self._ping(now, wall, read_at)
        return events + self._close_difference(now, wall)

    def outgoing(self) -> Iterable[str]:
        """The texts that are to be sent now, in order. Each is yielded once."""
        while self._outgoing:
            yield self._outgoing.popleft()

    def _ping(self, now: float, wall: float, read_at: float) -> None:
        if self.heartbeat.tick(now, wall, read_at):
            self._outgoing.append(self._wire.PING)

    def _unanswered(self, request: OpenRequest, now: float) -> list[Event]:
        names = sorted(request.channels)
        if request.op == "login" and self._login is not None:
            self._request = None
            self._login.retry_later(now)
        events = self._give_up(request, names, now)
        what = f"no acknowledgement of {request.op} {listed(names)}".rstrip()
        after, code = self._timeouts.ack, CauseCode.SUBSCRIBING
        return [*events, Trouble(Stalled(f"{what} came", after, cause_code=code))]

    def _close_difference(self, now: float, wall: float) -> list[Event]:
        """Send the next request, if one is needed, and set when to look again."""
        if self._login is not None and not self._login.accepted:
            return self._log_in(self._login, now, wall)
        subscriptions = self.subscriptions.values()
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
        text, carried = self._wire.request(op, names, self._requests + 1)
        self._send(op, text, carried, now)
        asked = [self.subscriptions[name] for name in carried]
        if any(one.resubscribing for one in asked):
            self._request_budget.spend_share(now)
        for one in asked:
            # An unsubscribe because the first push did not come counts as a failed
            # attempt; one because the channel broke does not.
            late = step is Step.LEAVING and one.wanted and not one.resubscribing
            one.attempts += late
            one.step(step)
        return []

    def _send(self, op: str, text: str, carried: Iterable[str], now: float) -> None:
        self._request_budget.spend(now)
        self._requests += 1
        self._outgoing.append(text)
        due = self.subscriptions_due = now + self._timeouts.ack
        self._request = OpenRequest(op, str(self._requests), set(carried), due)

    # --- The login ------------------------------------------------------------------

    def _log_in(self, login: Login, now: float, wall: float) -> list[Event]:
        if now < login.due:
            self.subscriptions_due = login.due
            return []
        self.subscriptions_due, words = self._request_budget.wait("login", 1, now)
        if self.subscriptions_due <= now:
            self._send("login", login.ask(wall), (), now)
        return list(map(Trouble, words))

    def _logged_in(self, now: float) -> list[Event]:
        if self._login is None or not self._login.asked:
            return [Unasked("login")]
        self._login.accept(now)
        self._request, self.subscriptions_due = None, -math.inf
        return []

    def _login_refused(self, login: Login, message: Refused, now: float) -> list[Event]:
        error = LoginRejected(*self.told(message))
        self._request, self.subscriptions_due = None, -math.inf
        if self._wire.is_transient(message.code):
            # For example an expired timestamp: the next login has a new one.
            login.retry_later(now)
            return [Trouble(error)]
        login.refuse()
        return [LockedOut(error)]

    def _login_lost(
        self, login: Login, message: Refused, refused: list[str], now: float
    ) -> list[Event]:
        """The exchange has lost an accepted login, and so ended every channel."""
        events: list[Event] = [Unasked("error")]
        if login.lose(now):
            events = [self._trouble(message, refused)]
        self._request, self.subscriptions_due = None, -math.inf
        for one in list(self.subscriptions.values()):
            asked = one.phase is Phase.LEAVING
            if one.end(self.heartbeat.pings) and not asked:
                events.append(Changed(one, Step.LEFT))
            one.step(Step.SILENT)
            self._forget(one)
        return events
