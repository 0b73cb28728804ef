"""A world in virtual time: one exchange, one clock, and nothing that really waits.

Every connection has a thread of its own, and only the thread with the baton runs.
`FakeNetwork.wait` hands the baton to the first connection, in the order of their
starts, that has anything to do. If no connection has, the clock moves to the next event
or to the end of the earliest wait; the thread that moved it runs what is due then. A
test schedules its readings with `World.at` and looks at the results after `World.run`.
The server side of the framing is the ``websockets`` package's, without its I/O.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
import re
import threading
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from email.utils import formatdate
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from okex_ws import Feed, OkexWSError, Reconnect, Venue, WSSubscription
from okex_ws.base.clock import Clock
from okex_ws.base.errors import ConnectionLost
from okex_ws.pool.connection import Connection
from okex_ws.pool.pool import Pool
from tests.support.internals import (
    network_of,
    pool_of,
    reading_of,
    thread_of,
    wrap_connection_threads,
)

# Each world has a host of its own: the gap between connections to one host is kept for
# the whole process.
_WORLDS = itertools.count()
START = 1_600_000_000.0
LATENCY = 0.05
# Real seconds after which a thread that still waits for the baton fails.
LIMIT = 30.0
# A request for nothing but a list of instruments.
_LISTS = re.compile(r'"args":\[\{"channel":"instruments","instType":"\w+"\}\]')


def compact(message: object) -> str:
    """*message* as JSON without a space, as the exchange writes it."""
    return json.dumps(message, separators=(",", ":"))


def deflate(text: str) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text.encode()) + packer.flush()


class FakeClock:
    """A monotonic and a wall clock; the wall clock can be stepped by *offset* alone.

    A test may replace *look*, which each look at the monotonic clock calls.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.offset = START - self.now
        self.look: Callable[[], float] = lambda: self.now

    def monotonic(self) -> float:
        return self.look()

    def wall(self) -> float:
        return self.now + self.offset


def listen(sub: WSSubscription, on_message: Callable[[str], object] | None) -> None:
    """Give *sub* an *on_message* that it was not made with."""
    reading = reading_of(sub)
    reading.callbacks.on_message = on_message
    reading.wants_pushes = reading.wants_data = reading.wants_items = True


# --- What the exchange speaks -------------------------------------------------------


def stamp(time_ms: int) -> str:
    """The time *time_ms* after the world's beginning, as v3 writes it."""
    seconds, ms = divmod(int(START * 1000) + time_ms, 1000)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms:03}Z"


# Levels, each with its price and its size.
Rows = Iterable[tuple[str, str]]


class Proof(NamedTuple):
    """The instrument of a book's message, and what proves the message."""

    name: str
    checksum: int
    prev_seq: int
    seq: int


