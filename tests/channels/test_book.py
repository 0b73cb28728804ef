"""A whole book is shown while its proof stands, and is resynchronised alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okex_ws import (
    BookError,
    BookUpdate,
    BudgetSpent,
    CauseCode,
    ChecksumMismatch,
    SequenceGap,
    State,
    StateChange,
    WireError,
    WSSubscription,
)
from okex_ws.channels.book import BookChannel
from okex_ws.protocol.common import UnreadableMessage
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era
from tests.support.book_channel_bench import BTC, ETH, BookChannelBench
from tests.support.causes import because, gap_for
from tests.support.internals import set_on_error
from tests.support.virtual_world import Ladder, World, listen

# Every read a second time, through shared memory.
pytestmark = pytest.mark.usefixtures("thread_or_shared")


@pytest.fixture(params=["v3", "v5"])
def bench(request: pytest.FixtureRequest) -> BookChannelBench:
    return BookChannelBench(request.param)


# --- Merging ------------------------------------------------------------------------


def test_a_book_is_live_with_its_snapshot_and_follows_every_change(
    bench: BookChannelBench,
) -> None:
    assert bench.state == (State.SYNCING, 0)
    assert bench.push(bench.ladder.snapshot(), first=True)
    assert bench.state == (State.LIVE, 1)
    assert bench.agrees()
    # The state goes before what came with it.
    heard = bench.follower.take()
    assert heard[0] == "tell"
    assert len(heard) == 2
    changes = [("bids", "100.0", "0"), ("asks", "100.05", "7"), ("bids", "99.5", "3")]
    for side, price, size in changes:
        bench.pass_time()
        assert bench.push(bench.ladder.change(side, price=price, size=size))
        assert bench.agrees()
        assert len(bench.follower.take()) == 1
    assert bench.state == (State.LIVE, 1)


def test_a_version_that_a_reader_holds_never_changes(bench: BookChannelBench) -> None:
    bench.begin()
    held = bench.channel.current
    bids, asks = held.depth.bids, held.depth.asks
    before = list(bids), list(asks)

    bench.push(bench.ladder.change(price="100.0", size="0"))

    assert (list(bids), list(asks)) == before
    assert {type(side) for side in (bids, asks)} == {tuple}
    assert {type(row) for row in (*bids, *asks)} == {tuple}
    assert bench.channel.current.depth.version == held.depth.version + 1


def test_a_second_snapshot_replaces_the_book_and_ends_no_epoch(
    bench: BookChannelBench,
) -> None:
    bench.begin()
    bench.ladder.change(price="100.0", size="0")
    bench.pass_time()

    assert bench.push(bench.ladder.snapshot())

    assert bench.state == (State.LIVE, 1)
    assert bench.agrees()
    assert bench.push(bench.ladder.size("9"))
    assert bench.agrees()


def test_several_messages_in_one_push_are_one_version_each(
    bench: BookChannelBench,
) -> None:
    bench.begin()
    version = bench.channel.current.depth.version

    assert bench.push(bench.ladder.size("5"), bench.ladder.size("6"))

    assert bench.agrees()
    assert bench.channel.current.depth.version == version + 2


def test_an_empty_repeat_of_v5_is_the_same_book_and_a_sign_of_life() -> None:
    bench = BookChannelBench("v5")
    bench.begin()
    bench.pass_time(60)
    repeat = bench.ladder.message(False, [], [], bench.ladder.seq)

    assert bench.push(repeat)

    assert bench.state == (State.LIVE, 1)
    assert bench.agrees()
    assert bench.channel.current.received == bench.world.clock.now


def test_a_crossed_book_whose_proof_stands_is_shown(bench: BookChannelBench) -> None:
    """Auctions cross."""
    bench.begin()
    assert bench.push(bench.ladder.change(price="100.3", size="1"))
    assert bench.state == (State.LIVE, 1)
    assert bench.agrees()


# --- Before the snapshot ------------------------------------------------------------


def test_updates_before_the_snapshot_are_of_no_use_and_counted(
    bench: BookChannelBench,
) -> None:
    for size in ("5", "6"):
        assert not bench.push(bench.ladder.size(size), first=True)
    assert bench.state == (State.SYNCING, 0)
    assert bench.follower.take() == []
    assert bench.channel.counts == {"skipped before the snapshot": 2}

    assert bench.push(bench.ladder.snapshot(), first=True)

    assert bench.state == (State.LIVE, 1)
    assert bench.agrees()
    assert bench.channel.counts == {"skipped before the snapshot": 2}


def test_updates_of_the_old_stream_are_of_no_use_to_the_new_one(
    bench: BookChannelBench,
) -> None:
    bench.begin()
    bench.channel.subscribed(bench.link, 1.0)

    assert not bench.push(bench.ladder.size("5"), first=True)

    assert bench.state == (State.SYNCING, 1)
    assert bench.push(bench.ladder.snapshot(), first=True)
    assert bench.state == (State.LIVE, 2)


# --- Withdrawn ----------------------------------------------------------------------


def test_it_resynchronises_until_the_new_snapshot_and_is_nothing_else_meanwhile(
    bench: BookChannelBench,
) -> None:
    bench.begin()
    bench.channel.invalidated(because("it failed"), 1.0)
    shown = bench.channel.current
    assert (shown.state, shown.cause, shown.data) == (
        State.RESYNCING,
        because("it failed"),
        None,
    )
    # Beside another depth the state may not change: the gap is told in any case.
    seq = None if bench.wire is V3 else "1000"
    missing = gap_for("depth", seq, None, because("it failed"), BTC)
    assert bench.follower.take() == [("depth", missing), "tell"]
    assert bench.channel.counts == {"resyncs": 1, "gaps": 1}
    bench.channel.subscribed(bench.link, 2.0)
    assert bench.channel.current is shown
    bench.channel.opened(bench.link, 2.0)
    bench.channel.subscribed(bench.link, 2.0)
    assert bench.channel.current is shown
    assert bench.channel.acknowledged
    bench.follower.take()

    assert bench.push(bench.ladder.snapshot(), first=True)

    assert bench.state == (State.LIVE, 2)
    assert bench.agrees()


def test_a_book_that_is_spoiled_before_its_snapshot_says_why_there_is_none(
    bench: BookChannelBench,
) -> None:
    """It is subscribed anew like any other; to add up there was nothing yet."""
    bench.channel.invalidated(because("not JSON"), 1.0)

    assert bench.state == (State.RESYNCING, 0)
    assert bench.channel.current.cause.text == "not JSON"
    assert bench.channel.counts == {"resyncs": 1}
    assert bench.follower.take() == ["tell"]
    # Another one changes nothing, and is no second withdrawal.
    bench.channel.invalidated(because("not JSON either"), 2.0)
    assert bench.channel.current.cause.text == "not JSON"
    assert bench.channel.counts == {"resyncs": 1}
    assert bench.follower.take() == []
    assert bench.push(bench.ladder.snapshot(), first=True)
    assert bench.state == (State.LIVE, 1)


def test_a_book_that_nobody_acknowledged_has_nothing_to_withdraw(
    bench: BookChannelBench,
) -> None:
    link = Era(1.0)
    bench.channel.opened(link, 1.0)
    before = bench.channel.current
    bench.follower.take()

    bench.channel.invalidated(because("not JSON"), 1.0)

    assert bench.channel.current is before
    assert bench.channel.counts == {}
    assert bench.follower.take() == []


def test_a_book_that_is_lost_while_it_is_whole_is_a_gap_and_told_once(
    bench: BookChannelBench,
) -> None:
    bench.begin()

    bench.channel.lost(because("reset by peer"), 1.0)
    bench.channel.lost(because("reset by peer"), 2.0)

    seq = None if bench.wire is V3 else "1000"
    missing = gap_for(
        "depth", seq, None, because("reset by peer", CauseCode.OUTAGE), BTC
    )
    assert bench.follower.take() == [("depth", missing), "tell", "tell"]
    assert bench.channel.counts == {"gaps": 1}


def test_a_book_that_was_broken_when_it_was_lost_is_one_gap(
    bench: BookChannelBench,
) -> None:
    bench.begin()

    bench.channel.invalidated(because("it failed"), 1.0)
    bench.channel.lost(because("reset by peer"), 2.0)

    assert bench.channel.counts == {"resyncs": 1, "gaps": 1}


def test_after_a_loss_it_is_as_any_other_channel(bench: BookChannelBench) -> None:
    bench.begin()
    bench.channel.invalidated(because("it failed"), 1.0)
    bench.channel.lost(because("reset by peer"), 2.0)
    assert bench.state == (State.RECONNECTING, 1)
    link = bench.link = Era(3.0)
    bench.channel.opened(link, 3.0)
    assert bench.state == (State.SYNCING, 1)
    bench.channel.subscribed(link, 3.0)
    assert bench.state == (State.SYNCING, 1)
    assert not bench.push(bench.ladder.size("5"), first=True)
    assert bench.push(bench.ladder.snapshot(), first=True)
    assert bench.state == (State.LIVE, 2)


def gap(bench: BookChannelBench) -> dict[str, Any]:
    """The second of two messages."""
    bench.ladder.change(price="99.9", size="4")
    return bench.ladder.change(price="100.0", size="5")


def flipped(bench: BookChannelBench) -> dict[str, Any]:
    message = bench.ladder.size("5")
    message["data"][0]["bids"][0][1] = "6"
    return message


def negative(bench: BookChannelBench) -> dict[str, Any]:
    message = bench.ladder.size("5")
    message["data"][0]["bids"][0][1] = "-5"
    return message


def shapeless(bench: BookChannelBench) -> dict[str, Any]:
    message = bench.ladder.size("5")
    message["data"][0]["bids"] = 5
    return message


def of_no_action(bench: BookChannelBench) -> dict[str, Any]:
    return bench.ladder.size("5") | {"action": "surprise"}


BAD = (gap, flipped, negative, shapeless, of_no_action)
Bad = Callable[[BookChannelBench], dict[str, Any]]


@pytest.mark.parametrize("bad", BAD)
def test_what_fails_its_proof_is_never_shown(bench: BookChannelBench, bad: Bad) -> None:
    """A digit of v5 has no proof of its own: its checksum is retired."""
    bench.begin()
    before = bench.channel.current
    message = bad(bench)
    if bad is flipped and bench.wire is V5:
        assert bench.push(message)
        return

    with pytest.raises((BookError, WireError)) as caught:
        bench.push(message)

    assert bench.channel.current is before
    assert bench.follower.take() == []
    expected: dict[Bad, type[Exception]] = {
        gap: SequenceGap if bench.wire is V5 else ChecksumMismatch,
        flipped: ChecksumMismatch,
        negative: BookError,
    }
    assert type(caught.value) is expected.get(bad, UnreadableMessage)
    bench.channel.invalidated(because("it failed"), 1.0)
    # From here on nothing is held to which anything could be added.
    assert not bench.push(bench.ladder.size("7"))
    assert bench.state == (State.RESYNCING, 1)


def test_what_came_before_a_bad_message_in_one_push_was_shown(
    bench: BookChannelBench,
) -> None:
    bench.begin()
    good = bench.ladder.size("5")
    shown = bench.ladder.bids

    with pytest.raises((BookError, WireError)):
        bench.push(good, shapeless(bench))

    assert bench.book[0] == shown
    bench.channel.invalidated(because("it failed"), 1.0)
    assert bench.state == (State.RESYNCING, 1)


# --- Time ---------------------------------------------------------------------------


def test_timestamps_order_no_books(bench: BookChannelBench) -> None:
    bench.pass_time(10)
    bench.begin()
    bench.pass_time(-5)

    assert bench.push(bench.ladder.size("5"))

    assert bench.state == (State.LIVE, 1)
    assert bench.agrees()


def test_lag_is_measured_on_newer_messages_and_not_on_the_first(
    bench: BookChannelBench,
) -> None:
    def lag(late: float, first: bool = False) -> float | None:
        message = bench.ladder.snapshot() if first else bench.ladder.size(f"{late}")
        bench.push(message, first=first, late=late)
        found: float | None = bench.channel.current.lag
        return found

    # Of a quiet market, hours after the last change: no word on the line.
    assert lag(7200.0, first=True) is None
    bench.pass_time()
    assert lag(0.5) == 0.0
    # The same time again is no news.
    assert lag(9.0) is None
    bench.pass_time()
    assert lag(0.75) == pytest.approx(0.25)


# --- What a script is given ---------------------------------------------------------


def test_an_item_is_the_change_for_who_has_the_version_before_it(
    bench: BookChannelBench,
) -> None:
    bench.begin()
    first = bench.channel.current
    bench.push(bench.ladder.change(price="100.0", size="5"))
    second = bench.channel.current
    bench.push(bench.ladder.change("asks", price="100.1", size="0"))
    third = bench.channel.current
    item = bench.channel.reading.item

    whole = item(first, None)
    assert isinstance(whole, BookUpdate)
    assert (whole.action, whole.bids, whole.asks) == (
        "snapshot",
        first.depth.bids,
        first.depth.asks,
    )
    change = item(second, None, first)
    assert change.action == "update"
    assert [row[:2] for row in change.bids] == [("100.0", "5")]
    assert change.asks == ()
    assert (change.book.bids, change.book.asks) == second.depth[:2]
    # Who missed one, or has none, or has it already, is given all of it.
    for before in (None, first, third):
        assert item(third, None, before).action == "snapshot"
    assert item(third, None, second).action == "update"
    assert whole.book.apply("update", change.bids, change.asks) == change.book


def test_the_levels_of_a_subscription_cut_no_item_of_a_book(
    bench: BookChannelBench,
) -> None:
    bench.begin()
    assert len(bench.channel.reading.item(bench.channel.current, 1).bids) == 8


def test_a_snapshot_is_whole_for_whoever_follows_too(bench: BookChannelBench) -> None:
    bench.begin()
    before = bench.channel.current
    bench.push(bench.ladder.snapshot())

    item = bench.channel.reading.item(bench.channel.current, None, before)

    assert item.action == "snapshot"


# --- From end to end ----------------------------------------------------------------


class Market:
    """Two instruments on one connection of one feed, and all that they were told."""

    def __init__(self, protocol: str, **venue: Any) -> None:
        self.world = world = World(protocol)
        self.ladders = {name: Ladder(world, name=name) for name in (BTC, ETH)}
        for name in (BTC, ETH):
            key = world.dialect.channel("depth5", name)
            world.exchange.first_pushes[key] = world.dialect.depth(0, name=name)
        self.changes: dict[str, list[StateChange]] = {}
        self.errors: dict[str, list[Exception]] = {}
        feed = self.feed = world.feed(world.venue(**venue))
        self.btc = self.subscribe(feed, BTC, ("depth", "trade"))
        self.eth = self.subscribe(feed, ETH, ("depth",))
        self.five = self.subscribe(feed, BTC, ("depth5",), "five")
        self.seen: list[Any] = []

    def subscribe(
        self, feed: Any, name: str, channels: tuple[str, ...], label: str = ""
    ) -> WSSubscription:
        changes = self.changes[label or name] = []
        errors = self.errors[label or name] = []
        return WSSubscription(
            name,
            "spot",
            channels=channels,
            feed=feed,
            on_state=changes.append,
            on_error=errors.append,
        )

    @property
    def ladder(self) -> Ladder:
        return self.ladders[BTC]

    def send(self, at: float, make: Callable[[], object], lost: bool = False) -> None:
        """Have a message of the book be made, and sent to all who subscribed."""
        self.world.at(at, lambda: self.ladder.send(make()) if not lost else make())

    def look(self, at: float, *reads: Callable[[], object]) -> None:
        self.world.at(at, lambda: self.seen.append([read() for read in reads]))

    def change(self, price: str, size: str) -> Callable[[], object]:
        return lambda: self.ladder.change(price=price, size=size)

    def states(self, label: str = BTC) -> list[State]:
        return [change.new for change in self.changes[label]]

    def asked(self) -> list[tuple[str, list[str]]]:
        """What was asked after the beginning."""
        key = self.world.dialect.key
        return [
            (request["op"], [key(arg) for arg in request["args"]])
            for request in self.world.exchange.requests[1:]
        ]

    def resync(self, *names: str) -> list[tuple[str, list[str]]]:
        keys = [self.ladders[name].key for name in names or (BTC,)]
        return [("unsubscribe", keys), ("subscribe", keys)]

    def reads(self) -> tuple[object, ...]:
        """What the book's subscription gives."""
        return self.btc.GetDepth(), self.btc.best_bid_ask(), self.btc.book

    def is_right(self) -> bool:
        """Whether the book is the exchange's own."""
        book, ladder = self.btc.book, self.ladder
        return book is not None and [row[:2] for row in book.bids] == ladder.bids


