"""`HistoryWorker`: the thread of a feed that fetches past data, one query at a time.

The first query starts the thread. No other thread of the library waits for an answer,
and the thread does nothing but run queries: it passes each answer to a callback.
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
# Called with the result of a query, or with the exception that it raised.
QueryCallback = Callable[[Any], None]


def _no_history() -> NoReturn:
    raise ValueError("this feed knows of no past: give it a history_source")


def ask_book(instrument_id: str, levels: int, history: History) -> PastBook:
    """The query for a whole book."""
    book = history.book(instrument_id, market_of(instrument_id) or "", levels)
    if not isinstance(book, PastBook):
        raise TypeError(f"a book is a PastBook, got {type(book).__name__}")
    return book


class HistoryWorker:
    """The thread of a feed that fetches past data; no connection waits for REST.

    It runs queries one at a time, in the order in which they are due, and passes each
    result, or the exception that the query raised, to the query's callback on its own
    thread. No exception of a query ends it. Any thread may call `use`, `ask`, `close`
    and `join`; a lock guards overlapping calls. The queue has no limit.

    *source* is a callable that makes the `History` to query; the thread calls it for
    the first query. *check* is a callable that raises ``ValueError`` or ``ImportError``
    if the feed can have no past.
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
        # Whether past data may be fetched: a subscription asked for some, or the feed
        # was given a source.
        self.in_use = False
        # Re-entrant: a signal handler or the garbage collector may call `close` on a
        # thread that holds it.
        self._changed = threading.Condition(threading.RLock())
        self._numbers = itertools.count()
        self._waiting: list[tuple[float, int, HistoryQuery, QueryCallback]] = []
        self._thread: threading.Thread | None = None
        self._history: History | None = None
        self._closing = False

    # --- From any thread ------------------------------------------------------------

    def use(self) -> None:
        """Say that the feed will fetch past data; raises what *check* raises."""
        self._check()
        self.in_use = True

    def ask(
        self, question: HistoryQuery, answer: QueryCallback, wait: float = 0.0
    ) -> None:
        """Run *question* in *wait* seconds, and call *answer* with its result.

        The worker's thread calls *answer*. If that thread cannot be started, the
        caller's thread calls *answer* with the ``RuntimeError``, at once. After `close`
        no query runs and no answer is passed on.
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
            # A daemon, so that a running query does not keep a script alive.
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            thread.start()
            self._thread = thread

    @property
    def running(self) -> bool:
        """Whether the worker's thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """Have the thread end; returns at once.

        Waiting queries are dropped. The source is closed, so that a query that runs on
        it can end, too.
        """
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify()
        self._end()

    def join(self, timeout: float | None) -> bool:
        """Wait for the thread to end.

        Returns False if it did not within *timeout* seconds, or is the calling thread.
        """
        if self._thread is threading.current_thread():
            return False
        if self._thread is not None:
            self._thread.join(timeout)
        return not self.running

    def forked(self) -> None:
        """Mark the worker as closed in a forked child, where its thread does not exist.

        The lock is replaced, because another thread may have held it.
        """
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
                # An injected clock may reach the due time without a notification, so
                # the thread looks at it at least each minute.
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
            # A user's source may raise ``SystemExit``. The thread must survive that:
            # other subscriptions query on it as well.
            raised = RuntimeError(f"the source of the past raised {end!r}")
            raised.__cause__ = end
            return raised

    def _end(self) -> None:
        """Close the source, once; a query may be running on it."""
        with self._changed:
            history, self._history = self._history, None
        close = getattr(history, "close", None)
        if callable(close):
            with suppress(Exception):
                close()
