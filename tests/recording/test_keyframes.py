"""Keyframes: a book in the form of a push that the exchange never sent."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws.base.errors import ChecksumMismatch
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.pool.options import WIRE_PROTOCOLS
from okex_ws.protocol.messages import DepthData, Push
from okex_ws.recording.keyframes import MADE, digest_of, made_push

KEYS = {
    "v5": ["books:BTC-USDT", "sprd-books-l2-tbt:sprdId=BTC-USDT_BTC-USDT-SWAP"],
    "v3": ["spot/depth_l2_tbt:BTC-USDT"],
}
BIDS = tuple((f"{100 - n}.5", f"{n + 1}", "0", "1") for n in range(40))
ASKS = tuple((f"{101 + n}.0", "0.001", "0", "2") for n in range(30))
CASES = [(protocol, key) for protocol, keys in KEYS.items() for key in keys]


def read_back(protocol: str, text: str) -> tuple[Push, Any]:
    wire = WIRE_PROTOCOLS[protocol]
    (push,) = wire.read(text.encode())
    assert isinstance(push, Push)
    (element,) = push.elements
    return push, element


@pytest.mark.parametrize(("protocol", "key"), CASES)
def test_a_book_is_read_back_level_by_level(protocol: str, key: str) -> None:
    seq = 77 if protocol == "v5" else None
    text = made_push(protocol, key, DepthData(BIDS, ASKS, 1_700_000_000_123, seq), True)

    push, element = read_back(protocol, text)
    assert (push.channel, push.text) == (key, text)
    data = WIRE_PROTOCOLS[protocol].book(element, push.action)
    assert data.whole
    assert (data.time_ms, data.seq) == (1_700_000_000_123, seq)
    assert BookBuilder().take(data) == (BIDS, ASKS)
    assert text.startswith(MADE)


@pytest.mark.parametrize(("protocol", "key"), CASES)
def test_one_digit_of_it_and_it_is_no_book(protocol: str, key: str) -> None:
    depth = DepthData(BIDS, ASKS, 1_700_000_000_123, None)
    text = made_push(protocol, key, depth, True).replace('"99.5"', '"99.4"')

    push, element = read_back(protocol, text)
    data = WIRE_PROTOCOLS[protocol].book(element, push.action)
    with pytest.raises(ChecksumMismatch):
        BookBuilder().take(data)
    assert digest_of(text.encode()) != digest_of(text.replace("1", "2", 1).encode())


@pytest.mark.parametrize(
    ("protocol", "key"), [("v5", "books5:BTC-USDT"), ("v3", "spot/depth5:BTC-USDT")]
)
def test_a_depth_is_read_back_too(protocol: str, key: str) -> None:
    bids, asks = [list(each) for each in BIDS[:5]], [list(each) for each in ASKS[:5]]
    text = made_push(protocol, key, DepthData(bids, asks, 1_700_000_000_000, 5), False)

    push, element = read_back(protocol, text)
    assert (push.channel, push.action) == (key, None)
    data = WIRE_PROTOCOLS[protocol].depth(element)
    assert (data.bids, data.asks, data.time_ms) == (bids, asks, 1_700_000_000_000)
