"""What a picture of a recording shows."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import pytest

from okex_ws import BookUpdate, Gap, Item, OrderBook, State, StateChange
from okex_ws.cli.recordings import story
from okex_ws.cli.recordings.story import ChartData, price_of
from tests.support.causes import because
from tests.support.cli_samples import AT, depth, trade


def later(seconds: float, item: Item) -> Item:
    at = AT + timedelta(seconds=seconds)
    if isinstance(item, StateChange):
        return replace(item, at=at)
    return replace(item, received=at)  # type: ignore[call-arg]


def change(seconds: float, new: State, cause: str = "") -> Item:
    return later(
        seconds, StateChange(State.LIVE, new, because(cause), 1, AT, "BTC-USDT")
    )


def told(*items: Item) -> ChartData:
    found = ChartData("BTC-USDT", AT, AT + timedelta(seconds=100))
    found.add(items)
    return found


LIVE = change(1.0, State.LIVE)


def test_samples_are_the_best_levels_and_what_is_behind_them() -> None:
    found = told(LIVE, later(2.0, depth()))

    assert found.samples[0].bids == ((60003.1, 0.5), (60003.0, 1.75))
    assert found.samples[0].asks[0] == (60003.2, 2.0)


def test_a_whole_book_is_sampled_after_each_change() -> None:
    book = OrderBook((("9", "1"),), (("10", "2"),))
    update = BookUpdate("X", "update", (), (), book, AT, AT, None, 1, 1, "depth")

    assert told(LIVE, later(2.0, update)).samples[0].asks == ((10.0, 2.0),)


def test_there_are_no_more_samples_than_can_be_seen() -> None:
    many = (later(1 + n / 100, depth()) for n in range(9000))
    found = told(LIVE, *many)

    assert story.SAMPLES * 0.8 < len(found.samples) <= story.SAMPLES


def test_without_trust_there_is_no_sample_but_an_outage() -> None:
    found = told(
        LIVE,
        change(10.0, State.STALE, "late"),
        later(11.0, depth()),
        change(12.0, State.RECONNECTING, "lost"),
        change(20.0, State.LIVE),
        later(21.0, depth()),
        change(90.0, State.RECONNECTING, "gone"),
    )
    spans = [
        ((each.begins - AT).total_seconds(), (each.ends - AT).total_seconds())
        for each in found.outages
    ]

    assert spans == [(0.0, 1.0), (10.0, 20.0), (90.0, 100.0)]
    assert [str(each.cause) for each in found.outages] == ["", "late", "gone"]
    assert len(found.samples) == 1


def test_one_that_begins_without_a_price_says_why() -> None:
    syncing = change(0.0, State.SYNCING, "waiting")
    long = told(syncing, change(0.1, State.STALE, "x"), change(40.0, State.LIVE))
    short = told(syncing, change(0.5, State.LIVE))

    assert [(each.state, str(each.cause)) for each in long.outages] == [
        (State.SYNCING, "waiting")
    ]
    assert [str(each.cause) for each in short.outages] == [""]


def test_the_prices_are_those_of_bests_and_trades() -> None:
    found = told(LIVE, later(2.0, depth()), trade(9))

    assert found.prices() == (60003.1, 60003.2)
    assert told(LIVE).prices() is None
    assert told(LIVE, trade(9), trade(9)).prices() is None


def test_the_largest_trades_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(story, "_TRADES", 3)
    trades = [trade(n) for n in (5, 1, 9, 2, 7)]
    found = told(LIVE, *trades, replace(trade(99), replayed=True))

    assert sorted(round(dot.size, 2) for dot in found.dots) == [0.05, 0.07, 0.09]


def test_a_gap_is_where_it_was_noticed() -> None:
    at = AT + timedelta(seconds=9)
    gap = Gap("trade", "1", "5", because("lost"), at=at)

    assert told(LIVE, later(7.0, trade()), gap).gaps == [at]


def test_the_price_of_a_size_is_the_worst_that_it_needs() -> None:
    side = ((100.0, 1.0), (101.0, 3.0))

    assert [price_of(side, size) for size in (0.0, 1.0, 1.5, 9.0)] == [
        100.0,
        100.0,
        101.0,
        101.0,
    ]
    assert math.isnan(price_of((), 1.0))


def test_the_bands_are_parts_of_what_is_usually_there() -> None:
    found = told(LIVE, later(2.0, depth(asks=(("60004", "2"),), bids=(("1", "2"),))))

    assert found.bands() == [0.12, 0.25, 0.5]
    assert told(LIVE).bands() == []
