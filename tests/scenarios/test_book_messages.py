"""A message of a whole book: what both protocols read of it, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from okex_ws.base.errors import WireError
from okex_ws.protocol.interface import WireProtocol
from okex_ws.protocol.messages import BookData, Push
from okex_ws.protocol.v3 import PROTOCOL as V3
from okex_ws.protocol.v5 import PROTOCOL as V5
from tests.support import v3_frames, v5_frames

BIDS = [["10.1", "2", "0", "1"], ["9", "1", "0", "4"]]
ASKS = [["10.30", "0.5", "1"]]
V3_ELEMENT: dict[str, Any] = {
    "instrument_id": "AB-USDT",
    "bids": BIDS,
    "asks": ASKS,
    "timestamp": "2021-04-17T16:49:59.279Z",
    "checksum": "1815367951",
}
V5_ELEMENT: dict[str, Any] = {
    "bids": BIDS,
    "asks": ASKS,
    "ts": "1618678199279",
    "checksum": "0",
    "prevSeqId": "123456",
    "seqId": "123457",
}
AT = 1618678199279
# The protocol, one element of it, and its word for a whole book.
BOTH: list[tuple[WireProtocol, dict[str, Any], str]] = [
    (V3, V3_ELEMENT, "partial"),
    (V5, V5_ELEMENT, "snapshot"),
]
EACH = pytest.mark.parametrize(("wire", "element", "whole"), BOTH)
REFUSAL: Callable[..., WireError] = v3_frames.refusal


def refused(wire: WireProtocol, element: Any, action: Any) -> None:
    assert REFUSAL(wire.book, element, action).kind == "book"


# --- What it says -------------------------------------------------------------------


def test_a_book_of_v3_is_proven_by_its_checksum() -> None:
    assert V3.book(V3_ELEMENT, "partial") == BookData(
        whole=True,
        bids=BIDS,
        asks=ASKS,
        time_ms=AT,
        seq=None,
        prev_seq=None,
        checksum=1815367951,
    )


def test_a_book_of_v5_is_proven_by_its_sequence() -> None:
    assert V5.book(V5_ELEMENT, "update") == BookData(
        whole=False,
        bids=BIDS,
        asks=ASKS,
        time_ms=AT,
        seq=123457,
        prev_seq=123456,
        checksum=0,
    )


def test_the_documented_frame_is_an_update() -> None:
    (element,) = v5_frames.push(v5_frames.BOOKS).elements

    assert V5.book(element, "update") == BookData(
        *(False, [], [["8476.98", "0", "0", "0"]], 1597026383085),
        *(123457, 123456, 0),
    )


@EACH
def test_only_the_own_words_of_a_protocol_are_actions(
    wire: WireProtocol, element: dict[str, Any], whole: str
) -> None:
    assert wire.book(element, whole).whole is True
    assert wire.book(element, "update").whole is False
    other = {"partial": "snapshot", "snapshot": "partial"}[whole]
    actions: list[Any] = [
        other,
        None,
        "",
        "Update",
        "update ",
        "insert",
        0,
        5,
        True,
        [],
        {},
    ]
    for action in actions:
        refused(wire, element, action)


@EACH
def test_a_book_without_an_action_says_so(
    wire: WireProtocol, element: dict[str, Any], whole: str
) -> None:
    assert REFUSAL(wire.book, element, None).detail == "no ''"
    assert REFUSAL(wire.book, element, "x").detail == "no 'x'"


@EACH
def test_both_sides_of_a_book_may_be_empty(
    wire: WireProtocol, element: dict[str, Any], whole: str
) -> None:
    for action in (whole, "update"):
        data = wire.book({**element, "bids": [], "asks": []}, action)
        assert (data.bids, data.asks) == ([], [])


@EACH
def test_the_rows_are_handed_on_as_they_came(
    wire: WireProtocol, element: dict[str, Any], whole: str
) -> None:
    # Where they are merged they are checked.
    rows = [["x"], "abc", None, {"1": "2"}, [["1"]], ["1", "-1", "0"]]

    data = wire.book({**element, "bids": rows, "asks": rows}, "update")

    assert data.bids == rows == data.asks


@pytest.mark.parametrize(
    ("levels", "rows"),
    [
        ("[3690.10,1,0,1]", [["3690.10", "1", "0", "1"]]),
        ('["3810.70","3",0,2]', [["3810.70", "3", "0", "2"]]),
        ('["3779.2966","0.01006451",1]', [["3779.2966", "0.01006451", "1"]]),
        (
            "[4084.0,38.00,0,3],[1e3,0.0,0,0]",
            [
                ["4084.0", "38.00", "0", "3"],
                ["1e3", "0.0", "0", "0"],
            ],
        ),
    ],
)
def test_the_numbers_of_2018_and_2019_keep_their_characters(
    levels: str, rows: list[list[str]]
) -> None:
    text = (
        '{"table":"futures/depth","action":"partial","data":[{"instrument_id":'
        f'"BTC-USD-190517","asks":[],"bids":[{levels}],"timestamp":'
        '"2019-03-31T16:49:59.279Z","checksum":-5}]}'
    )
    (element,) = v3_frames.push(text).elements

    assert V3.book(element, "partial").bids == rows


# --- What proves it -----------------------------------------------------------------


@EACH
@pytest.mark.parametrize(
    ("written", "checksum"),
    [
        *(("1815367951", 1815367951), ("-994620437", -994620437), ("0", 0)),
        *(("-2147483648", -(1 << 31)), ("2147483647", (1 << 31) - 1), ("-0", 0)),
        *(("", None), (None, None)),
    ],
)
def test_a_checksum_has_a_sign_or_is_not_there(
    wire: WireProtocol,
    element: dict[str, Any],
    whole: str,
    written: str | None,
    checksum: int | None,
) -> None:
    for action in (whole, "update"):
        data = wire.book({**element, "checksum": written}, action)
        assert data.checksum == checksum
    absent = {name: element[name] for name in element if name != "checksum"}
    assert wire.book(absent, whole).checksum is None


@EACH
@pytest.mark.parametrize(
    "checksum",
    [
        *("x", "1.0", "1e5", "+1", "--1", " 1", "1 ", "1\n", "0x1F", "9" * 21, "٣"),
        *("NaN", "-", 5.0, True, False, [], {}, ["1"]),
    ],
)
def test_what_is_no_checksum_is_a_wire_error(
    wire: WireProtocol, element: dict[str, Any], whole: str, checksum: Any
) -> None:
    refused(wire, {**element, "checksum": checksum}, whole)


@pytest.mark.parametrize(
    ("seq", "number"),
    [
        *(("0", 0), ("10", 10), ("333794734980", 333794734980)),
        *(("9223372036854775807", 2**63 - 1), ("18446744073709551615", 2**64 - 1)),
        *(("", None), (None, None)),
    ],
)
def test_the_ids_of_a_sequence_have_64_bits_or_are_not_there(
    seq: str | None, number: int | None
) -> None:
    data = V5.book({**V5_ELEMENT, "seqId": seq, "prevSeqId": seq}, "update")

    assert (data.seq, data.prev_seq) == (number, number)


def test_a_snapshot_follows_minus_one() -> None:
    data = V5.book({**V5_ELEMENT, "prevSeqId": "-1", "seqId": "10"}, "snapshot")

    assert (data.prev_seq, data.seq) == (-1, 10)


def test_the_books_of_2021_had_no_sequence() -> None:
    element = {
        name: V5_ELEMENT[name] for name in V5_ELEMENT if not name.endswith("eqId")
    }

    data = V5.book({**element, "checksum": "-855196043"}, "update")

    assert (data.seq, data.prev_seq, data.checksum) == (None, None, -855196043)


def test_v3_has_no_sequence_whatever_is_in_it() -> None:
    data = V3.book({**V3_ELEMENT, "seqId": "5", "prevSeqId": "x"}, "update")

    assert (data.seq, data.prev_seq) == (None, None)


@pytest.mark.parametrize("field", ["seqId", "prevSeqId"])
@pytest.mark.parametrize(
    "value",
    ["x", "1.0", "1e5", "+1", " 1", "9" * 21, "٣", 5.0, True, False, [], {}, "--1"],
)
def test_what_is_no_id_of_a_sequence_is_a_wire_error(field: str, value: Any) -> None:
    refused(V5, {**V5_ELEMENT, field: value}, "update")


def test_a_whole_number_may_be_one_where_it_was_read_fast() -> None:
    element = {**V5_ELEMENT, "seqId": 6, "prevSeqId": -1, "checksum": -855196043}

    data = V5.book(element, "update")

    assert (data.seq, data.prev_seq, data.checksum) == (6, -1, -855196043)
    # It may have been -0, which is no id: whoever is told so reads it exactly.
    refused(V5, {**V5_ELEMENT, "seqId": 0}, "update")
    refused(V5, {**V5_ELEMENT, "seqId": -5}, "update")


def test_only_what_an_update_follows_may_be_negative() -> None:
    refused(V5, {**V5_ELEMENT, "seqId": "-1"}, "update")


# --- What is none -------------------------------------------------------------------


@EACH
@pytest.mark.parametrize(
    "value", [None, True, 5, 5.5, "", "x", [], ["bids", "asks"], [[]]]
)
def test_what_is_no_object_is_a_wire_error(
    wire: WireProtocol, element: dict[str, Any], whole: str, value: Any
) -> None:
    refused(wire, value, whole)


@EACH
@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("levels", [None, "", "bids", 5, True, {}, {"10": "1"}, ()])
def test_what_is_no_side_is_a_wire_error(
    wire: WireProtocol, element: dict[str, Any], whole: str, side: str, levels: Any
) -> None:
    refused(wire, {**element, side: levels}, whole)


@EACH
def test_a_book_without_a_side_or_its_time_is_a_wire_error(
    wire: WireProtocol, element: dict[str, Any], whole: str
) -> None:
    time = "timestamp" if wire is V3 else "ts"
    for missing in ("bids", "asks", time):
        rest = {name: element[name] for name in element if name != missing}
        assert REFUSAL(wire.book, rest, whole).detail == f"no '{missing}'"


@EACH
@pytest.mark.parametrize("value", [None, "", "x", 5, True, [], {}, "16186781992790"])
def test_a_book_of_no_time_is_a_wire_error(
    wire: WireProtocol, element: dict[str, Any], whole: str, value: Any
) -> None:
    time = "timestamp" if wire is V3 else "ts"
    refused(wire, {**element, time: value}, whole)


@EACH
def test_however_long_a_value_is_its_error_is_short(
    wire: WireProtocol, element: dict[str, Any], whole: str
) -> None:
    text = "\x1b" * 100_000
    for name in ("bids", "asks", "checksum", "ts" if wire is V5 else "timestamp"):
        refused(wire, {**element, name: text}, whole)
    refused(wire, element, text)


# --- Total --------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["1", "0", "-1", "2.50", "1618678199279"])
    | st.just("2021-04-17T16:49:59.279Z")
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner)
    ),
    max_leaves=15,
)
fields = st.sampled_from(sorted({*V3_ELEMENT, *V5_ELEMENT}))
actions = st.sampled_from(["partial", "snapshot", "update"]) | values
# Good elements of either protocol, with anything in some places, or nothing.
spoiled = st.builds(
    lambda element, changes, left_out: {
        name: value
        for name, value in {**element, **changes}.items()
        if name not in left_out
    },
    st.sampled_from([V3_ELEMENT, V5_ELEMENT]),
    st.dictionaries(fields, values, max_size=3),
    st.sets(fields, max_size=1),
)


@given(spoiled | values, actions)
def test_anything_is_a_book_or_a_wire_error(element: Any, action: Any) -> None:
    kinds = {"book"}
    for wire in (V3, V5):
        try:
            data = wire.book(element, action)
        except WireError as error:
            kinds.add(error.kind)
            continue
        assert type(data.bids) is list is type(data.asks)
        assert type(data.whole) is bool
        assert data.time_ms > 0
        for number in (data.seq, data.prev_seq, data.checksum):
            assert number is None or type(number) is int
    assert kinds == {"book"}


@given(spoiled, st.sampled_from(["partial", "snapshot", "update"]))
def test_any_frame_of_a_book_is_read_or_a_wire_error(element: Any, action: str) -> None:
    asked = {"channel": "books", "instId": "AB-USDT"}
    for wire, envelope in (
        (V3, {"table": "spot/depth"}),
        (V5, {"arg": asked}),
    ):
        text = json.dumps({**envelope, "action": action, "data": [element]})
        try:
            for message in wire.decode(text.encode(), False):
                assert isinstance(message, Push)
                for each in message.elements:
                    wire.book(each, message.action)
        except WireError:
            continue
