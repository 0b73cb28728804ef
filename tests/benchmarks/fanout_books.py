"""Whole books through Redis, beside cryptofeed: ``-m tests.benchmarks.fanout_books``.

An exchange of this machine sends ten whole books over TLS, each about 20 changes a
second. Ours is a feed that publishes, and a feed that reads all ten, with every proof.
`cryptofeed` writes each change into a stream of Redis (its `BookStream`), and a loop of
redis-py reads the ten streams and parses the changes: no book is kept, nothing says
when it is old.

Lateness is from the moment at which the producer's own callback has a change to that at
which the reader has it, on one clock. CPU is that of the whole process for each change.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import trustme

from okex_ws import Feed, Venue
from okex_ws.local_exchange import LocalExchange
from tests.benchmarks.fanout import BOOKS, Notes
from tests.support.redis_server import RedisServer

RATE = 20.0


def exchange(*_: str) -> None:
    """Say the port and the authority, and trade until standard input ends."""
    authority = trustme.CA()
    context = import_module("ssl").create_default_context(
        import_module("ssl").Purpose.CLIENT_AUTH
    )
    authority.issue_cert("localhost").configure_cert(context)
    with LocalExchange(
        instruments=BOOKS, pace=3 * RATE, interval=1 / RATE, tls=context
    ) as made:
        port = made.url_v5.rpartition(":")[2].partition("/")[0]
        trusted = authority.cert_pem.bytes().decode()
        print(json.dumps([port, trusted]), flush=True)
        sys.stdin.read()


def our_producer(port: str, redis: str, seconds: str, path: str) -> None:
    """A feed that publishes the books."""
    notes = Notes(float(seconds))
    with Feed(_venue(port), publish=redis, lease=6.0) as feed:
        feed.subscribe(
            BOOKS, channels=["depth"], on_message=lambda text: notes.note(text)
        )
        notes.measure(path)


def our_reader(port: str, redis: str, seconds: str, path: str) -> None:
    """A feed that reads the books."""
    notes = Notes(float(seconds))
    with Feed(_venue(port), via=redis) as feed:
        feed.subscribe(
            BOOKS, channels=["depth"], on_message=lambda text: notes.note(text)
        )
        notes.measure(path)


def _venue(port: str) -> Venue:
    return Venue(
        "bench",
        "v5",
        (f"wss://localhost:{port}/ws/v5",),
        connections_per_second=1000.0,
        requests_per_hour=1_000_000,
    )


def cryptofeed_producer(port: str, redis: str, seconds: str, path: str) -> None:
    """The OKX feed of cryptofeed, with its writer of streams."""
    okx = import_module("cryptofeed.exchanges.okx").OKX
    symbols = import_module("cryptofeed.symbols").Symbols
    endpoint = import_module("cryptofeed.connection").WebsocketEndpoint
    stream = import_module("cryptofeed.backends.redis").BookStream
    notes = Notes(float(seconds))
    names = {name: name for name in BOOKS}
    symbols.set(okx.id, names, {"instrument_type": {}})
    address = f"wss://localhost:{port}/ws/v5/public"
    endpoints = [endpoint(address, options={"compression": None})]
    made = type("Books", (okx,), {"websocket_endpoints": endpoints})
    _, _, where = redis.partition("://")
    host, _, rest = where.partition(":")
    writer = stream(host=host, port=int(rest.partition("/")[0]))

    async def count(book: Any, receipt: float) -> None:
        notes.note(f"{book.symbol} {receipt!r}")

    async def follow() -> None:
        callbacks = {"l2_book": [writer, count]}
        feed = made(symbols=BOOKS, channels=["l2_book"], callbacks=callbacks)
        feed.start(asyncio.get_running_loop())
        await asyncio.Event().wait()

    threading.Thread(target=asyncio.run, args=(follow(),), daemon=True).start()
    notes.measure(path)
    os._exit(0)


def cryptofeed_reader(port: str, redis: str, seconds: str, path: str) -> None:
    """A loop of redis-py over the streams."""
    package = import_module("redis")
    loads = import_module("orjson").loads
    notes = Notes(float(seconds))
    server = package.Redis.from_url(redis.partition("?")[0])

    def loop() -> None:
        # Not "$", which would be another place at each call.
        now = f"{time.time_ns() // 1_000_000}-0"
        ends: dict[Any, Any] = {f"book-OKX-{name}": now for name in BOOKS}
        while True:
            for key, entries in server.xread(ends, block=1000):
                for place, said in entries:
                    ends[key.decode()] = place
                    loads(said.get(b"delta") or said[b"book"])
                    symbol, at = said[b"symbol"].decode(), said[b"receipt_timestamp"]
                    notes.note(f"{symbol} {float(at)!r}")

    threading.Thread(target=loop, daemon=True).start()
    notes.measure(path)
    os._exit(0)


ROLES: dict[str, Callable[..., None]] = {
    "exchange": exchange,
    "ours-producer": our_producer,
    "ours-reader": our_reader,
    "cryptofeed-producer": cryptofeed_producer,
    "cryptofeed-reader": cryptofeed_reader,
}


def start(env: dict[str, str], *words: str) -> subprocess.Popen[str]:
    """One role as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.fanout_books", "--role", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )


def play(who: str, redis: RedisServer, seconds: float) -> dict[str, float]:
    """One round: *who* publishes, and one process reads."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        market = start(dict(os.environ), "exchange")
        stack.callback(lambda: (market.communicate(), None))
        assert market.stdout is not None
        port, trusted = json.loads(market.stdout.readline())
        authority = folder / "authority.pem"
        authority.write_text(trusted)
        env = {**os.environ, "SSL_CERT_FILE": str(authority)}
        parts = ("producer", "reader")
        made = [
            start(
                env, f"{who}-{part}", port, redis.url, str(seconds), str(folder / part)
            )
            for part in parts
        ]
        for process in made:
            process.communicate(timeout=seconds + 60)
        wrote, read = (json.loads((folder / part).read_text()) for part in parts)
    sent = dict(wrote["seen"])
    late = sorted(at - sent[key] for key, at in read["seen"] if key in sent)
    return {
        "sent": len(wrote["seen"]) / seconds,
        "got": len(read["seen"]) / seconds,
        "producer_us": 1e6 * wrote["cpu"] / max(1, len(wrote["seen"])),
        "reader_us": 1e6 * read["cpu"] / max(1, len(read["seen"])),
        "p50_ms": 1e3 * late[len(late) // 2] if late else float("nan"),
        "p99_ms": 1e3 * late[int(len(late) * 0.99)] if late else float("nan"),
    }


def main() -> None:
    """Measure by turns, and print a table of medians."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fanout_books")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    options = parser.parse_args()
    if options.role:
        ROLES[options.role[0]](*options.role[1:])
        return
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        try:
            for _ in range(options.rounds):
                for who in ("ours", "cryptofeed"):
                    row = play(who, redis, options.seconds)
                    found.setdefault(who, []).append(row)
        finally:
            redis.kill()
    names = list(found["ours"][0])
    print(f"{'':12}" + "".join(f"{name:>13}" for name in names))
    for who, rows in found.items():
        cells = (statistics.median(row[name] for row in rows) for name in names)
        print(f"{who:12}" + "".join(f"{cell:13.2f}" for cell in cells))


if __name__ == "__main__":
    main()
