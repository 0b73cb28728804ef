"""A world in virtual time: one exchange, one clock, and nothing that waits.

The connection's own thread plays the world: each `FakeNetwork.wait` moves the clock to
the next event, or to the end of the wait, and runs what is due then. A test schedules
its readings with `World.at` and looks at the results after `World.run`. The server
side of the framing is the ``websockets`` package's, without its I/O.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import threading
import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from okex_ws import Feed, OkexWSError, Reconnect, Venue, WSSubscription
from okex_ws.errors import ConnectionLost
from okex_ws.timing import Clock

# Each world its own host: the gap between connections to one host is the process's.
_WORLDS = itertools.count()
START = 1_600_000_000.0
LATENCY = 0.05


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


class FakeStream:
    """The client's end; what the client sends goes to the peer at once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.received = bytearray()
        self.heard = world.clock.now
        self.ready = False
        self.closed = False
        self.peer = Peer(world, self)
        self.end: OkexWSError | None = None

    def fill(self) -> int:
        self.ready = False
        self.received += self.peer.outbox
        count = len(self.peer.outbox)
        self.peer.outbox.clear()
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


class Peer:
    """The exchange's end of one connection."""

    def __init__(self, world: World, stream: FakeStream) -> None:
        self._world = world
        self._stream = stream
        self._protocol = ServerProtocol()
        self.outbox = bytearray()

    def take(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._protocol.send_response(self._protocol.accept(event))
            elif event.opcode is Opcode.TEXT:
                self._world.exchange.asked(self, bytes(event.data).decode())
        self._ship()

    def send(self, message: object) -> None:
        """Send a message as v3 does: JSON, or text as it is, deflated."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.send_bytes(deflate(text))

    def send_bytes(self, payload: bytes) -> None:
        self._protocol.send_binary(payload)
        self._ship()

    def _ship(self) -> None:
        self.outbox += b"".join(self._protocol.data_to_send())

    def drop(self, reason: str = "reset by peer") -> None:
        self._stream.end = ConnectionLost(self._world.url, reason)
        self._stream.ready = True

    def close(self, code: int, reason: str = "") -> None:
        self._protocol.send_close(code, reason)
        self._ship()


class Exchange:
    """What the exchange does: acknowledge, answer pings, and push when told to."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.log: list[tuple[float, str]] = []
        self.subscribed: set[str] = set()
        self.answers_pings = True
        self.acknowledges = True
        self.refusals: dict[str, tuple[int, str]] = {}
        # Sent right after the acknowledgement of their channel.
        self.first_pushes: dict[str, dict[str, Any]] = {}

    def asked(self, peer: Peer, text: str) -> None:
        self.log.append((self._world.clock.now, text))
        self._world.after(LATENCY, lambda: self._answer(peer, text))

    def _answer(self, peer: Peer, text: str) -> None:
        if text == "ping":
            if self.answers_pings:
                peer.send("pong")
            return
        request = json.loads(text)
        for channel in request["args"]:
            self._answer_one(peer, request["op"], channel)

    def _answer_one(self, peer: Peer, op: str, channel: str) -> None:
        if channel in self.refusals:
            code, message = self.refusals[channel]
            peer.send({"event": "error", "message": message, "errorCode": code})
        elif self.acknowledges:
            peer.send({"event": op, "channel": channel})
            if op == "subscribe" and channel in self.first_pushes:
                peer.send(self.first_pushes[channel])

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(text) for _, text in self.log if text != "ping"]

    @property
    def pings(self) -> list[float]:
        return [at for at, text in self.log if text == "ping"]


class FakeNetwork:
    """The client's network: opening takes no time, waiting plays the world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._woken = False

    def open(
        self, url: str, deadline: float, cancelled: Callable[[], bool]
    ) -> FakeStream:
        world = self._world
        world.gate()
        world.opened.append((world.clock.now, url))
        failure = world.failure(url)
        if failure is not None:
            raise failure
        stream = FakeStream(world)
        world.peer = stream.peer
        return stream

    def wait(self, timeout: float | None, stream: FakeStream | None = None) -> None:
        self._world.gate()
        # The world did not stand still while a callback was slow.
        self._world.catch_up()
        if self._woken or (stream is not None and (stream.ready or stream.peer.outbox)):
            self._woken = False
            return
        self._world.play(timeout)

    def wake(self) -> None:
        self._woken = True

    def close(self) -> None:
        self._world.closed_networks += 1

    discard = close


class World:
    """Clock, exchange, and what is to happen when."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.host = f"world-{next(_WORLDS)}.invalid"
        self.url = f"ws://{self.host}/ws/v3"
        self.exchange = Exchange(self)
        self.peer: Peer | None = None
        self.opened: list[tuple[float, str]] = []
        self.closed_networks = 0
        self.failure: Callable[[str], OkexWSError | None] = lambda url: None
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = itertools.count()
        self._feeds: list[Feed] = []
        self.t0 = self.clock.now
        self._end = float("inf")
        # Nothing happens before `run`: a test may subscribe and schedule in any order.
        self._begin = threading.Event()

    # --- Before the run -------------------------------------------------------------

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Have *action* run *seconds* after the world's beginning."""
        self._schedule(self.t0 + seconds, action)

    def after(self, seconds: float, action: Callable[[], object]) -> None:
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

    def venue(self, *urls: str) -> Venue:
        return Venue("fake", "v3", urls or (self.url,))

    def feed(self, **keywords: Any) -> Feed:
        feed = Feed(self.venue(), **{**self.options(), **keywords})
        self._feeds.append(feed)
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
        self._feeds.append(subscription._feed)
        return subscription

    # --- The run --------------------------------------------------------------------

    def play(self, timeout: float | None) -> None:
        """On the connection's thread: to the next event, or to the end of the wait."""
        wait = float("inf") if timeout is None else max(timeout, 1e-6)
        limit = min(self.clock.now + wait, self._end)
        if self._events and self._events[0][0] <= limit:
            self.clock.now = max(self.clock.now, self._events[0][0])
            self.catch_up()
        else:
            self.clock.now = limit
        if self.clock.now >= self._end:
            for feed in self._feeds:
                feed.close(0)

    def catch_up(self) -> None:
        """Have all happen that is due by now."""
        while self._events and self._events[0][0] <= self.clock.now:
            heapq.heappop(self._events)[2]()

    def gate(self) -> None:
        """Wait for the beginning of the run."""
        assert self._begin.wait(30)

    def run(self, seconds: float) -> None:
        """Let the world go on for *seconds*, and end every feed in it."""
        self._end = self.t0 + seconds
        self._begin.set()
        for feed in self._feeds:
            connection = feed._plan.connection
            assert connection is None or connection.join(30)


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


def stamp(time_ms: int) -> str:
    """*time_ms* after the world's beginning, as the exchange writes it."""
    seconds, ms = divmod(int(START * 1000) + time_ms, 1000)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms:03}Z"
