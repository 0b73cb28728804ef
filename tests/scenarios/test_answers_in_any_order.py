"""An exchange whose data, answers and logins come in an order of their own."""

from __future__ import annotations

from typing import Any

import pytest

from okex_ws import Credentials, Data, RawSubscription, State
from tests.support.virtual_world import Ladder, Peer, World


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    return World(request.param)


def push_before_each_answer(world: World, *, answers: bool = True) -> None:
    """Have each first push sent before the answer, or without one."""
    exchange, answer = world.exchange, world.exchange.answer_one

    def answer_late(peer: Peer, request: dict[str, Any], arg: Any) -> None:
        key = world.dialect.key(arg)
        if request["op"] == "subscribe" and key in exchange.first_pushes:
            peer.send(exchange.first_pushes[key]())
            peer.subscribed[key] = arg
        if answers or request["op"] != "subscribe":
            answer(peer, request, arg)

    exchange.answer_one = answer_late  # type: ignore[method-assign]


@pytest.mark.parametrize("answers", [True, False])
def test_a_snapshot_before_its_acknowledgement_is_live_at_once(
    world: World, answers: bool
) -> None:
    Ladder(world)
    push_before_each_answer(world, answers=answers)
    sub = world.subscribe(channels=["depth"])
    seen: list[Any] = []
    for second in (1, 30):
        world.at(second, lambda: seen.append((sub.state, bool(sub.GetDepth()))))

    world.run(31)

    assert seen == [(State.LIVE, True)] * 2
    assert [request["op"] for request in world.exchange.requests] == ["subscribe"]
    assert sub.stats().resyncs == 0


def test_a_book_that_breaks_is_live_again_though_each_snapshot_comes_first(
    world: World,
) -> None:
    ladder = Ladder(world)
    push_before_each_answer(world)
    sub = world.subscribe(channels=["depth"])
    seen: list[State] = []

    def lose_one() -> None:
        ladder.change(price="99.5", size="7")
        ladder.send(ladder.size("8"))

    world.at(1, lose_one)
    world.at(2, lambda: seen.append(sub.state))

    world.run(3)

    assert seen == [State.LIVE]
    ops = [request["op"] for request in world.exchange.requests]
    assert ops == ["subscribe", "unsubscribe", "subscribe"]


def test_data_of_the_old_subscription_does_not_begin_the_new_one(world: World) -> None:
    """It is sent after the unsubscribe was acknowledged, and before the pong."""
    ladder = Ladder(world)
    sub = world.subscribe(channels=["depth"])
    answer = world.exchange.answer_one
    told: list[str] = []

    def straggle(peer: Peer, request: dict[str, Any], arg: Any) -> None:
        answer(peer, request, arg)
        if request["op"] == "unsubscribe":
            old = ladder.snapshot()
            peer.send(old)
            told.append("straggler")

    world.exchange.answer_one = straggle  # type: ignore[method-assign]

    def lose_one() -> None:
        ladder.change(price="99.5", size="7")
        ladder.send(ladder.size("8"))

    world.at(1, lose_one)
    world.run(3)

    assert told == ["straggler"]
    assert sub.stats().dropped["resynchronising"] == 1


def test_a_login_that_the_exchange_forgot_is_made_again() -> None:
    world = World("v5")
    account = {"arg": {"channel": "account"}, "data": [{"totalEq": "1"}]}
    positions = {"channel": "positions", "instType": "ANY"}
    other = {"arg": positions, "data": [{"pos": "2"}]}
    world.exchange.first_pushes["account"] = account
    world.exchange.first_pushes[world.dialect.key(positions)] = other
    feed = world.feed(credentials=Credentials("the-key", "the-secret", "the-pass"))
    one = RawSubscription(["account"], feed=feed)
    subs: list[RawSubscription] = []
    errors: list[Any] = []
    states: list[State] = []

    def forget() -> None:
        world.peer_on("private").logged_in = False
        subs.append(RawSubscription([positions], feed=feed, on_error=errors.append))

    world.at(1, forget)
    world.at(5, lambda: states.extend([one.state, subs[0].state]))
    world.at(5, lambda: errors.extend(subs[0].data))

    world.run(6)

    ops = [request["op"] for request in world.exchange.requests]
    assert ops == ["login", "subscribe", "subscribe", "login", "subscribe"]
    assert states == [State.LIVE] * 2
    told, item = errors
    assert str(told).endswith("Please log in (error 60011)")
    assert isinstance(item, Data)
