"""The open WebSockets: their subscriptions, and how frames are sent to them.

A push is written to all its subscribers at once, and never waits. A client whose buffer
fills up is closed, as the exchange does, so that it delays no other client.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.protocol import State

from .dialects import ClientDialect
from .logins import Account

# Seconds in which a peer has to answer a close frame, else its TCP is aborted.
CLOSE_TIMEOUT = 1.0


class ConnectedClient:
    """One open WebSocket of a client, from its handshake to its end.

    *dialect* is how its protocol is read and written, *channels* what it has subscribed
    to, *account* the account of its login, if any, and *active* the monotonic time of
    the last message in either direction. *clock* is by how many seconds the clock of
    the gateway that serves it is ahead.
    """

    def __init__(
        self, connection: ServerConnection, dialect: ClientDialect, now: float
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.channels: set[str] = set()
        self.account: Account | None = None
        self.active = now
        self.clock = 0.0
        self.closing = False

    @property
    def is_open(self) -> bool:
        """Whether a frame can still be sent; asyncio logs each write after the end."""
        return (
            not self.closing
            and self.connection.protocol.state is State.OPEN
            and not _is_closing(self.connection.transport)
        )


class TrackedConnection(ServerConnection):
    """A connection that is in *tracked* from its first byte, before any handshake.

    So `Clients.drop` also aborts a client that is still in its handshake. The
    exchange's event loop calls the methods.
    """

    def __init__(
        self,
        tracked: dict[TrackedConnection, asyncio.Transport],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._tracked = tracked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Track the connection: its TCP is open."""
        super().connection_made(transport)
        self._tracked[self] = self.transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Track the connection no more: its TCP has ended."""
        super().connection_lost(exc)
        self._tracked.pop(self, None)


class Clients:
    """All clients of one exchange: who has subscribed to what, and how to send to them.

    A client that reads too slowly must not delay the others: a send never waits, and a
    client for which more than *buffer_limit* bytes wait is closed, as the exchange
    does. A client that is gone is left out. Only the exchange's event loop calls the
    methods.
    """

    def __init__(self, buffer_limit: int) -> None:
        self.subscribers: dict[str, dict[ConnectedClient, None]] = {}
        self.tracked: dict[TrackedConnection, asyncio.Transport] = {}
        self._buffer_limit = buffer_limit
        self._clients: dict[ConnectedClient, None] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[ConnectedClient]:
        return iter(tuple(self._clients))

    # --- Clients and subscriptions --------------------------------------------------

    def add(self, client: ConnectedClient) -> None:
        """List a client that has connected."""
        self._clients[client] = None

    def remove(self, client: ConnectedClient) -> None:
        """Remove a client that is gone, and its subscriptions."""
        for channel in tuple(client.channels):
            self.forget(client, channel)
        del self._clients[client]

    def note(self, client: ConnectedClient, channel: str) -> bool:
        """Add a subscription of *client*; returns whether it is new."""
        if channel in client.channels:
            return False
        client.channels.add(channel)
        self.subscribers.setdefault(channel, {})[client] = None
        return True

    def forget(self, client: ConnectedClient, channel: str) -> None:
        """Remove the subscription of *channel* by *client*."""
        client.channels.discard(channel)
        subscribers = self.subscribers.get(channel, {})
        subscribers.pop(client, None)
        if not subscribers:
            self.subscribers.pop(channel, None)

    # --- Sending --------------------------------------------------------------------

    def open_ones(self, clients: Iterable[ConnectedClient]) -> list[ConnectedClient]:
        """Those of *clients* to which a frame can still be sent."""
        return [client for client in clients if client.is_open]

    def send(
        self, payload: str | bytes, clients: Collection[ConnectedClient] | None = None
    ) -> int:
        """Send a text or binary frame to *clients*, or to all; returns to how many."""
        to = self.open_ones(self._clients if clients is None else clients)
        broadcast([client.connection for client in to], payload)
        self._sent(to)
        return len(to)

    def send_text_bytes(self, payload: bytes) -> int:
        """Send *payload* to all as a text frame, even if it is not UTF-8.

        Returns to how many.
        """
        to = self.open_ones(self._clients)
        for client in to:
            client.connection.protocol.send_text(payload)
            client.connection.send_data()
        self._sent(to)
        return len(to)

    def _sent(self, clients: Collection[ConnectedClient]) -> None:
        now = time.monotonic()
        for client in self.open_ones(clients):
            client.active = now
            held = client.connection.transport.get_write_buffer_size()
            if held > self._buffer_limit:
                self.close(client, client.dialect.BUFFER_FULL, "buffer full")

    # --- The end --------------------------------------------------------------------

    def close(self, client: ConnectedClient, code: int, reason: str) -> None:
        """Send *client* a close frame; abort its TCP if it does not answer."""
        if client.closing:
            return
        client.closing = True
        task = asyncio.create_task(close(client.connection, code, reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def close_all(self, code: int, reason: str, channel: str | None = None) -> int:
        """Send every client a close frame; returns to how many.

        With *channel*, only clients that have subscribed to it.
        """
        to = self._clients if channel is None else self.subscribers.get(channel, {})
        for client in to:
            self.close(client, code, reason)
        return len(to)

    def close_idle(self, now: float, timeout: float) -> None:
        """Close clients that sent and received nothing for *timeout* seconds."""
        for client in self._clients:
            if now - client.active > timeout:
                reason = f"No data received in {timeout:g}s"
                self.close(client, client.dialect.NO_DATA_RECEIVED, reason)

    def drop(self) -> int:
        """Abort every TCP connection without a close frame; returns how many."""
        transports = tuple(self.tracked.values())
        for transport in transports:
            transport.abort()
        return len(transports)

    async def end(self) -> None:
        """Wait for the clients that are being closed, then drop all that are left."""
        if self._closing:
            await asyncio.wait(self._closing)
        self.drop()
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while self.tracked and time.monotonic() < deadline:
            await asyncio.sleep(0.001)


def _is_closing(transport: asyncio.Transport) -> bool:
    # asyncio's TLS transport does not tell that the TCP below it has ended, and in
    # Python 3.10 it raises if asked after that end. So the TCP transport is asked too.
    tls = getattr(transport, "_ssl_protocol", None)
    tcp = transport if tls is None else getattr(tls, "_transport", transport)
    return tcp is None or tcp.is_closing() or transport.is_closing()


async def close(connection: ServerConnection, code: int, reason: str) -> None:
    """Close *connection*; abort its TCP if the peer does not answer in time."""
    closing = asyncio.ensure_future(connection.close(code, reason))
    await asyncio.wait((closing,), timeout=CLOSE_TIMEOUT)
    connection.transport.abort()
    await closing
