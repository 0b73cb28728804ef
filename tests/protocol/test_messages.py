"""The vocabulary of the wire, and that of a script: one says what the other said."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from okex_ws.model import items
from okex_ws.protocol import messages

# What the wire's data becomes, and what that has to itself.
DATA_AND_ITEMS = [
    (messages.TradeData, items.Trade, {"replayed", "backfilled"}),
    (messages.TickerData, items.Ticker, set()),
    (messages.CandleData, items.Candle, {"channel", "backfilled"}),
    (messages.FundingData, items.FundingRate, set()),
]
OWN = {"instrument_id", "received", "epoch"}


def fields(kind: Any) -> dict[str, str]:
    return {field.name: str(field.type) for field in dataclasses.fields(kind)}


def as_given(name: str, annotation: str) -> tuple[str, str]:
    """How a script is given a field of the wire: a time has another name and type."""
    if not name.endswith("_ms"):
        return name, annotation
    given = "timestamp" if name == "time_ms" else name.removesuffix("_ms")
    return given, annotation.replace("int", "datetime")


def kinds(base: type) -> list[type]:
    return [
        kind
        for kind in vars(messages).values()
        if isinstance(kind, type)
        and issubclass(kind, base)
        and kind.__module__ == messages.__name__
    ]


@pytest.mark.parametrize(("data", "item", "own"), DATA_AND_ITEMS)
def test_a_script_is_given_what_the_wire_said_field_for_field(
    data: type, item: type, own: set[str]
) -> None:
    said = [as_given(*field) for field in fields(data).items()]
    given = [field for field in fields(item).items() if field[0] not in OWN | own]

    assert said == given
    assert OWN | own <= set(fields(item))


def test_all_data_of_the_protocols_has_its_item() -> None:
    data = [kind for kind in kinds(object) if dataclasses.is_dataclass(kind)]

    assert data == [kind for kind, _, _ in DATA_AND_ITEMS]


@pytest.mark.parametrize("kind", [kind for kind, _, _ in DATA_AND_ITEMS])
def test_the_data_of_the_wire_is_frozen_and_slotted(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__dict__" not in dir(kind)


def test_the_levels_of_a_depth_are_called_as_in_the_depth_of_a_script() -> None:
    shared = {"bids", "asks", "seq"}

    assert set(messages.DepthData._fields) == shared | {"time_ms", "change", "version"}
    assert shared <= set(fields(items.Depth))


def test_every_kind_of_message_is_a_message() -> None:
    others = {
        messages.ChannelName,
        messages.Related,
        messages.SocketPath,
        messages.Request,
        messages.BookData,
        messages.DepthData,
    }

    assert set(get_args(messages.Message)) == set(kinds(tuple)) - others


def test_an_answer_that_names_no_request_has_none() -> None:
    assert messages.Acknowledged("c").id is None
    assert messages.Unsubscribed("c").id is None
    assert messages.Refused(30040, "no").id is None


def test_a_depth_before_the_first_has_no_levels_and_is_older_than_any() -> None:
    assert (messages.NO_DEPTH.bids, messages.NO_DEPTH.asks) == ([], [])
    assert (messages.NO_DEPTH.time_ms, messages.NO_DEPTH.seq) == (0, None)


def test_a_depth_of_its_own_comes_of_no_change() -> None:
    data = messages.DepthData([], [], 7, None)

    assert (data.change, data.version) == (None, 0)


def test_a_channel_of_neither_depth_nor_book_has_no_levels() -> None:
    assert messages.ChannelName("status", "status", "", "data").levels == 0
