"""The lines of a recording: how they are written, and how they are read."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import zlib
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..model.venues import PROTOCOLS
from . import recorded_frames
from .keyframes import digest_of
from .recorded_frames import RecordingDamaged

FORMAT = "okex_ws recording"
VERSION = 2
# Version 1 had no keyframes.
_READABLE = (1, VERSION)
SUFFIX = ".rec.gz"
# Bytes. The recorder takes no message of more than 64 MiB, which is 86 MiB in base64.
MAX_LINE = 96 << 20
# A larger text is written in base64: escaped as JSON, each byte may become six.
_MOST_TEXT = 4 << 20
_CHUNK = 1 << 16
_GZIP = zlib.MAX_WBITS | 16
# The year 10000, which no `datetime` reaches.
_END_OF_TIME = 253_402_300_800
# What `read_line` may raise for a line that no `Recorder` wrote.
_UNREADABLE = (ValueError, LookupError, AttributeError, RecursionError, OverflowError)
SAID = ("in", "out", "control", "keyframe")
KINDS = (*SAID, "open", "end", "failed", "lost")


class Entry(NamedTuple):
    """One entry of a recording: a frame of a connection, or an event of it.

    *wall* is epoch seconds, *mono* the recording machine's monotonic clock in seconds.
    *connection* is the number of one opening of a connection. *kind* is one of `KINDS`.
    *payload* is the payload of the frame of an ``in`` or ``control``, or the text of an
    ``out`` or ``keyframe`` in UTF-8. *binary* is True if an ``in`` was a binary frame.
    *facts* are the remaining fields of the line. The package's docstring has the
    meaning of each kind.
    """

    wall: float
    mono: float
    connection: int
    kind: str
    payload: bytes = b""
    binary: bool = False
    facts: Mapping[str, Any] = {}


# --- Lines --------------------------------------------------------------------------


def write_line(entry: Entry) -> str:
    """The line of *entry*, with the line feed."""
    said: dict[str, Any] = {
        "wall": entry.wall,
        "mono": entry.mono,
        "connection": entry.connection,
        "kind": entry.kind,
        **entry.facts,
    }
    if entry.kind in SAID:
        said |= _said(entry)
    return json.dumps(said, separators=(",", ":")) + "\n"


def _said(entry: Entry) -> dict[str, str]:
    is_text = not entry.binary and entry.kind != "control"
    if is_text and len(entry.payload) <= _MOST_TEXT:
        try:
            return {"text": entry.payload.decode()}
        except UnicodeDecodeError:
            pass
    name = "binary" if entry.binary else "bytes"
    return {name: base64.b64encode(entry.payload).decode()}


def read_line(line: bytes) -> Entry:
    """The entry of a line; raises one of `_UNREADABLE` if the line has none."""
    said = _object(line)
    wall, mono, number, kind = map(said.pop, ("wall", "mono", "connection", "kind"))
    for time in (wall, mono):
        if type(time) not in (int, float) or not math.isfinite(time):
            raise ValueError("a time is no number")
    if not 0 <= wall < _END_OF_TIME:
        raise ValueError("its time is none of this era")
    if type(number) is not int or kind not in KINDS:
        raise ValueError(f"no entry has kind {kind!r:.40}")
    if kind in ("open", "failed"):
        _check_opening(said)
    if kind in ("end", "failed"):
        _check_ending(said)
    if kind not in SAID:
        return Entry(wall, mono, number, kind, facts=said)
    binary = "binary" in said
    if "text" in said:
        payload = said.pop("text").encode()
    else:
        packed = said.pop("binary" if binary else "bytes")
        payload = base64.b64decode(packed, validate=True)
    if kind == "keyframe":
        _check_keyframe(said, payload)
    return Entry(wall, mono, number, kind, payload, binary, said)


def _check_opening(facts: Mapping[str, Any]) -> None:
    """Raise unless *facts* have what a replay needs to know of a connection."""
    forms = {"url": str, "path": str, "line": int, "venue": dict}
    for name, form in forms.items():
        if type(facts[name]) is not form:
            raise ValueError(f"{name} is no {form.__name__}")
    if facts["venue"]["protocol"] not in PROTOCOLS:
        raise ValueError("the protocol is not known")
    if type(facts["venue"]["name"]) is not str:
        raise ValueError("the venue has no name")


def _check_keyframe(facts: Mapping[str, Any], payload: bytes) -> None:
    """Raise unless *payload* is to the digit what the library made."""
    if type(facts["channel"]) is not str:
        raise ValueError("the keyframe names no channel")
    if facts["sha256"] != digest_of(payload):
        raise ValueError("the keyframe is not the one that was made")


def _check_ending(facts: Mapping[str, Any]) -> None:
    """Raise unless the close code and the fields of an HTTP answer are in range."""
    limits = {"code": 0xFFFF, "status": 999, "retry_after": math.inf}
    for name, most in limits.items():
        value = facts.get(name)
        if value is None:
            continue
        form = (int, float) if name == "retry_after" else (int,)
        if type(value) not in form or not 0 <= value <= most:
            raise ValueError(f"{name} is none")


def _object(line: bytes) -> dict[str, Any]:
    said = json.loads(line)
    if not isinstance(said, dict):
        raise ValueError("it is no JSON object")
    return said


def write_header(recording: str, part: int, made: str, library: str) -> str:
    """The first line of a file, with the line feed."""
    said = {
        "format": FORMAT,
        "version": VERSION,
        "library": library,
        "made": made,
        "recording": recording,
        "part": part,
    }
    return json.dumps(said, separators=(",", ":")) + "\n"


class _Header(NamedTuple):
    recording: object
    part: int


def _read_header(line: bytes) -> _Header:
    said = _object(line)
    if said.get("format") != FORMAT:
        raise ValueError("it is no recording of okex_ws")
    if said.get("version") not in _READABLE:
        known = f"this library reads {' and '.join(map(str, _READABLE))}"
        raise ValueError(f"its form has version {said.get('version')!r:.20}, {known}")
    part = said.get("part")
    if type(part) is not int:
        raise ValueError("it has no part")
    return _Header(said.get("recording"), part)


# --- Files --------------------------------------------------------------------------


def part_name(path: str, part: int) -> str:
    """The file of a *part*: ``day.rec.gz``, ``day.1.rec.gz``, ``day.2.rec.gz``, ..."""
    if not part:
        return path
    suffix = SUFFIX if path.endswith(SUFFIX) else os.path.splitext(path)[1]
    return f"{path[: len(path) - len(suffix)]}.{part}{suffix}"


def last_part(path: str) -> int:
    """The highest number of a part that lies beside the file *path*; 0 if none does."""
    before, _, behind = part_name(path, 10**9).rpartition(f".{10**9}")
    folder, stem = os.path.split(before)
    form = re.compile(rf"{re.escape(stem)}\.([1-9][0-9]{{0,8}}){re.escape(behind)}")
    found = (form.fullmatch(name) for name in _names(folder or "."))
    return max((int(match[1]) for match in found if match), default=0)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def read(
    path: str | os.PathLike[str], first_part: int = 0
) -> Generator[Entry, None, None]:
    """The entries of a recording in order, all its parts one after another.

    *path* is the first file of the recording. With the file of a later part, that part
    alone is read; with *first_part* that part and those after it. A file may be what
    ``zcat`` wrote of one, or several parts in order, put together by ``cat``; its last
    line may be blank. *path* may also name a capture, ``NAME.recv.jsonl`` with or
    without its suffix, beside ``NAME.recv.times`` and, under v3,
    ``NAME.deflate.b64``. A capture is one connection, and gives entries for its
    messages only.

    Raises:
        OSError: a file cannot be opened.
        RecordingDamaged: a file is cut off, broken, or no recording. Every entry before
            the damage has been given by then.
    """
    name = os.fspath(path)
    stem = name.removesuffix(f".{recorded_frames.TEXTS}")
    if recorded_frames.is_capture(stem):
        for at, payload, binary in recorded_frames.read(stem):
            yield Entry(at, at, 1, "in", payload, binary)
        return
    first = _checked_header(name, _lines(name)) if first_part else None
    for part in range(first_part, last_part(name) + 1):
        own = part_name(name, part)
        try:
            lines = _lines(own)
            header = _checked_header(own, lines)
        except FileNotFoundError:
            if part == first_part:
                raise
            raise RecordingDamaged(own, 1, "this part is missing") from None
        if first is not None and header != first._replace(part=part):
            raise RecordingDamaged(own, 1, "it is no part of the recording before it")
        first = first or header
        yield from _entries(own, lines, header, inner=part > first_part)
        if not part and first.part:
            return  # *path* names a later part, which is read alone


_ARCHIVE = (
    "it is packed as a file of the exchange's archive, which has no recorded messages:"
    " okex_ws.research.archive reads those"
)


def _checked_header(name: str, lines: Iterator[tuple[int, bytes]]) -> _Header:
    try:
        return _first_line(name, lines)
    except RecordingDamaged as damage:
        if name.endswith((".tar.gz", ".zip")):
            raise RecordingDamaged(name, damage.line, _ARCHIVE) from damage
        raise


def _first_line(name: str, lines: Iterator[tuple[int, bytes]]) -> _Header:
    number, line = next(lines, (1, b""))
    if not line:
        raise RecordingDamaged(name, 1, "it is empty")
    try:
        return _read_header(line)
    except (ValueError, RecursionError) as error:
        raise RecordingDamaged(name, number, str(error)) from error


def _entries(
    name: str, lines: Iterator[tuple[int, bytes]], header: _Header, inner: bool
) -> Iterator[Entry]:
    blank = 0
    for number, line in lines:
        if blank:
            raise RecordingDamaged(name, blank, "the line is empty")
        if not line.strip():
            blank = number  # the last line may be
            continue
        try:
            entry = read_line(line)
        except _UNREADABLE as error:
            following = header._replace(part=header.part + 1)
            if _is_header(line, following):
                # The next part, which `cat` put behind this one.
                header, inner = following, True
                continue
            raise RecordingDamaged(name, number, _why(error)) from error
        # A later part repeats the open connections, for a reader that has it alone.
        if not (inner and entry.facts.get("again")):
            yield entry


def _is_header(line: bytes, header: _Header) -> bool:
    try:
        return _read_header(line) == header
    except (ValueError, RecursionError):
        return False


def _why(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    return str(error)[:200] or type(error).__name__


def _lines(name: str) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a file, each with its number.

    If the file is damaged, `RecordingDamaged` is raised after the last whole line.
    """
    rest, number = bytearray(), 1
    for data, why in _inflated(name):
        rest += data
        if b"\n" in data:
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield number, bytes(line)
                number += 1
        if len(rest) > MAX_LINE:
            why = "a line without end"
        if why:
            raise RecordingDamaged(name, number, why)
    if rest:
        raise RecordingDamaged(name, number, "its last line is not whole")


