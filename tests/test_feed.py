"""What the user of a feed sees of it."""

from __future__ import annotations

import os
import ssl
import threading
from typing import Any

import pytest
from tests.world import World, depth

from okex_ws import (
    ConnectionLost,
    Feed,
    NotLive,
    Reconnect,
    State,
    WSSubscription,
)

BTC = "spot/depth5:BTC-USDT"
ETH = "spot/depth5:ETH-USDT"


@pytest.fixture
def world() -> World:
    world = World()
    world.exchange.first_pushes[BTC] = depth(0)
    world.exchange.first_pushes[ETH] = depth(0, "7.1", "7.2", name="ETH-USDT")
    return world


def subscribe(feed: Feed, name: str = "BTC-USDT", **keywords: Any) -> WSSubscription:
    keywords.setdefault("channels", ("depth5",))
    return WSSubscription(name, "spot", feed=feed, **keywords)


def test_the_health_of_a_feed_is_that_of_its_worst_subscription(world: World) -> None:
    world.exchange.first_pushes.pop(ETH)
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
    left = feed._plan.views[0]
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
    [{"ping_interval": 31}, {"ping_interval": 5}, {"probe_interval": 0}],
)
def test_an_interval_that_the_exchange_would_punish_is_refused(
    keywords: dict[str, Any],
) -> None:
    with pytest.raises(ValueError, match="interval"):
        Feed("okj-v3", **keywords)


def test_waiting_for_a_feed_waits_for_all_of_it() -> None:
    with Feed("okj-v3", network=lambda: Refusing(), **FAST) as feed:
        subscribe(feed, "BTC-JPY")
        with pytest.raises(TimeoutError) as caught:
            feed.wait_live(0.2)
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_a_fork_the_childs_objects_are_closed_and_the_parents_are_not() -> None:
    with Feed("okj-v3", network=lambda: Refusing(), **FAST) as feed:
        sub = subscribe(feed, "BTC-JPY")
        child = os.fork()
        if not child:
            good = (
                sub.state is State.CLOSED
                and sub.GetDepth() == {}
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
        self._woken = threading.Event()

    def open(self, url: str, deadline: float, cancelled: Any) -> Any:
        raise ConnectionLost(url, "refused")

    def wait(self, timeout: float | None, stream: Any = None) -> None:
        self._woken.wait(timeout)
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None: ...

    def discard(self) -> None: ...
