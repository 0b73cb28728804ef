"""What a reader is given of a producer: step by step, and in stories full of faults."""

from __future__ import annotations

from collections import Counter

import pytest

from okex_ws.base.state import Cause, CauseCode, State
from okex_ws.fanout.envelope import (
    Beat,
    Forwarded,
    Identity,
    Link,
    Names,
    Vouch,
    encode,
    encode_beat,
)
from okex_ws.fanout.subscriber import FRESH, Said, Text, TopicReader
from okex_ws.protocol.messages import Acknowledged, Unsubscribed, Vouched, Withheld
from tests.support.fanout_world import BOOK, DEPTH, QUIET, TRADES, World
from tests.support.internals import count_versions_anew, weaken_topic_reader

NAMES = Names("{okx}:desk:okx:0")
WHO = Identity(1, "one", "it")
DEPTH5, TRADE = "books5:BTC-USDT", "trades:BTC-USDT"
N = 1 << 41


class Stand:
    """A `TopicReader`, and the producer and the Redis that a test plays."""

    def __init__(self, lease: float | None = None) -> None:
        self.reader = TopicReader(NAMES, "desk", "redis://books:6379/0", lease)
        self.now = 100.0

    def want(self, *names: str) -> list[Said]:
        said = self.reader.wanted(names)
        self.reader.commands.clear()
        for name in names:
            self.reader.begun(NAMES.topic(name))
        return said

    def probe(self, number: int) -> None:
        self.reader.asked(self.now, self.now)
        assert self.reader.commands.pop() == ("INCR", NAMES.probe)
        self.reader.probed(number)

    def message(
        self,
        version: int,
        text: bytes,
        topic: str = DEPTH5,
        after: int = 0,
        who: Identity = WHO,
    ) -> list[Said]:
        payload = encode(Forwarded(who, topic, version, after, 1, text))
        return self.reader.came(NAMES.topic(topic), payload, self.now)

    def key(self, version: int, text: bytes, who: Identity = WHO) -> list[Said]:
        payload = encode(Forwarded(who, DEPTH5, version, 0, 1, text))
        return self.reader.keyed(DEPTH5, payload)

    def beat(
        self,
        number: int,
        versions: dict[str, int],
        *,
        age: float = 1.0,
        who: Identity = WHO,
        links: dict[int, Link] | None = None,
        lost: dict[str, Cause] | None = None,
        lease: float = 15.0,
    ) -> list[Said]:
        named = {1: Link(age, "wss://ws")} if links is None else links
        topics = {
            name: Vouch(version, 1, name != TRADE) for name, version in versions.items()
        }
        beat = Beat(who, number, lease, named, topics, lost or {})
        return self.reader.came(NAMES.beat, encode_beat(beat), self.now)


def kinds(said: list[Said]) -> list[str]:
    return [type(each).__name__ for each in said]


def held(said: list[Said]) -> Withheld:
    (found,) = (each for each in said if isinstance(each, Withheld))
    return found


def opened(stand: Stand) -> Stand:
    """*stand* with a depth that is live at version 5."""
    stand.want(DEPTH5)
    stand.beat(N, {DEPTH5: 5})
    stand.key(5, b"five")
    stand.probe(N + 1)
    assert kinds(stand.beat(N + 1, {DEPTH5: 5})) == ["Acknowledged", "Text", "Vouched"]
    stand.reader.commands.clear()
    return stand


# --- Opening ------------------------------------------------------------------------


def test_a_topic_is_asked_for_and_withheld_until_a_beat_vouches_for_it() -> None:
    stand = Stand()

    said = stand.reader.wanted([DEPTH5])

    assert held(said).state is State.CONNECTING
    assert held(said).cause.code is CauseCode.NOT_PUBLISHED
    assert "nothing was heard of producer 'desk'" in held(said).cause.text
    channel = NAMES.topic(DEPTH5)
    assert list(stand.reader.commands) == [("SUBSCRIBE", channel), ("GET", channel)]


def test_what_a_producer_said_that_is_gone_is_not_its_last_word_for_ever() -> None:
    stand = Stand()
    stand.want(DEPTH5)
    stand.probe(N)
    assert held(stand.beat(N, {TRADE: 5})).cause.code is CauseCode.NOT_PUBLISHED
    stand.now += 14.0
    assert stand.reader.asked(stand.now, stand.now) == []
    stand.now += 2.0

    said = stand.reader.asked(stand.now, stand.now)

    assert held(said).cause.code is CauseCode.LEASE
    assert "no beat of producer 'desk'" in held(said).cause.text
    assert stand.reader.asked(stand.now, stand.now) == []  # it is said once
    again = stand.beat(N + 1, {TRADE: 5})
    assert held(again).cause.code is CauseCode.NOT_PUBLISHED


