"""The stream on its own socket: what is read when, what is queued, how it ends."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from okex_ws.base.errors import ConnectionLost
from okex_ws.net.stream import TcpNetwork
from okex_ws.net.tcp import MAX_OUTPUT, TcpStream
from tests.support.internals import socket_of, unsent_of
from tests.support.loopback_servers import (
    LIMIT,
    Server,
    client_tls,
    server_tls,
    wait_for_end,
)

TLS = pytest.mark.parametrize("scheme", ["ws", "wss"])
Handler = Callable[[socket.socket], object]


class Pair:
    """A stream and the server behind it."""

    def __init__(self, scheme: str, handler: Handler) -> None:
        self.network = TcpNetwork(ssl_context=client_tls())
        self.server = Server(handler, server_tls() if scheme == "wss" else None)
        url = f"{scheme}://localhost:{self.server.port}/"
        deadline = time.monotonic() + LIMIT
        self.stream: TcpStream = self.network.open(url, deadline, lambda: False)

    def read(self, size: int) -> bytes:
        """Read until *size* bytes are there."""
        deadline = time.monotonic() + LIMIT
        while len(self.stream.received) < size and time.monotonic() < deadline:
            self.network.wait(1.0, self.stream)
            self.stream.fill()
        return bytes(self.stream.received)

    def end(self) -> ConnectionLost:
        """Read until the end."""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            self.network.wait(1.0, self.stream)
            try:
                self.stream.fill()
            except ConnectionLost as end:
                return end
        raise AssertionError("no end came")

    def close(self) -> None:
        self.stream.close()
        self.network.close()
        self.server.__exit__(None, None, None)


Connect = Callable[[str, Handler], Pair]


@pytest.fixture
def connect() -> Iterator[Connect]:
    pairs: list[Pair] = []

    def make(scheme: str, handler: Handler) -> Pair:
        pairs.append(Pair(scheme, handler))
        return pairs[-1]

    yield make
    for pair in pairs:
        pair.close()


def test_everything_in_a_tls_record_is_there_after_one_fill(connect: Connect) -> None:
    sent = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"x" * 16384)  # the largest record there is
        sent.set()
        wait_for_end(sock)

    pair = connect("wss", handler)
    assert sent.wait(LIMIT)

    assert len(pair.read(1)) == 16384


@TLS
def test_one_fill_does_a_bounded_work(connect: Connect, scheme: str) -> None:
    def handler(sock: socket.socket) -> None:
        sock.sendall(b"x" * (4 << 20))

    pair = connect(scheme, handler)
    largest = total = 0
    while total < 4 << 20:
        pair.network.wait(1.0, pair.stream)
        count = pair.stream.fill()
        largest, total = max(largest, count), total + count
        pair.stream.received.clear()

    assert largest <= 256 << 10


@TLS
def test_a_fill_without_news_is_nothing(connect: Connect, scheme: str) -> None:
    pair = connect(scheme, wait_for_end)
    pair.network.wait(0, pair.stream)
    pair.stream.fill()

    assert pair.stream.fill() == 0
    assert not pair.stream.ready


@TLS
@pytest.mark.parametrize(("size", "more"), [(64 << 10, True), (100, False)])
def test_after_a_large_read_there_is_no_wait_before_the_next(
    connect: Connect, scheme: str, size: int, more: bool
) -> None:
    # A wait that returns at once gives the interpreter away too shortly for the script
    # to take it, and often enough that it never asks: it would not run at all.
    sent = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"x" * size)
        sent.set()
        wait_for_end(sock)

    pair = connect(scheme, handler)
    assert sent.wait(LIMIT)
    while not pair.stream.received:
        pair.network.wait(1.0, pair.stream)
        pair.stream.fill()
    assert pair.stream.ready is more
    pair.read(size)

    # One read more brings nothing, and the next wait is one.
    assert pair.stream.fill() == 0
    assert not pair.stream.ready


@TLS
def test_the_bytes_before_an_end_come_first(connect: Connect, scheme: str) -> None:
    pair = connect(scheme, lambda sock: sock.sendall(b"last words"))

    end = pair.end()

    assert pair.stream.received == b"last words"
    assert "the peer closed" in end.reason
    assert str(end) == f"{end.endpoint}: {end.reason}"


def test_an_end_behind_data_makes_the_stream_ready(connect: Connect) -> None:
    closed = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"data")
        sock.shutdown(socket.SHUT_WR)
        closed.set()
        wait_for_end(sock)

    pair = connect("ws", handler)
    assert closed.wait(LIMIT)
    pair.stream.fill()

    pair.end()


def test_tls_that_ends_politely_under_an_open_socket_is_an_end(
    connect: Connect,
) -> None:
    def handler(sock: socket.socket) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        sock.sendall(b"data")
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.unwrap()  # a close_notify, and TCP stays open, answered or not
        sock.settimeout(LIMIT)
        pair_ended.wait(LIMIT)

    pair_ended = threading.Event()
    pair = connect("wss", handler)
    end = pair.end()
    pair_ended.set()

    assert pair.stream.received == b"data"
    assert "the peer closed the TLS session" in end.reason


@TLS
def test_output_that_the_kernel_does_not_take_goes_out_later(
    connect: Connect, scheme: str
) -> None:
    go, done = threading.Event(), threading.Event()
    said: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        assert go.wait(LIMIT)
        said.append(wait_for_end(sock))
        done.set()

    pair = connect(scheme, handler)
    socket_of(pair.stream).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sent = 0
    while not pair.stream.blocked:
        sent += pair.stream.send(b"x" * 60000)
    go.set()
    deadline = time.monotonic() + LIMIT
    while pair.stream.blocked and time.monotonic() < deadline:
        pair.network.wait(1.0, pair.stream)  # returns when there is room again
    pair.stream.close()

    assert done.wait(LIMIT)
    assert [len(data) for data in said] == [sent]


def test_a_peer_that_takes_nothing_is_lost(connect: Connect) -> None:
    over = threading.Event()
    pair = connect("ws", lambda sock: over.wait(LIMIT))

    def send_on() -> None:
        for _ in range(1000):
            pair.stream.send(b"x" * 65536)

    with pytest.raises(ConnectionLost, match="takes no data any more"):
        send_on()
    assert unsent_of(pair.stream) <= MAX_OUTPUT
    over.set()


@TLS
def test_an_end_met_while_sending_is_told_behind_what_was_said(
    connect: Connect, scheme: str
) -> None:
    said = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"because")
        sock.recv(65536)
        said.set()

    pair = connect(scheme, handler)
    pair.stream.send(b"request")
    assert said.wait(LIMIT)
    pair.server.__exit__(None, None, None)
    for _ in range(100):
        pair.stream.send(b"x" * 100)

    pair.end()
    assert pair.stream.received.startswith(b"because")


def strict(sock: socket.socket) -> socket.socket:
    """A TLS socket that tells an end without a goodbye from one with it."""
    vars(sock)["suppress_ragged_eofs"] = False
    return sock


def test_a_closing_stream_says_goodbye_in_tls(connect: Connect) -> None:
    ends: list[bytes] = []

    def handler(sock: socket.socket) -> None:
        # Without a close_notify this raises, and appends nothing.
        ends.append(strict(sock).recv(100))

    pair = connect("wss", handler)
    pair.close()

    assert ends == [b""]


def test_a_discarded_stream_says_nothing(connect: Connect) -> None:
    """No end of TLS: of TCP alone, or a reset if the peer's last words were unread."""
    ends: list[object] = []
    ended = threading.Event()

    def handler(sock: socket.socket) -> None:
        try:
            ends.append(strict(sock).recv(100))
        except (ssl.SSLError, ConnectionError):  # Python 3.11.2 has no name for it
            ends.append("no word")
        ended.set()

    pair = connect("wss", handler)
    pair.stream.discard()
    # The server is not closed before it has read the end.
    assert ended.wait(LIMIT)
    pair.close()

    assert ends == ["no word"]
