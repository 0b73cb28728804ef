"""Frames over a stream. The `websockets` package makes them and judges ours.

Each trap of websocket-client has a test that is named after it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import websocket
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Close, Opcode
from websockets.frames import Frame as WireFrame
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from okex_ws.base.clock import SystemClock
from okex_ws.base.errors import ConnectionLost, HandshakeFailed, Stalled, WireError
from okex_ws.net.frames import HEAD, LEAST_MAX_FRAME, MAX_FRAME, Cut, Frame
from okex_ws.net.stream import TcpNetwork
from okex_ws.net.transport import (
    MAX_HANDSHAKE,
    MAX_SLOW_FRAMES,
    Transport,
)
from tests.support.faulty_proxy import Proxy
from tests.support.loopback_servers import (
    LIMIT,
    Server,
    accept_head,
    client_tls,
    frame,
    open_websocket,
    read_head,
    server_tls,
    text,
    wait_for_end,
)
from tests.support.scripted_network import ENDPOINT, ScriptedNetwork, ScriptedStream

URL = "ws://user:secret@venue.test/ws/v3?key=secret"


def never() -> bool:
    return False


def scripted(
    *chunks: bytes, max_frame: int = MAX_FRAME
) -> tuple[Transport, ScriptedStream]:
    """A transport after its handshake, and what it is going to read."""
    stream = ScriptedStream(chunks)
    network = ScriptedNetwork(stream)
    return Transport.open(network, URL, 0.0, never, max_frame), stream


def answered(answer: bytes) -> HandshakeFailed:
    """The error of a handshake that was answered like this."""
    stream = ScriptedStream([], answer)
    with pytest.raises(HandshakeFailed) as caught:
        Transport.open(ScriptedNetwork(stream), URL, 0.0, never)
    assert stream.closed
    assert "secret" not in str(caught.value)
    return caught.value


def read_all(transport: Transport) -> tuple[list[Frame], ConnectionLost]:
    """Every message, and the end."""
    frames: list[Frame] = []
    while True:
        try:
            frames += transport.read()
        except ConnectionLost as end:
            return frames, end


def refused(*chunks: bytes) -> tuple[ConnectionLost, list[WireFrame]]:
    """The error that these bytes end with, and what the peer was told."""
    transport, stream = scripted(*chunks)
    _, end = read_all(transport)
    assert isinstance(end.__cause__, WireError)
    assert end.__cause__.kind == "frame"
    return end, heard_by_server(bytes(stream.sent))


def heard_by_server(sent: bytes) -> list[WireFrame]:
    """What an independent server makes of the library's frames."""
    server = ServerProtocol(state=State.OPEN, max_size=None)
    server.receive_data(sent)
    assert server.parser_exc is None
    return [event for event in server.events_received() if isinstance(event, WireFrame)]


def told_code(frames: list[WireFrame]) -> int:
    """The code of the one close frame."""
    (close,) = frames
    assert close.opcode is Opcode.CLOSE
    return Close.parse(close.data).code


# --- Reading ------------------------------------------------------------------------


def test_every_message_that_is_here_is_delivered_at_once() -> None:
    transport, _ = scripted(text("a") + frame(Opcode.BINARY, b"b") + text("c" * 70000))

    assert transport.read() == [
        (b"a", False),
        (b"b", True),
        (b"c" * 70000, False),
    ]


def test_frames_on_the_heels_of_the_handshake_are_delivered() -> None:
    stream = ScriptedStream([b""])
    send = stream.send

    def send_and_follow(data: bytes) -> int:
        size = send(data)
        stream.received += text("early")
        return size

    stream.send = send_and_follow  # type: ignore[method-assign]
    transport = Transport.open(ScriptedNetwork(stream), URL, 0.0, never)

    assert transport.read() == [(b"early", False)]
    assert transport.bytes_received == len(text("early"))


def test_bytes_and_the_time_of_the_last_are_known() -> None:
    transport, stream = scripted(text("abc"), text("de")[:3])
    transport.read()
    transport.read()

    assert transport.bytes_received == 5 + 3
    assert transport.heard == stream.heard == 2.0


