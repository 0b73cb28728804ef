"""Runs the command line as a process of its own, with or without a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.programs import TIMEOUT, Program, Start, programs

SOURCE = Path(__file__).parents[2] / "src"


def environment(**more: str) -> dict[str, str]:
    found = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS")}
    return {**found, "PYTHONPATH": str(SOURCE), **more}


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts ``python -m okex_ws`` with arguments; no process outlives the test."""
    with programs() as run:

        def start(
            *arguments: str, stdin: int = subprocess.DEVNULL, **more: str
        ) -> Program:
            return run(
                "-m", "okex_ws", *arguments, stdin=stdin, env=environment(**more)
            )

        yield start


# Makes standard input the controlling terminal, and becomes a shell that runs a script
# with job control.
_SHELL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("sh", ["sh", "-m", "-c", sys.argv[1]])
"""


class Terminal:
    """A pseudo terminal on which the program runs; all of its output is kept.

    With *script* a shell runs that with job control, and the terminal is its own.
    *stdin* is the program's standard input in the terminal's place.
    """

    def __init__(
        self,
        *arguments: str,
        columns: int = 100,
        rows: int = 30,
        script: str | None = None,
        stdin: int | None = None,
    ) -> None:
        self._master, slave = pty.openpty()
        self.sent = ""
        self.resize(columns, rows)
        program = ["-m", "okex_ws", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, *(program if script is None else ["-c", _SHELL, script])],
            stdin=slave if stdin is None else stdin,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environment(TERM="xterm-256color", LANG="C.UTF-8"),
        )
        os.close(slave)

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    @property
    def cooked(self) -> bool:
        """Whether the terminal echoes and gives lines, as a shell wants it."""
        wanted = termios.ECHO | termios.ICANON
        return termios.tcgetattr(self._master)[3] & wanted == wanted

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, seen: Callable[[str], object]) -> str:
        """Read until *seen* is true of what was read by this call, and return that."""
        begun, give_up = len(self.sent), time.monotonic() + TIMEOUT
        while not seen(self.sent[begun:]):
            assert time.monotonic() < give_up, self.sent[begun:]
            if not self._read():
                break
        assert seen(self.sent[begun:]), self.sent[begun:]
        return self.sent[begun:]

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 0.1)[0]:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # the program has closed its side
            return False
        self.sent += data.decode("utf-8", "replace")
        return bool(data)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Read all that the program still writes; return its exit code."""
        give_up = time.monotonic() + TIMEOUT
        while self._read() and self.process.poll() is None:
            assert time.monotonic() < give_up, self.sent[-2000:]
        while self._read() and select.select([self._master], [], [], 0)[0]:
            pass
        return self.process.wait(TIMEOUT)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait(TIMEOUT)
        os.close(self._master)
