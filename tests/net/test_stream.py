"""The network: opening, waiting, waking, closing. Real sockets on the loopback."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from okex_ws.base.errors import ConnectionLost, HandshakeFailed, Stalled
from okex_ws.net.stream import Network, Stream, TcpNetwork, public_endpoint
from tests.support.faulty_proxy import Proxy
from tests.support.internals import lock_of
from tests.support.loopback_servers import (
    LIMIT,
    TRUSTED,
    Server,
    authority,
    client_tls,
    server_tls,
    wait_for_end,
)


def never() -> bool:
    return False


@pytest.fixture
def network() -> Iterator[TcpNetwork]:
    net = TcpNetwork(ssl_context=client_tls())
    yield net
    net.close()


def connected(
    net: Network,
    port: int,
    scheme: str = "ws",
    limit: float = LIMIT,
    cancelled: Callable[[], bool] = never,
) -> Stream:
    url = f"{scheme}://localhost:{port}/"
    return net.open(url, time.monotonic() + limit, cancelled)


def read_until_end(net: Network, stream: Stream) -> tuple[bytes, ConnectionLost]:
    """All that comes until the end, and the end."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        net.wait(1.0, stream)
        try:
            stream.fill()
        except ConnectionLost as end:
            return bytes(stream.received), end
    raise AssertionError("no end came")


# --- Waiting and waking -------------------------------------------------------------


def test_a_wake_up_before_the_wait_is_not_lost(network: TcpNetwork) -> None:
    network.wake()

    network.wait(None)


def test_a_wake_up_from_another_thread_cuts_the_wait_short(
    network: TcpNetwork,
) -> None:
    with Server(wait_for_end) as server:
        stream = connected(network, server.port)
        network.wait(0, stream)
        timer = threading.Timer(0.05, network.wake)
        timer.start()
        network.wait(None, stream)
        timer.join(LIMIT)
        stream.close()


def test_a_thousand_wake_ups_are_one(network: TcpNetwork) -> None:
    for _ in range(100_000):
        network.wake()

    network.wait(None)
    for _ in range(10):
        network.wait(0)


@pytest.mark.parametrize("timeout", [0, -1.0, 1e-9])
def test_a_wait_for_no_time_at_all_returns(network: TcpNetwork, timeout: float) -> None:
    network.wait(timeout)


def test_a_wait_for_ever_is_a_number_that_the_system_takes(network: TcpNetwork) -> None:
    network.wake()

    network.wait(float("inf"))


def test_wake_and_close_are_harmless_after_close(network: TcpNetwork) -> None:
    network.close()

    network.wake()
    network.close()


def test_a_discarded_network_does_not_ask_for_a_lock_that_is_held() -> None:
    network = TcpNetwork()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with lock_of(network):
            held.set()
            assert done.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(LIMIT)
    network.discard()
    done.set()
    thread.join(LIMIT)


def test_a_closed_stream_is_not_waited_on(network: TcpNetwork) -> None:
    with Server(wait_for_end) as server:
        stream = connected(network, server.port)
        stream.close()
        stream.close()

        assert stream.fileno() == -1
        network.wait(None, stream)  # its end is to be told: the wait returns
        with pytest.raises(ConnectionLost, match="is closed"):
            stream.fill()
        with pytest.raises(ConnectionLost, match="is closed"):
            stream.send(b"late")
        network.wait(0, stream)