def test_a_text_frame_that_is_no_utf_8_is_not_this_layers_business() -> None:
    transport, _ = scripted(text(b"\xff\xfe"))

    assert transport.read() == [(b"\xff\xfe", False)]


def test_messages_before_an_end_come_first() -> None:
    transport, stream = scripted(text("last") + frame(Opcode.CLOSE, b"\x03\xe8bye"))

    assert transport.read() == [(b"last", False)]
    assert stream.ready  # or the thread would wait for a peer that has left
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="bye"):
            transport.read()


def test_fragments_become_one_message_with_pings_between() -> None:
    transport, stream = scripted(
        frame(Opcode.BINARY, b"a", fin=False)
        + frame(Opcode.PING, b"there?")
        + frame(Opcode.CONT, b"", fin=False)
        + frame(Opcode.PONG)
        + frame(Opcode.CONT, b"b")
        + text("next")
    )

    assert transport.read() == [(b"ab", True), (b"next", False)]
    (pong,) = heard_by_server(bytes(stream.sent))
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"there?")


def test_a_text_in_fragments_is_a_text() -> None:
    transport, _ = scripted(text("a", fin=False), frame(Opcode.CONT, b"b"))

    assert transport.read() == []
    assert transport.read() == [(b"ab", False)]


MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG]),
        st.lists(st.binary(max_size=40), min_size=1, max_size=4),
        st.sampled_from([0, 0, 0, 90, 200, 66000]),
    ),
    max_size=8,
)


def wire(messages: list[tuple[Opcode, list[bytes], int]]) -> bytes:
    """The messages as a server sends them, with lengths of every form."""
    data = b""
    for opcode, parts, padding in messages:
        if opcode in (Opcode.PING, Opcode.PONG):
            data += frame(opcode, parts[0])
            continue
        padded = [parts[0] + bytes(padding), *parts[1:]]
        for number, part in enumerate(padded):
            last = number == len(padded) - 1
            data += frame(Opcode.CONT if number else opcode, part, fin=last)
    return data


def judged(data: bytes) -> list[Frame]:
    """The messages in *data*, says the `websockets` package."""
    client = ClientProtocol(parse_uri("ws://venue.test/"), state=State.OPEN)
    client.receive_data(data)
    assert client.parser_exc is None
    frames: list[Frame] = []
    parts: list[bytes] = []
    binary = False
    for event in client.events_received():
        assert isinstance(event, WireFrame)
        if event.opcode in (Opcode.PING, Opcode.PONG):
            continue
        if event.opcode is not Opcode.CONT:
            binary = event.opcode is Opcode.BINARY
        parts.append(bytes(event.data))
        if event.fin:
            frames.append((b"".join(parts), binary))
            parts = []
    return frames


@settings(max_examples=200)
@given(MESSAGES, st.lists(st.integers(0, 70000), max_size=30))
def test_any_segmentation_gives_the_same_messages(
    messages: list[tuple[Opcode, list[bytes], int]], cuts: list[int]
) -> None:
    data = wire(messages)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    transport, stream = scripted(*chunks)
    frames, end = read_all(transport)

    assert frames == judged(data)
    assert end.reason == "the script is over"
    pings = [parts[0] for opcode, parts, _ in messages if opcode is Opcode.PING]
    assert [pong.data for pong in heard_by_server(bytes(stream.sent))] == pings


def test_one_byte_at_a_time_gives_the_same_messages() -> None:
    data = wire([(Opcode.TEXT, [b"a", b"b"], 200), (Opcode.BINARY, [b"c"], 66000)])
    transport, _ = scripted(*(data[at : at + 1] for at in range(len(data))))

    assert read_all(transport)[0] == judged(data)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=200), max_size=5))
def test_whatever_comes_it_ends_in_the_one_error(chunks: list[bytes]) -> None:
    transport, _ = scripted(*chunks)

    read_all(transport)


# --- What breaks framing ------------------------------------------------------------


@pytest.mark.parametrize("length", [2**63, 2**64 - 1])
def test_a_length_whose_first_bit_is_set_ends_the_connection(length: int) -> None:
    end, told = refused(b"\x82\x7f" + length.to_bytes(8, "big"))

    assert f"a frame of {length} bytes" in str(end)
    assert told_code(told) == 1009


