"""``python -m okex_ws`` is ``okex-ws``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import okex_ws.__main__
import okex_ws.cli


def test_it_is_the_same_program() -> None:
    assert okex_ws.__main__.main is okex_ws.cli.main


def test_it_starts_and_ends_with_the_code() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "okex_ws", "watch", "no id"],
        cwd=Path(__file__).parents[1] / "src",
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert done.stderr.startswith("okex-ws: 'no id' is not an instrument id")
