"""How a feed connects: its keywords, checked, and what they make."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from typing import Literal, TypedDict

from ..base.clock import Clock, Ping, Reconnect, SystemClock, Timeouts
from ..delivery.callbacks import CallbackRunner, OnState, check_callables
from ..delivery.dispatcher import Dispatcher
from ..history.source import History
from ..history.worker import HistoryWorker
from ..isolation.pool import IsolatedPool
from ..isolation.view import check_isolated
from ..model.credentials import Credentials
from ..model.venues import Venue, find_venue, retired
from ..net.proxy import proxy_finder
from ..net.stream import Network, TcpNetwork, check_ssl_context
from ..protocol.interface import WireProtocol
from ..protocol.v3 import PROTOCOL as V3
from ..protocol.v5 import PROTOCOL as V5
from ..recording.recorder import Recorder
from ..trust.verdict import Link
from .connection import Settings
from .pool import Pool

WIRE_PROTOCOLS: dict[str, WireProtocol] = {"v3": V3, "v5": V5}


class ConnectionOptions(TypedDict, total=False):
    """The keywords of `Feed`, for those who pass them on."""

    credentials: Credentials | None
    callbacks: Literal["inline", "thread"]
    proxy: str | None
    ssl_context: ssl.SSLContext | None
    reconnect: Reconnect | None
    ping_interval: float
    probe_interval: float | None
    clock: Clock | None
    network: Callable[[], Network] | None
    rng: random.Random | None
    timeouts: Timeouts | None
    history_source: Callable[[], History] | None
    isolate: bool
    recorder: Recorder | None


AnyPool = Pool | IsolatedPool


def find_pool(feed: object) -> AnyPool:
    """The plan behind a ``Feed``."""
    pool = getattr(feed, "_pool", None)
    if not isinstance(pool, (Pool, IsolatedPool)):
        raise TypeError(f"feed is a Feed, got {feed!r}")
    return pool


def make_pool(
    venue: str | Venue,
    on_state: OnState | None = None,
    *,
    credentials: Credentials | None = None,
    callbacks: Literal["inline", "thread"] = "inline",
    proxy: str | None = None,
    ssl_context: ssl.SSLContext | None = None,
    reconnect: Reconnect | None = None,
    ping_interval: float = 30.0,
    probe_interval: float | None = 5.0,
    clock: Clock | None = None,
    network: Callable[[], Network] | None = None,
    rng: random.Random | None = None,
    timeouts: Timeouts | None = None,
    history_source: Callable[[], History] | None = None,
    isolate: bool = False,
    recorder: Recorder | None = None,
    link: Callable[[float], Link] = Link,
) -> AnyPool:
    """The plan of a feed to *venue*; keywords and errors as of `Feed`.

    *link* makes the signs of life of each of its connections.
    """
    where = find_venue(venue)
    _check_told(on_state, callbacks)
    check_ssl_context(ssl_context)
    proxy_finder(proxy)
    _check_type("reconnect", reconnect, Reconnect)
    _check_type("timeouts", timeouts, Timeouts)
    _check_type("isolate", isolate, bool)
    _check_type("recorder", recorder, Recorder)
    check_callables(history_source=history_source)
    _check_credentials(credentials, where)
    ping, wire = Ping(ping_interval, probe_interval), WIRE_PROTOCOLS[where.protocol]
    if isolate:
        here: dict[str, object] = {"clock": clock, "network": network, "rng": rng}
        here |= {"recorder": recorder, "history_source": history_source}
        check_isolated(on_state, callbacks, ssl_context, here)
        pings = {"ping_interval": ping_interval, "probe_interval": probe_interval}
        others = {"proxy": proxy, "reconnect": reconnect, "timeouts": timeouts}
        options = {"credentials": credentials, **pings, **others}
        return IsolatedPool(where, wire, options)
    ticking = clock or SystemClock()
    settings = Settings(
        ticking,
        network or (lambda: TcpNetwork(ticking, ssl_context=ssl_context, proxy=proxy)),
        rng or random.Random(),
        ping,
        timeouts or Timeouts(),
        reconnect or Reconnect(),
        link,
        recorder,
    )
    inline = callbacks == "inline"
    runner = (
        CallbackRunner() if inline else Dispatcher(f"okex_ws:{where.name}:callbacks")
    )
    source = _HistorySource(where, proxy, ssl_context, history_source)
    name = f"okex_ws:{where.name}:history"
    worker = HistoryWorker(name, ticking, source, source.check)
    worker.in_use = history_source is not None
    return Pool(where, wire, settings, credentials, on_state, runner, worker)


class _HistorySource:
    """The past of a *venue*: what *given* makes, or its own REST interface."""

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
        """``ValueError`` or ``ImportError`` if there is none."""
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
        # Here alone: it needs the extra.
        from ..rest.client import Rest

        # Others wait for their turn meanwhile, and whoever got no answer asks again.
        return Rest(
            self._venue,
            proxy=self._proxy,
            ssl_context=self._ssl_context,
            timeout=5.0,
            retries=1,
            patience=8.0,
        )


def _check_told(on_state: object, callbacks: object) -> None:
    if on_state is not None and not callable(on_state):
        raise TypeError(f"on_state is a function or None, got {on_state!r}")
    if callbacks not in ("inline", "thread"):
        raise ValueError(f"callbacks is 'inline' or 'thread', got {callbacks!r}")


def _check_credentials(credentials: Credentials | None, where: Venue) -> None:
    _check_type("credentials", credentials, Credentials)
    if credentials is not None and retired(where) is not None:
        raise ValueError(
            f"credentials are not sent to venue {where.name!r}, which was retired"
            f" ({retired(where)}): who listens there now is not known"
        )


def _check_type(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        # Not its repr: it may be a secret in the wrong place.
        raise TypeError(f"{name} is a {kind.__name__}, not a {type(value).__name__}")
