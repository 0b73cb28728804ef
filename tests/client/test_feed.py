"""What the user of a feed sees of it."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    ConnectionLost,
    ConnectionReport,
    Data,
    Depth,
    Feed,
    NotLive,
    RawSubscription,
    Reconnect,
    SequenceGap,
    State,
    StateChange,
    SubscriptionRejected,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from tests.support.internals import reading_of, readings_of
from tests.support.virtual_world import Ladder, World

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

NAMES = ("BTC-USDT", "ETH-USDT")


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    return filled(World(request.param))


@pytest.fixture
def v5() -> World:
    return filled(World("v5"))


def filled(world: World) -> World:
    for name, bid, ask in (("BTC-USDT", "100.1", "100.2"), ("ETH-USDT", "7.1", "7.2")):
        first = world.dialect.depth(0, bid, ask, name)
        world.exchange.first_pushes[key(world, name)] = first
    return world


def key(world: World, name: str = "BTC-USDT", topic: str = "depth5") -> str:
    channel: str = world.dialect.channel(topic, name)
    return channel


def push(world: World, message: object) -> None:
    assert world.peer is not None
    world.peer.send(message)


def subscribe(feed: Feed, name: str = "BTC-USDT", **keywords: Any) -> WSSubscription:
    keywords.setdefault("channels", ("depth5",))
    return WSSubscription(name, "spot", feed=feed, **keywords)


# --- Many at once --------------------------------------------------------------------


def test_many_are_subscribed_in_one_word(world: World) -> None:
    feed = world.feed()
    # Iterators on purpose: both would be empty after their first use.
    subs = feed.subscribe(iter(NAMES), "spot", iter(["depth5", "trade"]), levels=1)
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(sub.GetDepth()["bids"][0][0] for sub in subs))

    world.run(2)

    assert [sub.instrument_id for sub in subs] == list(NAMES)
    assert seen == ["100.1", "7.1"]
    (request,) = world.exchange.requests
    assert len(request["args"]) == 4


def test_every_one_of_them_gets_the_raw_channels(v5: World) -> None:
    feed = v5.feed()
    raw = iter(["books-elp"])
    subs = feed.subscribe(NAMES, "spot", ("depth5",), raw_channels=raw)
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend(list(reading_of(sub).readings) for sub in subs))

    v5.run(2)

    assert seen == [["depth5", "books-elp"]] * 2


@pytest.mark.parametrize(
    ("names", "channels", "error"),
    [
        (["BTC-USDT", "btc-usdt"], ("depth5",), ValueError),
        (["BTC-USDT", "BTC-USDT-SWAP"], ("depth5",), ValueError),
        (["BTC-USDT"], ("nonsense",), ValueError),
        (["BTC-USDT", 7], ("depth5",), TypeError),
        ("BTC-USDT", ("depth5",), TypeError),
        (7, ("depth5",), TypeError),
    ],
)
def test_all_of_many_are_subscribed_or_none(
    world: World, names: Any, channels: Any, error: type[Exception]
) -> None:
    feed = world.feed()
    subscribe(feed, "LTC-USDT")
    left: list[Any] = []

    def fail() -> None:
        with pytest.raises(error):
            feed.subscribe(names, "spot", channels)
        left.extend(sub.instrument_id for sub in feed.subscriptions)

    world.at(1, fail)

    world.run(2)

    assert left == ["LTC-USDT"]
    assert len(world.exchange.requests) == 1


def test_none_of_many_is_subscribed_on_a_closed_feed(world: World) -> None:
    feed = world.feed()
    feed.close()
    with pytest.raises(ValueError, match="closed"):
        feed.subscribe(NAMES, "spot")
    assert feed.subscribe((), "spot") == ()


# --- One iterator of all -------------------------------------------------------------


def test_an_iterator_of_a_feed_brings_those_who_are_there_and_those_to_come(
    world: World,
) -> None:
    feed = world.feed()
    subscribe(feed)
    iterators: list[Any] = []
    world.at(1, lambda: iterators.append(feed.updates()))
    world.at(2, lambda: subscribe(feed, "ETH-USDT"))

    world.run(3)

    items = list(iterators[0])
    depths = [item.instrument_id for item in items if isinstance(item, Depth)]
    assert depths == []  # what waited was no longer true when it was taken
    told = [(i.instrument_id, i.new.value) for i in items if isinstance(i, StateChange)]
    assert told == [
        ("ETH-USDT", "SYNCING"),
        ("ETH-USDT", "LIVE"),
        ("BTC-USDT", "CLOSED"),
        ("ETH-USDT", "CLOSED"),
    ]


def test_an_iterator_of_a_feed_gives_each_of_them_its_newest_depth(
    world: World,
) -> None:
    feed = world.feed()
    updates = feed.updates()
    feed.subscribe(NAMES, "spot", ("depth5",))
    taken: list[Any] = []

    def take() -> None:
        taken.extend(next(updates) for _ in range(6))

    world.at(1, lambda: push(world, world.dialect.depth(1000, "100.1", "101")))
    world.at(2, take)

    world.run(3)

    given = {i.instrument_id: i.asks[0][0] for i in taken if isinstance(i, Depth)}
    assert given == {"BTC-USDT": "101", "ETH-USDT": "7.2"}


def test_an_iterator_of_a_feed_ends_with_the_feed_only(world: World) -> None:
    world.exchange.unknown.add(key(world, "ETH-USDT"))
    feed = world.feed()
    updates = feed.updates(timeout=0)
    one, _ = feed.subscribe(NAMES, "spot", ("depth5",))
    ends: list[Any] = []

    def drain() -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                ends.append(next(updates))
        ends.append("goes on")

    world.at(1, one.close)
    world.at(2, drain)
    world.at(3, lambda: subscribe(feed))

    world.run(4)

    assert ends[-1] == "goes on"
    final = {i.instrument_id: i.new for i in ends if isinstance(i, StateChange)}
    assert final == {"BTC-USDT": State.CLOSED, "ETH-USDT": State.FAILED}
    later = [item.new.value for item in updates if isinstance(item, StateChange)]
    assert later == ["SYNCING", "LIVE", "CLOSED"]


def test_an_iterator_of_a_closed_feed_is_at_its_end(world: World) -> None:
    feed = world.feed()
    subscribe(feed)
    world.run(1)

    assert list(feed.updates(timeout=0)) == []


def test_who_iterates_while_a_feed_is_closed_is_told_of_every_end(
    world: World,
) -> None:
    feed = world.feed()
    updates = feed.updates(timeout=20)
    feed.subscribe(NAMES, "spot", ("depth5",))
    items: list[Any] = []
    reader = threading.Thread(target=lambda: items.extend(updates))
    world.at(1, reader.start)

    world.run(2)

    reader.join(20)
    assert not reader.is_alive()
    ended = [
        i.instrument_id for i in items if isinstance(i, StateChange) and i.new.final
    ]
    assert sorted(ended) == list(NAMES)


# --- Several prices at one moment ----------------------------------------------------


def test_several_prices_are_given_together(world: World) -> None:
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5", "trade"))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(feed.best_bid_asks(iter(NAMES))))

    world.run(2)

    (best,) = seen
    assert {name: one.bid for name, one in best.items()} == {
        "BTC-USDT": Decimal("100.1"),
        "ETH-USDT": Decimal("7.1"),
    }
    assert feed.best_bid_asks(NAMES) == {}


def test_without_one_of_them_there_is_none(world: World) -> None:
    del world.exchange.first_pushes[key(world, "ETH-USDT")]
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(feed.best_bid_asks(NAMES)))
    world.at(1, lambda: seen.append(list(feed.best_bid_asks(["BTC-USDT"]))))
    world.at(1, lambda: seen.append(feed.best_bid_asks([])))

    world.run(2)

    assert seen == [{}, ["BTC-USDT"], {}]


def test_limits_hold_for_each_of_them(world: World) -> None:
    feed = world.feed()
    feed.subscribe(["BTC-USDT"], "spot", ("depth5",))
    feed.subscribe(["ETH-USDT"], "spot", ("depth5",), max_age=3.0)
    seen: list[Any] = []

    def read() -> None:
        seen.append(len(feed.best_bid_asks(NAMES)))
        seen.append(len(feed.best_bid_asks(NAMES, max_age=1.0)))
        seen.append(len(feed.best_bid_asks(NAMES, max_silence=1.0)))

    world.at(2, read)
    world.at(4, lambda: seen.append(len(feed.best_bid_asks(NAMES))))
    world.at(4, lambda: seen.append(len(feed.best_bid_asks(NAMES, max_age=10.0))))

    world.run(5)

    assert seen == [2, 0, 0, 0, 2]


def test_the_times_of_any_two_may_be_only_so_far_apart(world: World) -> None:
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    # The exchange's times, not those of the receipt.
    world.at(1, lambda: push(world, world.dialect.depth(700)))
    for skew in (None, 0.0, 0.699, 0.7, 5):
        world.at(
            2,
            lambda skew=skew: seen.append(
                len(feed.best_bid_asks(NAMES, max_skew=skew))
            ),
        )
    world.at(2, lambda: seen.append(len(feed.best_bid_asks(NAMES[:1], max_skew=0))))

    world.run(3)

    assert seen == [2, 0, 0, 2, 2, 1]


def test_prices_of_a_lost_connection_are_not_given_beside_good_ones(
    world: World,
) -> None:
    feed = world.feed(world.venue(channels_per_connection=1))
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(len(feed.best_bid_asks(NAMES))))
    world.at(2, lambda: world.peers[1].drop())
    world.at(2.001, lambda: seen.append(feed.best_bid_asks(NAMES)))
    world.at(2.001, lambda: seen.append(len(feed.best_bid_asks(NAMES[:1]))))

    world.run(3)

    assert seen == [2, {}, 1]


def test_a_price_of_what_has_no_depth_here_is_asked_in_vain(world: World) -> None:
    feed = world.feed()
    subscribe(feed)
    subscribe(feed, "ETH-USDT", channels=("trade",))
    for names in (["LTC-USDT"], NAMES):
        with pytest.raises(ValueError, match="no depth is subscribed on this feed of"):
            feed.best_bid_asks(names)
    for wrong in ("BTC-USDT", 7):
        with pytest.raises(TypeError, match="sequence"):
            feed.best_bid_asks(wrong)  # type: ignore[arg-type]
    for skew in (-1, float("nan")):
        with pytest.raises(ValueError, match="max_skew"):
            feed.best_bid_asks(["BTC-USDT"], max_skew=skew)
    world.run(1)


def test_a_failed_subscription_does_not_hide_one_that_is_live(world: World) -> None:
    world.exchange.unknown.add(key(world))
    feed = world.feed()
    subscribe(feed)
    world.at(1, world.exchange.unknown.clear)
    world.at(2, lambda: subscribe(feed))
    seen: list[Any] = []
    world.at(3, lambda: seen.append(list(feed.best_bid_asks(["BTC-USDT"]))))

    world.run(4)

    assert seen == [["BTC-USDT"]]


def tops(world: World, topic: str, bid: str, seq: int, time_ms: int) -> Any:
    """A push of *topic* of BTC-USDT, as v5 sends it."""
    name = {"depth5": "books5"}.get(topic, topic)
    return world.dialect.depth(time_ms, bid, "999", channel=name, seq=seq)


def test_each_may_have_several_depths_and_one_absurd_number_is_outlived(
    v5: World,
) -> None:
    """Neither an absurd sequence number nor an absurd time wins for ever."""
    for topic, seq in (("depth5", 5), ("bbo-tbt", 4)):
        v5.exchange.first_pushes[key(v5, topic=topic)] = tops(v5, topic, "1", seq, 0)
    feed = v5.feed()
    subscribe(feed, channels=("depth5", "bbo-tbt"))
    subscribe(feed, "ETH-USDT")
    seen: list[Any] = []

    def look() -> None:
        best = feed.best_bid_asks(NAMES)
        seen.append((len(best), best["BTC-USDT"].channel, best["BTC-USDT"].bid))

    century, fortnight = 10**12, 14 * 86_400_000
    for second, topic, bid, seq, time_ms in (
        (1.0, "bbo-tbt", "2", 10**15, century),
        (1.5, "depth5", "3", 6, 1500),
        (2.5, "depth5", "4", 7, 2500),
        (2.6, "depth5", "5", 8, -fortnight),
    ):
        message = tops(v5, topic, bid, seq, time_ms)
        v5.at(second, lambda message=message: push(v5, message))
        v5.at(second + 0.05, look)

    v5.run(4)

    assert seen == [
        (2, "bbo-tbt", Decimal(2)),
        (2, "bbo-tbt", Decimal(2)),
        (2, "depth5", Decimal(4)),
        (2, "depth5", Decimal(5)),
    ]


def test_a_number_that_goes_back_withdraws_its_channel_and_resubscribes_it(
    v5: World,
) -> None:
    for topic, bid in (("depth5", "2"), ("bbo-tbt", "1")):
        v5.exchange.first_pushes[key(v5, topic=topic)] = tops(v5, topic, bid, 5, 0)
    feed = v5.feed()
    errors: list[Exception] = []
    sub = subscribe(feed, channels=("depth5", "bbo-tbt"), on_error=errors.append)
    subscribe(feed, "ETH-USDT")
    seen: list[Any] = []

    def look() -> None:
        best = feed.best_bid_asks(NAMES)
        levels = [one.channel for one in best.values()]
        seen.append((levels, sub.latest("depth5") is None, sub.state))

    v5.at(1, look)
    v5.at(2, lambda: push(v5, tops(v5, "depth5", "3", 4, 2000)))
    v5.at(2.01, look)
    v5.at(9, look)

    v5.run(10)

    assert seen == [
        (["depth5", "depth5"], False, State.LIVE),
        (["bbo-tbt", "depth5"], True, State.LIVE),
        (["depth5", "depth5"], False, State.LIVE),
    ]
    assert [type(error) for error in errors] == [SequenceGap]
    said = [
        (request["op"], [arg["channel"] for arg in request["args"]])
        for request in v5.exchange.requests[1:3]
    ]
    assert said == [("unsubscribe", ["books5"]), ("subscribe", ["books5"])]


def test_a_limit_judges_the_depth_that_is_chosen_of_several(v5: World) -> None:
    """No older depth is given because a newer one is outside the limits."""
    for topic, seq in (("depth5", 9), ("bbo-tbt", 4)):
        v5.exchange.first_pushes[key(v5, topic=topic)] = tops(v5, topic, "1", seq, 0)
    feed = v5.feed()
    subscribe(feed, channels=("depth5", "bbo-tbt"))
    subscribe(feed, "ETH-USDT")
    seen: list[Any] = []

    def look() -> None:
        limits = {}, {"max_age": 0.6}, {"max_skew": 0.2}, {"max_skew": 1.0}
        seen.extend(len(feed.best_bid_asks(NAMES, **limit)) for limit in limits)

    # Received later, of a lower number: the depth of `depth5` is chosen.
    v5.at(0.8, lambda: push(v5, tops(v5, "bbo-tbt", "2", 8, 800)))
    v5.at(0.81, lambda: push(v5, v5.dialect.depth(810, "7.1", "7.2", "ETH-USDT")))
    v5.at(0.9, look)

    v5.run(2)

    assert seen == [2, 0, 0, 2]


def test_closed_subscriptions_are_left_out(world: World) -> None:
    feed = world.feed()
    first, second = subscribe(feed), subscribe(feed)
    subscribe(feed, "ETH-USDT")
    seen: list[Any] = []

    def refused() -> None:
        with pytest.raises(ValueError, match="no depth is subscribed"):
            feed.best_bid_asks(NAMES)

    world.at(1, first.close)
    world.at(1, lambda: seen.append(len(feed.best_bid_asks(NAMES))))
    world.at(2, lambda: seen.append(len(feed.best_bid_asks(NAMES))))
    world.at(3, second.close)
    world.at(3, refused)

    world.run(4)

    assert seen == [2, 2]


@pytest.mark.parametrize("latest", [True, False])
def test_beside_withdrawals_an_iterator_gives_depths_of_the_live_epoch_alone(
    v5: World, latest: bool
) -> None:
    """However late the script takes them."""
    feed = v5.feed()
    sub = subscribe(feed, channels=("depth5",))
    updates = feed.updates(latest=latest, timeout=0.0)
    taken: list[Any] = []

    def take_all() -> None:
        with contextlib.suppress(TimeoutError, StopIteration):
            while True:
                taken.append(next(updates))

    for second in range(1, 30):
        v5.at(second, lambda n=second: push(v5, v5.dialect.depth(n * 1000)))
    for second in (3.5, 9.5, 10.5):
        v5.at(second, lambda: push(v5, "not json"))
    v5.at(15.5, lambda: push(v5, v5.dialect.depth(0)))
    v5.at(20.5, lambda: v5.peer and v5.peer.drop())
    for second in (1.2, 3.6, 8.2, 10.7, 16.2, 20.7, 29.5):
        v5.at(second, take_all)
    epochs: list[int] = []
    v5.at(29.5, lambda: epochs.append(sub.depth().epoch))

    v5.run(30)

    take_all()
    state, epoch, depths = State.CONNECTING, 0, 0
    for item in taken:
        if isinstance(item, StateChange):
            assert item.epoch >= epoch
            state, epoch = item.new, item.epoch
        else:
            assert isinstance(item, Depth)
            assert (state, item.epoch) == (State.LIVE, epoch)
            depths += 1
    assert depths >= 4
    # Each withdrawal, for whatever reason, ended an epoch.
    assert epochs == [6]


def test_of_whole_books_the_newest_tops_are_compared(world: World) -> None:
    ladder = Ladder(world)
    feed = world.feed()
    subscribe(feed, channels=("depth5", "depth"))
    subscribe(feed, "ETH-USDT")
    seen: list[Any] = []

    def look() -> None:
        best = feed.best_bid_asks(NAMES)
        seen.append({name: (b.bid, b.channel) for name, b in best.items()})

    def breaks() -> None:
        message = ladder.size("5")
        message["data"][0]["bids"] = "none"
        ladder.send(message)

    world.at(1, lambda: ladder.send(ladder.change(price="100.05", size="1")))
    world.at(2, look)
    world.at(3, breaks)
    world.at(3.05, look)

    world.run(4)

    eth = (Decimal("7.1"), "depth5")
    assert seen == [
        {"BTC-USDT": (Decimal("100.05"), "depth"), "ETH-USDT": eth},
        {"BTC-USDT": (Decimal("100.1"), "depth5"), "ETH-USDT": eth},
    ]


# --- The report of its connections ---------------------------------------------------


def test_each_connection_reports_how_it_stands(v5: World) -> None:
    feed = v5.feed(v5.venue(requests_per_hour=480))
    reports: list[tuple[ConnectionReport, ...]] = [feed.connections()]
    channels = ("depth5", "candle60s", "books")
    feed.subscribe(NAMES, "spot", channels)
    reports.append(feed.connections())
    v5.at(1, lambda: reports.append(feed.connections()))
    v5.at(2, lambda: v5.peer_on("business").drop())
    v5.at(2.001, lambda: reports.append(feed.connections()))

    v5.run(3)

    none, before, live, lost = reports
    assert none == ()
    assert [report.open for report in before] == [False, False]
    assert [report.requests_left for report in before] == [479, 479]
    assert live == (
        # The feed itself has asked for the list of instruments.
        ConnectionReport(f"{v5.url}/public", True, 4, 2, 477, 0.0, 0.0),
        ConnectionReport(f"{v5.url}/business", True, 2, 0, 478, 0.0, 0.0),
    )
    assert [report.open for report in lost] == [True, False]


def test_what_several_connections_counted_is_added_up(v5: World) -> None:
    feed = v5.feed()
    sub = subscribe(feed, channels=("depth5", "candle60s"))
    for second in (2, 7):
        v5.at(second, lambda: v5.peer_on("business").drop())
    v5.at(8, lambda: v5.peer_on("public").close(4004, "No data received in 30s."))
    seen: list[Any] = []
    v5.at(15, lambda: seen.extend([feed.stats(), sub.stats()]))

    v5.run(16)

    of_feed, of_sub = seen
    assert of_feed.reconnects == {"ConnectionLost": 2, "ConnectionLost 4004": 1}
    # Five conversations: an ack in each, a first push and the ack of the list of
    # instruments in the public ones, and pongs.
    pongs = len(v5.exchange.pings)
    assert of_feed.messages == 5 + 2 + 2 + pongs
    assert of_feed.bytes > 0
    assert of_feed.ping_round_trip == pytest.approx(0.05)
    assert of_sub == of_feed


def test_the_oldest_pong_of_several_connections_is_the_last_one(v5: World) -> None:
    feed = v5.feed()
    subscribe(feed, channels=("depth5", "candle60s"))
    seen: list[Any] = []

    def silence() -> None:
        v5.failure = lambda url: ConnectionLost(url, "refused")
        v5.peer_on("business").drop()

    v5.at(7, silence)
    v5.at(20.5, lambda: seen.append(feed.stats().last_pong))

    v5.run(21)

    start = feed.stats().last_pong
    assert start is not None
    assert seen[0] == start
    public = [said.at for said in v5.exchange.log if said.peer.path == "public"]
    assert max(public) - v5.t0 == pytest.approx(20, abs=0.1)
    assert start - timedelta(seconds=5.05) < min(seen)


# --- Both kinds of subscription ------------------------------------------------------


def test_a_feed_holds_both_kinds_of_subscription(v5: World) -> None:
    feed = v5.feed()
    book = subscribe(feed)
    raw = RawSubscription(["status"], feed=feed)
    updates = feed.updates()
    v5.at(1, lambda: push(v5, {"arg": {"channel": "status"}, "data": [{"state": "x"}]}))
    seen: list[Any] = []
    v5.at(2, lambda: seen.extend(feed.subscriptions))

    v5.run(3)

    assert seen == [book, raw]
    assert [item.channel for item in updates if isinstance(item, Data)] == ["status"]


def test_what_its_iterator_skips_is_counted_once(world: World) -> None:
    """Not once a subscription that it follows."""
    feed = world.feed()
    for name in NAMES:
        subscribe(feed, name)
    items = feed.updates()
    for ms in range(1, 4):
        world.at(ms, lambda ms=ms: push(world, world.dialect.depth(ms * 1000)))
    world.run(5)

    skipped = feed.stats().skipped

    assert len([item for item in items if isinstance(item, Depth)]) == 0
    assert skipped == {"depth5": 5}


# --- Waiting for all of them ---------------------------------------------------------


def test_one_that_is_closed_meanwhile_is_waited_for_no_more(where: Any) -> None:
    with LocalExchange() as exchange, Feed(exchange.venue_v5, **where) as feed:
        exchange.ignore_subscribe("books5:ETH-USDT")
        subscribe(feed)
        stuck = subscribe(feed, "ETH-USDT")
        closer = threading.Timer(0.3, stuck.close)
        closer.start()

        feed.wait_live(20)

        closer.join()
        assert stuck.state is State.CLOSED
        assert feed.state is State.LIVE


def test_one_that_failed_is_told_whoever_is_waited_for(where: Any) -> None:
    with LocalExchange() as exchange, Feed(exchange.venue_v5, **where) as feed:
        exchange.ignore_subscribe("books5:ETH-USDT")
        subscribe(feed, "ETH-USDT")
        exchange.reject("books5:BTC-USDT", "60018", "doesn't exist")
        subscribe(feed)

        with pytest.raises(SubscriptionRejected, match="60018"):
            feed.wait_live(60)


# --- What it is, and how it ends -----------------------------------------------------


def test_callbacks_that_close_each_others_subscription_at_the_end_are_no_deadlock() -> (
    None
):
    """On the threads of two connections, each in the turn of its own."""
    both = threading.Barrier(2)
    legs: list[WSSubscription] = []

    def end(other: int, change: StateChange) -> None:
        if change.new is State.CLOSED:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(5)
            legs[other].close()

    with LocalExchange() as exchange:
        feed = Feed(exchange.venue_v5)
        legs.append(subscribe(feed, on_state=lambda change: end(1, change)))
        candles = ("candle1m",)
        legs.append(
            subscribe(feed, channels=candles, on_state=lambda change: end(0, change))
        )
        feed.wait_live(20)

        assert feed.close(20)


def test_one_that_is_made_while_its_feed_connects_is_told_of_its_end() -> None:
    told: list[State] = []
    with LocalExchange() as exchange:
        exchange.slow_handshake(30)
        feed = Feed(exchange.venue_v5)
        items = feed.updates(timeout=20)
        subscribe(feed)
        assert exchange.wait_for(lambda: exchange.handshakes, 20)
        late = subscribe(feed, "ETH-USDT", on_state=lambda c: told.append(c.new))
        own = late.updates(timeout=20)

        assert feed.close(20)

        assert [item.new for item in own if isinstance(item, StateChange)] == [
            State.CLOSED
        ]
        assert {item.instrument_id for item in items} == set(NAMES)
        assert told == [State.CLOSED]


def test_the_health_of_a_feed_is_that_of_its_worst_subscription(world: World) -> None:
    world.exchange.first_pushes.pop(key(world, "ETH-USDT"))
    feed = world.feed()
    assert feed.health().state is State.CONNECTING
    assert feed.stats().messages == 0
    subscribe(feed)
    subscribe(feed, "ETH-USDT")
    seen: list[Any] = []
    world.at(1, lambda: seen.append(feed.health()))

    world.run(2)

    assert seen[0].state is State.SYNCING
    assert feed.health().state is State.CLOSED
    assert feed.close() is True
    left = readings_of(feed)[0]
    with pytest.raises(NotLive, match="closed"):
        left.wait_live(1)


def test_a_closed_feed_takes_no_subscription(world: World) -> None:
    feed = world.feed()
    assert feed.close() is True

    with pytest.raises(ValueError, match="closed"):
        subscribe(feed)


def test_a_context_manager_closes(world: World) -> None:
    with world.feed() as feed:
        assert feed.state is State.CONNECTING
    assert feed.state is State.CLOSED


def test_a_context_that_does_not_verify_is_refused(world: World) -> None:
    loose = ssl.create_default_context()
    loose.check_hostname = False
    with pytest.raises(ValueError, match="verify"):
        Feed("okj-v3", ssl_context=loose)
    with pytest.raises(TypeError, match="SSLContext"):
        Feed("okj-v3", ssl_context=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["on_state", "reconnect", "timeouts"])
def test_a_keyword_of_the_wrong_kind_is_refused_at_once(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        Feed("okj-v3", **{name: 5})


def test_waiting_for_a_closed_feed_is_waiting_for_nothing(world: World) -> None:
    feed = world.feed()
    feed.close()
    with pytest.raises(NotLive, match="closed"):
        feed.wait_live(1)


@pytest.mark.parametrize(
    "keywords",
    [{"ping_interval": 31}, {"ping_interval": 5}, {"lease": 1}],
)
def test_an_interval_that_the_exchange_would_punish_is_refused(
    keywords: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match=r"interval|lease"):
        Feed("okj-v3", **keywords)


def test_waiting_for_a_feed_waits_for_all_of_it() -> None:
    with Feed("okj-v3", network=lambda: Refusing(), **FAST) as feed:
        subscribe(feed, "BTC-JPY")
        with pytest.raises(TimeoutError) as caught:
            feed.wait_live(0.2)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("venue", "channels"),
    [("okj-v3", ("depth5",)), ("okj", ("depth5", "candle60s"))],
)
def test_after_a_fork_the_childs_objects_are_closed_and_the_parents_are_not(
    venue: str, channels: tuple[str, ...]
) -> None:
    networks: list[Refusing] = []

    def network() -> Any:
        networks.append(Refusing())
        return networks[-1]

    with Feed(venue, network=network, **FAST) as feed:
        sub = subscribe(feed, "BTC-JPY", channels=channels)
        updates = feed.updates(timeout=0)
        assert len(networks) == len(channels)
        child = os.fork()
        if not child:
            good = (
                sub.state is State.CLOSED
                and sub.GetDepth() == {}
                and all(network.discarded for network in networks)
                and all(isinstance(item, StateChange) for item in updates)
                and sub.close()
                and feed.close()
            )
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert sub.state is not State.CLOSED


FAST: dict[str, Any] = {"reconnect": Reconnect(first=0.01, cap=0.05, host_gap=0.0)}


class Refusing:
    """A real-time network on which every attempt is refused."""

    def __init__(self) -> None:
        self.discarded = False
        self._woken = threading.Event()

    def open(self, url: str, deadline: float, cancelled: Any) -> Any:
        raise ConnectionLost(url, "refused")

    def wait(self, timeout: float | None, stream: Any = None) -> None:
        self._woken.wait(timeout)
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None: ...

    def discard(self) -> None:
        self.discarded = True
