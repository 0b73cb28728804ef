"""The samples of the exchange of 2026, read; and each with a change that is refused.

They are of retail price improvement, event contracts and X-Perps.
"""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest

from okex_ws.base.errors import BookError, WireError
from okex_ws.channels.book_builder import BookBuilder, RpiBookBuilder
from okex_ws.protocol.listing import instrument
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v5 import PROTOCOL as V5

ROW = ["67860.5", "0.3", "0", "1"]
RPI: dict[str, Any] = {
    "arg": {"channel": "books-rpi", "instId": "BTC-USDT-SWAP"},
    "action": "update",
    "data": [{"asks": [ROW], "bids": [], "ts": "1785310731102"}],
}
RPI["data"][0] |= {"prevSeqId": 332042172451, "seqId": 332042172460}
TRADE = {
    "arg": {"channel": "trades", "instId": "BTC-USDT"},
    "data": [
        {
            "instId": "BTC-USDT",
            "tradeId": "1062992715",
            "px": "83772.6",
            "sz": "0.0000178",
            "side": "buy",
            "ts": "1790358565298",
            "count": "1",
            "source": "1",
            "seqId": 81625379835,
        }
    ],
}
EVENT = {
    "seriesId": "BTC-ABOVE-DAILY",
    "eventId": "BTC-ABOVE-DAILY-260224-1600",
    "instId": "BTC-ABOVE-DAILY-260224-1600-65000",
    "state": "live",
    "outcome": "0",
    "capStrike": "",
    "disputed": False,
}
FUNDING = {
    "formulaType": "withRate",
    "fundingRate": "0.0000263463215391",
    "fundingTime": "1790380800000",
    "instId": "BTC-USD_UM_XPERP-310404",
    "instType": "FUTURES",
    "nextFundingRate": "",
    "nextFundingTime": "1790409600000",
    "premium": "-0.0004010920207754",
    "settState": "settled",
    "ts": "1790358563915",
}


def read(message: dict[str, Any]) -> Push:
    (push,) = V5.read(json.dumps(message, separators=(",", ":")).encode())
    assert isinstance(push, Push)
    return push


def changed(message: dict[str, Any], **fields: Any) -> dict[str, Any]:
    made = copy.deepcopy(message)
    made["data"][0] |= fields
    return made


def built(message: dict[str, Any], builder: BookBuilder) -> Any:
    builder.take(
        V5.book(
            {"asks": [], "bids": [], "ts": "1785310731002", "seqId": 332042172451}
            | {"prevSeqId": -1},
            "snapshot",
        )
    )
    push = read(message)
    return builder.take(V5.book(push.elements[0], push.action, push.exact))


def test_a_change_of_the_book_with_rpi() -> None:
    assert built(RPI, RpiBookBuilder()) == ((), (tuple(ROW),))


@pytest.mark.parametrize(
    "fields",
    [
        {"asks": [["67860.5", "0.3", "0.4", "1"]]},
        {"asks": [["67860.5", "0.3", "1"]]},
        {"asks": [["67860.5", "0.3", "-1", "1"]]},
        {"asks": [["67860.5", "x", "0", "1"]]},
        {"asks": [["", "0.3", "0", "1"]]},
        {"asks": ["67860.5"]},
        {"prevSeqId": 332042172450},
    ],
)
def test_a_book_with_rpi_refuses_what_cannot_be(fields: dict[str, Any]) -> None:
    builder = RpiBookBuilder()
    with pytest.raises((BookError, WireError)):
        built(changed(RPI, **fields), builder)

    assert not builder.is_proven


def test_any_other_book_reads_its_third_field_as_it_is() -> None:
    rows = {"asks": [["67860.5", "0.3", "0.4", "1"]]}

    assert built(changed(RPI, **rows), BookBuilder())[1] == (tuple(rows["asks"][0]),)


@pytest.mark.parametrize(
    ("source", "expected"),
    [({"source": "1"}, True), ({"source": "0"}, False), ({"source": "2"}, None)],
)
def test_a_trade_says_whether_its_maker_improved_the_price(
    source: dict[str, str], expected: bool | None
) -> None:
    trade = V5.trade(read(changed(TRADE, **source)).elements[0])

    assert trade.rpi is expected
    assert trade.price == Decimal("83772.6")