def test_a_series_begins_with_the_first_beat_after_its_subscription() -> None:
    stand = Stand()
    stand.beat(N, {TRADE: 5})
    stand.reader.wanted([TRADE])
    stand.probe(N + 1)

    # Redis publishes version 6 now, which does not come: it is not subscribed yet.
    assert kinds(stand.beat(N + 1, {TRADE: 5})) == ["Vouched"]
    stand.reader.begun(NAMES.topic(TRADE))
    stand.message(7, b"seven", TRADE, after=6)
    stand.probe(N + 2)

    said = stand.beat(N + 2, {TRADE: 6})

    assert said[:2] == [Acknowledged(TRADE), Text(TRADE, b"seven")]


def test_a_beat_that_answers_a_probe_opens_what_it_vouches_for() -> None:
    stand = Stand()
    stand.want(DEPTH5)
    assert stand.beat(N, {DEPTH5: 5}) == []  # it answers no probe of this reader
    assert stand.key(5, b"five") == []
    stand.probe(N + 1)
    stand.now += 2.0

    said = stand.beat(N + 1, {DEPTH5: 5}, age=1.5)

    vouched = said.pop()
    assert said == [Acknowledged(DEPTH5), Text(DEPTH5, b"five")]
    assert isinstance(vouched, Vouched)
    assert (vouched.asked, vouched.age, vouched.lease) == (100.0, 1.5, 15.0)


def test_a_key_that_is_older_than_the_beat_opens_nothing() -> None:
    stand = Stand()
    stand.want(DEPTH5)
    stand.beat(N, {DEPTH5: 5})
    stand.key(4, b"four")
    stand.reader.commands.clear()
    stand.probe(N + 1)

    said = stand.beat(N + 1, {DEPTH5: 5})

    assert kinds(said) == ["Vouched"]
    assert list(stand.reader.commands) == [("GET", NAMES.topic(DEPTH5))]


def test_a_key_of_another_session_is_no_part_of_this_one() -> None:
    stand = Stand()
    stand.want(DEPTH5)
    stand.beat(N, {DEPTH5: 5})
    stand.key(9, b"of before", who=Identity(1, "zero", "it"))
    stand.probe(N + 1)

    assert kinds(stand.beat(N + 1, {DEPTH5: 5})) == ["Vouched"]


def test_a_message_opens_a_topic_as_its_key_does() -> None:
    stand = Stand()
    stand.want(DEPTH5)
    stand.message(6, b"six")
    stand.probe(N)

    assert stand.beat(N, {DEPTH5: 6})[:2] == [
        Acknowledged(DEPTH5),
        Text(DEPTH5, b"six"),
    ]


def test_a_series_opens_without_a_key_and_goes_on_from_the_beat() -> None:
    stand = Stand()
    stand.want(TRADE)
    stand.message(4, b"before", topic=TRADE, after=3)
    stand.message(5, b"after", topic=TRADE, after=4)
    stand.probe(N)

    said = stand.beat(N, {TRADE: 4})

    assert said[:2] == [Acknowledged(TRADE), Text(TRADE, b"after")]
    assert stand.message(6, b"six", topic=TRADE, after=5) == [Text(TRADE, b"six")]


# --- What follows -------------------------------------------------------------------


def test_what_follows_is_given_at_once_and_never_twice_or_late() -> None:
    stand = opened(Stand())

    assert stand.message(6, b"six") == [Text(DEPTH5, b"six")]
    assert stand.message(6, b"six") == []
    assert stand.message(5, b"five") == []
    assert stand.message(9, b"nine") == [Text(DEPTH5, b"nine")]


def test_a_beat_of_a_later_version_withholds_what_is_here() -> None:
    stand = opened(Stand())
    stand.probe(N + 2)

    said = stand.beat(N + 2, {DEPTH5: 6})

    assert held(said).state is State.RESYNCING
    assert "was lost" in held(said).cause.text
    assert list(stand.reader.commands) == [("GET", NAMES.topic(DEPTH5))]


def test_an_update_that_builds_on_a_lost_one_withholds_the_topic() -> None:
    stand = opened(Stand())

    said = stand.message(7, b"seven", after=6)

    assert kinds(said) == ["Withheld"]


