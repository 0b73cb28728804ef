"""Whole books: `python -m tests.benchmarks.books [--rounds N] [--json OUT]`.

The library and its peers take the same recorded updates, by turns, in one process. The
time of a message begins when its JSON is decoded. The library reads the message, merges
it, proves it and publishes a version that never changes; a peer does what it does for
its own users. The best bid and ask are read after each message, because some peers sort
only then.

There are two proofs. ``checksum`` is the recorded CRC32. ``sequence`` is the same
updates as OKX has sent them since 2026, with a checksum of 0 beside ``seqId``: no
library has a checksum to compute, and those that check sequences do so. Before the
rounds each library replays all messages once, which shows what it proves: a right
message must pass, and a wrong one must not. A library that fails this with the checksum
is left out there, and the table says so.

Each round begins with new books and strings, and with the library's memory of numbers
empty. The first snapshots are timed apart. The garbage collector is on, but does not
see the messages. The clock is the CPU's, so that another process on the machine
disturbs less. After a round all books must have the same 25 best levels as the
library's. Ratios compare runs of the same round.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import okex_ws
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.protocol.messages import BookData
from tests.benchmarks.book_peers import PEERS, BookPeer, Ours, Top
from tests.benchmarks.recordings import (
    CHECKSUM,
    LEVELS,
    SEQUENCE,
    Frame,
    Updates,
    make_crc,
    make_level,
    make_size,
    recordings,
)


def main() -> int:
    """Measure, show, and keep."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.books")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    found = measure(args.rounds)
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def measure(rounds: int) -> dict[str, Any]:
    """All tables, shown as they come."""
    peers, missing = installed()
    found: dict[str, Any] = {"versions": versions(), "missing": missing, "tables": []}
    print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
    for name in missing:
        print(f"left out: {name} is not installed (pip install -e '.[bench]')")
    for updates in recordings():
        for proof in (CHECKSUM, SEQUENCE):
            table = compare(updates, proof, peers, rounds)
            show(table)
            found["tables"].append(table)
    found["publishing"] = publishing(rounds)
    show_publishing(found["publishing"])
    return found


def installed() -> tuple[list[type[BookPeer]], list[str]]:
    """The peers that can be imported, and the packages that cannot."""
    peers, missing = [], dict[str, None]()
    for peer in PEERS:
        absent = [package for package, module in peer.needs if not _imports(module)]
        missing.update(dict.fromkeys(absent))
        if not absent:
            peers.append(peer)
    return peers, list(missing)


