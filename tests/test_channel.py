"""A channel shows the newest of its pushes, whole, or says why it cannot."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.channel import (
    KEPT_TRADES,
    KINDS,
    Channel,
    TickerChannel,
)
from okex_ws.errors import SubscriptionRejected, WireError
from okex_ws.messages import Gap, Push, State, TickerData, Trade
from okex_ws.protocols.v3 import PROTOCOL
from okex_ws.trust import Link

TIME_MS = 1645747201032
WALL = 1645747201.5
PLACE = ("spot", "BTC-USDT")


class Follower:
    """Writes down what it is told, in order."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def pushed(self, channel: Channel, text: str, now: float) -> None:
        self.heard.append(text)

    def traded(self, item: Trade | Gap) -> None:
        self.heard.append(item)

    def tell(self, now: float) -> None:
        self.heard.append("tell")

    def take(self) -> list[Any]:
        heard, self.heard = self.heard, []
        return heard


def iso(time_ms: int) -> str:
    second = time_ms // 1000 - TIME_MS // 1000
    assert 0 <= second <= 9
    return f"2022-02-25T00:00:0{second + 1}.{time_ms % 1000:03}Z"


def depth(bid: str = "10.1", time_ms: int = TIME_MS) -> dict[str, Any]:
    return {"bids": [[bid, "2", "1"]], "asks": [], "timestamp": iso(time_ms)}


def trade(trade_id: int, price: str = "0.5") -> dict[str, Any]:
    return {
        "trade_id": str(trade_id),
        "price": price,
        "size": "2",
        "side": "sell",
        "timestamp": iso(TIME_MS),
    }


def made(kind: str) -> tuple[Any, Follower, Link]:
    """A channel that is asked for on an open connection, and who follows it."""
    channel = KINDS[kind](PROTOCOL, kind, *PLACE)
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_is_its_wire_name_and_begins_with_nothing(kind: str) -> None:
    channel = KINDS[kind](PROTOCOL, kind, *PLACE)
    assert channel.name == f"spot/{kind}:BTC-USDT"
    assert channel.shown.state is State.CONNECTING
    assert (channel.shown.epoch, channel.shown.received) == (0, -math.inf)
    assert channel.owes is (kind != "trade")


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_connection_and_its_acknowledgement_are_told(kind: str) -> None:
    channel, follower, link = made(kind)
    assert channel.shown.state is State.SYNCING
    assert "acknowledgement" in channel.shown.cause
    assert channel.shown.link is link
    channel.subscribed(link, 0.0)
    assert channel.acknowledged
    assert follower.take() == ["tell"]


def test_a_snapshot_channel_is_live_with_its_first_push() -> None:
    channel, follower, link = made("depth5")
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


def test_a_trade_channel_is_live_with_its_acknowledgement() -> None:
    channel, _, link = made("trade")
    channel.subscribed(link, 0.0)
    assert (channel.shown.state, channel.shown.epoch) == (State.LIVE, 1)
    push(channel, trade(1), link=link, first=True)
    assert channel.shown.epoch == 1


# --- Losing -------------------------------------------------------------------------


def test_a_lost_connection_withdraws_the_data_and_keeps_its_age() -> None:
    channel, follower, _ = flowing("depth5", depth())
    channel.lost("reset by peer", 9.0)
    shown = channel.shown
    assert (shown.state, shown.cause) == (State.RECONNECTING, "reset by peer")
    assert (shown.data, shown.received, shown.epoch) == (None, 1.0, 1)
    assert not channel.acknowledged
    assert follower.take() == ["tell"]


def test_the_first_snapshot_of_the_next_connection_is_a_new_epoch() -> None:
    channel, _, _ = flowing("depth5", depth())
    channel.lost("reset by peer", 9.0)
    link = Link(10.0)
    channel.opened(link, 10.0)
    channel.subscribed(link, 10.0)
    assert channel.shown.epoch == 1
    push(channel, depth(), link=link, first=True)
    assert (channel.shown.epoch, channel.shown.link) == (2, link)


def test_the_age_is_that_of_the_last_push_on_whatever_connection() -> None:
    """It is infinite before the first push, and that was on another connection."""
    channel, _, _ = flowing("depth5", depth())
    channel.lost("reset by peer", 9.0)
    channel.opened(Link(10.0), 10.0)
    assert channel.shown.received == 1.0