@pytest.mark.parametrize("parts", [1, 3, 2000])
def test_a_message_of_the_largest_size_passes(parts: int) -> None:
    size = MAX_FRAME // parts
    sizes = [size] * (parts - 1) + [MAX_FRAME - size * (parts - 1)]
    pieces = fragmented(*map(bytes, sizes))

    transport, _ = scripted(*pieces)

    assert read_all(transport)[0] == [(bytes(MAX_FRAME), True)]


@pytest.mark.parametrize("many", [frame(Opcode.PING), frame(Opcode.CONT, fin=False)])
def test_a_flood_of_pings_or_fragments_is_bounded(many: bytes) -> None:
    end, told = refused(text("", fin=False), many * (MAX_SLOW_FRAMES + 1))

    assert "a flood of pings and fragments" in str(end)
    assert told[-1].opcode is Opcode.CLOSE
    assert {each.opcode for each in told[:-1]} <= {Opcode.PONG}


def test_pings_that_come_together_are_answered_in_one_write() -> None:
    pings = [frame(Opcode.PING, b"%d" % n) for n in range(MAX_SLOW_FRAMES)]
    transport, stream = scripted(b"".join(pings))
    writes: list[bytes] = []
    send = stream.send
    stream.send = lambda data: (writes.append(data), send(data))[1]  # type: ignore

    read_all(transport)

    # A header of two bytes, a mask of four, and what the ping said.
    assert list(map(len, writes)) == [sum(len(ping) + 4 for ping in pings)]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x83\x00", "the unknown opcode 3"),
        (b"\x8b\x00", "the unknown opcode 11"),
        (b"\xc1\x00", "rsv"),
        (b"\xa1\x00", "rsv"),
        (b"\x98\x00", "rsv"),
        (b"\x81\x80\0\0\0\0", "masked"),
        (b"\x89\x80\0\0\0\0", "masked"),
        (b"\x80\x00", "Illegal frame"),
        (b"\x00\x00", "Illegal frame"),
        (b"\x01\x01a\x81\x01b", "Illegal frame"),
        (b"\x01\x01a\x01\x01b", "Illegal frame"),
        (b"\x09\x00", "control frame"),
        (b"\x0a\x00", "control frame"),
        (b"\x08\x00", "control frame"),
        (b"\x89\x7e\x00\x7e" + bytes(126), "control frame"),
        (b"\x8a\x7e\x00\x7e" + bytes(126), "control frame"),
        (b"\x88\x7e\x00\x7e" + bytes(126), "control frame"),
        (b"\x88\x01\x03", "invalid close frame"),
        (b"\x88\x02\x03\xed", "invalid close frame"),
        (b"\x88\x02\x00\x00", "invalid close frame"),
        (b"\x88\x02\x13\x88", "invalid close frame"),
    ],
)
def test_what_the_standard_forbids_ends_the_connection(data: bytes, why: str) -> None:
    end, told = refused(text("before") + data)

    assert why in str(end)
    assert end.endpoint == ENDPOINT
    assert end.code is None
    assert told_code(told) == 1002


# --- A message that is too large ----------------------------------------------------

SMALL = LEAST_MAX_FRAME
# Nothing about it is like its neighbours, so that a byte too many or too few shows.
BODY = bytes(n % 251 for n in range(SMALL + 1))


def fragmented(*parts: bytes) -> list[bytes]:
    """The frames of one binary message."""
    last = len(parts) - 1
    return [
        frame(Opcode.CONT if n else Opcode.BINARY, part, fin=n == last)
        for n, part in enumerate(parts)
    ]


def cut_in(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 4097, 10**6])
def test_a_frame_that_is_too_large_is_skipped_and_its_head_is_given(size: int) -> None:
    large = text("before") + frame(Opcode.BINARY, BODY) + text("behind")
    transport, stream = scripted(*cut_in(large, size), max_frame=SMALL)

    frames, end = read_all(transport)

    assert frames == [(b"before", False), (BODY[:HEAD], True), (b"behind", False)]
    assert [type(payload) for payload, _ in frames] == [bytes, Cut, bytes]
    assert end.reason == "the script is over"
    assert transport.bytes_received == len(large)
    assert not stream.sent


