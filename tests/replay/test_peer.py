"""The exchange's end of a replayed connection: what it says to what it is asked."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.uri import parse_uri

from okex_ws import ConnectionLost
from okex_ws.recording.format import Entry
from okex_ws.recording.keyframes import MADE, digest_of
from okex_ws.replay.matching import ConnectionMatcher
from okex_ws.replay.peer import Peer
from okex_ws.replay.script import Script
from tests.support.recordings import (
    ACK,
    BOOKS5,
    SUBSCRIBE,
    asked,
    at,
    depth,
    heard,
    opened,
    session,
)


class Talk:
    """A client of the `websockets` package, and the peer that it talks to."""

    def __init__(
        self, *entries: Entry, now: float = 0.0, bind: bool = True, late: float = 0.0
    ) -> None:
        self.matcher = ConnectionMatcher(Script(entries, "day.rec.gz", None))
        self.peer = Peer(self.matcher, self, "public", "ws://example.test", late)
        self.client = ClientProtocol(parse_uri("ws://example.test/ws/v5/public"))
        self.client.send_request(self.client.connect())
        if bind:
            (connection, *_) = self.matcher.candidates(self, "public", now)
            self.matcher.take(self, connection, 0.0)
            self.peer.bind(connection, now)
        self.ship(now)
        self.hear(now)

    def ship(self, now: float) -> None:
        for data in self.client.data_to_send():
            self.peer.receive(data, now, now)

    def say(self, text: str, now: float) -> list[str]:
        """Say *text*: what is answered at once."""
        self.client.send_text(text.encode())
        self.ship(now)
        return self.hear(now)

    def ask(self, *names: str, now: float, op: str = "subscribe") -> list[str]:
        """Ask for ``books5`` of these."""
        args = [{"channel": "books5", "instId": name} for name in names]
        return self.say(json.dumps({"id": "9", "op": op, "args": args}), now)

    def hear(self, now: float) -> list[str]:
        """What is said by *now*."""
        self.peer.advance(now)
        self.client.receive_data(bytes(self.peer.outbox))
        self.peer.outbox.clear()
        found = []
        for event in self.client.events_received():
            opcode = getattr(event, "opcode", None)
            if opcode is Opcode.TEXT:
                found.append(bytes(event.data).decode())  # type: ignore[union-attr]
            elif opcode is not None:
                found.append(opcode.name)
        return found


PUSHES = [heard(float(n), depth(float(n), f"{100 + n}.1")) for n in (1, 2, 3, 30)]
TEXTS = [entry.payload.decode() for entry in PUSHES]
OWN_ACK = ACK.replace('"id":"1"', '"id":"9"')


def test_what_was_asked_for_comes_at_its_time_byte_for_byte() -> None:
    talk = Talk(*session(*PUSHES))

    assert talk.ask("BTC-USDT", now=0.01) == []
    assert talk.peer.due() == 0.05
    assert talk.hear(0.05) == [OWN_ACK]
    assert talk.peer.due() == 1.0
    assert talk.hear(2.5) == TEXTS[:2]
    assert talk.hear(100.0) == TEXTS[2:]
    assert talk.peer.due() == math.inf


def test_what_was_not_asked_for_does_not_come() -> None:
    talk = Talk(*session(*PUSHES))

    assert talk.peer.due() == math.inf
    assert talk.hear(100.0) == []


def test_what_is_left_comes_no_more() -> None:
    talk = Talk(*session(*PUSHES))
    talk.ask("BTC-USDT", now=0.01)
    talk.hear(1.0)

    (left,) = talk.ask("BTC-USDT", now=1.5, op="unsubscribe")

    assert json.loads(left)["event"] == "unsubscribe"
    assert json.loads(left)["id"] == "9"
    assert talk.hear(50.0) == []


def test_who_asks_late_gets_the_answer_at_once_and_the_newest() -> None:
    talk = Talk(*session(*PUSHES))

    assert talk.ask("BTC-USDT", now=10.0) == [OWN_ACK, TEXTS[2]]
    assert talk.hear(30.0) == TEXTS[3:]


def test_who_asks_a_moment_late_has_missed_nothing() -> None:
    talk = Talk(*session(heard(0.5, TEXTS[0]), heard(0.6, TEXTS[1])))

    assert talk.ask("BTC-USDT", now=0.7) == [OWN_ACK, *TEXTS[:2]]


def book(mono: float, action: str, bid: str) -> str:
    text = depth(mono, bid).replace("books5", "books")
    return text.replace('"data"', f'"action":"{action}","data"')


def test_of_a_whole_book_it_is_the_snapshot_and_the_changes_since() -> None:
    ask, ack = (text.replace("books5", "books") for text in (SUBSCRIBE, ACK))
    said = [
        *(book(1.0, "snapshot", "1"), book(2.0, "update", "2")),
        *(book(3.0, "snapshot", "3"), book(4.0, "update", "4")),
        book(5.0, "update", "5"),
    ]
    entries = [opened(), asked(0.1, ask), heard(0.2, ack)]
    entries += [heard(n, text) for n, text in enumerate(said, 1)]
    talk = Talk(*entries)

    (_, *missed) = talk.say(ask, 4.5)

    assert missed == said[2:4]
    assert talk.hear(5.0) == said[4:]


def test_what_was_left_then_is_no_present_value() -> None:
    leave = SUBSCRIBE.replace("subscribe", "unsubscribe")
    left = ACK.replace('"subscribe"', '"unsubscribe"')
    entries = [*session(heard(1.0, depth(1.0)), end=2.0)]
    gone = [asked(2.0, leave), heard(2.1, left), heard(30.1, "pong")]

    late = Talk(*entries, *gone)
    assert len(late.ask("BTC-USDT", now=30.0)) == 1
    # The twin: if the channel was not left, its newest push still counts.
    stayed = Talk(*entries, heard(30.1, "pong"))
    assert stayed.ask("BTC-USDT", now=30.0)[1:] == [depth(1.0)]


def kept(mono: float, text: str = "", key: str = "books:BTC-USDT") -> Entry:
    """The entry of a keyframe."""
    facts = {"channel": key, "sha256": digest_of(text.encode())}
    return at(mono, "keyframe", **facts)._replace(payload=text.encode())


SUBSCRIBE_BOOK = '{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}'


def made(mono: float, bid: str) -> str:
    return MADE + book(mono, "snapshot", bid)[1:]


def test_a_keyframe_comes_to_who_has_nothing_to_begin_with_and_once() -> None:
    first, second = made(3.0, "3"), made(6.0, "6")
    changes = [book(4.0, "update", "4"), book(7.0, "update", "7")]
    entries = [
        opened(again=True),
        *(kept(3.0, first), heard(4.0, changes[0])),
        *(kept(6.0, second), heard(7.0, changes[1])),
    ]

    early = Talk(*entries, now=2.0)
    answer = early.say(SUBSCRIBE_BOOK, 2.0)
    assert ['"event":"subscribe"' in each for each in answer] == [True]
    assert early.hear(8.0) == [first, *changes]
    # Between two of them it is the last one, and the changes since.
    late = Talk(*entries, now=5.0)
    assert late.say(SUBSCRIBE_BOOK, 5.0)[1:] == [first, changes[0]]
    assert late.hear(8.0) == [changes[1]]
    later = Talk(*entries, now=8.0)
    assert later.say(SUBSCRIBE_BOOK, 8.0)[1:] == [second, changes[1]]


def test_a_keyframe_of_another_channel_than_it_says_gives_nothing() -> None:
    other = made(3.0, "3").replace("BTC-USDT", "ETH-USDT")
    talk = Talk(opened(again=True), kept(3.0, other), heard(4.0, "pong"), now=2.0)

    talk.say(SUBSCRIBE_BOOK, 2.0)
    assert talk.hear(8.0) == []


def test_a_channel_that_stood_is_had_even_if_nothing_came() -> None:
    talk = Talk(opened(again=True), kept(3.0), heard(4.0, "pong"))

    assert talk.matcher.script.instruments == (("spot", "BTC-USDT", ("depth",)),)
    assert '"event":"subscribe"' in talk.say(SUBSCRIBE_BOOK, 5.0)[0]


def test_of_trades_what_is_past_is_past() -> None:
    ask, ack = (text.replace("books5", "trades") for text in (SUBSCRIBE, ACK))
    push = BOOKS5.replace("books5", "trades") + ',"data":[{"tradeId":"%d"}]}'
    entries = [opened(), asked(0.1, ask), heard(0.2, ack)]
    talk = Talk(*entries, heard(1.0, push % 1), heard(20.0, push % 2))

    assert len(talk.say(ask, 10.0)) == 1
    assert talk.hear(20.0) == [push % 2]


def test_each_time_it_is_asked_for_has_its_own_answer() -> None:
    again = [asked(5.0, SUBSCRIBE.replace('"1"', '"2"', 1))]
    again += [heard(5.2, ACK.replace('"1"', '"2"', 1)), heard(5.3, TEXTS[3])]
    talk = Talk(*session(*PUSHES[:2], *again))
    talk.ask("BTC-USDT", now=0.01)
    assert len(talk.hear(2.0)) == 3

    talk.ask("BTC-USDT", now=2.5, op="unsubscribe")
    assert talk.ask("BTC-USDT", now=3.0) == []
    assert talk.ask("BTC-USDT", now=3.0) == []
    assert talk.hear(5.25) == [OWN_ACK]
    assert talk.hear(6.0) == [TEXTS[3]]
    # One more than was recorded.
    talk.ask("BTC-USDT", now=7.0, op="unsubscribe")
    assert talk.ask("BTC-USDT", now=7.0) == [OWN_ACK, TEXTS[3]]


def test_who_asks_again_just_before_the_end_had_no_answer_then() -> None:
    end = at(5.0, "end", cause="ConnectionLost", why="up")
    for moment, answers in ((3.9, [OWN_ACK]), (4.1, [])):
        talk = Talk(*session(end=4.5), end)
        talk.ask("BTC-USDT", now=0.01)
        talk.hear(2.0)
        talk.ask("BTC-USDT", now=2.5, op="unsubscribe")

        assert talk.ask("BTC-USDT", now=moment) == answers

        assert talk.hear(5.0) == []
        assert talk.peer.end is not None


def test_a_recorded_refusal_comes_once_for_all_whom_it_meant() -> None:
    both = SUBSCRIBE.replace("]", ',{"channel":"books5","instId":"ETH-USDT"}]')
    error = '{"id":"1","event":"error","code":"60012","msg":"Invalid request"}'
    talk = Talk(opened(), asked(0.1, both), heard(0.2, error), heard(9.0, "pong"))

    assert talk.ask("BTC-USDT", "ETH-USDT", now=0.1) == []
    assert talk.hear(0.2) == [error.replace('"1"', '"9"', 1)]
    assert talk.ask("BTC-USDT", now=5.0) == [error.replace('"1"', '"9"', 1)]


def test_what_was_never_recorded_does_not_exist() -> None:
    talk = Talk(*session(*PUSHES))

    (refused,) = talk.ask("ETH-USDT", now=1.0)

    assert json.loads(refused)["code"] == "60018"
    assert "channel:books5,instId:ETH-USDT doesn't exist" in refused


def test_what_another_connection_carries_is_had_of_that() -> None:
    eth = [heard(float(n), depth(float(n), name="ETH-USDT"), 2) for n in (1, 4)]
    talk = Talk(opened(), opened(0.0, 2, line=2), heard(0.5, depth(0.5)), *eth)
    talk.ask("BTC-USDT", now=0.1)
    talk.hear(1.0)

    assert len(talk.ask("ETH-USDT", now=2.5)) == 2
    assert talk.hear(4.0) == [eth[1].payload.decode()]


def test_what_was_recorded_but_is_not_there_now_is_quiet() -> None:
    end = at(2.0, "end", 2, cause="ConnectionLost", why="reset")
    eth = heard(1.0, depth(1.0, name="ETH-USDT"), 2)
    talk = Talk(opened(), opened(0.0, 2, line=2), eth, end, heard(9.0, depth(9.0)))
    talk.ask("BTC-USDT", now=0.1)

    (ack,) = talk.ask("ETH-USDT", now=3.0)

    assert json.loads(ack)["event"] == "subscribe"


def test_what_another_connection_carried_ends_with_that() -> None:
    end = at(2.0, "end", 2, cause="ConnectionLost", why="reset")
    eth = heard(1.0, depth(1.0, name="ETH-USDT"), 2)
    entries = [opened(), opened(0.0, 2, line=2), heard(0.5, depth(0.5)), eth]
    again = [opened(5.0, 2, line=2), heard(6.0, depth(6.0, name="ETH-USDT"), 2)]
    again = [each._replace(connection=3) for each in again]
    rest = [heard(9.0, depth(9.0))]
    talk = Talk(*entries, end, *again, *rest)
    talk.ask("BTC-USDT", "ETH-USDT", now=0.1)

    (_, _, left) = talk.hear(3.0)
    assert json.loads(left)["event"] == "unsubscribe"
    assert json.loads(left)["arg"]["instId"] == "ETH-USDT"
    assert talk.peer.due() == 9.0
    # Once the next opening is there, it is had of that.
    assert talk.ask("ETH-USDT", now=6.5)[1:] == [depth(6.0, name="ETH-USDT")]
    # The twin: what does not end is not left.
    stays = Talk(*entries, *rest)
    stays.ask("BTC-USDT", "ETH-USDT", now=0.1)
    assert len(stays.hear(3.0)) == 2


# --- Pings, words, ends -------------------------------------------------------------


def test_a_ping_is_answered_by_the_next_recorded_pong() -> None:
    talk = Talk(*session(*PUSHES, end=12.0))

    assert talk.say("ping", 0.0) == []
    assert talk.hear(0.1) == ["pong"]
    assert talk.hear(5.1) == []
    assert talk.say("ping", 6.0) == []
    assert talk.say("ping", 7.0) == []
    assert talk.peer.due() == 10.1
    assert talk.hear(11.0) == ["pong"]
    # There is none any more: a stall is one again.
    assert talk.hear(1000.0) == []


def test_a_ping_that_is_late_gets_the_pong_that_has_gone_by_and_each_once() -> None:
    """By a clock that runs ten times as fast, a busy machine is late soon."""
    pongs = [heard(5.0 * n + 0.1, "pong") for n in range(3)]
    talk = Talk(opened(), *pongs, late=1.0)

    assert talk.say("ping", 0.9) == ["pong"]
    assert talk.say("ping", 1.0) == []
    assert talk.hear(5.1) == ["pong"]
    assert talk.say("ping", 5.5) == []
    assert talk.hear(10.1) == ["pong"]


def test_a_ping_after_the_end_of_a_channel_is_answered_at_once() -> None:
    """The client waits for that pong, and the recorded program may not have waited."""
    left = ACK.replace('"subscribe"', '"unsubscribe"')
    asked_to_leave = asked(5.9, SUBSCRIBE.replace('"subscribe"', '"unsubscribe"'))
    talk = Talk(*session(asked_to_leave, heard(6.0, left), end=12.0))
    talk.ask("BTC-USDT", now=0.01)
    talk.hear(1.0)
    talk.ask("BTC-USDT", now=5.9, op="unsubscribe")
    assert talk.say("ping", 5.95) == []

    (answer,) = talk.hear(6.0)

    assert json.loads(answer)["event"] == "unsubscribe"
    assert talk.say("ping", 6.5) == ["pong", "pong"]
    # A second later that answer proves nothing any more.
    assert talk.say("ping", 7.5) == []
    assert talk.hear(10.1) == ["pong"]


def test_who_asks_before_it_is_known_who_it_is_gets_that_pong_too() -> None:
    talk = Talk(opened(), *session(end=3)[1:], bind=False, late=1.0)

    assert talk.say("ping", 0.5) == []
    assert "pong" in talk.ask("BTC-USDT", now=0.6)


def test_where_there_are_no_pongs_at_all_a_ping_is_answered_at_once() -> None:
    talk = Talk(opened(), heard(1.0, depth(1.0)))

    assert talk.say("ping", 0.5) == ["pong"]


def test_a_login_is_accepted() -> None:
    talk = Talk(opened(), heard(1.0, depth(1.0)))

    (accepted,) = talk.say('{"op":"login","args":[{"apiKey":"k"}]}', 0.5)

    assert json.loads(accepted)["event"] == "login"
    assert json.loads(accepted)["code"] == "0"


def test_what_is_for_everybody_comes_as_it_is() -> None:
    notice = '{"event":"notice","code":"64008","msg":"soon"}'
    talk = Talk(
        opened(), heard(1.0, notice), heard(2.0, "garb"), at(3.0, "control", opcode=9)
    )

    assert talk.hear(3.0) == [notice, "garb", "PING"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"cause": "ConnectionLost", "why": "up", "code": 1012}, ["CLOSE"]),
        ({"cause": "ConnectionLost", "why": "up"}, []),
    ],
)
def test_an_end_comes_behind_all_that_was_said(
    facts: dict[str, Any], said: list[str]
) -> None:
    talk = Talk(*session(PUSHES[0]), at(200.0, "end", **facts))
    talk.ask("BTC-USDT", now=0.01)
    talk.hear(150.0)
    assert talk.peer.due() == 200.0
    assert talk.peer.end is None

    assert talk.hear(200.0) == said

    assert isinstance(talk.peer.end, ConnectionLost)
    assert talk.peer.end.reason == "up"
    assert talk.peer.due() == math.inf


def test_a_goodbye_is_answered_by_one() -> None:
    talk = Talk(*session(*PUSHES))
    talk.client.send_close(1000)
    talk.ship(1.0)

    assert talk.hear(1.0) == ["CLOSE"]
    assert talk.peer.end is not None
    assert talk.hear(50.0) == []


def test_a_connection_is_that_which_has_what_it_asks_for_first() -> None:
    eth = heard(1.0, depth(1.0, name="ETH-USDT"), 2)
    two = [opened(), opened(0.0, 2, line=2), heard(0.5, depth(0.5)), eth]
    talk = Talk(*two, bind=False)
    assert talk.say("ping", 0.0) == ["pong"]

    talk.ask("ETH-USDT", now=0.0)

    assert talk.hear(2.0) == [eth.payload.decode()]
    assert [
        each.number for each in talk.matcher.candidates("other", "public", 0.0)
    ] == [1]
