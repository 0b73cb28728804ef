"""One stand of the campaign: an exchange, a way to it, and subscriptions that are read.

The subscriptions name a host that only the stand's own resolver knows, so that a fault
can send them anywhere; every wait that the library lets be injected is short.
"""

from __future__ import annotations

import contextlib
import random
import re
import ssl
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from socket import AF_INET
from typing import Any

from tests.campaign.judge import Judge, Reader, Truth
from tests.peers import client_tls, server_tls
from tests.proxy import Proxy

from okex_ws import Feed, Reconnect, State, StateChange, Timeouts, Venue, WSSubscription
from okex_ws.dial import Address
from okex_ws.local_exchange import LocalExchange
from okex_ws.stream import TcpNetwork

HOST = "exchange.test"
PROBE = 0.5
TIMEOUTS = Timeouts(
    connect=1.0, ack=1.0, pong=1.0, first_push=1.0, retry_cap=1.0, goodbye=0.5
)
RECONNECT = Reconnect(first=0.1, cap=0.5, healthy_after=0.5, host_gap=0.0)
# How far behind the exchange a price may be: no later than this after its line died.
LEASE = PROBE + TIMEOUTS.pong
INSTRUMENTS = (("spot", "BTC-USDT"), ("spot", "ETH-USDT"), ("swap", "BTC-USD-SWAP"))
# Half a minute of what is pushed ten times a second.
HISTORY = 300

Resolve = Callable[[str], list[Address]]


class Names:
    """The name service of one stand."""

    def __init__(self, port: int) -> None:
        self._own = self._resolve = _loopback(port)

    def __call__(self, host: str) -> list[Address]:
        return self._resolve(host)

    @contextlib.contextmanager
    def answering(self, resolve: Resolve) -> Iterator[None]:
        """Have *resolve* answer in place of the truth."""
        self._resolve = resolve
        try:
            yield
        finally:
            self._resolve = self._own


def _loopback(port: int) -> Resolve:
    return lambda host: [Address(AF_INET, ("127.0.0.1", port))]


