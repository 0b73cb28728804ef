"""Faults of names, connections, certificates and handshakes."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from okex_ws.net.dial import Address
from tests.campaign.catalogue import DIAL, Noticed, fault, over_tls
from tests.campaign.rig import HOST, Rig
from tests.support.loopback_servers import (
    Server,
    black_hole,
    closed_port,
    read_head,
    server_tls,
    wait_for_end,
)


@fault("unknown host", "dial", DIAL)
def unknown_host(rig: Rig) -> Iterator[Noticed]:
    """The name service says no."""

    def resolve(host: str) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with rig.rename(resolve):
        yield rig.error("look-up failed: Name or service not known")


@fault("name look-up that hangs", "dial", DIAL)
def hanging_look_up(rig: Rig) -> Iterator[Noticed]:
    """The name service says nothing."""
    over = threading.Event()

    def resolve(host: str) -> list[Address]:
        over.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure")

    with contextlib.ExitStack() as stack:
        stack.enter_context(rig.rename(resolve))
        stack.callback(over.set)
        yield rig.error("Stalled.*no answer to the name look-up")


@fault("refused port", "dial", DIAL)
def refused_port(rig: Rig) -> Iterator[Noticed]:
    """Nobody listens."""
    with rig.redirect(closed_port()):
        yield rig.error("refused")


@fault("exchange that does not listen", "dial", DIAL)
def not_listening(rig: Rig) -> Iterator[Noticed]:
    """The exchange's own port is closed for a while."""
    rig.exchange.refuse()
    rig.exchange.drop()
    try:
        # Behind the proxy this is a connection that ends before the handshake.
        yield rig.error("refused|closed the connection|reset")
    finally:
        rig.exchange.refuse(False)


@fault("dead IPv6 before live IPv4", "dial", DIAL)
def dead_first_address(rig: Rig) -> Iterator[Noticed]:
    """The first address drops every SYN; the second one lives."""
    with _dead_address() as dead:
        live = Address(socket.AF_INET, ("127.0.0.1", rig.port))
        asked: list[str] = []

        def resolve(host: str) -> list[Address]:
            asked.append(host)
            return [dead, live]

        with rig.rename(resolve):
            yield lambda: bool(asked) and rig.recover(time.monotonic(), 0.5) is not None


@contextlib.contextmanager
def _dead_address() -> Iterator[Address]:
    """On IPv6 where the machine has it: a listener whose queue is full."""
    with contextlib.ExitStack() as stack:
        try:
            listener = stack.enter_context(socket.socket(socket.AF_INET6))
            listener.bind(("::1", 0))
        except OSError:
            port = stack.enter_context(black_hole())
            yield Address(socket.AF_INET, ("127.0.0.1", port))
            return
        listener.listen(0)
        for _ in range(8):
            pending = stack.enter_context(socket.socket(socket.AF_INET6))
            pending.setblocking(False)
            pending.connect_ex(listener.getsockname())
        yield Address(socket.AF_INET6, tuple(listener.getsockname()))


@fault("black hole", "dial", DIAL)
def only_a_black_hole(rig: Rig) -> Iterator[Noticed]:
    """No SYN is ever answered."""
    with black_hole() as port, rig.redirect(port):
        yield rig.error("Stalled.*no TCP connection")


@fault("silent handshake", "dial", DIAL)
def silent_handshake(rig: Rig) -> Iterator[Noticed]:
    """TCP opens and nothing is ever said."""
    with Server(wait_for_end) as server, rig.redirect(server.port):
        yield rig.error("Stalled.*handshake")


@fault("slow exchange", "dial", DIAL)
def slow_exchange(rig: Rig) -> Iterator[Noticed]:
    """The exchange takes longer over the handshake than the deadline."""
    rig.exchange.slow_handshake(2.0)
    rig.exchange.drop()
    try:
        yield rig.error("Stalled.*handshake")
    finally:
        rig.exchange.slow_handshake(0.0)


@fault("dripping handshake", "dial", DIAL)
def dripping_handshake(rig: Rig) -> Iterator[Noticed]:
    """The answer comes a byte at a time, and never ends."""
    over = threading.Event()

    def drip(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Slow: ")
        while not over.wait(0.05):
            sock.sendall(b"x")

    tls = server_tls(HOST) if rig.setup.tls else None
    with Server(drip, tls) as server, rig.redirect(server.port):
        yield rig.error("Stalled.*handshake")
        over.set()


@fault("dripping TLS", "dial", DIAL, over_tls)
def dripping_tls(rig: Rig) -> Iterator[Noticed]:
    """A TLS record that announces much and comes a byte at a time."""
    over = threading.Event()

    def drip(sock: socket.socket) -> None:
        sock.sendall(b"\x16\x03\x03\x40\x00")
        while not over.wait(0.05):
            sock.sendall(b"\0")

    with Server(drip) as server, rig.redirect(server.port):
        yield rig.error("Stalled.*handshake|TLS handshake failed")
        over.set()


def _certificate(
    kind: str, pattern: str, host: str = HOST, ca: str | None = None, late: bool = False
) -> None:
    @fault(kind, "dial", DIAL, over_tls)
    def offer(rig: Rig) -> Iterator[Noticed]:
        trusted = {} if ca is None else {"ca": ca}
        tls = server_tls(host, expired=late, **trusted)
        with Server(wait_for_end, tls) as server, rig.redirect(server.port):
            yield rig.error(f"HandshakeFailed.*certificate refused: .*{pattern}")


_certificate("wrong certificate", "issuer|self.signed", ca="one that nobody trusts")
_certificate("wrong host name", "[Hh]ostname mismatch", host="other.test")
_certificate("expired certificate", "expired", late=True)


@fault("no TLS where TLS is due", "dial", DIAL, over_tls)
def no_tls(rig: Rig) -> Iterator[Noticed]:
    """A plain HTTP server behind a wss: endpoint."""

    def answer(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        wait_for_end(sock)

    with Server(answer) as server, rig.redirect(server.port):
        yield rig.error("HandshakeFailed.*TLS handshake failed")
