"""`log`: the library's log, under ``okex_ws``. No log handler can break the library.

Every module of the library logs through it. A handler of the script runs on the thread
that logs, in the midst of its work, so what a handler raises must not get out of here.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import traceback
from collections.abc import Callable, Mapping

from .clock import utc
from .threads import is_for_script

Extra = Mapping[str, object]


class LibraryLog:
    """A logger that never raises: what a log handler or filter raises is printed.

    It is printed to standard error, as `logging` prints the errors of its own handlers,
    and only if `logging.raiseExceptions` is set. On a thread of the library that holds
    for every exception, ``SystemExit`` too. On a thread of the script, exceptions that
    are no `Exception` pass: a signal handler may raise a ``KeyboardInterrupt`` while
    the script's thread logs. Any thread calls it.

    What the thread of a replay logs happened when it was recorded (`date_back`). Such a
    record begins with that time, and its level is DEBUG unless it is an error. An
    exception of the script's own code is of the present all the same.
    """

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)
        self._here = threading.local()

    def date_back(self, wall: Callable[[], float] | None) -> None:
        """What this thread logs from now on happened at *wall*, in epoch seconds."""
        self._here.wall = wall

    def dated(self, write: Callable[[], None]) -> Callable[[], None]:
        """*write*, which logs: another thread may call it later, with today's time."""
        if (wall := self._recorded()) is None:
            return write
        at = wall()

        def later() -> None:
            before = self._recorded()
            self.date_back(lambda: at)
            try:
                write()
            finally:
                self.date_back(before)

        return later

    def _recorded(self) -> Callable[[], float] | None:
        wall: Callable[[], float] | None = getattr(self._here, "wall", None)
        return wall

    def debug(self, text: str, *values: object, extra: Extra | None = None) -> None:
        """Log a record of level DEBUG."""
        self._write(logging.DEBUG, text, values, extra)

    def info(self, text: str, *values: object, extra: Extra | None = None) -> None:
        """Log a record of level INFO."""
        self._write(logging.INFO, text, values, extra)

    def warning(self, text: str, *values: object, extra: Extra | None = None) -> None:
        """Log a warning."""
        self._write(logging.WARNING, text, values, extra)

    def error(self, text: str, *values: object, extra: Extra | None = None) -> None:
        """Log an error."""
        self._write(logging.ERROR, text, values, extra)

    def log(
        self, level: int, text: str, *values: object, extra: Extra | None = None
    ) -> None:
        """Log a record of *level*."""
        self._write(level, text, values, extra)

    def exception(self, text: str, *values: object) -> None:
        """Log an error with the traceback of the exception that is being handled."""
        self._write(logging.ERROR, text, values, None, exc_info=True)

    def handle(self, record: logging.LogRecord) -> None:
        """Log *record*, which another process made."""
        try:
            if self._logger.isEnabledFor(record.levelno):
                self._logger.handle(record)
        except BaseException as error:
            _refuse(error)

    def _write(
        self,
        level: int,
        text: str,
        values: tuple[object, ...],
        extra: Extra | None,
        exc_info: bool = False,
    ) -> None:
        try:
            if not exc_info and (wall := self._recorded()) is not None:
                text = f"at {utc(wall()):%Y-%m-%d %H:%M:%S} UTC, as recorded: {text}"
                level = level if level >= logging.ERROR else logging.DEBUG
            # The third frame up is the one that a record names as its origin.
            self._logger.log(
                level, text, *values, exc_info=exc_info, extra=extra, stacklevel=3
            )
        except BaseException as error:
            _refuse(error)


def _refuse(error: BaseException) -> None:
    if is_for_script(error):
        raise error
    if logging.raiseExceptions:
        # Standard error may be closed, or ``None``.
        with contextlib.suppress(Exception):
            traceback.print_exception(error)


log = LibraryLog("okex_ws")
