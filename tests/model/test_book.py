"""The book merges as the exchange does, and its proof says when it did not."""

from __future__ import annotations

import itertools
import random
import re
import zlib
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from okex_ws.base.errors import BookError, ChecksumMismatch, SequenceGap
from okex_ws.channels.book_builder import BookBuilder
from okex_ws.model.book import OrderBook, Side, Sweep
from okex_ws.protocol.messages import BookData


def rows(*levels: str) -> tuple[tuple[str, ...], ...]:
    """Rows of v5 from ``'price:size'``, or of as many fields as are given."""
    split = (level.split(":") for level in levels)
    return tuple((*row, "0", "1") if len(row) == 2 else tuple(row) for row in split)


def wide(first: int, step: int, count: int) -> tuple[tuple[str, ...], ...]:
    return rows(*(f"{first + step * i}:{i + 1}" for i in range(count)))


def book_sum(bids: Sequence[Sequence[str]], asks: Sequence[Sequence[str]]) -> int:
    """The checksum, as the wire page has it: one level after the other."""
    parts: list[str] = []
    for i in range(25):
        if i < len(bids):
            parts += [bids[i][0], bids[i][1]]
        if i < len(asks):
            parts += [asks[i][0], asks[i][1]]
    crc = zlib.crc32(":".join(parts).encode("ascii"))
    return crc - 2**32 if crc >= 2**31 else crc


# --- The wire page's vectors --------------------------------------------------------

VECTORS = [
    (rows("3366.1:7", "3366:6"), rows("3366.8:9", "3368:8"), -1881014294),
    (rows("3366.1:7"), rows("3366.8:9", "3368:8", "3372:8"), 831078360),
    ((), rows("0.0015:906"), -288111842),
    (
        rows("0.0565:500", "0.056:505", "0.055:451"),
        *(rows("0.063:1005", "0.0635:451"), 1815367951),
    ),
    (
        rows("0.0565:500", "0.056:505", "0.0555:451"),
        *(rows("0.063:1005", "0.0635:451"), 338594214),
    ),
    (
        rows("0.027:110", "0.0265:100"),
        *(rows("0.0475:29", "0.0495:110", "0.05:100"), -994620437),
    ),
    (rows("0.027:210"), rows("0.0475:29", "0.0495:110", "0.05:100"), 2096060715),
    (
        rows("0.335:5", "0.3345:300", "0.334:301", "0.3295:305", "0.0005:10"),
        rows("0.3415:5", "0.342:300", "0.3425:301", "0.3445:305"),
        -1431042442,
    ),
    ((), (), 0),
]
EACH_VECTOR = pytest.mark.parametrize(("bids", "asks", "checksum"), VECTORS)


@EACH_VECTOR
def test_the_checksum_of_published_books(bids: Side, asks: Side, checksum: int) -> None:
    assert OrderBook(bids, asks).checksum() == checksum
    assert book_sum(bids, asks) == checksum


@EACH_VECTOR
def test_a_published_book_stands_however_its_rows_came(
    bids: Side, asks: Side, checksum: int
) -> None:
    data = message(True, bids[::-1], asks[::-1], checksum=checksum)

    assert BookBuilder().take(data) == (bids, asks)


def test_order_counts_are_not_in_the_checksum() -> None:
    book = OrderBook(rows("3366.1:7:0:4"), rows("3366.8:9:1", "3368:8:0:2", "3372:8"))
    assert book.checksum() == 831078360


def test_only_the_top_25_of_each_side_are_in_the_checksum() -> None:
    book = OrderBook(wide(100, -1, 30), wide(101, 1, 30))
    assert book.checksum() == book.top(25).checksum() != book.top(24).checksum()


@pytest.mark.parametrize("lengths", [(30, 3), (3, 30), (25, 0), (0, 26), (25, 24)])
def test_the_longer_side_goes_on_alone(lengths: tuple[int, int]) -> None:
    bids, asks = wide(100, -1, lengths[0]), wide(101, 1, lengths[1])
    assert OrderBook(bids, asks).checksum() == book_sum(bids, asks)


