"""The states read as their names, and two of them are final."""

from __future__ import annotations

import pytest

from okex_ws.base.state import CauseCode, State


@pytest.mark.parametrize("state", State)
def test_a_state_reads_as_its_name(state: State) -> None:
    assert str(state) == f"{state}" == state.name == state.value
    assert f"{state:>12}" == state.name.rjust(12)
    assert state == state.name


def test_only_failed_and_closed_are_final() -> None:
    assert {state for state in State if state.final} == {State.FAILED, State.CLOSED}


@pytest.mark.parametrize("code", CauseCode)
def test_a_code_reads_as_its_name(code: CauseCode) -> None:
    assert str(code) == f"{code}" == code.value
    assert f"{code:>22}" == code.value.rjust(22)
