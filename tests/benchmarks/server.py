"""The exchange of the benchmarks: one client at a time, in a process of its own.

It prints one line of JSON with its ports and its authority, reads a line of JSON for
each round (`Job`) and answers it, and ends when its stdin ends. It sends in two ways:

*As fast as the socket takes*: frames are made beforehand and joined to writes of 16 kB
or more, for as many seconds as the job says. So a client never waits for the server.

*Paced*: one message at a time, by an absolute schedule. Each message carries its number
and the moment of its sending, by the system's monotonic clock, and is deflated then. A
slow client does not slow the schedule: what the socket does not take waits in a queue
here, as in an exchange, so that all of the client's lateness counts.

*A market*: depths and trades of many instruments (`market_stream`). The moments are
those of independent events of one rate, the same for every client, by an absolute
schedule: what is late is sent in a burst. It begins and ends with the signals `BEGIN`
and `END`, which the client's process sends to this one: when it has taken in the first
push of each channel, and when it has measured enough.
"""

from __future__ import annotations

import json
import random
import re
import select
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import count, cycle
from typing import Any, NamedTuple

import trustme

from tests.benchmarks.market_reading import BEGIN, END
from tests.benchmarks.market_stream import DEPTH, Market
from tests.benchmarks.streams import (
    NUMBER,
    STAMP,
    V5_BOOKS5,
    joined,
    pack,
    raised,
    stamped,
    stream,
)
from tests.support.loopback_servers import accept_head, read_head

# Bytes of a write: as large as a record of TLS, and the library's read is larger.
WRITE = 16 * 1024
# A market's server looks for requests after so many messages, even if it is behind.
LOOK = 64
# Of a market's moments.
SEED = 15
_V3_CHANNEL = re.compile(r"\w+/\w+:[\w.-]+")
_PONG, _CLOSE, _PING = 0x8A, 0x88, 0x89


class Job(NamedTuple):
    """What the next client is given, from the moment at which it asked for it.

    *seconds* at full speed, or *count* messages at a *pace* a second; or a market of
    the instruments *names* at a *pace* a second, for as many *seconds* at most.
    """

    stream: str
    seconds: float = 0.0
    pace: float = 0.0
    count: int = 0
    names: Sequence[str] = ()


class Sent(NamedTuple):
    """What was sent: how many messages, and of a paced job when, in nanoseconds.

    *done* is false while messages of a market are due. *cpu* is what the server's whole
    process has used so far, in seconds.
    """

    messages: int
    stamps: list[int]
    done: bool
    cpu: float


class _Left(Exception):
    """The client is gone."""


class _Client:
    """One client, whose requests are answered between the pushes."""

    def __init__(self, sock: socket.socket, job: Job) -> None:
        self._sock = sock
        self._job = job
        self._stream = stream(job.stream)
        self._heard = b""
        # What the socket has not taken yet.
        self._out = bytearray()
        self.messages = 0
        self.stamps: list[int] = []
        self.done = False

    def serve(self) -> None:
        """From the handshake until the client leaves."""
        self._sock.sendall(accept_head(read_head(self._sock)))
        self._sock.setblocking(False)
        asked: str | None = None
        while asked is None:
            asked = self._attend(1.0)
        (self._pace if self._job.pace else self._pour)(asked)
        self.done = True
        while True:
            self._attend(1.0)

    # --- What is pushed -------------------------------------------------------------

    def _texts(self, asked: str) -> list[str]:
        return self._stream.wraps.get(asked, self._stream.texts)

    def _pour(self, asked: str) -> None:
        protocol = self._stream.protocol
        frames = [pack(text, protocol) for text in self._texts(asked)]
        writes = joined(frames, WRITE)
        for text in self._stream.opening:
            self._out += pack(text, protocol)
        until = time.monotonic() + self._job.seconds
        for turn in count():
            for write, messages in writes:
                if time.monotonic() >= until:
                    return
                self._out += self._in_turn(write, turn * len(frames))
                self.messages += messages
                self._flush()
                self._attend(0.0)
                while self._out:
                    self._attend(1.0)

    def _in_turn(self, frames: bytes, by: int) -> bytes:
        return raised(frames, by) if self._stream.name == V5_BOOKS5 else frames

    def _pace(self, asked: str) -> None:
        protocol, gap = self._stream.protocol, 1.0 / self._job.pace
        texts = dict(stamped(self._stream))[asked]
        size = len(texts)
        due = time.monotonic()
        for number, text in zip(range(1, self._job.count + 1), cycle(texts)):
            due += gap
            while (left := due - time.monotonic()) > 0:
                self._attend(left)
            at = time.monotonic_ns()
            said = text.replace(STAMP, str(at)).replace(NUMBER, str(number))
            by = (number - 1) // size * size
            self._out += self._in_turn(pack(said, protocol), by)
            self.stamps.append(at)
            self.messages = number
            self._flush()

    # --- What is said meanwhile -----------------------------------------------------

    def _flush(self) -> None:
        with suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self._out:
                del self._out[: self._sock.send(self._out)]

    def _attend(self, wait: float) -> str | None:
        """Write, and answer what was asked; the channel of a depth that was asked for.

        Returns when something happened, after *wait* seconds at the latest.
        """
        writers = [self._sock] if self._out else []
        # What TLS has decrypted already, no select sees.
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            wait = 0.0
        readable, writable, _ = select.select([self._sock], writers, [], wait)
        readable = readable or wait == 0.0
        if writable:
            self._flush()
        if not readable:
            return None
        with suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            received = self._sock.recv(65536)
            if not received:
                raise _Left
            self._heard += received
        asked = None
        while (frame := self._frame()) is not None:
            asked = self._answer(*frame) or asked
        self._flush()
        return asked

    def _frame(self) -> tuple[int, bytes] | None:
        """The next whole frame of the client's: all of them are short."""
        heard = self._heard
        if len(heard) < 6:
            return None
        size, start = heard[1] & 0x7F, 2
        if size == 126:
            size, start = int.from_bytes(heard[2:4], "big"), 4
        end = start + 4 + size
        if len(heard) < end:
            return None
        mask, masked = heard[start : start + 4], heard[start + 4 : end]
        self._heard = heard[end:]
        return heard[0], bytes(b ^ mask[n % 4] for n, b in enumerate(masked))

    def _answer(self, first: int, payload: bytes) -> str | None:
        if first == _CLOSE:
            raise _Left
        if first == _PING:
            self._out += bytes((_PONG, len(payload))) + payload
        elif first == 0x81 and payload == b"ping":
            self._out += pack("pong", self._stream.protocol)
        elif first == 0x81:
            return self._subscribe(payload.decode())
        return None

    def _subscribe(self, request: str) -> str | None:
        """Acknowledge each channel; which of them has the pushes, if one does."""
        request_id = json.loads(request).get("id")
        asked = None
        for arg in json.loads(request)["args"]:
            if isinstance(arg, str):
                assert _V3_CHANNEL.fullmatch(arg)
                said: dict[str, Any] = {"event": "subscribe", "channel": arg}
                name = arg.partition("/")[2].partition(":")[0]
            else:
                said = {"event": "subscribe", "arg": arg, "connId": "a4d3ae55"}
                said |= {} if request_id is None else {"id": request_id}
                name = arg["channel"]
            self._out += pack(json.dumps(said), self._stream.protocol)
            if name in (self._stream.channel, *self._stream.wraps):
                asked = name
        return asked


