"""What was said of a book is read from its snapshot, whatever the protocol."""

from __future__ import annotations

import json

from okex_ws.local_exchange.market.truth import NOTHING, Said, read_snapshot
from okex_ws.local_exchange.wire.values import EncodedPush
from okex_ws.model.book import OrderBook
from tests.support.capture_files import PARTIAL, SNAPSHOT_V5


def test_a_snapshot_of_v3_has_a_book_and_a_time() -> None:
    found = read_snapshot(EncodedPush("any", PARTIAL))

    assert found.book.checksum() == 1815367951
    assert found.book.asks[0] == ("0.063", "1005", "0", "2")
    assert (found.seq, found.at) == (None, 1618678199.279)


def test_a_snapshot_of_v5_has_a_number_where_it_has_one() -> None:
    message = json.loads(SNAPSHOT_V5)
    assert read_snapshot(EncodedPush("any", SNAPSHOT_V5)).seq is None
    message["data"][0]["seqId"] = 12345678901234567
    found = read_snapshot(EncodedPush("any", json.dumps(message)))

    assert found.seq == 12345678901234567
    assert (found.at, found.book.checksum()) == (1618678199.279, 1815367951)


def test_nothing_is_an_empty_book() -> None:
    assert read_snapshot(None) == NOTHING == Said(OrderBook(), None, 0.0)
