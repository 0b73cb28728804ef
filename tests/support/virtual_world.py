"""A world in virtual time: one exchange, one clock, and nothing that waits.

Every connection has a thread of its own, and one of them runs at a time: the one that
has the baton. `FakeNetwork.wait` hands it on, to the first connection, in the order in
which they were started, that has anything to do; when none has, the clock moves to the
next event or to the end of the earliest wait, and what is due then happens on the
thread that moved it. A test schedules its readings with `World.at` and looks at the
results after `World.run`. The server side of the framing is the ``websockets``
package's, without its I/O.
"""

from __future__ import annotations

import heapq
import itertools
import json
import math
import random
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

# Each world its own host: the gap between connections to one host is the process's.
_WORLDS = itertools.count()
START = 1_600_000_000.0
LATENCY = 0.05
# Real seconds after which a world that stands still is given up.
LIMIT = 30.0


def deflate(text: str) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text.encode()) + packer.flush()


class FakeClock:
    """Both clocks; *wall* can be stepped on its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.offset = START - self.now

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.offset


def listen(sub: WSSubscription, on_message: Callable[[str], object] | None) -> None:
    """Give it an *on_message* that it was not made with."""
    reading = reading_of(sub)
    reading.callbacks.on_message = on_message
    reading.wants_pushes = reading.wants_every_push = True


# --- What the exchange speaks -------------------------------------------------------


def stamp(time_ms: int) -> str:
    """*time_ms* after the world's beginning, as v3 writes it."""
    seconds, ms = divmod(int(START * 1000) + time_ms, 1000)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms:03}Z"


# Price and size of levels.
Rows = Iterable[tuple[str, str]]


class Proof(NamedTuple):
    """Whose book it is, and what proves a message of it."""

    name: str
    checksum: int
    prev_seq: int
    seq: int


class V3:
    """Deflated binary frames; a channel is a string, and so is its key."""

    base = "/ws/v3"

    @staticmethod
    def send(protocol: ServerProtocol, text: str) -> None:
        protocol.send_binary(deflate(text))

    @staticmethod
    def key(arg: Any) -> str:
        return str(arg)

    @staticmethod
    def channel(topic: str, name: str = "BTC-USDT") -> str:
        """The key of a *topic*, as the library calls it, of one instrument."""
        return f"spot/{topic}:{name}"

    @staticmethod
    def ack(op: str, arg: Any, request: dict[str, Any]) -> dict[str, Any]:
        return {"event": op, "channel": arg}

    @staticmethod
    def error(code: Any, message: str, request: dict[str, Any]) -> dict[str, Any]:
        return {"event": "error", "message": message, "errorCode": code}

    @staticmethod
    def unknown(arg: Any) -> tuple[int, str]:
        """The answer to a channel that does not exist."""
        return 30040, f"Channel {arg} doesn't exist"

    @staticmethod
    def logged_in() -> dict[str, Any]:
        return {"event": "login", "success": True}

    @staticmethod
    def objection(path: str, arg: Any, logged_in: bool) -> tuple[int, str] | None:
        """Why the exchange will not have *arg* on this connection."""
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
        """A push of a whole book of spot; it is proven by its checksum."""
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
    """Text frames; a channel is an object, its key what stands in it, in order."""

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
        """The key of a *topic*, as the library calls it, of one instrument."""
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
        """The answer to a channel that does not exist."""
        told = ",".join(f"{name}:{value}" for name, value in arg.items())
        return "60018", f"Wrong URL or {told} doesn't exist."

    @staticmethod
    def logged_in() -> dict[str, Any]:
        return {"event": "login", "code": "0", "msg": "", "connId": "a4d3ae55"}

    @staticmethod
    def objection(path: str, arg: Any, logged_in: bool) -> tuple[str, str] | None:
        """Why the exchange will not have *arg* on this connection."""
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
        """A push of a whole book; it is proven by its sequence."""
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
        """*time_ms* after the world's beginning, as v5 writes it."""
        return str(int(START * 1000) + time_ms)


DIALECTS: dict[str, Any] = {"v3": V3, "v5": V5}
depth = V3.depth
trade = V3.trade


# --- The exchange -------------------------------------------------------------------