def test_a_trade_of_before_2025_says_nothing_of_its_maker() -> None:
    old = copy.deepcopy(TRADE)
    del old["data"][0]["source"]  # type: ignore[attr-defined]
    trade = V5.trade(read(old).elements[0])

    assert trade.rpi is None
    # Another source of the same trade may say it.
    assert trade == V5.trade(read(TRADE).elements[0])


@pytest.mark.parametrize("source", ["x", "-1", ["1"], True])
def test_a_trade_of_no_source_is_refused(source: Any) -> None:
    with pytest.raises(WireError, match="trade"):
        V5.trade(read(changed(TRADE, source=source)).elements[0])


@pytest.mark.parametrize("more", [{}, {"instType": "EVENTS"}])
def test_a_push_of_event_contracts_need_not_name_their_type(more: Any) -> None:
    message = {"arg": {"channel": "event-contract-markets", **more}, "data": [EVENT]}
    push = read(message)

    assert push.channel == "event-contract-markets:instType=EVENTS"
    assert push.elements == [{**EVENT, "disputed": False}]
    name = V5.raw("event-contract-markets")
    assert (name.key, name.kind) == (push.channel, "data")
    assert not V5.needs_snapshot(name.topic)
    assert json.loads(V5.request("subscribe", [name.key], 1).text)["args"] == [
        {"channel": "event-contract-markets", "instType": "EVENTS"}
    ]


def test_the_top_of_an_event_contract() -> None:
    element = {"asks": [["0.62", "150", "0", "2"]], "bids": [["0.6", "80", "0", "1"]]}
    depth = V5.depth({**element, "ts": "1771900000000", "seqId": 1201})

    assert depth.asks[0][:2] == ["0.62", "150"]
    with pytest.raises(WireError, match="depth"):
        V5.depth({**element, "asks": [["0.62", "0", "0", "2"]], "ts": "1771900000000"})


def test_the_funding_rate_of_an_x_perp() -> None:
    name = V5.channel("funding_rate", "futures", FUNDING["instId"])
    push = read(
        {"arg": {"channel": "funding-rate", "instId": FUNDING["instId"]}}
        | {"data": [FUNDING]}
    )

    assert push.channel == name.key
    rate = V5.funding(push.elements[0])
    assert (rate.rate, rate.next_rate) == (Decimal("0.0000263463215391"), None)
    with pytest.raises(WireError, match="funding"):
        V5.funding({**FUNDING, "fundingRate": ""})


LISTED = {"instType": "EVENTS", "instId": EVENT["instId"], "tickSz": "0.001"}
LISTED |= {"lotSz": "1", "minSz": "1", "state": "preopen", "expTime": "1771920000000"}


def test_an_event_contract_has_bands_of_prices() -> None:
    found = instrument(LISTED, "events")

    assert found is not None
    assert (found.base, found.quote, found.state) == ("BTC", "", "preopen")
    ticks = {price: found.tick_at(price) for price in ("0.001", "0.039", "0.04")}
    ticks |= {price: found.tick_at(price) for price in ("0.959", "0.96", "0.999")}
    assert [str(tick) for tick in ticks.values()] == [
        *("0.001", "0.001", "0.01"),
        *("0.01", "0.001", "0.001"),
    ]
    assert str(found.round_price("0.0393", "up")) == "0.040"
    assert str(found.round_price("0.617", "down")) == "0.61"
    assert str(found.round_price("0.9595", "up")) == "0.96"


@pytest.mark.parametrize(
    ("family", "quote"),
    [("BTC-USD_UM_XPERP", "USD"), ("BTC-USD_UM", "USD"), ("BTC-USDT", "USDT")],
)
def test_the_family_of_a_contract_tells_its_quote_currency(
    family: str, quote: str
) -> None:
    said = {**LISTED, "instType": "FUTURES", "instId": f"{family}-310404"}
    found = instrument({**said, "instFamily": family}, "futures")

    assert found is not None
    assert (found.base, found.quote, found.bands) == ("BTC", quote, ())
