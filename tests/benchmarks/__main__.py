"""The command: `python -m tests.benchmarks [--seconds N] [--json OUT]`.

`--profile full`, or `paced`, shows the hot spots of our path instead.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import statistics
import sys
from pathlib import Path
from typing import Any

import websocket
from tests.benchmarks.measure import Round, Server, Way, measure, server

import okex_ws
from okex_ws.connection import Connection

PACE = 1000
# Each of ours beside the seed's; the CPU of a busy script is the script's own. The last
# has no counterpart, and is compared with the seed's on plain TCP.
PAIRS = (
    (Way("GetDepth() alone", True), Way("GetDepth() alone", False)),
    (Way("with on_message", True, True), Way("with on_message", False, True)),
    (
        Way(f"{PACE} messages a second", True, pace=PACE),
        Way(f"{PACE} messages a second", False, pace=PACE),
    ),
    (
        Way("the same, busy script", True, pace=PACE, busy=True),
        Way("the same, busy script", False, pace=PACE, busy=True),
    ),
    (Way("ours over TLS", True, tls=True), Way("GetDepth() alone", False)),
)


def main() -> int:
    """Measure, show, and keep."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument(
        "--profile", choices=("full", "paced"), help="our hot spots instead"
    )
    args = parser.parse_args()
    with server() as where:
        if args.profile is not None:
            profile(where, args.seconds, args.profile == "paced")
            return 0
        rows = [compare(pair, where, args.seconds, args.rounds) for pair in PAIRS]
    found = {"messages": where.source, "rows": rows, "versions": _versions()}
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    print(f"depth5 pushes, {where.source}")
    _show(rows)
    return 0


def compare(
    pair: tuple[Way, Way], where: Server, seconds: float, rounds: int
) -> dict[str, Any]:
    """Medians of *rounds* each, by turns, and their ratio."""
    ours, seeds = [], []
    for _ in range(rounds):
        seeds.append(measure(pair[1], where, seconds))
        ours.append(measure(pair[0], where, seconds))
    us, seed = _median(ours), _median(seeds)
    return {
        "what": pair[0].name,
        "ours": us._asdict(),
        "seed": seed._asdict(),
        "rate_ratio": us.rate / seed.rate,
        "cpu_ratio": us.cpu / seed.cpu,
        "rounds": {"ours": [*map(list, ours)], "seed": [*map(list, seeds)]},
    }


def _median(rounds: list[Round]) -> Round:
    return Round(*(statistics.median(column) for column in zip(*rounds, strict=True)))


def _show(rows: list[dict[str, Any]]) -> None:
    print(f"{'':24}  {'messages a second':>30}  {'CPU us a message':>28}")
    print(f"{'':24}  {'ours':>11}{'seed':>11}{'ratio':>8}", end="")
    print(f"  {'ours':>10}{'seed':>10}{'ratio':>8}")
    for row in rows:
        ours, seed = row["ours"], row["seed"]
        print(
            f"{row['what']:24}"
            f"  {ours['rate']:11,.0f}{seed['rate']:11,.0f}{row['rate_ratio']:8.2f}"
            f"  {ours['cpu']:10.1f}{seed['cpu']:10.1f}{row['cpu_ratio']:8.2f}"
        )


def profile(where: Server, seconds: float, paced: bool) -> None:
    """The hot spots of the connection's thread, by time of their own."""
    profiler, run = cProfile.Profile(), Connection._run

    def profiled(connection: Connection) -> None:
        profiler.runcall(run, connection)

    Connection._run = profiled  # type: ignore[assignment,method-assign]
    try:
        measure(PAIRS[2][0] if paced else PAIRS[1][0], where, seconds)
    finally:
        Connection._run = run  # type: ignore[method-assign]
    pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def _versions() -> dict[str, str]:
    return {
        "okex_ws": okex_ws.__version__,
        "python": platform.python_version(),
        "websocket-client": websocket.__version__,
        "system": platform.platform(),
    }


if __name__ == "__main__":
    sys.exit(main())
