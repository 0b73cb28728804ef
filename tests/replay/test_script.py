"""What a recording is read as: sessions, what is in them, and how each ended."""

from __future__ import annotations

import math
from typing import Any

import pytest

from okex_ws import ConnectionLost, HandshakeFailed, RecordingDamaged
from okex_ws.recording.format import Entry
from okex_ws.replay.script import End, RecordedConnection, Script
from tests.support.recordings import (
    ACK,
    BOOKS5,
    SUBSCRIBE,
    URL,
    WALL,
    asked,
    at,
    depth,
    heard,
    opened,
    session,
    venue,
)

KEY = "books5:BTC-USDT"


def script(*entries: Entry, venue: str | None = None) -> Script:
    return Script(entries, "day.rec.gz", venue)


def only(*entries: Entry) -> RecordedConnection:
    (found,) = script(*entries).connections
    return found


def test_each_message_has_its_role() -> None:
    book = depth(1.0).replace('"data"', '"action":"snapshot","data"')
    found = only(
        opened(),
        asked(0.1, SUBSCRIBE),
        heard(0.2, ACK),
        heard(0.3, book),
        heard(0.4, "pong"),
        heard(0.5, "garbage"),
        heard(0.6, '{"event":"notice","code":"64008","msg":"soon"}'),
        at(0.7, "control", opcode=9),
        heard(0.8, ACK),
        heard(0.9, '{"event":"login","code":"0","msg":""}'),
    )

    roles = [each.role for each in found.recorded]
    # An acknowledgement that nobody asked for is a word like any other.
    assert roles == [
        *("answer", "data", "pong", "word", "word", "word", "word", "login")
    ]
    assert found.recorded[1].channels == (KEY,)
    assert found.snapshots == {1}
    assert found.answers == {("subscribe", KEY): [0]}
    assert found.data == {KEY: [1]}
    assert (found.pongs, found.granted, found.last_at) == (1, {KEY}, 0.9)
    assert found.place(0.3) == 2
    assert found.carries(KEY)
    assert not found.carries("books5:ETH-USDT")


def test_what_was_refused_was_not_had() -> None:
    error = '{"id":"1","event":"error","code":"60018","msg":"no"}'
    made = script(opened(), asked(0.1, SUBSCRIBE), heard(0.2, error))
    (found,) = made.connections

    assert found.carries(KEY)
    assert (found.refusals, found.granted) == ({0}, set())
    assert made.channel_infos == {}
    assert made.keys == {KEY}


@pytest.mark.parametrize(
    ("facts", "end"),
    [
        (
            {"cause": "ConnectionLost", "why": "restart", "code": 1012},
            End("close", "restart", 1012),
        ),
        ({"cause": "ConnectionLost", "why": "reset"}, End("reset", "reset")),
        ({"cause": "Stalled", "why": "no pong came"}, End("silence")),
    ],
)
def test_an_end_is_what_ended_it(facts: dict[str, Any], end: End) -> None:
    found = only(opened(), heard(1.0, depth(1.0)), at(2.0, "end", **facts))

    assert (found.end, found.ends_at) == (end, 2.0)


def test_what_ended_with_the_recording_has_no_end_but_what_was_closed_before() -> None:
    own: dict[str, Any] = {"cause": "", "why": "closed"}
    made = script(
        opened(number=1),
        opened(number=2, line=2),
        at(1.0, "end", 1, **own),
        heard(2.0, depth(2.0), 2),
        at(3.0, "end", 2, **own),
    )

    first, second = made.connections
    assert (first.end.how, first.ends_at) == ("own", 1.0)
    assert (second.end.how, second.ends_at) == ("silence", math.inf)


def test_what_came_behind_a_goodbye_is_nobodys() -> None:
    found = only(
        opened(),
        heard(1.0, depth(1.0)),
        at(2.0, "control", opcode=8, sent=True),
        heard(2.1, depth(2.1)),
    )

    assert len(found.recorded) == 1


