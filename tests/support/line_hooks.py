"""Something happens at one line of the library, then at the next: at every one in turn.

A signal handler may run between any two instructions, and a fault may come at any line.
`every_line` tries all lines that a piece of code runs through:

    for hook in every_line(feed.close):
        with hook:
            feed.subscribe(["BTC-USDT"])

calls ``feed.close`` at the first line of the library in ``subscribe``, then at the
second line of another run, until a run has ended before it came to its line. What is
called may raise: the exception then comes out of that line.
"""

from __future__ import annotations

import inspect
import linecache
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import okex_ws

PACKAGE = str(Path(okex_ws.__file__).parent)


class LineHook:
    """Calls *act* at the *number*-th line that runs in the library inside ``with``.

    Lines of the thread that enters the ``with`` count; with *threads* instead those of
    threads that are started inside it. *within* is a part of the path that a file must
    have. *act* runs untraced, once. `place` and
    `source` are the line where it was called, else empty.
    """

    def __init__(
        self, number: int, act: Callable[[], object], within: str, threads: bool
    ) -> None:
        self.number, self.place, self.source = number, "", ""
        self._act, self._within, self._threads = act, within, threads
        self._seen = 0
        self._lock = threading.Lock()
        self._before: Any = None

    @property
    def fired(self) -> bool:
        """Whether *act* was called."""
        return bool(self.place)

    def __enter__(self) -> LineHook:
        owner = threading if self._threads else sys
        self._before = owner.gettrace()
        owner.settrace(self._trace)  # type: ignore[arg-type]
        return self

    def trace_from_here(self) -> None:
        """Trace the calling thread, which runs already: what called this, and later.

        For a job of a thread of the library. The thread is traced until the line, or to
        its end.
        """
        frame: FrameType | None = inspect.currentframe()
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                frame.f_trace = self._trace
            frame = frame.f_back
        sys.settrace(self._trace)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        owner = threading if self._threads else sys
        owner.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        if self.fired or not (name.startswith(PACKAGE) and self._within in name):
            return None
        if event == "line" and self._is_due():
            self.place = f"{name.removeprefix(PACKAGE)}:{frame.f_lineno}"
            self.source = linecache.getline(name, frame.f_lineno).strip()
            sys.settrace(None)
            self._act()
        return self._trace

    def _is_due(self) -> bool:
        with self._lock:
            self._seen += 1
            return self._seen == self.number


def every_line(
    act: Callable[[], object],
    *,
    within: str = "",
    threads: bool = False,
    first: int = 1,
    stride: int = 1,
) -> Iterator[LineHook]:
    """Hooks for one line after another, until a run has not come to its line.

    With a *stride* of n only each n-th line is tried.
    """
    number = first
    while True:
        hook = LineHook(number, act, within, threads)
        yield hook
        if not hook.fired:
            assert number > first, "no line of the library ran"
            return
        number += stride


def raising(error: BaseException | type[BaseException]) -> Callable[[], object]:
    """Make a callable that raises *error*."""

    def fail() -> object:
        raise error

    return fail