@pytest.mark.parametrize("size", [7, 4097, 10**6])
@pytest.mark.parametrize(
    "cuts", [(1,), (10, 20, SMALL), (SMALL // 2,), (SMALL,), (0, SMALL, SMALL)]
)
def test_fragments_beyond_the_bound_are_discarded_up_to_the_last(
    cuts: tuple[int, ...], size: int
) -> None:
    places = (0, *cuts, len(BODY))
    parts = [BODY[a:b] for a, b in itertools.pairwise(places)]
    pieces = [piece + frame(Opcode.PING, b"?") for piece in fragmented(*parts)]
    data = b"".join(pieces) + text("behind")
    transport, stream = scripted(*cut_in(data, size), max_frame=SMALL)

    frames, _ = read_all(transport)

    assert frames == [(BODY[:HEAD], True), (b"behind", False)]
    assert type(frames[0][0]) is Cut
    pongs = heard_by_server(bytes(stream.sent))
    assert [each.opcode for each in pongs] == [Opcode.PONG] * len(parts)


def test_a_message_that_is_too_large_is_given_once_its_head_has_come() -> None:
    head = b"\x82\x7f" + (2**63 - 1).to_bytes(8, "big")
    transport, stream = scripted(head, BODY[: HEAD - 1], BODY[HEAD - 1 : HEAD])

    assert [transport.read() for _ in range(3)] == [[], [], [(BODY[:HEAD], True)]]
    assert not stream.received


def test_nothing_is_kept_of_a_frame_that_never_ends() -> None:
    head = b"\x82\x7f" + (2**63 - 1).to_bytes(8, "big")
    transport, stream = scripted(head, *[bytes(SMALL)] * 1000)
    kept = []

    for _ in range(1001):
        transport.read()
        kept.append(len(stream.received))

    assert max(kept[1:]) == 0
    assert transport.bytes_received == len(head) + 1000 * SMALL


def test_nothing_is_kept_of_fragments_that_never_end() -> None:
    first, middle = text(bytes(SMALL), fin=False), frame(Opcode.CONT, BODY, fin=False)
    transport, stream = scripted(first, *[middle] * 100, max_frame=SMALL)

    frames, _ = read_all(transport)

    assert frames == [(bytes(HEAD), False)]
    assert not stream.received


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xc2\x7f", "rsv"),
        (b"\x83\x7f", "the unknown opcode 3"),
        (b"\x80\x7f", "Illegal frame"),
        (b"\x01\x01a\x81\x7f", "Illegal frame"),
        (b"\x89\x7f", "control frame"),
        (b"\x88\x7f", "control frame"),
    ],
)
def test_a_large_frame_that_the_standard_forbids_ends_the_connection(
    data: bytes, why: str
) -> None:
    end, told = refused(data + (2**40).to_bytes(8, "big") + bytes(HEAD))

    assert why in str(end)
    assert told_code(told) == 1002


# --- Ends and goodbyes --------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1012, 1013, 3000, 4999])
def test_a_close_frame_is_told_with_its_code_and_reason(code: int) -> None:
    close = Close(code, "server \u2190 restarts\x1b[31m").serialize()
    transport, stream = scripted(frame(Opcode.CLOSE, close))
    _, end = read_all(transport)

    assert end.code == code
    assert end.reason == "server \u2190 restarts\ufffd[31m"
    assert told_code(heard_by_server(bytes(stream.sent))) == code


def test_a_close_frame_without_a_code_is_an_end_without_one() -> None:
    transport, stream = scripted(frame(Opcode.CLOSE))
    _, end = read_all(transport)

    assert (end.code, end.reason) == (None, "closed by the peer")
    assert told_code(heard_by_server(bytes(stream.sent))) == 1000


def test_a_close_reason_that_is_no_utf_8_is_shown_all_the_same() -> None:
    transport, _ = scripted(frame(Opcode.CLOSE, b"\x03\xe8\xff!"))

    assert read_all(transport)[1].reason == "\ufffd!"


