"""Memory that two processes share: a slot has one writer and any readers, none waits.

A slot is a double-buffered sequence lock. The writer fills the buffer that is not
current, and then makes it so by one store of the version. A reader copies the current
buffer and takes the copy only if its checksum is that of this very version: a copy that
was written to meanwhile, or that another processor sees out of order, is taken anew. So
a writer that is stopped or killed half way holds up nobody, and what it left half done
is not seen.
"""

from __future__ import annotations

import errno
import marshal
import mmap
import os
import secrets
import struct
import tempfile
import threading
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

# The version, the pulse, and room to keep the writers of two slots apart in the caches.
HEADER = 64
_PREFIX = struct.Struct("=II")  # length and checksum of a buffer
_WORD = 8
# Chunks double, so that a few of them (a descriptor each) hold whatever there is.
FIRST_CHUNK = 1 << 24
# A reader is overtaken twice while it copies: that this happens so often is no chance.
TRIES = 1000
# zlib lets other threads run for more than 5 KiB; a read must not wait for its turn.
_PIECE = 4096

Decode = Callable[[bytes], Any]


class TornError(Exception):
    """A slot that does not hold what its writer left there: the memory is broken."""


class SlotAddress(NamedTuple):
    """Where a slot is: the number of its chunk, its offset in there, and its room."""

    chunk: int
    at: int
    capacity: int


