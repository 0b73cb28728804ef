"""A fault on a connection's thread withdraws what came over it, and the thread goes on.

The fault comes at each line in turn that the connection runs while it handles a loss, a
bad message, a refusal or a subscription. No value of that opening is read afterwards,
and its channels are live again on the next one.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from okex_ws import Credentials, Feed, RawSubscription, State, WSSubscription
from okex_ws.pool.connection import Connection
from okex_ws.pool.register import check
from okex_ws.trust.lease import Era
from tests.support.internals import pool_of, register_of
from tests.support.line_hooks import LineHook, every_line, raising
from tests.support.virtual_world import LIMIT, Ladder, World

DEPTHS = ("BTC-USDT", "ETH-USDT")


class Rig:
    """Two depths with trades and a whole book, which are live on one connection."""

    def __init__(self) -> None:
        self.world = World("v5")
        self.ladder = Ladder(self.world)
        for name in DEPTHS:
            key = self.world.dialect.channel("depth5", name)
            self.world.exchange.first_pushes[key] = lambda name=name: self.depth(name)
        self.feed: Feed = self.world.feed()
        self.subs = [self.subscribe(name, "depth5", "trade") for name in DEPTHS]
        self.subs.append(self.subscribe("BTC-USDT", "depth"))

    def depth(self, name: str) -> Any:
        """The push of the present depth of an instrument."""
        now = round((self.world.clock.now - self.world.t0) * 1000)
        return self.world.dialect.depth(now, name=name)

    def subscribe(self, name: str, *channels: str) -> WSSubscription:
        return WSSubscription(name, "spot", feed=self.feed, channels=channels)

    @property
    def connection(self) -> Connection:
        (one,) = pool_of(self.feed).connections
        return one

    @property
    def era(self) -> Era:
        opening = self.connection.opening
        assert opening is not None
        return opening.era

    def send(self, message: object) -> None:
        self.world.peers[0].send(message)

    def states(self) -> list[State]:
        return [sub.state for sub in self.subs]

    def prices(self) -> list[bool]:
        """Whether each subscription gives a price."""
        return [bool(sub.GetDepth()) for sub in self.subs]


def loss(rig: Rig) -> None:
    rig.world.peers[0].drop()


def job(rig: Rig) -> None:
    rig.connection.submit(raising(ValueError("a job raises")))


def garbage(rig: Rig) -> None:
    rig.send("garbage")


def bad_push(rig: Rig) -> None:
    message = rig.depth("BTC-USDT")
    message["data"][0]["bids"] = "none"
    rig.send(message)


def broken_book(rig: Rig) -> None:
    rig.ladder.seq += 5
    rig.ladder.send(rig.ladder.size("7"))


def stranger(rig: Rig) -> None:
    rig.send(rig.depth("btc-usdt"))


def refusal(rig: Rig) -> None:
    ended = {"event": "channel-conn-count-error", "channel": "books5"}
    rig.send({**ended, "connCount": "31", "connId": "a4d3ae55"})


def subscribe(rig: Rig) -> None:
    rig.subs.append(rig.subscribe("BTC-USDT", "depth5", "trade", "ticker"))


def unsubscribe(rig: Rig) -> None:
    rig.subs.pop(1).close()


CAUSES = [
    *(loss, job, garbage, bad_push, broken_book, stranger, refusal),
    *(subscribe, unsubscribe),
]
END_THE_OPENING = (loss, job)


@pytest.mark.once
@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_a_fault_at_any_line_closes_the_opening_and_no_thread_ends(
    cause: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "okex_ws")
    for hook in every_line(raising(SystemExit), within="pool/connection"):
        happens(cause, hook)


@pytest.mark.parametrize("cause", END_THE_OPENING, ids=lambda cause: cause.__name__)
def test_a_fault_at_any_line_between_two_openings_ends_no_thread(
    cause: Callable[[Rig], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "okex_ws")
    for hook in every_line(raising(SystemExit), within="base/worker"):
        happens(cause, hook)


def elsewhere(do: Callable[[], object]) -> None:
    """Call *do* on a thread that is not traced.

    An event of the world may run on the thread of the connection.
    """
    thread = threading.Thread(target=do)
    thread.start()
    thread.join(LIMIT)


def happens(cause: Callable[[Rig], None], hook: LineHook) -> None:
    """Let *cause* happen, and a fault at the line of *hook* while it is handled."""
    rig = Rig()
    world, old, seen = rig.world, list[Era](), list[Any]()

    def begin() -> None:
        assert rig.states() == [State.LIVE] * 3
        old.append(rig.era)
        rig.connection.submit(hook.trace_from_here)

    def look() -> None:
        # The next opening comes later.
        if hook.fired or cause in END_THE_OPENING:
            assert old[0].lost, hook.place
            assert not any(rig.prices()), hook.place
            check(register_of(pool_of(rig.feed)).table)

    def stop_tracing() -> None:
        rig.connection.submit(partial(sys.settrace, None))

    world.at(1.0, begin)
    world.at(1.0001, lambda: elsewhere(partial(cause, rig)))
    world.at(1.0005, look)
    world.at(3.0, lambda: elsewhere(stop_tracing))
    world.at(14.0, lambda: seen.append((rig.states(), rig.prices())))

    world.run(15)

    states, prices = seen[0]
    for state, price in zip(states, prices, strict=True):
        failed = cause is refusal and state is State.FAILED
        assert failed or (state, price) == (State.LIVE, True), (hook.place, states)


# The connection is given up: a fault in the last lines of its thread may end it.
@pytest.mark.once
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_at_any_line_that_handles_a_refused_key_leaves_nothing_waiting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "okex_ws")
    for hook in every_line(raising(SystemExit), within="pool/connection"):
        world, seen = World("v5"), list[State]()
        feed = world.feed(credentials=Credentials("key", "secret", "passphrase"))
        sub = RawSubscription(["account"], feed=feed)
        (connection,) = pool_of(feed).connections

        def refuse(world: World = world) -> None:
            world.exchange.login_refusal = ("60009", "Login failed.")
            world.peers[0].close(4001, "login failed")

        def stop_tracing(connection: Connection = connection) -> None:
            connection.submit(partial(sys.settrace, None))

        world.at(1.0, partial(connection.submit, hook.trace_from_here))
        world.at(1.0001, refuse)
        world.at(3.0, partial(elsewhere, stop_tracing))
        world.at(14.0, lambda: seen.append(sub.state))  # noqa: B023

        world.run(15)

        assert seen == [State.FAILED], hook.place
