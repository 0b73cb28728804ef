"""The vocabulary of instruments: a value, compared by what it says."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest

from okex_ws import Instrument


def test_an_instrument_is_a_value() -> None:
    one, same = (
        Instrument("BTC-USDT", "spot", "BTC", "USDT", *map(Decimal, ("0.1", "1", "1")))
        for _ in "ab"
    )

    assert one == same
    assert one.contract_value is None
    with pytest.raises(FrozenInstanceError):
        one.tick = Decimal(1)  # type: ignore[misc]


def make(tick: str = "0.1", lot: str = "0.001", least: str = "0.01") -> Instrument:
    steps = map(Decimal, (tick, lot, least))
    return Instrument("BTC-USDT", "spot", "BTC", "USDT", *steps)


EVENT = replace(
    make("0.001", "1", "1"),
    bands=tuple(
        (Decimal(least), Decimal(tick))
        for least, tick in (("0", "0.001"), ("0.04", "0.01"), ("0.96", "0.001"))
    ),
)


@pytest.mark.parametrize(
    "price", ["60000.12", Decimal("60000.12"), 60000.12, 60000, Fraction(1, 3)]
)
def test_the_tick_is_one_for_every_price_without_bands(price: Any) -> None:
    assert make().tick_at(price) == Decimal("0.1")


@pytest.mark.parametrize(
    ("price", "tick"),
    [("0.039", "0.001"), ("0.04", "0.01"), ("0.5", "0.01"), (0.96, "0.001")],
)
def test_the_tick_is_that_of_the_band(price: Any, tick: str) -> None:
    assert EVENT.tick_at(price) == Decimal(tick)


@pytest.mark.parametrize(
    ("price", "down", "nearest", "up"),
    [
        ("60000.14", "60000.1", "60000.1", "60000.2"),
        ("60000.15", "60000.1", "60000.2", "60000.2"),
        (60000.1, "60000.1", "60000.1", "60000.1"),
        (0.3, "0.3", "0.3", "0.3"),
        ("0", "0.0", "0.0", "0.0"),
    ],
)
def test_a_price_is_rounded_to_the_tick_as_the_exchange_writes_it(
    price: Any, down: str, nearest: str, up: str
) -> None:
    one = make()

    assert str(one.round_price(price, "down")) == down
    assert str(one.round_price(price)) == nearest
    assert str(one.round_price(price, "up")) == up


def test_a_price_of_a_band_is_rounded_to_its_tick() -> None:
    assert str(EVENT.round_price("0.0396", "up")) == "0.040"
    assert str(EVENT.round_price("0.5031")) == "0.50"
    assert str(make(tick="5E+1").round_price(149, "down")) == "100"


@pytest.mark.parametrize(
    ("size", "how", "rounded"),
    [
        (0.1239, "down", "0.123"),
        ("0.1239", "up", "0.124"),
        ("0.0099", "down", "0"),
        ("0.0001", "up", "0.01"),
        (0, "up", "0"),
        (7, "nearest", "7.000"),
    ],
)
def test_a_size_is_rounded_to_a_size_that_can_be_ordered(
    size: Any, how: Any, rounded: str
) -> None:
    assert str(make().round_size(size, how)) == rounded


def test_no_context_of_the_script_changes_a_rounded_number() -> None:
    with localcontext() as context:
        context.prec = 2

        assert str(make().round_price("60000.14")) == "60000.1"
        assert str(make().round_size("12345.6789")) == "12345.678"


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("x", ValueError),
        (-1, ValueError),
        (math.nan, ValueError),
        ("inf", ValueError),
        (None, TypeError),
        (True, TypeError),
        (b"1", TypeError),
    ],
)
def test_what_is_no_number_from_zero_up_is_refused(
    wrong: Any, error: type[Exception]
) -> None:
    for helper in (make().tick_at, make().round_price, make().round_size):
        with pytest.raises(error):
            helper(wrong)


def test_another_way_to_round_is_refused() -> None:
    with pytest.raises(ValueError, match="how is 'down', 'up' or 'nearest'"):
        make().round_price(1, "floor")  # type: ignore[arg-type]
