"""A frame of each kind of channel of v5, as documented, and functions that read one."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.protocol.messages import Message, Push
from okex_ws.protocol.v5 import PROTOCOL

BOOKS5 = (
    '{"arg":{"channel":"books5","instId":"AB-USDT"},"data":[{"asks":[["10.2","1","0",'
    '"2"],["10.30","0.5","0","1"]],"bids":[["10.1","2","0","1"],["9","1","0","4"]],'
    '"instId":"AB-USDT","ts":"1786541241006","seqId":333794734980}]}'
)
TRADES = (
    '{"arg":{"channel":"trades","instId":"AB-USDT"},"data":[{"instId":"AB-USDT",'
    '"tradeId":"2832749635","px":"63913.50","sz":"1","side":"buy",'
    '"ts":"1786540435948","count":"3","source":"0","seqId":333793117432}]}'
)
TICKERS = (
    '{"arg":{"channel":"tickers","instId":"UNI-USD-SWAP"},"data":[{"instType":"SWAP",'
    '"instId":"UNI-USD-SWAP","last":"5.123","lastSz":"100","askPx":"5.142",'
    '"askSz":"25","bidPx":"5.134","bidSz":"96","open24h":"4.799","high24h":"5.458",'
    '"low24h":"4.537","sodUtc0":"4.654","sodUtc8":"5.204","volCcy24h":"577730.7823",'
    '"vol24h":"289425","ts":"1652459223143"}]}'
)
CANDLE = (
    '{"arg":{"channel":"candle1D","instId":"AB-USDT"},"data":[["1597026383085",'
    '"8533.02","8553.74","8527.17","8548.26","45247","529.5858061","5529.5858061",'
    '"0"]]}'
)
FUNDING = (
    '{"arg":{"channel":"funding-rate","instId":"AB-USD-SWAP"},"data":[{"instType":'
    '"SWAP","instId":"AB-USD-SWAP","method":"current_period","fundingRate":'
    '"-0.0001875391284830","nextFundingRate":"","fundingTime":"1786550400000",'
    '"nextFundingTime":"1786579200000","ts":"1786541241006"}]}'
)
BOOKS = (
    '{"arg":{"channel":"books","instId":"AB-USDT"},"action":"update","data":[{"asks":'
    '[["8476.98","0","0","0"]],"bids":[],"ts":"1597026383085","checksum":0,'
    '"prevSeqId":123456,"seqId":123457}]}'
)
FRAMES = [BOOKS5, TRADES, TICKERS, CANDLE, FUNDING, BOOKS]


def decode(text: str) -> tuple[Message, ...]:
    return PROTOCOL.decode(text.encode(), False)


def push(text: str) -> Push:
    (message,) = decode(text)
    assert isinstance(message, Push)
    assert message.text == text
    return message


def element(text: str, **changes: Any) -> Any:
    """The only element of a frame, decoded, with *changes* made to it."""
    (decoded,) = push(text).elements
    return {**decoded, **changes} if isinstance(decoded, dict) else decoded


def refusal(call: Any, *arguments: Any) -> WireError:
    with pytest.raises(WireError) as caught:
        call(*arguments)
    assert len(caught.value.detail) <= 300
    assert caught.value.detail.isprintable()
    return caught.value
