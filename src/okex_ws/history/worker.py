"""`HistoryWorker`: the thread of a feed that fetches past data, one query at a time.

The first query starts the thread. No other thread of the library waits for an answer,
and the thread does nothing but run queries: it passes each answer to a callback.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from ..base.clock import Clock
from ..base.log import log
from ..base.worker import LibraryThread, WorkerThread
from ..model.instrument_ids import market_of
from ..model.items import PastBook
from .source import History

HistoryQuery = Callable[[History], Any]
# Called with the result of a query, or with the exception that it raised.
QueryCallback = Callable[[Any], None]


def _no_history() -> NoReturn:
    raise ValueError("this feed knows of no past: give it a history_source")


def ask_book(instrument_id: str, levels: int, history: History) -> PastBook:
    """The query for a whole book."""
    # Only v5 has books that are fetched, and its REST interface asks for no market.
    book = history.book(instrument_id, market_of(instrument_id) or "spot", levels)
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
        self._source = source or _no_history
        self._check = check if source is not None else _no_history
        # Whether past data may be fetched: a subscription asked for some, or the feed
        # was given a source.
        self.in_use = False
        self._worker = WorkerThread(name, clock, end=self._close_source)
        # The source once it was made; no more after it was taken out to be closed.
        self._made: deque[History] = deque()
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
        try:
            self._worker.submit(lambda: self._answer(question, answer), wait)
        except RuntimeError as error:
            answer(error)

    @property
    def thread(self) -> LibraryThread:
        """The worker's thread."""
        return self._worker.thread

    def close(self) -> None:
        """Have the thread end; returns at once.

        Waiting queries are dropped. The source is closed, so that a query that runs on
        it can end, too.
        """
        self._closing = True
        self._worker.close(drop=True)
        self._close_source()

    def forked(self) -> None:
        """Become closed in a forked child, where the thread does not exist."""
        self._closing = True
        self._worker.forked()

    # --- The thread -----------------------------------------------------------------

    def _answer(self, question: HistoryQuery, answer: QueryCallback) -> None:
        given = self._put(question)
        if not self._closing:
            answer(given)

    def _put(self, question: HistoryQuery) -> Any:
        try:
            if not self._made:
                self._made.append(self._source())
            return question(self._made[0])
        except Exception as error:
            log.debug("history: %r", error)
            return error
        except BaseException as end:
            # A user's source may raise ``SystemExit``. The subscription is told.
            raised = RuntimeError(f"the source of the past raised {end!r}")
            raised.__cause__ = end
            return raised

    def _close_source(self) -> None:
        """Close the source, once; a query may be running on it."""
        with suppress(IndexError):  # none was made, or another thread closes it
            close = getattr(self._made.pop(), "close", None)
            if callable(close):
                with suppress(Exception):
                    close()
