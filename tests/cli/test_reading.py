"""One look at a subscription: prices and health that agree."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import Depth, Health, NotLive, State, Ticker
from okex_ws.cli.reading import SubscriptionReader, top
from tests.support.causes import because
from tests.support.cli_samples import AT, depth, health, lost


class Script:
    """A subscription that says what it was told to, look after look."""

    instrument_id, market, trades = "BTC-USDT", "spot", ()

    def __init__(self, depths: list[Depth | None], states: list[State]) -> None:
        self._depths, self._states = iter(depths), iter(states)

    def depth(self, levels: int) -> Depth:
        found = next(self._depths)
        if found is None:
            raise NotLive(State.STALE, because("late"))
        return found

    def health(self) -> Health:
        return health(next(self._states))


def reader(depths: list[Depth | None], states: list[State]) -> SubscriptionReader:
    script: Any = Script(depths, states)
    return SubscriptionReader(script)


def test_prices_are_never_beside_a_state_that_is_not_live() -> None:
    reading = reader([depth()] * 3, [State.STALE] * 4).read()

    assert reading.depth is None
    assert not reading.live


def test_a_change_between_two_looks_is_looked_at_again() -> None:
    reading = reader([depth(), depth()], [State.STALE, State.STALE, State.LIVE]).read()

    assert reading.live
    assert reading.depth == depth()
    assert reading.since == AT


def test_the_last_prices_are_remembered_and_marked_as_such() -> None:
    looks = reader([depth(), None], [State.LIVE, State.LIVE, State.STALE, State.STALE])
    looks.read()
    reading = looks.read()

    assert reading.depth is None
    assert reading.shown == reading.last == depth()
    assert reading.since is None


def test_the_top_of_nothing_is_nothing() -> None:
    best = top(None)

    assert (best.bid, best.ask, best.spread, best.mid) == (None,) * 4
    assert top(depth(bids=())).spread is None
    assert top(lost().last).spread == top(depth()).spread


@pytest.mark.parametrize("field", ["bid", "ask"])
def test_a_ticker_has_a_top_too(field: str) -> None:
    from decimal import Decimal

    ticker = Ticker("X", *map(Decimal, range(11)), AT, AT, 1)

    assert getattr(top(ticker), field) == getattr(ticker, field)