LIVES = [State.SYNCING, State.LIVE]


@pytest.fixture(params=["v3", "v5"])
def market(request: pytest.FixtureRequest) -> Market:
    return Market(request.param)


def lose(market: Market) -> None:
    market.send(2, market.change("99.9", "4"), lost=True)
    market.send(2, market.change("100.0", "5"))


def spoil(market: Market) -> None:
    """A wrong checksum; under v5, which has none, a gap in the sequence."""

    def make() -> object:
        message = market.ladder.size("5")
        element = message["data"][0]
        if market.world.protocol == "v3":
            element["checksum"] += 1
        else:
            element["prevSeqId"] += 1
        return message

    market.send(2, make)


def garble(market: Market) -> None:
    def make() -> object:
        message = market.ladder.size("5")
        message["data"][0]["asks"] = "none"
        return message

    market.send(2, make)


KINDS: dict[Callable[[Market], None], dict[str, str]] = {
    lose: {"v3": "checksum", "v5": "sequence"},
    spoil: {"v3": "checksum", "v5": "sequence"},
    garble: {"v3": "book", "v5": "book"},
}


@pytest.mark.parametrize("fault", KINDS)
def test_a_broken_book_is_withdrawn_at_once_and_resynchronised_alone(
    market: Market, fault: Callable[[Market], None]
) -> None:
    market.look(1.9, market.is_right, lambda: market.btc.health().epoch)
    fault(market)
    market.look(2.001, market.reads, lambda: market.btc.state)
    # Of the old stream: the first while it is left.
    market.send(2.02, market.change("99.8", "6"))
    later: list[object] = []
    market.world.at(2.06, lambda: later.append(market.ladder.size("8")))
    market.world.at(2.07, lambda: market.world.peers[0].send(later[0]))
    market.look(2.09, market.reads, lambda: market.btc.state)
    market.look(2.16, market.is_right, lambda: market.btc.health().epoch)
    market.send(3, market.change("99.7", "0"))
    market.look(3.1, market.is_right, lambda: market.btc.health().epoch)

    market.world.run(100)

    withdrawn: list[Any] = [({}, None, None), State.RESYNCING]
    assert market.seen == [[True, 1], withdrawn, withdrawn, [True, 2], [True, 2]]
    assert market.states() == [*LIVES, State.RESYNCING, State.LIVE, State.CLOSED]
    assert [change.epoch for change in market.changes[BTC][1:4]] == [1, 1, 2]
    for label in (ETH, "five"):
        assert market.states(label) == [*LIVES, State.CLOSED]
    assert market.asked() == market.resync()
    kind = KINDS[fault][market.world.protocol]
    stats = market.btc.stats()
    assert stats.dropped == {kind: 1, "resynchronising": 2}
    assert (stats.resyncs, market.eth.stats().resyncs) == (1, 0)
    assert stats.mismatches == 0
    (error,) = market.errors[BTC]
    assert isinstance(error, WireError if fault is garble else BookError)
    assert error.channel == market.ladder.key
    assert market.errors[ETH] == market.errors["five"] == []
    assert len(market.world.opened) == 1


