"""What scripts read of a channel: its value, its epoch and its items, of one entry."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest

from okex_ws.base.errors import OkexWSError
from okex_ws.base.state import State
from okex_ws.channels.reading import Reading, copied
from okex_ws.channels.series import KINDS
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.trust.lease import Era, Lease
from okex_ws.trust.reading import ServingEntry, take
from tests.support.book_channel_bench import BookChannelBench
from tests.support.causes import because
from tests.support.followed_channels import NAMES, depth, flowing, push


@pytest.mark.parametrize("kind", KINDS)
def test_a_reading_is_named_as_its_channel_is(kind: str) -> None:
    name = NAMES[kind]

    reading = Reading(name)

    assert (reading.name, reading.topic) == (name.key, name.topic)
    assert (reading.instrument_id, reading.kind) == (name.instrument_id, kind)
    assert (reading.error, reading.items, reading.counts) == (None, (), {})
    assert reading.is_depth is (kind in ("depth", "book"))
    assert reading.is_series is (kind in ("trade", "candle", "data"))


def test_a_reading_gives_what_its_entry_leads_to() -> None:
    channel, _, link = flowing("depth", depth("1"))
    reading = channel.reading
    assert (reading.current, reading.acknowledged) == (channel.current, True)

    standby = KINDS["depth"](V3, NAMES["depth"], reading)
    standby.opened(link, 2.0)
    assert reading.current is channel.current
    reading.entry = ServingEntry(standby, 4)

    assert (reading.current, reading.acknowledged) == (standby.current, False)
    assert reading.current.state is State.SYNCING


def test_the_epoch_is_the_base_the_channels_and_the_lapses_of_the_lease() -> None:
    channel, _, link = flowing("depth", depth("1"))
    reading = channel.reading
    reading.entry = ServingEntry(channel, 10)
    link.renew(Lease(9.0, 0.0, 3), 1.0)

    taken = take(reading)

    assert taken is not None
    assert reading.epoch == taken.epoch == taken.value.epoch == 10 + 1 + 3


def test_the_epoch_of_a_channel_that_never_opened_is_its_base() -> None:
    channel = KINDS["depth"](V3, NAMES["depth"])
    channel.reading.entry = ServingEntry(channel, 5)

    assert channel.reading.epoch == 5


def test_a_change_of_a_book_is_no_update_to_the_book_of_another_connection() -> None:
    """The numbers of the versions may be the same by chance."""
    bench = BookChannelBench("v5")
    bench.begin()
    first = bench.channel.current
    bench.push(bench.ladder.size("5"))
    second, reading = bench.channel.current, bench.channel.reading
    assert reading.item(second, None, first).action == "update"

    other = first._replace(channel=KINDS["depth"](V3, NAMES["depth"]))

    assert reading.item(second, None, other).action == "snapshot"


def test_a_refusal_is_the_readings_and_outlives_the_connection() -> None:
    channel, _, _ = flowing("depth", depth("1"))
    error = OkexWSError("refused")
    channel.refused(error)
    channel.reading.entry = ServingEntry(
        KINDS["depth"](V3, NAMES["depth"], channel.reading)
    )

    assert channel.reading.error is error


def test_counts_go_on_over_connections() -> None:
    channel, _, _ = flowing("depth", depth("1"))
    channel.invalidated(because("not JSON"), 2.0)
    standby = KINDS["depth"](V3, NAMES["depth"], channel.reading)
    link = Era(2.0)
    standby.opened(link, 2.0)
    push(standby, depth("2"), link=link, first=True)

    standby.take_over(channel, True)
    standby.invalidated(because("not JSON"), 3.0)

    assert channel.reading.counts == {"resyncs": 2}


class _Moving(deque[int]):
    """Is appended to while it is read, the first two times."""

    reads = 0

    def __iter__(self) -> Iterator[int]:
        self.reads += 1
        if self.reads <= 2:
            raise RuntimeError("deque mutated during iteration")
        return super().__iter__()


def test_a_copy_is_made_again_if_items_came_meanwhile() -> None:
    items = _Moving([1, 2])

    assert copied(items) == (1, 2)
    assert items.reads == 3
