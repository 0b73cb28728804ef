"""How an instrument may be given, and which market each form means."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws.local_exchange import INSTRUMENTS, Instrument
from okex_ws.local_exchange.market.instruments import (
    AnyInstrument,
    as_instrument,
    as_instruments,
)
from okex_ws.model.instrument_ids import market_of


def test_the_shipped_instruments_are_of_every_market_and_of_the_seed() -> None:
    ids = {each.instrument_id for each in INSTRUMENTS}

    assert {each.market for each in INSTRUMENTS} == {
        "spot",
        "futures",
        "swap",
        "option",
    }
    assert "BTC-USD-190517" in ids
    assert all(market_of(each.instrument_id) == each.market for each in INSTRUMENTS)


def test_an_id_a_pair_and_an_instrument_mean_the_same() -> None:
    known = INSTRUMENTS[0]

    assert as_instrument("BTC-USDT") is known
    assert as_instrument(("spot", "BTC-USDT")) is known
    assert as_instrument(known) is known
    assert as_instrument("LTC-BTC") == Instrument("spot", "LTC-BTC")


def test_a_spread_is_traded_on_request_around_zero() -> None:
    spread = as_instrument("BTC-USDT_BTC-USDT-SWAP")

    assert (spread.market, spread.price) == ("spread", "0.0")
    assert as_instrument(("spread", spread.instrument_id)) == spread


def test_several_are_taken_in_their_order() -> None:
    swap = Instrument("swap", "LTC-USD-SWAP")

    assert as_instruments(each for each in ("BTC-USDT", swap)) == [
        INSTRUMENTS[0],
        swap,
    ]


@pytest.mark.parametrize("wrong", ["BTC-USDT", INSTRUMENTS[0], 5, None])
def test_one_alone_is_no_market(wrong: Any) -> None:
    with pytest.raises(TypeError, match="instruments is a sequence"):
        as_instruments(wrong)


@pytest.mark.parametrize("wrong", [5, ("spot",), None])
def test_what_is_of_another_kind_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="an instrument is an id"):
        as_instrument(wrong)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("btc/usdt", "did you mean 'BTC-USDT'"),
        (("swap", "BTC-USDT"), "an id of market 'spot'"),
        (("index", "BTC-USD"), "nothing is traded on the market 'index'"),
    ],
)
def test_what_is_no_instrument_is_a_value_error(
    wrong: AnyInstrument, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        as_instrument(wrong)


def test_an_instrument_of_a_form_that_is_new_is_taken_with_its_market() -> None:
    new = "BTC-ABOVE-DAILY-260224-1600"

    assert as_instrument(("spot", new)) == Instrument("spot", new)


def test_an_event_contract_opens_in_the_middle_of_its_prices() -> None:
    name = "BTC-ABOVE-DAILY-260224-1600-65000"

    assert as_instrument(name) == Instrument("events", name, "0.50")


@pytest.mark.parametrize(
    "wrong", [{}, {"price": "1"}, {"price": "0"}, {"price": "0.5", "tick": "0.001"}]
)
def test_an_event_contract_has_a_price_below_1(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1, and 0\.01 as its tick"):
        Instrument("events", "BTC-ABOVE-DAILY-260224-1600-65000", **wrong)  # type: ignore[arg-type]