class Rig:
    """A stand; a context manager.

    *tls* and *proxied* say what lies between, *shared* whether the subscriptions live
    on one `Feed`. `dead_since` is set by a fault after which nothing true comes.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        *,
        tls: bool = False,
        proxied: bool = True,
        shared: bool = False,
    ) -> None:
        self.name = name
        self.tls = tls
        self.rng = random.Random(f"{seed}:{name}")
        self.dead_since: float | None = None
        self.mixed = False
        self.mischief: Callable[[], None] | None = None
        self.errors: list[str] = []
        self.exchange = LocalExchange(
            seed,
            instruments=INSTRUMENTS,
            tls=server_tls(HOST) if tls else False,
            history=HISTORY,
        )
        self.proxy: Proxy | None = None
        self._proxied, self._shared = proxied, shared
        self._stack = contextlib.ExitStack()
        self._reader = Reader(name)
        self._marks: list[int] = []
        self.feed: Feed | None = None
        self.subscriptions: list[WSSubscription] = []
        self.judges: list[Judge] = []

    # --- Its life -------------------------------------------------------------------

    def __enter__(self) -> Rig:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.exchange)
            port = int(self.exchange.url.rpartition(":")[2].partition("/")[0])
            if self._proxied:
                self.proxy = stack.enter_context(Proxy(port))
                port = self.proxy.port
            self.port = port
            self.names = Names(port)
            self._subscribe(stack)
            self._stack = stack.pop_all()
        return self

    def _subscribe(self, stack: contextlib.ExitStack) -> None:
        followed = INSTRUMENTS if self._shared else INSTRUMENTS[:1]
        if self._shared:
            self.feed = stack.enter_context(Feed(self.venue(), **self.options()))
        for market, instrument_id in followed:
            truth = Truth(self.exchange, f"{market}/depth5:{instrument_id}")
            subscription = self._judged(market, instrument_id, truth)
            stack.callback(subscription.close)
        self._reader.judges = self.judges
        self._reader.start()
        stack.callback(self._reader.stop)
        for subscription in self.subscriptions:
            subscription.wait_live(10)

    def _judged(self, market: str, instrument_id: str, truth: Truth) -> WSSubscription:
        judges: list[Judge] = []

        def told(change: StateChange) -> None:
            # It may be called before there is a judge; that change is no evidence.
            for judge in judges:
                judge.state_changed(change)

        subscription = self.guest(
            instrument_id,
            market,
            on_message=self._message,
            on_state=told,
            on_error=self._error,
        )
        judge = Judge(subscription, truth, LEASE, lambda: self.dead_since)
        judges.append(judge)
        self.judges.append(judge)
        self.subscriptions.append(subscription)
        return subscription

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def reader_error(self) -> BaseException | None:
        """What ended the reader, which nothing should."""
        return self._reader.error

    # --- Its parts ------------------------------------------------------------------

    def venue(self, *first: int) -> Venue:
        """The exchange by its name, behind endpoints at the ports *first*."""
        scheme = "wss" if self.tls else "ws"
        own = self.exchange.url.replace("127.0.0.1", HOST)
        ports = tuple(f"{scheme}://127.0.0.1:{port}/ws/v3" for port in first)
        return Venue(
            f"rig-{self.name}",
            "v3",
            (*ports, own),
            connections_per_second=1000.0,
            requests_per_hour=1_000_000,
        )

    def options(self) -> dict[str, Any]:
        """How a feed of this stand connects."""
        trust: ssl.SSLContext | None = client_tls() if self.tls else None
        return {
            "network": lambda: TcpNetwork(ssl_context=trust, resolve=self.names),
            "rng": random.Random(self.rng.random()),
            "timeouts": TIMEOUTS,
            "reconnect": RECONNECT,
            "probe_interval": PROBE,
        }

    def guest(
        self, instrument_id: str, market: str, *, own: bool = False, **options: Any
    ) -> WSSubscription:
        """One more subscription: on the shared feed, if there is one and not *own*."""
        if self.feed is not None and not own:
            return WSSubscription(instrument_id, market, feed=self.feed, **options)
        options.setdefault("venue", self.venue())
        return WSSubscription(instrument_id, market, **self.options(), **options)

    def _message(self, text: str) -> None:
        mischief, self.mischief = self.mischief, None
        if mischief is not None:
            mischief()

    def _error(self, error: Exception) -> None:
        self.errors.append(f"{type(error).__name__}: {error}")

    # --- What faults do with it -----------------------------------------------------

    def route(self, port: int) -> contextlib.AbstractContextManager[None]:
        """Send who asks for the exchange to *port*; end what is connected."""
        return self.rename(_loopback(port))

    @contextlib.contextmanager
    def rename(self, resolve: Resolve) -> Iterator[None]:
        """Have *resolve* say where the exchange is; end what is connected."""
        with self.names.answering(resolve):
            self.exchange.drop()
            yield

    def die(self) -> None:
        """From now on nothing true comes over the line."""
        self.dead_since = time.monotonic()

    # --- What was noticed -----------------------------------------------------------

    def mark(self) -> None:
        """What was told up to now is of an earlier fault."""
        self.errors.clear()
        self._marks = [len(judge.changes) for judge in self.judges]

    def told(self, *states: State) -> Callable[[], bool]:
        """Whether each subscription told one of *states* since the mark."""

        def noticed() -> bool:
            return all(
                any(change.new in states for change in judge.changes[mark:])
                for judge, mark in zip(self.judges, self._marks, strict=True)
            )

        return noticed

    def untouched(self, but: int) -> bool:
        """Whether all but the one at *but* told nothing since the mark.

        While faults are mixed, that is nobody's to claim.
        """
        return self.mixed or all(
            len(judge.changes) == mark
            for n, (judge, mark) in enumerate(
                zip(self.judges, self._marks, strict=True)
            )
            if n != but
        )

    def error(self, pattern: str) -> Callable[[], bool]:
        """Whether an error that *pattern* describes was told since the mark."""
        return lambda: any(re.search(pattern, text) for text in self.errors)

    def dropped(self, kind: str) -> Callable[[], bool]:
        """Whether one more message was counted under *kind*."""
        before = self.count(kind)
        return lambda: self.count(kind) > before

    def count(self, kind: str) -> int:
        """How many messages were dropped for *kind*."""
        return self.subscriptions[0].stats().dropped.get(kind, 0)

    def fresh(self, since: datetime) -> bool:
        """Whether every subscription is live with a push received after *since*."""
        best = [subscription.best_bid_ask() for subscription in self.subscriptions]
        return all(each is not None and each.received > since for each in best)

    def recover(self, since: float, timeout: float) -> float | None:
        """Seconds from *since* (monotonic) until all are live with a push of later.

        ``None`` if that does not come within *timeout* seconds from now.
        """
        give_up = time.monotonic() + timeout
        ago = timedelta(seconds=time.monotonic() - since)
        moment = datetime.now(timezone.utc) - ago
        while not self.fresh(moment):
            if time.monotonic() > give_up:
                return None
            time.sleep(0.002)
        return time.monotonic() - since
