"""The limit: the same frames inflated, parsed and checked in a loop without a socket.

No program that verifies a message can cost less: raw deflate into a bounded buffer (a
frame so short that it cannot grow past the library's bound is inflated whole), the JSON
parser alone, and the library's own check of levels; for a book also the merge, the
sequence and the version. The messages are dropped, and no callback gets them.

The steps are measured one on top of the other: inflate; inflate and parse; inflate,
parse and check.
"""

from __future__ import annotations

import importlib
import json
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from okex_ws.channels.book_builder import BookBuilder
from okex_ws.net.frames import MAX_FRAME
from okex_ws.protocol.messages import NO_DEPTH
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.benchmarks.contestant import Spec, Steps, Threaded
from tests.benchmarks.report import from_to, median
from tests.benchmarks.roster import LIMIT, PLAIN, has_orjson
from tests.benchmarks.rounds import Server, Turn, alternate, spread, take
from tests.benchmarks.streams import V5_BOOKS, pack, stream

# Raw deflate cannot grow anything more.
GROWTH = 1032
INFLATE, PARSE, CHECK = "inflate", "parse", "check"
Take = Callable[[Iterable[bytes]], None]
Loads = Callable[[Any], Any]


class Limit(Threaded):
    """Not one who follows: its frames are in memory."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        found = stream(spec.options["stream"])

        def payloads(texts: Sequence[str]) -> list[bytes]:
            # As every library has them before it inflates or parses.
            frames = [pack(text, found.protocol) for text in texts]
            heads = {126: 4, 127: 10}
            return [frame[heads.get(frame[1], 2) :] for frame in frames]

        self.opening, self.payloads = payloads(found.opening), payloads(found.texts)

    def start(self) -> None:
        """There is nothing to connect to."""

    def close(self) -> None:
        """Nor to leave."""

    def taker(self, step: str) -> Take:
        """What takes payloads up to this *step*."""
        loads: Loads = json.loads
        if self.spec.parser == "orjson":
            loads = importlib.import_module("orjson").loads
        deflated = self.spec.protocol == "v3"
        if step == INFLATE:
            return _inflated if deflated else _untouched
        if step == PARSE:
            return _parsed(loads, deflated)
        if self.spec.options["stream"] == V5_BOOKS:
            return _books(loads)
        return _deflated(loads) if deflated else _plain(loads)


def inflate(payload: bytes) -> bytes:
    """Bounded by the library's bound."""
    if len(payload) < MAX_FRAME // GROWTH:
        return zlib.decompress(payload, -zlib.MAX_WBITS)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    text = inflater.decompress(payload, MAX_FRAME)
    assert inflater.eof
    return text


def _untouched(payloads: Iterable[bytes]) -> None:
    for _ in payloads:
        pass


def _inflated(payloads: Iterable[bytes]) -> None:
    for payload in payloads:
        inflate(payload)


def _parsed(loads: Loads, deflated: bool) -> Take:
    def take_deflated(payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            loads(inflate(payload))

    def take(payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            loads(payload)

    return take_deflated if deflated else take


def _deflated(loads: Loads) -> Take:
    check = V3.depth

    def take(payloads: Iterable[bytes]) -> None:
        before = NO_DEPTH
        for payload in payloads:
            for element in loads(inflate(payload))["data"]:
                before = check(element, before)

    return take


def _plain(loads: Loads) -> Take:
    check = V5.depth

    def take(payloads: Iterable[bytes]) -> None:
        before = NO_DEPTH
        for payload in payloads:
            for element in loads(payload)["data"]:
                # The library's reader takes numbers as the wire's characters.
                element["seqId"] = str(element["seqId"])
                before = check(element, before)

    return take


def _books(loads: Loads) -> Take:
    read, builder = V5.book, BookBuilder()

    def take(payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            message = loads(payload)
            for element in message["data"]:
                for name in ("seqId", "prevSeqId", "checksum"):
                    element[name] = str(element[name])
                builder.take(read(element, message["action"]))

    return take


def limit(contestant: Limit, seconds: float, step: str = CHECK) -> Steps:
    """CPU microseconds a message, and how many that is a second."""
    yield 0.0
    work, payloads = contestant.taker(step), contestant.payloads
    work(contestant.opening)
    work(payloads)
    turns, began = 0, time.process_time()
    while time.process_time() < began + seconds:
        work(payloads)
        turns += 1
    used, messages = time.process_time() - began, turns * len(payloads)
    return {"cpu": used / messages * 1e6, "rate": messages / used, "messages": messages}


# --- The command ----------------------------------------------------------------------


def measure(
    where: Server,
    streams: Sequence[str],
    rounds: int,
    seconds: float,
    tell: Callable[[dict[str, Any]], None],
) -> list[dict[str, Any]]:
    """A group of rows for each stream: every step with every parser."""
    groups = []
    for name in streams:
        steps = [
            (step, Turn(LIMIT, parser, PLAIN, stream(name)))
            for parser in ("json", "orjson")
            if parser == "json" or has_orjson()
            for step in (INFLATE, PARSE, CHECK)
        ]
        found: dict[str, Any] = {}
        for step, turn in steps:

            def play(turn: Turn, step: str = step) -> dict[str, Any]:
                spec = turn.spec(where, "limit", seconds=seconds, step=step)
                return take(spec, where, seconds)

            results, failures = alternate([turn], rounds, play)
            if failures:
                raise RuntimeError(str(failures))
            found[f"{turn.parser}, {step}"] = [
                r["cpu"] for r in results[turn.name] if r
            ]
        rows = [{"name": name, "cpu": spread(cpu)} for name, cpu in found.items()]
        groups.append({"stream": name, "rows": rows, "rounds": found})
        tell(groups[-1])
    return groups


def show(group: dict[str, Any]) -> None:
    """Each step with those before it."""
    print(f"\nthe limit, {group['stream']}: CPU us a message, each with the one before")
    for row in group["rows"]:
        cpu = row["cpu"]
        print(f"{row['name']:30}{median(cpu, 2):>8}{from_to(cpu, 2):>16}")
