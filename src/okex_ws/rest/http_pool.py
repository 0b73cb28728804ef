"""`HttpPool`: HTTP for httpx over the library's own sockets, TLS and proxies.

A connection is made as a feed makes one: the name, the addresses, the proxy and the
trust store are looked up anew for each. One deadline bounds all that happens between a
request and the end of its answer. The connection is kept for the next request while the
peer keeps it, for 15 s at most.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx

from ..base.clock import Clock
from ..base.errors import ConnectionLost, Stalled
from ..base.state import CauseCode
from ..net.proxy import authority
from ..net.stream import Network, Stream

# Seconds that an idle connection is kept: fewer than an HTTP front end keeps it.
KEEP = 15.0


class HttpPool(httpx.BaseTransport):
    """The transport of an `httpx.Client`: one connection to *origin*, opened on demand.

    httpx's own transport limits each read, so that a server which sends a byte now and
    then could keep a request for ever. Here one deadline, which `begin` sets, is for
    the whole of the next request and its answer. It also uses the library's own TLS and
    proxies.

    The caller's thread does all I/O, and requests must not overlap: `Fetcher` has a
    lock. *cancelled* is a callable that is called whenever a wait returns without data;
    if it returns true, the wait ends with a `ConnectionLost`. A passed deadline is a
    `Stalled`.
    """

    def __init__(
        self,
        origin: str,
        network: Network,
        clock: Clock,
        cancelled: Callable[[], bool],
    ) -> None:
        parts = urlsplit(origin)
        assert parts.hostname is not None
        self._origin, self._host = origin, parts.hostname
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._network, self._clock, self._cancelled = network, clock, cancelled
        self._deadline, self._limit = math.inf, math.inf
        self._stream: Stream | None = None
        self.has_ended = False
        # httpcore is given plain HTTP, because the stream below does TLS.
        self._pool = httpcore.ConnectionPool(
            max_connections=1, keepalive_expiry=KEEP, network_backend=_Backend(self)
        )

    def begin(self, seconds: float) -> None:
        """Give the next request and its answer so many *seconds*."""
        self._limit, self._deadline = seconds, self._clock.monotonic() + seconds

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send *request* and return its response; httpx calls this."""
        target = request.url.raw_path
        url = httpcore.URL(
            scheme=b"http", host=self._host.encode(), port=self._port, target=target
        )
        raw = httpcore.Request(request.method, url, headers=request.headers.raw)
        with self.mapped():
            answer = self._pool.handle_request(raw)
        headers, stream = answer.headers, _Body(self, answer)
        return httpx.Response(answer.status, headers=headers, stream=stream)

    def close(self) -> None:
        """Close the connection, if one is open, and say so to the peer."""
        self._pool.close()

    def discard(self) -> None:
        """Close the socket without sending anything, as a forked child must."""
        if self._stream is not None:
            self._stream.discard()

    @contextlib.contextmanager
    def mapped(self) -> Iterator[None]:
        """Map httpcore's protocol error inside the ``with``.

        If the peer ended the connection, it is a `ConnectionLost`; otherwise it is
        httpx's own error for an answer that is not HTTP.
        """
        try:
            yield
        except httpcore.RemoteProtocolError as error:
            if self.has_ended:
                reason = "the peer closed the connection before its answer was whole"
                raise ConnectionLost(self._origin, reason) from error
            raise httpx.RemoteProtocolError(str(error)) from error

    # --- What httpcore calls for its connection -------------------------------------

    def open(self) -> None:
        """Open the connection by the deadline of the request."""
        url = f"{urlsplit(self._origin).scheme}://{authority(self._host, self._port)}"
        self.has_ended = False
        self._stream = self._network.open(url, self._deadline, self._cancelled)

    def read(self, size: int) -> bytes:
        """Wait for 1 to *size* bytes; returns no bytes at an orderly end."""
        stream = self._stream
        assert stream is not None
        while not stream.received and not self._fill(stream):
            if self.has_ended:
                return b""
            if self._cancelled():
                why, code = "the client was closed", CauseCode.CLOSED
                raise ConnectionLost(self._origin, why, cause_code=code)
            left = self._deadline - self._clock.monotonic()
            if left <= 0:
                raise Stalled(
                    "no whole answer",
                    self._limit,
                    endpoint=self._origin,
                    cause_code=CauseCode.NETWORK,
                )
            self._network.wait(left, stream)
        data = bytes(stream.received[:size])
        del stream.received[:size]
        return data

    def _fill(self, stream: Stream) -> int:
        try:
            return stream.fill()
        except ConnectionLost as end:
            if end.__cause__ is not None:
                raise
            self.has_ended = True
            return 0

    def write(self, data: bytes) -> None:
        """Queue *data*; the wait for the answer sends what is left of it."""
        assert self._stream is not None
        self._stream.send(data)

    def hang_up(self) -> None:
        """Close the connection."""
        if self._stream is not None:
            self._stream.close()

    def is_over(self) -> bool:
        """Whether an idle connection has ended, or has received unrequested bytes."""
        stream = self._stream
        if stream is None:
            return True
        try:
            return stream.fill() > 0 or bool(stream.received)
        except ConnectionLost:
            return True


class _Backend(httpcore.NetworkBackend):
    def __init__(self, pool: HttpPool) -> None:
        self._pool = pool

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        self._pool.open()
        return _HttpStream(self._pool)


class _HttpStream(httpcore.NetworkStream):
    def __init__(self, pool: HttpPool) -> None:
        self._pool = pool

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._pool.read(max_bytes)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._pool.write(buffer)

    def close(self) -> None:
        self._pool.hang_up()

    def get_extra_info(self, info: str) -> Any:
        return self._pool.is_over() if info == "is_readable" else None


class _Body(httpx.SyncByteStream):
    def __init__(self, pool: HttpPool, answer: httpcore.Response) -> None:
        self._pool, self._answer = pool, answer

    def __iter__(self) -> Iterator[bytes]:
        with self._pool.mapped():
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()
