"""`Recorder`: all traffic of connections, written to a file by a thread of its own.

A connection's thread puts an entry into a queue and never waits for the disk. An entry
that cannot be queued or written is counted, and the recording says where it is missing.
"""

from __future__ import annotations

import atexit
import itertools
import math
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..base.checks import all_name_keywords, check_number, check_whole
from ..base.clock import Clock
from ..base.errors import OkexWSError, RecordingFailed
from ..base.log import log
from ..base.threads import heed_fork, register_for_fork
from ..base.throttled_log import LogThrottle
from ..base.worker import AsyncClosing, LibraryThread, WorkerThread
from ..model.credentials import Credentials
from ..net.frames import Cut, Frame
from .format import Entry, write_line
from .rotating_files import RotatingFiles
from .tap import RecordingTap

# Bytes of payload that may wait for the disk: a minute of a thousand books.
MOST_WAITING = 64 << 20
# Bytes that an entry takes in the queue beside its payload.
_OVERHEAD = 200
# Seconds for which entries are gathered and then written at once.
BATCH = 0.2
# Entries that are turned into lines and written at once, at the most.
_SLICE = 1000

# The messages of one read: wall clock, monotonic clock, connection's number, frames.
_Frames = tuple[float, float, int, Sequence[Frame]]
Tell = Callable[[OkexWSError], object]


