"""One open connection, a turn at a time, in virtual time and without a socket."""

from __future__ import annotations

import json
import logging
import math
from typing import Any, get_args

import pytest

from okex_ws.base.errors import (
    BookError,
    ChecksumMismatch,
    ConnectionLost,
    LoginRejected,
    SequenceGap,
    Stalled,
    SubscriptionRejected,
    WireError,
)
from okex_ws.base.state import Cause, CauseCode, State
from okex_ws.pool.opening import FULL_READ
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.session.events import Changed, Event, Held, LockedOut, Trouble, Unasked
from okex_ws.session.login import Login
from okex_ws.session.subscription_state import Phase, Step, SubscriptionState
from okex_ws.trust.heartbeat import Renewed
from okex_ws.trust.lease import Lease
from tests.support.clocks import WALL
from tests.support.internals import forget_pings, take_in
from tests.support.opening_bench import (
    BOOK,
    ENDPOINT,
    TRADES,
    Bench,
    Target,
    ack,
    argument,
    push,
)

WHOLE = "books:BTC-USDT"


def error(code: str, message: str = "no") -> str:
    return json.dumps({"event": "error", "code": code, "msg": message})


@pytest.fixture
def bench() -> Bench:
    return Bench()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def subscription(bench: Bench, name: str = BOOK) -> SubscriptionState[Any]:
    return bench.session.subscriptions[name]


def live(bench: Bench) -> list[str]:
    """The channels whose value stands."""
    found = bench.targets.items()
    return [n for n, t in found if t.current.data and not t.current.is_withdrawn]


def same_error(told: WireError | BookError, error: WireError | BookError) -> bool:
    """Whether *told* says what *error* says, and is not that object."""
    return (
        told is not error
        and (type(told), told.args[:2]) == (type(error), error.args[:2])
        and told.__cause__ is told.__context__ is None
    )


# --- A turn -------------------------------------------------------------------------


def test_a_turn_sends_what_is_due_and_waits_for_the_next(bench: Bench) -> None:
    bench.want()

    bench.talk.turn()

    ping, request = bench.transport.sent
    assert ping == "ping"
    assert json.loads(request)["args"] == [argument(BOOK)]
    # For the next ping, long before the acknowledgement and the pong are missing.
    assert bench.transport.waits == [5.0]


def test_nothing_is_sent_before_it_is_due(bench: Bench) -> None:
    bench.subscribed()
    for _ in range(3):
        bench.talk.turn()

    assert bench.transport.sent == []
    assert bench.transport.waits == [5.0] * 3


def test_a_look_that_is_due_sooner_cuts_the_wait_short(bench: Bench) -> None:
    bench.subscribed()
    bench.handler.next_look = bench.clock.now + 2
    bench.transport.passing = math.inf

    bench.talk.turn()

    assert bench.transport.waits == [2.0]
    assert bench.handler.words() == ["look_again"]


def test_what_breaks_is_raised(bench: Bench) -> None:
    bench.transport.end = ConnectionLost(ENDPOINT, "reset by peer")

    with pytest.raises(ConnectionLost, match="reset by peer"):
        bench.talk.turn()


def test_the_time_of_the_last_bytes_is_that_of_the_transport(bench: Bench) -> None:
    bench.transport.passing = 3.0

    bench.hear("pong")

    assert bench.talk.era.heard == bench.clock.now == 1003.0


def test_what_came_is_counted_by_the_frame(bench: Bench) -> None:
    bench.hear("pong", "pong", "{")

    assert bench.counts.messages == 3


# --- Pushes -------------------------------------------------------------------------


def test_a_push_goes_to_its_own_channel_and_the_first_is_marked(bench: Bench) -> None:
    book, trades = bench.want(), bench.want(TRADES)
    bench.talk.turn()

    bench.hear(ack(BOOK), ack(TRADES), push(BOOK, "a"), push(TRADES, "b"))
    bench.hear(push(BOOK, "c"), push(TRADES, "d"))

    assert book.take() == [("a", True), ("c", False)]
    assert trades.take() == [("b", True), ("d", False)]


