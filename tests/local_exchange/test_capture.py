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

from okex_ws.book import OrderBook
from okex_ws.local_exchange import deflate
from okex_ws.local_exchange.capture import RecordedMarket, read
from okex_ws.local_exchange.v3 import Dialect, Push

RECORDED = [
    "v3_OKEX.ws.56_20210417",
    "v3_OKEX.ws.57_20210417",
    "v3_OKCOIN.ws.1_20210722",
]
# The complete real sequence of the wire page: partial, insert, delete.
ETH = "ETH-USD-210430-2440-P"
BOOK, DEPTH5, TRADE = (f"option/{t}:{ETH}" for t in ("depth_l2_tbt", "depth5", "trade"))
PARTIAL = (
    '{"table":"option/depth_l2_tbt","action":"partial","data":[{"instrument_id":"'
    + ETH
    + '","asks":[["0.063","1005","0","2"],["0.0635","451","0","1"]],"bids":'
    '[["0.0565","500","0","1"],["0.056","505","0","1"],["0.055","451","0","1"]],'
    '"timestamp":"2021-04-17T16:49:59.279Z","checksum":1815367951}]}'
)
UPDATE = (
    '{"table":"option/depth_l2_tbt","action":"update","data":[{"instrument_id":"'
    + ETH
    + '","asks":[],"bids":[["0.0555","451","0","1"],["0.055","0","0","0"]],'
    '"timestamp":"2021-04-17T16:50:02.482Z","checksum":338594214}]}'
)
LAST_TRADE = (
    '{"table":"option/trade","data":[{"side":"buy","trade_id":"1","price":"0.06",'
    '"qty":"1","instrument_id":"' + ETH + '","timestamp":"2021-04-17T16:50:00.000Z"}]}'
)
EVENT = '{"event":"subscribe","channel":"option/trade:' + ETH + '"}'
TEXTS = [EVENT, PARTIAL, LAST_TRADE, UPDATE]
EVERYTHING = {BOOK, DEPTH5, TRADE}


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Writes a capture: its texts, and what to change in its three files."""

    def write(
        texts: list[str] = TEXTS,
        frames: list[bytes] | None = None,
        times: list[str] | None = None,
    ) -> Path:
        path = tmp_path / "made"
        frames = [deflate(text) for text in texts] if frames is None else frames
        times = [f"{1000 + i}.5" for i in range(len(texts))] if times is None else times
        packed = [base64.b64encode(frame).decode() for frame in frames]
        for suffix, lines in (
            ("recv.jsonl", texts),
            ("deflate.b64", packed),
            ("recv.times", times),
        ):
            Path(f"{path}.{suffix}").write_text("".join(f"{x}\n" for x in lines))
        return path

    return write


def play(
    market: RecordedMarket, seconds: float, wanted: Any = EVERYTHING
) -> list[Push]:
    return list(market.advance(seconds, 0.0, wanted))


def levels(push: Push) -> tuple[Any, Any]:
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
    market = RecordedMarket(record(texts, [deflate(PARTIAL), stored]))
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
    assert [market.present(channel) for channel in sorted(EVERYTHING)] == [None] * 3
    play(market, 9.0)
    partial = market.present(BOOK)
    assert partial
    message = json.loads(partial.text)
    element = message["data"][0]
    book = OrderBook().apply("partial", element["bids"], element["asks"])

    assert message["action"] == "partial"
    assert element["checksum"] == 338594214 == book.checksum()
    assert partial.element["checksum"] == "338594214"
    depth5, trade = market.present(DEPTH5), market.present(TRADE)
    assert depth5
    assert levels(depth5) == (element["bids"], element["asks"])
    assert trade
    assert trade.text == LAST_TRADE


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
    assert set(market.channels) >= EVERYTHING
    assert "option/ticker:" + ETH not in market.channels
    assert "spot/depth5:BTC-USDT" not in market.channels


def test_the_busiest_instrument_has_a_book(record: Callable[..., Path]) -> None:
    other = LAST_TRADE.replace(ETH, "BTC-USD-210430-2440-P")

    assert RecordedMarket(record([PARTIAL, other, other])).busiest == ("option", ETH)
    assert RecordedMarket(record([other])).busiest[1] == "BTC-USD-210430-2440-P"


def test_a_recorded_depth5_is_not_derived_a_second_time(
    record: Callable[..., Path],
) -> None:
    depth5 = Dialect().depth5("option", ETH, [], [], "2021-04-17T16:50:00.000Z").text
    market = RecordedMarket(record([PARTIAL, depth5, UPDATE]))

    assert [push.text for push in play(market, 9.0, {DEPTH5})] == [depth5]


def test_levels_of_the_derived_depth5_follow_the_dialect(
    record: Callable[..., Path],
) -> None:
    market = RecordedMarket(record(), dialect=Dialect(3))
    push = play(market, 9.0, {DEPTH5})[-1]

    assert push.element["asks"][0] == ["0.063", "1005", "2"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"times": ["1.0"]}, "lines"),
        ({"times": ["4", "3", "2", "1"]}, "line 2: time '3' is before"),
        ({"times": ["1", "x", "2", "3"]}, "line 2: could not convert"),
        ({"frames": [b"\xff"] * 4}, "line 1: "),
        ({"frames": [deflate("{}")] * 4}, "line 1: its frame does not hold its text"),
        ({"texts": ["{}"]}, "line 1: 'data'"),
        ({"texts": ["nonsense"]}, "line 1: "),
        ({"texts": [EVENT]}, "has no data"),
        ({"texts": []}, "has no data"),
        ({"texts": [UPDATE]}, "message 1: the book has checksum"),
        (
            {"texts": [PARTIAL.replace("505", "506")]},
            "message 1: the book has checksum",
        ),
        (
            {"texts": [PARTIAL.replace('"0.063"', '"x"')]},
            "damaged in its data message 1",
        ),
        ({"texts": [PARTIAL.replace('"bids"', '"bid"')]}, "message 1: 'bids'"),
        ({"texts": [PARTIAL.replace("partial", "other")]}, "message 1: action is"),
    ],
)
def test_a_damaged_capture_is_a_value_error(
    record: Callable[..., Path], changes: dict[str, Any], sentence: str
) -> None:
    path = record(**changes)

    with pytest.raises(ValueError, match=sentence):
        RecordedMarket(path)


def test_a_frame_that_is_not_base64_is_a_value_error(
    record: Callable[..., Path],
) -> None:
    path = record()
    Path(f"{path}.deflate.b64").write_text("!\n" * 4)

    with pytest.raises(ValueError, match="line 1: its frame is not base64"):
        read(path)


def test_a_file_that_is_no_text_is_a_value_error(record: Callable[..., Path]) -> None:
    path = record()
    Path(f"{path}.recv.jsonl").write_bytes(b"\xff")

    with pytest.raises(ValueError, match=r"capture file .* is damaged"):
        read(path)


def test_a_capture_that_is_not_there_is_a_file_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="named without a suffix"):
        RecordedMarket(tmp_path / "none")


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


@pytest.mark.parametrize("name", RECORDED)
def test_the_derived_depth5_is_that_of_an_independent_book(
    captures: Callable[[str], Path], name: str
) -> None:
    path = captures(f"cryptofeed/{name}")
    market = RecordedMarket(path, dialect=Dialect(4))
    texts = Path(f"{path}.recv.jsonl").read_text().splitlines()
    pushes = play(market, 60.0, everything(market))
    for market_name, instrument_id in market.instruments:
        channel = f"{market_name}/depth5:{instrument_id}"
        derived = [levels(push) for push in pushes if push.channel == channel]
        assert derived == derived_depth5(texts, channel)
        assert derived


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
            record([*texts[:at], changed], [deflate(x) for x in texts[: at + 1]])
        )
    with pytest.raises(ValueError, match="the book has checksum"):
        RecordedMarket(record([*texts[:at], changed, *texts[at + 1 :]]))
