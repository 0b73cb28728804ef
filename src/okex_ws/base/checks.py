"""Checks of what a user gives: seconds, whole numbers, the names of keywords."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)


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
        known = _keywords(function).union(*(each.__annotations__ for each in passed_on))

        @wraps(function)
        def call(*args: P.args, **keywords: P.kwargs) -> T:
            if not known.issuperset(keywords):
                raise unknown_keyword(function, args, keywords, known)
            return function(*args, **keywords)

        @wraps(function)
        async def begin(*args: P.args, **keywords: P.kwargs) -> Any:
            coroutine: Any = call(*args, **keywords)
            return await coroutine

        return cast(Any, begin) if inspect.iscoroutinefunction(function) else call

    return decorate


def all_name_keywords(*hot: str) -> Callable[[C], C]:
    """Have the constructor and all public methods of a class use `names_keywords`.

    Inherited methods are among them, because an error is to name the class that the
    script knows. Methods named in *hot* stay as they are, so that a call of them does
    not cost a frame more: they refuse themselves, by `unknown_keyword`, what they are
    given as ``**unknown``, which `inspect` does not show.
    """

    def decorate(cls: C) -> C:
        for name in dir(cls):
            if name == "__init__" or not (name.startswith("_") or name in hot):
                method = inspect.getattr_static(cls, name)
                if inspect.isfunction(method) and not hasattr(method, "__wrapped__"):
                    setattr(cls, name, names_keywords()(method))
        for name in hot:
            method = inspect.getattr_static(cls, name)
            shown = inspect.signature(method)
            known = [e for e in shown.parameters.values() if e.kind != e.VAR_KEYWORD]
            method.__signature__ = shown.replace(parameters=known)
        return cls

    return decorate


def unknown_keyword(
    function: Callable[..., object],
    args: Sequence[object],
    keywords: Iterable[str],
    known: Collection[str] = (),
) -> TypeError:
    """The error for the first of *keywords* that is not *known*.

    *function* was called with *args*; of a method its object is the first. *known* is
    what *function* knows, unless it is given.
    """
    known = known or _keywords(function)
    name = next(name for name in keywords if name not in known)
    called = function.__name__
    if "self" in inspect.signature(function).parameters:
        owner = type(args[0]).__name__
        called = owner if called == "__init__" else f"{owner}.{called}"
    said = f"{called}() got an unexpected keyword argument {name!r}"
    return TypeError(said + nearest(name, known))


def _keywords(function: Callable[..., object]) -> set[str]:
    return {
        name
        for name, each in inspect.signature(function).parameters.items()
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    } - {"self"}


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


def check_flag(name: str, value: object) -> None:
    """``TypeError`` unless *value* is a ``bool``."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, got {value!r:.80}")
