"""Some seconds of the campaign; the whole of it is `python -m tests.campaign`."""

from __future__ import annotations

import pytest
from tests.campaign import reconnects
from tests.campaign.resources import leaks
from tests.campaign.run import run


@pytest.mark.slow
def test_whatever_happens_no_price_is_stale_or_wrong_and_nothing_is_left() -> None:
    result = run(40.0, seed=20)
    assert result.stale == result.wrong == result.wrong_books == 0
    assert not result.violations
    assert not {"missed", "doubled"} & result.trades.keys()
    assert result.prices > 1000
    assert result.books > 100
    assert len(result.tallies) > 30


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_each_reconnect_leaves_nothing_of_the_one_before(protocol: str) -> None:
    first, *_, last = (each.held for each in reconnects.run(40, protocol))
    assert not leaks(first, last)
