"""v3's REST interface in the shapes of its SDKs, and total over any others."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from okex_ws.base.errors import RequestRejected, WireError
from okex_ws.rest.dialect import HttpResponse
from okex_ws.rest.v3 import REST_PROTOCOL
from tests.support.rest_bodies import read_by_all
from tests.support.rest_v3_samples import (
    ASK,
    BOOK,
    FUTURE,
    FUTURES_TRADE,
    ROW,
    SPOT,
    SPOT_TRADE,
    SWAP,
)
from tests.support.rest_v5_samples import ANY_JSON


def read(body: Any, status: int = 200) -> Any:
    return REST_PROTOCOL.data(ASK, HttpResponse(status, json.dumps(body).encode()))


def test_a_body_is_bare() -> None:
    assert read([SPOT]) == [SPOT]
    assert read(BOOK) == BOOK


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"code": 30032, "message": "The currency pair does not exist"}, 400, 30032),
        ({"error_code": "30014", "error_message": "Too Many"}, 429, 30014),
        ({"error_code": "30030", "error_message": "x", "result": "true"}, 200, 30030),
        ([], 502, 502),
        ({}, 404, 404),
    ],
)
def test_what_says_no_is_a_refusal(body: Any, status: int, code: int) -> None:
    with pytest.raises(RequestRejected) as caught:
        read(body, status)

    assert (caught.value.code, caught.value.status) == (code, status)


def test_the_time() -> None:
    said = {"iso": "2015-01-07T23:47:25.201Z", "epoch": "1420674445.201"}

    assert REST_PROTOCOL.read_time(read(said)) == 1420674445201
    for wrong in (read([]), read({}), read({"iso": "today"})):
        with pytest.raises(WireError):
            REST_PROTOCOL.read_time(wrong)


def test_trades_of_every_market() -> None:
    spot, future = REST_PROTOCOL.read_trades(
        read([SPOT_TRADE, FUTURES_TRADE]), "RNT-USDT"
    )

    assert (spot.id, spot.size) == ("3175832", Decimal("100.71"))
    assert (future.id, future.size) == ("5430565", Decimal(20))


def test_candles_are_rows_and_were_objects() -> None:
    said = dict(
        zip(("time", "open", "high", "low", "close", "volume"), ROW, strict=True)
    )
    row, element = REST_PROTOCOL.read_candles(read([ROW, said]))

    assert row == element
    assert (row.start_ms, row.high, row.closed) == (
        1555411740000,
        Decimal("162.04"),
        None,
    )


def test_books_of_every_market() -> None:
    swap = {"asks": BOOK["asks"], "bids": BOOK["bids"], "time": BOOK["timestamp"]}

    assert REST_PROTOCOL.read_book(read(BOOK)) == REST_PROTOCOL.read_book(read(swap))
    assert REST_PROTOCOL.read_book(read(BOOK)).seq is None
    assert REST_PROTOCOL.book("BTC-USD-SWAP", "swap", 9).path.endswith(
        "BTC-USD-SWAP/depth"
    )
    assert REST_PROTOCOL.book("BTC-USDT", "spot", 9).path.endswith("BTC-USDT/book")
    for wrong in (read([]), read({}), read({"asks": [], "bids": []})):
        with pytest.raises(WireError):
            REST_PROTOCOL.read_book(wrong)


def test_instruments_of_every_market() -> None:
    (spot,) = REST_PROTOCOL.read_instruments(read([SPOT]), "spot")
    (swap,) = REST_PROTOCOL.read_instruments(read([SWAP]), "swap")
    (future,) = REST_PROTOCOL.read_instruments(read([FUTURE]), "futures")

    assert (spot.base, spot.quote, spot.tick) == ("DASH", "BTC", Decimal("1E-8"))
    assert (spot.lot, spot.min_size) == (Decimal("0.000001"), Decimal("0.001"))
    assert (swap.contract_value, swap.contract_currency) == (Decimal(100), "USD")
    # A perpetual's "delivery" is its next settlement.
    assert swap.expiry is None
    assert swap.listed == datetime(2018, 8, 28, 2, 43, 23, tzinfo=timezone.utc)
    assert (future.base, future.quote, future.lot) == ("BTC", "USD", Decimal(1))
    assert future.min_size == future.lot
    assert future.listed == datetime(2019, 5, 3, tzinfo=timezone.utc)
    assert future.expiry == datetime(2019, 5, 17, 8, tzinfo=timezone.utc)
    listed = read([SPOT | {"tick_size": "0"}, SPOT])
    bad, good = REST_PROTOCOL.read_instruments(listed, "spot")
    assert isinstance(bad, WireError)
    assert "no steps" in str(bad)
    assert good == spot


def test_options_are_listed_by_underlying() -> None:
    families = REST_PROTOCOL.families("option")
    assert families is not None
    assert REST_PROTOCOL.families("futures") is None
    assert REST_PROTOCOL.read_families(read(["BTC-USD"])) == ["BTC-USD"]
    path = REST_PROTOCOL.instruments("option", "BTC-USD").path
    assert path == "/api/option/v3/instruments/BTC-USD"


def test_trades_are_paged_but_on_spot() -> None:
    (spot,) = REST_PROTOCOL.trades("BTC-USDT", "spot", None, 10)
    (swap,) = REST_PROTOCOL.trades("BTC-USD-SWAP", "swap", 5, 10)

    assert (spot.size, spot.pages, spot.request(5, 10).params) == (
        60,
        False,
        {"limit": "10"},
    )
    assert (swap.size, swap.pages) == (100, True)
    assert swap.request(5, 10).params == {"limit": "10", "after": "5"}
    # What is older than something is perhaps among the newest that there are.
    (bounded,) = REST_PROTOCOL.trades("BTC-USDT", "spot", 5, 10)
    assert bounded.request(5, 10).params == {"limit": "60"}


def test_candles_are_asked_for_by_windows_of_time() -> None:
    (source,) = REST_PROTOCOL.candles("BTC-USDT", "spot", "candle60s")
    request = source.request(1555411740000, 3)

    assert source.size == 200
    assert request.path == "/api/spot/v3/instruments/BTC-USDT/candles"
    assert request.params == {
        "granularity": "60",
        "start": "2019-04-16T10:46:00.000Z",
        # Whether the end belongs to it is not documented.
        "end": "2019-04-16T10:49:01.000Z",
    }
    assert REST_PROTOCOL.seconds_of("candle604800s") == 604800


@given(ANY_JSON, st.sampled_from([200, 400, 429, 500]))
def test_any_json_is_read_or_refused_by_one_of_two_errors(
    body: Any, status: int
) -> None:
    for envelope in (body, [body], {"code": body}, {"error_code": body}):
        read_by_all(REST_PROTOCOL, partial(read, envelope, status))


@given(
    st.sampled_from([SPOT_TRADE, FUTURES_TRADE, BOOK, SPOT, SWAP, FUTURE]),
    st.data(),
    ANY_JSON,
)
def test_a_field_that_is_anything_breaks_no_reader(
    element: dict[str, Any], draw: st.DataObject, value: Any
) -> None:
    name = draw.draw(st.sampled_from(sorted(element)))
    for body in (element | {name: value}, [element | {name: value}]):
        read_by_all(REST_PROTOCOL, partial(read, body))
