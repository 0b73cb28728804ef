"""What an answer of the exchange does to what was asked, by its code."""

from __future__ import annotations

import pytest

from okex_ws import Cause, CauseCode, State
from okex_ws.base.errors import LoginRejected, SubscriptionRejected
from okex_ws.base.rates import RateLimit
from okex_ws.base.retry import Ping, Timeouts
from okex_ws.model.exchange_codes import CODES, TRIES, Advice
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import (
    Acknowledged,
    LoggedIn,
    Pong,
    Refused,
    Vouched,
    Withheld,
)
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.answers import GRACE
from okex_ws.session.events import Changed, Event, Held, LockedOut, Trouble, Unasked
from okex_ws.session.login import Login
from okex_ws.session.session import Session
from okex_ws.session.subscription_state import Phase, Step
from okex_ws.trust.heartbeat import Renewed
from okex_ws.trust.lease import Lease
from tests.support.internals import open_request_of

DEPTH, TRADE, TICKER = (f"spot/{t}:BTC-USDT" for t in ("depth5", "trade", "ticker"))
WIRES: dict[str, WireProtocol] = {"v3": V3, "v5": V5}
LOGINS = [
    (protocol, row)
    for protocol in CODES
    for row in CODES[protocol].values()
    if len(row.code) == 5 and row.advice not in (Advice.LOGIN, Advice.LOGGED_IN)
]


class Talk:
    """A session and the clock that it is given."""

    def __init__(self, wire: WireProtocol, login: bool, forwarded: bool) -> None:
        self.now, budget, times = 0.0, RateLimit(239, 3600.0), Timeouts()
        key, ping = Login(str, times.retry_cap) if login else None, Ping()
        if forwarded:
            ping = Ping(forwarded=True)
        self.session: Session[str] = Session(wire, ping, times, budget, 0.0, key)

    def tick(self) -> tuple[list[Event], list[str]]:
        """What time brings, and what is sent; each ping has its pong at once."""
        events = self.session.tick(self.now, self.now, self.now)
        texts = list(self.session.outgoing())
        if "ping" in texts:
            self.session.receive(Pong(), self.now)
        return events, texts

    @property
    def id(self) -> str:
        """The number of the request that is open."""
        return str(open_request_of(self.session).id)


def asked(
    *names: str,
    wire: WireProtocol = V3,
    login: bool = False,
    forwarded: bool = False,
) -> Talk:
    """A session that has asked for *names*, of which nothing is answered."""
    talk = Talk(wire, login, forwarded)
    for name in names:
        talk.session.want(name, name, "trade" not in name, talk.now)
    talk.tick()
    return talk


def strays(events: object) -> list[str]:
    assert isinstance(events, list)
    return [event.sentence for event in events if isinstance(event, Unasked)]


# --- A code that is not known -------------------------------------------------------


def test_an_unknown_code_is_tried_three_times_and_then_final() -> None:
    talk = asked(DEPTH)
    told: list[Event] = []
    waits: list[float] = []
    for _ in range(TRIES):
        before = talk.now
        while not any("subscribe" in text for text in talk.tick()[1]) and told:
            talk.now += 0.25
        waits.append(talk.now - before)
        told += talk.session.receive(Refused(30099, f"{DEPTH}: no"), talk.now)

    assert [type(event) for event in told] == [Trouble, Trouble, Changed]
    assert waits == sorted(waits)
    last = told[-1]
    assert isinstance(last, Changed)
    assert last.step is Step.REFUSED
    assert last.error is not None
    assert last.error.cause_code is CauseCode.REJECTED


def test_an_acknowledgement_ends_the_count_of_unknown_refusals() -> None:
    talk = asked(DEPTH)
    talk.session.receive(Refused(30099, f"{DEPTH}: no"), talk.now)
    one = talk.session.subscriptions[DEPTH]
    assert one.tries == 1

    talk.session.receive(Acknowledged(DEPTH), talk.now)

    assert one.tries == 0
    assert one.phase is Phase.ACKNOWLEDGED


def test_an_unknown_refusal_of_an_unsubscribe_is_told() -> None:
    talk = asked(DEPTH)
    talk.session.receive(Acknowledged(DEPTH), talk.now)
    one = talk.session.subscriptions[DEPTH]
    talk.session.drop(one)
    talk.tick()

    (trouble,) = talk.session.receive(Refused(30099, f"{DEPTH}: no"), talk.now)

    assert isinstance(trouble, Trouble)
    assert one.tries == 0


