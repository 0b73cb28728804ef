"""A recorded market is played as it was recorded, and a damaged one is refused."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from okex_ws.local_exchange import deflate
from okex_ws.local_exchange.market.capture import RecordedMarket
from okex_ws.local_exchange.wire.v3 import V3Format
from okex_ws.local_exchange.wire.values import EncodedPush
from okex_ws.model.book import OrderBook
from tests.support.capture_files import (
    BOOK,
    BOOK_V5,
    BOOKS5,
    DEPTH5,
    ETH,
    LAST_TRADE,
    LAST_TRADE_V5,
    PARTIAL,
    SNAPSHOT_V5,
    TEXTS,
    TEXTS_V5,
    TRADE,
    TRADES,
    UPDATE,
    UPDATE_V5,
    write,
)

RECORDED = [
    "v3_OKEX.ws.56_20210417",
    "v3_OKEX.ws.57_20210417",
    "v3_OKCOIN.ws.1_20210722",
]
RECORDED_V5 = ["v5_OKEX.ws.1_20210722", "v5_OKX.ws.1_20220513"]
EVERYTHING = {BOOK, DEPTH5, TRADE, BOOK_V5, BOOKS5, TRADES}
EVERYTHING_V3 = {BOOK, DEPTH5, TRADE}


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Writes a capture: its texts, and what to change in its other files."""

    def make(texts: list[str] = TEXTS, **changes: Any) -> Path:
        return write(tmp_path / "made", texts, **changes)

    return make


def play(
    market: RecordedMarket, seconds: float, wanted: Any = EVERYTHING
) -> list[EncodedPush]:
    return list(market.advance(seconds, 0.0, wanted))


def levels(push: EncodedPush) -> tuple[Any, Any]:
    return push.element["bids"], push.element["asks"]


def test_it_plays_at_the_recorded_pace(record: Callable[..., Path]) -> None:
    market = RecordedMarket(record())

    assert market.due() == 1.0
    assert play(market, 0.9) == []
    assert play(market, 0.1)[0].text == PARTIAL
    assert market.due() == 1.0
    assert [push.text for push in play(market, 1.0)] == [LAST_TRADE]
    assert [push.channel for push in play(market, 5.0)] == [BOOK, DEPTH5]
    assert market.ended
    assert market.due() == float("inf")
    assert play(market, 100.0) == []


def test_frames_are_the_recorded_bytes_and_depth5_is_derived(
    record: Callable[..., Path],
) -> None:
    # Bytes that our own deflate would not make.
    packer = zlib.compressobj(0, wbits=-zlib.MAX_WBITS)
    stored = packer.compress(UPDATE.encode()) + packer.flush()
    texts = [PARTIAL, UPDATE]
    market = RecordedMarket(record(texts, frames=[deflate(PARTIAL), stored]))
    pushes = play(market, 9.0)

    assert pushes[2].frame == stored
    assert pushes[3].frame is None
    assert pushes[3].channel == DEPTH5
    assert levels(pushes[3]) == (
        [
            ["0.0565", "500", "0", "1"],
            ["0.056", "505", "0", "1"],
            ["0.0555", "451", "0", "1"],
        ],
        [["0.063", "1005", "0", "2"], ["0.0635", "451", "0", "1"]],
    )
    assert pushes[3].element["timestamp"] == "2021-04-17T16:50:02.482Z"


def test_who_comes_late_gets_the_book_as_it_stands(record: Callable[..., Path]) -> None:
    market = RecordedMarket(record())
    assert [market.present(channel, 0.0) for channel in EVERYTHING_V3] == [None] * 3
    play(market, 9.0)
    partial = market.present(BOOK, 0.0)
    assert partial
    message = json.loads(partial.text)
    element = message["data"][0]
    book = OrderBook().apply("partial", element["bids"], element["asks"])

    assert message["action"] == "partial"
    assert element["checksum"] == 338594214 == book.checksum()
    assert partial.element["checksum"] == "338594214"
    depth5, trade = (market.present(name, 0.0) for name in (DEPTH5, TRADE))
    assert depth5
    assert levels(depth5) == (element["bids"], element["asks"])
    assert trade
    assert trade.text == LAST_TRADE