def test_whoever_is_told_of_a_broken_book_finds_it_withdrawn(market: Market) -> None:
    told: list[Any] = []
    on_error = lambda error: told.append(look())  # noqa: E731
    market.world.at(1, lambda: set_on_error(market.btc, on_error))

    def look() -> tuple[object, ...]:
        return market.btc.state, market.btc.book

    spoil(market)
    market.world.run(3)

    assert told == [(State.RESYNCING, None)]


def test_garbage_of_no_channel_breaks_all_books_and_one_request_resubscribes_them(
    market: Market,
) -> None:
    market.world.at(2, lambda: market.world.peers[0].send("garbage"))
    market.look(2.001, market.reads, *(lambda s=s: s.state for s in three(market)))
    market.look(2.16, market.is_right, *(lambda s=s: s.state for s in three(market)))
    five = market.world.dialect.depth(2500)
    market.world.at(2.5, lambda: market.world.peers[0].send(five))

    market.world.run(60)

    resyncing = [State.RESYNCING] * 3
    assert market.seen == [
        [({}, None, None), *resyncing],
        # Five levels need no new subscription, only their next push.
        [True, State.LIVE, State.LIVE, State.RESYNCING],
    ]
    assert market.asked() == market.resync(BTC, ETH)
    for label in (BTC, ETH, "five"):
        assert market.states(label) == [
            *(*LIVES, State.RESYNCING, State.LIVE, State.CLOSED)
        ]
        assert len(market.errors[label]) == 1


