"""The life of an instrument: suspended, renamed, delisted, and what is told."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest

from okex_ws import (
    Cause,
    CauseCode,
    InstrumentChange,
    InstrumentExpired,
    InstrumentRenamed,
    NotLive,
    State,
    StateChange,
    WSSubscription,
)
from tests.support.virtual_world import START, V5, World

OLD, NEW = "BTC-USDT", "XBT-USDT"
LISTED = {
    "instId": OLD,
    "instIdCode": 3,
    "tickSz": "0.1",
    "lotSz": "0.01",
    "minSz": "0.01",
    "ctVal": "1",
    "state": "live",
    "upcChg": [],
}


def push(*elements: Any) -> dict[str, Any]:
    return {"arg": {"channel": "instruments", "instType": "SPOT"}, "data": [*elements]}


def says(**fields: Any) -> dict[str, Any]:
    return {"instId": OLD, "instIdCode": 3, **fields}


class Life:
    """A subscription whose book is pushed each second, and what it was told."""

    def __init__(self, told: bool = True, **keywords: Any) -> None:
        self.world = World("v5")
        self.world.exchange.first_pushes["instruments:SPOT"] = push(LISTED)
        self.items: list[Any] = []
        self.errors: list[Exception] = []
        self.states: list[tuple[int, str, str | None]] = []
        self.seen: list[Any] = []
        given = {"channels": ("depth5",), "changes": True, **keywords}
        if told:
            given |= {"on_item": self.items.append, "on_error": self.errors.append}
        self.sub = self.world.subscribe(OLD, **given)
        self.peer_down = False
        for second in range(1, 60 if "depth5" in given["channels"] else 0):
            self.world.at(second, lambda at=second: self.send(V5.depth(at * 1000)))

    def send(self, message: Any) -> None:
        if self.world.peers and not self.peer_down:
            self.world.peers[0].send(message)

    def at(self, second: float, *elements: Any) -> None:
        """Have the exchange push *elements* of its list."""
        self.world.at(second, lambda: self.send(push(*elements)))

    def look(self, *seconds: float) -> None:
        """Note what a read gives at each of *seconds*."""
        for second in seconds:
            self.world.at(second, lambda: self.seen.append(self.read()))

    def read(self) -> tuple[bool, str, str | None]:
        health = self.sub.health()
        return bool(self.sub.GetDepth()), health.state.value, health.cause.code

    @property
    def changes(self) -> list[tuple[Any, ...]]:
        found = [each for each in self.items if isinstance(each, InstrumentChange)]
        return [(each.kind, each.old, each.new, each.effective) for each in found]

    @property
    def told(self) -> list[tuple[str, str | None]]:
        found = [each for each in self.items if isinstance(each, StateChange)]
        return [(each.new.value, each.cause.code) for each in found]


def test_a_suspended_instrument_is_stale_and_live_again_with_the_next_push() -> None:
    life = Life()
    life.at(5.5, says(state="suspend"))
    life.at(9.5, says(state="live"))
    life.look(5.4, 5.6, 7.5, 9.6, 10.5)

    life.world.run(12)

    live, stale = (True, "LIVE", None), (False, "STALE", "suspended")
    assert life.seen == [live, stale, stale, (False, "RESYNCING", "snapshot"), live]
    assert life.changes == [
        ("suspended", "live", "suspend", None),
        ("resumed", "suspend", "live", None),
    ]
    codes = [told for told in life.told if told[0] in ("STALE", "RESYNCING", "LIVE")]
    assert codes[-4:] == [
        *(("LIVE", None), ("STALE", "suspended"), ("RESYNCING", "snapshot")),
        ("LIVE", None),
    ]
    assert life.errors == []


def test_prices_before_and_after_a_halt_are_of_two_epochs() -> None:
    life = Life()
    epochs: list[int] = []
    for second in (5.4, 10.5):
        life.world.at(second, lambda: epochs.append(life.sub.depth().epoch))
    life.at(5.5, says(state="suspend"))
    life.at(9.5, says(state="live"))

    life.world.run(12)

    assert epochs[0] < epochs[1]


def test_a_resumed_instrument_whose_market_is_quiet_is_subscribed_anew() -> None:
    life = Life()
    life.world.exchange.first_pushes["books5:BTC-USDT"] = V5.depth(1, bid="99")
    life.at(5.5, says(state="suspend"))
    life.at(6.5, says(state="live"))
    life.world.at(6.6, lambda: setattr(life, "peer_down", True))
    life.look(40)

    life.world.run(41)

    assert life.seen == [(True, "LIVE", None)]


@pytest.mark.parametrize(
    ("state", "kind", "code"),
    [("settling", "settling", "settling"), ("rebase", "rebased", "rebased")],
)
def test_states_in_which_nothing_is_traded(state: str, kind: str, code: str) -> None:
    life = Life()
    life.at(5.5, says(state=state))
    life.at(7.5, says(state="post_only"))
    life.at(9.5, says(state="live"))
    life.look(5.6, 7.6, 10.5)

    life.world.run(12)

    assert life.seen[0] == life.seen[1] == (False, "STALE", code)
    assert life.seen[2] == (True, "LIVE", None)
    assert life.changes[0][0] == kind


def test_a_state_that_the_library_does_not_know_changes_nothing() -> None:
    life = Life()
    life.at(5.5, says(state="frobnicated"), {"instId": ""}, "text", says(state=7))
    life.look(5.6)

    life.world.run(7)

    assert life.seen == [(True, "LIVE", None)]
    assert life.changes == life.errors == []


def test_a_list_without_the_instrument_is_no_delisting() -> None:
    life = Life()
    life.at(5.5, {**LISTED, "instId": "ETH-USDT", "instIdCode": 9})
    life.look(7)

    life.world.run(8)

    assert life.seen == [(True, "LIVE", None)]


@pytest.mark.parametrize("together", [True, False])
def test_a_rename_by_notice_ends_the_subscription_with_the_new_id(
    together: bool,
) -> None:
    life = Life(channels=("depth5", "trade"))
    renamed = {**LISTED, "instId": NEW}
    if together:
        life.at(5.5, says(state="expired"), renamed)
    else:
        life.at(5.5, says(state="expired"))
        life.at(7.5, renamed)
    life.look(5.6, 7.6, 9)

    life.world.run(12)

    assert life.seen[0][0] is False
    assert life.seen[1:] == [(False, "FAILED", "renamed")] * 2
    assert life.changes == [("renamed", OLD, NEW, None)]
    (error,) = life.errors
    assert isinstance(error, InstrumentRenamed)
    assert (error.instrument_id, error.new_id) == (OLD, NEW)
    assert error.cause.new_id == NEW
    assert NEW in str(error.cause)
    last = life.items[-1]
    assert isinstance(last, StateChange)
    assert (last.new, last.cause.code) == (State.FAILED, CauseCode.RENAMED)
    assert last.cause.new_id == NEW


def test_an_instrument_that_expires_is_stale_at_once_and_fails() -> None:
    life = Life()
    life.at(5.5, says(state="expired", expTime=""))
    life.look(5.6, 17)

    life.world.run(18)

    assert life.seen == [(False, "STALE", "expired"), (False, "FAILED", "expired")]
    assert life.changes == [("delisted", "live", "expired", None)]
    (error,) = life.errors
    assert isinstance(error, InstrumentExpired)
    assert error.cause == Cause(
        CauseCode.EXPIRED, "the exchange has delisted it", "", OLD
    )


def test_one_that_was_delivered_fails_at_once() -> None:
    life = Life()
    life.at(5.5, says(state="expired", expTime=str(int(START * 1000) + 5000)))
    life.look(5.6)

    life.world.run(7)

    assert life.seen == [(False, "FAILED", "expired")]
    assert str(life.errors[0]).startswith("delivered 2020-09-13")


def test_steps_that_change_are_told_and_announced_ones_with_their_moment() -> None:
    life = Life()
    at = int(START * 1000) + 60_000
    change = {"param": "tickSz", "newValue": "0.01", "effTime": str(at)}
    other = {"param": "minSz", "newValue": "1", "effTime": str(at)}
    for second in (5.5, 6.5):
        life.at(second, says(upcChg=[change, other]))
    life.at(7.5, says(tickSz="0.01", upcChg=[]))
    ticks: list[Any] = []
    life.world.at(8, lambda: ticks.append(life.sub.instrument))
    life.look(8)

    life.world.run(9)

    moment = datetime.fromtimestamp(at / 1000, timezone.utc)
    old, new = Decimal("0.1"), Decimal("0.01")
    assert life.changes == [
        ("tick-size", old, new, moment),
        ("tick-size", old, new, None),
    ]
    assert life.seen == [(True, "LIVE", None)]
    assert [each.tick for each in ticks] == [new]


def test_another_contract_without_a_word_gives_no_price_of_before() -> None:
    life = Life()
    life.at(5.5, says(ctVal="10"))
    life.look(5.4, 5.6, 6.5)

    life.world.run(8)

    assert life.seen == [
        (True, "LIVE", None),
        (False, "RESYNCING", "snapshot"),
        (True, "LIVE", None),
    ]
    assert life.changes == [("rebased", Decimal(1), Decimal(10), None)]


def test_who_does_not_ask_is_told_the_states_alone() -> None:
    life = Life(changes=False)
    life.at(5.5, says(state="suspend"))
    life.look(5.6)

    life.world.run(7)

    assert life.seen == [(False, "STALE", "suspended")]
    assert life.changes == []


@pytest.mark.parametrize("channels", [("depth5",), ("trade",), ("depth5", "trade")])
@pytest.mark.parametrize("told", [True, False])
def test_data_of_another_id_ends_the_subscription(
    channels: tuple[str, ...], told: bool
) -> None:
    life = Life(channels=channels, told=told)

    def move() -> None:
        life.peer_down = True
        moved = V5.trade("8", 6500) if "trade" in channels else V5.depth(6500)
        moved["data"][0]["instId"] = NEW
        life.world.peers[0].send(moved)

    if "trade" in channels:
        life.world.at(5.5, lambda: life.send(V5.trade("7", 5500)))
    life.world.at(6.5, move)
    life.look(20)

    life.world.run(21)

    (seen,) = life.seen
    assert seen[:2] == (False, "FAILED")
    assert seen[2] == "renamed"
    with pytest.raises(InstrumentRenamed) as caught:
        life.sub.wait_live(0)
    assert caught.value.new_id == NEW
    if told:
        assert life.changes == [("renamed", OLD, NEW, None)]
        assert len(life.errors) == 1


def test_two_instruments_that_are_mixed_up_are_not_a_rename() -> None:
    life = Life()
    life.at(4.5, {**LISTED, "instId": NEW, "instIdCode": 9})
    wrong = V5.depth(5500)
    wrong["data"][0]["instId"] = NEW
    life.world.at(5.5, lambda: life.send(wrong))
    life.look(5.6, 7)

    life.world.run(8)

    assert life.seen[0] == (False, "RESYNCING", "unreadable")
    assert life.seen[1] == (True, "LIVE", None)


def test_a_refused_list_ends_nothing_and_is_told_to_no_script() -> None:
    life = Life()
    life.world.exchange.unknown.add("instruments:SPOT")
    life.look(5)

    life.world.run(8)

    assert life.seen == [(True, "LIVE", None)]
    assert life.errors == []
    assert life.sub.health().failed == {}


def test_a_halt_that_a_reconnect_does_not_confirm_ends() -> None:
    life = Life()
    life.at(5.5, says(state="suspend"))
    life.world.at(7.5, lambda: life.world.exchange.first_pushes.clear())
    life.world.at(7.6, lambda: life.world.peers[0].drop())

    def pushes(at: int) -> None:
        life.world.peers[-1].send(V5.depth(at))

    for second in range(10, 40):
        life.world.at(second + 0.5, lambda at=second: pushes(at * 1000))
    life.look(12, 39)

    life.world.run(41)

    assert life.seen == [(False, "STALE", "suspended"), (True, "LIVE", None)]


def test_one_that_is_subscribed_while_it_is_suspended_is_stale() -> None:
    world = World("v5")
    world.exchange.first_pushes["instruments:SPOT"] = push(
        {**LISTED, "state": "suspend"}
    )
    world.exchange.first_pushes["books5:BTC-USDT"] = V5.depth(1)
    world.exchange.first_pushes["bbo-tbt:BTC-USDT"] = V5.depth(1, channel="bbo-tbt")
    feed = world.feed()
    feed.subscribe([OLD], channels=["depth5"])
    late: list[WSSubscription] = []
    seen: list[Any] = []
    world.at(3, lambda: late.extend(feed.subscribe([OLD], channels=["bbo-tbt"])))
    world.at(5, lambda: seen.extend(sub.state for sub in feed.subscriptions))
    world.at(5, lambda: seen.append(late[0].health().cause.code))

    world.run(6)

    assert seen == [State.STALE, State.STALE, CauseCode.SUSPENDED]
    with pytest.raises(NotLive):
        late[0].depth()


def test_the_list_is_followed_once_and_left_with_its_last_instrument() -> None:
    world = World("v5")
    feed = world.feed()
    made = feed.subscribe([OLD, "ETH-USDT"], channels=["depth5"])
    subscribed: list[Any] = []
    note = lambda: subscribed.append(sorted(world.peers[0].lists))  # noqa: E731
    world.at(2, note)
    world.at(3, made[0].close)
    world.at(4, note)
    world.at(5, made[1].close)
    world.at(6, note)

    world.run(7)

    lists = [[n for n in names if n.startswith("instr")] for names in subscribed]
    assert lists == [["instruments:SPOT"], ["instruments:SPOT"], []]
    assert len(feed.subscriptions) == 0


@pytest.mark.parametrize("wrong", [1, None, "yes"])
def test_changes_is_a_flag(wrong: Any) -> None:
    with pytest.raises(TypeError, match="changes is True or False"):
        WSSubscription(OLD, changes=wrong)


def test_changes_are_not_promised_where_the_exchange_does_not_tell_them() -> None:
    with pytest.raises(ValueError, match="changes= needs the channel 'instruments'"):
        WSSubscription("BTC-USD", "index", channels=("ticker",), changes=True)
    with pytest.raises(ValueError, match="changes= needs the channel 'instruments'"):
        World("v3").subscribe(changes=True)
    with pytest.raises(ValueError, match="what changes= gives"):
        WSSubscription(OLD, changes=True, isolate=True)