def test_it_knows_its_books_and_whether_they_are_numbered(
    record: Callable[..., Path],
) -> None:
    market = RecordedMarket(record())
    assert market.is_book(BOOK)
    assert not market.is_book(DEPTH5)
    assert not market.is_book(TRADE)
    assert not market.has_sequence(BOOK)
    numbered = [
        text.replace('"checksum"', '"prevSeqId":-1,"seqId":5,"checksum"')
        for text in TEXTS_V5
    ]
    market = RecordedMarket(record(numbered, v5=True))

    assert market.has_sequence(BOOK_V5)
    assert not market.has_sequence(BOOKS5)
    play(market, 9.0)
    late = market.present(BOOK_V5, 0.0)
    assert late
    assert json.loads(late.text)["data"][0]["seqId"] == 5
    assert json.loads(late.text)["data"][0]["prevSeqId"] == -1
    # Nobody had to, when it was recorded.
    assert not market.needs_login(BOOK_V5)


def test_it_can_start_again(record: Callable[..., Path]) -> None:
    market = RecordedMarket(record(), repeat=True)
    first = [push.text for push in play(market, 3.0)]

    assert not market.ended
    # The opening book is a change once more.
    assert [push.text for push in play(market, 3.0)] == first
    assert [push.text for push in play(market, 3.0)] == first


def test_it_knows_what_was_recorded(record: Callable[..., Path]) -> None:
    market = RecordedMarket(record())

    assert market.busiest == ("option", ETH)
    assert market.instruments == (("option", ETH),)
    assert set(market.channels) == EVERYTHING_V3
    assert "option/ticker:" + ETH not in market.channels
    assert "spot/depth5:BTC-USDT" not in market.channels


def test_the_busiest_instrument_has_a_book(record: Callable[..., Path]) -> None:
    other = LAST_TRADE.replace(ETH, "BTC-USD-210430-2440-P")

    assert RecordedMarket(record([PARTIAL, other, other])).busiest == ("option", ETH)
    assert RecordedMarket(record([other])).busiest[1] == "BTC-USD-210430-2440-P"


def test_a_recorded_depth5_is_not_derived_a_second_time(
    record: Callable[..., Path],
) -> None:
    depth5 = V3Format().depth5("option", ETH, [], [], "2021-04-17T16:50:00.000Z").text
    market = RecordedMarket(record([PARTIAL, depth5, UPDATE]))

    assert [push.text for push in play(market, 9.0, {DEPTH5})] == [depth5]


def test_levels_of_the_derived_depth5_follow_the_dialect(
    record: Callable[..., Path],
) -> None:
    market = RecordedMarket(record(), v3_format=V3Format(3))
    push = play(market, 9.0, {DEPTH5})[-1]

    assert push.element["asks"][0] == ["0.063", "1005", "2"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"texts": [UPDATE]}, "line 1: the book has checksum"),
        (
            {"texts": [PARTIAL.replace("505", "506")]},
            "line 1: the book has checksum",
        ),
        (
            {"texts": [PARTIAL.replace('"0.063"', '"x"')]},
            "damaged in line 1",
        ),
        ({"texts": [PARTIAL.replace('"bids"', '"bid"')]}, "line 1: 'bids'"),
        ({"texts": [PARTIAL.replace("partial", "other")]}, "line 1: action is"),
    ],
)
def test_a_damaged_capture_is_a_value_error(
    record: Callable[..., Path], changes: dict[str, Any], sentence: str
) -> None:
    path = record(**changes)

    with pytest.raises(ValueError, match=sentence):
        RecordedMarket(path)


# --- A recording of v5 --------------------------------------------------------------


def test_a_market_of_v5_plays_its_texts_and_books5_is_derived(
    record: Callable[..., Path],
) -> None:
    market = RecordedMarket(record(TEXTS_V5, v5=True))
    pushes = play(market, 9.0)

    assert market.protocols == ("v5",)
    assert market.instruments == (("option", ETH),)
    assert set(market.channels) == {BOOK_V5, BOOKS5, TRADES}
    assert [push.channel for push in pushes] == [
        *(BOOK_V5, BOOKS5, TRADES, BOOK_V5, BOOKS5)
    ]
    assert [pushes[n].frame for n in (0, 2, 3)] == TEXTS_V5[1:]
    assert json.loads(pushes[4].text) == {
        "arg": {"channel": "books5", "instId": ETH},
        "data": [
            {
                "asks": [["0.063", "1005", "0", "2"], ["0.0635", "451", "0", "1"]],
                "bids": [
                    ["0.0565", "500", "0", "1"],
                    ["0.056", "505", "0", "1"],
                    ["0.0555", "451", "0", "1"],
                ],
                "instId": ETH,
                "ts": "1618678202482",
            }
        ],
    }


