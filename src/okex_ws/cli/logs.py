"""What a command writes to stderr while it runs: the library's log, and its progress.

A log record is never mixed into the progress line, and neither of them is written into
a live screen.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .text import clean

# The most log lines that are kept while a live screen is shown; older ones are dropped.
_KEPT = 200


class _Lines(logging.Formatter):
    """Formats a record as one line; only the traceback of a bug takes more lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return clean(super().formatMessage(record))


class _Stderr(logging.Handler):
    """Writes log lines to the present ``sys.stderr``; on hold it keeps them.

    A log line would spoil a live screen or a progress line, so it is written after the
    screen has ended, or above the progress line. On hold, only the newest 200 lines are
    kept. Any thread may log.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Lines("%(asctime)s  %(message)s", "%H:%M:%S"))
        self._held: deque[str] | None = None
        self._progress = ""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if self._held is not None:
            self._held.append(text)
            return
        progress = self._progress
        self._show("")
        print(text, file=sys.stderr)
        self._show(progress)

    def progress(self, text: str) -> None:
        """Replace the progress line by *text*; ``''`` removes it."""
        self.acquire()
        self._show(text)
        self.release()

    def _show(self, text: str) -> None:
        if text or self._progress:
            print(f"\r{text}\x1b[K\r" if text else "\r\x1b[K", end="", file=sys.stderr)
            sys.stderr.flush()
        self._progress = text

    def hold(self) -> None:
        """Keep log lines from now on, instead of writing them."""
        self.acquire()
        self._held = deque(maxlen=_KEPT)
        self.release()

    def tell(self) -> None:
        """Write the lines that were kept, and write new lines at once from now on."""
        self.acquire()
        held, self._held = self._held or (), None
        self.release()
        for text in held:
            print(text, file=sys.stderr)


_handler = _Stderr()


@contextmanager
def logged(verbose: bool = False) -> Iterator[None]:
    """Inside, the library's warnings go to stderr; with *verbose* also its connects."""
    log = logging.getLogger("okex_ws")
    log.addHandler(_handler)
    try:
        with _at_level(logging.INFO if verbose else log.level):
            yield
    finally:
        log.removeHandler(_handler)


@contextmanager
def unsaid() -> Iterator[None]:
    """Inside, the library logs nothing below critical errors.

    A replay delivers the same facts as items, and warnings about the past are no news.
    """
    with _at_level(logging.CRITICAL):
        yield


@contextmanager
def _at_level(level: int) -> Iterator[None]:
    log = logging.getLogger("okex_ws")
    before = log.level
    log.setLevel(level)
    try:
        yield
    finally:
        log.setLevel(before)


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, log lines are kept if stderr is a terminal, where the screen is."""
    if not sys.stderr.isatty():
        yield
        return
    _handler.hold()
    try:
        yield
    finally:
        _handler.tell()


def progress(text: str) -> None:
    """Show *text* as the progress line on a terminal; ``''`` removes the line."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        _handler.progress(clean(text)[: max(width - 1, 0)])