class Peer:
    """The exchange's end of one connection; *path* is v5's, ``''`` under v3."""

    def __init__(self, world: World, stream: FakeStream, url: str) -> None:
        self.url = url
        self.path = urlsplit(url).path.removeprefix(world.dialect.base).strip("/")
        # What it carries: the arguments of their subscribes, by the channels' keys.
        self.subscribed: dict[str, Any] = {}
        self.logged_in = False
        self.outbox = bytearray()
        self._world = world
        self._stream = stream
        self._protocol = ServerProtocol()

    @property
    def is_open(self) -> bool:
        """Whether the client has not closed it."""
        return not self._stream.closed

    def take(self, data: bytes) -> None:
        """Bytes of the client."""
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
        """Send a message as the exchange does: JSON, or a text as it is."""
        if self.is_open:
            text = message if isinstance(message, str) else json.dumps(message)
            self._world.dialect.send(self._protocol, text)
            self._ship()

    def send_bytes(self, payload: bytes) -> None:
        """Send a binary frame of this *payload*."""
        self._protocol.send_binary(payload)
        self._ship()

    def _ship(self) -> None:
        self.outbox += b"".join(self._protocol.data_to_send())

    def end(self, key: str) -> None:
        """End a channel unasked, as if it had been unsubscribed."""
        arg = self.subscribed.pop(key)
        self.send(self._world.dialect.ack("unsubscribe", arg, {}))

    def drop(self, reason: str = "reset by peer") -> None:
        """Have the connection end without a word."""
        self._stream.end = ConnectionLost(self.url, reason)
        self._stream.ready = True

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame."""
        self._protocol.send_close(code, reason)
        self._ship()


class ClientMessage(NamedTuple):
    """What a client said, when and where."""

    at: float
    text: str
    peer: Peer


class Exchange:
    """What the exchange does: acknowledge, answer pings, and push when told to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dialect = world.dialect
        self.log: list[ClientMessage] = []
        self.answers_pings = True
        self.acknowledges = True
        self.answers_logins = True
        # By their keys: channels that do not exist, and those refused otherwise.
        self.unknown: set[str] = set()
        self.refusals: dict[str, tuple[Any, str]] = {}
        self.login_refusal: tuple[Any, str] | None = None
        self.login_close: int | None = None
        # Sent right after the acknowledgement of their channel; made then, if it is
        # a function.
        self.first_pushes: dict[str, Any] = {}
        # How much later its clock is than ours.
        self.ahead = 0.0

    def wall(self) -> float:
        """What the exchange's clock shows."""
        return self._world.clock.wall() + self.ahead

    def asked(self, peer: Peer, text: str) -> None:
        """A client said *text*; the answer takes its time."""
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
            if op == "unsubscribe":
                peer.subscribed.pop(key, None)
                return
            # A second subscribe is acknowledged and brings no second first push.
            if key not in peer.subscribed and key in self.first_pushes:
                first = self.first_pushes[key]
                peer.send(first() if callable(first) else first)
            peer.subscribed[key] = arg

    def _refusal(self, peer: Peer, key: str, arg: Any) -> tuple[Any, str] | None:
        if key in self.unknown:
            code, message = self._dialect.unknown(arg)
            return code, message
        objection = self._dialect.objection(peer.path, arg, peer.logged_in)
        return self.refusals.get(key) or objection

    @property
    def requests(self) -> list[dict[str, Any]]:
        """Every request, on whatever connection, in order."""
        return [json.loads(said.text) for said in self.log if said.text != "ping"]

    @property
    def pings(self) -> list[float]:
        """When each ping came, on whatever connection."""
        return [said.at for said in self.log if said.text == "ping"]


def checksum(bids: Rows, asks: Rows) -> int:
    """The exchange's, of sides that are best first."""
    sides = [[*bids][:25], [*asks][:25]]
    turns = itertools.zip_longest(*sides)
    said = [f"{row[0]}:{row[1]}" for pair in turns for row in pair if row]
    value = zlib.crc32(":".join(said).encode())
    return value - (value >> 31 << 32)


