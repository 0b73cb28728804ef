"""A process is started, listened to, started again, until its supervisor is closed."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okex_ws import Reconnect
from okex_ws.isolation.process import Unpacker, pack
from okex_ws.isolation.supervisor import Supervisor
from tests.support.internals import (
    close_wakers,
    lock_of,
    process_of,
    set_backoff,
    wakers_of,
)

LIMIT = 20.0


class FakeProcess:
    """In place of a process: the other end of its socket is *theirs*."""

    def __init__(self) -> None:
        self.sock, self.theirs = socket.socketpair()
        self.sock.setblocking(False)
        self.theirs.settimeout(LIMIT)
        self.alive = True
        self.ended = threading.Event()
        self._unpacker, self._said = Unpacker(), []  # type: ignore[var-annotated]

    @property
    def runs(self) -> bool:
        return self.alive

    def send(self, data: Any) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def receive(self) -> bytes | None:
        try:
            return self.sock.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def end(self) -> str:
        self.sock.close()
        self.theirs.close()
        self.ended.set()
        return "exit code 0"

    def forked(self) -> None:
        self.sock.close()

    # --- Its own side ---------------------------------------------------------------

    def told(self) -> Any:
        """What it is told next."""
        while not self._said:
            data = self.theirs.recv(65536)
            assert data
            self._said.extend(self._unpacker.feed(data))
        return self._said.pop(0)

    def say(self, *message: Any) -> None:
        self.theirs.sendall(pack(message))


class SupervisedProcesses:
    """A supervisor, its children, and what its owner hears."""

    def __init__(self) -> None:
        self.processes: queue.SimpleQueue[FakeProcess] = queue.SimpleQueue()
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.fails: list[BaseException] = []
        self.begins: Callable[[], None] = lambda: None
        self.hears: Callable[[Any], None] = lambda message: None
        # Whether a process ran as the end of one was told.
        self.ran: list[bool] = []
        self.supervisor = Supervisor(
            self, "okex_ws:supervisor", Reconnect(0.01, 0.01), 0.2, self._spawn
        )

    def _spawn(self) -> Any:
        if self.fails:
            raise self.fails.pop()
        process = FakeProcess()
        self.processes.put(process)
        return process

    def process_started(self) -> None:
        self.begins()
        self.events.put("begin")

    def message_received(self, message: Any) -> None:
        self.hears(message)
        self.events.put(message)

    def process_ended(self, why: str) -> None:
        self.ran.append(self.supervisor.process_runs)
        self.events.put(why)

    def supervisor_stopped(self) -> None:
        self.events.put("over")

    def next(self) -> Any:
        return self.events.get(timeout=LIMIT)

    def process(self) -> FakeProcess:
        return self.processes.get(timeout=LIMIT)

    def start(self) -> FakeProcess:
        self.supervisor.start()
        assert self.next() == "begin"
        return self.process()


@pytest.fixture
def rig() -> Iterator[SupervisedProcesses]:
    rig = SupervisedProcesses()
    yield rig
    rig.supervisor.close()
    if rig.supervisor.thread.running:
        assert rig.supervisor.thread.join(LIMIT)
    close_wakers(rig.supervisor)


def test_it_is_told_in_order_and_heard_in_order(rig: SupervisedProcesses) -> None:
    rig.begins = lambda: rig.supervisor.send("start", 1)
    process = rig.start()
    assert rig.supervisor.process_runs
    rig.supervisor.send("more", "x" * 1_000_000)
    rig.supervisor.send("last")

    assert process.told() == ("start", 1)
    assert process.told()[0] == "more"
    assert process.told() == ("last",)
    for number in range(3):
        process.say("word", number)
    assert [rig.next() for _ in range(3)] == [("word", n) for n in range(3)]


def test_nothing_is_kept_for_one_that_is_not_there(rig: SupervisedProcesses) -> None:
    rig.supervisor.send("lost")
    rig.begins = lambda: rig.supervisor.send("start")
    process = rig.start()

    assert process.told() == ("start",)


def test_what_was_told_can_be_forgotten(rig: SupervisedProcesses) -> None:
    def begin() -> None:
        rig.supervisor.send("early")
        rig.supervisor.discard_unsent()
        rig.supervisor.send("start")

    rig.begins = begin
    assert rig.start().told() == ("start",)


def ends(process: FakeProcess) -> None:
    process.theirs.shutdown(socket.SHUT_RDWR)


def dies(process: FakeProcess) -> None:
    """Though somebody who was forked off holds its end of the socket open."""
    process.alive = False


def raves(process: FakeProcess) -> None:
    process.theirs.sendall(b"Traceback (most recent call last):\n")


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (ends, "the reading process ended (exit code 0)"),
        (dies, "the reading process ended (exit code 0)"),
        (raves, "the reading process ended (exit code 0), as it said what makes no"),
    ],
)
def test_one_that_ends_is_followed_by_another(
    rig: SupervisedProcesses, end: Callable[[FakeProcess], None], why: str
) -> None:
    first = rig.start()
    end(first)

    assert rig.next().startswith(why)
    assert first.ended.is_set()
    assert rig.next() == "begin"
    second = rig.process()
    assert second is not first
    rig.supervisor.send("again")
    assert second.told() == ("again",)


def test_what_it_said_last_is_heard(rig: SupervisedProcesses) -> None:
    process = rig.start()
    for number in range(100):
        process.say("word", number, "x" * 1000)
    ends(process)

    assert [rig.next()[1] for _ in range(100)] == [*range(100)]
    assert rig.next().startswith("the reading process ended")


def test_it_does_not_work_from_the_moment_that_it_is_ended(
    rig: SupervisedProcesses,
) -> None:
    process = rig.start()
    seen: list[bool] = []
    end = process.end

    def ending() -> str:
        seen.append(rig.supervisor.process_runs)
        return end()

    process.end = ending  # type: ignore[method-assign]
    ends(process)
    rig.next()

    assert seen == [False]


@pytest.mark.parametrize("error", [FileNotFoundError("no python"), ValueError("odd")])
def test_one_that_cannot_be_started_is_tried_again(
    rig: SupervisedProcesses, error: Exception
) -> None:
    rig.fails = [error]
    rig.supervisor.start()

    assert rig.next() == f"the reading process cannot be started: {error}"
    assert rig.ran == [False]
    assert rig.next() == "begin"


@pytest.mark.parametrize("where", ["begins", "hears"])
def test_an_error_of_our_own_ends_the_child_and_nothing_else(
    rig: SupervisedProcesses, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        setattr(rig, where, lambda *_: None)
        raise RuntimeError("a bug")

    setattr(rig, where, fail)
    rig.supervisor.start()
    if where == "hears":
        assert rig.next() == "begin"
        rig.process().say("word")

    assert "internal error: RuntimeError('a bug')" in rig.next()
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert rig.next() == "begin"


def test_the_waits_grow_and_a_healthy_life_resets_them(
    rig: SupervisedProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[Any] = []

    def backoff(first: float, cap: float, rng: Any) -> Iterator[float]:
        waits.append("new")
        for number in range(100):
            waits.append(number)
            yield 0.0

    monkeypatch.setattr("okex_ws.isolation.supervisor.backoff", backoff)
    rig.start()
    rig.fails = [OSError("no"), OSError("no")]
    set_backoff(rig.supervisor, Reconnect(0.01, 0.01, healthy_after=1e6))
    process = process_of(rig.supervisor)
    assert isinstance(process, FakeProcess)
    ends(process)
    for _ in range(3):
        assert rig.next().startswith("the reading process")
    assert rig.next() == "begin"
    assert waits == ["new", 0, 1, 2]
    set_backoff(rig.supervisor, Reconnect(0.01, 0.01, healthy_after=0.0))
    again = process_of(rig.supervisor)
    assert isinstance(again, FakeProcess)
    ends(again)
    assert rig.next().startswith("the reading process")
    assert rig.next() == "begin"
    assert waits[-2:] == ["new", 0]


# --- The end --------------------------------------------------------------------------


def test_it_is_asked_to_end_and_heard_until_it_has(rig: SupervisedProcesses) -> None:
    process = rig.start()
    rig.supervisor.send("before")
    rig.supervisor.close()

    assert process.told() == ("before",)
    assert process.told() == ("close",)
    process.say("goodbye")
    ends(process)
    assert rig.supervisor.thread.join(LIMIT)
    assert [rig.next(), rig.next()] == [("goodbye",), "over"]
    assert not rig.supervisor.process_runs


def test_one_that_does_not_listen_is_ended_in_bounded_time(
    rig: SupervisedProcesses,
) -> None:
    process = rig.start()
    rig.supervisor.send("x" * 10_000_000)  # more than anything takes that nobody reads
    rig.supervisor.close()

    assert rig.supervisor.thread.join(LIMIT)
    assert process.ended.is_set()


def test_a_wait_for_the_next_one_is_cut_short(rig: SupervisedProcesses) -> None:
    set_backoff(rig.supervisor, Reconnect(1000.0, 1000.0))
    rig.fails = [OSError("no")]
    rig.supervisor.start()
    rig.next()
    rig.supervisor.close()

    assert rig.supervisor.thread.join(LIMIT)
    assert rig.next() == "over"


def test_it_is_not_waited_for_on_its_own_thread(rig: SupervisedProcesses) -> None:
    seen: list[bool] = []
    rig.begins = lambda: seen.append(rig.supervisor.thread.join(LIMIT))
    rig.start()

    assert seen == [False]


def test_without_a_thread_nothing_is_left(
    rig: SupervisedProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            rig.supervisor.start()
    rig.supervisor.send("nobody")
    assert not rig.supervisor.thread.running


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child_its_descriptors_are_closed_without_a_word(
    rig: SupervisedProcesses,
) -> None:
    process = rig.start()
    numbers = [s.fileno() for s in (process.sock, *wakers_of(rig.supervisor))]
    lock_of(rig.supervisor).acquire()  # as a thread may have, that is not there then
    pid = os.fork()
    if pid == 0:
        rig.supervisor.forked()
        closed = 0
        for number in numbers:
            with contextlib.suppress(OSError):
                os.fstat(number)
                continue
            closed += 1
        rig.supervisor.send("nobody")
        os._exit(closed + 10 * rig.supervisor.process_runs)
    _, status = os.waitpid(pid, 0)
    lock_of(rig.supervisor).release()

    assert os.waitstatus_to_exitcode(status) == 3
    rig.supervisor.send("still here")
    assert process.told() == ("still here",)
