"""What a user writes by hand on a WebSocket library: inflate, parse, keep the latest.

The loops do no more than they must: no check of levels, no bound, no reconnect, and no
ping, since no round is as long as the exchange waits for one. The changes of a whole
book are merged by their sequence into two dicts, which are sorted when they are read.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import ssl
import threading
import zlib
from collections.abc import Callable
from typing import Any

from tests.benchmarks.contestant import Contestant, Looped, Spec, Threaded


class Hand(Contestant):
    """What all these loops share: from the payload of a frame to the latest."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.latest: Any = None
        self._sides: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        self._seq: int | None = None
        self._loads: Callable[[Any], Any] = json.loads
        if spec.parser == "orjson":
            self._loads = importlib.import_module("orjson").loads
        self.take = self._taker()

    @property
    def url(self) -> str:
        """Where the socket is."""
        return self.spec.url + ("" if self.spec.protocol == "v3" else "/public")

    @property
    def request(self) -> str:
        """The subscribe."""
        spec = self.spec
        arg: object = {"channel": spec.channel, "instId": spec.instrument_id}
        if spec.protocol == "v3":
            arg = f"{spec.market}/{spec.channel}:{spec.instrument_id}"
        return json.dumps({"op": "subscribe", "args": [arg]})

    @property
    def requests(self) -> list[str]:
        """All that is sent to subscribe."""
        return [self.request]

    def tls(self) -> ssl.SSLContext | None:
        """The system's trust store, as every library here has it by default."""
        return ssl.create_default_context() if self.url[:3] == "wss" else None

    def _taker(self) -> Callable[[Any], None]:
        """What is done with each payload; without a branch that its stream has not."""
        loads, inflate = self._loads, zlib.decompress
        merge = self._merge if self.spec.channel == "books" else None

        def take(payload: Any) -> None:
            message = loads(payload)
            if "data" in message:
                self.latest = message["data"][0]
                if merge is not None:
                    merge(message["action"], self.latest)
                self.messages += 1
                if self.note is not None:
                    self.note()

        def take_deflated(payload: Any) -> None:
            message = loads(inflate(payload, -15))
            if "data" in message:
                self.latest = message["data"][0]
                self.messages += 1
                if self.note is not None:
                    self.note()

        return take_deflated if self.spec.protocol == "v3" else take

    def _merge(self, action: str, element: Any) -> None:
        if action == "snapshot":
            self._sides = {}, {}
        elif element["prevSeqId"] != self._seq:
            raise ValueError("something is missing")
        self._seq = element["seqId"]
        for side, name in zip(self._sides, ("bids", "asks"), strict=True):
            for row in element[name]:
                if row[1] == "0":
                    side.pop(row[0], None)
                else:
                    side[row[0]] = row

    def read(self) -> Any:
        """The latest; of a whole book the five best."""
        if self.spec.channel != "books" or self.latest is None:
            return self.latest
        bids, asks = self._sides
        return {
            "bids": [bids[p] for p in sorted(bids, key=float, reverse=True)[:5]],
            "asks": [asks[p] for p in sorted(asks, key=float)[:5]],
        }


class Websockets(Hand, Looped):
    """`websockets`, its asyncio client."""

    async def follow(self) -> None:
        """Its ``async for``."""
        connect = importlib.import_module("websockets.asyncio.client").connect
        take = self.take
        async with connect(self.url) as socket:
            for request in self.requests:
                await socket.send(request)
            async for message in socket:
                take(message)


class WebsocketsSync(Hand, Threaded):
    """`websockets`, its client for threads."""

    def start(self) -> None:
        """Its ``for``, on a thread."""
        connect = importlib.import_module("websockets.sync.client").connect
        self._socket = connect(self.url)
        for request in self.requests:
            self._socket.send(request)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        take = self.take
        for message in self._socket:
            take(message)

    def close(self) -> None:
        """Ends the thread too."""
        self._socket.close()
        self._thread.join()


class Aiohttp(Hand, Looped):
    """`aiohttp`, its client."""

    async def follow(self) -> None:
        """Its ``async for``."""
        aiohttp = importlib.import_module("aiohttp")
        take = self.take
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self.url) as socket,
        ):
            for request in self.requests:
                await socket.send_str(request)
            async for message in socket:
                take(message.data)


class Picows(Hand, Looped):
    """`picows`, its listener, which is given frames as views of its buffer."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        if spec.options.get("uvloop"):
            uvloop = importlib.import_module("uvloop")
            asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def follow(self) -> None:
        """Connect, and have the listener do the rest."""
        picows = importlib.import_module("picows")
        take, requests = self.take, [each.encode() for each in self.requests]
        text = picows.WSMsgType.TEXT
        # json.loads takes no view.
        copied = self.spec.parser == "json" and self.spec.protocol == "v5"

        class Listener(picows.WSListener):  # type: ignore[misc,name-defined]
            def on_ws_connected(self, transport: Any) -> None:
                for request in requests:
                    transport.send(text, request)

            if copied:

                def on_ws_frame(self, transport: Any, frame: Any) -> None:
                    take(frame.get_payload_as_bytes())
            else:

                def on_ws_frame(self, transport: Any, frame: Any) -> None:
                    take(frame.get_payload_as_memoryview())

        transport, _ = await picows.ws_connect(
            Listener, self.url, ssl_context=self.tls()
        )
        try:
            await transport.wait_disconnected()
        finally:
            transport.disconnect()