def test_a_hole_in_a_series_is_told_and_the_series_goes_on() -> None:
    stand = Stand()
    stand.want(TRADE)
    stand.probe(N)
    stand.beat(N, {TRADE: 4})

    said = stand.message(6, b"six", topic=TRADE, after=5)

    assert kinds(said) == ["Withheld", "Acknowledged", "Text"]


def test_a_withdrawal_withholds_at_once_and_its_key_does_not_bring_it_back() -> None:
    stand = opened(Stand())

    assert held(stand.message(6, b"", after=5)).state is State.RESYNCING

    stand.key(5, b"five")
    stand.probe(N + 2)
    assert kinds(stand.beat(N + 2, {DEPTH5: 7})) == ["Vouched"]


def test_what_a_beat_does_not_name_is_withheld_for_the_producers_own_cause() -> None:
    stand = opened(Stand())
    stand.probe(N + 2)
    why = Cause(CauseCode.PONG, "no pong came", "wss://ws.okx.com")

    said = stand.beat(N + 2, {}, lost={DEPTH5: why})

    cause = held(said).cause
    assert cause.code is CauseCode.PONG
    assert cause.endpoint == "wss://ws.okx.com"
    assert "producer 'desk'" in cause.text
    assert "no pong came" in cause.text


def test_a_topic_that_is_not_published_is_told_with_those_that_are() -> None:
    stand = Stand()
    stand.want(DEPTH5)

    said = stand.beat(N, {TRADE: 4})

    assert held(said).cause.code is CauseCode.NOT_PUBLISHED
    assert TRADE in held(said).cause.text
    assert stand.beat(N + 1, {TRADE: 4}) == []  # told once


def test_a_link_without_fresh_evidence_is_left_out_and_takes_no_other_along() -> None:
    stand = opened(Stand())
    stand.want(TRADE)
    stand.probe(N + 2)
    links = {1: Link(9.0, "wss://old"), 2: Link(1.0, "wss://new")}
    beat = Beat(
        WHO,
        N + 2,
        15.0,
        links,
        {DEPTH5: Vouch(5, 1, True), TRADE: Vouch(4, 2, False)},
        {},
    )

    said = stand.reader.came(NAMES.beat, encode_beat(beat), stand.now)

    assert held(said).channels == (DEPTH5,)
    assert "wss://old" in held(said).cause.text
    (vouched,) = (each for each in said if isinstance(each, Vouched))
    assert vouched.age == 1.0


def test_a_lease_below_the_producers_is_a_constant_no_that_names_both() -> None:
    stand = Stand(lease=5.0)
    stand.want(DEPTH5)
    stand.probe(N)

    said = stand.beat(N, {DEPTH5: 5}, lease=15.0)

    assert held(said).cause.code is CauseCode.LEASE_TOO_SHORT
    assert "5 s" in held(said).cause.text
    assert "15 s" in held(said).cause.text
    assert "Vouched" not in kinds(said)


def test_a_longer_lease_of_the_readers_own_is_taken() -> None:
    stand = Stand(lease=30.0)
    stand.want(DEPTH5)
    stand.message(5, b"five")
    stand.probe(N)

    vouched = stand.beat(N, {DEPTH5: 5})[-1]

    assert isinstance(vouched, Vouched)
    assert vouched.lease == 30.0


# --- Probes -------------------------------------------------------------------------


def test_a_beat_counts_for_the_newest_probe_that_it_answers() -> None:
    stand = Stand()
    stand.want(DEPTH5)
    for number in (N, N + 1, N + 5):
        stand.probe(number)
        stand.now += 1.0

    vouched = stand.beat(N + 3, {DEPTH5: 5})[-1]

    assert isinstance(vouched, Vouched)
    assert vouched.asked == 101.0  # of probe N + 1


@pytest.mark.parametrize("number", [N - 1, N + FRESH, 1])
def test_a_beat_of_another_count_proves_nothing(number: int) -> None:
    stand = Stand()
    stand.want(DEPTH5)
    stand.message(5, b"five")
    stand.probe(N)

    assert stand.beat(number, {DEPTH5: 5}) == []


def test_probes_of_a_count_that_began_anew_are_forgotten() -> None:
    stand = Stand()
    stand.want(DEPTH5)
    stand.message(5, b"five")
    stand.probe(N)
    stand.probe(7)

    assert stand.beat(N, {DEPTH5: 5}) == []


