"""Depths, tickers and funding rates: the newest push is shown, and none goes back."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import SequenceGap, WireError
from okex_ws.base.state import State
from okex_ws.channels.depth import DepthChannel, ValueChannel
from okex_ws.model.items import Depth, FundingRate, Ticker
from okex_ws.protocol.messages import TickerData
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era
from tests.support.causes import because
from tests.support.followed_channels import (
    TIME_MS,
    WALL,
    Follower,
    depth,
    flowing,
    iso,
    made,
    push,
    ticker,
)


def depth5(seq: int) -> dict[str, Any]:
    """A ``books5`` element of v5, which has a sequence number."""
    bids = [["1", "2", "0", "1"]]
    return {"bids": bids, "asks": [], "ts": str(TIME_MS), "seqId": seq}


def numbered(seq: int) -> tuple[DepthChannel, Follower, Era]:
    """A channel of v5 with one push of sequence number *seq*, its follower and era."""
    channel = DepthChannel(V5, V5.channel("depth5", "spot", "BTC-USDT"))
    follower, link = Follower(), Era(0.0)
    channel.followers = (follower,)
    channel.opened(link, 0.0)
    channel.subscribed(link, 0.0)
    push(channel, depth5(seq), link=link, first=True)
    follower.take()
    return channel, follower, link


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


def test_timestamps_order_no_depths() -> None:
    channel, follower, link = flowing("depth", depth("1", TIME_MS + 1000))

    push(channel, depth("2", TIME_MS), link=link)

    shown = channel.current
    assert (shown.state, shown.epoch) == (State.LIVE, 1)
    assert shown.depth.bids == [["2", "2", "1"]]
    assert follower.take() == ["text"]


def test_a_sequence_that_goes_back_changes_nothing_and_raises() -> None:
    channel, follower, link = numbered(7)
    before = channel.current

    with pytest.raises(SequenceGap) as caught:
        push(channel, depth5(6), link=link)

    assert (caught.value.expected, caught.value.actual) == (7, 6)
    assert channel.current is before
    assert follower.take() == []


def test_a_sequence_that_goes_back_within_one_push_raises() -> None:
    channel, _, link = numbered(7)
    before = channel.current

    with pytest.raises(SequenceGap):
        push(channel, depth5(9), depth5(8), link=link)

    assert channel.current is before


def test_a_sequence_may_stay_or_jump_and_begin_anew_with_a_subscribe() -> None:
    """The exchange repeats an idle book, and a new subscribe may be a new server."""
    channel, _, link = numbered(7)
    for seq in (7, 8, 8, 100):
        push(channel, depth5(seq), link=link)
        assert channel.current.depth.seq == seq
    push(channel, depth5(3), link=link, first=True)
    assert (channel.current.depth.seq, channel.current.epoch) == (3, 1)
    push(channel, depth5(4), link=link)
    assert channel.current.depth.seq == 4


def test_a_first_snapshot_may_be_older_than_the_last_of_before() -> None:
    """After a reconnect; the connection has made a new epoch of it already."""
    channel, _, _ = flowing("depth", depth("1", TIME_MS + 1000))
    channel.lost(because("reset by peer"), 9.0)
    link = Era(10.0)
    channel.opened(link, 10.0)
    channel.subscribed(link, 10.0)

    push(channel, depth("2", TIME_MS), link=link, first=True)

    assert channel.current.epoch == 2


def test_a_depth_is_given_with_as_many_levels_as_are_asked_for() -> None:
    channel, _, link = made("depth")
    bids = [["2", "1", "1"], ["1", "1", "1"]]
    push(channel, depth() | {"bids": bids}, link=link, first=True, wall=WALL)

    item = channel.reading.item(channel.current, 1)

    assert isinstance(item, Depth)
    assert (item.bids, item.asks) == ((("2", "1", "1"),), ())
    assert (item.instrument_id, item.channel, item.epoch) == ("BTC-USDT", "depth5", 1)
    assert channel.reading.item(channel.current, None).bids == (*map(tuple, bids),)


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
    item = channel.reading.item(channel.current, None)
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

    item = channel.reading.item(channel.current, None)

    assert isinstance(item, FundingRate)
    assert (item.instrument_id, item.rate) == ("BTC-USD-SWAP", Decimal("-0.00015"))
    assert isinstance(item.funding_time, datetime)


@pytest.mark.parametrize("kind", ["ticker", "funding"])
def test_a_value_that_was_withdrawn_is_none(kind: str) -> None:
    channel, _, link = made(kind)
    channel.subscribed(link, 0.0)

    assert channel.reading.item(channel.current, None) is None
