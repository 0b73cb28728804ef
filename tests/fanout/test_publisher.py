"""What a producer writes: in which order, when it leads, what a beat vouches for."""

from __future__ import annotations

import itertools
import json
import random
from typing import Any

import pytest

from okex_ws.base.state import Cause, CauseCode
from okex_ws.fanout.envelope import Beat, Forwarded, Names, Vouch, decode
from okex_ws.fanout.publisher import (
    LEAST_FRESH,
    MOST_FRESH,
    Command,
    Evidence,
    Publisher,
    Topic,
    Unpublished,
    whole_text,
)
from okex_ws.protocol.messages import DepthData

NAMES = Names("{okx}:desk:okx:0")
DEPTH5, BOOK, TRADE = "books5:BTC-USDT", "books:BTC-USDT", "trades:BTC-USDT"
GONE = Cause(CauseCode.NETWORK, "reset by the peer")
N = str(1 << 41).encode()


class Source:
    """The evidence and the whole book that a test chooses."""

    def __init__(self) -> None:
        self.found: Evidence | Cause = Evidence(1, 0.5, "wss://ws")

    def evidence(self, now: float, wall: float) -> Evidence | Cause:
        return self.found

    def whole(self, said: Unpublished) -> str | None:
        return f"whole {said.version}"


class Stand:
    """A `Publisher` that leads, with three topics."""

    def __init__(self, leads: bool = True) -> None:
        self.publisher = Publisher(NAMES, "me", 15.0, random.Random(1))
        self.sources = {name: Source() for name in (DEPTH5, BOOK, TRADE)}
        self.topics = {
            name: Topic(name, source, name != TRADE, name == BOOK, itertools.count(1))
            for name, source in self.sources.items()
        }
        self.publisher.topics.update(self.topics)
        self.publisher.opened("session", 100.0)
        if leads:
            self.publisher.termed(1, 100.0)

    def take(self, name: str, text: str, alone: bool = True) -> None:
        said = self.topics[name].take(text, 1, alone)
        self.publisher.waiting.append(said)

    def flush(self) -> list[Command]:
        return self.publisher.flush(101.0)

    def probed(self, value: bytes | None = N, now: float = 101.0) -> list[Command]:
        return self.publisher.probed(value, now, now)

    def beat(self, value: bytes = N) -> Beat:
        *_, (word, channel, payload) = self.probed(value)
        assert (word, channel) == ("PUBLISH", NAMES.beat)
        assert isinstance(payload, bytes)
        beat = decode(payload)
        assert isinstance(beat, Beat)
        return beat


def message(command: Command) -> Forwarded:
    payload = command[2]
    assert isinstance(payload, bytes)
    said = decode(payload)
    assert isinstance(said, Forwarded)
    return said


def words(commands: list[Command]) -> list[tuple[Any, ...]]:
    return [command[:2] for command in commands]


# --- Who leads ----------------------------------------------------------------------


def test_where_none_leads_it_asks_to_lead_for_a_third_of_its_lease() -> None:
    publisher = Stand(leads=False).publisher

    assert publisher.tick(100.0) == [("GET", NAMES.leader), ("GET", NAMES.probe)]
    assert publisher.due == 101.5
    asked = publisher.leader(None, 100.0)
    assert asked == [("SET", NAMES.leader, "me", "NX", "PX", "5000")]
    assert publisher.elected(True) == [("INCR", NAMES.term)]
    assert publisher.elected(False) == []


def test_while_another_leads_it_is_silent() -> None:
    stand = Stand(leads=False)

    assert stand.publisher.leader(b"other", 100.0) == []
    stand.take(DEPTH5, "one")

    assert stand.flush() == []
    assert stand.probed() == []


def test_it_goes_on_to_lead_and_ceases_once_another_one_does() -> None:
    publisher = Stand().publisher

    assert publisher.leader(b"me", 101.0) == [("PEXPIRE", NAMES.leader, "5000")]
    assert publisher.leads
    assert publisher.leader(b"other", 102.0) == []
    assert not publisher.leads


def test_a_term_that_went_back_is_raised_above_the_last_one() -> None:
    publisher = Stand(leads=False).publisher
    publisher.termed(7, 100.0)
    publisher.opened("next", 101.0)

    commands = publisher.termed(1, 101.0)

    assert commands[0] == ("SET", NAMES.term, "8")


def test_a_new_term_writes_every_key_before_its_first_beat() -> None:
    stand = Stand(leads=False)
    stand.take(DEPTH5, "depth")
    stand.take(BOOK, "update", alone=False)

    commands = stand.publisher.termed(3, 100.0)

    assert words(commands)[:2] == [
        ("SET", NAMES.topic(DEPTH5)),
        ("SET", NAMES.topic(BOOK)),
    ]
    assert message(commands[1]).text == b"whole 2"
    assert message(commands[1]).after == 0
    assert message(commands[0]).identity.term == 3


def test_a_leader_without_a_live_line_steps_down_once_and_for_a_while() -> None:
    stand = Stand()
    for source in stand.sources.values():
        source.found = GONE

    assert stand.probed(N, 101.0)[-1][0] == "PUBLISH"  # readers hear the cause
    assert stand.probed(N, 106.1) == [("DEL", NAMES.leader)]
    assert stand.publisher.leader(None, 107.0) == []
    assert stand.publisher.leader(None, 111.2) != []
    stand.publisher.termed(2, 111.2)
    stand.probed(N, 111.3)
    assert stand.probed(str((1 << 41) + 1).encode(), 130.0)[-1][0] == "PUBLISH"


def test_it_gives_way_at_its_end() -> None:
    publisher = Stand().publisher

    assert publisher.step_down() == [("DEL", NAMES.leader)]
    assert publisher.step_down() == []