class V3:
    """Speaks v3: deflated binary frames; a channel is a string, and its own key."""

    base = "/ws/v3"

    @staticmethod
    def send(protocol: ServerProtocol, text: str) -> None:
        protocol.send_binary(deflate(text))

    @staticmethod
    def key(arg: Any) -> str:
        return str(arg)

    @staticmethod
    def channel(topic: str, name: str = "BTC-USDT") -> str:
        """The key of *topic*, which is the library's name, for one instrument."""
        return f"spot/{topic}:{name}"

    @staticmethod
    def ack(op: str, arg: Any, request: dict[str, Any]) -> dict[str, Any]:
        return {"event": op, "channel": arg}

    @staticmethod
    def error(code: Any, message: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"event": "error", "message": message, "errorCode": code}

    @staticmethod
    def unknown(arg: Any) -> tuple[int, str]:
        """The error for a channel that does not exist."""
        return 30040, f"Channel {arg} doesn't exist"

    @staticmethod
    def logged_in() -> dict[str, Any]:
        return {"event": "login", "success": True}

    @staticmethod
    def objection(path: str, arg: Any, logged_in: bool) -> tuple[int, str] | None:
        """The error with which the exchange refuses *arg* here, or ``None``."""
        topic = arg.partition("/")[2].partition(":")[0]
        private = topic in ("account", "margin_account", "order", "position")
        return (30041, "User not logged in") if private and not logged_in else None

    @staticmethod
    def depth(
        time_ms: int, bid: str = "100.1", ask: str = "100.2", name: str = "BTC-USDT"
    ) -> dict[str, Any]:
        """A ``spot/depth5`` push of one level a side."""
        element = {
            "asks": [[ask, "2", "1"]],
            "bids": [[bid, "1", "1"]],
            "instrument_id": name,
            "timestamp": stamp(time_ms),
        }
        return {"table": "spot/depth5", "data": [element]}

    @staticmethod
    def book(
        whole: bool, bids: Rows, asks: Rows, time_ms: int, proof: Proof, topic: str
    ) -> dict[str, Any]:
        """A push of a whole book of spot, which its checksum proves."""
        element = {
            "instrument_id": proof.name,
            "asks": [[price, size, "1"] for price, size in asks],
            "bids": [[price, size, "1"] for price, size in bids],
            "timestamp": stamp(time_ms),
            "checksum": proof.checksum,
        }
        action = "partial" if whole else "update"
        return {"table": f"spot/{topic}", "action": action, "data": [element]}

    @staticmethod
    def trade(trade_id: str, time_ms: int, name: str = "BTC-USDT") -> dict[str, Any]:
        """A ``spot/trade`` push."""
        element = {
            "side": "buy",
            "trade_id": trade_id,
            "price": "100.1",
            "size": "3",
            "instrument_id": name,
            "timestamp": stamp(time_ms),
        }
        return {"table": "spot/trade", "data": [element]}

    @staticmethod
    def candle(
        start_ms: int, close: str = "100.1", name: str = "BTC-USDT"
    ) -> dict[str, Any]:
        """A ``spot/candle60s`` push."""
        values = [stamp(start_ms), "99", "101", "98", close, "7"]
        element = {"candle": values, "instrument_id": name}
        return {"table": "spot/candle60s", "data": [element]}