def test_zeros_at_the_end_of_a_number_are_in_the_checksum() -> None:
    short, long = OrderBook(rows("124:1"), ()), OrderBook(rows("124.0:1"), ())
    assert short.checksum() != long.checksum()


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


def said(element: dict[str, Any], whole: bool) -> BookData:
    return message(whole, *(element[name] for name in ("bids", "asks", "checksum")))


@EACH_SEQUENCE
def test_a_recorded_sequence_verifies_at_each_step(
    partial: dict[str, Any], update: dict[str, Any]
) -> None:
    builder, book = BookBuilder(), OrderBook()
    for action, element in (("partial", partial), ("update", update)):
        book = book.apply(action, element["bids"], element["asks"])
        assert book.checksum() == element["checksum"]
        sides = builder.take(said(element, action == "partial"))
        assert OrderBook(*sides) == book
        assert builder.is_proven


@EACH_SEQUENCE
def test_a_lost_update_fails_the_checksum(
    partial: dict[str, Any], update: dict[str, Any]
) -> None:
    builder = standing(partial["bids"], partial["asks"])
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
                    builder.take(said(partial, True))
                    with pytest.raises(BookError):
                        builder.take(said({**update, side: levels}, False))
                    assert not builder.is_proven
                    changed += 1
    assert changed >= 100


# --- Merging ------------------------------------------------------------------------


def test_a_partial_replaces_the_whole_book() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("partial", rows("7:2"), []) == OrderBook(rows("7:2"))
    assert book.apply("snapshot", [], rows("12:2")) == OrderBook((), rows("12:2"))


def test_prices_are_one_price_when_they_are_one_number() -> None:
    book = OrderBook(rows("9.0:1", "8:1"), rows("11:1"))
    book = book.apply("update", rows("9:5"), rows("11.00:0"))
    assert book == OrderBook(rows("9:5", "8:1"), ())


@pytest.mark.parametrize("zero", ["0", "0.0", "0.00000000", "0e5", ".0"])
def test_a_zero_size_deletes_however_it_is_written(zero: str) -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("update", rows(f"9:{zero}"), []).bids == rows("8:1")


def test_deleting_a_price_that_is_not_held_changes_nothing() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.apply("update", rows("8.5:0"), rows("12:0")) == book
    assert book.apply("update", rows("0:0"), rows("0:0")) == book
    assert OrderBook().apply("update", rows("8.5:0"), ()) == OrderBook()


def test_an_empty_update_changes_nothing() -> None:
    book = OrderBook(rows("9:1"), rows("11:1"))
    assert book.apply("update", [], []) == book


def test_the_last_row_of_a_price_counts() -> None:
    book = OrderBook().apply("update", rows("9:1", "9.0:2", "8:1", "8:0"), ())
    assert book == OrderBook(rows("9.0:2"))


def test_a_row_has_three_fields_or_four_and_keeps_them() -> None:
    book = OrderBook().apply("partial", rows("9:1:4"), rows("11:1:0:4"))
    assert book == OrderBook((("9", "1", "4"),), (("11", "1", "0", "4"),))
    book = book.apply("update", rows("9:2:0:7"), rows("11:2:7"))
    assert book == OrderBook((("9", "2", "0", "7"),), (("11", "2", "7"),))


def test_rows_may_come_in_any_kind_of_iterable() -> None:
    book = OrderBook().apply("partial", iter(rows("9:1")), map(list, rows("11:1")))
    assert book == OrderBook(rows("9:1"), rows("11:1"))


def test_a_version_stays_what_it_was() -> None:
    book = OrderBook(rows("9:1"), rows("11:1"))
    book.apply("update", rows("9:0", "10:3"), rows("11:7"))
    assert book == OrderBook(rows("9:1"), rows("11:1"))


