"""Checks of the numbers that a user gives: seconds and whole numbers."""

from __future__ import annotations

import math


def check_number(name: str, value: object) -> None:
    """Raise ``TypeError`` unless *value* is an ``int`` or ``float`` and no ``bool``."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is a number of seconds, got {value!r}")


def check_seconds(name: str, value: float) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless *value* is seconds from 0 up."""
    check_number(name, value)
    # An int can be larger than any float, and cannot be converted to one then.
    if not value >= 0 or (value > 1e300 and value != math.inf):
        raise ValueError(f"{name} is a number of seconds from 0 up, got {value!r:.80}")


def check_whole(name: str, value: object, least: int = 1) -> None:
    """Raise unless *value* is a whole number of at least *least*.

    Raises:
        TypeError: *value* is no ``int``, or is a ``bool``.
        ValueError: *value* is less than *least*.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} is a whole number from {least} up, got {value!r:.80}")
