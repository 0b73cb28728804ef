"""Faults of the WebSocket handshake: HTTP statuses, and answers that open nothing."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator

from tests.campaign.catalogue import DIAL, Noticed, fault, over_tls
from tests.campaign.rig import HOST, Rig
from tests.support.loopback_servers import (
    Server,
    open_websocket,
    read_head,
    server_tls,
    wait_for_end,
)

# --- Statuses -----------------------------------------------------------------------


def _status(kind: str, status: int, headers: dict[str, str], wait: float = 0) -> None:
    @fault(kind, "http", DIAL + wait)
    def respond(rig: Rig) -> Iterator[Noticed]:
        rig.exchange.respond(status, headers)
        rig.exchange.drop()
        try:
            yield rig.error(f"HandshakeFailed.*HTTP {status}")
        finally:
            rig.exchange.respond(status, times=0)


_status("HTTP 301", 301, {"Location": "http://elsewhere.test/"})
_status("HTTP 400", 400, {})
_status("HTTP 401", 401, {})
_status("HTTP 403", 403, {})
_status("HTTP 404", 404, {})
_status("HTTP 500", 500, {})
_status("HTTP 502", 502, {})
_status("HTTP 503", 503, {})
_status("plain HTTP page", 200, {})


@fault("HTTP 429 with Retry-After", "http", DIAL + 1.0)
def too_many(rig: Rig) -> Iterator[Noticed]:
    """One refusal, and a wish that must be honoured."""
    before = rig.exchange.handshakes
    rig.exchange.respond(429, {"Retry-After": "1"}, times=1)
    rig.exchange.drop()
    try:
        yield _honoured(rig, before)
    finally:
        rig.exchange.respond(429, times=0)


def _honoured(rig: Rig, before: int) -> Callable[[], bool]:
    """Refused once with the wish, and back afterwards."""
    refused = rig.error("HTTP 429.*retry after 1 s")
    return lambda: refused() and rig.exchange.handshakes >= before + 2


# --- Answers that are none ----------------------------------------------------------


def _answer(kind: str, pattern: str, answer: Callable[[socket.socket], object]) -> None:
    """Whoever comes is given *answer*, behind the TLS that is due."""

    @fault(kind, "dial", DIAL)
    def offer(rig: Rig) -> Iterator[Noticed]:
        tls = server_tls(HOST) if rig.setup.tls else None
        with Server(answer, tls) as server, rig.redirect(server.port):
            yield rig.error(pattern)


def _wrong_accept(sock: socket.socket) -> None:
    read_head(sock)
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: bm90IHRoaXMgb25lIGF0IGFsbA==\r\n"
        b"\r\n"
    )
    wait_for_end(sock)


def _endless_head(sock: socket.socket) -> None:
    read_head(sock)
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Long: " + b"x" * 40_000)
    wait_for_end(sock)


def _no_http(sock: socket.socket) -> None:
    read_head(sock)
    sock.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    wait_for_end(sock)


def _cut_short(sock: socket.socket) -> None:
    read_head(sock)
    sock.sendall(b"HTTP/1.1 101 Switching Proto")


def _end_at_once(sock: socket.socket) -> None:
    open_websocket(sock)


_answer("wrong Sec-WebSocket-Accept", "HandshakeFailed", _wrong_accept)
_answer("handshake that is too long", "HandshakeFailed.*more than", _endless_head)
_answer("answer that is no HTTP", "HandshakeFailed", _no_http)
_answer("end in the middle of the handshake", "ConnectionLost", _cut_short)
_answer("end right after the handshake", "ConnectionLost", _end_at_once)


@fault("TLS aborted in the handshake", "dial", DIAL, over_tls)
def aborted_tls(rig: Rig) -> Iterator[Noticed]:
    """A RST for an answer to the first record."""

    def abort(sock: socket.socket) -> None:
        sock.recv(5)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with Server(abort) as server, rig.redirect(server.port):
        yield rig.error("ConnectionLost|HandshakeFailed")


@fault("TLS alert for an answer", "dial", DIAL, over_tls)
def tls_alert(rig: Rig) -> Iterator[Noticed]:
    """The server says ``handshake_failure``, and no more."""

    def alert(sock: socket.socket) -> None:
        sock.recv(4096)
        sock.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
        wait_for_end(sock)

    with Server(alert) as server, rig.redirect(server.port):
        yield rig.error("HandshakeFailed.*TLS handshake failed")
