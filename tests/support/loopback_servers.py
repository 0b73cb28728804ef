"""Servers on the loopback that send exactly the bytes of a test, and certificates.

The `websockets` package makes the frames; it also judges what the library sends.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from types import TracebackType

import trustme
from websockets.frames import Frame, Opcode

# Seconds that a test waits for its peer at most.
LIMIT = 20.0
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Server:
    """Calls *handler* with each connection's socket, on a thread of its own.

    `port` is where it listens; *tls* is the server's context. A socket is closed when
    its handler returns. `closing` is set when the server wants its handlers to end.
    """

    def __init__(
        self,
        handler: Callable[[socket.socket], object],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.closing = threading.Event()
        self.accepted = 0
        self._handler = handler
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="raw server")]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self.closing.is_set():
                sock.close()
                return
            self.accepted += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,), name="handler")
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(LIMIT)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, contextlib.suppress(OSError):
            if self._tls is None:
                self._handler(sock)
                return
            with self._tls.wrap_socket(sock, server_side=True) as wrapped:
                self._sockets.append(wrapped)
                self._handler(wrapped)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        # A closed listener does not wake its thread; one more client does.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), LIMIT).close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                # The method of SSLSocket would end TLS while a handler still reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
        self._listener.close()


def read_head(sock: socket.socket) -> bytes:
    """Read the request of a handshake, up to its empty line."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        if not data:
            raise ConnectionError("the client left")
        head += data
    return head


def accept_head(request: bytes) -> bytes:
    """The answer to *request* that opens a WebSocket."""
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request)
    assert found is not None
    digest = hashlib.sha1(found[1] + _GUID.encode()).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: "
        + base64.b64encode(digest)
        + b"\r\n\r\n"
    )


def open_websocket(sock: socket.socket) -> None:
    """Answer the client's handshake, and accept it."""
    sock.sendall(accept_head(read_head(sock)))


def wait_for_end(sock: socket.socket) -> bytes:
    """Read until the client closes, and return what it sent."""
    said = b""
    with contextlib.suppress(OSError):
        while data := sock.recv(65536):
            said += data
    return said


def text(payload: bytes | str, fin: bool = True) -> bytes:
    """A text frame of a server."""
    data = payload.encode() if isinstance(payload, str) else payload
    return frame(Opcode.TEXT, data, fin)


def frame(opcode: Opcode, payload: bytes = b"", fin: bool = True) -> bytes:
    """A frame of a server, made by the `websockets` package."""
    return Frame(opcode, payload, fin).serialize(mask=False, extensions=[])


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers nothing: the queue of its listener is full.

    The system drops every further SYN.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            pending = stack.enter_context(socket.socket())
            pending.setblocking(False)
            pending.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def closed_port() -> int:
    """A port on which no program listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


TRUSTED = "the one that is trusted"


@functools.cache
def authority(name: str) -> trustme.CA:
    """The certificate authority called *name*, made at the first call."""
    return trustme.CA(organization_name=name)


def server_tls(
    host: str = "localhost",
    ca: str = TRUSTED,
    expired: bool = False,
) -> ssl.SSLContext:
    """A server's context with a certificate for *host*."""
    end = datetime.now(timezone.utc) - timedelta(days=1) if expired else None
    certificate = authority(ca).issue_cert(host, not_after=end)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    # Some versions of Python have OpenSSL take an end of TCP alone for a goodbye.
    context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    return context


def client_tls(ca: str = TRUSTED) -> ssl.SSLContext:
    """A client's context that trusts only the authority *ca*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority(ca).configure_trust(context)
    return context


def untraced() -> dict[str, str]:
    """The environment for a Python process that coverage does not measure."""
    traced = "COVERAGE_PROCESS_START"
    return {name: value for name, value in os.environ.items() if name != traced}
