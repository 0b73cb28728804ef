"""Messages between two processes of one user: framed, and checked before they are read.

A message is any value that pickles. What comes from the other side is trusted as this
process itself; the checksum is there for what was written there by mistake.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Iterator
from typing import Any

_PREFIX = struct.Struct("=4sII")  # magic, length, checksum
_MAGIC = b"okws"
# No message is nearly as large: statistics, an error with the exchange's own text.
MAX_MESSAGE = 1 << 26


class GarbageError(Exception):
    """Bytes that are no message."""


def pack(message: object) -> bytes:
    """The bytes of *message*."""
    payload = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _PREFIX.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


class Unpacker:
    """Bytes as they come, and the messages in them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Take in *data*: the messages that are complete; `GarbageError` for none."""
        self._buffer += data
        while len(self._buffer) >= _PREFIX.size:
            magic, length, checksum = _PREFIX.unpack_from(self._buffer)
            if magic != _MAGIC or length > MAX_MESSAGE:
                begin = bytes(self._buffer[: _PREFIX.size])
                raise GarbageError(f"no message begins with {begin!r}")
            end = _PREFIX.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(self._buffer[_PREFIX.size : end])
            del self._buffer[:end]
            if zlib.crc32(payload) != checksum:
                raise GarbageError(f"a message of {length} bytes with another checksum")
            yield pickle.loads(payload)  # noqa: S301 - of our own process
