"""v5's REST interface in its documented shapes, and total over any others."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from okex_ws import Instrument
from okex_ws.base.errors import RequestRejected, WireError
from okex_ws.rest.dialect import HttpResponse
from okex_ws.rest.v5 import REST_PROTOCOL
from tests.support.rest_bodies import read_by_all
from tests.support.rest_v5_samples import (
    ANY_JSON,
    ASK,
    BOOK,
    CANDLE,
    OPTION,
    SWAP,
    TRADE,
)


def read(body: Any, status: int = 200) -> Any:
    """What an answer's envelope holds."""
    return REST_PROTOCOL.data(ASK, HttpResponse(status, json.dumps(body).encode()))


def data(*elements: Any) -> Any:
    return read({"code": "0", "msg": "", "data": list(elements)})


def test_the_envelope_is_opened() -> None:
    assert data({"ts": "1"}) == [{"ts": "1"}]
    assert data() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"code": "51001", "msg": "no such thing", "data": []}, 200, "51001"),
        ({"code": "51001", "msg": "OKJ leaves the data out"}, 200, "51001"),
        ({"code": "50011", "msg": "Too Many Requests"}, 429, "50011"),
        (
            {"code": "50014", "data": [], "msg": "instType cannot be empty"},
            400,
            "50014",
        ),
        (
            {"code": 404, "data": {}, "error_code": "404", "msg": "Not Found"},
            404,
            "404",
        ),
        ({"code": "0", "data": []}, 500, 500),
        ({}, 502, 502),
    ],
)
def test_what_says_no_is_a_refusal(body: Any, status: int, code: int | str) -> None:
    with pytest.raises(RequestRejected) as caught:
        read(body, status)

    assert (caught.value.code, caught.value.status) == (code, status)


@pytest.mark.parametrize(
    "body", [[], "x", 1, None, {}, {"code": "0"}, {"code": "0", "data": {}}]
)
def test_another_envelope_is_unreadable(body: Any) -> None:
    with pytest.raises(WireError):
        read(body)


def test_the_time() -> None:
    assert REST_PROTOCOL.time().path == "/api/v5/public/time"
    assert REST_PROTOCOL.read_time(data({"ts": "1790133322254"})) == 1790133322254
    for wrong in (data(), data({"ts": "x"}), data({"ts": "1"}), data({}, {})):
        with pytest.raises(WireError):
            REST_PROTOCOL.read_time(wrong)


def test_a_trade_is_read_as_the_channels_is() -> None:
    (trade,) = REST_PROTOCOL.read_trades(data(TRADE), "BTC-USDT")

    assert (trade.id, trade.count, trade.side) == ("242720720", 1, "sell")
    assert (trade.price, trade.size) == (Decimal("29963.2"), Decimal("0.00001"))
    assert trade.time_ms == 1654161646974
    strange = data(TRADE | {"instId": "ETH-USDT"}, TRADE)
    bad, good = REST_PROTOCOL.read_trades(strange, "BTC-USDT")
    assert isinstance(bad, WireError)
    assert "ETH-USDT" in str(bad)
    assert good == trade


def test_candles_say_whether_they_are_over() -> None:
    closed, open_one = REST_PROTOCOL.read_candles(data(CANDLE, [*CANDLE[:-1], "0"]))

    assert (closed.start_ms, closed.closed, open_one.closed) == (
        1597026383085,
        True,
        False,
    )
    assert closed.volume_quote == Decimal("12698348.04828491")


def test_the_book_has_its_number() -> None:
    depth = REST_PROTOCOL.read_book(data(BOOK))

    assert depth.asks == [["41006.8", "0.60038921", "0", "1"]]
    assert (depth.seq, depth.time_ms) == (3235851742, 1629966436396)
    old = {name: value for name, value in BOOK.items() if name != "seqId"}
    assert REST_PROTOCOL.read_book(data(old)).seq is None
    for wrong in (data(), data(BOOK, BOOK), data(BOOK | {"asks": [["1", "0", "0"]]})):
        with pytest.raises(WireError):
            REST_PROTOCOL.read_book(wrong)


def test_instruments_are_read() -> None:
    swap, option = REST_PROTOCOL.read_instruments(data(SWAP, OPTION), "swap")

    assert (swap.base, swap.quote, swap.settle_currency) == ("BTC", "USDT", "USDT")
    assert (swap.tick, swap.lot) == (Decimal("0.1"), Decimal("0.01"))
    assert (swap.contract_value, swap.contract_currency) == (Decimal("0.01"), "BTC")
    assert (swap.expiry, swap.state, swap.strike) == (None, "live", None)
    assert swap.listed == datetime(2020, 8, 10, 2, 26, 23, 85000, timezone.utc)
    # ctVal times ctMult.
    assert option.contract_value == Decimal("0.01")
    assert (option.strike, option.option_type) == (Decimal(60000), "C")
    assert option.expiry == datetime(2030, 12, 27, 8, tzinfo=timezone.utc)


