"""Who may ask for how much of the past, and what is said to those who may not."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import History
from okex_ws.history.source import MOST, check_history, is_joinable
from okex_ws.protocol.messages import ChannelName
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.support.fake_history import Past


def names(*topics: str, wire: Any = V5) -> dict[str, ChannelName]:
    return {topic: wire.channel(topic, "spot", "BTC-USDT") for topic in topics}


def test_candles_and_single_trades_are_joined() -> None:
    found = names("candle60s", "trades-all", "trade", "depth5", "ticker")

    assert [topic for topic, name in found.items() if is_joinable(name)] == [
        "candle60s",
        "trades-all",
    ]


@pytest.mark.parametrize("history", [0, 1, 500, MOST])
def test_so_many_may_be_asked_for(history: int) -> None:
    check_history(history, names("candle60s", "depth5", "trades-all"))
    check_history(history, names("candle60s", wire=V3))


@pytest.mark.parametrize("history", [True, "5", 5.0, [5]])
def test_it_is_a_whole_number(history: object) -> None:
    with pytest.raises(TypeError, match="history is a whole number or None"):
        check_history(history, names("candle60s"))


@pytest.mark.parametrize("history", [-1, MOST + 1, 10**100])
def test_it_has_bounds(history: int) -> None:
    with pytest.raises(ValueError, match="history is 0 to 10000"):
        check_history(history, names("candle60s"))


@pytest.mark.parametrize("history", [0, 5])
def test_there_is_something_to_be_joined(history: int) -> None:
    with pytest.raises(ValueError, match="candles and 'trades-all'"):
        check_history(history, names("depth5", "ticker"))
    with pytest.raises(ValueError, match="Take 'trades-all' in its place"):
        check_history(history, names("depth5", "trade"))


def test_aggregated_trades_cannot_be_joined_exactly() -> None:
    beside = names("candle60s", "trade")

    check_history(0, beside)
    with pytest.raises(ValueError, match="history=5 cannot be had of channel 'trade'"):
        check_history(5, beside)


def test_a_source_needs_no_base_class() -> None:
    source: History = Past()

    assert source.trades("BTC-USDT", "spot") == ()


def test_trades_of_a_spread_have_no_past_beside_its_candles() -> None:
    spread = "BTC-USDT_BTC-USDT-SWAP"
    both = {each: V5.channel(each, "spread", spread) for each in ("candle60s", "trade")}

    check_history(0, both)
    with pytest.raises(ValueError, match="spread"):
        check_history(5, both)


def test_trades_of_a_spread_alone_have_no_past() -> None:
    channel = V5.channel("trade", "spread", "BTC-USDT_BTC-USDT-SWAP")

    with pytest.raises(ValueError, match="history= cannot be had of the trades of a"):
        check_history(5, {"trade": channel})
