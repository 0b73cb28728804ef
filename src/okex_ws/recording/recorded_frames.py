"""A capture: what one connection received, as another program wrote it down.

``NAME.recv.jsonl`` has a message a line, as text, ``NAME.recv.times`` the local times
of their receipt in epoch seconds, and ``NAME.deflate.b64``, where it was v3, the frames
in base64. All have as many lines. A message is given as it was received; what it says
is for others to see.
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
    """The *line* of the file *path* is not what it should be, and *why*."""

    def __init__(self, path: str, line: int, why: str) -> None:
        super().__init__(path, line, why)
        self.path = path
        self.line = line
        self.why = why


class CapturedFrame(NamedTuple):
    """A frame: when it came, in epoch seconds, its payload, and what it was."""

    at: float
    payload: bytes
    binary: bool


def is_capture(name: str) -> bool:
    """Whether *name* is the path of a capture without its suffix."""
    return not Path(name).exists() and Path(f"{name}.{TEXTS}").is_file()


def read(name: str) -> Iterator[CapturedFrame]:
    """The messages of a capture; `CaptureDamaged` behind the last that is good."""
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
