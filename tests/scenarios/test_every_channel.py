"""No channel that OKX documents is a dead end: it has a type, or is decoded data."""

from __future__ import annotations

import re
from typing import Any

import pytest

from okex_ws import Credentials, Data, RawSubscription
from okex_ws.protocol.catalogue import KNOWN
from tests.support.channel_table import (
    V3_GROUPS,
    V5_GROUPS,
    given_v3,
    given_v5,
    recorded,
    render,
)
from tests.support.virtual_world import V3, V5, World

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")


def open_world(protocol: str, monkeypatch: pytest.MonkeyPatch) -> World:
    """An exchange that has every channel on every path."""
    for dialect in (V3, V5):
        lets = staticmethod(lambda path, arg, logged_in: None)
        monkeypatch.setattr(dialect, "objection", lets)
    return World(protocol)


def test_the_page_has_the_table_of_the_library() -> None:
    # python -m tests.support.channel_table --write
    assert recorded() == render()


def test_the_table_has_every_channel_that_the_library_knows() -> None:
    v5 = {name for group in V5_GROUPS for name in group.names}
    v3 = {name for group in V3_GROUPS for name in group.names}
    for known in KNOWN.values():
        assert known.v5 is None or known.v5 in v5
        is_bar = re.fullmatch(r"candle\d+s", known.v3 or "")
        assert known.v3 is None or is_bar or known.v3 in v3


def test_every_channel_of_v5_without_a_type_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = open_world("v5", monkeypatch)
    every = [each for group in V5_GROUPS for each in group.arguments()]
    raw = [arg for arg in every if given_v5(arg).item == "`Data`"]
    sub = RawSubscription(raw, feed=world.feed(credentials=KEY))

    def push() -> None:
        for arg in raw:
            (peer,) = (
                p
                for p in world.peers
                if arg in (*p.subscribed.values(), *p.lists.values())
            )
            assert f"`{peer.path}`" in given_v5(arg).path
            peer.send({"arg": arg, "data": [{"is": arg["channel"]}]})

    world.at(8, push)
    world.run(9)

    assert len(sub.data) == len(raw) > 30
    got = {each.elements[0]["is"] for each in sub.data}
    assert got == {arg["channel"] for arg in raw}


def test_a_push_may_lack_the_type_that_its_request_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = open_world("v5", monkeypatch)
    name = "event-contract-markets"
    asked = {"channel": name, "instType": "EVENTS"}
    feed = world.feed()
    subs = [RawSubscription([each], feed=feed) for each in (asked, name)]
    push = {"arg": {"channel": name}, "data": [{"disputed": False}]}
    world.at(2, lambda: world.peer.send(push))
    world.run(3)

    assert [*world.peer.subscribed.values()] == [asked]
    assert [each.data[0].elements for each in subs] == [({"disputed": False},)] * 2


def test_every_other_channel_of_v5_has_a_type_in_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = open_world("v5", monkeypatch)
    feed = world.feed(credentials=KEY)
    subscribed = dict[str, Any]()
    for group in V5_GROUPS:
        for arg in group.arguments():
            name = arg["channel"]
            if given_v5(arg).how == "`channels=`" and "instId" in arg:
                market = "index" if name.startswith("index-") else None
                what = arg["instId"]
                subscribed[name] = world.subscribe(
                    what, market, channels=(name,), feed=feed
                )
    world.run(3)

    where = {
        arg["channel"]: peer.path
        for peer in world.peers
        for arg in peer.subscribed.values()
    }
    assert where.keys() == subscribed.keys()
    for group in V5_GROUPS:
        for arg in group.arguments():
            if arg["channel"] in where:
                assert f"`{where[arg['channel']]}`" in given_v5(arg).path


def test_every_channel_of_v3_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    world = open_world("v3", monkeypatch)
    feed = world.feed(credentials=KEY)
    names = [name for group in V3_GROUPS for name in group.names]
    raw = [name for name in names if given_v3(name).how == "`RawSubscription`"]
    sub = RawSubscription(raw, feed=feed)
    typed = [name for name in names if name not in raw]
    # The market that has most of them lacks one.
    swap = [name for name in typed if name != "estimated_price"]
    world.subscribe("BTC-USD-SWAP", "swap", channels=swap, feed=feed)
    world.subscribe(
        "BTC-USD-301227", "futures", channels=["estimated_price"], feed=feed
    )
    gotten: list[Any] = []
    status = {"table": "system/status", "data": [{"title": "x"}]}
    world.at(2, lambda: world.peer.send(status))
    world.at(3, lambda: gotten.append(sub.latest("system/status")))
    world.run(4)

    subscribed = {key for peer in world.peers for key in peer.subscribed}
    assert subscribed >= {*raw, *(f"swap/{name}:BTC-USD-SWAP" for name in swap)}
    assert "futures/estimated_price:BTC-USD-301227" in subscribed
    assert all(each is None or isinstance(each, Data) for each in gotten)