class Ladder:
    """The exchange's own book of one instrument, and the messages that tell of it.

    A snapshot is sent to whoever subscribes; what is sent after that is the test's to
    say. Its times are those of the world.
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
        """Best first."""
        rows = self.sides["bids"].items()
        return sorted(rows, key=lambda row: -float(row[0]))

    @property
    def asks(self) -> list[tuple[str, str]]:
        """Best first."""
        return sorted(self.sides["asks"].items(), key=lambda row: float(row[0]))

    def snapshot(self) -> dict[str, Any]:
        """The whole book as it is."""
        return self.message(True, self.bids, self.asks, -1)

    def change(self, side: str = "bids", **sizes: str) -> dict[str, Any]:
        """The message of a change of one *side*: ``price="100.0", size="2"``."""
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
        """What v5 says of a book that nothing has changed for a minute."""
        return self.message(False, [], [], self.seq)

    def size(self, size: str) -> dict[str, Any]:
        """The message of another size at the best bid."""
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
        """Send it to all who subscribed."""
        for peer in self._world.peers:
            if self.key in peer.subscribed:
                peer.send(message)


# --- The client's network, and who has the baton ------------------------------------


class FakeStream:
    """The client's end; what the client sends goes to the peer at once."""

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
        # An end waits until all that came before it was handed over.
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
    """A thread of the world: it runs while it has the baton."""

    def __init__(self) -> None:
        self.baton = threading.Semaphore(0)
        # Has nothing to do before; nothing at all comes first.
        self.until = -math.inf

    def take_baton(self) -> None:
        """Wait for the baton."""
        assert self.baton.acquire(timeout=LIMIT), "the world stands still"


class FakeNetwork(Player):
    """The client's network: opening takes no time, waiting hands the baton on."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.gone = False
        # Hears nothing, as a thread does not that is in a callback.
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
        """Whether it has anything to do now."""
        stream = self._stream
        heard = stream is not None and bool(stream.ready or stream.peer.outbox)
        called = not self.asleep and (self._woken or heard)
        return called or self.until <= self._world.clock.now

    def join(self, thread: threading.Thread) -> None:
        """Its thread was started, and waits for the baton."""
        self.thread = thread
        self._world.networks.append(self)

    def leave(self) -> None:
        """Its thread is about to end."""
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
    # Before its first step: what the thread that started it does comes first.
    network.take_baton()
    try:
        run(connection)
    finally:
        network.leave()


Connection.start = _start_in_the_world  # type: ignore[assignment,method-assign]
wrap_connection_threads(_run_in_the_world)


# --- The world ----------------------------------------------------------------------


class World:
    """Clock, exchange, and what is to happen when."""

    def __init__(self, protocol: str = "v3") -> None:
        self.protocol = protocol
        self.dialect = DIALECTS[protocol]
        self.clock = FakeClock()
        self.host = f"world-{next(_WORLDS)}.invalid"
        self.url = f"ws://{self.host}{self.dialect.base}"
        self.exchange = Exchange(self)
        # All there ever were, in the order in which their threads were started.
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
        """The injected keywords of a `Feed`."""
        clock: Clock = self.clock
        return {
            "clock": clock,
            "network": lambda: FakeNetwork(self),
            "rng": random.Random(7),
            "reconnect": Reconnect(host_gap=0.0),
        }

    def venue(self, *urls: str, **facts: Any) -> Venue:
        """This world's exchange, at *urls* if given."""
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
        """Let the world go on for *seconds*, and end every feed in it.

        It ends earlier where no connection is left and nothing more is to happen.
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
        """In a callback: block its thread for so long, while the world goes on."""
        sleeper = next(
            network
            for network in self.networks
            if network.thread is threading.current_thread()
        )
        sleeper.asleep = True
        self.pass_time(sleeper, seconds)
        sleeper.asleep = False

    def pass_time(self, player: FakeNetwork, seconds: float) -> None:
        """*player* has nothing to do for so long, unless something comes for it."""
        # The world did not stand still while a callback was slow.
        self.catch_up()
        # A wait of nothing lets time pass too: who spins does not stop the clock.
        player.until = self.clock.now + max(seconds, 1e-6)
        self.hand_on(player)

    def hand_on(self, player: Player | None) -> None:
        """Let the next one go, and return when it is the turn of *player* again."""
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
        """Who can go on at this moment: the test, once its time is up, before all."""
        present = self._present
        if self._test.until <= self.clock.now or not (present or self._has_events):
            return self._test
        return next((network for network in present if network.is_ready), None)

    @property
    def _has_events(self) -> bool:
        return bool(self._events) and self._events[0][0] <= self._end

    def _move_clock(self) -> None:
        """Nobody has anything to do before the next event, or the end of a wait."""
        moments = [player.until for player in (self._test, *self._present)]
        if self._has_events:
            moments.append(self._events[0][0])
        assert min(moments) < math.inf, "everyone waits for ever"
        self.clock.now = max(self.clock.now, min(moments))
        self.catch_up()

    def catch_up(self) -> None:
        """Have all happen that is due by now."""
        while self._has_events and self._events[0][0] <= self.clock.now:
            action = heapq.heappop(self._events)[2]
            try:
                action()
            except BaseException as error:
                # The test's own, not the library's: `run` raises it.
                self._broken = self._broken or error
                self._end = self._test.until = self.clock.now
