"""The files of one recording: what was written stays readable, whatever happens next.

A batch is written as a whole and can be read from then on, or it is not there: where
the disk is full in the middle of it, the file is cut back to its end before. On the
writer's thread alone.
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
# Seconds after which another file is tried again that could not be begun.
_AGAIN = 1.0


class RotatingFiles:
    """A recording at *path*, a new file whenever one is *max_bytes* or *max_seconds*.

    *repeated* gives the lines with which each further part begins. *clock* is seconds
    that only grow. ``FileExistsError`` where there is a recording already.
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
            # Nothing of a recording is there, and nothing is in the way of the next.
            os.close(self._file)
            os.unlink(path)
            raise

    @property
    def name(self) -> str:
        """The file that is written to."""
        return part_name(self._path, self._part)

    def _open(self, part: int) -> None:
        """Begin a file, in which nothing is yet."""
        # Never over another one.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file = os.open(part_name(self._path, part), flags, 0o644)
        self._size = 0
        self._began = self._not_before = self._clock()
        self._packer = self._new_packer()
        made = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        header = write_header(self._recording, part, made, self._library)
        # Whatever is written first comes behind them.
        self._head = [header, *(self._repeated() if part else ())]

    def write(self, lines: Iterable[str]) -> None:
        """Write *lines*, readable from then on; on ``OSError`` they are not there."""
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
        # A device has no end; nothing of it can be taken back.
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)

    @property
    def is_full(self) -> bool:
        """Whether it is time for another file."""
        now = self._clock()
        large = self._max_bytes is not None and self._size >= self._max_bytes
        long = self._max_seconds is not None and now >= self._began + self._max_seconds
        return (large or long) and now >= self._not_before

    def rotate(self) -> None:
        """Go on in another file; on ``OSError`` in this one, and again in a while."""
        self._not_before = self._clock() + _AGAIN
        self._end()
        before = self._file
        self._open(self._part + 1)
        self._part += 1
        os.close(before)
        # Else by the next one: nothing of the file before is missing.
        self.write(())

    def _end(self) -> None:
        """End what is compressed: it says that nothing was cut off."""
        before = self._packer.copy()
        try:
            self._put(self._packer.flush())
        except BaseException:
            self._packer = before
            raise
        # What may still come into this file begins anew.
        self._packer = self._new_packer()

    @staticmethod
    def _new_packer() -> Any:
        return zlib.compressobj(_LEVEL, wbits=zlib.MAX_WBITS | 16)

    def close(self) -> None:
        """End the file; ``OSError`` if not even that can be written."""
        try:
            self._end()
        finally:
            os.close(self._file)

    def discard(self) -> None:
        """Close the descriptor and nothing else, as a forked child must."""
        with contextlib.suppress(OSError):
            os.close(self._file)
