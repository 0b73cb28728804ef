"""A network without sockets: one stream that a test has written beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from okex_ws.base.errors import ConnectionLost, Stalled
from okex_ws.net.stream import Stream
from tests.support.loopback_servers import accept_head

ENDPOINT = "ws://venue.test/ws/v3"


class ScriptedStream:
    """Accepts the handshake, then gives one of *chunks* for each `fill`, then ends."""

    def __init__(self, chunks: Iterable[bytes], answer: bytes | None = None) -> None:
        self.received = bytearray()
        self.heard = 0.0
        self.ready = False
        self.closed = 0
        self.sent = bytearray()
        self.request = b""
        self._answer = answer
        self._chunks = list(chunks)

    def fill(self) -> int:
        self.ready = False
        if not self._chunks:
            raise ConnectionLost(ENDPOINT, "the script is over")
        self.heard += 1.0
        chunk = self._chunks.pop(0)
        self.received += chunk
        return len(chunk)

    def flush(self) -> None:
        pass

    def recv(self, size: int) -> bytes:
        if not self.received:
            raise Stalled("no answer", 10.0)
        data = bytes(self.received[:size])
        del self.received[:size]
        return data

    def send(self, data: bytes) -> int:
        if self.request:
            self.sent += data
        else:
            self.request = data
            self.received += accept_head(data) if self._answer is None else self._answer
        return len(data)

    def close(self) -> None:
        self.closed += 1

    def discard(self) -> None:
        self.closed += 1

    def fileno(self) -> int:
        return -1


class ScriptedNetwork:
    """Opens one scripted stream; waiting costs nothing."""

    def __init__(self, stream: ScriptedStream) -> None:
        self.stream = stream
        self.waits = 0

    def open(self, url: str, deadline: float, cancelled: Callable[[], bool]) -> Stream:
        return self.stream

    def wait(self, timeout: float | None, stream: Stream | None = None) -> None:
        self.waits += 1

    def wake(self) -> None:
        pass

    def close(self) -> None:
        pass

    def discard(self) -> None:
        pass
