"""Of snapshots that wait together the newest is read; nothing else is passed over."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from okex_ws import WSSubscription
from okex_ws.base.counts import Counts
from okex_ws.pool.conflation import MOST_HELD, Conflation
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.subscription_state import Phase, SubscriptionState
from tests.support.opening_bench import BOOK, TRADES, Bench, Target, push
from tests.support.virtual_world import World, depth, listen

OTHER = "books5:ETH-USDT"
HEADS = ((BOOK, "x"), (BOOK, "y"), (OTHER, "x"))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def conflating(bench: Bench, name: str = BOOK) -> Target:
    """A channel that flows, is known by its head, and of which the newest will do."""
    target = bench.subscribed(name)
    target.conflates = True
    bench.hear(push(name, "first"))
    bench.hear(push(name, "known"))
    target.take()
    bench.handler.words()
    return target


# --- What is passed over ------------------------------------------------------------


def test_of_snapshots_that_wait_together_the_newest_is_read(bench: Bench) -> None:
    book = conflating(bench)
    before = bench.counts.messages

    bench.hear(*(push(BOOK, str(n)) for n in range(5)))

    assert book.take() == [("4", False)]
    assert book.counts == {"skipped depth5": 4}
    assert bench.counts.messages - before == 5


def test_one_by_one_each_is_read(bench: Bench) -> None:
    book = conflating(bench)

    for n in range(5):
        bench.hear(push(BOOK, str(n)))

    assert [element for element, _ in book.take()] == ["0", "1", "2", "3", "4"]
    assert book.counts == Counter()


def test_each_channel_has_a_newest_of_its_own(bench: Bench) -> None:
    book, other = conflating(bench), conflating(bench, OTHER)

    bench.hear(push(BOOK, "1"), push(OTHER, "2"), push(BOOK, "3"), push(OTHER, "4"))

    assert (book.take(), other.take()) == ([("3", False)], [("4", False)])


def test_trades_between_are_all_read_and_hold_nothing_up(bench: Bench) -> None:
    book, trades = conflating(bench), bench.subscribed(TRADES)

    bench.hear(
        *(push(BOOK, "1"), push(TRADES, "a"), push(BOOK, "2"), push(TRADES, "b")),
        *(push(BOOK, "3"), push(TRADES, "c")),
    )

    assert [element for element, _ in trades.take()] == ["a", "b", "c"]
    assert book.take() == [("3", False)]


def test_what_waits_is_read_within_a_bound(bench: Bench) -> None:
    book = conflating(bench)
    many = 3 * MOST_HELD

    bench.hear(*(push(BOOK, str(n)) for n in range(many)))

    read = [int(element) for element, _ in book.take()]
    assert read[-1] == many - 1
    assert read == sorted(read)
    gaps = [b - a for a, b in zip([-1, *read], read, strict=False)]
    assert max(gaps) <= MOST_HELD + 1
    assert book.counts["skipped depth5"] == many - len(read)


# --- What is not --------------------------------------------------------------------


def test_nothing_is_passed_over_where_each_counts(bench: Bench) -> None:
    book = bench.subscribed()
    bench.hear(push(BOOK, "first"))

    bench.hear(*(push(BOOK, str(n)) for n in range(5)))

    assert len(book.take()) == 6
    assert book.counts == Counter()


def test_from_the_moment_that_each_counts_nothing_is(bench: Bench) -> None:
    book = conflating(bench)
    book.conflates = False

    bench.hear(*(push(BOOK, str(n)) for n in range(5)))

    assert len(book.take()) == 5
    assert book.counts == Counter()


def test_the_first_push_after_a_subscribe_waits_for_nothing(bench: Bench) -> None:
    book = bench.want()
    book.conflates = True
    bench.talk.turn()
    acknowledged = json.dumps(
        {"event": "subscribe", "arg": {"channel": "books5", "instId": "BTC-USDT"}}
    )

    bench.hear(acknowledged, push(BOOK, "1"), push(BOOK, "2"), push(BOOK, "3"))

    assert book.take()[0] == ("1", True)


def test_a_pong_finds_all_that_came_before_it_read(bench: Bench) -> None:
    book = conflating(bench)
    bench.clock.advance(6)
    bench.talk.turn()
    assert bench.transport.sent == ["ping"]
    bench.handler.words()

    bench.hear(push(BOOK, "1"), push(BOOK, "2"), "pong", push(BOOK, "3"))

    assert [element for element, _ in book.take()] == ["2", "3"]
    words = [w for w in bench.handler.words() if w in ("push", "look_again")]
    assert words == ["push", "look_again", "push"]


@pytest.mark.parametrize("bad", ["{", '{"event":"strange"}', '{"op":"order"}'])
def test_what_came_before_a_bad_message_is_no_news_after_it(
    bench: Bench, bad: str
) -> None:
    """Or it would make good again what the bad one has withdrawn."""
    book = conflating(bench)

    bench.hear(push(BOOK, "1"), push(BOOK, "2"), bad, push(BOOK, "3"))

    assert [element for element, _ in book.take()] == ["2", "3"]
    words = [w for w in bench.handler.words() if w in ("push", "unreadable")]
    assert words == (["push", "unreadable", "push"] if bad == "{" else ["push"] * 2)


def test_a_push_of_another_form_is_read_after_what_waits_of_its_channel(
    bench: Bench,
) -> None:
    book = conflating(bench)
    odd = json.dumps(
        {"data": ["3"], "arg": {"channel": "books5", "instId": "BTC-USDT"}}
    )

    bench.hear(push(BOOK, "1"), push(BOOK, "2"), odd, push(BOOK, "4"))

    assert [element for element, _ in book.take()] == ["3", "4"]
    assert book.counts == {"skipped depth5": 2}


def test_the_channels_that_are_known_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okex_ws.pool.conflation._MOST_KNOWN", 3)
    subscriptions: dict[str, SubscriptionState[Any]] = {}
    target: Any = type("Target", (), {"conflates": True, "topic": "depth5"})
    conflation = Conflation(V5, subscriptions, Counts())
    names = [f"books5:{coin}-USDT" for coin in "ABCDE"]
    for name in names:
        subscriptions[name] = SubscriptionState(name, target, True)
        subscriptions[name].phase = Phase.FLOWING
        conflation.learn(name, push(name, "1"))

    for name in [*reversed(names), "books5:Z-USDT"]:
        conflation.frames.append((push(name, "2").encode(), False))

    # The last two are known; the first that is not waits for nobody.
    assert conflation.next() == push(names[2], "2").encode()
    waited = [push(name, "2").encode() for name in (names[4], names[3])]
    assert conflation.release() == waited


# --- By their heads -----------------------------------------------------------------


def head(wire: WireProtocol, message: object) -> bytes | None:
    text = message if isinstance(message, str) else json.dumps(message)
    return wire.head(text.encode())


def test_the_head_is_the_channels_alone() -> None:
    btc, later, eth = (head(V5, push(n, x)) for n, x in HEADS)
    assert btc == later != eth
    assert head(V5, "pong") is None

    one, other = head(V3, depth(0)), head(V3, depth(0, name="ETH-USDT"))
    assert one == head(V3, depth(9)) != other
    assert one != head(V3, json.dumps(depth(0)).replace("spot/", "swap/"))
    assert head(V3, "pong") is head(V3, '{"data":[]}') is None


def test_a_frame_of_several_instruments_has_no_head() -> None:
    both = depth(0)
    both["data"] += depth(0, name="ETH-USDT")["data"]

    assert head(V3, both) is None


def test_a_push_that_its_head_does_not_identify_is_never_passed_over(
    bench: Bench,
) -> None:
    """Fields in another order: the data comes first, and every head is the same."""

    def data_first(name: str, element: str) -> str:
        message = json.loads(push(name, element))
        return json.dumps({"data": message["data"], "arg": message["arg"]})

    book, trades = bench.subscribed(BOOK), bench.subscribed(TRADES)
    book.conflates = True
    for _ in range(3):
        bench.hear(data_first(BOOK, "0"))
    book.take()

    bench.hear(*(data_first(n, str(x)) for x in range(9) for n in (TRADES, BOOK)))

    assert [element for element, _ in trades.take()] == [str(x) for x in range(9)]
    assert [element for element, _ in book.take()] == [str(x) for x in range(9)]
    assert book.counts == Counter()


# --- As a script sees it ------------------------------------------------------------


def followed(protocol: str) -> tuple[World, WSSubscription]:
    """A depth that flows, and is known."""
    world = World(protocol)
    key = world.dialect.channel("depth5")
    world.exchange.first_pushes[key] = world.dialect.depth(0)
    sub = world.subscribe(channels=("depth5",))
    world.at(1, lambda: burst(world, 1))
    return world, sub


def burst(world: World, count: int, since: int = 1000) -> None:
    """As many pushes as one read takes."""
    assert world.peer is not None
    for n in range(count):
        world.peer.send(world.dialect.depth(since + n, str(100 + n), "200"))


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_script_that_reads_prices_is_given_the_newest(protocol: str) -> None:
    world, sub = followed(protocol)
    seen: list[Any] = []
    world.at(2, lambda: burst(world, 10, 2000))
    world.at(3, lambda: seen.append(sub.GetDepth()["bids"][0][0]))

    world.run(4)

    assert seen == ["109"]
    assert sub.stats().skipped == {"depth5": 9}


def test_a_script_that_wants_each_message_is_given_each() -> None:
    world, sub = followed("v5")
    texts: list[str] = []
    world.at(0.5, lambda: listen(sub, texts.append))
    world.at(2, lambda: burst(world, 10, 2000))

    world.run(4)

    assert len(texts) == 11
    assert sub.stats().skipped == {}


def test_an_iterator_that_wants_each_is_given_each() -> None:
    world, sub = followed("v5")
    world.at(2, lambda: burst(world, 10, 2000))
    found: list[Any] = []
    items: list[Any] = []
    world.at(1.5, lambda: items.append(sub.updates(latest=False)))
    world.at(3, lambda: found.extend(islice(items[0], 11)))

    world.run(4)

    assert [item.bids[0][0] for item in found] == ["100", *map(str, range(100, 110))]
