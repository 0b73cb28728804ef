"""`Recorder`: all traffic of connections, written to a file by a thread of its own.

A connection's thread puts an entry into a queue and never waits for the disk. An entry
that cannot be queued or written is counted, and the recording says where it is missing.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import math
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..base.checks import check_number, check_whole
from ..base.clock import Clock
from ..base.errors import OkexWSError, RecordingFailed
from ..base.threads import Closing, mark_library_thread, register_for_fork
from ..base.throttled_log import LogThrottle
from ..model.credentials import Credentials
from ..net.frames import Cut, Frame
from .format import Entry, write_line
from .rotating_files import RotatingFiles
from .tap import RecordingTap

log = logging.getLogger("okex_ws")

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


class Recorder(Closing):
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
    then go on unrecorded.

    Args:
        path: the file, ``'day.rec.gz'``. An existing file is never overwritten.
        max_bytes: a file that has reached so many bytes is ended, and the recording
            continues in ``day.1.rec.gz``, ``day.2.rec.gz``, ... Each file can be read
            alone.
        max_seconds: a file that was begun so many seconds ago is ended likewise.

    A full disk, or anything else that prevents writing, ends no feed. A
    `RecordingFailed` is logged and given to the feeds' *on_error*, at once and then
    once a minute while it lasts. The recorder continues as soon as it can write, and
    the recording says how many entries are missing.

    Raises:
        FileExistsError: there is a recording, or a part of one.
        OSError: the file cannot be created.
        ValueError, TypeError: *max_bytes* or *max_seconds* is not a valid limit.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int | None = None,
        max_seconds: float | None = None,
    ) -> None:
        _check(max_bytes, max_seconds)
        self._path = os.fspath(path)
        self._closing = False
        # The `open` entry of each open connection, by the connection's number.
        self._open: dict[int, Entry] = {}
        self._files = RotatingFiles(
            self._path, _library(), self._repeated, max_bytes, max_seconds
        )
        self._numbers, self._lines = itertools.count(1), itertools.count(1)
        # Re-entrant: a signal handler may call `close` while its thread holds the lock.
        self._changed = threading.Condition(threading.RLock())
        self._waiting: deque[_Frames | Entry] = deque()
        self._size = 0
        # Entries that found no place since the last queued one, and all that were lost.
        self._missing = self._lost = 0
        self._taps: weakref.WeakSet[RecordingTap] = weakref.WeakSet()
        # Entries that could not be written, and why; for the recorder's thread alone.
        self._unwritten, self._why = 0, ""
        self._throttle = LogThrottle()
        self._thread: threading.Thread | None = None
        self._ended = False
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
        with self._changed:
            thread, self._closing = self._thread, True
            self._changed.notify_all()
            if thread is None and not self._ended:
                self._end()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        return self._ended

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
    ) -> RecordingTap:
        """The recording tap of one more connection.

        *tell* is called with each `RecordingFailed`, on any thread.
        """
        tap = RecordingTap(self, next(self._lines), clock, facts, credentials, tell)
        with self._changed:
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
        with self._changed:
            if self._closing:
                return
            if self._size + size > MOST_WAITING or not self._has_thread():
                self._missing += count
                self._lost += count
                return
            idle = not self._waiting
            if self._missing:
                wall, mono = what[:2]
                self._waiting.append(_lost(wall, mono, self._missing, "too slow"))
                self._missing = 0
            self._waiting.append(what)
            self._size += size
            if idle:
                # Only the first entry wakes the recorder's thread. The thread gathers
                # the entries of the next `BATCH` seconds without being woken.
                self._changed.notify()

    def _has_thread(self) -> bool:
        if self._thread is None:
            # A daemon, as the connections' threads are: at exit `close` waits for it.
            name = f"okex_ws:recorder:{os.path.basename(self._path)}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
            self._thread = thread
        return True

    def forked(self) -> None:
        """In a forked child: become closed, and write nothing."""
        self._changed = threading.Condition(threading.RLock())
        self._waiting = deque()
        if not self._ended:
            self._files.discard()
        self._closing = self._ended = True

    # --- The recorder's thread ------------------------------------------------------

    def _run(self) -> None:
        mark_library_thread()
        while (batch := self._next()) is not None:
            entries = _entries(batch)
            while some := list(itertools.islice(entries, _SLICE)):
                self._write(some)
        self._end()

    def _next(self) -> deque[_Frames | Entry] | None:
        """Wait for entries, and take all that are queued; ``None`` at the end."""
        with self._changed:
            while not (self._waiting or self._closing):
                self._changed.wait()
            if not self._closing:
                # Gather entries for a while, to write them at once.
                due = time.monotonic() + BATCH
                while not self._closing and (left := due - time.monotonic()) > 0:
                    self._changed.wait(left)
            batch, self._waiting, self._size = self._waiting, deque(), 0
        return batch or None

    def _write(self, entries: Sequence[Entry]) -> None:
        lines = [write_line(entry) for entry in entries]
        for entry in entries:
            self._follow(entry)
        wall, mono = entries[0][:2]
        if self._unwritten:
            missing = _lost(wall, mono, self._unwritten, self._why)
            lines.insert(0, write_line(missing))
        try:
            self._files.write(lines)
        except OSError as error:
            self._unwritten += len(entries)
            self._lost += len(entries)
            self._failed(error)
            return
        self._unwritten = 0
        if self._files.is_full:
            try:
                self._files.rotate()
            except OSError as error:
                self._failed(error)

    def _follow(self, entry: Entry) -> None:
        if entry.kind == "open":
            self._open[entry.connection] = entry
        elif entry.kind == "end":
            self._open.pop(entry.connection, None)

    def _repeated(self) -> Iterator[str]:
        """The lines that tell the next part which connections are open."""
        for entry in self._open.values():
            yield write_line(entry._replace(facts={**entry.facts, "again": True}))

    def _failed(self, error: OSError) -> None:
        """Log a failed write and tell the taps: at once, then once a minute."""
        self._why = error.strerror or str(error)
        if not self._throttle.allows("failed", time.monotonic()):
            return
        failure = RecordingFailed(self._files.name, self._why, self._lost)
        failure.__cause__ = error
        log.warning("%s", failure, extra={"event": "recording failed"})
        with self._changed:
            taps = list(self._taps)
        for tap in taps:
            tap.tell(failure)

    def _end(self) -> None:
        with self._changed:
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


def _entries(batch: Iterable[_Frames | Entry]) -> Iterator[Entry]:
    for what in batch:
        if isinstance(what, Entry):
            yield what
            continue
        wall, mono, number, frames = what
        for payload, binary in frames:
            facts = {"cut": True} if isinstance(payload, Cut) else {}
            yield Entry(wall, mono, number, "in", payload, binary, facts)


def _library() -> str:
    return str(vars(sys.modules["okex_ws"]).get("__version__", ""))


def _check(max_bytes: int | None, max_seconds: float | None) -> None:
    if max_bytes is not None:
        check_whole("max_bytes", max_bytes)
    if max_seconds is not None:
        check_number("max_seconds", max_seconds)
        if not 0 < max_seconds < math.inf:
            raise ValueError(f"max_seconds is more than 0, got {max_seconds!r}")


_recorders: weakref.WeakSet[Recorder] = weakref.WeakSet()


register_for_fork(_recorders)
