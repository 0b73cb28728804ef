"""What the worker process keeps unparsed is parsed by the process that reads it."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.base.state import State
from okex_ws.channels.series import KINDS
from okex_ws.isolation.shared_memory import SlotAddress
from okex_ws.isolation.slot_reading import (
    ERA_CAPACITY,
    RemoteEras,
    SharedPush,
    SlotReading,
    decode_era,
    slot_capacity,
)
from okex_ws.isolation.slot_writer import SharedEras, SlotWriter
from okex_ws.pool.recognition import MOST_BYTES
from okex_ws.protocol.messages import DepthData, Push
from okex_ws.protocol.unparsed import Unparsed
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Lease
from okex_ws.trust.reading import read
from okex_ws.trust.verdict import LIVE, NO_LIMITS
from tests.support.causes import because
from tests.support.clocks import FakeClock
from tests.support.followed_channels import Follower
from tests.support.internals import parser_of
from tests.support.mutations import assert_changes_show
from tests.support.shared_memory import LocalMemory
from tests.support.virtual_world import V3 as DIALECT3
from tests.support.virtual_world import V5 as DIALECT5
from tests.support.virtual_world import compact

WALL = 1_600_000_100.0
NAME = "BTC-USDT"
BAD = "0"


class Shared:
    """A channel that flows, and the slots into which each of its values is written."""

    def __init__(
        self, protocol: str = "v5", topic: str = "depth5", copies: int = 1
    ) -> None:
        self.protocol = protocol
        self.wire: Any = V5 if protocol == "v5" else V3
        self.name = name = self.wire.channel(topic, "spot", NAME)
        self.memory = memory = LocalMemory()
        places = [memory.allocate(ERA_CAPACITY) for _ in range(2)]
        theirs = [memory.slot(place, decode_era) for place in places]
        self.remote = RemoteEras(theirs, lambda: True)
        self.remote.lose()
        self.eras = SharedEras([memory.slot(p) for p in places], 1, lambda: None)
        self.channel: Any = KINDS[name.kind](self.wire, name)
        follower = Follower()
        follower.wants_pushes = follower.wants_data = False
        self.channel.followers = (follower,)
        self.doubted, self.seen = list[int](), list[Any]()
        self.channel.on_doubt = lambda: self.seen.append("doubt")
        self.writers, self.readings = list[SlotWriter](), list[SlotReading]()
        for number in range(copies):
            self.copy(number, memory.allocate(slot_capacity(name)))
        self.era = self.eras.make(0.0)
        self.era.renew(Lease(1e12, WALL), 0.0)
        self.channel.opened(self.era, 0.0)
        self.channel.subscribed(self.era, 0.0)
        self.now = 1.0
        self.push(1).push(2)

    def copy(self, number: int, address: SlotAddress) -> None:
        reading = self.channel.reading
        self.writers.append(SlotWriter(reading, self.memory.slot(address), 0))
        reading.copies = tuple(self.writers)
        self.readings.append(
            SlotReading(
                self.name,
                self.wire,
                self.memory,
                address,
                self.remote,
                lambda: self.doubted.append(number),
            )
        )
        self.writers[-1].flush()

    def text(self, seq: int, bid: str = "100.1", size: str = "1") -> str:
        # The least late of the minute is one that was parsed.
        time_ms = round((self.now + 99) * 1000) - (500 if seq < 3 else 510)
        v5 = {"seq": seq} if self.protocol == "v5" else {}
        dialect: Any = DIALECT5 if self.protocol == "v5" else DIALECT3
        made = dialect.depth(time_ms, bid, "200", **v5)
        made["data"][0]["bids"][0][1] = size
        return compact(made)

    def push(self, seq: int, bid: str = "100.1", step: float = 1.0) -> Any:
        """Parse a push at once."""
        self.now += step
        first = self.channel.current.state is not State.LIVE
        self.take(self.text(seq, bid), first)
        return self

    def take(self, text: str, first: bool = False) -> None:
        (message,) = self.wire.read(text.encode())
        assert isinstance(message, Push)
        self.channel.push(message, first, self.era, self.now, WALL + self.now)

    def keep(self, seq: int, bid: str = "100.2", size: str = "1") -> bool:
        self.now += 0.02
        return self.keeps(self.text(seq, bid, size))

    def keeps(self, text: str) -> bool:
        kept: bool = self.channel.keep(
            text.encode(), self.era, self.now, WALL + self.now
        )
        return kept

    def read(self, copy: int = 0) -> Any:
        """The best bid of a script's read, or the state that it finds."""
        clock = FakeClock(self.now, WALL + self.now)
        build = lambda _, taken: taken.current.depth.bids[0][0]  # noqa: E731
        verdict, _, bid = read(self.readings[copy], NO_LIMITS, clock, build)
        return bid if verdict is LIVE else verdict.state

    @property
    def unread(self) -> int:
        counted: int = self.channel.counts["unread depth5"]
        return counted


