"""Who shares what on one connection, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from tests.world import World, depth, trade

from okex_ws import (
    Feed,
    State,
    StateChange,
    WSSubscription,
)

BTC = "spot/depth5:BTC-USDT"
ETH = "spot/depth5:ETH-USDT"


@pytest.fixture
def world() -> World:
    world = World()
    world.exchange.first_pushes[BTC] = depth(0)
    world.exchange.first_pushes[ETH] = depth(0, "7.1", "7.2", name="ETH-USDT")
    return world


def subscribe(feed: Feed, name: str = "BTC-USDT", **keywords: Any) -> WSSubscription:
    keywords.setdefault("channels", ("depth5",))
    return WSSubscription(name, "spot", feed=feed, **keywords)


def test_subscriptions_share_one_connection(world: World) -> None:
    changes: list[StateChange] = []
    feed = world.feed(on_state=changes.append)
    one, two = subscribe(feed), subscribe(feed, "ETH-USDT")
    seen: list[Any] = []
    world.at(1, lambda: seen.extend([one.GetDepth(), two.GetDepth(), feed.state]))
    world.at(1, lambda: seen.append(repr(feed)))

    world.run(2)

    assert [d["instrument_id"] for d in seen[:2]] == ["BTC-USDT", "ETH-USDT"]
    assert seen[2:] == [State.LIVE, "<Feed fake LIVE, 2 subscriptions>"]
    assert len(world.opened) == 1
    assert {c.instrument_id for c in changes if c.new is State.LIVE} == {
        "BTC-USDT",
        "ETH-USDT",
    }


def test_a_late_joiner_is_seeded_from_what_is_known(world: World) -> None:
    feed = world.feed()
    subscribe(feed)
    late: list[Any] = []
    world.at(2, lambda: late.append(subscribe(feed)))
    world.at(2.01, lambda: late.append(late[0].GetDepth()))

    world.run(3)

    assert late[1]["bids"] == [["100.1", "1", "1"]]
    assert len(world.exchange.requests) == 1


def test_the_last_one_to_close_unsubscribes_and_the_feed_stays_open(
    world: World,
) -> None:
    feed = world.feed()
    one, two = subscribe(feed), subscribe(feed)
    seen: list[Any] = []
    world.at(1, lambda: seen.append(one.close()))
    world.at(2, lambda: seen.append((one.state, two.state, one.GetDepth())))
    world.at(3, lambda: seen.append(two.close()))
    world.at(4, lambda: seen.append(feed.state))

    world.run(5)

    assert seen == [True, (State.CLOSED, State.LIVE, {}), True, State.CONNECTING]
    assert [request["op"] for request in world.exchange.requests] == [
        "subscribe",
        "unsubscribe",
    ]


def test_closed_and_opened_again_at_once_nothing_is_lost(world: World) -> None:
    feed = world.feed()
    first = subscribe(feed, channels=("depth5", "trade"))
    again: list[Any] = []

    def reopen() -> None:
        first.close()
        again.append(subscribe(feed, channels=("depth5", "trade")))

    world.exchange.first_pushes["spot/trade:BTC-USDT"] = trade("7", 0)
    world.at(0.5, lambda: world.peer and world.peer.send(trade("8", 500)))
    world.at(1, reopen)
    world.at(1.1, lambda: again.extend([again[0].state, len(again[0].trades)]))

    world.run(2)

    assert again[1:] == [State.LIVE, 1]
    assert len(world.exchange.requests) == 1


def test_closed_while_its_ack_is_on_the_way_and_opened_again(world: World) -> None:
    feed = world.feed()
    first = subscribe(feed)
    again: list[Any] = []
    world.at(0.01, first.close)
    world.at(0.02, lambda: again.append(subscribe(feed)))
    world.at(1, lambda: again.append(again[0].state))

    world.run(2)

    assert again[1] is State.LIVE


def test_a_refused_channel_fails_all_who_share_it_and_no_other(world: World) -> None:
    world.exchange.refusals[ETH] = (30040, f"Channel {ETH} doesn't exist")
    feed = world.feed()
    good, bad, same = (
        subscribe(feed),
        subscribe(feed, "ETH-USDT"),
        subscribe(feed, "ETH-USDT"),
    )
    seen: list[Any] = []
    world.at(1, lambda: seen.extend([good.state, bad.state, same.state]))
    world.at(2, lambda: seen.append([s is good for s in feed.subscriptions]))

    world.run(3)

    assert seen == [State.LIVE, State.FAILED, State.FAILED, [True, False, False]]


def test_an_error_without_a_channel_is_found_by_asking_one_by_one(world: World) -> None:
    world.exchange.refusals[ETH] = (30039, "Unrecognized request")
    feed = world.feed()
    names = ["BTC-USDT", "ETH-USDT", "LTC-USDT"]
    world.exchange.first_pushes["spot/depth5:LTC-USDT"] = depth(0, name="LTC-USDT")
    subs = [subscribe(feed, name) for name in names]
    seen: list[Any] = []
    world.at(3, lambda: seen.extend(sub.state for sub in subs))

    world.run(4)

    assert seen == [State.LIVE, State.FAILED, State.LIVE]


def test_after_a_loss_every_channel_is_asked_for_again(world: World) -> None:
    feed = world.feed()
    subs = [subscribe(feed), subscribe(feed, "ETH-USDT")]
    seen: list[Any] = []
    world.at(1, lambda: world.peer and world.peer.drop())
    world.at(1.01, lambda: seen.append([sub.GetDepth() for sub in subs]))
    world.at(5, lambda: seen.append([sub.state for sub in subs]))

    world.run(6)

    assert seen == [[{}, {}], [State.LIVE, State.LIVE]]
    assert feed.stats().reconnects == {"ConnectionLost": 1}


def test_what_was_withdrawn_does_not_come_back_with_a_new_subscription(
    world: World,
) -> None:
    feed = world.feed()
    first = subscribe(feed)
    again: list[Any] = []

    def reopen() -> None:
        first.close()
        again.append(subscribe(feed))
        assert world.peer is not None
        world.peer.send('{"table":"spot/depth5","data":[{"instrument_id":"BTC-USDT"}]}')

    world.at(1, reopen)
    world.at(1.5, lambda: again.append((again[0].state, again[0].GetDepth())))

    world.run(2)

    assert again[1] == (State.RESYNCING, {})


def test_one_who_came_and_went_unseen_takes_nothing_from_the_next(world: World) -> None:
    feed = world.feed()
    subscribe(feed, "ETH-USDT")
    kept: list[Any] = []

    def come_and_go() -> None:
        gone = subscribe(feed)
        kept.append(subscribe(feed))
        gone.close()

    world.at(1, come_and_go)
    world.at(2, lambda: kept.append(kept[0].state))

    world.run(3)

    assert kept[1] is State.LIVE


def test_subscribing_again_in_on_error_does_not_hold_the_line_up(world: World) -> None:
    world.exchange.refusals[ETH] = (30040, f"Channel {ETH} doesn't exist")
    feed = world.feed()
    good = subscribe(feed)
    tries: list[Any] = []

    def again(error: Exception) -> None:
        tries.append(subscribe(feed, "ETH-USDT", on_error=again))

    world.at(1, lambda: again(ValueError()))
    seen: list[State] = []
    world.at(2, lambda: seen.append(good.state))

    world.run(3)

    assert seen == [State.LIVE]
    assert 2 < len(tries) < 100


def test_a_failed_subscription_stays_failed_and_counts_until_it_is_closed(
    world: World,
) -> None:
    world.exchange.refusals[ETH] = (30040, f"Channel {ETH} doesn't exist")
    feed = world.feed()
    subscribe(feed)
    bad = subscribe(feed, "ETH-USDT")
    seen: list[Any] = []
    world.at(1, lambda: seen.append(feed.state))
    world.at(2, lambda: seen.extend([bad.close(), bad.state, feed.state]))

    world.run(3)

    assert seen == [State.FAILED, True, State.FAILED, State.LIVE]


def test_a_feed_remembers_what_closed_subscriptions_counted(world: World) -> None:
    feed = world.feed()
    sub = subscribe(feed, on_message=lambda text: 1 / 0)
    subscribe(feed, "ETH-USDT")
    world.at(1, sub.close)
    seen: list[int] = []
    world.at(2, lambda: seen.append(feed.stats().callback_errors))

    world.run(3)

    assert seen == [1]


def test_without_a_thread_to_be_had_it_is_as_if_never_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = world.feed()

    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            subscribe(feed)
    assert feed.subscriptions == ()
    sub = subscribe(feed)
    seen: list[State] = []
    world.at(1, lambda: seen.append(sub.state))

    world.run(2)

    assert seen == [State.LIVE]
