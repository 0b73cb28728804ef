"""The files of one recording: what was written once stays readable.

A batch of lines is written as a whole and can be read from then on, or it is not in the
file: if the disk is full in the middle of a batch, the file is cut back to its end
before the batch.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterable
from datetime import datetime, timezone
from typing import Any

from .format import last_part, part_name, write_header

_LEVEL = 6
# If the next file cannot be begun, seconds until it is tried again.
_AGAIN = 1.0


class RotatingFiles:
    """The gzip files of one recording, to which the recorder's thread appends lines.

    *path* is the first file. The caller asks `is_full` after a `write`: it is true once
    the present file has reached *max_bytes*, or was begun *max_seconds* ago; `rotate`
    then continues in the next file. *repeated* is a callable that returns the first
    lines of each file but the first: the connections that are open then, without which
    the file could not be read alone. *library* is the version for the header, *clock* a
    callable that returns monotonic seconds.

    A write that fails raises ``OSError`` and leaves none of its lines in the file.
    ``FileExistsError`` if there is a recording at *path* already. It has no lock: one
    thread at a time uses it.
    """

    def __init__(
        self,
        path: str,
        library: str,
        repeated: Callable[[], Iterable[str]],
        max_bytes: int | None = None,
        max_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._library = library
        self._repeated = repeated
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._clock = clock
        self._recording = os.urandom(8).hex()
        if last_part(path):
            there = part_name(path, last_part(path))
            raise FileExistsError(f"{there} is there: it would be taken for a part")
        self._part = 0
        self._open(0)
        try:
            self.write(())
        except OSError:
            # An empty file would be in the way of the next attempt to record here.
            os.close(self._file)
            os.unlink(path)
            raise

    @property
    def name(self) -> str:
        """The path of the file that is written at present."""
        return part_name(self._path, self._part)

    def _open(self, part: int) -> None:
        """Create the empty file of *part*; its first lines are written by `write`."""
        # O_EXCL: an existing file is never overwritten. Only its owner may read it,
        # because a recording may hold an account.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.open(part_name(self._path, part), flags, 0o600)
        self._size = 0
        self._began = self._not_before = self._clock()
        self._packer = self._new_packer()
        made = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        header = write_header(self._recording, part, made, self._library)
        # The first `write` puts these lines before its own.
        self._head = [header, *(self._repeated() if part else ())]

    def write(self, lines: Iterable[str]) -> None:
        """Write *lines*, which can be read from then on.

        On ``OSError`` none of them is in the file.
        """
        text = "".join((*self._head, *lines)).encode()
        if not text:
            return
        before = self._packer.copy()
        try:
            packed = self._packer.compress(text)
            self._put(packed + self._packer.flush(zlib.Z_SYNC_FLUSH))
        except BaseException:
            self._packer = before
            raise
        self._head = []

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except BaseException:
            self._cut_back()
            raise
        self._size += len(data)

    def _cut_back(self) -> None:
        # A device cannot be truncated: bytes that it took cannot be removed.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)

    @property
    def is_full(self) -> bool:
        """Whether it is time for the next file."""
        now = self._clock()
        large = self._max_bytes is not None and self._size >= self._max_bytes
        long = self._max_seconds is not None and now >= self._began + self._max_seconds
        return (large or long) and now >= self._not_before

    def rotate(self) -> None:
        """Continue in the next file.

        ``OSError`` if it cannot be begun. Lines then still go to the present file, and
        after a second `is_full` asks for the next file again.
        """
        self._not_before = self._clock() + _AGAIN
        self._end()
        before = self._file
        self._open(self._part + 1)
        self._part += 1
        os.close(before)
        # If this fails, the next `write` writes the header: no line is lost.
        self.write(())

    def _end(self) -> None:
        """End the gzip stream, which tells a reader that the file is complete."""
        before = self._packer.copy()
        try:
            self._put(self._packer.flush())
        except BaseException:
            self._packer = before
            raise
        # Lines that are still written to this file begin a new gzip stream.
        self._packer = self._new_packer()

    @staticmethod
    def _new_packer() -> Any:
        return zlib.compressobj(_LEVEL, wbits=zlib.MAX_WBITS | 16)

    def close(self) -> None:
        """End the gzip stream and close the file.

        ``OSError`` if the end cannot be written; the file is closed all the same.
        """
        try:
            self._end()
        finally:
            os.close(self._file)

    def discard(self) -> None:
        """Close the descriptor and write nothing, as a forked child must."""
        with contextlib.suppress(OSError):
            os.close(self._file)
