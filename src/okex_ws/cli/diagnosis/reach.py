"""Checks of the way to an endpoint, step by step: proxy, DNS, TCP, TLS, handshake.

It sends only what opens a WebSocket, and trusts nothing in an answer.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import re
import socket
import ssl
import time
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from ... import OkexWSError
from ...net import machine
from ...net.http_head import advice_on
from ...net.proxy import Proxy, UnusableProxy, authority, open_tunnel, proxy_finder
from ..arguments import Destination
from ..text import clean, listed
from . import certificates
from .checks import CheckFailed, Finding, Grade

_SLOW_LOOK_UP = 1.0
# A certificate should have been renewed before it is valid for less than this.
_ENDS_SOON = timedelta(days=3)
_MAX_HEAD = 16 << 10
_STATUS_LINE = re.compile(rb"HTTP/\d\.\d (\d{3})([^\r\n]*)")
_DATE = re.compile(rb"^date:[ \t]*([^\r\n]+)", re.I | re.M)


class Reach:
    """Goes the way to one endpoint by steps: packages, proxy, DNS, TCP, TLS, handshake.

    So a failure names the step at which the way ends. Each step needs the one before
    it, returns a `Finding` or raises `CheckFailed`, and gives up a socket that is
    silent for *timeout* seconds. The main thread calls the steps, and calls `close` at
    the end.
    """

    def __init__(self, where: Destination, endpoint: str, timeout: float) -> None:
        parts = urlsplit(endpoint)
        self._secure = parts.scheme == "wss"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if self._secure else 80)
        self._path = parts.path + ("/public" if where.venue.protocol == "v5" else "")
        if parts.query:
            self._path += f"?{parts.query}"
        self._endpoint = endpoint
        self._scheme = parts.scheme
        self._asked = where.proxy
        self._context = where.ssl_context
        self._timeout = timeout
        self._proxy: Proxy | None = None
        self._addresses: list[str] = []
        self._socket: socket.socket | None = None
        # Seconds that this machine's clock is ahead of the answer's Date, if known.
        self.ahead: float | None = None

    @property
    def secure(self) -> bool:
        """Whether the endpoint uses TLS."""
        return self._secure

    @property
    def proxied(self) -> bool:
        """Whether the connection leads through a proxy."""
        return self._proxy is not None

    def close(self) -> None:
        """Close the socket, if one is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    # --- The steps ------------------------------------------------------------------

    def find_packages(self) -> Finding:
        """Find what a connection needs of this machine's packages."""
        try:
            return Finding(machine.packages(self._endpoint))
        except OkexWSError as error:
            raise _failed(error) from error

    def find_proxy(self) -> Finding:
        """Find the proxy that leads to the endpoint, if there is one."""
        try:
            find = proxy_finder(self._asked)
            self._proxy = find(self._scheme, self._host, self._port)
        except UnusableProxy as error:
            raise CheckFailed(error.reason, error.advice) from error
        if self._proxy is None:
            return Finding("none")
        source = "the environment" if self._asked is None else "--proxy"
        return Finding(f"{self._proxy}, from {source}")

    def look_up(self) -> Finding:
        """Look up the addresses of the host, or of the proxy in its place."""
        host, port = self._next_hop()
        began = time.monotonic()
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise CheckFailed(
                f"{host} has no address: {_sentence(error)}",
                "look at the name, at the network, and at /etc/resolv.conf",
            ) from error
        self._addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        said = listed(self._addresses)
        if _is_literal(host):
            return Finding(f"{said} (an address needs no look-up)")
        if time.monotonic() - began > _SLOW_LOOK_UP:
            return Finding(said, Grade.WARN, "the name server is slow")
        return Finding(f"{host} is {said}")

    def connect(self) -> Finding:
        """Connect by TCP to the first address that answers."""
        _, port = self._next_hop()
        dead: list[str] = []
        for address in self._addresses:
            try:
                self._socket = self._open(address, port)
            except OSError as error:
                dead.append(f"{address}: {_sentence(error)}")
                continue
            said = f"connected to {authority(address, port)}"
            if not dead:
                return Finding(said)
            advice = "some of its addresses do not answer"
            return Finding(f"{said}; {listed(dead)}", Grade.WARN, advice)
        what = "the proxy" if self._proxy else "port"
        raise CheckFailed(
            f"cannot connect to port {port}: {listed(dead)}",
            f"{what} {'is not there' if self._proxy else f'{port} is closed'}, or a"
            " firewall is in between",
        )

    def tunnel(self) -> Finding:
        """Ask the proxy by CONNECT for a tunnel to the endpoint."""
        assert self._proxy is not None
        talk = _TunnelStream(self._connected())
        target = authority(self._host, self._port)
        try:
            open_tunnel(talk, self._proxy, self._host, self._port, self._endpoint)
        except OkexWSError as error:
            raise _failed(error, f"{self._proxy} refuses") from error
        except OSError as error:
            said = f"no answer to CONNECT: {_sentence(error)}"
            raise CheckFailed(said, f"is {self._proxy} an HTTP proxy?") from error
        return Finding(f"a tunnel to {target}")

    def start_tls(self) -> Finding:
        """Start TLS; report version, cipher, certificate and who vouches for it."""
        try:
            context = self._context or machine.system_context(self._endpoint)
            wrapped = context.wrap_socket(self._connected(), server_hostname=self._host)
        except OkexWSError as error:
            raise _failed(error) from error
        except ssl.SSLCertVerificationError as error:
            raise self._distrust(error, context) from error
        except OSError as error:
            raise CheckFailed(
                f"no TLS: {_sentence(error)}",
                "what answers there may not be the exchange, or not speak TLS"
                " (ws:// in place of wss://)",
            ) from error
        self._socket = wrapped
        cipher = wrapped.cipher()
        words = [wrapped.version() or "TLS", cipher[0] if cipher else ""]
        shown = certificates.parse(wrapped.getpeercert(binary_form=True) or b"")
        said = f"{' '.join(words)}; trusted by {self._trust()}"
        if shown is None:
            return Finding(said)
        said = f"{said}; certificate of {_told(shown)}{_chain(wrapped)}"
        if shown.expires - datetime.now(timezone.utc) < _ENDS_SOON:
            return Finding(said, Grade.WARN, "the certificate ends soon")
        if self._context is None and (fault := machine.store_fault()):
            return Finding(said, Grade.WARN, fault)
        return Finding(said)

    def handshake(self) -> Finding:
        """Ask for a WebSocket; only the status 101 is a success."""
        sent = time.time()
        try:
            self._connected().sendall(self._request())
            head = self._head()
        except OSError as error:
            said = f"no answer to the handshake: {_sentence(error)}"
            raise CheckFailed(
                said, "the exchange, or something before it, hangs up"
            ) from error
        self._note_date(head, (sent + time.time()) / 2)
        match = _STATUS_LINE.match(head)
        if match is None:
            said = "the answer is not HTTP" if head else "the connection was closed"
            raise CheckFailed(said, "what answers there is no exchange") from None
        status, phrase = int(match[1]), match[2].decode("latin-1").strip()
        said = clean(f"HTTP {status} {phrase}".strip())
        if status != 101:
            wait = "the exchange has a problem: wait" if status >= 500 else ""
            raise CheckFailed(said, advice_on(status) or wait)
        return Finding(said)

    # --- How ------------------------------------------------------------------------

    def _next_hop(self) -> tuple[str, int]:
        if self._proxy is not None:
            return self._proxy.host, self._proxy.port
        return self._host, self._port

    def _open(self, address: str, port: int) -> socket.socket:
        return socket.create_connection((address, port), timeout=self._timeout)

    def _connected(self) -> socket.socket:
        assert self._socket is not None
        return self._socket

    def _request(self) -> bytes:
        lines = (
            f"GET {self._path} HTTP/1.1",
            f"Host: {authority(self._host, self._port)}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            "Sec-WebSocket-Version: 13",
        )
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    def _head(self) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD:
            data = self._connected().recv(4096)
            if not data:
                break
            head += data
        return head

    def _note_date(self, head: bytes, now: float) -> None:
        found = _DATE.search(head)
        # A header that is no date says nothing about a clock.
        with suppress(ValueError, TypeError, IndexError, OverflowError):
            if found:
                date = parsedate_to_datetime(found[1].decode("latin-1").strip())
                # The header has whole seconds: on average half a second is cut off.
                self.ahead = now - date.timestamp() - 0.5

    def _trust(self) -> str:
        if self._context is not None:
            return "the local exchange's own CA"
        return machine.trust_store()

    def _distrust(
        self, error: ssl.SSLCertVerificationError, context: ssl.SSLContext
    ) -> CheckFailed:
        """The failure for a refused certificate: the reason, and whose it is."""
        shown = self._shown_certificate()
        said = f"the certificate is refused: {error.verify_message}"
        issuer = "its issuer"
        if shown is not None:
            said = f"{said}; it is of {_told(shown)}"
            issuer = f"its issuer, {shown.issuer},"
        given = self._context is not None
        advice = machine.remedy(error, context, given, issuer)
        return CheckFailed(clean(said), clean(advice))

    def _shown_certificate(self) -> certificates.Certificate | None:
        """The peer's certificate, read without verification on a connection of its own.

        No request is sent to the peer over that connection.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.close()
        with suppress(OSError, CheckFailed):
            self.connect()
            if self._proxy is not None:
                self.tunnel()
            with context.wrap_socket(
                self._connected(), server_hostname=self._host
            ) as wrapped:
                return certificates.parse(wrapped.getpeercert(binary_form=True) or b"")
        return None


class _TunnelStream:
    """A socket with the methods that `open_tunnel` needs."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, data: bytes) -> int:
        self._socket.sendall(data)
        return len(data)

    def recv(self, size: int, missing: str = "answer") -> bytes:
        data = self._socket.recv(size)
        if not data:
            raise ConnectionResetError("it closed the connection")
        return data


def _failed(error: OkexWSError, otherwise: str = "") -> CheckFailed:
    """The failure for an error of the library, with the advice that the error has."""
    said = clean(str(getattr(error, "reason", error)))
    return CheckFailed(said, clean(error.advice) or otherwise)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _sentence(error: BaseException) -> str:
    """The system's message of *error*, without its number."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    text = error.strerror if isinstance(error, OSError) else None
    return text or str(error) or type(error).__name__


def _told(shown: certificates.Certificate) -> str:
    return clean(
        f"{shown.subject}, issued by {shown.issuer}, until {shown.expires:%Y-%m-%d}"
    )


def _chain(wrapped: ssl.SSLSocket) -> str:
    """The issuers above the certificate's own, up to the root.

    Before Python 3.13 they cannot be read, and the text is empty.
    """
    verified = getattr(wrapped, "get_verified_chain", None)
    if verified is None:
        return ""
    above = [certificates.parse(der) for der in verified()[1:]]
    found = [each.issuer for each in above if each is not None]
    return clean("".join(f", vouched for by {name}" for name in found[:5]))
