"""The feed is told of its connections, a subscription of its channels."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import (
    BudgetSpent,
    ConnectionLost,
    Credentials,
    Feed,
    LoginRejected,
    OkexWSError,
    RawSubscription,
    SequenceGap,
    WSSubscription,
)
from tests.support.internals import callbacks_of
from tests.support.virtual_world import Ladder, World

NAMES = ("BTC-USDT", "ETH-USDT", "LTC-USDT")


@pytest.fixture
def world() -> World:
    world = World("v5")
    for name in NAMES:
        first = world.dialect.depth(0, name=name)
        world.exchange.first_pushes[f"books5:{name}"] = first
    return world


class Rig:
    """A feed of three subscriptions, and what each of them and the feed is told."""

    def __init__(self, world: World, *, feed_too: bool = True, **keywords: Any) -> None:
        self.world = world
        self.of_feed: list[Any] = []
        self.of_each: dict[str, list[Any]] = {name: [] for name in NAMES}
        on = {"on_error": self.of_feed.append} if feed_too else {}
        self.feed: Feed = world.feed(**on, **keywords)
        self.subs = [
            WSSubscription(
                name,
                "spot",
                feed=self.feed,
                channels=("depth5",),
                on_error=told.append,
            )
            for name, told in self.of_each.items()
        ]

    def push(self, at: float, message: Any) -> None:
        self.world.at(at, lambda: self.world.peer_on("public").send(message))


def kinds(told: list[Any]) -> list[str]:
    return [type(error).__name__ for error in told]


def test_a_lost_connection_is_told_once_to_the_feed(world: World) -> None:
    rig = Rig(world)
    world.at(1, lambda: world.peer_on("public").drop())
    world.at(5, lambda: setattr(world.exchange, "answers_pings", False))

    world.run(19)

    assert kinds(rig.of_feed) == ["ConnectionLost", "Stalled"]
    assert {error.cause.endpoint for error in rig.of_feed} == {f"{world.url}/public"}
    assert list(rig.of_each.values()) == [[], [], []]


def test_without_a_callback_of_the_feed_each_subscription_is_told(world: World) -> None:
    rig = Rig(world, feed_too=False)
    world.at(1, lambda: world.peer_on("public").drop())

    world.run(2)

    assert [kinds(told) for told in rig.of_each.values()] == [["ConnectionLost"]] * 3


def test_what_happens_to_a_channel_is_told_to_its_subscriptions_alone(
    world: World,
) -> None:
    world.exchange.unknown.add("books5:ETH-USDT")
    rig = Rig(world)
    bad = world.dialect.push("books5", {"bids": 1}, "LTC-USDT")
    rig.push(1, bad)

    world.run(2)

    assert rig.of_feed == []
    btc, eth, ltc = rig.of_each.values()
    assert (kinds(btc), kinds(eth), kinds(ltc)) == (
        [],
        ["SubscriptionRejected"],
        ["WireError"],
    )
    assert (eth[0].instrument_id, eth[0].topic) == ("ETH-USDT", "depth5")
    assert (ltc[0].instrument_id, ltc[0].topic) == ("LTC-USDT", "depth5")


def test_a_message_that_may_be_of_any_channel_is_told_to_the_feed(world: World) -> None:
    rig = Rig(world)
    rig.push(1, "no JSON")

    world.run(2)

    assert kinds(rig.of_feed) == ["WireError"]
    assert list(rig.of_each.values()) == [[], [], []]


def test_a_connection_that_waits_for_its_budget_is_told_to_the_feed(
    world: World,
) -> None:
    rig = Rig(world, venue=world.venue(requests_per_hour=3))
    world.at(10, lambda: rig.feed.subscribe(["XRP-USDT"], "spot", ["depth5"]))

    world.run(20)

    assert kinds(rig.of_feed) == [BudgetSpent.__name__]
    assert list(rig.of_each.values()) == [[], [], []]


def test_a_key_that_is_refused_is_told_to_the_feed_and_to_its_channels(
    world: World,
) -> None:
    world.exchange.login_refusal = "60005", "Invalid apiKey"
    of_feed: list[Any] = []
    of_each: list[list[Any]] = [[], []]
    key = Credentials("an-api-key", "a-secret-key", "a-passphrase")
    feed = world.feed(credentials=key, on_error=of_feed.append)
    for told, channel in zip(of_each, ("account", "positions"), strict=True):
        argument = {"channel": channel, "instType": "ANY"}
        RawSubscription([argument], feed=feed, on_error=told.append)

    world.run(2)

    assert kinds(of_feed) == [LoginRejected.__name__]
    assert [kinds(told) for told in of_each] == [[LoginRejected.__name__]] * 2


def test_wait_live_has_the_last_error_though_the_feed_was_told(world: World) -> None:
    rig = Rig(world)
    lost = ConnectionLost("ws://x/", "refused")
    world.failure = lambda url: lost

    world.run(1)

    assert rig.of_feed
    assert callbacks_of(rig.subs[0]).last_error is lost


def test_each_book_that_fails_its_proof_is_told(world: World) -> None:
    """Three within a minute: each is a place where a script's own sum is wrong."""
    ladder = Ladder(world)
    errors: list[OkexWSError] = []
    sub = world.subscribe(channels=("depth",), on_error=errors.append)

    def spoil() -> None:
        ladder.size("5")
        ladder.send(ladder.size("6"))

    for second in (5, 15, 25):
        world.at(second, spoil)

    world.run(40)

    assert [type(error) for error in errors] == [SequenceGap] * 3
    assert {error.instrument_id for error in errors} == {"BTC-USDT"}
    assert sub.stats().resyncs == 3


def test_the_callback_of_a_feed_may_raise(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(error: Exception) -> None:
        raise RuntimeError("a bug of the script")

    feed = world.feed(on_error=fail)
    (sub,) = feed.subscribe(["BTC-USDT"], "spot", ["depth5"])
    seen: list[Any] = []
    world.at(1, lambda: world.peer_on("public").drop())
    world.at(8, lambda: seen.append(sub.GetDepth()["instrument_id"]))

    world.run(10)

    assert seen == ["BTC-USDT"]
    assert feed.stats().callback_errors == 1
    assert "on_error of the feed to fake raised" in caplog.text


def test_it_runs_on_the_thread_of_the_callbacks(world: World) -> None:
    rig = Rig(world, callbacks="thread")
    world.at(1, lambda: world.peer_on("public").drop())

    world.run(5)

    assert rig.feed.close()
    assert kinds(rig.of_feed) == ["ConnectionLost"]


def test_it_is_a_plain_function_and_not_for_an_isolated_feed() -> None:
    async def later(error: Exception) -> None: ...

    with pytest.raises(TypeError, match="on_error is a function or None"):
        Feed("okx", on_error="print")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'async def'"):
        Feed("okx", on_error=later)
    with pytest.raises(ValueError, match="on_error stays in the process"):
        Feed("okx", isolate=True, on_error=print)
