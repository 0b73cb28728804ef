"""What holds for every test of the command line."""

from __future__ import annotations

import pytest

from okex_ws import Venue


@pytest.fixture(autouse=True)
def _no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exchange of one's own is waited for as if it were any: a second each time."""
    monkeypatch.setattr(Venue, "host_gap", property(lambda venue: 0.001))