def test_a_spoiled_snapshot_is_withdrawn_until_the_next_good_one() -> None:
    channel, follower, link = flowing("depth5", depth())
    channel.spoiled("not JSON", 2.0)
    shown = channel.shown
    assert (shown.state, shown.cause, shown.data) == (
        State.RESYNCING,
        "not JSON",
        None,
    )
    assert (shown.epoch, channel.counts["resyncs"]) == (1, 1)
    assert follower.take() == ["tell"]
    channel.spoiled("not JSON", 3.0)
    assert channel.counts["resyncs"] == 1
    assert follower.take() == []
    push(channel, depth(), link=link)
    # What comes back is a new epoch, however often it was withdrawn.
    assert (channel.shown.state, channel.shown.epoch) == (State.LIVE, 2)
    assert follower.take() == ["tell", "text"]


def test_the_end_of_a_lease_is_the_end_of_an_epoch_and_of_nothing_else() -> None:
    channel, follower, _ = flowing("depth5", depth())
    before = channel.shown
    channel.lapsed()
    assert channel.shown == before._replace(epoch=2)
    assert follower.take() == []


def test_a_refused_channel_fails_with_the_exchanges_words() -> None:
    channel, _, _ = made("depth5")
    error = SubscriptionRejected(30040, "doesn't exist", channel.name)
    channel.refused(error)
    assert channel.error is error
    assert (channel.shown.state, channel.shown.cause) == (State.FAILED, str(error))


# --- Depth --------------------------------------------------------------------------


def test_the_newest_element_of_a_push_is_shown() -> None:
    channel, _, link = made("depth5")
    push(channel, depth("1"), depth("2", TIME_MS + 1), link=link)
    assert channel.shown.depth.bids == [["2", "2", "1"]]


def test_lag_is_measured_on_newer_pushes_alone() -> None:
    channel, _, link = made("depth5")

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


def test_an_unreadable_depth_changes_nothing() -> None:
    channel, follower, link = flowing("depth5", depth())
    before = channel.shown
    with pytest.raises(WireError):
        push(channel, depth("2", TIME_MS + 1), {"bids": 5}, link=link)
    assert channel.shown is before
    assert follower.take() == []


# --- Ticker -------------------------------------------------------------------------


def test_a_ticker_is_replaced_by_the_newest() -> None:
    channel, follower, link = made("ticker")
    assert isinstance(channel, TickerChannel)
    channel.subscribed(link, 0.0)
    follower.take()
    one, other = ({"last": p, "timestamp": iso(TIME_MS)} for p in ("1", "2"))
    push(channel, one, other, link=link, first=True)
    data = channel.shown.data
    assert isinstance(data, TickerData)
    assert data.last == Decimal(2)
    assert follower.take() == ["tell", "text"]


# --- Trades -------------------------------------------------------------------------


def ids(items: Any) -> list[str]:
    return [item.id for item in items]


def reconnect(channel: Channel, follower: Follower) -> Link:
    channel.lost("reset by peer", 9.0)
    link = Link(10.0)
    channel.opened(link, 10.0)
    channel.subscribed(link, 10.0)
    follower.take()
    return link


def test_a_trade_is_typed_and_exact() -> None:
    channel, follower, link = flowing("trade", trade(1))
    push(channel, trade(2, "0.10"), link=link)
    text, told = follower.take()
    assert text == "text"
    assert channel.trades == (told,)
    assert (told.id, told.first_id, told.count) == ("2", "2", 1)
    assert (str(told.price), told.size, told.side) == ("0.10", Decimal(2), "sell")
    assert (told.instrument_id, told.epoch, told.replayed) == ("BTC-USDT", 1, False)
    assert told.timestamp.timestamp() == TIME_MS / 1000
    assert told.received.timestamp() == WALL


def test_the_replay_of_the_first_connection_is_marked_and_kept_out() -> None:
    channel, follower, link = made("trade")
    channel.subscribed(link, 0.0)
    follower.take()
    push(channel, trade(1), link=link, first=True)
    text, told = follower.take()
    assert (text, told.id, told.replayed) == ("text", "1", True)
    assert channel.trades == ()


