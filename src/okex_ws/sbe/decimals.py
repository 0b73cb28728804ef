"""Exact decimal text of a mantissa and an exponent of ten."""

from __future__ import annotations

# Of the exchange's numbers: more digits than that would be no price or size.
MOST_EXPONENT = 18
# What stands in an SBE field of 64 bits that has no value.
NULL = -(1 << 63)


def text_of(mantissa: int, exponent: int) -> str:
    """The number as text in plain digits, as JSON has it: ``'77623.6'``.

    It is equal to JSON's as a number. Its characters may differ: zeros at the end of
    the mantissa stay (``'5.120'``), since the exchange says with them how fine its
    numbers are.

    Raises:
        ValueError: *exponent* is beyond `MOST_EXPONENT`, or *mantissa* is `NULL`.
    """
    if not -MOST_EXPONENT <= exponent <= MOST_EXPONENT:
        raise ValueError(f"an exponent of {exponent}")
    if mantissa == NULL:
        raise ValueError("a number without a value")
    if exponent >= 0 or not mantissa:
        return str(mantissa * 10 ** max(exponent, 0))
    digits = str(abs(mantissa)).rjust(1 - exponent, "0")
    sign = "-" if mantissa < 0 else ""
    return f"{sign}{digits[:exponent]}.{digits[exponent:]}"
