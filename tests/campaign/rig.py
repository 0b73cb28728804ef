"""One rig of the campaign: an exchange, the way to it, and subscriptions that are used.

The subscriptions name a host that only the rig's own resolver knows, so that a fault
can send them anywhere. Every wait that the library lets a test inject is short.
"""

from __future__ import annotations

import contextlib
import logging
import random
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from socket import AF_INET
from typing import Any

from okex_ws import (
    Feed,
    Reconnect,
    Recorder,
    Timeouts,
    Venue,
    WSSubscription,
)
from okex_ws.local_exchange import LocalExchange
from okex_ws.net.dial import Address
from okex_ws.net.stream import TcpNetwork
from tests.campaign.book_truth import BookTruth
from tests.campaign.dialect import WireDialect
from tests.campaign.interruptions import StallingClock, Stalls
from tests.campaign.judge import Findings, Judge
from tests.campaign.metronome import Metronome
from tests.campaign.pair_judge import PairJudge
from tests.campaign.proxy_pair import ProxyPair
from tests.campaign.readers import Listener, Reader, Series
from tests.campaign.script import Mischiefs, ReadingScript, ScriptLog
from tests.campaign.setups import GUEST, PASSENGER, Setup, SubscriptionSetup
from tests.campaign.trade_order import Trades
from tests.campaign.truth import Truth
from tests.campaign.watch import Watch
from tests.support.internals import pool_of
from tests.support.loopback_servers import client_tls, server_tls

HOST = "exchange.test"
TIMEOUTS = Timeouts(
    connect=1.0, ack=1.0, pong=1.0, first_push=1.0, retry_cap=1.0, goodbye=0.5
)
RECONNECT = Reconnect(first=0.1, cap=0.5, healthy_after=0.5, host_gap=0.0)
# Until a rig is up, beside those that are up already.
START = 30.0
# How far behind the exchange a price may be: no later than this after its line died.
LEASE = 2.0
# Seven seconds of what is pushed twenty times a second, and read five times.
HISTORY = 150
# A frame that is larger than the library takes has to get there.
BUFFER = 64 << 20
# Of what one connection receives at once only the newest of each channel may be taken.
BATCH = 0.5
# How long after a handover its connections may still be two.
CHANGE_OVER = 8.0
_DEPTHS = {"depth5": Truth, "bbo-tbt": Truth, "depth": BookTruth}
_DEPTHS["depth_l2_tbt"] = BookTruth

Resolve = Callable[[str], list[Address]]


def loopback(port: int) -> Resolve:
    """A name service to which every host is *port* here."""
    return lambda host: [Address(AF_INET, ("127.0.0.1", port))]


