"""Half a minute of the campaign; the whole of it is `python -m tests.campaign`."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from okex_ws import Trade
from tests.campaign import reconnects
from tests.campaign.replay_digest import digest_of, recording_path, trades_of
from tests.campaign.resources import leaks
from tests.support.loopback_servers import untraced

ROOT = Path(__file__).parents[2]
# Half of them, of each protocol: all share one lock of Python, and CI has two cores.
SETUPS = "v3 plain|v3 books TLS|v5 TLS|v5 books$|v5 fast books|v5 wide"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the campaign leaves its recordings."""
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def found(recordings: Path) -> dict[str, Any]:
    """What it found, in a process of its own, which nobody traces: a hundred threads
    share it.
    """
    out = recordings / "found.json"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "tests.campaign", "--stands", SETUPS),
            *("--seconds", "40", "--seed", "20"),
            *("--json", str(out), "--tapes", str(recordings)),
        ],
        cwd=ROOT,
        env=untraced(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert out.exists(), ended.stderr
    result: dict[str, Any] = json.loads(out.read_text())
    return result


@pytest.mark.slow
def test_whatever_happens_no_price_is_stale_or_wrong_and_nothing_is_left(
    found: dict[str, Any],
) -> None:
    # Late recoveries are a matter of the real clock, which the command judges.
    assert found["violations"] == []
    assert found["stale"] == found["wrong"] == found["wrong_books"] == 0
    assert not {"missed", "doubled"} & found["trades"].keys()
    assert found["prices"] > 1000
    assert found["books"] > 100
    assert len(found["kinds"]) > 30


@pytest.mark.slow
@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("setup", SETUPS.replace("$", "").split("|"))
def test_its_recording_is_told_twice_in_the_same_words(
    recordings: Path, setup: str
) -> None:
    recording = recording_path(recordings, setup)

    first = digest_of(recording)

    assert first == digest_of(recording)
    assert first.items > 100
    assert first.reconnects > 2


@pytest.mark.slow
@pytest.mark.usefixtures("found")
def test_a_digit_of_a_recording_makes_it_another_one(
    recordings: Path, tmp_path: Path
) -> None:
    recording, changed = (
        recording_path(recordings, "v5 books"),
        tmp_path / "changed.rec.gz",
    )
    said = gzip.decompress(recording.read_bytes())
    # The price of a trade that is given: no proof is about it.
    trades = trades_of(recording)
    price = _price_in(said, trades[len(trades) // 3 :])
    at = price.start(1)
    digit = b"%d" % ((int(price[1]) + 1) % 10)
    changed.write_bytes(gzip.compress(said[:at] + digit + said[at + 1 :]))

    one, other = digest_of(recording), digest_of(changed)

    assert one.items == other.items
    assert one.digest != other.digest


def _price_in(said: bytes, trades: list[Trade]) -> re.Match[bytes]:
    """The first digit of the price of the first of *trades* whose fields are in order.

    Its id stands but once: a trade that was pushed again has the price of before.
    """
    for trade in trades:
        found = [*re.finditer(rb'%s\\",\\"px\\":\\"(\d)' % trade.id.encode(), said)]
        if len(found) == 1:
            return found[0]
    raise AssertionError("no trade with its fields in order")


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_each_reconnect_leaves_nothing_of_the_one_before(protocol: str) -> None:
    first, *_, last = (each.held for each in reconnects.run(40, protocol))
    assert not leaks(first, last)
