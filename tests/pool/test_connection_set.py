"""What was counted, put together: each thing once, whoever it was that counted."""

from __future__ import annotations

import dataclasses
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from okex_ws import Credentials, RawSubscription, Stats, WSSubscription
from okex_ws.base.clock import utc
from okex_ws.base.counts import Counts
from okex_ws.model.reports import add, of_connections, of_subscription
from okex_ws.pool.connection_set import collect_stats
from tests.support.virtual_world import World

KEY = Credentials("the-api-key", "the-secret-key", "the-passphrase")


def connection(
    messages: int = 0,
    received: int = 0,
    still_open: int | None = None,
    pong: tuple[float, float] | None = None,
    **named: Counter[str],
) -> Any:
    """A connection that counted so much; *still_open* bytes on the one it has now."""
    counts = Counts()
    counts.messages, counts.bytes = messages, received
    counts.reconnects = named.get("reconnects", Counter())
    counts.dropped = named.get("dropped", Counter())
    if pong is not None:
        counts.last_pong, counts.round_trip = pong
    talk = SimpleNamespace(transport=SimpleNamespace(bytes_received=still_open))
    return SimpleNamespace(counts=counts, opening=None if still_open is None else talk)


def view(counts: dict[str, int], *readings: tuple[str, dict[str, int]]) -> Any:
    """A subscription that counted this, over readings that counted that."""
    carried = {
        name: SimpleNamespace(name=name, counts=Counter(counted))
        for name, counted in readings
    }
    return SimpleNamespace(readings=carried, counts=lambda: Counter(counts))


def test_nothing_is_nothing() -> None:
    assert collect_stats((), (), Counter(), Counts()) == Stats()


def test_what_connections_counted_is_added_up_with_those_that_are_gone() -> None:
    before = connection(5, 50, dropped=Counter(json=1)).counts
    one = connection(1, 10, 100, reconnects=Counter(Stalled=1))
    two = connection(
        2, 20, reconnects=Counter(Stalled=2, ConnectionLost=1), dropped=Counter(json=3)
    )

    stats = collect_stats((one, two), (), Counter(), before)

    assert stats.messages == 8
    assert stats.bytes == 180
    assert stats.reconnects == {"Stalled": 3, "ConnectionLost": 1}
    assert stats.dropped == {"json": 4}


def test_of_several_health_checks_the_worst_is_told() -> None:
    quick, slow = connection(pong=(100.0, 0.1)), connection(pong=(90.0, 0.05))

    stats = collect_stats((quick, connection(), slow), (), Counter(), Counts())

    assert (stats.last_pong, stats.ping_round_trip) == (utc(90.0), 0.1)


def test_what_each_subscription_found_to_differ_is_added_up() -> None:
    views = [view({"mismatches": number}) for number in (2, 0, 3)]

    stats = collect_stats((), views, Counter(mismatches=1), Counts())

    assert stats.mismatches == 6


def test_a_channel_that_is_shared_is_counted_once() -> None:
    shared: Any = ("books5:BTC-USDT", {"resyncs": 2})
    one = view({"callback_errors": 1, "skipped depth5": 4}, shared)
    two = view({"callback_errors": 2, "callback_stalls": 1}, shared)
    two.readings["books5:BTC-USDT"] = one.readings["books5:BTC-USDT"]
    two.readings["x"] = SimpleNamespace(name="x", counts=Counter(gaps=3))

    stats = collect_stats(
        (), (one, two), Counter({"gaps": 1, "skipped depth5": 1}), Counts()
    )

    assert (stats.resyncs, stats.gaps) == (2, 4)
    assert (stats.callback_errors, stats.callback_stalls) == (3, 1)
    assert stats.skipped == {"depth5": 5}


def test_two_channels_of_one_name_are_two() -> None:
    """One was refused and is still held; the other was asked for after that."""
    old, new = view({}, ("orders", {"gaps": 1})), view({}, ("orders", {"gaps": 2}))

    assert collect_stats((), (old, new), Counter(), Counts()).gaps == 3


@pytest.mark.parametrize("close", [False, True])
def test_what_a_failed_subscription_counted_is_counted_once(close: bool) -> None:
    world = World("v5")
    feed = world.feed(credentials=KEY)
    orders = {"channel": "orders", "instType": "ANY"}
    first = RawSubscription([orders], feed=feed)
    ended = {
        "event": "channel-conn-count-error",
        "channel": "orders",
        "connCount": "20",
        "connId": "x",
    }
    gaps: list[int] = []
    world.at(2, lambda: world.peer_on("private").drop())
    world.at(4, lambda: gaps.append(feed.stats().gaps))
    world.at(5, lambda: world.peer_on("private").send(ended))
    world.at(6, lambda: gaps.append(feed.stats().gaps))
    if close:
        world.at(7, first.close)
    world.at(8, lambda: RawSubscription([orders], feed=feed))
    world.at(9, lambda: world.peer_on("private").drop())
    world.at(12, lambda: gaps.append(feed.stats().gaps))

    world.run(13)

    assert gaps == [1, 1, 2]


def test_what_is_counted_never_becomes_less() -> None:
    world = World("v5")
    world.exchange.first_pushes["books5:BTC-USDT"] = world.dialect.depth(0)
    feed = world.feed()
    sub = WSSubscription(
        "BTC-USDT",
        "spot",
        feed=feed,
        on_message=lambda text: 1 / 0,
        channels=("depth5", "candle60s"),
    )
    WSSubscription("ETH-USDT", "spot", feed=feed, channels=("depth5",))
    errors: list[int] = []

    def close() -> None:
        sub.close()
        errors.append(feed.stats().callback_errors)

    world.at(1, lambda: errors.append(feed.stats().callback_errors))
    world.at(2, close)
    world.at(3, lambda: errors.append(feed.stats().callback_errors))

    world.run(4)

    assert errors == [1, 1, 1]


def test_what_a_connection_counted_that_was_given_up_is_kept() -> None:
    world = World("v5")
    world.exchange.login_refusal = ("60009", "Login failed.")
    feed = world.feed(credentials=KEY)
    messages: list[int] = []

    def try_key() -> None:
        RawSubscription(["account"], feed=feed)

    for second in (1, 2, 3):
        world.at(second, try_key)
        world.at(second + 0.9, lambda: messages.append(feed.stats().messages))

    world.run(5)

    # Of each connection: a pong and a refusal.
    assert messages == [2, 4, 6]


def test_counts_of_two_processes_are_added_and_of_a_pong_the_later_is_told() -> None:
    early, late = utc(1.0), utc(2.0)
    one = Stats(
        messages=3,
        reconnects={"Stalled": 1},
        skipped={"trade": 2},
        resyncs=1,
        last_pong=early,
        ping_round_trip=0.1,
    )
    other = Stats(messages=4, reconnects={"Stalled": 2, "reader": 1}, last_pong=late)

    assert add(one, other) == Stats(
        messages=7,
        reconnects={"Stalled": 3, "reader": 1},
        skipped={"trade": 2},
        resyncs=1,
        last_pong=late,
        ping_round_trip=0.1,
    )
    assert add(one, Stats()) == add(Stats(), one) == one


def test_every_count_is_a_subscriptions_own_or_its_connections() -> None:
    full = Stats(
        *(
            {"x": 1} if isinstance(getattr(Stats(), field.name), dict) else 1
            for field in dataclasses.fields(Stats)
        )  # type: ignore[arg-type]
    )

    assert of_subscription(full) != full != of_connections(full)
    assert add(of_subscription(full), of_connections(full)) == full
