"""Faults of connections: TCP that ends, stalls or is cut into pieces, and silence."""

from __future__ import annotations

from collections.abc import Iterator

from okex_ws import State
from tests.campaign.catalogue import (
    BOOK,
    CONNECTION_LOSS,
    DIAL,
    PUSH,
    Noticed,
    fault,
    proxied,
    with_v5,
)
from tests.campaign.rig import Rig

_DOWN = (State.RECONNECTING,)
_OUT = (State.STALE, State.RECONNECTING)
# Those of the standard, and of v3; and those that v5 documents.
_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 1014)
_CODES_V3 = (4001, 4002)
# 4003, 4008 and 4009, for too many channels, are of a kind of their own.
_CODES_V5 = (4001, 4002, 4004, 4005, 4006, 4007)

# --- The line -----------------------------------------------------------------------


@fault("drop", "line", DIAL, instant=True)
def drop(rig: Rig) -> Iterator[Noticed]:
    """The exchange aborts TCP."""
    rig.exchange.drop()
    yield rig.told(*_DOWN)


@fault("TCP reset", "line", DIAL, proxied, instant=True)
def reset(rig: Rig) -> Iterator[Noticed]:
    """A RST to both ends."""
    assert rig.proxy is not None
    rig.proxy.reset()
    yield rig.told(*_DOWN)


@fault("stall", "line", CONNECTION_LOSS, proxied)
def stall(rig: Rig) -> Iterator[Noticed]:
    """Nothing moves and nothing is closed."""
    assert rig.proxy is not None
    rig.proxy.stall()
    rig.die()
    try:
        yield rig.told(*_OUT)
    finally:
        rig.proxy.heal()


@fault("slow throttle", "line", CONNECTION_LOSS, proxied)
def throttle(rig: Rig) -> Iterator[Noticed]:
    """The line takes much less than the exchange has to say."""
    assert rig.proxy is not None
    rig.proxy.throttle(400.0)
    try:
        yield rig.told(*_OUT)
    finally:
        rig.proxy.heal()


@fault("odd segments", "line", PUSH, proxied)
def odd_segments(rig: Rig) -> Iterator[Noticed]:
    """Every record and frame is cut; no harm is done."""
    assert rig.proxy is not None
    before = rig.proxy.passed
    rig.proxy.cut([1, 2, 60, 7, 1400, 3])
    try:
        yield lambda: rig.proxy is not None and rig.proxy.passed > before + 4000
    finally:
        rig.proxy.heal()


@fault("garbage on the line", "line", DIAL, proxied, instant=True)
def garbage(rig: Rig) -> Iterator[Noticed]:
    """Bytes that are no frame, and under TLS no record."""
    assert rig.proxy is not None
    rig.proxy.inject(b"\xf3\xff\xff\xff\xff garbage \x00\x01\x02" * 4)
    yield rig.told(*_DOWN)


@fault("no pongs", "line", CONNECTION_LOSS)
def mute(rig: Rig) -> Iterator[Noticed]:
    """The exchange says nothing at all any more."""
    rig.exchange.mute()
    rig.die()
    try:
        yield rig.told(*_OUT)
    finally:
        rig.exchange.resume()


# A thousand segments are as many turns of every thread between.
@fault("one byte a segment", "line", PUSH + 1.0, proxied)
def one_byte(rig: Rig) -> Iterator[Noticed]:
    """As slow as can be, for a moment; no harm is done."""
    assert rig.proxy is not None
    before = rig.proxy.passed
    rig.proxy.cut([1])
    try:
        yield lambda: rig.proxy is not None and rig.proxy.passed > before + 1000
    finally:
        rig.proxy.heal()


def _close(rig: Rig, code: int) -> Iterator[Noticed]:
    lost, told = rig.error(rf"ConnectionLost.*\(close code {code}\)"), rig.told(*_DOWN)
    rig.exchange.close_clients(code, "the campaign")
    yield lambda: lost() and told()


@fault("close frame", "line", DIAL, instant=True)
def close_frame(rig: Rig) -> Iterator[Noticed]:
    """The exchange closes, with one of the codes that it may send."""
    own = _CODES_V3 if rig.setup.protocol == "v3" else ()
    yield from _close(rig, rig.rng.choice(_CODES + own))


@fault("close code of v5", "line", DIAL, with_v5, instant=True)
def close_code(rig: Rig) -> Iterator[Noticed]:
    """One of those that v5 documents."""
    yield from _close(rig, rig.rng.choice(_CODES_V5))


# --- Silence, which is no harm ------------------------------------------------------


@fault("silence of one channel", "silence", PUSH)
def silence_one(rig: Rig) -> Iterator[Noticed]:
    """A quiet market: what was said last is still right."""
    rig.exchange.silence(rig.depth_key)
    try:
        yield lambda: rig.subscriptions[0].health().age > 0.8
    finally:
        rig.exchange.resume()


@fault("silence of all", "silence", BOOK)
def silence_all(rig: Rig) -> Iterator[Noticed]:
    """Only pongs come; what was withheld is lost, and whole books break."""
    rig.exchange.silence()
    try:
        yield lambda: all(s.health().age > 0.8 for s in rig.subscriptions)
    finally:
        rig.exchange.resume()