def test_descriptors_over_1024_are_waited_on() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1200:
        pytest.skip("the system gives no 1200 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1200), hard))
    with contextlib.ExitStack() as stack, Server(lambda s: s.sendall(b"x")) as server:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.callback(os.close, os.dup(0))
        network = TcpNetwork()
        stack.callback(network.close)
        stream = connected(network, server.port)
        stack.callback(stream.close)

        assert stream.fileno() > 1024
        assert read_until_end(network, stream)[0] == b"x"


# --- Opening ------------------------------------------------------------------------


def test_an_endpoint_in_an_error_carries_no_credentials_and_no_query() -> None:
    url = "wss://user:secret@venue.test:8443/ws/v3?key=secret#secret"

    assert public_endpoint(url) == "wss://venue.test:8443/ws/v3"


def test_a_url_without_a_host_is_the_callers_mistake(network: TcpNetwork) -> None:
    with pytest.raises(ValueError, match="no host"):
        network.open("ws:///path", time.monotonic() + LIMIT, never)


def test_an_attempt_that_is_cancelled_before_it_begins_ends(
    network: TcpNetwork,
) -> None:
    with pytest.raises(ConnectionLost, match="closed while connecting"):
        network.open("ws://127.0.0.1:1/", time.monotonic() + LIMIT, lambda: True)


def test_a_silent_tls_handshake_ends_at_the_deadline(network: TcpNetwork) -> None:
    # An address needs no name look-up, which may take so long.
    with Server(wait_for_end) as server:
        url = f"wss://127.0.0.1:{server.port}/"
        with pytest.raises(Stalled, match="no TLS handsh"):
            network.open(url, time.monotonic() + 0.1, never)


def test_a_wake_up_ends_a_tls_handshake_that_is_cancelled(network: TcpNetwork) -> None:
    cancelled = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.recv(1)
        cancelled.set()
        network.wake()
        wait_for_end(sock)

    with Server(handler) as server, pytest.raises(ConnectionLost, match="closed while"):
        connected(network, server.port, "wss", cancelled=cancelled.is_set)


def test_an_end_during_the_tls_handshake_is_a_lost_connection(
    network: TcpNetwork,
) -> None:
    with Server(lambda sock: None) as server, pytest.raises(ConnectionLost):
        connected(network, server.port, "wss")


def test_a_peer_that_does_not_speak_tls_is_told(network: TcpNetwork) -> None:
    with (
        Server(
            lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        ) as server,
        pytest.raises(HandshakeFailed, match="TLS handshake failed: ") as caught,
    ):
        connected(network, server.port, "wss")

    assert caught.value.status is None
    assert isinstance(caught.value.__cause__, ssl.SSLError)
    assert "what answers there does not speak TLS" in str(caught.value)


def test_bytes_wait_for_the_handshake_until_the_deadline(network: TcpNetwork) -> None:
    with Server(wait_for_end) as server:
        stream = connected(network, server.port, limit=0.1)
        with pytest.raises(Stalled, match="no answer to the WebSocket handshake"):
            stream.recv(1)
        stream.close()


# --- Who is trusted -----------------------------------------------------------------


def test_a_private_authority_is_trusted_through_its_context() -> None:
    with Server(wait_for_end, server_tls()) as server:
        network = TcpNetwork(ssl_context=client_tls())
        connected(network, server.port, "wss").close()
        network.close()


def test_the_environment_names_an_authority_at_each_connection(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pem = tmp_path / "ca.pem"
    authority(TRUSTED).cert_pem.write_to_path(str(pem))
    with (
        Server(wait_for_end, server_tls()) as server,
        contextlib.closing(TcpNetwork()) as network,
    ):
        with pytest.raises(HandshakeFailed, match="certificate refused"):
            connected(network, server.port, "wss")
        # Read at the connection: the network was made before.
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        connected(network, server.port, "wss").close()


@pytest.mark.parametrize(
    ("tls", "why"),
    [
        ({"ca": "one that nobody knows"}, "unable to get local issuer|self.signed"),
        ({"host": "another.test"}, "Hostname mismatch"),
        ({"expired": True}, "expired"),
    ],
)
def test_a_certificate_that_proves_nothing_is_refused(
    network: TcpNetwork, tls: dict[str, str], why: str
) -> None:
    with (
        Server(wait_for_end, server_tls(**tls)) as server,  # type: ignore[arg-type]
        pytest.raises(
            HandshakeFailed, match=f"certificate refused: .*({why})"
        ) as caught,
    ):
        connected(network, server.port, "wss")

    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_nothing_turns_verification_off() -> None:
    lax = client_tls()
    lax.check_hostname = False
    with pytest.raises(ValueError, match="must verify"):
        TcpNetwork(ssl_context=lax)
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="must verify"):
        TcpNetwork(ssl_context=lax)


# --- Through a bad network ----------------------------------------------------------


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_what_came_before_a_reset_is_handed_over_first(scheme: str) -> None:
    told = threading.Event()

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"before")
        assert told.wait(LIMIT)

    tls = server_tls() if scheme == "wss" else None
    with Server(handler, tls) as server, Proxy(server.port) as proxy:
        network = TcpNetwork(ssl_context=client_tls())
        stream = connected(network, proxy.port, scheme)
        while not stream.received:
            network.wait(1.0, stream)
            stream.fill()
        proxy.reset()
        told.set()
        received, end = read_until_end(network, stream)
        stream.close()
        network.close()

    assert received == b"before"
    assert isinstance(end.__cause__, ConnectionResetError)


