"""A channel shows the newest of its pushes, whole, or says why it cannot."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest

from okex_ws.base.errors import SubscriptionRejected
from okex_ws.base.state import State
from okex_ws.channels.series import KINDS
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era, Lease
from tests.support.causes import because
from tests.support.followed_channels import (
    NAMES,
    SPOT,
    WALL,
    depth,
    flowing,
    made,
    push,
    ticker,
)

# --- From wanted to live ------------------------------------------------------------


def test_there_is_a_channel_for_every_kind() -> None:
    assert {kind: name.kind for kind, name in NAMES.items()} == {k: k for k in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_channel_is_its_wire_name_and_begins_with_nothing(kind: str) -> None:
    key, topic, instrument_id, *_ = NAMES[kind]

    channel = KINDS[kind](V3, NAMES[kind])

    assert (channel.name, channel.topic) == (key, topic)
    assert channel.instrument_id == instrument_id
    assert channel.current.state is State.CONNECTING
    assert (channel.current.epoch, channel.current.received) == (0, -math.inf)
    assert (channel.openings, channel.followers, channel.silent) == (0, (), False)
    assert (channel.reading.error, channel.reading.entry.channel) == (None, channel)
    assert (channel.current.channel, channel.current.serial) == (channel, 0)


@pytest.mark.parametrize("wire", [V3, V5])
def test_a_snapshot_is_needed_where_the_protocol_says_so(wire: Any) -> None:
    for topic in ("depth5", "trade", "ticker"):
        name = wire.channel(wire.topic(topic), *SPOT)
        assert KINDS[name.kind](wire, name).needs_snapshot is wire.needs_snapshot(
            name.topic
        )


@pytest.mark.parametrize("kind", KINDS)
def test_an_open_connection_and_its_acknowledgement_are_told(kind: str) -> None:
    channel, follower, link = made(kind)
    assert channel.current.state is State.SYNCING
    assert "acknowledgement" in channel.current.cause.text
    assert channel.current.era is link
    assert channel.openings == 1
    channel.subscribed(link, 0.0)
    assert channel.acknowledged
    assert follower.take() == ["tell"]


def test_a_snapshot_channel_is_live_with_its_first_push() -> None:
    channel, follower, link = made("depth")
    channel.subscribed(link, 0.0)
    assert channel.current.state is State.SYNCING
    assert "first push" in channel.current.cause.text
    follower.take()
    push(channel, depth(), link=link, first=True, now=5.0)
    shown = channel.current
    assert (shown.state, shown.epoch, shown.lag) == (State.LIVE, 1, None)
    assert (shown.received, shown.wall, shown.era) == (5.0, WALL, link)
    # The state goes before what came with it.
    assert follower.take() == ["tell", "text"]
    push(channel, depth(), link=link)
    assert follower.take() == ["text"]
    assert channel.current.epoch == 1


def test_a_channel_that_needs_no_snapshot_is_live_with_its_acknowledgement() -> None:
    channel, follower, link = made("trade")

    channel.subscribed(link, 0.0)

    assert (channel.current.state, channel.current.epoch) == (State.LIVE, 1)
    assert channel.current.cause.text == ""
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
    channel.lost(because("reset by peer"), 9.0)
    shown = channel.current
    assert (shown.state, shown.cause) == (
        State.RECONNECTING,
        because("reset by peer"),
    )
    assert (shown.data, shown.received, shown.epoch) == (None, 1.0, 1)
    assert not channel.acknowledged
    assert follower.take() == ["tell"]


def test_the_first_snapshot_of_the_next_connection_is_a_new_epoch() -> None:
    channel, _, _ = flowing("depth", depth())
    channel.lost(because("reset by peer"), 9.0)
    link = Era(10.0)
    channel.opened(link, 10.0)
    channel.subscribed(link, 10.0)
    assert channel.current.epoch == 1
    push(channel, depth(), link=link, first=True)
    assert (channel.current.epoch, channel.current.era) == (2, link)


def test_the_age_is_that_of_the_last_push_on_whatever_connection() -> None:
    """It is infinite before the first push, and that was on another connection."""
    channel, _, _ = flowing("depth", depth())
    channel.lost(because("reset by peer"), 9.0)
    channel.opened(Era(10.0), 10.0)
    assert channel.current.received == 1.0


def test_a_spoiled_snapshot_is_withdrawn_until_the_next_good_one() -> None:
    channel, follower, link = flowing("depth", depth())
    channel.invalidated(because("not JSON"), 2.0)
    shown = channel.current
    assert (shown.state, shown.cause, shown.data) == (
        State.RESYNCING,
        because("not JSON"),
        None,
    )
    assert (shown.epoch, channel.counts["resyncs"]) == (1, 1)
    assert follower.take() == ["tell"]
    channel.invalidated(because("not JSON"), 3.0)
    assert channel.counts["resyncs"] == 1
    assert follower.take() == []
    push(channel, depth(), link=link)
    # What comes back is a new epoch, however often it was withdrawn.
    assert (channel.current.state, channel.current.epoch) == (State.LIVE, 2)
    assert follower.take() == ["tell", "text"]


def test_a_refused_channel_fails_with_the_exchanges_words() -> None:
    channel, _, _ = made("depth")
    error = SubscriptionRejected(30040, "doesn't exist", channel.name)
    channel.refused(error)
    assert channel.reading.error is error
    assert (channel.current.state, channel.current.cause) == (
        State.FAILED,
        error.cause,
    )


def test_the_lapses_of_a_lease_are_in_the_epoch_and_change_no_value() -> None:
    """They go on in the value of the next connection, which has a lease of its own."""
    channel, follower, link = flowing("depth", depth())
    before = channel.current
    link.renew(Lease(9.0, WALL, 2), 1.0)
    assert channel.current is before
    assert (channel.own_epoch, channel.reading.epoch) == (3, 3)
    assert follower.take() == []
    channel.lost(because("reset by peer"), 9.0)
    assert channel.reading.epoch == 3
    channel.opened(Era(10.0), 10.0)
    assert (channel.current.epoch, channel.reading.epoch) == (3, 3)


# --- The value that an era withdraws --------------------------------------------------


@pytest.mark.parametrize("kind", ["depth", "trade"])
def test_each_value_has_the_next_serial_number_and_its_channel(kind: str) -> None:
    channel, _, link = made(kind)
    serials = [channel.current.serial]
    steps: list[Any] = [
        lambda: channel.subscribed(link, 0.0),
        lambda: (
            channel.push(Push(channel.name, [], "", None), True, link, 1.0, WALL)
            if kind == "trade"
            else push(channel, depth(), link=link, first=True)
        ),
        lambda: channel.lost(because("reset by peer"), 9.0),
        lambda: channel.opened(Era(10.0), 10.0),
    ]
    for step in steps:
        step()
        assert channel.current.channel is channel
        serials.append(channel.current.serial)
    assert all(older < newer for older, newer in pairwise(serials))


def test_what_its_era_withdrew_is_followed_by_a_new_epoch() -> None:
    channel, follower, link = flowing("depth", depth())
    link.withdraw([channel], because("a fault"))
    assert channel.current.is_withdrawn

    push(channel, depth("2"), link=link)

    shown = channel.current
    assert (shown.state, shown.epoch, shown.is_withdrawn) == (State.LIVE, 2, False)
    assert follower.take() == ["tell", "text"]


# --- A standby ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["depth", "ticker"])
def test_a_standby_is_silent_until_it_takes_over(kind: str) -> None:
    element = depth if kind == "depth" else ticker
    channel, follower, _ = flowing(kind, element("1"))
    standby = KINDS[kind](V3, NAMES[kind], channel.reading)
    link = Era(2.0)
    standby.opened(link, 2.0)
    standby.subscribed(link, 2.0)
    push(standby, element("2"), link=link, first=True, now=3.0)

    assert channel.reading.entry.channel is channel
    assert (follower.take(), channel.counts) == ([], channel.reading.counts)
    assert standby.counts is not channel.reading.counts

    standby.take_over(channel, True)

    # What it received last is delivered now: it may be what scripts do not have.
    assert follower.take() == ["text"]
    assert standby.followers == (follower,)
    assert standby.counts is channel.reading.counts
    assert standby.openings == 1
    push(standby, element("3"), link=link)
    assert follower.take() == ["text"]


def test_a_standby_that_is_not_live_delivers_nothing_as_it_takes_over() -> None:
    channel, follower, _ = flowing("depth", depth("1"))
    standby = KINDS["depth"](V3, NAMES["depth"], channel.reading)
    link = Era(2.0)
    standby.opened(link, 2.0)
    push(standby, depth("2"), link=link, first=True)
    standby.lost(because("reset by peer"), 9.0)

    standby.take_over(channel, False)

    assert follower.take() == []
    shown = standby.current
    assert (shown.state, shown.cause) == (
        State.RECONNECTING,
        because("reset by peer"),
    )
