"""Throughput: messages a second and CPU a message, of all on the same frames.

In a contestant's row a ratio above 1 means that the library is faster, or cheaper. Each
ratio is the median of the ratios of single rounds, beside the least and the most of
them. *looks* is the share of the due reads that the script did, in the worst round.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tests.benchmarks.contestant import WARM_UP
from tests.benchmarks.report import from_to, grouped, median, show_absent
from tests.benchmarks.roster import CEILING, LIMIT, OURS, Entry, has_orjson
from tests.benchmarks.rounds import (
    Failed,
    Server,
    Turn,
    alternate,
    ratios,
    spread,
    take,
)
from tests.benchmarks.streams import Stream, stream

# The server goes on so much longer than is measured.
MARGIN = 0.4


def measure(
    where: Server,
    entries: Sequence[Entry],
    streams: Sequence[str],
    transports: Sequence[str],
    rounds: int,
    seconds: float,
    tell: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """A group of rows for each stream and transport."""
    groups = []
    for name in streams:
        for transport in transports:
            group = _group(where, entries, stream(name), transport, rounds, seconds)
            tell(group)
            groups.append(group)
    return groups


def turns_of(entries: Sequence[Entry], stream: Stream, transport: str) -> list[Turn]:
    """Who can take part, once with each parser."""
    return [
        Turn(entry, parser, transport, stream)
        for entry in entries
        if stream.name in entry.streams and transport in entry.transports
        if not entry.missing
        for parser in entry.parsers
        if parser != "orjson" or has_orjson()
    ]


def _group(
    where: Server,
    entries: Sequence[Entry],
    stream: Stream,
    transport: str,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    turns = turns_of(entries, stream, transport)

    def play(turn: Turn) -> dict[str, Any]:
        return one(turn, where, seconds)

    found, failures = alternate(turns, rounds, play)
    for turn in turns:
        # Its result is wanted without what it said.
        for result in found[turn.name]:
            if result:
                result.pop("said")
    return {
        "stream": stream.name,
        "transport": transport,
        "source": stream.source,
        "bytes": stream.frame_bytes,
        "missing": [e.name for e in entries if e.missing],
        "failures": failures,
        "rows": [row(turn.name, found) for turn in turns if any(found[turn.name])],
        "rounds": found,
    }


def one(turn: Turn, where: Server, seconds: float) -> dict[str, Any]:
    """One turn, whose last depth has to be the last that was sent."""
    if turn.entry is LIMIT:
        return take(turn.spec(where, "limit", seconds=seconds), where, seconds)
    where.play(stream=turn.stream.name, seconds=WARM_UP + seconds + MARGIN)
    found = take(turn.spec(where, "throughput", seconds=seconds), where, seconds)
    sent = where.play()["messages"]
    if turn.entry is not CEILING:
        ends = turn.stream.ends
        last = [list(map(list, side)) for side in ends[(sent - 1) % len(ends)]]
        if found["left"] != last:
            raise Failed(f"it has {found['left']}, and {last} was sent last")
    return found


def row(name: str, found: dict[str, list[dict[str, Any] | None]]) -> dict[str, Any]:
    """What a table shows of one, out of the results of all."""
    mine = found[name]
    results = [result for result in mine if result]
    ours, limits = OURS.name, LIMIT.name
    made = {
        "name": name,
        "rate": spread([result["rate"] for result in results]),
        "cpu": spread([result["cpu"] for result in results]),
        "refused": sum(result.get("refused", 0) for result in results),
        "looks": spread([result.get("looks", math.nan) for result in results]),
        # What could be had, and was not taken.
        "unused": "[orjson]" in name and not results[0]["orjson"],
    }
    for parser in ("json", "orjson"):
        us = found.get(f"{ours} [{parser}]", [None] * len(mine))
        limit = found.get(f"{limits} [{parser}]", [None] * len(mine))
        made[f"rate_ratio_{parser}"] = spread(ratios(us, mine, "rate"))
        # Ours over its, so that above 1 is better for ours here too.
        made[f"cpu_ratio_{parser}"] = spread(ratios(mine, us, "cpu"))
        made[f"over_limit_{parser}"] = spread(ratios(mine, limit, "cpu"))
    return made


def show(group: dict[str, Any]) -> None:
    """The table of one stream and transport."""
    print(
        f"\n{group['stream']}, {group['transport']}: frames of {group['bytes']:.0f}"
        f" bytes, {group['source']}; ours/its is above 1 where ours is faster"
    )
    print(
        f"{'':40}{'messages/s':>11}{'from-to':>23}{'CPU us':>7}{'from-to':>14}"
        f"{'ours json/its':>20}{'ours orjson/its':>20}{'CPU/limit':>11}{'looks':>7}"
    )
    for each in group["rows"]:
        name = each["name"] + (": not used" if each["unused"] else "")
        # Over the limit of the same parser; what has its own is not compared.
        own = each["name"].rpartition("[")[2].rstrip("]")
        over = each.get(f"over_limit_{own}", [math.nan] * 3)
        print(
            f"{name:40}{median(each['rate'], 0):>11}"
            f"{grouped(each['rate']):>23}{median(each['cpu'], 1):>7}"
            f"{from_to(each['cpu'], 1):>14}"
            f"{_ratio(each['rate_ratio_json']):>20}"
            f"{_ratio(each['rate_ratio_orjson']):>20}{median(over, 2):>11}"
            f"{_percent(each['looks'][0]):>7}"
        )
    show_absent(group)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share == share else "-"


def _ratio(three: Sequence[float]) -> str:
    return f"{median(three, 2)} ({from_to(three, 2)})" if three[1] == three[1] else "-"


def profile(
    where: Server, streams: Sequence[str], transports: Sequence[str], seconds: float
) -> None:
    """The hot spots of our thread on each stream, by time of their own."""
    profiled = OURS._replace(options={"profile": 25})
    for name in streams:
        for transport in transports:
            for turn in turns_of([profiled], stream(name), transport):
                print(f"{turn.name}, {name}, {transport}")
                print(one(turn, where, seconds)["said"])
