"""The table of several instruments."""

from __future__ import annotations

import pytest

from okex_ws.cli.reading import Quote
from okex_ws.cli.screen.board import Board
from okex_ws.cli.screen.sheet import Sheet
from tests.support.cli_drawing import drawing, plain, sent
from tests.support.cli_samples import HOSTILE, depth, live, lost

WIDE = Sheet(120, 30)
DIM = "\x1b[2m"
BOTH = [live("BTC-USDT"), lost("BTC-USD-SWAP")]


def lines(readings: list[Quote], sheet: Sheet = WIDE, *keys: str) -> list[str]:
    return plain(Board().lines(readings, sheet, drawing(*keys, count=len(readings))))


def test_each_instrument_has_a_line() -> None:
    header, first, second = lines(BOTH)

    assert header.split() == [
        "#",
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
    assert first.split()[:8] == [
        "1",
        "BTC-USDT",
        "LIVE",
        "60003.1",
        "0.5",
        "60003.2",
        "2",
        "0.1",
    ]
    assert second.split()[:3] == ["2", "BTC-USD-SWAP", "RECONNECTING"]
    assert second.endswith("the peer closed (close code 1006)")


def test_decimal_points_stand_under_each_other() -> None:
    other = live("X-USD-SWAP", depth(bids=(("9.25", "12"),), asks=(("9.5", "3"),)))
    _, first, second = lines([live(), other])

    assert first.index("60003.1") + 5 == second.index("9.25") + 1


def test_what_is_not_live_is_greyed_out() -> None:
    told = Board().lines(BOTH, WIDE, drawing("j", count=2))
    drawn = sent(told, 120).splitlines()

    assert "\x1b[32m" in drawn[1]
    assert "\x1b[2" in drawn[2]
    assert "60003.1" in drawn[2]
    assert "\x1b[32m" not in drawn[2]


def test_the_marked_row_is_reversed() -> None:
    for keys, row in (((), 1), (("j",), 2)):
        told = Board().lines(BOTH, WIDE, drawing(*keys, count=2))
        drawn = sent(told, 120).splitlines()

        assert [
            at for at, line in enumerate(drawn) if ";7m" in line or "[7" in line
        ] == [row]


def test_without_colours_old_prices_are_left_out() -> None:
    drawn = lines(BOTH, Sheet(120, 30, colour=False))

    assert "60003" in drawn[1]
    assert "6000" not in drawn[2]


def test_a_cause_that_does_not_fit_takes_the_place_of_the_prices() -> None:
    row = lines(BOTH, Sheet(80, 10))[2]

    assert "60003" not in row
    assert row.endswith("the peer closed (close code 1006)")


def test_sizes_are_left_out_first_and_numbers_are_whole() -> None:
    wide, narrow = lines(BOTH), lines(BOTH, Sheet(80, 10))

    assert wide[0].count("size") == 2
    assert narrow[0].count("size") == 0
    assert {"60003.1", "60003.2"} <= set(narrow[1].split())


@pytest.mark.parametrize("hostile", [False, True])
def test_nothing_is_wider_or_higher_than_the_terminal(hostile: bool) -> None:
    board = Board()
    cause = HOSTILE * 3 if hostile else "late"
    readings = [live(), *(lost(f"X{n}-USDT", cause) for n in range(20))]
    for width in (1, 5, 20, 40, 60, 80, 100, 200):
        for height in (1, 2, 3, 5, 15, 40):
            shown = drawing("j", count=21)
            drawn = board.lines(readings, Sheet(width, height), shown)

            assert len(drawn) <= height
            assert max(line.cell_len for line in drawn) <= width


def test_where_there_is_no_room_for_columns_the_state_is_told() -> None:
    drawn = lines(BOTH, Sheet(22, 5))

    assert drawn == ["BTC-USDT LIVE", "BTC-USD-SWAP RECONNEC…"]


def test_what_has_no_room_is_on_another_page() -> None:
    many = [live(f"X{n}-USDT") for n in range(20)]
    first = lines(many, Sheet(100, 10))
    second = lines(many, Sheet(100, 10), *["j"] * 8)
    last = lines(many, Sheet(100, 10), "end")

    assert [line.split()[0] for line in first[1:-1]] == [*"12345678"]
    assert first[-1] == "1 to 8 of 20"
    assert second[1].split()[:2] == ["9", "X8-USDT"]
    assert last[-1] == "17 to 20 of 20"
    assert len(first) == len(second) == 10


def test_columns_widen_and_never_narrow() -> None:
    board = Board()
    wide = live(shown=depth(bids=(("123456789.125", "1"),)))
    first = plain(board.lines([wide], WIDE, drawing()))
    second = plain(board.lines([live()], WIDE, drawing()))

    assert first[0] == second[0]


def test_a_paused_table_claims_nothing_of_the_present() -> None:
    told = plain(Board().lines(BOTH, WIDE, drawing("p", count=2, paused=12.0)))

    assert told[1].split()[1:3] == ["BTC-USDT", "PAUSED"]
    assert told[1].endswith("12 s")
    assert told[2].split()[1:3] == ["BTC-USD-SWAP", "RECONNECTING"]


def test_text_from_the_network_is_no_order_and_no_markup() -> None:
    text = "".join(lines([live(), lost(cause=HOSTILE)]))

    assert text.isprintable()
    assert "[red]" in text
