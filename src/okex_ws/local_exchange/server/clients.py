"""The open WebSockets: who they are, what they subscribed, and how they are sent to.

One write goes to all subscribers of a push at once, and never waits: a client whose
buffer fills up is dropped, as the exchange does, and holds up nobody else.
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

# How long a peer may take to answer our close frame before its TCP is aborted.
CLOSE_TIMEOUT = 1.0


class ConnectedClient:
    """One open WebSocket, how it is spoken to, what it subscribed, and who it is."""

    def __init__(
        self, connection: ServerConnection, dialect: ClientDialect, now: float
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.channels: set[str] = set()
        self.account: Account | None = None
        self.active = now
        self.closing = False

    @property
    def is_open(self) -> bool:
        """Whether a frame can still be sent. asyncio logs what comes after the end."""
        return (
            not self.closing
            and self.connection.protocol.state is State.OPEN
            and not _is_closing(self.connection.transport)
        )


class TrackedConnection(ServerConnection):
    """A connection that is listed from its first byte, before any handshake."""

    def __init__(
        self,
        tracked: dict[TrackedConnection, asyncio.Transport],
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._tracked = tracked

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first byte may come now."""
        super().connection_made(transport)
        self._tracked[self] = self.transport

    def connection_lost(self, exc: Exception | None) -> None:
        """No byte will come any more."""
        super().connection_lost(exc)
        self._tracked.pop(self, None)


class Clients:
    """All clients; one whose buffer holds more than *buffer_limit* bytes is closed."""

    def __init__(self, buffer_limit: int) -> None:
        self.subscribers: dict[str, dict[ConnectedClient, None]] = {}
        self.tracked: dict[TrackedConnection, asyncio.Transport] = {}
        self._buffer_limit = buffer_limit
        self._clients: dict[ConnectedClient, None] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[ConnectedClient]:
        return iter(tuple(self._clients))

    # --- Who they are ---------------------------------------------------------------

    def add(self, client: ConnectedClient) -> None:
        """A client came."""
        self._clients[client] = None

    def remove(self, client: ConnectedClient) -> None:
        """A client is gone, and its subscriptions with it."""
        for channel in tuple(client.channels):
            self.forget(client, channel)
        del self._clients[client]

    def note(self, client: ConnectedClient, channel: str) -> bool:
        """*client* subscribed *channel*; whether it had not before."""
        if channel in client.channels:
            return False
        client.channels.add(channel)
        self.subscribers.setdefault(channel, {})[client] = None
        return True

    def forget(self, client: ConnectedClient, channel: str) -> None:
        """*client* is subscribed to *channel* no more."""
        client.channels.discard(channel)
        subscribers = self.subscribers.get(channel, {})
        subscribers.pop(client, None)
        if not subscribers:
            self.subscribers.pop(channel, None)

    # --- Sending --------------------------------------------------------------------

    def open_ones(self, clients: Iterable[ConnectedClient]) -> list[ConnectedClient]:
        """Those of *clients* to whom a frame can still be sent."""
        return [client for client in clients if client.is_open]

    def send(
        self, payload: str | bytes, clients: Collection[ConnectedClient] | None = None
    ) -> int:
        """Send a text or a binary frame to *clients*, or to all; how many they are."""
        to = self.open_ones(self._clients if clients is None else clients)
        broadcast([client.connection for client in to], payload)
        self._sent(to)
        return len(to)

    def send_text_bytes(self, payload: bytes) -> int:
        """Send *payload* to all as a text frame, be it UTF-8 or not."""
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
        """Send *client* a close frame, and end its TCP if it does not answer."""
        if client.closing:
            return
        client.closing = True
        task = asyncio.create_task(close(client.connection, code, reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def close_all(self, code: int, reason: str) -> int:
        """Send every client a close frame; how many they are."""
        for client in self._clients:
            self.close(client, code, reason)
        return len(self._clients)

    def close_idle(self, now: float, timeout: float) -> None:
        """Close those who neither said nor were sent anything for *timeout* seconds."""
        for client in self._clients:
            if now - client.active > timeout:
                reason = f"No data received in {timeout:g}s"
                self.close(client, client.dialect.NO_DATA_RECEIVED, reason)

    def drop(self) -> int:
        """Abort every TCP connection without a word; how many they are."""
        transports = tuple(self.tracked.values())
        for transport in transports:
            transport.abort()
        return len(transports)

    async def end(self) -> None:
        """Wait for those that are being closed, and drop what is left."""
        if self._closing:
            await asyncio.wait(self._closing)
        self.drop()
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while self.tracked and time.monotonic() < deadline:
            await asyncio.sleep(0.001)


def _is_closing(transport: asyncio.Transport) -> bool:
    # A TLS transport of asyncio does not say that the TCP below it has ended, and that
    # of Python 3.10 breaks when asked after that end: ask the one below, if one is.
    tls = getattr(transport, "_ssl_protocol", None)
    tcp = transport if tls is None else getattr(tls, "_transport", transport)
    return tcp is None or tcp.is_closing() or transport.is_closing()


async def close(connection: ServerConnection, code: int, reason: str) -> None:
    """Close *connection*, and abort its TCP if the peer takes its time."""
    closing = asyncio.ensure_future(connection.close(code, reason))
    await asyncio.wait((closing,), timeout=CLOSE_TIMEOUT)
    connection.transport.abort()
    await closing