def test_what_is_not_traded_yet_has_no_steps_and_is_left_out() -> None:
    early = SWAP | {"tickSz": "", "state": "preopen"}

    listed = data(early, SWAP | {"tickSz": ""}, SWAP)
    none, bad, good = REST_PROTOCOL.read_instruments(listed, "swap")
    assert none is None
    assert isinstance(bad, WireError)
    assert "has no steps" in str(bad)
    assert isinstance(good, Instrument)


def test_options_are_listed_by_family() -> None:
    families = REST_PROTOCOL.families("option")
    assert families is not None
    assert REST_PROTOCOL.families("spot") is None
    assert REST_PROTOCOL.read_families(data(["BTC-USD", "ETH-USD"])) == [
        "BTC-USD",
        "ETH-USD",
    ]
    assert REST_PROTOCOL.instruments("option", "BTC-USD").params == {
        "instType": "OPTION",
        "instFamily": "BTC-USD",
    }
    bad, good = REST_PROTOCOL.read_families(data(["BTC/../USD", "ETH-USD"]))
    assert isinstance(bad, WireError)
    assert good == "ETH-USD"


def asked(sources: list[Any], place: int | None, count: int) -> list[tuple[str, Any]]:
    asks = [source.request(place, count) for source in sources]
    return [(request.path.rpartition("/")[2], request.params) for request in asks]


def test_the_newest_trades_are_one_request_and_older_ones_pages() -> None:
    sources = REST_PROTOCOL.trades("BTC-USDT", "spot", None, 800)

    assert [(source.size, source.pages) for source in sources] == [
        (500, False),
        (100, True),
    ]
    assert asked(sources, 77, 50) == [
        ("trades", {"instId": "BTC-USDT", "limit": "50"}),
        (
            "history-trades",
            {"instId": "BTC-USDT", "type": "1", "limit": "50", "after": "77"},
        ),
    ]
    # What is older than something is perhaps not among the newest: one page finds it.
    assert len(REST_PROTOCOL.trades("BTC-USDT", "spot", 77, 98)) == 1
    many = REST_PROTOCOL.trades("BTC-USDT", "spot", 77, 101)
    assert many[0].request(77, 101).params["limit"] == "500"


@pytest.mark.parametrize(
    ("own_name", "paths", "bar", "limits"),
    [
        ("candle1m", ["candles", "history-candles"], "1m", [(300, 40), (100, 20)]),
        (
            "candle1Dutc",
            ["candles", "history-candles"],
            "1Dutc",
            [(300, 40), (100, 20)],
        ),
        ("candle1s", ["history-candles"], "1s", [(100, 20)]),
        (
            "mark-price-candle5m",
            ["mark-price-candles", "history-mark-price-candles"],
            "5m",
            [(100, 20), (100, 10)],
        ),
        (
            "index-candle1H",
            ["index-candles", "history-index-candles"],
            "1H",
            [(100, 20), (100, 10)],
        ),
    ],
)
def test_candles_are_asked_for_by_their_kind(
    own_name: str, paths: list[str], bar: str, limits: list[tuple[int, int]]
) -> None:
    sources = REST_PROTOCOL.candles("BTC-USDT", "spot", own_name)

    params = {"instId": "BTC-USDT", "bar": bar, "limit": "9", "after": "1597026383085"}
    assert asked(sources, 1597026383085, 9) == [(path, params) for path in paths]
    assert [(s.size, s.request(None, 1).rule.limit) for s in sources] == limits
    assert "after" not in sources[0].request(None, 1).params


@given(ANY_JSON, st.sampled_from([200, 400, 429, 500]))
def test_any_json_is_read_or_refused_by_one_of_two_errors(
    body: Any, status: int
) -> None:
    for envelope in (body, {"code": "0", "data": body}, {"code": body}):
        read_by_all(REST_PROTOCOL, partial(read, envelope, status))


@given(
    st.sampled_from([TRADE, BOOK, SWAP, OPTION, {"ts": "1790133322254"}]),
    st.data(),
    ANY_JSON,
)
def test_a_field_that_is_anything_breaks_no_reader(
    element: dict[str, Any], draw: st.DataObject, value: Any
) -> None:
    name = draw.draw(st.sampled_from(sorted(element)))
    read_by_all(REST_PROTOCOL, partial(data, element | {name: value}), (WireError,))
