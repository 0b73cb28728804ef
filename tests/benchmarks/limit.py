"""The limit: the same frames inflated, parsed and checked in a loop without a socket.

Nothing that verifies a message can cost less, whatever it reads from: raw deflate into a
bounded buffer (a frame that is so short that it cannot grow past the library's bound is
inflated whole), the parser as it comes, and the library's own check of levels; of a book
the merge, the sequence and the version too. Messages are dropped, and nothing is told.
"""

from __future__ import annotations

import importlib
import json
import time
import zlib
from collections.abc import Callable, Iterable
from typing import Any

from tests.benchmarks.contestant import Spec, Steps, Threaded
from tests.benchmarks.streams import NAMES, V5_BOOKS, pack, stream

from okex_ws.book import BookBuilder
from okex_ws.protocols.v3 import MAX_INFLATED
from okex_ws.protocols.v3 import PROTOCOL as V3
from okex_ws.protocols.v5 import PROTOCOL as V5
from okex_ws.wire import NO_DEPTH

# Raw deflate cannot grow anything more.
_GROWTH = 1032


class Limit(Threaded):
    """Not one who follows: its frames are in memory."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        (self._name,) = (n for n in NAMES if n == spec.options["stream"])
        found = stream(self._name)
        texts = found.opening + found.texts
        # Payloads, as every library has them before it inflates or parses.
        self.opening, self.payloads = [], []
        for number, text in enumerate(texts):
            payload = pack(text, found.protocol)
            payload = payload[2 if payload[1] < 126 else 4 :]
            (self.opening if number < len(found.opening) else self.payloads).append(
                payload
            )
        self.take = self._taker()

    def start(self) -> None:
        """There is nothing to connect to."""

    def close(self) -> None:
        """Nor to leave."""

    def _taker(self) -> Callable[[Iterable[bytes]], None]:
        loads: Callable[[Any], Any] = json.loads
        if self.spec.parser == "orjson":
            loads = importlib.import_module("orjson").loads
        if self._name == V5_BOOKS:
            return _books(loads)
        return _deflated(loads) if self._name[:2] == "v3" else _plain(loads)


def _deflated(loads: Callable[[Any], Any]) -> Callable[[Iterable[bytes]], None]:
    check = V3.depth

    def take(payloads: Iterable[bytes]) -> None:
        before = NO_DEPTH
        for payload in payloads:
            if len(payload) < MAX_INFLATED // _GROWTH:
                text = zlib.decompress(payload, -zlib.MAX_WBITS)
            else:
                inflater = zlib.decompressobj(-zlib.MAX_WBITS)
                text = inflater.decompress(payload, MAX_INFLATED)
                assert inflater.eof
            for element in loads(text)["data"]:
                before = check(element, before)

    return take


def _plain(loads: Callable[[Any], Any]) -> Callable[[Iterable[bytes]], None]:
    check = V5.depth

    def take(payloads: Iterable[bytes]) -> None:
        before = NO_DEPTH
        for payload in payloads:
            message = loads(payload)
            for element in message["data"]:
                # The library's reader takes numbers as the wire's characters.
                element["seqId"] = str(element["seqId"])
                before = check(element, before)

    return take


def _books(loads: Callable[[Any], Any]) -> Callable[[Iterable[bytes]], None]:
    read, builder = V5.book, BookBuilder()

    def take(payloads: Iterable[bytes]) -> None:
        for payload in payloads:
            message = loads(payload)
            for element in message["data"]:
                for name in ("seqId", "prevSeqId", "checksum"):
                    element[name] = str(element[name])
                builder.take(read(element, message["action"]))

    return take


def limit(contestant: Limit, seconds: float) -> Steps:
    """CPU microseconds a message, and how many that is a second."""
    yield 0.0
    take, payloads = contestant.take, contestant.payloads
    take(contestant.opening)
    take(payloads)
    turns, began = 0, time.process_time()
    while time.process_time() < began + seconds:
        take(payloads)
        turns += 1
    used, messages = time.process_time() - began, turns * len(payloads)
    return {"cpu": used / messages * 1e6, "rate": messages / used, "messages": messages}
