"""The constructor's word on its arguments, and the object's own small manners."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from tests.world import World, depth

from okex_ws import Feed, Reconnect, State, Venue, WSSubscription

LATER = "later release"


@pytest.mark.parametrize(
    ("arguments", "keywords", "says"),
    [
        (("",), {}, "not an instrument id"),
        (("btc-usd-190517",), {}, "not an instrument id"),
        (("BTC-USDT", "spots"), {}, "did you mean 'spot'"),
        (("BTC-USDT", "futures"), {}, "market 'spot'"),
        (("BTC-USD-SWAP", "futures"), {}, "market 'swap'"),
        (("BTC-USD-190517",), {"venue": "okj-v3"}, "has no market 'futures'"),
        (("BTC-USD-991399",), {}, "no day"),
        ((), {"venue": "okex3"}, "did you mean 'okex'"),
        ((), {"venue": "okx"}, LATER),
        ((), {"channels": ()}, "name at least one"),
        ((), {"channels": ("depth",)}, LATER),
        ((), {"channels": ("candle60s",)}, LATER),
        ((), {"channels": ("tickr",)}, "did you mean 'ticker'"),
        (("BTC-USD", "index"), {}, "only 'ticker'"),
        ((), {"max_age": -1}, "max_age"),
        ((), {"ping_interval": 60}, "ping_interval"),
        ((), {"probe_interval": -1}, "probe_interval"),
    ],
)
def test_a_value_that_cannot_be_right_is_refused_with_one_that_would_be(
    arguments: tuple[Any, ...], keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        WSSubscription(*arguments, **keywords)


@pytest.mark.parametrize(
    ("arguments", "keywords", "says"),
    [
        ((7,), {}, "strings"),
        (("BTC-USDT", None), {}, "strings"),
        (("BTC-USD-190517", "futures", "print"), {}, "on_message"),
        ((), {"on_state": 1}, "on_state"),
        ((), {"venue": 3}, "venue"),
        ((), {"feed": "okex"}, "feed"),
        ((), {"channels": "depth5"}, "sequence of names"),
        ((), {"channels": (5,)}, "name"),
        ((), {"max_lag": "1"}, "max_lag"),
        ((), {"ssl_context": "x"}, "SSLContext"),
        ((), {"proxy": "http://127.0.0.1"}, "proxy"),
    ],
)
def test_a_thing_of_the_wrong_type_is_refused(
    arguments: tuple[Any, ...], keywords: dict[str, Any], says: str
) -> None:
    with pytest.raises(TypeError, match=says):
        WSSubscription(*arguments, **keywords)


def test_what_belongs_to_the_feed_is_not_taken_beside_one() -> None:
    with Feed("okj-v3") as feed:
        with pytest.raises(ValueError, match="not beside feed=: reconnect"):
            WSSubscription("BTC-JPY", "spot", feed=feed, reconnect=Reconnect())
        with pytest.raises(ValueError, match="feed is one of venue 'okj-v3'"):
            WSSubscription("BTC-JPY", "spot", feed=feed, venue="okex")


def test_the_seeds_own_defaults_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    retired = Venue("old", "v3", (world.url,), retired="after 2022-02-25")
    sub = world.subscribe("BTC-USD-190517", "futures", venue=retired)
    world.run(1)

    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "retired" in said[0]
    assert said[1] == "BTC-USD-190517 was delivered on 2019-05-17"
    assert sub.state is State.CLOSED


def test_names_of_v5_are_aliases_and_repeated_ones_are_one() -> None:
    world = World()
    world.subscribe(channels=["books5", "depth5", "trades"])
    world.run(1)

    (request,) = world.exchange.requests
    assert request["args"] == ["spot/depth5:BTC-USDT", "spot/trade:BTC-USDT"]


def test_its_repr_tells_the_truth() -> None:
    world = World()
    world.exchange.first_pushes["spot/depth5:BTC-USDT"] = depth(0)
    sub = world.subscribe()
    seen: list[str] = []
    world.at(1, lambda: seen.append(repr(sub)))
    world.run(2)

    assert seen == ["<WSSubscription BTC-USDT spot LIVE, 0 reconnects>"]
    assert repr(sub) == "<WSSubscription BTC-USDT spot CLOSED, 0 reconnects>"


def test_a_channel_that_is_not_subscribed_has_no_latest() -> None:
    world = World()
    sub = world.subscribe()
    with pytest.raises(ValueError, match="not subscribed, only 'depth5', 'trade'"):
        sub.latest("ticker")
    world.run(1)


def test_a_context_manager_closes_it_and_closing_twice_is_once() -> None:
    world = World()
    with world.subscribe() as sub:
        world.run(1)
    assert sub.close() is True
    assert sub.GetDepth() == {}


@pytest.mark.parametrize("bad", [0, -1, True, 1.5])
def test_a_queue_needs_room(bad: Any) -> None:
    world = World()
    sub = world.subscribe()
    with pytest.raises((TypeError, ValueError), match="max_queue"):
        sub.updates(max_queue=bad)
    with pytest.raises(ValueError, match="timeout"):
        sub.updates(timeout=-1)
    world.run(1)


def test_it_says_what_it_is_subscribed_to() -> None:
    world = World()
    sub = world.subscribe()
    assert (sub.instrument_id, sub.market, sub.venue.name) == (
        "BTC-USDT",
        "spot",
        "fake",
    )
    world.run(1)
