"""Which channels a connection has to carry, and for whom, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import (
    Feed,
    State,
    WSSubscription,
)
from tests.support.internals import is_ready
from tests.support.virtual_world import Ladder, World


@pytest.fixture
def v5() -> World:
    return filled(World("v5"))


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    return filled(World(request.param))


def filled(world: World) -> World:
    for topic in ("depth5", "candle60s"):
        make = getattr(world.dialect, topic.rstrip("56s0"))
        world.exchange.first_pushes[world.dialect.channel(topic)] = make(0)
    return world


def public(feed: Feed, **keywords: Any) -> WSSubscription:
    keywords.setdefault("channels", ("depth5",))
    return WSSubscription("BTC-USDT", "spot", feed=feed, **keywords)


def test_a_refused_top_leaves_the_five_levels_of_the_same_instrument(
    v5: World,
) -> None:
    v5.exchange.unknown.add("bbo-tbt:BTC-USDT")
    feed = v5.feed()
    five, top = public(feed), public(feed, channels=("bbo-tbt", "trade"))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend([five.state, top.state, top.GetDepth()]))
    v5.at(2, lambda: seen.append(list(v5.peer_on("public").subscribed)))

    v5.run(3)

    assert seen[:3] == [State.LIVE, State.FAILED, {}]
    assert seen[3] == ["books5:BTC-USDT"]


def test_a_refused_extra_channel_leaves_the_depth(v5: World) -> None:
    v5.exchange.unknown.add("candle1m:BTC-USDT")
    errors: list[Exception] = []
    channels = ("candle60s", "depth5")
    sub = v5.subscribe(channels=channels, on_error=errors.append)
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend([sub.state, is_ready(sub)]))

    v5.run(2)

    assert seen == [State.LIVE, True]
    assert sub.health().failed == {"candle60s": errors[0]}


def test_all_of_several_channels_refused_is_the_end_of_it(v5: World) -> None:
    v5.exchange.unknown.update(["trades:BTC-USDT", "candle1m:BTC-USDT"])
    sub = v5.subscribe(channels=("trade", "candle60s"))

    v5.run(60)

    assert sub.state is State.FAILED
    assert v5.clock.now < v5.t0 + 10


def bad_depth(world: World, name: str) -> Any:
    message = world.dialect.depth(2000, name=name)
    message["data"][0]["bids"] = "none"
    return message


def test_what_is_wrong_with_a_channel_is_told_to_those_who_follow_it(
    world: World,
) -> None:
    errors: dict[str, list[Any]] = {"one": [], "same": [], "other": []}
    feed = world.feed()
    names = {"one": "BTC-USDT", "same": "BTC-USDT", "other": "ETH-USDT"}
    for name in set(names.values()):
        key = world.dialect.channel("depth5", name)
        world.exchange.first_pushes[key] = world.dialect.depth(0, name=name)
    for label, name in names.items():
        WSSubscription(
            name,
            "spot",
            feed=feed,
            channels=("depth5",),
            on_error=errors[label].append,
        )
    peer: list[Any] = []
    world.at(1, lambda: peer.append(world.peers[0]))
    world.at(2, lambda: peer[0].send(bad_depth(world, "BTC-USDT")))

    world.run(3)

    (one,), (same,) = errors["one"], errors["same"]
    assert one is same
    assert one.channel == world.dialect.channel("depth5")
    assert errors["other"] == []


def test_each_of_two_channels_with_a_bad_message_is_told_of_its_own(
    world: World,
) -> None:
    """Within a minute of each other: what one was told the other was not."""
    errors: dict[str, list[Any]] = {"BTC-USDT": [], "ETH-USDT": []}
    feed = world.feed()
    for name, told in errors.items():
        key = world.dialect.channel("depth5", name)
        world.exchange.first_pushes[key] = world.dialect.depth(0, name=name)
        channels = ("depth5",)
        WSSubscription(name, "spot", feed=feed, channels=channels, on_error=told.append)
    for second, name in ((2, "BTC-USDT"), (3, "ETH-USDT"), (4, "BTC-USDT")):
        world.at(second, lambda name=name: world.peers[0].send(bad_depth(world, name)))

    world.run(5)

    assert {name: len(told) for name, told in errors.items()} == dict.fromkeys(
        errors, 1
    )


def test_a_book_that_another_joins_is_taken_as_it_is(world: World) -> None:
    """The two share one channel, one book, and no request more."""
    ladder = Ladder(world)
    feed = world.feed()
    subs = [public(feed, channels=("depth",))]
    world.at(1, lambda: ladder.send(ladder.size("3")))
    world.at(2, lambda: subs.append(public(feed, channels=("depth",))))
    seen: list[Any] = []
    world.at(2.001, lambda: seen.extend([sub.book for sub in subs]))

    world.run(3)

    one, other = seen
    assert one == other
    assert one.bids[0][:2] == ("100.0", "3")
    assert len(world.exchange.requests) == 1


def test_a_book_that_all_have_closed_and_one_wants_again_begins_anew(
    world: World,
) -> None:
    """Its new holder is given nothing before its own snapshot."""
    ladder = Ladder(world)
    feed = world.feed()
    remaining = public(feed)
    subs = [public(feed, channels=("depth",))]
    world.at(2, subs[0].close)
    world.at(2.01, lambda: subs.append(public(feed, channels=("depth",))))
    seen: list[Any] = []
    world.at(2.04, lambda: ladder.send(ladder.size("4")))
    world.at(2.045, lambda: seen.append((subs[1].book, remaining.state)))
    world.at(3, lambda: seen.append((subs[1].book is not None, remaining.state)))

    world.run(4)

    assert seen == [(None, State.LIVE), (True, State.LIVE)]
    ops = [request["op"] for request in world.exchange.requests]
    assert ops == ["subscribe", "unsubscribe", "subscribe"]


def test_a_book_that_is_wanted_again_before_the_exchange_was_told_begins_anew(
    world: World,
) -> None:
    """What came meanwhile was given to no channel, so nothing is built on it."""
    ladder = Ladder(world)
    feed = world.feed()
    first = public(feed, channels=("depth",))
    subs: list[Any] = []
    seen: list[Any] = []

    def look() -> None:
        book = subs[0].book
        seen.append(book is not None and [row[:2] for row in book.bids] == ladder.bids)

    world.at(1, lambda: public(feed, channels=("trade",)))
    world.at(1.01, first.close)
    world.at(1.02, lambda: ladder.send(ladder.size("3")))
    world.at(1.03, lambda: subs.append(public(feed, channels=("depth",))))
    world.at(1.031, look)
    world.at(2, lambda: ladder.send(ladder.change(price="99.5", size="0")))
    world.at(2.1, look)

    world.run(3)

    assert seen == [False, True]
    ops = [r["op"] for r in world.exchange.requests]
    assert ops == ["subscribe", "subscribe", "unsubscribe", "subscribe"]


def test_a_broken_book_that_is_wanted_again_before_it_is_left_begins_anew(
    world: World,
) -> None:
    ladder = Ladder(world)
    feed = world.feed()
    first = public(feed, channels=("depth",))
    subs: list[Any] = []
    seen: list[Any] = []

    def breaks() -> None:
        message = ladder.size("5")
        message["data"][0]["bids"] = "none"
        ladder.send(message)

    world.at(1, lambda: public(feed, channels=("trade",)))
    world.at(1.01, breaks)
    world.at(1.02, first.close)
    world.at(1.03, lambda: subs.append(public(feed, channels=("depth",))))
    world.at(1.04, lambda: ladder.send(ladder.size("6")))
    world.at(1.045, lambda: seen.append((subs[0].book, subs[0].state)))
    world.at(2, lambda: seen.append((subs[0].book is not None, subs[0].state)))

    world.run(3)

    assert seen == [(None, State.SYNCING), (True, State.LIVE)]
    ops = [r["op"] for r in world.exchange.requests]
    assert ops == ["subscribe", "subscribe", "unsubscribe", "subscribe"]
