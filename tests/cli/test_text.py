"""Values as text for people."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest

from okex_ws.cli import text
from tests.support.cli_samples import AT, HOSTILE


def test_nothing_commands_a_terminal() -> None:
    assert text.clean(HOSTILE).isprintable()
    assert text.clean("BTC-USDT \u4f60\u597d") == "BTC-USDT \u4f60\u597d"


@pytest.mark.parametrize(
    ("value", "said"),
    [(Decimal("1E-7"), "0.0000001"), ("60003.10", "60003.10"), (None, "-")],
)
def test_a_number_has_no_exponent(value: Decimal | str | None, said: str) -> None:
    assert text.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.123, "0.12 s"),
        (1.26, "1.3 s"),
        (9.97, "10 s"),
        (119.0, "119 s"),
        (300.0, "5 min"),
        (7200.0, "2 h"),
        (math.inf, "-"),
        (None, "-"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(value: float | None, said: str) -> None:
    assert text.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0008, "0.8 ms"), (0.012, "12 ms"), (2.5, "2.5 s"), (None, "-")],
)
def test_a_short_duration_is_in_milliseconds(value: float | None, said: str) -> None:
    assert text.milliseconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [(512, "512 B"), (1400, "1.4 kB"), (23_000_000, "23.0 MB"), (2e12, "2000 GB")],
)
def test_bytes_have_the_unit_that_suits_them(value: float, said: str) -> None:
    assert text.size(value) == said


def test_a_moment_is_utc_to_the_millisecond() -> None:
    assert text.moment(AT) == "2026-11-26T08:45:00.123Z"
    assert text.clock(AT) == "08:45:00.123"


def test_decimal_points_stand_under_each_other() -> None:
    assert text.aligned(["60003.1", "9", "-"]) == ["60003.1", "    9  ", "    -  "]
    assert text.aligned([]) == []


def test_a_long_list_is_cut() -> None:
    assert text.listed("abc") == "a, b, c"
    assert text.listed("abcdefgh") == "a, b, c, d, e, 3 more"