def _inflated(name: str) -> Iterator[tuple[bytes, str]]:
    """The decompressed content of a file in pieces, each with the text of an error.

    The text is ``''``, except beside the last piece of a file that is damaged.
    """
    unpacker = zlib.decompressobj(_GZIP)
    begun = False
    with Path(name).open("rb") as file:
        if file.peek(1)[:1] == b"{":  # what `zcat` wrote
            while data := file.read(_CHUNK):
                yield data, ""
            return
        while packed := file.read(_CHUNK):
            while packed:
                if unpacker.eof:
                    unpacker = zlib.decompressobj(_GZIP)
                before = unpacker.copy()
                try:
                    data = unpacker.decompress(packed, _CHUNK)
                except zlib.error as error:
                    data = _up_to_damage(before, packed)
                    packs = begun or data
                    yield data, str(error) if packs else "it is no recording of okex_ws"
                    return
                yield data, ""
                begun = True
                packed = unpacker.unconsumed_tail or unpacker.unused_data
    if begun and not unpacker.eof:
        data = unpacker.flush()
        yield data, "" if unpacker.eof else "it is cut off here"


def _up_to_damage(unpacker: Any, packed: bytes) -> bytes:
    """The content of *packed* up to the byte that cannot be decompressed."""
    data = b""
    try:
        for at in range(len(packed)):
            data += unpacker.decompress(packed[at : at + 1])
    except zlib.error:
        pass
    return data
