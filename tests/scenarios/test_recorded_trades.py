"""Recorded v5 traffic through the whole stack: every trade, once, in its order."""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from okex_ws import Feed, Reconnect, Trade, WSSubscription
from okex_ws.local_exchange import LocalExchange
from okex_ws.model.instrument_ids import market_of

CAPTURES = Path(__file__).parents[3] / "shared/captures/cryptofeed"
NAMES = ("v5_OKEX.ws.1_20210722", "v5_OKX.ws.1_20220513")

Told = tuple[str, str, Decimal, Decimal, str, int]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not CAPTURES.is_dir(), reason="no recordings beside the project"
    ),
]


def recorded(path: Path) -> list[Told]:
    """The trades of a recording, by the standard library alone."""
    found = []
    for line in Path(f"{path}.recv.jsonl").read_text("utf-8").splitlines():
        message = json.loads(line)
        if message["arg"]["channel"] == "trades" and "data" in message:
            found += [
                (
                    each["instId"],
                    each["tradeId"],
                    Decimal(each["px"]),
                    Decimal(each["sz"]),
                    each["side"],
                    int(each["ts"]),
                )
                for each in message["data"]
            ]
    return found


def followed(path: Path, names: list[str], count: int) -> list[Told]:
    """The first *count* trades that a feed tells of a recording that is played."""
    again = Reconnect(first=0.01, cap=0.01, host_gap=0.0)
    told: list[Told] = []
    with (
        LocalExchange(capture=path, speed=50) as exchange,
        Feed(exchange.venue_v5, reconnect=again) as feed,
    ):
        items = feed.updates(max_queue=10_000, timeout=20, repeated=True)
        # All of them are asked for in one request, before the recording begins.
        exchange.refuse()
        for name in names:
            market = market_of(name)
            assert market is not None
            WSSubscription(name, market, channels=("trade",), feed=feed)
        exchange.refuse(False)
        for item in items:
            if isinstance(item, Trade):
                at = round(item.timestamp.timestamp() * 1000)
                price, size = item.price, item.size
                told.append((item.instrument_id, item.id, price, size, item.side, at))
            if len(told) == count:
                return told
    raise AssertionError(f"the feed ended after {len(told)} trades")


@pytest.mark.parametrize(("name", "count"), [(NAMES[0], 36), (NAMES[1], 74)])
def test_a_feed_tells_every_recorded_trade_in_order(name: str, count: int) -> None:
    trades = recorded(CAPTURES / name)
    names = list(dict.fromkeys(trade[0] for trade in trades))

    assert len(trades) == count
    assert followed(CAPTURES / name, names, count) == trades


def test_one_digit_of_one_trade_is_seen(tmp_path: Path) -> None:
    trades = recorded(CAPTURES / NAMES[0])
    names = list(dict.fromkeys(trade[0] for trade in trades))
    for suffix in ("recv.jsonl", "recv.times"):
        shutil.copy(CAPTURES / f"{NAMES[0]}.{suffix}", tmp_path)
    file = tmp_path / f"{NAMES[0]}.recv.jsonl"
    price = '"tradeId":"6845127","px":"'
    text = file.read_text("utf-8")
    at = text.index(price) + len(price)
    file.write_text(text[:at] + str((int(text[at]) + 1) % 10) + text[at + 1 :], "utf-8")

    told = followed(tmp_path / NAMES[0], names, len(trades))

    wrong = [mine for mine, theirs in zip(told, trades, strict=True) if mine != theirs]
    assert [each[1] for each in wrong] == ["6845127"]