# --- An error that answers no request -----------------------------------------------


def test_an_error_while_all_channels_are_granted_answered_none_of_them() -> None:
    talk = asked(DEPTH, TRADE, TICKER)
    assert not talk.session.receive(Refused(30093, "stray"), talk.now)
    for name in (DEPTH, TRADE):
        assert not strays(talk.session.receive(Acknowledged(name), talk.now))

    events = talk.session.receive(Acknowledged(TICKER), talk.now)

    assert strays(events) == ["an error that answers no request: stray (error 30093)"]


def test_an_error_for_one_channel_waits_a_moment_for_its_acknowledgement() -> None:
    talk = asked(DEPTH)
    assert talk.session.receive(Refused(30093, "stray"), talk.now) == []

    granted, stray = talk.session.receive(Acknowledged(DEPTH), talk.now)

    assert isinstance(granted, Changed)
    assert isinstance(stray, Unasked)


def test_an_error_for_one_channel_that_is_not_granted_is_its_refusal() -> None:
    talk = asked(DEPTH)
    talk.session.receive(Refused(30093, "no"), talk.now)
    talk.now += GRACE

    (trouble,) = talk.tick()[0]

    assert isinstance(trouble, Trouble)
    assert isinstance(trouble.error, SubscriptionRejected)
    assert trouble.error.code == 30093
    assert talk.session.subscriptions[DEPTH].tries == 1


@pytest.mark.parametrize("code", [30040, 30099, 30013, 30026])
def test_an_error_that_names_another_channel_answers_no_request(code: int) -> None:
    talk = asked(DEPTH)

    events = talk.session.receive(Refused(code, "Channel spot/trade:X-Y: no"), talk.now)

    assert len(strays(events)) == len(events) == 1
    assert talk.session.subscriptions[DEPTH].phase is Phase.ASKED


def test_an_error_that_names_a_channel_in_other_letters_answers_its_request() -> None:
    talk = asked(DEPTH)

    events = talk.session.receive(Refused(30040, f"Channel {DEPTH.upper()}"), talk.now)

    assert not strays(events)


def test_an_error_of_a_key_on_a_line_without_a_login_waits_for_the_channel() -> None:
    talk = asked(DEPTH)
    assert talk.session.receive(Refused(30013, "Invalid sign"), talk.now) == []
    talk.now += GRACE

    (changed,) = talk.tick()[0]

    assert isinstance(changed, Changed)
    assert changed.error is not None
    assert changed.error.cause_code is CauseCode.LOGIN


# --- The key ------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "row"), LOGINS)
def test_a_login_is_sent_again_as_the_code_advises(protocol: str, row: object) -> None:
    found = CODES[protocol][str(getattr(row, "code", ""))]
    talk = asked("account", wire=WIRES[protocol], login=True)
    told = []
    for _ in range(TRIES):
        events = talk.session.receive(Refused(found.code, "no"), talk.now)
        told += events
        if isinstance(events[0], LockedOut):
            break
        talk.now += 600.0
        talk.tick()

    tries = TRIES if found.advice is Advice.TRIES or found.advice.passes else 1
    assert len(told) == tries
    assert isinstance(told[-1], Trouble if found.advice.passes else LockedOut)
    error = told[-1].error
    assert isinstance(error, LoginRejected)
    assert error.cause_code in (found.advice.cause_code, CauseCode.LOGIN)
    assert error.cause_code is not CauseCode.REJECTED


def test_a_key_that_is_refused_beside_a_channel_is_locked_out() -> None:
    talk = asked("account", wire=V5, login=True)
    talk.session.receive(LoggedIn(), talk.now)
    talk.tick()

    (out,) = talk.session.receive(Refused("60005", "no", talk.id), talk.now)

    assert isinstance(out, LockedOut)


def test_a_stray_error_of_a_key_locks_nothing_out() -> None:
    talk = asked("spot/account:BTC", login=True)
    talk.session.receive(LoggedIn(), talk.now)
    talk.tick()

    assert talk.session.receive(Refused(30013, "Invalid sign"), talk.now) == []
    events = talk.session.receive(Acknowledged("spot/account:BTC"), talk.now)

    assert len(strays(events)) == 1


