"""What the exchange answers on one opening of a connection, and what follows from it.

Under v5 an answer repeats the number of its request. Under v3, and in v5's error events
before 2023, nothing but the text of an error tells which request it answers.
"""

from __future__ import annotations

import math
from typing import Generic

from ..base.errors import SubscriptionRejected, listed, printable
from ..base.retry import Ping, Timeouts
from ..model.exchange_codes import TRIES, Advice, advised
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
    Vouched,
    Withheld,
)
from ..trust.heartbeat import Heartbeat, Renewed
from ..trust.lease import Lease
from .events import Changed, Event, Held, LockedOut, Trouble, Unasked
from .login import Login
from .request_budget import OpenRequest
from .subscription_state import Phase, Step, SubscriptionState, Target

# Seconds for the acknowledgements of good channels, after an error that names none.
GRACE = 1.0


class Answers(Generic[Target]):
    """The half of a `Session` that hears: it matches each message with what was asked.

    An acknowledgement or an error moves the subscriptions that it is about, and what a
    code's advice says is done (`okex_ws.model.exchange_codes`). Only the connection's
    thread calls it. It sends nothing: it sets when `Session` has to look again.
    """

    def __init__(
        self,
        wire: WireProtocol,
        ping: Ping,
        timeouts: Timeouts,
        now: float,
        login: Login | None,
    ) -> None:
        self._wire = wire
        self._timeouts = timeouts
        self.heartbeat = Heartbeat(ping, timeouts.pong, now)
        self._forwarded = ping.forwarded
        self._login = login
        self.subscriptions: dict[str, SubscriptionState[Target]] = {}
        self._request: OpenRequest | None = None
        # The library's own request, which no request for a script waits for: v5 alone
        # has such ones, and its answers say which request they are for.
        self._own_request: OpenRequest | None = None
        self.subscriptions_due = math.inf

    @property
    def clean(self) -> Clean:
        """Takes the login's secrets out of a text, whose meaning was found before."""
        return str if self._login is None else self._login.clean

    def told(self, message: Refused | Notice) -> tuple[int | str, str]:
        """Code and text of *message* for people: cleaned, then cut."""
        code = self.clean(str(message.code))
        same = code == str(message.code)
        return message.code if same else code, self.clean(message.message)[:MAX_MESSAGE]

    def _has(self, subscription: SubscriptionState[Target]) -> bool:
        return self.subscriptions.get(subscription.name) is subscription

    def _forget(self, subscription: SubscriptionState[Target]) -> None:
        if subscription.forgettable:
            del self.subscriptions[subscription.name]

    # --- What the exchange grants ---------------------------------------------------

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
        if isinstance(message, (Acknowledged, Unsubscribed)):
            doubted = self._request
            events = self._granted(message, now)
            return [*events, *self._innocent(doubted)]
        if isinstance(message, Refused):
            return self._refused(message, now)
        if isinstance(message, LoggedIn):
            return self._logged_in(now)
        if isinstance(message, Terminated):
            return self._terminated(message)
        if isinstance(message, Vouched):
            return self._vouched(message)
        if isinstance(message, Withheld):
            return self._withheld(message)
        return [Unasked("unknown")]

    def _ponged(self, now: float) -> list[Event]:
        renewed = self.heartbeat.ponged(now)
        if renewed is None:
            return [Unasked("pong")]
        for one in list(self.subscriptions.values()):
            if one.ended_after < renewed.ping and one.step(Step.DRAINED):
                self._forget(one)
                self.subscriptions_due = -math.inf
        return [] if self._forwarded else [renewed]

    def _vouched(self, said: Vouched) -> list[Event]:
        self.heartbeat.adopt(said.lease)
        since = said.asked - said.age
        lease = Lease(since + said.lease, said.offset, ended=said.ended)
        trip = self.heartbeat.round_trip
        return [Renewed(lease, since, trip, self.heartbeat.pings)]

    def _withheld(self, said: Withheld) -> list[Event]:
        held = []
        for name in said.channels:
            self._answered("subscribe", name)
            one = self.subscriptions.get(name)
            if one is not None and one.step(Step.WITHHELD):
                one.silent_at = math.inf
                held.append(one)
        return [Held(tuple(held), said.state, said.cause)] if held else []

    def _granted(self, message: Acknowledged | Unsubscribed, now: float) -> list[Event]:
        if isinstance(message, Acknowledged):
            return self._acknowledged(message, now)
        return self._left(message, now)

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
        """Mark channel *name* as answered; False if no open request named it.

        *answer_to* is the number of a request, which v5's answers repeat.
        """
        self.subscriptions_due = -math.inf
        request, own = self._request, self._own_request
        if request is not None and request.answered(op, name, answer_to):
            self._request = request if request.channels else None
            return True
        if own is not None and own.answered(op, name, answer_to):
            self._own_request = None
            return True
        return False

    def _innocent(self, request: OpenRequest | None) -> list[Event]:
        """The error during *request*, if each of its channels was granted after all.

        Then it answered no request.
        """
        if request is None or request.error is None or request is self._request:
            return []
        return [] if request.channels else [self._stray(request.error)]

    # --- What the exchange refuses --------------------------------------------------

    def _refused(self, message: Refused, now: float) -> list[Event]:
        """Handle an error, about the channel that it names or the open request."""
        request, login = self._request, self._login
        if (own := self._own_request) is not None and (
            message.id == own.id or (message.id is None and request is None)
        ):
            request = own
        advice = self._wire.code(message.code).advice
        mentioned = self._wire.mentioned(message.message)
        named = [name for name in mentioned if name in self.subscriptions]
        if login is not None and advice is Advice.LOGGED_IN:
            # A login without an answer in time was sent again, but the exchange had
            # accepted the first.
            return self._logged_in(now)
        lost = login if advice is Advice.LOGIN else None
        if lost is not None and not lost.accepted:
            return [Unasked("error")]  # told already
        strange = message.id is None and _is_strange(mentioned, request)
        if request is None or message.id not in (None, request.id) or strange:
            return self._reject_late(message, named) or [self._stray(message)]
        if lost is not None:
            return self._login_lost(lost, message, sorted(request.channels), now)
        known_for = message.id is not None or bool(named)
        if login is not None and (
            not login.accepted or (advice.refuses_key and known_for)
        ):
            return self._login_refused(login, message, now)
        if len(named) == 1 and named[0] not in request.channels:
            return self._reject_late(message, named) or [self._trouble(message, named)]
        meant = named if len(named) == 1 else sorted(request.channels)
        if advice.passes:
            events = self._give_up(request, meant, now, busy=True)
            return [*events, self._trouble(message, meant)]
        return self._blame(request, meant, message, now, known_for)

    def _blame(
        self,
        request: OpenRequest,
        meant: list[str],
        message: Refused,
        now: float,
        known_for: bool,
    ) -> list[Event]:
        """One of the channels *meant*, or the whole *request*, is bad.

        *known_for* is False if the error may answer no request at all.
        """
        advice = self._wire.code(message.code).advice
        doubtful = not known_for and (advice is Advice.TRIES or advice.refuses_key)
        if len(meant) == 1 and not doubtful:
            return self._refuse(request, meant[0], message, now)
        if not known_for:
            self._request = request = request._replace(
                error=message, alone=len(meant) == 1
            )
        if message.id is not None or len(meant) == 1:
            # The acknowledgements of the good channels, if any, are on their way.
            self._request = request._replace(due=min(request.due, now + GRACE))
            self.subscriptions_due = -math.inf
        return [] if doubtful else [self._trouble(message, meant)]

    def _stray(self, message: Refused) -> Unasked:
        code, said = self.told(message)
        text = f"{printable(said)} (error {code})"
        return Unasked("error", f"an error that answers no request: {text}")

    def _trouble(self, message: Refused, names: list[str]) -> Trouble:
        one = self.subscriptions.get(names[0]) if len(names) == 1 else None
        return Trouble(self._rejection(message, names), one)

    def _rejection(self, message: Refused, names: list[str]) -> SubscriptionRejected:
        known = self._wire.code(message.code)
        said = SubscriptionRejected(*self.told(message), self.clean(listed(names)))
        error = advised(said, known)
        if known.advice is Advice.TIER:
            tiers = {self._wire.tier(name) for name in names} - {""}
            least = f"the fee tier {min(tiers)}" if tiers else "a higher fee tier"
            error.advice = f"it needs {least}"
        elif known.advice is Advice.LOGIN and self._login is not None:
            error.advice = ""  # there is a key: the library logs in again
        return error

    def _reject_late(self, message: Refused, named: list[str]) -> list[Event]:
        """Refuse a channel whose data came, and whose request was given up before."""
        one = self.subscriptions[named[0]] if len(named) == 1 else None
        advice = self._wire.code(message.code).advice
        final = not advice.passes and advice is not Advice.TRIES
        came_first = one is not None and one.acknowledged and one.in_doubt
        return self._reject(one, message) if one and came_first and final else []

    def _terminated(self, message: Terminated) -> list[Event]:
        """The exchange ended all channels of one kind, for every instrument."""
        refused = Refused("channel-conn-count-error", message.message)
        every, kind = list(self.subscriptions.values()), message.kind
        ended = [one for one in every if one.name.partition(":")[0] == kind]
        return [event for one in ended for event in self._reject(one, refused)]

    def _refuse(
        self, request: OpenRequest, name: str, message: Refused, now: float
    ) -> list[Event]:
        """The exchange refused the channel *name*, as *request* wants it."""
        one, op = self.subscriptions.get(name), request.op
        if one is not None and self._wire.code(message.code).advice is Advice.TRIES:
            one.tries += op == "subscribe"
            if 0 < one.tries < TRIES:
                events = self._give_up(request, [name], now, busy=True)
                return [*events, self._trouble(message, [name])]
        self._answered(op, name)
        if one is None:
            return [self._trouble(message, [name])]
        events = self._reject(one, message) if op == "subscribe" else []
        one.end(self.heartbeat.pings)
        return events or [self._trouble(message, [name])]

    def _reject(self, one: SubscriptionState[Target], message: Refused) -> list[Event]:
        if not one.step(Step.REFUSED):
            return []
        self._forget(one)
        return [Changed(one, Step.REFUSED, self._rejection(message, [one.name]))]

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

    # --- The login ------------------------------------------------------------------

    def _logged_in(self, now: float) -> list[Event]:
        if self._login is None or not self._login.asked:
            return [Unasked("login")]
        self._login.accept(now)
        self._request, self.subscriptions_due = None, -math.inf
        return []

    def _login_refused(self, login: Login, message: Refused, now: float) -> list[Event]:
        known = self._wire.code(message.code)
        error = login.refusal(known, *self.told(message))
        self._request, self.subscriptions_due = None, -math.inf
        if known.advice.passes or login.may_retry(known):
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
        self._request, self._own_request, self.subscriptions_due = None, None, -math.inf
        for one in list(self.subscriptions.values()):
            asked = one.phase is Phase.LEAVING
            if one.end(self.heartbeat.pings) and not asked:
                events.append(Changed(one, Step.LEFT))
            one.step(Step.SILENT)
            self._forget(one)
        return events


def _is_strange(mentioned: tuple[str, ...], request: OpenRequest | None) -> bool:
    """Whether an error names channels, and none that *request* is about."""
    about = set[str]() if request is None else request.channels
    asked = {name.casefold() for name in about}
    return bool(mentioned) and asked.isdisjoint(map(str.casefold, mentioned))