@pytest.fixture(params=["v3", "v5"])
def shared(request: pytest.FixtureRequest) -> Shared:
    return Shared(request.param)


# --- It is parsed by the reader, once -------------------------------------------------


def test_what_is_read_is_what_one_that_was_parsed_gives(shared: Shared) -> None:
    other = Shared(shared.protocol)
    assert shared.keep(3)
    other.push(3, "100.2", 0.02)

    mine, its = shared.readings[0].current, other.readings[0].current
    assert isinstance(mine.data, SharedPush)
    assert mine.depth == its.depth
    assert isinstance(its.data, DepthData)
    for name in ("state", "cause", "epoch", "received", "wall", "lag"):
        assert getattr(mine, name) == getattr(its, name), name
    for name in ("overdue", "moved", "serial", "channel"):
        assert getattr(mine, name) == getattr(its, name), name


def test_the_side_that_writes_parses_nothing(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared.channel, "parse", lambda _: pytest.fail("parsed"))
    for seq in range(3, 20):
        assert shared.keep(seq, f"100.{seq}")
        assert shared.read() == f"100.{seq}"


def test_each_value_is_parsed_once_however_often_it_is_read(shared: Shared) -> None:
    shared.keep(3)
    data = shared.readings[0].current.data
    assert shared.read() == "100.2"
    assert isinstance(data, SharedPush)
    parsed = data.result
    assert shared.read() == "100.2"

    assert shared.readings[0].current.data is data
    assert data.result is parsed


def test_what_readers_parsed_is_not_unread(shared: Shared) -> None:
    for seq in range(3, 13):
        shared.keep(seq)
        if seq % 2:
            shared.read()

    assert shared.unread == 4
    shared.keep(13)  # the one before was read by nothing
    assert shared.unread == 5
    shared.read()
    shared.channel.lost(because("gone"), shared.now)
    assert shared.unread == 5


def test_what_is_withdrawn_and_was_not_read_is_counted(shared: Shared) -> None:
    shared.keep(3)
    shared.channel.lost(because("gone"), shared.now)
    shared.writers[0].flush()

    assert (shared.unread, shared.read()) == (1, State.RECONNECTING)


def test_one_reader_of_several_is_enough() -> None:
    shared = Shared(copies=3)
    for seq in range(3, 12):
        shared.keep(seq)
        shared.read(seq % 3)
    shared.keep(12)

    assert shared.unread == 0
    assert [shared.read(copy) for copy in range(3)] == ["100.2"] * 3


def test_what_was_found_of_a_value_says_nothing_of_one_that_is_not_written(
    shared: Shared,
) -> None:
    shared.keep(3)
    shared.read()
    data = shared.channel.current.data
    newer = Unparsed(shared.channel, data.said, data.seq, data.time_ms)
    shared.channel.current = shared.channel.current._replace(data=newer)

    assert not shared.writers[0].is_read(shared.channel.current)


