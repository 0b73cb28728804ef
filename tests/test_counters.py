"""What is counted, under names that are few."""

from __future__ import annotations

import pytest

from okex_ws.counters import Counts, cause_of
from okex_ws.errors import ConnectionLost, HandshakeFailed, OkexWSError, Stalled

URL = "wss://localhost/ws/v3"


def test_counts_begin_at_nothing() -> None:
    counts = Counts()
    assert (counts.messages, counts.bytes) == (0, 0)
    assert (counts.last_pong, counts.round_trip) == (None, None)
    assert not counts.reconnects
    assert not counts.dropped


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
