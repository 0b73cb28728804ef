"""A frame of each kind of channel of v3, and readers for deflated and plain frames."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.protocol.messages import DepthData, Message, Push
from okex_ws.protocol.v3 import PROTOCOL

DEPTH5 = (
    '{"table":"spot/depth5","data":[{"asks":[["10.2","1","2"],["10.30","0.5","1"]],'
    '"bids":[["10.1","2","1"],["9","1","4"],["8.90","7","1"]],'
    '"instrument_id":"AB-USDT","timestamp":"2022-02-25T00:00:01.032Z"}]}'
)
DEPTH = (
    '{"table":"option/depth_l2_tbt","action":"update","data":[{"instrument_id":'
    '"ETH-USD-210430-2440-P","asks":[],"bids":[["0.0555","451","0","1"],'
    '["0.055","0","0","0"]],"timestamp":"2021-04-17T16:50:02.482Z",'
    '"checksum":338594214}]}'
)
TRADE = (
    '{"table":"spot/trade","data":[{"side":"buy","trade_id":"3175832",'
    '"price":"0.01529","size":"100.71","instrument_id":"RNT-USDT",'
    '"timestamp":"2021-04-17T16:50:02.084Z"}]}'
)
TICKER = (
    '{"table":"spot/ticker","data":[{"last":"0.01529","open_24h":"0.01444",'
    '"best_bid":"0.01527","high_24h":"0.01666","low_24h":"0.01419",'
    '"open_utc0":"0.01585","open_utc8":"0.01493","base_volume_24h":"21074770.45",'
    '"quote_volume_24h":"332385.19","best_ask":"0.01563",'
    '"instrument_id":"RNT-USDT","timestamp":"2021-04-17T16:49:46.174Z",'
    '"best_bid_size":"4454.17","best_ask_size":"5850.57","last_qty":"115.3"}]}'
)
CANDLE = (
    '{"table":"spot/candle60s","data":[{"candle":["2019-04-16T10:49:00.000Z",'
    '"162.03","162.04","161.96","161.98","336.452694"],"instrument_id":"ETH-USDT"}]}'
)
FUNDING = (
    '{"table":"swap/funding_rate","data":[{"estimated_rate":"0.00065",'
    '"funding_rate":"0.00072933","funding_time":"2021-04-02T00:00:00.000Z",'
    '"instrument_id":"BTC-USD-SWAP","interest_rate":"0",'
    '"settlement_time":"2021-04-02T08:00:00.000Z"}]}'
)


def deflate(data: str | bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    raw = data.encode() if isinstance(data, str) else data
    return stream.compress(raw) + stream.flush()


def decode(text: str) -> tuple[Message, ...]:
    """Decode *text* deflated, as the exchange sends it, and plain; both must agree."""
    messages = PROTOCOL.decode(deflate(text), True)
    assert PROTOCOL.decode(text.encode(), False) == messages
    return messages


def push(text: str) -> Push:
    (message,) = decode(text)
    assert isinstance(message, Push)
    assert message.text == text
    return message


def depth(text: str) -> DepthData:
    (element,) = push(text).elements
    return PROTOCOL.depth(element)


def refusal(call: Any, *arguments: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        call(*arguments)
    assert len(caught.value.detail) <= 300
    assert caught.value.detail.isprintable()
    return caught.value
