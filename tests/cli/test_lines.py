"""Items and readings as lines."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    BookUpdate,
    Candle,
    Data,
    FundingRate,
    Gap,
    Item,
    OrderBook,
    State,
    StateChange,
    Ticker,
)
from okex_ws.cli.lines import item_json, item_line, reading_json, reading_line
from tests.support.causes import because
from tests.support.cli_samples import AT, HOSTILE, depth, live, lost, trade

ONE = Decimal(1)
BOOK = BookUpdate(
    "BTC-USDT",
    "update",
    (("60003.1", "0.5", "0", "1"),),
    (),
    OrderBook((("60003.1", "0.5", "0", "1"),), ()),
    *(AT, AT, 0.01, 7, 1, "depth"),
)
CANDLE = Candle("BTC-USDT", "candle60s", AT, *[ONE] * 4, ONE, None, None, True, AT, 1)
STATE = StateChange(State.LIVE, State.STALE, because(HOSTILE), 1, AT, "BTC-USDT")
TICKER = Ticker("BTC-USDT", *[ONE] * 11, AT, AT, 1)
ITEMS: list[tuple[Item, str]] = [
    (depth(), "60003.1 x 0.5 / 60003.2 x 2, spread 0.1"),
    (depth(bids=()), "no bids / 60003.2 x 2"),
    (BOOK, "60003.1 x 0.5 / no asks, update of 1 bids, 0 asks"),
    (trade(3, "sell"), "sell 0.03 at 60003.2"),
    (TICKER, "last 1, 1 x 1 / 1 x 1, spread 0"),
    (CANDLE, "1 1 1 1 volume 1, closed"),
    (FundingRate("X-USD-SWAP", ONE, AT, None, None, None, AT, 1), "1 at 2026-11-26T"),
    (Data("status", ({"state": "x"},), None, AT, 1), '[{"state": "x"}]'),
    (STATE, "LIVE -> STALE: 60018"),
    (
        Gap("trade", "1", None, because("the connection was lost")),
        "after 1 before ?: the conn",
    ),
]
each_kind = pytest.mark.parametrize(
    ("item", "said"), ITEMS, ids=[type(item).__name__ for item, _ in ITEMS]
)


@each_kind
def test_an_item_is_one_plain_line(item: Item, said: str) -> None:
    line = item_line(item)

    assert said in line
    assert line.isprintable()


@each_kind
def test_an_item_is_one_json_object(item: Item, said: str) -> None:
    line = item_json(item)
    found = json.loads(line)

    assert line.isprintable()
    assert line.isascii()
    assert found["instrument_id"] == item.instrument_id
    if isinstance(item, (StateChange, Gap)):
        assert (found["cause"], found["code"]) == (str(item.cause), "internal")
    assert line == item_json(item)


def test_json_has_the_exchanges_numbers_as_strings_and_moments_in_utc() -> None:
    found = json.loads(item_json(depth()))
    sold = json.loads(item_json(trade(3, "sell")))

    assert found["bids"] == [["60003.1", "0.5"], ["60003", "1.25"]]
    assert found["timestamp"] == "2026-11-26T08:45:00.123Z"
    assert (found["type"], sold["type"], sold["size"]) == ("depth", "trade", "0.03")


def test_columns_stand_under_each_other_whatever_the_names() -> None:
    long = replace(trade(3, "sell"), instrument_id="ETH-USD-210419-2540-P")
    width = len(long.instrument_id)

    lines = item_line(trade(3), width), item_line(long, width)
    assert lines[0].index("trade") == lines[1].index("trade")


def test_a_gap_has_its_own_moment() -> None:
    at = AT + timedelta(seconds=1)
    gap = Gap("trade", "1", None, because("the connection was lost"), at=at)

    assert item_line(gap).startswith("2026-11-26T08:45:01.123Z")
    assert item_line(replace(gap, at=None)).startswith("- ")


def test_a_reading_has_prices_or_says_why_not() -> None:
    assert reading_line(live()).split() == (
        [
            "BTC-USDT",
            "LIVE",
            "60003.1",
            "x",
            "0.5",
            "/",
            "60003.2",
            "x",
            "2,",
            "spread",
            "0.1,",
            "age",
            "0.25",
            "s",
        ]
    )
    line = reading_line(lost(cause=HOSTILE))
    assert "60003" not in line
    assert "RECONNECTING" in line
    assert line.isprintable()


def test_a_reading_in_json_has_null_for_what_is_not_known() -> None:
    good: dict[str, Any] = json.loads(reading_json(live()))
    bad: dict[str, Any] = json.loads(reading_json(lost()))

    assert (good["bid"], good["ask"], good["spread"]) == ("60003.1", "60003.2", "0.1")
    assert good["cause"] is None
    assert bad["bid"] is bad["ask"] is bad["timestamp"] is None
    assert bad["cause"] == "the peer closed (close code 1006)"
    assert (good["code"], bad["code"]) == (None, "internal")
