"""Three released libraries for OKX, each used as its own examples do.

Each is given an address, the authority to trust and the one market; none asks the
exchange's REST interface. `python-okx` and `cryptofeed` speak TLS only. `cryptofeed`
follows only the channel ``books``: in place of ``books5`` it is sent each depth as a
snapshot of ``books``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from importlib import import_module
from typing import Any

from tests.benchmarks.contestant import Looped, Spec
from tests.benchmarks.loops import Hand


class PythonOkx(Hand, Looped):
    """`python-okx`, which hands its user the text: what he does with it is by hand."""

    async def follow(self) -> None:
        """Connect, subscribe, and wait for the task that calls back."""
        spec = self.spec
        module = import_module("okx.websocket.WsPublicAsync")
        socket = module.WsPublicAsync(url=self.url)
        task = await socket.start()
        arg = {"channel": spec.channel, "instId": spec.instrument_id}
        await socket.subscribe([arg], self.take)
        try:
            await task
        finally:
            await socket.stop()


class Ccxt(Looped):
    """`ccxt` pro: ``watch_order_book`` in a loop.

    Its book is one object that goes on changing. A message is one that it has handled:
    the loop of its user may see several at once.
    """

    latest: Any = None

    async def follow(self) -> None:
        """Watch, for ever."""
        name, books = self.spec.instrument_id, self.spec.channel == "books"
        exchange = self._exchange()
        try:
            while True:
                self.latest = await exchange.watch_order_book(
                    name, None if books else 5
                )
                if self.note is not None:
                    self.note()
        finally:
            await exchange.close()

    def _exchange(self) -> Any:
        contestant = self
        okx = import_module("ccxt.pro").okx

        class Counting(okx):  # type: ignore[misc,valid-type]
            def handle_order_book(self, client: Any, message: Any) -> Any:
                contestant.messages += 1
                return super().handle_order_book(client, message)

        name = self.spec.instrument_id
        exchange = Counting({"cafile": os.environ["SSL_CERT_FILE"]})
        exchange.urls["api"]["ws"] = self.spec.url
        market = {"id": name, "symbol": name, "base": "", "quote": "", "spot": True}
        exchange.set_markets([market])
        return exchange

    def read(self) -> Any:
        """The book."""
        return self.latest


class Cryptofeed(Looped):
    """`cryptofeed`: its OKX feed, and a callback for books."""

    latest: Any = None

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        # It would have the loop of whoever runs it be this one's.
        uvloop = import_module("uvloop")
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def follow(self) -> None:
        """Start the feed, whose handler connects by itself."""
        feed = self._feed()
        feed.start(asyncio.get_running_loop())
        try:
            await asyncio.Event().wait()
        finally:
            feed.stop()
            # What it logs at an end is no news.
            logging.disable()
            await feed.shutdown()

    def _feed(self) -> Any:
        okx = import_module("cryptofeed.exchanges.okx").OKX
        symbols = import_module("cryptofeed.symbols").Symbols
        connection = import_module("cryptofeed.connection")
        name = self.spec.instrument_id
        # Else it asks the exchange for them.
        symbols.set(okx.id, {name: name}, {"instrument_type": {}})

        address, options = f"{self.spec.url}/public", {"compression": None}
        endpoints = [connection.WebsocketEndpoint(address, options=options)]
        # The class keeps its addresses.
        feed = type("Feed", (okx,), {"websocket_endpoints": endpoints})
        return feed(
            symbols=[name], channels=["l2_book"], callbacks={"l2_book": self._on_book}
        )

    async def _on_book(self, book: Any, _: float) -> None:
        self.latest = book.book
        self.messages += 1
        if self.note is not None:
            self.note()

    def read(self) -> Any:
        """Its book, which C sorts when it is asked for levels."""
        return self.latest

    def best(self, depth: Any) -> tuple[Any, Any]:
        """The sizes of the best bid and of the best ask."""
        return depth.bids.index(0)[1], depth.asks.index(0)[1]

    def levels(self, depth: Any) -> tuple[Any, Any]:
        """Price and size of the five best bids and asks."""
        return depth.bids.to_list()[:5], depth.asks.to_list()[:5]
