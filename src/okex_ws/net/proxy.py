"""Which HTTP proxy to use for a target, and the CONNECT that opens a tunnel to it.

A proxy's user and password go into one header and nowhere else: no error, repr or log
record contains them. If a proxy's URL cannot be read, no part of it is repeated.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Protocol
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from ..base.errors import ConnectionLost, HandshakeFailed, OkexWSError
from ..base.state import CauseCode
from .http_head import MAX_HANDSHAKE, TUNNEL, read_head, refusal

_FORM = (
    "a proxy is a URL like 'http://host:port' or 'http://user:password@host:port', in"
    " which every special character of user and password is percent-encoded"
)
# Schemes that an error may name, because environments use them. Any other scheme may be
# a part of a secret.
_UNSUPPORTED = ("https", "socks", "socks4", "socks4a", "socks5", "socks5h")
_DEFAULT_PORT = 80
# What to do about a proxy that answers no HTTP, and about one that refuses.
_IS_HTTP = "is it an HTTP proxy? those of SOCKS are not supported"
_ADVICE = {
    403: "the proxy forbids it: ask who runs it",
    407: "the proxy wants a user and a password: http://user:password@host:port",
    502: "the proxy cannot reach the exchange",
    504: "the proxy cannot reach the exchange",
}


class UnusableProxy(ValueError):
    """A proxy cannot be used, for a *reason*; *advice* says which ones can."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason
        self.advice = advice


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy: its address, and the ``Proxy-Authorization`` to send or ``''``."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"proxy http://{authority(self.host, self.port)}"


# A function that returns the proxy for a target, or ``None`` for none. The target is a
# scheme (``'ws'`` or ``'wss'``), a host and a port.
FindProxy = Callable[[str, str, int], "Proxy | None"]


class TunnelStream(Protocol):
    """The part of a `stream.Stream` that the CONNECT handshake with a proxy needs."""

    def send(self, data: bytes) -> int:
        """Queue *data* to be sent to the proxy."""
        ...

    def recv(self, size: int, missing: str = ...) -> bytes:
        """Wait for 1 to *size* bytes; an error names *missing* if they do not come."""
        ...


def proxy_finder(proxy: str | None) -> FindProxy:
    """A function that returns the proxy for each target.

    If *proxy* is a URL, the function always returns that proxy; if ``''``, never one;
    if ``None``, it reads the environment each time (`environments_proxy`).

    Raises:
        ValueError, TypeError: *proxy* is neither of these.
    """
    if proxy is None:
        return environments_proxy
    if not isinstance(proxy, str):
        # Its repr is left out, because it may hold a password.
        raise TypeError(
            "proxy is a URL, '' for none, or None for that of the environment, not a"
            f" {type(proxy).__name__}"
        )
    fixed = parse_proxy(proxy) if proxy else None
    return lambda scheme, host, port: fixed


