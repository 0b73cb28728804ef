"""A channel shows the newest of its pushes, whole, or says why it cannot."""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import SubscriptionRejected, WireError
from okex_ws.base.state import State
from okex_ws.channels.base import Channel
from okex_ws.channels.depth import ValueChannel
from okex_ws.channels.series import KINDS
from okex_ws.model.items import Depth, FundingRate, Item, Ticker
from okex_ws.protocol.messages import Push, TickerData
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Link

TIME_MS = 1645747201032
WALL = 1645747201.5
SPOT, SWAP = ("spot", "BTC-USDT"), ("swap", "BTC-USD-SWAP")
NAMES = {
    "depth": V3.channel("depth5", *SPOT),
    "book": V3.channel("depth", *SPOT),
    "ticker": V3.channel("ticker", *SPOT),
    "trade": V3.channel("trade", *SPOT),
    "candle": V3.channel("candle60s", *SPOT),
    "funding": V3.channel("funding_rate", *SWAP),
    "data": V3.raw_channel("mark_price", *SWAP),
}


class Follower:
    """Writes down what it is told, in order."""

    wants_pushes = wants_every_push = True

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        self.heard.append(text)

    def add(self, topic: str, item: Item) -> None:
        self.heard.append((topic, item))

    def tell(self, now: float) -> None:
        self.heard.append("tell")

    def take(self) -> list[Any]:
        heard, self.heard = self.heard, []
        return heard


def iso(time_ms: int) -> str:
    second = time_ms // 1000 - TIME_MS // 1000
    assert 0 <= second <= 8
    return f"2022-02-25T00:00:0{second + 1}.{time_ms % 1000:03}Z"


def depth(bid: str = "10.1", time_ms: int = TIME_MS) -> dict[str, Any]:
    return {"bids": [[bid, "2", "1"]], "asks": [], "timestamp": iso(time_ms)}


def ticker(last: str) -> dict[str, Any]:
    return {"last": last, "timestamp": iso(TIME_MS)}


def made(kind: str) -> tuple[Any, Follower, Link]:
    """A channel that is asked for on an open connection, and who follows it."""
    channel = KINDS[kind](V3, NAMES[kind])
    follower, link = Follower(), Link(0.0)
    channel.followers = (follower,)
    channel.opened(link, 0.0)
    follower.take()
    return channel, follower, link


def push(
    channel: Channel,
    *elements: Any,
    link: Link,
    first: bool = False,
    now: float = 1.0,
    wall: float = WALL,
) -> None:
    channel.push(Push(channel.name, [*elements], "text", None), first, link, now, wall)


def flowing(kind: str, element: dict[str, Any]) -> tuple[Any, Follower, Link]:
    """The same, acknowledged and pushed once."""
    channel, follower, link = made(kind)
    channel.subscribed(link, 0.0)
    push(channel, element, link=link, first=True)
    follower.take()
    return channel, follower, link


# --- From wanted to live ------------------------------------------------------------