def _stride(capacity: int) -> int:
    return _PREFIX.size + -(-capacity // _WORD) * _WORD


def _size(capacity: int) -> int:
    # Whole lines of the cache, again to keep writers apart.
    return -(-(HEADER + 2 * _stride(capacity)) // HEADER) * HEADER


def _checksum(payload: bytes, version: int) -> int:
    crc = version & 0xFFFFFFFF
    if len(payload) <= _PIECE:
        return zlib.crc32(payload, crc)
    view = memoryview(payload)
    for at in range(0, len(payload), _PIECE):
        crc = zlib.crc32(view[at : at + _PIECE], crc)
    return crc


class Chunk:
    """Mapped memory; one item of *words* or *doubles* is one load or store."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self.size = len(mapped)
        self.bytes = memoryview(mapped)
        self.words = self.bytes.cast("Q")
        self.doubles = self.bytes.cast("d")


class Slot:
    """One value of at most *capacity* bytes, as this process sees it.

    *decode* makes the value of a payload, once a version.
    """

    __slots__ = (
        "_at",
        "_bytes",
        "_decode",
        "_doubles",
        "_seen",
        "_stride",
        "_word",
        "_words",
        "capacity",
    )

    def __init__(
        self,
        chunk: Chunk,
        address: SlotAddress,
        decode: Decode = marshal.loads,
    ) -> None:
        self.capacity = address.capacity
        self._bytes = chunk.bytes
        self._words = chunk.words
        self._doubles = chunk.doubles
        self._word = address.at // _WORD
        self._at = address.at + HEADER
        self._stride = _stride(address.capacity)
        self._decode = decode
        self._seen: tuple[int, Any] = (0, None)

    # --- The writer -----------------------------------------------------------------

    def put(self, payload: bytes) -> None:
        """Show *payload*; ``ValueError`` if there is no room for it."""
        length = len(payload)
        if length > self.capacity:
            raise ValueError(f"{length} bytes, where there is room for {self.capacity}")
        version = self._words[self._word] + 1
        at = self._at + (version & 1) * self._stride
        start = at + _PREFIX.size
        self._bytes[start : start + length] = payload
        _PREFIX.pack_into(self._bytes, at, length, _checksum(payload, version))
        self._words[self._word] = version

    @property
    def pulse(self) -> float:
        """A number that the writer may change at any time, apart from the value."""
        return self._doubles[self._word + 1]

    def beat(self, pulse: float) -> None:
        """Change the pulse, in one store."""
        self._doubles[self._word + 1] = pulse

    # --- Readers --------------------------------------------------------------------

    def get(self) -> Any:
        """The newest value; `TornError` if the memory is broken."""
        seen = self._seen
        version = self._words[self._word]
        return seen[1] if version == seen[0] else self._fetch(version)

    def _fetch(self, version: int) -> Any:
        for _ in range(TRIES):
            payload = self._copy(version)
            if payload is not None:
                value = self._decode(payload)
                # Together, as threads race here: what is seen is of that version.
                self._seen = (version, value)
                return value
            version = self._words[self._word]
        raise TornError(f"a slot cannot be read at its version {version}")

    def _copy(self, version: int) -> bytes | None:
        """The payload of *version*, or ``None`` if it is not there (any more)."""
        at = self._at + (version & 1) * self._stride
        length, checksum = _PREFIX.unpack_from(self._bytes, at)
        if length > self.capacity:
            return None
        start = at + _PREFIX.size
        payload = bytes(self._bytes[start : start + length])
        return payload if _checksum(payload, version) == checksum else None


class Memory:
    """A file of slots that has no name, and grows; *key* is how another one opens it.

    Under Windows *key* is a name, elsewhere a descriptor, which the other process has
    to have inherited. Whoever made it hands out the places; any thread.
    """

    def __init__(self, key: int | str | None = None) -> None:
        self.key = _new_key() if key is None else key
        self._own = key is None
        self._chunks: list[Chunk] = []
        self._used = 0
        self._free: dict[int, list[SlotAddress]] = {}
        self._lock = threading.RLock()

    def allocate(self, capacity: int) -> SlotAddress:
        """A place for *capacity* bytes; ``OSError`` if there is no memory for it."""
        with self._lock:
            if left := self._free.get(capacity):
                return left.pop()
            size = _size(capacity)
            if not self._chunks or self._used + size > self._chunks[-1].size:
                self._grow()
            address = SlotAddress(len(self._chunks) - 1, self._used, capacity)
            self._reserve(address, size)
            self._used += size
            return address

    def free(self, address: SlotAddress) -> None:
        """Have somebody else take *address*: nobody writes there any more."""
        with self._lock:
            self._free.setdefault(address.capacity, []).append(address)

    def slot(self, address: SlotAddress, decode: Decode = marshal.loads) -> Slot:
        """The slot at *address*."""
        with self._lock:
            while len(self._chunks) <= address.chunk:
                self._map()
            return Slot(self._chunks[address.chunk], address, decode)

    def close(self) -> None:
        """Take no more; the memory itself goes with the last slot."""
        with self._lock:
            self._chunks.clear()
            if isinstance(self.key, int) and self.key >= 0:
                os.close(self.key)
                self.key = -1

    def forked(self) -> None:
        """In a forked child: the same, and no lock that another thread may have."""
        self._lock = threading.RLock()
        self.close()

    def _grow(self) -> None:
        start, size = _chunk(len(self._chunks))
        if isinstance(self.key, int):
            os.ftruncate(self.key, start + size)
        self._map()
        self._used = 0

    def _map(self) -> None:
        number = len(self._chunks)
        start, size = _chunk(number)
        if isinstance(self.key, int):
            mapped = mmap.mmap(self.key, size, offset=start)
        else:
            mapped = _map_named(f"{self.key}-{number}", size)
        self._chunks.append(Chunk(mapped))

    def _reserve(self, address: SlotAddress, size: int) -> None:
        if isinstance(self.key, int):
            reserve(self.key, _chunk(address.chunk)[0] + address.at, size)


def _chunk(number: int) -> tuple[int, int]:
    """Where a chunk begins in the file, and how long it is."""
    return FIRST_CHUNK * ((1 << number) - 1), FIRST_CHUNK << number


def _map_named(name: str, size: int) -> mmap.mmap:
    # Windows alone has these, and nobody has tried this there.
    make: Any = mmap.mmap
    chunk: mmap.mmap = make(-1, size, tagname=name)
    return chunk


def _new_key() -> int | str:
    if os.name == "nt":
        return f"okex_ws-{os.getpid()}-{secrets.token_hex(8)}"
    if hasattr(os, "memfd_create"):
        try:
            return os.memfd_create("okex_ws", os.MFD_CLOEXEC)
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM):
                raise
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def reserve(file: int, start: int, size: int) -> None:
    """Have the pages there: what cannot be had is an ``OSError`` now, no signal later.

    A page of a sparse file that there is no memory for kills whoever touches it.
    """
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, start, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
    end = start + size
    while start < end:
        start += os.pwrite(file, bytes(min(end - start, 1 << 20)), start)
