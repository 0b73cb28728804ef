"""One instrument: a real book that never crosses, whose trades take its liquidity."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby, pairwise

import pytest

from okex_ws.local_exchange import INSTRUMENTS, Instrument
from okex_ws.local_exchange.market.bars import BARS, TRADES
from okex_ws.local_exchange.market.instrument_market import (
    BOOKS,
    FUNDING_INTERVAL,
    LEVELS,
    InstrumentMarket,
    TopicValue,
)
from okex_ws.local_exchange.wire.values import (
    Best,
    Change,
    Deal,
    Period,
    Row,
    Summary,
    Topic,
)
from tests.support.internals import best_rows_of, sides_of

SPOT, SWAP, OPTION = INSTRUMENTS[0], INSTRUMENTS[4], INSTRUMENTS[-1]
TOPICS: tuple[Topic, ...] = ("depth5", "bbo", "trade", "trades", "ticker", "mark")


def prices(rows: list[Row]) -> list[Decimal]:
    return [Decimal(row[0]) for row in rows]


def book(instrument_market: InstrumentMarket) -> dict[str, dict[int, int]]:
    """Every price of the whole book with its size, in ticks and lots."""
    return {
        name: {price: lots for price, (lots, _) in side.resting.items()}
        for name, side in zip(
            ("bids", "asks"), sides_of(instrument_market), strict=True
        )
    }


def stepped(
    instrument_market: InstrumentMarket, steps: int, topics: tuple[Topic, ...] = TOPICS
) -> list[TopicValue]:
    return [
        said
        for step in range(steps)
        for said in instrument_market.step(float(step), topics)
    ]


def said_of(said: list[TopicValue], topic: Topic) -> list[Deal]:
    return [value for named, value in said if named == topic]


@pytest.mark.parametrize("instrument", INSTRUMENTS, ids=lambda i: i.instrument_id)
def test_a_book_never_crosses_and_its_levels_are_sorted(instrument: Instrument) -> None:
    instrument_market = InstrumentMarket(instrument, 1, 0.0)
    for step in range(800):
        instrument_market.step(float(step), ())
        whole = book(instrument_market)
        if whole["bids"] and whole["asks"]:
            assert max(whole["bids"]) < min(whole["asks"])
        for name, side in zip(
            ("bids", "asks"), sides_of(instrument_market), strict=True
        ):
            assert side.prices == sorted(whole[name])
        assert all(lots > 0 for side in whole.values() for lots in side.values())


def test_a_liquid_book_keeps_some_hundred_levels() -> None:
    instrument_market = InstrumentMarket(SPOT, 2, 0.0)
    for step in range(3000):
        instrument_market.step(float(step), ())
        for side in book(instrument_market).values():
            assert LEVELS / 3 < len(side) <= 2 * LEVELS


def test_a_thin_book_has_an_empty_side_at_times_and_recovers() -> None:
    instrument_market = InstrumentMarket(OPTION, 3, 0.0)
    empty = []
    for step in range(5000):
        instrument_market.step(float(step), ())
        empty.append(not all(book(instrument_market).values()))

    assert any(empty)
    assert not all(empty)


def test_trades_take_what_rests_best_price_first() -> None:
    instrument_market = InstrumentMarket(SPOT, 4, 0.0)
    lot, tick = Decimal(SPOT.lot), Decimal(SPOT.tick)
    seen = 0
    for step in range(2000):
        before = book(instrument_market)
        said = said_of(instrument_market.step(float(step), ()), "trades")
        # What is taken of retail price improvement rests beside the book.
        trades = [each for each in said if not each.rpi]
        if not trades:
            continue
        seen += 1
        side = "asks" if trades[0].side == "buy" else "bids"
        after = book(instrument_market)[side]
        best_first = sorted(before[side], reverse=side == "bids")
        for trade, price in zip(trades, best_first, strict=False):
            lots = Decimal(trade.size) / lot
            assert Decimal(trade.price) / tick == price
            assert after.get(price, 0) == before[side][price] - lots
    assert seen > 100


def test_the_trades_of_a_taker_at_one_price_are_its_matches_together() -> None:
    said = stepped(InstrumentMarket(SPOT, 4, 0.0), 2000)
    matches = said_of(said, "trade")
    together = said_of(said, "trades")

    assert [deal.id for deal in matches] == list(
        range(matches[0].id, matches[0].id + len(matches))
    )
    assert max(deal.matches for deal in together) > 1
    assert all(deal.matches == 1 for deal in matches)
    for deal in together:
        mine = [m for m in matches if deal.id - deal.matches < m.id <= deal.id]
        assert len(mine) == deal.matches
        assert sum(Decimal(m.size) for m in mine) == Decimal(deal.size)
        assert all(Decimal(m.size) > 0 for m in mine)
        assert {(m.price, m.side, m.at, m.seq) for m in mine} == {
            (deal.price, deal.side, deal.at, deal.seq)
        }


def test_the_same_seed_gives_the_same_market_and_another_one_another() -> None:
    assert stepped(InstrumentMarket(SPOT, 5, 0.0), 300) == stepped(
        InstrumentMarket(SPOT, 5, 0.0), 300
    )
    assert stepped(InstrumentMarket(SPOT, 5, 0.0), 300) != stepped(
        InstrumentMarket(SPOT, 6, 0.0), 300
    )


def test_every_change_of_a_book_has_a_number_of_its_own() -> None:
    instrument_market = InstrumentMarket(SPOT, 7, 0.0)
    changes = []
    for step in range(500):
        before = instrument_market.seq, book(instrument_market)
        instrument_market.step(float(step), ())
        changes.append(
            (instrument_market.seq > before[0], book(instrument_market) != before[1])
        )

    assert all(grew == changed for grew, changed in changes)
    assert (True, True) in changes


def test_what_is_said_has_the_number_of_its_book_and_never_an_older_one() -> None:
    instrument_market, numbers = InstrumentMarket(SPOT, 7, 0.0), []
    for step in range(500):
        said = instrument_market.step(float(step), TOPICS) + instrument_market.sample(
            float(step), TOPICS
        )
        numbers += [value.seq for _, value in said if isinstance(value, (Best, Deal))]
        bests = {value.seq for topic, value in said if topic == "depth5"}
        assert bests <= {instrument_market.seq}

    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 100


def test_what_is_said_is_the_top_of_the_book() -> None:
    instrument_market = InstrumentMarket(SPOT, 7, 0.0)
    stepped(instrument_market, 200)
    changed = dict(instrument_market.sample(1.0, TOPICS))
    depth5, ticker, mark = (changed[topic] for topic in ("depth5", "ticker", "mark"))
    tick, lot = Decimal(SPOT.tick), Decimal(SPOT.lot)
    whole = book(instrument_market)

    assert prices(depth5.asks) == [p * tick for p in sorted(whole["asks"])[:5]]
    assert prices(depth5.bids) == [p * tick for p in sorted(whole["bids"])[:-6:-1]]
    best = depth5.bids[0]
    assert Decimal(best[1]) == whole["bids"][max(whole["bids"])] * lot
    assert all(len(row[0].partition(".")[2]) == 1 for row in depth5.asks)
    assert (ticker.bid, ticker.bid_size) == tuple(best[:2])
    assert ticker.ask == depth5.asks[0][0]
    assert ticker.last == instrument_market.present("trade", 1.0).price
    assert Decimal(mark.price) == sum(prices([best, depth5.asks[0]])) / 2
    assert instrument_market.present("depth5", 2.0) == depth5
    assert instrument_market.present("bbo", 2.0)[:2] == (
        depth5.asks[:1],
        depth5.bids[:1],
    )


def test_the_best_bid_and_ask_are_said_at_once_and_only_when_they_change() -> None:
    instrument_market = InstrumentMarket(SPOT, 7, 0.0)
    last = instrument_market.present("bbo", 0.0)
    bests = said_of(stepped(instrument_market, 500), "bbo")

    assert 20 < len(bests) < 400
    for best in bests:
        assert best[:2] != last[:2]
        assert best.seq > last.seq
        last = best
    assert instrument_market.present("bbo", 999.0) == last
    assert said_of(stepped(instrument_market, 200, ("trade",)), "bbo") == []


def test_nothing_is_said_twice_or_unasked() -> None:
    instrument_market = InstrumentMarket(SPOT, 7, 0.0)

    assert instrument_market.sample(1.0, TOPICS) == []
    stepped(instrument_market, 200)
    assert instrument_market.sample(2.0, ()) == []


def test_an_empty_side_has_neither_price_nor_size() -> None:
    instrument_market = InstrumentMarket(OPTION, 3, 0.0)
    _, asks = sides_of(instrument_market)
    while asks.prices:
        instrument_market.step(0.0, ())
    instrument_market.sample(1.0, ())
    ticker: Summary = instrument_market.present("ticker", 1.0)

    assert instrument_market.present("depth5", 1.0).asks == []
    assert (ticker.ask, ticker.ask_size) == ("", "")
    assert ticker.bid
    assert instrument_market.present("mark", 1.0).price


def test_the_trade_before_the_opening_is_an_old_one() -> None:
    instrument_market = InstrumentMarket(SPOT, 0, 7200.0)

    assert instrument_market.present("trade", 7200.0).at == 3600.0
    assert instrument_market.present("trades", 7200.0) == instrument_market.present(
        "trade", 7200.0
    )


def test_prices_stay_above_zero() -> None:
    instrument_market = InstrumentMarket(
        Instrument("spot", "SHIB-USDT", "3", "1"), 0, 0.0
    )
    bids, _ = sides_of(instrument_market)
    for step in range(2000):
        instrument_market.step(float(step), ())
        assert all(price > 0 for price in bids.prices)


@pytest.mark.parametrize("instrument", [SPOT, SWAP])
def test_a_candle_is_the_trades_of_its_time(instrument: Instrument) -> None:
    instrument_market, period = InstrumentMarket(instrument, 8, 600.0), Period(60)
    opening = instrument_market.present(period, 600.0)
    said: list[TopicValue] = []
    for tenth in range(700):
        wall = 600.0 + tenth / 10
        said += instrument_market.step(wall, TOPICS) + instrument_market.sample(
            wall, TOPICS
        )
    (closed,) = [value for t, value in said if t == period and value.closed]
    trades = [deal for deal in said_of(said, "trade") if deal.at < 660.0]
    sizes = [Decimal(deal.size) for deal in trades]
    value = sum(Decimal(d.price) * s for d, s in zip(trades, sizes, strict=True))

    levels = [Decimal(each) for each in (opening.open, *(d.price for d in trades))]

    assert (Decimal(opening.volume), opening.closed) == (0, False)
    assert (closed.start, closed.close) == (600, trades[-1].price)
    assert (Decimal(closed.high), Decimal(closed.low)) == (max(levels), min(levels))
    assert Decimal(closed.volume) == sum(sizes)
    assert Decimal(closed.volume_quote) == value
    assert Decimal(closed.volume_ccy) == (value if instrument is SPOT else sum(sizes))


def test_a_funding_rate_is_said_once_a_minute() -> None:
    instrument_market = InstrumentMarket(SWAP, 0, 90_000.0)
    said = [
        (wall, value)
        for wall in range(90_000, 90_200, 10)
        for _, value in instrument_market.sample(float(wall), ("funding",))
    ]
    rates = [value.rate for _, value in said]

    assert [wall for wall, _ in said] == [90_060, 90_120, 90_180]
    assert [rate for rate, _ in groupby(rates)] == rates
    funding = instrument_market.present("funding", 90_200.0)
    assert funding == said[-1][1]
    assert funding.time == 4 * FUNDING_INTERVAL
    assert funding.next_time - funding.time == FUNDING_INTERVAL


def test_a_book_is_said_only_if_somebody_asked_for_it_and_its_topic_is_wanted() -> None:
    instrument_market = InstrumentMarket(SPOT, 7, 0.0)
    every: tuple[Topic, ...] = (*TOPICS, *BOOKS)
    assert {
        topic for topic, _ in stepped(instrument_market, 50, every)
    } & BOOKS.keys() == set()
    for topic in BOOKS:
        instrument_market.present(topic, 50.0)
    said = [
        topic
        for topic, _ in stepped(instrument_market, 50, every)
        + instrument_market.sample(50.0, every)
    ]
    assert set(said) >= BOOKS.keys()
    assert said.count("book") == 1
    assert {
        topic for topic, _ in stepped(instrument_market, 50)
    } & BOOKS.keys() == set()


@pytest.mark.once
def test_all_books_have_the_number_and_the_levels_of_the_market() -> None:
    instrument_market = InstrumentMarket(SPOT, 7, 0.0)
    for topic in BOOKS:
        instrument_market.present(topic, 0.0)
    for step in range(300):
        said = dict(instrument_market.step(float(step), (*TOPICS, *BOOKS)))
        said |= dict(instrument_market.sample(float(step), (*TOPICS, *BOOKS)))
        for topic, count in BOOKS.items():
            if topic in said:
                assert said[topic].seq == instrument_market.seq
            if topic in said and topic != "book rpi":
                whole = instrument_market.present(topic, 0.0)
                assert (whole.bids, whole.asks) == best_rows_of(
                    instrument_market, count
                )


def test_a_tiny_price_and_size_have_all_their_digits() -> None:
    tiny = Instrument("spot", "X-Y", "0.00000009", "0.00000001", "0.00000001")
    whole: Change = InstrumentMarket(tiny, 0, 0.0).present("book", 0.0)

    for price, size, _ in (*whole.bids, *whole.asks):
        assert f"{Decimal(price):.8f}" == price
        assert f"{Decimal(size):.8f}" == size


def test_every_trade_is_remembered_behind_a_past_of_its_own() -> None:
    instrument_market = InstrumentMarket(SPOT, 5, 1_700_000_000.0)
    said = said_of(stepped(instrument_market, 3000), "trade")
    everything = instrument_market.trades_before(None, 10_000)

    assert everything[: len(said)] == said[::-1]
    newest = everything[0].id
    assert [deal.id for deal in everything] == list(
        range(newest, newest - len(everything), -1)
    )
    assert len(everything) == len(said) + 1 + TRADES
    for begin, count in ((newest + 5, 3), (newest - 10, 7), (said[0].id, 40)):
        assert [
            deal.id for deal in instrument_market.trades_before(begin, count)
        ] == list(range(min(newest, begin - 1), min(newest, begin - 1) - count, -1))
    assert instrument_market.trades_before(everything[-1].id, 5) == []


def test_what_was_forgotten_leaves_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "okex_ws.local_exchange.market.instrument_market.KEPT_TRADES", 50
    )
    instrument_market = InstrumentMarket(SPOT, 5, 1_700_000_000.0)
    stepped(instrument_market, 1000)

    ids = [deal.id for deal in instrument_market.trades_before(None, 10_000)]
    assert ids == list(range(ids[0], ids[0] - 50, -1))


def test_bars_are_those_that_were_said_behind_a_past_of_their_own() -> None:
    instrument_market, period = InstrumentMarket(SPOT, 5, 1_700_000_000.0), Period(60)
    instrument_market.present(period, 1_700_000_000.0)
    said = []
    for second in range(400):
        wall = 1_700_000_000.0 + second
        instrument_market.step(wall, ())
        said += [
            bar for _, bar in instrument_market.sample(wall, (period,)) if bar.closed
        ]
    first, *others = instrument_market.candles(period, wall)

    assert not first.closed
    assert others[: len(said)] == said[::-1]
    assert all(older.close == newer.open for newer, older in pairwise([first, *others]))
    assert len(others) == len(said) + BARS


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("price", "tick", "thin"),
    [("60000.0", "0.1", False), ("100.00", "0.01", False), ("0.0500", "0.0005", True)],
)
def test_an_instrument_opens_at_its_price(
    seed: int, price: str, tick: str, thin: bool
) -> None:
    traded = Instrument("spot", "A-B", price, tick, "1", thin)
    market = InstrumentMarket(traded, seed, 1_700_000_000.0)

    best = market.present("depth5", 1_700_000_000.0)
    asks, bids = prices(best.asks), prices(best.bids)
    assert (asks[0] + bids[0]) / 2 == Decimal(price)
    assert market.present("ticker", 1_700_000_000.0).last == price
