"""The typed items of v5: exact where they are right, and else refused."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.protocol.messages import CandleData, DepthData, FundingData
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.protocol.values import epoch_ms, integer, whole
from tests.support.v5_frames import (
    BOOKS5,
    CANDLE,
    FUNDING,
    TICKERS,
    TRADES,
    element,
    push,
    refusal,
)

# --- Whole books --------------------------------------------------------------------

WRITINGS = (
    *("7", "0", "007", "-1", "-0", "-", "", "1_0", " 7", "+7", "1.0", "1e3", "٣"),
    *("9" * 20, "9" * 21, None, 7, True, 7.0, ["7"], {"7": "7"}),
)
TIMES = (
    *("1786541241006", "0786541241006", "178654124100", "17865412410060", "", None),
    *(1786541241006, "178654124100٣", "1_86541241006", "-786541241006"),
)


def test_the_numbers_of_a_book_are_read_together_as_they_are_one_by_one() -> None:
    read = 0
    for seq, before, at in product(WRITINGS, WRITINGS, TIMES):
        element = {"bids": [], "asks": [], "seqId": seq, "prevSeqId": before, "ts": at}
        try:
            right = seq if type(seq) is int else whole(seq), integer(before)
            expected = (epoch_ms(at), *right)
        except ValueError:
            with pytest.raises(WireError):
                PROTOCOL.book(element, "update")
        else:
            data = PROTOCOL.book(element, "update")
            given = (data.time_ms, data.seq, data.prev_seq)
            assert given == expected
            assert list(map(type, given)) == list(map(type, expected))
            read += 1
    assert read > 30


# --- Depths -------------------------------------------------------------------------


def test_a_snapshot_keeps_the_wires_characters() -> None:
    assert PROTOCOL.depth(element(BOOKS5)) == DepthData(
        bids=[["10.1", "2", "0", "1"], ["9", "1", "0", "4"]],
        asks=[["10.2", "1", "0", "2"], ["10.30", "0.5", "0", "1"]],
        time_ms=1786541241006,
        seq=333794734980,
    )


def test_a_snapshot_before_2022_had_no_sequence() -> None:
    without = element(BOOKS5)
    del without["seqId"]

    assert PROTOCOL.depth(without).seq is None


@pytest.mark.parametrize(
    "changes",
    [
        *({"ts": value} for value in ("", None, "1786541241", "2022-02-25", [], True)),
        *({"seqId": value} for value in ("-1", "1.5", "x", [], True, "9" * 21)),
        *({side: None} for side in ("bids", "asks")),
        {"asks": [["10.30", "1", "0", "1"], ["10.2", "1", "0", "1"]]},
        {"bids": [["9", "1", "0", "1"], ["9.0", "1", "0", "1"]]},
        {"asks": [["10.2", "0", "0", "1"]]},
        {"asks": [["10.2", "1"]]},
    ],
    ids=repr,
)
def test_a_snapshot_that_cannot_be_is_a_wire_error(changes: dict[str, Any]) -> None:
    error = refusal(PROTOCOL.depth, element(BOOKS5, **changes))

    assert (error.kind, error.channel) == ("depth", None)


# --- Trades -------------------------------------------------------------------------


def test_a_push_of_several_trades_counts_them() -> None:
    trade = PROTOCOL.trade(element(TRADES))

    assert (trade.first_id, trade.id, trade.count) == ("2832749633", "2832749635", 3)
    assert (str(trade.price), trade.size) == ("63913.50", Decimal(1))
    assert (trade.side, trade.time_ms) == ("buy", 1786540435948)


def test_a_trade_before_2022_was_one() -> None:
    without = element(TRADES)
    del without["count"]

    trade = PROTOCOL.trade(without)

    assert (trade.first_id, trade.id, trade.count) == ("2832749635", "2832749635", 1)


@pytest.mark.parametrize(
    "changes",
    [
        *({"count": value} for value in ("0", "-1", "1.5", "1000001", "x", [], True)),
        {"tradeId": "1", "count": "3"},
        *({"tradeId": value} for value in ("", "a b", None, [], "x" * 65)),
        *({"side": value} for value in ("", "BUY", None, [])),
        *({"px": value} for value in ("", "0", "-1", "x", None)),
        *({"sz": value} for value in ("", "0", "-1", "x", None)),
        *({"ts": value} for value in ("", "0", None)),
    ],
    ids=repr,
)
def test_a_trade_that_cannot_be_is_a_wire_error(changes: dict[str, Any]) -> None:
    assert refusal(PROTOCOL.trade, element(TRADES, **changes)).kind == "trade"


# --- Tickers ------------------------------------------------------------------------


def test_a_ticker_is_exact() -> None:
    ticker = PROTOCOL.ticker(element(TICKERS))

    assert str(ticker.last) == "5.123"
    assert (ticker.last_size, ticker.bid, ticker.bid_size) == (
        *(Decimal(100), Decimal("5.134"), Decimal(96)),
    )
    assert (ticker.ask, ticker.ask_size) == (Decimal("5.142"), Decimal(25))
    assert (ticker.open_24h, ticker.high_24h, ticker.low_24h) == (
        *(Decimal("4.799"), Decimal("5.458"), Decimal("4.537")),
    )
    assert (ticker.volume_24h, ticker.volume_ccy_24h, ticker.time_ms) == (
        *(Decimal(289425), Decimal("577730.7823"), 1652459223143),
    )


def test_an_option_may_have_no_bid() -> None:
    ticker = PROTOCOL.ticker(element(TICKERS, bidPx="", bidSz=""))

    assert ticker.bid is ticker.bid_size is None


def test_an_index_has_a_price_and_nothing_to_trade() -> None:
    (index,) = push(
        '{"arg":{"channel":"index-tickers","instId":"BTC-USDT"},"data":[{"instId":'
        '"BTC-USDT","idxPx":"0.10","high24h":"0.5","low24h":"0.1","open24h":"0.1",'
        '"sodUtc0":"0.1","sodUtc8":"0.1","ts":"1597026383085"}]}'
    ).elements

    ticker = PROTOCOL.ticker(index)

    assert (str(ticker.last), ticker.high_24h) == ("0.10", Decimal("0.5"))
    assert ticker.bid is ticker.ask is ticker.last_size is ticker.volume_24h is None


def test_an_instrument_that_was_never_traded_has_no_last_price() -> None:
    (ticker,) = push(
        '{"arg":{"channel":"tickers","instId":"NEW-USDT"},"data":[{"instId":'
        '"NEW-USDT","last":"","lastSz":"","askPx":"2","askSz":"1","bidPx":"","bidSz":'
        '"","open24h":"","high24h":"","low24h":"","volCcy24h":"0","vol24h":"0",'
        '"ts":"1597026383085"}]}'
    ).elements

    read = PROTOCOL.ticker(ticker)

    assert (read.last, read.ask, read.bid) == (None, Decimal(2), None)


@pytest.mark.parametrize(
    "changes",
    [
        *({"last": value} for value in ("x", "-1", [])),
        *({"askPx": value} for value in ("x", "-1", [], True)),
        *({"ts": value} for value in ("", None)),
        *({"idxPx": value} for value in ("x", "-1")),
    ],
    ids=repr,
)
def test_a_ticker_that_cannot_be_is_a_wire_error(changes: dict[str, Any]) -> None:
    assert refusal(PROTOCOL.ticker, element(TICKERS, **changes)).kind == "ticker"


# --- Candles and funding rates ------------------------------------------------------

BAR = ("1597026383085", "5", "7", "4", "6")
PRICES = (*map(Decimal, BAR[1:]),)


def test_a_candle_is_exact() -> None:
    candle = PROTOCOL.candle(element(CANDLE))

    assert str(candle.open) == "8533.02"
    assert candle == CandleData(
        *(1597026383085, Decimal("8533.02"), Decimal("8553.74"), Decimal("8527.17")),
        *(Decimal("8548.26"), Decimal(45247), Decimal("529.5858061")),
        *(Decimal("5529.5858061"), False),
    )


@pytest.mark.parametrize(
    ("rest", "read"),
    [
        (("1", "2", "3", "1"), (Decimal(1), Decimal(2), Decimal(3), True)),
        (("1", "2", "3", "0"), (Decimal(1), Decimal(2), Decimal(3), False)),
        (("1", "2"), (Decimal(1), Decimal(2), None, None)),
        (("1",), (None, None, None, True)),
        (("0",), (None, None, None, False)),
    ],
)
def test_a_candle_has_one_of_three_lengths(
    rest: tuple[str, ...], read: tuple[object, ...]
) -> None:
    assert PROTOCOL.candle([*BAR, *rest]) == CandleData(1597026383085, *PRICES, *read)


@pytest.mark.parametrize(
    "candle",
    [
        *(None, "abcdefg", "abcdefghi", {}, {"candle": [*BAR, "1"]}, [], [*BAR][:4]),
        *([*BAR, *["1"] * count] for count in (3, 5, 6)),
        *([*BAR, confirm] for confirm in ("2", "", None, [], True, "true")),
        *([*BAR, "1", "2", "3", confirm] for confirm in ("", "x", {})),
        *([*BAR, volume, "1"] for volume in ("", "-1", None, [])),
        *([start, *BAR[1:], "1"] for start in ("", None, [], "2019-04-16T10:49:00Z")),
        *([*BAR[:1], *prices, "1"] for prices in ("8746", "3746", "5766", "574x")),
        *([*BAR[:1], *prices, "1"] for prices in ("5748", "5743")),
    ],
    ids=repr,
)
def test_a_candle_that_cannot_be_is_a_wire_error(candle: Any) -> None:
    assert refusal(PROTOCOL.candle, candle).kind == "candle"


def test_a_funding_rate_has_a_sign() -> None:
    funding = PROTOCOL.funding(element(FUNDING))

    assert str(funding.rate) == "-0.0001875391284830"
    assert funding == FundingData(
        Decimal("-0.0001875391284830"),
        1786550400000,
        None,
        1786579200000,
        1786541241006,
    )


def test_a_funding_rate_of_2022_said_the_next_and_no_times() -> None:
    (read,) = push(
        '{"arg":{"channel":"funding-rate","instId":"BTC-USD-SWAP"},"data":['
        '{"fundingRate":"0.0000734","fundingTime":"1646323200000","instId":'
        '"BTC-USD-SWAP","instType":"SWAP","nextFundingRate":"-0.0001163"}]}'
    ).elements

    assert PROTOCOL.funding(read) == FundingData(
        Decimal("0.0000734"), 1646323200000, Decimal("-0.0001163"), None, None
    )


@pytest.mark.parametrize(
    "changes",
    [
        *({"fundingRate": value} for value in ("", None, "x", "--1", [])),
        *({"fundingTime": value} for value in ("", None, "0", [])),
        *({"nextFundingRate": value} for value in ("x", [], True)),
        *({"nextFundingTime": value} for value in ("x", "0", {})),
        *({"ts": value} for value in ("x", "0", True)),
    ],
    ids=repr,
)
def test_a_funding_rate_that_cannot_be_is_a_wire_error(changes: dict[str, Any]) -> None:
    assert refusal(PROTOCOL.funding, element(FUNDING, **changes)).kind == "funding"
