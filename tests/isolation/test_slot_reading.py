"""What is written of a channel is what is read of it, or nothing is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import NO_CAUSE, Cause, CauseCode, State
from okex_ws.isolation.shared_memory import Slot
from okex_ws.isolation.slot_reading import (
    ERA_CAPACITY,
    EraContent,
    RemoteEras,
    SlotReading,
    decode_era,
    encode,
    encode_era,
    slot_capacity,
)
from okex_ws.protocol.messages import BookData, ChannelName, DepthData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.reading import read, take
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Published, Verdict
from tests.support.clocks import FakeClock
from tests.support.internals import era_slots_of, flip_bits, forget_value
from tests.support.shared_memory import LocalMemory

DEPTH = V5.channel("depth5", "spot", "BTC-USDT")
BOOK = V5.channel("depth", "spot", "BTC-USDT")
TRADE = V5.channel("trade", "spot", "BTC-USDT")

LEASE = Lease(15.0, 0.0)
LEVELS = DepthData([["100.1", "1", "0", "1"]], [], 1_600_000_000_123, 7)


class SharedChannel:
    """One channel and one era, written on one side and read on the other."""

    def __init__(self, name: ChannelName = DEPTH) -> None:
        self.process_runs = True
        memory = LocalMemory()
        era_place, place = (
            memory.allocate(ERA_CAPACITY),
            memory.allocate(slot_capacity(name)),
        )
        self.era_slot = memory.slot(era_place)
        self.remote = RemoteEras(
            [memory.slot(era_place, decode_era)], lambda: self.process_runs
        )
        self.remote.lose()
        self.slot = memory.slot(place)
        self.doubts: list[int] = []
        self.reading = SlotReading(
            name, V5, memory, place, self.remote, lambda: self.doubts.append(1)
        )

    def open(
        self,
        number: int = 1,
        lease: Lease | None = LEASE,
        *,
        lost: bool = False,
        held: bool = False,
    ) -> None:
        self.era_slot.put(encode_era(EraContent(number, lost, held, lease)))

    def show(
        self,
        data: Any = LEVELS,
        number: int = 1,
        epoch: int = 1,
        state: State = State.LIVE,
        lease: Lease | None = None,
    ) -> None:
        era = Era(0.0)
        era.lease = lease
        shown = Published(state, NO_CAUSE, epoch, era, data, 1.0, 2.0)
        self.slot.put(encode(shown, True, 0, number))

    def verdict(self, now: float = 1.0, wall: float = 1.0) -> Verdict:
        verdict, _, _ = read(self.reading, NO_LIMITS, FakeClock(now, wall))
        return verdict


@pytest.fixture
def rig() -> SharedChannel:
    return SharedChannel()


# --- A value --------------------------------------------------------------------------

SECONDS = st.floats(allow_nan=False)
NUMBERS = st.text("0123456789.", max_size=64)
ROWS = st.lists(st.lists(NUMBERS, min_size=3, max_size=4), max_size=5)
NUMBER = st.integers(0, 1 << 60)
DEPTHS = st.builds(DepthData, ROWS, ROWS, NUMBER, st.none() | NUMBER, st.none(), NUMBER)


WORDS = st.text(max_size=20)
CAUSES = st.just(NO_CAUSE) | st.builds(
    Cause,
    st.sampled_from(CauseCode),
    st.text(max_size=300),
    WORDS,
    WORDS,
    WORDS,
    st.none() | st.integers() | WORDS,
)


@given(
    st.sampled_from(State),
    CAUSES,
    st.integers(0, 1 << 40),
    st.none()
    | st.builds(DepthData, ROWS, ROWS, *[st.integers()] * 2, st.none(), st.integers()),
    st.tuples(SECONDS, SECONDS, st.none() | SECONDS, SECONDS),
    st.booleans(),
)
def test_a_value_comes_out_as_it_went_in(
    state: State, cause: Cause, epoch: int, data: Any, moments: Any, acknowledged: bool
) -> None:
    rig = SharedChannel()
    shown = Published(state, cause, epoch, None, data, *moments)

    rig.slot.put(encode(shown, acknowledged))

    assert rig.reading.current == shown
    assert rig.reading.current.state is state
    assert rig.reading.acknowledged is acknowledged


def test_a_book_comes_out_as_a_whole_one() -> None:
    """Of the change that it comes of nothing is told, and so it is a snapshot."""
    rig = SharedChannel(BOOK)
    rows = (("100.1", "1", "0", "1"),)
    change = BookData(False, [["100.1", "1", "0", "1"]], [], 5, 7, 6, None)
    rig.open()
    rig.show(DepthData(rows, (), 5, 7, change, 12))

    shown = rig.reading.current
    assert (shown.depth.bids, shown.depth.asks, shown.depth.seq) == (rows, (), 7)
    assert shown.depth.version == 12
    item: Any = rig.reading.item(shown, None)
    assert (item.action, item.bids, item.book.bids) == ("snapshot", rows, rows)


@pytest.mark.parametrize("name", [DEPTH, BOOK])
def test_the_largest_value_has_room(name: ChannelName) -> None:
    rig = SharedChannel(name)
    # Each another text: of those that are the same only one would be written.
    numbers = (f"{number:064}" for number in itertools.count())
    bids, asks = (
        tuple(tuple(itertools.islice(numbers, 4)) for _ in range(name.levels))
        for _ in range(2)
    )
    data = DepthData(bids, asks, 1 << 60, 1 << 60, None, 1 << 40)
    era = Era(0.0)
    era.lease = Lease(math.pi, math.e, 1 << 60)
    shown = Published(
        State.LIVE,
        NO_CAUSE,
        1 << 60,
        era,
        data,
        math.pi,
        math.e,
        1 / 3,
    )

    rig.slot.put(encode(shown, True, 0, 1 << 60))

    assert rig.reading.current.data == data


@pytest.mark.parametrize("name", [DEPTH, BOOK, TRADE])
def test_the_longest_cause_has_room(name: ChannelName) -> None:
    """A sentence is cut in the end, and what names things is not."""
    rig = SharedChannel(name)
    long = "\U0001f600" * 5000
    cause = Cause(CauseCode.REJECTED, long, "wss://h" * 30, "I" * 60, "c" * 60, "60018")
    era = Era(0.0)
    era.lease = Lease(math.pi, math.e, 1 << 60)
    moments = math.pi, math.e, 1 / 3
    shown = Published(State.RECONNECTING, cause, 1 << 60, era, None, *moments)

    rig.slot.put(encode(shown, True, 0, 1 << 60))

    told = rig.reading.current.cause
    assert told == replace(cause, text=told.text)
    assert len(told.text) > 500
    assert long.startswith(told.text)


@pytest.mark.parametrize("code", CauseCode)
def test_an_era_has_room_for_each_code(rig: SharedChannel, code: CauseCode) -> None:
    lease = Lease(math.pi, math.e, 1 << 60)
    rig.era_slot.put(encode_era(EraContent(7, True, False, lease, code.value)))
    era = rig.remote.find(0, 7)

    assert era.cause.code is code
    assert era.cause
    # The slot has a later era by now.
    assert rig.remote.find(0, 6).cause.code is CauseCode.NETWORK


def test_a_depth_takes_a_few_kilobytes() -> None:
    """A kept push of 4 KiB, and what goes with it."""
    assert slot_capacity(DEPTH) <= 4096 + 256
    assert slot_capacity(TRADE) <= 4096 + 256
    assert slot_capacity(BOOK) < 256 * 1024


def test_what_has_no_form_is_refused() -> None:
    data = DepthData([[object()]], [], 1, None)
    with pytest.raises(ValueError, match="unmarshallable"):
        encode(Published(State.LIVE, NO_CAUSE, 1, None, data), True)


@pytest.mark.parametrize("name", [DEPTH, BOOK, TRADE])
def test_the_reading_of_a_slot_is_one_of_the_same_channel(name: ChannelName) -> None:
    reading = SharedChannel(name).reading

    assert (reading.topic, reading.name, reading.kind) == (
        name.topic,
        name.key,
        name.kind,
    )
    assert (reading.error, reading.levels) == (None, name.levels)
    assert reading.current.state is State.CONNECTING
    assert not reading.acknowledged


def test_nothing_of_a_state_alone_is_given() -> None:
    reading = SharedChannel(TRADE).reading
    assert reading.item(reading.current, None) is None
    assert reading.items == ()


# --- Trust ----------------------------------------------------------------------------


def test_a_value_lives_as_long_as_the_lease_of_its_era(rig: SharedChannel) -> None:
    rig.open()
    rig.show()

    assert rig.verdict() is LIVE
    assert rig.verdict(15.0, 15.0).state is State.STALE
    # The wall clock jumped.
    assert rig.verdict(1.0, 3.0).state is State.STALE


def lost(rig: SharedChannel) -> None:
    rig.open(lost=True)


def taken_by_a_later_one(rig: SharedChannel) -> None:
    rig.open(number=2)


def dead(rig: SharedChannel) -> None:
    rig.process_runs = False


def lost_with_all(rig: SharedChannel) -> None:
    rig.remote.lose()


def torn(rig: SharedChannel) -> None:
    for buffer in (0, 1):
        flip_bits(rig.era_slot, 8, buffer=buffer)
    # Nobody has read it yet.
    forget_value(era_slots_of(rig.remote)[0])


@pytest.mark.parametrize("end", [lost, taken_by_a_later_one, dead, lost_with_all, torn])
@pytest.mark.parametrize("taken", [False, True])
def test_a_value_is_gone_with_its_era(
    rig: SharedChannel,
    end: Callable[[SharedChannel], None],
    taken: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A read that has *taken* it before sees that as one that begins now."""
    monkeypatch.setattr("okex_ws.isolation.shared_memory.TRIES", 3)
    rig.open()
    rig.show()
    before = take(rig.reading)
    assert before is not None
    assert before.judge(NO_LIMITS, 1.0, 1.0) is LIVE

    end(rig)

    now = before.judge(NO_LIMITS, 1.0, 1.0) if taken else rig.verdict()
    assert now.state is State.RECONNECTING


