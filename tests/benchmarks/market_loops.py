"""What a user writes by hand to follow a market: the newest depths, the last trades.

Each of the loops of `loops`, with one connection and as many requests as the library
makes for the same channels. They parse every message; `RawPicows` keeps the bytes, and
parses what is read.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.benchmarks.contestant import Spec
from tests.benchmarks.loops import Aiohttp, Hand, Picows, Websockets
from tests.benchmarks.market_reading import Follower

CHANNELS = ("books5", "trades")
# Of each instrument. (The library keeps as many.)
KEPT = 1000
# Bytes of a request: what the library uses of the documented 64 KB.
REQUEST = 32_768


class MarketHand(Follower, Hand):
    """What these loops share: from the payload of a frame to what is kept."""

    def __init__(self, spec: Spec) -> None:
        self.depths: dict[str, Any] = {}
        self.trades: dict[str, deque[Any]] = {
            name: deque(maxlen=KEPT) for name in spec.options["names"]
        }
        super().__init__(spec)

    @property
    def requests(self) -> list[str]:
        """The subscribes, each with as many channels as it may have."""
        arguments = [
            json.dumps({"channel": channel, "instId": name}, separators=(",", ":"))
            for name in self.names
            for channel in CHANNELS
        ]
        return [
            '{"op":"subscribe","args":[' + ",".join(some) + "]}"
            for some in batches(arguments, REQUEST - 64)
        ]

    def _taker(self) -> Callable[[Any], None]:
        loads, depths, trades = self._loads, self.depths, self.trades

        def take(payload: Any) -> None:
            message = loads(payload)
            data = message.get("data")
            if data is None:
                return
            arg = message["arg"]
            if arg["channel"] == "books5":
                depths[arg["instId"]] = data[0]
            else:
                trades[arg["instId"]].extend(data)
            self.messages += 1

        return take

    def depth(self, name: str) -> Any:
        """The newest, or ``None``."""
        return self.depths.get(name)

    def last_trades(self, name: str) -> list[Any]:
        """The newest, newest last."""
        return list(self.trades[name])

    def look(self, name: str) -> Any:
        """The first rows of the newest depth."""
        depth = self.depth(name)
        return depth and (depth["bids"][0], depth["asks"][0])

    def left(self, name: str) -> dict[str, Any]:
        """Out of what is kept."""
        depth = self.depth(name)
        return {
            "levels": [
                [[float(row[0]), float(row[1])] for row in depth[side]]
                for side in ("bids", "asks")
            ],
            "trades": [
                [int(each["tradeId"]), float(each["px"]), float(each["sz"])]
                for each in self.last_trades(name)
            ],
        }


def batches(arguments: list[str], most: int) -> list[list[str]]:
    """*arguments* in their order, in lists that, joined, have *most* characters."""
    made: list[list[str]] = [[]]
    size = 0
    for each in arguments:
        if made[-1] and size + len(each) + 1 > most:
            made.append([])
            size = 0
        made[-1].append(each)
        size += len(each) + 1
    return made


class MarketWebsockets(MarketHand, Websockets):
    """`websockets`, its asyncio client."""


class MarketAiohttp(MarketHand, Aiohttp):
    """`aiohttp`, its client."""


class MarketPicows(MarketHand, Picows):
    """`picows`, on asyncio or on uvloop."""


class RawPicows(MarketHand, Picows):
    """`picows` that parses only what is read: the rest stays as it came.

    What a push is of, its beginning says: what stands before ``"data"`` is parsed once,
    the first time that it comes.
    """

    def __init__(self, spec: Spec) -> None:
        # The newest push of a depth, and those of trades, by their beginning.
        self.newest: dict[bytes, bytes] = {}
        self.pushes: dict[bytes, deque[bytes]] = {}
        # The beginnings, by instrument.
        self.depth_heads: dict[str, bytes] = {}
        self.trade_heads: dict[str, bytes] = {}
        super().__init__(spec)

    def _taker(self) -> Callable[[Any], None]:
        newest, pushes, learn = self.newest, self.pushes, self._learn

        def take(payload: Any) -> None:
            text = bytes(payload)
            head = text[: text.find(b'"data"')]
            if head in newest:
                newest[head] = text
            elif (kept := pushes.get(head)) is not None:
                kept.append(text)
            elif not learn(head, text):
                return
            self.messages += 1

        return take

    def _learn(self, head: bytes, text: bytes) -> bool:
        message = self._loads(text)
        if "data" not in message:
            return False
        arg = message["arg"]
        if arg["channel"] == "books5":
            self.depth_heads[arg["instId"]] = head
            self.newest[head] = text
        else:
            self.trade_heads[arg["instId"]] = head
            self.pushes[head] = deque((text,), maxlen=KEPT)
        return True

    def depth(self, name: str) -> Any:
        """Parsed at each read."""
        head = self.depth_heads.get(name)
        return head and self._loads(self.newest[head])["data"][0]

    def last_trades(self, name: str) -> list[Any]:
        """Parsed at each read."""
        pushes = self.pushes[self.trade_heads[name]]
        return [each for text in pushes for each in self._loads(text)["data"]]
