"""A v3 server that pushes as fast as the socket takes it, in a process of its own.

It prints one line of JSON, what `measure.Server` holds, and ends with its stdin.
With ``?pace=1000`` in the URL it sends so many messages a second, one by one.
"""

from __future__ import annotations

import base64
import json
import random
import re
import select
import socket
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import trustme
from tests.peers import accept_head, frame, read_head
from websockets.frames import Opcode

from okex_ws import wire as data
from okex_ws.book import OrderBook
from okex_ws.local_exchange import deflate
from okex_ws.local_exchange.v3 import OWN_FORM, Push
from okex_ws.protocols.v3 import PROTOCOL

MARKET, INSTRUMENT = "spot", "BTC-USDT"
MESSAGES = 2000
# In writes of 12 kB.
BATCH = 64
CAPTURE = (
    Path(__file__).parents[3]
    / "shared/captures/cryptofeed/v3_OKEX.ws.56_20210417.deflate.b64"
)
_CHANNEL = re.compile(rb"\w+/\w+:[A-Z0-9-]+")


def synthetic(seed: int = 1) -> Iterator[Push]:
    """Pushes of ``depth5`` of which, as in life, each is much like the one before."""
    rng, middle, sizes = random.Random(seed), 600_000, _Sizes(seed)
    for n in range(MESSAGES):
        if rng.random() < 0.2:
            middle += rng.choice((-1, 1))
        for _ in range(2):
            sizes.pop(middle + rng.randint(-5, 5), None)
        stamp = f"2021-04-17T00:{n // 600:02}:{n // 10 % 60:02}.{n % 10 * 100:03}Z"
        asks = [sizes.level(middle + 1 + step) for step in range(5)]
        bids = [sizes.level(middle - 1 - step) for step in range(5)]
        yield OWN_FORM.depth5(MARKET, INSTRUMENT, asks, bids, stamp)


class _Sizes(dict[int, tuple[str, str]]):
    """What rests at each price, in ticks: size and number of orders."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._rng = random.Random(seed)

    def __missing__(self, ticks: int) -> tuple[str, str]:
        size = f"{self._rng.randint(1, 40_000) / 10_000:.4f}".rstrip("0").rstrip(".")
        self[ticks] = found = size, str(self._rng.randint(1, 9))
        return found

    def level(self, ticks: int) -> tuple[str, str, str]:
        """One level of a push."""
        return (f"{ticks // 10}.{ticks % 10}", *self[ticks])


def recorded() -> Iterator[Push]:
    """``depth5`` of the busiest instrument of a recording, cut from its whole book."""
    messages = [
        message
        for line in CAPTURE.read_text().split()
        for message in PROTOCOL.decode(base64.b64decode(line), True)
        if isinstance(message, data.Push) and message.action is not None
    ]
    busiest = Counter(message.channel for message in messages).most_common(1)[0][0]
    market, book = busiest.partition("/")[0], OrderBook()
    for message in messages:
        if message.channel == busiest:
            (element,) = message.elements
            assert message.action is not None
            book = book.apply(message.action, element["bids"], element["asks"])
            top = book.top(5)
            yield OWN_FORM.depth5(
                market,
                element["instrument_id"],
                top.asks,
                top.bids,
                element["timestamp"],
            )


class _Client:
    """One client, whose requests are answered between the pushes."""

    def __init__(self, sock: socket.socket, frames: list[bytes]) -> None:
        self._sock = sock
        self._frames = frames

    def serve(self) -> None:
        head = read_head(self._sock)
        self._sock.sendall(accept_head(head))
        pace = re.search(rb"pace=(\d+)", head)
        while not self._answer(1.0):
            pass
        if pace is None:
            self._push()
        else:
            self._push_slowly(1.0 / int(pace[1]))

    def _push(self) -> None:
        starts = range(0, len(self._frames), BATCH)
        for batch in cycle([b"".join(self._frames[n : n + BATCH]) for n in starts]):
            self._sock.sendall(batch)
            self._answer(0.0)

    def _push_slowly(self, gap: float) -> None:
        due = time.monotonic()
        for each in cycle(self._frames):
            due += gap
            time.sleep(max(0.0, due - time.monotonic()))
            self._sock.sendall(each)
            self._answer(0.0)

    def _answer(self, wait: float) -> bool:
        """Answer what was asked, if anything was; whether a depth was asked for."""
        if not select.select([self._sock], [], [], wait)[0]:
            return False
        received = self._sock.recv(65536)
        if not received:
            raise ConnectionError("the client left")
        text = b"".join(_unmasked(received))
        channels = _CHANNEL.findall(text)
        for channel in channels:
            event = {"event": "subscribe", "channel": channel.decode()}
            self._sock.sendall(frame(Opcode.BINARY, deflate(json.dumps(event))))
        if b"ping" in text:
            self._sock.sendall(frame(Opcode.BINARY, deflate("pong")))
        return any(b"depth5" in channel for channel in channels)


def _unmasked(received: bytes) -> list[bytes]:
    """The payloads of a client's frames, all short, and all of one read."""
    payloads = []
    while received:
        size, start = received[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(received[2:4], "big"), 4
        mask, start = received[start : start + 4], start + 4
        masked, received = received[start : start + size], received[start + size :]
        payloads.append(bytes(b ^ mask[n % 4] for n, b in enumerate(masked)))
    return payloads


def _listen(frames: list[bytes], tls: ssl.SSLContext | None) -> int:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(sock: socket.socket) -> None:
        # The client's leaving is how every round ends.
        with sock, suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls is None:
                _Client(sock, frames).serve()
                return
            with tls.wrap_socket(sock, server_side=True) as wrapped:
                _Client(wrapped, frames).serve()

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    port: int = listener.getsockname()[1]
    return port


def main() -> None:
    """Serve until stdin ends."""
    pushes = list(recorded() if CAPTURE.exists() else synthetic())
    frames = [frame(Opcode.BINARY, deflate(push.text)) for push in pushes]
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    facts = {
        "port": _listen(frames, None),
        "tls_port": _listen(frames, tls),
        "authority": authority.cert_pem.bytes().decode(),
        "channel": pushes[0].channel,
        "source": "recorded" if CAPTURE.exists() else "synthetic",
    }
    print(json.dumps(facts), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
