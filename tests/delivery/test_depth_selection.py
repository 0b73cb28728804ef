"""Of several depths a read is of the newest that can be trusted and is deep enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import State
from okex_ws.channels.base import Channel
from okex_ws.channels.book import BookChannel
from okex_ws.channels.depth import DepthChannel
from okex_ws.channels.series import KINDS
from okex_ws.delivery.callbacks import Callbacks
from okex_ws.delivery.depth_selection import LEVELS, Look, choose, worst
from okex_ws.delivery.view import View
from okex_ws.protocol.messages import DepthData, Push
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.verdict import LIVE, NO_LIMITS, Limits, Published, Verdict, judge
from tests.support.clocks import FakeClock

SPOT = ("spot", "BTC-USDT")
TOPICS = ("bbo-tbt", "depth5", "books50-l2-tbt", "depth")
STALE = Verdict(State.STALE, "no pong in time")
SYNCING = Verdict(State.SYNCING, "waiting for the first push")
WALL = 1_700_000_000.0
TIME_MS = 1_700_000_000_000


def channel(topic: str) -> Channel:
    name = V5.channel(topic, *SPOT)
    return KINDS[name.kind](V5, name)


def look(
    topic: str,
    time_ms: int = 0,
    seq: int | None = None,
    *,
    verdict: Verdict = LIVE,
    epoch: int = 1,
) -> Look:
    data = DepthData([], [], time_ms, seq)
    shown = Published(verdict.state, "", epoch, None, data)
    return Look(verdict, channel(topic), shown)


def chosen(*looks: Look, levels: int = LEVELS) -> str:
    return choose(looks, levels).channel.topic


# --- Which --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "topic"),
    [(1, "bbo-tbt"), (2, "depth5"), (5, "depth5"), (6, "depth"), (400, "depth")],
)
def test_it_is_the_newest_of_those_that_carry_so_many_levels(
    levels: int, topic: str
) -> None:
    looks = look("bbo-tbt", 3), look("depth5", 2), look("depth", 1)

    assert chosen(*looks, levels=levels) == topic


@pytest.mark.parametrize("levels", [1, 5, 400])
def test_a_deeper_one_serves_fewer_levels_when_it_is_newer(levels: int) -> None:
    looks = look("bbo-tbt", 1), look("depth5", 2), look("depth", 3)

    assert chosen(*looks, levels=levels) == "depth"


@pytest.mark.parametrize("levels", [51, 400, 5000])
def test_where_none_carries_so_many_it_is_the_deepest(levels: int) -> None:
    looks = look("bbo-tbt", 3), look("books50-l2-tbt", 1), look("depth5", 2)

    assert chosen(*looks, levels=levels) == "books50-l2-tbt"


def test_of_one_time_it_is_the_later_of_the_sequence() -> None:
    assert chosen(look("depth5", 7, 5), look("depth", 7, 4)) == "depth5"
    assert chosen(look("depth5", 7, 4), look("depth", 7, 5)) == "depth"
    assert chosen(look("depth", 7, None), look("depth5", 7, 0)) == "depth5"
    # The time goes first: after a maintenance the sequence begins anew.
    assert chosen(look("depth5", 8, 1), look("depth", 7, 900)) == "depth5"


def test_of_one_moment_it_is_the_deeper() -> None:
    assert chosen(look("depth5", 7, 5), look("depth", 7, 5)) == "depth"
    assert chosen(look("depth", 7), look("depth5", 7)) == "depth"


# --- Trust --------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 5, 400])
def test_only_what_can_be_trusted_serves_a_read(levels: int) -> None:
    looks = look("depth", 9, verdict=STALE), look("bbo-tbt", 1)

    best = choose(looks, levels)

    assert (best.channel.topic, best.verdict) == ("bbo-tbt", LIVE)


def test_where_none_can_be_trusted_it_is_the_best_that_can_be_said() -> None:
    looks = look("depth5", 9, verdict=SYNCING), look("depth", 1, verdict=STALE)

    best = choose(looks, LEVELS)

    assert (best.channel.topic, best.verdict) == ("depth", STALE)


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
        self.view.carry({one.topic: one for one in self.channels})
        self.links: list[Any] = [None, None]
        self.newest = [0, 0, 0]
        # What another thread does in the middle of something.
        self.meanwhile: Callable[[], None] = lambda: None
        for number in range(2):
            self.connect(number)

    def of(self, link: int) -> list[Any]:
        """The channels of a connection."""
        return self.channels[:2] if link == 0 else self.channels[2:]

    def connect(self, link: int) -> None:
        now = self.clock.now
        if self.links[link] is not None:
            self.links[link].lost = True
            for one in self.of(link):
                one.lost("reset by peer", now)
        self.links[link] = Era(now)
        for one in self.of(link):
            one.opened(self.links[link], now)
            one.subscribed(self.links[link], now)
        self.renew(link)

    def renew(self, link: int) -> None:
        """A pong, as a conversation takes it in."""
        now, lease = self.clock.now, self.links[link].lease
        lapsed = lease is not None and not lease.holds(now, self.clock.wall())
        for one in self.of(link) if lapsed else ():
            one.lapsed()
            self.meanwhile()
        self.links[link].lease = Lease(now + 15, self.clock.offset)
        for one in self.of(link) if lapsed else ():
            self.meanwhile()
            one.renewed()
            self.meanwhile()

    def push(self, number: int, time_ms: int) -> None:
        one = self.channels[number]
        link = self.links[0 if number < 2 else 1]
        element = {
            "asks": [],
            "bids": [["1", "1", "0", "1"]],
            "ts": str(TIME_MS + time_ms),
            "seqId": str(time_ms),
            "prevSeqId": "-1",
        }
        push = Push(one.name, [element], "text", "snapshot")
        first = one.current.state is not State.LIVE
        assert one.push(push, first, link, self.clock.now, self.clock.wall())

    def read(self, levels: int) -> tuple[int, int] | None:
        best = self.view.look(NO_LIMITS, levels)
        if best.verdict is not LIVE:
            return None
        return best.current.epoch, best.current.depth.time_ms - TIME_MS


CHANNELS, CONNECTIONS = st.integers(0, 2), st.integers(0, 1)
EVENTS = st.one_of(
    # How much later than the last of its channel; back in time too.
    st.tuples(st.just("push"), CHANNELS, st.sampled_from([1, 1, 1, 7, 0, -5])),
    st.tuples(st.just("spoil"), CHANNELS, st.just(0)),
    st.tuples(st.just("connect"), CONNECTIONS, st.just(0)),
    st.tuples(st.just("renew"), CONNECTIONS, st.just(0)),
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([1, 8, 20])),
)


@given(st.lists(EVENTS, max_size=60))
def test_no_read_of_an_epoch_is_older_than_an_earlier_one(
    events: list[tuple[str, int, int]],
) -> None:
    feeds, last = Feeds(), dict[int, tuple[int, int]]()
    for event, which, amount in events:
        if event == "push":
            feeds.newest[which] = max(1, feeds.newest[which] + amount)
            feeds.push(which, feeds.newest[which])
        elif event == "spoil":
            feeds.channels[which].invalidated("not JSON", feeds.clock.now)
        elif event == "wait":
            feeds.clock.advance(amount)
        else:
            getattr(feeds, event)(which)
        for levels in (1, 5, 400):
            given_now = feeds.read(levels)
            if given_now is not None:
                # The epoch does not go back, nor the time within one.
                assert given_now >= last.get(levels, (0, 0))
                last[levels] = given_now


def test_no_epoch_goes_back_while_another_connection_is_renewed() -> None:
    """A reader's thread may look in the middle of it, at what is trusted still."""
    feeds = Feeds()
    feeds.push(0, 1)
    feeds.push(2, 1)
    feeds.clock.advance(20)
    feeds.renew(1)
    epochs = []

    def read() -> None:
        epochs.append(feeds.view.look(NO_LIMITS, 1).current.epoch)

    read()
    feeds.meanwhile = read
    feeds.renew(0)
    read()

    assert epochs == sorted(epochs)


