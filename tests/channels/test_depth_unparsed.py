"""A depth or a value that is kept as it came: when, with what lag, how it is read."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import SequenceGap, WireError
from okex_ws.base.state import State
from okex_ws.channels.book import BookChannel
from okex_ws.channels.depth import DepthChannel, ValueChannel
from okex_ws.channels.reading import Reading
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era
from tests.support.causes import because
from tests.support.followed_channels import Follower
from tests.support.virtual_world import V3 as DIALECT3
from tests.support.virtual_world import V5 as DIALECT5
from tests.support.virtual_world import compact

WALL = 1_600_000_100.0
NAME = "BTC-USDT"
BAD = "0"


class Kept:
    """A channel with one parsed push, and a follower that wants none of them."""

    def __init__(self, protocol: str = "v5", topic: str = "depth5") -> None:
        self.protocol = protocol
        wire: Any = V5 if protocol == "v5" else V3
        kinds: Any = {"depth5": DepthChannel, "depth": BookChannel}
        kind = kinds.get(topic, ValueChannel)
        self.channel = kind(wire, wire.channel(topic, "spot", NAME))
        self.follower = Follower()
        self.follower.wants_pushes = self.follower.wants_data = False
        self.channel.followers = (self.follower,)
        self.era = Era(0.0)
        self.channel.opened(self.era, 0.0)
        self.channel.subscribed(self.era, 0.0)
        self.now = 1.0

    def text(self, seq: int, bid: str = "100.1", late: float = 0.5) -> str:
        """A push that is *late* seconds."""
        time_ms = round((self.now + 99 - late) * 1000)
        if self.protocol == "v5":
            return compact(DIALECT5.depth(time_ms, bid, seq=seq))
        return compact(DIALECT3.depth(time_ms, bid))

    def push(self, seq: int, bid: str = "100.1", late: float = 0.5) -> Any:
        """Parse a push at once."""
        self.now += 1.0
        text = self.text(seq, bid, late)
        first = self.channel.current.state is not State.LIVE
        wire: Any = V5 if self.protocol == "v5" else V3
        (message,) = wire.read(text.encode())
        assert isinstance(message, Push)
        self.channel.push(message, first, self.era, self.now, self.wall)
        return self

    @property
    def wall(self) -> float:
        return WALL - 1.0 + self.now

    def keep(self, seq: int, bid: str = "100.2", late: float = 1.0) -> bool:
        self.now += 1.0
        return self.keeps(self.text(seq, bid, late))

    def keeps(self, text: str) -> bool:
        kept: bool = self.channel.keep(text.encode(), self.era, self.now, self.wall)
        return kept

    @property
    def bid(self) -> str:
        best: str = self.channel.current.depth.bids[0][0]
        return best


def flowing(protocol: str = "v5") -> Kept:
    """With a second push, which is 0.5 s late: the least of its minute."""
    one: Kept = Kept(protocol).push(1).push(2)
    one.follower.take()
    return one


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_kept_push_is_the_present_value_and_is_read_as_one_that_was_parsed(
    protocol: str,
) -> None:
    one, other = flowing(protocol), flowing(protocol)

    assert one.keep(3)
    other.push(3, "100.2", 1.0)

    mine, its = one.channel.current, other.channel.current
    assert mine.depth == its.depth
    assert mine.lag == its.lag == pytest.approx(0.5)
    for name in ("state", "epoch", "received", "wall", "overdue", "moved", "serial"):
        assert getattr(mine, name) == getattr(its, name), name
    assert one.follower.take() == []


def test_it_is_parsed_when_it_is_read_and_not_before() -> None:
    one = flowing()
    one.keep(3, BAD)

    assert one.channel.current.state is State.LIVE
    fault = one.channel.current.fault
    assert fault is not None
    assert "books5:BTC-USDT" in str(fault)
    with pytest.raises(WireError):
        _ = one.channel.current.depth


def test_a_reader_that_cannot_parse_has_the_connection_told() -> None:
    one, told = flowing(), []
    one.channel.on_doubt = lambda: told.append(1)
    one.keep(3, BAD)

    assert one.channel.current.fault is not None
    assert one.channel.current.fault is not None
    assert told == [1]
    assert str(one.channel.verify()).startswith("unreadable message on books5:BTC-USDT")
    # What was refused is told before anything replaces it.
    assert not one.keep(4)


def test_what_is_replaced_before_it_is_read_is_counted() -> None:
    one = flowing()
    for seq in range(3, 8):
        assert one.keep(seq)
    assert one.bid == "100.2"
    one.keep(8)
    one.channel.invalidated(because("a bad message"), one.now)

    assert one.channel.counts["unread depth5"] == 5


# --- What is parsed at once -----------------------------------------------------------


def test_nothing_is_kept_where_a_follower_wants_each() -> None:
    one = flowing()
    one.follower.wants_pushes = one.follower.wants_data = True

    assert not one.channel.keeps_unparsed
    assert not one.keep(3)


def test_one_that_begins_to_want_each_meanwhile_is_told() -> None:
    """The push is parsed then, and told, or the follower finds it as the value."""
    one, asked = flowing(), []

    class Late:
        @property
        def wants_data(self) -> bool:
            asked.append(1)
            return len(asked) > 1

    one.channel.followers = (Late(),)

    assert not one.keep(3)
    assert one.bid == "100.2"


def test_nothing_is_kept_by_a_channel_that_nothing_follows_or_that_is_silent() -> None:
    one = flowing()
    one.channel.followers = ()
    assert not one.keep(3)
    silent = DepthChannel(
        V5, one.channel.reading.described, Reading(one.channel.reading.described)
    )
    silent.followers = (one.follower,)
    assert not silent.keeps_unparsed


def test_a_whole_book_keeps_nothing() -> None:
    one = Kept(topic="depth")

    assert not one.channel.keeps_unparsed


def test_before_the_first_push_and_after_a_withdrawal_nothing_is_kept() -> None:
    one = Kept()
    assert not one.keep(1)
    one = flowing()
    one.channel.invalidated(because("a bad message"), one.now)
    assert not one.keep(3)
    one = flowing()
    one.era.withdraw([one.channel], because("a fault"))
    assert not one.keep(3)
    one = flowing()
    one.era = Era(0.0)
    assert not one.keep(3)


def test_a_number_that_goes_back_is_parsed_at_once_and_raises() -> None:
    one = flowing()
    one.keep(5)
    before = one.channel.current

    assert not one.keep(4)
    assert one.channel.current is before
    with pytest.raises(SequenceGap) as caught:
        one.push(4)
    assert (caught.value.expected, caught.value.actual) == (5, 4)


def test_a_missing_number_is_parsed_at_once() -> None:
    one = flowing()
    one.now += 1.0
    text = one.text(3).replace(',"seqId":3', "")

    assert '"seqId"' not in text
    assert not one.keeps(text)


def test_what_has_no_time_is_parsed_at_once() -> None:
    one = flowing()
    message = json.loads(one.text(3))
    del message["data"][0]["ts"]

    assert not one.keeps(compact(message))


def test_a_push_that_would_be_the_least_late_is_parsed_at_once() -> None:
    """An absurd time of a bad push sets no mark for the lag of the good ones."""
    one = flowing()

    assert not one.keep(3, BAD, late=-1e6)
    assert one.keep(3, "100.2", late=0.7)
    assert one.channel.current.lag == pytest.approx(0.2)


def test_a_time_that_goes_back_is_parsed_at_once() -> None:
    one = flowing()
    assert not one.keep(3, late=5.0)


# --- Lag and move ---------------------------------------------------------------------


def test_a_push_that_repeats_a_number_has_no_lag_and_is_no_move() -> None:
    one, other = flowing(), flowing()
    before = one.channel.current.moved

    assert one.keep(2, "100.1", late=3.0 - 2.2)
    other.push(2, "100.1", late=3.0 - 2.2)

    for each in (one, other):
        assert (each.channel.current.lag, each.channel.current.moved) == (None, before)


def test_under_v3_the_same_levels_with_a_later_time_are_no_move() -> None:
    one, other = flowing("v3"), flowing("v3")

    for bid in ("100.1", "100.2", "100.2", "100.3"):
        assert one.keep(0, bid)
        other.push(0, bid, 1.0)
        assert one.channel.current.moved == other.channel.current.moved, bid


def test_the_same_bytes_again_have_no_lag() -> None:
    one = flowing("v3")
    one.keep(0)
    text = one.text(0, "100.2", 1.0)
    one.now += 1.0

    assert one.keeps(text)
    assert one.channel.current.lag is None


def test_a_time_that_stays_tells_no_lag() -> None:
    one = flowing()
    one.keep(3)
    text = one.text(4, "100.3", 1.0)

    assert one.keeps(text)
    assert (one.channel.current.lag, one.bid) == (None, "100.3")


# --- What a parse verifies ------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ('"bids":[["100.2","1"', '"bids":[["100.2","0"'),
        ('"instId":"BTC-USDT","ts"', '"instId":"ETH-USDT","ts"'),
        ('"seqId":3', '"seqId":3,"seqId":4'),
        ('"asks":[[', '"asks":['),
        ('"arg":{"channel":"books5"', '"arg":{"channel":"bbo-tbt"'),
    ],
)
def test_each_is_verified_again(what: str, instead: str) -> None:
    one = flowing()
    one.now += 1.0
    text = one.text(3, "100.2", 1.0)
    assert what in text

    assert one.keeps(text.replace(what, instead)) or '"seqId":4' in instead
    if '"seqId":4' in instead:
        assert one.channel.current.depth.seq == 4
        return
    assert one.channel.current.fault is not None


def test_another_number_than_was_sliced_is_refused() -> None:
    one = flowing()
    one.keep(3)
    one.channel.current.data.seq = 4

    assert "number or time" in str(one.channel.current.fault)


def test_a_number_that_needs_its_characters_is_read_exactly() -> None:
    """As in the books of 2018, whose counts of orders were numbers."""
    one = flowing("v3")
    one.now += 1.0
    text = one.text(0, "100.2", 1.0).replace('"100.2","1","1"', '"100.2","1.50",1')

    assert one.keeps(text)
    assert one.channel.current.depth.bids == [["100.2", "1.50", "1"]]


def test_a_ticker_is_kept_and_read_by_its_own_reader() -> None:
    one = Kept(topic="ticker")
    element = {"instId": NAME, "last": "5", "ts": "1600000000000"}
    about = {"channel": "tickers", "instId": NAME}
    push = Push(one.channel.name, [element], "text", None)
    one.channel.push(push, True, one.era, 1.0, WALL)

    assert one.keeps(compact({"arg": about, "data": [element | {"last": "6"}]}))
    item = one.channel.reading.item(one.channel.current, None)
    assert item.last == Decimal(6)
    assert one.keeps(compact({"arg": about, "data": [element | {"last": "x"}]}))
    assert "(ticker)" in str(one.channel.current.fault)
