"""The server's end of the framing, against the client of an independent package."""

from __future__ import annotations

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.uri import parse_uri

from okex_ws.replay.framing import (
    BINARY,
    CLOSE,
    PONG,
    TEXT,
    ClientFrameParser,
    close,
    frame,
)


def greeted() -> tuple[ClientFrameParser, ClientProtocol]:
    """A client of the `websockets` package that has shaken hands."""
    mine, theirs = (
        ClientFrameParser(),
        ClientProtocol(parse_uri("ws://example.test/ws/v5")),
    )
    theirs.send_request(theirs.connect())
    (request,) = theirs.data_to_send()
    # Byte by byte: an answer comes with the last one, and not before.
    answers = [mine.handshake(bytes([each]), 1_700_000_000.0) for each in request]
    assert not any(answers[:-1])
    theirs.receive_data(answers[-1])
    assert theirs.handshake_exc is None
    theirs.events_received()
    return mine, theirs


def test_the_handshake_is_accepted_and_carries_the_date() -> None:
    mine = ClientFrameParser()
    request = b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

    answer = mine.handshake(request, 1_700_000_000.0)

    # The example of RFC 6455, section 1.3.
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert b"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n" in answer


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 70_000])
def test_frames_of_every_length_are_understood_both_ways(size: int) -> None:
    mine, theirs = greeted()
    payload = bytes(n % 251 for n in range(size))

    theirs.receive_data(frame(BINARY, payload))
    (heard,) = theirs.events_received()
    theirs.send_binary(payload)
    (sent,) = theirs.data_to_send()
    assert mine.handshake(sent[:1], 0.0) == b""
    assert list(mine.frames()) == []
    mine.handshake(sent[1:], 0.0)

    assert heard.opcode is Opcode.BINARY
    assert heard.data == payload
    assert list(mine.frames()) == [(BINARY, payload)]


def test_several_frames_at_once_come_in_order() -> None:
    mine, theirs = greeted()
    theirs.send_text(b"one")
    theirs.send_pong(b"two")
    theirs.send_close(1000, "bye")
    mine.handshake(b"".join(theirs.data_to_send()), 0.0)

    opcodes = [opcode for opcode, _ in mine.frames()]

    assert opcodes == [TEXT, PONG, CLOSE]


@pytest.mark.parametrize("code", [1000, 1012, 4001, None])
def test_a_close_frame_has_code_and_reason(code: int | None) -> None:
    _, theirs = greeted()

    theirs.receive_data(close(code, "why" * 100))

    assert theirs.close_rcvd is not None
    assert theirs.close_rcvd.code == (code or 1005)
    assert theirs.close_rcvd.reason == ("why" * 100)[:123] * (code is not None)