def test_who_comes_late_to_v5_gets_the_book_as_it_stands(
    record: Callable[..., Path],
) -> None:
    market = RecordedMarket(record(TEXTS_V5, v5=True))
    assert market.present(BOOK_V5, 0.0) is None
    pushes = play(market, 9.0)
    snapshot = market.present(BOOK_V5, 0.0)
    assert snapshot
    message = json.loads(snapshot.text)
    element = message["data"][0]
    book = OrderBook().apply("snapshot", element["bids"], element["asks"])

    assert message["action"] == "snapshot"
    assert message["arg"] == {"channel": "books-l2-tbt", "instId": ETH}
    assert element["checksum"] == 338594214 == book.checksum()
    assert element["ts"] == "1618678202482"
    assert market.present(BOOKS5, 0.0) == pushes[-1]
    assert market.present(TRADES, 0.0) == pushes[2]


def test_a_recorded_books5_is_not_derived_a_second_time(
    record: Callable[..., Path],
) -> None:
    books5 = (
        f'{{"arg":{{"channel":"books5","instId":"{ETH}"}},"data":[{{"asks":[],'
        f'"bids":[],"instId":"{ETH}","ts":"1618678200000"}}]}}'
    )
    texts = [SNAPSHOT_V5, books5, UPDATE_V5]
    market = RecordedMarket(record(texts, v5=True))

    assert [push.text for push in play(market, 9.0, {BOOKS5})] == [books5]


def test_a_book_of_v5_that_is_not_proved_is_refused_with_its_line(
    record: Callable[..., Path],
) -> None:
    texts = [LAST_TRADE_V5, SNAPSHOT_V5, UPDATE_V5.replace('"451"', '"452"')]

    with pytest.raises(
        ValueError, match=r"recv\.jsonl is damaged in line 3: the book has checksum"
    ):
        RecordedMarket(record(texts, v5=True))


# --- The real recordings ------------------------------------------------------------


def derived_depth5(texts: list[str], channel: str) -> list[tuple[Any, Any]]:
    """The changes of the best five, from dicts alone: nothing of the library."""
    table, _, name = channel.replace("depth5", "depth_l2_tbt").partition(":")
    sides: dict[str, dict[Decimal, list[str]]] = {"bids": {}, "asks": {}}
    found: list[tuple[Any, Any]] = []
    for text in texts:
        message = json.loads(text)
        if message.get("table") != table or message["data"][0]["instrument_id"] != name:
            continue
        for side, held in sides.items():
            if message["action"] == "partial":
                held.clear()
            for row in message["data"][0][side]:
                held.pop(Decimal(row[0]), None)
                if Decimal(row[1]):
                    held[Decimal(row[0])] = row
        bids, asks = (
            [
                sides[side][price]
                for price in sorted(sides[side], reverse=side == "bids")[:5]
            ]
            for side in ("bids", "asks")
        )
        if not found or found[-1] != (bids, asks):
            found.append((bids, asks))
    return found


def everything(market: RecordedMarket) -> set[str]:
    topics = ("depth_l2_tbt", "trade", "ticker", "depth5")
    return {f"{m}/{topic}:{i}" for m, i in market.instruments for topic in topics}


@pytest.mark.once
@pytest.mark.parametrize("name", RECORDED)
def test_a_real_recording_is_played_byte_for_byte(
    captures: Callable[[str], Path], name: str
) -> None:
    path = captures(f"cryptofeed/{name}")
    market = RecordedMarket(path)
    played = [p.frame for p in play(market, 60.0, everything(market)) if p.frame]
    lines = Path(f"{path}.deflate.b64").read_text().splitlines()
    recorded = [base64.b64decode(line) for line in lines]
    data = [
        frame for frame in recorded if b'"event"' not in zlib.decompress(frame, -15)
    ]

    assert played == data
    assert market.ended


