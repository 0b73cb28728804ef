"""Half a minute of the campaign; the whole of it is `python -m tests.campaign`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.campaign import reconnects
from tests.campaign.resources import leaks
from tests.peers import untraced

ROOT = Path(__file__).parents[2]
# Half of them, of each protocol: all share one lock of Python, and CI has two cores.
STANDS = "v3 plain|v3 books TLS|v5 TLS|v5 books$|v5 fast books|v5 wide"


@pytest.mark.slow
def test_whatever_happens_no_price_is_stale_or_wrong_and_nothing_is_left(
    tmp_path: Path,
) -> None:
    """In a process of its own, which nobody traces: a hundred threads share it."""
    out = tmp_path / "found.json"
    command = [sys.executable, "-m", "tests.campaign", "--json", str(out)]

    ended = subprocess.run(
        [*command, "--seconds", "40", "--seed", "20", "--stands", STANDS],
        cwd=ROOT,
        env=untraced(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert out.exists(), ended.stderr
    found = json.loads(out.read_text())
    # Late recoveries are a matter of the real clock, which the command judges.
    assert found["violations"] == []
    assert found["stale"] == found["wrong"] == found["wrong_books"] == 0
    assert not {"missed", "doubled"} & found["trades"].keys()
    assert found["prices"] > 1000
    assert found["books"] > 100
    assert len(found["kinds"]) > 30


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_each_reconnect_leaves_nothing_of_the_one_before(protocol: str) -> None:
    first, *_, last = (each.held for each in reconnects.run(40, protocol))
    assert not leaks(first, last)
