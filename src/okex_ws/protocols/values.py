"""Values of the wire: numbers, times and levels, exact and total over any JSON.

Everything here raises ``ValueError`` for what it cannot read, and quotes no more of it
than a log can bear.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

# The longest number recorded has 23 characters. With 64, and two digits of exponent,
# none overflows or vanishes as a float.
_NUMBER = re.compile(
    r"(?=[0-9.eE+-]{1,64}\Z)(?=\.?[0-9])[0-9]*\.?[0-9]*([eE][+-]?[0-9]{1,2})?"
)
_MILLISECONDS = {f".{ms:03}Z": ms for ms in range(1000)}


def check_side(levels: Any, sign: float) -> None:
    """Raise unless *levels*, by price times *sign*, strictly ascend.

    The hot path: some twenty numbers of every push, most of them seen before.
    """
    if type(levels) is not list:
        raise ValueError(f"a side is {quote(levels)}")
    number = NUMBERS
    before = -math.inf
    for level in levels:
        if type(level) is not list:
            raise ValueError(f"a level is {quote(level)}")
        if len(level) == 4:
            price, size, more, orders = level
            number[more]
        else:
            price, size, orders = level
        number[orders]
        rank = number[price] * sign
        if not (rank and number[size] and before < rank):
            raise ValueError(f"{quote(size)} at {quote(price)} is zero or unordered")
        before = rank


def decimal(value: Any) -> Decimal:
    """A number that is not negative, exact from the wire's own characters."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return Decimal(value)
    raise ValueError(f"not a number: {quote(value)}")


# Numbers stay the wire's characters; NaN and Infinity, which JSON has not, are refused.
parse = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=decimal
).raw_decode


class _Floats(dict[str, float]):
    """What `decimal` reads, as floats, remembered: snapshots repeat most numbers."""

    def __missing__(self, text: str) -> float:
        if len(self) >= 8192:  # bounded, like every memory of network text
            self.clear()
        if not (isinstance(text, str) and _NUMBER.fullmatch(text)):
            raise ValueError(f"not a number: {quote(text)}")
        self[text] = number = float(text)
        return number


NUMBERS = _Floats()


def optional(value: Any) -> Decimal | None:
    """A number, or ``None`` for what the exchange left out or sent empty."""
    return None if value is None or value == "" else decimal(value)


def iso_ms(value: Any) -> int:
    """Epoch milliseconds of ``YYYY-MM-DDTHH:MM:SS.mmmZ`` and of no other form."""
    try:
        return _second_ms(value[:19]) + _MILLISECONDS[value[19:]]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"not a timestamp: {quote(value)}") from error


# Many pushes come in the same second.
@lru_cache(maxsize=256)
def _second_ms(second: str) -> int:
    text = f"{second}+00:00"
    moment = datetime.fromisoformat(text)
    if moment.isoformat() != text or moment.year < 2000:  # 3.11 reads more forms
        raise ValueError(text)
    return int(moment.timestamp()) * 1000


def why(error: BaseException) -> str:
    """What is wrong, for a `WireError`: a missing key is named."""
    return f"no {error}" if isinstance(error, KeyError) else str(error)


def quote(value: object) -> str:
    """At most 80 characters of a value, fit for a log."""
    return ascii(value[:80])[:80] if isinstance(value, str) else type(value).__name__