def three(market: Market) -> tuple[WSSubscription, ...]:
    return market.btc, market.eth, market.five


def test_a_lost_connection_is_no_resynchronisation(market: Market) -> None:
    market.world.at(2, lambda: market.world.peers[0].drop())
    market.look(2.001, market.reads, lambda: market.btc.state)
    market.send(2.002, market.change("99.9", "4"))
    market.look(10, market.is_right, lambda: market.btc.health().epoch)

    market.world.run(12)

    assert market.seen == [[({}, None, None), State.RECONNECTING], [True, 2]]
    assert market.states()[2:5] == [State.RECONNECTING, State.SYNCING, State.LIVE]
    assert [op for op, _ in market.asked()] == ["subscribe"]
    assert market.btc.stats().resyncs == 0


def test_a_book_that_was_broken_when_the_connection_was_lost_comes_back(
    market: Market,
) -> None:
    spoil(market)
    market.world.at(2.01, lambda: market.world.peers[0].drop())
    market.look(10, market.is_right, lambda: market.btc.health().epoch)

    market.world.run(12)

    assert market.seen == [[True, 2]]
    assert market.states()[2:6] == [
        *(State.RESYNCING, State.RECONNECTING, State.SYNCING, State.LIVE)
    ]
    assert [op for op, _ in market.asked()] == ["unsubscribe", "subscribe"]


