"""A capture: the messages that one connection received, recorded by another program.

Each line of ``NAME.recv.jsonl`` is one message as text. ``NAME.recv.times`` has the
local time of its receipt in epoch seconds. Under v3 ``NAME.deflate.b64`` has its frame
in base64. All files have the same number of lines. `read` gives each message as it was
received and does not parse it.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

TEXTS, FRAMES, TIMES = "recv.jsonl", "deflate.b64", "recv.times"


class CaptureDamaged(Exception):
    """A capture cannot be read from *line* of its file *path* on; *why* says why not.

    `read` raises it after it has given the messages before that line.
    """

    def __init__(self, path: str, line: int, why: str) -> None:
        super().__init__(path, line, why)
        self.path = path
        self.line = line
        self.why = why


class CapturedFrame(NamedTuple):
    """A frame: when it was received, in epoch seconds, its payload and its type."""

    at: float
    payload: bytes
    binary: bool


def is_capture(name: str) -> bool:
    """Whether *name* is the path of a capture without its suffix."""
    return not Path(name).exists() and Path(f"{name}.{TEXTS}").is_file()


def read(name: str) -> Iterator[CapturedFrame]:
    """The messages of a capture; `CaptureDamaged` after the last good one."""
    packed = Path(f"{name}.{FRAMES}").is_file()
    source = f"{name}.{FRAMES if packed else TEXTS}"
    before = 0.0
    with ExitStack() as stack:
        files = [
            stack.enter_context(Path(path).open("rb"))
            for path in (source, f"{name}.{TIMES}")
        ]
        pairs = itertools.zip_longest(*files, fillvalue=b"")
        for number, (line, time) in enumerate(pairs, 1):
            before = _time(f"{name}.{TIMES}", number, time, before)
            if not line.endswith(b"\n"):
                raise CaptureDamaged(source, number, "it is cut off here")
            payload = _unpacked(source, number, line) if packed else line[:-1]
            yield CapturedFrame(before, payload, packed)


def _time(path: str, number: int, line: bytes, before: float) -> float:
    try:
        at = float(line)
    except ValueError:
        raise CaptureDamaged(path, number, "it is no time") from None
    if not before <= at < float("inf"):
        raise CaptureDamaged(path, number, "it is before the one before")
    return at


def _unpacked(path: str, number: int, line: bytes) -> bytes:
    try:
        return base64.b64decode(line[:-1], validate=True)
    except ValueError as error:
        raise CaptureDamaged(path, number, f"no base64: {error}") from error