class _MarketClient(_Client):
    """One that is given a market, once it has subscribed all its channels.

    *running* is set by `BEGIN` and ended by `END`.
    """

    def __init__(self, sock: socket.socket, job: Job) -> None:
        super().__init__(sock, job)
        self._market = market_of(tuple(job.names))
        self._wanted = self._market.channels
        self.running = threading.Event()

    def _pace(self, asked: str) -> None:
        gap, pace = random.Random(SEED).expovariate, self._job.pace
        message, protocol = self._market.message, self._stream.protocol
        while not self.running.is_set():
            self._attend(0.05)
        due = time.monotonic()
        until = due + self._job.seconds
        for number in count():
            due += gap(pace)
            if due >= until or not self.running.is_set():
                return
            while (left := due - time.monotonic()) > 0:
                self._attend(left)
            if not number % LOOK:
                self._attend(0.0)
            self._out += pack(message(number, _milliseconds()), protocol)
            self.stamps.append(time.monotonic_ns())
            self.messages = number + 1
            self._flush()

    def _subscribe(self, request: str) -> str | None:
        """Answer each channel with its first push, too; whether these were the last."""
        super()._subscribe(request)
        # A feed also follows the list of instruments, of which nothing is told.
        asked = json.loads(request)["args"]
        for arg in (each for each in asked if "instId" in each):
            text = self._market.push(arg["channel"], arg["instId"], 0, _milliseconds())
            self._out += pack(text, self._stream.protocol)
            self._wanted -= 1
        return None if self._wanted else DEPTH


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


@lru_cache(1)
def market_of(names: tuple[str, ...]) -> Market:
    """The market of these instruments, which takes a while to make."""
    return Market(names)


class _Server:
    """The listeners, and the round that is being played."""

    def __init__(self) -> None:
        self._job: Job | None = None
        self._client: _Client | None = None

    def listen(self, tls: ssl.SSLContext | None) -> int:
        """A port on which clients are served, one after the other."""
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                sock, _ = listener.accept()
                self._start(self._serve, sock, tls)

        self._start(accept)
        port: int = listener.getsockname()[1]
        return port

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    def _serve(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        # The client's leaving is how every round ends.
        with sock, suppress(OSError, _Left):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            ready = sock if tls is None else tls.wrap_socket(sock, server_side=True)
            with ready:
                assert self._job is not None
                kind = _MarketClient if self._job.names else _Client
                self._client = kind(ready, self._job)
                self._client.serve()

    def heard(self, number: int, _: object) -> None:
        """A signal of the client's process."""
        if isinstance(self._client, _MarketClient):
            running = self._client.running
            (running.set if number == BEGIN else running.clear)()

    def play(self, command: dict[str, Any]) -> dict[str, Any]:
        """Take a job, whose stream is made at once, or say what came of the last."""
        if command:
            self._job, self._client = Job(**command), None
            stream(self._job.stream)
            if self._job.names:
                market_of(tuple(self._job.names))
            return {}
        client, cpu = self._client, time.process_time()
        if client is None:
            return Sent(0, [], False, cpu)._asdict()
        return Sent(client.messages, client.stamps, client.done, cpu)._asdict()


def main(say: Callable[[str], None]) -> None:
    """Serve until stdin ends."""
    authority, server = trustme.CA(), _Server()
    for number in (BEGIN, END):
        signal.signal(number, server.heard)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    facts = {
        "port": server.listen(None),
        "tls_port": server.listen(tls),
        "authority": authority.cert_pem.bytes().decode(),
    }
    say(json.dumps(facts))
    for line in sys.stdin:
        say(json.dumps(server.play(json.loads(line))))


if __name__ == "__main__":
    main(lambda line: print(line, flush=True))
