"""What is written of a channel is what is read of it, or nothing is."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import State
from okex_ws.isolation.shared_memory import Slot
from okex_ws.isolation.slot_reading import (
    ERA_CAPACITY,
    BookMirror,
    DepthMirror,
    RemoteEras,
    StateMirror,
    decode_era,
    encode,
    encode_era,
    make_mirror,
    slot_capacity,
)
from okex_ws.protocol.messages import BookData, ChannelName, DepthData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Published, judge
from tests.support.internals import flip_bits, forget_value, link_slots_of
from tests.support.shared_memory import LocalMemory

DEPTH = V5.channel("depth5", "spot", "BTC-USDT")
BOOK = V5.channel("depth", "spot", "BTC-USDT")
TRADE = V5.channel("trade", "spot", "BTC-USDT")

LEASE = Lease(15.0, 0.0)
LEVELS = DepthData([["100.1", "1", "0", "1"]], [], 1_600_000_000_123, 7)


class MirroredChannel:
    """One channel and one link, written on one side and read on the other."""

    def __init__(self, name: ChannelName = DEPTH) -> None:
        self.process_runs = True
        memory = LocalMemory()
        link_place, place = (
            memory.allocate(ERA_CAPACITY),
            memory.allocate(slot_capacity(name)),
        )
        self.link_slot = memory.slot(link_place)
        self.remote = RemoteEras(
            [memory.slot(link_place, decode_era)], lambda: self.process_runs
        )
        self.remote.lose()
        self.slot = memory.slot(place)
        self.mirror = make_mirror(V5, name, memory.slot(place, self.remote.decode))

    def open(self, number: int = 1, lease: Lease | None = LEASE) -> Era:
        link = Era(0.0)
        link.lease = lease
        self.link_slot.put(encode_era(link, number))
        return link

    def show(self, data: Any = LEVELS, number: int = 1, epoch: int = 1) -> None:
        shown = Published(State.LIVE, "", epoch, None, data, 1.0, 2.0)
        self.slot.put(encode(shown, True, 0, number))

    def verdict(self) -> Any:
        return judge(self.mirror.current, NO_LIMITS, 1.0, 1.0)


@pytest.fixture
def rig() -> MirroredChannel:
    return MirroredChannel()


# --- A value --------------------------------------------------------------------------

SECONDS = st.floats(allow_nan=False)
NUMBERS = st.text("0123456789.", max_size=64)
ROWS = st.lists(st.lists(NUMBERS, min_size=3, max_size=4), max_size=5)
NUMBER = st.integers(0, 1 << 60)
DEPTHS = st.builds(DepthData, ROWS, ROWS, NUMBER, st.none() | NUMBER, st.none(), NUMBER)


@given(
    st.sampled_from(State),
    st.text(max_size=300),
    st.integers(0, 1 << 40),
    st.none()
    | st.builds(DepthData, ROWS, ROWS, *[st.integers()] * 2, st.none(), st.integers()),
    st.tuples(SECONDS, SECONDS, st.none() | SECONDS, SECONDS),
    st.booleans(),
)
def test_a_value_comes_out_as_it_went_in(
    state: State, cause: str, epoch: int, data: Any, moments: Any, acknowledged: bool
) -> None:
    rig = MirroredChannel()
    shown = Published(state, cause, epoch, None, data, *moments)

    rig.slot.put(encode(shown, acknowledged))

    assert rig.mirror.current == shown
    assert rig.mirror.current.state is state
    assert rig.mirror.acknowledged is acknowledged


def test_a_book_comes_out_as_a_whole_one() -> None:
    """Of the change that it comes of nothing is told, and so it is a snapshot."""
    rig = MirroredChannel(BOOK)
    rows = (("100.1", "1", "0", "1"),)
    change = BookData(False, [["100.1", "1", "0", "1"]], [], 5, 7, 6, None)
    rig.open()
    rig.show(DepthData(rows, (), 5, 7, change, 12))

    shown = rig.mirror.current
    assert (shown.depth.bids, shown.depth.asks, shown.depth.seq) == (rows, (), 7)
    assert shown.depth.version == 12
    item: Any = rig.mirror.item(shown, None)
    assert (item.action, item.bids, item.book.bids) == ("snapshot", rows, rows)


@pytest.mark.parametrize("name", [DEPTH, BOOK])
def test_the_largest_value_has_room(name: ChannelName) -> None:
    rig = MirroredChannel(name)
    # Each another text: of those that are the same only one would be written.
    numbers = (f"{number:064}" for number in itertools.count())
    bids, asks = (
        tuple(tuple(itertools.islice(numbers, 4)) for _ in range(name.levels))
        for _ in range(2)
    )
    data = DepthData(bids, asks, 1 << 60, 1 << 60, None, 1 << 40)
    shown = Published(
        State.LIVE, "\U0001f600" * 5000, 1 << 60, None, data, math.pi, math.e, 1 / 3
    )

    rig.slot.put(encode(shown, True, 0, 1 << 60))

    assert rig.mirror.current.data == data


def test_a_depth_takes_a_few_kilobytes() -> None:
    assert slot_capacity(DEPTH) <= 4096
    assert slot_capacity(TRADE) <= 4096
    assert slot_capacity(BOOK) < 256 * 1024


def test_what_has_no_form_is_refused() -> None:
    data = DepthData([[object()]], [], 1, None)
    with pytest.raises(ValueError, match="unmarshallable"):
        encode(Published(State.LIVE, "", 1, None, data), True)


@pytest.mark.parametrize(
    ("name", "kind"), [(DEPTH, DepthMirror), (BOOK, BookMirror), (TRADE, StateMirror)]
)
def test_a_mirror_is_a_channel_of_the_same_kind(name: ChannelName, kind: type) -> None:
    mirror = MirroredChannel(name).mirror

    assert type(mirror) is kind
    assert (mirror.topic, mirror.name, mirror.error) == (name.topic, name.key, None)
    assert mirror.current.state is State.CONNECTING
    assert not mirror.acknowledged


def test_nothing_of_a_state_alone_is_given() -> None:
    mirror = MirroredChannel(TRADE).mirror
    with pytest.raises(AssertionError, match="a push of a mirror"):
        mirror.push(None, False, Era(0.0), 0.0, 0.0)  # type: ignore[arg-type]
    assert mirror.item(mirror.current, None) is None


# --- Trust ----------------------------------------------------------------------------


def test_a_value_lives_as_long_as_the_lease_of_its_link(rig: MirroredChannel) -> None:
    rig.open()
    rig.show()

    assert rig.verdict() is LIVE
    assert judge(rig.mirror.current, NO_LIMITS, 15.0, 15.0).state is State.STALE
    # The wall clock jumped.
    assert judge(rig.mirror.current, NO_LIMITS, 1.0, 3.0).state is State.STALE


def lost(rig: MirroredChannel) -> None:
    link = rig.open()
    link.lost = True
    rig.link_slot.put(encode_era(link, 1))


def taken_by_a_later_one(rig: MirroredChannel) -> None:
    rig.open(number=2)


def dead(rig: MirroredChannel) -> None:
    rig.process_runs = False


def lost_with_all(rig: MirroredChannel) -> None:
    rig.remote.lose()


def torn(rig: MirroredChannel) -> None:
    for buffer in (0, 1):
        flip_bits(rig.link_slot, 8, buffer=buffer)
    # Nobody has read it yet.
    forget_value(link_slots_of(rig.remote)[0])


@pytest.mark.parametrize("end", [lost, taken_by_a_later_one, dead, lost_with_all, torn])
@pytest.mark.parametrize("held", [False, True])
def test_a_value_is_gone_with_its_link(
    rig: MirroredChannel,
    end: Callable[[MirroredChannel], None],
    held: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever *held* it from before sees that as whoever reads it now."""
    monkeypatch.setattr("okex_ws.isolation.shared_memory.TRIES", 3)
    rig.open()
    rig.show()
    shown = rig.mirror.current
    assert judge(shown, NO_LIMITS, 1.0, 1.0) is LIVE

    end(rig)

    now = shown if held else rig.mirror.current
    assert judge(now, NO_LIMITS, 1.0, 1.0).state is State.RECONNECTING


