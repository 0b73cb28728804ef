"""Numbers as the exchange writes them: checked, exact, and as floats to sort by."""

from __future__ import annotations

import re
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Any

# The longest number recorded has 23 characters. With at most 64 characters and two
# digits of exponent, no number becomes infinite or 0 as a float.
_NUMBER = re.compile(
    r"(?=[0-9.eE+-]{1,64}\Z)(?=\.?[0-9])[0-9]*\.?[0-9]*([eE][+-]?[0-9]{1,2})?"
)

# Contexts of the library's own, with every field given: no result depends on the
# script's decimal context, or on `decimal.DefaultContext`, which a script may change
# too. A number of the exchange has at most 64 digits and an exponent of two digits, so
# that 400 digits hold the product and the sum of two of them exactly.
EXACT, ROUNDED = (
    Context(
        prec=digits,
        rounding=ROUND_HALF_EVEN,
        Emin=MIN_EMIN,
        Emax=MAX_EMAX,
        capitals=1,
        clamp=0,
        flags=[],
        traps=[InvalidOperation, DivisionByZero, Overflow],
    )
    for digits in (400, 28)
)


def middle(bid: Decimal | None, ask: Decimal | None) -> Decimal | None:
    """The exact mean of *bid* and *ask*; ``None`` if one of them is ``None``."""
    if bid is None or ask is None:
        return None
    return EXACT.divide(EXACT.add(bid, ask), Decimal(2))


def spread(bid: Decimal | None, ask: Decimal | None) -> Decimal | None:
    """Exactly *ask* minus *bid*; ``None`` if one of them is ``None``."""
    return None if bid is None or ask is None else EXACT.subtract(ask, bid)


def decimal(value: Any) -> Decimal:
    """*value* as an exact number from 0 up.

    Raises:
        ValueError: *value* is no ``str``, or not a number from 0 up.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise ValueError(f"not a number: {quote(value)}")


def to_float(value: Any) -> float:
    """*value* as a float; accepts and refuses the same texts as `decimal`."""
    # Most are digits with one point. The regular expression takes three times as long.
    if isinstance(value, str) and (
        (value.replace(".", "", 1).isdecimal() and value.isascii() and len(value) <= 64)
        or _NUMBER.fullmatch(value)
    ):
        return float(value)
    raise ValueError(f"not a number: {quote(value)}")


class _Floats(dict[str, float]):
    """A cache of `to_float`: text to number. A book repeats most of its numbers.

    Floats sort as the numbers do, but two numbers of more than 15 digits may have the
    same float. All threads share the one instance `NUMBERS`. At 8,192 texts it is
    emptied; a text that is not a number raises ``ValueError`` and is not kept.
    """

    def __missing__(self, text: str) -> float:
        if len(self) >= 8192:  # bounded, because the keys come from the network
            self.clear()
        self[text] = number = to_float(text)
        return number


NUMBERS = _Floats()


def quote(value: object) -> str:
    """At most 80 characters of *value* for an error text; of another type its name."""
    return ascii(value[:80])[:80] if isinstance(value, str) else type(value).__name__
