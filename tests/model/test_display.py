"""What a script prints is one line, and what a notebook shows is a small table."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    Data,
    Depth,
    Gap,
    Health,
    OrderBook,
    PastBook,
    State,
    StateChange,
    Stats,
    Trade,
)
from okex_ws.base.clock import utc
from okex_ws.model.display import Displayed

BIDS = tuple((f"{100 - n}.10", "0.5", "0", "1") for n in range(30))
ASKS = (("100.20", "2", "0", "1"),)
AT = utc(1_600_000_000.25)
SAID = "2020-09-13T12:26:40.250Z"
DEPTH = Depth("BTC-USDT", BIDS, ASKS, AT, AT, None, 7, 1, "depth5")
TRADE = Trade(
    *("BTC-USDT", "7", "7", 1, Decimal("100.1"), Decimal("1E+2"), "buy", AT, AT, 1)
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (
            DEPTH,
            "<Depth BTC-USDT bids=100.10 x 0.5 (30 levels) asks=100.20 x 2 (1 levels)"
            f" timestamp={SAID} received={SAID} seq=7 epoch=1 channel=depth5>",
        ),
        (
            TRADE,
            "<Trade BTC-USDT id=7 first_id=7 count=1 price=100.1 size=100 side=buy"
            f" timestamp={SAID} received={SAID} epoch=1>",
        ),
        (
            StateChange(State.SYNCING, State.LIVE, "", 1, AT, "A"),
            f"<StateChange old=SYNCING new=LIVE epoch=1 at={SAID} A>",
        ),
        (Gap("trade", None, "9", "a line\nand more"), None),
        (OrderBook(BIDS), "<OrderBook bids=100.10 x 0.5 (30 levels)>"),
        (OrderBook(), "<OrderBook>"),
        (PastBook(BIDS, (), None, AT), None),
        (Stats(messages=7, skipped={"trade": 2}), None),
        (Stats(), "<Stats>"),
        (Data("x", ({"a": "b"}, "c"), None, AT, 1), None),
        (Health(State.FAILED, "why", math.inf, 1 / 3, None, 0, {"a": OSError()}), None),
    ],
    ids=lambda each: type(each).__name__,
)
def test_each_value_is_one_line(value: Any, said: str | None) -> None:
    assert "\n" not in repr(value)
    assert len(repr(value)) < 400
    assert repr(value).startswith(f"<{type(value).__name__}")
    assert said in (None, repr(value))


def test_stats_name_what_was_counted() -> None:
    stats = Stats(messages=7, skipped={"trade": 2}, ping_round_trip=0.0012)

    assert repr(stats) == "<Stats messages=7 skipped={trade: 2} ping_round_trip=0.0012>"
    assert stats._repr_html_() == (
        "<table><caption>Stats</caption><tr><th>messages</th><td>7</td></tr>"
        "<tr><th>skipped</th><td>{trade: 2}</td></tr>"
        "<tr><th>ping_round_trip</th><td>0.0012</td></tr></table>"
    )


@pytest.mark.parametrize(
    "book", [DEPTH, OrderBook(BIDS, ASKS), PastBook(BIDS, ASKS, 7, AT)]
)
def test_the_table_of_a_book_has_its_best_levels(book: Any) -> None:
    rows = book._repr_html_().split("<tr>")[1:]

    assert len(rows) == 11
    assert rows[0].startswith("<th>size</th><th>bid</th><th>ask</th><th>size</th>")
    assert rows[1].startswith(
        "<td>0.5</td><td>100.10</td><td>100.20</td><td>2</td></tr>"
    )
    assert rows[2].startswith("<td>0.5</td><td>99.10</td><td></td><td></td></tr>")


@dataclass(frozen=True, slots=True, repr=False)
class Said(Displayed):
    """A text of a peer, and what no line shows."""

    text: str
    hidden: str = field(default="", repr=False)


def test_no_text_of_a_peer_can_leave_its_line_or_its_cell() -> None:
    said = Said("<b>\x1b[31m\n" + "x" * 200, "hidden")

    assert "\x1b" not in repr(said)
    assert "\n" not in repr(said)
    assert len(repr(said)) < 100
    assert "<b>" not in said._repr_html_()
    assert "hidden" not in repr(said) + said._repr_html_()
    assert not hasattr(said, "__dict__")
