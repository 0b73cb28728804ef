"""What both kinds of subscription have in common, on one feed and on their own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws import (
    ConnectionLost,
    Credentials,
    Data,
    Feed,
    NotLive,
    RawSubscription,
    State,
    StateChange,
    SubscriptionRejected,
    WSSubscription,
)
from okex_ws.client.base import BaseSubscription
from tests.support.internals import reading_of
from tests.support.virtual_world import World

STATUS = {"v3": "system/status", "v5": "status"}
Make = Callable[..., BaseSubscription]


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    world = World(request.param)
    world.exchange.first_pushes[world.dialect.channel("depth5")] = world.dialect.depth(
        0
    )
    return world


@pytest.fixture(params=["typed", "raw"])
def make(request: pytest.FixtureRequest, world: World) -> Make:
    """Makes a subscription of either kind on a feed."""

    def typed(feed: Feed, **keywords: Any) -> BaseSubscription:
        keywords.setdefault("channels", ("depth5",))
        return WSSubscription("BTC-USDT", "spot", feed=feed, **keywords)

    def raw(feed: Feed, **keywords: Any) -> BaseSubscription:
        return RawSubscription([STATUS[world.protocol]], feed=feed, **keywords)

    return typed if request.param == "typed" else raw


def push(world: World, number: int) -> None:
    """A push of each of the two channels that is subscribed."""
    assert world.peer is not None
    depth, data = world.dialect.depth(number * 1000), [{"title": str(number)}]
    status: dict[str, Any] = {"arg": {"channel": "status"}, "data": data}
    if world.protocol == "v3":
        status = {"table": "system/status", "data": data}
    subscribed = " ".join(world.peer.subscribed)
    if "status" in subscribed:
        world.peer.send(status)
    if "depth5" in subscribed or "books5" in subscribed:
        world.peer.send(depth)


def test_it_tells_its_states_its_pushes_and_its_errors(
    world: World, make: Make
) -> None:
    changes: list[StateChange] = []
    texts: list[str] = []
    errors: list[Exception] = []
    feed = world.feed()
    sub = make(
        feed,
        on_state=changes.append,
        on_message=texts.append,
        on_error=errors.append,
    )
    for second in (1, 2):
        world.at(second, lambda second=second: push(world, second))
    world.at(3, lambda: world.peer and world.peer.drop())

    world.run(9)

    live = [State.SYNCING, State.LIVE]
    assert [change.new for change in changes] == [
        *live,
        State.RECONNECTING,
        *live,
        State.CLOSED,
    ]
    assert {change.instrument_id for change in changes} == {
        reading_of(sub).instrument_id
    }
    assert len([text for text in texts if "1970" not in text]) >= 2
    assert [type(error) for error in errors] == [ConnectionLost]
    assert sub.venue.name == "fake"


def test_a_feed_hears_of_every_state_of_both_kinds(world: World, make: Make) -> None:
    changes: list[StateChange] = []
    feed = world.feed(on_state=changes.append)
    make(feed)

    world.run(1)

    assert [change.new for change in changes] == [
        State.SYNCING,
        State.LIVE,
        State.CLOSED,
    ]


def test_closing_one_on_a_feed_leaves_the_feed_open(world: World, make: Make) -> None:
    feed = world.feed()
    first, second = make(feed), make(feed)
    seen: list[Any] = []
    world.at(1, lambda: seen.append(first.close()))
    world.at(2, lambda: seen.extend([first.state, second.state]))
    world.at(2, lambda: seen.append(len(feed.subscriptions)))
    world.at(3, lambda: second.__exit__(None, None, None))
    world.at(4, lambda: seen.append(world.peer and len(world.peer.subscribed)))
    world.at(4, lambda: seen.append(feed.connections()[0].open))

    world.run(5)

    assert seen == [True, State.CLOSED, State.LIVE, 1, 0, True]
    assert first.close() is True


def test_one_that_is_closed_tells_nothing_more(world: World, make: Make) -> None:
    told: list[Any] = []
    feed = world.feed()
    sub = make(feed, on_message=told.append, on_error=told.append)
    make(feed)
    updates = sub.updates()
    world.at(1, sub.close)
    world.at(1, told.clear)
    world.at(2, lambda: push(world, 2))
    world.at(3, lambda: world.peer and world.peer.drop())

    world.run(9)

    assert told == []
    assert [i.new.value for i in updates if isinstance(i, StateChange)] == [
        "SYNCING",
        "LIVE",
        "CLOSED",
    ]


def test_who_waits_for_a_closed_one_is_told_so(world: World, make: Make) -> None:
    sub = make(world.feed())
    world.run(1)

    with pytest.raises(NotLive, match="closed"):
        sub.wait_live(1)


def test_who_waits_in_vain_is_told_the_last_failure(world: World, make: Make) -> None:
    world.failure = lambda url: ConnectionLost(url, "refused")
    sub = make(world.feed())
    caught: list[Any] = []

    def wait() -> None:
        with pytest.raises(TimeoutError) as error:
            sub.wait_live(0)
        caught.append(error.value.__cause__)

    # Another thread than one of the library's, which is not to wait.
    world.at(9, lambda: run_apart(wait))

    world.run(10)

    assert [type(cause) for cause in caught] == [ConnectionLost]


def run_apart(action: Callable[[], object]) -> None:
    thread = threading.Thread(target=action)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


def test_who_waits_is_let_go_once_it_is_live(world: World, make: Make) -> None:
    sub = make(world.feed())
    waited: list[Any] = []
    world.at(1, lambda: run_apart(lambda: waited.append(sub.wait_live(0))))

    world.run(2)

    assert waited == [None]


def test_a_refused_one_says_why_wherever_it_is_asked(world: World, make: Make) -> None:
    world.exchange.unknown.update(
        [world.dialect.channel("depth5"), STATUS[world.protocol]]
    )
    errors: list[Exception] = []
    sub = make(world.feed(), on_error=errors.append)
    updates = sub.updates()

    world.run(60)

    assert sub.state is State.FAILED
    (error,) = errors
    assert isinstance(error, SubscriptionRejected)
    assert list(sub.health().failed.values()) == [error]
    with pytest.raises(SubscriptionRejected):
        sub.wait_live(0)
    with pytest.raises(SubscriptionRejected):
        list(updates)


def test_on_a_feed_the_counts_of_the_connections_are_those_of_all(
    world: World, make: Make
) -> None:
    feed = world.feed()
    one, other = make(feed), make(feed, on_message=lambda text: 1 / 0)
    seen: list[Any] = []
    world.at(1, lambda: push(world, 1))
    world.at(2, lambda: seen.extend([one.stats(), other.stats(), feed.stats()]))

    world.run(3)

    mine, theirs, everybody = seen
    assert mine.messages == theirs.messages == everybody.messages > 0
    assert (mine.callback_errors, theirs.callback_errors) == (
        0,
        everybody.callback_errors,
    )
    assert everybody.callback_errors >= 1


def test_an_iterator_may_be_bounded(world: World) -> None:
    feed = world.feed()
    sub = RawSubscription([STATUS[world.protocol]], feed=feed)
    updates = sub.updates(max_queue=2)
    for second in range(1, 6):
        world.at(second, lambda second=second: push(world, second))

    world.run(6)

    kinds = [type(item).__name__ for item in updates]
    kinds = [kind for kind in kinds if kind != "StateChange"]
    assert kinds == ["Data", "Data", "Gap"]
    channel = STATUS[world.protocol]
    assert sub.stats().skipped == {channel: 3}
    assert len(sub.data) == 5


def test_private_and_public_channels_in_one_subscription_go_their_own_ways() -> None:
    world = World("v5")
    world.exchange.login_refusal = ("60009", "Login failed.")
    key = Credentials("the-api-key", "the-secret-key", "the-passphrase")
    feed = world.feed(credentials=key)
    sub = RawSubscription(["status", "account"], feed=feed)
    seen: list[Any] = []
    push = {"arg": {"channel": "status"}, "data": [{"state": "ongoing"}]}
    world.at(1, lambda: world.peer_on("public").send(push))
    world.at(2, lambda: seen.extend([sub.state, list(sub.health().failed)]))
    world.at(2, lambda: seen.extend(sub.data))

    world.run(3)

    assert seen[:2] == [State.LIVE, ["account"]]
    assert [type(item) for item in seen[2:]] == [Data]