class V5:
    """Speaks v5: text frames; a channel is an object, its key the joined values."""

    base = "/ws/v5"
    BUSINESS = ("candle", "mark-price-candle", "index-candle", "trades-all", "sprd-")
    PRIVATE = ("account", "positions", "balance_and_position", "orders", "fills")

    @staticmethod
    def send(protocol: ServerProtocol, text: str) -> None:
        protocol.send_text(text.encode())

    @staticmethod
    def key(arg: Any) -> str:
        return ":".join(arg.values())

    @staticmethod
    def channel(topic: str, name: str = "BTC-USDT") -> str:
        """The key of *topic*, which is the library's name, for one instrument."""
        own = {"depth5": "books5", "trade": "trades", "candle60s": "candle1m"}
        own |= {"depth": "books", "depth_l2_tbt": "books-l2-tbt"}
        return f"{own.get(topic, topic)}:{name}"

    @staticmethod
    def ack(op: str, arg: Any, request: dict[str, Any]) -> dict[str, Any]:
        return {**V5.id_of(request), "event": op, "arg": arg, "connId": "a4d3ae55"}

    @staticmethod
    def error(code: Any, message: str, request: dict[str, Any]) -> dict[str, Any]:
        said = {"event": "error", "code": code, "msg": message, "connId": "a4d3ae55"}
        return {**V5.id_of(request), **said}

    @staticmethod
    def id_of(request: dict[str, Any]) -> dict[str, Any]:
        return {"id": request["id"]} if "id" in request else {}

    @staticmethod
    def unknown(arg: Any) -> tuple[str, str]:
        """The error for a channel that does not exist."""
        told = ",".join(f"{name}:{value}" for name, value in arg.items())
        return "60018", f"Wrong URL or {told} doesn't exist."

    @staticmethod
    def logged_in() -> dict[str, Any]:
        return {"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"}

    @staticmethod
    def objection(path: str, arg: Any, logged_in: bool) -> tuple[str, str] | None:
        """The error with which the exchange refuses *arg* here, or ``None``."""
        name = arg["channel"]
        where = "public"
        if name.startswith(V5.BUSINESS) or name == "orders-algo":
            where = "business"
        elif name in V5.PRIVATE:
            where = "private"
        if path != where:
            return V5.unknown(arg)
        private = where == "private" or name == "orders-algo"
        return ("60011", "Please log in") if private and not logged_in else None

    @staticmethod
    def push(channel: str, element: Any, name: str = "BTC-USDT") -> dict[str, Any]:
        """A push of any channel of one instrument."""
        return {"arg": {"channel": channel, "instId": name}, "data": [element]}

    @staticmethod
    def depth(
        time_ms: int,
        bid: str = "100.1",
        ask: str = "100.2",
        name: str = "BTC-USDT",
        channel: str = "books5",
        seq: int | None = None,
    ) -> dict[str, Any]:
        """A ``books5`` or ``bbo-tbt`` push of one level a side."""
        element = {
            "asks": [[ask, "2", "0", "1"]],
            "bids": [[bid, "1", "0", "1"]],
            "instId": name,
            "ts": V5.stamp(time_ms),
            "seqId": 1000 + time_ms if seq is None else seq,
        }
        if channel == "bbo-tbt":
            del element["instId"]
        return V5.push(channel, element, name)

    @staticmethod
    def book(
        whole: bool, bids: Rows, asks: Rows, time_ms: int, proof: Proof, topic: str
    ) -> dict[str, Any]:
        """A push of a whole book, which its sequence proves."""
        element = {
            "asks": [[price, size, "0", "1"] for price, size in asks],
            "bids": [[price, size, "0", "1"] for price, size in bids],
            "ts": V5.stamp(time_ms),
            "checksum": 0,
            "prevSeqId": proof.prev_seq,
            "seqId": proof.seq,
        }
        channel = V5.channel(topic, "").rstrip(":")
        action = "snapshot" if whole else "update"
        return {**V5.push(channel, element, proof.name), "action": action}

    @staticmethod
    def trade(trade_id: str, time_ms: int, name: str = "BTC-USDT") -> dict[str, Any]:
        """A ``trades`` push."""
        element = {
            "instId": name,
            "tradeId": trade_id,
            "px": "100.1",
            "sz": "3",
            "side": "buy",
            "ts": V5.stamp(time_ms),
            "count": "1",
        }
        return V5.push("trades", element, name)

    @staticmethod
    def candle(
        start_ms: int, close: str = "100.1", name: str = "BTC-USDT"
    ) -> dict[str, Any]:
        """A ``candle1m`` push of a bar that is not complete."""
        volumes = ["7", "700", "700", "0"]
        element = [V5.stamp(start_ms), "99", "101", "98", close, *volumes]
        return V5.push("candle1m", element, name)

    @staticmethod
    def stamp(time_ms: int) -> str:
        """The time *time_ms* after the world's beginning, as v5 writes it."""
        return str(int(START * 1000) + time_ms)


DIALECTS: dict[str, Any] = {"v3": V3, "v5": V5}
depth = V3.depth
trade = V3.trade


# --- The exchange -------------------------------------------------------------------


class Peer:
    """The exchange's end of one connection; *path* is v5's path, ``''`` under v3."""

    def __init__(self, world: World, stream: FakeStream, url: str) -> None:
        self.url = url
        self.path = urlsplit(url).path.removeprefix(world.dialect.base).strip("/")
        # The channels that are subscribed: the argument of each, by its key.
        self.subscribed: dict[str, Any] = {}
        # The lists of instruments, which a feed follows of its own.
        self.lists: dict[str, Any] = {}
        self.logged_in = False
        self.outbox = bytearray()
        self._world = world
        self._stream = stream
        self._protocol = ServerProtocol()

    @property
    def is_open(self) -> bool:
        """Whether the client has not closed the connection."""
        return not self._stream.closed

    def take(self, data: bytes) -> None:
        """Handle bytes that the client sent."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                response = self._protocol.accept(event)
                del response.headers["Date"]
                wall = self._world.exchange.wall()
                response.headers["Date"] = formatdate(wall, usegmt=True)
                self._protocol.send_response(response)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._world.exchange.asked(self, bytes(event.data).decode())
        self._ship()

    def send(self, message: object) -> None:
        """Send *message* as the exchange does: as JSON, or a text as it is."""
        if self.is_open:
            text = message if isinstance(message, str) else compact(message)
            self._world.dialect.send(self._protocol, text)
            self._ship()

    def send_bytes(self, payload: bytes) -> None:
        """Send a binary frame of this *payload*."""
        self._protocol.send_binary(payload)
        self._ship()

    def send_as_text(self, payload: bytes) -> None:
        """Send a text frame of this *payload*, which may be no text."""
        self._protocol.send_text(payload)
        self._ship()

    def _ship(self) -> None:
        self.outbox += b"".join(self._protocol.data_to_send())

    def end(self, key: str) -> None:
        """End a channel unasked, by the acknowledgement of an unsubscribe."""
        arg = self.subscribed.pop(key)
        self.send(self._world.dialect.ack("unsubscribe", arg, {}))

    def drop(self, reason: str = "reset by peer") -> None:
        """End the connection without a close frame."""
        self._stream.end = ConnectionLost(self.url, reason)
        self._stream.ready = True

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame."""
        self._protocol.send_close(code, reason)
        self._ship()


