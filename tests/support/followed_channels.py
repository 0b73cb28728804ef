"""Channels of v3 on an open connection, and a follower that notes what it is told."""

from __future__ import annotations

from typing import Any

from okex_ws.channels.base import Channel
from okex_ws.channels.reading import Reading
from okex_ws.channels.series import KINDS
from okex_ws.model.items import Item
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.trust.lease import Era

TIME_MS = 1645747201032
WALL = 1645747201.5
SPOT, SWAP = ("spot", "BTC-USDT"), ("swap", "BTC-USD-SWAP")
NAMES = {
    "depth": V3.channel("depth5", *SPOT),
    "book": V3.channel("depth", *SPOT),
    "ticker": V3.channel("ticker", *SPOT),
    "trade": V3.channel("trade", *SPOT),
    "candle": V3.channel("candle60s", *SPOT),
    "funding": V3.channel("funding_rate", *SWAP),
    "data": V3.raw_channel("mark_price", *SWAP),
}


class Follower:
    """Notes, in order, the texts, the items and the calls of `tell` that it gets."""

    wants_pushes = wants_data = wants_items = True

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.callbacks: Any = self

    def drain(self) -> None:
        """Deliver nothing: all was noted at once."""

    def pushed(self, reading: Reading, text: str, now: float) -> None:
        self.heard.append(text)

    def add(self, topic: str, item: Item) -> None:
        self.heard.append((topic, item))

    add_repeated = add

    def tell(self, now: float) -> None:
        self.heard.append("tell")

    def take(self) -> list[Any]:
        """What was noted since the last call."""
        heard, self.heard = self.heard, []
        return heard


def iso(time_ms: int) -> str:
    """A time of v3, of the eight seconds from `TIME_MS` on."""
    second = time_ms // 1000 - TIME_MS // 1000
    assert 0 <= second <= 8
    return f"2022-02-25T00:00:0{second + 1}.{time_ms % 1000:03}Z"


def depth(bid: str = "10.1", time_ms: int = TIME_MS) -> dict[str, Any]:
    return {"bids": [[bid, "2", "1"]], "asks": [], "timestamp": iso(time_ms)}


def ticker(last: str) -> dict[str, Any]:
    return {"last": last, "timestamp": iso(TIME_MS)}


def made(kind: str) -> tuple[Any, Follower, Era]:
    """A channel of *kind* on an open connection, its follower, and its era."""
    channel = KINDS[kind](V3, NAMES[kind])
    follower, link = Follower(), Era(0.0)
    channel.followers = (follower,)
    channel.opened(link, 0.0)
    follower.take()
    return channel, follower, link


def push(
    channel: Channel,
    *elements: Any,
    link: Era,
    first: bool = False,
    now: float = 1.0,
    wall: float = WALL,
) -> None:
    """Bring *elements* to the channel in one push."""
    channel.push(Push(channel.name, [*elements], "text", None), first, link, now, wall)


def flowing(kind: str, element: dict[str, Any]) -> tuple[Any, Follower, Era]:
    """A channel as of `made`, acknowledged and pushed once."""
    channel, follower, link = made(kind)
    channel.subscribed(link, 0.0)
    push(channel, element, link=link, first=True)
    follower.take()
    return channel, follower, link