# --- What an error says -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("books-l2-tbt:BTC-USDT", "; it needs the fee tier VIP4"),
        ("books5:BTC-USDT", "; it needs a higher fee tier"),
    ],
)
def test_a_tier_that_is_too_low_names_the_one_that_is_needed(
    name: str, says: str
) -> None:
    talk = asked(name, wire=V5)

    (changed,) = talk.session.receive(Refused("64003", "no", talk.id), talk.now)

    assert isinstance(changed, Changed)
    assert changed.error is not None
    assert changed.error.cause_code is CauseCode.TIER
    assert str(changed.error).endswith(says)


def test_the_most_channels_of_a_request_is_kept() -> None:
    talk = asked(DEPTH, TRADE, TICKER)

    assert talk.session.largest_batch == 3


def test_an_error_of_this_request_that_names_a_channel_of_another_one_is_told() -> None:
    talk = asked("books5:BTC-USDT", wire=V5)
    talk.session.receive(Acknowledged("books5:BTC-USDT", talk.id), talk.now)
    talk.session.want("trades:BTC-USDT", "trades", False, talk.now)
    talk.tick()

    said = Refused("60018", "channel:books5,instId:BTC-USDT no", talk.id)
    (trouble,) = talk.session.receive(said, talk.now)

    assert isinstance(trouble, Trouble)
    assert talk.session.subscriptions["trades:BTC-USDT"].phase is Phase.ASKED


# --- What another machine forwards --------------------------------------------------

WHY = Cause(CauseCode.WITHHELD, "no producer")


def test_a_pong_of_the_line_grants_no_lease_where_data_is_forwarded() -> None:
    near, far = asked(DEPTH), asked(DEPTH, forwarded=True)
    for talk, granted in ((near, True), (far, False)):
        # The first pong has come with the first tick.
        talk.now += 5.0
        talk.session.tick(talk.now, talk.now, talk.now)
        found = talk.session.receive(Pong(), talk.now)
        assert any(isinstance(event, Renewed) for event in found) is granted


def test_evidence_grants_a_lease_from_the_moment_that_it_is_of() -> None:
    talk = asked(DEPTH, forwarded=True)

    (renewed,) = talk.session.receive(Vouched(10.0, 1e9, 4.0, 9.0, WHY), 11.0)

    assert isinstance(renewed, Renewed)
    assert renewed.proven == 6.0
    assert renewed.lease == Lease(15.0, 1e9, 0, WHY)
    # It pings as often as that lease asks for.
    talk.now = 1.5
    assert talk.tick()[1] == ["ping"]


def test_what_is_withheld_answers_its_request_and_waits_without_an_end() -> None:
    talk = asked(DEPTH, TRADE, forwarded=True)

    (held,) = talk.session.receive(Withheld((DEPTH,), State.CONNECTING, WHY), 0.0)

    one = talk.session.subscriptions[DEPTH]
    assert held == Held((one,), State.CONNECTING, WHY)
    assert one.phase is Phase.WITHHELD
    assert open_request_of(talk.session).channels == {TRADE}
    talk.session.receive(Acknowledged(TRADE), 0.0)
    talk.now = 1000.0
    events, texts = talk.tick()
    assert (events, texts) == ([], ["ping"])
    (changed,) = talk.session.receive(Acknowledged(DEPTH), talk.now)
    assert changed == Changed(one, Step.ACKNOWLEDGED)


def test_what_is_withheld_again_is_told_again_and_may_be_left() -> None:
    talk = asked(DEPTH, forwarded=True)
    talk.session.receive(Acknowledged(DEPTH), 0.0)
    for text in ("one", "two"):
        why = Cause(CauseCode.WITHHELD, text)
        (held,) = talk.session.receive(Withheld((DEPTH,), State.STALE, why), 0.0)
        assert isinstance(held, Held)
        assert held.cause == why

    talk.session.drop(talk.session.subscriptions[DEPTH])

    assert any("unsubscribe" in text for text in talk.tick()[1])


def test_what_nothing_wants_is_not_withheld() -> None:
    talk = asked(DEPTH, forwarded=True)

    assert talk.session.receive(Withheld(("x",), State.STALE, WHY), 0.0) == []
