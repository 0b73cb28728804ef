"""Which HTTP proxy leads to a target, and the CONNECT that opens a tunnel there.

A proxy's user and password go into one header, and nowhere else: no error, no repr and
no log repeats them, nor anything of a URL that could not be read.
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
from .http_head import MAX_HANDSHAKE, TUNNEL, read_head, refusal

_FORM = (
    "a proxy is a URL like 'http://host:port' or 'http://user:password@host:port', in"
    " which every special character of user and password is percent-encoded"
)
# What variables are known to hold; any other scheme may be half of a secret.
_UNSUPPORTED = ("https", "socks", "socks4", "socks4a", "socks5", "socks5h")
_DEFAULT_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, and the value of its ``Proxy-Authorization``, if it wants one."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"proxy http://{authority(self.host, self.port)}"


# The proxy of a target, which is a scheme (``'ws'`` or ``'wss'``), a host and a port.
FindProxy = Callable[[str, str, int], "Proxy | None"]


class TunnelStream(Protocol):
    """The connection to a proxy, as far as its handshake needs it."""

    def send(self, data: bytes) -> int:
        """Queue *data*."""
        ...

    def recv(self, size: int, missing: str = ...) -> bytes:
        """Wait for 1 to *size* bytes; *missing* is what did not come in time."""
        ...


def proxy_finder(proxy: str | None) -> FindProxy:
    """What finds the proxy: *proxy* itself, none for ``''``, ``None`` looks around.

    Raises:
        ValueError, TypeError: for what cannot be a proxy.
    """
    if proxy is None:
        return environments_proxy
    if not isinstance(proxy, str):
        # Not its repr: it may hold a password.
        raise TypeError(
            "proxy is a URL, '' for none, or None for that of the environment, not a"
            f" {type(proxy).__name__}"
        )
    fixed = parse_proxy(proxy) if proxy else None
    return lambda scheme, host, port: fixed


def environments_proxy(scheme: str, host: str, port: int) -> Proxy | None:
    """The proxy that the environment names at this moment, by urllib's rules.

    ``https_proxy`` for ``wss``, ``http_proxy`` for ``ws``, else ``all_proxy``; in small
    or capital letters, but in a CGI program (``REQUEST_METHOD`` is set) no capital
    ``HTTP_PROXY``, which a client could have sent. ``no_proxy`` lists hosts and domains
    that are reached without, ``*`` is all. This machine itself is reached without,
    which is not urllib's rule: nobody else could reach it. A `ValueError` if what it
    names cannot be a proxy.
    """
    if _is_this_machine(host):
        return None
    found = getproxies_environment()
    url = found.get("https" if scheme == "wss" else "http") or found.get("all")
    # With a variable set it is asked of the environment on every system, and of no
    # registry, which would look the host's name up.
    if not url or proxy_bypass(authority(host, port)):
        return None
    return parse_proxy(url)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def parse_proxy(url: str) -> Proxy:
    """The proxy of a URL, whose scheme may be left out, as in many environments.

    Raises:
        ValueError: it is no ``http://`` URL of a host and perhaps a port and a user.
    """
    scheme = url.partition("://")[0].lower()
    if scheme in _UNSUPPORTED:
        raise ValueError(f"{scheme}:// proxies are not supported: {_FORM}")
    parts = _split(url if "://" in url else f"http://{url}")
    if parts is None:
        raise ValueError(_FORM)
    return Proxy(parts.hostname or "", parts.port or _DEFAULT_PORT, _basic(parts))


def _split(url: str) -> SplitResult | None:
    """The parts of *url* if they can be a proxy's: a password may have cut it in two.

    No error of urllib leaves it, not even as a context: they repeat what they refuse.
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
    """The user info for ``Proxy-Authorization`` (RFC 7617), or ``''``."""
    if not (parts.username or parts.password):
        return ""
    pair = [unquote_to_bytes(part or "") for part in (parts.username, parts.password)]
    return "Basic " + base64.b64encode(b":".join(pair)).decode("ascii")


def authority(host: str, port: int) -> str:
    """Host and port as in a URL: an IPv6 address is in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def open_tunnel(
    stream: TunnelStream, proxy: Proxy, host: str, port: int, endpoint: str
) -> None:
    """Have *proxy* connect *stream* to a target; what follows its answer is left there.

    Raises `HandshakeFailed` for every other answer, and what *stream* raises.
    """
    via, answer = f"{proxy}: ", bytearray()
    try:
        stream.send(_request(proxy, authority(host, port)))
    except UnicodeError as error:
        raise ConnectionLost(endpoint, f"{via}no such name: {error}") from error
    try:
        whole = read_head(lambda size: stream.recv(size, "answer to CONNECT"), answer)
    except OkexWSError as failure:
        refused = _refusal(endpoint, answer, proxy)
        if refused is None:
            raise
        raise refused from failure
    if not whole:
        reason = f"{via}an answer of more than {MAX_HANDSHAKE} bytes"
        raise HandshakeFailed(endpoint, reason)
    if (refused := _refusal(endpoint, answer, proxy)) is not None:
        raise refused


def _request(proxy: Proxy, target: str) -> bytes:
    name = target if target.isascii() else target.encode("idna").decode("ascii")
    lines = [f"CONNECT {name} HTTP/1.1", f"Host: {name}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _refusal(endpoint: str, answer: bytearray, proxy: Proxy) -> HandshakeFailed | None:
    # Who was told a password is not quoted: it may say it.
    quoted = not proxy.authorization
    return refusal(endpoint, bytes(answer), TUNNEL, f"{proxy}: ", quoted)
