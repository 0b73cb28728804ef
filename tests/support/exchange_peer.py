"""An independent client of the exchange: websockets, zlib and json.

It uses no protocol code of the library.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from okex_ws import Credentials
from okex_ws.local_exchange import LocalExchange

TIMEOUT = 10.0


class Peer:
    """One connection that speaks v3; every wait on it ends with a ``TimeoutError``."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def ask(self, op: str, *channels: str) -> None:
        self.socket.send(json.dumps({"op": op, "args": channels}))

    def frame(self) -> bytes:
        frame = self.socket.recv(TIMEOUT)
        assert isinstance(frame, bytes)
        return frame

    def text(self) -> str:
        """The next message: one complete raw-deflate stream, with nothing after it."""
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        text = unpacker.decompress(self.frame())
        assert unpacker.eof
        assert not unpacker.unused_data
        return text.decode()

    def message(self) -> dict[str, Any]:
        message = json.loads(self.text())
        assert isinstance(message, dict)
        return message

    def until(self, **wanted: object) -> dict[str, Any]:
        """The next message with these fields; the messages before it are dropped."""
        while True:
            message = self.text()
            if message == "pong":
                continue
            found: dict[str, Any] = json.loads(message)
            if wanted.items() <= found.items():
                return found

    def end(self) -> tuple[int | None, str]:
        """Wait for the end of the connection; return its close code and reason."""
        try:
            while True:
                self.socket.recv(TIMEOUT)
        except TimeoutError:
            raise
        except Exception:
            return self.socket.close_code, self.socket.close_reason or ""


class PeerV5(Peer):
    """One connection that speaks v5: every message is a text frame."""

    def ask(self, op: str, *args: Any, named: str | None = None) -> None:
        request = {"op": op, "args": args}
        self.socket.send(
            json.dumps(request if named is None else {"id": named} | request)
        )

    def text(self) -> str:
        text = self.socket.recv(TIMEOUT)
        assert isinstance(text, str)
        return text

    def event(self) -> dict[str, Any]:
        """The next message, which must be an event, without the connection's id."""
        event = self.message()
        assert len(bytes.fromhex(event.pop("connId"))) == 4
        return event

    def data(self, channel: str) -> dict[str, Any]:
        """The next element that is pushed on *channel*."""
        while True:
            message = self.message()
            if "data" in message and message["arg"]["channel"] == channel:
                (element,) = message["data"]
                return element


def about(channel: str, instrument_id: str = "BTC-USDT") -> dict[str, str]:
    """The v5 argument of *channel* for one instrument."""
    return {"channel": channel, "instId": instrument_id}


def sign(credentials: Credentials, timestamp: str) -> str:
    text = f"{timestamp}GET/users/self/verify".encode()
    secret = credentials.secret_key.encode()
    return base64.b64encode(hmac.digest(secret, text, hashlib.sha256)).decode()


def login_v3(credentials: Credentials, timestamp: str | None = None) -> list[str]:
    at = timestamp or f"{time.time():.3f}"
    key, phrase = credentials.api_key, credentials.passphrase
    return [key, phrase, at, sign(credentials, at)]


def login_v5(credentials: Credentials, timestamp: str | None = None) -> dict[str, str]:
    names = ("apiKey", "passphrase", "timestamp", "sign")
    return dict(zip(names, login_v3(credentials, timestamp), strict=True))


@contextmanager
def _socket(exchange: LocalExchange, url: str) -> Iterator[ClientConnection]:
    with connect(
        url,
        ssl=exchange.ssl_context,
        compression=None,
        ping_interval=None,
        open_timeout=TIMEOUT,
        close_timeout=TIMEOUT,
        max_size=None,
        # The client reads on while a test does not: a full queue would delay the close.
        max_queue=None,
    ) as socket:
        yield socket


@contextmanager
def dial(exchange: LocalExchange) -> Iterator[Peer]:
    with _socket(exchange, exchange.url) as socket:
        yield Peer(socket)


@contextmanager
def dial_v5(exchange: LocalExchange, path: str = "public") -> Iterator[PeerV5]:
    with _socket(exchange, f"{exchange.url_v5}/{path}") as socket:
        yield PeerV5(socket)
