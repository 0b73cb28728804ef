"""The command: `python -m tests.benchmarks [WHAT] [options]`; see ``--help``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.benchmarks import report, throughput
from tests.benchmarks.roster import PLAIN, TLS, chosen
from tests.benchmarks.rounds import server
from tests.benchmarks.streams import NAMES


def main() -> int:
    """Measure, show, and keep."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument(
        "what", nargs="?", default="throughput", choices=("throughput",)
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--stream", nargs="*", default=NAMES, choices=NAMES)
    parser.add_argument("--transport", nargs="*", default=(PLAIN, TLS))
    parser.add_argument("--json", type=Path, metavar="OUT")
    args = parser.parse_args()
    found = report.about()
    report.introduce(found)
    with server() as where:
        found["throughput"] = throughput.measure(
            where,
            chosen(args.only),
            args.stream,
            args.transport,
            args.rounds,
            args.seconds,
            throughput.show,
        )
    if args.json is not None:
        report.keep(args.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
