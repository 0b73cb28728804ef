"""The command: `python -m tests.benchmarks [WHAT ...] [options]`; see ``--help``.

It prints tables. ``--json`` keeps all rounds, the versions and a description of the
machine, and ``--plot`` draws a picture. *WHAT* is any of ``throughput``, ``limit``,
``lateness``, ``scale``, ``market``, ``books``, ``all`` (the default), or ``profile``,
which shows the hot spots of the library's own path instead.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks import (
    books,
    goals,
    lateness,
    limit,
    market,
    plot,
    report,
    scale,
    throughput,
)
from tests.benchmarks.roster import PLAIN, TLS, chosen, late
from tests.benchmarks.rounds import Server, server
from tests.benchmarks.streams import NAMES

PARTS = ("throughput", "limit", "lateness", "scale", "market", "books")


def main(argv: list[str] | None = None) -> int:
    """Measure, show, and keep."""
    args = _arguments(argv)
    found: dict[str, Any] = report.about()
    report.introduce(found)
    with server() as where:
        if args.what == ["profile"]:
            throughput.profile(where, args.stream, args.transport, args.seconds)
            return 0
        for part in args.what:
            found[part] = _measure(part, where, args)
            # What is there is kept, whatever happens to the next.
            if args.json is not None:
                report.keep(args.json, found)
    goals.show(goals.goals(found))
    if args.plot is not None and not plot.draw(args.plot, found):
        print("no picture: matplotlib is not installed")
    return 0


def _measure(part: str, where: Server, args: argparse.Namespace) -> Any:
    rounds, seconds = args.rounds, args.seconds
    if part == "throughput":
        return throughput.measure(
            where,
            chosen(args.only),
            args.stream,
            args.transport,
            rounds,
            seconds,
            throughput.show,
        )
    if part == "limit":
        return limit.measure(where, args.stream, rounds, seconds, limit.show)
    if part == "lateness":
        settings = lateness.FULL if args.full else lateness.SETTINGS
        wanted = [s for s in settings if args.setting in s.name]
        return lateness.measure(
            where, late(args.only), wanted, rounds, 2 * seconds, lateness.show
        )
    if part == "scale":
        for_seconds = 60 * args.minutes if args.minutes else 10 * seconds
        counts, channels = args.instruments, args.channels
        grown = scale.measure(counts, args.rate, for_seconds, channels)
        scale.show(grown)
        return grown
    if part == "market":
        count = max(args.instruments)
        entries, longer = market.entries(args.only), 5 * seconds
        traded = market.measure(where, entries, count, args.rate, rounds, longer)
        market.show(traded)
        return traded
    return books.measure(rounds)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument(
        "what", nargs="*", metavar="WHAT", help=f"{', '.join(PARTS)}, all, profile"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--seconds",
        type=float,
        default=1.0,
        help="of a turn of throughput; one of lateness is twice, of a market five"
        " times, of scale ten times it",
    )
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="contestants, by a part"
    )
    parser.add_argument("--stream", nargs="+", default=NAMES, choices=NAMES)
    parser.add_argument(
        "--transport", nargs="+", default=(PLAIN, TLS), choices=(PLAIN, TLS)
    )
    parser.add_argument(
        "--full", action="store_true", help="every setting of lateness, not a choice"
    )
    parser.add_argument(
        "--setting", default="", metavar="TEXT", help="of lateness, by a part of it"
    )
    parser.add_argument(
        "--instruments",
        type=int,
        nargs="+",
        default=scale.COUNTS,
        help="of scale; the most of them are those of a market",
    )
    parser.add_argument(
        "--rate", type=float, default=scale.RATE, help="of scale, and of a market"
    )
    parser.add_argument("--minutes", type=float, help="of scale")
    parser.add_argument(
        "--channels", nargs="+", default=scale.CHANNELS, help="of scale"
    )
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--plot", type=Path, metavar="OUT.png")
    args = parser.parse_args(argv)
    if args.what in ([], ["all"]):
        args.what = list(PARTS)
    elif args.what != ["profile"] and not set(args.what) <= set(PARTS):
        parser.error(f"WHAT is of {', '.join(PARTS)}, or all, or profile")
    return args


if __name__ == "__main__":
    sys.exit(main())