def test_an_unknown_action_is_refused() -> None:
    with pytest.raises(ValueError, match="'partial', 'snapshot' or 'update'"):
        OrderBook().apply("delete", [], [])


# Three prices that are one as floats, and a fourth that is one of them as a number.
LOW = "0.1"
MIDDLE = "0.100000000000000003"
HIGH = "0.100000000000000005"
LOW_AGAIN = "0.10000000000000000000"


def test_two_prices_that_share_a_float_stay_two() -> None:
    assert float(LOW) == float(MIDDLE) == float(HIGH)
    best_first = rows(f"{LOW}:1", f"{MIDDLE}:2", f"{HIGH}:3", "0.2:1")
    for order in itertools.permutations(best_first):
        book = OrderBook().apply("partial", order, order)
        assert book.asks == best_first
        assert book.bids == best_first[::-1]


def test_a_price_with_more_zeros_is_the_same_price() -> None:
    book = OrderBook().apply("partial", [], rows(f"{LOW}:1"))
    assert book.apply("update", [], rows(f"{LOW_AGAIN}:0")) == OrderBook()
    assert book.apply("update", [], rows(f"{LOW_AGAIN}:5")).asks == rows(
        f"{LOW_AGAIN}:5"
    )


@pytest.mark.parametrize("gone", [LOW, MIDDLE, HIGH])
def test_one_of_the_prices_that_share_a_float_is_replaced_or_deleted_alone(
    gone: str,
) -> None:
    held = (LOW, MIDDLE, HIGH)
    all_three = rows(*(f"{price}:1" for price in held))
    book = OrderBook().apply("partial", all_three, all_three)
    # In other characters than those that are held.
    same = gone + "0"

    without = book.apply("update", rows(f"{same}:0"), rows(f"{same}:0"))
    left = rows(*(f"{price}:1" for price in held if price != gone))
    assert (without.bids, without.asks) == (left[::-1], left)

    larger = book.apply("update", rows(f"{same}:7"), rows(f"{same}:7"))
    now = rows(*(f"{same}:7" if price == gone else f"{price}:1" for price in held))
    assert (larger.bids, larger.asks) == (now[::-1], now)


# --- What is no level ---------------------------------------------------------------

# Each of them is a failed proof, and what it says of it.
BAD_ROWS: list[tuple[Any, str]] = [
    ("9:1", "a level is '9:1'"),
    ("910", "a level is '910'"),
    ({"9": "1", "0": "1", "1": "1"}, "a level is dict"),
    (None, "a level is NoneType"),
    (9, "a level is int"),
    ([], "unpack"),
    (["9"], "unpack"),
    (["9", "1"], "unpack"),
    (["9", "1", "0", "1", "0"], "unpack"),
    (["9", "-1", "0", "1"], "not a number: '-1'"),
    (["9", "-0.5", "1"], "not a number: '-0.5'"),
    (["9", "-0", "0", "1"], "not a number: '-0'"),
    (["-9", "1", "0", "1"], "not a number: '-9'"),
    (["0", "1", "0", "1"], "a level at '0'"),
    (["0.00", "1", "1"], "a level at '0.00'"),
    (["0e9", "1", "0", "1"], "a level at '0e9'"),
    ([9, "1", "0", "1"], "not a number: int"),
    (["9", 1, "0", "1"], "not a number: int"),
    (["9", 1.5, "0", "1"], "not a number: float"),
    (["9", "1", 0, "1"], "not a number: int"),
    (["9", "1", "0", 1], "not a number: int"),
    (["9", "1", 1], "not a number: int"),
    ([None, "1", "0", "1"], "not a number: NoneType"),
    (["9", None, "0", "1"], "not a number: NoneType"),
    (["9", True, "0", "1"], "not a number: bool"),
    (["9", "1", "0", None], "not a number: NoneType"),
    (["9", "1", "x", "1"], "not a number: 'x'"),
    (["9", "1", "-1", "1"], "not a number: '-1'"),
    (["9", "1", "0", "-1"], "not a number: '-1'"),
    ([["9"], "1", "0", "1"], "unhashable"),
    (["9", ["1"], "0", "1"], "not a number: list"),
    (["9", "1", {}, "1"], "unhashable"),
    (["9", "1", "0", []], "unhashable"),
    ([["9", "1", "0", "1"]], "unpack"),
    (["", "1", "0", "1"], "not a number: ''"),
    (["9", "", "0", "1"], "not a number: ''"),
    ([" 9", "1", "0", "1"], "not a number: ' 9'"),
    (["NaN", "1", "0", "1"], "not a number: 'NaN'"),
    (["9", "Infinity", "0", "1"], "not a number: 'Infinity'"),
    (["1e999", "1", "0", "1"], "not a number: '1e999'"),
    (["9" * 65, "1", "0", "1"], "not a number: '999"),
    (["9", "\x1b[2J\n", "0", "1"], "not a number: '\\x1b[2J\\n'"),
]
EACH_BAD_ROW = pytest.mark.parametrize(("row", "why"), BAD_ROWS)


