"""The market in the words of v5, as they were recorded and as they are today."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.local_exchange.wire import v3, v5_data
from okex_ws.local_exchange.wire.values import (
    Best,
    Change,
    Deal,
    Funding,
    Mark,
    MarketCandle,
    Summary,
)

SPOT, SWAP = "BTC-USDT", "BTC-USD-SWAP"
MARKETS = {SPOT: "spot", SWAP: "swap", "BTC-USD-301227-60000-C": "option"}
AT = 1786541241.006
BEST = Best([("63921.5", "790.41", "42")], [("63921.4", "1.10", "3")], AT, 333794734980)
DEAL = Deal(123, 3, "63913.5", "1", "buy", AT, 333793117432)
SUMMARY = Summary("5", "1", "", "", "4", "2", "4.5", "6", "3", "100", "500", AT)
CANDLE = MarketCandle(1786541220, "1", "4", "0.5", "2", "10", "20", "20", False)


def said(channel: str, value: Any) -> Any:
    encoder = v5_data.encoder(channel, MARKETS)
    assert encoder
    push = encoder.to_push(value)
    assert push
    assert push.channel == channel
    assert push.frame == push.text
    return json.loads(push.text)


def test_best_levels_are_those_of_a_recorded_frame_of_today() -> None:
    encoder = v5_data.encoder(f"books5:{SPOT}", MARKETS)
    assert encoder

    push = encoder.to_push(BEST)
    assert push
    assert push.text == (
        '{"arg":{"channel":"books5","instId":"BTC-USDT"},"data":[{"asks":[["63921.5",'
        '"790.41","0","42"]],"bids":[["63921.4","1.10","0","3"]],"instId":"BTC-USDT",'
        '"ts":"1786541241006","seqId":333794734980}]}'
    )


def test_the_best_bid_and_ask_do_not_repeat_the_instrument() -> None:
    message = said(f"bbo-tbt:{SPOT}", BEST)

    assert list(message["data"][0]) == ["asks", "bids", "ts", "seqId"]
    assert message["data"][0]["asks"] == [["63921.5", "790.41", "0", "42"]]


WHOLE = Change(
    [("8476.98", "415", "13")],
    [("8476.97", "256", "12")],
    1597026383.085,
    123456,
    -1,
    ([("8476.97", "256", "12")], [("8476.98", "415", "13")]),
)


def test_a_book_is_that_of_the_documentation() -> None:
    encoder = v5_data.encoder(f"books:{SPOT}", MARKETS)
    assert encoder
    push = encoder.to_push(WHOLE)
    assert push

    assert (
        push.frame
        == push.text
        == (
            '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":'
            '[{"asks":[["8476.98","415","0","13"]],"bids":[["8476.97","256","0","12"]],'
            '"ts":"1597026383085","checksum":0,"prevSeqId":-1,"seqId":123456}]}'
        )
    )


def test_an_update_names_the_number_before_and_a_price_that_is_gone() -> None:
    gone = WHOLE._replace(asks=[], bids=[("8476.97", "0", "0")], prev_seq=123450)

    assert said(f"books50-l2-tbt:{SPOT}", gone) == {
        "arg": {"channel": "books50-l2-tbt", "instId": SPOT},
        "action": "update",
        "data": [
            {
                "asks": [],
                "bids": [["8476.97", "0", "0", "0"]],
                "ts": "1597026383085",
                "checksum": 0,
                "prevSeqId": 123450,
                "seqId": 123456,
            }
        ],
    }


def test_a_checksum_is_real_on_request() -> None:
    encoder = v5_data.encoder(f"books-l2-tbt:{SPOT}", MARKETS, checksums=True)
    assert encoder
    push = encoder.to_push(WHOLE)
    assert push

    assert json.loads(push.text)["data"][0]["checksum"] == WHOLE.checksum() != 0


def test_a_trade_tells_how_many_it_is() -> None:
    assert said(f"trades:{SPOT}", DEAL)["data"] == [
        {
            "instId": SPOT,
            "tradeId": "123",
            "px": "63913.5",
            "sz": "1",
            "side": "buy",
            "ts": "1786541241006",
            "count": "3",
            "source": "0",
            "seqId": 333793117432,
        }
    ]
    assert "count" not in said(f"trades-all:{SPOT}", DEAL)["data"][0]


def test_an_empty_side_of_a_ticker_is_empty_text() -> None:
    (ticker,) = said("tickers:BTC-USD-301227-60000-C", SUMMARY)["data"]

    assert (ticker["askPx"], ticker["askSz"]) == ("", "")
    assert (ticker["bidPx"], ticker["bidSz"]) == ("4", "2")
    assert (ticker["instType"], ticker["last"]) == ("OPTION", "5")
    assert (ticker["vol24h"], ticker["volCcy24h"]) == ("100", "500")
    assert all(isinstance(value, str) for value in ticker.values())


@pytest.mark.parametrize(("closed", "confirm"), [(False, "0"), (True, "1")])
def test_a_candle_has_nine_items(closed: bool, confirm: str) -> None:
    (candle,) = said(f"candle1m:{SPOT}", CANDLE._replace(closed=closed))["data"]

    assert candle == [
        *("1786541220000", "1", "4", "0.5", "2", "10", "20", "20"),
        confirm,
    ]


def test_funding_and_mark_price() -> None:
    funding = said(f"funding-rate:{SWAP}", Funding("0.0001", "0.0002", 100, 200, AT))
    marks = [
        said(f"mark-price:{each}", Mark("63921.45", AT))["data"]
        for each in (SPOT, SWAP)
    ]

    assert funding["data"][0]["fundingRate"] == "0.0001"
    assert funding["data"][0]["fundingTime"] == "100000"
    assert [mark[0]["instType"] for mark in marks] == ["MARGIN", "SWAP"]
    assert marks[1] == [
        {
            "instType": "SWAP",
            "instId": SWAP,
            "markPx": "63921.45",
            "ts": "1786541241006",
        }
    ]


@pytest.mark.parametrize(
    "channel", ["books5:NEO-USDT", "depth5:BTC-USDT", f"funding-rate:{SPOT}", "trades"]
)
def test_what_there_is_not_is_no_line(channel: str) -> None:
    assert v5_data.encoder(channel, MARKETS) is None


def test_every_name_is_a_line() -> None:
    for instrument_id, market in MARKETS.items():
        names = list(v5_data.names(market, instrument_id))
        assert all(v5_data.encoder(name, MARKETS) for name in names)
        assert (f"funding-rate:{instrument_id}" in names) is (market == "swap")


def test_any_element_can_be_pushed() -> None:
    push = v5_data.push("orders:instType=ANY", [{"px": "1"}], uid="7")

    assert push.text == push.frame
    assert json.loads(push.text) == {
        "arg": {"channel": "orders", "instType": "ANY", "uid": "7"},
        "data": [{"px": "1"}],
    }


def test_a_book_has_its_action_before_its_data() -> None:
    push = v5_data.book("books:BTC-USDT", "snapshot", {"asks": [], "bids": []})

    assert list(json.loads(push.text)) == ["arg", "action", "data"]
    assert "action" not in v5_data.book("books5:BTC-USDT", None, {}).text


@given(st.floats(0.0, 4e9))
def test_a_time_is_the_millisecond_that_v3_writes(seconds: float) -> None:
    assert v5_data.milliseconds(seconds)[-3:].zfill(3) == v3.iso(seconds)[-4:-1]
    assert v5_data.milliseconds(1546184084.707) == "1546184084707"
