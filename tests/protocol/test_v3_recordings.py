"""Protocol v3 reads every frame that was recorded, and a change of one shows."""

from __future__ import annotations

import base64
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from okex_ws.base.errors import WireError
from okex_ws.protocol.catalogue import KNOWN
from okex_ws.protocol.messages import Acknowledged, Push
from okex_ws.protocol.v3 import PROTOCOL
from tests.support.mutations import assert_changes_show
from tests.support.v3_frames import depth, push

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
recorded = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recorded traffic beside the project"
)
RECORDINGS = {
    "v3_OKEX.ws.56_20210417": 2486,
    "v3_OKEX.ws.57_20210417": 2426,
    "v3_OKCOIN.ws.1_20210722": 1092,
}


def frames(name: str) -> list[tuple[bytes, str]]:
    folder = CAPTURES / "cryptofeed"
    payloads = (folder / f"{name}.deflate.b64").read_text().split()
    texts = (folder / f"{name}.recv.jsonl").read_text().splitlines()
    return [
        (base64.b64decode(payload), text)
        for payload, text in zip(payloads, texts, strict=True)
    ]


def typed(message: Push) -> list[Any]:
    """The typed items of a push; data without a type stays what it is."""
    topic = message.channel.split(":")[0].split("/")[1]
    kind = KNOWN[topic].kind if topic in KNOWN else "data"
    read = getattr(PROTOCOL, kind, lambda element: element)
    action = (message.action,) if kind == "book" else ()
    return [read(element, *action) for element in message.elements]


@recorded
@pytest.mark.parametrize(("name", "count"), RECORDINGS.items())
def test_every_recorded_frame_is_the_text_of_its_line(name: str, count: int) -> None:
    seen: Counter[str] = Counter()
    for payload, text in frames(name):
        (message,) = PROTOCOL.decode(payload, True)
        said = json.loads(text)
        seen[type(message).__name__] += 1
        if isinstance(message, Push):
            assert message.text == text
            assert message.channel == (
                f"{said['table']}:{said['data'][0]['instrument_id']}"
            )
            assert message.action == said.get("action")
            assert len(typed(message)) == len(said["data"]) == 1
        else:
            assert message == Acknowledged(said["channel"])
    assert seen.total() == count
    assert set(seen) == {"Push", "Acknowledged"}


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_changed_digit_of_a_recorded_item_shows(name: str) -> None:
    rng = random.Random(name)
    changed = 0
    for payload, text in frames(name):
        (message,) = PROTOCOL.decode(payload, True)
        if not isinstance(message, Push) or message.action is not None:
            continue
        field = "last" if "last" in message.elements[0] else "price"
        value = message.elements[0][field]
        digit = rng.choice([d for d in "123456789" if d != value[-1]])
        mutated = text.replace(
            f'"{field}":"{value}"', f'"{field}":"{value[:-1]}{digit}"'
        )
        assert mutated != text
        assert typed(push(mutated)) != typed(message)
        changed += 1
    assert changed > 20


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_flipped_bit_of_a_recorded_frame_shows(name: str) -> None:
    rng = random.Random(name)
    for payload, text in rng.sample(frames(name), 300):
        mutated = bytearray(payload)
        # The last byte may hold the padding behind the end of the stream.
        mutated[rng.randrange(len(payload) - 1)] ^= 1 << rng.randrange(8)
        try:
            messages = PROTOCOL.decode(bytes(mutated), True)
        except WireError:
            continue
        assert messages != PROTOCOL.decode(text.encode(), False)


@recorded
def test_the_depth5_frames_of_2018_keep_their_characters() -> None:
    lines = (CAPTURES / "babel-trader" / "v3_data.jsonl").read_text().splitlines()
    markets = []
    for text in lines[:3]:
        data = depth(text)
        markets.append(push(text).channel.split("/")[0])
        for levels in (data.bids, data.asks):
            assert len(levels) == 5
            for price, size, *_ in levels:
                assert f'["{price}","{size}",' in text or f"[{price},{size}," in text
        rounded = text.replace("3690.06", "3690.07").replace("3779.2966", "3779.2967")
        if rounded != text:
            assert depth(rounded).asks[0] != data.asks[0]
    assert markets == ["spot", "futures", "swap"]
    assert [push(text).channel for text in lines[3:]] == [
        *("spot/order:BTC-USDT", "futures/order:BTC-USD-190329")
    ]


@recorded
def test_the_single_frames_of_2021_and_2022_are_read() -> None:
    name = "crypto-msg-parser/v3_okex_frames.jsonl"
    messages = [push(text) for text in (CAPTURES / name).read_text().splitlines()]

    topics = Counter(
        message.channel.split(":")[0].split("/")[1] for message in messages
    )

    assert all(typed(message) for message in messages)
    assert topics == {
        "trade": 8,
        "funding_rate": 2,
        "depth_l2_tbt": 5,
        "depth5": 2,
        "candle60s": 1,
    }


@recorded
def test_a_changed_digit_of_a_single_frame_shows() -> None:
    name = "crypto-msg-parser/v3_okex_frames.jsonl"
    for text in (CAPTURES / name).read_text().splitlines():
        assert assert_changes_show(PROTOCOL, text, typed, ["interest_rate"])


@recorded
def test_the_frames_of_full_books_say_what_they_do() -> None:
    name = "gocryptotrader/v3_spot_depth_verified.jsonl"
    lines = (CAPTURES / name).read_text().splitlines()

    messages = [push(text) for text in lines]

    assert [message.action for message in messages].count("partial") == 5
    assert [message.action for message in messages].count("update") == 3
    assert {message.channel.split(":")[0] for message in messages} == {"spot/depth"}
