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


class Stand:
    """A supervisor, its children, and what its owner hears."""

    def __init__(self) -> None:
        self.processes: queue.SimpleQueue[FakeProcess] = queue.SimpleQueue()
        self.events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.fails: list[BaseException] = []
        self.begins: Callable[[], None] = lambda: None
        self.hears: Callable[[Any], None] = lambda message: None
        self.supervisor = Supervisor(
            self, "okex_ws:keeper", Reconnect(0.01, 0.01), 0.2, self._spawn
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
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.supervisor.close()
    if stand.supervisor.running:
        assert stand.supervisor.join(LIMIT)
    close_wakers(stand.supervisor)


def test_it_is_told_in_order_and_heard_in_order(stand: Stand) -> None:
    stand.begins = lambda: stand.supervisor.send("start", 1)
    process = stand.start()
    assert stand.supervisor.process_runs
    stand.supervisor.send("more", "x" * 1_000_000)
    stand.supervisor.send("last")

    assert process.told() == ("start", 1)
    assert process.told()[0] == "more"
    assert process.told() == ("last",)
    for number in range(3):
        process.say("word", number)
    assert [stand.next() for _ in range(3)] == [("word", n) for n in range(3)]


def test_nothing_is_kept_for_one_that_is_not_there(stand: Stand) -> None:
    stand.supervisor.send("lost")
    stand.begins = lambda: stand.supervisor.send("start")
    process = stand.start()

    assert process.told() == ("start",)


def test_what_was_told_can_be_forgotten(stand: Stand) -> None:
    def begin() -> None:
        stand.supervisor.send("early")
        stand.supervisor.discard_unsent()
        stand.supervisor.send("start")

    stand.begins = begin
    assert stand.start().told() == ("start",)


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
    stand: Stand, end: Callable[[FakeProcess], None], why: str
) -> None:
    first = stand.start()
    end(first)

    assert stand.next().startswith(why)
    assert first.ended.is_set()
    assert stand.next() == "begin"
    second = stand.process()
    assert second is not first
    stand.supervisor.send("again")
    assert second.told() == ("again",)


def test_what_it_said_last_is_heard(stand: Stand) -> None:
    process = stand.start()
    for number in range(100):
        process.say("word", number, "x" * 1000)
    ends(process)

    assert [stand.next()[1] for _ in range(100)] == [*range(100)]
    assert stand.next().startswith("the reading process ended")


def test_it_does_not_work_from_the_moment_that_it_is_ended(stand: Stand) -> None:
    process = stand.start()
    seen: list[bool] = []
    end = process.end

    def ending() -> str:
        seen.append(stand.supervisor.process_runs)
        return end()

    process.end = ending  # type: ignore[method-assign]
    ends(process)
    stand.next()

    assert seen == [False]


@pytest.mark.parametrize("error", [FileNotFoundError("no python"), ValueError("odd")])
def test_one_that_cannot_be_started_is_tried_again(
    stand: Stand, error: Exception
) -> None:
    stand.fails = [error]
    stand.supervisor.start()

    assert stand.next() == f"the reading process cannot be started: {error}"
    assert not stand.supervisor.process_runs
    assert stand.next() == "begin"


@pytest.mark.parametrize("where", ["begins", "hears"])
def test_an_error_of_our_own_ends_the_child_and_nothing_else(
    stand: Stand, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        setattr(stand, where, lambda *_: None)
        raise RuntimeError("a bug")

    setattr(stand, where, fail)
    stand.supervisor.start()
    if where == "hears":
        assert stand.next() == "begin"
        stand.process().say("word")

    assert "internal error: RuntimeError('a bug')" in stand.next()
    assert [r.levelno for r in caplog.records] == [logging.ERROR]
    assert stand.next() == "begin"


def test_the_waits_grow_and_a_healthy_life_resets_them(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[Any] = []

    def backoff(first: float, cap: float, rng: Any) -> Iterator[float]:
        waits.append("new")
        for number in range(100):
            waits.append(number)
            yield 0.0

    monkeypatch.setattr("okex_ws.isolation.supervisor.backoff", backoff)
    stand.start()
    stand.fails = [OSError("no"), OSError("no")]
    set_backoff(stand.supervisor, Reconnect(0.01, 0.01, healthy_after=1e6))
    process = process_of(stand.supervisor)
    assert isinstance(process, FakeProcess)
    ends(process)
    for _ in range(3):
        assert stand.next().startswith("the reading process")
    assert stand.next() == "begin"
    assert waits == ["new", 0, 1, 2]
    set_backoff(stand.supervisor, Reconnect(0.01, 0.01, healthy_after=0.0))
    again = process_of(stand.supervisor)
    assert isinstance(again, FakeProcess)
    ends(again)
    assert stand.next().startswith("the reading process")
    assert stand.next() == "begin"
    assert waits[-2:] == ["new", 0]


# --- The end --------------------------------------------------------------------------


def test_it_is_asked_to_end_and_heard_until_it_has(stand: Stand) -> None:
    process = stand.start()
    stand.supervisor.send("before")
    stand.supervisor.close()

    assert process.told() == ("before",)
    assert process.told() == ("close",)
    process.say("goodbye")
    ends(process)
    assert stand.supervisor.join(LIMIT)
    assert [stand.next(), stand.next()] == [("goodbye",), "over"]
    assert not stand.supervisor.process_runs


def test_one_that_does_not_listen_is_ended_in_bounded_time(stand: Stand) -> None:
    process = stand.start()
    stand.supervisor.send(
        "x" * 10_000_000
    )  # more than anything takes that nobody reads
    stand.supervisor.close()

    assert stand.supervisor.join(LIMIT)
    assert process.ended.is_set()


def test_a_wait_for_the_next_one_is_cut_short(stand: Stand) -> None:
    set_backoff(stand.supervisor, Reconnect(1000.0, 1000.0))
    stand.fails = [OSError("no")]
    stand.supervisor.start()
    stand.next()
    stand.supervisor.close()

    assert stand.supervisor.join(LIMIT)
    assert stand.next() == "over"


def test_it_is_not_waited_for_on_its_own_thread(stand: Stand) -> None:
    seen: list[bool] = []
    stand.begins = lambda: seen.append(stand.supervisor.join(LIMIT))
    stand.start()

    assert seen == [False]


def test_without_a_thread_nothing_is_left(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="new thread"):
            stand.supervisor.start()
    stand.supervisor.send("nobody")
    assert not stand.supervisor.running


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_in_a_forked_child_its_descriptors_are_closed_without_a_word(
    stand: Stand,
) -> None:
    process = stand.start()
    numbers = [s.fileno() for s in (process.sock, *wakers_of(stand.supervisor))]
    lock_of(stand.supervisor).acquire()  # as a thread may have, that is not there then
    pid = os.fork()
    if pid == 0:
        stand.supervisor.forked()
        closed = 0
        for number in numbers:
            with contextlib.suppress(OSError):
                os.fstat(number)
                continue
            closed += 1
        stand.supervisor.send("nobody")
        os._exit(closed + 10 * stand.supervisor.process_runs)
    _, status = os.waitpid(pid, 0)
    lock_of(stand.supervisor).release()

    assert os.waitstatus_to_exitcode(status) == 3
    stand.supervisor.send("still here")
    assert process.told() == ("still here",)
