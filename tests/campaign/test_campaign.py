"""Twenty seconds of the campaign; the whole of it is `python -m tests.campaign`."""

from __future__ import annotations

import pytest
from tests.campaign.run import run


@pytest.mark.slow
def test_whatever_happens_no_price_is_stale_or_wrong_and_nothing_is_left() -> None:
    result = run(20.0, seed=20)
    assert result.stale == result.wrong == 0
    assert not result.violations
    assert result.prices > 1000
    assert len(result.tallies) > 20
