"""Faults of channels and of the script's own callbacks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from tests.campaign.catalogue import DIAL, LINE, PUSH, Noticed, fault
from tests.campaign.rig import INSTRUMENTS, LEASE, Rig
from tests.peers import closed_port

from okex_ws import State, WSSubscription

# --- Error events -------------------------------------------------------------------

_MARKET, _ID = INSTRUMENTS[1]
_TICKER = f"{_MARKET}/ticker:{_ID}"


@fault("error event that is fatal for one channel", "guest", PUSH)
def fatal_channel(rig: Rig) -> Iterator[Noticed]:
    """A guest's extra channel fails; its depth lives, and so do the others'."""
    rig.exchange.reject(_TICKER, 30041, f"Channel {_TICKER} needs a login")
    guest = rig.guest(_ID, _MARKET, channels=("depth5", "ticker"))
    try:
        yield (
            lambda: (
                guest.state is State.LIVE
                and "30041" in str(guest.health().failed.get("ticker"))
                and rig.untouched(but=-1)
            )
        )
    finally:
        rig.exchange.reject(_TICKER, 0, "", times=0)
        guest.close()


@fault("error event that is fatal for a subscription", "guest", PUSH)
def fatal_subscription(rig: Rig) -> Iterator[Noticed]:
    """A guest asks for what does not exist and fails; the others go on."""
    guest = rig.guest("NONE-USDT", "spot")
    try:
        yield (
            lambda: (
                guest.state is State.FAILED
                and "30040" in str(guest.health().failed.get("depth5"))
                and not guest.GetDepth()
                and rig.untouched(but=-1)
            )
        )
    finally:
        guest.close()


def _passing(code: int, message: str) -> None:
    @fault(f"error event {code}, which passes", "passing", DIAL + 2.0)
    def reject(rig: Rig) -> Iterator[Noticed]:
        market, instrument_id = INSTRUMENTS[0]
        channel = f"{market}/depth5:{instrument_id}"
        rig.exchange.reject(channel, code, message, times=1)
        rig.exchange.drop()
        try:
            yield rig.error(f"SubscriptionRejected.*{code}")
        finally:
            rig.exchange.reject(channel, 0, "", times=0)


_passing(30026, "User's request is too frequent")
_passing(30043, "Internal system error")


@fault("error event that nobody asked for", "harmless", PUSH)
def stray_error(rig: Rig) -> Iterator[Noticed]:
    """It is counted, said once a minute, and changes nothing."""
    dropped = rig.dropped("unasked error")
    rig.exchange.send_error(30099, "a stray error")
    yield lambda: dropped() and rig.untouched(but=-1)


@fault("subscribe without an answer", "passing", LINE)
def no_answer(rig: Rig) -> Iterator[Noticed]:
    """Neither an acknowledgement nor an error comes; asked for again, it does."""
    market, instrument_id = INSTRUMENTS[0]
    rig.exchange.ignore_subscribe(f"{market}/depth5:{instrument_id}")
    rig.exchange.drop()
    try:
        yield rig.error("Stalled.*no acknowledgement")
    finally:
        rig.exchange.heal()


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
    error = rig.rng.choice((RuntimeError("the script's own"), SystemExit(3)))

    def mischief() -> None:
        raise error

    before = _callback_errors(rig)
    rig.mischief = mischief
    yield lambda: _callback_errors(rig) > before


def _callback_errors(rig: Rig) -> int:
    return sum(s.stats().callback_errors for s in rig.subscriptions)


@fault("callback that blocks", "callback", LINE)
def blocking(rig: Rig) -> Iterator[Noticed]:
    """The connection's thread is kept longer than the lease lasts."""
    seconds = LEASE + rig.rng.uniform(0.5, 2.0)
    before = _stalls(rig)

    def mischief() -> None:
        rig.die()
        time.sleep(seconds)
        rig.dead_since = None

    rig.mischief = mischief
    yield (
        lambda: (
            _stalls(rig) > before
            and not any(s.state is State.CLOSED for s in rig.subscriptions)
        )
    )


def _stalls(rig: Rig) -> int:
    return sum(s.stats().callback_stalls for s in rig.subscriptions)


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
        and rig.untouched(but=-1)
    )
