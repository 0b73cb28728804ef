"""Numbers of the wire: exact, of any length that is sent, and total over any value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.model.numbers import NUMBERS, decimal, quote

FINE = [
    *("0", "0.00000000", "3690.10", ".5", "7.", "1e-7", "12E+3", "1e99", "007"),
    "0.12345678901234567890123456789012345678901234567890",
]
BAD = [
    *("", "-1", "-0", "+1", "NaN", "nan", "Infinity", "inf", "1e999", "1e-100", "1_0"),
    *(" 1", "1 ", "1\n", ".", "e5", ".e5", "1e", "1.2.3", "1,5", "0x1", "٣", "¹", "１"),
    "1" * 65,
]
# What JSON has beside text, and what no JSON has.
OTHERS: list[Any] = [None, True, False, 0, 1, 1.5, b"1", (), ("1",), Decimal(1)]
UNHASHABLE: list[Any] = [[], ["1"], {}, {"1": 1}]

texts = st.text(max_size=12) | st.text("0123456789.eE+-", max_size=70)
numbers = st.from_regex(
    r"[0-9]{1,20}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,2})?", fullmatch=True
)


@pytest.mark.parametrize("text", FINE)
def test_a_number_keeps_its_characters(text: str) -> None:
    assert decimal(text) == Decimal(text)
    assert decimal(text).as_tuple() == Decimal(text).as_tuple()
    assert NUMBERS[text] == float(text)


@pytest.mark.parametrize("value", [*BAD, *OTHERS])
def test_what_is_no_number_is_refused(value: Any) -> None:
    for read in (decimal, NUMBERS.__getitem__):
        with pytest.raises(ValueError, match=r"^not a number: "):
            read(value)


@pytest.mark.parametrize("value", UNHASHABLE)
def test_what_could_be_no_key_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^not a number: "):
        decimal(value)
    with pytest.raises(TypeError, match="unhashable"):
        NUMBERS[value]


@given(texts | numbers)
def test_any_text_is_a_number_in_both_forms_or_in_none(text: str) -> None:
    try:
        exact = decimal(text)
    except ValueError:
        with pytest.raises(ValueError, match="not a number"):
            NUMBERS[text]
        return
    assert exact.is_finite()
    assert exact >= 0
    assert NUMBERS[text] == float(exact)


@given(numbers, numbers)
def test_floats_are_in_the_order_of_the_numbers(one: str, other: str) -> None:
    if decimal(one) < decimal(other):
        assert NUMBERS[one] <= NUMBERS[other]
    if NUMBERS[one] < NUMBERS[other]:
        assert decimal(one) < decimal(other)


@given(numbers)
def test_only_zero_is_zero(text: str) -> None:
    # No number is so small that its float has vanished, or so large that it has none.
    assert (NUMBERS[text] == 0) is (decimal(text) == 0)
    assert NUMBERS[text] < float("inf")


def test_the_smallest_and_the_largest_number_are_floats() -> None:
    smallest = "0." + "0" * 57 + "1e-99"
    largest = "9" * 60 + "e+99"

    assert len(smallest) == len(largest) == 64
    assert 0 < NUMBERS[smallest] < NUMBERS[largest] < float("inf")


def test_numbers_are_remembered_within_a_bound() -> None:
    for number in range(20_000):
        assert NUMBERS[str(number)] == number
        assert len(NUMBERS) <= 8192
    assert "19999" in NUMBERS


def test_what_was_refused_is_not_remembered() -> None:
    NUMBERS.clear()
    for value in (*BAD, *OTHERS):
        with pytest.raises(ValueError, match="not a number"):
            NUMBERS[value]

    assert not NUMBERS


def test_a_quotation_is_short_and_one_line() -> None:
    assert quote("\n" * 1000) == ("'" + "\\n" * 40)[:80]
    assert quote("1") == "'1'"
    assert quote("é\x1b") == "'\\xe9\\x1b'"


@pytest.mark.parametrize(
    ("value", "quoted"), [({}, "dict"), ([], "list"), (None, "NoneType"), (5, "int")]
)
def test_what_is_no_text_is_quoted_by_its_type(value: Any, quoted: str) -> None:
    assert quote(value) == quoted


@given(st.text(max_size=300))
def test_any_quotation_is_fit_for_a_log(text: str) -> None:
    assert len(quote(text)) <= 80
    assert quote(text).isascii()
    assert quote(text).isprintable()