def test_a_stalled_connection_is_silent_and_comes_back(network: TcpNetwork) -> None:
    go = threading.Event()

    def handler(sock: socket.socket) -> None:
        assert go.wait(LIMIT)
        sock.sendall(b"late")

    with Server(handler, server_tls()) as server, Proxy(server.port) as proxy:
        stream = connected(network, proxy.port, "wss")
        proxy.stall()
        # What TLS says by itself after the handshake may have passed before that.
        heard = 0.0
        while heard != (heard := stream.heard):
            network.wait(0.05, stream)
            stream.fill()
        go.set()
        network.wait(0.05, stream)
        assert stream.fill() == 0
        assert stream.heard == heard
        proxy.heal()
        received, _ = read_until_end(network, stream)
        stream.close()

    assert received == b"late"
    assert stream.heard > heard


@pytest.mark.parametrize("sizes", [[1], [2, 3, 5, 7, 11], [1, 4000, 1, 1]])
def test_record_boundaries_fall_anywhere(network: TcpNetwork, sizes: list[int]) -> None:
    sent = os.urandom(5000)

    def handler(sock: socket.socket) -> None:
        for at in range(0, len(sent), 500):
            sock.sendall(sent[at : at + 500])

    with Server(handler, server_tls()) as server, Proxy(server.port) as proxy:
        proxy.cut(sizes)
        stream = connected(network, proxy.port, "wss")
        received, _ = read_until_end(network, stream)
        stream.close()

    assert received == sent


def test_a_throttled_connection_loses_nothing(network: TcpNetwork) -> None:
    with (
        Server(lambda sock: sock.sendall(b"slowly" * 10)) as server,
        Proxy(server.port) as proxy,
    ):
        proxy.throttle(600)
        stream = connected(network, proxy.port)
        received, _ = read_until_end(network, stream)
        stream.close()

    assert received == b"slowly" * 10


def test_garbage_inside_tls_ends_the_connection(network: TcpNetwork) -> None:
    def handler(sock: socket.socket) -> None:
        sock.sendall(b"good")
        wait_for_end(sock)

    with Server(handler, server_tls()) as server, Proxy(server.port) as proxy:
        stream = connected(network, proxy.port, "wss")
        while not stream.received:
            network.wait(1.0, stream)
            stream.fill()
        proxy.inject(b"this is no TLS record at all")
        received, end = read_until_end(network, stream)
        stream.close()

    assert received == b"good"
    assert str(end).startswith("wss://localhost")
    assert "TLS failed" in end.reason
    assert isinstance(end.__cause__, ssl.SSLError)


def test_a_context_that_is_loosened_later_is_not_used() -> None:
    context = client_tls()
    net = TcpNetwork(ssl_context=context)
    try:
        context.check_hostname = False
        with (
            Server(wait_for_end, server_tls("localhost")) as server,
            pytest.raises(HandshakeFailed, match="must verify"),
        ):
            connected(net, server.port, "wss")
    finally:
        net.close()
