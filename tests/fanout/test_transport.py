"""The reader's transport: what Redis may say that no reader expects ends the line."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from okex_ws.base.clock import SystemClock
from okex_ws.base.errors import ConnectionLost, OkexWSError
from okex_ws.fanout.address import parse
from okex_ws.fanout.forwarded import forwarded
from okex_ws.fanout.transport import ReaderOpener, RedisTransport
from okex_ws.net.frames import Frame
from okex_ws.net.stream import TcpNetwork
from tests.support.recorder_taps import until

HELLO = b"%2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"


class Peer:
    """A server on this machine that says what a test wants, and keeps what it hears."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = bytearray()
        self.answer: bytes = HELLO
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._sock: socket.socket | None = None

    def _serve(self) -> None:
        self._sock, _ = self._listener.accept()
        self._sock.recv(65536)
        self._sock.sendall(self.answer)
        with suppress(OSError):
            while data := self._sock.recv(65536):
                self.heard += data

    def say(self, data: bytes) -> None:
        assert self._sock is not None
        self._sock.sendall(data)

    def close(self) -> None:
        self._listener.close()
        if self._sock is not None:
            with suppress(OSError):  # the client was first
                self._sock.shutdown(socket.SHUT_RDWR)
            self._thread.join(5)
            self._sock.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    made = Peer()
    yield made
    made.close()


@pytest.fixture
def network() -> Iterator[TcpNetwork]:
    made = TcpNetwork(SystemClock(), proxy="")
    yield made
    made.close()


def opened(network: TcpNetwork, peer: Peer) -> RedisTransport:
    address = parse(f"redis://127.0.0.1:{peer.port}/0?name=desk", "via")
    clock = SystemClock()
    opener = ReaderOpener(address, "okx", forwarded("v5"), clock, None)
    deadline = time.monotonic() + 5.0
    return opener(network, address.endpoint, deadline, lambda: False, None)


def heard(network: TcpNetwork, transport: RedisTransport) -> list[Frame]:
    network.wait(5.0, transport.stream)
    return transport.read()


def test_a_ping_raises_the_counter_and_its_answer_is_a_pong(
    network: TcpNetwork, peer: Peer
) -> None:
    transport = opened(network, peer)
    transport.send("ping")
    peer.say(b">3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:1\r\n:77\r\n")

    assert heard(network, transport) == [(b"pong", False)]
    until(lambda: b"INCR\r\n$22\r\n{okx}:desk:okx:0:probe" in peer.heard)
    assert transport.bytes_received > 0
    transport.close()


def test_a_subscribe_is_withheld_at_once_and_asks_for_channel_and_key(
    network: TcpNetwork, peer: Peer
) -> None:
    transport = opened(network, peer)

    transport.send("subscribe\nbooks5:BTC-USDT")

    ((note, binary),) = heard(network, transport)
    assert note.startswith(b'\0["Withheld"')
    assert not binary
    transport.send("unsubscribe\nbooks5:BTC-USDT")
    channel = b"{okx}:desk:okx:0:t:books5:BTC-USDT"
    peer.say(b">3\r\n$11\r\nunsubscribe\r\n$34\r\n" + channel + b"\r\n:1\r\n")
    peer.say(b"_\r\n")
    frames = heard(network, transport)
    assert frames[0][0].startswith(b'\0["Unsubscribed"')
    transport.close()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b":1\r\n", "an answer to nothing"),
        (b"-NOPERM this user has no permissions\r\n", "too narrow"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no RESP3"),
    ],
)
def test_what_no_reader_expects_ends_the_line(
    network: TcpNetwork, peer: Peer, said: bytes, why: str
) -> None:
    transport = opened(network, peer)
    peer.say(said)

    with pytest.raises(ConnectionLost, match=why):
        heard(network, transport)
    with pytest.raises(ConnectionLost):
        transport.read()
    transport.close()


def test_a_redis_without_memory_is_a_line_that_is_good_and_answers_no_probe(
    network: TcpNetwork, peer: Peer
) -> None:
    transport = opened(network, peer)
    transport.send("ping")
    transport.send("ping")
    peer.say(b"-OOM command not allowed\r\n:7\r\n")

    frames = heard(network, transport)
    while len(frames) < 2:
        frames += heard(network, transport)

    assert frames == [(b"pong", False)] * 2
    transport.close()


def test_a_counter_that_is_no_number_ends_the_line(
    network: TcpNetwork, peer: Peer
) -> None:
    transport = opened(network, peer)
    transport.send("ping")
    peer.say(b"$1\r\nx\r\n")

    with pytest.raises(ConnectionLost, match="no number"):
        heard(network, transport)
    transport.close()


@pytest.mark.parametrize(
    "answer", [b"+OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"-ERR unknown command\r\n"]
)
def test_a_server_that_is_no_redis_is_refused(
    network: TcpNetwork, peer: Peer, answer: bytes
) -> None:
    peer.answer = answer

    with pytest.raises(OkexWSError):
        opened(network, peer)
