"""The fan-out beside a pair by hand: `python -m tests.benchmarks.fanout`.

An exchange of this machine sends `depth5` of 100 instruments, each about 20 times a
second (``--rates``: other rates, each a row), and ten whole books. One process
publishes all of it through Redis, and others read ten instruments each. Ours are two
feeds. By hand, a loop of websocket-client publishes each text with redis-py, and a loop
of redis-py with hiredis reads and parses it (with orjson, where that is installed): no
evidence, no proof, no state.

What is added is the lateness of a text at a reader after the producer's own callback,
on one clock. CPU is that of the whole process for each message. Rounds alternate.
``--memory 600`` prints what Redis uses, ten times in so many seconds of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import product
from pathlib import Path
from typing import Any

from okex_ws import Feed, Venue
from okex_ws.local_exchange import LocalExchange
from tests.support.redis_server import RedisServer

IDS = [f"{a}{b}Z-USDT" for a in "ABCDEFGHIJ" for b in "ABCDEFGHIJ"]
BOOKS = IDS[:10]
EACH = 10
WARM_UP = 4.0

Note = Callable[[str | bytes], None]


class Notes:
    """When each text came, by its checksum; and the CPU of this process meanwhile."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.seen: list[tuple[int, float]] = []
        self.note: Note = self._ignore
        self.cpu = 0.0

    def _ignore(self, text: str | bytes) -> None:
        pass

    def _keep(self, text: str | bytes) -> None:
        data = text.encode() if isinstance(text, str) else text
        self.seen.append((zlib.crc32(data), time.monotonic()))

    def measure(self, path: str) -> None:
        """Wait until all is warm, note for a while, and write what was noted."""
        time.sleep(WARM_UP)
        before = time.process_time()
        self.note = self._keep
        time.sleep(self._seconds)
        self.note = self._ignore
        self.cpu = time.process_time() - before
        Path(path).write_text(json.dumps({"cpu": self.cpu, "seen": self.seen}))


def venue(port: str) -> Venue:
    """The exchange at *port* of this machine."""
    return Venue(
        "bench",
        "v5",
        (f"ws://127.0.0.1:{port}/ws/v5",),
        connections_per_second=1000.0,
        requests_per_hour=1_000_000,
    )


# --- The roles, each a process of its own ---------------------------------------------


def exchange(rate: str, *_: str) -> None:
    """Say the port, and trade until standard input ends: *rate* depths a second."""
    per_second = float(rate)
    with LocalExchange(
        instruments=IDS, pace=3.0 * per_second, interval=1.0 / per_second
    ) as made:
        print(made.url_v5.rpartition(":")[2].partition("/")[0], flush=True)
        sys.stdin.read()


def our_producer(port: str, redis: str, seconds: str, path: str) -> None:
    """A feed that publishes."""
    notes = Notes(float(seconds))
    with Feed(venue(port), publish=redis, lease=6.0) as feed:
        feed.subscribe(
            IDS, channels=["depth5"], on_message=lambda text: notes.note(text)
        )
        feed.subscribe(BOOKS, channels=["depth"])
        notes.measure(path)


def our_reader(port: str, redis: str, seconds: str, path: str, first: str) -> None:
    """A feed that reads."""
    notes, mine = Notes(float(seconds)), IDS[int(first) : int(first) + EACH]
    with Feed(venue(port), via=redis) as feed:
        feed.subscribe(
            mine, channels=["depth5"], on_message=lambda text: notes.note(text)
        )
        notes.measure(path)


def hand_producer(port: str, redis: str, seconds: str, path: str) -> None:
    """websocket-client, and `publish` of redis-py for each text."""
    import redis as package
    import websocket

    notes = Notes(float(seconds))
    server = package.Redis.from_url(redis.partition("?")[0])
    line = websocket.create_connection(f"ws://127.0.0.1:{port}/ws/v5/public")
    wanted = [{"channel": "books5", "instId": name} for name in IDS]
    wanted += [{"channel": "books", "instId": name} for name in BOOKS]
    line.send(json.dumps({"op": "subscribe", "args": wanted}))

    def loop() -> None:
        with suppress(Exception):
            while True:
                text = line.recv()
                start = text[:80]
                if '"books5"' in start:
                    notes.note(text)
                _, _, rest = start.partition('"instId":"')
                server.publish(f"hand:{rest.partition(chr(34))[0]}", text)

    threading.Thread(target=loop, daemon=True).start()
    notes.measure(path)
    os._exit(0)


