"""Numbers of a frame: exact, or counted where they are not; and the extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from okex_ws.research import frame
from tests.support.recordings import depth, heard, session, write

BTC = "BTC-USDT"


def test_numbers_that_a_float_cannot_hold_are_counted(tmp_path: Path) -> None:
    long = "100.123456789012345678"
    path = write(tmp_path / "a.rec.gz", *session(heard(1.0, depth(1.0, long)), end=3.0))
    assert frame(path, BTC).inexact == 1
    exact = frame(path, BTC, exact=True)
    assert exact.inexact == 0
    bids = [each for each in exact.table["bid"].to_pylist() if each is not None]
    assert [str(each) for each in bids] == [long]


@pytest.mark.parametrize("name", ["frame", "export"])
def test_without_the_extra_the_error_names_it(name: str) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None; import okex_ws.research.archive;"
        f" from okex_ws.research import {name}"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert "pip install 'okex-ws[frames]'" in run.stderr
