"""The library's log on stderr."""

from __future__ import annotations

import logging
import sys

import pytest

from okex_ws.cli.logs import held_back, logged
from tests.support.cli_samples import HOSTILE

log = logging.getLogger("okex_ws")


def test_a_warning_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    with logged():
        log.warning("%s", HOSTILE)
        log.info("connected")
    log.warning("afterwards")

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.rstrip("\n").isprintable()
    assert "60018" in err


def test_connects_are_told_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    level = log.level
    with logged(verbose=True):
        log.info("connected")

    assert "connected" in capsys.readouterr().err
    assert log.level == level


@pytest.mark.parametrize("terminal", [True, False])
def test_a_live_screen_is_left_alone(
    terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    with logged():
        with held_back():
            log.warning("in between")
            during = capsys.readouterr().err
        after = capsys.readouterr().err

    assert ("in between" in during) is not terminal
    assert ("in between" in after) is terminal
