"""A capture: the messages that one connection received, recorded by another program.

Each line of ``NAME.recv.jsonl`` is one message as text. ``NAME.recv.times`` has the
local time of its receipt in epoch seconds. Under v3 ``NAME.deflate.b64`` has its frame
in base64. All files have the same number of lines. `read` gives each message as it was
received, and parses none; the texts of v3 must be what their frames hold.
"""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

TEXTS, TIMES, FRAMES = "recv.jsonl", "recv.times", "deflate.b64"


class RecordingDamaged(ValueError):
    """A recording cannot be read from *line* of the file *path* on; *why* says why not.

    All entries before that line are good, and were given before this error.
    """

    def __init__(self, path: str, line: int, why: str) -> None:
        super().__init__(path, line, why)
        self.path = path
        self.line = line
        self.why = why

    def __str__(self) -> str:
        return f"recording {self.path} is damaged in line {self.line}: {self.why}"


class CapturedFrame(NamedTuple):
    """A frame: when it was received, in epoch seconds, its payload and its type."""

    at: float
    payload: bytes
    binary: bool


def is_capture(name: str) -> bool:
    """Whether *name* is the path of a capture without its suffix."""
    return not Path(name).exists() and Path(f"{name}.{TEXTS}").is_file()


def read(name: str) -> Iterator[CapturedFrame]:
    """The messages of a capture; `RecordingDamaged` after the last good one."""
    names = [f"{name}.{suffix}" for suffix in (TEXTS, TIMES, FRAMES)]
    binary = Path(names[2]).is_file()
    before = 0.0
    with ExitStack() as stack:
        files = [
            stack.enter_context(Path(path).open("rb")) for path in names[: 2 + binary]
        ]
        rows = itertools.zip_longest(*files, fillvalue=b"")
        for number, (text, time, *frame) in enumerate(rows, 1):
            for path, line in zip(names, (text, time, *frame), strict=False):
                if not line:
                    raise RecordingDamaged(path, number, "it is cut off here")
            before = _time(names[1], number, time, before)
            if not (text.endswith(b"\n") or _is_json(text)):
                raise RecordingDamaged(names[0], number, "it is cut off here")
            payload = text.removesuffix(b"\n")
            if binary:
                payload = _unpacked(names[2], number, frame[0].rstrip(b"\n"), payload)
            yield CapturedFrame(before, payload, binary)


def _time(path: str, number: int, line: bytes, before: float) -> float:
    try:
        at = float(line)
    except ValueError:
        raise RecordingDamaged(path, number, "it is no time") from None
    if not before <= at < float("inf"):
        raise RecordingDamaged(path, number, "it is before the one before")
    return at


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _unpacked(path: str, number: int, line: bytes, text: bytes) -> bytes:
    """The frame of v3 on this *line*, which must hold *text*."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        frame = base64.b64decode(line, validate=True)
        said = unpacker.decompress(frame, len(text) + 1)
    except (ValueError, zlib.error) as error:
        raise RecordingDamaged(path, number, f"no base64 frame: {error}") from error
    if not unpacker.eof or unpacker.unused_data or said != text:
        raise RecordingDamaged(path, number, "its frame does not hold its text")
    return frame
