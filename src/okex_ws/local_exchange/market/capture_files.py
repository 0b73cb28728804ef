"""The data messages of a recorded market, each of them checked. No books, no clock.

A capture ``NAME`` has the files ``NAME.recv.jsonl``, the messages as received, and
``NAME.recv.times``, the local times of their receipt in epoch seconds. A capture of v3
also has ``NAME.deflate.b64``, the frames in base64. `okex_ws.recording` reads them.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import InvalidOperation
from typing import Any, NamedTuple

from ... import market_of
from ...recording import read as read_recording
from ..wire import v5
from ..wire.values import EncodedPush

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
    if name.endswith((".tar.gz", ".zip")) and os.path.isfile(name):
        raise ValueError(
            f"{name} is no capture but packed as a file of the exchange's archive:"
            " okex_ws.research.archive reads those"
        )
    _check_file(name, TEXTS)
    _check_file(name, TIMES)
    entries = list(read_recording(name))
    frames: list[Frame] = []
    for number, entry in enumerate(entries, 1):
        with damage(name, TEXTS, number):
            said = entry.payload
            text = zlib.decompress(said, -zlib.MAX_WBITS) if entry.binary else said
            if not entry.binary and not frames and b'"table":' in text:
                _check_file(name, FRAMES)
            frame = said if entry.binary else text.decode()
            at = entry.wall - entries[0].wall
            if found := _frame(at, number, text.decode(), frame):
                frames.append(found)
    if not frames:
        raise ValueError(f"capture {name} has no data")
    return Recording(name, "v3" if entries[0].binary else "v5", frames)


def _check_file(name: str, suffix: str) -> None:
    if not os.path.isfile(f"{name}.{suffix}"):
        raise FileNotFoundError(
            f"no file {name}.{suffix}: a capture has NAME.{TEXTS} and NAME.{TIMES}, one"
            f" of v3 NAME.{FRAMES} too, and is named without a suffix"
        )


def _frame(at: float, line: int, text: str, frame: str | bytes) -> Frame | None:
    """A checked data message, or ``None`` for an event."""
    # Numbers stay text, so that each keeps the exchange's characters.
    message = json.loads(text, parse_float=str, parse_int=str)
    if "event" in message:
        return None
    (element,) = message["data"]
    if isinstance(frame, str):
        arg = message["arg"]
        channel, instrument_id = v5.key(arg), arg.get("sprdId") or arg["instId"]
        market = market_of(instrument_id)
    else:
        instrument_id = element["instrument_id"]
        channel = f"{message['table']}:{instrument_id}"
        market = message["table"].partition("/")[0]
    if not (market and isinstance(instrument_id, str)):
        raise ValueError(f"{instrument_id!r} is no instrument id")
    push = EncodedPush(channel, text, frame)
    return Frame(at, line, push, element, message.get("action"), market, instrument_id)
