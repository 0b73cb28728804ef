"""The server says what it is told to say, and tells afterwards what it has said."""

from __future__ import annotations

import json
import ssl
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.benchmarks.roster import PLAIN, TLS
from tests.benchmarks.rounds import Server
from tests.benchmarks.streams import NAMES, V3_DEPTH5, V5_BOOKS5, Stream, raised, stream

# Each is a process or two.
pytestmark = pytest.mark.slow

LIMIT = 10.0


@contextmanager
def client(where: Server, name: str, transport: str) -> Iterator[ClientConnection]:
    """One that has not asked for anything yet."""
    protocol = stream(name).protocol
    url = where.url(transport, protocol) + ("" if protocol == "v3" else "/public")
    trusted = where.environment["SSL_CERT_FILE"]
    tls = ssl.create_default_context(cafile=trusted) if transport == TLS else None
    with connect(url, ssl=tls, close_timeout=1, ping_interval=None) as socket:
        yield socket


def subscribe(socket: ClientConnection, name: str) -> Any:
    """Ask for the stream; the acknowledgement."""
    found = stream(name)
    arg: Any = {"channel": found.channel, "instId": found.instrument_id}
    if found.protocol == "v3":
        arg = f"{found.market}/{found.channel}:{found.instrument_id}"
    socket.send(json.dumps({"op": "subscribe", "id": "7", "args": [arg]}))
    return json.loads(said(socket, name))


def said(socket: ClientConnection, name: str, limit: float = LIMIT) -> str:
    """The next text."""
    message = socket.recv(limit)
    if stream(name).protocol == "v3":
        assert isinstance(message, bytes)
        return zlib.decompress(message, -zlib.MAX_WBITS).decode()
    assert isinstance(message, str)
    return message


def sent(where: Server, at_least: int = 1) -> dict[str, Any]:
    """What the server tells, once it has stopped."""
    before, give_up = -1, time.monotonic() + LIMIT
    while (found := where.play())["messages"] != before or before < at_least:
        assert time.monotonic() < give_up
        before = found["messages"]
        time.sleep(0.2)
    return found


def all_turns(found: Stream) -> Iterator[str]:
    """What is sent in a circle: the ids of v5's depths go on."""
    size = len(found.texts)
    for number, text in enumerate(cycle(found.texts)):
        by = number // size * size if found.name == V5_BOOKS5 else 0
        yield raised(text.encode(), by).decode()


@pytest.mark.parametrize("transport", [PLAIN, TLS])
@pytest.mark.parametrize("name", NAMES)
def test_at_full_speed_every_message_comes_in_its_order(
    where: Server, name: str, transport: str
) -> None:
    where.play(stream=name, seconds=0.05)
    found = stream(name)
    with client(where, name, transport) as socket:
        answer = subscribe(socket, name)
        assert answer["event"] == "subscribe"
        for text in found.opening:
            assert said(socket, name) == text
        expected, count = all_turns(found), 0
        for text in islice(expected, 2 * len(found.texts)):
            assert said(socket, name) == text
            count += 1
        # The rest: it stops by itself, and a pong is behind all that it sent.
        with suppress(TimeoutError):
            while True:
                assert said(socket, name, 0.5) == next(expected)
                count += 1
        socket.send("ping")
        assert said(socket, name) == "pong"
        assert where.play()["messages"] == count


@pytest.mark.parametrize("name", [V3_DEPTH5, V5_BOOKS5])
def test_a_paced_message_has_its_moment_and_its_number(
    where: Server, name: str
) -> None:
    where.play(stream=name, pace=400, count=60)
    began = time.monotonic_ns()
    stamps = []
    with client(where, name, PLAIN) as socket:
        subscribe(socket, name)
        for number in range(1, 61):
            (element,) = json.loads(said(socket, name))["data"]
            assert int(element["asks"][0][1]) == number
            stamps.append(int(element["bids"][0][1]))
    assert began < stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] < time.monotonic_ns()
    found = sent(where, 60)
    assert (found["messages"], found["stamps"]) == (60, stamps)


def test_a_client_that_takes_nothing_does_not_hold_the_schedule_up(
    where: Server,
) -> None:
    name = V5_BOOKS5
    where.play(stream=name, pace=100_000, count=40_000)
    with client(where, name, PLAIN) as socket:
        subscribe(socket, name)
        # More than all buffers take; it stamps them all the same.
        assert sent(where, 40_000)["messages"] == 40_000
        for number in range(1, 40_001):
            (element,) = json.loads(said(socket, name))["data"]
            assert int(element["asks"][0][1]) == number


def test_it_answers_a_frame_of_ping_and_a_text_ping_while_it_pushes(
    where: Server,
) -> None:
    name = V3_DEPTH5
    where.play(stream=name, pace=200, count=400)
    with client(where, name, TLS) as socket:
        subscribe(socket, name)
        pong = socket.ping()
        socket.send("ping")
        assert "pong" in (said(socket, name) for _ in range(400))
        assert pong.wait(LIMIT)
