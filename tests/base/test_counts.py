"""What is counted, under names that are few."""

from __future__ import annotations

import pytest

from okex_ws.base.counts import Counts, cause_of
from okex_ws.base.errors import ConnectionLost, HandshakeFailed, OkexWSError, Stalled

URL = "wss://localhost/ws/v3"


def test_counts_begin_at_nothing() -> None:
    counts = Counts()
    assert (counts.messages, counts.bytes) == (0, 0)
    assert (counts.last_pong, counts.round_trip) == (None, None)
    assert not counts.reconnects
    assert not counts.dropped


def counted() -> Counts:
    counts = Counts()
    counts.messages, counts.bytes = 3, 40
    counts.reconnects["Stalled"] = 1
    counts.dropped["json"] = 2
    counts.last_pong, counts.round_trip = 5.0, 0.1
    return counts


def test_what_a_connection_counted_that_is_gone_is_taken_over() -> None:
    counts, gone = counted(), counted()
    gone.reconnects["ConnectionLost"] = 7

    counts.absorb(gone)

    assert (counts.messages, counts.bytes) == (6, 80)
    assert counts.reconnects == {"Stalled": 2, "ConnectionLost": 7}
    assert counts.dropped == {"json": 4}
    # A pong says something of its own connection alone.
    assert (counts.last_pong, counts.round_trip) == (5.0, 0.1)


def test_nothing_of_the_other_is_changed_or_shared() -> None:
    counts, gone = Counts(), counted()

    counts.absorb(gone)
    counts.dropped["json"] += 1

    assert vars(gone) == vars(counted())
    assert counts.last_pong is None


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ConnectionLost(URL, "reset by peer"), "ConnectionLost"),
        (ConnectionLost(URL, "bye", 1001), "ConnectionLost 1001"),
        (HandshakeFailed(URL, "wrong certificate"), "HandshakeFailed"),
        (HandshakeFailed(URL, "too many", 429, 7.0), "HandshakeFailed 429"),
        (Stalled("no pong came", 10.0), "Stalled"),
    ],
)
def test_a_loss_is_counted_by_its_kind_and_code(error: OkexWSError, name: str) -> None:
    assert cause_of(error) == name
