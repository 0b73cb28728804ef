"""Memory that two processes share, in slots: one writer and many readers, none waits.

A slot is a double-buffered sequence lock. The writer fills the buffer that is not
current, and then makes it current by one store of the version. A reader copies the
current buffer and uses the copy only if its checksum is that of the same version. It
copies again if the writer wrote meanwhile, or if its processor saw the stores out of
order. A writer that is stopped or killed half way therefore delays no reader, and no
reader sees an unfinished value.
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

# Bytes for the version, the pulse and the answer. They fill a whole cache line, so that
# the writers of two slots do not share one.
HEADER = 64
_PREFIX = struct.Struct("=II")  # length and checksum of a buffer
_WORD = 8
# Each chunk is twice as large as the one before, so that few chunks hold any number of
# slots: each one takes a file descriptor.
FIRST_CHUNK = 1 << 24
# A copy fails only if the writer begins two writes while it is made. So many failures
# in a row mean that the memory is broken.
TRIES = 1000
# zlib releases the GIL for more than 5 KiB. A read must not have to wait for it again.
_PIECE = 4096

Decode = Callable[[bytes], Any]


class TornError(Exception):
    """The memory is broken: a slot does not hold what its writer put there.

    A reader raises it after 1,000 copies without a right checksum.
    """


class SlotAddress(NamedTuple):
    """Where a slot is: its chunk's number, the offset there, and the bytes it holds."""

    chunk: int
    at: int
    capacity: int


def _stride(capacity: int) -> int:
    return _PREFIX.size + -(-capacity // _WORD) * _WORD


def _size(capacity: int) -> int:
    # Whole cache lines, again so that two writers do not share one.
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
    """A part of the shared memory, as mapped into this process.

    An access to one of *words* or *doubles* is one load or store of the processor,
    which no other process sees half done.
    """

    def __init__(self, mapped: mmap.mmap) -> None:
        self.size = len(mapped)
        self.bytes = memoryview(mapped)
        self.words = self.bytes.cast("Q")
        self.doubles = self.bytes.cast("d")


class Slot:
    """A place in shared memory for one value of at most *capacity* bytes.

    The writer replaces the value, and readers of any process get the newest one;
    neither ever waits for the other, even if it is stopped half way. One thread writes
    at a time. Any thread of any process may read. *decode* is a callable that makes the
    value of the bytes, once for each version. `put` raises ``ValueError`` for too many
    bytes, and `get` raises `TornError` if the memory is broken.
    """

    __slots__ = (
        "__weakref__",
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
        """Replace the value by *payload*; ``ValueError`` if it is too large."""
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
        """A number beside the value; the writer may change it without a new version."""
        return self._doubles[self._word + 1]

    def beat(self, pulse: float) -> None:
        """Change the pulse, in one store."""
        self._doubles[self._word + 1] = pulse

    @property
    def version(self) -> int:
        """How many values were put so far."""
        return self._words[self._word]

    @property
    def answer(self) -> bool | None:
        """What a reader has found of the present value; ``None`` if none has said."""
        said = self._words[self._word + 2]
        return bool(said & 1) if said >> 1 == self._words[self._word] else None

    # --- Readers --------------------------------------------------------------------

    def get(self) -> Any:
        """The current value; `TornError` if the memory is broken."""
        seen = self._seen
        version = self._words[self._word]
        return seen[1] if version == seen[0] else self._fetch(version)

    def say(self, version: int, found: bool) -> None:
        """Let the writer know what was *found* of the value *version*, in one store."""
        self._words[self._word + 2] = 2 * version + found

    def _fetch(self, version: int) -> Any:
        for _ in range(TRIES):
            payload = self._copy(version)
            if payload is not None:
                value = self._decode(payload)
                # One store for both, because threads race here: the value always
                # belongs to the version beside it.
                self._seen = (version, value)
                return value
            version = self._words[self._word]
        raise TornError(f"a slot cannot be read at its version {version}")

    def _copy(self, version: int) -> bytes | None:
        """The payload of *version*, or ``None`` if a newer one has overwritten it."""
        at = self._at + (version & 1) * self._stride
        length, checksum = _PREFIX.unpack_from(self._bytes, at)
        if length > self.capacity:
            return None
        start = at + _PREFIX.size
        payload = bytes(self._bytes[start : start + length])
        return payload if _checksum(payload, version) == checksum else None


class Memory:
    """The shared memory of an isolated feed: a growing file without a name, with slots.

    *key* opens it in the other process; ``None`` makes a new one. Under Windows *key*
    is a name. On other systems it is a file descriptor that the other process has
    inherited. Only the process that made the memory allocates slots. Any thread may
    call: a lock guards it. `allocate` reserves the pages, and raises ``OSError`` if
    there is no memory.
    """

    def __init__(self, key: int | str | None = None) -> None:
        self.key = _new_key() if key is None else key
        self._own = key is None
        self._chunks: list[Chunk] = []
        self._used = 0
        self._free: dict[int, list[SlotAddress]] = {}
        self._lock = threading.RLock()

    def allocate(self, capacity: int) -> SlotAddress:
        """Reserve a slot of *capacity* bytes; ``OSError`` if there is no memory."""
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
        """Let `allocate` give *address* away again. Its writer must have stopped."""
        with self._lock:
            self._free.setdefault(address.capacity, []).append(address)

    def slot(self, address: SlotAddress, decode: Decode = marshal.loads) -> Slot:
        """The slot at *address*, mapped into this process."""
        with self._lock:
            while len(self._chunks) <= address.chunk:
                self._map()
            return Slot(self._chunks[address.chunk], address, decode)

    def close(self) -> None:
        """Close the file. The memory is released with the last `Slot` that uses it."""
        with self._lock:
            self._chunks.clear()
            if isinstance(self.key, int) and self.key >= 0:
                os.close(self.key)
                self.key = -1

    def forked(self) -> None:
        """In a forked child: replace the lock, which a thread may have held; close."""
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
    """Offset and size in the file of the chunk *number*, in bytes."""
    return FIRST_CHUNK * ((1 << number) - 1), FIRST_CHUNK << number


def _map_named(name: str, size: int) -> mmap.mmap:
    # Only Windows has named mappings. This has never been run there.
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
    """Reserve the pages of a part of *file*; ``OSError`` if there is no memory.

    Without that, a process that first touches a page of the sparse file when memory has
    run out is killed by a signal.
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
