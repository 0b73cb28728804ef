"""What a socket has is taken as the standard library would, by whatever there is."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from okex_ws.net.tcp import Receive, find_receive, receive_into


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of one connection over TCP; the first never blocks."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        other = socket.create_connection(listener.getsockname(), 10)
        ours, _ = listener.accept()
    with ours, other:
        ours.setblocking(False)
        yield ours, other


@pytest.fixture(params=["found", "fallback"])
def receive(request: pytest.FixtureRequest) -> Receive:
    return find_receive() if request.param == "found" else receive_into


def buffer(size: int) -> memoryview:
    return memoryview(bytearray(size))


def take(receive: Receive, sock: socket.socket, into: memoryview) -> int:
    """What a stream does with the answer."""
    size = receive(sock, into)()
    if size < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return size


def until_there(ours: socket.socket) -> None:
    """Wait for what is on its way, and leave it there."""
    ours.settimeout(10)
    ours.recv(1, socket.MSG_PEEK)
    ours.setblocking(False)


def test_what_is_there_is_taken_and_no_more_than_fits(
    pair: tuple[socket.socket, socket.socket], receive: Receive
) -> None:
    ours, other = pair
    other.sendall(b"abcdef")
    until_there(ours)
    into = buffer(4)

    assert take(receive, ours, into) == 4
    assert bytes(into) == b"abcd"
    assert take(receive, ours, into) == 2
    assert bytes(into[:2]) == b"ef"


def test_a_part_of_a_buffer_is_filled_and_the_rest_left(
    pair: tuple[socket.socket, socket.socket], receive: Receive
) -> None:
    ours, other = pair
    other.sendall(b"xyz")
    until_there(ours)
    into = buffer(8)

    assert take(receive, ours, into[3:]) == 3
    assert bytes(into) == b"\0\0\0xyz\0\0"


def test_nothing_there_is_said_at_once(
    pair: tuple[socket.socket, socket.socket], receive: Receive
) -> None:
    with pytest.raises(BlockingIOError):
        take(receive, pair[0], buffer(4))


def test_the_end_is_no_bytes(
    pair: tuple[socket.socket, socket.socket], receive: Receive
) -> None:
    ours, other = pair
    other.close()
    until_there(ours)

    assert take(receive, ours, buffer(4)) == 0


def test_a_reset_is_one(
    pair: tuple[socket.socket, socket.socket], receive: Receive
) -> None:
    ours, other = pair
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    other.close()
    with pytest.raises(ConnectionResetError):
        _take_at_last(receive, ours)


def _take_at_last(receive: Receive, ours: socket.socket) -> int:
    while True:
        with suppress(BlockingIOError):
            return take(receive, ours, buffer(4))


def test_a_closed_socket_has_nothing(
    pair: tuple[socket.socket, socket.socket], receive: Receive
) -> None:
    pair[0].close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        take(receive, pair[0], buffer(4))


@pytest.mark.parametrize("error", [AttributeError, OSError, TypeError])
def test_a_system_without_it_is_read_by_the_standard_library(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def refuse(*args: object, **keywords: object) -> None:
        raise error

    monkeypatch.setattr(ctypes, "PyDLL", refuse)

    assert find_receive() is receive_into