def test_a_leaving_that_is_never_acknowledged_heals_all_the_same(
    market: Market,
) -> None:
    exchange = market.world.exchange
    market.world.at(1, lambda: setattr(exchange, "acknowledges", False))
    spoil(market)
    for second in range(3, 13):
        market.send(second, lambda: market.ladder.size(f"1{market.ladder.seq}"))
        market.look(second + 0.5, market.reads)
    market.world.at(11, lambda: setattr(exchange, "acknowledges", True))
    market.look(99, market.is_right, lambda: market.btc.state)

    market.world.run(100)

    assert market.seen[:-1] == [[({}, None, None)]] * 10
    assert market.seen[-1] == [True, State.LIVE]
    # Without a leaving that is acknowledged there would be no second snapshot.
    assert market.asked() == [market.resync()[0], *market.resync()]
    assert market.states() == [*LIVES, State.RESYNCING, State.LIVE, State.CLOSED]
    assert market.states("five") == [*LIVES, State.CLOSED]


def test_a_snapshot_that_never_comes_is_asked_for_again(market: Market) -> None:
    pushes = market.world.exchange.first_pushes
    market.world.at(1, lambda: pushes.pop(market.ladder.key))
    spoil(market)
    # What is pushed without it is of no use, and puts nothing off.
    for second in range(3, 12):
        market.send(second, lambda: market.ladder.size(f"1{market.ladder.seq}"))
    market.look(11, market.reads, lambda: market.btc.state)
    market.world.at(
        11, lambda: pushes.update({market.ladder.key: market.ladder.snapshot})
    )
    market.look(40, market.is_right, lambda: market.btc.health().epoch)

    market.world.run(41)

    assert market.seen == [[({}, None, None), State.RESYNCING], [True, 2]]
    assert market.asked() == market.resync() * 2
    assert market.states() == [*LIVES, State.RESYNCING, State.LIVE, State.CLOSED]
    assert market.btc.stats().skipped == {"before the snapshot": 9}