def hand_reader(port: str, redis: str, seconds: str, path: str, first: str) -> None:
    """A loop of redis-py that parses what it gets."""
    import redis as package

    try:
        from orjson import loads
    except ImportError:
        from json import loads

    notes, mine = Notes(float(seconds)), IDS[int(first) : int(first) + EACH]
    server = package.Redis.from_url(redis.partition("?")[0])
    newest: dict[str, Any] = {}

    def loop() -> None:
        messages = server.pubsub()
        messages.subscribe(*(f"hand:{name}" for name in mine))
        for said in messages.listen():
            if said["type"] == "message":
                text = said["data"]
                message = loads(text)
                if "data" in message and message["arg"]["channel"] == "books5":
                    newest[message["arg"]["instId"]] = message["data"][0]
                    notes.note(text)

    threading.Thread(target=loop, daemon=True).start()
    notes.measure(path)
    os._exit(0)


ROLES: dict[str, Callable[..., None]] = {
    "exchange": exchange,
    "ours-producer": our_producer,
    "ours-reader": our_reader,
    "hand-producer": hand_producer,
    "hand-reader": hand_reader,
}


# --- Rounds ---------------------------------------------------------------------------


def start(*words: str) -> subprocess.Popen[str]:
    """One role as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.fanout", "--role", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def play(
    who: str, redis: RedisServer, readers: int, seconds: float, rate: float
) -> dict[str, Any]:
    """One round: *who* publishes, and *readers* read."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        market = start("exchange", str(rate))
        stack.callback(lambda: (market.communicate(), None))
        assert market.stdout is not None
        port = market.stdout.readline().strip()
        common = port, redis.url, str(seconds)
        made = [start(f"{who}-producer", *common, str(folder / "producer"))]
        for number in range(readers):
            path, first = str(folder / f"reader{number}"), str(number * EACH % len(IDS))
            made.append(start(f"{who}-reader", *common, path, first))
        for process in made:
            process.communicate(timeout=WARM_UP + seconds + 60)
        producer = json.loads((folder / "producer").read_text())
        read = [json.loads((folder / f"reader{n}").read_text()) for n in range(readers)]
    sent = dict(producer["seen"])
    added = sorted(
        at - sent[key] for each in read for key, at in each["seen"] if key in sent
    )
    got = sum(len(each["seen"]) for each in read)
    return {
        "sent": len(producer["seen"]) / seconds,
        "got": got / seconds,
        "producer_us": 1e6 * producer["cpu"] / max(1, len(producer["seen"])),
        "reader_us": 1e6 * sum(each["cpu"] for each in read) / max(1, got),
        "p50_ms": 1e3 * added[len(added) // 2] if added else None,
        "p99_ms": 1e3 * added[int(len(added) * 0.99)] if added else None,
        "redis_mb": int(_info(redis, "used_memory")) / 2**20,
    }


def _info(redis: RedisServer, name: str) -> str:
    lines = redis.call("INFO", "memory").decode().splitlines()
    return next(line for line in lines if line.startswith(f"{name}:")).partition(":")[2]


def watch_memory(redis: RedisServer, seconds: float, rate: float) -> None:
    """Print the memory of Redis ten times while one of ours publishes to one reader."""
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(seconds / 10):
            used, peak = (_info(redis, f"used_memory{end}") for end in ("", "_peak"))
            print(f"{int(used) / 2**20:8.3f} MB, at most {int(peak) / 2**20:.3f}")

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        play("ours", redis, 1, seconds, rate)
    finally:
        ended.set()
        sampler.join()


def main() -> None:
    """Measure, and print a table of medians."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fanout")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--readers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rates", type=float, nargs="+", default=[20.0])
    parser.add_argument("--memory", type=float, metavar="SECONDS")
    parser.add_argument("--json", type=Path, metavar="OUT")
    options = parser.parse_args()
    if options.role:
        ROLES[options.role[0]](*options.role[1:])
        return
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        try:
            if options.memory is not None:
                watch_memory(redis, options.memory, options.rates[0])
                return
            for rate, readers in product(options.rates, options.readers):
                for _ in range(options.rounds):
                    for who in ("ours", "hand"):
                        row = play(who, redis, readers, options.seconds, rate)
                        name = f"{who}, {readers} readers, {100 * rate:g}/s"
                        found.setdefault(name, []).append(row)
        finally:
            redis.kill()
    show(found)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


def show(found: dict[str, list[dict[str, Any]]]) -> None:
    """A row for each, of medians over the rounds."""
    names = list(next(iter(found.values()))[0])
    print(f"{'':26}" + "".join(f"{name:>13}" for name in names))
    for who, rows in found.items():
        cells = (
            statistics.median(row[name] for row in rows if row[name] is not None)
            for name in names
        )
        print(f"{who:26}" + "".join(f"{cell:13.2f}" for cell in cells))


if __name__ == "__main__":
    main()