def test_a_frame_of_several_instruments_is_one_push_each() -> None:
    bench = Bench(V3)
    names = [f"spot/ticker:{coin}-USDT" for coin in ("BTC", "ETH")]
    targets = [bench.want(name) for name in names]
    bench.talk.turn()
    bench.hear(*(json.dumps({"event": "subscribe", "channel": n}) for n in names))

    elements = [{"instrument_id": f"{coin}-USDT"} for coin in ("BTC", "ETH")]
    bench.hear(json.dumps({"table": "spot/ticker", "data": elements}))

    assert [target.take() for target in targets] == [[(e, True)] for e in elements]
    assert bench.counts.messages == 3


def test_data_that_nobody_asked_for_is_counted(bench: Bench) -> None:
    """So is what comes of a channel that was unsubscribed."""
    target = bench.subscribed()
    bench.session.drop(bench.session.subscriptions[BOOK])
    bench.talk.turn()

    bench.hear(push(BOOK, "late"), push(TRADES, "strange"))

    assert target.take() == []
    assert bench.counts.dropped == {"unasked": 2}


def test_the_first_data_may_come_before_its_acknowledgement(bench: Bench) -> None:
    book, whole = bench.want(), bench.want(WHOLE, incremental=True)
    bench.talk.turn()

    bench.hear(push(BOOK, "a"), push(WHOLE, "no snapshot"))

    assert bench.handler.words() == ["acknowledged", "push"]
    bench.hear(ack(BOOK), ack(WHOLE), push(BOOK, "b"), push(WHOLE, "c"))
    assert bench.handler.words() == ["acknowledged", "push", "push"]
    assert book.take() == [("a", True), ("b", False)]
    assert whole.take() == [("c", True)]
    assert bench.counts.dropped == {"unasked": 1}


def test_a_snapshot_may_come_before_the_acknowledgement_of_its_book(
    bench: Bench,
) -> None:
    whole = bench.want(WHOLE, incremental=True)
    bench.talk.turn()
    snapshot = {"arg": argument(WHOLE), "action": "snapshot", "data": ["a"]}

    bench.hear(json.dumps(snapshot), push(WHOLE, "b"), ack(WHOLE))

    assert whole.take() == [("a", True), ("b", False)]
    assert bench.counts.dropped == {}


def test_an_unreadable_push_withdraws_its_channel_and_the_next_one_is_owed(
    bench: Bench,
) -> None:
    target = bench.subscribed()
    bench.hear(push(BOOK, "a"))
    target.error = WireError("depth", "no bids")
    bench.handler.words()

    bench.hear(push(BOOK, "b"))

    (unreadable, troubled) = bench.handler.heard
    assert unreadable[:3] == ("unreadable", target.error, subscription(bench))
    assert same_error(troubled[1], target.error)
    assert troubled[1].channel == BOOK
    assert troubled[2] is target
    assert (target.current.state, target.current.data) == (State.RESYNCING, None)
    assert bench.counts.dropped == {"depth": 1}
    target.error = None
    bench.hear(push(BOOK, "c"), push(BOOK, "d"))
    assert target.take() == [("a", True), ("c", True), ("d", False)]


@pytest.mark.parametrize(
    ("name", "phase"), [(BOOK, Phase.ACKNOWLEDGED), (TRADES, Phase.FLOWING)]
)
def test_an_unreadable_first_push_is_owed_still_where_one_is_owed(
    bench: Bench, name: str, phase: Phase
) -> None:
    target = bench.subscribed(name)
    target.error = WireError("trade", "no price")

    bench.hear(push(name, "a"))

    assert bench.session.subscriptions[name].phase is phase