def _imports(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def versions() -> dict[str, str]:
    """Of all that takes part."""
    found = {"python": platform.python_version(), "okex_ws": okex_ws.__version__}
    for package in dict.fromkeys(need[0] for peer in PEERS for need in peer.needs):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {**found, "system": platform.platform()}


# --- What is measured ---------------------------------------------------------------


class Round(NamedTuple):
    """CPU microseconds for a first snapshot, and for an update after it."""

    snapshot: float
    update: float


def compare(
    updates: Updates, proof: str, peers: Sequence[type[BookPeer]], rounds: int
) -> dict[str, Any]:
    """Ours and the *peers* by turns, *rounds* times; medians, quartiles, ratios."""
    frames = updates.frames(proof)
    contenders: list[type[BookPeer]] = [Ours, *peers]
    failures = {k.name: failing(k, updates, frames, proof) for k in contenders}
    assert not failures[Ours.name], failures[Ours.name]
    left_out = {n: why for n, why in failures.items() if why and proof == CHECKSUM}
    contenders = [
        contender for contender in contenders if contender.name not in left_out
    ]
    times: dict[str, list[Round]] = {contender.name: [] for contender in contenders}
    for turn in range(rounds):
        first = turn % len(contenders)
        played = {}
        for contender in contenders[first:] + contenders[:first]:
            kept, took = play(contender, updates, frames, proof)
            assert kept.verified == len(updates.messages), contender.name
            played[contender.name] = tops(kept, updates)
            times[contender.name].append(took)
        for contender in contenders:
            ours = as_numbers(played[Ours.name], contender.number)
            theirs = as_numbers(played[contender.name], contender.number)
            assert theirs == ours, f"{contender.name} has another book"
    return {
        **updates.described(),
        "proof": proof,
        "left_out": left_out,
        "who": [
            _row(contender, times, not failures[contender.name])
            for contender in contenders
        ],
    }


def _row(
    contender: type[BookPeer], times: dict[str, list[Round]], proves: bool
) -> dict[str, Any]:
    ours, theirs = times[Ours.name], times[contender.name]
    updates = [took.update for took in theirs]
    ratios = [us.update / them.update for us, them in zip(ours, theirs, strict=True)]
    return {
        "name": contender.name,
        "pure": contender.pure,
        "proves": proves,
        "update_us": spread(updates),
        "ratio": spread(ratios),
        "snapshot_us": spread([took.snapshot for took in theirs]),
        "rounds": [took._asdict() for took in theirs],
    }


def spread(values: Sequence[float]) -> list[float]:
    """The lower quartile, the median and the upper quartile."""
    if len(values) < 2:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


Frames = tuple[list[Frame], list[Frame]]


def play(
    contender: type[BookPeer], updates: Updates, frames: Frames, proof: str
) -> tuple[BookPeer, Round]:
    """One round of one: new books, and newly decoded messages."""
    kept = contender(updates.instruments, proof)
    snapshots, rest = ([kept.read(frame) for frame in part] for part in frames)
    gc.collect()
    # What was made so far is not the work of who keeps the books.
    gc.freeze()
    try:
        start = time.process_time()
        kept.play(snapshots)
        between = time.process_time()
        kept.play(rest)
        end = time.process_time()
    finally:
        gc.unfreeze()
    first, then = (between - start) / len(snapshots), (end - between) / len(rest)
    return kept, Round(first * 1e6, then * 1e6)


def failing(
    contender: type[BookPeer], updates: Updates, frames: Frames, proof: str
) -> str:
    """Why this one cannot be said to prove messages, or ``''``."""
    try:
        kept, _ = play(contender, updates, frames, proof)
    except Exception as error:  # each has its own
        return f"refuses what is right: {type(error).__name__} {error}".rstrip()
    # The last update once more: it changes nothing, and its proof is wrong now.
    last = frames[1][-1]
    message = json.loads(last.text)
    element = message["data"][0]
    if proof == CHECKSUM:
        native = json.loads(last.native)
        native["checksum"] = element["checksum"] = element["checksum"] ^ 1
        last = last._replace(native=json.dumps(native))
    else:
        element["prevSeqId"] -= 1
    try:
        kept.play([kept.read(last._replace(text=json.dumps(message)))])
    except Exception:
        return ""
    return f"takes a wrong {proof}"


def tops(kept: BookPeer, updates: Updates) -> dict[str, tuple[Top, Top]]:
    """The best levels of every book."""
    return {name: kept.top(name) for name in updates.instruments}


def as_numbers(
    books: dict[str, tuple[Top, Top]], number: Callable[[str], Any]
) -> dict[str, list[Top]]:
    """The same, with every text read as a *number*."""
    return {
        name: [[(number(p), number(s)) for p, s in side] for side in sides]
        for name, sides in books.items()
    }


# --- What publishing costs ----------------------------------------------------------


def publishing(rounds: int, updates: int = 2000) -> dict[str, Any]:
    """Microseconds of an update of one level in a book of 400 levels a side.

    By turns: the version that `take` gives out; with the checksum as well; and a change
    of both sides, which makes two new sides of a version.
    """
    ways = {
        "one side": (1, False),
        "one side, and the checksum": (1, True),
        "both sides": (2, False),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (sides, check) in ways.items():
            times[name].append(_take(_changes(updates, sides, check)))
    checksum = zip(*(times[name] for name in list(ways)[1::-1]), strict=True)
    return {
        "us": {name: spread(taken) for name, taken in times.items()},
        "checksum_us": spread([more - less for more, less in checksum]),
        "rounds": times,
    }


def _changes(updates: int, sides: int, check: bool) -> list[BookData]:
    """A snapshot, and changes of one level of one side or of both."""
    rng = random.Random(2)
    middle = LEVELS * 100
    places = range(1, LEVELS + 1)
    book = ({p: make_size(rng) for p in places}, {p: make_size(rng) for p in places})

    def row(side: int, place: int) -> list[str]:
        return make_level(side, place, book[side][place], middle)

    whole = [[row(side, place) for place in places] for side in (0, 1)]
    crc = make_crc(book, middle) if check else None
    found = [BookData(True, whole[0], whole[1], 0, None if check else 0, -1, crc)]
    for number in range(1, updates + 1):
        rows: list[list[list[str]]] = [[], []]
        for side in [number % 2] if sides == 1 else [0, 1]:
            place = rng.randint(1, LEVELS)
            book[side][place] = make_size(rng)
            rows[side].append(row(side, place))
        if check:
            crc = make_crc(book, middle)
        seq, before = (None, None) if check else (number, number - 1)
        found.append(BookData(False, rows[0], rows[1], 0, seq, before, crc))
    return found


def _take(changes: Sequence[BookData]) -> float:
    builder = BookBuilder()
    held = builder.take(changes[0])
    gc.collect()
    gc.freeze()
    start = time.process_time()
    for change in changes[1:]:
        # Held until the next, as a reader does.
        held = builder.take(change)
    took = time.process_time() - start
    gc.unfreeze()
    del held
    return took / (len(changes) - 1) * 1e6


# --- What is shown ------------------------------------------------------------------


def show(table: dict[str, Any]) -> None:
    """One table: a recording with one proof."""
    print(
        f"\n{table['recording']}, proof: {table['proof']}; {table['instruments']} books"
        f" of {table['levels']:.0f} levels, {table['updates']} updates"
        f" of {table['rows']:.1f} rows"
    )
    print(
        f"{'':26}{'us an update':>13}{'quartiles':>16}"
        f"{'ours/its':>10}{'quartiles':>14}{'us a snapshot':>15}  proves it"
    )
    for row in table["who"]:
        (low, mid, high), ratio = row["update_us"], row["ratio"]
        print(
            f"{row['name']:26}{mid:13.2f}{f'{low:.2f}-{high:.2f}':>16}"
            f"{ratio[1]:10.2f}{f'{ratio[0]:.2f}-{ratio[2]:.2f}':>14}"
            f"{row['snapshot_us'][1]:15.0f}  {'yes' if row['proves'] else 'no'}"
        )
    for name, why in table["left_out"].items():
        print(f"{name:26}left out: {why}")


def show_publishing(found: dict[str, Any]) -> None:
    """What a version and the checksum cost: differences of the same round."""
    print(f"\nours, one level changed in a book of {LEVELS} a side, us an update")
    differences = {
        "so the checksum, of one side changed": found["checksum_us"],
    }
    for name, (low, mid, high) in {**found["us"], **differences}.items():
        print(f"{name:38}{mid:9.2f}{f'{low:.2f}-{high:.2f}':>16}")


if __name__ == "__main__":
    sys.exit(main())
