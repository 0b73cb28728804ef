"""What is live of a feed is given, and what is not is named with its cause."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    Cause,
    CauseCode,
    Feed,
    LiveTimeout,
    NotLive,
    RawSubscription,
    State,
    SubscriptionRejected,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from tests.support.event_loops import run_in
from tests.support.virtual_world import World

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

BTC, ETH = NAMES = ("BTC-USDT", "ETH-USDT")
LIMIT = 20.0


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    return filled(World(request.param))


def filled(world: World) -> World:
    for name in NAMES:
        first = world.dialect.depth(0, name=name)
        world.exchange.first_pushes[key(world, name)] = first
    return world


def key(world: World, name: str = BTC, topic: str = "depth5") -> str:
    channel: str = world.dialect.channel(topic, name)
    return channel


def push(world: World, message: object) -> None:
    assert world.peer is not None
    world.peer.send(message)


def subscribe(feed: Feed, name: str = BTC, **keywords: Any) -> WSSubscription:
    return WSSubscription(name, "spot", channels=("depth5",), feed=feed, **keywords)


def elsewhere(call: Callable[[], Any]) -> Any:
    """What *call* returns or raises on a thread of the script's own."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(LIMIT)
    return found[0]


def codes(missing: dict[str, Cause]) -> dict[str, CauseCode | None]:
    return {name: cause.code for name, cause in missing.items()}


# --- best_bid_asks --------------------------------------------------------------------


def test_an_instrument_that_is_not_live_is_left_out(world: World) -> None:
    del world.exchange.first_pushes[key(world, ETH)]
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(feed.best_bid_asks(NAMES, partial=True)))
    world.at(1, lambda: seen.append(feed.best_bid_asks([ETH], partial=True)))
    world.at(1, lambda: seen.append(feed.best_bid_asks([], partial=True)))
    world.at(1, lambda: seen.append(feed.best_bid_asks(NAMES)))

    world.run(2)

    some, *others = seen
    assert {name: one.bid for name, one in some.items()} == {BTC: Decimal("100.1")}
    assert others == [{}, {}, {}]


def test_the_order_is_that_of_the_question(world: World) -> None:
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    turned = [ETH, BTC, ETH]
    world.at(1, lambda: seen.append(list(feed.best_bid_asks(turned, partial=True))))

    world.run(2)

    assert seen == [[ETH, BTC]]


def test_the_prices_of_a_lost_connection_are_left_out_at_once(world: World) -> None:
    feed = world.feed(world.venue(channels_per_connection=1))
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []

    def look() -> None:
        seen.append(list(feed.best_bid_asks(NAMES, partial=True)))

    world.at(1, look)
    world.at(2, lambda: world.peers[1].drop())
    world.at(2.001, look)

    world.run(3)

    assert seen == [[BTC, ETH], [BTC]]


def test_one_outside_a_limit_is_left_out(world: World) -> None:
    feed = world.feed()
    subscribe(feed)
    subscribe(feed, ETH, max_age=3.0)
    seen: list[Any] = []

    def look(**limits: Any) -> None:
        seen.append(list(feed.best_bid_asks(NAMES, partial=True, **limits)))

    world.at(3, lambda: push(world, world.dialect.depth(3000)))
    world.at(3.5, look)
    world.at(3.5, lambda: look(max_age=1.0))
    world.at(3.5, lambda: look(max_age=10.0))

    world.run(5)

    assert seen == [[BTC], [BTC], [BTC, ETH]]


def test_the_skew_is_that_of_those_that_are_given(world: World) -> None:
    feed = world.feed()
    subscribe(feed)
    subscribe(feed, ETH, max_age=3.0)
    seen: list[Any] = []

    def look() -> None:
        seen.append(list(feed.best_bid_asks(NAMES, partial=True, max_skew=1.0)))

    world.at(2, lambda: push(world, world.dialect.depth(2000)))
    world.at(2.5, look)
    world.at(4, look)

    world.run(5)

    assert seen == [[], [BTC]]


def test_one_that_failed_is_left_out_and_one_without_a_depth_is_a_mistake(
    world: World,
) -> None:
    world.exchange.unknown.add(key(world, ETH))
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []

    def look() -> None:
        seen.append(list(feed.best_bid_asks(NAMES, partial=True)))
        with pytest.raises(ValueError, match="no depth is subscribed"):
            feed.best_bid_asks(["LTC-USDT"], partial=True)

    world.at(1, look)

    world.run(2)

    assert seen == [[BTC]]


def test_of_several_depths_that_is_given_which_is_trusted() -> None:
    world = filled(World("v5"))
    del world.exchange.first_pushes[key(world, ETH)]
    world.exchange.first_pushes[key(world, BTC, "bbo-tbt")] = world.dialect.depth(
        0, "99", "999", channel="bbo-tbt"
    )
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5", "bbo-tbt"))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(list(feed.best_bid_asks(NAMES, partial=True))))

    world.run(2)

    assert seen == [[BTC]]


def test_partial_is_true_or_false(world: World) -> None:
    feed = world.feed()
    subscribe(feed)
    for call in (lambda: feed.best_bid_asks([BTC], partial=1), lambda: wait(feed, 1)):
        with pytest.raises(TypeError, match="partial is a bool"):
            call()
    world.run(1)


def wait(feed: Feed, partial: Any = True, timeout: float | None = 0.0) -> Any:
    return feed.wait_live(timeout, partial=partial)


# --- wait_live ------------------------------------------------------------------------


def test_after_the_time_out_what_is_not_live_is_named_with_its_cause(
    world: World,
) -> None:
    del world.exchange.first_pushes[key(world, ETH)]
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    for partial in (True, False):
        world.at(1, lambda p=partial: seen.append(elsewhere(lambda: wait(feed, p))))

    world.run(2)

    missing, error = seen
    assert codes(missing) == {ETH: CauseCode.SNAPSHOT}
    assert missing[ETH].instrument_id == ETH
    assert isinstance(error, LiveTimeout)
    assert error.cause == missing[ETH]


@pytest.mark.parametrize("partial", [True, False])
def test_the_mapping_is_empty_if_all_are_live(world: World, partial: bool) -> None:
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(elsewhere(lambda: wait(feed, partial, None))))

    world.run(2)

    assert seen == [{}]


def test_a_channel_without_its_acknowledgement_is_not_live_for_wait_live(
    world: World,
) -> None:
    """The depth is live, and the exchange does not answer for the trades."""
    answer = world.exchange.answer_one

    def one(peer: Any, request: dict[str, Any], arg: Any) -> None:
        if "trade" not in str(arg):
            answer(peer, request, arg)

    world.exchange.answer_one = one  # type: ignore[method-assign]
    feed = world.feed()
    (sub,) = feed.subscribe([BTC], "spot", ("depth5", "trade"))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(elsewhere(lambda: wait(feed))))
    world.at(1, lambda: seen.append(sub.state))

    world.run(2)

    missing, state = seen
    assert codes(missing) == {BTC: CauseCode.SUBSCRIBING}
    assert (missing[BTC].channel, state) == ("trade", State.LIVE)


def test_one_that_failed_is_not_waited_for(world: World) -> None:
    """With *partial* it is named, and the others are waited for without an end."""
    world.exchange.unknown.add(key(world))
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    seen: list[Any] = []
    for partial in (True, False):
        world.at(
            1, lambda p=partial: seen.append(elsewhere(lambda: wait(feed, p, None)))
        )

    world.run(2)

    missing, error = seen
    assert codes(missing) == {BTC: CauseCode.REJECTED}
    assert isinstance(error, SubscriptionRejected)
    assert error.cause == missing[BTC]


def test_an_instrument_is_missing_if_one_of_its_subscriptions_is(
    world: World,
) -> None:
    feed = world.feed()
    subscribe(feed)
    subscribe(feed, max_age=0.5)
    seen: list[Any] = []
    world.at(2, lambda: seen.append(elsewhere(lambda: wait(feed))))

    world.run(3)

    assert [codes(missing) for missing in seen] == [{BTC: CauseCode.MAX_AGE}]


def test_one_that_is_lost_while_another_is_waited_for_is_named() -> None:
    """It was live in its turn. Without *partial* too the script hears of it."""
    garbage = {"arg": {"channel": "books5", "instId": BTC}, "data": [1]}

    async def main() -> None:
        (first,) = feed.subscribe([BTC], "spot", ["depth5"])
        await first.await_live(LIMIT)
        exchange.ignore_subscribe("books5:ETH-USDT")
        exchange.ignore_subscribe("books5:BTC-USDT")
        (late,) = feed.subscribe([ETH], "spot", ["depth5"])
        waiting = asyncio.create_task(feed.await_live(LIMIT))
        for _ in range(9):
            await asyncio.sleep(0)
        exchange.silence("books5:BTC-USDT")
        exchange.send_event(garbage)
        while first.state is State.LIVE:
            first.GetDepth()
            await asyncio.sleep(0.001)
        late.close()
        assert set(await waiting) == {BTC}

    with LocalExchange() as exchange, Feed(exchange.venue_v5) as feed:
        run_in(asyncio.new_event_loop(), main)


def test_a_raw_subscription_is_named_by_its_channels() -> None:
    world = filled(World("v5"))
    feed = world.feed()
    world.exchange.unknown.add("status")
    raw = RawSubscription([{"channel": "status"}], feed=feed)
    subscribe(feed)
    seen: list[Any] = []
    world.at(1, lambda: seen.append(elsewhere(lambda: wait(feed))))

    world.run(2)

    (missing,) = seen
    assert codes(missing) == {raw.channels[0]: CauseCode.REJECTED}


def test_a_closed_feed_has_nothing_that_could_be_live(world: World) -> None:
    feed = world.feed()
    feed.subscribe(NAMES, "spot", ("depth5",))
    world.run(1)
    with pytest.raises(NotLive, match="closed"):
        feed.wait_live(0.0, partial=True)


def test_a_feed_that_is_closed_meanwhile_ends_the_wait(where: Any) -> None:
    with LocalExchange() as exchange, Feed(exchange.venue_v5, **where) as feed:
        exchange.ignore_subscribe("books5:ETH-USDT")
        subscribe(feed, ETH)
        closer = threading.Timer(0.2, feed.close)
        closer.start()
        with pytest.raises(NotLive, match="closed"):
            feed.wait_live(LIMIT, partial=True)
        closer.join()


def test_a_coroutine_is_given_the_same_mapping() -> None:
    with LocalExchange() as exchange, Feed(exchange.venue_v5) as feed:
        exchange.reject("books5:ETH-USDT", "60018", "doesn't exist")
        feed.subscribe(NAMES, "spot", ["depth5"])

        async def main() -> None:
            missing = await feed.await_live(LIMIT, partial=True)
            assert codes(missing) == {ETH: CauseCode.REJECTED}
            with pytest.raises(SubscriptionRejected):
                await feed.await_live(LIMIT)
            exchange.ignore_subscribe("books5:BTC-USD-SWAP")
            feed.subscribe(["BTC-USD-SWAP"], "swap", ["depth5"])
            missing = await feed.await_live(0.05, partial=True)
            assert set(missing) == {ETH, "BTC-USD-SWAP"}
            with pytest.raises(TypeError, match="did you mean 'partial'"):
                await feed.await_live(partail=True)  # type: ignore[call-arg]

        run_in(asyncio.new_event_loop(), main)
