"""One connection's conversation, in virtual time, against every answer it may get."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence

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

from okex_ws.errors import BudgetSpent, OkexWSError, Stalled, SubscriptionRejected
from okex_ws.heartbeat import Renewed
from okex_ws.line import Phase
from okex_ws.messages import Pong, Refused, Subscribed, Unknown, Unsubscribed
from okex_ws.protocols.v3 import PROTOCOL
from okex_ws.session import (
    Acknowledged,
    Ended,
    Event,
    Rejected,
    Session,
    Trouble,
    Unasked,
)
from okex_ws.timing import Budget, Ping, Timeouts
from okex_ws.trust import Lease

WALL = 1_700_000_000.0
DEPTH, TRADE, TICKER = (f"spot/{t}:BTC-USDT" for t in ("depth5", "trade", "ticker"))
NO_CHANNEL, TOO_FREQUENT, INTERNAL = 30040, 30026, 30043
FIRST_PUSH = 10.0

Request = tuple[str, list[str]]


class Talk:
    """A session, the clock it is given, and what it says."""

    def __init__(
        self, *, limit: int = 239, probe: float | None = 5.0, pongs: bool = True
    ) -> None:
        self.now = 0.0
        self.budget = Budget(limit, 3600.0)
        self.session: Session[str] = Session(
            PROTOCOL, Ping(30.0, probe), Timeouts(), self.budget, self.now
        )
        # Answer each ping at once, where the test is not about pings.
        self.pongs = pongs
        self.drained = True

    def want(self, *names: str) -> None:
        for name in names:
            self.session.want(name, f"target of {name}", name != TRADE, self.now)

    def tick(self) -> tuple[list[Event], list[str]]:
        read_at = self.now if self.drained else -math.inf
        events = self.session.tick(self.now, self.now + WALL, read_at)
        texts = list(self.session.outgoing())
        if self.pongs and "ping" in texts:
            self.session.receive(Pong(), self.now)
        return events, texts

    def asked(self) -> list[Request]:
        """The requests that go out now."""
        _, texts = self.tick()
        return requests(texts)

    def troubles(self) -> list[OkexWSError]:
        """What goes wrong now, and passes."""
        events, _ = self.tick()
        return [event.error for event in events if isinstance(event, Trouble)]

    def wait(self, seconds: float) -> tuple[list[Event], list[Request]]:
        """Let *seconds* pass, and do all that falls due meanwhile, when it does."""
        end, events, asked = self.now + seconds, list[Event](), list[Request]()
        while True:
            happened, texts = self.tick()
            events += happened
            asked += requests(texts)
            assert self.session.due > self.now, "it would spin"
            if self.session.due > end:
                self.now = end
                return events, asked
            self.now = self.session.due

    def ack(self, *names: str) -> list[Event]:
        return [e for n in names for e in self.session.receive(Subscribed(n), self.now)]

    def left(self, name: str) -> list[Event]:
        return self.session.receive(Unsubscribed(name), self.now)

    def refuse(self, code: int, message: str = "no") -> list[Event]:
        return self.session.receive(Refused(code, message), self.now)

    def push(self, name: str) -> None:
        line = self.session.pushed(name)
        assert line is not None
        line.flows()

    def phase(self, name: str) -> Phase:
        return self.session.lines[name].phase

    def subscribe(self, *names: str) -> None:
        """Want them, ask, and have all of them acknowledged."""
        self.want(*names)
        assert self.asked() == [("subscribe", list(names))]
        self.ack(*names)


def requests(texts: Sequence[str]) -> list[Request]:
    parsed = [json.loads(text) for text in texts if text != "ping"]
    return [(request["op"], request["args"]) for request in parsed]


def blamed(events: list[Event]) -> list[str]:
    return [event.channel for event in events if isinstance(event, Rejected)]


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
    assert talk.session.due == 10.0


def test_nothing_wanted_is_nothing_asked(talk: Talk) -> None:
    assert talk.wait(100) == ([], [])


def test_an_acknowledgement_is_matched_to_what_was_asked(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    assert talk.ack(TRADE) == [Acknowledged(TRADE)]
    assert (talk.phase(DEPTH), talk.phase(TRADE)) == (Phase.ASKED, Phase.ACKED)
    assert talk.ack(DEPTH) == [Acknowledged(DEPTH)]
    assert talk.wait(5) == ([], [])


def test_data_belongs_to_nobody_before_its_acknowledgement(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    assert talk.session.pushed(DEPTH) is None
    assert talk.session.pushed("spot/depth5:ETH-USDT") is None
    talk.ack(DEPTH)
    line = talk.session.pushed(DEPTH)
    assert line is not None
    assert line.target == f"target of {DEPTH}"


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
    line = talk.session.pushed(DEPTH)
    assert line is not None
    assert line.target == "another"


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


def test_an_acknowledgement_that_stays_away_is_said_and_asked_for_alone(
    talk: Talk,
) -> None:
    talk.want(DEPTH, TRADE, TICKER)
    talk.asked()
    talk.ack(TICKER)
    talk.push(TICKER)
    talk.now = math.nextafter(10.0, 0)
    assert talk.troubles() == []
    talk.now = 10.0
    (trouble,) = talk.troubles()
    assert isinstance(trouble, Stalled)
    assert str(trouble) == (
        f"no acknowledgement of subscribe {DEPTH}, {TRADE} came within 10 s"
    )
    assert talk.asked() == []
    talk.now = 11.0
    assert talk.asked() == [("subscribe", [DEPTH])]
    talk.ack(DEPTH)
    assert talk.asked() == [("subscribe", [TRADE])]


def test_asking_again_waits_twice_as_long_each_time_up_to_a_cap(talk: Talk) -> None:
    talk.want(DEPTH)
    sent = []
    while talk.now < 4 * 3600:
        if talk.asked():
            sent.append(talk.now)
        talk.now = talk.session.due if talk.session.due > talk.now else talk.now
    waits = [after - before - 10 for before, after in itertools.pairwise(sent)]
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert max(waits) == Timeouts().retry_cap


def test_a_backlog_may_hold_the_acknowledgement(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.now, talk.drained = 10.0, False
    assert talk.troubles() == []
    assert talk.ack(DEPTH) == [Acknowledged(DEPTH)]


def test_an_acknowledgement_that_comes_late_still_counts(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.now = 10.0
    talk.tick()
    assert talk.phase(DEPTH) is Phase.IDLE
    assert talk.ack(DEPTH) == [Acknowledged(DEPTH)]
    talk.push(DEPTH)
    assert talk.wait(100) == ([], [])


# --- Errors -------------------------------------------------------------------------


def test_an_error_that_names_its_channel_fails_it_alone(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    message = f"Channel {DEPTH} doesn't exist"
    (event,) = talk.refuse(NO_CHANNEL, message)
    assert isinstance(event, Rejected)
    error = event.error
    assert (error.code, error.message, error.channel) == (NO_CHANNEL, message, DEPTH)
    assert talk.ack(TRADE) == [Acknowledged(TRADE)]
    assert talk.wait(3600) == ([], [])
    assert talk.phase(DEPTH) is Phase.REFUSED


def test_an_error_that_names_nobody_means_the_only_one_that_was_asked_for(
    talk: Talk,
) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    talk.ack(TRADE)
    assert blamed(talk.refuse(NO_CHANNEL)) == [DEPTH]


def test_an_error_that_may_mean_several_has_each_asked_for_alone(talk: Talk) -> None:
    talk.want(DEPTH, TRADE, TICKER)
    talk.asked()
    talk.ack(TICKER)
    (event,) = talk.refuse(30039, "Unrecognized request")
    assert isinstance(event, Trouble)
    assert isinstance(event.error, SubscriptionRejected)
    assert event.error.channel == f"{DEPTH}, {TRADE}"
    assert talk.asked() == [("subscribe", [DEPTH])]
    assert talk.asked() == []
    assert blamed(talk.refuse(30039, "Unrecognized request")) == [DEPTH]
    assert talk.asked() == [("subscribe", [TRADE])]
    assert talk.ack(TRADE) == [Acknowledged(TRADE)]


def test_a_new_channel_goes_before_those_that_are_asked_for_alone(talk: Talk) -> None:
    talk.want(DEPTH, TRADE)
    talk.asked()
    talk.refuse(30039)
    talk.want(TICKER)
    assert talk.asked() == [("subscribe", [TICKER])]
    assert blamed(talk.refuse(30039)) == [TICKER]
    assert talk.asked() == [("subscribe", [DEPTH])]


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
    assert talk.ack(TRADE) == [Acknowledged(TRADE)]


def test_a_refused_channel_that_is_dropped_and_wanted_is_asked_for_anew(
    talk: Talk,
) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.refuse(NO_CHANNEL)
    talk.session.drop(DEPTH)
    assert talk.session.lines == {}
    talk.subscribe(DEPTH)


def test_a_refusal_of_what_nobody_wants_any_more_forgets_it(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.session.drop(DEPTH)
    assert blamed(talk.refuse(NO_CHANNEL)) == [DEPTH]
    assert talk.session.lines == {}


# --- The first push -----------------------------------------------------------------


def test_a_channel_without_its_first_push_is_left_and_asked_for_again(
    talk: Talk,
) -> None:
    """The connection is kept: v3's depth5 may be silent on a quiet market."""
    talk.subscribe(DEPTH)
    assert talk.wait(FIRST_PUSH - 0.001) == ([], [])
    talk.now = FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    assert talk.session.pushed(DEPTH) is None
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
    assert talk.wait(3600) == ([], [])
    assert talk.session.lines[DEPTH].attempts == 0


