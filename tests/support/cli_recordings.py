"""Hand-written recordings for the commands: one whole, one interrupted, one cut."""

from __future__ import annotations

from pathlib import Path

from okex_ws.recording.format import Entry
from tests.support.recordings import ACK as _ACK
from tests.support.recordings import SUBSCRIBE, at, depth, heard, opened, session, write

PUSHES = [heard(float(n), depth(float(n), f"{100 + n / 10:.1f}")) for n in range(1, 20)]


def whole(path: Path) -> Path:
    """Write twenty seconds of a book of one level a side."""
    return write(path, *session(*PUSHES, end=20.0))


def broken(path: Path) -> Path:
    """Write ten seconds of a book, an outage of five seconds, and 13 more pushes."""
    first = session(*PUSHES[:10], end=10.0)
    lost = at(11.0, "end", cause="ConnectionLost", why="cut [red]\x1b[2J", code=None)
    second = [
        opened(16.0, 2),
        Entry(1_700_000_016.01, 16.01, 2, "out", SUBSCRIBE.encode()),
        heard(16.05, _ACK, 2),
        heard(16.1, "pong", 2),
        *(heard(float(n), depth(float(n)), 2) for n in range(17, 30)),
    ]
    return write(path, *first, lost, *second)


def cut(path: Path) -> Path:
    """Write a recording that ends in the middle of a line."""
    data = whole(path).read_bytes()
    path.write_bytes(data[: 2 * len(data) // 3])
    return path
