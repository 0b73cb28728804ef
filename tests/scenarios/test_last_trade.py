"""The last trade comes again with a subscribe: in every recording of v5, at once.

That it is the last one, and no old one, shows in the ids: the next trade has the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from okex_ws.protocol.messages import Acknowledged, Push, TradeData
from okex_ws.protocol.v5 import PROTOCOL

CAPTURES = Path(__file__).parents[3] / "shared" / "captures" / "cryptofeed"
recorded = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recorded traffic beside the project"
)
# How many channels of trades pushed anything, and were asked for.
RECORDINGS = {"v5_OKEX.ws.1_20210722": (9, 10), "v5_OKX.ws.1_20220513": (3, 3)}
# What lies between the acknowledgement and the first push, in seconds.
AT_ONCE = 0.1

Line = tuple[float, str]


class Told(NamedTuple):
    """One channel: when it was acknowledged, and its trades as they were received."""

    asked: float
    trades: list[tuple[float, TradeData]]

    def begins_with_the_last(self) -> bool:
        """Whether the first push came at once and is of before the subscribe."""
        received, first = self.trades[0]
        at_once = 0 <= received - self.asked < AT_ONCE
        return at_once and first.time_ms < self.asked * 1000

    def goes_on_with_the_next(self) -> bool:
        """Whether the second push is of the next trade, and of after the subscribe."""
        (_, first), (_, second) = self.trades[:2]
        follows = int(second.first_id) == int(first.id) + 1
        return follows and second.time_ms > self.asked * 1000


def lines(name: str) -> Iterator[Line]:
    times = (CAPTURES / f"{name}.recv.times").read_text().split()
    texts = (CAPTURES / f"{name}.recv.jsonl").read_text().splitlines()
    for time, text in zip(times, texts, strict=True):
        yield float(time), text


def told(recording: Iterator[Line]) -> dict[str, Told]:
    """The channels of trades; one that was asked for twice counts from the last."""
    channels: dict[str, Told] = {}
    for time, text in recording:
        (message,) = PROTOCOL.decode(text.encode(), False)
        if isinstance(message, Acknowledged):
            if message.channel.startswith("trades:"):
                channels[message.channel] = Told(time, [])
        elif isinstance(message, Push) and message.channel in channels:
            trades = channels[message.channel].trades
            trades += [(time, PROTOCOL.trade(each)) for each in message.elements]
    return channels


@recorded
@pytest.mark.parametrize(("name", "counts"), RECORDINGS.items())
def test_the_first_push_of_every_channel_is_its_last_trade(
    name: str, counts: tuple[int, int]
) -> None:
    channels = told(lines(name))

    heard = [channel for channel in channels.values() if channel.trades]

    assert (len(heard), len(channels)) == counts
    assert all(channel.begins_with_the_last() for channel in heard)


@recorded
@pytest.mark.parametrize(("name", "count"), [*zip(RECORDINGS, (7, 2), strict=True)])
def test_the_second_push_is_the_next_trade(name: str, count: int) -> None:
    channels = told(lines(name)).values()

    longer = [channel for channel in channels if len(channel.trades) > 1]

    assert len(longer) == count
    assert all(channel.goes_on_with_the_next() for channel in longer)


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_without_its_first_push_no_channel_begins_with_the_last(name: str) -> None:
    for channel in told(lines(name)).values():
        for dropped in range(1, len(channel.trades)):
            rest = Told(channel.asked, channel.trades[dropped:])
            assert not rest.begins_with_the_last()


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_changed_digit_of_the_times_shows(name: str) -> None:
    later = told(
        (time, text.replace('"ts":"1', '"ts":"2')) for time, text in lines(name)
    )
    for channel in later.values():
        assert not (channel.trades and channel.begins_with_the_last())


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_changed_id_of_the_first_trade_shows(name: str) -> None:
    for channel in told(lines(name)).values():
        if len(channel.trades) > 1:
            (received, first), *rest = channel.trades
            digit = "0" if first.id[-1] != "0" else "1"
            other = replace(first, id=f"{first.id[:-1]}{digit}")
            changed = Told(channel.asked, [(received, other), *rest])
            assert not changed.goes_on_with_the_next()
