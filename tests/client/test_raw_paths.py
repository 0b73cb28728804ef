"""On which path of v5 a channel is, as the script says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from okex_ws import Credentials, Data, RawSubscription, State
from tests.support.virtual_world import V5, World

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")
NEW = {"channel": "books-elp-all", "instId": "BTC-USDT"}


@pytest.fixture
def v5(monkeypatch: pytest.MonkeyPatch) -> World:
    """An exchange that has any channel on any path, and asks for no login."""
    monkeypatch.setattr(V5, "objection", staticmethod(lambda path, arg, in_: None))
    return World("v5")


def paths(world: World) -> set[str]:
    return {peer.path for peer in world.peers}


def logins(world: World) -> int:
    return sum(request["op"] == "login" for request in world.exchange.requests)


def test_a_channel_that_no_table_has_is_subscribed_on_its_path(v5: World) -> None:
    sub = RawSubscription([NEW], feed=v5.feed(), path="business")
    push = {"arg": NEW, "action": "snapshot", "data": [{"asks": []}]}
    seen: list[Any] = []
    v5.at(1, lambda: v5.peer_on("business").send(push))
    v5.at(2, lambda: seen.append(sub.latest(NEW)))
    v5.at(2, lambda: seen.append(sub.latest({**NEW, "path": "business"})))
    v5.run(3)

    assert paths(v5) == {"business"}
    assert [each.action for each in seen] == ["snapshot", "snapshot"]
    asked = [arg for request in v5.exchange.requests for arg in request["args"]]
    assert asked == [NEW]


def test_each_argument_may_have_a_path_of_its_own(v5: World) -> None:
    args = [NEW, "status", {"channel": "next", "path": "next-7"}]
    RawSubscription([{**NEW, "path": "business"}, *args[1:]], feed=v5.feed())
    v5.run(1)

    assert paths(v5) == {"business", "public", "next-7"}
    assert v5.peer_on("next-7").subscribed.keys() == {"next"}


def test_raw_channels_of_an_instrument_take_a_path(v5: World) -> None:
    entry = {"channel": "newer", "path": "newest"}
    sub = v5.subscribe(
        channels=("depth5",), raw_channels=("new", entry), path="business"
    )
    updates = sub.updates()
    push = {"arg": {"channel": "newer", "instId": "BTC-USDT"}, "data": [{"a": 1}]}
    v5.at(1, lambda: v5.peer_on("newest").send(push))
    v5.run(2)

    assert paths(v5) == {"public", "business", "newest"}
    assert v5.peer_on("business").subscribed.keys() == {"new:BTC-USDT"}
    sub.close()
    (item,) = [each for each in updates if isinstance(each, Data)]
    assert (item.channel, item.elements) == ("newer", ({"a": "1"},))


@pytest.mark.parametrize(
    ("argument", "path", "logs_in"),
    [
        ("account", "private", True),
        ("account", "business", True),
        ("account", "elsewhere", False),
        ("account", "public", False),
        ("something-new", "private", True),
        ("something-new", "business", False),
        ("orders-algo", "private", True),
        ("orders-algo", "private2", False),
    ],
)
def test_a_login_goes_only_where_it_is_known_to_be_needed(
    v5: World, argument: str, path: str, logs_in: bool
) -> None:
    RawSubscription([argument], feed=v5.feed(credentials=KEY), path=path)
    v5.run(1)

    assert paths(v5) == {path}
    assert logins(v5) == logs_in
    if logs_in:
        with pytest.raises(ValueError, match="needs a login"):
            RawSubscription([argument], feed=v5.feed(), path=path)


@pytest.mark.parametrize(
    ("path", "error"),
    [
        *((each, ValueError) for each in ("", "a/b", "..", "A", "a b", "a?b", "é")),
        *((each, ValueError) for each in ("a#", "a%2f", "a_b", "a\n", "/a", "x" * 65)),
        *((each, TypeError) for each in (7, b"business", ["business"], True)),
    ],
)
def test_a_path_is_one_plain_segment(
    v5: World, path: Any, error: type[Exception]
) -> None:
    feed = v5.feed()
    with pytest.raises(error, match="path"):
        RawSubscription([NEW], feed=feed, path=path)
    with pytest.raises(error, match="path"):
        RawSubscription([{**NEW, "path": path}], feed=feed)
    with pytest.raises(error, match="path"):
        v5.subscribe(raw_channels=("new",), path=path)
    with pytest.raises(error, match="path"):
        v5.subscribe(raw_channels=({"channel": "new", "path": path},))
    assert feed.subscriptions == ()


@pytest.mark.parametrize(
    "keywords",
    [
        {"path": "business"},
        {"raw_channels": ({"channel": "x", "instType": "SPOT"},)},
        {"raw_channels": ({"channel": "x", "path": "a"}, "x")},
        {"raw_channels": ({"path": "a"},)},
        {"raw_channels": {"channel": "x", "path": "a"}},
    ],
)
def test_what_makes_no_sense_with_a_path_is_refused(
    v5: World, keywords: Mapping[str, Any]
) -> None:
    with pytest.raises((ValueError, TypeError)):
        v5.subscribe(**keywords)


def test_v3_has_no_paths() -> None:
    v3 = World("v3")
    with pytest.raises(ValueError, match="one socket"):
        RawSubscription(["system/status"], feed=v3.feed(), path="business")
    with pytest.raises(ValueError, match="one socket"):
        v3.subscribe(raw_channels=("new",), path="business")


def test_a_channel_is_on_one_path_of_a_feed_at_a_time(v5: World) -> None:
    feed = v5.feed()
    with pytest.raises(ValueError, match="one path"):
        RawSubscription([NEW, {**NEW, "path": "business"}], feed=feed)
    first = RawSubscription([NEW], feed=feed)
    with pytest.raises(ValueError, match="in use on path 'public'"):
        RawSubscription([NEW], feed=feed, path="business")
    second: list[RawSubscription] = []

    def move() -> None:
        first.close()
        second.append(RawSubscription([NEW], feed=feed, path="business"))

    v5.at(1, move)
    states: list[State] = []
    v5.at(3, lambda: states.append(second[0].state))
    v5.run(4)

    assert states == [State.LIVE]
    assert v5.peer_on("business").subscribed.keys() == {"books-elp-all:BTC-USDT"}
    assert v5.peer_on("public").subscribed == {}


def test_what_was_refused_on_one_path_may_be_asked_for_on_another(v5: World) -> None:
    feed = v5.feed()
    refused = RawSubscription([NEW], feed=feed)
    v5.exchange.unknown.add("books-elp-all:BTC-USDT")
    second: list[RawSubscription] = []

    def again() -> None:
        assert refused.state is State.FAILED
        v5.exchange.unknown.clear()
        second.append(RawSubscription([NEW], feed=feed, path="business"))

    v5.at(5, again)
    states: list[State] = []
    v5.at(7, lambda: states.append(second[0].state))
    v5.run(8)

    assert states == [State.LIVE]


def test_pages_and_events_beside_the_data_are_in_the_envelope(v5: World) -> None:
    feed = v5.feed(credentials=KEY)
    positions = {"channel": "positions", "instType": "ANY"}
    sub = RawSubscription([positions], feed=feed)
    arg = {**positions, "uid": "1"}
    page = {"eventType": "snapshot", "curPage": 1, "lastPage": False}
    v5.at(1, lambda: v5.peer_on("private").send({"arg": arg, **page, "data": []}))
    v5.at(2, lambda: v5.peer_on("private").send({"arg": arg, "data": [{"pos": "1"}]}))
    v5.run(3)

    first, second = sub.data
    assert first.envelope == {
        "eventType": "snapshot",
        "curPage": "1",
        "lastPage": False,
    }
    assert "lastPage: False" in repr(first)
    assert (second.envelope, "envelope" in repr(second)) == ({}, False)
    with pytest.raises(TypeError):
        first.envelope["curPage"] = "2"  # type: ignore[index]