def test_a_channel_that_owes_nothing_may_be_silent_for_ever(talk: Talk) -> None:
    talk.subscribe(TRADE)
    assert talk.wait(7200) == ([], [])


def test_a_leaving_that_is_not_answered_is_taken_as_left(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.now = FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    talk.now += 10
    (trouble,) = talk.troubles()
    assert str(trouble).startswith(f"no acknowledgement of unsubscribe {DEPTH}")
    assert talk.phase(DEPTH) is Phase.IDLE
    assert talk.wait(3)[1] == [("subscribe", [DEPTH])]


def test_a_leaving_that_is_refused_is_taken_as_left(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.now = FIRST_PUSH
    talk.tick()
    (event,) = talk.refuse(NO_CHANNEL)
    assert isinstance(event, Trouble)
    assert talk.asked() == [("subscribe", [DEPTH])]


# --- Dropping -----------------------------------------------------------------------


def test_dropping_unsubscribes_and_then_forgets(talk: Talk) -> None:
    talk.subscribe(DEPTH, TRADE)
    talk.push(DEPTH)
    talk.session.drop(DEPTH)
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    assert talk.session.pushed(DEPTH) is None
    assert talk.left(DEPTH) == []
    assert set(talk.session.lines) == {TRADE}
    assert talk.wait(3600) == ([], [])


def test_dropping_what_was_never_asked_for_asks_nothing(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.session.drop(DEPTH)
    talk.session.drop(TRADE)
    assert talk.asked() == []
    assert talk.session.lines == {}


def test_leaving_goes_before_asking(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.session.drop(DEPTH)
    talk.want(TRADE)
    assert talk.asked() == [("unsubscribe", [DEPTH])]
    talk.left(DEPTH)
    assert talk.asked() == [("subscribe", [TRADE])]


def test_dropped_while_its_acknowledgement_is_on_the_way_and_not_wanted(
    talk: Talk,
) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.session.drop(DEPTH)
    assert talk.asked() == []
    talk.ack(DEPTH)
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_dropped_while_its_acknowledgement_is_on_the_way_and_wanted_again(
    talk: Talk,
) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.session.drop(DEPTH)
    talk.want(DEPTH)
    assert talk.asked() == []
    assert talk.ack(DEPTH) == [Acknowledged(DEPTH)]
    assert talk.wait(5) == ([], [])


def test_wanted_again_while_it_is_being_left(talk: Talk) -> None:
    talk.subscribe(TRADE)
    talk.session.drop(TRADE)
    talk.asked()
    talk.want(TRADE)
    assert talk.asked() == []
    talk.left(TRADE)
    assert talk.asked() == [("subscribe", [TRADE])]


def test_what_nobody_wants_and_nobody_answers_is_let_go(talk: Talk) -> None:
    talk.want(DEPTH)
    talk.asked()
    talk.session.drop(DEPTH)
    (events, asked) = talk.wait(10)
    assert [type(event) for event in events] == [Trouble]
    assert asked == []
    assert talk.wait(3600) == ([], [])


def test_a_late_acknowledgement_of_what_nobody_wants_is_undone(talk: Talk) -> None:
    """What the exchange acknowledged and nobody wants would be pushed for ever."""
    talk.want(DEPTH)
    talk.asked()
    talk.session.drop(DEPTH)
    talk.wait(11)
    talk.ack(DEPTH)
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_dropped_and_its_leaving_refused_is_forgotten(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.session.drop(DEPTH)
    talk.tick()
    (event,) = talk.refuse(NO_CHANNEL)
    assert isinstance(event, Trouble)
    assert talk.session.lines == {}


# --- Unasked endings ----------------------------------------------------------------


def test_a_channel_that_the_exchange_ends_is_asked_for_again_but_not_at_once(
    talk: Talk,
) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.left(DEPTH)
    assert talk.session.pushed(DEPTH) is None
    assert talk.asked() == []
    talk.now += 1
    assert talk.asked() == [("subscribe", [DEPTH])]


def test_a_channel_that_the_exchange_ends_is_told_to_its_holder(talk: Talk) -> None:
    """State follows what the exchange acknowledged: its book is no longer live."""
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    assert talk.left(DEPTH) == [Ended(DEPTH)]


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
    talk.session.spoiled(name, talk.now)
    assert (talk.phase(DEPTH), talk.phase(TRADE)) == (Phase.ACKED, Phase.ACKED)
    assert talk.wait(FIRST_PUSH - 0.001) == ([], [])
    talk.now = 5.0 + FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_a_good_push_after_an_unreadable_one_settles_it(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.session.spoiled(DEPTH, talk.now)
    talk.push(DEPTH)
    assert talk.wait(3600) == ([], [])


def test_more_unreadable_pushes_do_not_put_off_the_moment(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.session.spoiled(DEPTH, 0.0)
    talk.now = FIRST_PUSH - 1
    talk.session.spoiled(DEPTH, talk.now)
    talk.now = FIRST_PUSH
    assert talk.asked() == [("unsubscribe", [DEPTH])]


def test_an_unreadable_push_of_a_stranger_changes_nothing(talk: Talk) -> None:
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.session.spoiled("spot/depth5:NEVER-WANTED", talk.now)
    assert talk.phase(DEPTH) is Phase.FLOWING


def test_a_channel_that_owes_no_snapshot_owes_nothing_for_an_unreadable_push(
    talk: Talk,
) -> None:
    talk.subscribe(TRADE)
    talk.push(TRADE)
    talk.session.spoiled(None, talk.now)
    assert talk.phase(TRADE) is Phase.FLOWING


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
    talk.now = 3600.0
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
    talk.wait(3600)
    assert talk.budget.left(talk.now) == 1


# --- Ping and pong ------------------------------------------------------------------


def test_a_pong_renews_the_lease_from_the_sending_of_its_ping() -> None:
    talk = Talk(pongs=False)
    assert talk.tick()[1] == ["ping"]
    talk.now = 3.0
    assert talk.session.due == 10.0
    (event,) = talk.session.receive(Pong(), talk.now)
    assert event == Renewed(Lease(15.0, WALL), 3.0)
    assert talk.session.due == 5.0
    assert talk.session.receive(Pong(), talk.now) == [Unasked("pong")]


def test_pings_go_out_on_a_busy_line_too(talk: Talk) -> None:
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


def test_a_missing_pong_is_waited_for_behind_a_backlog() -> None:
    talk = Talk(pongs=False)
    talk.tick()
    talk.now, talk.drained = 59.9, False
    talk.tick()
    talk.now = 60.0
    with pytest.raises(Stalled, match="no pong"):
        talk.tick()


# --- Any order of anything ----------------------------------------------------------

NAMES = [DEPTH, TRADE, TICKER, "spot/depth5:ETH-USDT"]
LIMIT = 12


class Conversation(RuleBasedStateMachine):
    """An exchange and a user that do whatever they like, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Talk(limit=LIMIT, probe=None)
        self.sent: list[float] = []
        self.wanted: set[str] = set()
        self.stalled = False
        # What the exchange has not answered yet.
        self.open: list[Request] = []

    @initialize()
    def open_connection(self) -> None:
        self.tick()

    def tick(self) -> None:
        session = self.talk.session
        before = session._request
        for op, names in self.talk.asked():
            # One request at a time: nothing of an earlier one was still open.
            assert before is None or session._request is not before
            assert names
            assert len(set(names)) == len(names)
            self.sent.append(self.talk.now)
            self.open.append((op, names))

    @rule(name=st.sampled_from(NAMES))
    def want(self, name: str) -> None:
        self.talk.want(name)
        self.wanted.add(name)

    @rule(name=st.sampled_from(NAMES))
    def drop(self, name: str) -> None:
        self.talk.session.drop(name)
        self.wanted.discard(name)

    @rule(name=st.sampled_from(NAMES))
    def ack(self, name: str) -> None:
        self.talk.ack(name)

    @rule(name=st.sampled_from(NAMES))
    def leave(self, name: str) -> None:
        self.talk.left(name)

    @rule(
        code=st.sampled_from([NO_CHANNEL, TOO_FREQUENT, INTERNAL]),
        name=st.sampled_from(["", *NAMES]),
    )
    def refuse(self, code: int, name: str) -> None:
        self.talk.refuse(code, f"Channel {name} doesn't exist" if name else "no")

    @rule(name=st.sampled_from(NAMES))
    def push(self, name: str) -> None:
        line = self.talk.session.pushed(name)
        if line is not None:
            line.flows()

    @rule(name=st.sampled_from([*NAMES, None]))
    def spoil(self, name: str | None) -> None:
        self.talk.session.spoiled(name, self.talk.now)

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0, 9.0]), drained=st.booleans())
    def pass_time(self, seconds: float, drained: bool) -> None:
        self.talk.now += seconds
        self.talk.drained = drained
        self.tick()

    @precondition(lambda self: self.open)
    @rule()
    def answer(self) -> None:
        """The exchange answers its oldest request as it should."""
        op, names = self.open.pop(0)
        for name in names:
            self.talk.ack(name) if op == "subscribe" else self.talk.left(name)

    @invariant()
    def the_open_request_is_of_lines_that_wait_for_it(self) -> None:
        request = self.talk.session._request
        waiting = {
            line.name: line.phase
            for line in self.talk.session.lines.values()
            if line.phase in (Phase.ASKED, Phase.LEAVING)
        }
        if request is None:
            assert waiting == {}
        else:
            phase = Phase.ASKED if request.op == "subscribe" else Phase.LEAVING
            assert waiting == dict.fromkeys(request.channels, phase)

    @invariant()
    def the_budget_is_kept(self) -> None:
        recent = [at for at in self.sent if at > self.talk.now - 3600]
        assert len(recent) <= LIMIT

    @invariant()
    def everything_wanted_is_known(self) -> None:
        lines = self.talk.session.lines
        assert {n for n, line in lines.items() if line.wanted} == self.wanted

    def teardown(self) -> None:
        """A cooperative exchange answers from here on: all ends as it was wanted."""
        talk, session = self.talk, self.talk.session
        talk.drained = True
        refused = {n for n, x in session.lines.items() if x.phase is Phase.REFUSED}
        end = talk.now + 3 * 3600
        while talk.now < end:
            self.tick()
            self.the_budget_is_kept()
            while self.open:
                self.answer()
            for name, line in list(session.lines.items()):
                if line.acknowledged:
                    self.push(name)
            if session.due > talk.now:
                talk.now = min(session.due, end)
        acknowledged = {n for n, line in session.lines.items() if line.acknowledged}
        assert acknowledged == self.wanted - refused
        # Of what nobody wants, only what the exchange may yet acknowledge is kept.
        others = [x for n, x in session.lines.items() if n not in self.wanted]
        assert all(line.in_doubt for line in others)
        assert session._request is None


def test_no_order_of_events_breaks_the_conversation() -> None:
    run_state_machine_as_test(
        Conversation, settings=settings(max_examples=60, stateful_step_count=40)
    )


def test_a_flowing_channel_that_another_wants_owes_that_one_a_push(talk: Talk) -> None:
    """The new holder has no snapshot, and a quiet market would never send one."""
    talk.subscribe(DEPTH)
    talk.push(DEPTH)
    talk.session.want(DEPTH, "another", True, talk.now)
    assert talk.phase(DEPTH) is Phase.ACKED
    talk.now += 10
    assert talk.asked() == [("unsubscribe", [DEPTH])]
