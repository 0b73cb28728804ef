"""Makes streams of WebSocket frames, mostly good ones, cut anywhere."""

from __future__ import annotations

import itertools
from random import Random

from tests.fuzz.corpus import Corpus
from tests.fuzz.mutators import mangled

Chunks = list[bytes]

_SIZES = (0, 0, 1, 2, 5, 20, 60, 100, 200, 200, 124, 125, 126, 127, 130, 299, 300, 301)
_CODES = (
    *(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000),
    *(4999, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535),
)
_LENGTHS = (0, 1, 125, 126, 65535, 65536, 1 << 20, (1 << 20) + 1, 1 << 62, 1 << 63)


def make_frames(rng: Random, corpus: Corpus) -> Chunks:
    """A stream of mostly good frames, cut anywhere."""
    data, fragmented = b"", False
    for _ in range(rng.randrange(1, 9)):
        piece, fragmented = _piece(rng, fragmented)
        data += piece
    if not rng.randrange(8):
        data = mangled(rng, data, data)
    if not rng.randrange(40):
        data = rng.randbytes(rng.randrange(60))
    return cut(rng, data)


def cut(rng: Random, data: bytes) -> Chunks:
    """*data* in pieces: one, a few, or bytes."""
    what = rng.randrange(6)
    if what < 2:
        return [data]
    if what == 2 and len(data) < 400:
        return [data[at : at + 1] for at in range(len(data))]
    places = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(1, 7)))
    edges = [0, *places, len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def _piece(rng: Random, fragmented: bool) -> tuple[bytes, bool]:
    """One frame, and whether a message is in fragments behind it."""
    what = rng.randrange(24)
    if what < 13:
        # One in sixteen is out of turn.
        goes_on = fragmented if rng.randrange(16) else not fragmented
        fin = bool(rng.randrange(3))
        opcode = 0 if goes_on else 1 + rng.randrange(2)
        return _frame(rng, opcode, _payload(rng), fin), not fin
    if what < 18:
        payload = rng.randbytes(rng.randrange(126))
        return _frame(rng, 9 + rng.randrange(2), payload), fragmented
    if what == 18:
        return _frame(rng, 8, _close(rng)), fragmented
    if what == 19:
        many = rng.randrange(2, 9)
        return _frame(rng, 9 + rng.randrange(2), b"") * many, fragmented
    return _bad(rng), fragmented


def _payload(rng: Random) -> bytes:
    if not rng.randrange(150):
        return bytes((65535, 65536, 70000)[rng.randrange(3)])
    if not rng.randrange(4000):
        return bytes((1 << 20) - 1 + rng.randrange(3))
    size = _SIZES[rng.randrange(len(_SIZES))]
    if size > 20:
        return bytes((rng.randrange(256),)) * size
    return rng.randbytes(size)


def _close(rng: Random) -> bytes:
    what = rng.randrange(8)
    if what == 0:
        return b""
    if what == 1:
        return b"\x03"
    code = _CODES[rng.randrange(len(_CODES))].to_bytes(2, "big")
    reasons = (b"", b"bye", b"\xff!", "\u2190\x1b[31m".encode(), b"x" * 123)
    return code + reasons[rng.randrange(5)]


def _bad(rng: Random) -> bytes:
    what = rng.randrange(12)
    if what < 2:
        opcode = (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)[rng.randrange(10)]
        return _frame(rng, opcode, _payload(rng))
    if what < 4:
        return bytes((rng.randrange(256),)) + _frame(rng, 1, b"rsv")[1:]
    if what == 4:
        return bytes((0x80 | rng.randrange(16), 0x80 | rng.randrange(128))) + b"mask"
    if what == 5:
        return _frame(rng, 8 + rng.randrange(3), b"\x03\xe8", fin=False)
    if what == 6:
        return _frame(rng, 8 + rng.randrange(3), bytes(126 + rng.randrange(3)))
    first = bytes((0x80 | (0, 1, 2, 3, 8, 9, 11)[rng.randrange(7)],))
    if what < 9:
        length = _LENGTHS[rng.randrange(len(_LENGTHS))]
        return first + b"\x7f" + length.to_bytes(8, "big")
    # Longer than it need be, which the standard forbids and every reader takes.
    size = rng.randrange(126)
    if what == 9:
        return first + b"\x7e" + size.to_bytes(2, "big") + bytes(size)
    if what == 10:
        return first + b"\x7f" + size.to_bytes(8, "big") + bytes(size)
    return rng.randbytes(rng.randrange(1, 16))


def _frame(rng: Random, opcode: int, payload: bytes, fin: bool = True) -> bytes:
    first, size = (0x80 if fin else 0) | opcode, len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload
