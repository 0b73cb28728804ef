"""Protocol v5 reads every frame that was recorded, and each change of one shows."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from okex_ws.protocol.catalogue import ALIASES, KNOWN
from okex_ws.protocol.messages import Acknowledged, Message, Push
from okex_ws.protocol.v5 import PROTOCOL
from tests.support.mutations import assert_changes_show

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"
recorded = pytest.mark.skipif(
    not CAPTURES.is_dir(), reason="no recorded traffic beside the project"
)
RECORDINGS: dict[str, dict[str, int]] = {
    "cryptofeed/v5_OKEX.ws.1_20210722.recv.jsonl": {
        "Acknowledged": 30,
        "trades": 36,
        "tickers": 46,
        "books-l2-tbt": 1504,
    },
    "cryptofeed/v5_OKX.ws.1_20220513.recv.jsonl": {
        "Acknowledged": 18,
        "trades": 74,
        "tickers": 28,
        "books": 290,
    },
    "tickvault/okx_books.jsonl": {"Acknowledged": 1, "books": 7},
    "gocryptotrader/v5_books_verified.jsonl": {"books": 4},
    "crypto-msg-parser/v5_okx_frames.jsonl": {
        "trades": 6,
        "funding-rate": 2,
        "books-l2-tbt": 5,
        "books5": 6,
        "bbo-tbt": 6,
        "tickers": 8,
        "candle1m": 6,
    },
}
# What the readers of typed elements do not look at.
UNREAD = ("instId", "instType", "sodUtc0", "sodUtc8")


def decode(text: str) -> tuple[Message, ...]:
    return PROTOCOL.decode(text.encode(), False)


def lines(name: str) -> list[str]:
    return (CAPTURES / name).read_text().splitlines()


def typed(message: Push) -> list[Any]:
    """The typed items of a push; data without a type stays what it is."""
    topic = ALIASES.get(message.channel.split(":")[0])
    kind = KNOWN[topic].kind if topic else "data"
    read = getattr(PROTOCOL, kind, lambda element: element)
    action = (message.action,) if kind == "book" else ()
    return [read(element, *action) for element in message.elements]


@recorded
@pytest.mark.parametrize(("name", "counts"), RECORDINGS.items())
def test_every_recorded_frame_is_read(name: str, counts: dict[str, int]) -> None:
    seen: Counter[str] = Counter()
    for text in lines(name):
        (message,) = decode(text)
        said = json.loads(text)
        key = f"{said['arg']['channel']}:{said['arg']['instId']}"
        if isinstance(message, Push):
            assert (message.channel, message.text) == (key, text)
            assert message.action == said.get("action")
            assert len(typed(message)) == len(said["data"])
            seen[said["arg"]["channel"]] += 1
        else:
            assert message == Acknowledged(key)
            seen["Acknowledged"] += 1
    assert seen == counts


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_changed_character_of_a_recorded_frame_shows(name: str) -> None:
    frames = [text for text in lines(name) if '"data":' in text]

    # Books by the thousand are of one make.
    few = [text for text in frames if '"action":' not in text] + frames[:100]
    changes = [assert_changes_show(PROTOCOL, text, typed, UNREAD) for text in few]

    assert all(changes)


@recorded
@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recorded_channel_is_the_one_that_was_asked_for(name: str) -> None:
    for text in lines(name):
        (message,) = decode(text)
        assert isinstance(message, (Push, Acknowledged))
        asked, _ = PROTOCOL.request("subscribe", [message.channel], 1)
        assert json.loads(asked)["args"] == [json.loads(text)["arg"]]
