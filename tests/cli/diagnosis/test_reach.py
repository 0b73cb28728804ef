"""From a name to a WebSocket, a step at a time."""

from __future__ import annotations

import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import trustme

from okex_ws.cli.arguments import Destination, venue_at
from okex_ws.cli.diagnosis import reach
from okex_ws.cli.diagnosis.checks import CheckFailed, Finding, Grade
from okex_ws.cli.diagnosis.reach import Reach
from okex_ws.local_exchange import LocalExchange
from tests.support.http_proxy import HttpProxy

Steps = dict[str, Finding]


def examine(
    url: str, proxy: str | None = None, clock: list[float] | None = None
) -> Steps:
    """Every step, as far as they go; the last one raises `CheckFailed` as it is."""
    found: Steps = {}
    one = Reach(Destination(venue_at(url), proxy=proxy), url, 5.0)
    with closing(one):
        found["packages"] = one.find_packages()
        found["proxy"] = one.find_proxy()
        found["DNS"] = one.look_up()
        found["TCP"] = one.connect()
        if one.proxied:
            found["tunnel"] = one.tunnel()
        if one.secure:
            found["TLS"] = one.start_tls()
        found["handshake"] = one.handshake()
        if clock is not None and one.ahead is not None:
            clock.append(one.ahead)
    return found


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange() as found:
        yield found


@pytest.fixture
def served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., LocalExchange]]:
    """A TLS exchange with a certificate that is made as it is told."""
    with ExitStack() as stack:

        def serve(
            *names: str, trusted: bool = True, ends: timedelta = timedelta(days=90)
        ) -> LocalExchange:
            authority = trustme.CA(organization_name="Some Firewall")
            leaf = authority.issue_cert(
                *(names or ("127.0.0.1",)),
                common_name="the exchange",
                not_before=datetime.now(timezone.utc) - timedelta(days=100),
                not_after=datetime.now(timezone.utc) + ends,
            )
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            leaf.configure_cert(context)
            known = authority if trusted else trustme.CA()
            known.cert_pem.write_to_path(tmp_path / "ca.pem")
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
            return stack.enter_context(LocalExchange(tls=context))

        yield serve


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_every_step_says_what_it_found(protocol: str, exchange: LocalExchange) -> None:
    url = exchange.url if protocol == "v3" else exchange.url_v5
    clock: list[float] = []
    found = examine(url, clock=clock)

    assert found.pop("packages").said.startswith("websocket-client ")
    assert {name: each.said for name, each in found.items()} == {
        "proxy": "none",
        "DNS": "127.0.0.1 (an address needs no look-up)",
        "TCP": f"connected to {url[5:].partition('/')[0]}",
        "handshake": "HTTP 101 Switching Protocols",
    }
    assert abs(clock[0]) < 30
    assert exchange.handshakes == 1


def test_the_clock_is_compared_with_the_date(exchange: LocalExchange) -> None:
    exchange.clock_offset = -3600.0
    clock: list[float] = []
    examine(exchange.url_v5, clock=clock)

    assert 3500 < clock[0] < 3700


def test_a_certificate_says_whose_it_is_and_who_trusts_it(
    served: Callable[..., LocalExchange],
) -> None:
    found = examine(served().url_v5)["TLS"]

    assert found.grade is Grade.GOOD
    assert found.said.startswith("TLSv1.")
    assert "trusted by SSL_CERT_FILE=" in found.said
    assert "certificate of the exchange, issued by " in found.said


def test_a_certificate_that_ends_soon_is_a_warning(
    served: Callable[..., LocalExchange],
) -> None:
    found = examine(served(ends=timedelta(days=1)).url_v5)["TLS"]

    assert (found.grade, found.advice) == (Grade.WARN, "the certificate ends soon")


def test_an_unknown_issuer_is_named_with_the_remedy(
    served: Callable[..., LocalExchange],
) -> None:
    with pytest.raises(
        CheckFailed, match="unable to get local issuer certificate"
    ) as bad:
        examine(served(trusted=False).url_v5)

    assert "it is of the exchange, issued by " in bad.value.said
    assert "is not known to SSL_CERT_FILE=" in bad.value.advice
    assert "name its CA file in SSL_CERT_FILE" in bad.value.advice


