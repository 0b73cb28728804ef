"""The server: its socket, its clients, and the market's pushes to them.

Everything here runs on the one event loop of the exchange.
"""

from __future__ import annotations

import asyncio
import email.utils
import functools
import http
import logging
import os
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ..faults.faults import Faults
from ..faults.rest_faults import RestFaults
from ..faults.spoiling import Spoiler
from ..faults.wording import trade_id, with_clock, with_trade_ids, worded
from ..market import truth
from ..market.instruments import SyntheticInstrument
from ..market.market import Market, SyntheticMarket
from ..wire import v3
from ..wire.v5_data import INST_TYPES
from ..wire.values import EncodedPush
from . import dialects, listing, rest
from .clients import CLOSE_TIMEOUT, Clients, ConnectedClient, TrackedConnection, close
from .listing import Catalogue
from .logins import Accounts
from .record import Record
from .request_handler import WebSocketRequestHandler

HOST = "127.0.0.1"
# Most bytes of a client's message: the limit that the exchange enforced in October
# 2021, with close code 1009, and that v5 documents.
MAX_REQUEST = 65_536
# Most seconds of one step of the market. If the loop was blocked for longer, the market
# stands still for the rest.
MAX_STEP = 0.25
MIN_NAP, MAX_NAP = 0.001, 0.05
# Seconds from the first subscription to the start of the market. A client may need a
# second request, and is to miss nothing of a recorded market.
LEAD = 0.05
# How many old messages come once more after an unsubscribe, if that is asked for.
STRAGGLERS = 3

# A test makes clients and servers fail on purpose, so websockets' log is turned off.
_QUIET = logging.Logger("okex_ws.local_exchange")
_QUIET.disabled = True

ENDED = (1001, "the recording is over")