def test_a_link_that_had_no_pong_proves_nothing(rig: MirroredChannel) -> None:
    rig.open(lease=None)
    rig.show()

    assert rig.verdict().state is State.SYNCING


def test_the_last_byte_is_heard(rig: MirroredChannel) -> None:
    rig.open()
    rig.show()
    rig.link_slot.beat(12.5)

    link = rig.mirror.current.link
    assert link is not None
    assert link.heard == 12.5


def test_a_slot_that_cannot_be_read_gives_no_price(
    rig: MirroredChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("okex_ws.isolation.shared_memory.TRIES", 3)
    rig.open()
    rig.show()
    for buffer in (0, 1):
        flip_bits(rig.slot, 9, buffer=buffer)

    assert rig.verdict().state is State.RESYNCING
    assert not rig.mirror.acknowledged


# --- The slot is given back -----------------------------------------------------------


def test_a_mirror_that_is_frozen_shows_no_price_and_reads_no_more(
    rig: MirroredChannel,
) -> None:
    rig.open()
    rig.show(epoch=3)
    rig.mirror.freeze()
    before = rig.mirror.current
    rig.show(epoch=9)  # somebody else's

    assert rig.mirror.current is before
    assert (before.epoch, before.data, before.received) == (3, None, 1.0)
    assert rig.verdict().state is State.RECONNECTING
    rig.mirror.freeze()
    assert rig.mirror.current.epoch == 3


def test_in_a_forked_child_nothing_is_read(rig: MirroredChannel) -> None:
    rig.open()
    rig.show()

    def get(self: Slot) -> Any:
        pytest.fail("it was read")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Slot, "get", get)
        rig.mirror.forked()
        assert rig.verdict().state is State.CLOSED
