"""Some faults of the fan-out's stand; all of them: ``python -m tests.campaign``."""

from __future__ import annotations

import shutil

import pytest

from tests.campaign.fanout_stand import FAULTS
from tests.campaign.run import run
from tests.support.redis_server import MISSING

SOME = "Redis is emptied|line is cut|drops the producer"


@pytest.mark.slow
def test_no_read_is_stale_or_wrong_and_everything_comes_back() -> None:
    if shutil.which("redis-server") is None:
        pytest.skip(MISSING)

    found = run(8.0, 5, [], SOME, fanout=True)

    assert found.violations == []
    assert found.stale == found.wrong == found.wrong_books == 0
    assert found.prices > 1000
    assert sum(counts.recovered for counts in found.by_kind.values()) > 3


def test_every_kind_has_a_name_of_its_own() -> None:
    assert len({each.kind for each in FAULTS}) == len(FAULTS)