@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_a_book_that_fails_again_waits_longer_each_time(protocol: str) -> None:
    market = Market(protocol, requests_per_hour=480)

    def bad() -> object:
        message = market.ladder.snapshot()
        message["data"][0]["bids"][0][1] = "-1"
        return message

    pushes = market.world.exchange.first_pushes
    market.world.at(1, lambda: pushes.update({market.ladder.key: bad}))
    spoil(market)
    market.world.at(
        25, lambda: pushes.update({market.ladder.key: market.ladder.snapshot})
    )
    market.look(40, market.is_right)

    market.world.run(41)

    left = [said.at for said in market.world.exchange.log if "unsub" in said.text]
    waits = [b - a for a, b in pairwise(left)]
    # The answers to both requests are 0.05 s away, and so is the pong between them.
    assert waits == [pytest.approx(2.0**n + 0.15) for n in range(5)][: len(waits)]
    assert len(waits) >= 4
    assert market.seen == [[True]]
    assert market.states() == [*LIVES, State.RESYNCING, State.LIVE, State.CLOSED]
    # What went wrong once is one withdrawal, however often it was tried.
    assert market.btc.stats().resyncs == 1


@pytest.mark.once
@pytest.mark.parametrize("protocol", ["v3", "v5"])
def test_when_the_share_of_the_broken_is_spent_they_wait_and_the_others_do_not(
    protocol: str,
) -> None:
    market = Market(protocol, requests_per_hour=9)
    world = market.world
    for minute in range(1, 5):
        world.at(minute * 100, lambda: breaks(market))
    market.look(500, market.reads, lambda: market.btc.state, lambda: market.eth.state)
    late: list[WSSubscription] = []
    world.at(
        600,
        lambda: late.append(market.subscribe(market.feed, ETH, ("trade",), "late")),
    )
    market.look(601, lambda: late[0].state)
    # A channel of trades that is silent while its book moves would be resubscribed.
    for second in (400, 3600):
        traded = world.dialect.trade(f"{second}", 1000 * second)
        world.at(second, lambda traded=traded: world.peers[0].send(traded))
    market.look(3650, market.reads)
    market.look(3800, market.is_right)

    world.run(3900)

    nothing = ({}, None, None)
    assert market.seen == [[nothing, *OTHERS], [State.LIVE], [nothing], [True]]
    spent = [e for e in market.errors[BTC] if isinstance(e, BudgetSpent)]
    assert [(e.op, e.channels) for e in spent] == [("resynchronising", 1)]
    # Of two pairs an hour one at once, and the other an hour later.
    assert market.asked() == [
        *market.resync(),
        ("subscribe", [world.dialect.channel("trade", ETH)]),
        *market.resync(),
    ]


