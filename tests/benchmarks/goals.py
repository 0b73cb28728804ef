"""The goals of a run: each measured number beside the number that it has to reach.

Throughput and lateness are medians of ratios within one round. Throughput is the
library's over the peer's, lateness the best peer's over the library's, so that more is
better in both. Of a market it is CPU a message: the peer's over the library's, except
where the library may be dearer by some factor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.benchmarks.market import AIOHTTP, PICOWS, WAYS
from tests.benchmarks.reading import IDLE, LOOP, NUMPY
from tests.benchmarks.roster import ISOLATED, OURS
from tests.benchmarks.streams import V3_DEPTH5, V5_BOOKS, V5_BOOKS5

PARSERS = ("json", "orjson")
# Times ours is as fast as who, on which streams: with the standard parser, with orjson.
FASTER = (
    ("the seed's class [json]", (V3_DEPTH5,), 2.4, 3.3),
    ("python-okx [json]", (V5_BOOKS5,), 1.5, 2.0),
    ("ccxt pro", (V5_BOOKS5,), 1.5, 2.0),
    ("cryptofeed", (V5_BOOKS5,), 1.5, 2.0),
)
# And as who with the same parser.
SAME_PARSER = (("websockets", 1.3), ("aiohttp", 1.3))
BOTH_PICOWS = ("picows", "picows, uvloop")
PICOWS_WANTED = {V3_DEPTH5: 0.85, V5_BOOKS5: 0.95}
OVER_LIMIT = 1.35
BUSY_RATE = 1000
ISOLATED_MS = 1.0
CORE = 0.2
# In a market: how often its CPU a message is in ours, polled and with on_message.
MARKET = ((PICOWS.name, "polled"), (AIOHTTP.name, "on_message"))
# And ours with updates() in that of aiohttp.
OVER_AIOHTTP = 1.2
MANY = 1000
# Of the reads that a script means to do; each may come a switch interval late.
LOOKS = 0.85
# MiB in ten minutes that are not yet a growth: the noise of what is resident.
FLAT = 1.0
# Minutes from which on a growth can be told from filling up.
LONG = 5.0


class Goal(NamedTuple):
    """One line: *found* has to be *wanted* at the *least*, else at the most."""

    name: str
    found: float
    wanted: float
    least: bool = True

    @property
    def reached(self) -> bool:
        """Whether it is; not, where nothing was found."""
        if self.least:
            return self.found >= self.wanted
        return self.found <= self.wanted


def goals(found: dict[str, Any]) -> list[Goal]:
    """Every goal that a run, in the form that it is kept in, says something about."""
    lines: list[Goal] = []
    for group in found.get("throughput", ()):
        lines += _throughput(group)
    for group in found.get("lateness", ()):
        lines += _lateness(group)
    for each in found.get("scale", ()):
        if each["instruments"] >= MANY:
            lines += _scale(each)
    if market := found.get("market"):
        lines += _market(market)
    return lines


def _throughput(group: dict[str, Any]) -> Iterator[Goal]:
    rows = {row["name"]: row for row in group["rows"]}
    stream, where = group["stream"], f"{group['stream']}, {group['transport']}"
    for name, streams, *wanted in FASTER:
        if name in rows and stream in streams:
            for parser, least in zip(PARSERS, wanted, strict=True):
                times = rows[name][f"rate_ratio_{parser}"][1]
                yield Goal(f"{where}: ours [{parser}] / {name}", times, least)
    if stream == V5_BOOKS:
        # Their hands keep no sorted book, and prove no level.
        return
    for name, least in SAME_PARSER:
        for parser in PARSERS:
            if row := rows.get(f"{name} [{parser}]"):
                times = row[f"rate_ratio_{parser}"][1]
                yield Goal(f"{where}: ours / {name}, {parser}", times, least)
    for name in BOTH_PICOWS:
        if row := rows.get(f"{name} [orjson]"):
            times, least = row["rate_ratio_orjson"][1], PICOWS_WANTED[stream]
            yield Goal(f"{where}: ours / {name}, orjson", times, least)
    for parser in PARSERS:
        if row := rows.get(f"{OURS.name} [{parser}]"):
            times = row[f"over_limit_{parser}"][1]
            yield Goal(f"{where}: CPU / limit, {parser}", times, OVER_LIMIT, False)
            looks = row["looks"][0]
            yield Goal(f"{where}: looks of the script, {parser}", looks, LOOKS)


def _lateness(group: dict[str, Any]) -> Iterator[Goal]:
    setting, rows = group["setting"], group["rows"]
    idle = setting["main"] == IDLE
    kind = "noted" if idle else "read"
    names = (OURS.name, ISOLATED.name)
    peers = [row for row in rows if row["name"].rpartition(" [")[0] not in names]
    busy = setting["main"] in (LOOP, NUMPY) and setting["rate"] == BUSY_RATE
    for row in rows:
        who = row["name"].rpartition(" [")[0]
        if who == OURS.name and (idle or busy):
            for percent in ("p50", "p99") if idle else ("p99",):
                best = _best(peers, f"{kind}_{percent}_ratio")
                what = f"{percent} of the best peer / ours; {group['name']}"
                yield Goal(what, best, 1.0)
        if who == ISOLATED.name and not idle:
            high = row["read_p99"][1]
            yield Goal(f"isolate, p99 ms; {group['name']}", high, ISOLATED_MS, False)
            missed = row["read_behind"][2] + row["refused"][2]
            yield Goal(f"isolate, never behind; {group['name']}", missed, 0, False)


def _best(peers: list[dict[str, Any]], key: str) -> float:
    """The least ratio: of the peer that is the earliest."""
    return min((row[key][1] for row in peers if key in row), default=float("nan"))


def _scale(each: dict[str, Any]) -> Iterator[Goal]:
    count, rate = each["instruments"], each["messages a second"]
    name = f"{count:,} instruments, {rate:,.0f}/s"
    yield Goal(f"{name}: CPU, of one core", each["CPU, of one core"], CORE, False)
    if each["minutes"] >= LONG:
        grown = 10 * each["MiB more a minute"]
        yield Goal(f"{name}: MiB more in ten minutes", grown, FLAT, False)


def _market(found: dict[str, Any]) -> Iterator[Goal]:
    rows = {row["name"]: row for row in found["rows"]}
    count, rate = found["instruments"], found["reached"][1]
    where = f"market, {count:,} instruments, {rate:,.0f}/s"

    def of(ours: str, row: str, key: str) -> float:
        # Who mostly fell behind, or was sent too little, reaches no goal.
        return rows[row][key][1] if rows[ours]["sound"] else math.nan

    for parser in PARSERS:
        ways = {way: f"{entry.name} [{parser}]" for way, entry in WAYS.items()}
        for name, way in MARKET:
            peer = f"{name} [{parser}]"
            if peer in rows and ways[way] in rows:
                times = of(ways[way], peer, f"over_{way}")
                yield Goal(f"{where}: CPU of {name} / ours {way}, {parser}", times, 1.0)
        if f"{AIOHTTP.name} [{parser}]" in rows and (ours := ways["updates"]) in rows:
            what = f"{where}: CPU of ours updates() / {AIOHTTP.name}, {parser}"
            times = of(ours, ours, "over_aiohttp")
            yield Goal(what, times, OVER_AIOHTTP, False)
        if count >= MANY and (ours := ways["polled"]) in rows:
            what = f"{where}: CPU of ours polled, of one core, {parser}"
            yield Goal(what, of(ours, ours, "core"), CORE, False)


def show(lines: list[Goal]) -> None:
    """A line for each."""
    if lines:
        print("\ngoals")
    for goal in lines:
        sign = ">=" if goal.least else "<="
        said = "reached" if goal.reached else "NOT REACHED"
        print(f"{goal.name:112}{goal.found:>9.2f} {sign} {goal.wanted:<6g}{said}")
