"""Faults of lines, frames and messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.campaign.catalogue import (
    DIAL,
    LINE,
    PUSH,
    Noticed,
    fault,
    in_the_clear,
    proxied,
)
from tests.campaign.rig import INSTRUMENTS, Rig
from tests.peers import frame, text
from websockets.frames import Opcode

from okex_ws import State
from okex_ws.local_exchange import deflate

_DOWN = (State.RECONNECTING,)
_OUT = (State.STALE, State.RECONNECTING)
_BACK = (State.RESYNCING,)
_MARKET, _ID = INSTRUMENTS[0]
_DEPTH = f"{_MARKET}/depth5:{_ID}"

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


@fault("stall", "line", LINE, proxied)
def stall(rig: Rig) -> Iterator[Noticed]:
    """Nothing moves and nothing is closed."""
    assert rig.proxy is not None
    rig.proxy.stall()
    rig.die()
    try:
        yield rig.told(*_OUT)
    finally:
        rig.proxy.heal()


@fault("slow throttle", "line", LINE, proxied)
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


@fault("no pongs", "line", LINE)
def mute(rig: Rig) -> Iterator[Noticed]:
    """The exchange says nothing at all any more."""
    rig.exchange.mute()
    rig.die()
    try:
        yield rig.told(*_OUT)
    finally:
        rig.exchange.resume()


@fault("close frame", "line", DIAL, instant=True)
def close_frame(rig: Rig) -> Iterator[Noticed]:
    """The exchange closes, with one of the codes that it may send."""
    code = rig.rng.choice((1000, 1001, 1002, 1009, 1011, 1012, 1013, 4001, 4002))
    rig.exchange.close_clients(code, "the campaign")
    yield rig.error(rf"ConnectionLost.*\(close code {code}\)")


# --- Silence, which is no harm ------------------------------------------------------


@fault("silence of one channel", "silence", PUSH)
def silence_one(rig: Rig) -> Iterator[Noticed]:
    """A quiet market: what was said last is still right."""
    rig.exchange.silence(_DEPTH)
    try:
        yield lambda: rig.subscriptions[0].health().age > 0.8
    finally:
        rig.exchange.resume()


@fault("silence of all", "silence", PUSH)
def silence_all(rig: Rig) -> Iterator[Noticed]:
    """Only pongs come."""
    rig.exchange.silence()
    try:
        yield lambda: all(s.health().age > 0.8 for s in rig.subscriptions)
    finally:
        rig.exchange.resume()


# --- Framing ------------------------------------------------------------------------


@fault("storm of fragments", "frame", DIAL, in_the_clear, instant=True)
def fragments(rig: Rig) -> Iterator[Noticed]:
    """One message in more fragments than any message needs."""
    assert rig.proxy is not None
    rest = frame(Opcode.CONT, b"x", fin=False) * 2000
    rig.proxy.inject(text("x", fin=False) + rest)
    yield rig.error("ConnectionLost.*fragments")


@fault("over-long frame", "frame", DIAL, in_the_clear, instant=True)
def over_long(rig: Rig) -> Iterator[Noticed]:
    """The head of a frame that would fill the memory."""
    assert rig.proxy is not None
    rig.proxy.inject(b"\x82\x7f" + (1 << 40).to_bytes(8, "big"))
    yield rig.error("ConnectionLost.*a frame of")


@fault("masked frame", "frame", DIAL, in_the_clear, instant=True)
def masked(rig: Rig) -> Iterator[Noticed]:
    """What only a client may send."""
    assert rig.proxy is not None
    rig.proxy.inject(b"\x82\x81mask?")
    yield rig.error("ConnectionLost.*masked")


# --- Messages -----------------------------------------------------------------------


def _message(kind: str, counted: str, make: Callable[[Rig], bytes]) -> None:
    """A message that withdraws every channel, until each one's next good push."""

    @fault(kind, "message", PUSH, instant=True)
    def send(rig: Rig) -> Iterator[Noticed]:
        dropped, told = rig.dropped(counted), rig.told(*_BACK)
        rig.exchange.send_raw(make(rig))
        yield lambda: dropped() and told()


def _push(rig: Rig) -> dict[str, Any]:
    """The newest depth of the first instrument, ready to be spoiled."""
    newest = rig.exchange.newest(_DEPTH)
    assert newest is not None
    return {"table": f"{_MARKET}/depth5", "data": [json.loads(json.dumps(newest[1]))]}


def _packed(rig: Rig) -> bytes:
    return deflate(json.dumps(_push(rig)))


_message("truncated deflate", "inflate", lambda rig: _packed(rig)[:-3])
_message("trailing deflate", "inflate", lambda rig: _packed(rig) + b"\x03\x00")
_BOMB = deflate(b" " * (16 << 20))
_message("bomb", "inflate", lambda rig: _BOMB)
_message("not UTF-8", "utf-8", lambda rig: deflate(b'{"table":"\xff\xfe"}'))
_message("not JSON", "json", lambda rig: deflate(json.dumps(_push(rig))[:-9]))
_message("nested too deep", "json", lambda rig: deflate("[" * 100_000))


@fault("JSON of the wrong shape", "message", PUSH, instant=True)
def wrong_shape(rig: Rig) -> Iterator[Noticed]:
    """An array, data that is no list, an event without its channel."""
    dropped, told = rig.dropped("shape"), rig.told(*_BACK)
    shapes: tuple[object, ...] = (
        [1, 2, 3],
        {"table": f"{_MARKET}/depth5", "data": {"asks": []}},
        {"event": "subscribe"},
        {"table": f"{_MARKET}/depth5", "data": [{"asks": [], "bids": []}]},
    )
    rig.exchange.send_event(json.dumps(rig.rng.choice(shapes)))
    yield lambda: dropped() and told()


@fault("level of the wrong type", "message", PUSH, instant=True)
def wrong_level(rig: Rig) -> Iterator[Noticed]:
    """One channel's message: the others on the connection go on."""
    dropped = rig.dropped("depth")
    before = len(rig.judges[0].changes)
    push = _push(rig)
    push["data"][0]["bids"] = rig.rng.choice(
        ([None], [["60000", True, "1"]], [[{}, "1", "1"]], "60000", [["NaN", "1", "1"]])
    )
    rig.exchange.send_event(push)
    yield (
        lambda: (
            dropped()
            and any(c.new in _BACK for c in rig.judges[0].changes[before:])
            and rig.untouched(but=0)
        )
    )


def _harmless(kind: str, event: dict[str, Any], counted: str) -> None:
    """A message that may be new to us, and says nothing of what we follow."""

    @fault(kind, "harmless", PUSH)
    def send(rig: Rig) -> Iterator[Noticed]:
        dropped = rig.dropped(counted)
        rig.exchange.send_event(event)
        yield lambda: dropped() and rig.untouched(but=-1)


_harmless("unknown event", {"event": "party", "channel": _DEPTH}, "unknown")
_harmless(
    "unknown table", {"table": "mystery", "data": [{"instrument_id": _ID}]}, "unknown"
)
_harmless(
    "data of a channel that nobody asked for",
    {"table": "spot/mystery", "data": [{"instrument_id": _ID}]},
    "unasked",
)