OTHERS = (State.RESYNCING, State.LIVE)


def breaks(market: Market) -> None:
    message = market.ladder.size(f"1{market.ladder.seq}")
    message["data"][0]["asks"] = "none"
    market.ladder.send(message)


def test_closing_a_broken_book_leaves_it_at_once(market: Market) -> None:
    world = market.world
    for second in (2.0, 2.2, 3.5, 5.8):
        world.at(second, lambda: breaks(market))
    world.at(5.9, market.btc.close)

    world.run(10)

    left = [said.at for said in world.exchange.log if "unsub" in said.text]
    assert left[-1] - world.t0 == pytest.approx(5.9)
    assert market.asked()[-1][0] == "unsubscribe"
    assert market.ladder.key in market.asked()[-1][1]
    assert market.ladder.key not in world.peers[0].subscribed


def test_on_message_gets_the_text_of_every_message_that_was_used(
    market: Market,
) -> None:
    texts: list[str] = []
    market.world.at(0.01, lambda: listen(market.btc, texts.append))
    sent: list[Any] = []

    def kept(make: Callable[[], object]) -> Callable[[], object]:
        def made() -> object:
            sent.append(make())
            return sent[-1]

        return made

    pushes = market.world.exchange.first_pushes
    pushes[market.ladder.key] = kept(market.ladder.snapshot)
    market.send(1, kept(market.change("99.9", "4")))
    spoil(market)
    # While it is left: of the old stream.
    market.send(2.02, market.change("99.8", "6"))
    market.send(3, kept(market.change("99.7", "5")))

    market.world.run(4)

    assert [json.loads(text) for text in texts] == sent
    assert len(sent) == 4


