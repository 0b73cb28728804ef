"""Text of a mantissa and an exponent: the very number, in plain digits."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.sbe.decimals import MOST_EXPONENT, NULL, text_of


@pytest.mark.parametrize(
    ("mantissa", "exponent", "text"),
    [
        (776236, -1, "77623.6"),
        (789, -2, "7.89"),
        (5, -3, "0.005"),
        (0, -3, "0"),
        (5120, -3, "5.120"),
        (12, 2, "1200"),
        (-7, -1, "-0.7"),
        (7, 0, "7"),
    ],
)
def test_the_text_is_in_plain_digits(mantissa: int, exponent: int, text: str) -> None:
    assert text_of(mantissa, exponent) == text


@given(st.integers(NULL + 1, 2**63 - 1), st.integers(-MOST_EXPONENT, MOST_EXPONENT))
def test_it_is_the_very_number(mantissa: int, exponent: int) -> None:
    text = text_of(mantissa, exponent)

    assert Decimal(text) == Decimal(mantissa).scaleb(exponent)
    assert "E" not in text


@pytest.mark.parametrize(
    ("mantissa", "exponent"), [(1, 19), (1, -19), (1, 127), (1, -128), (NULL, 0)]
)
def test_what_can_be_no_number_is_a_value_error(mantissa: int, exponent: int) -> None:
    with pytest.raises(ValueError, match=r"exponent|without a value"):
        text_of(mantissa, exponent)
