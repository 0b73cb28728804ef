"""Lateness: the time from the server's send until a read by the script has the message.

Every message carries its number and the moment of its sending (`server`), by the
system's monotonic clock, which all processes share. The contestant reports at which
moment it first had which number (`reading`). The lateness of message *i* is the first
moment at which *i* or a later message could be read, minus the sending of *i*. A
message that was replaced before a read is not lost, but counts as late as its
replacement. A message that never came counts with all the time until the end, and as
*behind*.

So the measure is the same for a library that publishes on a thread, on an event loop,
or in another process.

The first half second is not counted. *noted* is for the callback, *read* for the
script; *backlog* is how many messages had been sent and could not be read yet when the
last was sent.
"""

from __future__ import annotations

import itertools
import os
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tests.benchmarks.reading import IDLE, LOOP, NUMPY, READING
from tests.benchmarks.report import from_to, median
from tests.benchmarks.roster import OURS, PLAIN, TLS, Entry, has_orjson
from tests.benchmarks.rounds import Server, Turn, alternate, ratios, spread, take
from tests.benchmarks.streams import V3_DEPTH5, V5_BOOKS5, stream

PERCENTILES = (50.0, 99.0, 99.9)
# Seconds that are not counted.
SKIPPED = 0.5
MILLISECOND = 1e6


class Setting(NamedTuple):
    """What is so around the contestant: *rate* is messages a second.

    *main* is what the main thread does. *pinned*: the contestant has one core, and the
    server another. *interval* is the interpreter's switch interval, in ms.
    """

    main: str
    rate: int
    transport: str = TLS
    pinned: bool = False
    interval: float = 5.0
    stream: str = V5_BOOKS5

    @property
    def name(self) -> str:
        """As a table says it."""
        where = "one core" if self.pinned else "all cores"
        return (
            f"main thread: {self.main}; {self.stream}, {self.rate:,}/s,"
            f" {self.transport}, {where}, switch interval {self.interval:g} ms"
        )


# Each row of the issue once, beside the same setting with one thing changed.
SETTINGS = (
    Setting(IDLE, 100),
    Setting(IDLE, 1000),
    Setting(IDLE, 5000),
    Setting(IDLE, 1000, PLAIN),
    Setting(READING, 1000),
    Setting(LOOP, 100),
    Setting(LOOP, 1000),
    Setting(LOOP, 5000),
    Setting(LOOP, 1000, PLAIN),
    Setting(LOOP, 1000, pinned=True),
    Setting(LOOP, 1000, interval=1.0),
    Setting(LOOP, 1000, PLAIN, pinned=True, interval=1.0),
    Setting(NUMPY, 1000),
    Setting(NUMPY, 1000, PLAIN),
    Setting(NUMPY, 1000, pinned=True),
    Setting(NUMPY, 1000, interval=1.0),
    Setting(IDLE, 1000, stream=V3_DEPTH5),
    Setting(LOOP, 1000, stream=V3_DEPTH5),
)
FULL = tuple(
    Setting(*each)
    for each in itertools.product(
        (IDLE, READING, LOOP, NUMPY),
        (100, 1000, 5000),
        (TLS, PLAIN),
        (False, True),
        (5.0, 1.0),
        (V5_BOOKS5, V3_DEPTH5),
    )
)


