"""Which channel lives on which connection: the table, without a thread."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from okex_ws import VENUES, OkexWSError
from okex_ws.channels.base import Channel
from okex_ws.pool.connection_channels import ConnectionChannels
from okex_ws.pool.placement import REPEAT_GRACE, PlacedChannel, Placement
from okex_ws.protocol.messages import ChannelName, SocketPath
from okex_ws.protocol.v5 import PROTOCOL

OKX = VENUES["okx"]


class Connection:
    """What the table knows of one: that it can be thrown away."""

    discarded = False

    def discard(self) -> None:
        self.discarded = True


class Table:
    """A placement, and every connection that it ever asked for."""

    def __init__(self, **facts: Any) -> None:
        self.made: list[Any] = []
        self.room = 99
        self.placement = Placement(replace(OKX, **facts), PROTOCOL, self.make_group)

    def make_group(self, path: SocketPath, key: str) -> ConnectionChannels:
        if len(self.made) >= self.room:
            raise RuntimeError("can't start new thread")
        pool: Any = None
        clock: Any = None
        group: Any = ConnectionChannels(pool, path, clock)
        group.connection = Connection()
        self.made.append(group)
        return group  # type: ignore[no-any-return]

    def take(self, *names: ChannelName) -> list[PlacedChannel]:
        return list(self.placement.take({each.key: each for each in names}).values())

    def sits(self) -> list[tuple[str, list[str], int]]:
        """Of each connection its path, its channels, and how many are deep."""
        return [
            (group.path.name, list(group.channels), group.depths)
            for group in self.placement.groups
        ]


def name(topic: str, instrument: str = "BTC-USDT") -> ChannelName:
    return PROTOCOL.channel(topic, "spot", instrument)


def test_channels_of_one_path_share_a_connection() -> None:
    table = Table()

    table.take(name("depth5"), name("trade"), name("candle60s"), name("ticker"))

    assert table.sits() == [
        ("public", ["books5:BTC-USDT", "trades:BTC-USDT", "tickers:BTC-USDT"], 0),
        ("business", ["candle1m:BTC-USDT"], 0),
    ]


def test_a_channel_that_is_known_is_the_same_channel() -> None:
    table = Table()

    (first,), (second,) = table.take(name("depth5")), table.take(name("depth5"))

    assert first.channel is second.channel
    assert list(table.placement.living) == [first.channel]


def test_deep_books_beyond_the_advised_number_have_a_connection_of_their_own() -> None:
    table = Table(depths_per_connection=2)

    table.take(*(name("depth", f"{letter}-USDT") for letter in "ABCDE"))
    table.take(name("depth5", "F-USDT"))

    assert [depths for _, _, depths in table.sits()] == [2, 2, 1]
    assert "books5:F-USDT" in table.sits()[0][1]


def test_a_venue_may_bound_the_channels_of_a_connection() -> None:
    table = Table(channels_per_connection=3)

    table.take(*(name("ticker", f"{letter}-USDT") for letter in "ABCD"))

    assert [len(channels) for _, channels, _ in table.sits()] == [3, 1]


def test_who_leaves_makes_room() -> None:
    table = Table(depths_per_connection=1)
    placed, other = table.take(name("depth", "A-USDT"), name("depth", "B-USDT"))

    assert table.placement.leave(*placed)
    assert not table.placement.leave(*placed)
    table.take(name("depth", "C-USDT"))

    assert [channels for _, channels, _ in table.sits()] == [
        ["books:C-USDT"],
        ["books:B-USDT"],
    ]
    assert placed.channel not in table.placement.living
    assert other.channel in table.placement.living


@pytest.mark.parametrize("where", ["channel", "group"])
def test_what_was_refused_is_seated_anew(where: str) -> None:
    table = Table()
    (placed,) = table.take(name("depth5"))
    getattr(placed, where).error = OkexWSError("no")
    if where == "group":
        table.placement.close(placed.group)

    (again,) = table.take(name("depth5"))

    assert again.channel is not placed.channel
    assert (again.group is placed.group) is (where == "channel")
    # The old one leaves later, and takes no channel with it.
    assert table.placement.leave(*placed)
    assert again.group.channels == {"books5:BTC-USDT": again.channel}


def test_all_channels_are_placed_or_nothing_has_changed() -> None:
    table = Table(depths_per_connection=1)
    table.take(name("depth", "A-USDT"), name("depth5", "A-USDT"))
    table.room, before = 2, table.sits()
    living = list(table.placement.living)

    with pytest.raises(RuntimeError, match="thread"):
        # The first has room, the second has a new connection, the third has none.
        table.take(name("ticker", "A-USDT"), *deep("BC"))

    assert table.sits() == before
    assert list(table.placement.living) == living
    assert [group.connection.discarded for group in table.made] == [False, True]
    table.room = 3
    table.take(*deep("B"))
    assert [depths for _, _, depths in table.sits()] == [1, 1]


def deep(letters: str) -> list[ChannelName]:
    return [name("depth", f"{letter}-USDT") for letter in letters]


def test_a_connection_that_takes_over_has_every_channel_of_the_old_one() -> None:
    table = Table()
    old, other = (
        placed.group for placed in table.take(name("depth"), name("candle60s"))
    )
    new: Any = table.make_group(old.path, "books:BTC-USDT")
    standby: Channel = table.placement.make_channel(name("depth"))
    new.channels = {standby.name: standby}

    own = table.placement.replace(old, new)

    assert own == {"books:BTC-USDT": standby}
    assert table.placement.groups == (new, other)
    assert (old.channels, old.depths, new.depths) == ({}, 0, 1)
    (placed,) = table.take(name("depth"))
    assert placed.group is new
    assert placed.channel is not standby


@pytest.mark.parametrize(
    ("repeat", "within"), [(60.0, 60.0 + REPEAT_GRACE), (None, math.inf)]
)
def test_where_an_idle_book_is_repeated_it_may_be_late_by_a_lease(
    repeat: float | None, within: float
) -> None:
    table = Table(idle_repeat=repeat)

    depth: Any = table.placement.make_channel(name("depth5"))
    trade = table.placement.make_channel(name("trade"))

    assert depth.repeats_within == within
    assert trade.repeats_within == math.inf