class ClientMessage(NamedTuple):
    """A text that a client sent, with its time and its connection."""

    at: float
    text: str
    peer: Peer


class Exchange:
    """The exchange: it acknowledges, answers pings, and pushes what the test says."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dialect = world.dialect
        self.log: list[ClientMessage] = []
        self.answers_pings = True
        self.acknowledges = True
        self.answers_logins = True
        # By their keys: channels that do not exist, and errors for other channels.
        self.unknown: set[str] = set()
        self.refusals: dict[str, tuple[Any, str]] = {}
        self.login_refusal: tuple[Any, str] | None = None
        self.login_close: int | None = None
        # Pushes that follow the acknowledgement of their channel; a function is called
        # to make its push.
        self.first_pushes: dict[str, Any] = {}
        # Seconds that the exchange's clock is ahead of the client's.
        self.ahead = 0.0

    def wall(self) -> float:
        """What the exchange's clock shows."""
        return self._world.clock.wall() + self.ahead

    def asked(self, peer: Peer, text: str) -> None:
        """Note the *text* of a client, and answer it after `LATENCY`."""
        self.log.append(ClientMessage(self._world.clock.now, text, peer))
        self._world.after(LATENCY, lambda: self._answer(peer, text))

    def _answer(self, peer: Peer, text: str) -> None:
        if text == "ping":
            if self.answers_pings:
                peer.send("pong")
            return
        request = json.loads(text)
        if request["op"] == "login":
            self.answer_login(peer, request)
            return
        for arg in request["args"]:
            self.answer_one(peer, request, arg)

    def answer_login(self, peer: Peer, request: dict[str, Any]) -> None:
        if self.login_close is not None:
            peer.close(self.login_close, "login failed")
        elif self.login_refusal is not None:
            peer.send(self._dialect.error(*self.login_refusal, request))
        elif self.answers_logins:
            peer.logged_in = True
            peer.send(self._dialect.logged_in())

    def answer_one(self, peer: Peer, request: dict[str, Any], arg: Any) -> None:
        op, key = request["op"], self._dialect.key(arg)
        refusal = self._refusal(peer, key, arg)
        if refusal is not None:
            peer.send(self._dialect.error(*refusal, request))
        elif self.acknowledges:
            peer.send(self._dialect.ack(op, arg, request))
            held = peer.lists if key.startswith("instruments:") else peer.subscribed
            if op == "unsubscribe":
                held.pop(key, None)
                return
            # A repeated subscribe is acknowledged, but brings no second first push.
            if key not in held and key in self.first_pushes:
                first = self.first_pushes[key]
                peer.send(first() if callable(first) else first)
            held[key] = arg

    def _refusal(self, peer: Peer, key: str, arg: Any) -> tuple[Any, str] | None:
        if key in self.unknown:
            code, message = self._dialect.unknown(arg)
            return code, message
        objection = self._dialect.objection(peer.path, arg, peer.logged_in)
        return self.refusals.get(key) or objection

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every request of a script, of all connections, in order.

        Pings are left out, and what a feed asks of its own: the list of instruments.
        """
        texts = [said.text for said in self.log if said.text != "ping"]
        return [json.loads(text) for text in texts if not _LISTS.search(text)]

    @property
    def pings(self) -> list[float]:
        """When each ping came, of all connections."""
        return [said.at for said in self.log if said.text == "ping"]


def checksum(bids: Rows, asks: Rows) -> int:
    """The exchange's checksum of a book whose sides are best first."""
    sides = [[*bids][:25], [*asks][:25]]
    turns = itertools.zip_longest(*sides)
    said = [f"{row[0]}:{row[1]}" for pair in turns for row in pair if row]
    value = zlib.crc32(":".join(said).encode())
    return value - (value >> 31 << 32)


