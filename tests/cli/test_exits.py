"""How a command ends."""

from __future__ import annotations

import os
import signal
import time

import pytest

from okex_ws import ConnectionLost
from okex_ws.cli.exits import (
    FAILED,
    GOOD,
    INTERRUPTED,
    USAGE,
    Failure,
    ending,
    refusing,
)
from tests.support.cli_samples import HOSTILE


def raising(error: BaseException) -> int:
    def run() -> int:
        raise error

    return ending(run)


def test_what_a_command_returns_is_its_code() -> None:
    assert ending(lambda: 3) == 3


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Failure("no such thing", USAGE), USAGE, "no such thing"),
        (ConnectionLost("ws://h", "refused"), FAILED, "ws://h: refused"),
        (OSError(98, "Address already in use"), FAILED, "Address already in use"),
        (FileNotFoundError(2, "No such file", "x.gz"), FAILED, "x.gz: No such file"),
        (ImportError("needs the extra 'cli'"), FAILED, "needs the extra 'cli'"),
        (Failure(HOSTILE), FAILED, "60018"),
    ],
)
def test_an_error_is_one_plain_sentence(
    error: Exception, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert raising(error) == code

    line = capsys.readouterr().err
    assert line.startswith("okex-ws: ")
    assert said in line
    assert line.rstrip("\n").isprintable()


def test_ctrl_c_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    assert raising(KeyboardInterrupt()) == INTERRUPTED
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("polite", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_polite_end_is_like_ctrl_c(polite: str) -> None:
    number = getattr(signal, polite)
    # Under nohup it is ignored, here and by the command.
    kept = signal.signal(number, signal.SIG_DFL)

    def run() -> int:
        os.kill(os.getpid(), number)
        time.sleep(5)
        return GOOD

    try:
        assert ending(run) == INTERRUPTED
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, kept)


def test_what_is_ignored_stays_so() -> None:
    kept = signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def run() -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return GOOD

    try:
        assert ending(run) == GOOD
    finally:
        signal.signal(signal.SIGHUP, kept)


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())


@pytest.mark.parametrize("error", [ValueError("no id"), TypeError("no text")])
def test_what_the_library_refuses_is_the_users_mistake(error: Exception) -> None:
    with pytest.raises(Failure, match=str(error)) as failed, refusing():
        raise error

    assert failed.value.code == USAGE