def test_a_pong_parses_what_no_reader_has_parsed(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()
    parse = shared.channel.parse
    monkeypatch.setattr(
        shared.channel, "parse", lambda kept: asked.append(kept) or parse(kept)
    )
    shared.keep(3)
    shared.read()
    assert shared.channel.verify() is None
    assert asked == []
    shared.keep(4)
    assert shared.channel.verify() is None
    assert len(asked) == 1
    # That one is read already.
    shared.keep(5)
    assert shared.unread == 0


# --- It cannot be read ----------------------------------------------------------------


def test_a_bad_push_is_refused_by_the_read_and_the_writer_is_told(
    shared: Shared,
) -> None:
    shared.keep(3, size=BAD)

    assert shared.read() is State.RESYNCING
    assert shared.read() is State.RESYNCING
    assert (shared.doubted, shared.seen) == ([0], [])
    fault = shared.readings[0].current.fault
    assert "unreadable message on " in str(fault)
    shared.writers[0].rewrite()
    # As if a reader of its own process had found it.
    assert shared.seen == ["doubt"]
    found = shared.channel.verify()
    assert isinstance(found, WireError)
    assert found.channel == shared.name.key


def test_a_refused_push_is_looked_at_before_a_newer_one_is_kept(
    shared: Shared,
) -> None:
    """Though the message to the worker process is still under way."""
    shared.keep(3, size=BAD)
    assert shared.read() is State.RESYNCING

    assert not shared.keep(4)
    assert shared.seen == ["doubt"]
    assert shared.channel.verify() is not None
    assert shared.unread == 0


def test_a_bad_push_that_nothing_read_withdraws_nothing(shared: Shared) -> None:
    shared.keep(3, size=BAD)
    assert shared.keep(4)

    assert shared.read() == "100.2"
    assert (shared.doubted, shared.seen, shared.unread) == ([], [], 1)


def test_what_only_a_reader_could_not_parse_is_written_anew(shared: Shared) -> None:
    """At its depth of recursion, for example; the value has nothing wrong."""
    shared.keep(3)
    data: Any = shared.readings[0].current.data
    parser = parser_of(data)
    parser.parse, parse = refuse, parser.parse
    assert shared.read() is State.RESYNCING
    assert shared.doubted == [0]
    parser.parse = parse
    shared.writers[0].rewrite()

    assert shared.read() == "100.2"
    assert isinstance(shared.readings[0].current.data, DepthData)
    assert (shared.seen, shared.channel.current.epoch) == ([], 1)
    assert shared.keep(4)
    assert shared.unread == 0


def refuse(kept: object) -> None:
    raise WireError("json", "maximum recursion depth exceeded")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("books5", "bbo-tbt"),
        lambda text: text.replace("BTC-USDT", "ETH-USDT"),
        lambda text: text.replace('"seqId":3', '"seqId":3,"seqId":4'),
        lambda text: text[:-1],
    ],
)
def test_the_reader_verifies_all_that_was_taken_from_the_bytes(
    change: Callable[[str], str],
) -> None:
    shared = Shared()
    kept = shared.keep(3)
    said = shared.channel.current.data.said.decode()
    changed = Unparsed(
        shared.channel, change(said).encode(), 3, shared.channel.current.data.time_ms
    )
    assert kept
    shared.channel.current = shared.channel.current._replace(data=changed)
    shared.writers[0].flush()

    assert shared.read() is State.RESYNCING
    assert shared.doubted == [0]


def test_each_changed_character_of_a_push_shows_through_a_slot() -> None:
    """A test of reads proves nothing if a changed push would pass too."""

    def through_a_slot(push: Push) -> list[Any]:
        said = compact(json.loads(push.text)).encode()
        shared = Shared()
        stamp = shared.wire.stamp(said)
        if stamp is None:  # it is parsed at once
            raise WireError("depth", "no time")
        kept = Unparsed(shared.channel, said, stamp[0], stamp[1])
        shared.channel.current = shared.channel.current._replace(data=kept)
        shared.writers[0].flush()
        if (fault := shared.readings[0].current.fault) is not None:
            raise fault
        return [shared.readings[0].current.depth]

    assert assert_changes_show(V5, Shared().text(7), through_a_slot) > 5