def test_what_is_no_message_may_have_been_of_any_channel(bench: Bench) -> None:
    book, trades = bench.subscribed(), bench.subscribed(TRADES)
    bench.hear(push(BOOK, "a"), push(TRADES, "a"))
    bench.handler.words()

    bench.hear("{")

    (name, wire_error, meant, _), (then, told, channel) = bench.handler.heard
    assert (name, wire_error.channel, meant) == ("unreadable", None, None)
    # Everything is withdrawn before anything is told.
    assert (then, channel) == ("troubled", None)
    assert told.args[:2] == wire_error.args[:2]
    assert told.__cause__ is told.__context__ is None
    assert live(bench) == []
    assert bench.counts.dropped == {"json": 1}
    bench.hear(push(BOOK, "b"), push(TRADES, "b"))
    assert book.take()[1:] == [("b", True)]
    assert trades.take()[1:] == [("b", False)]


@pytest.mark.parametrize(
    ("argument_sent", "left"),
    [
        ({"channel": "BOOKS5", "instId": "btc-usdt", "x": []}, [TRADES]),
        ({"channel": "books5", "instId": []}, [TRADES]),
        ({"channel": [], "instId": "BTC-USDT"}, []),
        ({"channel": "news", "instId": []}, []),
        ([], []),
    ],
)
def test_data_of_an_unknown_form_withdraws_the_channels_that_it_may_belong_to(
    bench: Bench, argument_sent: object, left: list[str]
) -> None:
    for name in (BOOK, TRADES):
        bench.subscribed(name)
        bench.hear(push(name, "a"))
    bench.handler.words()

    bench.hear(json.dumps({"arg": argument_sent, "data": [{}]}))

    assert live(bench) == left
    assert bench.handler.words()[-1] == "troubled"
    assert bench.counts.dropped.total() == 1


# --- Books ---------------------------------------------------------------------------


def broken(bench: Bench, name: str = WHOLE, error: BookError | None = None) -> Target:
    """A book that was pushed once, and then failed its proof."""
    target = bench.subscribed(name, incremental=True)
    bench.hear(push(name, "a"))
    bench.handler.words()
    target.error = error or SequenceGap(7, 9)
    bench.hear(push(name, "b"))
    target.error = None
    return target


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ChecksumMismatch(1, 2), "checksum"),
        (SequenceGap(7, 9), "sequence"),
        (BookError("a negative size"), "book"),
        (WireError("book", "no asks"), "book"),
    ],
)
def test_a_book_that_fails_is_withdrawn_before_anything_else_and_left(
    bench: Bench, error: WireError | BookError, kind: str
) -> None:
    target = bench.subscribed(WHOLE, incremental=True)
    bench.hear(push(WHOLE, "a"))
    bench.handler.words()
    target.error = error

    bench.hear(push(WHOLE, "b"))

    (first, given, meant, _), (second, told, channel) = bench.handler.heard
    assert (first, second) == ("unreadable", "troubled")
    assert given is error
    assert meant is subscription(bench, WHOLE)
    assert same_error(told, error)
    assert told.channel == WHOLE
    assert channel is target
    assert live(bench) == []
    assert bench.session.subscriptions[WHOLE].phase is Phase.BROKEN
    assert bench.counts.dropped == {kind: 1}
    bench.talk.turn()
    assert json.loads(bench.transport.sent[-1])["op"] == "unsubscribe"
    assert json.loads(bench.transport.sent[-1])["args"] == [argument(WHOLE)]


def test_what_comes_of_a_book_that_is_broken_is_dropped_and_counted(
    bench: Bench,
) -> None:
    target = broken(bench)
    bench.hear(push(WHOLE, "broken"))
    assert bench.session.subscriptions[WHOLE].phase is Phase.LEAVING
    bench.hear(push(WHOLE, "leaving"))
    bench.hear(ack(WHOLE, "unsubscribe"))
    bench.talk.turn()
    assert bench.session.subscriptions[WHOLE].phase is Phase.DRAINING
    bench.hear(push(WHOLE, "a straggler"), "pong")
    bench.talk.turn()
    assert bench.session.subscriptions[WHOLE].phase is Phase.ASKED
    bench.hear(push(WHOLE, "asked"))

    assert target.take() == [("a", True)]
    assert bench.counts.dropped == {"sequence": 1, "resynchronising": 4}
    bench.hear(ack(WHOLE), push(WHOLE, "anew"), push(WHOLE, "next"))
    assert target.take() == [("anew", True), ("next", False)]


