"""The command: `python -m tests.campaign.reconnects --times 1000`.

One subscription over TLS loses its connection again and again, by turns in each way in
which a connection ends. The command counts what the process holds; it must not grow.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from okex_ws import Reconnect, WSSubscription
from okex_ws.local_exchange import LocalExchange
from tests.campaign.resources import Resources, count, leaks, use_one_arena

# A count of what is held, this often; the first ones are of a heap that still fills.
COUNTS = 10
WARM_UP = 2
PATIENCE = 10.0
# What may come and go in a heap that does not grow.
NOISE = 2 << 20


class Count(NamedTuple):
    """What is held after so many reconnects, and how long each of them took."""

    reconnects: int
    held: Resources
    seconds: float


def run(times: int, protocol: str = "v5") -> Iterator[Count]:
    """Reconnect *times*; tells what is held ten times on the way, while connected."""
    policy = Reconnect(first=0.001, cap=0.001, host_gap=0.0)
    with LocalExchange(tls=True, history=50, pace=50) as exchange:
        venue = exchange.venue if protocol == "v3" else exchange.venue_v5
        ways = _endings(exchange)
        with WSSubscription(
            "BTC-USDT",
            "spot",
            venue=venue,
            channels=("depth", "depth5", "trade"),
            ssl_context=exchange.ssl_context,
            reconnect=policy,
        ) as okex:
            okex.wait_live(PATIENCE)
            took: list[float] = []
            for number in range(1, times + 1):
                took.append(_again(okex, ways[number % len(ways)]))
                if number % max(1, times // COUNTS) == 0:
                    yield Count(number, count(), statistics.median(took))
                    took.clear()


def _endings(exchange: LocalExchange) -> list[Callable[[], object]]:
    return [
        exchange.drop,
        lambda: exchange.close_clients(1001, "service upgrade"),
        lambda: exchange.close_clients(4004, "no data"),
        lambda: exchange.send_raw(b"\xff", text=True) and exchange.drop(),
    ]


def _again(okex: WSSubscription, end: Callable[[], object]) -> float:
    """Lose the connection; seconds until the whole book is there again."""
    before, since = sum(okex.stats().reconnects.values()), time.monotonic()
    end()
    while sum(okex.stats().reconnects.values()) == before or okex.book is None:
        if time.monotonic() > since + PATIENCE:
            raise TimeoutError(f"not back: {okex.health()}")
        time.sleep(0.001)
    return time.monotonic() - since


def grown(counts: list[Count]) -> list[str]:
    """What is more at the end than after the warm-up, a sentence each."""
    first, last = counts[WARM_UP - 1].held, counts[-1].held
    found = leaks(first, last)
    if last.memory > first.memory + NOISE:
        found.append(f"memory: {first.memory:,} to {last.memory:,} bytes")
    return found


def main() -> int:
    """0 if nothing grew."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign.reconnects")
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--protocol", choices=("v3", "v5"), default="v5")
    args = parser.parse_args()
    use_one_arena()
    # Every loss is logged, and here every one is wanted.
    logging.getLogger("okex_ws").setLevel(logging.CRITICAL)
    counts = []
    print("reconnects  threads  descriptors  sockets  memory     median")
    for each in run(args.times, args.protocol):
        counts.append(each)
        threads, descriptors, sockets, memory, _ = each.held
        print(
            f"{each.reconnects:10,}  {len(threads):7}  {descriptors:11}  {sockets:7}"
            f"  {memory / 2**20:5.2f} MiB  {each.seconds * 1000:4.0f} ms"
        )
    found = grown(counts)
    for what in found:
        print(f"GROWN: {what}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
