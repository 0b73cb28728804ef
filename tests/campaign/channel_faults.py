"""Faults of channels and of the script's own callbacks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from okex_ws import State, WSSubscription
from tests.campaign.catalogue import (
    ALONE,
    CONNECTION_LOSS,
    DIAL,
    PUSH,
    Noticed,
    fault,
    with_v5,
)
from tests.campaign.rig import LEASE, Rig
from tests.campaign.script import OWN
from tests.campaign.setups import GUEST
from tests.support.loopback_servers import closed_port

# --- Error events -------------------------------------------------------------------

_MARKET, _ID = GUEST
_REASONS = {"v3": (30041,), "v5": (60011, 60012, 60018, 64001)}
# 30026 and 60014 are "too frequent", 30043, 63999 and 64007 internal errors.
_PASSING = {"v3": (30026, 30043), "v5": (60014, 63999, 64007)}


def _channel(rig: Rig, topic: str) -> str:
    return rig.dialect.key(topic, _MARKET, _ID)


def _fatal(kind: str, fits: Callable[[Rig], bool], named: bool) -> None:
    @fault(kind, "guest", PUSH, fits)
    def reject(rig: Rig) -> Iterator[Noticed]:
        """A guest's extra channel fails; its depth lives, and so do the others'."""
        code = rig.rng.choice(_REASONS[rig.setup.protocol])
        key = _channel(rig, "ticker")
        message = f"Channel {key} is not to be had" if named else "Not to be had."
        rig.exchange.reject(key, code, message, named=named)
        guest = rig.guest(_ID, _MARKET, channels=("depth5", "ticker"))
        try:
            yield (
                lambda: (
                    guest.state is State.LIVE
                    and str(code) in str(guest.health().failed.get("ticker"))
                    and rig.untouched()
                )
            )
        finally:
            rig.exchange.reject(key, code, "", times=0)
            guest.close()


_fatal("error event that is fatal for one channel", lambda rig: True, named=True)
_fatal("error event that tells its channel by the id", with_v5, named=False)


@fault("error event that is fatal for a subscription", "guest", PUSH)
def fatal_subscription(rig: Rig) -> Iterator[Noticed]:
    """A guest asks for what does not exist and fails; the others go on."""
    guest = rig.guest("NONE-USDT", "spot")
    code = {"v3": "30040", "v5": "60018"}[rig.setup.protocol]
    try:
        yield (
            lambda: (
                guest.state is State.FAILED
                and code in str(guest.health().failed.get("depth5"))
                and not guest.GetDepth()
                and rig.untouched()
            )
        )
    finally:
        guest.close()


@fault("error event that passes", "passing", DIAL + 2.0)
def passing(rig: Rig) -> Iterator[Noticed]:
    """The exchange was asked too often, or is out of order; it is asked again."""
    code = rig.rng.choice(_PASSING[rig.setup.protocol])
    rig.exchange.reject(rig.depth_key, code, "Come back later.", times=1)
    rig.exchange.drop()
    try:
        yield rig.error(f"SubscriptionRejected.*{code}")
    finally:
        rig.exchange.reject(rig.depth_key, code, "", times=0)


# Alone: under v3 it would be the answer to whatever is asked at that moment.
@fault("error event that nobody asked for", ALONE, PUSH)
def stray_error(rig: Rig) -> Iterator[Noticed]:
    """It is counted, said once a minute, and changes nothing."""
    dropped = rig.dropped("unasked error")
    code = {"v3": 30099, "v5": 60012}[rig.setup.protocol]
    rig.exchange.send_event(rig.dialect.error(code, "a stray error"))
    yield lambda: dropped() and rig.untouched()


@fault("subscribe without an answer", "passing", CONNECTION_LOSS)
def no_answer(rig: Rig) -> Iterator[Noticed]:
    """Neither an acknowledgement nor an error comes; asked for again, it does."""
    rig.exchange.ignore_subscribe(rig.depth_key)
    rig.exchange.drop()
    try:
        yield rig.error("Stalled.*no acknowledgement")
    finally:
        rig.exchange.ignore_subscribe(rig.depth_key, on=False)


# --- Endpoints and lives ------------------------------------------------------------


@fault("dead first endpoint", "guest", PUSH)
def fail_over(rig: Rig) -> Iterator[Noticed]:
    """A guest finds the second endpoint by itself."""
    venue = rig.venue(closed_port())
    guest = rig.guest(_ID, _MARKET, own=True, venue=venue)
    try:
        yield lambda: guest.state is State.LIVE and bool(guest.stats().reconnects)
    finally:
        guest.close()


@fault("subscription closed at once", "guest", PUSH)
def short_life(rig: Rig) -> Iterator[Noticed]:
    """Guests that leave while they connect, asks or just have their answer."""
    closed = []
    for wait in (0.0, 0.002, 0.02, 0.1):
        with contextlib.closing(rig.guest(_ID, _MARKET, own=True)) as guest:
            time.sleep(wait)
        closed.append(guest)
    yield lambda: all(g.close() and g.state is State.CLOSED for g in closed)


# --- Callbacks ----------------------------------------------------------------------


@fault("callback that raises", "callback", PUSH)
def raising(rig: Rig) -> Iterator[Noticed]:
    """An exception of the script, even one that ends programs."""
    error = rig.rng.choice((RuntimeError(OWN), SystemExit(OWN)))

    def mischief(told: object) -> bool:
        raise error

    before = _counted(rig, "callback_errors")
    rig.mischiefs.set("on_message", mischief)
    yield lambda: _counted(rig, "callback_errors") > before


def _counted(rig: Rig, name: str) -> int:
    # The feed counts a passenger's too, who may be gone by now.
    told = rig.subscriptions if rig.feed is None else [rig.feed]
    return sum(getattr(each.stats(), name) for each in told)


@fault("callback that blocks", "callback", CONNECTION_LOSS)
def blocking(rig: Rig) -> Iterator[Noticed]:
    """The connection's thread is kept longer than the lease lasts.

    A pong that comes meanwhile answers no ping that goes out later.
    """
    seconds = LEASE + rig.rng.uniform(0.5, 2.0)
    before = _counted(rig, "callback_stalls")
    # Under way for long, as on a line that is slow, it would answer a later ping.
    pong = rig.rng.random() < 0.5 and not rig.mixed

    def mischief(told: object) -> bool:
        # On a thread of its own it keeps nobody from reading.
        if not rig.setup.threaded:
            rig.die(of_one=True)
        if pong:
            rig.exchange.send_event("pong")
        time.sleep(seconds)
        rig.dead_since = None
        return True

    rig.mischiefs.set("on_message", mischief)
    yield (
        lambda: (
            _counted(rig, "callback_stalls") > before
            and not any(s.state is State.CLOSED for s in rig.subscriptions)
        )
    )


@fault("callback that calls close()", "callback", PUSH)
def closing(rig: Rig) -> Iterator[Noticed]:
    """A guest ends itself, on the thread that would have to end."""
    answers: list[bool] = []
    guests: list[WSSubscription] = []

    def close(text: str) -> None:
        answers.extend(guest.close() for guest in guests)

    guests.append(rig.guest(_ID, _MARKET, own=True, on_message=close))
    try:
        yield _closed(guests[0], answers, rig)
    finally:
        guests[0].close()


def _closed(guest: WSSubscription, answers: list[bool], rig: Rig) -> Callable[[], bool]:
    return lambda: (
        answers == [False]
        and guest.state is State.CLOSED
        and not guest.GetDepth()
        and guest.close()
        and rig.untouched()
    )