def test_a_push_that_is_of_no_use_yet_is_no_first_push(bench: Bench) -> None:
    target = bench.subscribed(WHOLE, incremental=True)
    target.used = False
    bench.hear(push(WHOLE, "of the old stream"))
    assert bench.session.subscriptions[WHOLE].phase is Phase.ACKNOWLEDGED
    target.used = True

    bench.hear(push(WHOLE, "snapshot"), push(WHOLE, "update"))

    pushes = target.take()
    assert [first for _, first in pushes] == [True, True, False]
    assert bench.session.subscriptions[WHOLE].phase is Phase.FLOWING


def test_no_use_after_the_first_push_takes_nothing_back(bench: Bench) -> None:
    target = bench.subscribed(WHOLE, incremental=True)
    bench.hear(push(WHOLE, "a"))
    target.used = False

    bench.hear(push(WHOLE, "b"))

    assert bench.session.subscriptions[WHOLE].phase is Phase.FLOWING


def test_what_is_no_message_breaks_every_book_and_no_other_is_left(
    bench: Bench,
) -> None:
    names = [WHOLE, "books:ETH-USDT"]
    for name in names:
        bench.subscribed(name, incremental=True)
    other = bench.subscribed(TRADES)
    bench.hear(*(push(name, "a") for name in (*names, TRADES)))

    bench.hear("{")
    bench.talk.turn()

    request = json.loads(bench.transport.sent[-1])
    assert request["op"] == "unsubscribe"
    assert request["args"] == [argument(name) for name in names]
    bench.hear(push(TRADES, "b"))
    assert other.take() == [("a", True), ("b", False)]


