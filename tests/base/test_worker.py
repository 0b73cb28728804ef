"""The library's threads: no fault ends one, and no signal handler hangs on one."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from okex_ws.base.threads import on_library_thread
from okex_ws.base.worker import LibraryThread, WorkerThread
from tests.support.clocks import FakeClock
from tests.support.line_hooks import LineHook, every_line, raising

WAIT = 20.0
ERRORS = [ValueError("wrong"), MemoryError(), SystemExit(3), KeyboardInterrupt()]


@pytest.fixture
def worker() -> Iterator[WorkerThread]:
    made = WorkerThread("the-worker")
    yield made
    made.close(drop=True)
    assert made.join(WAIT)


class Raising(logging.Handler):
    """A log handler that always raises."""

    def emit(self, record: logging.LogRecord) -> None:
        raise SystemExit("the handler raises")


@pytest.fixture
def raising_log() -> Iterator[None]:
    logger, handler = logging.getLogger("okex_ws"), Raising()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


# --- Jobs ---------------------------------------------------------------------------


def test_the_first_job_starts_one_daemon_thread_of_the_library(
    worker: WorkerThread,
) -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append((threading.current_thread(), on_library_thread()))

    assert not worker.thread.running
    assert worker.submit(look)
    assert worker.thread.running
    assert worker.submit(look)
    worker.close()
    assert worker.join(WAIT)

    assert not worker.thread.running
    (thread, ours), second = seen
    assert (thread.name, thread.daemon, ours) == ("the-worker", True, True)
    assert second == (thread, True)


def test_jobs_run_when_they_are_due_by_the_given_clock() -> None:
    clock, done = FakeClock(), threading.Event()
    ran: list[str] = []
    worker = WorkerThread("", clock)

    worker.submit(lambda: ran.append("late"), 5.0)
    worker.submit(lambda: ran.append("now"))
    worker.submit(done.set)
    assert done.wait(WAIT)
    assert ran == ["now"]

    clock.advance(5.0)
    worker.submit(lambda: ran.append("later"))
    worker.close()
    assert worker.join(WAIT)
    assert ran == ["now", "late", "later"]


def test_closing_runs_what_waits_at_once_or_drops_it() -> None:
    for drop in (False, True):
        ran: list[str] = []
        worker = WorkerThread("", FakeClock(), end=partial(ran.append, "end"))
        worker.submit(partial(ran.append, "job"), 1e9)
        worker.close(drop=drop)
        assert worker.join(WAIT)
        assert ran == (["end"] if drop else ["job", "end"])
        assert not worker.submit(partial(ran.append, "too late"))


def test_no_more_jobs_wait_than_the_bound() -> None:
    let_go, entered = threading.Event(), threading.Event()
    worker = WorkerThread("", bound=2)

    worker.submit(lambda: (entered.set(), let_go.wait(WAIT)))
    assert entered.wait(WAIT)
    assert [worker.submit(lambda: None) for _ in range(3)] == [True, True, False]

    let_go.set()
    worker.close()
    assert worker.join(WAIT)


def test_what_was_never_started_is_ended_by_the_closing_thread() -> None:
    ended: list[threading.Thread] = []
    worker = WorkerThread("", end=lambda: ended.append(threading.current_thread()))

    worker.close()
    worker.close()

    assert ended == [threading.current_thread()]
    assert worker.join(None)


def test_its_own_thread_does_not_wait_for_itself(worker: WorkerThread) -> None:
    joined: list[bool] = []
    worker.submit(lambda: joined.append(worker.join(None)))
    worker.close()
    assert worker.join(WAIT)
    assert joined == [False]


def test_join_gives_up_after_its_time(worker: WorkerThread) -> None:
    let_go = threading.Event()
    worker.submit(lambda: let_go.wait(WAIT))
    assert not worker.join(0.0)
    assert not worker.join(-1.0)
    let_go.set()


def test_a_system_without_threads_is_told_and_asked_again(
    worker: WorkerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        fail = raising(RuntimeError("can't start new thread"))
        patched.setattr(threading.Thread, "start", lambda self: fail())
        with pytest.raises(RuntimeError, match="new thread"):
            worker.submit(lambda: None)
        assert not worker.thread.running
        assert worker.join(None)

    ran: list[int] = []
    assert worker.submit(lambda: ran.append(1))
    worker.close()
    assert worker.join(WAIT)
    assert ran == [1]


def test_it_is_started_once() -> None:
    turns: list[threading.Thread] = []
    let_go = threading.Event()

    def turn() -> bool:
        turns.append(threading.current_thread())
        return not let_go.wait(WAIT)

    thread = LibraryThread("", turn)
    assert not thread.running
    assert thread.join(None)
    thread.start()
    thread.start()
    assert thread.running
    let_go.set()
    assert thread.join(WAIT)
    assert not thread.running
    thread.start()
    assert not thread.running
    assert len(turns) == 1


# --- Faults -------------------------------------------------------------------------


@pytest.mark.usefixtures("raising_log")
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_neither_a_job_nor_a_log_handler_that_raises_ends_the_thread(
    error: BaseException, worker: WorkerThread
) -> None:
    ran: list[int] = []

    worker.submit(raising(error))
    worker.submit(lambda: ran.append(1))
    worker.close()

    assert worker.join(WAIT)
    assert ran == [1]


@pytest.mark.usefixtures("raising_log")
def test_a_turn_that_raises_is_taken_again() -> None:
    turns = iter(ERRORS)

    def turn() -> bool:
        if (error := next(turns, None)) is not None:
            raise error
        return False

    ended: list[int] = []
    thread = LibraryThread("", turn, lambda: ended.append(1))
    thread.start()

    assert thread.join(WAIT)
    assert ended == [1]


def test_whoever_makes_a_thread_may_say_how_it_survives() -> None:
    """What it raises is told to nobody else: it may have a secret in its text."""
    survived: list[BaseException] = []
    faults = [ValueError("turn"), SystemExit("end")]
    turns = iter([raising(faults[0]), lambda: False])

    def survive(fault: BaseException) -> None:
        survived.append(fault)
        raise MemoryError

    thread = LibraryThread("", lambda: next(turns)(), raising(faults[1]), survive)
    thread.start()

    assert thread.join(WAIT)
    assert survived == faults


def test_a_turn_that_always_raises_does_not_spin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    turns = iter([*[raising(ValueError())] * 12, lambda: True, raising(ValueError())])

    thread = LibraryThread("", lambda: next(turns, lambda: False)())
    thread.start()

    assert thread.join(WAIT)
    assert pauses[:4] == [0.002, 0.004, 0.008, 0.016]
    assert pauses[9:] == [1.0, 1.0, 1.0, 0.002]


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(1)], ids=repr)
def test_a_second_fault_at_any_line_that_survives_a_failing_turn_ends_nothing(
    error: BaseException,
) -> None:
    for hook in every_line(raising(error), within="base/worker"):
        turns: list[int] = []
        ended: list[int] = []

        def turn(hook: LineHook = hook, turns: list[int] = turns) -> bool:
            turns.append(1)
            if len(turns) == 1:
                hook.trace_from_here()
                raise ValueError
            sys.settrace(None)
            return len(turns) < 3

        thread = LibraryThread("", turn, partial(ended.append, 1))
        thread.start()
        assert thread.join(WAIT), hook.place
        assert (len(turns), ended) == (3, [1]), hook.place


# A fault in the first or last lines of the thread ends it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_at_any_line_of_the_thread_leaves_nobody_waiting() -> None:
    for hook in every_line(raising(SystemExit), within="base/worker", threads=True):
        thread = LibraryThread("", lambda: False)
        with hook:
            thread.start()
            assert thread.join(WAIT), hook.place
        assert not thread.running, hook.place


def test_what_is_raised_at_the_end_leaves_nobody_waiting() -> None:
    worker = WorkerThread("", end=raising(SystemExit()))
    worker.submit(lambda: None)
    worker.close()
    assert worker.join(WAIT)


@pytest.mark.parametrize("error", [MemoryError(), SystemExit(1)], ids=repr)
def test_a_second_fault_at_any_line_that_handles_a_failing_job_ends_nothing(
    error: BaseException,
) -> None:
    for hook in every_line(raising(error)):
        ran: list[int] = []
        worker = WorkerThread("")

        def job(hook: LineHook = hook) -> None:
            hook.trace_from_here()
            raise ValueError

        def untrace() -> None:
            sys.settrace(None)

        append = ran.append
        for each in (job, partial(append, 1), partial(append, 2), untrace):
            worker.submit(each)
        worker.close()
        assert worker.join(WAIT), hook.place
        # A fault between two jobs may cost the one that is about to run.
        assert 2 in ran or ran == [1], hook.place


# --- Signal handlers ----------------------------------------------------------------


@pytest.mark.parametrize("call", ["submit", "close", "join"])
def test_a_signal_handler_may_close_and_wait_at_any_line(call: str) -> None:
    worker = WorkerThread("")

    def handle() -> None:
        worker.close()
        joined.append(worker.join(WAIT))

    for hook in every_line(handle):
        ended: list[int] = []
        joined: list[bool] = []
        worker = WorkerThread("", end=partial(ended.append, 1))
        if call != "submit":
            worker.submit(lambda: None)
        with hook:
            if call == "submit":
                worker.submit(lambda: None)
            elif call == "close":
                worker.close()
            else:
                worker.join(0.0)
        worker.close()
        assert worker.join(WAIT), hook.place
        assert ended == [1], hook.place
        assert all(joined), hook.place


def test_an_interrupt_at_any_line_of_submit_leaves_a_worker_that_works() -> None:
    for hook in every_line(raising(KeyboardInterrupt())):
        ran: list[int] = []
        worker = WorkerThread("")
        with suppress(KeyboardInterrupt), hook:
            worker.submit(lambda: None)
        assert worker.submit(partial(ran.append, 1)), hook.place
        worker.close()
        assert worker.join(WAIT), hook.place
        assert ran == [1], hook.place


# --- Forks --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_in_a_forked_child_it_is_closed(
    worker: WorkerThread,
) -> None:
    let_go = threading.Event()
    worker.submit(lambda: let_go.wait(WAIT))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            worker.forked()
            worker.close()
            late = worker.submit(lambda: None)
            code = 0 if worker.join(None) and not (late or worker.thread.running) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert worker.thread.running
    let_go.set()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_thread_that_forked_is_the_one_that_runs_in_the_child(
    worker: WorkerThread,
) -> None:
    codes: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                worker.forked()
                code = 0 if worker.thread.running and not worker.join(None) else 2
            finally:
                os._exit(code)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    worker.submit(fork)
    worker.close()
    assert worker.join(WAIT)
    assert codes == [0]


def test_what_was_never_started_is_not_started_after_the_fork() -> None:
    turns: list[int] = []
    thread = LibraryThread("", lambda: turns.append(1) is not None)
    thread.forked()
    thread.start()
    assert not thread.running
    assert thread.join(None)
    assert turns == []