def test_a_request_is_a_masked_text_frame() -> None:
    transport, stream = scripted()
    transport.send('{"op":"subscribe"}')

    assert stream.sent[1] & 0x80
    (sent,) = heard_by_server(bytes(stream.sent))
    assert (sent.opcode, sent.data) == (Opcode.TEXT, b'{"op":"subscribe"}')


def test_a_goodbye_is_said_once_and_waits_for_the_answer() -> None:
    transport, stream = scripted(text("late"), b"", frame(Opcode.CLOSE, b"\x03\xe8"))
    transport.begin_close(1001)
    transport.begin_close()
    clock = SystemClock()
    transport.finish_close(clock, clock.monotonic() + LIMIT)
    transport.close()

    assert told_code(heard_by_server(bytes(stream.sent))) == 1001
    assert stream.closed == 1


def test_a_goodbye_without_an_answer_ends_at_its_deadline() -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 0.25
            return self.now

        wall = monotonic

    stream = ScriptedStream([text("chatter")] * 100)
    network = ScriptedNetwork(stream)
    transport = Transport.open(network, URL, 0.0, never)
    transport.begin_close()
    transport.finish_close(Clock(), 1.0)

    assert network.waits == 3
    transport.discard()
    assert stream.closed == 1


def test_a_goodbye_over_a_dead_line_is_no_error() -> None:
    transport, stream = scripted()

    def send(data: bytes) -> int:
        raise ConnectionLost(ENDPOINT, "gone")

    stream.send = send  # type: ignore[method-assign]
    transport.begin_close()
    with pytest.raises(ConnectionLost, match="gone"):
        transport.send("x")


# --- The handshake ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "phrase"),
    [
        (200, "OK"),
        (301, "Moved Permanently"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (429, "Too Many Requests"),
        (503, "Service Unavailable"),
    ],
)
@pytest.mark.parametrize(
    "length", ["", "Content-Length: 500\r\n", "Content-Length: x\r\n"]
)
def test_a_bad_status_is_told(status: int, phrase: str, length: str) -> None:
    # 1.x reads the body before it raises: here it never comes.
    error = answered(
        f"HTTP/1.1 {status} {phrase}\r\nLocation: ws://127.0.0.1:1/\r\n{length}"
        "Retry-After: 7\r\n\r\n<html>".encode()
    )

    assert (error.status, error.reason) == (status, f"HTTP {status} {phrase}")
    assert error.retry_after == 7.0
    assert error.endpoint == ENDPOINT
    # websocket-client's own error repeats the peer's text, which may be a secret.
    assert error.__cause__ is error.__context__ is None


def test_a_redirect_is_not_followed() -> None:
    with Server(wait_for_end) as elsewhere:

        def handler(sock: socket.socket) -> None:
            read_head(sock)
            location = f"Location: ws://127.0.0.1:{elsewhere.port}/"
            sock.sendall(f"HTTP/1.1 301 Moved\r\n{location}\r\n\r\n".encode())
            wait_for_end(sock)

        with Server(handler) as server, contextlib.closing(TcpNetwork()) as network:
            with pytest.raises(HandshakeFailed) as caught:
                open_transport(network, server.port)
            assert caught.value.status == 301
            assert elsewhere.accepted == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x15\x03\x01\x00\x02\x02\x0a",
        b"\xff\xfe\r\n\r\n",
        b"\r\n\r\n",
    ],
)
def test_garbage_is_no_handshake(answer: bytes) -> None:
    error = answered(answer)

    assert error.status is None
    assert error.reason == "the answer is not HTTP"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nno colon here\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nX: \xff\r\n\r\n",
    ],
)
def test_a_yes_without_its_proof_is_a_no(answer: bytes) -> None:
    error = answered(answer)

    assert error.status == 101
    assert error.reason.startswith("HTTP 101 without the headers of a WebSocket")


def test_a_handshake_of_any_length_is_bounded() -> None:
    error = answered(b"HTTP/1.1 101 Yes\r\n" + b"X: y\r\n" * 10000)

    assert f"more than {MAX_HANDSHAKE} bytes" in error.reason


def test_a_handshake_that_stalls_keeps_its_own_error() -> None:
    stream = ScriptedStream([], b"HTTP/1.1 101 Switching Pro")
    with pytest.raises(Stalled, match="no answer"):
        Transport.open(ScriptedNetwork(stream), URL, 0.0, never)

    assert stream.closed == 1