def test_each_book_that_fails_is_told_and_logged_once_a_minute(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    names = (WHOLE, "books:ETH-USDT")
    for name in names:
        bench.subscribed(name, incremental=True)
    for name in names:
        bench.hear(push(name, "a"))
        bench.targets[name].error = SequenceGap(7, 9)
        bench.handler.words()
        bench.hear(push(name, "b"))
        bench.targets[name].error = None
        assert bench.handler.words().count("troubled") == 1
    for name in names:
        bench.hear(ack(name, "unsubscribe"))
        bench.talk.turn()
    bench.hear("pong")
    bench.talk.turn()
    bench.hear(ack(WHOLE), push(WHOLE, "c"))
    bench.targets[WHOLE].error = SequenceGap(7, 9)

    bench.hear(push(WHOLE, "d"))

    assert bench.handler.words().count("troubled") == 1
    assert bench.counts.dropped == {"sequence": 3}
    assert len(warnings(caplog)) == 2


def test_each_channel_whose_message_cannot_be_read_is_told_of_it(
    bench: Bench,
) -> None:
    """What happened to one is told to its followers alone: no other speaks for it."""
    for name in (BOOK, "books5:ETH-USDT"):
        target = bench.subscribed(name)
        bench.hear(push(name, "a"))
        bench.handler.words()
        target.error = WireError("depth", "no bids")

        bench.hear(push(name, "b"))

        told = [
            call[1].channel for call in bench.handler.heard if call[0] == "troubled"
        ]
        assert told == [name]


def test_what_cannot_be_used_is_said_once_a_minute_and_kind(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.subscribed()
    for _ in range(3):
        bench.hear("{", '{"event":"hello"}')
    assert bench.handler.words().count("troubled") == 1
    bench.hear("pong")
    bench.clock.advance(61)
    forget_pings(bench.session)

    bench.hear("{")

    assert bench.handler.words().count("troubled") == 1
    said = [text.split(":")[0] for text in warnings(caplog)]
    json_said = "unreadable message (json)"
    assert said == [json_said, "unknown message (event)", json_said]
    assert bench.counts.dropped["json"] == 4
    assert bench.counts.dropped["unknown"] == 3


# --- What the exchange says ---------------------------------------------------------


def test_an_acknowledgement_is_told_of_its_channel(bench: Bench) -> None:
    target = bench.want()
    bench.talk.turn()

    bench.hear(ack(BOOK))

    assert bench.handler.heard == [("acknowledged", target, bench.clock.now)]
    assert target.acknowledged
    assert target.current.era is bench.talk.era


def test_an_end_that_nobody_asked_for_is_told(bench: Bench) -> None:
    target = bench.subscribed()

    bench.hear(ack(BOOK, "unsubscribe"))

    assert bench.handler.heard == [("unsubscribed", target, bench.clock.now)]
    assert not target.acknowledged


def test_a_refusal_is_told_of_its_channel(bench: Bench) -> None:
    target = bench.want()
    bench.talk.turn()

    bench.hear(error("60018", "doesn't exist"))

    ((word, channel, refused, now),) = bench.handler.heard
    assert (word, channel, now) == ("refuse", target, bench.clock.now)
    assert (refused.code, refused.message) == ("60018", "doesn't exist")


def test_the_end_of_a_kind_of_channel_is_told_of_each_of_them(bench: Bench) -> None:
    names = ["orders:BTC-USDT", "orders:ETH-USDT"]
    for name in names:
        bench.subscribed(name)
    said = {"event": "channel-conn-count-error", "channel": "orders"}

    bench.hear(json.dumps({**said, "connCount": "31"}))

    assert [call[:2] for call in bench.handler.heard] == [
        ("refuse", bench.targets[name]) for name in names
    ]


def test_trouble_that_passes_is_a_warning(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.want()
    bench.talk.turn()

    bench.hear(error("60014", "Requests too frequent"))

    ((word, trouble, _),) = bench.handler.heard
    assert word == "troubled"
    assert warnings(caplog) == [str(trouble)]
    assert "Requests too frequent" in str(trouble)


def test_an_answer_that_stays_away_is_a_warning(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.want(TRADES)
    bench.talk.turn()
    bench.clock.advance(9)
    bench.hear("pong")
    bench.handler.words()
    bench.clock.advance(1)
    bench.talk.turn()

    bench.talk.turn()

    said = f"no acknowledgement of subscribe {TRADES} came within 10 s"
    assert warnings(caplog) == [said]
    assert bench.handler.words() == ["troubled"]


def test_a_key_that_is_refused_is_told() -> None:
    bench = Bench(login=Login("log in at {:.0f}".format, 600.0))
    bench.want()
    bench.talk.turn()

    bench.hear(error("60005", "Invalid apiKey"))

    assert bench.transport.sent == ["ping", f"log in at {WALL:.0f}"]
    (word, refused), _ = bench.handler.heard
    assert word == "locked_out"
    assert isinstance(refused, LoginRejected)


@pytest.mark.parametrize(
    ("said", "level", "sentence"),
    [
        (
            {"event": "notice", "code": "64007", "msg": "is getting slow\x1b[31m"},
            logging.WARNING,
            "notice 64007: is getting slow\ufffd[31m",
        ),
        (
            {"event": "channel-conn-count", "channel": "orders", "connCount": "2"},
            logging.INFO,
            "notice channel-conn-count: 2 connections have 'orders'",
        ),
    ],
)
def test_a_notice_is_logged_and_its_end_handed_on(
    bench: Bench,
    caplog: pytest.LogCaptureFixture,
    said: dict[str, str],
    level: int,
    sentence: str,
) -> None:
    caplog.set_level(logging.INFO, "okex_ws")
    bench.subscribed()

    bench.hear(json.dumps(said))

    assert [(r.levelno, r.getMessage()) for r in caplog.records] == [
        (level, f"{ENDPOINT}: {sentence}")
    ]
    # Only one of the two says that the connection will be closed.
    expected = ["ending"] if "64008" in sentence else []
    assert bench.handler.words() == expected
    assert bench.counts.dropped == {}


def test_an_answer_to_nothing_is_counted_and_an_error_is_said_too(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.subscribed()
    bench.hear(push(BOOK, "a"))

    bench.hear("pong", ack(BOOK), error("60012", "what?"))
    bench.hear('{"event":"login","code":"0"}')

    assert bench.counts.dropped == {
        f"unasked {kind}": 1 for kind in ("pong", "ack", "error", "login")
    }
    assert warnings(caplog) == ["an error that answers no request: what? (error 60012)"]


CHANNEL = Target(Bench(), BOOK)
ENTRY: SubscriptionState[Any] = SubscriptionState(BOOK, CHANNEL, needs_snapshot=True)
SAMPLES: list[Event] = [
    Changed(ENTRY, Step.ACKNOWLEDGED),
    Changed(ENTRY, Step.LEFT),
    Changed(ENTRY, Step.REFUSED, SubscriptionRejected("1", "no", BOOK)),
    LockedOut(LoginRejected("1", "no")),
    Trouble(Stalled("no pong came", 10.0)),
    Renewed(Lease(1015.0, WALL), 1000.0, 0.1, 1),
    Unasked("ack"),
    Held((ENTRY,), State.STALE, Cause(CauseCode.WITHHELD, "not vouched for")),
]


def test_there_is_a_sample_of_every_event() -> None:
    assert {type(event) for event in SAMPLES} == set(get_args(Event))


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_no_event_passes_without_a_trace(
    bench: Bench, caplog: pytest.LogCaptureFixture, event: Event
) -> None:
    caplog.set_level(logging.INFO, "okex_ws")

    take_in(bench.talk, event, bench.clock.now, bench.clock.wall())

    assert bench.handler.heard or caplog.records or bench.counts.dropped


# --- The lease ----------------------------------------------------------------------


def test_a_pong_begins_a_lease_and_ends_an_outage(bench: Bench) -> None:
    bench.outage_log.log_loss(ENDPOINT, ConnectionLost(ENDPOINT, "reset"), 0.0)
    bench.talk.turn()
    assert bench.outage_log.note(bench.clock.now) != ""
    bench.clock.advance(0.25)

    bench.hear("pong")

    assert bench.talk.era.lease == Lease(1015.0, WALL - 1000.0)
    assert (bench.counts.last_pong, bench.counts.round_trip) == (WALL + 0.25, 0.25)
    assert bench.handler.heard == [("look_again", 1000.25)]
    assert bench.outage_log.note(bench.clock.now) == ""


def test_the_end_of_a_lease_is_told_once_and_at_its_moment(bench: Bench) -> None:
    bench.subscribed(TRADES)
    bench.clock.advance(5)
    bench.talk.turn()
    bench.transport.passing = math.inf
    bench.transport.waits.clear()
    # The pong is still on the way, and something else in front of it.
    bench.transport.say(size=FULL_READ)

    while bench.clock.now < 1015:
        bench.talk.turn()

    assert bench.handler.heard == [("look_again", 1015.0)]


def test_the_end_of_a_lease_is_told_before_what_came_after_it(bench: Bench) -> None:
    bench.subscribed(TRADES)
    bench.clock.advance(14)
    bench.talk.turn()
    bench.transport.passing = 3.0
    bench.transport.say(push(TRADES, "a"))

    bench.talk.turn()

    assert bench.handler.words()[:2] == ["look_again", "push"]


def test_a_new_epoch_begins_before_a_lease_that_follows_a_lapse(bench: Bench) -> None:
    bench.subscribed()
    bench.clock.advance(5)
    bench.talk.turn()
    bench.talk.turn()
    bench.clock.advance(11)
    leases: list[Lease | None] = []
    look_again = bench.handler.look_again

    def look(now: float) -> None:
        leases.append(bench.talk.era.lease)
        look_again(now)

    vars(bench.handler)["look_again"] = look

    bench.hear("pong")

    # The end of the old lease is looked at before the new one is granted.
    assert bench.handler.words() == ["look_again", "look_again"]
    assert leases == [Lease(1015.0, WALL - 1000.0, 0), Lease(1020.0, WALL - 1000.0, 1)]


def test_the_end_of_each_lease_is_told(bench: Bench) -> None:
    bench.subscribed(TRADES)
    ends = []
    for _ in range(2):
        bench.clock.advance(5)
        bench.talk.turn()
        bench.hear("pong")
        bench.handler.words()
        # From the sending of the ping; a backlog may hide the next pong.
        bench.clock.advance(15)
        bench.transport.say(size=FULL_READ)
        bench.talk.turn()
        ends.append(bench.handler.words())
        bench.hear("pong")

    assert ends == [["look_again"]] * 2


def test_a_lease_that_is_renewed_in_time_begins_no_epoch(bench: Bench) -> None:
    bench.subscribed()
    bench.clock.advance(5)
    bench.talk.turn()
    bench.clock.advance(1)

    bench.hear("pong")

    assert bench.handler.words() == []
    assert bench.talk.era.lease == Lease(1020.0, WALL - 1000.0, 0)


def test_a_jump_of_the_wall_clock_ends_the_lease(bench: Bench) -> None:
    bench.subscribed()
    bench.clock.step_wall(2.0)

    bench.talk.turn()

    assert bench.handler.words() == ["look_again"]
    bench.talk.turn()
    assert bench.handler.words() == []


# --- Between two reads ---------------------------------------------------------------


def test_without_coalesce_a_connection_never_rests(bench: Bench) -> None:
    bench.subscribed()

    bench.hear(push(BOOK, "1"), push(BOOK, "2"))
    bench.talk.turn()

    assert bench.transport.rests == []


def test_after_a_read_a_connection_rests_once_and_then_waits() -> None:
    bench = Bench(coalesce=0.001)
    target = bench.subscribed()
    bench.talk.turn()
    bench.transport.rests.clear()

    bench.hear(push(BOOK, "1"))
    # It was handled before the rest, and nothing is read in it.
    assert target.take()[-1][0] == "1"
    bench.transport.say(push(BOOK, "2"))
    bench.talk.turn()
    assert (bench.transport.rests, target.take()) == ([0.001], [])

    bench.talk.turn()
    assert target.take()[-1][0] == "2"
    bench.talk.turn()
    assert bench.transport.rests == [0.001, 0.001]
    # Nothing has come since: it waits for what comes, without a further rest.
    bench.talk.turn()
    bench.talk.turn()
    assert bench.transport.rests == [0.001, 0.001]


def test_a_rest_is_no_longer_than_what_is_due_allows() -> None:
    bench = Bench(coalesce=0.1)
    bench.subscribed()
    bench.talk.turn()
    bench.hear(push(BOOK, "1"))
    bench.clock.advance(bench.session.due - bench.clock.now - 0.02)
    bench.transport.rests.clear()

    bench.talk.turn()

    assert bench.transport.rests == [pytest.approx(0.02)]
    bench.clock.advance(0.02)
    bench.talk.turn()
    bench.talk.turn()
    assert bench.transport.sent == ["ping"]


def test_after_a_full_read_more_has_come_and_a_connection_reads_on() -> None:
    bench = Bench(coalesce=0.001)
    bench.subscribed()
    bench.talk.turn()
    bench.transport.rests.clear()
    bench.transport.say(push(BOOK, "1"), size=1 << 20)
    bench.talk.turn()

    bench.talk.turn()

    assert bench.transport.rests == []


# --- A backlog ----------------------------------------------------------------------


def test_waiting_frames_of_slow_pushes_hold_the_ping_back_a_little(
    bench: Bench,
) -> None:
    target = bench.subscribed()
    target.takes = 2.0
    bench.transport.say(*(push(BOOK, str(number)) for number in range(10)))

    bench.talk.turn()

    # The next ping is due after five seconds.
    assert [element for element, _ in target.take()] == ["0", "1", "2"]
    assert bench.transport.sent == []
    bench.transport.waits.clear()
    bench.talk.turn()
    assert bench.transport.sent == []
    bench.talk.turn()
    assert bench.transport.sent == ["ping"]
    assert bench.transport.waits == []


def test_one_push_a_turn_is_taken_however_late_it_is(bench: Bench) -> None:
    target = bench.subscribed()
    target.takes = 30.0
    bench.transport.say(*(push(BOOK, number) for number in range(3)))

    for count in (1, 2):
        bench.talk.turn()
        assert len(target.pushes) == count


def test_a_pong_behind_waiting_frames_is_waited_for(bench: Bench) -> None:
    """What had come in time counts, however late it is taken in."""
    target = bench.subscribed()
    bench.clock.advance(5)
    bench.talk.turn()
    target.takes = 6.0
    bench.transport.say(push(BOOK, "a"), push(BOOK, "b"), "pong")
    for _ in range(3):
        bench.talk.turn()

    assert bench.clock.now - 1005 > 10
    # The lease before ended meanwhile, which the new one counts.
    assert bench.talk.era.lease == Lease(1020.0, WALL - 1000.0, 1)


def test_a_pong_that_is_not_among_waiting_frames_is_missing(bench: Bench) -> None:
    bench.subscribed()
    bench.clock.advance(5)
    bench.talk.turn()
    bench.transport.say(push(BOOK, "a"), size=FULL_READ)
    bench.talk.turn()
    bench.clock.advance(10)
    # A full read may not have been all; a smaller one was.
    bench.transport.say(push(BOOK, "b"), size=FULL_READ)
    bench.talk.turn()
    bench.transport.say(push(BOOK, "c"), size=FULL_READ - 1)
    bench.talk.turn()

    with pytest.raises(Stalled, match="no pong came"):
        bench.talk.turn()


def test_a_pong_in_a_backlog_renews_no_lease(bench: Bench) -> None:
    """A callback blocks longer than the lease lasts; one pong too many has come."""
    target = bench.subscribed()
    bench.clock.advance(6)
    target.takes = 20.0
    bench.hear(push(BOOK, "a"))
    target.takes = 0.0
    # The ping is due since 5.0.
    bench.transport.say("pong", push(BOOK, "b"), "pong")

    for _ in range(5):
        bench.talk.turn()
        lease = bench.talk.era.lease
        assert lease is not None
        assert not lease.holds(bench.clock.now, bench.clock.now + WALL - 1000.0)

    # The second one, of an empty backlog, renews the lease.
    assert bench.transport.sent == ["ping", "ping"]
    bench.hear("pong")
    assert bench.talk.era.lease is not None
    assert bench.talk.era.lease.until == bench.clock.now + 15.0


def test_full_reads_prove_in_time_what_was_read(bench: Bench) -> None:
    """No more can wait than the kernel holds: once so much was read, that was, too."""
    bench.subscribed()
    bench.transport.most_unread = 3 * FULL_READ
    bench.clock.advance(5)
    sent = []
    for number in range(6):
        bench.clock.advance(0.1)
        bench.transport.say(push(BOOK, str(number)), size=FULL_READ)
        bench.talk.turn()
        sent.append(list(bench.transport.sent))
    # It is due since 5.0. The third read has taken what had come by the first.
    assert sent == [[], [], [], ["ping"], ["ping"], ["ping"]]


def test_once_it_is_closed_nothing_more_is_taken_in(bench: Bench) -> None:
    target = bench.subscribed()
    bench.want(TRADES)
    bench.talk.turn()

    def close(*_: Any) -> None:
        bench.talk.closing = True

    vars(bench.handler)["acknowledged"] = close
    bench.transport.say(push(BOOK, "a"), ack(TRADES), push(BOOK, "b"))

    bench.talk.turn()
    bench.talk.turn()

    assert target.take() == [("a", True)]
