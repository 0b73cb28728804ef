"""Tick size, lot and contract of an instrument, as the exchange lists them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import Feed, Instrument, WSSubscription
from okex_ws.local_exchange import LocalExchange
from tests.support.virtual_world import World

NAME = "instruments"
LISTED = {
    "instId": "BTC-USDT",
    "baseCcy": "BTC",
    "quoteCcy": "USDT",
    "tickSz": "0.1",
    "lotSz": "0.00000001",
    "minSz": "0.00001",
    "state": "live",
}
OTHER = {"instId": "ETH-USDT", "tickSz": "0.01", "lotSz": "1", "minSz": "1"}


def push(*elements: Any) -> dict[str, Any]:
    return {"arg": {"channel": NAME, "instType": "SPOT"}, "data": list(elements)}


@pytest.fixture
def exchange() -> Any:
    with LocalExchange() as running:
        yield running


def test_the_first_use_waits_until_the_exchange_has_described_the_instrument(
    exchange: LocalExchange,
) -> None:
    with WSSubscription("BTC-USDT", venue=exchange.venue_v5) as okx:
        spot = okx.instrument

        assert spot is not None
        assert (spot.tick, spot.lot) == (Decimal("0.1"), Decimal("0.0001"))
        assert spot.tick_at("60000.12") == Decimal("0.1")
        okx.wait_live(10)
        assert okx.instrument is spot


def test_no_script_sees_that_the_list_is_followed(exchange: LocalExchange) -> None:
    with Feed(exchange.venue_v5) as feed:
        items = feed.updates(timeout=10)
        made = feed.subscribe(["BTC-USDT", "BTC-USD-SWAP"], channels=["depth5"])
        feed.wait_live(10)

        swap = made[1].instrument

        assert swap is not None
        assert swap.contract_value == 1
        assert feed.subscriptions == made
        assert {next(items).__class__.__name__ for _ in range(8)} <= {
            *("Depth", "StateChange")
        }
        for one in made:
            one.close()
        assert feed.subscriptions == ()
        assert one.instrument is swap


def test_a_change_is_taken_and_what_it_does_not_name_stays() -> None:
    world = World("v5")
    sub = world.subscribe(channels=("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: seen.append(sub.instrument))
    world.at(2, lambda: world.peers[0].send(push(OTHER, LISTED, "no instrument")))
    world.at(3, lambda: seen.append(sub.instrument))
    changes = ({"tickSz": "0.01"}, {"tickSz": "x"}, {"state": "suspend"})
    for second, change in enumerate(changes, 4):
        element = {"instId": "BTC-USDT", **change}
        world.at(second, lambda each=element: world.peers[0].send(push(each)))
    world.at(8, lambda: seen.append(sub.instrument))

    world.run(9)

    nothing, first, last = seen
    assert nothing is None
    assert (first.tick, first.lot) == (Decimal("0.1"), Decimal("1E-8"))
    assert last == replace(first, tick=Decimal("0.01"), state="suspend")
    assert sub.instrument == last


def test_a_refused_list_is_no_instrument_and_ends_nothing() -> None:
    world = World("v5")
    sub = world.subscribe(channels=("depth5",))
    world.exchange.unknown.add("instruments:SPOT")
    seen: list[Any] = []
    world.at(1, lambda: seen.append(sub.instrument))
    world.at(3, lambda: seen.extend([sub.instrument, sub.state.final]))

    world.run(4)

    assert seen == [None, None, False]


def test_one_that_is_given_by_hand_is_given_back(options: dict[str, Any]) -> None:
    steps = map(Decimal, ("0.1", "1", "1"))
    mine = Instrument("BTC-USD-190517", "futures", "BTC", "USD", *steps)
    with WSSubscription(instrument=mine, **options) as sub:
        assert sub.instrument is mine


@pytest.fixture(params=[{}, {"isolate": True}], ids=["thread", "isolate"])
def options(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


def test_where_the_exchange_cannot_be_asked_there_is_none() -> None:
    with WSSubscription() as failed:
        assert failed.instrument is None
    with (
        WSSubscription(isolate=True) as isolated,
        pytest.raises(ValueError, match="give the subscription its instrument="),
    ):
        _ = isolated.instrument
    world = World("v3")
    v3 = world.subscribe()
    assert v3.instrument is None
    world.run(1)


def test_another_instrument_is_refused() -> None:
    steps = map(Decimal, ("0.1", "1", "1"))
    other = Instrument("ETH-USDT", "spot", "ETH", "USDT", *steps)
    with pytest.raises(ValueError, match="instrument= is 'ETH-USDT', not 'BTC-USDT'"):
        WSSubscription("BTC-USDT", instrument=other)
    with pytest.raises(TypeError, match="instrument is an Instrument"):
        WSSubscription("BTC-USDT", instrument="BTC-USDT")  # type: ignore[arg-type]
