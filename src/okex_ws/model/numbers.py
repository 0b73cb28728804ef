"""Numbers of the wire: their own characters, checked, and a float to sort them by."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

# The longest number recorded has 23 characters. With 64, and two digits of exponent,
# none overflows or vanishes as a float.
_NUMBER = re.compile(
    r"(?=[0-9.eE+-]{1,64}\Z)(?=\.?[0-9])[0-9]*\.?[0-9]*([eE][+-]?[0-9]{1,2})?"
)


def decimal(value: Any) -> Decimal:
    """A number that is not negative, exact from the wire's own characters."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise ValueError(f"not a number: {quote(value)}")


def to_float(value: Any) -> float:
    """What `decimal` reads, as a float."""
    # Mostly digits with a point between them: the pattern takes three times as long.
    if isinstance(value, str) and (
        (value.replace(".", "", 1).isdecimal() and value.isascii() and len(value) <= 64)
        or _NUMBER.fullmatch(value)
    ):
        return float(value)
    raise ValueError(f"not a number: {quote(value)}")


class _Floats(dict[str, float]):
    """What `decimal` reads, as floats, remembered: a book repeats most of its numbers.

    Floats are in the order of the numbers, but two numbers of more than 15 digits may
    have the same.
    """

    def __missing__(self, text: str) -> float:
        if len(self) >= 8192:  # bounded, like every memory of network text
            self.clear()
        self[text] = number = to_float(text)
        return number


NUMBERS = _Floats()


def quote(value: object) -> str:
    """At most 80 characters of a value, fit for a log."""
    return ascii(value[:80])[:80] if isinstance(value, str) else type(value).__name__