@all_name_keywords("number", "frames", "put")
class Recorder(AsyncClosing):
    """Records everything that the connections of one or more feeds send and receive.

    ``Feed(..., recorder=recorder)``. Every message as received and every text as sent
    is written, with its times and its connection, as gzipped JSON lines. ``zcat`` shows
    them, `okex_ws.recording` documents them, and a `Replay` plays them. No key,
    signature or passphrase is written: not in a login, and not where the exchange
    repeats one.

    A thread of its own writes the file, so that no connection waits for the disk. Each
    message is in the file within half a second, and stays readable there even if the
    process dies. At most 64 MiB wait for the disk; what comes when they are full is
    dropped, and counted in `lost`.

    A ``with`` block closes the recorder, as `close` does. Feeds that are still open
    then go on unrecorded. In a coroutine ``async with`` and `aclose` do the same, and
    the event loop goes on while the last entries are written.

    Args:
        path: the file, ``'day.rec.gz'``. An existing file is never overwritten. Only
            the user of this process can read the files (mode 0600).
        max_bytes: a file that has reached so many bytes is ended, and the recording
            continues in ``day.1.rec.gz``, ``day.2.rec.gz``, ... Each file can be read
            alone.
        max_seconds: a file that was begun so many seconds ago is ended likewise.
        keyframes: seconds. So often, and at the beginning of each file but the first,
            the present books are written beside what the exchange sends, marked as made
            by this library. A replay of one file alone, or from the middle of one, has
            its books from there on. A book with 400 levels takes some 10 kB each time.
            ``math.inf`` writes them at the beginning of a file alone.

    A full disk, or anything else that prevents writing, ends no feed. A
    `RecordingFailed` is logged and given to the feeds' *on_error*, at once and then
    once a minute while it lasts. The recorder continues as soon as it can write, and
    the recording says how many entries are missing.

    Raises:
        FileExistsError: there is a recording, or a part of one.
        OSError: the file cannot be created.
        ValueError, TypeError: *max_bytes*, *max_seconds* or *keyframes* is not valid.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        max_seconds: float | None = None,
        keyframes: float = 60.0,
    ) -> None:
        _check(max_bytes, max_seconds, keyframes)
        self._path = os.fspath(path)
        self._closing = False
        # The `open` entry of each open connection, by the connection's number.
        self._open: dict[int, Entry] = {}
        self._files = RotatingFiles(
            self._path, _library(), self._repeated, max_bytes, max_seconds
        )
        self._numbers, self._lines = itertools.count(1), itertools.count(1)
        # For those who queue. The recorder's thread takes no lock, because a signal
        # handler may interrupt a thread that holds it, and wait in `close`.
        self._lock = threading.RLock()
        self._waiting: deque[tuple[_Frames | Entry, int]] = deque()
        # Bytes that were ever queued, and that the recorder's thread has taken since.
        self._queued = self._taken = 0
        # Entries that found no place since the last queued one, and all that were lost.
        self._missing = self._lost = 0
        self._taps: weakref.WeakSet[RecordingTap] = weakref.WeakSet()
        # Entries that could not be written, and why; for the recorder's thread alone.
        self._unwritten, self._why = 0, ""
        self._keyframes = keyframes
        self._keyframes_at = time.monotonic() + keyframes
        self._throttle = LogThrottle()
        name = f"okex_ws:recorder:{os.path.basename(self._path)}"
        self._worker = WorkerThread(name, end=self._end)
        self._ended = False
        heed_fork()
        _recorders.add(self)
        atexit.register(self.close)

    # --- For users ------------------------------------------------------------------

    @property
    def path(self) -> str:
        """The path of the first file, as given."""
        return self._path

    @property
    def lost(self) -> int:
        """How many entries that came before `close` are missing in the recording."""
        return self._lost

    def close(self, timeout: float | None = 5.0) -> bool:
        """Write the queued entries and end; any thread, any number of times.

        Returns True when all entries are in the file, and False if that took longer
        than *timeout* seconds. Writing then goes on, unless the process ends.
        """
        heed_fork()
        self._closing = True
        self._worker.close()
        self._worker.join(timeout)
        return self._ended

    def _ending(self) -> tuple[LibraryThread, ...]:
        return (self._worker.thread,)

    def __repr__(self) -> str:
        state = "closed" if self._closing else "recording"
        return f"<Recorder {self._path} {state}, {self._lost} lost>"

    # --- For connections, on their threads ------------------------------------------

    def tap(
        self,
        clock: Clock,
        facts: Mapping[str, Any],
        credentials: Credentials | None,
        tell: Tell,
        ask: Callable[[], object] = lambda: None,
    ) -> RecordingTap:
        """The recording tap of one more connection.

        *tell* is called with each `RecordingFailed`, on any thread; *ask* on the
        recorder's thread, when it wants keyframes.
        """
        line = next(self._lines)
        tap = RecordingTap(self, line, clock, facts, credentials, tell, ask)
        self._taps.add(tap)
        return tap

    def number(self) -> int:
        """The number of the next opening of a connection."""
        return next(self._numbers)

    def frames(
        self, wall: float, mono: float, number: int, frames: Sequence[Frame]
    ) -> None:
        """Queue the messages of one read, which share their times."""
        size = sum(len(payload) + _OVERHEAD for payload, _ in frames)
        self._put((wall, mono, number, frames), len(frames), size)

    def put(self, entry: Entry) -> None:
        """Queue any other entry."""
        self._put(entry, 1, len(entry.payload) + _OVERHEAD)

    def _put(self, what: _Frames | Entry, count: int, size: int) -> None:
        with self._lock:
            if self._closing:
                return
            if self._queued + size > self._taken + MOST_WAITING or not self._start():
                self._missing += count
                self._lost += count
                return
            if self._missing:
                wall, mono = what[:2]
                lost = _lost(wall, mono, self._missing, "too slow")
                self._waiting.append((lost, 0))
                self._missing = 0
            self._waiting.append((what, size))
            self._queued += size
            if len(self._waiting) <= 2:
                # Only the first entries wake the recorder's thread. It then gathers
                # what comes in the next `BATCH` seconds, and takes all that waits.
                self._worker.submit(self._write_waiting, BATCH)

    def _start(self) -> bool:
        with suppress(RuntimeError):  # the system gave no thread
            self._worker.start()
            return True
        return False

    def forked(self) -> None:
        """In a forked child: become closed, and write nothing."""
        self._lock = threading.RLock()
        self._worker.forked()
        self._waiting = deque()
        if not self._ended:
            self._files.discard()
        self._closing = self._ended = True

    # --- The recorder's thread ------------------------------------------------------

    def _write_waiting(self) -> None:
        """Write all entries that are queued. It takes no lock: see `close`."""
        entries = self._entries()
        while some := list(itertools.islice(entries, _SLICE)):
            self._write(some)

    def _entries(self) -> Iterator[Entry]:
        while self._waiting:
            what, size = self._waiting.popleft()
            self._taken += size
            if isinstance(what, Entry):
                yield what
                continue
            wall, mono, number, frames = what
            for payload, binary in frames:
                facts = {"cut": True} if isinstance(payload, Cut) else {}
                yield Entry(wall, mono, number, "in", payload, binary, facts)

    def _write(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._follow(entry)
        try:
            lines = [write_line(entry) for entry in entries]
            if self._unwritten:
                wall, mono = entries[0][:2]
                missing = _lost(wall, mono, self._unwritten, self._why)
                lines.insert(0, write_line(missing))
            self._files.write(lines)
        except Exception as error:
            self._unwritten += len(entries)
            self._lost += len(entries)
            self._failed(error)
            return
        self._unwritten = 0
        # Keyframes alone do not fill a file: the next one would begin with some again.
        full = self._files.is_full
        if full and any(entry.kind != "keyframe" for entry in entries):
            try:
                self._files.rotate()
            except OSError as error:
                self._failed(error)
            else:
                self._keyframes_at = -math.inf
        self._ask_for_keyframes()

    def _ask_for_keyframes(self) -> None:
        """If it is time, have each connection record what stands on it."""
        now = time.monotonic()
        if now < self._keyframes_at or self._closing:
            return
        self._keyframes_at = now + self._keyframes
        for tap in self._copy_taps():
            tap.ask()

    def _follow(self, entry: Entry) -> None:
        if entry.kind == "open":
            self._open[entry.connection] = entry
        elif entry.kind == "end":
            self._open.pop(entry.connection, None)

    def _repeated(self) -> Iterator[str]:
        """The lines that tell the next part which connections are open."""
        for entry in self._open.values():
            yield write_line(entry._replace(facts={**entry.facts, "again": True}))

    def _failed(self, error: Exception) -> None:
        """Log a failed write and tell the taps: at once, then once a minute."""
        strerror = error.strerror if isinstance(error, OSError) else None
        self._why = strerror or str(error) or type(error).__name__
        if not self._throttle.allows("failed", time.monotonic()):
            return
        failure = RecordingFailed(self._files.name, self._why, self._lost)
        failure.__cause__ = error
        log.warning("%s", failure, extra={"event": "recording failed"})
        for tap in self._copy_taps():
            tap.tell(failure)

    def _copy_taps(self) -> list[RecordingTap]:
        while True:
            try:
                return list(self._taps)
            except RuntimeError:  # another thread added a tap: copy again
                continue

    def _end(self) -> None:
        self._write_waiting()
        missing, self._missing = self._missing, 0
        now, wall = time.monotonic(), time.time()
        lines = [
            write_line(_lost(wall, now, count, why))
            for count, why in ((self._unwritten, self._why), (missing, "too slow"))
            if count
        ]
        try:
            try:
                self._files.write(lines)
            finally:
                self._files.close()
        except OSError as error:
            self._failed(error)
        self._ended = True
        atexit.unregister(self.close)


def _lost(wall: float, mono: float, count: int, why: str) -> Entry:
    return Entry(wall, mono, 0, "lost", facts={"count": count, "why": why})


def _library() -> str:
    return str(vars(sys.modules["okex_ws"]).get("__version__", ""))


def _check(max_bytes: int | None, max_seconds: float | None, keyframes: float) -> None:
    check_number("keyframes", keyframes)
    if not keyframes > 0:
        raise ValueError(f"keyframes is more than 0 seconds, got {keyframes!r}")
    if max_bytes is not None:
        check_whole("max_bytes", max_bytes)
    if max_seconds is not None:
        check_number("max_seconds", max_seconds)
        if not 0 < max_seconds < math.inf:
            raise ValueError(f"max_seconds is more than 0, got {max_seconds!r}")


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


register_for_fork(_recorders)
