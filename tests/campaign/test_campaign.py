"""Half a minute of the campaign; the whole of it is `python -m tests.campaign`."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from okex_ws import Trade
from tests.campaign import reconnects
from tests.campaign.replay_digest import (
    ReplayDigest,
    digest_of,
    recording_path,
    trades_of,
)
from tests.campaign.resources import leaks
from tests.support.loopback_servers import untraced

ROOT = Path(__file__).parents[2]
# Half of them, of each protocol, in two processes: those of one process share one lock
# of Python, and what it keeps waiting for a second looks like a fault of the line.
SETUPS = ("v3 plain|v5 TLS|v5 wide", "v3 books TLS|v5 books$|v5 fast books")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the campaign leaves its recordings."""
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="module")
def found(recordings: Path) -> list[dict[str, Any]]:
    """What each process found; nobody traces them, as a hundred threads share each."""
    out = [recordings / f"found-{number}.json" for number in range(len(SETUPS))]
    started = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.campaign", "--stands", setups),
                *("--seconds", "28", "--seed", "20"),
                *("--json", str(path), "--tapes", str(recordings)),
            ],
            cwd=ROOT,
            env=untraced(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for setups, path in zip(SETUPS, out, strict=True)
    ]
    said = [process.communicate(timeout=150)[1] for process in started]
    for path, text in zip(out, said, strict=True):
        assert path.exists(), text
    return [json.loads(path.read_text()) for path in out]


@pytest.mark.slow
def test_whatever_happens_no_price_is_stale_or_wrong_and_nothing_is_left(
    found: list[dict[str, Any]],
) -> None:
    for each in found:
        # Late recoveries are a matter of the real clock, which the command judges.
        assert each["violations"] == []
        assert each["stale"] == each["wrong"] == each["wrong_books"] == 0
        assert not {"missed", "doubled"} & each["trades"].keys()
        assert each["prices"] > 1000
        assert each["books"] > 100
        assert len(each["kinds"]) > 30


@cache
def digest_once(recording: Path) -> ReplayDigest:
    """The digest of one replay, for all tests of this process."""
    return digest_of(recording)


@pytest.mark.slow
@pytest.mark.usefixtures("found")
@pytest.mark.parametrize("setup", "|".join(SETUPS).replace("$", "").split("|"))
def test_its_recording_is_told_twice_in_the_same_words(
    recordings: Path, setup: str
) -> None:
    recording = recording_path(recordings, setup)

    first = digest_once(recording)

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

    one, other = digest_once(recording), digest_of(changed)

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
