"""The connection options of a feed: its keywords, checked, and the pool they make."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Literal, NamedTuple, SupportsIndex, TypedDict
from urllib.parse import urlsplit

from ..base.checks import check_seconds
from ..base.clock import Clock, SystemClock
from ..base.retry import Ping, Reconnect, Timeouts
from ..delivery.callbacks import (
    CallbackRunner,
    OnError,
    OnState,
    check_callables,
)
from ..delivery.dispatcher import Dispatcher
from ..history.source import History
from ..history.worker import HistoryWorker
from ..model.credentials import Credentials
from ..model.venues import Venue, retired
from ..net.frames import MAX_FRAME, check_max_frame
from ..net.proxy import is_this_machine, proxy_finder
from ..net.stream import Network, TcpNetwork, check_ssl_context, public_endpoint
from ..net.transport import Transport
from ..protocol.interface import WireProtocol
from ..protocol.v3 import PROTOCOL as V3
from ..protocol.v5 import PROTOCOL as V5
from ..recording.recorder import Recorder
from ..recording.tap import open_transport
from ..trust.lease import Era
from .connection import NO_PLAINTEXT, Settings
from .pool import Pool

# The longest wait between two reads of a connection that a script may ask for, in
# seconds: no pong comes so late for it that a lease ends.
MOST_COALESCED = 0.1
WIRE_PROTOCOLS: dict[str, WireProtocol] = {"v3": V3, "v5": V5}


class ConnectionOptions(TypedDict, total=False):
    """The keywords of `Feed` as a type, for functions that pass them on."""

    credentials: Credentials | None
    allow_plaintext: bool
    callbacks: Literal["inline", "thread"]
    proxy: str | None
    ssl_context: ssl.SSLContext | None
    reconnect: Reconnect | None
    ping_interval: float
    lease: float | None
    clock: Clock | None
    network: Callable[[], Network] | None
    rng: random.Random | None
    timeouts: Timeouts | None
    max_frame: SupportsIndex
    coalesce: float
    history_source: Callable[[], History] | None
    isolate: bool
    publish: str | None
    via: str | None
    redis_ca: str | None
    recorder: Recorder | None


class Forwarding(NamedTuple):
    """How connections speak to what forwards the exchange's data, not to the exchange.

    *wire* reads it, and *open_transport* opens one connection, as that of `Settings`.
    """

    wire: WireProtocol
    open_transport: Callable[..., Transport]


@dataclass(frozen=True, repr=False)
class PoolOptions:
    """The keywords of `Feed` for its connections, checked before any thread is started.

    `make_pool` makes the pool of connections to *venue*. *era* is a callable that
    makes the `Era` of one opening of a connection, at a given monotonic time; a worker
    process gives one that writes to shared memory. *forwarded* is for what is read from
    a producer on another machine.

    Raises:
        ValueError, TypeError: for a keyword that cannot be right.
    """

    venue: Venue
    on_state: OnState | None = None
    _: KW_ONLY
    on_error: OnError | None = None
    credentials: Credentials | None = None
    allow_plaintext: bool = False
    callbacks: Literal["inline", "thread"] = "inline"
    proxy: str | None = None
    ssl_context: ssl.SSLContext | None = None
    reconnect: Reconnect | None = None
    ping_interval: float = 30.0
    lease: float = 15.0
    clock: Clock | None = None
    network: Callable[[], Network] | None = None
    rng: random.Random | None = None
    timeouts: Timeouts | None = None
    max_frame: SupportsIndex = MAX_FRAME
    coalesce: float = 0.0
    history_source: Callable[[], History] | None = None
    recorder: Recorder | None = None
    era: Callable[[float], Era] = Era
    forwarded: Forwarding | None = None

    def __post_init__(self) -> None:
        check_callables(on_state=self.on_state, on_error=self.on_error)
        _check_callbacks(self.callbacks)
        check_ssl_context(self.ssl_context)
        proxy_finder(self.proxy)
        check_type("reconnect", self.reconnect, Reconnect)
        check_type("timeouts", self.timeouts, Timeouts)
        check_type("recorder", self.recorder, Recorder)
        check_callables(history_source=self.history_source)
        self._check_credentials()
        self._ping()
        check_max_frame(self.max_frame)
        check_seconds("coalesce", self.coalesce)
        if self.coalesce > MOST_COALESCED:
            raise ValueError(f"coalesce is at most 0.1 s, got {self.coalesce!r:.80}")

    def _check_credentials(self) -> None:
        check_type("credentials", self.credentials, Credentials)
        check_type("allow_plaintext", self.allow_plaintext, bool)
        if self.credentials is None:
            return
        where = self.venue
        if (since := retired(where)) is not None:
            raise ValueError(
                f"credentials are not sent to venue {where.name!r}, which was retired"
                f" ({since}): who listens there now is not known"
            )
        for endpoint in () if self.allow_plaintext else where.endpoints:
            parts = urlsplit(endpoint)
            local = is_this_machine(parts.hostname or "") and not self.proxy
            # A proxy of the environment is not used for this machine.
            if parts.scheme == "ws" and not local:
                raise ValueError(f"{public_endpoint(endpoint)}: {NO_PLAINTEXT}")

    def _ping(self) -> Ping:
        return Ping(self.ping_interval, self.lease, self.forwarded is not None)

    @property
    def wire_protocol(self) -> WireProtocol:
        """The protocol that the venue speaks, with the bound of a message."""
        most = check_max_frame(self.max_frame)
        if self.forwarded is not None:
            return self.forwarded.wire.bounded(most)
        return WIRE_PROTOCOLS[self.venue.protocol].bounded(most)

    def make_pool(self, kind: type[Pool] = Pool) -> Pool:
        """A pool, of that *kind*, whose connections live on threads of this process."""
        clock = self.clock or SystemClock()
        inline, name = self.callbacks == "inline", f"okex_ws:{self.venue.name}"
        runner = CallbackRunner() if inline else Dispatcher(f"{name}:callbacks")
        source = _HistorySource(
            self.venue, self.proxy, self.ssl_context, self.history_source
        )
        worker = HistoryWorker(f"{name}:history", clock, source, source.check)
        worker.in_use = self.history_source is not None
        return kind(
            self.venue,
            self.wire_protocol,
            self._settings(clock),
            self.credentials,
            self.on_state,
            self.on_error,
            runner,
            worker,
        )

    def _settings(self, clock: Clock) -> Settings:
        def network() -> Network:
            return TcpNetwork(clock, ssl_context=self.ssl_context, proxy=self.proxy)

        return Settings(
            clock,
            self.network or network,
            self.rng or random.Random(),
            self._ping(),
            self.timeouts or Timeouts(),
            self.reconnect or Reconnect(),
            self.era,
            self.recorder,
            self.allow_plaintext,
            coalesce=self.coalesce,
            open_transport=open_transport
            if self.forwarded is None
            else self.forwarded.open_transport,
        )


class _HistorySource:
    """Makes the source of past items: from *given*, or a client of the venue's REST.

    *given* is a callable that makes it. `check` runs on the script's thread, so that a
    feed that can have no past is refused at once. The history worker's thread calls the
    object, at the first query.
    """

    def __init__(
        self,
        venue: Venue,
        proxy: str | None,
        ssl_context: ssl.SSLContext | None,
        given: Callable[[], History] | None,
    ) -> None:
        self._venue = venue
        self._proxy, self._ssl_context = proxy, ssl_context
        self._given = given

    def check(self) -> None:
        """Raise ``ValueError`` or ``ImportError`` if there can be no source."""
        if self._given is not None:
            return
        if self._venue.rest is None:
            raise ValueError(
                f"venue {self._venue.name!r} has no REST interface to fetch a past"
                " from: leave history= out, or give the feed a history_source="
            )
        from .. import rest  # noqa: F401

    def __call__(self) -> History:
        if self._given is not None:
            return self._given()
        # Imported only here, because it needs the extra.
        from ..rest import Rest

        # Short limits, because other queries wait meanwhile, and a query without an
        # answer is asked again.
        return Rest(
            self._venue,
            proxy=self._proxy,
            ssl_context=self._ssl_context,
            timeout=5.0,
            retries=1,
            patience=8.0,
        )


def _check_callbacks(callbacks: object) -> None:
    if callbacks not in ("inline", "thread"):
        raise ValueError(f"callbacks is 'inline' or 'thread', got {callbacks!r}")


def check_type(name: str, value: object, kind: type) -> None:
    """``TypeError`` unless *value* is ``None`` or a *kind*."""
    if value is not None and not isinstance(value, kind):
        # Without its repr: it may be a secret that was passed in the wrong place.
        raise TypeError(f"{name} is a {kind.__name__}, not a {type(value).__name__}")
