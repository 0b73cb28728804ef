"""What stderr gets while a command runs: the library's log, and a line of progress.

Neither writes into the other, and neither into a live screen.
"""

from __future__ import annotations

import logging
import shutil
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .text import clean

# Of what a screen hid, the last lines are told.
_KEPT = 200


class _Lines(logging.Formatter):
    """A line a record, but for the traceback of a bug."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        return clean(super().formatMessage(record))


class _Stderr(logging.Handler):
    """Writes to the stderr of the moment; while it is held, it keeps what comes."""

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
        """Write *text* over the line of progress that is there; ``''`` is none."""
        self.acquire()
        self._show(text)
        self.release()

    def _show(self, text: str) -> None:
        if text or self._progress:
            print(f"\r{text}\x1b[K\r" if text else "\r\x1b[K", end="", file=sys.stderr)
            sys.stderr.flush()
        self._progress = text

    def hold(self) -> None:
        """Keep what comes from now on."""
        self.acquire()
        self._held = deque(maxlen=_KEPT)
        self.release()

    def tell(self) -> None:
        """Write what was kept, and what comes from now on."""
        self.acquire()
        held, self._held = self._held or (), None
        self.release()
        for text in held:
            print(text, file=sys.stderr)


_handler = _Stderr()


@contextmanager
def logged(verbose: bool = False) -> Iterator[None]:
    """The library's warnings go to stderr inside; *verbose* tells connects too."""
    log = logging.getLogger("okex_ws")
    log.addHandler(_handler)
    try:
        with _at_level(logging.INFO if verbose else log.level):
            yield
    finally:
        log.removeHandler(_handler)


@contextmanager
def unsaid() -> Iterator[None]:
    """Inside, nothing is told that is told as an item: what is long past is no news."""
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
    """Inside, stderr is left alone, if it is the terminal that a screen is drawn on."""
    if not sys.stderr.isatty():
        yield
        return
    _handler.hold()
    try:
        yield
    finally:
        _handler.tell()


def progress(text: str) -> None:
    """Say how far it is, on a terminal, over what was said last; ``''`` ends it."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        _handler.progress(clean(text)[: max(width - 1, 0)])
