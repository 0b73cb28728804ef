"""A `Cause` is its sentence, and a value that a program can read."""

from __future__ import annotations

import copy
import operator
import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from okex_ws import Cause, CauseCode

WHY = Cause(CauseCode.PONG, "no pong came", "wss://here", "BTC-USDT", "depth5", 7)


def test_a_cause_can_be_used_as_the_text_that_it_is() -> None:
    assert "pong" in WHY
    assert WHY[:2] == "no"
    assert WHY == "no pong came" == str(WHY) == f"{WHY}"
    assert operator.ne(WHY, "no pong came") is False
    assert type(str(WHY)) is str
    assert f"{WHY:>14}" == "  no pong came"
    assert {WHY: 1}["no pong came"] == 1


def test_two_causes_are_equal_if_all_that_they_say_is() -> None:
    again = replace(WHY)

    assert again == WHY
    assert hash(WHY) == hash(again)
    for name, other in (("code", CauseCode.LEASE), ("endpoint", ""), ("text", "x")):
        assert replace(WHY, **{name: other}) != WHY
    assert replace(WHY, text="late")[:] == "late"


@pytest.mark.parametrize("cross", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_cause_crosses_whole(cross: object) -> None:
    crossed = cross(WHY)  # type: ignore[operator]
    crossed = pickle.loads(crossed) if isinstance(crossed, bytes) else crossed

    assert type(crossed) is Cause
    assert crossed == WHY
    assert crossed.exchange_code == 7


def test_a_cause_is_true_if_there_is_one_and_cannot_be_changed() -> None:
    assert WHY
    assert not Cause()
    with pytest.raises(FrozenInstanceError):
        WHY.text = "another"  # type: ignore[misc]
    assert not hasattr(WHY, "__dict__")
