"""Faults of WebSocket frames: bytes put between the exchange's own, without TLS."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from websockets.frames import Opcode

from okex_ws import State
from tests.campaign.catalogue import (
    CONNECTION_LOSS,
    DIAL,
    PUSH,
    Noticed,
    fault,
    in_the_clear,
)
from tests.campaign.rig import Rig
from tests.support.loopback_servers import frame, text


def _inject(kind: str, pattern: str, make: Callable[[Rig], bytes]) -> None:
    """Bytes that no server may send; the connection is given up."""

    @fault(kind, "frame", DIAL, in_the_clear, instant=True)
    def inject(rig: Rig) -> Iterator[Noticed]:
        assert rig.proxy is not None
        rig.proxy.inject(make(rig))
        yield rig.error(f"ConnectionLost.*{pattern}")


_PART = frame(Opcode.CONT, b"x", fin=False)
_STORM = text("x", fin=False) + _PART * 2000
_FLOOD = frame(Opcode.PING) * 2000
_inject("storm of fragments", "fragments", lambda rig: _STORM)
_inject("flood of pings", "a flood of pings", lambda rig: _FLOOD)
_HUGE = b"\x82\x7f" + (1 << 63).to_bytes(8, "big")
_inject("over-long frame", "a frame of", lambda rig: _HUGE)
_inject("masked frame", "masked", lambda rig: b"\x82\x81mask?")
_inject(
    "unknown opcode",
    "opcode",
    lambda rig: bytes((0x80 | rig.rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), 0)),
)
_inject(
    "reserved bits",
    "rsv|RSV",
    lambda rig: bytes((0x81 | rig.rng.choice((0x10, 0x20, 0x40)), 1, 0x78)),
)
_inject(
    "control frame that no control frame is",
    "a control frame that is",
    lambda rig: rig.rng.choice((b"\x09\x00", b"\x89\x7e\x00\x80" + b"x" * 128)),
)
_inject(
    "continuation of nothing",
    "",
    lambda rig: frame(Opcode.CONT, b"nothing", fin=rig.rng.random() < 0.5),
)
_inject(
    "message inside of a message",
    "",
    lambda rig: text("one", fin=False) + text("another", fin=False),
)
_inject(
    "close frame that says nothing right",
    "close",
    lambda rig: frame(
        Opcode.CLOSE,
        rig.rng.choice(
            (b"\x03", *(struct.pack("!H", code) for code in (0, 999, 1005, 1006, 5000)))
        ),
    ),
)


@fault("frame that never ends", "frame", CONNECTION_LOSS, in_the_clear, instant=True)
def endless(rig: Rig) -> Iterator[Noticed]:
    """It is skipped, as long as any that is too large; the pong in it never comes."""
    assert rig.proxy is not None
    rig.proxy.inject(b"\x82\x7f" + (1 << 40).to_bytes(8, "big"))
    yield rig.told(State.RECONNECTING)


@fault("end in the middle of a frame", "frame", DIAL, in_the_clear, instant=True)
def cut_short(rig: Rig) -> Iterator[Noticed]:
    """The head of a frame, and a RST for the rest."""
    assert rig.proxy is not None
    rig.proxy.inject(b"\x81\x7e\x20\x00{")
    rig.proxy.reset()
    yield rig.told(State.RECONNECTING)


@fault("message in fragments, control frames between", "frame", PUSH, in_the_clear)
def in_fragments(rig: Rig) -> Iterator[Noticed]:
    """What a server may do: it is one message, and harms nobody."""
    assert rig.proxy is not None
    dropped = rig.dropped("unknown")
    payload = rig.dialect.spoken({"event": "party"})
    kind = Opcode.BINARY if rig.setup.protocol == "v3" else Opcode.TEXT
    cut = rig.rng.randrange(len(payload) + 1)
    rig.proxy.inject(
        frame(kind, payload[:cut], fin=False)
        + frame(Opcode.PING, b"still there?")
        + frame(Opcode.CONT, b"", fin=False)
        + frame(Opcode.PONG)
        + frame(Opcode.CONT, payload[cut:])
    )
    yield lambda: dropped() and rig.untouched()
