"""Trades that nothing wants are kept as they came, and are judged by their ids."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from okex_ws import Gap, Trade, WSSubscription
from okex_ws.channels.known_trades import UnparsedTrade
from okex_ws.channels.series import TradeChannel
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v5 import PROTOCOL as V5
from okex_ws.trust.lease import Era
from tests.support.followed_channels import Follower
from tests.support.internals import (
    change_settings,
    pool_of,
    queue_of,
    take_without_waiting,
    watch_kept_trades,
)
from tests.support.virtual_world import DIALECTS, World, compact

# Seconds between two events.
STEP = 0.01


class Bench:
    """A subscription of trades in virtual time; each method plans what happens next.

    *told* is what its error callback got, *kept* are the pushes that were kept, and
    *refused* those that could not be read. *reads* has the ids of each planned read,
    and *notes* how many errors and gaps there were at each note.
    """

    def __init__(self, protocol: str, patch: pytest.MonkeyPatch) -> None:
        self.world = World(protocol)
        self.told: list[str] = []
        self.kept: list[bytes] = []
        self.refused: list[bytes] = []
        self.reads: list[list[int]] = []
        self.notes: list[tuple[int, int]] = []
        watch_kept_trades(patch, self.kept.append, self.refused.append)
        self.feed = self.world.feed()
        change_settings(pool_of(self.feed), keeps_unparsed=True)
        self.sub = self.subscribe(on_error=lambda error: self.told.append(str(error)))
        self.moment = 1.0

    def subscribe(self, **keywords: Any) -> WSSubscription:
        return self.world.subscribe(feed=self.feed, channels=("trade",), **keywords)

    def at(self, what: Callable[[], object], after: float = STEP) -> None:
        """Have *what* happen next."""
        self.moment += after
        self.world.at(self.moment, what)

    def wait(self, seconds: float) -> None:
        self.moment += seconds

    def push(self, *ids: int, **changes: Any) -> None:
        """Have trades pushed; *changes* are made to the element of each."""
        for trade_id in ids:
            message = self.world.dialect.trade(str(trade_id), 1000)
            message["data"][0].update(changes)
            self.at(lambda message=message: self.world.peers[-1].send(message))

    def bad(self, *ids: int) -> None:
        self.push(*ids, side="hold")

    def look(self) -> None:
        self.reads.append(self.ids)

    def read(self) -> None:
        self.at(self.look)

    def note(self) -> None:
        self.at(lambda: self.notes.append((len(self.told), self.gaps)))

    def run(self) -> None:
        """Let all that happen."""
        self.world.run(self.moment + STEP)

    @property
    def ids(self) -> list[int]:
        return [int(trade.id) for trade in self.sub.trades]

    @property
    def gaps(self) -> int:
        return self.feed.stats().gaps


@pytest.fixture(params=["v3", "v5"])
def bench(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(request.param, monkeypatch)


def test_what_is_not_read_is_not_parsed(bench: Bench) -> None:
    bench.push(*range(100, 110))
    bench.run()

    # The first one may be a repeat, and the head is learned from the second one.
    assert len(bench.kept) == 8
    assert bench.ids == list(range(101, 110))
    assert [trade.replayed for trade in bench.sub.trades] == [False] * 9
    assert len(set(map(id, (*bench.sub.trades, *bench.sub.trades)))) == 9


def test_the_newest_alone_is_parsed_for_the_newest(bench: Bench) -> None:
    newest: list[Any] = []
    bench.push(*range(100, 110))
    bench.bad(110)
    bench.at(lambda: newest.append(bench.sub.latest("trade")), 0.001)
    bench.at(lambda: newest.append(len(bench.refused)), 0.0)
    bench.run()

    assert isinstance(newest[0], Trade)
    assert (newest[0].id, newest[1]) == ("109", 1)


def test_a_jump_is_news_and_no_gap(bench: Bench) -> None:
    bench.push(100, 101, 102, 150, 151)
    bench.run()

    assert len(bench.kept) == 3
    assert bench.ids == [101, 102, 150, 151]
    assert bench.gaps == 0


@pytest.mark.parametrize(("again", "gaps"), [(103, 0), (104, 0), (90, 1)])
def test_what_may_be_a_repeat_is_compared_at_once(
    bench: Bench, again: int, gaps: int
) -> None:
    bench.push(100, 101, 102, 103, 104, again)
    bench.run()

    assert len(bench.kept) == 3
    assert bench.gaps == gaps
    assert bench.ids == [101, 102, 103, 104, *([again] if gaps else [])]


def test_another_trade_under_a_known_id_is_told_after_a_gap(bench: Bench) -> None:
    bench.push(100, 101, 102, 103)
    bench.push(103, **{"sz" if bench.world.protocol == "v5" else "size": "9"})
    bench.run()

    assert bench.gaps == 1
    assert bench.ids == [101, 102, 103, 103]


def test_what_cannot_be_read_is_left_out_and_told_once(bench: Bench) -> None:
    bench.push(100, 101, 102)
    bench.bad(103)
    bench.push(104)
    bench.note()
    bench.read()
    bench.note()
    bench.read()
    bench.wait(20.0)
    bench.note()
    bench.run()

    assert bench.notes == [(0, 0), (1, 1), (1, 1)]
    assert bench.reads == [[101, 102, 104]] * 2
    assert bench.feed.stats().dropped == {"trade": 1}


def test_what_cannot_be_read_and_is_not_looked_at_is_not_told(bench: Bench) -> None:
    bench.push(100, 101, 102)
    bench.bad(103)
    bench.push(104)
    bench.wait(60.0)
    bench.run()

    assert (bench.told, bench.gaps) == ([], 0)


def test_a_pong_finds_that_the_newest_cannot_be_read(bench: Bench) -> None:
    ages: list[float] = []
    bench.push(100, 101, 102)
    bench.bad(103, 104)
    bench.note()
    bench.wait(10.0)
    bench.note()
    bench.at(lambda: ages.append(bench.sub.health().age))
    bench.run()

    # Both are found, because the one before was the newest then.
    assert bench.feed.stats().dropped == {"trade": 2}
    assert [gaps for _, gaps in bench.notes] == [0, 1]
    assert bench.ids == [101, 102]
    # What cannot be read is no sign that the stream goes on.
    assert ages == [pytest.approx(10.0 + 5 * STEP)]


def test_after_a_gap_the_next_trade_is_parsed(bench: Bench) -> None:
    kept: list[int] = []
    bench.push(100, 101, 102)
    bench.bad(103)
    bench.wait(10.0)
    for trade_id in (104, 105):
        bench.at(lambda: kept.append(len(bench.kept)))
        bench.push(trade_id)
    bench.at(lambda: kept.append(len(bench.kept)))
    bench.run()

    assert kept == [2, 2, 3]
    assert bench.ids == [101, 102, 104, 105]
    assert bench.gaps == 1


def test_an_absurd_id_does_not_stand_in_the_way(bench: Bench) -> None:
    bench.push(100, 101, 102)
    bench.bad(10**15)
    bench.push(103, 104, 105)
    bench.run()

    assert bench.ids == [101, 102, 103, 104, 105]
    assert len(bench.kept) == 4
    assert (len(bench.told), bench.gaps) == (1, 1)


def test_an_iterator_gets_each_trade_from_its_beginning_on(bench: Bench) -> None:
    items: list[Any] = []
    bench.push(100, 101, 102)
    bench.at(lambda: items.append(bench.sub.updates()))
    bench.push(103, 104)
    bench.run()

    took = take_without_waiting(queue_of(items[0]))
    assert [item.id for item in took if isinstance(item, Trade)] == ["103", "104"]
    assert len(bench.kept) == 1


def test_a_gap_of_a_kept_trade_reaches_an_iterator_that_came_later(
    bench: Bench,
) -> None:
    items: list[Any] = []
    bench.push(100, 101, 102)
    bench.bad(103)
    bench.push(104)
    bench.at(lambda: items.append(bench.sub.updates()))
    bench.at(lambda: bench.ids)
    bench.run()

    took = take_without_waiting(queue_of(items[0]))
    gaps = [item for item in took if isinstance(item, Gap)]
    assert [(gap.after, gap.before) for gap in gaps] == [("104", None)]


def test_one_that_hears_each_message_has_its_text_and_nothing_is_parsed(
    bench: Bench,
) -> None:
    heard: list[str] = []
    bench.push(100, 101, 102)
    bench.at(lambda: bench.subscribe(on_message=heard.append))
    bench.push(103, 104)
    bench.run()

    # One was parsed while the subscription was being made.
    assert (len(bench.kept), len(heard)) == (3, 2)
    assert bench.ids == [101, 102, 103, 104]


def test_the_trades_go_on_through_a_handover(bench: Bench) -> None:
    dialect, many = bench.world.dialect, list[int]()
    bench.push(100, 101, 102, 103)
    first = dialect.trade("103", 1000)
    firsts, key = bench.world.exchange.first_pushes, dialect.channel("trade")
    bench.at(lambda: firsts.update({key: first}))
    bench.at(bench.feed.rotate)
    bench.wait(10.0)
    bench.at(lambda: many.append(sum(p.is_open for p in bench.world.peers)))
    bench.push(104, 105, 106)
    bench.run()

    assert (many, len(bench.world.peers)) == ([1], 2)
    assert bench.ids == [101, 102, 103, 104, 105, 106]
    assert bench.gaps == 0
    assert len(bench.kept) >= 3


def test_what_was_kept_before_a_handover_is_told_when_it_is_found(
    bench: Bench,
) -> None:
    bench.push(100, 101, 102)
    bench.bad(103)
    bench.push(104)
    bench.at(bench.feed.rotate)
    bench.wait(10.0)
    bench.note()
    bench.read()
    bench.note()
    bench.run()

    assert [told for told, _ in bench.notes] == [0, 1]
    assert bench.reads == [[101, 102, 104]]


def test_what_is_found_without_a_connection_is_told_with_the_next(
    bench: Bench,
) -> None:
    bench.push(100, 101, 102)
    bench.bad(103)
    bench.push(104)
    bench.at(lambda: bench.world.peers[-1].drop())
    bench.at(bench.look, 0.001)
    bench.wait(10.0)
    bench.push(105)
    bench.run()

    assert bench.reads == [[101, 102, 104]]
    assert bench.feed.stats().dropped == {"trade": 1}
    assert bench.gaps == 1


def test_the_bytes_of_what_was_read_go_with_the_next_pong(bench: Bench) -> None:
    def held() -> None:
        objects = [each for each in gc.get_objects() if type(each) is UnparsedTrade]
        texts = set(map(id, bench.kept))
        many.append(sum(id(each.said) in texts for each in objects))

    many: list[int] = []
    bench.push(*range(100, 120))
    bench.at(held)
    bench.read()
    bench.push(120)
    bench.wait(20.0)
    bench.read()
    bench.at(held)
    bench.run()

    # The last one came after the first read.
    assert many == [18, 1]
    assert bench.reads == [list(range(101, 120)), list(range(101, 121))]
    # Read once, and the same objects since.
    assert len(set(map(id, (*bench.sub.trades, *bench.sub.trades)))) == 20


class Reader(Follower):
    """What wants no push at its receipt."""

    wants_pushes = wants_data = wants_items = False


def followed(*followers: Follower) -> tuple[TradeChannel, Era]:
    """A channel that the exchange has acknowledged, and its era."""
    channel, era = TradeChannel(V5, V5.channel("trade", "spot", "BTC-USDT")), Era(0.0)
    channel.followers = followers
    channel.opened(era, 0.0)
    channel.subscribed(era, 0.0)
    return channel, era


def said(number: int) -> bytes:
    """The bytes of the push of a trade."""
    return compact(DIALECTS["v5"].trade(str(number), number)).encode()


def parse(channel: TradeChannel, era: Era, number: int, first: bool) -> None:
    (push,) = V5.read(said(number))
    assert isinstance(push, Push)
    channel.push(push, first, era, 1.0, 1000.0)


def test_what_is_no_text_is_not_kept_if_its_text_is_to_be_told() -> None:
    """It is told once then, as what could not be read at its receipt."""
    hearing = Reader()
    hearing.wants_pushes = True
    channel, era = followed(hearing)
    for number in (100, 101):
        parse(channel, era, number, number == 100)
    hearing.take()
    garbled = said(102).replace(b"buy", b"b\xffy")

    assert channel.keep(garbled, era, 1.0, 1000.0) is False
    assert channel.verify() is None
    assert channel.keep(said(102), era, 1.0, 1000.0) is True
    assert hearing.take() == [said(102).decode()]
    assert [each.id for each in channel.reading.items] == ["101", "102"]


class Beginning(Follower):
    """What an iterator makes want each trade while one is being kept."""

    wants_pushes, wants_data = True, False
    asked = 0

    @property
    def wants_items(self) -> bool:  # type: ignore[override]
        self.asked += 1
        return self.asked > 1


def test_a_trade_that_is_kept_is_no_repeat_for_an_iterator_that_begins_then() -> None:
    beginning = Beginning()
    channel, era = followed(beginning)
    for number in (100, 101):
        parse(channel, era, number, number == 100)
    beginning.take()

    assert channel.keep(said(102), era, 1.0, 1000.0) is True
    assert beginning.take() == [said(102).decode()]
    assert channel.counts["skipped repeat"] == 0


def test_threads_read_while_trades_come() -> None:
    """Each read has the newest trades, in order and without a hole."""
    channel, era = followed(Reader())
    wrong, done = list[Any](), threading.Event()

    def read() -> None:
        while not done.is_set():
            ids = [int(each.id) for each in channel.reading.items]
            if ids != [*range(ids[0], ids[0] + len(ids))] if ids else False:
                wrong.append(ids)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    kept = 0
    try:
        for number in range(100, 3000):
            if number > 101 and channel.keep(said(number), era, 1.0, 1000.0):
                kept += 1
            else:
                parse(channel, era, number, number == 100)
            if not number % 7:
                assert channel.verify() is None
    finally:
        done.set()
        for each in readers:
            each.join()

    assert wrong == []
    assert (kept, channel.reading.newest.id) == (2898, "2999")


def test_kept_trades_are_read_after_the_end(bench: Bench) -> None:
    bench.push(100, 101, 102, 103)
    bench.at(bench.sub.close)
    bench.run()

    assert bench.ids == [101, 102, 103]


def test_candles_are_parsed_at_once(bench: Bench) -> None:
    candles = bench.world.subscribe(feed=bench.feed, channels=("candle60s",))
    for minute in range(1, 5):
        bar = bench.world.dialect.candle(60_000 * minute)
        bench.at(lambda bar=bar: bench.world.peers[-1].send(bar))
    bench.run()

    assert len(candles.candles) == 4
    assert bench.kept == []
