"""Whole books from recordings, or made up where there are no recordings.

Both protocols have one form: an instrument's first message is a snapshot, each later
one changes some levels, and each has the checksum that the exchange sent or would send.
"""

from __future__ import annotations

import json
import random
import statistics
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from okex_ws.model.book import CHECKSUM_LEVELS

CAPTURES = Path(__file__).parents[3] / "shared" / "captures" / "cryptofeed"
RECORDINGS = (
    "v3_OKEX.ws.56_20210417",
    "v5_OKEX.ws.1_20210722",
    "v5_OKX.ws.1_20220513",
)
LEVELS = 400

# What proves a message: the CRC32 of 2019 to 2026, or the sequence beside a checksum of
# 0 that has been sent since. Who is not asked to check the one has to live without.
CHECKSUM, SEQUENCE = "checksum", "sequence"


class Frame(NamedTuple):
    """One recorded message: *text* is a v5 message, *native* the element as it came."""

    instrument_id: str
    whole: bool
    text: str
    native: str
    protocol: str


class Updates(NamedTuple):
    """The book messages of a recording; every instrument's first one is a snapshot."""

    name: str
    instruments: list[str]
    messages: list[tuple[str, bool, dict[str, Any], str]]

    def frames(self, proof: str) -> tuple[list[Frame], list[Frame]]:
        """The snapshots, and then the updates in their order, with a *proof*."""
        seqs = dict.fromkeys(self.instruments, -1)
        snapshots: list[Frame] = []
        updates: list[Frame] = []
        for instrument_id, whole, element, protocol in self.messages:
            before = -1 if whole else seqs[instrument_id]
            seqs[instrument_id] += 2
            sent = {name: element[name] for name in ("asks", "bids", "ts", "checksum")}
            if proof == SEQUENCE:
                seq = seqs[instrument_id]
                sent |= {"checksum": 0, "prevSeqId": before, "seqId": seq}
            message = _message(instrument_id, whole, sent)
            native = json.dumps(element)
            frame = Frame(instrument_id, whole, message, native, protocol)
            (snapshots if whole else updates).append(frame)
        return snapshots, updates

    def described(self) -> dict[str, Any]:
        """How much there is of what."""
        rows = [len(m[2]["bids"]) + len(m[2]["asks"]) for m in self.messages]
        first = [n for n, m in zip(rows, self.messages, strict=True) if m[1]]
        count = len(rows) - len(first)
        return {
            "recording": self.name,
            "instruments": len(self.instruments),
            "updates": count,
            "levels": statistics.mean(first),
            "rows": (sum(rows) - sum(first)) / count,
        }


def _message(instrument_id: str, whole: bool, element: dict[str, Any]) -> str:
    return json.dumps(
        {
            "arg": {"channel": "books", "instId": instrument_id},
            "action": "snapshot" if whole else "update",
            "data": [element],
        }
    )


def recordings() -> list[Updates]:
    """The recorded ones, where they lie beside the project, or a generated one."""
    if CAPTURES.is_dir():
        return [recorded(name) for name in RECORDINGS]
    return [generated()]


def recorded(name: str) -> Updates:
    """The book messages of one recording, in place."""
    messages = []
    for line in (CAPTURES / f"{name}.recv.jsonl").read_text().splitlines():
        message = json.loads(line)
        if "action" not in message:
            continue
        for element in message["data"]:
            protocol, instrument_id = "v3", element.get("instrument_id")
            if "arg" in message:
                protocol, instrument_id = "v5", message["arg"]["instId"]
            else:
                at = datetime.fromisoformat(element["timestamp"].replace("Z", "+00:00"))
                element["ts"] = f"{at.timestamp() * 1000:.0f}"
            whole = message["action"] != "update"
            messages.append((instrument_id, whole, element, protocol))
    return Updates(name, sorted({message[0] for message in messages}), messages)


# The sizes of bids and asks, by how many ticks away from the middle they are.
Places = tuple[dict[int, str], dict[int, str]]


def generated(
    instruments: int = 3, levels: int = LEVELS, updates: int = 1500
) -> Updates:
    """Made-up books of *levels* a side, most of whose changes are near the top."""
    rng = random.Random(1)  # the same for everyone
    names = [f"T{number}-USDT" for number in range(instruments)]
    middle = levels * 100
    books: dict[str, Places] = {}
    messages = []
    for number in range(instruments + updates):
        name = names[number % instruments]
        whole = name not in books
        if whole:
            books[name] = ({}, {})
            places = [(s, p) for s in (0, 1) for p in range(1, levels + 1)]
            changes = [(side, place, make_size(rng)) for side, place in places]
        else:
            changes = [_change(rng, books[name]) for _ in range(rng.randint(1, 6))]
        rows: tuple[list[list[str]], list[list[str]]] = ([], [])
        for side, place, size in changes:
            books[name][side][place] = size
            if size == "0":
                del books[name][side][place]
            rows[side].append(make_level(side, place, size, middle))
        stamp = str(1_700_000_000_000 + number)
        crc = make_crc(books[name], middle)
        element = {"bids": rows[0], "asks": rows[1], "ts": stamp, "checksum": crc}
        messages.append((name, whole, element, "v5"))
    return Updates("generated", names, messages)


def _change(rng: random.Random, book: Places) -> tuple[int, int, str]:
    side, place = rng.randrange(2), 1 + int(rng.expovariate(0.1))
    gone = place in book[side] and rng.random() < 0.4
    return side, place, "0" if gone else make_size(rng)


def make_size(rng: random.Random) -> str:
    return f"{rng.randrange(1, 10**6) / 1000}"


def make_level(side: int, place: int, size: str, middle: int) -> list[str]:
    tick = middle + (place if side else -place)
    return [f"{tick // 10}.{tick % 10}", size, "0", "0" if size == "0" else "1"]


def make_crc(book: Places, middle: int) -> int:
    """By brute force."""
    best = [sorted(side)[:CHECKSUM_LEVELS] for side in book]
    parts = []
    for rank in range(CHECKSUM_LEVELS):
        for side in (0, 1):
            if rank < len(best[side]):
                place = best[side][rank]
                parts += make_level(side, place, book[side][place], middle)[:2]
    crc = zlib.crc32(":".join(parts).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc
