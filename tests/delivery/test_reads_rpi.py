"""Reads of subscriptions that have the book with RPI, in virtual time."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from okex_ws import BookUpdate, Depth, Feed, NotLive, State, WSSubscription
from tests.support.virtual_world import V5, World

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")

RPI = "books-rpi:BTC-USDT"
BIDS = [["100.1", "3", "0", "2"], ["100.0", "5", "4", "2"]]
ASKS = [["100.2", "1", "0.0", "1"], ["100.3", "7", "6", "3"]]
# What every order can take of it, and what a retail user's order can.
EVERY, RETAIL = (
    (Decimal("100.0"), Decimal("100.3")),
    (Decimal("100.1"), Decimal("100.2")),
)


def rpi(
    action: str, bids: Any, asks: Any, time_ms: int, prev: int, seq: int, **more: Any
) -> dict[str, Any]:
    element = {"asks": asks, "bids": bids, "ts": V5.stamp(time_ms), **more}
    element |= {"prevSeqId": prev, "seqId": seq}
    return {**V5.push("books-rpi", element), "action": action}


@pytest.fixture
def world() -> World:
    world = World("v5")
    world.exchange.first_pushes[RPI] = rpi("snapshot", BIDS, ASKS, 0, -1, 1000)
    world.exchange.first_pushes["books5:BTC-USDT"] = V5.depth(0, "99.9", "100.4")
    return world


def push(world: World, message: object) -> None:
    assert world.peer is not None
    world.peer.send(message)


def best(sub: WSSubscription, **keywords: Any) -> Any:
    found = sub.best_bid_ask(**keywords)
    return found and (found.bid, found.ask)


def test_alone_it_gives_what_every_order_can_take(world: World) -> None:
    sub, seen = world.subscribe(channels=("books-rpi",)), list[Any]()

    def look() -> None:
        first, retail, book = sub.best_bid_ask(), sub.best_bid_ask(rpi=True), sub.book
        assert first is not None
        assert retail is not None
        assert book is not None
        seen.append((first.bid_size, first.ask_size, retail.bid_size, retail.ask_size))
        seen.append((best(sub), (first.mid, first.spread), (book.mid, book.spread)))
        seen.append((best(sub, rpi=True), book.takeable(rpi=True).mid, first.channel))
        seen.append((book.sweep("buy", 1).worst, book.sweep("buy", 1, rpi=True).worst))

    world.at(1, look)
    world.run(2)

    middle = Decimal("100.15")
    assert seen == [
        tuple(map(Decimal, ("4", "6", "3", "1"))),
        (EVERY, (middle, Decimal("0.3")), (middle, Decimal("0.3"))),
        (RETAIL, middle, "books-rpi"),
        (Decimal("100.3"), Decimal("100.2")),
    ]


def test_its_rows_are_given_as_they_came(world: World) -> None:
    sub, seen = world.subscribe(channels=("books-rpi",)), list[Any]()
    world.at(1, lambda: seen.extend([sub.GetDepth(), sub.depth(), sub.depth(rpi=True)]))
    world.at(1, lambda: seen.append(sub.book))

    world.run(2)

    given, depth, same, book = seen
    assert (given["bids"], given["asks"]) == (BIDS, ASKS)
    assert depth == same
    assert depth.book == book
    assert book.rpi
    assert book.asks == tuple(map(tuple, ASKS))


def test_beside_another_depth_a_read_is_of_that_one(world: World) -> None:
    """The push of the RPI book is newer, and has more levels."""
    sub, seen = world.subscribe(channels=("books-rpi", "depth5")), list[Any]()
    world.at(0.5, lambda: push(world, rpi("update", [], [], 500, 1000, 9000)))

    def look() -> None:
        seen.extend([best(sub), best(sub, levels=400), best(sub, rpi=True)])
        seen.extend([sub.depth(levels=400).channel, sub.depth(rpi=True).channel])
        seen.extend([sub.GetDepth()["bids"], sub.GetDepth(rpi=True)["bids"]])
        seen.extend([sub.health().epoch, sub.book and sub.book.mid])

    world.at(1, look)
    world.run(2)

    ordinary = (Decimal("99.9"), Decimal("100.4"))
    assert seen[:3] == [ordinary, ordinary, RETAIL]
    assert seen[3:5] == ["depth5", "books-rpi"]
    assert seen[5:7] == [[["99.9", "1", "0", "1"]], BIDS]
    # The epoch is that of the one depth; the RPI book is the only whole one.
    assert seen[7:] == [1, Decimal("100.15")]


def test_its_best_levels_are_no_mismatch_of_another_depth(world: World) -> None:
    """Both have one sequence number, and each has best levels of its own."""
    sub = world.subscribe(channels=("books-rpi", "depth5", "bbo-tbt"))
    first = V5.depth(0, "99.9", "100.4", channel="bbo-tbt", seq=1000)
    world.exchange.first_pushes["bbo-tbt:BTC-USDT"] = first
    world.exchange.first_pushes["books5:BTC-USDT"] = V5.depth(0, "99.9", "100.4")
    seen: list[Any] = []
    world.at(1, lambda: seen.append(sub.state))
    world.run(2)

    assert seen == [State.LIVE]
    assert sub.stats().mismatches == 0


@pytest.mark.parametrize("channel", ["books-rpi", "depth5"])
def test_it_is_not_stale_for_want_of_a_repeat(world: World, channel: str) -> None:
    """Another depth, which the exchange repeats, is subscribed again and again."""
    feed = world.feed(world.venue(idle_repeat=60.0))
    (sub,) = feed.subscribe(["BTC-USDT"], channels=(channel,))
    seen: list[Any] = []
    for at in range(10, 200, 10):
        world.at(at, lambda: seen.append(sub.state))

    world.run(201)

    asked = [arg["channel"] for each in world.exchange.requests for arg in each["args"]]
    assert (len(asked) == 1) is (channel == "books-rpi")
    assert (set(seen) == {State.LIVE}) or channel == "depth5"


def test_rpi_without_its_channel_is_a_value_error(world: World) -> None:
    sub = world.subscribe(channels=("depth5",))
    for read in (sub.GetDepth, sub.depth, sub.best_bid_ask):
        with pytest.raises(ValueError, match="no channel 'books-rpi' is subscribed"):
            read(rpi=True)
        with pytest.raises(TypeError, match="rpi is True or False"):
            read(rpi="yes")  # type: ignore[arg-type]
    world.run(1)


def test_before_it_is_live_it_gives_nothing_with_rpi_too(world: World) -> None:
    del world.exchange.first_pushes[RPI]
    sub, seen = world.subscribe(channels=("books-rpi", "depth5")), list[Any]()

    def look() -> None:
        seen.extend([best(sub, rpi=True), sub.GetDepth(rpi=True), best(sub) is None])
        with pytest.raises(NotLive):
            sub.depth(rpi=True)

    world.at(1, look)
    world.run(2)

    assert seen == [None, {}, False]


def test_a_row_that_cannot_be_withdraws_the_book(world: World) -> None:
    """It has more without RPI than with it; a new subscribe gives a new book."""
    sub, seen = world.subscribe(channels=("books-rpi",)), list[Any]()
    wrong = [["100.0", "5", "6", "2"]]
    world.at(1, lambda: push(world, rpi("update", wrong, [], 900, 1000, 1001)))
    world.at(1.01, lambda: seen.append(best(sub)))
    world.at(5, lambda: seen.append(best(sub)))

    world.run(6)

    assert seen == [None, EVERY]
    assert sub.stats().dropped == {"book": 1}
    assert sub.stats().resyncs == 1


def test_updates_have_the_rows_and_the_book_that_they_lead_to() -> None:
    world = World("v5")
    world.exchange.first_pushes[RPI] = rpi("snapshot", BIDS, ASKS, 0, -1, 1000)
    items: list[Any] = []
    world.subscribe(channels=("books-rpi",), on_item=items.append)
    gone = [["100.1", "0", "0", "0"]]
    world.at(1, lambda: push(world, rpi("update", gone, [], 900, 1000, 1001)))

    world.run(2)

    books = [each for each in items if isinstance(each, BookUpdate)]
    assert [each.action for each in books] == ["snapshot", "update"]
    assert books[1].bids == (tuple(gone[0]),)
    assert books[1].book.rpi
    assert books[1].book.bids == (tuple(BIDS[1]),)
    assert not any(isinstance(each, Depth) for each in items)


@pytest.mark.parametrize("lost", ["depth5", "books-rpi"])
def test_a_refused_book_with_rpi_leaves_the_other_depth_alone(
    world: World, lost: str
) -> None:
    key = {"depth5": "books5:BTC-USDT", "books-rpi": RPI}[lost]
    world.exchange.unknown.add(key)
    sub, seen = world.subscribe(channels=("books-rpi", "depth5")), list[Any]()
    world.at(2, lambda: seen.append(sub.state))

    world.run(3)

    assert seen == [State.FAILED if lost == "depth5" else State.LIVE]


# --- Several instruments --------------------------------------------------------------


def both(feed: Feed) -> None:
    feed.subscribe(["BTC-USDT"], channels=("books-rpi", "depth5"))
    feed.subscribe(["ETH-USDT"], channels=("depth5",))


def test_the_best_of_several_instruments_has_rpi_on_request(world: World) -> None:
    eth = V5.depth(0, "10.1", "10.2", name="ETH-USDT")
    world.exchange.first_pushes["books5:ETH-USDT"] = eth
    feed, seen = world.feed(), list[Any]()
    both(feed)

    def look() -> None:
        found = feed.best_bid_asks(["BTC-USDT", "ETH-USDT"])
        seen.append([(each.bid, each.channel) for each in found.values()])
        found = feed.best_bid_asks(["BTC-USDT"], rpi=True)
        seen.append([(each.bid, each.ask) for each in found.values()])

    world.at(1, look)
    world.run(2)

    assert seen[0] == [(Decimal("99.9"), "depth5"), (Decimal("10.1"), "depth5")]
    assert seen[1] == [RETAIL]
    with pytest.raises(ValueError, match=r"no channel 'books-rpi' .* of 'ETH-USDT'"):
        feed.best_bid_asks(["BTC-USDT", "ETH-USDT"], rpi=True)
    with pytest.raises(TypeError, match="rpi is a bool"):
        feed.best_bid_asks(["BTC-USDT"], rpi="yes")  # type: ignore[arg-type]


@pytest.mark.parametrize("first", ["books-rpi", "depth5"])
def test_of_two_subscriptions_the_one_with_an_ordinary_depth_counts(
    world: World, first: str
) -> None:
    feed, seen = world.feed(), list[Any]()
    other = "depth5" if first == "books-rpi" else "books-rpi"
    subs = {
        channel: feed.subscribe(["BTC-USDT"], channels=(channel,))[0]
        for channel in (first, other)
    }

    def look() -> None:
        found = feed.best_bid_asks(["BTC-USDT"])
        seen.extend(each.channel for each in found.values())

    world.at(1, look)
    world.at(1.1, subs["depth5"].close)
    world.at(1.5, look)
    world.run(2)

    assert seen == ["depth5", "books-rpi"]