class Rig(Watch):
    """A rig, used as a context manager.

    A fault sets `dead_since` if after it no true message comes.
    """

    def __init__(
        self,
        setup: Setup,
        seed: int,
        recording: Path | None = None,
        metronome: Metronome | None = None,
    ) -> None:
        super().__init__()
        self.metronome = metronome
        self.name = setup.name
        self.setup = setup
        self.dialect = WireDialect(setup.protocol)
        self.rng = random.Random(f"{seed}:{setup.name}")
        self.dead_since: float | None = None
        self._of_one = False
        self.mischiefs = Mischiefs()
        self.clock = StallingClock()
        names = dict.fromkeys(follow.instrument for follow in setup.follows)
        self.exchange = LocalExchange(
            seed,
            instruments=[*names, GUEST, PASSENGER],
            tls=server_tls(HOST) if setup.tls else False,
            checksums=setup.checksums,
            history=HISTORY,
            buffer_limit=BUFFER,
        )
        self.proxy: ProxyPair | None = None
        self.feed: Feed | None = None
        self._recording = recording
        self._recorder: Recorder | None = None
        self.listeners: list[Listener] = []
        self.visits: list[Findings] = []
        self._port = 0
        self._clients = 1
        self._resolve: Resolve | None = None
        self._stack = contextlib.ExitStack()
        self._reader = Reader(setup.name)
        stalls = Stalls(self.clock, random.Random(self.rng.random()), LEASE)
        self._stalled = Reader(f"{setup.name}, stalled", stalls)
        self.pairs: PairJudge | None = None

    # --- Its life -------------------------------------------------------------------

    def __enter__(self) -> Rig:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.exchange)
            self._port = int(self.exchange.url.rpartition(":")[2].partition("/")[0])
            if self.setup.proxied:
                self.proxy = stack.enter_context(
                    contextlib.closing(ProxyPair(self._port))
                )
            self._subscribe(stack)
            self._stack = stack.pop_all()
        return self

    def _subscribe(self, stack: contextlib.ExitStack) -> None:
        if self._recording is not None:
            self._recorder = stack.enter_context(Recorder(self._recording))
        stack.callback(lambda: [listener.join() for listener in self.listeners])
        if self.setup.shared:
            self.feed = stack.enter_context(Feed(self.venue(), **self.options()))
        made = [self._follow(follow, stack) for follow in self.setup.follows]
        self.judges = [judge for judge in made if judge is not None]
        if self.setup.wide:
            assert self.feed is not None
            self._listen(self.feed.updates(), *self.setup.follows)
        stack.enter_context(ScriptLog(self.mischiefs, self._is_ours).added())
        self._read(stack)
        for subscription in self.subscriptions:
            subscription.wait_live(START)
        if self.feed is not None:
            self._clients = len(self.feed.connections())

    def _read(self, stack: contextlib.ExitStack) -> None:
        """Have two threads read, one of which is stalled inside of its reads."""
        both: list[list[Judge | PairJudge]] = [
            [*self.judges],
            [judge.beside("stalled") for judge in self.judges],
        ]
        if self.feed is not None:
            self.pairs = PairJudge(
                self.feed,
                [judge.beside("of several") for judge in self.judges],
                random.Random(self.rng.random()),
                LEASE,
                self._spread,
                self.clock,
            )
            both[0].append(self.pairs)
            both[1].append(self.pairs.beside())
        for reader, judges in zip((self._reader, self._stalled), both, strict=True):
            reader.start(judges)
            stack.callback(reader.stop)

    def _spread(self, channels: Sequence[str]) -> float:
        """How far apart values of these channels may be, in seconds."""
        now = time.monotonic()
        one_line = set(channels) <= {"depth5", "bbo-tbt"}
        changing = now < self.changed_over + CHANGE_OVER
        rested = self.metronome is not None and self.metronome.rested(now - LEASE)
        return BATCH if one_line and not (changing or rested) else LEASE

    def _is_ours(self, record: logging.LogRecord) -> bool:
        """Whether the library logs of this rig."""
        thread = record.threadName or ""
        named = f":{self._port}" in record.getMessage()
        is_ours = named or f":{self._venue_name}:" in thread
        return is_ours and thread.startswith("okex_ws")

    def _follow(
        self, follow: SubscriptionSetup, stack: contextlib.ExitStack
    ) -> Judge | None:
        """Subscribe; what judges it, unless there is nothing to be read."""
        subscription, judge = self.judged(follow)
        stack.callback(subscription.close)
        if not self.setup.wide:
            self._listen(subscription.updates(), follow)
        return judge if judge.truths else None

    def judged(self, follow: SubscriptionSetup) -> tuple[WSSubscription, Judge]:
        """One more subscription, and a judge that it tells its changes."""
        script = ReadingScript(self.mischiefs, self.told_error)
        truths = {
            topic: _DEPTHS[topic](self.exchange, self.key(follow, topic))
            for topic in follow.channels
            if topic in _DEPTHS
        }
        # A mischief is about the connection that carries the depths of the others.
        carried = truths and "depth_l2_tbt" not in follow.channels
        subscription = self.guest(
            *follow.instrument[::-1],
            channels=follow.channels,
            on_message=script.on_message if carried else None,
            on_state=script.on_state,
            on_error=script.on_error,
        )
        if "trade" in follow.channels and follow.instrument != GUEST:
            self.traders.append(subscription)
        # Where one logs in for it, its connection is another one than that of the rest.
        apart = self.setup.credentials and "depth_l2_tbt" in follow.channels
        judge = Judge(
            subscription, truths, LEASE, lambda: self._dead_since(apart), self.clock
        )
        script.follow(judge)
        return subscription, judge

    def visit(self, follow: SubscriptionSetup) -> Judge:
        """A guest for a while, which the caller has read, and closes."""
        _, judge = self.judged(follow)
        # The judge itself, with all that it knows, goes when the guest goes.
        self.visits.append(judge.found)
        return judge

    def _listen(self, items: Iterator[Any], *follows: SubscriptionSetup) -> None:
        truths: dict[Series, Truth] = {}
        trades: dict[Series, Trades] = {}
        for follow in follows:
            for topic in follow.channels:
                series, key = (follow.instrument[1], topic), self.key(follow, topic)
                if topic in _DEPTHS:
                    truths[series] = _DEPTHS[topic](self.exchange, key)
                elif topic in ("trade", "trades-all"):
                    trades[series] = Trades(self.exchange, key, self.around)
        self.listeners.append(Listener(self.name, items, truths, trades))

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def user_error(self) -> BaseException | None:
        """What ended the reader or an iterator, which nothing should."""
        users = (self._reader, self._stalled, *self.listeners)
        return next((each.error for each in users if each.error is not None), None)

    # --- Its parts ------------------------------------------------------------------

    @property
    def subscriptions(self) -> list[WSSubscription]:
        """Those that are read."""
        return [judge.subscription for judge in self.judges]

    def key(self, follow: SubscriptionSetup, topic: str) -> str:
        """A channel, as the exchange calls it."""
        return self.dialect.key(topic, *follow.instrument)

    @property
    def depth_key(self) -> str:
        """The channel of the first subscription."""
        return self.key(self.setup.follows[0], "depth5")

    @property
    def book_key(self) -> str | None:
        """The channel of a whole book that has a subscription for itself, if any."""
        follow = self.setup.follows[1] if len(self.setup.follows) > 1 else None
        topic = follow.channels[0] if follow is not None else ""
        if follow is None or topic not in ("depth", "depth_l2_tbt"):
            return None
        return self.key(follow, topic)

    @property
    def port(self) -> int:
        """Where the exchange is, by way of what lies between."""
        return self._port if self.proxy is None else self.proxy.port

    @property
    def _venue_name(self) -> str:
        return f"rig-{self.name.replace(' ', '-')}"

    def venue(self, *first: int) -> Venue:
        """The exchange by its name, behind endpoints at the ports *first*."""
        scheme = "wss" if self.setup.tls else "ws"
        url = self.exchange.url if self.setup.protocol == "v3" else self.exchange.url_v5
        path = url.partition("//")[2].partition("/")[2]
        ports = tuple(f"{scheme}://127.0.0.1:{port}/{path}" for port in first)
        return Venue(
            self._venue_name,
            self.setup.protocol,
            (*ports, url.replace("127.0.0.1", HOST)),
            connections_per_second=1000.0,
            requests_per_hour=1_000_000,
        )

    def options(self) -> dict[str, Any]:
        """How a feed of this rig connects."""
        trust: ssl.SSLContext | None = client_tls() if self.setup.tls else None
        key = self.exchange.credentials[0] if self.setup.credentials else None
        return {
            "network": lambda: TcpNetwork(ssl_context=trust, resolve=self._look_up),
            "rng": random.Random(self.rng.random()),
            "timeouts": TIMEOUTS,
            "reconnect": RECONNECT,
            "lease": LEASE,
            "callbacks": "thread" if self.setup.threaded else "inline",
            "credentials": key,
            "recorder": self._recorder,
            "clock": self.clock,
        }

    def guest(
        self, instrument_id: str, market: str, *, own: bool = False, **options: Any
    ) -> WSSubscription:
        """One more subscription: on the shared feed, if there is one and not *own*."""
        if self.feed is not None and not own:
            return WSSubscription(instrument_id, market, feed=self.feed, **options)
        options.setdefault("venue", self.venue())
        return WSSubscription(instrument_id, market, **self.options(), **options)

    # --- What faults do with it -----------------------------------------------------

    def _look_up(self, host: str) -> list[Address]:
        resolve = self._resolve
        return loopback(self.port)(host) if resolve is None else resolve(host)

    @contextlib.contextmanager
    def answering(self, resolve: Resolve) -> Iterator[None]:
        """Have *resolve* say where the exchange is, to whoever comes."""
        self._resolve = resolve
        try:
            yield
        finally:
            self._resolve = None

    @contextlib.contextmanager
    def rename(self, resolve: Resolve) -> Iterator[None]:
        """The same, and end what is connected."""
        with self.answering(resolve):
            self.exchange.drop()
            yield

    def redirect(self, port: int) -> contextlib.AbstractContextManager[None]:
        """Send who asks for the exchange to *port*; end what is connected."""
        return self.rename(loopback(port))

    def rest(self, timeout: float) -> bool:
        """Wait until there are as many connections as at first, and stay so many."""
        give_up = time.monotonic() + timeout
        while self.exchange.clients != self._clients or self._is_handing_over():
            if time.monotonic() > give_up:
                return False
            time.sleep(0.004)
        return True

    def _is_handing_over(self) -> bool:
        """Whether a new connection is still to take over; the feed tries on."""
        connections = [] if self.feed is None else pool_of(self.feed).connections
        return any(each.channels.handover is not None for each in connections)

    def pause(self, longest: float) -> None:
        """Wait for a moment that nobody knows beforehand."""
        time.sleep(self.rng.uniform(0.0, longest))

    def die(self, *, of_one: bool = False) -> None:
        """From now on nothing true comes over the line; or only over that *of_one*."""
        self.dead_since, self._of_one = time.monotonic(), of_one

    def _dead_since(self, apart: bool) -> float | None:
        return None if apart and self._of_one else self.dead_since

    def revive(self) -> None:
        """What comes from now on may be true again."""
        self.dead_since = None
        self.mischiefs.clear()

    def say(self, message: str | bytes) -> None:
        """Have the exchange send a message, of bytes that may be no text."""
        payload = self.dialect.payload(message)
        self.exchange.send_raw(payload, text=self.setup.protocol == "v5")
