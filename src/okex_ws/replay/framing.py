"""A WebSocket server's handshake and frames, for a well-behaved client. Pure.

The only client is this library, and no network lies between. So nothing is checked that
the library's transport cannot do wrong.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from email.utils import formatdate

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_FIN = 0x80
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame as a server sends it: a server does not mask frames."""
    size = len(payload)
    if size < 126:
        head = bytes((_FIN | opcode, size))
    elif size < 1 << 16:
        head = bytes((_FIN | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_FIN | opcode, 127)) + size.to_bytes(8, "big")
    return head + payload


def close(code: int | None, reason: str = "") -> bytes:
    """A close frame with this *code* and *reason*."""
    said = b"" if code is None else code.to_bytes(2, "big") + reason.encode()[:123]
    return frame(CLOSE, said)


class ClientFrameParser:
    """Reads what a client sends: the handshake, then frames. Bytes in, frames out.

    It is the server's end of one opening of a replayed connection. One thread uses it.
    Bytes that are not complete wait for the next call.
    """

    def __init__(self) -> None:
        self._received = bytearray()
        self._greeted = False

    def handshake(self, data: bytes, wall: float) -> bytes:
        """Add *data*; returns the handshake's answer once that is whole, else no bytes.

        *wall* is the time of its ``Date`` header in epoch seconds.
        """
        self._received += data
        head, blank, rest = bytes(self._received).partition(b"\r\n\r\n")
        if self._greeted or not blank:
            return b""
        self._greeted, self._received = True, bytearray(rest)
        key = next(
            line.partition(b":")[2].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # noqa: S324
        return (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n"
            b"Date: " + formatdate(wall, usegmt=True).encode() + b"\r\n\r\n"
        )

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The whole frames received since the last call: opcode and payload of each."""
        while self._greeted and (found := self._next()) is not None:
            yield found

    def _next(self) -> tuple[int, bytes] | None:
        data = self._received
        if len(data) < 2:
            return None
        size, at = data[1] & 0x7F, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        end = at + 4 + size
        if len(data) < end:
            return None
        mask, masked = data[at : at + 4], data[at + 4 : end]
        opcode = data[0] & 0x0F
        del data[:end]
        return opcode, bytes(each ^ mask[i & 3] for i, each in enumerate(masked))
