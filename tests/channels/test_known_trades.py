"""The newest trades of a stream are known, parsed or as they came, and bounded."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from okex_ws.base.errors import WireError
from okex_ws.channels.known_trades import (
    KNOWN,
    MOST_KEPT_BYTES,
    KnownTrades,
    UnparsedTrade,
    trade_number,
)
from okex_ws.protocol.messages import TradeData
from okex_ws.protocol.unparsed import Unparsed


def trade(number: int, count: int = 1, price: str = "1") -> TradeData:
    first = str(number - count + 1)
    return TradeData(str(number), first, count, Decimal(price), Decimal(2), "buy", 5000)


class Channel:
    """Reads each push as the trade that a test has for it, and notes the doubts."""

    instrument_id = "BTC-USDT"

    def __init__(self) -> None:
        self.trades: dict[bytes, TradeData] = {}
        self.parsed: list[bytes] = []
        self.doubts = 0

    def parse(self, kept: Unparsed) -> object:
        self.parsed.append(kept.said)
        if kept.said not in self.trades:
            raise WireError("trade", "not a number", "trades:BTC-USDT")
        return self.trades[kept.said]

    def doubt(self) -> None:
        self.doubts += 1


class Bench:
    def __init__(self) -> None:
        self.channel, self.counts = Channel(), Counter[str]()
        self.known = KnownTrades(self.counts, "unread trade")

    def unparsed(
        self, data: TradeData, said: bytes = b"", good: bool = True
    ) -> UnparsedTrade:
        said = said or data.id.encode()
        if good:
            self.channel.trades[said] = data
        number = trade_number(data.id)
        assert number is not None
        stamp = (data.id, number, data.count)
        return UnparsedTrade(self.channel, said, stamp, 1.0, 1000.5, 7)

    def keep(self, number: int, count: int = 1, good: bool = True) -> bool:
        kept = self.unparsed(trade(number, count), good=good)
        return self.known.keep(kept, number)

    @property
    def ids(self) -> list[int]:
        return [int(each) for each in self.known.ids()]


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- One unparsed trade ---------------------------------------------------------------


def test_the_first_read_makes_the_trade_once(bench: Bench) -> None:
    kept = bench.unparsed(trade(12, 3))
    assert bench.channel.parsed == []

    made = kept.trade

    assert made is not None
    assert kept.trade is made
    assert bench.channel.parsed == [b"12"]
    assert (made.instrument_id, made.id, made.first_id) == ("BTC-USDT", "12", "10")
    assert (made.epoch, made.received.timestamp()) == (7, 1000.5)
    assert not made.replayed


def test_what_cannot_be_read_is_no_trade_and_is_doubted(bench: Bench) -> None:
    kept = bench.unparsed(trade(12), good=False)

    assert kept.trade is None
    assert kept.trade is None
    assert bench.channel.doubts == 1
    assert bench.channel.parsed == [b"12"]


def test_what_one_thread_could_not_read_is_read_again(bench: Bench) -> None:
    kept = bench.unparsed(trade(12), good=False)
    assert kept.trade is None
    bench.channel.trades[b"12"] = trade(12)

    assert kept.is_good()
    assert kept.trade is not None


# --- The known trades -----------------------------------------------------------------


def test_a_repeat_equals_in_every_field(bench: Bench) -> None:
    bench.known.add(trade(1))
    bench.keep(2)

    assert trade(1) in bench.known
    assert trade(2) in bench.known
    assert trade(2, price="3") not in bench.known
    assert trade(3) not in bench.known


def test_only_one_of_the_same_id_is_parsed_to_compare(bench: Bench) -> None:
    for number in range(1, 9):
        bench.keep(number)

    assert trade(5) in bench.known
    assert bench.channel.parsed == [b"5"]


def test_what_cannot_be_read_equals_nothing(bench: Bench) -> None:
    bench.keep(5, good=False)

    assert trade(5) not in bench.known
    assert bench.channel.doubts == 1
    assert [kept.id for kept in bench.known.refused()] == ["5"]


@pytest.mark.parametrize(("number", "count"), [(9, 1), (10, 1), (11, 2), (13, 4)])
def test_ids_that_do_not_lie_above_all_are_not_kept(
    bench: Bench, number: int, count: int
) -> None:
    bench.keep(10)

    assert not bench.keep(number, count)
    assert bench.ids == [10]


@pytest.mark.parametrize(("number", "count"), [(11, 1), (12, 2), (90, 1)])
def test_ids_that_lie_above_all_are_kept(bench: Bench, number: int, count: int) -> None:
    bench.keep(10)

    assert bench.keep(number, count)


def test_an_older_higher_id_is_above_until_it_is_forgotten(bench: Bench) -> None:
    """The ids began anew: a trade above the newest one may be a repeat."""
    bench.known.add(trade(10**6))
    bench.known.add(trade(1))
    assert not bench.keep(2)

    for number in range(2, KNOWN + 1):
        bench.known.add(trade(number))
    assert not bench.keep(KNOWN + 1)
    bench.known.add(trade(KNOWN + 1))

    assert bench.keep(KNOWN + 2)


def test_a_trade_that_is_dropped_is_above_no_other(bench: Bench) -> None:
    bench.keep(10)
    absurd = bench.unparsed(trade(10**15), good=False)
    bench.known.keep(absurd, 10**15)
    assert not bench.keep(11)

    bench.known.drop(absurd)
    bench.known.drop(absurd)

    assert bench.ids == [10]
    assert bench.keep(11)
    # Without a word: it is told as one that could not be read.
    assert bench.counts == Counter()


def test_ids_that_are_no_numbers_are_above_nothing(bench: Bench) -> None:
    bench.known.add(TradeData("b5", "b5", 1, Decimal(1), Decimal(2), "buy", 5000))
    bench.keep(3)

    assert list(bench.known.ids()) == ["b5", "3"]


def test_the_number_of_known_trades_is_bounded(bench: Bench) -> None:
    for number in range(1, KNOWN + 3):
        assert bench.keep(number)

    assert len(bench.ids) == KNOWN
    assert bench.ids[0] == 3
    # Those that left were never parsed.
    assert bench.counts == Counter({"unread trade": 2})


def test_a_trade_that_was_read_does_not_leave_unread(bench: Bench) -> None:
    kept = bench.unparsed(trade(1))
    bench.known.keep(kept, 1)
    assert kept.trade is not None

    for number in range(2, KNOWN + 2):
        bench.keep(number)

    assert bench.counts == Counter()


def test_a_trade_that_was_read_is_known_without_its_bytes(bench: Bench) -> None:
    data = trade(1)
    large = bench.unparsed(data, b"1" * MOST_KEPT_BYTES)
    assert bench.known.keep(large, 1)
    assert not bench.keep(2)
    assert large.trade is not None

    bench.known.release(large)
    bench.known.release(large)

    assert bench.keep(2)
    assert bench.ids == [1, 2]
    assert data in bench.known
    assert trade(1, price="3") not in bench.known
    for number in range(3, KNOWN + 2):
        bench.keep(number)
    assert bench.ids[0] == 2
    assert bench.counts == Counter()


def test_a_trade_that_left_unread_is_known_by_its_bytes(bench: Bench) -> None:
    kept = {number: bench.unparsed(trade(number)) for number in (1, 2)}
    bad = bench.unparsed(trade(3), good=False)
    for number, each in [*kept.items(), (3, bad)]:
        bench.known.keep(each, number)
        bench.known.release(each)
    assert bench.channel.parsed == []

    assert trade(2) in bench.known
    assert trade(1, price="3") not in bench.known
    assert trade(1, count=2) not in bench.known
    assert trade(3) not in bench.known
    assert bench.ids == [1, 2, 3]
    for number in range(4, KNOWN + 4):
        bench.known.add(trade(number))
    assert bench.counts == Counter({"unread trade": 3})


def test_one_that_was_found_to_be_none_has_no_id(bench: Bench) -> None:
    bench.keep(1)
    bench.keep(2, good=False)

    assert trade(2) not in bench.known
    assert bench.ids == [1]


def test_the_bytes_of_unparsed_trades_are_bounded(bench: Bench) -> None:
    size = MOST_KEPT_BYTES // 8
    for number in range(1, 9):
        data = trade(number)
        assert bench.known.keep(bench.unparsed(data, b"%d" % number * size), number)
    more = bench.unparsed(trade(9))

    assert not bench.known.keep(more, 9)

    # They leave as others come.
    for number in range(9, KNOWN + 2):
        bench.known.add(trade(number))
    assert bench.known.keep(bench.unparsed(trade(KNOWN + 2)), KNOWN + 2)


@pytest.mark.parametrize(
    ("name", "number"),
    [("0", 0), ("123", 123), ("a1", None), ("", None), ("-1", None), ("1" * 21, None)],
)
def test_an_id_is_a_number_if_it_is_one(name: str, number: int | None) -> None:
    assert trade_number(name) == number
