"""Which channel lives on which connection, and who shares it, in virtual time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from okex_ws import (
    BudgetSpent,
    Feed,
    OkexWSError,
    Reconnect,
    State,
    StateChange,
    SubscriptionRejected,
    WSSubscription,
)
from okex_ws.base.counts import Counts
from okex_ws.pool.register import check
from tests.support.internals import (
    connections_per_reading,
    pool_of,
    register_of,
    set_closing_connections,
)
from tests.support.virtual_world import World

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")


@pytest.fixture(params=["v3", "v5"])
def world(request: pytest.FixtureRequest) -> World:
    return filled(World(request.param))


@pytest.fixture
def v5() -> World:
    return filled(World("v5"))


def filled(world: World) -> World:
    """A world whose exchange answers a subscribe to these with a depth."""
    for name, bid, ask in (
        ("BTC-USDT", "100.1", "100.2"),
        ("ETH-USDT", "7.1", "7.2"),
        ("LTC-USDT", "3.1", "3.2"),
    ):
        first = world.dialect.depth(0, bid, ask, name)
        world.exchange.first_pushes[key(world, name)] = first
    return world


def key(world: World, name: str = "BTC-USDT", topic: str = "depth5") -> str:
    channel: str = world.dialect.channel(topic, name)
    return channel


def subscribe(feed: Feed, name: str = "BTC-USDT", **keywords: Any) -> WSSubscription:
    keywords.setdefault("channels", ("depth5",))
    return WSSubscription(name, "spot", feed=feed, **keywords)


def carried(world: World) -> list[tuple[str, int]]:
    """Of each connection that there ever was: its path, and how many it carries."""
    return [(peer.path, len(peer.subscribed)) for peer in world.peers]


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

    assert late[1]["bids"][0][0] == "100.1"
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

    trade = world.dialect.trade
    world.exchange.first_pushes[key(world, topic="trade")] = trade("7", 0)
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
    world.exchange.unknown.add(key(world, "ETH-USDT"))
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


@pytest.mark.parametrize(
    ("protocol", "code", "message"),
    [("v3", 30039, "Unrecognized request"), ("v5", "60012", "Invalid request")],
)
def test_an_error_without_a_channel_is_found_by_asking_again(
    protocol: str, code: Any, message: str
) -> None:
    world = filled(World(protocol))
    world.exchange.refusals[key(world, "ETH-USDT")] = (code, message)
    feed = world.feed()
    names = ["BTC-USDT", "ETH-USDT", "LTC-USDT"]
    subs = [subscribe(feed, name) for name in names]
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(sub.state for sub in subs))
    # The good ones were acknowledged, so that the bad one stands alone when it is late.
    world.at(12, lambda: seen.extend(sub.state for sub in subs))

    world.run(13)

    assert seen[:3] == [State.LIVE, State.SYNCING, State.LIVE]
    assert seen[3:] == [State.LIVE, State.FAILED, State.LIVE]
    assert len(world.exchange.requests) == 2


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
        bad = world.dialect.depth(1000)
        del bad["data"][0]["bids"]
        world.peer.send(bad)

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


def test_subscribing_again_in_on_error_does_not_block_the_connection(
    world: World,
) -> None:
    world.exchange.unknown.add(key(world, "ETH-USDT"))
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
    world.exchange.unknown.add(key(world, "ETH-USDT"))
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


def test_one_that_could_not_be_had_keeps_no_thread_for_its_callbacks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = world.feed(callbacks="thread")
    subscribe(feed)

    def refuse(*arguments: object) -> None:
        raise OSError("no network")

    with monkeypatch.context() as patched:
        patched.setattr("okex_ws.pool.placement.Placement.place", refuse)
        with pytest.raises(OSError, match="no network"):
            subscribe(feed, "ETH-USDT")
    world.at(1, feed.close)

    world.run(2)

    assert all(thread.join(10.0) for thread in pool_of(feed).threads)


def test_a_failed_subscription_is_counted_once(world: World) -> None:
    world.exchange.unknown.add(key(world))
    feed = world.feed()
    subscribe(feed, on_error=lambda error: 1 / 0)
    seen: list[int] = []
    world.at(1, lambda: seen.append(feed.stats().callback_errors))

    world.run(2)

    assert seen == [1]


@pytest.mark.parametrize("moment", [0.01, 0.06, 0.11, 1.0])
@pytest.mark.parametrize("pause", [0.01, 0.03, 0.07, 0.3])
def test_closed_and_opened_again_at_any_moment_it_becomes_live(
    world: World, moment: float, pause: float
) -> None:
    feed = world.feed()
    first = subscribe(feed)
    again: list[Any] = []
    world.at(moment, first.close)
    world.at(moment + pause, lambda: again.append(subscribe(feed)))
    # The snapshot that a second subscribe does not bring may be asked for once more.
    world.at(15, lambda: again.append(again[0].state))

    world.run(16)

    assert again[1] is State.LIVE
    assert world.peer is not None
    assert list(world.peer.subscribed) == [key(world)]


def test_closed_and_opened_again_while_another_is_asked_for_it_becomes_live(
    world: World,
) -> None:
    """The exchange was not told yet that nobody wants it, and is not told at all.

    What came meanwhile was not taken in, so that the next push is waited for.
    """
    feed = world.feed()
    first = subscribe(feed)
    again: list[Any] = []
    world.at(1, lambda: subscribe(feed, "ETH-USDT"))
    world.at(1.01, first.close)
    world.at(1.03, lambda: again.append(subscribe(feed)))
    world.at(1.2, lambda: again.append((again[0].state, again[0].GetDepth())))
    asked: list[str] = []
    world.at(9, lambda: asked.extend(r["op"] for r in world.exchange.requests))
    world.at(15, lambda: again.append(again[0].state))

    world.run(16)

    (state, found), later = again[1:]
    assert (state, found, later) == (State.SYNCING, {}, State.LIVE)
    assert asked == ["subscribe"] * 2


class Refusal:
    """The refusal of BTC-USDT comes in one read with a push of ETH-USDT.

    *then* is done in the callback of that push: the refusal is read, and not taken in.
    """

    def __init__(self, world: World, then: Callable[[WSSubscription], object]) -> None:
        self.feed = world.feed()
        self._world, self._then = world, then
        self._answer = world.exchange.answer_one
        self._first: WSSubscription | None = None
        world.exchange.answer_one = self._refuse  # type: ignore[method-assign]
        subscribe(self.feed, "ETH-USDT", on_message=self._pushed)
        world.at(5, self._ask)

    def _ask(self) -> None:
        self._armed = True
        self._first = subscribe(self.feed)

    _armed = False

    def _refuse(self, peer: Any, request: Any, arg: Any) -> None:
        dialect = self._world.dialect
        if self._armed and dialect.key(arg) == key(self._world):
            self._armed = False
            peer.send(dialect.depth(5, "7.1", "7.2", "ETH-USDT"))
            peer.send(dialect.error(*dialect.unknown(arg), request))
        else:
            self._answer(peer, request, arg)

    def _pushed(self, text: str) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            self._then(first)


def test_one_that_joins_a_channel_while_its_refusal_is_read_fails_with_it(
    world: World,
) -> None:
    errors: list[Exception] = []
    joined: list[Any] = []

    def join(first: WSSubscription) -> None:
        sub = subscribe(refusal.feed, on_error=errors.append)
        joined.extend([sub, sub.updates(timeout=1)])

    refusal = Refusal(world, join)
    world.at(10, lambda: joined.append(joined[0].state))

    world.run(11)

    sub, items, state = joined
    assert state is State.FAILED
    assert [type(error) for error in errors] == [SubscriptionRejected]
    with pytest.raises(SubscriptionRejected):
        sub.wait_live(1)
    with pytest.raises(SubscriptionRejected):
        list(items)


def test_one_that_is_opened_again_while_the_refusal_of_the_first_is_read_lives_on(
    world: World,
) -> None:
    """It is asked for by itself, and at every reconnect."""
    again: list[Any] = []

    def reopen(first: WSSubscription) -> None:
        again.append(subscribe(refusal.feed))

    refusal = Refusal(world, reopen)
    world.at(5.02, lambda: refusal.feed.subscriptions[-1].close())
    world.at(12, lambda: again.append(again[0].state))
    world.at(13, lambda: world.peers[-1].drop())
    world.at(60, lambda: again.append(again[0].state))

    world.run(61)

    assert again[1:] == [State.LIVE, State.LIVE]


# --- Several connections ------------------------------------------------------------


def test_a_channel_of_another_path_has_a_connection_of_its_own(v5: World) -> None:
    feed = v5.feed()
    subscribe(feed, channels=("depth5", "trade", "candle60s"))
    subscribe(feed, "ETH-USDT", channels=("candle60s", "trades-all"))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend(carried(v5)))

    v5.run(2)

    assert seen == [("public", 2), ("business", 3)]
    assert [url for _, url in v5.opened] == [f"{v5.url}/public", f"{v5.url}/business"]


def test_only_as_many_deep_books_live_on_one_connection_as_the_venue_advises(
    world: World,
) -> None:
    feed = world.feed(world.venue(depths_per_connection=2))
    names = [f"C{number}-USDT" for number in range(5)]
    book = {"v3": "depth", "v5": "books"}[world.protocol]
    feed.subscribe(names, "spot", channels=("depth5", book))
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(carried(world)))
    world.at(1, lambda: seen.extend((r.channels, r.depths) for r in feed.connections()))

    world.run(2)

    # What is no deep book goes to the first that has room, which is any.
    assert seen[:3] == [("public" if world.protocol == "v5" else "", 7), *seen[1:3]]
    assert [count for _, count in seen[1:3]] == [2, 1]
    assert seen[3:] == [(7, 2), (2, 2), (1, 1)]


def test_a_connection_carries_only_so_many_channels_where_the_venue_says_so(
    world: World,
) -> None:
    feed = world.feed(world.venue(channels_per_connection=3))
    names = [f"C{number}-USDT" for number in range(7)]
    feed.subscribe(names, "spot", channels=("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(count for _, count in carried(world)))

    world.run(2)

    assert seen == [3, 3, 1]


def test_room_that_was_left_is_taken_again(world: World) -> None:
    feed = world.feed(world.venue(channels_per_connection=2))
    first, *_ = feed.subscribe(["C0-USDT", "C1-USDT", "C2-USDT"], "spot", ("depth5",))
    world.at(1, first.close)
    world.at(2, lambda: subscribe(feed))
    seen: list[Any] = []
    world.at(3, lambda: seen.extend(peer.subscribed for peer in world.peers))

    world.run(4)

    assert [len(channels) for channels in seen] == [2, 1]
    assert key(world) in seen[0]


def test_a_deep_book_that_was_refused_and_asked_again_is_one(v5: World) -> None:
    v5.exchange.unknown.add("books:BTC-USDT")
    feed = v5.feed()
    for second in range(3):
        v5.at(second, lambda: subscribe(feed, channels=("depth5", "books")))
    seen: list[Any] = []
    v5.at(4, lambda: seen.extend((r.channels, r.depths) for r in feed.connections()))

    v5.run(5)

    assert seen == [(2, 1)]


def test_attempts_at_one_host_are_a_gap_apart_over_all_connections(v5: World) -> None:
    feed = v5.feed(reconnect=Reconnect(first=0.001, cap=0.001, host_gap=2.0))
    subscribe(feed, channels=("depth5", "candle60s"))
    v5.at(10, lambda: [peer.drop() for peer in v5.peers])
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend((r.open, r.connect_wait) for r in feed.connections()))

    v5.run(20)

    assert [round(at - v5.t0, 1) for at, _ in v5.opened] == [0, 2, 10, 12]
    assert v5.opened[0][1] != v5.opened[1][1]
    assert v5.opened[2][1] != v5.opened[3][1]
    assert seen == [(True, 1.0), (False, 1.0)]


def test_a_close_in_a_callback_ends_every_connection(v5: World) -> None:
    results: list[Any] = []

    def close(text: str) -> None:
        results.extend([feed.close(), sub.state, sub.GetDepth()])

    feed = v5.feed()
    sub = subscribe(feed, on_message=close, channels=("depth5", "candle60s"))

    v5.run(60)

    assert results == [False, State.CLOSED, {}]
    assert feed.close() is True
    assert v5.closed_networks == 2
    assert v5.clock.now < v5.t0 + 5
    assert [peer.is_open for peer in v5.peers] == [False, False]


def test_closing_a_subscription_of_its_own_ends_every_connection(v5: World) -> None:
    sub = v5.subscribe(channels=("depth5", "candle60s"))
    v5.at(1, sub.close)

    v5.run(60)

    assert v5.closed_networks == 2
    assert v5.clock.now < v5.t0 + 5


def test_one_that_fails_for_good_ends_every_connection_of_its_own(v5: World) -> None:
    v5.exchange.unknown.add("books5:BTC-USDT")
    sub = v5.subscribe(channels=("depth5", "candle60s"))

    v5.run(60)

    assert sub.state is State.FAILED
    assert v5.closed_networks == 2
    assert v5.clock.now < v5.t0 + 5


def test_without_a_thread_for_one_of_two_connections_it_is_as_if_never_asked(
    v5: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = v5.feed()

    def refuse(self: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            subscribe(feed, channels=("depth5", "candle60s"))
    sub = subscribe(feed, channels=("depth5", "candle60s"))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend([sub.state, *carried(v5)]))

    v5.run(2)

    assert seen == [State.LIVE, ("public", 1), ("business", 1)]


def test_without_a_network_for_one_of_two_connections_it_is_as_if_never_asked(
    v5: World,
) -> None:
    made: list[Any] = []

    def network() -> Any:
        made.append(None)
        if len(made) == 2:
            raise OSError(24, "Too many open files")
        return v5.options()["network"]()

    feed = v5.feed(network=network)
    with pytest.raises(OSError, match="Too many"):
        subscribe(feed, channels=("depth5", "candle60s"))
    assert feed.subscriptions == ()
    sub = subscribe(feed, channels=("depth5", "candle60s"))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend([sub.state, *carried(v5)]))

    v5.run(2)

    assert seen == [State.LIVE, ("public", 1), ("business", 1)]


def test_one_that_could_not_be_had_leaves_nothing_on_a_connection_that_is_there(
    v5: World,
) -> None:
    made: list[Any] = []

    def network() -> Any:
        made.append(None)
        if len(made) == 2:
            raise OSError(24, "Too many open files")
        return v5.options()["network"]()

    feed = v5.feed(network=network)
    subscribe(feed)
    channels = ("depth5", "books")
    with pytest.raises(OSError, match="Too many"):
        subscribe(feed, "ETH-USDT", channels=channels, raw_channels=("candle9m",))

    (report,) = feed.connections()
    v5.run(1)

    assert (report.channels, report.depths) == (1, 0)
    assert carried(v5) == [("public", 1)]


def test_what_an_ended_connection_counted_is_counted_whenever_it_ends(
    v5: World,
) -> None:
    feed = v5.feed()
    pool = pool_of(feed)
    answers = iter([False, True, True, True])
    counts = Counts()
    counts.messages = 7
    parted: Any = SimpleNamespace(
        counts=counts,
        opening=None,
        join=lambda timeout: next(answers),
        close=lambda: None,
    )
    set_closing_connections(pool, parted)
    subscribe(feed)
    (connection,) = pool.placed

    pool.retire(connection, OkexWSError("x"))

    assert pool.stats().messages == 7
    v5.run(1)


# --- The exchange's limits ----------------------------------------------------------


@pytest.mark.once
def test_a_thousand_instruments_are_two_requests_on_one_connection(v5: World) -> None:
    names = [f"COIN{number:03}-USDT" for number in range(1000)]
    for name in names:
        v5.exchange.first_pushes[key(v5, name)] = v5.dialect.depth(0, name=name)
    feed = v5.feed()
    subs = feed.subscribe(names, "spot", ("depth5",))
    seen: list[Any] = []
    v5.at(1, lambda: seen.extend(sub.state for sub in subs))

    v5.run(2)

    assert seen == [State.LIVE] * 1000
    assert len(v5.opened) == 1
    requests = v5.exchange.requests
    assert len(requests) <= 2
    assert sum(len(request["args"]) for request in requests) == 1000


@pytest.mark.once
def test_a_thousand_that_come_while_it_is_open_are_two_requests_too(v5: World) -> None:
    names = [f"COIN{number:03}-USDT" for number in range(1000)]
    feed = v5.feed()
    subscribe(feed)
    v5.at(1, lambda: feed.subscribe(names, "spot", ("depth5",)))

    v5.run(2)

    assert len(v5.exchange.requests) <= 3
    assert len(v5.opened) == 1


def test_one_bad_instrument_among_a_hundred_fails_alone(world: World) -> None:
    names = [f"C{number}-USDT" for number in range(100)]
    for name in names:
        first = world.dialect.depth(0, name=name)
        world.exchange.first_pushes[key(world, name)] = first
    world.exchange.unknown.add(key(world, names[41]))
    feed = world.feed()
    subs = feed.subscribe(names, "spot", ("depth5",))
    seen: list[Any] = []
    world.at(1, lambda: seen.extend(sub.state for sub in subs))

    world.run(2)

    assert seen.count(State.LIVE) == 99
    assert seen[41] is State.FAILED
    assert len(world.exchange.requests) == 1


@pytest.mark.once
def test_beyond_the_hours_requests_it_waits_and_says_so_once_to_whoever_is_new(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Exception] = []
    # Under v5 the feed spends one on the list of instruments.
    spent_on_list = world.protocol == "v5"
    feed = world.feed(world.venue(requests_per_hour=3 + spent_on_list))
    first = subscribe(feed, on_error=errors.append)
    seen: list[Any] = []
    late: list[WSSubscription] = []
    world.at(10, lambda: late.append(subscribe(feed, "ETH-USDT")))
    world.at(20, lambda: late.append(subscribe(feed, "LTC-USDT")))
    world.at(30, lambda: seen.append([s.state for s in (first, *late)]))
    world.at(30, lambda: seen.extend(feed.connections()))
    world.at(40, lambda: late.append(subscribe(feed, "LTC-USDT", channels=("trade",))))
    world.at(3600.2, lambda: seen.append([s.state for s in (first, *late)]))

    world.run(3601)

    assert seen[0] == [State.LIVE, State.LIVE, State.SYNCING]
    assert (seen[1].requests_left, round(seen[1].requests_wait)) == (0, 3570)
    assert seen[2] == [State.LIVE] * 4
    spent = [error for error in errors if isinstance(error, BudgetSpent)]
    assert [round(error.wait) for error in spent] == [3580, 3560]
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert warnings == [str(error) for error in spent]
    assert len(world.exchange.requests) == 3
    assert len(world.opened) == 1


# --- The world itself ---------------------------------------------------------------


def story(protocol: str) -> list[Any]:
    """All that happened in a world where a lot does, over three connections or so."""
    world = filled(World(protocol))
    told: list[Any] = []
    feed = world.feed(
        world.venue(channels_per_connection=2),
        on_state=lambda change: told.append((change.instrument_id, change.new)),
    )

    def more(text: str) -> None:
        told.append(text)
        if len(feed.subscriptions) < 4:
            subscribe(feed, "LTC-USDT", channels=("depth5", "candle60s"))

    subscribe(feed, channels=("depth5", "trade", "candle60s"), on_message=more)
    world.at(1, lambda: subscribe(feed, "ETH-USDT", channels=("trade", "depth5")))
    world.at(2, lambda: [peer.drop() for peer in world.peers])
    world.at(2.3, lambda: [s.close() for s in feed.subscriptions[:2]])
    world.at(4, lambda: subscribe(feed, "ETH-USDT"))
    world.run(9)
    return told + [(said.at, said.peer.path, said.text) for said in world.exchange.log]


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_world_is_the_same_each_time(protocol: str) -> None:
    first = story(protocol)

    assert len(first) > 40
    assert all(story(protocol) == first for _ in range(5))


def test_a_subscription_may_come_at_the_moment_of_a_change_over(v5: World) -> None:
    """Then its channels live on another connection than the one it was placed on."""
    feed = v5.feed()
    channels = ("depth5", "candle60s")  # of two connections
    first = subscribe(feed, "BTC-USDT", channels=channels)
    found: list[Any] = []

    def change_over() -> None:
        second = subscribe(feed, "ETH-USDT", channels=channels)
        for connection in pool_of(feed).placed:
            handover = connection.channels.handover
            assert handover is not None
            connection.submit(partial(handover.lost, v5.clock.now))
        found.append(second)

    v5.at(1, feed.rotate)
    v5.at(1.2, change_over)
    v5.at(5, lambda: found.extend([first.state, found[0].state]))
    v5.at(5, lambda: found.extend(connections_per_reading(pool_of(feed))))
    v5.at(5, lambda: check(register_of(pool_of(feed)).table))
    v5.at(6, feed.close)

    v5.run(7)

    assert found[1:] == [State.LIVE, State.LIVE, 2, 2]
    assert len(v5.opened) == 4
