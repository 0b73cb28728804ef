"""`Feed`: the connection to one venue, as its user sees it."""

from __future__ import annotations

import os
import random
import ssl
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypedDict

from .callbacks import OnState
from .connection import HOST_GAP, Connection, Settings
from .errors import NotLive
from .library import on_library_thread
from .messages import Health, State, Stats
from .plan import Plan
from .protocols import Wire
from .protocols.v3 import PROTOCOL as V3
from .stream import Network, TcpNetwork, check_ssl_context
from .timing import Clock, Ping, Reconnect, SystemClock, Timeouts, utc
from .trust import how_well
from .venues import Venue, find_venue
from .view import View

if TYPE_CHECKING:
    from .subscription import WSSubscription

_WIRES: dict[str, Wire] = {"v3": V3}


class ConnectionOptions(TypedDict, total=False):
    """The keywords of `Feed`, for those who pass them on."""

    ssl_context: ssl.SSLContext | None
    reconnect: Reconnect | None
    ping_interval: float
    probe_interval: float | None
    clock: Clock | None
    network: Callable[[], Network] | None
    rng: random.Random | None
    timeouts: Timeouts | None


class Feed:
    """The connection to one venue, shared by many subscriptions.

    ``WSSubscription(..., feed=feed)`` lives on it; one without makes its own. It
    connects with its first subscription and stays open until `close`.

    Args:
        venue: a name of `okex_ws.VENUES`, or a `Venue`.
        on_state: called with every `StateChange` of every subscription.
        ssl_context: in place of the system's trust store; it must verify.
        reconnect: the back-off after a loss.
        ping_interval: at most so many seconds between two pings, 10 to 30.
        probe_interval: the health check: the same ping, that often; ``None`` leaves
            the keep-alive alone, and makes the lease of every price as long.

    The last four are for tests and replays: a *clock*, a *network* factory, a *rng*
    and the *timeouts*.
    """

    def __init__(
        self,
        venue: str | Venue = "okex",
        *,
        # What is told
        on_state: OnState | None = None,
        # How to connect
        ssl_context: ssl.SSLContext | None = None,
        reconnect: Reconnect | None = None,
        ping_interval: float = 30.0,
        probe_interval: float | None = 5.0,
        # Injection
        clock: Clock | None = None,
        network: Callable[[], Network] | None = None,
        rng: random.Random | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.venue = find_venue(venue)
        self.wire = _WIRES[self.venue.protocol]
        self.clock = clock or SystemClock()
        if on_state is not None and not callable(on_state):
            raise TypeError(f"on_state is a function or None, got {on_state!r}")
        self.on_state = on_state
        check_ssl_context(ssl_context)
        _check_type("reconnect", reconnect, Reconnect)
        _check_type("timeouts", timeouts, Timeouts)
        self._settings = Settings(
            self.clock,
            network or (lambda: TcpNetwork(self.clock, ssl_context=ssl_context)),
            rng or random.Random(),
            Ping(ping_interval, probe_interval),
            timeouts or Timeouts(),
            reconnect or Reconnect(),
        )
        self._plan = Plan(self.wire, self.clock, self._connect)
        _feeds.add(self)

    def _connect(self, first: str) -> Connection:
        name = f"okex_ws:{self.venue.name}:{first}"
        return Connection(self.venue, self.wire, self._plan, self._settings, name)

    @property
    def subscriptions(self) -> tuple[WSSubscription, ...]:
        """Those that are not closed; one that failed is there until it is."""
        return tuple(view.owner for view in self._plan.views)

    def wait_live(self, timeout: float | None = 30.0) -> None:
        """Return when every subscription is live; see ``WSSubscription.wait_live``.

        Raises the error of one that failed, and `NotLive` once the feed is closed.
        """
        if self._plan.closed:
            raise NotLive(State.CLOSED, "closed")
        give_up = None if timeout is None else self.clock.monotonic() + timeout
        for view in self._plan.views:
            left = None if give_up is None else give_up - self.clock.monotonic()
            view.wait_live(left)

    @property
    def state(self) -> State:
        """The worst state of a subscription; ``CLOSED`` once closed."""
        return self.health().state

    def health(self) -> Health:
        """The health of the subscription that is worst off."""
        if self._plan.closed or not self._plan.views:
            state = State.CLOSED if self._plan.closed else State.CONNECTING
            cause = "closed" if self._plan.closed else "no subscription"
            inf = float("inf")
            return Health(state, cause, inf, inf, None, 0, {})
        return min(
            (v.health() for v in self._plan.views), key=lambda h: how_well(h.state)
        )

    def stats(self) -> Stats:
        """What its connection and all of its subscriptions counted, closed ones too."""
        return self._count(self._plan.views, self._plan.past)

    def _count(self, views: Sequence[View], past: Counter[str] | None = None) -> Stats:
        """The counts of the connection, and of *views* and the *past* alone."""
        connection = self._plan.connection
        if connection is None:
            return Stats()
        counts, talk = connection.counts, connection.conversation
        mine = Counter(past or {})
        for view in views:
            mine += view.counts()
        for channel in {c.name: c for v in views for c in v.channels.values()}.values():
            mine += channel.counts
        skip = "skipped "
        pong = counts.last_pong
        return Stats(
            messages=counts.messages,
            bytes=counts.bytes + (talk.transport.bytes_received if talk else 0),
            reconnects=dict(counts.reconnects),
            resyncs=mine["resyncs"],
            gaps=mine["gaps"],
            dropped=dict(counts.dropped),
            skipped={k[len(skip) :]: n for k, n in mine.items() if k.startswith(skip)},
            callback_errors=mine["callback_errors"],
            callback_stalls=mine["callback_stalls"],
            last_pong=utc(pong) if pong is not None else None,
            ping_round_trip=counts.round_trip,
        )

    def close(self, timeout: float | None = 5.0) -> bool:
        """End the connection and every subscription on it; any thread, any time.

        Returns True when the thread has ended; False if it had not within *timeout*
        seconds, or when called from a callback (it ends after that).
        """
        self._plan.close()
        connection = self._plan.connection
        if connection is None:
            return True
        return False if on_library_thread() else connection.join(timeout)

    def __enter__(self) -> Feed:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        count = len(self._plan.views)
        return f"<Feed {self.venue.name} {self.state}, {count} subscriptions>"


def _check_type(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} is a {kind.__name__}, got {value!r}")


_feeds: weakref.WeakSet[Feed] = weakref.WeakSet()


def _after_fork() -> None:
    HOST_GAP.forked()
    for feed in list(_feeds):
        feed._plan.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
