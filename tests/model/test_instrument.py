"""The vocabulary of instruments: a value, compared by what it says."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from decimal import Decimal

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
