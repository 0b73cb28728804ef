"""Growth with the number of instruments: `python -m tests.benchmarks.scale`.

For 1, 100 and 1,000 instruments of one feed it measures CPU a message, memory, threads,
and seconds until all are live. The local exchange runs in a process of its own, and so
does each client: this module with ``--serve`` and ``--follow``. TLS is verified as by
default, by the system's trust store. The exchange sends as many messages a second in
all for any number of instruments, but no more than 50 of one.

Memory is the resident size. *An instrument's* memory is the difference to the feed with
one instrument, for each further one. The growth of memory is the slope of a straight
line through a sample a second of the last third of the time. A channel of trades keeps
the newest thousand: until these have come, some seven minutes at the default rate,
memory has to grow. ``--channels depth5`` leaves trades out.
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from okex_ws import Feed
from okex_ws.local_exchange import Instrument, LocalExchange
from okex_ws.model.venues import find_venue

CHANNELS = ("depth5", "trade")
COUNTS = (1, 100, 1000)
RATE = 5000.0
# Of one instrument, each second.
MOST = 50.0
SAMPLE = 1.0
Found = dict[str, Any]


def main() -> int:
    """Measure, show, and keep; or be one of the two other processes."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.scale")
    parser.add_argument("--instruments", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--rate", type=float, default=RATE, help="messages a second")
    parser.add_argument("--channels", nargs="+", default=CHANNELS)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--minutes", type=float, help="instead of --seconds")
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--follow", metavar="ENDPOINT", help=argparse.SUPPRESS)
    args = parser.parse_args()
    seconds = 60.0 * args.minutes if args.minutes else args.seconds
    if args.serve:
        serve(args.instruments[0], args.rate)
    elif args.follow:
        count, channels = args.instruments[0], args.channels
        print(json.dumps(follow(args.follow, count, seconds, channels)))
    else:
        found = measure(args.instruments, args.rate, seconds, args.channels)
        show(found)
        if args.json is not None:
            args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def measure(
    counts: Sequence[int],
    rate: float,
    seconds: float,
    channels: Sequence[str] = CHANNELS,
) -> list[Found]:
    """One client after the other, each with a server of its own."""
    found = [_measure(count, rate, seconds, channels) for count in counts]
    least = found[0]
    for each in found[1:]:
        more = each["instruments"] - least["instruments"]
        each["KiB an instrument"] = 1024 * (each["MiB"] - least["MiB"]) / more
    return found


def _measure(count: int, rate: float, seconds: float, channels: Sequence[str]) -> Found:
    with server(count, min(rate, MOST * count)) as (endpoint, environment):
        command = [sys.executable, "-m", "tests.benchmarks.scale", "--follow", endpoint]
        options = ["--instruments", str(count), "--seconds", str(seconds)]
        options += ["--channels", *channels]
        done = subprocess.run(
            [*command, *options],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=seconds + 180.0,
        )
    result: Found = json.loads(done.stdout)
    return result


def names(count: int) -> list[str]:
    """Ids of *count* made-up instruments of spot."""
    return [f"T{number:04}-USDT" for number in range(count)]


# --- The exchange's process ---------------------------------------------------------


def serve(count: int, rate: float) -> None:
    """Run the exchange until stdin ends; each instrument is updated alike."""
    instruments = [Instrument("spot", name) for name in names(count)]
    each = rate / count
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(tls)
    with LocalExchange(
        1, instruments=instruments, pace=each, interval=1.0 / each, history=0, tls=tls
    ) as exchange:
        trusted = authority.cert_pem.bytes().decode()
        print(json.dumps([exchange.url_v5, trusted]), flush=True)
        sys.stdin.read()


@contextmanager
def server(count: int, rate: float) -> Iterator[tuple[str, dict[str, str]]]:
    """The base URL of an exchange in another process, and what makes it trusted."""
    command = [sys.executable, "-m", "tests.benchmarks.scale", "--serve"]
    options = ["--instruments", str(count), "--rate", str(rate)]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*command, *options], stdin=pipe, stdout=pipe, text=True
        ) as child,
    ):
        assert child.stdout is not None
        endpoint, trusted = json.loads(child.stdout.readline())
        authority = Path(folder) / "authority.pem"
        authority.write_text(trusted)
        yield endpoint, {**os.environ, "SSL_CERT_FILE": str(authority)}
        # Leaving closes its stdin, which ends it.


# --- The client's process -----------------------------------------------------------


def follow(endpoint: str, count: int, seconds: float, channels: Sequence[str]) -> Found:
    """Follow *count* instruments for *seconds*, with OKX's own limits of a venue."""
    venue = dataclasses.replace(find_venue("okx"), endpoints=(endpoint,))
    threads, began = threading.active_count(), time.monotonic()
    with Feed(venue) as feed:
        subscriptions = feed.subscribe(names(count), "spot", channels)
        subscribed = time.monotonic() - began
        feed.wait_live(120)
        live = time.monotonic() - began
        time.sleep(max(1.0, seconds / 10))
        gc.collect()
        start, cpu, messages = time.monotonic(), time.process_time(), _messages(feed)
        samples = _watch(seconds)
        passed, spent = time.monotonic() - start, time.process_time() - cpu
        came = _messages(feed) - messages
        reports, stats = feed.connections(), feed.stats()
        lags = sorted(s.health().lag or 0.0 for s in subscriptions)
        return {
            "instruments": count,
            "channels": sum(report.channels for report in reports),
            "connections": len(reports),
            "requests": sum(479 - report.requests_left for report in reports),
            "threads": threading.active_count() - threads,
            "seconds to subscribe": subscribed,
            "seconds until all are live": live,
            "messages a second": came / passed,
            "CPU, of one core": spent / passed,
            "CPU us a message": 1e6 * spent / max(1, came),
            "MiB": samples[-1][1],
            "MiB at first": samples[0][1],
            "MiB more a minute": 60 * slope(samples[2 * len(samples) // 3 :]),
            "KiB an instrument": float("nan"),
            "minutes": passed / 60,
            "lag, median, ms": 1000 * lags[len(lags) // 2],
            "lag, worst, ms": 1000 * lags[-1],
            "dropped": sum(stats.dropped.values()),
            "reconnects": sum(stats.reconnects.values()),
            "samples": samples,
        }


def _watch(seconds: float) -> list[tuple[float, float]]:
    """Seconds that have passed, and MiB that are resident then."""
    samples, began = [], time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        samples.append((passed, _memory()))
        time.sleep(min(SAMPLE, seconds - passed))
    return [*samples, (seconds, _memory())]


def slope(samples: list[tuple[float, float]]) -> float:
    """Of the straight line that fits best."""
    middle = sum(x for x, _ in samples) / len(samples)
    mean = sum(y for _, y in samples) / len(samples)
    above = sum((x - middle) * (y - mean) for x, y in samples)
    wide = sum((x - middle) ** 2 for x, _ in samples)
    return above / wide if wide else 0.0


def _messages(feed: Feed) -> int:
    return feed.stats().messages


def _memory() -> float:
    """MiB that are resident."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def show(found: list[Found], tell: Callable[[str], None] = print) -> None:
    """A column for each number of instruments."""
    for name in found[0]:
        if name != "samples":
            columns = (
                f"{each[name]:>14,.3f}"
                if isinstance(each[name], float)
                else f"{each[name]:>14,}"
                for each in found
            )
            tell(f"{name:28}" + "".join(columns))


if __name__ == "__main__":
    raise SystemExit(main())