@EACH_BAD_ROW
def test_a_level_that_is_none_is_a_value_error_of_apply(row: Any, why: str) -> None:
    both: list[Any] = [([row], []), ([], [row])]
    for sides in both:
        for action in ("partial", "update"):
            with pytest.raises(ValueError, match=re.escape(why)):
                OrderBook().apply(action, *sides)


@EACH_BAD_ROW
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("proof", [{"seq": 11, "prev_seq": 10}, {"checksum": 5}])
def test_a_level_that_is_none_fails_the_proof_and_leaves_nothing_held(
    row: Any, why: str, side: int, whole: bool, proof: Any
) -> None:
    builder = standing(rows("9:1"), rows("11:1"), seq=10)
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


# --- What proves it: the checksum ---------------------------------------------------


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


def standing(bids: Any = (), asks: Any = (), seq: int | None = None) -> BookBuilder:
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


def test_a_new_builder_holds_nothing() -> None:
    assert_holds_nothing(BookBuilder())


def test_a_right_checksum_is_a_proof_of_each_message() -> None:
    builder = standing(rows("9:1"), rows("11:1"))
    after = rows("9:2"), rows("11:1")
    assert builder.take(message(False, rows("9:2"), (), book_sum(*after))) == after
    again = message(False, checksum=book_sum(*after))
    assert builder.take(again) == after


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("off", [1, -1, 1 << 31, -(1 << 32)])
def test_a_wrong_checksum_is_caught_and_nothing_is_held(whole: bool, off: int) -> None:
    builder = standing(rows("9:1"), rows("11:1"))
    after = rows("9:2"), rows("11:1")
    right = book_sum(*after)

    with pytest.raises(ChecksumMismatch) as caught:
        builder.take(message(whole, *after, right + off))

    assert (caught.value.expected, caught.value.actual) == (right + off, right)
    assert_holds_nothing(builder)


def test_an_order_count_needs_no_new_checksum() -> None:
    builder = standing(rows("9:1:0:1"), ())
    sides = builder.take(message(False, rows("9:1:0:8"), (), book_sum(rows("9:1"), ())))
    assert sides == (rows("9:1:0:8"), ())


def test_a_row_below_the_top_25_is_not_proven_by_the_checksum() -> None:
    bids = wide(100, -1, 26)
    builder = standing(bids, ())
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
    builder = standing(rows("9:1"), ())
    with pytest.raises(ChecksumMismatch):
        builder.take(message(whole, rows("9:2"), (), 0))
    assert_holds_nothing(builder)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("prev_seq", [None, -1])