@given(st.lists(EVENTS, max_size=60))
def test_a_read_is_of_the_newest_that_carries_its_levels(
    events: list[tuple[str, int, int]],
) -> None:
    feeds = Feeds()
    for event, which, amount in events:
        if event == "push":
            feeds.newest[which] = max(1, feeds.newest[which] + amount)
            feeds.push(which, feeds.newest[which])
        elif event == "spoil":
            feeds.channels[which].invalidated("not JSON", feeds.clock.now)
    now, wall = feeds.clock.now, feeds.clock.wall()
    live = [
        one
        for one in feeds.channels
        if judge(one.current, NO_LIMITS, now, wall) is LIVE
    ]
    for levels in (1, 5, 400):
        enough = [c for c in live if c.levels >= levels]
        deepest = max((c.levels for c in live), default=0)
        of = enough or [c for c in live if c.levels == deepest]
        times = [one.current.depth.time_ms - TIME_MS for one in of]
        read = feeds.read(levels)
        assert (read[1] if read else None) == max(times, default=None)


def test_a_limit_judges_what_was_chosen_and_chooses_nothing_itself() -> None:
    """An older depth is never given because a newer one is too old."""
    feeds = Feeds()
    feeds.push(1, 100)
    feeds.clock.advance(3)
    # It came later, and is of an earlier moment.
    feeds.push(2, 50)

    assert feeds.read(5) == (feeds.view.look(NO_LIMITS, 5).current.epoch, 100)
    late = feeds.view.look(Limits(max_age=2), 5)
    assert (late.verdict.state, late.verdict.limit) == (State.STALE, True)
    assert late.channel.topic == "depth5"
    assert feeds.view.look(Limits(max_age=2), 400).verdict is LIVE


def test_every_depth_channel_says_how_deep_it_is() -> None:
    found = {topic: channel(topic) for topic in TOPICS}
    assert all(isinstance(one, DepthChannel) for one in found.values())
    books = [topic for topic, one in found.items() if isinstance(one, BookChannel)]
    assert books == ["books50-l2-tbt", "depth"]
    levels = [one.levels for one in found.values() if isinstance(one, DepthChannel)]
    assert levels == [1, 5, 50, 400]


class Flickering(DepthChannel):
    """What it shows changes while it is looked at, as often as the test says."""

    epochs: list[int]

    @property
    def shown(self) -> Published:
        if len(self.epochs) > 1:
            return self._shown._replace(epoch=self.epochs.pop(0))
        return self._shown._replace(epoch=self.epochs[0])

    @shown.setter
    def shown(self, value: Published) -> None:
        self._shown = value


def test_a_value_of_an_epoch_that_ended_meanwhile_is_looked_at_again() -> None:
    """The lease that vouches for it may be newer than the value."""
    clock = FakeClock()
    one = Flickering(V5, V5.channel("depth5", *SPOT))
    link = Era(clock.now)
    link.lease = Lease(clock.now + 15, clock.offset)
    one.current = Published(State.LIVE, "", 0, link, DepthData([], [], 0, None))
    view = View(None, "BTC-USDT", NO_LIMITS, clock, Callbacks("BTC-USDT", clock))
    view.carry({"depth5": one})
    one.epochs = [1, 2, 2, 3, 3, 3]

    assert view.look(NO_LIMITS).current.epoch == 3
