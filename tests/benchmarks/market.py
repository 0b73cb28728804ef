"""The market: what it costs to follow a thousand instruments, of all side by side.

Depths and trades of v5 over TLS, half of the messages each, and every instrument alike:
5,000 messages a second in all. The exchange (`server`) is a process of its own, and so
is each contestant, who has all channels on one connection. The library is there as who
reads every book once a second has it (polled, and with `coalesce` if it has that), with
`on_message`, and with `updates()`. The others are by hand on WebSocket libraries, with
the same parser; they keep the newest depth of each instrument and its last 1,000
trades, as the library does. One on `picows` keeps the bytes, and parses what is read.

The figure is the CPU of the whole process for each message, which a waiting contestant
does not use; ratios are medians of ratios of one round. At the end each must have what
was sent last: the newest depth and all trades of some instruments. One that counted
fewer messages than were sent in the time that was measured is marked as behind, and so
is one that counted more, because it had been behind: what waits together costs less.
One to whom fewer were sent than the rate says shows that the machine was too slow.
*starved* is the share of the time in which its threads were ready and had no core:
where that is much, other programs made it fall behind, and no figure is exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from okex_ws.pool.options import ConnectionOptions
from tests.benchmarks.market_ours import ON_MESSAGE, POLLED, UPDATES
from tests.benchmarks.market_reading import PATIENCE, QUIET, WARM_UP, compared
from tests.benchmarks.market_stream import Market, sent_between
from tests.benchmarks.report import from_to, median, show_absent
from tests.benchmarks.roster import TLS, Entry, has_orjson
from tests.benchmarks.rounds import (
    Failed,
    Server,
    Turn,
    alternate,
    ratios,
    spread,
    take,
)
from tests.benchmarks.scale import names
from tests.benchmarks.streams import FIRST_ID, V5_BOOKS5, stream

# The server stops by itself so many seconds after it should have been told to.
MARGIN = 20.0
# Of what was sent in the time that was measured, or should have been sent.
ENOUGH = 0.97
COALESCE = 0.001

_OURS = Entry("okex_ws", ("tests.benchmarks.market_ours", "OurMarket"))
_LOOPS = "tests.benchmarks.market_loops"
OUR_POLLED = _OURS._replace(name="okex_ws, polled", options={"way": POLLED})
OUR_ON_MESSAGE = _OURS._replace(name="okex_ws, on_message", options={"way": ON_MESSAGE})
OUR_UPDATES = _OURS._replace(name="okex_ws, updates()", options={"way": UPDATES})
OUR_COALESCED = _OURS._replace(
    name=f"okex_ws, polled, coalesce={COALESCE}",
    options={"way": POLLED, "coalesce": COALESCE},
)
WEBSOCKETS = Entry("websockets", (_LOOPS, "MarketWebsockets"), needs=("websockets",))
AIOHTTP = Entry("aiohttp", (_LOOPS, "MarketAiohttp"), needs=("aiohttp",))
PICOWS = Entry("picows", (_LOOPS, "MarketPicows"), needs=("picows",))
PICOWS_UVLOOP = PICOWS._replace(
    name="picows, uvloop", needs=("picows", "uvloop"), options={"uvloop": True}
)
PICOWS_RAW = PICOWS._replace(name="picows, unparsed", maker=(_LOOPS, "RawPicows"))
PICOWS_RAW_UVLOOP = PICOWS_UVLOOP._replace(
    name="picows, uvloop, unparsed", maker=(_LOOPS, "RawPicows")
)
PEERS = (WEBSOCKETS, AIOHTTP, PICOWS, PICOWS_UVLOOP, PICOWS_RAW, PICOWS_RAW_UVLOOP)
# Whose CPU the ratios are of, by what they are kept under.
WAYS = {"polled": OUR_POLLED, "on_message": OUR_ON_MESSAGE, "updates": OUR_UPDATES}


def can_coalesce() -> bool:
    """Whether the library can wait a little for more after a small wake-up."""
    return "coalesce" in ConnectionOptions.__annotations__


def entries(only: Sequence[str] = ()) -> list[Entry]:
    """The contestants whose name has one of *only* in it; all without any."""
    ours = [OUR_POLLED, *([OUR_COALESCED] if can_coalesce() else [])]
    found = (*ours, OUR_ON_MESSAGE, OUR_UPDATES, *PEERS)
    return [e for e in found if not only or any(each in e.name for each in only)]


def turns_of(wanted: Sequence[Entry]) -> list[Turn]:
    """Who can take part, all with the same parser."""
    parser = "orjson" if has_orjson() else "json"
    found = stream(V5_BOOKS5)
    return [Turn(entry, parser, TLS, found) for entry in wanted if not entry.missing]


def measure(
    where: Server,
    wanted: Sequence[Entry],
    instruments: int,
    rate: float,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """A row for each contestant."""
    turns, traded = turns_of(wanted), Market(names(instruments))

    def play(turn: Turn) -> dict[str, Any]:
        return one(turn, where, traded, rate, seconds)

    found, failures = alternate(turns, rounds, play)
    rows = [row(turn.name, found, rate) for turn in turns if any(found[turn.name])]
    return {
        "instruments": instruments,
        "rate": rate,
        "seconds": seconds,
        "source": stream(V5_BOOKS5).source,
        "reached": spread([r["sent"] for each in found.values() for r in each if r]),
        "server": spread([r["server"] for each in found.values() for r in each if r]),
        "missing": [entry.name for entry in wanted if entry.missing],
        "failures": failures,
        "rows": rows,
        "rounds": found,
    }


def one(
    turn: Turn, where: Server, traded: Market, rate: float, seconds: float
) -> dict[str, Any]:
    """One turn, which has to end with what was sent last."""
    entry = turn.entry
    options = {**entry.options, "names": traded.names}
    turn = turn._replace(entry=entry._replace(options=options))
    most = WARM_UP + seconds + MARGIN
    job = {"seconds": most, "pace": rate, "names": traded.names}
    where.play(stream=turn.stream.name, **job)
    before = where.play()["cpu"]
    spec = turn.spec(where, "market", seconds=seconds, server=where.pid)
    found = take(spec, where, PATIENCE + most + QUIET)
    del found["said"]
    sent = where.play()
    if not sent["done"]:
        raise Failed("it left before the server stopped")
    check(found.pop("left"), traded, sent["messages"])
    took = (found["ended"] - found["began"]) / 1e9
    came_out = sent_between(sent["stamps"], found["began"], found["ended"])
    return {
        **found,
        "sent": came_out / took,
        "share": found["messages"] / came_out if came_out else math.nan,
        # CPU of the server for all messages that it sent, in microseconds each.
        "server": (sent["cpu"] - before) / max(1, sent["messages"]) * 1e6,
    }


def check(left: dict[str, Any], traded: Market, sent: int) -> None:
    """`Failed` unless *left* is what has to be there once *sent* messages have come."""
    for name in compared(traded.names):
        wanted, has = traded.left(name, sent), dict(left[name])
        # The trade from before the subscribe may be kept or left out.
        has["trades"] = [each for each in has["trades"] if each[0] > FIRST_ID]
        for what in ("levels", "trades"):
            if has[what] != wanted[what]:
                was = f"{what} of {name}: {has[what][-2:]} in the end of"
                raise Failed(f"{was} {len(has[what])}, sent {wanted[what][-2:]}")


def row(
    name: str, found: dict[str, list[dict[str, Any] | None]], rate: float
) -> dict[str, Any]:
    """What the table shows of one, out of the results of all."""
    mine = found[name]
    results = [result for result in mine if result]
    made: dict[str, Any] = {
        "name": name,
        "refused": sum(result["refused"] for result in results),
        # Who counted more than was sent took in what it had been behind with before.
        "behind": sum(abs(result["share"] - 1.0) > 1.0 - ENOUGH for result in results),
        "slow": sum(result["sent"] < ENOUGH * rate for result in results),
    }
    for key in ("cpu", "core", "sent", "share", "starved"):
        made[key] = spread([result[key] for result in results])
    half = len(results) / 2
    made["sound"] = made["behind"] < half and made["slow"] < half
    parser = name.rpartition("[")[2].rstrip("]")
    for key, ours in WAYS.items():
        us = found.get(f"{ours.name} [{parser}]", [None] * len(mine))
        # Its over ours: above 1 is better for ours.
        made[f"over_{key}"] = spread(ratios(mine, us, "cpu"))
    peer = found.get(f"{AIOHTTP.name} [{parser}]", [None] * len(mine))
    made["over_aiohttp"] = spread(ratios(mine, peer, "cpu"))
    return made


def show(found: dict[str, Any]) -> None:
    """The table."""
    reached, server = found["reached"], found["server"]
    print(
        f"\nmarket: {found['instruments']:,} instruments, {found['rate']:,.0f}"
        f" messages/s wanted, {median(reached, 0)} ({from_to(reached, 0)}) reached at"
        f" {median(server, 0)} us of the server; {found['source']}, {TLS}; its/ours is"
        " above 1 where ours is cheaper"
    )
    print(
        f"{'':40}{'CPU us':>7}{'from-to':>14}{'of a core':>11}{'from-to':>14}"
        f"{'its/polled':>19}{'its/on_message':>19}{'its/updates()':>19}"
        f"{'sent/s':>8}{'came':>6}{'starved':>9}"
    )
    for each in found["rows"]:
        over = "".join(f"{_ratio(each[f'over_{key}']):>19}" for key in WAYS)
        print(
            f"{each['name']:40}{median(each['cpu'], 1):>7}"
            f"{from_to(each['cpu'], 1):>14}{median(each['core'], 3):>11}"
            f"{from_to(each['core'], 3):>14}{over}"
            f"{median(each['sent'], 0):>8}{each['share'][1]:>6.0%}"
            f"{each['starved'][1]:>9.0%}{_marks(each)}"
        )
    show_absent(found)


def _marks(each: dict[str, Any]) -> str:
    """What makes a row doubtful: in how many rounds."""
    marks = {
        "fell behind": each["behind"],
        "server too slow": each["slow"],
        "reads refused": each["refused"],
    }
    return "".join(f"  {what}: {count}" for what, count in marks.items() if count)


def _ratio(three: Sequence[float]) -> str:
    return f"{median(three, 2)} ({from_to(three, 2)})" if three[1] == three[1] else "-"