def test_a_message_with_neither_proof_is_not_proven(
    whole: bool, prev_seq: int | None
) -> None:
    builder = standing(rows("9:1"), ())
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
    builder = standing(seq=10)
    assert builder.take(message(False, (), (), 0, 10, 10)) == ((), ())


def test_an_idle_book_repeats_itself_with_the_same_id() -> None:
    builder = standing(rows("9:1"), rows("11:1"), seq=10)
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
    builder = standing(rows("9:1"), rows("11:1"), seq=10)
    builder.take(message(False, rows("9:2"), (), 0, 10, 15))

    with pytest.raises(SequenceGap) as caught:
        builder.take(message(False, rows("9:3"), (), 0, prev_seq, seq))

    assert (caught.value.expected, caught.value.actual) == (15, prev_seq)
    assert_holds_nothing(builder)


def test_a_gap_is_a_gap_even_where_the_checksum_agrees() -> None:
    builder = standing(rows("9:1"), rows("11:1"), seq=10)
    with pytest.raises(SequenceGap):
        builder.take(message(False, (), (), book_sum(rows("9:1"), rows("11:1")), 9, 11))
    assert_holds_nothing(builder)


@pytest.mark.parametrize("whole", [True, False])
def test_where_there_are_both_proofs_both_have_to_hold(whole: bool) -> None:
    # As at OKJ.
    after = rows("9:2"), rows("11:1")
    right = book_sum(*after)
    builder = standing(*after, seq=10)
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
    builder = standing(rows("9:1", "8:1"), rows("11:1"), seq=10)
    # Whatever it says that it follows.
    for prev_seq, seq in ((-1, 5), (10, 11), (99, 100)):
        new = rows(f"7:{seq}"), rows("12:1")
        assert builder.take(message(True, *new, 0, prev_seq, seq)) == new
        assert builder.take(message(False, (), (), 0, seq, seq)) == new
    with pytest.raises(SequenceGap):
        builder.take(message(False, (), (), 0, 10, 11))


def test_a_second_snapshot_that_fails_takes_the_first_with_it() -> None:
    builder = standing(rows("9:1"), rows("11:1"))
    with pytest.raises(ChecksumMismatch):
        builder.take(message(True, rows("8:1"), (), 5))
    assert_holds_nothing(builder)


def test_a_sequence_that_begins_in_an_update_proves_nothing() -> None:
    # The snapshot had none, the update says nothing that it follows.
    builder = standing(rows("9:1"), rows("11:1"))
    with pytest.raises(BookError):
        builder.take(message(False, rows("9:2"), (), 0, None, 11))
    assert_holds_nothing(builder)


def test_a_sequence_that_stops_leaves_the_checksum() -> None:
    builder = standing(rows("9:1"), (), seq=10)
    after = rows("9:2")
    assert builder.take(message(False, after, (), book_sum(after, ()))) == (after, ())
    # It cannot be taken up again: what came between was not in it.
    with pytest.raises(SequenceGap) as caught:
        builder.take(message(False, (), (), 0, 10, 11))
    assert (caught.value.expected, caught.value.actual) == (None, 10)


def test_a_book_that_was_cleared_has_to_come_whole() -> None:
    builder = standing(rows("9:1"), rows("11:1"), seq=10)
    builder.clear()
    assert_holds_nothing(builder)


# --- What is given out --------------------------------------------------------------


def test_deletes_of_levels_that_are_not_held_are_normal() -> None:
    builder = standing(rows("9:1"), rows("11:1"))
    right = book_sum(rows("9:1"), rows("11:1"))
    data = message(False, rows("8:0", "10:0", "8:0"), rows("12:0", "0:0"), right)
    assert builder.take(data) == (rows("9:1"), rows("11:1"))


def test_a_crossed_book_whose_proof_stands_is_given_and_says_so() -> None:
    builder = standing(rows("9:1"), rows("10:1"), seq=1)
    sides = builder.take(message(False, rows("11:1"), (), 0, 1, 2))
    assert sides == (rows("11:1", "9:1"), rows("10:1"))
    assert OrderBook(*sides).crossed
    assert builder.is_proven
    sides = builder.take(message(False, rows("11:0"), (), 0, 2, 3))
    assert not OrderBook(*sides).crossed


