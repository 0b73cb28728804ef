"""Another Python: started without the user's program, asked after, and ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from okex_ws.isolation import process as module
from okex_ws.isolation.process import (
    WorkerProcess,
    check_can_start,
    command,
    environment,
)
from tests.support.internals import popen_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX: Windows is untried")

LIMIT = 30.0

# In place of the worker: each says a word over the socket, and then does as it says.
TALKS = """
import os, signal, socket, sys, time
sock = socket.socket(fileno=0)
sock.sendall(b"hello")
"""
OBEYS = "sock.recv(1)"
IGNORES = "time.sleep(1000)"
DEFIES = "signal.signal(signal.SIGTERM, signal.SIG_IGN); sock.sendall(b'!');" + IGNORES


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], WorkerProcess]]:
    """A child that runs a program of the test's."""
    made: list[WorkerProcess] = []

    def start(program: str) -> WorkerProcess:
        words = [sys.executable, "-c", TALKS + program]
        monkeypatch.setattr(module, "command", lambda: words)
        made.append(WorkerProcess("no memory"))
        return made[-1]

    yield start
    for child in made:
        with contextlib.suppress(OSError):
            popen_of(child).kill()
        child.end()


def heard(child: WorkerProcess, words: bytes) -> None:
    """Wait until it has said so much."""
    said, deadline = b"", time.monotonic() + LIMIT
    while said != words:
        assert time.monotonic() < deadline
        said += child.receive() or b""
        time.sleep(0.001)


def dead(child: WorkerProcess) -> None:
    """Wait until the system has it dead, without reaping it."""
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) is not None


# --- Whether it runs ------------------------------------------------------------------


@pytest.mark.parametrize("way", ["ctypes", "without ctypes"])
def test_its_death_is_known_to_who_asks_next(
    start: Callable[[str], WorkerProcess], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != "ctypes":
        monkeypatch.delattr(ctypes, "PyDLL")
    child = start(IGNORES)
    heard(child, b"hello")
    assert child.runs

    os.kill(child.pid, signal.SIGSTOP)
    assert child.runs
    os.kill(child.pid, signal.SIGKILL)
    dead(child)

    assert not child.runs
    assert not child.runs
    assert child.end() == "SIGKILL"
    assert not child.runs


def test_a_child_that_somebody_else_reaped_does_not_run(
    start: Callable[[str], WorkerProcess],
) -> None:
    """A program may wait for any child of its."""
    child = start("")
    os.waitpid(child.pid, 0)

    assert not child.runs
    child.end()


# --- How it ends ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "how"),
    [
        (OBEYS, "exit code 0"),
        (OBEYS + "; sys.exit(3)", "exit code 3"),
        (IGNORES, "SIGTERM"),
        (DEFIES, "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGRTMIN + 1)", "signal 35"),
    ],
)
def test_it_is_told_then_asked_and_then_made_to_end(
    start: Callable[[str], WorkerProcess], program: str, how: str
) -> None:
    child = start(program)
    heard(child, b"hello!" if program is DEFIES else b"hello")

    assert child.end() == how


def test_one_that_is_stopped_can_be_ended(
    start: Callable[[str], WorkerProcess],
) -> None:
    child = start(OBEYS)
    heard(child, b"hello")
    os.kill(child.pid, signal.SIGSTOP)

    assert child.end() == "SIGKILL"


def test_nothing_is_waited_for_in_talking_to_it(
    start: Callable[[str], WorkerProcess],
) -> None:
    child = start(IGNORES)
    heard(child, b"hello")
    sent = 0
    while more := child.send(b"x" * 65536):
        sent += more

    assert sent > 0
    assert child.receive() is None
    os.kill(child.pid, signal.SIGKILL)
    dead(child)
    # Whatever is said to nobody counts as said; nobody says nothing.
    assert child.send(b"x") == 1
    assert child.receive() == b""


def test_in_a_forked_child_it_is_nobodys(start: Callable[[str], WorkerProcess]) -> None:
    child = start(OBEYS)
    heard(child, b"hello")
    mine = socket.socket(fileno=os.dup(child.sock.fileno()))
    returncode = popen_of(child).returncode

    child.forked()

    assert child.sock.fileno() == -1
    popen_of(child).returncode = returncode
    # The other end did not notice.
    assert child.runs
    mine.close()


# --- How it is started ----------------------------------------------------------------


def test_what_cannot_be_started_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "command", lambda: ["/nowhere/python"])
    with pytest.raises(FileNotFoundError):
        WorkerProcess("no memory")


def test_a_frozen_program_has_no_python(monkeypatch: pytest.MonkeyPatch) -> None:
    check_can_start()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(ValueError, match="a frozen program has none"):
        check_can_start()


def test_the_warnings_are_those_of_this_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["error", "ignore::UserWarning"])

    assert command()[:3] == [sys.executable, "-Werror", "-Wignore::UserWarning"]


def run(words: list[str], cwd: Any) -> str:
    """What a Python says that is started as a reader is, and whose parent is gone."""
    mine, theirs = socket.socketpair()
    mine.close()
    with theirs:
        done = subprocess.run(
            words,
            cwd=cwd,
            env=environment(),
            stdin=theirs,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("old", [False, True])
def test_a_file_of_the_users_folder_is_no_library_of_ours(
    tmp_path: Any, old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "runpy", "socket", "okex_ws", "logging"):
        (tmp_path / f"{name}.py").write_text("print('shadow')\nraise SystemExit(9)")
    if old:
        monkeypatch.setattr(sys, "version_info", (3, 10))

    assert run(command(), tmp_path) == ""


@pytest.mark.parametrize("before", [None, "/somewhere/else"])
def test_it_finds_this_very_package(
    tmp_path: Any, before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONPATH", before)
    program = (
        "import okex_ws, sys; print(okex_ws.__file__, '/somewhere/else' in sys.path)"
    )
    where, kept = run([sys.executable, "-c", program], tmp_path).split()

    assert where == os.path.join(module.ROOT, "okex_ws", "__init__.py")
    assert kept == str(before is not None)


def test_where_python_looks_anyway_nothing_is_put_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(module.sysconfig, "get_path", lambda name: module.ROOT)

    assert "PYTHONPATH" not in environment()


def test_a_python_that_ignores_its_environment_starts_one_that_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Flags:
        ignore_environment = 1

    monkeypatch.setattr(sys, "flags", Flags)
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.setenv("PYTHONSTARTUP", "/somewhere/else.py")
    monkeypatch.setenv("SSL_CERT_FILE", "/a/ca.pem")

    found = environment()
    assert found.get("PYTHONPATH") in (None, module.ROOT)
    assert "PYTHONSTARTUP" not in found
    assert found["SSL_CERT_FILE"] == "/a/ca.pem"
