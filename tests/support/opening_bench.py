"""One opening of a connection in virtual time, with a scripted transport."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from functools import partial
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
from okex_ws.channels.base import Channel
from okex_ws.net.transport import Frame
from okex_ws.pool.connection_channels import ConnectionChannels
from okex_ws.pool.opening import Opening, Surroundings
from okex_ws.pool.register import Register
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import ChannelName, Push
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.login import Login
from okex_ws.session.session import Session
from okex_ws.session.subscription_state import SubscriptionState
from okex_ws.trust.lease import Era
from tests.support.clocks import WALL, FakeClock
from tests.support.internals import waiting_frames
from tests.support.virtual_world import compact

ENDPOINT = "wss://venue.test/ws/v5/public"
BOOK, TRADES = "books5:BTC-USDT", "trades:BTC-USDT"
HOUR = 3600.0


# The calls of a connection's channels that a test is told of.
NOTED = (
    "acknowledged",
    "unsubscribed",
    "withheld",
    "refuse",
    "locked_out",
    "ending",
    "look_again",
    "unreadable",
    "stranger",
    "troubled",
)


class NoPool:
    """The pool of a connection that stands alone, which does nothing."""

    closed = False
    told = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Listener(ConnectionChannels):
    """The channels of a connection, which note each call: its name and its arguments.

    The register is empty: a test adds the channels.
    """

    def __init__(self, clock: FakeClock, counts: Counts) -> None:
        pool: Any = NoPool()
        super().__init__(pool, Register(), clock, counts)
        self.carrier = pool
        self.heard: list[tuple[Any, ...]] = []
        self.next_look = math.inf
        # What the two rules about silence find next.
        self.missed: list[SubscriptionState[Channel]] = []
        self.silent: list[SubscriptionState[Channel]] = []
        for name in NOTED:
            setattr(self, name, partial(self._noted, name, getattr(self, name)))

    def _noted(self, name: str, call: Callable[..., None], *arguments: Any) -> None:
        self.heard.append((name, *arguments))
        call(*arguments)

    def due(self) -> float:
        return self.next_look

    def overdue(self, now: float) -> list[SubscriptionState[Channel]]:
        found, self.missed = self.missed, []
        return found

    def silent_trades(self, now: float) -> list[SubscriptionState[Channel]]:
        found, self.silent = self.silent, []
        return found

    def look_again(self, now: float) -> None:
        self.next_look = math.inf

    def words(self) -> list[str]:
        """The names of the calls since the last time."""
        heard, self.heard = self.heard, []
        return [call[0] for call in heard]


class Target(Channel):
    """A channel that notes its pushes, and fails or takes time as a test sets it."""

    # Whether it keeps pushes unparsed: it notes each of them, as it came.
    keeps_unparsed = False

    def __init__(self, bench: Bench, name: str) -> None:
        topic, _, instrument = name.partition(":")
        kind = "trade" if topic.startswith("trade") else "depth"
        super().__init__(bench.wire, ChannelName(name, "depth5", instrument, kind))
        self._bench = bench
        self.pushes: list[tuple[Any, bool]] = []
        # Seconds that handling a push takes, and the error that it raises.
        self.takes = 0.0
        self.error: WireError | BookError | None = None
        # Whether a push is of use.
        self.used = True
        self.kept: list[str] = []
        # The one push that it does not keep.
        self.refuses = ""

    def keep(self, said: bytes, era: Era, now: float, wall: float) -> bool:
        text = said.decode()
        if not self.keeps_unparsed or text == self.refuses:
            return False
        self.kept.append(text)
        self._bench.handler.heard.append(("keep", now))
        return True

    def push(self, push: Push, first: bool, era: Era, now: float, wall: float) -> bool:
        assert era is self._bench.talk.era
        assert wall - now == WALL - 1000.0
        if self.error is not None:
            raise self.error
        (element,) = push.elements
        said = element.get("said", element) if isinstance(element, dict) else element
        self.pushes.append((said, first))
        self._bench.handler.heard.append(("push", now))
        self._bench.clock.advance(self.takes)
        if self.used:
            self._publish(said, None, era, now, wall, push.text)
        return self.used

    def take(self) -> list[tuple[Any, bool]]:
        """The pushes since the last call, each with whether it was the first."""
        pushes, self.pushes = self.pushes, []
        return pushes


REST = object()


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
        # The waits for nothing that comes, between two reads.
        self.rests: list[float] = []
        # How much time passes while it waits.
        self.passing = 0.0
        self.end: ConnectionLost | None = None
        self.most_unread = 1 << 20

    def say(self, *texts: str, size: int = 0) -> None:
        """Have the next read bring *texts*, as a read of *size* bytes."""
        frames = [(text.encode(), False) for text in texts]
        self._reads.append((frames, size or sum(map(len, texts))))

    def wait(self, timeout: float, stream: object = REST) -> None:
        assert stream in (self.stream, REST)
        (self.rests if stream is REST else self.waits).append(timeout)
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

    def __init__(
        self,
        wire: WireProtocol = V5,
        login: Login | None = None,
        coalesce: float = 0.0,
    ) -> None:
        self.clock = FakeClock()
        self.wire = wire
        self.counts = Counts()
        self.handler = Listener(self.clock, self.counts)
        self.transport = ScriptedTransport(self.clock)
        self.outage_log = OutageLog()
        network: Any = self.transport
        around = Surroundings(
            wire,
            self.handler,
            self.clock,
            network,
            self.outage_log,
            coalesce=coalesce,
        )
        budget = RateLimit(239, HOUR)
        now = self.clock.now
        self.session: Session[Any] = Session(
            wire, Ping(), Timeouts(), budget, now, login
        )
        transport: Any = self.transport
        self.talk = Opening(around, transport, self.session, now, ENDPOINT)
        self.handler.opened(self.session, self.talk.era, now)
        self.targets: dict[str, Target] = {}

    def want(self, name: str = BOOK, incremental: bool = False) -> Target:
        """Ask the session for a channel."""
        target = self.targets[name] = Target(self, name)
        self.handler.channels[name] = target
        target.opened(self.talk.era, self.clock.now)
        target.needs_snapshot = needs_snapshot = name.startswith("books")
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
    return compact({"event": event, "arg": argument(name)})


def push(name: str, *elements: Any) -> str:
    """A push of *elements*, each of which `Target` notes as it was given."""
    data = [{"said": element} for element in elements]
    return compact({"arg": argument(name), "data": data})
