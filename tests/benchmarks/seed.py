"""The class that this project began with, rebuilt from its description.

The benchmark adds an address to connect to, a count, and a way to end it. For TLS
websocket-client takes its authorities from WEBSOCKET_CLIENT_CA_BUNDLE.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import websocket

from tests.benchmarks.contestant import Threaded

last_pong = 0.0


class SeedSubscription:
    """`WSSubscription` as the seed had it, on the pin's ``WebSocketApp``."""

    def __init__(
        self,
        instrument_id: str = "BTC-USD-190517",
        market: str = "futures",
        on_message: Callable[[str], object] | None = None,
        *,
        url: str = "wss://real.okex.com:10442/ws/v3",
    ) -> None:
        self._instrument_id = instrument_id
        self._market = market
        self._on_message = on_message
        self._url = url
        self._depth: dict[str, Any] = {}
        self._app: Any = None
        self._over = threading.Event()
        self._pings: threading.Thread | None = None
        self.messages = 0
        self._thread = threading.Thread(target=self.sub, daemon=True)
        self._thread.start()

    def sub(self) -> None:
        """Connect, once, and run until the end."""
        self._app = websocket.WebSocketApp(
            self._url,
            on_open=self.on_open,
            on_message=self.message_handling,
            on_error=self.error_handling,
            on_close=self.closing,
        )
        self._app.run_forever()

    def on_open(self, ws: Any) -> None:
        """Subscribe and ping, on a thread of their own."""

        def run() -> None:
            for topic in ("depth5", "trade"):
                channel = f"{self._market}/{topic}:{self._instrument_id}"
                ws.send(json.dumps({"op": "subscribe", "args": [channel]}))
            while not self._over.is_set():
                ws.send("ping")
                self._over.wait(30)

        self._pings = threading.Thread(target=run, daemon=True)
        self._pings.start()

    def message_handling(self, ws: Any, message: bytes) -> None:
        """Inflate; note a pong; keep a depth; call the callback."""
        global last_pong
        text = zlib.decompress(message, -zlib.MAX_WBITS).decode("utf-8")
        self.messages += 1
        if "pong" in text:
            last_pong = time.time()
        if "asks" in text and "bids" in text:
            self._depth = json.loads(text)["data"][0]
        if self._on_message is not None:
            self._on_message(text)

    def error_handling(self, ws: Any, error: Exception) -> None:
        """The seed printed it; here the end of a round is no news."""

    def closing(self, ws: Any) -> None:
        """The seed printed it."""

    def GetDepth(self) -> dict[str, Any]:  # noqa: N802 - the user's own name
        """The last depth that came, however old; ``{}`` before the first."""
        return self._depth

    def close(self) -> None:
        """End the round: the thread that waits in `recv` leaves with the socket."""
        self._over.set()
        if self._app is not None:
            self._app.keep_running = False
            # Not close(), which takes the data that still comes for a close frame.
            with contextlib.suppress(OSError):
                self._app.sock.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        if self._pings is not None:
            self._pings.join(5)


class Seed(Threaded):
    """That class as a contestant; its callback does next to nothing."""

    def start(self) -> None:
        """Make one, which connects."""
        spec = self.spec
        self.calls = 0
        told = spec.options.get("on_message", False) or self.note
        self._subscription = SeedSubscription(
            spec.instrument_id,
            spec.market,
            self._on_message if told else None,
            url=spec.url,
        )
        self.read = self._subscription.GetDepth  # type: ignore[method-assign]

    def _on_message(self, text: str) -> None:
        self.calls += 1
        # It is told of acknowledgements, too.
        if self.note is not None and self._subscription.GetDepth():
            self.note()

    def count(self) -> int:
        """As the class counts them."""
        return self._subscription.messages

    def close(self) -> None:
        """End the connection, and both threads."""
        self._subscription.close()
