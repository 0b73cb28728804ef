"""What is drawn on: widths, colours, and what the terminal cannot show."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.text import Text

from okex_ws import State
from okex_ws.cli.screen import sheet
from okex_ws.cli.screen.sheet import Sheet
from tests.support.cli_samples import HOSTILE, live, lost

WIDE = "\u4f60\u597d"  # two characters, four cells


def test_the_sheet_is_as_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=100,
        height=30,
        color_system="standard",
    )
    console.size = console.size.__class__(61, 16)

    found = sheet.sheet_of(console)
    assert (found.width, found.height, found.colour) == (61, 16, True)
    assert not found.shades
    console.no_color = True
    assert not sheet.sheet_of(console).colour


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_bar_is_as_long_as_its_part(ascii_only: bool) -> None:
    drawn = Sheet(80, 24, ascii=ascii_only)

    assert len(drawn.bar(1.0, 10)) == 10
    assert len(drawn.bar(0.5, 10)) == 5
    assert len(drawn.bar(1e-9, 10)) == 1
    assert drawn.bar(0.0, 10) == ""
    assert drawn.bar(0.33, 10).isascii() is ascii_only


def test_no_line_is_wider_than_it_may_be_in_cells() -> None:
    for width in range(12):
        assert sheet.fitted(Text(WIDE * 5), width).cell_len <= width
        assert sheet.filled(Text(WIDE), width).cell_len == width
        for line in sheet.wrapped(f"{WIDE} {WIDE * 4} x", max(width, 1), 3):
            assert line.cell_len <= max(width, 1)


def test_the_right_end_of_a_line_is_left_out_where_there_is_no_room() -> None:
    def ends(width: int) -> str:
        return sheet.apart(Text("left"), Text("right"), width).plain

    assert ends(20) == "left           right"
    assert ends(10) == "left"
    assert ends(3) == "le\u2026"


def test_text_that_is_cut_says_so() -> None:
    lines = [line.plain for line in sheet.wrapped("one two three four", 9, 2)]

    assert lines == ["one two", "three ..."]


def test_columns_are_left_out_whole_and_in_their_order() -> None:
    widths, gone = [4, 4, 4, 4], ((1, 3), (2,))

    assert sheet.columns_that_fit(widths, gone, 22) == [0, 1, 2, 3]
    assert sheet.columns_that_fit(widths, gone, 21) == [0, 2]
    assert sheet.columns_that_fit(widths, gone, 9) == [0]


def test_a_cause_is_plain() -> None:
    said = sheet.cause_of(lost(cause=HOSTILE))

    assert said.isprintable()
    assert said.startswith("60018: ")


def test_old_prices_are_hidden_where_nothing_would_tell_them_apart() -> None:
    assert Sheet(80, 24, colour=False).hides(lost())
    assert not Sheet(80, 24, colour=True).hides(lost())
    assert not Sheet(80, 24, colour=False).hides(live())


def test_states_look_different() -> None:
    styles = {str(sheet.state_of(state).style) for state in State}

    assert len(styles) >= 3