def test_a_side_that_did_not_change_is_not_made_again() -> None:
    builder = standing(rows("9:1"), rows("11:1"), seq=1)
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


# --- What a book says ---------------------------------------------------------------


def test_best_is_the_first_row_of_each_side_or_none() -> None:
    assert OrderBook(rows("9:1", "8:1"), ()).best == (rows("9:1")[0], None)
    assert OrderBook((), rows("11:1", "12:1")).best == (None, rows("11:1")[0])
    assert OrderBook().best == (None, None)


def test_top_cuts_each_side() -> None:
    book = OrderBook(rows("9:1", "8:1"), rows("11:1"))
    assert book.top(1) == OrderBook(rows("9:1"), rows("11:1"))
    assert book.top(0) == OrderBook()
    assert book.top(400) == book
    with pytest.raises(ValueError, match="negative"):
        book.top(-1)


@pytest.mark.parametrize(
    ("bid", "ask", "mid", "spread", "crossed"),
    [
        ("60003.1", "60003.2", "60003.15", "0.1", False),
        ("0.00000001", "0.00000003", "0.00000002", "0.00000002", False),
        ("10", "10.0", "10", "0", True),
        ("11", "10", "10.5", "-1", True),
    ],
)
def test_mid_and_spread_are_exact(
    bid: str, ask: str, mid: str, spread: str, crossed: bool
) -> None:
    book = OrderBook(rows(f"{bid}:1"), rows(f"{ask}:1"))
    assert (book.mid, book.spread, book.crossed) == (
        *(Decimal(mid), Decimal(spread), crossed),
    )


@pytest.mark.parametrize(
    "book", [OrderBook(), OrderBook(rows("9:1")), OrderBook((), rows("11:1"))]
)
def test_a_book_with_an_empty_side_has_no_middle_and_is_not_crossed(
    book: OrderBook,
) -> None:
    assert (book.mid, book.spread, book.crossed) == (None, None, False)


BOOK = OrderBook(
    rows("99.5:1.5", "99:2", "90:10"), rows("100.5:0.5", "101:1.5", "110:1")
)


@pytest.mark.parametrize(
    ("side", "size", "average", "worst", "filled", "remaining"),
    [
        ("buy", "0.25", "100.5", "100.5", "0.25", "0"),
        ("buy", "0.5", "100.5", "100.5", "0.5", "0"),
        ("buy", "1", "100.75", "101", "1", "0"),
        ("buy", "2", "100.875", "101", "2", "0"),
        ("buy", "2.5", "102.7", "110", "2.5", "0"),
        ("buy", "3", str(Decimal("311.75") / 3), "110", "3", "0"),
        ("buy", "10", str(Decimal("311.75") / 3), "110", "3", "7"),
        ("sell", "1.5", "99.5", "99.5", "1.5", "0"),
        ("sell", "3.5", str(Decimal("347.25") / Decimal("3.5")), "99", "3.5", "0"),
        (
            "sell",
            "100",
            str(Decimal("1247.25") / Decimal("13.5")),
            "90",
            "13.5",
            "86.5",
        ),
    ],
)
def test_a_sweep_takes_level_after_level(
    side: str, size: str, average: str, worst: str, filled: str, remaining: str
) -> None:
    numbers = map(Decimal, (average, worst, filled, remaining))
    expected = Sweep(*numbers)
    assert BOOK.sweep(side, size) == expected
    assert BOOK.sweep(side, Decimal(size)) == expected
    if size.isdigit():
        assert BOOK.sweep(side, int(size)) == expected


