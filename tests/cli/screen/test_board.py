"""The table of several instruments."""

from __future__ import annotations

import pytest

from okex_ws.cli.reading import Quote
from okex_ws.cli.screen.board import Board
from okex_ws.cli.screen.sheet import Sheet
from tests.support.cli_drawing import plain, sent
from tests.support.cli_samples import AT, HOSTILE, depth, live, lost

WIDE = Sheet(120, 30)
DIM = "\x1b[2m"
BOTH = [live("BTC-USDT"), lost("BTC-USD-SWAP")]


def lines(readings: list[Quote], sheet: Sheet = WIDE) -> list[str]:
    return plain(Board("okx").lines(readings, sheet, AT))


def test_each_instrument_has_a_line() -> None:
    title, header, first, second = lines(BOTH)

    assert title.split() == ["okx", "1", "of", "2", "live", "08:45:00", "UTC"]
    assert header.split() == [
        "instrument",
        "state",
        "bid",
        "size",
        "ask",
        "size",
        "spread",
        "last",
        "age",
    ]
    assert first.split()[:7] == [
        "BTC-USDT",
        "LIVE",
        "60003.1",
        "0.5",
        "60003.2",
        "2",
        "0.1",
    ]
    assert second.split()[:2] == ["BTC-USD-SWAP", "RECONNECTING"]
    assert second.endswith("the peer closed (close code 1006)")


def test_decimal_points_stand_under_each_other() -> None:
    other = live("X-USD-SWAP", depth(bids=(("9.25", "12"),), asks=(("9.5", "3"),)))
    _, _, first, second = lines([live(), other])

    assert first.index("60003.1") + 5 == second.index("9.25") + 1


def test_what_is_not_live_is_greyed_out() -> None:
    drawn = sent(Board("okx").lines(BOTH, WIDE, AT), 120).splitlines()

    assert "\x1b[32m" in drawn[2]
    assert DIM in drawn[3]
    assert "60003.1" in drawn[3]
    assert "\x1b[32m" not in drawn[3]


def test_without_colours_old_prices_are_left_out() -> None:
    drawn = lines(BOTH, Sheet(120, 30, colour=False))

    assert "60003" in drawn[2]
    assert "6000" not in drawn[3]


def test_a_cause_that_does_not_fit_takes_the_place_of_the_prices() -> None:
    row = lines(BOTH, Sheet(80, 10))[3]

    assert "60003" not in row
    assert row.endswith("the peer closed (close code 1006)")


def test_sizes_are_left_out_first_and_numbers_are_whole() -> None:
    wide, narrow = lines(BOTH), lines(BOTH, Sheet(80, 10))

    assert wide[1].count("size") == 2
    assert narrow[1].count("size") == 0
    assert {"60003.1", "60003.2"} <= set(narrow[2].split())


@pytest.mark.parametrize("hostile", [False, True])
def test_nothing_is_wider_or_higher_than_the_terminal(hostile: bool) -> None:
    board = Board("okx")
    cause = HOSTILE * 3 if hostile else "late"
    readings = [live(), *(lost(f"X{n}-USDT", cause) for n in range(20))]
    for width in (1, 5, 20, 40, 60, 80, 100, 200):
        for height in (1, 2, 3, 5, 15, 40):
            drawn = board.lines(readings, Sheet(width, height), AT)

            assert len(drawn) <= height
            assert max(line.cell_len for line in drawn) <= width


def test_where_there_is_no_room_for_columns_the_state_is_told() -> None:
    drawn = lines(BOTH, Sheet(22, 5))

    assert drawn == ["okx  1 of 2 live", "BTC-USDT LIVE", "BTC-USD-SWAP RECONNEC…"]


def test_what_has_no_room_is_counted() -> None:
    drawn = lines([live(f"X{n}-USDT") for n in range(20)], Sheet(100, 10))

    assert drawn[-1] == "and 13 more"


def test_columns_widen_and_never_narrow() -> None:
    board = Board("okx")
    wide = live(shown=depth(bids=(("123456789.125", "1"),)))
    first = plain(board.lines([wide], WIDE, AT))
    second = plain(board.lines([live()], WIDE, AT))

    assert first[1] == second[1]


def test_text_from_the_network_is_no_order_and_no_markup() -> None:
    text = "".join(lines([live(), lost(cause=HOSTILE)]))

    assert text.isprintable()
    assert "[red]" in text
