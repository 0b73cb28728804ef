"""A binary message says what the JSON of v5 says of the same market."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import SequenceGap, WireError
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.protocol.messages import Push
from okex_ws.protocol.v5 import PROTOCOL
from okex_ws.sbe.decimals import NULL
from okex_ws.sbe.layouts import (
    BinaryBest,
    BinaryBook,
    BinaryTrade,
    decode,
)
from okex_ws.sbe.reader import book_of, depth_of, trade_of
from tests.support.sbe_vectors import EVERY, best, book, group, snapshot, trade

MS = 1_779_419_555_777
ROWS = {
    "asks": [["77623.6", "7.89", "0", "3"]],
    "bids": [["77623.5", "5.12", "0", "2"]],
}


def element(channel: str, said: dict[str, Any]) -> Any:
    """*said* as a push of JSON, read as v5 reads it."""
    text = json.dumps({"arg": {"channel": channel, "instId": "X-Y"}, "data": [said]})
    (push,) = PROTOCOL.read(text.encode())
    assert isinstance(push, Push)
    return push.elements[0]


def the_best(frame: bytes) -> BinaryBest:
    found = decode(frame)
    assert isinstance(found, BinaryBest)
    return found


def the_book(frame: bytes) -> BinaryBook:
    found = decode(frame)
    assert isinstance(found, BinaryBook)
    return found


def the_trade(frame: bytes) -> BinaryTrade:
    found = decode(frame)
    assert isinstance(found, BinaryTrade)
    return found


def test_the_best_levels_are_those_of_json() -> None:
    said = {**ROWS, "ts": str(MS), "seqId": 317_862_000_001}

    assert depth_of(the_best(EVERY["best"])) == PROTOCOL.depth(element("bbo-tbt", said))


def test_a_change_of_a_book_is_that_of_json() -> None:
    said = {**ROWS, "ts": str(MS), "seqId": 200, "prevSeqId": 150}

    assert book_of(the_book(EVERY["book"])) == PROTOCOL.book(
        element("books-l2-tbt", said), "update"
    )


def test_a_snapshot_replaces_the_book() -> None:
    found = book_of(the_book(EVERY["snapshot"]))

    assert (found.whole, found.bids, found.asks) == (True, ROWS["bids"], ROWS["asks"])
    assert (found.seq, found.prev_seq, found.time_ms) == (200, None, MS)


def test_a_change_of_the_exponents_is_a_link_of_the_chain() -> None:
    found = book_of(the_book(EVERY["exponents"]))

    assert (found.whole, found.bids, found.asks) == (False, [], [])
    assert (found.seq, found.prev_seq) == (200, 150)


def test_a_trade_is_that_of_json() -> None:
    said = {
        "instId": "X-Y",
        "tradeId": "9876543210",
        "px": "77623.5",
        "sz": "5.12",
        "side": "buy",
        "ts": str(MS),
        "count": "3",
        "source": "1",
    }
    found = trade_of(the_trade(trade(trades=3, source=1)))

    assert found == PROTOCOL.trade(element("trades", said))
    assert (found.first_id, found.rpi) == ("9876543208", True)


def test_a_side_without_price_and_size_is_empty() -> None:
    for nothing in (0, NULL):
        found = depth_of(the_best(best(776236, 789, nothing, nothing, 3, 0)))
        assert (found.asks, found.bids) == (ROWS["asks"], [])


@pytest.mark.parametrize(
    "frame",
    [
        best(776236, 0, 776235, 512, 3, 2),
        best(776236, 789, 0, 512, 3, 2),
        best(776236, 789, 776235, -512, 3, 2),
        best(776236, 789, 776235, 512, -1, 2),
        best(NULL, 789, 776235, 512, 3, 2),
    ],
)
def test_a_level_that_is_none_is_an_error(frame: bytes) -> None:
    with pytest.raises(WireError):
        depth_of(the_best(frame))


@pytest.mark.parametrize(
    "changes",
    [
        {"price": 0},
        {"price": -1},
        {"size": 0},
        {"side": 2},
        {"side": -1},
        {"trades": 0},
        {"trades": -3},
        {"number": -5},
        {"price": NULL},
    ],
)
def test_a_trade_that_is_none_is_an_error(changes: dict[str, int]) -> None:
    with pytest.raises(WireError):
        trade_of(the_trade(trade(**changes)))


@pytest.mark.parametrize(("seq", "prev"), [(0, 0), (-1, 5)])
def test_a_sequence_number_is_positive(seq: int, prev: int) -> None:
    with pytest.raises(WireError):
        book_of(the_book(book(seq=seq, prev_seq=prev)))


@pytest.mark.parametrize(
    "time_us", [NULL, -1, 0, 999_999_999_999_999, 10**16, 2**63 - 1]
)
def test_a_time_has_the_digits_of_a_time_in_json(time_us: int) -> None:
    for frame in (book(time_us=time_us), snapshot(time_us)):
        with pytest.raises(WireError, match="timestamp"):
            book_of(the_book(frame))


def test_a_change_follows_a_number() -> None:
    with pytest.raises(WireError, match="follows no"):
        book_of(the_book(book(prev_seq=NULL)))


def test_a_level_is_found_under_other_exponents() -> None:
    builder, finer = BookBuilder(), (-3, -4)
    deleted = group((77_623_600, 0, 0)) + group((77_623_500, 10_000, 1))
    frames = (
        snapshot(),
        book(1002, seq=300, prev_seq=200, exponents=finer),
        book(seq=400, prev_seq=300, exponents=finer, groups=deleted),
    )
    for frame in frames:
        bids, asks = builder.take(book_of(the_book(frame)))

    assert asks == ()
    assert [tuple(map(Decimal, row[:2])) for row in bids] == [(Decimal("77623.5"), 1)]


def test_a_change_of_the_exponents_that_was_lost_is_seen() -> None:
    builder = BookBuilder()
    builder.take(book_of(the_book(snapshot())))

    with pytest.raises(SequenceGap):
        builder.take(book_of(the_book(book(seq=400, prev_seq=300))))


def test_a_row_without_a_number_is_an_error() -> None:
    with pytest.raises(WireError):
        book_of(the_book(book(groups=group((NULL, 1, 1)) + group())))


@given(st.sampled_from(list(EVERY.values())), st.data())
def test_no_numbers_are_another_error(frame: bytes, data: Any) -> None:
    mixed = bytearray(frame)
    for _ in range(data.draw(st.integers(1, 4))):
        mixed[data.draw(st.integers(8, len(mixed) - 1))] = data.draw(
            st.integers(0, 255)
        )
    try:
        said = decode(bytes(mixed))
        if isinstance(said, BinaryBest):
            for row in (*depth_of(said).asks, *depth_of(said).bids):
                assert Decimal(row[0]) > 0
        elif isinstance(said, BinaryBook):
            book_of(said)
        elif isinstance(said, BinaryTrade):
            assert trade_of(said).size > 0
    except WireError:
        pass
