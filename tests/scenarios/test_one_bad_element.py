"""One element of a push that cannot be read costs only itself, and is told."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import Candle, Gap, OkexWSError, Trade, WireError
from tests.support.virtual_world import V3, V5, World


def elements(*pushes: dict[str, Any]) -> dict[str, Any]:
    """One push that has the elements of *pushes*."""
    return {**pushes[0], "data": [each for push in pushes for each in push["data"]]}


def without(push: dict[str, Any], name: str) -> dict[str, Any]:
    """*push*, whose element lacks the field *name*."""
    element = {n: v for n, v in push["data"][0].items() if n != name}
    return {**push, "data": [element]}


class Told:
    """What a subscription of *names* was told: its items, errors and texts."""

    def __init__(
        self, world: World, *channels: str, name: str = "BTC-USDT", **keywords: Any
    ) -> None:
        self.errors: list[OkexWSError] = []
        self.texts: list[str] = []
        self.sub = world.subscribe(
            name,
            channels=channels,
            on_error=self.errors.append,
            on_message=self.texts.append,
            **keywords,
        )
        self._updates = self.sub.updates(latest=False)

    def items(self) -> list[str]:
        """The items in short, once the subscription is closed."""
        self.sub.close()
        return [found for each in self._updates if (found := _short(each))]

    @property
    def wire_errors(self) -> list[WireError]:
        return [each for each in self.errors if isinstance(each, WireError)]


def _short(item: object) -> str:
    if isinstance(item, Trade):
        return item.id
    if isinstance(item, Candle):
        return f"{item.start:%M}"
    return "gap" if isinstance(item, Gap) else ""


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_bad_trade_in_a_list_is_a_gap_between_the_others(protocol: str) -> None:
    world = World(protocol)
    told, make = Told(world, "trade"), world.dialect.trade
    bad = make("12", 2010)
    bad["data"][0]["side"] = "neither"
    world.at(2, lambda: world.peer.send(make("10", 2000)))
    world.at(3, lambda: world.peer.send(elements(make("11", 2010), bad, make("13", 9))))
    world.run(4)

    assert told.items() == ["10", "11", "gap", "13"]
    (error,) = told.wire_errors
    assert "neither" in str(error)
    assert told.sub.stats().dropped == {"trade": 1}


def test_a_bar_with_one_more_field_costs_no_other_bar() -> None:
    world = World("v5")
    told = Told(world, "candle60s")
    bars = [
        [str(1_600_000_020_000 + 60_000 * n), "10", "12", "9", "11", *["1"] * more]
        for n, more in ((0, 4), (1, 5), (2, 4))
    ]
    arg = {"channel": "candle1m", "instId": "BTC-USDT"}
    world.at(2, lambda: world.peer_on("business").send({"arg": arg, "data": bars}))
    world.run(3)

    first, gap, last = told.items()
    assert (int(last) - int(first), gap) == (2, "gap")
    assert "10 items" in str(told.wire_errors[0])


def test_of_several_tickers_in_a_push_the_newest_counts() -> None:
    world = World("v5")
    told = Told(world, "ticker")
    fields = {"instId": "BTC-USDT", "ts": "1600000002000"}
    pushes = [V5.push("tickers", {**fields, "last": last}) for last in ("1", "x", "3")]
    world.at(2, lambda: world.peer.send(elements(*pushes)))
    seen: list[Any] = []
    world.at(3, lambda: seen.append(told.sub.latest("ticker")))
    world.run(4)

    assert [each.last for each in seen] == [3]
    assert [each.partial for each in told.wire_errors] == [True]


def test_if_the_newest_of_several_tickers_is_bad_none_is_given() -> None:
    world = World("v5")
    told = Told(world, "ticker")
    fields = {"instId": "BTC-USDT", "ts": "1600000002000"}
    pushes = [V5.push("tickers", {**fields, "last": last}) for last in ("1", "x")]
    world.at(2, lambda: world.peer.send(elements(*pushes)))
    seen: list[Any] = []
    world.at(3, lambda: seen.append(told.sub.latest("ticker")))
    world.run(4)

    assert (seen, told.items()) == ([None], [])
    assert len(told.wire_errors) == 1


def test_a_trade_without_an_id_costs_v3_only_itself() -> None:
    world = World("v3")
    feed = world.feed()
    told = Told(world, "trade", feed=feed)
    other = Told(world, "trade", name="ETH-USDT", feed=feed)
    for name in ("BTC-USDT", "ETH-USDT"):
        first = V3.trade("10", 2000, name)
        world.at(2, lambda first=first: world.peer.send(first))
    for at in (3, 4):
        nameless = without(V3.trade("12", 2010), "instrument_id")
        trades = (
            V3.trade(f"{at}1", at * 1000),
            nameless,
            V3.trade(f"{at}3", at * 1000),
        )
        push = elements(*trades, V3.trade(f"{at}7", at * 1000, "ETH-USDT"))
        world.at(at, lambda push=push: world.peer.send(push))
    world.run(5)

    # It may have been a trade of either.
    assert told.items() == ["10", "31", "gap", "33", "41", "gap", "43"]
    assert other.items() == ["10", "gap", "37", "gap", "47"]
    assert told.wire_errors
    assert told.sub.stats().dropped["shape"] == 2
    # One push, one text, although it is read in two parts.
    assert (len(told.texts), len(other.texts)) == (3, 3)


def test_a_depth_without_an_id_withdraws_what_it_may_have_replaced() -> None:
    world = World("v3")
    feed = world.feed()
    before, after = (
        world.subscribe(name, channels=("depth5",), feed=feed)
        for name in ("BTC-USDT", "ETH-USDT")
    )
    nameless = without(V3.depth(2000), "instrument_id")
    push = elements(V3.depth(2000), nameless, V3.depth(2000, name="ETH-USDT"))
    world.at(2, lambda: world.peer.send(push))
    seen: list[bool] = []
    world.at(2.5, lambda: seen.extend(bool(s.GetDepth()) for s in (before, after)))
    world.at(3, lambda: world.peer.send(V3.depth(3000)))
    world.at(3.5, lambda: seen.append(bool(before.GetDepth())))
    world.run(4)

    assert seen == [False, True, True]


def test_a_row_that_a_depth_lacks_refuses_the_whole_depth() -> None:
    world = World("v5")
    told = Told(world, "depth5")
    bad = V5.depth(2000)
    bad["data"][0]["asks"].append(["200", "x", "0", "1"])
    world.at(1, lambda: world.peer.send(V5.depth(1000)))
    world.at(2, lambda: world.peer.send(bad))
    seen: list[Any] = []
    world.at(2.5, lambda: seen.append(told.sub.GetDepth()))
    world.run(3)

    assert seen == [{}]
    assert len(told.wire_errors) == 1
