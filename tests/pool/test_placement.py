"""Which channel lives on which connection: the decision, without a thread."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from okex_ws import VENUES, OkexWSError
from okex_ws.channels.base import Channel
from okex_ws.channels.reading import Reading
from okex_ws.pool.handover import Move, move
from okex_ws.pool.placement import REPEAT_GRACE, Placement
from okex_ws.pool.register import Carrier, Register, Row, check
from okex_ws.protocol.messages import ChannelName, SocketPath
from okex_ws.protocol.v5 import PROTOCOL

OKX = VENUES["okx"]


class FakeCarrier:
    """What a placement knows of a connection."""

    def __init__(self, path: SocketPath) -> None:
        self.path, self.most = path, math.inf
        self.error: OkexWSError | None = None


class FakeView:
    """What the register knows of a subscription."""

    error = None

    def __init__(self) -> None:
        self.readings: dict[str, Reading] = {}

    def entered(self, reading: Reading) -> None:
        """Another channel serves *reading* now."""


class PlacementRig:
    """A placement, its register, and every connection that it ever asked for."""

    def __init__(self, **facts: Any) -> None:
        self.made: list[Any] = []
        self.room = 99
        self.register = Register()
        self.placement = Placement(replace(OKX, **facts), PROTOCOL, self.make_carrier)

    def make_carrier(self, path: SocketPath, key: str) -> Carrier:
        if len(self.made) >= self.room:
            raise RuntimeError("can't start new thread")
        carrier: Any = FakeCarrier(path)
        self.made.append(carrier)
        return carrier  # type: ignore[no-any-return]

    def take(self, *names: ChannelName) -> list[Row]:
        """Attach a view to these channels; its rows."""
        view: Any = FakeView()
        made: list[Carrier] = []

        def change(table: Any) -> Any:
            after = self.placement.place(
                table, view, {name.key: name for name in names}, made
            )
            view.readings = {name.key: after.rows[name.key].reading for name in names}
            return after

        table = self.register.change(change)
        check(table)
        rows = [table.rows[name.key] for name in names]
        assert all(each in table.carriers for each in made)
        return rows

    def leave(self, row: Row) -> bool:
        """The views of *row* are closed; whether it was removed from the register."""
        for view in row.users:
            self.register.change(lambda table: table.without_view(view))  # noqa: B023
        check(self.register.table)
        return self.register.forget(row.reading)

    def sits(self) -> list[tuple[str, list[str], int]]:
        """Of each connection its path, its channels, and how many are deep."""
        table = self.register.table
        return [
            (carrier.path.name, names, sum(map(PROTOCOL.is_deep, names)))
            for carrier in table.carriers
            for names in [[row.reading.name for row in table.of(carrier)]]
        ]


def name(topic: str, instrument: str = "BTC-USDT") -> ChannelName:
    return PROTOCOL.channel(topic, "spot", instrument)


def test_channels_of_one_path_share_a_connection() -> None:
    table = PlacementRig()

    table.take(name("depth5"), name("trade"), name("candle60s"), name("ticker"))

    assert table.sits() == [
        ("public", ["books5:BTC-USDT", "trades:BTC-USDT", "tickers:BTC-USDT"], 0),
        ("business", ["candle1m:BTC-USDT"], 0),
    ]


def test_a_channel_that_is_known_is_the_same_channel() -> None:
    table = PlacementRig()

    (first,), (second,) = table.take(name("depth5")), table.take(name("depth5"))

    assert first.channel is second.channel
    assert first.reading is second.reading
    assert list(table.register.table.rows) == ["books5:BTC-USDT"]


def test_deep_books_beyond_the_advised_number_have_a_connection_of_their_own() -> None:
    table = PlacementRig(depths_per_connection=2)

    table.take(*(name("depth", f"{letter}-USDT") for letter in "ABCDE"))
    table.take(name("depth5", "F-USDT"))

    assert [depths for _, _, depths in table.sits()] == [2, 2, 1]
    assert "books5:F-USDT" in table.sits()[0][1]


def test_a_venue_may_bound_the_channels_of_a_connection() -> None:
    table = PlacementRig(channels_per_connection=3)

    table.take(*(name("ticker", f"{letter}-USDT") for letter in "ABCD"))

    assert [len(channels) for _, channels, _ in table.sits()] == [3, 1]


def test_who_leaves_makes_room() -> None:
    table = PlacementRig(depths_per_connection=1)
    (placed,) = table.take(name("depth", "A-USDT"))
    (other,) = table.take(name("depth", "B-USDT"))

    assert table.leave(placed)
    assert not table.register.forget(other.reading)
    table.take(name("depth", "C-USDT"))

    assert [channels for _, channels, _ in table.sits()] == [
        ["books:C-USDT"],
        ["books:B-USDT"],
    ]
    living = [row.reading for row in table.register.table.rows.values()]
    assert placed.reading not in living
    assert other.reading in living


@pytest.mark.parametrize("where", ["reading", "carrier"])
def test_what_was_refused_is_seated_anew(where: str) -> None:
    table = PlacementRig()
    (placed,) = table.take(name("depth5"))
    getattr(placed, where).error = OkexWSError("no")
    if where == "carrier":
        table.register.change(lambda now: now.without_carrier(placed.carrier))

    (again,) = table.take(name("depth5"))

    assert again.channel is not placed.channel
    assert again.reading is not placed.reading
    assert (again.carrier is placed.carrier) is (where == "reading")
    # The old one leaves later, and takes no channel with it.
    assert table.leave(placed)
    (kept,) = table.register.table.of(again.carrier)
    assert kept.channel is again.channel


def test_all_channels_are_placed_or_nothing_has_changed() -> None:
    table = PlacementRig(depths_per_connection=1)
    table.take(name("depth", "A-USDT"), name("depth5", "A-USDT"))
    table.room, before = 2, table.sits()
    state = table.register.table

    with pytest.raises(RuntimeError, match="thread"):
        # The first has room, the second has a new connection, the third has none.
        table.take(name("ticker", "A-USDT"), *deep("BC"))

    assert table.sits() == before
    assert table.register.table is state
    table.room = 3
    table.take(*deep("B"))
    assert [depths for _, _, depths in table.sits()] == [1, 1]


def deep(letters: str) -> list[ChannelName]:
    return [name("depth", f"{letter}-USDT") for letter in letters]


def test_the_new_connections_are_named_even_if_not_all_can_be_made() -> None:
    """So that whoever asked can give them back to the system."""
    table = PlacementRig(depths_per_connection=1)
    table.room = 1
    made: list[Carrier] = []
    view: Any = FakeView()
    names = {each.key: each for each in deep("BC")}

    with pytest.raises(RuntimeError, match="thread"):
        table.placement.place(table.register.table, view, names, made)

    assert made == table.made


def test_a_connection_that_takes_over_has_every_channel_of_the_old_one() -> None:
    table = PlacementRig()
    depth, candle = table.take(name("depth"), name("candle60s"))
    old, other = depth.carrier, candle.carrier
    new = table.make_carrier(old.path, "books:BTC-USDT")
    standby = table.placement.make_channel(name("depth"), depth.reading)
    known = {standby.name: Move(standby, True, True, standby.own_epoch)}

    def make(reading: Reading) -> Channel:
        return table.placement.make_channel(name("depth"), reading)

    move(table.register, old, new, known, make, 0.0)

    now = table.register.table
    check(now)
    assert now.carriers == (new, other)
    assert [row.channel for row in now.of(new)] == [standby]
    assert now.of(old) == []
    assert depth.reading.entry.channel is standby
    (placed,) = table.take(name("depth"))
    assert placed.carrier is new
    assert placed.reading is depth.reading


def test_too_many_channels_go_to_where_there_is_room() -> None:
    """The exchange closed a connection because of its number of channels."""
    table = PlacementRig()
    rows = table.take(*(name("ticker", f"{letter}-USDT") for letter in "ABCDE"))
    full = rows[0].carrier
    full.most = 2

    found = table.placement.surplus(table.register.table, full, [])

    assert list(found.values()) == [
        ["tickers:C-USDT", "tickers:D-USDT"],
        ["tickers:E-USDT"],
    ]
    # What the exchange showed holds for the new ones, too.
    assert [carrier.most for carrier in found] == [2, 2]


def test_what_was_made_before_the_system_gave_no_more_is_known() -> None:
    table = PlacementRig()
    rows = table.take(*(name("ticker", f"{letter}-USDT") for letter in "ABCDE"))
    full, made = rows[0].carrier, list[Carrier]()
    full.most, table.room = 2, 2

    with pytest.raises(RuntimeError, match="can't start"):
        table.placement.surplus(table.register.table, full, made)
    assert made == table.made[1:]
    assert len(made) == 1


def test_a_path_that_is_full_says_nothing_of_another_path() -> None:
    table = PlacementRig()
    rows = table.take(*(name("ticker", f"{letter}-USDT") for letter in "ABC"))
    (bar,) = table.take(name("candle60s"))
    full = rows[0].carrier
    assert bar.carrier.path != full.path
    full.most = 2

    found = table.placement.surplus(table.register.table, full, [])

    assert list(found.values()) == [["tickers:C-USDT"]]
    assert bar.carrier not in found
    assert bar.carrier.most > 2


@pytest.mark.parametrize(
    ("repeat", "within"), [(60.0, 60.0 + REPEAT_GRACE), (None, math.inf)]
)
def test_where_an_idle_book_is_repeated_it_may_be_late_by_a_lease(
    repeat: float | None, within: float
) -> None:
    table = PlacementRig(idle_repeat=repeat)

    depth: Any = table.placement.make_channel(name("depth5"))
    trade = table.placement.make_channel(name("trade"))

    assert depth.repeats_within == within
    assert trade.repeats_within == math.inf


def test_a_channel_is_on_one_path_at_a_time() -> None:
    table = PlacementRig()
    (row,) = table.take(name("depth5"))
    elsewhere = name("depth5")._replace(path="business")

    assert table.take(name("depth5")._replace(path="public"))[0].carrier is row.carrier
    with pytest.raises(ValueError, match="in use on path 'public'"):
        table.take(elsewhere)

    row.carrier.error = OkexWSError("refused")
    (moved,) = table.take(elsewhere)
    assert moved.carrier.path.name == "business"
