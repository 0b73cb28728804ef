"""Spreads end to end: read, spoiled, recorded and replayed; prices cross zero."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okex_ws import (
    BestBidAsk,
    BookUpdate,
    Candle,
    ChecksumMismatch,
    Depth,
    Feed,
    Recorder,
    Replay,
    SequenceGap,
    State,
    Ticker,
    Timeouts,
    Trade,
    WSSubscription,
)
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.local_exchange import LocalExchange
from okex_ws.local_exchange.market.market import SyntheticMarket
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.rest import Rest
from tests.support.capture_files import write
from tests.support.merged_book import Merged

ID = "BTC-USDT_BTC-USDT-SWAP"
BOOK = f"sprd-books-l2-tbt:sprdId={ID}"
TRADES = f"sprd-public-trades:sprdId={ID}"
# Seconds that nothing here takes.
PATIENCE = 20.0
WALL = 1_700_000_000.0


# --- The market ---------------------------------------------------------------------


@pytest.mark.once
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1 << 32), levels=st.sampled_from([25, 400]))
def test_a_book_that_crosses_zero_is_the_exchanges_after_each_message(
    seed: int, levels: int
) -> None:
    market = SyntheticMarket(seed, [ID], pace=300.0)
    first = market.present(BOOK, WALL)
    assert first
    wire = PROTOCOL.reader(PROTOCOL.channel("depth_l2_tbt", "spread", ID))
    merged, builder = Merged(), BookBuilder(spread=True)
    pushes = [first, *market.advance(0.2, WALL + 1, {BOOK})]
    for each in pushes:
        merged.take(each.text)
        (push,) = PROTOCOL.read(each.text.encode())
        assert isinstance(push, Push)
        bids, asks = builder.take(wire.book(push.elements[0], push.action, push.exact))
        assert (bids[:levels], asks[:levels]) == tuple(
            side[:levels] for side in merged.book
        )
    assert merged.flaws == []
    assert len(pushes) > 20
    assert {len(row) for row in (*bids, *asks)} == {3}
    assert any(Decimal(row[0]) < 0 for row in bids)
    assert any(Decimal(row[0]) >= 0 for row in (*bids, *asks))
    assert len(str(merged.seq)) == 19


def test_one_changed_digit_is_seen_by_the_checksum() -> None:
    market = SyntheticMarket(3, [ID])
    first = market.present(BOOK, WALL)
    assert first
    size = first.element["bids"][0][1]
    other = f"{size[:-1]}{(int(size[-1]) + 1) % 10}"
    (push,) = PROTOCOL.read(first.text.replace(f'"{size}"', f'"{other}"').encode())
    assert isinstance(push, Push)

    with pytest.raises(ChecksumMismatch):
        BookBuilder(spread=True).take(PROTOCOL.book(push.elements[0], push.action))


def test_trades_of_a_spread_come_one_by_one_and_without_a_count() -> None:
    market = SyntheticMarket(3, [ID], pace=300.0)
    assert market.present(TRADES, WALL)
    pushes = [*market.advance(5.0, WALL + 1, {TRADES})]

    assert len(pushes) > 20
    elements = [each.elements for each in pushes]
    assert {len(each) for each in elements} == {1}
    ids = [int(each[0]["tradeId"]) for each in elements]
    assert ids == sorted(set(ids))
    assert {len(str(each)) for each in ids} == {19}
    names = {"sprdId", "tradeId", "px", "sz", "side", "ts"}
    assert all(each[0].keys() == names for each in elements)
    assert any(each[0]["px"].startswith("-") for each in elements)


# --- A subscription -----------------------------------------------------------------


@pytest.fixture
def exchange() -> Iterator[LocalExchange]:
    with LocalExchange(instruments=[ID, "BTC-USDT"], pace=100, interval=0.02) as one:
        yield one


def test_a_spread_has_the_same_surface_as_any_instrument(
    exchange: LocalExchange,
) -> None:
    items: list[Any] = []
    kinds = {Depth, BookUpdate, Trade, Ticker, Candle}
    every = threading.Event()

    def take(item: Any) -> None:
        items.append(item)
        if kinds <= {type(each) for each in items}:
            every.set()

    with WSSubscription(
        ID,
        venue=exchange.venue_v5,
        channels=["depth5", "sprd-books-l2-tbt", "trade", "sprd-tickers", "candle60s"],
        on_item=take,
    ) as sub:
        sub.wait_live(PATIENCE)
        assert every.wait(PATIENCE)
        assert sub.market == "spread"
        depth, best, book = sub.GetDepth(levels=3), sub.best_bid_ask(), sub.book
        trade, ticker = sub.trades[-1], sub.latest("ticker")

    assert depth.keys() == {"instrument_id", "asks", "bids", "timestamp"}
    assert depth["instrument_id"] == ID
    assert {len(row) for row in (*depth["bids"], *depth["asks"])} == {3}
    assert isinstance(best, BestBidAsk)
    assert (best.seq or 0) > 1 << 60
    assert book is not None
    assert (book.spread or 0) > 0
    assert (trade.instrument_id, trade.count, trade.replayed) == (ID, 1, False)
    assert isinstance(ticker, Ticker)
    assert ticker.volume_ccy_24h is None
    added = None
    for item in items:
        if isinstance(item, BookUpdate):
            if item.action == "update":
                assert added is not None
                added = added.apply(item.action, item.bids, item.asks)
                assert added == item.book
            added = item.book


def test_an_isolated_feed_reads_a_spread(exchange: LocalExchange) -> None:
    with (
        Feed(exchange.venue_v5, isolate=True) as feed,
        WSSubscription(ID, feed=feed, channels=["depth5", "depth_l2_tbt"]) as sub,
    ):
        sub.wait_live(PATIENCE)
        exchange.pace = 0
        assert exchange.wait_for(lambda: sub.book == exchange.book(BOOK).book, PATIENCE)
        depth = sub.depth(levels=400)
    assert depth.seq == exchange.book(BOOK).seq


@pytest.mark.parametrize("channels", [["depth"], ["books"], ["trades-all"]])
def test_what_a_spread_lacks_is_refused_at_once(
    exchange: LocalExchange, channels: list[str]
) -> None:
    with pytest.raises(ValueError, match="market 'spread' has no channel"):
        WSSubscription(ID, venue=exchange.venue_v5, channels=channels)


def test_no_market_but_its_own_and_no_other_protocol(exchange: LocalExchange) -> None:
    with pytest.raises(ValueError, match="an id of market 'spread', not of 'swap'"):
        WSSubscription(ID, "swap", venue=exchange.venue_v5)
    with pytest.raises(ValueError, match="has no market 'spread'"):
        WSSubscription(ID, venue=exchange.venue)
    for other in ("BTC-USD_UM-SWAP", "BTC-USD_UM_XPERP-310404", "BTC-USDT"):
        with pytest.raises(ValueError, match="'spread'"):
            WSSubscription(other, "spread", venue=exchange.venue_v5)
    with pytest.raises(ValueError, match="of market 'spread'"):
        WSSubscription("BTC-USDT", venue=exchange.venue_v5, channels=["sprd-books5"])


def test_trades_of_a_spread_have_no_joined_past(exchange: LocalExchange) -> None:
    with pytest.raises(ValueError, match="trades of a spread: the exchange has only"):
        WSSubscription(ID, venue=exchange.venue_v5, channels=["trade"], history=5)


def test_candles_of_a_spread_are_joined_to_their_past(exchange: LocalExchange) -> None:
    with WSSubscription(
        ID, venue=exchange.venue_v5, channels=["candle60s"], history=400
    ) as sub:
        assert exchange.wait_for(lambda: len(sub.candles) > 400, PATIENCE)
        starts = [each.start.timestamp() for each in sub.candles]
    assert {b - a for a, b in pairwise(starts)} == {60.0}


# --- Faults -------------------------------------------------------------------------

# What breaks the proof of a spread's book, and the error that tells of it.
BREAKS: dict[str, type[Exception] | None] = {
    "lose": SequenceGap,
    "flip": ChecksumMismatch,
    "repeat": SequenceGap,
    "reorder": SequenceGap,
    "gap": SequenceGap,
    "negative": None,
    "retire": ChecksumMismatch,
}


@pytest.mark.parametrize("how", [*BREAKS, "reset", "second snapshot"])
def test_a_fault_of_a_spreads_book_is_found_and_mended(
    exchange: LocalExchange, how: str
) -> None:
    errors: list[Exception] = []
    states: list[State] = []
    broke = threading.Event()

    def told(change: Any) -> None:
        states.append(change.new)
        if change.new is State.RESYNCING:
            broke.set()

    with WSSubscription(
        ID,
        venue=exchange.venue_v5,
        channels=["depth_l2_tbt"],
        on_error=errors.append,
        on_state=told,
    ) as sub:
        sub.wait_live(PATIENCE)
        exchange.spoil(BOOK, how)
        if how in BREAKS:
            assert broke.wait(PATIENCE)
        else:
            before = len(exchange.pushed(BOOK))
            assert exchange.wait_for(
                lambda: len(exchange.pushed(BOOK)) > before + 20, PATIENCE
            )
        exchange.heal()
        sub.wait_live(PATIENCE)
        exchange.pace = 0
        assert exchange.wait_for(lambda: sub.book == exchange.book(BOOK).book, PATIENCE)
        resyncs = sub.stats().resyncs

    assert bool(resyncs) is (how in BREAKS)
    expected = BREAKS.get(how)
    if expected is not None:
        assert Counter(type(each) for each in errors)[expected] >= 1


def test_a_book_without_a_snapshot_is_asked_for_again(exchange: LocalExchange) -> None:
    exchange.spoil(BOOK, "no snapshot")
    with WSSubscription(
        ID,
        venue=exchange.venue_v5,
        channels=["depth_l2_tbt"],
        timeouts=Timeouts(first_push=0.3),
    ) as sub:
        sub.wait_live(PATIENCE)
        assert sub.book is not None


@pytest.mark.parametrize("how", ["order", "field", "case", "event"])
def test_a_true_message_in_other_words_is_no_price(
    exchange: LocalExchange, how: str
) -> None:
    with WSSubscription(
        ID, venue=exchange.venue_v5, channels=["depth5", "depth_l2_tbt"]
    ) as sub:
        sub.wait_live(PATIENCE)
        exchange.reword(BOOK, how, 3)
        exchange.wait_for(lambda: sub.stats().messages > 50, PATIENCE)
        exchange.heal()
        sub.wait_live(PATIENCE)
        exchange.pace = 0
        assert exchange.wait_for(lambda: sub.book == exchange.book(BOOK).book, PATIENCE)


# --- Recorded and replayed ----------------------------------------------------------


def test_a_replay_of_a_spread_gives_what_was_recorded(
    exchange: LocalExchange, tmp_path: Path
) -> None:
    path = tmp_path / "spread.rec.gz"
    channels = ["depth5", "depth_l2_tbt", "trade", "ticker"]
    recorder = Recorder(path)
    with Feed(exchange.venue_v5, recorder=recorder) as feed:
        sub = WSSubscription(ID, feed=feed, channels=channels)
        sub.wait_live(PATIENCE)
        assert exchange.wait_for(lambda: len(sub.trades) > 3, PATIENCE)
        trades = sub.trades
    recorder.close(None)

    seen: list[Any] = []
    with Replay(path, speed="max") as replay:
        assert replay.instruments[0][:2] == ("spread", ID)
        feed = replay.feed()
        again = WSSubscription(ID, feed=feed, channels=channels)
        seen.extend(again.book for _ in replay)
        replayed = again.trades
    ids = [each.id for each in replayed]
    assert ids[: len(trades)] == [each.id for each in trades]
    books = [book for book in seen if book is not None]
    assert len({book.mid for book in books}) > 1
    assert all(book.spread is None or book.spread > 0 for book in books)


def test_a_capture_of_a_spread_is_a_market(tmp_path: Path) -> None:
    market = SyntheticMarket(3, [ID], pace=100.0)
    first = market.present(BOOK, WALL)
    assert first
    pushes = [first, *market.advance(2.0, WALL + 1, {BOOK})]
    texts = [each.text for each in pushes]
    capture = write(tmp_path / "spread", texts, v5=True)
    channels = ["depth5", "depth_l2_tbt"]  # the first one is made of the second

    with LocalExchange(capture=capture, speed=1000, repeat=True) as exchange:
        assert exchange.instruments == (("spread", ID),)
        with WSSubscription(ID, venue=exchange.venue_v5, channels=channels) as sub:
            sub.wait_live(PATIENCE)
            assert sub.GetDepth(levels=1)["asks"]
            assert sub.book is not None


# --- REST ---------------------------------------------------------------------------


def test_rest_has_the_spreads_their_book_and_their_past(
    exchange: LocalExchange,
) -> None:
    exchange.pace = 0
    with Rest(exchange.venue_v5) as rest:
        (listed,) = rest.instruments("spread")
        book = rest.book(ID, levels=7)
        trades = rest.trades(ID, limit=900)
        candles = rest.candles(ID, None, "candle1m", limit=310)
        older = rest.trades(ID, before_id=trades[100].id, limit=50)

    assert (listed.instrument_id, listed.market, listed.base) == (ID, "spread", "BTC")
    assert listed.legs == (("BTC-USDT", "sell"), ("BTC-USDT-SWAP", "buy"))
    worth = Decimal(1), "BTC"
    assert (listed.contract_value, listed.contract_currency) == worth
    assert (len(book.bids), len(book.asks), book.seq) == (7, 7, None)
    assert {len(row) for row in (*book.bids, *book.asks)} == {3}
    assert book.bids[0][0].startswith("-")
    assert len(trades) == 500  # the exchange has no older ones
    assert [each.id for each in older] == [each.id for each in trades[50:100]]
    assert any(each.price < 0 for each in trades)
    assert {each.count for each in trades} == {1}
    assert len(candles) == 310
    assert {each.closed for each in candles} == {True}
    assert {each.volume_ccy for each in candles} == {None}


def test_a_spread_is_no_instrument_of_the_other_rest_paths(
    exchange: LocalExchange,
) -> None:
    with Rest(exchange.venue_v5) as rest:
        assert [each.instrument_id for each in rest.instruments("spot")] == ["BTC-USDT"]
        with pytest.raises(ValueError, match="'spread'"):
            rest.candles(ID, None, "mark-price-candle1m")
    assert ("spread", ID) in exchange.instruments