# --- What is written ----------------------------------------------------------------


def test_a_depth_is_set_before_it_is_published_and_only_the_newest() -> None:
    stand = Stand()
    for text in ("one", "two", "three"):
        stand.take(DEPTH5, text)

    commands = stand.flush()

    assert words(commands) == [
        ("SET", NAMES.topic(DEPTH5)),
        ("PUBLISH", NAMES.topic(DEPTH5)),
    ]
    assert [message(each).text for each in commands] == [b"three", b"three"]
    assert message(commands[0]).version == 4


def test_each_update_of_a_book_and_each_item_of_a_series_is_published() -> None:
    stand = Stand()
    stand.take(BOOK, "whole")
    stand.take(BOOK, "first", alone=False)
    stand.take(TRADE, "trade", alone=False)

    commands = stand.flush()

    assert [command[0] for command in commands] == ["PUBLISH"] * 3
    chain = [(message(each).version, message(each).after) for each in commands]
    assert chain == [(2, 0), (3, 2), (2, 1)]


def test_a_withdrawal_is_a_version_without_a_text() -> None:
    stand = Stand()
    stand.take(DEPTH5, "one")
    stand.publisher.waiting.append(stand.topics[DEPTH5].withdraw())

    (command,) = stand.flush()

    assert command[0] == "PUBLISH"
    assert (message(command).version, message(command).text) == (3, b"")


def test_what_is_not_published_any_more_is_not_sent() -> None:
    stand = Stand()
    stand.take(DEPTH5, "one")
    del stand.publisher.topics[DEPTH5]

    assert stand.flush() == []


def test_a_key_is_written_again_once_a_lease_so_that_it_is_not_evicted_for_good() -> (
    None
):
    stand = Stand()
    stand.take(DEPTH5, "one")
    stand.flush()

    assert words(stand.probed(N, 102.0)) == [("PUBLISH", NAMES.beat)]
    later = str((1 << 41) + 1).encode()
    assert words(stand.probed(later, 116.1))[0] == ("SET", NAMES.topic(DEPTH5))


# --- Beats --------------------------------------------------------------------------


def test_everything_up_to_the_versions_of_a_beat_is_written_before_it() -> None:
    stand = Stand()
    stand.take(DEPTH5, "one")
    stand.take(TRADE, "trade", alone=False)

    commands = stand.probed()

    assert words(commands)[-1] == ("PUBLISH", NAMES.beat)
    beat = stand.beat(str((1 << 41) + 1).encode())
    assert beat.topics[DEPTH5] == Vouch(2, 1, True)
    assert beat.topics[TRADE] == Vouch(2, 1, False)
    written = {message(c).topic: message(c).version for c in commands[:-1]}
    assert written == {DEPTH5: 2, TRADE: 2}


def test_a_beat_names_why_what_it_does_not_vouch_for_is_lost() -> None:
    stand = Stand()
    stand.sources[BOOK].found = GONE

    beat = stand.beat()

    assert beat.lost == {BOOK: GONE}
    assert BOOK not in beat.topics


def test_the_same_count_is_answered_once() -> None:
    stand = Stand()

    assert stand.probed() != []
    assert stand.probed() == []


@pytest.mark.parametrize("value", [None, b"5", b"", b"no number", b"-3"])
def test_a_count_that_was_lost_begins_anew_and_is_not_answered(
    value: bytes | None,
) -> None:
    stand = Stand()

    ((word, key, number),) = stand.probed(value)

    assert (word, key) == ("SET", NAMES.probe)
    assert LEAST_FRESH <= int(number) < MOST_FRESH
    assert stand.probed(str(number).encode()) == []


def test_the_ages_are_taken_before_the_versions() -> None:
    stand = Stand()
    topic, source = stand.topics[DEPTH5], stand.sources[TRADE]

    class Late(Source):
        def evidence(self, now: float, wall: float) -> Evidence | Cause:
            # A push that comes while the ages are taken.
            stand.publisher.waiting.append(topic.take("late", 1, True))
            return source.found

    stand.topics[TRADE].source = Late()
    commands = stand.probed()

    beat = decode(bytes(commands[-1][2]))  # type: ignore[arg-type]
    assert isinstance(beat, Beat)
    assert beat.topics[DEPTH5].version == 2
    assert message(commands[0]).version == 2


# --- A whole book as one text -------------------------------------------------------

UPDATE = {
    "arg": {"channel": "books", "instId": "BTC-USDT"},
    "action": "update",
    "data": [
        {
            "asks": [["2", "0", "0", "0"]],
            "bids": [],
            "ts": "1629966436396",
            "checksum": -855196043,
            "prevSeqId": 123,
            "seqId": 124,
        }
    ],
}


def test_the_snapshot_of_a_book_has_the_levels_and_the_proof_of_its_last_update() -> (
    None
):
    book = DepthData([("1", "5", "0", "2")], [("3", "4", "0", "1")], 0, 124)

    made = json.loads(whole_text(json.dumps(UPDATE), book) or "")

    assert made["action"] == "snapshot"
    assert made["arg"] == UPDATE["arg"]
    assert made["data"] == [
        {
            "asks": [["3", "4", "0", "1"]],
            "bids": [["1", "5", "0", "2"]],
            "ts": "1629966436396",
            "checksum": -855196043,
            "prevSeqId": -1,
            "seqId": 124,
        }
    ]


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"action":"update","data":[]}', '{"action":"?","data":[{}]}'],
)
def test_what_is_no_message_of_one_book_has_no_snapshot(text: str) -> None:
    assert whole_text(text, DepthData([], [], 0, 1)) is None
