"""Reports of a subscription and its connections are values that cannot change."""

from __future__ import annotations

import dataclasses

import pytest

from okex_ws.base.state import Cause
from okex_ws.model import reports
from okex_ws.model.reports import ConnectionReport, Health, StateChange, Stats

KINDS = [
    kind
    for kind in vars(reports).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
]


def test_there_are_four_kinds_of_reports_and_the_cause_in_them() -> None:
    assert [Cause, StateChange, Health, ConnectionReport, Stats] == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_frozen_and_slotted(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__dict__" not in dir(kind)


def test_stats_begin_at_nothing_and_share_nothing() -> None:
    one, other = Stats(), Stats()
    assert one == other
    assert one.dropped is not other.dropped
    assert (one.resyncs, one.gaps, one.mismatches) == (0, 0, 0)
