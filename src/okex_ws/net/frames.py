"""Messages and their bound: what is kept of a message that is too large.

A message of more than *max_frame* bytes is never held. Its first bytes, its head, are
passed on, so that the protocol can say which channel the message was of; the rest is
discarded as it comes.
"""

from __future__ import annotations

import operator
from typing import SupportsIndex

# The bound of a message in bytes, unless the user gives another. The largest recorded
# push has 19 kB, the list of all instruments 1.3 MB.
MAX_FRAME = 8 << 20
LEAST_MAX_FRAME = 64 << 10
# The bytes that are kept of a message that is too large.
HEAD = 4096


class Cut(bytes):
    """The first bytes of a message that was too large; its rest is discarded.

    It stands in a `Frame` for the payload. A protocol's ``unpack`` refuses it.
    """

    __slots__ = ()


# One message: its payload, and whether it is binary. The payload of a text message is
# UTF-8, not decoded yet. A plain tuple, since one is made for every message.
Frame = tuple[bytes, bool]


class Fragments:
    """The message whose last frame has not come: at most *most* bytes of it.

    Only the thread of the transport uses it.
    """

    def __init__(self, binary: bool, most: int) -> None:
        self._binary, self._most = binary, most
        self._data = bytearray()
        self._is_cut = False

    def add(self, payload: bytes, size: int, last: bool) -> Frame | None:
        """Add a frame; return the message, if it is whole or has become too large.

        *size* is the length of the frame. *payload* may be less of it, if the frame
        alone is too large. A message that is too large is returned at once, as `Cut`.
        """
        if self._is_cut:
            return None
        size += len(self._data)
        self._data += payload
        if size > self._most:
            self._is_cut, head = True, Cut(self._data[:HEAD])
            self._data.clear()
            return head, self._binary
        return (bytes(self._data), self._binary) if last else None


def check_max_frame(value: SupportsIndex) -> int:
    """*value* as an ``int``.

    ``TypeError`` if it is no whole number, ``ValueError`` if it is less than 64 KiB.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        most = operator.index(value)
    except TypeError:
        raise TypeError(f"max_frame is a whole number, got {value!r:.80}") from None
    if most < LEAST_MAX_FRAME:
        least = f"at least {LEAST_MAX_FRAME} bytes (64 KiB)"
        raise ValueError(f"max_frame is {least}, got {most!r:.80}")
    return most