class Ladder:
    """The exchange's own book of one instrument, and the messages about it.

    Each new subscriber is sent a snapshot; the test sends everything after that.
    Timestamps are in the world's time.
    """

    def __init__(
        self, world: World, topic: str = "depth", name: str = "BTC-USDT"
    ) -> None:
        self._world = world
        self._topic = topic
        self.name = name
        self.key: str = world.dialect.channel(topic, name)
        self.sides = {
            "bids": {f"{100 - n / 10:.1f}": "1" for n in range(8)},
            "asks": {f"{100.1 + n / 10:.1f}": "2" for n in range(8)},
        }
        self.seq = 1000
        world.exchange.first_pushes[self.key] = self.snapshot

    @property
    def bids(self) -> list[tuple[str, str]]:
        """The bids, best first."""
        rows = self.sides["bids"].items()
        return sorted(rows, key=lambda row: -float(row[0]))

    @property
    def asks(self) -> list[tuple[str, str]]:
        """The asks, best first."""
        return sorted(self.sides["asks"].items(), key=lambda row: float(row[0]))

    def snapshot(self) -> dict[str, Any]:
        """The message of the whole book as it is."""
        return self.message(True, self.bids, self.asks, -1)

    def change(self, side: str = "bids", **sizes: str) -> dict[str, Any]:
        """Change one level of one *side*, and return the message of that.

        The level is given as ``price="100.0", size="2"``.
        """
        price, size = sizes["price"], sizes["size"]
        if float(size):
            self.sides[side][price] = size
        else:
            self.sides[side].pop(price, None)
        before, self.seq = self.seq, self.seq + 5
        rows: dict[str, list[tuple[str, str]]] = {"bids": [], "asks": []}
        rows[side].append((price, size))
        return self.message(False, rows["bids"], rows["asks"], before)

    def idle(self) -> dict[str, Any]:
        """The message that v5 sends when nothing has changed for a minute."""
        return self.message(False, [], [], self.seq)

    def size(self, size: str) -> dict[str, Any]:
        """Change the size at the best bid, and return the message of that."""
        return self.change(price=self.bids[0][0], size=size)

    def message(
        self, whole: bool, bids: Rows, asks: Rows, before: int
    ) -> dict[str, Any]:
        proof = Proof(self.name, checksum(self.bids, self.asks), before, self.seq)
        time_ms = round((self._world.clock.now - self._world.t0) * 1000)
        make = self._world.dialect.book
        made: dict[str, Any] = make(whole, bids, asks, time_ms, proof, self._topic)
        return made

    def send(self, message: object) -> None:
        """Send *message* to every peer that has subscribed to this book."""
        for peer in self._world.peers:
            if self.key in peer.subscribed:
                peer.send(message)


# --- The client's network, and who has the baton ------------------------------------


class FakeStream:
    """The client's end of a connection; what it sends reaches the peer at once."""

    def __init__(self, world: World, url: str) -> None:
        self._world = world
        self.received = bytearray()
        self.heard = world.clock.now
        self.ready = False
        self.closed = False
        self.peer = Peer(world, self, url)
        self.end: OkexWSError | None = None

    def fill(self) -> int:
        self.received += self.peer.outbox
        count = len(self.peer.outbox)
        self.peer.outbox.clear()
        # The end comes after all bytes that came before it.
        self.ready = bool(count) and self.end is not None
        if count:
            self.heard = self._world.clock.now
        elif self.end is not None:
            raise self.end
        return count

    def recv(self, size: int) -> bytes:
        data = bytes(self.peer.outbox[:size])
        del self.peer.outbox[:size]
        return data

    def send(self, data: bytes) -> int:
        self.peer.take(bytes(data))
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    discard = close

    def fileno(self) -> int:
        return -1


