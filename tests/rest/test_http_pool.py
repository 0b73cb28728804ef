"""HTTP over the library's own sockets: kept, bounded by one deadline, and cut short."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from okex_ws.base.clock import SystemClock
from okex_ws.base.errors import ConnectionLost, HandshakeFailed, Stalled
from okex_ws.net.stream import TcpNetwork
from okex_ws.rest.http_pool import HttpPool
from tests.support.http_proxy import HttpProxy
from tests.support.loopback_servers import Server, read_head, wait_for_end

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Client:
    """A `HttpPool` on a real network, and httpx on it."""

    def __init__(self, origin: str, **network: object) -> None:
        self.cancelled = False
        clock = SystemClock()
        self.network = TcpNetwork(clock, **network)  # type: ignore[arg-type]
        self.pool = HttpPool(origin, self.network, clock, lambda: self.cancelled)
        self.httpx = httpx.Client(transport=self.pool, trust_env=False)
        self.origin = origin

    def get(self, seconds: float = 20.0) -> httpx.Response:
        self.pool.begin(seconds)
        return self.httpx.get(f"{self.origin}/path?x=1")

    def close(self) -> None:
        self.httpx.close()
        self.network.close()


@contextmanager
def talking(
    handler: Callable[[socket.socket], object], **network: object
) -> Iterator[tuple[Client, Server]]:
    with Server(handler) as server:
        client = Client(f"http://127.0.0.1:{server.port}", **network)
        try:
            yield client, server
        finally:
            client.close()


def serve(*answers: bytes) -> Callable[[socket.socket], None]:
    def handler(sock: socket.socket) -> None:
        for answer in answers:
            if not read_head(sock):
                return
            sock.sendall(answer)
        wait_for_end(sock)

    return handler


def test_a_connection_is_kept_for_the_next_request() -> None:
    with talking(serve(OK, OK, OK)) as (client, server):
        assert [client.get().text for _ in range(3)] == ["hi"] * 3
        assert server.accepted == 1


def test_a_connection_that_the_peer_has_closed_is_made_anew() -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(OK)

    with talking(handler) as (client, server):
        assert client.get().text == "hi"
        # Whether the end has come before the next request is a matter of luck.
        for _ in range(2):
            try:
                assert client.get().text == "hi"
                break
            except ConnectionLost:
                continue
        assert server.accepted == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
    ],
)
def test_every_form_of_a_body_is_read(answer: bytes) -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(answer)

    with talking(handler) as (client, _):
        assert client.get().text == "hi"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]])
def test_an_answer_that_was_cut_is_a_lost_connection(answer: bytes) -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(answer)

    cut = "before its answer was whole"
    with talking(handler) as (client, _), pytest.raises(ConnectionLost, match=cut):
        client.get()


def test_what_is_no_http_is_no_lost_connection() -> None:
    other = serve(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    with talking(other) as (client, _), pytest.raises(httpx.RemoteProtocolError):
        client.get()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1]])
def test_an_answer_that_does_not_end_stalls(answer: bytes) -> None:
    with talking(serve(answer)) as (client, _):
        with pytest.raises(Stalled) as caught:
            client.get(0.05)
        assert caught.value.after == 0.05


def test_one_deadline_is_over_all_of_an_answer_that_drips() -> None:
    """Each byte comes in time, and all of them never."""

    def drip(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            sock.sendall(b"y")
            if wait_briefly(sock):
                return

    def wait_briefly(sock: socket.socket) -> bool:
        sock.settimeout(0.005)
        try:
            return not sock.recv(1)
        except TimeoutError:
            return False

    with talking(drip) as (client, _), pytest.raises(Stalled):
        client.get(0.1)


def test_a_wake_up_after_a_cancel_ends_the_wait() -> None:
    with talking(serve(b"")) as (client, server):
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                client.get()
            except ConnectionLost as failure:
                failures.append(failure)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.accepted:
            pass
        client.cancelled = True
        client.network.wake()
        thread.join(20)
        assert "closed" in str(failures[0])


def test_nobody_there_is_a_lost_connection() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        client = Client(f"http://127.0.0.1:{held.getsockname()[1]}")
        try:
            with pytest.raises(ConnectionLost, match="cannot connect"):
                client.get()
        finally:
            client.close()


def test_a_proxy_is_asked_for_a_tunnel_for_plain_http_too() -> None:
    with Server(serve(OK)) as server, HttpProxy(server.port) as proxy:
        client = Client("http://name.invalid:8080", proxy=proxy.url)
        try:
            assert client.get().text == "hi"
        finally:
            client.close()
        assert proxy.heads[0].startswith(b"CONNECT name.invalid:8080 HTTP/1.1\r\n")


def test_a_stranger_is_refused() -> None:
    with Server(wait_for_end) as server, HttpProxy(server.port) as proxy:
        proxy.answer = b"HTTP/1.1 407 No\r\n\r\n"
        client = Client("https://name.invalid", proxy=proxy.url)
        try:
            with pytest.raises(HandshakeFailed, match="407"):
                client.get()
        finally:
            client.close()
        assert proxy.heads[0].startswith(b"CONNECT name.invalid:443 HTTP/1.1\r\n")


def test_a_context_of_ones_own_is_left_as_it_is() -> None:
    """Other HTTP clients write the protocols that they speak into it."""
    context = ssl.create_default_context()
    with Server(wait_for_end) as server, HttpProxy(server.port) as proxy:
        client = Client("https://name.invalid", proxy=proxy.url, ssl_context=context)
        try:
            with pytest.raises(Stalled):
                client.get(0.05)
        finally:
            client.close()
    assert context.verify_mode is ssl.CERT_REQUIRED