FAULTS = ("lose", "wrong", "garble", "garbage", "drop", "end", "again")
STORY = st.lists(
    st.tuples(
        st.sampled_from(["change"] * 7 + [*FAULTS]),
        st.integers(95, 105),
        st.integers(0, 3),
        st.sampled_from([0.0, 0.02, 0.07, 0.3, 3.0]),
    ),
    max_size=40,
)


class Story:
    """Whatever may happen to a book, and what its subscription shows meanwhile."""

    def __init__(self, protocol: str) -> None:
        self.world = World(protocol)
        self.ladder = Ladder(self.world)
        self.sub = self.world.subscribe(channels=("depth", "trade"))
        self.versions: list[Any] = []
        self.remember()

    def remember(self) -> None:
        self.versions.append((self.ladder.bids, self.ladder.asks))

    def happen(self, event: str, price: int, size: int) -> None:
        world, ladder = self.world, self.ladder
        if event == "garbage":
            world.peers[-1].send("garbage")
        elif event == "drop":
            world.peers[-1].drop()
        elif event == "end":
            if ladder.key in world.peers[-1].subscribed:
                world.peers[-1].end(ladder.key)
        else:
            self.say(event, price, size)

    def say(self, event: str, price: int, size: int) -> None:
        ladder = self.ladder
        if event == "again":
            ladder.send(ladder.snapshot())
            return
        side = "bids" if price < 100 else "asks"
        message = ladder.change(side, price=f"{price}", size=f"{size}")
        self.remember()
        element = message["data"][0]
        if event == "wrong" and self.world.protocol == "v3":
            element["checksum"] += 1
        elif event == "wrong":
            element["prevSeqId"] += 1
        elif event == "garble":
            element["bids"] = 5
        if event != "lose":
            ladder.send(message)

    def look(self) -> bool | None:
        """Whether the book is right; it never was what the exchange's never was."""
        book = self.sub.book
        if book is None:
            assert self.sub.GetDepth() == {}
            return None
        shown = tuple([row[:2] for row in side] for side in (book.bids, book.asks))
        assert shown in self.versions
        return shown == self.versions[-1]


@pytest.mark.once
@pytest.mark.parametrize("protocol", ["v3", "v5"])
@settings(max_examples=40)
@given(story=STORY)
def test_whatever_happens_no_book_is_shown_that_never_was(
    protocol: str, story: list[tuple[str, int, int, float]]
) -> None:
    one, at = Story(protocol), 1.0
    seen: list[Any] = []
    for event, price, size, pause in story:
        one.world.at(at, lambda e=event, p=price, s=size: one.happen(e, p, s))
        at += pause
        one.world.at(at + 0.001, one.look)
        at += 0.002
    # A good exchange from here on: the longest wait of a book that broke often is over.
    for later in range(3):
        one.world.at(at + 900 + later, lambda: one.happen("change", 99, 9))
        one.world.at(at + 900.5 + later, lambda: seen.append(one.look()))

    one.world.run(at + 910)

    assert seen[-1] is True


@pytest.mark.parametrize("topic", ["depth", "depth_l2_tbt", "books-rpi"])
def test_only_the_book_that_can_be_fetched_is_fetched(topic: str) -> None:
    bench, asked = BookChannelBench("v5"), []
    name = V5.channel(topic, "spot", BTC)
    channel: Any = BookChannel(V5, name)
    channel.fetch = lambda wait: asked.append(wait) or True
    clock, push = bench.world.clock, bench.read(bench.ladder.size("7"))

    channel.push(push, True, bench.link, clock.now, clock.wall())

    assert bool(asked) is (topic == "depth")