class Player:
    """A thread of the world, which runs only while it has the baton."""

    def __init__(self) -> None:
        self.baton = threading.Semaphore(0)
        # When its wait ends; before its first wait it is due at once.
        self.until = -math.inf

    def take_baton(self) -> None:
        """Wait for the baton."""
        assert self.baton.acquire(timeout=LIMIT), "the world stands still"


class FakeNetwork(Player):
    """The client's network: opening takes no time, waiting hands the baton on."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.gone = False
        # Whether its thread is blocked in a callback, and notices nothing.
        self.asleep = False
        self._world = world
        self._woken = False
        self._stream: FakeStream | None = None

    # --- What the library calls -----------------------------------------------------

    def open(
        self, url: str, deadline: float, cancelled: Callable[[], bool]
    ) -> FakeStream:
        world = self._world
        world.opened.append((world.clock.now, url))
        failure = world.failure(url)
        if failure is not None:
            raise failure
        stream = FakeStream(world, url)
        world.peers.append(stream.peer)
        return stream

    def wait(self, timeout: float | None, stream: FakeStream | None = None) -> None:
        self._stream = stream
        self._world.pass_time(self, math.inf if timeout is None else timeout)
        self._stream, self._woken = None, False

    def wake(self) -> None:
        self._woken = True

    def close(self) -> None:
        self._world.closed_networks += 1
        self.gone = True

    discard = close

    # --- What the world calls -------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether its thread has anything to do now."""
        stream = self._stream
        heard = stream is not None and bool(stream.ready or stream.peer.outbox)
        called = not self.asleep and (self._woken or heard)
        return called or self.until <= self._world.clock.now

    def join(self, thread: threading.Thread) -> None:
        """Enter the world; *thread* was started and waits for the baton."""
        self.thread = thread
        self._world.networks.append(self)

    def leave(self) -> None:
        """Leave the world; its thread is about to end."""
        self.gone = True
        self._world.hand_on(None)


_start = Connection.start


def _start_in_the_world(connection: Connection) -> None:
    _start(connection)
    network, thread = network_of(connection), thread_of(connection)
    if isinstance(network, FakeNetwork):
        assert thread is not None
        network.join(thread)


def _run_in_the_world(
    run: Callable[[Connection], None], connection: Connection
) -> None:
    network = network_of(connection)
    if not isinstance(network, FakeNetwork):
        run(connection)
        return
    # This thread waits first: the thread that started it runs on until it waits itself.
    network.take_baton()
    try:
        run(connection)
    finally:
        network.leave()


Connection.start = _start_in_the_world  # type: ignore[assignment,method-assign]
wrap_connection_threads(_run_in_the_world)


# --- The world ----------------------------------------------------------------------


