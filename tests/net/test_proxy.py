"""Proxies: what names one, what is said to it, and every way in which it can fail."""

from __future__ import annotations

import base64
import contextlib
import logging
import queue
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws import (
    ConnectionLost,
    Feed,
    HandshakeFailed,
    OkexWSError,
    Reconnect,
    Stalled,
    Venue,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.net.dial import Address
from okex_ws.net.http_head import MAX_HANDSHAKE
from okex_ws.net.proxy import Proxy, open_tunnel, parse_proxy, proxy_finder
from okex_ws.net.stream import TcpNetwork
from okex_ws.net.tcp import TcpStream
from okex_ws.net.transport import Transport
from okex_ws.pool.connection import HOST_GAP
from tests.support import clocks
from tests.support.http_proxy import YES, HttpProxy
from tests.support.loopback_servers import (
    LIMIT,
    Server,
    accept_head,
    black_hole,
    client_tls,
    closed_port,
    read_head,
    server_tls,
    text,
    wait_for_end,
)

ENDPOINT = "wss://exchange.test:443/ws"
SECRET = "s3cret"
TARGET = ("wss", "exchange.test", 443)


def never() -> bool:
    return False


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and everything that hangs on it, shown or not."""
    while error is not None:
        yield error
        if error.__cause__ is not error.__context__:
            yield from chain(error.__cause__)
        error = error.__context__


def all_said(error: BaseException) -> str:
    """Whatever a log could make of an error."""
    said = ["".join(traceback.format_exception(error))]
    for one in chain(error):
        said += [str(one), repr(one), repr(one.args), repr(vars(one))]
    return "\n".join(said)


# --- Which proxy --------------------------------------------------------------------


def basic(pair: str) -> str:
    return "Basic " + base64.b64encode(pair.encode()).decode()


@pytest.mark.parametrize(
    ("url", "host", "port", "pair"),
    [
        ("http://proxy.test:3128", "proxy.test", 3128, None),
        ("http://proxy.test:3128/", "proxy.test", 3128, None),
        ("HTTP://Proxy.Test", "proxy.test", 80, None),
        ("proxy.test:3128", "proxy.test", 3128, None),
        ("http://[::1]:3128", "::1", 3128, None),
        ("http://me:it@proxy.test:1", "proxy.test", 1, "me:it"),
        ("me:it@proxy.test:1", "proxy.test", 1, "me:it"),
        ("http://me@proxy.test:1", "proxy.test", 1, "me:"),
        ("http://:it@proxy.test:1", "proxy.test", 1, ":it"),
        ("http://m%40e:i%3At%2F%C3%A9@proxy.test:1", "proxy.test", 1, "m@e:i:t/é"),
        ("http://m@e:i@t@proxy.test:1", "proxy.test", 1, "m@e:i@t"),
        ("http://@proxy.test:1", "proxy.test", 1, None),
    ],
)
def test_a_url_names_a_proxy(url: str, host: str, port: int, pair: str | None) -> None:
    authorization = "" if pair is None else basic(pair)

    assert parse_proxy(url) == Proxy(host, port, authorization)


@pytest.mark.parametrize(
    "scheme", ["https", "socks", "socks4", "socks5", "SOCKS5", "socks5h"]
)
def test_a_proxy_of_another_kind_is_refused_with_what_is_supported(scheme: str) -> None:
    with pytest.raises(ValueError, match="not supported: a proxy is a URL") as caught:
        parse_proxy(f"{scheme}://me:{SECRET}@proxy.test:1080")

    assert scheme.lower() in str(caught.value)
    assert SECRET not in all_said(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://:3128",
        f"http://me:{SECRET}@",
        f"http://me:{SECRET}@:3128",
        f"http://me:{SECRET}@proxy.test:0",
        f"http://me:{SECRET}@proxy.test:65536",
        f"http://me:{SECRET}@proxy.test:port",
        f"http://me:{SECRET}@[::1",
        f"http://me:{SECRET}@proxy.test:1/path",
        f"http://me:{SECRET}@proxy.test:1?query",
        f"http://me:{SECRET}@proxy.test:1#fragment",
        # Characters that had to be encoded cut the URL in two.
        f"http://me:/{SECRET}@proxy.test:1",
        f"http://me:{SECRET}/@proxy.test:1",
        f"http://me:?{SECRET}@proxy.test:1",
        f"http://me:#{SECRET}@proxy.test:1",
        f"http://me:[{SECRET}@proxy.test:1",
        f"http://me:\u2100{SECRET}@proxy.test:1",
        f"http://me: {SECRET}@proxy.test:1",
        f"http://me:\n{SECRET}@proxy.test:1",
        f"http://me:\udc80{SECRET}@proxy.test:1",
        f"{SECRET}://proxy.test:1",
        f"ftp://me:{SECRET}@proxy.test:1",
    ],
)
def test_what_cannot_be_a_proxy_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="a proxy is a URL like") as caught:
        proxy_finder(url)

    said = str(caught.value) + "".join(map(repr, chain(caught.value)))
    assert SECRET not in said


@given(st.text(max_size=60))
def test_any_text_is_a_proxy_or_a_value_error(url: str) -> None:
    with contextlib.suppress(ValueError):
        proxy = parse_proxy(url)
        assert proxy.host
        assert 0 < proxy.port < 65536
        assert str(proxy).startswith("proxy http://")


@pytest.mark.parametrize("given", [False, True, 3128, ("http://x", SECRET), b"http:"])
def test_what_is_no_text_is_refused_by_its_type(given: Any) -> None:
    with pytest.raises(TypeError, match="'' for none") as caught:
        proxy_finder(given)

    assert type(given).__name__ in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_proxy_shows_where_it_is_and_no_secret() -> None:
    proxy = parse_proxy(f"http://me:{SECRET}@[::1]:3128")

    assert str(proxy) == "proxy http://[::1]:3128"
    assert repr(proxy) == "Proxy(host='::1', port=3128)"


ANY = {"all_proxy": "http://all.test"}
SECURE = {"https_proxy": "http://secure.test"}
PLAIN = {"http_proxy": "http://plain.test"}
UPPER = {"HTTP_PROXY": "http://upper.test", "HTTPS_PROXY": "http://upper.test"}
EVERY = {**ANY, **SECURE, **PLAIN}


@pytest.mark.parametrize(
    ("environment", "url", "host"),
    [
        ({}, "wss://a.test:443", None),
        (EVERY, "wss://a.test:443", "secure.test"),
        (EVERY, "ws://a.test:443", "plain.test"),
        (ANY, "wss://a.test:443", "all.test"),
        (ANY, "ws://a.test:443", "all.test"),
        (SECURE, "ws://a.test:443", None),
        (PLAIN, "wss://a.test:443", None),
        ({**ANY, **PLAIN}, "wss://a.test:443", "all.test"),
        (UPPER, "wss://a.test:443", "upper.test"),
        (UPPER, "ws://a.test:443", "upper.test"),
        ({"ALL_PROXY": "all.test:1"}, "ws://a.test:443", "all.test"),
        # Small letters before capital ones, an empty one too.
        ({**UPPER, **SECURE}, "wss://a.test:443", "secure.test"),
        ({**UPPER, "https_proxy": ""}, "wss://a.test:443", None),
        # A header `Proxy:` of a client becomes HTTP_PROXY in a CGI program.
        ({**UPPER, "REQUEST_METHOD": "GET"}, "ws://a.test:443", None),
        ({**UPPER, "REQUEST_METHOD": "GET"}, "wss://a.test:443", "upper.test"),
        ({**PLAIN, "REQUEST_METHOD": "GET"}, "ws://a.test:443", "plain.test"),
        # Who is reached without.
        ({**EVERY, "no_proxy": "*"}, "wss://a.test:443", None),
        ({**EVERY, "no_proxy": "a.test"}, "wss://a.test:443", None),
        ({**EVERY, "no_proxy": "A.Test"}, "wss://a.test:443", None),
        ({**EVERY, "NO_PROXY": "x, a.test"}, "wss://a.test:443", None),
        ({**EVERY, "no_proxy": ".test"}, "wss://a.test:443", None),
        ({**EVERY, "no_proxy": "test"}, "wss://a.test:443", None),
        ({**EVERY, "no_proxy": "a.test:443"}, "wss://a.test:443", None),
        ({**EVERY, "no_proxy": "a.test:80"}, "wss://a.test:443", "secure.test"),
        ({**EVERY, "no_proxy": "ba.test"}, "wss://a.test:443", "secure.test"),
        ({**EVERY, "no_proxy": "a.test"}, "wss://ba.test:443", "secure.test"),
        ({**EVERY, "no_proxy": "[2001:db8::1]"}, "wss://[2001:db8::1]:443", None),
        # This machine itself, which no proxy can reach; urllib has no such rule.
        (EVERY, "wss://localhost:443", None),
        (EVERY, "ws://127.0.0.1:80", None),
        (EVERY, "wss://127.255.255.254:443", None),
        (EVERY, "wss://[::1]:443", None),
        ({**EVERY, "no_proxy": "a.test"}, "wss://127.0.0.1:443", None),
        # What only looks like it, or is every machine's, is not.
        (EVERY, "wss://localhost.test:443", "secure.test"),
        (EVERY, "wss://127.0.0.1.test:443", "secure.test"),
        (EVERY, "wss://127.0.0:443", "secure.test"),
        (EVERY, "wss://128.0.0.1:443", "secure.test"),
        (EVERY, "wss://0.0.0.0:443", "secure.test"),
        (EVERY, "wss://[::2]:443", "secure.test"),
    ],
)
def test_the_environment_names_a_proxy_by_the_rules_of_urllib(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    url: str,
    host: str | None,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    scheme, _, place = url.partition("://")
    name, _, port = place.rpartition(":")

    found = proxy_finder(None)(scheme, name.strip("[]"), int(port))

    assert (found and found.host) == host


def test_a_proxy_that_is_given_is_taken_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://secure.test")
    monkeypatch.setenv("no_proxy", "*")

    assert proxy_finder("http://mine.test")(*TARGET) == Proxy("mine.test", 80)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_proxy_that_is_given_is_taken_for_this_machine_itself_too(host: str) -> None:
    found = proxy_finder("http://mine.test")("wss", host, 443)

    assert found == Proxy("mine.test", 80)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_for_this_machine_itself_the_environment_is_not_even_read(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("all_proxy", f"socks5://me:{SECRET}@proxy.test")

    assert proxy_finder(None)("wss", host, 443) is None


def test_the_empty_text_is_no_proxy_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://secure.test")

    assert proxy_finder("")(*TARGET) is None


# --- What is said to it, and what it says -------------------------------------------


class Script:
    """A proxy that says *answer* and then is out of time."""

    def __init__(self, answer: bytes) -> None:
        self.rest = bytearray(answer)
        self.sent = b""

    def send(self, data: bytes) -> int:
        self.sent += data
        return len(data)

    def recv(self, size: int, missing: str = "") -> bytes:
        if not self.rest:
            raise Stalled(f"no {missing}", 10.0)
        data = bytes(self.rest[:size])
        del self.rest[:size]
        return data


def tunnel(
    answer: bytes, proxy: str = "http://proxy.test:3128", host: str = "exchange.test"
) -> Script:
    script = Script(answer)
    open_tunnel(script, parse_proxy(proxy), host, 443, ENDPOINT)
    return script


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("exchange.test", "exchange.test:443"),
        ("127.0.0.1", "127.0.0.1:443"),
        ("::1", "[::1]:443"),
        ("b\u00fccher.test", "xn--bcher-kva.test:443"),
    ],
)
def test_the_proxy_is_asked_for_the_exchange_by_its_name(host: str, name: str) -> None:
    sent = tunnel(YES, host=host).sent

    assert sent == f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()


def test_a_name_that_can_be_none_is_asked_of_nobody() -> None:
    with pytest.raises(ConnectionLost, match=r"proxy http://\S+: no such name"):
        tunnel(YES, host=f"b\u00fc{'x' * 70}.test")


def test_user_and_password_go_into_one_header() -> None:
    sent = tunnel(YES, proxy="http://m%40e:i%3At@proxy.test").sent

    lines = sent.decode().split("\r\n")
    assert lines[2:] == [f"Proxy-Authorization: {basic('m@e:i:t')}", "", ""]


@pytest.mark.parametrize(
    "answer",
    [
        YES,
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 Fine\n\n",
        # RFC 9110, section 9.3.6: no length counts in a yes to CONNECT.
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    ],
)
def test_what_comes_right_behind_a_yes_is_left_to_the_tunnel(answer: bytes) -> None:
    assert tunnel(answer + b"hello").rest == b"hello"


@pytest.mark.parametrize(
    ("answer", "status", "wait", "reason"),
    [
        (b"HTTP/1.1 403 By policy\r\n\r\n", 403, None, "HTTP 403 By policy"),
        (b"HTTP/1.1 407 Who?\r\nX: y\r\n\r\n", 407, None, "HTTP 407 Who?"),
        (b"HTTP/1.1 502 Bad\r\n\r\nbody", 502, None, "HTTP 502 Bad"),
        (b"HTTP/1.1 503 Full\r\nRetry-After: 7\r\n\r\n", 503, 7.0, "HTTP 503 Full"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", 101, None, "HTTP 101 Switching"),
        (b"HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n", 302, None, "HTTP 302 Found"),
        # As far as it came.
        (b"HTTP/1.1 403 No\r\nX: ", 403, None, "HTTP 403 No"),
        (b"SSH-2.0-OpenSSH\r\n", None, None, "the answer is not HTTP"),
        (b"garbage\r\n\r\n", None, None, "the answer is not HTTP"),
        (b"HTTP/1.1 ok\r\n\r\n", None, None, "the answer is not HTTP"),
        (b"HTTP/2 200\r\n\r\n", None, None, "the answer is not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", None, None, "the answer is not HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nX: " + b"y" * MAX_HANDSHAKE,
            None,
            None,
            "an answer of more than 16384 bytes",
        ),
    ],
)
def test_every_other_answer_is_a_refusal_by_the_proxy(
    answer: bytes, status: int | None, wait: float | None, reason: str
) -> None:
    with pytest.raises(HandshakeFailed) as caught:
        tunnel(answer)

    error = caught.value
    assert (error.endpoint, error.status, error.retry_after) == (ENDPOINT, status, wait)
    assert error.reason == f"proxy http://proxy.test:3128: {reason}"


@pytest.mark.parametrize("answer", [b"", b"HT", b"HTTP/1.1 2", YES[:-1]])
def test_an_answer_that_stays_out_is_told_as_it_is(answer: bytes) -> None:
    with pytest.raises(Stalled, match="no answer to CONNECT"):
        tunnel(answer)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("407", "HTTP 407 Proxy Authentication Required"),
        ("799", "HTTP 799"),
    ],
)
def test_a_proxy_that_knows_a_password_is_not_quoted(status: str, reason: str) -> None:
    echo = f"HTTP/1.1 {status} not me:{SECRET} {basic(f'me:{SECRET}')}\r\n\r\n"
    with pytest.raises(HandshakeFailed) as caught:
        tunnel(echo.encode(), proxy=f"http://me:{SECRET}@proxy.test")

    assert caught.value.reason == f"proxy http://proxy.test:80: {reason}"
    assert SECRET not in all_said(caught.value)
    assert basic(f"me:{SECRET}") not in all_said(caught.value)


@given(st.binary(max_size=80), st.sampled_from([b"", b"HTTP/1.1 ", YES]))
def test_any_answer_is_a_tunnel_or_an_error(answer: bytes, head: bytes) -> None:
    with contextlib.suppress(HandshakeFailed, Stalled):
        tunnel(head + answer)


# --- Over real sockets --------------------------------------------------------------


def resolve(host: str, known: str = "proxy.test") -> list[Address]:
    """The only name that this side can look up."""
    if host != known:
        raise OSError(f"nobody here knows {host}")
    return [Address(socket.AF_INET, ("127.0.0.1", 0))]


class Dialler:
    """Opens streams by a proxy, on a clock that stands still."""

    def __init__(self) -> None:
        self.clock = clocks.FakeClock()
        self.cancelled = threading.Event()
        self._stack = contextlib.ExitStack()
        self._networks: list[TcpNetwork] = []

    def __call__(
        self, port: int, scheme: str = "ws", host: str = "proxy.test"
    ) -> TcpStream:
        network = TcpNetwork(
            self.clock,
            ssl_context=client_tls(),
            resolve=resolve,
            proxy=f"http://me:{SECRET}@{host}:{port}",
        )
        self._stack.callback(network.close)
        self._networks.append(network)
        url = f"{scheme}://exchange.test:9/ws"
        deadline = self.clock.monotonic() + LIMIT
        stream = network.open(url, deadline, self.cancelled.is_set)
        self._stack.callback(stream.close)
        return stream

    def pass_time(self, seconds: float = LIMIT) -> None:
        """Let so much time pass; without an argument, all that there is."""
        self.clock.advance(seconds)
        self.wake()

    def wake(self) -> None:
        """Wake whoever is waiting."""
        for network in self._networks:
            network.wake()

    def close(self) -> None:
        """Close all that was opened."""
        self._stack.close()


@pytest.fixture
def open_by() -> Iterator[Dialler]:
    with contextlib.closing(Dialler()) as dialler:
        yield dialler


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_the_tunnel_leads_to_the_exchange_and_only_the_proxy_is_looked_up(
    open_by: Dialler, scheme: str
) -> None:
    def handler(sock: socket.socket) -> None:
        sock.sendall(sock.recv(4).upper())
        wait_for_end(sock)

    tls = server_tls("exchange.test") if scheme == "wss" else None
    with Server(handler, tls) as server, HttpProxy(server.port) as proxy:
        stream = open_by(proxy.port, scheme)
        stream.send(b"ping")
        assert stream.recv(4) == b"PING"
        stream.close()

    (head,) = proxy.heads
    assert head.startswith(b"CONNECT exchange.test:9 HTTP/1.1\r\n")
    assert f"Proxy-Authorization: {basic(f'me:{SECRET}')}\r\n".encode() in head


def test_in_the_tunnel_the_exchange_must_prove_its_own_name(open_by: Dialler) -> None:
    with (
        Server(wait_for_end, server_tls("proxy.test")) as server,
        HttpProxy(server.port) as proxy,
        pytest.raises(HandshakeFailed, match=r"through proxy .*certificate") as caught,
    ):
        open_by(proxy.port, "wss")

    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_bytes_behind_the_proxys_yes_are_the_exchanges(open_by: Dialler) -> None:
    with HttpProxy(behind=b"hello") as proxy:
        stream = open_by(proxy.port)
        assert stream.recv(5) == b"hello"
        stream.close()


def test_bytes_behind_the_proxys_yes_are_part_of_tls(open_by: Dialler) -> None:
    alert = b"\x15\x03\x03\x00\x02\x02\x28"  # fatal: handshake failure
    with (
        HttpProxy(behind=alert) as proxy,
        pytest.raises(HandshakeFailed, match=r"through proxy .*handshake failure"),
    ):
        open_by(proxy.port, "wss")


def test_bytes_behind_the_proxys_yes_are_part_of_tls_once(open_by: Dialler) -> None:
    # A HelloRequest: who has just begun passes over it (RFC 5246, section 7.4.1.1).
    request = b"\x16\x03\x03\x00\x04\x00\x00\x00\x00"

    def handler(sock: socket.socket) -> None:
        sock.sendall(b"hello")
        wait_for_end(sock)

    with (
        Server(handler, server_tls("exchange.test")) as server,
        HttpProxy(server.port, behind=request) as proxy,
    ):
        stream = open_by(proxy.port, "wss")
        assert stream.recv(64) == b"hello"
        stream.close()


def test_a_proxy_that_refuses_is_left_at_once(open_by: Dialler) -> None:
    with (
        HttpProxy(answer=b"HTTP/1.1 503 Full\r\nRetry-After: 7\r\n\r\n") as proxy,
        pytest.raises(HandshakeFailed, match=r"proxy .*: HTTP 503") as caught,
    ):
        open_by(proxy.port)

    assert caught.value.retry_after == 7


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_proxy_that_answers_half_and_hangs_is_left_at_the_deadline(
    open_by: Dialler, answer: bytes
) -> None:
    with (
        HttpProxy(answer=answer, then=open_by.pass_time) as proxy,
        pytest.raises(Stalled, match=r"proxy http://proxy.test:.*no answer to CONNECT"),
    ):
        open_by(proxy.port)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nX: "])
def test_a_proxy_that_leaves_in_the_middle_is_a_lost_connection(
    open_by: Dialler, answer: bytes
) -> None:
    with (
        HttpProxy(answer=answer, closes=True) as proxy,
        pytest.raises(
            ConnectionLost, match=r": proxy http://proxy.test:.*closed the c"
        ),
    ):
        open_by(proxy.port)


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_a_tunnel_that_ends_is_a_lost_connection_through_the_proxy(
    open_by: Dialler, scheme: str
) -> None:
    with (
        HttpProxy(closes=True) as proxy,
        pytest.raises(ConnectionLost, match=r"through proxy http://proxy.test:"),
    ):
        open_by(proxy.port, scheme).recv(1)


def test_a_proxy_that_answers_byte_by_byte_has_one_deadline(open_by: Dialler) -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        # Each byte comes in time, and all of them together do not.
        for _ in range(int(LIMIT)):
            sock.sendall(b"y")
            open_by.pass_time(1.0)
        wait_for_end(sock)

    with (
        Server(handler) as server,
        pytest.raises(Stalled, match=r"no answer to CONNECT within 20 s"),
    ):
        open_by(server.port)


def test_an_endless_header_is_read_to_a_bound(open_by: Dialler) -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            sock.sendall(b"X: y\r\n" * 1000)

    with (
        Server(handler) as server,
        pytest.raises(HandshakeFailed, match=r"proxy .*an answer of more than 16384"),
    ):
        open_by(server.port)


def test_a_proxy_that_is_not_there_is_named(open_by: Dialler) -> None:
    port = closed_port()
    with pytest.raises(ConnectionLost, match=r"proxy .*: cannot connect: ") as caught:
        open_by(port)

    assert caught.value.endpoint == "ws://exchange.test:9/ws"
    assert f"proxy http://proxy.test:{port}" in caught.value.reason


def test_a_proxy_whose_name_is_not_known_is_named(open_by: Dialler) -> None:
    with pytest.raises(
        ConnectionLost, match=r"proxy http://x.test:1: name look-up failed: nobody here"
    ):
        open_by(1, host="x.test")


def test_a_proxy_that_is_a_black_hole_is_named() -> None:
    with (
        black_hole() as port,
        contextlib.closing(TcpNetwork(proxy=f"http://127.0.0.1:{port}")) as network,
        pytest.raises(Stalled, match=r"proxy http://127.*: no TCP connection"),
    ):
        network.open("ws://exchange.test/", time.monotonic() + 0.1, never)


def test_a_wake_up_ends_the_wait_for_a_proxy_that_is_cancelled(
    open_by: Dialler,
) -> None:
    def cancel() -> None:
        open_by.cancelled.set()
        open_by.wake()

    with (
        HttpProxy(answer=b"HTTP", then=cancel) as proxy,
        pytest.raises(ConnectionLost, match="closed while connecting"),
    ):
        open_by(proxy.port)


def test_a_silent_exchange_behind_a_proxy_is_told_apart_from_a_silent_proxy(
    open_by: Dialler,
) -> None:
    with HttpProxy() as proxy:
        stream = open_by(proxy.port)
        open_by.pass_time()
        with pytest.raises(
            Stalled, match=r"through proxy .*no answer to the WebSocket"
        ):
            stream.recv(1)


def test_a_frame_right_behind_the_exchanges_yes_comes_through_the_tunnel() -> None:
    def handler(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(YES)
        sock.sendall(accept_head(read_head(sock)) + text("first"))
        wait_for_end(sock)

    with Server(handler) as server:
        network = TcpNetwork(proxy=f"http://127.0.0.1:{server.port}")
        deadline = time.monotonic() + LIMIT
        transport = Transport.open(network, "ws://exchange.test/", deadline, never)
        while not (frames := transport.read()):
            network.wait(1.0, transport.stream)
        transport.close()
        network.close()

    assert [payload for payload, _ in frames] == [b"first"]


# --- The environment, at each connection --------------------------------------------


def network_of_its_own() -> TcpNetwork:
    """One that finds the exchange by a name: this machine itself needs no proxy."""
    return TcpNetwork(resolve=lambda host: resolve(host, "exchange.test"))


def test_the_environment_is_read_at_each_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deadline = time.monotonic() + LIMIT
    with (
        Server(wait_for_end) as server,
        HttpProxy(server.port) as proxy,
        contextlib.closing(network_of_its_own()) as network,
    ):
        url = f"ws://exchange.test:{server.port}/"
        network.open(url, deadline, never).close()
        assert proxy.heads == []
        monkeypatch.setenv("http_proxy", proxy.url)
        network.open(url, deadline, never).close()
        assert len(proxy.heads) == 1
        # This machine itself is reached without, though no variable says so.
        network.open(f"ws://127.0.0.1:{server.port}/", deadline, never).close()
        assert len(proxy.heads) == 1
        monkeypatch.setenv("no_proxy", "exchange.test")
        network.open(url, deadline, never).close()
        assert len(proxy.heads) == 1


@pytest.mark.parametrize("scheme", ["socks5", "gopher"])
def test_a_proxy_of_the_environment_that_cannot_be_one_is_no_way_around_it(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("all_proxy", f"{scheme}://me:{SECRET}@proxy.test:1")
    deadline = time.monotonic() + LIMIT
    with (
        Server(wait_for_end) as server,
        contextlib.closing(network_of_its_own()) as network,
        pytest.raises(ConnectionLost, match="environment's proxy is of no") as caught,
    ):
        network.open(f"ws://exchange.test:{server.port}/", deadline, never)

    assert server.accepted == 0
    assert SECRET not in "".join(map(repr, chain(caught.value))) + str(caught.value)


# --- A whole feed behind a proxy ----------------------------------------------------


def test_a_subscription_lives_behind_a_proxy_and_comes_back_through_it() -> None:
    changes: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with LocalExchange(tls=True) as exchange:
        market, name = exchange.busiest
        port = int(exchange.venue_v5.endpoints[0].rpartition(":")[2].split("/")[0])
        with (
            HttpProxy(port) as proxy,
            WSSubscription(
                name,
                market,
                venue=exchange.venue_v5,
                ssl_context=exchange.ssl_context,
                proxy=proxy.url.replace("://", f"://me:{SECRET}@"),
                reconnect=Reconnect(first=0.01, cap=0.01, host_gap=0.0),
                on_state=changes.put,
            ) as okx,
        ):
            okx.wait_live(LIMIT)
            first = len(proxy.heads)
            proxy.drop()
            while changes.get(timeout=LIMIT).new != "RECONNECTING":
                pass
            okx.wait_live(LIMIT)

    assert first == 1
    assert len(proxy.heads) > first


@pytest.mark.parametrize(
    ("answer", "closes"),
    [
        (f"HTTP/1.1 407 no {SECRET}\r\n\r\n".encode(), False),
        (f"{SECRET}\r\n\r\n".encode(), False),
        (b"", True),
        (None, True),
    ],
)
def test_no_secret_of_a_proxy_is_shown_anywhere(
    caplog: pytest.LogCaptureFixture, answer: bytes | None, closes: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: queue.SimpleQueue[OkexWSError] = queue.SimpleQueue()
    names: list[str] = []

    def told(error: Exception) -> None:
        names.extend(thread.name for thread in threading.enumerate())
        assert isinstance(error, OkexWSError)
        errors.put(error)

    with contextlib.ExitStack() as stack:
        port = closed_port()
        if answer is not None:
            port = stack.enter_context(HttpProxy(None, answer, closes=closes)).port
        venue = Venue("mine", "v5", (f"ws://exchange-{port}.test/ws/v5",))
        feed = stack.enter_context(
            Feed(venue, proxy=f"http://me:{SECRET}@localhost:{port}")
        )
        feed.subscribe(["BTC-USDT"], "spot", on_error=told)
        error = errors.get(timeout=LIMIT)
        shown = [repr(feed), repr(feed.connections()), repr(feed.health())]
        shown += [repr(feed.stats()), repr(feed.subscriptions), *names]
    shown += [record.getMessage() for record in caplog.records]
    token = basic(f"me:{SECRET}").split()[1]

    assert "proxy http://localhost:" in str(error)
    assert f"proxy http://localhost:{port}" in "".join(shown)
    for said in (all_said(error), *shown):
        assert SECRET not in said
        assert token not in said


def test_the_turns_at_a_host_are_the_exchanges_and_not_the_proxys() -> None:
    clock = clocks.FakeClock()
    errors: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    venue = Venue("mine", "v5", ("ws://turns.test/ws/v5",), connections_per_second=0.5)
    with Feed(venue, proxy=f"http://localhost:{closed_port()}", clock=clock) as feed:
        feed.subscribe(["BTC-USDT"], "spot", on_error=errors.put)
        errors.get(timeout=LIMIT)

        assert HOST_GAP.wait("turns.test", clock.monotonic()) == 2.0
        assert HOST_GAP.wait("localhost", clock.monotonic()) == 0.0
