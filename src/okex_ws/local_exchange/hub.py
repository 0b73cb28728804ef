"""The sockets of the local exchange: everything here runs on its one event loop.

One write goes to all subscribers of a push at once, and never waits: a client whose
buffer fills up is dropped, as the exchange does, and holds up nobody else.
"""

from __future__ import annotations

import asyncio
import functools
import http
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State

from . import v3
from .faults import Faults
from .market import Market
from .record import Record

HOST = "127.0.0.1"
PATH = "/ws/v3"
# The limit that the exchange enforced in October 2021, with close code 1009.
MAX_REQUEST = 65_536
# How long a peer may take to answer our close frame before its TCP is aborted.
CLOSE_TIMEOUT = 1.0
# A loop that was starved for longer lets the market stand still for the rest.
MAX_STEP = 0.25
MIN_NAP, MAX_NAP = 0.001, 0.05

# What clients do wrong is what a test provokes: no news for anybody's log.
_QUIET = logging.Logger("okex_ws.local_exchange")
_QUIET.disabled = True

ENDED = (1001, "the recording is over")


class Client:
    """One open WebSocket and what it subscribed."""

    def __init__(self, connection: ServerConnection, now: float) -> None:
        self.connection = connection
        self.channels: set[str] = set()
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


class _Connection(ServerConnection):
    """A connection that is listed from its first byte, before any handshake."""

    def __init__(
        self, listed: dict[_Connection, asyncio.Transport], *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._listed = listed

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listed[self] = self.transport

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._listed.pop(self, None)


class Hub:
    """The server: clients, subscriptions, and the market's pushes to them."""

    def __init__(
        self,
        market: Market,
        record: Record,
        *,
        tls: ssl.SSLContext | None,
        speed: float,
        idle_timeout: float,
        buffer_limit: int,
    ) -> None:
        self.market = market
        self.faults = Faults()
        self.subscribers: dict[str, dict[Client, None]] = {}
        self.port = 0
        self._record = record
        self._tls = tls
        self._speed = speed
        self._idle_timeout = idle_timeout
        self._buffer_limit = buffer_limit
        self._started = False
        self._clients: dict[Client, None] = {}
        self._listed: dict[_Connection, asyncio.Transport] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._reserved: socket.socket | None = None

    # --- Coming and going -----------------------------------------------------------

    async def run(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Serve until *stop*; *ready* is called once clients can come."""
        self._reserve()
        await self.listen()
        stopped = asyncio.create_task(stop.wait())
        market = asyncio.create_task(self._run_market())
        ready()
        await asyncio.wait((stopped, market), return_when=asyncio.FIRST_COMPLETED)
        await self._shut()
        if market.done():
            market.result()  # it never ends by itself: this raises why it did

    async def listen(self) -> None:
        """Accept connections, on the port that was held in reserve."""
        if self._reserved is None:
            return
        reserved, self._reserved = self._reserved, None
        listed = functools.partial(_Connection, self._listed)
        self._server = await serve(
            self._serve_client,
            sock=reserved,
            ssl=self._tls,
            create_connection=cast("type[ServerConnection]", listed),
            process_request=self._shake_hands,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_REQUEST,
            logger=_QUIET,
        )

    async def refuse(self) -> None:
        """Stop listening, and hold the port: a connection is refused by the system."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close(close_connections=False)
        while server.is_serving():
            await asyncio.sleep(0)
        self._reserve()

    def _reserve(self) -> None:
        """Bind without listening; the same port as before, if there was one."""
        held = socket.socket()
        try:
            if os.name != "nt":  # where it means something else
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((HOST, self.port))
        except OSError:
            held.close()
            raise
        self.port = held.getsockname()[1]
        self._reserved = held

    async def _shut(self) -> None:
        await self.refuse()
        if self._reserved is not None:
            self._reserved.close()
        self.close_clients(1001, "the local exchange is closing")
        if self._tasks:
            await asyncio.wait(self._tasks)
        self.drop()
        deadline = time.monotonic() + CLOSE_TIMEOUT
        while self._listed and time.monotonic() < deadline:
            await asyncio.sleep(0.001)

    # --- One client -----------------------------------------------------------------

    async def _shake_hands(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        self._record.count_handshake()
        if self.faults.handshake_delay:
            await asyncio.sleep(self.faults.handshake_delay)
        if answer := self.faults.http_answer():
            return _response(answer.status, answer.headers, answer.body)
        if request.path.partition("?")[0] != PATH:
            return _response(404, {}, "not found\n")
        return None

    async def _serve_client(self, connection: ServerConnection) -> None:
        if self.market.ended:
            # There is nothing to serve but the end of a market of long ago.
            await _close(connection, *ENDED)
            return
        client = Client(connection, time.monotonic())
        self._clients[client] = None
        self._record.count_clients(+1)
        try:
            while True:
                message = await connection.recv()
                client.active = time.monotonic()
                self._record.note_request(message)
                self._answer(client, message)
        except ConnectionClosed:
            pass  # the only way out
        finally:
            for channel in tuple(client.channels):
                self._forget(client, channel)
            del self._clients[client]
            self._record.count_clients(-1)

    def _answer(self, client: Client, message: str | bytes) -> None:
        request = v3.read_request(message)
        if request.op == "ping":
            self._reply(client, self.faults.pong())
        elif request.op == "subscribe":
            for channel in request.channels:
                self._subscribe(client, channel)
        elif request.op == "unsubscribe":
            for channel in request.channels:
                self._unsubscribe(client, channel)
        else:
            self._reply(client, v3.deflate(v3.unrecognised(message)))

    def _subscribe(self, client: Client, channel: str) -> None:
        if channel in self.faults.ignored:
            return
        if rejection := self.faults.rejection(channel):
            self._reply(client, v3.deflate(rejection))
            return
        if channel not in self.market.channels:
            self._reply(client, v3.deflate(v3.no_such_channel(channel)))
            return
        self._started = True
        self._reply(client, v3.deflate(v3.acknowledgement("subscribe", channel)))
        # A second subscribe is acknowledged and brings no second snapshot (OKJ, 2026).
        if channel in client.channels:
            return
        client.channels.add(channel)
        self.subscribers.setdefault(channel, {})[client] = None
        if present := self.market.present(channel):
            self._push(present, (client,))

    def _unsubscribe(self, client: Client, channel: str) -> None:
        if channel not in self.market.channels:
            self._reply(client, v3.deflate(v3.no_such_channel(channel)))
            return
        self._forget(client, channel)
        self._reply(client, v3.deflate(v3.acknowledgement("unsubscribe", channel)))

    def _forget(self, client: Client, channel: str) -> None:
        client.channels.discard(channel)
        subscribers = self.subscribers.get(channel, {})
        subscribers.pop(client, None)
        if not subscribers:
            self.subscribers.pop(channel, None)

    def _reply(self, client: Client, frame: str | bytes) -> None:
        if not self.faults.mute:
            self.send(frame, (client,))

    # --- The market -----------------------------------------------------------------

    async def _run_market(self) -> None:
        then = time.monotonic()
        while True:
            await asyncio.sleep(self._nap())
            now = time.monotonic()
            if self._started:
                passed = min(now - then, MAX_STEP) * self._speed
                for push in self.market.advance(passed, time.time(), self.subscribers):
                    self._push(push, self.subscribers.get(push.channel, ()))
                if self.market.ended:
                    self.close_clients(*ENDED)
                    self._record.note_change()
            then = now
            self._close_idle(now)

    def _nap(self) -> float:
        if not self._started:
            return MAX_NAP
        return min(max(self.market.due() / self._speed, MIN_NAP), MAX_NAP)

    def _push(self, push: v3.Push, clients: Collection[Client]) -> None:
        clients = self._open_ones(clients)
        if not clients or self.faults.silences(push.channel):
            return
        frame = v3.deflate(push.text) if push.frame is None else push.frame
        self._record.note_push(push.channel, push.element)
        self.send(frame, clients)

    def _close_idle(self, now: float) -> None:
        for client in self._clients:
            if now - client.active > self._idle_timeout:
                reason = f"No data received in {self._idle_timeout:g}s"
                self._close(client, v3.NO_DATA_RECEIVED, reason)

    # --- To all clients, or to some -------------------------------------------------

    def send(
        self, payload: str | bytes, clients: Collection[Client] | None = None
    ) -> int:
        """Send a text or a binary frame to *clients*, or to all; how many they are."""
        to = self._open_ones(self._clients if clients is None else clients)
        broadcast([client.connection for client in to], payload)
        self._sent(to)
        return len(to)

    def send_text_bytes(self, payload: bytes) -> int:
        """Send *payload* to all as a text frame, be it UTF-8 or not."""
        to = self._open_ones(self._clients)
        for client in to:
            client.connection.protocol.send_text(payload)
            client.connection.send_data()
        self._sent(to)
        return len(to)

    def _open_ones(self, clients: Iterable[Client]) -> list[Client]:
        return [client for client in clients if client.is_open]

    def _sent(self, clients: Collection[Client]) -> None:
        now = time.monotonic()
        for client in self._open_ones(clients):
            client.active = now
            held = client.connection.transport.get_write_buffer_size()
            if held > self._buffer_limit:
                self._close(client, v3.BUFFER_FULL, "buffer full")

    def close_clients(self, code: int, reason: str) -> int:
        """Send every client a close frame; how many they are."""
        for client in self._clients:
            self._close(client, code, reason)
        return len(self._clients)

    def drop(self) -> int:
        """Abort every TCP connection without a word; how many they are."""
        transports = tuple(self._listed.values())
        for transport in transports:
            transport.abort()
        return len(transports)

    def _close(self, client: Client, code: int, reason: str) -> None:
        if client.closing:
            return
        client.closing = True
        task = asyncio.create_task(_close(client.connection, code, reason))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_closing(transport: asyncio.Transport) -> bool:
    # A TLS transport of asyncio does not say that the TCP below it has ended, and that
    # of Python 3.10 breaks when asked after that end: ask the one below, if one is.
    tls = getattr(transport, "_ssl_protocol", None)
    tcp = transport if tls is None else getattr(tls, "_transport", transport)
    return tcp is None or tcp.is_closing() or transport.is_closing()


async def _close(connection: ServerConnection, code: int, reason: str) -> None:
    closing = asyncio.ensure_future(connection.close(code, reason))
    await asyncio.wait((closing,), timeout=CLOSE_TIMEOUT)
    connection.transport.abort()
    await closing


def _response(status: int, headers: Any, body: str) -> Response:
    phrase = http.HTTPStatus(status).phrase if status in _STATUSES else "Unknown"
    data = body.encode()
    own = Headers(
        {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(data)),
            "Connection": "close",
            **headers,
        }
    )
    return Response(status, phrase, own, data)


_STATUSES = frozenset(map(int, http.HTTPStatus))
