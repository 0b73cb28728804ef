"""One connection's conversation, in virtual time, against every answer it may get."""

from __future__ import annotations

import functools
import itertools
import json
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from okex_ws import Credentials
from okex_ws.base.errors import (
    BudgetSpent,
    LoginRejected,
    OkexWSError,
    Stalled,
    SubscriptionRejected,
)
from okex_ws.base.rates import RateLimit
from okex_ws.base.retry import Ping, Timeouts
from okex_ws.model.redaction import Redaction
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import (
    Acknowledged,
    LoggedIn,
    Pong,
    Refused,
    Terminated,
    Unknown,
    Unsubscribed,
)
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.answers import GRACE
from okex_ws.session.events import Changed, Event, LockedOut, Trouble, Unasked
from okex_ws.session.login import Login
from okex_ws.session.session import Session
from okex_ws.session.subscription_state import (
    STEADY,
    Phase,
    Step,
    SubscriptionState,
    log_steps,
)
from okex_ws.trust.heartbeat import Renewed
from okex_ws.trust.lease import Lease
from tests.support.internals import (
    is_logged_in,
    open_request_of,
    spend_resubscription,
    subscriptions_due,
)

WALL = 1_700_000_000.0
DEPTH, TRADE, TICKER = (f"spot/{t}:BTC-USDT" for t in ("depth5", "trade", "ticker"))
WHOLE, OTHER = (f"spot/depth:{coin}-USDT" for coin in ("BTC", "ETH"))
NO_CHANNEL, TOO_FREQUENT, INTERNAL = 30040, 30026, 30043
# The same of v5, where requests have ids and a login has its own errors.
BOOK, TRADES, ORDERS = "books5:BTC-USDT", "trades:BTC-USDT", "orders:BTC-USDT"
BOOKS = "books:ETH-USDT"
# Whole books: each push builds on the one before.
INCREMENTAL = (WHOLE, OTHER, BOOKS)
NO_SUCH, BUSY, EXPIRED, NO_KEY = "60018", "60014", "60006", "60005"
SECRET = "the passphrase"
CLEAN = Redaction(Credentials("the api key", "the secret key", SECRET)).sentence
ACK, FIRST_PUSH = 10.0, 10.0
HOUR = 3600.0
# Seconds from one ping to the next.
PERIOD = Ping().period
# Of 239 requests an hour 59 pairs are for what broke: 4 at once, then one at a time.
BURST, REFILL = 4, HOUR / 55

Request = tuple[str, list[str]]


def books(count: int) -> list[str]:
    return [f"books5:COIN{n}-USDT" for n in range(count)]


def login_text(wall: float) -> str:
    return json.dumps({"op": "login", "args": [f"{wall - WALL:g}"]})


class Talk:
    """A session, the clock it is given, and what it says."""

    def __init__(
        self,
        wire: WireProtocol = V3,
        *,
        limit: int = 239,
        lease: float = 15.0,
        pongs: bool = True,
        login: bool = False,
    ) -> None:
        self.now = 0.0
        self.budget = RateLimit(limit, HOUR)
        self.session: Session[str] = Session(
            wire,
            Ping(30.0, lease),
            Timeouts(),
            self.budget,
            self.now,
            Login(login_text, Timeouts().retry_cap, CLEAN) if login else None,
        )
        # Answer each ping at once, where the test is not about pings.
        self.pongs = pongs
        self.drained = True
        # When everything that had come was handled for the last time.
        self.read_at = 0.0
        # Of the requests that went out, under v5.
        self.ids: list[str] = []

    def want(self, *names: str) -> None:
        for name in names:
            needs_snapshot, incremental = "trade" not in name, name in INCREMENTAL
            self.session.want(
                name, f"target of {name}", needs_snapshot, self.now, incremental
            )

    def tick(self) -> tuple[list[Event], list[str]]:
        if self.drained:
            self.read_at = self.now
        events = self.session.tick(self.now, self.now + WALL, self.read_at)
        texts = list(self.session.outgoing())
        self.ids += [r["id"] for r in parsed(texts) if "id" in r]
        if self.pongs and "ping" in texts:
            for _ in range(texts.count("ping")):
                self.session.receive(Pong(), self.now)
            if self.session.due <= self.now:
                # What was drained is due.
                more, asked = self.tick()
                return events + more, texts + asked
        return events, texts

    def usable(self, name: str) -> SubscriptionState[str] | None:
        """The subscription of *name*, if data of it may be used as it is."""
        subscription = self.session.subscriptions.get(name)
        return subscription if subscription and subscription.acknowledged else None

    def drop(self, name: str) -> None:
        if name in self.session.subscriptions:
            self.session.drop(self.session.subscriptions[name])

    def spoil(self, name: str | None, now: float) -> None:
        """A push of *name*, or of any channel, could not be read."""
        subscription = self.session.subscriptions.get(name or "")
        if name is None or subscription is not None:
            self.session.invalidated(subscription, now)

    def overdue(self, name: str, received: float, now: float) -> None:
        self.session.overdue(self.session.subscriptions[name], received, now)

    def acknowledged(self, name: str) -> Changed:
        return Changed(self.session.subscriptions[name], Step.ACKNOWLEDGED)

    def ended(self, name: str) -> Changed:
        return Changed(self.session.subscriptions[name], Step.LEFT)

    def asked(self) -> list[Request]:
        """The requests that go out now."""
        _, texts = self.tick()
        return requests(texts)

    def troubles(self) -> list[OkexWSError]:
        """What goes wrong now, and passes."""
        events, _ = self.tick()
        return [event.error for event in events if isinstance(event, Trouble)]

    def wait(
        self,
        seconds: float,
        answer: Callable[[str, list[str]], list[Event]] = lambda op, names: [],
    ) -> tuple[list[Event], list[Request]]:
        """Let *seconds* pass, and do all that falls due meanwhile, when it does."""
        end, events, asked = self.now + seconds, list[Event](), list[Request]()
        while True:
            happened, texts = self.tick()
            events += happened
            for request in requests(texts):
                asked.append(request)
                events += answer(*request)
            if self.session.due <= self.now:
                assert requests(texts), "it would spin"
                continue
            if self.session.due > end:
                self.now = end
                return events, asked
            self.now = self.session.due

    def ack(self, *names: str, to: str | None = None) -> list[Event]:
        answers = [Acknowledged(name, to) for name in names]
        return [e for a in answers for e in self.session.receive(a, self.now)]

    def left(self, name: str, to: str | None = None) -> list[Event]:
        return self.session.receive(Unsubscribed(name, to), self.now)

    def refuse(
        self, code: int | str, message: str = "no", to: str | None = None
    ) -> list[Event]:
        return self.session.receive(Refused(code, message, to), self.now)

    def log_in(self) -> None:
        """Log in, and be let in."""
        ((op, _),) = self.asked()
        assert op == "login"
        assert self.session.receive(LoggedIn(), self.now) == []

    def push(self, name: str) -> None:
        subscription = self.usable(name)
        assert subscription is not None
        subscription.flows(self.now)

    def phase(self, name: str) -> Phase:
        return self.session.subscriptions[name].phase

    def subscribe(self, *names: str) -> None:
        """Want them, ask, and have all of them acknowledged."""
        self.want(*names)
        assert self.asked() == [("subscribe", list(names))]
        self.ack(*names)


def parsed(texts: Sequence[str]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in texts if text != "ping"]


def requests(texts: Sequence[str]) -> list[Request]:
    return [(r["op"], [*map(key, r["args"])]) for r in parsed(texts)]


def key(argument: str | dict[str, str]) -> str:
    """A channel as the library names it."""
    return argument if isinstance(argument, str) else ":".join(argument.values())


def was_refused(event: Event) -> TypeGuard[Changed]:
    return isinstance(event, Changed) and event.step is Step.REFUSED


def blamed(events: list[Event]) -> list[str]:
    return [event.subscription.name for event in events if was_refused(event)]


@pytest.fixture
def talk() -> Talk:
    return Talk()


# --- Subscribe and acknowledge ------------------------------------------------------


