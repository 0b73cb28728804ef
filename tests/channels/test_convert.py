"""What a script is given, made of what a channel shows: exact, typed and fresh."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.state import NO_CAUSE, State
from okex_ws.channels.convert import (
    iso,
    make_best,
    make_book,
    make_book_update,
    make_candle,
    make_depth,
    make_dict,
    make_funding,
    make_ticker,
    make_trade,
)
from okex_ws.model.book import OrderBook
from okex_ws.model.items import (
    BestBidAsk,
    BookUpdate,
    Candle,
    Depth,
    FundingRate,
    Ticker,
    Trade,
)
from okex_ws.protocol.messages import (
    BookData,
    CandleData,
    DepthData,
    FundingData,
    TickerData,
    TradeData,
)
from okex_ws.trust.verdict import Published

TIME_MS = 1645747201032
STAMP = datetime(2022, 2, 25, 0, 0, 1, 32000, timezone.utc)
RECEIVED = datetime(2022, 2, 25, 0, 0, 1, 500000, timezone.utc)
BIDS = [["10.10", "2", "1"], ["9", "1", "4"]]
ASKS = [["10.20", "1.50", "0", "2"], ["10.3", "5", "0", "1"]]


def shown(data: object) -> Published:
    wall = RECEIVED.timestamp()
    return Published(State.LIVE, NO_CAUSE, 3, None, data, 7.0, wall, 0.25)


def depth(
    bids: list[list[str]] | None = None, asks: list[list[str]] | None = None
) -> Published:
    return shown(
        DepthData(
            BIDS if bids is None else bids, ASKS if asks is None else asks, TIME_MS, 42
        )
    )


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (TIME_MS, "2022-02-25T00:00:01.032Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (999, "1970-01-01T00:00:00.999Z"),
        (1558080000000, "2019-05-17T08:00:00.000Z"),
    ],
)
def test_times_are_written_as_the_exchange_writes_them(time_ms: int, text: str) -> None:
    assert iso(time_ms) == text


@given(st.integers(0, 253402300799999))
def test_no_millisecond_is_rounded_into_another(time_ms: int) -> None:
    moment = datetime.fromisoformat(iso(time_ms).replace("Z", "+00:00"))
    assert round(moment.timestamp() * 1000) == time_ms
    assert iso(time_ms).endswith(f".{time_ms % 1000:03}Z")


def test_the_dict_has_four_keys_and_the_wires_characters() -> None:
    assert make_dict("BTC-USDT", depth(), None) == {
        "instrument_id": "BTC-USDT",
        "asks": ASKS,
        "bids": BIDS,
        "timestamp": "2022-02-25T00:00:01.032Z",
    }


def test_each_dict_is_the_callers_own() -> None:
    source = depth()
    first = make_dict("BTC-USDT", source, None)
    for side in ("asks", "bids"):
        levels = first[side]
        assert isinstance(levels, list)
        levels[0][0] = "0"
        levels.clear()
    assert make_dict("BTC-USDT", source, None)["asks"] == ASKS
    assert BIDS[0][0] == "10.10"


@pytest.mark.parametrize(("levels", "count"), [(1, 1), (2, 2), (9, 2), (None, 2)])
def test_levels_are_the_best_of_each_side(levels: int | None, count: int) -> None:
    made = make_dict("BTC-USDT", depth(), levels)
    assert made["bids"] == BIDS[:count]
    value = make_depth("BTC-USDT", "depth5", depth(), levels)
    assert len(value.bids) == len(value.asks) == count


def test_a_depth_is_the_same_as_an_immutable_value() -> None:
    assert make_depth("BTC-USDT", "depth5", depth(), None) == Depth(
        instrument_id="BTC-USDT",
        bids=tuple(map(tuple, BIDS)),
        asks=tuple(map(tuple, ASKS)),
        timestamp=STAMP,
        received=RECEIVED,
        lag=0.25,
        seq=42,
        epoch=3,
        channel="depth5",
    )
    assert hash(make_depth("BTC-USDT", "depth5", depth(), None))


def test_the_best_are_decimals_of_the_first_level() -> None:
    assert make_best("BTC-USDT", "depth5", depth(), depth().epoch) == BestBidAsk(
        instrument_id="BTC-USDT",
        bid=Decimal("10.10"),
        bid_size=Decimal("2"),
        ask=Decimal("10.20"),
        ask_size=Decimal("1.50"),
        timestamp=STAMP,
        received=RECEIVED,
        lag=0.25,
        seq=42,
        epoch=3,
        channel="depth5",
    )


def test_an_empty_side_is_shown_as_such() -> None:
    empty = depth(bids=[])
    assert make_dict("BTC-USDT", empty, None)["bids"] == []
    assert make_depth("BTC-USDT", "depth5", empty, None).bids == ()
    best = make_best("BTC-USDT", "depth5", empty, 1)
    assert (best.bid, best.bid_size) == (None, None)
    assert best.ask == Decimal("10.2")


def test_a_ticker_is_field_for_field_what_the_wire_said() -> None:
    one, two, three, four, five, six, seven, eight, nine = map(Decimal, range(1, 10))
    data = TickerData(
        Decimal(0), None, one, two, three, four, five, six, seven, eight, nine, TIME_MS
    )
    assert make_ticker("BTC-USDT", shown(data)) == Ticker(
        instrument_id="BTC-USDT",
        last=Decimal(0),
        last_size=None,
        bid=one,
        bid_size=two,
        ask=three,
        ask_size=four,
        open_24h=five,
        high_24h=six,
        low_24h=seven,
        volume_24h=eight,
        volume_ccy_24h=nine,
        timestamp=STAMP,
        received=RECEIVED,
        epoch=3,
    )


def test_a_funding_rate_is_field_for_field_what_the_wire_said() -> None:
    rate, upcoming = Decimal("-0.0001"), Decimal("0.0002")
    data = FundingData(rate, TIME_MS, upcoming, TIME_MS + 1000, TIME_MS + 2000)

    assert make_funding("BTC-USD-SWAP", shown(data)) == FundingRate(
        instrument_id="BTC-USD-SWAP",
        rate=rate,
        funding_time=STAMP,
        next_rate=upcoming,
        next_funding_time=STAMP + timedelta(seconds=1),
        timestamp=STAMP + timedelta(seconds=2),
        received=RECEIVED,
        epoch=3,
    )


def test_what_a_funding_rate_does_not_tell_is_none() -> None:
    item = make_funding(
        "BTC-USD-SWAP", shown(FundingData(Decimal(0), 0, None, None, None))
    )

    assert (item.next_rate, item.next_funding_time, item.timestamp) == (None,) * 3


def test_zero_is_a_time_and_a_rate() -> None:
    item = make_funding("BTC-USD-SWAP", shown(FundingData(*[Decimal(0), 0] * 2, 0)))

    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    times = item.funding_time, item.next_funding_time, item.timestamp
    assert times == (epoch, epoch, epoch)
    assert (item.rate, item.next_rate) == (0, 0)


@pytest.mark.parametrize("replayed", [False, True])
def test_a_trade_is_field_for_field_what_the_wire_said(replayed: bool) -> None:
    data = TradeData("9", "7", 3, Decimal("1.50"), Decimal(2), "sell", TIME_MS)
    wall = RECEIVED.timestamp()

    assert make_trade("BTC-USDT", data, wall, 3, replayed) == Trade(
        instrument_id="BTC-USDT",
        id="9",
        first_id="7",
        count=3,
        price=Decimal("1.50"),
        size=Decimal(2),
        side="sell",
        timestamp=STAMP,
        received=RECEIVED,
        epoch=3,
        replayed=replayed,
    )


@pytest.mark.parametrize("closed", [None, False, True])
def test_a_candle_is_field_for_field_what_the_wire_said(closed: bool | None) -> None:
    one, two, three, four, five, six = map(Decimal, range(1, 7))
    data = CandleData(TIME_MS, one, two, three, four, five, six, None, closed)
    wall = RECEIVED.timestamp()

    assert make_candle("BTC-USDT", "candle60s", data, wall, 3) == Candle(
        instrument_id="BTC-USDT",
        channel="candle60s",
        start=STAMP,
        open=one,
        high=two,
        low=three,
        close=four,
        volume=five,
        volume_ccy=six,
        volume_quote=None,
        closed=closed,
        received=RECEIVED,
        epoch=3,
    )


# --- Whole books --------------------------------------------------------------------

WHOLE = OrderBook((("10.10", "2", "1"), ("9", "1", "4")), (("10.20", "1.50", "2"),))
ROWS = [["10.10", "2", "1"]]


def book(whole: bool) -> Published:
    change = BookData(whole, ROWS, [], TIME_MS, 42, 41, None)
    return shown(DepthData(WHOLE.bids, WHOLE.asks, TIME_MS, 42, change, 9))


def test_a_book_is_the_version_that_is_shown() -> None:
    made = make_book(book(False), "depth")
    assert made == WHOLE
    # Nothing is copied of what never changes.
    assert made.bids is WHOLE.bids


@pytest.mark.parametrize(
    ("whole", "follows", "action"),
    [
        (False, True, "update"),
        (False, False, "snapshot"),
        (True, True, "snapshot"),
        (True, False, "snapshot"),
    ],
)
def test_a_book_update_is_the_change_or_the_whole_book(
    whole: bool, follows: bool, action: str
) -> None:
    everything = action == "snapshot"
    assert make_book_update("BTC-USDT", "depth", book(whole), follows) == BookUpdate(
        instrument_id="BTC-USDT",
        action=action,
        bids=WHOLE.bids if everything else (("10.10", "2", "1"),),
        asks=WHOLE.asks if everything else (),
        book=WHOLE,
        timestamp=STAMP,
        received=RECEIVED,
        lag=0.25,
        seq=42,
        epoch=3,
        channel="depth",
    )


def test_a_book_update_is_immutable_and_its_book_is_not_printed_with_it() -> None:
    made = make_book_update("BTC-USDT", "depth", book(False), True)
    assert hash(made)
    assert "OrderBook" not in repr(made)


def test_a_depth_and_the_best_are_made_of_a_whole_book_too() -> None:
    assert make_depth("BTC-USDT", "depth", book(False), 1).bids == WHOLE.bids[:1]
    assert make_dict("BTC-USDT", book(False), 1)["bids"] == ROWS
    assert make_best("BTC-USDT", "depth", book(False), 1).ask_size == Decimal("1.50")