def test_what_is_held_is_not_given_until_it_is_settled(rig: SharedChannel) -> None:
    """One store holds every value of the era back, and another gives them again."""
    rig.open()
    rig.show()
    before = take(rig.reading)
    assert before is not None

    rig.open(held=True)
    assert before.judge(NO_LIMITS, 1.0, 1.0).state is State.RESYNCING
    assert rig.verdict().state is State.RESYNCING

    rig.open()
    assert rig.verdict() is LIVE


def test_an_era_that_had_no_pong_proves_nothing(rig: SharedChannel) -> None:
    rig.open(lease=None)
    rig.show()

    assert rig.verdict().state is State.SYNCING


def test_the_last_byte_is_heard(rig: SharedChannel) -> None:
    rig.open()
    rig.show()
    rig.era_slot.beat(12.5)

    era = rig.reading.current.era
    assert era is not None
    assert era.heard == 12.5


# --- The epoch ------------------------------------------------------------------------


def test_each_lapse_of_the_lease_is_a_new_epoch(rig: SharedChannel) -> None:
    rig.open()
    rig.show(epoch=4)
    assert rig.reading.epoch == 4

    rig.open(lease=LEASE._replace(lapses=2))

    assert rig.reading.epoch == 6


@pytest.mark.parametrize("read_before", [False, True])
def test_the_epoch_does_not_fall_when_a_later_era_has_the_slot(
    rig: SharedChannel, read_before: bool
) -> None:
    """The lapses of the lost era count, though its slot says nothing of them now."""
    rig.open()
    rig.show(epoch=4)
    rig.open(lease=LEASE._replace(lapses=3))
    if read_before:
        assert rig.reading.epoch == 7
    rig.open(number=2)
    if read_before:
        assert rig.reading.epoch == 7
    rig.remote.find(0, 2)  # another channel has a value of the later era

    rig.show(None, 1, 4, State.RECONNECTING, LEASE._replace(lapses=3))
    assert rig.reading.epoch == 7
    rig.show(number=2, epoch=8)
    assert rig.reading.epoch == 8


def test_a_slot_that_cannot_be_read_gives_no_price(
    rig: SharedChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("okex_ws.isolation.shared_memory.TRIES", 3)
    rig.open()
    rig.show()
    for buffer in (0, 1):
        flip_bits(rig.slot, 9, buffer=buffer)

    assert rig.verdict().state is State.RESYNCING
    assert not rig.reading.acknowledged


# --- The slot is given back -----------------------------------------------------------


def test_a_reading_that_is_frozen_shows_no_price_and_reads_no_more(
    rig: SharedChannel,
) -> None:
    rig.open()
    rig.show(epoch=3)
    rig.reading.freeze()
    before = rig.reading.current
    rig.show(epoch=9)  # somebody else's

    assert rig.reading.current is before
    assert (before.epoch, before.data, before.received) == (3, None, 1.0)
    assert rig.verdict().state is State.RECONNECTING
    rig.reading.freeze()
    assert rig.reading.current.epoch == 3


def test_in_a_forked_child_nothing_is_read(rig: SharedChannel) -> None:
    rig.open()
    rig.show()

    def get(self: Slot) -> Any:
        pytest.fail("it was read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Slot, "get", get)
        rig.reading.forked()
        assert rig.verdict().state is State.CLOSED
