"""Depths, tickers and funding rates: the newest push is shown, and none goes back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from okex_ws.base.errors import WireError
from okex_ws.base.state import State
from okex_ws.channels.depth import ValueChannel
from okex_ws.model.items import Depth, FundingRate, Ticker
from okex_ws.protocol.messages import TickerData
from okex_ws.trust.lease import Era
from tests.support.followed_channels import (
    TIME_MS,
    WALL,
    depth,
    flowing,
    iso,
    made,
    push,
    ticker,
)

# --- Depth --------------------------------------------------------------------------


def test_the_newest_element_of_a_push_is_shown() -> None:
    channel, _, link = made("depth")
    push(channel, depth("1"), depth("2", TIME_MS + 1), link=link)
    assert channel.current.depth.bids == [["2", "2", "1"]]


def test_lag_is_measured_on_newer_pushes_alone() -> None:
    channel, _, link = made("depth")

    def lag(
        time_ms: int, late: float, over: Era = link, first: bool = False
    ) -> float | None:
        wall = TIME_MS / 1000 + late
        push(channel, depth("1", time_ms), link=over, first=first, wall=wall)
        found: float | None = channel.current.lag
        return found

    # Hours after the last change, as on a quiet market: no word on the line.
    assert lag(TIME_MS, 7200.0, first=True) is None
    assert lag(TIME_MS + 1000, 1.5) == 0.0
    assert lag(TIME_MS + 2000, 2.75) == pytest.approx(0.25)
    # The same again, and an older one: neither is news.
    assert lag(TIME_MS + 2000, 9.0) is None
    assert lag(TIME_MS + 1000, 9.0) is None
    # Each connection has its own best.
    other = Era(0.0)
    assert lag(TIME_MS + 3000, 8.0, other) == 0.0


def test_a_depth_that_goes_back_in_time_is_of_another_epoch() -> None:
    channel, follower, link = flowing("depth", depth("1", TIME_MS + 1000))

    push(channel, depth("2", TIME_MS), link=link)

    shown = channel.current
    assert (shown.state, shown.epoch) == (State.LIVE, 2)
    assert shown.depth.bids == [["2", "2", "1"]]
    assert follower.take() == ["text"]
    push(channel, depth("3", TIME_MS), link=link)
    assert channel.current.epoch == 2


def test_no_read_goes_back_to_a_standby_that_is_behind() -> None:
    """The same channel, over the connection that takes over."""
    channel, follower, _ = flowing("depth", depth("1", TIME_MS + 1000))
    standby, _, link = flowing("depth", depth("2", TIME_MS))

    channel.take_over(standby, proven=True)

    shown = channel.current
    assert (shown.depth.bids, shown.link, shown.epoch) == ([["1", "2", "1"]], link, 1)
    push(channel, depth("3", TIME_MS + 500), link=link)
    assert channel.current is shown
    assert channel.counts["skipped old"] == 1
    assert follower.take() == []
    push(channel, depth("4", TIME_MS + 1000), link=link)
    assert channel.current.depth.bids == [["4", "2", "1"]]
    assert channel.current.epoch == 1
    push(channel, depth("5", TIME_MS + 1500), link=link)
    assert channel.current.depth.bids == [["5", "2", "1"]]


def test_a_standby_that_was_lost_meanwhile_withdraws() -> None:
    channel, _, _ = flowing("depth", depth("1", TIME_MS))
    standby, _, _ = flowing("depth", depth("1", TIME_MS))
    standby.lost("reset by peer", 9.0)

    channel.take_over(standby, proven=False)

    assert (channel.current.state, channel.current.cause) == (
        State.RECONNECTING,
        "reset by peer",
    )


def test_a_first_snapshot_may_be_older_than_the_last_of_before() -> None:
    """After a reconnect; the connection has made a new epoch of it already."""
    channel, _, _ = flowing("depth", depth("1", TIME_MS + 1000))
    channel.lost("reset by peer", 9.0)
    link = Era(10.0)
    channel.opened(link, 10.0)
    channel.subscribed(link, 10.0)

    push(channel, depth("2", TIME_MS), link=link, first=True)

    assert channel.current.epoch == 2


def test_a_depth_is_given_with_as_many_levels_as_are_asked_for() -> None:
    channel, _, link = made("depth")
    bids = [["2", "1", "1"], ["1", "1", "1"]]
    push(channel, depth() | {"bids": bids}, link=link, first=True, wall=WALL)

    item = channel.item(channel.current, 1)

    assert isinstance(item, Depth)
    assert (item.bids, item.asks) == ((("2", "1", "1"),), ())
    assert (item.instrument_id, item.channel, item.epoch) == ("BTC-USDT", "depth5", 1)
    assert channel.item(channel.current, None).bids == (*map(tuple, bids),)


def test_an_unreadable_depth_changes_nothing() -> None:
    channel, follower, link = flowing("depth", depth())
    before = channel.current
    with pytest.raises(WireError):
        push(channel, depth("2", TIME_MS + 1), {"bids": 5}, link=link)
    assert channel.current is before
    assert follower.take() == []


# --- Values of which the newest counts ------------------------------------------------


def test_a_ticker_is_replaced_by_the_newest() -> None:
    channel, follower, link = made("ticker")
    assert isinstance(channel, ValueChannel)
    channel.subscribed(link, 0.0)
    follower.take()

    push(channel, ticker("1"), ticker("2"), link=link, first=True)

    data = channel.current.data
    assert isinstance(data, TickerData)
    assert data.last == Decimal(2)
    assert channel.current.lag is None
    assert follower.take() == ["tell", "text"]
    item = channel.item(channel.current, None)
    assert isinstance(item, Ticker)
    assert (item.instrument_id, item.last, item.epoch) == ("BTC-USDT", Decimal(2), 1)


def test_an_unreadable_ticker_changes_nothing() -> None:
    channel, follower, link = flowing("ticker", ticker("1"))
    before = channel.current

    with pytest.raises(WireError):
        push(channel, ticker("2"), {"last": 5}, link=link)

    assert channel.current is before
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

    item = channel.item(channel.current, None)

    assert isinstance(item, FundingRate)
    assert (item.instrument_id, item.rate) == ("BTC-USD-SWAP", Decimal("-0.00015"))
    assert isinstance(item.funding_time, datetime)


@pytest.mark.parametrize("kind", ["ticker", "funding"])
def test_a_value_that_was_withdrawn_is_none(kind: str) -> None:
    channel, _, link = made(kind)
    channel.subscribed(link, 0.0)

    assert channel.item(channel.current, None) is None
