"""Checks of what a user gives: seconds, whole numbers, the names of keywords."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` with the closest name of *known*, or ``''``."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def names_keywords(
    *passed_on: type,
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Have a function refuse an unknown keyword with the nearest one that it knows.

    A keyword is known if the function has it as a parameter, or one of *passed_on* has
    it as a key: those are the ``TypedDict`` classes of its ``**keywords``.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        called = function.__qualname__.removesuffix(".__init__")
        known = {
            name
            for name, each in inspect.signature(function).parameters.items()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        }.union(*(each.__annotations__ for each in passed_on)) - {"self"}

        @wraps(function)
        def call(*args: P.args, **keywords: P.kwargs) -> T:
            for name in keywords:
                if name not in known:
                    raise TypeError(
                        f"{called}() got an unexpected keyword argument"
                        f" {name!r}{nearest(name, known)}"
                    )
            return function(*args, **keywords)

        return call

    return decorate


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
