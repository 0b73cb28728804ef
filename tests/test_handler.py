"""Whoever holds a connection can be told all that it says."""

from __future__ import annotations

from okex_ws.handler import Handler
from okex_ws.plan import Plan


def test_a_plan_hears_everything_that_a_connection_says() -> None:
    said = [name for name in vars(Handler) if not name.startswith("_")]

    assert said
    assert [name for name in said if not callable(getattr(Plan, name, None))] == []
