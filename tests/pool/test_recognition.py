"""A push that its bytes name is kept as it came, in its place; all else is parsed."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from typing import Any

import pytest

from okex_ws import WSSubscription
from okex_ws.base.counts import Counts
from okex_ws.base.errors import WireError
from okex_ws.pool.recognition import MOST_AT_ONCE, MOST_BYTES, Recognition
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.session.subscription_state import Phase, SubscriptionState
from okex_ws.trust.lease import Era
from tests.support.internals import known_heads
from tests.support.opening_bench import BOOK, TRADES, Bench, Target, push
from tests.support.virtual_world import World, compact, depth, listen

OTHER = "books5:ETH-USDT"
HEADS = ((BOOK, "x"), (BOOK, "y"), (OTHER, "x"))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def keeping(bench: Bench, name: str = BOOK) -> Target:
    """A channel that flows, keeps its pushes, and is known by its head."""
    target = bench.subscribed(name)
    target.keeps_unparsed = True
    bench.hear(push(name, "first"))
    bench.hear(push(name, "known"))
    target.take()
    bench.handler.words()
    return target


# --- What is kept -------------------------------------------------------------------


def test_what_is_recognized_is_kept_each_in_its_order(bench: Bench) -> None:
    book = keeping(bench)
    before = bench.counts.messages

    bench.hear(*(push(BOOK, str(n)) for n in range(5)))

    assert book.take() == []
    assert book.kept == [push(BOOK, str(n)) for n in range(5)]
    assert bench.counts.messages - before == 5


def test_each_channel_keeps_its_own(bench: Bench) -> None:
    book, other = keeping(bench), keeping(bench, OTHER)

    bench.hear(push(BOOK, "1"), push(OTHER, "2"), push(BOOK, "3"), push(OTHER, "4"))

    assert book.kept == [push(BOOK, "1"), push(BOOK, "3")]
    assert other.kept == [push(OTHER, "2"), push(OTHER, "4")]


def test_nothing_overtakes_what_is_kept(bench: Bench) -> None:
    book, trades = keeping(bench), bench.subscribed(TRADES)

    bench.hear(
        *(push(BOOK, "1"), push(TRADES, "a"), push(BOOK, "2"), push(TRADES, "b")),
    )

    assert [element for element, _ in trades.take()] == ["a", "b"]
    words = [w for w in bench.handler.words() if w in ("push", "keep")]
    assert words == ["keep", "push", "keep", "push"]
    assert len(book.kept) == 2


def test_a_flood_of_what_is_kept_lets_the_clock_be_looked_at(bench: Bench) -> None:
    book = keeping(bench)
    many = 3 * MOST_AT_ONCE
    looks = []

    def look() -> float:
        looks.append(len(book.kept))
        return bench.clock.now

    bench.clock.look = look
    bench.hear(*(push(BOOK, str(n)) for n in range(many)))

    assert len(book.kept) == many
    assert {MOST_AT_ONCE, 2 * MOST_AT_ONCE} <= set(looks)


def test_a_kept_push_is_the_one_that_was_missed(bench: Bench) -> None:
    """It is a sign of life of its channel, as one that is parsed."""
    keeping(bench)
    subscription = bench.session.subscriptions[BOOK]
    subscription.suspect = True

    bench.hear(push(BOOK, "1"))

    assert not subscription.suspect


# --- What is not --------------------------------------------------------------------


def test_what_each_of_counts_is_parsed(bench: Bench) -> None:
    book = bench.subscribed()
    bench.hear(push(BOOK, "first"))

    bench.hear(*(push(BOOK, str(n)) for n in range(5)))

    assert len(book.take()) == 6
    assert book.kept == []
    assert known_heads(bench.talk) == {}


def test_a_channel_is_known_again_once_its_pushes_may_be_kept_again(
    bench: Bench,
) -> None:
    book = keeping(bench)

    book.keeps_unparsed = False
    bench.hear(push(BOOK, "1"), push(BOOK, "2"))
    assert known_heads(bench.talk) == {}
    book.keeps_unparsed = True
    bench.hear(push(BOOK, "3"), push(BOOK, "4"))

    assert [element for element, _ in book.take()] == ["1", "2", "3"]
    assert book.kept == [push(BOOK, "4")]


def test_the_first_push_after_a_subscribe_is_parsed(bench: Bench) -> None:
    book = bench.want()
    book.keeps_unparsed = True
    bench.talk.turn()
    acknowledged = json.dumps(
        {"event": "subscribe", "arg": {"channel": "books5", "instId": "BTC-USDT"}}
    )

    bench.hear(acknowledged, push(BOOK, "1"), push(BOOK, "2"), push(BOOK, "3"))

    assert book.take() == [("1", True), ("2", False)]
    assert book.kept == [push(BOOK, "3")]


def test_the_first_push_after_a_withdrawal_is_parsed(bench: Bench) -> None:
    book = keeping(bench)

    bench.hear("{", push(BOOK, "1"), push(BOOK, "2"))

    assert book.take() == [("1", True)]
    assert book.kept == [push(BOOK, "2")]


@pytest.mark.parametrize("bad", ["{", '{"event":"strange"}', '{"op":"order"}'])
def test_a_bad_message_is_handled_in_its_place(bench: Bench, bad: str) -> None:
    book = keeping(bench)

    bench.hear(push(BOOK, "1"), push(BOOK, "2"), bad, push(BOOK, "3"))

    words = [w for w in bench.handler.words() if w in ("push", "keep", "unreadable")]
    found = ["unreadable", "push"] if bad == "{" else ["keep"]
    assert words == ["keep", "keep", *found]
    assert book.kept[:2] == [push(BOOK, "1"), push(BOOK, "2")]


def test_a_push_of_another_form_is_parsed_in_its_place(bench: Bench) -> None:
    book = keeping(bench)
    odd = compact({"data": ["3"], "arg": {"channel": "books5", "instId": "BTC-USDT"}})

    bench.hear(push(BOOK, "1"), push(BOOK, "2"), odd, push(BOOK, "4"))

    assert [element for element, _ in book.take()] == ["3"]
    words = [w for w in bench.handler.words() if w in ("push", "keep")]
    assert words == ["keep", "keep", "push", "keep"]


def test_a_push_that_its_channel_does_not_keep_is_parsed(bench: Bench) -> None:
    book = keeping(bench)
    book.refuses = push(BOOK, "2")

    bench.hear(*(push(BOOK, str(n)) for n in range(1, 4)))

    assert [element for element, _ in book.take()] == ["2"]
    assert book.kept == [push(BOOK, "1"), push(BOOK, "3")]


@pytest.mark.parametrize("longer", [0, 1])
def test_a_push_of_more_than_four_kib_is_parsed(bench: Bench, longer: int) -> None:
    book = keeping(bench)
    room = MOST_BYTES - len(push(BOOK, ""))

    bench.hear(push(BOOK, "x" * (room + longer)))

    assert (len(book.kept), len(book.take())) == (1 - longer, longer)


def test_a_frame_that_has_no_text_is_told_after_what_came_before_it() -> None:
    names, era = [BOOK], Era(0.0)
    recognition, target = knowing(names)
    good = push(BOOK, "2").encode()
    recognition.frames.extend([(good, False), (good, True), (good, False)])

    assert isinstance(recognition.next(era, 0.0, 0.0), WireError)
    assert (target.count, len(recognition.frames)) == (1, 1)
    assert recognition.next(era, 0.0, 0.0) is None
    assert target.count == 2


# --- Which heads are known ------------------------------------------------------------


class Counting:
    """A channel that keeps all, and counts."""

    keeps_unparsed = True
    followers = ()
    count = 0

    def keep(self, *_: object) -> bool:
        self.count += 1
        return True


def knowing(names: list[str], enabled: bool = True) -> tuple[Recognition, Counting]:
    target: Any = Counting()
    subscriptions: dict[str, SubscriptionState[Any]] = {}
    recognition = Recognition(V5, subscriptions, Counts(), enabled)
    for name in names:
        subscriptions[name] = SubscriptionState(name, target, True)
        subscriptions[name].phase = Phase.FLOWING
        recognition.learn(name, push(name, "1").encode())
    return recognition, target


def test_the_channels_that_are_known_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("okex_ws.pool.recognition.MOST_HEADS", 3)
    names = [f"books5:{coin}-USDT" for coin in "ABCDE"]
    recognition, target = knowing(names)

    for name in [*reversed(names), "books5:Z-USDT"]:
        recognition.frames.append((push(name, "2").encode(), False))

    # The last two are known.
    assert recognition.next(Era(0.0), 0.0, 0.0) == push(names[2], "2").encode()
    assert target.count == 2


def test_a_long_head_is_not_learned() -> None:
    name = f"books5:{'X' * 600}"
    recognition, target = knowing([name])
    recognition.frames.append((push(name, "2").encode(), False))

    assert recognition.next(Era(0.0), 0.0, 0.0) is not None
    assert target.count == 0


def test_where_it_is_not_enabled_each_push_is_parsed() -> None:
    recognition, target = knowing([BOOK], enabled=False)
    recognition.frames.append((push(BOOK, "2").encode(), False))

    assert recognition.next(Era(0.0), 0.0, 0.0) == push(BOOK, "2").encode()
    assert target.count == 0


def test_a_push_of_a_channel_that_was_let_go_is_parsed() -> None:
    names = [BOOK]
    recognition, target = knowing(names)
    recognition.learn(OTHER, push(OTHER, "1").encode())
    recognition.frames.append((push(OTHER, "2").encode(), False))

    assert recognition.next(Era(0.0), 0.0, 0.0) is not None
    assert target.count == 0


def head(wire: WireProtocol, message: object) -> bytes | None:
    text = message if isinstance(message, str) else compact(message)
    return wire.head(text.encode())


def test_the_head_is_the_channels_alone() -> None:
    btc, later, eth = (head(V5, push(n, x)) for n, x in HEADS)
    assert btc == later != eth
    assert head(V5, "pong") is None

    one, other = head(V3, depth(0)), head(V3, depth(0, name="ETH-USDT"))
    assert one == head(V3, depth(9)) != other
    assert one != head(V3, compact(depth(0)).replace("spot/", "swap/"))
    assert head(V3, "pong") is head(V3, '{"data":[]}') is None


def test_a_frame_of_several_instruments_has_no_head() -> None:
    both = depth(0)
    both["data"] += depth(0, name="ETH-USDT")["data"]

    assert head(V3, both) is None


def test_data_that_is_not_one_object_has_no_head() -> None:
    """Else what stands behind the data could be an event."""
    about = '"arg":{"channel":"books5","instId":"BTC-USDT"}'
    assert head(V5, f'{{{about},"data":[],"event":"error","x":[{{}}]}}') is None
    assert head(V5, f'{{{about},"data":[[],{{"ts":"1"}}]}}') is None
    assert head(V5, f'{{{about},"data":[{{}}],"event":"error"}}') is None
    told = '{"table":"spot/depth5","data":[],"x":[{"instrument_id":"BTC-USDT"}]}'
    assert head(V3, told) is None


def test_a_push_that_its_head_does_not_identify_is_parsed(bench: Bench) -> None:
    """Fields in another order: the data comes first, and every head is the same."""

    def data_first(name: str, element: str) -> str:
        message = json.loads(push(name, element))
        return compact({"data": message["data"], "arg": message["arg"]})

    book, trades = bench.subscribed(BOOK), bench.subscribed(TRADES)
    book.keeps_unparsed = True
    for _ in range(3):
        bench.hear(data_first(BOOK, "0"))
    book.take()

    bench.hear(*(data_first(n, str(x)) for x in range(9) for n in (TRADES, BOOK)))

    assert [element for element, _ in trades.take()] == [str(x) for x in range(9)]
    assert [element for element, _ in book.take()] == [str(x) for x in range(9)]
    assert book.kept == []


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
    # None of them is less late than the one at second 1: it would be parsed.
    world.at(2, lambda: burst(world, 10, 1900))
    world.at(3, lambda: seen.append(sub.GetDepth()["bids"][0][0]))

    world.run(4)

    assert seen == ["109"]
    stats = sub.stats()
    assert stats.unread == {"depth5": 9}
    assert stats.skipped == {}


def test_a_script_that_wants_each_message_is_given_each() -> None:
    world, sub = followed("v5")
    texts: list[str] = []
    world.at(0.5, lambda: listen(sub, texts.append))
    world.at(2, lambda: burst(world, 10, 2000))

    world.run(4)

    assert len(texts) == 11
    assert sub.stats().skipped == Counter() == sub.stats().unread


def test_an_iterator_that_wants_each_is_given_each() -> None:
    world, sub = followed("v5")
    world.at(2, lambda: burst(world, 10, 2000))
    found: list[Any] = []
    items: list[Any] = []
    world.at(1.5, lambda: items.append(sub.updates(latest=False)))
    world.at(3, lambda: found.extend(islice(items[0], 11)))

    world.run(4)

    assert [item.bids[0][0] for item in found] == ["100", *map(str, range(100, 110))]
