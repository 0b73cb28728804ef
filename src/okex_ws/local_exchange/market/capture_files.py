"""Reads the files of a recorded market, and checks each line. No books, no clock.

A capture ``NAME`` has the files ``NAME.recv.jsonl``, the messages as received, and
``NAME.recv.times``, the local times of their receipt in epoch seconds. A capture of v3
also has ``NAME.deflate.b64``, the frames in base64. All have as many lines.
"""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

from ... import market_of
from ..wire import v5
from ..wire.values import EncodedPush

# Most bytes that a frame may inflate to; the largest recorded message has 19 kB.
MAX_TEXT = 1 << 22
TEXTS, FRAMES, TIMES = "recv.jsonl", "deflate.b64", "recv.times"


class Frame(NamedTuple):
    """A recorded data message, *at* seconds after the capture's first message.

    *line* is its line in the files. *element* is its one element, with every number as
    the ``str`` of its characters.
    """

    at: float
    line: int
    push: EncodedPush
    element: Any
    action: str | None
    market: str
    instrument_id: str


class Recording(NamedTuple):
    """The data messages of a capture; *protocol* is ``'v3'`` or ``'v5'``."""

    path: str
    protocol: str
    frames: list[Frame]


@contextmanager
def damage(path: str, suffix: str, line: int) -> Iterator[None]:
    """Turn an error inside into a ``ValueError`` that names the file and *line*."""
    try:
        yield
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        RecursionError,
        zlib.error,
        InvalidOperation,
    ) as error:
        raise ValueError(
            f"capture file {path}.{suffix} is damaged in line {line}: {error}"
        ) from error


def read(path: str | os.PathLike[str]) -> Recording:
    """Read and check the data messages of a capture; *path* has no suffix.

    Raises ``FileNotFoundError`` for a file that is missing, and ``ValueError`` with
    file and line for one that is damaged.
    """
    name = os.fspath(path)
    texts = _lines(name, TEXTS)
    # A data message names its channel in ``table`` under v3, in ``arg`` under v5.
    is_v5 = '"arg":' in next((text for text in texts if '"data":' in text), "")
    packed = None if is_v5 else _lines(name, FRAMES)
    times = list(_times(name))
    counts = {TEXTS: len(texts), TIMES: len(times)}
    if packed is not None:
        counts[FRAMES] = len(packed)
    if len(set(counts.values())) != 1:
        raise ValueError(f"capture {name} is damaged: its files have {counts} lines")
    frames = []
    for number, (at, text) in enumerate(zip(times, texts, strict=True), 1):
        frame: str | bytes = text
        if packed is not None:
            with damage(name, FRAMES, number):
                frame = _unpacked(packed[number - 1], text)
        with damage(name, TEXTS, number):
            found = _frame(at - times[0], number, text, frame)
        if found:
            frames.append(found)
    if not frames:
        raise ValueError(f"capture {name} has no data")
    return Recording(name, "v5" if is_v5 else "v3", frames)


def _lines(name: str, suffix: str) -> list[str]:
    try:
        return Path(f"{name}.{suffix}").read_text("utf-8").splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(
            f"no file {name}.{suffix}: a capture has NAME.{TEXTS} and NAME.{TIMES}, one"
            f" of v3 NAME.{FRAMES} too, and is named without a suffix"
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"capture file {name}.{suffix} is damaged: {error}") from error


def _times(name: str) -> Iterator[float]:
    before = 0.0
    for number, at in enumerate(_lines(name, TIMES), 1):
        with damage(name, TIMES, number):
            if not before <= float(at) < float("inf"):
                raise ValueError(f"time {at!r} is before the last one")
        before = float(at)
        yield before


def _unpacked(packed: str, text: str) -> bytes:
    """Decode a frame of v3, and check that it holds *text*."""
    try:
        frame = base64.b64decode(packed, validate=True)
    except ValueError as error:
        raise ValueError(f"its frame is not base64: {error}") from error
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = unpacker.decompress(frame, MAX_TEXT)
    if not unpacker.eof or unpacker.unused_data or inflated != text.encode():
        raise ValueError("its frame does not hold its text")
    return frame


def _frame(at: float, line: int, text: str, frame: str | bytes) -> Frame | None:
    """A checked data message, or ``None`` for an event."""
    # Numbers stay text, so that each keeps the exchange's characters.
    message = json.loads(text, parse_float=str, parse_int=str)
    if "event" in message:
        return None
    (element,) = message["data"]
    if isinstance(frame, str):
        channel, instrument_id = v5.key(message["arg"]), message["arg"]["instId"]
        market = market_of(instrument_id)
    else:
        instrument_id = element["instrument_id"]
        channel = f"{message['table']}:{instrument_id}"
        market = message["table"].partition("/")[0]
    if not (market and isinstance(instrument_id, str)):
        raise ValueError(f"{instrument_id!r} is no instrument id")
    push = EncodedPush(channel, text, frame)
    return Frame(at, line, push, element, message.get("action"), market, instrument_id)
