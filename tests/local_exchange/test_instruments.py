"""What may stand for an instrument, and what each is taken for."""

from __future__ import annotations

import pytest

from okex_ws.local_exchange import INSTRUMENTS, Instrument
from okex_ws.local_exchange.instruments import AnyInstrument, as_instrument
from okex_ws.venues import market_of


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


@pytest.mark.parametrize("wrong", ["btc", ("swap", "BTC-USDT"), ("index", "BTC-USD")])
def test_what_is_no_instrument_is_a_value_error(wrong: AnyInstrument) -> None:
    with pytest.raises(ValueError, match="no instrument id"):
        as_instrument(wrong)
