"""One opening of a connection in virtual time, with a scripted transport."""

from __future__ import annotations

import json
import math
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from okex_ws.base.counts import Counts
from okex_ws.base.errors import (
    BookError,
    ConnectionLost,
    WireError,
)
from okex_ws.base.rates import RateLimit
from okex_ws.base.retry import Ping, Timeouts
from okex_ws.base.throttled_log import OutageLog
from okex_ws.net.transport import Frame
from okex_ws.pool.opening import Opening, Surroundings
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.login import Login
from okex_ws.session.session import Session
from okex_ws.trust.lease import Era
from tests.support.clocks import WALL, FakeClock
from tests.support.internals import waiting_frames

ENDPOINT = "wss://venue.test/ws/v5/public"
BOOK, TRADES = "books5:BTC-USDT", "trades:BTC-USDT"
HOUR = 3600.0


class Listener:
    """A handler that notes each call: its name and its arguments."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.next_look = math.inf
        self.missed: list[tuple[str, float]] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def told(*arguments: Any) -> None:
            self.heard.append((name, *arguments))

        return told

    def due(self) -> float:
        return self.next_look

    def overdue(self, now: float) -> list[tuple[str, float]]:
        found, self.missed = self.missed, []
        return found

    def look_again(self, now: float) -> None:
        self.next_look = math.inf
        self.heard.append(("look_again", now))

    def words(self) -> list[str]:
        """The names of the calls since the last time."""
        heard, self.heard = self.heard, []
        return [call[0] for call in heard]


class Target:
    """A channel that notes its pushes, and fails or takes time as a test sets it."""

    topic = "depth5"
    conflates = False

    def __init__(self, bench: Bench) -> None:
        self.counts: Counter[str] = Counter()
        self._bench = bench
        self.pushes: list[tuple[Any, bool]] = []
        # Seconds that handling a push takes, and the error that it raises.
        self.takes = 0.0
        self.error: WireError | BookError | None = None
        # Whether a push is of use.
        self.used = True
        self.followers: tuple[Any, ...] = ()

    def push(self, push: Push, first: bool, link: Era, now: float, wall: float) -> bool:
        assert link is self._bench.talk.era
        assert wall - now == WALL - 1000.0
        if self.error is not None:
            raise self.error
        self.pushes.append((push.elements[0], first))
        self._bench.handler.heard.append(("push", now))
        self._bench.clock.advance(self.takes)
        return self.used

    def take(self) -> list[tuple[Any, bool]]:
        """The pushes since the last call, each with whether it was the first."""
        pushes, self.pushes = self.pushes, []
        return pushes


class ScriptedTransport:
    """A transport and its network: a test writes what comes; sends are noted."""

    stream = None

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._reads: deque[tuple[list[Frame], int]] = deque()
        self.bytes_received = 0
        self.heard = clock.now
        self.sent: list[str] = []
        self.waits: list[float] = []
        # How much time passes while it waits.
        self.passing = 0.0
        self.end: ConnectionLost | None = None

    def say(self, *texts: str, size: int = 0) -> None:
        """Have the next read bring *texts*, as a read of *size* bytes."""
        frames = [(text.encode(), False) for text in texts]
        self._reads.append((frames, size or sum(map(len, texts))))

    def wait(self, timeout: float, stream: object) -> None:
        assert stream is self.stream
        self.waits.append(timeout)
        self._clock.advance(min(timeout, self.passing))

    def read(self) -> list[Frame]:
        if not self._reads:
            if self.end is not None:
                raise self.end
            return []
        frames, size = self._reads.popleft()
        self.bytes_received += size
        self.heard = self._clock.now
        return frames

    def send(self, text: str) -> None:
        self.sent.append(text)


class Bench:
    """One opening, and the objects around it that a test controls."""

    def __init__(self, wire: WireProtocol = V5, login: Login | None = None) -> None:
        self.clock = FakeClock()
        self.handler = Listener()
        self.transport = ScriptedTransport(self.clock)
        self.counts = Counts()
        self.closing = False
        self.outage_log = OutageLog()
        context: Any = Surroundings(
            wire,
            self.handler,
            self.clock,
            self.transport,  # type: ignore[arg-type]
            self.counts,
            self.outage_log,
            lambda: self.closing,
        )
        budget = RateLimit(239, HOUR)
        now = self.clock.now
        self.session: Session[Any] = Session(
            wire, Ping(), Timeouts(), budget, now, login
        )
        transport: Any = self.transport
        self.talk = Opening(context, transport, self.session, now, ENDPOINT)
        self.targets: dict[str, Target] = {}

    def want(self, name: str = BOOK, incremental: bool = False) -> Target:
        """Ask the session for a channel."""
        target = self.targets[name] = Target(self)
        needs_snapshot = name.startswith("books")
        self.session.want(name, target, needs_snapshot, self.clock.now, incremental)
        return target

    def hear(self, *texts: str) -> None:
        """Read and take in all of *texts*."""
        self.transport.say(*texts)
        self.talk.turn()
        while waiting_frames(self.talk):
            self.talk.turn()

    def subscribed(self, name: str = BOOK, incremental: bool = False) -> Target:
        """A channel that is acknowledged, on a connection whose ping was answered."""
        target = self.want(name, incremental)
        self.talk.turn()
        self.hear(*["pong"] * self.transport.sent.count("ping"), ack(name))
        self.handler.words()
        self.transport.sent.clear()
        self.transport.waits.clear()
        return target


def argument(name: str) -> dict[str, str]:
    """The argument of v5 for the channel *name*."""
    return dict(zip(("channel", "instId"), name.split(":"), strict=True))


def ack(name: str, event: str = "subscribe") -> str:
    """An acknowledgement."""
    return json.dumps({"event": event, "arg": argument(name)})


def push(name: str, *elements: Any) -> str:
    """A push of *elements*."""
    return json.dumps({"arg": argument(name), "data": list(elements)})
