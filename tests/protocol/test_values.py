"""Numbers and times of the wire; the rest is tried in the tests of the protocols."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from okex_ws.model.numbers import signed, why
from okex_ws.protocol.messages import NO_DEPTH, DepthData
from okex_ws.protocol.values import (
    candle,
    check_side,
    epoch_ms,
    given,
    integer,
    iso_ms,
    optional,
    snapshot,
    ticker,
    trade,
    whole,
)

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=8)
    | st.sampled_from(["1", "0", "2.5"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def test_what_was_left_out_is_none_and_what_came_is_exact() -> None:
    assert str(optional("3690.10")) == "3690.10"
    assert optional(None) is None
    assert optional("") is None


def test_what_was_left_out_is_not_read() -> None:
    assert given(epoch_ms, None) is None
    assert given(epoch_ms, "") is None
    assert given(whole, "0") == 0
    with pytest.raises(ValueError, match="not a timestamp"):
        given(epoch_ms, "0")


def test_a_number_may_have_a_sign_and_keeps_all_of_its_digits() -> None:
    digits = "0." + "123456789" * 6

    assert str(signed(f"-{digits}")) == f"-{digits}"
    assert str(signed(digits)) == digits
    assert str(signed("-0.00")) == "-0.00"


@pytest.mark.parametrize("value", ["", "-", "--1", "+1", "-+1", "-NaN", " -1", None, 1])
def test_what_is_no_signed_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not a number"):
        signed(value)


def test_a_whole_number_has_digits_only() -> None:
    assert whole("0017") == 17
    assert whole("9" * 20) == 10**20 - 1
    assert (whole(None), whole("")) == (None, None)
    for value in ("-1", "1.0", "1e3", "1_0", " 1", "9" * 21, "٣", 5, True, []):
        with pytest.raises(ValueError, match="not a whole number"):
            whole(value)


def test_an_integer_may_have_a_sign() -> None:
    assert (integer("0017"), integer("-0"), integer("-1")) == (17, 0, -1)
    assert integer("-" + "9" * 20) == -(10**20) + 1
    assert (integer(None), integer(""), integer(-5)) == (None, None, -5)
    odd = ("-", "--1", "+1", "1.0", "-1e3", "-1_0", "9" * 21, f"-{'9' * 21}", "-٣", "٣")
    for value in (*odd, " -1", True, 5.0, []):
        with pytest.raises(ValueError, match="not a whole number"):
            integer(value)


def test_a_time_is_epoch_milliseconds() -> None:
    assert iso_ms("2018-12-30T15:34:44.707Z") == 1546184084707
    assert epoch_ms("1546184084707") == 1546184084707


@pytest.mark.parametrize(
    "value",
    [
        *("", "1546184084", "15461840847071", "0546184084707", "-1546184084707"),
        *("1546184084.707", "154618408470٣", " 1546184084707", None, 1546184084707, []),
    ],
)
def test_a_time_of_v5_has_thirteen_digits(value: Any) -> None:
    with pytest.raises(ValueError, match="not a timestamp"):
        epoch_ms(value)


@for_any(JSON)
def test_any_value_is_a_time_or_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        iso_ms(value)


@for_any(JSON)
def test_any_value_is_a_side_or_an_error_of_one_of_few_kinds(value: Any) -> None:
    try:
        check_side(value, 1.0)
    except (ValueError, TypeError):
        return
    assert all(len(level) in (3, 4) for level in value)


def test_a_missing_field_is_named() -> None:
    assert why(KeyError("px")) == "no 'px'"


# --- What is made of several --------------------------------------------------------

SIDES = {"bids": [["9", "1", "1"]], "asks": [["10", "1", "1"]]}


def test_a_side_that_did_not_change_is_not_checked_again() -> None:
    unread = DepthData([["x", "1", "1"]], SIDES["asks"], 0, None)
    element = {**SIDES, "bids": [["x", "1", "1"]]}

    assert snapshot(element, unread, 7, 5) == DepthData(
        *(element["bids"], SIDES["asks"], 7, 5)
    )
    with pytest.raises(ValueError, match="not a number"):
        snapshot(element, NO_DEPTH, 7, 5)


@pytest.mark.parametrize(
    ("trade_id", "count", "first"),
    [
        ("123", 1, "123"),
        ("123", 3, "121"),
        ("007", 1, "007"),
        ("2", 3, "0"),
        ("a-7", 3, "a-7"),
        ("1" * 30, 3, "1" * 30),
        ("2000000", 1_000_000, "1000001"),
    ],
)
def test_the_first_of_several_trades_is_counted_back(
    trade_id: str, count: int, first: str
) -> None:
    read = trade(trade_id, count, "1.50", "2", "buy", 7)

    assert (read.id, read.first_id, read.count) == (trade_id, first, count)
    assert (str(read.price), read.size, read.side, read.time_ms) == (
        *("1.50", Decimal(2), "buy", 7),
    )


@pytest.mark.parametrize(
    ("trade_id", "count"),
    [
        *(("123", 0), ("123", 1_000_001), ("1", 3)),
        *((value, 1) for value in ("", "a b", "x" * 65, None, 5, [])),
    ],
)
def test_trades_that_cannot_be_counted_are_refused(trade_id: Any, count: int) -> None:
    with pytest.raises(ValueError, match="trade"):
        trade(trade_id, count, "1", "1", "sell", 7)


@pytest.mark.parametrize(
    ("prices", "fine"),
    [
        *((("5", "5", "5", "5"), True), (("5", "7", "4", "6"), True)),
        *((("5", "6", "4", "7"), False), (("5", "7", "6", "6"), False)),
        *((("8", "7", "4", "6"), False), (("5", "7", "4", "3"), False)),
    ],
)
def test_a_candle_holds_its_open_and_close(prices: tuple[str, ...], fine: bool) -> None:
    if fine:
        assert candle(7, prices, (), None).high == Decimal(prices[1])
    else:
        with pytest.raises(ValueError, match=r"prices '[58]'"):
            candle(7, prices, (), None)


def test_a_candle_has_the_volumes_that_came() -> None:
    read = candle(7, ["1"] * 4, ["2", "3"], True)

    assert (read.volume, read.volume_ccy, read.volume_quote) == (2, 3, None)
    assert (read.start_ms, read.closed) == (7, True)


def test_a_ticker_is_what_the_exchange_left_in_it() -> None:
    read = ticker("1.50", ["2", "", None, *["0"] * 7], 7)

    assert (str(read.last), read.last_size, read.bid) == ("1.50", Decimal(2), None)
    assert (read.bid_size, read.volume_ccy_24h, read.time_ms) == (None, 0, 7)
    assert ticker("", ["1"] * 10, 7).last is None
    with pytest.raises(ValueError, match="not a number"):
        ticker("x", ["1"] * 10, 7)