def test_the_opening_is_a_ping_and_one_request_for_all(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    assert talk.session.due == -math.inf
    _, texts = talk.tick()
    assert texts[0] == "ping"
    assert requests(texts) == [("subscribe", [DEPTH, TRADE])]
    assert list(talk.session.outgoing()) == []


def test_what_is_not_sent_yet_is_due_now(talk: Talk) -> None:
    talk.session.tick(0.0, WALL, 0.0)
    assert talk.session.due == -math.inf
    assert list(talk.session.outgoing()) == ["ping"]
    assert talk.session.due == PERIOD


def test_nothing_wanted_is_nothing_asked(talk: Talk) -> None:
    assert talk.wait(100) == ([], [])


def test_an_acknowledgement_is_matched_to_what_was_asked(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    assert talk.ack(TRADE) == [talk.acknowledged(TRADE)]
    assert (talk.phase(DEPTH), talk.phase(TRADE)) == (Phase.ASKED, Phase.ACKNOWLEDGED)
    assert talk.ack(DEPTH) == [talk.acknowledged(DEPTH)]
    assert talk.wait(5) == ([], [])


def test_data_belongs_to_nobody_before_its_acknowledgement(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    assert talk.usable(DEPTH) is None
    assert talk.usable("spot/depth5:ETH-USDT") is None
    talk.ack(DEPTH)
    subscription = talk.usable(DEPTH)
    assert subscription is not None
    assert subscription.target == f"target of {DEPTH}"


def test_one_request_is_outstanding_at_a_time(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.want(TRADE)
    assert talk.asked() == []
    talk.ack(DEPTH)
    assert talk.asked() == [("subscribe", [TRADE])]


def test_what_one_request_cannot_carry_goes_into_the_next(talk: Talk) -> None:
    names = [f"spot/depth5:COIN{n}-USDT" for n in range(300)]
    talk.want(*names)
    got: list[str] = []
    while batch := talk.asked():
        ((op, carried),) = batch
        assert op == "subscribe"
        got += carried
        talk.ack(*carried)
    assert got == names


def test_wanting_again_changes_only_whose_it_is(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.session.want(DEPTH, "another", True, talk.now)
    assert talk.asked() == []
    subscription = talk.usable(DEPTH)
    assert subscription is not None
    assert subscription.target == "another"


@pytest.mark.parametrize("name", [DEPTH, "spot/depth5:NEVER-WANTED"])
def test_an_acknowledgement_that_answers_nothing_is_counted(
    talk: Talk, name: str
) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    assert talk.ack(name) == [Unasked("ack")]
    assert talk.phase(DEPTH) is Phase.FLOWING
    assert talk.left("spot/depth5:NEVER-WANTED") == [Unasked("ack")]


def test_a_message_of_an_unknown_kind_is_counted(talk: Talk) -> None:
    assert talk.session.receive(Unknown("event"), 0) == [Unasked("unknown")]


# --- No acknowledgement in time -----------------------------------------------------


def test_what_the_library_asks_for_its_own_may_have_no_answer(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.session.subscriptions[DEPTH].internal = True
    assert talk.asked() == [("subscribe", [DEPTH])]
    talk.now = ACK

    events, texts = talk.tick()

    assert (events, requests(texts)) == ([], [])
    assert talk.wait(ACK + 1.0)[1] == [("subscribe", [DEPTH])]


LIST, OTHER_LIST = "instruments:instType:SPOT", "instruments:instType:SWAP"


def wanting_for_itself(*names: str) -> Talk:
    """A session that wants channels of the library's own, each in its own request."""
    talk = Talk(V5)
    talk.want(*names)
    for name in names:
        subscription = talk.session.subscriptions[name]
        subscription.internal, subscription.max_batch = True, 1
    return talk


def test_no_channel_of_a_script_waits_for_a_request_of_the_library() -> None:
    talk = wanting_for_itself(LIST)
    assert talk.asked() == [("subscribe", [LIST])]
    talk.now = 1.0
    talk.want(BOOK)

    assert talk.asked() == [("subscribe", [BOOK])]
    assert talk.ack(BOOK, to=talk.ids[1]) == [talk.acknowledged(BOOK)]
    talk.push(BOOK)
    # The other request still has its own time, after which it is sent again.
    assert talk.wait(ACK - 1.0 - 0.01)[1] == []
    assert talk.wait(1.02)[1] == [("subscribe", [LIST])]
    assert talk.ack(LIST, to=talk.ids[2]) == [talk.acknowledged(LIST)]


def test_the_librarys_own_requests_are_sent_one_after_the_other() -> None:
    talk = wanting_for_itself(LIST, OTHER_LIST)
    assert talk.asked() == [("subscribe", [LIST])]
    assert talk.asked() == []

    assert talk.ack(LIST, to=talk.ids[0]) == [talk.acknowledged(LIST)]
    assert talk.asked() == [("subscribe", [OTHER_LIST])]


def test_a_refusal_of_the_librarys_own_request_is_about_no_other() -> None:
    talk = wanting_for_itself(LIST)
    talk.asked()
    talk.want(BOOK)
    talk.asked()

    (event,) = talk.refuse(NO_SUCH, "no", to=talk.ids[0])

    assert isinstance(event, Changed)
    assert (event.subscription.name, talk.phase(LIST)) == (LIST, Phase.REFUSED)
    assert talk.ack(BOOK, to=talk.ids[1]) == [talk.acknowledged(BOOK)]


def test_a_refusal_without_a_number_is_of_the_only_request_that_is_open() -> None:
    talk = wanting_for_itself(LIST)
    talk.asked()

    talk.refuse(NO_SUCH, "no")
    talk.wait(5.0)

    assert talk.phase(LIST) is Phase.REFUSED


def test_acknowledgements_that_stay_away_are_said_and_asked_for_in_halves(
    talk: Talk,
) -> None:
    talk.want(DEPTH, TRADE, TICKER)
    talk.asked()
    talk.ack(TICKER)
    talk.push(TICKER)
    talk.now = math.nextafter(ACK, 0)
    assert talk.troubles() == []
    talk.now = ACK
    ((trouble,), texts) = talk.tick()
    assert isinstance(trouble, Trouble)
    assert isinstance(trouble.error, Stalled)
    assert str(trouble.error) == (
        f"no acknowledgement of subscribe {DEPTH}, {TRADE} came within 10 s"
    )
    # At once: only what is asked for alone waits, and longer each time.
    assert requests(texts) == [("subscribe", [DEPTH])]
    talk.ack(DEPTH)
    talk.push(DEPTH)
    assert talk.asked() == [("subscribe", [TRADE])]
    _, asked = talk.wait(ACK + 0.999)
    assert asked == []
    talk.now = 2 * ACK + 1
    assert talk.asked() == [("subscribe", [TRADE])]


def obeys(talk: Talk) -> Callable[[str, list[str]], list[Event]]:
    """An exchange that acknowledges all, and pushes at once."""

    def answer(op: str, names: list[str]) -> list[Event]:
        talk.ack(*names)
        for name in names:
            talk.push(name)
        return []

    return answer


def sizes(asked: list[Request]) -> list[int]:
    return [len(names) for _, names in asked]


def test_each_silence_halves_those_that_are_asked_together() -> None:
    talk = Talk(V5)
    talk.want(*books(8))

    _, asked = talk.wait(8 * ACK)

    assert sizes(asked) == [8, 4, 4, 2, 2, 2, 2, 1, 1]
    for together in (asked[1:3], asked[3:7]):
        assert {name for _, names in together for name in names} == set(books(8))


def test_a_sentence_names_few_of_many() -> None:
    talk = Talk(V5)
    names = books(500)
    talk.want(*names)
    talk.tick()
    talk.now = ACK

    (trouble,) = talk.troubles()

    named = ", ".join(sorted(names)[:5])
    assert str(trouble) == (
        f"no acknowledgement of subscribe {named}, 495 more came within 10 s"
    )


def test_a_thousand_channels_and_one_silence_cost_few_requests() -> None:
    """The exchange counts requests by the hour: one a channel would burn two hours."""
    talk = Talk(V5)
    talk.want(*books(1000))
    ((_, first),) = talk.asked()

    _, asked = talk.wait(HOUR / 2, obeys(talk))

    # What did not fit into the first goes before what stayed unanswered.
    assert sizes(asked)[:2] == [1000 - len(first), (len(first) + 1) // 2]
    assert len(asked) == 3
    assert {
        subscription.phase for subscription in talk.session.subscriptions.values()
    } == {Phase.FLOWING}
    assert talk.budget.outlook(talk.now)[0] == 239 - 1 - len(asked)


def test_who_was_acknowledged_is_asked_for_with_the_others_again() -> None:
    talk = Talk(V5)
    talk.want(BOOK, TRADES)
    talk.asked()
    assert sizes(talk.wait(ACK + 1, obeys(talk))[1]) == [1, 1]
    talk.left(BOOK)
    talk.left(TRADES)

    _, asked = talk.wait(10, obeys(talk))

    assert asked == [("subscribe", [BOOK, TRADES])]


def test_asking_again_waits_twice_as_long_each_time_up_to_a_cap(talk: Talk) -> None:
    talk.want(DEPTH)
    sent = []
    while talk.now < 4 * HOUR:
        if talk.asked():
            sent.append(talk.now)
        talk.now = talk.session.due if talk.session.due > talk.now else talk.now
    waits = [after - before - 10 for before, after in itertools.pairwise(sent)]
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert max(waits) == Timeouts().retry_cap


def test_frames_that_wait_may_hold_the_acknowledgement(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.now, talk.drained = 10.0, False
    assert talk.troubles() == []
    assert talk.ack(DEPTH) == [talk.acknowledged(DEPTH)]


def test_an_acknowledgement_that_comes_late_still_counts(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.now = 10.0
    talk.tick()
    assert talk.phase(DEPTH) is Phase.IDLE
    assert talk.ack(DEPTH) == [talk.acknowledged(DEPTH)]
    talk.push(DEPTH)
    assert talk.wait(100) == ([], [])


# --- Errors -------------------------------------------------------------------------


def test_an_error_that_names_its_channel_fails_it_alone(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    message = f"Channel {DEPTH} doesn't exist"
    (event,) = talk.refuse(NO_CHANNEL, message)
    assert was_refused(event)
    error = event.error
    assert error is not None
    assert (error.code, error.message, error.channel) == (NO_CHANNEL, message, DEPTH)
    assert talk.ack(TRADE) == [talk.acknowledged(TRADE)]
    assert talk.wait(HOUR) == ([], [])
    assert talk.phase(DEPTH) is Phase.REFUSED


def test_a_refusal_of_what_is_not_wanted_any_more_is_told_as_trouble() -> None:
    talk = Talk(V5)
    talk.want(BOOK)
    talk.asked()
    talk.session.receive(Terminated("books5", "30 connections have it"), talk.now)
    talk.drop(BOOK)
    assert BOOK not in talk.session.subscriptions

    (event,) = talk.refuse(NO_SUCH)

    assert isinstance(event, Trouble)


def test_what_is_gone_is_not_asked_for_again(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    gone = talk.session.subscriptions[DEPTH]
    talk.drop(DEPTH)
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    talk.left(DEPTH)
    # The pong of a later ping proves that no straggler follows.
    talk.wait(60.0)

    talk.session.resubscribe(gone, talk.now)

    assert DEPTH not in talk.session.subscriptions
    assert talk.wait(60.0) == ([], [])


def test_an_error_that_names_nobody_means_the_only_one_that_was_asked_for(
    talk: Talk,
) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    talk.ack(TRADE)
    assert blamed(talk.refuse(NO_CHANNEL)) == [DEPTH]


def test_an_error_that_may_mean_several_refuses_none_of_them(talk: Talk) -> None:
    talk.want(DEPTH, TRADE, TICKER)
    talk.asked()
    talk.ack(TICKER)

    (event,) = talk.refuse(30039, "Unrecognized request")

    assert isinstance(event, Trouble)
    assert isinstance(event.error, SubscriptionRejected)
    assert event.error.channel == f"{DEPTH}, {TRADE}"
    assert talk.asked() == []
    assert talk.ack(TRADE) == [talk.acknowledged(TRADE)]
    assert blamed(talk.refuse(30039, "Unrecognized request")) == [DEPTH]


def test_a_new_channel_goes_before_those_that_are_asked_for_alone(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    talk.now = ACK
    assert talk.asked() == [("subscribe", [DEPTH])]
    talk.want(TICKER)
    talk.ack(DEPTH)

    assert talk.asked() == [("subscribe", [TICKER])]
    assert blamed(talk.refuse(30039)) == [TICKER]
    assert talk.asked() == [("subscribe", [TRADE])]


@pytest.mark.parametrize("place", [0, 37, 99])
def test_one_bad_channel_among_a_hundred_is_found_and_the_others_live(
    place: int,
) -> None:
    """The exchange refuses a whole request for it, and does not say which it is."""
    talk = Talk(V5)
    names = books(100)
    bad = names[place]

    def answer(op: str, asked: list[str]) -> list[Event]:
        if bad in asked:
            return talk.refuse(NO_SUCH, "Invalid request", talk.ids[-1])
        return obeys(talk)(op, asked)

    talk.want(*names)
    events, asked = talk.wait(600, answer)

    assert blamed(events) == [bad]
    flowing = {n for n in names if talk.phase(n) is Phase.FLOWING}
    assert flowing == set(names) - {bad}
    # Two for each halving of a hundred.
    assert len(asked) <= 1 + 2 * 7
    assert talk.wait(HOUR) == ([], [])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_those_that_were_acknowledged_stay_and_the_bad_one_is_asked_for_alone(
    place: int,
) -> None:
    """Each is answered by itself, whatever comes first."""
    talk = Talk(V5)
    names = books(3)

    def answer(op: str, asked: list[str]) -> list[Event]:
        events = []
        for name in asked:
            if name == names[place]:
                events += talk.refuse(NO_SUCH, to=talk.ids[-1])
            else:
                talk.ack(name, to=talk.ids[-1])
                talk.push(name)
        return events

    talk.want(*names)
    events, asked = talk.wait(60, answer)

    assert blamed(events) == [names[place]]
    assert asked[1:] in ([], [("subscribe", [names[place]])])
    assert {talk.phase(n) for n in names if n != names[place]} == {Phase.FLOWING}


def test_after_an_error_that_may_mean_several_the_others_have_a_moment() -> None:
    """Under v5, where it is known to answer the request, and not some other one."""
    talk = Talk(V5)
    names = books(4)
    talk.want(*names)
    talk.asked()
    talk.now = 3.0

    (event,) = talk.refuse(NO_SUCH, to=talk.ids[-1])

    assert isinstance(event, Trouble)
    talk.ack(names[0], to=talk.ids[-1])
    assert talk.wait(GRACE - 0.001) == ([], [])
    talk.now = 3.0 + GRACE
    assert talk.asked() == [("subscribe", names[1:3])]


@pytest.mark.parametrize("code", [TOO_FREQUENT, INTERNAL])
@pytest.mark.parametrize("message", ["busy", f"{DEPTH}: busy"])
def test_a_passing_error_is_asked_again_with_back_off(
    talk: Talk, code: int, message: str
) -> None:
    talk.want(DEPTH)
    sent = []
    for _ in range(5):
        while not talk.asked():
            talk.now = talk.session.due
        sent.append(talk.now)
        (event,) = talk.refuse(code, message)
        assert isinstance(event, Trouble)
    assert [b - a for a, b in itertools.pairwise(sent)] == [1, 2, 4, 8]


def test_what_a_passing_error_meant_is_asked_for_again_together(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    talk.refuse(TOO_FREQUENT)
    talk.now = 1.0
    assert talk.asked() == [("subscribe", [DEPTH, TRADE])]


def test_a_passing_error_that_names_one_leaves_the_others_asked(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    talk.refuse(INTERNAL, f"{DEPTH}: internal error")
    assert (talk.phase(DEPTH), talk.phase(TRADE)) == (Phase.IDLE, Phase.ASKED)


def test_an_error_without_a_request_changes_nothing(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    (event,) = talk.refuse(NO_CHANNEL, "out of the blue")
    said = f"an error that answers no request: out of the blue (error {NO_CHANNEL})"
    assert event == Unasked("error", said)
    assert talk.phase(DEPTH) is Phase.FLOWING


def test_an_error_that_names_another_channel_is_not_the_requests(talk: Talk) -> None:
    """The answer about one channel comes after its deadline, while another is asked."""
    talk.want(DEPTH)
    talk.asked()
    talk.now = 10.0
    talk.tick()
    talk.want(TRADE)
    assert talk.asked() == [("subscribe", [TRADE])]
    events = talk.refuse(NO_CHANNEL, f"Channel {DEPTH} doesn't exist")
    assert TRADE not in blamed(events)
    assert talk.ack(TRADE) == [talk.acknowledged(TRADE)]


def test_a_refused_channel_that_is_dropped_and_wanted_is_asked_for_anew(
    talk: Talk,
) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.refuse(NO_CHANNEL)
    talk.drop(DEPTH)
    assert talk.session.subscriptions == {}
    talk.subscribe(DEPTH)


def test_a_refusal_of_what_nobody_wants_any_more_forgets_it(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.drop(DEPTH)
    assert blamed(talk.refuse(NO_CHANNEL)) == [DEPTH]
    assert talk.session.subscriptions == {}


# --- Ids ----------------------------------------------------------------------------


def test_each_request_has_an_id_of_its_own() -> None:
    talk = Talk(V5)
    talk.want(BOOK)
    talk.asked()
    talk.ack(BOOK, to=talk.ids[-1])
    talk.drop(BOOK)
    talk.asked()

    assert len(talk.ids) == len(set(talk.ids)) == 2
    assert talk.left(BOOK, to=talk.ids[-1]) == []


def asked_twice() -> tuple[Talk, str, str]:
    """A talk whose first request was given up, and its second waits; their ids."""
    talk = Talk(V5)
    talk.want(TRADES)
    talk.asked()
    talk.wait(ACK + 1)
    assert talk.phase(TRADES) is Phase.ASKED
    first, second = talk.ids
    return talk, first, second


def test_an_error_with_another_requests_id_answers_nothing() -> None:
    talk, first, second = asked_twice()

    (event,) = talk.refuse(NO_SUCH, "late", to=first)

    said = f"an error that answers no request: late (error {NO_SUCH})"
    assert event == Unasked("error", said)
    assert talk.phase(TRADES) is Phase.ASKED
    assert blamed(talk.refuse(NO_SUCH, to=second)) == [TRADES]


def test_an_acknowledgement_with_another_requests_id_closes_no_request() -> None:
    talk, first, second = asked_twice()
    talk.want(BOOK)

    assert talk.ack(TRADES, to=first) == [talk.acknowledged(TRADES)]
    assert talk.asked() == []
    # It changes nothing but answers the request.
    assert talk.ack(TRADES, to=second) == []
    assert talk.asked() == [("subscribe", [BOOK])]


def test_a_request_that_only_its_predecessors_answer_reached_is_given_up() -> None:
    talk, first, _ = asked_twice()
    talk.ack(TRADES, to=first)
    talk.want(BOOK)

    _, asked = talk.wait(ACK, lambda op, names: talk.ack(*names))

    assert asked == [("subscribe", [BOOK])]
    assert talk.phase(TRADES) is Phase.ACKNOWLEDGED


def test_answers_without_an_id_answer_all_the_same() -> None:
    """So the exchange was until 2023."""
    talk = Talk(V5)
    talk.want(TRADES)
    talk.asked()
    talk.ack(TRADES)
    talk.want(ORDERS)

    assert talk.asked() == [("subscribe", [ORDERS])]
    assert blamed(talk.refuse(NO_SUCH)) == [ORDERS]


def test_an_end_with_another_requests_id_lets_the_open_one_wait() -> None:
    talk = Talk(V5)
    talk.subscribe(TRADES)
    talk.drop(TRADES)
    talk.asked()

    talk.left(TRADES, to="99")

    # The answer stays away, and what it was about is forgotten already.
    assert talk.wait(HOUR)[1] == []
    assert talk.session.subscriptions == {}


def test_an_error_after_such_an_end_means_nobody() -> None:
    talk = Talk(V5)
    talk.subscribe(TRADES)
    talk.drop(TRADES)
    talk.asked()
    talk.left(TRADES, to="99")

    assert blamed(talk.refuse(NO_SUCH, to=talk.ids[-1])) == []
    talk.subscribe(TRADES)


# --- Terminated ---------------------------------------------------------------------


def terminate(talk: Talk, kind: str = "orders") -> list[Event]:
    return talk.session.receive(Terminated(kind, "too many connections"), talk.now)


def test_the_end_of_a_kind_of_channel_refuses_all_of_it_and_no_other() -> None:
    talk = Talk(V5)
    other = "orders:ETH-USDT"
    talk.subscribe(ORDERS, other, TRADES)
    talk.push(ORDERS)

    events = terminate(talk)

    assert blamed(events) == [ORDERS, other]
    (event, _) = events
    assert was_refused(event)
    assert "too many connections" in str(event.error)
    assert (talk.phase(ORDERS), talk.phase(TRADES)) == (
        Phase.REFUSED,
        Phase.ACKNOWLEDGED,
    )
    assert talk.usable(ORDERS) is None
    assert terminate(talk) == []
    assert talk.wait(HOUR) == ([], [])


def test_the_end_of_a_kind_is_no_end_of_one_whose_name_begins_like_it() -> None:
    talk = Talk(V5)
    talk.subscribe("orders-algo:BTC-USDT")

    assert terminate(talk) == []


def test_a_kind_may_end_before_it_was_acknowledged() -> None:
    talk = Talk(V5)
    talk.want(ORDERS)
    talk.asked()

    assert blamed(terminate(talk)) == [ORDERS]
    talk.drop(ORDERS)
    assert talk.session.subscriptions == {}
    # No acknowledgement will come, and nothing breaks when it is given up.
    assert talk.wait(HOUR)[1] == []


def test_a_kind_that_ended_may_be_wanted_anew() -> None:
    talk = Talk(V5)
    talk.subscribe(ORDERS)
    terminate(talk)

    talk.subscribe(ORDERS)

    assert talk.phase(ORDERS) is Phase.ACKNOWLEDGED


@pytest.mark.parametrize("acknowledged", [False, True])
def test_what_nobody_wants_of_a_kind_that_ended_is_forgotten(
    acknowledged: bool,
) -> None:
    talk = Talk(V5)
    talk.want(ORDERS)
    talk.asked()
    if acknowledged:
        talk.ack(ORDERS)
    talk.drop(ORDERS)

    assert blamed(terminate(talk)) == [ORDERS]

    assert talk.session.subscriptions == {}
    assert talk.wait(HOUR)[1] == []


# --- The login ----------------------------------------------------------------------


@pytest.fixture
def guest() -> Talk:
    """A talk that begins with a login."""
    return Talk(V5, login=True)


def test_the_login_goes_before_anything_else(guest: Talk) -> None:
    guest.want(ORDERS)
    guest.now = 2.5

    assert guest.asked() == [("login", ["2.5"])]
    guest.want(TRADES)
    assert guest.asked() == []
    assert guest.session.receive(LoggedIn(), guest.now) == []
    assert guest.asked() == [("subscribe", [ORDERS, TRADES])]


def test_a_connection_that_nobody_needs_does_not_log_in(guest: Talk) -> None:
    assert guest.wait(60) == ([], [])


def test_a_login_that_is_not_answered_is_said_and_made_anew(guest: Talk) -> None:
    guest.want(ORDERS)
    guest.tick()
    guest.now = math.nextafter(ACK, 0)
    assert guest.troubles() == []
    guest.now = ACK

    (trouble,) = guest.troubles()

    assert isinstance(trouble, Stalled)
    assert str(trouble) == "no acknowledgement of login came within 10 s"
    assert guest.wait(0.999)[1] == []
    guest.now = ACK + 1
    assert guest.asked() == [("login", ["11"])]
    assert guest.session.receive(LoggedIn(), guest.now) == []
    assert guest.asked() == [("subscribe", [ORDERS])]


def test_frames_that_wait_may_hold_the_answer_to_a_login(guest: Talk) -> None:
    guest.want(ORDERS)
    guest.tick()
    guest.now, guest.drained = ACK, False

    assert guest.troubles() == []
    assert guest.session.receive(LoggedIn(), guest.now) == []
    assert guest.asked() == [("subscribe", [ORDERS])]


def test_a_login_that_is_accepted_late_is_accepted(guest: Talk) -> None:
    """A second one would be refused for being the second (60031)."""
    guest.want(ORDERS)
    guest.tick()
    guest.now = ACK
    guest.tick()

    guest.session.receive(LoggedIn(), guest.now)

    guest.now = ACK + 1
    assert guest.asked() == [("subscribe", [ORDERS])]


def test_a_passing_refusal_of_a_login_is_tried_again_with_back_off(
    guest: Talk,
) -> None:
    guest.want(ORDERS)
    codes = []

    def answer(op: str, names: list[str]) -> list[Event]:
        (event,) = guest.refuse(EXPIRED, "Timestamp request expired")
        assert isinstance(event, Trouble)
        assert isinstance(event.error, LoginRejected)
        codes.append(event.error.code)
        return []

    _, asked = guest.wait(2 * HOUR, answer)

    # Each has the time at which it was sent.
    times = [float(names[0]) for _, names in asked]
    waits = [late - early for early, late in itertools.pairwise(times)]
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert max(waits) == Timeouts().retry_cap
    assert {op for op, _ in asked} == {"login"}
    assert set(codes) == {EXPIRED}


def test_a_key_that_is_refused_is_not_offered_again(guest: Talk) -> None:
    guest.want(ORDERS)
    guest.tick()

    (event,) = guest.refuse(NO_KEY, "Invalid apiKey")

    assert isinstance(event, LockedOut)
    assert (event.error.code, event.error.message) == (NO_KEY, "Invalid apiKey")
    guest.want(TRADES)
    assert guest.wait(HOUR) == ([], [])
    guest.drop(ORDERS)
    guest.drop(TRADES)
    assert guest.session.subscriptions == {}


@pytest.mark.parametrize("code", [NO_KEY, EXPIRED])
def test_a_refused_login_repeats_no_secret(guest: Talk, code: str) -> None:
    guest.want(ORDERS)
    guest.tick()

    (event,) = guest.refuse(code, f"wrong: {SECRET}")

    assert isinstance(event, (LockedOut, Trouble))
    assert str(event.error) == f"login was refused: wrong: ... (error {code})"


def test_an_error_before_the_login_repeats_no_secret(guest: Talk) -> None:
    (event,) = guest.refuse(NO_KEY, f"wrong: {SECRET}")

    assert isinstance(event, Unasked)
    assert SECRET not in event.sentence


@pytest.mark.parametrize("code", ["60031", "60010"])
def test_a_second_login_that_is_refused_for_being_one_is_accepted(
    guest: Talk, code: str
) -> None:
    """The first one was accepted, and its answer stayed away."""
    guest.want(ORDERS)
    guest.tick()
    guest.wait(ACK + 1)

    assert guest.refuse(code, "login repeated") == []

    assert guest.asked() == [("subscribe", [ORDERS])]
    # From here on it answers nothing.
    (event,) = guest.refuse(code, "login repeated", to="0")
    assert isinstance(event, Unasked)


def test_a_login_that_was_never_sent_is_not_accepted(guest: Talk) -> None:
    guest.want(ORDERS)

    assert guest.session.receive(LoggedIn(), guest.now) == [Unasked("login")]
    assert guest.asked() == [("login", ["0"])]


def test_nobody_is_let_in_after_being_locked_out(guest: Talk) -> None:
    guest.want(ORDERS)
    guest.tick()
    guest.refuse(NO_KEY)

    assert guest.session.receive(LoggedIn(), guest.now) == [Unasked("login")]
    assert guest.wait(HOUR) == ([], [])


def test_a_connection_that_is_locked_out_goes_on_pinging(guest: Talk) -> None:
    guest.want(ORDERS)
    guest.tick()
    guest.refuse(NO_KEY)
    pings = 0

    while guest.now < 60:
        pings += guest.tick()[1].count("ping")
        guest.now = guest.session.due

    assert pings == 11


def test_an_error_with_an_id_is_not_the_logins(guest: Talk) -> None:
    guest.want(ORDERS)
    guest.tick()

    (event,) = guest.refuse(NO_KEY, "no", to="77")

    assert isinstance(event, Unasked)
    assert guest.session.receive(LoggedIn(), guest.now) == []
    assert guest.asked() == [("subscribe", [ORDERS])]


def test_a_login_is_a_request_of_the_budget() -> None:
    guest = Talk(V5, limit=1, login=True)
    guest.want(ORDERS)
    guest.log_in()

    (trouble,) = guest.troubles()

    assert isinstance(trouble, BudgetSpent)
    assert trouble.op == "subscribe"
    guest.now = HOUR
    assert guest.asked() == [("subscribe", [ORDERS])]


def test_a_login_waits_for_the_budget_and_says_so_once_to_whoever_is_new() -> None:
    guest = Talk(V5, limit=1, login=True)
    guest.budget.spend(0.0)
    guest.now = 60.0
    guest.want(ORDERS)

    (trouble,) = guest.troubles()

    assert isinstance(trouble, BudgetSpent)
    assert (trouble.op, trouble.wait) == ("login", HOUR - 60)
    for _ in range(3):
        guest.ack("books5:NEVER-WANTED")
        guest.want(ORDERS)
        assert guest.troubles() == []
    guest.want(TRADES)
    (again,) = guest.troubles()
    assert isinstance(again, BudgetSpent)
    assert guest.troubles() == []
    guest.now = HOUR
    assert guest.asked() == [("login", ["3600"])]


@pytest.mark.parametrize("login", [False, True])
def test_a_login_that_nobody_asked_for_is_counted(login: bool) -> None:
    talk = Talk(V5, login=login)
    talk.want(TRADES)
    if login:
        talk.log_in()
    talk.tick()

    assert talk.session.receive(LoggedIn(), talk.now) == [Unasked("login")]
    assert talk.ack(TRADES) == [talk.acknowledged(TRADES)]


# --- A login that is lost -----------------------------------------------------------

NOT_LOGGED_IN = "60011"


@pytest.fixture
def member(guest: Talk) -> Talk:
    """A talk that is logged in."""
    guest.want(ORDERS)
    guest.log_in()
    return guest


def test_a_login_that_is_lost_is_made_again_and_then_the_subscriptions(
    member: Talk,
) -> None:
    assert member.asked() == [("subscribe", [ORDERS])]

    (trouble,) = member.refuse(NOT_LOGGED_IN, "Please log in", member.ids[-1])

    assert isinstance(trouble, Trouble)
    assert str(trouble.error).endswith("(error 60011)")
    assert member.wait(0.999)[1] == []
    member.now = 1.0
    assert member.asked() == [("login", ["1"])]
    member.session.receive(LoggedIn(), member.now)
    assert member.asked() == [("subscribe", [ORDERS])]


def test_every_channel_of_a_lost_login_has_ended(member: Talk) -> None:
    """The exchange that has forgotten the login pushes none of them any more."""
    member.asked()
    member.ack(ORDERS)
    member.push(ORDERS)
    other = "orders:ETH-USDT"
    member.want(other)
    member.asked()

    trouble, ended = member.refuse(NOT_LOGGED_IN)

    assert isinstance(trouble, Trouble)
    assert ended == member.ended(ORDERS)
    member.now = 1.0
    member.log_in()
    assert member.asked() == [("subscribe", [ORDERS, other])]


def test_a_login_that_is_lost_again_and_again_is_told_once_and_made_more_rarely(
    member: Talk,
) -> None:
    logins: list[float] = []

    def answer(op: str, names: list[str]) -> list[Event]:
        if op == "login":
            logins.append(member.now)
            return member.session.receive(LoggedIn(), member.now)
        return member.refuse(NOT_LOGGED_IN)

    events, _ = member.wait(2 * HOUR, answer)

    assert [type(e) for e in events if isinstance(e, Trouble)] == [Trouble]
    waits = [b - a for a, b in itertools.pairwise([0.0, *logins])]
    assert waits[:5] == [1, 2, 4, 8, 16]


def test_a_login_that_lasted_is_made_again_soon(member: Talk) -> None:
    for _ in range(3):
        member.asked()
        member.ack(ORDERS)
        member.wait(STEADY)
        member.want(TRADES)
        member.asked()
        assert isinstance(member.refuse(NOT_LOGGED_IN)[0], Trouble)
        member.drop(TRADES)
        member.wait(0.999)
        member.now += 0.001
        member.log_in()


def test_more_errors_of_one_lost_login_refuse_no_key(member: Talk) -> None:
    member.want(TRADES)
    member.asked()

    told = [member.refuse(NOT_LOGGED_IN) for _ in range(3)]
    member.now = 1.0
    ((op, _),) = member.asked()
    told.append(member.refuse(NOT_LOGGED_IN))

    assert op == "login"
    assert told[1:] == [[Unasked("error")]] * 3
    assert member.session.receive(LoggedIn(), member.now) == []


def test_without_a_login_the_error_is_a_refusal() -> None:
    talk = Talk(V5)
    talk.want(TRADES)
    talk.asked()

    assert blamed(talk.refuse(NOT_LOGGED_IN, to=talk.ids[-1])) == [TRADES]


# --- The first push -----------------------------------------------------------------


def test_a_channel_without_its_first_push_is_left_and_asked_for_again(
    talk: Talk,
) -> None:
    """The connection is kept: v3's depth5 may be silent on a quiet market."""
    talk.subscribe(DEPTH)
    assert talk.wait(FIRST_PUSH - 0.001) == ([], [])
    talk.now = FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    assert talk.usable(DEPTH) is None
    assert talk.left(DEPTH) == []
    assert talk.asked() == [("subscribe", [DEPTH])]
    talk.ack(DEPTH)
    # Twice as long this time.
    assert talk.wait(2 * FIRST_PUSH - 0.001) == ([], [])
    talk.now = 3 * FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_a_first_push_in_time_ends_the_back_off(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.now = FIRST_PUSH
    talk.tick()
    talk.left(DEPTH)
    talk.tick()
    talk.ack(DEPTH)
    talk.push(DEPTH)
    assert talk.wait(HOUR) == ([], [])
    assert talk.session.subscriptions[DEPTH].attempts == 0


def test_a_channel_that_needs_no_snapshot_may_be_silent_for_ever(talk: Talk) -> None:
    talk.subscribe(TRADE)
    assert talk.wait(2 * HOUR) == ([], [])


def test_a_leaving_that_is_not_answered_is_taken_as_left(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.now = FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    talk.now += 10
    (trouble,) = talk.troubles()
    assert str(trouble).startswith(f"no acknowledgement of unsubscribe {DEPTH}")
    assert talk.phase(DEPTH) in (Phase.DRAINING, Phase.IDLE)
    assert talk.wait(3)[1] == [("subscribe", [DEPTH])]


def test_a_leaving_that_is_refused_is_taken_as_left(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.now = FIRST_PUSH
    talk.tick()
    (event,) = talk.refuse(NO_CHANNEL)
    assert isinstance(event, Trouble)
    assert talk.asked() == [("subscribe", [DEPTH])]


def test_a_flowing_channel_that_another_wants_needs_a_snapshot_for_that_one(
    talk: Talk,
) -> None:
    """The new holder has no snapshot, and a quiet market would never send one."""
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.session.want(DEPTH, "another", True, talk.now)
    assert talk.phase(DEPTH) is Phase.ACKNOWLEDGED
    talk.now += 10
    assert talk.asked() == [("unsubscribe", [DEPTH])]


# --- Dropping -----------------------------------------------------------------------


def test_dropping_unsubscribes_and_then_forgets(talk: Talk) -> None:
    talk.subscribe(DEPTH, TRADE)
    talk.push(DEPTH)
    talk.drop(DEPTH)
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    assert talk.usable(DEPTH) is None
    assert talk.left(DEPTH) == []
    assert talk.usable(DEPTH) is None
    talk.wait(PERIOD)
    assert set(talk.session.subscriptions) == {TRADE}
    assert talk.wait(HOUR) == ([], [])


def test_dropping_what_was_never_asked_for_asks_nothing(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.drop(DEPTH)
    talk.drop(TRADE)
    assert talk.asked() == []
    assert talk.session.subscriptions == {}


def test_leaving_goes_before_asking(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.drop(DEPTH)
    talk.want(TRADE)
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    talk.left(DEPTH)
    assert talk.asked() == [("subscribe", [TRADE])]


def test_dropped_while_its_acknowledgement_is_on_the_way_and_not_wanted(
    talk: Talk,
) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.drop(DEPTH)
    assert talk.asked() == []
    talk.ack(DEPTH)
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_dropped_while_its_acknowledgement_is_on_the_way_and_wanted_again(
    talk: Talk,
) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.drop(DEPTH)
    talk.want(DEPTH)
    assert talk.asked() == []
    assert talk.ack(DEPTH) == [talk.acknowledged(DEPTH)]
    assert talk.wait(5) == ([], [])


def test_wanted_again_while_it_is_being_left(talk: Talk) -> None:
    talk.subscribe(TRADE)
    talk.drop(TRADE)
    talk.asked()
    talk.want(TRADE)
    assert talk.asked() == []
    talk.left(TRADE)
    assert talk.asked() == [("subscribe", [TRADE])]


def test_what_nobody_wants_and_nobody_answers_is_let_go(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.drop(DEPTH)
    (events, asked) = talk.wait(10)
    assert [type(event) for event in events] == [Trouble]
    assert asked == []
    assert talk.wait(HOUR) == ([], [])


def test_a_late_acknowledgement_of_what_nobody_wants_is_undone(talk: Talk) -> None:
    """What the exchange acknowledged and nobody wants would be pushed for ever."""
    talk.want(DEPTH)
    talk.asked()
    talk.drop(DEPTH)
    talk.wait(11)
    talk.ack(DEPTH)
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_dropped_and_its_leaving_refused_is_forgotten(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.drop(DEPTH)
    talk.tick()
    (event,) = talk.refuse(NO_CHANNEL)
    assert isinstance(event, Trouble)
    talk.wait(PERIOD)
    assert talk.session.subscriptions == {}


# --- Unasked endings ----------------------------------------------------------------


def test_a_channel_that_the_exchange_ends_is_asked_for_again_but_not_at_once(
    talk: Talk,
) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.left(DEPTH)
    assert talk.usable(DEPTH) is None
    assert talk.asked() == []
    talk.now += 1
    assert talk.asked() == [("subscribe", [DEPTH])]


def test_a_channel_that_the_exchange_ends_is_told_to_its_holder(talk: Talk) -> None:
    """State follows what the exchange acknowledged: its book is no longer live."""
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    assert talk.left(DEPTH) == [talk.ended(DEPTH)]


def test_an_exchange_that_ends_a_channel_each_time_is_asked_ever_less_often(
    talk: Talk,
) -> None:
    talk.subscribe(TRADE)
    waits = []
    for _ in range(4):
        ended = talk.now
        talk.left(TRADE)
        while not talk.asked():
            talk.now = talk.session.due
        waits.append(talk.now - ended)
        talk.ack(TRADE)
    assert waits == [1, 2, 4, 8]


# --- What cannot be read ------------------------------------------------------------


@pytest.mark.parametrize("name", [DEPTH, None])
def test_after_an_unreadable_push_the_next_is_owed(
    talk: Talk, name: str | None
) -> None:
    """A quiet market might not push for an hour, so the channel is asked for again."""
    talk.subscribe(DEPTH, TRADE)
    talk.push(DEPTH)
    talk.now = 5.0
    talk.spoil(name, talk.now)
    assert (talk.phase(DEPTH), talk.phase(TRADE)) == (
        Phase.ACKNOWLEDGED,
        Phase.ACKNOWLEDGED,
    )
    assert talk.wait(FIRST_PUSH - 0.001) == ([], [])
    talk.now = 5.0 + FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_a_good_push_after_an_unreadable_one_settles_it(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.spoil(DEPTH, talk.now)
    talk.push(DEPTH)
    assert talk.wait(HOUR) == ([], [])


def test_more_unreadable_pushes_do_not_put_off_the_moment(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.spoil(DEPTH, 0.0)
    talk.now = FIRST_PUSH - 1
    talk.spoil(DEPTH, talk.now)
    talk.now = FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_an_unreadable_push_of_a_stranger_changes_nothing(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.spoil("spot/depth5:NEVER-WANTED", talk.now)
    assert talk.phase(DEPTH) is Phase.FLOWING


def test_a_channel_that_needs_no_snapshot_needs_none_after_an_unreadable_push(
    talk: Talk,
) -> None:
    talk.subscribe(TRADE)
    talk.push(TRADE)
    talk.spoil(None, talk.now)
    assert talk.phase(TRADE) is Phase.FLOWING


# --- Broken books -------------------------------------------------------------------


def whole(talk: Talk, *names: str) -> None:
    """Subscribe to books, and have each pushed."""
    talk.subscribe(*names)
    for name in names:
        talk.push(name)


def obedient_exchange(
    talk: Talk, snapshots: bool = True, latency: float = 0.0
) -> Callable[[str, list[str]], list[Event]]:
    """An exchange that does as it is asked, *latency* seconds later."""

    def answer(op: str, names: list[str]) -> list[Event]:
        talk.now += latency
        for name in names:
            if op == "unsubscribe":
                assert talk.left(name) == []
                continue
            assert talk.ack(name) == [talk.acknowledged(name)]
            if snapshots:
                talk.push(name)
        return []

    return answer


def test_a_broken_book_is_left_and_asked_for_again_alone(talk: Talk) -> None:
    whole(talk, WHOLE, OTHER)
    talk.subscribe(TRADE)
    before = {n: talk.phase(n) for n in (OTHER, TRADE)}

    talk.spoil(WHOLE, talk.now)

    assert talk.session.due == -math.inf
    assert talk.phase(WHOLE) is Phase.BROKEN
    events, asked = talk.wait(HOUR, obedient_exchange(talk))
    assert asked == [("unsubscribe", [WHOLE]), ("subscribe", [WHOLE])]
    assert events == []
    assert talk.phase(WHOLE) is Phase.FLOWING
    assert {n: talk.phase(n) for n in (OTHER, TRADE)} == before


def test_books_that_break_together_are_left_in_one_request(talk: Talk) -> None:
    whole(talk, WHOLE, OTHER)
    talk.subscribe(DEPTH, TRADE)

    # Whose the message was cannot be told.
    talk.spoil(None, talk.now)

    assert talk.wait(5, obedient_exchange(talk))[1] == [
        ("unsubscribe", [WHOLE, OTHER]),
        ("subscribe", [WHOLE, OTHER]),
    ]
    assert talk.phase(TRADE) is Phase.ACKNOWLEDGED


def test_nothing_of_a_broken_book_is_used_before_it_is_acknowledged_anew(
    talk: Talk,
) -> None:
    whole(talk, WHOLE)
    talk.spoil(WHOLE, talk.now)
    assert talk.usable(WHOLE) is None
    assert talk.asked() == [("unsubscribe", [WHOLE])]
    assert talk.usable(WHOLE) is None
    # Until the unsubscribe is acknowledged nothing is asked, whatever else comes.
    assert talk.ack(WHOLE) == [Unasked("ack")]
    assert talk.wait(ACK - 0.001) == ([], [])
    talk.left(WHOLE)
    assert talk.usable(WHOLE) is None
    assert talk.asked() == [("subscribe", [WHOLE])]
    assert talk.usable(WHOLE) is None
    talk.ack(WHOLE)
    subscription = talk.usable(WHOLE)
    assert subscription is not None
    assert subscription.phase is Phase.ACKNOWLEDGED


def test_a_broken_book_that_breaks_again_changes_nothing(talk: Talk) -> None:
    whole(talk, WHOLE)
    for _ in range(5):
        talk.spoil(WHOLE, talk.now)
    assert talk.asked() == [("unsubscribe", [WHOLE])]
    talk.spoil(None, talk.now)
    talk.left(WHOLE)
    assert talk.asked() == [("subscribe", [WHOLE])]


def test_a_leaving_that_is_never_acknowledged_is_sent_once_more_and_then_taken_as_left(
    talk: Talk,
) -> None:
    whole(talk, WHOLE)
    talk.spoil(WHOLE, talk.now)
    for _ in range(2):
        assert talk.asked() == [("unsubscribe", [WHOLE])]
        talk.now += ACK

        (trouble,) = talk.troubles()

        assert str(trouble).startswith(f"no acknowledgement of unsubscribe {WHOLE}")
        assert talk.usable(WHOLE) is None
        assert talk.asked() == []
        # Not at once, should nobody be there.
        talk.now = subscriptions_due(talk.session)
    # The exchange may still push the old stream, and sends no second snapshot then.
    assert talk.wait(3, obedient_exchange(talk, snapshots=False))[1] == [
        ("subscribe", [WHOLE])
    ]
    assert talk.phase(WHOLE) is Phase.ACKNOWLEDGED
    asked = talk.wait(10 * FIRST_PUSH, obedient_exchange(talk))[1]
    assert asked == [("unsubscribe", [WHOLE]), ("subscribe", [WHOLE])]
    assert talk.phase(WHOLE) is Phase.FLOWING
    assert talk.wait(HOUR) == ([], [])


def test_a_second_leaving_that_is_acknowledged_brings_a_snapshot(talk: Talk) -> None:
    whole(talk, WHOLE)
    talk.spoil(WHOLE, talk.now)
    assert talk.asked() == [("unsubscribe", [WHOLE])]

    _, asked = talk.wait(ACK + 5, obedient_exchange(talk))

    assert asked == [("unsubscribe", [WHOLE]), ("subscribe", [WHOLE])]
    assert talk.phase(WHOLE) is Phase.FLOWING
    assert talk.wait(HOUR) == ([], [])


def test_of_books_that_are_left_together_in_vain_each_is_left_once_more(
    talk: Talk,
) -> None:
    whole(talk, WHOLE, OTHER)
    talk.spoil(None, talk.now)
    assert talk.asked() == [("unsubscribe", [WHOLE, OTHER])]

    _, asked = talk.wait(ACK + 5, obedient_exchange(talk))

    # In halves, as all that had no answer.
    assert sorted(asked) == [
        ("subscribe", [WHOLE]),
        ("subscribe", [OTHER]),
        ("unsubscribe", [WHOLE]),
        ("unsubscribe", [OTHER]),
    ]
    assert {talk.phase(name) for name in (WHOLE, OTHER)} == {Phase.FLOWING}


def test_a_snapshot_that_stays_away_after_a_break_is_owed_for_the_first_time(
    talk: Talk,
) -> None:
    """To be left for its break is no attempt that was in vain."""
    whole(talk, WHOLE)
    talk.spoil(WHOLE, talk.now)
    assert len(talk.wait(1, obedient_exchange(talk, snapshots=False))[1]) == 2
    subscription = talk.session.subscriptions[WHOLE]
    assert (subscription.phase, subscription.attempts) == (Phase.ACKNOWLEDGED, 0)

    _, asked = talk.wait(FIRST_PUSH - 1.001, obedient_exchange(talk))
    assert asked == []
    _, asked = talk.wait(0.002, obedient_exchange(talk))

    assert asked == [("unsubscribe", [WHOLE]), ("subscribe", [WHOLE])]


def test_a_snapshot_that_never_comes_is_asked_for_again_ever_more_rarely(
    talk: Talk,
) -> None:
    whole(talk, WHOLE)
    talk.spoil(WHOLE, talk.now)
    sent: list[float] = []

    def answer(op: str, names: list[str]) -> list[Event]:
        sent.append(talk.now)
        return obedient_exchange(talk, snapshots=False)(op, names)

    events, asked = talk.wait(HOUR, answer)

    assert events == []
    pair = [("unsubscribe", [WHOLE]), ("subscribe", [WHOLE])]
    assert asked == pair * (len(asked) // 2)
    waits = [b - a for a, b in itertools.pairwise(sent[::2])]
    assert waits[0] >= FIRST_PUSH
    assert all(b in (2 * a, Timeouts().retry_cap) for a, b in itertools.pairwise(waits))


def test_a_book_that_breaks_again_and_again_is_asked_for_ever_more_rarely() -> None:
    """Beside the share of the broken, which is large enough here for all five."""
    talk = Talk(limit=480)
    whole(talk, WHOLE)
    waits = []
    for _ in range(5):
        broken = talk.now
        talk.spoil(WHOLE, talk.now)
        while talk.phase(WHOLE) is Phase.BROKEN:
            talk.tick()
            if talk.phase(WHOLE) is Phase.BROKEN:
                talk.now = talk.session.due
        waits.append(talk.now - broken)
        talk.left(WHOLE)
        assert talk.asked() == [("subscribe", [WHOLE])]
        talk.ack(WHOLE)
        talk.push(WHOLE)
    assert waits == [0, 1, 2, 4, 8]


def test_a_book_that_holds_for_a_minute_is_mended_at_once_when_it_breaks(
    talk: Talk,
) -> None:
    whole(talk, WHOLE)
    for _ in range(4):
        talk.spoil(WHOLE, talk.now)
        asked = talk.wait(STEADY + 8, obedient_exchange(talk))[1]
        assert asked == [("unsubscribe", [WHOLE]), ("subscribe", [WHOLE])]


def test_a_book_that_is_ended_unasked_while_it_is_broken_is_asked_for_again(
    talk: Talk,
) -> None:
    whole(talk, WHOLE)
    talk.session.subscriptions[WHOLE].breaks = 3
    talk.spoil(WHOLE, talk.now)

    assert talk.left(WHOLE) == [talk.ended(WHOLE)]

    assert talk.wait(8, obedient_exchange(talk))[1] == [("subscribe", [WHOLE])]
    assert talk.phase(WHOLE) is Phase.FLOWING


@pytest.mark.parametrize("spent", [False, True])
def test_a_broken_book_that_is_closed_is_left_at_once(spent: bool) -> None:
    """Neither its back-off nor the share of the broken holds that up."""
    talk = Talk(limit=8)
    whole(talk, WHOLE, OTHER)
    talk.session.subscriptions[WHOLE].breaks = 0 if spent else 9
    if spent:
        spend_share(talk, OTHER)
    talk.spoil(WHOLE, talk.now)
    assert talk.asked() == []

    talk.drop(WHOLE)

    assert talk.asked() == [("unsubscribe", [WHOLE])]
    assert talk.left(WHOLE) == []
    talk.wait(PERIOD)
    assert WHOLE not in talk.session.subscriptions


def test_a_broken_book_that_is_closed_and_wanted_again_is_mended(talk: Talk) -> None:
    whole(talk, WHOLE)
    talk.session.subscriptions[WHOLE].breaks = 3
    talk.spoil(WHOLE, talk.now)
    talk.drop(WHOLE)
    talk.session.want(WHOLE, "another", True, talk.now, True)

    assert talk.wait(5, obedient_exchange(talk))[1] == [
        ("unsubscribe", [WHOLE]),
        ("subscribe", [WHOLE]),
    ]
    assert talk.session.subscriptions[WHOLE].target == "another"


def test_a_flowing_book_that_another_wants_is_subscribed_anew(talk: Talk) -> None:
    """The new holder has no snapshot, and no update brings it one."""
    whole(talk, WHOLE)

    subscription = talk.session.want(WHOLE, "another", True, talk.now, True)

    assert not subscription.acknowledged
    assert talk.wait(5, obedient_exchange(talk))[1] == [
        ("unsubscribe", [WHOLE]),
        ("subscribe", [WHOLE]),
    ]


def test_a_book_that_the_exchange_ends_for_good_while_it_is_broken_is_refused() -> None:
    talk = Talk(V5)
    talk.subscribe(BOOKS)
    talk.spoil(BOOKS, 0.0)

    assert blamed(terminate(talk, "books")) == [BOOKS]
    assert talk.wait(HOUR) == ([], [])


def spend_share(talk: Talk, name: str) -> int:
    """Break *name* until no more may be mended at once; how often that was."""
    mended = 0
    while True:
        talk.session.subscriptions[name].breaks = 0
        talk.spoil(name, talk.now)
        asked = talk.asked()
        if not asked:
            return mended
        assert asked == [("unsubscribe", [name])]
        talk.left(name)
        assert talk.asked() == [("subscribe", [name])]
        talk.ack(name)
        talk.push(name)
        mended += 1


@pytest.mark.parametrize(("limit", "pairs"), [(239, 4), (480, 10), (8, 1), (3, 1)])
def test_broken_books_take_a_twelfth_of_their_share_at_once(
    limit: int, pairs: int
) -> None:
    talk = Talk(limit=limit)
    whole(talk, WHOLE)

    assert spend_share(talk, WHOLE) == pairs


def test_who_broke_late_is_mended_with_the_one_who_spent_it_all() -> None:
    """And not when the hour is over."""
    talk = Talk(limit=480)
    whole(talk, WHOLE, OTHER)
    spend_share(talk, WHOLE)
    talk.spoil(OTHER, talk.now)

    _, asked = talk.wait(60, obedient_exchange(talk))

    both = [WHOLE, OTHER]
    assert asked == [("unsubscribe", both), ("subscribe", both)]
    assert {talk.phase(name) for name in both} == {Phase.FLOWING}


def test_no_hour_has_more_than_its_half_of_them(talk: Talk) -> None:
    whole(talk, WHOLE)
    sent: list[float] = []

    def break_again(op: str, names: list[str]) -> list[Event]:
        sent.append(talk.now)
        obedient_exchange(talk, latency=3.0)(op, names)
        if op == "subscribe":
            talk.session.subscriptions[WHOLE].breaks = 0
            talk.spoil(WHOLE, talk.now)
        return []

    talk.spoil(WHOLE, talk.now)
    talk.wait(4 * HOUR, break_again)

    pairs = sent[::2]
    assert len(pairs) > 3 * 59
    later = pairs[59:]
    assert all(b - a >= HOUR for a, b in zip(pairs, later, strict=False))


def test_when_their_share_is_spent_they_wait_and_say_so_once(talk: Talk) -> None:
    whole(talk, WHOLE, OTHER)
    talk.now = 100.0
    spend_share(talk, WHOLE)
    talk.now = 120.0
    talk.spoil(OTHER, talk.now)

    assert talk.troubles() == []  # said already, by the one that waits
    assert talk.usable(OTHER) is None
    assert talk.wait(100.0 + REFILL - 120.001) == ([], [])
    talk.now = 100.0 + REFILL + 0.001
    assert talk.asked() == [("unsubscribe", [WHOLE, OTHER])]


def test_that_they_wait_is_said_with_how_many_and_how_long(talk: Talk) -> None:
    whole(talk, WHOLE, OTHER)
    for _ in range(BURST):
        spend_resubscription(talk.session, 0.0)
    talk.now = 10.0
    talk.spoil(None, talk.now)

    (trouble,) = talk.troubles()

    assert isinstance(trouble, BudgetSpent)
    assert (trouble.op, trouble.channels) == ("resynchronising", 2)
    assert trouble.wait == pytest.approx(REFILL - 10)
    for _ in range(5):
        talk.ack("spot/depth5:NEVER-WANTED")
        assert talk.troubles() == []


def test_it_is_said_again_when_they_wait_another_time(talk: Talk) -> None:
    whole(talk, WHOLE)
    said = 0
    for _ in range(2):
        for _ in range(BURST):
            spend_resubscription(talk.session, talk.now)
        talk.spoil(WHOLE, talk.now)
        events, _ = talk.wait(REFILL + 1, obedient_exchange(talk))
        assert talk.phase(WHOLE) is Phase.FLOWING
        said += len(events)
        talk.wait(HOUR, obedient_exchange(talk))
    assert said == 2


def test_other_requests_go_while_broken_books_wait(talk: Talk) -> None:
    whole(talk, WHOLE)
    talk.subscribe(TRADE)
    spend_share(talk, WHOLE)

    talk.want(DEPTH)
    assert talk.asked() == [("subscribe", [DEPTH])]
    talk.ack(DEPTH)
    talk.drop(TRADE)
    assert talk.asked() == [("unsubscribe", [TRADE])]
    talk.left(TRADE)
    # One that owes its snapshot too long is none of the broken.
    assert talk.wait(FIRST_PUSH, obedient_exchange(talk))[1] == [
        ("unsubscribe", [DEPTH]),
        ("subscribe", [DEPTH]),
    ]
    assert talk.phase(WHOLE) is Phase.BROKEN


def test_a_share_that_is_left_is_no_leave_to_pass_the_budget() -> None:
    talk = Talk(limit=4)
    whole(talk, WHOLE)
    for name in (TRADE, TICKER, DEPTH):
        talk.subscribe(name)
        talk.push(name)
    talk.now = 60.0
    talk.spoil(WHOLE, talk.now)

    (trouble,) = talk.troubles()

    assert isinstance(trouble, BudgetSpent)
    assert (trouble.op, trouble.wait) == ("unsubscribe", HOUR - 60)
    talk.now = HOUR
    assert talk.asked() == [("unsubscribe", [WHOLE])]


# --- What an idle channel repeats ---------------------------------------------------


@pytest.mark.parametrize("name", [WHOLE, DEPTH])
def test_what_missed_its_repeat_is_subscribed_anew(talk: Talk, name: str) -> None:
    whole(talk, name)
    talk.now = 75.0

    talk.overdue(name, 0.0, talk.now)

    assert talk.session.due == -math.inf
    assert talk.wait(5, obedient_exchange(talk))[1] == [
        ("unsubscribe", [name]),
        ("subscribe", [name]),
    ]
    assert talk.phase(name) is Phase.FLOWING
    assert talk.wait(HOUR) == ([], [])


def test_what_brought_a_first_push_and_no_other_has_its_connection_replaced(
    talk: Talk,
) -> None:
    whole(talk, WHOLE)
    talk.now = 75.0
    talk.overdue(WHOLE, 0.0, talk.now)
    talk.wait(75, obedient_exchange(talk))

    with pytest.raises(Stalled, match=f"nothing of {WHOLE} came within 75 s"):
        talk.overdue(WHOLE, 75.0, talk.now)


def test_what_brought_not_even_that_has_its_connection_replaced(talk: Talk) -> None:
    whole(talk, WHOLE, OTHER)
    talk.now = 75.0
    for name in (WHOLE, OTHER):
        talk.overdue(name, 0.0, talk.now)

    with pytest.raises(Stalled) as caught:
        talk.wait(FIRST_PUSH + 1, obedient_exchange(talk, snapshots=False))

    assert talk.now == 75.0 + FIRST_PUSH
    named = f"nothing of {WHOLE}, {OTHER} came within {FIRST_PUSH:g} s"
    assert str(caught.value).startswith(named)


def test_what_moved_again_may_miss_again(talk: Talk) -> None:
    whole(talk, WHOLE)
    for moment in (75.0, 175.0, 275.0):
        talk.now = moment
        talk.overdue(WHOLE, moment - 75.0, talk.now)
        asked = talk.wait(5, obedient_exchange(talk))[1]
        assert asked == [("unsubscribe", [WHOLE]), ("subscribe", [WHOLE])]


# --- The budget ---------------------------------------------------------------------


def test_a_spent_budget_waits_says_so_and_loses_nothing() -> None:
    talk = Talk(limit=1)
    talk.subscribe(TRADE)
    talk.now = 100.0
    talk.want(DEPTH, TICKER)
    (trouble,) = talk.troubles()
    assert isinstance(trouble, BudgetSpent)
    assert (trouble.op, trouble.channels, trouble.wait) == ("subscribe", 2, 3500.0)
    assert talk.wait(3499.9) == ([], [])
    talk.now = HOUR
    assert talk.asked() == [("subscribe", [DEPTH, TICKER])]


def test_a_spent_budget_is_said_once_whatever_the_exchange_says_meanwhile() -> None:
    """A peer that babbles must not fill the log."""
    talk = Talk(limit=1)
    talk.subscribe(TRADE)
    talk.want(DEPTH)
    said = []
    for _ in range(50):
        talk.ack("spot/depth5:NEVER-WANTED")
        said += talk.troubles()
    assert len(said) == 1


def test_pings_are_not_requests() -> None:
    talk = Talk(limit=1)
    talk.wait(HOUR)
    assert talk.budget.outlook(talk.now) == (1, 0.0)


# --- Ping and pong ------------------------------------------------------------------


def test_a_pong_renews_the_lease_from_the_sending_of_its_ping() -> None:
    talk = Talk(pongs=False)
    assert talk.tick()[1] == ["ping"]
    talk.now = 3.0
    assert talk.session.due == PERIOD
    (event,) = talk.session.receive(Pong(), talk.now)
    assert event == Renewed(Lease(15.0, WALL), 0.0, 3.0, 1)
    assert talk.session.due == 5.0
    assert talk.session.receive(Pong(), talk.now) == [Unasked("pong")]


def test_pings_go_out_on_a_busy_connection_too(talk: Talk) -> None:
    sent = []
    talk.subscribe(DEPTH)
    while talk.now < 30:
        talk.push(DEPTH)
        if "ping" in talk.tick()[1]:
            sent.append(talk.now)
        talk.now += 0.5
    assert sent == [5, 10, 15, 20, 25]


def test_a_missing_pong_stalls_the_connection() -> None:
    talk = Talk(pongs=False)
    talk.tick()
    talk.now = 10.0
    with pytest.raises(Stalled, match="no pong"):
        talk.tick()


def test_a_missing_pong_is_waited_for_behind_waiting_frames() -> None:
    talk = Talk(pongs=False)
    talk.tick()
    talk.now, talk.drained = 59.9, False
    talk.tick()
    talk.now = 60.0
    with pytest.raises(Stalled, match="no pong"):
        talk.tick()


# --- Data before its acknowledgement ------------------------------------------------


def data(talk: Talk, name: str) -> bool:
    """Data of *name* comes, a snapshot: whether it may be used."""
    one = talk.session.subscriptions[name]
    usable = one.acknowledged or talk.session.acknowledged_by_data(one, talk.now)
    if usable:
        one.flows(talk.now)
    return usable


def test_data_that_comes_first_is_the_acknowledgement(talk: Talk) -> None:
    talk.want(DEPTH, WHOLE)
    assert not data(talk, DEPTH)  # nothing was asked yet
    talk.asked()

    assert data(talk, DEPTH)
    assert data(talk, WHOLE)

    assert talk.ack(DEPTH, WHOLE) == []
    assert talk.wait(HOUR) == ([], [])
    assert {talk.phase(DEPTH), talk.phase(WHOLE)} == {Phase.FLOWING}


def test_an_acknowledgement_that_never_matches_costs_the_channel_nothing(
    talk: Talk,
) -> None:
    """The exchange writes the channel's name in another way in its answer."""
    talk.want(DEPTH)
    talk.asked()
    talk.ack(DEPTH.lower())
    data(talk, DEPTH)

    events, asked = talk.wait(HOUR)

    ((trouble,), phase) = events, talk.phase(DEPTH)
    assert isinstance(trouble, Trouble)
    assert str(trouble.error).startswith(f"no acknowledgement of subscribe {DEPTH}")
    assert (phase, asked) == (Phase.FLOWING, [])


def test_data_after_an_acknowledgement_that_stayed_away_ends_the_retries(
    talk: Talk,
) -> None:
    talk.want(TRADE)
    talk.asked()
    talk.wait(ACK + 0.5)
    assert talk.phase(TRADE) is Phase.IDLE

    assert data(talk, TRADE)

    assert talk.wait(HOUR) == ([], [])


@pytest.mark.parametrize("after", [0.0, ACK + 0.5], ids=["at once", "late"])
def test_a_refusal_after_data_withdraws_the_channel(talk: Talk, after: float) -> None:
    talk.want(DEPTH)
    talk.asked()
    data(talk, DEPTH)
    talk.wait(after)

    events = talk.refuse(NO_CHANNEL, f"Channel {DEPTH} doesn't exist")

    assert blamed(events) == [DEPTH]
    assert talk.phase(DEPTH) is Phase.REFUSED
    assert talk.wait(HOUR) == ([], [])


def test_a_refusal_after_data_and_its_acknowledgement_answers_nothing(
    talk: Talk,
) -> None:
    talk.want(DEPTH)
    talk.asked()
    data(talk, DEPTH)
    talk.ack(DEPTH)

    (event,) = talk.refuse(NO_CHANNEL, f"Channel {DEPTH} doesn't exist")

    assert isinstance(event, Unasked)
    assert talk.phase(DEPTH) is Phase.FLOWING


def test_a_passing_refusal_after_data_withdraws_and_asks_again(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    data(talk, DEPTH)

    ended, trouble = talk.refuse(TOO_FREQUENT)

    assert ended == talk.ended(DEPTH)
    assert isinstance(trouble, Trouble)
    assert talk.wait(5)[1] == [("subscribe", [DEPTH])]


# --- What was sent before the end ---------------------------------------------------


def leave(talk: Talk) -> None:
    """Subscribe a depth, and have it unsubscribed because its first push is late."""
    talk.subscribe(DEPTH)
    talk.session.receive(Pong(), talk.now)
    talk.now = FIRST_PUSH
    assert ("unsubscribe", [DEPTH]) in talk.asked()


def test_a_channel_is_subscribed_again_only_after_a_pong_to_a_later_ping() -> None:
    talk = Talk(pongs=False)
    leave(talk)
    # A ping is on its way when the channel ends, and one more is sent at once.
    talk.left(DEPTH)
    assert talk.tick()[1] == ["ping"]
    assert not data(talk, DEPTH)
    talk.session.receive(Pong(), talk.now)
    assert talk.phase(DEPTH) is Phase.DRAINING
    assert not data(talk, DEPTH)
    assert talk.asked() == []

    talk.session.receive(Pong(), talk.now)

    assert not data(talk, DEPTH)
    assert talk.asked() == [("subscribe", [DEPTH])]
    # What comes now can only be of the new subscription.
    assert data(talk, DEPTH)


def test_an_unsubscribe_without_an_answer_is_drained_too() -> None:
    talk = Talk(pongs=False)
    leave(talk)
    talk.session.receive(Pong(), talk.now)
    talk.now += ACK - 1
    talk.tick()
    talk.session.receive(Pong(), talk.now)
    talk.now += 1
    events, texts = talk.tick()
    assert [type(event) for event in events] == [Trouble]
    assert texts == ["ping"]
    talk.now += 2
    assert talk.asked() == []

    talk.session.receive(Pong(), talk.now)

    assert talk.asked() == [("subscribe", [DEPTH])]


def test_a_channel_that_is_dropped_and_wanted_at_once_is_drained_first() -> None:
    talk = Talk(pongs=False)
    talk.subscribe(TRADE)
    talk.session.receive(Pong(), talk.now)
    talk.drop(TRADE)
    talk.asked()
    talk.left(TRADE)
    talk.want(TRADE)

    assert talk.tick()[1] == ["ping"]
    assert not data(talk, TRADE)
    talk.session.receive(Pong(), talk.now)
    assert talk.asked() == [("subscribe", [TRADE])]


def test_channels_that_end_together_cost_one_ping() -> None:
    talk = Talk(pongs=False)
    whole(talk, WHOLE, OTHER)
    talk.session.receive(Pong(), talk.now)
    talk.spoil(None, talk.now)
    assert talk.asked() == [("unsubscribe", [WHOLE, OTHER])]
    texts = []
    for name in (WHOLE, OTHER):
        talk.left(name)
        texts += talk.tick()[1]

    assert texts == ["ping"]
    talk.session.receive(Pong(), talk.now)
    assert talk.asked() == [("subscribe", [WHOLE, OTHER])]


# --- Identity -----------------------------------------------------------------------


def test_a_channel_that_is_dropped_and_wanted_again_has_another_object(
    talk: Talk,
) -> None:
    whole(talk, WHOLE)
    old = talk.session.subscriptions[WHOLE]
    talk.session.drop(old)
    new = talk.session.want(WHOLE, old.target, True, talk.now, True)

    talk.session.invalidated(old, talk.now)
    talk.session.overdue(old, -HOUR, talk.now)
    talk.session.drop(old)

    assert new is not old
    assert talk.session.subscriptions == {WHOLE: new}
    assert (new.phase, new.wanted) == (Phase.FLOWING, True)
    assert not talk.session.acknowledged_by_data(old, talk.now)


def test_another_target_has_another_object(talk: Talk) -> None:
    whole(talk, WHOLE)
    old = talk.session.subscriptions[WHOLE]

    new = talk.session.want(WHOLE, "another", True, talk.now, True)

    assert (old.target, new.target) == (f"target of {WHOLE}", "another")
    assert (old.phase, new.phase) == (Phase.FLOWING, Phase.BROKEN)
    assert talk.session.want(WHOLE, "another", True, talk.now, True) is new


def test_an_event_has_the_subscription_that_the_answer_is_about(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.drop(DEPTH)
    new = talk.session.want(DEPTH, "another", True, talk.now)

    (event,) = talk.ack(DEPTH)

    assert isinstance(event, Changed)
    assert event.subscription is new


# --- The log ------------------------------------------------------------------------


def test_each_step_is_logged_with_its_fields(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")
    whole(talk, DEPTH)
    assert caplog.records == []

    log_steps(talk.session.taken)

    fields = [
        tuple(vars(r)[name] for name in ("event", "channel", "before", "step", "after"))
        for r in caplog.records
    ]
    assert fields == [
        ("subscription", DEPTH, "IDLE", "ASKED", "ASKED"),
        ("subscription", DEPTH, "ASKED", "ACKNOWLEDGED", "ACKNOWLEDGED"),
        ("subscription", DEPTH, "ACKNOWLEDGED", "PUSHED", "FLOWING"),
    ]
    assert not talk.session.taken


def test_a_handler_of_the_log_that_raises_changes_nothing(
    talk: Talk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG, "okex_ws")

    def broken(record: logging.LogRecord) -> None:
        raise RuntimeError("no disk")

    monkeypatch.setattr(caplog.handler, "emit", broken)
    whole(talk, DEPTH, TRADE)

    log_steps(talk.session.taken)

    assert {talk.phase(DEPTH), talk.phase(TRADE)} == {Phase.FLOWING}
    assert not talk.session.taken


# --- Any order of anything ----------------------------------------------------------

NAMES: dict[WireProtocol, list[str]] = {
    V3: [DEPTH, TRADE, TICKER, OTHER],
    V5: [BOOK, TRADES, ORDERS, BOOKS],
}
# One that is for good, then two that pass.
CODES: dict[WireProtocol, list[int | str]] = {
    V3: [NO_CHANNEL, TOO_FREQUENT, INTERNAL],
    V5: [NO_SUCH, BUSY, EXPIRED],
}
PLACES = st.integers(0, 3)


def blame(name: str) -> str:
    """A sentence that names a channel, as the exchange writes it."""
    if name in NAMES[V3]:
        return f"Channel {name} doesn't exist"
    channel, instrument_id = name.split(":")
    return f"channel:{channel},instId:{instrument_id} doesn't exist"


IDS = st.sampled_from([None, "last", "0"])
LIMIT = 12


class Opening(RuleBasedStateMachine):
    """An exchange and a user that do whatever they like, in any order."""

    def __init__(self, wire: WireProtocol, login: bool) -> None:
        super().__init__()
        self.talk = Talk(wire, limit=LIMIT, lease=60.0, login=login)
        self.wire = wire
        self.names = NAMES[wire]
        self.sent: list[float] = []
        self.wanted: set[str] = set()
        self.let_in = not login
        self.has_login = login
        # The channels of which data has ever come before its acknowledgement.
        self.came_first: set[str] = set()
        self.locked_out = False
        # What the exchange has not answered yet, each with its id.
        self.open: list[tuple[str, list[str], str | None]] = []

    @initialize()
    def open_connection(self) -> None:
        self.tick()

    def tick(self) -> None:
        session = self.talk.session
        before = open_request_of(session)
        for op, names in self.talk.asked():
            # One request at a time: nothing of an earlier one was still open.
            assert before is None or open_request_of(session) is not before
            assert not self.locked_out
            assert (op == "login") is not self.let_in
            assert names
            assert len(set(names)) == len(names)
            self.sent.append(self.talk.now)
            self.open.append((op, names, self.last_id if self.let_in else None))

    @property
    def last_id(self) -> str | None:
        return self.talk.ids[-1] if self.talk.ids else None

    def id(self, which: str | None) -> str | None:
        if self.wire is V3:
            return None
        return self.last_id if which == "last" else which

    @rule(place=PLACES)
    def want(self, place: int) -> None:
        self.talk.want(self.names[place])
        self.wanted.add(self.names[place])

    @rule(place=PLACES)
    def drop(self, place: int) -> None:
        self.talk.drop(self.names[place])
        self.wanted.discard(self.names[place])

    @rule(place=PLACES, to=IDS)
    def ack(self, place: int, to: str | None) -> None:
        self.talk.ack(self.names[place], to=self.id(to))

    @rule(place=PLACES, to=IDS)
    def leave(self, place: int, to: str | None) -> None:
        self.talk.left(self.names[place], to=self.id(to))

    @rule(code=st.integers(0, 2), place=st.none() | PLACES, to=IDS)
    def refuse(self, code: int, place: int | None, to: str | None) -> None:
        said = "no" if place is None else blame(self.names[place])
        events = self.talk.refuse(CODES[self.wire][code], said, self.id(to))
        self.locked_out |= any(isinstance(event, LockedOut) for event in events)

    @precondition(lambda self: self.wire is V5)
    @rule(kind=st.sampled_from(["books5", "orders", "books"]))
    def terminate(self, kind: str) -> None:
        terminate(self.talk, kind)

    @rule()
    def log_in(self) -> None:
        if self.talk.session.receive(LoggedIn(), self.talk.now) == []:
            assert not self.let_in
            self.let_in = True

    @rule(place=PLACES, whole=st.booleans())
    def push(self, place: int, whole: bool) -> None:
        one = self.talk.session.subscriptions.get(self.names[place])
        if one is None:
            return
        before, asked = one.phase, one.in_doubt or one.phase is Phase.ASKED
        usable = one.acknowledged
        if not usable and (whole or not one.incremental):
            usable = self.talk.session.acknowledged_by_data(one, self.talk.now)
            # Nothing that may be of an earlier subscription acknowledges a later one.
            assert not usable or (before in (Phase.IDLE, Phase.ASKED) and asked)
            if usable:
                self.came_first.add(one.name)
        if usable:
            one.flows(self.talk.now)

    @rule()
    def pong(self) -> None:
        self.talk.session.receive(Pong(), self.talk.now)

    @precondition(lambda self: self.has_login)
    @rule(to=IDS)
    def forget_login(self, to: str | None) -> None:
        """The exchange has lost the login, or answers as if it had."""
        events = self.talk.refuse(NOT_LOGGED_IN, to=self.id(to))
        assert not any(isinstance(event, LockedOut) for event in events)
        self.let_in = is_logged_in(self.talk.session)
        if not self.let_in:
            assert not any(map(self.talk.usable, self.names))

    @rule(place=st.none() | PLACES)
    def spoil(self, place: int | None) -> None:
        name = None if place is None else self.names[place]
        self.talk.spoil(name, self.talk.now)

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 9.0]), drained=st.booleans())
    def pass_time(self, seconds: float, drained: bool) -> None:
        self.talk.now += seconds
        self.talk.drained = drained
        self.tick()

    @precondition(lambda self: self.open)
    @rule()
    def answer(self) -> None:
        """The exchange answers its oldest request as it should."""
        op, names, to = self.open.pop(0)
        if op == "login":
            self.log_in()
        for name in names:
            self.talk.ack(name, to=to) if op == "subscribe" else self.talk.left(
                name, to
            )

    @invariant()
    def whoever_waits_waits_for_the_open_request(self) -> None:
        request = open_request_of(self.talk.session)
        waiting = {
            subscription.name: subscription.phase
            for subscription in self.talk.session.subscriptions.values()
            if subscription.phase in (Phase.ASKED, Phase.LEAVING)
        }
        if request is None or request.op == "login":
            assert waiting == {}
            return
        phase = Phase.ASKED if request.op == "subscribe" else Phase.LEAVING
        assert request.channels
        assert waiting.items() <= dict.fromkeys(request.channels, phase).items()
        if self.wire is V3:
            # No answer can be another request's.
            assert request.channels - set(waiting) <= self.came_first

    @invariant()
    def nothing_of_a_broken_book_is_used(self) -> None:
        for subscription in self.talk.session.subscriptions.values():
            assert subscription.incremental is (subscription.name in INCREMENTAL)
            if subscription.phase is Phase.BROKEN:
                assert subscription.incremental
                assert self.talk.usable(subscription.name) is None

    @invariant()
    def the_budget_is_kept(self) -> None:
        recent = [at for at in self.sent if at > self.talk.now - HOUR]
        assert len(recent) <= LIMIT

    @invariant()
    def everything_wanted_is_known(self) -> None:
        subscriptions = self.talk.session.subscriptions
        assert {
            n for n, subscription in subscriptions.items() if subscription.wanted
        } == self.wanted

    def teardown(self) -> None:
        """A cooperative exchange answers from here on: all ends as it was wanted."""
        talk, session = self.talk, self.talk.session
        talk.drained = True
        refused = {
            n for n, x in session.subscriptions.items() if x.phase is Phase.REFUSED
        }
        end = talk.now + 3 * HOUR
        while talk.now < end:
            self.tick()
            self.the_budget_is_kept()
            while self.open:
                self.answer()
            for subscription in list(session.subscriptions.values()):
                if subscription.acknowledged:
                    talk.push(subscription.name)
            if session.due > talk.now:
                talk.now = min(session.due, end)
        assert open_request_of(session) is None
        if self.locked_out:
            return
        acknowledged = {
            n
            for n, subscription in session.subscriptions.items()
            if subscription.acknowledged
        }
        assert acknowledged == self.wanted - refused
        # Of what nobody wants, only what the exchange may yet acknowledge is kept.
        others = [x for n, x in session.subscriptions.items() if n not in self.wanted]
        assert all(subscription.in_doubt for subscription in others)


@pytest.mark.once
@pytest.mark.parametrize(("wire", "login"), [(V3, False), (V5, False), (V5, True)])
def test_no_order_of_events_breaks_the_conversation(
    wire: WireProtocol, login: bool
) -> None:
    run_state_machine_as_test(
        functools.partial(Opening, wire, login),  # type: ignore[arg-type]
        settings=settings(max_examples=60, stateful_step_count=40),
    )
