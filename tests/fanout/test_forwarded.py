"""The protocols of the exchange as a reader of a producer hears them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.base.state import Cause, CauseCode, State
from okex_ws.fanout.forwarded import (
    ForwardedV3,
    ForwardedV5,
    forwarded,
    note,
    requested,
)
from okex_ws.protocol.messages import (
    Acknowledged,
    Message,
    Push,
    Unsubscribed,
    Vouched,
    Withheld,
)

WHY = Cause(CauseCode.PONG, "no pong", "wss://x", exchange_code=4004, new_id="B")
NOTES: list[Message] = [
    Acknowledged("books5:BTC-USDT"),
    Unsubscribed("books5:BTC-USDT"),
    Vouched(0.1 + 0.2, 1e9 + 1 / 3, 1.25, 15.0, WHY),
    Withheld(("books5:BTC-USDT", "trades:BTC-USDT"), State.STALE, WHY),
]
DEPTH = {
    "arg": {"channel": "books5", "instId": "BTC-USDT"},
    "data": [{"asks": [], "bids": [], "ts": "1629966436396", "seqId": 1}],
}


@pytest.mark.parametrize("wire", [forwarded("v5"), forwarded("v3")])
@pytest.mark.parametrize("said", NOTES, ids=lambda said: type(said).__name__)
def test_a_note_is_read_as_what_it_was_made_of(
    wire: ForwardedV5 | ForwardedV3, said: Message
) -> None:
    assert wire.read(note(said)) == (said,)


@pytest.mark.parametrize(
    "text", [b"\0", b"\0{}", b'\0["Push"]', b'\0["Vouched",1]', b'\0["Withheld",1,2,3]']
)
def test_a_note_that_nothing_made_is_refused(text: bytes) -> None:
    with pytest.raises(WireError):
        forwarded("v5").read(text)


def test_a_text_is_read_as_the_exchanges_own() -> None:
    wire = forwarded("v5")
    text = json.dumps(DEPTH).encode()

    (push,) = wire.read(wire.framed("books5:BTC-USDT", text))

    assert isinstance(push, Push)
    assert (push.channel, push.text) == ("books5:BTC-USDT", text.decode())


def test_of_a_text_of_several_channels_v3_reads_the_one_that_it_came_as() -> None:
    wire = forwarded("v3")
    row = {"asks": [], "bids": [], "timestamp": "2019-04-16T10:26:36.123Z"}
    message: dict[str, Any] = {
        "table": "spot/depth5",
        "data": [{**row, "instrument_id": name} for name in ("BTC-USDT", "ETH-USDT")],
    }
    text = json.dumps(message).encode()

    said = wire.read(wire.framed("spot/depth5:ETH-USDT", text))

    assert [p.channel for p in said if isinstance(p, Push)] == ["spot/depth5:ETH-USDT"]
    assert wire.head(wire.framed("spot/depth5:ETH-USDT", text)) is None


def test_a_request_says_what_it_asks_for() -> None:
    wire = forwarded("v5")

    text, carried = wire.request("subscribe", ["a:b", "c:d"], 7)

    assert requested(text) == ("subscribe", ["a:b", "c:d"])
    assert carried == ("a:b", "c:d")
    assert requested(wire.PING) == ("ping", [])


def test_all_channels_share_a_path_and_a_private_one_has_none() -> None:
    wire = forwarded("v5")

    assert wire.path("books5:BTC-USDT") == wire.path("candle1m:BTC-USDT")
    assert not wire.is_deep("books:BTC-USDT")
    assert wire.url("redis://x", wire.path("books5:X")) == "redis://x"
    with pytest.raises(ValueError, match="never published"):
        wire.path(wire.raw({"channel": "account"}).key)