@pytest.mark.once
@pytest.mark.parametrize("name", RECORDED)
def test_the_derived_depth5_is_that_of_an_independent_book(
    captures: Callable[[str], Path], name: str
) -> None:
    path = captures(f"cryptofeed/{name}")
    market = RecordedMarket(path, v3_format=V3Format(4))
    texts = Path(f"{path}.recv.jsonl").read_text().splitlines()
    pushes = play(market, 60.0, everything(market))
    for market_name, instrument_id in market.instruments:
        channel = f"{market_name}/depth5:{instrument_id}"
        derived = [levels(push) for push in pushes if push.channel == channel]
        assert derived == derived_depth5(texts, channel)
        assert derived


@pytest.mark.once
@pytest.mark.parametrize("name", RECORDED)
def test_one_changed_digit_of_a_real_recording_is_noticed(
    captures: Callable[[str], Path], record: Callable[..., Path], name: str
) -> None:
    source = captures(f"cryptofeed/{name}")
    texts = Path(f"{source}.recv.jsonl").read_text().splitlines()
    at, text = next((i, x) for i, x in enumerate(texts) if '"partial"' in x)
    price = json.loads(text)["data"][0]["asks"][0][0]
    digit = "1" if price[-1] != "1" else "2"
    changed = text.replace(f'["{price}"', f'["{price[:-1]}{digit}"')
    assert changed != text

    # The frame tells on the text, and the checksum on both.
    with pytest.raises(ValueError, match="does not hold its text"):
        RecordedMarket(
            record([*texts[:at], changed], frames=[deflate(x) for x in texts[: at + 1]])
        )
    with pytest.raises(ValueError, match="the book has checksum"):
        RecordedMarket(record([*texts[:at], changed, *texts[at + 1 :]]))


@pytest.mark.once
@pytest.mark.parametrize("name", RECORDED_V5)
def test_a_real_recording_of_v5_is_played_text_by_text(
    captures: Callable[[str], Path], name: str
) -> None:
    path = captures(f"cryptofeed/{name}")
    market = RecordedMarket(path)
    derived = {f"books5:{instrument_id}" for _, instrument_id in market.instruments}
    played = [
        push.frame
        for push in play(market, 60.0, market.channels)
        if push.channel not in derived
    ]
    texts = Path(f"{path}.recv.jsonl").read_text().splitlines()

    assert played == [text for text in texts if '"event"' not in text]
    assert market.ended
    assert derived <= set(market.channels)


def books5_of(texts: list[str], instrument_id: str) -> list[tuple[Any, Any]]:
    """The changes of the best five, by the same dicts as for v3."""
    as_v3 = []
    for text in texts:
        message = json.loads(text)
        if "action" not in message:
            continue
        instrument = message["arg"]["instId"]
        message["table"] = "any/depth_l2_tbt"
        message["action"] = message["action"].replace("snapshot", "partial")
        message["data"][0]["instrument_id"] = instrument
        as_v3.append(json.dumps(message))
    return derived_depth5(as_v3, f"any/depth5:{instrument_id}")


@pytest.mark.once
@pytest.mark.parametrize("name", RECORDED_V5)
def test_the_derived_books5_is_that_of_an_independent_book(
    captures: Callable[[str], Path], name: str
) -> None:
    path = captures(f"cryptofeed/{name}")
    market = RecordedMarket(path)
    texts = Path(f"{path}.recv.jsonl").read_text().splitlines()
    pushes = play(market, 60.0, market.channels)
    for _, instrument_id in market.instruments:
        channel = f"books5:{instrument_id}"
        derived = [levels(push) for push in pushes if push.channel == channel]
        assert derived == books5_of(texts, instrument_id)
        assert derived


@pytest.mark.parametrize("name", RECORDED_V5)
def test_one_changed_digit_of_a_real_recording_of_v5_is_noticed(
    captures: Callable[[str], Path], record: Callable[..., Path], name: str
) -> None:
    source = captures(f"cryptofeed/{name}")
    texts = Path(f"{source}.recv.jsonl").read_text().splitlines()
    at, text = next((i, x) for i, x in enumerate(texts) if '"snapshot"' in x)
    price = json.loads(text)["data"][0]["asks"][0][0]
    digit = "1" if price[-1] != "1" else "2"
    texts[at] = text.replace(f'["{price}"', f'["{price[:-1]}{digit}"', 1)
    assert texts[at] != text

    path = record(texts, v5=True)
    sentence = rf"made\.recv\.jsonl is damaged in line {at + 1}: the book has checksum"
    with pytest.raises(ValueError, match=sentence):
        RecordedMarket(path)