def test_a_replay_of_a_known_trade_is_dropped_and_counted() -> None:
    channel, follower, link = flowing("trade", trade(1))
    push(channel, trade(2), link=link)
    link = reconnect(channel, follower)
    push(channel, trade(2), link=link, first=True)
    assert follower.take() == ["text"]
    assert ids(channel.trades) == ["2"]
    assert channel.counts == {"skipped repeat": 1}


def test_a_replay_that_was_only_a_replay_before_is_known_too() -> None:
    channel, follower, _ = flowing("trade", trade(1))
    link = reconnect(channel, follower)
    push(channel, trade(1), link=link, first=True)
    assert follower.take() == ["text"]
    assert channel.trades == ()


def test_a_replay_of_an_unknown_trade_comes_after_a_gap() -> None:
    channel, follower, link = flowing("trade", trade(1))
    push(channel, trade(2), link=link)
    link = reconnect(channel, follower)
    push(channel, trade(9), link=link, first=True)
    _, gap, told = follower.take()
    assert gap == Gap("trade", "2", "9", "trades while not connected", "BTC-USDT")
    assert (told.id, told.replayed) == ("9", False)
    assert ids(channel.trades) == ["2", "9"]
    assert channel.counts["gaps"] == 1


def test_trades_of_one_push_have_no_gap_between_them() -> None:
    """Only the last trade is sent again; what stands beside it is news."""
    channel, follower, link = made("trade")
    channel.subscribed(link, 0.0)
    push(channel, trade(1), trade(2), link=link, first=True)
    assert not [item for item in follower.take() if isinstance(item, Gap)]
    assert ids(channel.trades) == ["2"]


def test_trades_come_in_order_and_once() -> None:
    channel, follower, link = flowing("trade", trade(1))
    push(channel, trade(2), trade(3), trade(2), link=link)
    push(channel, trade(3), trade(4), link=link)
    assert [t.id for t in follower.take() if isinstance(t, Trade)] == ["2", "3", "4"]
    assert ids(channel.trades) == ["2", "3", "4"]
    assert channel.counts["skipped repeat"] == 2


def test_the_kept_trades_and_known_ids_are_bounded() -> None:
    channel, _, link = flowing("trade", trade(0))
    push(channel, *map(trade, range(1, 2 * KEPT_TRADES)), link=link)
    assert len(channel.trades) == KEPT_TRADES
    assert channel.trades[-1].id == str(2 * KEPT_TRADES - 1)
    assert len(channel._known) == KEPT_TRADES


def test_an_unreadable_trade_spoils_its_whole_push() -> None:
    channel, follower, link = flowing("trade", trade(1))
    with pytest.raises(WireError):
        push(channel, trade(2), {"trade_id": "3"}, link=link)
    assert channel.trades == ()
    assert follower.take() == []


def test_what_could_not_be_read_may_have_been_a_trade() -> None:
    channel, follower, link = flowing("trade", trade(1))
    push(channel, trade(2), link=link)
    follower.take()
    channel.spoiled("not JSON", 2.0)
    assert follower.take() == [Gap("trade", "2", None, "not JSON", "BTC-USDT")]
    assert channel.shown.state is State.LIVE
    assert (channel.counts["gaps"], channel.counts["resyncs"]) == (1, 0)


def test_an_unreadable_message_says_nothing_of_a_channel_that_is_not_live() -> None:
    channel, follower, _ = made("trade")
    channel.spoiled("not JSON", 2.0)
    assert follower.take() == []
    assert channel.counts["gaps"] == 0


class _Moving(deque[Trade]):
    """Is appended to while it is read, the first time."""

    reads = 0

    def __iter__(self) -> Iterator[Trade]:
        self.reads += 1
        if self.reads == 1:
            raise RuntimeError("deque mutated during iteration")
        return super().__iter__()


def test_trades_can_be_read_while_one_comes() -> None:
    channel, _, link = flowing("trade", trade(1))
    push(channel, trade(2), link=link)
    channel._trades = _Moving(channel._trades)
    assert ids(channel.trades) == ["2"]
    assert channel._trades.reads == 2