def test_a_failed_attempt_is_a_session_that_fails() -> None:
    about = {"url": URL, "path": "public", "line": 1, "venue": venue()}
    refused = {"cause": "HandshakeFailed", "status": 429, "retry_after": 2.0}
    made = script(
        at(0.0, "failed", 0, **about, cause="ConnectionLost", why="refused"),
        at(1.0, "failed", 0, **about, **refused, why="HTTP 429"),
        opened(2.0),
    )

    first, second, third = (each.failure for each in made.connections)
    assert isinstance(first, ConnectionLost)
    assert str(first) == f"{URL}: refused"
    assert isinstance(second, HandshakeFailed)
    assert (second.status, second.retry_after) == (429, 2.0)
    assert third is None


def test_the_venue_is_that_of_the_recording() -> None:
    facts = venue("mine", markets=["spot"], idle_repeat=60.0, requests_per_hour=7)
    made = script(opened(venue=facts), heard(1.0, depth(1.0)))

    assert made.venue.name == "mine"
    assert made.venue.endpoints == ("wss://ws.example.test:443/ws/v5",)
    assert (made.venue.markets, made.venue.idle_repeat) == (("spot",), 60.0)
    assert made.venue.requests_per_hour == 7
    assert made.venue.retired is None


def test_of_several_venues_one_is_named() -> None:
    entries = [
        opened(),
        opened(0.5, 2, line=2, venue=venue("other")),
        heard(1.0, depth(1.0)),
        heard(2.0, depth(2.0), 2),
    ]

    with pytest.raises(ValueError, match=r"several venues .* 'example', 'other'"):
        script(*entries)
    with pytest.raises(ValueError, match="'mine' is not recorded, only 'example'"):
        script(*entries, venue="mine")
    made = script(*entries, venue="other")
    assert [each.number for each in made.connections] == [2]
    assert [moment.mono for moment in made.moments] == [0.5, 2.0]


@pytest.mark.parametrize("v3", [True, False])
def test_a_capture_is_one_connection(v3: bool) -> None:
    trade = (
        '{"table":"spot/trade","data":[{"side":"buy","trade_id":"1","price":"1",'
        '"size":"1","instrument_id":"BTC-USDT","timestamp":"2021-04-17T16:50:00.000Z"}]}'
    )
    made = script(heard(1.0, trade if v3 else depth(1.0), v3=v3))

    (found,) = made.connections
    assert made.venue.protocol == ("v3" if v3 else "v5")
    assert found.path == ("" if v3 else "public")
    assert list(found.data) == ["spot/trade:BTC-USDT" if v3 else KEY]


def test_moments_are_what_happened_at_one_time() -> None:
    made = script(*session(heard(1.0, depth(1.0)), heard(1.0, BOOKS5), end=4.0))

    assert [each.mono for each in made.moments] == [0.0, 0.01, 0.05, 0.1, 1.0]
    assert made.begins.wall == WALL
    assert made.ends.mono == 1.0


def test_of_a_damaged_one_all_before_is_there_and_of_an_empty_one_nothing() -> None:
    damage = RecordingDamaged("day.rec.gz", 5, "it is cut off here")

    def damaged(*entries: Entry) -> Any:
        yield from entries
        raise damage

    made = Script(damaged(opened(), heard(1.0, depth(1.0))), "day.rec.gz", None)
    assert made.damage is damage
    assert len(made.connections[0].recorded) == 1
    with pytest.raises(RecordingDamaged, match="cut off"):
        Script(damaged(), "day.rec.gz", None)
    with pytest.raises(RecordingDamaged, match="it has no data"):
        script()
    with pytest.raises(RecordingDamaged, match="it has no data"):
        script(at(1.0, "lost", 0, count=1, why="full"))


def test_a_clock_that_goes_back_ends_nothing_before_it_began() -> None:
    early = at(-5.0, "end", cause="ConnectionLost", why="reset")

    connection = only(opened(0.0), heard(1.0, depth(1.0)), early)

    assert connection.ends_at == connection.last_at == 1.0


@pytest.mark.parametrize(
    "facts",
    [{"url": "wss://[::1/ws/v5/public"}, {"url": "ftp://a/b"}],
)
def test_a_venue_that_none_can_be_is_damage(facts: dict[str, Any]) -> None:
    with pytest.raises(RecordingDamaged, match="its venue is none"):
        script(opened(0.0, **facts), heard(1.0, depth(1.0)))
