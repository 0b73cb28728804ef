"""An HTTP proxy on the loopback: it answers CONNECT as it is told, and then relays.

Whatever name a client asks for, the tunnel ends at one port of this machine: names that
only the proxy can look up exist in no test otherwise.

    with HttpProxy(server_port) as proxy:
        Feed(venue, proxy=proxy.url)
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from types import TracebackType

from tests.support.loopback_servers import LIMIT, Server, read_head, wait_for_end

YES = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n"


class HttpProxy:
    """Listens on `port`; `heads` are the requests that it got, first to last.

    *answer* is what it says to each; *behind* follows in the same segment, and *then*
    happens. Without a *target_port* it only listens from there on, and *closes* makes
    it leave instead.
    """

    def __init__(
        self,
        target_port: int | None = None,
        answer: bytes = YES,
        behind: bytes = b"",
        closes: bool = False,
        then: Callable[[], object] = lambda: None,
    ) -> None:
        self.heads: list[bytes] = []
        self.answer = answer
        self._behind = behind
        self._closes = closes
        self._then = then
        self._target_port = target_port
        self._links: list[socket.socket] = []
        self._server = Server(self._serve)
        self.port = self._server.port
        self.url = f"http://127.0.0.1:{self.port}"

    def drop(self) -> None:
        """End every tunnel that there is."""
        for sock in self._links:
            sock.shutdown(socket.SHUT_RDWR)
        self._links.clear()

    def _serve(self, client: socket.socket) -> None:
        self.heads.append(read_head(client))
        client.sendall(self.answer + self._behind)
        self._then()
        if self._closes:
            return
        if self._target_port is None:
            wait_for_end(client)
            return
        target = ("127.0.0.1", self._target_port)
        with socket.create_connection(target, LIMIT) as server:
            self._links.append(client)
            _relay(client, server)

    def __enter__(self) -> HttpProxy:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.__exit__(kind, error, traceback)


def _relay(client: socket.socket, server: socket.socket) -> None:
    """Pass everything on, either way, until one of them leaves."""
    other = {client: server, server: client}
    while ready := select.select(list(other), [], [], LIMIT)[0]:
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            other[source].sendall(data)