@pytest.mark.parametrize("side", ["buy", "sell"])
def test_a_sweep_of_an_empty_side_gets_nothing(side: str) -> None:
    assert OrderBook().sweep(side, "2.5") == Sweep(
        None, None, Decimal(0), Decimal("2.5")
    )
    other = OrderBook(rows("9:1"), ()) if side == "buy" else OrderBook((), rows("11:1"))
    assert other.sweep(side, 1) == Sweep(None, None, Decimal(0), Decimal(1))


@pytest.mark.parametrize("side", ["bid", "ask", "bids", "BUY", "", None, 1])
def test_a_sweep_is_a_buy_or_a_sell(side: Any) -> None:
    with pytest.raises(ValueError, match=f"'buy' or 'sell', got {side!r}"):
        BOOK.sweep(side, 1)


@pytest.mark.parametrize(
    "size", ["0", "0.00", "-1", "", "x", "NaN", "Infinity", " 1", 0, -1, "1e999"]
)
def test_the_size_of_a_sweep_is_a_positive_number(size: Any) -> None:
    with pytest.raises(ValueError, match=r"not a number|more than 0"):
        BOOK.sweep("buy", size)


@pytest.mark.parametrize("size", [Decimal("1e100"), Decimal("1e-100"), 10**64])
def test_a_sweep_has_no_more_digits_than_a_book_can_have(size: Any) -> None:
    with pytest.raises(ValueError, match="more digits than any book"):
        BOOK.sweep("buy", size)


@pytest.mark.parametrize(
    "size", [*map(Decimal, ("0", "0E-8", "-0", "-1", "NaN", "sNaN", "Infinity"))]
)
def test_the_decimal_of_a_sweep_is_a_positive_number(size: Decimal) -> None:
    with pytest.raises(ValueError, match=r"not a number|more than 0"):
        BOOK.sweep("buy", size)


@pytest.mark.parametrize("size", [1.5, None, True, False, b"1", [], (1,)])
def test_the_size_of_a_sweep_is_exact(size: Any) -> None:
    with pytest.raises(TypeError, match="a Decimal, an int or a str"):
        BOOK.sweep("buy", size)


def test_a_decimal_may_have_an_exponent() -> None:
    assert BOOK.sweep("buy", Decimal("1E+1")) == BOOK.sweep("buy", 10)
    assert BOOK.sweep("buy", Decimal("5E-1")) == BOOK.sweep("buy", "0.5")


@pytest.mark.parametrize("size", ["1" + "0" * 40, "3." + "0" * 40 + "1"])
def test_a_sweep_of_any_size_fills_what_there_is(size: str) -> None:
    found = BOOK.sweep("buy", size)

    assert found.filled == 3
    assert Fraction(found.filled) + Fraction(found.remaining) == Fraction(size)


def test_a_sweep_is_exact_whatever_precision_a_script_has() -> None:
    expected = BOOK.sweep("buy", "2.25")
    with localcontext() as context:
        context.prec = 2
        found = BOOK.sweep("buy", "2.25")
    assert (found.filled, found.remaining) == (expected.filled, expected.remaining)


swept = st.lists(
    st.tuples(
        st.decimals("0.01", "1000", places=2), st.decimals("0.001", "50", places=3)
    ),
    max_size=12,
    unique_by=lambda level: level[0],
)


@given(swept, st.decimals("0.001", "500", places=3), st.sampled_from(["buy", "sell"]))
def test_a_sweep_agrees_with_fractions(
    levels: list[tuple[Decimal, Decimal]],
    size: Decimal,
    side: Literal["buy", "sell"],
) -> None:
    side_rows = [(str(price), str(amount), "1") for price, amount in levels]
    sides = ([], side_rows) if side == "buy" else (side_rows, [])
    book = OrderBook().apply("partial", *sides)
    left, paid, worst = Fraction(size), Fraction(0), None
    for price, amount in sorted(levels, reverse=side == "sell"):
        taken = min(left, Fraction(amount))
        if taken:
            paid, left, worst = paid + taken * Fraction(price), left - taken, price

    found = book.sweep(side, size)

    assert (found.remaining, found.worst) == (left, worst)
    assert found.filled == Fraction(size) - left
    if worst is None:
        assert found.average is None
    else:
        assert found.average is not None
        error = Fraction(found.average) - paid / Fraction(found.filled)
        assert abs(error) < Fraction(1, 10**20)


