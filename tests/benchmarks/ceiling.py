"""A contestant that only receives: it shows how fast the server is at most."""

from __future__ import annotations

import base64
import os
import socket
import threading
from contextlib import suppress
from typing import Any

from tests.benchmarks.contestant import LIMIT, Spec, Threaded
from tests.benchmarks.loops import Hand

# As much as the library reads at once.
READ = 256 * 1024


class Ceiling(Hand, Threaded):
    """A bare socket on a thread. Counts bytes, ``options['bytes']`` to a message."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._received = 0

    def start(self) -> None:
        """Open the WebSocket by hand, and subscribe."""
        address = self.url.partition("://")[2]
        host, _, port = address.partition("/")[0].partition(":")
        plain = socket.create_connection((host, int(port)), LIMIT)
        tls = self.tls()
        self._socket = tls.wrap_socket(plain, server_hostname=host) if tls else plain
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET /{address.partition('/')[2]} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        request = self.request.encode()
        # Masked with zeros.
        frame = bytes((0x81, 0x80 | len(request))) + bytes(4) + request
        self._socket.sendall(head.encode() + frame)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        buffer = bytearray(READ)
        with suppress(OSError):
            while taken := self._socket.recv_into(buffer):
                self._received += taken

    def read(self) -> bool:
        """It never has a depth; whether anything came."""
        return self.count() > 0

    def levels(self, depth: Any) -> tuple[Any, Any]:
        """None."""
        return [], []

    def count(self) -> int:
        """As many messages as so many bytes are."""
        return int(self._received / self.spec.options["bytes"])

    def close(self) -> None:
        """End the thread, and leave."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self._thread.join(LIMIT)
        self._socket.close()