def environments_proxy(scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy that the environment names at this moment, by urllib's rules.

    ``https_proxy`` is used for ``wss``, ``http_proxy`` for ``ws``, and ``all_proxy`` if
    that is not set; the names may be in small or capital letters. In a CGI program
    (``REQUEST_METHOD`` is set) ``HTTP_PROXY`` is ignored, because a client could have
    set it with a header. ``no_proxy`` lists hosts and domains that are reached without
    a proxy; ``*`` means all. Unlike urllib, the library reaches this machine without a
    proxy, because a proxy on another machine cannot reach it.

    Raises:
        UnusableProxy: the environment names something that cannot be a proxy.
    """
    if is_this_machine(host):
        return None
    found = getproxies_environment()
    own = "https" if scheme == "wss" else "http"
    name = own if found.get(own) else "all"
    url = found.get(name)
    # A variable is set, so `proxy_bypass` reads the environment on every system, never
    # a registry, for which it would look up the host's name.
    if not url or proxy_bypass(authority(host, port)):
        return None
    try:
        return parse_proxy(url)
    except UnusableProxy as error:
        raise UnusableProxy(
            f"the environment's proxy is of no use ({name}_proxy): {error.reason}",
            f"{error.advice}; name such a one in {own}_proxy, or connect without one:"
            " proxy='', or the host in no_proxy",
        ) from None


def is_this_machine(host: str) -> bool:
    """Whether *host* is ``localhost`` or a loopback address."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def parse_proxy(url: str) -> Proxy:
    """Read a proxy's URL, whose scheme may be missing, as in many environments.

    Raises:
        UnusableProxy: *url* is no ``http://`` URL of a host, optional port and user.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in _UNSUPPORTED:
        raise UnusableProxy(f"{scheme}:// proxies are not supported", _FORM)
    parts = _split(url if "://" in url else f"http://{url}")
    if parts is None:
        raise UnusableProxy("its URL cannot be read", _FORM)
    return Proxy(parts.hostname or "", parts.port or _DEFAULT_PORT, _basic(parts))


def _split(url: str) -> SplitResult | None:
    """The parts of *url*, or ``None`` if it has parts that a proxy's URL has not.

    A password that is not percent-encoded can put its end into the path, for example.
    No error of urllib leaves this function, not even as the context of another error,
    because such errors repeat the URL.
    """
    try:
        parts = urlsplit(url)
        rest = (parts.path.strip("/"), parts.query, parts.fragment)
        named = parts.scheme == "http" and parts.hostname and parts.port != 0
    except ValueError:
        return None
    clean = url.isprintable() and " " not in url and rest == ("", "", "")
    return parts if named and clean else None


def _basic(parts: SplitResult) -> str:
    """The value of ``Proxy-Authorization`` for a URL's user (RFC 7617), or ``''``."""
    if not (parts.username or parts.password):
        return ""
    pair = [unquote_to_bytes(part or "") for part in (parts.username, parts.password)]
    return "Basic " + base64.b64encode(b":".join(pair)).decode("ascii")


def authority(host: str, port: int) -> str:
    """Host and port as in a URL, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_tunnel(
    stream: TunnelStream, proxy: Proxy, host: str, port: int, endpoint: str
) -> None:
    """Make *proxy* connect *stream* to *host*:*port*, by CONNECT.

    The bytes behind the proxy's answer stay in *stream*: they belong to the tunnel.

    Raises:
        HandshakeFailed: the proxy refused, or answered something else.
        ConnectionLost: *host* cannot be written as a host name.
        OkexWSError: any error of *stream*.
    """
    via, answer = f"{proxy}: ", bytearray()
    try:
        stream.send(_request(proxy, authority(host, port)))
    except UnicodeError as error:
        reason, code = f"{via}no such name: {error}", CauseCode.DNS
        raise ConnectionLost(endpoint, reason, cause_code=code) from error
    try:
        whole = read_head(lambda size: stream.recv(size, "answer to CONNECT"), answer)
    except OkexWSError as failure:
        refused = _refusal(endpoint, answer, proxy)
        if refused is None:
            if failure.cause_code is not CauseCode.CLOSED:
                failure.cause_code, failure.advice = CauseCode.PROXY, _IS_HTTP
            raise
        raise refused from failure
    if not whole:
        reason = f"{via}an answer of more than {MAX_HANDSHAKE} bytes"
        raise HandshakeFailed(endpoint, reason, cause_code=CauseCode.PROXY)
    if (refused := _refusal(endpoint, answer, proxy)) is not None:
        raise refused


def _request(proxy: Proxy, target: str) -> bytes:
    name = target if target.isascii() else target.encode("idna").decode("ascii")
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _refusal(endpoint: str, answer: bytearray, proxy: Proxy) -> HandshakeFailed | None:
    # A proxy that was sent a password may repeat it in its answer: no text is quoted.
    quoted = not proxy.authorization
    refused = refusal(endpoint, bytes(answer), TUNNEL, f"{proxy}: ", quoted)
    if refused is not None:
        refused.cause_code = CauseCode.PROXY
        refused.advice = _ADVICE.get(refused.status or 0, "")
        if refused.status is None:
            refused.advice = _IS_HTTP
    return refused
