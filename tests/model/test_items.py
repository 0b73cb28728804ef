"""The vocabulary: values that cannot change, and what little they can say."""

from __future__ import annotations

import dataclasses
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.clock import utc
from okex_ws.model import items
from okex_ws.model.items import BestBidAsk, Item, ReadOnly
from tests.support.decimal_contexts import HOSTILE


def best(bid: str | None, ask: str | None) -> BestBidAsk:
    price = {"bid": bid, "ask": ask}
    made = {side: None if p is None else Decimal(p) for side, p in price.items()}
    size = Decimal(1)
    moment = utc(0)
    return BestBidAsk(
        "BTC-USDT",
        made["bid"],
        None if bid is None else size,
        made["ask"],
        None if ask is None else size,
        moment,
        moment,
        None,
        None,
        1,
        "depth5",
    )


def test_mid_and_spread_are_exact() -> None:
    assert best("0.1", "0.3").mid == Decimal("0.2")
    assert best("0.1", "0.3").spread == Decimal("0.2")


@pytest.mark.parametrize("context", HOSTILE)
def test_mid_and_spread_are_exact_in_any_decimal_context(context: Context) -> None:
    found = best("67123.1234567", "67123.1234568")
    with localcontext(context):
        mid, spread = found.mid, found.spread

    assert mid == Decimal("67123.12345675")
    assert spread == Decimal("0.0000001")


prices = st.from_regex(r"[1-9][0-9]{0,40}(\.[0-9]{1,20})?", fullmatch=True)
contexts = st.sampled_from(HOSTILE)


@given(prices, prices, contexts)
def test_mid_lies_between_bid_and_ask(bid: str, ask: str, context: Context) -> None:
    found = best(bid, ask)
    with localcontext(context):
        mid, spread = found.mid, found.spread

    assert mid is not None
    assert spread is not None
    assert 2 * Fraction(mid) == Fraction(bid) + Fraction(ask)
    assert Fraction(spread) == Fraction(ask) - Fraction(bid)


@pytest.mark.parametrize(("bid", "ask"), [(None, "0.3"), ("0.1", None), (None, None)])
def test_an_empty_side_has_no_mid_and_no_spread(
    bid: str | None, ask: str | None
) -> None:
    assert best(bid, ask).mid is None
    assert best(bid, ask).spread is None


def dataclasses_of_the_vocabulary() -> list[type]:
    return [
        kind
        for kind in vars(items).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    ]


@pytest.mark.parametrize("kind", dataclasses_of_the_vocabulary())
def test_what_a_script_is_given_is_frozen_and_slotted(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__dict__" not in dir(kind)


@pytest.mark.parametrize("kind", get_args(Item))
def test_every_item_of_an_iterator_names_its_instrument(kind: type) -> None:
    assert "instrument_id" in {field.name for field in dataclasses.fields(kind)}


def test_what_is_beside_the_data_is_shown_as_a_mapping() -> None:
    beside = ReadOnly({"curPage": 1})

    assert (repr(beside), dict(beside), len(beside)) == (
        "{'curPage': 1}",
        {"curPage": 1},
        1,
    )
