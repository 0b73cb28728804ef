"""An independent client: websockets' own, with zlib and json, and nothing of ours."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

from okex_ws.local_exchange import LocalExchange

TIMEOUT = 10.0


class Peer:
    """One connection; every wait on it ends with a ``TimeoutError``."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def ask(self, op: str, *channels: str) -> None:
        self.socket.send(json.dumps({"op": op, "args": channels}))

    def frame(self) -> bytes:
        frame = self.socket.recv(TIMEOUT)
        assert isinstance(frame, bytes)
        return frame

    def text(self) -> str:
        """The next message; one complete raw-deflate stream, and nothing after it."""
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
        """The next message with these fields; others are passed over."""
        while True:
            message = self.text()
            if message == "pong":
                continue
            found: dict[str, Any] = json.loads(message)
            if wanted.items() <= found.items():
                return found

    def end(self) -> tuple[int | None, str]:
        """The close code and reason, once the connection has ended."""
        try:
            while True:
                self.socket.recv(TIMEOUT)
        except TimeoutError:
            raise
        except Exception:
            return self.socket.close_code, self.socket.close_reason or ""


@contextmanager
def dial(exchange: LocalExchange) -> Iterator[Peer]:
    with connect(
        exchange.url,
        ssl=exchange.ssl_context,
        compression=None,
        ping_interval=None,
        open_timeout=TIMEOUT,
        close_timeout=TIMEOUT,
        # Reads on while a test does not, or a full queue would hold up the end.
        max_queue=None,
    ) as socket:
        yield Peer(socket)
