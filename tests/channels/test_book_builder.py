"""A book is built of its messages, and is proven by a checksum or a sequence."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from okex_ws.base.errors import BookError, ChecksumMismatch, SequenceGap
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.model.book import OrderBook, Side
from okex_ws.protocol.messages import BookData
from tests.support.book_rows import (
    BAD_PRICES,
    BAD_ROWS,
    EACH_VECTOR,
    Change,
    ReferenceBook,
    book_sum,
    messages,
    rows,
    wide_side,
)


def message(
    whole: bool,
    bids: Iterable[Any] = (),
    asks: Iterable[Any] = (),
    checksum: int | None = None,
    prev_seq: int | None = None,
    seq: int | None = None,
) -> BookData:
    """One message as a protocol reads it: its rows are lists."""
    bid_rows, ask_rows = (
        [list(row) if type(row) is tuple else row for row in side]
        for side in (bids, asks)
    )
    return BookData(whole, bid_rows, ask_rows, 1618678199279, seq, prev_seq, checksum)


def proven_builder(
    bids: Any = (), asks: Any = (), seq: int | None = None
) -> BookBuilder:
    """A builder after a snapshot that proved itself."""
    builder = BookBuilder()
    best_first = OrderBook().apply("partial", bids, asks)
    checksum = book_sum(best_first.bids, best_first.asks) if seq is None else None
    builder.take(message(True, bids, asks, checksum, -1, seq))
    assert builder.is_proven
    return builder


def assert_holds_nothing(builder: BookBuilder) -> None:
    """No update is taken, and a new snapshot brings nothing of the old book back."""
    assert not builder.is_proven
    for proof in ({"checksum": 0}, {"checksum": 5}, {"prev_seq": 10, "seq": 12}):
        with pytest.raises(BookError, match="an update of a book that is not held"):
            builder.take(message(False, **proof))
        assert not builder.is_proven
    new = rows("5:5"), rows("50:5")
    assert builder.take(message(True, *new, book_sum(*new))) == new
    assert builder.is_proven


# --- Published vectors ---------------------------------------------------------------


@EACH_VECTOR
def test_a_published_book_stands_however_its_rows_came(
    bids: Side, asks: Side, checksum: int
) -> None:
    data = message(True, bids[::-1], asks[::-1], checksum=checksum)

    assert BookBuilder().take(data) == (bids, asks)


SEQUENCES = [
    (
        {
            "asks": [["0.063", "1005", "0", "2"], ["0.0635", "451", "0", "1"]],
            "bids": [
                ["0.0565", "500", "0", "1"],
                ["0.056", "505", "0", "1"],
                ["0.055", "451", "0", "1"],
            ],
            "checksum": 1815367951,
        },
        {
            "asks": [],
            "bids": [["0.0555", "451", "0", "1"], ["0.055", "0", "0", "0"]],
            "checksum": 338594214,
        },
    ),
    (
        {
            "asks": [
                ["0.0475", "29", "0", "1"],
                ["0.0495", "110", "0", "1"],
                ["0.05", "100", "0", "1"],
            ],
            "bids": [["0.027", "110", "0", "1"], ["0.0265", "100", "0", "1"]],
            "checksum": -994620437,
        },
        {
            "asks": [],
            "bids": [["0.027", "210", "0", "2"], ["0.0265", "0", "0", "0"]],
            "checksum": 2096060715,
        },
    ),
]
EACH_SEQUENCE = pytest.mark.parametrize(("partial", "update"), SEQUENCES)


def message_of(element: dict[str, Any], whole: bool) -> BookData:
    return message(whole, *(element[name] for name in ("bids", "asks", "checksum")))


@EACH_SEQUENCE
def test_a_recorded_sequence_verifies_at_each_step(
    partial: dict[str, Any], update: dict[str, Any]
) -> None:
    builder, book = BookBuilder(), OrderBook()
    for action, element in (("partial", partial), ("update", update)):
        book = book.apply(action, element["bids"], element["asks"])
        assert book.checksum() == element["checksum"]
        sides = builder.take(message_of(element, action == "partial"))
        assert OrderBook(*sides) == book
        assert builder.is_proven


@EACH_SEQUENCE
def test_a_lost_update_fails_the_checksum(
    partial: dict[str, Any], update: dict[str, Any]
) -> None:
    builder = proven_builder(partial["bids"], partial["asks"])
    nothing = message(False, checksum=update["checksum"])
    with pytest.raises(ChecksumMismatch) as caught:
        builder.take(nothing)
    assert caught.value.expected == update["checksum"]
    assert caught.value.actual == partial["checksum"]
    assert not builder.is_proven


@EACH_SEQUENCE
def test_any_digit_of_a_recorded_sequence_is_proven(
    partial: dict[str, Any], update: dict[str, Any]
) -> None:
    changed = 0
    for side, field in itertools.product(("bids", "asks"), (0, 1)):
        for row, level in enumerate(update[side]):
            for at, digit in enumerate(level[field]):
                for other in set("0123456789") - {digit, "."} if digit != "." else ():
                    levels = [list(each) for each in update[side]]
                    levels[row][field] = (
                        f"{level[field][:at]}{other}{level[field][at + 1 :]}"
                    )
                    builder = BookBuilder()
                    builder.take(message_of(partial, True))
                    with pytest.raises(BookError):
                        builder.take(message_of({**update, side: levels}, False))
                    assert not builder.is_proven
                    changed += 1
    assert changed >= 100


def test_a_side_that_no_row_changes_is_shared_by_both_versions() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=10)
    first = builder.take(message(False, rows("8:2"), [], seq=11, prev_seq=10))
    then = builder.take(message(False, rows("8:0"), [], seq=12, prev_seq=11))

    assert [[row[:2] for row in bids] for bids, _ in (first, then)] == [
        [("9", "1"), ("8", "2")],
        [("9", "1")],
    ]
    assert then[1] is first[1]


# --- What is no level ---------------------------------------------------------------


@pytest.mark.parametrize(("row", "why"), [*BAD_ROWS, *BAD_PRICES])
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("proof", [{"seq": 11, "prev_seq": 10}, {"checksum": 5}])
def test_a_level_that_is_none_fails_the_proof_and_leaves_nothing_held(
    row: Any, why: str, side: int, whole: bool, proof: Any
) -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=10)
    sides: list[list[Any]] = [[], []]
    # In the middle of a message whose other rows are good.
    sides[side] = [*rows("7:1"), row, *rows("6:1")]

    with pytest.raises(BookError) as caught:
        builder.take(message(whole, *sides, **proof))

    assert type(caught.value) is BookError
    assert why in str(caught.value)
    assert len(str(caught.value)) <= 200
    assert str(caught.value).isprintable()
    assert_holds_nothing(builder)


# --- The book of a spread -----------------------------------------------------------

# A number of the exchange: beyond what a float can tell apart from its neighbours.
SEQ = 1724294007352168320


def three(*levels: str) -> Any:
    """Rows of a spread, of ``'price:size'``: price, size and number of orders."""
    return rows(*(f"{level}:1" for level in levels))


def spread_builder(bids: Any = (), asks: Any = ()) -> BookBuilder:
    """The builder of a spread after a snapshot that proved itself."""
    builder = BookBuilder(spread=True)
    builder.take(message(True, bids, asks, book_sum(bids, asks), -1, SEQ))
    return builder


def test_a_spreads_prices_go_through_zero() -> None:
    bids, asks = three("0.1:2", "0:1", "-0.1:3", "-10:1"), three("0.2:1", "5:2")
    builder = spread_builder(bids, asks)

    after = three("-0.1:4", "-10:1"), three("0:1", "0.2:1", "5:2")
    changes = three("0.1:0", "0:0", "-0.1:4"), three("0:1")
    sum_ = book_sum(*after)
    assert builder.take(message(False, *changes, sum_, SEQ, SEQ + 1)) == after


@pytest.mark.parametrize("checksum", [None, 0, 1])
def test_a_spread_is_proven_by_its_checksum_beside_the_sequence(
    checksum: int | None,
) -> None:
    builder = spread_builder(three("-1:1"))

    with pytest.raises(BookError):
        builder.take(message(False, three("-2:1"), (), checksum, SEQ, SEQ + 1))

    assert not builder.is_proven


def test_an_empty_book_of_a_spread_has_a_checksum_of_zero() -> None:
    builder = spread_builder(three("-1:1"))

    empty = message(False, three("-1:0"), (), 0, SEQ, SEQ + 1)
    assert builder.take(empty) == ((), ())


def test_numbers_of_a_spread_that_are_one_float_are_told_apart() -> None:
    builder = spread_builder(three("-1:1"))
    assert float(SEQ) == float(SEQ + 1)

    with pytest.raises(SequenceGap):
        builder.take(message(False, (), (), -1, SEQ + 1, SEQ + 2))


@pytest.mark.parametrize(
    "row", [["-1", "2", "0", "1"], ["-1", "-2", "1"], ["--1", "2", "1"]]
)
def test_a_row_that_no_spread_has_fails_the_proof(row: list[str]) -> None:
    builder = spread_builder(three("-1:1"))

    with pytest.raises(BookError):
        builder.take(message(False, [row], (), None, SEQ, SEQ + 1))

    assert not builder.is_proven


# --- What proves it: the checksum ---------------------------------------------------


def test_a_new_builder_holds_nothing() -> None:
    assert_holds_nothing(BookBuilder())


def test_a_right_checksum_is_a_proof_of_each_message() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"))
    after = rows("9:2"), rows("11:1")
    assert builder.take(message(False, rows("9:2"), (), book_sum(*after))) == after
    again = message(False, checksum=book_sum(*after))
    assert builder.take(again) == after


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("off", [1, -1, 1 << 31, -(1 << 32)])
def test_a_wrong_checksum_is_caught_and_nothing_is_held(whole: bool, off: int) -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"))
    after = rows("9:2"), rows("11:1")
    right = book_sum(*after)

    with pytest.raises(ChecksumMismatch) as caught:
        builder.take(message(whole, *after, right + off))

    assert (caught.value.expected, caught.value.actual) == (right + off, right)
    assert_holds_nothing(builder)


def test_an_order_count_needs_no_new_checksum() -> None:
    builder = proven_builder(rows("9:1:0:1"), ())
    sides = builder.take(message(False, rows("9:1:0:8"), (), book_sum(rows("9:1"), ())))
    assert sides == (rows("9:1:0:8"), ())


def test_a_row_below_the_top_25_is_not_proven_by_the_checksum() -> None:
    bids = wide_side(100, -1, 26)
    builder = proven_builder(bids, ())
    last = bids[-1][0]
    sides = builder.take(message(False, rows(f"{last}:77"), (), book_sum(bids, ())))
    assert sides[0][-1][:2] == (last, "77")
    # But once it comes up it is.
    shorter = (*bids[1:25], *rows(f"{last}:26"))
    with pytest.raises(ChecksumMismatch):
        builder.take(message(False, rows("100:0"), (), book_sum(shorter, ())))


def test_a_checksum_of_zero_is_the_sum_of_an_empty_book_under_v3() -> None:
    builder = BookBuilder()
    assert builder.take(message(True, checksum=0)) == ((), ())
    assert builder.is_proven
    one = rows("9:1")
    builder.take(message(False, one, (), book_sum(one, ())))
    assert builder.take(message(False, rows("9:0"), (), 0)) == ((), ())


@pytest.mark.parametrize("whole", [True, False])
def test_a_checksum_of_zero_is_no_sum_of_a_book_with_levels(whole: bool) -> None:
    builder = proven_builder(rows("9:1"), ())
    with pytest.raises(ChecksumMismatch):
        builder.take(message(whole, rows("9:2"), (), 0))
    assert_holds_nothing(builder)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("prev_seq", [None, -1])
def test_a_message_with_neither_proof_is_not_proven(
    whole: bool, prev_seq: int | None
) -> None:
    builder = proven_builder(rows("9:1"), ())
    with pytest.raises(BookError, match="neither a checksum nor a sequence"):
        builder.take(message(whole, rows("8:1"), prev_seq=prev_seq))
    assert_holds_nothing(builder)


# --- What proves it: the sequence ---------------------------------------------------


def test_a_snapshot_follows_minus_one_and_updates_follow_each_other() -> None:
    builder = BookBuilder()
    builder.take(message(True, rows("9:1"), rows("11:1"), 0, -1, 10))
    # Steps as recorded, and one as large as an id can be.
    steps = [10, 17, 29, 122, 123, 2**63 - 1]
    for size, (prev_seq, seq) in enumerate(itertools.pairwise(steps), 2):
        sides = builder.take(message(False, rows(f"9:{size}"), (), 0, prev_seq, seq))
        assert sides == (rows(f"9:{size}"), rows("11:1"))
    assert builder.is_proven


@pytest.mark.parametrize("checksum", [0, None])
def test_no_checksum_or_zero_beside_a_sequence_is_not_provided(
    checksum: int | None,
) -> None:
    builder = BookBuilder()
    one, two = rows("9:1"), rows("9:1", "8:1")
    assert builder.take(message(True, one, (), checksum, -1, 10)) == (one, ())
    after = builder.take(message(False, rows("8:1"), (), checksum, 10, 11))
    assert after == (two, ())


def test_an_empty_book_with_a_sequence_stands() -> None:
    builder = proven_builder(seq=10)
    assert builder.take(message(False, (), (), 0, 10, 10)) == ((), ())


def test_an_idle_book_repeats_itself_with_the_same_id() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=10)
    for _ in range(3):
        sides = builder.take(message(False, (), (), 0, 10, 10))
        assert sides == (rows("9:1"), rows("11:1"))
    assert builder.take(message(False, rows("9:2"), (), 0, 10, 12))[0] == rows("9:2")


def test_after_a_maintenance_the_ids_begin_anew_below_the_last() -> None:
    # The documented chain: snapshot, update, repeat, reset, update.
    builder = BookBuilder()
    chain = [(-1, 10), (10, 15), (15, 15), (15, 3), (3, 5)]
    for number, (prev_seq, seq) in enumerate(chain):
        bids = () if prev_seq == seq else rows(f"9:{number + 1}")
        builder.take(message(number == 0, bids, (), 0, prev_seq, seq))
    assert builder.take(message(False, (), (), 0, 5, 5)) == (rows("9:5"), ())


@pytest.mark.parametrize(
    ("prev_seq", "seq"),
    [(16, 17), (9, 10), (10, 15), (-1, 20), (None, 20), (14, 3), (16, 16), (0, 15)],
)
def test_an_update_that_follows_another_is_a_gap(
    prev_seq: int | None, seq: int
) -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=10)
    builder.take(message(False, rows("9:2"), (), 0, 10, 15))

    with pytest.raises(SequenceGap) as caught:
        builder.take(message(False, rows("9:3"), (), 0, prev_seq, seq))

    assert (caught.value.expected, caught.value.actual) == (15, prev_seq)
    assert_holds_nothing(builder)


def test_a_gap_is_a_gap_even_where_the_checksum_agrees() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=10)
    with pytest.raises(SequenceGap):
        builder.take(message(False, (), (), book_sum(rows("9:1"), rows("11:1")), 9, 11))
    assert_holds_nothing(builder)


@pytest.mark.parametrize("whole", [True, False])
def test_where_there_are_both_proofs_both_have_to_hold(whole: bool) -> None:
    # As at OKJ.
    after = rows("9:2"), rows("11:1")
    right = book_sum(*after)
    builder = proven_builder(*after, seq=10)
    assert builder.take(message(whole, *after, right, 10, 11)) == after
    with pytest.raises(ChecksumMismatch):
        builder.take(message(whole, *after, right + 1, 11, 12))
    assert_holds_nothing(builder)


def test_an_update_before_any_snapshot_is_of_no_book() -> None:
    for proof in ({"prev_seq": -1, "seq": 10}, {"checksum": 0}):
        builder = BookBuilder()
        with pytest.raises(BookError, match="an update of a book that is not held"):
            builder.take(message(False, **proof))
        assert_holds_nothing(builder)


def test_a_second_snapshot_is_a_new_book_and_a_new_chain() -> None:
    builder = proven_builder(rows("9:1", "8:1"), rows("11:1"), seq=10)
    # Whatever it says that it follows.
    for prev_seq, seq in ((-1, 5), (10, 11), (99, 100)):
        new = rows(f"7:{seq}"), rows("12:1")
        assert builder.take(message(True, *new, 0, prev_seq, seq)) == new
        assert builder.take(message(False, (), (), 0, seq, seq)) == new
    with pytest.raises(SequenceGap):
        builder.take(message(False, (), (), 0, 10, 11))


def test_a_second_snapshot_that_fails_takes_the_first_with_it() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"))
    with pytest.raises(ChecksumMismatch):
        builder.take(message(True, rows("8:1"), (), 5))
    assert_holds_nothing(builder)


def test_a_sequence_that_begins_in_an_update_proves_nothing() -> None:
    # The snapshot had none, the update says nothing that it follows.
    builder = proven_builder(rows("9:1"), rows("11:1"))
    with pytest.raises(BookError):
        builder.take(message(False, rows("9:2"), (), 0, None, 11))
    assert_holds_nothing(builder)


def test_a_sequence_that_stops_leaves_the_checksum() -> None:
    builder = proven_builder(rows("9:1"), (), seq=10)
    after = rows("9:2")
    assert builder.take(message(False, after, (), book_sum(after, ()))) == (after, ())
    # It cannot be taken up again: what came between was not in it.
    with pytest.raises(SequenceGap) as caught:
        builder.take(message(False, (), (), 0, 10, 11))
    assert (caught.value.expected, caught.value.actual) == (None, 10)


def test_a_book_that_was_cleared_has_to_come_whole() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=10)
    builder.clear()
    assert_holds_nothing(builder)


# --- What is given out --------------------------------------------------------------


def test_deletes_of_levels_that_are_not_held_are_normal() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"))
    right = book_sum(rows("9:1"), rows("11:1"))
    data = message(False, rows("8:0", "10:0", "8:0"), rows("12:0", "0:0"), right)
    assert builder.take(data) == (rows("9:1"), rows("11:1"))


def test_a_crossed_book_whose_proof_stands_is_given_and_says_so() -> None:
    builder = proven_builder(rows("9:1"), rows("10:1"), seq=1)
    sides = builder.take(message(False, rows("11:1"), (), 0, 1, 2))
    assert sides == (rows("11:1", "9:1"), rows("10:1"))
    assert OrderBook(*sides).crossed
    assert builder.is_proven
    sides = builder.take(message(False, rows("11:0"), (), 0, 2, 3))
    assert not OrderBook(*sides).crossed


def test_a_side_that_did_not_change_is_not_made_again() -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=1)
    first = builder.take(message(False, rows("9:2"), (), 0, 1, 2))
    second = builder.take(message(False, (), rows("11:2"), 0, 2, 3))
    third = builder.take(message(False, (), (), 0, 3, 3))
    assert second[0] is first[0]
    assert (third[0] is second[0], third[1] is second[1]) == (True, True)


def test_what_was_given_out_shares_nothing_with_the_message() -> None:
    builder = BookBuilder()
    data = message(True, rows("9:1"), rows("11:1"), 0, -1, 1)
    sides = builder.take(data)
    data.bids[0][1] = "7"
    data.asks.clear()
    assert sides == (rows("9:1"), rows("11:1"))
    assert builder.take(message(False, (), (), 0, 1, 1)) == sides


def test_a_failed_proof_changes_no_version_that_was_given_out() -> None:
    builder = BookBuilder()
    sides = builder.take(message(True, rows("9:1"), rows("11:1"), 0, -1, 1))
    with pytest.raises(ChecksumMismatch):
        builder.take(message(False, rows("9:0"), rows("12:1"), 5, 1, 2))
    assert sides == (rows("9:1"), rows("11:1"))


# --- Against a book that cannot be wrong --------------------------------------------


Proof = Callable[[int, int], dict[str, "int | None"]]
# What beside the rows of message *n* proves a book with this sum.
PROOFS: dict[str, Proof] = {
    "checksum": lambda n, right: {"checksum": right},
    "sequence": lambda n, right: {"prev_seq": 7 * n - 1, "seq": 7 * n + 6},
    "retired": lambda n, right: {"checksum": 0, "prev_seq": 3 * n, "seq": 3 * n + 3},
    "both": lambda n, right: {"checksum": right, "prev_seq": n - 1, "seq": n},
    "downward": lambda n, right: {"prev_seq": 1000 - n, "seq": 999 - n},
}
proofs = st.sampled_from(sorted(PROOFS))
# Each with a whole book in front, so that there is something to update.
streams = messages.map(lambda found: [(True, *found[0][1:]), *found[1:]])


def proven(
    stream: list[Change], proof: str
) -> list[tuple[BookData, tuple[Side, Side]]]:
    """Each message with its right proof, and the sides that it makes."""
    reference, found = ReferenceBook(), []
    for number, (whole, bids, asks) in enumerate(stream):
        sides = reference.take(whole, bids, asks)
        right = PROOFS[proof](number, book_sum(*sides))
        found.append((message(whole, bids, asks, **right), sides))
    return found


@given(streams, proofs)
def test_a_builder_agrees_with_a_dict_sorted_each_time(
    stream: list[Change], proof: str
) -> None:
    builder, given_out = BookBuilder(), []
    expected = proven(stream, proof)
    for data, sides in expected:
        given_out.append(builder.take(data))
        assert builder.is_proven
        assert given_out[-1] == sides
        assert OrderBook(*given_out[-1]).checksum() == book_sum(*sides)
    # And none of them changed later.
    assert given_out == [sides for _, sides in expected]
    assert all(type(row) is tuple for sides in given_out for s in sides for row in s)


@given(streams, proofs, st.integers(0, 31), st.data())
@example([(True, [], [])], "checksum", 0, None)
def test_any_single_wrong_proof_is_caught(
    stream: list[Change], proof: str, bit: int, data: st.DataObject | None
) -> None:
    found = proven(stream, proof)
    # A snapshot may follow what it likes, and has no sum where that is retired.
    by_sum = proof in ("checksum", "both")
    places = [i for i, (each, _) in enumerate(found) if by_sum or not each.whole]
    if not places:
        return
    at = data.draw(st.sampled_from(places)) if data else places[0]
    wrong = _with_wrong_proof(found[at][0], bit, by_sum)
    builder = BookBuilder()

    for each, sides in found[:at]:
        assert builder.take(each) == sides
    with pytest.raises(ChecksumMismatch if by_sum else SequenceGap):
        builder.take(wrong)
    assert not builder.is_proven

    for each, sides in found[at + 1 :]:
        if each.whole or builder.is_proven:
            assert builder.take(each) == sides
        else:
            with pytest.raises(BookError, match="not held"):
                builder.take(each)
    assert builder.is_proven is any(each.whole for each, _ in found[at + 1 :])


def _with_wrong_proof(right: BookData, bit: int, by_sum: bool) -> BookData:
    """With a bit of its proof flipped."""
    if by_sum:
        assert right.checksum is not None
        wrong = (right.checksum & 0xFFFFFFFF) ^ (1 << bit)
        # Zero beside a sequence would say that there is none.
        wrong = wrong or 0xFFFFFFFF
        signed = wrong - (1 << 32) if wrong >= 1 << 31 else wrong
        return right._replace(checksum=signed)
    assert right.prev_seq is not None
    return right._replace(prev_seq=right.prev_seq ^ (1 << bit))


junk = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.sampled_from(["1", "-1", "0"]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@pytest.mark.once
@given(st.lists(junk, min_size=1, max_size=4), st.integers(0, 1))
def test_whatever_is_in_a_message_its_book_stands_proven_or_holds_nothing(
    rows_of_it: list[Any], side: int
) -> None:
    builder = proven_builder(rows("9:1"), rows("11:1"), seq=10)
    sides: list[list[Any]] = [[], []]
    sides[side] = rows_of_it
    try:
        builder.take(message(False, *sides, prev_seq=10, seq=11))
    except BookError:
        assert_holds_nothing(builder)
    else:
        assert builder.is_proven
        assert all(len(row) in (3, 4) for row in rows_of_it)
