"""Each fault of a book: exactly what is sent in place of a true message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from okex_ws.local_exchange import BOOK_FAULTS
from okex_ws.local_exchange.faults.faults import Faults
from okex_ws.local_exchange.faults.spoiling import GAP, RESET, SEQUENCE_FAULTS, Spoiler
from okex_ws.local_exchange.wire.values import EncodedPush
from tests.support.capture_files import BOOK, PARTIAL, UPDATE

V5 = "books:BTC-USDT"


def push(prev: int, seq: int, bids: Any, action: str = "update") -> EncodedPush:
    arg = {"channel": "books", "instId": "BTC-USDT"}
    element = {"asks": [], "bids": bids, "ts": "1", "checksum": 77}
    element |= {"prevSeqId": prev, "seqId": seq}
    message = {"arg": arg, "action": action, "data": [element]}
    text = json.dumps(message, separators=(",", ":"))
    return EncodedPush(V5, text, text)


WHOLE = push(-1, 5000, [["10.5", "3.9", "0", "2"], ["10.4", "1", "0", "1"]], "snapshot")
FIRST = push(5000, 5010, [["10.6", "0", "0", "0"], ["10.5", "2.9", "0", "1"]])
SECOND = push(5010, 5020, [["10.4", "8", "0", "1"]])
THIRD = push(5020, 5030, [["10.4", "9", "0", "1"]])
EMPTY = push(5030, 5030, [])
ALL = [FIRST, SECOND, THIRD]


def spoiled(
    pushes: list[EncodedPush],
    how: str,
    times: int | None = 1,
    present: EncodedPush = WHOLE,
) -> list[list[EncodedPush]]:
    """What is sent in place of each of *pushes*, with one fault in force."""
    faults, spoiler = Faults(), Spoiler(V5, lambda: present)
    faults.spoil(V5, how, times)
    spoiler.keep_book(faults)
    return [spoiler.sent(each, faults) for each in pushes]


def numbers(pushes: list[list[EncodedPush]]) -> list[tuple[str, str]]:
    elements = [each.element for sent in pushes for each in sent]
    return [(each["prevSeqId"], each["seqId"]) for each in elements]


def test_without_a_fault_the_very_message_is_sent() -> None:
    sent = Spoiler(V5, lambda: WHOLE).sent(FIRST, Faults())

    assert sent == [FIRST]
    assert sent[0] is FIRST


def test_a_lost_update_is_not_sent() -> None:
    assert spoiled(ALL, "lose") == [[], [SECOND], [THIRD]]
    assert spoiled(ALL, "lose", 2) == [[], [], [THIRD]]
    assert spoiled(ALL, "lose", None) == [[], [], []]
    assert spoiled(ALL, "lose", 0) == [[FIRST], [SECOND], [THIRD]]


def test_a_repeated_update_is_sent_twice() -> None:
    assert spoiled(ALL, "repeat") == [[FIRST, FIRST], [SECOND], [THIRD]]


def test_two_updates_change_places() -> None:
    assert spoiled(ALL, "reorder") == [[], [SECOND, FIRST], [THIRD]]
    assert spoiled([*ALL, EMPTY], "reorder", 2) == [[], [SECOND, FIRST], [], [EMPTY]]


def test_what_was_held_back_is_released_before_anything_else_goes_wrong() -> None:
    faults, spoiler = Faults(), Spoiler(V5, lambda: WHOLE)
    faults.spoil(V5, "reorder", 1)
    assert spoiler.sent(FIRST, faults) == []
    faults.spoil(V5, "reorder", 0)
    faults.spoil(V5, "lose", 1)
    assert spoiler.sent(SECOND, faults) == [FIRST]

    faults.spoil(V5, "reorder", 1)
    assert spoiler.sent(THIRD, faults) == []
    assert spoiler.release() == [THIRD]
    assert spoiler.release() == []


def test_a_flipped_digit_is_one_of_a_size_among_the_best() -> None:
    sent = spoiled(ALL, "flip")

    # Not of the price that is gone; the nine has become an eight.
    assert sent[0][0].text == FIRST.text.replace('"2.9"', '"2.8"')
    assert sent[0][0].frame == sent[0][0].text
    assert sent[1:] == [[SECOND], [THIRD]]
    (other,) = spoiled([SECOND], "flip")
    assert other[0].text == SECOND.text.replace('"8"', '"9"')


def test_a_flip_waits_for_one_of_the_best() -> None:
    deep = [[f"{100 - n}.5", "1", "0", "1"] for n in range(30)]
    whole = push(-1, 5000, deep, "snapshot")
    far, near = (push(1, 2, [[f"{price}.5", "4", "0", "1"]]) for price in (75, 76))
    sent = spoiled([far, near, near], "flip", present=whole)

    assert sent[0] == [far]
    assert sent[1][0].text == near.text.replace('"4"', '"5"')
    assert sent[2] == [near]


def test_a_flip_without_a_book_waits() -> None:
    faults, spoiler = Faults(), Spoiler(V5, lambda: None)
    faults.spoil(V5, "flip", 1)
    faults.spoil(V5, "second snapshot", 1)
    spoiler.keep_book(faults)
    assert spoiler.sent(FIRST, faults) == [FIRST]
    faults.spoil(V5, "flip", 0)
    assert spoiler.sent(FIRST, faults) == [FIRST]
    assert faults.active_fault(V5, BOOK_FAULTS) == "second snapshot"


def test_a_gap_is_a_number_that_nobody_was_sent() -> None:
    sent = spoiled([*ALL, EMPTY], "gap")

    assert [each.element["bids"] for (each,) in sent] == [
        each.element["bids"] for each in (*ALL, EMPTY)
    ]
    assert numbers(sent) == [
        (str(prev + GAP), str(seq + GAP))
        for prev, seq in ((5000, 5010), (5010, 5020), (5020, 5030), (5030, 5030))
    ]
    assert numbers(spoiled(ALL, "gap", 2))[2] == (str(5020 + 2 * GAP), str(5030 + 2))


def test_a_reset_goes_on_from_the_last_number_with_a_lower_one() -> None:
    low = 5000 - RESET

    assert numbers(spoiled(ALL, "reset")) == [
        ("5000", str(low)),
        (str(low), str(low + 10)),
        (str(low + 10), str(low + 20)),
    ]
    assert numbers(spoiled(ALL, "reset", 2))[1:] == [
        (str(low), str(low - RESET)),
        (str(low - RESET), str(low - RESET + 10)),
    ]


def test_a_number_that_jumped_stays_so_for_newcomers_and_after_a_healing() -> None:
    faults, spoiler = Faults(), Spoiler(V5, lambda: WHOLE)
    faults.spoil(V5, "gap", 1)
    spoiler.sent(FIRST, faults)

    assert numbers([spoiler.sent(WHOLE, Faults())]) == [("-1", str(5000 + GAP))]
    assert numbers([spoiler.sent(SECOND, Faults())]) == [
        (str(5010 + GAP), str(5020 + GAP))
    ]
    assert spoiler.numbered(WHOLE).element["seqId"] == str(5000 + GAP)


def test_a_second_snapshot_is_of_the_moment_before() -> None:
    assert spoiled(ALL, "second snapshot")[0] == [WHOLE, FIRST]
    faults = Faults()
    present = iter((WHOLE, push(-1, 5010, [["1", "1", "0", "1"]], "snapshot")))
    spoiler = Spoiler(V5, lambda: next(present))
    faults.spoil(V5, "gap", 1)
    faults.spoil(V5, "second snapshot", 1)
    spoiler.keep_book(faults)
    assert numbers([spoiler.sent(FIRST, faults)]) == [("5001", "5011")]
    spoiler.keep_book(faults)
    assert numbers([spoiler.sent(SECOND, faults)]) == [
        ("-1", "5011"),
        ("5011", "5021"),
    ]
    # Nobody needs it any more.
    spoiler.keep_book(faults)


def test_a_negative_size_has_a_minus_sign() -> None:
    sent = spoiled(ALL, "negative")

    assert sent[0][0].text == FIRST.text.replace('"2.9"', '"-2.9"')
    assert sent[1:] == [[SECOND], [THIRD]]
    gone = push(1, 2, [["10.6", "0.000", "0", "0"]])
    assert spoiled([gone, SECOND], "negative")[0] == [gone]


def test_a_retired_checksum_is_zero_until_it_is_healed() -> None:
    faults, spoiler = Faults(), Spoiler(V5, lambda: WHOLE)
    faults.spoil(V5, "retire", 1)
    faults.spoil(V5, "repeat", 1)
    for sent in (spoiler.sent(FIRST, faults), spoiler.sent(WHOLE, faults)):
        assert {each.element["checksum"] for each in sent} == {"0"}
    assert spoiler.sent(SECOND, Faults()) == [SECOND]


@pytest.mark.parametrize("how", BOOK_FAULTS[:-1])
def test_what_has_no_levels_and_what_is_whole_is_never_spoiled(how: str) -> None:
    assert spoiled([EMPTY, WHOLE], how) == [[EMPTY], [WHOLE]]


@pytest.mark.parametrize("how", ["no snapshot", "retire"])
def test_what_is_not_about_an_update_leaves_its_levels_and_numbers(how: str) -> None:
    sent = spoiled(ALL, how)

    assert numbers(sent) == numbers([[each] for each in ALL])
    assert all(len(each) == 1 for each in sent)


def test_faults_come_one_after_the_other() -> None:
    faults, spoiler = Faults(), Spoiler(V5, lambda: WHOLE)
    faults.spoil(V5, "repeat", 1)
    faults.spoil(V5, "lose", 1)

    assert [spoiler.sent(each, faults) for each in ALL] == [[FIRST] * 2, [], [THIRD]]


def test_a_message_of_v3_is_to_be_deflated_anew_only_if_it_is_changed() -> None:
    recorded = EncodedPush(BOOK, UPDATE, b"as recorded")
    whole = EncodedPush(BOOK, PARTIAL, b"too")
    faults, spoiler = Faults(), Spoiler(BOOK, lambda: whole)
    assert spoiler.sent(recorded, faults)[0] is recorded
    for how in ("repeat", "second snapshot", "negative"):
        faults.spoil(BOOK, how, 1)
    spoiler.keep_book(faults)

    assert spoiler.sent(recorded, faults) == [recorded, recorded]
    assert spoiler.sent(recorded, faults) == [whole, recorded]
    changed = UPDATE.replace('"451"', '"-451"')
    assert spoiler.sent(recorded, faults) == [EncodedPush(BOOK, changed, None)]


def test_bare_numbers_of_2018_are_spoiled_too() -> None:
    text = '{"action":"update","data":[{"asks":[[10.5,3,0,1]],"checksum":1}]}'
    whole = '{"data":[{"asks":[["10.5","3","0","1"]],"bids":[]}]}'
    faults, spoiler = Faults(), Spoiler("f", lambda: EncodedPush("f", whole))
    faults.spoil("f", "flip", 1)
    faults.spoil("f", "negative", 1)

    assert spoiler.sent(EncodedPush("f", text), faults)[0].text == text.replace(
        ",3,", ",4,"
    )
    assert spoiler.sent(EncodedPush("f", text), faults)[0].text == text.replace(
        ",3,", ",-3,"
    )


def test_the_faults_of_a_sequence_are_faults() -> None:
    assert set(SEQUENCE_FAULTS) < set(BOOK_FAULTS)
