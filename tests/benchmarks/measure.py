"""One round of one way to follow a market: messages a second, and CPU a message."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.benchmarks.seed import SeedSubscription

from okex_ws import Venue, WSSubscription

# How often the script looks at the price meanwhile, in seconds.
LOOK = 0.05
WARM_UP = 0.3
LIMIT = 10.0


class Server(NamedTuple):
    """Where the process with the server listens, whom to trust, and what it has."""

    port: int
    tls_port: int
    authority: str
    channel: str
    source: str

    @property
    def followed(self) -> tuple[str, str]:
        """Its one instrument and that one's market."""
        market, _, rest = self.channel.partition("/")
        return rest.partition(":")[2], market

    def url(self, *, tls: bool = False, pace: int | None = None) -> str:
        """Its address; as fast as can be without a *pace*."""
        scheme, port = ("wss", self.tls_port) if tls else ("ws", self.port)
        query = f"?pace={pace}" if pace is not None else ""
        return f"{scheme}://localhost:{port}/ws/v3{query}"

    def context(self) -> ssl.SSLContext:
        """A client's."""
        return ssl.create_default_context(cadata=self.authority)


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.server"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        yield Server(**json.loads(process.stdout.readline()))
        # Leaving closes its stdin, which ends it.


class Round(NamedTuple):
    """What one round measured: messages a second, CPU microseconds a message."""

    rate: float
    cpu: float


class Way(NamedTuple):
    """One way: *ours* or the seed's, with *on_message* or without.

    *pace* is messages a second, as fast as can be if ``None``; *busy* is a script that
    computes without a rest, in pure Python, and gives its lock away to nobody.
    """

    name: str
    ours: bool
    on_message: bool = False
    tls: bool = False
    pace: int | None = None
    busy: bool = False


class _Count:
    """The callback, the same for both."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, text: str) -> None:
        self.calls += 1


def measure(way: Way, where: Server, seconds: float) -> Round:
    """One round of *seconds*, after the warm-up."""
    callback = _Count() if way.on_message else None
    follow = _ours if way.ours else _seeds
    with follow(way, where, callback) as (subscription, count):
        _await(lambda: bool(subscription.GetDepth()))
        time.sleep(WARM_UP)
        started, cpu, messages = time.perf_counter(), time.process_time(), count()
        while time.perf_counter() < started + seconds:
            (_compute if way.busy else time.sleep)(LOOK)
            assert subscription.GetDepth()
        took, used = time.perf_counter() - started, time.process_time() - cpu
        seen = count() - messages
    assert callback is None or callback.calls
    return Round(seen / took, used / seen * 1e6)


def _compute(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


_Followed = tuple[WSSubscription | SeedSubscription, Callable[[], int]]


@contextlib.contextmanager
def _ours(
    way: Way, where: Server, callback: Callable[[str], object] | None
) -> Iterator[_Followed]:
    venue = Venue("bench", "v3", (where.url(tls=way.tls, pace=way.pace),))
    trust = where.context() if way.tls else None
    with WSSubscription(
        *where.followed, callback, venue=venue, ssl_context=trust
    ) as subscription:
        yield subscription, lambda: subscription.stats().messages


@contextlib.contextmanager
def _seeds(
    way: Way, where: Server, callback: Callable[[str], object] | None
) -> Iterator[_Followed]:
    url = where.url(pace=way.pace)
    subscription = SeedSubscription(*where.followed, callback, url=url)
    with contextlib.closing(subscription):
        yield subscription, lambda: subscription.messages


def _await(predicate: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LIMIT
    while not predicate():
        if time.monotonic() > give_up:
            raise TimeoutError("nothing came")
        time.sleep(0.005)
