"""One thread a feed that asks for the past: one question at a time, in their order.

It is started by the first question. Nothing else of the library waits for an answer,
and nothing but the questions is done on it: each answer is handed on.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from ..base.clock import Clock
from ..base.threads import mark_library_thread
from ..model.items import PastBook
from ..model.venues import market_of
from .source import History

log = logging.getLogger("okex_ws")

HistoryQuery = Callable[[History], Any]
# What was given, or the exception that was raised.
QueryCallback = Callable[[Any], None]


def _no_history() -> NoReturn:
    raise ValueError("this feed knows of no past: give it a history_source")


def ask_book(instrument_id: str, levels: int, history: History) -> PastBook:
    """The question for a whole book."""
    book = history.book(instrument_id, market_of(instrument_id) or "", levels)
    if not isinstance(book, PastBook):
        raise TypeError(f"a book is a PastBook, got {type(book).__name__}")
    return book


class HistoryWorker:
    """The thread that asks the `History` that *source* makes.

    *check* raises ``ValueError`` or ``ImportError`` where there will be none.
    """

    def __init__(
        self,
        name: str,
        clock: Clock,
        source: Callable[[], History] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._clock = clock
        self._source = source or _no_history
        self._check = check if source is not None else _no_history
        # Whether anybody wants a past of this feed.
        self.in_use = False
        # Re-entrant: a signal handler, or the collector, may close in the middle.
        self._changed = threading.Condition(threading.RLock())
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, HistoryQuery, QueryCallback]] = []
        self._thread: threading.Thread | None = None
        self._history: History | None = None
        self._closing = False

    # --- From any thread ------------------------------------------------------------

    def use(self) -> None:
        """It will be asked; raises what *check* raises."""
        self._check()
        self.in_use = True

    def ask(
        self, question: HistoryQuery, answer: QueryCallback, wait: float = 0.0
    ) -> None:
        """Have *question* put in *wait* seconds, and *answer* called with what came.

        On the filler's thread, or here, if there is no thread to be had. Once it is
        closed nothing is asked, nor answered.
        """
        due = self._clock.monotonic() + wait
        with self._changed:
            if self._closing:
                return
            try:
                self._start()
            except RuntimeError as error:
                answer(error)
                return
            heapq.heappush(self._waiting, (due, next(self._numbers), question, answer))
            self._changed.notify()

    def _start(self) -> None:
        if self._thread is None:
            # A daemon: no script is kept alive by a question.
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()
            self._thread = thread

    @property
    def running(self) -> bool:
        """Whether its thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Have the thread end, and the question that it asks with it; at once."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify()
        self._end()

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread's end; False if it has not come in time, or is ours."""
        if self._thread is threading.current_thread():
            return False
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    def forked(self) -> None:
        """In a forked child: ended, and no lock that another thread may have held."""
        self._changed = threading.Condition(threading.RLock())
        self._closing = True
        self._thread = None

    # --- The thread -----------------------------------------------------------------

    def _run(self) -> None:
        mark_library_thread()
        while (asked := self._next()) is not None:
            question, answer = asked
            given = self._put(question)
            if not self._closing:
                answer(given)
        self._end()

    def _next(self) -> tuple[HistoryQuery, QueryCallback] | None:
        with self._changed:
            while not self._closing:
                left = 60.0
                if self._waiting:
                    left = self._waiting[0][0] - self._clock.monotonic()
                if left <= 0:
                    return heapq.heappop(self._waiting)[2:]
                # Nobody may tell it: the clock may be another one than the system's.
                self._changed.wait(min(left, 60.0))
        return None

    def _put(self, question: HistoryQuery) -> Any:
        try:
            history = self._history = self._history or self._source()
            return question(history)
        except Exception as error:
            log.debug("history: %r", error)
            return error
        except BaseException as end:
            # Whoever wrote the source: others ask on this thread as well.
            raised = RuntimeError(f"the source of the past raised {end!r}")
            raised.__cause__ = end
            return raised

    def _end(self) -> None:
        """Close the source, once; perhaps while it is being asked."""
        with self._changed:
            history, self._history = self._history, None
        close = getattr(history, "close", None)
        if callable(close):
            with suppress(Exception):
                close()
