"""A number that a user gives is refused by its name, if it is not what is asked for."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypedDict

import pytest

from okex_ws.base.checks import (
    all_name_keywords,
    check_number,
    check_seconds,
    check_whole,
    names_keywords,
    nearest,
    unknown_keyword,
)

NOT_A_NUMBER = ["1", None, True, b"1", 1j, [1]]


@pytest.mark.parametrize("value", [0, -1, 1.5, math.inf, math.nan, 10**400])
def test_an_int_and_a_float_of_any_size_are_numbers(value: float) -> None:
    check_number("speed", value)


@pytest.mark.parametrize("value", NOT_A_NUMBER)
def test_what_is_no_number_is_a_type_error_that_names_it(value: object) -> None:
    with pytest.raises(TypeError, match="speed is a number of seconds, got"):
        check_number("speed", value)


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 5, 1e300, math.inf])
def test_seconds_are_any_number_from_zero_up(value: float) -> None:
    check_seconds("timeout", value)


@pytest.mark.parametrize("value", [-1, -1e-300, -math.inf, math.nan, 10**400, 1.1e300])
def test_seconds_below_zero_or_beyond_a_float_are_a_value_error(value: float) -> None:
    with pytest.raises(ValueError, match="timeout is a number of seconds from 0 up"):
        check_seconds("timeout", value)


@pytest.mark.parametrize("value", NOT_A_NUMBER)
def test_seconds_that_are_no_number_are_a_type_error(value: float) -> None:
    with pytest.raises(TypeError, match="timeout is a number of seconds, got"):
        check_seconds("timeout", value)


def test_a_whole_number_is_at_least_one_or_what_is_asked_for() -> None:
    check_whole("levels", 1)
    check_whole("levels", 10**400)
    check_whole("retries", 0, least=0)
    with pytest.raises(ValueError, match="levels is a whole number from 1 up, got 0"):
        check_whole("levels", 0)
    with pytest.raises(ValueError, match="retries is a whole number from 0 up, got -1"):
        check_whole("retries", -1, least=0)


@pytest.mark.parametrize("value", [*NOT_A_NUMBER, 1.0, math.inf])
def test_what_is_no_whole_number_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError, match="levels is a whole number, got"):
        check_whole("levels", value)


def test_the_message_of_an_error_has_at_most_80_characters_of_the_value() -> None:
    with pytest.raises(ValueError, match="from 0 up") as seconds:
        check_seconds("timeout", 10**400)
    with pytest.raises(ValueError, match="from 1 up") as whole:
        check_whole("levels", -(10**400))

    assert [len(str(each.value).partition("got ")[2]) for each in (seconds, whole)] == [
        80,
        80,
    ]


def test_the_nearest_name_is_a_question_or_nothing() -> None:
    assert nearest("dept5", ("depth5", "trade")) == "; did you mean 'depth5'?"
    assert nearest("xyz", ("depth5", "trade")) == ""


class Passed(TypedDict, total=False):
    """Keywords that a function passes on."""

    isolate: bool


@names_keywords(Passed)
def read(name: str = "", *, max_age: float = 0.0, **rest: Any) -> tuple[Any, ...]:
    return name, max_age, rest


def test_a_misspelt_keyword_is_told_with_the_nearest_one() -> None:
    assert read("a", max_age=1.0, isolate=True) == ("a", 1.0, {"isolate": True})
    wrong: Any = read
    with pytest.raises(TypeError, match=r"'max_agee'; did you mean 'max_age'\?$"):
        wrong(max_agee=1.0)
    with pytest.raises(TypeError, match=r"'isolated'; did you mean 'isolate'\?$"):
        wrong(isolated=True)
    with pytest.raises(
        TypeError, match=r"^read\(\) got an unexpected keyword argument 'xyz'$"
    ):
        wrong(xyz=1)
    assert "max_age" in inspect.signature(read).parameters


class Base:
    """Methods that a class inherits."""

    def wait(self, timeout: float | None = None) -> float | None:
        return timeout

    async def wait_in_loop(self, timeout: float | None = None) -> float | None:
        return timeout


@all_name_keywords("read")
class Named(Base):
    """A class of which each keyword is checked."""

    def __init__(self, *, levels: int = 5) -> None:
        self.levels = levels

    def read(self, *, levels: int = 5, **unknown: NoReturn) -> int:
        if unknown:
            raise unknown_keyword(Named.read, (self,), unknown)
        return levels

    @staticmethod
    def made(name: str = "") -> Named:
        return Named()

    def own(self) -> int:
        return self._kept(other=1)

    def _kept(self, other: int = 0) -> int:
        return other


class Mine(Named):
    """A class of a script."""


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Named(levls=3), r"Named\(\) .* 'levls'; did you mean 'levels'\?"),
        (lambda: Named().read(levls=3), r"Named.read\(\) .*; did you mean 'levels'\?"),
        (
            lambda: Named().wait(timout=3),
            r"Named.wait\(\) .*; did you mean 'timeout'\?",
        ),
        (lambda: Mine().wait(timout=3), r"Mine.wait\(\) .*; did you mean 'timeout'\?"),
        (lambda: Mine().read(xyz=3), r"Mine.read\(\) .* keyword argument 'xyz'$"),
    ],
)
def test_every_method_of_a_class_tells_the_nearest_keyword(
    call: Callable[[], object], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        call()


def test_a_class_whose_keywords_are_told_is_as_before() -> None:
    named = Named(levels=3)
    assert (named.levels, named.read(levels=4), named.read()) == (3, 4, 5)
    assert (named.wait(2.0), Named.made().levels, named.own()) == (2.0, 5, 1)
    assert str(inspect.signature(Named.read)) == "(self, *, levels: 'int' = 5) -> 'int'"
    assert str(inspect.signature(Named)) == "(*, levels: 'int' = 5) -> 'None'"
    assert not hasattr(Named.read, "__wrapped__")
    assert asyncio.run(named.wait_in_loop(timeout=2.0)) == 2.0
    assert inspect.iscoroutinefunction(Named.wait_in_loop)
    wrong: Any = named.wait_in_loop
    with pytest.raises(TypeError, match="did you mean 'timeout'"):
        asyncio.run(wrong(timout=1))