# --- How it is written ----------------------------------------------------------------


def test_the_longest_push_that_is_kept_fits_the_slot(shared: Shared) -> None:
    shared.now += 1.0
    text = shared.text(3)
    more = "x" * (MOST_BYTES - len(text) - len('"more":"",'))
    longest = text.replace('"data":[{', '"data":[{"more":"' + more + '",')
    assert len(longest) == MOST_BYTES
    assert shared.keeps(longest)

    assert isinstance(shared.readings[0].current.data, SharedPush)
    assert not shared.channel.counts["skipped too large"]


def test_a_slot_that_is_too_small_gives_no_value() -> None:
    shared = Shared(copies=0)
    shared.copy(0, shared.memory.allocate(320))
    shared.now += 1.0
    more = "x" * 200
    shared.keeps(shared.text(3).replace('"data":[{', '"data":[{"more":"' + more + '",'))

    assert shared.read() is State.RESYNCING
    assert "does not fit" in shared.readings[0].current.cause.text
    assert shared.channel.counts["skipped too large"] > 0


def test_a_value_of_a_ticker_is_verified_by_the_reader_too() -> None:
    shared = Shared()
    ticker = Ticker()
    ticker.keep("11")
    assert ticker.read() is LIVE
    ticker.keep("x")
    assert ticker.read().state is State.RESYNCING
    assert shared.doubted == []


class Ticker(Shared):
    """A channel of tickers, of which a reader is only given the state."""

    def __init__(self) -> None:
        super().__init__(topic="ticker")

    def text(self, seq: int, bid: str = "10", size: str = "1") -> str:
        element = {"instId": NAME, "last": bid, "ts": str(1_600_000_000_000 + seq)}
        arg = {"channel": "tickers", "instId": NAME}
        return compact({"arg": arg, "data": [element]})

    def keep(self, last: str) -> bool:  # type: ignore[override]
        self.now += 1.0
        return self.keeps(self.text(3, last))

    def read(self, copy: int = 0) -> Any:
        clock = FakeClock(self.now, WALL + self.now)
        return read(self.readings[copy], NO_LIMITS, clock)[0]


def test_only_the_newest_push_is_held_on_both_sides(shared: Shared) -> None:
    for seq in range(3, 500):
        shared.keep(seq)
        if not seq % 3:
            shared.read()
    gc.collect()
    alive = [each for each in gc.get_objects() if isinstance(each, Unparsed)]

    mine = [each for each in alive if each.said == shared.channel.current.data.said]
    assert len(mine) <= 2
    assert sum(parser_of(each) is shared.channel for each in alive) == 1


def test_a_writer_that_leaves_copies_nothing_more(shared: Shared) -> None:
    before = shared.readings[0].current
    shared.writers[0].leave()
    shared.keep(3)

    assert shared.channel.reading.copies == ()
    assert shared.readings[0].current is before


def test_a_reading_that_is_gone_leaves_its_memory_without_a_cycle() -> None:
    shared = Shared()
    shared.keep(3)
    shared.read()
    gc.disable()
    try:
        slots = slots_alive()
        shared.readings[0].freeze()
        assert slots_alive() == slots - 1
    finally:
        gc.enable()


def slots_alive() -> int:
    kind = "okex_ws.isolation.shared_memory.Slot"
    return sum(
        f"{type(each).__module__}.{type(each).__qualname__}" == kind
        for each in gc.get_objects()
    )


def test_many_threads_read_while_pushes_come(shared: Shared) -> None:
    """Each read gives a push that was whole and present, whichever thread parses."""
    over, found = threading.Event(), set[Any]()

    def look() -> None:
        while not over.is_set():
            found.add(shared.read())

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for seq in range(3, 1500):
            assert shared.keep(seq, f"100.{seq}")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert found <= {"100.1", *(f"100.{seq}" for seq in range(3, 1500))}
    assert (shared.doubted, shared.seen) == ([], [])
