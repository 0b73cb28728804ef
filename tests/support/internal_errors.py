"""Collects what the library logs as an internal error."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _InternalErrorHandler(logging.Handler):
    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("internal error"):
            trace = "".join(traceback.format_exception(*(record.exc_info or ())))
            self._tell(f"{record.getMessage()}: {trace}")


@contextmanager
def bugs_told(tell: Callable[[str], object]) -> Iterator[None]:
    """Inside, *tell* is called with each internal error; other records go nowhere."""
    log, handler = logging.getLogger("okex_ws"), _InternalErrorHandler(tell)
    propagated, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagated
