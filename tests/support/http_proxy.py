"""An HTTP proxy on the loopback: it answers CONNECT as the test says, then relays.

Every tunnel ends at one port of this machine, for any name that a client asks for. So a
test can use names that only its proxy can look up.

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

    *answer* is its answer to each request. *behind* is sent in the same segment, and
    then *then* is called. Without a *target_port* it relays nothing and waits for the
    client to leave; with *closes* it closes the connection after its answer.
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
        """End every open tunnel."""
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
    """Pass bytes on in both directions, until one of the two closes."""
    other = {client: server, server: client}
    while ready := select.select(list(other), [], [], LIMIT)[0]:
        for source in ready:
            data = source.recv(65536)
            if not data:
                return
            other[source].sendall(data)