def test_a_trust_store_that_is_not_there_is_said(
    served: Callable[..., LocalExchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = served()
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    with pytest.raises(CheckFailed) as bad:
        examine(exchange.url_v5)

    assert "SSL_CERT_FILE=/nonexistent/ca.pem is not there" in bad.value.advice


def test_a_log_of_keys_that_cannot_be_written_is_said(
    served: Callable[..., LocalExchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = served().url_v5
    monkeypatch.setenv("SSLKEYLOGFILE", "/absent/keys.log")

    with pytest.raises(CheckFailed, match="SSLKEYLOGFILE=/absent/") as bad:
        examine(url)

    assert "unset SSLKEYLOGFILE" in bad.value.advice


def test_a_package_that_hides_the_library_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "websocket", ModuleType("websocket"))

    with pytest.raises(CheckFailed, match="hides websocket-client") as bad:
        examine("wss://exchange.invalid/ws/v5")

    assert bad.value.advice.startswith("rename ")


def test_a_certificate_of_another_host_is_something_else(
    served: Callable[..., LocalExchange],
) -> None:
    with pytest.raises(CheckFailed, match="mismatch") as bad:
        examine(served("other.example").url_v5)

    assert "something else answers" in bad.value.advice


def test_an_expired_certificate_asks_for_the_clock(
    served: Callable[..., LocalExchange],
) -> None:
    with pytest.raises(CheckFailed, match="certificate has expired") as bad:
        examine(served(ends=-timedelta(days=1)).url_v5)

    assert "is this machine's clock right" in bad.value.advice


def test_what_does_not_speak_tls_is_said(exchange: LocalExchange) -> None:
    with pytest.raises(CheckFailed, match="no TLS: ") as bad:
        examine(exchange.url_v5.replace("ws://", "wss://"))

    assert "ws:// in place of wss://" in bad.value.advice


@pytest.mark.parametrize(
    ("status", "advice"),
    [(403, "region"), (404, "path"), (429, "fewer"), (503, "wait"), (302, "")],
)
def test_an_answer_that_is_no_is_told_with_what_to_do(
    status: int, advice: str, exchange: LocalExchange
) -> None:
    exchange.respond(status)
    with pytest.raises(CheckFailed, match=f"HTTP {status} ") as bad:
        examine(exchange.url_v5)

    assert advice in bad.value.advice


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"SSH-2.0-x\r\n\r\n", "not HTTP"), (b"", "the connection was closed")],
)
def test_what_is_no_exchange_is_said(answer: bytes, said: str) -> None:
    foreign = HttpProxy(answer=answer, closes=True)
    with foreign as peer, pytest.raises(CheckFailed, match=said):
        examine(f"ws://127.0.0.1:{peer.port}/ws/v5")


def test_a_closed_port_is_said() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
        with pytest.raises(CheckFailed, match="Connection refused") as bad:
            examine(f"ws://127.0.0.1:{port}/ws/v5")

    assert f"port {port} is closed" in bad.value.advice


def test_a_dead_address_before_a_live_one_is_a_warning(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_up = socket.getaddrinfo

    def two(_: str, *about: Any, **more: Any) -> list[Any]:
        addresses = ("127.0.0.2", "127.0.0.1")
        return [each for name in addresses for each in look_up(name, *about, **more)]

    place = Destination(venue_at(exchange.url_v5))
    one = Reach(place, exchange.url_v5, 5.0)
    with closing(one):
        one.find_proxy()
        with monkeypatch.context() as patch:
            patch.setattr(reach.socket, "getaddrinfo", two)
            one.look_up()
        found = one.connect()

    assert found.grade is Grade.WARN
    assert "127.0.0.2: Connection refused" in found.said


def test_a_name_without_an_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(reach.socket, "getaddrinfo", fail)
    with pytest.raises(CheckFailed, match=r"no\.where has no address: Name or service"):
        examine("ws://no.where/ws/v5")


# --- Through a proxy ----------------------------------------------------------------


def test_a_proxy_is_told_with_its_tunnel(exchange: LocalExchange) -> None:
    port = int(exchange.url_v5.rpartition(":")[2].partition("/")[0])
    with HttpProxy(port) as proxy:
        found = examine("ws://ws.example/ws/v5", proxy=proxy.url)

    assert found["proxy"].said == f"proxy {proxy.url}, from --proxy"
    assert found["tunnel"].said == "a tunnel to ws.example:80"
    assert found["handshake"].said.startswith("HTTP 101")


def test_the_environments_proxy_is_told_as_such(
    exchange: LocalExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(exchange.url_v5.rpartition(":")[2].partition("/")[0])
    with HttpProxy(port) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("//", "//u:secret@"))
        found = examine("ws://ws.example/ws/v5")

    assert found["proxy"].said.endswith("from the environment")
    assert "secret" not in str(found)


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "a user and a password",
        ),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "cannot reach the exchange"),
        (b"what?\r\n\r\n", "an HTTP proxy?"),
        (b"", "an HTTP proxy?"),
    ],
)
def test_a_proxy_that_refuses_is_told_with_what_to_do(
    answer: bytes, advice: str
) -> None:
    with (
        HttpProxy(answer=answer, closes=True) as proxy,
        pytest.raises(CheckFailed) as bad,
    ):
        examine("wss://ws.example/ws/v5", proxy=proxy.url)

    assert advice in bad.value.advice


def test_a_proxy_that_is_none_is_refused() -> None:
    with pytest.raises(CheckFailed, match="socks5:// proxies are not supported"):
        examine("ws://ws.example/ws/v5", proxy="socks5://h")
