"""A depth that nothing reads is not parsed; a bad one is found by a read or a pong."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws import NotLive, State, StateChange, WSSubscription
from okex_ws.base.errors import WireError
from tests.support.internals import (
    depth_reading_of,
    known_heads,
    loop_of,
    parser_of,
    reading_of,
)
from tests.support.virtual_world import World, compact, listen

pytestmark = pytest.mark.usefixtures("thread_or_shared")

BAD = "0"


class Market:
    """A depth that flows and is known; its pushes are a second apart, 20 ms late."""

    def __init__(self, protocol: str = "v5", **keywords: Any) -> None:
        self.world = world = World(protocol)
        self.feed = world.feed()
        self.seq = 1000
        for topic in ("depth5", "bbo-tbt") if protocol == "v5" else ("depth5",):
            key = world.dialect.channel(topic)
            world.exchange.first_pushes[key] = lambda: self.message("100")
        self.states: list[StateChange] = []
        self.errors: list[str] = []
        self.sub = self.subscribe(
            on_state=self.states.append,
            on_error=lambda error: self.errors.append(str(error)),
            **keywords,
        )
        self.found: list[Any] = []
        # The least late of the minute, by which the head is known, too.
        self.push(1.0, "101", late=0.0)

    def subscribe(self, **keywords: Any) -> WSSubscription:
        keywords = {"channels": ("depth5",), "feed": self.feed, **keywords}
        return self.world.subscribe(**keywords)

    @property
    def now(self) -> float:
        return self.world.clock.now - self.world.t0

    def message(self, bid: str, late: float = 0.02, size: str = "1") -> dict[str, Any]:
        self.seq += 1
        time_ms = round((self.now - late) * 1000)
        v5 = {"seq": self.seq} if self.world.protocol == "v5" else {}
        made: dict[str, Any] = self.world.dialect.depth(time_ms, bid, "200", **v5)
        made["data"][0]["bids"][0][1] = size
        return made

    def push(self, at: float, bid: str, late: float = 0.02, size: str = "1") -> None:
        def send() -> None:
            for peer in self.world.peers:
                if peer.is_open and peer.subscribed:
                    peer.send(self.message(bid, late, size))

        self.world.at(at, send)

    def look(self, at: float, read: Callable[[], Any]) -> None:
        self.world.at(at, lambda: self.found.append(read()))

    def bid(self, at: float) -> None:
        self.look(at, lambda: (self.sub.GetDepth() or {"bids": [["no"]]})["bids"][0][0])

    @property
    def told(self) -> list[str]:
        """The states that were told, from the first good one on, before the end."""
        return [change.new.name for change in self.changes]

    @property
    def changes(self) -> list[StateChange]:
        names = [change.new.name for change in self.states]
        return self.states[names.index("LIVE") : -1]


@pytest.fixture(params=["v3", "v5"])
def market(request: pytest.FixtureRequest) -> Market:
    return Market(request.param)


def test_each_read_is_of_the_newest_and_what_nothing_read_is_counted(
    market: Market,
) -> None:
    for n in range(8):
        market.push(2 + n * 0.1, str(110 + n))
    market.bid(2.25)
    market.bid(2.9)

    market.world.run(3)

    assert market.found == ["112", "117"]
    assert market.feed.stats().unread == {"depth5": 6}
    assert market.told == ["LIVE"]


def test_a_bad_push_is_found_by_the_read_that_would_use_it(market: Market) -> None:
    market.push(2, "110")
    market.bid(2.1)
    market.push(2.2, "111", size=BAD)
    market.bid(2.3)
    market.look(2.4, lambda: market.sub.health())
    market.push(2.5, "112")
    market.bid(2.6)

    market.world.run(3)

    assert market.found[0] == "110"
    assert market.found[1] == "no"
    health = market.found[2]
    assert health.state is State.RESYNCING
    assert health.cause.text.startswith("unreadable message on ")
    assert market.found[3] == "112"
    assert market.told == ["LIVE", "RESYNCING", "LIVE"]
    assert [change.epoch for change in market.changes] == [1, 1, 2]
    assert len(market.errors) == 1
    stats = market.feed.stats()
    assert (stats.dropped, stats.resyncs, stats.unread) == ({"depth": 1}, 1, {})


def test_the_read_itself_says_why(market: Market) -> None:
    market.push(2, "110", size=BAD)

    def depth() -> Any:
        try:
            return market.sub.depth()
        except NotLive as error:
            return error

    market.look(2.1, depth)
    market.look(2.1, lambda: market.sub.best_bid_ask())
    market.look(2.1, lambda: market.sub.state)
    market.world.run(3)

    refused, best, state = market.found
    assert (refused.state, best, state) == (State.RESYNCING, None, State.RESYNCING)
    assert "(depth)" in refused.cause.text
    assert refused.__cause__ is refused.__context__ is None


def test_a_bad_push_that_nothing_reads_is_found_by_the_next_pong(
    market: Market,
) -> None:
    """Before its lease is stored: no value outlives a lease beside a bad push."""
    market.push(3, "110", size=BAD)
    market.world.run(6)

    (_, resyncing) = market.changes[:2]
    assert resyncing.new is State.RESYNCING
    # The second ping is sent at second 5.
    at = resyncing.at.timestamp() - market.world.clock.offset - market.world.t0
    assert at == pytest.approx(5.05)
    assert market.feed.stats().dropped == {"depth": 1}


def test_a_bad_push_that_is_replaced_before_a_read_is_neither_told_nor_withdraws(
    market: Market,
) -> None:
    market.push(2, "110", size=BAD)
    market.push(2.1, "111")
    market.bid(2.2)

    market.world.run(6)

    assert market.found == ["111"]
    assert (market.told, market.errors) == (["LIVE"], [])
    stats = market.feed.stats()
    assert (stats.dropped, stats.resyncs, stats.unread) == ({}, 0, {"depth5": 1})


def test_behind_an_absurd_number_of_a_bad_push_the_good_one_is_no_step_back() -> None:
    market = Market("v5")

    def absurd() -> None:
        market.seq += 10**9
        market.world.peers[0].send(market.message("110", size=BAD))
        market.seq -= 10**9

    market.world.at(2, absurd)
    market.push(2.1, "111")
    market.bid(2.2)
    market.world.run(6)

    assert market.found == ["111"]
    assert market.feed.stats().dropped == {"depth": 1}
    assert not [error for error in market.errors if "proof" in error]


def test_what_a_read_refused_is_told_though_a_good_one_follows_at_once(
    market: Market,
) -> None:
    """A callback reads while the frames behind wait on the same thread."""
    world, seen = market.world, list[Any]()
    trades = market.subscribe(channels=("trade",))
    world.at(1.5, lambda: listen(trades, lambda text: seen.append(market.sub.state)))

    def burst() -> None:
        (peer,) = world.peers
        peer.send(market.message("110", size=BAD))
        peer.send(world.dialect.trade("7", round(market.now * 1000)))
        peer.send(market.message("111"))

    world.at(2, burst)
    market.bid(2.1)
    world.run(3)

    assert seen == [State.RESYNCING]
    assert market.told == ["LIVE", "RESYNCING", "LIVE"]
    assert market.feed.stats().dropped == {"depth": 1}
    assert market.found == ["111"]


def test_a_read_at_the_limit_of_recursion_withdraws_nothing(
    market: Market, thread_or_shared: str
) -> None:
    """The parse fails on the reader's thread alone: the connection's repeats it.

    Through shared memory the side that writes has parsed it before the read ends, and
    has written it anew.
    """
    data: list[Any] = []
    market.push(2, "110")

    def fail() -> None:
        view: Any = reading_of(market.sub)
        # A view that reads through shared memory has another one for that.
        (reading,) = getattr(view, "reads", view).depths()
        parser = parser_of(reading.current.data)
        parse = parser.parse
        parser.parse = too_deep
        data.append(market.sub.state)
        parser.parse = parse

    def too_deep(kept: object) -> None:
        raise WireError("json", "maximum recursion depth exceeded")

    market.world.at(2.1, fail)
    market.bid(2.2)
    market.world.run(3)

    shared = thread_or_shared == "shared"
    assert data == [State.LIVE if shared else State.RESYNCING]
    assert market.found == ["110"]
    assert (market.told, market.errors) == (["LIVE"], [])


def test_a_value_that_was_kept_is_read_together_with_others() -> None:
    market = Market("v5")
    feed = market.feed
    market.push(2, "110")
    market.look(2.2, lambda: feed.best_bid_asks(["BTC-USDT"])["BTC-USDT"].bid)
    market.push(2.3, "111", size=BAD)
    market.look(2.4, lambda: feed.best_bid_asks(["BTC-USDT"]))
    market.look(2.5, lambda: market.sub.state)
    market.world.run(3)

    assert str(market.found[0]) == "110"
    assert market.found[1:] == [{}, State.RESYNCING]


def test_what_was_kept_before_an_iterator_is_its_first_item(market: Market) -> None:
    items: list[Any] = []
    market.push(2, "110")
    market.world.at(2.1, lambda: items.append(market.sub.updates()))
    market.push(2.2, "111")
    market.look(2.3, lambda: next(items[0]).bids[0][0])
    market.world.run(3)

    assert market.found == ["111"]


def test_a_second_depth_is_compared_with_what_was_kept_of_the_first() -> None:
    market = Market("v5")
    market.push(2, "110", size=BAD)
    two: list[Any] = []
    market.world.at(
        2.1, lambda: two.append(market.subscribe(channels=("depth5", "bbo-tbt")))
    )
    market.look(2.5, lambda: two[0].GetDepth()["bids"][0][0])
    market.world.run(3)

    assert market.found == ["100"]


def test_a_change_over_looks_at_what_was_kept_first(market: Market) -> None:
    """What the old connection kept is parsed before its channels move."""
    market.world.at(2, market.feed.rotate)
    for n in range(60):
        market.push(2 + n * 0.1, str(110 + n))
    market.look(9, lambda: market.sub.GetDepth()["bids"][0][0])
    market.look(9, lambda: market.sub.health().epoch)
    market.world.run(10)

    assert market.found == ["169", 1]
    assert market.errors == []


def test_only_one_push_of_a_channel_is_held() -> None:
    market = Market("v5")
    sizes: list[int] = []

    def burst() -> None:
        for n in range(2000):
            message = market.message(f"100.{n:04}", late=0.9 - n / 10000)
            market.world.peers[0].send(message)

    def measure() -> None:
        kept = depth_reading_of(market.sub).current.data
        sizes.append(len(kept.said))
        gc.collect()
        alive = [each for each in gc.get_objects() if type(each) is type(kept)]
        sizes.append(len(alive))

    market.world.at(2, burst)
    market.world.at(3, measure)
    market.world.run(4)

    assert sizes[0] <= 4096
    assert sizes[1] <= 2
    assert market.feed.stats().unread == {"depth5": 1999}


def test_a_reader_beside_a_parse_on_another_thread_gets_the_same(
    market: Market,
) -> None:
    market.push(2, "110")
    found: list[Any] = []

    def read_on_threads() -> None:
        threads = [
            threading.Thread(target=lambda: found.append(market.sub.GetDepth()))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30.0)

    market.world.at(2.1, read_on_threads)
    market.world.run(3)

    assert len(found) == 4
    assert all(depth == found[0] != {} for depth in found)


def test_by_its_bytes_a_channel_is_known_on_each_opening_anew(market: Market) -> None:
    market.look(1.5, lambda: len(known_heads(loop_of(market.sub))))
    market.world.at(2, lambda: market.world.peers[0].drop())
    market.look(4, lambda: len(known_heads(loop_of(market.sub))))
    market.push(5, "110", late=0.0)
    market.look(5.5, lambda: len(known_heads(loop_of(market.sub))))
    market.world.run(6)

    assert market.found == [1, 0, 1]


def test_compact_is_as_the_exchange_writes() -> None:
    assert compact({"a": [1, 2]}) == '{"a":[1,2]}'
