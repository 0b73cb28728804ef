"""Numbers and times of the wire; the rest of them is tried in ``test_v3``."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.protocols.values import check_side, decimal, iso_ms, optional, quote, why

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=8)
    | st.sampled_from(["1", "0", "2.5"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("text", ["0", "3690.10", ".5", "7.", "1e-7", "12E+3"])
def test_a_number_keeps_its_characters(text: str) -> None:
    assert decimal(text) == Decimal(text)
    assert optional(text) == Decimal(text)


@pytest.mark.parametrize("text", ["", "-1", "NaN", "Infinity", "1e999", "1_0", " 1", 1])
def test_what_is_no_number_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="not a number"):
        decimal(text)


def test_what_was_left_out_is_none() -> None:
    assert optional(None) is None
    assert optional("") is None


def test_a_time_is_epoch_milliseconds() -> None:
    assert iso_ms("2018-12-30T15:34:44.707Z") == 1546184084707


@given(JSON)
def test_any_value_is_a_time_or_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        iso_ms(value)


@given(JSON)
def test_any_value_is_a_side_or_an_error_of_one_of_few_kinds(value: Any) -> None:
    try:
        check_side(value, 1.0)
    except (ValueError, TypeError):
        return
    assert all(len(level) in (3, 4) for level in value)


def test_a_quotation_is_short_and_one_line() -> None:
    assert len(quote("\n" * 1000)) <= 80
    assert quote({}) == "dict"
    assert why(KeyError("px")) == "no 'px'"