# --- Against a book that cannot be wrong --------------------------------------------

Rows = list[tuple[str, ...]]
Change = tuple[bool, Rows, Rows]

# Prices that are hard to tell apart, and enough others for sides of more than 25.
PRICES = [
    *("1", "1.0", "1.50", "1.5", "2", "10", "9.99", "10.00", "1e1", ".5"),
    *(LOW, MIDDLE, HIGH, LOW_AGAIN, MIDDLE + "00", HIGH + "1"),
    *map(str, range(1, 70)),
]
SIZES = ["0", "0.0", "1", "2.50", "3", "0.00000001", "1000000"]
prices, sizes = st.sampled_from(PRICES), st.sampled_from(SIZES)
counts = st.integers(0, 9).map(str)
levels = st.tuples(prices, sizes, counts) | st.tuples(prices, sizes, counts, counts)


def many_levels(seed: int) -> Rows:
    rng = random.Random(seed)
    return [
        (rng.choice(PRICES), rng.choice(SIZES), "0", str(number))
        for number in range(rng.randint(26, 60))
    ]


changes = st.lists(levels, max_size=5) | st.integers(0, 1 << 32).map(many_levels)
messages: st.SearchStrategy[list[Change]] = st.lists(
    st.tuples(st.sampled_from([True, False, False, False, False]), changes, changes),
    min_size=1,
    max_size=8,
)


class Brute:
    """A dict by exact price, sorted anew at every look."""

    def __init__(self) -> None:
        self.bids: dict[Decimal, tuple[str, ...]] = {}
        self.asks: dict[Decimal, tuple[str, ...]] = {}

    def take(self, whole: bool, bids: Rows, asks: Rows) -> tuple[Side, Side]:
        if whole:
            self.bids, self.asks = {}, {}
        for held, rows_of_it in ((self.bids, bids), (self.asks, asks)):
            for row in rows_of_it:
                held.pop(Decimal(row[0]), None)
                if Decimal(row[1]) != 0:
                    held[Decimal(row[0])] = row
        return (
            tuple(self.bids[price] for price in sorted(self.bids, reverse=True)),
            tuple(self.asks[price] for price in sorted(self.asks)),
        )


@given(messages)
def test_apply_agrees_with_a_dict_sorted_each_time(changes: list[Change]) -> None:
    book, brute = OrderBook(), Brute()
    for whole, bids, asks in changes:
        book = book.apply("partial" if whole else "update", bids, asks)
        sides = brute.take(whole, bids, asks)
        assert (book.bids, book.asks) == sides
        assert book.checksum() == book_sum(*sides)


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
    brute, found = Brute(), []
    for number, (whole, bids, asks) in enumerate(stream):
        sides = brute.take(whole, bids, asks)
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
    wrong = _spoiled(found[at][0], bit, by_sum)
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


def _spoiled(right: BookData, bit: int, by_sum: bool) -> BookData:
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


@given(st.lists(junk, min_size=1, max_size=4), st.integers(0, 1))
def test_whatever_is_in_a_message_its_book_stands_proven_or_holds_nothing(
    rows_of_it: list[Any], side: int
) -> None:
    builder = standing(rows("9:1"), rows("11:1"), seq=10)
    sides: list[list[Any]] = [[], []]
    sides[side] = rows_of_it
    try:
        builder.take(message(False, *sides, prev_seq=10, seq=11))
    except BookError:
        assert_holds_nothing(builder)
    else:
        assert builder.is_proven
        assert all(len(row) in (3, 4) for row in rows_of_it)