def measure(
    where: Server,
    entries: Sequence[Entry],
    settings: Sequence[Setting],
    rounds: int,
    seconds: float,
    tell: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """A group of rows for each setting."""
    groups = []
    for setting in settings:
        group = _group(where, entries, setting, rounds, seconds)
        tell(group)
        groups.append(group)
    return groups


def turns_of(entries: Sequence[Entry], setting: Setting) -> list[Turn]:
    """Who can take part, each with the faster parser."""
    parser = "orjson" if has_orjson() else "json"
    return [
        Turn(
            entry,
            parser if parser in entry.parsers else entry.parsers[0],
            setting.transport,
            stream(setting.stream),
        )
        for entry in entries
        if not entry.missing
        if setting.stream in entry.streams and setting.transport in entry.transports
        # It has no callback to note anything in.
        if not (setting.main == IDLE and entry.options.get("isolate"))
    ]


def _group(
    where: Server,
    entries: Sequence[Entry],
    setting: Setting,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    turns = turns_of(entries, setting)
    with _pinned(where, setting.pinned):
        found, failures = alternate(
            turns, rounds, lambda turn: one(turn, where, setting, seconds)
        )
    ours = next((t.name for t in turns if t.entry == OURS), None)
    return {
        "setting": setting._asdict(),
        "name": setting.name,
        "missing": [e.name for e in entries if e.missing],
        "failures": failures,
        "rows": [row(t.name, found, ours) for t in turns if any(found[t.name])],
        "rounds": found,
    }


class _pinned:  # noqa: N801 - used like a function
    """Keep the server off the contestants' core."""

    def __init__(self, where: Server, pinned: bool) -> None:
        self._pid, self._pinned = where.pid, pinned
        self._cores = os.sched_getaffinity(where.pid)

    def __enter__(self) -> None:
        if self._pinned:
            _move(self._pid, {min(self._cores)})

    def __exit__(self, *_: object) -> None:
        _move(self._pid, self._cores)


def _move(pid: int, cores: set[int]) -> None:
    """All threads of a process that is there already."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), cores)


def one(turn: Turn, where: Server, setting: Setting, seconds: float) -> dict[str, Any]:
    """One turn: percentiles in milliseconds, and how far it was behind at the end."""
    skipped = round(SKIPPED * setting.rate)
    count = skipped + round(seconds * setting.rate)
    total = count / setting.rate
    where.play(stream=turn.stream.name, pace=setting.rate, count=count)
    how: dict[str, Any] = {"main": setting.main, "count": count, "seconds": total}
    how["noted"] = not turn.entry.options.get("isolate")
    how["beside"] = setting.main != IDLE
    how["interval"] = setting.interval / 1000
    if setting.pinned:
        how["core"] = max(os.sched_getaffinity(0))
    found = take(turn.spec(where, "lateness", **how), where, total)
    stamps = where.play()["stamps"]
    result = {name: found[name] for name in ("refused", "reads", "cpu")}
    for name in ("noted", "read"):
        moments, numbers = found[name]
        if numbers:
            late = latenesses(stamps, moments, numbers, found["end"])[skipped:]
            result |= percentiles(name, late)
            result[f"{name}_behind"] = len(stamps) - numbers[-1]
            result[f"{name}_backlog"] = backlog(stamps, moments, numbers)
    return result


def latenesses(
    stamps: Sequence[int], moments: Sequence[int], numbers: Sequence[int], end: int
) -> list[int]:
    """Nanoseconds by which each message was late; *numbers* count from 1."""
    late = []
    for number, stamp in enumerate(stamps, 1):
        at = bisect_left(numbers, number)
        late.append((moments[at] if at < len(moments) else end) - stamp)
    return late


def backlog(
    stamps: Sequence[int], moments: Sequence[int], numbers: Sequence[int]
) -> int:
    """How many messages had been sent and not been had, when the last was sent."""
    seen = bisect_left(moments, stamps[-1])
    return len(stamps) - 1 - (numbers[seen - 1] if seen else 0)


def percentiles(name: str, late: Sequence[int]) -> dict[str, float]:
    """Of latenesses, in milliseconds: the least that so many of 100 are within."""
    ranked = sorted(late)
    found = {}
    for percent in PERCENTILES:
        at = min(len(ranked) - 1, int(len(ranked) * percent / 100))
        found[f"{name}_p{percent:g}"] = ranked[at] / MILLISECOND
    found[f"{name}_worst"] = ranked[-1] / MILLISECOND
    return found


def row(
    name: str, found: dict[str, list[dict[str, Any] | None]], ours: str | None
) -> dict[str, Any]:
    """What a table shows of one, out of the results of all."""
    mine = found[name]
    results = [result for result in mine if result]
    keys = {key for result in results for key in result}
    made: dict[str, Any] = {"name": name}
    for key in sorted(keys):
        made[key] = spread([result[key] for result in results if key in result])
        if "_p" in key and ours is not None:
            us = [r if r and key in r else None for r in found[ours]]
            them = [r if r and key in r else None for r in mine]
            made[f"{key}_ratio"] = spread(ratios(them, us, key))
    return made


def show(group: dict[str, Any]) -> None:
    """The table of one setting: milliseconds, and how often ours is as late."""
    print(f"\n{group['name']}")
    print(
        f"{'':36}{'p50 ms':>9}{'from-to':>17}{'p99 ms':>10}{'from-to':>19}"
        f"{'p99.9':>10}{'worst':>10}{'p50/ours':>10}{'p99/ours':>10}"
        f"{'backlog':>9}{'behind':>8}{'refused':>9}"
    )
    for each in group["rows"]:
        for kind, named in (("noted", "callback"), ("read", "read")):
            if f"{kind}_p50" in each:
                _show_row(f"{each['name']}: {named}", each, kind)
    for name in group["missing"]:
        print(f"{name:36}not installed")
    for name, why in group["failures"].items():
        print(f"{name:36}failed in a round: {why:.300}")


def _show_row(name: str, each: dict[str, Any], kind: str) -> None:
    nan = [float("nan")] * 3
    middle, high = each[f"{kind}_p50"], each[f"{kind}_p99"]
    ratio_50 = each.get(f"{kind}_p50_ratio", nan)
    ratio_99 = each.get(f"{kind}_p99_ratio", nan)
    print(
        f"{name:36}{median(middle, 3):>9}{from_to(middle, 3):>17}"
        f"{median(high, 3):>10}{from_to(high, 3):>19}"
        f"{median(each[f'{kind}_p99.9'], 2):>10}{median(each[f'{kind}_worst'], 1):>10}"
        f"{median(ratio_50, 2):>10}{median(ratio_99, 2):>10}"
        f"{each[f'{kind}_backlog'][2]:>9.0f}{each[f'{kind}_behind'][2]:>8.0f}"
        f"{each['refused'][2]:>9.0f}"
    )
