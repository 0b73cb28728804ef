"""The vocabulary: values that cannot change, and what little they can say."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from typing import get_args

import pytest

from okex_ws.base.clock import utc
from okex_ws.base.state import State
from okex_ws.model import items
from okex_ws.model.items import BestBidAsk, Item
from okex_ws.model.reports import Stats


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


@pytest.mark.parametrize(("bid", "ask"), [(None, "0.3"), ("0.1", None), (None, None)])
def test_an_empty_side_has_no_mid_and_no_spread(
    bid: str | None, ask: str | None
) -> None:
    assert best(bid, ask).mid is None
    assert best(bid, ask).spread is None


@pytest.mark.parametrize("state", State)
def test_a_state_reads_as_its_name(state: State) -> None:
    assert str(state) == f"{state}" == state.name == state.value
    assert f"{state:>12}" == state.name.rjust(12)
    assert state == state.name


def test_only_failed_and_closed_are_final() -> None:
    assert {state for state in State if state.final} == {State.FAILED, State.CLOSED}


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


def test_stats_begin_at_nothing_and_share_nothing() -> None:
    one, other = Stats(), Stats()
    assert one == other
    assert one.dropped is not other.dropped
    assert (one.resyncs, one.gaps, one.mismatches) == (0, 0, 0)
