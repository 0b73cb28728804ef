"""Numbers as the exchange writes them: checked, exact, and as floats to sort by."""

from __future__ import annotations

import re
from collections.abc import Callable
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
from numbers import Real
from typing import Any, SupportsFloat, Union

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


# Takes secrets out of a text of a peer (`Redaction`); ``str`` where there are none.
Clean = Callable[[str], str]


# A number that a script gives (`given_number`).
Number = Union[Decimal, str, float, SupportsFloat]


class UnreadableValue(ValueError):
    """A value that cannot be read. It keeps the value as it came.

    *sentence* has a ``{}`` for each of *values*. `said` makes the text for people, in
    which each value is cleaned before it is cut; `str()` is the text without cleaning.
    """

    def __init__(self, sentence: str, *values: object) -> None:
        super().__init__(sentence, *values)
        self._sentence, self._values = sentence, values

    def said(self, clean: Clean) -> str:
        """The sentence, each value cleaned by *clean* and then quoted in part."""
        return self._sentence.format(*(quote(each, clean) for each in self._values))

    def __str__(self) -> str:
        return self.said(str)


def given_number(name: str, value: object, signed: bool = False) -> Decimal:
    """The exact number that a script gave as *name*, from 0 up unless it is *signed*.

    It is a ``Decimal``, a ``str``, or a real number of any type, numpy's too. A
    ``float`` counts as its shortest text: 0.1 is one tenth.

    Raises:
        TypeError: *value* is no number.
        ValueError: it is not finite, is negative, or has more digits than any book.
    """
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, Real)):
        raise TypeError(f"{name} is a number, got {value!r:.80}")
    try:
        number = _exact(value, signed)
    except ValueError:
        raise ValueError(f"{name} is a number, got {value!r:.80}") from None
    if not number.is_finite() or (number < 0 and not signed):
        raise ValueError(f"{name} is a number from 0 up, got {value!r:.80}")
    if len(number.as_tuple().digits) > 64 or abs(number.adjusted()) > 99:
        raise ValueError(f"{name} has more digits than any book: {value!r:.80}")
    return number


def _exact(value: Decimal | str | Real, is_signed: bool) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        return signed(value) if is_signed else decimal(value)
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return Decimal(repr(float(value)))  # of a fraction, which has no such text


def decimal(value: Any) -> Decimal:
    """*value* as an exact number from 0 up.

    Raises:
        ValueError: *value* is no ``str``, or not a number from 0 up.
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise UnreadableValue("not a number: {}", value)


def signed(value: Any) -> Decimal:
    """*value* as an exact number of either sign; else as `decimal`."""
    if isinstance(value, str) and value.startswith("-"):
        # Not ``-decimal(...)``, which rounds to the precision of the decimal context.
        return decimal(value[1:]).copy_negate()
    return decimal(value)


def to_float(value: Any) -> float:
    """*value* as a float; accepts and refuses the same texts as `decimal`."""
    # Most are digits with one point. The regular expression takes three times as long.
    if isinstance(value, str) and (
        (value.replace(".", "", 1).isdecimal() and value.isascii() and len(value) <= 64)
        or _NUMBER.fullmatch(value)
    ):
        return float(value)
    raise UnreadableValue("not a number: {}", value)


class Floats(dict[str, float]):
    """A cache of `to_float`: text to number. A book repeats most of its numbers.

    Floats sort as the numbers do, but two numbers of more than 15 digits may have the
    same float. All threads share the instances `NUMBERS`, of numbers from 0 up, and
    `SIGNED`, of prices of spreads, which may be 0 and negative. At 8,192 texts it is
    emptied; a text that is not a number raises ``ValueError`` and is not kept.
    """

    def __missing__(self, text: str) -> float:
        if len(self) >= 8192:  # bounded, because the keys come from the network
            self.clear()
        self[text] = number = self._read(text)
        return number

    def _read(self, text: str) -> float:
        return to_float(text)


class _SignedFloats(Floats):
    def _read(self, text: str) -> float:
        return float(signed(text))


NUMBERS, SIGNED = Floats(), _SignedFloats()


def quote(value: object, clean: Clean = str) -> str:
    """At most 80 characters of a text for an error; of another type its name.

    The text is cleaned before it is cut, because a part of a secret is one too. Of an
    exception it is what `why` says.
    """
    if isinstance(value, str):
        return ascii(clean(value)[:80])[:80]
    return why(value, clean) if isinstance(value, Exception) else type(value).__name__


def why(error: Exception, clean: Clean = str) -> str:
    """The text of an exception that reading raised, cleaned by *clean*."""
    if isinstance(error, UnreadableValue):
        return error.said(clean)
    if isinstance(error, KeyError):
        return f"no {quote(error.args[0] if error.args else '', clean)}"[:80]
    return clean(str(error))