def test_there_is_a_channel_for_every_kind() -> None:
    assert {kind: name.kind for kind, name in NAMES.items()} == {k: k for k in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_is_its_wire_name_and_begins_with_nothing(kind: str) -> None:
    key, topic, instrument_id, *_ = NAMES[kind]

    channel = KINDS[kind](V3, NAMES[kind])

    assert (channel.name, channel.topic) == (key, topic)
    assert channel.instrument_id == instrument_id
    assert channel.shown.state is State.CONNECTING
    assert (channel.shown.epoch, channel.shown.received) == (0, -math.inf)
    assert (channel.openings, channel.users, channel.error) == (0, 0, None)


@pytest.mark.parametrize("wire", [V3, V5])
def test_a_push_is_owed_where_the_protocol_says_so(wire: Any) -> None:
    for topic in ("depth5", "trade", "ticker"):
        name = wire.channel(wire.topic(topic), *SPOT)
        assert KINDS[name.kind](wire, name).needs_snapshot is wire.needs_snapshot(
            name.topic
        )


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_connection_and_its_acknowledgement_are_told(kind: str) -> None:
    channel, follower, link = made(kind)
    assert channel.shown.state is State.SYNCING
    assert "acknowledgement" in channel.shown.cause
    assert channel.shown.link is link
    assert channel.openings == 1
    channel.subscribed(link, 0.0)
    assert channel.acknowledged
    assert follower.take() == ["tell"]


def test_a_snapshot_channel_is_live_with_its_first_push() -> None:
    channel, follower, link = made("depth")
    channel.subscribed(link, 0.0)
    assert channel.shown.state is State.SYNCING
    assert "first push" in channel.shown.cause
    follower.take()
    push(channel, depth(), link=link, first=True, now=5.0)
    shown = channel.shown
    assert (shown.state, shown.epoch, shown.lag) == (State.LIVE, 1, None)
    assert (shown.received, shown.wall, shown.link) == (5.0, WALL, link)
    # The state goes before what came with it.
    assert follower.take() == ["tell", "text"]
    push(channel, depth(), link=link)
    assert follower.take() == ["text"]
    assert channel.shown.epoch == 1


def test_a_channel_that_owes_no_push_is_live_with_its_acknowledgement() -> None:
    channel, follower, link = made("trade")

    channel.subscribed(link, 0.0)

    assert (channel.shown.state, channel.shown.epoch) == (State.LIVE, 1)
    assert channel.shown.cause == ""
    assert follower.take() == ["tell"]


@pytest.mark.parametrize(
    ("kind", "elements"),
    [
        ("depth", [depth()]),
        ("ticker", [ticker("1")]),
        ("trade", []),
        ("candle", []),
        ("data", [{"any": "thing"}]),
    ],
)
def test_whatever_builds_on_nothing_is_of_use_at_once(
    kind: str, elements: list[Any]
) -> None:
    channel, _, link = made(kind)
    channel.subscribed(link, 0.0)
    first = Push(channel.name, elements, "text", None)

    assert not channel.incremental
    assert channel.push(first, True, link, 1.0, WALL) is True


# --- Losing -------------------------------------------------------------------------


def test_a_lost_connection_withdraws_the_data_and_keeps_its_age() -> None:
    channel, follower, _ = flowing("depth", depth())
    channel.lost("reset by peer", 9.0)
    shown = channel.shown
    assert (shown.state, shown.cause) == (State.RECONNECTING, "reset by peer")
    assert (shown.data, shown.received, shown.epoch) == (None, 1.0, 1)
    assert not channel.acknowledged
    assert follower.take() == ["tell"]


def test_the_first_snapshot_of_the_next_connection_is_a_new_epoch() -> None:
    channel, _, _ = flowing("depth", depth())
    channel.lost("reset by peer", 9.0)
    link = Link(10.0)
    channel.opened(link, 10.0)
    channel.subscribed(link, 10.0)
    assert channel.shown.epoch == 1
    push(channel, depth(), link=link, first=True)
    assert (channel.shown.epoch, channel.shown.link) == (2, link)


def test_the_age_is_that_of_the_last_push_on_whatever_connection() -> None:
    """It is infinite before the first push, and that was on another connection."""
    channel, _, _ = flowing("depth", depth())
    channel.lost("reset by peer", 9.0)
    channel.opened(Link(10.0), 10.0)
    assert channel.shown.received == 1.0


def test_a_spoiled_snapshot_is_withdrawn_until_the_next_good_one() -> None:
    channel, follower, link = flowing("depth", depth())
    channel.invalidated("not JSON", 2.0)
    shown = channel.shown
    assert (shown.state, shown.cause, shown.data) == (
        State.RESYNCING,
        "not JSON",
        None,
    )
    assert (shown.epoch, channel.counts["resyncs"]) == (1, 1)
    assert follower.take() == ["tell"]
    channel.invalidated("not JSON", 3.0)
    assert channel.counts["resyncs"] == 1
    assert follower.take() == []
    push(channel, depth(), link=link)
    # What comes back is a new epoch, however often it was withdrawn.
    assert (channel.shown.state, channel.shown.epoch) == (State.LIVE, 2)
    assert follower.take() == ["tell", "text"]


def test_the_end_of_a_lease_is_the_end_of_an_epoch_and_of_nothing_else() -> None:
    channel, follower, _ = flowing("depth", depth())
    before = channel.shown
    channel.lapsed()
    channel.renewed()
    assert channel.shown == before._replace(epoch=2)
    assert follower.take() == []


def test_a_refused_channel_fails_with_the_exchanges_words() -> None:
    channel, _, _ = made("depth")
    error = SubscriptionRejected(30040, "doesn't exist", channel.name)
    channel.refused(error)
    assert channel.error is error
    assert (channel.shown.state, channel.shown.cause) == (State.FAILED, str(error))


# --- Depth --------------------------------------------------------------------------


def test_the_newest_element_of_a_push_is_shown() -> None:
    channel, _, link = made("depth")
    push(channel, depth("1"), depth("2", TIME_MS + 1), link=link)
    assert channel.shown.depth.bids == [["2", "2", "1"]]


def test_lag_is_measured_on_newer_pushes_alone() -> None:
    channel, _, link = made("depth")

    def lag(
        time_ms: int, late: float, over: Link = link, first: bool = False
    ) -> float | None:
        wall = TIME_MS / 1000 + late
        push(channel, depth("1", time_ms), link=over, first=first, wall=wall)
        found: float | None = channel.shown.lag
        return found

    # Hours after the last change, as on a quiet market: no word on the line.
    assert lag(TIME_MS, 7200.0, first=True) is None
    assert lag(TIME_MS + 1000, 1.5) == 0.0
    assert lag(TIME_MS + 2000, 2.75) == pytest.approx(0.25)
    # The same again, and an older one: neither is news.
    assert lag(TIME_MS + 2000, 9.0) is None
    assert lag(TIME_MS + 1000, 9.0) is None
    # Each connection has its own best.
    other = Link(0.0)
    assert lag(TIME_MS + 3000, 8.0, other) == 0.0


def test_a_depth_that_goes_back_in_time_is_of_another_epoch() -> None:
    channel, follower, link = flowing("depth", depth("1", TIME_MS + 1000))

    push(channel, depth("2", TIME_MS), link=link)

    shown = channel.shown
    assert (shown.state, shown.epoch) == (State.LIVE, 2)
    assert shown.depth.bids == [["2", "2", "1"]]
    assert follower.take() == ["text"]
    push(channel, depth("3", TIME_MS), link=link)
    assert channel.shown.epoch == 2


def test_no_read_goes_back_to_a_twin_that_is_behind() -> None:
    """The same channel, over the connection that takes over."""
    channel, follower, _ = flowing("depth", depth("1", TIME_MS + 1000))
    standby, _, link = flowing("depth", depth("2", TIME_MS))

    channel.switch_to(standby, proven=True)

    shown = channel.shown
    assert (shown.depth.bids, shown.link, shown.epoch) == ([["1", "2", "1"]], link, 1)
    push(channel, depth("3", TIME_MS + 500), link=link)
    assert channel.shown is shown
    assert channel.counts["skipped old"] == 1
    assert follower.take() == []
    push(channel, depth("4", TIME_MS + 1000), link=link)
    assert channel.shown.depth.bids == [["4", "2", "1"]]
    assert channel.shown.epoch == 1
    push(channel, depth("5", TIME_MS + 1500), link=link)
    assert channel.shown.depth.bids == [["5", "2", "1"]]


def test_a_twin_that_was_lost_meanwhile_withdraws() -> None:
    channel, _, _ = flowing("depth", depth("1", TIME_MS))
    standby, _, _ = flowing("depth", depth("1", TIME_MS))
    standby.lost("reset by peer", 9.0)

    channel.switch_to(standby, proven=False)

    assert (channel.shown.state, channel.shown.cause) == (
        State.RECONNECTING,
        "reset by peer",
    )


def test_a_first_snapshot_may_be_older_than_the_last_of_before() -> None:
    """After a reconnect; the connection has made a new epoch of it already."""
    channel, _, _ = flowing("depth", depth("1", TIME_MS + 1000))
    channel.lost("reset by peer", 9.0)
    link = Link(10.0)
    channel.opened(link, 10.0)
    channel.subscribed(link, 10.0)

    push(channel, depth("2", TIME_MS), link=link, first=True)

    assert channel.shown.epoch == 2


def test_a_depth_is_given_with_as_many_levels_as_are_asked_for() -> None:
    channel, _, link = made("depth")
    bids = [["2", "1", "1"], ["1", "1", "1"]]
    push(channel, depth() | {"bids": bids}, link=link, first=True, wall=WALL)

    item = channel.item(channel.shown, 1)

    assert isinstance(item, Depth)
    assert (item.bids, item.asks) == ((("2", "1", "1"),), ())
    assert (item.instrument_id, item.channel, item.epoch) == ("BTC-USDT", "depth5", 1)
    assert channel.item(channel.shown, None).bids == (*map(tuple, bids),)


def test_an_unreadable_depth_changes_nothing() -> None:
    channel, follower, link = flowing("depth", depth())
    before = channel.shown
    with pytest.raises(WireError):
        push(channel, depth("2", TIME_MS + 1), {"bids": 5}, link=link)
    assert channel.shown is before
    assert follower.take() == []


# --- Values of which the newest counts ------------------------------------------------


def test_a_ticker_is_replaced_by_the_newest() -> None:
    channel, follower, link = made("ticker")
    assert isinstance(channel, ValueChannel)
    channel.subscribed(link, 0.0)
    follower.take()

    push(channel, ticker("1"), ticker("2"), link=link, first=True)

    data = channel.shown.data
    assert isinstance(data, TickerData)
    assert data.last == Decimal(2)
    assert channel.shown.lag is None
    assert follower.take() == ["tell", "text"]
    item = channel.item(channel.shown, None)
    assert isinstance(item, Ticker)
    assert (item.instrument_id, item.last, item.epoch) == ("BTC-USDT", Decimal(2), 1)


def test_an_unreadable_ticker_changes_nothing() -> None:
    channel, follower, link = flowing("ticker", ticker("1"))
    before = channel.shown

    with pytest.raises(WireError):
        push(channel, ticker("2"), {"last": 5}, link=link)

    assert channel.shown is before
    assert follower.take() == []


def test_a_funding_rate_is_a_value_of_its_own_kind() -> None:
    channel, _, link = made("funding")
    element = {
        "instrument_id": "BTC-USD-SWAP",
        "funding_rate": "-0.00015",
        "estimated_rate": "0.0002",
        "interest_rate": "0",
        "funding_time": iso(TIME_MS),
        "settlement_time": iso(TIME_MS + 5000),
    }
    push(channel, element, link=link, first=True)

    item = channel.item(channel.shown, None)

    assert isinstance(item, FundingRate)
    assert (item.instrument_id, item.rate) == ("BTC-USD-SWAP", Decimal("-0.00015"))
    assert isinstance(item.funding_time, datetime)


@pytest.mark.parametrize("kind", ["ticker", "funding"])
def test_a_value_that_was_withdrawn_is_none(kind: str) -> None:
    channel, _, link = made(kind)
    channel.subscribed(link, 0.0)

    assert channel.item(channel.shown, None) is None