def test_the_request_names_host_and_origin_and_no_credentials() -> None:
    _, stream = scripted()
    request = stream.request.decode().lower()

    assert request.startswith("get /ws/v3?key=secret http/1.1\r\n")
    assert "host: venue.test\r\n" in request
    assert "origin: http://venue.test\r\n" in request
    assert "user" not in request
    assert "extensions" not in request


# --- Real sockets -------------------------------------------------------------------


def open_transport(
    network: TcpNetwork, port: int, scheme: str = "ws", limit: float = LIMIT
) -> Transport:
    url = f"{scheme}://localhost:{port}/ws/v3"
    return Transport.open(network, url, time.monotonic() + limit, never)


@pytest.fixture
def network() -> Iterator[TcpNetwork]:
    net = TcpNetwork(ssl_context=client_tls())
    yield net
    net.close()


def read_some(network: TcpNetwork, transport: Transport, count: int) -> list[Frame]:
    """Read until *count* messages are there."""
    frames: list[Frame] = []
    deadline = time.monotonic() + LIMIT
    while len(frames) < count and time.monotonic() < deadline:
        network.wait(1.0, transport.stream)
        frames += transport.read()
    return frames


def test_frames_of_one_tls_record_are_all_delivered_by_one_read(
    network: TcpNetwork,
) -> None:
    def handler(sock: socket.socket) -> None:
        open_websocket(sock)
        assert sock.recv(100)
        sock.sendall(text("one") + text("two") + text("three"))
        wait_for_end(sock)

    with Server(handler, server_tls()) as server:
        transport = open_transport(network, server.port, "wss")
        transport.send("go")
        frames = read_some(network, transport, 1)
        transport.close()

    assert [payload for payload, _ in frames] == [b"one", b"two", b"three"]


def test_a_dripping_handshake_ends_at_the_one_deadline(network: TcpNetwork) -> None:
    def handler(sock: socket.socket) -> None:
        answer = accept_head(read_head(sock))
        for at in range(len(answer)):
            sock.sendall(answer[at : at + 1])
            if server.closing.wait(0.05):
                return

    with Server(handler) as server, pytest.raises(Stalled) as caught:
        open_transport(network, server.port, limit=0.3)

    assert "no answer to the WebSocket handshake" in str(caught.value)


def test_a_wake_up_ends_a_handshake_that_is_cancelled(network: TcpNetwork) -> None:
    cancelled = threading.Event()

    def handler(sock: socket.socket) -> None:
        read_head(sock)
        cancelled.set()
        network.wake()
        wait_for_end(sock)

    with Server(handler) as server:
        url = f"ws://localhost:{server.port}/"
        with pytest.raises(ConnectionLost, match="closed while connecting"):
            Transport.open(network, url, time.monotonic() + LIMIT, cancelled.is_set)


def test_an_end_during_the_handshake_is_a_lost_connection(network: TcpNetwork) -> None:
    with Server(lambda sock: None) as server, pytest.raises(ConnectionLost):
        open_transport(network, server.port)


def test_the_environments_proxy_is_not_the_librarys_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would connect by itself; which proxy there is, the network knows."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    def handler(sock: socket.socket) -> None:
        open_websocket(sock)
        wait_for_end(sock)

    with Server(handler) as server, contextlib.closing(TcpNetwork(proxy="")) as network:
        open_transport(network, server.port).close()


def echo(sock: socket.socket, compression: bool = False) -> None:
    """An echo with a ping behind each message; the `websockets` package's protocol."""
    extensions = [ServerPerMessageDeflateFactory()] if compression else None
    protocol = ServerProtocol(extensions=extensions)
    while data := sock.recv(65536):
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
            elif isinstance(event, WireFrame) and event.opcode is Opcode.TEXT:
                protocol.send_text(event.data)
                protocol.send_ping(b"there?")
        sock.sendall(b"".join(protocol.data_to_send()))
    assert protocol.parser_exc is None


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("sizes", [None, [1], [7, 1, 3]])
def test_an_independent_server_is_understood_through_any_segmentation(
    network: TcpNetwork, tls: bool, sizes: list[int] | None
) -> None:
    context = server_tls() if tls else None
    with Server(echo, context) as server, Proxy(server.port) as proxy:
        if sizes:
            proxy.cut(sizes)
        transport = open_transport(network, proxy.port, "wss" if tls else "ws")
        sent = ["x" * size for size in (1, 125, 126, 3000)]
        for message in sent:
            transport.send(message)
        frames = read_some(network, transport, len(sent))
        transport.begin_close()
        clock = SystemClock()
        transport.finish_close(clock, clock.monotonic() + LIMIT)
        with pytest.raises(ConnectionLost) as caught:
            transport.read()
        transport.close()

    assert [payload.decode() for payload, _ in frames] == sent
    assert caught.value.code == 1000