class World:
    """The clock, the exchange, and the events that are scheduled."""

    def __init__(self, protocol: str = "v3") -> None:
        self.protocol = protocol
        self.dialect = DIALECTS[protocol]
        self.clock = FakeClock()
        self.host = f"world-{next(_WORLDS)}.invalid"
        self.url = f"ws://{self.host}{self.dialect.base}"
        self.exchange = Exchange(self)
        # All networks so far, in the order in which their threads were started.
        self.networks: list[FakeNetwork] = []
        self.peers: list[Peer] = []
        self.opened: list[tuple[float, str]] = []
        self.closed_networks = 0
        self.failure: Callable[[str], OkexWSError | None] = lambda url: None
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()
        self._pools: list[Pool] = []
        self._broken: BaseException | None = None
        # The test's own thread: nothing happens before it waits in `run`.
        self._test = Player()
        self.t0 = self.clock.now
        self._end = math.inf

    @property
    def peer(self) -> Peer | None:
        """The exchange's end of the newest connection."""
        return self.peers[-1] if self.peers else None

    def peer_on(self, path: str) -> Peer:
        """The exchange's end of the newest connection to *path*."""
        return [peer for peer in self.peers if peer.path == path][-1]

    # --- Before the run -------------------------------------------------------------

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Have *action* run *seconds* after the world's beginning."""
        self._schedule(self.t0 + seconds, action)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Have *action* run *seconds* from now."""
        self._schedule(self.clock.now + seconds, action)

    def _schedule(self, moment: float, action: Callable[[], object]) -> None:
        heapq.heappush(self._events, (moment, next(self._count), action))

    def options(self) -> dict[str, Any]:
        """The keywords of a `Feed` that inject this world's clock and network."""
        clock: Clock = self.clock
        return {
            "clock": clock,
            "network": lambda: FakeNetwork(self),
            "rng": random.Random(7),
            "reconnect": Reconnect(host_gap=0.0),
            # Its endpoints have no TLS, because nothing leaves this process.
            "allow_plaintext": True,
        }

    def venue(self, *urls: str, **facts: Any) -> Venue:
        """This world's exchange as a venue, at *urls* if given."""
        return Venue("fake", self.protocol, urls or (self.url,), **facts)

    def feed(self, venue: Venue | None = None, **keywords: Any) -> Feed:
        """A feed in this world."""
        feed = Feed(venue or self.venue(), **{**self.options(), **keywords})
        self._pools.append(pool_of(feed))
        return feed

    def subscribe(
        self,
        instrument_id: str = "BTC-USDT",
        market: str = "spot",
        *args: Any,
        **keywords: Any,
    ) -> WSSubscription:
        """A subscription in this world; its thread waits for `run` to begin."""
        if "feed" not in keywords:
            keywords = {"venue": self.venue(), **self.options(), **keywords}
        subscription = WSSubscription(instrument_id, market, *args, **keywords)
        self._pools.append(pool_of(subscription))
        return subscription

    # --- The run --------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let *seconds* pass in the world, then close every feed in it.

        It ends earlier if no connection is left and no event is scheduled.
        """
        self._end = self._test.until = self.t0 + seconds
        self.hand_on(self._test)
        for pool in self._pools:
            pool.close()
        self._test.until = math.inf
        self.hand_on(self._test)
        for network in self.networks:
            network.thread.join(LIMIT)
            assert not network.thread.is_alive()
        if self._broken is not None:
            raise self._broken

    def sleep(self, seconds: float) -> None:
        """Block the thread of the callback that calls this for *seconds*.

        The world goes on meanwhile.
        """
        sleeper = next(
            network
            for network in self.networks
            if network.thread is threading.current_thread()
        )
        sleeper.asleep = True
        self.pass_time(sleeper, seconds)
        sleeper.asleep = False

    def pass_time(self, player: FakeNetwork, seconds: float) -> None:
        """Have *player* wait for *seconds*, or less if anything comes for it."""
        # A slow callback may have moved the clock: first run what became due.
        self.catch_up()
        # A wait of no seconds lets time pass too: a busy loop cannot stop the clock.
        player.until = self.clock.now + max(seconds, 1e-6)
        self.hand_on(player)

    def hand_on(self, player: Player | None) -> None:
        """Hand the baton to the next player; return when *player* has it again.

        Without a *player* it returns at once.
        """
        while (following := self._next()) is None:
            self._move_clock()
        if following is not player:
            following.baton.release()
            if player is not None:
                player.take_baton()

    @property
    def _present(self) -> list[FakeNetwork]:
        return [network for network in self.networks if not network.gone]

    def _next(self) -> Player | None:
        """The player that can go on now; the test comes first once its time is up.

        ``None`` means that all of them wait.
        """
        present = self._present
        if self._test.until <= self.clock.now or not (present or self._has_events):
            return self._test
        return next((network for network in present if network.is_ready), None)

    @property
    def _has_events(self) -> bool:
        return bool(self._events) and self._events[0][0] <= self._end

    def _move_clock(self) -> None:
        """Move the clock to the next event or end of a wait, and run what is due."""
        moments = [player.until for player in (self._test, *self._present)]
        if self._has_events:
            moments.append(self._events[0][0])
        assert min(moments) < math.inf, "everyone waits for ever"
        self.clock.now = max(self.clock.now, min(moments))
        self.catch_up()

    def catch_up(self) -> None:
        """Run all events that are due by now."""
        while self._has_events and self._events[0][0] <= self.clock.now:
            action = heapq.heappop(self._events)[2]
            try:
                action()
            except BaseException as error:
                # The error is the test's own, not the library's: `run` raises it.
                self._broken = self._broken or error
                self._end = self._test.until = self.clock.now
