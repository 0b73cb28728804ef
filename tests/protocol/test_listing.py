"""How v5 describes an instrument, whatever is missing of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from okex_ws.protocol.listing import instrument, spread

SWAP = {
    "instId": "BTC-USDT-SWAP",
    "uly": "BTC-USDT",
    "baseCcy": "",
    "ctVal": "0.01",
    "ctMult": "1",
    "ctValCcy": "BTC",
    "settleCcy": "USDT",
    "expTime": "",
    "tickSz": "0.1",
    "lotSz": "0.01",
    "minSz": "0.01",
    "state": "live",
    "upcChg": [{"param": "tickSz", "newValue": "0.01", "effTime": "1704876947000"}],
}


def test_a_swap_has_its_steps_and_what_a_contract_is_worth() -> None:
    swap = instrument(SWAP, "swap")

    assert swap is not None
    assert (swap.instrument_id, swap.market) == ("BTC-USDT-SWAP", "swap")
    assert (swap.base, swap.quote) == ("BTC", "USDT")
    assert (swap.tick, swap.lot) == (Decimal("0.1"), Decimal("0.01"))
    assert (swap.contract_value, swap.contract_currency) == (Decimal("0.01"), "BTC")


def test_an_id_of_one_part_has_no_quote_currency() -> None:
    one = instrument({**SWAP, "instId": "NEW", "uly": ""}, "spot")

    assert one is not None
    assert (one.base, one.quote) == ("NEW", "")


def test_what_is_announced_and_has_no_steps_yet_is_none() -> None:
    announced = {"instId": "NEW-USDT", "state": "preopen", "tickSz": "", "lotSz": ""}

    assert instrument(announced, "spot") is None
    with pytest.raises(ValueError, match="is live and has no steps"):
        instrument({**announced, "state": "live"}, "spot")


@pytest.mark.parametrize(
    ("field", "value"), [("instId", 7), ("tickSz", "x"), ("state", ["live"])]
)
def test_what_is_unreadable_is_an_error(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match="not a"):
        instrument({**SWAP, field: value}, "swap")


SPREAD: dict[str, Any] = {
    "sprdId": "BTC-USDT_BTC-USDT-SWAP",
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
    "szCcy": "BTC",
    "tickSz": "0.1",
    "lotSz": "0.001",
    "minSz": "0.001",
    "legs": [
        {"instId": "BTC-USDT", "side": "sell"},
        {"instId": "BTC-USDT-SWAP", "side": "buy"},
    ],
}


def test_a_spread_has_two_legs() -> None:
    made = spread(SPREAD)

    assert made.legs == (("BTC-USDT", "sell"), ("BTC-USDT-SWAP", "buy"))
    assert (made.market, made.contract_currency) == ("spread", "BTC")


@pytest.mark.parametrize(
    "changes",
    [
        {"legs": SPREAD["legs"][:1]},
        {"legs": "two"},
        {"legs": [{"instId": "A-B", "side": "hold"}, *SPREAD["legs"][1:]]},
        {"tickSz": "0"},
        {"lotSz": "x"},
    ],
)
def test_what_is_no_spread_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        spread(SPREAD | changes)


def test_how_an_instrument_trades_and_what_it_is_about() -> None:
    element = {
        "instId": "BTC-USD_UM_XPERP-310404",
        "instFamily": "BTC-USD_UM_XPERP",
        "tickSz": "0.1",
        "lotSz": "1",
        "minSz": "1",
        "state": "live",
    }
    told = instrument(element | {"ruleType": "xperp", "instCategory": "1"}, "futures")
    silent = instrument(element | {"ruleType": ""}, "futures")

    assert told is not None
    assert (told.rule, told.category) == ("xperp", "1")
    assert silent is not None
    assert (silent.rule, silent.category) == (None, None)
    with pytest.raises(ValueError, match="name"):
        instrument(element | {"ruleType": "x\ny"}, "futures")