class Hub:
    """The server of one exchange: accepts clients, moves the market, and sends pushes.

    It joins the parts: the market says what is published, the faults what is withheld
    or spoiled, *record* what is kept for the script. Everything runs on the exchange's
    event loop; a script's thread gets there through `LoopThread`. *speed* is how many
    times as fast as the clock the market moves. If the market raises, `run` closes all
    clients and raises that error.
    """

    def __init__(
        self,
        market: Market,
        record: Record,
        accounts: Accounts,
        *,
        port: int,
        tls: ssl.SSLContext | None,
        speed: float,
        idle_timeout: float,
        buffer_limit: int,
        clock_offset: float,
    ) -> None:
        self.market = market
        self.accounts = accounts
        self.catalogue = Catalogue(market)
        self.clients = Clients(buffer_limit)
        self.faults = Faults()
        self.clock_offset = clock_offset
        self.port = port
        self._request_handler = WebSocketRequestHandler(self)
        self._spoilers: dict[str, Spoiler] = {}
        self.record = record
        self.rest_faults = RestFaults()
        self._rest: rest.RestRequestHandler | None = None
        if isinstance(market, SyntheticMarket):
            self._rest = rest.RestRequestHandler(market, self._present)
        self._tls = tls
        self._speed = speed
        self._idle_timeout = idle_timeout
        self._starts: float | None = None
        self._server: Server | None = None
        self._reserved: socket.socket | None = None

    def wall(self) -> float:
        """The exchange's own time of day, in epoch seconds."""
        return time.time() + self.clock_offset

    # --- Start, listening and end ---------------------------------------------------

    async def run(self, ready: Callable[[], None], stop: asyncio.Event) -> None:
        """Serve until *stop* is set; call *ready* when clients can connect."""
        self._reserve()
        await self.listen()
        stopped = asyncio.create_task(stop.wait())
        market = asyncio.create_task(self._run_market())
        ready()
        await asyncio.wait((stopped, market), return_when=asyncio.FIRST_COMPLETED)
        await self._shut()
        if market.done():
            market.result()  # the market's task ends only by an error: raise it

    async def listen(self) -> None:
        """Accept connections, on the port that a bound socket has reserved."""
        if self._reserved is None:
            return
        reserved, self._reserved = self._reserved, None
        tracked = functools.partial(TrackedConnection, self.clients.tracked)
        self._server = await serve(
            self._serve_client,
            sock=reserved,
            ssl=self._tls,
            create_connection=cast("type[ServerConnection]", tracked),
            process_request=self._shake_hands,
            process_response=self._date,
            compression=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=CLOSE_TIMEOUT,
            max_size=MAX_REQUEST,
            logger=_QUIET,
        )

    async def refuse(self) -> None:
        """Stop listening but keep the port: new connections are refused.

        The operating system refuses them, as on a port where no program listens.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close(close_connections=False)
        while server.is_serving():
            await asyncio.sleep(0)
        self._reserve()

    def _reserve(self) -> None:
        """Bind a socket without listening, to the same port as before if any."""
        held = socket.socket()
        try:
            if os.name != "nt":  # on Windows the option lets two sockets share a port
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
        self.clients.close_all(1001, "the local exchange is closing")
        await self.clients.end()

    # --- One client -----------------------------------------------------------------

    async def _shake_hands(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        if request.path.startswith(rest.PREFIXES):
            return await self._answer(connection, request)
        self.record.count_handshake()
        if self.faults.handshake_delay:
            await asyncio.sleep(self.faults.handshake_delay)
        if answer := self.faults.http_answer():
            return response(answer.status, answer.headers, answer.body, self.wall())
        if dialects.dialect(request.path) is None:
            return response(404, {}, "not found\n", self.wall())
        return None

    async def _answer(self, connection: ServerConnection, request: Request) -> Response:
        """The response to plain HTTP; 404 for a recorded market, which has no REST."""
        target = request.path
        self.record.note_rest_request(target)
        if self._rest is None:
            return response(404, {}, "not found\n", self.wall())
        fault = self.rest_faults.take(target)
        scheme = "http" if self._tls is None else "https"
        said = self._rest.answer(
            target,
            self.wall(),
            self.rest_faults,
            fault,
            f"{scheme}://{request.headers.get('Host', '')}",
            request.headers.get("Range"),
        )
        if fault is not None and fault.seconds:
            await asyncio.sleep(fault.seconds)
        if fault is not None and fault.how == "drop":
            connection.transport.abort()
        headers = {"Content-Type": "application/json", **said.headers}
        if said.length is not None:
            headers["Content-Length"] = str(said.length)
        return response(said.status, headers, said.body, self.wall())

    def _date(
        self, connection: ServerConnection, request: Request, response: Response
    ) -> None:
        if response.status_code == 101:
            set_date(response.headers, self.wall())

    async def _serve_client(self, connection: ServerConnection) -> None:
        if self.market.ended:
            # A recorded market has ended; there is nothing more to serve.
            await close(connection, *ENDED)
            return
        assert connection.request is not None
        dialect = dialects.dialect(connection.request.path)
        assert dialect is not None
        client = ConnectedClient(connection, dialect, time.monotonic())
        client.clock = self.faults.gateway_clock
        self.clients.add(client)
        self.record.count_clients(+1)
        try:
            while True:
                message = await connection.recv()
                client.active = time.monotonic()
                self.record.note_request(message)
                self._request_handler.answer(client, message)
        except ConnectionClosed:
            pass  # the loop ends in no other way
        finally:
            self.clients.remove(client)
            self.record.count_clients(-1)

    def open(self, channel: str, client: ConnectedClient) -> None:
        """Push to *client* what a new subscriber of *channel* gets at once."""
        if self._starts is None and channel in self.market.channels:
            self._starts = time.monotonic() + LEAD
        present = self.catalogue.present(channel, self.wall(), _uid(client))
        if present and self.faults.active_fault(channel, ("no snapshot",)):
            self.faults.count_down(channel, "no snapshot")
        elif present:
            self._push(present, (client,))
        self._keep_book(channel)

    # --- The market -----------------------------------------------------------------

    async def _run_market(self) -> None:
        then = time.monotonic()
        while True:
            await asyncio.sleep(self._nap())
            now = time.monotonic()
            if self._starts is not None and now >= self._starts:
                passed = now - max(then, self._starts)
                self._move(min(passed, MAX_STEP) * self._speed)
            then = now
            self.clients.close_idle(now, self._idle_timeout)

    def _nap(self) -> float:
        if self._starts is None:
            return MAX_NAP
        return min(max(self.market.due() / self._speed, MIN_NAP), MAX_NAP)

    def _move(self, seconds: float) -> None:
        subscribers = self.clients.subscribers
        for push in self.market.advance(seconds, self.wall(), subscribers):
            self._push(push, subscribers.get(push.channel, ()))
            self._keep_book(push.channel)
        if self.market.ended:
            self.clients.close_all(*ENDED)
            self.record.note_change()

    def _push(self, push: EncodedPush, clients: Collection[ConnectedClient]) -> None:
        clients = self.clients.open_ones(clients)
        if not clients or self.faults.silences(push.channel):
            return
        spoiler = self._spoilers.get(push.channel)
        sent = [push] if spoiler is None else spoiler.sent(push, self.faults)
        self._deliver(map(self._in_other_words, sent), clients)

    def _in_other_words(self, push: EncodedPush) -> EncodedPush:
        """*push* with the trade ids and the wording that the faults give it."""
        if more := self.faults.trade_ids.get(push.channel, 0):
            push = with_trade_ids(push, more)
        how = self.faults.wording(push.channel)
        return push if how is None else worded(push, how)

    def _deliver(
        self, pushes: Iterable[EncodedPush], clients: Collection[ConnectedClient]
    ) -> None:
        for push in pushes:
            self.record.note_push(push)
            self._send(push, clients)

    def _keep_book(self, channel: str) -> None:
        """Let a spoiler keep the book that was just sent, before its next change."""
        if spoiler := self._spoilers.get(channel):
            spoiler.keep_book(self.faults)

    def _send(self, push: EncodedPush, clients: Collection[ConnectedClient]) -> int:
        told = 0
        for clock in dict.fromkeys(client.clock for client in clients):
            said = with_clock(push, clock)
            frame = v3.deflate(said.text) if said.frame is None else said.frame
            told += self.clients.send(
                frame, [client for client in clients if client.clock == clock]
            )
        return told

    def straggle(self, channel: str, client: ConnectedClient) -> None:
        """Send *client* again what was last sent on *channel*, if that is asked for."""
        if self.faults.straggles(channel):
            for push in self.record.last_pushes(channel, STRAGGLERS):
                self._send(push, (client,))

    # --- What a script asks for -----------------------------------------------------

    def set_gateway_clock(self, seconds: float, connected: bool) -> None:
        """Serve new clients by a clock *seconds* ahead, and *connected* ones too."""
        self.faults.gateway_clock = seconds
        for client in self.clients if connected else ():
            client.clock = seconds

    def number_trades(self, channel: str, first: int) -> None:
        """Number the trades of *channel* so that the last one has the id *first*."""
        present = self.market.present(channel, self.wall())
        last = present and trade_id(present)
        self.faults.trade_ids[channel] = first - last if last else 0

    def log_out(self) -> int:
        """Forget the logins of all clients; returns how many had one."""
        clients = [client for client in self.clients if client.account is not None]
        for client in clients:
            client.account = None
        return len(clients)

    def push(self, channel: str, element: Any) -> int:
        """Push *element* to the subscribers of *channel*; returns how many got it."""
        self.catalogue.set_state(channel, element)
        clients = self.clients.open_ones(self.clients.subscribers.get(channel, ()))
        if not clients or self.faults.silences(channel):
            return 0
        self.record.note_push(listing.push(channel, element))
        # Each client's push carries the number of its own account.
        return sum(
            self._send(listing.push(channel, element, _uid(client)), (client,))
            for client in clients
        )

    def list(self, each: SyntheticInstrument, ends: float | None = None) -> None:
        """Tell the subscribers of v5's list of instruments about *each*."""
        kind = INST_TYPES[each.market]
        self.push(f"instruments:instType={kind}", listing.instrument(each, ends))

    def spoil(self, channel: str, how: str, times: int | None) -> None:
        """Add the fault *how* to the book of *channel*."""
        self.faults.spoil(channel, how, times)
        if channel not in self._spoilers:

            def present() -> EncodedPush | None:
                return self.market.present(channel, self.wall())

            self._spoilers[channel] = Spoiler(channel, present)
        self._keep_book(channel)

    def last_book(self, channel: str) -> truth.Said:
        """The book as it was last published, regardless of what was sent instead."""
        return truth.read_snapshot(self._present(channel, self.wall()))

    def _present(self, channel: str, wall: float) -> EncodedPush | None:
        """What was last published on *channel*, numbered as its subscribers know it."""
        present = self.market.present(channel, wall)
        spoiler = self._spoilers.get(channel)
        return spoiler.numbered(present) if present and spoiler else present

    async def heal(self) -> None:
        """End every fault, send the messages held back, and listen again."""
        self.faults = Faults()
        self.set_gateway_clock(0.0, connected=True)
        self.rest_faults.heal()
        for channel, spoiler in self._spoilers.items():
            late = spoiler.release()
            if clients := self.clients.subscribers.get(channel):
                self._deliver(late, clients)
        await self.listen()

    def send_each(self, word: Callable[[ConnectedClient], str | None]) -> int:
        """Send every client the text that *word* gives for it.

        *word* gives ``None`` for a client that is to get nothing. Returns how many got
        a text.
        """
        told = 0
        for client in self.clients.open_ones(self.clients):
            text = word(client)
            if text is not None:
                told += self.clients.send(client.dialect.frame(text), (client,))
        return told


def _uid(client: ConnectedClient) -> str | None:
    return client.account.uid if client.account else None


_STATUSES = frozenset(map(int, http.HTTPStatus))


def response(
    status: int, headers: Mapping[str, str], body: str | bytes, wall: float
) -> Response:
    """An HTTP response that opens no WebSocket."""
    phrase = http.HTTPStatus(status).phrase if status in _STATUSES else "Unknown"
    data = body.encode() if isinstance(body, str) else body
    own = Headers(
        {
            "Date": email.utils.formatdate(wall, usegmt=True),
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(data)),
            "Connection": "close",
            **headers,
        }
    )
    return Response(status, phrase, own, data)


def set_date(headers: Headers, wall: float) -> None:
    """Put the exchange's own time into the ``Date`` header."""
    if "Date" in headers:
        del headers["Date"]
    headers["Date"] = email.utils.formatdate(wall, usegmt=True)