def test_a_server_that_offers_compression_gets_none(network: TcpNetwork) -> None:
    with Server(functools.partial(echo, compression=True)) as server:
        transport = open_transport(network, server.port)
        transport.send("x" * 500)
        frames = read_some(network, transport, 1)
        transport.close()

    assert frames == [(b"x" * 500, False)]


def test_silence_in_the_middle_of_a_frame_loses_nothing(network: TcpNetwork) -> None:
    half, rest = text("x" * 1000)[:500], text("x" * 1000)[500:]
    go = threading.Event()

    def handler(sock: socket.socket) -> None:
        open_websocket(sock)
        sock.sendall(half)
        assert go.wait(LIMIT)
        sock.sendall(rest)
        wait_for_end(sock)

    with Server(handler, server_tls()) as server:
        transport = open_transport(network, server.port, "wss")
        for _ in range(3):
            network.wait(0.01, transport.stream)
            assert transport.read() == []
        go.set()
        frames = read_some(network, transport, 1)
        transport.close()

    assert frames == [(b"x" * 1000, False)]


def test_the_pin_or_its_newest_successor_is_what_runs() -> None:
    version = tuple(map(int, websocket.__version__.split(".")[:2]))

    assert version == (0, 46) or version >= (1, 8)


def test_cookies_are_neither_kept_nor_sent_back() -> None:
    """The library has one jar for the process: two that match end all handshakes."""

    class Baking(ScriptedStream):
        def send(self, data: bytes) -> int:
            if not self.request:
                cookies = (
                    b"Set-Cookie: a=1; domain=.example\r\nSet-Cookie: b=2; domain=."
                )
                self._answer = accept_head(data).replace(
                    b"\r\n\r\n", b"\r\n" + cookies + b"exchange.example\r\n\r\n"
                )
            return super().send(data)

    for _ in range(3):
        stream = Baking([])
        url = "wss://exchange.example/ws"
        Transport.open(ScriptedNetwork(stream), url, 1.0, lambda: False)
        assert b"Cookie" not in stream.request


@pytest.mark.parametrize(
    ("headers", "date"),
    [
        (b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 784111777.0),
        (b"date:Sunday, 06-Nov-94 08:49:37 GMT\r\n", 784111777.0),
        (b"Date: yesterday\r\n", None),
        (b"", None),
    ],
)
def test_the_exchanges_clock_is_that_of_its_handshake(
    network: TcpNetwork, headers: bytes, date: float | None
) -> None:
    def handler(sock: socket.socket) -> None:
        status, rest = accept_head(read_head(sock)).split(b"\r\n", 1)
        sock.sendall(status + b"\r\n" + headers + rest + text("first"))
        wait_for_end(sock)

    with Server(handler, server_tls()) as server:
        transport = open_transport(network, server.port, "wss")
        frames = read_some(network, transport, 1)
        transport.close()

    assert transport.server_date == date
    # Whatever the clock of the peer, its messages are messages.
    assert frames == [(b"first", False)]


def test_a_date_in_the_first_message_is_not_the_handshakes() -> None:
    stream = ScriptedStream([b""])
    send = stream.send

    def send_and_follow(data: bytes) -> int:
        size = send(data)
        stream.received += text("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n")
        return size

    stream.send = send_and_follow  # type: ignore[method-assign]

    transport = Transport.open(ScriptedNetwork(stream), URL, 0.0, never)

    assert transport.server_date is None
    assert len(transport.read()) == 1
