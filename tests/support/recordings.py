"""Builds recordings for a test, line by line."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from okex_ws.recording.format import (
    Entry,
    read,
    write_header,
    write_line,
)
from okex_ws.recording.recorded_frames import RecordingDamaged
from tests.support.virtual_world import deflate

WALL = 1_700_000_000.0
BOOKS5 = '{"arg":{"channel":"books5","instId":"BTC-USDT"}'
SUBSCRIBE = (
    '{"id":"1","op":"subscribe","args":[{"channel":"books5","instId":"BTC-USDT"}]}'
)
ACK = (
    '{"id":"1","event":"subscribe","arg":{"channel":"books5","instId":"BTC-USDT"},'
    '"connId":"a4d3ae55"}'
)
URL = "wss://ws.example.test:443/ws/v5/public"


def at(mono: float, kind: str, number: int = 1, **facts: Any) -> Entry:
    """An entry without a message: an event of a connection."""
    return Entry(WALL + mono, mono, number, kind, facts=facts)


def opened(mono: float = 0.0, number: int = 1, line: int = 1, **facts: Any) -> Entry:
    """The entry of a new connection to v5's public path, or as *facts* say."""
    about = {"url": URL, "path": "public", "line": line, "venue": venue(), **facts}
    return at(mono, "open", number, **about)


def venue(name: str = "example", protocol: str = "v5", **facts: Any) -> dict[str, Any]:
    """What a recording says about a venue."""
    return {"name": name, "protocol": protocol, "markets": ["spot", "swap"], **facts}


def heard(mono: float, text: str, number: int = 1, *, v3: bool = False) -> Entry:
    """The entry of a message that came."""
    payload = deflate(text) if v3 else text.encode()
    return Entry(WALL + mono, mono, number, "in", payload, v3)


def asked(mono: float, text: str, number: int = 1) -> Entry:
    """The entry of a text that was sent."""
    return Entry(WALL + mono, mono, number, "out", text.encode())


def depth(mono: float, bid: str = "100.1", name: str = "BTC-USDT") -> str:
    """A ``books5`` push of one level a side."""
    ms = round((WALL + mono) * 1000)
    return (
        f'{{"arg":{{"channel":"books5","instId":"{name}"}},"data":[{{'
        f'"asks":[["100.9","2","0","1"]],"bids":[["{bid}","1","0","1"]],'
        f'"instId":"{name}","ts":"{ms}","seqId":{ms}}}]}}'
    )


def lines(entries: Iterable[Entry], recording: str = "aa", part: int = 0) -> bytes:
    """The content of a recording's file before compression."""
    header = write_header(recording, part, "2026-11-26T08:00:00.000+00:00", "0.1.0")
    return "".join((header, *map(write_line, entries))).encode()


def write(path: Path, *entries: Entry, recording: str = "aa", part: int = 0) -> Path:
    """Write a whole recording, or one part of it."""
    path.write_bytes(gzip.compress(lines(entries, recording, part), mtime=0))
    return path


def readable(path: Path) -> tuple[list[Entry], RecordingDamaged | None]:
    """The entries that can be read from a file, and the damage after them, if any."""
    found: list[Entry] = []
    try:
        for entry in read(path):
            found.append(entry)  # noqa: PERF402 - what came before an error counts
    except RecordingDamaged as damage:
        return found, damage
    return found, None


def session(*pushes: Entry, end: float = 100.0) -> list[Entry]:
    """The entries of a connection that subscribed to ``books5``.

    It got *pushes*, and a pong every 5 s.
    """
    pongs = [heard(5.0 * n + 0.1, "pong") for n in range(int(end // 5) + 1)]
    first = [opened(), asked(0.01, SUBSCRIBE), heard(0.05, ACK)]
    rest = sorted((*pushes, *pongs), key=lambda entry: entry.mono)
    return [*first, *(each for each in rest if each.mono <= end)]
