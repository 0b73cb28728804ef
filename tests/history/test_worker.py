"""One thread asks for the past; nothing else waits, and close() ends it."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from okex_ws import ConnectionLost, PastBook
from okex_ws.base.clock import SystemClock, utc
from okex_ws.base.threads import on_library_thread
from okex_ws.history.worker import HistoryWorker, ask_book
from tests.support.clocks import FakeClock
from tests.support.fake_history import NAME, Past

WAIT = 20.0


class Blocking(Past):
    """Answers when it is told to, or closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closings = 0
        self.entered = threading.Event()
        self.let_go = threading.Event()

    def trades(self, *args: Any, **keywords: Any) -> Any:
        self.entered.set()
        assert self.let_go.wait(WAIT)
        raise ConnectionLost("https://rest.invalid", "closed")

    def close(self) -> None:
        super().close()
        self.closings += 1
        self.let_go.set()


@pytest.fixture
def answers() -> queue.Queue[Any]:
    return queue.Queue()


def names(history: Any) -> tuple[str, bool]:
    return threading.current_thread().name, on_library_thread()


def test_a_question_is_put_on_a_thread_of_its_own(answers: queue.Queue[Any]) -> None:
    history_worker = HistoryWorker("the-worker", SystemClock(), Past)
    assert not history_worker.thread.running

    history_worker.ask(names, answers.put)

    assert answers.get(timeout=WAIT) == ("the-worker", True)
    assert history_worker.thread.running
    history_worker.close()
    assert history_worker.thread.join(WAIT)
    assert not history_worker.thread.running


def test_questions_are_put_in_turn_and_one_source_is_made(
    answers: queue.Queue[Any],
) -> None:
    made: list[Past] = []

    def make() -> Past:
        made.append(Past())
        return made[-1]

    history_worker = HistoryWorker("", SystemClock(), make)
    for number in range(5):
        history_worker.ask(lambda history, number=number: number, answers.put)

    assert [answers.get(timeout=WAIT) for _ in range(5)] == [0, 1, 2, 3, 4]
    history_worker.close()
    assert history_worker.thread.join(WAIT)
    assert len(made) == 1
    assert made[0].closed


def test_one_that_waits_lets_others_go_first(answers: queue.Queue[Any]) -> None:
    clock = FakeClock()
    history_worker = HistoryWorker("", clock, Past)

    history_worker.ask(lambda history: "late", answers.put, 5.0)
    history_worker.ask(lambda history: "now", answers.put)
    assert answers.get(timeout=WAIT) == "now"
    clock.advance(5.0)
    history_worker.ask(lambda history: "later", answers.put)

    assert answers.get(timeout=WAIT) == "late"
    assert answers.get(timeout=WAIT) == "later"
    history_worker.close()
    assert history_worker.thread.join(WAIT)


def test_what_is_raised_is_an_answer(answers: queue.Queue[Any]) -> None:
    source = Past(failing=1)
    history_worker = HistoryWorker("", SystemClock(), lambda: source)

    for _ in range(2):
        history_worker.ask(lambda history: history.trades(NAME, "spot"), answers.put)

    assert answers.get(timeout=WAIT) is source.error
    assert answers.get(timeout=WAIT) == ()
    history_worker.close()
    assert history_worker.thread.join(WAIT)


def test_a_source_that_cannot_be_made_is_an_answer(answers: queue.Queue[Any]) -> None:
    history_worker = HistoryWorker("", SystemClock())

    history_worker.ask(names, answers.put)

    assert isinstance(answers.get(timeout=WAIT), ValueError)
    with pytest.raises(ValueError, match="history_source"):
        history_worker.use()
    assert not history_worker.in_use
    history_worker.close()
    assert history_worker.thread.join(WAIT)


def test_closing_ends_the_question_and_nothing_is_answered(
    answers: queue.Queue[Any],
) -> None:
    source = Blocking()
    history_worker = HistoryWorker("", SystemClock(), lambda: source)
    history_worker.ask(lambda history: history.trades(NAME, "spot"), answers.put)
    history_worker.ask(names, answers.put)
    assert source.entered.wait(WAIT)

    history_worker.close()

    assert history_worker.thread.join(WAIT)
    assert source.closings == 1
    history_worker.ask(names, answers.put)
    assert answers.empty()


def test_its_own_thread_does_not_wait_for_itself(answers: queue.Queue[Any]) -> None:
    history_worker = HistoryWorker("", SystemClock(), Past)

    history_worker.ask(lambda history: history_worker.thread.join(None), answers.put)

    assert answers.get(timeout=WAIT) is False
    history_worker.close()
    assert history_worker.thread.join(WAIT)


def test_without_a_thread_the_answer_is_that_there_is_none(
    answers: queue.Queue[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    history_worker = HistoryWorker("", SystemClock(), Past)
    monkeypatch.setattr(threading.Thread, "start", refuse)

    history_worker.ask(names, answers.put)

    assert "can't start" in str(answers.get_nowait())
    assert history_worker.thread.join(0)


def test_a_forked_child_has_none(answers: queue.Queue[Any]) -> None:
    history_worker = HistoryWorker("", SystemClock(), Past)

    history_worker.forked()
    history_worker.ask(names, answers.put)

    assert not history_worker.thread.running
    assert answers.empty()


def test_a_book_is_asked_for_on_the_market_that_its_id_tells() -> None:
    book = PastBook((), (), 5, utc(0.0))
    source = Past(books=[book])

    assert ask_book("BTC-USD-SWAP", 50, source) is book
    assert source.asked == [("BTC-USD-SWAP", "swap", 50)]
    with pytest.raises(TypeError, match="got str"):
        ask_book(NAME, 50, Past(books=["nonsense"]))  # type: ignore[list-item]


def test_a_source_that_ends_its_thread_ends_no_other_question(
    answers: queue.Queue[Any],
) -> None:
    def leave(history: Any) -> None:
        raise SystemExit(3)

    history_worker = HistoryWorker("the-worker", SystemClock(), Past)
    history_worker.ask(leave, answers.put)
    history_worker.ask(names, answers.put)

    assert isinstance(answers.get(timeout=WAIT), RuntimeError)
    assert answers.get(timeout=WAIT) == ("the-worker", True)
    history_worker.close()
    assert history_worker.thread.join(WAIT)
