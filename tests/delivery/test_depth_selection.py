"""Of several depths a read is of the newest that can be trusted and is deep enough."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import SequenceGap
from okex_ws.base.state import NO_CAUSE, State
from okex_ws.channels.base import Channel
from okex_ws.channels.book import BookChannel
from okex_ws.channels.depth import DepthChannel
from okex_ws.channels.series import KINDS
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.depth_selection import LEVELS, OUTLIVED, Look, choose, worst
from okex_ws.delivery.view import View
from okex_ws.protocol.messages import DepthData, Push
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.reading import ServingEntry, take
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Limits, Published, Verdict
from tests.support.causes import because
from tests.support.clocks import FakeClock

SPOT = ("spot", "BTC-USDT")
TOPICS = ("bbo-tbt", "depth5", "books50-l2-tbt", "depth")
STALE = Verdict(State.STALE, because("no pong in time"))
SYNCING = Verdict(State.SYNCING, because("waiting for the first push"))
WALL = 1_700_000_000.0
TIME_MS = 1_700_000_000_000


def channel(topic: str) -> Channel:
    name = V5.channel(topic, *SPOT)
    return KINDS[name.kind](V5, name)


def look(
    topic: str,
    received: float = 0.0,
    seq: int | None = None,
    *,
    time_ms: int = 0,
    verdict: Verdict = LIVE,
    epoch: int = 1,
) -> Look:
    data = DepthData([], [], time_ms, seq)
    value = Published(
        verdict.state, NO_CAUSE, epoch, None, data, received, moved=received
    )
    return Look(verdict, channel(topic).reading, value)


def chosen(*looks: Look, levels: int = LEVELS) -> str:
    return choose(looks, levels).reading.topic


# --- Which --------------------------------------------------------------------------


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize(
    ("levels", "topic"),
    [(1, "bbo-tbt"), (2, "depth5"), (5, "depth5"), (6, "depth"), (400, "depth")],
)
def test_it_is_the_newest_of_those_that_carry_so_many_levels(
    levels: int, topic: str, numbered: bool
) -> None:
    looks = [
        look(name, moment, int(moment) if numbered else None)
        for name, moment in (("bbo-tbt", 3.0), ("depth5", 2.0), ("depth", 1.0))
    ]

    assert chosen(*looks, levels=levels) == topic


@pytest.mark.parametrize("levels", [1, 5, 400])
def test_a_deeper_one_serves_fewer_levels_when_it_is_newer(levels: int) -> None:
    looks = look("bbo-tbt", 1), look("depth5", 2), look("depth", 3)

    assert chosen(*looks, levels=levels) == "depth"


@pytest.mark.parametrize("levels", [51, 400, 5000])
def test_where_none_carries_so_many_it_is_the_deepest(levels: int) -> None:
    looks = look("bbo-tbt", 3), look("books50-l2-tbt", 1), look("depth5", 2)

    assert chosen(*looks, levels=levels) == "books50-l2-tbt"


@pytest.mark.parametrize("apart", [0.0, 0.3, -0.3, 1.0, -1.0])
def test_within_a_second_the_highest_sequence_number_decides(apart: float) -> None:
    assert chosen(look("depth5", 7, 5), look("depth", 7 + apart, 4)) == "depth5"
    assert chosen(look("depth5", 7, 4), look("depth", 7 + apart, 5)) == "depth"


@pytest.mark.parametrize("seq", [900, 2**63, 10**30])
def test_one_absurd_number_is_outlived_within_a_second(seq: int) -> None:
    assert chosen(look("depth5", 9, 1), look("depth", 8, seq)) == "depth"
    assert chosen(look("depth5", 9.01, 1), look("depth", 8, seq)) == "depth5"


def test_neither_a_repetition_nor_a_first_push_outlives_a_higher_number() -> None:
    """The exchange repeats an idle book, and begins with one, under an old number."""
    repeated = look("depth5", 60, 1)
    repeated = repeated._replace(current=repeated.current._replace(moved=0.0))
    first = repeated._replace(current=repeated.current._replace(moved=-math.inf))

    assert chosen(repeated, look("depth", 8, 2)) == "depth"
    assert chosen(first, look("depth", 8, 2)) == "depth"


@pytest.mark.parametrize("seqs", [(None, None), (5, 6), (6, 5)])
@pytest.mark.parametrize("time_ms", [0, 1, 10**15, -(10**15)])
def test_the_time_that_the_exchange_says_orders_nothing(
    time_ms: int, seqs: tuple[int | None, int | None]
) -> None:
    one, other = seqs
    plain = chosen(look("depth5", 7, one), look("depth", 7.5, other))
    absurd = look("depth5", 7, one, time_ms=time_ms)

    assert chosen(absurd, look("depth", 7.5, other)) == plain


def test_without_numbers_it_is_the_one_that_was_received_last() -> None:
    assert chosen(look("depth5", 7.1), look("depth", 7.0)) == "depth5"
    assert chosen(look("depth5", 7.0), look("depth", 7.1)) == "depth"


def test_of_one_number_or_one_moment_it_is_the_deeper() -> None:
    assert chosen(look("depth5", 7.5, 5), look("depth", 7, 5)) == "depth"
    assert chosen(look("depth", 7), look("depth5", 7)) == "depth"


# --- Trust --------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 5, 400])
def test_only_what_can_be_trusted_serves_a_read(levels: int) -> None:
    looks = look("depth", 9, verdict=STALE), look("bbo-tbt", 1)

    best = choose(looks, levels)

    assert (best.reading.topic, best.verdict) == ("bbo-tbt", LIVE)


def test_where_none_can_be_trusted_it_is_the_best_that_can_be_said() -> None:
    looks = look("depth5", 9, verdict=SYNCING), look("depth", 1, verdict=STALE)

    best = choose(looks, LEVELS)

    assert (best.reading.topic, best.verdict) == ("depth", STALE)


def test_a_single_one_is_what_there_is_whatever_it_carries() -> None:
    only = look("bbo-tbt", 1, epoch=7)
    assert choose([only], 400) is only
    alone = look("bbo-tbt", 1, verdict=SYNCING)
    assert choose([alone], 1) is alone


def test_the_worst_is_the_one_that_is_worst_off() -> None:
    looks = [look("depth5"), look("depth", verdict=SYNCING), look("bbo-tbt")]
    assert worst(looks) is looks[1]


# --- Epochs -------------------------------------------------------------------------


def test_the_epoch_of_several_is_that_of_all_of_them() -> None:
    """Another one that is trusted, or no more, is the end of an epoch."""
    epochs = [
        choose(looks, LEVELS).current.epoch
        for looks in (
            [look("depth5", verdict=SYNCING, epoch=0), look("depth", epoch=1)],
            [look("depth5", epoch=1), look("depth", epoch=1)],
            [look("depth5", epoch=1), look("depth", verdict=STALE, epoch=1)],
            [look("depth5", epoch=1), look("depth", epoch=2)],
        )
    ]
    assert epochs == sorted(set(epochs))


class Feeds:
    """Three depths of one instrument on two connections, and whoever reads them."""

    def __init__(self) -> None:
        self.clock = FakeClock(wall=WALL)
        self.channels: list[Any] = [channel(t) for t in ("bbo-tbt", "depth5", "depth")]
        callbacks = Callbacks("BTC-USDT", self.clock)
        self.view = View(None, "BTC-USDT", NO_LIMITS, self.clock, callbacks)
        self.view.carry({one.topic: one.reading for one in self.channels})
        self.links: list[Any] = [None, None]
        self.newest = [0, 0, 0]
        for number in range(2):
            self.connect(number)

    def of(self, link: int) -> list[Any]:
        """The channels of a connection."""
        return self.channels[:2] if link == 0 else self.channels[2:]

    def connect(self, link: int) -> None:
        now = self.clock.now
        if self.links[link] is not None:
            self.links[link].lose()
            for one in self.of(link):
                one.lost(because("reset by peer"), now)
        self.links[link] = Era(now)
        for one in self.of(link):
            one.opened(self.links[link], now)
            one.subscribed(self.links[link], now)
        self.renew(link)

    def renew(self, link: int) -> None:
        """A pong, as an opening takes it in."""
        now, era = self.clock.now, self.links[link]
        lapses = era.lapses
        if era.lease is not None and not era.lease.holds(now, self.clock.wall()):
            lapses += 1
        era.renew(Lease(now + 15, self.clock.offset, lapses), now)

    def push(self, number: int, seq: int) -> None:
        """A push of channel *number*. If *seq* goes back, it is subscribed again."""
        one = self.channels[number]
        link = self.links[0 if number < 2 else 1]
        element = {
            "asks": [],
            "bids": [["1", "1", "0", "1"]],
            "ts": str(TIME_MS),
            "seqId": str(seq),
            "prevSeqId": "-1",
        }
        push = Push(one.name, [element], "text", "snapshot")
        first = one.current.state is not State.LIVE
        try:
            assert one.push(push, first, link, self.clock.now, self.clock.wall())
        except SequenceGap as gap:
            one.invalidated(str(gap), self.clock.now)

    def read(self, levels: int) -> tuple[int, int] | None:
        best = self.view.look(NO_LIMITS, levels)
        if best.verdict is not LIVE:
            return None
        seq = best.current.depth.seq
        assert seq is not None
        return best.current.epoch, seq


CHANNELS, CONNECTIONS = st.integers(0, 2), st.integers(0, 1)
EVENTS = st.one_of(
    # How much the sequence number of the channel grows; it goes back too.
    st.tuples(st.just("push"), CHANNELS, st.sampled_from([1, 1, 1, 7, 0, -5])),
    st.tuples(st.just("spoil"), CHANNELS, st.just(0)),
    st.tuples(st.just("connect"), CONNECTIONS, st.just(0)),
    st.tuples(st.just("renew"), CONNECTIONS, st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([0.4, 1, 8, 20])),
)


def happen(feeds: Feeds, event: str, which: int, amount: Any) -> None:
    if event == "push":
        # A snapshot of a book may begin its numbers again, so those of the book grow.
        step = abs(amount) if which == 2 else amount
        feeds.newest[which] = max(1, feeds.newest[which] + step)
        feeds.push(which, feeds.newest[which])
    elif event == "spoil":
        feeds.channels[which].invalidated(because("not JSON"), feeds.clock.now)
    elif event == "wait":
        feeds.clock.advance(amount)
    else:
        getattr(feeds, event)(which)


@given(st.lists(EVENTS, max_size=60))
def test_within_an_epoch_only_a_number_of_a_second_ago_is_left(
    events: list[tuple[str, int, Any]],
) -> None:
    """No epoch goes back. A lower number in one epoch means that the higher is old."""
    feeds, last = Feeds(), dict[int, tuple[int, int, float]]()
    for event, which, amount in events:
        happen(feeds, event, which, amount)
        newest = max(one.current.moved for one in feeds.channels)
        for levels in (1, 5, 400):
            best = feeds.view.look(NO_LIMITS, levels)
            if best.verdict is not LIVE:
                continue
            epoch, seq = best.current.epoch, best.current.depth.seq or 0
            before = last.get(levels, (0, 0, 0.0))
            assert epoch >= before[0]
            if epoch == before[0] and seq < before[1]:
                assert before[2] < newest - OUTLIVED
            last[levels] = epoch, seq, best.current.received


def test_no_epoch_goes_back_when_another_connection_is_renewed() -> None:
    feeds = Feeds()
    feeds.push(0, 1)
    feeds.push(2, 1)
    epochs = []
    for link in (0, 1, 0):
        epochs.append(feeds.view.look(NO_LIMITS, 1).current.epoch)
        feeds.clock.advance(20)
        epochs.append(feeds.view.look(NO_LIMITS, 1).current.epoch)
        feeds.renew(link)
    epochs.append(feeds.view.look(NO_LIMITS, 1).current.epoch)

    assert epochs == sorted(epochs)
    assert len(set(epochs)) == 7


@given(st.lists(EVENTS, max_size=60))
def test_a_read_is_of_the_newest_that_carries_its_levels(
    events: list[tuple[str, int, Any]],
) -> None:
    feeds = Feeds()
    for event, which, amount in events:
        happen(feeds, event, which, amount)
    now, wall = feeds.clock.now, feeds.clock.wall()
    live = [
        one
        for one in feeds.channels
        for taken in [take(one.reading)]
        if taken is not None and taken.judge(NO_LIMITS, now, wall) is LIVE
    ]
    for levels in (1, 5, 400):
        enough = [c for c in live if c.levels >= levels]
        deepest = max((c.levels for c in live), default=0)
        of = enough or [c for c in live if c.levels == deepest]
        moved = max((c.current.moved for c in of), default=0.0)
        seqs = [
            c.current.depth.seq for c in of if c.current.received >= moved - OUTLIVED
        ]
        read = feeds.read(levels)
        assert (read[1] if read else None) == max(seqs, default=None)


def test_a_limit_judges_what_was_chosen_and_chooses_nothing_itself() -> None:
    """An older depth is never given because a newer one is too old."""
    feeds = Feeds()
    feeds.push(1, 100)
    feeds.clock.advance(0.5)
    # It came later, and is of an earlier moment.
    feeds.push(2, 50)

    assert feeds.read(5) == (feeds.view.look(NO_LIMITS, 5).current.epoch, 100)
    late = feeds.view.look(Limits(max_age=0.3), 5)
    assert (late.verdict.state, late.verdict.limit) == (State.STALE, True)
    assert late.reading.topic == "depth5"
    assert feeds.view.look(Limits(max_age=0.3), 400).verdict is LIVE


def test_an_absurd_number_of_one_of_several_is_outlived() -> None:
    """Its channel is trusted for as long as it says nothing else."""
    feeds = Feeds()
    feeds.push(1, 10**15)
    feeds.push(2, 7)
    assert feeds.read(5) == (feeds.view.look(NO_LIMITS, 5).current.epoch, 10**15)
    feeds.clock.advance(OUTLIVED + 0.1)
    feeds.push(2, 8)
    assert feeds.read(5) == (feeds.view.look(NO_LIMITS, 5).current.epoch, 8)
    # The next true number goes back, which withdraws the channel.
    feeds.push(1, 9)
    assert feeds.channels[1].current.state is State.RESYNCING
    feeds.push(1, 10)
    assert feeds.read(5) == (feeds.view.look(NO_LIMITS, 5).current.epoch, 10)


def test_every_depth_channel_says_how_deep_it_is() -> None:
    found = {topic: channel(topic) for topic in TOPICS}
    assert all(isinstance(one, DepthChannel) for one in found.values())
    books = [topic for topic, one in found.items() if isinstance(one, BookChannel)]
    assert books == ["books50-l2-tbt", "depth"]
    levels = [one.levels for one in found.values() if isinstance(one, DepthChannel)]
    assert levels == [1, 5, 50, 400]


class Flickering:
    """A channel whose epoch changes while it is read, as often as the test says."""

    def __init__(self, value: Published, epochs: list[int]) -> None:
        self._value, self._epochs = value, epochs

    @property
    def current(self) -> Published:
        first, *rest = self._epochs
        self._epochs = rest or self._epochs
        return self._value._replace(epoch=first)


def test_a_value_of_an_epoch_that_ended_meanwhile_is_read_again() -> None:
    """The lease that vouches for it may be newer than the value."""
    clock = FakeClock()
    reading, era = channel("depth5").reading, Era(clock.now)
    era.renew(Lease(clock.now + 15, clock.offset), clock.now)
    value = Published(State.LIVE, NO_CAUSE, 0, era, DepthData([], [], 0, None))
    reading.entry = ServingEntry(Flickering(value, [1, 2, 2, 3, 3, 3]))
    view = View(None, "BTC-USDT", NO_LIMITS, clock, Callbacks("BTC-USDT", clock))
    view.carry({"depth5": reading})

    assert view.look(NO_LIMITS).current.epoch == 3
