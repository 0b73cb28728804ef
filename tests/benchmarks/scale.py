"""A thousand instruments: `python -m tests.benchmarks.scale [--rate N] [--json OUT]`.

The local exchange runs in a process of its own, which is this module with ``--serve``.
What is measured is the client: seconds until all are live, then messages a second, CPU,
memory and threads. A second of warming up is not counted.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from okex_ws import Feed
from okex_ws.local_exchange import Instrument, LocalExchange
from okex_ws.venues import find_venue

CHANNELS = ("depth5", "trade")


def main() -> int:
    """Measure, show, and keep."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("--instruments", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=5000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.instruments, args.rate)
        return 0
    with server(args.instruments, args.rate) as endpoint:
        found = measure(endpoint, args.instruments, args.seconds)
    for name, value in found.items():
        print(
            f"{name:28} {value:12,.3f}"
            if isinstance(value, float)
            else f"{name:28} {value:12,}"
        )
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def names(count: int) -> list[str]:
    """Ids of *count* made-up instruments of spot."""
    return [f"T{number:04}-USDT" for number in range(count)]


def serve(count: int, rate: float) -> None:
    """Run the exchange until stdin ends; each instrument is updated alike."""
    instruments = [Instrument("spot", name) for name in names(count)]
    each = rate / count
    with LocalExchange(
        1, instruments=instruments, pace=each, interval=1.0 / each, history=0
    ) as exchange:
        print(exchange.url_v5, flush=True)
        sys.stdin.read()


@contextmanager
def server(count: int, rate: float) -> Iterator[str]:
    """The base URL of an exchange in another process."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--serve"]
    options = ["--instruments", str(count), "--rate", str(rate)]
    child = subprocess.Popen(
        [*command, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.stdin.close()
        child.wait(30)


def measure(endpoint: str, count: int, seconds: float) -> dict[str, Any]:
    """Follow *count* instruments for *seconds*, with OKX's own limits of a venue."""
    venue = dataclasses.replace(find_venue("okx"), endpoints=(endpoint,))
    before = _memory(), threading.active_count()
    began = time.monotonic()
    with Feed(venue) as feed:
        subscriptions = feed.subscribe(names(count), "spot", CHANNELS)
        subscribed = time.monotonic() - began
        feed.wait_live(120)
        live = time.monotonic() - began
        time.sleep(1.0)
        start, cpu, messages = time.monotonic(), time.process_time(), _messages(feed)
        time.sleep(seconds)
        passed, spent = time.monotonic() - start, time.process_time() - cpu
        came = _messages(feed) - messages
        reports, stats = feed.connections(), feed.stats()
        lags = sorted(s.health().lag or 0.0 for s in subscriptions)
        return {
            "instruments": count,
            "channels": sum(report.channels for report in reports),
            "connections": len(reports),
            "requests": sum(479 - report.requests_left for report in reports),
            "threads": threading.active_count() - before[1],
            "seconds to subscribe": subscribed,
            "seconds until all are live": live,
            "messages a second": came / passed,
            "CPU, of one core": spent / passed,
            "CPU us a message": 1e6 * spent / max(1, came),
            "MiB before": before[0],
            "MiB after": _memory(),
            "lag, median, ms": 1000 * lags[len(lags) // 2],
            "lag, worst, ms": 1000 * lags[-1],
            "dropped": sum(stats.dropped.values()),
            "reconnects": sum(stats.reconnects.values()),
        }


def _messages(feed: Feed) -> int:
    return feed.stats().messages


def _memory() -> float:
    # Kilobytes on Linux.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
