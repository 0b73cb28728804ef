"""What is pushed can be read again, number by number."""

from __future__ import annotations

import json

import pytest

from okex_ws.local_exchange.wire.values import Change, EncodedPush, to_json


def test_the_numbers_of_an_element_are_their_characters() -> None:
    push = EncodedPush("a", '{"data":[{"px":4.10,"seqId":7},["1"]]}')

    assert push.elements == [{"px": "4.10", "seqId": "7"}, ["1"]]
    assert push.element == {"px": "4.10", "seqId": "7"}


def test_json_has_no_spaces_and_no_escapes() -> None:
    assert to_json({"a": ["é", 1]}) == '{"a":["é",1]}'
    assert json.loads(to_json({"a": None})) == {"a": None}


def rows(text: str) -> list[tuple[str, ...]]:
    levels = text.split(":") if text else []
    return [(*pair, "9") for pair in zip(levels[::2], levels[1::2], strict=True)]


# Real frames and the documentation's examples: bids, asks, checksum.
VECTORS = [
    ("", "", 0),
    ("", "0.0015:906", -288111842),
    ("3366.1:7:3366:6", "3366.8:9:3368:8", -1881014294),
    ("3366.1:7", "3366.8:9:3368:8:3372:8", 831078360),
    ("0.0565:500:0.056:505:0.055:451", "0.063:1005:0.0635:451", 1815367951),
    ("0.027:110:0.0265:100", "0.0475:29:0.0495:110:0.05:100", -994620437),
]


@pytest.mark.parametrize(("bids", "asks", "checksum"), VECTORS)
def test_a_checksum_is_that_of_the_exchange(
    bids: str, asks: str, checksum: int
) -> None:
    change = Change([], [], 0.0, 2, 1, (rows(bids), rows(asks)))

    assert change.checksum() == checksum
    assert not change.is_snapshot
    assert not change.is_idle
    assert change._replace(prev_seq=-1).is_snapshot
    assert change._replace(prev_seq=2).is_idle
