"""Programs as processes of their own; no process outlives the test that started it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

TIMEOUT = 30.0

Program = subprocess.Popen[str]
Start = Callable[..., Program]


@contextmanager
def programs() -> Iterator[Callable[..., Program]]:
    """Give a function that starts Python with arguments and an environment.

    The output is piped. At the end every process is killed.
    """
    started: list[Program] = []

    def start(
        *arguments: str, env: Mapping[str, str], stdin: int | None = None
    ) -> Program:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(env),
        )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            with process:
                process.kill()


def end_of(process: Program) -> tuple[int, str]:
    """Wait for *process* to end; return its exit code and what it wrote to stderr."""
    _, errors = process.communicate(timeout=TIMEOUT)
    return process.returncode, errors