# --- Other producers ----------------------------------------------------------------


def test_a_new_session_withholds_everything_of_the_one_before() -> None:
    stand = opened(Stand())
    later = Identity(2, "two", "it")
    stand.probe(N + 2)

    said = stand.beat(N + 2, {DEPTH5: 2}, who=later)

    assert "begun anew" in held(said).cause.text
    assert not any(isinstance(each, (Text, Vouched)) for each in said)


def test_an_older_producer_is_not_followed() -> None:
    stand = opened(Stand())

    assert stand.message(8, b"old", who=Identity(0, "zero", "other")) == []
    assert stand.beat(N + 9, {}, who=Identity(0, "zero", "other")) == []
    assert stand.reader.fault == ""


def test_a_count_of_terms_that_began_anew_ends_the_connection_in_the_end() -> None:
    stand = opened(Stand())
    stand.now += 16.0

    stand.beat(N + 9, {}, who=Identity(0, "zero", "other"))

    assert "no higher term" in stand.reader.fault


@pytest.mark.parametrize("payload", [b"", b"garbage", b"okx1 data x\ny"])
def test_garbage_on_a_topic_withholds_that_topic(payload: bytes) -> None:
    stand = opened(Stand())

    said = stand.reader.came(NAMES.topic(DEPTH5), payload, stand.now)

    assert held(said).channels == (DEPTH5,)


def test_another_release_withholds_everything_and_says_so() -> None:
    stand = opened(Stand())

    said = stand.reader.came(NAMES.beat, b"okx2 beat 1\n{}", stand.now)

    assert "another release" in held(said).cause.text


def test_a_message_on_another_topics_channel_withholds() -> None:
    stand = opened(Stand())
    payload = encode(Forwarded(WHO, "books5:ETH-USDT", 6, 0, 1, b"eth"))

    said = stand.reader.came(NAMES.topic(DEPTH5), payload, stand.now)

    assert "mixes its topics up" in held(said).cause.text


def test_a_topic_that_is_left_is_confirmed_and_hears_no_more() -> None:
    stand = opened(Stand())
    stand.reader.left([DEPTH5])

    assert list(stand.reader.commands) == [("UNSUBSCRIBE", NAMES.topic(DEPTH5))]
    assert stand.message(6, b"six") == []
    assert stand.reader.confirmed_left(NAMES.topic(DEPTH5)) == [Unsubscribed(DEPTH5)]


# --- Stories ------------------------------------------------------------------------


def story(seed: int, seconds: float = 300.0) -> World:
    world = World(seed, producers=1 + seed % 2)
    world.run(seconds)
    return world


def played(seeds: range) -> Counter[str]:
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts += story(seed).counts
    return counts


@pytest.mark.parametrize("seed", range(24))
def test_in_a_story_full_of_faults_no_read_is_stale_or_wrong(seed: int) -> None:
    counts = story(seed).counts

    assert counts["stale"] == counts["wrong"] == 0
    assert counts["live"] > counts["reads"] / 4


@pytest.mark.slow
def test_in_sixty_more_stories_no_read_is_stale_or_wrong() -> None:
    counts = played(range(1000, 1060))

    assert counts["stale"] == counts["wrong"] == 0
    assert counts["live"] > 150_000


@pytest.mark.parametrize("seed", range(6))
def test_once_the_faults_end_everything_is_live_again(seed: int) -> None:
    world = story(seed, 200.0)
    world.run(120.0, faults=1e-9)

    for reader in world.readers:
        found = {name: reader.read(name) for name in (DEPTH, QUIET, BOOK, TRADES)}
        assert None not in found.values()


@pytest.mark.parametrize("how", ["no versions", "no ages", "by receipt", "any session"])
def test_a_weaker_protocol_gives_stale_reads(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken_topic_reader(monkeypatch, how)

    assert played(range(24))["stale"] > 0


def test_versions_that_begin_anew_give_stale_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stale() -> int:
        world = World(1)
        for at in range(10, 100, 3):
            world.loop.after(at, lambda: world.producers[0].publish(DEPTH))
        world.run(120.0, faults=1e-9)
        return world.counts["stale"]

    assert stale() == 0
    count_versions_anew(monkeypatch)
    assert stale() > 0


def test_an_update_without_its_predecessor_would_be_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weaken_topic_reader(monkeypatch, "no order")

    assert played(range(12))["wrong"] > 0
